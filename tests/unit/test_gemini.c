/* The gemini codec: requests that came in OpenAI's dialect, answers made here, and every recorded answer in
 * $WEIR_SHARED or
 * ../shared, compared with what a second reader (jansson) finds in them. */
#include "codec_lab.h"
#include "test.h"

#include <glob.h>

/* Names that the core's reader has, too; the tests need none of jansson's. */
#define json_string jansson_string
#define json_array jansson_array
#define json_object jansson_object
#define json_number jansson_number
#define json_integer jansson_integer
#define json_boolean jansson_boolean
#define json_null jansson_null
#define json_error jansson_error
#include <jansson.h>
#undef json_string
#undef json_array
#undef json_object
#undef json_number
#undef json_integer
#undef json_boolean
#undef json_null
#undef json_error

/* ---- requests ---- */

static const char *encoded(const char *openai_body, const char **head, const char **notes)
{
    static char json[65536], head_copy[1024], notes_copy[4096];
    const struct weir_plugin *from = lab_plugin("openai"), *to = lab_plugin("gemini");
    if (!from || !to)
        return NULL;
    struct lab *client = lab_begin(from, 'i', NULL);
    json[0] = '\0';
    if (lab_decode_request(client, weir_cstr(openai_body)) == 0) {
        struct lab *up = lab_begin(to, 'e', client->conversation);
        struct weir_out body = { 0 };
        to->codec->request_head(up->self, &up->call, up->state, NULL);
        int rc = to->codec->encode_request(up->self, &up->call, up->state, &client->conversation->view, &body);
        snprintf(json, sizeof(json), "%.*s", S(rc < 0 ? up->error.message : out_bytes(&body)));
        snprintf(head_copy, sizeof(head_copy), "%.*s", S(out_bytes(&up->head)));
        snprintf(notes_copy, sizeof(notes_copy), "%.*s", S(out_bytes(&up->notes)));
        out_free(&body);
        lab_end(up);
    }
    lab_end(client);
    if (head)
        *head = head_copy;
    if (notes)
        *notes = notes_copy;
    return json;
}

#define ASK(model) "{\"model\":\"" model "\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]"
#define HI "\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"Hi\"}]}]"
#define ENCODES(body, want)                                                                                            \
    do {                                                                                                               \
        const char *got = encoded(body, NULL, NULL);                                                                   \
        if (!got)                                                                                                      \
            SKIP("build/providers/openai.so is not built");                                                            \
        CHECK_STR(got, want);                                                                                          \
    } while (0)

TEST(path_names_the_model)
{
    const char *head;
    if (!encoded(ASK("gemini-2.5-flash") "}", &head, NULL))
        SKIP("build/providers/openai.so is not built");
    CHECK_STR(head, "POST /models/gemini-2.5-flash:generateContent\n");
    encoded(ASK("models/a b/c") ",\"stream\":true}", &head, NULL);
    CHECK_STR(head, "POST /models/a%20b%2Fc:streamGenerateContent?alt=sse\n");
    encoded(ASK("tunedModels/x-1") "}", &head, NULL);
    CHECK_STR(head, "POST /tunedModels/x-1:generateContent\n");
}

TEST(settings)
{
    ENCODES(ASK("gemini-2.5-flash") ",\"max_completion_tokens\":100,\"temperature\":0.5,\"top_p\":0.9,\"n\":2,\"stop\":"
                                    "[\"a\",\"b\",\"c\",\"d\"],\"seed\":7,"
                                    "\"frequency_penalty\":1,\"presence_penalty\":-1}",
            "{" HI
            ",\"generationConfig\":{\"maxOutputTokens\":100,\"temperature\":0.5,\"topP\":0.9,\"frequencyPenalty\":1,"
            "\"presencePenalty\":-1,\"candidateCount\":2,\"stopSequences\":[\"a\",\"b\",\"c\",\"d\"],\"seed\":7}}");
    ENCODES(ASK("gemini-2.5-flash") ",\"seed\":4294967296123}", "{" HI ",\"generationConfig\":{\"seed\":2123}}");
}

