/* From one dialect into the other and back: recorded traffic, reduced to what must not get lost (words, calls and their arguments,
 * results, usage), is the same on both sides. */
#include "codec_lab.h"
#include "recordings.h"
#include "test.h"

struct cross {
    const struct weir_plugin *from, *to;
    int answers, requests, refused, failed;
};

static void complain(struct cross *x, const char *path, const char *what, const char *got, const char *want)
{
    if (x->failed++ >= 8)
        return;
    size_t i = 0;
    while (got[i] && got[i] == want[i])
        i++;
    size_t from = i > 100 ? i - 100 : 0;
    printf("  %s: %s\n   got  %.260s\n   want %.260s\n", path, what, got + from, want + from);
}

/* ---- answers ---- */

/* White space between the tokens of arguments may change. */
static void gist_arguments(struct weir_out *o, struct weir_str text)
{
    for (size_t i = 0; i < text.n; i++)
        if (!strchr(" \n\r\t", text.p[i]))
            out_write(o, (struct weir_str){ text.p + i, 1 });
}

/* Where the client's dialect has no other room, what was signed travels in a call's id, marked and undone on the way in. */
static struct weir_str unmarked(struct weir_str id)
{
    const char *mark = id.n ? memmem(id.p, id.n, "~weir1~", 7) : NULL;
    mark = mark || !id.n ? mark : memmem(id.p, id.n, "_weir1_", 7);
    return mark ? (struct weir_str){ id.p, (size_t)(mark - id.p) } : id;
}

static void gist_blocks(struct lab *l, struct weir_out *o, uint32_t kind, uint32_t also)
{
    for (const struct weir_answer_block *b = collector_answer(l->collector)->blocks; b; b = b->next) {
        if (b->choice || (b->kind != kind && b->kind != also))
            continue;
        if (b->kind == WEIR_BLOCK_TOOL_CALL)
            dump(o, "\ncall %.*s %.*s ", S(unmarked(b->id)), S(b->name));
        struct weir_str text = text_decode(l->arena, &b->text);
        if (b->kind == WEIR_BLOCK_TOOL_CALL)
            gist_arguments(o, text.n ? text : WEIR_LIT("{}"));
        else
            out_write(o, text);
    }
    dump(o, "\n");
}

static const char *gist_answer(struct lab *l)
{
    struct weir_out o = { 0 };
    const struct weir_answer *a = collector_answer(l->collector);
    dump(&o, "thoughts ");
    gist_blocks(l, &o, WEIR_BLOCK_THINKING, WEIR_BLOCK_THINKING);
    dump(&o, "words ");
    gist_blocks(l, &o, WEIR_BLOCK_TEXT, WEIR_BLOCK_REFUSAL);
    gist_blocks(l, &o, WEIR_BLOCK_TOOL_CALL, WEIR_BLOCK_TOOL_CALL);
    static const char *const finishes[] = { "?",      "stop",   "stop", "length", "calls",
                                            "filter", "filter", "stop", "length", "stop" };
    bool is_lost = lab_losses[WEIR_FEATURE_ANSWER_FINISH]; /* and told to be */
    dump(&o, "finish %s\n", is_lost ? "" : a->n_choices ? finishes[a->choices[0].finish] : "stop");
    dump(&o, "usage %lld %lld\n", (long long)(a->usage.input > 0 ? a->usage.input : 0),
         (long long)(a->usage.output > 0 ? a->usage.output : 0));
    const char *text = lab_cstr(l, out_bytes(&o));
    out_free(&o);
    return text;
}

static struct conversation *asked(struct lab *client)
{
    struct conversation *c =
        conversation_new(client->arena, weir_cstr(client->plugin->name), WEIR_OP_CHAT, WEIR_LIT("{}"));
    conversation_set_field(c, WEIR_FIELD_STREAM_USAGE, WEIR_LIT("true"), WEIR_NONE);
    return c;
}

