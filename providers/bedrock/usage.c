/* What an answer of this dialect tells at its end: usage, and why it ended. */
#include "bedrock.h"

static void read_string(const struct weir_json_api *j, struct weir_json *r, struct weir_str *to)
{
    if (j->peek(r) == WEIR_JSON_STRING)
        j->string(r, to);
    else
        j->skip(r);
}

static int64_t known(int64_t n)
{
    return n > 0 ? n : 0;
}

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

/* [{"ttl":"1h","inputTokens":N}, …] */
static void read_cache_details(const struct weir_json_api *j, struct weir_json *r, struct weir_usage *u)
{
    struct weir_str key;
    if (j->peek(r) != WEIR_JSON_ARRAY) {
        j->skip(r);
        return;
    }
    for (j->array(r); j->element(r);) {
        struct weir_str ttl = WEIR_NONE;
        int64_t n = -1;
        for (j->object(r); j->member(r, &key);) {
            if (weir_is(key, "ttl"))
                read_string(j, r, &ttl);
            else if (weir_is(key, "inputTokens"))
                read_count(j, r, &n);
        }
        if (weir_is(ttl, "1h"))
            u->cached_write_1h = n;
    }
}

/* On the wire inputTokens is what was neither read from the cache nor written to it; here it is all of the input. */
void bedrock_read_usage(struct bedrock *o, struct weir_json *r, struct weir_usage *u)
{
    const struct weir_json_api *j = o->json;
    struct weir_str key;
    int64_t fresh = -1;
    for (j->object(r); j->member(r, &key);) {
        if (weir_is(key, "inputTokens"))
            read_count(j, r, &fresh);
        else if (weir_is(key, "outputTokens"))
            read_count(j, r, &u->output);
        else if (weir_is(key, "cacheReadInputTokens") || weir_is(key, "cacheReadInputTokenCount"))
            read_count(j, r, &u->cached_read);
        else if (weir_is(key, "cacheWriteInputTokens") || weir_is(key, "cacheWriteInputTokenCount"))
            read_count(j, r, &u->cached_write);
        else if (weir_is(key, "cacheDetails"))
            read_cache_details(j, r, u);
        else
            j->skip(r);
    }
    if (fresh >= 0 || u->cached_read >= 0 || u->cached_write >= 0)
        u->input = known(fresh) + known(u->cached_read) + known(u->cached_write);
}

enum weir_finish bedrock_finish_of(struct weir_str reason)
{
    static const struct {
        const char *reason;
        enum weir_finish finish;
    } reasons[] = {
        { "end_turn", WEIR_FINISH_STOP },
        { "tool_use", WEIR_FINISH_TOOL_CALLS },
        { "max_tokens", WEIR_FINISH_LENGTH },
        { "stop_sequence", WEIR_FINISH_STOP_SEQUENCE },
        { "guardrail_intervened", WEIR_FINISH_CONTENT_FILTER },
        { "content_filtered", WEIR_FINISH_CONTENT_FILTER },
        { "model_context_window_exceeded", WEIR_FINISH_CONTEXT_WINDOW },
    };
    for (size_t i = 0; i < sizeof(reasons) / sizeof(*reasons); i++)
        if (weir_is(reason, reasons[i].reason))
            return reasons[i].finish;
    return WEIR_FINISH_OTHER;
}
