/* `weir explain`: what would become of a request, or what became of one that is in the request log. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bytes.h"
#include "cmd.h"
#include "explain.h"
#include "loader.h"

enum { OPTION_CONFIG, OPTION_PATH, OPTION_FAIL, OPTION_SEND, OPTION_LOG, OPTION_JSON };

struct asked {
    struct weir_out headers, body;
    const char *method, *path;
};

/* ---- the request ---- */

static int read_into(struct weir_out *to, const char *path)
{
    char buf[4096];
    size_t n;
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (!f)
        return cmd_fail("%s can't be opened", path);
    while ((n = fread(buf, 1, sizeof(buf), f)) > 0)
        out_write(to, (struct weir_str){ buf, n });
    bool is_whole = !ferror(f);
    if (f != stdin)
        fclose(f);
    return is_whole ? 0 : cmd_fail("%s can't be read", path);
}

static int add_data(struct asked *a, const char *data, bool may_be_file)
{
    if (may_be_file && data[0] == '@')
        return read_into(&a->body, data + 1);
    out_write(&a->body, weir_cstr(data));
    return 0;
}

/* Those that weir sets itself are left out. */
static int add_header(struct asked *a, const char *line)
{
    if (!strchr(line, ':') || strpbrk(line, "\r\n"))
        return cmd_fail("-H '%s' is no header: name: value", line);
    if (strncasecmp(line, "content-length:", 15) == 0 || strncasecmp(line, "host:", 5) == 0 ||
        strncasecmp(line, "connection:", 11) == 0)
        return 0;
    out_write(&a->headers, weir_cstr(line));
    out_write(&a->headers, WEIR_LIT("\r\n"));
    return 0;
}

static bool is_one_of(const char *word, const char *const *words)
{
    while (*words && strcmp(*words, word) != 0)
        words++;
    return *words;
}

static void take_url(struct asked *a, const char *url)
{
    const char *host = strstr(url, "://"), *path = strchr(host ? host + 3 : url, '/');
    a->path = path ? path : "/";
}

/* One of curl's flags with its value. */
static int take_pair(struct asked *a, const char *flag, const char *value)
{
    static const char *const headers[] = { "-H", "--header", NULL }, *const raw[] = { "--data-raw", NULL };
    static const char *const data[] = { "-d", "--data", "--data-binary", "--json", "--data-ascii", NULL };
    static const char *const methods[] = { "-X", "--request", NULL }, *const urls[] = { "--url", NULL };
    if (!value)
        return cmd_fail("%s needs a value, or is no flag of curl's that is understood here", flag);
    if (is_one_of(flag, headers))
        return add_header(a, value);
    if (is_one_of(flag, data) || is_one_of(flag, raw))
        return add_data(a, value, !is_one_of(flag, raw));
    if (is_one_of(flag, methods))
        a->method = value;
    else if (is_one_of(flag, urls))
        take_url(a, value);
    else
        return cmd_fail("%s is no flag of curl's that is understood here: -H, -d, --json, -X, --url are", flag);
    return 0;
}

static int take_curl(struct asked *a, const struct cmd_line *line)
{
    static const char *const idle[] = { "-s", "-S", "-sS", "-N", "-i", "-v", "-k", "-f", "-sN", "--no-buffer", "--silent",
                                        "--fail", "--compressed", NULL };
    for (int i = 0; i < line->n_words; i++) {
        const char *word = line->words[i];
        if ((i == 0 && strcmp(word, "curl") == 0) || is_one_of(word, idle))
            continue;
        if (word[0] != '-')
            take_url(a, word);
        else if (take_pair(a, word, i + 1 < line->n_words ? line->words[i + 1] : NULL))
            return CMD_FAILED;
        else
            i++;
    }
    return a->path ? 0 : cmd_fail("which URL? weir explain -- http://weir/v1/… -H 'name: value' -d @FILE");
}

static int take_request(struct asked *a, const struct cmd_line *line)
{
    const char *path = line->options[OPTION_PATH];
    if (line->n_words > 1 || strstr(line->words[0], "://"))
        return take_curl(a, line);
    if (!path || path[0] != '/' || strpbrk(path, " \r\n"))
        return cmd_fail("%s: to which path would it be sent? --path /v1/…, as clients do", line->words[0]);
    a->path = path;
    return read_into(&a->body, line->words[0]);
}

static int failure_of(const char *word, int *fails_with)
{
    int status = word ? atoi(word) : 0;
    *fails_with = !word || strcmp(word, "connect") == 0 ? 0 : strcmp(word, "silence") == 0 ? -1 : status;
    return *fails_with || !word || strcmp(word, "connect") == 0
               ? (*fails_with > 0 && (status < 400 || status > 599) ? -1 : 0)
               : -1;
}

/* ---- the commands ---- */

static int show(const json_t *explanation, bool is_json)
{
    if (is_json) {
        json_dumpf(explanation, stdout, JSON_INDENT(2));
        printf("\n");
    } else {
        explain_show(explanation, stdout);
    }
    return CMD_OK;
}

