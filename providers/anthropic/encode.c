/* A conversation becomes a request to Anthropic, or to a server that speaks its dialect. This room has settings and tools. What the
 * dialect can't say the table (anthropic.c) tells; what only this request can't have said is told here, with lose(). */
#include "encode.h"

/* The dialect demands a limit; a client of another that names none gets this one: long enough for most answers, and every
 * model takes it. */
enum { MAX_TOKENS_UNSAID = 4096 };

int64_t anthropic_number_of(struct weir_str s)
{
    int64_t n = 0;
    for (size_t i = 0; i < s.n && i < 18 && s.p[i] >= '0' && s.p[i] <= '9'; i++)
        n = 10 * n + (s.p[i] - '0');
    return s.n && s.p[0] == '-' ? -1 : n;
}

static struct weir_str field(const struct encoding *x, enum weir_field f)
{
    return weir_field(x->c, f);
}

static void put_raw(struct encoding *x, const char *key, struct weir_str value)
{
    if (!value.n)
        return;
    x->o.json->key(x->out, key);
    x->o.json->put_raw(x->out, value);
}

/* ---- schemas ---- */

/* Members whose value maps names to schemas: the names in it are not keywords. */
static bool is_map_of_schemas(struct weir_str key)
{
    return weir_is(key, "properties") || weir_is(key, "$defs") || weir_is(key, "definitions") ||
           weir_is(key, "patternProperties");
}

static bool is_literal(struct weir_str key)
{
    return weir_is(key, "enum") || weir_is(key, "const") || weir_is(key, "default") || weir_is(key, "examples");
}

/* Copies a schema; each object in it that leaves additionalProperties open closes it, as structured output demands. The reader
 * bounds the depth. */
static void put_closed(struct encoding *x, struct weir_json *r, bool is_map)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key, raw;
    bool is_object = false, is_closed = false;
    switch (j->peek(r)) {
    case WEIR_JSON_ARRAY:
        j->array_begin(x->out);
        for (j->array(r); j->element(r);)
            put_closed(x, r, false);
        j->array_end(x->out);
        return;
    case WEIR_JSON_OBJECT:
        break;
    default:
        if (j->raw(r, &raw))
            j->put_raw(x->out, raw);
        return;
    }
    j->object_begin(x->out);
    for (j->object(r); j->member(r, &key);) {
        is_object = is_object || weir_is(key, "properties");
        is_closed = is_closed || weir_is(key, "additionalProperties");
        j->key_str(x->out, key);
        if (!is_map && is_literal(key) && j->raw(r, &raw))
            j->put_raw(x->out, raw);
        else
            put_closed(x, r, !is_map && is_map_of_schemas(key));
    }
    if (is_object && !is_closed && !is_map) {
        anthropic_lose(&x->o, WEIR_FIELD_RESPONSE_FORMAT, WEIR_LOSS_EMULATED, "objects are closed with additionalProperties");
        j->key(x->out, "additionalProperties");
        j->put_bool(x->out, false);
    }
    j->object_end(x->out);
}

/* Tools' schemas must say that they are objects. */
static void put_tool_schema(struct encoding *x, struct weir_str schema)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key;
    bool has_type = false, is_empty = true;
    j->key(x->out, "input_schema");
    if (!schema.n || schema.p[0] != '{') {
        j->put_raw(x->out, WEIR_LIT("{\"type\":\"object\",\"properties\":{}}"));
        return;
    }
    struct weir_json *r = j->open(x->o.call, schema);
    for (j->object(r); j->member(r, &key);) {
        has_type = has_type || weir_is(key, "type");
        is_empty = false;
    }
    if (!has_type)
        schema = x->o.host->format(x->o.call, "{\"type\":\"object\"%s%.*s", is_empty ? "" : ",", (int)schema.n - 1,
                                   schema.p + 1);
    j->put_raw(x->out, schema);
}

/* ---- tools ---- */

/* Not a tool but a member of the request that only this dialect has (see mark_own in request.c). */
static bool is_member(const struct weir_tool *t)
{
    return t->raw.n && t->name.n && weir_eq(t->dialect, ANTHROPIC_DIALECT);
}

static void put_strict(struct encoding *x, const struct weir_tool *t)
{
    bool is_strict = weir_is(t->strict, "true");
    if (x->o.is_own || (is_strict && x->model.takes_strict))
        put_raw(x, "strict", t->strict);
    else if (is_strict)
        anthropic_lose(&x->o, WEIR_FEATURE_TOOL_STRICT, WEIR_LOSS_DROPPED, "this model has no strict tools");
}

