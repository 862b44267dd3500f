/* The explanation of a request that is served: which stages it passes, which candidates there were and what was known of each when
 * the first was tried. For who asks with `x-weir-explain` and may: in a header of the answer, as far as there is room, and whole in
 * the request record. A process that explains (`weir explain`) asks for every request.
 *
 * Owner: the request's arena. A request that doesn't ask costs a look at its caller's rights.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "json.h"
#include "pipeline.h"
#include "text.h"

enum { HEADER_MAX = 3072 };

struct explanation {
    uint32_t n;
    struct weir_str candidates[]; /* a JSON object each, in the order in which they would be tried */
};

static bool is_asked_for(const struct request *r)
{
    if (worker->watcher && worker->watcher->explains)
        return true;
    if (!(r->principal.flags & WEIR_PRINCIPAL_MAY_EXPLAIN) || !r->head)
        return false;
    struct weir_str v = http_find(r->head->headers, r->head->n_headers, "x-weir-explain");
    return v.n && !weir_is(v, "0") && !weir_is(v, "false");
}

/* ---- a candidate ---- */

static void put(struct weir_out *o, const char *key, struct weir_str value)
{
    if (!value.n)
        return;
    json_key(o, key);
    json_put_str(o, value);
}

static void put_count(struct weir_out *o, const char *key, int64_t n, int64_t least)
{
    if (n < least)
        return;
    json_key(o, key);
    json_put_int(o, n);
}

static void put_real(struct weir_out *o, const char *key, double value)
{
    char text[40];
    if (!isfinite(value) || value < 0)
        return;
    int n = snprintf(text, sizeof(text), "%.10g", value);
    json_key(o, key);
    json_put_raw(o, (struct weir_str){ text, (size_t)n });
}

/* USD for the input alone, and with as many tokens of output as the request allows. */
static void put_costs(struct weir_out *o, const struct request *r, const struct candidate *c)
{
    struct weir_usage u = { .size = sizeof(u), .input = -1, .output = 0, .cached_read = -1, .cached_write = -1, .reasoning = -1 };
    if (r->conversation)
        u.input = conversation_estimate(r->conversation, provider_tokens(c->provider, c->view.model));
    if (u.input < 0)
        return;
    put_count(o, "input_tokens", u.input, 0);
    put_real(o, "input_usd", facts_cost(c->prices, c->n_prices, request_tier(r), &u));
    struct weir_str most = weir_field(&r->conversation->view, WEIR_FIELD_MAX_TOKENS);
    u.output = 0;
    for (size_t i = 0; i < most.n && i < 12 && most.p[i] >= '0' && most.p[i] <= '9'; i++)
        u.output = u.output * 10 + (most.p[i] - '0');
    if (!u.output)
        return;
    put_count(o, "max_output_tokens", u.output, 0);
    put_real(o, "most_usd", facts_cost(c->prices, c->n_prices, request_tier(r), &u));
}

/* What all workers have seen of it. */
static void put_figures(struct weir_out *o, const struct weir_candidate *v)
{
    static const char *const breakers[] = { "closed", "open", "probing" };
    if (v->breaker != WEIR_BREAKER_CLOSED && v->breaker < sizeof(breakers) / sizeof(*breakers))
        put(o, "breaker", weir_cstr(breakers[v->breaker]));
    put_count(o, "load", v->in_flight, 1);
    put_count(o, "left_requests", v->left_requests, 0);
    put_count(o, "left_tokens", v->left_tokens, 0);
    put_count(o, "first_token_ms", v->latency_ms, 1);
    if (!v->first_tokens)
        return;
    put_count(o, "p95_ms", v->p95_ms, 1);
    put_real(o, "error_rate", v->error_rate);
}

static void put_candidate(struct weir_out *o, const struct request *r, const struct candidate *c)
{
    json_object_begin(o);
    put(o, "target", c->view.name);
    put(o, "dialect", c->view.dialect);
    put(o, "region", c->view.region);
    put_count(o, "context_tokens", c->view.context_tokens, 1);
    if (c->n_prices) {
        put_real(o, "price_input", c->view.price_input);
        put_real(o, "price_output", c->view.price_output);
    }
    put_costs(o, r, c);
    put_figures(o, &c->view);
    json_object_end(o);
}

static struct weir_str candidate_text(struct request *r, const struct candidate *c)
{
    struct weir_out o = { 0 };
    put_candidate(&o, r, c);
    struct weir_str text = out_complete(&o) ? arena_copy(r->arena, out_bytes(&o)) : WEIR_NONE;
    out_free(&o);
    return text.n ? text : WEIR_LIT("{}");
}

void explanation_note(struct request *r, const struct candidate *first)
{
    uint32_t n = r->n_candidates + 1;
    if (r->explanation || !is_asked_for(r))
        return;
    struct explanation *x = arena_zalloc(r->arena, sizeof(*x) + n * sizeof(*x->candidates));
    r->explanation = x;
    if (!x)
        return;
    x->candidates[x->n++] = candidate_text(r, first);
    for (uint32_t i = 0; i < r->n_candidates; i++)
        x->candidates[x->n++] = candidate_text(r, (const struct candidate *)r->candidates[i]);
}

/* ---- what stages change ---- */

enum { TOLD_MAX = 160 };

static void tell(struct weir_call *c, const char *key, struct weir_str value)
{
    const struct weir_instance *who = c->running ? c->running : c->wait ? pipeline_stage(c, c->step) : NULL;
    if (value.n)
        note_add(c->request, who ? who->plugin->desc.name : "core", key, value);
}

