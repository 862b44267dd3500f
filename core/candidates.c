/* Which targets a request may go to: from the asked name, from a rule's names, and what weir knows of each.
 *
 * A candidate is a view of one target for one request and lives in the request's arena. Order is meaning: the first that can
 * be tried is tried.
 */
#include "health.h"
#include "model_lists.h"
#include "pipeline.h"

#include "log.h"

static const struct config *config;

int candidates_start(struct worker *w)
{
    config = w->config;
    return admission_start(w);
}

/* ---- names ---- */

const struct config_model *model_find(struct weir_str name)
{
    for (uint32_t i = 0; i < config->n_models; i++)
        if (weir_is(name, config->models[i]->name))
            return config->models[i];
    for (uint32_t i = 0; i < config->n_models; i++)
        if (config_matches(config->models[i]->name, name))
            return config->models[i];
    return NULL;
}

static struct config_provider *provider_find(struct weir_str name)
{
    for (uint32_t i = 0; i < config->n_providers; i++)
        if (weir_is(name, config->providers[i]->name))
            return config->providers[i];
    return NULL;
}

/* "provider/model" split at the first slash; false: no such provider. */
static bool split_name(struct weir_str name, struct config_provider **provider, struct weir_str *model)
{
    const char *slash = name.n ? memchr(name.p, '/', name.n) : NULL;
    if (!slash)
        return false;
    size_t n = (size_t)(slash - name.p);
    *model = (struct weir_str){ slash + 1, name.n - n - 1 };
    *provider = provider_find((struct weir_str){ name.p, n });
    return *provider && model->n > 0;
}

/* ---- one candidate ---- */

/* Numbers of targets don't change: the table of names is searched once per worker and name. */
static int figures_of(const struct weir_str name)
{
    enum { KNOWN = 512 };
    static struct known {
        uint32_t hash;
        int id; /* + 1 */
    } known[KNOWN];
    char buf[192];
    uint32_t hash = 2166136261u;
    if (name.n >= sizeof(buf))
        return -1;
    for (size_t i = 0; i < name.n; i++)
        hash = (hash ^ (unsigned char)name.p[i]) * 16777619u;
    struct known *k = &known[hash % KNOWN];
    if (k->id && k->hash == hash && weir_is(name, target_name(k->id - 1)))
        return k->id - 1;
    memcpy(buf, name.p, name.n);
    buf[name.n] = 0;
    int id = target_declare(buf);
    *k = (struct known){ hash, id + 1 };
    return id;
}

static bool is_healthy(struct request *r, const struct candidate *c)
{
    uint32_t wait_ms;
    bool may_try = c->figures < 0 || !c->provider->breaker.failures || breaker_is_closed(target_breaker(c->figures)) ||
                   breaker_admits(target_breaker(c->figures), monotonic_us() / 1000);
    return may_try && !c->view.unavailable.n && !health_is_down(c->provider) &&
           !keys_are_benched(r->arena, c->provider, c->view.model, &wait_ms);
}

static void fill_figures(struct request *r, struct candidate *c)
{
    struct weir_candidate *v = &c->view;
    uint32_t wait_ms;
    c->figures = figures_of(v->name);
    v->left_requests = v->left_tokens = -1;
    v->is_healthy = is_healthy(r, c);
    if (c->figures < 0)
        return;
    struct target_figures f = target_read(c->figures);
    v->latency_ms = f.latency_ms;
    v->in_flight = f.in_flight;
    v->p95_ms = f.p95_ms;
    v->throughput = f.throughput;
    v->error_rate = f.error_rate;
    v->left_requests = f.left_requests;
    v->left_tokens = f.left_tokens;
    v->first_tokens = f.first_tokens;
    if (c->provider->breaker.failures && !breaker_is_closed(target_breaker(c->figures)))
        v->breaker = (uint32_t)breaker_state(target_breaker(c->figures), monotonic_us() / 1000, &wait_ms);
}

