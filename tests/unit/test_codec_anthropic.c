/* The anthropic codec on small pieces of wire: what recordings don't show. */
#include "codec_lab.h"
#include "test.h"

static const struct weir_plugin *plugin;

static bool has_plugin(void)
{
    if (!plugin)
        plugin = lab_plugin("anthropic");
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

#define HI "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"

TEST(bad_requests_name_the_field)
{
    NEED_PLUGIN;
    check_refused("{\"max_tokens\":1," HI "}", "model", "is missing");
    check_refused("{\"model\":\"m\"," HI "}", "max_tokens", "is missing");
    check_refused("{\"model\":\"m\",\"max_tokens\":1}", "messages", "is missing or empty");
    check_refused("{\"model\":\"m\",\"max_tokens\":\"1\"," HI "}", "max_tokens", "must be an integer");
    check_refused("{\"model\":\"m\",\"max_tokens\":-1," HI "}", "max_tokens", "not negative");
    check_refused("{\"model\":\"m\",\"max_tokens\":1,\"messages\":[{\"content\":\"x\"}]}", "messages[0].role",
                  "is missing");
    check_refused("{\"model\":\"m\",\"max_tokens\":1,\"messages\":[{\"role\":\"user\"}]}", "messages[0].content",
                  "is missing");
    check_refused("{\"model\":\"m\",\"max_tokens\":1,\"messages\":[{\"role\":\"tool\",\"content\":\"x\"}]}",
                  "messages[0].role", "user or assistant");
    check_refused("{\"model\":\"m\",\"max_tokens\":1,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
                  "\"text\":3}]}]}",
                  "messages[0].content[0].text", "must be a string");
    check_refused(
        "{\"model\":\"m\",\"max_tokens\":1,\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"x\"}]}]}",
        "messages[0].content[0]", "type");
    check_refused("{\"model\":\"m\",\"max_tokens\":1,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"tool_"
                  "result\",\"content\":\"x\"}]}]}",
                  "messages[0].content[0]", "tool_use_id");
    check_refused("{\"model\":\"m\",\"max_tokens\":1,\"tool_choice\":{\"type\":\"tool\"}," HI "}", "tool_choice",
                  "must be");
    check_refused("{\"model\":\"m\",\"max_tokens\":1,\"thinking\":{\"type\":\"enabled\"}," HI "}", "thinking",
                  "budget_tokens");
    check_refused("{\"model\":\"m\",\"max_tokens\":1,\"stop_sequences\":\"x\"," HI "}", "stop_sequences",
                  "array of strings");
    check_refused("{\"model\":\"m\",\"max_tokens\":1,\"system\":5," HI "}", "system", "must be a string or an array");
}

static const char *decoded(struct lab *l, const char *body)
{
    if (lab_decode_request(l, str(body)) < 0)
        printf("  %.*s\n", S(l->error.message));
    return dump_conversation(l);
}

TEST(the_prompt_leads_wherever_it_stood)
{
    NEED_PLUGIN;
    struct lab *l = lab_begin(plugin, 'i', NULL);
    const char *text = decoded(l, "{\"max_tokens\":1,\"messages\":[{\"content\":\"a\",\"role\":\"user\"},{\"content\":"
                                  "\"b\",\"role\":\"assistant\"},"
                                  "{\"content\":[{\"tool_use_id\":\"t\",\"type\":\"tool_result\",\"is_error\":true,"
                                  "\"content\":[{\"type\":\"text\",\"text\":\"r\"}]},"
                                  "{\"type\":\"text\",\"text\":\"c\"}],\"role\":\"user\"}],\"model\":\"m\",\"system\":["
                                  "{\"type\":\"text\",\"text\":\"s\"}]}");
    CHECK_STR(text, "field 0=\"m\"\nfield 3=1\nsystem\n   part 1 text=<s>\nuser\n   part 1 text=<a>\nassistant\n   "
                    "part 1 text=<b>\n"
                    "tool\n   part 6 flags=1 id=<t>\n     part 1 text=<r>\nuser\n   part 1 text=<c>\n");
    lab_end(l);
}

TEST(settings_have_their_canonical_forms)
{
    NEED_PLUGIN;
    struct lab *l = lab_begin(plugin, 'i', NULL);
    const char *text = decoded(
        l, "{\"model\":\"m\",\"max_tokens\":9," HI
           ",\"tool_choice\":{\"type\":\"any\",\"disable_parallel_tool_use\":true},"
           "\"tools\":[{\"name\":\"f\",\"input_schema\":{\"type\":\"object\"}}],\"metadata\":{\"user_id\":\"u\"},"
           "\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":2048},\"service_tier\":\"standard_only\","
           "\"output_config\":{\"effort\":\"low\",\"format\":{\"type\":\"json_schema\",\"schema\":{\"a\":1}}},"
           "\"inference_geo\":\"eu\"}");
    CHECK(contains(text, "field 15=\"u\"\n"));
    CHECK(contains(text, "field 17=\"default\"\nfield 18=\"required\"\nfield 19=false\nfield "
                         "20={\"schema\":{\"a\":1}}\nfield 21=\"low\"\nfield 22=2048\nfield 23=true\n"));
    CHECK(contains(text, "ext inference_geo=\"eu\"\n"));
    lab_end(l);
    l = lab_begin(plugin, 'i', NULL);
    text = decoded(l, "{\"model\":\"m\",\"max_tokens\":9," HI ",\"thinking\":{\"type\":\"disabled\"}}");
    CHECK(contains(text, "field 22=0\n"));
    lab_end(l);
}

