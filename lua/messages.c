/* The conversation as a policy reads it: req.messages, req.tools, req:text(), req:texts().
 *
 * Messages are views on the host's linked list; a text is decoded when it is read.
 */
#include <stdio.h>

#include "engine.h"

struct messages_value {
    struct value head; /* head.n messages */
    struct weir_message *first, *at;
    uint32_t at_index; /* 1 based: where `at` is, so that walking is linear */
};

struct message_value {
    struct value head;
    struct weir_message *m;
};

struct text_value {
    struct value head;
    struct weir_part *part; /* NULL: it can't be edited */
    struct weir_text text;
};

/* ---- parts ------------------------------------------------------------------------------------------------------- */

static const char *const roles[] = { "?", "system", "user", "assistant", "tool" };
static const char *const kinds[] = { "?",         "text",        "image",    "audio",   "file",
                                     "tool_call", "tool_result", "thinking", "refusal", "opaque" };

static const char *role_name(uint32_t role)
{
    return roles[role <= WEIR_ROLE_TOOL ? role : 0];
}

static void set_text(lua_State *L, const char *name, struct weir_str s)
{
    if (s.n == 0)
        return;
    value_push(L, s);
    lua_setfield(L, -2, name);
}

static void push_parts(lua_State *L, const struct weir_part *p, int depth);

/* Words are taken from where they lie; the host is told that they are read: a recording may not have them. */
static void read_content(struct weir_call *call)
{
    static const struct weir_text nothing;
    engine.host->text(call, &nothing);
}

static void push_part(lua_State *L, const struct weir_part *p, int depth)
{
    lua_createtable(L, 0, 4);
    lua_pushstring(L, kinds[p->kind <= WEIR_PART_OPAQUE ? p->kind : 0]);
    lua_setfield(L, -2, "kind");
    if (p->text.n) {
        value_push_text(L, &p->text);
        lua_setfield(L, -2, "text");
    }
    set_text(L, "name", p->name);
    set_text(L, "id", p->id);
    set_text(L, "media_type", p->media_type);
    set_text(L, "url", p->url);
    set_text(L, "file_id", p->file_id);
    if (p->data.n) {
        lua_pushinteger(L, p->data.n);
        lua_setfield(L, -2, "data_bytes");
    }
    if (p->parts && depth < 4) {
        push_parts(L, p->parts, depth + 1);
        lua_setfield(L, -2, "parts");
    }
}

static void push_parts(lua_State *L, const struct weir_part *p, int depth)
{
    luaL_checkstack(L, 10, "parts");
    lua_createtable(L, 2, 0);
    for (lua_Integer i = 1; p; p = p->next, i++) {
        push_part(L, p, depth);
        lua_rawseti(L, -2, i);
        if (i % 64 == 0)
            limits_tick(L);
    }
}

/* Is it something that was said: text, refusal, and what tools answered? */
static bool is_said(const struct weir_part *p)
{
    return p->kind == WEIR_PART_TEXT || p->kind == WEIR_PART_REFUSAL;
}

static void add_said(lua_State *L, struct buffer *b, const struct weir_part *p, int depth)
{
    for (; p && depth < 4; p = p->next) {
        if (is_said(p)) {
            buffer_add(L, b, "\n", b->n ? 1 : 0);
            if (p->text.form == WEIR_TEXT_ESCAPED)
                value_add_unescaped(L, b, p->text.p, p->text.n);
            else
                buffer_add(L, b, p->text.p, p->text.n);
        }
        add_said(L, b, p->parts, depth + 1);
    }
}

static size_t said_length(const struct weir_part *p, int depth)
{
    size_t n = 0;
    for (; p && depth < 4; p = p->next)
        n += (is_said(p) ? p->text.n + 1 : 0) + said_length(p->parts, depth + 1);
    return n;
}

/* ---- one message ------------------------------------------------------------------------------------------------- */

static int message_index(lua_State *L)
{
    const struct message_value *v = value_check(L, 1, VALUE_MESSAGE);
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?";
    struct buffer b;
    if (strcmp(key, "role") == 0) {
        lua_pushstring(L, role_name(v->m->role));
    } else if (strcmp(key, "text") == 0) {
        read_content(v->head.call->call);
        limits_need(L, "text", (double)said_length(v->m->parts, 0) / 1000);
        buffer_open(L, &b);
        add_said(L, &b, v->m->parts, 0);
        buffer_push(L, &b);
    } else if (strcmp(key, "parts") == 0) {
        read_content(v->head.call->call);
        push_parts(L, v->m->parts, 0);
    } else if (strcmp(key, "name") == 0) {
        read_content(v->head.call->call);
        value_push_or_nil(L, v->m->name);
    } else {
        return luaL_error(L, "a message has no field \"%s\" (it has role, text, parts, name)", key);
    }
    return 1;
}

