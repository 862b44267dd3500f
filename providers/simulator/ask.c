/* Reads a request of one of four dialects into one shape. Each object is walked once; what the simulator has no use
 * for is passed over. The ask owns its decoded texts; its spans belong to the connection that received the body. */
#include "ask.h"

#include <stdlib.h>

void ask_free(struct ask *a)
{
    buf_free(&a->model);
    buf_free(&a->question);
    buf_free(&a->result);
    buf_free(&a->told);
}

static void add_tool(struct ask *a, struct span name, struct span schema)
{
    if (a->n_tools < ASK_TOOLS_MAX && span_type(name) == '"')
        a->tools[a->n_tools++] = (struct ask_tool){ name, schema };
}

static void tell(struct ask *a, struct span value)
{
    buf_char(&a->told, ' ');
    span_text(value, &a->told);
}

/* A user id tells knobs only behind "simulate:"; others are ids. */
static void tell_user(struct ask *a, struct span value)
{
    static const char mark[] = "simulate:";
    struct buf text = { 0 };
    span_text(value, &text);
    if (text.n >= sizeof(mark) - 1 && memcmp(text.p, mark, sizeof(mark) - 1) == 0) {
        buf_char(&a->told, ' ');
        buf_add(&a->told, text.p + sizeof(mark) - 1, text.n - (sizeof(mark) - 1));
    }
    buf_free(&text);
}

static void add_stops(struct ask *a, struct span value)
{
    struct span_walk w = span_elements(value);
    struct span stop;
    if (span_type(value) == '"')
        a->stops[a->n_stops++] = value;
    while (a->n_stops < ASK_STOPS_MAX && span_element(&w, &stop))
        if (span_type(stop) == '"')
            a->stops[a->n_stops++] = stop;
}

/* ---- messages ---- */

/* A text of the user begins a new turn; several parts of one message are joined. */
static void add_question(struct ask *a, struct span text, bool is_first)
{
    if (is_first) {
        buf_reset(&a->question);
        a->rounds = 0;
    }
    if (a->question.n)
        buf_char(&a->question, '\n');
    span_text(text, &a->question);
}

static void set_result(struct ask *a, struct span value)
{
    struct span_walk w = span_elements(value);
    struct span part;
    buf_reset(&a->result);
    span_text(value, &a->result);
    while (span_element(&w, &part))
        span_text(span_get(part, "text"), &a->result);
    if (span_type(value) == '{')
        buf_add(&a->result, value.p, value.n);
}

static void count_text(struct ask *a, struct span value)
{
    if (span_type(value) == '"')
        a->input_bytes += value.n - 2;
}

/* One content block of OpenAI (in both of its dialects) or Anthropic. Returns whether it was a text of the user. */
static bool read_block(struct ask *a, struct span block, bool is_user, bool is_first)
{
    struct span type = span_get(block, "type"), text = span_get(block, "text");
    count_text(a, text);
    if (span_says(type, "tool_result"))
        set_result(a, span_get(block, "content"));
    else if (span_says(type, "tool_use"))
        a->rounds++;
    else if (is_user && (span_says(type, "text") || span_says(type, "input_text")))
        return add_question(a, text, is_first), true;
    return false;
}

static void read_content(struct ask *a, struct span content, bool is_user)
{
    bool is_first = true;
    int64_t rounds = a->rounds;
    if (span_type(content) == '"') {
        count_text(a, content);
        if (is_user)
            add_question(a, content, true);
        return;
    }
    struct span_walk w = span_elements(content);
    struct span block;
    while (span_element(&w, &block))
        if (read_block(a, block, is_user, is_first))
            is_first = false;
    if (a->rounds > rounds)
        a->rounds = rounds + 1; /* parallel calls are one round */
}

/* Messages of OpenAI and Anthropic differ in where the calls stand, not in what they mean. */
static void read_message(struct ask *a, struct span message)
{
    struct span role = { 0 }, content = { 0 }, calls = { 0 }, key, value;
    struct span_walk w = span_members(message);
    while (span_member(&w, &key, &value))
        if (span_is(key, "role"))
            role = value;
        else if (span_is(key, "content"))
            content = value;
        else if (span_is(key, "tool_calls"))
            calls = value;
    buf_reset(&a->result);
    read_content(a, content, span_says(role, "user"));
    if (span_says(role, "tool"))
        set_result(a, content);
    if (calls.n > 2)
        a->rounds++;
}

