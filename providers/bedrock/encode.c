/* A conversation becomes a Converse request. This room has settings and tools. What the dialect or the model can't say is told as a
 * loss, or refused where leaving it out would change what the request means. */
#include "encode.h"

/* Claude's own default is short; a client that names no limit but a budget gets this beside the budget. */
enum { MAX_TOKENS_BESIDE = 4096 };

int64_t bedrock_number(struct weir_str s)
{
    int64_t n = 0;
    for (size_t i = 0; i < s.n && i < 18 && s.p[i] >= '0' && s.p[i] <= '9'; i++)
        n = 10 * n + (s.p[i] - '0');
    return s.n && s.p[0] == '-' ? -1 : n;
}

void bedrock_lose_once(struct encoding *x, uint32_t feature, enum weir_loss what, const char *why)
{
    static const uint32_t from = WEIR_FEATURE_SYSTEM_LATER;
    uint64_t bit = UINT64_C(1) << (feature < from ? feature : 63 - (feature - from));
    if (x->said & bit)
        return;
    x->said |= bit;
    bedrock_lose(&x->o, feature, what, why);
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
static void put_closed(struct encoding *x, struct weir_out *out, struct weir_json *r, bool is_map)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key, raw;
    bool is_object = false, is_closed = false;
    enum weir_json_type type = j->peek(r);
    if (type == WEIR_JSON_ARRAY) {
        j->array_begin(out);
        for (j->array(r); j->element(r);)
            put_closed(x, out, r, false);
        j->array_end(out);
        return;
    }
    if (type != WEIR_JSON_OBJECT) {
        if (j->raw(r, &raw))
            j->put_raw(out, raw);
        return;
    }
    j->object_begin(out);
    for (j->object(r); j->member(r, &key);) {
        is_object = is_object || weir_is(key, "properties");
        is_closed = is_closed || weir_is(key, "additionalProperties");
        j->key_str(out, key);
        if (!is_map && is_literal(key) && j->raw(r, &raw))
            j->put_raw(out, raw);
        else
            put_closed(x, out, r, !is_map && is_map_of_schemas(key));
    }
    if (is_object && !is_closed && !is_map) {
        bedrock_lose_once(x, WEIR_FIELD_RESPONSE_FORMAT, WEIR_LOSS_EMULATED,
                          "objects are closed with additionalProperties");
        j->key(out, "additionalProperties");
        j->put_bool(out, false);
    }
    j->object_end(out);
}

/* Tools' schemas must say that they are objects. */
static void put_tool_schema(struct encoding *x, struct weir_str schema)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key;
    bool has_type = false, is_empty = true;
    j->key(x->out, "inputSchema");
    j->object_begin(x->out);
    if (!schema.n || schema.p[0] != '{') {
        bedrock_put_raw(x, "json", WEIR_LIT("{\"type\":\"object\",\"properties\":{}}"));
        j->object_end(x->out);
        return;
    }
    struct weir_json *r = j->open(x->o.call, schema);
    for (j->object(r); j->member(r, &key);) {
        has_type = has_type || weir_is(key, "type");
        is_empty = false;
    }
    if (!has_type && !x->o.is_own)
        schema = x->o.host->format(x->o.call, "{\"type\":\"object\"%s%.*s", is_empty ? "" : ",", (int)schema.n - 1,
                                   schema.p + 1);
    bedrock_put_raw(x, "json", schema);
    j->object_end(x->out);
}

/* ---- tools ---- */

static void put_spec(struct encoding *x, const struct weir_tool *t)
{
    const struct weir_json_api *j = x->o.json;
    bool is_strict = weir_is(t->strict, "true");
    j->key(x->out, "toolSpec");
    j->object_begin(x->out);
    j->key(x->out, "name");
    j->put_str(x->out, bedrock_sent_name(x, t->name));
    if (t->description.n) { /* one that is empty is refused */
        j->key(x->out, "description");
        j->put_text(x->out, &t->description);
    }
    put_tool_schema(x, t->schema);
    if (x->o.is_own || (is_strict && x->model.takes_strict))
        bedrock_put_raw(x, "strict", t->strict);
    else if (is_strict)
        bedrock_lose_once(x, WEIR_FEATURE_TOOL_STRICT, WEIR_LOSS_DROPPED, "this model does not take it");
    j->object_end(x->out);
}

