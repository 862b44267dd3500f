/* The player: one recorded rule's world, in place of the rehearsal's, while another version of the rule decides.
 *
 * What the recording has is said as it was; what it has not makes the decision undecidable, and is never guessed. One rule in
 * the life of a process, so nothing here is given back but what the request itself goes on with.
 */
#include "recording.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "canon.h"
#include "pipeline.h"

static struct {
    struct conversation *conversation; /* the rehearsal's own, for the time after the rule */
    size_t n_clock; /* readings given */
    json_t *set; /* keys of `shared` that the rule itself has set */
} aside;

static const json_t *of(const char *key)
{
    return json_object_get(recording_player->rule, key);
}

static const char *text_of(const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);
    return json_is_string(v) ? json_string_value(v) : "";
}

static struct weir_str str_of(const json_t *v)
{
    return json_is_string(v) ? (struct weir_str){ json_string_value(v), json_string_length(v) } : WEIR_NONE;
}

__attribute__((format(printf, 1, 2))) static void lacks(const char *format, ...)
{
    va_list args;
    if (recording_player->undecidable[0])
        return;
    va_start(args, format);
    vsnprintf(recording_player->undecidable, sizeof(recording_player->undecidable), format, args);
    va_end(args);
}

/* ---- what it reads ---- */

static bool is_in(const json_t *list, const char *name)
{
    size_t i;
    json_t *v;
    json_array_foreach((json_t *)(uintptr_t)list, i, v)
        if (json_is_string(v) && strcmp(json_string_value(v), name) == 0)
            return true;
    return false;
}

static struct weir_str play_header(struct weir_call *c, struct weir_str name, struct weir_str found)
{
    (void)found;
    char lower[256];
    size_t n = name.n < sizeof(lower) ? name.n : sizeof(lower) - 1;
    for (size_t i = 0; i < n; i++)
        lower[i] = name.p[i] >= 'A' && name.p[i] <= 'Z' ? (char)(name.p[i] + 32) : name.p[i];
    lower[n] = 0;
    const json_t *v = json_object_get(of("headers"), lower);
    if (!v && is_in(of("header_names"), lower))
        lacks("the header %s", lower);
    return json_is_string(v) ? arena_copy(c->arena, str_of(v)) : WEIR_NONE;
}

static bool play_header_at(struct weir_call *c, uint32_t i, struct weir_str *name, struct weir_str *value)
{
    (void)c;
    json_t *key;
    size_t k;
    json_array_foreach((json_t *)(uintptr_t)of("header_names"), k, key) {
        const json_t *v = json_is_string(key) ? json_object_get(of("headers"), json_string_value(key)) : NULL;
        if (!json_is_string(v))
            lacks("all headers");
        if (!json_is_string(v) || i-- > 0)
            continue;
        *name = str_of(key);
        *value = str_of(v);
        return true;
    }
    return false;
}

static struct weir_str play_shared(struct weir_str key, struct weir_str found)
{
    json_t *k = recording_str(key);
    const char *name = k ? json_string_value(k) : "?";
    if (!json_object_get(aside.set, name) && !json_object_get(of("shared"), name))
        lacks("shared \"%.100s\"", name);
    json_decref(k);
    return found;
}

static void play_shared_set(struct weir_str key, struct weir_str found)
{
    (void)found;
    json_t *k = recording_str(key);
    if (k)
        json_object_set_new(aside.set, json_string_value(k), json_true());
    json_decref(k);
}

static json_t *play_no_object(const struct weir_fetch *q)
{
    (void)q;
    return NULL;
}

static struct weir_str body_of(const struct egress_request *q, struct weir_out *all)
{
    for (uint32_t i = 0; i < q->n_body; i++)
        out_write(all, q->body[i]);
    return out_bytes(all);
}

