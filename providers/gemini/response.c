/* Gemini's answer becomes events. Each SSE event is a whole GenerateContentResponse whose texts are deltas; nothing
 * marks the end but the end of the bytes, so a finish is told only then, and END only if every candidate was finished.
 */
#include "gemini.h"

struct decoding {
    struct gemini g;
    bool is_whole;
    struct weir_str candidates; /* raw: they come before the answer's id in the document */
    struct weir_str id, model, block_reason;
    struct weir_error error;
    bool has_error;
};

void gemini_read_string(const struct weir_json_api *j, struct weir_json *r, struct weir_str *to)
{
    if (j->peek(r) == WEIR_JSON_STRING)
        j->string(r, to);
    else
        j->skip(r);
}

/* ---- usage ---- */

static void read_count(const struct weir_json_api *j, struct weir_json *r, int64_t *to)
{
    if (j->peek(r) != WEIR_JSON_NUMBER || !j->integer(r, to))
        j->skip(r);
    if (*to < 0)
        *to = 0;
}

/* [{"modality":"AUDIO","tokenCount":3}] */
static void read_audio_tokens(const struct weir_json_api *j, struct weir_json *r, int64_t *to)
{
    struct weir_str key, modality;
    if (j->peek(r) != WEIR_JSON_ARRAY) {
        j->skip(r);
        return;
    }
    for (j->array(r); j->element(r);) {
        int64_t count = 0;
        modality = WEIR_NONE;
        for (j->object(r); j->member(r, &key);)
            if (weir_is(key, "modality"))
                gemini_read_string(j, r, &modality);
            else if (weir_is(key, "tokenCount"))
                read_count(j, r, &count);
        if (weir_is(modality, "AUDIO"))
            *to = count;
    }
}

/* Counts that are zero are left out there. The prompt's count includes what was cached and leaves out what tools added;
 * the candidates' count leaves thoughts out. */
static void read_usage(struct decoding *d, struct weir_json *r)
{
    const struct weir_json_api *j = d->g.json;
    struct weir_usage u = WEIR_USAGE_UNKNOWN;
    int64_t prompt = 0, tools = 0, candidates = 0, thoughts = 0, cached = 0;
    struct weir_str key;
    for (j->object(r); j->member(r, &key);) {
        if (weir_is(key, "promptTokenCount"))
            read_count(j, r, &prompt);
        else if (weir_is(key, "toolUsePromptTokenCount"))
            read_count(j, r, &tools);
        else if (weir_is(key, "candidatesTokenCount"))
            read_count(j, r, &candidates);
        else if (weir_is(key, "thoughtsTokenCount"))
            read_count(j, r, &thoughts);
        else if (weir_is(key, "cachedContentTokenCount"))
            read_count(j, r, &cached);
        else if (weir_is(key, "promptTokensDetails"))
            read_audio_tokens(j, r, &u.audio_input);
        else if (weir_is(key, "candidatesTokensDetails"))
            read_audio_tokens(j, r, &u.audio_output);
    }
    u.input = prompt + tools;
    u.output = candidates + thoughts;
    u.reasoning = thoughts;
    u.cached_read = cached < u.input ? cached : u.input;
    d->g.attempt->usage = u;
    d->g.attempt->has_usage = true;
}

static void emit_usage(struct gemini *g)
{
    struct weir_event e = gemini_event(WEIR_EVENT_USAGE, 0, 0);
    e.usage = &g->attempt->usage;
    if (g->attempt->has_usage && g->attempt->has_started)
        gemini_emit(g, &e);
}

/* ---- finish ---- */

static void emit_error(struct gemini *g, struct weir_error *error)
{
    struct weir_event e = gemini_event(WEIR_EVENT_ERROR, 0, 0);
    e.error = error;
    gemini_emit(g, &e);
    g->attempt->has_ended = true;
}

/* A candidate that ended oddly and said nothing is a failure, not an answer. */
static bool is_failure(const struct gemini_choice *c)
{
    return c->finish == WEIR_FINISH_OTHER && !c->has_content;
}

static void emit_failure(struct gemini *g, const struct gemini_choice *c)
{
    struct weir_error error = { .size = sizeof(error), .error_class = WEIR_ERROR_SERVER, .native = c->native };
    const char *gap = c->message.n ? ": " : "";
    error.message = g->host->format(g->call, "Gemini ended without an answer (%.*s)%s%.*s", (int)c->native.n,
                                    c->native.p, gap, (int)c->message.n, c->message.n ? c->message.p : "");
    emit_error(g, &error);
}

