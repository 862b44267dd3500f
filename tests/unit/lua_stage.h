/* The Lua stage as a test uses it: policy.so opened from the build, an instance from a file or from a text. */
#ifndef WEIR_TESTS_LUA_STAGE_H
#define WEIR_TESTS_LUA_STAGE_H

#include "lua_host.h"

struct stage {
    const struct weir_plugin *plugin;
    const struct weir_stage_ops *ops;
    void *config, *self;
    char folder[64]; /* temporary; "" if the file is another's */
};

struct stage_options {
    const char *with, *on_error, *name;
    const char *const *hosts;
    int64_t cpu_ms, memory; /* 0: default */
};

/* false: policy.so is not there (SKIP), or the policy does not load (fake.log tells why; stage_close() all the
 * same). */
bool stage_plugin(const struct weir_plugin **plugin);
bool stage_open_file(struct stage *s, const char *path, const struct stage_options *o);
/* Lua text as policies/test.lua in a folder of its own. */
bool stage_open(struct stage *s, const char *lua, const struct stage_options *o);
void stage_write(const struct stage *s, const char *file, const char *text); /* beside test.lua */
void stage_close(struct stage *s);

/* Runs one hook to its end, however often it waits. */
enum weir_verdict stage_request(struct stage *s, struct weir_call *c);
enum weir_verdict stage_failure(struct stage *s, struct weir_call *c);
void stage_finish(struct stage *s, struct weir_call *c);
/* The usual: opens the text, runs on_request on a new call, which the caller ends. NULL: it did not load. */
struct weir_call *stage_try(struct stage *s, const char *lua, enum weir_verdict *v);

#endif
