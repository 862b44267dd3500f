/* What a stream and a document both say of an answer: reasons, usage, a call, an image. Nothing is remembered. */
#include "gemini.h"

static const struct reason {
    const char *word;
    enum weir_finish finish;
} reasons[] = {
    { "STOP", WEIR_FINISH_STOP },
    { "MAX_TOKENS", WEIR_FINISH_LENGTH },
    { "SAFETY", WEIR_FINISH_CONTENT_FILTER },
    { "RECITATION", WEIR_FINISH_CONTENT_FILTER },
    { "BLOCKLIST", WEIR_FINISH_CONTENT_FILTER },
    { "PROHIBITED_CONTENT", WEIR_FINISH_CONTENT_FILTER },
    { "SPII", WEIR_FINISH_CONTENT_FILTER },
    { "MODEL_ARMOR", WEIR_FINISH_CONTENT_FILTER }, /* Google Cloud's own guard before a model */
    { "IMAGE_SAFETY", WEIR_FINISH_CONTENT_FILTER },
    { "IMAGE_PROHIBITED_CONTENT", WEIR_FINISH_CONTENT_FILTER },
    { "IMAGE_RECITATION", WEIR_FINISH_CONTENT_FILTER },
    { "LANGUAGE", WEIR_FINISH_OTHER },
    { "MALFORMED_FUNCTION_CALL", WEIR_FINISH_OTHER },
    { "UNEXPECTED_TOOL_CALL", WEIR_FINISH_OTHER },
    { "TOO_MANY_TOOL_CALLS", WEIR_FINISH_OTHER },
    { "NO_IMAGE", WEIR_FINISH_OTHER },
    { "IMAGE_OTHER", WEIR_FINISH_OTHER },
    { "OTHER", WEIR_FINISH_OTHER },
};

enum weir_finish gemini_finish_of(struct weir_str word)
{
    for (size_t i = 0; i < sizeof(reasons) / sizeof(*reasons); i++)
        if (weir_is(word, reasons[i].word))
            return reasons[i].finish;
    return WEIR_FINISH_OTHER;
}

const char *gemini_finish_word(uint32_t finish, struct weir_str native)
{
    for (size_t i = 0; i < sizeof(reasons) / sizeof(*reasons); i++)
        if (weir_is(native, reasons[i].word) && (uint32_t)reasons[i].finish == finish)
            return reasons[i].word;
    switch (finish) {
    case WEIR_FINISH_LENGTH:
    case WEIR_FINISH_CONTEXT_WINDOW:
        return "MAX_TOKENS";
    case WEIR_FINISH_CONTENT_FILTER:
    case WEIR_FINISH_REFUSAL:
        return "SAFETY";
    case WEIR_FINISH_OTHER:
        return "OTHER";
    default:
        return "STOP";
    }
}

void gemini_lose_finish(struct gemini *g, uint32_t finish, bool is_empty)
{
    if (finish == WEIR_FINISH_OTHER && is_empty)
        gemini_lose(g, WEIR_FEATURE_ANSWER_FINISH, WEIR_LOSS_CHANGED, "as OTHER, which without an answer is a failure here");
    else if (finish == WEIR_FINISH_REFUSAL)
        gemini_lose(g, WEIR_FEATURE_ANSWER_FINISH, WEIR_LOSS_CHANGED, "a refusal as SAFETY");
    else if (finish == WEIR_FINISH_CONTEXT_WINDOW)
        gemini_lose(g, WEIR_FEATURE_ANSWER_FINISH, WEIR_LOSS_CHANGED, "a full context as MAX_TOKENS");
    else if (finish == WEIR_FINISH_PAUSE)
        gemini_lose(g, WEIR_FEATURE_ANSWER_FINISH, WEIR_LOSS_CHANGED, "a pause as STOP");
}

static void put_count(struct gemini *g, struct weir_out *out, const char *key, int64_t n)
{
    if (n < 0)
        return;
    g->json->key(out, key);
    g->json->put_int(out, n);
}

void gemini_put_usage(struct gemini *g, struct weir_out *out, const struct weir_usage *u)
{
    int64_t thoughts = u->reasoning > 0 ? u->reasoning : 0, output = u->output > 0 ? u->output : 0;
    g->json->object_begin(out);
    put_count(g, out, "promptTokenCount", u->input > 0 ? u->input : 0);
    put_count(g, out, "candidatesTokenCount", output > thoughts ? output - thoughts : 0);
    put_count(g, out, "totalTokenCount", (u->input > 0 ? u->input : 0) + output);
    if (u->cached_read > 0)
        put_count(g, out, "cachedContentTokenCount", u->cached_read);
    if (u->reasoning >= 0)
        put_count(g, out, "thoughtsTokenCount", thoughts);
    g->json->object_end(out);
}

void gemini_put_call(struct gemini *g, struct weir_out *out, struct weir_str id, struct weir_str name,
                     struct weir_text arguments)
{
    const struct weir_json_api *j = g->json;
    j->key(out, "functionCall");
    j->object_begin(out);
    if (id.n && !gemini_is_made_id(id)) {
        j->key(out, "id");
        j->put_str(out, id);
    }
    j->key(out, "name");
    j->put_str(out, name);
    j->key(out, "args");
    if (!arguments.n) {
        j->put_raw(out, WEIR_LIT("{}"));
    } else if (j->valid(g->call, &arguments, WEIR_JSON_OBJECT)) {
        j->put_text_raw(out, &arguments);
    } else { /* a model's slip; the client shall see it and not a parser's error */
        j->object_begin(out);
        j->key(out, "_raw");
        j->put_text(out, &arguments);
        j->object_end(out);
    }
    j->object_end(out);
}

void gemini_put_image(struct gemini *g, struct weir_out *out, struct weir_str media_type, struct weir_text data)
{
    const struct weir_json_api *j = g->json;
    j->key(out, "inlineData");
    j->object_begin(out);
    j->key(out, "mimeType");
    j->put_str(out, media_type.n ? media_type : WEIR_LIT("image/png"));
    j->key(out, "data");
    j->put_text(out, &data);
    j->object_end(out);
}

struct weir_str gemini_inside(struct weir_str object)
{
    bool is_own = gemini_starts_with(object, "{\"citationMetadata\":") || gemini_starts_with(object, "{\"groundingMetadata\":") ||
                  gemini_starts_with(object, "{\"urlContextMetadata\":");
    return is_own ? (struct weir_str){ object.p + 1, object.n - 2 } : WEIR_NONE;
}
