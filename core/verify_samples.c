/* Made-up conversations and answers: they go out through the codec and, where it has both directions, come back the same.
 *
 * A sample that needs what the codec says it can't is left out. What shows in the codec's bytes (marker words) or in what it
 * read is what it covers.
 */
#include <stdio.h>

#include "verify_codec.h"

struct sample {
    const char *name, *canon;
    uint32_t needs; /* enum weir_capability */
};

#define TOOL "\"tools\":[{\"name\":\"look_up\",\"description\":\"Looks up\",\"schema\":{\"type\":\"object\",\"properties\":{\"word\":{\"type\":\"string\"}}}}]"
#define PIXEL "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

static const struct sample requests[] = {
    { "a question", "{\"fields\":{\"model\":\"m\",\"max_tokens\":100},\"messages\":[{\"role\":\"user\",\"parts\":[{\"kind\":\"text\",\"text\":\"the_question \\u00fc \\\"\\ud83d\\ude00\\\"\"}]}]}", 0 },
    { "a streamed question", "{\"fields\":{\"model\":\"m\",\"stream\":true,\"stream_usage\":true,\"max_tokens\":100},\"messages\":[{\"role\":\"user\",\"parts\":[{\"kind\":\"text\",\"text\":\"the_question\"}]}]}", WEIR_CAN_STREAM },
    { "several turns", "{\"fields\":{\"model\":\"m\",\"max_tokens\":100,\"temperature\":0.7},\"messages\":[{\"role\":\"system\",\"parts\":[{\"kind\":\"text\",\"text\":\"the_system\"}]},{\"role\":\"user\",\"parts\":[{\"kind\":\"text\",\"text\":\"one\"}]},{\"role\":\"assistant\",\"parts\":[{\"kind\":\"text\",\"text\":\"two\"}]},{\"role\":\"user\",\"parts\":[{\"kind\":\"text\",\"text\":\"three\"}]}]}", 0 },
    { "tools", "{\"fields\":{\"model\":\"m\",\"max_tokens\":100,\"tool_choice\":\"auto\"},\"messages\":[{\"role\":\"user\",\"parts\":[{\"kind\":\"text\",\"text\":\"ask\"}]}]," TOOL "}", WEIR_CAN_TOOLS },
    { "tool results", "{\"fields\":{\"model\":\"m\",\"max_tokens\":100},\"messages\":[{\"role\":\"user\",\"parts\":[{\"kind\":\"text\",\"text\":\"ask\"}]},{\"role\":\"assistant\",\"parts\":[{\"kind\":\"tool_call\",\"id\":\"call_1\",\"name\":\"look_up\",\"text\":\"{\\\"word\\\":\\\"a\\\"}\"}]},{\"role\":\"tool\",\"parts\":[{\"kind\":\"tool_result\",\"id\":\"call_1\",\"parts\":[{\"kind\":\"text\",\"text\":\"the_result\"}]}]}]," TOOL "}", WEIR_CAN_TOOLS },
    { "an image", "{\"fields\":{\"model\":\"m\",\"max_tokens\":100},\"messages\":[{\"role\":\"user\",\"parts\":[{\"kind\":\"text\",\"text\":\"see\"},{\"kind\":\"image\",\"data\":\"" PIXEL "\",\"media_type\":\"image/png\"}]}]}", WEIR_CAN_IMAGE_INLINE },
    { "thinking", "{\"fields\":{\"model\":\"m\",\"max_tokens\":4000,\"reasoning_budget\":1024},\"messages\":[{\"role\":\"user\",\"parts\":[{\"kind\":\"text\",\"text\":\"think\"}]}]}", WEIR_CAN_THINKING },
    { "a schema for the answer", "{\"fields\":{\"model\":\"m\",\"max_tokens\":100,\"response_format\":{\"name\":\"shape\",\"schema\":{\"type\":\"object\",\"properties\":{\"the_property\":{\"type\":\"string\"}},\"required\":[\"the_property\"],\"additionalProperties\":false},\"strict\":true}},\"messages\":[{\"role\":\"user\",\"parts\":[{\"kind\":\"text\",\"text\":\"fill\"}]}]}", WEIR_CAN_JSON_SCHEMA },
};

