/* The bench itself: the host functions that codecs may use, and the calls that weir makes to a codec, in weir's order. */
#include "verify_lab.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "bytes.h"
#include "config_read.h"
#include "pipeline.h"
#include "scratch.h"
#include "text.h"

enum { NOW_MS_PER_S = 1000 };
static const int64_t now_s = 1700000000;

static struct lab *lab_of(struct weir_call *c)
{
    return (struct lab *)(void *)c;
}

/* ---- the host ---- */

static void *bench_alloc(struct weir_call *c, enum weir_lifetime lifetime, size_t n)
{
    (void)lifetime;
    return arena_zalloc(lab_of(c)->arena, n);
}

static struct weir_str bench_keep(struct weir_call *c, struct weir_str s)
{
    return arena_copy(lab_of(c)->arena, s);
}

__attribute__((format(printf, 2, 3))) static struct weir_str bench_format(struct weir_call *c, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    struct weir_str s = arena_vprintf(lab_of(c)->arena, format, args);
    va_end(args);
    return s;
}

static struct weir_str bench_text(struct weir_call *c, const struct weir_text *t)
{
    return text_decode(lab_of(c)->arena, t);
}

static void set_error(struct lab *l, const struct weir_error *from)
{
    error_copy(l->arena, &l->error, from);
    if (l->error.error_class == WEIR_ERROR_NONE)
        l->error.error_class = WEIR_ERROR_INTERNAL;
}

static enum weir_verdict bench_fail(struct weir_call *c, const struct weir_error *e)
{
    set_error(lab_of(c), e);
    return WEIR_FAIL;
}

static int bench_fail_json(struct weir_call *c, const struct weir_json *r)
{
    struct json_error e;
    if (!json_error(r, &e))
        return -1;
    struct weir_error error = { .size = sizeof error, .error_class = WEIR_ERROR_BAD_REQUEST, .param = e.path };
    error.message = json_error_text(r, lab_of(c)->arena);
    set_error(lab_of(c), &error);
    return -1;
}

static void keep_event(struct lab *l, const struct weir_event *e)
{
    size_t head = (sizeof(struct lab_event) + 15) & ~(size_t)15;
    char *room = arena_alloc(l->arena, head + event_room(e));
    if (!room)
        return;
    struct lab_event *kept = (struct lab_event *)(void *)room;
    kept->next = NULL;
    event_pack(&kept->event, e, room + head);
    *l->events_end = kept;
    l->events_end = &kept->next;
}

static int bench_emit(struct weir_call *c, const struct weir_event *from)
{
    struct lab *l = lab_of(c);
    struct weir_event e;
    event_adopt(&e, from);
    const char *why = grammar_check(&l->grammar, &e, l->arena);
    if (why && !l->broken_rule)
        l->broken_rule = why;
    if (why)
        return -1;
    keep_event(l, &e);
    l->has_ended |= e.kind == WEIR_EVENT_END;
    l->has_error |= e.kind == WEIR_EVENT_ERROR;
    return 0;
}

static const struct weir_request_view *bench_request(struct weir_call *c)
{
    return &lab_of(c)->view;
}

static struct weir_str bench_no_header(struct weir_call *c, struct weir_str name)
{
    (void)c;
    (void)name;
    return WEIR_NONE;
}

static const struct weir_conversation *bench_conversation(struct weir_call *c)
{
    return lab_of(c)->conversation ? &lab_of(c)->conversation->view : NULL;
}

static int bench_set_field(struct weir_call *c, enum weir_field f, struct weir_str json, struct weir_str wire)
{
    return conversation_set_field(lab_of(c)->conversation, f, json, wire);
}

static struct weir_message *bench_message_add(struct weir_call *c, enum weir_role role)
{
    return conversation_message(lab_of(c)->conversation, role);
}

static struct weir_part *bench_part_add(struct weir_call *c, struct weir_message *m, enum weir_part_kind kind)
{
    return conversation_part(lab_of(c)->conversation, &m->parts, kind);
}

static struct weir_part *bench_part_add_to(struct weir_call *c, struct weir_part *parent, enum weir_part_kind kind)
{
    return conversation_part(lab_of(c)->conversation, &parent->parts, kind);
}

