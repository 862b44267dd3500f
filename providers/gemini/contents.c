/* The messages become systemInstruction and contents. Gemini knows two roles that must alternate, wants a user's turn
 * first, and tells results from calls by the function's name; so turns of the same role are merged and names are looked
 * up. */
#include "gemini.h"

/* Where a call of an earlier turn is found again by its id: the turns with calls that came last. */
enum { RECENT = 8 };

struct writing {
    struct gemini_encoding *x;
    const char *role; /* of the content that is open; NULL: none */
    bool has_call; /* the open content has a functionCall */
    uint32_t before; /* the role of the message before */
    const struct weir_message *recent[RECENT];
    uint32_t n_recent;
};

/* ---- contents ---- */

static void end_content(struct writing *w)
{
    const struct weir_json_api *j = w->x->g.json;
    if (!w->role)
        return;
    j->array_end(w->x->out);
    j->object_end(w->x->out);
    w->role = NULL;
}

static void open_content(struct writing *w, const char *role)
{
    const struct weir_json_api *j = w->x->g.json;
    j->object_begin(w->x->out);
    j->key(w->x->out, "role");
    j->put_str(w->x->out, weir_cstr(role));
    j->key(w->x->out, "parts");
    j->array_begin(w->x->out);
    w->role = role;
    w->has_call = false;
}

static void begin_part(struct writing *w, const char *role)
{
    if (!w->role || strcmp(w->role, role) != 0) {
        end_content(w);
        open_content(w, role);
    }
    w->x->g.json->object_begin(w->x->out);
}

static void end_part(struct writing *w)
{
    w->x->g.json->object_end(w->x->out);
}

static bool is_own_signature(const struct weir_part *p)
{
    return p->signature.n && weir_eq(p->dialect, GEMINI_DIALECT);
}

/* videoMetadata and what else only this dialect has, as it came in. */
static void put_own_members(struct writing *w, const struct weir_part *p)
{
    const struct weir_json_api *j = w->x->g.json;
    struct weir_str key, value;
    if (!p->raw.n || !w->x->is_own || p->kind == WEIR_PART_OPAQUE)
        return;
    struct weir_json *r = j->open(w->x->g.call, p->raw);
    for (j->object(r); j->member(r, &key) && j->raw(r, &value);) {
        j->key_str(w->x->out, key);
        j->put_raw(w->x->out, value);
    }
}

static void lose_foreign(struct writing *w, const struct weir_part *p)
{
    if (p->signature.n && !is_own_signature(p))
        gemini_lose(&w->x->g, WEIR_FEATURE_SIGNATURE, WEIR_LOSS_DROPPED, "another provider's");
}

static void put_text_part(struct writing *w, const char *role, const struct weir_part *p)
{
    const struct weir_json_api *j = w->x->g.json;
    bool is_own = is_own_signature(p);
    lose_foreign(w, p);
    if (!p->text.n && !is_own && !w->x->is_own)
        return; /* an empty part is refused there */
    begin_part(w, role);
    j->key(w->x->out, "text");
    j->put_text(w->x->out, &p->text);
    if (is_own) {
        j->key(w->x->out, "thoughtSignature");
        j->put_text(w->x->out, &p->signature);
    }
    put_own_members(w, p);
    end_part(w);
}

/* ---- media ---- */

/* A file that Google keeps, or of the client's own words a URL. */
static bool has_uri(const struct writing *w, const struct weir_part *p)
{
    return (p->file_id.n && weir_eq(p->dialect, GEMINI_DIALECT)) || (p->url.n && w->x->is_own);
}

static void put_uri(struct writing *w, const struct weir_part *p)
{
    const struct weir_json_api *j = w->x->g.json;
    j->key(w->x->out, "fileData");
    j->object_begin(w->x->out);
    if (p->media_type.n) {
        j->key(w->x->out, "mimeType");
        j->put_str(w->x->out, p->media_type);
    }
    j->key(w->x->out, "fileUri");
    j->put_str(w->x->out, p->file_id.n ? p->file_id : p->url);
    j->object_end(w->x->out);
}

