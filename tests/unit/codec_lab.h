/* A codec on the bench: the host table, one call, and what the codec did with them. No sockets, no worker, no pipeline; the
 * conversation, events, JSON and frames are the core's own. Everything of a lab lives until lab_end().
 *
 * What a codec says is written down as text, so that two ways to the same answer can be compared as strings.
 */
#ifndef WEIR_TESTS_UNIT_CODEC_LAB_H
#define WEIR_TESTS_UNIT_CODEC_LAB_H

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../core/answer.h"
#include "../../core/bytes.h"
#include "../../core/conversation.h"
#include "../../core/feature_set.h"
#include "../../core/framer.h"
#include "../../core/request.h"
#include "../../core/scratch.h"
#include "../../core/text.h"

struct lab {
    struct weir_call call; /* first */
    const struct weir_plugin *plugin;
    const struct weir_codec *codec;
    void *self, *state;
    struct arena *arena;
    struct conversation *conversation;
    struct weir_request_view view;
    struct weir_error error; /* what fail() said */
    bool has_failed;
    struct grammar grammar;
    const char *grammar_error;
    struct collector *collector;
    bool has_ended, has_error;
    struct weir_error answer_error; /* of an ERROR event */
    struct weir_out log; /* one line per event */
    struct weir_out notes; /* "key=value\n" */
    struct weir_out head; /* method, path and headers */
    struct splices splices;
    const char *response_headers[16]; /* name, value, …, NULL */
    const char *request_headers[16];
    struct weir_event *relay[64]; /* the last frame's events, for feeding an encoder */
    struct lab *encoder; /* who is told every event as it comes; NULL: nobody */
    struct weir_out told;
    uint32_t ids;
    char side; /* 'i' ingress, 'e' egress */
    struct answer_order order;
    struct features emitted; /* what the events so far use */
    const char *undeclared_loss; /* what lose() named though the table doesn't call it PARTLY */
    const char *key; /* the provider's, "ID:SECRET"; NULL: "key-1" */
    bool asks_again; /* what again() asked for stands in `head` */
};

static struct lab *lab_of(struct weir_call *c)
{
    return (struct lab *)(void *)c;
}

/* ---- the host ---- */

static void *lab_alloc(struct weir_call *c, enum weir_lifetime lifetime, size_t n)
{
    (void)lifetime;
    return arena_zalloc(lab_of(c)->arena, n);
}

static struct weir_str lab_keep(struct weir_call *c, struct weir_str s)
{
    return arena_copy(lab_of(c)->arena, s);
}

__attribute__((format(printf, 2, 3))) static struct weir_str lab_format(struct weir_call *c, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    struct weir_str s = arena_vprintf(lab_of(c)->arena, format, args);
    va_end(args);
    return s;
}

static struct weir_str lab_text(struct weir_call *c, const struct weir_text *t)
{
    return text_decode(lab_of(c)->arena, t);
}

static enum weir_verdict lab_fail(struct weir_call *c, const struct weir_error *e)
{
    struct lab *l = lab_of(c);
    l->has_failed = true;
    l->error = *e;
    l->error.message = arena_copy(l->arena, e->message);
    l->error.param = arena_copy(l->arena, e->param);
    return WEIR_FAIL;
}

static int lab_fail_json(struct weir_call *c, const struct weir_json *r)
{
    struct json_error e;
    struct lab *l = lab_of(c);
    if (!json_error(r, &e))
        return -1;
    struct weir_error error = { .size = sizeof(error), .error_class = WEIR_ERROR_BAD_REQUEST, .param = e.path };
    error.message = json_error_text(r, l->arena);
    lab_fail(c, &error);
    return -1;
}

