/* What the rooms that read a client's request share. */
#ifndef GEMINI_DECODE_H
#define GEMINI_DECODE_H

#include "gemini.h"

struct reading {
    struct gemini g;
    struct gemini_client *client;
    struct weir_json *r;
    struct weir_str body;
    struct weir_message *first, *last; /* of the conversation */
    struct weir_part *open_calls; /* calls that no result has answered: a list by `parts` */
    uint32_t n_contents, n_calls;
    struct weir_str mime, schema, task, dimensions; /* schema: JSON Schema already */
};

/* A 400 about this field. */
void gemini_fail_at(struct reading *x, struct weir_str param, const char *message);
/* As a JSON string; lifetime: request. */
struct weir_str gemini_quoted(struct gemini *g, struct weir_str plain);
struct gemini_span gemini_span_of(const struct reading *x, struct weir_str s);
void gemini_set_field(struct reading *x, enum weir_field f, struct weir_str json, struct weir_str wire);
/* The next value under this path, as a member that only this dialect has. */
void gemini_read_ext(struct reading *x, struct weir_str path, struct weir_str key);
struct weir_message *gemini_add_message(struct reading *x, enum weir_role role);
/* Behind the bracket or brace that comes next; 0: that can't be told. */
uint32_t gemini_inside_at(const struct reading *x, struct weir_str key, bool *is_empty);
bool gemini_took_null(struct weir_json *r, const struct weir_json_api *j);

void gemini_read_contents(struct reading *x);
void gemini_read_content(struct reading *x, enum weir_role role);
void gemini_read_system(struct reading *x);
void gemini_forget_calls(struct reading *x);
void gemini_settle_turns(struct reading *x);
void gemini_read_tools(struct reading *x);
void gemini_read_tool_config(struct reading *x);
/* An OpenAPI schema as JSON Schema. */
struct weir_str gemini_json_schema(struct gemini *g, struct weir_str openapi);
/* A member of an embedding's request; false: it is none. */
bool gemini_read_embed_member(struct reading *x, struct weir_str key);
void gemini_read_model(struct reading *x);

#endif