static void put_inline(struct writing *w, const struct weir_part *p)
{
    const struct weir_json_api *j = w->x->g.json;
    j->key(w->x->out, "inlineData");
    j->object_begin(w->x->out);
    j->key(w->x->out, "mimeType");
    j->put_str(w->x->out, p->media_type.n ? p->media_type : WEIR_LIT("application/octet-stream"));
    j->key(w->x->out, "data");
    j->put_text(w->x->out, &p->data);
    j->object_end(w->x->out);
}

static void put_media(struct writing *w, const char *role, const struct weir_part *p)
{
    if (!p->data.n && !has_uri(w, p)) {
        gemini_unsupported(&w->x->g, "messages",
                           "Gemini fetches no URLs and knows no other provider's file ids; send the "
                           "bytes inline as a data: URL.");
        return;
    }
    begin_part(w, role);
    if (p->data.n)
        put_inline(w, p);
    else
        put_uri(w, p);
    put_own_members(w, p);
    end_part(w);
}

/* ---- calls and results ---- */

static void put_arguments(struct writing *w, const struct weir_part *p)
{
    const struct weir_json_api *j = w->x->g.json;
    if (!p->text.n) {
        j->put_raw(w->x->out, WEIR_LIT("{}"));
    } else if (j->valid(w->x->g.call, &p->text, WEIR_JSON_OBJECT)) {
        j->put_text_raw(w->x->out, &p->text);
    } else {
        gemini_lose(&w->x->g, WEIR_FEATURE_TOOLS, WEIR_LOSS_EMULATED, "arguments that are no object stand in _raw");
        j->object_begin(w->x->out);
        j->key(w->x->out, "_raw");
        j->put_text(w->x->out, &p->text);
        j->object_end(w->x->out);
    }
}

/* Gemini 3 refuses a step whose first call has no signature; the documented stand-in serves for calls that another
 * provider made or whose signature the client did not keep. */
static void put_signature(struct writing *w, const struct weir_part *p)
{
    const struct weir_json_api *j = w->x->g.json;
    struct gemini *g = &w->x->g;
    bool is_first = !w->has_call, is_foreign = p->signature.n && !is_own_signature(p);
    bool is_made_elsewhere = !w->x->is_own || (p->dialect.n && !weir_eq(p->dialect, GEMINI_DIALECT));
    w->has_call = true;
    if (is_own_signature(p)) {
        j->key(w->x->out, "thoughtSignature");
        j->put_text(w->x->out, &p->signature);
    } else if (is_first && is_made_elsewhere && g->attempt->model.family == GEMINI_LEVEL) {
        j->key(w->x->out, "thoughtSignature");
        j->put_str(w->x->out, WEIR_LIT("skip_thought_signature_validator"));
        gemini_lose(g, WEIR_FEATURE_SIGNATURE, WEIR_LOSS_EMULATED, "the stand-in for calls that Gemini did not sign");
    } else if (is_foreign) {
        gemini_lose(g, WEIR_FEATURE_SIGNATURE, WEIR_LOSS_DROPPED, "another provider's");
    }
}

static void put_id(struct writing *w, struct weir_str id)
{
    if (!id.n || gemini_is_made_id(id))
        return;
    w->x->g.json->key(w->x->out, "id");
    w->x->g.json->put_str(w->x->out, id);
}

static void put_call(struct writing *w, const struct weir_part *p)
{
    const struct weir_json_api *j = w->x->g.json;
    begin_part(w, "model");
    j->key(w->x->out, "functionCall");
    j->object_begin(w->x->out);
    put_id(w, p->id);
    j->key(w->x->out, "name");
    j->put_str(w->x->out, gemini_sent_name(&w->x->g, p->name));
    j->key(w->x->out, "args");
    put_arguments(w, p);
    j->object_end(w->x->out);
    put_signature(w, p);
    end_part(w);
}

static const struct weir_part *find_call(const struct weir_message *m, struct weir_str id)
{
    for (const struct weir_part *p = m->parts; p; p = p->next)
        if (p->kind == WEIR_PART_TOOL_CALL && weir_eq(p->id, id))
            return p;
    return NULL;
}

