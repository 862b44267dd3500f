/* `weir verify-plugin`: what all kinds of plugins have in common. */
#include "verify.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { READ_MAX = 64 << 20 };

static void say(const char *mark, const char *format, va_list args)
{
    printf("%s  ", mark);
    vprintf(format, args);
    printf("\n");
    fflush(stdout);
}

void verify_ok(struct verify *v, const char *format, ...)
{
    va_list args;
    v->passed++;
    va_start(args, format);
    say("ok  ", format, args);
    va_end(args);
}

void verify_bad(struct verify *v, const char *format, ...)
{
    va_list args;
    v->failed++;
    va_start(args, format);
    say("FAIL", format, args);
    va_end(args);
}

char *verify_read(const char *path, size_t *n)
{
    FILE *f = fopen(path, "re");
    size_t capacity = 64 * 1024;
    char *text = f ? malloc(capacity) : NULL;
    *n = 0;
    while (text) {
        *n += fread(text + *n, 1, capacity - *n - 1, f);
        if (*n < capacity - 1 || capacity > READ_MAX)
            break;
        char *more = realloc(text, capacity *= 2);
        if (!more)
            free(text);
        text = more;
    }
    if (f)
        fclose(f);
    if (text)
        text[*n] = '\0';
    return text;
}

int verify_plugin(struct verify *v)
{
    char why[1024] = "", path[4096];
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!realpath(v->path, path)) {
        verify_bad(v, "%s: %s", v->path, strerror(errno));
    } else {
        v->path = path;
        v->plugin = plugin_open(path, 0, why, sizeof why);
        if (!v->plugin)
            verify_bad(v, "%s", why);
        else
            verify_ok(v, "%s %s loads (plugin ABI %u.%u)", v->plugin->desc.name, v->plugin->desc.version,
                      v->plugin->desc.head.abi_major, v->plugin->desc.head.abi_minor);
    }
    if (v->plugin && v->plugin->desc.head.kind == WEIR_KIND_STAGE)
        verify_stage(v);
    else if (v->plugin && v->plugin->desc.head.kind == WEIR_KIND_CODEC)
        verify_codec(v);
    else if (v->plugin)
        printf("  there is no more to try: what it does needs the server that gives the tokens\n");
    printf("%u passed, %u failed\n", v->passed, v->failed);
    return v->failed ? -1 : 0;
}
