/* The ollama codec on small pieces of wire: what recordings don't show. */
#include "codec_lab.h"
#include "test.h"

static const struct weir_plugin *plugin;

static bool has_plugin(void)
{
    if (!plugin)
        plugin = lab_plugin("ollama");
    return plugin != NULL;
}

static struct weir_str str(const char *s)
{
    return (struct weir_str){ s, strlen(s) };
}

static bool contains(const char *text, const char *what)
{
    if (strstr(text, what))
        return true;
    printf("  <%s>\n  lacks <%s>\n", text, what);
    return false;
}

#define NEED_PLUGIN                                                                                                    \
    if (!has_plugin())                                                                                                 \
    SKIP("the codec is not built")

/* ---- requests ---- */

static void check_refused(const char *body, const char *param, const char *message)
{
    struct lab *l = lab_begin(plugin, 'i', NULL);
    CHECK_INT(lab_decode_request(l, str(body)), -1);
    CHECK(l->has_failed);
    CHECK_STR(lab_cstr(l, l->error.param), param);
    CHECK(contains(lab_cstr(l, l->error.message), message));
    lab_end(l);
}

TEST(bad_requests_name_the_field)
{
    NEED_PLUGIN;
    check_refused("{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}", "model", "is missing");
    check_refused("{\"model\":\"m\"}", "messages", "is missing or empty");
    check_refused("{\"model\":\"m\",\"messages\":[{\"content\":\"x\"}]}", "messages[0].role", "is missing");
    check_refused("{\"model\":\"m\",\"messages\":[{\"role\":\"king\",\"content\":\"x\"}]}", "messages[0].role",
                  "must be one of");
    check_refused("{\"model\":\"m\",\"messages\":[{\"role\":\"user\"}]}", "messages[0].content", "is missing");
    check_refused("{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[]}]}", "messages[0].content",
                  "must be a string");
    check_refused("{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"\",\"images\":[\"data:image/"
                  "png;base64,QQ\"]}]}",
                  "messages[0].images[0]", "without a data: prefix");
    check_refused(
        "{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\":\"f\","
        "\"arguments\":7}}]}]}",
        "messages[0].tool_calls[0].function.arguments", "must be an object");
    check_refused("{\"model\":\"m\",\"options\":{\"temperature\":\"hot\"},\"messages\":[]}", "options.temperature",
                  "must be a number");
    check_refused("{\"model\":\"m\",\"options\":{\"stop\":\"x\"},\"messages\":[]}", "options.stop", "array of strings");
    check_refused("{\"model\":\"m\",\"think\":\"hard\",\"messages\":[]}", "think", "must be true, false");
    check_refused("{\"model\":\"m\",\"format\":\"yaml\",\"messages\":[]}", "format", "JSON schema");
    check_refused("{\"model\":\"m\",\"tools\":[{\"type\":\"function\",\"function\":{}}],\"messages\":[]}",
                  "tools[0].function", "has no name");
    check_refused("{\"model\":\"m\"", "model", "not valid JSON");
}

static struct lab *decoded(const char *body)
{
    struct lab *l = lab_begin(plugin, 'i', NULL);
    if (lab_decode_request(l, str(body)) < 0)
        printf("  %.*s\n", S(l->error.message));
    return l;
}

TEST(an_answer_is_streamed_unless_told_otherwise)
{
    NEED_PLUGIN;
    struct lab *l = decoded("{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}");
    CHECK(weir_field_true(&l->conversation->view, WEIR_FIELD_STREAM));
    lab_end(l);
    l = decoded("{\"model\":\"m\",\"stream\":false,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}");
    CHECK_STR(lab_cstr(l, weir_field(&l->conversation->view, WEIR_FIELD_STREAM)), "false");
    lab_end(l);
}

