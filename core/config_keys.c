/* Virtual keys: who may call. Only hashes stand in a configuration, never a key. */
#include <stdio.h>
#include <stdlib.h>

#include "bytes.h"
#include "config_read.h"

struct key_entry {
    struct weir_key key;
    const char *name, *team;
    bool may_set_timeout, may_explain;
    struct weir_str secret; /* of requests that are signed */
    const struct tree_node *models; /* to check them once all models are known */
};

static bool is_key_name(const char *name)
{
    return name[0] && strlen(name) <= 64 &&
           !name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._@/+-")];
}

static void read_name(struct reader *r, const struct tree_node *node, const char *what, const char **to)
{
    const struct value_rule rule = { .name = what };
    const char *name;
    if (value_string(r, &rule, node, &name))
        return;
    if (is_key_name(name))
        *to = name;
    else
        mistake(r, node, "%s must be 1 to 64 letters, digits and . _ @ / + -, not \"%.80s\"", what, name);
}

static void read_key_name(struct reader *r, const struct tree_node *node, void *base)
{
    read_name(r, node, "name", &((struct key_entry *)base)->name);
}

static void read_key_team(struct reader *r, const struct tree_node *node, void *base)
{
    read_name(r, node, "team", &((struct key_entry *)base)->team);
}

static void read_hash(struct reader *r, const struct tree_node *node, void *base)
{
    const struct value_rule rule = { .name = "hash" };
    struct key_entry *k = base;
    const char *text;
    if (value_string(r, &rule, node, &text))
        return;
    if (strncmp(text, "sha256:", 7) != 0 || strlen(text) != 7 + 64 ||
        !bytes_hex_decode(k->key.hash, weir_cstr(text + 7)))
        mistake(r, node,
                "hash must be \"sha256:\" and 64 hexadecimal digits, as `weir key new` prints it; a key itself never "
                "stands here");
}

static void read_aws_id(struct reader *r, const struct tree_node *node, void *base)
{
    struct key_entry *k = base;
    if (value_text(r, "id", node, &k->key.aws_id) == VALUE_OK &&
        (k->key.aws_id.n < 4 || k->key.aws_id.n > 128 || memchr(k->key.aws_id.p, '/', k->key.aws_id.n)))
        mistake(r, node, "an access key's id has 4 to 128 letters and digits");
}

static void read_aws_secret(struct reader *r, const struct tree_node *node, void *base)
{
    struct key_entry *k = base;
    if (value_text(r, "secret", node, &k->secret) == VALUE_OK && k->secret.n < 16)
        mistake(r, node, "secret must be at least 16 characters long");
}

static const struct field aws_fields[] = {
    { .name = "id",
      .type = FIELD_OWN,
      .read = read_aws_id,
      .schema = "{\"type\":\"string\"}",
      .help = "The access key's id: what the SDK calls aws_access_key_id." },
    { .name = "secret",
      .type = FIELD_OWN,
      .read = read_aws_secret,
      .schema = "{\"type\":\"string\"}",
      .help = "Its secret, best as env:NAME or file:PATH: signatures can't be checked by a hash." },
    { .name = NULL },
};

static void read_aws(struct reader *r, const struct tree_node *node, void *base)
{
    if (!node_is(r, "aws", node, TREE_MAP))
        return;
    table_read(r, aws_fields, NULL, node, base);
    if (!tree_get(node, "id") || !tree_get(node, "secret"))
        mistake(r, node, "aws needs an id and a secret");
}

static bool put_tag(struct reader *r, struct weir_str *to, struct weir_str name, struct weir_str value,
                    const struct tree_node *at)
{
    if (name.n == 0 || name.n > 64 || value.n > 64) {
        mistake(r, at, "a tag is NAME: VALUE, each at most 64 bytes long");
        return false;
    }
    to[0] = name;
    to[1] = value;
    return true;
}