static void lab_log(struct lab *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void lab_log(struct lab *l, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    out_write(&l->log, arena_vprintf(l->arena, format, args));
    va_end(args);
}

static int lab_emit(struct weir_call *c, const struct weir_event *from)
{
    struct lab *l = lab_of(c);
    struct weir_event e;
    event_adopt(&e, from);
    const char *why = grammar_check(&l->grammar, &e, l->arena);
    if (why && !l->grammar_error)
        l->grammar_error = why;
    struct weir_str text = text_decode(l->arena, &e.text);
    lab_log(l, "%s %u/%u k%u d%u f%u id=%.*s name=%.*s text=%.*s\n", event_kind_name(e.kind), e.choice, e.block,
            e.block_kind, e.delta_kind, e.finish, (int)e.id.n, e.id.p ? e.id.p : "", (int)e.name.n,
            e.name.p ? e.name.p : "", (int)text.n, text.p ? text.p : "");
    collector_add(l->collector, &e);
    struct features used = features_of_event(&l->order, &e);
    l->emitted.bits[0] |= used.bits[0];
    l->emitted.bits[1] |= used.bits[1];
    l->has_ended = l->has_ended || e.kind == WEIR_EVENT_END;
    if (e.kind == WEIR_EVENT_ERROR && e.error) {
        l->has_error = true;
        l->answer_error = *e.error;
        l->answer_error.message = arena_copy(l->arena, e.error->message);
    }
    if (l->encoder) {
        struct lab *to = l->encoder;
        struct scratch s = scratch_enter();
        to->codec->encode_event(to->self, &to->call, to->state, &e, &to->told);
        scratch_leave(s);
    }
    return why ? -1 : 0;
}

static const struct weir_request_view *lab_request(struct weir_call *c)
{
    return &lab_of(c)->view;
}

static struct weir_str lab_find(const char *const *list, struct weir_str name)
{
    for (; list[0]; list += 2)
        if (weir_is(name, list[0]))
            return weir_cstr(list[1]);
    return WEIR_NONE;
}

static struct weir_str lab_header(struct weir_call *c, struct weir_str name)
{
    return lab_find(lab_of(c)->request_headers, name);
}

static struct weir_str lab_response_header(struct weir_call *c, struct weir_str name)
{
    return lab_find(lab_of(c)->response_headers, name);
}

static const struct weir_conversation *lab_conversation(struct weir_call *c)
{
    struct lab *l = lab_of(c);
    return l->conversation ? &l->conversation->view : NULL;
}

static int lab_set_field(struct weir_call *c, enum weir_field f, struct weir_str json, struct weir_str wire)
{
    return conversation_set_field(lab_of(c)->conversation, f, json, wire);
}

static struct weir_message *lab_message_add(struct weir_call *c, enum weir_role role)
{
    return conversation_message(lab_of(c)->conversation, role);
}

static struct weir_part *lab_part_add(struct weir_call *c, struct weir_message *m, enum weir_part_kind kind)
{
    return conversation_part(lab_of(c)->conversation, &m->parts, kind);
}

static struct weir_part *lab_part_add_to(struct weir_call *c, struct weir_part *parent, enum weir_part_kind kind)
{
    return conversation_part(lab_of(c)->conversation, &parent->parts, kind);
}

static bool lab_media_url(struct weir_call *c, struct weir_part *p, struct weir_text url)
{
    return conversation_media_url(lab_of(c)->arena, p, &url);
}

static struct weir_tool *lab_tool_add(struct weir_call *c)
{
    return conversation_tool(lab_of(c)->conversation);
}

static int lab_ext_add(struct weir_call *c, struct weir_str path, struct weir_str raw, struct weir_str member)
{
    return conversation_ext(lab_of(c)->conversation, path, raw, member);
}

static int lab_note(struct weir_call *c, const char *key, struct weir_str value)
{
    struct lab *l = lab_of(c);
    out_write(&l->notes, arena_printf(l->arena, "%s=%.*s\n", key, (int)value.n, value.p));
    return 0;
}

static int lab_http_request(struct weir_call *c, const char *method, struct weir_str path)
{
    struct lab *l = lab_of(c);
    out_write(&l->head, arena_printf(l->arena, "%s %.*s\n", method, (int)path.n, path.p));
    return 0;
}

static int lab_http_header(struct weir_call *c, struct weir_str name, struct weir_str value)
{
    struct lab *l = lab_of(c);
    out_write(&l->head, arena_printf(l->arena, "%.*s: %.*s\n", (int)name.n, name.p, (int)value.n, value.p));
    return 0;
}

static int lab_splice(struct weir_call *c, size_t offset, size_t n, struct weir_str with)
{
    struct lab *l = lab_of(c);
    splices_add(&l->splices, offset, n, arena_copy(l->arena, with));
    return 0;
}

static struct weir_out *lab_out(struct weir_call *c)
{
    (void)c;
    return scratch_out();
}

static int64_t lab_now(void)
{
    return INT64_C(1700000000000);
}

static struct weir_str lab_new_id(struct weir_call *c, const char *prefix)
{
    struct lab *l = lab_of(c);
    return arena_printf(l->arena, "%snew%u", prefix, ++l->ids);
}

static struct weir_str lab_base64(struct weir_call *c, struct weir_str bytes, bool decode)
{
    struct weir_str out = WEIR_NONE;
    if (!decode)
        return bytes_base64_encode(lab_of(c)->arena, bytes, BYTES_BASE64_STD);
    return bytes_base64_decode(lab_of(c)->arena, bytes, BYTES_BASE64_STD, &out) ? out : WEIR_NONE;
}

static void lab_sha256(struct weir_str bytes, uint8_t out[32])
{
    bytes_sha256(bytes, out);
}

static void lab_hmac_sha256(struct weir_str key, struct weir_str bytes, uint8_t out[32])
{
    bytes_hmac_sha256(key, bytes, out);
}

static int lab_set_response_header(struct weir_call *c, struct weir_str name, struct weir_str value)
{
    struct lab *l = lab_of(c);
    out_write(&l->head, arena_printf(l->arena, "< %.*s: %.*s\n", (int)name.n, name.p, (int)value.n, value.p));
    return 0;
}

/* The n-th part of the key, as the host cuts it. */
static struct weir_str lab_key_part(struct weir_call *c, uint32_t part)
{
    const char *key = lab_of(c)->key ? lab_of(c)->key : "key-1";
    for (; part && key; part--)
        key = strchr(key, ':') ? strchr(key, ':') + 1 : NULL;
    return key ? (struct weir_str){ key, strcspn(key, ":") } : WEIR_NONE;
}

static int lab_hmac_key(struct weir_call *c, uint32_t part, const char *prefix, struct weir_str bytes, uint8_t out[32])
{
    struct weir_str key = lab_key_part(c, part);
    if (!key.n)
        return -1;
    bytes_hmac_sha256(arena_printf(lab_of(c)->arena, "%s%.*s", prefix, (int)key.n, key.p), bytes, out);
    return 0;
}

static struct weir_str lab_key_id(struct weir_call *c, uint32_t part)
{
    return part == 1 || (part == 0 && !lab_key_part(c, 1).n) ? WEIR_NONE : lab_key_part(c, part);
}

static int lab_again(struct weir_call *c, uint32_t delay_ms, const char *method, struct weir_str path)
{
    struct lab *l = lab_of(c);
    l->asks_again = true;
    out_write(&l->head, arena_printf(l->arena, "again after %u: %s %.*s\n", delay_ms, method, (int)path.n, path.p));
    return 0;
}

/* As with one provider: ids need no name. */
static struct weir_str lab_id(struct weir_call *c, struct weir_str id)
{
    (void)c;
    return id;
}

/* What codecs said they lost, by feature: enum weir_loss, 0 = nothing. */
static uint8_t lab_losses[WEIR_FEATURES];

static void lab_lose(struct weir_call *c, enum weir_feature feature, enum weir_loss what, const char *why)
{
    static const char *const words[] = { "?", "dropped", "changed", "emulated" };
    struct lab *l = lab_of(c);
    const char *name = feature_name(feature);
    lab_losses[feature % WEIR_FEATURES] = (uint8_t)what;
    out_write(&l->notes, arena_printf(l->arena, "loss=%s:%s%s%s\n", words[what & 3], name ? name : "?", why ? ": " : "",
                                      why ? why : ""));
    bool is_own = l->side == 'e' && l->conversation && weir_is(l->conversation->view.dialect, l->plugin->name);
    struct codec_says says;
    if (!is_own && !says_read(&says, l->codec->says) && says.is_declared && says.saying[feature] != WEIR_SAYS_PARTLY)
        l->undeclared_loss = name ? name : "?";
}

static const struct weir_host *lab_host(void)
{
    static struct weir_host host;
    host = (struct weir_host){
        .size = sizeof(host),
        .abi_major = WEIR_ABI_MAJOR,
        .abi_minor = WEIR_ABI_MINOR_NEWEST,
        .json = &json_api,
        .alloc = lab_alloc,
        .keep = lab_keep,
        .format = lab_format,
        .text = lab_text,
        .fail = lab_fail,
        .fail_json = lab_fail_json,
        .emit = lab_emit,
        .request = lab_request,
        .header = lab_header,
        .conversation = lab_conversation,
        .set_field = lab_set_field,
        .message_add = lab_message_add,
        .part_add = lab_part_add,
        .part_add_to = lab_part_add_to,
        .media_url = lab_media_url,
        .tool_add = lab_tool_add,
        .ext_add = lab_ext_add,
        .note = lab_note,
        .http_request = lab_http_request,
        .http_header = lab_http_header,
        .splice = lab_splice,
        .response_header = lab_response_header,
        .write = out_write,
        .out = lab_out,
        .out_bytes = out_bytes,
        .now_ms = lab_now,
        .new_id = lab_new_id,
        .base64 = lab_base64,
        .sha256 = lab_sha256,
        .set_response_header = lab_set_response_header,
        .hmac_sha256 = lab_hmac_sha256,
        .lose = lab_lose,
        .again = lab_again,
        .hmac_key = lab_hmac_key,
        .key_id = lab_key_id,
        .id_out = lab_id,
        .id_in = lab_id,
    };
    return &host;
}

/* ---- a lab ---- */

/* NULL: the plugin isn't built. */
__attribute__((unused)) static const struct weir_plugin *lab_plugin(const char *name)
{
    char path[512];
    const char *build = getenv("WEIR_BUILD");
    snprintf(path, sizeof(path), "%s/providers/%s.so", build ? build : "build", name);
    void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!so)
        printf("  %s\n", dlerror());
    return so ? dlsym(so, "weir_plugin") : NULL;
}

