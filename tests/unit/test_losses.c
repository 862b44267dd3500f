/* Do codecs say what their tables promise, and nothing that they don't promise? For every codec under providers/ with a table, and
 * every feature: a small conversation (or answer) of a dialect that nobody has uses just this feature, the codec writes it, and
 * reads back what it wrote. A new codec is covered by being there.
 *
 *   SAYS       the feature comes back as it was, and nothing is said to be lost
 *   PARTLY     it comes back as it was, or lose() told
 *   CHANGED, EMULATED  the host tells, so lose() must not
 *   not there  it doesn't come back: what is handled must be declared
 */
#include <glob.h>
#include <jansson.h>

#include "codec_lab.h"
#include "test.h"

#define STR(s) weir_cstr(s)
#define TEST_DIALECT WEIR_LIT("nobody")

/* Rules of codecs go by the model's name: each is a generation of some dialect. */
static const char *const models[] = {
    "m", "gpt-4o", "gpt-5.2", "claude-sonnet-4-5", "claude-opus-5", "gemini-2.5-flash"
};

static int n_wrong;

static void wrong(const struct lab *l, uint32_t feature, const char *value, const char *model, const char *what)
{
    printf("  %s, %s%s%s, model %s: %s\n", l->plugin->name, feature_name(feature), value ? " " : "", value ? value : "",
           model, what);
    n_wrong++;
}

/* ---- the codecs there are ---- */

static const struct weir_plugin *open_codec(const char *path)
{
    void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const struct weir_plugin *p = so ? dlsym(so, "weir_plugin") : NULL;
    if (!p)
        printf("  %s\n", dlerror());
    bool has_table = p && p->head.kind == WEIR_KIND_CODEC &&
                     p->codec->size >= offsetof(struct weir_codec, says) + sizeof(void *) && p->codec->says;
    return has_table ? p : NULL;
}

static void each_codec(void (*fn)(const struct weir_plugin *p, const struct codec_says *says))
{
    char pattern[512];
    const char *build = getenv("WEIR_BUILD");
    glob_t found = { 0 };
    uint32_t n = 0;
    n_wrong = 0;
    snprintf(pattern, sizeof(pattern), "%s/providers/*.so", build ? build : "build");
    glob(pattern, 0, NULL, &found);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        const struct weir_plugin *p = open_codec(found.gl_pathv[i]);
        struct codec_says says;
        if (!p)
            continue;
        const char *bad = says_read(&says, p->codec->says);
        if (bad)
            printf("  %s has a table %s\n", p->name, bad);
        CHECK(!bad);
        fn(p, &says);
        n++;
    }
    globfree(&found);
    CHECK(n >= 2);
    CHECK_INT(n_wrong, 0);
}

/* ---- conversations ---- */

/* One way to use a feature. */
struct sample {
    uint32_t feature;
    const char *json; /* of a field */
    const char *mark; /* what must be found again, in the dump of what was read; NULL: that it is used is enough */
    uint32_t operation;
};

