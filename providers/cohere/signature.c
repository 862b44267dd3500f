/* What another dialect's provider signed travels in the ids of tool calls, the only place that clients bring back to the letter: the
 * call's own signature, and with the first call of a message that of the thought before it. On the way in ids get their own
 * shape back, and what was signed goes to the dialect that made it and to nobody else. */
#include "cohere.h"

/* ID~weir1~DIALECT~t~SIGNATURE: t of a thought, c of the call. */
static const char mark[] = "~weir1~";
enum { MARK = sizeof(mark) - 1 };

static struct weir_str with_mark(struct cohere *o, struct weir_str id, char kind, const struct cohere_signed *s)
{
    if (!s->signature.n)
        return id;
    return o->host->format(o->call, "%.*s%s%.*s~%c~%.*s", (int)id.n, id.p, mark, (int)s->dialect.n, s->dialect.p, kind,
                           (int)s->signature.n, s->signature.p);
}

struct weir_str cohere_mark_id(struct cohere *o, struct weir_str id, const struct cohere_signed *thought,
                               const struct cohere_signed *call)
{
    if (!id.n)
        id = o->host->new_id(o->call, "call_");
    if (thought->signature.n || call->signature.n)
        o->host->lose(o->call, WEIR_FEATURE_ANSWER_SIGNATURE, WEIR_LOSS_EMULATED, "in the id of a tool call");
    return with_mark(o, with_mark(o, id, 't', thought), 'c', call);
}

static const char *next_mark(struct weir_str s)
{
    return s.n > MARK ? memmem(s.p, s.n, mark, MARK) : NULL;
}

/* DIALECT~t~SIGNATURE */
static void read_mark(struct weir_str s, struct cohere_signed *thought, struct cohere_signed *call)
{
    const char *tilde = s.n ? memchr(s.p, '~', s.n) : NULL, *end = tilde ? s.p + s.n : NULL;
    if (!tilde || end - tilde < 4 || tilde[2] != '~')
        return;
    struct cohere_signed *to = tilde[1] == 't' ? thought : call;
    to->dialect = (struct weir_str){ s.p, (size_t)(tilde - s.p) };
    to->signature = (struct weir_str){ tilde + 3, (size_t)(end - tilde) - 3 };
}

struct weir_str cohere_unmark_id(struct weir_str id, struct cohere_signed *thought, struct cohere_signed *call)
{
    const char *at = next_mark(id), *end = id.n ? id.p + id.n : NULL;
    struct weir_str own = { id.p, at ? (size_t)(at - id.p) : id.n };
    while (at) {
        struct weir_str rest = { at + MARK, (size_t)(end - at) - MARK };
        at = next_mark(rest);
        read_mark((struct weir_str){ rest.p, at ? (size_t)(at - rest.p) : rest.n }, thought, call);
    }
    return own;
}
