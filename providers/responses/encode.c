/* A conversation becomes a request to a provider of this dialect. What the dialect can't say is told as a loss, or refused where
 * leaving it out would change what the request means.
 *
 * A client of the same dialect whose request must be written anew (an edit had no place in its bytes) keeps every member that
 * weir has no word for: they are copied from its body. */
#include "encode.h"

static struct weir_str field(const struct encoding *x, enum weir_field f)
{
    return weir_field(x->c, f);
}

static void put_field(struct encoding *x, enum weir_field f, struct weir_str value)
{
    if (!value.n)
        return;
    x->o.json->key(x->out, responses_field_key(f));
    responses_put_field(&x->o, x->out, f, value);
}

struct weir_str responses_own_member(struct encoding *x, const char *name)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key, raw, found = WEIR_NONE;
    if (!x->o.is_own)
        return found;
    struct weir_json *r = j->open(x->o.call, x->c->body);
    for (j->object(r); j->member(r, &key) && j->raw(r, &raw);)
        if (weir_is(key, name))
            found = raw;
    return weir_is(found, "null") ? WEIR_NONE : found;
}

/* ---- tools ---- */

/* Not a tool but a member of the request that only this dialect has (see mark_own in request.c). */
static bool is_member(const struct weir_tool *t)
{
    return t->raw.n && t->name.n && weir_eq(t->dialect, RESPONSES_DIALECT);
}

static void put_function(struct encoding *x, const struct weir_tool *t)
{
    const struct weir_json_api *j = x->o.json;
    j->object_begin(x->out);
    responses_put_member(x, "type", "function");
    j->key(x->out, "name");
    j->put_str(x->out, responses_sent_name(x, t->name));
    if (t->description.n) {
        j->key(x->out, "description");
        j->put_text(x->out, &t->description);
    }
    j->key(x->out, "parameters");
    j->put_raw(x->out, t->schema.n ? t->schema : WEIR_LIT("{\"type\":\"object\",\"properties\":{}}"));
    j->key(x->out, "strict"); /* unsaid it is true in this dialect, and false in all others */
    j->put_raw(x->out, t->strict.n ? t->strict : WEIR_LIT("false"));
    j->object_end(x->out);
}

static void put_tool(struct encoding *x, const struct weir_tool *t)
{
    if (!t->raw.n)
        put_function(x, t);
    else if (weir_eq(t->dialect, RESPONSES_DIALECT))
        x->o.json->put_raw(x->out, t->raw);
    else
        responses_unsupported(
            &x->o, "tools",
            "A tool that only the client's own dialect has can't be sent to a provider of the responses dialect.");
}

static void put_tools(struct encoding *x)
{
    const struct weir_json_api *j = x->o.json;
    bool has_begun = false;
    struct weir_str own = responses_own_member(x, "tools");
    if (own.n) { /* nobody edits tools */
        j->key(x->out, "tools");
        j->put_raw(x->out, own);
        return;
    }
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
    x->has_tools = has_begun;
}

/* The tool of a forced call may be one that is sent under another name. */
static void put_tool_choice(struct encoding *x)
{
    struct weir_str choice = field(x, WEIR_FIELD_TOOL_CHOICE);
    const struct weir_json_api *j = x->o.json;
    if (!x->has_tools && !x->o.is_own)
        return;
    if (!choice.n)
        choice = responses_own_member(x, "tool_choice");
    else if (choice.p[0] == '{' && x->attempt->aliases) {
        struct weir_str key, name = WEIR_NONE;
        struct weir_json *r = j->open(x->o.call, choice);
        for (j->object(r); j->member(r, &key);)
            if (weir_is(key, "name"))
                j->string(r, &name);
        struct weir_str sent = responses_sent_name(x, name);
        if (!weir_eq(sent, name))
            choice = x->o.host->format(x->o.call, "{\"name\":\"%.*s\"}", (int)sent.n, sent.p);
    }
    if (!choice.n)
        return;
    j->key(x->out, "tool_choice");
    if (field(x, WEIR_FIELD_TOOL_CHOICE).n)
        responses_put_field(&x->o, x->out, WEIR_FIELD_TOOL_CHOICE, choice);
    else
        j->put_raw(x->out, choice);
}

