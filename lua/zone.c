/* Time zones: a reader of the system's TZif files (RFC 8536) and of the POSIX rule at their end, which tells the offset
 * behind the last listed change.
 *
 * Not localtime_r: it knows one zone per process, and switching that one would change the time of everything else.
 * Owner: a list that lives as long as the worker; zones are few.
 */
#include "zone.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ZONE_FILE_MAX = 64 << 10, ZONES_MAX = 600, HEADER = 44 };

/* When a POSIX rule changes: the d-th day w of week n of month m, or a day of the year. */
struct rule_date {
    enum { DATE_MONTH, DATE_JULIAN, DATE_DAY } form;
    int month, week, day;
    int32_t time_s;
};

struct zone {
    struct zone *next;
    char name[64];
    uint32_t n_times;
    int64_t *times;
    int32_t *offsets; /* from that time on; n_times of them */
    int32_t first_offset_s;
    bool has_rule, has_summer;
    int32_t standard_s, summer_s;
    struct rule_date begin, end;
};

static struct zone *zones; /* a cache of files, the same for all policies of the worker */
static unsigned n_zones;

/* ---- dates ------------------------------------------------------------------------------------------------------- */

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* The year begins in March, so that the leap day is the last. */
int64_t zone_days(int64_t year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = floor_div(y, 400), yoe = y - era * 400;
    int64_t doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

void zone_date(int64_t days, int64_t *year, int *month, int *day)
{
    int64_t z = days + 719468, era = floor_div(z, 146097), doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    *day = (int)(doy - (153 * mp + 2) / 5 + 1);
    *month = (int)(mp < 10 ? mp + 3 : mp - 9);
    *year = yoe + era * 400 + (*month <= 2);
}

static bool is_leap(int64_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* ---- the rule behind the last change: "CET-1CEST,M3.5.0,M10.5.0/3" ----------------------------------------------- */

static int read_int(const char **p)
{
    int n = 0;
    while (**p >= '0' && **p <= '9' && n < 100000)
        n = n * 10 + (*(*p)++ - '0');
    return n;
}

/* [+-]hh[:mm[:ss]] */
static int32_t read_time(const char **p)
{
    int sign = **p == '-' ? -1 : 1;
    if (**p == '-' || **p == '+')
        ++*p;
    int32_t seconds = 0;
    for (int unit = 3600; unit > 0; unit /= 60) {
        seconds += read_int(p) % 1000 * unit;
        if (**p != ':')
            break;
        ++*p;
    }
    return sign * seconds;
}

static bool skip_name(const char **p)
{
    const char *from = *p;
    if (**p == '<') {
        while (**p && **p != '>')
            ++*p;
        return *(*p)++ == '>';
    }
    while ((**p >= 'A' && **p <= 'Z') || (**p >= 'a' && **p <= 'z'))
        ++*p;
    return *p - from >= 3;
}

static bool read_date(const char **p, struct rule_date *d)
{
    *d = (struct rule_date){ .time_s = 7200 };
    if (*(*p)++ != ',')
        return false;
    if (**p == 'M') {
        ++*p;
        d->month = read_int(p);
        *p += **p == '.';
        d->week = read_int(p);
        *p += **p == '.';
    } else {
        d->form = **p == 'J' ? DATE_JULIAN : DATE_DAY;
        *p += **p == 'J';
    }
    d->day = read_int(p);
    if (**p == '/') {
        ++*p;
        d->time_s = read_time(p);
    }
    bool is_month = d->form == DATE_MONTH;
    return is_month ? d->month >= 1 && d->month <= 12 && d->week >= 1 && d->week <= 5 && d->day <= 6 : d->day <= 366;
}

static bool read_rule(struct zone *z, const char *p)
{
    if (!skip_name(&p) || (*p != '-' && *p != '+' && (*p < '0' || *p > '9')))
        return false;
    z->standard_s = -read_time(&p);
    if (*p == 0)
        return true;
    if (!skip_name(&p))
        return false;
    z->summer_s = z->standard_s + 3600;
    if (*p && *p != ',')
        z->summer_s = -read_time(&p);
    z->has_summer = read_date(&p, &z->begin) && read_date(&p, &z->end) && *p == 0;
    return z->has_summer;
}

/* Seconds from the year's begin, in local time. */
static int64_t date_in_year(const struct rule_date *d, int64_t year)
{
    int64_t first = zone_days(year, 1, 1), day;
    if (d->form != DATE_MONTH) {
        day = d->form == DATE_DAY ? d->day : d->day - 1 + (is_leap(year) && d->day >= 60);
        return day * 86400 + d->time_s;
    }
    int64_t month = zone_days(year, d->month, 1);
    int64_t next = d->month == 12 ? zone_days(year + 1, 1, 1) : zone_days(year, d->month + 1, 1);
    int weekday = (int)((month + 4) % 7 + 7) % 7;
    day = month + (d->day - weekday + 7) % 7 + 7 * (d->week - 1);
    if (day >= next)
        day -= 7;
    return (day - first) * 86400 + d->time_s;
}

static int32_t rule_offset(const struct zone *z, int64_t t)
{
    if (!z->has_summer)
        return z->standard_s;
    int64_t year;
    int month, day;
    zone_date(floor_div(t + z->standard_s, 86400), &year, &month, &day);
    int64_t at = t - zone_days(year, 1, 1) * 86400;
    int64_t begin = date_in_year(&z->begin, year) - z->standard_s, end = date_in_year(&z->end, year) - z->summer_s;
    bool is_summer = begin < end ? at >= begin && at < end : at >= begin || at < end;
    return is_summer ? z->summer_s : z->standard_s;
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

static int64_t read_be(const uint8_t *p, int n)
{
    uint64_t v = p[0] & 0x80 ? ~UINT64_C(0) : 0;
    for (int i = 0; i < n; i++)
        v = v << 8 | p[i];
    return (int64_t)v;
}

struct counts {
    uint32_t isut, isstd, leap, time, type, chars;
};

static bool read_header(const uint8_t *p, size_t n, struct counts *c)
{
    if (n < HEADER || memcmp(p, "TZif", 4) != 0)
        return false;
    uint32_t *to[] = { &c->isut, &c->isstd, &c->leap, &c->time, &c->type, &c->chars };
    for (int i = 0; i < 6; i++) {
        *to[i] = (uint32_t)read_be(p + 20 + 4 * i, 4);
        if (*to[i] > ZONE_FILE_MAX)
            return false;
    }
    return c->type > 0;
}

static size_t body_size(const struct counts *c, size_t time_size)
{
    return c->time * (time_size + 1) + c->type * 6 + c->chars + c->leap * (time_size + 4) + c->isstd + c->isut;
}

static bool read_times(struct zone *z, const struct counts *c, const uint8_t *p)
{
    const uint8_t *types = p + (size_t)c->time * 8, *infos = types + c->time;
    z->times = calloc(c->time + 1, sizeof(*z->times));
    z->offsets = calloc(c->time + 1, sizeof(*z->offsets));
    if (!z->times || !z->offsets)
        return false;
    z->first_offset_s = (int32_t)read_be(infos, 4);
    z->n_times = c->time;
    for (uint32_t i = 0; i < c->time; i++) {
        if (types[i] >= c->type)
            return false;
        z->times[i] = read_be(p + (size_t)i * 8, 8);
        z->offsets[i] = (int32_t)read_be(infos + (size_t)types[i] * 6, 4);
        if (i > 0 && z->times[i] <= z->times[i - 1])
            return false;
    }
    return true;
}

static void read_footer(struct zone *z, const uint8_t *p, size_t n)
{
    char text[64];
    const uint8_t *end = n > 1 && p[0] == '\n' ? memchr(p + 1, '\n', n - 1) : NULL;
    size_t size = end ? (size_t)(end - p - 1) : 0;
    if (size == 0 || size >= sizeof(text))
        return;
    memcpy(text, p + 1, size);
    text[size] = 0;
    z->has_rule = read_rule(z, text);
}

static void zone_free(struct zone *z)
{
    if (!z)
        return;
    free(z->times);
    free(z->offsets);
    free(z);
}

struct zone *zone_parse(const uint8_t *p, size_t n)
{
    struct counts c;
    if (!read_header(p, n, &c) || p[4] < '2')
        return NULL;
    size_t skip = HEADER + body_size(&c, 4); /* the first block has 32-bit times */
    if (n < skip || !read_header(p + skip, n - skip, &c))
        return NULL;
    p += skip + HEADER;
    n -= skip + HEADER;
    size_t size = body_size(&c, 8);
    struct zone *z = n >= size ? calloc(1, sizeof(*z)) : NULL;
    if (!z)
        return NULL;
    if (!read_times(z, &c, p)) {
        zone_free(z);
        return NULL;
    }
    read_footer(z, p + size, n - size);
    return z;
}

/* ---- finding ----------------------------------------------------------------------------------------------------- */

static bool is_zone_name(const char *name)
{
    size_t n = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-/");
    return n > 0 && name[n] == 0 && n < sizeof(((struct zone *)0)->name) && name[0] != '/' && !strstr(name, "//");
}

static struct zone *zone_load(const char *name)
{
    char path[128];
    uint8_t *bytes = malloc(ZONE_FILE_MAX);
    snprintf(path, sizeof(path), "/usr/share/zoneinfo/%s", name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = bytes && fd >= 0 ? read(fd, bytes, ZONE_FILE_MAX) : -1;
    if (fd >= 0)
        close(fd);
    struct zone *z = n > 0 ? zone_parse(bytes, (size_t)n) : NULL;
    free(bytes);
    return z;
}

const struct zone *zone_find(const char *name)
{
    for (const struct zone *z = zones; z; z = z->next)
        if (strcmp(z->name, name) == 0)
            return z;
    struct zone *z = is_zone_name(name) && n_zones < ZONES_MAX ? zone_load(name) : NULL;
    if (!z)
        return NULL;
    snprintf(z->name, sizeof(z->name), "%s", name);
    z->next = zones;
    zones = z;
    n_zones++;
    return z;
}

int32_t zone_offset_s(const struct zone *z, int64_t t)
{
    uint32_t low = 0, high = z->n_times;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (z->times[middle] <= t)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == z->n_times && z->has_rule)
        return rule_offset(z, t);
    return low == 0 ? z->first_offset_s : z->offsets[low - 1];
}

void zone_forget_all(void)
{
    while (zones) {
        struct zone *z = zones;
        zones = z->next;
        zone_free(z);
    }
    n_zones = 0;
}
