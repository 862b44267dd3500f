/* The host table, and of its functions those of memory, control and the request. */
#include "host.h"

#include <stdarg.h>
#include <stdio.h>

#include "bytes.h"
#include "json.h"
#include "log.h"
#include "recording.h"
#include "text.h"

struct arena *call_arena(struct weir_call *c)
{
    return c->arena;
}

bool host_is_legal(struct weir_call *c, uint32_t hooks, const char *function)
{
    bool is_in_hook = c->running && c->running->plugin->desc.head.kind == WEIR_KIND_STAGE;
    if (is_in_hook && (hooks >> c->hook & 1))
        return true;
    /* After a wait a stage goes on from a callback: the hook it stands in is still the call's. */
    if (!c->running && c->wait && (hooks >> c->hook & 1))
        return true;
    LOG_ERROR("plugin.fault", "plugin", c->running ? c->running->plugin->desc.name : "?", "hook", hook_name(c->hook),
              "request", c->request->id, "what", "called a host function that is not legal there", "function",
              function);
    return false;
}

/* ---- memory ---- */

void *host_alloc(struct weir_call *c, enum weir_lifetime lifetime, size_t n)
{
    if (lifetime == WEIR_FOR_REQUEST)
        return arena_zalloc(c->request->arena, n);
    if (lifetime == WEIR_FOR_ATTEMPT && c->attempt)
        return arena_zalloc(c->attempt->arena, n);
    return arena_zalloc(lifetime == WEIR_FOR_CALL ? c->arena : c->request->arena, n);
}

struct weir_str host_keep(struct weir_call *c, struct weir_str s)
{
    return arena_copy(c->request->arena, s);
}

struct weir_str host_format(struct weir_call *c, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    struct weir_str s = arena_vprintf(c->arena, format, args);
    va_end(args);
    return s;
}

struct weir_str host_text(struct weir_call *c, const struct weir_text *t)
{
    if (recording_tap)
        recording_tap->content();
    return text_decode(c->arena, t);
}

void *host_request_block(struct weir_call *c)
{
    return c->running || c->wait ? stage_request_block(c->request, pipeline_stage_index(c, c->step)) : NULL;
}

void *host_attempt_block(struct weir_call *c)
{
    return (c->running || c->wait) && c->attempt ? stage_attempt_block(c->attempt, pipeline_stage_index(c, c->step))
                                                 : NULL;
}

/* ---- control ---- */

weir_token host_suspend(struct weir_call *c, const char *why, weir_fn cancel, void *arg)
{
    uint32_t hooks =
        IN(HOOK_OPEN) | IN(HOOK_REQUEST) | IN(HOOK_FAILURE) | IN(HOOK_ATTEMPT) | IN(HOOK_HEAD) | IN(HOOK_EVENT);
    return host_is_legal(c, hooks, "suspend") ? wait_begin(c, why, cancel, arg) : 0;
}

void host_resume(struct weir_instance *inst, weir_token token, enum weir_verdict verdict)
{
    (void)inst;
    wait_resume(token, verdict);
}

struct weir_call *host_waiting(struct weir_instance *inst, weir_token token)
{
    (void)inst;
    struct weir_call *c = wait_call(token);
    if (c)
        recording_goes_on(c);
    return c;
}

void error_copy(struct arena *a, struct weir_error *to, const struct weir_error *from)
{
    struct weir_error e = { 0 };
    memcpy(&e, from, from->size && from->size < sizeof(e) ? from->size : sizeof(e));
    e.size = sizeof(e);
    e.code = arena_copy(a, e.code);
    e.message = arena_copy(a, e.message);
    e.param = arena_copy(a, e.param);
    e.native = arena_copy(a, e.native);
    *to = e;
}

enum weir_verdict host_fail(struct weir_call *c, const struct weir_error *error)
{
    error_copy(c->attempt ? c->attempt->arena : c->request->arena, &c->error, error);
    if (c->error.error_class == WEIR_ERROR_NONE)
        c->error.error_class = WEIR_ERROR_INTERNAL;
    return WEIR_FAIL;
}

int host_fail_json(struct weir_call *c, const struct weir_json *r)
{
    struct json_error e;
    if (!json_error(r, &e))
        return -1;
    struct weir_error error = { .size = sizeof(error), .error_class = WEIR_ERROR_BAD_REQUEST, .param = e.path };
    if (e.kind == JSON_ERROR_MEMORY)
        error.error_class = WEIR_ERROR_UNAVAILABLE;
    error.message = json_error_text(r, c->arena);
    host_fail(c, &error);
    return -1;
}

int host_emit(struct weir_call *c, const struct weir_event *e)
{
    if (!(c->is_decoding && c->attempt) && !host_is_legal(c, IN(HOOK_OPEN) | IN(HOOK_REQUEST) | IN(HOOK_EVENT), "emit"))
        return -1;
    return event_emit(c, e);
}

