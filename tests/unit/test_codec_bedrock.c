/* The bedrock codec on small pieces of wire: what recordings don't show. */
#include "aws_wire.h"
#include "codec_lab.h"
#include "recordings.h"
#include "test.h"

static const struct weir_plugin *plugin;

static bool has_plugin(void)
{
    if (!plugin)
        plugin = lab_plugin("bedrock");
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

static struct lab *client_at(const char *path)
{
    struct lab *l = lab_begin(plugin, 'i', NULL);
    l->view.path = str(path);
    return l;
}

static void check_refused(const char *path, const char *body, const char *param, const char *message)
{
    struct lab *l = client_at(path);
    CHECK_INT(lab_decode_request(l, str(body)), -1);
    CHECK(l->has_failed);
    CHECK_STR(lab_cstr(l, l->error.param), param);
    CHECK(contains(lab_cstr(l, l->error.message), message));
    lab_end(l);
}

#define PATH "/model/m/converse"
#define HI "\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"hi\"}]}]"
#define SAID(block) "{\"messages\":[{\"role\":\"user\",\"content\":[" block "]}]}"

TEST(bad_requests_name_the_field)
{
    NEED_PLUGIN;
    check_refused("/model//converse", "{" HI "}", "modelId", "is missing");
    check_refused("/model/m", "{" HI "}", "modelId", "is missing");
    check_refused(PATH, "{}", "messages", "is missing or empty");
    check_refused(PATH, "{\"messages\":[]}", "messages", "is missing or empty");
    check_refused(PATH, "{\"messages\":[{\"content\":[{\"text\":\"x\"}]}]}", "messages[0].role", "is missing");
    check_refused(PATH, "{\"messages\":[{\"role\":\"user\"}]}", "messages[0].content", "is missing");
    check_refused(PATH, "{\"messages\":[{\"role\":\"tool\",\"content\":[{\"text\":\"x\"}]}]}", "messages[0].role",
                  "user or assistant");
    check_refused(PATH, "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}", "messages[0].content", "array");
    check_refused(PATH, SAID("{\"text\":3}"), "messages[0].content[0].text", "must be a string");
    check_refused(PATH, SAID("{}"), "messages[0].content[0]", "must have a member");
    check_refused(PATH, SAID("{\"text\":\"a\",\"json\":1}"), "messages[0].content[0]", "one member");
    check_refused(PATH, SAID("{\"image\":{\"format\":\"png\"}}"), "messages[0].content[0].image", "source with bytes");
    check_refused(PATH, SAID("{\"toolUse\":{\"name\":\"f\",\"input\":{}}}"), "messages[0].content[0].toolUse",
                  "toolUseId");
    check_refused(PATH, SAID("{\"toolResult\":{\"content\":[]}}"), "messages[0].content[0].toolResult", "toolUseId");
    check_refused(PATH, "{" HI ",\"inferenceConfig\":{\"maxTokens\":-1}}", "inferenceConfig.maxTokens", "integer");
    check_refused(PATH, "{" HI ",\"inferenceConfig\":{\"stopSequences\":\"x\"}}", "inferenceConfig.stopSequences",
                  "array of strings");
    check_refused(PATH, "{" HI ",\"toolConfig\":{\"tools\":[{\"toolSpec\":{}}]}}", "toolConfig.tools[0].toolSpec",
                  "name");
    check_refused(PATH, "{" HI ",\"toolConfig\":{\"tools\":[],\"toolChoice\":{\"tool\":{}}}}", "toolConfig.toolChoice",
                  "must be");
    check_refused(PATH, "{" HI ",\"outputConfig\":{\"textFormat\":{\"type\":\"json_schema\"}}}",
                  "outputConfig.textFormat", "string of JSON");
    check_refused(PATH, "{" HI ",\"additionalModelRequestFields\":{\"thinking\":{\"type\":\"enabled\"}}}",
                  "additionalModelRequestFields.thinking", "budget_tokens");
    check_refused(PATH, "{" HI ",\"system\":\"s\"}", "system", "array");
    check_refused(PATH, "{" HI, "messages", "");
}

static const char *decoded(struct lab *l, const char *body)
{
    if (lab_decode_request(l, str(body)) < 0)
        printf("  %.*s\n", S(l->error.message));
    return dump_conversation(l);
}

TEST(the_path_says_model_and_stream)
{
    NEED_PLUGIN;
    static const char *const paths[][2] = {
        { "/model/m/converse", "field 0=\"m\"\nuser" },
        { "/bedrock/model/us.anthropic.claude-haiku-4-5-v1%3A0/converse-stream",
          "field 0=\"us.anthropic.claude-haiku-4-5-v1:0\"\nfield 1=true\nfield 2=true\n" },
        { "/model/openai%2Fgpt-4o/converse", "field 0=\"openai/gpt-4o\"\nuser" },
        { "/model/a:b/converse", "field 0=\"a:b\"\n" },
        { "/model/100%25%2/converse", "field 0=\"100%%2\"\n" },
        { "/model/a%22b/converse", "field 0=\"a\\\"b\"\n" },
        { "/model/arn:aws:bedrock:eu-west-1:1:inference-profile/eu.x/converse",
          "field 0=\"arn:aws:bedrock:eu-west-1:1:inference-profile/eu.x\"\n" },
    };
    for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
        struct lab *l = client_at(paths[i][0]);
        CHECK(contains(decoded(l, "{" HI "}"), paths[i][1]));
        lab_end(l);
    }
}

