/* The compiler of regular expressions: pattern -> tree -> program for the machine in regex_run.c.
 *
 * All sizes are bounded, also what counted repetition multiplies, so that the cost per character of the subject is.
 * Owner: the caller's memory; nothing is allocated here.
 */
#include "regex_build.h"

#include <string.h>

size_t regex_build_size(void)
{
    return sizeof(struct regex_build);
}

int regex_fail(struct regex_build *b, const char *error)
{
    if (!b->error)
        b->error = error;
    return -1;
}

static int new_node(struct regex_build *b, enum node_type type)
{
    if (b->n_nodes == REGEX_NODES)
        return regex_fail(b, "the pattern is too long");
    b->nodes[b->n_nodes] = (struct node){ .type = (uint8_t)type, .a = -1, .b = -1 };
    return b->n_nodes++;
}

static int new_pair(struct regex_build *b, enum node_type type, int left, int right)
{
    int n = left < 0 || right < 0 ? -1 : new_node(b, type);
    if (n < 0)
        return -1;
    b->nodes[n].a = (int16_t)left;
    b->nodes[n].b = (int16_t)right;
    return n;
}

/* ---- characters -------------------------------------------------------------------------------------------------- */

uint32_t regex_decode(const unsigned char *p, const unsigned char *end, int *length)
{
    *length = 1;
    if (*p < 0x80)
        return *p;
    int n = *p >= 0xC2 && *p < 0xE0 ? 2 : *p >= 0xE0 && *p < 0xF0 ? 3 : *p >= 0xF0 && *p < 0xF5 ? 4 : 0;
    if (n == 0 || end - p < n)
        return 0x110000u + *p;
    uint32_t cp = *p & (0x7Fu >> n);
    for (int i = 1; i < n; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0x110000u + *p;
        cp = cp << 6 | (p[i] & 0x3Fu);
    }
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    if (cp < least[n] || cp > 0x10FFFF || (cp >= 0xD800 && cp < 0xE000))
        return 0x110000u + *p;
    *length = n;
    return cp;
}

static uint32_t take_char(struct regex_build *b)
{
    int n;
    uint32_t cp = regex_decode((const unsigned char *)b->p, (const unsigned char *)b->end, &n);
    b->p += n;
    return cp;
}

static bool at(const struct regex_build *b, char c)
{
    return b->p < b->end && *b->p == c;
}

static bool take(struct regex_build *b, char c)
{
    if (!at(b, c))
        return false;
    b->p++;
    return true;
}

static bool is_letter(uint32_t cp)
{
    return (cp | 32) >= 'a' && (cp | 32) <= 'z' && cp < 128;
}

/* ---- classes ----------------------------------------------------------------------------------------------------- */

static int new_class(struct regex_build *b)
{
    if (b->n_classes == REGEX_CLASSES)
        return regex_fail(b, "too many character classes");
    b->classes[b->n_classes] = (struct regex_class){ .first_range = (uint16_t)b->n_ranges };
    return b->n_classes++;
}

static void set_ascii(struct regex_class *c, uint32_t low, uint32_t high)
{
    for (uint32_t u = low; u <= high && u < 128; u++)
        c->ascii[u >> 6] |= UINT64_C(1) << (u & 63);
}

static void add_range(struct regex_build *b, struct regex_class *c, uint32_t low, uint32_t high)
{
    set_ascii(c, low, high);
    if (high < 128)
        return;
    if (b->n_ranges == REGEX_RANGES) {
        regex_fail(b, "too many ranges in character classes");
        return;
    }
    b->ranges[b->n_ranges][0] = low < 128 ? 128 : low;
    b->ranges[b->n_ranges][1] = high;
    b->n_ranges++;
    c->n_ranges++;
}

/* \d \w \s and their opposites; ASCII only, so the opposites contain all other characters. */
static bool add_shorthand(struct regex_build *b, struct regex_class *c, char kind)
{
    struct regex_class of = { .n_ranges = 0 };
    switch (kind | 32) {
    case 'd':
        set_ascii(&of, '0', '9');
        break;
    case 'w':
        set_ascii(&of, 'a', 'z');
        set_ascii(&of, 'A', 'Z');
        set_ascii(&of, '0', '9');
        set_ascii(&of, '_', '_');
        break;
    case 's':
        set_ascii(&of, '\t', '\r');
        set_ascii(&of, ' ', ' ');
        break;
    default:
        return false;
    }
    bool is_opposite = !(kind & 32);
    for (int i = 0; i < 2; i++)
        c->ascii[i] |= is_opposite ? ~of.ascii[i] : of.ascii[i];
    if (is_opposite)
        add_range(b, c, 128, 0x1100FF);
    return true;
}

