/* The gemini codec as a front door: what clients may write and how, edits spliced into their bytes, streams and documents, and
 * signatures of other dialects on their way through. The provider's side is in test_gemini.c. */
#include "codec_lab.h"
#include "test.h"

static struct lab *asked(const char *path, const char *query, const char *body)
{
    const struct weir_plugin *p = lab_plugin("gemini");
    struct lab *l = p ? lab_begin(p, 'i', NULL) : NULL;
    if (!l)
        return NULL;
    l->view.path = weir_cstr(path);
    l->view.query = weir_cstr(query);
    l->view.operation = strstr(path, ":count")                               ? WEIR_OP_COUNT
                        : strstr(path, "mbedCon") || strstr(path, "batchEm") ? WEIR_OP_EMBED
                                                                             : WEIR_OP_CHAT;
    lab_decode_request(l, weir_cstr(body));
    return l;
}

static const char *meant(const char *body)
{
    struct lab *l = asked("/v1beta/models/m:generateContent", "", body);
    static char text[8192];
    snprintf(text, sizeof(text), "%s", !l ? "" : l->has_failed ? lab_cstr(l, l->error.message) : dump_conversation(l));
    lab_end(l);
    return text;
}

static void names(const char *path, const char *model)
{
    struct lab *l = asked(path, "", "{\"contents\":[{\"parts\":[{\"text\":\"hi\"}]}]}");
    CHECK(l && !l->has_failed);
    CHECK_STR(lab_cstr(l, weir_field(&l->conversation->view, WEIR_FIELD_MODEL)), model);
    lab_end(l);
}

TEST(the_path_names_the_model)
{
    names("/v1beta/models/gemini-2.5-flash:generateContent", "\"gemini-2.5-flash\"");
    names("/gemini/v1/models/openai/gpt-4o:generateContent", "\"openai/gpt-4o\"");
    names("/v1beta/models/a%2Fb%3Fc:generateContent", "\"a/b?c\"");
    names("/v1beta/models/fireworks/accounts/x/models/y:generateContent", "\"fireworks/accounts/x/models/y\"");
    names("/v1beta/tunedModels/t-1:generateContent", "\"tunedModels/t-1\"");
    names("/v1beta1/projects/p/locations/l/publishers/google/models/g:generateContent", "\"g\"");
    names("/v1beta1/publishers/anthropic/models/c:generateContent", "\"anthropic/c\"");
}

TEST(the_path_says_whether_to_stream)
{
    const char *body = "{\"contents\":[{\"parts\":[{\"text\":\"hi\"}]}]}";
    struct lab *sse = asked("/v1beta/models/m:streamGenerateContent", "alt=sse", body),
               *array = asked("/v1beta/models/m:streamGenerateContent", "", body);
    CHECK(sse && weir_field_true(&sse->conversation->view, WEIR_FIELD_STREAM));
    CHECK(array && weir_field_true(&array->conversation->view, WEIR_FIELD_STREAM));
    CHECK(sse && !sse->codec->other_stream_type(sse->self, &sse->call, sse->state));
    CHECK_STR(array->codec->other_stream_type(array->self, &array->call, array->state), "application/json");
    lab_end(sse);
    lab_end(array);
}

TEST(both_spellings_are_read)
{
    const char *camel = meant("{\"systemInstruction\":{\"parts\":[{\"text\":\"s\"}]},\"contents\":[{\"role\":\"user\",\"parts\":[{"
                              "\"inlineData\":{\"mimeType\":\"image/png\",\"data\":\"AAAA\"}}]}],\"generationConfig\":{"
                              "\"maxOutputTokens\":9,\"topP\":0.5,\"responseMimeType\":\"application/json\",\"thinkingConfig\":{"
                              "\"includeThoughts\":true,\"thinkingLevel\":\"LOW\"}}}");
    char want[4096];
    snprintf(want, sizeof(want), "%s", camel);
    CHECK(strstr(want, "field 20=\"json_object\"") && strstr(want, "field 21=\"low\"") && strstr(want, "system\n"));
    CHECK_STR(meant("{\"contents\":[{\"parts\":[{\"inline_data\":{\"mime_type\":\"image/png\",\"data\":\"AAAA\"}}],\"role\":\"user\""
                    "}],\"generation_config\":{\"max_output_tokens\":9,\"top_p\":0.5,\"response_mime_type\":"
                    "\"application/json\",\"thinking_config\":{\"include_thoughts\":true,\"thinking_level\":\"low\"}},"
                    "\"system_instruction\":{\"parts\":[{\"text\":\"s\"}]}}"),
              want);
}

