/* The codec of Google's generateContent, towards the provider. This room has what is constant, the path, and what a
 * model's name tells about it; codecs own nothing, so create() only hands on the host. */
#include "gemini.h"

static int create(const struct weir_host *host, struct weir_instance *inst, void **self)
{
    (void)inst;
    *self = (void *)(uintptr_t)host;
    return 0;
}

/* ---- the model ---- */

static bool contains(struct weir_str s, const char *word)
{
    return s.n && memmem(s.p, s.n, word, strlen(word)) != NULL;
}

static int read_digits(struct weir_str s, size_t *at)
{
    int n = 0;
    for (; *at < s.n && s.p[*at] >= '0' && s.p[*at] <= '9'; ++*at)
        n = n > 1000 ? n : 10 * n + (s.p[*at] - '0');
    return n;
}

/* "gemini-2.5-flash-lite", "gemini-3-pro-preview"; "gemini-flash-latest" names no version: it is the newest. */
struct gemini_model gemini_model_of(struct weir_str name)
{
    struct gemini_model m = { .is_pro = contains(name, "pro"), .is_lite = contains(name, "lite") };
    const char *at = name.n ? memmem(name.p, name.n, "gemini-", 7) : NULL;
    if (!at)
        return m;
    size_t i = (size_t)(at - name.p) + 7;
    m.major = read_digits(name, &i);
    if (i < name.n && name.p[i] == '.') {
        i++;
        m.minor = read_digits(name, &i);
    }
    bool is_newest = m.major == 0 && contains(name, "latest");
    if (m.major >= 3 || is_newest)
        m.family = GEMINI_LEVEL;
    else if (m.major == 2 && m.minor >= 5)
        m.family = GEMINI_BUDGET;
    return m;
}

/* ---- the path ---- */

static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_' || c == '~';
}

static struct weir_str percent_encode(struct gemini *g, struct weir_str s)
{
    static const char hex[] = "0123456789ABCDEF";
    char *to = g->host->alloc(g->call, WEIR_FOR_ATTEMPT, 3 * s.n + 1);
    size_t n = 0;
    for (size_t i = 0; to && i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (is_unreserved(s.p[i])) {
            to[n++] = s.p[i];
        } else {
            to[n++] = '%';
            to[n++] = hex[c >> 4];
            to[n++] = hex[c & 15];
        }
    }
    return (struct weir_str){ to, n };
}

static bool starts_with(struct weir_str s, const char *prefix)
{
    return s.n > strlen(prefix) && memcmp(s.p, prefix, strlen(prefix)) == 0;
}

struct weir_str gemini_model_name(struct gemini *g, const struct weir_conversation *c)
{
    struct weir_str json = c ? weir_field(c, WEIR_FIELD_MODEL) : WEIR_NONE, name = WEIR_NONE;
    struct weir_json *r = json.n ? g->json->open(g->call, json) : NULL;
    if (r)
        g->json->string(r, &name);
    return name;
}

int gemini_request_head(void *self, struct weir_call *call, void *state, const void *entry)
{
    struct gemini g = gemini_begin(self, call, state);
    const struct weir_conversation *c = g.host->conversation(call);
    struct weir_str name = gemini_model_name(&g, c);
    const char *folder = "models/";
    (void)entry;
    if (starts_with(name, "tunedModels/"))
        folder = "tunedModels/";
    if (starts_with(name, folder))
        name = (struct weir_str){ name.p + strlen(folder), name.n - strlen(folder) };
    struct weir_str encoded = percent_encode(&g, name);
    bool is_stream = c && weir_field_true(c, WEIR_FIELD_STREAM);
    if (!encoded.p)
        return -1;
    return g.host->http_request(call, "POST",
                                g.host->format(call, "/%s%.*s:%s", folder, (int)encoded.n, encoded.p,
                                               is_stream ? "streamGenerateContent?alt=sse" : "generateContent"));
}

static const char *const response_headers[] = { NULL };

static const struct weir_token_rates token_rates = { 1, 1.1, 6.7, 5.5, 15.4, 256, 2.1 };

static const struct weir_codec codec = {
    .size = sizeof(codec),
    .operations = WEIR_OP_BIT(WEIR_OP_CHAT),
    .capabilities = WEIR_CAN_TOOLS | WEIR_CAN_PARALLEL_TOOLS | WEIR_CAN_IMAGE_INLINE | WEIR_CAN_AUDIO_IN |
                    WEIR_CAN_FILE_INLINE | WEIR_CAN_JSON_OBJECT | WEIR_CAN_JSON_SCHEMA | WEIR_CAN_THINKING |
                    WEIR_CAN_CHOICES | WEIR_CAN_STREAM,
    .response_headers = response_headers,
    .base_url = "https://generativelanguage.googleapis.com/v1beta",
    .auth = { "x-goog-api-key", NULL, "" },
    .stream_framing = WEIR_FRAMING_SSE,
    .whole_framing = WEIR_FRAMING_JSON,
    .tokens = &token_rates,
    .egress_size = sizeof(struct gemini_attempt),
    .create = create,
    .request_head = gemini_request_head,
    .encode_request = gemini_encode_request,
    .decode_frame = gemini_decode_frame,
    .decode_end = gemini_decode_end,
    .decode_error = gemini_decode_error,
};

WEIR_PLUGIN = {
    WEIR_HEAD(WEIR_KIND_CODEC),
    .name = "gemini",
    .version = "1.0.0",
    .summary = "Google's Gemini by generateContent.",
    .codec = &codec,
};
WEIR_NOTE(WEIR_KIND_CODEC);