static struct weir_tool *bench_tool_add(struct weir_call *c)
{
    return conversation_tool(lab_of(c)->conversation);
}

static int bench_ext_add(struct weir_call *c, struct weir_str path, struct weir_str raw, struct weir_str member)
{
    return conversation_ext(lab_of(c)->conversation, path, raw, member);
}

static int bench_note(struct weir_call *c, const char *key, struct weir_str value)
{
    (void)c;
    (void)key;
    (void)value;
    return 0;
}

static int bench_http_request(struct weir_call *c, const char *method, struct weir_str path)
{
    struct lab *l = lab_of(c);
    l->method = method;
    l->url = arena_copy(l->arena, path).p;
    return l->url ? 0 : -1;
}

static int bench_http_header(struct weir_call *c, struct weir_str name, struct weir_str value)
{
    (void)c;
    return http_is_token(name) && http_is_value(value) ? 0 : -1;
}

static int bench_splice(struct weir_call *c, size_t offset, size_t n, struct weir_str with)
{
    struct lab *l = lab_of(c);
    splices_add(&l->splices, offset, n, arena_copy(l->arena, with));
    return 0;
}

static struct weir_out *bench_out(struct weir_call *c)
{
    (void)c;
    return scratch_out();
}

static int64_t bench_now(void)
{
    return now_s * NOW_MS_PER_S;
}

static uint64_t bench_random(struct weir_call *c)
{
    return c ? ++lab_of(c)->n_ids * UINT64_C(0x9e3779b97f4a7c15) : 4;
}

static struct weir_str bench_new_id(struct weir_call *c, const char *prefix)
{
    return arena_printf(lab_of(c)->arena, "%s%024u", prefix, ++lab_of(c)->n_ids);
}

static struct weir_str bench_base64(struct weir_call *c, struct weir_str bytes, bool decode)
{
    struct weir_str out = WEIR_NONE;
    if (!decode)
        return bytes_base64_encode(lab_of(c)->arena, bytes, BYTES_BASE64_STD);
    return bytes_base64_decode(lab_of(c)->arena, bytes, BYTES_BASE64_STD, &out) ? out : WEIR_NONE;
}

static const struct weir_principal *bench_principal(struct weir_call *c)
{
    static const struct weir_principal nobody = { .size = sizeof nobody };
    (void)c;
    return &nobody;
}

static const struct weir_candidate *bench_target(struct weir_call *c)
{
    static const struct weir_candidate target = { .size = sizeof target, .name = { "test/m", 6 }, .provider = { "test", 4 },
                                                  .model = { "m", 1 }, .context_tokens = -1 };
    return lab_of(c)->side == LAB_EGRESS ? &target : NULL;
}

static int bench_counter(struct weir_instance *inst, const char *name, const char *labels)
{
    (void)inst;
    (void)name;
    (void)labels;
    return 0;
}

static void bench_count(struct weir_instance *inst, int id, int64_t n)
{
    (void)inst;
    (void)id;
    (void)n;
}

__attribute__((format(printf, 3, 4))) static void bench_log(struct weir_instance *inst, enum weir_log_level level, const char *format, ...)
{
    va_list args;
    (void)inst;
    (void)level;
    va_start(args, format);
    printf("      | ");
    vprintf(format, args);
    printf("\n");
    va_end(args);
}

/* What lose() named though the table calls it something else; of all labs of this process. */
static struct features wrong_losses;

struct features lab_wrong_losses(void)
{
    return wrong_losses;
}

static void bench_lose(struct weir_call *c, enum weir_feature feature, enum weir_loss what, const char *why)
{
    const struct lab *l = lab_of(c);
    const struct codec_says *says = &l->plugin->says;
    bool is_own = l->side == LAB_EGRESS && l->conversation && weir_is(l->conversation->view.dialect, l->plugin->desc.name);
    (void)what, (void)why;
    if ((uint32_t)feature < WEIR_FEATURES && says->is_declared && !is_own && says->saying[feature] != WEIR_SAYS_PARTLY)
        features_add(&wrong_losses, feature);
}

static int bench_set_response_header(struct weir_call *c, struct weir_str name, struct weir_str value)
{
    (void)c;
    return http_is_token(name) && http_is_value(value) ? 0 : -1;
}

