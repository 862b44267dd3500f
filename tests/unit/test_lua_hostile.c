/* Policies that misbehave (tests/policies/hostile): each costs its own request, in bounded time and memory, and nobody
 * else's. What each must end in stands in its second line: "-- expect: text|text", where NEXT and WAIT are verdicts and
 * anything else is part of the error in the log. */
#include <dirent.h>

#include "lua_stage.h"
#include "test.h"

/* 10 ms is the promise; a noisy machine gets more before a test fails, and sanitizers, which slow everything down. */
#ifdef __SANITIZE_ADDRESS__
enum { BURST_MAX_US = 150000 };
#else
enum { BURST_MAX_US = 25000 };
#endif
enum { TOTAL_MAX_US = 10000000, MEMORY_MAX_KB = 256 << 10 };

static const char folder[] = "tests/policies/hostile";

static long memory_kb(void)
{
    long pages = 0, total = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%ld %ld", &total, &pages) != 2)
        pages = 0;
    if (f)
        fclose(f);
    return pages * 4;
}

static void begin(void)
{
    fake_start();
    fake.is_real_time = true;
    fake_target("openai/gpt-4o", "us", 5, 128000, WEIR_CAN_TOOLS);
    fake_target("claude/sonnet", "eu", 6, 200000, WEIR_CAN_TOOLS);
}

static bool read_expectation(const char *path, char *to, size_t n)
{
    char line[300];
    FILE *f = fopen(path, "r");
    to[0] = 0;
    while (f && fgets(line, sizeof(line), f))
        if (strncmp(line, "-- expect: ", 11) == 0)
            snprintf(to, n, "%.*s", (int)strcspn(line + 11, "\n"), line + 11);
    if (f)
        fclose(f);
    return to[0] != 0;
}

static bool is_expected(char *expectation, enum weir_verdict v, const struct weir_call *c)
{
    const char *log = fake.log;
    for (char *save = NULL, *want = strtok_r(expectation, "|", &save); want; want = strtok_r(NULL, "|", &save)) {
        if (strcmp(want, "NEXT") == 0 && v == WEIR_NEXT)
            return true;
        if (strcmp(want, "WAIT") == 0 && c->n_waits > 0 && v == WEIR_NEXT)
            return true;
        if (v == WEIR_FAIL && strcmp(c->error_code, "policy_error") == 0 && strstr(log, want))
            return true;
    }
    return false;
}

/* A small policy beside the hostile one: what it costs must not change. */
static const char good[] = "return { on_request = function(req) local t = {}; for i = 1, 100 do t[i] = { i } end;"
                           " return req.candidates:where{ region = 'eu' } end }";

static bool good_works(struct stage *s)
{
    struct weir_call *c = fake_call(s->ops->request_size);
    bool works = stage_request(s, c) == WEIR_NEXT && c->n_candidates == 1;
    fake_call_end(c);
    return works;
}

/* Runs one file twice, as its state may last. Returns what is wrong, NULL if nothing is. */
static const char *try(const char *path, const char *name)
{
    static char wrong[1200];
    char expectation[300];
    struct stage s, beside;
    wrong[0] = 0;
    if (!read_expectation(path, expectation, sizeof(expectation)))
        return "it says nothing about what to expect";
    begin();
    if (!stage_open(&beside, good, NULL) || !stage_open_file(&s, path, NULL))
        return fake.log;
    for (int round = 0; round < 2; round++) {
        char want[300];
        snprintf(want, sizeof(want), "%s", expectation);
        struct weir_call *c = fake_call(s.ops->request_size);
        fake_message(c, WEIR_ROLE_USER, "hello");
        fake.log[0] = 0;
        int64_t from = fake_clock_us();
        enum weir_verdict v = stage_request(&s, c);
        int64_t us = fake_clock_us() - from;
        if (!is_expected(want, v, c))
            snprintf(wrong, sizeof(wrong), "round %d: verdict %d, \"%.300s\"; expected %s", round, (int)v, fake.log, expectation);
        if (us > TOTAL_MAX_US)
            snprintf(wrong, sizeof(wrong), "it took %ld us", (long)us);
        stage_finish(&s, c);
        fake_call_end(c);
        if (!good_works(&beside))
            snprintf(wrong, sizeof(wrong), "the policy beside it failed: %.300s", fake.log);
    }
    if (fake.longest_us > BURST_MAX_US)
        snprintf(wrong, sizeof(wrong), "it held the loop for %ld us", (long)fake.longest_us);
    printf("  %-22s longest %6ld us\n", name, (long)fake.longest_us);
    stage_close(&s);
    stage_close(&beside);
    return wrong[0] ? wrong : NULL;
}

TEST(each_costs_only_itself)
{
    DIR *d = opendir(folder);
    const struct weir_plugin *plugin;
    int n = 0, failed = 0;
    if (!d || !stage_plugin(&plugin))
        SKIP("tests/policies/hostile or policy.so is not there: run from the project's root after `make`");
    const char *only = getenv("HOSTILE");
    for (const struct dirent *e; (e = readdir(d)) != NULL;) {
        char path[400];
        if (!strstr(e->d_name, ".lua") || (only && !strstr(e->d_name, only)))
            continue;
        snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
        const char *wrong = try(path, e->d_name);
        if (wrong)
            printf("  %s: %s\n", e->d_name, wrong);
        failed += wrong != NULL;
        n++;
    }
    closedir(d);
    printf("  %d hostile policies, %ld MiB at the end\n", n, memory_kb() >> 10);
    CHECK_INT(failed, 0);
    CHECK(n >= 50 || only);
#ifndef __SANITIZE_ADDRESS__ /* which keeps what was freed */
    CHECK(memory_kb() < MEMORY_MAX_KB);
#endif
}
