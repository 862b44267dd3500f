/* Host functions: candidates and models, the answer's head, outcome and record, attributes between stages. */
#include "host.h"

#include "json.h"
#include "recording.h"

/* ---- candidates ---- */

struct weir_candidate *const *host_candidates(struct weir_call *c, uint32_t *n)
{
    *n = c->request->n_candidates;
    return c->request->candidates;
}

struct weir_candidate *host_candidate(struct weir_call *c, struct weir_str name)
{
    struct weir_candidate *found = candidate_find(c->request, name);
    return recording_tap ? recording_tap->candidate(c, name, found) : found;
}

int host_candidates_set(struct weir_call *c, struct weir_candidate *const *list, uint32_t n)
{
    struct request *r = c->request;
    if (!host_is_legal(c, IN(HOOK_REQUEST) | IN(HOOK_FAILURE), "candidates_set"))
        return -1;
    struct weir_candidate **copy = arena_alloc(r->arena, (n + 1) * sizeof(*copy));
    if (!copy)
        return -1;
    for (uint32_t i = 0; i < n; i++) {
        copy[i] = list[i];
        struct candidate *cand = (struct candidate *)list[i];
        cand->was_tried = false; /* a rule may ask for the same target again */
        cand->is_wanted = c->hook == HOOK_FAILURE;
    }
    r->candidates = copy;
    r->n_candidates = n;
    r->has_candidates = true;
    r->were_candidates_set = true;
    explanation_candidates(c);
    return 0;
}

struct weir_candidate *host_candidate_copy(struct weir_call *c, const struct weir_candidate *from)
{
    return candidate_clone(c->request, from);
}

int host_candidate_field(struct weir_call *c, struct weir_candidate *view, enum weir_field f, struct weir_str json)
{
    struct candidate *cand = (struct candidate *)view;
    struct arena *a = c->request->arena;
    struct edit *e = json_valid(a, json, 0) && (uint32_t)f < WEIR_FIELD_COUNT ? arena_zalloc(a, sizeof(*e)) : NULL;
    if (!e)
        return -1;
    e->kind = WEIR_EDIT_FIELD;
    e->field = f;
    e->value = arena_copy(a, json);
    struct edit **end = &cand->edits;
    while (*end)
        end = &(*end)->next;
    *end = e;
    return 0;
}

int host_candidate_header(struct weir_call *c, struct weir_candidate *view, struct weir_str name, struct weir_str value)
{
    struct candidate *cand = (struct candidate *)view;
    struct arena *a = c->request->arena;
    struct header_item *h = http_is_token(name) && http_is_value(value) ? arena_alloc(a, sizeof(*h)) : NULL;
    if (!h)
        return -1;
    *h = (struct header_item){ cand->headers, arena_copy(a, name), arena_copy(a, value) };
    cand->headers = h;
    return 0;
}

int host_candidate_timeout(struct weir_call *c, struct weir_candidate *view, enum weir_timeout which, uint32_t ms)
{
    (void)c;
    if ((uint32_t)which >= WEIR_TIMEOUTS)
        return -1;
    ((struct candidate *)view)->timeouts.ms[which] = ms;
    return 0;
}

int host_candidate_flag(struct weir_call *c, struct weir_candidate *view, uint32_t flag)
{
    (void)c;
    const uint32_t on_loss = WEIR_CANDIDATE_LOSS_WARN | WEIR_CANDIDATE_LOSS_REFUSE | WEIR_CANDIDATE_LOSS_ALLOW;
    bool is_one = flag && (flag & (flag - 1)) == 0;
    if (!is_one || !(flag & (WEIR_CANDIDATE_BEYOND | WEIR_CANDIDATE_N_CALLS | WEIR_CANDIDATE_MIRROR | on_loss)))
        return -1;
    if (flag & on_loss)
        view->flags &= ~on_loss;
    view->flags |= flag;
    return 0;
}

const struct weir_candidate *host_target(struct weir_call *c)
{
    return c->attempt && c->attempt->target ? &c->attempt->target->view : NULL;
}

struct weir_model *host_models(struct weir_call *c, uint32_t *n)
{
    return models_list(c->request, n);
}

/* ---- the answer ---- */

int host_status(struct weir_call *c)
{
    if (c->attempt)
        return c->attempt->status;
    return c->request->status;
}

static bool is_reserved(struct weir_str name)
{
    return weir_is(name, "content-length") || weir_is(name, "transfer-encoding") || weir_is(name, "connection") ||
           weir_is(name, "date");
}