#define START "{\"event\":\"start\",\"id\":\"answer_1\",\"name\":\"m\",\"created\":1700000000}\n"
#define TEXT(n, s) "{\"event\":\"block_start\",\"choice\":0,\"block\":" n ",\"kind\":\"text\"}\n{\"event\":\"delta\",\"choice\":0,\"block\":" n ",\"adds\":\"text\",\"text\":\"" s "\"}\n{\"event\":\"delta\",\"choice\":0,\"block\":" n ",\"adds\":\"text\",\"text\":\" more \\u00fc\"}\n{\"event\":\"block_stop\",\"choice\":0,\"block\":" n "}\n"
#define FINISH(why) "{\"event\":\"finish\",\"choice\":0,\"reason\":\"" why "\"}\n{\"event\":\"usage\",\"usage\":{\"input\":31,\"output\":57}}\n{\"event\":\"end\"}\n"

static const struct sample answers[] = {
    { "a text", START TEXT("0", "the_answer") FINISH("stop"), 0 },
    { "a text that was cut short", START TEXT("0", "the_answer") FINISH("length"), 0 },
    { "nothing at all", START FINISH("stop"), 0 },
    { "a tool call", START TEXT("0", "the_answer") "{\"event\":\"block_start\",\"choice\":0,\"block\":1,\"kind\":\"tool_call\",\"id\":\"call_1\",\"name\":\"look_up\"}\n{\"event\":\"delta\",\"choice\":0,\"block\":1,\"adds\":\"arguments\",\"text\":\"{\\\"word\\\":\"}\n{\"event\":\"delta\",\"choice\":0,\"block\":1,\"adds\":\"arguments\",\"text\":\"\\\"a\\\"}\"}\n{\"event\":\"block_stop\",\"choice\":0,\"block\":1}\n" FINISH("tool_calls"), WEIR_CAN_TOOLS },
    { "thoughts", START "{\"event\":\"block_start\",\"choice\":0,\"block\":0,\"kind\":\"thinking\"}\n{\"event\":\"delta\",\"choice\":0,\"block\":0,\"adds\":\"text\",\"text\":\"the_thought\"}\n{\"event\":\"block_stop\",\"choice\":0,\"block\":0}\n" TEXT("1", "the_answer") FINISH("stop"), WEIR_CAN_THINKING },
};

/* ---- what shows ---- */

static bool contains(struct weir_str s, const char *word)
{
    return s.n > 0 && memmem(s.p, s.n, word, strlen(word)) != NULL;
}

static void note_request_bytes(struct codec_test *t, struct weir_str bytes)
{
    static const struct { const char *word; enum covered covers; } marks[] = {
        { "the_question", COVERS_TEXT }, { "the_system", COVERS_SYSTEM }, { "look_up", COVERS_TOOLS }, { "the_result", COVERS_TOOL_RESULTS },
        { PIXEL, COVERS_IMAGES }, { "the_property", COVERS_FORMAT },
    };
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        t->covers_out[marks[i].covers] |= contains(bytes, marks[i].word);
}

static void note_answer_bytes(struct codec_test *t, struct weir_str bytes)
{
    t->covers_out[COVERS_ANSWER_TEXT] |= contains(bytes, "the_answer");
    t->covers_out[COVERS_ANSWER_TOOLS] |= contains(bytes, "look_up");
    t->covers_out[COVERS_ANSWER_THINKING] |= contains(bytes, "the_thought");
    t->covers_out[COVERS_USAGE] |= contains(bytes, "31") && contains(bytes, "57");
}

static void note_part(bool *covers, const struct weir_part *p)
{
    covers[COVERS_TEXT] |= p->kind == WEIR_PART_TEXT;
    covers[COVERS_IMAGES] |= p->kind == WEIR_PART_IMAGE;
    covers[COVERS_TOOL_RESULTS] |= p->kind == WEIR_PART_TOOL_RESULT;
    covers[COVERS_THINKING] |= p->kind == WEIR_PART_THINKING;
}

void codec_note_request(struct codec_test *t, const struct weir_conversation *c, bool is_in)
{
    bool *covers = is_in ? t->covers_in : t->covers_out;
    covers[COVERS_TOOLS] |= c->tools != NULL;
    covers[COVERS_FORMAT] |= weir_field(c, WEIR_FIELD_RESPONSE_FORMAT).n > 0;
    covers[COVERS_THINKING] |= weir_field(c, WEIR_FIELD_REASONING_BUDGET).n > 0 || weir_field(c, WEIR_FIELD_REASONING_EFFORT).n > 0;
    for (const struct weir_message *m = c->messages; m; m = m->next) {
        covers[COVERS_SYSTEM] |= m->role == WEIR_ROLE_SYSTEM;
        for (const struct weir_part *p = m->parts; p; p = p->next)
            note_part(covers, p);
    }
}

