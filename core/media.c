/* `fetch_media`: images and files that a message links to, for a target that takes only their bytes. An attempt of its own views gets
 * the bytes in the URL's place; the request's conversation stays as it is. Without the setting nothing is ever fetched.
 */
#include "bytes.h"
#include "feature_set.h"
#include "media_fetch.h"
#include "pipeline.h"

enum { MEDIA_MAX = 20, MEDIA_BYTES = 20 << 20, DEADLINE_MS = 10 * 1000, WAIT_MS = 12 * 1000 };

struct item {
    struct media *of;
    struct weir_part *part; /* the attempt's own view */
    struct weir_str where; /* "messages[2].content[0]" */
    struct media_fetch *fetch;
};

struct media {
    struct attempt *attempt;
    struct item items[MEDIA_MAX];
    uint32_t n, pending;
    size_t bytes;
    weir_token token;
    struct weir_str where, why; /* of the first that failed; where n 0: none did */
};

/* ---- which ---- */

static bool wants_bytes(const struct attempt *a, const struct weir_part *p)
{
    uint32_t can = a->target->view.capabilities;
    if (!p->url.n || p->data.n)
        return false;
    if (p->kind == WEIR_PART_IMAGE)
        return !(can & WEIR_CAN_IMAGE_URL) && (can & WEIR_CAN_IMAGE_INLINE);
    return p->kind == WEIR_PART_FILE && !(can & WEIR_CAN_FILE_URL) && (can & WEIR_CAN_FILE_INLINE);
}

static bool has_any(const struct attempt *a, const struct weir_part *p)
{
    for (; p; p = p->next)
        if (wants_bytes(a, p) || has_any(a, p->parts))
            return true;
    return false;
}

static const struct conversation *conversation_of(const struct attempt *a)
{
    return a->edits.own ? a->edits.own : a->call.request->conversation;
}

static bool needs_media(const struct attempt *a)
{
    const struct weir_message *m = conversation_of(a)->view.messages;
    while (m && !has_any(a, m->parts))
        m = m->next;
    return m != NULL;
}

uint32_t media_replaces(const struct config_provider *p, uint32_t capabilities)
{
    uint32_t bits = capabilities & WEIR_CAN_IMAGE_INLINE ? WEIR_CAN_IMAGE_URL : 0;
    bits |= capabilities & WEIR_CAN_FILE_INLINE ? WEIR_CAN_FILE_URL : 0;
    return p->fetches_media ? bits : 0;
}

struct weir_str media_first_url(const struct weir_conversation *c, struct arena *a)
{
    uint32_t i = 0;
    for (const struct weir_message *m = c->messages; m; m = m->next, i++) {
        uint32_t k = 0;
        for (const struct weir_part *p = m->parts; p; p = p->next, k++)
            if ((p->kind == WEIR_PART_IMAGE || p->kind == WEIR_PART_FILE) && p->url.n)
                return arena_printf(a, "messages[%u].content[%u]", i, k);
    }
    return WEIR_NONE;
}

/* ---- what came ---- */

static void note_failure(struct media *m, const struct item *item, const char *why)
{
    if (m->where.n)
        return;
    m->where = item->where;
    m->why = arena_printf(m->attempt->arena, "%.*s %s", (int)(item->part->url.n < 200 ? item->part->url.n : 200),
                          item->part->url.p, why);
}

static bool begins(struct weir_str s, const char *with, size_t n)
{
    return s.n >= n && memcmp(s.p, with, n) == 0;
}

/* Servers are often wrong about images; their first bytes are not. */
static struct weir_str type_of(struct weir_str told, struct weir_str bytes, uint32_t kind)
{
    if (begins(bytes, "\x89PNG", 4))
        return WEIR_LIT("image/png");
    if (begins(bytes, "\xff\xd8\xff", 3))
        return WEIR_LIT("image/jpeg");
    if (begins(bytes, "GIF8", 4))
        return WEIR_LIT("image/gif");
    if (begins(bytes, "RIFF", 4) && bytes.n > 12 && memcmp(bytes.p + 8, "WEBP", 4) == 0)
        return WEIR_LIT("image/webp");
    if (begins(bytes, "%PDF-", 5))
        return WEIR_LIT("application/pdf");
    bool fits = kind == WEIR_PART_IMAGE ? begins(told, "image/", 6) : told.n > 0;
    return fits ? told : WEIR_NONE;
}

static void put_bytes(struct media *m, struct item *item, const struct media_result *result)
{
    struct arena *arena = m->attempt->arena;
    struct weir_part *p = item->part;
    struct weir_str type = type_of(result->type, result->bytes, p->kind);
    m->bytes += result->bytes.n;
    if (!type.n || !result->bytes.n) {
        note_failure(m, item, p->kind == WEIR_PART_IMAGE ? "is no image" : "has no type");
        return;
    }
    if (m->bytes > MEDIA_BYTES) {
        note_failure(m, item, "and the media before it are more than the 20 MiB that are fetched for a request");
        return;
    }
    p->data = weir_plain(bytes_base64_encode(arena, result->bytes, BYTES_BASE64_STD));
    p->media_type = arena_copy(arena, type);
    p->url = WEIR_NONE;
}

