/* Log probabilities, both ways. Google tells those of a chunk as two lists side by side, what was chosen and what could have been;
 * the form that several dialects share (weir/codec.h) tells each token as one object. A token's number (tokenId) stands in it only
 * for clients of this dialect. */
#include "gemini.h"

struct token {
    struct weir_str text, logprob, id; /* JSON */
};

/* ---- Google's result becomes tokens ---- */

/* What is zero or empty is left out there; what isn't possible at all is no number but a word. */
static struct token read_token(const struct weir_json_api *j, struct weir_json *r)
{
    struct token t = { WEIR_LIT("\"\""), WEIR_LIT("0"), WEIR_NONE };
    struct weir_str key;
    for (j->object(r); j->member(r, &key);) {
        enum weir_json_type type = j->peek(r);
        if (weir_is(key, "token") && type == WEIR_JSON_STRING)
            j->raw(r, &t.text);
        else if (weir_is(key, "logProbability") && type == WEIR_JSON_NUMBER)
            j->raw(r, &t.logprob);
        else if (weir_is(key, "logProbability") && type == WEIR_JSON_STRING)
            t.logprob = WEIR_LIT("-9999");
        else if (weir_is(key, "tokenId") && type == WEIR_JSON_NUMBER)
            j->raw(r, &t.id);
    }
    return t;
}

static struct weir_str plain_of(struct gemini *g, struct weir_str json)
{
    struct weir_str plain = WEIR_NONE;
    g->json->string(g->json->open(g->call, json), &plain);
    return plain;
}

/* Without its end. */
static void put_token(struct gemini *g, struct weir_out *out, const struct token *t, bool has_ids)
{
    const struct weir_json_api *j = g->json;
    struct weir_str plain = plain_of(g, t->text);
    j->object_begin(out);
    j->key(out, "token");
    j->put_raw(out, t->text);
    j->key(out, "logprob");
    j->put_raw(out, t->logprob);
    j->key(out, "bytes");
    j->array_begin(out);
    for (size_t i = 0; i < plain.n; i++)
        j->put_int(out, (unsigned char)plain.p[i]);
    j->array_end(out);
    if (has_ids && t->id.n) {
        j->key(out, "tokenId");
        j->put_raw(out, t->id);
    }
}

/* {"candidates":[…]} of one step. */
static void put_alternatives(struct gemini *g, struct weir_out *out, struct weir_json *r, bool has_ids)
{
    const struct weir_json_api *j = g->json;
    struct weir_str key;
    for (j->object(r); j->member(r, &key);) {
        if (!weir_is(key, "candidates") || j->peek(r) != WEIR_JSON_ARRAY)
            continue;
        for (j->array(r); j->element(r);) {
            struct token t = read_token(j, r);
            put_token(g, out, &t, has_ids);
            j->object_end(out);
        }
    }
}

static bool is_client_own(const struct gemini *g)
{
    const struct weir_conversation *c = g->host->conversation(g->call);
    return c && weir_eq(c->dialect, GEMINI_DIALECT);
}

static void emit_token(struct gemini *g, struct gemini_choice *c, uint32_t choice, const struct token *t,
                       struct weir_json *top)
{
    const struct weir_json_api *j = g->json;
    struct weir_out *out = g->host->out(g->call);
    bool has_ids = is_client_own(g);
    if (!out)
        return;
    put_token(g, out, t, has_ids);
    j->key(out, "top_logprobs");
    j->array_begin(out);
    if (top && j->element(top))
        put_alternatives(g, out, top, has_ids);
    j->array_end(out);
    j->object_end(out);
    gemini_beside_text(g, c, choice, WEIR_DELTA_LOGPROBS, g->host->out_bytes(out));
}

/* A list among the members of a result; NULL if it has none. */
static struct weir_json *list_of(struct gemini *g, struct weir_str result, const char *name)
{
    const struct weir_json_api *j = g->json;
    struct weir_str key, list = WEIR_NONE;
    struct weir_json *r = j->open(g->call, result);
    for (j->object(r); j->member(r, &key);)
        if (weir_is(key, name) && j->peek(r) == WEIR_JSON_ARRAY)
            j->raw(r, &list);
    r = list.n ? j->open(g->call, list) : NULL;
    return r && j->array(r) ? r : NULL;
}

void gemini_emit_logprobs(struct gemini *g, struct gemini_choice *c, uint32_t choice, struct weir_str result)
{
    struct weir_json *chosen = list_of(g, result, "chosenCandidates"), *top = list_of(g, result, "topCandidates");
    while (chosen && !g->failed && g->json->element(chosen)) {
        struct token t = read_token(g->json, chosen);
        emit_token(g, c, choice, &t, top);
    }
}

/* ---- tokens become Google's result ---- */

struct common {
    struct token token;
    struct weir_str bytes, top; /* JSON arrays */
};

