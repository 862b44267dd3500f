/* The aligner: texts cut at every byte, continued in every way that models have, in pieces of every size. What comes out is the text
 * without a duplicate and without a hole, or a refusal; and the refusals are few where the continuation is as it was asked for. */
#include "../../core/align.h"

#include "test.h"

static const char *const texts[] = {
    "The harbour wakes before the town does. At five the first boats come in, low in the water, and the gulls know it long "
    "before anyone else. Nets are hauled over the wall; ice is shovelled into crates, and somebody always laughs too loudly.\n\n"
    "By seven the auction is over. What remains is the smell, the wet stone, and Marta, who counts her coins twice because the "
    "first count is never right. \"Tomorrow,\" she says, \"we sail at three.\" Nobody believes her (she said so yesterday).",
    "# Setting it up\n\nYou need three things:\n\n1. A compiler, version 12 or newer.\n2. The library; see `docs/install.md`.\n"
    "3. Patience.\n\n```python\ndef main(path):\n    with open(path) as f:\n        for line in f:\n            print(line.strip())\n\n\n"
    "if __name__ == \"__main__\":\n    main(\"input.txt\")\n```\n\nThen run `make`, and check that **nothing** is printed twice.\n",
    "Grüße aus München! Die Straße führt über den Fluß, größer als gedacht; 😀 und die Bäume blühen schön. Überall hört man Vögel, "
    "auch wenn es früh am Morgen noch kühl ist und der Nebel über den Wiesen hängt. 🚲 Später fährt Jürgen nach Köln.",
    "今天的天气很好，我们去公园散步。孩子们在草地上踢足球，老人们坐在长椅上聊天。中午我们在湖边吃了三明治，然后回家。晚上下了一场小雨，空气变得很清新。",
    "static int add(struct list *l, int value)\n{\n    if (l->n == l->cap && grow(l) < 0)\n        return -1;\n    l->items[l->n++] = value;\n"
    "    return 0;\n}\n\nstatic int sum(const struct list *l)\n{\n    int s = 0;\n    for (int i = 0; i < l->n; i++)\n        s += l->items[i];\n"
    "    return s;\n}\n",
    "| city | people |\n| --- | --- |\n| Oslo | 700000 |\n| Rome | 2800000 |\n| Lima | 10000000 |\n\nsha256(x) == sha256(y), ha ha ha ha "
    "ha ha ha ha ha ha ha ha ha! no no no no no no no no no no no no.\n",
    "{\"name\": \"Ada\", \"born\": 1815, \"works\": [\"Notes\", \"Letters\"], \"place\": {\"city\": \"London\", \"note\": \"a \\\"big\\\" one\"}}",
};
enum { N_TEXTS = sizeof(texts) / sizeof(*texts) };

/* ---- ways to go on ---- */

enum kind {
    EXACT,
    REPEATS_LITTLE, /* one to three words */
    REPEATS,        /* the words that were asked for, or more */
    REPEATS_SPACED, /* with other white space */
    RESTARTS,
    RESTARTS_SPACED,
    PREAMBLE,         /* and then exactly on */
    PREAMBLE_REPEATS, /* and then the last words */
    PREAMBLE_RESTARTS,
    FENCED, /* a code fence opened again, and the last words */
    STRIPPED, /* exactly on, but without white space at its beginning */
    SPACED,   /* with an empty line first */
    STOPS,    /* in the middle of what it says again */
    NOTHING,
    OTHERWISE, /* from the top in other words */
    KINDS,
};
static const char *const kind_names[] = { "exact",    "repeats little", "repeats",  "repeats spaced", "restarts", "restarts spaced", "preamble", "preamble repeats",
                                          "preamble restarts", "fenced", "stripped", "spaced", "stops", "nothing", "otherwise" };

static const char *const preambles[] = { "Sure, continuing:\n\n", "Certainly! Here is the rest of the answer:\n", "Here's the continuation: ", "...",
                                         "I apologize for the interruption. ", "Of course. ", "Continuing from where I left off:\n\n",
                                         "Natürlich, hier geht es weiter:\n" };

static uint32_t seed = 1;
static uint32_t next_random(uint32_t n)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % n;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t';
}

static size_t trimmed(const char *t, size_t cut)
{
    while (cut && is_space(t[cut - 1]))
        cut--;
    return cut;
}

static bool has_word(const char *t, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((t[i] & 0x80) || (t[i] >= '0' && t[i] <= '9') || ((t[i] | 32) >= 'a' && (t[i] | 32) <= 'z'))
            return true;
    return false;
}

/* So many words back, from the end of what was sent. */
static size_t words_back(const char *t, size_t cut, uint32_t words)
{
    size_t at = trimmed(t, cut);
    while (words-- && at) {
        while (at && is_space(t[at - 1]))
            at--;
        while (at && !is_space(t[at - 1]))
            at--;
    }
    return at;
}

