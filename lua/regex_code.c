/* The second half of the compiler of regular expressions: tree -> program, and what a match can begin with.
 *
 * Owner: the caller's memory; nothing is allocated here.
 */
#include <string.h>

#include "regex_build.h"

/* ---- the program ------------------------------------------------------------------------------------------------- */

static int add_code(struct regex_build *b, enum regex_op op, uint8_t detail, uint32_t x)
{
    if (b->n_code == REGEX_INSTRUCTIONS)
        return regex_fail(b, "the pattern is too big (its repetitions multiply)");
    b->code[b->n_code] = (struct regex_instruction){ .op = (uint8_t)op, .detail = detail, .x = x };
    return b->n_code++;
}

static int emit(struct regex_build *b, int node);

/* A split whose one way goes on behind it; the other is set by close_split(). */
static int open_split(struct regex_build *b)
{
    return add_code(b, RE_SPLIT, 0, 0);
}

static void close_split(struct regex_build *b, int split, int into, int past, bool is_lazy)
{
    if (split < 0)
        return;
    b->code[split].x = (uint32_t)(is_lazy ? past : into);
    b->code[split].y = (uint16_t)(is_lazy ? into : past);
}

static int emit_alternatives(struct regex_build *b, const struct node *n)
{
    int split = open_split(b), into = b->n_code;
    if (split < 0 || emit(b, n->a) < 0)
        return -1;
    int jump = add_code(b, RE_JUMP, 0, 0);
    if (jump < 0)
        return -1;
    close_split(b, split, into, b->n_code, false);
    if (emit(b, n->b) < 0)
        return -1;
    b->code[jump].x = (uint32_t)b->n_code;
    return 0;
}

static int emit_star(struct regex_build *b, const struct node *n)
{
    int split = open_split(b), into = b->n_code;
    if (split < 0 || emit(b, n->a) < 0 || add_code(b, RE_JUMP, 0, (uint32_t)split) < 0)
        return -1;
    close_split(b, split, into, b->n_code, n->is_lazy);
    return 0;
}

/* x{m,n}: m times x, then n - m nested options; each split's way out is where all of it ends. */
static int emit_repeat(struct regex_build *b, const struct node *n)
{
    for (int i = 0; i < n->min; i++)
        if (emit(b, n->a) < 0)
            return -1;
    if (n->max < 0)
        return emit_star(b, n);
    int first = -1, last = -1;
    for (int i = n->min; i < n->max; i++) {
        int split = open_split(b);
        if (split < 0)
            return -1;
        b->code[split].x = (uint32_t)(last < 0 ? split : last); /* a chain, until the end is known */
        first = first < 0 ? split : first;
        last = split;
        if (emit(b, n->a) < 0)
            return -1;
    }
    for (int split = last; split >= 0;) {
        int before = (int)b->code[split].x;
        close_split(b, split, split + 1, b->n_code, n->is_lazy);
        split = split == first ? -1 : before;
    }
    return 0;
}

static int emit(struct regex_build *b, int index)
{
    const struct node *n = &b->nodes[index];
    switch ((enum node_type)n->type) {
    case N_EMPTY:
        return 0;
    case N_CHAR:
        return add_code(b, RE_CHAR, 0, n->value);
    case N_ANY:
        return add_code(b, RE_ANY, n->detail, 0);
    case N_CLASS:
        return add_code(b, RE_CLASS, 0, n->value);
    case N_ASSERT:
        return add_code(b, RE_ASSERT, n->detail, 0);
    case N_CAT:
        return emit(b, n->a) < 0 ? -1 : emit(b, n->b);
    case N_ALT:
        return emit_alternatives(b, n);
    case N_REPEAT:
        return emit_repeat(b, n);
    case N_GROUP:
        if (add_code(b, RE_SAVE, (uint8_t)(2 * n->detail), 0) < 0 || emit(b, n->a) < 0)
            return -1;
        return add_code(b, RE_SAVE, (uint8_t)(2 * n->detail + 1), 0);
    }
    return -1;
}

int regex_emit_all(struct regex_build *b, int root)
{
    return emit(b, root) < 0 ? -1 : add_code(b, RE_MATCH, 0, 0);
}

/* ---- what a match can begin with --------------------------------------------------------------------------------- */

static void add_first(struct regex *re, const struct regex_instruction *i)
{
    const struct regex_class *c = &re->classes[i->x];
    if (i->op == RE_CHAR && i->x < 128) {
        re->first[i->x >> 6] |= UINT64_C(1) << (i->x & 63);
        return;
    }
    if (i->op == RE_ANY)
        re->first[0] = re->first[1] = ~UINT64_C(0);
    if (i->op == RE_CLASS) {
        re->first[0] |= c->ascii[0];
        re->first[1] |= c->ascii[1];
        if (c->n_ranges == 0 && !c->is_negated)
            return;
    }
    re->first[2] = re->first[3] = ~UINT64_C(0);
}

static void find_first(struct regex *re)
{
    uint64_t seen[(REGEX_INSTRUCTIONS + 63) / 64] = { 0 };
    uint16_t todo[2 * REGEX_INSTRUCTIONS + 1];
    int n = 0;
    todo[n++] = 0;
    while (n > 0) {
        uint16_t pc = todo[--n];
        const struct regex_instruction *i = &re->code[pc];
        if (seen[pc >> 6] >> (pc & 63) & 1)
            continue;
        seen[pc >> 6] |= UINT64_C(1) << (pc & 63);
        if (i->op == RE_MATCH)
            re->can_be_empty = true;
        else if (i->op == RE_JUMP || i->op == RE_SPLIT)
            todo[n++] = (uint16_t)i->x;
        else if (i->op == RE_SAVE || i->op == RE_ASSERT)
            todo[n++] = (uint16_t)(pc + 1);
        else
            add_first(re, i);
        if (i->op == RE_SPLIT)
            todo[n++] = i->y;
    }
    if (re->can_be_empty)
        memset(re->first, 0xFF, sizeof(re->first));
}

void regex_copy(const struct regex_build *b, struct regex *to)
{
    memset(to, 0, sizeof(*to));
    to->n = (uint16_t)b->n_code;
    to->n_classes = (uint16_t)b->n_classes;
    to->n_ranges = (uint16_t)b->n_ranges;
    to->n_groups = (uint16_t)b->n_groups;
    memcpy(to->code, b->code, to->n * sizeof(b->code[0]));
    to->classes = (struct regex_class *)(void *)(to->code + to->n);
    memcpy(to->classes, b->classes, to->n_classes * sizeof(b->classes[0]));
    to->ranges = (uint32_t(*)[2])(void *)(to->classes + to->n_classes);
    memcpy(to->ranges, b->ranges, to->n_ranges * sizeof(b->ranges[0]));
    find_first(to);
}
