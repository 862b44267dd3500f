/* The tools of a client's request. Google's schemas come in two kinds: JSON Schema, and a subset of OpenAPI's with types in
 * capitals and `nullable`; here the second becomes the first. */
#include "decode.h"

enum { SCHEMA_DEPTH = 32 };

/* ---- schemas ---- */

static void put_schema(struct gemini *g, struct weir_out *out, struct weir_str raw, int depth);

static void put_map(struct gemini *g, struct weir_out *out, struct weir_str raw, int depth)
{
    const struct weir_json_api *j = g->json;
    struct weir_str key, value;
    struct weir_json *r = j->open(g->call, raw);
    j->object_begin(out);
    for (j->object(r); j->member(r, &key) && j->raw(r, &value);) {
        j->key_str(out, key);
        put_schema(g, out, value, depth);
    }
    j->object_end(out);
}

static void put_list(struct gemini *g, struct weir_out *out, struct weir_str raw, int depth)
{
    const struct weir_json_api *j = g->json;
    struct weir_str value;
    struct weir_json *r = j->open(g->call, raw);
    j->array_begin(out);
    for (j->array(r); j->element(r) && j->raw(r, &value);)
        put_schema(g, out, value, depth);
    j->array_end(out);
}

static void put_type(struct gemini *g, struct weir_out *out, struct weir_str raw, bool is_nullable)
{
    const struct weir_json_api *j = g->json;
    char low[16];
    size_t n = raw.n < sizeof(low) ? raw.n : sizeof(low);
    for (size_t i = 0; i < n; i++)
        low[i] = raw.p[i] >= 'A' && raw.p[i] <= 'Z' ? (char)(raw.p[i] + 32) : raw.p[i];
    struct weir_str type = raw.p[0] == '"' && raw.n <= sizeof(low) ? (struct weir_str){ low, n } : raw;
    j->key(out, "type");
    if (!is_nullable) {
        j->put_raw(out, type);
        return;
    }
    j->array_begin(out);
    j->put_raw(out, type);
    j->put_raw(out, WEIR_LIT("\"null\""));
    j->array_end(out);
}

/* int64 is a string in proto-JSON. */
static struct weir_str unquoted(struct weir_str raw)
{
    bool is_number = raw.n > 2 && raw.p[0] == '"';
    for (size_t i = 1; is_number && i + 1 < raw.n; i++)
        is_number = raw.p[i] >= '0' && raw.p[i] <= '9';
    return is_number ? (struct weir_str){ raw.p + 1, raw.n - 2 } : raw;
}

/* Counts, by their name in JSON Schema. */
static const char *count_name(struct weir_str key)
{
    static const char *const names[] = { "minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties" };
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (gemini_key(key, names[i]))
            return names[i];
    return NULL;
}

static void put_schema_member(struct gemini *g, struct weir_out *out, struct weir_str key, struct weir_str value, int depth)
{
    const struct weir_json_api *j = g->json;
    bool is_nested = value.n && (value.p[0] == '{' || value.p[0] == '[');
    const char *name = count_name(key);
    if (gemini_key(key, "propertyOrdering") || weir_is(key, "example"))
        return;
    if (name)
        j->key(out, name);
    else if (gemini_key(key, "anyOf"))
        j->key(out, "anyOf");
    else
        j->key_str(out, key);
    if (weir_is(key, "properties") && is_nested)
        put_map(g, out, value, depth);
    else if (gemini_key(key, "anyOf") && is_nested)
        put_list(g, out, value, depth);
    else if (weir_is(key, "items") && is_nested)
        put_schema(g, out, value, depth);
    else
        j->put_raw(out, name ? unquoted(value) : value);
}

static bool is_nullable(struct gemini *g, struct weir_str raw)
{
    const struct weir_json_api *j = g->json;
    struct weir_str key;
    bool is = false;
    struct weir_json *r = j->open(g->call, raw);
    for (j->object(r); j->member(r, &key);)
        if (weir_is(key, "nullable") && j->peek(r) == WEIR_JSON_BOOL)
            j->boolean(r, &is);
    return is;
}