static void put_tool(struct encoding *x, const struct weir_tool *t)
{
    const struct weir_json_api *j = x->o.json;
    if (t->raw.n) {
        if (weir_eq(t->dialect, BEDROCK_DIALECT))
            j->put_raw(x->out, t->raw);
        else
            bedrock_unsupported(&x->o, "tools",
                                "A tool that only the client's own dialect has can't be sent to Bedrock.");
        return;
    }
    j->object_begin(x->out);
    put_spec(x, t);
    j->object_end(x->out);
    if ((t->flags & WEIR_PART_CACHE_MARK) && bedrock_takes_cache_mark(x))
        bedrock_put_cache_point(x, t->cache_ttl);
    else if (t->cache_ttl.n)
        bedrock_lose_ttl(x, t->cache_ttl);
}

/* A history with calls needs tools. Where the client declares none any more, the called ones are declared, and forbidden. */
static void put_called_tools(struct encoding *x)
{
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
    for (uint32_t i = 0; i < n; i++)
        put_tool(x, &seen[i]);
    bedrock_lose_once(x, WEIR_FEATURE_TOOLS, WEIR_LOSS_EMULATED,
                      "those called earlier are declared again, and forbidden");
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

static void put_tool_choice(struct encoding *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str choice = bedrock_field(x, WEIR_FIELD_TOOL_CHOICE);
    if (!choice.n || !x->has_tools || x->must_not_call)
        return;
    j->key(x->out, "toolChoice");
    j->object_begin(x->out);
    if (x->must_call || weir_is(choice, "\"auto\"")) {
        bedrock_put_raw(x, "auto", WEIR_LIT("{}"));
    } else if (choice.p[0] == '{') {
        j->key(x->out, "tool");
        j->object_begin(x->out);
        j->key(x->out, "name");
        j->put_str(x->out, bedrock_sent_name(x, chosen_name(x, choice)));
        j->object_end(x->out);
    } else {
        bedrock_put_raw(x, "any", WEIR_LIT("{}"));
    }
    j->object_end(x->out);
}

static void put_tools(struct encoding *x)
{
    const struct weir_json_api *j = x->o.json;
    bool is_forbidden = x->must_not_call && !x->has_calls; /* then it is enough that the model doesn't know them */
    if ((!x->has_tools || is_forbidden) && !(x->has_calls && !x->o.is_own) && !bedrock_has_ext(x, "toolConfig."))
        return;
    j->key(x->out, "toolConfig");
    j->object_begin(x->out);
    j->key(x->out, "tools");
    j->array_begin(x->out);
    if (!x->has_tools && !x->o.is_own)
        put_called_tools(x);
    for (const struct weir_tool *t = x->c->tools; t && !x->o.failed; t = t->next)
        put_tool(x, t);
    j->array_end(x->out);
    put_tool_choice(x);
    bedrock_put_ext(x, "toolConfig.");
    j->object_end(x->out);
}

/* ---- inferenceConfig ---- */

/* A number above 1? Temperatures reach to 2 elsewhere. */
static bool is_above_one(struct weir_str number)
{
    return number.n && (number.p[0] >= '2' || (number.p[0] == '1' && number.n > 1 && number.p[1] != 'e' &&
                                               !(number.p[1] == '.' && strspn(number.p + 2, "0") >= number.n - 2)));
}

static void put_limit(struct encoding *x, const struct bedrock_thinking *t)
{
    struct weir_str limit = bedrock_field(x, WEIR_FIELD_MAX_TOKENS);
    bool needs_room = t->how == BEDROCK_BUDGET && !x->o.is_own;
    if (!limit.n && needs_room) {
        x->o.json->key(x->out, "maxTokens");
        x->o.json->put_int(x->out, MAX_TOKENS_BESIDE + t->budget);
    }
    bedrock_put_raw(x, "maxTokens", limit);
}

static void put_sampling(struct encoding *x, const struct bedrock_thinking *t)
{
    struct weir_str temperature = bedrock_field(x, WEIR_FIELD_TEMPERATURE), top_p = bedrock_field(x, WEIR_FIELD_TOP_P);
    bool thinks = (t->how == BEDROCK_BUDGET || t->how == BEDROCK_ADAPTIVE) && x->model.family == BEDROCK_CLAUDE;
    const char *why = thinks ? "not while thinking" : "this model does not take it";
    bool takes = x->o.is_own || (x->model.takes_sampling && !thinks);
    if (temperature.n && !takes) {
        bedrock_lose_once(x, WEIR_FIELD_TEMPERATURE, WEIR_LOSS_DROPPED, why);
    } else if (!x->o.is_own && is_above_one(temperature)) {
        bedrock_lose_once(x, WEIR_FIELD_TEMPERATURE, WEIR_LOSS_CHANGED, "to 1, the highest there is");
        temperature = WEIR_LIT("1");
    }
    if (takes)
        bedrock_put_raw(x, "temperature", temperature);
    bool takes_top_p = takes && (x->o.is_own || x->model.takes_both || !temperature.n);
    if (takes_top_p)
        bedrock_put_raw(x, "topP", top_p);
    else if (top_p.n)
        bedrock_lose_once(x, WEIR_FIELD_TOP_P, WEIR_LOSS_DROPPED, takes ? "not beside a temperature" : why);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static bool is_blank(struct weir_str s)
{
    size_t i = 0;
    while (i < s.n && is_space(s.p[i]))
        i++;
    return i == s.n;
}

bool bedrock_is_blank(struct encoding *x, const struct weir_text *text)
{
    bool begins_with_word = text->n && !is_space(text->p[0]) && text->p[0] != '\\';
    return !begins_with_word && is_blank(x->o.host->text(x->o.call, text));
}

/* Stop sequences of white space are refused. */
static void put_stop(struct encoding *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str stop = bedrock_field(x, WEIR_FIELD_STOP), each;
    if (!stop.n || x->o.is_own) {
        bedrock_put_raw(x, "stopSequences", stop);
        return;
    }
    struct weir_json *r = j->open(x->o.call, stop);
    j->key(x->out, "stopSequences");
    j->array_begin(x->out);
    for (j->array(r); j->element(r) && j->string(r, &each);) {
        if (is_blank(each))
            bedrock_lose_once(x, WEIR_FIELD_STOP, WEIR_LOSS_DROPPED, "those of white space");
        else
            j->put_str(x->out, each);
    }
    j->array_end(x->out);
}

static void put_inference(struct encoding *x, const struct bedrock_thinking *t)
{
    const struct weir_json_api *j = x->o.json;
    j->key(x->out, "inferenceConfig");
    j->object_begin(x->out);
    put_limit(x, t);
    put_sampling(x, t);
    put_stop(x);
    bedrock_put_ext(x, "inferenceConfig.");
    j->object_end(x->out);
}

/* ---- outputConfig ---- */

struct format {
    struct weir_str name, description, schema;
};

static struct format format_of(struct encoding *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str json = bedrock_field(x, WEIR_FIELD_RESPONSE_FORMAT), key;
    struct format f = { WEIR_NONE, WEIR_NONE, WEIR_NONE };
    if (!json.n || json.p[0] != '{')
        return f;
    struct weir_json *r = j->open(x->o.call, json);
    for (j->object(r); j->member(r, &key);) {
        if (weir_is(key, "name"))
            j->raw(r, &f.name);
        else if (weir_is(key, "description"))
            j->raw(r, &f.description);
        else if (weir_is(key, "schema"))
            j->raw(r, &f.schema);
    }
    if (!f.schema.n)
        f.schema = WEIR_LIT("{\"type\":\"object\"}");
    return f;
}

/* The schema stands in the request as a string of JSON. */
static void put_schema(struct encoding *x, struct weir_str schema)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_out *out = x->o.is_own ? NULL : x->o.host->out(x->o.call);
    if (out) {
        put_closed(x, out, j->open(x->o.call, schema), false);
        schema = x->o.host->out_bytes(out);
    }
    j->key(x->out, "schema");
    j->put_str(x->out, schema);
}

static void put_output(struct encoding *x)
{
    const struct weir_json_api *j = x->o.json;
    struct format f = format_of(x);
    bool has_format = f.schema.n && !x->must_be_json;
    if (!has_format && !bedrock_has_ext(x, "outputConfig."))
        return;
    j->key(x->out, "outputConfig");
    j->object_begin(x->out);
    if (has_format) {
        j->key(x->out, "textFormat");
        j->object_begin(x->out);
        bedrock_put_member(&x->o, x->out, "type", "json_schema");
        j->key(x->out, "structure");
        j->object_begin(x->out);
        j->key(x->out, "jsonSchema");
        j->object_begin(x->out);
        put_schema(x, f.schema);
        bedrock_put_raw(x, "name", f.name);
        bedrock_put_raw(x, "description", f.description);
        j->object_end(x->out);
        j->object_end(x->out);
        j->object_end(x->out);
    }
    bedrock_put_ext(x, "outputConfig.");
    j->object_end(x->out);
}

/* ---- the rest ---- */

static bool is_fit_metadata(struct weir_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool is_word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!is_word && (!c || !strchr(" :_@$#=/+,-.", c)))
            return false;
    }
    return s.n <= 256;
}

