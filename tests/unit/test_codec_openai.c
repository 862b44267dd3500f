/* The openai codec on small pieces of wire: what recordings don't show. */
#include "codec_lab.h"

#include "../../providers/openai/openai.h"
#include "test.h"

static const struct weir_plugin *plugin;

static bool has_plugin(void)
{
    if (!plugin)
        plugin = lab_plugin("openai");
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
    check_refused("{\"model\":\"m\",\"messages\":[]}", "messages", "is missing or empty");
    check_refused("{\"model\":1,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}", "model", "must be a string");
    check_refused("{\"model\":\"m\",\"messages\":[{\"content\":\"x\"}]}", "messages[0].role", "is missing");
    check_refused("{\"model\":\"m\",\"messages\":[{\"role\":\"king\",\"content\":\"x\"}]}", "messages[0].role",
                  "must be one of");
    check_refused("{\"model\":\"m\",\"messages\":[{\"role\":\"user\"}]}", "messages[0].content", "is missing");
    check_refused("{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":5}]}", "messages[0].content",
                  "must be a string or an array");
    check_refused("{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]}",
                  "messages[0].content[0]", "lacks");
    check_refused("{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":7}]}]}",
                  "messages[0].content[0].text", "must be a string");
    check_refused("{\"model\":\"m\",\"messages\":[{\"role\":\"tool\",\"content\":\"x\"}]}", "messages[0].tool_call_id",
                  "is missing");
    check_refused("{\"model\":\"m\",\"temperature\":\"hot\",\"messages\":[]}", "temperature", "must be a number");
    check_refused("{\"model\":\"m\",\"max_tokens\":0,\"messages\":[]}", "max_tokens", "at least 1");
    check_refused("{\"model\":\"m\",\"max_tokens\":1.5,\"messages\":[]}", "max_tokens", "integer");
    check_refused("{\"model\":\"m\",\"stop\":[\"a\",1],\"messages\":[]}", "stop[1]", "must be a string");
    check_refused("{\"model\":\"m\",\"stop\":1,\"messages\":[]}", "stop", "array of strings");
    check_refused("{\"model\":\"m\",\"stream\":1,\"messages\":[]}", "stream", "true or false");
    check_refused("{\"model\":\"m\",\"tools\":[{\"type\":\"function\",\"function\":{}}],\"messages\":[]}",
                  "tools[0].function", "has no name");
    check_refused("{\"model\":\"m\",\"response_format\":{\"type\":\"json_schema\"},\"messages\":[]}", "response_format",
                  "json_schema");
    check_refused("{\"model\":\"m\",\"model\":\"n\",\"messages\":[]}", "model", "twice");
    check_refused("{\"model\":\"m\"", "model", "not valid JSON");
}

static const char *decoded(struct lab *l, const char *body)
{
    if (lab_decode_request(l, str(body)) < 0)
        printf("  %.*s\n", S(l->error.message));
    return dump_conversation(l);
}

TEST(keys_may_come_in_any_order)
{
    NEED_PLUGIN;
    struct lab *l = lab_begin(plugin, 'i', NULL);
    const char *text = decoded(
        l, "{\"messages\":[{\"content\":[{\"text\":\"a\",\"type\":\"text\"},"
           "{\"image_url\":{\"url\":\"data:image\\/png;base64,QUJD\"},\"type\":\"image_url\"}],\"role\":\"user\"},"
           "{\"tool_calls\":[{\"function\":{\"arguments\":\"{}\",\"name\":\"f\"},\"id\":\"c1\",\"type\":\"function\"}],"
           "\"content\":\"hm\",\"role\":\"assistant\"},"
           "{\"content\":\"42\",\"tool_call_id\":\"c1\",\"role\":\"tool\"}],\"model\":\"m\"}");
    CHECK_STR(text, "field 0=\"m\"\nuser\n   part 1 text=<a>\n   part 2 data=<QUJD> type=<image/png>\n"
                    "assistant\n   part 1 text=<hm>\n   part 5 text=<{}> id=<c1> name=<f>\ntool\n   part 6 id=<c1>\n   "
                    "  part 1 text=<42>\n");
    lab_end(l);
}

TEST(settings_have_their_canonical_forms)
{
    NEED_PLUGIN;
    struct lab *l = lab_begin(plugin, 'i', NULL);
    const char *text = decoded(
        l,
        "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"stop\":\"END\",\"max_tokens\":5,"
        "\"max_completion_tokens\":7,\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"f\"}},"
        "\"response_format\":{\"type\":\"json_object\"},\"safety_identifier\":\"u1\",\"top_p\":null,\"store\":true}");
    CHECK(contains(text, "field 3=7\n"));
    CHECK(contains(text, "field 7=[\"END\"]\n"));
    CHECK(contains(text, "field 15=\"u1\"\n"));
    CHECK(contains(text, "field 18={\"name\":\"f\"}\n"));
    CHECK(contains(text, "field 20=\"json_object\"\n"));
    CHECK(contains(text, "ext store=true\n"));
    CHECK(!strstr(text, "field 5="));
    lab_end(l);
}