/* side: 'i' ingress, 'e' egress. The conversation is another lab's, or NULL. */
static struct lab *lab_begin(const struct weir_plugin *plugin, char side, struct conversation *conversation)
{
    struct lab *l = calloc(1, sizeof(*l));
    l->plugin = plugin;
    l->codec = plugin->codec;
    l->side = side;
    l->arena = arena_new();
    l->call.arena = l->arena;
    l->conversation = conversation;
    l->collector = collector_new(l->arena);
    l->state = arena_zalloc(l->arena, (side == 'i' ? l->codec->ingress_size : l->codec->egress_size) + 16);
    l->splices.arena = l->arena;
    l->view = (struct weir_request_view){ .id = WEIR_LIT("req-1"),
                                          .dialect = weir_cstr(plugin->name),
                                          .operation = WEIR_OP_CHAT };
    if (side == 'i' && l->codec->claims)
        l->view.path = weir_cstr(l->codec->claims->path);
    l->codec->create(lab_host(), NULL, &l->self);
    return l;
}

__attribute__((unused)) static const char *lab_cstr(struct lab *l, struct weir_str s)
{
    return s.n ? arena_copy(l->arena, s).p : "";
}

/* Where the request came in: in some dialects the path says the model, and whether to stream. */
__attribute__((unused)) static void lab_at(struct lab *l, struct weir_str path)
{
    if (path.n)
        l->view.path = arena_copy(l->arena, path);
}

