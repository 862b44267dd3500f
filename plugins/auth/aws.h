/* Signed requests: AWS Signature Version 4, checked with the secret of a configured key. */
#ifndef AUTH_AWS_H
#define AUTH_AWS_H

#include <weir/plugin.h>

/* A signature as the client sent it. Lifetime: request. */
struct aws_signature {
    struct weir_str id, day, region, service; /* Credential=id/day/region/service/aws4_request */
    struct weir_str signed_headers;           /* "content-type;host;x-amz-date" */
    struct weir_str signature;                /* 64 hexadecimal digits */
    const struct weir_key *key;
};

/* Is this credential a signature, and not a key? */
bool aws_is_signature(struct weir_str credential);
/* NULL, or a sentence: what is wrong with the signature's form or its time. The strings are copied. */
const char *aws_read(const struct weir_host *host, struct weir_call *call, struct weir_str credential,
                     struct aws_signature *to);
/* Once the body is there: is it the caller's own? */
bool aws_fits(const struct weir_host *host, struct weir_instance *inst, struct weir_call *call,
              const struct aws_signature *s);

#endif
