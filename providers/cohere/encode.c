/* A conversation becomes a request to a provider of this dialect. What it can't say is told with lose(), or refused where leaving it
 * out would change what the request means. */
#include "encode.h"

#include <stdlib.h>

void cohere_lose(struct encoding *x, uint32_t feature, enum weir_loss what, const char *why)
{
    uint64_t *set = &x->told[feature / 64], bit = UINT64_C(1) << (feature % 64);
    if (!(*set & bit))
        x->o.host->lose(x->o.call, (enum weir_feature)feature, what, why);
    *set |= bit;
}

int cohere_unsupported(struct cohere *o, const char *param, const char *message)
{
    struct weir_error e = { .size = sizeof(e),
                            .error_class = WEIR_ERROR_UNSUPPORTED,
                            .message = weir_cstr(message),
                            .param = weir_cstr(param) };
    if (!o->failed)
        o->host->fail(o->call, &e);
    o->failed = true;
    return -1;
}

void cohere_put_member(struct encoding *x, const char *key, struct weir_str raw)
{
    x->o.json->key(x->out, key);
    x->o.json->put_raw(x->out, raw);
}

static struct weir_str field(const struct encoding *x, enum weir_field f)
{
    return weir_field(x->c, f);
}

/* ---- tools ---- */

static bool is_name_char(char c, bool is_first)
{
    bool is_digit = c >= '0' && c <= '9';
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (is_digit && !is_first);
}

static bool is_name_fit(struct weir_str name)
{
    bool fit = name.n > 0;
    for (size_t i = 0; fit && i < name.n; i++)
        fit = is_name_char(name.p[i], i == 0);
    return fit;
}

enum { ALIAS_MAX = 64, DIGEST = 16 };

/* Letters as they are, the rest as '_', and a digest: the same name always gives the same. */
static struct weir_str make_alias(struct encoding *x, struct weir_str name)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t hash[32];
    char *p = x->o.host->alloc(x->o.call, WEIR_FOR_ATTEMPT, ALIAS_MAX + DIGEST + 2);
    size_t n = 0;
    if (!p)
        return WEIR_NONE;
    if (name.n && name.p[0] >= '0' && name.p[0] <= '9')
        p[n++] = '_';
    for (size_t i = 0; i < name.n && n < ALIAS_MAX; i++)
        p[n++] = is_name_char(name.p[i], false) ? name.p[i] : '_';
    p[n++] = '_';
    x->o.host->sha256(name, hash);
    for (int i = 0; i < DIGEST / 2; i++) {
        p[n++] = digits[hash[i] >> 4];
        p[n++] = digits[hash[i] & 15];
    }
    return (struct weir_str){ p, n };
}

struct weir_str cohere_sent_name(struct encoding *x, struct weir_str name)
{
    if (x->o.is_own || is_name_fit(name))
        return name;
    for (struct cohere_alias *a = x->attempt->aliases; a; a = a->next)
        if (weir_eq(a->name, name))
            return a->sent;
    struct cohere_alias *a = x->o.host->alloc(x->o.call, WEIR_FOR_ATTEMPT, sizeof(*a));
    struct weir_str sent = a ? make_alias(x, name) : WEIR_NONE;
    if (!sent.p)
        return name;
    *a = (struct cohere_alias){ x->attempt->aliases, name, sent };
    x->attempt->aliases = a;
    cohere_lose(x, WEIR_FEATURE_TOOLS, WEIR_LOSS_EMULATED, "names of letters, digits and _, put back in the answer");
    return a->sent;
}

/* The name of a forced tool, "" if none is. */
static struct weir_str forced_tool(struct encoding *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str choice = field(x, WEIR_FIELD_TOOL_CHOICE), key, name = WEIR_NONE;
    if (!choice.n || choice.p[0] != '{')
        return WEIR_NONE;
    struct weir_json *r = j->open(x->o.call, choice);
    for (j->object(r); j->member(r, &key);)
        if (weir_is(key, "name"))
            j->string(r, &name);
    return name;
}

