/* Fuzzing the reader of YAML. What must hold for every input:
 *   - no crash, no read beyond the bytes (they are copied to exactly their size), nothing left behind;
 *   - what can't be read was said why, with a place inside the text;
 *   - what was read can be written as JSON, within the bounds, and that JSON is read again as the same.
 */
#include <stdio.h>
#include <stdlib.h>

#include "../../core/json.h"
#include "../../core/yaml_tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t n_said, lines;

static void require(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "does not hold: %s\n", what);
    abort();
}

static void listen_to(void *arg, const char *file, uint32_t line, uint32_t column, const char *text)
{
    (void)arg;
    n_said++;
    require(file && text && text[0], "a mistake has a text");
    require(line >= 1 && column >= 1 && line <= lines + 1, "a mistake has a place");
}

static uint32_t count_lines(const uint8_t *data, size_t size)
{
    uint32_t n = 1;
    for (size_t i = 0; i < size; i++)
        n += data[i] == '\n' || data[i] == '\r' || data[i] == 0x85 || data[i] == 0xa8 || data[i] == 0xa9;
    return n;
}

static struct weir_str written(struct arena *a, const struct tree_node *root)
{
    struct weir_out out;
    out_init(&out);
    tree_put_json(root, &out, NULL);
    require(out_complete(&out), "a tree can be written");
    struct weir_str text = arena_copy(a, out_bytes(&out));
    out_free(&out);
    require(json_valid(a, text, 0), "what is written is JSON");
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct tree_listener listener = { listen_to, NULL };
    struct arena *a = arena_new();
    char *copy = malloc(size + !size);
    if (!a || !copy)
        abort();
    memcpy(copy, data, size);
    n_said = 0;
    lines = count_lines(data, size);
    const struct tree_node *root = tree_parse(a, "fuzz.yaml", (struct weir_str){ copy, size }, &listener);
    require(root || n_said, "what can't be read is said why");
    if (root && !n_said && root->type == TREE_MAP) {
        struct weir_str first = written(a, root);
        lines = count_lines((const uint8_t *)first.p, first.n);
        const struct tree_node *again =
            first.n <= TREE_BYTES_MAX ? tree_parse(a, "again.yaml", first, &listener) : NULL;
        /* libyaml takes keys of at most 1024 bytes in a flow map, and refuses some characters that JSON allows */
        if (again && !n_said)
            require(weir_eq(first, written(a, again)), "what was written is read as the same");
    }
    free(copy);
    arena_free(a);
    require(arena_live() == 0, "nothing is left behind");
    return 0;
}
