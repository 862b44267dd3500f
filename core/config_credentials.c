/* How a provider is convinced of who asks: the keys of its entry, and where in a request they go (`auth`). */
#include "bytes.h"
#include "config_read.h"
#include "json.h"

/* ---- keys ---- */

static void add_key(struct reader *r, struct config_provider *p, const struct tree_node *node)
{
    struct weir_str text;
    struct config_key_secret *keys = (struct config_key_secret *)p->keys;
    r->is_live = true;
    enum value_result result = value_text(r, "key", node, &text);
    r->is_live = false;
    if (result != VALUE_OK)
        return;
    bool is_file = value_is_reference(node) && node->text.p[0] == 'f';
    if (text.n == 0)
        mistake(r, node, "%s: the key is empty: leave it out, or write `auth: none`", r->where);
    else if (!http_is_value(text))
        mistake(r, node, "%s: the key contains a line break or another character that no header may have", r->where);
    else
        keys[p->n_keys++] =
            (struct config_key_secret){ text, is_file ? path_absolute(r, node->file, node->text.p + 5) : NULL };
}

/* Of several keys some may be missing: the provider works as long as one is there. */
void provider_keys_read(struct reader *r, struct config_provider *p, const struct tree_node *map)
{
    const struct tree_node *key = tree_get(map, "key"), *keys = tree_get(map, "keys");
    uint32_t n = !keys ? 1 : keys->type == TREE_LIST ? keys->n : 1;
    const char *before = p->unavailable;
    p->keys = arena_zalloc(r->a, (n + 1) * sizeof *p->keys);
    if (key && keys)
        mistake(r, keys, "%s: write either `key` or `keys`", r->where);
    if (!p->keys || (key && keys))
        return;
    if (key && !tree_is_null(key))
        add_key(r, p, key);
    const char *where = r->where;
    r->where = keys ? arena_printf(r->a, "a key of %s", where).p : where;
    for (uint32_t i = 0; keys && i < n; i++)
        add_key(r, p, keys->type == TREE_LIST ? keys->items[i] : keys);
    r->where = where;
    if (p->n_keys)
        p->unavailable = before;
}

/* ---- auth ---- */

struct auth_map {
    const char *header, *query, *prefix;
};

static const struct field auth_fields[] = {
    { .name = "header",
      .type = FIELD_STRING,
      .offset = offsetof(struct auth_map, header),
      .help = "The header that carries the key." },
    { .name = "query",
      .type = FIELD_STRING,
      .offset = offsetof(struct auth_map, query),
      .help = "The query parameter that carries the key." },
    { .name = "prefix",
      .type = FIELD_STRING,
      .offset = offsetof(struct auth_map, prefix),
      .help = "What stands before the key in the header." },
    { .name = NULL },
};

/* { oauth2: { … } }: a plugin gets the tokens. */
static void read_auth_plugin(struct reader *r, struct config_provider *p, const struct tree_member *m)
{
    struct weir_out text = { 0 };
    p->auth = CONFIG_AUTH_TOKEN;
    p->credentials = plugins_find(r, m->key, m->key->text.p, WEIR_KIND_CREDENTIALS);
    if (!p->credentials)
        return;
    r->is_live = true; /* what is secret there is read where it stands, and goes into no copy */
    p->credentials_config = options_read(r, p->credentials, tree_is_null(m->value) ? NULL : m->value, NULL, m->key);
    r->is_live = false;
    json_put_str(&text, weir_cstr(p->name));
    tree_put_json(m->value, &text, NULL);
    static const uint64_t key[2] = { 1, 2 }; /* the same in every process: nothing depends on who could guess it */
    p->credentials_id = bytes_siphash(key, out_bytes(&text).p, out_bytes(&text).n) | 1;
    out_free(&text);
}

static bool names_plugin(const struct tree_node *node)
{
    const struct tree_member *m = node->n == 1 ? &node->members[0] : NULL;
    return m && !table_has(auth_fields, m->key->text) && (m->value->type == TREE_MAP || tree_is_null(m->value));
}

static void read_auth_map(struct reader *r, struct config_provider *p, const struct tree_node *node)
{
    if (names_plugin(node)) {
        read_auth_plugin(r, p, &node->members[0]);
        return;
    }
    struct auth_map map = { NULL, NULL, NULL };
    table_read(r, auth_fields, NULL, node, &map);
    if (!map.header == !map.query) {
        mistake(r, node, "%s: auth takes { header: NAME, prefix: TEXT }, { query: NAME } or { PLUGIN: {…} }, as in { oauth2: {…} }",
                r->where);
        return;
    }
    if (!http_is_token(weir_cstr(map.header ? map.header : map.query)) || (map.prefix && !http_is_value(weir_cstr(map.prefix)))) {
        mistake(r, node, "%s: auth: that is no name of a header or a query parameter", r->where);
        return;
    }
    p->auth = map.header ? CONFIG_AUTH_HEADER : CONFIG_AUTH_QUERY;
    p->auth_name = map.header ? header_name_lower(r, map.header) : map.query;
    p->auth_prefix = map.prefix ? map.prefix : "";
}

void provider_auth_read(struct reader *r, const struct tree_node *node, void *base)
{
    static const enum config_auth kinds[] = { CONFIG_AUTH_DIALECT, CONFIG_AUTH_BEARER, CONFIG_AUTH_NONE,
                                              CONFIG_AUTH_SIGN, CONFIG_AUTH_SIGN };
    const struct value_rule rule = { .name = "auth", .choices = "dialect|bearer|none|sign|sigv4" };
    struct config_provider *p = base;
    int32_t choice;
    if (node->type == TREE_MAP)
        read_auth_map(r, p, node);
    else if (value_choice(r, &rule, node, &choice) == 0)
        p->auth = kinds[choice];
}
