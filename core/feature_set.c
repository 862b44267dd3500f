/* What a conversation or an answer uses. The walk is made once per request, beside the one that finds what a target needs; fields
 * are looked at again for each target, because rules change them.
 */
#include "feature_set.h"

#include "answer.h"
#include "scratch.h"

static const char *const field_names[64] = {
    [WEIR_FIELD_MODEL] = "model",
    [WEIR_FIELD_STREAM] = "stream",
    [WEIR_FIELD_STREAM_USAGE] = "stream_usage",
    [WEIR_FIELD_MAX_TOKENS] = "max_tokens",
    [WEIR_FIELD_TEMPERATURE] = "temperature",
    [WEIR_FIELD_TOP_P] = "top_p",
    [WEIR_FIELD_TOP_K] = "top_k",
    [WEIR_FIELD_STOP] = "stop",
    [WEIR_FIELD_N] = "n",
    [WEIR_FIELD_SEED] = "seed",
    [WEIR_FIELD_FREQUENCY_PENALTY] = "frequency_penalty",
    [WEIR_FIELD_PRESENCE_PENALTY] = "presence_penalty",
    [WEIR_FIELD_LOGIT_BIAS] = "logit_bias",
    [WEIR_FIELD_LOGPROBS] = "logprobs",
    [WEIR_FIELD_TOP_LOGPROBS] = "top_logprobs",
    [WEIR_FIELD_USER] = "user",
    [WEIR_FIELD_METADATA] = "metadata",
    [WEIR_FIELD_SERVICE_TIER] = "service_tier",
    [WEIR_FIELD_TOOL_CHOICE] = "tool_choice",
    [WEIR_FIELD_PARALLEL_TOOLS] = "parallel_tools",
    [WEIR_FIELD_RESPONSE_FORMAT] = "response_format",
    [WEIR_FIELD_REASONING_EFFORT] = "reasoning_effort",
    [WEIR_FIELD_REASONING_BUDGET] = "reasoning_budget",
    [WEIR_FIELD_REASONING_VISIBLE] = "reasoning_visible",
    [WEIR_FIELD_VERBOSITY] = "verbosity",
    [WEIR_FIELD_MODALITIES] = "modalities",
    [WEIR_FIELD_DIMENSIONS] = "dimensions",
    [WEIR_FIELD_ENCODING] = "encoding",
    [WEIR_FIELD_INPUT_TYPE] = "input_type",
    [WEIR_FIELD_TRUNCATE] = "truncate",
    [WEIR_FIELD_TOP_N] = "top_n",
    [WEIR_FIELD_RETURN_DOCUMENTS] = "return_documents",
};

static const char *const request_names[] = {
    "system_later", "message_name", "prefill",      "part_order",   "image_url", "image_data",
    "image_detail", "audio",        "file_data",    "file_url",     "file_id",   "tools",
    "tool_strict",  "tool_opaque",  "result_error", "result_media", "thinking",  "signature",
    "redacted",     "refusal",      "opaque",       "cache_mark",   "ext",       "turns",
    "cache_ttl",
};

static const char *const answer_names[] = {
    "answer.thinking",    "answer.signature",    "answer.redacted",  "answer.refusal",       "answer.tool_result",
    "answer.image",       "answer.audio",        "answer.opaque",    "answer.citations",     "answer.logprobs",
    "answer.ext",         "answer.choices",      "answer.order",     "answer.stop_sequence", "answer.finish",
    "answer.cached_read", "answer.cached_write", "answer.reasoning", "answer.usage",
};

const char *feature_name(uint32_t feature)
{
    uint32_t of_request = feature - WEIR_FEATURE_SYSTEM_LATER, of_answer = feature - WEIR_FEATURE_ANSWER_THINKING;
    if (feature < WEIR_FEATURE_NONE)
        return field_names[feature];
    if (of_request < sizeof(request_names) / sizeof(*request_names))
        return request_names[of_request];
    if (of_answer < sizeof(answer_names) / sizeof(*answer_names))
        return answer_names[of_answer];
    return NULL;
}