void codec_note_events(struct codec_test *t, const struct lab_event *list, bool is_in)
{
    bool *covers = is_in ? t->covers_in : t->covers_out;
    for (; list; list = list->next) {
        const struct weir_event *e = &list->event;
        covers[COVERS_ANSWER_TEXT] |= e->kind == WEIR_EVENT_BLOCK_START && e->block_kind == WEIR_BLOCK_TEXT;
        covers[COVERS_ANSWER_TOOLS] |= e->kind == WEIR_EVENT_BLOCK_START && e->block_kind == WEIR_BLOCK_TOOL_CALL;
        covers[COVERS_ANSWER_THINKING] |= e->kind == WEIR_EVENT_BLOCK_START && e->block_kind == WEIR_BLOCK_THINKING;
        covers[COVERS_USAGE] |= e->usage && e->usage->output >= 0;
        covers[COVERS_ERRORS] |= e->kind == WEIR_EVENT_ERROR;
    }
}

/* ---- requests ---- */

static bool is_sayable(const struct codec_test *t, const struct sample *s)
{
    const struct weir_codec *c = &t->plugin->codec;
    bool chats = !c->operations || c->operations & WEIR_OP_BIT(WEIR_OP_CHAT);
    return chats && (s->needs & ~c->capabilities) == 0;
}

static void show_change(struct codec_test *t, const char *what, const struct sample *s, struct weir_str before, struct weir_str wire,
                        struct weir_str after)
{
    codec_bad(t, "request \"%s\" %s", s->name, what);
    codec_show("before:", before);
    codec_show("wire:", wire);
    codec_show("after:", after);
}

/* Once more: what was read is in the dialect's own terms now, and must come back exactly. */
static bool request_is_stable(struct codec_test *t, const struct sample *s, struct conversation *c, struct weir_str before)
{
    struct weir_out wire = { 0 }, after = { 0 };
    struct lab *writer = lab_new(t->plugin, t->self, LAB_EGRESS), *reader = lab_new(t->plugin, t->self, LAB_INGRESS);
    bool is_good = lab_encode_request(writer, c, &wire) == 0;
    lab_is_called(reader, writer);
    is_good = is_good && lab_decode_request(reader, out_bytes(&wire)) == 0;
    if (is_good)
        canon_conversation(reader->arena, &reader->conversation->view, &after);
    is_good = is_good && codec_same_json(before, out_bytes(&after));
    if (!is_good)
        show_change(t, "changes again, the second time that it is written and read", s, before, out_bytes(&wire), out_bytes(&after));
    lab_free(writer);
    lab_free(reader);
    out_free(&wire);
    out_free(&after);
    return is_good;
}

static bool request_returns(struct codec_test *t, const struct sample *s, const struct lab *writer, struct weir_str bytes)
{
    const struct conversation *sent = writer->conversation;
    struct weir_out x = { 0 }, y = { 0 };
    struct lab *l = lab_new(t->plugin, t->self, LAB_INGRESS);
    lab_is_called(l, writer);
    codec_step(t, "the sample \"%s\", read again", s->name);
    bool is_good = lab_decode_request(l, bytes) == 0;
    canon_conversation(l->arena, &sent->view, &x);
    if (is_good)
        canon_conversation(l->arena, &l->conversation->view, &y);
    else
        codec_bad(t, "request \"%s\": what encode_request wrote, decode_request refuses: %s", s->name, lab_why(l));
    if (is_good && !codec_same_request(out_bytes(&x), out_bytes(&y))) {
        show_change(t, "changes on its way out and in again", s, out_bytes(&x), bytes, out_bytes(&y));
        is_good = false;
    }
    if (is_good) {
        codec_note_request(t, &l->conversation->view, true);
        is_good = request_is_stable(t, s, l->conversation, out_bytes(&y));
    }
    lab_free(l);
    out_free(&x);
    out_free(&y);
    return is_good;
}

