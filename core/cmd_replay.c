/* `weir replay`: has another version of a rule decide recorded requests again, and says what would have been otherwise.
 *
 * Each request is decided in a process of its own, by the production engine in a world that is made of what was recorded
 * (recording_play.c). Cost and latency are what the recorded figures let expect of a route's first healthy target, for the
 * old decision and the new one alike. The file is read twice: a faulty one is refused before anything is run.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd.h"
#include "recording.h"
#include "rehearsal_case.h"

enum { OPTION_POLICY, OPTION_INSTEAD, OPTION_JSON, OPTION_PLUGIN };
enum { REPLAY_CHANGED = 3, REPLAY_UNDECIDABLE = 4 };
enum { FAILED_MOST = 3 }; /* then the rule is to blame, not the request */

struct replay {
    const char *path, *policy, *instead;
    char *policy_file; /* absolute */
    const struct plugin *dialect;
    bool has_contents;
    int n_line;
    /* what came of it */
    int requests, same, n_failed; /* failed: the rule could not be run */
    json_t *changed, *undecidable; /* lists of objects */
    int denials[2], copies[2];     /* before, after */
    double cost[2], latency_s[2];
    int n_cost, n_latency;
    json_t *targets[2]; /* how often each is expected to answer */
};

/* ---- the file ---- */

static int faulty(const struct replay *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int faulty(const struct replay *p, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    cmd_fail("%s:%d: %s", p->path, p->n_line, text);
    return -1;
}

static int take_head(struct replay *p, const json_t *head)
{
    const json_t *version = json_object_get(head, "weir_recording");
    if (!json_is_integer(version))
        return faulty(p, "this is no recording: its first line has no \"weir_recording\" (`weir record` makes one)");
    if (json_integer_value(version) != RECORDING_VERSION)
        return faulty(p, "a recording of version %lld; this weir reads version %d: record again, or use the weir that made it",
                      (long long)json_integer_value(version), RECORDING_VERSION);
    p->has_contents = json_is_true(json_object_get(head, "contents"));
    return 0;
}

static bool is_rule(const json_t *rule)
{
    static const char *const objects[] = { "decision", "headers", "shared", "named", "principal" };
    static const char *const strings[] = { "stage", "id", "seed", "dialect", "path" };
    static const char *const lists[] = { "candidates", "http", "header_names", "secrets" };
    bool is_one = json_is_integer(json_object_get(rule, "now_ms")) && json_is_integer(json_object_get(rule, "tokens"));
    const json_t *conversation = json_object_get(rule, "conversation");
    is_one = is_one && (json_is_object(conversation) || json_is_string(conversation));
    for (size_t i = 0; i < sizeof(objects) / sizeof(*objects); i++)
        is_one = is_one && json_is_object(json_object_get(rule, objects[i]));
    for (size_t i = 0; i < sizeof(strings) / sizeof(*strings); i++)
        is_one = is_one && json_is_string(json_object_get(rule, strings[i]));
    for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++)
        is_one = is_one && json_is_array(json_object_get(rule, lists[i]));
    const json_t *v;
    size_t i;
    json_array_foreach(json_object_get(rule, "candidates"), i, v)
        is_one = is_one && json_is_string(json_object_get(v, "name"));
    json_array_foreach(json_object_get(rule, "secrets"), i, v)
        is_one = is_one && json_is_string(v);
    return is_one;
}

static int check_request(const struct replay *p, const json_t *line)
{
    const json_t *rules = json_object_get(line, "rules"), *rule;
    size_t i;
    if (!json_array_size(rules))
        return faulty(p, "this is no recorded request: it has no \"rules\"");
    json_array_foreach((json_t *)(uintptr_t)rules, i, rule)
        if (!is_rule(rule))
            return faulty(p, "this is no recorded request: rule %zu of it lacks something that every rule reads", i + 1);
    return 0;
}

