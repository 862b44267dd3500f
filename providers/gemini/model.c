/* A model's name: what it tells about the model, and where it stands in a path, of a client's request and of a provider's. */
#include "gemini.h"

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
    struct gemini_model m = { .is_pro = gemini_contains(name, "pro"), .is_lite = gemini_contains(name, "lite") };
    const char *at = name.n ? memmem(name.p, name.n, "gemini-", 7) : NULL;
    if (!at)
        return m;
    size_t i = (size_t)(at - name.p) + 7;
    m.major = read_digits(name, &i);
    if (i < name.n && name.p[i] == '.') {
        i++;
        m.minor = read_digits(name, &i);
    }
    bool is_newest = m.major == 0 && gemini_contains(name, "latest");
    if (m.major >= 3 || is_newest)
        m.family = GEMINI_LEVEL;
    else if (m.major == 2 && m.minor >= 5)
        m.family = GEMINI_BUDGET;
    return m;
}

/* ---- to a provider ---- */

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

struct weir_str gemini_model_name(struct gemini *g, const struct weir_conversation *c)
{
    struct weir_str json = c ? weir_field(c, WEIR_FIELD_MODEL) : WEIR_NONE, name = WEIR_NONE;
    struct weir_json *r = json.n ? g->json->open(g->call, json) : NULL;
    if (r)
        g->json->string(r, &name);
    return name;
}

static struct weir_str behind(struct weir_str s, const char *prefix)
{
    size_t n = strlen(prefix);
    return gemini_starts_with(s, prefix) ? (struct weir_str){ s.p + n, s.n - n } : s;
}

static const char *verb_word(const struct gemini *g, const struct weir_conversation *c)
{
    const struct weir_request_view *view = g->host->request(g->call);
    bool is_own = c && weir_eq(c->dialect, GEMINI_DIALECT);
    enum gemini_verb verb = is_own ? gemini_verb_of(view) : GEMINI_GENERATE;
    if (c && c->operation == WEIR_OP_COUNT)
        return "countTokens";
    if (c && c->operation == WEIR_OP_EMBED)
        return verb == GEMINI_EMBED ? "embedContent" : "batchEmbedContents";
    if (!c || !weir_field_true(c, WEIR_FIELD_STREAM))
        return "generateContent";
    return verb == GEMINI_ARRAY ? "streamGenerateContent" : "streamGenerateContent?alt=sse";
}

int gemini_request_head(void *self, struct weir_call *call, void *state, const void *entry)
{
    struct gemini g = gemini_begin(self, call, state);
    const struct weir_conversation *c = g.host->conversation(call);
    struct weir_str name = gemini_model_name(&g, c);
    const char *folder = gemini_starts_with(name, "tunedModels/") ? "tunedModels/" : "models/";
    (void)entry;
    struct weir_str encoded = percent_encode(&g, behind(name, folder));
    if (!encoded.p)
        return -1;
    return g.host->http_request(
        call, "POST", g.host->format(call, "/%s%.*s:%s", folder, (int)encoded.n, encoded.p, verb_word(&g, c)));
}

/* ---- what is counted ---- */

/* Fitted on the recorded usage of 211 different requests (README.md). Google AI Studio counts the signatures that come back to
 * models from 3 on, Vertex doesn't; images are larger there; the words of an answer's schema count nowhere that was seen but on Vertex
 * from 3 on. */
const struct weir_token_rates gemini_tokens = { 1.6, 0.9, 0, 6, 6.6, 258, 0, 0, 1.5, WEIR_TOKENS_NO_FORMAT, 0 };
static const struct weir_token_rates studio_old = { 1, 1, 5, 0, 0, 258, 0, 0, 0.2, WEIR_TOKENS_NO_FORMAT, 0 }; /* 1.5, 2.0 */
static const struct weir_token_rates studio_3 = { 3, 0, 0, 0, 0, 1100, 0, 0.2, 1.6, WEIR_TOKENS_NO_FORMAT, 0 };
static const struct weir_token_rates vertex_2 = { 0.3, 0.4, 0, 0, 4, 258, 0, 0, 0.5, WEIR_TOKENS_NO_FORMAT, 0 };
static const struct weir_token_rates vertex_3 = { 0.3, 0, 0, 0, 0, 1100, 65, 0, 0.5, WEIR_TOKENS_NO_FORMAT, 0 };