TEST(openapi_schemas_become_json_schema)
{
    const char *got = meant("{\"contents\":[{\"parts\":[{\"text\":\"q\"}]}],\"tools\":[{\"functionDeclarations\":[{\"name\":\"f\","
                            "\"parameters\":{\"type\":\"OBJECT\",\"propertyOrdering\":[\"type\"],\"properties\":{\"type\":{\"type\":"
                            "\"STRING\",\"nullable\":true},\"l\":{\"type\":\"ARRAY\",\"min_items\":\"2\",\"items\":{\"type\":"
                            "\"INTEGER\"}}}}}]},{\"googleSearch\":{}}]}");
    CHECK(strstr(got, "{\"type\":\"object\",\"properties\":{\"type\":{\"type\":[\"string\",\"null\"]},\"l\":{\"type\":\"array\","
                      "\"minItems\":2,\"items\":{\"type\":\"integer\"}}}}"));
    CHECK(strstr(got, "raw=<{\"googleSearch\":{}}>"));
}

static const char *with_mode(const char *mode)
{
    char body[256];
    snprintf(body, sizeof(body),
             "{\"contents\":[{\"parts\":[{\"text\":\"q\"}]}],\"tools\":[{\"functionDeclarations\":[{\"name\":\"f\"}]}],"
             "\"toolConfig\":{\"functionCallingConfig\":{\"mode\":\"%s\"}}}",
             mode);
    return meant(body);
}

TEST(a_mode_in_either_case)
{
    static const char *const modes[][3] = { { "any", "ANY", "=\"required\"" }, { "none", "NONE", "=\"none\"" }, { "Auto", "AUTO", "=\"auto\"" } };
    for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
        char want[4096];
        snprintf(want, sizeof(want), "%s", with_mode(modes[i][1]));
        CHECK(strstr(want, modes[i][2]));
        CHECK_STR(with_mode(modes[i][0]), want);
    }
}

TEST(calls_without_ids_get_some_and_results_find_them)
{
    const char *got = meant(
        "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"q\"}]},{\"role\":\"model\",\"parts\":[{\"functionCall\":{\"name\":"
        "\"a\",\"args\":{}}},{\"functionCall\":{\"name\":\"b\"}}]},{\"role\":\"user\",\"parts\":[{\"functionResponse\":{\"name\":\"b\","
        "\"response\":{\"result\":\"two\"}}},{\"functionResponse\":{\"name\":\"a\",\"response\":{\"error\":\"one\"}}},{\"text\":"
        "\"so\"}]}]}");
    CHECK(strstr(got, "tool\n   part 6 id=<weir_call_1>\n     part 1 text=<two>\n   part 6 flags=1 id=<weir_call_0>\n"
                      "     part 1 text=<one>\nuser\n   part 1 text=<so>"));
}

TEST(mistakes_are_named_by_their_place)
{
    CHECK_STR(meant("{}"), "contents: is missing or empty; send at least one content, {\"role\":\"user\",\"parts\":[…]}");
    CHECK_STR(meant("{\"contents\":[{\"role\":\"robot\",\"parts\":[]}]}"),
              "contents[0].role: must be user or model; the system prompt is the member systemInstruction");
    CHECK(strstr(meant("{\"contents\":[{\"parts\":[{\"text\":\"a\"},{\"text\":5}]}]}"), "contents[0].parts[1].text"));
    CHECK(strstr(meant("{\"contents\":[{\"parts\":[{\"text\":\"a\"}]}],\"generationConfig\":{\"topK\":\"x\"}}"), "generationConfig.topK"));
    CHECK(strstr(meant("{\"contents\":[{\"parts\":[{\"functionCall\":{\"args\":{}}}]}]}"), "contents[0].parts[0]"));
}

/* ---- edits ---- */

static const char *spliced(const char *body, const struct weir_edit *edits, int n)
{
    static char text[4096];
    struct lab *l = asked("/v1beta/models/m:generateContent", "", body);
    struct weir_str *pieces = NULL;
    uint32_t n_pieces = 0;
    size_t at = 0;
    text[0] = '\0';
    for (int i = 0; l && i < n; i++)
        if (l->codec->splice(l->self, &l->call, l->state, &edits[i]) < 0)
            snprintf(text, sizeof(text), "edit %d has no place", i);
    if (l && !text[0] && splices_apply(&l->splices, l->conversation->view.body, &pieces, &n_pieces) == 0)
        for (uint32_t i = 0; i < n_pieces; i++)
            at += (size_t)snprintf(text + at, sizeof(text) - at, "%.*s", S(pieces[i]));
    lab_end(l);
    return text;
}

