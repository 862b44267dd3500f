/* The machine that runs a compiled expression: all ways through the program at once, in the order of preference
 * (Pike).
 *
 * For each character of the subject each instruction is looked at once at most, so time is subject × program
 * whatever the pattern. It can be stopped after any character and go on later. Owner: the caller's memory, one
 * block.
 */
#include "regex.h"

#include <string.h>

#define UNSET SIZE_MAX

struct threads {
    uint32_t n;
    uint16_t *dense;  /* program counters, in order of preference */
    uint16_t *sparse; /* by program counter: where in dense */
    size_t *slots;    /* n_slots for each entry of dense */
};

struct frame {
    uint32_t pc;   /* where to go, or, if is_restore, the slot */
    bool is_restore;
    size_t old;
};

struct regex_run {
    size_t n, at; /* of the subject */
    bool is_test, has_match;
    uint32_t n_slots;
    struct threads now, next;
    struct frame *stack;
    size_t *best, *scratch; /* slots */
};

static size_t aligned(size_t n)
{
    return (n + 15) & ~(size_t)15;
}

static uint32_t slots_of(const struct regex *re)
{
    return 2u * re->n_groups;
}

static size_t threads_size(const struct regex *re)
{
    return 2 * aligned(re->n * sizeof(uint16_t)) + aligned((size_t)re->n * slots_of(re) * sizeof(size_t));
}

static size_t stack_size(const struct regex *re)
{
    return aligned((2 * (size_t)re->n + 4) * sizeof(struct frame));
}

size_t regex_run_size(const struct regex *re)
{
    return aligned(sizeof(struct regex_run)) + 2 * threads_size(re) + stack_size(re) +
           2 * aligned(slots_of(re) * sizeof(size_t));
}

static char *place_threads(struct threads *t, const struct regex *re, char *p)
{
    t->dense = (uint16_t *)(void *)p;
    p += aligned(re->n * sizeof(uint16_t));
    t->sparse = (uint16_t *)(void *)p;
    memset(t->sparse, 0, re->n * sizeof(uint16_t));
    p += aligned(re->n * sizeof(uint16_t));
    t->slots = (size_t *)(void *)p;
    t->n = 0;
    return p + aligned((size_t)re->n * slots_of(re) * sizeof(size_t));
}

void regex_begin(struct regex_run *r, const struct regex *re, const char *s, size_t n, size_t from, bool is_test)
{
    (void)s;
    *r = (struct regex_run){ .n = n, .at = from, .is_test = is_test, .n_slots = is_test ? 0 : slots_of(re) };
    char *p = (char *)r + aligned(sizeof(*r));
    p = place_threads(&r->now, re, p);
    p = place_threads(&r->next, re, p);
    r->stack = (struct frame *)(void *)p;
    p += stack_size(re);
    r->best = (size_t *)(void *)p;
    r->scratch = (size_t *)(void *)(p + aligned(slots_of(re) * sizeof(size_t)));
}

/* ---- assertions -------------------------------------------------------------------------------------------------- */

static bool is_word(const char *s, size_t n, size_t at)
{
    unsigned char c = at < n ? (unsigned char)s[at] : 0;
    return (c | 32) >= 'a' ? (c | 32) <= 'z' && c < 128 : (c >= '0' && c <= '9') || c == '_';
}

static bool holds(enum regex_assert which, const char *s, size_t n, size_t at)
{
    bool is_boundary;
    switch (which) {
    case RE_TEXT_BEGIN:
        return at == 0;
    case RE_TEXT_END:
        return at == n;
    case RE_LINE_BEGIN:
        return at == 0 || s[at - 1] == '\n';
    case RE_LINE_END:
        return at == n || s[at] == '\n';
    default:
        is_boundary = (at > 0 && is_word(s, n, at - 1)) != is_word(s, n, at);
        return is_boundary == (which == RE_WORD);
    }
}

/* ---- threads ----------------------------------------------------------------------------------------------------- */

static bool has_thread(const struct threads *t, uint32_t pc)
{
    return t->sparse[pc] < t->n && t->dense[t->sparse[pc]] == pc;
}