void explanation_field(struct weir_call *c, enum weir_field f, struct weir_str json)
{
    struct arena *a = c->request->arena;
    if (is_asked_for(c->request))
        tell(c, "sets", json.n ? arena_printf(a, "%s to %.*s%s", feature_name(f), (int)(json.n < TOLD_MAX ? json.n : TOLD_MAX), json.p,
                                              json.n > TOLD_MAX ? " …" : "")
                               : arena_printf(a, "%s to nothing", feature_name(f)));
}

/* Not what it says: records hold no words of a conversation. */
void explanation_text(struct weir_call *c, int64_t before, size_t after)
{
    struct arena *a = c->request->arena;
    if (!is_asked_for(c->request))
        return;
    tell(c, "changes", before < 0 ? arena_printf(a, "the system prompt: %zu bytes before it", after)
                                  : arena_printf(a, "a text: of %lld bytes it makes %zu", (long long)before, after));
}

void explanation_candidates(struct weir_call *c)
{
    struct request *r = c->request;
    struct weir_out names = { 0 };
    for (uint32_t i = 0; is_asked_for(r) && i < r->n_candidates && names.n < HEADER_MAX; i++) {
        out_write(&names, i ? WEIR_LIT(", ") : WEIR_LIT(""));
        out_write(&names, r->candidates[i]->name);
    }
    tell(c, "chooses", out_bytes(&names));
    out_free(&names);
}

/* ---- the whole ---- */

static bool has_hook(const struct lane *lane, int hook, uint32_t stage)
{
    for (uint32_t k = 0; k < lane->n_slots[hook]; k++)
        if (lane->slots[hook][k] == stage)
            return true;
    return false;
}

static void put_stages(struct weir_out *o, const struct request *r)
{
    json_key(o, "stages");
    json_array_begin(o);
    for (uint32_t i = 0; r->lane && i < r->lane->n; i++) {
        json_object_begin(o);
        put(o, "stage", weir_cstr(r->lane->stages[i]->plugin->desc.name));
        put(o, "place", i < r->lane->n_entry ? WEIR_LIT("entry") : WEIR_LIT("route"));
        json_key(o, "hooks");
        json_array_begin(o);
        for (int hook = 0; hook < HOOKS; hook++)
            if (has_hook(r->lane, hook, i))
                json_put_str(o, weir_cstr(hook_name((enum hook)hook)));
        json_array_end(o);
        json_key(o, "was_reached");
        json_put_bool(o, i < r->n_opened);
        json_object_end(o);
    }
    json_array_end(o);
}

static void put_candidates(struct weir_out *o, const struct explanation *x, uint32_t n)
{
    json_key(o, "candidates");
    json_array_begin(o);
    for (uint32_t i = 0; i < n; i++)
        json_put_raw(o, x->candidates[i]);
    json_array_end(o);
}

void explanation_write(const struct request *r, struct weir_out *o)
{
    if (!r->explanation)
        return;
    json_key(o, "explanation");
    json_object_begin(o);
    put_stages(o, r);
    put_candidates(o, r->explanation, r->explanation->n);
    json_object_end(o);
}

/* ---- the header ---- */

/* The largest that fits: fewer candidates, then without what the stages said. */
static void put_header(struct weir_out *o, const struct request *r, uint32_t n, bool has_decisions)
{
    json_object_begin(o);
    put(o, "id", r->view.id);
    put(o, "route", r->view.route);
    record_put_attempts(r, o);
    if (has_decisions)
        record_put_decisions(r, o);
    put_candidates(o, r->explanation, n);
    put_count(o, "more_candidates", r->explanation->n - n, 1);
    if (!has_decisions) {
        json_key(o, "is_cut");
        json_put_bool(o, true);
    }
    json_object_end(o);
}

/* Headers are ASCII: what isn't is escaped, as JSON may be. */
static void put_escaped(struct weir_out *to, struct weir_str json)
{
    char text[16];
    for (size_t i = 0; i < json.n;) {
        unsigned char c = (unsigned char)json.p[i];
        size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
        if (n > json.n - i)
            return;
        uint32_t code = n == 1 ? c : c & (0xffu >> (n + 1));
        for (size_t k = 1; k < n; k++)
            code = code << 6 | ((unsigned char)json.p[i + k] & 0x3f);
        if (n == 1)
            out_write(to, (struct weir_str){ json.p + i, 1 });
        else if (code < 0x10000)
            out_write(to, (struct weir_str){ text, (size_t)snprintf(text, sizeof(text), "\\u%04x", code) });
        else
            out_write(to, (struct weir_str){ text, (size_t)snprintf(text, sizeof(text), "\\u%04x\\u%04x",
                                                                    0xd800 + ((code - 0x10000) >> 10 & 0x3ff), 0xdc00 + (code & 0x3ff)) });
        i += n;
    }
}

static struct weir_str header_of(struct request *r, uint32_t n, bool has_decisions)
{
    struct weir_out plain = { 0 }, escaped = { 0 };
    struct weir_str text = WEIR_NONE;
    put_header(&plain, r, n, has_decisions);
    if (out_complete(&plain))
        put_escaped(&escaped, out_bytes(&plain));
    if (escaped.n && !escaped.failed && escaped.n <= HEADER_MAX)
        text = arena_copy(r->arena, out_bytes(&escaped));
    out_free(&plain);
    out_free(&escaped);
    return text;
}

struct weir_str explanation_header(struct request *r)
{
    if (!r->explanation && is_asked_for(r))
        r->explanation = arena_zalloc(r->arena, sizeof(*r->explanation)); /* it was denied, or answered by a stage */
    if (!r->explanation || (worker->watcher && worker->watcher->explains))
        return WEIR_NONE;
    for (uint32_t n = r->explanation->n;; n /= 2) {
        struct weir_str text = header_of(r, n, true);
        if (text.n || n == 0)
            return text.n ? text : header_of(r, 0, false);
    }
}