TEST(what_only_this_dialect_has_needs_it)
{
    NEED_PLUGIN;
    static const char *const bodies[] = {
        "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"tools\":[{\"type\":\"custom\","
        "\"custom\":{\"name\":\"sql\"}}]}",
        "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"tool_choice\":{\"type\":\"allowed_"
        "tools\",\"allowed_tools\":{}}}",
        "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"functions\":[{\"name\":\"f\"}]}",
        "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"video_url\",\"video_url\":{}}]}]}",
    };
    for (size_t i = 0; i < sizeof(bodies) / sizeof(*bodies); i++) {
        struct lab *l = lab_begin(plugin, 'i', NULL);
        CHECK_INT(lab_decode_request(l, str(bodies[i])), 0);
        CHECK(l->conversation->view.needs & WEIR_CAN_OPAQUE);
        lab_end(l);
    }
}

/* ---- splices ---- */

static const char *spliced(struct lab *l, const char *body, const struct weir_edit *edits, int n)
{
    struct weir_str *pieces;
    uint32_t count;
    struct weir_out o = { 0 };
    CHECK_INT(lab_decode_request(l, str(body)), 0);
    for (int i = 0; i < n; i++) {
        struct scratch s = scratch_enter();
        CHECK_INT(plugin->codec->splice(l->self, &l->call, l->state, &edits[i]), 0);
        scratch_leave(s);
    }
    CHECK_INT(splices_apply(&l->splices, l->conversation->view.body, &pieces, &count), 0);
    for (uint32_t i = 0; i < count; i++)
        out_write(&o, pieces[i]);
    const char *text = lab_cstr(l, out_bytes(&o));
    out_free(&o);
    return text;
}

static struct weir_edit field_edit(enum weir_field f, const char *json)
{
    return (
        struct weir_edit){ .size = sizeof(struct weir_edit), .kind = WEIR_EDIT_FIELD, .field = f, .value = str(json) };
}

static void check_splice(const char *body, struct weir_edit edit, const char *want)
{
    struct lab *l = lab_begin(plugin, 'i', NULL);
    CHECK_STR(spliced(l, body, &edit, 1), want);
    lab_end(l);
}

#define HI "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"

TEST(edits_are_put_into_the_bytes)
{
    NEED_PLUGIN;
    struct weir_edit usage = { .size = sizeof(usage), .kind = WEIR_EDIT_ASK_USAGE };
    struct weir_edit system = { .size = sizeof(system),
                                .kind = WEIR_EDIT_PREPEND_SYSTEM,
                                .value = WEIR_LIT("be \"kind\"") };
    check_splice(" {\"model\":\"m\", " HI "}", field_edit(WEIR_FIELD_TEMPERATURE, "0.5"),
                 " {\"temperature\":0.5,\"model\":\"m\", " HI "}");
    check_splice("{\"model\":\"m\",\"temperature\":null," HI "}", field_edit(WEIR_FIELD_TEMPERATURE, "1"),
                 "{\"model\":\"m\",\"temperature\":1," HI "}");
    check_splice("{\"model\":\"m\",\"stop\":\"a\"," HI "}", field_edit(WEIR_FIELD_STOP, "[\"b\"]"),
                 "{\"model\":\"m\",\"stop\":[\"b\"]," HI "}");
    check_splice("{\"model\":\"o3\"," HI "}", field_edit(WEIR_FIELD_MAX_TOKENS, "9"),
                 "{\"max_completion_tokens\":9,\"model\":\"o3\"," HI "}");
    check_splice("{\"model\":\"llama3\"," HI "}", field_edit(WEIR_FIELD_MAX_TOKENS, "9"),
                 "{\"max_tokens\":9,\"model\":\"llama3\"," HI "}");
    check_splice("{\"model\":\"m\",\"tool_choice\":\"auto\"," HI "}",
                 field_edit(WEIR_FIELD_TOOL_CHOICE, "{\"name\":\"f\"}"),
                 "{\"model\":\"m\",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"f\"}}," HI "}");
    check_splice("{\"model\":\"m\"," HI "}", usage,
                 "{\"stream_options\":{\"include_usage\":true},\"model\":\"m\"," HI "}");
    check_splice("{\"model\":\"m\",\"stream_options\":{ }," HI "}", usage,
                 "{\"model\":\"m\",\"stream_options\":{\"include_usage\":true}," HI "}");
    check_splice("{\"model\":\"m\",\"stream_options\":null," HI "}", usage,
                 "{\"model\":\"m\",\"stream_options\":{\"include_usage\":true}," HI "}");
    check_splice("{\"model\":\"m\",\"stream_options\":{\"include_usage\":false,\"x\":1}," HI "}", usage,
                 "{\"model\":\"m\",\"stream_options\":{\"include_usage\":true,\"x\":1}," HI "}");
    check_splice("{\"model\":\"m\",\"stream_options\":{\"x\":1}," HI "}", usage,
                 "{\"model\":\"m\",\"stream_options\":{\"include_usage\":true,\"x\":1}," HI "}");
    check_splice("{\"model\":\"m\",\"messages\" : [ {\"role\":\"user\",\"content\":\"hi\"}]}", system,
                 "{\"model\":\"m\",\"messages\" : [{\"role\":\"system\",\"content\":\"be \\\"kind\\\"\"}, "
                 "{\"role\":\"user\",\"content\":\"hi\"}]}");
}

/* ---- answers ---- */

static struct conversation *asked(struct lab *l, const char *dialect, const char *n, bool usage)
{
    struct conversation *c = conversation_new(l->arena, str(dialect), WEIR_OP_CHAT, WEIR_LIT("{}"));
    conversation_set_field(c, WEIR_FIELD_MODEL, WEIR_LIT("\"m\""), WEIR_NONE);
    conversation_set_field(c, WEIR_FIELD_N, str(n), WEIR_NONE);
    if (usage)
        conversation_set_field(c, WEIR_FIELD_STREAM_USAGE, WEIR_LIT("true"), WEIR_NONE);
    return c;
}