const char *loss_name(uint32_t what)
{
    static const char *const words[] = { NULL, "dropped", "changed", "emulated" };
    return what < sizeof(words) / sizeof(*words) ? words[what] : NULL;
}

/* ---- fields ---- */

struct neutral {
    uint32_t field;
    const char *json;
};

/* What is said unasked in every dialect: leaving it out loses nothing. */
static const struct neutral neutral[] = {
    { WEIR_FIELD_N, "1" },
    { WEIR_FIELD_STOP, "[]" },
    { WEIR_FIELD_FREQUENCY_PENALTY, "0" },
    { WEIR_FIELD_FREQUENCY_PENALTY, "0.0" },
    { WEIR_FIELD_PRESENCE_PENALTY, "0" },
    { WEIR_FIELD_PRESENCE_PENALTY, "0.0" },
    { WEIR_FIELD_LOGIT_BIAS, "{}" },
    { WEIR_FIELD_LOGPROBS, "false" },
    { WEIR_FIELD_TOP_LOGPROBS, "0" },
    { WEIR_FIELD_METADATA, "{}" },
    { WEIR_FIELD_SERVICE_TIER, "\"auto\"" },
    { WEIR_FIELD_TOOL_CHOICE, "\"auto\"" },
    { WEIR_FIELD_PARALLEL_TOOLS, "true" },
    { WEIR_FIELD_RESPONSE_FORMAT, "\"text\"" },
    { WEIR_FIELD_MODALITIES, "[\"text\"]" },
    { WEIR_FIELD_ENCODING, "\"float\"" },
    { WEIR_FIELD_ENCODING, "\"base64\"" }, /* of floats: the client's codec writes it */
};

bool feature_is_hosts(uint32_t feature)
{
    return feature <= WEIR_FIELD_STREAM_USAGE || feature == WEIR_FIELD_RETURN_DOCUMENTS;
}

bool feature_is_asked(uint32_t field, struct weir_str json)
{
    if (!json.n || weir_is(json, "null") || feature_is_hosts(field))
        return false;
    for (size_t i = 0; i < sizeof(neutral) / sizeof(*neutral); i++)
        if (neutral[i].field == field && weir_is(json, neutral[i].json))
            return false;
    return true;
}

struct features features_of_fields(const struct weir_conversation *c)
{
    struct features f = { { 0, 0 } };
    for (uint32_t i = 0; i < c->n_fields; i++)
        if (c->fields[i].json.n && feature_is_asked(i, c->fields[i].json))
            features_add(&f, i);
    for (const struct weir_ext *x = c->ext; x; x = x->next)
        if (!weir_is(x->raw, "null"))
            features_add(&f, WEIR_FEATURE_EXT);
    return f;
}

/* ---- messages ---- */

static uint32_t media_feature(const struct weir_part *p, uint32_t data, uint32_t url)
{
    return p->url.n ? url : p->file_id.n ? WEIR_FEATURE_FILE_ID : data;
}

static void add_thinking(struct features *f, const struct weir_part *p)
{
    if (p->flags & WEIR_PART_REDACTED)
        features_add(f, WEIR_FEATURE_REDACTED);
    else if (p->text.n)
        features_add(f, WEIR_FEATURE_THINKING);
}

static void add_result(struct features *f, const struct weir_part *p)
{
    features_add(f, WEIR_FEATURE_TOOLS);
    if (p->flags & WEIR_PART_IS_ERROR)
        features_add(f, WEIR_FEATURE_RESULT_ERROR);
    for (const struct weir_part *child = p->parts; child; child = child->next)
        if (child->kind == WEIR_PART_IMAGE || child->kind == WEIR_PART_FILE || child->kind == WEIR_PART_AUDIO)
            features_add(f, WEIR_FEATURE_RESULT_MEDIA);
}