const json_t *recording_player_fetch(const struct egress_request *q)
{
    struct weir_out all = { 0 };
    char hex[65];
    size_t i;
    json_t *f;
    recording_digest(body_of(q, &all), hex);
    out_free(&all);
    json_array_foreach((json_t *)(uintptr_t)of("http"), i, f)
        if (strcmp(text_of(f, "method"), q->method) == 0 && strcmp(text_of(f, "url"), q->url) == 0 &&
            strcmp(text_of(f, "body_sha256"), hex) == 0 && json_object_get(f, "status"))
            return f;
    lacks("an answer to %s %.160s", q->method, q->url);
    return NULL;
}

/* What each reading gave; of a rule that looks more often, what has passed since the last. */
static int64_t play_now(int64_t found_ms)
{
    const json_t *readings = of("clock");
    size_t n = json_array_size(readings);
    int64_t last_ms = n ? (int64_t)json_integer_value(json_array_get(readings, n - 1)) : 0;
    if (aside.n_clock < n)
        return (int64_t)json_integer_value(json_array_get(readings, aside.n_clock++));
    return found_ms > last_ms ? found_ms : last_ms;
}

static void play_content(void)
{
    if (!recording_player->has_contents)
        lacks("the contents of the conversation");
}

static int64_t play_tokens(int64_t found)
{
    (void)found;
    return json_integer_value(of("tokens"));
}

static bool play_complexity(bool found, struct weir_complexity *k)
{
    (void)found;
    const json_t *list = of("complexity");
    uint32_t *const counts[] = { &k->words, &k->sentences, &k->questions, &k->numbers, &k->maths, &k->code, &k->conditions,
                                 &k->negations, &k->quantities, &k->turns, &k->tools, &k->images };
    if (!json_is_array(list))
        return false;
    k->score = json_number_value(json_array_get(list, 0));
    for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++)
        *counts[i] = (uint32_t)json_integer_value(json_array_get(list, i + 1));
    return true;
}

/* ---- candidates ---- */

static int64_t figure(const json_t *from, const char *key)
{
    return (int64_t)json_integer_value(json_object_get(from, key));
}

static void fill(struct request *r, struct weir_candidate *v, const json_t *from)
{
    const json_t *tags = json_object_get(from, "tags");
    struct weir_str *list = arena_zalloc(r->arena, (json_array_size(tags) + 1) * sizeof(*list));
    for (uint32_t i = 0; list && i < json_array_size(tags); i++)
        list[i] = str_of(json_array_get(tags, i));
    v->tags = list;
    v->n_tags = (uint32_t)json_array_size(tags);
    v->dialect = str_of(json_object_get(from, "dialect"));
    v->region = str_of(json_object_get(from, "region"));
    v->unavailable = str_of(json_object_get(from, "unavailable"));
    v->flags = (uint32_t)figure(from, "flags");
    v->capabilities = (uint32_t)figure(from, "capabilities");
    v->context_tokens = figure(from, "context");
    v->price_input = json_number_value(json_object_get(from, "price_input"));
    v->price_output = json_number_value(json_object_get(from, "price_output"));
    v->latency_ms = (uint32_t)figure(from, "latency_ms");
    v->p95_ms = (uint32_t)figure(from, "p95_ms");
    v->in_flight = (uint32_t)figure(from, "load");
    v->is_healthy = (uint32_t)figure(from, "healthy");
    v->breaker = (uint32_t)figure(from, "breaker");
    v->first_tokens = (uint32_t)figure(from, "answers");
    v->throughput = json_number_value(json_object_get(from, "throughput"));
    v->error_rate = json_number_value(json_object_get(from, "error_rate"));
    v->left_requests = figure(from, "left_requests");
    v->left_tokens = figure(from, "left_tokens");
}

static const json_t *recorded_candidate(struct weir_str name)
{
    size_t i;
    json_t *v;
    json_array_foreach((json_t *)(uintptr_t)of("candidates"), i, v)
        if (weir_eq(str_of(json_object_get(v, "name")), name))
            return v;
    json_t *k = recording_str(name);
    const json_t *found = k ? json_object_get(of("named"), json_string_value(k)) : NULL;
    json_decref(k);
    return found;
}

