/* The messages of a request to a provider. A message has one string, images beside it, and calls behind it: what stood between
 * them in another order is told as a loss. */
#include "encode.h"

/* Where a call of an earlier turn is found again by its id: the turns with calls that came last. */
enum { RECENT = 8 };

struct writing {
    struct encoding *x;
    const struct weir_message *recent[RECENT];
    uint32_t n_recent;
};

static bool is_text(const struct weir_part *p)
{
    return p->kind == WEIR_PART_TEXT || p->kind == WEIR_PART_REFUSAL;
}

/* ---- files ---- */

/* A text file's words stand in the message; other files have no place. */
static struct weir_str words_of_file(struct encoding *x, const struct weir_part *p)
{
    struct weir_str base64 = x->o.host->text(x->o.call, &p->data), words = WEIR_NONE;
    bool is_words = p->media_type.n > 5 && memcmp(p->media_type.p, "text/", 5) == 0;
    if (is_words && base64.n)
        words = x->o.host->base64(x->o.call, base64, true);
    if (!words.p)
        ollama_unsupported(
            &x->o, "messages",
            "A file can only be sent to a provider of the ollama dialect if it is text with its bytes inline.");
    else
        ollama_lose(x, WEIR_FEATURE_FILE_DATA, WEIR_LOSS_EMULATED, "a text file's words stand in the message");
    return words;
}

/* ---- text ---- */

void ollama_put_joined(struct encoding *x, const struct weir_part *parts, struct weir_str gap)
{
    const struct weir_json_api *j = x->o.json;
    const struct weir_text between = weir_plain(gap);
    bool is_first = true;
    j->string_begin(x->out);
    for (const struct weir_part *p = parts; p && !x->o.failed; p = p->next) {
        struct weir_text text = p->text;
        if (p->kind == WEIR_PART_FILE)
            text = weir_plain(words_of_file(x, p));
        else if (!is_text(p))
            continue;
        if (!is_first && gap.n)
            j->string_part(x->out, &between);
        is_first = false;
        j->string_part(x->out, &text);
    }
    j->string_end(x->out);
}

static void put_content(struct encoding *x, const struct weir_part *parts, struct weir_str gap)
{
    x->o.json->key(x->out, "content");
    ollama_put_joined(x, parts, gap);
}

/* ---- images ---- */

/* "Before: [image] After: [image]": which is which is lost when all words come first. */
static void lose_image_order(struct encoding *x, const struct weir_part *parts)
{
    bool has_image = false;
    for (const struct weir_part *p = parts; p; p = p->next) {
        if (has_image && (is_text(p) || p->kind == WEIR_PART_FILE))
            ollama_lose(x, WEIR_FEATURE_PART_ORDER, WEIR_LOSS_CHANGED, "images stand behind the words");
        has_image = has_image || p->kind == WEIR_PART_IMAGE;
    }
}

static void put_images(struct encoding *x, const struct weir_part *parts)
{
    const struct weir_json_api *j = x->o.json;
    bool has_begun = false;
    for (const struct weir_part *p = parts; p && !x->o.failed; p = p->next) {
        if (p->kind != WEIR_PART_IMAGE)
            continue;
        if (!p->data.n) {
            ollama_unsupported(&x->o, "messages",
                               "An image can only be sent with its bytes to a provider of the ollama dialect; inline "
                               "it as a data: URL.");
            return;
        }
        if (!has_begun) {
            j->key(x->out, "images");
            j->array_begin(x->out);
        }
        has_begun = true;
        j->put_text(x->out, &p->data);
    }
    if (!has_begun)
        return;
    j->array_end(x->out);
    lose_image_order(x, parts);
}

