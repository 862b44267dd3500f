/* The table through which plugins reach the JSON reader and writer. Apart from those two because it needs to know
 * what a call is: readers live in the arena of the call's attempt or request. */
#include "json_reader.h"

static struct weir_json *api_open(struct weir_call *call, struct weir_str bytes)
{
    struct weir_json *r = json_open(call_arena(call), bytes);
    if (!json_failed(r))
        r->watch = json_watch_of(bytes);
    return r;
}

static bool api_valid(struct weir_call *call, const struct weir_text *t, enum weir_json_type type)
{
    return json_valid_text(call_arena(call), t, type);
}

const struct weir_json_api json_api = {
    .size = sizeof(struct weir_json_api),
    .open = api_open,
    .peek = json_peek,
    .object = json_read_object,
    .array = json_read_array,
    .member = json_read_member,
    .element = json_read_element,
    .string = json_read_string,
    .text = json_read_text,
    .boolean = json_read_boolean,
    .integer = json_read_integer,
    .number = json_read_number,
    .null = json_read_null,
    .raw = json_read_raw,
    .skip = json_skip,
    .reject = json_reject,
    .failed = json_failed,
    .close = json_close,
    .object_begin = json_object_begin,
    .object_end = json_object_end,
    .array_begin = json_array_begin,
    .array_end = json_array_end,
    .key = json_key,
    .key_str = json_key_str,
    .put_str = json_put_str,
    .put_text = json_put_text,
    .put_raw = json_put_raw,
    .put_text_raw = json_put_text_raw,
    .put_int = json_put_int,
    .put_bool = json_put_bool,
    .put_null = json_put_null,
    .valid = api_valid,
    .string_begin = json_string_begin,
    .string_part = json_string_part,
    .string_end = json_string_end,
    .leave = json_leave,
    .reject_inside = json_reject_inside,
};
