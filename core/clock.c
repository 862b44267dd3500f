/* The clocks of the system, as they are or hastened, or two that stand still. */
#include "clock.h"

#include <time.h>

static struct {
    bool is_on;
    int64_t begin_unix_ms, us;
} stopped;

static struct {
    int64_t factor, since_us, since_unix_ms;
} hastened = { .factor = 1 };

static int64_t system_us(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t monotonic_us(void)
{
    if (stopped.is_on)
        return stopped.us;
    int64_t us = system_us(CLOCK_MONOTONIC);
    return hastened.factor == 1 ? us : hastened.since_us + (us - hastened.since_us) * hastened.factor;
}

int64_t unix_ms(void)
{
    if (stopped.is_on)
        return stopped.begin_unix_ms + stopped.us / 1000;
    if (hastened.factor != 1)
        return hastened.since_unix_ms + (monotonic_us() - hastened.since_us) / 1000;
    return system_us(CLOCK_REALTIME) / 1000;
}

void clock_hasten(uint32_t factor)
{
    hastened.since_us = system_us(CLOCK_MONOTONIC);
    hastened.since_unix_ms = system_us(CLOCK_REALTIME) / 1000;
    hastened.factor = factor;
}

int64_t clock_real_us(int64_t us)
{
    return us <= 0 ? 0 : (us + hastened.factor - 1) / hastened.factor;
}

struct timeval clock_timer(int64_t ms)
{
    int64_t us = clock_real_us(ms * 1000);
    return (struct timeval){ us / 1000000, us % 1000000 };
}

void clock_stop(int64_t now_unix_ms)
{
    enum { UPTIME_S = 3600 }; /* 0 often stands for "never" */
    stopped.is_on = true;
    stopped.us = (int64_t)UPTIME_S * 1000000;
    stopped.begin_unix_ms = now_unix_ms - (int64_t)UPTIME_S * 1000;
}

void clock_advance(int64_t us)
{
    stopped.us += us;
}

bool clock_is_stopped(void)
{
    return stopped.is_on;
}
