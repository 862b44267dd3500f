/* Events become the client's stream: each event a whole GenerateContentResponse whose texts are deltas. A call is told when it is
 * whole, and reasons and usage at the end. What a stream has said so far is remembered in the request's state, also of events that
 * went out as the provider's own bytes (SILENT), so that the encoder can take over. */
#include "gemini.h"

struct telling {
    struct gemini g;
    struct gemini_client *client;
    struct weir_out *out;
    bool is_silent;
};

static void put(struct telling *t, struct weir_str bytes)
{
    t->g.host->write(t->out, bytes);
}

/* Without the line ends between the tokens of raw JSON: an event of a stream is one line. */
static size_t join_lines(char *p, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (p[i] != '\n' && p[i] != '\r')
            p[kept++] = p[i];
    return kept;
}

/* ---- chunks ---- */

/* Before an event, or before an element of the array. */
static void frame_begin(struct telling *t)
{
    if (t->client->verb == GEMINI_ARRAY)
        put(t, t->client->has_begun ? WEIR_LIT(",\r\n") : WEIR_LIT("["));
    else
        put(t, WEIR_LIT("data: "));
    t->client->has_begun = true;
}

static void frame_end(struct telling *t)
{
    if (t->client->verb != GEMINI_ARRAY)
        put(t, WEIR_LIT("\r\n\r\n"));
}

static void array_end(struct telling *t)
{
    if (t->client->verb == GEMINI_ARRAY)
        put(t, t->client->has_begun ? WEIR_LIT("]") : WEIR_LIT("[]"));
}

static void chunk_begin(struct telling *t)
{
    const struct weir_json_api *j = t->g.json;
    frame_begin(t);
    j->object_begin(t->out);
    j->key(t->out, "candidates");
    j->array_begin(t->out);
}

static void candidate_begin(struct telling *t)
{
    const struct weir_json_api *j = t->g.json;
    j->object_begin(t->out);
    j->key(t->out, "content");
    j->object_begin(t->out);
    j->key(t->out, "parts");
    j->array_begin(t->out);
}

static void content_end(struct telling *t)
{
    const struct weir_json_api *j = t->g.json;
    j->array_end(t->out);
    j->key(t->out, "role");
    j->put_str(t->out, WEIR_LIT("model"));
    j->object_end(t->out);
}

static void candidate_end(struct telling *t, uint32_t choice)
{
    t->g.json->key(t->out, "index");
    t->g.json->put_int(t->out, choice);
    t->g.json->object_end(t->out);
}

static void chunk_end(struct telling *t, bool is_last)
{
    const struct weir_json_api *j = t->g.json;
    const struct gemini_client *s = t->client;
    j->array_end(t->out);
    if (s->usage.input >= 0 || s->usage.output >= 0 || is_last) {
        j->key(t->out, "usageMetadata");
        gemini_put_usage(&t->g, t->out, &s->usage);
    }
    j->key(t->out, "modelVersion");
    j->put_str(t->out, s->model);
    if (s->id.n) {
        j->key(t->out, "responseId");
        j->put_str(t->out, s->id);
    }
    j->object_end(t->out);
    frame_end(t);
}

static void part_begin(struct telling *t)
{
    chunk_begin(t);
    candidate_begin(t);
    t->g.json->object_begin(t->out);
}

static void part_end(struct telling *t, uint32_t choice)
{
    t->g.json->object_end(t->out);
    content_end(t);
    candidate_end(t, choice);
    chunk_end(t, false);
}

/* ---- blocks ---- */

static struct gemini_told *told(struct gemini_client *s, const struct weir_event *e)
{
    struct gemini_told *b = s->open;
    while (b && (b->block != e->block || b->choice != e->choice))
        b = b->next;
    return b;
}

static void forget(struct gemini_client *s, const struct gemini_told *b)
{
    struct gemini_told **at = &s->open;
    while (*at && *at != b)
        at = &(*at)->next;
    if (*at)
        *at = b->next;
}

/* {"executableCode":…}, as it came; in one line, as a stream demands. */
static void tell_opaque(struct telling *t, const struct weir_event *e)
{
    struct weir_str raw = t->g.host->text(t->g.call, &e->text);
    char *line = t->g.host->alloc(t->g.call, WEIR_FOR_CALL, raw.n + 1);
    if (!line)
        return;
    memcpy(line, raw.p, raw.n);
    raw.n = join_lines(line, raw.n);
    chunk_begin(t);
    candidate_begin(t);
    t->g.json->put_raw(t->out, (struct weir_str){ line, raw.n });
    content_end(t);
    candidate_end(t, e->choice);
    chunk_end(t, false);
}

