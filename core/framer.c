/* The framer. SSE is cut at blank lines with CR, LF and CRLF all ending lines; a CR at the end of a read ends its line at
 * once (waiting for a possible LF would delay an event by a network round trip), and an LF that follows belongs to the
 * next frame. Whole frames inside one read are handed out where they lie; only what is left over is copied.
 */
#include "framer.h"

#include <string.h>

#include "aws_frame.h"
#include "scratch.h"

void framer_init(struct framer *f, enum weir_framing framing)
{
    memset(f, 0, sizeof(*f));
    f->framing = framing;
}

void framer_cut_by(struct framer *f, framer_split_fn split, void *arg)
{
    f->split = split;
    f->split_arg = arg;
}

void framer_free(struct framer *f)
{
    out_free(&f->left);
}

/* ---- lines ---- */

struct line {
    const char *p;
    size_t n; /* without its end */
    size_t next; /* offset of what follows */
};

/* The line at `at`; false: it has no end yet. */
static bool line_at(struct weir_str s, size_t at, struct line *line)
{
    const char *from = s.p + at;
    size_t n = s.n - at;
    const char *lf = n ? memchr(from, '\n', n) : NULL;
    size_t reach = lf ? (size_t)(lf - from) : n;
    const char *cr = reach ? memchr(from, '\r', reach) : NULL;
    if (!cr && !lf)
        return false;
    const char *end = cr ? cr : lf;
    line->p = from;
    line->n = (size_t)(end - from);
    line->next = at + line->n + 1;
    if (cr && cr + 1 < s.p + s.n && cr[1] == '\n')
        line->next++;
    return true;
}

static struct weir_str field_value(const struct line *line, size_t name)
{
    struct weir_str v = { line->p + name, line->n - name };
    if (v.n && *v.p == ':')
        v.p++, v.n--;
    if (v.n && *v.p == ' ')
        v.p++, v.n--;
    return v;
}

static bool line_names(const struct line *line, const char *name, size_t n)
{
    return line->n >= n && memcmp(line->p, name, n) == 0 && (line->n == n || line->p[n] == ':');
}

/* Joins a further data line behind the first ones, in the call's scratch. */
static struct weir_str join_data(struct weir_str before, struct weir_str more)
{
    char *p = arena_alloc(scratch_arena(), before.n + more.n + 1);
    if (!p)
        return before;
    memcpy(p, before.p, before.n);
    p[before.n] = '\n';
    memcpy(p + before.n + 1, more.p, more.n);
    return (struct weir_str){ p, before.n + 1 + more.n };
}

static void sse_fields(struct weir_frame *frame)
{
    struct line line;
    size_t at = 0;
    bool has_data = false;
    if (frame->bytes.n >= 3 && memcmp(frame->bytes.p, "\xEF\xBB\xBF", 3) == 0)
        at = 3;
    while (at < frame->bytes.n) {
        if (!line_at(frame->bytes, at, &line))
            line = (struct line){ frame->bytes.p + at, frame->bytes.n - at, frame->bytes.n };
        if (line_names(&line, "data", 4)) {
            struct weir_str v = field_value(&line, 4);
            frame->data = has_data ? join_data(frame->data, v) : v;
            has_data = true;
        } else if (line_names(&line, "event", 5)) {
            frame->name = field_value(&line, 5);
        } else if (line_names(&line, "error", 5) && !has_data) { /* llama.cpp's own field for errors in a stream */
            frame->data = field_value(&line, 5);
            frame->name = WEIR_LIT("error");
            has_data = true;
        }
        at = line.next;
    }
}

/* A CR ended the line when it was the last byte there was; the LF that came with the next read is no line of its own. */
static size_t after_split_end(const struct framer *f, struct weir_str s)
{
    bool follows_cr = f->line > 0 && f->line < s.n ? s.p[f->line - 1] == '\r' : f->line == 0 && f->follows_cr;
    return f->line + (follows_cr && f->line < s.n && s.p[f->line] == '\n');
}

/* Length of the first SSE frame of s, 0: not whole yet. `line` remembers where to go on. */
static size_t sse_length(struct framer *f, struct weir_str s)
{
    struct line line;
    f->line = after_split_end(f, s);
    while (line_at(s, f->line, &line)) {
        f->line = line.next;
        if (line.n > 0)
            continue;
        f->follows_cr = line.next == s.n && s.p[s.n - 1] == '\r';
        return line.next;
    }
    return 0;
}

