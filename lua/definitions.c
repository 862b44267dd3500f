/* The definitions that editors read (the Lua language server): all that policies can use, from the tables that make it so. What has no
 * table, because it is built where it is known (an attempt, a result, what a file returns), is described here.
 *
 * `make lua-definitions` writes lua/definitions/weir.lua from it; a test compares.
 */
#include <stdio.h>

#include "engine.h"

#define END { NULL, NULL, NULL, NULL }

static const struct binding policy[] = {
    { "name", NULL, "string?", "In messages and records; else the file's name." },
    { "on_error", NULL, "\"deny\"|\"pass\"|nil", "What happens if this policy itself fails." },
    { "on_request", NULL, "nil|fun(req: Request, cfg: table): Verdict?", "Before a target is chosen." },
    { "on_failure", NULL, "nil|fun(req: Request, attempt: Attempt, cfg: table): Verdict?",
      "A target failed and nothing was sent yet." },
    { "on_finish", NULL, "nil|fun(req: Request, result: Result, cfg: table)", "At the end, whatever happened." },
    END,
};

static const struct binding choice[] = {
    { "[1]", NULL, "string|Candidate", "The target." },
    { "set", NULL, "table?", "Fields that are set for it." },
    { "headers", NULL, "table<string, string>?", "Headers that it is sent." },
    { "timeout", NULL, "{ first_token?: number, total?: number }?", "In seconds." },
    { "beyond", NULL, "boolean?", "Also for keys that may not use it by themselves." },
    { "on_loss", NULL, "\"warn\"|\"refuse\"|\"allow\"|nil", "In place of the route's." },
    { "mirror", NULL, "boolean?", "It does not answer: it gets a copy of the request, and the record says what became of both." },
    { "n_calls", NULL, "boolean?", "Where it gives one choice only, n are made by n calls." },
    END,
};

static const struct binding principal[] = {
    { "name", NULL, "string", "The key's name." },
    { "team", NULL, "string", "Its team." },
    { "tags", NULL, "table<string, string>", "Its tags." },
    END,
};

static const struct binding complexity[] = {
    { "score", NULL, "number", "0 to 1; 0.5 is the middle." },
    { "words", NULL, "integer", "Words." },
    { "sentences", NULL, "integer", "Sentences." },
    { "questions", NULL, "integer", "Questions." },
    { "numbers", NULL, "integer", "Numbers." },
    { "maths", NULL, "integer", "Signs and words of mathematics." },
    { "code", NULL, "integer", "What looks like source code." },
    { "conditions", NULL, "integer", "Words as \"if\"." },
    { "negations", NULL, "integer", "Words as \"not\"." },
    { "quantities", NULL, "integer", "Words as \"each\"." },
    { "turns", NULL, "integer", "Messages." },
    { "tools", NULL, "integer", "Tools." },
    { "images", NULL, "integer", "Images." },
    END,
};

static const struct binding message[] = {
    { "role", NULL, "\"system\"|\"user\"|\"assistant\"|\"tool\"", "Who said it." },
    { "text", NULL, "string", "What was said; may be assigned in on_request if it is one text." },
    { "parts", NULL, "Part[]", "What it is made of." },
    { "name", NULL, "string?", "The speaker's name." },
    END,
};

static const struct binding part[] = {
    { "kind", NULL, "string", "text, image, audio, file, tool_call, tool_result, thinking, refusal or opaque." },
    { "text", NULL, "string?", "Its text." },
    { "name", NULL, "string?", "A tool's or a file's name." },
    { "id", NULL, "string?", "The id of a tool call." },
    { "media_type", NULL, "string?", "As in a content-type." },
    { "url", NULL, "string?", "Where it is." },
    { "file_id", NULL, "string?", "Its id at the provider." },
    { "data_bytes", NULL, "integer?", "Bytes of what it holds." },
    { "parts", NULL, "Part[]?", "What is in it." },
    END,
};

static const struct binding text[] = {
    { "text", NULL, "string", "May be assigned in on_request if it is editable." },
    { "where", NULL, "string", "Where it stands." },
    { "editable", NULL, "boolean", "Can it be changed?" },
    END,
};

