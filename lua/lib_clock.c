/* clock: the time of the request's host, in any time zone. */
#include <math.h>
#include <stdlib.h>
#include <stdio.h>

#include "engine.h"
#include "zone.h"

static int clock_now(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)engine.host->now_ms() / 1000);
    return 1;
}

static int clock_monotonic(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)engine.host->monotonic_us() / 1000000);
    return 1;
}

static int32_t offset_of(lua_State *L, int index, int64_t t)
{
    const char *name = luaL_optstring(L, index, "UTC");
    if (strcmp(name, "UTC") == 0)
        return 0;
    const struct zone *z = zone_find(name);
    if (!z)
        luaL_error(L, "clock: this machine has no time zone \"%s\" (names are like \"Europe/Berlin\"; package tzdata)",
                   name);
    return z ? zone_offset_s(z, t) : 0;
}

static double time_argument(lua_State *L, int index)
{
    double t = luaL_optnumber(L, index, (lua_Number)engine.host->now_ms() / 1000);
    luaL_argcheck(L, fabs(t) < 1e11, index, "seconds since 1970 expected");
    return t;
}

static void set_int(lua_State *L, const char *name, int64_t n)
{
    lua_pushinteger(L, n);
    lua_setfield(L, -2, name);
}

/* clock.date([zone [, time]]) */
static int clock_date(lua_State *L)
{
    static const char *const days[] = { "mon", "tue", "wed", "thu", "fri", "sat", "sun" };
    double t = time_argument(L, 2);
    int64_t unix_s = (int64_t)floor(t), year;
    int32_t offset_s = offset_of(L, 1, unix_s);
    int64_t local = unix_s + offset_s, day = local / 86400 - (local % 86400 < 0), second = local - day * 86400;
    int month, mday, weekday = (int)(((day + 3) % 7 + 7) % 7);
    char iso[64];
    zone_date(day, &year, &month, &mday);
    lua_createtable(L, 0, 12);
    set_int(L, "year", year);
    set_int(L, "month", month);
    set_int(L, "day", mday);
    set_int(L, "hour", second / 3600);
    set_int(L, "minute", second / 60 % 60);
    set_int(L, "second", second % 60);
    set_int(L, "yday", day - zone_days(year, 1, 1) + 1);
    set_int(L, "offset", offset_s);
    set_int(L, "wday", weekday + 1);
    lua_pushstring(L, days[weekday]);
    lua_setfield(L, -2, "weekday");
    int minutes = offset_s / 60;
    snprintf(iso, sizeof(iso), "%04lld-%02d-%02dT%02d:%02d:%02d%c%02d:%02d", (long long)year, month, mday,
             (int)(second / 3600), (int)(second / 60 % 60), (int)(second % 60), minutes < 0 ? '-' : '+',
             abs(minutes) / 60, abs(minutes) % 60);
    lua_pushstring(L, iso);
    lua_setfield(L, -2, "iso");
    return 1;
}

/* "08:30" as minutes. */
static int minutes_of(lua_State *L, int index)
{
    int hour, minute, n = 0;
    const char *s = luaL_checkstring(L, index);
    bool is = sscanf(s, "%2d:%2d%n", &hour, &minute, &n) == 2 && s[n] == 0 && hour >= 0 && hour <= 24 && minute >= 0 &&
              minute < 60;
    if (!is)
        luaL_error(L, "clock.between: \"%s\" is not a time of day like \"08:30\"", s);
    return hour * 60 + minute;
}

/* clock.between("08:00", "18:00" [, zone]): also over midnight. */
static int clock_between(lua_State *L)
{
    int from = minutes_of(L, 1), to = minutes_of(L, 2);
    int64_t t = engine.host->now_ms() / 1000, local = t + offset_of(L, 3, t);
    int now = (int)(((local % 86400) + 86400) % 86400 / 60);
    lua_pushboolean(L, from <= to ? now >= from && now < to : now >= from || now < to);
    return 1;
}

const struct binding clock_bindings[] = {
    { "now", clock_now, "fun(): number",
      "Seconds since 1970." },
    { "monotonic", clock_monotonic, "fun(): number",
      "Seconds that never go back, from no particular beginning." },
    { "date", clock_date, "fun(zone?: string, time?: number): Date",
      "The date and time of day in a zone (UTC)." },
    { "between", clock_between, "fun(from: string, to: string, zone?: string): boolean",
      "Is it now between two times of day, as \"08:00\"? Also over midnight." },
    { NULL, NULL, NULL, NULL },
};

void lib_clock(lua_State *L)
{
    lua_newtable(L);
    bindings_set(L, clock_bindings);
}
