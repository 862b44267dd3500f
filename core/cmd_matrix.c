/* `weir matrix`: what each dialect can say, from the tables of the codecs themselves. */
#include <stdio.h>
#include <string.h>

#include "cmd.h"
#include "json.h"

enum { OPTION_CONFIG, OPTION_JSON, OPTION_VERBOSE };
enum { DIALECTS_MAX = 64, FEATURE_WIDTH = 20 };

/* Those that translate by themselves: one that `speaks` another's dialect has nothing of its own to say. */
struct matrix {
    const struct plugin *dialects[DIALECTS_MAX];
    uint32_t n;
};

static bool is_asked_for(const struct cmd_line *line, const char *name)
{
    bool is_named = line->n_words == 0;
    for (int i = 0; i < line->n_words; i++)
        is_named = is_named || strcmp(line->words[i], name) == 0;
    return is_named;
}

static void insert(struct matrix *m, const struct plugin *p)
{
    uint32_t i = m->n++;
    for (; i > 0 && strcmp(m->dialects[i - 1]->desc.name, p->desc.name) > 0; i--)
        m->dialects[i] = m->dialects[i - 1];
    m->dialects[i] = p;
}

static int collect(struct matrix *m, const struct cmd_line *line)
{
    for (const struct plugin *p = plugin_first(); p; p = p->next) {
        bool is_dialect = p->desc.head.kind == WEIR_KIND_CODEC && !p->codec.speaks;
        if (is_dialect && is_asked_for(line, p->desc.name) && m->n < DIALECTS_MAX)
            insert(m, p);
    }
    for (int i = 0; i < line->n_words; i++) {
        const struct plugin *p = plugin_find(line->words[i], WEIR_KIND_CODEC);
        if (!p)
            return cmd_fail("there is no dialect '%s'", line->words[i]);
        if (p->codec.speaks)
            return cmd_fail("'%s' speaks %s: ask for that", line->words[i], p->codec.speaks);
    }
    return CMD_OK;
}

/* ---- one cell ---- */

static bool is_of_answer(uint32_t feature)
{
    return feature >= WEIR_FEATURE_ANSWER_THINKING;
}

/* What is the host's business every dialect has. What of an answer only its provider can read comes as an opaque block. */
static bool is_told(uint32_t feature)
{
    return !feature_is_hosts(feature) && feature != WEIR_FEATURE_ANSWER_REDACTED && feature_name(feature);
}

static bool has_side(const struct plugin *p, uint32_t feature)
{
    return is_of_answer(feature) ? p->codec.encode_event != NULL : p->codec.encode_request != NULL;
}

static const char *word_of(const struct plugin *p, uint32_t feature)
{
    static const char *const words[] = { "-", "says", "partly", "changed", "emulated" };
    if (!has_side(p, feature))
        return "";
    return p->says.is_declared ? words[p->says.saying[feature]] : "?";
}

static const char *how_of(const struct plugin *p, uint32_t feature)
{
    for (const struct weir_says *s = p->codec.says; s && s->feature != WEIR_FEATURE_NONE; s++)
        if (s->feature == feature)
            return s->how;
    return NULL;
}

/* ---- as a table ---- */

static int width_of(const struct plugin *p)
{
    int n = (int)strlen(p->desc.name);
    return n > 8 ? n : 8;
}

static void print_rows(const struct matrix *m, bool is_answer)
{
    printf("%-*s", FEATURE_WIDTH, is_answer ? "ANSWER" : "REQUEST");
    for (uint32_t i = 0; i < m->n; i++)
        printf("  %-*s", i + 1 < m->n ? width_of(m->dialects[i]) : 0, m->dialects[i]->desc.name);
    printf("\n");
    for (uint32_t f = 0; f < WEIR_FEATURES; f++) {
        if (!is_told(f) || is_of_answer(f) != is_answer)
            continue;
        printf("%-*s", FEATURE_WIDTH, feature_name(f));
        for (uint32_t i = 0; i < m->n; i++)
            printf("  %-*s", i + 1 < m->n ? width_of(m->dialects[i]) : 0, word_of(m->dialects[i], f));
        printf("\n");
    }
}

