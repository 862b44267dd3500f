/* The table of models: found by halves in its own text, a row read once. Its head says what the columns mean; sorting is
 * checked when it is opened, everything else when a row is asked for: what can't be read there is not known. */
#include "config_facts.h"

#include <stdio.h>
#include <stdlib.h>

#include <weir/conversation.h>

enum { COLUMNS = 9, ROWS_MAX = 100000, GROUPS_MAX = 12 };

struct facts_table {
    struct arena *arena;
    struct weir_str *lines; /* sorted by provider, tab, model */
    struct model_facts **rows; /* NULL: not read yet */
    uint32_t n;
};

/* ---- opening ---- */

/* "provider\tmodel" */
static struct weir_str key_of(struct weir_str line)
{
    size_t n = 0;
    for (int tabs = 0; n < line.n; n++)
        if (line.p[n] == '\t' && ++tabs == 2)
            break;
    return (struct weir_str){ line.p, n };
}

static int compare(struct weir_str a, struct weir_str b)
{
    int order = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);
    return order ? order : a.n < b.n ? -1 : a.n > b.n;
}

static uint32_t count_lines(struct weir_str text)
{
    uint32_t n = 1;
    for (const char *p = text.p; (p = memchr(p, '\n', text.n - (size_t)(p - text.p))); p++)
        n++;
    return n;
}

static struct weir_str take_line(struct weir_str *rest)
{
    const char *end = memchr(rest->p, '\n', rest->n);
    size_t n = end ? (size_t)(end - rest->p) : rest->n, whole = end ? n + 1 : n;
    struct weir_str line = { rest->p, n };
    *rest = (struct weir_str){ rest->p + whole, rest->n - whole };
    return line;
}

static bool is_in_order(const struct facts_table *t)
{
    return t->n < 2 || compare(key_of(t->lines[t->n - 2]), key_of(t->lines[t->n - 1])) < 0;
}

struct facts_table *facts_open(struct arena *a, struct weir_str text, char *why, size_t n)
{
    uint32_t most = text.n ? count_lines(text) : 0, number = 0;
    struct facts_table *t = arena_zalloc(a, sizeof *t);
    if (t)
        *t = (struct facts_table){ .arena = a,
                                   .lines = arena_alloc(a, (most + 1) * sizeof *t->lines),
                                   .rows = arena_zalloc(a, (most + 1) * sizeof(void *)) };
    snprintf(why, n, "out of memory, or more than %d lines", ROWS_MAX);
    if (!t || !t->lines || !t->rows || most > ROWS_MAX)
        return NULL;
    while (text.n) {
        struct weir_str line = take_line(&text);
        number++;
        if (line.n == 0 || line.p[0] == '#')
            continue;
        t->lines[t->n++] = line;
        if (is_in_order(t))
            continue;
        snprintf(why, n, "line %u is out of order or a second one of the same model: the table is sorted by bytes",
                 number);
        return NULL;
    }
    return t;
}

uint32_t facts_count(const struct facts_table *t)
{
    return t ? t->n : 0;
}

/* ---- words ---- */

static const struct {
    const char *word;
    uint32_t bits;
} capabilities[] = {
    { "tools", WEIR_CAN_TOOLS | WEIR_CAN_PARALLEL_TOOLS },
    { "parallel_tools", WEIR_CAN_PARALLEL_TOOLS },
    { "images", WEIR_CAN_IMAGE_URL | WEIR_CAN_IMAGE_INLINE },
    { "image_urls", WEIR_CAN_IMAGE_URL },
    { "files", WEIR_CAN_FILE_INLINE | WEIR_CAN_FILE_URL | WEIR_CAN_FILE_ID },
    { "file_urls", WEIR_CAN_FILE_URL },
    { "file_ids", WEIR_CAN_FILE_ID },
    { "audio_in", WEIR_CAN_AUDIO_IN },
    { "audio_out", WEIR_CAN_AUDIO_OUT },
    { "json_object", WEIR_CAN_JSON_OBJECT },
    { "json_schema", WEIR_CAN_JSON_SCHEMA },
    { "thinking", WEIR_CAN_THINKING },
    { "choices", WEIR_CAN_CHOICES },
    { "logprobs", WEIR_CAN_LOGPROBS },
    { "stream", WEIR_CAN_STREAM },
};
const char facts_capability_words[] =
    "tools|parallel_tools|images|image_urls|files|file_urls|file_ids|audio_in|audio_out|"
    "json_object|json_schema|thinking|choices|logprobs|stream";

uint32_t facts_capability(struct weir_str word)
{
    for (size_t i = 0; i < sizeof capabilities / sizeof *capabilities; i++)
        if (weir_is(word, capabilities[i].word))
            return capabilities[i].bits;
    return 0;
}