static int tell_block_start(struct telling *t, const struct weir_event *e)
{
    const struct weir_host *h = t->g.host;
    bool is_own = weir_eq(e->dialect, GEMINI_DIALECT);
    if (e->block_kind == WEIR_BLOCK_OPAQUE && is_own && !t->is_silent)
        tell_opaque(t, e);
    else if (e->block_kind == WEIR_BLOCK_OPAQUE && !is_own && !t->is_silent)
        gemini_lose(&t->g, WEIR_FEATURE_ANSWER_OPAQUE, WEIR_LOSS_DROPPED, "a block that only its provider's dialect has");
    t->client->choices[e->choice].is_seen = true;
    struct gemini_told *b = h->alloc(t->g.call, WEIR_FOR_REQUEST, sizeof(*b));
    if (!b)
        return -1;
    b->choice = e->choice;
    b->block = e->block;
    b->kind = e->block_kind;
    b->id = h->keep(t->g.call, e->id);
    b->name = h->keep(t->g.call, e->name);
    b->next = t->client->open;
    t->client->open = b;
    return 0;
}

/* `,"modelVersion":…,"responseId":…}`, the same in each chunk. */
static struct weir_str tail(struct telling *t)
{
    const struct weir_json_api *j = t->g.json;
    struct gemini_client *s = t->client;
    struct weir_out *out = s->tail.n ? NULL : t->g.host->out(t->g.call);
    if (!out)
        return s->tail;
    t->g.host->write(out, WEIR_LIT(",\"modelVersion\":"));
    j->put_str(out, s->model);
    if (s->id.n) {
        t->g.host->write(out, WEIR_LIT(",\"responseId\":"));
        j->put_str(out, s->id);
    }
    t->g.host->write(out, WEIR_LIT("}"));
    s->tail = t->g.host->keep(t->g.call, t->g.host->out_bytes(out));
    return s->tail;
}

/* As part_begin() to part_end() write it, in a quarter of the instructions: this runs for each word. */
static void put_text_chunk(struct telling *t, const struct weir_event *e, bool is_thought)
{
    const struct weir_usage *u = &t->client->usage;
    struct weir_str end = tail(t);
    frame_begin(t);
    put(t, WEIR_LIT("{\"candidates\":[{\"content\":{\"parts\":[{\"text\":"));
    t->g.json->put_text(t->out, &e->text);
    put(t, is_thought ? WEIR_LIT(",\"thought\":true}],\"role\":\"model\"},\"index\":") : WEIR_LIT("}],\"role\":\"model\"},\"index\":"));
    t->g.json->put_int(t->out, e->choice);
    put(t, WEIR_LIT("}]"));
    if (u->input >= 0 || u->output >= 0) {
        put(t, WEIR_LIT(",\"usageMetadata\":"));
        gemini_put_usage(&t->g, t->out, u);
    }
    put(t, end);
    frame_end(t);
}

static void tell_text(struct telling *t, const struct gemini_told *b, const struct weir_event *e)
{
    if (!t->is_silent && e->text.n)
        put_text_chunk(t, e, b->kind == WEIR_BLOCK_THINKING);
}

static int keep_text(struct telling *t, struct gemini_told *b, const struct weir_event *e)
{
    struct weir_str plain = t->g.host->text(t->g.call, &e->text);
    if (b->n + plain.n > b->cap) {
        size_t cap = 2 * (b->n + plain.n) + 64;
        char *more = t->g.host->alloc(t->g.call, WEIR_FOR_REQUEST, cap);
        if (!more)
            return -1;
        if (b->n)
            memcpy(more, b->text, b->n);
        b->text = more;
        b->cap = cap;
    }
    if (plain.n)
        memcpy(b->text + b->n, plain.p, plain.n);
    b->n += plain.n;
    return 0;
}

static void keep_signature(struct telling *t, struct gemini_told *b, const struct weir_event *e)
{
    const struct weir_host *h = t->g.host;
    struct weir_str more = h->text(t->g.call, &e->text);
    b->signature = h->keep(t->g.call, h->format(t->g.call, "%.*s%.*s", (int)b->signature.n, b->signature.n ? b->signature.p : "",
                                                (int)more.n, more.p));
    b->signer = h->keep(t->g.call, e->dialect);
}

