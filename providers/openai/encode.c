/* A conversation becomes a request to a provider of this dialect. What the dialect can't say the table (openai.c) tells; what
 * only this request can't have said is told here, with lose(). */
#include "quirks.h"

/* ---- tools ---- */

/* Not a tool but a member of the request that only this dialect has (see mark_own in request.c). */
static bool is_member(const struct weir_tool *t)
{
    return t->raw.n && t->name.n && weir_eq(t->dialect, OPENAI_DIALECT);
}

static void put_tool(struct encoding *x, const struct weir_tool *t)
{
    const struct weir_json_api *j = x->o.json;
    if (t->raw.n) {
        if (weir_eq(t->dialect, OPENAI_DIALECT))
            j->put_raw(x->out, t->raw);
        else
            openai_unsupported(
                &x->o, "tools",
                "A tool that the client's own provider runs can't be sent to a provider of the openai dialect.");
        return;
    }
    j->object_begin(x->out);
    openai_put_member(x, "type", "function");
    j->key(x->out, "function");
    j->object_begin(x->out);
    j->key(x->out, "name");
    j->put_str(x->out, openai_sent_name(x, t->name));
    if (t->description.n) {
        j->key(x->out, "description");
        j->put_text(x->out, &t->description);
    }
    if (t->schema.n) {
        j->key(x->out, "parameters");
        j->put_raw(x->out, t->schema);
    }
    if (t->strict.n && !openai_drops(x, "tools.strict", WEIR_FEATURE_TOOL_STRICT)) {
        j->key(x->out, "strict");
        j->put_raw(x->out, t->strict);
    }
    j->object_end(x->out);
    j->object_end(x->out);
}

static void put_tools(struct encoding *x)
{
    const struct weir_json_api *j = x->o.json;
    bool has_begun = false;
    for (const struct weir_tool *t = x->c->tools; t && !x->o.failed; t = t->next) {
        if (is_member(t))
            continue;
        if (!has_begun) {
            j->key(x->out, "tools");
            j->array_begin(x->out);
        }
        has_begun = true;
        put_tool(x, t);
    }
    if (has_begun)
        j->array_end(x->out);
    for (const struct weir_tool *t = x->c->tools; t; t = t->next)
        if (is_member(t) && !openai_drops_str(x, t->name, WEIR_FEATURE_TOOL_OPAQUE)) {
            j->key_str(x->out, t->name);
            j->put_raw(x->out, t->raw);
        }
}

/* ---- settings ---- */

static void put_field(struct encoding *x, enum weir_field f, struct weir_str value)
{
    const char *key = openai_field_key(f, weir_field(x->c, WEIR_FIELD_MODEL), x->attempt->entry);
    if (!key || !value.n || openai_drops(x, key, (uint32_t)f))
        return;
    x->o.json->key(x->out, openai_key_at(x->attempt->entry, key));
    openai_put_field(&x->o, x->out, f, value);
}

void openai_put_setting(struct encoding *x, enum weir_field f)
{
    put_field(x, f, weir_field(x->c, f));
}

/* "tool" of a forced call may be one that is sent under another name. */
static void put_tool_choice(struct encoding *x)
{
    struct weir_str choice = weir_field(x->c, WEIR_FIELD_TOOL_CHOICE);
    const struct weir_json_api *j = x->o.json;
    if (choice.n && choice.p[0] == '{' && x->attempt->aliases) {
        struct weir_str key, name = WEIR_NONE;
        struct weir_json *r = j->open(x->o.call, choice);
        for (j->object(r); j->member(r, &key);)
            if (weir_is(key, "name"))
                j->string(r, &name);
        struct weir_str sent = openai_sent_name(x, name);
        if (!weir_eq(sent, name))
            choice = x->o.host->format(x->o.call, "{\"name\":\"%.*s\"}", (int)sent.n, sent.p);
    }
    put_field(x, WEIR_FIELD_TOOL_CHOICE, choice);
}

/* gpt-4o and its like refuse the member at all; only the families from 5.1 on know "none". */
static bool knows_no_effort(struct weir_str model)
{
    return model.n > 7 && (memcmp(model.p, "\"gpt-5.", 7) == 0 || memcmp(model.p, "\"gpt-6", 6) == 0);
}

static int64_t number_of(struct weir_str s)
{
    int64_t n = 0;
    for (size_t i = 0; i < s.n && i < 18 && s.p[i] >= '0' && s.p[i] <= '9'; i++)
        n = 10 * n + (s.p[i] - '0');
    return s.n && s.p[0] == '-' ? -1 : n;
}

