/* Events become the client's answer: chunks of a stream, or one document. What a stream has said so far is remembered in the
 * request's state, also for events that went out as the provider's own bytes (SILENT), so that the encoder can take over. */
#include "openai.h"

struct telling {
    struct openai o;
    struct openai_client *client;
    struct weir_out *out;
    bool is_silent;
};

static void put(struct telling *t, struct weir_str bytes)
{
    t->o.host->write(t->out, bytes);
}

/* ---- chunks ---- */

/* `data: {head "choices":[{"index":N,"delta":` */
static void chunk_begin(struct telling *t, uint32_t choice)
{
    put(t, t->client->head);
    put(t, WEIR_LIT("\"choices\":[{\"index\":"));
    t->o.json->put_int(t->out, choice);
    put(t, WEIR_LIT(",\"delta\":"));
}

static void chunk_end(struct telling *t)
{
    put(t, WEIR_LIT(",\"logprobs\":null,\"finish_reason\":null}]"));
    put(t, t->client->wants_usage ? WEIR_LIT(",\"usage\":null}\n\n") : WEIR_LIT("}\n\n"));
}

static void put_role(struct telling *t, uint32_t choice)
{
    if (t->is_silent)
        return;
    chunk_begin(t, choice);
    put(t, WEIR_LIT("{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}"));
    chunk_end(t);
}

static struct openai_told *told(struct telling *t, uint32_t choice)
{
    struct openai_client *s = t->client;
    if (choice == 0)
        return &s->first;
    for (struct openai_told *c = s->first.next; c; c = c->next)
        if (c->choice == choice)
            return c;
    struct openai_told *c = t->o.host->alloc(t->o.call, WEIR_FOR_REQUEST, sizeof(*c));
    if (!c)
        return NULL;
    c->choice = choice;
    *(s->last ? &s->last->next : &s->first.next) = c;
    s->last = c;
    put_role(t, choice);
    return c;
}

static struct openai_told_tool *told_tool(struct openai_told *c, uint32_t block)
{
    struct openai_told_tool *tool = c->tools;
    while (tool && tool->block != block)
        tool = tool->next;
    return tool;
}

/* What every chunk begins with, made once. */
static struct weir_str make_head(struct telling *t, const struct weir_event *e)
{
    const struct weir_host *h = t->o.host;
    struct weir_out *out = h->out(t->o.call);
    if (!out)
        return WEIR_NONE;
    int64_t created = e->created_s ? e->created_s : h->now_ms() / 1000;
    h->write(out, WEIR_LIT("data: {\"id\":"));
    t->o.json->put_str(out, e->id.n ? e->id : h->new_id(t->o.call, "chatcmpl-"));
    h->write(out, WEIR_LIT(",\"object\":\"chat.completion.chunk\",\"created\":"));
    t->o.json->put_int(out, created);
    h->write(out, WEIR_LIT(",\"model\":"));
    t->o.json->put_str(out, e->name);
    h->write(out, WEIR_LIT(","));
    return h->keep(t->o.call, h->out_bytes(out));
}

static int tell_start(struct telling *t, const struct weir_event *e)
{
    const struct weir_conversation *c = t->o.host->conversation(t->o.call);
    t->client->head = make_head(t, e);
    t->client->usage = WEIR_USAGE_UNKNOWN;
    t->client->wants_usage = c && weir_field_true(c, WEIR_FIELD_STREAM_USAGE);
    if (!t->client->head.n)
        return -1;
    put_role(t, 0);
    return 0;
}

/* ---- blocks ---- */