/* The client's side reads what the client's codec wrote, with the egress half of the same codec. */
static void check_answer(struct cross *x, const struct recording *r, const char *path)
{
    struct lab *client = lab_begin(x->to, 'i', NULL);
    memset(lab_losses, 0, sizeof(lab_losses));
    client->conversation = asked(client);
    struct lab *up = lab_begin(x->from, 'e', client->conversation);
    up->encoder = client;
    enum weir_framing framing = recorded_framing(x->from->codec, r->response);
    enum weir_framing streams = (enum weir_framing)x->to->codec->stream_framing;
    struct lab *streamed = lab_begin(x->to, 'e', client->conversation),
               *whole = lab_begin(x->to, 'e', client->conversation);
    if (lab_decode_answer(up, framing, r->response, 0, true) == 0 && !up->has_error) {
        const char *want = gist_answer(up);
        x->answers++;
        if (lab_decode_answer(streamed, streams, out_bytes(&client->told), 0, true) < 0 ||
            strcmp(gist_answer(streamed), want) != 0)
            complain(x, path, "streamed, it says something else", gist_answer(streamed), want);
        struct weir_out document = { 0 };
        struct scratch before = scratch_enter();
        x->to->codec->encode_answer(client->self, &client->call, client->state, collector_answer(up->collector),
                                    &document);
        scratch_leave(before);
        if (lab_decode_answer(whole, WEIR_FRAMING_JSON, out_bytes(&document), 0, true) < 0 ||
            strcmp(gist_answer(whole), want) != 0)
            complain(x, path, "whole, it says something else", gist_answer(whole), want);
        out_free(&document);
    }
    lab_end(whole);
    lab_end(streamed);
    lab_end(up);
    lab_end(client);
}

/* ---- requests ---- */

/* A text file may come across as its words. */
static void gist_file(struct lab *l, struct weir_out *o, const struct weir_part *p, struct weir_str data)
{
    bool is_text = p->media_type.n > 5 && memcmp(p->media_type.p, "text/", 5) == 0;
    struct weir_str words = is_text ? lab_base64(&l->call, data, true) : WEIR_NONE;
    if (words.n)
        out_write(o, words);
    else
        dump(o, "[file %.*s %zu]", S(p->url), data.n);
}

static void gist_part(struct lab *l, struct weir_out *o, const struct weir_part *p)
{
    struct weir_str text = text_decode(l->arena, &p->text), data = text_decode(l->arena, &p->data);
    switch (p->kind) {
    case WEIR_PART_TEXT:
    case WEIR_PART_REFUSAL:
        out_write(o, text);
        break;
    case WEIR_PART_IMAGE:
        dump(o, "[image %.*s %zu]", S(p->url), data.n);
        break;
    case WEIR_PART_FILE:
        gist_file(l, o, p, data);
        break;
    case WEIR_PART_TOOL_CALL:
        dump(o, "[call %.*s ", S(p->name));
        gist_arguments(o, text);
        dump(o, "]");
        break;
    case WEIR_PART_TOOL_RESULT:
        dump(o, "[result ");
        for (const struct weir_part *c = p->parts; c; c = c->next)
            if (c->kind == WEIR_PART_TEXT)
                gist_part(l, o, c);
        dump(o, "]");
        break;
    default:
        break;
    }
}

/* No part, and one empty text, are the same silence. */
static bool says_something(const struct weir_message *m)
{
    return m->parts && (m->parts->next || m->parts->kind != WEIR_PART_TEXT || m->parts->text.n);
}

/* The prompt, then the turns. */
static const char *gist_request(struct lab *l)
{
    struct weir_out o = { 0 };
    const struct weir_conversation *c = &l->conversation->view;
    uint32_t before = 0;
    for (const struct weir_message *m = c->messages; m; m = m->next) {
        uint32_t side = m->role == WEIR_ROLE_TOOL ? (uint32_t)WEIR_ROLE_USER : m->role;
        if (side != before && says_something(m))
            dump(&o, "\n%u: ", side);
        before = says_something(m) ? side : before;
        for (const struct weir_part *p = m->parts; p; p = p->next)
            gist_part(l, &o, p);
    }
    for (const struct weir_tool *t = c->tools; t; t = t->next)
        dump(&o, "\ntool %.*s %zu", S(t->name), text_decode(l->arena, &t->description).n);
    const char *text = lab_cstr(l, out_bytes(&o));
    out_free(&o);
    return text;
}