static struct common read_common(const struct weir_json_api *j, struct weir_json *r)
{
    struct common c = { { WEIR_LIT("\"\""), WEIR_LIT("0"), WEIR_NONE }, WEIR_NONE, WEIR_NONE };
    struct weir_str key;
    for (j->object(r); j->member(r, &key);) {
        enum weir_json_type type = j->peek(r);
        if (weir_is(key, "token") && type == WEIR_JSON_STRING)
            j->raw(r, &c.token.text);
        else if (weir_is(key, "logprob") && type == WEIR_JSON_NUMBER)
            j->raw(r, &c.token.logprob);
        else if (weir_is(key, "tokenId") && type == WEIR_JSON_NUMBER)
            j->raw(r, &c.token.id);
        else if (weir_is(key, "bytes") && type == WEIR_JSON_ARRAY)
            j->raw(r, &c.bytes);
        else if (weir_is(key, "top_logprobs") && type == WEIR_JSON_ARRAY)
            j->raw(r, &c.top);
    }
    return c;
}

/* A token that is a part of a character is told by its bytes in the common form; Google's has no place for them. */
static void lose_bytes(struct gemini *g, const struct common *c)
{
    size_t n = 0;
    struct weir_json *r = c->bytes.n ? g->json->open(g->call, c->bytes) : NULL;
    if (!r || !g->json->array(r))
        return;
    while (g->json->element(r))
        n++;
    if (n != plain_of(g, c->token.text).n)
        gemini_lose(g, WEIR_FEATURE_ANSWER_LOGPROBS, WEIR_LOSS_CHANGED, "without the bytes of tokens that are part of a character");
}

static void put_candidate(struct gemini *g, struct weir_out *out, const struct common *c)
{
    const struct weir_json_api *j = g->json;
    lose_bytes(g, c);
    j->object_begin(out);
    j->key(out, "token");
    j->put_raw(out, c->token.text);
    if (c->token.id.n) {
        j->key(out, "tokenId");
        j->put_raw(out, c->token.id);
    }
    j->key(out, "logProbability");
    j->put_raw(out, c->token.logprob);
    j->object_end(out);
}

static void put_top(struct gemini *g, struct weir_out *out, const struct common *c)
{
    const struct weir_json_api *j = g->json;
    struct weir_json *r = c->top.n ? j->open(g->call, c->top) : NULL;
    j->object_begin(out);
    j->key(out, "candidates");
    j->array_begin(out);
    if (r && j->array(r))
        while (j->element(r)) {
            struct common each = read_common(j, r);
            put_candidate(g, out, &each);
        }
    j->array_end(out);
    j->object_end(out);
}

/* The tokens of one block into one of the two lists. */
static void put_tokens(struct gemini *g, struct weir_out *out, struct weir_str tokens, bool is_top)
{
    const struct weir_json_api *j = g->json;
    struct weir_json *r = j->open(g->call, tokens);
    for (j->array(r); j->element(r);) {
        struct common each = read_common(j, r);
        if (is_top)
            put_top(g, out, &each);
        else
            put_candidate(g, out, &each);
    }
}

static void put_list(struct gemini *g, struct weir_out *out, const struct weir_answer_block *blocks, uint32_t choice, bool is_top)
{
    g->json->key(out, is_top ? "topCandidates" : "chosenCandidates");
    g->json->array_begin(out);
    for (const struct weir_answer_block *b = blocks; b; b = b->next)
        if (b->choice == choice && b->logprobs.n && weir_is_logprob(g->json, g->call, b->logprobs))
            put_tokens(g, out, b->logprobs, is_top);
    g->json->array_end(out);
}

static bool has_alternatives(struct gemini *g, struct weir_str tokens)
{
    const struct weir_json_api *j = g->json;
    struct weir_json *r = j->open(g->call, tokens);
    bool has_any = false;
    for (j->array(r); j->element(r);)
        has_any |= read_common(j, r).top.n > 2;
    return has_any;
}

void gemini_put_logprobs(struct gemini *g, struct weir_out *out, const struct weir_answer_block *blocks, uint32_t choice)
{
    bool has_any = false, has_top = false;
    for (const struct weir_answer_block *b = blocks; b; b = b->next) {
        if (b->choice != choice || !b->logprobs.n)
            continue;
        if (weir_is_logprob(g->json, g->call, b->logprobs)) {
            has_any = true;
            has_top |= has_alternatives(g, b->logprobs);
        } else {
            gemini_lose(g, WEIR_FEATURE_ANSWER_LOGPROBS, WEIR_LOSS_DROPPED, "another dialect's");
        }
    }
    if (!has_any)
        return;
    g->json->key(out, "logprobsResult");
    g->json->object_begin(out);
    put_list(g, out, blocks, choice, false);
    if (has_top)
        put_list(g, out, blocks, choice, true);
    g->json->object_end(out);
}
