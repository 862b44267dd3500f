/* gen: a provider with a dialect that nobody else speaks. README.md beside this folder explains it line by line.
 *
 *   request   POST /gen?tenant=7   {"model":"m","max":100,"prompt":[{"who":"user","says":"Hi"}]}
 *             x-gen-mac: the HMAC-SHA256 of the body with the provider's key, in hexadecimal
 *   answer    frames "19\n{"ok":true,"t":"Hel"}", until the end of the body; tokens in the trailer x-gen-tokens: 3/5
 *   error     a frame {"ok":false,"why":"busy"}, in an answer with status 200
 *   long job  status 202 and x-gen-job: /jobs/42, to be asked for again
 */
#include <stdlib.h>

#include <weir/codec.h>

#define J (host->json)
enum { FRAME_MAX = 1 << 20, POLL_MS = 100 };

struct settings { int64_t tenant; };               /* of the provider entry in weir.yaml */
struct answer { bool has_started, asks_again; };   /* of one attempt; zeroed when it begins */

/* ---- the request ---- */

static int request_head(void *self, struct weir_call *call, void *state, const void *entry)
{
    const struct weir_host *host = self;
    long long tenant = ((const struct settings *)entry)->tenant;
    (void)state;
    return host->http_request(call, "POST", host->format(call, "/gen?tenant=%lld", tenant));
}

static void put_message(const struct weir_host *host, struct weir_out *out, const struct weir_message *m)
{
    static const char *const who[] = { "", "system", "user", "assistant", "tool" };
    J->object_begin(out);
    J->key(out, "who");
    J->put_str(out, weir_cstr(who[m->role]));
    J->key(out, "says");
    J->string_begin(out);
    for (const struct weir_part *p = m->parts; p; p = p->next)
        if (p->kind == WEIR_PART_TEXT)
            J->string_part(out, &p->text); /* the bytes as the client wrote them: nothing is decoded */
    J->string_end(out);
    J->object_end(out);
}

static int encode_request(void *self, struct weir_call *call, void *state, const struct weir_conversation *c,
                          struct weir_out *out)
{
    const struct weir_host *host = self;
    (void)call, (void)state;
    J->object_begin(out);
    J->key(out, "model");
    J->put_raw(out, weir_field(c, WEIR_FIELD_MODEL));
    if (weir_field(c, WEIR_FIELD_MAX_TOKENS).n) {
        J->key(out, "max");
        J->put_raw(out, weir_field(c, WEIR_FIELD_MAX_TOKENS));
    }
    J->key(out, "prompt");
    J->array_begin(out);
    for (const struct weir_message *m = c->messages; m; m = m->next)
        put_message(host, out, m);
    J->array_end(out);
    J->object_end(out);
    return 0;
}

/* The key itself is never seen here: the host computes with it. */
static int sign(void *self, struct weir_call *call, void *state, const struct weir_outgoing *request)
{
    const struct weir_host *host = self;
    struct weir_out *body = host->out(call);
    char hex[64];
    uint8_t mac[32];
    (void)state;
    for (uint32_t i = 0; i < request->n_body; i++)
        host->write(body, request->body[i]);
    if (host->hmac_key(call, 0, "", host->out_bytes(body), mac) < 0)
        return -1;
    for (int i = 0; i < 64; i++)
        hex[i] = "0123456789abcdef"[mac[i / 2] >> (i % 2 ? 0 : 4) & 15];
    return host->http_header(call, WEIR_LIT("x-gen-mac"), (struct weir_str){ hex, 64 });
}

/* ---- the answer ---- */

static int decode_head(void *self, struct weir_call *call, void *state, int status)
{
    const struct weir_host *host = self;
    bool is_job = ((struct answer *)state)->asks_again = status == 202;
    return is_job ? host->again(call, POLL_MS, "GET", host->response_header(call, WEIR_LIT("x-gen-job"))) : 0;
}

/* "19\n" and as many bytes. */
static int64_t split(void *self, struct weir_call *call, void *state, struct weir_str bytes)
{
    int64_t n = 0;
    size_t i = 0;
    (void)self, (void)call, (void)state;
    while (i < bytes.n && bytes.p[i] >= '0' && bytes.p[i] <= '9' && n <= FRAME_MAX)
        n = n * 10 + bytes.p[i++] - '0';
    if (n > FRAME_MAX || (i < bytes.n && (i == 0 || bytes.p[i] != '\n')))
        return -1;
    int64_t whole = (int64_t)i + 1 + n;
    return i < bytes.n && whole <= (int64_t)bytes.n ? whole : 0;
}

static int emit(const struct weir_host *host, struct weir_call *call, struct weir_event e)
{
    e.size = sizeof(e);
    return host->emit(call, &e);
}