/* A conversation of no dialect in particular, as JSON of this one; made by hand where this one can't say it. */
static const char *encoded(struct lab *up, struct conversation *c)
{
    struct weir_out out = { 0 };
    struct scratch s = scratch_enter();
    memset(lab_losses, 0, sizeof(lab_losses));
    conversation_close(c);
    int rc = plugin->codec->encode_request(up->self, &up->call, up->state, &c->view, &out);
    scratch_leave(s);
    const char *text = rc == 0 && out_complete(&out) ? lab_cstr(up, out_bytes(&out)) : "";
    out_free(&out);
    return text;
}

static struct conversation *asked(struct lab *l)
{
    struct conversation *c = conversation_new(l->arena, WEIR_LIT("other"), WEIR_OP_CHAT, WEIR_LIT("{}"));
    struct weir_message *m = conversation_message(c, WEIR_ROLE_USER);
    conversation_part(c, &m->parts, WEIR_PART_TEXT)->text = WEIR_TEXT("x");
    conversation_set_field(c, WEIR_FIELD_MODEL, WEIR_LIT("\"m\""), WEIR_NONE);
    return c;
}

struct expected {
    enum weir_field field;
    const char *value, *wire; /* "": nothing may be said of it */
    uint32_t loss;
};

TEST(settings_are_said_or_told_to_be_lost)
{
    NEED_PLUGIN;
    static const struct expected list[] = {
        { WEIR_FIELD_STREAM, "true", "\"stream\":true", 0 },
        { WEIR_FIELD_MAX_TOKENS, "5", "\"options\":{\"num_predict\":5}", 0 },
        { WEIR_FIELD_N, "2", "\"stream\":false", WEIR_LOSS_DROPPED },
        { WEIR_FIELD_PARALLEL_TOOLS, "false", "\"stream\":false", WEIR_LOSS_DROPPED },
        { WEIR_FIELD_PARALLEL_TOOLS, "true", "\"stream\":false", 0 },
        { WEIR_FIELD_MODALITIES, "[\"text\",\"audio\"]", "\"stream\":false", WEIR_LOSS_DROPPED },
        { WEIR_FIELD_RESPONSE_FORMAT, "\"json_object\"", "\"format\":\"json\"", 0 },
        { WEIR_FIELD_RESPONSE_FORMAT, "{\"name\":\"n\",\"schema\":{\"type\":\"object\"},\"strict\":true}",
          "\"format\":{\"type\":\"object\"}", 0 },
        { WEIR_FIELD_REASONING_EFFORT, "\"none\"", "\"think\":false", 0 },
        { WEIR_FIELD_REASONING_EFFORT, "\"minimal\"", "\"think\":\"low\"", WEIR_LOSS_CHANGED },
        { WEIR_FIELD_REASONING_EFFORT, "\"xhigh\"", "\"think\":\"max\"", WEIR_LOSS_CHANGED },
        { WEIR_FIELD_REASONING_EFFORT, "\"default\"", "\"stream\":false}", WEIR_LOSS_DROPPED },
        { WEIR_FIELD_REASONING_BUDGET, "-1", "\"think\":true", 0 },
        { WEIR_FIELD_REASONING_BUDGET, "0", "\"think\":false", WEIR_LOSS_EMULATED },
        { WEIR_FIELD_REASONING_BUDGET, "8000", "\"think\":\"medium\"", WEIR_LOSS_EMULATED },
        { WEIR_FIELD_REASONING_VISIBLE, "true", "\"think\":true", 0 },
        { WEIR_FIELD_TOP_LOGPROBS, "3", "\"top_logprobs\":3", 0 },
    };
    for (size_t i = 0; i < sizeof(list) / sizeof(*list); i++) {
        struct lab *up = lab_begin(plugin, 'e', NULL);
        struct conversation *c = asked(up);
        conversation_set_field(c, list[i].field, str(list[i].value), WEIR_NONE);
        CHECK(contains(encoded(up, c), list[i].wire));
        CHECK_INT(lab_losses[list[i].field], list[i].loss);
        lab_end(up);
    }
}

static void add_tool(struct conversation *c, const char *name)
{
    struct weir_tool *t = conversation_tool(c);
    t->name = str(name);
    t->schema = WEIR_LIT("{}");
}