static struct lab *answer_lab(const char *n)
{
    struct lab *l = lab_begin(plugin, 'e', NULL);
    l->conversation = asked(l, "openai", n, false);
    return l;
}

static struct lab *stream(const char *n, const char *bytes, int want)
{
    struct lab *l = answer_lab(n);
    CHECK_INT(lab_decode_answer(l, WEIR_FRAMING_SSE, str(bytes), 0, true), want);
    return l;
}

#define CHUNK(choice) "data: {\"id\":\"c\",\"created\":1,\"model\":\"m\",\"choices\":[" choice "]}\n\n"

TEST(parallel_calls_interleave)
{
    NEED_PLUGIN;
    struct lab *l = stream(
        "1",
        CHUNK("{\"index\":0,\"delta\":{\"role\":\"assistant\",\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{"
              "\"name\":\"f\",\"arguments\":\"\"}}]}}")
            CHUNK("{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":1,\"id\":\"b\",\"function\":{\"name\":\"g\","
                  "\"arguments\":\"{\\\"y\\\"\"}}]}}") CHUNK(
                "{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{}\"}}]}}")
                CHUNK("{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":1,\"function\":{\"arguments\":\":1}\"}}]}}")
                    CHUNK("{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}") "data: [DONE]\n\n",
        0);
    CHECK_STR(
        dump_answer(l),
        "id=c model=m\nblock 0/0 kind 4 id=<a> name=<f> text=<{}>\nblock 0/1 kind 4 id=<b> name=<g> text=<{\"y\":1}>\n"
        "finish 0=4\nusage -1 -1 cached -1 -1 reasoning -1\n");
    lab_end(l);
}

TEST(calls_that_all_have_index_0_are_told_apart)
{
    NEED_PLUGIN;
    struct lab *l = stream(
        "1",
        CHUNK("{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"f\","
              "\"arguments\":\"{}\"}}]}}") CHUNK("{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"b\","
                                                 "\"function\":{\"name\":\"f\",\"arguments\":{\"z\":2}}}]}}")
            CHUNK("{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}") "data: [DONE]\n\n",
        0);
    CHECK(contains(dump_answer(l), "id=<a> name=<f> text=<{}>\nblock 0/1 kind 4 id=<b> name=<f> text=<{\"z\":2}>"));
    lab_end(l);
}

TEST(several_choices_with_the_index_behind_the_delta)
{
    NEED_PLUGIN;
    struct lab *l = stream(
        "2",
        CHUNK("{\"delta\":{\"content\":\"one\"},\"index\":1}") CHUNK("{\"delta\":{\"content\":\"zero\"},\"index\":0}")
            CHUNK("{\"delta\":{},\"index\":0,\"finish_reason\":\"stop\"}")
                CHUNK("{\"delta\":{},\"index\":1,\"finish_reason\":\"length\"}") "data: [DONE]\n\n",
        0);
    CHECK_STR(dump_answer(l),
              "id=c model=m\nblock 1/0 kind 1 text=<one>\nblock 0/0 kind 1 text=<zero>\nfinish 0=1\nfinish 1=3\n"
              "usage -1 -1 cached -1 -1 reasoning -1\n");
    lab_end(l);
}

TEST(an_answer_without_end_is_broken)
{
    NEED_PLUGIN;
    const char *text = CHUNK("{\"index\":0,\"delta\":{\"content\":\"x\"}}");
    const char *finished = CHUNK("{\"index\":0,\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}");
    lab_end(stream("1", text, -1));
    lab_end(stream("1", finished, 0)); /* servers that send no [DONE] */
    struct lab *l = answer_lab("1");
    CHECK_INT(lab_decode_answer(l, WEIR_FRAMING_SSE, str(finished), 0, false), -1);
    lab_end(l);
    lab_end(stream("1", "data: [DONE]\n\n", -1));
    lab_end(stream("1", "data: {\"choices\":\n\n", -1));
    l = answer_lab("1");
    CHECK_INT(lab_decode_answer(l, WEIR_FRAMING_JSON, str("{\"object\":\"list\"}"), 0, true), -1);
    lab_end(l);
}

static void check_stream_error(const char *bytes, uint16_t error_class, const char *message)
{
    struct lab *l = stream("1", bytes, 0);
    CHECK(l->has_error);
    CHECK_INT(l->answer_error.error_class, error_class);
    CHECK(contains(lab_cstr(l, l->answer_error.message), message));
    lab_end(l);
}

TEST(errors_inside_a_stream)
{
    NEED_PLUGIN;
    check_stream_error("data: {\"error\":{\"message\":\"busy\",\"code\":503}}\n\n", WEIR_ERROR_OVERLOADED, "busy");
    check_stream_error(
        CHUNK("{\"index\":0,\"delta\":{\"content\":\"x\"}}") "data: {\"error\":{\"message\":\"boom\"}}\n\ndata: "
                                                             "[DONE]\n\n",
        WEIR_ERROR_SERVER, "boom");
    check_stream_error(
        "data: {\"id\":\"g\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\"},\"finish_reason\":\"error\"}],"
        "\"error\":{\"code\":429,\"message\":\"slow\"}}\n\n",
        WEIR_ERROR_RATE_LIMITED, "slow");
    check_stream_error("data: {\"code\":\"x\",\"error\":\"Some text\"}\n\n", WEIR_ERROR_SERVER, "Some text");
    check_stream_error(
        "event: error\ndata: "
        "{\"error\":{\"message\":\"no\",\"type\":\"invalid_request_error\",\"code\":\"context_length_exceeded\"}}\n\n",
        WEIR_ERROR_CONTEXT_LENGTH, "no");
    check_stream_error(CHUNK("{\"index\":0,\"delta\":{},\"finish_reason\":\"insufficient_system_resource\"}"),
                       WEIR_ERROR_OVERLOADED, "resources");
}