static void read_messages(struct ask *a, struct span messages)
{
    struct span_walk w = span_elements(messages);
    struct span message;
    while (span_element(&w, &message))
        read_message(a, message);
}

/* ---- OpenAI ---- */

static void openai_tools(struct ask *a, struct span tools)
{
    struct span_walk w = span_elements(tools);
    struct span tool;
    while (span_element(&w, &tool)) {
        struct span function = span_get(tool, "function");
        add_tool(a, span_get(function, "name"), span_get(function, "parameters"));
    }
}

static void openai_choice(struct ask *a, struct span choice)
{
    if (span_says(choice, "none"))
        a->choice = ASK_NONE;
    else if (span_says(choice, "required"))
        a->choice = ASK_REQUIRED;
    a->named_tool = span_get(span_get(choice, "function"), "name");
}

static void openai_format(struct ask *a, struct span format)
{
    struct span type = span_get(format, "type");
    a->wants_json = span_says(type, "json_object") || span_says(type, "json_schema");
    a->schema = span_get(span_get(format, "json_schema"), "schema");
}

static void openai_member(struct ask *a, struct span key, struct span value)
{
    if (span_is(key, "model"))
        span_text(value, &a->model);
    else if (span_is(key, "messages"))
        read_messages(a, value);
    else if (span_is(key, "tools"))
        openai_tools(a, value);
    else if (span_is(key, "tool_choice"))
        openai_choice(a, value);
    else if (span_is(key, "response_format"))
        openai_format(a, value);
    else if (span_is(key, "stream"))
        a->is_stream = span_true(value);
    else if (span_is(key, "stream_options"))
        a->wants_usage = span_true(span_get(value, "include_usage"));
    else if (span_is(key, "max_tokens") || span_is(key, "max_completion_tokens"))
        a->max_tokens = span_int(value, 0);
    else if (span_is(key, "n"))
        a->n = span_int(value, 1);
    else if (span_is(key, "stop"))
        add_stops(a, value);
    else if (span_is(key, "metadata"))
        tell(a, span_get(value, "simulate"));
    else if (span_is(key, "user"))
        tell_user(a, value);
}

/* ---- Responses ---- */

/* Calls that stand side by side are one round. */
static void responses_item(struct ask *a, struct span item, bool *was_call)
{
    struct span type = span_get(item, "type");
    bool is_call = span_says(type, "function_call");
    if (span_says(type, "function_call_output")) {
        set_result(a, span_get(item, "output"));
    } else if (span_get(item, "role").p) {
        read_message(a, item);
    } else {
        buf_reset(&a->result);
        a->rounds += is_call && !*was_call;
    }
    *was_call = is_call;
}

static void responses_input(struct ask *a, struct span input)
{
    struct span_walk w = span_elements(input);
    struct span item;
    bool was_call = false;
    if (span_type(input) == '"')
        read_content(a, input, true);
    while (span_element(&w, &item))
        responses_item(a, item, &was_call);
}

static void responses_tools(struct ask *a, struct span tools)
{
    struct span_walk w = span_elements(tools);
    struct span tool;
    while (span_element(&w, &tool))
        if (span_says(span_get(tool, "type"), "function"))
            add_tool(a, span_get(tool, "name"), span_get(tool, "parameters"));
}

static void responses_choice(struct ask *a, struct span choice)
{
    if (span_says(choice, "none"))
        a->choice = ASK_NONE;
    else if (span_says(choice, "required"))
        a->choice = ASK_REQUIRED;
    a->named_tool = span_get(choice, "name");
}

static void responses_format(struct ask *a, struct span format)
{
    struct span type = span_get(format, "type");
    a->wants_json = span_says(type, "json_object") || span_says(type, "json_schema");
    a->schema = span_get(format, "schema");
}

static void responses_include(struct ask *a, struct span include)
{
    struct span_walk w = span_elements(include);
    struct span what;
    while (span_element(&w, &what))
        a->wants_signature |= span_says(what, "reasoning.encrypted_content");
}