static void put_tool(struct encoding *x, const struct weir_tool *t)
{
    const struct weir_json_api *j = x->o.json;
    j->object_begin(x->out);
    cohere_put_member(x, "type", WEIR_LIT("\"function\""));
    j->key(x->out, "function");
    j->object_begin(x->out);
    j->key(x->out, "name");
    j->put_str(x->out, cohere_sent_name(x, t->name));
    if (t->description.n) {
        j->key(x->out, "description");
        j->put_text(x->out, &t->description);
    }
    if (t->schema.n || !x->o.is_own)
        cohere_put_member(x, "parameters",
                          t->schema.n ? t->schema : WEIR_LIT("{\"type\":\"object\",\"properties\":{}}"));
    j->object_end(x->out);
    j->object_end(x->out);
}

/* One word for all tools. */
static void put_strict(struct encoding *x)
{
    uint32_t n = 0, n_strict = 0;
    for (const struct weir_tool *t = x->c->tools; t; t = t->next) {
        n++;
        n_strict += weir_is(t->strict, "true");
    }
    if (n_strict == n)
        cohere_put_member(x, "strict_tools", WEIR_LIT("true"));
    else if (n_strict)
        cohere_lose(x, WEIR_FEATURE_TOOL_STRICT, WEIR_LOSS_DROPPED, "all tools are strict here, or none");
}

static void put_choice(struct encoding *x, bool is_forced)
{
    struct weir_str choice = field(x, WEIR_FIELD_TOOL_CHOICE);
    if (is_forced)
        cohere_lose(x, WEIR_FIELD_TOOL_CHOICE, WEIR_LOSS_EMULATED, "only that tool is offered, and a call demanded");
    if (is_forced || weir_is(choice, "\"required\""))
        cohere_put_member(x, "tool_choice", WEIR_LIT("\"REQUIRED\""));
    else if (weir_is(choice, "\"none\""))
        cohere_put_member(x, "tool_choice", WEIR_LIT("\"NONE\""));
}

static void put_tools(struct encoding *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str only = forced_tool(x);
    for (const struct weir_tool *t = x->c->tools; t; t = t->next)
        if (t->raw.n)
            cohere_unsupported(
                &x->o, "tools",
                "A tool that the client's own provider runs can't be sent to a provider of the cohere dialect.");
    if (!x->c->tools || x->o.failed)
        return;
    j->key(x->out, "tools");
    j->array_begin(x->out);
    for (const struct weir_tool *t = x->c->tools; t; t = t->next)
        if (!only.n || weir_eq(only, t->name))
            put_tool(x, t);
    j->array_end(x->out);
    put_strict(x);
    put_choice(x, only.n > 0);
}

/* ---- settings ---- */

static const struct range {
    uint8_t field;
    double min, max;
    const char *min_text, *max_text, *why;
} ranges[] = {
    { WEIR_FIELD_TEMPERATURE, 0, 1, "0", "1", "clamped to 0..1" },
    { WEIR_FIELD_TOP_P, 0.01, 0.99, "0.01", "0.99", "clamped to 0.01..0.99" },
    { WEIR_FIELD_TOP_K, 0, 500, "0", "500", "clamped to 0..500" },
    { WEIR_FIELD_FREQUENCY_PENALTY, 0, 1, "0", "1", "clamped to 0..1" },
    { WEIR_FIELD_PRESENCE_PENALTY, 0, 1, "0", "1", "clamped to 0..1" },
};

static double number_of(struct weir_str s)
{
    char copy[64];
    size_t n = s.n < sizeof(copy) - 1 ? s.n : sizeof(copy) - 1;
    memcpy(copy, s.p, n);
    copy[n] = '\0';
    return strtod(copy, NULL);
}

static void put_ranges(struct encoding *x)
{
    for (size_t i = 0; i < sizeof(ranges) / sizeof(*ranges); i++) {
        struct weir_str value = field(x, (enum weir_field)ranges[i].field);
        if (!value.n)
            continue;
        double n = number_of(value);
        bool is_low = n < ranges[i].min && !x->o.is_own, is_high = n > ranges[i].max && !x->o.is_own;
        if (is_low || is_high) {
            value = weir_cstr(is_low ? ranges[i].min_text : ranges[i].max_text);
            cohere_lose(x, ranges[i].field, WEIR_LOSS_CHANGED, ranges[i].why);
        }
        cohere_put_member(x, cohere_field_key(ranges[i].field), value);
    }
}

enum { STOPS = 5 };