static const struct sample samples[] = {
    { WEIR_FIELD_MAX_TOKENS, "7777", NULL, WEIR_OP_CHAT },
    { WEIR_FIELD_TEMPERATURE, "0.5", NULL, WEIR_OP_CHAT },
    { WEIR_FIELD_TEMPERATURE, "1.5", NULL, WEIR_OP_CHAT },
    { WEIR_FIELD_TOP_P, "0.25", NULL, WEIR_OP_CHAT },
    { WEIR_FIELD_TOP_K, "7", NULL, WEIR_OP_CHAT },
    { WEIR_FIELD_STOP, "[\"zq\"]", NULL, WEIR_OP_CHAT },
    { WEIR_FIELD_STOP, "[\"a\",\"b\",\"c\"]", NULL, WEIR_OP_CHAT },
    { WEIR_FIELD_STOP, "[\"\\n\"]", NULL, WEIR_OP_CHAT },
    { WEIR_FIELD_N, "2", NULL, WEIR_OP_CHAT },
    { WEIR_FIELD_SEED, "4711", NULL, WEIR_OP_CHAT },
    { WEIR_FIELD_SEED, "4294967297", NULL, WEIR_OP_CHAT },
    { WEIR_FIELD_FREQUENCY_PENALTY, "0.5", NULL, WEIR_OP_CHAT },
    { WEIR_FIELD_FREQUENCY_PENALTY, "-1.5", NULL, WEIR_OP_CHAT },
    { WEIR_FIELD_PRESENCE_PENALTY, "0.5", NULL, WEIR_OP_CHAT },
    { WEIR_FIELD_PRESENCE_PENALTY, "-1.5", NULL, WEIR_OP_CHAT },
    { WEIR_FIELD_LOGIT_BIAS, "{\"50256\":-100}", NULL, WEIR_OP_CHAT },
    { WEIR_FIELD_LOGPROBS, "true", NULL, WEIR_OP_CHAT },
    { WEIR_FIELD_TOP_LOGPROBS, "3", NULL, WEIR_OP_CHAT },
    { WEIR_FIELD_USER, "\"zq\"", NULL, WEIR_OP_CHAT },
    { WEIR_FIELD_METADATA, "{\"k\":\"zq\"}", NULL, WEIR_OP_CHAT },
    { WEIR_FIELD_SERVICE_TIER, "\"default\"", NULL, WEIR_OP_CHAT },
    { WEIR_FIELD_SERVICE_TIER, "\"flex\"", NULL, WEIR_OP_CHAT },
    { WEIR_FIELD_TOOL_CHOICE, "\"none\"", NULL, WEIR_OP_CHAT },
    { WEIR_FIELD_TOOL_CHOICE, "\"required\"", NULL, WEIR_OP_CHAT },
    { WEIR_FIELD_TOOL_CHOICE, "{\"name\":\"zq_tool\"}", NULL, WEIR_OP_CHAT },
    { WEIR_FIELD_PARALLEL_TOOLS, "false", NULL, WEIR_OP_CHAT },
    { WEIR_FIELD_RESPONSE_FORMAT, "\"json_object\"", NULL, WEIR_OP_CHAT },
    { WEIR_FIELD_RESPONSE_FORMAT,
      "{\"name\":\"zq\",\"schema\":{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}},\"required\":["
      "\"a\"],"
      "\"additionalProperties\":false}}",
      NULL, WEIR_OP_CHAT },
    { WEIR_FIELD_RESPONSE_FORMAT, "{\"name\":\"zq\",\"schema\":{\"type\":\"object\",\"properties\":{\"a\":{}}}}", NULL,
      WEIR_OP_CHAT },
    { WEIR_FIELD_REASONING_EFFORT, "\"none\"", NULL, WEIR_OP_CHAT },
    { WEIR_FIELD_REASONING_EFFORT, "\"minimal\"", NULL, WEIR_OP_CHAT },
    { WEIR_FIELD_REASONING_EFFORT, "\"low\"", NULL, WEIR_OP_CHAT },
    { WEIR_FIELD_REASONING_EFFORT, "\"high\"", NULL, WEIR_OP_CHAT },
    { WEIR_FIELD_REASONING_EFFORT, "\"xhigh\"", NULL, WEIR_OP_CHAT },
    { WEIR_FIELD_REASONING_EFFORT, "\"max\"", NULL, WEIR_OP_CHAT },
    { WEIR_FIELD_REASONING_BUDGET, "0", NULL, WEIR_OP_CHAT },
    { WEIR_FIELD_REASONING_BUDGET, "2048", NULL, WEIR_OP_CHAT },
    { WEIR_FIELD_REASONING_BUDGET, "-1", NULL, WEIR_OP_CHAT },
    { WEIR_FIELD_REASONING_VISIBLE, "true", NULL, WEIR_OP_CHAT },
    { WEIR_FIELD_REASONING_VISIBLE, "false", NULL, WEIR_OP_CHAT },
    { WEIR_FIELD_VERBOSITY, "\"low\"", NULL, WEIR_OP_CHAT },
    { WEIR_FIELD_MODALITIES, "[\"text\",\"audio\"]", NULL, WEIR_OP_CHAT },
    { WEIR_FIELD_DIMENSIONS, "64", NULL, WEIR_OP_EMBED },
    { WEIR_FIELD_ENCODING, "\"int8\"", NULL, WEIR_OP_EMBED },
    { WEIR_FIELD_INPUT_TYPE, "\"query\"", NULL, WEIR_OP_EMBED },
    { WEIR_FIELD_TRUNCATE, "\"end\"", NULL, WEIR_OP_EMBED },
    { WEIR_FIELD_TOP_N, "2", NULL, WEIR_OP_RERANK },
    { WEIR_FEATURE_SYSTEM_LATER, NULL, "zq later", WEIR_OP_CHAT },
    { WEIR_FEATURE_MESSAGE_NAME, NULL, "name=<zq_name>", WEIR_OP_CHAT },
    { WEIR_FEATURE_PREFILL, NULL, "zq begin", WEIR_OP_CHAT },
    { WEIR_FEATURE_PART_ORDER, NULL, "zq behind", WEIR_OP_CHAT },
    { WEIR_FEATURE_IMAGE_URL, NULL, "https://h.example/zq.png", WEIR_OP_CHAT },
    { WEIR_FEATURE_IMAGE_DATA, NULL, "data=<QUJD>", WEIR_OP_CHAT },
    { WEIR_FEATURE_IMAGE_DETAIL, NULL, "detail=<low>", WEIR_OP_CHAT },
    { WEIR_FEATURE_AUDIO, NULL, "data=<QUJD>", WEIR_OP_CHAT },
    { WEIR_FEATURE_FILE_DATA, NULL, "data=<QUJD>", WEIR_OP_CHAT },
    { WEIR_FEATURE_FILE_URL, NULL, "https://h.example/zq.pdf", WEIR_OP_CHAT },
    { WEIR_FEATURE_FILE_ID, NULL, "zq_file", WEIR_OP_CHAT },
    { WEIR_FEATURE_TOOLS, NULL, "zq_tool", WEIR_OP_CHAT },
    { WEIR_FEATURE_TOOL_STRICT, NULL, NULL, WEIR_OP_CHAT },
    { WEIR_FEATURE_TOOL_OPAQUE, NULL, NULL, WEIR_OP_CHAT },
    { WEIR_FEATURE_RESULT_ERROR, NULL, NULL, WEIR_OP_CHAT },
    { WEIR_FEATURE_RESULT_MEDIA, NULL, "data=<QUJD>", WEIR_OP_CHAT },
    { WEIR_FEATURE_THINKING, NULL, "zq thought", WEIR_OP_CHAT },
    { WEIR_FEATURE_SIGNATURE, NULL, "zqsignature", WEIR_OP_CHAT },
    { WEIR_FEATURE_REDACTED, NULL, "QUJD", WEIR_OP_CHAT },
    { WEIR_FEATURE_REFUSAL, NULL, "zq no", WEIR_OP_CHAT },
    { WEIR_FEATURE_OPAQUE, NULL, NULL, WEIR_OP_CHAT },
    { WEIR_FEATURE_CACHE_MARK, NULL, NULL, WEIR_OP_CHAT },
    { WEIR_FEATURE_CACHE_TTL, NULL, NULL, WEIR_OP_CHAT },
    { WEIR_FEATURE_EXT, NULL, NULL, WEIR_OP_CHAT },
    { WEIR_FEATURE_TURNS, NULL, NULL, WEIR_OP_CHAT },
};

