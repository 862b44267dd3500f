/* `weir models --probe NAME`: one small request to a model with the configured key, on the very way that requests take: a worker
 * of its own with this configuration, without its stages and routes, behind a unix socket that only we may open. The question is
 * written, and the answer read, by the codec of the provider's own dialect (or, if that is no front door, of another's).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "cmd.h"
#include "json.h"
#include "lone_worker.h"
#include "scratch.h"
#include "text.h"
#include "verify_lab.h"
#include "worker.h"

enum { SHOWN_MAX = 2000 };

struct probe {
    struct lone_worker worker;
    const char *name, *method, *path; /* of the front door */
    const struct plugin *door;
    struct arena *arena;
    struct weir_out body;
    struct weir_out answer;
    double ms;
};

/* ---- the worker ---- */

static void adapt(struct config *c)
{
    static struct config_route route;
    static struct config_route *routes[] = { &route };
    route = (struct config_route){ .name = "probe", .is_open = true };
    memset(&route.timeouts, 0xff, sizeof route.timeouts);
    c->n_entry = 0;
    c->routes = routes;
    c->n_routes = 1;
    c->n_keys = 0;
    c->log_level = 1;
    c->keepalive_first_ms = 0;
}

/* ---- the question ---- */

static bool is_door(const struct plugin *p)
{
    return p->desc.head.kind == WEIR_KIND_CODEC && p->codec.claims && p->codec.decode_request &&
           p->codec.encode_request;
}

static const struct plugin *choose_door(const struct config_provider *provider)
{
    if (is_door(provider->codec))
        return provider->codec;
    for (const struct plugin *p = plugin_first(); p; p = p->next)
        if (is_door(p))
            return p;
    return NULL;
}

static const struct weir_claim *chat_claim(const struct plugin *p)
{
    for (const struct weir_claim *c = p->codec.claims; c->method; c++)
        if (c->operation == WEIR_OP_CHAT && !c->header)
            return c;
    return NULL;
}

/* "/v1beta/models/" and a star and ":generateContent" with the name in the star's place. */
static const char *path_of(struct probe *p, const struct weir_claim *claim)
{
    const char *star = strchr(claim->path, '*');
    if (!star)
        return claim->path;
    return arena_printf(p->arena, "%.*s%s%s", (int)(star - claim->path), claim->path, p->name, star + 1).p;
}

static int write_question(struct probe *p)
{
    const char *why = "";
    const struct weir_claim *claim = chat_claim(p->door);
    struct weir_str text =
        arena_printf(p->arena,
                     "{\"fields\":{\"model\":\"%s\",\"max_tokens\":64},\"messages\":[{\"role\":\"user\","
                     "\"parts\":[{\"kind\":\"text\",\"text\":\"Answer with the word OK.\"}]}]}",
                     p->name);
    struct conversation *c = parse_conversation(p->arena, "probe", text, &why);
    struct lab *lab = c ? lab_new(p->door, lab_codec(p->door), LAB_EGRESS) : NULL;
    int rc = lab && claim ? lab_encode_request(lab, c, &p->body) : -1;
    if (rc >= 0)
        p->path = path_of(p, claim);
    lab_free(lab);
    return rc < 0 || !p->path ? cmd_fail("the question can't be written: %s", why) : 0;
}

/* ---- over the wire ---- */

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static int exchange(struct probe *p)
{
    struct weir_str body = out_bytes(&p->body);
    struct weir_str question =
        arena_printf(p->arena,
                     "POST %s HTTP/1.1\r\nHost: probe\r\nConnection: close\r\nContent-Type: application/json\r\n"
                     "Content-Length: %zu\r\n\r\n%.*s",
                     p->path, body.n, (int)body.n, body.p);
    double from = now_ms();
    if (lone_worker_ask(&p->worker, question, &p->answer))
        return CMD_FAILED;
    p->ms = now_ms() - from;
    return 0;
}

/* ---- the answer ---- */

static struct weir_str header_of(const char *head, const char *name)
{
    size_t n = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line && strncmp(line, "\r\n\r\n", 4) != 0;
         line = strstr(line + 2, "\r\n"))
        if (strncasecmp(line + 2, name, n) == 0 && line[2 + n] == ':') {
            const char *value = line + 3 + n + strspn(line + 3 + n, " ");
            return (struct weir_str){ value, strcspn(value, "\r") };
        }
    return WEIR_NONE;
}

