/* The estimate of input tokens: counts made in one pass over the texts, with a rate per kind of script. Always an estimate.
 *
 * The rates are rules of thumb for the tokenizers of the large providers; they have not been fitted to recorded usage yet.
 */
#include "conversation.h"

struct tally {
    uint64_t letters, digits, symbols, spaces, other2, wide, images;
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

static void tally_part(struct tally *t, const struct weir_part *p, uint64_t *framing)
{
    tally_bytes(t, p->text.p, p->text.n);
    tally_bytes(t, p->name.p, p->name.n);
    if (p->kind == WEIR_PART_IMAGE)
        t->images++;
    if (p->kind == WEIR_PART_TOOL_CALL || p->kind == WEIR_PART_TOOL_RESULT)
        *framing += 8;
    if (p->kind == WEIR_PART_FILE)
        *framing += p->data.n / 40;
    for (const struct weir_part *child = p->parts; child; child = child->next)
        tally_part(t, child, framing);
}

int64_t conversation_estimate(const struct conversation *c)
{
    struct tally t = { 0 }, schema = { 0 };
    uint64_t framing = 3;
    for (const struct weir_message *m = c->view.messages; m; m = m->next) {
        framing += 4;
        for (const struct weir_part *p = m->parts; p; p = p->next)
            tally_part(&t, p, &framing);
    }
    for (const struct weir_tool *tool = c->view.tools; tool; tool = tool->next) {
        framing += 12;
        tally_bytes(&t, tool->description.p, tool->description.n);
        tally_bytes(&schema, tool->schema.p, tool->schema.n);
        tally_bytes(&schema, tool->raw.p, tool->raw.n);
    }
    struct weir_str format = weir_field(&c->view, WEIR_FIELD_RESPONSE_FORMAT);
    tally_bytes(&schema, format.p, format.n);
    double text = (double)t.letters / 4.6 + (double)t.digits / 2.2 + (double)t.symbols / 1.6 + (double)t.spaces / 14 +
                  (double)t.other2 / 1.5 + (double)t.wide / 1.1;
    double tools = (double)schema.letters / 6.5 + (double)schema.digits / 2.5 + (double)schema.symbols / 6;
    return (int64_t)(text + tools) + (int64_t)framing + (int64_t)t.images * 700;
}