static void emit_finish(struct gemini *g, struct gemini_choice *c, uint32_t choice)
{
    struct weir_event e = gemini_event(WEIR_EVENT_FINISH, choice, 0);
    gemini_close_block(g, c, choice);
    e.finish = c->finish == WEIR_FINISH_STOP && c->has_calls ? WEIR_FINISH_TOOL_CALLS : c->finish;
    e.name = c->native;
    gemini_emit(g, &e);
}

/* ---- a candidate ---- */

static void read_parts(struct decoding *d, struct weir_json *r, struct gemini_choice *c, uint32_t choice)
{
    const struct weir_json_api *j = d->g.json;
    struct weir_str key;
    if (j->peek(r) != WEIR_JSON_OBJECT) {
        j->skip(r);
        return;
    }
    for (j->object(r); j->member(r, &key);) {
        if (!weir_is(key, "parts") || j->peek(r) != WEIR_JSON_ARRAY)
            continue;
        for (j->array(r); !d->g.failed && j->element(r);)
            gemini_read_part(&d->g, r, c, choice);
    }
}

enum { CITED = 3 };
static const char *const cited_names[CITED] = { "citationMetadata", "groundingMetadata", "urlContextMetadata" };

struct candidate {
    struct weir_str content, finish, message; /* content: raw */
    struct weir_str cited[CITED], logprobs; /* raw */
    int64_t index;
};

static void take_raw(const struct weir_json_api *j, struct weir_json *r, struct weir_str *to)
{
    if (j->peek(r) == WEIR_JSON_OBJECT)
        j->raw(r, to);
    else
        j->skip(r);
}

static void read_beside(const struct weir_json_api *j, struct weir_json *r, struct weir_str key, struct candidate *c)
{
    for (int i = 0; i < CITED; i++)
        if (weir_is(key, cited_names[i]))
            take_raw(j, r, &c->cited[i]);
    if (weir_is(key, "logprobsResult"))
        take_raw(j, r, &c->logprobs);
}

/* What stands beside a text belongs to it; where there is none an empty one carries it. */
static void emit_beside(struct gemini *g, struct gemini_choice *c, uint32_t choice, const struct candidate *read)
{
    for (int i = 0; i < CITED; i++)
        if (read->cited[i].n > 2)
            gemini_beside_text(g, c, choice, WEIR_DELTA_CITATION,
                               g->host->format(g->call, "{\"%s\":%.*s}", cited_names[i], (int)read->cited[i].n,
                                               read->cited[i].p));
    if (read->logprobs.n > 2)
        gemini_emit_logprobs(g, c, choice, read->logprobs);
}

/* A word, or its number where enums are asked for as such. */
static void read_reason(const struct weir_json_api *j, struct weir_json *r, struct weir_str *to)
{
    static const char *const words[] = { "",     "STOP",      "MAX_TOKENS",         "SAFETY", "RECITATION",
                                         "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII",   "MALFORMED_FUNCTION_CALL" };
    int64_t n = 0;
    if (j->peek(r) != WEIR_JSON_NUMBER)
        gemini_read_string(j, r, to);
    else if (j->integer(r, &n))
        *to = weir_cstr(n > 0 && n < 10 ? words[n] : "OTHER");
}

static void read_candidate_member(struct decoding *d, struct weir_json *r, struct weir_str key, struct candidate *c)
{
    const struct weir_json_api *j = d->g.json;
    if (weir_is(key, "content"))
        j->raw(r, &c->content);
    else if (weir_is(key, "finishReason"))
        read_reason(j, r, &c->finish);
    else if (weir_is(key, "finishMessage"))
        gemini_read_string(j, r, &c->message);
    else if (weir_is(key, "index") && j->peek(r) == WEIR_JSON_NUMBER && j->integer(r, &c->index) &&
             (c->index < 0 || c->index >= GEMINI_CHOICES))
        j->reject(r, "is no index of a candidate");
    else
        read_beside(j, r, key, c);
}