static void put_stop(struct encoding *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str value = field(x, WEIR_FIELD_STOP), each;
    uint32_t n = 0;
    if (!value.n)
        return;
    j->key(x->out, "stop_sequences");
    j->array_begin(x->out);
    struct weir_json *r = j->open(x->o.call, value);
    for (j->array(r); j->element(r) && j->raw(r, &each); n++)
        if (n < STOPS || x->o.is_own)
            j->put_raw(x->out, each);
    j->array_end(x->out);
    if (n > STOPS && !x->o.is_own)
        cohere_lose(x, WEIR_FIELD_STOP, WEIR_LOSS_CHANGED, "the first five");
}

/* Unsigned here. */
static void put_seed(struct encoding *x)
{
    struct weir_str seed = field(x, WEIR_FIELD_SEED);
    if (!seed.n)
        return;
    if (seed.p[0] == '-' && !x->o.is_own) {
        seed = (struct weir_str){ seed.p + 1, seed.n - 1 };
        cohere_lose(x, WEIR_FIELD_SEED, WEIR_LOSS_CHANGED, "without its sign");
    }
    cohere_put_member(x, "seed", seed);
}

/* Tools, documents and a format of the answer exclude each other at the provider. */
static void put_response_format(struct encoding *x, bool has_documents)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str format = field(x, WEIR_FIELD_RESPONSE_FORMAT), key, schema = WEIR_NONE;
    if (!format.n || (weir_is(format, "\"text\"") && !x->o.is_own))
        return;
    if ((has_documents || x->c->tools) && !x->o.is_own) {
        cohere_lose(x, WEIR_FIELD_RESPONSE_FORMAT, WEIR_LOSS_DROPPED, "not together with tools or documents");
        return;
    }
    struct weir_json *r = format.p[0] == '{' ? j->open(x->o.call, format) : NULL;
    for (bool is_open = r && j->object(r); is_open && j->member(r, &key);)
        if (weir_is(key, "schema"))
            j->raw(r, &schema);
    j->key(x->out, "response_format");
    j->object_begin(x->out);
    cohere_put_member(x, "type", weir_is(format, "\"text\"") ? format : WEIR_LIT("\"json_object\""));
    if (schema.n)
        cohere_put_member(x, "json_schema", schema);
    j->object_end(x->out);
}

/* ---- thinking ---- */

static void put_enabled(struct encoding *x, struct weir_str budget)
{
    const struct weir_json_api *j = x->o.json;
    j->key(x->out, "thinking");
    j->object_begin(x->out);
    cohere_put_member(x, "type", WEIR_LIT("\"enabled\""));
    if (budget.n)
        cohere_put_member(x, "token_budget", budget);
    j->object_end(x->out);
    if (weir_is(field(x, WEIR_FIELD_REASONING_VISIBLE), "false"))
        cohere_lose(x, WEIR_FIELD_REASONING_VISIBLE, WEIR_LOSS_DROPPED, "thoughts are always told");
}

/* On, off, or a number of tokens: how much effort is said in tokens. */
static void put_effort(struct encoding *x, struct weir_str effort)
{
    static const struct {
        const char *effort, *budget;
    } levels[] = { { "\"minimal\"", "512" }, { "\"low\"", "1024" }, { "\"medium\"", "8192" }, { "\"high\"", "" } };
    for (size_t i = 0; i < sizeof(levels) / sizeof(*levels); i++) {
        if (!weir_is(effort, levels[i].effort))
            continue;
        cohere_lose(x, WEIR_FIELD_REASONING_EFFORT, WEIR_LOSS_EMULATED,
                    levels[i].budget[0] ? "a number of tokens" : "thinking is on or off");
        put_enabled(x, weir_cstr(levels[i].budget));
        return;
    }
    if (weir_is(effort, "\"xhigh\"") || weir_is(effort, "\"max\"")) {
        cohere_lose(x, WEIR_FIELD_REASONING_EFFORT, WEIR_LOSS_CHANGED, "high");
        put_enabled(x, WEIR_NONE);
    } else {
        cohere_lose(x, WEIR_FIELD_REASONING_EFFORT, WEIR_LOSS_DROPPED, "no level of this dialect");
    }
}