int host_answer_text(struct weir_call *c, struct weir_str text)
{
    if (!host_is_legal(c, IN(HOOK_OPEN) | IN(HOOK_REQUEST), "answer_text") || c->request->view.operation != WEIR_OP_CHAT)
        return -1; /* a text is no answer to the other calls */
    struct weir_usage none = { .size = sizeof(none) };
    struct weir_event events[] = {
        { .kind = WEIR_EVENT_START, .id = host_new_id(c, "weir-"), .name = WEIR_LIT("weir") },
        { .kind = WEIR_EVENT_BLOCK_START, .block_kind = WEIR_BLOCK_TEXT },
        { .kind = WEIR_EVENT_DELTA, .delta_kind = WEIR_DELTA_TEXT, .text = weir_plain(text) },
        { .kind = WEIR_EVENT_BLOCK_STOP },
        { .kind = WEIR_EVENT_FINISH, .finish = WEIR_FINISH_STOP },
        { .kind = WEIR_EVENT_USAGE, .usage = &none },
        { .kind = WEIR_EVENT_END },
    };
    events[0].created_s = unix_ms() / 1000;
    for (size_t i = 0; i < sizeof(events) / sizeof(*events); i++) {
        events[i].size = sizeof(events[i]);
        if (event_emit(c, &events[i]) < 0)
            return -1;
    }
    return 0;
}

int host_release_held(struct weir_call *c)
{
    return host_is_legal(c, IN(HOOK_EVENT), "release_held") ? events_release(c, false) : -1;
}

int host_discard_held(struct weir_call *c)
{
    return host_is_legal(c, IN(HOOK_EVENT), "discard_held") ? events_release(c, true) : -1;
}

/* ---- the request ---- */

const struct weir_request_view *host_request(struct weir_call *c)
{
    struct request *r = c->request;
    uint32_t total = config_timeout(r, c->attempt, WEIR_TIMEOUT_TOTAL);
    r->view.deadline_ms = total ? r->view.started_ms + total : 0;
    return &r->view;
}

static bool is_hidden(struct weir_str name)
{
    static const char *const names[] = { "authorization",       "x-api-key", "x-goog-api-key", "api-key", "cookie",
                                         "proxy-authorization", NULL };
    for (int i = 0; names[i]; i++)
        if (name.n == strlen(names[i]) && strncasecmp(name.p, names[i], name.n) == 0)
            return true;
    return false;
}

struct weir_str host_header(struct weir_call *c, struct weir_str name)
{
    const struct http_head *head = c->request->head;
    struct weir_str found = WEIR_NONE;
    if (!head || is_hidden(name))
        return found;
    for (uint32_t i = 0; i < head->n_headers; i++) {
        const struct http_header *h = &head->headers[i];
        if (h->name.n != name.n || strncasecmp(h->name.p, name.p, name.n) != 0)
            continue;
        found = found.p ? arena_printf(c->arena, "%.*s, %.*s", (int)found.n, found.p, (int)h->value.n, h->value.p)
                        : h->value;
    }
    return recording_tap ? recording_tap->header(c, name, found) : found;
}

static bool header_at(struct weir_call *c, uint32_t i, struct weir_str *name, struct weir_str *value)
{
    const struct http_head *head = c->request->head;
    for (uint32_t k = 0; head && k < head->n_headers; k++) {
        if (is_hidden(head->headers[k].name))
            continue;
        if (i-- == 0) {
            *name = head->headers[k].name;
            *value = head->headers[k].value;
            return true;
        }
    }
    return false;
}

bool host_header_at(struct weir_call *c, uint32_t i, struct weir_str *name, struct weir_str *value)
{
    if (recording_tap)
        return recording_tap->header_at(c, i, name, value);
    return header_at(c, i, name, value);
}

struct weir_str host_credential(struct weir_call *c)
{
    return host_is_legal(c, IN(HOOK_OPEN), "credential") ? c->request->credential : WEIR_NONE;
}

const struct weir_principal *host_principal(struct weir_call *c)
{
    return &c->request->principal;
}

static const struct weir_str *copy_strings(struct arena *a, const struct weir_str *from, uint32_t n)
{
    struct weir_str *to = arena_alloc(a, (n + 1) * sizeof(*to));
    for (uint32_t i = 0; to && i < n; i++)
        to[i] = arena_copy(a, from[i]);
    return to;
}

int host_set_principal(struct weir_call *c, const struct weir_principal *from)
{
    struct request *r = c->request;
    struct weir_principal p = { 0 };
    if (!host_is_legal(c, IN(HOOK_OPEN), "set_principal"))
        return -1;
    memcpy(&p, from, from->size && from->size < sizeof(p) ? from->size : sizeof(p));
    p.size = sizeof(p);
    p.name = arena_copy(r->arena, p.name);
    p.team = arena_copy(r->arena, p.team);
    p.models = copy_strings(r->arena, p.models, p.n_models);
    p.tags = copy_strings(r->arena, p.tags, 2 * p.n_tags);
    r->principal = p;
    snprintf(r->principal_name, sizeof(r->principal_name), "%.*s", (int)p.name.n, p.name.p ? p.name.p : "");
    return 0;
}