static bool try_request(struct codec_test *t, const struct sample *s)
{
    struct weir_out out = { 0 };
    struct lab *l = lab_new(t->plugin, t->self, LAB_EGRESS);
    const char *why = "";
    struct conversation *c = parse_conversation(l->arena, "verify", weir_cstr(s->canon), &why);
    codec_step(t, "the sample \"%s\", encoded", s->name);
    bool is_good = c && lab_encode_request(l, c, &out) == 0 && out_complete(&out);
    if (!is_good)
        codec_bad(t, "request \"%s\": encode_request: %s", s->name, c ? out.failed ? "its writes make no JSON" : lab_why(l) : why);
    if (is_good && !codec_is_json(out_bytes(&out))) {
        codec_bad(t, "request \"%s\": encode_request writes no JSON", s->name);
        codec_show("it wrote:", out_bytes(&out));
        is_good = false;
    }
    if (is_good) {
        note_request_bytes(t, out_bytes(&out));
        t->covers_out[COVERS_THINKING] |= s->needs == WEIR_CAN_THINKING;
        codec_seed(t, SEED_REQUEST, out_bytes(&out));
    }
    if (is_good && codec_reads_requests(t->plugin))
        is_good = request_returns(t, s, l, out_bytes(&out));
    lab_free(l);
    out_free(&out);
    return is_good;
}

static void try_requests(struct codec_test *t)
{
    uint32_t n = 0, n_good = 0;
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++)
        if (is_sayable(t, &requests[i])) {
            n++;
            n_good += try_request(t, &requests[i]);
        }
    if (n && n == n_good)
        codec_ok(t, "%u made-up requests go out%s", n, codec_reads_requests(t->plugin) ? " and come in again the same" : "");
}

/* ---- answers ---- */

/* An encoder may look at the request: it gets one that asks for everything. */
static struct lab *encoder(struct codec_test *t)
{
    struct weir_out out = { 0 };
    struct lab *l = lab_new(t->plugin, t->self, LAB_INGRESS);
    const char *why;
    if (codec_writes_requests(t->plugin) && codec_reads_requests(t->plugin)) {
        struct lab *writer = lab_new(t->plugin, t->self, LAB_EGRESS);
        struct conversation *c = parse_conversation(writer->arena, "verify", weir_cstr(requests[1].canon), &why);
        if (c && lab_encode_request(writer, c, &out) == 0) {
            lab_is_called(l, writer);
            lab_decode_request(l, out_bytes(&out));
        }
        lab_free(writer);
        out_free(&out);
    }
    return l;
}

static bool answer_returns(struct codec_test *t, const struct sample *s, const struct lab_event *sent, struct weir_str bytes, bool is_whole)
{
    struct weir_out x = { 0 }, y = { 0 };
    struct lab *l = lab_new(t->plugin, t->self, LAB_EGRESS);
    struct lab_answer answer = { .bytes = bytes, .cut = bytes.n, .is_whole = is_whole, .ends_clean = true };
    const char *way = is_whole ? "whole" : "streamed";
    codec_step(t, "the %s answer \"%s\", read again", way, s->name);
    bool is_good = lab_decode_answer(l, &answer) == 0 && l->has_ended;
    canon_answer(l->arena, sent, &x);
    canon_answer(l->arena, l->events, &y);
    if (!is_good)
        codec_bad(t, "answer \"%s\", %s: what the codec wrote it does not read: %s", s->name, way,
                  l->broken_rule || l->error.error_class ? lab_why(l) : "no END");
    else if (!codec_same_answer(out_bytes(&x), out_bytes(&y)))
        codec_bad(t, "answer \"%s\", %s, changes on its way out and in again", s->name, way);
    is_good = is_good && codec_same_answer(out_bytes(&x), out_bytes(&y));
    if (!is_good) {
        codec_show("before:", out_bytes(&x));
        codec_show("wire:", bytes);
        codec_show("after:", out_bytes(&y));
    }
    codec_note_events(t, l->events, true);
    lab_free(l);
    out_free(&x);
    out_free(&y);
    return is_good;
}

static bool try_answer(struct codec_test *t, const struct sample *s, bool is_whole)
{
    struct weir_out out = { 0 };
    struct lab *l = encoder(t);
    struct lab_event *events = NULL;
    const char *why = "", *way = is_whole ? "whole" : "streamed";
    codec_step(t, "the %s answer \"%s\", encoded", way, s->name);
    if (!parse_events(l->arena, weir_cstr(s->canon), &events, &why))
        codec_bad(t, "the sample \"%s\" is wrong: %s", s->name, why);
    int rc = is_whole ? lab_encode_answer(l, events, &out) : lab_encode_stream(l, events, &out);
    bool is_good = rc == 0 && !out.failed && out.n > 0 && (!is_whole || codec_is_json(out_bytes(&out)));
    if (!is_good)
        codec_bad(t, "answer \"%s\", %s: %s", s->name, way, rc ? lab_why(l) : out.failed ? "its writes make no JSON" : out.n ? "it is no JSON" : "nothing was written");
    if (is_good) {
        note_answer_bytes(t, out_bytes(&out));
        codec_seed(t, is_whole ? SEED_ANSWER : SEED_STREAM, out_bytes(&out));
    }
    if (is_good && codec_reads_answers(t->plugin))
        is_good = answer_returns(t, s, events, out_bytes(&out), is_whole) &&
                  (is_whole || codec_cuts(t, s->name, out_bytes(&out), false)) && codec_truncations(t, s->name, out_bytes(&out), is_whole);
    lab_free(l);
    out_free(&out);
    return is_good;
}

