/* A part of a candidate becomes events. Texts and thoughts that follow each other are one block; a call comes whole. */
#include "gemini.h"

struct part {
    struct weir_text text, signature;
    struct weir_str call, image; /* raw JSON; image: its inlineData */
    struct weir_str signer; /* this dialect, or who another weir on the way says it was */
    struct weir_str opaque_name;
    bool is_thought, has_text;
};

void gemini_emit(struct gemini *g, const struct weir_event *e)
{
    if (!g->failed && g->host->emit(g->call, e) < 0)
        g->failed = true;
}

void gemini_close_block(struct gemini *g, struct gemini_choice *c, uint32_t choice)
{
    if (!c->open_kind)
        return;
    struct weir_event e = gemini_event(WEIR_EVENT_BLOCK_STOP, choice, c->open_block);
    c->open_kind = 0;
    gemini_emit(g, &e);
}

static void open_block(struct gemini *g, struct gemini_choice *c, uint32_t choice, enum weir_block_kind kind)
{
    if (c->open_kind == kind)
        return;
    gemini_close_block(g, c, choice);
    c->open_kind = (uint16_t)kind;
    c->open_block = c->n_blocks++;
    struct weir_event e = gemini_event(WEIR_EVENT_BLOCK_START, choice, c->open_block);
    e.block_kind = (uint16_t)kind;
    gemini_emit(g, &e);
}

static void emit_delta(struct gemini *g, const struct gemini_choice *c, uint32_t choice, enum weir_delta_kind kind,
                       struct weir_text text)
{
    struct weir_event e = gemini_event(WEIR_EVENT_DELTA, choice, c->open_block);
    e.delta_kind = (uint16_t)kind;
    e.text = text;
    if (kind == WEIR_DELTA_CITATION)
        e.dialect = GEMINI_DIALECT;
    gemini_emit(g, &e);
}

static void emit_signature(struct gemini *g, const struct gemini_choice *c, uint32_t choice, const struct part *p)
{
    struct weir_event e = gemini_event(WEIR_EVENT_DELTA, choice, c->open_block);
    e.delta_kind = WEIR_DELTA_SIGNATURE;
    e.text = p->signature;
    e.dialect = p->signer;
    gemini_emit(g, &e);
}

/* ---- calls ---- */

static struct weir_text raw_text(struct weir_str raw)
{
    return (struct weir_text){ raw.p, (uint32_t)raw.n, WEIR_TEXT_PLAIN };
}

static void emit_call(struct gemini *g, struct gemini_choice *c, uint32_t choice, const struct part *p)
{
    const struct weir_json_api *j = g->json;
    struct weir_str key, id = WEIR_NONE, name = WEIR_NONE, arguments = WEIR_LIT("{}");
    struct weir_json *r = j->open(g->call, p->call);
    for (j->object(r); j->member(r, &key);)
        if (weir_is(key, "name"))
            gemini_read_string(j, r, &name);
        else if (weir_is(key, "id"))
            gemini_read_string(j, r, &id);
        else if (weir_is(key, "args") && j->peek(r) == WEIR_JSON_OBJECT)
            j->raw(r, &arguments);
    gemini_close_block(g, c, choice);
    c->has_calls = c->has_content = true;
    c->open_kind = WEIR_BLOCK_TOOL_CALL;
    c->open_block = c->n_blocks++;
    struct weir_event e = gemini_event(WEIR_EVENT_BLOCK_START, choice, c->open_block);
    e.block_kind = WEIR_BLOCK_TOOL_CALL;
    e.id = id.n ? id : g->host->new_id(g->call, "call_");
    e.name = gemini_own_name(g, name);
    gemini_emit(g, &e);
    if (p->signature.n) /* first: there are dialects where it has to stand in the call's head */
        emit_signature(g, c, choice, p);
    emit_delta(g, c, choice, WEIR_DELTA_ARGUMENTS, raw_text(arguments));
    gemini_close_block(g, c, choice);
}

/* ---- what only Gemini has ---- */

static void emit_opaque(struct gemini *g, struct gemini_choice *c, uint32_t choice, struct weir_str raw)
{
    gemini_close_block(g, c, choice);
    c->has_content = true;
    c->open_kind = WEIR_BLOCK_OPAQUE;
    c->open_block = c->n_blocks++;
    struct weir_event e = gemini_event(WEIR_EVENT_BLOCK_START, choice, c->open_block);
    e.block_kind = WEIR_BLOCK_OPAQUE;
    e.text = raw_text(raw);
    e.dialect = GEMINI_DIALECT;
    gemini_emit(g, &e);
    gemini_close_block(g, c, choice);
}

/* ---- images ---- */

