/* The responses codec in pieces: what recordings and pairs don't show. Splices into a client's bytes, marked signatures, what a
 * request of another dialect becomes, the ladder of a stream. */
#include "codec_lab.h"
#include "test.h"

static const struct weir_plugin *codec(void)
{
    static const struct weir_plugin *plugin;
    plugin = plugin ? plugin : lab_plugin("responses");
    return plugin;
}

static const char *spliced(const char *body, uint32_t kind, uint32_t field, const char *value)
{
    static char text[4096];
    struct lab *l = lab_begin(codec(), 'i', NULL);
    struct weir_edit edit = { .size = sizeof(edit), .kind = kind, .field = field, .value = weir_cstr(value) };
    struct weir_str *pieces = NULL;
    uint32_t n = 0;
    CHECK_INT(lab_decode_request(l, weir_cstr(body)), 0);
    struct scratch before = scratch_enter();
    int rc = l->codec->splice(l->self, &l->call, l->state, &edit);
    scratch_leave(before);
    text[0] = '\0';
    if (rc == 0 && splices_apply(&l->splices, l->conversation->view.body, &pieces, &n) == 0)
        for (uint32_t i = 0; i < n; i++)
            snprintf(text + strlen(text), sizeof(text) - strlen(text), "%.*s", (int)pieces[i].n, pieces[i].p);
    lab_end(l);
    return text;
}

