/* The estimate of input tokens: counts made in one pass over the texts, with a rate per kind of character, and what the dialect
 * adds for messages, tools and images. Always an estimate.
 *
 * The rates for texts stand here: they were fitted, with those of each dialect, on the recorded usage of 500 requests, and kept
 * near what tokenizers do with long prose, because recorded prompts are short. Five-fold cross-validated, the median error is
 * 14 % for OpenAI's chat and 9 % for Anthropic's messages; bytes / 4 is off by 40 and 77 %. Gemini counts by model and by place:
 * providers/gemini/README.md. tests/unit/test_estimate.c measures it.
 */
#include "conversation.h"

static const struct weir_token_rates middle = { 3, 3, 10, 5, 10, 257, 20, 0, 1, 0, 0 };

struct tally {
    uint64_t letters, digits, symbols, spaces, other2, wide, images, tool_uses, signatures;
};

static void tally_bytes(struct tally *t, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i];
        unsigned char low = c | 0x20;
        if (low >= 'a' && low <= 'z')
            t->letters++;
        else if (c >= '0' && c <= '9')
            t->digits++;
        else if (c == ' ' || c == '\n' || c == '\t' || c == '\r')
            t->spaces++;
        else if (c < 0x80)
            t->symbols++;
        else if (c >= 0xE0)
            t->wide++; /* begins a character of three or four bytes */
        else if (c >= 0xC0)
            t->other2++;
    }
}

static void tally_part(struct tally *t, const struct weir_part *p)
{
    tally_bytes(t, p->text.p, p->text.n);
    tally_bytes(t, p->name.p, p->name.n);
    t->signatures += p->signature.n;
    if (p->kind == WEIR_PART_IMAGE)
        t->images++;
    if (p->kind == WEIR_PART_TOOL_CALL || p->kind == WEIR_PART_TOOL_RESULT)
        t->tool_uses++;
    if (p->kind == WEIR_PART_FILE)
        t->letters += p->data.n / 10; /* base64 of a document: some of it is text */
    for (const struct weir_part *child = p->parts; child; child = child->next)
        tally_part(t, child);
}

static double tokens_of_text(const struct tally *t)
{
    return (double)t->letters * 0.222 + (double)t->digits * 0.456 + (double)t->symbols * 0.62 +
           (double)t->spaces * 0.071 + (double)t->other2 * 0.667 + (double)t->wide * 0.909;
}

static double tokens_of_schema(const struct tally *t)
{
    return (double)t->letters * 0.153 + (double)t->digits * 0.4 + (double)t->symbols * 0.166 +
           (double)t->spaces * 0.02 + (double)t->other2 * 0.3 + (double)t->wide * 0.5;
}

/* Words of the user, and not only results for the model. */
static bool begins_turn(const struct weir_message *m)
{
    const struct weir_part *p = m->role == WEIR_ROLE_USER ? m->parts : NULL;
    while (p && p->kind != WEIR_PART_TEXT)
        p = p->next;
    return p != NULL;
}

int64_t conversation_estimate(const struct conversation *c, const struct weir_token_rates *rates)
{
    const struct weir_token_rates *rate = rates ? rates : &middle;
    struct tally text = { 0 }, schema = { 0 }, answer = { 0 };
    double framing = rate->request + rate->message * (double)c->view.n_messages;
    for (const struct weir_message *m = c->view.messages; m; m = m->next) {
        if (begins_turn(m))
            text.signatures = 0; /* those of earlier turns are not read any more */
        for (const struct weir_part *p = m->parts; p; p = p->next)
            tally_part(&text, p);
    }
    for (const struct weir_tool *tool = c->view.tools; tool; tool = tool->next) {
        framing += rate->tool + (tool == c->view.tools ? rate->tools : 0);
        tally_bytes(&text, tool->name.p, tool->name.n);
        tally_bytes(&text, tool->description.p, tool->description.n);
        tally_bytes(&schema, tool->schema.p, tool->schema.n);
        tally_bytes(&schema, tool->schema.n ? NULL : tool->raw.p, tool->schema.n ? 0 : tool->raw.n);
    }
    struct weir_str format = weir_field(&c->view, WEIR_FIELD_RESPONSE_FORMAT);
    if (format.n && format.p[0] == '{') {
        framing += rate->schema;
        tally_bytes(&answer, format.p, rate->flags & WEIR_TOKENS_NO_FORMAT ? 0 : format.n);
    }
    framing += tokens_of_schema(&schema) * (rate->schemas > 0 ? rate->schemas : 1) + tokens_of_schema(&answer);
    framing += rate->tool_use * (double)text.tool_uses + rate->image * (double)text.images;
    framing += rate->signature * (double)text.signatures;
    return (int64_t)(tokens_of_text(&text) + framing + 0.5);
}