/* What `up` would call is where `again` comes in. */
__attribute__((unused)) static void lab_is_called(struct lab *again, struct lab *up)
{
    struct scratch s = scratch_enter();
    up->codec->request_head(up->self, &up->call, up->state, NULL);
    scratch_leave(s);
    const char *head = lab_cstr(up, out_bytes(&up->head)), *post = strstr(head, "POST ");
    if (post)
        lab_at(again, (struct weir_str){ post + 5, strcspn(post + 5, "?\n") });
}

static void lab_end(struct lab *l)
{
    if (!l)
        return;
    collector_free(l->collector);
    out_free(&l->log);
    out_free(&l->notes);
    out_free(&l->head);
    out_free(&l->told);
    arena_free(l->arena);
    free(l);
}

/* Some dialects say in the path what others say in the body: a call at the first door of the operation, with the model in place of
 * its '*'. false: there is no such door. */
__attribute__((unused)) static bool lab_at_door(struct lab *l, uint32_t operation, const char *model)
{
    const struct weir_claim *claim = l->codec->claims;
    while (claim && claim->method && claim->operation != operation)
        claim++;
    if (!claim || !claim->method)
        return false;
    const char *star = strchr(claim->path, '*');
    l->view.method = WEIR_LIT("POST");
    l->view.operation = operation;
    l->view.star = star ? weir_cstr(model) : WEIR_NONE;
    l->view.path = star ? arena_printf(l->arena, "%.*s%s%s", (int)(star - claim->path), claim->path, model, star + 1)
                        : weir_cstr(claim->path);
    return true;
}

