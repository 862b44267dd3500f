/* Host functions: the conversation. Codecs build it in decode_request; stages edit it in on_request and on_attempt. */
#include "complexity.h"
#include "host.h"
#include "recording.h"

static struct conversation *building(struct weir_call *c)
{
    bool is_codec = c->running && c->running->plugin->desc.head.kind == WEIR_KIND_CODEC;
    return is_codec ? c->request->conversation : NULL;
}

static struct conversation *current(struct weir_call *c)
{
    return c->attempt && c->attempt->edits.own ? c->attempt->edits.own : c->request->conversation;
}

const struct weir_conversation *host_conversation(struct weir_call *c)
{
    struct conversation *conversation = current(c);
    return conversation ? &conversation->view : NULL;
}

int host_set_field(struct weir_call *c, enum weir_field f, struct weir_str json, struct weir_str wire)
{
    struct conversation *to = building(c);
    return to ? conversation_set_field(to, f, json, wire) : -1;
}

struct weir_message *host_message_add(struct weir_call *c, enum weir_role role)
{
    struct conversation *to = building(c);
    return to ? conversation_message(to, role) : NULL;
}

struct weir_part *host_part_add(struct weir_call *c, struct weir_message *m, enum weir_part_kind kind)
{
    struct conversation *to = building(c);
    return to && m ? conversation_part(to, &m->parts, kind) : NULL;
}

struct weir_part *host_part_add_to(struct weir_call *c, struct weir_part *parent, enum weir_part_kind kind)
{
    struct conversation *to = building(c);
    return to && parent ? conversation_part(to, &parent->parts, kind) : NULL;
}

bool host_media_url(struct weir_call *c, struct weir_part *p, struct weir_text url)
{
    return conversation_media_url(c->request->arena, p, &url);
}

struct weir_tool *host_tool_add(struct weir_call *c)
{
    struct conversation *to = building(c);
    return to ? conversation_tool(to) : NULL;
}

int host_ext_add(struct weir_call *c, struct weir_str path, struct weir_str raw, struct weir_str member)
{
    struct conversation *to = building(c);
    return to ? conversation_ext(to, path, raw, member) : -1;
}

/* ---- edits ---- */

static bool may_edit(struct weir_call *c, const char *function)
{
    return c->request->conversation && host_is_legal(c, IN(HOOK_REQUEST) | IN(HOOK_ATTEMPT), function);
}

int host_edit_field(struct weir_call *c, enum weir_field f, struct weir_str json)
{
    struct request *r = c->request;
    if (!may_edit(c, "edit_field"))
        return -1;
    explanation_field(c, f, json);
    if (c->attempt)
        return attempt_edit_field(r->conversation, &c->attempt->edits, c->attempt->arena, f, json);
    int rc = conversation_edit_field(r->conversation, f, json);
    r->wants_stream = weir_field_true(&r->conversation->view, WEIR_FIELD_STREAM);
    return rc;
}

int host_edit_text(struct weir_call *c, struct weir_part *part, struct weir_str plain)
{
    if (!part || !may_edit(c, "edit_text"))
        return -1;
    explanation_text(c, (int64_t)part->text.n, plain.n);
    if (c->attempt)
        return attempt_edit_text(c->request->conversation, &c->attempt->edits, c->attempt->arena, part, plain);
    return conversation_edit_text(c->request->conversation, part, plain);
}

int host_prepend_system(struct weir_call *c, struct weir_str plain)
{
    if (!may_edit(c, "prepend_system"))
        return -1;
    explanation_text(c, -1, plain.n);
    if (c->attempt)
        return attempt_prepend_system(c->request->conversation, &c->attempt->edits, c->attempt->arena, plain);
    return conversation_prepend_system(c->request->conversation, plain);
}

/* ---- reading ---- */

void host_request_texts(struct weir_call *c, weir_text_fn fn, void *arg)
{
    struct conversation *conversation = current(c);
    if (recording_tap)
        recording_tap->content();
    if (conversation)
        conversation_texts(conversation, c->arena, fn, arg);
}

void host_event_texts(struct weir_call *c, const struct weir_event *e, weir_text_fn fn, void *arg)
{
    (void)c;
    struct weir_text name = weir_plain(e->name);
    if (e->text.n && !fn(arg, WEIR_LIT("text"), &e->text, NULL))
        return;
    if (e->name.n)
        fn(arg, WEIR_LIT("name"), &name, NULL);
}

/* Of the target in an attempt, else of the client's dialect. */
static const struct weir_token_rates *rates_of(const struct weir_call *c)
{
    const struct attempt *a = c->attempt && c->attempt->codec ? c->attempt : NULL;
    const struct weir_instance *codec = c->request->codec;
    if (a && a->provider && a->target)
        return provider_tokens(a->provider, a->target->view.model);
    return a ? a->codec->plugin->codec.tokens : codec ? codec->plugin->codec.tokens : NULL;
}

int64_t host_estimate_tokens(struct weir_call *c)
{
    struct conversation *conversation = current(c);
    int64_t tokens = conversation ? conversation_estimate(conversation, rates_of(c)) : 0;
    return recording_tap ? recording_tap->tokens(tokens) : tokens;
}

bool host_complexity(struct weir_call *c, struct weir_complexity *out)
{
    struct conversation *conversation = current(c);
    *out = (struct weir_complexity){ 0 };
    if (recording_tap == &recording_player_tap)
        return recording_tap->complexity(false, out);
    if (!conversation || !conversation->view.messages)
        return false;
    struct scratch s = scratch_enter();
    complexity_of(conversation, scratch_arena(), out);
    scratch_leave(s);
    return true;
}