/* Where a message is one string its texts are joined: white space between them does not count. */
static const char *squeezed(struct lab *l, const char *text)
{
    struct weir_out o = { 0 };
    for (; *text; text++)
        if (!strchr(" \n", *text))
            dump(&o, "%c", *text);
    text = lab_cstr(l, out_bytes(&o));
    out_free(&o);
    return text;
}

/* Not every dialect can forbid or name a call: then tools that may not be called are left out, and that is told. */
static bool chooses_tools(const struct weir_conversation *c)
{
    return lab_losses[WEIR_FIELD_TOOL_CHOICE] || weir_is(weir_field(c, WEIR_FIELD_TOOL_CHOICE), "\"none\"");
}

static bool has_result_media(const struct weir_conversation *c)
{
    for (const struct weir_message *m = c->messages; m; m = m->next)
        for (const struct weir_part *p = m->parts; p; p = p->next)
            for (const struct weir_part *child = p->parts; child; child = child->next)
                if (child->kind != WEIR_PART_TEXT)
                    return true;
    return false;
}

static bool has_late_prompt(const struct weir_conversation *c)
{
    bool has_begun = false;
    for (const struct weir_message *m = c->messages; m; m = m->next) {
        if (has_begun && m->role == WEIR_ROLE_SYSTEM)
            return true;
        has_begun = has_begun || m->role != WEIR_ROLE_SYSTEM;
    }
    return false;
}

static void check_request(struct cross *x, const struct recording *r, const char *path)
{
    struct lab *client = lab_begin(x->from, 'i', NULL);
    struct lab *up = NULL, *read = NULL;
    struct weir_out body = { 0 };
    lab_at(client, r->path);
    if (lab_decode_request(client, r->request) < 0)
        complain(x, path, "does not decode", lab_cstr(client, client->error.message), "");
    uint32_t missing = client->conversation->view.needs & ~x->to->codec->capabilities & ~(uint32_t)WEIR_CAN_LOGPROBS;
    if (missing) {
        x->refused++;
        lab_end(client);
        return;
    }
    x->requests++;
    up = lab_begin(x->to, 'e', client->conversation);
    read = lab_begin(x->to, 'i', NULL);
    lab_is_called(read, up);
    struct scratch before = scratch_enter();
    memset(lab_losses, 0, sizeof(lab_losses));
    int rc = x->to->codec->encode_request(up->self, &up->call, up->state, &client->conversation->view, &body);
    scratch_leave(before);
    bool has_strings = strcmp(x->to->name, "ollama") == 0 || strcmp(x->to->name, "gemini") == 0; /* Gemini: in results */
    bool filters_tools = has_strings || strcmp(x->to->name, "cohere") == 0;
    bool drops_blanks = strcmp(x->to->name, "bedrock") == 0;
    const char *want = gist_request(client);
    /* What is emulated is looked at elsewhere. */
    bool is_plain = !strstr(lab_cstr(up, out_bytes(&up->notes)), "emulated") &&
                    !has_result_media(&client->conversation->view) && !has_late_prompt(&client->conversation->view) &&
                    !lab_losses[WEIR_FEATURE_PART_ORDER] &&
                    !(filters_tools && chooses_tools(&client->conversation->view));
    if (rc < 0 && up->error.error_class == WEIR_ERROR_UNSUPPORTED)
        x->refused++;
    else if (rc < 0 || !out_complete(&body))
        complain(x, path, "does not encode", lab_cstr(up, up->error.message), "");
    else if (lab_decode_request(read, out_bytes(&body)) < 0)
        complain(x, path, "the other side does not read it", lab_cstr(read, read->error.message), "");
    else if (is_plain && (has_strings || drops_blanks) && strcmp(squeezed(read, gist_request(read)), squeezed(read, want)) == 0)
        ;
    else if (is_plain && strcmp(gist_request(read), want) != 0)
        complain(x, path, "asks something else", gist_request(read), want);
    out_free(&body);
    lab_end(read);
    lab_end(up);
    lab_end(client);
}

static void check_recording(void *arg, const struct recording *r, const char *path)
{
    struct cross *x = arg;
    if (r->response.n)
        check_answer(x, r, path);
    if (r->request.n && r->request.p[0] == '{')
        check_request(x, r, path);
}

