/* Members that a codec doesn't know, at any depth: an unknown one is put into every object of a rich request of each dialect, one after
 * the other, and each pair of dialects must carry it or tell of it. And what real clients send leaves nothing unread by mistake. */
#include "codec_lab.h"
#include "recordings.h"
#include "test.h"

static struct weir_str str(const char *s)
{
    return (struct weir_str){ s, strlen(s) };
}

#define UNKNOWN "zz_new"
#define TOOL_SCHEMA "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}}}"

/* One request of each dialect that has as many kinds of objects as may be. */
static const struct dialect {
    const char *name, *path, *request;
    uint32_t operation;
} dialects[] = {
    { "openai", "/v1/chat/completions",
      "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"name\":\"u\",\"content\":["
      "{\"type\":\"text\",\"text\":\"t\",\"cache_control\":{\"type\":\"ephemeral\",\"ttl\":\"1h\"}},"
      "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,AAAA\",\"detail\":\"low\"}},"
      "{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"AAAA\",\"format\":\"wav\"}},"
      "{\"type\":\"file\",\"file\":{\"filename\":\"f.pdf\",\"file_data\":\"data:application/pdf;base64,AAAA\"}}]},"
      "{\"role\":\"assistant\",\"content\":\"x\",\"tool_calls\":[{\"id\":\"call_1\",\"type\":\"function\",\"function\":"
      "{\"name\":\"f\",\"arguments\":\"{}\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"call_1\",\"content\":[{\"type\":\"text\","
      "\"text\":\"r\"}]},{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"y\"},{\"type\":\"refusal\",\"refusal\":\"no\"}]},"
      "{\"role\":\"user\",\"content\":\"z\"}],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"d\","
      "\"strict\":true,\"parameters\":" TOOL_SCHEMA "}}],\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"f\"}},"
      "\"stream\":true,\"stream_options\":{\"include_usage\":true},\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{"
      "\"name\":\"n\",\"description\":\"d\",\"schema\":" TOOL_SCHEMA ",\"strict\":true}},\"metadata\":{\"k\":\"v\"},"
      "\"logit_bias\":{\"1\":2}}",
      WEIR_OP_CHAT },
    { "responses", "/v1/responses",
      "{\"model\":\"m\",\"instructions\":\"s\",\"input\":[{\"type\":\"message\",\"role\":\"user\",\"content\":[{\"type\":\"input_text\","
      "\"text\":\"t\"},{\"type\":\"input_image\",\"image_url\":\"data:image/png;base64,AAAA\",\"detail\":\"low\"},{\"type\":\"input_file\","
      "\"filename\":\"f.pdf\",\"file_data\":\"data:application/pdf;base64,AAAA\"}]},{\"type\":\"reasoning\",\"id\":\"rs_1\",\"summary\":["
      "{\"type\":\"summary_text\",\"text\":\"x\"}],\"encrypted_content\":\"e\"},{\"type\":\"message\",\"id\":\"msg_1\",\"role\":\"assistant\","
      "\"status\":\"completed\",\"content\":[{\"type\":\"output_text\",\"text\":\"y\",\"annotations\":[]},{\"type\":\"refusal\",\"refusal\":"
      "\"no\"}]},{\"type\":\"function_call\",\"id\":\"fc_1\",\"call_id\":\"call_1\",\"name\":\"f\",\"arguments\":\"{}\",\"status\":"
      "\"completed\"},{\"type\":\"function_call_output\",\"call_id\":\"call_1\",\"output\":[{\"type\":\"input_text\",\"text\":\"r\"}]},"
      "{\"role\":\"user\",\"content\":\"z\"}],\"tools\":[{\"type\":\"function\",\"name\":\"f\",\"description\":\"d\",\"strict\":true,"
      "\"parameters\":" TOOL_SCHEMA "},{\"type\":\"web_search\",\"filters\":{\"a\":1}}],\"tool_choice\":{\"type\":\"function\",\"name\":"
      "\"f\"},\"reasoning\":{\"effort\":\"low\",\"summary\":\"auto\"},\"text\":{\"format\":{\"type\":\"json_schema\",\"name\":\"n\",\"schema\":"
      TOOL_SCHEMA ",\"strict\":true},\"verbosity\":\"low\"},\"metadata\":{\"k\":\"v\"},\"store\":false}",
      WEIR_OP_CHAT },
    { "anthropic", "/v1/messages",
      "{\"model\":\"m\",\"max_tokens\":9,\"system\":[{\"type\":\"text\",\"text\":\"s\",\"cache_control\":{\"type\":\"ephemeral\",\"ttl\":"
      "\"1h\"}}],\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"t\"},{\"type\":\"image\",\"source\":{\"type\":"
      "\"base64\",\"media_type\":\"image/png\",\"data\":\"AAAA\"}},{\"type\":\"document\",\"title\":\"f\",\"source\":{\"type\":\"base64\","
      "\"media_type\":\"application/pdf\",\"data\":\"AAAA\"},\"citations\":{\"enabled\":true}},{\"type\":\"image\",\"source\":{\"type\":\"url\","
      "\"url\":\"https://x.test/y.png\"}}]},{\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"x\",\"signature\":\"AA==\"},"
      "{\"type\":\"redacted_thinking\",\"data\":\"AA==\"},{\"type\":\"text\",\"text\":\"y\"},{\"type\":\"tool_use\",\"id\":\"toolu_1\","
      "\"name\":\"f\",\"input\":{}}]},{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"toolu_1\",\"is_error\":true,"
      "\"content\":[{\"type\":\"text\",\"text\":\"r\"}]},{\"type\":\"text\",\"text\":\"z\"}]}],\"tools\":[{\"name\":\"f\",\"description\":\"d\","
      "\"input_schema\":" TOOL_SCHEMA ",\"cache_control\":{\"type\":\"ephemeral\"}},{\"type\":\"web_search_20250305\",\"name\":\"web_search\","
      "\"user_location\":{\"type\":\"approximate\"}}],\"tool_choice\":{\"type\":\"tool\",\"name\":\"f\"},\"thinking\":{\"type\":\"enabled\","
      "\"budget_tokens\":1024},\"metadata\":{\"user_id\":\"u\"},\"output_config\":{\"effort\":\"low\",\"format\":{\"type\":\"json_schema\","
      "\"schema\":" TOOL_SCHEMA "}}}",
      WEIR_OP_CHAT },
    { "gemini", "/v1beta/models/m:generateContent",
      "{\"systemInstruction\":{\"parts\":[{\"text\":\"s\"}]},\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"t\"},{\"inlineData\":{"
      "\"mimeType\":\"image/png\",\"data\":\"AAAA\"}},{\"fileData\":{\"mimeType\":\"application/pdf\",\"fileUri\":\"https://x.test/f.pdf\"}}]},"
      "{\"role\":\"model\",\"parts\":[{\"text\":\"x\",\"thought\":true},{\"text\":\"y\"},{\"functionCall\":{\"name\":\"f\",\"args\":{},\"id\":"
      "\"c1\"},\"thoughtSignature\":\"AA==\"},{\"executableCode\":{\"language\":\"PYTHON\",\"code\":\"1\"}}]},{\"role\":\"user\",\"parts\":[{"
      "\"functionResponse\":{\"id\":\"c1\",\"name\":\"f\",\"response\":{\"result\":\"r\"}}},{\"text\":\"z\"}]}],\"tools\":[{"
      "\"functionDeclarations\":[{\"name\":\"f\",\"description\":\"d\",\"parameters\":" TOOL_SCHEMA "}]},{\"googleSearch\":{}}],"
      "\"toolConfig\":{\"functionCallingConfig\":{\"mode\":\"ANY\",\"allowedFunctionNames\":[\"f\"]}},\"generationConfig\":{"
      "\"temperature\":1,\"thinkingConfig\":{\"includeThoughts\":true,\"thinkingBudget\":5},\"responseMimeType\":\"application/json\","
      "\"responseSchema\":{\"type\":\"OBJECT\",\"properties\":{\"a\":{\"type\":\"STRING\"}}}},\"safetySettings\":[{\"category\":\"c\","
      "\"threshold\":\"t\"}]}",
      WEIR_OP_CHAT },
    { "bedrock", "/model/m/converse",
      "{\"system\":[{\"text\":\"s\"},{\"cachePoint\":{\"type\":\"default\",\"ttl\":\"1h\"}}],\"messages\":[{\"role\":\"user\",\"content\":[{"
      "\"text\":\"t\"},{\"image\":{\"format\":\"png\",\"source\":{\"bytes\":\"AAAA\"}}},{\"document\":{\"format\":\"pdf\",\"name\":\"f\","
      "\"source\":{\"bytes\":\"AAAA\"}}},{\"cachePoint\":{\"type\":\"default\"}}]},{\"role\":\"assistant\",\"content\":[{\"reasoningContent\":{"
      "\"reasoningText\":{\"text\":\"x\",\"signature\":\"AA==\"}}},{\"text\":\"y\"},{\"toolUse\":{\"toolUseId\":\"t1\",\"name\":\"f\",\"input\":{"
      "}}}]},{\"role\":\"user\",\"content\":[{\"toolResult\":{\"toolUseId\":\"t1\",\"status\":\"error\",\"content\":[{\"text\":\"r\"},{\"json\":{"
      "\"a\":1}}]}},{\"guardContent\":{\"text\":{\"text\":\"g\"}}},{\"text\":\"z\"}]}],\"inferenceConfig\":{\"maxTokens\":9},\"toolConfig\":{"
      "\"tools\":[{\"toolSpec\":{\"name\":\"f\",\"description\":\"d\",\"inputSchema\":{\"json\":" TOOL_SCHEMA "}}}],\"toolChoice\":{\"tool\":{"
      "\"name\":\"f\"}}},\"additionalModelRequestFields\":{\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":1024},\"output_config\":{"
      "\"effort\":\"low\"},\"reasoningConfig\":{\"type\":\"enabled\",\"maxReasoningEffort\":\"low\"}},\"outputConfig\":{\"textFormat\":{\"type\":"
      "\"json_schema\",\"structure\":{\"jsonSchema\":{\"name\":\"n\",\"schema\":\"{}\"}}}},\"serviceTier\":{\"type\":\"flex\"},"
      "\"requestMetadata\":{\"k\":\"v\"}}",
      WEIR_OP_CHAT },
    { "cohere", "/v2/chat",
      "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":[{\"type\":\"text\",\"text\":\"s\"}]},{\"role\":\"user\",\"content\":[{"
      "\"type\":\"text\",\"text\":\"t\"},{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,AAAA\",\"detail\":\"low\"}}]},"
      "{\"role\":\"assistant\",\"tool_plan\":\"x\",\"tool_calls\":[{\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"f\","
      "\"arguments\":\"{}\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"content\":[{\"type\":\"document\",\"document\":{\"id\":\"d1\","
      "\"data\":{\"a\":\"b\"}}}]},{\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"h\"},{\"type\":\"text\",\"text\":"
      "\"y\"}]},{\"role\":\"user\",\"content\":\"z\"}],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"d\","
      "\"parameters\":" TOOL_SCHEMA "}}],\"documents\":[{\"id\":\"d2\",\"data\":{\"t\":\"x\"}}],\"response_format\":{\"type\":\"json_object\","
      "\"json_schema\":" TOOL_SCHEMA "},\"thinking\":{\"type\":\"enabled\",\"token_budget\":9},\"citation_options\":{\"mode\":\"FAST\"}}",
      WEIR_OP_CHAT },
    { "ollama", "/api/chat",
      "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":\"t\",\"images\":[\"AAAA\"]},{"
      "\"role\":\"assistant\",\"content\":\"y\",\"thinking\":\"x\",\"tool_calls\":[{\"id\":\"c1\",\"function\":{\"name\":\"f\",\"arguments\":{}}"
      "}]},{\"role\":\"tool\",\"tool_name\":\"f\",\"content\":\"r\"},{\"role\":\"user\",\"content\":\"z\"}],\"tools\":[{\"type\":\"function\","
      "\"function\":{\"name\":\"f\",\"description\":\"d\",\"parameters\":" TOOL_SCHEMA "}}],\"format\":" TOOL_SCHEMA
      ",\"options\":{\"temperature\":1,\"mirostat\":1},\"think\":true,\"keep_alive\":\"5m\"}",
      WEIR_OP_CHAT },
    /* What every other dialect takes, too. */
    { "openai", "/v1/chat/completions",
      "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":[{\"type\":\"text\","
      "\"text\":\"t\"},{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,AAAA\"}}]},{\"role\":\"assistant\","
      "\"content\":[{\"type\":\"text\",\"text\":\"y\"}],\"tool_calls\":[{\"id\":\"call_1\",\"type\":\"function\",\"function\":{\"name\":"
      "\"f\",\"arguments\":\"{}\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"call_1\",\"content\":[{\"type\":\"text\",\"text\":\"r\"}]}],"
      "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":" TOOL_SCHEMA "}}],\"stream\":true,"
      "\"stream_options\":{\"include_usage\":true},\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"n\","
      "\"schema\":" TOOL_SCHEMA "}}}",
      WEIR_OP_CHAT },
    { "responses", "/v1/responses",
      "{\"model\":\"m\",\"input\":[{\"type\":\"message\",\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"t\"},{\"type\":"
      "\"input_image\",\"image_url\":\"data:image/png;base64,AAAA\"}]},{\"type\":\"reasoning\",\"id\":\"rs_1\",\"summary\":[{\"type\":"
      "\"summary_text\",\"text\":\"x\"}]},{\"type\":\"function_call\",\"call_id\":\"call_1\",\"name\":\"f\",\"arguments\":\"{}\"},{\"type\":"
      "\"function_call_output\",\"call_id\":\"call_1\",\"output\":\"r\"},{\"role\":\"user\",\"content\":\"z\"}],\"tools\":[{\"type\":\"function\","
      "\"name\":\"f\",\"parameters\":" TOOL_SCHEMA "}],\"reasoning\":{\"effort\":\"low\"},\"text\":{\"format\":{\"type\":\"json_schema\","
      "\"name\":\"n\",\"schema\":" TOOL_SCHEMA "}}}",
      WEIR_OP_CHAT },
    { "anthropic", "/v1/messages",
      "{\"model\":\"m\",\"max_tokens\":9,\"system\":[{\"type\":\"text\",\"text\":\"s\"}],\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":"
      "\"text\",\"text\":\"t\"},{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/png\",\"data\":\"AAAA\"}}]},{\"role\":"
      "\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"y\"},{\"type\":\"tool_use\",\"id\":\"toolu_1\",\"name\":\"f\",\"input\":{}}]},"
      "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"toolu_1\",\"content\":[{\"type\":\"text\",\"text\":\"r\"}]}]}],"
      "\"tools\":[{\"name\":\"f\",\"input_schema\":" TOOL_SCHEMA "}],\"tool_choice\":{\"type\":\"auto\"},\"thinking\":{\"type\":\"disabled\"},"
      "\"output_config\":{\"format\":{\"type\":\"json_schema\",\"schema\":" TOOL_SCHEMA "}}}",
      WEIR_OP_CHAT },
    { "gemini", "/v1beta/models/m:generateContent",
      "{\"systemInstruction\":{\"parts\":[{\"text\":\"s\"}]},\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"t\"},{\"inlineData\":{"
      "\"mimeType\":\"image/png\",\"data\":\"AAAA\"}}]},{\"role\":\"model\",\"parts\":[{\"text\":\"x\",\"thought\":true},{\"functionCall\":{\"name\":"
      "\"f\",\"args\":{}}}]},{\"role\":\"user\",\"parts\":[{\"functionResponse\":{\"name\":\"f\",\"response\":{\"result\":\"r\"}}}]}],\"tools\":[{"
      "\"functionDeclarations\":[{\"name\":\"f\",\"parameters\":" TOOL_SCHEMA "}]}],\"toolConfig\":{\"functionCallingConfig\":{\"mode\":"
      "\"AUTO\"}},\"generationConfig\":{\"thinkingConfig\":{\"thinkingBudget\":5},\"responseMimeType\":\"application/json\","
      "\"responseJsonSchema\":" TOOL_SCHEMA "}}",
      WEIR_OP_CHAT },
    { "bedrock", "/model/m/converse",
      "{\"system\":[{\"text\":\"s\"}],\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"t\"},{\"image\":{\"format\":\"png\",\"source\":{"
      "\"bytes\":\"AAAA\"}}}]},{\"role\":\"assistant\",\"content\":[{\"text\":\"y\"},{\"toolUse\":{\"toolUseId\":\"t1\",\"name\":\"f\",\"input\":{}}}]},{"
      "\"role\":\"user\",\"content\":[{\"toolResult\":{\"toolUseId\":\"t1\",\"content\":[{\"text\":\"r\"}]}}]}],\"inferenceConfig\":{\"maxTokens\":9},"
      "\"toolConfig\":{\"tools\":[{\"toolSpec\":{\"name\":\"f\",\"inputSchema\":{\"json\":" TOOL_SCHEMA "}}}],\"toolChoice\":{\"auto\":{}}}}",
      WEIR_OP_CHAT },
    { "openai", "/v1/embeddings", "{\"model\":\"m\",\"input\":[\"a\",\"b\"],\"dimensions\":3}", WEIR_OP_EMBED },
    { "cohere", "/v2/embed",
      "{\"model\":\"m\",\"inputs\":[{\"content\":[{\"type\":\"text\",\"text\":\"a\"}]}],\"input_type\":\"search_query\",\"embedding_types\":["
      "\"float\"]}",
      WEIR_OP_EMBED },
    { "gemini", "/v1beta/models/m:batchEmbedContents",
      "{\"requests\":[{\"model\":\"models/m\",\"content\":{\"parts\":[{\"text\":\"a\"}]},\"taskType\":\"RETRIEVAL_QUERY\"}]}", WEIR_OP_EMBED },
    { "bedrock", "/model/m/invoke",
      "{\"taskType\":\"SINGLE_EMBEDDING\",\"singleEmbeddingParams\":{\"embeddingPurpose\":\"GENERIC_INDEX\",\"text\":{\"value\":\"a\"}}}",
      WEIR_OP_EMBED },
    { "cohere", "/v2/rerank", "{\"model\":\"m\",\"query\":\"q\",\"documents\":[\"a\",{\"text\":\"b\"}],\"top_n\":1}", WEIR_OP_RERANK },
    { "voyage", "/v1/rerank", "{\"model\":\"m\",\"query\":\"q\",\"documents\":[\"a\",\"b\"],\"top_k\":1}", WEIR_OP_RERANK },
    { "voyage", "/v1/embeddings", "{\"model\":\"m\",\"input\":[\"a\"],\"input_type\":\"query\"}", WEIR_OP_EMBED },
    { "bedrock", "/model/m/count-tokens", "{\"input\":{\"converse\":{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"t\"}]}]}}}",
      WEIR_OP_COUNT },
    { "anthropic", "/v1/messages/count_tokens",
      "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"t\"}]}]}", WEIR_OP_COUNT },
    { "gemini", "/v1beta/models/m:countTokens",
      "{\"generateContentRequest\":{\"model\":\"models/m\",\"contents\":[{\"parts\":[{\"text\":\"t\"}]}]}}", WEIR_OP_COUNT },
    { "responses", "/v1/responses/input_tokens", "{\"model\":\"m\",\"input\":[{\"role\":\"user\",\"content\":\"t\"}]}", WEIR_OP_COUNT },
    { "ollama", "/api/embed", "{\"model\":\"m\",\"input\":[\"a\"],\"options\":{\"temperature\":1}}", WEIR_OP_EMBED },
};
enum { DIALECTS = sizeof(dialects) / sizeof(*dialects), CHATS = 7 };