static struct weir_part *only_text(const struct weir_message *m)
{
    struct weir_part *found = NULL;
    for (struct weir_part *p = m->parts; p; p = p->next) {
        if (p->kind == WEIR_PART_TEXT && found)
            return NULL;
        if (p->kind == WEIR_PART_TEXT)
            found = p;
    }
    return found;
}

static void edit(lua_State *L, struct lua_call *c, struct weir_part *part, struct weir_str text, const char *what)
{
    if (c->hook != LUA_ON_REQUEST)
        luaL_error(L, "texts can be changed in on_request only");
    limits_host_bytes(L, text.n);
    if (!part || engine.host->edit_text(c->call, part, text) < 0)
        luaL_error(L, "%s can't be changed", what);
}

static int message_newindex(lua_State *L)
{
    const struct message_value *v = value_check(L, 1, VALUE_MESSAGE);
    if (lua_type(L, 2) != LUA_TSTRING || strcmp(lua_tostring(L, 2), "text") != 0)
        return luaL_error(L, "only a message's text can be changed");
    luaL_checktype(L, 3, LUA_TSTRING);
    struct weir_part *part = only_text(v->m);
    if (!part)
        return luaL_error(L, "this message has no text or several: change them one by one, with req:texts()");
    edit(L, v->head.call, part, value_str(L, 3), "this message's text");
    return 0;
}

/* ---- req.messages, req.tools ------------------------------------------------------------------------------------- */

static void push_tools(lua_State *L, const struct weir_tool *t)
{
    lua_createtable(L, 4, 0);
    for (lua_Integer i = 1; t; t = t->next, i++) {
        lua_createtable(L, 0, 3);
        set_text(L, "name", t->name);
        set_text(L, "schema", t->schema);
        set_text(L, "raw", t->raw);
        if (t->description.n) {
            value_push_text(L, &t->description);
            lua_setfield(L, -2, "description");
        }
        lua_rawseti(L, -2, i);
        if (i % 64 == 0)
            limits_tick(L);
    }
}

void messages_push(lua_State *L, struct lua_call *c, bool is_tools)
{
    const struct weir_conversation *v = engine.host->conversation(c->call);
    if (is_tools) {
        if (v && v->tools)
            read_content(c->call);
        push_tools(L, v ? v->tools : NULL);
        return;
    }
    struct messages_value *m = value_new(L, VALUE_MESSAGES, sizeof(*m), 0);
    m->head.n = v ? v->n_messages : 0;
    m->first = m->at = v ? v->messages : NULL;
    m->at_index = 1;
}

static struct weir_message *message_at(struct messages_value *v, lua_Integer i)
{
    if (i < 1 || i > (lua_Integer)v->head.n)
        return NULL;
    if ((lua_Integer)v->at_index > i) {
        v->at = v->first;
        v->at_index = 1;
    }
    while (v->at && (lua_Integer)v->at_index < i) {
        v->at = v->at->next;
        v->at_index++;
    }
    struct weir_message *found = v->at;
    if (!found) {
        v->at = v->first;
        v->at_index = 1;
    }
    return found;
}

static int messages_index(lua_State *L)
{
    struct messages_value *v = value_check(L, 1, VALUE_MESSAGES);
    lua_Integer i = luaL_checkinteger(L, 2);
    struct weir_message *m = message_at(v, i);
    if (!m) {
        lua_pushnil(L);
        return 1;
    }
    ((struct message_value *)value_new(L, VALUE_MESSAGE, sizeof(struct message_value), 0))->m = m;
    return 1;
}

static int messages_len(lua_State *L)
{
    lua_pushinteger(L, ((struct value *)value_check(L, 1, VALUE_MESSAGES))->n);
    return 1;
}

static int messages_step(lua_State *L)
{
    lua_Integer i = luaL_optinteger(L, 2, 0) + 1;
    lua_settop(L, 1);
    lua_pushinteger(L, i);
    messages_index(L);
    if (lua_isnil(L, -1))
        return 1;
    lua_pushinteger(L, i);
    lua_insert(L, -2);
    return 2;
}

static int messages_pairs(lua_State *L)
{
    value_check(L, 1, VALUE_MESSAGES);
    lua_pushcfunction(L, messages_step);
    lua_pushvalue(L, 1);
    return 2;
}

/* ---- req:text() -------------------------------------------------------------------------------------------------- */