static void put_reasoning_settings(struct encoding *x)
{
    struct weir_str effort = weir_field(x->c, WEIR_FIELD_REASONING_EFFORT);
    struct weir_str budget = weir_field(x->c, WEIR_FIELD_REASONING_BUDGET);
    enum weir_field asked = WEIR_FIELD_REASONING_EFFORT;
    if (!effort.n && budget.n) {
        int64_t n = number_of(budget); /* the convention for budgets; -1: the model decides, which it does unasked */
        effort = n < 0       ? WEIR_NONE
                 : n == 0    ? WEIR_LIT("\"none\"")
                 : n < 4096  ? WEIR_LIT("\"low\"")
                 : n < 16384 ? WEIR_LIT("\"medium\"")
                             : WEIR_LIT("\"high\"");
        asked = WEIR_FIELD_REASONING_BUDGET;
    } else if (budget.n) {
        openai_lose(&x->o, WEIR_FIELD_REASONING_BUDGET, WEIR_LOSS_EMULATED, "the effort is said");
    }
    if (openai_refuses_effort(x->attempt->entry, x->c)) {
        if (effort.n && !weir_is(effort, "\"none\""))
            openai_lose(&x->o, asked, WEIR_LOSS_CHANGED, "to none: this model takes no effort beside tools here, by Responses it does");
        put_field(x, WEIR_FIELD_REASONING_EFFORT, WEIR_LIT("\"none\""));
        return;
    }
    if (weir_is(effort, "\"none\"") && !x->o.is_own && !knows_no_effort(weir_field(x->c, WEIR_FIELD_MODEL))) {
        openai_lose(&x->o, asked, WEIR_LOSS_DROPPED, "models before gpt-5.1 can't be told not to think");
        return;
    }
    if (asked == WEIR_FIELD_REASONING_BUDGET)
        openai_lose(&x->o, asked, WEIR_LOSS_EMULATED, effort.n ? "as an effort" : "the model decides unasked");
    put_field(x, WEIR_FIELD_REASONING_EFFORT, effort);
}

static void put_stream(struct encoding *x)
{
    const struct weir_json_api *j = x->o.json;
    put_field(x, WEIR_FIELD_STREAM, weir_field(x->c, WEIR_FIELD_STREAM));
    if (!weir_field_true(x->c, WEIR_FIELD_STREAM))
        return;
    if (x->attempt->entry && !x->attempt->entry->can_stream_usage)
        return;
    j->key(x->out, "stream_options");
    j->object_begin(x->out);
    j->key(x->out, "include_usage");
    j->put_bool(x->out, true);
    j->object_end(x->out);
}

static void put_settings(struct encoding *x)
{
    static const enum weir_field plain[] = {
        WEIR_FIELD_MAX_TOKENS,
        WEIR_FIELD_TEMPERATURE,
        WEIR_FIELD_TOP_P,
        WEIR_FIELD_STOP,
        WEIR_FIELD_N,
        WEIR_FIELD_SEED,
        WEIR_FIELD_FREQUENCY_PENALTY,
        WEIR_FIELD_PRESENCE_PENALTY,
        WEIR_FIELD_LOGIT_BIAS,
        WEIR_FIELD_LOGPROBS,
        WEIR_FIELD_TOP_LOGPROBS,
        WEIR_FIELD_USER,
        WEIR_FIELD_RESPONSE_FORMAT,
        WEIR_FIELD_VERBOSITY,
        WEIR_FIELD_MODALITIES,
    };
    for (size_t i = 0; i < sizeof(plain) / sizeof(*plain); i++)
        put_field(x, plain[i], weir_field(x->c, plain[i]));
    put_reasoning_settings(x);
    if (x->c->tools || x->o.is_own) {
        put_tool_choice(x);
        put_field(x, WEIR_FIELD_PARALLEL_TOOLS, weir_field(x->c, WEIR_FIELD_PARALLEL_TOOLS));
    }
    if (x->o.is_own) {
        put_field(x, WEIR_FIELD_TOP_K, weir_field(x->c, WEIR_FIELD_TOP_K));
        put_field(x, WEIR_FIELD_METADATA, weir_field(x->c, WEIR_FIELD_METADATA));
        put_field(x, WEIR_FIELD_SERVICE_TIER, weir_field(x->c, WEIR_FIELD_SERVICE_TIER));
    }
}

/* Members that nobody knew: only to the dialect that they came in. */
static void put_ext(struct encoding *x)
{
    for (const struct weir_ext *e = x->o.is_own ? x->c->ext : NULL; e; e = e->next) {
        if (e->path.n && memchr(e->path.p, '[', e->path.n)) {
            openai_lose(&x->o, WEIR_FEATURE_EXT, WEIR_LOSS_DROPPED,
                        x->o.host->format(x->o.call, "%.*s", (int)e->path.n, e->path.p).p);
            continue;
        }
        if (openai_drops_str(x, e->path, WEIR_FEATURE_EXT))
            continue;
        x->o.json->key_str(x->out, e->path);
        x->o.json->put_raw(x->out, e->raw);
    }
}

int openai_encode_request(void *self, struct weir_call *call, void *state, const struct weir_conversation *conversation,
                          struct weir_out *out)
{
    struct encoding x = { .o = openai_begin(self, call), .attempt = state, .c = conversation, .out = out };
    x.o.is_own = weir_eq(conversation->dialect, OPENAI_DIALECT);
    x.o.json->object_begin(out);
    put_field(&x, WEIR_FIELD_MODEL, weir_field(conversation, WEIR_FIELD_MODEL));
    if (conversation->operation == WEIR_OP_EMBED) {
        openai_put_inputs(&x);
    } else {
        openai_put_messages(&x);
        put_tools(&x);
        put_settings(&x);
        put_stream(&x);
    }
    put_ext(&x);
    x.o.json->object_end(out);
    return x.o.failed ? -1 : 0;
}
