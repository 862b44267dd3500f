"""Plugins with one fault each: (name, kind, what the kit must say, source with @BODY@ filled in)."""

STAGE = r"""
#include <weir/plugin.h>
#include <stdlib.h>
#include <unistd.h>
static const struct weir_host *host;
static struct weir_instance *inst;
static int create(const struct weir_host *h, struct weir_instance *i, const void *config, void **self)
{ (void)config; host = h; inst = i; *self = &host; return 0; }
static weir_token token;
static int calls;
%s
static const struct weir_stage_ops ops = { .size = sizeof ops, .create = create, %s };
WEIR_PLUGIN = { WEIR_HEAD(WEIR_KIND_STAGE), .name = "faulty", .version = "1", .summary = "s", .stage = &ops };
WEIR_NOTE(WEIR_KIND_STAGE);
"""

REQUEST = "static enum weir_verdict hook(void *self, struct weir_call *call) { (void)self; (void)call; (void)token; (void)calls; %s }"
EVENT = ("static enum weir_verdict hook(void *self, struct weir_call *call, const struct weir_event *event) "
         "{ (void)self; (void)call; (void)event; (void)token; (void)calls; %s }")


def stage(hook, body):
    return STAGE % ((EVENT if hook == "on_event" else REQUEST) % body, f".{hook} = hook")


STAGES = [
    ("stray verdict", "broke a rule", stage("on_request", "return (enum weir_verdict)42;")),
    ("drop where it may not", "broke a rule", stage("on_request", "return WEIR_DROP;")),
    ("fail without an error", "broke a rule", stage("on_request", "return WEIR_FAIL;")),
    ("done without an answer", "broke a rule", stage("on_open", "return WEIR_DONE;")),
    ("token without wait", "broke a rule", stage("on_request", 'host->suspend(call, "x", NULL, NULL); return WEIR_NEXT;')),
    ("never resumes", "did not resume()", stage("on_request", 'host->suspend(call, "x", NULL, NULL); return WEIR_WAIT;')),
    ("resumes twice", "broke rules of",
     stage("on_request", 'token = host->suspend(call, "x", NULL, NULL); host->resume(inst, token, WEIR_NEXT); '
                         'host->resume(inst, token, WEIR_NEXT); return WEIR_WAIT;')),
    ("illegal host call", "broke rules of", stage("on_event", "host->candidates_set(call, NULL, 0); return WEIR_NEXT;")),
    ("holds for ever", "held events for ever|broke a rule", stage("on_event", "return WEIR_HOLD;")),
    ("drops the start", "broke a rule|broke rules of", stage("on_event", "return event->kind == WEIR_EVENT_START ? WEIR_DROP : WEIR_NEXT;")),
    ("crashes", "crashed or hung", stage("on_head", "abort();")),
    ("hangs", "crashed or hung", stage("on_attempt", "if (calls++ == 3) for (volatile int x = 0;; x++) ; return WEIR_NEXT;")),
    ("blocks", "held the worker's loop", stage("on_request", "if (calls++ == 5) usleep(600000); return WEIR_NEXT;")),
    ("ends the process", "crashed or hung|ended by itself", stage("on_request", "_exit(0);")),
]


def codec(template, *changes):
    """The SDK's own provider template, with a fault put in."""
    text = template.replace("@NAME@", "faulty")
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def codecs(template):
    return [
        ("early end", "still emits END", codec(template, (
            "    (void)self;\n    (void)call;\n    (void)state;\n    (void)clean;\n    return 0;",
            "    const struct egress *s = state;\n    struct piece p = { .end = WEIR_LIT(\"stop\") };\n    (void)clean;\n"
            "    if (s->has_started)\n        emit_end(self, call, state, &p);\n    return 0;"))),
        ("no end", "no END", codec(template, ("    emit(host, call, (struct weir_event){ .kind = WEIR_EVENT_END });\n", ""))),
        ("a static counter", "gives other events", codec(template, (
            "    s->has_started = true;\n", "    static uint32_t n;\n    s->has_started = true;\n    if (n++ % 7 == 6)\n"
            "        emit(host, call, (struct weir_event){ .kind = WEIR_EVENT_PING });\n"))),
        ("broken grammar", "is not open|FAIL", codec(template, (
            "    if (s->has_text)\n        emit(host, call, (struct weir_event){ .kind = WEIR_EVENT_BLOCK_STOP });\n", ""))),
        ("loses text", "changes on its way", codec(template, ("        if (p->kind == WEIR_PART_TEXT)\n", "        if (p->kind == WEIR_PART_TEXT && m->role != WEIR_ROLE_SYSTEM)\n"))),
        ("no JSON", "no JSON", codec(template, (
            "    J->array_end(out);\n    J->object_end(out);\n    return 0;",
            "    J->array_end(out);\n    J->object_end(out);\n    host->write(out, WEIR_LIT(\",\"));\n    return 0;"))),
        ("refuses without a word", "without fail()|gave no reason", codec(template, ("        return host->fail_json(call, r);", "        return -1;"))),
        ("reads past the end", "crashes with", codec(template, (
            "    if (frame->data.n == 0 || s->has_ended)\n        return 0;",
            "    if (frame->data.n == 0 || s->has_ended)\n        return 0;\n"
            "    if (frame->data.p[0] == 'n') { *(volatile int *)8 = 1; }"))),
        ("says too much", "does not come back", codec(template, (
            "    { WEIR_FIELD_MAX_TOKENS, WEIR_SAYS, NULL },\n", "    { WEIR_FIELD_MAX_TOKENS, WEIR_SAYS, NULL },\n    { WEIR_FIELD_SEED, WEIR_SAYS, NULL },\n"))),
        ("says too little", "does not declare it", codec(template, ("    { WEIR_FIELD_MAX_TOKENS, WEIR_SAYS, NULL },\n", ""))),
        ("loses what its table says", "does not call PARTLY", codec(template, ("WEIR_FEATURE_ANSWER_FINISH, WEIR_SAYS_PARTLY", "WEIR_FEATURE_ANSWER_FINISH, WEIR_SAYS"))),
        ("hangs on nonsense", "it hangs", codec(template, (
            "    if (frame->data.n == 0 || s->has_ended)\n        return 0;",
            "    if (frame->data.n == 0 || s->has_ended)\n        return 0;\n    for (volatile int x = 0; frame->data.p[0] == '['; x++)\n        ;"))),
    ]