static void refuse_others(struct encoding *x, const struct weir_part *parts)
{
    for (const struct weir_part *p = parts; p && !x->o.failed; p = p->next) {
        if (p->kind == WEIR_PART_AUDIO)
            ollama_unsupported(&x->o, "messages", "Audio can't be sent to a provider of the ollama dialect.");
        else if (p->kind == WEIR_PART_OPAQUE)
            ollama_unsupported(&x->o, "messages",
                               "A content block that only the client's own dialect has can't be sent to a provider of "
                               "the ollama dialect.");
    }
}

static void put_role(struct encoding *x, const char *role)
{
    x->o.json->key(x->out, "role");
    x->o.json->put_str(x->out, weir_cstr(role));
}

/* ---- an assistant's message ---- */

static void put_arguments(struct encoding *x, const struct weir_part *p)
{
    const struct weir_json_api *j = x->o.json;
    if (!p->text.n) {
        j->put_raw(x->out, WEIR_LIT("{}"));
    } else if (j->valid(x->o.call, &p->text, WEIR_JSON_OBJECT)) {
        j->put_text_raw(x->out, &p->text);
    } else {
        ollama_lose(x, WEIR_FEATURE_TOOLS, WEIR_LOSS_EMULATED, "arguments that are no JSON object stand in _raw");
        j->object_begin(x->out);
        j->key(x->out, "_raw");
        j->put_text(x->out, &p->text);
        j->object_end(x->out);
    }
}

static void put_call(struct encoding *x, const struct weir_part *p, uint32_t index)
{
    const struct weir_json_api *j = x->o.json;
    j->object_begin(x->out);
    if (p->id.n) {
        j->key(x->out, "id");
        j->put_str(x->out, p->id);
    }
    j->key(x->out, "function");
    j->object_begin(x->out);
    j->key(x->out, "index");
    j->put_int(x->out, index);
    j->key(x->out, "name");
    j->put_str(x->out, p->name);
    j->key(x->out, "arguments");
    put_arguments(x, p);
    j->object_end(x->out);
    j->object_end(x->out);
}

static bool put_calls(struct encoding *x, const struct weir_part *parts)
{
    const struct weir_json_api *j = x->o.json;
    uint32_t n = 0;
    for (const struct weir_part *p = parts; p; p = p->next) {
        if (p->kind != WEIR_PART_TOOL_CALL)
            continue;
        if (n == 0) {
            j->key(x->out, "tool_calls");
            j->array_begin(x->out);
        }
        put_call(x, p, n++);
    }
    if (n)
        j->array_end(x->out);
    return n > 0;
}

static void put_thinking(struct encoding *x, const struct weir_part *parts)
{
    const struct weir_json_api *j = x->o.json;
    bool has_begun = false;
    for (const struct weir_part *p = parts; p; p = p->next) {
        if (p->kind != WEIR_PART_THINKING || (p->flags & WEIR_PART_REDACTED) || !p->text.n)
            continue;
        if (!has_begun) {
            j->key(x->out, "thinking");
            j->string_begin(x->out);
        }
        has_begun = true;
        j->string_part(x->out, &p->text);
    }
    if (has_begun)
        j->string_end(x->out);
}

/* Also towards a client's own dialect: it was another's provider that signed. */
static void lose_signatures(struct encoding *x, const struct weir_part *parts)
{
    for (const struct weir_part *p = parts; p; p = p->next)
        if (p->signature.n)
            ollama_lose(x, WEIR_FEATURE_SIGNATURE, WEIR_LOSS_DROPPED, "only its maker can read it");
}

static void lose_order(struct encoding *x, const struct weir_part *parts)
{
    int last = 0;
    for (const struct weir_part *p = parts; p; p = p->next) {
        int rank = p->kind == WEIR_PART_THINKING ? 0 : p->kind == WEIR_PART_TOOL_CALL ? 2 : 1;
        if (rank < last)
            ollama_lose(x, WEIR_FEATURE_PART_ORDER, WEIR_LOSS_CHANGED, "thoughts, words, calls");
        last = rank > last ? rank : last;
    }
}