static void check_usage(const char *usage, const char *want)
{
    struct lab *l = answer_lab("1");
    char body[1024];
    snprintf(body, sizeof(body),
             "  "
             "\n{\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"message\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}"
             "],%s}",
             usage);
    CHECK_INT(lab_decode_answer(l, WEIR_FRAMING_JSON, str(body), 0, true), 0);
    CHECK(contains(dump_answer(l), want));
    lab_end(l);
}

TEST(usage_in_its_dialects)
{
    NEED_PLUGIN;
    check_usage(
        "\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":5,\"prompt_tokens_details\":{\"cached_tokens\":4}}",
        "usage 10 5 cached 4 -1");
    check_usage("\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":5,\"total_tokens\":22,\"completion_tokens_"
                "details\":{\"reasoning_tokens\":7}}",
                "usage 10 12 cached -1 -1 reasoning 7");
    check_usage("\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":5,\"prompt_cache_hit_tokens\":20}",
                "usage 10 5 cached 10");
    check_usage("\"x_groq\":{\"id\":\"r\",\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}", "usage 1 2");
    check_usage("\"usage\":null", "usage -1 -1");
}

TEST(thinking_by_all_its_names)
{
    NEED_PLUGIN;
    static const char *const messages[] = {
        "{\"content\":\"w\",\"reasoning_content\":\"t\"}",
        "{\"reasoning\":\"t\",\"content\":\"w\"}",
        "{\"reasoning\":\"t\",\"reasoning_content\":\"t\",\"content\":\"w\"}",
        "{\"content\":[{\"type\":\"thinking\",\"thinking\":[{\"type\":\"text\",\"text\":\"t\"}]},{\"type\":\"text\","
        "\"text\":\"w\"}]}",
    };
    for (size_t i = 0; i < sizeof(messages) / sizeof(*messages); i++) {
        struct lab *l = answer_lab("1");
        char body[512];
        snprintf(body, sizeof(body), "{\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"message\":%s}]}",
                 messages[i]);
        CHECK_INT(lab_decode_answer(l, WEIR_FRAMING_JSON, str(body), 0, true), 0);
        CHECK(contains(dump_answer(l), "block 0/0 kind 2 text=<t>\nblock 0/1 kind 1 text=<w>\nfinish 0=1"));
        lab_end(l);
    }
}

/* ---- usage that weir asked for, taken out again ---- */

static void check_relay(const char *bytes, bool asked_for, uint32_t flags, const char *left)
{
    struct lab *l = lab_begin(plugin, 'e', NULL);
    l->conversation = asked(l, "openai", "1", asked_for);
    struct weir_frame f = {
        .size = sizeof(f), .framing = WEIR_FRAMING_SSE, .bytes = str(bytes), .data = { bytes + 6, strlen(bytes) - 8 }
    };
    char out[512];
    CHECK_INT(plugin->codec->decode_frame(l->self, &l->call, l->state, &f), 0);
    CHECK_INT(f.flags, flags);
    snprintf(out, sizeof(out), "%.*s%s", (int)f.cut_offset, bytes, bytes + f.cut_offset + f.cut_n);
    CHECK_STR(out, left);
    lab_end(l);
}

#define WORDS "\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}}]"

TEST(unasked_usage_is_taken_out)
{
    NEED_PLUGIN;
    const char *with = "data: {\"id\":\"c\"," WORDS ",\"usage\":null}\n\n",
               *without = "data: {\"id\":\"c\"," WORDS "}\n\n";
    check_relay(with, false, 0, without);
    check_relay(with, true, 0, with);
    check_relay("data: {\"usage\" : null , \"id\":\"c\"," WORDS "}\n\n", false, 0,
                "data: { \"id\":\"c\"," WORDS "}\n\n");
    const char *last =
        "data: {\"id\":\"c\",\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\n";
    check_relay(last, false, WEIR_FRAME_DROP, last);
    check_relay(last, true, 0, last);
    const char *azure = "data: {\"id\":\"\",\"choices\":[],\"prompt_filter_results\":[]}\n\n";
    check_relay(azure, false, 0, azure);
}

/* ---- errors ---- */

static void check_error(int status, const char *body, uint16_t error_class, const char *native)
{
    struct lab *l = answer_lab("1");
    struct weir_error e = { .size = sizeof(e), .message = WEIR_LIT("default") };
    l->response_headers[0] = "retry-after";
    l->response_headers[1] = "1.5";
    CHECK_INT(plugin->codec->decode_error(l->self, &l->call, l->state, status, str(body), &e), 0);
    if (e.error_class != error_class)
        printf("  %d %s\n", status, body);
    CHECK_INT(e.error_class, error_class);
    CHECK_STR(lab_cstr(l, e.native), native);
    CHECK_INT(e.retry_after_ms, 1500);
    CHECK(e.message.n > 0);
    lab_end(l);
}