/* The function that a result answers. The newest turns are asked first: ids of other providers may repeat. */
static struct weir_str name_of_result(struct writing *w, const struct weir_part *result)
{
    uint32_t n = w->n_recent < RECENT ? w->n_recent : RECENT;
    for (uint32_t i = 1; i <= n; i++) {
        const struct weir_part *call = find_call(w->recent[(w->n_recent - i) % RECENT], result->id);
        if (call)
            return call->name;
    }
    if (!result->name.n)
        gemini_lose(&w->x->g, WEIR_FEATURE_TOOLS, WEIR_LOSS_EMULATED, "a result of no call that is known");
    return result->name.n ? result->name : WEIR_LIT("unknown");
}

static const struct weir_part *only_text(const struct weir_part *p)
{
    const struct weir_part *text = NULL;
    for (; p; p = p->next) {
        if (p->kind != WEIR_PART_TEXT)
            continue;
        if (text)
            return NULL;
        text = p;
    }
    return text;
}

/* Each on lines of its own: they were apart. */
static void put_texts(struct writing *w, const struct weir_part *parts)
{
    const struct weir_text apart = WEIR_TEXT("\n");
    bool is_first = true;
    for (const struct weir_part *p = parts; p; p = p->next) {
        if (p->kind != WEIR_PART_TEXT)
            continue;
        if (!is_first)
            w->x->g.json->string_part(w->x->out, &apart);
        w->x->g.json->string_part(w->x->out, &p->text);
        is_first = false;
    }
}

/* The result must be an object: one that is an object goes as it is, everything else becomes a member of one. */
static void put_response(struct writing *w, const struct weir_part *result)
{
    const struct weir_json_api *j = w->x->g.json;
    const struct weir_part *text = only_text(result->parts);
    bool is_error = result->flags & WEIR_PART_IS_ERROR;
    bool is_object = text && j->valid(w->x->g.call, &text->text, WEIR_JSON_OBJECT);
    if (is_object && !is_error) {
        j->put_text_raw(w->x->out, &text->text);
        return;
    }
    j->object_begin(w->x->out);
    j->key(w->x->out, is_error ? "error" : "result");
    if (is_object) {
        j->put_text_raw(w->x->out, &text->text);
    } else {
        j->string_begin(w->x->out);
        put_texts(w, result->parts);
        j->string_end(w->x->out);
    }
    j->object_end(w->x->out);
}

/* The client's own words have media inside the result. */
static void put_own_media(struct writing *w, const struct weir_part *result)
{
    const struct weir_json_api *j = w->x->g.json;
    bool has_begun = false;
    for (const struct weir_part *p = result->parts; p && w->x->is_own; p = p->next) {
        if (p->kind == WEIR_PART_TEXT)
            continue;
        if (!has_begun) {
            j->key(w->x->out, "parts");
            j->array_begin(w->x->out);
        }
        has_begun = true;
        j->object_begin(w->x->out);
        if (p->data.n)
            put_inline(w, p);
        else
            put_uri(w, p);
        j->object_end(w->x->out);
    }
    if (has_begun)
        j->array_end(w->x->out);
}

static void put_result(struct writing *w, const struct weir_part *p)
{
    const struct weir_json_api *j = w->x->g.json;
    begin_part(w, "user");
    j->key(w->x->out, "functionResponse");
    j->object_begin(w->x->out);
    put_id(w, p->id);
    j->key(w->x->out, "name");
    j->put_str(w->x->out, gemini_sent_name(&w->x->g, name_of_result(w, p)));
    j->key(w->x->out, "response");
    put_response(w, p);
    put_own_media(w, p);
    j->object_end(w->x->out);
    end_part(w);
}

/* Images of results stand behind all results of the turn, where every model takes them. */
static void put_result_media(struct writing *w, const struct weir_part *result)
{
    for (const struct weir_part *p = result->parts; p && !w->x->g.failed; p = p->next) {
        if (p->kind == WEIR_PART_TEXT || w->x->is_own)
            continue;
        put_media(w, "user", p);
    }
}

