/* Host functions: what codecs write to the provider, chance and ids, digests, secrets. */
#include "host.h"

#include <stdio.h>

#include "bytes.h"
#include "ids.h"
#include "recording.h"

/* ---- towards the provider ---- */

static const char *url_of(struct attempt *a, struct weir_str path)
{
    const char *base = provider_base_url(a->provider);
    size_t n = strlen(base);
    while (n && base[n - 1] == '/')
        n--;
    return arena_printf(a->arena, "%.*s%.*s", (int)n, base, (int)path.n, path.p).p;
}

int host_http_request(struct weir_call *c, const char *method, struct weir_str path)
{
    struct attempt *a = c->attempt;
    if (!a || !a->provider)
        return -1;
    a->method = method;
    a->url = url_of(a, path);
    return a->url ? 0 : -1;
}

enum { ASKED_AGAIN_MAX = 100 };

int host_again(struct weir_call *c, uint32_t delay_ms, const char *method, struct weir_str path)
{
    struct attempt *a = c->attempt;
    if (!a || !a->provider || !a->is_looking || a->has_content || a->state >= ATTEMPT_HEADING ||
        a->again.n >= ASKED_AGAIN_MAX)
        return -1;
    const char *url = url_of(a, path);
    if (!url)
        return -1;
    a->again.is_asked = true;
    a->again.delay_ms = delay_ms;
    a->again.method = arena_copy(a->arena, weir_cstr(method)).p;
    a->again.url = url;
    return 0;
}

/* "a:b:c": 0 is "a". */
static struct weir_str part_of_key(struct weir_str key, uint32_t part, bool *is_last)
{
    for (;; part--) {
        const char *colon = key.n ? memchr(key.p, ':', key.n) : NULL;
        *is_last = !colon;
        if (part == 0)
            return (struct weir_str){ key.p, colon ? (size_t)(colon - key.p) : key.n };
        if (!colon)
            return WEIR_NONE;
        key = (struct weir_str){ colon + 1, (size_t)(key.p + key.n - colon) - 1 };
    }
}

int host_hmac_key(struct weir_call *c, uint32_t part, const char *prefix, struct weir_str bytes, uint8_t out[32])
{
    const struct attempt *a = c->attempt;
    bool is_last;
    struct weir_str key = a && a->is_signing ? part_of_key(a->key, part, &is_last) : WEIR_NONE;
    if (!key.n)
        return -1;
    struct scratch s = scratch_enter();
    struct weir_out *whole = scratch_out();
    if (whole) {
        out_write(whole, weir_cstr(prefix));
        out_write(whole, key);
        bytes_hmac_sha256(out_bytes(whole), bytes, out);
        memset(whole->p, 0, whole->n); /* scratch memory lives on */
    }
    scratch_leave(s);
    return whole ? 0 : -1;
}

/* The second part is the secret; so is the first if there is no second. */
struct weir_str host_key_id(struct weir_call *c, uint32_t part)
{
    const struct attempt *a = c->attempt;
    bool is_last = true;
    if (!a || !a->is_signing || part == 1)
        return WEIR_NONE;
    struct weir_str id = part_of_key(a->key, part, &is_last);
    return part == 0 && is_last ? WEIR_NONE : id;
}

struct weir_str host_rsa_sha256(struct weir_call *c, struct weir_str key, struct weir_str bytes)
{
    return bytes_rsa_sha256(c->arena, key, bytes);
}

int host_http_header(struct weir_call *c, struct weir_str name, struct weir_str value)
{
    struct attempt *a = c->attempt;
    struct header_item *h = a && http_is_token(name) && http_is_value(value) ? arena_alloc(a->arena, sizeof(*h)) : NULL;
    if (!h)
        return -1;
    *h = (struct header_item){ a->headers, arena_copy(a->arena, name), arena_copy(a->arena, value) };
    a->headers = h;
    return 0;
}

int host_splice(struct weir_call *c, size_t offset, size_t n, struct weir_str replacement)
{
    struct attempt *a = c->attempt;
    if (!a || !a->splices)
        return -1;
    splices_add(a->splices, offset, n, arena_copy(a->arena, replacement));
    return a->splices->failed ? -1 : 0;
}

int64_t host_now_ms(void)
{
    int64_t now_ms = unix_ms();
    return recording_tap ? recording_tap->now_ms(now_ms) : now_ms;
}