static void read_candidate(struct decoding *d, struct weir_json *r, uint32_t position)
{
    const struct weir_json_api *j = d->g.json;
    struct candidate read = { .index = position };
    struct weir_str key;
    for (j->object(r); j->member(r, &key);)
        read_candidate_member(d, r, key, &read);
    if (j->failed(r) || read.index >= GEMINI_CHOICES)
        return;
    uint32_t choice = (uint32_t)read.index;
    struct gemini_choice *c = &d->g.attempt->choices[choice];
    c->is_seen = true;
    if (read.content.n) {
        struct weir_json *inner = j->open(d->g.call, read.content);
        read_parts(d, inner, c, choice);
        if (!j->close(inner))
            j->reject(r, "has a malformed content");
    }
    emit_beside(&d->g, c, choice, &read);
    if (!read.finish.n)
        return;
    c->has_finish = true;
    c->finish = (uint16_t)gemini_finish_of(read.finish);
    c->native = d->g.host->keep(d->g.call, read.finish);
    c->message = d->g.host->keep(d->g.call, read.message);
}

/* ---- a document ---- */

static void read_feedback(struct decoding *d, struct weir_json *r)
{
    const struct weir_json_api *j = d->g.json;
    struct weir_str key;
    for (j->object(r); j->member(r, &key);)
        if (weir_is(key, "blockReason"))
            gemini_read_string(j, r, &d->block_reason);
}

static void read_member(struct decoding *d, struct weir_json *r, struct weir_str key)
{
    const struct weir_json_api *j = d->g.json;
    if (weir_is(key, "candidates") && j->peek(r) == WEIR_JSON_ARRAY) {
        j->raw(r, &d->candidates);
    } else if (weir_is(key, "usageMetadata") && j->peek(r) == WEIR_JSON_OBJECT) {
        read_usage(d, r);
    } else if (weir_is(key, "modelVersion")) {
        gemini_read_string(j, r, &d->model);
    } else if (weir_is(key, "responseId")) {
        gemini_read_string(j, r, &d->id);
    } else if (weir_is(key, "promptFeedback") && j->peek(r) == WEIR_JSON_OBJECT) {
        read_feedback(d, r);
    } else if (weir_is(key, "error") && j->peek(r) == WEIR_JSON_OBJECT) {
        d->has_error = true;
        gemini_read_error(&d->g, r, 0, &d->error);
    }
}

static void emit_start(struct decoding *d)
{
    struct weir_event e = gemini_event(WEIR_EVENT_START, 0, 0);
    if (d->g.attempt->has_started)
        return;
    d->g.attempt->has_started = true;
    e.id = d->id;
    e.name = d->model;
    e.usage = d->g.attempt->has_usage ? &d->g.attempt->usage : NULL;
    gemini_emit(&d->g, &e);
}

/* The prompt was refused: there are no candidates, and none will come. */
static void take_block(struct decoding *d)
{
    struct gemini_choice *c = &d->g.attempt->choices[0];
    if (!d->block_reason.n || c->has_finish)
        return;
    c->is_seen = c->has_finish = true;
    c->finish = WEIR_FINISH_CONTENT_FILTER;
    c->native = d->g.host->keep(d->g.call, d->block_reason);
}

static int read_candidates(struct decoding *d)
{
    const struct weir_json_api *j = d->g.json;
    uint32_t position = 0;
    if (!d->candidates.n)
        return 0;
    struct weir_json *r = j->open(d->g.call, d->candidates);
    for (j->array(r); !d->g.failed && j->element(r);)
        read_candidate(d, r, position++);
    return d->g.failed || !j->close(r) ? -1 : 0;
}

/* true: every candidate that appeared was finished, and there was one. */
static bool is_complete(const struct gemini_attempt *a)
{
    bool has_any = false;
    for (uint32_t i = 0; i < GEMINI_CHOICES; i++) {
        if (a->choices[i].is_seen && !a->choices[i].has_finish)
            return false;
        has_any |= a->choices[i].is_seen;
    }
    return has_any;
}

static int finish_answer(struct gemini *g)
{
    struct gemini_attempt *a = g->attempt;
    struct weir_event end = gemini_event(WEIR_EVENT_END, 0, 0);
    bool has_content = false;
    for (uint32_t i = 0; i < GEMINI_CHOICES; i++)
        has_content |= a->choices[i].has_content;
    emit_usage(g);
    if (is_failure(&a->choices[0]) && a->choices[0].is_seen && !has_content) {
        emit_failure(g, &a->choices[0]);
        return g->failed ? -1 : 0;
    }
    for (uint32_t i = 0; i < GEMINI_CHOICES; i++)
        if (a->choices[i].is_seen)
            emit_finish(g, &a->choices[i], i);
    gemini_emit(g, &end);
    a->has_ended = true;
    return g->failed ? -1 : 0;
}