static int take_line(struct replay *p, const char *text, size_t n, void (*use)(struct replay *p, const json_t *line))
{
    json_error_t e;
    p->n_line++;
    if (text[n - 1] != '\n')
        return faulty(p, "the recording ends in the middle of this line: it was cut off; delete the line to replay the rest");
    json_t *line = json_loadb(text, n, 0, &e);
    int rc = line ? 0 : faulty(p, "this is not JSON: %s, column %d", e.text, e.column);
    if (line && p->n_line == 1)
        rc = take_head(p, line);
    else if (line)
        rc = check_request(p, line);
    if (rc == 0 && use && p->n_line > 1)
        use(p, line);
    json_decref(line);
    return rc;
}

static int read_file(struct replay *p, void (*use)(struct replay *p, const json_t *line))
{
    FILE *in = fopen(p->path, "re");
    char *text = NULL;
    size_t room = 0;
    ssize_t n;
    int rc = 0;
    struct stat info;
    if (!in)
        return cmd_fail("%s: %s", p->path, strerror(errno)), -1;
    if (fstat(fileno(in), &info) < 0 || !S_ISREG(info.st_mode)) {
        fclose(in);
        return cmd_fail("%s: it is no file that can be read twice", p->path), -1;
    }
    p->n_line = 0;
    while (rc == 0 && (n = getline(&text, &room, in)) > 0)
        rc = take_line(p, text, (size_t)n, use);
    if (rc == 0 && ferror(in))
        rc = (cmd_fail("%s: it can't be read", p->path), -1);
    if (rc == 0 && !p->n_line)
        p->n_line = 1, rc = faulty(p, "the file is empty: a recording has at least its head");
    free(text);
    fclose(in);
    return rc;
}

/* ---- one request again ---- */

static const char *file_of(const json_t *rule)
{
    const char *file = json_string_value(json_object_get(json_object_get(rule, "settings"), "file"));
    const char *slash = file ? strrchr(file, '/') : NULL;
    return slash ? slash + 1 : file ? file : "";
}

/* Which of the request's rules the new version stands for; NULL: none, or nobody knows. */
static const json_t *choose_rule(const struct replay *p, const json_t *rules)
{
    const char *slash = strrchr(p->policy, '/'), *own = slash ? slash + 1 : p->policy;
    const char *wanted = p->instead ? p->instead : own;
    const json_t *rule;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)rules, i, rule)
        if (strcmp(file_of(rule), wanted) == 0)
            return rule;
    return !p->instead && json_array_size(rules) == 1 ? json_array_get(rules, 0) : NULL;
}

static json_t *targets_of(const json_t *rule)
{
    json_t *targets = json_array(), *v;
    const char *name;
    size_t i;
    json_array_foreach(json_object_get(rule, "candidates"), i, v)
        json_array_append_new(targets, json_pack("{s:O}", "name", json_object_get(v, "name")));
    json_object_foreach(json_object_get(rule, "named"), name, v)
        if (json_is_object(v) && json_string_length(json_object_get(v, "name")))
            json_array_append_new(targets, json_pack("{s:O}", "name", json_object_get(v, "name")));
    if (!json_array_size(targets))
        json_array_append_new(targets, json_pack("{s:s}", "name", "none/none"));
    return targets;
}

static json_t *settings_of(const struct replay *p, const json_t *rule)
{
    json_t *settings = json_deep_copy(json_object_get(rule, "settings"));
    json_object_set_new(settings, "file", json_string(p->policy_file));
    json_object_del(settings, "shadow");
    return settings;
}

static const struct plugin *stage_named(const char *name)
{
    for (const struct plugin *s = plugin_first(); s; s = s->next)
        if (s->stage.read_test && strcmp(s->desc.name, name) == 0)
            return s;
    return NULL;
}

struct turn {
    const struct replay *replay;
    const json_t *rule;
};