/* ---- reasoning and text ---- */

static bool begins(struct weir_str s, const char *prefix)
{
    size_t n = strlen(prefix);
    return s.n >= n && memcmp(s.p, prefix, n) == 0;
}

/* Of a model's name, as JSON: one of OpenAI's that reason, and gives its reasoning out encrypted. */
static bool is_reasoning_model(struct weir_str model)
{
    return begins(model, "\"gpt-5") || begins(model, "\"gpt-6") || begins(model, "\"codex-") || begins(model, "\"o1") ||
           begins(model, "\"o3") || begins(model, "\"o4");
}

/* Only the families from 5.1 on know "none"; others refuse the word. */
static bool knows_no_effort(struct weir_str model)
{
    return begins(model, "\"gpt-5.") || begins(model, "\"gpt-6");
}

static int64_t number_of(struct weir_str s)
{
    int64_t n = 0;
    for (size_t i = 0; i < s.n && i < 18 && s.p[i] >= '0' && s.p[i] <= '9'; i++)
        n = 10 * n + (s.p[i] - '0');
    return s.n && s.p[0] == '-' ? -1 : n;
}

/* Servers of the chat dialect have words of their own: "default". */
static bool is_effort(struct weir_str json)
{
    static const char *const words[] = { "\"none\"", "\"minimal\"", "\"low\"", "\"medium\"", "\"high\"", "\"xhigh\"", "\"max\"" };
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        if (weir_is(json, words[i]))
            return true;
    return false;
}

static struct weir_str wanted_effort(struct encoding *x)
{
    struct weir_str effort = field(x, WEIR_FIELD_REASONING_EFFORT), budget = field(x, WEIR_FIELD_REASONING_BUDGET);
    if (!effort.n && budget.n) {
        int64_t n = number_of(budget); /* the convention for budgets; -1: the model decides, which it does unasked */
        effort = n < 0       ? WEIR_NONE
                 : n == 0    ? WEIR_LIT("\"none\"")
                 : n < 4096  ? WEIR_LIT("\"low\"")
                 : n < 16384 ? WEIR_LIT("\"medium\"")
                             : WEIR_LIT("\"high\"");
        if (n)
            responses_lose(&x->o, WEIR_FIELD_REASONING_BUDGET, WEIR_LOSS_EMULATED,
                           n > 0 ? "said as an effort" : "the model decides unasked");
    } else if (effort.n && budget.n) {
        responses_lose(&x->o, WEIR_FIELD_REASONING_BUDGET, WEIR_LOSS_DROPPED, "the effort says it");
    }
    if (!x->o.is_own && effort.n && !is_effort(effort)) {
        responses_lose(&x->o, WEIR_FIELD_REASONING_EFFORT, WEIR_LOSS_DROPPED, "no effort that this dialect knows");
        return WEIR_NONE;
    }
    if (!x->o.is_own && weir_is(effort, "\"none\"") && !knows_no_effort(field(x, WEIR_FIELD_MODEL))) {
        if (is_reasoning_model(field(x, WEIR_FIELD_MODEL)))
            responses_lose(&x->o, budget.n ? WEIR_FIELD_REASONING_BUDGET : WEIR_FIELD_REASONING_EFFORT,
                           WEIR_LOSS_DROPPED, "this model can't be told not to think");
        return WEIR_NONE;
    }
    return effort;
}

/* Members of an object that weir has no word for. */
static void put_rest(struct encoding *x, const char *of, const char *known, const char *also)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str own = responses_own_member(x, of), key, raw;
    if (!own.n || own.p[0] != '{')
        return;
    struct weir_json *r = j->open(x->o.call, own);
    for (j->object(r); j->member(r, &key) && j->raw(r, &raw);)
        if (!weir_is(key, known) && !weir_is(key, also)) {
            j->key_str(x->out, key);
            j->put_raw(x->out, raw);
        }
}

