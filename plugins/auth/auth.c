/* auth: who calls, and what the caller may use.
 *
 * on_open finds the virtual key among the configured hashes and sets the principal. on_request checks the right to the
 * model that was asked for, on_attempt the right to every target: rules may choose targets, but not beyond the key unless
 * they say so. The key itself is seen in on_open only and goes nowhere.
 *
 * Owner: `struct auth` lives as long as the worker, `struct seen` as long as the request.
 */
#include "aws.h"

#include <stdlib.h>

enum { TAGS_MAX = 8, TAG_BYTES = 64 };

struct auth {
    const struct weir_host *host;
    struct weir_instance *inst;
};

struct seen {
    bool is_model_allowed; /* the asked name: it covers its own targets */
    struct aws_signature aws; /* to be checked when the body is there; key NULL: none */
};

/* ---- refusing ---- */

static enum weir_verdict refuse(const struct auth *a, struct weir_call *call, uint16_t class, const char *code, struct weir_str message)
{
    struct weir_error e = { .size = sizeof e, .error_class = class, .code = weir_cstr(code), .message = message };
    e.status = class == WEIR_ERROR_AUTHENTICATION ? 401 : 403;
    if (class == WEIR_ERROR_PERMISSION)
        e.param = WEIR_LIT("model");
    return a->host->fail(call, &e);
}

static enum weir_verdict refuse_caller(const struct auth *a, struct weir_call *call, const char *code, const char *message)
{
    return refuse(a, call, WEIR_ERROR_AUTHENTICATION, code, weir_cstr(message));
}

/* ---- names ---- */

static bool matches(struct weir_str pattern, struct weir_str name)
{
    if (pattern.n > 0 && pattern.p[pattern.n - 1] == '*')
        return name.n >= pattern.n - 1 && memcmp(name.p, pattern.p, pattern.n - 1) == 0;
    return weir_eq(pattern, name);
}

static bool may_use(const struct weir_principal *p, struct weir_str name)
{
    for (uint32_t i = 0; i < p->n_models; i++)
        if (matches(p->models[i], name))
            return true;
    return p->n_models == 0;
}

/* ---- tags: the key's own, then what the caller adds; a key's tag can't be overridden ---- */

struct tags {
    struct weir_str *list; /* key, value, key, value … */
    uint32_t n, cap;
    uint32_t n_sent, n_dropped;
};

