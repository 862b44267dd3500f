/* Transcripts of answers. An event costs one copy of its text here; nothing else is done with it until it is needed. */
#include "transcript.h"

#include "answer.h"

struct transcript *transcript_new(struct arena *a, const struct weir_event *start)
{
    struct transcript *t = arena_zalloc(a, sizeof(*t));
    if (!t)
        return NULL;
    t->arena = a;
    t->id = arena_copy(a, start->id);
    t->model = arena_copy(a, start->name);
    t->created_s = start->created_s;
    return t;
}

void transcript_free(struct transcript *t)
{
    for (struct transcript_block *b = t ? t->first : NULL; b; b = b->next)
        out_free(&b->text);
}

struct transcript_block *transcript_find(struct transcript *t, uint32_t block)
{
    struct transcript_block *found = NULL;
    if (t->last && t->last->block == block)
        return t->last;
    for (struct transcript_block *b = t->first; b; b = b->next)
        if (b->block == block)
            found = b;
    return found;
}

static void begin(struct transcript *t, const struct weir_event *e)
{
    bool is_known = e->block_kind == WEIR_BLOCK_TEXT || e->block_kind == WEIR_BLOCK_THINKING || e->block_kind == WEIR_BLOCK_TOOL_CALL;
    struct transcript_block *b = is_known && t->n_blocks < TRANSCRIPT_BLOCKS_MAX ? arena_zalloc(t->arena, sizeof(*b)) : NULL;
    if (!b) {
        t->is_beyond = true;
        return;
    }
    b->block = e->block;
    b->kind = e->block_kind;
    b->is_open = true;
    b->id = arena_copy(t->arena, e->id);
    b->name = arena_copy(t->arena, e->name);
    *(t->last ? &t->last->next : &t->first) = b;
    t->last = b;
    t->n_blocks++;
    t->next_block = e->block >= t->next_block ? e->block + 1 : t->next_block;
}

static void add_text(struct transcript *t, const struct weir_event *e)
{
    struct transcript_block *b = transcript_find(t, e->block);
    bool is_text = e->delta_kind == WEIR_DELTA_TEXT || e->delta_kind == WEIR_DELTA_ARGUMENTS;
    bool is_beside = e->delta_kind == WEIR_DELTA_SIGNATURE || e->delta_kind == WEIR_DELTA_CITATION || e->delta_kind == WEIR_DELTA_EXT;
    if (t->is_beyond || !b || (!is_text && !is_beside) || t->n + e->text.n > TRANSCRIPT_BYTES_MAX) {
        t->is_beyond = true;
        return;
    }
    if (!is_text)
        return;
    t->n += e->text.n;
    b->n_pieces++;
    if (b->kind != WEIR_BLOCK_THINKING)
        answer_add_text(&b->text, &e->text);
    b->n = b->kind == WEIR_BLOCK_THINKING ? b->n + e->text.n : b->text.n;
    t->is_beyond |= b->text.failed;
}

static void stop(struct transcript *t, const struct weir_event *e)
{
    struct transcript_block *b = transcript_find(t, e->block);
    if (b)
        b->is_open = false;
}

static void finish(struct transcript *t, const struct weir_event *e)
{
    t->is_finished = true;
    t->finish = e->finish;
    t->finish_name = arena_copy(t->arena, e->name);
}

void transcript_add(struct transcript *t, const struct weir_event *e)
{
    bool is_other = e->kind >= WEIR_EVENT_BLOCK_START && e->kind <= WEIR_EVENT_FINISH && e->choice != 0;
    bool was_beyond = t->is_beyond;
    if (is_other)
        t->is_beyond = true;
    else if (e->kind == WEIR_EVENT_BLOCK_START)
        begin(t, e);
    else if (e->kind == WEIR_EVENT_DELTA)
        add_text(t, e);
    else if (e->kind == WEIR_EVENT_BLOCK_STOP)
        stop(t, e);
    else if (e->kind == WEIR_EVENT_FINISH)
        finish(t, e);
    if (t->is_beyond && !was_beyond)
        transcript_free(t);
}

void transcript_relayed(struct transcript *t)
{
    for (struct transcript_block *b = t->first; b; b = b->next) {
        b->start_relayed = true;
        b->relayed = b->n;
        b->pieces_relayed = b->n_pieces;
        b->stop_relayed = !b->is_open;
    }
    t->finish_relayed = t->is_finished;
}

struct weir_str transcript_text(const struct transcript *t, struct arena *a)
{
    struct weir_out all = { 0 };
    for (const struct transcript_block *b = t->first; b; b = b->next)
        if (b->kind == WEIR_BLOCK_TEXT)
            out_write(&all, out_bytes(&b->text));
    struct weir_str s = all.failed ? WEIR_NONE : arena_copy(a, out_bytes(&all));
    out_free(&all);
    return s;
}
