/* Events as values. The grammar keeps the list of open blocks; the collector keeps one growing text per block and owns those
 * buffers until collector_free(), everything else of it lives in its arena.
 */
#include "answer.h"

#include <stdlib.h>

#include "text.h"

/* ---- copies ---- */

void event_adopt(struct weir_event *to, const struct weir_event *from)
{
    size_t n = from->size < sizeof(*to) ? from->size : sizeof(*to);
    memset(to, 0, sizeof(*to));
    memcpy(to, from, n);
    to->size = sizeof(*to);
}

/* What an event points to, laid out behind the event itself: one block of memory, freed at once. */
struct packer {
    char *room; /* NULL: only counting */
    size_t n;
};

static void *pack(struct packer *k, const void *from, size_t n, size_t room)
{
    void *to = k->room ? k->room + k->n : NULL;
    k->n += (room + 15) & ~(size_t)15;
    if (to) {
        memset(to, 0, room);
        memcpy(to, from, n);
    }
    return to;
}

static void pack_str(struct packer *k, struct weir_str *s)
{
    const char *to = s->n ? pack(k, s->p, s->n, s->n) : NULL;
    if (k->room)
        s->p = to;
}

static void pack_strings(struct packer *k, struct weir_event *e)
{
    struct weir_str text = { e->text.p, e->text.n };
    pack_str(k, &text);
    e->text.p = text.p;
    pack_str(k, &e->id);
    pack_str(k, &e->name);
    pack_str(k, &e->dialect);
}

static void pack_usage(struct packer *k, struct weir_event *e)
{
    if (!e->usage)
        return;
    size_t n = e->usage->size < sizeof(*e->usage) ? e->usage->size : sizeof(*e->usage);
    struct weir_usage *to = pack(k, e->usage, n, sizeof(*e->usage));
    if (to)
        e->usage = to;
}

static void pack_error(struct packer *k, struct weir_event *e)
{
    if (!e->error)
        return;
    size_t n = e->error->size < sizeof(*e->error) ? e->error->size : sizeof(*e->error);
    struct weir_error copy = { 0 };
    memcpy(&copy, e->error, n);
    copy.size = sizeof(copy);
    struct weir_error *to = pack(k, &copy, sizeof(copy), sizeof(copy));
    pack_str(k, &copy.code);
    pack_str(k, &copy.message);
    pack_str(k, &copy.param);
    pack_str(k, &copy.native);
    if (to) {
        *to = copy;
        e->error = to;
    }
}

static void pack_all(struct packer *k, struct weir_event *e)
{
    pack_strings(k, e);
    pack_usage(k, e);
    pack_error(k, e);
}

size_t event_room(const struct weir_event *from)
{
    struct weir_event e;
    struct packer k = { NULL, 0 };
    event_adopt(&e, from);
    pack_all(&k, &e);
    return k.n;
}

void event_pack(struct weir_event *to, const struct weir_event *from, void *room)
{
    struct packer k = { room, 0 };
    event_adopt(to, from);
    pack_all(&k, to);
}

bool event_has_content(const struct weir_event *e)
{
    switch (e->kind) {
    case WEIR_EVENT_DELTA:
        return e->text.n > 0;
    case WEIR_EVENT_FINISH:
    case WEIR_EVENT_END:
        return true;
    case WEIR_EVENT_BLOCK_START:
        return e->block_kind == WEIR_BLOCK_OPAQUE && e->text.n > 0;
    default:
        return false;
    }
}

const char *event_kind_name(uint32_t kind)
{
    static const char *const names[] = { "?",      "START", "BLOCK_START", "DELTA", "BLOCK_STOP",
                                         "FINISH", "USAGE", "END",         "ERROR", "PING" };
    return kind < sizeof(names) / sizeof(*names) ? names[kind] : names[0];
}

/* ---- the grammar ---- */

static struct grammar_block *open_block(struct grammar *g, const struct weir_event *e)
{
    for (uint32_t i = g->n_open; i-- > 0;)
        if (g->open[i].block == e->block && g->open[i].choice == e->choice)
            return &g->open[i];
    return NULL;
}

static bool is_finished(const struct grammar *g, uint32_t choice)
{
    return choice < GRAMMAR_CHOICES_MAX && (g->finished[choice / 64] >> (choice % 64) & 1);
}

static const char *grow_open(struct grammar *g, struct arena *a)
{
    if (!g->open) {
        g->open = g->first;
        g->cap = sizeof(g->first) / sizeof(*g->first);
    }
    if (g->n_open < g->cap)
        return NULL;
    if (g->cap >= GRAMMAR_OPEN_MAX)
        return "more than 256 blocks are open at once";
    struct grammar_block *more = arena_alloc(a, 2 * g->cap * sizeof(*more));
    if (!more)
        return "memory is short";
    memcpy(more, g->open, g->n_open * sizeof(*more));
    g->open = more;
    g->cap *= 2;
    return NULL;
}