/* What was said of the target, then of its name, then what the table of models knows. */
static void fill_facts(struct candidate *c, const struct config_model *of, const struct config_model *named)
{
    const struct model_facts *known = facts_find(config->facts, c->provider->prices, c->provider->region, c->view.model);
    const struct config_model *said[] = { named != of ? named : NULL, of };
    c->view.context_tokens = known ? known->context_tokens : -1;
    c->prices = known ? known->prices : NULL;
    c->n_prices = known ? known->n_prices : 0;
    c->lacks = known ? known->lacks : 0;
    for (int i = 0; i < 2; i++) {
        const struct config_model *m = said[i];
        if (m && m->context_tokens > 0)
            c->view.context_tokens = m->context_tokens;
        if (m && m->price.usd[FACTS_INPUT] >= 0) {
            c->prices = &m->price;
            c->n_prices = 1;
        }
        c->lacks = m ? (c->lacks & ~m->can) | m->lacks : c->lacks;
    }
    c->max_inflight = named && named->max_inflight ? named->max_inflight : of ? of->max_inflight : 0;
    c->lacks |= c->provider->lacks;
    c->view.capabilities = c->provider->codec->codec.capabilities & ~c->lacks;
    c->view.price_input = c->n_prices ? c->prices->usd[FACTS_INPUT] : -1;
    c->view.price_output = c->n_prices ? c->prices->usd[FACTS_OUTPUT] : -1;
}

static struct weir_candidate *make(struct request *r, const struct config_provider *p, struct weir_str model,
                                   const struct config_model *of)
{
    struct candidate *c = arena_zalloc(r->arena, sizeof(*c));
    if (!c)
        return NULL;
    c->provider = p;
    c->of = of;
    for (int i = 0; i < WEIR_TIMEOUTS; i++)
        c->timeouts.ms[i] = CONFIG_UNSET;
    struct weir_candidate *v = &c->view;
    v->size = sizeof(*v);
    v->provider = weir_cstr(p->name);
    v->model = model;
    v->name = arena_printf(r->arena, "%s/%.*s", p->name, (int)model.n, model.p);
    v->dialect = weir_cstr(p->codec->desc.name);
    v->region = weir_cstr(p->region);
    v->tags = p->tags;
    v->n_tags = p->n_tags;
    fill_facts(c, of, model_find(v->name));
    v->unavailable = weir_cstr(p->unavailable);
    fill_figures(r, c);
    return v;
}

static struct weir_candidate *of_target(struct request *r, const struct config_target *t, const struct config_model *m,
                                        struct weir_str asked)
{
    struct weir_str model = strcmp(t->model, "*") == 0 ? asked : weir_cstr(t->model);
    return make(r, t->provider, model, m);
}

/* Who only got a copy is named to answer. */
static struct weir_candidate *anew(struct weir_candidate *c)
{
    if (c)
        c->flags &= ~WEIR_CANDIDATE_MIRROR;
    return c;
}

struct weir_candidate *candidate_find(struct request *r, struct weir_str name)
{
    struct config_provider *p;
    struct weir_str model, copy = arena_copy(r->arena, name);
    const struct config_model *m = model_find(copy);
    for (uint32_t i = 0; r->has_candidates && i < r->n_candidates; i++)
        if (weir_eq(r->candidates[i]->name, name))
            return anew(candidate_clone(r, r->candidates[i]));
    if (m && m->n_targets)
        return of_target(r, &m->targets[0], m, copy);
    return split_name(copy, &p, &model) ? make(r, p, model, NULL) : NULL;
}

struct weir_candidate *candidate_clone(struct request *r, const struct weir_candidate *from)
{
    struct candidate *c = arena_alloc(r->arena, sizeof(*c));
    if (!c)
        return NULL;
    *c = *(const struct candidate *)from;
    c->was_tried = false;
    return &c->view;
}

/* ---- the asked model's ---- */

/* The name behind the JSON of WEIR_FIELD_MODEL; "" if it is no string. The reader is scratch, the name the request's. */
struct weir_str candidates_asked(struct request *r)
{
    struct weir_str name = WEIR_NONE;
    struct scratch s = scratch_enter();
    struct weir_json *j = json_open(scratch_arena(), weir_field(&r->conversation->view, WEIR_FIELD_MODEL));
    json_read_string(j, &name);
    name = arena_copy(r->arena, name);
    scratch_leave(s);
    return name;
}

static int unknown_model(struct request *r, struct weir_str name)
{
    struct weir_error e = { .size = sizeof(e), .error_class = WEIR_ERROR_NOT_FOUND, .param = WEIR_LIT("model") };
    e.message = arena_printf(r->arena,
                             "The model \"%.*s\" is not known here: it is neither configured nor \"provider/model\". "
                             "GET /v1/models lists what there is.",
                             (int)(name.n > 200 ? 200 : name.n), name.p);
    r->call.error = e;
    return -1;
}

struct weir_candidate *candidate_of_provider(struct request *r, const struct config_provider *p)
{
    return make(r, p, WEIR_LIT("*"), NULL);
}

