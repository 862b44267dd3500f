/* What another dialect's provider signed, on its way through a client of this one: `thoughtSignature` is base64 to everybody, so it
 * becomes the base64 of "weir1:DIALECT:SIGNATURE", and is taken apart when it comes back. Clients may write it in either alphabet.
 * The first call of a step that nobody signed is marked as such, because Gemini itself would refuse it bare. */
#include "gemini.h"

static const char mark[] = "weir1:";
static const char mark_base64[] = "d2VpcjE6"; /* the same: six bytes make eight characters */

struct weir_str gemini_wrapped_signature(struct gemini *g, struct weir_str signature, struct weir_str dialect)
{
    struct weir_str all = g->host->format(g->call, "%s%.*s:%.*s", mark, (int)dialect.n, dialect.p, (int)signature.n,
                                          signature.n ? signature.p : "");
    return g->host->base64(g->call, all, false);
}

/* The standard alphabet, with its padding. */
static struct weir_str standard(struct gemini *g, struct weir_str s)
{
    char *to = g->host->alloc(g->call, WEIR_FOR_CALL, s.n + 4);
    size_t n = 0;
    for (; to && n < s.n && s.p[n] != '='; n++)
        to[n] = s.p[n] == '-' ? '+' : s.p[n] == '_' ? '/' : s.p[n];
    while (to && n % 4)
        to[n++] = '=';
    return (struct weir_str){ to, to ? n : 0 };
}

bool gemini_unwrap_signature(struct gemini *g, struct weir_text *signature, struct weir_str *dialect)
{
    struct weir_str s = g->host->text(g->call, signature);
    if (s.n < sizeof(mark_base64) || memcmp(s.p, mark_base64, sizeof(mark_base64) - 1) != 0)
        return false;
    struct weir_str all = g->host->base64(g->call, standard(g, s), true);
    const char *name = all.n ? all.p + sizeof(mark) - 1 : NULL;
    const char *colon = name ? memchr(name, ':', all.n - sizeof(mark) + 1) : NULL;
    if (!colon)
        return false;
    *dialect = g->host->keep(g->call, (struct weir_str){ name, (size_t)(colon - name) });
    *signature = weir_plain(g->host->keep(g->call, (struct weir_str){ colon + 1, (size_t)(all.p + all.n - colon - 1) }));
    return true;
}

void gemini_put_signature(struct gemini *g, struct weir_out *out, struct weir_str signature, struct weir_str dialect)
{
    if (!signature.n)
        return;
    if (!weir_eq(dialect, GEMINI_DIALECT))
        signature = gemini_wrapped_signature(g, signature, dialect);
    g->json->key(out, "thoughtSignature");
    g->json->put_str(out, signature);
}

void gemini_put_call_signature(struct gemini *g, struct weir_out *out, struct weir_str signature, struct weir_str dialect,
                               bool is_first)
{
    if (signature.n || !is_first) {
        gemini_put_signature(g, out, signature, dialect);
        return;
    }
    g->json->key(out, "thoughtSignature");
    g->json->put_str(out, gemini_wrapped_signature(g, WEIR_NONE, WEIR_LIT("nobody")));
}
