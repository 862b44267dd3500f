/* The JSON Schema of the configuration, for editors: made from the tables that read it, so it can't lag behind.
 *
 * Options of plugins come from the plugins themselves: all that lie beside the program are opened. Third-party
 * plugins may bring more, so entries and stages stay open for names that the schema doesn't know; `weir check` is
 * strict about them.
 */
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>

#include "config_read.h"
#include "json.h"

static void put_member(struct weir_out *w, const char *name, const char *value)
{
    json_key(w, name);
    json_put_str(w, weir_cstr(value));
}

static void put_type(struct weir_out *w, const char *type)
{
    put_member(w, "type", type);
}

/* One of several types: any scalar may also be a reference. */
static void put_types(struct weir_out *w, const char *type)
{
    json_key(w, "type");
    json_array_begin(w);
    json_put_str(w, weir_cstr(type));
    if (strcmp(type, "string") != 0)
        json_put_str(w, WEIR_LIT("string"));
    json_array_end(w);
}

static void put_choices(struct weir_out *w, const char *choices)
{
    json_key(w, "anyOf");
    json_array_begin(w);
    json_put_raw(w, WEIR_LIT("{\"type\":\"string\",\"pattern\":\"^(env|file):\"}"));
    json_object_begin(w);
    json_key(w, "enum");
    json_array_begin(w);
    while (*choices) {
        size_t n = strcspn(choices, "|");
        json_put_str(w, (struct weir_str){ choices, n });
        choices += n + (choices[n] == '|');
    }
    json_array_end(w);
    json_object_end(w);
    json_array_end(w);
}

static void put_number(struct weir_out *w, const char *name, double value)
{
    char text[40];
    json_key(w, name);
    json_put_raw(w, (struct weir_str){ text, (size_t)snprintf(text, sizeof text, "%.15g", value) });
}

static void put_bounds(struct weir_out *w, double min, double max)
{
    if (min == 0 && max == 0)
        return;
    put_number(w, "minimum", min);
    put_number(w, "maximum", max);
}

static void put_strings(struct weir_out *w)
{
    json_key(w, "type");
    json_put_raw(w, WEIR_LIT("[\"array\",\"string\"]"));
    json_key(w, "items");
    json_put_raw(w, WEIR_LIT("{\"type\":\"string\"}"));
}

static void put_about(struct weir_out *w, const char *help, const char *fallback)
{
    if (help)
        put_member(w, "description", help);
    if (fallback)
        put_member(w, "default", fallback);
}

/* ---- the core's tables ---- */

static void put_table(struct weir_out *w, const struct field *table, bool is_closed);

static void put_field_type(struct weir_out *w, const struct field *f)
{
    switch (f->type) {
    case FIELD_BOOL:
        put_types(w, "boolean");
        break;
    case FIELD_U32:
    case FIELD_I64:
        put_types(w, "integer");
        put_bounds(w, f->min, f->max);
        break;
    case FIELD_NUMBER:
        put_types(w, "number");
        put_bounds(w, f->min, f->max);
        break;
    case FIELD_CHOICE:
        put_choices(w, f->choices);
        break;
    case FIELD_STRS:
        put_strings(w);
        break;
    case FIELD_MS:
    case FIELD_SIZE32:
    case FIELD_SIZE64:
        json_key(w, "type");
        json_put_raw(w, WEIR_LIT("[\"string\",\"integer\",\"boolean\"]")); /* 15s, 64KiB, 0, off */
        break;
    default:
        put_type(w, "string");
        break;
    }
}

static void put_field(struct weir_out *w, const struct field *f)
{
    json_key(w, f->name);
    json_object_begin(w);
    put_about(w, f->help, f->fallback);
    if (f->type == FIELD_TABLE) {
        put_table(w, f->table, true);
    } else if (f->schema) {
        json_key(w, "allOf");
        json_array_begin(w);
        json_put_raw(w, weir_cstr(f->schema));
        json_array_end(w);
    } else {
        put_field_type(w, f);
    }
    json_object_end(w);
}

/* Members of an object that has begun. */
static void put_table(struct weir_out *w, const struct field *table, bool is_closed)
{
    put_type(w, "object");
    if (is_closed) {
        json_key(w, "additionalProperties");
        json_put_bool(w, false);
    }
    json_key(w, "properties");
    json_object_begin(w);
    for (const struct field *f = table; f->name; f++)
        put_field(w, f);
    json_object_end(w);
}

/* ---- plugins ---- */

static void put_option_type(struct weir_out *w, const struct weir_option *o)
{
    switch (o->type) {
    case WEIR_OPTION_INT:
        put_types(w, "integer");
        put_bounds(w, o->min, o->max);
        break;
    case WEIR_OPTION_NUMBER:
        put_types(w, "number");
        put_bounds(w, o->min, o->max);
        break;
    case WEIR_OPTION_BOOL:
        put_types(w, "boolean");
        break;
    case WEIR_OPTION_CHOICE:
        put_choices(w, o->choices ? o->choices : "");
        break;
    case WEIR_OPTION_LIST:
        put_strings(w);
        break;
    case WEIR_OPTION_DURATION:
    case WEIR_OPTION_SIZE:
        json_key(w, "type");
        json_put_raw(w, WEIR_LIT("[\"string\",\"integer\",\"boolean\"]"));
        break;
    case WEIR_OPTION_JSON:
        break;
    default:
        put_type(w, "string");
        break;
    }
}