/* { cost_center: "42" } or ["cost_center=42"]. */
static void read_tags(struct reader *r, const struct tree_node *node, void *base)
{
    struct weir_key *k = &((struct key_entry *)base)->key;
    struct weir_str *tags = arena_zalloc(r->a, (node->n + 1) * 2 * sizeof *tags);
    k->tags = tags;
    if (!tags || node->type == TREE_SCALAR || node->n > 8) {
        mistake(r, node, "tags are a map of at most 8 names and values");
        return;
    }
    for (uint32_t i = 0; i < node->n; i++) {
        const struct tree_node *at = node->type == TREE_MAP ? node->members[i].value : node->items[i];
        struct weir_str text, name;
        if (value_text(r, "tags", at, &text) != VALUE_OK)
            continue;
        const char *equals = node->type == TREE_LIST ? memchr(text.p, '=', text.n) : NULL;
        name = node->type == TREE_MAP ? node->members[i].key->text
                                      : (struct weir_str){ text.p, equals ? (size_t)(equals - text.p) : 0 };
        if (equals)
            text = (struct weir_str){ equals + 1, text.n - name.n - 1 };
        k->n_tags += put_tag(r, tags + 2 * k->n_tags, name, text, at);
    }
}

static void read_key_models(struct reader *r, const struct tree_node *node, void *base)
{
    const struct value_rule rule = { .name = "models" };
    struct key_entry *k = base;
    k->models = node;
    value_strs(r, &rule, node, &k->key.models, &k->key.n_models);
    if (node->type == TREE_LIST && node->n == 0)
        mistake(r, node, "models is empty, so this key could use none: leave it out to allow all");
}

const struct field config_key_fields[] = {
    { .name = "name",
      .type = FIELD_OWN,
      .read = read_key_name,
      .schema = "{\"type\":\"string\"}",
      .help = "Who calls; unique." },
    { .name = "team",
      .type = FIELD_OWN,
      .read = read_key_team,
      .schema = "{\"type\":\"string\"}",
      .help = "The team it belongs to." },
    { .name = "hash",
      .type = FIELD_OWN,
      .read = read_hash,
      .schema = "{\"type\":\"string\",\"pattern\":\"^sha256:[0-9a-fA-F]{64}$\"}",
      .help = "SHA-256 of the key; `weir key new` prints it." },
    { .name = "aws",
      .type = FIELD_OWN,
      .read = read_aws,
      .schema = "{\"type\":\"object\",\"properties\":{\"id\":{\"type\":\"string\"},\"secret\":{\"type\":\"string\"}},"
                "\"required\":[\"id\",\"secret\"],\"additionalProperties\":false}",
      .help = "In place of a hash: who calls signs each request (AWS Signature Version 4)." },
    { .name = "models",
      .type = FIELD_OWN,
      .read = read_key_models,
      .schema = "{\"type\":\"array\",\"items\":{\"type\":\"string\"}}",
      .help = "Models and targets it may use; a star at the end matches anything; not given: all." },
    { .name = "tags",
      .type = FIELD_OWN,
      .read = read_tags,
      .schema = "{\"type\":[\"object\",\"array\"]}",
      .help = "Go to the record of each of its requests." },
    { .name = "may_set_timeout",
      .type = FIELD_BOOL,
      .offset = offsetof(struct key_entry, may_set_timeout),
      .fallback = "false",
      .help = "Is x-weir-timeout-ms heeded?" },
    { .name = "may_explain",
      .type = FIELD_BOOL,
      .offset = offsetof(struct key_entry, may_explain),
      .fallback = "false",
      .help = "Is x-weir-explain heeded? The answer tells candidates, prices and decisions." },
    { .name = NULL },
};

