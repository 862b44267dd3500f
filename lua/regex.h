/* Regular expressions in time linear in the subject: the compiler (regex.c) and the machine (regex_run.c).
 *
 * Syntax: literals . [a-z] [^…] \d \w \s \D \W \S \b \B ^ $ (…) (?:…) | * + ? {m,n}, each also lazy (*? …), (?i)
 * (?m) (?s) at the beginning, \n \t \r \f \xHH \x{HHHH} and [[:alpha:]]. No back-references, no look-around. UTF-8:
 * '.' and classes take whole characters; a byte that is no UTF-8 counts as one character that only '.' and [^…]
 * match.
 */
#ifndef WEIR_LUA_REGEX_H
#define WEIR_LUA_REGEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    REGEX_NODES = 2000,
    REGEX_INSTRUCTIONS = 2000,
    REGEX_CLASSES = 64,
    REGEX_RANGES = 512,
    REGEX_GROUPS = 16, /* with group 0, the whole match */
    REGEX_REPEAT = 1000,
    REGEX_DEPTH = 50,
    REGEX_PATTERN = 2000, /* bytes */
};

enum regex_op { RE_CHAR, RE_ANY, RE_CLASS, RE_MATCH, RE_JUMP, RE_SPLIT, RE_SAVE, RE_ASSERT };
enum regex_assert { RE_TEXT_BEGIN, RE_TEXT_END, RE_LINE_BEGIN, RE_LINE_END, RE_WORD, RE_NOT_WORD };

struct regex_instruction {
    uint8_t op;     /* enum regex_op */
    uint8_t detail; /* ASSERT: which; SAVE: slot; ANY: 1 with newline */
    uint16_t y;     /* SPLIT: the second choice */
    uint32_t x;     /* CHAR: code point; CLASS: index; JUMP, SPLIT: target (first choice) */
};

struct regex_class {
    uint64_t ascii[2];
    uint16_t first_range, n_ranges; /* above ASCII */
    bool is_negated;                /* of the ranges; the bits are final */
};

struct regex {
    uint16_t n, n_classes, n_ranges, n_groups;
    bool can_be_empty;
    uint64_t first[4]; /* bytes that a match can begin with; all if it can be empty */
    struct regex_class *classes;
    uint32_t (*ranges)[2];
    struct regex_instruction code[];
};

/* Everything the compiler needs, to be allocated by the caller; big. */
struct regex_build;
size_t regex_build_size(void);
/* Bytes that the regex will take; 0 and a sentence in *error if the pattern is wrong. */
size_t regex_compile(struct regex_build *b, const char *pattern, size_t n, const char **error, size_t *error_at);
void regex_copy(const struct regex_build *b, struct regex *to); /* into as many bytes as regex_compile() said */

/* ---- running ----------------------------------------------------------------------------------------------------- */

enum regex_result { RE_NO, RE_YES, RE_MORE };

struct regex_run;
size_t regex_run_size(const struct regex *re);
/* Begins a search at `from` of s (n bytes). `slots` tells begin and end of each group afterwards. */
void regex_begin(struct regex_run *r, const struct regex *re, const char *s, size_t n, size_t from, bool is_test);
/* Goes on for about this many steps. RE_MORE: call again. The subject may not move in between. */
enum regex_result regex_go(struct regex_run *r, const struct regex *re, const char *s, uint64_t steps);
/* Group i of the match found; false: it took no part. */
bool regex_group(const struct regex_run *r, int i, size_t *from, size_t *to);

uint32_t regex_decode(const unsigned char *p, const unsigned char *end, int *length); /* one character */
bool regex_class_has(const struct regex *re, const struct regex_class *c, uint32_t cp);

#endif