/* Members that the provider would refuse are left out. */
static uint32_t put_metadata_members(struct encoding *x, struct weir_str metadata)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str key, value;
    uint32_t n = 0;
    struct weir_json *r = j->open(x->o.call, metadata);
    for (j->object(r); j->member(r, &key);) {
        bool is_string = j->peek(r) == WEIR_JSON_STRING && j->string(r, &value);
        if (!is_string || !key.n || !is_fit_metadata(key) || !is_fit_metadata(value) || n == 15) {
            bedrock_lose_once(x, WEIR_FIELD_METADATA, WEIR_LOSS_DROPPED, "members that Bedrock would refuse");
            continue;
        }
        j->key_str(x->out, key);
        j->put_str(x->out, value);
        n++;
    }
    return n;
}

/* An id of the end user may be an address or a name elsewhere; here it is kept with the request's log. */
static void put_metadata(struct encoding *x)
{
    const struct weir_json_api *j = x->o.json;
    struct weir_str metadata = bedrock_field(x, WEIR_FIELD_METADATA), user = bedrock_field(x, WEIR_FIELD_USER);
    char hex[17];
    if (x->o.is_own) {
        bedrock_put_raw(x, "requestMetadata", metadata);
        return;
    }
    if (!metadata.n && !user.n)
        return;
    j->key(x->out, "requestMetadata");
    j->object_begin(x->out);
    if (metadata.n)
        put_metadata_members(x, metadata);
    if (user.n) {
        bedrock_digest(x, user, hex);
        bedrock_put_member(&x->o, x->out, "user_id", hex);
        bedrock_lose_once(x, WEIR_FIELD_USER, WEIR_LOSS_CHANGED, "a digest of it, in requestMetadata");
    }
    j->object_end(x->out);
}