static struct weir_str lower_case(struct arena *a, struct weir_str name)
{
    struct weir_str s = arena_copy(a, name);
    char *p = (char *)s.p;
    for (size_t i = 0; i < s.n; i++)
        if (p[i] >= 'A' && p[i] <= 'Z')
            p[i] = (char)(p[i] + 32);
    return s;
}

/* Some dialects say in a header what kind of error it is. */
static bool is_writing_error(const struct weir_call *c)
{
    return c->running && c->running->plugin->desc.head.kind == WEIR_KIND_CODEC && c->running == c->request->codec;
}

int host_set_response_header(struct weir_call *c, struct weir_str name, struct weir_str value)
{
    struct request *r = c->request;
    uint32_t hooks = IN(HOOK_OPEN) | IN(HOOK_REQUEST) | IN(HOOK_ATTEMPT) | IN(HOOK_HEAD);
    bool is_legal = is_writing_error(c) || host_is_legal(c, hooks, "set_response_header");
    if (!is_legal || r->is_answering || !http_is_token(name) || !http_is_value(value))
        return -1;
    struct weir_str lower = lower_case(r->arena, name);
    struct header_item *h = is_reserved(lower) ? NULL : arena_alloc(r->arena, sizeof(*h));
    if (!h)
        return -1;
    *h = (struct header_item){ NULL, lower, arena_copy(r->arena, value) };
    struct header_item **end = &r->headers;
    while (*end)
        end = &(*end)->next;
    *end = h;
    return 0;
}

const struct weir_error *host_outcome(struct weir_call *c)
{
    return c->attempt ? &c->attempt->error : &c->request->error;
}

const struct weir_usage *host_usage(struct weir_call *c)
{
    static const struct weir_usage unknown = { sizeof(unknown), 0, -1, -1, -1, -1, -1, -1, -1, -1 };
    const struct attempt *a = c->attempt ? c->attempt : c->request->elected;
    struct weir_usage *told = a && !c->attempt && a->is_cut ? arena_alloc(c->request->arena, sizeof(*told)) : NULL;
    if (told)
        *told = request_usage(c->request);
    return told ? told : a ? &a->usage : &unknown;
}

int host_record(struct weir_call *c, struct weir_out *out)
{
    record_write(c->request, out);
    return out->failed ? -1 : 0;
}

void note_add(struct request *r, const char *stage, const char *key, struct weir_str value)
{
    struct note *n = arena_alloc(r->arena, sizeof(*n));
    if (!n)
        return;
    *n = (struct note){ NULL, stage, key, arena_copy(r->arena, value) };
    *r->notes_end = n;
    r->notes_end = &n->next;
}

int host_note(struct weir_call *c, const char *key, struct weir_str value)
{
    struct weir_str kept =
        arena_copy(c->request->arena, weir_cstr(key)); /* a literal by contract; scripts make theirs */
    if (!kept.p)
        return -1;
    if (value.n > 1024)
        value.n = 1024;
    const struct weir_instance *who = c->running ? c->running : c->wait ? pipeline_stage(c, c->step) : NULL;
    note_add(c->request, who ? who->plugin->desc.name : "core", kept.p, value);
    return 0;
}

/* ---- attributes ---- */

enum { ATTRIBUTES_MAX = 64 };
static const char *attribute_names[ATTRIBUTES_MAX];
static int n_attributes;

int host_attribute(struct weir_instance *inst, const char *name)
{
    (void)inst;
    for (int i = 0; i < n_attributes; i++)
        if (strcmp(attribute_names[i], name) == 0)
            return i;
    if (n_attributes == ATTRIBUTES_MAX)
        return -1;
    attribute_names[n_attributes] = strdup(name);
    return attribute_names[n_attributes] ? n_attributes++ : -1;
}

int host_set_attribute(struct weir_call *c, int id, struct weir_str value)
{
    struct request *r = c->request;
    if (id < 0 || id >= n_attributes)
        return -1;
    if (!r->attributes)
        r->attributes = arena_zalloc(r->arena, ATTRIBUTES_MAX * sizeof(*r->attributes));
    if (!r->attributes)
        return -1;
    r->attributes[id] = arena_copy(r->arena, value);
    return 0;
}

struct weir_str host_get_attribute(struct weir_call *c, int id)
{
    if (id < 0 || id >= n_attributes || !c->request->attributes)
        return WEIR_NONE;
    return c->request->attributes[id];
}