/* In a process of its own: {"replayed": …} as the last line. */
static bool decide(void *arg, FILE *out)
{
    const struct turn *t = arg;
    struct recording_player player = { .rule = t->rule, .has_contents = t->replay->has_contents };
    double now = (double)json_integer_value(json_object_get(t->rule, "now_ms")) / 1000;
    json_t *given = json_pack("{s:o, s:f, s:O, s:{s:s}}", "targets", targets_of(t->rule), "now", now, "secrets",
                              json_object_get(t->rule, "secrets"), "request", "text", "x");
    struct rehearsal_case c = { .stage = stage_named(json_string_value(json_object_get(t->rule, "stage"))),
                                .dialect = t->replay->dialect, .settings = settings_of(t->replay, t->rule), .given = given,
                                .out = out, .fetched = recording_player_fetch };
    if (!c.stage) {
        fprintf(out, "no plugin here is the stage that was recorded\n");
        return false;
    }
    recording_player = &player;
    rehearsal_case_run(&c);
    if (!player.decision)
        return false;
    json_t *told = json_pack("{s:O, s:s}", "replayed", player.decision, "undecidable", player.undecidable);
    char *text = json_dumps(told, JSON_COMPACT);
    fprintf(out, "\n%s\n", text ? text : "");
    return text != NULL;
}

/* What the child found; NULL: nothing, and `told` says why. */
static json_t *ask(const struct replay *p, const json_t *rule, struct weir_out *told)
{
    struct turn t = { p, rule };
    bool is_well = cmd_run_apart(decide, &t, told);
    out_write(told, (struct weir_str){ "", 1 });
    const char *text = out_bytes(told).p, *last = NULL;
    for (const char *at = text; at && (at = strstr(at, "\n{\"replayed\":")); at++)
        last = at + 1;
    return is_well && last ? json_loads(last, JSON_DISABLE_EOF_CHECK, NULL) : NULL;
}

/* ---- what it would have meant ---- */

static const json_t *candidate_of(const json_t *rule, const char *name)
{
    const json_t *v;
    size_t i;
    json_array_foreach(json_object_get(rule, "candidates"), i, v)
        if (strcmp(json_string_value(json_object_get(v, "name")), name) == 0)
            return v;
    return json_object_get(json_object_get(rule, "named"), name);
}

/* The first of a route that was healthy, else its first; NULL: nobody is asked. */
static const json_t *expected(const json_t *rule, const json_t *decision)
{
    const json_t *route = json_object_get(decision, "route"), *name, *first = NULL;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)route, i, name) {
        const json_t *v = json_is_string(name) ? candidate_of(rule, json_string_value(name)) : NULL;
        first = first ? first : v;
        if (json_integer_value(json_object_get(v, "healthy")))
            return v;
    }
    return first;
}

/* USD; -1: not known. */
static double cost_of(const json_t *line, const json_t *candidate)
{
    const json_t *usage = json_object_get(json_object_get(line, "outcome"), "tokens");
    const json_t *in = json_object_get(usage, "input"), *out = json_object_get(usage, "output");
    double price_in = json_number_value(json_object_get(candidate, "price_input"));
    double price_out = json_number_value(json_object_get(candidate, "price_output"));
    if (!candidate)
        return 0; /* denied, or answered by the rule */
    if (!json_is_integer(in) || !json_is_integer(out) || price_in < 0 || price_out < 0)
        return -1;
    return ((double)json_integer_value(in) * price_in + (double)json_integer_value(out) * price_out) / 1e6;
}

static double latency_of(const json_t *candidate)
{
    return (double)json_integer_value(json_object_get(candidate, "latency_ms")) / 1000;
}

static void count_target(json_t *counts, const json_t *candidate)
{
    const char *name = json_string_value(json_object_get(candidate, "name"));
    if (name)
        json_object_set_new(counts, name, json_integer(json_integer_value(json_object_get(counts, name)) + 1));
}

static void weigh(struct replay *p, const json_t *line, const json_t *rule, const json_t *const decisions[2])
{
    const json_t *who[2];
    double cost[2], latency[2];
    for (int i = 0; i < 2; i++) {
        who[i] = expected(rule, decisions[i]);
        cost[i] = cost_of(line, who[i]);
        latency[i] = latency_of(who[i]);
        p->denials[i] += json_object_get(decisions[i], "denied") != NULL;
        p->copies[i] += (int)json_array_size(json_object_get(decisions[i], "copies"));
        count_target(p->targets[i], who[i]);
    }
    bool is_cost_known = cost[0] >= 0 && cost[1] >= 0, is_latency_known = latency[0] > 0 && latency[1] > 0;
    p->n_cost += is_cost_known;
    p->n_latency += is_latency_known;
    for (int i = 0; i < 2; i++) {
        p->cost[i] += is_cost_known ? cost[i] : 0;
        p->latency_s[i] += is_latency_known ? latency[i] : 0;
    }
}

