/* Counting tokens, both ways: a request for messages without what only an answer needs, and {"input_tokens":N}. */
#include "anthropic.h"

static int emit(struct anthropic *o, enum weir_event_kind kind, const struct weir_usage *usage)
{
    struct weir_event e = { .size = sizeof(e), .kind = (uint16_t)kind, .usage = usage };
    return o->host->emit(o->call, &e);
}

int anthropic_decode_count(struct anthropic *o, struct weir_str document)
{
    const struct weir_json_api *j = o->json;
    struct weir_usage usage = WEIR_USAGE_UNKNOWN;
    struct weir_str key;
    struct weir_json *r = j->open(o->call, document);
    for (j->object(r); j->member(r, &key);)
        if (weir_is(key, "input_tokens"))
            j->integer(r, &usage.input);
    if (!j->close(r) || usage.input < 0)
        return -1;
    bool is_told = emit(o, WEIR_EVENT_START, NULL) == 0 && emit(o, WEIR_EVENT_USAGE, &usage) == 0 &&
                   emit(o, WEIR_EVENT_END, NULL) == 0;
    return is_told ? 0 : -1;
}

int anthropic_encode_count(struct anthropic *o, struct weir_out *out, const struct weir_answer *answer)
{
    const struct weir_json_api *j = o->json;
    j->object_begin(out);
    j->key(out, "input_tokens");
    j->put_int(out, answer->usage.input > 0 ? answer->usage.input : 0);
    j->object_end(out);
    return 0;
}