static void add_kind(struct features *f, const struct weir_part *p)
{
    switch (p->kind) {
    case WEIR_PART_IMAGE:
        features_add(f, media_feature(p, WEIR_FEATURE_IMAGE_DATA, WEIR_FEATURE_IMAGE_URL));
        break;
    case WEIR_PART_FILE:
        features_add(f, media_feature(p, WEIR_FEATURE_FILE_DATA, WEIR_FEATURE_FILE_URL));
        break;
    case WEIR_PART_AUDIO:
        features_add(f, WEIR_FEATURE_AUDIO);
        break;
    case WEIR_PART_TOOL_CALL:
        features_add(f, WEIR_FEATURE_TOOLS);
        break;
    case WEIR_PART_TOOL_RESULT:
        add_result(f, p);
        break;
    case WEIR_PART_THINKING:
        add_thinking(f, p);
        break;
    case WEIR_PART_REFUSAL:
        features_add(f, WEIR_FEATURE_REFUSAL);
        break;
    case WEIR_PART_OPAQUE:
        features_add(f, WEIR_FEATURE_OPAQUE);
        break;
    }
}

/* Members of a part that only its dialect knows. With a cache mark one of them is the mark's own. */
static bool has_own_members(const struct weir_part *p)
{
    if (!p->raw.n || p->kind == WEIR_PART_OPAQUE)
        return false;
    if (!(p->flags & WEIR_PART_CACHE_MARK))
        return true;
    struct weir_str key;
    uint32_t n = 0;
    struct scratch s = scratch_enter();
    struct weir_json *j = json_open(scratch_arena(), p->raw);
    for (json_read_object(j); json_read_member(j, &key); n++)
        json_skip(j);
    scratch_leave(s);
    return n > 1;
}

/* Five minutes is what those that know a time take where nobody says one. */
static void add_ttl(struct features *f, struct weir_str ttl)
{
    if (ttl.n && !weir_is(ttl, "5m"))
        features_add(f, WEIR_FEATURE_CACHE_TTL);
}

static void add_part(struct features *f, const struct weir_part *p)
{
    add_kind(f, p);
    add_ttl(f, p->cache_ttl);
    if (p->detail.n && !weir_is(p->detail, "auto"))
        features_add(f, WEIR_FEATURE_IMAGE_DETAIL);
    if (p->signature.n)
        features_add(f, WEIR_FEATURE_SIGNATURE);
    if (p->flags & WEIR_PART_CACHE_MARK)
        features_add(f, WEIR_FEATURE_CACHE_MARK);
    if (has_own_members(p))
        features_add(f, WEIR_FEATURE_EXT);
    for (const struct weir_part *child = p->parts; child; child = child->next)
        add_part(f, child);
}

/* Many dialects have one place for thoughts, one for texts and one for calls, in this order. */
static void add_order(struct features *f, const struct weir_message *m)
{
    bool has_text = false, has_calls = false;
    for (const struct weir_part *p = m->parts; p; p = p->next) {
        bool is_behind = p->kind == WEIR_PART_THINKING ? has_text || has_calls : has_calls;
        if (is_behind && p->kind != WEIR_PART_TOOL_CALL)
            features_add(f, WEIR_FEATURE_PART_ORDER);
        has_text |= p->kind == WEIR_PART_TEXT && p->text.n;
        has_calls |= p->kind == WEIR_PART_TOOL_CALL;
    }
}

static void add_messages(struct features *f, const struct weir_conversation *c)
{
    const struct weir_message *last = NULL;
    bool has_begun = false;
    for (const struct weir_message *m = c->messages; m; last = m, m = m->next) {
        if (m->role == WEIR_ROLE_SYSTEM && has_begun)
            features_add(f, WEIR_FEATURE_SYSTEM_LATER);
        if (!has_begun && (m->role == WEIR_ROLE_ASSISTANT || m->role == WEIR_ROLE_TOOL))
            features_add(f, WEIR_FEATURE_TURNS);
        has_begun |= m->role != WEIR_ROLE_SYSTEM;
        if (m->name.n)
            features_add(f, WEIR_FEATURE_MESSAGE_NAME);
        if (m->role == WEIR_ROLE_ASSISTANT)
            add_order(f, m);
        for (const struct weir_part *p = m->parts; p; p = p->next)
            add_part(f, p);
    }
    if (last && last->role == WEIR_ROLE_ASSISTANT)
        features_add(f, WEIR_FEATURE_PREFILL);
    if (last && !has_begun)
        features_add(f, WEIR_FEATURE_TURNS);
}