TEST(the_prompt_leads_and_results_are_messages)
{
    NEED_PLUGIN;
    struct lab *l = client_at(PATH);
    CHECK_STR(
        decoded(
            l, "{\"messages\":[{\"content\":[{\"text\":\"a\"}],\"role\":\"user\"},"
               "{\"role\":\"assistant\",\"content\":[{\"toolUse\":{\"toolUseId\":\"t\",\"name\":\"f\",\"input\":{\"x\":"
               "1}}}]},"
               "{\"role\":\"user\",\"content\":[{\"toolResult\":{\"toolUseId\":\"t\",\"status\":\"error\",\"content\":"
               "[{\"text\":\"r\"},{\"json\":[1]}]}},{\"text\":\"c\",\"image\":null}]}],\"system\":[{\"text\":\"s\"}]}"),
        "field 0=\"m\"\nsystem\n   part 1 text=<s>\nuser\n   part 1 text=<a>\nassistant\n   part 5 text=<{\"x\":1}> "
        "id=<t> name=<f>\ntool\n   part 6 flags=1 id=<t>\n     part 1 text=<r>\n     part 1 text=<[1]> "
        "type=<application/json>\nuser\n   part 1 text=<c>\n");
    lab_end(l);
}

TEST(settings_have_their_canonical_forms)
{
    NEED_PLUGIN;
    struct lab *l = client_at(PATH);
    const char *text = decoded(
        l, "{" HI ",\"additionalModelRequestFields\":{\"top_k\":5,\"thinking\":{\"type\":\"adaptive\"},"
           "\"output_config\":{\"effort\":\"low\"}},\"serviceTier\":{\"type\":\"flex\"},\"toolConfig\":{\"tools\":["
           "{\"toolSpec\":{\"name\":\"f\",\"inputSchema\":{\"json\":{\"a\":1}}}}],\"toolChoice\":{\"any\":{}}}}");
    CHECK(contains(text, "field 6=5\n"));
    CHECK(contains(text, "field 17=\"flex\"\nfield 18=\"required\"\nfield 21=\"low\"\nfield 22=-1\nfield 23=true\n"));
    lab_end(l);
    l = client_at(PATH);
    text = decoded(l, "{" HI ",\"additionalModelRequestFields\":{\"reasoningConfig\":{\"type\":\"disabled\"}}}");
    CHECK(contains(text, "field 21=\"none\"\n"));
    lab_end(l);
}

TEST(what_only_this_dialect_has_needs_it)
{
    NEED_PLUGIN;
    static const char *const bodies[] = {
        SAID("{\"guardContent\":{\"text\":{\"text\":\"x\"}}}"),
        SAID("{\"video\":{\"format\":\"mp4\",\"source\":{\"bytes\":\"AA==\"}}}"),
        SAID("{\"image\":{\"format\":\"png\",\"source\":{\"s3Location\":{\"uri\":\"s3://b/k\"}}}}"),
        SAID("{\"cachePoint\":{\"type\":\"default\"}},{\"text\":\"x\"}"),
        "{" HI ",\"toolConfig\":{\"tools\":[{\"systemTool\":{\"name\":\"nova_grounding\"}}]}}",
    };
    for (size_t i = 0; i < sizeof(bodies) / sizeof(*bodies); i++) {
        struct lab *l = client_at(PATH);
        CHECK_INT(lab_decode_request(l, str(bodies[i])), 0);
        CHECK(l->conversation->view.needs & WEIR_CAN_OPAQUE);
        lab_end(l);
    }
}

/* ---- splices ---- */

static void check_splices(const char *body, const struct weir_edit *edits, int n, const char *want)
{
    struct lab *l = client_at(PATH);
    struct weir_str *pieces;
    uint32_t count;
    struct weir_out o = { 0 };
    int rc = 0;
    CHECK_INT(lab_decode_request(l, str(body)), 0);
    for (int i = 0; i < n; i++) {
        struct scratch s = scratch_enter();
        rc |= plugin->codec->splice(l->self, &l->call, l->state, &edits[i]);
        scratch_leave(s);
    }
    CHECK_INT(rc, want ? 0 : -1);
    CHECK_INT(splices_apply(&l->splices, l->conversation->view.body, &pieces, &count), 0);
    for (uint32_t i = 0; i < count; i++)
        out_write(&o, pieces[i]);
    if (want)
        CHECK_STR(lab_cstr(l, out_bytes(&o)), want);
    out_free(&o);
    lab_end(l);
}

static struct weir_edit field_edit(enum weir_field f, const char *json)
{
    return (
        struct weir_edit){ .size = sizeof(struct weir_edit), .kind = WEIR_EDIT_FIELD, .field = f, .value = str(json) };
}

#define BASE HI "}"

TEST(edits_are_put_into_the_bytes)
{
    NEED_PLUGIN;
    struct weir_edit system = { .size = sizeof(system),
                                .kind = WEIR_EDIT_PREPEND_SYSTEM,
                                .value = WEIR_LIT("be \"kind\"") };
    struct weir_edit model = field_edit(WEIR_FIELD_MODEL, "\"other\""), top_k = field_edit(WEIR_FIELD_TOP_K, "5");
    struct weir_edit two[] = { field_edit(WEIR_FIELD_TEMPERATURE, "0.5"), field_edit(WEIR_FIELD_MAX_TOKENS, "9") };
    check_splices("{" BASE, &model, 1, "{" BASE);
    check_splices("{" BASE, two, 1, "{\"inferenceConfig\":{\"temperature\":0.5}," BASE);
    check_splices("{\"inferenceConfig\":{ \"topP\":1}," BASE, two, 1,
                  "{\"inferenceConfig\":{\"temperature\":0.5, \"topP\":1}," BASE);
    check_splices("{\"inferenceConfig\":{ }," BASE, two, 1, "{\"inferenceConfig\":{\"temperature\":0.5 }," BASE);
    check_splices("{" BASE, two, 2, NULL);
    check_splices("{" BASE, &top_k, 1, NULL);
    check_splices("{" BASE, &system, 1, "{\"system\":[{\"text\":\"be \\\"kind\\\"\"}]," BASE);
    check_splices("{\"system\":[{\"text\":\"s\"}]," BASE, &system, 1,
                  "{\"system\":[{\"text\":\"be \\\"kind\\\"\"},{\"text\":\"s\"}]," BASE);
    check_splices("{\"system\": []," BASE, &system, 1, "{\"system\": [{\"text\":\"be \\\"kind\\\"\"}]," BASE);
    check_splices("{\"system\":null," BASE, &system, 1, NULL);
}