TEST(what_only_this_dialect_has_needs_it)
{
    NEED_PLUGIN;
    static const char *const bodies[] = {
        "{\"model\":\"m\",\"max_tokens\":1," HI
        ",\"tools\":[{\"type\":\"web_search_20250305\",\"name\":\"web_search\"}]}",
        "{\"model\":\"m\",\"max_tokens\":1," HI ",\"mcp_servers\":[{\"url\":\"x\"}]}",
        "{\"model\":\"m\",\"max_tokens\":1,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"container_"
        "upload\",\"file_id\":\"f\"}]}]}",
        "{\"model\":\"m\",\"max_tokens\":1,\"messages\":[{\"role\":\"user\",\"content\":[{\"source\":{\"type\":"
        "\"content\",\"content\":[]},\"type\":\"document\"}]}]}",
    };
    for (size_t i = 0; i < sizeof(bodies) / sizeof(*bodies); i++) {
        struct lab *l = lab_begin(plugin, 'i', NULL);
        CHECK_INT(lab_decode_request(l, str(bodies[i])), 0);
        CHECK(l->conversation->view.needs & WEIR_CAN_OPAQUE);
        lab_end(l);
    }
}

/* ---- splices ---- */

static void check_splices(const char *body, const struct weir_edit *edits, int n, const char *want)
{
    struct lab *l = lab_begin(plugin, 'i', NULL);
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
    CHECK_STR(lab_cstr(l, out_bytes(&o)), want);
    out_free(&o);
    lab_end(l);
}

static struct weir_edit field_edit(enum weir_field f, const char *json)
{
    return (
        struct weir_edit){ .size = sizeof(struct weir_edit), .kind = WEIR_EDIT_FIELD, .field = f, .value = str(json) };
}

#define BASE "\"model\":\"m\",\"max_tokens\":1," HI "}"