static void print_usage(const struct weir_usage *u)
{
    printf("tokens    %lld in, %lld out", (long long)u->input, (long long)u->output);
    if (u->reasoning > 0)
        printf(" (%lld of them thinking)", (long long)u->reasoning);
    if (u->cached_read > 0)
        printf(", %lld from the cache", (long long)u->cached_read);
    printf("\n");
}

static void print_events(const struct lab *l)
{
    const struct weir_usage *usage = NULL;
    bool has_text = false;
    for (const struct lab_event *e = l->events; e; e = e->next) {
        if (e->event.kind == WEIR_EVENT_START && e->event.name.n)
            printf("model     %.*s\n", (int)e->event.name.n, e->event.name.p);
        if (e->event.usage)
            usage = e->event.usage;
        if (e->event.kind != WEIR_EVENT_DELTA || e->event.delta_kind != WEIR_DELTA_TEXT || has_text)
            continue;
        struct weir_str text = text_decode(l->arena, &e->event.text);
        has_text = text.n > 0;
        if (has_text)
            printf("answer    %.*s\n", (int)(text.n < SHOWN_MAX ? text.n : SHOWN_MAX), text.p);
    }
    if (usage)
        print_usage(usage);
}

static int show_answer(const struct probe *p)
{
    const char *answer = out_bytes(&p->answer).p, *end = strstr(answer, "\r\n\r\n");
    size_t n = out_bytes(&p->answer).n;
    int status = n > 12 ? atoi(answer + 9) : 0;
    struct weir_str target = header_of(answer, "x-weir-target"), code = header_of(answer, "x-weir-error"),
                    losses = header_of(answer, "x-weir-loss");
    if (!end)
        return cmd_fail("the answer breaks off");
    struct weir_str body = { end + 4, n - (size_t)(end + 4 - answer) };
    printf("status    %d%s%.*s\ntime      %.0f ms\n", status, code.n ? " " : "", (int)code.n, code.n ? code.p : "",
           p->ms);
    if (target.n)
        printf("target    %.*s\n", (int)target.n, target.p);
    if (losses.n)
        printf("losses    %.*s\n", (int)losses.n, losses.p);
    struct lab *l = lab_new(p->door, lab_codec(p->door), LAB_EGRESS);
    struct lab_answer whole = { body, body.n, true, true };
    if (status == 200 && lab_decode_answer(l, &whole) == 0)
        print_events(l);
    else
        printf("answer    %.*s\n", (int)(body.n < SHOWN_MAX ? body.n : SHOWN_MAX), body.p);
    lab_free(l);
    return status == 200 ? CMD_OK : CMD_FAILED;
}

/* ---- */

static const struct config_provider *provider_of(const struct config *c, const char *name)
{
    const char *slash = strchr(name, '/');
    for (uint32_t i = 0; i < c->n_models; i++)
        if (config_matches(c->models[i]->name, weir_cstr(name)))
            return c->models[i]->targets[0].provider;
    for (uint32_t i = 0; slash && i < c->n_providers; i++)
        if (weir_is((struct weir_str){ name, (size_t)(slash - name) }, c->providers[i]->name))
            return c->providers[i];
    return NULL;
}

static int ask(struct probe *p, const char *config)
{
    struct worker_start start = { .config_path = config, .adapt = adapt };
    int rc = lone_worker_begin(&p->worker, &start) == 0 && exchange(p) == 0 ? show_answer(p) : CMD_FAILED;
    lone_worker_end(&p->worker);
    return rc;
}

static int probe(struct probe *p, const struct config *c, const char *config)
{
    const struct config_provider *provider = provider_of(c, p->name);
    if (!provider)
        return cmd_fail("\"%s\" is neither a configured model nor provider/model", p->name);
    if (provider->unavailable)
        return cmd_fail("%s can't be used: %s", provider->name, provider->unavailable);
    p->door = choose_door(provider);
    if (!p->door)
        return cmd_fail("no dialect of this configuration is a front door");
    return write_question(p) ? CMD_FAILED : ask(p, config);
}

int cmd_probe(const char *given_config, const char *name)
{
    struct probe p = { .name = name, .arena = arena_new() };
    const char *path = cmd_config_path(given_config);
    struct config *c = path && p.arena ? cmd_config_load(path, CONFIG_NORMAL, false) : NULL;
    if (strpbrk(name, "\"\\\r\n \t?#%"))
        return cmd_fail("\"%s\" is no name of a model", name);
    int rc = c ? probe(&p, c, path) : CMD_FAILED;
    out_free(&p.answer);
    out_free(&p.body);
    arena_free(p.arena);
    config_free(c);
    return rc;
}