static void put_tool(struct encoding *x, const struct weir_tool *t)
{
    const struct weir_json_api *j = x->o.json;
    if (t->raw.n) {
        if (weir_eq(t->dialect, ANTHROPIC_DIALECT))
            j->put_raw(x->out, t->raw);
        else
            anthropic_unsupported(&x->o, "tools",
                                  "A tool that only the client's own dialect has can't be sent to Anthropic.");
        return;
    }
    j->object_begin(x->out);
    j->key(x->out, "name");
    j->put_str(x->out, anthropic_sent_name(x, t->name));
    if (t->description.n) {
        j->key(x->out, "description");
        j->put_text(x->out, &t->description);
    }
    put_tool_schema(x, t->schema);
    put_strict(x, t);
    if (t->flags & WEIR_PART_CACHE_MARK)
        anthropic_put_cache_mark(x, t->cache_ttl);
    j->object_end(x->out);
}

/* A history with calls needs tools. Where the client declares none any more, the called ones are declared, and forbidden. */
static void put_called_tools(struct encoding *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_tool seen[32];
    uint32_t n = 0;
    for (const struct weir_message *m = x->c->messages; m; m = m->next)
        for (const struct weir_part *p = m->parts; p; p = p->next) {
            bool is_new = p->kind == WEIR_PART_TOOL_CALL && n < 32;
            for (uint32_t i = 0; is_new && i < n; i++)
                is_new = !weir_eq(seen[i].name, p->name);
            if (is_new)
                seen[n++] = (struct weir_tool){ .name = p->name };
        }
    j->key(x->out, "tools");
    j->array_begin(x->out);
    for (uint32_t i = 0; i < n; i++)
        put_tool(x, &seen[i]);
    j->array_end(x->out);
    put_raw(x, "tool_choice", WEIR_LIT("{\"type\":\"none\"}"));
    anthropic_lose(&x->o, WEIR_FEATURE_TOOLS, WEIR_LOSS_EMULATED, "the tools called earlier are declared");
}

static void put_tools(struct encoding *x)
{
    const struct weir_json_api *j = x->o.json;
    if (!x->has_tools) {
        if (x->has_calls && !x->o.is_own)
            put_called_tools(x);
    } else {
        j->key(x->out, "tools");
        j->array_begin(x->out);
        for (const struct weir_tool *t = x->c->tools; t && !x->o.failed; t = t->next)
            if (!is_member(t))
                put_tool(x, t);
        j->array_end(x->out);
    }
    for (const struct weir_tool *t = x->c->tools; t; t = t->next)
        if (is_member(t)) {
            j->key_str(x->out, t->name);
            j->put_raw(x->out, t->raw);
        }
}

static struct weir_str chosen_name(struct encoding *x, struct weir_str choice)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key, name = WEIR_NONE;
    struct weir_json *r = j->open(x->o.call, choice);
    for (j->object(r); j->member(r, &key);)
        if (weir_is(key, "name"))
            j->string(r, &name);
    return name;
}

bool anthropic_is_forced(struct weir_str choice)
{
    return choice.n && (choice.p[0] == '{' || weir_is(choice, "\"required\""));
}

static void put_tool_choice(struct encoding *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str choice = field(x, WEIR_FIELD_TOOL_CHOICE);
    bool is_lone = weir_is(field(x, WEIR_FIELD_PARALLEL_TOOLS), "false");
    bool has_parallel = field(x, WEIR_FIELD_PARALLEL_TOOLS).n > 0;
    if (!x->has_tools || (!choice.n && !(x->o.is_own ? has_parallel : is_lone)))
        return;
    struct weir_str name = choice.n && choice.p[0] == '{' ? chosen_name(x, choice) : WEIR_NONE;
    const char *type = x->must_call || !choice.n || weir_is(choice, "\"auto\"") ? "auto"
                       : name.n                                                 ? "tool"
                       : weir_is(choice, "\"none\"")                            ? "none"
                                                                                : "any";
    j->key(x->out, "tool_choice");
    j->object_begin(x->out);
    anthropic_put_member(x, "type", type);
    if (strcmp(type, "tool") == 0) {
        j->key(x->out, "name");
        j->put_str(x->out, anthropic_sent_name(x, name));
    }
    if (has_parallel && strcmp(type, "none") != 0 && (is_lone || x->o.is_own)) {
        j->key(x->out, "disable_parallel_tool_use");
        j->put_bool(x->out, is_lone);
    }
    j->object_end(x->out);
}

/* ---- settings ---- */

static void put_limit(struct encoding *x, const struct thinking *t)
{
    struct weir_str limit = field(x, WEIR_FIELD_MAX_TOKENS);
    x->o.json->key(x->out, "max_tokens");
    if (limit.n)
        x->o.json->put_raw(x->out, limit);
    else
        x->o.json->put_int(x->out, MAX_TOKENS_UNSAID + (t->how == BUDGET ? t->budget : 0));
}