TEST(edits_are_put_into_the_bytes)
{
    NEED_PLUGIN;
    struct weir_edit usage = { .size = sizeof(usage), .kind = WEIR_EDIT_ASK_USAGE };
    struct weir_edit system = { .size = sizeof(system),
                                .kind = WEIR_EDIT_PREPEND_SYSTEM,
                                .value = WEIR_LIT("be \"kind\"") };
    struct weir_edit temperature = field_edit(WEIR_FIELD_TEMPERATURE, "0.5"),
                     budget = field_edit(WEIR_FIELD_REASONING_BUDGET, "2000");
    struct weir_edit effort = field_edit(WEIR_FIELD_REASONING_EFFORT, "\"low\""),
                     user = field_edit(WEIR_FIELD_USER, "\"u\"");
    check_splices("{" BASE, &usage, 1, "{" BASE);
    check_splices("{" BASE, &temperature, 1, "{\"temperature\":0.5," BASE);
    check_splices("{" BASE, &system, 1, "{\"system\":\"be \\\"kind\\\"\"," BASE);
    check_splices("{\"system\":\"s\"," BASE, &system, 1, "{\"system\":\"be \\\"kind\\\"\\n\\ns\"," BASE);
    check_splices("{\"system\": [] ," BASE, &system, 1,
                  "{\"system\": [{\"type\":\"text\",\"text\":\"be \\\"kind\\\"\"}] ," BASE);
    check_splices(
        "{\"system\":[{\"type\":\"text\",\"text\":\"s\"}]," BASE, &system, 1,
        "{\"system\":[{\"type\":\"text\",\"text\":\"be \\\"kind\\\"\"},{\"type\":\"text\",\"text\":\"s\"}]," BASE);
    check_splices("{\"system\":null," BASE, &system, 1, "{\"system\":\"be \\\"kind\\\"\"," BASE);
    check_splices("{" BASE, &budget, 1, "{\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":2000}," BASE);
    check_splices("{\"thinking\":{\"type\":\"disabled\"}," BASE, &budget, 1,
                  "{\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":2000}," BASE);
    check_splices("{\"output_config\":{\"effort\":\"high\"}," BASE, &effort, 1,
                  "{\"output_config\":{\"effort\":\"low\"}," BASE);
    check_splices("{" BASE, &effort, 1, "{\"output_config\":{\"effort\":\"low\"}," BASE);
    check_splices("{\"metadata\":{\"user_id\":\"a\"}," BASE, &user, 1, "{\"metadata\":{\"user_id\":\"u\"}," BASE);
}

/* ---- answers ---- */

static struct conversation *asked(struct lab *l)
{
    struct conversation *c = conversation_new(l->arena, WEIR_LIT("anthropic"), WEIR_OP_CHAT, WEIR_LIT("{}"));
    conversation_set_field(c, WEIR_FIELD_MODEL, WEIR_LIT("\"m\""), WEIR_NONE);
    return c;
}

static struct lab *answer(enum weir_framing framing, const char *bytes, bool clean, int want)
{
    struct lab *l = lab_begin(plugin, 'e', NULL);
    l->conversation = asked(l);
    CHECK_INT(lab_decode_answer(l, framing, str(bytes), 0, clean), want);
    return l;
}

#define START                                                                                                          \
    "event: message_start\ndata: "                                                                                     \
    "{\"type\":\"message_start\",\"message\":{\"id\":\"i\",\"model\":\"m\",\"usage\":{\"input_tokens\":3,"             \
    "\"cache_read_input_tokens\":4,\"cache_creation_input_tokens\":5,\"output_tokens\":1}}}\n\n"
#define STOP "data: {\"type\":\"message_stop\"}\n\n"

TEST(usage_is_cumulative_and_includes_the_cache)
{
    NEED_PLUGIN;
    struct lab *l = answer(
        WEIR_FRAMING_SSE,
        START "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"stop_sequence\",\"stop_sequence\":\"X\"},"
              "\"usage\":{\"output_tokens\":9,\"cache_read_input_tokens\":null,\"output_tokens_details\":{\"thinking_"
              "tokens\":2}}}\n\n" STOP,
        true, 0);
    CHECK_STR(dump_answer(l), "id=i model=m\nfinish 0=2\nusage 12 9 cached 4 5 reasoning 2\n");
    lab_end(l);
}

TEST(only_message_stop_ends_an_answer)
{
    NEED_PLUGIN;
    lab_end(answer(WEIR_FRAMING_SSE,
                   START "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\n\n", true, -1));
    lab_end(answer(WEIR_FRAMING_SSE, STOP, true, -1));
    lab_end(answer(WEIR_FRAMING_JSON, "{\"object\":\"list\"}", true, -1));
    lab_end(answer(WEIR_FRAMING_SSE, START "data: {\"type\":\"content_block_delta\"}\n\n", true, -1));
}

#define BEGIN                                                                                                          \
    "data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n"

TEST(blocks_that_make_no_sense)
{
    NEED_PLUGIN;
    lab_end(answer(WEIR_FRAMING_SSE, START BEGIN BEGIN STOP, true, -1));
    lab_end(answer(WEIR_FRAMING_SSE, START "data: {\"type\":\"content_block_stop\",\"index\":0}\n\n" STOP, true, -1));
    lab_end(answer(WEIR_FRAMING_SSE,
                   START "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"text\":\"x\"}}\n\n" STOP,
                   true, -1));
    lab_end(answer(WEIR_FRAMING_SSE, START BEGIN STOP, true, 0)); /* the last block may stay open */
}