static void put_schema(struct gemini *g, struct weir_out *out, struct weir_str raw, int depth)
{
    const struct weir_json_api *j = g->json;
    struct weir_str key, value;
    if (!raw.n || raw.p[0] != '{' || depth >= SCHEMA_DEPTH) {
        j->put_raw(out, raw);
        return;
    }
    bool nullable = is_nullable(g, raw);
    struct weir_json *r = j->open(g->call, raw);
    j->object_begin(out);
    for (j->object(r); j->member(r, &key) && j->raw(r, &value);) {
        if (weir_is(key, "type"))
            put_type(g, out, value, nullable);
        else if (!weir_is(key, "nullable") && !weir_is(value, "null"))
            put_schema_member(g, out, key, value, depth + 1);
    }
    j->object_end(out);
}

struct weir_str gemini_json_schema(struct gemini *g, struct weir_str openapi)
{
    struct weir_out *out = g->host->out(g->call);
    if (!out) {
        g->failed = true;
        return WEIR_NONE;
    }
    put_schema(g, out, openapi, 0);
    return g->host->keep(g->call, g->host->out_bytes(out));
}

/* ---- declarations ---- */

static void read_declaration(struct reading *x, uint32_t tool, uint32_t i)
{
    const struct weir_json_api *j = x->g.json;
    struct weir_str key, raw;
    struct weir_tool *t = x->g.host->tool_add(x->g.call);
    if (!t) {
        x->g.failed = true;
        return;
    }
    for (j->object(x->r); !x->g.failed && j->member(x->r, &key);) {
        if (weir_is(key, "name"))
            j->string(x->r, &t->name);
        else if (weir_is(key, "description") && j->peek(x->r) == WEIR_JSON_STRING)
            j->text(x->r, &t->description);
        else if (gemini_key(key, "parametersJsonSchema") && j->peek(x->r) == WEIR_JSON_OBJECT)
            j->raw(x->r, &t->schema);
        else if (weir_is(key, "parameters") && j->peek(x->r) == WEIR_JSON_OBJECT)
            t->schema = j->raw(x->r, &raw) ? gemini_json_schema(&x->g, raw) : WEIR_NONE;
        else
            gemini_read_ext(x,
                            x->g.host->format(x->g.call, "tools[%u].functionDeclarations[%u].%.*s", tool, i, (int)key.n,
                                              key.p),
                            key);
    }
    if (!j->failed(x->r) && !t->name.n)
        j->reject(x->r, "must have a name");
}

/* A tool that Google runs itself: {"googleSearch":{}} */
static void read_own_tool(struct reading *x, struct weir_str key)
{
    struct weir_str raw;
    if (!x->g.json->raw(x->r, &raw) || weir_is(raw, "null"))
        return;
    struct weir_tool *t = x->g.host->tool_add(x->g.call);
    if (!t) {
        x->g.failed = true;
        return;
    }
    struct weir_str name = gemini_quoted(&x->g, key);
    t->raw = x->g.host->format(x->g.call, "{%.*s:%.*s}", (int)name.n, name.p, (int)raw.n, raw.p);
    t->dialect = GEMINI_DIALECT;
}

static void read_tool(struct reading *x, uint32_t tool)
{
    const struct weir_json_api *j = x->g.json;
    struct weir_str key;
    for (j->object(x->r); !x->g.failed && j->member(x->r, &key);) {
        if (!gemini_key(key, "functionDeclarations"))
            read_own_tool(x, key);
        else if (!gemini_took_null(x->r, j)) {
            uint32_t i = 0;
            for (j->array(x->r); !x->g.failed && j->element(x->r);)
                read_declaration(x, tool, i++);
        }
    }
}

void gemini_read_tools(struct reading *x)
{
    const struct weir_json_api *j = x->g.json;
    uint32_t tool = 0;
    if (gemini_took_null(x->r, j))
        return;
    if (j->peek(x->r) == WEIR_JSON_OBJECT) {
        read_tool(x, tool);
        return;
    }
    for (j->array(x->r); !x->g.failed && j->element(x->r);)
        read_tool(x, tool++);
}

