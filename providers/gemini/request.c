/* A conversation becomes a generateContent request: tools, settings, thinking. What Gemini has no word for the table (gemini.c)
 * tells; what only this request can't have said is told here, with lose(), and what can't be left out is refused. */
#include "gemini.h"

void gemini_lose(struct gemini *g, uint32_t feature, enum weir_loss what, const char *why)
{
    g->host->lose(g->call, (enum weir_feature)feature, what, why);
}

void gemini_unsupported(struct gemini *g, const char *param, const char *message)
{
    struct weir_error e = { .size = sizeof(e),
                            .error_class = WEIR_ERROR_UNSUPPORTED,
                            .message = weir_cstr(message),
                            .param = weir_cstr(param) };
    if (!g->failed)
        g->host->fail(g->call, &e);
    g->failed = true;
}

/* ---- names ---- */

static bool is_name_byte(char c, bool is_first)
{
    bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    return is_letter || (!is_first && ((c >= '0' && c <= '9') || c == '.' || c == ':' || c == '-'));
}

static bool is_name(struct weir_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!is_name_byte(s.p[i], i == 0))
            return false;
    return s.n > 0 && s.n <= 128;
}

/* "_", the name with '_' for what Gemini doesn't take, and a number that keeps two such names apart. */
static struct weir_str invent_name(struct gemini *g, struct weir_str name, uint32_t number)
{
    size_t n = name.n < 100 ? name.n : 100;
    char *s = g->host->alloc(g->call, WEIR_FOR_ATTEMPT, n + 1);
    for (size_t i = 0; s && i < n; i++)
        s[i] = is_name_byte(name.p[i], false) ? name.p[i] : '_';
    return g->host->format(g->call, "_%.*s_%u", (int)n, s ? s : "", number);
}

struct weir_str gemini_sent_name(struct gemini *g, struct weir_str name)
{
    uint32_t number = 1;
    if (is_name(name))
        return name;
    for (const struct gemini_alias *a = g->attempt->aliases; a; a = a->next, number++)
        if (weir_eq(a->name, name))
            return a->sent;
    struct gemini_alias *a = g->host->alloc(g->call, WEIR_FOR_ATTEMPT, sizeof(*a));
    if (!a) {
        g->failed = true;
        return name;
    }
    *a = (struct gemini_alias){ g->attempt->aliases, name, invent_name(g, name, number) };
    g->attempt->aliases = a;
    gemini_lose(g, WEIR_FEATURE_TOOLS, WEIR_LOSS_EMULATED, "a name that Gemini does not take is sent as another");
    return a->sent;
}

struct weir_str gemini_own_name(const struct gemini *g, struct weir_str sent)
{
    for (const struct gemini_alias *a = g->attempt->aliases; a; a = a->next)
        if (weir_eq(a->sent, sent))
            return a->name;
    return sent;
}

/* ---- tools ---- */

static bool has_parameters(struct weir_str schema)
{
    return schema.n > 2 && !memmem(schema.p, schema.n, "\"properties\":{}", 15);
}

static void put_declaration(struct gemini_encoding *x, const struct weir_tool *t)
{
    const struct weir_json_api *j = x->g.json;
    j->object_begin(x->out);
    j->key(x->out, "name");
    j->put_str(x->out, gemini_sent_name(&x->g, t->name));
    if (t->description.n) {
        j->key(x->out, "description");
        j->put_text(x->out, &t->description);
    }
    if (x->is_own ? t->schema.n > 0 : has_parameters(t->schema)) {
        j->key(x->out, "parametersJsonSchema");
        j->put_raw(x->out, t->schema);
    }
    j->object_end(x->out);
}

/* A tool that Google runs itself. */
static void put_own_tool(struct gemini_encoding *x, const struct weir_tool *t)
{
    if (weir_eq(t->dialect, GEMINI_DIALECT))
        x->g.json->put_raw(x->out, t->raw);
    else
        gemini_unsupported(&x->g, "tools",
                           "A tool that only the client's own dialect has can't be offered to Gemini; "
                           "declare it as a function.");
}

/* A run of functions is one entry; returns the last of them. */
static const struct weir_tool *put_declarations(struct gemini_encoding *x, const struct weir_tool *t)
{
    const struct weir_json_api *j = x->g.json;
    j->object_begin(x->out);
    j->key(x->out, "functionDeclarations");
    j->array_begin(x->out);
    put_declaration(x, t);
    for (; t->next && !t->next->raw.n; t = t->next)
        put_declaration(x, t->next);
    j->array_end(x->out);
    j->object_end(x->out);
    return t;
}