static void tell_logprobs(struct telling *t, const struct weir_event *e)
{
    const struct weir_json_api *j = t->g.json;
    struct weir_str raw = t->g.host->text(t->g.call, &e->text);
    struct weir_answer_block b = { .choice = e->choice, .dialect = e->dialect };
    if (t->is_silent)
        return;
    if (!weir_is_logprob(j, t->g.call, raw)) {
        gemini_lose(&t->g, WEIR_FEATURE_ANSWER_LOGPROBS, WEIR_LOSS_DROPPED, "another dialect's");
        return;
    }
    b.logprobs = t->g.host->format(t->g.call, "[%.*s]", (int)raw.n, raw.p);
    b.logprobs.n = join_lines((char *)(uintptr_t)b.logprobs.p, b.logprobs.n);
    chunk_begin(t);
    candidate_begin(t);
    j->object_begin(t->out);
    j->key(t->out, "text");
    j->put_str(t->out, WEIR_LIT(""));
    j->object_end(t->out);
    content_end(t);
    gemini_put_logprobs(&t->g, t->out, &b, e->choice);
    candidate_end(t, e->choice);
    chunk_end(t, false);
}

/* Told once, with the candidate's end. */
static void keep_citation(struct telling *t, const struct weir_event *e)
{
    const struct weir_host *h = t->g.host;
    struct gemini_told_choice *c = &t->client->choices[e->choice];
    struct weir_str inside = weir_eq(e->dialect, GEMINI_DIALECT) ? gemini_inside(h->text(t->g.call, &e->text)) : WEIR_NONE;
    char *line = inside.n ? h->alloc(t->g.call, WEIR_FOR_CALL, inside.n) : NULL;
    if (!line) {
        if (!t->is_silent)
            gemini_lose(&t->g, WEIR_FEATURE_ANSWER_CITATIONS, WEIR_LOSS_DROPPED, "another dialect's");
        return;
    }
    memcpy(line, inside.p, inside.n);
    inside.n = join_lines(line, inside.n);
    c->cited = h->keep(t->g.call, h->format(t->g.call, "%.*s%s%.*s", (int)c->cited.n, c->cited.n ? c->cited.p : "",
                                            c->cited.n ? "," : "", (int)inside.n, line));
}

static int tell_delta(struct telling *t, const struct weir_event *e)
{
    struct gemini_told *b = told(t->client, e);
    if (!b)
        return 0;
    bool is_call = b->kind == WEIR_BLOCK_TOOL_CALL;
    if (e->delta_kind == WEIR_DELTA_ARGUMENTS && is_call)
        return keep_text(t, b, e);
    if (e->delta_kind == WEIR_DELTA_SIGNATURE && e->text.n)
        keep_signature(t, b, e);
    else if (e->delta_kind == WEIR_DELTA_CITATION && e->text.n)
        keep_citation(t, e);
    else if (e->delta_kind == WEIR_DELTA_LOGPROBS && e->text.n)
        tell_logprobs(t, e);
    else if (e->delta_kind == WEIR_DELTA_TEXT && b->kind == WEIR_BLOCK_IMAGE)
        return keep_text(t, b, e);
    else if (e->delta_kind == WEIR_DELTA_TEXT && (b->kind <= WEIR_BLOCK_REFUSAL))
        tell_text(t, b, e);
    return 0;
}

/* Behind its texts a signature stands alone, as Google's own streams have it. */
static void tell_block_stop(struct telling *t, const struct weir_event *e)
{
    const struct weir_json_api *j = t->g.json;
    struct gemini_told *b = told(t->client, e);
    if (!b)
        return;
    forget(t->client, b);
    bool is_call = b->kind == WEIR_BLOCK_TOOL_CALL, is_first = !t->client->choices[e->choice].has_call;
    bool is_image = b->kind == WEIR_BLOCK_IMAGE && b->n;
    t->client->choices[e->choice].has_call |= is_call;
    if (t->is_silent || (!is_call && !is_image && !b->signature.n))
        return;
    part_begin(t);
    if (is_call) {
        b->n = join_lines(b->text, b->n);
        gemini_put_call(&t->g, t->out, b->id, b->name, weir_plain((struct weir_str){ b->text, b->n }));
    } else if (is_image) {
        gemini_put_image(&t->g, t->out, b->name, weir_plain((struct weir_str){ b->text, b->n }));
    } else {
        j->key(t->out, "text");
        j->put_str(t->out, WEIR_LIT(""));
    }
    if (b->kind == WEIR_BLOCK_THINKING) {
        j->key(t->out, "thought");
        j->put_bool(t->out, true);
    }
    if (is_call)
        gemini_put_call_signature(&t->g, t->out, b->signature, b->signer, is_first);
    else
        gemini_put_signature(&t->g, t->out, b->signature, b->signer);
    part_end(t, e->choice);
}

/* ---- start and end ---- */