TEST(which_tool_is_called_can_only_be_narrowed)
{
    NEED_PLUGIN;
    static const struct {
        const char *choice;
        bool has_a, has_b;
        uint32_t loss;
    } list[] = {
        { "\"auto\"", true, true, 0 },
        { "\"none\"", false, false, WEIR_LOSS_EMULATED },
        { "\"required\"", true, true, WEIR_LOSS_DROPPED },
        { "{\"name\":\"b\"}", false, true, WEIR_LOSS_CHANGED },
    };
    for (size_t i = 0; i < sizeof(list) / sizeof(*list); i++) {
        struct lab *up = lab_begin(plugin, 'e', NULL);
        struct conversation *c = asked(up);
        add_tool(c, "a");
        add_tool(c, "b");
        conversation_set_field(c, WEIR_FIELD_TOOL_CHOICE, str(list[i].choice), WEIR_NONE);
        const char *text = encoded(up, c);
        CHECK_INT(strstr(text, "\"name\":\"a\"") != NULL, list[i].has_a);
        CHECK_INT(strstr(text, "\"name\":\"b\"") != NULL, list[i].has_b);
        CHECK_INT(lab_losses[WEIR_FIELD_TOOL_CHOICE], list[i].loss);
        lab_end(up);
    }
}

TEST(results_name_their_tool)
{
    NEED_PLUGIN;
    struct lab *up = lab_begin(plugin, 'e', NULL);
    struct conversation *c = asked(up);
    struct weir_message *m = conversation_message(c, WEIR_ROLE_ASSISTANT);
    struct weir_part *call = conversation_part(c, &m->parts, WEIR_PART_TOOL_CALL);
    call->id = WEIR_LIT("toolu_1");
    call->name = WEIR_LIT("weather");
    call->text = WEIR_TEXT("[1]");
    m = conversation_message(c, WEIR_ROLE_USER);
    struct weir_part *result = conversation_part(c, &m->parts, WEIR_PART_TOOL_RESULT);
    result->id = WEIR_LIT("toolu_1");
    conversation_part(c, &result->parts, WEIR_PART_TEXT)->text = WEIR_TEXT("one");
    conversation_part(c, &result->parts, WEIR_PART_TEXT)->text = WEIR_TEXT("two");
    struct weir_part *image = conversation_part(c, &result->parts, WEIR_PART_IMAGE);
    image->data = WEIR_TEXT("iVBORw==");
    image->media_type = WEIR_LIT("image/png");
    conversation_part(c, &m->parts, WEIR_PART_TEXT)->text = WEIR_TEXT("go on");
    const char *text = encoded(up, c);
    CHECK(contains(text, "\"tool_calls\":[{\"id\":\"toolu_1\",\"function\":{\"index\":0,\"name\":\"weather\","
                         "\"arguments\":{\"_raw\":\"[1]\"}}}]"));
    CHECK(contains(
        text, "{\"role\":\"tool\",\"content\":\"one\\n\\ntwo\",\"images\":[\"iVBORw==\"],\"tool_name\":\"weather\","
              "\"tool_call_id\":\"toolu_1\"},{\"role\":\"user\",\"content\":\"go on\"}"));
    CHECK_INT(lab_losses[WEIR_FEATURE_TOOLS], WEIR_LOSS_EMULATED);
    lab_end(up);
}

TEST(a_text_file_is_words_and_another_is_refused)
{
    NEED_PLUGIN;
    struct lab *up = lab_begin(plugin, 'e', NULL);
    struct conversation *c = asked(up);
    struct weir_part *file = conversation_part(c, &c->view.messages->parts, WEIR_PART_FILE);
    file->media_type = WEIR_LIT("text/plain");
    file->data = WEIR_TEXT("aGk=");
    CHECK(contains(encoded(up, c), "\"content\":\"x\\n\\nhi\""));
    CHECK_INT(lab_losses[WEIR_FEATURE_FILE_DATA], WEIR_LOSS_EMULATED);
    file->media_type = WEIR_LIT("application/pdf");
    CHECK_STR(encoded(up, c), "");
    CHECK_INT(up->error.error_class, WEIR_ERROR_UNSUPPORTED);
    lab_end(up);
}

