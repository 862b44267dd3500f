/* What the rooms that write a request to a provider share. */
#ifndef BEDROCK_ENCODE_H
#define BEDROCK_ENCODE_H

#include "bedrock.h"

struct bedrock_document {
    struct bedrock_document *next;
    struct weir_str name;
};

struct encoding {
    struct bedrock o;
    struct bedrock_attempt *attempt;
    const struct weir_conversation *c;
    struct weir_out *out;
    struct bedrock_model model;
    struct bedrock_document *documents; /* whose names are taken */
    uint64_t said; /* losses told already, by feature */
    bool has_calls, has_tools; /* in the history; of its own */
    bool must_be_json; /* JSON mode or a schema, which are only sentences in the prompt here */
    bool must_call, must_not_call; /* what the dialect or the model can't be told otherwise */
    struct weir_str call; /* of this tool; "": of any */
    struct weir_str schema; /* for the sentence */
};

/* What becomes of thinking. */
struct bedrock_thinking {
    enum { BEDROCK_UNSAID, BEDROCK_OFF, BEDROCK_ADAPTIVE, BEDROCK_BUDGET } how;
    int64_t budget;
    struct weir_str effort;
};

static inline struct weir_str bedrock_field(const struct encoding *x, enum weir_field f)
{
    return weir_field(x->c, f);
}

static inline void bedrock_put_raw(struct encoding *x, const char *key, struct weir_str value)
{
    if (!value.n)
        return;
    x->o.json->key(x->out, key);
    x->o.json->put_raw(x->out, value);
}

/* Tells a loss, once per feature. */
void bedrock_lose_once(struct encoding *x, uint32_t feature, enum weir_loss what, const char *why);
/* The name that a tool has at the provider, the id that a call has. */
struct weir_str bedrock_sent_name(struct encoding *x, struct weir_str name);
void bedrock_put_id(struct encoding *x, struct weir_str id);
void bedrock_digest(struct encoding *x, struct weir_str s, char out[17]);

struct bedrock_thinking bedrock_wanted_thinking(struct encoding *x);
/* additionalModelRequestFields, and what the client's own dialect said beside it. */
void bedrock_put_additional(struct encoding *x, const struct bedrock_thinking *t);
/* Fields of the client's own dialect whose path begins so: "inferenceConfig."; "": those at the top. */
void bedrock_put_ext(struct encoding *x, const char *before);
bool bedrock_has_ext(const struct encoding *x, const char *before);

void bedrock_put_system(struct encoding *x);
void bedrock_put_messages(struct encoding *x);
void bedrock_put_image(struct encoding *x, const struct weir_part *p);
void bedrock_put_document(struct encoding *x, const struct weir_part *p);
void bedrock_put_audio(struct encoding *x, const struct weir_part *p);
/* Another operation than chat: the body of InvokeModel for a model that makes vectors. */
int bedrock_encode_inputs(struct encoding *x);
bool bedrock_takes_cache_mark(struct encoding *x);
/* {"cachePoint":…}, with its time where the model knows times. */
void bedrock_put_cache_point(struct encoding *x, struct weir_str ttl);
void bedrock_lose_ttl(struct encoding *x, struct weir_str ttl);
bool bedrock_is_blank(struct encoding *x, const struct weir_text *text);

#endif
