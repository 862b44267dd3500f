/* Names of providers in ids. The scan keeps a bit per level and the last key, nothing else. */
#include "ids.h"

enum { DEPTH_MAX = 128 };

const struct config_provider *id_owner(struct weir_str id, struct config_provider *const *among, uint32_t n, size_t *bare_n)
{
    for (uint32_t i = 0; i < n; i++) {
        size_t name_n = strlen(among[i]->name);
        if (id.n < name_n + 2 || id.p[id.n - name_n - 1] != IDS_MARK || memcmp(id.p + id.n - name_n, among[i]->name, name_n) != 0)
            continue;
        *bare_n = id.n - name_n - 1;
        return among[i];
    }
    return NULL;
}

/* ---- where in the JSON ---- */

static bool in_object(const struct id_scan *s)
{
    uint32_t top = s->depth - 1;
    return s->depth && (s->objects[top / 64] >> (top % 64) & 1);
}

static void push(struct id_scan *s, bool is_object)
{
    if (s->depth == DEPTH_MAX) {
        s->is_lost = true;
        return;
    }
    uint64_t bit = UINT64_C(1) << (s->depth % 64);
    s->objects[s->depth / 64] = (s->objects[s->depth / 64] & ~bit) | (is_object ? bit : 0);
    s->depth++;
    s->expects_key = is_object;
}

static void pop(struct id_scan *s)
{
    s->depth -= s->depth > 0;
    s->key_n = 0; /* it was an inner one */
    s->expects_key = false;
}

static bool is_id_member(const struct id_scan *s)
{
    struct weir_str key = { s->key, s->key_n };
    for (const char *const *m = s->members; m && *m && key.n; m++) {
        struct weir_str name = weir_cstr(*m);
        bool is_end = name.p[0] == '*' && key.n >= name.n - 1 && memcmp(key.p + key.n - name.n + 1, name.p + 1, name.n - 1) == 0;
        if (is_end || weir_eq(key, name))
            return true;
    }
    return false;
}

static void open_string(struct id_scan *s)
{
    s->in_string = true;
    s->has_content = false;
    s->is_key = in_object(s) && s->expects_key;
    s->is_id = !s->is_key && s->depth && is_id_member(s);
    if (s->is_key)
        s->key_n = 0;
}

static void take_structure(struct id_scan *s, char c)
{
    switch (c) {
    case '{':
    case '[':
        push(s, c == '{');
        break;
    case '}':
    case ']':
        pop(s);
        break;
    case ',':
        s->expects_key = in_object(s);
        break;
    case ':':
        s->expects_key = false;
        break;
    }
}

/* Inside a string. false: it is over. */
static bool take_content(struct id_scan *s, char c)
{
    if (!s->is_escaped && c == '"')
        return false;
    s->is_escaped = !s->is_escaped && c == '\\';
    s->has_content = true;
    if (s->is_key && s->key_n < sizeof(s->key))
        s->key[s->key_n++] = c;
    return true;
}

void id_scan_feed(struct id_scan *s, struct weir_str in, struct weir_out *out)
{
    size_t from = 0;
    for (size_t i = 0; i < in.n && !s->is_lost; i++) {
        if (s->is_lines && in.p[i] == '\n') {
            s->depth = 0;
            s->in_string = s->expects_key = false;
        } else if (!s->in_string && in.p[i] == '"') {
            open_string(s);
            s->start = out->n + (i + 1 - from);
        } else if (!s->in_string) {
            take_structure(s, in.p[i]);
        } else if (!take_content(s, in.p[i])) {
            s->in_string = false;
            if (!s->is_id || !s->has_content)
                continue;
            out_write(out, (struct weir_str){ in.p + from, i - from });
            from = i;
            s->on_id(s, out, s->start);
        }
    }
    out_write(out, (struct weir_str){ in.p + from, in.n - from });
}
