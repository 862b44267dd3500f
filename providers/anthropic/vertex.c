/* Claude on Vertex: the same messages, with the model in the path and the version in the body. */
#include "anthropic.h"

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("-._~@", c));
}

/* Names have letters, digits, '-', '.' and '@'; whatever else comes is no name, and is made harmless. */
static struct weir_str safe_name(struct anthropic *o, const struct weir_conversation *c)
{
    struct weir_str name = WEIR_NONE;
    o->json->string(o->json->open(o->call, weir_field(c, WEIR_FIELD_MODEL)), &name);
    char *to = o->host->alloc(o->call, WEIR_FOR_ATTEMPT, name.n + 1);
    for (size_t i = 0; to && i < name.n; i++)
        to[i] = is_plain(name.p[i]) ? name.p[i] : '_';
    return (struct weir_str){ to ? to : "", to ? name.n : 0 };
}

int anthropic_vertex_head(struct anthropic *o)
{
    const struct weir_conversation *c = o->host->conversation(o->call);
    bool is_stream = c && weir_field_true(c, WEIR_FIELD_STREAM);
    struct weir_str name = anthropic_counts(o) ? WEIR_LIT("count-tokens") : c ? safe_name(o, c) : WEIR_NONE;
    int rc = o->host->http_request(o->call, "POST",
                                   o->host->format(o->call, "/%.*s:%s", (int)name.n, name.n ? name.p : "",
                                                   is_stream ? "streamRawPredict" : "rawPredict"));
    return rc < 0 ? -1 : WEIR_HEAD_ANEW; /* its body is another, also for a client of this dialect */
}

void anthropic_put_vertex_version(struct anthropic *o, struct weir_out *out)
{
    o->json->key(out, "anthropic_version");
    o->json->put_raw(out, WEIR_LIT("\"vertex-2023-10-16\""));
}