int candidates_default(struct request *r)
{
    struct weir_str name = candidates_asked(r), model;
    struct config_provider *p;
    const struct config_model *m = r->model = model_find(name);
    uint32_t n = m ? m->n_targets : 1;
    r->candidates = arena_zalloc(r->arena, (n + 1) * sizeof(*r->candidates));
    if (!r->candidates)
        return -1;
    for (uint32_t i = 0; m && i < n; i++) {
        struct weir_candidate *c = of_target(r, &m->targets[i], m, name);
        if (!c)
            return -1;
        c->flags |= WEIR_CANDIDATE_OF_MODEL;
        r->candidates[r->n_candidates++] = c;
    }
    if (!m && split_name(name, &p, &model))
        r->candidates[r->n_candidates++] = make(r, p, model, NULL);
    r->has_candidates = true;
    return r->n_candidates ? 0 : unknown_model(r, name);
}

/* ---- the next that can be tried ---- */

struct capability_word {
    uint32_t bit;
    const char *words;
};
static const struct capability_word capability_words[] = {
    { WEIR_CAN_TOOLS, "tools" },
    { WEIR_CAN_IMAGE_URL, "images by URL" },
    { WEIR_CAN_IMAGE_INLINE, "inline images" },
    { WEIR_CAN_AUDIO_IN, "audio" },
    { WEIR_CAN_FILE_INLINE, "inline files" },
    { WEIR_CAN_FILE_URL, "files by URL" },
    { WEIR_CAN_JSON_OBJECT, "JSON mode" },
    { WEIR_CAN_JSON_SCHEMA, "structured output" },
    { WEIR_CAN_CHOICES, "n > 1" },
    { WEIR_CAN_LOGPROBS, "log probabilities" },
    { WEIR_CAN_STREAM, "streaming" },
    { WEIR_CAN_AUDIO_OUT, "audio output" },
    { WEIR_CAN_FILE_ID, "file ids" },
    { WEIR_CAN_OPAQUE, "blocks or tools of the client's own dialect" },
};

/* What a dialect lacks of these is a loss, and `on_loss` decides about it (losses.c), where its codec has a table; of a codec
 * without one only what changes no meaning may be lost. All else that a target lacks, and all that its model lacks, rules it out. */
static uint32_t may_be_lost(const struct candidate *c)
{
    const uint32_t settings = WEIR_CAN_LOGPROBS | WEIR_CAN_CHOICES | WEIR_CAN_JSON_OBJECT | WEIR_CAN_JSON_SCHEMA;
    return c->provider->codec->says.is_declared ? WEIR_CAN_LOGPROBS | (settings & ~c->lacks) : WEIR_CAN_LOGPROBS;
}

static const char *missing_capability(const struct request *r, const struct candidate *c)
{
    /* The same dialect can say it all; the model behind it may still not have it. */
    bool is_same = weir_is(c->view.dialect, r->codec->plugin->desc.name);
    uint32_t lacks = is_same ? c->lacks : ~c->view.capabilities;
    uint32_t missing = r->conversation->view.needs & lacks & ~may_be_lost(c) & ~media_replaces(c->provider, c->view.capabilities);
    if (fanout_makes(r, c))
        missing &= ~(uint32_t)WEIR_CAN_CHOICES;
    for (size_t i = 0; missing && i < sizeof(capability_words) / sizeof(*capability_words); i++)
        if (missing & capability_words[i].bit)
            return capability_words[i].words;
    return NULL;
}

static const struct weir_part *first_opaque(const struct weir_part *p)
{
    for (; p; p = p->next) {
        const struct weir_part *found = p->kind == WEIR_PART_OPAQUE ? p : first_opaque(p->parts);
        if (found)
            return found;
    }
    return NULL;
}

/* Its type, or where blocks have none the member that makes it what it is. */
static struct weir_str block_name(struct arena *a, struct weir_str raw)
{
    struct weir_json *j = json_open(a, raw);
    struct weir_str key, name = WEIR_NONE;
    bool has_type = false;
    for (json_read_object(j); json_read_member(j, &key);) {
        bool is_type = weir_is(key, "type") && json_peek(j) == WEIR_JSON_STRING;
        if (!name.n && !is_type)
            name = arena_copy(a, key);
        if (is_type && !has_type)
            has_type = json_read_string(j, &name);
        else
            json_skip(j);
    }
    return name.n <= 64 ? name : WEIR_NONE;
}

