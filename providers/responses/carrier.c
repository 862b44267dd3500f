/* A client of this dialect that is answered by a provider of another keeps that provider's signatures for weir: a reasoning item's
 * encrypted_content is opaque to it and comes back as it was.
 *
 *   weir:DIALECT:SIGNATURE                   of the thoughts of this reasoning item
 *   weir-call:DIALECT:N:CALL_IDSIGNATURE     of a tool call; N is the length of its id. The item has no thoughts.
 *
 * Nothing is kept in weir. What isn't marked is the provider's own. */
#include "responses.h"

static bool take_prefix(struct weir_text *t, const char *prefix)
{
    size_t n = strlen(prefix);
    if (t->n < n || memcmp(t->p, prefix, n) != 0)
        return false;
    t->p += n;
    t->n -= (uint32_t)n;
    return true;
}

/* What stands before the next ':'. */
static bool take_word(struct weir_text *t, struct weir_str *word)
{
    const char *colon = t->n ? memchr(t->p, ':', t->n) : NULL;
    if (!colon || colon == t->p)
        return false;
    *word = (struct weir_str){ t->p, (size_t)(colon - t->p) };
    t->n -= (uint32_t)word->n + 1;
    t->p = colon + 1;
    return true;
}

static bool take_call(struct weir_text *t, struct weir_str *call)
{
    struct weir_str digits;
    uint32_t n = 0;
    if (!take_word(t, &digits) || digits.n > 6)
        return false;
    for (size_t i = 0; i < digits.n; i++) {
        if (digits.p[i] < '0' || digits.p[i] > '9')
            return false;
        n = 10 * n + (uint32_t)(digits.p[i] - '0');
    }
    if (!n || n >= t->n)
        return false;
    *call = (struct weir_str){ t->p, n };
    t->p += n;
    t->n -= n;
    return true;
}

bool responses_open_carrier(struct responses *o, struct weir_text said, struct weir_str *dialect, struct weir_str *call,
                            struct weir_text *signature)
{
    struct weir_text t = said;
    *call = WEIR_NONE;
    if (take_prefix(&t, "weir-call:")) {
        t = weir_plain(o->host->text(o->call, &t)); /* the id is counted in its plain bytes */
        if (!take_word(&t, dialect) || !take_call(&t, call))
            return false;
    } else if (!take_prefix(&t, "weir:") || !take_word(&t, dialect) || !t.n) {
        return false;
    }
    *signature = t;
    return true;
}

struct weir_str responses_carrier_head(struct responses *o, struct weir_str dialect, struct weir_str call)
{
    const struct weir_host *h = o->host;
    if (!dialect.n || weir_eq(dialect, RESPONSES_DIALECT))
        return WEIR_NONE;
    if (!call.n)
        return h->format(o->call, "weir:%.*s:", (int)dialect.n, dialect.p);
    return h->format(o->call, "weir-call:%.*s:%zu:%.*s", (int)dialect.n, dialect.p, call.n, (int)call.n, call.p);
}
