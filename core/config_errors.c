/* Mistakes of a configuration: collected, put in file order, printed; and what a mistyped name may have meant.
 *
 * The list and its texts are malloc'ed: they outlive the configuration that failed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "config_read.h"

enum { ERRORS_MAX = 500 };

struct config_place place_of_node(const struct tree_node *at)
{
    return at ? (struct config_place){ at->file, at->line, at->column } : (struct config_place){ NULL, 0, 0 };
}

static void add(struct config_errors *errors, struct config_place place, bool is_warning, const char *format,
                va_list args)
{
    struct config_error *bigger =
        errors->n < ERRORS_MAX ? realloc(errors->list, (errors->n + 1) * sizeof *bigger) : NULL;
    char *text = NULL;
    errors->n_errors += !is_warning;
    if (bigger)
        errors->list = bigger;
    if (!bigger || vasprintf(&text, format, args) < 0)
        return;
    place.file = place.file ? strdup(place.file) : NULL;
    errors->list[errors->n++] = (struct config_error){ place, is_warning, text };
}

void mistake(struct reader *r, const struct tree_node *at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add(r->errors, place_of_node(at), false, format, args);
    va_end(args);
}

void warning(struct reader *r, const struct tree_node *at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add(r->errors, place_of_node(at), true, format, args);
    va_end(args);
}

void mistake_at(struct reader *r, struct config_place place, bool is_warning, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add(r->errors, place, is_warning, format, args);
    va_end(args);
}

static void say(void *arg, const char *file, uint32_t line, uint32_t column, const char *text)
{
    mistake_at(arg, (struct config_place){ file, line, column }, false, "%s", text);
}

struct tree_listener errors_listener(struct reader *r)
{
    return (struct tree_listener){ say, r };
}

/* ---- order ---- */

/* Files in the order in which they were first mentioned; what has no place comes last. */
static uint32_t file_rank(const struct config_errors *errors, const char *file)
{
    for (uint32_t i = 0; file && i < errors->n; i++)
        if (errors->list[i].place.file && strcmp(errors->list[i].place.file, file) == 0)
            return i;
    return errors->n;
}

static bool comes_before(const struct config_errors *errors, const struct config_error *a, const struct config_error *b)
{
    uint32_t x = file_rank(errors, a->place.file), y = file_rank(errors, b->place.file);
    if (x != y)
        return x < y;
    return a->place.line != b->place.line ? a->place.line < b->place.line : a->place.column < b->place.column;
}

/* Insertion: stable, and lists are short. The ranks stay right: the first of each file never falls behind another's. */
void errors_sort(struct config_errors *errors)
{
    for (uint32_t i = 1; i < errors->n; i++)
        for (uint32_t j = i; j > 0 && comes_before(errors, &errors->list[j], &errors->list[j - 1]); j--) {
            struct config_error swap = errors->list[j];
            errors->list[j] = errors->list[j - 1];
            errors->list[j - 1] = swap;
        }
}

void config_errors_print(const struct config_errors *errors, int fd)
{
    for (uint32_t i = 0; i < errors->n; i++) {
        const struct config_error *e = &errors->list[i];
        if (e->place.file)
            dprintf(fd, "%s:%u:%u: ", e->place.file, e->place.line, e->place.column);
        dprintf(fd, "%s%s\n", e->is_warning ? "warning: " : "", e->text);
    }
}

void config_errors_free(struct config_errors *errors)
{
    for (uint32_t i = 0; i < errors->n; i++) {
        free((char *)(uintptr_t)errors->list[i].text);
        free((char *)(uintptr_t)errors->list[i].place.file);
    }
    free(errors->list);
    *errors = (struct config_errors){ NULL, 0, 0 };
}

/* ---- suggestions ---- */

enum { WORD_MAX = 60 };

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Edits from a to b: insert, delete, replace, swap neighbours (the usual slips of the hand). */
static size_t edit_distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b), rows[3][WORD_MAX + 1];
    size_t *before = rows[0], *last = rows[1], *now = rows[2];
    if (n > WORD_MAX || m > WORD_MAX)
        return WORD_MAX;
    for (size_t j = 0; j <= m; j++)
        last[j] = before[j] = j;
    for (size_t i = 1; i <= n; i++) {
        now[0] = i;
        for (size_t j = 1; j <= m; j++) {
            now[j] = smaller(smaller(last[j], now[j - 1]) + 1, last[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = smaller(now[j], before[j - 2] + 1);
        }
        size_t *swap = before;
        before = last;
        last = now;
        now = swap;
    }
    return last[m];
}

void suggestion_begin(struct suggestion *s, const char *word)
{
    *s = (struct suggestion){ .word = word, .distance = strlen(word) / 3 + 2 };
}

void suggestion_offer(struct suggestion *s, const char *name)
{
    size_t distance = edit_distance(s->word, name);
    size_t n = strlen(s->word);
    if (n >= 3 && strlen(name) > n && strncmp(name, s->word, n) == 0)
        distance = smaller(distance, 1); /* cut short: "timeout" for "timeouts", "anthrop" for "anthropic" */
    if (distance < s->distance) {
        s->distance = distance;
        snprintf(s->best, sizeof s->best, "%s", name);
    }
}

const char *suggestion_text(struct reader *r, const struct suggestion *s)
{
    if (!s->best[0])
        return "";
    const char *text = arena_printf(r->a, "; did you mean \"%s\"?", s->best).p;
    return text ? text : "";
}