TEST(thinking_by_family)
{
    ENCODES(ASK("gemini-2.5-flash") ",\"reasoning_effort\":\"low\"}",
            "{" HI ",\"generationConfig\":{\"thinkingConfig\":{\"thinkingBudget\":1024}}}");
    ENCODES(ASK("gemini-2.5-flash") ",\"reasoning_effort\":\"none\"}",
            "{" HI ",\"generationConfig\":{\"thinkingConfig\":{\"thinkingBudget\":0}}}");
    ENCODES(ASK("gemini-2.5-pro") ",\"reasoning_effort\":\"none\"}",
            "{" HI ",\"generationConfig\":{\"thinkingConfig\":{\"thinkingBudget\":128}}}");
    ENCODES(ASK("gemini-3-flash-preview") ",\"reasoning_effort\":\"minimal\"}",
            "{" HI ",\"generationConfig\":{\"thinkingConfig\":{\"thinkingLevel\":\"MINIMAL\"}}}");
    ENCODES(ASK("gemini-3.8-flash") ",\"reasoning_effort\":\"minimal\"}",
            "{" HI ",\"generationConfig\":{\"thinkingConfig\":{\"thinkingLevel\":\"LOW\"}}}");
    ENCODES(ASK("gemini-3-pro-preview") ",\"reasoning_effort\":\"medium\"}",
            "{" HI ",\"generationConfig\":{\"thinkingConfig\":{\"thinkingLevel\":\"HIGH\"}}}");
    ENCODES(ASK("gemini-2.0-flash") ",\"reasoning_effort\":\"medium\"}", "{" HI ",\"generationConfig\":{}}");
}

#define TOOLS                                                                                                          \
    ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"get_weather\",\"description\":\"Weather\","           \
    "\"parameters\":"                                                                                                  \
    "{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\"}}}}},{\"type\":\"function\",\"function\":{"    \
    "\"name\":"                                                                                                        \
    "\"2nd-tool\",\"parameters\":{\"type\":\"object\",\"properties\":{}}}}]"
#define TOOLS_THERE                                                                                                    \
    ",\"tools\":[{\"functionDeclarations\":[{\"name\":\"get_weather\",\"description\":\"Weather\","                    \
    "\"parametersJsonSchema\":"                                                                                        \
    "{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\"}}}},{\"name\":\"_2nd-tool_1\"}]}]"

TEST(tools_and_choice)
{
    ENCODES(ASK("gemini-3-flash") TOOLS "}", "{" HI TOOLS_THERE ",\"generationConfig\":{}}");
    ENCODES(ASK("gemini-3-flash") TOOLS ",\"tool_choice\":\"required\"}",
            "{" HI TOOLS_THERE
            ",\"toolConfig\":{\"functionCallingConfig\":{\"mode\":\"ANY\"}},\"generationConfig\":{}}");
    ENCODES(ASK("gemini-3-flash") TOOLS
            ",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"2nd-tool\"}}}",
            "{" HI TOOLS_THERE ",\"toolConfig\":{\"functionCallingConfig\":{\"mode\":\"ANY\",\"allowedFunctionNames\":"
            "[\"_2nd-tool_1\"]}},\"generationConfig\":{}}");
}

TEST(structured_output)
{
    ENCODES(ASK("gemini-2.5-flash") ",\"response_format\":{\"type\":\"json_object\"}}",
            "{" HI ",\"generationConfig\":{\"responseMimeType\":\"application/json\"}}");
    ENCODES(
        ASK("gemini-2.5-flash") ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"x\","
                                "\"schema\":"
                                "{\"type\":\"object\",\"$defs\":{}}}}}",
        "{" HI
        ",\"generationConfig\":{\"responseMimeType\":\"application/json\",\"responseJsonSchema\":{\"type\":\"object\","
        "\"$defs\":{}}}}");
    const char *got =
        encoded(ASK("gemini-2.5-flash") TOOLS ",\"response_format\":{\"type\":\"json_object\"}}", NULL, NULL);
    CHECK(got && strstr(got, "Gemini models before 3"));
}

#define LOOP                                                                                                           \
    "{\"model\":\"gemini-3-flash\",\"messages\":[{\"role\":\"system\",\"content\":\"Be "                               \
    "brief.\"},{\"role\":\"user\",\"content\":"                                                                        \
    "\"Weather in A and "                                                                                              \
    "B?\"},{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"c1\",\"type\":\"function\","             \
    "\"function\":{\"name\":\"get_weather\",\"arguments\":\"{\\\"city\\\":\\\"A\\\"}\"}},{\"id\":\"c2\",\"type\":"     \
    "\"function\","                                                                                                    \
    "\"function\":{\"name\":\"get_weather\",\"arguments\":\"oops\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"c1\","    \
    "\"content\":"                                                                                                     \
    "\"{\\\"t\\\":18}\"},{\"role\":\"tool\",\"tool_call_id\":\"c2\",\"content\":\"19 "                                 \
    "\\\"degrees\\\"\"},{\"role\":\"user\","                                                                           \
    "\"content\":\"Thanks\"}]}"

