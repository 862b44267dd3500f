/* Model ids stand in paths here, percent-encoded: they contain ':', those that are ARNs also '/'. And what else all rooms need. */
#include "bedrock.h"

bool bedrock_is_hosted(struct weir_str type)
{
    bool is_result = type.n > 7 && memcmp(type.p + type.n - 7, "_result", 7) == 0 && !weir_is(type, "tool_result");
    return is_result || (type.n > 7 && memcmp(type.p, "server_", 7) == 0);
}

struct weir_str bedrock_wrapped(struct bedrock *o, struct weir_str key, struct weir_str raw)
{
    struct weir_out *out = o->host->out(o->call);
    if (!out)
        return WEIR_LIT("{}");
    o->json->object_begin(out);
    o->json->key_str(out, key);
    o->json->put_raw(out, raw);
    o->json->object_end(out);
    return o->host->out_bytes(out);
}

static int hex_of(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* What is no %XX stays as it is. */
static struct weir_str decoded(struct bedrock *o, struct weir_str s)
{
    char *to = s.n ? o->host->alloc(o->call, WEIR_FOR_REQUEST, s.n) : NULL;
    size_t n = 0;
    for (size_t i = 0; to && i < s.n; i++) {
        int high = s.p[i] == '%' && i + 2 < s.n ? hex_of(s.p[i + 1]) : -1, low = high < 0 ? -1 : hex_of(s.p[i + 2]);
        to[n++] = low < 0 ? s.p[i] : (char)(16 * high + low);
        i += low < 0 ? 0 : 2;
    }
    return (struct weir_str){ to, n };
}

static bool cut_end(struct weir_str *s, const char *end)
{
    size_t n = strlen(end);
    if (s->n <= n || memcmp(s->p + s->n - n, end, n) != 0)
        return false;
    s->n -= n;
    return true;
}

bool bedrock_path_ends(struct weir_str path, const char *end)
{
    return cut_end(&path, end);
}

struct weir_str bedrock_path_model(struct bedrock *o, struct weir_str path)
{
    const char *at = path.n ? memmem(path.p, path.n, "/model/", 7) : NULL;
    struct weir_str id = at ? (struct weir_str){ at + 7, (size_t)(path.p + path.n - at) - 7 } : WEIR_NONE;
    bool is_known = cut_end(&id, "/converse-stream") || cut_end(&id, "/converse") || cut_end(&id, "/invoke") ||
                    cut_end(&id, "/count-tokens");
    return is_known ? decoded(o, id) : WEIR_NONE;
}

static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_' || c == '~';
}

struct weir_str bedrock_percent(struct bedrock *o, struct weir_str s, bool keep_slash)
{
    static const char digits[] = "0123456789ABCDEF";
    char *to = o->host->alloc(o->call, WEIR_FOR_ATTEMPT, 3 * s.n + 1);
    size_t n = 0;
    for (size_t i = 0; to && i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool stays = is_unreserved(s.p[i]) || (keep_slash && c == '/');
        to[n++] = stays ? s.p[i] : '%';
        if (!stays) {
            to[n++] = digits[c >> 4];
            to[n++] = digits[c & 15];
        }
    }
    return (struct weir_str){ to, to ? n : 0 };
}

struct weir_str bedrock_model_id(struct bedrock *o, const struct weir_conversation *c)
{
    struct weir_str json = c ? weir_field(c, WEIR_FIELD_MODEL) : WEIR_NONE, id = WEIR_NONE;
    if (json.n)
        o->json->string(o->json->open(o->call, json), &id);
    return id;
}

int bedrock_request_head(void *self, struct weir_call *call, void *state, const void *entry)
{
    struct bedrock o = bedrock_begin(self, call);
    const struct weir_conversation *c = o.host->conversation(call);
    bool is_stream = c && weir_field_true(c, WEIR_FIELD_STREAM);
    struct weir_str id = bedrock_percent(&o, bedrock_model_id(&o, c), false);
    if (bedrock_refuses_words(&o, c))
        return -1;
    (void)state;
    (void)entry;
    if (!id.p)
        return -1;
    if (o.host->http_header(call, WEIR_LIT("accept"),
                            is_stream ? WEIR_LIT("application/vnd.amazon.eventstream") : WEIR_LIT("application/json")) <
        0)
        return -1;
    const char *operation = c && c->operation == WEIR_OP_EMBED ? "invoke" : is_stream ? "converse-stream" : "converse";
    return o.host->http_request(call, "POST", o.host->format(call, "/model/%.*s/%s", (int)id.n, id.p, operation));
}