TEST(blocks_and_deltas_of_tomorrow_pass)
{
    NEED_PLUGIN;
    struct lab *l = answer(
        WEIR_FRAMING_SSE,
        START
        "data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"hologram\",\"x\":1}}\n\n"
        "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"hologram_delta\",\"text\":\"no "
        "text\"}}\n\n"
        "data: {\"type\":\"content_block_stop\",\"index\":0}\n\ndata: {\"type\":\"tomorrow\",\"delta\":5}\n\n"
        "event: ping\ndata: {\"type\":\"ping\"}\n\n" STOP,
        true, 0);
    CHECK(contains(dump_answer(l), "block 0/0 kind 8 text=<{\"type\":\"hologram\",\"x\":1}>\n"));
    CHECK(contains(lab_cstr(l, out_bytes(&l->log)), "PING"));
    CHECK(contains(lab_cstr(l, out_bytes(&l->log)), "DELTA 0/0 k8 d8"));
    lab_end(l);
}

TEST(keys_of_events_in_any_order)
{
    NEED_PLUGIN;
    struct lab *l = answer(
        WEIR_FRAMING_SSE,
        START
        "data: {\"content_block\":{\"text\":\"\",\"type\":\"text\"},\"index\":0,\"type\":\"content_block_start\"}\n\n"
        "data: {\"delta\":{\"text\":\"a\",\"type\":\"text_delta\"},\"index\":0,\"type\":\"content_block_delta\"}\n\n"
        "event: content_block_delta\ndata: {\"delta\":{\"text\":\"b\",\"type\":\"text_delta\"},\"index\":0}\n\n"
        "data: {\"index\":0,\"type\":\"content_block_stop\"}\n\n" STOP,
        true, 0);
    CHECK(contains(dump_answer(l), "block 0/0 kind 1 text=<ab>\n"));
    lab_end(l);
}

TEST(a_refusal_says_why)
{
    NEED_PLUGIN;
    struct lab *l =
        answer(WEIR_FRAMING_JSON,
               "{\"type\":\"message\",\"id\":\"i\",\"model\":\"m\",\"content\":[],\"stop_reason\":\"refusal\","
               "\"stop_details\":{\"type\":\"refusal\",\"explanation\":\"Because.\"},\"usage\":{\"input_tokens\":1,"
               "\"output_tokens\":0}}",
               true, 0);
    CHECK(contains(dump_answer(l), "block 0/0 kind 3 text=<Because.>\nfinish 0=6\n"));
    lab_end(l);
}

TEST(errors_inside_an_answer)
{
    NEED_PLUGIN;
    struct lab *l = answer(WEIR_FRAMING_SSE,
                           START "event: error\ndata: "
                                 "{\"type\":\"error\",\"error\":{\"details\":null,\"type\":\"overloaded_error\","
                                 "\"message\":\"Overloaded\"}}\n\n",
                           true, 0);
    CHECK(l->has_error);
    CHECK_INT(l->answer_error.error_class, WEIR_ERROR_OVERLOADED);
    CHECK_STR(lab_cstr(l, l->answer_error.message), "Overloaded");
    lab_end(l);
    l = answer(WEIR_FRAMING_JSON, "{\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"x\"}}", true, 0);
    CHECK(l->has_error);
    lab_end(l);
}

static void check_error(int status, const char *body, uint16_t error_class)
{
    struct lab *l = lab_begin(plugin, 'e', NULL);
    struct weir_error e = { .size = sizeof(e), .message = WEIR_LIT("default") };
    l->response_headers[0] = "retry-after";
    l->response_headers[1] = "7";
    CHECK_INT(plugin->codec->decode_error(l->self, &l->call, l->state, status, str(body), &e), 0);
    CHECK_INT(e.error_class, error_class);
    CHECK_INT(e.retry_after_ms, 7000);
    lab_end(l);
}

