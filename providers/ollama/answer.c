/* Events become the client's answer: lines, the last of which says done, or one document. A tool call is told whole, when it has
 * ended; what was heard of it until then is the request's. */
#include "answer.h"

struct telling {
    struct ollama o;
    struct ollama_client *client;
    struct weir_out *out;
};

static void put(struct telling *t, struct weir_str bytes)
{
    t->o.host->write(t->out, bytes);
}

/* ---- the head of a line ---- */

/* Unix time -> "2026-08-07T06:08:07Z" */
struct weir_str ollama_time(struct ollama *o, int64_t s)
{
    int64_t days = s / 86400, of_day = s % 86400;
    int64_t z = days + 719468, era = z / 146097, of_era = z - era * 146097;
    int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t mp = (5 * of_year + 2) / 153, d = of_year - (153 * mp + 2) / 5 + 1, m = mp < 10 ? mp + 3 : mp - 9;
    int64_t y = year_of_era + era * 400 + (m <= 2);
    return o->host->format(o->call, "%04lld-%02lld-%02lldT%02lld:%02lld:%02lldZ", (long long)y, (long long)m,
                           (long long)d, (long long)(of_day / 3600), (long long)(of_day / 60 % 60),
                           (long long)(of_day % 60));
}

/* `"model":…,"created_at":…` */
void ollama_put_head(struct ollama *o, struct weir_out *out, struct weir_str model, int64_t created_s)
{
    o->host->write(out, WEIR_LIT("\"model\":"));
    o->json->put_str(out, model);
    o->host->write(out, WEIR_LIT(",\"created_at\":"));
    bool is_said = created_s > 0 && created_s < INT64_C(253402300800); /* year 10000 */
    o->json->put_str(out, ollama_time(o, is_said ? created_s : o->host->now_ms() / 1000));
}

static int tell_start(struct telling *t, const struct weir_event *e)
{
    struct weir_out *out = t->o.host->out(t->o.call);
    if (!out)
        return -1;
    ollama_put_head(&t->o, out, e->name, e->created_s);
    t->client->head = t->o.host->keep(t->o.call, t->o.host->out_bytes(out));
    t->client->usage = WEIR_USAGE_UNKNOWN;
    return t->client->head.n ? 0 : -1;
}

static void line_begin(struct telling *t)
{
    put(t, WEIR_LIT("{"));
    put(t, t->client->head);
    put(t, WEIR_LIT(",\"message\":{\"role\":\"assistant\",\"content\":"));
}

/* ---- words ---- */

static void put_words(struct telling *t, const struct weir_event *e)
{
    bool is_thought = e->block_kind == WEIR_BLOCK_THINKING;
    line_begin(t);
    if (is_thought)
        put(t, WEIR_LIT("\"\",\"thinking\":"));
    t->o.json->put_text(t->out, &e->text);
    put(t, WEIR_LIT("},\"done\":false}\n"));
}

/* Raw JSON in one line, as the framing demands: its line ends are only white space. */
static void put_raw_line(struct telling *t, struct weir_text raw)
{
    while (raw.n) {
        uint32_t n = 0;
        while (n < raw.n && raw.p[n] != '\n' && raw.p[n] != '\r')
            n++;
        put(t, (struct weir_str){ raw.p, n });
        n += n < raw.n;
        raw.p += n;
        raw.n -= n;
    }
}

static void put_logprobs(struct telling *t, const struct weir_event *e)
{
    if (!weir_is_logprob(t->o.json, t->o.call, t->o.host->text(t->o.call, &e->text))) {
        t->o.host->lose(t->o.call, WEIR_FEATURE_ANSWER_LOGPROBS, WEIR_LOSS_DROPPED, "of another dialect");
        return;
    }
    line_begin(t);
    put(t, WEIR_LIT("\"\"},\"done\":false,\"logprobs\":["));
    put_raw_line(t, e->text);
    put(t, WEIR_LIT("]}\n"));
}

/* ---- calls ---- */

static struct ollama_told *told_call(struct telling *t, uint32_t block)
{
    struct ollama_told *c = t->client->calls;
    while (c && c->block != block)
        c = c->next;
    return c;
}

static int begin_call(struct telling *t, const struct weir_event *e)
{
    struct ollama_client *s = t->client;
    struct ollama_told *c = t->o.host->alloc(t->o.call, WEIR_FOR_REQUEST, sizeof(*c));
    if (!c)
        return -1;
    *c = (struct ollama_told){ .next = s->calls, .block = e->block };
    c->call = (struct ollama_call){ .index = s->n_calls++, .thought = s->thought };
    c->call.id = t->o.host->keep(t->o.call, e->id);
    c->call.name = t->o.host->keep(t->o.call, e->name);
    s->thought = (struct ollama_signed){ WEIR_NONE, WEIR_NONE };
    s->calls = c;
    return 0;
}

