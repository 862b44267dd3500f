/* A stage written with SDK 1.0: settings, blocks, an attribute, a note, a header, a counter, a denial, an own answer, a wait. */
#include <stdlib.h>
#include <weir/plugin.h>

struct settings {
    const char *word;
    int64_t count;
    bool is_on;
    const char *const *list;
    const char *json;
};

struct stage {
    const struct weir_host *host;
    struct weir_instance *inst;
    const struct settings *settings;
    int attribute, seen;
};

struct request {
    uint32_t opened, events;
};

struct waiting {
    struct stage *stage;
    weir_token token;
};

static enum weir_verdict on_open(void *self, struct weir_call *call)
{
    struct stage *s = self;
    struct request *r = s->host->request_block(call);
    r->opened++;
    s->host->count(s->inst, s->seen, 1);
    s->host->set_attribute(call, s->attribute, s->host->header(call, WEIR_LIT("x-abi")));
    s->host->set_response_header(call, WEIR_LIT("x-abi-word"), weir_cstr(s->settings->word));
    return WEIR_NEXT;
}

static void wake(void *arg)
{
    struct waiting *w = arg;
    struct weir_call *call = w->stage->host->waiting(w->stage->inst, w->token);
    if (call)
        w->stage->host->note(call, "abi", WEIR_LIT("waited"));
    w->stage->host->resume(w->stage->inst, w->token, WEIR_NEXT);
}

static enum weir_verdict wait(struct stage *s, struct weir_call *call)
{
    struct waiting *w = s->host->alloc(call, WEIR_FOR_REQUEST, sizeof *w);
    if (!w)
        return WEIR_NEXT;
    w->stage = s;
    w->token = s->host->suspend(call, "a moment", NULL, NULL);
    s->host->defer(s->inst, wake, w);
    return WEIR_WAIT;
}

static enum weir_verdict on_request(void *self, struct weir_call *call)
{
    struct stage *s = self;
    struct weir_str wish = s->host->get_attribute(call, s->attribute);
    const struct weir_conversation *c = s->host->conversation(call);
    if (!c || c->operation != WEIR_OP_CHAT)
        return WEIR_NEXT;
    if (weir_is(wish, "deny")) {
        struct weir_error e = { .size = sizeof e, .error_class = WEIR_ERROR_PERMISSION, .code = WEIR_LIT("abi_denied"),
                                .message = WEIR_LIT("Denied by a stage of SDK 1.0.") };
        return s->host->fail(call, &e);
    }
    if (weir_is(wish, "answer"))
        return s->host->answer_text(call, WEIR_LIT("answered by a stage of SDK 1.0")) == 0 ? WEIR_DONE : WEIR_NEXT;
    return weir_is(wish, "wait") ? wait(s, call) : WEIR_NEXT;
}

static enum weir_verdict on_event(void *self, struct weir_call *call, const struct weir_event *event)
{
    struct stage *s = self;
    struct request *r = s->host->request_block(call);
    r->events += event->kind == WEIR_EVENT_DELTA && event->text.n > 0;
    return WEIR_NEXT;
}

static void on_finish(void *self, struct weir_call *call)
{
    struct stage *s = self;
    struct request *r = s->host->request_block(call);
    s->host->note(call, "abi_opened", s->host->format(call, "%u", r->opened));
}

static int create(const struct weir_host *host, struct weir_instance *inst, const void *config, void **self)
{
    struct stage *s = calloc(1, sizeof *s);
    if (!s || host->abi_major != 1 || host->size < sizeof(struct weir_host))
        return -1;
    *s = (struct stage){ .host = host, .inst = inst, .settings = config };
    s->attribute = host->attribute(inst, "abi.wish");
    s->seen = host->counter(inst, "abi_seen_total", "");
    *self = s;
    bool is_read = strcmp(s->settings->json, "{\"a\":[1,true]}") == 0 && s->settings->count == 7 && s->settings->is_on &&
                   s->settings->list[0] && strcmp(s->settings->list[1], "two") == 0 && !s->settings->list[2];
    if (!is_read)
        host->log(inst, WEIR_LOG_ERROR, "the settings are not what the configuration says");
    return is_read ? 0 : -1;
}

static void destroy(void *self)
{
    free(self);
}

static const struct weir_option options[] = {
    { "word", WEIR_OPTION_STRING, 0, offsetof(struct settings, word), "fallback", 0, 0, NULL, "A word." },
    { "count", WEIR_OPTION_INT, WEIR_OPTION_REQUIRED, offsetof(struct settings, count), NULL, 1, 9, NULL, "A number." },
    { "is_on", WEIR_OPTION_BOOL, 0, offsetof(struct settings, is_on), "true", 0, 0, NULL, "A switch." },
    { "list", WEIR_OPTION_LIST, 0, offsetof(struct settings, list), NULL, 0, 0, NULL, "Some words." },
    { "json", WEIR_OPTION_JSON, 0, offsetof(struct settings, json), NULL, 0, 0, NULL, "Anything." },
    WEIR_OPTIONS_END,
};

static const struct weir_stage_ops ops = {
    .size = sizeof ops,
    .event_kinds = 1u << WEIR_EVENT_DELTA,
    .request_size = sizeof(struct request),
    .create = create,
    .destroy = destroy,
    .on_open = on_open,
    .on_request = on_request,
    .on_event = on_event,
    .on_finish = on_finish,
};

WEIR_PLUGIN = {
    WEIR_HEAD(WEIR_KIND_STAGE),
    .name = "abi-stage",
    .version = "1.0.0",
    .summary = "Built with SDK 1.0",
    .options = options,
    .config_size = sizeof(struct settings),
    .stage = &ops,
};
WEIR_NOTE(WEIR_KIND_STAGE);