/* false: it is none, but sound, say. */
static bool emit_image(struct gemini *g, struct gemini_choice *c, uint32_t choice, const struct part *p)
{
    const struct weir_json_api *j = g->json;
    struct weir_str key, type = WEIR_NONE;
    struct weir_text data = { 0 };
    struct weir_json *r = j->open(g->call, p->image);
    for (j->object(r); j->member(r, &key);)
        if (weir_is(key, "mimeType"))
            gemini_read_string(j, r, &type);
        else if (weir_is(key, "data") && j->peek(r) == WEIR_JSON_STRING)
            j->text(r, &data);
    if (!data.n || !gemini_starts_with(type, "image/"))
        return false;
    gemini_close_block(g, c, choice);
    c->has_content = true;
    c->open_kind = WEIR_BLOCK_IMAGE;
    c->open_block = c->n_blocks++;
    struct weir_event e = gemini_event(WEIR_EVENT_BLOCK_START, choice, c->open_block);
    e.block_kind = WEIR_BLOCK_IMAGE;
    e.name = type;
    gemini_emit(g, &e);
    emit_delta(g, c, choice, WEIR_DELTA_TEXT, data);
    if (p->signature.n)
        emit_signature(g, c, choice, p);
    gemini_close_block(g, c, choice);
    return true;
}

/* ---- texts ---- */

/* A signature belongs to the block it comes with; one that comes alone, behind a text, belongs to that text. */
static void emit_text(struct gemini *g, struct gemini_choice *c, uint32_t choice, const struct part *p)
{
    enum weir_block_kind kind = p->is_thought ? WEIR_BLOCK_THINKING : WEIR_BLOCK_TEXT;
    if (p->text.n) {
        c->has_content = true;
        open_block(g, c, choice, kind);
        emit_delta(g, c, choice, WEIR_DELTA_TEXT, p->text);
    }
    if (!p->signature.n || (c->open_kind != kind && !p->is_thought))
        return;
    open_block(g, c, choice, kind);
    emit_signature(g, c, choice, p);
    gemini_close_block(g, c, choice);
}

void gemini_beside_text(struct gemini *g, struct gemini_choice *c, uint32_t choice, enum weir_delta_kind kind,
                        struct weir_str raw)
{
    open_block(g, c, choice, WEIR_BLOCK_TEXT);
    emit_delta(g, c, choice, kind, raw_text(raw));
}

/* ---- a part ---- */

static bool is_known_beside(struct weir_str key)
{
    return weir_is(key, "videoMetadata") || weir_is(key, "mediaResolution") || weir_is(key, "partMetadata");
}

static void read_signature(struct gemini *g, struct weir_json *r, struct part *p)
{
    p->signer = GEMINI_DIALECT;
    if (g->json->text(r, &p->signature))
        gemini_unwrap_signature(g, &p->signature, &p->signer);
}

static void read_member(struct gemini *g, struct weir_json *r, struct weir_str key, struct part *p)
{
    const struct weir_json_api *j = g->json;
    if (weir_is(key, "text") && j->peek(r) == WEIR_JSON_STRING)
        p->has_text = j->text(r, &p->text);
    else if (weir_is(key, "thought") && j->peek(r) == WEIR_JSON_BOOL)
        j->boolean(r, &p->is_thought);
    else if (weir_is(key, "thoughtSignature") && j->peek(r) == WEIR_JSON_STRING)
        read_signature(g, r, p);
    else if (weir_is(key, "functionCall") && j->peek(r) == WEIR_JSON_OBJECT)
        j->raw(r, &p->call);
    else if (weir_is(key, "inlineData") && j->peek(r) == WEIR_JSON_OBJECT)
        j->raw(r, &p->image);
    else if (is_known_beside(key))
        j->skip(r);
    else {
        p->opaque_name = key;
        j->skip(r);
    }
}

void gemini_read_part(struct gemini *g, struct weir_json *r, struct gemini_choice *c, uint32_t choice)
{
    const struct weir_json_api *j = g->json;
    struct part p = { 0 };
    struct weir_str raw, key;
    if (!j->raw(r, &raw))
        return;
    struct weir_json *inner = j->open(g->call, raw);
    for (j->object(inner); j->member(inner, &key);)
        read_member(g, inner, key, &p);
    if (!j->close(inner))
        j->reject(r, "is no part of a content");
    else if (p.call.n)
        emit_call(g, c, choice, &p);
    else if (p.opaque_name.n || (p.image.n && p.is_thought) || (p.image.n && !emit_image(g, c, choice, &p)))
        emit_opaque(g, c, choice, raw); /* images on the way to the one that is meant are thoughts */
    else if (!p.image.n)
        emit_text(g, c, choice, &p);
}