static void put_call_start(struct telling *t, const struct weir_event *e, const struct openai_told_tool *tool)
{
    const struct weir_json_api *j = t->o.json;
    chunk_begin(t, e->choice);
    put(t, WEIR_LIT("{\"tool_calls\":[{\"index\":"));
    j->put_int(t->out, tool->index);
    put(t, WEIR_LIT(",\"id\":"));
    j->put_str(t->out, e->id.n ? e->id : t->o.host->new_id(t->o.call, "call_"));
    put(t, tool->is_custom ? WEIR_LIT(",\"type\":\"custom\",\"custom\":{\"name\":") : WEIR_LIT(",\"type\":\"function\",\"function\":{\"name\":"));
    j->put_str(t->out, e->name);
    put(t, tool->is_custom ? WEIR_LIT(",\"input\":\"\"}}]}") : WEIR_LIT(",\"arguments\":\"\"}}]}"));
    chunk_end(t);
}

static int tell_block_start(struct telling *t, struct openai_told *c, const struct weir_event *e)
{
    if (e->block_kind != WEIR_BLOCK_TOOL_CALL)
        return 0;
    struct openai_told_tool *tool = t->o.host->alloc(t->o.call, WEIR_FOR_REQUEST, sizeof(*tool));
    if (!tool)
        return -1;
    *tool = (struct openai_told_tool){ c->tools, e->block, c->n_tools++, false, weir_eq(e->dialect, OPENAI_DIALECT) };
    c->tools = tool;
    if (!t->is_silent)
        put_call_start(t, e, tool);
    return 0;
}

static void put_arguments(struct telling *t, const struct weir_event *e, const struct openai_told_tool *tool,
                          const struct weir_text *text)
{
    chunk_begin(t, e->choice);
    put(t, WEIR_LIT("{\"tool_calls\":[{\"index\":"));
    t->o.json->put_int(t->out, tool->index);
    put(t, tool->is_custom ? WEIR_LIT(",\"custom\":{\"input\":") : WEIR_LIT(",\"function\":{\"arguments\":"));
    t->o.json->put_text(t->out, text);
    put(t, WEIR_LIT("}}]}"));
    chunk_end(t);
}

static void put_words(struct telling *t, const struct weir_event *e, struct weir_str key)
{
    chunk_begin(t, e->choice);
    put(t, key);
    t->o.json->put_text(t->out, &e->text);
    put(t, WEIR_LIT("}"));
    chunk_end(t);
}

static void put_text_delta(struct telling *t, const struct weir_event *e)
{
    switch (e->block_kind) {
    case WEIR_BLOCK_TEXT:
        put_words(t, e, WEIR_LIT("{\"content\":"));
        break;
    case WEIR_BLOCK_THINKING:
        put_words(t, e, WEIR_LIT("{\"reasoning_content\":"));
        break;
    case WEIR_BLOCK_REFUSAL:
        put_words(t, e, WEIR_LIT("{\"refusal\":"));
        break;
    default: /* what the dialect has no place for */
        break;
    }
}

static void put_audio(struct telling *t, const struct weir_event *e, struct weir_str key)
{
    chunk_begin(t, e->choice);
    put(t, key);
    t->o.json->put_text(t->out, &e->text);
    put(t, WEIR_LIT("}}"));
    chunk_end(t);
}

/* Raw JSON of this dialect in one line, as a stream demands: its line ends are only white space. */
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

/* e->text: one token. */
static void put_logprob(struct telling *t, const struct weir_event *e)
{
    struct weir_str list = e->block_kind == WEIR_BLOCK_REFUSAL ? WEIR_LIT("{},\"logprobs\":{\"content\":null,\"refusal\":[")
                                                               : WEIR_LIT("{},\"logprobs\":{\"refusal\":null,\"content\":[");
    chunk_begin(t, e->choice);
    put(t, list);
    put_raw_line(t, e->text);
    put(t, WEIR_LIT("]},\"finish_reason\":null}]"));
    put(t, t->client->wants_usage ? WEIR_LIT(",\"usage\":null}\n\n") : WEIR_LIT("}\n\n"));
}

static void put_annotation(struct telling *t, const struct weir_event *e)
{
    chunk_begin(t, e->choice);
    put(t, WEIR_LIT("{\"annotations\":["));
    put_raw_line(t, e->text);
    put(t, WEIR_LIT("]}"));
    chunk_end(t);
}