static void responses_member(struct ask *a, struct span key, struct span value)
{
    if (span_is(key, "model"))
        span_text(value, &a->model);
    else if (span_is(key, "input"))
        responses_input(a, value);
    else if (span_is(key, "instructions"))
        count_text(a, a->instructions = value);
    else if (span_is(key, "tools"))
        responses_tools(a, value);
    else if (span_is(key, "tool_choice"))
        responses_choice(a, value);
    else if (span_is(key, "text"))
        responses_format(a, span_get(value, "format"));
    else if (span_is(key, "reasoning"))
        a->wants_thinking = span_type(span_get(value, "summary")) == '"';
    else if (span_is(key, "include"))
        responses_include(a, value);
    else if (span_is(key, "stream"))
        a->is_stream = span_true(value);
    else if (span_is(key, "max_output_tokens"))
        a->max_tokens = span_int(value, 0);
    else if (span_is(key, "metadata"))
        tell(a, span_get(value, "simulate"));
    else if (span_is(key, "user"))
        tell_user(a, value);
}

/* ---- Anthropic ---- */

static void anthropic_tools(struct ask *a, struct span tools)
{
    struct span_walk w = span_elements(tools);
    struct span tool;
    while (span_element(&w, &tool))
        add_tool(a, span_get(tool, "name"), span_get(tool, "input_schema"));
}

static void anthropic_choice(struct ask *a, struct span choice)
{
    struct span type = span_get(choice, "type");
    if (span_says(type, "none"))
        a->choice = ASK_NONE;
    else if (span_says(type, "any"))
        a->choice = ASK_REQUIRED;
    else if (span_says(type, "tool"))
        a->named_tool = span_get(choice, "name");
}

static void anthropic_member(struct ask *a, struct span key, struct span value)
{
    if (span_is(key, "model"))
        span_text(value, &a->model);
    else if (span_is(key, "messages"))
        read_messages(a, value);
    else if (span_is(key, "system"))
        count_text(a, value);
    else if (span_is(key, "tools"))
        anthropic_tools(a, value);
    else if (span_is(key, "tool_choice"))
        anthropic_choice(a, value);
    else if (span_is(key, "output_config"))
        a->schema = span_get(span_get(value, "format"), "schema");
    else if (span_is(key, "thinking"))
        a->wants_thinking =
            span_says(span_get(value, "type"), "enabled") || span_says(span_get(value, "type"), "adaptive");
    else if (span_is(key, "stream"))
        a->is_stream = span_true(value);
    else if (span_is(key, "max_tokens"))
        a->max_tokens = span_int(value, 0);
    else if (span_is(key, "stop_sequences"))
        add_stops(a, value);
    else if (span_is(key, "metadata"))
        tell_user(a, span_get(value, "user_id"));
}

/* ---- Gemini ---- */

static void gemini_part(struct ask *a, struct span part, bool is_user, bool *is_first)
{
    struct span text = span_get(part, "text"), response = span_get(part, "functionResponse");
    count_text(a, text);
    if (response.p) {
        set_result(a, span_get(response, "response"));
    } else if (is_user && text.p) {
        add_question(a, text, *is_first);
        *is_first = false;
    }
}

static void gemini_content(struct ask *a, struct span content)
{
    struct span role = span_get(content, "role"), part;
    struct span_walk w = span_elements(span_get(content, "parts"));
    bool is_user = !span_says(role, "model"), is_first = true, has_call = false;
    buf_reset(&a->result);
    while (span_element(&w, &part)) {
        gemini_part(a, part, is_user, &is_first);
        has_call |= span_get(part, "functionCall").p != NULL;
    }
    a->rounds += has_call;
}

/* Google reads both spellings, and its own SDK mixes them. */
static struct span json_schema_of(struct span object, const char *camel, const char *snake, const char *openapi)
{
    struct span schema = span_get(object, camel);
    if (!schema.p)
        schema = span_get(object, snake);
    return schema.p ? schema : span_get(object, openapi);
}

static void gemini_tools(struct ask *a, struct span tools)
{
    struct span_walk w = span_elements(tools);
    struct span tool, declaration;
    while (span_element(&w, &tool)) {
        struct span_walk inner = span_elements(span_get(tool, "functionDeclarations"));
        while (span_element(&inner, &declaration)) {
            add_tool(a, span_get(declaration, "name"),
                     json_schema_of(declaration, "parametersJsonSchema", "parameters_json_schema", "parameters"));
        }
    }
}