static const char *check_block_start(struct grammar *g, struct weir_event *e, struct arena *a)
{
    if (e->block_kind < WEIR_BLOCK_TEXT || e->block_kind > WEIR_BLOCK_SCORE)
        return "BLOCK_START of an unknown kind";
    if (e->choice >= GRAMMAR_CHOICES_MAX && e->block_kind != WEIR_BLOCK_EMBEDDING)
        return "choice beyond 127";
    if (open_block(g, e))
        return "BLOCK_START of a block that is open";
    if (is_finished(g, e->choice))
        return "BLOCK_START after FINISH of its choice";
    const char *why = grow_open(g, a);
    if (why)
        return why;
    g->open[g->n_open++] = (struct grammar_block){ e->choice, e->block, e->block_kind };
    if (e->choice >= g->choices)
        g->choices = e->choice + 1;
    return NULL;
}

static const char *check_in_block(struct grammar *g, struct weir_event *e)
{
    struct grammar_block *b = open_block(g, e);
    if (!b)
        return e->kind == WEIR_EVENT_DELTA ? "DELTA of a block that is not open"
                                           : "BLOCK_STOP of a block that is not open";
    e->block_kind = b->kind;
    if (e->kind == WEIR_EVENT_BLOCK_STOP)
        *b = g->open[--g->n_open];
    else if (e->delta_kind < WEIR_DELTA_TEXT || e->delta_kind > WEIR_DELTA_EXT)
        return "DELTA of an unknown kind";
    return NULL;
}

static const char *check_finish(struct grammar *g, const struct weir_event *e)
{
    for (uint32_t i = 0; i < g->n_open; i++)
        if (g->open[i].choice == e->choice)
            return "FINISH while a block of its choice is open";
    if (e->choice >= GRAMMAR_CHOICES_MAX)
        return "choice beyond 127";
    if (is_finished(g, e->choice))
        return "FINISH twice for one choice";
    if (e->finish < WEIR_FINISH_STOP || e->finish > WEIR_FINISH_OTHER)
        return "FINISH without a reason";
    if (e->choice >= g->choices)
        g->choices = e->choice + 1;
    g->finished[e->choice / 64] |= UINT64_C(1) << (e->choice % 64);
    return NULL;
}

static const char *check_end(struct grammar *g, const struct weir_event *e)
{
    g->has_ended = true;
    if (e->kind == WEIR_EVENT_ERROR)
        return e->error ? NULL : "ERROR without an error";
    return g->n_open ? "END while a block is open" : NULL;
}

const char *grammar_check(struct grammar *g, struct weir_event *e, struct arena *a)
{
    if (g->has_ended)
        return "an event after the end";
    if (e->kind == WEIR_EVENT_START) {
        if (g->has_started)
            return "START twice";
        g->has_started = true;
        return NULL;
    }
    if (e->kind == WEIR_EVENT_ERROR || e->kind == WEIR_EVENT_PING)
        return e->kind == WEIR_EVENT_ERROR ? check_end(g, e) : NULL;
    if (!g->has_started)
        return "an event before START";
    switch (e->kind) {
    case WEIR_EVENT_BLOCK_START:
        return check_block_start(g, e, a);
    case WEIR_EVENT_DELTA:
    case WEIR_EVENT_BLOCK_STOP:
        return check_in_block(g, e);
    case WEIR_EVENT_FINISH:
        return check_finish(g, e);
    case WEIR_EVENT_USAGE:
        return e->usage ? NULL : "USAGE without numbers";
    case WEIR_EVENT_END:
        return check_end(g, e);
    default:
        return "an event of an unknown kind";
    }
}

/* ---- the collector ---- */

void answer_add_text(struct weir_out *out, const struct weir_text *t)
{
    char *to = out_reserve(out, t->n);
    if (!to)
        return;
    if (t->form == WEIR_TEXT_ESCAPED) {
        out->n += text_unescape(to, t->p, t->n);
    } else if (t->n) {
        memcpy(to, t->p, t->n);
        out->n += t->n;
    }
}

struct collected {
    struct weir_answer_block view; /* first */
    struct collected *next;
    struct weir_out text, signature, citations, logprobs, transcript;
};

struct collector {
    struct arena *arena;
    struct weir_answer answer;
    struct collected *first, *last;
    struct weir_answer_choice *choices;
    uint32_t cap_choices;
};

struct collector *collector_new(struct arena *a)
{
    struct collector *c = arena_zalloc(a, sizeof(*c));
    if (!c)
        return NULL;
    c->arena = a;
    c->answer.usage = WEIR_USAGE_UNKNOWN;
    return c;
}

void collector_free(struct collector *c)
{
    for (struct collected *b = c ? c->first : NULL; b; b = b->next) {
        out_free(&b->text);
        out_free(&b->signature);
        out_free(&b->citations);
        out_free(&b->logprobs);
        out_free(&b->transcript);
    }
}

static void merge_count(int64_t *to, int64_t from)
{
    if (from >= 0)
        *to = from;
}