/* ---- the choice ---- */

struct calling {
    struct weir_str mode, names; /* names: raw */
    struct weir_str first;
    uint32_t n;
};

static void read_names(struct reading *x, struct calling *c)
{
    const struct weir_json_api *j = x->g.json;
    struct weir_str name;
    if (!j->raw(x->r, &c->names) || weir_is(c->names, "null"))
        return;
    struct weir_json *r = j->open(x->g.call, c->names);
    for (j->array(r); j->element(r) && j->string(r, &name); c->n++)
        if (!c->n)
            c->first = name;
    if (!j->close(r))
        j->reject(x->r, "must be an array of names");
}

/* Google takes enums in either case: clients that write "any" are answered by it. */
static bool is_mode(struct weir_str mode, const char *name)
{
    size_t i = 0;
    while (i < mode.n && name[i] && (mode.p[i] & ~0x20) == name[i])
        i++;
    return i == mode.n && !name[i];
}

/* Several names that may be called, and VALIDATED, are words that only this dialect has. */
static void settle_calling(struct reading *x, const struct calling *c)
{
    const struct weir_host *h = x->g.host;
    bool is_any = is_mode(c->mode, "ANY"), has_many = c->n > 1 || (c->n && !is_any);
    struct weir_out *out = is_any && c->n == 1 ? h->out(x->g.call) : NULL;
    if (has_many)
        h->ext_add(x->g.call, WEIR_LIT("toolConfig.functionCallingConfig.allowedFunctionNames"), c->names, WEIR_NONE);
    if (is_mode(c->mode, "VALIDATED"))
        h->ext_add(x->g.call, WEIR_LIT("toolConfig.functionCallingConfig.mode"), WEIR_LIT("\"VALIDATED\""), WEIR_NONE);
    if (is_mode(c->mode, "NONE"))
        gemini_set_field(x, WEIR_FIELD_TOOL_CHOICE, WEIR_LIT("\"none\""), WEIR_NONE);
    else if (out) {
        x->g.json->object_begin(out);
        x->g.json->key(out, "name");
        x->g.json->put_str(out, c->first);
        x->g.json->object_end(out);
        gemini_set_field(x, WEIR_FIELD_TOOL_CHOICE, h->keep(x->g.call, h->out_bytes(out)), WEIR_NONE);
    } else if (c->mode.n)
        gemini_set_field(x, WEIR_FIELD_TOOL_CHOICE, is_any ? WEIR_LIT("\"required\"") : WEIR_LIT("\"auto\""), WEIR_NONE);
}

static void read_calling(struct reading *x)
{
    const struct weir_json_api *j = x->g.json;
    struct calling c = { .n = 0 };
    struct weir_str key;
    for (j->object(x->r); !x->g.failed && j->member(x->r, &key);) {
        if (weir_is(key, "mode") && j->peek(x->r) == WEIR_JSON_STRING)
            j->string(x->r, &c.mode);
        else if (gemini_key(key, "allowedFunctionNames"))
            read_names(x, &c);
        else
            gemini_read_ext(
                x, x->g.host->format(x->g.call, "toolConfig.functionCallingConfig.%.*s", (int)key.n, key.p), key);
    }
    if (!j->failed(x->r))
        settle_calling(x, &c);
}

void gemini_read_tool_config(struct reading *x)
{
    const struct weir_json_api *j = x->g.json;
    struct weir_str key;
    if (gemini_took_null(x->r, j))
        return;
    for (j->object(x->r); !x->g.failed && j->member(x->r, &key);) {
        if (gemini_key(key, "functionCallingConfig") && j->peek(x->r) == WEIR_JSON_OBJECT)
            read_calling(x);
        else
            gemini_read_ext(x, x->g.host->format(x->g.call, "toolConfig.%.*s", (int)key.n, key.p), key);
    }
}
