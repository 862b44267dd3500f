/* A conversation becomes a request to a provider of this dialect. What it can't say is told with lose(), or refused where leaving it
 * out would change what the request means. */
#include "encode.h"

void ollama_lose(struct encoding *x, enum weir_feature feature, enum weir_loss what, const char *why)
{
    uint64_t *set = &x->told[(uint32_t)feature / 64], bit = UINT64_C(1) << ((uint32_t)feature % 64);
    if (!(*set & bit))
        x->o.host->lose(x->o.call, feature, what, why);
    *set |= bit;
}

int ollama_unsupported(struct ollama *o, const char *param, const char *message)
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

void ollama_put_member(struct encoding *x, const char *key, struct weir_str raw)
{
    x->o.json->key(x->out, key);
    x->o.json->put_raw(x->out, raw);
}

static void lose_field(struct encoding *x, enum weir_field f, enum weir_loss what, const char *why)
{
    ollama_lose(x, (enum weir_feature)f, what, why);
}

static struct weir_str field(const struct encoding *x, enum weir_field f)
{
    return weir_field(x->c, f);
}

/* ---- tools ---- */

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
    ollama_put_member(x, "type", WEIR_LIT("\"function\""));
    j->key(x->out, "function");
    j->object_begin(x->out);
    j->key(x->out, "name");
    j->put_str(x->out, t->name);
    if (t->description.n) {
        j->key(x->out, "description");
        j->put_text(x->out, &t->description);
    }
    if (t->schema.n || !x->o.is_own)
        ollama_put_member(x, "parameters",
                          t->schema.n ? t->schema : WEIR_LIT("{\"type\":\"object\",\"properties\":{}}"));
    j->object_end(x->out);
    j->object_end(x->out);
}

static void refuse_hosted(struct encoding *x)
{
    for (const struct weir_tool *t = x->c->tools; t; t = t->next)
        if (t->raw.n)
            ollama_unsupported(
                &x->o, "tools",
                "A tool that the client's own provider runs can't be sent to a provider of the ollama dialect.");
}

/* Which tool is called can't be demanded here: "none" sends no tools, a name only that one. */
static void put_tools(struct encoding *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str choice = field(x, WEIR_FIELD_TOOL_CHOICE), only = forced_tool(x);
    refuse_hosted(x);
    if (x->c->tools && weir_is(choice, "\"none\""))
        lose_field(x, WEIR_FIELD_TOOL_CHOICE, WEIR_LOSS_EMULATED, "no tools are sent");
    if (!x->c->tools || x->o.failed || weir_is(choice, "\"none\""))
        return;
    if (weir_is(choice, "\"required\""))
        lose_field(x, WEIR_FIELD_TOOL_CHOICE, WEIR_LOSS_DROPPED, "a call can't be demanded");
    if (only.n)
        lose_field(x, WEIR_FIELD_TOOL_CHOICE, WEIR_LOSS_CHANGED, "only that tool is offered, its call not demanded");
    j->key(x->out, "tools");
    j->array_begin(x->out);
    for (const struct weir_tool *t = x->c->tools; t; t = t->next)
        if (!only.n || weir_eq(only, t->name))
            put_tool(x, t);
    j->array_end(x->out);
}

/* ---- settings ---- */

static void put_options(struct encoding *x)
{
    const struct weir_json_api *j = x->o.json;
    bool has_begun = false;
    for (size_t i = 0; i < OLLAMA_OPTIONS; i++) {
        struct weir_str value = field(x, (enum weir_field)ollama_options[i].field);
        if (!value.n)
            continue;
        if (!has_begun) {
            j->key(x->out, "options");
            j->object_begin(x->out);
        }
        has_begun = true;
        ollama_put_member(x, ollama_options[i].name, value);
    }
    for (const struct weir_ext *e = x->o.is_own ? x->c->ext : NULL; e; e = e->next) {
        if (!ollama_is_option(e))
            continue;
        if (!has_begun) {
            j->key(x->out, "options");
            j->object_begin(x->out);
        }
        has_begun = true;
        j->key_str(x->out, (struct weir_str){ e->path.p + 8, e->path.n - 8 });
        j->put_raw(x->out, e->raw);
    }
    if (has_begun)
        j->object_end(x->out);
}

/* The schema of a response format: its name and description have no place here, and don't matter. */
static void put_format(struct encoding *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str format = field(x, WEIR_FIELD_RESPONSE_FORMAT), key, schema = WEIR_NONE;
    if (!format.n || weir_is(format, "\"text\""))
        return;
    if (format.p[0] != '{') {
        ollama_put_member(x, "format", WEIR_LIT("\"json\""));
        return;
    }
    struct weir_json *r = j->open(x->o.call, format);
    for (j->object(r); j->member(r, &key);)
        if (weir_is(key, "schema"))
            j->raw(r, &schema);
    ollama_put_member(x, "format", schema.n ? schema : WEIR_LIT("\"json\""));
}

static int64_t number_of(struct weir_str s)
{
    int64_t n = 0;
    for (size_t i = 0; i < s.n && i < 18 && s.p[i] >= '0' && s.p[i] <= '9'; i++)
        n = 10 * n + (s.p[i] - '0');
    return s.n && s.p[0] == '-' ? -1 : n;
}