void usage_merge(struct weir_usage *to, const struct weir_usage *from)
{
    struct weir_usage u = WEIR_USAGE_UNKNOWN;
    memcpy(&u, from, from->size < sizeof(u) ? from->size : sizeof(u));
    merge_count(&to->input, u.input);
    merge_count(&to->output, u.output);
    merge_count(&to->cached_read, u.cached_read);
    merge_count(&to->cached_write, u.cached_write);
    merge_count(&to->cached_write_1h, u.cached_write_1h);
    merge_count(&to->reasoning, u.reasoning);
    merge_count(&to->audio_input, u.audio_input);
    merge_count(&to->audio_output, u.audio_output);
    to->flags |= u.flags;
}

static struct collected *block_of(struct collector *c, const struct weir_event *e)
{
    if (c->last && c->last->view.block == e->block && c->last->view.choice == e->choice)
        return c->last;
    struct collected *found = NULL;
    for (struct collected *b = c->first; b; b = b->next)
        if (b->view.block == e->block && b->view.choice == e->choice)
            found = b;
    return found;
}

static bool begin_block(struct collector *c, const struct weir_event *e)
{
    struct collected *b = arena_zalloc(c->arena, sizeof(*b));
    if (!b)
        return false;
    b->view.choice = e->choice;
    b->view.block = e->block;
    b->view.kind = e->block_kind;
    b->view.id = arena_copy(c->arena, e->id);
    b->view.name = arena_copy(c->arena, e->name);
    b->view.dialect = arena_copy(c->arena, e->dialect);
    if (e->text.n)
        answer_add_text(&b->text, &e->text);
    *(c->last ? &c->last->next : &c->first) = b;
    if (c->last)
        c->last->view.next = &b->view;
    c->last = b;
    return true;
}

static void append_raw(struct weir_out *list, const struct weir_text *raw)
{
    out_write(list, list->n ? WEIR_LIT(",") : WEIR_LIT("["));
    answer_add_text(list, raw);
}

static bool add_delta(struct collector *c, const struct weir_event *e)
{
    struct collected *b = block_of(c, e);
    if (!b)
        return false;
    switch (e->delta_kind) {
    case WEIR_DELTA_SIGNATURE:
        if (e->dialect.n && !b->view.dialect.n)
            b->view.dialect = arena_copy(c->arena, e->dialect);
        answer_add_text(&b->signature, &e->text);
        return !b->signature.failed;
    case WEIR_DELTA_CITATION:
        append_raw(&b->citations, &e->text);
        return !b->citations.failed;
    case WEIR_DELTA_LOGPROBS:
        append_raw(&b->logprobs, &e->text);
        return !b->logprobs.failed;
    case WEIR_DELTA_TRANSCRIPT:
        answer_add_text(&b->transcript, &e->text);
        return !b->transcript.failed;
    case WEIR_DELTA_EXT:
        return true;
    default:
        answer_add_text(&b->text, &e->text);
        return !b->text.failed;
    }
}

static bool add_finish(struct collector *c, const struct weir_event *e)
{
    if (e->choice >= c->cap_choices) {
        uint32_t cap = e->choice + 4;
        struct weir_answer_choice *more = arena_zalloc(c->arena, cap * sizeof(*more));
        if (!more)
            return false;
        if (c->choices)
            memcpy(more, c->choices, c->answer.n_choices * sizeof(*more));
        c->choices = more;
        c->cap_choices = cap;
    }
    if (e->choice >= c->answer.n_choices)
        c->answer.n_choices = e->choice + 1;
    struct weir_answer_choice *choice = &c->choices[e->choice];
    choice->finish = e->finish;
    choice->native = arena_copy(c->arena, e->name);
    choice->stop_sequence = weir_plain(arena_copy(c->arena, text_decode(c->arena, &e->text)));
    return true;
}

bool collector_add(struct collector *c, const struct weir_event *e)
{
    if (e->usage)
        usage_merge(&c->answer.usage, e->usage);
    switch (e->kind) {
    case WEIR_EVENT_START:
        c->answer.id = arena_copy(c->arena, e->id);
        c->answer.model = arena_copy(c->arena, e->name);
        c->answer.created_s = e->created_s;
        return true;
    case WEIR_EVENT_BLOCK_START:
        return begin_block(c, e);
    case WEIR_EVENT_DELTA:
        return add_delta(c, e);
    case WEIR_EVENT_FINISH:
        return add_finish(c, e);
    default:
        return true;
    }
}

/* known: its length if it was closed before: an answer may be asked for again. */
static struct weir_str closed_list(struct weir_out *list, size_t known)
{
    if (list->n && list->n != known)
        out_write(list, WEIR_LIT("]"));
    return out_bytes(list);
}

const struct weir_answer *collector_answer(struct collector *c)
{
    for (struct collected *b = c->first; b; b = b->next) {
        b->view.text = weir_plain(out_bytes(&b->text));
        b->view.signature = weir_plain(out_bytes(&b->signature));
        b->view.transcript = weir_plain(out_bytes(&b->transcript));
        b->view.citations = closed_list(&b->citations, b->view.citations.n);
        b->view.logprobs = closed_list(&b->logprobs, b->view.logprobs.n);
    }
    c->answer.blocks = c->first ? &c->first->view : NULL;
    c->answer.choices = c->choices;
    return &c->answer;
}