static int show_and_free(json_t *explanation, const char *why, const struct cmd_line *line)
{
    if (!explanation)
        return *why ? cmd_fail("%s", why) : CMD_FAILED;
    int rc = show(explanation, line->options[OPTION_JSON] != NULL);
    json_decref(explanation);
    return rc;
}

static int explain(struct config *c, const struct asked *a, int fails_with, const struct cmd_line *line)
{
    char why[512] = "";
    struct explain_question q = { weir_cstr(a->method ? a->method : "POST"), weir_cstr(a->path), out_bytes(&a->headers),
                                  out_bytes(&a->body), fails_with };
    const char *path = line->options[OPTION_SEND] ? cmd_config_path(line->options[OPTION_CONFIG]) : NULL;
    return show_and_free(path ? explain_sent(path, &q, why, sizeof(why)) : explain_request(c, &q, why, sizeof(why)), why, line);
}

static int explain_new(const struct cmd_line *line)
{
    struct asked a = { 0 };
    int fails_with, rc = CMD_FAILED;
    if (failure_of(line->options[OPTION_FAIL], &fails_with) < 0)
        return cmd_fail("--fail is connect, silence, or a status from 400 to 599");
    if (take_request(&a, line) == 0) {
        if (!memmem(out_bytes(&a.headers).p ? out_bytes(&a.headers).p : "", out_bytes(&a.headers).n, "ontent-", 7))
            out_write(&a.headers, WEIR_LIT("content-type: application/json\r\n"));
        struct config *c = cmd_config_load(line->options[OPTION_CONFIG], CONFIG_NORMAL, false);
        rc = c ? explain(c, &a, fails_with, line) : CMD_FAILED;
        config_free(c);
    }
    out_free(&a.headers);
    out_free(&a.body);
    return rc;
}

/* ---- a past one ---- */

static const struct weir_option *records_option(const struct plugin *p)
{
    for (const struct weir_option *o = p->desc.options; o && o->name; o++)
        if (o->flags & WEIR_OPTION_RECORDS)
            return o;
    return NULL;
}

/* In each file to which a stage of the configuration writes records; after the last, why it wasn't found. */
static json_t *find_logged(const struct config *c, const char *id, char *why, size_t n)
{
    json_t *found = NULL;
    snprintf(why, n, "no stage of the configuration writes request records to a file: say --log FILE");
    for (uint32_t i = 0; i < c->n_stages && !found; i++) {
        const struct weir_option *o = records_option(c->stages[i]->plugin);
        json_t *settings = o && c->stages[i]->settings ? json_loads(c->stages[i]->settings, 0, NULL) : NULL;
        const char *file = o ? json_string_value(json_object_get(settings, o->name)) : NULL;
        if (file)
            found = explain_logged(file, id, why, n);
        json_decref(settings);
    }
    return found;
}

static int explain_past(const struct cmd_line *line)
{
    char why[512] = "";
    const char *log = line->options[OPTION_LOG];
    if (log)
        return show_and_free(explain_logged(log, line->words[0], why, sizeof(why)), why, line);
    struct config *c = cmd_config_load(line->options[OPTION_CONFIG], CONFIG_NORMAL, false);
    int rc = c ? show_and_free(find_logged(c, line->words[0], why, sizeof(why)), why, line) : CMD_FAILED;
    config_free(c);
    return rc;
}

/* A single word that is no file, no URL, and isn't to be sent anywhere. */
static bool is_past(const struct cmd_line *line)
{
    const char *word = line->words[0];
    if (line->options[OPTION_LOG])
        return true;
    return line->n_words == 1 && !line->options[OPTION_PATH] && !strstr(word, "://") && strcmp(word, "-") != 0 && access(word, F_OK) != 0;
}

static int run_explain(const struct cmd_line *line)
{
    if (line->options[OPTION_SEND] && (line->options[OPTION_LOG] || line->options[OPTION_FAIL]))
        return cmd_fail("--send asks the providers: it goes neither with --fail nor with --log");
    return is_past(line) ? explain_past(line) : explain_new(line);
}

const struct command cmd_explain_request = {
    .name = "explain",
    .words = "FILE | REQUEST-ID | -- CURL'S FLAGS",
    .min_words = 1,
    .max_words = CMD_WORDS,
    .summary = "Says what would become of a request, and why; or what became of a past one",
    .text = "Runs the request through the production engine with this configuration; every provider fails as --fail says, so that\n"
            "all candidates are seen and nobody is asked. Figures and breakers are those of a weir that has just begun. FILE (-:\n"
            "stdin) is a body. REQUEST-ID is looked for in the request log. Of curl's flags: -H, -d, --json, -X, --url and those\n"
            "that only talk. The weir that serves explains a request with the header x-weir-explain: 1, to keys that may.",
    .options = { CMD_CONFIG,
                 { "path", 'p', "PATH", "to which path FILE would be sent" },
                 { "fail", 'f', "HOW", "connect, silence or a status: how each provider fails [connect]" },
                 { "send", 's', NULL, "really sends it: providers are asked, and paid" },
                 { "log", 'l', "FILE", "the request log in which REQUEST-ID is [the files that the configuration logs to]" },
                 { "json", 'j', NULL, "for machines" } },
    .run = run_explain,
};