TEST(errors_by_class)
{
    NEED_PLUGIN;
    check_error(429,
                "{\"error\":{\"message\":\"m\",\"type\":\"tokens\",\"param\":null,\"code\":\"rate_limit_exceeded\"}}",
                WEIR_ERROR_RATE_LIMITED, "rate_limit_exceeded");
    check_error(429, "{\"error\":{\"message\":\"m\",\"type\":\"insufficient_quota\",\"code\":\"insufficient_quota\"}}",
                WEIR_ERROR_QUOTA, "insufficient_quota");
    check_error(502, "<html>502: Bad gateway</html>", WEIR_ERROR_SERVER, "");
    check_error(502, "{\"error\":{\"code\":502,\"message\":\"Bad gateway.\",\"type\":\"cf_bad_gateway\"}}",
                WEIR_ERROR_SERVER, "502");
    check_error(400,
                "{\"error\":{\"message\":\"This model's maximum context length is 8192 "
                "tokens.\",\"type\":\"invalid_request_error\",\"code\":\"context_length_exceeded\"}}",
                WEIR_ERROR_CONTEXT_LENGTH, "context_length_exceeded");
    check_error(400, "{\"object\":\"error\",\"message\":\"maximum context length is 4096\",\"code\":400}",
                WEIR_ERROR_CONTEXT_LENGTH, "400");
    check_error(400, "{\"error\":{\"message\":\"filtered\",\"code\":\"content_filter\",\"innererror\":{}}}",
                WEIR_ERROR_CONTENT_POLICY, "content_filter");
    check_error(401, "{\"detail\":\"Unauthorized\"}", WEIR_ERROR_AUTHENTICATION, "");
    check_error(401, "{\"error\":{\"code\":\"401\",\"message\":\"Access denied\"}}", WEIR_ERROR_AUTHENTICATION, "401");
    check_error(401,
                "{\"error\":{\"message\":\"bad\",\"type\":\"invalid_request_error\",\"code\":\"invalid_api_key\"}}",
                WEIR_ERROR_AUTHENTICATION, "invalid_api_key");
    check_error(422, "{\"detail\":[{\"loc\":[\"body\",\"x\"],\"msg\":\"extra\",\"type\":\"t\"}]}",
                WEIR_ERROR_BAD_REQUEST, "");
    check_error(404, "{\"error\":\"model 'x' not found\"}", WEIR_ERROR_NOT_FOUND, "");
    check_error(402,
                "{\"error\":{\"message\":\"Insufficient "
                "Balance\",\"type\":\"unknown_error\",\"code\":\"invalid_request_error\"}}",
                WEIR_ERROR_QUOTA, "invalid_request_error");
    check_error(498, "{\"error\":{\"message\":\"flex\"}}", WEIR_ERROR_OVERLOADED, "");
    check_error(429, "{\"message\":\"Requests rate limit exceeded\"}", WEIR_ERROR_RATE_LIMITED, "");
    check_error(503, "{\"error\":{\"code\":503,\"message\":\"Loading model\",\"type\":\"unavailable_error\"}}",
                WEIR_ERROR_OVERLOADED, "503");
    check_error(403, "{\"error\":{\"code\":403,\"message\":\"flagged\",\"metadata\":{\"flagged_input\":\"x\"}}}",
                WEIR_ERROR_CONTENT_POLICY, "403");
    check_error(500, "", WEIR_ERROR_SERVER, "");
}

TEST(errors_as_the_sdks_want_them)
{
    NEED_PLUGIN;
    struct lab *l = lab_begin(plugin, 'i', NULL);
    struct weir_error e = { .size = sizeof(e),
                            .error_class = WEIR_ERROR_BAD_REQUEST,
                            .status = 400,
                            .code = WEIR_LIT("invalid_request"),
                            .message = WEIR_LIT("no"),
                            .param = WEIR_LIT("messages[0]") };
    CHECK_INT(plugin->codec->encode_error(l->self, &l->call, NULL, &e, &l->told), 0);
    CHECK_STR(lab_cstr(l, out_bytes(&l->told)), "{\"error\":{\"message\":\"no\",\"type\":\"invalid_request_error\","
                                                "\"param\":\"messages[0]\",\"code\":\"invalid_request\"}}");
    lab_end(l);
}

/* ---- streams to the client ---- */

static struct weir_event event(enum weir_event_kind kind)
{
    return (struct weir_event){ .size = sizeof(struct weir_event), .kind = kind };
}

static void tell(struct lab *l, struct weir_event e)
{
    struct scratch s = scratch_enter();
    CHECK_INT(plugin->codec->encode_event(l->self, &l->call, l->state, &e, &l->told), 0);
    scratch_leave(s);
}

