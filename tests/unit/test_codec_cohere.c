/* The cohere codec on small pieces of wire: what recordings of chats don't show; and recorded embeddings and ranks. */
#include "codec_lab.h"
#include "recordings.h"
#include "test.h"

static const struct weir_plugin *plugin;

static bool has_plugin(void)
{
    if (!plugin)
        plugin = lab_plugin("cohere");
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

static struct lab *decoded_as(uint32_t operation, const char *body)
{
    struct lab *l = lab_begin(plugin, 'i', NULL);
    l->view.operation = operation;
    if (lab_decode_request(l, str(body)) < 0 && !l->has_failed)
        printf("  refused without a reason: %s\n", body);
    return l;
}

static void check_refused_as(uint32_t operation, const char *body, const char *param, const char *message)
{
    struct lab *l = decoded_as(operation, body);
    CHECK(l->has_failed);
    CHECK_STR(lab_cstr(l, l->error.param), param);
    CHECK(contains(lab_cstr(l, l->error.message), message));
    lab_end(l);
}

static void check_refused(const char *body, const char *param, const char *message)
{
    check_refused_as(WEIR_OP_CHAT, body, param, message);
}

TEST(bad_requests_name_the_field)
{
    NEED_PLUGIN;
    check_refused("{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}", "model", "is missing");
    check_refused("{\"model\":\"m\",\"messages\":[]}", "messages", "is missing or empty");
    check_refused("{\"model\":\"m\",\"messages\":[{\"role\":\"developer\",\"content\":\"x\"}]}", "messages[0].role",
                  "must be one of");
    check_refused("{\"model\":\"m\",\"messages\":[{\"role\":\"user\"}]}", "messages[0].content", "is missing");
    check_refused("{\"model\":\"m\",\"messages\":[{\"role\":\"tool\",\"content\":\"x\"}]}", "messages[0].tool_call_id",
                  "is missing");
    check_refused("{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]}",
                  "messages[0].content[0]", "lacks the member");
    check_refused("{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"x\"}]}]}",
                  "messages[0].content[0]", "has no \"type\"");
    check_refused("{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_"
                  "url\":{\"url\":\"a.png\"}}]}]}",
                  "messages[0].content[0].image_url.url", "not a URL or data URI");
    check_refused("{\"model\":\"m\",\"tool_choice\":\"auto\",\"messages\":[]}", "tool_choice", "must be \"REQUIRED\"");
    check_refused("{\"model\":\"m\",\"p\":\"x\",\"messages\":[]}", "p", "must be a number");
    check_refused("{\"model\":\"m\",\"thinking\":{\"type\":\"maybe\"},\"messages\":[]}", "thinking",
                  "must be {\"type\":\"enabled\"");
    check_refused("{\"model\":\"m\",\"response_format\":{\"type\":\"json_schema\"},\"messages\":[]}", "response_format",
                  "json_object");
    check_refused("{\"model\":\"m\",\"documents\":[7],\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
                  "documents", "must be strings");
    check_refused_as(WEIR_OP_EMBED, "{\"model\":\"m\"}", "texts", "is missing");
    check_refused_as(WEIR_OP_EMBED, "{\"model\":\"m\",\"texts\":[1]}", "texts[0]", "must be a string");
    check_refused_as(WEIR_OP_EMBED, "{\"model\":\"m\",\"texts\":[\"a\"],\"input_type\":\"query\"}", "input_type",
                     "must be search_document");
    check_refused_as(WEIR_OP_RERANK, "{\"model\":\"m\",\"documents\":[\"a\"]}", "query", "is missing");
    check_refused_as(WEIR_OP_RERANK, "{\"model\":\"m\",\"query\":\"a\"}", "documents", "is missing or empty");
    check_refused_as(WEIR_OP_RERANK, "{\"model\":\"m\",\"query\":\"a\",\"documents\":[3]}", "documents[0]",
                     "must be a string");
}

TEST(what_only_this_dialect_has_needs_it)
{
    NEED_PLUGIN;
    struct lab *l = decoded_as(
        WEIR_OP_CHAT,
        "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"video\", \"video\":1}]}]}");
    CHECK(l->conversation->view.needs & WEIR_CAN_OPAQUE);
    CHECK(contains(dump_conversation(l), "raw=<{\"type\":\"video\", \"video\":1}>"));
    lab_end(l);
}

TEST(documents_are_files_of_the_last_question)
{
    NEED_PLUGIN;
    struct lab *l =
        decoded_as(WEIR_OP_CHAT, "{\"documents\":[{\"id\":\"d\",\"data\":\"one\"}],\"model\":\"m\",\"messages\":[{"
                                 "\"role\":\"user\",\"content\":\"a\"},"
                                 "{\"role\":\"assistant\",\"content\":\"b\"},{\"role\":\"user\",\"content\":\"c\"}]}");
    CHECK(
        contains(dump_conversation(l), "user\n   part 1 text=<c>\n   part 4 data=<b25l> type=<text/plain> name=<d>\n"));
    CHECK(l->conversation->view.needs & WEIR_CAN_FILE_INLINE);
    lab_end(l);
    l = decoded_as(WEIR_OP_CHAT,
                   "{\"documents\":[\"one\"],\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"a\"}]}");
    CHECK(contains(dump_conversation(l), "ext documents=[\"one\"]"));
    lab_end(l);
}

/* ---- towards a provider ---- */

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

static struct conversation *asked(struct lab *l, uint32_t operation, const char *question)
{
    struct conversation *c = conversation_new(l->arena, WEIR_LIT("other"), operation, WEIR_LIT("{}"));
    struct weir_message *m = conversation_message(c, WEIR_ROLE_USER);
    conversation_part(c, &m->parts, WEIR_PART_TEXT)->text = weir_plain(str(question));
    conversation_set_field(c, WEIR_FIELD_MODEL, WEIR_LIT("\"m\""), WEIR_NONE);
    return c;
}

struct expected {
    enum weir_field field;
    const char *value, *wire;
    uint32_t loss;
};

TEST(settings_are_said_or_told_to_be_lost)
{
    NEED_PLUGIN;
    static const struct expected list[] = {
        { WEIR_FIELD_TEMPERATURE, "0.7", "\"temperature\":0.7", 0 },
        { WEIR_FIELD_TEMPERATURE, "1.6", "\"temperature\":1}", WEIR_LOSS_CHANGED },
        { WEIR_FIELD_TEMPERATURE, "1.0", "\"temperature\":1.0", 0 },
        { WEIR_FIELD_TOP_P, "1", "\"p\":0.99", WEIR_LOSS_CHANGED },
        { WEIR_FIELD_TOP_P, "0", "\"p\":0.01", WEIR_LOSS_CHANGED },
        { WEIR_FIELD_TOP_K, "40", "\"k\":40", 0 },
        { WEIR_FIELD_TOP_K, "1000", "\"k\":500", WEIR_LOSS_CHANGED },
        { WEIR_FIELD_FREQUENCY_PENALTY, "-0.5", "\"frequency_penalty\":0}", WEIR_LOSS_CHANGED },
        { WEIR_FIELD_PRESENCE_PENALTY, "2e0", "\"presence_penalty\":1}", WEIR_LOSS_CHANGED },
        { WEIR_FIELD_STOP, "[\"a\",\"b\",\"c\",\"d\",\"e\",\"f\"]",
          "\"stop_sequences\":[\"a\",\"b\",\"c\",\"d\",\"e\"]", WEIR_LOSS_CHANGED },
        { WEIR_FIELD_SEED, "-7", "\"seed\":7", WEIR_LOSS_CHANGED },
        { WEIR_FIELD_SERVICE_TIER, "\"flex\"", "\"priority\":999", WEIR_LOSS_EMULATED },
        { WEIR_FIELD_SERVICE_TIER, "\"priority\"", "]}", WEIR_LOSS_DROPPED },
        { WEIR_FIELD_RESPONSE_FORMAT, "\"json_object\"", "\"response_format\":{\"type\":\"json_object\"}", 0 },
        { WEIR_FIELD_RESPONSE_FORMAT, "{\"name\":\"n\",\"schema\":{\"a\":1}}",
          "{\"type\":\"json_object\",\"json_schema\":{\"a\":1}}", 0 },
        { WEIR_FIELD_REASONING_EFFORT, "\"none\"", "\"thinking\":{\"type\":\"disabled\"}", 0 },
        { WEIR_FIELD_REASONING_EFFORT, "\"low\"", "{\"type\":\"enabled\",\"token_budget\":1024}", WEIR_LOSS_EMULATED },
        { WEIR_FIELD_REASONING_EFFORT, "\"high\"", "\"thinking\":{\"type\":\"enabled\"}", WEIR_LOSS_EMULATED },
        { WEIR_FIELD_REASONING_EFFORT, "\"max\"", "\"thinking\":{\"type\":\"enabled\"}", WEIR_LOSS_CHANGED },
        { WEIR_FIELD_REASONING_EFFORT, "\"default\"", "]}", WEIR_LOSS_DROPPED },
        { WEIR_FIELD_REASONING_BUDGET, "3000", "\"token_budget\":3000", 0 },
        { WEIR_FIELD_REASONING_BUDGET, "0", "\"disabled\"", WEIR_LOSS_EMULATED },
        { WEIR_FIELD_REASONING_BUDGET, "-1", "{\"type\":\"enabled\"}", 0 },
        { WEIR_FIELD_N, "2", "]}", WEIR_LOSS_DROPPED },
        { WEIR_FIELD_MODALITIES, "[\"audio\"]", "]}", WEIR_LOSS_DROPPED },
    };
    for (size_t i = 0; i < sizeof(list) / sizeof(*list); i++) {
        struct lab *up = lab_begin(plugin, 'e', NULL);
        struct conversation *c = asked(up, WEIR_OP_CHAT, "x");
        conversation_set_field(c, list[i].field, str(list[i].value), WEIR_NONE);
        CHECK(contains(encoded(up, c), list[i].wire));
        CHECK_INT(lab_losses[list[i].field], list[i].loss);
        lab_end(up);
    }
}

static struct weir_tool *add_tool(struct conversation *c, const char *name, const char *strict)
{
    struct weir_tool *t = conversation_tool(c);
    t->name = str(name);
    t->strict = str(strict);
    return t;
}

TEST(tools_are_named_chosen_and_strict_as_the_dialect_can)
{
    NEED_PLUGIN;
    struct lab *up = lab_begin(plugin, 'e', NULL);
    struct conversation *c = asked(up, WEIR_OP_CHAT, "x");
    add_tool(c, "get-weather", "true");
    add_tool(c, "2nd", "");
    conversation_set_field(c, WEIR_FIELD_TOOL_CHOICE, WEIR_LIT("{\"name\":\"get-weather\"}"), WEIR_NONE);
    conversation_set_field(c, WEIR_FIELD_RESPONSE_FORMAT, WEIR_LIT("\"json_object\""), WEIR_NONE);
    const char *text = encoded(up, c);
    CHECK(contains(text, "\"name\":\"get_weather_"));
    CHECK(contains(text, "\"parameters\":{\"type\":\"object\",\"properties\":{}}"));
    CHECK(contains(text, "\"tool_choice\":\"REQUIRED\""));
    CHECK(!strstr(text, "2nd") && !strstr(text, "strict_tools") && !strstr(text, "response_format"));
    CHECK_INT(lab_losses[WEIR_FEATURE_TOOLS], WEIR_LOSS_EMULATED);
    CHECK_INT(lab_losses[WEIR_FIELD_TOOL_CHOICE], WEIR_LOSS_EMULATED);
    CHECK_INT(lab_losses[WEIR_FEATURE_TOOL_STRICT], WEIR_LOSS_DROPPED);
    CHECK_INT(lab_losses[WEIR_FIELD_RESPONSE_FORMAT], WEIR_LOSS_DROPPED);
    /* The answer calls it by the name that the client gave it. */
    const char *sent = strstr(text, "get_weather_");
    char body[400];
    snprintf(body, sizeof(body),
             "{\"id\":\"1\",\"message\":{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"c\",\"type\":\"function\","
             "\"function\":"
             "{\"name\":\"%.28s\",\"arguments\":\"{}\"}}]},\"finish_reason\":\"TOOL_CALL\"}",
             sent);
    CHECK_INT(lab_decode_answer(up, WEIR_FRAMING_JSON, str(body), 0, true), 0);
    CHECK(contains(dump_answer(up), "name=<get-weather>"));
    lab_end(up);
}

TEST(what_was_said_before_a_call_is_its_plan)
{
    NEED_PLUGIN;
    struct lab *up = lab_begin(plugin, 'e', NULL);
    struct conversation *c = asked(up, WEIR_OP_CHAT, "x");
    struct weir_message *m = conversation_message(c, WEIR_ROLE_ASSISTANT);
    conversation_part(c, &m->parts, WEIR_PART_THINKING)->text = WEIR_TEXT("hm");
    conversation_part(c, &m->parts, WEIR_PART_TEXT)->text = WEIR_TEXT("I'll look.");
    struct weir_part *call = conversation_part(c, &m->parts, WEIR_PART_TOOL_CALL);
    call->id = WEIR_LIT("toolu_1");
    call->name = WEIR_LIT("f");
    m = conversation_message(c, WEIR_ROLE_USER);
    struct weir_part *result = conversation_part(c, &m->parts, WEIR_PART_TOOL_RESULT);
    result->id = WEIR_LIT("toolu_1");
    conversation_part(c, &result->parts, WEIR_PART_TEXT)->text = WEIR_TEXT("{\"a\":1}");
    struct weir_part *image = conversation_part(c, &result->parts, WEIR_PART_IMAGE);
    image->data = WEIR_TEXT("QQ==");
    image->media_type = WEIR_LIT("image/png");
    conversation_part(c, &m->parts, WEIR_PART_TEXT)->text = WEIR_TEXT("go on");
    const char *text = encoded(up, c);
    CHECK(contains(text,
                   "{\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"hm\"}],\"tool_plan\":"
                   "\"I'll look.\",\"tool_calls\":"
                   "[{\"id\":\"toolu_1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}"));
    CHECK(contains(text, "{\"role\":\"tool\",\"tool_call_id\":\"toolu_1\",\"content\":[{\"type\":\"document\","
                         "\"document\":{\"data\":{\"a\":1}}}]},"
                         "{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/"
                         "png;base64,QQ==\"}}]},"
                         "{\"role\":\"user\",\"content\":\"go on\"}"));
    CHECK_INT(lab_losses[WEIR_FEATURE_RESULT_MEDIA], WEIR_LOSS_EMULATED);
    lab_end(up);
}

TEST(a_text_file_is_a_document_and_another_is_refused)
{
    NEED_PLUGIN;
    struct lab *up = lab_begin(plugin, 'e', NULL);
    struct conversation *c = asked(up, WEIR_OP_CHAT, "x");
    struct weir_part *file = conversation_part(c, &c->view.messages->parts, WEIR_PART_FILE);
    file->media_type = WEIR_LIT("text/markdown");
    file->name = WEIR_LIT("a.md");
    file->data = WEIR_TEXT("aGk=");
    CHECK(contains(encoded(up, c), "\"documents\":[{\"data\":{\"title\":\"a.md\",\"text\":\"hi\"}}]"));
    CHECK_INT(lab_losses[WEIR_FEATURE_FILE_DATA], WEIR_LOSS_EMULATED);
    file->media_type = WEIR_LIT("application/pdf");
    CHECK_STR(encoded(up, c), "");
    CHECK_INT(up->error.error_class, WEIR_ERROR_UNSUPPORTED);
    lab_end(up);
}

/* ---- splices ---- */

TEST(edits_stand_in_the_clients_bytes)
{
    NEED_PLUGIN;
    const struct weir_edit edits[] = {
        { .size = sizeof(*edits), .kind = WEIR_EDIT_FIELD, .field = WEIR_FIELD_TOP_P, .value = WEIR_LIT("0.5") },
        { .size = sizeof(*edits), .kind = WEIR_EDIT_PREPEND_SYSTEM, .value = WEIR_LIT("Be \"kind\".") },
        { .size = sizeof(*edits), .kind = WEIR_EDIT_ASK_USAGE },
    };
    struct lab *l = decoded_as(
        WEIR_OP_CHAT, "{\"model\":\"m\",\"seed\":null,\"messages\": [ {\"role\":\"user\",\"content\":\"x\"}]}");
    struct weir_str *pieces;
    uint32_t n;
    struct weir_out o = { 0 };
    struct scratch s = scratch_enter();
    for (size_t i = 0; i < sizeof(edits) / sizeof(*edits); i++)
        CHECK_INT(plugin->codec->splice(l->self, &l->call, l->state, &edits[i]), 0);
    struct weir_edit odd = edits[0];
    odd.field = WEIR_FIELD_SEED;
    CHECK_INT(plugin->codec->splice(l->self, &l->call, l->state, &odd), -1); /* it would stand there twice */
    scratch_leave(s);
    CHECK_INT(splices_apply(&l->splices, l->conversation->view.body, &pieces, &n), 0);
    for (uint32_t i = 0; i < n; i++)
        out_write(&o, pieces[i]);
    CHECK_STR(lab_cstr(l, out_bytes(&o)), "{\"p\":0.5,\"model\":\"m\",\"seed\":null,\"messages\": "
                                          "[{\"role\":\"system\",\"content\":\"Be \\\"kind\\\".\"}, "
                                          "{\"role\":\"user\",\"content\":\"x\"}]}");
    out_free(&o);
    lab_end(l);
}

/* ---- answers ---- */

static struct lab *answered(const char *body, enum weir_framing framing)
{
    struct lab *l = lab_begin(plugin, 'e', NULL);
    lab_decode_answer(l, framing, str(body), 0, true);
    return l;
}

TEST(a_stream_without_its_end_is_broken)
{
    NEED_PLUGIN;
    const char *start =
        "event: message-start\ndata: {\"id\":\"1\",\"type\":\"message-start\",\"delta\":{\"message\":{}}}\n\n";
    char body[600];
    snprintf(body, sizeof(body), "%sdata: [DONE]\n\n", start);
    struct lab *l = answered(body, WEIR_FRAMING_SSE);
    CHECK(!l->has_ended);
    lab_end(l);
    snprintf(body, sizeof(body),
             "%sevent: message-end\ndata: {\"type\":\"message-end\",\"delta\":{\"finish_reason\":\"COMPLETE\"}}\n\n",
             start);
    l = answered(body, WEIR_FRAMING_SSE);
    CHECK(l->has_ended);
    lab_end(l);
}

TEST(an_error_in_a_200_is_an_error)
{
    NEED_PLUGIN;
    struct lab *l =
        answered("data: {\"type\":\"message-end\",\"delta\":{\"finish_reason\":\"TIMEOUT\"}}\n\n", WEIR_FRAMING_SSE);
    CHECK(l->has_error);
    CHECK_INT(l->answer_error.error_class, WEIR_ERROR_TIMEOUT);
    lab_end(l);
    l = answered("{\"message\":\"something went wrong\"}", WEIR_FRAMING_JSON);
    CHECK(l->has_error);
    CHECK_STR(lab_cstr(l, l->answer_error.message), "something went wrong");
    lab_end(l);
}

TEST(billed_units_count_only_where_nothing_else_is_said)
{
    NEED_PLUGIN;
    struct lab *l = answered(
        "{\"id\":\"1\",\"message\":{\"role\":\"assistant\",\"content\":[]},\"finish_reason\":\"COMPLETE\","
        "\"usage\":{\"billed_units\":{\"input_tokens\":8.0,\"output_tokens\":3},\"tokens\":{\"input_tokens\":100}}}",
        WEIR_FRAMING_JSON);
    const struct weir_usage *u = &collector_answer(l->collector)->usage;
    CHECK_INT(u->input, 100);
    CHECK_INT(u->output, 3);
    CHECK(contains(lab_cstr(l, out_bytes(&l->notes)), "billed_units={\"input_tokens\":8.0,\"output_tokens\":3}"));
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

TEST(what_went_out_as_it_came_is_remembered)
{
    NEED_PLUGIN;
    struct lab *l = lab_begin(plugin, 'i', NULL);
    tell(l, (struct weir_event){ .kind = WEIR_EVENT_START, .flags = WEIR_EVENT_SILENT, .id = WEIR_LIT("a") });
    tell(l, (struct weir_event){
                .kind = WEIR_EVENT_BLOCK_START, .flags = WEIR_EVENT_SILENT, .block_kind = WEIR_BLOCK_THINKING });
    tell(l, (struct weir_event){ .kind = WEIR_EVENT_DELTA,
                                 .flags = WEIR_EVENT_SILENT,
                                 .block_kind = WEIR_BLOCK_THINKING,
                                 .delta_kind = WEIR_DELTA_TEXT,
                                 .text = WEIR_TEXT("hm") });
    tell(l, (struct weir_event){
                .kind = WEIR_EVENT_BLOCK_STOP, .flags = WEIR_EVENT_SILENT, .block_kind = WEIR_BLOCK_THINKING });
    tell(l, (struct weir_event){ .kind = WEIR_EVENT_BLOCK_START, .block = 1, .block_kind = WEIR_BLOCK_TEXT });
    tell(l, (struct weir_event){ .kind = WEIR_EVENT_DELTA,
                                 .block = 1,
                                 .block_kind = WEIR_BLOCK_TEXT,
                                 .delta_kind = WEIR_DELTA_TEXT,
                                 .text = WEIR_TEXT("x") });
    tell(l, (struct weir_event){ .kind = WEIR_EVENT_DELTA,
                                 .block = 1,
                                 .block_kind = WEIR_BLOCK_TEXT,
                                 .delta_kind = WEIR_DELTA_CITATION,
                                 .dialect = WEIR_LIT("other"),
                                 .text = WEIR_TEXT("{}") });
    tell(l, (struct weir_event){ .kind = WEIR_EVENT_DELTA,
                                 .block = 1,
                                 .block_kind = WEIR_BLOCK_TEXT,
                                 .delta_kind = WEIR_DELTA_CITATION,
                                 .dialect = WEIR_LIT("cohere"),
                                 .text = WEIR_TEXT("{\n\"a\":1}") });
    tell(l, (struct weir_event){ .kind = WEIR_EVENT_BLOCK_STOP, .block = 1, .block_kind = WEIR_BLOCK_TEXT });
    const struct weir_error error = { .size = sizeof(error),
                                      .error_class = WEIR_ERROR_BROKEN,
                                      .message = WEIR_LIT("It broke.") };
    tell(l, (struct weir_event){ .kind = WEIR_EVENT_ERROR, .error = &error });
    CHECK_STR(
        lab_cstr(l, out_bytes(&l->told)),
        "event: content-start\ndata: "
        "{\"type\":\"content-start\",\"index\":1,\"delta\":{\"message\":{\"content\":{\"type\":\"text\",\"text\":\"\"}}"
        "}}\n\n"
        "event: content-delta\ndata: "
        "{\"type\":\"content-delta\",\"index\":1,\"delta\":{\"message\":{\"content\":{\"text\":\"x\"}}}}\n\n"
        "event: citation-start\ndata: "
        "{\"type\":\"citation-start\",\"index\":0,\"delta\":{\"message\":{\"citations\":{\"a\":1}}}}\n\n"
        "event: citation-end\ndata: {\"type\":\"citation-end\",\"index\":0}\n\n"
        "event: content-end\ndata: {\"type\":\"content-end\",\"index\":1}\n\n"
        "event: message-end\ndata: "
        "{\"type\":\"message-end\",\"id\":\"a\",\"delta\":{\"finish_reason\":\"ERROR\",\"error\":\"It broke.\"}}\n\n");
    CHECK_INT(lab_losses[WEIR_FEATURE_ANSWER_CITATIONS], WEIR_LOSS_DROPPED);
    lab_end(l);
}

/* What another dialect's provider signed comes back from the client's ids: to the thought, and to the call. */
TEST(signatures_travel_in_the_ids_of_calls)
{
    NEED_PLUGIN;
    struct lab *l = lab_begin(plugin, 'i', NULL);
    tell(l, (struct weir_event){ .kind = WEIR_EVENT_START, .id = WEIR_LIT("a") });
    tell(l, (struct weir_event){ .kind = WEIR_EVENT_BLOCK_START, .block_kind = WEIR_BLOCK_THINKING });
    tell(l, (struct weir_event){ .kind = WEIR_EVENT_DELTA,
                                 .block_kind = WEIR_BLOCK_THINKING,
                                 .delta_kind = WEIR_DELTA_SIGNATURE,
                                 .dialect = WEIR_LIT("signer"),
                                 .text = WEIR_TEXT("S/1") });
    tell(l, (struct weir_event){ .kind = WEIR_EVENT_DELTA,
                                 .block_kind = WEIR_BLOCK_THINKING,
                                 .delta_kind = WEIR_DELTA_SIGNATURE,
                                 .dialect = WEIR_LIT("signer"),
                                 .text = WEIR_TEXT("+=") });
    tell(l, (struct weir_event){ .kind = WEIR_EVENT_BLOCK_STOP, .block_kind = WEIR_BLOCK_THINKING });
    tell(l, (struct weir_event){ .kind = WEIR_EVENT_BLOCK_START,
                                 .block = 1,
                                 .block_kind = WEIR_BLOCK_TOOL_CALL,
                                 .id = WEIR_LIT("c1"),
                                 .name = WEIR_LIT("f") });
    tell(l, (struct weir_event){ .kind = WEIR_EVENT_DELTA,
                                 .block = 1,
                                 .block_kind = WEIR_BLOCK_TOOL_CALL,
                                 .delta_kind = WEIR_DELTA_ARGUMENTS,
                                 .text = WEIR_TEXT("{}") });
    CHECK(!strstr(lab_cstr(l, out_bytes(&l->told)), "tool-call-start")); /* its signature may come yet */
    tell(l, (struct weir_event){ .kind = WEIR_EVENT_DELTA,
                                 .block = 1,
                                 .block_kind = WEIR_BLOCK_TOOL_CALL,
                                 .delta_kind = WEIR_DELTA_SIGNATURE,
                                 .dialect = WEIR_LIT("signer"),
                                 .text = WEIR_TEXT("S2") });
    tell(l, (struct weir_event){ .kind = WEIR_EVENT_BLOCK_STOP, .block = 1, .block_kind = WEIR_BLOCK_TOOL_CALL });
    CHECK(contains(lab_cstr(l, out_bytes(&l->told)),
                   "\"tool_calls\":{\"id\":\"c1~weir1~signer~t~S/1+=~weir1~signer~c~S2\""));
    CHECK_INT(lab_losses[WEIR_FEATURE_ANSWER_SIGNATURE], WEIR_LOSS_EMULATED);
    lab_end(l);

    l = decoded_as(
        WEIR_OP_CHAT,
        "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"},{\"role\":\"assistant\",\"content\":[{"
        "\"type\":\"thinking\",\"thinking\":\"hm\"}],"
        "\"tool_calls\":[{\"id\":\"c1~weir1~signer~t~S/"
        "1+=~weir1~signer~c~S2\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},"
        "{\"role\":\"tool\",\"tool_call_id\":\"c1~weir1~signer~t~S/1+=~weir1~signer~c~S2\",\"content\":\"4\"}]}");
    CHECK(contains(dump_conversation(l), "part 7 text=<hm> signature=<S/1+=>\n   part 5 text=<{}> id=<c1> name=<f> "
                                         "signature=<S2>\ntool\n   part 6 id=<c1>\n"));
    const struct weir_edit anew = { .size = sizeof(anew), .kind = WEIR_EDIT_ANEW };
    CHECK_INT(plugin->codec->splice(l->self, &l->call, l->state, &anew), 0);
    struct lab *up = lab_begin(plugin, 'e', l->conversation);
    CHECK(!strstr(encoded(up, l->conversation), "weir1"));
    CHECK_INT(lab_losses[WEIR_FEATURE_SIGNATURE], WEIR_LOSS_DROPPED);
    lab_end(up);
    lab_end(l);
    l = decoded_as(WEIR_OP_CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}");
    CHECK_INT(plugin->codec->splice(l->self, &l->call, l->state, &anew), -1);
    lab_end(l);
}

/* Marks that somebody made up do no harm. */
TEST(a_broken_mark_is_no_signature)
{
    NEED_PLUGIN;
    static const char *const ids[] = { "c~weir1~",     "c~weir1~x",    "c~weir1~~",
                                       "c~weir1~a~t~", "~weir1~a~t~b", "c~weir1~a~q" };
    for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++) {
        char body[400];
        snprintf(body, sizeof(body),
                 "{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"%s\",\"type\":"
                 "\"function\",\"function\":{\"name\":\"f\"}}]}]}",
                 ids[i]);
        struct lab *l = decoded_as(WEIR_OP_CHAT, body);
        CHECK(!l->has_failed && !strstr(dump_conversation(l), "signature"));
        lab_end(l);
    }
}

/* ---- embeddings and ranks ---- */

/* What the client's codec makes of what the provider's codec read. */
static const char *told_to_client(struct lab *client, struct lab *up)
{
    struct weir_out out = { 0 };
    struct scratch s = scratch_enter();
    int rc =
        plugin->codec->encode_answer(client->self, &client->call, client->state, collector_answer(up->collector), &out);
    scratch_leave(s);
    const char *text = rc == 0 && out_complete(&out) ? lab_cstr(client, out_bytes(&out)) : "";
    out_free(&out);
    return text;
}

TEST(embeddings_cross_in_both_directions)
{
    NEED_PLUGIN;
    struct lab *client = decoded_as(WEIR_OP_EMBED, "{\"model\":\"e\",\"texts\":[\"a\",\"b\"],\"input_type\":\"search_"
                                                   "query\",\"embedding_types\":[\"float\",\"int8\"],"
                                                   "\"output_dimension\":256,\"truncate\":\"NONE\",\"max_tokens\":9}");
    CHECK_STR(dump_conversation(client),
              "field 0=\"e\"\nfield 26=256\nfield 27=\"float\"\nfield 28=\"query\"\nfield 29=\"none\"\n"
              "user\n   part 1 text=<a>\nuser\n   part 1 text=<b>\n"
              "ext embedding_types=[\"float\",\"int8\"]\next max_tokens=9\n");
    struct lab *up = lab_begin(plugin, 'e', client->conversation);
    CHECK_STR(encoded(up, client->conversation), "{\"model\":\"e\",\"texts\":[\"a\",\"b\"],\"input_type\":\"search_"
                                                 "query\",\"output_dimension\":256,\"truncate\":\"NONE\","
                                                 "\"embedding_types\":[\"float\",\"int8\"],\"max_tokens\":9}");
    CHECK_INT(lab_decode_answer(up, WEIR_FRAMING_JSON,
                                str("{\"id\":\"i\",\"embeddings\":{\"float\":[[0.5,1],[2,3e-4]],\"int8\":[[1,2],[3,4]]}"
                                    ",\"meta\":{\"billed_units\":{\"input_tokens\":7}}}"),
                                0, true),
              0);
    CHECK(contains(
        told_to_client(client, up),
        "{\"id\":\"i\",\"embeddings\":{\"float\":[[0.5,1],[2,3e-4]],\"int8\":[[1,2],[3,4]]},\"texts\":[\"a\",\"b\"],"
        "\"meta\":{\"api_version\":{\"version\":\"2\"},\"billed_units\":{\"input_tokens\":7}},\"response_type\":"
        "\"embeddings_by_type\"}"));
    lab_end(up);
    lab_end(client);
}

/* Another dialect's answer: vectors in any order, and numbers where the client wants base64. */
TEST(vectors_stand_where_their_inputs_stood)
{
    NEED_PLUGIN;
    struct lab *client = decoded_as(
        WEIR_OP_EMBED,
        "{\"model\":\"e\",\"texts\":[\"a\",\"b\"],\"input_type\":\"search_query\",\"embedding_types\":[\"base64\"]}");
    struct lab *up = lab_begin(plugin, 'e', client->conversation);
    static const char *const vectors[] = { "[1,-2.5]", "[0.5]" };
    lab_emit(&up->call, &(struct weir_event){ .size = sizeof(struct weir_event), .kind = WEIR_EVENT_START });
    for (uint32_t i = 2; i-- > 0;) {
        struct weir_event e = {
            .size = sizeof(e), .kind = WEIR_EVENT_BLOCK_START, .choice = i, .block_kind = WEIR_BLOCK_EMBEDDING
        };
        lab_emit(&up->call, &e);
        e.kind = WEIR_EVENT_DELTA;
        e.delta_kind = WEIR_DELTA_TEXT;
        e.text = weir_plain(str(vectors[i]));
        lab_emit(&up->call, &e);
        e.kind = WEIR_EVENT_BLOCK_STOP;
        lab_emit(&up->call, &e);
    }
    CHECK(contains(told_to_client(client, up), "\"embeddings\":{\"base64\":[\"AACAPwAAIMA=\",\"AAAAPw==\"]}"));
    lab_end(up);
    lab_end(client);
}

TEST(an_input_type_is_said_where_nobody_said_one)
{
    NEED_PLUGIN;
    struct lab *up = lab_begin(plugin, 'e', NULL);
    struct conversation *c = asked(up, WEIR_OP_EMBED, "a");
    CHECK_STR(encoded(up, c),
              "{\"model\":\"m\",\"texts\":[\"a\"],\"input_type\":\"search_document\",\"embedding_types\":[\"float\"]}");
    struct weir_part *image = conversation_part(c, &c->view.messages->parts, WEIR_PART_IMAGE);
    image->url = WEIR_LIT("https://example.com/a.png");
    conversation_set_field(c, WEIR_FIELD_INPUT_TYPE, WEIR_LIT("\"RETRIEVAL\""), WEIR_NONE);
    CHECK(contains(encoded(up, c), "\"inputs\":[{\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"image_"
                                   "url\",\"image_url\":{\"url\":\"https://example.com/a.png\"}}]}],"
                                   "\"input_type\":\"search_document\""));
    CHECK_INT(lab_losses[WEIR_FIELD_INPUT_TYPE], WEIR_LOSS_CHANGED);
    lab_end(up);
}

TEST(ranks_cross_in_both_directions)
{
    NEED_PLUGIN;
    struct lab *client = decoded_as(WEIR_OP_RERANK, "{\"model\":\"r\",\"documents\":[\"a\",{\"text\":\"b\",\"x\":1}],"
                                                    "\"query\":\"q\",\"top_n\":2,\"return_documents\":true}");
    CHECK_STR(dump_conversation(client), "field 0=\"r\"\nfield 30=2\nfield 31=true\nuser\n   part 1 text=<q>\nuser\n   "
                                         "part 1 text=<a>\nuser\n   part 1 text=<b>\n");
    struct lab *up = lab_begin(plugin, 'e', client->conversation);
    CHECK_STR(encoded(up, client->conversation),
              "{\"model\":\"r\",\"query\":\"q\",\"documents\":[\"a\",\"b\"],\"top_n\":2}");
    CHECK_INT(lab_decode_answer(up, WEIR_FRAMING_JSON,
                                str("{\"id\":\"i\",\"results\":[{\"index\":1,\"relevance_score\":0.75},{\"index\":0,"
                                    "\"relevance_score\":1e-3}],"
                                    "\"meta\":{\"billed_units\":{\"search_units\":1}}}"),
                                0, true),
              0);
    CHECK_STR(told_to_client(client, up),
              "{\"id\":\"i\",\"results\":[{\"index\":1,\"relevance_score\":0.75,\"document\":{\"text\":\"b\"}},"
              "{\"index\":0,\"relevance_score\":1e-3,\"document\":{\"text\":\"a\"}}],\"meta\":{\"api_version\":{"
              "\"version\":\"2\"}}}");
    CHECK(contains(lab_cstr(up, out_bytes(&up->notes)), "billed_units={\"search_units\":1}"));
    lab_end(up);
    lab_end(client);
}

TEST(jina_ranks_too)
{
    NEED_PLUGIN;
    struct entry {
        int32_t rerank;
        const char *input_type;
    };
    static const struct entry jina = { 1, "" };
    struct lab *up = lab_begin(plugin, 'e', NULL);
    struct conversation *c = asked(up, WEIR_OP_RERANK, "q");
    struct weir_message *m = conversation_message(c, WEIR_ROLE_USER);
    conversation_part(c, &m->parts, WEIR_PART_TEXT)->text = WEIR_TEXT("a");
    conversation_set_field(c, WEIR_FIELD_TOP_N, WEIR_LIT("1"), WEIR_NONE);
    up->conversation = c;
    CHECK_INT(plugin->codec->request_head(up->self, &up->call, up->state, NULL), 0);
    CHECK_INT(plugin->codec->request_head(up->self, &up->call, up->state, &jina), 0);
    CHECK_STR(lab_cstr(up, out_bytes(&up->head)), "POST /v2/rerank\nPOST /v1/rerank\n");
    CHECK_STR(encoded(up, c),
              "{\"model\":\"m\",\"query\":\"q\",\"documents\":[\"a\"],\"top_n\":1,\"return_documents\":false}");
    CHECK_INT(lab_decode_answer(up, WEIR_FRAMING_JSON,
                                str("{\"model\":\"j\",\"results\":[{\"relevance_score\":0.4,\"index\":0}],\"usage\":{"
                                    "\"total_tokens\":26}}"),
                                0, true),
              0);
    CHECK_INT(collector_answer(up->collector)->usage.input, 26);
    CHECK(contains(dump_answer(up), "id=<0> text=<0.4>"));
    lab_end(up);
}

struct tally {
    uint32_t operation;
    int seen, failed;
};

/* A recorded request is understood; what the provider answered, told to a client and read again, is the same. */
static void check_exchange(void *arg, const struct recording *r, const char *path)
{
    struct tally *t = arg;
    if (r->request.n && r->request.p[0] != '{')
        return;
    t->seen++;
    struct lab *client = lab_begin(plugin, 'i', NULL);
    client->view.operation = t->operation;
    int rc = lab_decode_request(client, r->request);
    struct lab *up = lab_begin(plugin, 'e', client->conversation),
               *again = lab_begin(plugin, 'e', client->conversation);
    rc |= lab_decode_answer(up, WEIR_FRAMING_JSON, r->response, 0, true);
    rc |= lab_decode_answer(again, WEIR_FRAMING_JSON, str(rc == 0 ? told_to_client(client, up) : ""), 0, true);
    if (rc != 0 || strcmp(dump_answer(up), dump_answer(again)) != 0) {
        t->failed++;
        printf("  %s: %.*s\n", path, S(client->error.message));
    }
    lab_end(again);
    lab_end(up);
    lab_end(client);
}

static void check_recorded(uint32_t operation, const char *codec)
{
    struct tally t = { operation, 0, 0 };
    if (recordings_each(codec, check_exchange, &t) == 0)
        SKIP("no recordings in ../shared (or $WEIR_SHARED)");
    printf("  %s: %d exchanges\n", codec, t.seen);
    CHECK(t.seen > 0);
    CHECK_INT(t.failed, 0);
}

TEST(recorded_embeddings)
{
    NEED_PLUGIN;
    check_recorded(WEIR_OP_EMBED, "cohere embed");
}

TEST(recorded_ranks)
{
    NEED_PLUGIN;
    check_recorded(WEIR_OP_RERANK, "cohere rerank");
}

/* ---- errors ---- */

static void check_error(int status, const char *body, uint32_t class)
{
    struct lab *l = lab_begin(plugin, 'e', NULL);
    struct weir_error e = { .size = sizeof(e) };
    l->response_headers[0] = "retry-after";
    l->response_headers[1] = "7";
    CHECK_INT(plugin->codec->decode_error(l->self, &l->call, l->state, status, str(body), &e), 0);
    if (e.error_class != class)
        printf("  %d %s\n", status, body);
    CHECK_INT(e.error_class, class);
    CHECK_INT(e.retry_after_ms, class == WEIR_ERROR_QUOTA ? 0 : 7000);
    lab_end(l);
}

TEST(errors_have_their_class)
{
    NEED_PLUGIN;
    check_error(400, "{\"message\":\"invalid type\"}", WEIR_ERROR_BAD_REQUEST);
    check_error(400, "{\"message\":\"too many tokens: total number of tokens in the prompt cannot exceed 4081\"}",
                WEIR_ERROR_CONTEXT_LENGTH);
    check_error(401, "{\"message\":\"invalid api token\"}", WEIR_ERROR_AUTHENTICATION);
    check_error(402, "{\"message\":\"add a card\"}", WEIR_ERROR_QUOTA);
    check_error(403, "{\"message\":\"no\"}", WEIR_ERROR_PERMISSION);
    check_error(404, "{\"message\":\"model 'x' not found\"}", WEIR_ERROR_NOT_FOUND);
    check_error(422, "{\"message\":\"cannot process\"}", WEIR_ERROR_BAD_REQUEST);
    check_error(429, "{\"message\":\"limited to 20 API calls / minute\"}", WEIR_ERROR_RATE_LIMITED);
    check_error(429, "{\"message\":\"limited to 1000 API calls / month\"}", WEIR_ERROR_QUOTA);
    check_error(498, "{\"message\":\"blocked input\"}", WEIR_ERROR_CONTENT_POLICY);
    check_error(498, "{\"message\":\"invalid token\"}", WEIR_ERROR_AUTHENTICATION);
    check_error(499, "{\"message\":\"request cancelled\"}", WEIR_ERROR_SERVER);
    check_error(503, "{\"data\":\"string\"}", WEIR_ERROR_OVERLOADED);
    check_error(504, "<html>", WEIR_ERROR_TIMEOUT);
}
