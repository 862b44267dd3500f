/* What is counted of a prompt, where it stops, and that more of anything never makes it easier. */
#include <stdlib.h>
#include <string.h>

#include "../../core/complexity.h"
#include "../../core/conversation.h"
#include "../../core/text.h"
#include "test.h"

static struct weir_complexity counted(const char *text)
{
    struct weir_complexity c = { 0 };
    complexity_count(weir_cstr(text), &c);
    return c;
}

TEST(counts)
{
    struct weir_complexity c = counted("If each box costs $1,000.50, how many can't I buy? None. Not ONE! f(x) = 2*x;");
    CHECK_INT(c.words, 15);
    CHECK_INT(c.numbers, 2);
    CHECK_INT(c.questions, 1);
    CHECK_INT(c.sentences, 3);
    CHECK_INT(c.conditions, 1);
    CHECK_INT(c.quantities, 2);
    CHECK_INT(c.negations, 1);
    CHECK_INT(c.maths, 3);
    CHECK_INT(c.code, 3);
}

TEST(words_are_whole)
{
    struct weir_complexity c = counted("nothing notes ifs eacher percentage THAN");
    CHECK_INT(c.words, 6);
    CHECK_INT(c.negations + c.conditions, 0);
    CHECK_INT(c.quantities, 1);
}

TEST(every_known_word_is_found)
{
    struct weir_complexity c = counted("all any assume average because cannot each every except false given half hence if incorrect "
                                       "least less let many more much neither never no nor not per percent remaining some suppose "
                                       "than then therefore thus times total twice unless when without");
    CHECK_INT(c.words, 41);
    CHECK_INT(c.conditions + c.negations + c.quantities, 41);
}

TEST(other_scripts)
{
    struct weir_complexity c = counted("\xd0\x9f\xd1\x80\xd0\xb8 x\xc3\xa4y \xff\xfe");
    CHECK_INT(c.words, 3);
    CHECK_INT(counted("").words, 0);
}

/* Any text, with any of these behind it, looks at least as hard. */
TEST(more_is_never_easier)
{
    static const char *const pieces[] = { " word", " 7", " = ", " {", " if", " not", " each", " Stop.", " why?", "\n", " \xc3\xa4" };
    char text[4000] = "";
    double before = 0;
    srand(7);
    for (int i = 0; i < 500; i++) {
        strncat(text, pieces[(size_t)rand() % (sizeof(pieces) / sizeof(*pieces))], sizeof(text) - strlen(text) - 1);
        struct weir_complexity c = counted(text);
        double score = complexity_score(&c);
        CHECK(score >= before && score > 0 && score < 1);
        before = score;
    }
}

static struct weir_complexity of_message(struct weir_text text)
{
    struct arena *a = arena_new();
    struct conversation *c = conversation_new(a, WEIR_LIT("openai"), WEIR_OP_CHAT, WEIR_NONE);
    struct weir_complexity out = { 0 };
    struct weir_message *first = conversation_message(c, WEIR_ROLE_USER);
    conversation_part(c, &first->parts, WEIR_PART_TEXT)->text = WEIR_TEXT("one two three four five");
    conversation_message(c, WEIR_ROLE_ASSISTANT);
    struct weir_message *m = conversation_message(c, WEIR_ROLE_USER);
    conversation_part(c, &m->parts, WEIR_PART_TEXT)->text = text;
    conversation_part(c, &m->parts, WEIR_PART_IMAGE);
    struct weir_message *result = conversation_message(c, WEIR_ROLE_USER); /* says nothing: what was asked stands before it */
    conversation_part(c, &result->parts, WEIR_PART_TOOL_RESULT);
    complexity_of(c, a, &out);
    arena_free(a);
    return out;
}

TEST(of_what_was_asked_last)
{
    struct weir_complexity c = of_message(WEIR_TEXT("If not, why?"));
    CHECK_INT(c.words, 3);
    CHECK_INT(c.turns, 3);
    CHECK_INT(c.images, 1);
    CHECK(c.score > 0);
}

/* A text of any length costs no more than its first 8 KiB, and is never cut inside an escape. */
TEST(long_texts_are_cut)
{
    size_t n = 4u << 20;
    char *p = malloc(n);
    for (size_t i = 0; i < n; i++)
        p[i] = "\\u00e4 "[i % 7];
    for (uint32_t cut = 8180; cut < 8204; cut++)
        CHECK_INT(of_message((struct weir_text){ p, cut / 7 * 7, WEIR_TEXT_ESCAPED }).words, cut / 7);
    CHECK_INT(of_message((struct weir_text){ p, (uint32_t)(n / 7 * 7), WEIR_TEXT_ESCAPED }).numbers, 0);
    memset(p, ' ', n);
    memcpy(p + n - 5, " if  ", 5);
    CHECK_INT(of_message((struct weir_text){ p, (uint32_t)n, WEIR_TEXT_PLAIN }).conditions, 0);
    free(p);
}