static void put_thinking(struct encoding *x)
{
    struct weir_str effort = field(x, WEIR_FIELD_REASONING_EFFORT), budget = field(x, WEIR_FIELD_REASONING_BUDGET);
    bool is_off = weir_is(effort, "\"none\"") || (!effort.n && weir_is(budget, "0") && !x->o.is_own);
    if (is_off && !effort.n)
        cohere_lose(x, WEIR_FIELD_REASONING_BUDGET, WEIR_LOSS_EMULATED, "thinking is off");
    if (is_off)
        cohere_put_member(x, "thinking", WEIR_LIT("{\"type\":\"disabled\"}"));
    else if (effort.n)
        put_effort(x, effort);
    else if (budget.n)
        put_enabled(x, weir_is(budget, "-1") ? WEIR_NONE : budget);
    else if (weir_is(field(x, WEIR_FIELD_REASONING_VISIBLE), "true"))
        put_enabled(x, WEIR_NONE);
}

/* ---- the rest ---- */

static void lose_settings(struct encoding *x)
{
    struct weir_str n = field(x, WEIR_FIELD_N), modalities = field(x, WEIR_FIELD_MODALITIES);
    struct weir_str tier = field(x, WEIR_FIELD_SERVICE_TIER);
    if (n.n && !weir_is(n, "1"))
        cohere_lose(x, WEIR_FIELD_N, WEIR_LOSS_DROPPED, "there is one answer");
    if (weir_is(field(x, WEIR_FIELD_PARALLEL_TOOLS), "false"))
        cohere_lose(x, WEIR_FIELD_PARALLEL_TOOLS, WEIR_LOSS_DROPPED, "several calls may come at once");
    if (modalities.n && !weir_is(modalities, "[\"text\"]"))
        cohere_lose(x, WEIR_FIELD_MODALITIES, WEIR_LOSS_DROPPED, "answers are text");
    if (weir_is(tier, "\"flex\"")) {
        cohere_put_member(x, "priority", WEIR_LIT("999"));
        cohere_lose(x, WEIR_FIELD_SERVICE_TIER, WEIR_LOSS_EMULATED, "the lowest priority");
    } else if (tier.n && !weir_is(tier, "\"auto\"")) {
        cohere_lose(x, WEIR_FIELD_SERVICE_TIER, WEIR_LOSS_DROPPED, "the highest priority is what there is unasked");
    }
}

static void put_plain(struct encoding *x, enum weir_field f)
{
    const char *key = f == WEIR_FIELD_MODEL ? "model" : cohere_field_key(f);
    if (field(x, f).n && key)
        cohere_put_member(x, key, field(x, f));
}

/* Members that nobody knew go only to the dialect that they came in; elsewhere the host tells their loss. */
static void put_ext(struct encoding *x)
{
    bool has_nested = false;
    for (const struct weir_ext *e = x->o.is_own ? x->c->ext : NULL; e; e = e->next) {
        bool is_nested = e->path.n && memchr(e->path.p, '[', e->path.n);
        has_nested = has_nested || is_nested;
        if (is_nested)
            continue;
        x->o.json->key_str(x->out, e->path);
        x->o.json->put_raw(x->out, e->raw);
    }
    if (has_nested)
        x->o.host->note(x->o.call, "loss", WEIR_LIT("dropped:unknown members of messages"));
}

static void put_chat(struct encoding *x)
{
    cohere_put_messages(x);
    bool has_documents = !x->o.failed && cohere_put_documents(x);
    put_tools(x);
    put_plain(x, WEIR_FIELD_STREAM);
    put_plain(x, WEIR_FIELD_MAX_TOKENS);
    put_ranges(x);
    put_stop(x);
    put_seed(x);
    put_plain(x, WEIR_FIELD_LOGPROBS);
    put_response_format(x, has_documents);
    put_thinking(x);
    lose_settings(x);
}

int cohere_encode_request(void *self, struct weir_call *call, void *state, const struct weir_conversation *conversation,
                          struct weir_out *out)
{
    struct encoding x = { .o = cohere_begin(self, call), .attempt = state, .c = conversation, .out = out };
    x.o.is_own = weir_eq(conversation->dialect, COHERE_DIALECT);
    x.o.json->object_begin(out);
    put_plain(&x, WEIR_FIELD_MODEL);
    if (conversation->operation == WEIR_OP_EMBED)
        cohere_put_embed(&x);
    else if (conversation->operation == WEIR_OP_RERANK)
        cohere_put_rerank(&x);
    else
        put_chat(&x);
    put_ext(&x);
    x.o.json->object_end(out);
    return x.o.failed ? -1 : 0;
}