/* ---- towards the provider ---- */

/* What another dialect's conversation becomes; made by this dialect's own decoder, then called another's. */
static const char *sent_as(struct lab **up, const char *model, const char *body, enum weir_field f, const char *json)
{
    struct lab *client = client_at(lab_cstr(*up, arena_printf((*up)->arena, "/model/%s/converse", model)));
    if (lab_decode_request(client, str(body)) < 0)
        printf("  %.*s\n", S(client->error.message));
    client->conversation->view.dialect = WEIR_LIT("openai");
    for (struct weir_message *m = client->conversation->view.messages; m; m = m->next)
        for (struct weir_part *p = m->parts; p; p = p->next)
            if (p->kind == WEIR_PART_THINKING)
                p->dialect = WEIR_LIT("openai");
    if (json)
        conversation_set_field(client->conversation, f, str(json), WEIR_NONE);
    struct lab *l = lab_begin(plugin, 'e', client->conversation);
    struct scratch s = scratch_enter();
    int rc = plugin->codec->request_head(l->self, &l->call, l->state, NULL);
    rc = rc ? rc : plugin->codec->encode_request(l->self, &l->call, l->state, &client->conversation->view, &l->told);
    scratch_leave(s);
    CHECK(!l->undeclared_loss);
    if (rc < 0)
        out_write(&l->told, l->error.message);
    lab_end(*up);
    *up = l;
    l->conversation = NULL; /* the client's */
    lab_end(client);
    return lab_cstr(l, out_bytes(&l->told));
}

#define START_LAB struct lab *l = lab_begin(plugin, 'e', NULL)
#define CLAUDE "anthropic.claude-sonnet-4-5-20250929-v1%3A0"
#define NOTES lab_cstr(l, out_bytes(&l->notes))

TEST(the_model_is_encoded_in_the_path)
{
    NEED_PLUGIN;
    START_LAB;
    sent_as(&l, "arn:aws:bedrock:us-east-1:1:inference-profile%2Fus.x-v1:0", "{" HI "}", 0, NULL);
    CHECK(contains(lab_cstr(l, out_bytes(&l->head)),
                   "POST /model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.x-v1%3A0/converse\n"));
    sent_as(&l, "m", "{" HI "}", WEIR_FIELD_STREAM, "true");
    CHECK(contains(lab_cstr(l, out_bytes(&l->head)), "POST /model/m/converse-stream\n"));
    lab_end(l);
}

TEST(thinking_in_the_words_of_the_family)
{
    NEED_PLUGIN;
    static const struct {
        const char *model, *effort, *want, *loss;
    } cases[] = {
        { CLAUDE, "\"low\"", "\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":2048}",
          "loss=changed:reasoning_effort" },
        { "anthropic.claude-opus-4-6-v1", "\"xhigh\"",
          "{\"thinking\":{\"type\":\"adaptive\"},\"output_config\":{\"effort\":\"high\"}}",
          "loss=changed:reasoning_effort" },
        { "us.anthropic.claude-opus-5-v1", "\"none\"", "{\"thinking\":{\"type\":\"disabled\"}}", "" },
        { "amazon.nova-2-lite-v1:0", "\"high\"",
          "{\"reasoningConfig\":{\"type\":\"enabled\",\"maxReasoningEffort\":\"high\"}}", "" },
        { "openai.gpt-oss-120b-1:0", "\"minimal\"", "{\"reasoning_effort\":\"low\"}", "loss=changed:reasoning_effort" },
        { "meta.llama3-1-70b-instruct-v1:0", "\"low\"", "\"inferenceConfig\":{}}", "loss=dropped:reasoning_effort" },
    };
    START_LAB;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        CHECK(contains(sent_as(&l, cases[i].model, "{" HI "}", WEIR_FIELD_REASONING_EFFORT, cases[i].effort),
                       cases[i].want));
        CHECK(contains(NOTES, cases[i].loss));
    }
    CHECK(contains(sent_as(&l, CLAUDE, "{" HI "}", WEIR_FIELD_REASONING_EFFORT, "\"low\""), "\"maxTokens\":6144"));
    lab_end(l);
}