/* A pattern that covers nothing is a slip of the pen more often than a wish. */
static void check_models(struct reader *r, const struct key_entry *k)
{
    for (uint32_t i = 0; k->models && i < k->key.n_models; i++) {
        const char *pattern = k->key.models[i].p;
        const struct tree_node *at = k->models->type == TREE_LIST ? k->models->items[i] : k->models;
        struct suggestion near;
        if (strchr(pattern, '*') || tree_get(tree_get(r->root, "models"), pattern))
            continue;
        const char *slash = strchr(pattern, '/');
        if (slash && config_find_provider(r->c, (struct weir_str){ pattern, (size_t)(slash - pattern) }))
            continue;
        bool is_covered = false;
        suggestion_begin(&near, pattern);
        for (uint32_t m = 0; m < r->c->n_models; m++) {
            suggestion_offer(&near, r->c->models[m]->name);
            is_covered = is_covered || config_matches(r->c->models[m]->name, weir_cstr(pattern));
        }
        if (!is_covered)
            warning(r, at, "%s: no model is called \"%.80s\"%s", r->where, pattern, suggestion_text(r, &near));
    }
}

static void check_unique(struct reader *r, const struct tree_node *list, uint32_t index, const struct weir_key *k)
{
    for (uint32_t i = 0; i < r->c->n_keys; i++) {
        const struct weir_key *other = &r->c->keys[i];
        if (weir_eq(other->name, k->name))
            mistake(r, list->items[index], "two keys have the name \"%s\"", k->name.p);
        else if (k->aws_id.n && weir_eq(other->aws_id, k->aws_id))
            mistake(r, list->items[index], "the keys \"%s\" and \"%s\" have the same aws id", other->name.p, k->name.p);
        else if (!k->aws_id.n && memcmp(other->hash, k->hash, sizeof k->hash) == 0)
            mistake(r, list->items[index], "the keys \"%s\" and \"%s\" have the same hash", other->name.p, k->name.p);
    }
}

static bool read_key(struct reader *r, const struct tree_node *node, struct weir_key *to, struct weir_str *secret)
{
    struct key_entry k = { .key = { .size = sizeof k.key } };
    r->where = "a key";
    if (!node_is(r, "a key", node, TREE_MAP))
        return false;
    const struct tree_node *name = tree_get(node, "name");
    if (name && name->type == TREE_SCALAR)
        r->where = arena_printf(r->a, "key \"%.64s\"", name->text.p).p;
    table_read(r, config_key_fields, NULL, node, &k);
    if (!name)
        mistake(r, node, "a key needs a name");
    bool has_hash = tree_get(node, "hash") != NULL, has_aws = tree_get(node, "aws") != NULL;
    if (!has_hash && !has_aws)
        mistake(r, node, "%s needs a hash: `weir key new` prints one", r->where);
    else if (has_hash && has_aws)
        mistake(r, node, "%s has a hash and aws; make two keys of it", r->where);
    check_models(r, &k);
    k.key.name = weir_cstr(k.name ? k.name : "");
    k.key.team = weir_cstr(k.team ? k.team : "");
    k.key.flags = (k.may_set_timeout ? WEIR_PRINCIPAL_MAY_SET_TIMEOUT : 0) | (k.may_explain ? WEIR_PRINCIPAL_MAY_EXPLAIN : 0);
    *to = k.key;
    *secret = k.secret;
    return k.name != NULL;
}

void keys_read(struct reader *r, const struct tree_node *list)
{
    struct config *c = r->c;
    if (!list || !node_is(r, "keys", list, TREE_LIST))
        return;
    c->keys = arena_zalloc(r->a, (list->n + 1) * sizeof *c->keys);
    c->key_secrets = arena_zalloc(r->a, (list->n + 1) * sizeof *c->key_secrets);
    for (uint32_t i = 0; c->keys && c->key_secrets && i < list->n; i++) {
        struct weir_key k;
        if (!read_key(r, list->items[i], &k, &c->key_secrets[c->n_keys]))
            continue;
        check_unique(r, list, i, &k);
        c->keys[c->n_keys++] = k;
    }
    r->where = NULL;
}