/* A number above 1? Temperatures reach to 2 elsewhere. */
static bool is_above_one(struct weir_str number)
{
    return number.n && (number.p[0] >= '2' || (number.p[0] == '1' && number.n > 1 && number.p[1] != 'e' &&
                                               !(number.p[1] == '.' && strspn(number.p + 2, "0") >= number.n - 2)));
}

static void lose_sampling(struct encoding *x, const char *why)
{
    static const enum weir_field fields[] = { WEIR_FIELD_TEMPERATURE, WEIR_FIELD_TOP_P, WEIR_FIELD_TOP_K };
    for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++)
        if (field(x, fields[i]).n)
            anthropic_lose(&x->o, fields[i], WEIR_LOSS_DROPPED, why);
}

static void put_sampling(struct encoding *x, const struct thinking *t)
{
    struct weir_str temperature = field(x, WEIR_FIELD_TEMPERATURE), top_p = field(x, WEIR_FIELD_TOP_P),
                    top_k = field(x, WEIR_FIELD_TOP_K);
    bool thinks = t->how == BUDGET || t->how == ADAPTIVE;
    if (x->o.is_own) {
        put_raw(x, "temperature", temperature);
        put_raw(x, "top_p", top_p);
        put_raw(x, "top_k", top_k);
        return;
    }
    if (!x->model.takes_sampling || thinks) {
        lose_sampling(x, thinks ? "not while thinking" : "this model takes none");
        return;
    }
    if (is_above_one(temperature)) {
        temperature = WEIR_LIT("1");
        anthropic_lose(&x->o, WEIR_FIELD_TEMPERATURE, WEIR_LOSS_CHANGED, "sent as 1");
    }
    if (temperature.n && top_p.n) { /* together they are refused */
        top_p = WEIR_NONE;
        anthropic_lose(&x->o, WEIR_FIELD_TOP_P, WEIR_LOSS_DROPPED, "not together with temperature");
    }
    put_raw(x, "temperature", temperature);
    put_raw(x, "top_p", top_p);
    put_raw(x, "top_k", top_k);
}

static bool is_blank(struct weir_str s)
{
    bool blank = true;
    for (size_t i = 0; blank && i < s.n; i++)
        blank = s.p[i] == ' ' || (s.p[i] >= '\t' && s.p[i] <= '\r');
    return blank;
}

/* Sequences of white space alone are refused. */
static void put_stop(struct encoding *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str stop = field(x, WEIR_FIELD_STOP), each;
    if (!stop.n || x->o.is_own) {
        put_raw(x, "stop_sequences", stop);
        return;
    }
    struct weir_json *r = j->open(x->o.call, stop);
    j->key(x->out, "stop_sequences");
    j->array_begin(x->out);
    for (j->array(r); j->element(r) && j->string(r, &each);) {
        if (is_blank(each))
            anthropic_lose(&x->o, WEIR_FIELD_STOP, WEIR_LOSS_DROPPED, "sequences of white space alone are refused");
        else
            j->put_str(x->out, each);
    }
    j->array_end(x->out);
}

/* An id of the end user may be an address or a name elsewhere; here it must not be. */
static void put_user(struct encoding *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str user = field(x, WEIR_FIELD_USER);
    char hex[17];
    if (!user.n)
        return;
    j->key(x->out, "metadata");
    j->object_begin(x->out);
    j->key(x->out, "user_id");
    if (x->o.is_own) {
        j->put_raw(x->out, user);
    } else {
        anthropic_digest(x, user, hex);
        j->put_str(x->out, (struct weir_str){ hex, 16 });
    }
    j->object_end(x->out);
}

static void put_service_tier(struct encoding *x)
{
    struct weir_str tier = field(x, WEIR_FIELD_SERVICE_TIER);
    if (weir_is(tier, "\"default\""))
        tier = WEIR_LIT("\"standard_only\"");
    else if (!x->o.is_own && tier.n && !weir_is(tier, "\"auto\"")) {
        anthropic_lose(&x->o, WEIR_FIELD_SERVICE_TIER, WEIR_LOSS_DROPPED, "there are auto and default only");
        return;
    }
    put_raw(x, "service_tier", tier);
}

static void put_format(struct encoding *x, struct weir_str format)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key, schema = WEIR_NONE;
    struct weir_json *r = j->open(x->o.call, format);
    for (j->object(r); j->member(r, &key);)
        if (weir_is(key, "schema"))
            j->raw(r, &schema);
    j->key(x->out, "format");
    j->object_begin(x->out);
    anthropic_put_member(x, "type", "json_schema");
    j->key(x->out, "schema");
    if (x->o.is_own || !schema.n)
        j->put_raw(x->out, schema.n ? schema : WEIR_LIT("{\"type\":\"object\"}"));
    else
        put_closed(x, j->open(x->o.call, schema), false);
    j->object_end(x->out);
}