void gemini_put_tools(struct gemini_encoding *x)
{
    const struct weir_json_api *j = x->g.json;
    if (!x->c->tools)
        return;
    j->key(x->out, "tools");
    j->array_begin(x->out);
    for (const struct weir_tool *t = x->c->tools; t && !x->g.failed; t = t->next) {
        if (t->raw.n)
            put_own_tool(x, t);
        else
            t = put_declarations(x, t);
    }
    j->array_end(x->out);
}

static void put_member(struct gemini_encoding *x, const char *key, const char *value)
{
    x->g.json->key(x->out, key);
    x->g.json->put_str(x->out, weir_cstr(value));
}

static struct weir_str choice_name(struct gemini_encoding *x, struct weir_str choice)
{
    const struct weir_json_api *j = x->g.json;
    struct weir_str key, name = WEIR_NONE;
    struct weir_json *r = j->open(x->g.call, choice);
    for (j->object(r); j->member(r, &key);)
        if (weir_is(key, "name"))
            j->string(r, &name);
    return name;
}

static const char *mode_of(struct weir_str choice)
{
    if (weir_is(choice, "\"none\""))
        return "NONE";
    return weir_is(choice, "\"auto\"") ? "AUTO" : "ANY";
}

static bool has_ext(const struct gemini_encoding *x, const char *prefix)
{
    for (const struct weir_ext *e = x->is_own ? x->c->ext : NULL; e; e = e->next)
        if (gemini_starts_with(e->path, prefix))
            return true;
    return false;
}

static bool has_exactly(const struct gemini_encoding *x, const char *path)
{
    for (const struct weir_ext *e = x->is_own ? x->c->ext : NULL; e; e = e->next)
        if (weir_is(e->path, path))
            return true;
    return false;
}

void gemini_put_tool_choice(struct gemini_encoding *x)
{
    const struct weir_json_api *j = x->g.json;
    struct weir_str choice = weir_field(x->c, WEIR_FIELD_TOOL_CHOICE);
    bool is_named = choice.n && choice.p[0] == '{', has_own = has_ext(x, "toolConfig.");
    bool is_said = choice.n && (x->is_own || (x->c->tools && !weir_is(choice, "\"auto\"")));
    if (!is_said && !has_own)
        return;
    j->key(x->out, "toolConfig");
    j->object_begin(x->out);
    if (is_said || has_ext(x, "toolConfig.functionCallingConfig.")) {
        j->key(x->out, "functionCallingConfig");
        j->object_begin(x->out);
        if (choice.n && !has_exactly(x, "toolConfig.functionCallingConfig.mode"))
            put_member(x, "mode", mode_of(choice));
        if (is_named) {
            j->key(x->out, "allowedFunctionNames");
            j->array_begin(x->out);
            j->put_str(x->out, gemini_sent_name(&x->g, choice_name(x, choice)));
            j->array_end(x->out);
        }
        gemini_put_ext(x, "toolConfig.functionCallingConfig.");
        j->object_end(x->out);
    }
    gemini_put_ext(x, "toolConfig.");
    j->object_end(x->out);
}

/* ---- thinking ---- */

static int64_t number_of(struct weir_str s)
{
    int64_t n = 0;
    size_t i = s.n && s.p[0] == '-' ? 1 : 0, from = i;
    for (; i < s.n && i - from < 18 && s.p[i] >= '0' && s.p[i] <= '9'; i++)
        n = 10 * n + (s.p[i] - '0');
    return from ? -n : n;
}

/* Effort as steps 0 (none) … 5 (xhigh, max); -1: not said. */
static int effort_of(struct weir_str effort)
{
    static const char *const words[] = { "\"none\"", "\"minimal\"", "\"low\"", "\"medium\"", "\"high\"" };
    for (int i = 0; i < 5; i++)
        if (weir_is(effort, words[i]))
            return i;
    return effort.n ? 5 : -1;
}

static int64_t clamp(int64_t n, int64_t low, int64_t high)
{
    return n < low ? low : n > high ? high : n;
}

/* 2.5: Pro can't be told not to think; -1 lets the model decide. */
static int64_t budget_for(const struct gemini_model *m, int effort, struct weir_str budget)
{
    static const int64_t of_effort[] = { 0, 512, 1024, 8192, 24576, 32768 };
    int64_t high = m->is_pro ? 32768 : 24576;
    int64_t n = budget.n ? number_of(budget) : of_effort[effort];
    if (n < 0)
        return -1;
    if (m->is_lite && n > 0)
        return clamp(n, 512, high);
    return clamp(n, m->is_pro ? 128 : 0, high);
}