static struct weir_part *add(struct conversation *c, struct weir_message *m, enum weir_part_kind kind, const char *text)
{
    struct weir_part *p = conversation_part(c, &m->parts, kind);
    p->text = weir_plain(STR(text));
    return p;
}

static struct weir_message *say(struct conversation *c, enum weir_role role, const char *text)
{
    struct weir_message *m = conversation_message(c, role);
    if (text)
        add(c, m, WEIR_PART_TEXT, text);
    return m;
}

static struct weir_tool *add_tool(struct conversation *c)
{
    struct weir_tool *t = conversation_tool(c);
    t->name = WEIR_LIT("zq_tool");
    t->description = (struct weir_text)WEIR_TEXT("does it");
    t->schema = WEIR_LIT("{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}},\"required\":[\"a\"],"
                         "\"additionalProperties\":false}");
    return t;
}

static struct weir_part *add_call(struct conversation *c, struct weir_message *m)
{
    struct weir_part *p = add(c, m, WEIR_PART_TOOL_CALL, "{\"a\":\"b\"}");
    p->id = WEIR_LIT("call_zq1");
    p->name = WEIR_LIT("zq_tool");
    return p;
}

static struct weir_part *add_result(struct conversation *c)
{
    struct weir_message *m = conversation_message(c, WEIR_ROLE_TOOL);
    struct weir_part *p = conversation_part(c, &m->parts, WEIR_PART_TOOL_RESULT);
    p->id = WEIR_LIT("call_zq1");
    p->name = WEIR_LIT("zq_tool");
    conversation_part(c, &p->parts, WEIR_PART_TEXT)->text = (struct weir_text)WEIR_TEXT("done");
    return p;
}

/* A turn with a call and its result; NULL: the call alone is wanted. */
static struct weir_part *add_turn(struct conversation *c, struct weir_part **result)
{
    add_tool(c);
    struct weir_part *call = add_call(c, say(c, WEIR_ROLE_ASSISTANT, "I call."));
    *result = add_result(c);
    return call;
}

static void put_data(struct weir_part *p, const char *type)
{
    p->data = (struct weir_text)WEIR_TEXT("QUJD");
    p->media_type = STR(type);
}

static void use_media(struct conversation *c, struct weir_message *m, uint32_t feature)
{
    bool is_image = feature <= WEIR_FEATURE_IMAGE_DETAIL;
    struct weir_part *p = conversation_part(c, &m->parts,
                                            is_image                        ? WEIR_PART_IMAGE
                                            : feature == WEIR_FEATURE_AUDIO ? WEIR_PART_AUDIO
                                                                            : WEIR_PART_FILE);
    switch (feature) {
    case WEIR_FEATURE_IMAGE_URL:
        p->url = WEIR_LIT("https://h.example/zq.png");
        break;
    case WEIR_FEATURE_FILE_URL:
        p->url = WEIR_LIT("https://h.example/zq.pdf");
        p->media_type = WEIR_LIT("application/pdf");
        break;
    case WEIR_FEATURE_FILE_ID:
        p->file_id = WEIR_LIT("zq_file");
        p->dialect = TEST_DIALECT;
        break;
    case WEIR_FEATURE_FILE_DATA:
        put_data(p, "application/pdf");
        p->name = WEIR_LIT("zq.pdf");
        break;
    case WEIR_FEATURE_AUDIO:
        put_data(p, "audio/wav");
        break;
    default:
        put_data(p, "image/png");
        if (feature == WEIR_FEATURE_IMAGE_DETAIL)
            p->detail = WEIR_LIT("low");
    }
}

static void use_thoughts(struct conversation *c, uint32_t feature)
{
    struct weir_message *m = say(c, WEIR_ROLE_ASSISTANT, NULL);
    struct weir_part *p = add(c, m, WEIR_PART_THINKING, feature == WEIR_FEATURE_THINKING ? "zq thought" : "");
    p->dialect = TEST_DIALECT;
    if (feature == WEIR_FEATURE_SIGNATURE) {
        p->text = (struct weir_text)WEIR_TEXT("so");
        p->signature = (struct weir_text)WEIR_TEXT("zqsignature");
    }
    if (feature == WEIR_FEATURE_REDACTED) {
        p->flags |= WEIR_PART_REDACTED;
        p->data = (struct weir_text)WEIR_TEXT("QUJD");
    }
    add(c, m, WEIR_PART_TEXT, "An answer.");
    say(c, WEIR_ROLE_USER, "And?");
}

static void use_assistant(struct conversation *c, uint32_t feature)
{
    struct weir_message *m = say(c, WEIR_ROLE_ASSISTANT, NULL);
    if (feature == WEIR_FEATURE_PREFILL) {
        add(c, m, WEIR_PART_TEXT, "zq begin");
        return;
    }
    if (feature == WEIR_FEATURE_REFUSAL) {
        add(c, m, WEIR_PART_REFUSAL, "zq no");
        say(c, WEIR_ROLE_USER, "Why?");
        return;
    }
    add_tool(c);
    add(c, m, WEIR_PART_TEXT, "before");
    add_call(c, m);
    add(c, m, WEIR_PART_TEXT, "zq behind");
    add_result(c);
}