static void tell_delta(struct telling *t, struct openai_told *c, const struct weir_event *e)
{
    struct openai_told_tool *tool = e->block_kind == WEIR_BLOCK_TOOL_CALL ? told_tool(c, e->block) : NULL;
    if (tool && e->delta_kind == WEIR_DELTA_ARGUMENTS && e->text.n)
        tool->has_arguments = true;
    if (t->is_silent || !e->text.n)
        return;
    bool is_own = weir_eq(e->dialect, OPENAI_DIALECT);
    switch (e->delta_kind) {
    case WEIR_DELTA_TEXT:
        put_text_delta(t, e);
        break;
    case WEIR_DELTA_ARGUMENTS:
        if (tool)
            put_arguments(t, e, tool, &e->text);
        break;
    case WEIR_DELTA_AUDIO:
        put_audio(t, e, WEIR_LIT("{\"audio\":{\"data\":"));
        break;
    case WEIR_DELTA_TRANSCRIPT:
        put_audio(t, e, WEIR_LIT("{\"audio\":{\"transcript\":"));
        break;
    case WEIR_DELTA_LOGPROBS:
        if (is_own)
            put_logprob(t, e);
        break;
    case WEIR_DELTA_CITATION:
        if (is_own)
            put_annotation(t, e);
        break;
    default: /* signatures and other dialects' own */
        break;
    }
}

/* A call without arguments has "{}": clients parse what they get. */
static void tell_block_stop(struct telling *t, struct openai_told *c, const struct weir_event *e)
{
    const struct weir_text none = WEIR_TEXT("{}");
    struct openai_told_tool *tool = e->block_kind == WEIR_BLOCK_TOOL_CALL ? told_tool(c, e->block) : NULL;
    if (!tool || tool->has_arguments || tool->is_custom)
        return;
    tool->has_arguments = true;
    if (!t->is_silent)
        put_arguments(t, e, tool, &none);
}

/* ---- the end ---- */

static const char *finish_word(uint32_t finish, bool has_calls)
{
    switch (finish) {
    case WEIR_FINISH_LENGTH:
    case WEIR_FINISH_CONTEXT_WINDOW:
        return "length";
    case WEIR_FINISH_TOOL_CALLS:
        return "tool_calls";
    case WEIR_FINISH_CONTENT_FILTER:
    case WEIR_FINISH_REFUSAL:
        return "content_filter";
    default:
        return has_calls ? "tool_calls" : "stop";
    }
}

static void put_finish(struct telling *t, const struct openai_told *c, uint32_t finish)
{
    chunk_begin(t, c->choice);
    put(t, WEIR_LIT("{},\"logprobs\":null,\"finish_reason\":\""));
    put(t, weir_cstr(finish_word(finish, c->n_tools > 0)));
    put(t, t->client->wants_usage ? WEIR_LIT("\"}],\"usage\":null}\n\n") : WEIR_LIT("\"}]}\n\n"));
}

static void tell_finish(struct telling *t, struct openai_told *c, uint32_t finish)
{
    if (!c->has_finish && !t->is_silent)
        put_finish(t, c, finish);
    c->has_finish = true;
}

static int64_t known(int64_t n)
{
    return n > 0 ? n : 0;
}

static void put_count(struct telling *t, const char *key, int64_t n)
{
    t->o.json->key(t->out, key);
    t->o.json->put_int(t->out, known(n));
}

static void put_known(struct telling *t, const char *key, int64_t n)
{
    if (n >= 0)
        put_count(t, key, n);
}