static int fail(const struct weir_host *host, struct weir_call *call, struct weir_str why)
{
    struct weir_error e = { .size = sizeof(e), .flags = WEIR_ERROR_FROM_UPSTREAM, .native = why, .message = why };
    e.error_class = weir_is(why, "busy") ? WEIR_ERROR_OVERLOADED : WEIR_ERROR_SERVER;
    return emit(host, call, (struct weir_event){ .kind = WEIR_EVENT_ERROR, .error = &e });
}

static int say(const struct weir_host *host, struct weir_call *call, struct answer *a, const struct weir_text *text)
{
    if (!a->has_started) {
        a->has_started = true;
        emit(host, call, (struct weir_event){ .kind = WEIR_EVENT_START, .id = host->new_id(call, "gen-") });
        emit(host, call, (struct weir_event){ .kind = WEIR_EVENT_BLOCK_START, .block_kind = WEIR_BLOCK_TEXT });
    }
    return emit(host, call, (struct weir_event){ .kind = WEIR_EVENT_DELTA, .delta_kind = WEIR_DELTA_TEXT, .text = *text });
}

static int decode_frame(void *self, struct weir_call *call, void *state, struct weir_frame *frame)
{
    const struct weir_host *host = self;
    const char *line = memchr(frame->bytes.p, '\n', frame->bytes.n);
    struct weir_str json = { line + 1, frame->bytes.n - (size_t)(line + 1 - frame->bytes.p) }, key, why = WEIR_NONE;
    struct weir_json *r = J->open(call, json);
    struct weir_text text = WEIR_TEXT("");
    bool is_ok = false;
    for (J->object(r); J->member(r, &key);) {
        if (weir_is(key, "ok"))
            J->boolean(r, &is_ok);
        else if (weir_is(key, "t"))
            J->text(r, &text);
        else if (weir_is(key, "why"))
            J->string(r, &why);
        else
            J->skip(r);
    }
    if (!J->close(r))
        return -1; /* malformed: the host says so */
    return is_ok ? say(host, call, state, &text) : fail(host, call, why);
}

/* "3/5" in the trailer. */
static void tell_usage(const struct weir_host *host, struct weir_call *call)
{
    struct weir_str tokens = host->response_header(call, WEIR_LIT("x-gen-tokens"));
    const char *slash = tokens.n ? memchr(tokens.p, '/', tokens.n) : NULL;
    struct weir_usage usage = WEIR_USAGE_UNKNOWN;
    if (!slash)
        return;
    usage.input = strtoll(tokens.p, NULL, 10);
    usage.output = strtoll(slash + 1, NULL, 10);
    emit(host, call, (struct weir_event){ .kind = WEIR_EVENT_USAGE, .usage = &usage });
}

static int decode_end(void *self, struct weir_call *call, void *state, bool clean)
{
    const struct weir_host *host = self;
    struct answer a = *(const struct answer *)state;
    if (!clean || !a.has_started || a.asks_again)
        return 0; /* no END: the answer is not whole */
    emit(host, call, (struct weir_event){ .kind = WEIR_EVENT_BLOCK_STOP });
    emit(host, call, (struct weir_event){ .kind = WEIR_EVENT_FINISH, .finish = WEIR_FINISH_STOP });
    tell_usage(host, call);
    return emit(host, call, (struct weir_event){ .kind = WEIR_EVENT_END });
}

/* ---- what it is ---- */

static int create(const struct weir_host *host, struct weir_instance *inst, void **self)
{
    return (void)inst, *self = (void *)(uintptr_t)host, 0;
}

static const struct weir_says says[] = { { WEIR_FIELD_MAX_TOKENS, WEIR_SAYS, NULL }, WEIR_SAYS_END };
static const struct weir_option options[] = {
    { "tenant", WEIR_OPTION_INT, WEIR_OPTION_REQUIRED, offsetof(struct settings, tenant), NULL, 1, 1e6, NULL, "Your number there." },
    WEIR_OPTIONS_END,
};
static const struct weir_codec codec = {
    .size = sizeof(codec), .operations = WEIR_OP_BIT(WEIR_OP_CHAT), .capabilities = WEIR_CAN_STREAM,
    .stream_framing = WEIR_FRAMING_OWN, .whole_framing = WEIR_FRAMING_OWN, .egress_size = sizeof(struct answer),
    .create = create, .request_head = request_head, .encode_request = encode_request, .sign = sign, .decode_head = decode_head,
    .split = split, .decode_frame = decode_frame, .decode_end = decode_end, .says = says,
};

WEIR_NOTE(WEIR_KIND_CODEC);
WEIR_PLUGIN = { WEIR_HEAD(WEIR_KIND_CODEC), .name = "gen", .version = "1.0", .summary = "The provider of the tutorial.",
                .options = options, .config_size = sizeof(struct settings), .codec = &codec };