static const struct weir_plugin *plugins[DIALECTS];

static bool has_plugins(void)
{
    bool has_all = true;
    for (int i = 0; i < DIALECTS; i++) {
        plugins[i] = plugins[i] ? plugins[i] : lab_plugin(dialects[i].name);
        has_all = has_all && plugins[i];
    }
    return has_all;
}

static struct lab *client_of(int i)
{
    struct lab *l = lab_begin(plugins[i], 'i', NULL);
    const char *model = strstr(dialects[i].path, "/models/");
    l->view.path = str(dialects[i].path);
    l->view.star = model ? str(model + 1) : str("m");
    l->view.operation = dialects[i].operation;
    return l;
}

/* ---- what is known of the unknown ---- */

static bool says(struct weir_str s)
{
    return s.n && memmem(s.p, s.n, UNKNOWN, strlen(UNKNOWN));
}

static void look_at_path(void *arg, struct weir_str path)
{
    *(bool *)arg |= says(path);
}

static bool is_in_opaque(const struct weir_part *p)
{
    for (; p; p = p->next)
        if ((p->kind == WEIR_PART_OPAQUE && says(p->raw)) || is_in_opaque(p->parts))
            return true;
    return false;
}

/* A document's own words, in a file. */
static bool is_in_file(const struct conversation *c)
{
    bool is = false;
    struct arena *a = arena_new();
    for (const struct weir_message *m = c->view.messages; m; m = m->next)
        for (const struct weir_part *p = m->parts; p; p = p->next) {
            struct weir_str data = { p->data.p, p->data.n }, words = WEIR_NONE;
            is = is || (data.n && bytes_base64_decode(a, data, BYTES_BASE64_STD, &words) && says(words));
        }
    arena_free(a);
    return is;
}

