/* See media_fetch.h. Owner: the fetch, of its call, its deadline and what has come. */
#include "media_fetch.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "arena.h"
#include "json.h"

enum { REDIRECTS_MAX = 3, URL_MAX = 8192, CONNECT_MS = 5000 };

struct media_fetch {
    struct egress *egress;
    struct egress_call *call;
    struct event *deadline;
    struct arena *arena;
    struct media_rules rules;
    media_done done;
    void *arg;
    const char *url, *next; /* next: where it redirects to; NULL: nowhere */
    struct weir_out body;
    struct weir_str type;
    uint32_t n_redirects;
    int status;
    char why[200];
};

static const struct egress_origin public_only = { .name = "media", .proxy = "", .refuses_private = true };
static const struct egress_origin anywhere = { .name = "media" };

static void free_fetch(struct media_fetch *f)
{
    if (f->call)
        egress_cancel(f->call);
    if (f->deadline)
        event_free(f->deadline);
    out_free(&f->body);
    arena_free(f->arena);
    free(f);
}

static void finish(struct media_fetch *f, const char *why)
{
    struct media_result result = { out_bytes(&f->body), f->type, why };
    struct egress_call *call = f->call;
    f->call = NULL;
    if (call)
        egress_cancel(call);
    if (!why && !out_complete(&f->body))
        result.why = "can't be held: memory is short";
    f->done(f->arg, &result);
    free_fetch(f);
}

/* ---- what the egress calls ---- */

static struct weir_str header_of(const struct http_header *headers, uint32_t n, const char *name)
{
    for (uint32_t i = 0; i < n; i++)
        if (weir_is(headers[i].name, name))
            return headers[i].value;
    return WEIR_NONE;
}

static void keep_type(struct media_fetch *f, struct weir_str value)
{
    const char *end = value.n ? memchr(value.p, ';', value.n) : NULL;
    f->type = arena_copy(f->arena, (struct weir_str){ value.p, end ? (size_t)(end - value.p) : value.n });
    char *p = (char *)(uintptr_t)f->type.p;
    while (f->type.n && p[f->type.n - 1] == ' ')
        f->type.n--;
    for (size_t i = 0; i < f->type.n; i++)
        if (p[i] >= 'A' && p[i] <= 'Z')
            p[i] = (char)(p[i] + ('a' - 'A'));
}

static bool is_url(struct weir_str s)
{
    bool is_http = s.n > 8 && (strncasecmp(s.p, "http://", 7) == 0 || strncasecmp(s.p, "https://", 8) == 0);
    for (size_t i = 0; is_http && i < s.n; i++)
        is_http = (unsigned char)s.p[i] > ' ' && s.p[i] != 127;
    return is_http && s.n < URL_MAX;
}

/* "/path" stays at the server; anything else but a whole URL is not followed. */
static const char *target_of(struct media_fetch *f, struct weir_str location)
{
    if (is_url(location))
        return arena_copy(f->arena, location).p;
    const char *host = strstr(f->url, "://") + 3;
    if (location.n < 1 || location.p[0] != '/' || (location.n > 1 && location.p[1] == '/'))
        return NULL;
    struct weir_str whole = arena_printf(f->arena, "%.*s%.*s", (int)(host - f->url + (ptrdiff_t)strcspn(host, "/?#")),
                                         f->url, (int)location.n, location.p);
    return is_url(whole) ? whole.p : NULL;
}

static void on_head(void *arg, int status, const struct http_header *headers, uint32_t n)
{
    struct media_fetch *f = arg;
    f->status = status;
    if (status == 200)
        keep_type(f, header_of(headers, n, "content-type"));
    else if (status >= 300 && status < 400)
        f->next = target_of(f, header_of(headers, n, "location"));
}

static void on_body(void *arg, struct weir_str bytes)
{
    struct media_fetch *f = arg;
    if (f->status != 200)
        return;
    if (f->body.n + bytes.n > f->rules.max_bytes) {
        snprintf(f->why, sizeof f->why, "is larger than the %zu MiB that are fetched", f->rules.max_bytes >> 20);
        finish(f, f->why);
        return;
    }
    out_write(&f->body, bytes);
}

static int start_call(struct media_fetch *f);

static void on_end(void *arg, enum egress_result result, const char *message)
{
    struct media_fetch *f = arg;
    f->call = NULL;
    if (result == EGRESS_OK && f->status == 200) {
        finish(f, NULL);
        return;
    }
    if (result == EGRESS_OK && f->next && f->n_redirects++ < REDIRECTS_MAX) {
        f->url = f->next;
        f->next = NULL;
        if (start_call(f) == 0)
            return;
    }
    if (result != EGRESS_OK)
        snprintf(f->why, sizeof f->why, "can't be fetched: %s", message);
    else
        snprintf(f->why, sizeof f->why, "can't be fetched: the server answered %d", f->status);
    finish(f, f->why);
}

static int start_call(struct media_fetch *f)
{
    static const struct egress_ops ops = { on_head, on_body, on_end, NULL };
    static const struct http_header headers[] = { { { "accept", 6 }, { "image/*, application/pdf, text/*", 32 } },
                                                  { { "accept-encoding", 15 }, { "identity", 8 } } };
    struct egress_request q = { .origin = f->rules.allows_private ? &anywhere : &public_only,
                                .method = "GET",
                                .url = f->url,
                                .headers = headers,
                                .n_headers = 2,
                                .connect_ms = CONNECT_MS };
    f->call = egress_start(f->egress, &q, &ops, f);
    return f->call ? 0 : -1;
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    struct media_fetch *f = arg;
    (void)fd, (void)what;
    snprintf(f->why, sizeof f->why, "can't be fetched: it took longer than %u s", f->rules.deadline_ms / 1000);
    finish(f, f->why);
}

/* ---- for the caller ---- */

struct media_fetch *media_fetch_start(struct egress *e, struct event_base *base, struct weir_str url,
                                      const struct media_rules *rules, media_done done, void *arg)
{
    struct timeval tv = { rules->deadline_ms / 1000, (suseconds_t)(rules->deadline_ms % 1000) * 1000 };
    struct media_fetch *f = is_url(url) ? calloc(1, sizeof *f) : NULL;
    if (!f)
        return NULL;
    f->egress = e;
    f->rules = *rules;
    f->done = done;
    f->arg = arg;
    f->arena = arena_new();
    f->url = f->arena ? arena_copy(f->arena, url).p : NULL;
    f->deadline = evtimer_new(base, on_deadline, f);
    if (f->url && f->deadline && event_add(f->deadline, &tv) == 0 && start_call(f) == 0)
        return f;
    free_fetch(f);
    return NULL;
}

void media_fetch_cancel(struct media_fetch *f)
{
    free_fetch(f);
}