TEST(the_encoder_takes_over_in_the_middle)
{
    NEED_PLUGIN;
    struct lab *l = lab_begin(plugin, 'i', NULL);
    l->conversation = asked(l, "openai", "1", false);
    struct weir_event e = event(WEIR_EVENT_START);
    e.flags = WEIR_EVENT_SILENT;
    e.id = WEIR_LIT("c");
    e.name = WEIR_LIT("m");
    e.created_s = 5;
    tell(l, e);
    e = event(WEIR_EVENT_BLOCK_START);
    e.flags = WEIR_EVENT_SILENT;
    e.block_kind = WEIR_BLOCK_TEXT;
    tell(l, e);
    e = event(WEIR_EVENT_DELTA);
    e.block_kind = WEIR_BLOCK_TEXT;
    e.delta_kind = WEIR_DELTA_TEXT;
    e.text = WEIR_TEXT("a\"b");
    tell(l, e);
    e = event(WEIR_EVENT_BLOCK_STOP);
    e.block_kind = WEIR_BLOCK_TEXT;
    tell(l, e);
    e = event(WEIR_EVENT_FINISH);
    e.finish = WEIR_FINISH_LENGTH;
    tell(l, e);
    tell(l, event(WEIR_EVENT_END));
    CHECK_STR(lab_cstr(l, out_bytes(&l->told)),
              "data: "
              "{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":5,\"model\":\"m\",\"choices\":[{"
              "\"index\":0,\"delta\":{\"content\":\"a\\\"b\"},"
              "\"logprobs\":null,\"finish_reason\":null}]}\n\n"
              "data: "
              "{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":5,\"model\":\"m\",\"choices\":[{"
              "\"index\":0,\"delta\":{},"
              "\"logprobs\":null,\"finish_reason\":\"length\"}]}\n\ndata: [DONE]\n\n");
    lab_end(l);
}

TEST(an_error_ends_a_stream_without_done)
{
    NEED_PLUGIN;
    struct lab *l = lab_begin(plugin, 'i', NULL);
    struct weir_error error = { .size = sizeof(error),
                                .error_class = WEIR_ERROR_BROKEN,
                                .message = WEIR_LIT("cut"),
                                .code = WEIR_LIT("upstream_broken") };
    struct weir_event e = event(WEIR_EVENT_ERROR);
    e.error = &error;
    tell(l, e);
    CHECK_STR(
        lab_cstr(l, out_bytes(&l->told)),
        "data: "
        "{\"error\":{\"message\":\"cut\",\"type\":\"server_error\",\"param\":null,\"code\":\"upstream_broken\"}}\n\n");
    lab_end(l);
}

/* ---- requests to the provider ---- */

static const char *encoded(struct lab *client, struct lab *up)
{
    struct scratch s = scratch_enter();
    int rc = plugin->codec->encode_request(up->self, &up->call, up->state, &client->conversation->view, &up->told);
    scratch_leave(s);
    return rc < 0 ? "(failed)" : lab_cstr(up, out_bytes(&up->told));
}