TEST(sampling_that_the_model_refuses_is_left_out)
{
    NEED_PLUGIN;
    START_LAB;
    static const char both[] = "{" HI ",\"inferenceConfig\":{\"temperature\":1.5,\"topP\":0.5}}";
    CHECK(contains(sent_as(&l, CLAUDE, both, 0, NULL), "\"inferenceConfig\":{\"temperature\":1}"));
    CHECK(contains(NOTES, "loss=changed:temperature"));
    CHECK(contains(NOTES, "loss=dropped:top_p"));
    CHECK(contains(sent_as(&l, "anthropic.claude-opus-5-v1", both, 0, NULL), "\"inferenceConfig\":{}"));
    CHECK(contains(NOTES, "loss=dropped:temperature"));
    CHECK(contains(sent_as(&l, "meta.llama3-1-8b-instruct-v1:0", both, WEIR_FIELD_TOP_K, "7"),
                   "\"inferenceConfig\":{\"temperature\":1,\"topP\":0.5}"));
    CHECK(contains(NOTES, "loss=dropped:top_k"));
    CHECK(contains(sent_as(&l, "amazon.nova-pro-v1:0", "{" HI "}", WEIR_FIELD_TOP_K, "7"),
                   "\"additionalModelRequestFields\":{\"inferenceConfig\":{\"topK\":7}}"));
    lab_end(l);
}

#define TOOLS ",\"toolConfig\":{\"tools\":[{\"toolSpec\":{\"name\":\"f\",\"inputSchema\":{\"json\":{}}}}]}"
#define CALLED                                                                                                         \
    "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"a\"}]},{\"role\":\"assistant\",\"content\":[{"         \
    "\"toolUse\":{"                                                                                                    \
    "\"toolUseId\":\"call/1\",\"name\":\"f.x\",\"input\":{}}}]},{\"role\":\"user\",\"content\":[{\"toolResult\":{"     \
    "\"toolUseId\":\"call/1\",\"content\":[]}}]}]"

TEST(forbidden_and_forced_calls)
{
    NEED_PLUGIN;
    START_LAB;
    const char *text = sent_as(&l, CLAUDE, "{" HI TOOLS "}", WEIR_FIELD_TOOL_CHOICE, "\"none\"");
    CHECK(!strstr(text, "toolConfig"));
    CHECK(contains(NOTES, "loss=emulated:tool_choice: the tools are left out"));
    text = sent_as(&l, CLAUDE, CALLED TOOLS "}", WEIR_FIELD_TOOL_CHOICE, "\"none\"");
    CHECK(contains(text, "\"system\":[{\"text\":\"Answer this turn without calling a tool.\"}]"));
    CHECK(contains(text, "\"toolConfig\""));
    text = sent_as(&l, CLAUDE, CALLED "}", 0, NULL);
    CHECK(contains(text, "\"toolConfig\":{\"tools\":[{\"toolSpec\":{\"name\":\"f_x_"));
    CHECK(contains(text, "\"toolUseId\":\"call_1_"));
    CHECK(contains(text, "\"content\":[{\"text\":\"(empty)\"}]"));
    CHECK(contains(NOTES, "loss=emulated:tools"));
    text = sent_as(&l, "anthropic.claude-sonnet-5-5-v1", "{" HI TOOLS "}", WEIR_FIELD_TOOL_CHOICE, "{\"name\":\"f\"}");
    CHECK(contains(text, "\"toolChoice\":{\"auto\":{}}"));
    CHECK(contains(text, "by calling the tool f."));
    text = sent_as(&l, CLAUDE, "{" HI TOOLS "}", WEIR_FIELD_TOOL_CHOICE, "{\"name\":\"f\"}");
    CHECK(contains(text, "\"toolChoice\":{\"tool\":{\"name\":\"f\"}}"));
    lab_end(l);
}

TEST(mistral_wants_ids_of_nine_characters)
{
    NEED_PLUGIN;
    START_LAB;
    const char *text = sent_as(&l, "mistral.mistral-large-2407-v1:0", CALLED TOOLS "}", 0, NULL);
    const char *first = strstr(text, "\"toolUseId\":\""),
               *second = first ? strstr(first + 9, "\"toolUseId\":\"") : NULL;
    CHECK(second && strncmp(first, second, 13 + 9 + 1) == 0 && first[13 + 9] == '"');
    lab_end(l);
}

TEST(schemas_by_format_or_by_sentence)
{
    NEED_PLUGIN;
    START_LAB;
    static const char format[] = "{\"name\":\"n\",\"schema\":{\"type\":\"object\",\"properties\":{\"a\":{}}}}";
    CHECK(contains(sent_as(&l, CLAUDE, "{" HI "}", WEIR_FIELD_RESPONSE_FORMAT, format),
                   "\"jsonSchema\":{\"schema\":\"{\\\"type\\\":\\\"object\\\",\\\"properties\\\":{\\\"a\\\":{}},"
                   "\\\"additionalProperties\\\":false}\",\"name\":\"n\"}"));
    CHECK(contains(NOTES, "loss=emulated:response_format: objects are closed"));
    CHECK(contains(sent_as(&l, "amazon.nova-pro-v1:0", "{" HI "}", WEIR_FIELD_RESPONSE_FORMAT, format),
                   "JSON Schema: {\\\"type\\\""));
    CHECK(contains(NOTES, "loss=emulated:response_format"));
    CHECK(contains(sent_as(&l, CLAUDE, "{" HI "}", WEIR_FIELD_RESPONSE_FORMAT, "\"json_object\""), "one JSON object"));
    lab_end(l);
}

TEST(documents_have_fit_and_distinct_names)
{
    NEED_PLUGIN;
    START_LAB;
#define DOC(name) "{\"document\":{\"format\":\"pdf\",\"name\":\"" name "\",\"source\":{\"bytes\":\"AA==\"}}}"
    const char *text = sent_as(&l, CLAUDE, SAID(DOC("a_b..c.pdf") "," DOC("a b c pdf") "," DOC("\\u00e9")), 0, NULL);
    CHECK(contains(text, "\"name\":\"a b c pdf\""));
    CHECK(contains(text, "\"name\":\"a b c pdf 2\""));
    CHECK(contains(text, "\"name\":\"document\""));
    CHECK(contains(text, "{\"text\":\"(See the document.)\"}"));
    CHECK(contains(NOTES, "loss=emulated:file_data"));
    lab_end(l);
}

