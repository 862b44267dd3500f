/* The clocks of the system, or two that stand still. */
#include "clock.h"

#include <time.h>

static struct {
    bool is_on;
    int64_t begin_unix_ms, us;
} stopped;

int64_t monotonic_us(void)
{
    struct timespec t;
    if (stopped.is_on)
        return stopped.us;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t unix_ms(void)
{
    struct timespec t;
    if (stopped.is_on)
        return stopped.begin_unix_ms + stopped.us / 1000;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
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
