/* Edits of a request that stays in this dialect, put into the client's own bytes. Where decode_request found a member its value
 * is replaced; what was absent is inserted. What would need two edits of one member has no place here: the request is then
 * encoded anew. */
#include "responses.h"

static int insert_first(struct responses *o, struct weir_str body, struct weir_str member)
{
    const char *brace = body.n ? memchr(body.p, '{', body.n) : NULL;
    return brace ? o->host->splice(o->call, (size_t)(brace - body.p) + 1, 0, member) : -1;
}

static bool is_empty_object(struct weir_str body, uint32_t at)
{
    size_t i = at + 1;
    while (i < body.n && responses_is_space(body.p[i]))
        i++;
    return i < body.n && body.p[i] == '}';
}

/* "text.format", "reasoning.effort": a member of a member. */
static int put_inside(struct responses *o, struct responses_client *s, struct weir_str body, const char *key,
                      struct weir_str value)
{
    const struct weir_host *h = o->host;
    enum responses_echo of = key[0] == 't' ? ECHO_TEXT : ECHO_REASONING;
    const char *name = strchr(key, '.') + 1;
    struct responses_span span = s->echo[of];
    int n = (int)value.n;
    if (span.n && body.p[span.at] == '{')
        return h->splice(o->call, span.at + 1, 0,
                         h->format(o->call, "\"%s\":%.*s%s", name, n, value.p,
                                   is_empty_object(body, span.at) && !s->was_put[of] ? "" : ","));
    if (s->was_put[of]) /* it would be there twice */
        return -1;
    s->was_put[of] = true;
    if (span.n) /* null */
        return h->splice(o->call, span.at, span.n, h->format(o->call, "{\"%s\":%.*s}", name, n, value.p));
    return insert_first(
        o, body, h->format(o->call, "\"%s\":{\"%s\":%.*s},", of == ECHO_TEXT ? "text" : "reasoning", name, n, value.p));
}

static int splice_field(struct responses *o, struct responses_client *s, struct weir_str body,
                        const struct weir_edit *edit)
{
    const struct weir_host *h = o->host;
    enum weir_field f = (enum weir_field)edit->field;
    const char *key = responses_field_key(f);
    if (f == WEIR_FIELD_STREAM_USAGE)
        return 0; /* always told */
    struct weir_out *out = key ? h->out(o->call) : NULL;
    if (!out)
        return -1;
    responses_put_field(o, out, f, edit->value);
    struct weir_str value = h->keep(o->call, h->out_bytes(out));
    if (s->fields[f].n)
        return h->splice(o->call, s->fields[f].at, s->fields[f].n, value);
    if (strchr(key, '.'))
        return put_inside(o, s, body, key, value);
    return insert_first(o, body, h->format(o->call, "\"%s\":%.*s,", key, (int)value.n, value.p));
}

/* The plain text as the inside of a JSON string. */
static struct weir_str escaped(struct responses *o, struct weir_str plain)
{
    struct weir_out *out = o->host->out(o->call);
    if (!out)
        return WEIR_NONE;
    o->json->put_str(out, plain);
    struct weir_str quoted = o->host->out_bytes(out);
    return quoted.n < 2 ? WEIR_NONE : (struct weir_str){ quoted.p + 1, quoted.n - 2 };
}

/* The prompt is what the instructions are. */
static int prepend_system(struct responses *o, struct responses_client *s, struct weir_str body, struct weir_str plain)
{
    const struct weir_host *h = o->host;
    struct responses_span span = s->echo[ECHO_INSTRUCTIONS];
    struct weir_str text = escaped(o, plain);
    int n = (int)text.n;
    if (span.n && body.p[span.at] == '"')
        return h->splice(o->call, span.at + 1, 0, h->format(o->call, "%.*s%s", n, text.p, span.n > 2 ? "\\n\\n" : ""));
    if (s->was_put[ECHO_INSTRUCTIONS])
        return -1;
    s->was_put[ECHO_INSTRUCTIONS] = true;
    if (span.n) /* null */
        return h->splice(o->call, span.at, span.n, h->format(o->call, "\"%.*s\"", n, text.p));
    return insert_first(o, body, h->format(o->call, "\"instructions\":\"%.*s\",", n, text.p));
}

int responses_splice(void *self, struct weir_call *call, void *state, const struct weir_edit *edit)
{
    struct responses o = responses_begin(self, call);
    const struct weir_conversation *c = o.host->conversation(call);
    if (!c)
        return -1;
    switch (edit->kind) {
    case WEIR_EDIT_PREPEND_SYSTEM:
        return prepend_system(&o, state, c->body, edit->value);
    case WEIR_EDIT_ASK_USAGE:
        return 0; /* always told */
    case WEIR_EDIT_ANEW:
        return ((struct responses_client *)state)->has_foreign ? 0 : -1;
    case WEIR_EDIT_FIELD:
        return (uint32_t)edit->field < WEIR_FIELD_COUNT ? splice_field(&o, state, c->body, edit) : -1;
    default:
        return -1;
    }
}
