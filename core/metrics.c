/* Counters, gauges and histograms, and their text for Prometheus.
 *
 * A metric is a name with labels; its cells exist in every slot, and a process adds only to those of its own slot. A
 * dead worker's counters stay where they are and count on under its successor; its gauges are cleared by the master.
 */
#include <inttypes.h>
#include <stdio.h>

#include "shm_layout.h"

static const uint32_t bucket_ms_x10[METRIC_BUCKETS] = { /* tenths of a millisecond */
    10,    25,    50,    100,   250,    500,    1000,   2500,    5000,
    10000, 25000, 50000, 100000, 300000, 600000, 1200000, 3000000,
};

/* ---- declaring ---- */

static bool is_name_char(char c, bool is_first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (!is_first && c >= '0' && c <= '9');
}

static size_t name_length(const char *p)
{
    size_t n = 0;
    while (is_name_char(p[n], n == 0))
        n++;
    return n;
}

/* The length of "…" with its escapes, 0: not well-formed. */
static size_t quoted_length(const char *p)
{
    if (p[0] != '"')
        return 0;
    for (size_t i = 1; p[i] && p[i] != '\n'; i++) {
        if (p[i] == '"')
            return i + 1;
        if (p[i] == '\\' && !strchr("\\\"n", p[++i]))
            return 0;
        if (!p[i])
            return 0;
    }
    return 0;
}

/* One broken label would make the whole page unreadable, so it is not let in. */
static bool are_labels(const char *p)
{
    while (*p) {
        size_t name = name_length(p);
        size_t value = name && p[name] == '=' ? quoted_length(p + name + 1) : 0;
        if (value == 0)
            return false;
        p += name + 1 + value;
        if (*p == ',' && p[1])
            p++;
        else if (*p)
            return false;
    }
    return true;
}

int metric_declare(const char *name, const char *labels, const char *help, enum metric_type type)
{
    labels = labels ? labels : "";
    if (!name || name[0] == 0 || name[name_length(name)] || !are_labels(labels))
        return -1;
    struct name_record wish;
    names_wish(&wish, name, labels);
    wish.type = type;
    wish.cells = type == METRIC_HISTOGRAM ? METRIC_BUCKETS + 2 : 1;
    snprintf(wish.help, sizeof wish.help, "%s", help ? help : "");
    return names_find_or_add(&shm_area->metric_names, METRICS_MAX, &wish);
}

int metric_label(char *buf, size_t n, const char *name, const char *value)
{
    size_t before = strlen(buf);
    struct shm_text t = { buf, n, before };
    shm_put(&t, "%s%s=\"", before ? "," : "", name);
    metric_put_escaped(&t, value);
    shm_put(&t, "\"");
    if (t.n < n)
        return 0;
    if (before < n)
        buf[before] = 0;
    return -1;
}

/* ---- counting ---- */

/* Only this process adds to the cell, so a plain load and store do; readers see one or the other. */
static void cell_add(_Atomic int64_t *cell, int64_t n)
{
    atomic_store_explicit(cell, atomic_load_explicit(cell, memory_order_relaxed) + n, memory_order_relaxed);
}

static const struct name_record *metric_at(int id)
{
    return id < 0 ? NULL : names_at(&shm_area->metric_names, (uint32_t)id);
}

void metric_add(int id, int64_t n)
{
    const struct name_record *r = metric_at(id);
    if (r)
        cell_add(&shm_own->cells[r->base], n);
}

/* The bucket first: the count is made of the buckets, so a crash in between leaves at most the sum one behind. */
void metric_observe_us(int id, uint64_t us)
{
    const struct name_record *r = metric_at(id);
    if (!r || r->type != METRIC_HISTOGRAM)
        return;
    uint32_t bucket = 0;
    while (bucket < METRIC_BUCKETS && us > (uint64_t)bucket_ms_x10[bucket] * 100)
        bucket++;
    cell_add(&shm_own->cells[r->base + bucket], 1);
    cell_add(&shm_own->cells[r->base + METRIC_BUCKETS + 1], (int64_t)us);
}

static int64_t cell_sum(uint32_t cell)
{
    int64_t sum = 0;
    for (int i = shm_next_slot(-1); i >= 0; i = shm_next_slot(i))
        sum += atomic_load_explicit(&shm_area->slots[i].cells[cell], memory_order_relaxed);
    return sum;
}