static struct weir_candidate *play_candidate(struct weir_call *c, struct weir_str name, struct weir_candidate *found)
{
    const json_t *from = recorded_candidate(name);
    if (!from)
        lacks("the target %.*s", (int)(name.n > 160 ? 160 : name.n), name.p);
    if (!json_is_object(from) || !found)
        return NULL;
    fill(c->request, found, from);
    found->flags &= ~WEIR_CANDIDATE_MIRROR; /* as anywhere: who is named is to answer */
    return found;
}

const struct recording_tap recording_player_tap = { play_header, play_header_at, play_shared, play_shared_set, play_no_object,
                                                    play_candidate, play_now, play_content, play_tokens, play_complexity };

/* ---- the rule's begin and end ---- */

static void put_candidates(struct request *r)
{
    size_t i, n = json_array_size(of("candidates"));
    json_t *from;
    struct weir_candidate **list = arena_zalloc(r->arena, (n + 1) * sizeof(*list));
    uint32_t kept = 0;
    json_array_foreach((json_t *)(uintptr_t)of("candidates"), i, from) {
        struct weir_candidate *v = list ? candidate_find(r, str_of(json_object_get(from, "name"))) : NULL;
        if (!v)
            continue;
        fill(r, v, from);
        list[kept++] = v;
    }
    r->candidates = list;
    r->n_candidates = kept;
    r->has_candidates = true;
}

static void put_conversation(struct request *r)
{
    const char *why = "";
    const json_t *recorded = of("conversation");
    char *text = json_is_string(recorded) ? strdup(json_string_value(recorded)) : json_dumps(recorded, JSON_COMPACT);
    struct weir_str kept = arena_copy(r->arena, weir_cstr(text ? text : "{}"));
    struct conversation *c = parse_conversation(r->arena, text_of(recording_player->rule, "dialect"), kept, &why);
    free(text);
    aside.conversation = r->conversation;
    if (!c)
        lacks("the conversation (%s)", why);
    else
        r->conversation = c;
    r->conversation->view.needs = (uint32_t)json_integer_value(of("needs"));
}

static void put_principal(struct request *r)
{
    const json_t *p = of("principal"), *tags = json_object_get(p, "tags");
    struct weir_str *list = arena_zalloc(r->arena, (json_array_size(tags) + 1) * sizeof(*list));
    for (size_t i = 0; list && i < json_array_size(tags); i++)
        list[i] = str_of(json_array_get(tags, i));
    r->principal.name = str_of(json_object_get(p, "name"));
    r->principal.team = str_of(json_object_get(p, "team"));
    r->principal.tags = list;
    r->principal.n_tags = (uint32_t)json_array_size(tags) / 2;
}

static void put_shared(void)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)of("shared"), key, v)
        if (json_is_string(v))
            shared_set(weir_cstr(key), str_of(v), 0);
}

void recording_player_before(struct weir_call *c)
{
    struct request *r = c->request;
    unsigned long long a = 1, b = 0;
    aside.set = json_object();
    aside.n_clock = 0;
    sscanf(text_of(recording_player->rule, "seed"), "%16llx%16llx", &a, &b);
    put_candidates(r);
    put_conversation(r);
    put_principal(r);
    put_shared();
    r->random[0] = a;
    r->random[1] = b;
    r->view.id = str_of(of("id"));
    r->view.method = str_of(of("method"));
    r->view.path = str_of(of("path"));
    r->view.route = str_of(of("route"));
    r->view.dialect = str_of(of("dialect"));
    r->view.flags = (uint32_t)json_integer_value(of("flags"));
    r->view.query = str_of(of("query"));
    r->view.peer = str_of(of("peer"));
    r->view.body_n = (size_t)json_integer_value(of("bytes"));
}

void recording_player_after(struct weir_call *c)
{
    json_decref(aside.set);
    c->request->conversation = aside.conversation;
}
