/* Edits of a request that stays in this dialect, put into the client's own bytes. Settings that stand there in their canonical form
 * the host replaces itself; one that is absent goes to the others. What would need a second member of one name has no place
 * here: the request is then encoded anew. */
#include "gemini.h"

static const char *key_of(uint32_t field)
{
    switch (field) {
    case WEIR_FIELD_TEMPERATURE:
        return "temperature";
    case WEIR_FIELD_TOP_P:
        return "topP";
    case WEIR_FIELD_TOP_K:
        return "topK";
    case WEIR_FIELD_MAX_TOKENS:
        return "maxOutputTokens";
    case WEIR_FIELD_STOP:
        return "stopSequences";
    default:
        return NULL;
    }
}

static int splice_setting(struct gemini *g, struct gemini_client *s, const struct weir_edit *edit)
{
    const struct weir_host *h = g->host;
    const char *key = key_of(edit->field);
    int n = (int)edit->value.n;
    if (!key || !n || !s->root_at || (s->said >> edit->field & 1))
        return -1;
    if (s->generation_at)
        return h->splice(g->call, s->generation_at, 0,
                         h->format(g->call, "\"%s\":%.*s%s", key, n, edit->value.p, s->is_generation_empty ? "" : ","));
    if (s->was_inserted)
        return -1;
    s->was_inserted = true;
    return h->splice(g->call, s->root_at, 0,
                     h->format(g->call, "\"generationConfig\":{\"%s\":%.*s},", key, n, edit->value.p));
}

/* A body that says its model says it as "models/NAME". */
static int splice_model(struct gemini *g, const struct gemini_client *s, struct weir_str value)
{
    if (!s->n_models)
        return -1; /* the path says it, and request_head writes that */
    for (uint32_t i = 0; i < s->n_models; i++) {
        struct weir_str name = { value.p + 1, value.n - 2 };
        bool has_folder = gemini_starts_with(name, "models/") || gemini_starts_with(name, "tunedModels/");
        if (!s->models[i].n || g->host->splice(g->call, s->models[i].at, s->models[i].n,
                                               g->host->format(g->call, "\"%s%.*s\"", has_folder ? "" : "models/",
                                                               (int)name.n, name.p)) < 0)
            return -1;
    }
    return 0;
}

static int prepend_system(struct gemini *g, struct gemini_client *s, struct weir_str plain)
{
    const struct weir_host *h = g->host;
    struct weir_out *out = h->out(g->call);
    if (!out || !s->root_at)
        return -1;
    g->json->object_begin(out);
    g->json->key(out, "text");
    g->json->put_str(out, plain);
    g->json->object_end(out);
    struct weir_str part = h->out_bytes(out);
    if (s->system_at)
        return h->splice(g->call, s->system_at, 0,
                         h->format(g->call, "%.*s%s", (int)part.n, part.p, s->is_system_empty ? "" : ","));
    if (s->has_system)
        return -1;
    s->has_system = true;
    return h->splice(g->call, s->root_at, 0,
                     h->format(g->call, "\"systemInstruction\":{\"parts\":[%.*s]},", (int)part.n, part.p));
}

int gemini_splice(void *self, struct weir_call *call, void *state, const struct weir_edit *edit)
{
    struct gemini g = gemini_begin(self, call, NULL);
    struct gemini_client *s = state;
    switch (edit->kind) {
    case WEIR_EDIT_PREPEND_SYSTEM:
        return prepend_system(&g, s, edit->value);
    case WEIR_EDIT_ASK_USAGE:
        return 0; /* always told */
    case WEIR_EDIT_ANEW:
        return s->has_foreign ? 0 : -1;
    case WEIR_EDIT_FIELD:
        if (edit->field == WEIR_FIELD_MODEL)
            return splice_model(&g, s, edit->value);
        if (edit->field == WEIR_FIELD_STREAM || edit->field == WEIR_FIELD_STREAM_USAGE)
            return 0; /* the path says it */
        return splice_setting(&g, s, edit);
    default:
        return -1;
    }
}