static void try_answers(struct codec_test *t)
{
    uint32_t n = 0, n_good = 0;
    bool streams = t->plugin->codec.stream_type != NULL;
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        if (!is_sayable(t, &answers[i]))
            continue;
        n += 1 + streams;
        n_good += try_answer(t, &answers[i], true);
        n_good += streams && try_answer(t, &answers[i], false);
    }
    if (n && n == n_good)
        codec_ok(t, "%u made-up answers go out%s", n, codec_reads_answers(t->plugin) ? ", come in again the same, also cut at every byte" : "");
}

static void try_error(struct codec_test *t)
{
    struct weir_out out = { 0 };
    struct weir_error e = { .size = sizeof e, .error_class = WEIR_ERROR_RATE_LIMITED, .status = 429, .retry_after_ms = 1000,
                            .code = WEIR_LIT("the_code"), .message = WEIR_LIT("the_message"), .param = WEIR_LIT("messages") };
    struct lab *l = lab_new(t->plugin, t->self, LAB_INGRESS);
    l->state = NULL; /* the request may never have been read */
    codec_step(t, "an error, encoded");
    int rc = lab_encode_error(l, &e, &out);
    if (rc != 0 || !codec_is_json(out_bytes(&out)) || !contains(out_bytes(&out), "the_message"))
        codec_bad(t, "encode_error: %s", rc ? lab_why(l) : "what it writes is no JSON, or does not have the message in it");
    else
        codec_ok(t, "an error goes out");
    t->covers_out[COVERS_ERRORS] |= contains(out_bytes(&out), "the_message");
    codec_seed(t, SEED_ERROR, out_bytes(&out));
    lab_free(l);
    out_free(&out);
}

void codec_samples(struct codec_test *t)
{
    if (codec_writes_requests(t->plugin))
        try_requests(t);
    if (codec_writes_answers(t->plugin))
        try_answers(t);
    if (t->plugin->codec.encode_error)
        try_error(t);
}

/* ---- what was not seen ---- */

static const char *const names[COVERS_COUNT] = { "text", "system prompts", "tools", "tool results", "images", "thinking", "answer formats",
                                                 "text", "tool calls", "thinking", "usage", "errors", "end" };

static void print_missing(const char *direction, const bool *covers, int from, int to)
{
    const char *gap = "";
    bool has_any = false;
    for (int i = from; i < to; i++)
        has_any |= !covers[i];
    if (!has_any)
        return;
    printf("not covered, %s: ", direction);
    for (int i = from; i < to; i++)
        if (!covers[i]) {
            printf("%s%s", gap, names[i]);
            gap = ", ";
        }
    printf("\n");
}

void codec_coverage(struct codec_test *t)
{
    const struct plugin *p = t->plugin;
    if (t->misses_end)
        t->covers_in[COVERS_END] = false;
    t->covers_in[COVERS_ERRORS] |= p->codec.decode_error != NULL;
    t->covers_out[COVERS_END] = true;
    if (codec_reads_requests(p))
        print_missing("requests read", t->covers_in, COVERS_TEXT, COVERS_ANSWER_TEXT);
    if (codec_writes_requests(p))
        print_missing("requests written", t->covers_out, COVERS_TEXT, COVERS_ANSWER_TEXT);
    if (codec_reads_answers(p))
        print_missing("answers read", t->covers_in, COVERS_ANSWER_TEXT, COVERS_COUNT);
    if (codec_writes_answers(p))
        print_missing("answers written", t->covers_out, COVERS_ANSWER_TEXT, COVERS_COUNT);
    if (!codec_reads_requests(p))
        printf("it is no front door\n");
    if (!codec_writes_requests(p))
        printf("it is no provider\n");
}