TEST(foreign_thoughts_are_left_out_and_named)
{
    NEED_PLUGIN;
    START_LAB;
    const char *text = sent_as(
        &l, CLAUDE,
        "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"a\"}]},{\"role\":\"assistant\",\"content\":["
        "{\"reasoningContent\":{\"reasoningText\":{\"text\":\"hm\",\"signature\":\"s\"}}},{\"text\":\"  \"},"
        "{\"text\":\"b\"}]}]}",
        0, NULL);
    CHECK(contains(text, "{\"role\":\"assistant\",\"content\":[{\"text\":\"b\"}]}"));
    CHECK(contains(NOTES, "loss=dropped:thinking"));
    CHECK(contains(NOTES, "loss=dropped:signature"));
    lab_end(l);
}

TEST(what_would_be_another_request_is_refused)
{
    NEED_PLUGIN;
    START_LAB;
    CHECK(contains(sent_as(&l, CLAUDE, "{" HI "}", WEIR_FIELD_N, "2"), "one answer per request"));
    CHECK_INT(l->error.error_class, WEIR_ERROR_UNSUPPORTED);
    CHECK(contains(sent_as(&l, CLAUDE, "{" HI "}", WEIR_FIELD_MODALITIES, "[\"audio\"]"), "text only"));
    CHECK(
        contains(sent_as(&l, CLAUDE, SAID("{\"image\":{\"format\":\"bmp\",\"source\":{\"bytes\":\"AA==\"}}}"), 0, NULL),
                 "png, jpeg, gif or webp"));
    lab_end(l);
}

/* ---- the signature ---- */

static const char *signed_with(struct lab *l, const char *key, const char *url, const char *body, int64_t now_ms)
{
    const struct weir_outgoing_header type = { WEIR_LIT("Content-Type"), WEIR_LIT("application/json") };
    struct weir_str pieces[] = { { body, 1 }, { body + 1, strlen(body) - 1 } };
    const struct weir_outgoing q = { .size = sizeof(q),
                                     .method = WEIR_LIT("POST"),
                                     .url = str(url),
                                     .n_headers = 1,
                                     .headers = &type,
                                     .body = pieces,
                                     .n_body = 2,
                                     .now_ms = now_ms };
    l->key = key;
    CHECK_INT(plugin->codec->sign(l->self, &l->call, l->state, &q), 0);
    return lab_cstr(l, out_bytes(&l->head));
}

#define KEY "AKIDEXAMPLE:wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define HOST "https://bedrock-runtime.us-east-1.amazonaws.com"
enum { NOW_S = 1735787045 }; /* 2025-01-02T03:04:05Z */

TEST(signatures_are_those_of_amazons_own_signer)
{
    NEED_PLUGIN;
    static const struct {
        const char *path, *signature;
    } cases[] = {
        { "/model/anthropic.claude-haiku-4-5-20251001-v1%3A0/converse",
          "cd8ea89e0f4f65fa9931543d0b2d11a025c2fd77f0c8fdeda8e1dd274445aa2a" },
        { "/model/anthropic.claude-haiku-4-5-20251001-v1:0/converse",
          "0dbe545db5a76c756bff944796904a907003791832d58453977ef29b8dda84e3" },
    };
    for (size_t i = 0; i < 2; i++) {
        struct lab *l = lab_begin(plugin, 'e', NULL);
        const char *head = signed_with(l, KEY, lab_cstr(l, arena_printf(l->arena, HOST "%s", cases[i].path)), "{}",
                                       INT64_C(1000) * NOW_S);
        CHECK(contains(head, "x-amz-date: 20250102T030405Z\n"));
        CHECK(contains(
            head, "authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20250102/us-east-1/bedrock/aws4_request, "
                  "SignedHeaders=content-type;host;x-amz-date, Signature="));
        CHECK(contains(head, cases[i].signature));
        lab_end(l);
    }
}

TEST(a_session_token_is_sent_and_signed)
{
    NEED_PLUGIN;
    struct lab *l = lab_begin(plugin, 'e', NULL);
    const char *head = signed_with(l, KEY ":token", HOST ":443/model/m/converse", "{}", INT64_C(1000) * NOW_S);
    CHECK(contains(head, "x-amz-security-token: token\n"));
    CHECK(contains(head, "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, "));
    lab_end(l);
}

/* ---- answers ---- */

static struct lab *answer(const char *json, int want)
{
    struct lab *l = lab_begin(plugin, 'e', NULL);
    l->conversation = conversation_new(l->arena, WEIR_LIT("bedrock"), WEIR_OP_CHAT, WEIR_LIT("{}"));
    conversation_set_field(l->conversation, WEIR_FIELD_MODEL, WEIR_LIT("\"m\""), WEIR_NONE);
    CHECK_INT(lab_decode_answer(l, WEIR_FRAMING_JSON, str(json), 0, true), want);
    return l;
}

TEST(a_document_that_is_no_answer_is_none)
{
    NEED_PLUGIN;
    lab_end(answer("{}", -1));
    lab_end(answer("[]", -1));
    lab_end(answer("{\"output\":{\"message\":{\"content\":[{\"text\":3}]}}", -1));
    lab_end(answer("{\"usage\":{\"inputTokens\":1}}", -1));
    struct lab *l = answer("{\"message\":\"no such model\"}", 0);
    CHECK(l->has_error && !l->has_ended);
    lab_end(l);
}

