/* Every pair of dialects, on recorded traffic: what a provider said, told to a client of another dialect and read back, says the
 * same, and so does a request; whatever differs, the report of losses of that very translation names. For every codec under
 * providers/ with both sides: a new one is covered by being there and by a line in recordings.h.
 *
 * An answer and a request are reduced to facts, each of which may only differ if the feature that it belongs to was reported.
 */
#include <glob.h>
#include <jansson.h>

#include "codec_lab.h"
#include "recordings.h"
#include "test.h"

enum { CODECS_MAX = 16, COMPLAINTS = 6, NONE = WEIR_FEATURE_NONE };

struct codec {
    const struct weir_plugin *plugin;
    struct codec_says says;
};

static struct codec codecs[CODECS_MAX];
static int n_codecs;

/* What can be compared, and the feature that must be reported where it differs; NONE: it may never. */
enum fact {
    TEXT, THINKING, SIGNATURE, REFUSAL, CALLS, RESULTS, IMAGES, AUDIO, OPAQUE, CITATIONS, LOGPROBS, FINISH, STOP_SEQUENCE,
    INPUT, OUTPUT, CACHED_READ, CACHED_WRITE, REASONING, FACTS
};
static const struct {
    const char *name;
    uint32_t feature;
} kinds[FACTS] = {
    [TEXT] = { "text", NONE },
    [THINKING] = { "thinking", WEIR_FEATURE_ANSWER_THINKING },
    [SIGNATURE] = { "signature", WEIR_FEATURE_ANSWER_SIGNATURE },
    [REFUSAL] = { "refusal", WEIR_FEATURE_ANSWER_REFUSAL },
    [CALLS] = { "calls", NONE },
    [RESULTS] = { "tool results", WEIR_FEATURE_ANSWER_TOOL_RESULT },
    [IMAGES] = { "images", WEIR_FEATURE_ANSWER_IMAGE },
    [AUDIO] = { "audio", WEIR_FEATURE_ANSWER_AUDIO },
    [OPAQUE] = { "opaque", WEIR_FEATURE_ANSWER_OPAQUE },
    [CITATIONS] = { "citations", WEIR_FEATURE_ANSWER_CITATIONS },
    [LOGPROBS] = { "logprobs", WEIR_FEATURE_ANSWER_LOGPROBS },
    [FINISH] = { "finish", WEIR_FEATURE_ANSWER_FINISH },
    [STOP_SEQUENCE] = { "stop sequence", WEIR_FEATURE_ANSWER_STOP_SEQUENCE },
    [INPUT] = { "input", WEIR_FEATURE_ANSWER_USAGE },
    [OUTPUT] = { "output", WEIR_FEATURE_ANSWER_USAGE },
    [CACHED_READ] = { "cached_read", WEIR_FEATURE_ANSWER_CACHED_READ },
    [CACHED_WRITE] = { "cached_write", WEIR_FEATURE_ANSWER_CACHED_WRITE },
    [REASONING] = { "reasoning", WEIR_FEATURE_ANSWER_REASONING },
};

struct pair {
    const struct codec *from, *to;
    int answers, answers_passed, requests, requests_passed, refused, complaints;
};

static void open_codecs(void)
{
    char pattern[512];
    const char *build = getenv("WEIR_BUILD");
    glob_t found = { 0 };
    snprintf(pattern, sizeof(pattern), "%s/providers/*.so", build ? build : "build");
    glob(pattern, 0, NULL, &found);
    for (size_t i = 0; i < found.gl_pathc && n_codecs < CODECS_MAX; i++) {
        void *so = dlopen(found.gl_pathv[i], RTLD_NOW | RTLD_LOCAL);
        const struct weir_plugin *p = so ? dlsym(so, "weir_plugin") : NULL;
        const struct weir_codec *c = p && p->head.kind == WEIR_KIND_CODEC ? p->codec : NULL;
        if (!c || !(c->operations & WEIR_OP_BIT(WEIR_OP_CHAT)) || !c->says || !c->decode_request || !c->encode_request || !c->decode_frame || !c->encode_answer)
            continue;
        says_read(&codecs[n_codecs].says, c->says);
        codecs[n_codecs++].plugin = p;
    }
    globfree(&found);
}

