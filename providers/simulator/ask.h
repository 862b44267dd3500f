/* What a request asks, whichever of the four dialects it came in. Spans point into the request's body and path. */
#ifndef SIMULATOR_ASK_H
#define SIMULATOR_ASK_H

#include "span.h"

enum ask_dialect { ASK_OPENAI = 1, ASK_ANTHROPIC, ASK_GEMINI, ASK_RESPONSES };
enum ask_choice { ASK_AUTO = 0, ASK_NONE, ASK_REQUIRED };
enum { ASK_TOOLS_MAX = 128, ASK_STOPS_MAX = 8 };

struct ask_tool {
    struct span name; /* a JSON string */
    struct span schema;
};

struct ask {
    enum ask_dialect dialect;
    struct buf model; /* decoded, with its knobs */
    struct buf question; /* the last text of the user */
    struct buf result; /* the last tool result, if the last message holds one */
    struct buf told; /* knobs from metadata, the user field and `simulate:` lines, in this order */
    bool is_stream, wants_usage, wants_json, wants_thinking;
    bool wants_signature; /* thoughts shall come with what a stateless client sends back */
    enum ask_choice choice;
    struct span named_tool; /* tool_choice names it: a JSON string */
    struct ask_tool tools[ASK_TOOLS_MAX];
    uint32_t n_tools;
    struct span instructions; /* a JSON string */
    struct span schema; /* of structured output */
    struct span stops[ASK_STOPS_MAX];
    uint32_t n_stops;
    int64_t max_tokens; /* 0: not said */
    int64_t n; /* choices */
    int64_t rounds; /* assistant turns with tool calls since the last text of the user */
    size_t input_bytes; /* of the texts */
};

/* body: checked JSON. path: as requested, for Gemini's model name. false: *problem is a sentence. */
bool ask_read(struct ask *a, enum ask_dialect dialect, struct span body, struct span path, struct buf *problem);
void ask_free(struct ask *a);

#endif