static void put_service_tier(struct encoding *x)
{
    struct weir_str tier = bedrock_field(x, WEIR_FIELD_SERVICE_TIER);
    bool is_known = weir_is(tier, "\"default\"") || weir_is(tier, "\"priority\"") || weir_is(tier, "\"flex\"") ||
                    weir_is(tier, "\"reserved\"");
    if (!tier.n || (!x->o.is_own && weir_is(tier, "\"auto\""))) /* what is not said is chosen */
        return;
    if (!x->o.is_own && !is_known) {
        bedrock_lose_once(x, WEIR_FIELD_SERVICE_TIER, WEIR_LOSS_DROPPED, "not among default, priority, flex, reserved");
        return;
    }
    x->o.json->key(x->out, "serviceTier");
    x->o.json->object_begin(x->out);
    bedrock_put_raw(x, "type", tier);
    x->o.json->object_end(x->out);
}

/* Only so does Claude say which sequence stopped it. */
static void put_response_paths(struct encoding *x)
{
    bool is_claude = x->model.family == BEDROCK_CLAUDE && bedrock_field(x, WEIR_FIELD_STOP).n;
    if (is_claude && !x->o.is_own)
        bedrock_put_raw(x, "additionalModelResponseFieldPaths",
                        weir_field_true(x->c, WEIR_FIELD_STREAM) ? WEIR_LIT("[\"/delta/stop_sequence\"]")
                                                                 : WEIR_LIT("[\"/stop_sequence\"]"));
}

/* What would be another request if it were left out. */
static int refuse(struct encoding *x)
{
    struct weir_str n = bedrock_field(x, WEIR_FIELD_N), modalities = bedrock_field(x, WEIR_FIELD_MODALITIES);
    if (n.n && !weir_is(n, "1"))
        return bedrock_unsupported(&x->o, "n",
                                   "n: Bedrock gives one answer per request; ask several times, or use another model.");
    if (modalities.n && memmem(modalities.p, modalities.n, "\"audio\"", 7))
        return bedrock_unsupported(
            &x->o, "modalities",
            "modalities: Bedrock answers in text only here; leave audio out, or use another model.");
    return 0;
}