/* ---- parts ---- */

/* Thoughts go back only with the signature that they came with; of the client's own words also without. */
static void put_thinking(struct writing *w, const struct weir_part *p)
{
    const struct weir_json_api *j = w->x->g.json;
    bool is_own = weir_eq(p->dialect, GEMINI_DIALECT) && (p->signature.n || w->x->is_own);
    if (!is_own || (p->flags & WEIR_PART_REDACTED)) {
        if (p->text.n)
            gemini_lose(&w->x->g, WEIR_FEATURE_THINKING, WEIR_LOSS_DROPPED, "not signed by Gemini");
        lose_foreign(w, p);
        return;
    }
    if (!p->text.n && !p->signature.n)
        return;
    begin_part(w, "model");
    j->key(w->x->out, "text");
    j->put_text(w->x->out, &p->text);
    if (p->text.n || w->x->is_own) {
        j->key(w->x->out, "thought");
        j->put_bool(w->x->out, true);
    }
    if (p->signature.n) {
        j->key(w->x->out, "thoughtSignature");
        j->put_text(w->x->out, &p->signature);
    }
    put_own_members(w, p);
    end_part(w);
}

static void put_opaque(struct writing *w, const char *role, const struct weir_part *p)
{
    if (!weir_eq(p->dialect, GEMINI_DIALECT)) {
        gemini_unsupported(&w->x->g, "messages",
                           "A content block that only the client's own dialect has can't be sent to "
                           "Gemini.");
        return;
    }
    if (!w->role || strcmp(w->role, role) != 0) {
        end_content(w);
        open_content(w, role);
    }
    w->x->g.json->put_raw(w->x->out, p->raw);
}

static void put_part(struct writing *w, const char *role, const struct weir_part *p)
{
    switch (p->kind) {
    case WEIR_PART_TEXT:
    case WEIR_PART_REFUSAL:
        put_text_part(w, role, p);
        break;
    case WEIR_PART_IMAGE:
    case WEIR_PART_AUDIO:
    case WEIR_PART_FILE:
        put_media(w, role, p);
        break;
    case WEIR_PART_TOOL_CALL:
        put_call(w, p);
        break;
    case WEIR_PART_THINKING:
        put_thinking(w, p);
        break;
    case WEIR_PART_OPAQUE:
        put_opaque(w, role, p);
        break;
    default:
        break;
    }
}

/* Results first: they must follow their calls at once. */
static void put_results(struct writing *w, const struct weir_message *m)
{
    for (const struct weir_part *p = m->parts; p; p = p->next)
        if (p->kind == WEIR_PART_TOOL_RESULT)
            put_result(w, p);
}

/* All results of neighbouring messages come before any image of theirs. Returns the last message that was taken. */
static const struct weir_message *put_tool_messages(struct writing *w, const struct weir_message *first)
{
    const struct weir_message *last = first;
    for (const struct weir_message *m = first; m && m->role == WEIR_ROLE_TOOL; m = m->next) {
        put_results(w, m);
        last = m;
    }
    for (const struct weir_message *m = first;; m = m->next) {
        for (const struct weir_part *p = m->parts; p; p = p->next)
            if (p->kind == WEIR_PART_TOOL_RESULT)
                put_result_media(w, p);
            else
                put_part(w, "user", p);
        if (m == last)
            return last;
    }
}

static bool has_calls(const struct weir_message *m)
{
    for (const struct weir_part *p = m->parts; p; p = p->next)
        if (p->kind == WEIR_PART_TOOL_CALL)
            return true;
    return false;
}

static void put_assistant(struct writing *w, const struct weir_message *m)
{
    const struct weir_part first = { .text = WEIR_TEXT("Continue.") };
    if (!w->role && !w->x->is_own) { /* the first turn must be the user's */
        put_text_part(w, "user", &first);
        gemini_lose(&w->x->g, WEIR_FEATURE_PREFILL, WEIR_LOSS_EMULATED, "behind a word of the user");
    }
    for (const struct weir_part *p = m->parts; p && !w->x->g.failed; p = p->next)
        put_part(w, "model", p);
    if (has_calls(m))
        w->recent[w->n_recent++ % RECENT] = m;
}