/* As the host tells it: unread members, ext, own members of parts; and what is opaque altogether. */
static bool is_told(const struct conversation *c)
{
    bool is = false;
    struct arena *a = arena_new();
    struct scratch s = scratch_enter();
    features_each_ext(&c->view, a, look_at_path, &is);
    scratch_leave(s);
    arena_free(a);
    for (const struct weir_ext *x = c->unread; x; x = x->next)
        is = is || says(x->path);
    for (const struct weir_ext *x = c->view.ext; x; x = x->next)
        is = is || says(x->raw);
    for (const struct weir_message *m = c->view.messages; m; m = m->next)
        is = is || is_in_opaque(m->parts);
    for (const struct weir_tool *t = c->view.tools; t; t = t->next)
        is = is || says(t->raw);
    return is;
}

/* In a setting that the target tells to have lost. */
static bool is_in_lost_field(const struct weir_conversation *c, const struct lab *target)
{
    struct codec_says table;
    says_read(&table, target->codec->says);
    for (uint32_t f = 0; f < c->n_fields; f++)
        if (says(c->fields[f].json) && (says_loss(&table, f) || lab_losses[f]))
            return true;
    return false;
}

/* In a schema, an argument, a text: what means it is not the dialect's to know. */
static bool is_carried(struct lab *client, int to)
{
    struct lab *target = lab_begin(plugins[to], 'e', client->conversation);
    struct scratch s = scratch_enter();
    struct weir_out body = { 0 };
    memset(lab_losses, 0, sizeof(lab_losses));
    target->view.operation = client->view.operation;
    target->codec->request_head(target->self, &target->call, target->state, NULL);
    int rc = target->codec->encode_request(target->self, &target->call, target->state, &client->conversation->view, &body);
    if (rc < 0 && getenv("WEIR_SHOW"))
        printf("  REFUSED %s: %s: %s\n", client->plugin->name, plugins[to]->name, lab_cstr(target, target->error.message));
    bool is = rc < 0 || says(out_bytes(&body)) || is_in_lost_field(&client->conversation->view, target);
    scratch_leave(s);
    out_free(&body);
    lab_end(target);
    return is;
}