static int effort_of_budget(int64_t n)
{
    return n <= 0 ? 0 : n < 4096 ? 2 : n < 16384 ? 3 : 4;
}

static const char *level_for(const struct gemini_model *m, int effort)
{
    bool has_minimal = !m->is_pro && m->major == 3 && m->minor < 7;
    bool has_medium = !(m->is_pro && m->major == 3 && m->minor == 0);
    if (effort <= 1)
        return has_minimal ? "MINIMAL" : "LOW";
    if (effort == 2)
        return "LOW";
    return effort == 3 && has_medium ? "MEDIUM" : "HIGH";
}

static const char *const level_words[] = { "", "MINIMAL", "LOW", "MEDIUM", "HIGH", "HIGH" };

static void put_level(struct gemini_encoding *x, int effort, struct weir_str budget)
{
    const struct gemini_model *m = &x->g.attempt->model;
    if (budget.n && number_of(budget) < 0)
        return; /* the model decides unasked */
    if (budget.n) {
        effort = effort_of_budget(number_of(budget));
        gemini_lose(&x->g, WEIR_FIELD_REASONING_BUDGET, WEIR_LOSS_EMULATED, "as a level");
    }
    const char *level = x->is_own && effort > 0 && effort < 5 ? level_words[effort] : level_for(m, effort);
    if (!budget.n && (effort == 0 || effort == 5 || strcmp(level, level_words[effort]) != 0))
        gemini_lose(&x->g, WEIR_FIELD_REASONING_EFFORT, WEIR_LOSS_CHANGED, level);
    put_member(x, "thinkingLevel", level);
}

/* A model that does not think: whatever was said of thinking is lost, but for "don't". */
static void lose_thinking(struct gemini_encoding *x, int effort, struct weir_str budget, struct weir_str visible)
{
    const char *why = "this model does not think";
    if (effort > 0)
        gemini_lose(&x->g, WEIR_FIELD_REASONING_EFFORT, WEIR_LOSS_DROPPED, why);
    if (budget.n && !weir_is(budget, "0"))
        gemini_lose(&x->g, WEIR_FIELD_REASONING_BUDGET, WEIR_LOSS_DROPPED, why);
    if (visible.n)
        gemini_lose(&x->g, WEIR_FIELD_REASONING_VISIBLE, WEIR_LOSS_DROPPED, why);
}

static void put_budget(struct gemini_encoding *x, int effort, struct weir_str budget)
{
    int64_t n = x->is_own ? (budget.n ? number_of(budget) : 0) : budget_for(&x->g.attempt->model, effort, budget);
    if (budget.n && n != number_of(budget))
        gemini_lose(&x->g, WEIR_FIELD_REASONING_BUDGET, WEIR_LOSS_CHANGED, "within the model's bounds");
    else if (!budget.n && !x->is_own)
        gemini_lose(&x->g, WEIR_FIELD_REASONING_EFFORT, WEIR_LOSS_EMULATED, "as a budget of tokens");
    x->g.json->key(x->out, "thinkingBudget");
    x->g.json->put_int(x->out, n);
}

static void put_thinking(struct gemini_encoding *x)
{
    const struct weir_json_api *j = x->g.json;
    const struct gemini_model *m = &x->g.attempt->model;
    struct weir_str budget = weir_field(x->c, WEIR_FIELD_REASONING_BUDGET);
    int effort = effort_of(weir_field(x->c, WEIR_FIELD_REASONING_EFFORT));
    struct weir_str visible = weir_field(x->c, WEIR_FIELD_REASONING_VISIBLE);
    bool is_plain = m->family == GEMINI_PLAIN && !x->is_own, by_level = m->family == GEMINI_LEVEL;
    if (x->is_own) /* the client's own words, whatever the model */
        by_level = effort > 0 && !budget.n;
    if (!budget.n && effort < 0 && !visible.n && !has_ext(x, "generationConfig.thinkingConfig."))
        return;
    if (is_plain) {
        lose_thinking(x, effort, budget, visible);
        return;
    }
    j->key(x->out, "thinkingConfig");
    j->object_begin(x->out);
    if (visible.n) {
        j->key(x->out, "includeThoughts");
        j->put_raw(x->out, visible);
    }
    if ((budget.n || effort >= 0) && by_level)
        put_level(x, effort, budget);
    else if (budget.n || effort >= 0)
        put_budget(x, effort, budget);
    gemini_put_ext(x, "generationConfig.thinkingConfig.");
    j->object_end(x->out);
}