static void gemini_choice(struct ask *a, struct span config)
{
    struct span mode = span_get(config, "mode");
    struct span_walk w = span_elements(span_get(config, "allowedFunctionNames"));
    if (span_says(mode, "NONE"))
        a->choice = ASK_NONE;
    else if (span_says(mode, "ANY") && !span_element(&w, &a->named_tool))
        a->choice = ASK_REQUIRED;
}

static void gemini_generation(struct ask *a, struct span config)
{
    a->schema = json_schema_of(config, "responseJsonSchema", "response_json_schema", "responseSchema");
    a->wants_json = span_says(span_get(config, "responseMimeType"), "application/json");
    a->max_tokens = span_int(span_get(config, "maxOutputTokens"), 0);
    a->n = span_int(span_get(config, "candidateCount"), 1);
    a->wants_thinking = span_true(span_get(span_get(config, "thinkingConfig"), "includeThoughts"));
    add_stops(a, span_get(config, "stopSequences"));
}

static void gemini_member(struct ask *a, struct span key, struct span value)
{
    struct span_walk w = span_elements(value);
    struct span content;
    if (span_is(key, "contents"))
        while (span_element(&w, &content))
            gemini_content(a, content);
    else if (span_is(key, "tools"))
        gemini_tools(a, value);
    else if (span_is(key, "toolConfig"))
        gemini_choice(a, span_get(value, "functionCallingConfig"));
    else if (span_is(key, "generationConfig"))
        gemini_generation(a, value);
}

static int hex_value(char c)
{
    const char *digits = "0123456789abcdef0123456789ABCDEF", *at = c ? strchr(digits, c) : NULL;
    return at ? (int)((at - digits) % 16) : -1;
}

/* …/models/NAME:streamGenerateContent */
static void gemini_path(struct ask *a, struct span path)
{
    size_t end = path.n, from;
    while (end > 0 && path.p[end - 1] != ':')
        end--;
    a->is_stream = end < path.n && path.p[end] == 's';
    end = end ? end - 1 : 0;
    for (from = end; from > 0 && path.p[from - 1] != '/'; from--)
        ;
    for (size_t i = from; i < end; i++) {
        int high = path.p[i] == '%' && end - i > 2 ? hex_value(path.p[i + 1]) : -1;
        int low = high >= 0 ? hex_value(path.p[i + 2]) : -1;
        buf_char(&a->model, low >= 0 ? (char)(high << 4 | low) : path.p[i]);
        i += low >= 0 ? 2 : 0;
    }
}

/* ---- all ---- */

/* A line `simulate: …` of the question; it stays part of the question, as a model would see it. */
static void tell_lines(struct ask *a)
{
    static const char mark[] = "simulate:";
    const char *p = a->question.n ? a->question.p : "", *end = p + a->question.n;
    while (p < end) {
        const char *line_end = memchr(p, '\n', (size_t)(end - p));
        line_end = line_end ? line_end : end;
        if ((size_t)(line_end - p) >= sizeof(mark) - 1 && memcmp(p, mark, sizeof(mark) - 1) == 0) {
            buf_char(&a->told, ' ');
            buf_add(&a->told, p + sizeof(mark) - 1, (size_t)(line_end - p) - (sizeof(mark) - 1));
        }
        p = line_end + 1;
    }
}

bool ask_read(struct ask *a, enum ask_dialect dialect, struct span body, struct span path, struct buf *problem)
{
    struct span key, value;
    struct span_walk w = span_members(body);
    a->dialect = dialect;
    a->n = 1;
    if (dialect == ASK_GEMINI)
        gemini_path(a, path);
    while (span_member(&w, &key, &value))
        if (dialect == ASK_OPENAI)
            openai_member(a, key, value);
        else if (dialect == ASK_ANTHROPIC)
            anthropic_member(a, key, value);
        else if (dialect == ASK_RESPONSES)
            responses_member(a, key, value);
        else
            gemini_member(a, key, value);
    tell_lines(a);
    a->wants_json |= a->schema.p != NULL;
    if (a->model.n == 0)
        buf_str(problem, "The request names no model: add the field 'model'.");
    return problem->n == 0;
}