#define FIELD(f, v) { .size = sizeof(struct weir_edit), .kind = WEIR_EDIT_FIELD, .field = (f), .value = WEIR_LIT(v) }
#define PROMPT(v) { .size = sizeof(struct weir_edit), .kind = WEIR_EDIT_PREPEND_SYSTEM, .value = WEIR_LIT(v) }

TEST(edits_are_spliced)
{
    const struct weir_edit edits[] = { PROMPT("p"), FIELD(WEIR_FIELD_MAX_TOKENS, "7") };
    CHECK_STR(spliced("{\"contents\":[{\"parts\":[{\"text\":\"a\"}]}]}", edits, 2),
              "{\"generationConfig\":{\"maxOutputTokens\":7},\"systemInstruction\":{\"parts\":[{\"text\":\"p\"}]},\"contents\":[{"
              "\"parts\":[{\"text\":\"a\"}]}]}");
    CHECK_STR(spliced("{\"generation_config\":{ },\"system_instruction\":{\"parts\":[{\"text\":\"s\"}]},\"contents\":[{\"parts\":[{"
                      "\"text\":\"a\"}]}]}",
                      edits, 2),
              "{\"generation_config\":{\"maxOutputTokens\":7 },\"system_instruction\":{\"parts\":[{\"text\":\"p\"},{\"text\":\"s\"}]},"
              "\"contents\":[{\"parts\":[{\"text\":\"a\"}]}]}");
    const struct weir_edit model = FIELD(WEIR_FIELD_MODEL, "\"n\"");
    CHECK_STR(spliced("{\"model\":\"models/m\",\"contents\":[{\"parts\":[{\"text\":\"a\"}]}]}", &model, 1),
              "{\"model\":\"models/n\",\"contents\":[{\"parts\":[{\"text\":\"a\"}]}]}");
}

/* ---- answers ---- */

static struct weir_event event_of(uint32_t kind, uint32_t block)
{
    return (struct weir_event){ .size = sizeof(struct weir_event), .kind = (uint16_t)kind, .block = block };
}

static void tell(struct lab *l, struct weir_event e)
{
    struct scratch s = scratch_enter();
    CHECK_INT(l->codec->encode_event(l->self, &l->call, l->state, &e, &l->told), 0);
    scratch_leave(s);
    collector_add(l->collector, &e);
}

static void tell_delta(struct lab *l, uint32_t kind, const char *text, const char *dialect)
{
    struct weir_event e = event_of(WEIR_EVENT_DELTA, 0);
    e.delta_kind = (uint16_t)kind;
    e.text = weir_plain(weir_cstr(text));
    e.dialect = weir_cstr(dialect);
    tell(l, e);
}

/* A thought that another dialect's provider signed, told to a client of this one. */
static struct lab *told_thought(const char *path, const char *query)
{
    struct lab *l = asked(path, query, "{\"contents\":[{\"parts\":[{\"text\":\"hi\"}]}]}");
    struct weir_event start = event_of(WEIR_EVENT_START, 0), block = event_of(WEIR_EVENT_BLOCK_START, 0),
                      finish = event_of(WEIR_EVENT_FINISH, 0);
    if (!l)
        return NULL;
    start.id = WEIR_LIT("r");
    start.name = WEIR_LIT("m");
    block.block_kind = WEIR_BLOCK_THINKING;
    finish.finish = WEIR_FINISH_STOP;
    tell(l, start);
    tell(l, block);
    tell_delta(l, WEIR_DELTA_TEXT, "one ", "");
    tell_delta(l, WEIR_DELTA_TEXT, "\"two\"", "");
    tell_delta(l, WEIR_DELTA_SIGNATURE, "s?g>", "anthropic");
    tell(l, event_of(WEIR_EVENT_BLOCK_STOP, 0));
    tell(l, finish);
    tell(l, event_of(WEIR_EVENT_END, 0));
    return l;
}

#define WRAPPED "d2VpcjE6YW50aHJvcGljOnM/Zz4="

TEST(signatures_of_others_travel_marked)
{
    struct lab *l = told_thought("/v1beta/models/m:streamGenerateContent", "alt=sse");
    CHECK(l && strstr(lab_cstr(l, out_bytes(&l->told)),
                      "{\"text\":\"\",\"thought\":true,\"thoughtSignature\":\"" WRAPPED "\"}"));
    lab_end(l);
    const char *got = meant("{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"q\"}]},{\"role\":\"model\",\"parts\":[{\"text\":\"one "
                            "\",\"thought\":true}]},{\"role\":\"model\",\"parts\":[{\"text\":\"\\\"two\\\"\",\"thought\":true},{\"text\":\"\","
                            "\"thought\":true,\"thoughtSignature\":\"d2VpcjE6YW50aHJvcGljOnM_Zz4\"}]}]}");
    CHECK(strstr(got, "part 7 text=<one \"two\"> signature=<s?g>"));
}

