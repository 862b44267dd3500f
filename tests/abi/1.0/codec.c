/* A provider written with SDK 1.0, egress only: POST /say {"text": "…"} answered by {"said": "…", "tokens": n}. */
#include <stdlib.h>
#include <weir/codec.h>

struct codec {
    const struct weir_host *host;
};

struct entry {
    const char *greeting;
};

static int create(const struct weir_host *host, struct weir_instance *inst, void **self)
{
    struct codec *c = calloc(1, sizeof *c);
    (void)inst;
    if (!c)
        return -1;
    c->host = host;
    *self = c;
    return 0;
}

static void destroy(void *self)
{
    free(self);
}

static int request_head(void *self, struct weir_call *call, void *state, const void *entry)
{
    struct codec *c = self;
    const struct entry *e = entry;
    (void)state;
    c->host->http_header(call, WEIR_LIT("x-greeting"), weir_cstr(e->greeting));
    return c->host->http_request(call, "POST", WEIR_LIT("/say"));
}

static const struct weir_part *last_text(const struct weir_conversation *conversation)
{
    const struct weir_part *found = NULL;
    for (const struct weir_message *m = conversation->messages; m; m = m->next)
        for (const struct weir_part *p = m->parts; p; p = p->next)
            if (p->kind == WEIR_PART_TEXT)
                found = p;
    return found;
}

static int encode_request(void *self, struct weir_call *call, void *state, const struct weir_conversation *conversation,
                          struct weir_out *out)
{
    const struct weir_json_api *j = ((struct codec *)self)->host->json;
    const struct weir_part *p = last_text(conversation);
    (void)call;
    (void)state;
    j->object_begin(out);
    j->key(out, "text");
    if (p)
        j->put_text(out, &p->text);
    else
        j->put_null(out);
    j->object_end(out);
    return 0;
}

static void emit(struct codec *c, struct weir_call *call, struct weir_event e)
{
    e.size = sizeof e;
    c->host->emit(call, &e);
}

static int decode_frame(void *self, struct weir_call *call, void *state, struct weir_frame *frame)
{
    struct codec *c = self;
    const struct weir_json_api *j = c->host->json;
    struct weir_json *r = j->open(call, frame->data);
    struct weir_text said = WEIR_TEXT("");
    struct weir_usage usage = WEIR_USAGE_UNKNOWN;
    struct weir_str key;
    (void)state;
    for (j->object(r); j->member(r, &key);) {
        if (weir_is(key, "said"))
            j->text(r, &said);
        else if (weir_is(key, "tokens"))
            j->integer(r, &usage.output);
        else
            j->skip(r);
    }
    if (!j->close(r))
        return -1;
    emit(c, call, (struct weir_event){ .kind = WEIR_EVENT_START, .id = c->host->new_id(call, "say-"), .name = WEIR_LIT("say") });
    emit(c, call, (struct weir_event){ .kind = WEIR_EVENT_BLOCK_START, .block_kind = WEIR_BLOCK_TEXT });
    emit(c, call, (struct weir_event){ .kind = WEIR_EVENT_DELTA, .delta_kind = WEIR_DELTA_TEXT, .text = said });
    emit(c, call, (struct weir_event){ .kind = WEIR_EVENT_BLOCK_STOP });
    emit(c, call, (struct weir_event){ .kind = WEIR_EVENT_FINISH, .finish = WEIR_FINISH_STOP, .usage = &usage });
    emit(c, call, (struct weir_event){ .kind = WEIR_EVENT_END });
    return 0;
}

static int decode_end(void *self, struct weir_call *call, void *state, bool clean)
{
    (void)self;
    (void)call;
    (void)state;
    (void)clean;
    return 0;
}

static const struct weir_option options[] = {
    { "greeting", WEIR_OPTION_STRING, 0, offsetof(struct entry, greeting), "hello", 0, 0, NULL, "Sent with each call." },
    WEIR_OPTIONS_END,
};

static const struct weir_codec codec = {
    .size = sizeof codec,
    .operations = WEIR_OP_BIT(WEIR_OP_CHAT),
    .auth = { "x-say-key", NULL, "" },
    .stream_framing = WEIR_FRAMING_JSON,
    .whole_framing = WEIR_FRAMING_JSON,
    .create = create,
    .destroy = destroy,
    .request_head = request_head,
    .encode_request = encode_request,
    .decode_frame = decode_frame,
    .decode_end = decode_end,
};

WEIR_PLUGIN = {
    WEIR_HEAD(WEIR_KIND_CODEC),
    .name = "abi-codec",
    .version = "1.0.0",
    .summary = "Built with SDK 1.0",
    .options = options,
    .config_size = sizeof(struct entry),
    .codec = &codec,
};
WEIR_NOTE(WEIR_KIND_CODEC);