TEST(tool_loop)
{
    ENCODES(LOOP,
            "{\"systemInstruction\":{\"parts\":[{\"text\":\"Be "
            "brief.\"}]},\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":"
            "\"Weather in A and "
            "B?\"}]},{\"role\":\"model\",\"parts\":[{\"functionCall\":{\"id\":\"c1\",\"name\":\"get_weather\","
            "\"args\":{\"city\":\"A\"}},\"thoughtSignature\":\"skip_thought_signature_validator\"},{\"functionCall\":{"
            "\"id\":\"c2\","
            "\"name\":\"get_weather\",\"args\":{\"_raw\":\"oops\"}}}]},{\"role\":\"user\",\"parts\":[{"
            "\"functionResponse\":{\"id\":"
            "\"c1\",\"name\":\"get_weather\",\"response\":{\"t\":18}}},{\"functionResponse\":{\"id\":\"c2\",\"name\":"
            "\"get_weather\","
            "\"response\":{\"result\":\"19 \\\"degrees\\\"\"}}},{\"text\":\"Thanks\"}]}],\"generationConfig\":{}}");
    const char *notes;
    encoded(LOOP, NULL, &notes);
    CHECK_STR(notes, "loss=emulated:signature: the stand-in for calls that Gemini did not sign\n"
                     "loss=emulated:tools: arguments that are no object stand in _raw\n");
}

/* A tool that failed says so under `error`. */
TEST(a_failed_result_is_an_error)
{
    struct lab *up = lab_begin(lab_plugin("gemini"), 'e', NULL);
    struct conversation *c = up->conversation = conversation_new(up->arena, WEIR_LIT("x"), WEIR_OP_CHAT, WEIR_NONE);
    struct weir_out body = { 0 };
    conversation_set_field(c, WEIR_FIELD_MODEL, WEIR_LIT("\"gemini-2.5-flash\""), WEIR_NONE);
    conversation_part(c, &conversation_message(c, WEIR_ROLE_USER)->parts, WEIR_PART_TEXT)->text = WEIR_TEXT("q");
    struct weir_part *call = conversation_part(c, &conversation_message(c, WEIR_ROLE_ASSISTANT)->parts, WEIR_PART_TOOL_CALL);
    struct weir_part *result = conversation_part(c, &conversation_message(c, WEIR_ROLE_TOOL)->parts, WEIR_PART_TOOL_RESULT);
    call->id = result->id = WEIR_LIT("c1");
    call->name = WEIR_LIT("f");
    call->text = WEIR_TEXT("{}");
    result->flags = WEIR_PART_IS_ERROR;
    conversation_part(c, &result->parts, WEIR_PART_TEXT)->text = WEIR_TEXT("no such city");
    struct scratch s = scratch_enter();
    CHECK_INT(up->codec->encode_request(up->self, &up->call, up->state, &c->view, &body), 0);
    scratch_leave(s);
    CHECK(strstr(lab_cstr(up, out_bytes(&body)), "\"name\":\"f\",\"response\":{\"error\":\"no such city\"}"));
    out_free(&body);
    lab_end(up);
}

TEST(texts_of_a_result_stay_apart)
{
    ENCODES("{\"model\":\"gemini-2.5-flash\",\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":null,"
            "\"tool_calls\":[{\"id\":\"c\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},{\"role\":\"tool\","
            "\"tool_call_id\":\"c\",\"content\":[{\"type\":\"text\",\"text\":\"one\"},{\"type\":\"text\",\"text\":\"two\"}]}]}",
            "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"q\"}]},{\"role\":\"model\",\"parts\":[{\"functionCall\":{\"id\":\"c\","
            "\"name\":\"f\",\"args\":{}}}]},{\"role\":\"user\",\"parts\":[{"
            "\"functionResponse\":{\"id\":\"c\",\"name\":\"f\",\"response\":{\"result\":\"one\\ntwo\"}}}]}],\"generationConfig\":{}}");
}