TEST(errors_by_class)
{
    NEED_PLUGIN;
    check_error(400,
                "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"prompt is too long: "
                "210000 tokens > 200000 maximum\"}}",
                WEIR_ERROR_CONTEXT_LENGTH);
    check_error(400,
                "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"Your credit balance "
                "is too low\"}}",
                WEIR_ERROR_QUOTA);
    check_error(400, "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"tools: extra\"}}",
                WEIR_ERROR_BAD_REQUEST);
    check_error(429,
                "{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":\"m\",\"details\":{\"error_"
                "code\":\"enforced_spend_limit_reached\"}}}",
                WEIR_ERROR_QUOTA);
    check_error(429, "{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":\"m\"}}",
                WEIR_ERROR_RATE_LIMITED);
    check_error(529, "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"m\"}}",
                WEIR_ERROR_OVERLOADED);
    check_error(401, "{\"type\":\"error\",\"error\":{\"type\":\"authentication_error\",\"message\":\"m\"}}",
                WEIR_ERROR_AUTHENTICATION);
    check_error(413, "<html>413</html>", WEIR_ERROR_TOO_LARGE);
    check_error(502, "", WEIR_ERROR_SERVER);
    check_error(404, "{\"error\":\"model not found\"}", WEIR_ERROR_NOT_FOUND);
}

/* ---- streams to the client ---- */

static struct weir_event event(enum weir_event_kind kind, uint32_t block, uint32_t block_kind)
{
    return (struct weir_event){
        .size = sizeof(struct weir_event), .kind = kind, .block = block, .block_kind = (uint16_t)block_kind
    };
}

static void tell(struct lab *l, struct weir_event e)
{
    struct scratch s = scratch_enter();
    CHECK_INT(plugin->codec->encode_event(l->self, &l->call, l->state, &e, &l->told), 0);
    scratch_leave(s);
}

static void tell_call(struct lab *l, uint32_t block, const char *id)
{
    struct weir_event e = event(WEIR_EVENT_BLOCK_START, block, WEIR_BLOCK_TOOL_CALL);
    e.id = e.name = str(id);
    tell(l, e);
}

static void tell_arguments(struct lab *l, uint32_t block, const char *text)
{
    struct weir_event e = event(WEIR_EVENT_DELTA, block, WEIR_BLOCK_TOOL_CALL);
    char passing[64];
    snprintf(passing, sizeof(passing), "%s", text); /* an event's text is gone when the op has returned */
    e.delta_kind = WEIR_DELTA_ARGUMENTS;
    e.text = weir_plain(str(passing));
    tell(l, e);
    memset(passing, '?', sizeof(passing));
}

