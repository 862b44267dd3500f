/* Fuzzing the reader of time zone files of the Lua stage: whatever the bytes, no read beyond them, offsets at any time,
 * and dates that come back as they were. */
#include <stdlib.h>

#include "lua/zone.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int64_t times[] = { INT64_C(-9000000000), -1, 0, 951782400, 1760000000, 4102444800, INT64_C(90000000000) };
    uint8_t *exact = malloc(size ? size : 1);
    memcpy(exact, data, size);
    struct zone *z = zone_parse(exact, size);
    free(exact);
    for (size_t i = 0; i < sizeof(times) / sizeof(*times); i++) {
        int64_t year, days = floor_div(times[i], 86400);
        int month, day;
        if (z)
            (void)zone_offset_s(z, times[i]);
        zone_date(days, &year, &month, &day);
        if (zone_days(year, month, day) != days)
            abort();
    }
    zone_free(z);
    return 0;
}