static bool add_named(struct regex_class *c, const char *name, size_t n)
{
    static const struct { const char *name; const char *ranges; } named[] = {
        { "alpha", "azAZ" }, { "digit", "09" }, { "alnum", "azAZ09" }, { "upper", "AZ" }, { "lower", "az" },
        { "space", "\t\r  " }, { "punct", "!/:@[`{~" }, { "xdigit", "09afAF" }, { "word", "azAZ09__" },
    };
    for (size_t i = 0; i < sizeof(named) / sizeof(*named); i++) {
        if (strlen(named[i].name) != n || memcmp(named[i].name, name, n) != 0)
            continue;
        for (const char *r = named[i].ranges; *r; r += 2)
            set_ascii(c, (uint32_t)r[0], (uint32_t)r[1]);
        return true;
    }
    return false;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

static int32_t take_hex(struct regex_build *b)
{
    bool is_long = take(b, '{');
    int32_t cp = 0;
    int n = 0;
    while (b->p < b->end && n < (is_long ? 6 : 2) && hex_digit(*b->p) >= 0) {
        cp = cp * 16 + hex_digit(*b->p++);
        n++;
    }
    if ((is_long && !take(b, '}')) || n == 0 || (!is_long && n != 2) || cp > 0x10FFFF)
        return regex_fail(b, "\\x wants two hexadecimal digits, or more in braces");
    return cp;
}

/* Behind a backslash: a character that stands for itself or for a control character. -1: failed. */
static int32_t take_escape(struct regex_build *b)
{
    static const char from[] = "ntrfv0a", into[] = "\n\t\r\f\v\0\a";
    if (b->p == b->end)
        return regex_fail(b, "the pattern ends with a backslash");
    const char *special = strchr(from, *b->p);
    if (special && *special) {
        b->p++;
        return into[special - from];
    }
    if (take(b, 'x'))
        return take_hex(b);
    if (*b->p >= '1' && *b->p <= '9')
        return regex_fail(b, "back-references are not supported (time would not be linear)");
    if (is_letter((unsigned char)*b->p))
        return regex_fail(b, "unknown escape");
    return (int32_t)take_char(b);
}

/* [:alpha:] behind the '['. */
static bool take_named(struct regex_build *b, struct regex_class *c)
{
    if (b->end - b->p < 2 || b->p[0] != '[' || b->p[1] != ':')
        return false;
    const char *name = b->p + 2, *end = name;
    while (end < b->end && *end != ':')
        end++;
    if (b->end - end < 2 || end[1] != ']' || !add_named(c, name, (size_t)(end - name)))
        return false;
    b->p = end + 2;
    return true;
}

static void fold_class(struct regex_class *c)
{
    for (uint32_t u = 'a'; u <= 'z'; u++) {
        bool has = (c->ascii[u >> 6] >> (u & 63) & 1) || (c->ascii[(u - 32) >> 6] >> ((u - 32) & 63) & 1);
        if (has) {
            set_ascii(c, u, u);
            set_ascii(c, u - 32, u - 32);
        }
    }
}

/* One character of a class, as the end of a range. -1: failed, or a shorthand was added. */
static int32_t take_class_char(struct regex_build *b, struct regex_class *c, bool *is_shorthand)
{
    *is_shorthand = false;
    if (!take(b, '\\'))
        return (int32_t)take_char(b);
    if (b->p < b->end && add_shorthand(b, c, *b->p)) {
        b->p++;
        *is_shorthand = true;
        return -1;
    }
    return take_escape(b);
}

static int take_class_item(struct regex_build *b, struct regex_class *c)
{
    bool is_shorthand;
    if (take_named(b, c))
        return 0;
    int32_t low = take_class_char(b, c, &is_shorthand), high = low;
    if (is_shorthand)
        return 0;
    if (low < 0)
        return -1;
    if (at(b, '-') && b->p + 1 < b->end && b->p[1] != ']') {
        b->p++;
        high = take_class_char(b, c, &is_shorthand);
        if (is_shorthand || high < low)
            return regex_fail(b, "a range of a character class goes backwards");
    }
    add_range(b, c, (uint32_t)low, (uint32_t)high);
    return 0;
}

static int parse_class(struct regex_build *b)
{
    int index = new_class(b), node = new_node(b, N_CLASS);
    if (index < 0 || node < 0)
        return -1;
    struct regex_class *c = &b->classes[index];
    bool is_negated = take(b, '^');
    for (bool is_first = true; is_first || !at(b, ']'); is_first = false)
        if (b->p == b->end || take_class_item(b, c) < 0)
            return regex_fail(b, "a character class without ']'");
    b->p++;
    if (b->is_nocase)
        fold_class(c);
    if (is_negated) {
        c->ascii[0] = ~c->ascii[0];
        c->ascii[1] = ~c->ascii[1];
        c->is_negated = true;
    }
    b->nodes[node].value = (uint32_t)index;
    return node;
}

bool regex_class_has(const struct regex *re, const struct regex_class *c, uint32_t cp)
{
    if (cp < 128)
        return c->ascii[cp >> 6] >> (cp & 63) & 1;
    for (uint16_t i = 0; i < c->n_ranges; i++) {
        const uint32_t *r = re->ranges[c->first_range + i];
        if (cp >= r[0] && cp <= r[1])
            return !c->is_negated;
    }
    return c->is_negated;
}

/* ---- the tree ---------------------------------------------------------------------------------------------------- */

static int parse_alternatives(struct regex_build *b);

static int new_char(struct regex_build *b, uint32_t cp)
{
    if (b->is_nocase && is_letter(cp)) {
        int index = new_class(b), node = index < 0 ? -1 : new_node(b, N_CLASS);
        if (node < 0)
            return -1;
        set_ascii(&b->classes[index], cp, cp);
        fold_class(&b->classes[index]);
        b->nodes[node].value = (uint32_t)index;
        return node;
    }
    int node = new_node(b, N_CHAR);
    if (node >= 0)
        b->nodes[node].value = cp;
    return node;
}

static int new_assert(struct regex_build *b, enum regex_assert which)
{
    int node = new_node(b, N_ASSERT);
    if (node >= 0)
        b->nodes[node].detail = (uint8_t)which;
    return node;
}

static int parse_group(struct regex_build *b)
{
    bool is_capture = true;
    if (take(b, '?')) {
        if (!take(b, ':'))
            return regex_fail(b, "only (?:…) is supported; no look-around, and flags like (?i) only at the beginning");
        is_capture = false;
    }
    int group = b->n_groups;
    if (is_capture && ++b->n_groups > REGEX_GROUPS)
        return regex_fail(b, "too many groups");
    if (++b->depth > REGEX_DEPTH)
        return regex_fail(b, "groups are nested too deeply");
    int inner = parse_alternatives(b);
    b->depth--;
    if (inner < 0)
        return -1;
    if (!take(b, ')'))
        return regex_fail(b, "a group without ')'");
    if (!is_capture)
        return inner;
    int node = new_pair(b, N_GROUP, inner, inner);
    if (node >= 0)
        b->nodes[node].detail = (uint8_t)group;
    return node;
}

static int parse_escape(struct regex_build *b)
{
    if (take(b, 'b'))
        return new_assert(b, RE_WORD);
    if (take(b, 'B'))
        return new_assert(b, RE_NOT_WORD);
    if (b->p < b->end && strchr("dwsDWS", *b->p) && *b->p) {
        int index = new_class(b), node = index < 0 ? -1 : new_node(b, N_CLASS);
        if (node < 0)
            return -1;
        add_shorthand(b, &b->classes[index], *b->p++);
        b->nodes[node].value = (uint32_t)index;
        return node;
    }
    int32_t cp = take_escape(b);
    return cp < 0 ? -1 : new_char(b, (uint32_t)cp);
}

static int parse_atom(struct regex_build *b)
{
    if (take(b, '('))
        return parse_group(b);
    if (take(b, '['))
        return parse_class(b);
    if (take(b, '\\'))
        return parse_escape(b);
    if (take(b, '^'))
        return new_assert(b, b->is_multiline ? RE_LINE_BEGIN : RE_TEXT_BEGIN);
    if (take(b, '$'))
        return new_assert(b, b->is_multiline ? RE_LINE_END : RE_TEXT_END);
    if (take(b, '.')) {
        int node = new_node(b, N_ANY);
        if (node >= 0)
            b->nodes[node].detail = b->is_dotall;
        return node;
    }
    if (at(b, '*') || at(b, '+') || at(b, '?'))
        return regex_fail(b, "nothing to repeat");
    return new_char(b, take_char(b));
}

static int take_count(struct regex_build *b)
{
    int n = 0, digits = 0;
    for (; b->p < b->end && *b->p >= '0' && *b->p <= '9' && digits < 6; digits++)
        n = n * 10 + (*b->p++ - '0');
    return digits ? n : -1;
}

/* {m}, {m,} or {m,n}; anything else is a literal brace. */
static bool take_bounds(struct regex_build *b, int *min, int *max)
{
    const char *from = b->p;
    b->p++;
    *min = take_count(b);
    *max = *min;
    if (*min >= 0 && take(b, ','))
        *max = at(b, '}') ? -1 : take_count(b);
    if (*min >= 0 && take(b, '}'))
        return true;
    b->p = from;
    return false;
}

static bool take_repeat(struct regex_build *b, int *min, int *max)
{
    *min = at(b, '+') ? 1 : 0;
    *max = at(b, '?') ? 1 : -1;
    if (take(b, '*') || take(b, '+') || take(b, '?'))
        return true;
    return at(b, '{') && take_bounds(b, min, max);
}

static int parse_repeat(struct regex_build *b)
{
    int node = parse_atom(b), min, max;
    for (int n = 0; node >= 0 && take_repeat(b, &min, &max); n++) {
        if (n > 0)
            return regex_fail(b, "nothing to repeat (a repetition of a repetition needs a group)");
        if (min > REGEX_REPEAT || max > REGEX_REPEAT || (max >= 0 && max < min))
            return regex_fail(b, "a repetition may have at most 1000 as its bounds, the lower first");
        node = new_pair(b, N_REPEAT, node, node);
        if (node < 0)
            return -1;
        b->nodes[node].min = (int16_t)min;
        b->nodes[node].max = (int16_t)max;
        b->nodes[node].is_lazy = take(b, '?');
    }
    return node;
}

static int parse_sequence(struct regex_build *b)
{
    int node = new_node(b, N_EMPTY);
    while (node >= 0 && b->p < b->end && !at(b, '|') && !at(b, ')'))
        node = new_pair(b, N_CAT, node, parse_repeat(b));
    return node;
}

static int parse_alternatives(struct regex_build *b)
{
    int node = parse_sequence(b);
    while (node >= 0 && take(b, '|'))
        node = new_pair(b, N_ALT, node, parse_sequence(b));
    return node;
}

static void parse_flags(struct regex_build *b)
{
    while (b->end - b->p > 3 && b->p[0] == '(' && b->p[1] == '?' && strchr("ims", b->p[2]) && b->p[2]) {
        const char *p = b->p + 2;
        for (; p < b->end && *p && strchr("ims", *p); p++) {
            b->is_nocase |= *p == 'i';
            b->is_multiline |= *p == 'm';
            b->is_dotall |= *p == 's';
        }
        if (p == b->end || *p != ')')
            return;
        b->p = p + 1;
    }
}

/* ---- all of it -------------------------------------------------------------------------------------------------- */

size_t regex_compile(struct regex_build *b, const char *pattern, size_t n, const char **error, size_t *error_at)
{
    memset(b, 0, offsetof(struct regex_build, nodes));
    b->n_code = b->n_classes = b->n_ranges = 0;
    b->begin = b->p = pattern;
    b->end = pattern + n;
    b->n_groups = 1;
    if (n > REGEX_PATTERN)
        regex_fail(b, "the pattern is too long");
    parse_flags(b);
    int root = b->error ? -1 : parse_alternatives(b);
    if (root >= 0 && b->p < b->end)
        regex_fail(b, "a ')' without '('");
    if (root >= 0 && !b->error)
        regex_emit_all(b, root);
    *error = b->error;
    *error_at = (size_t)(b->p - pattern) + 1;
    if (b->error)
        return 0;
    return sizeof(struct regex) + (size_t)b->n_code * sizeof(b->code[0]) +
           (size_t)b->n_classes * sizeof(b->classes[0]) + (size_t)b->n_ranges * sizeof(b->ranges[0]);
}