static void add_undecidable(struct replay *p, const json_t *id, const char *why)
{
    json_array_append_new(p->undecidable, json_pack("{s:i, s:O, s:s}", "line", p->n_line, "id", id, "lacks", why));
}

static void replay_rule(struct replay *p, const json_t *line, const json_t *rule)
{
    struct weir_out told = { 0 };
    json_t *found = ask(p, rule, &told);
    const json_t *id = json_object_get(rule, "id");
    const char *lacks = json_string_value(json_object_get(found, "undecidable"));
    const json_t *decisions[2] = { json_object_get(rule, "decision"), json_object_get(found, "replayed") };
    if (!found) {
        if (!p->n_failed++)
            fprintf(stderr, "weir: %s:%d: the rule could not be run:\n%s", p->path, p->n_line, out_bytes(&told).p);
        add_undecidable(p, id, "a rule that can be run; stderr says why it can't");
    } else if (lacks && *lacks) {
        add_undecidable(p, id, lacks);
    } else {
        weigh(p, line, rule, decisions);
        p->same += json_equal(decisions[0], decisions[1]);
        if (!json_equal(decisions[0], decisions[1]))
            json_array_append_new(p->changed, json_pack("{s:i, s:O, s:O, s:O}", "line", p->n_line, "id", id, "before", decisions[0],
                                                        "after", decisions[1]));
    }
    json_decref(found);
    out_free(&told);
}

static void replay_request(struct replay *p, const json_t *line)
{
    const json_t *rules = json_object_get(line, "rules"), *rule = choose_rule(p, rules);
    const json_t *id = json_object_get(json_array_get(rules, 0), "id");
    if (p->n_failed >= FAILED_MOST)
        return;
    p->requests++;
    if (!rule)
        add_undecidable(p, id, "a rule that the new version stands for: name its file with --instead-of");
    else if (!json_is_object(json_object_get(rule, "settings")))
        add_undecidable(p, id, "the rule's settings: one of them looks like a secret; write it as env:NAME and record again");
    else
        replay_rule(p, line, rule);
}

/* ---- telling ---- */

static void print_decision(const json_t *d)
{
    const json_t *name;
    size_t i;
    if (json_object_get(d, "denied"))
        printf("denied %lld %s", (long long)json_integer_value(json_object_get(d, "status")),
               json_string_value(json_object_get(d, "denied")));
    else if (json_object_get(d, "answered"))
        printf("answered by the rule");
    else if (!json_array_size(json_object_get(d, "route")))
        printf("no target");
    json_array_foreach(json_object_get(d, "route"), i, name)
        printf("%s%s", i ? ", " : "", json_string_value(name));
    json_array_foreach(json_object_get(d, "copies"), i, name)
        printf(", a copy to %s", json_string_value(name));
}

static void print_targets(const struct replay *p)
{
    json_t *all = json_copy(p->targets[0]), *v;
    const char *name;
    json_object_update(all, p->targets[1]);
    json_object_foreach(all, name, v)
        printf("  %s: %lld, then %lld\n", name, (long long)json_integer_value(json_object_get(p->targets[0], name)),
               (long long)json_integer_value(json_object_get(p->targets[1], name)));
    json_decref(all);
}

static void print_text(const struct replay *p)
{
    const json_t *v;
    size_t i;
    int decided = p->requests - (int)json_array_size(p->undecidable);
    printf("%d requests: %d the same, %zu changed, %zu undecidable\n", p->requests, p->same, json_array_size(p->changed),
           json_array_size(p->undecidable));
    json_array_foreach(p->changed, i, v) {
        printf("changed %s: ", json_string_value(json_object_get(v, "id")));
        print_decision(json_object_get(v, "before"));
        printf(" -> ");
        print_decision(json_object_get(v, "after"));
        printf("\n");
    }
    json_array_foreach(p->undecidable, i, v)
        printf("undecidable %s: the recording lacks %s\n", json_string_value(json_object_get(v, "id")),
               json_string_value(json_object_get(v, "lacks")));
    if (!decided)
        return;
    printf("denied: %d, then %d\nfirst targets:\n", p->denials[0], p->denials[1]);
    print_targets(p);
    if (p->copies[0] || p->copies[1])
        printf("copies: %d, then %d (not in the cost)\n", p->copies[0], p->copies[1]);
    printf("cost: %.6f USD, then %.6f USD (%d of %d requests)\n", p->cost[0], p->cost[1], p->n_cost, decided);
    if (p->n_latency)
        printf("expected first token: %.3f s, then %.3f s (%d of %d requests)\n", p->latency_s[0] / p->n_latency,
               p->latency_s[1] / p->n_latency, p->n_latency, decided);
}