static void print_hows(const struct plugin *p)
{
    printf("\n%s\n", p->desc.name);
    if (!p->says.is_declared)
        printf("  its codec has no table: weir can't tell what is lost\n");
    for (uint32_t f = 0; f < WEIR_FEATURES; f++)
        if (is_told(f) && how_of(p, f))
            printf("  %-*s  %-8s  %s\n", FEATURE_WIDTH, feature_name(f), word_of(p, f), how_of(p, f));
}

static void print_matrix(const struct matrix *m, bool is_verbose)
{
    print_rows(m, false);
    printf("\n");
    print_rows(m, true);
    for (uint32_t i = 0; is_verbose && i < m->n; i++)
        print_hows(m->dialects[i]);
}

/* ---- as JSON ---- */

static void put_side(struct weir_out *o, const struct plugin *p, bool is_answer)
{
    json_key(o, is_answer ? "answer" : "request");
    json_object_begin(o);
    for (uint32_t f = 0; f < WEIR_FEATURES; f++) {
        if (!is_told(f) || is_of_answer(f) != is_answer || !has_side(p, f))
            continue;
        json_key(o, feature_name(f));
        json_object_begin(o);
        json_key(o, "says");
        json_put_str(o, weir_cstr(word_of(p, f)));
        if (how_of(p, f)) {
            json_key(o, "how");
            json_put_str(o, weir_cstr(how_of(p, f)));
        }
        json_object_end(o);
    }
    json_object_end(o);
}

static int print_json(const struct matrix *m)
{
    struct weir_out o = { 0 };
    json_object_begin(&o);
    for (uint32_t i = 0; i < m->n; i++) {
        json_key(&o, m->dialects[i]->desc.name);
        json_object_begin(&o);
        json_key(&o, "declared");
        json_put_bool(&o, m->dialects[i]->says.is_declared);
        put_side(&o, m->dialects[i], false);
        put_side(&o, m->dialects[i], true);
        json_object_end(&o);
    }
    json_object_end(&o);
    struct weir_str text = out_bytes(&o);
    if (!o.failed)
        printf("%.*s\n", (int)text.n, text.p);
    bool has_failed = o.failed;
    out_free(&o);
    return has_failed ? cmd_fail("memory is short") : CMD_OK;
}

static int run_matrix(const struct cmd_line *line)
{
    struct matrix m = { .n = 0 };
    struct config *c =
        line->options[OPTION_CONFIG] ? cmd_config_load(line->options[OPTION_CONFIG], CONFIG_NORMAL, false) : NULL;
    if (line->options[OPTION_CONFIG] && !c)
        return CMD_FAILED;
    config_open_shipped("providers");
    int rc = collect(&m, line);
    if (rc == CMD_OK && line->options[OPTION_JSON])
        rc = print_json(&m);
    else if (rc == CMD_OK)
        print_matrix(&m, line->options[OPTION_VERBOSE] != NULL);
    if (c)
        config_free(c);
    return rc;
}

const struct command cmd_matrix = {
    .name = "matrix",
    .words = "[DIALECT]...",
    .max_words = CMD_WORDS,
    .summary = "Shows what each dialect can say, and so what a translation loses",
    .text = "REQUEST: when weir writes to a provider of the dialect. ANSWER: when it writes to a client of it.\n"
            "  says      as it was meant\n"
            "  partly    not always; the header x-weir-loss and the request record tell when not\n"
            "  changed   with another value or meaning\n"
            "  emulated  by other means\n"
            "  -         left out\n"
            "  ?         the codec does not tell\n"
            "The client's own dialect loses nothing: its bytes go through. With --config also the plugins named there.",
    .options = { { "config", 'c', "PATH", "also the plugins that this configuration names" },
                 { "json", 0, NULL, "as one JSON object" },
                 { "verbose", 'v', NULL, "also how, where it is not simply said" } },
    .run = run_matrix,
};