static void put_user(struct writing *w, const struct weir_message *m)
{
    put_results(w, m);
    for (const struct weir_part *p = m->parts; p && !w->x->g.failed; p = p->next)
        if (p->kind == WEIR_PART_TOOL_RESULT)
            put_result_media(w, p);
        else
            put_part(w, "user", p);
}

/* In the middle only a user's words can stand; a mark tells the model whose these are. */
static void put_system_later(struct writing *w, const struct weir_message *m)
{
    const struct weir_json_api *j = w->x->g.json;
    const struct weir_text open = WEIR_TEXT("<system>\n"), close = WEIR_TEXT("\n</system>");
    for (const struct weir_part *p = m->parts; p && !w->x->g.failed; p = p->next) {
        if (p->kind != WEIR_PART_TEXT || !p->text.n)
            continue;
        begin_part(w, "user");
        j->key(w->x->out, "text");
        j->string_begin(w->x->out);
        j->string_part(w->x->out, &open);
        j->string_part(w->x->out, &p->text);
        j->string_part(w->x->out, &close);
        j->string_end(w->x->out);
        end_part(w);
    }
}

static const struct weir_message *put_message(struct writing *w, const struct weir_message *m)
{
    bool is_part = w->before == WEIR_ROLE_TOOL && m->role == WEIR_ROLE_USER; /* what decode_request took apart */
    if (w->x->is_own && !is_part)
        end_content(w);
    w->before = m->role;
    switch (m->role) {
    case WEIR_ROLE_ASSISTANT:
        put_assistant(w, m);
        break;
    case WEIR_ROLE_TOOL:
        m = put_tool_messages(w, m);
        break;
    case WEIR_ROLE_SYSTEM:
        if (w->role) /* else it is all there is to say */
            put_system_later(w, m);
        else
            put_user(w, m);
        break;
    default:
        put_user(w, m);
    }
    return m->next;
}

/* ---- the system prompt ---- */

static bool has_text(const struct weir_message *from, const struct weir_message *end)
{
    for (; from != end; from = from->next)
        for (const struct weir_part *p = from->parts; p; p = p->next)
            if (p->kind == WEIR_PART_TEXT && p->text.n)
                return true;
    return false;
}

static void put_system(struct gemini_encoding *x, const struct weir_message *end)
{
    const struct weir_json_api *j = x->g.json;
    if (!has_text(x->c->messages, end))
        return;
    j->key(x->out, "systemInstruction");
    j->object_begin(x->out);
    j->key(x->out, "parts");
    j->array_begin(x->out);
    for (const struct weir_message *m = x->c->messages; m != end; m = m->next)
        for (const struct weir_part *p = m->parts; p; p = p->next) {
            if (p->kind != WEIR_PART_TEXT || !p->text.n)
                continue;
            j->object_begin(x->out);
            j->key(x->out, "text");
            j->put_text(x->out, &p->text);
            j->object_end(x->out);
        }
    j->array_end(x->out);
    j->object_end(x->out);
}

void gemini_put_contents(struct gemini_encoding *x)
{
    struct writing w = { .x = x };
    const struct weir_message *m = x->c->messages;
    while (m && m->role == WEIR_ROLE_SYSTEM)
        m = m->next;
    if (m)
        put_system(x, m);
    else
        m = x->c->messages; /* nothing but a system prompt: it has to be the question */
    if (m && m->role == WEIR_ROLE_SYSTEM && !x->is_own)
        gemini_lose(&x->g, WEIR_FEATURE_PREFILL, WEIR_LOSS_EMULATED, "the prompt is asked by the user");
    x->g.json->key(x->out, "contents");
    x->g.json->array_begin(x->out);
    while (m && !x->g.failed)
        m = put_message(&w, m);
    end_content(&w);
    x->g.json->array_end(x->out);
}