TEST(turns_alternate)
{
    ENCODES("{\"model\":\"gemini-2.5-flash\",\"messages\":[{\"role\":\"assistant\",\"content\":\"Hello\"},{\"role\":"
            "\"user\",\"content\":"
            "\"a\"},{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":[{\"type\":\"text\","
            "\"text\":\"b\"},{\"type\":"
            "\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,iVBORw0KGgo=\"}}]}]}",
            "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"Continue.\"}]},{\"role\":\"model\",\"parts\":[{"
            "\"text\":\"Hello\"}]},"
            "{\"role\":\"user\",\"parts\":[{\"text\":\"a\"},{\"text\":\"<system>\\ns\\n</system>\"},{\"text\":\"b\"},{\"inlineData\":{"
            "\"mimeType\":\"image/png\","
            "\"data\":\"iVBORw0KGgo=\"}}]}],\"generationConfig\":{}}");
    ENCODES("{\"model\":\"gemini-2.5-flash\",\"messages\":[{\"role\":\"system\",\"content\":\"only\"}]}",
            "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"only\"}]}],\"generationConfig\":{}}");
    const char *got =
        encoded("{\"model\":\"g\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":"
                "{\"url\":\"https://example.com/a.png\"}}]}]}",
                NULL, NULL);
    CHECK(got && strstr(got, "fetches no URLs"));
}

TEST(says_what_is_lost)
{
    const char *notes;
    if (!encoded(ASK("gemini-2.0-flash") ",\"user\":\"u\",\"logprobs\":true,\"logit_bias\":{\"1\":2},\"parallel_tool_"
                                         "calls\":false,"
                                         "\"reasoning_effort\":\"high\",\"store\":true}",
                 NULL, &notes))
        SKIP("build/providers/openai.so is not built");
    /* user, logit_bias, parallel_tool_calls and store are not in the table: the host tells those. */
    CHECK_STR(notes, "loss=dropped:reasoning_effort: this model does not think\n");
}

TEST(own_signatures_return)
{
    const struct weir_plugin *plugin = lab_plugin("gemini");
    CHECK(plugin);
    struct lab *up = lab_begin(plugin, 'e', NULL);
    struct conversation *c = up->conversation = conversation_new(up->arena, WEIR_LIT("x"), WEIR_OP_CHAT, WEIR_NONE);
    struct weir_out body = { 0 };
    conversation_set_field(c, WEIR_FIELD_MODEL, WEIR_LIT("\"gemini-3-flash\""), WEIR_NONE);
    struct weir_message *user = conversation_message(c, WEIR_ROLE_USER),
                        *model = conversation_message(c, WEIR_ROLE_ASSISTANT);
    conversation_part(c, &user->parts, WEIR_PART_TEXT)->text = WEIR_TEXT("q");
    for (int i = 0; i < 3; i++) {
        static const uint32_t kinds[] = { WEIR_PART_THINKING, WEIR_PART_THINKING, WEIR_PART_TOOL_CALL };
        struct weir_part *p = conversation_part(c, &model->parts, kinds[i]);
        p->text = i < 2 ? (struct weir_text)WEIR_TEXT("hm") : (struct weir_text)WEIR_TEXT("{}");
        p->name = i < 2 ? WEIR_NONE : WEIR_LIT("f");
        p->signature = (struct weir_text)WEIR_TEXT("c2ln");
        p->dialect = i == 1 ? WEIR_LIT("anthropic") : WEIR_LIT("gemini");
    }
    CHECK_INT(plugin->codec->encode_request(up->self, &up->call, up->state, &c->view, &body), 0);
    CHECK_STR(lab_cstr(up, out_bytes(&body)), "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"q\"}]},{"
                                              "\"role\":\"model\",\"parts\":[{\"text\":\"hm\",\"thought\":true,"
                                              "\"thoughtSignature\":\"c2ln\"},{\"functionCall\":{\"name\":\"f\","
                                              "\"args\":{}},\"thoughtSignature\":\"c2ln\"}]}],"
                                              "\"generationConfig\":{}}");
    out_free(&body);
    lab_end(up);
}

/* ---- answers ---- */

static struct lab *answer(const char *bytes, size_t piece)
{
    const struct weir_plugin *plugin = lab_plugin("gemini");
    struct lab *l = plugin ? lab_begin(plugin, 'e', NULL) : NULL;
    if (!l)
        return NULL;
    enum weir_framing framing = bytes[0] == '{' ? WEIR_FRAMING_JSON : WEIR_FRAMING_SSE;
    if (lab_decode_answer(l, framing, weir_cstr(bytes), piece, true) < 0)
        l->has_failed = true;
    return l;
}

#define USAGE                                                                                                          \
    "\"usageMetadata\":{\"promptTokenCount\":10,\"cachedContentTokenCount\":4,\"candidatesTokenCount\":3,"             \
    "\"thoughtsTokenCount\":5,\"toolUsePromptTokenCount\":2}"
#define TAIL USAGE ",\"modelVersion\":\"gemini-3-flash\",\"responseId\":\"r1\"}"
#define WHOLE                                                                                                          \
    "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Hm. \",\"thought\":true},{\"text\":\"Let me "               \
    "see.\",\"thought\":true,\"thoughtSignature\":\"c2ln\"},{\"text\":\"It \"},{\"text\":\"is "                        \
    "\\u00fc.\"},{\"functionCall\":{\"name\":\"f\",\"args\":{\"a\":1}},\"thoughtSignature\":\"c2lu\"},{"               \
    "\"functionCall\":{\"id\":\"x\",\"name\":\"g\"}}],\"role\":\"model\"},\"finishReason\":\"STOP\",\"index\":0}]"     \
    "," TAIL
#define PART(p) "data: {\"candidates\":[{\"content\":{\"parts\":[" p "]},\"index\":0}]," TAIL "\r\n\r\n"
#define STREAM                                                                                                         \
    PART("{\"text\":\"Hm. \",\"thought\":true}")                                                                       \
    PART("{\"text\":\"Let me see.\",\"thought\":true,\"thoughtSignature\":\"c2ln\"}")                                  \
    PART("{\"text\":\"It \"}")                                                                                         \
    ": alive\r\n\r\n" PART("{\"text\":\"is \\u00fc.\"}")                                                               \
        PART("{\"functionCall\":{\"name\":\"f\",\"args\":{\"a\":1}},\"thoughtSignature\":\"c2lu\"}")                   \
            PART("{\"functionCall\":{\"id\":\"x\",\"name\":\"g\"}}") "data: "                                          \
                                                                     "{\"candidates\":[{\"finishReason\":"             \
                                                                     "\"STOP\",\"index\":0}]," TAIL "\r\n\r\n"
#define SAID                                                                                                           \
    "id=r1 model=gemini-3-flash\n"                                                                                     \
    "block 0/0 kind 2 text=<Hm. Let me see.> signature=<c2ln>\n"                                                       \
    "block 0/1 kind 1 text=<It is \xC3\xBC.>\n"                                                                        \
    "block 0/2 kind 4 id=<call_new1> name=<f> text=<{\"a\":1}> signature=<c2lu>\n"                                     \
    "block 0/3 kind 4 id=<x> name=<g> text=<{}>\n"                                                                     \
    "finish 0=4\n"                                                                                                     \
    "usage 12 8 cached 4 -1 reasoning 5\n"

TEST(whole_and_streamed_say_the_same)
{
    struct lab *l = answer(WHOLE, 0);
    CHECK(l && !l->has_failed && l->has_ended);
    CHECK_STR(dump_answer(l), SAID);
    lab_end(l);
    for (size_t piece = 1; piece < 400; piece += 13) {
        l = answer(STREAM, piece);
        CHECK(!l->has_failed && l->has_ended);
        CHECK_STR(dump_answer(l), SAID);
        lab_end(l);
    }
}

static const char *ends(const char *bytes, bool clean)
{
    static char said[64];
    struct lab *l = lab_begin(lab_plugin("gemini"), 'e', NULL);
    enum weir_framing framing = bytes[0] == '{' ? WEIR_FRAMING_JSON : WEIR_FRAMING_SSE;
    int rc = lab_decode_answer(l, framing, weir_cstr(bytes), 0, clean);
    const struct weir_answer *a = collector_answer(l->collector);
    snprintf(said, sizeof(said), "%s %u class %u", rc == 0 ? l->has_error ? "error" : "end" : "broken",
             a->n_choices ? a->choices[0].finish : 0, l->answer_error.error_class);
    lab_end(l);
    return said;
}

#define FINISH(word)                                                                                                   \
    "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"x\"}]},\"finishReason\":\"" word "\"}]}\n\n"

TEST(ends_only_when_finished)
{
    CHECK_STR(ends(FINISH("STOP"), true), "end 1 class 0");
    CHECK_STR(ends(FINISH("STOP"), false), "broken 0 class 0");
    CHECK_STR(ends("data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"x\"}]}}]}\n\n", true),
              "broken 0 class 0");
    CHECK_STR(ends(FINISH("MAX_TOKENS"), true), "end 3 class 0");
    CHECK_STR(ends(FINISH("SAFETY"), true), "end 5 class 0");
    CHECK_STR(ends(FINISH("MODEL_ARMOR"), true), "end 5 class 0");
    CHECK_STR(ends(FINISH("NEW_REASON"), true), "end 9 class 0");
    CHECK_STR(ends("data: {\"promptFeedback\":{\"blockReason\":\"SAFETY\"}," TAIL "\n\n", true), "end 5 class 0");
    CHECK_STR(ends("{\"promptFeedback\":{\"blockReason\":\"OTHER\"}," TAIL, true), "end 5 class 0");
    CHECK_STR(ends("{\"candidates\":[{\"finishReason\":\"MAX_TOKENS\",\"index\":0}]," TAIL, true), "end 3 class 0");
    CHECK_STR(
        ends("{\"candidates\":[{\"finishReason\":\"MALFORMED_FUNCTION_CALL\",\"finishMessage\":\"m\"}]," TAIL, true),
        "error 0 class 13");
    CHECK_STR(ends("{}", true), "broken 0 class 0");
    CHECK_STR(ends("{\"candidates\":[{\"content\":[]", true), "broken 0 class 0");
    CHECK_STR(
        ends(FINISH("STOP") "data: {\"error\":{\"code\":503,\"message\":\"late\",\"status\":\"UNAVAILABLE\"}}\n\n",
             true),
        "error 0 class 10");
}

static const char *error_of(int status, const char *body)
{
    static char said[256];
    struct lab *l = lab_begin(lab_plugin("gemini"), 'e', NULL);
    struct weir_error e = { .size = sizeof(e), .error_class = WEIR_ERROR_SERVER };
    l->codec->decode_error(l->self, &l->call, l->state, status, weir_cstr(body), &e);
    snprintf(said, sizeof(said), "%u %u %.*s: %.*s", e.error_class, e.retry_after_ms, S(e.native), S(e.message));
    lab_end(l);
    return said;
}

TEST(errors)
{
    CHECK_STR(
        error_of(
            400,
            "{\"error\":{\"code\":400,\"message\":\"bad key\",\"status\":\"INVALID_ARGUMENT\",\"details\":[{\"@type\":"
            "\"type.googleapis.com/google.rpc.ErrorInfo\",\"reason\":\"API_KEY_INVALID\"}]}}"),
        "2 0 API_KEY_INVALID: bad key");
    CHECK_STR(error_of(400, "[{\"error\":{\"code\":400,\"message\":\"m\",\"status\":\"INVALID_ARGUMENT\"}}]"),
              "1 0 INVALID_ARGUMENT: m");
    CHECK_STR(
        error_of(
            429,
            "{\"error\":{\"message\":\"m\",\"status\":\"RESOURCE_EXHAUSTED\",\"details\":[{\"retryDelay\":\"34s\"}]}}"),
        "8 34000 RESOURCE_EXHAUSTED: m");
    CHECK_STR(error_of(429, "{\"error\":{\"message\":\"m\",\"status\":\"RESOURCE_EXHAUSTED\",\"details\":[{"
                            "\"violations\":[{\"quotaId\":"
                            "\"GenerateRequestsPerDayPerProject\"}]},{\"retryDelay\":\"34.5s\"}]}}"),
              "9 0 RESOURCE_EXHAUSTED: m");
    CHECK_STR(
        error_of(
            400,
            "{\"error\":{\"message\":\"The input token count (9) exceeds the maximum number of tokens allowed (8).\","
            "\"status\":\"INVALID_ARGUMENT\"}}"),
        "6 0 INVALID_ARGUMENT: The input token count (9) exceeds the maximum number of tokens allowed (8).");
    CHECK_STR(error_of(402, "{\"error\":{\"message\":\"m\"}}"), "9 0 : m");
    CHECK_STR(error_of(502, "<html>"), "13 0 : ");
}

/* ---- golden files: NAME.wire is an answer (NAME.STATUS.error.wire: an error), NAME.said what it says; WEIR_GOLDEN=write writes the latter anew ---- */

#define GOLDEN "providers/gemini/tests"

static char *file_text(const char *path)
{
    FILE *f = fopen(path, "rb");
    char *text = calloc(1, 65536);
    size_t n = f ? fread(text, 1, 65535, f) : 0;
    text[n] = '\0';
    if (f)
        fclose(f);
    return text;
}

/* Cut at every byte it must say the same. */
static const char *said_by(const char *wire, struct lab **lab, size_t piece)
{
    struct lab *l = *lab = lab_begin(lab_plugin("gemini"), 'e', NULL);
    enum weir_framing framing = strchr("{[", wire[0]) ? WEIR_FRAMING_JSON : WEIR_FRAMING_SSE;
    int rc = lab_decode_answer(l, framing, weir_cstr(wire), piece, true);
    struct weir_str message = l->has_error ? l->answer_error.message : WEIR_NONE;
    const char *end = rc < 0 ? "broken" : l->has_error ? "error" : "end";
    return lab_cstr(
        l, arena_printf(l->arena, "%s%s %u %.*s\n", dump_answer(l), end, l->answer_error.error_class, S(message)));
}

static void check_golden(const char *name)
{
    char path[512];
    struct lab *l, *cut;
    snprintf(path, sizeof(path), GOLDEN "/%s.wire", name);
    char *wire = file_text(path);
    const char *status = strstr(name, ".error") ? strchr(name, '.') + 1 : NULL;
    const char *said = said_by(wire, &l, 0);
    if (status)
        said = error_of(atoi(status), wire);
    for (size_t piece = 1; !status && piece < strlen(wire); piece += 1 + piece / 8) {
        CHECK_STR(said_by(wire, &cut, piece), said);
        lab_end(cut);
    }
    snprintf(path, sizeof(path), GOLDEN "/%s.said", name);
    FILE *write = getenv("WEIR_GOLDEN") ? fopen(path, "wb") : NULL;
    if (write) {
        fputs(said, write);
        fclose(write);
    }
    char *want = file_text(path);
    CHECK_STR(said, want);
    free(want);
    free(wire);
    lab_end(l);
}

TEST(golden)
{
    glob_t found;
    CHECK(glob(GOLDEN "/"
                      "*.wire",
               0, NULL, &found) == 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        char name[256];
        snprintf(name, sizeof(name), "%s", strrchr(found.gl_pathv[i], '/') + 1);
        *strrchr(name, '.') = '\0';
        if (!strstr(name, ".request")) /* verify-plugin reads those */
            check_golden(name);
    }
    CHECK(found.gl_pathc >= 13);
    globfree(&found);
}

/* ---- recordings ---- */

struct found {
    struct weir_out text, thoughts, calls;
    bool has_error;
};

static void note_part(struct found *f, const json_t *part)
{
    const char *text = json_string_value(json_object_get(part, "text"));
    const json_t *call = json_object_get(part, "functionCall");
    if (text)
        out_write(json_is_true(json_object_get(part, "thought")) ? &f->thoughts : &f->text, weir_cstr(text));
    if (!call)
        return;
    json_t *args = json_object_get(call, "args");
    char *dumped = args ? json_dumps(args, JSON_SORT_KEYS | JSON_COMPACT) : strdup("{}");
    out_write(&f->calls, weir_cstr(json_string_value(json_object_get(call, "name"))));
    out_write(&f->calls, weir_cstr(dumped));
    free(dumped);
}

static void note_document(struct found *f, const json_t *doc)
{
    size_t i, k;
    json_t *candidate, *part;
    json_array_foreach(json_object_get(doc, "candidates"), i, candidate)
        json_array_foreach(json_object_get(json_object_get(candidate, "content"), "parts"), k, part) note_part(f, part);
    f->has_error = f->has_error || json_object_get(doc, "error");
}

static void note_answer(struct found *f, const char *body)
{
    json_t *doc = json_loads(body, JSON_DECODE_ANY, NULL);
    if (doc)
        note_document(f, doc);
    json_decref(doc);
    for (const char *p = body; !doc && (p = strstr(p, "data:")); p += 5) {
        json_t *event = json_loads(p + 5, JSON_DISABLE_EOF_CHECK, NULL);
        note_document(f, event);
        json_decref(event);
    }
}

static void note_blocks(struct lab *l, struct found *f)
{
    for (const struct weir_answer_block *b = collector_answer(l->collector)->blocks; b; b = b->next) {
        struct weir_str text = text_decode(l->arena, &b->text);
        if (b->kind != WEIR_BLOCK_TOOL_CALL) {
            if (b->kind == WEIR_BLOCK_TEXT || b->kind == WEIR_BLOCK_THINKING)
                out_write(b->kind == WEIR_BLOCK_TEXT ? &f->text : &f->thoughts, text);
            continue;
        }
        json_t *args = json_loadb(text.p, text.n, 0, NULL);
        char *dumped = json_dumps(args, JSON_SORT_KEYS | JSON_COMPACT);
        out_write(&f->calls, b->name);
        out_write(&f->calls, weir_cstr(dumped ? dumped : "?"));
        free(dumped);
        json_decref(args);
    }
}

static bool is_same(struct weir_out *a, struct weir_out *b)
{
    bool same = weir_eq(out_bytes(a), out_bytes(b));
    out_free(a);
    out_free(b);
    return same;
}

static void check_body(const char *file, const char *body, int *failed)
{
    struct found want = { 0 }, got = { 0 };
    const char *first = NULL;
    note_answer(&want, body);
    for (size_t piece = 0; piece < 300; piece = piece * 2 + 1) {
        struct lab *l = answer(body + strspn(body, " \r\n\t"), piece);
        const char *said = dump_answer(l);
        bool is_good = !l->has_failed && l->has_ended && (!first || strcmp(first, said) == 0);
        if (!is_good && (*failed)++ < 10)
            printf("  %s (pieces of %zu): %s\n%s", file, piece, l->grammar_error ? l->grammar_error : "no END", said);
        if (!first) {
            first = strdup(said);
            note_blocks(l, &got);
        }
        lab_end(l);
    }
    free((char *)(uintptr_t)first);
    if (!is_same(&want.text, &got.text) || !is_same(&want.thoughts, &got.thoughts) || !is_same(&want.calls, &got.calls))
        printf("  %s: text or calls differ\n", file), ++*failed;
}

/* Turns alternate and begin with the user's; nothing is empty; results follow calls in the same number. */
static const char *what_is_wrong(const json_t *request)
{
    const char *before = "model";
    size_t i, k, calls = 0;
    json_t *content, *part;
    if (json_array_size(json_object_get(request, "contents")) == 0)
        return "no contents";
    json_array_foreach(json_object_get(request, "contents"), i, content)
    {
        const char *role = json_string_value(json_object_get(content, "role"));
        size_t results = 0, calls_here = 0;
        if (!role || strcmp(role, before) == 0 || json_array_size(json_object_get(content, "parts")) == 0)
            return "turns do not alternate, or one is empty";
        json_array_foreach(json_object_get(content, "parts"), k, part)
        {
            results += json_object_get(part, "functionResponse") != NULL;
            calls_here += json_object_get(part, "functionCall") != NULL;
        }
        if (results != calls)
            return "another number of results than of calls";
        calls = calls_here;
        before = role;
    }
    return NULL;
}

static const char *check_request(const char *client, const json_t *body)
{
    const struct weir_plugin *from = lab_plugin(client), *to = lab_plugin("gemini");
    const char *wrong = NULL;
    char *text = json_dumps(body, 0);
    struct lab *in = lab_begin(from, 'i', NULL), *up = NULL;
    struct weir_out out = { 0 };
    if (lab_decode_request(in, weir_cstr(text)) == 0) {
        up = lab_begin(to, 'e', in->conversation);
        int rc = to->codec->encode_request(up->self, &up->call, up->state, &in->conversation->view, &out);
        json_t *request = rc == 0 ? json_loadb(out.p, out.n, JSON_REJECT_DUPLICATES, NULL) : NULL;
        wrong = request ? what_is_wrong(request) : rc == 0 ? "not JSON" : NULL;
        if (rc < 0 && up->error.error_class != WEIR_ERROR_UNSUPPORTED)
            wrong = "refused, but not as unsupported";
        json_decref(request);
    }
    out_free(&out);
    lab_end(up);
    lab_end(in);
    free(text);
    return wrong;
}

static void check_requests(const char *provider, const char *endpoint, const char *codec)
{
    char path[1024], line[8192];
    const char *dir = getenv("WEIR_SHARED") ? getenv("WEIR_SHARED") : "../shared";
    int requests = 0, failed = 0;
    snprintf(path, sizeof(path), "%s/recordings/index.jsonl", dir);
    FILE *index = fopen(path, "r");
    if (!index)
        SKIP("no recordings in ../shared (or $WEIR_SHARED)");
    if (!lab_plugin(codec)) {
        fclose(index);
        SKIP("the client's codec is not built");
    }
    while (fgets(line, sizeof(line), index)) {
        json_t *entry = json_loads(line, 0, NULL), *recording = NULL;
        const char *file = json_string_value(json_object_get(entry, "file"));
        snprintf(path, sizeof(path), "%s/recordings/%s", dir, file);
        if (strcmp(json_string_value(json_object_get(entry, "provider")), provider) == 0 &&
            strcmp(json_string_value(json_object_get(entry, "endpoint")), endpoint) == 0)
            recording = json_load_file(path, 0, NULL);
        const json_t *body = json_object_get(recording, "request_body");
        const char *wrong = json_is_object(body) && ++requests ? check_request(codec, body) : NULL;
        if (wrong && failed++ < 10)
            printf("  %s: %s\n", file, wrong);
        json_decref(recording);
        json_decref(entry);
    }
    fclose(index);
    printf("  %d requests of %s\n", requests, provider);
    CHECK_INT(failed, 0);
}

TEST(recorded_requests_of_openai)
{
    check_requests("openai", "chat", "openai");
}

TEST(recorded_requests_of_anthropic)
{
    check_requests("anthropic", "messages", "anthropic");
}

static bool is_one_of_ours(const json_t *recording)
{
    const char *path = json_string_value(json_object_get(recording, "url_path"));
    const char *provider = json_string_value(json_object_get(recording, "provider"));
    return strcmp(provider, "gemini") == 0 && strstr(path, "enerateContent") && !strstr(path, "batch");
}

TEST(recordings)
{
    char path[1024], line[8192];
    const char *dir = getenv("WEIR_SHARED") ? getenv("WEIR_SHARED") : "../shared";
    int answers = 0, errors = 0, failed = 0;
    snprintf(path, sizeof(path), "%s/recordings/index.jsonl", dir);
    FILE *index = fopen(path, "r");
    if (!index)
        SKIP("no recordings in ../shared (or $WEIR_SHARED)");
    while (fgets(line, sizeof(line), index)) {
        json_t *entry = json_loads(line, 0, NULL);
        const char *file = json_string_value(json_object_get(entry, "file"));
        json_t *recording = NULL;
        if (strcmp(json_string_value(json_object_get(entry, "provider")), "gemini") == 0) {
            snprintf(path, sizeof(path), "%s/recordings/%s", dir, file);
            recording = json_load_file(path, 0, NULL);
        }
        if (recording && is_one_of_ours(recording)) {
            const char *body = json_string_value(json_object_get(recording, "response_body"));
            int status = (int)json_integer_value(json_object_get(recording, "status"));
            if (status == 200 && ++answers)
                check_body(file, body, &failed);
            else if (++errors && !strstr(error_of(status, body), status == 404 ? "4 0 NOT_FOUND" : "8 48000 "))
                printf("  %s: %s\n", file, error_of(status, body)), failed++;
        }
        json_decref(recording);
        json_decref(entry);
    }
    fclose(index);
    printf("  gemini: %d answers, %d errors\n", answers, errors);
    CHECK_INT(failed, 0);
    CHECK(answers > 200);
}