int host_set_body_limit(struct weir_call *c, uint64_t bytes)
{
    if (!host_is_legal(c, IN(HOOK_OPEN), "set_body_limit"))
        return -1;
    if (bytes < c->request->body_limit)
        c->request->body_limit = bytes;
    return 0;
}

const struct weir_key *host_keys(struct weir_instance *inst, uint32_t *n)
{
    (void)inst;
    *n = worker->config->n_keys;
    return worker->config->keys;
}

int host_hmac_caller(struct weir_instance *inst, const struct weir_key *key, const char *prefix, struct weir_str bytes,
                     uint8_t out[32])
{
    const struct config *c = worker->config;
    (void)inst;
    if (key < c->keys || key >= c->keys + c->n_keys || !c->key_secrets[key - c->keys].n)
        return -1;
    struct scratch s = scratch_enter();
    struct weir_out *whole = scratch_out();
    if (whole) {
        out_write(whole, weir_cstr(prefix));
        out_write(whole, c->key_secrets[key - c->keys]);
        bytes_hmac_sha256(out_bytes(whole), bytes, out);
        memset(whole->p, 0, whole->n); /* scratch memory lives on */
    }
    scratch_leave(s);
    return whole ? 0 : -1;
}

/* ---- the table ---- */

const struct weir_host host_table = {
    .size = sizeof(struct weir_host),
    .abi_major = WEIR_ABI_MAJOR,
    .abi_minor = WEIR_ABI_MINOR_NEWEST,
    .json = &json_api,
    .alloc = host_alloc,
    .keep = host_keep,
    .format = host_format,
    .text = host_text,
    .request_block = host_request_block,
    .attempt_block = host_attempt_block,
    .suspend = host_suspend,
    .resume = host_resume,
    .waiting = host_waiting,
    .fail = host_fail,
    .fail_json = host_fail_json,
    .emit = host_emit,
    .answer_text = host_answer_text,
    .release_held = host_release_held,
    .discard_held = host_discard_held,
    .request = host_request,
    .header = host_header,
    .header_at = host_header_at,
    .credential = host_credential,
    .principal = host_principal,
    .set_principal = host_set_principal,
    .set_body_limit = host_set_body_limit,
    .keys = host_keys,
    .conversation = host_conversation,
    .set_field = host_set_field,
    .message_add = host_message_add,
    .part_add = host_part_add,
    .part_add_to = host_part_add_to,
    .tool_add = host_tool_add,
    .ext_add = host_ext_add,
    .edit_field = host_edit_field,
    .edit_text = host_edit_text,
    .prepend_system = host_prepend_system,
    .request_texts = host_request_texts,
    .event_texts = host_event_texts,
    .estimate_tokens = host_estimate_tokens,
    .candidates = host_candidates,
    .candidate = host_candidate,
    .candidates_set = host_candidates_set,
    .candidate_copy = host_candidate_copy,
    .candidate_field = host_candidate_field,
    .candidate_header = host_candidate_header,
    .candidate_timeout = host_candidate_timeout,
    .candidate_flag = host_candidate_flag,
    .target = host_target,
    .models = host_models,
    .status = host_status,
    .set_response_header = host_set_response_header,
    .outcome = host_outcome,
    .usage = host_usage,
    .record = host_record,
    .note = host_note,
    .attribute = host_attribute,
    .set_attribute = host_set_attribute,
    .get_attribute = host_get_attribute,
    .http_request = host_http_request,
    .http_header = host_http_header,
    .splice = host_splice,
    .response_header = host_response_header,
    .write = out_write,
    .out = host_out,
    .out_bytes = out_bytes,
    .now_ms = host_now_ms,
    .monotonic_us = host_monotonic_us,
    .random = host_random,
    .new_id = host_new_id,
    .base64 = host_base64,
    .sha256 = host_sha256,
    .hmac_sha256 = host_hmac_sha256,
    .equal = host_equal,
    .secret = host_secret,
    .timer = host_timer,
    .timer_cancel = host_timer_cancel,
    .watch = host_watch,
    .watch_cancel = host_watch_cancel,
    .fetch = host_fetch,
    .fetch_cancel = host_fetch_cancel,
    .defer = host_defer,
    .wake = host_wake,
    .counter = host_counter,
    .count = host_count,
    .log = host_log,
    .shared_get = host_shared_get,
    .shared_set = host_shared_set,
    .shared_incr = host_shared_incr,
    .lose = host_lose,
    .again = host_again,
    .hmac_key = host_hmac_key,
    .key_id = host_key_id,
    .id_out = host_id_out,
    .id_in = host_id_in,
    .hmac_caller = host_hmac_caller,
    .complexity = host_complexity,
    .media_url = host_media_url,
    .token = host_token,
    .rsa_sha256 = host_rsa_sha256,
};