static void tell_start(struct telling *t, const struct weir_event *e)
{
    const struct weir_host *h = t->g.host;
    t->client->id = h->keep(t->g.call, e->id);
    t->client->model = h->keep(t->g.call, e->name);
    if (t->is_silent || t->client->verb != GEMINI_ARRAY)
        return;
    part_begin(t); /* the array has begun: what is relayed from now on starts with a comma */
    t->g.json->key(t->out, "text");
    t->g.json->put_str(t->out, WEIR_LIT(""));
    part_end(t, 0);
}

static void tell_finish(struct telling *t, const struct weir_event *e)
{
    struct gemini_told_choice *c = &t->client->choices[e->choice];
    c->has_finish = true;
    c->finish = e->finish;
    c->native = t->g.host->keep(t->g.call, e->name);
    c->is_silent = t->is_silent;
    if (!t->is_silent)
        gemini_lose_finish(&t->g, e->finish, !c->is_seen);
}

static void put_ending(struct telling *t, uint32_t i)
{
    const struct weir_json_api *j = t->g.json;
    const struct gemini_told_choice *c = &t->client->choices[i];
    candidate_begin(t);
    j->object_begin(t->out);
    j->key(t->out, "text");
    j->put_str(t->out, WEIR_LIT(""));
    j->object_end(t->out);
    content_end(t);
    j->key(t->out, "finishReason");
    j->put_str(t->out, weir_cstr(gemini_finish_word(c->finish, c->native)));
    if (c->cited.n) {
        struct weir_str key, raw;
        struct weir_json *r =
            j->open(t->g.call, t->g.host->format(t->g.call, "{%.*s}", (int)c->cited.n, c->cited.p));
        for (j->object(r); j->member(r, &key) && j->raw(r, &raw);) {
            j->key_str(t->out, key);
            j->put_raw(t->out, raw);
        }
    }
    candidate_end(t, i);
}

static void tell_end(struct telling *t)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < GEMINI_CHOICES; i++)
        n += t->client->choices[i].has_finish && !t->client->choices[i].is_silent;
    if (t->is_silent)
        return;
    if (n)
        chunk_begin(t);
    for (uint32_t i = 0; i < GEMINI_CHOICES && n; i++)
        if (t->client->choices[i].has_finish && !t->client->choices[i].is_silent)
            put_ending(t, i);
    if (n)
        chunk_end(t, true);
    array_end(t);
}

static void tell_error(struct telling *t, const struct weir_error *error)
{
    if (t->is_silent || !error)
        return;
    frame_begin(t);
    gemini_encode_error((void *)(uintptr_t)t->g.host, t->g.call, NULL, error, t->out);
    frame_end(t);
    array_end(t);
}

static void take_usage(struct weir_usage *to, const struct weir_usage *from)
{
    int64_t *const into[] = { &to->input, &to->output, &to->cached_read, &to->reasoning };
    const int64_t said[] = { from->input, from->output, from->cached_read, from->reasoning };
    for (size_t i = 0; i < sizeof(said) / sizeof(*said); i++)
        if (said[i] >= 0)
            *into[i] = said[i];
}

int gemini_encode_event(void *self, struct weir_call *call, void *state, const struct weir_event *event,
                        struct weir_out *out)
{
    struct telling t = { gemini_begin(self, call, NULL), state, out, (event->flags & WEIR_EVENT_SILENT) != 0 };
    if (!t.client->usage.size)
        t.client->usage = WEIR_USAGE_UNKNOWN;
    t.client->has_begun |= (t.is_silent && event->kind != WEIR_EVENT_PING) || (event->flags & WEIR_EVENT_BEHIND_BYTES);
    if (event->usage)
        take_usage(&t.client->usage, event->usage);
    if (event->choice >= GEMINI_CHOICES) {
        if (event->kind == WEIR_EVENT_BLOCK_START)
            gemini_lose(&t.g, WEIR_FEATURE_ANSWER_CHOICES, WEIR_LOSS_DROPPED, "more than eight");
        return 0;
    }
    switch (event->kind) {
    case WEIR_EVENT_START:
        tell_start(&t, event);
        return 0;
    case WEIR_EVENT_BLOCK_START:
        return tell_block_start(&t, event);
    case WEIR_EVENT_DELTA:
        return tell_delta(&t, event);
    case WEIR_EVENT_BLOCK_STOP:
        tell_block_stop(&t, event);
        return 0;
    case WEIR_EVENT_FINISH:
        tell_finish(&t, event);
        return 0;
    case WEIR_EVENT_END:
        tell_end(&t);
        return 0;
    case WEIR_EVENT_ERROR:
        tell_error(&t, event->error);
        return 0;
    case WEIR_EVENT_PING:
        if (!t.is_silent)
            put(&t, t.client->verb == GEMINI_ARRAY ? WEIR_LIT("\r\n") : WEIR_LIT(": ping\n\n"));
        return 0;
    default:
        return 0;
    }
}