TEST(what_stood_in_another_order_is_told)
{
    NEED_PLUGIN;
    struct lab *up = lab_begin(plugin, 'e', NULL);
    struct conversation *c = asked(up);
    struct weir_message *m = conversation_message(c, WEIR_ROLE_ASSISTANT);
    conversation_part(c, &m->parts, WEIR_PART_TEXT)->text = WEIR_TEXT("a");
    conversation_part(c, &m->parts, WEIR_PART_THINKING)->text = WEIR_TEXT("b");
    CHECK(contains(encoded(up, c), "\"thinking\":\"b\",\"content\":\"a\""));
    CHECK_INT(lab_losses[WEIR_FEATURE_PART_ORDER], WEIR_LOSS_CHANGED);
    lab_end(up);
}

/* ---- splices ---- */

static const char *spliced(struct lab *l, const struct weir_edit *edits, int n)
{
    struct weir_str *pieces;
    for (int i = 0; i < n; i++) {
        struct scratch s = scratch_enter();
        int rc = plugin->codec->splice(l->self, &l->call, l->state, &edits[i]);
        scratch_leave(s);
        if (rc < 0)
            return "";
    }
    uint32_t count = 0;
    if (splices_apply(&l->splices, l->conversation->view.body, &pieces, &count) < 0)
        return "";
    struct weir_out o = { 0 };
    for (uint32_t i = 0; i < count; i++)
        out_write(&o, pieces[i]);
    const char *text = lab_cstr(l, out_bytes(&o));
    out_free(&o);
    return text;
}

static struct weir_edit edit_of(enum weir_edit_kind kind, enum weir_field f, const char *value)
{
    return (struct weir_edit){ .size = sizeof(struct weir_edit), .kind = kind, .field = f, .value = str(value) };
}

TEST(edits_stand_in_the_clients_bytes)
{
    NEED_PLUGIN;
    const struct weir_edit edits[] = { edit_of(WEIR_EDIT_FIELD, WEIR_FIELD_MAX_TOKENS, "9"),
                                       edit_of(WEIR_EDIT_FIELD, WEIR_FIELD_STREAM, "false"),
                                       edit_of(WEIR_EDIT_PREPEND_SYSTEM, WEIR_FIELD_MODEL, "Be \"kind\"."),
                                       edit_of(WEIR_EDIT_ASK_USAGE, WEIR_FIELD_MODEL, "") };
    struct lab *l = decoded(
        "{\"model\":\"m\",\"options\": {\"num_ctx\":1},\"messages\": [ {\"role\":\"user\",\"content\":\"x\"}]}");
    CHECK_STR(spliced(l, edits, 4),
              "{\"stream\":false,\"model\":\"m\",\"options\": {\"num_predict\":9,\"num_ctx\":1},\"messages\": "
              "[{\"role\":\"system\",\"content\":\"Be \\\"kind\\\".\"}, {\"role\":\"user\",\"content\":\"x\"}]}");
    lab_end(l);
}

/* A second `options`, or a member that stands there twice, would be another request. */
TEST(an_edit_without_a_place_is_encoded_anew)
{
    NEED_PLUGIN;
    const struct weir_edit limit = edit_of(WEIR_EDIT_FIELD, WEIR_FIELD_MAX_TOKENS, "9");
    static const char *const bodies[] = {
        "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
        "{\"model\":\"m\",\"options\":{},\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
        "{\"model\":\"m\",\"options\":{\"num_predict\":-1,\"seed\":1},\"messages\":[{\"role\":\"user\",\"content\":"
        "\"x\"}]}",
        "{\"model\":\"m\",\"options\":{\"seed\":1,\"num_predict\":null},\"messages\":[{\"role\":\"user\",\"content\":"
        "\"x\"}]}",
    };
    for (size_t i = 0; i < sizeof(bodies) / sizeof(*bodies); i++) {
        struct lab *l = decoded(bodies[i]);
        CHECK_STR(spliced(l, &limit, 1), "");
        CHECK(!l->has_failed);
        lab_end(l);
    }
}

