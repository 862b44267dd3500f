/* The policies that weir ships, against the cases that lie beside them (policies/<name>_test.lua): data, turned into
 * lines by tests/policies/run.lua. */
#include <dirent.h>
#include <stdlib.h>

#include "lua_stage.h"
#include "test.h"

enum { WORDS = 6, LIST = 12 };

struct expectation {
    char *left[LIST], *notes[LIST][2], *edits[LIST][2], *denied;
    int n_left, n_notes, n_edits;
};

/* One case as it is read. Strings live until the case has run. */
struct the_case {
    char name[120], *with, *hosts[LIST], *headers[LIST][2], *team, *messages[LIST], *fields[LIST][2], *targets[LIST][4];
    int n_hosts, n_headers, n_messages, n_fields, n_targets;
    int64_t now_ms;
    char *http[3], *failure[3];
    struct expectation want;
};

static char *texts[400];
static int n_texts;

static char *keep(const char *s)
{
    char *copy = strdup(s ? s : ""), *to = copy;
    for (const char *p = copy; *p; p++)
        *to++ = p[0] == '\\' && p[1] == 'n' ? (p++, '\n') : p[0] == '\\' && p[1] == '\\' ? (p++, '\\') : p[0];
    *to = 0;
    return n_texts < 400 ? (texts[n_texts++] = copy) : copy;
}

static int split(char *line, char **words)
{
    int n = 0;
    line[strcspn(line, "\n")] = 0;
    for (char *at = line; at && n < WORDS; n++) {
        words[n] = at;
        at = strchr(at, '\t');
        if (at)
            *at++ = 0;
    }
    for (int i = n; i < WORDS; i++)
        words[i] = "";
    return n;
}

static void pair(char *(*list)[2], int *n, char **w)
{
    if (*n == LIST)
        return;
    list[*n][0] = keep(w[1]);
    list[(*n)++][1] = keep(w[2]);
}

static void one(char **list, int *n, const char *text)
{
    if (*n < LIST)
        list[(*n)++] = keep(text);
}

static void several(char **to, char **w, int n)
{
    for (int i = 0; i < n; i++)
        to[i] = keep(w[i + 1]);
}

static void read_expectation(struct expectation *e, char **w)
{
    if (strcmp(w[0], "left") == 0)
        one(e->left, &e->n_left, w[1]);
    else if (strcmp(w[0], "denied") == 0)
        e->denied = keep(w[1]);
    else if (strcmp(w[0], "note") == 0)
        pair(e->notes, &e->n_notes, w);
    else if (strcmp(w[0], "edit") == 0)
        pair(e->edits, &e->n_edits, w);
}

static void read_line(struct the_case *c, char **w)
{
    if (strcmp(w[0], "case") == 0)
        snprintf(c->name, sizeof(c->name), "%s", w[1]);
    else if (strcmp(w[0], "with") == 0)
        c->with = strdup(w[1]), texts[n_texts++] = c->with;
    else if (strcmp(w[0], "host") == 0)
        one(c->hosts, &c->n_hosts, w[1]);
    else if (strcmp(w[0], "header") == 0)
        pair(c->headers, &c->n_headers, w);
    else if (strcmp(w[0], "team") == 0)
        c->team = keep(w[1]);
    else if (strcmp(w[0], "message") == 0)
        one(c->messages, &c->n_messages, w[1]);
    else if (strcmp(w[0], "field") == 0)
        pair(c->fields, &c->n_fields, w);
    else if (strcmp(w[0], "target") == 0)
        several(c->targets[c->n_targets++], w, 4);
    else if (strcmp(w[0], "now") == 0)
        c->now_ms = atoll(w[1]) * 1000;
    else if (strcmp(w[0], "http") == 0)
        several(c->http, w, 3);
    else if (strcmp(w[0], "failure") == 0)
        several(c->failure, w, 3);
    else
        read_expectation(&c->want, w);
}

/* ---- running one --------------------------------------------------------------------------------------------------- */

static const char *const classes[] = { "none", "bad_request", "authentication", "permission", "not_found", "too_large",
                                       "context_length", "content_policy", "rate_limited", "quota", "overloaded" };
static const char *const fields[] = { [WEIR_FIELD_MAX_TOKENS] = "max_tokens",
                                      [WEIR_FIELD_REASONING_EFFORT] = "reasoning_effort" };