static void put_usage(struct telling *t, const struct weir_usage *u)
{
    const struct weir_json_api *j = t->o.json;
    j->object_begin(t->out);
    put_count(t, "prompt_tokens", u->input);
    put_count(t, "completion_tokens", u->output);
    put_count(t, "total_tokens", known(u->input) + known(u->output));
    if (u->cached_read >= 0 || u->cached_write >= 0 || u->audio_input >= 0) {
        j->key(t->out, "prompt_tokens_details");
        j->object_begin(t->out);
        put_known(t, "cached_tokens", u->cached_read);
        put_known(t, "audio_tokens", u->audio_input);
        put_known(t, "cache_write_tokens", u->cached_write);
        j->object_end(t->out);
    }
    if (u->reasoning >= 0 || u->audio_output >= 0) {
        j->key(t->out, "completion_tokens_details");
        j->object_begin(t->out);
        put_known(t, "reasoning_tokens", u->reasoning);
        put_known(t, "audio_tokens", u->audio_output);
        j->object_end(t->out);
    }
    j->object_end(t->out);
}

/* Usage is told in pieces, and what isn't said again still holds. */
static void take_usage(struct weir_usage *to, const struct weir_usage *from)
{
    int64_t *const into[] = { &to->input, &to->output, &to->cached_read, &to->cached_write, &to->reasoning,
                              &to->audio_input, &to->audio_output };
    const int64_t said[] = { from->input, from->output, from->cached_read, from->cached_write, from->reasoning,
                             from->audio_input, from->audio_output };
    for (size_t i = 0; i < sizeof(said) / sizeof(*said); i++)
        if (said[i] >= 0)
            *into[i] = said[i];
}

static void tell_end(struct telling *t)
{
    struct openai_client *s = t->client;
    for (struct openai_told *c = &s->first; c; c = c->next)
        tell_finish(t, c, WEIR_FINISH_STOP);
    if (t->is_silent || s->is_done)
        return;
    s->is_done = true;
    if (s->wants_usage && (s->usage.input >= 0 || s->usage.output >= 0)) {
        put(t, s->head);
        put(t, WEIR_LIT("\"choices\":[],\"usage\":"));
        put_usage(t, &s->usage);
        put(t, WEIR_LIT("}\n\n"));
    }
    put(t, WEIR_LIT("data: [DONE]\n\n"));
}

static void tell_error(struct telling *t, const struct weir_error *error)
{
    if (t->is_silent || !error)
        return;
    put(t, WEIR_LIT("data: "));
    openai_encode_error((void *)t->o.host, t->o.call, NULL, error, t->out);
    put(t, WEIR_LIT("\n\n"));
}

static int tell_in_choice(struct telling *t, const struct weir_event *e)
{
    struct openai_told *c = told(t, e->choice);
    if (!c)
        return -1;
    switch (e->kind) {
    case WEIR_EVENT_BLOCK_START:
        return tell_block_start(t, c, e);
    case WEIR_EVENT_DELTA:
        tell_delta(t, c, e);
        return 0;
    case WEIR_EVENT_BLOCK_STOP:
        tell_block_stop(t, c, e);
        return 0;
    default:
        tell_finish(t, c, e->finish);
        return 0;
    }
}

int openai_encode_event(void *self, struct weir_call *call, void *state, const struct weir_event *event, struct weir_out *out)
{
    struct telling t = { openai_begin(self, call), state, out, (event->flags & WEIR_EVENT_SILENT) != 0 };
    if (event->kind == WEIR_EVENT_START && tell_start(&t, event) < 0)
        return -1;
    if (event->usage)
        take_usage(&t.client->usage, event->usage);
    switch (event->kind) {
    case WEIR_EVENT_BLOCK_START:
    case WEIR_EVENT_DELTA:
    case WEIR_EVENT_BLOCK_STOP:
    case WEIR_EVENT_FINISH:
        return tell_in_choice(&t, event);
    case WEIR_EVENT_END:
        tell_end(&t);
        return 0;
    case WEIR_EVENT_ERROR:
        tell_error(&t, event->error);
        return 0;
    case WEIR_EVENT_PING:
        if (!t.is_silent)
            put(&t, WEIR_LIT(": ping\n\n"));
        return 0;
    default:
        return 0;
    }
}

