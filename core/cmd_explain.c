/* `weir explain-plugin`: what a shared object says about itself. */
#include <stdio.h>

#include "cmd.h"
#include "loader.h"

static void print_bits(const char *title, uint32_t bits, const char *const *names, uint32_t n, const char *all)
{
    const char *gap = "";
    printf("%-12s  ", title);
    if (!bits)
        printf("%s", all);
    for (uint32_t i = 0; i < n; i++)
        if (bits & (UINT32_C(1) << i) && names[i]) {
            printf("%s%s", gap, names[i]);
            gap = ", ";
        }
    printf("\n");
}

static void print_type(const struct weir_option *o)
{
    static const char *const names[] = { "?", "text", "integer", "number", "true|false", "duration", "size", "",
                                         "secret", "list", "any value", "file" };
    if (o->type == WEIR_OPTION_CHOICE)
        printf("%s", o->choices ? o->choices : "");
    else
        printf("%s", o->type < sizeof names / sizeof *names ? names[o->type] : "?");
    if (o->min != 0 || o->max != 0)
        printf(", %g to %g", o->min, o->max);
}

static void print_options(const struct weir_option *options)
{
    if (!options || !options->name) {
        printf("\nIt takes no settings.\n");
        return;
    }
    printf("\nsettings:\n");
    for (const struct weir_option *o = options; o->name; o++) {
        printf("  %s (", o->name);
        print_type(o);
        printf(")");
        if (o->flags & WEIR_OPTION_REQUIRED)
            printf(" required");
        else if (o->fallback && o->type != WEIR_OPTION_SECRET)
            printf(" [%s]", o->fallback);
        printf("\n      %s\n", o->help ? o->help : "");
    }
}

static void print_hook(const char *name, bool is_there, const char **gap)
{
    if (is_there) {
        printf("%s%s", *gap, name);
        *gap = ", ";
    }
}

static const char *const operation_names[] = { NULL, "chat", "models", "model", "count", "embed", "rerank", "raw" };

static void print_stage(const struct weir_stage_ops *s)
{
    const char *gap = "";
    printf("hooks         ");
    print_hook("on_open", s->on_open != NULL, &gap);
    print_hook("on_request", s->on_request != NULL, &gap);
    print_hook("on_failure", s->on_failure != NULL, &gap);
    print_hook("on_attempt", s->on_attempt != NULL, &gap);
    print_hook("on_head", s->on_head != NULL, &gap);
    print_hook("on_event", s->on_event != NULL, &gap);
    print_hook("on_attempt_done", s->on_attempt_done != NULL, &gap);
    print_hook("on_finish", s->on_finish != NULL, &gap);
    printf("\n");
    print_bits("operations", s->operations, operation_names, 8, "all");
    if (s->flags & WEIR_STAGE_GUARD)
        printf("guard         what it does not understand is refused\n");
    if (s->flags & WEIR_STAGE_SETS_PRINCIPAL)
        printf("identity      it says who the caller is: routes behind it are protected\n");
    if (s->flags & WEIR_STAGE_MIRRORS)
        printf("copies        on_finish is called for them, too\n");
}

static void print_codec(const struct plugin *p)
{
    const struct weir_codec *c = &p->codec;
    static const char *const can[] = { "tools", "parallel tools", "image URLs", "inline images", "audio in", "inline files",
                                       "file URLs", "JSON objects", "JSON schema", "thinking", "several choices", "logprobs",
                                       "streams", "audio out", "file ids", "opaque blocks" };
    for (const struct weir_claim *claim = c->claims; claim && claim->method; claim++)
        printf("front door    %s %s%s%s%s\n", claim->method, claim->path, claim->header ? " with the header " : "",
               claim->header ? claim->header : "", claim->reserved & WEIR_CLAIM_PREFIXED ? " (behind the prefix only)" : "");
    if (c->claims && c->claims->method)
        printf("prefix        %s%s: the same behind it\n", c->prefix ? "" : "/", c->prefix ? c->prefix : p->desc.name);
    if (c->speaks)
        printf("speaks        %s\n", c->speaks);
    if (!c->operations)
        return;
    print_bits("provider for", c->operations, operation_names, 8, "");
    print_bits("can say", c->capabilities, can, 16, "text only");
    if (c->base_url)
        printf("base_url      %s\n", c->base_url);
}

static int run_explain(const struct cmd_line *line)
{
    char why[1024] = "";
    const struct plugin *p = plugin_open(line->words[0], 0, why, sizeof why);
    if (!p)
        return cmd_fail("%s", why);
    bool is_stage = p->desc.head.kind == WEIR_KIND_STAGE, is_codec = p->desc.head.kind == WEIR_KIND_CODEC;
    printf("%s %s, a %s\n%s\n\n", p->desc.name, p->desc.version ? p->desc.version : "",
           is_stage ? "stage" : is_codec ? "provider" : "way to get credentials",
           p->desc.summary ? p->desc.summary : "");
    if (p->desc.author)
        printf("author        %s\n", p->desc.author);
    printf("plugin ABI    %u.%u\n", p->desc.head.abi_major, p->desc.head.abi_minor);
    if (is_stage)
        print_stage(&p->stage);
    else if (is_codec)
        print_codec(p);
    print_options(p->desc.options);
    return CMD_OK;
}

const struct command cmd_explain_plugin = {
    .name = "explain-plugin",
    .words = "FILE.so",
    .min_words = 1,
    .max_words = 1,
    .summary = "Shows what a plugin is and which settings it takes",
    .run = run_explain,
};