/* What of the client's own dialect it is, if that has a name: "previous_response_id, which only responses knows". */
static const char *own_words(const struct request *r, const char *missing)
{
    const struct weir_tool *t = r->conversation->view.tools;
    const struct weir_part *p = NULL;
    while (t && !(t->raw.n && t->name.n))
        t = t->next;
    for (const struct weir_message *m = r->conversation->view.messages; m && !p; m = m->next)
        p = first_opaque(m->parts);
    struct weir_str name = t ? t->name : p ? block_name(r->arena, p->raw) : WEIR_NONE;
    if (!strstr(missing, "own dialect") || !name.n)
        return missing;
    return arena_printf(r->arena, "%s%.*s, which only %s knows", t ? "" : "block ", (int)name.n, name.p, r->codec->plugin->desc.name).p;
}

/* Is it the dialect, not the model, that lacks it? */
static bool is_dialects(const struct candidate *c, const char *missing)
{
    uint32_t bit = 0;
    for (size_t i = 0; i < sizeof(capability_words) / sizeof(*capability_words); i++)
        if (capability_words[i].words == missing)
            bit = capability_words[i].bit;
    return !(c->lacks & bit);
}

/* A target that let one time-out pass is not asked again for this request, unless a rule wants it. */
static bool was_silent(const struct request *r, const struct candidate *c)
{
    for (const struct attempt *a = r->attempts; a; a = a->next)
        if (a->was_silent && a->target && weir_eq(a->target->view.name, c->view.name))
            return !c->is_wanted;
    return false;
}

bool candidate_serves(const struct request *r, const struct candidate *c)
{
    return codec_instance(c->provider->codec) &&
           (c->provider->codec->codec.operations & WEIR_OP_BIT(r->view.operation));
}

/* Tokens are counted by weir itself where the provider can't. */
static bool is_estimated(const struct request *r, const struct candidate *c)
{
    return r->view.operation == WEIR_OP_COUNT && !candidate_serves(r, c);
}

static uint32_t ready_in(struct request *r, uint32_t ms)
{
    if (!r->ready_ms || ms < r->ready_ms)
        r->ready_ms = ms ? ms : 1;
    return ms;
}

static const char *breaker_obstacle(struct request *r, const struct candidate *c)
{
    uint32_t wait_ms;
    if (c->figures < 0 || !c->provider->breaker.failures || breaker_is_closed(target_breaker(c->figures)))
        return NULL;
    enum breaker_state state = breaker_state(target_breaker(c->figures), monotonic_us() / 1000, &wait_ms);
    if (state == BREAKER_CLOSED || !wait_ms)
        return NULL;
    if (state == BREAKER_OPEN)
        return arena_printf(r->arena, "its breaker is open for %u ms more", ready_in(r, wait_ms)).p;
    ready_in(r, 1000);
    return "its breaker is open, and one call probes";
}

/* Why it can't be tried now; NULL: it can. */
static const char *obstacle(struct request *r, const struct candidate *c)
{
    uint32_t wait_ms;
    if (is_estimated(r, c))
        return NULL; /* nobody is asked */
    if (c->view.unavailable.n)
        return c->view.unavailable.p;
    if (r->pinned && c->provider != r->pinned)
        return arena_printf(r->arena, "the request names ids of %s", r->pinned->name).p;
    if (is_raw(r))
        return codec_instance(c->provider->codec) ? NULL : "its codec is not there";
    if (health_is_down(c->provider))
        return "its health check fails";
    bool serves = candidate_serves(r, c);
    const char *missing = serves ? missing_capability(r, c) : NULL;
    r->is_beyond_targets |= !serves || missing;
    if (!serves)
        return arena_printf(r->arena, "its dialect has no %s", operation_name(r->view.operation)).p;
    if (missing)
        return arena_printf(r->arena, "its %s has no %s", is_dialects(c, missing) ? "dialect" : "model",
                            own_words(r, missing)).p;
    if (fault_check(c->provider->codec->desc.name, r->principal_name, unix_ms()) != FAULT_NONE)
        return "its codec is quarantined";
    const char *broken = breaker_obstacle(r, c);
    if (broken)
        return broken;
    if (keys_are_benched(r->arena, c->provider, c->view.model, &wait_ms))
        return arena_printf(r->arena, "its provider refuses every key; tried again in %u s", ready_in(r, wait_ms) / 1000 + 1).p;
    if (was_silent(r, c))
        return "it was silent until its time-out";
    return losses_forbid(r, c).p;
}