/* ---- answers ---- */

static struct lab *answered(const char *body, enum weir_framing framing, bool clean)
{
    struct lab *l = lab_begin(plugin, 'e', NULL);
    lab_decode_answer(l, framing, str(body), 0, clean);
    return l;
}

TEST(a_stream_that_never_says_done_is_broken)
{
    NEED_PLUGIN;
    struct lab *l =
        answered("{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"Hi\"},\"done\":false}\n",
                 WEIR_FRAMING_NDJSON, true);
    CHECK(!l->has_ended);
    lab_end(l);
    l = answered("{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"Hi\"},\"done\":false}",
                 WEIR_FRAMING_JSON, true);
    CHECK(!l->has_ended);
    lab_end(l);
}

TEST(reasons_become_finishes)
{
    NEED_PLUGIN;
    static const struct {
        const char *reason;
        uint32_t finish;
    } list[] = { { "stop", WEIR_FINISH_STOP },
                 { "length", WEIR_FINISH_LENGTH },
                 { "load", WEIR_FINISH_STOP },
                 { "unload", WEIR_FINISH_STOP },
                 { "melted", WEIR_FINISH_OTHER } };
    for (size_t i = 0; i < sizeof(list) / sizeof(*list); i++) {
        char body[200];
        snprintf(body, sizeof(body),
                 "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":true,\"done_reason\":"
                 "\"%s\"}",
                 list[i].reason);
        struct lab *l = answered(body, WEIR_FRAMING_JSON, true);
        CHECK(l->has_ended);
        CHECK_INT(collector_answer(l->collector)->choices[0].finish, list[i].finish);
        lab_end(l);
    }
}

static void check_error(int status, const char *body, uint32_t class)
{
    struct lab *l = lab_begin(plugin, 'e', NULL);
    struct weir_error e = { .size = sizeof(e) };
    CHECK_INT(plugin->codec->decode_error(l->self, &l->call, l->state, status, str(body), &e), 0);
    if (e.error_class != class)
        printf("  %d %s\n", status, body);
    CHECK_INT(e.error_class, class);
    lab_end(l);
}

TEST(errors_have_their_class)
{
    NEED_PLUGIN;
    check_error(404, "{\"error\":\"model \\\"x\\\" not found, try pulling it first\"}", WEIR_ERROR_NOT_FOUND);
    check_error(500, "{\"error\":\"pull model manifest: file does not exist\"}", WEIR_ERROR_NOT_FOUND);
    check_error(503, "{\"error\":\"server busy, please try again.  maximum pending requests exceeded\"}",
                WEIR_ERROR_OVERLOADED);
    check_error(400, "{\"error\":\"invalid character\"}", WEIR_ERROR_BAD_REQUEST);
    check_error(400, "{\"error\":\"the input length exceeds the context length\"}", WEIR_ERROR_CONTEXT_LENGTH);
    check_error(401, "{\"error\":\"unauthorized\"}", WEIR_ERROR_AUTHENTICATION);
    check_error(429, "{\"error\":\"you've reached your hourly usage limit\"}", WEIR_ERROR_QUOTA);
    check_error(429, "{\"error\":\"too many requests\"}", WEIR_ERROR_RATE_LIMITED);
    check_error(500, "{\"error\":\"model requires more system memory (8.4 GiB) than is available\"}",
                WEIR_ERROR_SERVER);
    check_error(502, "<html>", WEIR_ERROR_SERVER);
    struct lab *l = answered("{\"error\":\"model 'x' not found\"}\n", WEIR_FRAMING_NDJSON, true);
    CHECK(l->has_error);
    CHECK_INT(l->answer_error.error_class, WEIR_ERROR_NOT_FOUND);
    lab_end(l);
}

/* ---- towards the client ---- */

static void tell(struct lab *client, struct weir_event e)
{
    e.size = sizeof(e);
    struct scratch s = scratch_enter();
    CHECK_INT(plugin->codec->encode_event(client->self, &client->call, client->state, &e, &client->told), 0);
    scratch_leave(s);
}