static struct weir_str trim(struct weir_str s)
{
    while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
        s.p++, s.n--;
    while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

static struct weir_str cut(struct weir_str *rest, char at)
{
    const char *end = rest->n ? memchr(rest->p, at, rest->n) : NULL;
    struct weir_str head = { rest->p, end ? (size_t)(end - rest->p) : rest->n };
    size_t taken = head.n + (end ? 1 : 0);
    *rest = (struct weir_str){ rest->p + taken, rest->n - taken };
    return head;
}

static bool has_tag(const struct tags *t, struct weir_str key)
{
    for (uint32_t i = 0; i < t->n; i++)
        if (weir_eq(t->list[2 * i], key))
            return true;
    return false;
}

static void add_sent_tag(struct tags *t, struct weir_str pair)
{
    struct weir_str value = pair, key = trim(cut(&value, '='));
    bool is_good = key.n > 0 && pair.n <= TAG_BYTES && key.n < pair.n && t->n_sent < TAGS_MAX && t->n < t->cap;
    if (!is_good || has_tag(t, key)) {
        t->n_dropped++;
        return;
    }
    t->list[2 * t->n] = key;
    t->list[2 * t->n + 1] = trim(value);
    t->n++;
    t->n_sent++;
}

static void add_sent_tags(const struct auth *a, struct weir_call *call, struct tags *t)
{
    struct weir_str rest = a->host->header(call, WEIR_LIT("x-weir-tags"));
    while (rest.n > 0) {
        struct weir_str pair = trim(cut(&rest, ','));
        if (pair.n > 0)
            add_sent_tag(t, pair);
    }
    if (t->n_dropped > 0)
        a->host->note(call, "tags_dropped", a->host->format(call, "%u", t->n_dropped));
}

/* ---- who ---- */

static enum weir_verdict set_principal(const struct auth *a, struct weir_call *call, struct weir_principal *p)
{
    struct tags t = { .cap = p->n_tags + TAGS_MAX };
    t.list = a->host->alloc(call, WEIR_FOR_REQUEST, 2 * t.cap * sizeof *t.list);
    if (t.list) {
        for (t.n = 0; t.n < p->n_tags; t.n++) {
            t.list[2 * t.n] = p->tags[2 * t.n];
            t.list[2 * t.n + 1] = p->tags[2 * t.n + 1];
        }
        add_sent_tags(a, call, &t);
        p->tags = t.list;
        p->n_tags = t.n;
    }
    p->size = sizeof *p;
    if (t.list && a->host->set_principal(call, p) == 0)
        return WEIR_NEXT;
    struct weir_error e = { .size = sizeof e, .error_class = WEIR_ERROR_UNAVAILABLE, .code = WEIR_LIT("overloaded") };
    e.message = WEIR_LIT("Memory is short. Try again in a moment.");
    return a->host->fail(call, &e);
}

/* A later host may have longer entries: each tells its size. */
static const struct weir_key *next_key(const struct weir_key *k)
{
    return (const struct weir_key *)((const char *)k + k->size);
}

/* Every key is compared, so that the time tells nothing. */
static const struct weir_key *find_key(const struct auth *a, const struct weir_key *keys, uint32_t n, struct weir_str credential)
{
    const struct weir_key *found = NULL;
    uint8_t hash[32];
    a->host->sha256(credential, hash);
    for (const struct weir_key *k = keys; n > 0; n--, k = next_key(k))
        if (a->host->equal(k->hash, hash, sizeof hash))
            found = k;
    return found;
}

static enum weir_verdict admit_local(const struct auth *a, struct weir_call *call)
{
    struct weir_principal p = { .name = WEIR_LIT("local"), .flags = WEIR_PRINCIPAL_MAY_SET_TIMEOUT | WEIR_PRINCIPAL_MAY_EXPLAIN };
    if (a->host->request(call)->flags & WEIR_REQUEST_LOOPBACK)
        return set_principal(a, call, &p);
    return refuse_caller(a, call, "not_local",
                         "This gateway has no keys configured and answers callers on its own machine only. Its operator adds keys "
                         "with `weir key new`.");
}

static enum weir_verdict admit_key(const struct auth *a, struct weir_call *call, const struct weir_key *k)
{
    struct weir_principal p = { .flags = k->flags, .name = k->name, .team = k->team, .models = k->models,
                                .n_models = k->n_models, .tags = k->tags, .n_tags = k->n_tags };
    return set_principal(a, call, &p);
}

/* ---- signed requests ---- */

static enum weir_verdict refuse_signature(const struct auth *a, struct weir_call *call, const char *message)
{
    struct weir_error e = { .size = sizeof e, .error_class = WEIR_ERROR_AUTHENTICATION, .status = 403,
                            .code = WEIR_LIT("invalid_signature"), .message = weir_cstr(message) };
    return a->host->fail(call, &e);
}

/* Who says to call is known now; whether it is so, when the body is there. */
static enum weir_verdict admit_signature(const struct auth *a, struct weir_call *call, const struct weir_key *keys, uint32_t n,
                                         struct weir_str credential)
{
    struct seen *seen = a->host->request_block(call);
    const char *why = aws_read(a->host, call, credential, &seen->aws);
    if (why)
        return refuse_signature(a, call, why);
    for (const struct weir_key *k = keys; n > 0; n--, k = next_key(k))
        if (k->aws_id.n && weir_eq(k->aws_id, seen->aws.id))
            seen->aws.key = k;
    if (seen->aws.key)
        return admit_key(a, call, seen->aws.key);
    struct weir_error e = { .size = sizeof e, .error_class = WEIR_ERROR_AUTHENTICATION, .status = 403, .code = WEIR_LIT("invalid_key"),
                            .message = WEIR_LIT("The access key's id is not known to this gateway. Check it, or ask its operator for one.") };
    return a->host->fail(call, &e);
}

static enum weir_verdict on_open(void *self, struct weir_call *call)
{
    const struct auth *a = self;
    uint32_t n = 0, flags = a->host->request(call)->flags;
    const struct weir_key *keys = a->host->keys(a->inst, &n);
    struct weir_str credential = a->host->credential(call);
    if (flags & WEIR_REQUEST_CREDENTIAL_CONFLICT)
        return refuse_caller(a, call, "conflicting_keys", "The request carries two keys that differ. Send one.");
    if (n == 0)
        return admit_local(a, call);
    if (credential.n == 0 && (flags & WEIR_REQUEST_ROUTE_OPEN))
        return WEIR_NEXT;
    if (credential.n == 0)
        return refuse_caller(a, call, "missing_key",
                             "The request carries no key. Send it where your SDK puts it: Authorization: Bearer, x-api-key or "
                             "x-goog-api-key.");
    if (aws_is_signature(credential))
        return admit_signature(a, call, keys, n, credential);
    const struct weir_key *key = find_key(a, keys, n, credential);
    if (!key)
        return refuse_caller(a, call, "invalid_key", "The key is not known to this gateway. Check it, or ask its operator for one.");
    return admit_key(a, call, key);
}

/* ---- what ---- */

static struct weir_str asked_model(const struct auth *a, struct weir_call *call)
{
    const struct weir_conversation *c = a->host->conversation(call);
    struct weir_str name = WEIR_NONE;
    if (!c)
        return name;
    struct weir_json *r = a->host->json->open(call, weir_field(c, WEIR_FIELD_MODEL));
    a->host->json->string(r, &name);
    return a->host->json->close(r) ? name : WEIR_NONE;
}

static enum weir_verdict hide_models(const struct auth *a, struct weir_call *call, const struct weir_principal *p)
{
    uint32_t n = 0;
    struct weir_model *models = a->host->models(call, &n);
    for (uint32_t i = 0; models && i < n; i++)
        if (!may_use(p, models[i].id))
            models[i].flags |= WEIR_MODEL_HIDDEN;
    return WEIR_NEXT;
}

static enum weir_verdict refuse_model(const struct auth *a, struct weir_call *call, struct weir_str name)
{
    int n = name.n > 200 ? 200 : (int)name.n;
    return refuse(a, call, WEIR_ERROR_PERMISSION, "model_not_allowed",
                  a->host->format(call, "This key may not use the model \"%.*s\". GET /v1/models lists what it may use.", n,
                                  name.p ? name.p : ""));
}

/* A call that is relayed as it is names no model: it takes the right to all that one of its providers has, which on_attempt asks
 * for once more. */
static enum weir_verdict check_relayed(const struct auth *a, struct weir_call *call, const struct weir_principal *p)
{
    uint32_t n = 0;
    struct weir_candidate *const *list = a->host->candidates(call, &n);
    for (uint32_t i = 0; i < n; i++)
        if (may_use(p, list[i]->name))
            return WEIR_NEXT;
    if (!n)
        return WEIR_NEXT; /* nobody can be asked: the usual error says more */
    return refuse(a, call, WEIR_ERROR_PERMISSION, "model_not_allowed",
                  a->host->format(call, "This key may not make calls that are relayed as they are; that takes the right to \"%.*s\".",
                                  (int)list[0]->name.n, list[0]->name.p));
}

/* Without a model in another operation (of a later version) only a key that may use everything passes. */
static enum weir_verdict on_request(void *self, struct weir_call *call)
{
    const struct auth *a = self;
    const struct weir_principal *p = a->host->principal(call);
    struct seen *seen = a->host->request_block(call);
    if (seen->aws.key && !aws_fits(a->host, a->inst, call, &seen->aws))
        return refuse_signature(a, call, "The signature does not fit the request: the secret is another one, or the request was changed on "
                                         "its way.");
    uint32_t operation = a->host->request(call)->operation;
    if (operation == WEIR_OP_MODELS || operation == WEIR_OP_MODEL)
        return hide_models(a, call, p);
    if (operation == WEIR_OP_RAW)
        return check_relayed(a, call, p);
    struct weir_str name = asked_model(a, call);
    seen->is_model_allowed = may_use(p, name);
    return seen->is_model_allowed ? WEIR_NEXT : refuse_model(a, call, name);
}

static enum weir_verdict on_attempt(void *self, struct weir_call *call)
{
    const struct auth *a = self;
    const struct seen *seen = a->host->request_block(call);
    const struct weir_candidate *target = a->host->target(call);
    if (!target)
        return WEIR_NEXT;
    if ((target->flags & WEIR_CANDIDATE_OF_MODEL) && seen->is_model_allowed)
        return WEIR_NEXT;
    if (may_use(a->host->principal(call), target->name))
        return WEIR_NEXT;
    if (target->flags & WEIR_CANDIDATE_BEYOND) {
        a->host->note(call, "beyond", target->name);
        return WEIR_NEXT;
    }
    a->host->note(call, "skipped", a->host->format(call, "%.*s: the key has no right to it", (int)target->name.n, target->name.p));
    return WEIR_SKIP;
}

/* ---- the descriptor ---- */

static int create(const struct weir_host *host, struct weir_instance *inst, const void *config, void **self)
{
    (void)config;
    struct auth *a = calloc(1, sizeof *a);
    if (!a) {
        host->log(inst, WEIR_LOG_ERROR, "auth: out of memory");
        return -1;
    }
    *a = (struct auth){ host, inst };
    *self = a;
    return 0;
}

static void destroy(void *self)
{
    free(self);
}

static const struct weir_stage_ops ops = {
    .size = sizeof ops,
    .flags = WEIR_STAGE_GUARD | WEIR_STAGE_SETS_PRINCIPAL,
    .request_size = sizeof(struct seen),
    .create = create,
    .destroy = destroy,
    .on_open = on_open,
    .on_request = on_request,
    .on_attempt = on_attempt,
};

WEIR_PLUGIN = {
    WEIR_HEAD(WEIR_KIND_STAGE),
    .name = "auth",
    .version = "0.1.0",
    .summary = "Virtual keys: who calls, and which models and targets the caller may use",
    .stage = &ops,
};
WEIR_NOTE(WEIR_KIND_STAGE);