static void put_assistant(struct writing *w, const struct weir_message *m)
{
    struct encoding *x = w->x;
    x->o.json->object_begin(x->out);
    put_role(x, "assistant");
    put_thinking(x, m->parts);
    put_content(x, m->parts, WEIR_NONE);
    put_images(x, m->parts);
    if (put_calls(x, m->parts))
        w->recent[w->n_recent++ % RECENT] = m;
    x->o.json->object_end(x->out);
    lose_order(x, m->parts);
    lose_signatures(x, m->parts);
}

/* ---- tool results ---- */

static const struct weir_part *find_call(const struct weir_message *m, struct weir_str id)
{
    for (const struct weir_part *p = m->parts; p; p = p->next)
        if (p->kind == WEIR_PART_TOOL_CALL && weir_eq(p->id, id))
            return p;
    return NULL;
}

/* Templates of models look at the tool's name. The newest turns are asked first: ids of other providers may repeat. */
static struct weir_str name_of_result(const struct writing *w, const struct weir_part *result)
{
    uint32_t n = w->n_recent < RECENT ? w->n_recent : RECENT;
    for (uint32_t i = 1; i <= n && !result->name.n; i++) {
        const struct weir_part *call = find_call(w->recent[(w->n_recent - i) % RECENT], result->id);
        if (call)
            return call->name;
    }
    return result->name;
}

static void lose_files(struct encoding *x, const struct weir_part *parts)
{
    for (const struct weir_part *p = parts; p; p = p->next)
        if (p->kind == WEIR_PART_FILE)
            ollama_lose(x, WEIR_FEATURE_RESULT_MEDIA, WEIR_LOSS_EMULATED, "a text file's words stand in the result");
}

static void put_result(struct writing *w, const struct weir_part *p)
{
    struct encoding *x = w->x;
    struct weir_str name = name_of_result(w, p);
    refuse_others(x, p->parts);
    lose_files(x, p->parts);
    if (x->o.failed)
        return;
    x->o.json->object_begin(x->out);
    put_role(x, "tool");
    put_content(x, p->parts, WEIR_LIT("\n\n"));
    put_images(x, p->parts);
    if (name.n) {
        x->o.json->key(x->out, "tool_name");
        x->o.json->put_str(x->out, name);
    }
    if (p->id.n) {
        x->o.json->key(x->out, "tool_call_id");
        x->o.json->put_str(x->out, p->id);
    }
    x->o.json->object_end(x->out);
}

/* ---- messages ---- */

static bool has_content(const struct weir_message *m)
{
    for (const struct weir_part *p = m->parts; p; p = p->next)
        if (p->kind != WEIR_PART_TOOL_RESULT)
            return true;
    return m->parts == NULL && m->role != WEIR_ROLE_TOOL;
}

static void put_message(struct writing *w, const struct weir_message *m)
{
    struct encoding *x = w->x;
    for (const struct weir_part *p = m->parts; p && !x->o.failed; p = p->next)
        if (p->kind == WEIR_PART_TOOL_RESULT)
            put_result(w, p);
    refuse_others(x, m->parts);
    if (x->o.failed || !has_content(m))
        return;
    if (m->role == WEIR_ROLE_ASSISTANT) {
        put_assistant(w, m);
        return;
    }
    x->o.json->object_begin(x->out);
    put_role(x, m->role == WEIR_ROLE_SYSTEM ? "system" : "user");
    put_content(x, m->parts, WEIR_LIT("\n\n"));
    put_images(x, m->parts);
    x->o.json->object_end(x->out);
}

void ollama_put_messages(struct encoding *x)
{
    struct writing w = { .x = x };
    x->o.json->key(x->out, "messages");
    x->o.json->array_begin(x->out);
    for (const struct weir_message *m = x->c->messages; m && !x->o.failed; m = m->next)
        put_message(&w, m);
    x->o.json->array_end(x->out);
}