TEST(usage_includes_the_cache)
{
    NEED_PLUGIN;
    struct lab *l =
        answer("{\"output\":{\"message\":{\"content\":[]}},\"stopReason\":\"end_turn\",\"usage\":{\"inputTokens\":3,"
               "\"outputTokens\":9,\"totalTokens\":12,\"cacheReadInputTokens\":4,\"cacheWriteInputTokens\":5}}",
               0);
    CHECK_STR(dump_answer(l), "id= model=m\nfinish 0=1\nusage 12 9 cached 4 5 reasoning -1\n");
    lab_end(l);
}

struct wire {
    const char *name, *payload;
};

static struct lab *streamed(const struct wire *w, int n, bool clean, int want)
{
    struct lab *l = lab_begin(plugin, 'e', NULL);
    struct weir_out o = { 0 };
    l->conversation = conversation_new(l->arena, WEIR_LIT("bedrock"), WEIR_OP_CHAT, WEIR_LIT("{}"));
    for (int i = 0; i < n; i++)
        aws_put_message(&o, str(w[i].name), str(w[i].payload));
    CHECK_INT(lab_decode_answer(l, WEIR_FRAMING_AWS, out_bytes(&o), 0, clean), want);
    out_free(&o);
    return l;
}

TEST(only_a_reason_ends_an_answer)
{
    NEED_PLUGIN;
    static const struct wire w[] = {
        { "messageStart", "{\"role\":\"assistant\"}" },
        { "contentBlockDelta", "{\"contentBlockIndex\":0,\"delta\":{\"text\":\"a\"}}" },
        { "contentBlockStop", "{\"contentBlockIndex\":0}" },
        { "messageStop", "{\"stopReason\":\"malformed_tool_use\"}" },
        { "metadata", "{\"usage\":{\"inputTokens\":1,\"outputTokens\":2}}" },
    };
    for (int n = 0; n <= 5; n++)
        for (int clean = 0; clean < 2; clean++)
            lab_end(streamed(w, n, clean, n == 5 || (n == 4 && clean) ? 0 : -1));
    struct lab *l = streamed(w, 5, true, 0);
    CHECK_STR(dump_answer(l),
              "id= model=\nblock 0/0 kind 1 text=<a>\nfinish 0=9\nusage 1 2 cached -1 -1 reasoning -1\n");
    lab_end(l);
}