TEST(one_block_at_a_time)
{
    NEED_PLUGIN;
    struct lab *l = lab_begin(plugin, 'i', NULL);
    struct weir_usage usage = WEIR_USAGE_UNKNOWN;
    usage.input = 10;
    usage.output = 2;
    usage.cached_read = 4;
    l->conversation = asked(l);
    struct weir_event e = event(WEIR_EVENT_START, 0, 0);
    e.id = WEIR_LIT("i");
    e.name = WEIR_LIT("m");
    tell(l, e);
    tell_call(l, 5, "a");
    tell_call(l, 6, "b");
    tell_call(l, 7, "c");
    tell_arguments(l, 6, "{\"y\"");
    tell_arguments(l, 5, "{}");
    tell_arguments(l, 6, ":1}");
    tell(l, event(WEIR_EVENT_BLOCK_STOP, 6, WEIR_BLOCK_TOOL_CALL));
    tell(l, event(WEIR_EVENT_BLOCK_STOP, 5, WEIR_BLOCK_TOOL_CALL));
    tell_arguments(l, 7, "{\"z\":0}");
    tell(l, event(WEIR_EVENT_BLOCK_STOP, 7, WEIR_BLOCK_TOOL_CALL));
    e = event(WEIR_EVENT_FINISH, 0, 0);
    e.finish = WEIR_FINISH_TOOL_CALLS;
    tell(l, e);
    e = event(WEIR_EVENT_USAGE, 0, 0);
    e.usage = &usage;
    tell(l, e);
    tell(l, event(WEIR_EVENT_END, 0, 0));
#define BLOCK(i, id, deltas)                                                                                           \
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":" i                                 \
    ",\"content_block\":{\"type\":\"tool_use\",\"id\":\"" id "\",\"name\":\"" id "\",\"input\":{}}}\n\n" deltas        \
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":" i "}\n\n"
#define JSON(i, s)                                                                                                     \
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":" i                                 \
    ",\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"" s "\"}}\n\n"
    CHECK_STR(
        lab_cstr(l, out_bytes(&l->told)),
        "event: message_start\ndata: "
        "{\"type\":\"message_start\",\"message\":{\"id\":\"i\",\"type\":\"message\",\"role\":\"assistant\",\"model\":"
        "\"m\",\"content\":[],"
        "\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":0,\"cache_creation_input_tokens\":0,"
        "\"cache_read_input_tokens\":0,\"output_tokens\":0}}}\n\n" BLOCK("0", "a", JSON("0", "{}"))
            BLOCK("1", "b", JSON("1", "{\\\"y\\\"") JSON("1", ":1}")) BLOCK(
                "2", "c",
                JSON("2",
                     "{\\\"z\\\":0}")) "event: message_delta\ndata: "
                                       "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\",\"stop_"
                                       "sequence\":null},\"usage\":{\"input_tokens\":6,"
                                       "\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":4,\"output_"
                                       "tokens\":2}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
    lab_end(l);
}

TEST(errors_as_the_sdks_want_them)
{
    NEED_PLUGIN;
    struct lab *l = lab_begin(plugin, 'i', NULL);
    struct weir_error error = {
        .size = sizeof(error), .error_class = WEIR_ERROR_NOT_FOUND, .status = 404, .message = WEIR_LIT("no")
    };
    struct weir_event e = event(WEIR_EVENT_ERROR, 0, 0);
    e.error = &error;
    tell(l, e);
    CHECK_STR(lab_cstr(l, out_bytes(&l->told)), "event: error\ndata: "
                                                "{\"type\":\"error\",\"error\":{\"type\":\"not_found_error\","
                                                "\"message\":\"no\"},\"request_id\":\"req-1\"}\n\n");
    lab_end(l);
}

/* ---- requests to the provider ---- */

/* The dump of a conversation made with the other codec's front door, so that it is foreign here. */
static const char *sent(const char *openai_body, struct lab **up, struct lab **client)
{
    const struct weir_plugin *other = lab_plugin("openai");
    *client = lab_begin(other ? other : plugin, 'i', NULL);
    if (!other || lab_decode_request(*client, str(openai_body)) < 0)
        return "";
    *up = lab_begin(plugin, 'e', (*client)->conversation);
    struct scratch s = scratch_enter();
    int rc = plugin->codec->encode_request((*up)->self, &(*up)->call, (*up)->state, &(*client)->conversation->view,
                                           &(*up)->told);
    scratch_leave(s);
    return rc < 0 ? lab_cstr(*up, (*up)->error.message) : lab_cstr(*up, out_bytes(&(*up)->told));
}

static void check_sent(const char *openai_body, const char *const *wants, const char *note)
{
    struct lab *up = NULL, *client = NULL;
    const char *body = sent(openai_body, &up, &client);
    for (; *wants; wants++)
        CHECK((*wants)[0] == '!' ? !strstr(body, *wants + 1) : contains(body, *wants));
    if (note)
        CHECK(contains(up ? lab_cstr(up, out_bytes(&up->notes)) : "", note));
    lab_end(up);
    lab_end(client);
}

#define WANT(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define ASK(model, rest) "{\"model\":\"" model "\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]" rest "}"
#define TOOLS ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]"

TEST(a_foreign_conversation_is_made_fit)
{
    NEED_PLUGIN;
    check_sent(
        "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":\"a\"},"
        "{\"role\":\"assistant\",\"content\":\"\",\"reasoning_content\":\"t\",\"tool_calls\":[{\"id\":\"x:1\","
        "\"function\":{\"name\":\"f\",\"arguments\":\"\"}},"
        "{\"id\":\"y\",\"function\":{\"name\":\"f\",\"arguments\":\"{oops\"}},{\"id\":\"z\",\"function\":{\"name\":"
        "\"f\",\"arguments\":\"[1]\"}}]},"
        "{\"role\":\"tool\",\"tool_call_id\":\"x:1\",\"content\":\"1\"},{\"role\":\"tool\",\"tool_call_id\":\"y\","
        "\"content\":\"2\"},"
        "{\"role\":\"tool\",\"tool_call_id\":\"z\",\"content\":\"3\"},{\"role\":\"user\",\"content\":\"b\"},{\"role\":"
        "\"system\",\"content\":\"late\"}]" TOOLS "}",
        WANT("\"system\":\"s\"", "\"max_tokens\":4096",
             "\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":["
             "{\"type\":\"tool_use\",\"id\":\"x_1_",
             "\"input\":{}}", "\"input\":{\"_raw\":\"{oops\"}", "\"input\":{\"value\":[1]}",
             "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"x_1_",
             "{\"type\":\"tool_result\",\"tool_use_id\":\"z\",\"content\":\"3\"},"
             "{\"type\":\"text\",\"text\":\"b\"},{\"type\":\"text\",\"text\":\"<system>\\nlate\\n</system>\"}]}]",
             "\"input_schema\":{\"type\":\"object\",\"properties\":{}}", "!thinking"),
        "loss=dropped:thinking: only Anthropic's own thoughts go back, with their signature\n"
        "loss=emulated:tools: ids are sent as others that fit\n"
        "loss=emulated:tools: arguments that are no object are sent inside one\n");
}

TEST(history_with_calls_declares_their_tools)
{
    NEED_PLUGIN;
    check_sent("{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"x\","
               "\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},"
               "{\"role\":\"tool\",\"tool_call_id\":\"x\",\"content\":\"1\"}]}",
               WANT("\"tools\":[{\"name\":\"f\",", "\"tool_choice\":{\"type\":\"none\"}",
                    "\"messages\":[{\"role\":\"user\",\"content\":\"(The conv"),
               "emulated:tools");
}

TEST(settings_cross)
{
    NEED_PLUGIN;
    check_sent(ASK("claude-sonnet-4-5", ",\"n\":2"), WANT("!\"n\""), NULL); /* the host refuses it unless it is told not to */
    check_sent(ASK("claude-sonnet-4-5",
                   ",\"temperature\":1.5,\"top_p\":0.9,\"stop\":[\"a\",\"\\n\"],\"user\":\"me@x\",\"seed\":1"),
               WANT("\"temperature\":1,", "!top_p", "\"stop_sequences\":[\"a\"]", "\"metadata\":{\"user_id\":\"",
                    "!me@x", "!seed"),
               "loss=changed:temperature: sent as 1\nloss=dropped:top_p: not together with temperature\n"
               "loss=dropped:stop: sequences of white space alone are refused\n");
    check_sent(ASK("claude-opus-5", ",\"temperature\":0.5"), WANT("!temperature"), "dropped:temperature");
    check_sent(ASK("claude-sonnet-4-5", ",\"temperature\":1.0"), WANT("\"temperature\":1.0"), NULL);
    check_sent(ASK("m", ",\"tool_choice\":\"required\",\"parallel_tool_calls\":false" TOOLS),
               WANT("\"tool_choice\":{\"type\":\"any\",\"disable_parallel_tool_use\":true}"), NULL);
    check_sent(ASK("m", ",\"parallel_tool_calls\":false" TOOLS),
               WANT("\"tool_choice\":{\"type\":\"auto\",\"disable_parallel_tool_use\":true}"), NULL);
    check_sent(ASK("claude-opus-5-5", ",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"f\"}}" TOOLS),
               WANT("\"tool_choice\":{\"type\":\"auto\"}", "Answer this turn by calling the tool f."),
               "emulated:tool_choice");
    check_sent(ASK("m", ",\"response_format\":{\"type\":\"json_object\"}"),
               WANT("\"system\":[{\"type\":\"text\",\"text\":\"Answer with one JSON object"),
               "emulated:response_format");
    check_sent(
        ASK("m", ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"n\",\"schema\":{\"type\":"
                 "\"object\",\"properties\":{\"properties\":{\"type\":\"object\",\"properties\":{}}}}}}"),
        WANT("\"output_config\":{\"format\":{\"type\":\"json_schema\",\"schema\":{\"type\":\"object\",\"properties\":{"
             "\"properties\":{\"type\":\"object\",\"properties\":{},"
             "\"additionalProperties\":false}},\"additionalProperties\":false}}}"),
        NULL);
}

TEST(effort_in_the_words_of_each_generation)
{
    NEED_PLUGIN;
    check_sent(ASK("claude-sonnet-4-5-20250929", ",\"reasoning_effort\":\"low\""),
               WANT("\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":2048}", "\"max_tokens\":6144", "!effort"),
               "loss=emulated:reasoning_effort: as a budget\n");
    check_sent(ASK("claude-3-7-sonnet-20250219", ",\"reasoning_effort\":\"high\",\"max_tokens\":4000"),
               WANT("\"budget_tokens\":2000}"), NULL);
    check_sent(ASK("claude-3-7-sonnet-20250219", ",\"reasoning_effort\":\"high\",\"max_tokens\":100"),
               WANT("!thinking"), "loss=dropped:reasoning_effort: a limit");
    check_sent(ASK("claude-3-5-haiku-20241022", ",\"reasoning_effort\":\"high\""), WANT("!thinking"),
               "loss=dropped:reasoning_effort: this model does not think");
    check_sent(ASK("claude-opus-4-7", ",\"reasoning_effort\":\"minimal\""),
               WANT("\"thinking\":{\"type\":\"adaptive\"}", "\"output_config\":{\"effort\":\"low\"}"),
               "loss=changed:reasoning_effort");
    check_sent(ASK("claude-opus-5", ",\"reasoning_effort\":\"none\""), WANT("\"thinking\":{\"type\":\"disabled\"}"),
               NULL);
    check_sent(ASK("claude-fable-5", ",\"reasoning_effort\":\"none\""), WANT("!\"thinking\":", "\"effort\":\"low\""),
               "loss=changed:reasoning_effort: sent as low");
    check_sent(ASK("some-server-model", ",\"reasoning_effort\":\"medium\""), WANT("\"budget_tokens\":8192}"), NULL);
}

TEST(media_cross)
{
    NEED_PLUGIN;
    check_sent(
        "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":"
        "\"data:image/png;base64,QUJD\"}},"
        "{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://h/x.png\",\"detail\":\"low\"}},"
        "{\"type\":\"file\",\"file\":{\"filename\":\"a.pdf\",\"file_data\":\"data:application/pdf;base64,QUJD\"}},"
        "{\"type\":\"file\",\"file\":{\"filename\":\"a.txt\",\"file_data\":\"data:text/plain;base64,aGk=\"}}]}]}",
        WANT("{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/png\",\"data\":\"QUJD\"}}",
             "{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":\"https://h/x.png\"}}",
             "{\"type\":\"document\",\"source\":{\"type\":\"base64\",\"media_type\":\"application/"
             "pdf\",\"data\":\"QUJD\"},\"title\":\"a.pdf\"}",
             "{\"type\":\"document\",\"source\":{\"type\":\"text\",\"media_type\":\"text/"
             "plain\",\"data\":\"hi\"},\"title\":\"a.txt\"}"),
        NULL);
    check_sent("{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_audio\",\"input_"
               "audio\":{\"data\":\"QQ==\",\"format\":\"wav\"}}]}]}",
               WANT("Anthropic takes no audio"), NULL);
}

TEST(the_version_header_is_said_once)
{
    NEED_PLUGIN;
    struct lab *l = lab_begin(plugin, 'e', NULL);
    l->conversation = asked(l);
    plugin->codec->request_head(l->self, &l->call, l->state, NULL);
    CHECK_STR(lab_cstr(l, out_bytes(&l->head)), "anthropic-version: 2023-06-01\nPOST /v1/messages\n");
    lab_end(l);
    l = lab_begin(plugin, 'e', NULL);
    l->conversation = asked(l);
    l->request_headers[0] = "anthropic-version";
    l->request_headers[1] = "2023-06-01";
    plugin->codec->request_head(l->self, &l->call, l->state, NULL);
    CHECK_STR(lab_cstr(l, out_bytes(&l->head)), "POST /v1/messages\n");
    lab_end(l);
}

TEST(models_are_listed_in_the_dialect)
{
    NEED_PLUGIN;
    struct weir_model models[] = { { WEIR_LIT("a"), WEIR_LIT("weir"), 1763769600, 0, 0 },
                                   { WEIR_LIT("h"), WEIR_LIT("x"), 0, WEIR_MODEL_HIDDEN, 0 } };
    struct weir_model_list list = { models, 2, 0 };
    struct lab *l = lab_begin(plugin, 'i', NULL);
    CHECK_INT(plugin->codec->encode_models(l->self, &l->call, &list, &l->told), 0);
    CHECK_STR(
        lab_cstr(l, out_bytes(&l->told)),
        "{\"data\":[{\"type\":\"model\",\"id\":\"a\",\"display_name\":\"a\",\"created_at\":\"2025-11-22T00:00:00Z\"}],"
        "\"has_more\":false,\"first_id\":\"a\",\"last_id\":\"a\"}");
    lab_end(l);
}