static void use_tools(struct conversation *c, uint32_t feature)
{
    struct weir_part *result;
    switch (feature) {
    case WEIR_FEATURE_TOOLS:
        add_tool(c);
        break;
    case WEIR_FEATURE_TOOL_STRICT:
        add_tool(c)->strict = WEIR_LIT("true");
        break;
    case WEIR_FEATURE_TOOL_OPAQUE:
        add_tool(c)->raw = WEIR_LIT("{\"type\":\"zq_search\"}");
        c->last_tool->name = WEIR_NONE;
        c->last_tool->schema = WEIR_NONE;
        c->last_tool->dialect = TEST_DIALECT;
        break;
    case WEIR_FEATURE_RESULT_ERROR:
        add_turn(c, &result);
        result->flags |= WEIR_PART_IS_ERROR;
        break;
    default:
        add_turn(c, &result);
        put_data(conversation_part(c, &result->parts, WEIR_PART_IMAGE), "image/png");
    }
}

static void use_content(struct conversation *c, struct weir_message *first, uint32_t feature)
{
    if (feature >= WEIR_FEATURE_IMAGE_URL && feature <= WEIR_FEATURE_FILE_ID) {
        use_media(c, first, feature);
    } else if (feature >= WEIR_FEATURE_TOOLS && feature <= WEIR_FEATURE_RESULT_MEDIA) {
        use_tools(c, feature);
    } else if (feature >= WEIR_FEATURE_THINKING && feature <= WEIR_FEATURE_REDACTED) {
        use_thoughts(c, feature);
    } else if (feature == WEIR_FEATURE_SYSTEM_LATER) {
        say(c, WEIR_ROLE_ASSISTANT, "Yes.");
        say(c, WEIR_ROLE_SYSTEM, "zq later");
        say(c, WEIR_ROLE_USER, "Go on.");
    } else if (feature == WEIR_FEATURE_MESSAGE_NAME) {
        first->name = WEIR_LIT("zq_name");
    } else if (feature == WEIR_FEATURE_CACHE_MARK) {
        first->parts->flags |= WEIR_PART_CACHE_MARK;
    } else if (feature == WEIR_FEATURE_CACHE_TTL) {
        first->parts->flags |= WEIR_PART_CACHE_MARK;
        first->parts->cache_ttl = WEIR_LIT("1h");
    } else if (feature == WEIR_FEATURE_OPAQUE) {
        struct weir_part *p = add(c, first, WEIR_PART_OPAQUE, "");
        p->raw = WEIR_LIT("{\"type\":\"zq\"}");
        p->dialect = TEST_DIALECT;
    } else if (feature == WEIR_FEATURE_TURNS) {
        first->role = WEIR_ROLE_ASSISTANT;
        say(c, WEIR_ROLE_USER, "Go on.");
    } else if (feature == WEIR_FEATURE_EXT) {
        conversation_ext(c, WEIR_LIT("zq_ext"), WEIR_LIT("1"), WEIR_NONE);
    } else {
        use_assistant(c, feature);
    }
}

static void use_field(struct conversation *c, const struct sample *s)
{
    conversation_set_field(c, (enum weir_field)s->feature, STR(s->json), WEIR_NONE);
    if (s->feature == WEIR_FIELD_TOP_LOGPROBS)
        conversation_set_field(c, WEIR_FIELD_LOGPROBS, WEIR_LIT("true"), WEIR_NONE);
    if (s->feature == WEIR_FIELD_REASONING_VISIBLE)
        conversation_set_field(c, WEIR_FIELD_REASONING_BUDGET, WEIR_LIT("2048"), WEIR_NONE);
    if (s->feature == WEIR_FIELD_TOOL_CHOICE || s->feature == WEIR_FIELD_PARALLEL_TOOLS)
        add_tool(c);
}

static struct conversation *made(struct arena *a, const struct sample *s, const char *model)
{
    struct conversation *c = conversation_new(a, TEST_DIALECT, s->operation, WEIR_NONE);
    conversation_set_field(c, WEIR_FIELD_MODEL, arena_printf(a, "\"%s\"", model), WEIR_NONE);
    struct weir_message *first = say(c, WEIR_ROLE_USER, "Hello, you.");
    if (s->operation != WEIR_OP_CHAT)
        say(c, WEIR_ROLE_USER, "A second text.");
    if (s->json)
        use_field(c, s);
    else
        use_content(c, first, s->feature);
    conversation_close(c);
    return c;
}

/* ---- there and back ---- */

static struct features used_by(const struct conversation *c)
{
    struct features f = features_of_fields(&c->view);
    f.bits[0] |= c->content.bits[0];
    f.bits[1] |= c->content.bits[1];
    return f;
}

/* What the codec reads in its own words; NULL: it has no such door, or doesn't read it. */
static struct lab *read_back(const struct lab *up, uint32_t operation, const char *model)
{
    struct lab *l = lab_begin(up->plugin, 'i', NULL);
    bool has_door = lab_at_door(l, operation, model);
    l->conversation = conversation_new(l->arena, STR(up->plugin->name), operation, out_bytes(&up->told));
    struct scratch s = scratch_enter();
    bool is_read = has_door && l->codec->decode_request &&
                   l->codec->decode_request(l->self, &l->call, l->state, out_bytes(&up->told)) == 0;
    scratch_leave(s);
    if (is_read) {
        conversation_close(l->conversation);
        return l;
    }
    if (has_door && l->codec->decode_request)
        printf("  %s does not read its own %.*s\n", up->plugin->name, (int)up->told.n, up->told.p);
    lab_end(l);
    return NULL;
}

/* The same value? Of a schema only what constrains the answer; its name says nothing. */
static bool is_same_json(uint32_t feature, struct weir_str a, const char *b)
{
    json_t *one = json_loadb(a.p ? a.p : "", a.n, JSON_DECODE_ANY, NULL), *two = json_loads(b, JSON_DECODE_ANY, NULL);
    bool is_schema = feature == WEIR_FIELD_RESPONSE_FORMAT && json_is_object(one) && json_is_object(two);
    json_t *x = is_schema ? json_object_get(one, "schema") : one, *y = is_schema ? json_object_get(two, "schema") : two;
    bool is_same =
        json_is_number(x) && json_is_number(y) ? json_number_value(x) == json_number_value(y) : json_equal(x, y);
    json_decref(one);
    json_decref(two);
    return is_same;
}