int64_t metric_sum(int id)
{
    const struct name_record *r = metric_at(id);
    int64_t sum = 0;
    uint32_t cells = !r ? 0 : r->type == METRIC_HISTOGRAM ? METRIC_BUCKETS + 1 : 1;
    for (uint32_t i = 0; i < cells; i++)
        sum += cell_sum(r->base + i);
    return sum;
}

void metrics_clear_gauges(struct shm_slot *slot)
{
    const struct name_record *r;
    for (uint32_t i = 0; (r = names_at(&shm_area->metric_names, i)); i++)
        if (r->type == METRIC_GAUGE)
            atomic_store(&slot->cells[r->base], 0);
}

/* ---- the text ---- */

void metric_put_escaped(struct shm_text *t, const char *value)
{
    for (; *value; value++) {
        if (*value == '\n')
            shm_put(t, "\\n");
        else
            shm_put(t, *value == '"' || *value == '\\' ? "\\%c" : "%c", *value);
    }
}

static void put_help(struct shm_text *t, const char *help)
{
    for (; *help; help++)
        shm_put(t, *help == '\n' ? "\\n" : *help == '\\' ? "\\\\" : "%c", *help);
}

static void put_histogram(struct shm_text *t, const struct name_record *r, const char *labels)
{
    const char *comma = labels[0] ? "," : "", *open = labels[0] ? "{" : "", *close = labels[0] ? "}" : "";
    int64_t count = 0;
    for (uint32_t i = 0; i < METRIC_BUCKETS; i++) {
        count += cell_sum(r->base + i);
        shm_put(t, "weir_%s_bucket{%s%sle=\"%g\"} %" PRId64 "\n", r->text, labels, comma, bucket_ms_x10[i] / 1e4,
                count);
    }
    count += cell_sum(r->base + METRIC_BUCKETS);
    double sum = (double)cell_sum(r->base + METRIC_BUCKETS + 1) / 1e6;
    shm_put(t, "weir_%s_bucket{%s%sle=\"+Inf\"} %" PRId64 "\n", r->text, labels, comma, count);
    shm_put(t, "weir_%s_sum%s%s%s %.6f\n", r->text, open, labels, close, sum);
    shm_put(t, "weir_%s_count%s%s%s %" PRId64 "\n", r->text, open, labels, close, count);
}

static void put_metric(struct shm_text *t, const struct name_record *r)
{
    const char *labels = r->text + r->name_n + 1;
    if (r->type == METRIC_HISTOGRAM)
        put_histogram(t, r, labels);
    else if (labels[0])
        shm_put(t, "weir_%s{%s} %" PRId64 "\n", r->text, labels, cell_sum(r->base));
    else
        shm_put(t, "weir_%s %" PRId64 "\n", r->text, cell_sum(r->base));
}

static bool is_family(const struct name_record *a, const struct name_record *b)
{
    return a->name_n == b->name_n && memcmp(a->text, b->text, a->name_n) == 0;
}

static bool is_first_of_family(uint32_t i, const struct name_record *r)
{
    for (uint32_t before = 0; before < i; before++)
        if (is_family(names_at(&shm_area->metric_names, before), r))
            return false;
    return true;
}

/* All of one name must stand together, under one HELP and TYPE. */
static void put_family(struct shm_text *t, uint32_t i, const struct name_record *first)
{
    static const char *const types[] = { "untyped", "counter", "gauge", "histogram" };
    if (first->help[0]) {
        shm_put(t, "# HELP weir_%s ", first->text);
        put_help(t, first->help);
        shm_put(t, "\n");
    }
    shm_put(t, "# TYPE weir_%s %s\n", first->text, types[first->type <= METRIC_HISTOGRAM ? first->type : 0]);
    const struct name_record *r;
    for (; (r = names_at(&shm_area->metric_names, i)); i++)
        if (is_family(first, r) && r->type == first->type)
            put_metric(t, r);
}

size_t metrics_text(char *buf, size_t n)
{
    struct shm_text t = { buf, n, 0 };
    const struct name_record *r;
    for (uint32_t i = 0; (r = names_at(&shm_area->metric_names, i)); i++)
        if (is_first_of_family(i, r))
            put_family(&t, i, r);
    providers_text(&t);
    targets_text(&t);
    faults_text(&t);
    return t.n;
}