static void run(const char *from, const char *to)
{
    struct cross x = { .from = lab_plugin(from), .to = lab_plugin(to) };
    if (!x.from || !x.to)
        SKIP("a codec is not built");
    if (recordings_each(from, check_recording, &x) == 0)
        SKIP("no recordings in ../shared (or $WEIR_SHARED)");
    printf("  %s -> %s: %d answers, %d requests (%d more need what the other can't say)\n", from, to, x.answers,
           x.requests, x.refused);
    CHECK_INT(x.failed, 0);
}

TEST(cross_responses_to_openai)
{
    run("responses", "openai");
}

TEST(cross_openai_to_responses)
{
    run("openai", "responses");
}

TEST(cross_responses_to_anthropic)
{
    run("responses", "anthropic");
}

TEST(cross_anthropic_to_responses)
{
    run("anthropic", "responses");
}

TEST(cross_openai_to_anthropic)
{
    run("openai", "anthropic");
}

TEST(cross_anthropic_to_openai)
{
    run("anthropic", "openai");
}

TEST(cross_openai_to_ollama)
{
    run("openai", "ollama");
}

TEST(cross_ollama_to_openai)
{
    run("ollama", "openai");
}

TEST(cross_anthropic_to_ollama)
{
    run("anthropic", "ollama");
}

TEST(cross_ollama_to_anthropic)
{
    run("ollama", "anthropic");
}

TEST(cross_openai_to_cohere)
{
    run("openai", "cohere");
}

TEST(cross_cohere_to_openai)
{
    run("cohere", "openai");
}

TEST(cross_anthropic_to_cohere)
{
    run("anthropic", "cohere");
}

TEST(cross_cohere_to_anthropic)
{
    run("cohere", "anthropic");
}

TEST(cross_cohere_to_ollama)
{
    run("cohere", "ollama");
}

TEST(cross_ollama_to_cohere)
{
    run("ollama", "cohere");
}

TEST(cross_openai_to_bedrock)
{
    run("openai", "bedrock");
}

TEST(cross_bedrock_to_openai)
{
    run("bedrock", "openai");
}

TEST(cross_anthropic_to_bedrock)
{
    run("anthropic", "bedrock");
}

TEST(cross_bedrock_to_anthropic)
{
    run("bedrock", "anthropic");
}

TEST(cross_openai_to_gemini)
{
    run("openai", "gemini");
}

TEST(cross_gemini_to_openai)
{
    run("gemini", "openai");
}

TEST(cross_anthropic_to_gemini)
{
    run("anthropic", "gemini");
}

TEST(cross_gemini_to_anthropic)
{
    run("gemini", "anthropic");
}

TEST(cross_responses_to_gemini)
{
    run("responses", "gemini");
}

TEST(cross_responses_to_bedrock)
{
    run("responses", "bedrock");
}

TEST(cross_responses_to_cohere)
{
    run("responses", "cohere");
}

TEST(cross_responses_to_ollama)
{
    run("responses", "ollama");
}

TEST(cross_gemini_to_responses)
{
    run("gemini", "responses");
}

TEST(cross_gemini_to_bedrock)
{
    run("gemini", "bedrock");
}

TEST(cross_gemini_to_cohere)
{
    run("gemini", "cohere");
}

TEST(cross_gemini_to_ollama)
{
    run("gemini", "ollama");
}

TEST(cross_bedrock_to_responses)
{
    run("bedrock", "responses");
}

TEST(cross_bedrock_to_gemini)
{
    run("bedrock", "gemini");
}

TEST(cross_bedrock_to_cohere)
{
    run("bedrock", "cohere");
}

TEST(cross_bedrock_to_ollama)
{
    run("bedrock", "ollama");
}

TEST(cross_cohere_to_responses)
{
    run("cohere", "responses");
}

TEST(cross_cohere_to_gemini)
{
    run("cohere", "gemini");
}

TEST(cross_cohere_to_bedrock)
{
    run("cohere", "bedrock");
}

TEST(cross_ollama_to_responses)
{
    run("ollama", "responses");
}

TEST(cross_ollama_to_gemini)
{
    run("ollama", "gemini");
}

TEST(cross_ollama_to_bedrock)
{
    run("ollama", "bedrock");
}