static int add_arguments(struct telling *t, struct ollama_told *c, const struct weir_text *text)
{
    struct weir_str more = t->o.host->text(t->o.call, text);
    if (!more.n)
        return 0;
    if (more.n > c->cap - c->n) {
        size_t cap = 2 * ((size_t)c->n + more.n);
        char *room = cap < UINT32_MAX ? t->o.host->alloc(t->o.call, WEIR_FOR_REQUEST, cap) : NULL;
        if (!room)
            return -1;
        if (c->n)
            memcpy(room, c->arguments, c->n);
        c->arguments = room;
        c->cap = (uint32_t)cap;
    }
    memcpy(c->arguments + c->n, more.p, more.n);
    c->n += (uint32_t)more.n;
    return 0;
}

/* An object here; what is none stands in one. */
static void put_arguments(struct ollama *o, struct weir_out *out, const struct weir_text *text)
{
    const struct weir_json_api *j = o->json;
    if (!text->n) {
        j->put_raw(out, WEIR_LIT("{}"));
    } else if (j->valid(o->call, text, WEIR_JSON_OBJECT)) {
        j->put_text_raw(out, text);
    } else {
        o->host->note(o->call, "loss", WEIR_LIT("changed:tool_calls.arguments"));
        j->object_begin(out);
        j->key(out, "_raw");
        j->put_text(out, text);
        j->object_end(out);
    }
}

void ollama_put_call(struct ollama *o, struct weir_out *out, const struct ollama_call *c,
                     const struct weir_text *arguments)
{
    const struct weir_json_api *j = o->json;
    j->object_begin(out);
    j->key(out, "id");
    j->put_str(out, ollama_mark_id(o, c->id, &c->thought, &c->mark));
    j->key(out, "function");
    j->object_begin(out);
    j->key(out, "index");
    j->put_int(out, c->index);
    j->key(out, "name");
    j->put_str(out, c->name);
    j->key(out, "arguments");
    put_arguments(o, out, arguments);
    j->object_end(out);
    j->object_end(out);
}

/* Arguments come as they were written by the provider, perhaps over several lines: in a line of its own they are written anew. */
static int end_call(struct telling *t, const struct ollama_told *c)
{
    struct weir_out *out = t->o.host->out(t->o.call);
    const struct weir_text arguments = { c->arguments, c->n, WEIR_TEXT_PLAIN };
    if (!out)
        return -1;
    ollama_put_call(&t->o, out, &c->call, &arguments);
    struct weir_str made = t->o.host->out_bytes(out);
    line_begin(t);
    put(t, WEIR_LIT("\"\",\"tool_calls\":["));
    put_raw_line(t, weir_plain(made));
    put(t, WEIR_LIT("]},\"done\":false}\n"));
    return 0;
}

/* ---- the end ---- */

static const char *reason_of(struct ollama *o, uint32_t finish)
{
    switch (finish) {
    case WEIR_FINISH_LENGTH:
        return "length";
    case WEIR_FINISH_CONTEXT_WINDOW:
        o->host->lose(o->call, WEIR_FEATURE_ANSWER_FINISH, WEIR_LOSS_CHANGED, "length");
        return "length";
    case WEIR_FINISH_CONTENT_FILTER:
    case WEIR_FINISH_REFUSAL:
    case WEIR_FINISH_PAUSE:
    case WEIR_FINISH_OTHER:
        o->host->lose(o->call, WEIR_FEATURE_ANSWER_FINISH, WEIR_LOSS_CHANGED, "stop");
        return "stop";
    default:
        return "stop";
    }
}

static void put_count(struct ollama *o, struct weir_out *out, const char *key, int64_t n)
{
    if (n >= 0)
        o->host->write(out, o->host->format(o->call, ",\"%s\":%lld", key, (long long)n));
}

void ollama_put_end(struct ollama *o, struct weir_out *out, uint32_t finish, const struct weir_usage *usage)
{
    o->host->write(out, WEIR_LIT(",\"done\":true,\"done_reason\":\""));
    o->host->write(out, weir_cstr(reason_of(o, finish)));
    o->host->write(out, WEIR_LIT("\""));
    put_count(o, out, "prompt_eval_count", usage->input);
    put_count(o, out, "eval_count", usage->output);
}

static void tell_end(struct telling *t)
{
    if (t->client->is_done)
        return;
    t->client->is_done = true;
    if (t->client->thought.signature.n)
        t->o.host->lose(t->o.call, WEIR_FEATURE_ANSWER_SIGNATURE, WEIR_LOSS_DROPPED, "no call carries it");
    line_begin(t);
    put(t, WEIR_LIT("\"\"}"));
    ollama_put_end(&t->o, t->out, t->client->finish, &t->client->usage);
    put(t, WEIR_LIT("}\n"));
}