static void print_json(const struct replay *p)
{
    json_t *all = json_pack("{s:i, s:i, s:O, s:O, s:[i, i], s:[O, O]}", "requests", p->requests, "same", p->same, "changed",
                            p->changed, "undecidable", p->undecidable, "denied", p->denials[0], p->denials[1], "first_targets",
                            p->targets[0], p->targets[1]);
    json_object_set_new(all, "cost", json_pack("{s:[f, f], s:i}", "usd", p->cost[0], p->cost[1], "requests", p->n_cost));
    json_object_set_new(all, "copies", json_pack("[i, i]", p->copies[0], p->copies[1]));
    int n = p->n_latency ? p->n_latency : 1;
    json_object_set_new(all, "expected_first_token",
                        json_pack("{s:[f, f], s:i}", "s", p->latency_s[0] / n, p->latency_s[1] / n, "requests", p->n_latency));
    json_dumpf(all, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
    printf("\n");
    json_decref(all);
}

/* ---- the command ---- */

static int replay_all(struct replay *p, bool wants_json)
{
    if (read_file(p, NULL) < 0 || read_file(p, replay_request) < 0)
        return CMD_FAILED;
    if (p->n_failed >= FAILED_MOST)
        return cmd_fail("%s could not be run for %d requests: given up", p->policy, FAILED_MOST);
    if (wants_json)
        print_json(p);
    else
        print_text(p);
    return json_array_size(p->changed) ? REPLAY_CHANGED : json_array_size(p->undecidable) ? REPLAY_UNDECIDABLE : CMD_OK;
}

static int run_replay(const struct cmd_line *line)
{
    struct replay p = { .path = line->words[0], .policy = line->options[OPTION_POLICY], .instead = line->options[OPTION_INSTEAD] };
    if (!p.policy)
        return cmd_fail("which rules? weir replay --policy NEW.lua FILE"), CMD_USAGE;
    p.policy_file = realpath(p.policy, NULL);
    if (!p.policy_file)
        return cmd_fail("%s: %s", p.policy, strerror(errno));
    cmd_open_plugins(line->options[OPTION_PLUGIN]);
    p.dialect = cmd_choose_dialect();
    if (!p.dialect)
        return cmd_fail("no provider plugin with both sides is in %s/providers: a replay needs one", config_plugin_dir());
    p.changed = json_array();
    p.undecidable = json_array();
    p.targets[0] = json_object();
    p.targets[1] = json_object();
    int code = replay_all(&p, line->options[OPTION_JSON] != NULL);
    json_decref(p.changed);
    json_decref(p.undecidable);
    json_decref(p.targets[0]);
    json_decref(p.targets[1]);
    free(p.policy_file);
    return code;
}

const struct command cmd_replay = {
    .name = "replay",
    .words = "FILE",
    .min_words = 1,
    .max_words = 1,
    .summary = "Has another version of a rule decide recorded requests, and says what changes",
    .text = "FILE is what `weir record` made. Nothing leaves this machine. Exit code: 0 nothing would change; 1 it can't be done;\n"
            "3 something would change; 4 nothing would, as far as the recording tells, but it lacks what some requests need.",
    .options = { { "policy", 'p', "FILE.lua", "the new version; files that it reads lie beside it" },
                 { "instead-of", 'i', "NAME.lua", "whose place it takes, where a request passes several [the same name, or the only one]" },
                 { "json", 'j', NULL, "the result as JSON" },
                 { "plugin", 0, "FILE.so", "another stage (a pattern is possible)" } },
    .run = run_replay,
};