TEST(a_call_is_told_whole_on_one_line)
{
    NEED_PLUGIN;
    struct lab *l = lab_begin(plugin, 'i', NULL);
    tell(l, (struct weir_event){ .kind = WEIR_EVENT_PING });
    tell(l, (struct weir_event){ .kind = WEIR_EVENT_START, .name = WEIR_LIT("m"), .created_s = 951868799 });
    tell(l, (struct weir_event){ .kind = WEIR_EVENT_BLOCK_START,
                                 .block = 3,
                                 .block_kind = WEIR_BLOCK_TOOL_CALL,
                                 .id = WEIR_LIT("c1"),
                                 .name = WEIR_LIT("f") });
    tell(l, (struct weir_event){ .kind = WEIR_EVENT_DELTA,
                                 .block = 3,
                                 .block_kind = WEIR_BLOCK_TOOL_CALL,
                                 .delta_kind = WEIR_DELTA_ARGUMENTS,
                                 .text = WEIR_TEXT("{\n\"a\": \"b") });
    tell(l, (struct weir_event){ .kind = WEIR_EVENT_PING });
    tell(l, (struct weir_event){ .kind = WEIR_EVENT_DELTA,
                                 .block = 3,
                                 .block_kind = WEIR_BLOCK_TOOL_CALL,
                                 .delta_kind = WEIR_DELTA_ARGUMENTS,
                                 .text = { "c\\\"\\n}", 6, WEIR_TEXT_ESCAPED } });
    tell(l, (struct weir_event){ .kind = WEIR_EVENT_BLOCK_STOP, .block = 3, .block_kind = WEIR_BLOCK_TOOL_CALL });
    tell(l, (struct weir_event){ .kind = WEIR_EVENT_FINISH, .finish = WEIR_FINISH_CONTENT_FILTER });
    const struct weir_usage usage = { .size = sizeof(usage), .input = 3, .output = -1, .cached_read = -1 };
    tell(l, (struct weir_event){ .kind = WEIR_EVENT_USAGE, .usage = &usage });
    tell(l, (struct weir_event){ .kind = WEIR_EVENT_END });
    CHECK_STR(
        lab_cstr(l, out_bytes(&l->told)),
        "{\"model\":\"m\",\"created_at\":\"2000-02-29T23:59:59Z\",\"message\":{\"role\":\"assistant\",\"content\":\"\"}"
        ",\"done\":false}\n"
        "{\"model\":\"m\",\"created_at\":\"2000-02-29T23:59:59Z\",\"message\":{\"role\":\"assistant\",\"content\":\"\","
        "\"tool_calls\":"
        "[{\"id\":\"c1\",\"function\":{\"index\":0,\"name\":\"f\",\"arguments\":{\"a\": \"bc\"}}}]},\"done\":false}\n"
        "{\"model\":\"m\",\"created_at\":\"2000-02-29T23:59:59Z\",\"message\":{\"role\":\"assistant\",\"content\":\"\"}"
        ",\"done\":true,"
        "\"done_reason\":\"stop\",\"prompt_eval_count\":3}\n");
    CHECK_INT(lab_losses[WEIR_FEATURE_ANSWER_FINISH], WEIR_LOSS_CHANGED);
    lab_end(l);
}

TEST(an_error_is_a_line)
{
    NEED_PLUGIN;
    struct lab *l = lab_begin(plugin, 'i', NULL);
    const struct weir_error error = { .size = sizeof(error),
                                      .error_class = WEIR_ERROR_BROKEN,
                                      .message = WEIR_LIT("It \"broke\".") };
    tell(l, (struct weir_event){ .kind = WEIR_EVENT_START, .name = WEIR_LIT("m") });
    tell(l, (struct weir_event){ .kind = WEIR_EVENT_ERROR, .error = &error });
    CHECK_STR(lab_cstr(l, out_bytes(&l->told)), "{\"error\":\"It \\\"broke\\\".\"}\n");
    lab_end(l);
}