TEST(pieces_that_make_no_sense_break_the_answer)
{
    NEED_PLUGIN;
    static const struct wire bad[][2] = {
        { { "contentBlockDelta", "{\"delta\":{\"text\":\"a\"}}" }, { "messageStop", "{}" } },
        { { "contentBlockDelta", "{\"contentBlockIndex\":-1,\"delta\":{\"text\":\"a\"}}" }, { "messageStop", "{}" } },
        { { "contentBlockDelta", "{\"contentBlockIndex\":0,\"delta\":{\"toolUse\":" }, { "messageStop", "{}" } },
        { { "contentBlockDelta", "{\"contentBlockIndex\":0,\"delta\":{\"text\":\"a\"}}" },
          { "contentBlockDelta", "{\"contentBlockIndex\":0,\"delta\":{\"toolUse\":{\"input\":\"{\"}}}" } },
        { { "messageStop", "{\"stopReason\":\"end_turn\"}" },
          { "contentBlockDelta", "{\"contentBlockIndex\":0,\"delta\":{\"text\":\"a\"}}" } },
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        lab_end(streamed(bad[i], 2, true, -1));
}

TEST(exceptions_have_their_class)
{
    NEED_PLUGIN;
    static const struct {
        const char *name;
        uint16_t class;
    } cases[] = {
        { "throttlingException", WEIR_ERROR_RATE_LIMITED },
        { "validationException", WEIR_ERROR_BAD_REQUEST },
        { "internalServerException", WEIR_ERROR_SERVER },
        { "modelStreamErrorException", WEIR_ERROR_SERVER },
        { "serviceUnavailableException", WEIR_ERROR_OVERLOADED },
        { "accessDeniedException", WEIR_ERROR_PERMISSION },
        { "brandNewException", WEIR_ERROR_SERVER },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct wire w = { cases[i].name, "{\"message\":\"why\"}" };
        struct lab *l = streamed(&w, 1, true, 0);
        CHECK(l->has_error);
        CHECK_INT(l->answer_error.error_class, cases[i].class);
        CHECK_STR(lab_cstr(l, l->answer_error.message), "why");
        lab_end(l);
    }
}

TEST(the_header_names_an_errors_type)
{
    NEED_PLUGIN;
    static const struct {
        const char *type;
        int status;
        uint16_t class;
    } cases[] = {
        { "ThrottlingException:http://internal.amazon.com/coral/com.amazon.bedrock/", 429, WEIR_ERROR_RATE_LIMITED },
        { "ModelNotReadyException", 429, WEIR_ERROR_OVERLOADED },
        { "ServiceQuotaExceededException", 400, WEIR_ERROR_QUOTA },
        { "UnrecognizedClientException", 403, WEIR_ERROR_AUTHENTICATION },
        { "InvalidSignatureException", 403, WEIR_ERROR_AUTHENTICATION },
        { "ExpiredTokenException", 403, WEIR_ERROR_AUTHENTICATION },
        { "AccessDeniedException", 403, WEIR_ERROR_PERMISSION },
        { "ModelTimeoutException", 408, WEIR_ERROR_TIMEOUT },
        { "ModelErrorException", 424, WEIR_ERROR_SERVER },
        { "SomethingNew", 529, WEIR_ERROR_OVERLOADED },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct lab *l = lab_begin(plugin, 'e', NULL);
        struct weir_error e = { .size = sizeof(e) };
        l->response_headers[0] = "x-amzn-errortype";
        l->response_headers[1] = cases[i].type;
        CHECK_INT(plugin->codec->decode_error(l->self, &l->call, l->state, cases[i].status,
                                              WEIR_LIT("{\"message\":\"why\"}"), &e),
                  0);
        CHECK_INT(e.error_class, cases[i].class);
        lab_end(l);
    }
}

/* ---- towards the client ---- */

TEST(blocks_that_grow_at_once_are_told_one_after_the_other)
{
    NEED_PLUGIN;
    struct lab *client = client_at(PATH);
    client->conversation = conversation_new(client->arena, WEIR_LIT("bedrock"), WEIR_OP_CHAT, WEIR_LIT("{}"));
    static const struct {
        uint16_t kind, block_kind, delta_kind;
        uint32_t block;
        const char *text;
    } events[] = {
        { WEIR_EVENT_START, 0, 0, 0, "" },
        { WEIR_EVENT_BLOCK_START, WEIR_BLOCK_TOOL_CALL, 0, 0, "" },
        { WEIR_EVENT_BLOCK_START, WEIR_BLOCK_TOOL_CALL, 0, 1, "" },
        { WEIR_EVENT_DELTA, WEIR_BLOCK_TOOL_CALL, WEIR_DELTA_ARGUMENTS, 1, "{\"b\":" },
        { WEIR_EVENT_DELTA, WEIR_BLOCK_TOOL_CALL, WEIR_DELTA_ARGUMENTS, 0, "{\"a\":1}" },
        { WEIR_EVENT_DELTA, WEIR_BLOCK_TOOL_CALL, WEIR_DELTA_ARGUMENTS, 1, "2}" },
        { WEIR_EVENT_BLOCK_STOP, WEIR_BLOCK_TOOL_CALL, 0, 1, "" },
        { WEIR_EVENT_BLOCK_STOP, WEIR_BLOCK_TOOL_CALL, 0, 0, "" },
        { WEIR_EVENT_FINISH, 0, 0, 0, "" },
        { WEIR_EVENT_END, 0, 0, 0, "" },
    };
    for (size_t i = 0; i < sizeof(events) / sizeof(*events); i++) {
        struct weir_event e = { .size = sizeof(e),
                                .kind = events[i].kind,
                                .block = events[i].block,
                                .block_kind = events[i].block_kind,
                                .delta_kind = events[i].delta_kind,
                                .text = weir_plain(str(events[i].text)),
                                .id = WEIR_LIT("t"),
                                .name = WEIR_LIT("f"),
                                .finish = WEIR_FINISH_TOOL_CALLS };
        struct scratch s = scratch_enter();
        CHECK_INT(plugin->codec->encode_event(client->self, &client->call, client->state, &e, &client->told), 0);
        scratch_leave(s);
    }
    struct lab *l = lab_begin(plugin, 'e', client->conversation);
    CHECK_INT(lab_decode_answer(l, WEIR_FRAMING_AWS, out_bytes(&client->told), 0, true), 0);
    CHECK_STR(dump_answer(l), "id= model=\nblock 0/0 kind 4 id=<t> name=<f> text=<{\"a\":1}>\nblock 0/1 kind 4 id=<t> "
                              "name=<f> text=<{\"b\":2}>\nfinish 0=4\nusage 0 0 cached -1 -1 reasoning -1\n");
    lab_end(l);
    lab_end(client);
}

TEST(errors_tell_their_type_in_a_header)
{
    NEED_PLUGIN;
    static const struct {
        uint16_t class;
        const char *type;
    } cases[] = {
        { WEIR_ERROR_BAD_REQUEST, "ValidationException" },
        { WEIR_ERROR_AUTHENTICATION, "UnrecognizedClientException" },
        { WEIR_ERROR_PERMISSION, "AccessDeniedException" },
        { WEIR_ERROR_NOT_FOUND, "ResourceNotFoundException" },
        { WEIR_ERROR_RATE_LIMITED, "ThrottlingException" },
        { WEIR_ERROR_QUOTA, "ServiceQuotaExceededException" },
        { WEIR_ERROR_OVERLOADED, "ServiceUnavailableException" },
        { WEIR_ERROR_TIMEOUT, "ModelTimeoutException" },
        { WEIR_ERROR_BROKEN, "ModelErrorException" },
        { WEIR_ERROR_INTERNAL, "InternalServerException" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct lab *l = client_at(PATH);
        struct weir_error e = { .size = sizeof(e), .error_class = cases[i].class, .message = WEIR_LIT("a \"reason\"") };
        CHECK_INT(plugin->codec->encode_error(l->self, &l->call, NULL, &e, &l->told), 0);
        CHECK_STR(lab_cstr(l, out_bytes(&l->told)), "{\"message\":\"a \\\"reason\\\"\"}");
        CHECK(contains(lab_cstr(l, out_bytes(&l->head)),
                       lab_cstr(l, arena_printf(l->arena, "< x-amzn-errortype: %s\n", cases[i].type))));
        lab_end(l);
    }
}

/* ---- vectors ---- */

static struct lab *embed_lab(const char *model, const char *const *texts)
{
    struct lab *l = lab_begin(plugin, 'e', NULL);
    l->conversation = conversation_new(l->arena, WEIR_LIT("openai"), WEIR_OP_EMBED, WEIR_LIT("{}"));
    conversation_set_field(l->conversation, WEIR_FIELD_MODEL, arena_printf(l->arena, "\"%s\"", model), WEIR_NONE);
    for (; *texts; texts++) {
        struct weir_message *m = conversation_message(l->conversation, WEIR_ROLE_USER);
        conversation_part(l->conversation, &m->parts, WEIR_PART_TEXT)->text = weir_plain(str(*texts));
    }
    return l;
}

static const char *embed_body(struct lab *l)
{
    struct scratch s = scratch_enter();
    plugin->codec->request_head(l->self, &l->call, l->state, NULL);
    if (plugin->codec->encode_request(l->self, &l->call, l->state, &l->conversation->view, &l->told) < 0)
        out_write(&l->told, l->error.message);
    scratch_leave(s);
    CHECK(!l->undeclared_loss);
    return lab_cstr(l, out_bytes(&l->told));
}

TEST(vectors_are_asked_for_in_the_models_words)
{
    NEED_PLUGIN;
    static const char *const one[] = { "a \"b\"", NULL }, *const two[] = { "a", "b", NULL };
    static const struct {
        const char *model;
        const char *const *texts;
        const char *want, *loss;
    } cases[] = {
        { "amazon.titan-embed-text-v2:0", one, "{\"inputText\":\"a \\\"b\\\"\",\"dimensions\":256}",
          "loss=dropped:input_type" },
        { "amazon.titan-embed-text-v1", one, "{\"inputText\":\"a \\\"b\\\"\"}", "loss=dropped:dimensions" },
        { "amazon.titan-embed-text-v2:0", two, "one text per request", "" },
        { "cohere.embed-english-v3", two,
          "{\"texts\":[\"a\",\"b\"],\"input_type\":\"search_query\",\"truncate\":\"START\"}",
          "loss=dropped:dimensions" },
        { "us.cohere.embed-v4:0", two,
          "{\"texts\":[\"a\",\"b\"],\"input_type\":\"search_query\",\"truncate\":\"LEFT\",\"output_dimension\":256}",
          "" },
        { "amazon.nova-2-multimodal-embeddings-v1:0", one,
          "{\"taskType\":\"SINGLE_EMBEDDING\",\"singleEmbeddingParams\":{\"embeddingPurpose\":\"GENERIC_RETRIEVAL\","
          "\"embeddingDimension\":256,\"text\":{\"truncationMode\":\"START\",\"value\":\"a \\\"b\\\"\"}}}",
          "" },
        { "anthropic.claude-haiku-4-5-20251001-v1:0", one, "can be asked for vectors", "" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct lab *l = embed_lab(cases[i].model, cases[i].texts);
        conversation_set_field(l->conversation, WEIR_FIELD_DIMENSIONS, WEIR_LIT("256"), WEIR_NONE);
        conversation_set_field(l->conversation, WEIR_FIELD_INPUT_TYPE, WEIR_LIT("\"query\""), WEIR_NONE);
        conversation_set_field(l->conversation, WEIR_FIELD_TRUNCATE, WEIR_LIT("\"start\""), WEIR_NONE);
        CHECK(contains(embed_body(l), cases[i].want));
        CHECK(contains(NOTES, cases[i].loss));
        CHECK(contains(lab_cstr(l, out_bytes(&l->head)), "/invoke\n"));
        lab_end(l);
    }
}

static int count_vectors(struct lab *l)
{
    int n = 0;
    for (const struct weir_answer_block *b = collector_answer(l->collector)->blocks; b; b = b->next)
        n += b->kind == WEIR_BLOCK_EMBEDDING && b->choice == (uint32_t)n;
    return n;
}

TEST(vectors_in_every_shape)
{
    NEED_PLUGIN;
    static const char *const none[] = { NULL };
    static const struct {
        const char *json;
        int n;
    } cases[] = {
        { "{\"embedding\":[0.5,-1e-3],\"inputTextTokenCount\":7}", 1 },
        { "{\"embeddings\":[[1,2],[3,4]]}", 2 },
        { "{\"id\":\"x\",\"embeddings\":{\"float\":[[1],[2],[3]]}}", 3 },
        { "{\"embeddings\":[{\"embeddingType\":\"TEXT\",\"embedding\":[1,2]}]}", 1 },
        { "{\"embeddings\":3}", -1 },
        { "{\"embeddings\":[[[[[1]]]]]}", -1 },
        { "{\"message\":\"no\"}", -1 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct lab *l = embed_lab("amazon.titan-embed-text-v2:0", none);
        CHECK_INT(lab_decode_answer(l, WEIR_FRAMING_JSON, str(cases[i].json), 0, true), cases[i].n < 0 ? -1 : 0);
        if (cases[i].n >= 0)
            CHECK_INT(count_vectors(l), cases[i].n);
        lab_end(l);
    }
}

static void check_vectors(void *arg, const struct recording *r, const char *path)
{
    static const char *const none[] = { NULL };
    int *n = arg;
    struct lab *l = embed_lab("amazon.titan-embed-text-v2:0", none);
    int rc = lab_decode_answer(l, recorded_framing(plugin->codec, r->response), r->response, 0, true);
    if (rc != 0 || count_vectors(l) < 1 || l->grammar_error)
        printf("  %s: %s\n", path, l->grammar_error ? l->grammar_error : "no vectors");
    else
        ++*n;
    lab_end(l);
}

TEST(recorded_vectors)
{
    NEED_PLUGIN;
    int n = 0;
    if (recordings_each("bedrock embed", check_vectors, &n) == 0)
        SKIP("no recordings in ../shared (or $WEIR_SHARED)");
    printf("  %d answers\n", n);
    CHECK_INT(n, 17);
}