static void fetched(void *arg, const struct media_result *result)
{
    struct item *item = arg;
    struct media *m = item->of;
    item->fetch = NULL;
    if (result->why)
        note_failure(m, item, result->why);
    else
        put_bytes(m, item, result);
    if (--m->pending == 0)
        wait_resume(m->token, WEIR_NEXT);
}

static void cancel_all(void *arg)
{
    struct media *m = arg;
    for (uint32_t i = 0; i < m->n; i++)
        if (m->items[i].fetch) {
            media_fetch_cancel(m->items[i].fetch);
            m->items[i].fetch = NULL;
        }
    m->pending = 0;
}

static void waited(struct weir_call *c, enum weir_verdict verdict)
{
    struct media *m = c->attempt->media;
    (void)verdict;
    for (uint32_t i = 0; i < m->n; i++)
        if (m->items[i].fetch)
            note_failure(m, &m->items[i], "can't be fetched in time");
    cancel_all(m);
    attempt_after_attempt(c->attempt, WEIR_NEXT);
}

/* ---- asking ---- */

static void start(struct media *m, struct weir_part *part, struct weir_str where)
{
    struct attempt *a = m->attempt;
    const struct media_rules rules = { MEDIA_BYTES, DEADLINE_MS, a->provider->fetches_private };
    struct item none = { .of = m, .part = part, .where = where };
    if (m->n == MEDIA_MAX) {
        note_failure(m, &none, "is one of more than 20 media, which are not fetched for one request");
        return;
    }
    struct item *item = &m->items[m->n++];
    *item = none;
    item->fetch = media_fetch_start(worker->egress, worker->base, part->url, &rules, fetched, item);
    if (item->fetch)
        m->pending++;
    else
        note_failure(m, item, "is no URL that can be fetched");
}

static void start_parts(struct media *m, struct weir_part *p, struct weir_str where)
{
    for (uint32_t i = 0; p; p = p->next, i++) {
        struct weir_str here = arena_printf(m->attempt->arena, "%.*s.content[%u]", (int)where.n, where.p, i);
        if (wants_bytes(m->attempt, p))
            start(m, p, here);
        start_parts(m, p->parts, here);
    }
}

static enum token_state refuse(struct attempt *a, const struct media *m)
{
    a->call.error = (struct weir_error){ .size = sizeof(struct weir_error),
                                         .error_class = WEIR_ERROR_BAD_REQUEST,
                                         .param = m->where };
    a->call.error.message = arena_printf(a->arena, "%.*s: %.*s.", (int)m->where.n, m->where.p, (int)m->why.n, m->why.p);
    return TOKEN_NONE;
}

static enum token_state settle(struct attempt *a)
{
    struct conversation *own = a->edits.own;
    if (a->media->where.n || !own)
        return refuse(a, a->media);
    own->content = features_of_content(&own->view);
    for (uint32_t i = 0; i < a->media->n; i++)
        losses_keep(a,
                    a->media->items[i].part->kind == WEIR_PART_IMAGE ? WEIR_FEATURE_IMAGE_URL : WEIR_FEATURE_FILE_URL,
                    WEIR_LOSS_EMULATED, WEIR_LIT("fetched, and sent as bytes"));
    a->media_is_inlined = true;
    return TOKEN_HAS;
}

static enum token_state begin(struct attempt *a)
{
    struct media *m = a->media = arena_zalloc(a->arena, sizeof *m);
    struct conversation *own = attempt_own_messages(a->call.request->conversation, &a->edits, a->arena);
    uint32_t i = 0;
    if (!m || !own)
        return TOKEN_NONE;
    m->attempt = a;
    for (struct weir_message *message = own->view.messages; message; message = message->next)
        start_parts(m, message->parts, arena_printf(a->arena, "messages[%u]", i++));
    if (m->where.n || !m->pending) {
        cancel_all(m);
        return settle(a);
    }
    m->token = wait_core(&a->call, "media that the request links to", monotonic_us() + (int64_t)WAIT_MS * 1000, waited,
                         cancel_all, m);
    if (m->token)
        return TOKEN_WAITS;
    cancel_all(m);
    return TOKEN_NONE;
}

static enum token_state media_get(struct attempt *a)
{
    if (!a->provider->fetches_media || a->media_is_inlined || !a->call.request->conversation)
        return TOKEN_HAS;
    if (a->media)
        return settle(a);
    return needs_media(a) ? begin(a) : TOKEN_HAS;
}

enum token_state attempt_gather(struct attempt *a)
{
    enum token_state token = token_get(a);
    return token == TOKEN_HAS && !is_raw(a->call.request) ? media_get(a) : token;
}
