/* The Lua stage: a policy file in a pipeline is one instance of it.
 *
 * Everything Lua is in engine.c and behind; here are the options, the hooks and the descriptor. A policy that fails
 * in any way costs its own request: denied unless `on_error` says otherwise.
 *
 * Owner: instances live as long as the worker; the engine counts them and goes with the last.
 */
#include <stdio.h>
#include <stdlib.h>

#include "engine.h"

static int take_config(lua_State *L)
{
    struct policy *p = lua_touserdata(L, 1);
    const char *with = p->config->with;
    if (with && with[0] && strcmp(with, "null") != 0)
        json_push(L, weir_cstr(with));
    else
        lua_createtable(L, 0, 0);
    p->cfg_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

static int declare_counter(struct policy *p, const char *name)
{
    char labels[128];
    snprintf(labels, sizeof(labels), "policy=\"%s\"", p->name);
    return engine.host->counter(p->inst, name, labels);
}

enum { POLICY_MEMORY_SHARE = 4 }; /* all calls of a policy together may hold this many times `memory` */

static int open_policy(struct policy *p, char *why, size_t n)
{
    const struct policy_config *config = p->config;
    p->account = account_open(engine.account, (size_t)config->memory * POLICY_MEMORY_SHARE);
    if (!p->account) {
        snprintf(why, n, "not enough memory");
        return -1;
    }
    p->file = file_open(p, config->file, why, n);
    if (!p->file || engine_run_now(p, take_config, p, why, n) < 0)
        return -1;
    if (!p->name)
        p->name = strdup(config->name && config->name[0] ? config->name : p->file->name);
    p->is_pass_on_error = config->on_error == 0 ? p->file->is_pass_on_error : config->on_error == 2;
    if (!p->name)
        return -1;
    p->count_runs = declare_counter(p, "policy_runs_total");
    p->count_errors = declare_counter(p, "policy_errors_total");
    p->count_denied = declare_counter(p, "policy_denied_total");
    return 0;
}

static int open_shadow(struct policy *p, char *why, size_t n)
{
    if (!p->config->shadow || !p->config->shadow[0])
        return 0;
    struct policy *other = shadow_new(p);
    if (!other) {
        snprintf(why, n, "not enough memory");
        return -1;
    }
    if (open_policy(other, why, n) < 0)
        return -1;
    shadow_count_in(p);
    return 0;
}

static void policy_destroy(void *self)
{
    struct policy *p = self;
    for (struct policy **at = &engine.policies; *at; at = &(*at)->next)
        if (*at == p) {
            *at = p->next;
            break;
        }
    shadow_free(p->shadow);
    account_close(p->idle_account);
    account_close(p->account);
    free(p->name);
    free(p);
    engine_stop();
}

static int policy_create(const struct weir_host *host, struct weir_instance *inst, const void *config, void **self)
{
    char why[600] = "";
    struct policy *p = calloc(1, sizeof(*p));
    if (!p || engine_start(host, why, sizeof(why)) < 0) {
        host->log(inst, WEIR_LOG_ERROR, "policy: %s", why[0] ? why : "not enough memory");
        free(p);
        return -1;
    }
    p->config = config;
    p->inst = inst;
    p->cfg_ref = LUA_NOREF;
    p->next = engine.policies;
    engine.policies = p;
    if (open_policy(p, why, sizeof(why)) == 0 && open_shadow(p, why, sizeof(why)) == 0) {
        *self = p;
        return 0;
    }
    host->log(inst, WEIR_LOG_ERROR, "policy: %s", why[0] ? why : "not enough memory");
    policy_destroy(p);
    return -1;
}

static bool has_hook(const struct policy *p, enum lua_hook hook)
{
    return p->file->hook_ref[hook] != LUA_NOREF;
}

static enum weir_verdict policy_on_request(void *self, struct weir_call *call)
{
    struct policy *p = self;
    if (p->shadow)
        shadow_run(p, call);
    if (has_hook(p, LUA_ON_REQUEST))
        return engine_run(p, call, LUA_ON_REQUEST);
    if (p->shadow)
        shadow_compare(p, call, WEIR_NEXT, "");
    return WEIR_NEXT;
}

static enum weir_verdict policy_on_failure(void *self, struct weir_call *call)
{
    return has_hook(self, LUA_ON_FAILURE) ? engine_run(self, call, LUA_ON_FAILURE) : WEIR_NEXT;
}

static void policy_on_finish(void *self, struct weir_call *call)
{
    struct policy_block *block = engine.host->request_block(call);
    if (has_hook(self, LUA_ON_FINISH))
        engine_run(self, call, LUA_ON_FINISH);
    if (block && block->vars_ref > 0)
        luaL_unref(engine.L, LUA_REGISTRYINDEX, block->vars_ref);
    if (block)
        block->vars_ref = 0;
}

static const struct weir_option policy_options[] = {
    { "file", WEIR_OPTION_FILE, WEIR_OPTION_REQUIRED | WEIR_OPTION_WITH_FOLDER, offsetof(struct policy_config, file),
      NULL, 0, 0, NULL, "The Lua file; its folder belongs to the policy (require, data)." },
    { "with", WEIR_OPTION_JSON, 0, offsetof(struct policy_config, with), NULL, 0, 0, NULL,
      "What the hooks get as `cfg`." },
    { "hosts", WEIR_OPTION_LIST, 0, offsetof(struct policy_config, hosts), NULL, 0, 0, NULL,
      "Hosts that http may call: \"name\", \"name:port\" or \"*.name\"." },
    { "on_error", WEIR_OPTION_CHOICE, 0, offsetof(struct policy_config, on_error), "policy", 0, 0, "policy|deny|pass",
      "What happens to a request on which the policy fails; \"policy\": as the file says, else deny." },
    { "cpu", WEIR_OPTION_DURATION, 0, offsetof(struct policy_config, cpu_ms), "50ms", 1, 1000, NULL,
      "CPU time that one request may cost." },
    { "memory", WEIR_OPTION_SIZE, 0, offsetof(struct policy_config, memory), "16MiB", 262144, 268435456, NULL,
      "Memory that one call of a hook may hold." },
    { "max_body", WEIR_OPTION_SIZE, 0, offsetof(struct policy_config, max_body), "512KiB", 1024, 8388608, NULL,
      "Bytes of an answer that http accepts." },
    { "name", WEIR_OPTION_STRING, 0, offsetof(struct policy_config, name), NULL, 0, 0, NULL,
      "The policy's name in messages and records; else the file's own." },
    { "shadow", WEIR_OPTION_FILE, WEIR_OPTION_WITH_FOLDER, offsetof(struct policy_config, shadow), NULL, 0, 0, NULL,
      "Another version of the file, which decides beside it without effect; differences are counted and logged." },
    WEIR_OPTIONS_END,
};

static const struct weir_stage_ops policy_ops = {
    .size = sizeof(struct weir_stage_ops),
    .operations = WEIR_OP_BIT(WEIR_OP_CHAT) | WEIR_OP_BIT(WEIR_OP_COUNT) | WEIR_OP_BIT(WEIR_OP_EMBED) |
                  WEIR_OP_BIT(WEIR_OP_RERANK),
    .request_size = sizeof(struct policy_block),
    .create = policy_create,
    .destroy = policy_destroy,
    .on_request = policy_on_request,
    .on_failure = policy_on_failure,
    .on_finish = policy_on_finish,
    .test_suffix = "_test.lua",
    .read_test = test_file_read,
};

WEIR_NOTE(WEIR_KIND_STAGE);
WEIR_PLUGIN = {
    WEIR_HEAD(WEIR_KIND_STAGE),
    .name = "policy",
    .version = "1.0.0",
    .summary = "Rules in Lua: choose targets, change requests, deny, answer, decide at failure time.",
    .options = policy_options,
    .config_size = sizeof(struct policy_config),
    .stage = &policy_ops,
};