/* The provider's key is "id:secret:token". */
static const char *bench_key_part(uint32_t part)
{
    static const char *const parts[] = { "id", "secret", "token" };
    return part < sizeof parts / sizeof *parts ? parts[part] : NULL;
}

static int bench_hmac_key(struct weir_call *c, uint32_t part, const char *prefix, struct weir_str bytes, uint8_t out[32])
{
    const char *key = bench_key_part(part);
    if (!key)
        return -1;
    bytes_hmac_sha256(arena_printf(lab_of(c)->arena, "%s%s", prefix, key), bytes, out);
    return 0;
}

static struct weir_str bench_key_id(struct weir_call *c, uint32_t part)
{
    (void)c;
    return part == 1 ? WEIR_NONE : weir_cstr(bench_key_part(part));
}

static bool bench_media_url(struct weir_call *c, struct weir_part *p, struct weir_text url)
{
    return conversation_media_url(lab_of(c)->arena, p, &url);
}

/* As with one provider: ids need no name. */
static struct weir_str bench_id(struct weir_call *c, struct weir_str id)
{
    (void)c;
    return id;
}

static int bench_again(struct weir_call *c, uint32_t delay_ms, const char *method, struct weir_str path)
{
    (void)delay_ms, (void)method, (void)path;
    lab_of(c)->asks_again = true;
    return 0;
}

/* Everything that needs no worker is the real thing; what a codec has no business with is missing, and a crash tells. */
static const struct weir_host *bench(void)
{
    static struct weir_host host;
    host = (struct weir_host){
        .size = sizeof host, .abi_major = WEIR_ABI_MAJOR, .abi_minor = WEIR_ABI_MINOR_NEWEST, .json = &json_api,
        .alloc = bench_alloc, .keep = bench_keep, .format = bench_format, .text = bench_text, .fail = bench_fail,
        .fail_json = bench_fail_json, .emit = bench_emit, .request = bench_request, .header = bench_no_header,
        .conversation = bench_conversation, .set_field = bench_set_field, .message_add = bench_message_add,
        .part_add = bench_part_add, .part_add_to = bench_part_add_to, .tool_add = bench_tool_add, .ext_add = bench_ext_add,
        .note = bench_note, .http_request = bench_http_request, .http_header = bench_http_header, .splice = bench_splice,
        .response_header = bench_no_header, .write = out_write, .out = bench_out, .out_bytes = out_bytes, .now_ms = bench_now,
        .monotonic_us = host_table.monotonic_us, .random = bench_random, .new_id = bench_new_id, .base64 = bench_base64,
        .sha256 = host_table.sha256, .hmac_sha256 = host_table.hmac_sha256, .equal = host_table.equal,
        .set_response_header = bench_set_response_header,
        .lose = bench_lose, .again = bench_again, .hmac_key = bench_hmac_key, .key_id = bench_key_id, .id_out = bench_id, .id_in = bench_id,
        .media_url = bench_media_url,
        .principal = bench_principal, .target = bench_target, .counter = bench_counter, .count = bench_count, .log = bench_log,
    };
    return &host;
}

/* ---- a call ---- */

void *lab_codec(const struct plugin *p)
{
    void *self = NULL;
    struct crumb before = crumb_enter(p->index, CRUMB_CREATE, NULL, NULL);
    int rc = p->codec.create(bench(), NULL, &self);
    crumb_leave(&before);
    return rc < 0 ? NULL : self ? self : (void *)(uintptr_t)p;
}

/* A provider entry that says nothing but its dialect. */
static void *default_entry(const struct plugin *p, struct arena *a)
{
    struct config_errors errors = { .n = 0 };
    struct reader r = { .a = a, .errors = &errors, .where = "the provider" };
    void *entry = options_read(&r, p, NULL, NULL, NULL);
    config_errors_free(&errors);
    return entry;
}

/* What labs are made for, and conversations that are read from .canon files. */
static uint32_t operation = WEIR_OP_CHAT;

void lab_operation(uint32_t next)
{
    operation = next;
}

uint32_t lab_operation_now(void)
{
    return operation;
}