/* ---- every object ---- */

static int untold;

/* Behind the n-th '{' that stands in no string; "": there are no more. */
static struct weir_str with_unknown(struct arena *a, const char *request, int n)
{
    bool in_string = false;
    for (const char *p = request; *p; p++) {
        if (*p == '"' && (p == request || p[-1] != '\\'))
            in_string = !in_string;
        if (in_string || *p != '{' || n--)
            continue;
        return arena_printf(a, "%.*s\"" UNKNOWN "\":{\"k\":1}%s%s", (int)(p + 1 - request), request, p[1] == '}' ? "" : ",", p + 1);
    }
    return WEIR_NONE;
}

static void check_one(int from, struct weir_str request)
{
    struct lab *client = client_of(from);
    int rc = lab_decode_request(client, request);
    bool told = rc < 0 || is_told(client->conversation) || is_in_file(client->conversation);
    for (int to = 0; rc == 0 && !told && to < CHATS; to++) {
        bool can = plugins[to]->codec->operations & WEIR_OP_BIT(dialects[from].operation);
        if (!can || is_carried(client, to))
            continue;
        const char *at = memmem(request.p, request.n, UNKNOWN, strlen(UNKNOWN));
        printf("  %s to %s loses, untold: …%.*s…\n", dialects[from].path, dialects[to].name,
               (int)(request.p + request.n - at > 90 ? 150 : 90), at - 60 > request.p ? at - 60 : request.p);
        untold++;
    }
    lab_end(client);
}

