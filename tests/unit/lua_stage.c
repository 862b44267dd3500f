/* See lua_stage.h. Only what the SDK shows of the stage is used: the descriptor, its options, its operations. */
#include "lua_stage.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

bool stage_plugin(const struct weir_plugin **plugin)
{
    char path[600];
    const char *build = getenv("WEIR_BUILD");
    snprintf(path, sizeof(path), "%s/plugins/policy.so", build ? build : "build");
    void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    *plugin = so ? dlsym(so, "weir_plugin") : NULL;
    if (!*plugin)
        printf("  %s\n", dlerror());
    return *plugin != NULL;
}

static const struct weir_option *option(const struct weir_plugin *p, const char *name)
{
    const struct weir_option *o = p->options;
    while (o->name && strcmp(o->name, name) != 0)
        o++;
    return o;
}

static void set_pointer(struct stage *s, const char *name, const void *value)
{
    const struct weir_option *o = option(s->plugin, name);
    memcpy((char *)s->config + o->offset, &value, sizeof(value));
}

static void set_number(struct stage *s, const char *name, int64_t value)
{
    const struct weir_option *o = option(s->plugin, name);
    memcpy((char *)s->config + o->offset, &value, sizeof(value));
}

static void set_choice(struct stage *s, const char *name, int32_t value)
{
    const struct weir_option *o = option(s->plugin, name);
    memcpy((char *)s->config + o->offset, &value, sizeof(value));
}

static void fill(struct stage *s, const char *path, const struct stage_options *o)
{
    static const struct stage_options none = { .with = NULL };
    o = o ? o : &none;
    s->config = calloc(1, s->plugin->config_size);
    set_pointer(s, "file", strdup(path));
    set_pointer(s, "with", o->with ? o->with : "null");
    set_pointer(s, "name", o->name ? o->name : "");
    set_pointer(s, "hosts", o->hosts);
    set_choice(s, "on_error", !o->on_error ? 0 : strcmp(o->on_error, "deny") == 0 ? 1 : 2);
    set_number(s, "cpu", o->cpu_ms ? o->cpu_ms : 50);
    set_number(s, "memory", o->memory ? o->memory : 16 << 20);
    set_number(s, "max_body", 512 << 10);
}

bool stage_open_file(struct stage *s, const char *path, const struct stage_options *o)
{
    *s = (struct stage){ .config = NULL };
    if (!stage_plugin(&s->plugin))
        return false;
    s->ops = s->plugin->stage;
    fill(s, path, o);
    return s->ops->create(&fake.host, (struct weir_instance *)s, s->config, &s->self) == 0;
}

bool stage_open(struct stage *s, const char *lua, const struct stage_options *o)
{
    char folder[64] = "/tmp/weir-lua-XXXXXX", path[128];
    if (!mkdtemp(folder))
        return false;
    snprintf(path, sizeof(path), "%s/policies", folder);
    if (mkdir(path, 0700) < 0)
        return false;
    snprintf(path, sizeof(path), "%s/policies/test.lua", folder);
    snprintf(s->folder, sizeof(s->folder), "%s", folder);
    stage_write(s, "test.lua", lua);
    bool is_open = stage_open_file(s, path, o);
    snprintf(s->folder, sizeof(s->folder), "%s", folder);
    return is_open;
}

void stage_write(const struct stage *s, const char *file, const char *text)
{
    char path[200];
    snprintf(path, sizeof(path), "%s/policies/%s", s->folder, file);
    FILE *f = fopen(path, "w");
    if (!f)
        return;
    fputs(text, f);
    fclose(f);
}

static void remove_folder(const char *folder)
{
    char command[160];
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    FILE *f = popen(command, "r");
    if (f)
        pclose(f);
}

void stage_close(struct stage *s)
{
    const char *path = NULL;
    if (s->self)
        s->ops->destroy(s->self);
    if (s->config) {
        memcpy(&path, (char *)s->config + option(s->plugin, "file")->offset, sizeof(path));
        free((void *)(uintptr_t)path);
    }
    free(s->config);
    if (s->folder[0])
        remove_folder(s->folder);
    *s = (struct stage){ .config = NULL };
}

static enum weir_verdict timed(struct stage *s, struct weir_call *c,
                               enum weir_verdict (*hook)(void *self, struct weir_call *call))
{
    int64_t before = fake_cpu_us();
    enum weir_verdict v = hook(s->self, c);
    int64_t us = fake_cpu_us() - before;
    fake.longest_us = us > fake.longest_us ? us : fake.longest_us;
    return v;
}

enum weir_verdict stage_request(struct stage *s, struct weir_call *c)
{
    return fake_run(c, timed(s, c, s->ops->on_request));
}

enum weir_verdict stage_failure(struct stage *s, struct weir_call *c)
{
    return fake_run(c, timed(s, c, s->ops->on_failure));
}

void stage_finish(struct stage *s, struct weir_call *c)
{
    s->ops->on_finish(s->self, c);
}

struct weir_call *stage_try(struct stage *s, const char *lua, enum weir_verdict *v)
{
    if (!stage_open(s, lua, NULL))
        return NULL;
    struct weir_call *c = fake_call(s->ops->request_size);
    *v = stage_request(s, c);
    return c;
}
