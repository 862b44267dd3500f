/* Edits of a request that stays in this dialect, put into the client's own bytes. What has a value there is replaced by the host;
 * here absent members are inserted. What would need two edits of one member has no place: the request is then encoded anew. */
#include "bedrock.h"

static int insert_first(struct bedrock *o, struct weir_str body, struct weir_str member)
{
    const char *brace = body.n ? memchr(body.p, '{', body.n) : NULL;
    return brace ? o->host->splice(o->call, (size_t)(brace - body.p) + 1, 0, member) : -1;
}

static bool is_empty(struct weir_str body, uint32_t at)
{
    size_t i = at + 1;
    while (i < body.n && (body.p[i] == ' ' || body.p[i] == '\t' || body.p[i] == '\r' || body.p[i] == '\n'))
        i++;
    return i < body.n && (body.p[i] == ']' || body.p[i] == '}');
}

static const char *inference_key(uint32_t field)
{
    switch (field) {
    case WEIR_FIELD_MAX_TOKENS:
        return "maxTokens";
    case WEIR_FIELD_TEMPERATURE:
        return "temperature";
    case WEIR_FIELD_TOP_P:
        return "topP";
    case WEIR_FIELD_STOP:
        return "stopSequences";
    default:
        return NULL;
    }
}

static int put_inference(struct bedrock *o, struct bedrock_client *s, struct weir_str body, const char *key,
                         struct weir_str value)
{
    const struct weir_host *h = o->host;
    bool is_second = s->was_inference_inserted;
    uint32_t at = s->inference.at;
    s->was_inference_inserted = true;
    if (is_second || (s->inference.n && body.p[at] != '{'))
        return -1;
    if (s->inference.n)
        return h->splice(
            o->call, at + 1, 0,
            h->format(o->call, "\"%s\":%.*s%s", key, (int)value.n, value.p, is_empty(body, at) ? "" : ","));
    return insert_first(o, body, h->format(o->call, "\"inferenceConfig\":{\"%s\":%.*s},", key, (int)value.n, value.p));
}

static int splice_field(struct bedrock *o, struct bedrock_client *s, struct weir_str body, const struct weir_edit *edit)
{
    const char *key = inference_key(edit->field);
    switch (edit->field) {
    case WEIR_FIELD_MODEL: /* the path says these */
    case WEIR_FIELD_STREAM:
    case WEIR_FIELD_STREAM_USAGE:
        return 0;
    default:
        return key ? put_inference(o, s, body, key, edit->value) : -1;
    }
}

static int prepend_system(struct bedrock *o, struct bedrock_client *s, struct weir_str body, struct weir_str plain)
{
    const struct weir_host *h = o->host;
    struct weir_out *out = h->out(o->call);
    if (!out)
        return -1;
    o->json->object_begin(out);
    o->json->key(out, "text");
    o->json->put_str(out, plain);
    o->json->object_end(out);
    struct weir_str block = h->out_bytes(out);
    uint32_t at = s->system.at;
    if (s->system.n && body.p[at] == '[')
        return h->splice(o->call, at + 1, 0,
                         h->format(o->call, "%.*s%s", (int)block.n, block.p, is_empty(body, at) ? "" : ","));
    bool is_second = s->was_system_inserted || s->system.n; /* would be a second member */
    s->was_system_inserted = true;
    return is_second ? -1 : insert_first(o, body, h->format(o->call, "\"system\":[%.*s],", (int)block.n, block.p));
}

/* Of Claude's thoughts each is signed; those of other families never are. With a budget to think Claude also refuses calls that none
 * of its own thoughts stands before. */
static bool has_foreign(struct bedrock *o, const struct bedrock_client *s, const struct weir_conversation *c)
{
    struct weir_str budget = weir_field(c, WEIR_FIELD_REASONING_BUDGET);
    bool is_claude = bedrock_model_of(bedrock_model_id(o, c)).family == BEDROCK_CLAUDE;
    bool has_budget = budget.n && budget.p[0] != '-' && !weir_is(budget, "0");
    return s->has_foreign || (is_claude && (s->has_unsigned || (has_budget && bedrock_is_in_foreign_loop(c))));
}

int bedrock_splice(void *self, struct weir_call *call, void *state, const struct weir_edit *edit)
{
    struct bedrock o = bedrock_begin(self, call);
    const struct weir_conversation *c = o.host->conversation(call);
    if (!c)
        return -1;
    switch (edit->kind) {
    case WEIR_EDIT_PREPEND_SYSTEM:
        return prepend_system(&o, state, c->body, edit->value);
    case WEIR_EDIT_ASK_USAGE:
        return 0; /* always told */
    case WEIR_EDIT_ANEW:
        return has_foreign(&o, state, c) ? 0 : -1;
    case WEIR_EDIT_FIELD:
        return splice_field(&o, state, c->body, edit);
    default:
        return -1;
    }
}