/* What asks for nothing may be said by silence, or in the words of a neighbour: no effort is a budget of 0. */
static bool asks_for_nothing(const struct sample *s)
{
    if (s->feature == WEIR_FIELD_REASONING_EFFORT || s->feature == WEIR_FIELD_TOOL_CHOICE)
        return strcmp(s->json, "\"none\"") == 0;
    return s->feature == WEIR_FIELD_REASONING_BUDGET && strcmp(s->json, "0") == 0;
}

static bool is_nothing_asked(const struct lab *back, uint32_t feature)
{
    const struct weir_conversation *c = &back->conversation->view;
    struct weir_str effort = weir_field(c, WEIR_FIELD_REASONING_EFFORT),
                    budget = weir_field(c, WEIR_FIELD_REASONING_BUDGET);
    if (feature == WEIR_FIELD_TOOL_CHOICE)
        return !c->tools || weir_is(weir_field(c, WEIR_FIELD_TOOL_CHOICE), "\"none\"");
    return (!effort.n || weir_is(effort, "\"none\"")) && (!budget.n || weir_is(budget, "0"));
}

static bool has_come_back(struct lab *back, const struct sample *s)
{
    struct features f = used_by(back->conversation);
    if (s->json && asks_for_nothing(s) && is_nothing_asked(back, s->feature))
        return true;
    if (!features_have(&f, s->feature))
        return false;
    if (s->json)
        return is_same_json(s->feature, back->conversation->fields[s->feature].json, s->json);
    return !s->mark || strstr(dump_conversation(back), s->mark);
}

static void judge(struct lab *up, const struct codec_says *says, const struct sample *s, const char *model,
                  struct lab *back, bool is_written)
{
    uint8_t saying = says->saying[s->feature];
    bool is_lost = lab_losses[s->feature] != 0, is_back = back && has_come_back(back, s);
    struct features f = back ? used_by(back->conversation) : (struct features){ { 0, 0 } };
    if (up->undeclared_loss)
        wrong(up, s->feature, s->json, model,
              arena_printf(up->arena, "lose() names %s, which the table doesn't call PARTLY", up->undeclared_loss).p);
    if (saying == WEIR_SAYS && !is_written)
        wrong(up, s->feature, s->json, model, "the table says it, and it is refused");
    else if (saying == WEIR_SAYS && back && !is_back)
        wrong(up, s->feature, s->json, model, "the table says it, and it does not come back");
    else if (saying == WEIR_SAYS_PARTLY && back && is_written && !is_back && !is_lost)
        wrong(up, s->feature, s->json, model, "it does not come back, and lose() did not tell");
    else if (saying == WEIR_SAYS_PARTLY && is_lost && is_back && s->json && !asks_for_nothing(s))
        wrong(up, s->feature, s->json, model, "it comes back as it was, and lose() told that it does not");
    else if (!saying && features_have(&f, s->feature))
        wrong(up, s->feature, s->json, model, "it comes back, and the table doesn't declare it");
}

static void try_sample(const struct weir_plugin *p, const struct codec_says *says, const struct sample *s,
                       const char *model)
{
    struct lab *maker = lab_begin(p, 'e', NULL);
    struct conversation *c = made(maker->arena, s, model);
    struct features f = used_by(c);
    struct lab *up = lab_begin(p, 'e', c);
    if (!features_have(&f, s->feature))
        wrong(up, s->feature, s->json, model, "the sample does not use it");
    up->view.operation = s->operation;
    up->view.dialect = TEST_DIALECT;
    memset(lab_losses, 0, sizeof(lab_losses));
    struct scratch scratch = scratch_enter();
    bool is_written = p->codec->request_head(up->self, &up->call, up->state, NULL) == 0 &&
                      p->codec->encode_request(up->self, &up->call, up->state, &c->view, &up->told) == 0;
    scratch_leave(scratch);
    struct lab *back = is_written ? read_back(up, s->operation, model) : NULL;
    judge(up, says, s, model, back, is_written);
    lab_end(back);
    lab_end(up);
    lab_end(maker);
}

static void try_requests(const struct weir_plugin *p, const struct codec_says *says)
{
    for (size_t i = 0; p->codec->encode_request && i < sizeof(samples) / sizeof(*samples); i++) {
        const struct sample *s = &samples[i];
        if (!(p->codec->operations & WEIR_OP_BIT(s->operation))) {
            if (says->saying[s->feature]) {
                printf("  %s declares %s, and has no operation for it\n", p->name, feature_name(s->feature));
                n_wrong++;
            }
            continue;
        }
        for (size_t m = 0; m < sizeof(models) / sizeof(*models); m++)
            try_sample(p, says, s, models[m]);
    }
}

TEST(requests_say_what_the_tables_say)
{
    each_codec(try_requests);
}

/* Every feature has a sample: what is added to the enum must be added here. */
TEST(every_feature_of_a_request_has_a_sample)
{
    bool has[WEIR_FEATURES] = { false };
    for (size_t i = 0; i < sizeof(samples) / sizeof(*samples); i++)
        has[samples[i].feature] = true;
    for (uint32_t f = WEIR_FIELD_MAX_TOKENS; f < WEIR_FEATURE_ANSWER_THINKING; f++)
        if (feature_name(f) && !feature_is_hosts(f) && !has[f])
            test_fail(__FILE__, __LINE__, feature_name(f));
}