struct lab *lab_new(const struct plugin *p, void *self, enum lab_side side)
{
    struct arena *a = arena_new();
    struct lab *l = a ? arena_zalloc(a, sizeof *l) : NULL;
    if (!l)
        abort(); /* a test without memory tells nothing */
    l->arena = l->call.arena = l->splices.arena = a;
    l->plugin = p;
    l->self = self;
    l->side = side;
    l->events_end = &l->events;
    l->collector = collector_new(a);
    l->state = arena_zalloc(a, (side == LAB_INGRESS ? p->codec.ingress_size : p->codec.egress_size) + 16);
    l->entry = side == LAB_EGRESS ? default_entry(p, a) : NULL;
    l->view = (struct weir_request_view){ .id = WEIR_LIT("req_verify"), .method = WEIR_LIT("POST"), .path = WEIR_LIT("/"),
                                          .dialect = weir_cstr(p->desc.name), .operation = operation,
                                          .started_ms = bench_now() };
    if (p->codec.claims && p->codec.claims->method)
        l->view.path = weir_cstr(p->codec.claims->path);
    if (operation != WEIR_OP_CHAT && side == LAB_EGRESS)
        l->conversation = conversation_new(a, WEIR_LIT("verify"), operation, WEIR_LIT("{}"));
    return l;
}

void lab_free(struct lab *l)
{
    if (!l)
        return;
    collector_free(l->collector);
    arena_free(l->arena);
}

const char *lab_why(const struct lab *l)
{
    if (l->broken_rule)
        return l->broken_rule;
    return l->error.error_class != WEIR_ERROR_NONE && l->error.message.n ? l->error.message.p : "it returned -1 and gave no reason";
}

/* Around every op: the breadcrumb for the parent, scratch memory as in a worker. */
#define OP(l, hook, expression)                                                                                       \
    do {                                                                                                              \
        struct crumb op_before = crumb_enter((l)->plugin->index, (hook), NULL, NULL);                                 \
        struct scratch op_scratch = scratch_enter();                                                                  \
        rc = (expression);                                                                                            \
        scratch_leave(op_scratch);                                                                                    \
        crumb_leave(&op_before);                                                                                      \
    } while (0)

int lab_decode_request(struct lab *l, struct weir_str body)
{
    const struct weir_codec *c = &l->plugin->codec;
    int rc;
    l->conversation = conversation_new(l->arena, weir_cstr(l->plugin->desc.name), operation, arena_copy(l->arena, body));
    conversation_watch(l->conversation);
    OP(l, CRUMB_DECODE_REQUEST, c->decode_request(l->self, &l->call, l->state, l->conversation->view.body));
    if (rc == 0)
        conversation_close(l->conversation);
    else
        json_watch_end(NULL, NULL);
    return rc;
}

static int sign_request(struct lab *l, const struct weir_out *body)
{
    const struct weir_outgoing_header type = { WEIR_LIT("content-type"), WEIR_LIT("application/json") };
    const struct weir_str piece = out_bytes(body);
    const struct weir_outgoing q = { .size = sizeof q, .n_headers = 1, .headers = &type, .method = weir_cstr(l->method),
                                     .url = arena_printf(l->arena, "https://api.test%s", l->url), .body = &piece,
                                     .n_body = 1, .now_ms = bench_now() };
    const struct weir_codec *c = &l->plugin->codec;
    int rc;
    OP(l, CRUMB_SIGN, c->sign(l->self, &l->call, l->state, &q));
    return rc;
}

void lab_is_called(struct lab *reader, const struct lab *writer)
{
    if (!writer->url)
        return;
    reader->view.path = (struct weir_str){ writer->url, strcspn(writer->url, "?") };
    reader->view.query = weir_cstr(writer->url + reader->view.path.n + (writer->url[reader->view.path.n] == '?'));
}

int lab_encode_request(struct lab *l, struct conversation *conversation, struct weir_out *out)
{
    const struct weir_codec *c = &l->plugin->codec;
    int rc;
    l->conversation = conversation;
    OP(l, CRUMB_REQUEST_HEAD, c->request_head(l->self, &l->call, l->state, l->entry));
    if (rc >= 0)
        OP(l, CRUMB_ENCODE_REQUEST, c->encode_request(l->self, &l->call, l->state, &conversation->view, out));
    return rc == 0 && c->sign ? sign_request(l, out) : rc;
}