/* Under a stopped clock whoever looks at it again and again, to bound what it does, must see it move. */
int64_t host_monotonic_us(void)
{
    if (clock_is_stopped())
        clock_advance(10);
    return monotonic_us();
}

void host_lose(struct weir_call *c, enum weir_feature feature, enum weir_loss what, const char *why)
{
    losses_told(c, feature, what, weir_cstr(why ? why : ""));
}

/* ---- ids that only their provider understands ---- */

static bool has_several_providers(const struct request *r)
{
    const struct config_model *m = r->model;
    for (uint32_t i = 1; m && i < m->n_targets; i++)
        if (m->targets[i].provider != m->targets[0].provider)
            return true;
    return false;
}

struct weir_str host_id_out(struct weir_call *c, struct weir_str id)
{
    const struct attempt *a = c->attempt ? c->attempt : c->request->elected;
    if (!id.n || !a || !a->provider || !has_several_providers(c->request))
        return id;
    return arena_printf(c->arena, "%.*s%c%s", (int)id.n, id.p, IDS_MARK, a->provider->name);
}

struct weir_str host_id_in(struct weir_call *c, struct weir_str id)
{
    struct request *r = c->request;
    size_t n = id.n;
    const struct config_provider *p = id_owner(id, worker->config->providers, worker->config->n_providers, &n);
    struct weir_str bare = { id.p, n };
    if (!p || !r->conversation || r->has_candidates)
        return id;
    r->pinned = p;
    conversation_edit_bytes(r->conversation, id, bare);
    return bare;
}

struct weir_str host_response_header(struct weir_call *c, struct weir_str name)
{
    const struct attempt *a = c->attempt;
    for (uint32_t i = 0; a && i < a->n_response_headers; i++)
        if (a->response_headers[i].name.n == name.n && strncasecmp(a->response_headers[i].name.p, name.p, name.n) == 0)
            return a->response_headers[i].value;
    for (const struct header_item *t = a ? a->trailers : NULL; t; t = t->next)
        if (t->name.n == name.n && strncasecmp(t->name.p, name.p, name.n) == 0)
            return t->value;
    return WEIR_NONE;
}

struct weir_out *host_out(struct weir_call *c)
{
    (void)c;
    return scratch_out();
}

/* ---- chance ---- */

uint64_t host_random(struct weir_call *c)
{
    uint64_t n = 0;
    if (c)
        return request_random(c->request);
    bytes_random(&n, sizeof(n));
    return n;
}

struct weir_str host_new_id(struct weir_call *c, const char *prefix)
{
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    char id[25] = { 0 };
    for (int i = 0; i < 24; i += 8) {
        uint64_t n = request_random(c->request);
        for (int k = 0; k < 8; k++, n /= 62)
            id[i + k] = digits[n % 62];
    }
    return arena_printf(c->arena, "%s%s", prefix, id);
}

/* ---- digests ---- */

struct weir_str host_base64(struct weir_call *c, struct weir_str bytes, bool decode)
{
    struct weir_str out = WEIR_NONE;
    if (!decode)
        return bytes_base64_encode(c->arena, bytes, BYTES_BASE64_STD);
    return bytes_base64_decode(c->arena, bytes, BYTES_BASE64_STD, &out) ? out : WEIR_NONE;
}

void host_sha256(struct weir_str bytes, uint8_t out[32])
{
    bytes_sha256(bytes, out);
}

void host_hmac_sha256(struct weir_str key, struct weir_str bytes, uint8_t out[32])
{
    bytes_hmac_sha256(key, bytes, out);
}

bool host_equal(const void *a, const void *b, size_t n)
{
    return bytes_equal((struct weir_str){ a, n }, (struct weir_str){ b, n });
}

/* ---- secrets: slots are positions in the configuration's table, from 1 ---- */

uint32_t host_secret(struct weir_instance *inst, struct weir_str name)
{
    (void)inst;
    for (uint32_t i = 0; i < worker->config->n_secrets; i++)
        if (weir_eq(name, worker->config->secrets[i].name))
            return i + 1;
    return 0;
}

struct weir_str host_secret_value(uint32_t slot)
{
    return slot && slot <= worker->config->n_secrets ? worker->config->secrets[slot - 1].value : WEIR_NONE;
}
