/* The grammar of events, packing, and the collector. */
#include "../../core/answer.h"
#include "test.h"

static struct arena *arena;

static struct weir_event ev(enum weir_event_kind kind, uint32_t block)
{
    return (struct weir_event){ .size = sizeof(struct weir_event), .kind = (uint16_t)kind, .block = block };
}

static struct weir_event start_block(uint32_t block, enum weir_block_kind kind)
{
    struct weir_event e = ev(WEIR_EVENT_BLOCK_START, block);
    e.block_kind = (uint16_t)kind;
    return e;
}

static struct weir_event delta(uint32_t block, const char *text)
{
    struct weir_event e = ev(WEIR_EVENT_DELTA, block);
    e.delta_kind = WEIR_DELTA_TEXT;
    e.text = weir_plain(weir_cstr(text));
    return e;
}

static struct weir_event finish(enum weir_finish reason)
{
    struct weir_event e = ev(WEIR_EVENT_FINISH, 0);
    e.finish = (uint16_t)reason;
    return e;
}

static const char *check(struct grammar *g, struct weir_event e)
{
    return grammar_check(g, &e, arena);
}

TEST(a_plain_answer_is_grammatical)
{
    struct grammar g = { 0 };
    arena = arena_new();
    CHECK(!check(&g, ev(WEIR_EVENT_START, 0)));
    CHECK(!check(&g, start_block(0, WEIR_BLOCK_TEXT)));
    CHECK(!check(&g, delta(0, "hi")));
    CHECK(!check(&g, ev(WEIR_EVENT_BLOCK_STOP, 0)));
    CHECK(!check(&g, finish(WEIR_FINISH_STOP)));
    CHECK(!check(&g, ev(WEIR_EVENT_END, 0)));
    CHECK(g.has_ended);
    arena_free(arena);
}

TEST(what_breaks_the_grammar)
{
    arena = arena_new();
    struct grammar g = { 0 };
    CHECK_STR(check(&g, delta(0, "x")), "an event before START");
    CHECK(!check(&g, ev(WEIR_EVENT_START, 0)));
    CHECK_STR(check(&g, ev(WEIR_EVENT_START, 0)), "START twice");
    CHECK_STR(check(&g, delta(3, "x")), "DELTA of a block that is not open");
    CHECK(!check(&g, start_block(0, WEIR_BLOCK_TEXT)));
    CHECK_STR(check(&g, start_block(0, WEIR_BLOCK_TEXT)), "BLOCK_START of a block that is open");
    CHECK_STR(check(&g, start_block(1, (enum weir_block_kind)77)), "BLOCK_START of an unknown kind");
    CHECK_STR(check(&g, finish(WEIR_FINISH_STOP)), "FINISH while a block of its choice is open");
    CHECK(!check(&g, ev(WEIR_EVENT_BLOCK_STOP, 0)));
    CHECK_STR(check(&g, finish((enum weir_finish)0)), "FINISH without a reason");
    CHECK(!check(&g, finish(WEIR_FINISH_STOP)));
    CHECK_STR(check(&g, finish(WEIR_FINISH_STOP)), "FINISH twice for one choice");
    CHECK_STR(check(&g, start_block(1, WEIR_BLOCK_TEXT)), "BLOCK_START after FINISH of its choice");
    CHECK(!check(&g, ev(WEIR_EVENT_END, 0)));
    CHECK_STR(check(&g, ev(WEIR_EVENT_PING, 0)), "an event after the end");
    arena_free(arena);
}

TEST(many_blocks_may_be_open_but_not_endlessly)
{
    struct grammar g = { 0 };
    arena = arena_new();
    CHECK(!check(&g, ev(WEIR_EVENT_START, 0)));
    for (uint32_t i = 0; i < GRAMMAR_OPEN_MAX; i++)
        CHECK(!check(&g, start_block(i, WEIR_BLOCK_TOOL_CALL)));
    CHECK(check(&g, start_block(999, WEIR_BLOCK_TOOL_CALL)) != NULL);
    for (uint32_t i = 0; i < GRAMMAR_OPEN_MAX; i++)
        CHECK(!check(&g, ev(WEIR_EVENT_BLOCK_STOP, i)));
    CHECK_INT(g.n_open, 0);
    arena_free(arena);
}

