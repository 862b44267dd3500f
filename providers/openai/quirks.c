/* What servers of this dialect do differently. Each difference is data of the provider entry; nothing here knows a server by
 * name. */
#include "quirks.h"

#include <stdio.h>

enum { ID_ALNUM = 9 };

static bool is_listed(const char *const *list, struct weir_str key)
{
    for (; list && *list; list++)
        if (weir_is(key, *list))
            return true;
    return false;
}

/* ---- members that a server doesn't take ---- */

bool openai_drops_str(struct encoding *x, struct weir_str key, uint32_t feature)
{
    const struct openai_entry *e = x->attempt->entry;
    uint64_t *told = &x->told[(feature / 64) % 2], bit = UINT64_C(1) << feature % 64;
    if (!e || !is_listed(e->drop, key))
        return false;
    if (!(*told & bit))
        x->o.host->lose(x->o.call, (enum weir_feature)feature, WEIR_LOSS_DROPPED, "this provider doesn't take it");
    *told |= bit;
    return true;
}

bool openai_drops(struct encoding *x, const char *key, uint32_t feature)
{
    return openai_drops_str(x, weir_cstr(key), feature);
}

/* "seed=random_seed" */
static const char *renamed(const char *const *list, const char *key)
{
    size_t n = strlen(key);
    for (; list && *list; list++)
        if (strncmp(*list, key, n) == 0 && (*list)[n] == '=')
            return *list + n + 1;
    return NULL;
}

const char *openai_key_at(const struct openai_entry *e, const char *key)
{
    const char *other = e ? renamed(e->rename, key) : NULL;
    return other ? other : key;
}

/* ---- ids ---- */

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_fit_id(const struct openai_entry *e, struct weir_str id)
{
    bool fit = id.n == ID_ALNUM;
    if (!e || e->tool_call_id != OPENAI_ID_ALNUM9)
        return true;
    for (size_t i = 0; fit && i < id.n; i++)
        fit = is_alnum(id.p[i]);
    return fit;
}

/* The same id always becomes the same one, so calls and their results stay together. */
bool openai_fit_id(struct encoding *x, struct weir_str id, struct weir_str *fit)
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    uint8_t hash[32];
    char text[ID_ALNUM + 1];
    if (is_fit_id(x->attempt->entry, id))
        return false;
    x->o.host->sha256(id, hash);
    for (int i = 0; i < ID_ALNUM; i++)
        text[i] = digits[hash[i] % 36];
    text[ID_ALNUM] = '\0';
    *fit = x->o.host->format(x->o.call, "%s", text);
    return true;
}

/* ---- tools, but no effort ---- */

/* model: as JSON. "gpt-5.6*" is what begins so. */
static bool is_model(const char *pattern, struct weir_str model)
{
    size_t n = strlen(pattern);
    bool is_open = n && pattern[n - 1] == '*';
    n -= is_open;
    return model.n > n + 1 && memcmp(model.p + 1, pattern, n) == 0 && (is_open || model.n == n + 2);
}

bool openai_refuses_effort(const struct openai_entry *e, const struct weir_conversation *c)
{
    for (const char *const *m = e && c->tools ? e->tools_without_effort : NULL; m && *m; m++)
        if (is_model(*m, weir_field(c, WEIR_FIELD_MODEL)))
            return true;
    return false;
}

/* Of the client's own bytes: without a word of it they go as they came. */
static bool has_refused_effort(const struct openai_entry *e, const struct weir_conversation *c)
{
    struct weir_str effort = weir_field(c, WEIR_FIELD_REASONING_EFFORT);
    return effort.n && !weir_is(effort, "\"none\"") && openai_refuses_effort(e, c);
}

/* ---- can the client's bytes go as they are? ---- */

static bool says(struct weir_str body, const char *word)
{
    return body.n && memmem(body.p, body.n, word, strlen(word));
}

