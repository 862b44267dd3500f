/* weir/plugin.h: the one symbol that a plugin exports, and what a stage is.
 *
 * Changes of the ABI, newest first:
 *   1.1  stages: test_suffix, read_test
 *        codecs: says, prefix, sign; claims with '*' anywhere, request()->star, WEIR_CLAIM_PREFIXED; trailers in decode_end; host:
 *        lose, again, hmac_key, key_id, hmac_caller, media_url; WEIR_EDIT_ANEW; WEIR_CODEC_REPEATS, _GOES_ON;
 *        fields and blocks of EMBED and RERANK; features and losses, flags of candidates for them
 *        candidates: is_healthy and what follows it
 *        kind CREDENTIALS (credentials.h), with token and rsa_sha256
 *        ids: codecs' ids, id_out, id_in, insert in a frame
 *        codecs: model_source; WEIR_CANDIDATE_N_CALLS
 *        copies: WEIR_CANDIDATE_MIRROR, WEIR_STAGE_MIRRORS
 *        JSON reader: leave, reject_inside; cache_ttl of parts and tools, WEIR_FEATURE_CACHE_TTL
 *        codecs: other_stream_type, tokens_of
 *        weir_is_logprob(); what blocks of images and log probabilities hold
 *        WEIR_OPTION_RECORDS, WEIR_PRINCIPAL_MAY_EXPLAIN
 *   1.0  first version
 *
 * A plugin is a shared object that exports exactly one symbol, the constant `weir_plugin`. Write it with WEIR_PLUGIN:
 *
 *      WEIR_PLUGIN = { WEIR_HEAD(WEIR_KIND_STAGE), .name = "hello", .version = "1.0", .summary = "…", .stage = &ops };
 *      WEIR_NOTE(WEIR_KIND_STAGE);
 *
 * The same 16 bytes stand in an ELF note, so that weir can refuse a plugin before any of its code runs.
 */
#ifndef WEIR_PLUGIN_H
#define WEIR_PLUGIN_H

#include "base.h"
#include "conversation.h"
#include "event.h"
#include "host.h"
#include "json.h"

#define WEIR_MAGIC UINT32_C(0x72696577) /* "weir" */

enum weir_kind {
    WEIR_KIND_STAGE = 1,
    WEIR_KIND_CODEC = 2,
    WEIR_KIND_TRANSPORT = 3, /* reserved: websocket, bidirectional streams */
    WEIR_KIND_CREDENTIALS = 4, /* since 1.1: access tokens for provider entries */
};

struct weir_head { /* frozen */
    uint32_t magic;
    uint16_t abi_major, abi_minor;
    uint32_t size; /* sizeof(struct weir_plugin) of who built it */
    uint32_t kind; /* enum weir_kind */
};

/* Configuration: the core fills a struct of the plugin from its table and reports every mistake with file and line. */
enum weir_option_type {
    WEIR_OPTION_STRING = 1,   /* const char * (never NULL; "" if not given) */
    WEIR_OPTION_INT = 2,      /* int64_t */
    WEIR_OPTION_NUMBER = 3,   /* double */
    WEIR_OPTION_BOOL = 4,     /* bool */
    WEIR_OPTION_DURATION = 5, /* int64_t milliseconds; written 500ms, 15s, 5m, 1h */
    WEIR_OPTION_SIZE = 6,     /* int64_t bytes; written 64KiB, 32MiB */
    WEIR_OPTION_CHOICE = 7,   /* int32_t: index into `choices` ("off|on|auto") */
    WEIR_OPTION_SECRET = 8,   /* const char *; never printed */
    WEIR_OPTION_LIST = 9,     /* const char *const *: strings, NULL at the end */
    WEIR_OPTION_JSON = 10,    /* const char *: any value, as JSON text; "null" if not given */
    WEIR_OPTION_FILE = 11,    /* const char *: path of the generation's own copy; "" if not given */
};
enum weir_option_flag {
    WEIR_OPTION_REQUIRED = 1u << 0,
    WEIR_OPTION_WITH_FOLDER = 1u << 1, /* FILE: the file's folder belongs to the generation too */
#if WEIR_ABI_MINOR >= 1
    WEIR_OPTION_RECORDS = 1u << 2, /* STRING: a file that gets request records, one a line: `weir explain` looks there */
#endif
};
struct weir_option { /* frozen */
    const char *name;
    uint16_t type;   /* enum weir_option_type */
    uint16_t flags;  /* enum weir_option_flag */
    uint32_t offset; /* into the plugin's configuration struct */
    const char *fallback; /* as it would be written in the configuration; NULL: zero */
    double min, max;      /* both 0: no bounds */
    const char *choices;  /* "a|b|c" */
    const char *help;     /* one sentence */
};
#define WEIR_OPTIONS_END { NULL, 0, 0, 0, NULL, 0, 0, NULL, NULL }

/* ---- stages ---------------------------------------------------------------------------------------------------------
 *
 * A stage takes part in requests through hooks; a hook that is NULL costs nothing. Order: towards the upstream 1→n,
 * back n→1. Each hook runs under a breadcrumb: if it crashes or hangs, one log line names plugin, hook and request.
 *
 *   hook             runs                                              may return
 *   on_open          headers in, body unread                           NEXT DONE WAIT FAIL
 *   on_request       the conversation is decoded; once per request     NEXT DONE WAIT FAIL
 *   on_failure       an attempt failed before the commit point         NEXT WAIT FAIL
 *   on_attempt       a target is chosen; per attempt                   NEXT SKIP WAIT FAIL
 *   on_head          first metadata of the answer, before any byte     NEXT WAIT FAIL
 *   on_event         every event of the answer                         NEXT DROP HOLD WAIT FAIL
 *   on_attempt_done  exactly once per on_attempt that was entered      –
 *   on_finish        exactly once per stage entered, whatever happened –
 *
 * After WAIT the verdict given to resume() takes the place of the hook's own.
 *
 *   host call                                legal in
 *   credential set_principal set_body_limit  on_open
 *   edit_field edit_text prepend_system      on_request, on_attempt
 *   candidates_set                           on_request, on_failure
 *   answer_text                              on_open, on_request
 *   emit                                     on_open, on_request (then DONE), on_event
 *   release_held discard_held                on_event
 *   set_response_header                      on_open, on_request, on_attempt, on_head
 *   suspend                                  every hook that may return WAIT
 *   everything else                          everywhere
 */