__attribute__((unused)) static int lab_decode_request(struct lab *l, struct weir_str body)
{
    l->conversation = conversation_new(l->arena, weir_cstr(l->plugin->name), l->view.operation, arena_copy(l->arena, body));
    struct scratch s = scratch_enter();
    conversation_watch(l->conversation);
    int rc = l->codec->decode_request(l->self, &l->call, l->state, l->conversation->view.body);
    scratch_leave(s);
    if (rc == 0)
        conversation_close(l->conversation);
    else
        json_watch_end(NULL, NULL);
    return rc;
}

static int lab_decode_frame(struct lab *l, struct weir_frame *frame)
{
    struct scratch s = scratch_enter();
    int rc = l->codec->decode_frame(l->self, &l->call, l->state, frame);
    scratch_leave(s);
    return rc;
}

__attribute__((unused)) static int64_t lab_split(void *arg, struct weir_str bytes)
{
    struct lab *l = arg;
    return l->codec->split(l->self, &l->call, l->state, bytes);
}

/* The whole answer: a first read of `first` bytes, then reads of `piece` (0: all that is left). 0 if it ended well or with an ERROR
 * event, -1 if it broke. clean: as the connection ended. */
static int lab_decode_reads(struct lab *l, enum weir_framing framing, struct weir_str bytes, size_t first, size_t piece, bool clean)
{
    struct framer f;
    struct weir_frame frame;
    enum framer_result got = FRAMER_MORE;
    int rc = 0;
    framer_init(&f, framing);
    framer_cut_by(&f, lab_split, l);
    for (size_t at = 0; at < bytes.n && rc == 0;) {
        size_t wish = at == 0 ? first : piece, n = wish && wish < bytes.n - at ? wish : bytes.n - at;
        struct weir_str in = { bytes.p + at, n };
        at += n;
        while (rc == 0 && (got = framer_next(&f, &in, &frame, SIZE_MAX / 2)) != FRAMER_MORE)
            rc = got == FRAMER_FRAME ? lab_decode_frame(l, &frame) : -1;
    }
    if (rc == 0 && (got = framer_last(&f, &frame)) != FRAMER_MORE)
        rc = got == FRAMER_FRAME ? lab_decode_frame(l, &frame) : -1;
    if (rc == 0 && !l->has_ended && !l->has_error)
        rc = l->codec->decode_end(l->self, &l->call, l->state, clean);
    framer_free(&f);
    return rc == 0 && (l->has_ended || l->has_error) && !l->grammar_error ? 0 : -1;
}

/* In reads of `piece` bytes each, 0: all at once. */
__attribute__((unused)) static int lab_decode_answer(struct lab *l, enum weir_framing framing, struct weir_str bytes,
                                                     size_t piece, bool clean)
{
    return lab_decode_reads(l, framing, bytes, piece, piece, clean);
}

/* ---- as text ---- */