TEST(unknown_members_are_carried_or_told)
{
    if (!has_plugins())
        SKIP("the codecs are not built");
    int n = 0;
    for (int from = 0; from < DIALECTS; from++) {
        struct arena *a = arena_new();
        struct weir_str request;
        for (int i = 0; (request = with_unknown(a, dialects[from].request, i)).n; i++, n++)
            check_one(from, request);
        arena_free(a);
    }
    printf("  %d objects\n", n);
    CHECK_INT(untold, 0);
}

/* ---- and nothing that is known ---- */

static void print_unread(struct lab *l, const char *where)
{
    for (const struct weir_ext *x = l->conversation->unread; x; x = x->next)
        printf("  %s: %.*s = %.*s\n", where, (int)x->path.n, x->path.p, (int)(x->raw.n > 60 ? 60 : x->raw.n), x->raw.p);
}

TEST(rich_requests_are_read_to_the_last_member)
{
    if (!has_plugins())
        SKIP("the codecs are not built");
    int n = 0;
    for (int i = 0; i < DIALECTS; i++) {
        struct lab *l = client_of(i);
        int rc = lab_decode_request(l, str(dialects[i].request));
        if (rc < 0)
            printf("  %s: %s\n", dialects[i].path, lab_cstr(l, l->error.message));
        else
            print_unread(l, dialects[i].path);
        n += rc < 0 || l->conversation->unread;
        lab_end(l);
    }
    CHECK_INT(n, 0);
}

