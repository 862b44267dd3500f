/* What a rule in Lua costs a request: CPU nanoseconds of one run of on_request in policy.so, with a host that only keeps what it is
 * given. The median of rounds. Usage: build/lua_bench [ROUNDS]. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lua_stage.h"

enum { RUNS = 20000, ROUNDS_MAX = 101, CANDIDATES = 20 };

static const struct rule {
    const char *name, *lua;
    double most_us; /* what it may cost; 0: nobody has promised anything */
} rules[] = {
    { "nothing", "", 0 },
    { "simple: a cap", "if (req.max_tokens or 0) > 4000 then req.max_tokens = 4000 end", 1.5 },
    { "simple: by header or team", "if req.headers['x-class'] == 'secret' or req.principal.team == 'legal' then"
                                   " return req.candidates:where{ region = 'eu' } end", 1.5 },
    { "simple: a note", "if req.stream and req.tokens > 500 then note('size', 'long') end", 1.5 },
    { "where{ healthy }:by(price)", "return req.candidates:where{ healthy = true }:by('price')", 6 },
    { "where{ healthy }:by(price, latency)", "return req.candidates:where{ healthy = true }:by('price', 'latency')", 6 },
    { "where(function):by(price)", "return req.candidates:where(function(c) return c.latency < 0.7 end):by('price')", 0 },
    { "by(function)", "return req.candidates:by(function(c) return c.price * c.latency end)", 0 },
    { "strategy.fits", "return require('strategy').fits(req, req.candidates)", 0 },
    { "strategy.sticky", "return require('strategy').sticky(req.candidates, req.principal.name)", 0 },
};

static int64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    double d = *(const double *)a - *(const double *)b;
    return d < 0 ? -1 : d > 0;
}

static void begin(void)
{
    static char names[CANDIDATES][32];
    fake_start();
    for (int i = 0; i < CANDIDATES; i++) {
        snprintf(names[i], sizeof(names[i]), "provider%d/model%d", i % 5, i);
        fake_target(names[i], i % 2 ? "eu-west-1" : "us-east-1", (i * 7) % 11 + 0.5, 128000, WEIR_CAN_TOOLS);
        fake.all[i].latency_ms = (uint32_t)((i * 37) % 19 * 50);
        fake.all[i].is_healthy = i % 9 != 0;
    }
}

/* What the rule noted and changed is forgotten each time, as another request would have it. */
static double round_us(struct stage *s, struct weir_call *c)
{
    struct weir_candidate *all[FAKE_CANDIDATES];
    uint32_t n = c->n_candidates;
    memcpy(all, c->candidates, sizeof(all));
    int64_t began = cpu_ns();
    for (int i = 0; i < RUNS; i++) {
        memset(c->block, 0, s->ops->request_size);
        memcpy(c->candidates, all, sizeof(all));
        c->n_candidates = n;
        s->ops->on_request(s->self, c);
        while (c->n_notes > 0) {
            free(c->notes[--c->n_notes].value);
            free(c->notes[c->n_notes].key);
        }
    }
    return (double)(cpu_ns() - began) / RUNS / 1000;
}

static void measure(const struct rule *r, int rounds)
{
    static char lua[1000];
    static double us[ROUNDS_MAX];
    struct stage s;
    begin();
    snprintf(lua, sizeof(lua), "return { on_request = function(req, cfg)\n%s\nend }", r->lua);
    if (!stage_open(&s, lua, NULL)) {
        printf("%s: %s\n", r->name, fake.log);
        exit(1);
    }
    struct weir_call *c = fake_call(s.ops->request_size);
    for (int i = 0; i < rounds; i++)
        us[i] = round_us(&s, c);
    qsort(us, (size_t)rounds, sizeof(*us), compare);
    printf("%-42s %6.2f us%s\n", r->name, us[rounds / 2], r->most_us > 0 && us[rounds / 2] > r->most_us ? "  too much" : "");
    fake_call_end(c);
    stage_close(&s);
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 9;
    rounds = rounds < 1 ? 1 : rounds > ROUNDS_MAX ? ROUNDS_MAX : rounds;
    for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++)
        measure(&rules[i], rounds);
    return 0;
}
