/* Edits of a request that stays in this dialect, put into the client's own bytes. Where decode_request found a member its value
 * is replaced; what was absent is inserted behind the first brace. */
#include "openai.h"

static uint32_t root_at(struct weir_str body)
{
    const char *brace = body.n ? memchr(body.p, '{', body.n) : NULL;
    return brace ? (uint32_t)(brace - body.p) + 1 : 0;
}

static int insert_first(struct openai *o, struct weir_str body, struct weir_str member)
{
    uint32_t at = root_at(body);
    return at ? o->host->splice(o->call, at, 0, member) : -1;
}

static int splice_field(struct openai *o, struct openai_client *s, const struct weir_conversation *c,
                        const struct weir_edit *edit)
{
    const struct weir_host *h = o->host;
    enum weir_field f = (enum weir_field)edit->field;
    const char *key = openai_field_key(f, weir_field(c, WEIR_FIELD_MODEL), NULL);
    struct weir_out *out = h->out(o->call);
    if (!key || !out || (uint32_t)f >= WEIR_FIELD_COUNT)
        return -1;
    openai_put_field(o, out, f, edit->value);
    struct weir_str value = h->out_bytes(out);
    struct openai_span span = s->fields[f];
    if (span.n)
        return h->splice(o->call, span.at, span.n, value);
    return insert_first(o, c->body, h->format(o->call, "\"%s\":%.*s,", key, (int)value.n, value.p));
}

static int ask_usage(struct openai *o, struct openai_client *s, const struct weir_conversation *c,
                     struct weir_str value)
{
    const struct weir_host *h = o->host;
    struct openai_span asked = s->fields[WEIR_FIELD_STREAM_USAGE], options = s->stream_options;
    if (asked.n)
        return h->splice(o->call, asked.at, asked.n, value);
    struct weir_str member = h->format(o->call, "\"include_usage\":%.*s", (int)value.n, value.p);
    if (!options.n)
        return insert_first(o, c->body, h->format(o->call, "\"stream_options\":{%.*s},", (int)member.n, member.p));
    struct weir_str now = { c->body.p + options.at, options.n };
    size_t inside = 1;
    while (now.p[0] == '{' && inside < now.n && openai_is_space(now.p[inside]))
        inside++;
    if (now.p[0] != '{' || now.p[inside] == '}') /* null or {} */
        return h->splice(o->call, options.at, options.n, h->format(o->call, "{%.*s}", (int)member.n, member.p));
    return h->splice(o->call, options.at + 1, 0, h->format(o->call, "%.*s,", (int)member.n, member.p));
}

static int prepend_system(struct openai *o, struct openai_client *s, struct weir_str plain)
{
    const struct weir_json_api *j = o->json;
    struct weir_out *out = s->messages_at ? o->host->out(o->call) : NULL;
    if (!out)
        return -1;
    j->object_begin(out);
    j->key(out, "role");
    j->put_raw(out, WEIR_LIT("\"system\""));
    j->key(out, "content");
    j->put_str(out, plain);
    j->object_end(out);
    o->host->write(out, WEIR_LIT(","));
    return o->host->splice(o->call, s->messages_at, 0, o->host->out_bytes(out));
}

int openai_splice(void *self, struct weir_call *call, void *state, const struct weir_edit *edit)
{
    struct openai o = openai_begin(self, call);
    const struct weir_conversation *c = o.host->conversation(call);
    if (!c)
        return -1;
    switch (edit->kind) {
    case WEIR_EDIT_PREPEND_SYSTEM:
        return prepend_system(&o, state, edit->value);
    case WEIR_EDIT_ASK_USAGE:
        return ask_usage(&o, state, c, WEIR_LIT("true"));
    case WEIR_EDIT_ANEW:
        return ((struct openai_client *)state)->has_foreign ? 0 : -1;
    case WEIR_EDIT_FIELD:
        if (edit->field == WEIR_FIELD_STREAM_USAGE)
            return ask_usage(&o, state, c, edit->value);
        return splice_field(&o, state, c, edit);
    default:
        return -1;
    }
}