TEST(a_stream_without_sse_is_an_array)
{
    struct lab *l = told_thought("/v1beta/models/m:streamGenerateContent", "");
    const char *text = lab_cstr(l, out_bytes(&l->told));
    size_t n = strlen(text);
    CHECK(strncmp(text, "[{\"candidates\":", 15) == 0 && text[n - 1] == ']' && !strstr(text, "data:"));
    char first[4096] = "";
    for (size_t piece = 0; piece < 40; piece++) { /* 0: all at once */
        struct lab *up = lab_begin(l->plugin, 'e', NULL);
        CHECK_INT(lab_decode_answer(up, WEIR_FRAMING_OWN, weir_cstr(text), piece, true), 0);
        const char *said = dump_answer(up);
        CHECK(strstr(said, "text=<one \"two\">"));
        if (!piece)
            snprintf(first, sizeof(first), "%s", said);
        CHECK_STR(said, first);
        lab_end(up);
    }
    struct lab *whole = lab_begin(l->plugin, 'e', NULL);
    CHECK_INT(lab_decode_answer(whole, WEIR_FRAMING_JSON, weir_cstr(text), 0, true), 0);
    CHECK_STR(dump_answer(whole), first);
    lab_end(whole);
    lab_end(l);
}

static bool is_whole(const char *bytes)
{
    struct lab *up = lab_begin(lab_plugin("gemini"), 'e', NULL);
    int rc = lab_decode_answer(up, WEIR_FRAMING_OWN, weir_cstr(bytes), 0, true);
    lab_end(up);
    return rc == 0;
}

#define ELEMENT(text, rest) "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"" text "\"}]}" rest "}],\"modelVersion\":\"m\"}"
#define STOP ",\"finishReason\":\"STOP\""

TEST(an_array_is_cut_where_its_elements_end)
{
    CHECK(is_whole("[" ELEMENT("a]},{\\\"[", "") "\n,\r\n" ELEMENT("b", STOP) "\n]\n \r\n"));
    CHECK(is_whole(ELEMENT("alone", STOP) "\n"));
    CHECK(is_whole(" [ " ELEMENT("b", STOP) "]"));
    CHECK(!is_whole("[" ELEMENT("a", "") ",\n"));
    CHECK(!is_whole("[" ELEMENT("a", "") "]"));
    CHECK(!is_whole("[" ELEMENT("a", STOP) ",{\"candidates\":["));
    CHECK(!is_whole("[" ELEMENT("a", STOP) "]]"));
    CHECK(!is_whole("[[" ELEMENT("a", STOP) "]]"));
    CHECK(!is_whole("oops"));
    CHECK(!is_whole("[]"));
}

/* Each event at once, and an error as the last element. */
TEST(an_array_grows_with_its_events)
{
    struct lab *l = asked("/v1beta/models/m:streamGenerateContent", "", "{\"contents\":[{\"parts\":[{\"text\":\"hi\"}]}]}");
    struct weir_event start = event_of(WEIR_EVENT_START, 0), block = event_of(WEIR_EVENT_BLOCK_START, 0),
                      error = event_of(WEIR_EVENT_ERROR, 0);
    struct weir_error what = { .size = sizeof(what), .error_class = WEIR_ERROR_BROKEN, .status = 502, .message = WEIR_LIT("gone") };
    start.name = WEIR_LIT("m");
    block.block_kind = WEIR_BLOCK_TEXT;
    error.error = &what;
    tell(l, start);
    tell(l, block);
    tell_delta(l, WEIR_DELTA_TEXT, "one", "");
    CHECK(strstr(lab_cstr(l, out_bytes(&l->told)), "\"one\"") && !strstr(lab_cstr(l, out_bytes(&l->told)), "data:"));
    struct scratch s = scratch_enter();
    CHECK_INT(l->codec->encode_event(l->self, &l->call, l->state, &error, &l->told), 0);
    scratch_leave(s);
    const char *text = lab_cstr(l, out_bytes(&l->told));
    CHECK(strstr(text, "},\r\n{\"error\":{\"code\":") && strcmp(text + strlen(text) - 2, "}]") == 0);
    lab_end(l);
}