static bool is_member_present(const struct weir_conversation *c, struct weir_str key)
{
    char word[80];
    const char *dot = memchr(key.p, '.', key.n);
    struct weir_str last = dot ? (struct weir_str){ dot + 1, key.n - (size_t)(dot + 1 - key.p) } : key;
    int n = snprintf(word, sizeof word, "\"%.*s\"", (int)last.n, last.p);
    return n > 0 && (size_t)n < sizeof word && says(c->body, word);
}

static bool has_dropped(const struct openai_entry *e, const struct weir_conversation *c)
{
    for (const char *const *d = e->drop; d && *d; d++)
        if (is_member_present(c, weir_cstr(*d)))
            return true;
    for (const char *const *r = e->rename; r && *r; r++)
        if (is_member_present(c, (struct weir_str){ *r, strcspn(*r, "=") }))
            return true;
    return false;
}

static bool has_unfit_id(const struct openai_entry *e, const struct weir_conversation *c)
{
    for (const struct weir_message *m = c->messages; m; m = m->next)
        for (const struct weir_part *p = m->parts; p; p = p->next)
            if ((p->kind == WEIR_PART_TOOL_CALL || p->kind == WEIR_PART_TOOL_RESULT) && !is_fit_id(e, p->id))
                return true;
    return false;
}

static bool has_other_limit(const struct openai_entry *e, const struct weir_conversation *c)
{
    return (e->max_tokens_field == OPENAI_MAX_TOKENS && says(c->body, "\"max_completion_tokens\"")) ||
           (e->max_tokens_field == OPENAI_MAX_COMPLETION_TOKENS && says(c->body, "\"max_tokens\""));
}

/* A word that only looks like a member costs a translation, no more. */
bool openai_needs_anew(struct openai *o, const struct openai_entry *e)
{
    const struct weir_conversation *c = o->host->conversation(o->call);
    if (!e || !c || !weir_eq(c->dialect, OPENAI_DIALECT))
        return false;
    return (!e->can_stream_usage && weir_field_true(c, WEIR_FIELD_STREAM)) ||
           (!e->takes_developer && says(c->body, "\"developer\"")) || has_other_limit(e, c) || has_dropped(e, c) ||
           has_refused_effort(e, c) ||
           (e->tool_call_id == OPENAI_ID_ALNUM9 && has_unfit_id(e, c));
}

/* ---- where it is ---- */

static struct weir_str percent_encoded(struct openai *o, struct weir_str s)
{
    static const char digits[] = "0123456789ABCDEF";
    char *to = o->host->alloc(o->call, WEIR_FOR_ATTEMPT, 3 * s.n + 1);
    size_t n = 0;
    for (size_t i = 0; to && i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (is_alnum(s.p[i]) || strchr("-._~", s.p[i])) {
            to[n++] = s.p[i];
            continue;
        }
        to[n++] = '%';
        to[n++] = digits[c >> 4];
        to[n++] = digits[c & 15];
    }
    return (struct weir_str){ to ? to : "", n };
}

static struct weir_str model_of(struct openai *o)
{
    const struct weir_conversation *c = o->host->conversation(o->call);
    struct weir_str name = WEIR_NONE;
    if (c)
        o->json->string(o->json->open(o->call, weir_field(c, WEIR_FIELD_MODEL)), &name);
    return name;
}

struct weir_str openai_path(struct openai *o, const struct openai_entry *e, const char *path)
{
    const char *prefix = e && e->path_prefix ? e->path_prefix : "", *query = e && e->query ? e->query : "";
    const char *place = strstr(prefix, "{model}");
    if (!prefix[0] && !query[0])
        return weir_cstr(path);
    struct weir_str before = place ? (struct weir_str){ prefix, (size_t)(place - prefix) } : weir_cstr(prefix);
    struct weir_str model = place ? percent_encoded(o, model_of(o)) : WEIR_NONE;
    return o->host->format(o->call, "%.*s%.*s%s%s%s%s", (int)before.n, before.p, (int)model.n, model.p ? model.p : "",
                           place ? place + strlen("{model}") : "", path, query[0] ? "?" : "", query);
}