static void add_targets(const struct the_case *c)
{
    if (c->n_targets == 0) {
        fake_target("openai/gpt-4o", "us", 5, 128000, WEIR_CAN_TOOLS);
        fake_target("openai/gpt-4o-mini", "us", 0.3, 128000, WEIR_CAN_TOOLS);
        fake_target("claude/sonnet", "eu", 6, 200000, WEIR_CAN_TOOLS);
        fake_target("vllm/coder", "eu-central-1", 0.1, 32000, 0);
    }
    for (int i = 0; i < c->n_targets; i++)
        fake_target(c->targets[i][0], c->targets[i][1], atof(c->targets[i][2]), atoll(c->targets[i][3]), WEIR_CAN_TOOLS);
}

static struct weir_call *make_call(const struct stage *s, const struct the_case *t)
{
    struct weir_call *c = fake_call(s->ops->request_size);
    for (int i = 0; i < t->n_headers; i++)
        fake_header(c, t->headers[i][0], t->headers[i][1]);
    for (int i = 0; i < t->n_messages; i++)
        fake_message(c, WEIR_ROLE_USER, t->messages[i]);
    for (int i = 0; i < t->n_fields; i++)
        for (size_t f = 0; f < sizeof(fields) / sizeof(*fields); f++)
            if (fields[f] && strcmp(fields[f], t->fields[i][0]) == 0)
                fake_field(c, (enum weir_field)f, t->fields[i][1]);
    if (t->team)
        c->principal.team = weir_cstr(t->team);
    return c;
}

static void set_failure(struct weir_call *c, char *const *failure)
{
    for (size_t i = 0; i < sizeof(classes) / sizeof(*classes); i++)
        if (strcmp(classes[i], failure[0]) == 0)
            c->outcome.error_class = (uint16_t)i;
    c->outcome.retry_after_ms = (uint32_t)(atof(failure[1]) * 1000);
    c->outcome.message = WEIR_LIT("the provider said no");
    for (int i = 0; i < FAKE_CANDIDATES; i++)
        if (failure[2][0] && weir_is(fake.all[i].name, failure[2]))
            c->target = &fake.all[i];
}

static enum weir_verdict run_hook(struct stage *s, struct weir_call *c, const struct the_case *t)
{
    if (!t->failure[0])
        return stage_request(s, c);
    set_failure(c, t->failure);
    return stage_failure(s, c);
}

static enum weir_verdict run_once(struct stage *s, struct weir_call *c, const struct the_case *t)
{
    if (!t->http[0])
        return run_hook(s, c, t);
    enum weir_verdict v = s->ops->on_request(s->self, c);
    if (v != WEIR_WAIT || !fake.fetch.is_live)
        return v;
    if (t->http[0][0])
        fake_answer_error(t->http[0]);
    else
        fake_answer(atoi(t->http[1]), "", t->http[2]);
    return c->resumed;
}

/* ---- comparing ------------------------------------------------------------------------------------------------------ */

static bool complain(const struct the_case *t, const char *what, const char *got, const char *want)
{
    printf("  %s: %s is \"%s\", expected \"%s\"  %s\n", t->name, what, got, want, fake.log);
    return false;
}

static bool has_pair(const struct fake_pair *list, int n, const char *value)
{
    for (int i = 0; i < n; i++)
        if (strcmp(list[i].value, value) == 0)
            return true;
    return false;
}

static bool candidates_fit(const struct the_case *t, const struct weir_call *c)
{
    char got[600] = "", want[600] = "";
    for (uint32_t i = 0; i < c->n_candidates; i++)
        snprintf(got + strlen(got), sizeof(got) - strlen(got), "%.*s ", (int)c->candidates[i]->name.n,
                 c->candidates[i]->name.p);
    for (int i = 0; i < t->want.n_left; i++)
        snprintf(want + strlen(want), sizeof(want) - strlen(want), "%s ", t->want.left[i]);
    return t->want.n_left == 0 || strcmp(got, want) == 0 || complain(t, "what is left", got, want);
}