/* ---- settings ---- */

static void put_number(struct gemini_encoding *x, enum weir_field f, const char *key)
{
    struct weir_str value = weir_field(x->c, f);
    if (!value.n)
        return;
    x->g.json->key(x->out, key);
    x->g.json->put_raw(x->out, value);
}

static void put_stops(struct gemini_encoding *x)
{
    const struct weir_json_api *j = x->g.json;
    struct weir_str stops = weir_field(x->c, WEIR_FIELD_STOP), raw;
    uint32_t n = 0;
    if (x->is_own)
        put_number(x, WEIR_FIELD_STOP, "stopSequences");
    if (!stops.n || x->is_own)
        return;
    struct weir_json *r = j->open(x->g.call, stops);
    j->key(x->out, "stopSequences");
    j->array_begin(x->out);
    for (j->array(r); j->element(r);) {
        j->raw(r, &raw);
        if (n++ < 5)
            j->put_raw(x->out, raw);
    }
    j->array_end(x->out);
    if (n > 5)
        gemini_lose(&x->g, WEIR_FIELD_STOP, WEIR_LOSS_CHANGED, "the first five");
}

/* The seed is an int32 there: other seeds fold into one, always the same. */
static void put_seed(struct gemini_encoding *x)
{
    struct weir_str seed = weir_field(x->c, WEIR_FIELD_SEED);
    if (!seed.n)
        return;
    int64_t n = number_of(seed);
    if (n < INT32_MIN || n > INT32_MAX)
        gemini_lose(&x->g, WEIR_FIELD_SEED, WEIR_LOSS_CHANGED, "folded into 32 bits");
    x->g.json->key(x->out, "seed");
    x->g.json->put_int(x->out, n < INT32_MIN || n > INT32_MAX ? (n < 0 ? -n : n) % INT32_MAX : n);
}

static void put_schema(struct gemini_encoding *x, struct weir_str format)
{
    const struct weir_json_api *j = x->g.json;
    struct weir_str key, schema = WEIR_NONE;
    struct weir_json *r = j->open(x->g.call, format);
    for (j->object(r); j->member(r, &key);)
        if (weir_is(key, "schema"))
            j->raw(r, &schema);
    if (!schema.n)
        return;
    j->key(x->out, "responseJsonSchema");
    j->put_raw(x->out, schema);
}

static void put_format(struct gemini_encoding *x)
{
    struct weir_str format = weir_field(x->c, WEIR_FIELD_RESPONSE_FORMAT);
    if (!format.n || weir_is(format, "\"text\""))
        return;
    if (!x->is_own && x->c->tools && x->g.attempt->model.major && x->g.attempt->model.family != GEMINI_LEVEL) {
        gemini_unsupported(&x->g, "response_format",
                           "Gemini models before 3 can't be given tools and a JSON format in one "
                           "request; leave one of the two out or choose a newer model.");
        return;
    }
    put_member(x, "responseMimeType", "application/json");
    if (format.p[0] == '{')
        put_schema(x, format);
}

static struct weir_str modality_of(struct weir_str word)
{
    if (weir_is(word, "audio"))
        return WEIR_LIT("AUDIO");
    return weir_is(word, "image") ? WEIR_LIT("IMAGE") : WEIR_LIT("TEXT");
}

static void put_modalities(struct gemini_encoding *x)
{
    const struct weir_json_api *j = x->g.json;
    struct weir_str modalities = weir_field(x->c, WEIR_FIELD_MODALITIES), word;
    if (!modalities.n)
        return;
    struct weir_json *r = j->open(x->g.call, modalities);
    j->key(x->out, "responseModalities");
    j->array_begin(x->out);
    for (j->array(r); j->element(r) && j->string(r, &word);)
        j->put_str(x->out, modality_of(word));
    j->array_end(x->out);
}

static void put_choices(struct gemini_encoding *x)
{
    struct weir_str n = weir_field(x->c, WEIR_FIELD_N);
    if (!n.n || (weir_is(n, "1") && !x->is_own))
        return;
    int64_t asked = number_of(n);
    if (asked > GEMINI_CHOICES && !x->is_own)
        gemini_lose(&x->g, WEIR_FIELD_N, WEIR_LOSS_CHANGED, "8");
    x->g.json->key(x->out, "candidateCount");
    x->g.json->put_int(x->out, asked > GEMINI_CHOICES && !x->is_own ? GEMINI_CHOICES : asked);
}

