/* The host table's rooms: host.c (memory, control, request), host_conversation.c, host_targets.c (candidates, answer, attributes),
 * host_codec.c (what codecs write, time, chance, digests), host_loop.c (timers, descriptors, fetch, threads, counting).
 *
 * Each function checks that it may be called from where it is called (the table in <weir/plugin.h>) and does nothing if not.
 */
#ifndef WEIR_CORE_HOST_H
#define WEIR_CORE_HOST_H

#include "pipeline.h"

#define IN(hook) (1u << (hook))

/* Is this host function legal in the hook that runs? If not, the log says so and the caller returns its failure. */
bool host_is_legal(struct weir_call *c, uint32_t hooks, const char *function);

struct weir_str host_keep(struct weir_call *c, struct weir_str s);
struct weir_str host_format(struct weir_call *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
struct weir_str host_text(struct weir_call *c, const struct weir_text *t);
void *host_request_block(struct weir_call *c);
void *host_attempt_block(struct weir_call *c);
weir_token host_suspend(struct weir_call *c, const char *why, weir_fn cancel, void *arg);
void host_resume(struct weir_instance *inst, weir_token token, enum weir_verdict verdict);
struct weir_call *host_waiting(struct weir_instance *inst, weir_token token);
int host_fail_json(struct weir_call *c, const struct weir_json *r);
int host_emit(struct weir_call *c, const struct weir_event *e);
int host_answer_text(struct weir_call *c, struct weir_str text);
int host_release_held(struct weir_call *c);
int host_discard_held(struct weir_call *c);
const struct weir_request_view *host_request(struct weir_call *c);
struct weir_str host_header(struct weir_call *c, struct weir_str name);
bool host_header_at(struct weir_call *c, uint32_t i, struct weir_str *name, struct weir_str *value);
struct weir_str host_credential(struct weir_call *c);
const struct weir_principal *host_principal(struct weir_call *c);
int host_set_principal(struct weir_call *c, const struct weir_principal *p);
int host_set_body_limit(struct weir_call *c, uint64_t bytes);
const struct weir_key *host_keys(struct weir_instance *inst, uint32_t *n);

int64_t host_now_ms(void);
int64_t host_monotonic_us(void);
void host_lose(struct weir_call *c, enum weir_feature feature, enum weir_loss what, const char *why);
const struct weir_conversation *host_conversation(struct weir_call *c);
int host_set_field(struct weir_call *c, enum weir_field f, struct weir_str json, struct weir_str wire);
struct weir_message *host_message_add(struct weir_call *c, enum weir_role role);
struct weir_part *host_part_add(struct weir_call *c, struct weir_message *m, enum weir_part_kind kind);
struct weir_part *host_part_add_to(struct weir_call *c, struct weir_part *parent, enum weir_part_kind kind);
bool host_media_url(struct weir_call *c, struct weir_part *p, struct weir_text url);
struct weir_tool *host_tool_add(struct weir_call *c);
int host_ext_add(struct weir_call *c, struct weir_str path, struct weir_str raw, struct weir_str member);
int host_edit_field(struct weir_call *c, enum weir_field f, struct weir_str json);
int host_edit_text(struct weir_call *c, struct weir_part *part, struct weir_str plain);
int host_prepend_system(struct weir_call *c, struct weir_str plain);
void host_request_texts(struct weir_call *c, weir_text_fn fn, void *arg);
void host_event_texts(struct weir_call *c, const struct weir_event *e, weir_text_fn fn, void *arg);
int64_t host_estimate_tokens(struct weir_call *c);
bool host_complexity(struct weir_call *c, struct weir_complexity *out);

struct weir_candidate *const *host_candidates(struct weir_call *c, uint32_t *n);
struct weir_candidate *host_candidate(struct weir_call *c, struct weir_str name);
int host_candidates_set(struct weir_call *c, struct weir_candidate *const *list, uint32_t n);
struct weir_candidate *host_candidate_copy(struct weir_call *c, const struct weir_candidate *from);
int host_candidate_field(struct weir_call *c, struct weir_candidate *cand, enum weir_field f, struct weir_str json);
int host_candidate_header(struct weir_call *c, struct weir_candidate *cand, struct weir_str name,
                          struct weir_str value);
int host_candidate_timeout(struct weir_call *c, struct weir_candidate *cand, enum weir_timeout which, uint32_t ms);
int host_candidate_flag(struct weir_call *c, struct weir_candidate *cand, uint32_t flag);
const struct weir_candidate *host_target(struct weir_call *c);
struct weir_model *host_models(struct weir_call *c, uint32_t *n);
int host_status(struct weir_call *c);
int host_set_response_header(struct weir_call *c, struct weir_str name, struct weir_str value);
const struct weir_error *host_outcome(struct weir_call *c);
const struct weir_usage *host_usage(struct weir_call *c);
int host_record(struct weir_call *c, struct weir_out *out);
int host_note(struct weir_call *c, const char *key, struct weir_str value);
int host_attribute(struct weir_instance *inst, const char *name);
int host_set_attribute(struct weir_call *c, int id, struct weir_str value);
struct weir_str host_get_attribute(struct weir_call *c, int id);

int host_http_request(struct weir_call *c, const char *method, struct weir_str path);
int host_http_header(struct weir_call *c, struct weir_str name, struct weir_str value);
int host_splice(struct weir_call *c, size_t offset, size_t n, struct weir_str replacement);
int host_again(struct weir_call *c, uint32_t delay_ms, const char *method, struct weir_str path);
int host_hmac_key(struct weir_call *c, uint32_t part, const char *prefix, struct weir_str bytes, uint8_t out[32]);
struct weir_str host_key_id(struct weir_call *c, uint32_t part);
struct weir_str host_id_out(struct weir_call *c, struct weir_str id);
struct weir_str host_id_in(struct weir_call *c, struct weir_str id);
int host_hmac_caller(struct weir_instance *inst, const struct weir_key *key, const char *prefix, struct weir_str bytes,
                     uint8_t out[32]);
struct weir_str host_response_header(struct weir_call *c, struct weir_str name);
struct weir_out *host_out(struct weir_call *c);
uint64_t host_random(struct weir_call *c);
struct weir_str host_new_id(struct weir_call *c, const char *prefix);
struct weir_str host_base64(struct weir_call *c, struct weir_str bytes, bool decode);
void host_sha256(struct weir_str bytes, uint8_t out[32]);
void host_hmac_sha256(struct weir_str key, struct weir_str bytes, uint8_t out[32]);
bool host_equal(const void *a, const void *b, size_t n);
uint32_t host_secret(struct weir_instance *inst, struct weir_str name);
struct weir_str host_secret_value(uint32_t slot);
void host_token(struct weir_call *c, const struct weir_token *t);
struct weir_str host_rsa_sha256(struct weir_call *c, struct weir_str key, struct weir_str bytes);

void *host_timer(struct weir_instance *inst, uint32_t ms, weir_fn fn, void *arg);
void host_timer_cancel(struct weir_instance *inst, void *timer);
void *host_watch(struct weir_instance *inst, int fd, uint32_t events, weir_watch_fn fn, void *arg);
void host_watch_cancel(struct weir_instance *inst, void *watch);
void *host_fetch(struct weir_instance *inst, const struct weir_fetch *f, weir_fetch_fn done, void *arg);
void host_fetch_cancel(struct weir_instance *inst, void *fetch);
int host_defer(struct weir_instance *inst, weir_fn fn, void *arg);
int host_wake(struct weir_instance *inst, weir_fn fn, void *arg);
int host_counter(struct weir_instance *inst, const char *name, const char *labels);
void host_count(struct weir_instance *inst, int id, int64_t n);
void host_log(struct weir_instance *inst, enum weir_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
struct weir_str host_shared_get(struct weir_call *c, struct weir_str key);
int host_shared_set(struct weir_instance *inst, struct weir_str key, struct weir_str value, uint32_t ttl_ms);
int host_shared_incr(struct weir_instance *inst, struct weir_str key, int64_t by, uint32_t ttl_ms, int64_t *result);
int host_loop_start(struct event_base *base); /* the pipe that wake() writes to */
void host_loop_stop(void);

#endif