static void add(char *to, const char *s, size_t n)
{
    size_t at = strlen(to);
    memcpy(to + at, s, n);
    to[at + n] = 0;
}

static void add_spaced(char *to, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool is_run = i && is_space(s[i]) && is_space(s[i - 1]);
        if (!is_run)
            add(to, is_space(s[i]) ? (next_random(2) ? "\n" : "  ") : &s[i], is_space(s[i]) && to[0] ? 1 : !is_space(s[i]));
    }
}

static void make(char *to, enum kind k, const char *t, size_t cut, enum align_how how)
{
    size_t n = strlen(t), from = how == ALIGN_PREFILLED ? trimmed(t, cut) : cut;
    struct weir_str last = align_last_words((struct weir_str){ t, cut });
    size_t asked = last.n ? (size_t)(last.p - t) : cut, back = words_back(t, cut, 8 + next_random(8));
    size_t repeat = back < asked && next_random(2) ? back : asked;
    const char *preamble = preambles[next_random(sizeof(preambles) / sizeof(*preambles))];
    to[0] = 0;
    if (k >= PREAMBLE && k <= PREAMBLE_RESTARTS)
        add(to, preamble, strlen(preamble));
    switch (k) {
    case REPEATS_LITTLE:
        repeat = words_back(t, cut, 1 + next_random(3));
        while (how == ALIGN_PREFILLED && repeat && !has_word(t + repeat, cut - repeat))
            repeat = words_back(t, repeat, 1); /* a bracket alone is no word */
        if (how == ALIGN_PREFILLED && !has_word(t + repeat, cut - repeat))
            repeat = from;
        add(to, t + repeat, n - repeat);
        break;
    case FENCED:
        add(to, "```python\n", 10);
        /* fallthrough */
    case REPEATS:
    case PREAMBLE_REPEATS:
        add(to, t + repeat, n - repeat);
        break;
    case REPEATS_SPACED:
        add_spaced(to, t + repeat, trimmed(t, cut) - repeat);
        add(to, t + trimmed(t, cut), n - trimmed(t, cut));
        break;
    case RESTARTS:
    case PREAMBLE_RESTARTS:
        add(to, t, n);
        break;
    case RESTARTS_SPACED:
        add_spaced(to, t, trimmed(t, cut));
        add(to, t + trimmed(t, cut), n - trimmed(t, cut));
        break;
    case STRIPPED:
        while (is_space(t[from]))
            from++;
        add(to, t + from, n - from);
        break;
    case SPACED:
        add(to, "\n\n", is_space(t[from]) ? 0 : 2);
        add(to, t + from, n - from);
        break;
    case STOPS:
        add(to, t, cut / 2 < 20 ? (cut < 20 ? cut - 1 : 20) : cut / 2);
        break;
    case NOTHING:
        break;
    case OTHERWISE:
        add(to, t, cut / 2);
        add(to, "indeed, ", 8);
        add(to, t + cut / 2, n - cut / 2);
        break;
    default:
        add(to, t + from, n - from);
    }
}

/* ---- playing ---- */

static char result[65536];

static enum align_state play(struct weir_str sent, enum align_how how, const char *continuation, size_t piece)
{
    struct align x;
    struct weir_str now;
    size_t n = strlen(continuation);
    align_begin(&x, sent, how);
    memcpy(result, sent.p, sent.n);
    result[sent.n] = 0;
    for (size_t at = 0, len; at < n; at += len) {
        len = piece ? piece : 1 + next_random(12);
        len = len < n - at ? len : n - at;
        align_add(&x, (struct weir_str){ continuation + at, len }, &now);
        add(result, now.p ? now.p : "", now.n);
    }
    enum align_state state = align_end(&x, &now);
    add(result, now.p ? now.p : "", now.n);
    CHECK((state == ALIGN_GAVE_UP) == (x.why != NULL));
    align_free(&x);
    return state;
}

/* A model that was given the beginning goes on from there: white space, too, is as it says. */
static bool is_of_the_protocol(enum kind k, enum align_how how)
{
    return how == ALIGN_ASKED || (k != STRIPPED && k != SPACED && k != NOTHING);
}

