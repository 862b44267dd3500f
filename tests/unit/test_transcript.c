/* What is kept of an answer: its texts, what of them was relayed, and when nothing may be kept. */
#include "../../core/transcript.h"

#include "test.h"

static struct transcript *begun(struct arena *a)
{
    struct weir_event start = { .size = sizeof(start), .kind = WEIR_EVENT_START, .id = WEIR_LIT("id-1"), .name = WEIR_LIT("m") };
    return transcript_new(a, &start);
}

static void add(struct transcript *t, uint16_t kind, uint32_t block, uint16_t block_kind, const char *text)
{
    struct weir_event e = { .size = sizeof(e), .kind = kind, .block = block, .block_kind = block_kind, .delta_kind = WEIR_DELTA_TEXT };
    e.text = weir_plain(weir_cstr(text));
    e.finish = WEIR_FINISH_STOP;
    transcript_add(t, &e);
}

TEST(texts_grow_by_block)
{
    struct arena *a = arena_new();
    struct transcript *t = begun(a);
    add(t, WEIR_EVENT_BLOCK_START, 3, WEIR_BLOCK_THINKING, "");
    add(t, WEIR_EVENT_DELTA, 3, 0, "hm");
    add(t, WEIR_EVENT_BLOCK_STOP, 3, 0, "");
    add(t, WEIR_EVENT_BLOCK_START, 4, WEIR_BLOCK_TEXT, "");
    add(t, WEIR_EVENT_DELTA, 4, 0, "one ");
    struct weir_event e = { .size = sizeof(e), .kind = WEIR_EVENT_DELTA, .block = 4, .delta_kind = WEIR_DELTA_TEXT,
                            .text = { "t\\u0077o", 8, WEIR_TEXT_ESCAPED } };
    transcript_add(t, &e);
    struct weir_str all = transcript_text(t, a);
    CHECK(weir_is(all, "one two") && !t->is_beyond && t->next_block == 5 && !t->is_finished);
    CHECK(!t->first->is_open && transcript_find(t, 4)->is_open && transcript_find(t, 4)->n_pieces == 2);
    CHECK(weir_is(t->id, "id-1") && weir_is(t->model, "m"));
    add(t, WEIR_EVENT_FINISH, 0, 0, "");
    CHECK(t->is_finished && t->finish == WEIR_FINISH_STOP && !t->finish_relayed);
    transcript_free(t);
    arena_free(a);
}

TEST(what_was_relayed_is_told_from_what_was_not)
{
    struct arena *a = arena_new();
    struct transcript *t = begun(a);
    add(t, WEIR_EVENT_BLOCK_START, 0, WEIR_BLOCK_TEXT, "");
    add(t, WEIR_EVENT_DELTA, 0, 0, "sent");
    transcript_relayed(t);
    add(t, WEIR_EVENT_DELTA, 0, 0, " kept");
    const struct transcript_block *b = t->first;
    CHECK(b->start_relayed && b->relayed == 4 && b->n == 9 && b->pieces_relayed == 1 && !b->stop_relayed);
    transcript_free(t);
    arena_free(a);
}

TEST(what_nobody_else_can_go_on_with_is_not_kept)
{
    struct arena *a = arena_new();
    struct transcript *t = begun(a);
    add(t, WEIR_EVENT_BLOCK_START, 0, WEIR_BLOCK_IMAGE, "");
    CHECK(t->is_beyond);
    t = begun(a);
    add(t, WEIR_EVENT_BLOCK_START, 0, WEIR_BLOCK_TEXT, "");
    struct weir_event other = { .size = sizeof(other), .kind = WEIR_EVENT_BLOCK_START, .choice = 1, .block = 1, .block_kind = WEIR_BLOCK_TEXT };
    transcript_add(t, &other);
    CHECK(t->is_beyond);
    t = begun(a);
    add(t, WEIR_EVENT_BLOCK_START, 0, WEIR_BLOCK_TEXT, "");
    static char piece[64 * 1024];
    memset(piece, 'x', sizeof(piece) - 1);
    for (int i = 0; i < 8; i++)
        add(t, WEIR_EVENT_DELTA, 0, 0, piece);
    CHECK(!t->is_beyond && t->n == 8 * (sizeof(piece) - 1));
    add(t, WEIR_EVENT_DELTA, 0, 0, piece);
    CHECK(t->is_beyond && !t->first->text.p);
    add(t, WEIR_EVENT_DELTA, 0, 0, piece);
    add(t, WEIR_EVENT_BLOCK_STOP, 0, 0, "");
    CHECK(!t->first->text.p && !t->first->is_open);
    transcript_free(t);
    arena_free(a);
}