/* ---- whole answers ---- */

static bool is_of(const struct weir_answer_block *b, uint32_t choice, enum weir_block_kind kind)
{
    return b->choice == choice && b->kind == (uint32_t)kind;
}

/* The blocks of one kind, joined: a message has one content. */
static bool put_blocks(struct telling *t, const struct weir_answer *a, uint32_t choice, enum weir_block_kind kind, const char *key)
{
    const struct weir_json_api *j = t->o.json;
    bool has_begun = false;
    for (const struct weir_answer_block *b = a->blocks; b; b = b->next) {
        if (!is_of(b, choice, kind))
            continue;
        if (!has_begun) {
            j->key(t->out, key);
            j->string_begin(t->out);
        }
        has_begun = true;
        j->string_part(t->out, &b->text);
    }
    if (has_begun)
        j->string_end(t->out);
    return has_begun;
}

static void put_call(struct telling *t, const struct weir_answer_block *b)
{
    const struct weir_json_api *j = t->o.json;
    const struct weir_text none = WEIR_TEXT("{}");
    bool is_custom = weir_eq(b->dialect, OPENAI_DIALECT);
    j->object_begin(t->out);
    j->key(t->out, "id");
    j->put_str(t->out, b->id.n ? b->id : t->o.host->new_id(t->o.call, "call_"));
    j->key(t->out, "type");
    j->put_str(t->out, is_custom ? WEIR_LIT("custom") : WEIR_LIT("function"));
    j->key(t->out, is_custom ? "custom" : "function");
    j->object_begin(t->out);
    j->key(t->out, "name");
    j->put_str(t->out, b->name);
    j->key(t->out, is_custom ? "input" : "arguments");
    j->put_text(t->out, b->text.n || is_custom ? &b->text : &none);
    j->object_end(t->out);
    j->object_end(t->out);
}

static bool put_calls(struct telling *t, const struct weir_answer *a, uint32_t choice)
{
    bool has_begun = false;
    for (const struct weir_answer_block *b = a->blocks; b; b = b->next) {
        if (!is_of(b, choice, WEIR_BLOCK_TOOL_CALL))
            continue;
        if (!has_begun) {
            t->o.json->key(t->out, "tool_calls");
            t->o.json->array_begin(t->out);
        }
        has_begun = true;
        put_call(t, b);
    }
    if (has_begun)
        t->o.json->array_end(t->out);
    return has_begun;
}

static void put_audio_block(struct telling *t, const struct weir_answer *a, uint32_t choice)
{
    const struct weir_json_api *j = t->o.json;
    for (const struct weir_answer_block *b = a->blocks; b; b = b->next) {
        if (!is_of(b, choice, WEIR_BLOCK_AUDIO))
            continue;
        j->key(t->out, "audio");
        j->object_begin(t->out);
        j->key(t->out, "data");
        j->put_text(t->out, &b->text);
        j->key(t->out, "transcript");
        j->put_text(t->out, &b->transcript);
        j->object_end(t->out);
        return;
    }
}

/* Log probabilities and annotations are raw JSON: only those of this dialect are of use. */
static const struct weir_answer_block *first_with(const struct weir_answer *a, uint32_t choice, bool wants_logprobs)
{
    for (const struct weir_answer_block *b = a->blocks; b; b = b->next)
        if (is_of(b, choice, WEIR_BLOCK_TEXT) && (wants_logprobs ? b->logprobs.n : b->citations.n) &&
            weir_eq(b->dialect, OPENAI_DIALECT))
            return b;
    return NULL;
}

