/* Edits of a request that stays in this dialect, put into the client's own bytes. Settings that stand there in their canonical form
 * the host replaces itself; an option that is absent goes to the others. Where there are no others the request is encoded anew:
 * two edits must not make two `options`. */
#include "ollama.h"

static const char *option_of(uint32_t field)
{
    for (size_t i = 0; i < OLLAMA_OPTIONS; i++)
        if (ollama_options[i].field == field)
            return ollama_options[i].name;
    return NULL;
}

static const char *member_of(uint32_t field)
{
    switch (field) {
    case WEIR_FIELD_STREAM:
        return "stream";
    case WEIR_FIELD_LOGPROBS:
        return "logprobs";
    case WEIR_FIELD_TOP_LOGPROBS:
        return "top_logprobs";
    default:
        return NULL;
    }
}

static int splice_field(struct ollama *o, const struct ollama_client *s, struct weir_str body,
                        const struct weir_edit *edit)
{
    const struct weir_host *h = o->host;
    const char *option = option_of(edit->field), *member = member_of(edit->field);
    const char *brace = body.n ? memchr(body.p, '{', body.n) : NULL;
    uint32_t at = option ? s->options_at : brace ? (uint32_t)(brace - body.p) + 1 : 0;
    bool is_odd = (s->odd_fields >> edit->field & 1) != 0;
    if ((!option && !member) || !at || is_odd || !edit->value.n)
        return -1;
    return h->splice(o->call, at, 0,
                     h->format(o->call, "\"%s\":%.*s,", option ? option : member, (int)edit->value.n, edit->value.p));
}

static int prepend_system(struct ollama *o, const struct ollama_client *s, struct weir_str plain)
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

int ollama_splice(void *self, struct weir_call *call, void *state, const struct weir_edit *edit)
{
    struct ollama o = ollama_begin(self, call);
    const struct weir_conversation *c = o.host->conversation(call);
    if (!c)
        return -1;
    switch (edit->kind) {
    case WEIR_EDIT_PREPEND_SYSTEM:
        return prepend_system(&o, state, edit->value);
    case WEIR_EDIT_ASK_USAGE:
        return 0; /* it always comes */
    case WEIR_EDIT_ANEW:
        return ((const struct ollama_client *)state)->has_foreign ? 0 : -1;
    case WEIR_EDIT_FIELD:
        return splice_field(&o, state, c->body, edit);
    default:
        return -1;
    }
}