int request_text(lua_State *L)
{
    const struct value *v = value_check(L, 1, VALUE_REQUEST);
    const struct weir_conversation *conversation = engine.host->conversation(v->call->call);
    read_content(v->call->call);
    struct buffer b;
    size_t n = 0;
    const struct weir_message *first = conversation ? conversation->messages : NULL;
    for (const struct weir_message *m = first; m; m = m->next)
        n += said_length(m->parts, 0);
    limits_need(L, "req:text()", (double)n / 1000);
    buffer_open(L, &b);
    buffer_room(L, &b, n + 8);
    for (const struct weir_message *m = first; m; m = m->next)
        add_said(L, &b, m->parts, 0);
    buffer_push(L, &b);
    return 1;
}

/* ---- req:texts(): every string that a model would read ----------------------------------------------------------- */

enum { TEXTS_MAX = 20000 };

/* The host calls back through its own frames, so nothing in here may raise: texts are gathered first. */
struct gathered {
    struct weir_str where;
    struct weir_text text;
    struct weir_part *part;
};
struct gathering {
    struct weir_call *call;
    struct gathered *list;
    uint32_t n, cap;
};

static bool gather(void *arg, struct weir_str where, const struct weir_text *text, struct weir_part *part)
{
    struct gathering *g = arg;
    if (g->n < g->cap && g->list)
        g->list[g->n] = (struct gathered){ engine.host->keep(g->call, where), *text, part };
    g->n++;
    return g->n < TEXTS_MAX;
}

static int push_gathered(lua_State *L, const struct gathering *g)
{
    lua_createtable(L, (int)g->n, 0);
    for (uint32_t i = 0; i < g->n; i++) {
        struct text_value *t = value_new(L, VALUE_TEXT, sizeof(*t), 1);
        t->text = g->list[i].text;
        t->part = g->list[i].part;
        value_push(L, g->list[i].where);
        lua_setiuservalue(L, -2, 1);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
        if (i % 256 == 255)
            limits_tick(L);
    }
    return 1;
}

static bool count_texts(void *arg, struct weir_str where, const struct weir_text *text, struct weir_part *part)
{
    (void)text, (void)part;
    struct gathering *g = arg;
    g->n++;
    g->cap += (uint32_t)where.n;
    return g->n < TEXTS_MAX;
}

int request_texts(lua_State *L)
{
    const struct value *v = value_check(L, 1, VALUE_REQUEST);
    struct gathering g = { .call = v->call->call };
    engine.host->request_texts(g.call, count_texts, &g);
    if (g.n >= TEXTS_MAX)
        return luaL_error(L, "req:texts(): more than %d texts", TEXTS_MAX);
    limits_host_bytes(L, g.cap + 16 * g.n);
    limits_tick(L);
    uint32_t cap = g.n;
    g.list = lua_newuserdatauv(L, (cap + 1) * sizeof(*g.list), 0);
    g.n = 0;
    g.cap = cap;
    engine.host->request_texts(g.call, gather, &g);
    g.n = g.n > cap ? cap : g.n;
    return push_gathered(L, &g);
}

static int text_index(lua_State *L)
{
    const struct text_value *t = value_check(L, 1, VALUE_TEXT);
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?";
    if (strcmp(key, "text") == 0)
        value_push_text(L, &t->text);
    else if (strcmp(key, "where") == 0)
        lua_getiuservalue(L, 1, 1);
    else if (strcmp(key, "editable") == 0)
        lua_pushboolean(L, t->part != NULL);
    else
        return luaL_error(L, "a text has no field \"%s\" (it has text, where, editable)", key);
    return 1;
}

static int text_newindex(lua_State *L)
{
    struct text_value *t = value_check(L, 1, VALUE_TEXT);
    if (lua_type(L, 2) != LUA_TSTRING || strcmp(lua_tostring(L, 2), "text") != 0)
        return luaL_error(L, "only text can be changed");
    luaL_checktype(L, 3, LUA_TSTRING);
    lua_getiuservalue(L, 1, 1);
    edit(L, t->head.call, t->part, value_str(L, 3), lua_tostring(L, -1));
    t->text = t->part->text;
    return 0;
}

void messages_open(lua_State *L)
{
    static const luaL_Reg list[] = {
        { "__index", messages_index }, { "__len", messages_len }, { "__pairs", messages_pairs }, { NULL, NULL },
    };
    static const luaL_Reg one[] = { { "__index", message_index }, { "__newindex", message_newindex }, { NULL, NULL } };
    value_metatable(L, VALUE_MESSAGES, "req.messages");
    luaL_setfuncs(L, list, 0);
    value_metatable(L, VALUE_MESSAGE, "message");
    luaL_setfuncs(L, one, 0);
    lua_pop(L, 2);
}

void texts_open(lua_State *L)
{
    static const luaL_Reg meta[] = { { "__index", text_index }, { "__newindex", text_newindex }, { NULL, NULL } };
    value_metatable(L, VALUE_TEXT, "text");
    luaL_setfuncs(L, meta, 0);
    lua_pop(L, 1);
}