static int decode_object(struct decoding *d, struct weir_str bytes)
{
    const struct weir_json_api *j = d->g.json;
    struct weir_json *r = j->open(d->g.call, bytes);
    struct weir_str key;
    for (j->object(r); j->member(r, &key);)
        read_member(d, r, key);
    if (!j->close(r))
        return -1;
    if (d->has_error) {
        emit_error(&d->g, &d->error);
        return d->g.failed ? -1 : 0;
    }
    if (!d->candidates.n && !d->block_reason.n && !d->g.attempt->has_usage)
        return -1;
    emit_start(d);
    take_block(d);
    if (read_candidates(d) < 0)
        return -1;
    return d->g.failed ? -1 : 0;
}

/* [{…},{…}]: a stream without alt=sse. */
static int decode_array(struct decoding *d, struct weir_str bytes)
{
    const struct weir_json_api *j = d->g.json;
    struct weir_str each;
    struct weir_json *r = j->open(d->g.call, bytes);
    for (j->array(r); j->element(r) && j->raw(r, &each);) {
        struct decoding one = { .g = d->g };
        if (decode_object(&one, each) < 0)
            return -1;
        d->g = one.g;
        if (d->g.attempt->has_ended)
            return 0;
    }
    return j->close(r) && d->g.attempt->has_started ? 0 : -1;
}

static bool is_array(struct weir_str bytes)
{
    while (bytes.n && (*bytes.p == ' ' || *bytes.p == '\n' || *bytes.p == '\r' || *bytes.p == '\t'))
        bytes.p++, bytes.n--;
    return bytes.n && *bytes.p == '[';
}

static int decode_document(struct decoding *d, struct weir_str bytes)
{
    int rc = is_array(bytes) ? decode_array(d, bytes) : decode_object(d, bytes);
    if (rc < 0 || !d->is_whole || d->g.attempt->has_ended)
        return rc;
    return is_complete(d->g.attempt) ? finish_answer(&d->g) : -1;
}

/* An element of the array that the stream is, or the array's end, which says that no more will come. */
static int decode_element(struct decoding *d, struct weir_str bytes)
{
    while (bytes.n && strchr(" \t\r\n,[", *bytes.p))
        bytes.p++, bytes.n--;
    if (!bytes.n)
        return 0;
    if (*bytes.p != ']')
        return decode_object(d, bytes);
    return is_complete(d->g.attempt) ? finish_answer(&d->g) : 0;
}

/* What the answer is of. */
static uint32_t operation_of(const struct gemini *g)
{
    const struct weir_conversation *c = g->host->conversation(g->call);
    return c ? c->operation : WEIR_OP_CHAT;
}

int gemini_decode_frame(void *self, struct weir_call *call, void *state, struct weir_frame *frame)
{
    struct decoding d = { .g = gemini_begin(self, call, state), .is_whole = frame->framing == WEIR_FRAMING_JSON };
    struct weir_event ping = gemini_event(WEIR_EVENT_PING, 0, 0);
    if (d.g.attempt->has_ended)
        return 0;
    uint32_t operation = operation_of(&d.g);
    if (operation == WEIR_OP_COUNT)
        return gemini_decode_count(&d.g, frame->data);
    if (operation == WEIR_OP_EMBED)
        return gemini_decode_vectors(&d.g, frame->data);
    if (frame->framing == WEIR_FRAMING_OWN)
        return decode_element(&d, frame->data);
    if (d.is_whole || frame->data.n)
        return decode_document(&d, frame->data);
    if (frame->bytes.n && memchr(frame->bytes.p, ':', frame->bytes.n))
        gemini_emit(&d.g, &ping);
    return d.g.failed ? -1 : 0;
}

int gemini_decode_end(void *self, struct weir_call *call, void *state, bool clean)
{
    struct gemini g = gemini_begin(self, call, state);
    if (g.attempt->has_ended)
        return 0;
    if (clean && is_complete(g.attempt))
        return finish_answer(&g);
    emit_usage(&g); /* a broken stream has cost something, too */
    return g.failed ? -1 : 0;
}