TEST(edits_go_into_the_bytes)
{
    static const struct {
        const char *before;
        uint32_t kind, field;
        const char *value, *after;
    } cases[] = {
        { "{\"model\":\"a\",\"input\":\"x\"}", WEIR_EDIT_FIELD, WEIR_FIELD_TEMPERATURE, "0.5",
          "{\"temperature\":0.5,\"model\":\"a\",\"input\":\"x\"}" },
        { "{\"model\":\"a\",\"input\":\"x\",\"max_output_tokens\":9}", WEIR_EDIT_FIELD, WEIR_FIELD_MAX_TOKENS, "20",
          "{\"model\":\"a\",\"input\":\"x\",\"max_output_tokens\":20}" },
        { "{\"model\":\"a\",\"input\":\"x\",\"reasoning\":{\"summary\":\"auto\"}}", WEIR_EDIT_FIELD, WEIR_FIELD_REASONING_EFFORT,
          "\"low\"", "{\"model\":\"a\",\"input\":\"x\",\"reasoning\":{\"effort\":\"low\",\"summary\":\"auto\"}}" },
        { "{\"model\":\"a\",\"input\":\"x\",\"reasoning\":{}}", WEIR_EDIT_FIELD, WEIR_FIELD_REASONING_EFFORT, "\"low\"",
          "{\"model\":\"a\",\"input\":\"x\",\"reasoning\":{\"effort\":\"low\"}}" },
        { "{\"model\":\"a\",\"input\":\"x\",\"text\":null}", WEIR_EDIT_FIELD, WEIR_FIELD_VERBOSITY, "\"low\"",
          "{\"model\":\"a\",\"input\":\"x\",\"text\":{\"verbosity\":\"low\"}}" },
        { "{\"model\":\"a\",\"input\":\"x\"}", WEIR_EDIT_FIELD, WEIR_FIELD_TOOL_CHOICE, "{\"name\":\"f\"}",
          "{\"tool_choice\":{\"type\":\"function\",\"name\":\"f\"},\"model\":\"a\",\"input\":\"x\"}" },
        { "{\"model\":\"a\",\"input\":\"x\"}", WEIR_EDIT_PREPEND_SYSTEM, 0, "say \"hi\"",
          "{\"instructions\":\"say \\\"hi\\\"\",\"model\":\"a\",\"input\":\"x\"}" },
        { "{\"model\":\"a\",\"input\":\"x\",\"instructions\":\"be\"}", WEIR_EDIT_PREPEND_SYSTEM, 0, "a",
          "{\"model\":\"a\",\"input\":\"x\",\"instructions\":\"a\\n\\nbe\"}" },
        { "{\"model\":\"a\",\"input\":\"x\",\"instructions\":null}", WEIR_EDIT_PREPEND_SYSTEM, 0, "a",
          "{\"model\":\"a\",\"input\":\"x\",\"instructions\":\"a\"}" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        CHECK_STR(spliced(cases[i].before, cases[i].kind, cases[i].field, cases[i].value), cases[i].after);
}

static const char carried[] =
    "{\"model\":\"m\",\"input\":[{\"role\":\"user\",\"content\":\"hi\"},"
    "{\"id\":\"rs_weir_a\",\"type\":\"reasoning\",\"summary\":[{\"type\":\"summary_text\",\"text\":\"hm\"}],"
    "\"encrypted_content\":\"weir:anthropic:c2ln\"},"
    "{\"type\":\"function_call\",\"call_id\":\"call:1\",\"name\":\"f\",\"arguments\":\"{}\"},"
    "{\"id\":\"rs_weir_b\",\"type\":\"reasoning\",\"summary\":[],\"encrypted_content\":\"weir-call:gemini:6:call:1Z2Vt\"},"
    "{\"type\":\"function_call_output\",\"call_id\":\"call:1\",\"output\":\"ok\"}]}";

TEST(marked_signatures_are_put_where_they_belong)
{
    struct lab *l = lab_begin(codec(), 'i', NULL);
    CHECK_INT(lab_decode_request(l, weir_cstr(carried)), 0);
    struct weir_part *thought = l->conversation->view.messages->next->parts, *call = thought->next;
    CHECK_INT(thought->kind, WEIR_PART_THINKING);
    CHECK(weir_is(thought->dialect, "anthropic") && memcmp(thought->signature.p, "c2ln", 4) == 0);
    CHECK_INT(call->kind, WEIR_PART_TOOL_CALL);
    CHECK(weir_is(call->dialect, "gemini") && call->signature.n == 4 && memcmp(call->signature.p, "Z2Vt", 4) == 0);
    CHECK(!call->next);
    struct weir_edit anew = { .size = sizeof(anew), .kind = WEIR_EDIT_ANEW };
    CHECK_INT(l->codec->splice(l->self, &l->call, l->state, &anew), 0);
    lab_end(l);
}

TEST(a_request_of_its_own_goes_as_it_came)
{
    struct lab *l = lab_begin(codec(), 'i', NULL);
    struct weir_edit anew = { .size = sizeof(anew), .kind = WEIR_EDIT_ANEW };
    CHECK_INT(lab_decode_request(l, WEIR_LIT("{\"model\":\"m\",\"input\":[{\"type\":\"reasoning\",\"id\":\"rs_1\",\"summary\":[],"
                                             "\"encrypted_content\":\"gAAAA\"},{\"role\":\"user\",\"content\":\"x\"}]}")),
              0);
    CHECK(l->codec->splice(l->self, &l->call, l->state, &anew) < 0);
    lab_end(l);
}

/* A call of another provider, told in a stream, and read back: its signature follows it and finds it again. */
TEST(a_calls_signature_survives_the_stream)
{
    static const struct weir_usage usage = { sizeof(usage), 0, 1, 2, -1, -1, -1, -1, -1, -1 };
    struct lab *client = lab_begin(codec(), 'i', NULL), *back = lab_begin(codec(), 'e', NULL);
    CHECK_INT(lab_decode_request(client, WEIR_LIT("{\"model\":\"m\",\"input\":\"x\"}")), 0);
    struct weir_event events[] = {
        { .kind = WEIR_EVENT_START, .id = WEIR_LIT("a"), .name = WEIR_LIT("m") },
        { .kind = WEIR_EVENT_BLOCK_START, .block_kind = WEIR_BLOCK_TOOL_CALL, .id = WEIR_LIT("c:1"), .name = WEIR_LIT("f") },
        { .kind = WEIR_EVENT_DELTA, .block_kind = WEIR_BLOCK_TOOL_CALL, .delta_kind = WEIR_DELTA_ARGUMENTS, .text = WEIR_TEXT("{\"a\":\"\xc3\xbc\"}") },
        { .kind = WEIR_EVENT_DELTA, .block_kind = WEIR_BLOCK_TOOL_CALL, .delta_kind = WEIR_DELTA_SIGNATURE, .text = WEIR_TEXT("c2ln"), .dialect = WEIR_LIT("gemini") },
        { .kind = WEIR_EVENT_BLOCK_STOP, .block_kind = WEIR_BLOCK_TOOL_CALL },
        { .kind = WEIR_EVENT_FINISH, .finish = WEIR_FINISH_TOOL_CALLS },
        { .kind = WEIR_EVENT_USAGE, .usage = &usage },
        { .kind = WEIR_EVENT_END },
    };
    for (size_t i = 0; i < sizeof(events) / sizeof(*events); i++) {
        struct scratch before = scratch_enter();
        events[i].size = sizeof(events[i]);
        CHECK_INT(client->codec->encode_event(client->self, &client->call, client->state, &events[i], &client->told), 0);
        scratch_leave(before);
    }
    CHECK_INT(lab_decode_answer(back, WEIR_FRAMING_SSE, out_bytes(&client->told), 1, true), 0);
    CHECK_STR(dump_answer(back), "id=a model=m\nblock 0/0 kind 4 id=<c:1> name=<f> text=<{\"a\":\"\xc3\xbc\"}> signature=<c2ln>\n"
                                 "finish 0=4\nusage 1 2 cached 0 -1 reasoning 0\n");
    lab_end(back);
    lab_end(client);
}

/* Bytes that are over without the response at their end were cut, wherever. */
TEST(only_the_response_ends_a_stream)
{
    static const char body[] =
        "data: {\"type\":\"response.created\",\"response\":{\"id\":\"r\",\"model\":\"m\"}}\n\n"
        "data: {\"type\":\"response.output_text.delta\",\"output_index\":0,\"content_index\":0,\"delta\":\"hi\"}\n\n"
        "data: {\"type\":\"response.completed\",\"response\":{\"id\":\"r\",\"status\":\"completed\",\"output\":[]}}\n\n";
    for (size_t n = 0; n < sizeof(body) - 1; n++) {
        struct lab *l = lab_begin(codec(), 'e', NULL);
        bool is_whole = lab_decode_answer(l, WEIR_FRAMING_SSE, (struct weir_str){ body, n }, 0, true) == 0;
        CHECK(!is_whole || n >= sizeof(body) - 3); /* only its last line ends may be missing */
        lab_end(l);
    }
}

/* ---- requests of other dialects ---- */

/* The body that a provider gets for what a client of the openai dialect asked; it lives until the next. */
static const char *sent_for(const char *body)
{
    static char text[4096];
    const struct weir_plugin *openai = lab_plugin("openai");
    struct lab *client = lab_begin(openai, 'i', NULL), *up;
    CHECK_INT(lab_decode_request(client, weir_cstr(body)), 0);
    up = lab_begin(codec(), 'e', client->conversation);
    struct scratch before = scratch_enter();
    CHECK_INT(codec()->codec->encode_request(up->self, &up->call, up->state, &client->conversation->view, &up->told), 0);
    scratch_leave(before);
    snprintf(text, sizeof(text), "%.*s", (int)out_bytes(&up->told).n, out_bytes(&up->told).p);
    lab_end(up);
    lab_end(client);
    return text;
}

/* SDKs that gather a stream keep an empty text beside the calls. As a message of its own it would part the reasoning from its calls,
 * or the calls from their results, which OpenAI refuses. */
TEST(an_empty_text_beside_something_is_no_message)
{
    const char *sent = sent_for(
        "{\"model\":\"gpt-5.1\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"},{\"role\":\"assistant\",\"content\":\"\","
        "\"tool_calls\":[{\"id\":\"c\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},"
        "{\"role\":\"tool\",\"tool_call_id\":\"c\",\"content\":\"\"}]}");
    CHECK(strstr(sent, "\"function_call\"") && strstr(sent, "\"output\":\"\""));
    CHECK(!strstr(sent, "\"assistant\""));
    sent = sent_for("{\"model\":\"gpt-5.1\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"},{\"role\":\"assistant\",\"content\":\"\"},"
                    "{\"role\":\"user\",\"content\":\"well?\"}]}");
    CHECK(strstr(sent, "\"assistant\",\"content\":\"\"")); /* alone it is the assistant's turn */
}
