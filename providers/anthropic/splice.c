/* Edits of a request that stays in this dialect, put into the client's own bytes. Where decode_request found a member its value
 * is replaced; what was absent is inserted behind the first brace. What would need two edits of one member has no place
 * here: the request is then encoded anew. */
#include "anthropic.h"

static int insert_first(struct anthropic *o, struct weir_str body, struct weir_str member)
{
    const char *brace = body.n ? memchr(body.p, '{', body.n) : NULL;
    return brace ? o->host->splice(o->call, (size_t)(brace - body.p) + 1, 0, member) : -1;
}

static const char *key_of(enum weir_field f)
{
    switch (f) {
    case WEIR_FIELD_MODEL:
        return "model";
    case WEIR_FIELD_STREAM:
        return "stream";
    case WEIR_FIELD_MAX_TOKENS:
        return "max_tokens";
    case WEIR_FIELD_TEMPERATURE:
        return "temperature";
    case WEIR_FIELD_TOP_P:
        return "top_p";
    case WEIR_FIELD_TOP_K:
        return "top_k";
    case WEIR_FIELD_STOP:
        return "stop_sequences";
    default:
        return NULL;
    }
}

static int put_effort(struct anthropic *o, const struct anthropic_client *s, struct weir_str body,
                      struct weir_str effort)
{
    if (s->output_config.n) /* it has none, or decode_request would have found it */
        return -1;
    return insert_first(o, body,
                        o->host->format(o->call, "\"output_config\":{\"effort\":%.*s},", (int)effort.n, effort.p));
}

static int put_budget(struct anthropic *o, const struct anthropic_client *s, struct weir_str body,
                      struct weir_str budget)
{
    const struct weir_host *h = o->host;
    struct weir_str value =
        weir_is(budget, "0") ? WEIR_LIT("{\"type\":\"disabled\"}")
        : weir_is(budget, "-1")
            ? WEIR_LIT("{\"type\":\"adaptive\"}")
            : h->format(o->call, "{\"type\":\"enabled\",\"budget_tokens\":%.*s}", (int)budget.n, budget.p);
    if (s->thinking.n)
        return h->splice(o->call, s->thinking.at, s->thinking.n, value);
    return insert_first(o, body, h->format(o->call, "\"thinking\":%.*s,", (int)value.n, value.p));
}

static int put_user(struct anthropic *o, const struct anthropic_client *s, struct weir_str body, struct weir_str user)
{
    if (s->metadata.n)
        return -1;
    return insert_first(o, body, o->host->format(o->call, "\"metadata\":{\"user_id\":%.*s},", (int)user.n, user.p));
}

static int splice_field(struct anthropic *o, const struct anthropic_client *s, struct weir_str body,
                        const struct weir_edit *edit)
{
    enum weir_field f = (enum weir_field)edit->field;
    const char *key = key_of(f);
    struct weir_str value = edit->value;
    if ((uint32_t)f >= WEIR_FIELD_COUNT)
        return -1;
    if (f == WEIR_FIELD_STREAM_USAGE)
        return 0; /* always told */
    if (f == WEIR_FIELD_REASONING_BUDGET)
        return put_budget(o, s, body, value);
    if (s->fields[f].n && (key || f == WEIR_FIELD_REASONING_EFFORT || f == WEIR_FIELD_USER))
        return o->host->splice(o->call, s->fields[f].at, s->fields[f].n, value);
    if (key)
        return insert_first(o, body, o->host->format(o->call, "\"%s\":%.*s,", key, (int)value.n, value.p));
    if (f == WEIR_FIELD_REASONING_EFFORT)
        return put_effort(o, s, body, value);
    return f == WEIR_FIELD_USER ? put_user(o, s, body, value) : -1;
}

/* The plain text as the inside of a JSON string. */
static struct weir_str escaped(struct anthropic *o, struct weir_str plain)
{
    struct weir_out *out = o->host->out(o->call);
    if (!out)
        return WEIR_NONE;
    o->json->put_str(out, plain);
    struct weir_str quoted = o->host->out_bytes(out);
    return quoted.n < 2 ? WEIR_NONE : (struct weir_str){ quoted.p + 1, quoted.n - 2 };
}

static bool is_empty_array(struct weir_str body, uint32_t at)
{
    size_t i = at + 1;
    while (i < body.n && (body.p[i] == ' ' || body.p[i] == '\t' || body.p[i] == '\r' || body.p[i] == '\n'))
        i++;
    return i < body.n && body.p[i] == ']';
}

static int prepend_system(struct anthropic *o, struct anthropic_client *s, struct weir_str body, struct weir_str plain)
{
    const struct weir_host *h = o->host;
    struct weir_str text = escaped(o, plain);
    int n = (int)text.n;
    if (!s->system.n) { /* a second one would be a second member */
        bool is_second = s->was_system_inserted;
        s->was_system_inserted = true;
        return is_second ? -1 : insert_first(o, body, h->format(o->call, "\"system\":\"%.*s\",", n, text.p));
    }
    uint32_t at = s->system.at;
    switch (body.p[at]) {
    case '"':
        return h->splice(o->call, at + 1, 0, h->format(o->call, "%.*s\\n\\n", n, text.p));
    case '[':
        return h->splice(o->call, at + 1, 0,
                         h->format(o->call, "{\"type\":\"text\",\"text\":\"%.*s\"}%s", n, text.p,
                                   is_empty_array(body, at) ? "" : ","));
    case 'n':
        return h->splice(o->call, at, 4, h->format(o->call, "\"%.*s\"", n, text.p));
    default:
        return -1;
    }
}

/* Also calls of a provider that does not think, or told no thoughts: with a budget to think they are refused. */
static bool has_foreign(const struct anthropic_client *s, const struct weir_conversation *c)
{
    struct weir_str budget = weir_field(c, WEIR_FIELD_REASONING_BUDGET);
    bool has_budget = budget.n && budget.p[0] != '-' && !weir_is(budget, "0");
    return s->has_foreign || (has_budget && anthropic_is_in_foreign_loop(c));
}

int anthropic_splice(void *self, struct weir_call *call, void *state, const struct weir_edit *edit)
{
    struct anthropic o = anthropic_begin(self, call);
    const struct weir_conversation *c = o.host->conversation(call);
    if (!c)
        return -1;
    switch (edit->kind) {
    case WEIR_EDIT_PREPEND_SYSTEM:
        return prepend_system(&o, state, c->body, edit->value);
    case WEIR_EDIT_ASK_USAGE:
        return 0; /* always told */
    case WEIR_EDIT_ANEW:
        return has_foreign(state, c) ? 0 : -1;
    case WEIR_EDIT_FIELD:
        return splice_field(&o, state, c->body, edit);
    default:
        return -1;
    }
}
