/* A stream without alt=sse is one growing JSON array: this cuts it into its elements as they come, each with what stands before it,
 * and into its end. A document that is no array is one piece. What was looked through is not looked through again. */
#include "gemini.h"

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* Inside a string; true: the byte was of it. */
static bool pass_string(struct gemini_scan *s, char c)
{
    if (!s->in_string)
        return false;
    if (s->is_escaped)
        s->is_escaped = false;
    else if (c == '\\')
        s->is_escaped = true;
    else if (c == '"')
        s->in_string = false;
    return true;
}

/* Between elements. 1: the array is over; 0: go on; -1: it makes no sense. */
static int pass_between(struct gemini_scan *s, char c)
{
    if (is_space(c) || (c == ',' && s->in_array))
        return 0;
    if (s->is_over || (c != '{' && c != '[' && c != ']'))
        return -1;
    if (c == '{') {
        s->depth = 1;
        return 0;
    }
    if ((c == '[') == s->in_array)
        return -1;
    s->in_array = c == '[';
    s->is_over = c == ']';
    return s->is_over;
}

/* Inside an element; true: it ends with this byte. */
static bool pass_inside(struct gemini_scan *s, char c)
{
    if (c == '"')
        s->in_string = true;
    else if (c == '{' || c == '[')
        s->depth++;
    else if (c == '}' || c == ']')
        s->depth--;
    if (s->depth)
        return false;
    s->is_over = !s->in_array;
    return true;
}

int64_t gemini_split(void *self, struct weir_call *call, void *state, struct weir_str bytes)
{
    struct gemini_scan *s = &((struct gemini_attempt *)state)->scan;
    (void)self, (void)call;
    for (size_t i = s->at; i < bytes.n; i++) {
        char c = bytes.p[i];
        if (pass_string(s, c))
            continue;
        int rc = s->depth ? pass_inside(s, c) : pass_between(s, c);
        if (rc < 0)
            return -1;
        if (rc) {
            s->at = 0;
            for (i++; s->is_over && i < bytes.n && is_space(bytes.p[i]);)
                i++;
            return (int64_t)i;
        }
    }
    s->at = s->is_over && !s->depth ? 0 : bytes.n;
    return s->at ? 0 : (int64_t)bytes.n; /* line ends behind it all */
}
