/* @NAME@: counts the words of answers, and refuses requests with more messages than allowed.
 *
 * A start to write your own from: settings, a block of memory per request, three hooks, a note in the request record.
 * <weir/plugin.h> says which hooks there are and what they may do, <weir/host.h> what a stage may ask of weir.
 */
#include <weir/plugin.h>

#include <stdlib.h>

/* What the configuration says; weir fills it from the table below. */
struct settings {
    int64_t max_messages;
    bool header;
};

/* This use of the stage in this worker. */
struct stage {
    const struct weir_host *host;
    struct weir_instance *inst;
    const struct settings *settings;
    int refused; /* a counter, shown at /metrics as weir_@ID@_refused_total */
};

/* This request: zeroed by weir when it begins, gone when it is over. */
struct request {
    uint32_t words;
    bool is_inside_word;
};

static enum weir_verdict on_request(void *self, struct weir_call *call)
{
    struct stage *s = self;
    const struct weir_conversation *c = s->host->conversation(call);
    if (!c || c->n_messages <= (uint64_t)s->settings->max_messages) {
        if (s->settings->header)
            s->host->set_response_header(call, WEIR_LIT("x-@NAME@"), WEIR_LIT("seen"));
        return WEIR_NEXT;
    }
    struct weir_error e = { .size = sizeof e, .error_class = WEIR_ERROR_BAD_REQUEST, .code = WEIR_LIT("too_many_messages") };
    e.message = s->host->format(call, "The request has %u messages, more than the %lld allowed here.", c->n_messages,
                                (long long)s->settings->max_messages);
    e.param = WEIR_LIT("messages");
    return s->host->fail(call, &e);
}

/* Only for the kinds of events that .event_kinds names. The event itself goes on unchanged. */
static enum weir_verdict on_event(void *self, struct weir_call *call, const struct weir_event *event)
{
    struct stage *s = self;
    struct request *r = s->host->request_block(call);
    if (event->delta_kind != WEIR_DELTA_TEXT)
        return WEIR_NEXT;
    struct weir_str text = s->host->text(call, &event->text);
    for (size_t i = 0; i < text.n; i++) {
        bool is_space = text.p[i] == ' ' || text.p[i] == '\n' || text.p[i] == '\t';
        r->words += !is_space && !r->is_inside_word;
        r->is_inside_word = !is_space;
    }
    return WEIR_NEXT;
}

/* Exactly once for every request that entered this stage, whatever happened to it. */
static void on_finish(void *self, struct weir_call *call)
{
    struct stage *s = self;
    const struct request *r = s->host->request_block(call);
    const struct weir_error *outcome = s->host->outcome(call);
    if (outcome && weir_is(outcome->code, "too_many_messages"))
        s->host->count(s->inst, s->refused, 1);
    if (r && r->words > 0)
        s->host->note(call, "words", s->host->format(call, "%u", r->words));
}

static int create(const struct weir_host *host, struct weir_instance *inst, const void *config, void **self)
{
    struct stage *s = calloc(1, sizeof *s);
    if (!s) {
        host->log(inst, WEIR_LOG_ERROR, "@NAME@: out of memory");
        return -1;
    }
    *s = (struct stage){ .host = host, .inst = inst, .settings = config };
    s->refused = host->counter(inst, "@ID@_refused_total", "");
    *self = s;
    return 0;
}

static void destroy(void *self)
{
    free(self);
}

static const struct weir_option options[] = {
    { "max_messages", WEIR_OPTION_INT, 0, offsetof(struct settings, max_messages), "100", 1, 100000, NULL,
      "A request with more messages is refused." },
    { "header", WEIR_OPTION_BOOL, 0, offsetof(struct settings, header), "true", 0, 0, NULL,
      "Add the header x-@NAME@ to answers." },
    WEIR_OPTIONS_END,
};

static const struct weir_stage_ops ops = {
    .size = sizeof ops,
    .event_kinds = 1u << WEIR_EVENT_DELTA,
    .request_size = sizeof(struct request),
    .create = create,
    .destroy = destroy,
    .on_request = on_request,
    .on_event = on_event,
    .on_finish = on_finish,
};

WEIR_PLUGIN = {
    WEIR_HEAD(WEIR_KIND_STAGE),
    .name = "@NAME@",
    .version = "0.1.0",
    .summary = "Counts the words of answers, and refuses requests with too many messages",
    .options = options,
    .config_size = sizeof(struct settings),
    .stage = &ops,
};
WEIR_NOTE(WEIR_KIND_STAGE);