/* ---- answers in ---- */

uint32_t lab_framing(const struct plugin *p, bool is_whole)
{
    return is_whole ? p->codec.whole_framing : p->codec.stream_framing;
}

static int decode_one(struct lab *l, struct weir_frame *frame)
{
    const struct weir_codec *c = &l->plugin->codec;
    int rc;
    OP(l, CRUMB_DECODE_FRAME, c->decode_frame(l->self, &l->call, l->state, frame));
    return rc;
}

static int feed(struct lab *l, struct framer *f, struct weir_str in)
{
    struct weir_frame frame;
    enum framer_result r;
    while ((r = framer_next(f, &in, &frame, SIZE_MAX / 2)) == FRAMER_FRAME)
        if (decode_one(l, &frame) != 0)
            return -1;
    return r == FRAMER_MORE ? 0 : -1;
}

static int64_t split_own(void *arg, struct weir_str bytes)
{
    struct lab *l = arg;
    const struct weir_codec *c = &l->plugin->codec;
    int64_t rc;
    OP(l, CRUMB_SPLIT, c->split(l->self, &l->call, l->state, bytes));
    return rc;
}

static int decode_framed(struct lab *l, const struct lab_answer *answer)
{
    struct framer f;
    struct weir_frame frame;
    struct weir_str bytes = answer->bytes;
    framer_init(&f, (enum weir_framing)lab_framing(l->plugin, answer->is_whole));
    framer_cut_by(&f, split_own, l);
    int rc = feed(l, &f, (struct weir_str){ bytes.p, answer->cut });
    if (rc == 0)
        rc = feed(l, &f, (struct weir_str){ bytes.p + answer->cut, bytes.n - answer->cut });
    enum framer_result rest = rc == 0 ? framer_last(&f, &frame) : FRAMER_MORE;
    if (rest != FRAMER_MORE)
        rc = rest == FRAMER_FRAME ? decode_one(l, &frame) : -1;
    framer_free(&f);
    return rc;
}

int lab_decode_answer(struct lab *l, const struct lab_answer *answer)
{
    const struct weir_codec *c = &l->plugin->codec;
    int rc = 0;
    if (c->decode_head)
        OP(l, CRUMB_DECODE_HEAD, c->decode_head(l->self, &l->call, l->state, 200));
    if (rc == 0)
        rc = decode_framed(l, answer);
    if (rc == 0 && !l->has_ended && !l->has_error && !l->asks_again)
        OP(l, CRUMB_DECODE_END, c->decode_end(l->self, &l->call, l->state, answer->ends_clean));
    return l->broken_rule ? -1 : rc;
}

int lab_decode_error(struct lab *l, int status, struct weir_str body, struct weir_error *error)
{
    const struct weir_codec *c = &l->plugin->codec;
    int rc;
    *error = (struct weir_error){ .size = sizeof *error, .flags = WEIR_ERROR_FROM_UPSTREAM };
    upstream_error_default(error, status);
    OP(l, CRUMB_DECODE_ERROR, c->decode_error(l->self, &l->call, l->state, status, body, error));
    return rc;
}

/* ---- answers out ---- */

int lab_encode_stream(struct lab *l, const struct lab_event *events, struct weir_out *out)
{
    const struct weir_codec *c = &l->plugin->codec;
    int rc = 0;
    for (; events && rc == 0; events = events->next)
        OP(l, CRUMB_ENCODE_EVENT, c->encode_event(l->self, &l->call, l->state, &events->event, out));
    return rc;
}

int lab_encode_answer(struct lab *l, const struct lab_event *events, struct weir_out *out)
{
    const struct weir_codec *c = &l->plugin->codec;
    int rc;
    for (; events; events = events->next)
        collector_add(l->collector, &events->event);
    OP(l, CRUMB_ENCODE_ANSWER, c->encode_answer(l->self, &l->call, l->state, collector_answer(l->collector), out));
    return rc;
}

int lab_encode_error(struct lab *l, const struct weir_error *error, struct weir_out *out)
{
    const struct weir_codec *c = &l->plugin->codec;
    int rc;
    OP(l, CRUMB_ENCODE_ERROR, c->encode_error(l->self, &l->call, l->state, error, out));
    return rc;
}