static bool put_message(struct telling *t, const struct weir_answer *a, uint32_t choice)
{
    const struct weir_json_api *j = t->o.json;
    j->object_begin(t->out);
    j->key(t->out, "role");
    j->put_str(t->out, WEIR_LIT("assistant"));
    if (!put_blocks(t, a, choice, WEIR_BLOCK_TEXT, "content")) {
        j->key(t->out, "content");
        j->put_null(t->out);
    }
    if (!put_blocks(t, a, choice, WEIR_BLOCK_REFUSAL, "refusal")) {
        j->key(t->out, "refusal");
        j->put_null(t->out);
    }
    put_blocks(t, a, choice, WEIR_BLOCK_THINKING, "reasoning_content");
    bool has_calls = put_calls(t, a, choice);
    put_audio_block(t, a, choice);
    const struct weir_answer_block *cited = first_with(a, choice, false);
    if (cited) {
        j->key(t->out, "annotations");
        j->put_raw(t->out, cited->citations);
    }
    j->object_end(t->out);
    return has_calls;
}

static void put_choice(struct telling *t, const struct weir_answer *a, uint32_t choice)
{
    const struct weir_json_api *j = t->o.json;
    j->object_begin(t->out);
    j->key(t->out, "index");
    j->put_int(t->out, choice);
    j->key(t->out, "message");
    bool has_calls = put_message(t, a, choice);
    const struct weir_answer_block *probable = first_with(a, choice, true);
    j->key(t->out, "logprobs");
    if (probable) {
        j->object_begin(t->out);
        j->key(t->out, "content");
        j->put_raw(t->out, probable->logprobs);
        j->key(t->out, "refusal");
        j->put_null(t->out);
        j->object_end(t->out);
    } else {
        j->put_null(t->out);
    }
    j->key(t->out, "finish_reason");
    j->put_str(t->out, weir_cstr(finish_word(choice < a->n_choices ? a->choices[choice].finish : 0, has_calls)));
    j->object_end(t->out);
}

int openai_encode_answer(void *self, struct weir_call *call, void *state, const struct weir_answer *answer, struct weir_out *out)
{
    struct telling t = { openai_begin(self, call), state, out, false };
    const struct weir_json_api *j = t.o.json;
    j->object_begin(out);
    j->key(out, "id");
    j->put_str(out, answer->id.n ? answer->id : t.o.host->new_id(call, "chatcmpl-"));
    j->key(out, "object");
    j->put_str(out, WEIR_LIT("chat.completion"));
    j->key(out, "created");
    j->put_int(out, answer->created_s ? answer->created_s : t.o.host->now_ms() / 1000);
    j->key(out, "model");
    j->put_str(out, answer->model);
    j->key(out, "choices");
    j->array_begin(out);
    for (uint32_t i = 0; i < answer->n_choices || i == 0; i++)
        put_choice(&t, answer, i);
    j->array_end(out);
    if (answer->usage.input >= 0 || answer->usage.output >= 0) {
        j->key(out, "usage");
        put_usage(&t, &answer->usage);
    }
    j->object_end(out);
    return 0;
}

/* ---- models ---- */

static void put_model(const struct weir_json_api *j, struct weir_out *out, const struct weir_model *m)
{
    j->object_begin(out);
    j->key(out, "id");
    j->put_str(out, m->id);
    j->key(out, "object");
    j->put_str(out, WEIR_LIT("model"));
    j->key(out, "created");
    j->put_int(out, m->created_s);
    j->key(out, "owned_by");
    j->put_str(out, m->owned_by);
    j->object_end(out);
}

int openai_encode_models(void *self, struct weir_call *call, const struct weir_model_list *list, struct weir_out *out)
{
    const struct weir_json_api *j = openai_begin(self, call).json;
    if (list->single) {
        put_model(j, out, &list->models[0]);
        return 0;
    }
    j->object_begin(out);
    j->key(out, "object");
    j->put_str(out, WEIR_LIT("list"));
    j->key(out, "data");
    j->array_begin(out);
    for (uint32_t i = 0; i < list->n; i++)
        if (!(list->models[i].flags & WEIR_MODEL_HIDDEN))
            put_model(j, out, &list->models[i]);
    j->array_end(out);
    j->object_end(out);
    return 0;
}