static void check_one(enum kind k, enum align_how how, const char *text, size_t cut, uint32_t joined[KINDS])
{
    static char continuation[65536];
    static const size_t pieces[] = { 0, 1, 3, 100000 };
    if ((k == STOPS || k == OTHERWISE) && cut < 100)
        return;
    make(continuation, k, text, cut, how);
    bool has_joined = false;
    for (int i = 0; i < 4; i++) {
        enum align_state s = play((struct weir_str){ text, cut }, how, continuation, pieces[i]);
        has_joined = s == ALIGN_GOES_ON;
        if (s == ALIGN_GAVE_UP || strcmp(result, text) == 0)
            continue;
        printf("%s, %s, cut at %zu, pieces of %zu\n  continuation: %.300s\n  sent: …%.80s\n  got: …%.200s\n", kind_names[k], how ? "asked" : "prefilled", cut,
               pieces[i], continuation, text + (cut > 80 ? cut - 80 : 0), result + (cut > 40 ? cut - 40 : 0));
        CHECK(strcmp(result, text) == 0);
    }
    joined[k] += has_joined;
}

TEST(never_a_duplicate_and_never_a_hole)
{
    uint32_t joined[2][KINDS] = { { 0 } }, n = 0;
    for (int t = 0; t < N_TEXTS; t++)
        for (size_t cut = 1; cut < strlen(texts[t]); cut++, n++)
            for (int k = 0; k < KINDS; k++)
                for (int how = 0; how < 2; how++)
                    if (is_of_the_protocol((enum kind)k, (enum align_how)how))
                        check_one((enum kind)k, (enum align_how)how, texts[t], cut, joined[how]);
    for (int k = 0; k < KINDS; k++)
        printf("  %-18s joined: prefilled %5.1f %%, asked %5.1f %%\n", kind_names[k], 100.0 * joined[0][k] / n, 100.0 * joined[1][k] / n);
    for (int k = REPEATS; k <= RESTARTS_SPACED; k++)
        CHECK(joined[ALIGN_ASKED][k] * 10 > n * 9);
    CHECK(joined[ALIGN_PREFILLED][EXACT] * 10 > n * 9 && joined[ALIGN_ASKED][PREAMBLE_REPEATS] * 10 > n * 6);
    CHECK(joined[ALIGN_ASKED][PREAMBLE] == 0 && joined[ALIGN_ASKED][STOPS] == 0 && joined[ALIGN_ASKED][NOTHING] == 0);
}

/* Words that come again and again, as in lists, poems and tables. */
static void make_text(char *to, size_t n)
{
    static const char *const words[] = { "the", "cat", "a", "sat", "on", "mat", "and", "is", "red", "cats", "The", "1", "22", "b" };
    static const char *const between[] = { " ", " ", " ", " ", " ", ", ", ". ", "\n", "\n\n", " - ", "-", "_", "/" };
    to[0] = 0;
    while (strlen(to) < n) {
        const char *word = words[next_random(14)], *mark = between[next_random(13)];
        add(to, word, strlen(word));
        add(to, mark, strlen(mark));
    }
    add(to, "end.", 4);
}

TEST(words_that_come_again_and_again)
{
    uint32_t joined[2][KINDS] = { { 0 } }, n = 0;
    static char text[1024];
    for (int t = 0; t < 40; t++) {
        make_text(text, 120 + next_random(200));
        for (size_t cut = 1; cut < strlen(text); cut += 1 + next_random(3), n++)
            for (int k = 0; k < KINDS; k++)
                for (int how = 0; how < 2; how++)
                    if (is_of_the_protocol((enum kind)k, (enum align_how)how))
                        check_one((enum kind)k, (enum align_how)how, text, cut, joined[how]);
    }
    printf("  of %u: exactly on, prefilled %u; the last words, asked %u\n", n, joined[0][EXACT], joined[1][REPEATS]);
}

static void check_goes_on(enum align_how how, const char *sent, const char *piece, enum align_state wanted, const char *new)
{
    struct align x;
    struct weir_str now;
    align_begin(&x, weir_cstr(sent), how);
    CHECK_INT(align_add(&x, weir_cstr(piece), &now), wanted);
    CHECK_INT(now.n, strlen(new));
    CHECK(!now.n || memcmp(now.p, new, now.n) == 0);
    align_free(&x);
}

TEST(what_can_be_told_at_once_is)
{
    check_goes_on(ALIGN_PREFILLED, "The harbour wakes before the", " town", ALIGN_GOES_ON, " town");
    check_goes_on(ALIGN_PREFILLED, "The harbour wakes before the t", "own", ALIGN_GOES_ON, "own");
    check_goes_on(ALIGN_PREFILLED, "The harbour wakes\n", "\n\nby", ALIGN_GOES_ON, "\nby");
    check_goes_on(ALIGN_ASKED, "The harbour wakes before the", " town", ALIGN_GOES_ON, " town");
    check_goes_on(ALIGN_ASKED, "The harbour wakes before the", "town", ALIGN_GAVE_UP, "");
    check_goes_on(ALIGN_ASKED, "The harbour wakes before the", "harbour wakes before the town", ALIGN_GOES_ON, " town");
    check_goes_on(ALIGN_ASKED, "The harbour wakes before the", "The harbour wakes", ALIGN_HOLDS, "");
    check_goes_on(ALIGN_ASKED, "The harbour wakes before the", "Sure", ALIGN_HOLDS, "");
    check_goes_on(ALIGN_PREFILLED, "", "Anything", ALIGN_GOES_ON, "Anything");
    check_goes_on(ALIGN_PREFILLED, "f(g(x)", ") + 1", ALIGN_GOES_ON, ") + 1");
}