TEST(a_foreign_conversation_is_made_fit)
{
    NEED_PLUGIN;
    struct lab *client = lab_begin(plugin, 'i', NULL), *up = NULL;
    decoded(
        client,
        "{\"model\":\"gpt-4o\",\"max_tokens\":5,\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"x\"},"
        "{\"role\":\"assistant\",\"reasoning_content\":\"hm\",\"content\":null,\"tool_calls\":[{\"id\":"
        "\"0123456789012345678901234567890123456789x\","
        "\"function\":{\"name\":\"a.b\",\"arguments\":\"\"}}]},"
        "{\"role\":\"tool\",\"tool_call_id\":\"0123456789012345678901234567890123456789x\",\"content\":[{\"type\":"
        "\"text\",\"text\":\"r\"},"
        "{\"type\":\"image_url\",\"image_url\":{\"url\":\"http://h/"
        "i.png\"}}]}],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"a.b\"}}],"
        "\"metadata\":{\"k\":\"v\"},\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"schema\":{}}}}");
    client->conversation->view.dialect = WEIR_LIT("other");
    up = lab_begin(plugin, 'e', client->conversation);
    const char *body = encoded(client, up);
    CHECK(contains(body, "\"max_completion_tokens\":5"));
    CHECK(contains(body, "\"stream_options\":{\"include_usage\":true}"));
    CHECK(contains(body, "\"name\":\"a_b_"));
    CHECK(contains(body, "\"arguments\":\"{}\""));
    CHECK(contains(
        body, "{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"http://h/i.png\"}}]}"));
    CHECK(contains(body, "\"json_schema\":{\"name\":\"answer\",\"schema\":{}}"));
    CHECK(!strstr(body, "metadata"));
    CHECK(!strstr(body, "0123456789012345678901234567890123456789x"));
    CHECK(contains(lab_cstr(up, out_bytes(&up->notes)), "loss=emulated:tools: names are sent as shorter ones\n"));
    lab_end(up);
    lab_end(client);
}

TEST(names_come_back)
{
    NEED_PLUGIN;
    struct lab *client = lab_begin(plugin, 'i', NULL);
    decoded(client, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"tools\":[{\"type\":"
                    "\"function\",\"function\":{\"name\":\"a.b\"}}]}");
    client->conversation->view.dialect = WEIR_LIT("other");
    struct lab *up = lab_begin(plugin, 'e', client->conversation);
    const char *body = encoded(client, up), *at = strstr(body, "a_b_");
    char answer[512];
    CHECK(at != NULL);
    snprintf(answer, sizeof(answer),
             "{\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"message\":{\"tool_calls\":[{\"id\":\"i\","
             "\"function\":{\"name\":\"%.20s\",\"arguments\":\"{}\"}}]}}]}",
             at);
    CHECK_INT(lab_decode_answer(up, WEIR_FRAMING_JSON, str(answer), 0, true), 0);
    CHECK(contains(dump_answer(up), "name=<a.b>"));
    lab_end(up);
    lab_end(client);
}

TEST(entry_options_change_the_request)
{
    NEED_PLUGIN;
    struct openai_entry entry = { .max_tokens_field = OPENAI_MAX_TOKENS,
                                  .text_content = OPENAI_TEXT_STRING,
                                  .replays_reasoning = true,
                                  .takes_developer = true };
    struct lab *client = lab_begin(plugin, 'i', NULL);
    decoded(client, "{\"model\":\"gpt-4o\",\"max_tokens\":5,\"stream\":true,\"messages\":[{\"role\":\"user\","
                    "\"content\":[{\"type\":\"text\",\"text\":\"a\"},"
                    "{\"type\":\"text\",\"text\":\"b\"}]},{\"role\":\"assistant\",\"content\":\"w\",\"reasoning_"
                    "content\":\"t\"}]}");
    for (struct weir_part *p = client->conversation->view.messages->next->parts; p; p = p->next)
        p->dialect = WEIR_LIT("other");
    client->conversation->view.dialect = WEIR_LIT("other");
    struct lab *up = lab_begin(plugin, 'e', client->conversation);
    plugin->codec->request_head(up->self, &up->call, up->state, &entry);
    CHECK_STR(lab_cstr(up, out_bytes(&up->head)), "POST /chat/completions\n");
    const char *body = encoded(client, up);
    CHECK(contains(body, "\"max_tokens\":5"));
    CHECK(contains(body, "\"content\":\"a\\n\\nb\""));
    CHECK(contains(body, "\"reasoning_content\":\"t\""));
    CHECK(!strstr(body, "stream_options"));
    lab_end(up);
    lab_end(client);
}

/* ---- what single servers do differently ---- */

static const char *const dropped[] = { "seed", "logit_bias", "store", "messages.name", "tools.strict", NULL };
static const char *const renamed[] = { "stop=stops", NULL };
static const struct openai_entry odd = { .can_stream_usage = true,
                                         .tool_call_id = OPENAI_ID_ALNUM9,
                                         .drop = dropped,
                                         .rename = renamed,
                                         .max_tokens_field = OPENAI_MAX_TOKENS };

TEST(a_server_gets_only_what_it_takes_and_the_rest_is_told)
{
    NEED_PLUGIN;
    struct lab *client = lab_begin(plugin, 'i', NULL);
    decoded(client, "{\"model\":\"m\",\"max_completion_tokens\":5,\"seed\":1,\"stop\":[\"x\"],\"store\":true,\"other\":1,"
                    "\"messages\":[{\"role\":\"user\",\"name\":\"ann\",\"content\":\"hi\"},"
                    "{\"role\":\"user\",\"name\":\"bob\",\"content\":\"hi\"},"
                    "{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"call_1\",\"type\":\"function\",\"function\":"
                    "{\"name\":\"f\",\"arguments\":\"{}\"}},{\"id\":\"AbCdE1234\",\"type\":\"function\",\"function\":"
                    "{\"name\":\"f\",\"arguments\":\"{}\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"call_1\",\"content\":\"y\"}],"
                    "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"strict\":true}}]}");
    struct lab *up = lab_begin(plugin, 'e', client->conversation);
    memset(lab_losses, 0, sizeof lab_losses);
    CHECK_INT(plugin->codec->request_head(up->self, &up->call, up->state, &odd), WEIR_HEAD_ANEW);
    const char *body = encoded(client, up);
    CHECK(!strstr(body, "seed") && !strstr(body, "store") && !strstr(body, "ann") && !strstr(body, "strict"));
    CHECK(contains(body, "\"max_tokens\":5") && contains(body, "\"stops\":[\"x\"]") && contains(body, "\"other\":1"));
    CHECK(contains(body, "\"id\":\"AbCdE1234\"") && !strstr(body, "call_1"));
    const char *id = strstr(body, "\"id\":\"") + 6;
    char used[40];
    snprintf(used, sizeof used, "\"tool_call_id\":\"%.9s\"", id);
    CHECK(id[9] == '"' && contains(body, used));
    CHECK(lab_losses[WEIR_FIELD_SEED] == WEIR_LOSS_DROPPED && lab_losses[WEIR_FEATURE_MESSAGE_NAME] == WEIR_LOSS_DROPPED);
    CHECK(lab_losses[WEIR_FEATURE_TOOL_STRICT] == WEIR_LOSS_DROPPED && lab_losses[WEIR_FEATURE_EXT] == WEIR_LOSS_DROPPED);
    CHECK(!lab_losses[WEIR_FIELD_LOGIT_BIAS] && !lab_losses[WEIR_FIELD_STOP]);
    lab_end(up);
    lab_end(client);
}

TEST(bytes_that_the_server_takes_go_as_they_are)
{
    NEED_PLUGIN;
    static const struct {
        const char *body;
        int head;
    } cases[] = {
        { "{\"model\":\"m\",\"max_tokens\":5,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}", 0 },
        { "{\"model\":\"m\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}", 0 },
        { "{\"model\":\"m\",\"max_completion_tokens\":5,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}", 1 },
        { "{\"model\":\"m\",\"messages\":[{\"role\":\"developer\",\"content\":\"hi\"}]}", 1 },
        { "{\"model\":\"m\",\"seed\":5,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}", 1 },
        { "{\"model\":\"m\",\"stop\":\"a\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}", 1 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lab *client = lab_begin(plugin, 'i', NULL);
        decoded(client, cases[i].body);
        struct lab *up = lab_begin(plugin, 'e', client->conversation);
        CHECK_INT(plugin->codec->request_head(up->self, &up->call, up->state, &odd), cases[i].head);
        CHECK_INT(plugin->codec->request_head(up->self, &up->call, up->state, NULL), 0);
        lab_end(up);
        lab_end(client);
    }
}

TEST(members_that_nobody_knows_are_kept_by_their_path)
{
    NEED_PLUGIN;
    struct lab *l = lab_begin(plugin, 'i', NULL);
    CHECK_INT(lab_decode_request(l, str("{\"model\":\"m\",\"zq\":1,\"messages\":[{\"role\":\"user\",\"zq\":2,\"content\":[{\"type\":"
                                        "\"text\",\"text\":\"a\",\"zq\":3}]},{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"x\",\"zq\":4,"
                                        "\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\",\"zq\":5}}]}],\"tools\":"
                                        "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"zq\":6},\"zq\":7}]}")),
              0);
    const char *said = dump_conversation(l);
    static const char *const paths[] = { "ext zq=1\n", "ext messages[0].zq=2\n", "ext messages[0].content[0].zq=3\n",
                                         "ext messages[1].tool_calls[0].zq=4\n", "ext messages[1].tool_calls[0].function.zq=5\n",
                                         "ext tools[0].function.zq=6\n", "ext tools[0].zq=7\n" };
    for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++)
        CHECK(contains(said, paths[i]));
    lab_end(l);
}

TEST(a_path_may_name_the_model_and_end_in_a_query)
{
    NEED_PLUGIN;
    static const struct openai_entry azure = { .can_stream_usage = true,
                                               .takes_developer = true,
                                               .path_prefix = "/deployments/{model}",
                                               .query = "api-version=2024-10-21" };
    struct lab *client = lab_begin(plugin, 'i', NULL);
    decoded(client, "{\"model\":\"my gpt/4\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}");
    struct lab *up = lab_begin(plugin, 'e', client->conversation);
    CHECK_INT(plugin->codec->request_head(up->self, &up->call, up->state, &azure), 0);
    CHECK_STR(lab_cstr(up, out_bytes(&up->head)), "POST /deployments/my%20gpt%2F4/chat/completions?api-version=2024-10-21\n");
    lab_end(up);
    lab_end(client);
}

TEST(tools_without_an_effort_where_both_are_refused)
{
    NEED_PLUGIN;
    static const char *const refusing[] = { "gpt-5.6*", "gpt-6", NULL };
    static const struct openai_entry entry = { .can_stream_usage = true, .takes_developer = true, .tools_without_effort = refusing };
    static const struct {
        const char *model, *effort, *tools, *said;
        bool is_told;
    } list[] = {
        { "gpt-5.6-mini", "low", "[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]", "\"reasoning_effort\":\"none\"", true },
        { "gpt-5.6-mini", "none", "[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]", "\"reasoning_effort\":\"none\"", false },
        { "gpt-5.6-mini", "low", "[]", "\"reasoning_effort\":\"low\"", false },
        { "gpt-5.5", "low", "[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]", "\"reasoning_effort\":\"low\"", false },
        { "gpt-6", "low", "[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]", "\"reasoning_effort\":\"none\"", true },
        { "gpt-60", "low", "[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]", "\"reasoning_effort\":\"low\"", false },
    };
    for (size_t i = 0; i < 2 * sizeof(list) / sizeof(*list); i++) {
        size_t n = i / 2;
        struct lab *client = lab_begin(plugin, 'i', NULL);
        decoded(client, lab_cstr(client, arena_printf(client->arena,
                                 "{\"model\":\"%s\",\"reasoning_effort\":\"%s\",\"tools\":%s,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
                                 list[n].model, list[n].effort, list[n].tools)));
        if (i % 2)
            client->conversation->view.dialect = WEIR_LIT("other");
        struct lab *up = lab_begin(plugin, 'e', client->conversation);
        int head = plugin->codec->request_head(up->self, &up->call, up->state, &entry);
        CHECK_INT(head, i % 2 == 0 && list[n].is_told ? WEIR_HEAD_ANEW : 0);
        CHECK(contains(encoded(client, up), list[n].said));
        CHECK_INT(strstr(lab_cstr(up, out_bytes(&up->notes)), "loss=changed:reasoning_effort") != NULL, list[n].is_told);
        lab_end(up);
        lab_end(client);
    }
}

TEST(no_effort_only_where_it_is_known)
{
    NEED_PLUGIN;
    static const struct {
        const char *model, *effort;
        bool is_said;
    } list[] = {
        { "\"gpt-4o\"", "\"none\"", false }, { "\"o3\"", "\"none\"", false },     { "\"gpt-5-mini\"", "\"none\"", false },
        { "\"gpt-5.1\"", "\"none\"", true }, { "\"gpt-6-sol\"", "\"none\"", true }, { "\"o3\"", "\"low\"", true },
    };
    for (size_t i = 0; i < sizeof(list) / sizeof(*list); i++) {
        struct lab *client = lab_begin(plugin, 'i', NULL);
        decoded(client, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}");
        client->conversation->view.dialect = WEIR_LIT("other");
        conversation_set_field(client->conversation, WEIR_FIELD_MODEL, weir_cstr(list[i].model), WEIR_NONE);
        conversation_set_field(client->conversation, WEIR_FIELD_REASONING_EFFORT, weir_cstr(list[i].effort), WEIR_NONE);
        struct lab *up = lab_begin(plugin, 'e', client->conversation);
        CHECK_INT(strstr(encoded(client, up), "\"reasoning_effort\":") != NULL, list[i].is_said);
        CHECK_INT(strstr(lab_cstr(up, out_bytes(&up->notes)), "loss=dropped:reasoning") != NULL, !list[i].is_said);
        lab_end(up);
        lab_end(client);
    }
}