static void complain(struct pair *x, const char *path, const char *what, const char *got, const char *want)
{
    if (x->complaints++ >= COMPLAINTS)
        return;
    size_t i = 0;
    while (got[i] && got[i] == want[i])
        i++;
    size_t from = i > 60 ? i - 60 : 0;
    printf("  %s -> %s, %s: %s\n     got  %.200s\n     want %.200s\n", x->from->plugin->name, x->to->plugin->name, path, what,
           got + from, want + from);
}

/* ---- facts of answers ---- */

static void put_json(struct weir_out *o, struct weir_str text)
{
    json_t *j = json_loadb(text.n ? text.p : "{}", text.n ? text.n : 2, JSON_DECODE_ANY, NULL);
    char *plain = j ? json_dumps(j, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    out_write(o, plain ? weir_cstr(plain) : text);
    free(plain);
    json_decref(j);
}

static enum fact fact_of(uint32_t block_kind)
{
    static const enum fact facts[] = { [WEIR_BLOCK_TEXT] = TEXT, [WEIR_BLOCK_THINKING] = THINKING, [WEIR_BLOCK_REFUSAL] = REFUSAL,
                                       [WEIR_BLOCK_TOOL_CALL] = CALLS, [WEIR_BLOCK_TOOL_RESULT] = RESULTS,
                                       [WEIR_BLOCK_IMAGE] = IMAGES, [WEIR_BLOCK_AUDIO] = AUDIO, [WEIR_BLOCK_OPAQUE] = OPAQUE };
    return block_kind < sizeof(facts) / sizeof(*facts) ? facts[block_kind] : OPAQUE;
}

static void put_block(struct lab *l, struct weir_out *facts, const struct weir_answer_block *b)
{
    struct weir_str text = text_decode(l->arena, &b->text);
    struct weir_out *to = &facts[fact_of(b->kind)];
    if (b->kind == WEIR_BLOCK_TOOL_CALL) {
        dump(to, "%u %.*s ", b->choice, (int)b->name.n, b->name.p);
        put_json(to, text);
        dump(to, "\n");
    } else {
        out_write(to, text);
    }
    out_write(&facts[SIGNATURE], text_decode(l->arena, &b->signature));
    out_write(&facts[CITATIONS], b->citations);
    if (b->logprobs.n)
        put_json(&facts[LOGPROBS], b->logprobs);
}

static void put_count(struct weir_out *o, int64_t n)
{
    if (n > 0)
        dump(o, "%lld", (long long)n);
}

/* Each as text; "" where there is nothing. Lifetime: the lab's. */
static void facts_of(struct lab *l, uint32_t choices, const char **to)
{
    static const char *const finishes[] = { "", "stop", "stop", "length", "calls", "filter", "refusal", "pause", "window", "other" };
    struct weir_out facts[FACTS] = { 0 };
    const struct weir_answer *a = collector_answer(l->collector);
    for (const struct weir_answer_block *b = a->blocks; b; b = b->next)
        if (b->choice < choices)
            put_block(l, facts, b);
    for (uint32_t i = 0; i < a->n_choices && i < choices; i++) {
        dump(&facts[FINISH], "%s ", finishes[a->choices[i].finish < 10 ? a->choices[i].finish : 9]);
        out_write(&facts[STOP_SEQUENCE], text_decode(l->arena, &a->choices[i].stop_sequence));
    }
    put_count(&facts[INPUT], a->usage.input);
    put_count(&facts[OUTPUT], a->usage.output);
    put_count(&facts[CACHED_READ], a->usage.cached_read);
    put_count(&facts[CACHED_WRITE], a->usage.cached_write);
    put_count(&facts[REASONING], a->usage.reasoning);
    for (int i = 0; i < FACTS; i++) {
        to[i] = lab_cstr(l, out_bytes(&facts[i]));
        out_free(&facts[i]);
    }
}

/* ---- what was reported ---- */

static bool is_reported(const struct pair *x, const struct features *used, uint32_t feature)
{
    return feature != NONE && (lab_losses[feature] || (features_have(used, feature) && says_loss(&x->to->says, feature)));
}

/* A refusal may be told as text, if that is reported. */
static bool is_told_as_text(const struct pair *x, const struct features *used, const char **got, const char **want)
{
    size_t n = strlen(want[TEXT]);
    return is_reported(x, used, WEIR_FEATURE_ANSWER_REFUSAL) && strncmp(got[TEXT], want[TEXT], n) == 0 &&
           strcmp(got[TEXT] + n, want[REFUSAL]) == 0;
}

/* A signature of another dialect says whose it is, so that it finds the way back: "weir1:DIALECT:". */
static const char *unmarked(struct lab *l, const char *text)
{
    struct weir_out o = { 0 };
    for (const char *mark; (mark = strstr(text, "weir1:")) != NULL;) {
        const char *end = strchr(mark + 6, ':');
        out_write(&o, (struct weir_str){ text, (size_t)(mark - text) });
        text = end ? end + 1 : mark + 6;
    }
    out_write(&o, weir_cstr(text));
    const char *kept = lab_cstr(l, out_bytes(&o));
    out_free(&o);
    return kept;
}

static bool same_answer(struct pair *x, const char *path, const char *how, struct lab *up, struct lab *down)
{
    const char *want[FACTS], *got[FACTS];
    bool is_same = true;
    char what[80];
    uint32_t choices = is_reported(x, &up->emitted, WEIR_FEATURE_ANSWER_CHOICES) ? 1 : UINT32_MAX;
    facts_of(up, choices, want);
    facts_of(down, choices, got);
    got[SIGNATURE] = unmarked(down, got[SIGNATURE]);
    for (int i = 0; i < FACTS; i++) {
        bool differs = strcmp(got[i], want[i]) != 0;
        if (!differs || is_reported(x, &up->emitted, kinds[i].feature) ||
            (i == TEXT && is_told_as_text(x, &up->emitted, got, want)))
            continue;
        snprintf(what, sizeof(what), "%s, %s differs and nobody said so", how, kinds[i].name);
        complain(x, path, what, got[i], want[i]);
        is_same = false;
    }
    return is_same;
}

static struct conversation *asked(struct lab *client)
{
    struct conversation *c = conversation_new(client->arena, weir_cstr(client->plugin->name), WEIR_OP_CHAT, WEIR_LIT("{}"));
    conversation_set_field(c, WEIR_FIELD_STREAM_USAGE, WEIR_LIT("true"), WEIR_NONE);
    conversation_set_field(c, WEIR_FIELD_REASONING_VISIBLE, WEIR_LIT("true"), WEIR_NONE);
    return c;
}

static bool check_whole(struct pair *x, const char *path, struct lab *up, struct lab *client)
{
    struct weir_out document = { 0 };
    struct lab *down = lab_begin(x->to->plugin, 'e', client->conversation);
    struct scratch before = scratch_enter();
    x->to->plugin->codec->encode_answer(client->self, &client->call, client->state, collector_answer(up->collector), &document);
    scratch_leave(before);
    bool is_well = lab_decode_answer(down, (enum weir_framing)x->to->plugin->codec->whole_framing, out_bytes(&document), 0, true) == 0;
    if (!is_well)
        complain(x, path, "whole, it can't be read back", down->grammar_error ? down->grammar_error : "", "END");
    is_well = is_well && same_answer(x, path, "whole", up, down);
    out_free(&document);
    lab_end(down);
    return is_well;
}

static void check_answer(struct pair *x, const struct recording *r, const char *path)
{
    const struct weir_codec *to = x->to->plugin->codec;
    struct lab *client = lab_begin(x->to->plugin, 'i', NULL);
    memset(lab_losses, 0, sizeof(lab_losses));
    client->conversation = asked(client);
    struct lab *up = lab_begin(x->from->plugin, 'e', client->conversation);
    struct lab *down = lab_begin(x->to->plugin, 'e', client->conversation);
    up->encoder = client;
    if (lab_decode_answer(up, recorded_framing(x->from->plugin->codec, r->response), r->response, 0, true) == 0 && !up->has_error) {
        x->answers++;
        bool is_well = lab_decode_answer(down, (enum weir_framing)to->stream_framing, out_bytes(&client->told), 0, true) == 0;
        if (!is_well)
            complain(x, path, "streamed, it can't be read back", down->grammar_error ? down->grammar_error : "", "END");
        is_well = is_well && same_answer(x, path, "streamed", up, down);
        x->answers_passed += check_whole(x, path, up, client) && is_well;
    }
    lab_end(down);
    lab_end(up);
    lab_end(client);
}

/* ---- requests ---- */

struct words {
    struct weir_out of[6]; /* by role; then calls, results' names, tools */
};

static bool is_text_file(const struct weir_part *p)
{
    return p->media_type.n > 5 && memcmp(p->media_type.p, "text/", 5) == 0 && (p->data.n || p->text.n);
}

/* Is there a text file, as one or as a text that says it is one? */
static bool has_text_file(const struct weir_conversation *c)
{
    for (const struct weir_message *m = c->messages; m; m = m->next)
        for (const struct weir_part *p = m->parts; p; p = p->next)
            if (is_text_file(p))
                return true;
    return false;
}

static void put_parts(struct lab *l, struct weir_out *text, struct words *w, const struct weir_part *p)
{
    for (; p; p = p->next) {
        if (p->kind == WEIR_PART_FILE && is_text_file(p))
            out_write(text, lab_base64(&l->call, text_decode(l->arena, &p->data), true));
        if (p->kind == WEIR_PART_TEXT || p->kind == WEIR_PART_REFUSAL)
            out_write(text, text_decode(l->arena, &p->text));
        if (p->kind == WEIR_PART_TOOL_CALL) {
            dump(&w->of[0], "%.*s ", (int)p->name.n, p->name.p);
            put_json(&w->of[0], text_decode(l->arena, &p->text));
        }
        put_parts(l, text, w, p->parts);
    }
}

/* Words, calls and tools: what no translation may lose at all. White space at the seams may change. */
static const char *words_of(struct lab *l, const struct weir_conversation *c)
{
    struct words w = { 0 };
    struct weir_out all = { 0 };
    for (const struct weir_message *m = c->messages; m; m = m->next)
        put_parts(l, &w.of[m->role <= 4 ? m->role : 2], &w, m->parts);
    for (const struct weir_tool *t = c->tools; t; t = t->next)
        if (t->name.n && !t->raw.n)
            dump(&w.of[5], "%.*s ", (int)t->name.n, t->name.p);
    for (int i = 0; i < 6; i++) {
        struct weir_str text = out_bytes(&w.of[i]);
        dump(&all, "|%d ", i);
        for (size_t k = 0; k < text.n; k++)
            if (!strchr(" \n\r\t", text.p[k]))
                out_write(&all, (struct weir_str){ text.p + k, 1 });
        out_free(&w.of[i]);
    }
    const char *text = lab_cstr(l, out_bytes(&all));
    out_free(&all);
    return text;
}

static struct features used_by(const struct weir_conversation *c)
{
    struct features fields = features_of_fields(c), content = features_of_content(c);
    for (size_t i = 0; i < sizeof(fields.bits) / sizeof(*fields.bits); i++)
        fields.bits[i] |= content.bits[i];
    return fields;
}

/* A schema's name and description say nothing to the model's decoder. */
static void put_value(struct weir_out *o, struct weir_str text)
{
    json_t *j = json_loadb(text.n ? text.p : "null", text.n ? text.n : 4, JSON_DECODE_ANY, NULL);
    if (json_object_get(j, "schema")) {
        json_object_del(j, "name");
        json_object_del(j, "description");
        json_object_del(j, "strict");
    }
    char *plain = j ? json_dumps(j, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    out_write(o, plain ? weir_cstr(plain) : text);
    free(plain);
    json_decref(j);
}

static bool same_json(struct weir_str a, struct weir_str b)
{
    struct weir_out x = { 0 }, y = { 0 };
    put_value(&x, a);
    put_value(&y, b);
    bool is_same = weir_eq(out_bytes(&x), out_bytes(&y));
    out_free(&x);
    out_free(&y);
    return is_same;
}

/* No reasoning, and a budget that is the model's to choose, are what a dialect does unasked. */
static bool asks_for_nothing(uint32_t f, struct weir_str sent, struct weir_str back)
{
    return !back.n && ((f == WEIR_FIELD_REASONING_EFFORT && weir_is(sent, "\"none\"")) ||
                       (f == WEIR_FIELD_REASONING_BUDGET && weir_is(sent, "-1")) ||
                       (f == WEIR_FIELD_REASONING_VISIBLE && weir_is(sent, "false")));
}

static bool same_fields(struct pair *x, const char *path, struct lab *client, struct lab *again, const struct features *used)
{
    const struct weir_conversation *want = &client->conversation->view, *got = &again->conversation->view;
    bool is_same = true;
    for (uint32_t f = WEIR_FIELD_MAX_TOKENS; f < want->n_fields; f++) {
        struct weir_str sent = weir_field(want, (enum weir_field)f), back = weir_field(got, (enum weir_field)f);
        char what[80];
        if (!feature_is_asked(f, sent) || same_json(sent, back) || is_reported(x, used, f) || asks_for_nothing(f, sent, back))
            continue;
        snprintf(what, sizeof(what), "request: %s differs and nobody said so", feature_name(f));
        complain(x, path, what, lab_cstr(again, back), lab_cstr(client, sent));
        is_same = false;
    }
    return is_same;
}

/* A feature that the request uses comes back, or was reported. */
static bool same_features(struct pair *x, const char *path, struct lab *client, struct lab *again, const struct features *used)
{
    struct features left = *used, back = used_by(&again->conversation->view);
    bool is_same = true;
    for (uint32_t f = features_take(&left); f < WEIR_FEATURES; f = features_take(&left)) {
        char what[80];
        bool is_of_tools = f == WEIR_FEATURE_TOOLS || f == WEIR_FEATURE_TOOL_STRICT;
        bool has_no_use = is_of_tools && is_reported(x, used, WEIR_FIELD_TOOL_CHOICE); /* "none" */
        bool is_text = f == WEIR_FEATURE_FILE_DATA && has_text_file(&again->conversation->view);
        if (f < 64 || features_have(&back, f) || is_reported(x, used, f) || has_no_use || is_text)
            continue;
        snprintf(what, sizeof(what), "request: %s is gone and nobody said so", feature_name(f));
        complain(x, path, what, "", words_of(client, &client->conversation->view));
        is_same = false;
    }
    return is_same;
}

static void compare_requests(struct pair *x, const char *path, struct lab *client, struct lab *up, struct weir_str sent)
{
    struct features used = used_by(&client->conversation->view);
    struct lab *again = lab_begin(x->to->plugin, 'i', NULL);
    lab_is_called(again, up);
    if (lab_decode_request(again, sent) < 0) {
        complain(x, path, "request: it can't be read back", lab_cstr(again, again->error.message), "");
        lab_end(again);
        return;
    }
    const char *want = words_of(client, &client->conversation->view), *got = words_of(again, &again->conversation->view);
    static const uint32_t mergers[] = { WEIR_FEATURE_OPAQUE, WEIR_FEATURE_SYSTEM_LATER, WEIR_FEATURE_RESULT_MEDIA, WEIR_FEATURE_FILE_DATA,
                                        WEIR_FEATURE_RESULT_ERROR, WEIR_FEATURE_MESSAGE_NAME, WEIR_FEATURE_REFUSAL,
                                        WEIR_FIELD_RESPONSE_FORMAT, WEIR_FEATURE_PREFILL, WEIR_FEATURE_TURNS, WEIR_FIELD_TOOL_CHOICE, WEIR_FEATURE_THINKING,
                                        WEIR_FEATURE_TOOLS };
    /* a dialect that wants earlier turns' tools declared gets them */
    bool has_tools_added = !client->conversation->view.tools && strncmp(got, want, strlen(want)) == 0;
    bool may_differ = has_tools_added, is_same = strcmp(got, want) == 0;
    for (size_t i = 0; i < sizeof(mergers) / sizeof(*mergers); i++)
        may_differ = may_differ || is_reported(x, &used, mergers[i]);
    if (!is_same && !may_differ)
        complain(x, path, "request: words differ and nobody said so", got, want);
    is_same = same_fields(x, path, client, again, &used) && (is_same || may_differ);
    x->requests_passed += same_features(x, path, client, again, &used) && is_same;
    lab_end(again);
}

static void check_request(struct pair *x, const struct recording *r, const char *path)
{
    struct lab *client = lab_begin(x->from->plugin, 'i', NULL);
    lab_at(client, r->path);
    memset(lab_losses, 0, sizeof(lab_losses));
    if (lab_decode_request(client, r->request) == 0 && client->conversation->view.operation == WEIR_OP_CHAT) {
        struct lab *up = lab_begin(x->to->plugin, 'e', client->conversation);
        struct weir_out body = { 0 };
        struct scratch before = scratch_enter();
        int rc = up->codec->encode_request(up->self, &up->call, up->state, &client->conversation->view, &body);
        scratch_leave(before);
        x->requests++;
        if (rc == 0)
            compare_requests(x, path, client, up, out_bytes(&body));
        else
            x->refused++, x->requests_passed += up->has_failed;
        out_free(&body);
        lab_end(up);
    }
    lab_end(client);
}

/* ---- all of them ---- */

static void check(void *arg, const struct recording *r, const char *path)
{
    struct pair *x = arg;
    const char *name = strrchr(path, '/');
    if (r->response.n)
        check_answer(x, r, name ? name + 1 : path);
    if (r->request.n && r->request.p[0] == '{')
        check_request(x, r, name ? name + 1 : path);
}

TEST(nothing_is_lost_in_silence)
{
    int found = 0, failed = 0;
    open_codecs();
    for (int i = 0; i < n_codecs; i++)
        for (int k = 0; k < n_codecs; k++) {
            struct pair x = { .from = &codecs[i], .to = &codecs[k] };
            if (i == k)
                continue; /* the diagonal is relayed; test_codec_recordings.c sees to what it means */
            found += recordings_each(x.from->plugin->name, check, &x);
            if (x.answers + x.requests)
                printf("  %-10s -> %-10s  answers %d of %d, requests %d of %d (%d refused with a reason)\n", x.from->plugin->name,
                       x.to->plugin->name, x.answers_passed, x.answers, x.requests_passed, x.requests, x.refused);
            failed += x.answers - x.answers_passed + x.requests - x.requests_passed;
        }
    if (!found)
        SKIP("no recordings in ../shared (or $WEIR_SHARED)");
    CHECK(n_codecs >= 2);
    CHECK_INT(failed, 0);
}
