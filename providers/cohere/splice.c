/* Edits of a request that stays in this dialect, put into the client's own bytes. Settings that stand there in their canonical form
 * the host replaces itself; what is absent is inserted behind the first brace. */
#include "cohere.h"

static int splice_field(struct cohere *o, const struct cohere_client *s, struct weir_str body,
                        const struct weir_edit *edit)
{
    const struct weir_host *h = o->host;
    const char *key = cohere_field_key(edit->field), *brace = body.n ? memchr(body.p, '{', body.n) : NULL;
    bool is_odd = (s->odd_fields >> edit->field & 1) != 0;
    if (!key || !brace || is_odd || !edit->value.n)
        return -1;
    return h->splice(o->call, (size_t)(brace - body.p) + 1, 0,
                     h->format(o->call, "\"%s\":%.*s,", key, (int)edit->value.n, edit->value.p));
}

static int prepend_system(struct cohere *o, const struct cohere_client *s, struct weir_str plain)
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

int cohere_splice(void *self, struct weir_call *call, void *state, const struct weir_edit *edit)
{
    struct cohere o = cohere_begin(self, call);
    const struct weir_conversation *c = o.host->conversation(call);
    if (!c)
        return -1;
    switch (edit->kind) {
    case WEIR_EDIT_PREPEND_SYSTEM:
        return prepend_system(&o, state, edit->value);
    case WEIR_EDIT_ASK_USAGE:
        return 0; /* it always comes */
    case WEIR_EDIT_ANEW:
        return ((const struct cohere_client *)state)->has_foreign ? 0 : -1;
    case WEIR_EDIT_FIELD:
        return splice_field(&o, state, c->body, edit);
    default:
        return -1;
    }
}