/* The convention for budgets: below 4,096 tokens low, below 16,384 medium, else high. */
static struct weir_str think_of_budget(struct encoding *x, int64_t budget)
{
    if (budget < 0)
        return WEIR_LIT("true");
    if (budget == 0) {
        lose_field(x, WEIR_FIELD_REASONING_BUDGET, WEIR_LOSS_EMULATED, "thinking is off");
        return WEIR_LIT("false");
    }
    lose_field(x, WEIR_FIELD_REASONING_BUDGET, WEIR_LOSS_EMULATED, "a level in place of a number of tokens");
    return budget < 4096 ? WEIR_LIT("\"low\"") : budget < 16384 ? WEIR_LIT("\"medium\"") : WEIR_LIT("\"high\"");
}

static struct weir_str think_of_effort(struct encoding *x, struct weir_str effort)
{
    static const struct {
        const char *effort, *think;
        bool is_same;
    } levels[] = {
        { "\"none\"", "false", true },        { "\"minimal\"", "\"low\"", false }, { "\"low\"", "\"low\"", true },
        { "\"medium\"", "\"medium\"", true }, { "\"high\"", "\"high\"", true },    { "\"xhigh\"", "\"max\"", false },
        { "\"max\"", "\"max\"", true },
    };
    for (size_t i = 0; i < sizeof(levels) / sizeof(*levels); i++) {
        if (!weir_is(effort, levels[i].effort))
            continue;
        if (!levels[i].is_same)
            lose_field(x, WEIR_FIELD_REASONING_EFFORT, WEIR_LOSS_CHANGED, levels[i].think);
        return weir_cstr(levels[i].think);
    }
    lose_field(x, WEIR_FIELD_REASONING_EFFORT, WEIR_LOSS_DROPPED, "no level of this dialect");
    return WEIR_NONE;
}

static void put_think(struct encoding *x)
{
    struct weir_str effort = field(x, WEIR_FIELD_REASONING_EFFORT), budget = field(x, WEIR_FIELD_REASONING_BUDGET);
    struct weir_str visible = field(x, WEIR_FIELD_REASONING_VISIBLE);
    struct weir_str think = effort.n                   ? think_of_effort(x, effort)
                            : budget.n                 ? think_of_budget(x, number_of(budget))
                            : weir_is(visible, "true") ? WEIR_LIT("true")
                                                       : WEIR_NONE;
    if (weir_is(visible, "false") && think.n && !weir_is(think, "false"))
        lose_field(x, WEIR_FIELD_REASONING_VISIBLE, WEIR_LOSS_DROPPED, "thoughts are always told");
    if (think.n)
        ollama_put_member(x, "think", think);
}

static void lose_settings(struct encoding *x)
{
    struct weir_str n = field(x, WEIR_FIELD_N), modalities = field(x, WEIR_FIELD_MODALITIES);
    if (n.n && !weir_is(n, "1"))
        lose_field(x, WEIR_FIELD_N, WEIR_LOSS_DROPPED, "there is one answer");
    if (weir_is(field(x, WEIR_FIELD_PARALLEL_TOOLS), "false"))
        lose_field(x, WEIR_FIELD_PARALLEL_TOOLS, WEIR_LOSS_DROPPED, "several calls may come at once");
    if (modalities.n && !weir_is(modalities, "[\"text\"]"))
        lose_field(x, WEIR_FIELD_MODALITIES, WEIR_LOSS_DROPPED, "answers are text");
}

static void put_plain(struct encoding *x, enum weir_field f, const char *key)
{
    if (field(x, f).n)
        ollama_put_member(x, key, field(x, f));
}

/* Members that nobody knew go only to the dialect that they came in; elsewhere the host tells their loss. */
static void put_ext(struct encoding *x)
{
    bool has_nested = false;
    for (const struct weir_ext *e = x->o.is_own ? x->c->ext : NULL; e; e = e->next) {
        bool is_nested = e->path.n && memchr(e->path.p, '[', e->path.n);
        has_nested = has_nested || is_nested;
        if (is_nested || ollama_is_option(e))
            continue;
        x->o.json->key_str(x->out, e->path);
        x->o.json->put_raw(x->out, e->raw);
    }
    if (has_nested)
        x->o.host->note(x->o.call, "loss", WEIR_LIT("dropped:unknown members of messages"));
}

static void put_chat(struct encoding *x)
{
    ollama_put_messages(x);
    put_tools(x);
    /* Unless told otherwise an answer is streamed here. */
    ollama_put_member(x, "stream", weir_field_true(x->c, WEIR_FIELD_STREAM) ? WEIR_LIT("true") : WEIR_LIT("false"));
    put_format(x);
    put_think(x);
    put_plain(x, WEIR_FIELD_LOGPROBS, "logprobs");
    put_plain(x, WEIR_FIELD_TOP_LOGPROBS, "top_logprobs");
    lose_settings(x);
}

int ollama_encode_request(void *self, struct weir_call *call, void *state, const struct weir_conversation *conversation,
                          struct weir_out *out)
{
    struct encoding x = { .o = ollama_begin(self, call), .c = conversation, .out = out };
    (void)state;
    x.o.is_own = weir_eq(conversation->dialect, OLLAMA_DIALECT);
    x.o.json->object_begin(out);
    put_plain(&x, WEIR_FIELD_MODEL, "model");
    if (conversation->operation == WEIR_OP_EMBED)
        ollama_put_inputs(&x);
    else
        put_chat(&x);
    put_options(&x);
    put_ext(&x);
    x.o.json->object_end(out);
    return x.o.failed ? -1 : 0;
}