static size_t line_length(struct weir_str s, size_t *scanned)
{
    const char *lf = s.n > *scanned ? memchr(s.p + *scanned, '\n', s.n - *scanned) : NULL;
    *scanned = s.n;
    return lf ? (size_t)(lf - s.p) + 1 : 0;
}

static int64_t own_length(const struct framer *f, struct weir_str s)
{
    int64_t n = s.n ? f->split(f->split_arg, s) : 0;
    return n < 0 || (uint64_t)n > s.n ? -1 : n;
}

/* Length of the first frame; 0: more is needed; -1: malformed. */
static int64_t frame_length(struct framer *f, struct weir_str s, size_t limit)
{
    switch (f->framing) {
    case WEIR_FRAMING_SSE:
        return (int64_t)sse_length(f, s);
    case WEIR_FRAMING_NDJSON:
        return (int64_t)line_length(s, &f->scanned);
    case WEIR_FRAMING_AWS:
        return aws_frame_length(s, limit);
    case WEIR_FRAMING_OWN:
        return own_length(f, s);
    default:
        return 0;
    }
}

static struct weir_str without_line_end(struct weir_str s)
{
    while (s.n && (s.p[s.n - 1] == '\n' || s.p[s.n - 1] == '\r'))
        s.n--;
    return s;
}

/* false: it makes no sense. */
static bool fill_frame(const struct framer *f, struct weir_frame *frame, struct weir_str bytes)
{
    memset(frame, 0, sizeof(*frame));
    frame->size = sizeof(*frame);
    frame->framing = f->framing;
    frame->bytes = bytes;
    if (f->framing == WEIR_FRAMING_AWS)
        return aws_frame_fill(frame);
    if (f->framing == WEIR_FRAMING_SSE)
        sse_fields(frame);
    else
        frame->data = f->framing == WEIR_FRAMING_NDJSON ? without_line_end(bytes) : bytes;
    return true;
}

static void start_over(struct framer *f)
{
    f->line = 0;
    f->scanned = 0;
}

/* A frame that lies whole in the bytes that just came. */
static enum framer_result next_in_place(struct framer *f, struct weir_str *in, struct weir_frame *frame, size_t limit)
{
    int64_t n = frame_length(f, *in, limit);
    if (n < 0)
        return FRAMER_MALFORMED;
    if (n > 0) {
        if (!fill_frame(f, frame, (struct weir_str){ in->p, (size_t)n }))
            return FRAMER_MALFORMED;
        in->p += n;
        in->n -= (size_t)n;
        start_over(f);
        return FRAMER_FRAME;
    }
    if (in->n > limit)
        return FRAMER_TOO_LARGE;
    out_write(&f->left, *in);
    *in = WEIR_NONE;
    return FRAMER_MORE;
}

/* A frame that began in an earlier read: takes as much of the new bytes as it needs, found by looking at all of them once. */
static enum framer_result next_joined(struct framer *f, struct weir_str *in, struct weir_frame *frame, size_t limit)
{
    size_t had = f->left.n;
    if (in->n == 0)
        return FRAMER_MORE;
    out_write(&f->left, *in);
    if (f->left.failed)
        return FRAMER_TOO_LARGE;
    int64_t n = frame_length(f, out_bytes(&f->left), limit);
    if (n < 0)
        return FRAMER_MALFORMED;
    if (n == 0) {
        *in = WEIR_NONE;
        return f->left.n > limit ? FRAMER_TOO_LARGE : FRAMER_MORE;
    }
    size_t used = (size_t)n > had ? (size_t)n - had : 0;
    f->left.n = (size_t)n;
    in->p += used;
    in->n -= used;
    f->is_handed_out = true;
    start_over(f);
    return fill_frame(f, frame, out_bytes(&f->left)) ? FRAMER_FRAME : FRAMER_MALFORMED;
}

enum framer_result framer_next(struct framer *f, struct weir_str *in, struct weir_frame *frame, size_t limit)
{
    if (f->is_handed_out) {
        out_reset(&f->left, 0);
        f->is_handed_out = false;
    }
    if (in->n == 0)
        return FRAMER_MORE;
    if (f->left.n == 0)
        return next_in_place(f, in, frame, limit);
    return next_joined(f, in, frame, limit);
}

enum framer_result framer_last(struct framer *f, struct weir_frame *frame)
{
    if (f->is_handed_out || f->left.n == 0)
        return FRAMER_MORE;
    f->is_handed_out = true;
    if (f->framing == WEIR_FRAMING_AWS || f->framing == WEIR_FRAMING_OWN) /* what is left of a message is none */
        return FRAMER_MALFORMED;
    fill_frame(f, frame, out_bytes(&f->left));
    return FRAMER_FRAME;
}
