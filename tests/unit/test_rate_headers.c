/* What providers say about when to come again: all the ways in which they write it. */
#include "../../core/rate_headers.h"
#include "test.h"

static const int64_t now_ms = 1700000000000; /* Tue, 14 Nov 2023 22:13:20 GMT */

static int64_t delay(const char *s)
{
    return rate_delay_ms(weir_cstr(s), now_ms);
}

TEST(numbers_are_seconds_or_times)
{
    CHECK_INT(delay("0"), 0);
    CHECK_INT(delay("7"), 7000);
    CHECK_INT(delay("1.5"), 1500);
    CHECK_INT(delay("20 "), 20000);
    CHECK_INT(delay("1700000009"), 9000);
    CHECK_INT(delay("1700000000250"), 250);
    CHECK_INT(delay("1600000000"), 0);
    CHECK_INT(delay("999999"), 86400000);
}

TEST(durations_have_units)
{
    CHECK_INT(delay("250ms"), 250);
    CHECK_INT(delay("6m0s"), 360000);
    CHECK_INT(delay("1h2m3.5s"), 3723500);
    CHECK_INT(delay("1d"), 86400000);
}

TEST(dates)
{
    CHECK_INT(delay("Tue, 14 Nov 2023 22:13:50 GMT"), 30000);
    CHECK_INT(delay("Tuesday, 14-Nov-23 22:13:21 GMT"), 1000);
    CHECK_INT(delay("Tue Nov 14 22:13:25 2023"), 5000);
    CHECK_INT(delay("Tue, 14 Nov 2023 22:00:00 GMT"), 0);
    CHECK_INT(delay("2023-11-14T22:13:23Z"), 3000);
    CHECK_INT(delay("2023-11-14T22:13:23.250Z"), 3250);
    CHECK_INT(delay("2023-11-15T00:13:21+02:00"), 1000);
}

TEST(nonsense_is_nothing)
{
    static const char *const words[] = { "", "soon", "-3", "5 minutes", "1x", "1e", "ms", "2023-11-14", "nan", "inf", "0x10" };
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        CHECK_INT(delay(words[i]), -1);
}

#define H(name, value) { WEIR_LIT(name), WEIR_LIT(value) }
#define N(list) (uint32_t)(sizeof(list) / sizeof(*(list)))

TEST(retry_after_counts_before_resets)
{
    const struct http_header list[] = { H("x-ratelimit-remaining-requests", "0"), H("x-ratelimit-reset-requests", "1m"),
                                        H("retry-after", "3") };
    CHECK_INT(rate_retry_after_ms(list, N(list), now_ms), 3000);
    CHECK_INT(rate_retry_after_ms(list, 2, now_ms), 60000);
    const struct http_header both[] = { H("retry-after", "3"), H("retry-after-ms", "1200") };
    CHECK_INT(rate_retry_after_ms(both, N(both), now_ms), 1200);
}

TEST(only_a_limit_that_is_used_up_is_waited_for)
{
    const struct http_header list[] = { H("x-ratelimit-remaining-requests", "12"), H("x-ratelimit-reset-requests", "9s"),
                                        H("x-ratelimit-remaining-tokens", "0"), H("x-ratelimit-reset-tokens", "4s") };
    CHECK_INT(rate_retry_after_ms(list, N(list), now_ms), 4000);
    CHECK_INT(rate_retry_after_ms(list, 2, now_ms), 0);
    const struct http_header dated[] = { H("acme-ratelimit-requests-remaining", "0"),
                                         H("acme-ratelimit-requests-reset", "2023-11-14T22:13:22Z") };
    CHECK_INT(rate_retry_after_ms(dated, N(dated), now_ms), 2000);
}

TEST(what_is_left)
{
    const struct http_header list[] = { H("x-ratelimit-limit-requests", "100"), H("x-ratelimit-remaining-requests", "59"),
                                        H("x-ratelimit-remaining-tokens", "149984"), H("date", "x") };
    struct rate_left left = rate_left(list, N(list));
    CHECK(left.requests == 59 && left.tokens == 149984);
    const struct http_header other[] = { H("acme-ratelimit-tokens-remaining", "7"), H("acme-ratelimit-input-tokens-remaining", "3") };
    left = rate_left(other, N(other));
    CHECK(left.requests == -1 && left.tokens == 7);
    const struct http_header plain[] = { H("ratelimit-remaining", "5") };
    CHECK_INT(rate_left(plain, 1).requests, 5);
}