/* Its provider asked for patience (Retry-After): for how long still. */
static uint32_t rests_ms(struct request *r, const struct candidate *c)
{
    return is_estimated(r, c) ? 0 : keys_rest_ms(r->arena, c->provider, c->view.model);
}

static bool is_any(struct request *r, bool may_rest)
{
    for (uint32_t i = 0; i < r->n_candidates; i++) {
        const struct candidate *c = (const struct candidate *)r->candidates[i];
        if (!c->was_tried && (may_rest || !rests_ms(r, c)) && !obstacle(r, c))
            return true;
    }
    return false;
}

bool candidates_any(struct request *r)
{
    return is_any(r, true);
}

bool candidates_any_awake(struct request *r)
{
    return is_any(r, false);
}

static const char *refuse_admission(struct request *r, struct candidate *c)
{
    enum admission a = admission_ask(r, c);
    const char *full = r->mirror ? "half of max_inflight is reached" : "max_inflight is reached";
    if (a == ADMISSION_FULL && !r->full)
        r->full = c;
    return a == ADMISSION_GIVEN ? NULL : a == ADMISSION_FULL ? full : "its breaker is open, and one call probes";
}

/* One that rests is asked after those that don't. */
static bool defer(struct request *r, struct candidate *c)
{
    uint32_t ms = rests_ms(r, c);
    if (!ms || !candidates_any_awake(r))
        return false;
    struct weir_candidate **list = arena_alloc(r->arena, (r->n_candidates + 1) * sizeof(*list));
    if (!list)
        return false;
    memcpy(list, r->candidates, r->n_candidates * sizeof(*list));
    list[r->n_candidates++] = &c->view;
    r->candidates = list;
    note_add(r, "core", "deferred",
             arena_printf(r->arena, "%.*s: its provider asked for patience, %u ms more", (int)c->view.name.n, c->view.name.p, ms));
    return true;
}

struct candidate *candidate_next(struct request *r)
{
    while (r->n_candidates) {
        struct candidate *c = (struct candidate *)r->candidates[0];
        r->candidates++;
        r->n_candidates--;
        if (c->was_tried)
            continue;
        const char *why = obstacle(r, c);
        if (!why && defer(r, c))
            continue;
        if (!why)
            why = refuse_admission(r, c);
        if (!why) {
            c->was_tried = true;
            return c;
        }
        note_add(r, "core", "skipped", arena_printf(r->arena, "%.*s: %s", (int)c->view.name.n, c->view.name.p, why));
    }
    return NULL;
}

/* ---- what may be asked for ---- */

static bool is_in(const struct weir_model *list, uint32_t n, struct weir_str id)
{
    for (uint32_t i = 0; i < n; i++)
        if (weir_eq(list[i].id, id))
            return true;
    return false;
}

/* Those that have a name of their own in the configuration are there already. */
static void add_listed(struct request *r, const struct config_provider *p, uint32_t n_configured)
{
    uint32_t n;
    for (const struct listed_model *m = model_lists_of(p, &n); m; m = m->next) {
        struct weir_str id = arena_printf(r->arena, "%s/%.*s", p->name, (int)m->id.n, m->id.p);
        if (id.n && !is_in(r->models, n_configured, id))
            r->models[r->n_models++] = (struct weir_model){ .id = id, .owned_by = weir_cstr(p->name) };
    }
}

static uint32_t count_models(void)
{
    uint32_t all = config->n_models, n;
    for (uint32_t i = 0; i < config->n_providers; i++) {
        model_lists_of(config->providers[i], &n);
        all += n;
    }
    return all;
}

struct weir_model *models_list(struct request *r, uint32_t *n)
{
    if (!r->models) {
        r->models = arena_zalloc(r->arena, (count_models() + 1) * sizeof(*r->models));
        for (uint32_t i = 0; r->models && i < config->n_models; i++) {
            const struct config_model *m = config->models[i];
            if (strchr(m->name, '*'))
                continue; /* a pattern is no name */
            struct weir_model *to = &r->models[r->n_models++];
            to->id = weir_cstr(m->name);
            to->owned_by = m->n_targets == 1 ? weir_cstr(m->targets[0].provider->name) : WEIR_LIT("weir");
        }
        uint32_t n_configured = r->n_models;
        for (uint32_t i = 0; r->models && i < config->n_providers; i++)
            add_listed(r, config->providers[i], n_configured);
    }
    *n = r->n_models;
    return r->models;
}