static const struct binding tool[] = {
    { "name", NULL, "string?", "Its name." },
    { "description", NULL, "string?", "What it does." },
    { "schema", NULL, "string?", "Its parameters, as JSON." },
    { "raw", NULL, "string?", "As the caller gave it, if it is no function." },
    END,
};

static const struct binding attempt[] = {
    { "class", NULL, "string", "rate_limited, overloaded, timeout, context_length, content_policy …" },
    { "status", NULL, "integer?", "The HTTP status." },
    { "code", NULL, "string?", "weir's code." },
    { "message", NULL, "string?", "The provider's words." },
    { "native", NULL, "string?", "The provider's own code." },
    { "retry_after", NULL, "number?", "Seconds, if the provider said." },
    { "target", NULL, "Candidate?", "Who failed." },
    END,
};

static const struct binding result[] = {
    { "class", NULL, "string", "none if it went well." },
    { "status", NULL, "integer?", "The HTTP status." },
    { "code", NULL, "string?", "The code of the error." },
    { "message", NULL, "string?", "Its words." },
    { "native", NULL, "string?", "The provider's own code." },
    { "retry_after", NULL, "number?", "Seconds." },
    { "seconds", NULL, "number", "How long it took." },
    { "usage", NULL, "Usage?", "Tokens." },
    { "record", NULL, "table?", "The request's record, as the log has it." },
    END,
};

static const struct binding usage[] = {
    { "input", NULL, "integer?", "Tokens read." },
    { "output", NULL, "integer?", "Tokens written." },
    { "cached_read", NULL, "integer?", "Of the input, read from the provider's cache." },
    { "cached_write", NULL, "integer?", "Of the input, written to it." },
    { "reasoning", NULL, "integer?", "Of the output, thought." },
    END,
};

static const struct binding date[] = {
    { "year", NULL, "integer", "As 2026." },
    { "month", NULL, "integer", "1 to 12." },
    { "day", NULL, "integer", "1 to 31." },
    { "hour", NULL, "integer", "0 to 23." },
    { "minute", NULL, "integer", "0 to 59." },
    { "second", NULL, "integer", "0 to 59." },
    { "wday", NULL, "integer", "1 is Monday." },
    { "weekday", NULL, "string", "\"mon\" to \"sun\"." },
    { "yday", NULL, "integer", "1 to 366." },
    { "offset", NULL, "integer", "Seconds east of UTC." },
    { "iso", NULL, "string", "All of it, as ISO 8601 has it." },
    END,
};

static const struct binding http_request[] = {
    { "url", NULL, "string?", "Of one of the `hosts`." },
    { "method", NULL, "string?", "GET, or POST with a body." },
    { "headers", NULL, "table<string, string|Secret>?", "What to send." },
    { "body", NULL, "string?", "As it is." },
    { "json", NULL, "any", "A body, as JSON." },
    { "timeout", NULL, "number?", "Seconds (1), at most 30." },
    END,
};

static const struct binding response[] = {
    { "status", NULL, "integer", "The HTTP status." },
    { "body", NULL, "string", "At most `max_body`." },
    { "headers", NULL, "table<string, string>", "Names in small letters." },
    { "json", NULL, "any", "The body decoded; nil if it isn't JSON." },
    END,
};

#define CLASS(name, list, text) { name, false, text, list, 0 }
#define LIBRARY(name, list, text) { name, true, text, list, 0 }