/* Contents that a dialect can't say rule a target out by its capabilities: these and the table must agree. */
static void compare_capabilities(const struct weir_plugin *p, const struct codec_says *says)
{
    static const struct {
        uint32_t capability, feature;
    } pairs[] = {
        { WEIR_CAN_TOOLS, WEIR_FEATURE_TOOLS },
        { WEIR_CAN_IMAGE_URL, WEIR_FEATURE_IMAGE_URL },
        { WEIR_CAN_IMAGE_INLINE, WEIR_FEATURE_IMAGE_DATA },
        { WEIR_CAN_AUDIO_IN, WEIR_FEATURE_AUDIO },
        { WEIR_CAN_FILE_INLINE, WEIR_FEATURE_FILE_DATA },
        { WEIR_CAN_FILE_URL, WEIR_FEATURE_FILE_URL },
        { WEIR_CAN_CHOICES, WEIR_FIELD_N },
        { WEIR_CAN_LOGPROBS, WEIR_FIELD_LOGPROBS },
        { WEIR_CAN_JSON_SCHEMA, WEIR_FIELD_RESPONSE_FORMAT },
    };
    for (size_t i = 0; p->codec->encode_request && i < sizeof(pairs) / sizeof(*pairs); i++) {
        bool can = p->codec->capabilities & pairs[i].capability;
        uint8_t saying = says->saying[pairs[i].feature];
        if (can ? saying != 0 : saying != WEIR_SAYS)
            continue;
        printf("  %s: %s stands in only one of capabilities and table\n", p->name, feature_name(pairs[i].feature));
        n_wrong++;
    }
}

TEST(capabilities_and_tables_agree)
{
    each_codec(compare_capabilities);
}

/* ---- answers ---- */

struct answer_sample {
    uint32_t feature;
    uint32_t finish;
    const char *mark; /* what must be found again */
};
static const struct answer_sample answer_samples[] = {
    { WEIR_FEATURE_ANSWER_THINKING, 0, "zq thought" },
    { WEIR_FEATURE_ANSWER_SIGNATURE, 0, "zqsignature" },
    { WEIR_FEATURE_ANSWER_REFUSAL, 0, "zq no" },
    { WEIR_FEATURE_ANSWER_TOOL_RESULT, 0, NULL },
    { WEIR_FEATURE_ANSWER_IMAGE, 0, NULL },
    { WEIR_FEATURE_ANSWER_AUDIO, 0, "QUJD" },
    { WEIR_FEATURE_ANSWER_OPAQUE, 0, NULL },
    { WEIR_FEATURE_ANSWER_CITATIONS, 0, NULL },
    { WEIR_FEATURE_ANSWER_LOGPROBS, 0, NULL },
    { WEIR_FEATURE_ANSWER_EXT, 0, NULL },
    { WEIR_FEATURE_ANSWER_CHOICES, 0, "zq second" },
    { WEIR_FEATURE_ANSWER_ORDER, 0, "zq behind" },
    { WEIR_FEATURE_ANSWER_STOP_SEQUENCE, WEIR_FINISH_STOP_SEQUENCE, "zq stop" },
    { WEIR_FEATURE_ANSWER_FINISH, WEIR_FINISH_CONTENT_FILTER, NULL },
    { WEIR_FEATURE_ANSWER_FINISH, WEIR_FINISH_REFUSAL, NULL },
    { WEIR_FEATURE_ANSWER_FINISH, WEIR_FINISH_PAUSE, NULL },
    { WEIR_FEATURE_ANSWER_FINISH, WEIR_FINISH_CONTEXT_WINDOW, NULL },
    { WEIR_FEATURE_ANSWER_FINISH, WEIR_FINISH_OTHER, NULL },
    { WEIR_FEATURE_ANSWER_CACHED_READ, 0, NULL },
    { WEIR_FEATURE_ANSWER_CACHED_WRITE, 0, NULL },
    { WEIR_FEATURE_ANSWER_REASONING, 0, NULL },
    { WEIR_FEATURE_ANSWER_USAGE, 0, NULL },
};

enum { EVENTS = 32 };
struct told {
    struct weir_event list[EVENTS];
    uint32_t n, block;
};

static struct weir_event *tell(struct told *t, uint16_t kind)
{
    struct weir_event *e = &t->list[t->n++];
    *e = (struct weir_event){ .size = sizeof(*e), .kind = kind, .block = t->block };
    return e;
}

static void begin_block(struct told *t, uint16_t kind)
{
    t->block++;
    struct weir_event *e = tell(t, WEIR_EVENT_BLOCK_START);
    e->block_kind = kind;
    if (kind == WEIR_BLOCK_TOOL_CALL || kind == WEIR_BLOCK_TOOL_RESULT) {
        e->id = WEIR_LIT("call_zq1");
        e->name = WEIR_LIT("zq_tool");
    }
    if (kind == WEIR_BLOCK_OPAQUE) {
        e->text = (struct weir_text)WEIR_TEXT("{\"type\":\"zq\"}");
        e->dialect = TEST_DIALECT;
    }
}

static void add_piece(struct told *t, uint16_t kind, const char *text)
{
    struct weir_event *e = tell(t, WEIR_EVENT_DELTA);
    e->delta_kind = kind;
    e->text = weir_plain(STR(text));
    if (kind == WEIR_DELTA_SIGNATURE || kind == WEIR_DELTA_CITATION || kind == WEIR_DELTA_LOGPROBS ||
        kind == WEIR_DELTA_EXT)
        e->dialect = TEST_DIALECT;
}

static void add_block(struct told *t, uint16_t kind, uint16_t delta, const char *text)
{
    begin_block(t, kind);
    if (text)
        add_piece(t, delta, text);
    tell(t, WEIR_EVENT_BLOCK_STOP);
}