/* How many alternatives may only be said where log probabilities are asked for. */
static void put_logprobs(struct gemini_encoding *x)
{
    bool is_asked = weir_field_true(x->c, WEIR_FIELD_LOGPROBS);
    put_number(x, WEIR_FIELD_LOGPROBS, "responseLogprobs");
    if (x->is_own || is_asked)
        put_number(x, WEIR_FIELD_TOP_LOGPROBS, "logprobs");
    else if (number_of(weir_field(x->c, WEIR_FIELD_TOP_LOGPROBS)) > 0)
        gemini_lose(&x->g, WEIR_FIELD_TOP_LOGPROBS, WEIR_LOSS_DROPPED, "without logprobs");
}

static void put_generation(struct gemini_encoding *x)
{
    const struct weir_json_api *j = x->g.json;
    j->key(x->out, "generationConfig");
    j->object_begin(x->out);
    put_number(x, WEIR_FIELD_MAX_TOKENS, "maxOutputTokens");
    put_number(x, WEIR_FIELD_TEMPERATURE, "temperature");
    put_number(x, WEIR_FIELD_TOP_P, "topP");
    put_number(x, WEIR_FIELD_TOP_K, "topK");
    put_number(x, WEIR_FIELD_FREQUENCY_PENALTY, "frequencyPenalty");
    put_number(x, WEIR_FIELD_PRESENCE_PENALTY, "presencePenalty");
    put_choices(x);
    put_stops(x);
    put_seed(x);
    put_logprobs(x);
    put_format(x);
    put_modalities(x);
    put_thinking(x);
    gemini_put_ext(x, "generationConfig.");
    j->object_end(x->out);
}

static void put_tier(struct gemini_encoding *x)
{
    struct weir_str tier = weir_field(x->c, WEIR_FIELD_SERVICE_TIER);
    const char *word = weir_is(tier, "\"default\"")    ? "standard"
                       : weir_is(tier, "\"flex\"")     ? "flex"
                       : weir_is(tier, "\"priority\"") ? "priority"
                                                       : NULL;
    if (word)
        put_member(x, "serviceTier", word);
    else if (tier.n && !weir_is(tier, "\"auto\""))
        gemini_lose(&x->g, WEIR_FIELD_SERVICE_TIER, WEIR_LOSS_DROPPED, "no tier of Google's");
}

/* Members that nobody knew, only to the dialect that they came in. */
void gemini_put_ext(struct gemini_encoding *x, const char *folder)
{
    size_t n = strlen(folder);
    for (const struct weir_ext *e = x->is_own ? x->c->ext : NULL; e; e = e->next) {
        bool is_inside = e->path.n > n && memcmp(e->path.p, folder, n) == 0;
        struct weir_str name = is_inside ? (struct weir_str){ e->path.p + n, e->path.n - n } : WEIR_NONE;
        if (!name.n || memchr(name.p, '.', name.n) || memchr(name.p, '[', name.n))
            continue;
        x->g.json->key_str(x->out, name);
        x->g.json->put_raw(x->out, e->raw);
    }
}

static void lose_nested(struct gemini_encoding *x)
{
    for (const struct weir_ext *e = x->is_own ? x->c->ext : NULL; e; e = e->next)
        if (memchr(e->path.p, '[', e->path.n))
            gemini_lose(&x->g, WEIR_FEATURE_EXT, WEIR_LOSS_DROPPED,
                        x->g.host->format(x->g.call, "%.*s", (int)e->path.n, e->path.p).p);
}

int gemini_encode_request(void *self, struct weir_call *call, void *state, const struct weir_conversation *conversation,
                          struct weir_out *out)
{
    struct gemini_encoding x = { .g = gemini_begin(self, call, state), .c = conversation, .out = out };
    x.is_own = weir_eq(conversation->dialect, GEMINI_DIALECT);
    x.g.attempt->model = gemini_model_of(gemini_model_name(&x.g, conversation));
    if (conversation->operation == WEIR_OP_EMBED) {
        gemini_put_inputs(&x);
    } else if (conversation->operation == WEIR_OP_COUNT) {
        gemini_put_count(&x);
    } else {
        x.g.json->object_begin(out);
        gemini_put_contents(&x);
        gemini_put_tools(&x);
        gemini_put_tool_choice(&x);
        put_generation(&x);
        put_tier(&x);
        gemini_put_ext(&x, "");
        x.g.json->object_end(out);
        lose_nested(&x);
    }
    return x.g.failed ? -1 : 0;
}