static const struct binding_group groups[] = {
    CLASS("Policy", policy, "What the file of a policy returns; all is optional."),
    CLASS("Choice", choice, "A target with changes that hold for it only."),
    CLASS("Request", request_bindings, "The request; over when the hook ends."),
    { "Request", false, NULL, request_getters, sizeof(*request_getters) },
    CLASS("Request", field_bindings, NULL),
    CLASS("Candidates", candidates_bindings, "A list of targets; methods give new lists."),
    { "Candidate", false, "A target that may answer.", candidate_fields, sizeof(*candidate_fields) },
    CLASS("Principal", principal, "Who asks."),
    CLASS("Message", message, "One message."),
    CLASS("Part", part, "A part of a message."),
    CLASS("Text", text, "A string that a model would read."),
    CLASS("Tool", tool, "A tool that the model may call."),
    CLASS("Complexity", complexity, "How hard the last message of the user looks, and the counts it is made of."),
    CLASS("Attempt", attempt, "What went wrong."),
    CLASS("Result", result, "What became of the request."),
    CLASS("Usage", usage, "What isn't known is nil."),
    CLASS("Date", date, "A date and time of day."),
    CLASS("HttpRequest", http_request, "What to ask for."),
    CLASS("Response", response, "An answer."),
    LIBRARY("json", json_bindings, "JSON."),
    LIBRARY("hash", hash_bindings, "Hashes."),
    LIBRARY("base64", base64_bindings, "Base64."),
    LIBRARY("re", re_bindings, "Regular expressions in time linear in the text."),
    LIBRARY("clock", clock_bindings, "Time."),
    LIBRARY("shared", shared_bindings, "One bounded table for all workers."),
    LIBRARY("http", http_bindings, "Requests to the `hosts` of the policy."),
    CLASS("", base_bindings, NULL),
};

const struct binding *binding_at(const struct binding_group *g, size_t i)
{
    size_t stride = g->stride ? g->stride : sizeof(struct binding);
    const struct binding *b = (const void *)((const char *)g->list + i * stride);
    return b->name ? b : NULL;
}

/* Some fields of a request are there twice: as it arrived, and as the caller set it. */
static bool is_told_before(const struct binding_group *g, const char *name)
{
    for (const struct getter *other = request_getters; g->list == field_bindings && other->binding.name; other++)
        if (strcmp(other->binding.name, name) == 0)
            return true;
    return false;
}

static void write_fields(FILE *out, const struct binding_group *g)
{
    if (g->text)
        fprintf(out, "\n---%s\n---@class %s%s\n", g->text, g->is_library ? "weir." : "", g->name);
    for (size_t i = 0; binding_at(g, i); i++) {
        const struct binding *b = binding_at(g, i);
        if (!is_told_before(g, b->name))
            fprintf(out, "---@field %s %s %s\n", b->name, b->type, b->text);
    }
    if (g->is_library)
        fprintf(out, "%s = {}\n", g->name);
}

static void write_globals(FILE *out, const struct binding_group *g)
{
    for (size_t i = 0; binding_at(g, i); i++) {
        const struct binding *b = binding_at(g, i);
        fprintf(out, "\n---%s\n---@type %s\n%s = nil\n", b->text, b->type, b->name);
    }
}

/* Where a rule may name what a candidate must be: any of its fields, or several values of it. */
static void write_spec(FILE *out)
{
    fprintf(out, "\n---What candidates must be, as in list:where{ region = \"eu\" }.\n---@class Fields\n");
    for (const struct candidate_field *f = candidate_fields; f->binding.name; f++) {
        if (f->string)
            fprintf(out, "---@field %s string|string[]|nil\n", f->binding.name);
        else if (f->number)
            fprintf(out, "---@field %s number|number[]|nil\n", f->binding.name);
    }
    fprintf(out, "---@field tags string|string[]|nil\n---@field capabilities string|string[]|table<string, boolean>|nil\n"
                 "---@field healthy boolean?\n");
}

int definitions_write(FILE *out)
{
    fprintf(out, "---@meta\n-- What policies can use, for editors. Made by `make lua-definitions` from the tables in lua/*.c: edit "
                 "those.\n\n"
                 "---@alias Verdict Candidates|Denial|Answer|(string|Candidate|Choice)[]|\"next\"|\"retry\"\n\n"
                 "---@class Denial\n\n---@class Answer\n\n---@class Secret\n---@operator concat(string): Secret\n");
    for (size_t i = 0; i < sizeof(groups) / sizeof(*groups); i++) {
        if (groups[i].name[0])
            write_fields(out, &groups[i]);
        else
            write_globals(out, &groups[i]);
    }
    write_spec(out);
    return ferror(out) ? -1 : 0;
}
