/* `weir key new`: makes a virtual key. The key itself is shown once and kept nowhere: the configuration has its hash. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bytes.h"
#include "cmd.h"

enum { OPTION_NAME, OPTION_TEAM, OPTION_MODELS };
enum { KEY_BYTES = 30, KEY_TEXT = 40 }; /* 240 bits: 40 characters of base64url */

static int make_key(struct arena *a, struct weir_str *key)
{
    unsigned char bytes[KEY_BYTES];
    if (bytes_random(bytes, sizeof bytes))
        return -1;
    struct weir_str text = bytes_base64_encode(a, (struct weir_str){ (char *)bytes, sizeof bytes }, BYTES_BASE64_URL);
    *key = arena_printf(a, "wk-%.*s", (int)text.n, text.p);
    return text.n == KEY_TEXT && key->n == KEY_TEXT + 3 ? 0 : -1;
}

/* A double-quoted YAML scalar. */
static void put_quoted(const char *s, size_t n)
{
    putchar('"');
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '"' || s[i] == '\\')
            putchar('\\');
        putchar(s[i]);
    }
    putchar('"');
}

static void put_models(const char *list)
{
    const char *gap = "";
    printf(", models: [");
    while (*list) {
        size_t n = strcspn(list, ",");
        const char *begin = list;
        list += n + (list[n] == ',');
        while (n > 0 && *begin == ' ')
            begin++, n--;
        if (n == 0)
            continue;
        printf("%s", gap);
        put_quoted(begin, n);
        gap = ", ";
    }
    printf("]");
}

/* As the configuration takes names of keys and teams. */
static bool is_name(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._@/+-");
    return n > 0 && n <= 64 && s[n] == '\0';
}

/* Whatever stands in the list comes into a quoted scalar: only control characters have no place there. */
static bool is_list(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            return false;
    return true;
}

static int check(const struct cmd_line *line)
{
    const char *name = line->options[OPTION_NAME], *team = line->options[OPTION_TEAM], *models = line->options[OPTION_MODELS];
    if (!name)
        cmd_fail("a key needs a name: weir key new --name search-prod");
    else if (!is_name(name) || (team && !is_name(team)))
        cmd_fail("a %s is 1 to 64 letters, digits and . _ @ / + -, not '%s'", is_name(name) ? "team" : "name",
                 is_name(name) ? team : name);
    else if (models && !is_list(models))
        cmd_fail("--models must not contain control characters");
    else
        return CMD_OK;
    return CMD_USAGE;
}

static void print_line(const struct cmd_line *line, const char *hex)
{
    printf("  - { name: ");
    put_quoted(line->options[OPTION_NAME], strlen(line->options[OPTION_NAME]));
    if (line->options[OPTION_TEAM]) {
        printf(", team: ");
        put_quoted(line->options[OPTION_TEAM], strlen(line->options[OPTION_TEAM]));
    }
    printf(", hash: \"sha256:%s\"", hex);
    if (line->options[OPTION_MODELS])
        put_models(line->options[OPTION_MODELS]);
    printf(" }\n");
}

static int run_key_new(const struct cmd_line *line)
{
    struct weir_str key;
    uint8_t digest[BYTES_SHA256_SIZE];
    char hex[2 * BYTES_SHA256_SIZE + 1] = "";
    if (check(line) != CMD_OK)
        return CMD_USAGE;
    struct arena *a = arena_new();
    int bad = !a || make_key(a, &key) || !bytes_sha256(key, digest);
    if (bad) {
        arena_free(a);
        return cmd_fail("no random bytes, or out of memory");
    }
    bytes_hex_encode(hex, digest, sizeof digest);
    printf("The key, shown only now:\n\n  %s\n\nIts line under `keys:` of the configuration:\n\n", key.p);
    print_line(line, hex);
    arena_free(a);
    return CMD_OK;
}

const struct command cmd_key_new = {
    .name = "key new",
    .words = "",
    .summary = "Makes a virtual key and the line of configuration with its hash",
    .text = "The key is shown once; weir keeps only its SHA-256. Without --models the key may use every model.",
    .options = { { "name", 'n', "NAME", "who uses it: \"search-prod\"" },
                 { "team", 't', "TEAM", "the team it belongs to" },
                 { "models", 'm', "LIST", "what it may use, with commas between: \"fast,openai/gpt-4o*\"" } },
    .run = run_key_new,
};