static void put_output_config(struct encoding *x, const struct thinking *t)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str format = field(x, WEIR_FIELD_RESPONSE_FORMAT);
    bool has_format = format.n && format.p[0] == '{',
         has_effort = t->effort.n && (x->o.is_own || x->model.takes_effort);
    if (!has_format && !has_effort)
        return;
    j->key(x->out, "output_config");
    j->object_begin(x->out);
    if (has_effort) {
        j->key(x->out, "effort");
        j->put_raw(x->out, t->effort);
    }
    if (has_format)
        put_format(x, format);
    j->object_end(x->out);
}

/* Members that nobody knew: only to the dialect that they came in. */
static void put_ext(struct encoding *x)
{
    for (const struct weir_ext *e = x->o.is_own ? x->c->ext : NULL; e; e = e->next) {
        if (e->path.n && (memchr(e->path.p, '[', e->path.n) || memchr(e->path.p, '.', e->path.n))) {
            anthropic_lose(&x->o, WEIR_FEATURE_EXT, WEIR_LOSS_DROPPED,
                           x->o.host->format(x->o.call, "%.*s", (int)e->path.n, e->path.p).p);
            continue;
        }
        x->o.json->key_str(x->out, e->path);
        x->o.json->put_raw(x->out, e->raw);
    }
}

/* Things that must be known before the first member is written. */
static void look_ahead(struct encoding *x)
{
    struct weir_str choice = field(x, WEIR_FIELD_TOOL_CHOICE);
    for (const struct weir_tool *t = x->c->tools; t; t = t->next)
        x->has_tools = x->has_tools || !is_member(t);
    for (const struct weir_message *m = x->c->messages; m; m = m->next)
        for (const struct weir_part *p = m->parts; p; p = p->next)
            x->has_calls = x->has_calls || p->kind == WEIR_PART_TOOL_CALL;
    if (x->o.is_own)
        return;
    x->must_be_json = weir_is(field(x, WEIR_FIELD_RESPONSE_FORMAT), "\"json_object\"");
    x->must_call = x->has_tools && anthropic_is_forced(choice) && !x->model.takes_forced_tools;
    if (x->must_be_json)
        anthropic_lose(&x->o, WEIR_FIELD_RESPONSE_FORMAT, WEIR_LOSS_EMULATED, "as a sentence in the prompt");
    if (!x->must_call)
        return;
    anthropic_lose(&x->o, WEIR_FIELD_TOOL_CHOICE, WEIR_LOSS_EMULATED, "as a sentence in the prompt: this model takes no forced call");
    if (choice.p[0] == '{')
        x->call = anthropic_sent_name(x, chosen_name(x, choice));
}

/* What only an answer heeds: who counts refuses it. */
static void put_answer_settings(struct encoding *x, const struct thinking *thinking)
{
    put_sampling(x, thinking);
    put_stop(x);
    put_user(x);
    put_service_tier(x);
    put_raw(x, "stream", weir_field(x->c, WEIR_FIELD_STREAM));
}

int anthropic_encode_request(void *self, struct weir_call *call, void *state,
                             const struct weir_conversation *conversation, struct weir_out *out)
{
    struct encoding x = { .o = anthropic_begin(self, call), .attempt = state, .c = conversation, .out = out };
    x.o.is_own = weir_eq(conversation->dialect, ANTHROPIC_DIALECT);
    x.model = anthropic_model_of(weir_field(conversation, WEIR_FIELD_MODEL));
    look_ahead(&x);
    struct thinking thinking = anthropic_wanted_thinking(&x);
    anthropic_fit_budget(&x, &thinking);
    x.o.json->object_begin(out);
    if (x.attempt->is_vertex)
        anthropic_put_vertex_version(&x.o, out);
    if (!x.attempt->is_vertex || anthropic_counts(&x.o))
        put_raw(&x, "model", weir_field(conversation, WEIR_FIELD_MODEL));
    bool counts = conversation->operation == WEIR_OP_COUNT;
    if (!counts)
        put_limit(&x, &thinking);
    anthropic_put_system(&x);
    anthropic_put_messages(&x);
    put_tools(&x);
    put_tool_choice(&x);
    anthropic_put_thinking(&x, &thinking);
    put_output_config(&x, &thinking);
    if (!x.o.is_own || thinking.how == UNSAID)
        anthropic_lose_thinking(&x, &thinking);
    if (!counts)
        put_answer_settings(&x, &thinking);
    put_ext(&x);
    x.o.json->object_end(out);
    return x.o.failed ? -1 : 0;
}
