/* What an answer of this dialect tells at its end: usage, and why it ended. */
#include "anthropic.h"

static void read_count(const struct weir_json_api *j, struct weir_json *r, int64_t *to)
{
    struct weir_str number;
    if (j->peek(r) != WEIR_JSON_NUMBER) {
        j->skip(r);
        return;
    }
    if (!j->number(r, &number))
        return;
    *to = 0;
    for (size_t i = 0; i < number.n && i < 18 && number.p[i] >= '0' && number.p[i] <= '9'; i++)
        *to = 10 * *to + (number.p[i] - '0');
}

static void read_counts_of(const struct weir_json_api *j, struct weir_json *r, const char *name, int64_t *to)
{
    struct weir_str key;
    if (j->peek(r) != WEIR_JSON_OBJECT) {
        j->skip(r);
        return;
    }
    for (j->object(r); j->member(r, &key);)
        if (weir_is(key, name))
            read_count(j, r, to);
}

static int64_t known(int64_t n)
{
    return n > 0 ? n : 0;
}

/* On the wire input_tokens is what was neither read from the cache nor written to it; here it is all of the input. */
void anthropic_read_usage(struct anthropic *o, struct weir_json *r, struct weir_usage *u)
{
    const struct weir_json_api *j = o->json;
    struct weir_str key;
    int64_t fresh = u->input < 0 ? -1 : u->input - known(u->cached_read) - known(u->cached_write);
    if (j->peek(r) != WEIR_JSON_OBJECT) {
        j->skip(r);
        return;
    }
    for (j->object(r); j->member(r, &key);) {
        if (weir_is(key, "input_tokens"))
            read_count(j, r, &fresh);
        else if (weir_is(key, "output_tokens"))
            read_count(j, r, &u->output);
        else if (weir_is(key, "cache_read_input_tokens"))
            read_count(j, r, &u->cached_read);
        else if (weir_is(key, "cache_creation_input_tokens"))
            read_count(j, r, &u->cached_write);
        else if (weir_is(key, "cache_creation"))
            read_counts_of(j, r, "ephemeral_1h_input_tokens", &u->cached_write_1h);
        else if (weir_is(key, "output_tokens_details"))
            read_counts_of(j, r, "thinking_tokens", &u->reasoning);
        else
            j->skip(r);
    }
    if (fresh >= 0 || u->cached_read >= 0 || u->cached_write >= 0)
        u->input = known(fresh) + known(u->cached_read) + known(u->cached_write);
}

enum weir_finish anthropic_finish_of(struct weir_str reason)
{
    static const struct {
        const char *reason;
        enum weir_finish finish;
    } reasons[] = {
        { "end_turn", WEIR_FINISH_STOP },
        { "tool_use", WEIR_FINISH_TOOL_CALLS },
        { "max_tokens", WEIR_FINISH_LENGTH },
        { "stop_sequence", WEIR_FINISH_STOP_SEQUENCE },
        { "refusal", WEIR_FINISH_REFUSAL },
        { "pause_turn", WEIR_FINISH_PAUSE },
        { "model_context_window_exceeded", WEIR_FINISH_CONTEXT_WINDOW },
    };
    for (size_t i = 0; i < sizeof(reasons) / sizeof(*reasons); i++)
        if (weir_is(reason, reasons[i].reason))
            return reasons[i].finish;
    return WEIR_FINISH_OTHER;
}