/* What went out before were the provider's bytes, or only a sign of life. */
TEST(an_error_behind_relayed_bytes_goes_on_in_the_array)
{
    for (uint16_t flags = 0; flags <= WEIR_EVENT_BEHIND_BYTES; flags += WEIR_EVENT_BEHIND_BYTES) {
        struct lab *l = asked("/v1beta/models/m:streamGenerateContent", "", "{\"contents\":[{\"parts\":[{\"text\":\"hi\"}]}]}");
        struct weir_event error = event_of(WEIR_EVENT_ERROR, 0);
        struct weir_error what = { .size = sizeof(what), .error_class = WEIR_ERROR_BROKEN, .status = 502, .message = WEIR_LIT("gone") };
        error.error = &what;
        error.flags = flags;
        struct scratch s = scratch_enter();
        CHECK_INT(l->codec->encode_event(l->self, &l->call, l->state, &error, &l->told), 0);
        scratch_leave(s);
        CHECK(strncmp(lab_cstr(l, out_bytes(&l->told)), flags ? ",\r\n{\"error\"" : "[{\"error\"", 9) == 0);
        lab_end(l);
    }
}

/* ---- the calls beside chat ---- */

TEST(counts_and_vectors)
{
    struct lab *count = asked("/v1beta/models/m:countTokens", "",
                              "{\"generateContentRequest\":{\"model\":\"models/m\",\"contents\":[{\"parts\":[{\"text\":\"hi\"}]}],"
                              "\"tools\":[{\"functionDeclarations\":[{\"name\":\"f\"}]}]}}");
    CHECK(count && !count->has_failed && count->conversation->view.tools && count->conversation->view.messages);
    struct lab *one = asked("/v1beta/models/m:embedContent", "",
                            "{\"content\":{\"parts\":[{\"text\":\"hi\"}]},\"taskType\":\"RETRIEVAL_QUERY\",\"outputDimensionality\":8}");
    CHECK(one && strstr(dump_conversation(one), "=\"query\"") && strstr(dump_conversation(one), "=8"));
    struct lab *batch = asked("/v1beta/models/m:batchEmbedContents", "",
                              "{\"requests\":[{\"model\":\"models/m\",\"content\":{\"parts\":[{\"text\":\"a\"}]}},{\"model\":\"models/m\","
                              "\"content\":{\"parts\":[{\"text\":\"b\"}]}}]}");
    CHECK_INT(batch->conversation->view.n_messages, 2);
    struct lab *up = lab_begin(batch->plugin, 'e', batch->conversation);
    up->view = batch->view;
    CHECK_INT(lab_decode_answer(up, WEIR_FRAMING_JSON, WEIR_LIT("{\"embeddings\":[{\"values\":[1,0.5]},{\"values\":[2]}]}"), 0, true), 0);
    CHECK(strstr(lab_cstr(up, out_bytes(&up->log)), "text=[1,0.5]"));
    lab_end(up);
    struct lab *mixed = asked("/v1beta/models/m:batchEmbedContents", "",
                              "{\"requests\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]},\"taskType\":\"CLUSTERING\"},{\"content\":{"
                              "\"parts\":[{\"text\":\"b\"}]},\"taskType\":\"RETRIEVAL_QUERY\"}]}");
    CHECK(mixed->has_failed && strstr(lab_cstr(mixed, mixed->error.message), "requests[1].taskType"));
    lab_end(count);
    lab_end(one);
    lab_end(batch);
    lab_end(mixed);
}

TEST(errors_in_googles_shape)
{
    struct lab *l = asked("/v1beta/models/m:generateContent", "", "{}");
    struct weir_error e = { .size = sizeof(e), .error_class = WEIR_ERROR_RATE_LIMITED, .status = 429, .retry_after_ms = 1500,
                            .message = WEIR_LIT("slow"), .code = WEIR_LIT("rate_limited"), .param = WEIR_LIT("contents[0]") };
    struct weir_out out = { 0 };
    l->codec->encode_error(l->self, &l->call, NULL, &e, &out);
    CHECK_STR(lab_cstr(l, out_bytes(&out)),
              "{\"error\":{\"code\":429,\"message\":\"slow\",\"status\":\"RESOURCE_EXHAUSTED\",\"details\":[{\"@type\":"
              "\"type.googleapis.com/google.rpc.ErrorInfo\",\"reason\":\"rate_limited\",\"domain\":\"weir\"},{\"@type\":"
              "\"type.googleapis.com/google.rpc.BadRequest\",\"fieldViolations\":[{\"field\":\"contents[0]\",\"description\":\"slow\"}]},{"
              "\"@type\":\"type.googleapis.com/google.rpc.RetryInfo\",\"retryDelay\":\"2s\"}]}}");
    out_free(&out);
    lab_end(l);
}