const struct weir_token_rates *gemini_tokens_of(void *self, struct weir_str model, struct weir_str base_url)
{
    struct gemini_model m = gemini_model_of(model);
    bool is_3 = m.family == GEMINI_LEVEL, is_vertex = gemini_contains(base_url, "aiplatform.");
    (void)self;
    if (is_vertex)
        return is_3 ? &vertex_3 : &vertex_2;
    return is_3 ? &studio_3 : m.family == GEMINI_PLAIN && m.major > 0 ? &studio_old : &gemini_tokens;
}

/* ---- from a client ---- */

static bool ends_with(struct weir_str s, const char *end)
{
    size_t n = strlen(end);
    return s.n >= n && memcmp(s.p + s.n - n, end, n) == 0;
}

enum gemini_verb gemini_verb_of(const struct weir_request_view *view)
{
    struct weir_str path = view->path, query = view->query;
    if (ends_with(path, ":streamGenerateContent"))
        return gemini_contains(query, "alt=sse") ? GEMINI_STREAM : GEMINI_ARRAY;
    if (ends_with(path, ":countTokens"))
        return GEMINI_COUNT;
    if (ends_with(path, ":batchEmbedContents"))
        return GEMINI_EMBED_BATCH;
    return ends_with(path, ":embedContent") ? GEMINI_EMBED : GEMINI_GENERATE;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static struct weir_str percent_decode(struct gemini *g, struct weir_str s)
{
    char *to = g->host->alloc(g->call, WEIR_FOR_REQUEST, s.n + 1);
    size_t n = 0;
    for (size_t i = 0; to && i < s.n; i++) {
        int high = i + 2 < s.n && s.p[i] == '%' ? hex_digit(s.p[i + 1]) : -1;
        int low = high >= 0 ? hex_digit(s.p[i + 2]) : -1;
        to[n++] = low >= 0 ? (char)(high * 16 + low) : s.p[i];
        i += low >= 0 ? 2 : 0;
    }
    return (struct weir_str){ to, to ? n : 0 };
}

/* What stands between the path's first "/FOLDER/" and its verb. */
static struct weir_str in_folder(struct weir_str path, const char *folder)
{
    const char *at = path.n ? memmem(path.p, path.n, folder, strlen(folder)) : NULL;
    if (!at)
        return WEIR_NONE;
    at += strlen(folder);
    struct weir_str s = { at, (size_t)(path.p + path.n - at) };
    const char *verb = s.n ? memrchr(s.p, ':', s.n) : NULL;
    return verb ? (struct weir_str){ s.p, (size_t)(verb - s.p) } : s;
}

/* …/models/NAME:verb, …/tunedModels/NAME:verb, Vertex's …/publishers/PUBLISHER/models/NAME:verb. */
struct weir_str gemini_model_of_path(struct gemini *g, struct weir_str path)
{
    struct weir_str whole = percent_decode(g, path), name = in_folder(whole, "/models/"),
                    publisher = in_folder(whole, "/publishers/"), tuned = in_folder(whole, "/tunedModels/");
    const char *slash = publisher.n ? memmem(publisher.p, publisher.n, "/models/", 8) : NULL;
    if (slash && publisher.p < name.p)
        publisher.n = (size_t)(slash - publisher.p);
    if (slash && publisher.p < name.p && !weir_is(publisher, "google"))
        return g->host->format(g->call, "%.*s/%.*s", (int)publisher.n, publisher.p, (int)name.n, name.p);
    if (tuned.n && (!name.n || tuned.p < name.p))
        return (struct weir_str){ tuned.p - 12, tuned.n + 12 };
    return name;
}
