"""A stage that misbehaves as a header asks: `x-hostile: HOOK-WHAT`, e.g. on_request-crash. `x-principal` sets the principal."""
from harness import compile_plugin

SOURCE = r"""
#include <weir/plugin.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static const struct weir_host *host;
struct options { const char *on_create; };
static const struct weir_option options[] = {
    { "on_create", WEIR_OPTION_STRING, 0, offsetof(struct options, on_create), "", 0, 0, NULL, "what create() does" },
    WEIR_OPTIONS_END };

static int deep(volatile int n)
{
    volatile char room[4096];
    room[n % 4096] = (char)n;
    return n < 0 ? 0 : deep(n + 1) + room[n % 4096];
}

static void act(struct weir_str what)
{
    if (weir_is(what, "crash")) *(volatile int *)8 = 1;
    if (weir_is(what, "abort")) abort();
    if (weir_is(what, "trap")) __builtin_trap();
    if (weir_is(what, "fpe")) raise(SIGFPE);
    if (weir_is(what, "exit")) exit(0);
    if (weir_is(what, "exit3")) _exit(3);
    if (weir_is(what, "stack")) deep(1);
    if (weir_is(what, "closeall")) close_range(3, ~0u, 0);
    if (weir_is(what, "hang")) for (volatile int i = 0;;) (void)i;
    if (weir_is(what, "pause")) usleep(600000);
}

static void maybe(struct weir_call *call, const char *hook)
{
    struct weir_str wish = host->header(call, WEIR_LIT("x-hostile"));
    size_t n = strlen(hook);
    if (wish.n > n && memcmp(wish.p, hook, n) == 0 && wish.p[n] == '-')
        act((struct weir_str){ wish.p + n + 1, wish.n - n - 1 });
}

static int create(const struct weir_host *h, struct weir_instance *inst, const void *config, void **self)
{
    const struct options *o = config;
    (void)self;
    host = h;
    if (weir_is(weir_cstr(o->on_create), "fail")) {
        host->log(inst, WEIR_LOG_ERROR, "I do not want to");
        return -1;
    }
    act(weir_cstr(o->on_create));
    return 0;
}
static enum weir_verdict on_open(void *self, struct weir_call *call)
{
    (void)self;
    struct weir_principal p = { .size = sizeof p, .name = host->header(call, WEIR_LIT("x-principal")) };
    if (p.name.n)
        host->set_principal(call, &p);
    maybe(call, "on_open");
    return WEIR_NEXT;
}
static enum weir_verdict on_request(void *self, struct weir_call *call) { (void)self; maybe(call, "on_request"); return WEIR_NEXT; }
static enum weir_verdict on_attempt(void *self, struct weir_call *call) { (void)self; maybe(call, "on_attempt"); return WEIR_NEXT; }
static enum weir_verdict on_head(void *self, struct weir_call *call) { (void)self; maybe(call, "on_head"); return WEIR_NEXT; }
static enum weir_verdict on_event(void *self, struct weir_call *call, const struct weir_event *event)
{
    (void)self; (void)event;
    maybe(call, "on_event");
    return WEIR_NEXT;
}
static void on_attempt_done(void *self, struct weir_call *call) { (void)self; maybe(call, "on_attempt_done"); }
static void on_finish(void *self, struct weir_call *call) { (void)self; maybe(call, "on_finish"); }

static const struct weir_stage_ops ops = { .size = sizeof ops, .flags = WEIR_STAGE_SETS_PRINCIPAL, .create = create,
    .on_open = on_open, .on_request = on_request, .on_attempt = on_attempt, .on_head = on_head, .on_event = on_event,
    .on_attempt_done = on_attempt_done, .on_finish = on_finish };
WEIR_PLUGIN = { WEIR_HEAD(WEIR_KIND_STAGE), .name = "hostile", .version = "6.6.6", .summary = "Misbehaves on demand.",
    .options = options, .config_size = sizeof(struct options), .stage = &ops };
WEIR_NOTE(WEIR_KIND_STAGE);
"""


def plugin():
    return compile_plugin("hostile", SOURCE)


def hostile_config(upstream, **more):
    """config() with the hostile stage at the entry."""
    from harness import config
    options = more.pop("options", {})
    return config(upstream, plugins=[plugin()], entry=[{"hostile": options} if options else "hostile"], **more)
