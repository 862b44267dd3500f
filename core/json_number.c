/* Numbers are never converted to floating point: they cross weir as the text they came as, and the few that weir itself
 * needs are integers, computed exactly. */
#include "json_reader.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool pass_digits(struct weir_json *r)
{
    const char *p = r->p;
    while (p < r->end && is_digit(*p))
        p++;
    bool has_some = p > r->p;
    r->p = p;
    return has_some || json_fail_expected(r, "a digit");
}

bool json_pass_number(struct weir_json *r)
{
    if (*r->p == '-')
        r->p++;
    if (r->p < r->end && *r->p == '0') {
        r->p++;
        if (r->p < r->end && is_digit(*r->p))
            return json_fail_syntax(r, r->p - 1, "a number has a leading zero");
    } else if (!pass_digits(r)) {
        return false;
    }
    if (r->p < r->end && *r->p == '.') {
        r->p++;
        if (!pass_digits(r))
            return false;
    }
    if (r->p < r->end && (*r->p | 0x20) == 'e') {
        r->p++;
        if (r->p < r->end && (*r->p == '+' || *r->p == '-'))
            r->p++;
        return pass_digits(r);
    }
    return true;
}

/* A number as its digits without zeros at either end, and how many zeros (10^exponent) follow them. */
struct decimal {
    uint64_t digits;
    int64_t exponent;
    bool is_negative;
    bool is_too_long; /* more digits than any int64 has */
};

#define EXPONENT_MAX 1000000000000

static int64_t read_exponent(const char *p, const char *end)
{
    bool is_negative = *p == '-';
    int64_t exponent = 0;
    for (p += *p == '-' || *p == '+'; p < end && exponent < EXPONENT_MAX; p++)
        exponent = exponent * 10 + (*p - '0');
    return is_negative ? -exponent : exponent;
}

/* Zeros are kept back until another digit follows them. */
static void add_digit(struct decimal *d, unsigned digit, int64_t *zeros)
{
    if (digit == 0) {
        *zeros += d->digits != 0;
        return;
    }
    for (; *zeros >= 0 && !d->is_too_long; --*zeros) {
        unsigned next = *zeros ? 0 : digit;
        d->is_too_long = d->digits > (UINT64_MAX - next) / 10;
        d->digits = d->digits * 10 + next;
    }
    *zeros = 0;
}

static struct decimal read_decimal(struct weir_str number)
{
    struct decimal d = { 0 };
    const char *p = number.p, *end = p + number.n;
    int64_t zeros = 0, after_point = 0;
    bool has_point = false;
    d.is_negative = *p == '-';
    for (p += d.is_negative; p < end && (*p | 0x20) != 'e'; p++) {
        if (*p == '.') {
            has_point = true;
            continue;
        }
        after_point += has_point;
        add_digit(&d, (unsigned)(*p - '0'), &zeros);
    }
    d.exponent = zeros - after_point + (p < end ? read_exponent(p + 1, end) : 0);
    return d;
}

enum json_integer json_number_integer(struct weir_str number, int64_t *out)
{
    struct decimal d = read_decimal(number);
    *out = 0;
    if (d.digits == 0)
        return JSON_INTEGER_OK;
    if (d.exponent < 0)
        return JSON_INTEGER_FRACTION;
    uint64_t limit = (uint64_t)INT64_MAX + d.is_negative;
    for (; d.exponent > 0 && !d.is_too_long; d.exponent--) {
        d.is_too_long = d.digits > limit / 10;
        d.digits *= 10;
    }
    if (d.is_too_long || d.digits > limit)
        return JSON_INTEGER_TOO_LARGE;
    *out = d.is_negative ? (int64_t)(0 - d.digits) : (int64_t)d.digits;
    return JSON_INTEGER_OK;
}
