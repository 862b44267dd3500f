/* Events become the chunks of a client's stream. What it has said so far is remembered in the request's state, also for events
 * that went out as the provider's own bytes (SILENT), so that the encoder can take over. */
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
    put(t, tool->is_custom ? WEIR_LIT(",\"type\":\"custom\",\"custom\":{\"name\":")
                           : WEIR_LIT(",\"type\":\"function\",\"function\":{\"name\":"));
    j->put_str(t->out, e->name);
    put(t, tool->is_custom ? WEIR_LIT(",\"input\":\"\"}}]}") : WEIR_LIT(",\"arguments\":\"\"}}]}"));
    chunk_end(t);
}

static int tell_block_start(struct telling *t, struct openai_told *c, const struct weir_event *e)
{
    if (e->block_kind == WEIR_BLOCK_IMAGE)
        return openai_image_begin(&t->o, t->client, e);
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

/* With empty arguments: clients read them of every piece. */
static void put_call_signature(struct telling *t, const struct weir_event *e, const struct openai_told_tool *tool)
{
    const struct weir_host *h = t->o.host;
    struct weir_out *extra = h->out(t->o.call);
    if (!extra || tool->is_custom)
        return;
    openai_put_extra(&t->o, extra, h->text(t->o.call, &e->text), e->dialect);
    chunk_begin(t, e->choice);
    put(t, WEIR_LIT("{\"tool_calls\":[{\"index\":"));
    t->o.json->put_int(t->out, tool->index);
    put(t, WEIR_LIT(",\"function\":{\"arguments\":\"\"},\"extra_content\":"));
    put(t, h->out_bytes(extra));
    put(t, WEIR_LIT("}]}"));
    chunk_end(t);
}

static void tell_signature(struct telling *t, const struct weir_event *e, const struct openai_told_tool *tool)
{
    if (tool)
        put_call_signature(t, e, tool);
    else if (e->block_kind == WEIR_BLOCK_THINKING)
        openai_keep_signature(&t->o, t->client, e);
    else
        openai_lose(&t->o, WEIR_FEATURE_ANSWER_SIGNATURE, WEIR_LOSS_DROPPED, "of a text: a message has no place for it");
}

static void put_thought(struct telling *t, const struct weir_event *e)
{
    struct openai_client *s = t->client;
    struct weir_out *detail = t->o.host->out(t->o.call);
    struct weir_text text = weir_plain((struct weir_str){ s->thought.text, s->thought.n });
    if (!detail)
        return;
    openai_put_detail(&t->o, detail, text, s->thought.signature, s->thought.signer, s->n_details++);
    chunk_begin(t, e->choice);
    put(t, WEIR_LIT("{\"reasoning_details\":["));
    put(t, t->o.host->out_bytes(detail));
    put(t, WEIR_LIT("]}"));
    chunk_end(t);
}

/* A thought is over: told whole, with its signature, for the client to send back. */
static void tell_thought_stop(struct telling *t, const struct weir_event *e)
{
    struct openai_thought *thought = &t->client->thought;
    bool is_it = thought->block == e->block && thought->choice == e->choice;
    if (is_it && thought->signature.n && !t->is_silent)
        put_thought(t, e);
    if (is_it)
        thought->n = thought->signature.n = 0;
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
    case WEIR_BLOCK_IMAGE:
        openai_image_add(&t->o, t->client, e);
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
    struct weir_str list = e->block_kind == WEIR_BLOCK_REFUSAL
                               ? WEIR_LIT("{},\"logprobs\":{\"content\":null,\"refusal\":[")
                               : WEIR_LIT("{},\"logprobs\":{\"refusal\":null,\"content\":[");
    chunk_begin(t, e->choice);
    put(t, list);
    put_raw_line(t, e->text);
    put(t, WEIR_LIT("]},\"finish_reason\":null}]"));
    put(t, t->client->wants_usage ? WEIR_LIT(",\"usage\":null}\n\n") : WEIR_LIT("}\n\n"));
}

static void tell_logprob(struct telling *t, const struct weir_event *e)
{
    if (weir_is_logprob(t->o.json, t->o.call, t->o.host->text(t->o.call, &e->text)))
        put_logprob(t, e);
    else
        openai_lose(&t->o, WEIR_FEATURE_ANSWER_LOGPROBS, WEIR_LOSS_DROPPED, "of another dialect");
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
        if (e->block_kind == WEIR_BLOCK_THINKING)
            openai_keep_thought(&t->o, t->client, e);
        break;
    case WEIR_DELTA_SIGNATURE:
        tell_signature(t, e, tool);
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
        tell_logprob(t, e);
        break;
    case WEIR_DELTA_CITATION:
        if (is_own)
            put_annotation(t, e);
        break;
    default: /* other dialects' own */
        break;
    }
}