struct features features_of_content(const struct weir_conversation *c)
{
    struct features f = { { 0, 0 } };
    add_messages(&f, c);
    for (const struct weir_tool *t = c->tools; t; t = t->next) {
        features_add(&f, t->raw.n ? WEIR_FEATURE_TOOL_OPAQUE : WEIR_FEATURE_TOOLS);
        if (weir_is(t->strict, "true"))
            features_add(&f, WEIR_FEATURE_TOOL_STRICT);
        if (t->flags & WEIR_PART_CACHE_MARK)
            features_add(&f, WEIR_FEATURE_CACHE_MARK);
        add_ttl(&f, t->cache_ttl);
    }
    return f;
}

/* ---- unknown members, by name ---- */

struct ext_walk {
    struct arena *arena;
    void (*fn)(void *arg, struct weir_str path);
    void *arg;
};

static void each_own_member(const struct ext_walk *w, const struct weir_part *p, struct weir_str where)
{
    struct weir_str key;
    if (p->flags & WEIR_PART_CACHE_MARK) { /* which of them is the mark only the codec knows */
        w->fn(w->arg, where);
        return;
    }
    struct weir_json *j = json_open(w->arena, p->raw);
    for (json_read_object(j); json_read_member(j, &key); json_skip(j))
        w->fn(w->arg, arena_printf(w->arena, "%.*s.%.*s", (int)where.n, where.p, (int)key.n, key.p));
}

static void each_part(const struct ext_walk *w, const struct weir_part *p, struct weir_str where)
{
    uint32_t i = 0;
    if (has_own_members(p))
        each_own_member(w, p, where);
    for (const struct weir_part *child = p->parts; child; child = child->next, i++)
        each_part(w, child, arena_printf(w->arena, "%.*s.content[%u]", (int)where.n, where.p, i));
}

void features_each_ext(const struct weir_conversation *c, struct arena *a, void (*fn)(void *arg, struct weir_str path),
                       void *arg)
{
    struct ext_walk w = { a, fn, arg };
    uint32_t m = 0;
    for (const struct weir_ext *x = c->ext; x; x = x->next)
        if (!weir_is(x->raw, "null"))
            fn(arg, x->path);
    for (const struct weir_message *message = c->messages; message; message = message->next, m++) {
        uint32_t i = 0;
        for (const struct weir_part *p = message->parts; p; p = p->next, i++)
            if (p->raw.n || p->parts)
                each_part(&w, p, arena_printf(a, "messages[%u].content[%u]", m, i));
    }
}

/* ---- events ---- */

static void add_block(struct features *f, struct answer_order *order, const struct weir_event *e, uint64_t bit)
{
    switch (e->block_kind) {
    case WEIR_BLOCK_TOOL_CALL:
        order->has_calls |= bit;
        break;
    case WEIR_BLOCK_TOOL_RESULT:
        features_add(f, WEIR_FEATURE_ANSWER_TOOL_RESULT);
        break;
    case WEIR_BLOCK_IMAGE:
        features_add(f, WEIR_FEATURE_ANSWER_IMAGE);
        break;
    case WEIR_BLOCK_AUDIO:
        features_add(f, WEIR_FEATURE_ANSWER_AUDIO);
        break;
    case WEIR_BLOCK_OPAQUE:
        features_add(f, WEIR_FEATURE_ANSWER_OPAQUE);
        break;
    }
}

static void add_words(struct features *f, struct answer_order *order, const struct weir_event *e, uint64_t bit)
{
    bool is_behind_calls = order->has_calls & bit, is_behind_text = order->has_text & bit;
    if (e->block_kind == WEIR_BLOCK_THINKING) {
        features_add(f, WEIR_FEATURE_ANSWER_THINKING);
        if (is_behind_calls || is_behind_text)
            features_add(f, WEIR_FEATURE_ANSWER_ORDER);
    } else if (e->block_kind == WEIR_BLOCK_REFUSAL) {
        features_add(f, WEIR_FEATURE_ANSWER_REFUSAL);
    } else if (e->block_kind == WEIR_BLOCK_TEXT) {
        if (is_behind_calls)
            features_add(f, WEIR_FEATURE_ANSWER_ORDER);
        order->has_text |= bit;
    }
}

