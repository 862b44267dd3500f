/* What another dialect's provider signed, on its way through a client of this one, and back. A thought's signature stands in the
 * thought's own, as "weir1:DIALECT:SIGNATURE". A call has no such place: its id carries it, the one thing of a call that every
 * client sends back, as "ID_weir1_DIALECT_SIGNATURE" with the signature in the letters that an id may have. Both are taken off when
 * they come back, so that no provider but the one that made a signature sees it. */
#include "bedrock.h"

static const char mark[] = "weir1:", id_mark[] = "_weir1_";

struct weir_str bedrock_carried(struct bedrock *o, struct weir_str signature, struct weir_str dialect)
{
    if (!signature.n || weir_eq(dialect, BEDROCK_DIALECT))
        return signature;
    return o->host->format(o->call, "%s%.*s:%.*s", mark, (int)dialect.n, dialect.p, (int)signature.n, signature.p);
}

bool bedrock_uncarry(struct bedrock *o, struct weir_text *signature, struct weir_str *dialect)
{
    size_t n = sizeof(mark) - 1;
    bool is_marked = signature->n > n && memcmp(signature->p, mark, n) == 0;
    struct weir_str s = is_marked ? o->host->text(o->call, signature) : WEIR_NONE;
    const char *colon = s.n > n ? memchr(s.p + n, ':', s.n - n) : NULL;
    if (!colon)
        return false;
    *dialect = (struct weir_str){ s.p + n, (size_t)(colon - s.p) - n };
    *signature = weir_plain((struct weir_str){ colon + 1, (size_t)(s.p + s.n - colon - 1) });
    return true;
}

/* Base64 with the letters of an id, and without padding. */
static struct weir_str to_letters(struct bedrock *o, struct weir_str s)
{
    struct weir_str b = o->host->base64(o->call, s, false);
    char *to = o->host->alloc(o->call, WEIR_FOR_REQUEST, b.n + 1);
    size_t n = 0;
    for (size_t i = 0; to && i < b.n && b.p[i] != '='; i++)
        to[n++] = b.p[i] == '+' ? '-' : b.p[i] == '/' ? '_' : b.p[i];
    return (struct weir_str){ to, n };
}

static struct weir_str from_letters(struct bedrock *o, struct weir_str s)
{
    char *to = o->host->alloc(o->call, WEIR_FOR_REQUEST, s.n + 4);
    size_t n = 0;
    for (; to && n < s.n; n++)
        to[n] = s.p[n] == '-' ? '+' : s.p[n] == '_' ? '/' : s.p[n];
    while (to && n % 4)
        to[n++] = '=';
    return o->host->base64(o->call, (struct weir_str){ to, to ? n : 0 }, true);
}

struct weir_str bedrock_marked_id(struct bedrock *o, struct weir_str id, struct weir_str signature,
                                  struct weir_str dialect)
{
    struct weir_str letters = to_letters(o, signature);
    if (!letters.n)
        return id;
    bedrock_lose(o, WEIR_FEATURE_ANSWER_SIGNATURE, WEIR_LOSS_EMULATED,
                 "in the call's id; it comes back to who made it");
    return o->host->keep(o->call, o->host->format(o->call, "%.*s%s%.*s_%.*s", (int)id.n, id.p, id_mark, (int)dialect.n,
                                                  dialect.p, (int)letters.n, letters.p));
}

bool bedrock_unmark_id(struct bedrock *o, struct weir_str *id, struct weir_text *signature, struct weir_str *dialect)
{
    const char *at = id->n ? memmem(id->p, id->n, id_mark, sizeof(id_mark) - 1) : NULL;
    if (!at)
        return false;
    const char *name = at + sizeof(id_mark) - 1, *end = id->p + id->n, *letters = memchr(name, '_', (size_t)(end - name));
    if (!letters)
        return false;
    struct weir_str s = from_letters(o, (struct weir_str){ letters + 1, (size_t)(end - letters - 1) });
    if (!s.n)
        return false;
    *dialect = (struct weir_str){ name, (size_t)(letters - name) };
    *signature = weir_plain(s);
    id->n = (size_t)(at - id->p);
    return true;
}

/* ---- loops ---- */

static bool begins_with_thought(const struct weir_message *m)
{
    for (const struct weir_part *p = m->parts; p; p = p->next)
        if (p->kind == WEIR_PART_THINKING && weir_eq(p->dialect, BEDROCK_DIALECT) &&
            (p->signature.n || (p->flags & WEIR_PART_REDACTED)))
            return true;
    return false;
}

static bool has_call(const struct weir_message *m)
{
    for (const struct weir_part *p = m->parts; p; p = p->next)
        if (p->kind == WEIR_PART_TOOL_CALL)
            return true;
    return false;
}

/* Calls of this turn that another model made, or whose thoughts did not come back. */
bool bedrock_is_in_foreign_loop(const struct weir_conversation *c)
{
    bool is = false;
    for (const struct weir_message *m = c->messages; m; m = m->next) {
        if (m->role == WEIR_ROLE_USER)
            is = false;
        else if (m->role == WEIR_ROLE_ASSISTANT && has_call(m))
            is = is || !begins_with_thought(m);
    }
    return is;
}