/* How much of the thoughts is wanted, in the client's own word if it has one. */
static struct weir_str wanted_summary(struct encoding *x)
{
    struct weir_str visible = field(x, WEIR_FIELD_REASONING_VISIBLE);
    for (const struct weir_ext *e = x->c->ext; x->o.is_own && e; e = e->next)
        if (weir_is(e->path, "reasoning.summary") && weir_is(visible, "true"))
            return e->raw;
    return weir_is(visible, "true") ? WEIR_LIT("\"auto\"") : visible.n ? WEIR_LIT("null") : WEIR_NONE;
}

static void put_reasoning(struct encoding *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str effort = wanted_effort(x), summary = wanted_summary(x);
    if (!effort.n && !summary.n && !responses_own_member(x, "reasoning").n)
        return;
    j->key(x->out, "reasoning");
    j->object_begin(x->out);
    if (effort.n) {
        j->key(x->out, "effort");
        j->put_raw(x->out, effort);
    }
    if (summary.n) {
        j->key(x->out, "summary");
        j->put_raw(x->out, summary);
    }
    put_rest(x, "reasoning", "effort", "summary");
    j->object_end(x->out);
}

static void put_text(struct encoding *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str format = field(x, WEIR_FIELD_RESPONSE_FORMAT), verbosity = field(x, WEIR_FIELD_VERBOSITY);
    if (!format.n && !verbosity.n && !responses_own_member(x, "text").n)
        return;
    j->key(x->out, "text");
    j->object_begin(x->out);
    if (format.n) {
        j->key(x->out, "format");
        responses_put_field(&x->o, x->out, WEIR_FIELD_RESPONSE_FORMAT, format);
    }
    if (verbosity.n) {
        j->key(x->out, "verbosity");
        j->put_raw(x->out, verbosity);
    }
    put_rest(x, "text", format.n ? "format" : "", "verbosity");
    j->object_end(x->out);
}

/* ---- settings ---- */

static void put_limit(struct encoding *x)
{
    struct weir_str limit = field(x, WEIR_FIELD_MAX_TOKENS);
    if (limit.n && !x->o.is_own && number_of(limit) < 16) {
        limit = WEIR_LIT("16");
        responses_lose(&x->o, WEIR_FIELD_MAX_TOKENS, WEIR_LOSS_CHANGED, "16 is the least");
    }
    put_field(x, WEIR_FIELD_MAX_TOKENS, limit);
}

static void put_service_tier(struct encoding *x)
{
    static const char *const tiers[] = {
        "\"auto\"", "\"default\"", "\"flex\"", "\"scale\"", "\"priority\"", "\"fast\""
    };
    struct weir_str tier = field(x, WEIR_FIELD_SERVICE_TIER);
    bool is_known = x->o.is_own;
    for (size_t i = 0; !is_known && i < sizeof(tiers) / sizeof(*tiers); i++)
        is_known = weir_is(tier, tiers[i]);
    if (is_known)
        put_field(x, WEIR_FIELD_SERVICE_TIER, tier);
    else if (tier.n)
        responses_lose(&x->o, WEIR_FIELD_SERVICE_TIER, WEIR_LOSS_DROPPED, "a word of another dialect");
}

static void put_user(struct encoding *x)
{
    struct weir_str user = field(x, WEIR_FIELD_USER);
    if (!user.n)
        return;
    bool is_newer = x->o.is_own && !responses_own_member(x, "user").n && responses_own_member(x, "safety_identifier").n;
    x->o.json->key(x->out, is_newer ? "safety_identifier" : "user");
    x->o.json->put_raw(x->out, user);
}

/* Other clients have nothing stored, and get what they need to go on without: reasoning that only the provider can read. */
static void put_statelessness(struct encoding *x)
{
    const struct weir_json_api *j = x->o.json;
    bool wants_logprobs = weir_field_true(x->c, WEIR_FIELD_LOGPROBS);
    bool reasons = is_reasoning_model(field(x, WEIR_FIELD_MODEL));
    j->key(x->out, "store");
    j->put_bool(x->out, false);
    if (!wants_logprobs && !reasons)
        return;
    j->key(x->out, "include");
    j->array_begin(x->out);
    if (reasons)
        j->put_str(x->out, WEIR_LIT("reasoning.encrypted_content"));
    if (wants_logprobs)
        j->put_str(x->out, WEIR_LIT("message.output_text.logprobs"));
    j->array_end(x->out);
}