/* ---- one row ---- */

/* What stands before the separator, and the rest behind it. */
static struct weir_str cut(struct weir_str *rest, char separator)
{
    const char *end = rest->n ? memchr(rest->p, separator, rest->n) : NULL;
    struct weir_str part = { rest->p, end ? (size_t)(end - rest->p) : rest->n };
    *rest = end ? (struct weir_str){ end + 1, rest->n - part.n - 1 } : (struct weir_str){ rest->p + rest->n, 0 };
    return part;
}

static struct weir_str trim(struct weir_str s)
{
    while (s.n && s.p[0] == ' ')
        s = (struct weir_str){ s.p + 1, s.n - 1 };
    return s;
}

static double number_of(struct weir_str s)
{
    char text[32];
    if (s.n == 0 || s.n >= sizeof text)
        return -1;
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    double value = strtod(text, NULL);
    return value >= 0 && value < 1e15 ? value : -1;
}

static int64_t whole_of(struct weir_str s)
{
    double value = number_of(s);
    return value >= 1 ? (int64_t)value : -1;
}

static uint32_t bits_of(struct weir_str words)
{
    uint32_t bits = 0;
    while (words.n)
        bits |= facts_capability(cut(&words, ','));
    return bits;
}

static void read_price(struct facts_prices *p, struct weir_str word)
{
    static const char *const names[FACTS_PRICES] = {
        "in",        "out",      "cached",    "write",          "write_1h",
        "reasoning", "audio_in", "audio_out", "image_token_in", "image_token_out"
    };
    struct weir_str name = cut(&word, '=');
    for (int i = 0; i < FACTS_PRICES; i++)
        if (weir_is(name, names[i]))
            p->usd[i] = number_of(word);
}

/* "priority>200k" */
static void read_condition(struct facts_prices *p, struct weir_str text)
{
    static const char *const tiers[] = { "", "priority", "flex", "batch" };
    struct weir_str tier = cut(&text, '>');
    for (int i = 0; i < 4; i++)
        if (weir_is(tier, tiers[i]))
            p->tier = (enum facts_tier)i;
    if (text.n)
        p->above_tokens = (int64_t)number_of(text) * (text.p[text.n - 1] == 'k' ? 1000 : 1);
}

static void read_group(struct facts_prices *p, struct weir_str group)
{
    for (int i = 0; i < FACTS_PRICES; i++)
        p->usd[i] = -1;
    if (memchr(group.p, ':', group.n))
        read_condition(p, cut(&group, ':'));
    for (group = trim(group); group.n; group = trim(group))
        read_price(p, cut(&group, ' '));
}

static void read_prices(struct arena *a, struct model_facts *f, struct weir_str text)
{
    struct facts_prices *list = weir_is(text, "-") ? NULL : arena_zalloc(a, GROUPS_MAX * sizeof *list);
    f->prices = list;
    while (list && text.n && f->n_prices < GROUPS_MAX)
        read_group(&list[f->n_prices++], trim(cut(&text, ';')));
}

static struct model_facts *read_row(struct facts_table *t, struct weir_str line)
{
    struct weir_str c[COLUMNS];
    struct model_facts *f = arena_zalloc(t->arena, sizeof *f);
    if (!f)
        return NULL;
    for (int i = 0; i < COLUMNS; i++)
        c[i] = cut(&line, '\t');
    *f = (struct model_facts){ .provider = c[0],
                               .model = c[1],
                               .kind = c[2],
                               .context_tokens = whole_of(c[3]),
                               .output_tokens = whole_of(c[4]),
                               .can = bits_of(c[6]),
                               .lacks = bits_of(c[7]),
                               .shown = { c[5], c[6], c[7], c[8] } };
    f->lacks &= ~f->can;
    read_prices(t->arena, f, c[5]);
    return f;
}

const struct model_facts *facts_at(struct facts_table *t, uint32_t i)
{
    if (!t->rows[i])
        t->rows[i] = read_row(t, t->lines[i]);
    return t->rows[i];
}

/* ---- finding ---- */