static void put_options(struct weir_out *w, const struct weir_option *options, const struct field *except)
{
    for (const struct weir_option *o = options; o && o->name; o++) {
        if (table_has(except, weir_cstr(o->name)))
            continue;
        json_key(w, o->name);
        json_object_begin(w);
        put_about(w, o->help, o->fallback);
        put_option_type(w, o);
        json_object_end(w);
    }
}

/* `- name` or `- name: { settings }`. */
static void put_stage(struct weir_out *w, const struct plugin *p)
{
    json_object_begin(w);
    put_type(w, "object");
    put_member(w, "description", p->desc.summary ? p->desc.summary : "");
    json_key(w, "required");
    json_array_begin(w);
    json_put_str(w, weir_cstr(p->desc.name));
    json_array_end(w);
    json_key(w, "maxProperties");
    json_put_int(w, 1);
    json_key(w, "properties");
    json_object_begin(w);
    json_key(w, p->desc.name);
    json_object_begin(w);
    json_key(w, "properties");
    json_object_begin(w);
    put_options(w, p->desc.options, NULL);
    json_key(w, "on_quarantine");
    json_put_raw(w, WEIR_LIT("{\"enum\":[\"refuse\",\"skip\"]}"));
    json_object_end(w);
    json_object_end(w);
    json_object_end(w);
    json_object_end(w);
}

static void put_pipeline(struct weir_out *w)
{
    json_key(w, "pipeline");
    json_object_begin(w);
    put_type(w, "array");
    json_key(w, "items");
    json_object_begin(w);
    json_key(w, "anyOf");
    json_array_begin(w);
    json_put_raw(w, WEIR_LIT("{\"type\":\"string\"}"));
    for (const struct plugin *p = plugin_first(); p; p = p->next)
        if (p->desc.head.kind == WEIR_KIND_STAGE)
            put_stage(w, p);
    json_put_raw(w, WEIR_LIT("{\"type\":\"object\",\"maxProperties\":1}"));
    json_array_end(w);
    json_object_end(w);
    json_object_end(w);
}

/* For each dialect its own options: `if` the entry has it, `then` these. */
static void put_dialects(struct weir_out *w)
{
    json_key(w, "allOf");
    json_array_begin(w);
    for (const struct plugin *p = plugin_first(); p; p = p->next) {
        if (p->desc.head.kind != WEIR_KIND_CODEC || !p->desc.options)
            continue;
        json_object_begin(w);
        json_key(w, "if");
        json_object_begin(w);
        json_key(w, "required");
        json_put_raw(w, WEIR_LIT("[\"dialect\"]"));
        json_key(w, "properties");
        json_object_begin(w);
        json_key(w, "dialect");
        json_object_begin(w);
        put_member(w, "const", p->desc.name);
        json_object_end(w);
        json_object_end(w);
        json_object_end(w);
        json_key(w, "then");
        json_object_begin(w);
        json_key(w, "properties");
        json_object_begin(w);
        put_options(w, p->desc.options, config_provider_fields);
        json_object_end(w);
        json_object_end(w);
        json_object_end(w);
    }
    json_array_end(w);
}

static void put_definition(struct weir_out *w, const char *name, const struct field *table, const char *required)
{
    bool is_provider = table == config_provider_fields;
    json_key(w, name);
    json_object_begin(w);
    put_table(w, table, !is_provider);
    if (required) {
        json_key(w, "required");
        json_put_raw(w, weir_cstr(required));
    }
    if (is_provider)
        put_dialects(w);
    json_object_end(w);
}

static void put_document(struct weir_out *w)
{
    json_object_begin(w);
    put_member(w, "$schema", "https://json-schema.org/draft/2020-12/schema");
    put_member(w, "title", "weir");
    put_table(w, config_fields, true);
    json_key(w, "required");
    json_put_raw(w, WEIR_LIT("[\"providers\",\"routes\"]"));
    json_key(w, "$defs");
    json_object_begin(w);
    put_pipeline(w);
    put_definition(w, "provider", config_provider_fields, NULL);
    put_definition(w, "model", config_model_fields, NULL);
    put_definition(w, "key", config_key_fields, "[\"name\",\"hash\"]");
    put_definition(w, "route", config_route_fields, NULL);
    json_object_end(w);
    json_object_end(w);
}

/* One that can't be loaded is missing in the schema; `weir check` says why where it is used. */
void config_open_shipped(const char *folder)
{
    char pattern[4200], why[1024];
    glob_t found = { 0 };
    snprintf(pattern, sizeof pattern, "%s/%s/*.so", config_plugin_dir(), folder);
    if (glob(pattern, 0, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc; i++) {
            const struct plugin *p = plugin_first();
            while (p && strcmp(p->origin, found.gl_pathv[i]) != 0)
                p = p->next;
            if (!p)
                plugin_open(found.gl_pathv[i], 0, why, sizeof why);
        }
    globfree(&found);
}

char *config_schema(void)
{
    struct weir_out out;
    config_open_shipped("providers");
    config_open_shipped("plugins");
    out_init(&out);
    put_document(&out);
    char *text = out_complete(&out) ? strndup(out.p, out.n) : NULL;
    out_free(&out);
    return text;
}