TEST(models_are_listed)
{
    NEED_PLUGIN;
    const struct weir_model models[] = { { .id = WEIR_LIT("demo"), .created_s = 86400 },
                                         { .id = WEIR_LIT("hidden"), .flags = WEIR_MODEL_HIDDEN } };
    const struct weir_model_list list = { models, 2, 0 };
    struct lab *l = lab_begin(plugin, 'i', NULL);
    CHECK_INT(plugin->codec->encode_models(l->self, &l->call, &list, &l->told), 0);
    const char *text = lab_cstr(l, out_bytes(&l->told));
    CHECK(
        contains(text, "{\"models\":[{\"name\":\"demo\",\"model\":\"demo\",\"modified_at\":\"1970-01-02T00:00:00Z\""));
    CHECK(!strstr(text, "hidden"));
    lab_end(l);
}

/* ---- embeddings ---- */

TEST(embeddings_cross_in_both_directions)
{
    NEED_PLUGIN;
    struct lab *client = lab_begin(plugin, 'i', NULL);
    client->view.operation = WEIR_OP_EMBED;
    CHECK_INT(
        lab_decode_request(client, str("{\"model\":\"e\",\"input\":[\"a\",\"b\"],\"dimensions\":8,\"truncate\":false,"
                                       "\"options\":{\"num_ctx\":9},\"keep_alive\":0}")),
        0);
    CHECK_STR(dump_conversation(client),
              "field 0=\"e\"\nfield 26=8\nfield 29=\"none\"\nuser\n   part 1 text=<a>\nuser\n   part 1 "
              "text=<b>\next options.num_ctx=9\next keep_alive=0\n");
    struct lab *up = lab_begin(plugin, 'e', client->conversation);
    CHECK_STR(encoded(up, client->conversation),
              "{\"model\":\"e\",\"input\":[\"a\",\"b\"],\"dimensions\":8,\"truncate\":false,"
              "\"options\":{\"num_ctx\":9},\"keep_alive\":0}");
    CHECK_INT(lab_decode_answer(up, WEIR_FRAMING_JSON,
                                str("{\"model\":\"e\",\"embeddings\":[[0.5,1],[2,3e-4]],\"prompt_eval_count\":7}"), 0,
                                true),
              0);
    struct scratch s = scratch_enter();
    CHECK_INT(plugin->codec->encode_answer(client->self, &client->call, client->state, collector_answer(up->collector),
                                           &client->told),
              0);
    scratch_leave(s);
    CHECK_STR(lab_cstr(client, out_bytes(&client->told)),
              "{\"model\":\"e\",\"embeddings\":[[0.5,1],[2,3e-4]],\"prompt_eval_count\":7}");
    lab_end(up);
    lab_end(client);
}

TEST(what_a_vector_cannot_be_is_told)
{
    NEED_PLUGIN;
    struct lab *up = lab_begin(plugin, 'e', NULL);
    struct conversation *c = conversation_new(up->arena, WEIR_LIT("other"), WEIR_OP_EMBED, WEIR_LIT("{}"));
    struct weir_message *m = conversation_message(c, WEIR_ROLE_USER);
    struct weir_part *p = conversation_part(c, &m->parts, WEIR_PART_TEXT);
    p->text = WEIR_TEXT("a");
    conversation_set_field(c, WEIR_FIELD_ENCODING, WEIR_LIT("\"int8\""), WEIR_NONE);
    conversation_set_field(c, WEIR_FIELD_TRUNCATE, WEIR_LIT("\"start\""), WEIR_NONE);
    CHECK(contains(encoded(up, c), "\"input\":[\"a\"],\"truncate\":true"));
    CHECK_INT(lab_losses[WEIR_FIELD_ENCODING], WEIR_LOSS_CHANGED);
    CHECK_INT(lab_losses[WEIR_FIELD_TRUNCATE], WEIR_LOSS_CHANGED);
    p->kind = WEIR_PART_IMAGE;
    CHECK_STR(encoded(up, c), "");
    CHECK_INT(up->error.error_class, WEIR_ERROR_UNSUPPORTED);
    lab_end(up);
}