/* The first row whose key is not before it. */
static uint32_t lower_bound(const struct facts_table *t, struct weir_str key)
{
    uint32_t from = 0, to = t->n;
    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        if (compare(key_of(t->lines[middle]), key) < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

static const struct model_facts *find_exact(struct facts_table *t, const char *provider, const char *region,
                                            struct weir_str model)
{
    char key[256];
    int n = snprintf(key, sizeof key, "%s\t%s%s%.*s", provider, region, region[0] ? "/" : "", (int)model.n, model.p);
    if (n <= 0 || (size_t)n >= sizeof key)
        return NULL;
    struct weir_str wanted = { key, (size_t)n };
    uint32_t i = lower_bound(t, wanted);
    return i < t->n && weir_eq(key_of(t->lines[i]), wanted) ? facts_at(t, i) : NULL;
}

/* "ft:gpt-4o-mini:our-company::id" is priced as "ft:gpt-4o-mini". */
static struct weir_str tuned_from(struct weir_str model)
{
    const char *colon = model.n > 3 && memcmp(model.p, "ft:", 3) == 0 ? memchr(model.p + 3, ':', model.n - 3) : NULL;
    return colon ? (struct weir_str){ model.p, (size_t)(colon - model.p) } : WEIR_NONE;
}

const struct model_facts *facts_find(struct facts_table *t, const char *provider, const char *region,
                                     struct weir_str model)
{
    const struct model_facts *f = NULL;
    if (!t || !provider || !model.n)
        return NULL;
    if (region && region[0])
        f = find_exact(t, provider, region, model);
    if (!f)
        f = find_exact(t, provider, "", model);
    return f ? f : facts_find(t, provider, region, tuned_from(model));
}

bool facts_has_provider(const struct facts_table *t, struct weir_str provider)
{
    if (!t || !provider.n)
        return false;
    uint32_t i = lower_bound(t, provider);
    return i < t->n && t->lines[i].n > provider.n && memcmp(t->lines[i].p, provider.p, provider.n) == 0 &&
           t->lines[i].p[provider.n] == '\t';
}

/* ---- cost ---- */

/* Of the prices for this tier (else the plain ones) those that begin highest below the input's size. */
static const struct facts_prices *choose(const struct facts_prices *list, uint32_t n, enum facts_tier tier,
                                         int64_t input)
{
    const struct facts_prices *best = NULL;
    for (uint32_t i = 0; i < n; i++) {
        const struct facts_prices *p = &list[i];
        if (p->above_tokens && input <= p->above_tokens)
            continue;
        bool is_nearer = !best || (p->tier == tier) > (best->tier == tier) ||
                         (p->tier == best->tier && p->above_tokens > best->above_tokens);
        if ((p->tier == tier || p->tier == FACTS_STANDARD) && is_nearer)
            best = p;
    }
    return best;
}

/* A price that the chosen ones don't tell is that of the plain ones, and at last that of what it is a part of. */
static double price_of(const struct facts_prices *chosen, const struct facts_prices *plain, enum facts_price_kind kind,
                       enum facts_price_kind part_of)
{
    if (chosen->usd[kind] >= 0)
        return chosen->usd[kind];
    if (chosen->usd[part_of] >= 0 && plain->usd[kind] < 0)
        return chosen->usd[part_of];
    return plain->usd[kind] >= 0 ? plain->usd[kind] : plain->usd[part_of];
}

static int64_t known(int64_t count)
{
    return count > 0 ? count : 0;
}

double facts_cost(const struct facts_prices *prices, uint32_t n, enum facts_tier tier, const struct weir_usage *u)
{
    const struct facts_prices *p = choose(prices, n, tier, u->input);
    if (!p || u->input < 0 || u->output < 0 || prices->usd[FACTS_INPUT] < 0)
        return -1;
    int64_t hour = known(u->cached_write_1h), write = known(u->cached_write) - hour;
    int64_t reasoning = known(u->reasoning), heard = known(u->audio_input), spoken = known(u->audio_output);
    int64_t input = u->input - known(u->cached_read) - known(u->cached_write) - heard;
    int64_t output = u->output - reasoning - spoken;
    double out = price_of(p, prices, FACTS_OUTPUT, FACTS_OUTPUT);
    if (out < 0 && u->output > 0)
        return -1;
    double usd =
        (double)known(input) * price_of(p, prices, FACTS_INPUT, FACTS_INPUT) +
        (double)known(u->cached_read) * price_of(p, prices, FACTS_CACHED, FACTS_INPUT) +
        (double)known(write) * price_of(p, prices, FACTS_WRITE, FACTS_INPUT) +
        (double)hour * price_of(p, prices, FACTS_WRITE_1H,
                                p->usd[FACTS_WRITE] >= 0 || prices->usd[FACTS_WRITE] >= 0 ? FACTS_WRITE : FACTS_INPUT) +
        (double)heard * price_of(p, prices, FACTS_AUDIO_INPUT, FACTS_INPUT);
    if (u->output > 0)
        usd += (double)known(output) * out + (double)reasoning * price_of(p, prices, FACTS_REASONING, FACTS_OUTPUT) +
               (double)spoken * price_of(p, prices, FACTS_AUDIO_OUTPUT, FACTS_OUTPUT);
    return usd / 1e6;
}