static bool fits(const struct the_case *t, const struct weir_call *c, enum weir_verdict v)
{
    const struct expectation *e = &t->want;
    const char *denied = v == WEIR_FAIL ? c->error_code : "";
    if (strcmp(denied, e->denied ? e->denied : "") != 0)
        return complain(t, "the denial", denied, e->denied ? e->denied : "");
    for (int i = 0; i < e->n_notes; i++)
        if (strcmp(fake_note(c, e->notes[i][0]), e->notes[i][1]) != 0)
            return complain(t, e->notes[i][0], fake_note(c, e->notes[i][0]), e->notes[i][1]);
    for (int i = 0; i < e->n_edits; i++)
        if (!has_pair(c->edits, c->n_edits, e->edits[i][1]))
            return complain(t, "an edit", c->n_edits ? c->edits[0].value : "", e->edits[i][1]);
    return candidates_fit(t, c);
}

static bool run_case(const char *path, const struct the_case *t, int times)
{
    struct stage s;
    const char *hosts[LIST + 1] = { NULL };
    for (int i = 0; i < t->n_hosts; i++)
        hosts[i] = t->hosts[i];
    struct stage_options o = { .with = t->with, .hosts = hosts };
    fake_start();
    add_targets(t);
    if (t->now_ms)
        fake.now_ms = t->now_ms;
    if (!stage_open_file(&s, path, &o))
        return complain(t, "loading", fake.log, "");
    bool is_fine = false;
    for (int i = 0; i < times; i++) {
        struct weir_call *c = make_call(&s, t);
        enum weir_verdict v = run_once(&s, c, t);
        is_fine = i < times - 1 || fits(t, c, v);
        stage_finish(&s, c);
        fake_call_end(c);
    }
    stage_close(&s);
    return is_fine;
}

/* Returns how many cases failed; counts them. */
static int run_file(const char *name, int *n_cases)
{
    char command[300], path[200], line[4000];
    int failed = 0;
    struct the_case t = { .name = "" };
    snprintf(path, sizeof(path), "policies/%s.lua", name);
    snprintf(command, sizeof(command), "lua5.4 tests/policies/run.lua policies/%s_test.lua", name);
    FILE *f = popen(command, "r");
    while (f && fgets(line, sizeof(line), f)) {
        char *w[WORDS];
        split(line, w);
        if (strcmp(w[0], "run") != 0) {
            read_line(&t, w);
            continue;
        }
        failed += !run_case(path, &t, atoi(w[1]));
        ++*n_cases;
        t = (struct the_case){ .name = "" };
        while (n_texts > 0)
            free(texts[--n_texts]);
    }
    if (!f || pclose(f) != 0)
        failed++;
    return failed;
}

static bool has_lua(void)
{
    FILE *f = popen("lua5.4 -v >/dev/null 2>&1", "r");
    return f && pclose(f) == 0;
}

TEST(shipped_policies_do_what_they_say)
{
    DIR *d = opendir("policies");
    const struct weir_plugin *plugin;
    int n = 0, failed = 0, n_policies = 0;
    if (!d || !stage_plugin(&plugin))
        SKIP("policies/ or policy.so is not there: run from the project's root after `make`");
    if (!has_lua())
        SKIP("lua5.4 is not installed");
    for (const struct dirent *e; (e = readdir(d)) != NULL;) {
        char name[80];
        const char *end = strstr(e->d_name, "_test.lua");
        if (!end || (size_t)(end - e->d_name) >= sizeof(name))
            continue;
        snprintf(name, sizeof(name), "%.*s", (int)(end - e->d_name), e->d_name);
        int wrong = run_file(name, &n);
        if (wrong)
            printf("  policies/%s.lua: %d wrong\n", name, wrong);
        failed += wrong;
        n_policies++;
    }
    closedir(d);
    printf("  %d cases of %d policies\n", n, n_policies);
    CHECK_INT(failed, 0);
    CHECK(n_policies >= 6);
}

/* One without cases would be one without proof. */
TEST(each_policy_has_cases)
{
    DIR *d = opendir("policies");
    if (!d)
        SKIP("policies/ is not there: run from the project's root");
    int missing = 0;
    for (const struct dirent *e; (e = readdir(d)) != NULL;) {
        char path[400];
        const char *end = strstr(e->d_name, ".lua");
        if (!end || strstr(e->d_name, "_test.lua"))
            continue;
        snprintf(path, sizeof(path), "policies/%.*s_test.lua", (int)(end - e->d_name), e->d_name);
        FILE *f = fopen(path, "r");
        if (f)
            fclose(f);
        else
            printf("  %s is missing\n", path);
        missing += !f;
    }
    closedir(d);
    CHECK_INT(missing, 0);
}