TEST(nothing_more)
{
    struct align x;
    struct weir_str now;
    align_begin(&x, weir_cstr("All is said. "), ALIGN_PREFILLED);
    CHECK(align_end(&x, &now) == ALIGN_GOES_ON && !now.n);
    align_free(&x);
}

TEST(inside_a_character)
{
    check_goes_on(ALIGN_ASKED, "gr\xc3", "\xbc\xc3\x9f", ALIGN_GOES_ON, "\xbc\xc3\x9f");
    check_goes_on(ALIGN_ASKED, "gr\xc3", "ss", ALIGN_GAVE_UP, "");
    check_goes_on(ALIGN_PREFILLED, "gr\xc3\xbc", "\xbc\xc3\x9f", ALIGN_GAVE_UP, "");
}

/* ---- JSON ---- */

static void check_json(struct weir_str sent, const char *continuation, const char *whole, uint32_t *joined)
{
    struct arena *a = arena_new();
    struct weir_str rest;
    int rc = align_json(a, sent, weir_cstr(continuation), &rest);
    if (rc == 0) {
        struct weir_str all = arena_printf(a, "%.*s%.*s", (int)sent.n, sent.p, (int)rest.n, rest.p);
        if (!align_same_json(all, weir_cstr(whole)))
            printf("sent %.*s\ncontinuation %s\ngot %.*s\n", (int)sent.n, sent.p, continuation, (int)all.n, all.p);
        CHECK(align_same_json(all, weir_cstr(whole)));
    }
    *joined += rc == 0;
    arena_free(a);
}

static const char *const documents[] = {
    "{\"city\": \"Berlin\", \"days\": 3, \"why\": \"a \\\"short\\\" trip, {or so}\", \"stops\": [{\"a\": 1}, {\"b\": [2, 3]}], \"last\": null}",
    "{\"path\":\"/tmp/x.py\",\"text\":\"def f():\\n    return {1: \\\"2\\\"}\\n\",\"mode\":420}",
    "[1, 22, 333, {\"x\": \"gr\xc3\xbc\xc3\x9f\"}]",
};

TEST(arguments_cut_anywhere)
{
    uint32_t exact = 0, top = 0, spaced = 0, behind = 0, n = 0;
    char text[1024];
    for (int d = 0; d < 3; d++)
        for (size_t cut = 1; cut < strlen(documents[d]); cut++, n++) {
            struct weir_str sent = { documents[d], cut };
            check_json(sent, documents[d] + cut, documents[d], &exact);
            check_json(sent, documents[d], documents[d], &top);
            snprintf(text, sizeof(text), " %c \n %s\n", documents[d][0], documents[d] + 1);
            check_json(sent, text, documents[d], &spaced);
            snprintf(text, sizeof(text), "Here it is:\n```json\n%s\n```\n", documents[d]);
            check_json(sent, text, documents[d], &behind);
        }
    printf("  joined of %u: exact %u, from the top %u, with other white space %u, behind a preamble %u\n", n, exact, top, spaced, behind);
    CHECK(exact * 10 > n * 7 && top * 10 > n * 9 && spaced * 10 > n * 9 && behind * 10 > n * 9);
}

TEST(arguments_that_differ_are_refused)
{
    struct arena *a = arena_new();
    struct weir_str rest, sent = WEIR_LIT("{\"city\": \"Ber");
    CHECK(align_json(a, sent, WEIR_LIT("{\"city\": \"Bonn\"}"), &rest) < 0);
    CHECK(align_json(a, sent, WEIR_LIT("{\"town\": \"Berlin\"}"), &rest) < 0);
    CHECK(align_json(a, sent, WEIR_LIT(""), &rest) < 0);
    CHECK(align_json(a, sent, WEIR_LIT("lin\""), &rest) < 0);
    CHECK(align_json(a, WEIR_NONE, WEIR_LIT("{}"), &rest) == 0 && rest.n == 2);
    CHECK(align_json(a, WEIR_LIT("{\"a\":1}"), WEIR_LIT("{ \"a\" : 1 }"), &rest) == 0 && rest.n == 0);
    CHECK(align_json(a, WEIR_LIT("{\"a\":"), WEIR_LIT("{\"a\":1}}"), &rest) == 0 && rest.n == 8); /* one in the other */
    arena_free(a);
}