TEST(a_packed_event_owns_its_strings)
{
    char text[] = "hello", id[] = "call_1", code[] = "c";
    struct weir_error error = { .size = sizeof(error), .error_class = WEIR_ERROR_SERVER, .code = weir_cstr(code) };
    struct weir_usage usage = { .size = sizeof(usage), .input = 7 };
    struct weir_event e = ev(WEIR_EVENT_ERROR, 0), copy;
    e.text = weir_plain(weir_cstr(text));
    e.id = weir_cstr(id);
    e.error = &error;
    e.usage = &usage;
    void *room = malloc(event_room(&e));
    event_pack(&copy, &e, room);
    memset(text, 'x', 5);
    memset(id, 'x', 6);
    code[0] = 'x';
    usage.input = 0;
    CHECK(copy.text.n == 5 && memcmp(copy.text.p, "hello", 5) == 0);
    CHECK(weir_is(copy.id, "call_1"));
    CHECK(weir_is(copy.error->code, "c"));
    CHECK_INT(copy.usage->input, 7);
    free(room);
}

TEST(an_event_of_an_older_plugin_is_zero_beyond_its_size)
{
    struct weir_event e = ev(WEIR_EVENT_START, 0), copy;
    e.created_s = 12345;
    e.size = (uint32_t)offsetof(struct weir_event, created_s);
    event_adopt(&copy, &e);
    CHECK_INT(copy.created_s, 0);
    CHECK_INT(copy.size, sizeof(copy));
}

TEST(the_collector_joins_what_belongs_together)
{
    arena = arena_new();
    struct collector *c = collector_new(arena);
    struct weir_usage first = WEIR_USAGE_UNKNOWN, last = WEIR_USAGE_UNKNOWN;
    struct weir_event e = ev(WEIR_EVENT_START, 0);
    e.id = WEIR_LIT("id");
    first.input = 10;
    e.usage = &first;
    CHECK(collector_add(c, &e));
    e = start_block(0, WEIR_BLOCK_TEXT);
    CHECK(collector_add(c, &e));
    e = start_block(1, WEIR_BLOCK_TOOL_CALL);
    e.name = WEIR_LIT("f");
    CHECK(collector_add(c, &e));
    e = delta(0, "a");
    CHECK(collector_add(c, &e));
    e = delta(1, "{\"x\":");
    CHECK(collector_add(c, &e));
    e = delta(0, "");
    e.text = (struct weir_text){ "\\n\\u00e9", 8, WEIR_TEXT_ESCAPED };
    CHECK(collector_add(c, &e));
    e = delta(1, "1}");
    CHECK(collector_add(c, &e));
    e = finish(WEIR_FINISH_TOOL_CALLS);
    CHECK(collector_add(c, &e));
    last.output = 5;
    e = ev(WEIR_EVENT_USAGE, 0);
    e.usage = &last;
    CHECK(collector_add(c, &e));
    const struct weir_answer *a = collector_answer(c);
    CHECK(a->blocks && a->blocks->next && !a->blocks->next->next);
    CHECK(a->blocks->text.n == 4 && memcmp(a->blocks->text.p, "a\n\xC3\xA9", 4) == 0);
    CHECK(a->blocks->next->text.n == 7 && memcmp(a->blocks->next->text.p, "{\"x\":1}", 7) == 0);
    CHECK_INT(a->usage.input, 10);
    CHECK_INT(a->usage.output, 5);
    CHECK_INT(a->choices[0].finish, WEIR_FINISH_TOOL_CALLS);
    collector_free(c);
    arena_free(arena);
}

/* What an event points to lives until the emitter goes on. */
TEST(the_collector_keeps_nothing_of_an_event)
{
    char sequence[] = "END", word[] = "stop";
    arena = arena_new();
    struct collector *c = collector_new(arena);
    struct weir_event e = finish(WEIR_FINISH_STOP_SEQUENCE);
    e.text = (struct weir_text){ sequence, 3, WEIR_TEXT_BOTH };
    e.name = (struct weir_str){ word, 4 };
    CHECK(collector_add(c, &e));
    memset(sequence, 'x', 3);
    memset(word, 'x', 4);
    const struct weir_answer_choice *choice = collector_answer(c)->choices;
    CHECK(choice->stop_sequence.n == 3 && memcmp(choice->stop_sequence.p, "END", 3) == 0);
    CHECK(choice->native.n == 4 && memcmp(choice->native.p, "stop", 4) == 0);
    collector_free(c);
    arena_free(arena);
}