static void tell_image(struct telling *t, const struct weir_event *e)
{
    struct openai_image image;
    if (!openai_image_take(t->client, e, &image))
        return;
    chunk_begin(t, e->choice);
    put(t, WEIR_LIT("{\"images\":["));
    openai_put_image(&t->o, t->out, image.media_type, weir_plain((struct weir_str){ image.data, image.n }), t->client->n_images++);
    put(t, WEIR_LIT("]}"));
    chunk_end(t);
}

/* A call without arguments has "{}": clients parse what they get. */
static void tell_block_stop(struct telling *t, struct openai_told *c, const struct weir_event *e)
{
    const struct weir_text none = WEIR_TEXT("{}");
    struct openai_told_tool *tool = e->block_kind == WEIR_BLOCK_TOOL_CALL ? told_tool(c, e->block) : NULL;
    if (e->block_kind == WEIR_BLOCK_THINKING)
        tell_thought_stop(t, e);
    if (e->block_kind == WEIR_BLOCK_IMAGE && !t->is_silent)
        tell_image(t, e);
    if (!tool || tool->has_arguments || tool->is_custom)
        return;
    tool->has_arguments = true;
    if (!t->is_silent)
        put_arguments(t, e, tool, &none);
}

/* ---- the end ---- */

static void put_finish(struct telling *t, const struct openai_told *c, uint32_t finish)
{
    chunk_begin(t, c->choice);
    put(t, WEIR_LIT("{},\"logprobs\":null,\"finish_reason\":\""));
    put(t, weir_cstr(openai_finish_word(finish, c->n_tools > 0)));
    put(t, t->client->wants_usage ? WEIR_LIT("\"}],\"usage\":null}\n\n") : WEIR_LIT("\"}]}\n\n"));
}

static void tell_finish(struct telling *t, struct openai_told *c, uint32_t finish)
{
    if (!c->has_finish && !t->is_silent) {
        put_finish(t, c, finish);
        openai_lose_finish(&t->o, finish);
    }
    c->has_finish = true;
}

/* Usage is told in pieces, and what isn't said again still holds. */
static void take_usage(struct weir_usage *to, const struct weir_usage *from)
{
    int64_t *const into[] = { &to->input,     &to->output,      &to->cached_read, &to->cached_write,
                              &to->reasoning, &to->audio_input, &to->audio_output };
    const int64_t said[] = { from->input,     from->output,      from->cached_read, from->cached_write,
                             from->reasoning, from->audio_input, from->audio_output };
    for (size_t i = 0; i < sizeof(said) / sizeof(*said); i++)
        if (said[i] >= 0)
            *into[i] = said[i];
}

static void tell_end(struct telling *t)
{
    struct openai_client *s = t->client;
    struct openai_told *c = &s->first;
    do
        tell_finish(t, c, WEIR_FINISH_STOP);
    while ((c = c->next) != NULL);
    if (t->is_silent || s->is_done)
        return;
    s->is_done = true;
    if (s->wants_usage && (s->usage.input >= 0 || s->usage.output >= 0)) {
        put(t, s->head);
        put(t, WEIR_LIT("\"choices\":[],\"usage\":"));
        openai_put_usage(&t->o, t->out, &s->usage);
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

int openai_encode_event(void *self, struct weir_call *call, void *state, const struct weir_event *event,
                        struct weir_out *out)
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