/* Follows what takes no character, from pc on, with the slots in `scratch`. Depth first, first choices first. */
static uint64_t add(struct regex_run *r, const struct regex *re, struct threads *t, const char *s, size_t at,
                    uint32_t from)
{
    size_t top = 0;
    uint64_t steps = 0;
    r->stack[top++] = (struct frame){ .pc = from };
    while (top > 0) {
        struct frame f = r->stack[--top];
        if (f.is_restore) {
            r->scratch[f.pc] = f.old;
            continue;
        }
        steps++;
        if (has_thread(t, f.pc))
            continue;
        const struct regex_instruction *i = &re->code[f.pc];
        t->sparse[f.pc] = (uint16_t)t->n;
        t->dense[t->n] = (uint16_t)f.pc;
        switch ((enum regex_op)i->op) {
        case RE_JUMP:
            r->stack[top++] = (struct frame){ .pc = i->x };
            break;
        case RE_SPLIT:
            r->stack[top++] = (struct frame){ .pc = i->y };
            r->stack[top++] = (struct frame){ .pc = i->x };
            break;
        case RE_SAVE:
            if (i->detail < r->n_slots) {
                r->stack[top++] = (struct frame){ .pc = i->detail, .is_restore = true, .old = r->scratch[i->detail] };
                r->scratch[i->detail] = at;
            }
            r->stack[top++] = (struct frame){ .pc = f.pc + 1 };
            break;
        case RE_ASSERT:
            if (holds((enum regex_assert)i->detail, s, r->n, at))
                r->stack[top++] = (struct frame){ .pc = f.pc + 1 };
            break;
        default:
            if (r->n_slots)
                memcpy(t->slots + (size_t)t->n * r->n_slots, r->scratch, r->n_slots * sizeof(size_t));
        }
        t->n++;
    }
    return steps;
}

static void begin_here(struct regex_run *r)
{
    for (uint32_t i = 0; i < r->n_slots; i++)
        r->scratch[i] = UNSET;
    if (r->n_slots)
        r->scratch[0] = r->at;
}

static bool takes(const struct regex *re, const struct regex_instruction *i, uint32_t cp)
{
    switch ((enum regex_op)i->op) {
    case RE_CHAR:
        return i->x == cp;
    case RE_ANY:
        return i->detail || cp != '\n';
    case RE_CLASS:
        return regex_class_has(re, &re->classes[i->x], cp);
    default:
        return false;
    }
}

static void remember(struct regex_run *r, uint32_t thread)
{
    r->has_match = true;
    if (!r->n_slots)
        return;
    memcpy(r->best, r->now.slots + (size_t)thread * r->n_slots, r->n_slots * sizeof(size_t));
    r->best[1] = r->at;
}

/* One character for all threads. A thread that matches cuts off those behind it, which are worth less. */
static uint64_t step(struct regex_run *r, const struct regex *re, const char *s, uint32_t cp, int length)
{
    uint64_t steps = r->now.n + 1;
    r->next.n = 0;
    for (uint32_t i = 0; i < r->now.n; i++) {
        uint32_t pc = r->now.dense[i];
        const struct regex_instruction *in = &re->code[pc];
        if (in->op == RE_MATCH) {
            remember(r, i);
            break;
        }
        if (length == 0 || !takes(re, in, cp))
            continue;
        if (r->n_slots)
            memcpy(r->scratch, r->now.slots + (size_t)i * r->n_slots, r->n_slots * sizeof(size_t));
        steps += add(r, re, &r->next, s, r->at + (size_t)length, pc + 1);
    }
    struct threads swap = r->now;
    r->now = r->next;
    r->next = swap;
    return steps;
}

/* To the next byte that a match can begin with. */
static uint64_t skip(struct regex_run *r, const struct regex *re, const char *s, uint64_t limit)
{
    uint64_t n = 0;
    while (r->at < r->n && n < limit) {
        unsigned char c = (unsigned char)s[r->at];
        if (re->first[c >> 6] >> (c & 63) & 1)
            break;
        r->at++;
        n++;
    }
    return n / 8;
}

enum regex_result regex_go(struct regex_run *r, const struct regex *re, const char *s, uint64_t steps)
{
    for (uint64_t done = 0; done < steps;) {
        if (!r->has_match) {
            if (r->now.n == 0 && !re->can_be_empty)
                done += skip(r, re, s, steps * 8);
            begin_here(r);
            done += add(r, re, &r->now, s, r->at, 0);
        }
        int length = 0;
        uint32_t cp = 0;
        if (r->at < r->n)
            cp = regex_decode((const unsigned char *)s + r->at, (const unsigned char *)s + r->n, &length);
        done += step(r, re, s, cp, length);
        if (r->has_match && (r->now.n == 0 || r->is_test))
            return RE_YES;
        if (length == 0)
            return RE_NO;
        r->at += (size_t)length;
    }
    return RE_MORE;
}

bool regex_group(const struct regex_run *r, int i, size_t *from, size_t *to)
{
    *from = r->best[2 * i];
    *to = r->best[2 * i + 1];
    return *from != UNSET && *to != UNSET;
}