static void dump(struct weir_out *o, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void dump(struct weir_out *o, const char *format, ...)
{
    char small[1024];
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(small, sizeof(small), format, args);
    if (n >= (int)sizeof(small)) {
        char *big = malloc((size_t)n + 1);
        vsnprintf(big, (size_t)n + 1, format, again);
        out_write(o, (struct weir_str){ big, (size_t)n });
        free(big);
    } else {
        out_write(o, (struct weir_str){ small, (size_t)n });
    }
    va_end(again);
    va_end(args);
}

#define S(s) (int)(s).n, (s).p ? (s).p : ""

static void dump_text(struct lab *l, struct weir_out *o, const char *name, struct weir_text t)
{
    struct weir_str s = text_decode(l->arena, &t);
    if (s.n)
        dump(o, " %s=<%.*s>", name, S(s));
}

static void dump_str(struct weir_out *o, const char *name, struct weir_str s)
{
    if (s.n)
        dump(o, " %s=<%.*s>", name, S(s));
}

static void dump_parts(struct lab *l, struct weir_out *o, const struct weir_part *p, int depth)
{
    for (; p; p = p->next) {
        dump(o, "%*s part %u", depth * 2, "", p->kind);
        if (p->flags)
            dump(o, " flags=%u", p->flags);
        dump_text(l, o, "text", p->text);
        dump_text(l, o, "data", p->data);
        dump_str(o, "type", p->media_type);
        dump_str(o, "url", p->url);
        dump_str(o, "file", p->file_id);
        dump_str(o, "id", p->id);
        dump_str(o, "name", p->name);
        dump_text(l, o, "signature", p->signature);
        dump_str(o, "detail", p->detail);
        dump_str(o, "raw", p->raw);
        dump(o, "\n");
        dump_parts(l, o, p->parts, depth + 1);
    }
}

__attribute__((unused)) static const char *dump_conversation(struct lab *l)
{
    static const char *const roles[] = { "?", "system", "user", "assistant", "tool" };
    struct weir_out o = { 0 };
    const struct weir_conversation *c = &l->conversation->view;
    for (uint32_t f = 0; f < WEIR_FIELD_COUNT; f++)
        if (c->fields[f].json.n)
            dump(&o, "field %u=%.*s\n", f, S(c->fields[f].json));
    for (const struct weir_message *m = c->messages; m; m = m->next) {
        dump(&o, "%s", roles[m->role <= 4 ? m->role : 0]);
        dump_str(&o, "name", m->name);
        dump(&o, "\n");
        dump_parts(l, &o, m->parts, 1);
    }
    for (const struct weir_tool *t = c->tools; t; t = t->next) {
        dump(&o, "tool");
        dump_str(&o, "name", t->name);
        dump_text(l, &o, "description", t->description);
        dump_str(&o, "schema", t->schema);
        dump_str(&o, "strict", t->strict);
        dump_str(&o, "raw", t->raw);
        dump(&o, "\n");
    }
    for (const struct weir_ext *x = c->ext; x; x = x->next) {
        size_t from = o.n;
        dump(&o, "ext %.*s=%.*s", S(x->path), S(x->raw));
        for (size_t i = from; i < o.n; i++)
            o.p[i] = o.p[i] == '\n' ? ' ' : o.p[i];
        dump(&o, "\n");
    }
    const char *text = lab_cstr(l, out_bytes(&o));
    out_free(&o);
    return text;
}

__attribute__((unused)) static const char *dump_answer(struct lab *l)
{
    struct weir_out o = { 0 };
    const struct weir_answer *a = collector_answer(l->collector);
    dump(&o, "id=%.*s model=%.*s\n", S(a->id), S(a->model));
    for (const struct weir_answer_block *b = a->blocks; b; b = b->next) {
        dump(&o, "block %u/%u kind %u", b->choice, b->block, b->kind);
        dump_str(&o, "id", b->id);
        dump_str(&o, "name", b->name);
        dump_text(l, &o, "text", b->text);
        dump_text(l, &o, "signature", b->signature);
        dump_text(l, &o, "transcript", b->transcript);
        dump(&o, "\n");
    }
    for (uint32_t i = 0; i < a->n_choices; i++)
        dump(&o, "finish %u=%u\n", i, a->choices[i].finish);
    const struct weir_usage *u = &a->usage;
    dump(&o, "usage %lld %lld cached %lld %lld reasoning %lld\n", (long long)u->input, (long long)u->output,
         (long long)u->cached_read, (long long)u->cached_write, (long long)u->reasoning);
    const char *text = lab_cstr(l, out_bytes(&o));
    out_free(&o);
    return text;
}

#endif