static void add_sampled_block(struct told *t, uint32_t feature)
{
    switch (feature) {
    case WEIR_FEATURE_ANSWER_THINKING:
        add_block(t, WEIR_BLOCK_THINKING, WEIR_DELTA_TEXT, "zq thought");
        break;
    case WEIR_FEATURE_ANSWER_SIGNATURE:
        begin_block(t, WEIR_BLOCK_THINKING);
        add_piece(t, WEIR_DELTA_TEXT, "so");
        add_piece(t, WEIR_DELTA_SIGNATURE, "zqsignature");
        tell(t, WEIR_EVENT_BLOCK_STOP);
        break;
    case WEIR_FEATURE_ANSWER_REFUSAL:
        add_block(t, WEIR_BLOCK_REFUSAL, WEIR_DELTA_TEXT, "zq no");
        break;
    case WEIR_FEATURE_ANSWER_TOOL_RESULT:
        add_block(t, WEIR_BLOCK_TOOL_RESULT, WEIR_DELTA_TEXT, "zq result");
        break;
    case WEIR_FEATURE_ANSWER_IMAGE:
        add_block(t, WEIR_BLOCK_IMAGE, WEIR_DELTA_TEXT, "QUJD");
        break;
    case WEIR_FEATURE_ANSWER_AUDIO:
        add_block(t, WEIR_BLOCK_AUDIO, WEIR_DELTA_AUDIO, "QUJD");
        break;
    case WEIR_FEATURE_ANSWER_OPAQUE:
        add_block(t, WEIR_BLOCK_OPAQUE, 0, NULL);
        break;
    default:
        break;
    }
}

static void add_text_block(struct told *t, uint32_t feature)
{
    begin_block(t, WEIR_BLOCK_TEXT);
    add_piece(t, WEIR_DELTA_TEXT, "Hello.");
    if (feature == WEIR_FEATURE_ANSWER_CITATIONS)
        add_piece(t, WEIR_DELTA_CITATION, "{\"zq\":1}");
    if (feature == WEIR_FEATURE_ANSWER_LOGPROBS)
        add_piece(t, WEIR_DELTA_LOGPROBS, "{\"token\":\"Hello.\",\"logprob\":-1,\"bytes\":null,\"top_logprobs\":[]}");
    if (feature == WEIR_FEATURE_ANSWER_EXT)
        add_piece(t, WEIR_DELTA_EXT, "{\"type\":\"zq\"}");
    tell(t, WEIR_EVENT_BLOCK_STOP);
}

static void add_second_choice(struct told *t)
{
    uint32_t from = t->n;
    add_block(t, WEIR_BLOCK_TEXT, WEIR_DELTA_TEXT, "zq second");
    tell(t, WEIR_EVENT_FINISH)->finish = WEIR_FINISH_STOP;
    for (uint32_t i = from; i < t->n; i++)
        t->list[i].choice = 1;
}

static struct weir_usage usage_with(uint32_t feature)
{
    struct weir_usage u = WEIR_USAGE_UNKNOWN;
    u.input = 40;
    u.output = 30;
    if (feature == WEIR_FEATURE_ANSWER_CACHED_READ)
        u.cached_read = 11;
    if (feature == WEIR_FEATURE_ANSWER_CACHED_WRITE)
        u.cached_write = 12;
    if (feature == WEIR_FEATURE_ANSWER_REASONING)
        u.reasoning = 13;
    return u;
}

static void make_answer(struct told *t, const struct answer_sample *s, const struct weir_usage *usage)
{
    struct weir_event *e = tell(t, WEIR_EVENT_START);
    bool has_calls = s->feature == WEIR_FEATURE_ANSWER_ORDER;
    e->id = WEIR_LIT("zq1");
    e->name = WEIR_LIT("m");
    e->created_s = 1700000000;
    add_sampled_block(t, s->feature);
    if (s->feature != WEIR_FEATURE_ANSWER_REFUSAL)
        add_text_block(t, s->feature);
    if (has_calls) {
        add_block(t, WEIR_BLOCK_TOOL_CALL, WEIR_DELTA_ARGUMENTS, "{\"a\":1}");
        add_block(t, WEIR_BLOCK_TEXT, WEIR_DELTA_TEXT, "zq behind");
    }
    e = tell(t, WEIR_EVENT_FINISH);
    e->finish = (uint16_t)(s->finish ? s->finish : has_calls ? WEIR_FINISH_TOOL_CALLS : WEIR_FINISH_STOP);
    if (s->finish == WEIR_FINISH_STOP_SEQUENCE)
        e->text = (struct weir_text)WEIR_TEXT("zq stop");
    if (s->finish == WEIR_FINISH_OTHER)
        e->name = WEIR_LIT("zq_reason");
    if (s->feature == WEIR_FEATURE_ANSWER_CHOICES)
        add_second_choice(t);
    tell(t, WEIR_EVENT_USAGE)->usage = usage;
    tell(t, WEIR_EVENT_END);
}

static struct conversation *clients(struct lab *l, bool is_stream)
{
    struct conversation *c = conversation_new(l->arena, STR(l->plugin->name), WEIR_OP_CHAT, WEIR_NONE);
    conversation_set_field(c, WEIR_FIELD_MODEL, WEIR_LIT("\"m\""), WEIR_NONE);
    conversation_set_field(c, WEIR_FIELD_N, WEIR_LIT("2"), WEIR_NONE);
    if (is_stream) {
        conversation_set_field(c, WEIR_FIELD_STREAM, WEIR_LIT("true"), WEIR_NONE);
        conversation_set_field(c, WEIR_FIELD_STREAM_USAGE, WEIR_LIT("true"), WEIR_NONE);
    }
    say(c, WEIR_ROLE_USER, "Hello.");
    return c;
}