/* Usage is told in pieces, and what isn't said again still holds. */
static void take_usage(struct weir_usage *to, const struct weir_usage *from)
{
    to->input = from->input >= 0 ? from->input : to->input;
    to->output = from->output >= 0 ? from->output : to->output;
}

/* Pieces of a signature belong together. */
static void keep_signature(struct telling *t, struct ollama_signed *s, const struct weir_event *e)
{
    const struct weir_host *h = t->o.host;
    struct weir_str more = h->text(t->o.call, &e->text);
    s->signature = h->keep(t->o.call, h->format(t->o.call, "%.*s%.*s", (int)s->signature.n,
                                                s->signature.n ? s->signature.p : "", (int)more.n, more.p));
    s->dialect = h->keep(t->o.call, e->dialect);
}

static void tell_signature(struct telling *t, struct ollama_told *c, const struct weir_event *e)
{
    if (c)
        keep_signature(t, &c->call.mark, e);
    else if (e->block_kind == WEIR_BLOCK_THINKING)
        keep_signature(t, &t->client->thought, e);
    else
        t->o.host->lose(t->o.call, WEIR_FEATURE_ANSWER_SIGNATURE, WEIR_LOSS_DROPPED, "no call carries it");
}

static int tell_delta(struct telling *t, const struct weir_event *e)
{
    struct ollama_told *c = e->block_kind == WEIR_BLOCK_TOOL_CALL ? told_call(t, e->block) : NULL;
    bool is_words =
        e->block_kind == WEIR_BLOCK_TEXT || e->block_kind == WEIR_BLOCK_THINKING || e->block_kind == WEIR_BLOCK_REFUSAL;
    if (c && e->delta_kind == WEIR_DELTA_ARGUMENTS)
        return add_arguments(t, c, &e->text);
    if (e->delta_kind == WEIR_DELTA_SIGNATURE && e->text.n)
        tell_signature(t, c, e);
    if (is_words && e->delta_kind == WEIR_DELTA_TEXT && e->text.n)
        put_words(t, e);
    else if (e->delta_kind == WEIR_DELTA_LOGPROBS && e->text.n)
        put_logprobs(t, e);
    return 0;
}

static int tell_block(struct telling *t, const struct weir_event *e)
{
    bool is_call = e->block_kind == WEIR_BLOCK_TOOL_CALL;
    struct ollama_told *c = NULL;
    if (e->choice > 0) /* there is no other: the host tells the loss */
        return 0;
    if (e->kind == WEIR_EVENT_DELTA)
        return tell_delta(t, e);
    if (is_call && e->kind == WEIR_EVENT_BLOCK_START)
        return begin_call(t, e);
    c = is_call ? told_call(t, e->block) : NULL;
    return c ? end_call(t, c) : 0;
}

static void tell_error(struct telling *t, const struct weir_error *error)
{
    ollama_encode_error((void *)(uintptr_t)t->o.host, t->o.call, NULL, error, t->out);
    put(t, WEIR_LIT("\n"));
}

/* A line that says nothing shows that weir lives. */
static void tell_ping(struct telling *t)
{
    if (!t->client->head.n || t->client->is_done)
        return;
    line_begin(t);
    put(t, WEIR_LIT("\"\"},\"done\":false}\n"));
}

int ollama_encode_event(void *self, struct weir_call *call, void *state, const struct weir_event *event,
                        struct weir_out *out)
{
    struct telling t = { ollama_begin(self, call), state, out };
    bool is_silent = (event->flags & WEIR_EVENT_SILENT) != 0;
    if (event->kind == WEIR_EVENT_START && tell_start(&t, event) < 0)
        return -1;
    if (event->usage)
        take_usage(&t.client->usage, event->usage);
    if (event->kind == WEIR_EVENT_FINISH && event->choice == 0)
        t.client->finish = event->finish;
    if (event->kind == WEIR_EVENT_END && is_silent)
        t.client->is_done = true;
    if (is_silent)
        return 0;
    switch (event->kind) {
    case WEIR_EVENT_BLOCK_START:
    case WEIR_EVENT_DELTA:
    case WEIR_EVENT_BLOCK_STOP:
        return tell_block(&t, event);
    case WEIR_EVENT_END:
        tell_end(&t);
        return 0;
    case WEIR_EVENT_ERROR:
        if (event->error)
            tell_error(&t, event->error);
        return 0;
    case WEIR_EVENT_PING:
        tell_ping(&t);
        return 0;
    default:
        return 0;
    }
}
