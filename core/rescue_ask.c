/* How a model is asked to finish another's answer.
 *
 * The caller's conversation stays as it is, with its system prompt, tools and schema; behind it comes what was said. Where the
 * dialect goes on from an assistant's last message that is all. Elsewhere, and where a target refused that, a word of the user's
 * asks to repeat the last words and to go on: the repeated words tell where the joint is.
 */
#include "host.h"
#include "rescue.h"
#include "shm_layout.h"

/* The targets that refused to go on from the assistant's own words: a bit each, for as long as this worker lives. */
static uint64_t refusing[TARGETS_MAX / 64];

/* Has this target refused in this request, or in another? */
static bool has_refused(const struct attempt *b)
{
    int id = b->target->figures;
    if (id >= 0 && id < TARGETS_MAX && refusing[id / 64] >> (id % 64) & 1)
        return true;
    for (const struct attempt *a = b->call.request->attempts; a; a = a->next)
        if (a->rescuer && a->rescuer->was_refused && a->target && weir_eq(a->target->view.name, b->target->view.name))
            return true;
    return false;
}

bool rescue_was_refused(struct attempt *b)
{
    bool is_refusal = b->error.error_class == WEIR_ERROR_BAD_REQUEST || b->error.error_class == WEIR_ERROR_UNSUPPORTED;
    if (!b->rescues || b->rescuer->how != ALIGN_PREFILLED || !b->rescuer->n_asked || b->status < 400 || !is_refusal)
        return false;
    b->rescuer->was_refused = true;
    int id = b->target->figures;
    if (id >= 0 && id < TARGETS_MAX)
        refusing[id / 64] |= UINT64_C(1) << (id % 64);
    return true;
}

static bool can_prefill(const struct attempt *b)
{
    return b->codec->plugin->codec.reserved & WEIR_CODEC_GOES_ON && !has_refused(b);
}

static struct weir_str trimmed(struct weir_str s)
{
    while (s.n && strchr(" \n\t\r", s.p[s.n - 1]))
        s.n--;
    return s;
}

static int add_message(struct attempt *b, enum weir_role role, struct weir_str text)
{
    struct conversation *own = attempt_own_messages(b->call.request->conversation, &b->edits, b->arena);
    struct weir_message *m = own ? conversation_message(own, role) : NULL;
    struct weir_part *p = m ? conversation_part(own, &m->parts, WEIR_PART_TEXT) : NULL;
    if (!p)
        return -1;
    p->text = weir_plain(text);
    b->rescuer->n_asked += text.n;
    b->media_is_inlined = true;
    return 0;
}

static struct weir_str words_for_text(struct attempt *b)
{
    struct weir_str last = align_last_words(b->rescuer->sent);
    return arena_printf(b->arena,
                        "Your answer was cut off by a technical fault. Finish it, so that both parts together are one seamless answer: "
                        "begin by repeating exactly its last words, which stand below, and go on directly behind them, in the same "
                        "language and format. No greeting, no comment, no code fence around it.\n\n%.*s",
                        (int)last.n, last.p);
}

static struct weir_str words_for_json(struct attempt *b)
{
    return arena_printf(b->arena, "Your answer was cut off by a technical fault. Give the whole document once more: it begins exactly as "
                                  "what you have written so far. Nothing before it, nothing behind it.");
}

static struct weir_str words_for_calls(struct attempt *b)
{
    const struct transcript *t = b->rescues->transcript;
    struct weir_str words = WEIR_LIT("Your answer was cut off by a technical fault while you were calling tools. Make the same calls once "
                                     "more, in the same order: what you had written of their arguments stays exactly as it is, and "
                                     "what is not complete is completed.\n");
    for (const struct transcript_block *c = t->first; c; c = c->next) {
        struct weir_str text = out_bytes(&c->text);
        if (c->kind == WEIR_BLOCK_TOOL_CALL)
            words = arena_printf(b->arena, "%.*s\n%.*s: %.*s", (int)words.n, words.p, (int)c->name.n, c->name.p, (int)text.n,
                                 text.n ? text.p : "");
    }
    return words;
}

static int ask_in_words(struct attempt *b)
{
    struct weir_str sent = trimmed(b->rescuer->sent);
    struct weir_str words = b->rescuer->what == RESCUE_CALLS  ? words_for_calls(b)
                            : b->rescuer->what == RESCUE_JSON ? words_for_json(b)
                                                              : words_for_text(b);
    b->rescuer->how = ALIGN_ASKED;
    if (!words.p || (sent.n && add_message(b, WEIR_ROLE_ASSISTANT, sent) < 0))
        return -1;
    return add_message(b, WEIR_ROLE_USER, words);
}

static int add_words(struct attempt *b)
{
    struct rescuer *x = b->rescuer;
    bool is_nothing = x->what != RESCUE_CALLS && !trimmed(x->sent).n;
    if (x->what == RESCUE_FROM_TOP || is_nothing)
        return 0;
    if (x->what == RESCUE_CALLS || !can_prefill(b))
        return ask_in_words(b);
    return add_message(b, WEIR_ROLE_ASSISTANT, trimmed(x->sent));
}

int rescue_ask(struct attempt *b)
{
    struct rescuer *x = b->rescuer;
    if (!x)
        return 0;
    if (add_words(b) < 0)
        return -1;
    if (x->what == RESCUE_TEXT)
        align_begin(&x->align, x->sent, x->how);
    return 0;
}