/* Writes the answer in the client's dialect; what it uses is added up in `used`. */
static bool write_answer(struct lab *l, const struct told *t, bool is_stream, struct features *used)
{
    struct answer_order order = { 0, 0 };
    struct grammar grammar = { .n_open = 0 };
    bool is_well = true;
    l->conversation = clients(l, is_stream);
    struct scratch s = scratch_enter();
    for (uint32_t i = 0; i < t->n && is_well; i++) {
        struct weir_event e = t->list[i];
        CHECK(grammar_check(&grammar, &e, l->arena) == NULL);
        struct features f = features_of_event(&order, &e);
        used->bits[0] |= f.bits[0];
        used->bits[1] |= f.bits[1];
        if (is_stream)
            is_well = l->codec->encode_event(l->self, &l->call, l->state, &e, &l->told) == 0;
        else
            collector_add(l->collector, &e);
    }
    if (!is_stream)
        is_well = l->codec->encode_answer(l->self, &l->call, l->state, collector_answer(l->collector), &l->told) == 0;
    scratch_leave(s);
    return is_well;
}

static bool is_usage_back(const struct weir_usage *u, uint32_t feature)
{
    switch (feature) {
    case WEIR_FEATURE_ANSWER_CACHED_READ:
        return u->cached_read == 11;
    case WEIR_FEATURE_ANSWER_CACHED_WRITE:
        return u->cached_write == 12;
    case WEIR_FEATURE_ANSWER_REASONING:
        return u->reasoning == 13;
    case WEIR_FEATURE_ANSWER_USAGE:
        return u->input == 40 && u->output == 30;
    default:
        return true;
    }
}

static bool has_answer_back(struct lab *back, const struct answer_sample *s)
{
    const struct weir_answer *a = collector_answer(back->collector);
    if (!features_have(&back->emitted, s->feature) || !is_usage_back(&a->usage, s->feature))
        return false;
    if (s->feature == WEIR_FEATURE_ANSWER_FINISH && a->choices[0].finish != s->finish)
        return false;
    return !s->mark || strstr(lab_cstr(back, out_bytes(&back->log)), s->mark);
}

static void judge_answer(struct lab *l, const struct codec_says *says, const struct answer_sample *s, struct lab *back,
                         const char *how)
{
    char value[32] = "";
    uint8_t saying = says->saying[s->feature];
    bool is_lost = lab_losses[s->feature] != 0, is_back = back && has_answer_back(back, s);
    if (s->finish)
        snprintf(value, sizeof(value), "%u", s->finish);
    if (l->undeclared_loss)
        wrong(l, s->feature, value, how,
              arena_printf(l->arena, "lose() names %s, which the table doesn't call PARTLY", l->undeclared_loss).p);
    if (saying == WEIR_SAYS && back && !is_back)
        wrong(l, s->feature, value, how, "the table says it, and it does not come back");
    else if (saying == WEIR_SAYS_PARTLY && back && !is_back && !is_lost)
        wrong(l, s->feature, value, how, "it does not come back, and lose() did not tell");
    else if (saying == WEIR_SAYS_PARTLY && is_back && is_lost)
        wrong(l, s->feature, value, how, "it comes back as it was, and lose() told that it does not");
    else if (!saying && back && features_have(&back->emitted, s->feature))
        wrong(l, s->feature, value, how, "it comes back, and the table doesn't declare it");
}

/* What the codec reads of its own answer; NULL: it has no such side. */
static struct lab *read_answer(const struct lab *client, bool is_stream)
{
    struct lab *l = lab_begin(client->plugin, 'e', client->conversation);
    const struct weir_codec *c = l->codec;
    uint32_t framing = is_stream ? c->stream_framing : c->whole_framing;
    if (!c->decode_frame) {
        lab_end(l);
        return NULL;
    }
    if (c->request_head)
        c->request_head(l->self, &l->call, l->state, NULL);
    if (c->decode_head)
        c->decode_head(l->self, &l->call, l->state, 200);
    if (lab_decode_answer(l, (enum weir_framing)framing, out_bytes(&client->told), 0, true) == 0)
        return l;
    printf("  %s does not read its own answer: %s\n  %.*s\n", client->plugin->name,
           l->grammar_error ? l->grammar_error : "", (int)client->told.n, client->told.p);
    n_wrong++;
    lab_end(l);
    return NULL;
}

static void try_answer(const struct weir_plugin *p, const struct codec_says *says, const struct answer_sample *s,
                       bool is_stream)
{
    const char *how = is_stream ? "m, streamed" : "m, whole";
    struct told t = { .n = 0 };
    struct weir_usage usage = usage_with(s->feature);
    struct features used = { { 0, 0 } };
    struct lab *l = lab_begin(p, 'i', NULL);
    make_answer(&t, s, &usage);
    memset(lab_losses, 0, sizeof(lab_losses));
    bool is_written = write_answer(l, &t, is_stream, &used);
    if (!features_have(&used, s->feature))
        wrong(l, s->feature, NULL, how, "the sample does not use it");
    if (!is_written)
        wrong(l, s->feature, NULL, how, "the codec refuses to write it");
    struct lab *back = is_written ? read_answer(l, is_stream) : NULL;
    judge_answer(l, says, s, back, how);
    lab_end(back);
    lab_end(l);
}

static void try_answers(const struct weir_plugin *p, const struct codec_says *says)
{
    if (!(p->codec->operations & WEIR_OP_BIT(WEIR_OP_CHAT)))
        return; /* vectors and ranks say nothing of this */
    for (size_t i = 0; p->codec->encode_event && i < sizeof(answer_samples) / sizeof(*answer_samples); i++) {
        try_answer(p, says, &answer_samples[i], true);
        try_answer(p, says, &answer_samples[i], false);
    }
}

TEST(answers_say_what_the_tables_say)
{
    each_codec(try_answers);
}