struct weir_stage_ops {
    uint32_t size; /* sizeof(struct weir_stage_ops) */
    uint32_t operations; /* WEIR_OP_BITs this stage understands; 0: all. Others pass by, or are refused by a guard */
    uint32_t event_kinds; /* bits 1 << enum weir_event_kind that on_event wants; 0: all */
    uint32_t flags;      /* WEIR_STAGE_* */
    uint32_t request_size, attempt_size; /* bytes of the stage's blocks */
    /* Once per worker and use in the configuration. `config` lives as long as the worker. Returns 0, or a negative number
     * after log(ERROR …), which keeps the generation from going live. host is the same in all calls. */
    int (*create)(const struct weir_host *host, struct weir_instance *inst, const void *config, void **self);
    void (*destroy)(void *self); /* NULL allowed */
    enum weir_verdict (*on_open)(void *self, struct weir_call *call);
    enum weir_verdict (*on_request)(void *self, struct weir_call *call);
    /* What was tried is told by target() and outcome(). candidates() are those not tried yet; candidates_set() replaces
     * them. 1→n; only for failures for which another candidate may be tried. */
    enum weir_verdict (*on_failure)(void *self, struct weir_call *call);
    enum weir_verdict (*on_attempt)(void *self, struct weir_call *call);
    enum weir_verdict (*on_head)(void *self, struct weir_call *call);
    enum weir_verdict (*on_event)(void *self, struct weir_call *call, const struct weir_event *event);
    void (*on_attempt_done)(void *self, struct weir_call *call);
    void (*on_finish)(void *self, struct weir_call *call);
#if WEIR_ABI_MINOR >= 1
    /* ---- since 1.1 ---- */
    /* Tests that users write for a stage's files, for `weir test`. Files that end in `test_suffix` ("_test.lua") are theirs;
     * NULL: there are none. read_test reads one and writes it as JSON:
     *      { "settings": {…}, "cases": [ { "name": "…", "settings": {…}, … } ] }
     * The first settings belong to every case; what else a case holds stands in lua/README.md, "Tests". Returns 0, or -1 after
     * writing one sentence in place of it. Called without an instance, in a process that does nothing else. */
    const char *test_suffix;
    int (*read_test)(const struct weir_host *host, const char *path, struct weir_out *out);
#endif
};
#define WEIR_STAGE_GUARD 1u     /* what it does not understand is refused, never passed */
#define WEIR_STAGE_SETS_PRINCIPAL 2u /* it authenticates: a route behind it is protected */
#if WEIR_ABI_MINOR >= 1
#define WEIR_STAGE_MIRRORS 4u /* on_finish is called for copies, too (WEIR_CANDIDATE_MIRROR), with blocks of their own, all zero */
#endif

struct weir_codec; /* codec.h */
struct weir_credentials; /* credentials.h */

struct weir_plugin {
    struct weir_head head;
    const char *name;    /* "auth": lower case letters, digits, '_' and '-' */
    const char *version; /* the plugin's own, "1.2.0" */
    const char *summary; /* one sentence */
    const char *author;  /* may be NULL */
    const struct weir_option *options; /* NULL: takes no configuration */
    uint32_t config_size;
    uint32_t reserved;
    const struct weir_stage_ops *stage; /* kind STAGE */
    const struct weir_codec *codec;     /* kind CODEC */
#if WEIR_ABI_MINOR >= 1
    const struct weir_credentials *credentials; /* kind CREDENTIALS */
#endif
};

#define WEIR_HEAD(plugin_kind)                                                                                        \
    .head = { WEIR_MAGIC, WEIR_ABI_MAJOR, WEIR_ABI_MINOR, (uint32_t)sizeof(struct weir_plugin), (plugin_kind) }

#define WEIR_PLUGIN __attribute__((visibility("default"), used)) const struct weir_plugin weir_plugin

/* The ELF note: owner "weir", type 1, the head's 16 bytes. */
struct weir_note {
    uint32_t name_size, head_size, type;
    char name[8];
    struct weir_head head;
};
#define WEIR_NOTE(plugin_kind)                                                                                        \
    __attribute__((section(".note.weir"), used, aligned(4))) static const struct weir_note weir_note = {              \
        5, sizeof(struct weir_head), 1, "weir",                                                                       \
        { WEIR_MAGIC, WEIR_ABI_MAJOR, WEIR_ABI_MINOR, (uint32_t)sizeof(struct weir_plugin), (plugin_kind) }           \
    }

/* Published offsets never move. */
_Static_assert(sizeof(struct weir_head) == 16, "the head is frozen");
_Static_assert(offsetof(struct weir_plugin, name) == 16 && offsetof(struct weir_plugin, stage) == 64, "ABI 1.0");
_Static_assert(sizeof(struct weir_str) == 16 && sizeof(struct weir_text) == 16, "ABI 1.0");
_Static_assert(offsetof(struct weir_event, text) == 24 && offsetof(struct weir_event, usage) == 88, "ABI 1.0");

#endif