static void look_at_format(struct encoding *x)
{
    struct format f = format_of(x);
    bool is_mode = weir_is(bedrock_field(x, WEIR_FIELD_RESPONSE_FORMAT), "\"json_object\"");
    if (!is_mode && (!f.schema.n || x->model.takes_schema))
        return;
    x->must_be_json = true;
    x->schema = f.schema;
    bedrock_lose_once(x, WEIR_FIELD_RESPONSE_FORMAT, WEIR_LOSS_EMULATED, "a sentence in the prompt");
}

static void look_at_choice(struct encoding *x)
{
    struct weir_str choice = bedrock_field(x, WEIR_FIELD_TOOL_CHOICE);
    bool is_forced = choice.n && (choice.p[0] == '{' || weir_is(choice, "\"required\""));
    x->must_not_call = (x->has_tools && weir_is(choice, "\"none\"")) || (x->has_calls && !x->has_tools);
    x->must_call = x->has_tools && is_forced && !x->model.takes_forced_tools;
    if (x->has_tools && x->must_not_call)
        bedrock_lose_once(x, WEIR_FIELD_TOOL_CHOICE, WEIR_LOSS_EMULATED,
                          x->has_calls ? "a sentence in the prompt" : "the tools are left out");
    if (!x->must_call)
        return;
    bedrock_lose_once(x, WEIR_FIELD_TOOL_CHOICE, WEIR_LOSS_EMULATED,
                      "this model takes no forced call: a sentence in the prompt");
    if (choice.p[0] == '{')
        x->call = bedrock_sent_name(x, chosen_name(x, choice));
}

/* Things that must be known before the first member is written. */
static void look_ahead(struct encoding *x)
{
    x->has_tools = x->c->tools != NULL;
    for (const struct weir_message *m = x->c->messages; m; m = m->next)
        for (const struct weir_part *p = m->parts; p; p = p->next)
            x->has_calls = x->has_calls || p->kind == WEIR_PART_TOOL_CALL || p->kind == WEIR_PART_TOOL_RESULT;
    if (x->o.is_own)
        return;
    look_at_format(x);
    look_at_choice(x);
    if (weir_is(bedrock_field(x, WEIR_FIELD_PARALLEL_TOOLS), "false") && x->has_tools)
        bedrock_lose_once(x, WEIR_FIELD_PARALLEL_TOOLS, WEIR_LOSS_DROPPED, "the model may call several tools");
}

/* Members of messages that nobody knew have no place in a request that is made anew. */
static void lose_nested(struct encoding *x)
{
    for (const struct weir_ext *e = x->o.is_own ? x->c->ext : NULL; e; e = e->next)
        if (e->path.n > 9 && memcmp(e->path.p, "messages[", 9) == 0)
            bedrock_lose_once(x, WEIR_FEATURE_EXT, WEIR_LOSS_DROPPED, "an unknown member of a message");
}

int bedrock_encode_request(void *self, struct weir_call *call, void *state,
                           const struct weir_conversation *conversation, struct weir_out *out)
{
    struct encoding x = { .o = bedrock_begin(self, call), .attempt = state, .c = conversation, .out = out };
    x.o.is_own = weir_eq(conversation->dialect, BEDROCK_DIALECT);
    x.model = bedrock_model_of(bedrock_model_id(&x.o, conversation));
    if (conversation->operation == WEIR_OP_EMBED)
        return bedrock_encode_inputs(&x);
    if (!x.o.is_own && refuse(&x) < 0)
        return -1;
    look_ahead(&x);
    struct bedrock_thinking thinking = bedrock_wanted_thinking(&x);
    x.o.json->object_begin(out);
    bedrock_put_system(&x);
    bedrock_put_messages(&x);
    put_tools(&x);
    put_inference(&x, &thinking);
    put_output(&x);
    bedrock_put_additional(&x, &thinking);
    put_response_paths(&x);
    put_service_tier(&x);
    put_metadata(&x);
    bedrock_put_ext(&x, "");
    lose_nested(&x);
    x.o.json->object_end(out);
    return x.o.failed ? -1 : 0;
}