static void add_delta(struct features *f, struct answer_order *order, const struct weir_event *e, uint64_t bit)
{
    static const uint8_t of[] = {
        [WEIR_DELTA_SIGNATURE] = WEIR_FEATURE_ANSWER_SIGNATURE, [WEIR_DELTA_CITATION] = WEIR_FEATURE_ANSWER_CITATIONS,
        [WEIR_DELTA_LOGPROBS] = WEIR_FEATURE_ANSWER_LOGPROBS,   [WEIR_DELTA_AUDIO] = WEIR_FEATURE_ANSWER_AUDIO,
        [WEIR_DELTA_TRANSCRIPT] = WEIR_FEATURE_ANSWER_AUDIO,    [WEIR_DELTA_EXT] = WEIR_FEATURE_ANSWER_EXT,
    };
    if (!e->text.n)
        return;
    if (e->delta_kind == WEIR_DELTA_TEXT)
        add_words(f, order, e, bit);
    else if (e->delta_kind < sizeof(of) && of[e->delta_kind])
        features_add(f, of[e->delta_kind]);
}

static void add_finish(struct features *f, const struct weir_event *e)
{
    switch (e->finish) {
    case WEIR_FINISH_STOP:
    case WEIR_FINISH_LENGTH:
    case WEIR_FINISH_TOOL_CALLS:
        break;
    case WEIR_FINISH_STOP_SEQUENCE:
        features_add(f, WEIR_FEATURE_ANSWER_STOP_SEQUENCE);
        break;
    default:
        features_add(f, WEIR_FEATURE_ANSWER_FINISH);
    }
}

static void add_usage(struct features *f, const struct weir_usage *from)
{
    struct weir_usage u = WEIR_USAGE_UNKNOWN;
    usage_merge(&u, from);
    if (u.input >= 0 || u.output >= 0)
        features_add(f, WEIR_FEATURE_ANSWER_USAGE);
    if (u.cached_read > 0)
        features_add(f, WEIR_FEATURE_ANSWER_CACHED_READ);
    if (u.cached_write > 0)
        features_add(f, WEIR_FEATURE_ANSWER_CACHED_WRITE);
    if (u.reasoning > 0)
        features_add(f, WEIR_FEATURE_ANSWER_REASONING);
}

struct features features_of_event(struct answer_order *order, const struct weir_event *e)
{
    struct features f = { { 0, 0 } };
    uint64_t bit = UINT64_C(1) << (e->choice % 64);
    if (e->block_kind >= WEIR_BLOCK_EMBEDDING)
        return f; /* numbers, not words: nothing that a dialect of such calls could lack */
    if (e->usage)
        add_usage(&f, e->usage);
    switch (e->kind) {
    case WEIR_EVENT_BLOCK_START:
        add_block(&f, order, e, bit);
        break;
    case WEIR_EVENT_DELTA:
        add_delta(&f, order, e, bit);
        break;
    case WEIR_EVENT_FINISH:
        add_finish(&f, e);
        break;
    default:
        return f;
    }
    if (e->choice)
        features_add(&f, WEIR_FEATURE_ANSWER_CHOICES);
    return f;
}

/* ---- a codec's table ---- */

const char *says_read(struct codec_says *to, const struct weir_says *table)
{
    memset(to, 0, sizeof(*to));
    to->is_declared = table != NULL;
    for (uint32_t n = 0; table && table->feature != WEIR_FEATURE_NONE; table++, n++) {
        if (n == WEIR_FEATURES)
            return "without WEIR_SAYS_END";
        if (!feature_name(table->feature))
            return "with a feature that there is not";
        if (table->saying < WEIR_SAYS || table->saying > WEIR_SAYS_EMULATED)
            return "with a feature without WEIR_SAYS, PARTLY, CHANGED or EMULATED";
        if (to->saying[table->feature])
            return "with one feature twice";
        to->saying[table->feature] = (uint8_t)table->saying;
    }
    return NULL;
}