/* ---- the members, in order ---- */

static void put_model(struct encoding *x)
{
    put_field(x, WEIR_FIELD_MODEL, field(x, WEIR_FIELD_MODEL));
}

static void put_parallel(struct encoding *x)
{
    if (x->has_tools || x->o.is_own)
        put_field(x, WEIR_FIELD_PARALLEL_TOOLS, field(x, WEIR_FIELD_PARALLEL_TOOLS));
}

static void put_temperature(struct encoding *x)
{
    put_field(x, WEIR_FIELD_TEMPERATURE, field(x, WEIR_FIELD_TEMPERATURE));
}

static void put_top_p(struct encoding *x)
{
    put_field(x, WEIR_FIELD_TOP_P, field(x, WEIR_FIELD_TOP_P));
}

static void put_top_logprobs(struct encoding *x)
{
    put_field(x, WEIR_FIELD_TOP_LOGPROBS, field(x, WEIR_FIELD_TOP_LOGPROBS));
}

static void put_metadata(struct encoding *x)
{
    put_field(x, WEIR_FIELD_METADATA, field(x, WEIR_FIELD_METADATA));
}

static void put_stream(struct encoding *x)
{
    put_field(x, WEIR_FIELD_STREAM, field(x, WEIR_FIELD_STREAM));
}

/* is_for_answer: a count of tokens has no use for it. */
static const struct member {
    const char *key;
    void (*put)(struct encoding *x);
    bool is_for_answer;
} members[] = {
    { "model", put_model, false },
    { "instructions", responses_put_instructions, false },
    { "input", responses_put_input, false },
    { "tools", put_tools, false },
    { "tool_choice", put_tool_choice, false },
    { "parallel_tool_calls", put_parallel, false },
    { "reasoning", put_reasoning, false },
    { "text", put_text, false },
    { "max_output_tokens", put_limit, true },
    { "temperature", put_temperature, true },
    { "top_p", put_top_p, true },
    { "top_logprobs", put_top_logprobs, true },
    { "user", put_user, true },
    { "metadata", put_metadata, true },
    { "service_tier", put_service_tier, true },
    { "stream", put_stream, true },
};
enum { MEMBERS = sizeof(members) / sizeof(*members) };

static uint32_t member_of(struct encoding *x, struct weir_str key)
{
    uint32_t i = 0;
    if (weir_is(key, "safety_identifier") && !responses_own_member(x, "user").n)
        key = WEIR_LIT("user");
    while (i < MEMBERS && !weir_is(key, members[i].key))
        i++;
    return i;
}

/* The members of a client of the same dialect, in its order; those that weir has no word for as they are. */
static uint32_t put_own(struct encoding *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key, raw;
    uint32_t done = 0;
    struct weir_json *r = j->open(x->o.call, x->c->body);
    for (j->object(r); !x->o.failed && j->member(r, &key) && j->raw(r, &raw);) {
        uint32_t i = member_of(x, key);
        if (i < MEMBERS && !(done >> i & 1)) {
            members[i].put(x);
            done |= 1u << i;
        } else if (i == MEMBERS) {
            j->key_str(x->out, key);
            j->put_raw(x->out, raw);
        }
    }
    return done;
}

int responses_encode_request(void *self, struct weir_call *call, void *state,
                             const struct weir_conversation *conversation, struct weir_out *out)
{
    struct encoding x = { .o = responses_begin(self, call), .attempt = state, .c = conversation, .out = out };
    bool counts = conversation->operation == WEIR_OP_COUNT;
    x.o.is_own = weir_eq(conversation->dialect, RESPONSES_DIALECT);
    responses_choose_instructions(&x);
    x.o.json->object_begin(out);
    uint32_t done = x.o.is_own ? put_own(&x) : 0;
    for (uint32_t i = 0; i < MEMBERS && !x.o.failed; i++)
        if (!(done >> i & 1) && !(counts && members[i].is_for_answer))
            members[i].put(&x);
    if (!x.o.is_own && !counts)
        put_statelessness(&x);
    x.o.json->object_end(out);
    return x.o.failed ? -1 : 0;
}