struct counting {
    int dialect, n, n_unread;
};

/* What real clients send that has no place in a conversation: the loss is told, and rightly so. */
static bool is_unknown(struct weir_str path)
{
    static const char *const names[] = { "defer_loading", "eager_input_streaming", "namespace", "phase", "cache_control", "annotations" };
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (path.n > strlen(names[i]) && memcmp(path.p + path.n - strlen(names[i]), names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

static void count_unread(void *arg, const struct recording *r, const char *path)
{
    struct counting *c = arg;
    struct lab *l = client_of(c->dialect);
    if (!r->request.n || lab_decode_request(l, r->request) < 0) {
        lab_end(l);
        return;
    }
    c->n++;
    for (const struct weir_ext *x = l->conversation->unread; x; x = x->next)
        c->n_unread += !is_unknown(x->path);
    for (const struct weir_ext *x = l->conversation->unread; x && c->n_unread; x = x->next)
        printf("  %s: %.*s = %.*s\n", path, (int)x->path.n, x->path.p, (int)(x->raw.n > 60 ? 60 : x->raw.n), x->raw.p);
    lab_end(l);
}

TEST(recorded_requests_are_read_to_the_last_member)
{
    int n = 0, n_unread = 0;
    if (!has_plugins())
        SKIP("the codecs are not built");
    for (int i = 0; i < CHATS; i++) {
        struct counting c = { .dialect = i };
        n += recordings_each(dialects[i].name, count_unread, &c);
        printf("  %s: %d requests, %d members unread\n", dialects[i].name, c.n, c.n_unread);
        n_unread += c.n_unread;
    }
    CHECK_INT(n_unread, 0);
    if (!n)
        SKIP("no recordings in ../shared (or $WEIR_SHARED)");
}
