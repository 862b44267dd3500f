"""Copies for another model: the client's answer is neither delayed nor changed, whatever becomes of the copy, and the log has the pair. In
three client dialects, streamed and whole."""
import hashlib
import json
import random
import signal
import subprocess
import threading

import harness
from harness import Upstream, Weir, wait_until
from scripted import WAYS, Script, ask, error, ok, reset, settings, silent

POLICY = """local strategy = require("strategy")
return { name = "mirrors", on_request = function(req, cfg)
  return strategy.mirror(req.candidates, { to = cfg.to or "b/m", share = cfg.share, key = cfg.key, beyond = cfg.beyond,
    timeout = cfg.timeout, set = cfg.set })
end }
"""
PRICES = {"a/m": {"price": {"input": 1, "output": 2}}, "b/m": {"price": {"input": 10, "output": 20}}}


class Mirrored:
    """A weir whose model m is answered by a and copied to b; c is there if three are given."""

    def __init__(self, acts, rule=None, before=(), after=(), **more):
        self.ups = [Upstream(Script(*a)) if a else None for a in acts]
        self.weir = Weir(settings(self.ups, **more))
        self.weir.write("mirror.lua", POLICY)
        c = settings(self.ups, **more)
        c["models"].update(json.loads(json.dumps(PRICES)))
        c["routes"][0]["pipeline"] = [*before, {"policy": {"file": self.weir.path("mirror.lua"), "with": rule or {}}}, *after]
        self.settings = c
        self.weir.configure(c)

    def __enter__(self):
        self.weir.start()
        return self

    def __exit__(self, *what):
        if what[0] is None and self.weir.process.poll() is None:
            wait_until(lambda: not [c for d in self.weir.details() for c in d["calls"]] or self.close(), "copies to end")
        self.weir.__exit__(*what)
        self.close()

    def close(self):
        for u in self.ups:
            if u:
                u.close()
        self.ups = []
        return False

    def lines(self, n):
        """The log's first n lines: (those of clients, those of copies)."""
        def find():
            lines = [json.loads(x) for x in self.weir.stdout().splitlines() if x.startswith("{") and x.endswith("}")]
            return lines if len(lines) >= n else None
        lines = wait_until(find, f"{n} records")
        return [x for x in lines if "mirror" not in x], [x for x in lines if "mirror" in x]

    def pair(self):
        clients, copies = self.lines(2)
        assert len(clients) == len(copies) == 1, (clients, copies)
        assert clients[0]["id"] == copies[0]["id"], "the pair carries one id"
        return clients[0], copies[0]

    def count(self, result):
        return self.weir.metric('weir_mirrors_total{result="%s"}' % result) or 0


def notes(record, key="mirror"):
    return [d[key] for d in record.get("decisions", []) if key in d]


def cut(conn, request, _script):
    """Half of an answer."""
    if request.json.get("stream"):
        conn.start_sse()
        conn.event(harness.openai_chunk({"role": "assistant", "content": "half"}))
        conn.reset()
    else:
        conn.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 5000\r\n\r\n{\"id\":")
        conn.reset()
    return False


def garbage(conn, request, _script):
    if request.json.get("stream"):
        conn.start_sse()
        conn.send(b"3\r\n\x00\xff{\r\n")
        conn.chunk(b"data: {{{ nonsense\n\n")
        conn.end()
    else:
        conn.respond(200, b"{\"choices\": [[[")
    return True


def held(gate, then, seconds=None):
    def act(conn, request, script):
        gate.wait(seconds or harness.DEADLINE)
        return then(conn, request, script)
    return act


def test_the_pair_is_in_the_log():
    for dialect, stream in WAYS:
        with Mirrored([[ok("ours")], [ok("theirs")]]) as m:
            answer = ask(m.weir, dialect, stream)
            assert answer.status == 200 and answer.text == "ours" and answer.is_whole, answer
            assert answer.headers["x-weir-attempts"] == "1" and answer.headers["x-weir-target"] == "a/m"
            client, copy = m.pair()
            assert [a["target"] for a in client["attempts"]] == ["a/m"] and [a["target"] for a in copy["attempts"]] == ["b/m"]
            side = copy["mirror"]
            assert copy["target"] == "b/m" and copy["status"] == 200 and side["target"] == "a/m" and side["status"] == 200
            assert copy["attempts"][0]["finish"] == side["finish"] == "stop" and copy.get("stream", False) == stream
            assert copy["tokens"] == side["tokens"] == client["tokens"], (copy, client)
            assert copy["cost_usd"] > 9 * side["cost_usd"] > 0 and side["cost_usd"] == client["cost_usd"], "each pays its own"
            assert "ms" in side and "total_ms" in side and "ms" in copy["attempts"][0]
            assert notes(client) == ["b/m"] and m.count("answered") == 1
            assert b"theirs" not in bytes(answer.response.body) and "hi" not in json.dumps(copy).split('"')
            assert m.weir.metric('weir_requests_total{route="/v1*",operation="chat",target="b/m",status="2xx"}') in (None, 0)


def test_whatever_becomes_of_the_copy_the_client_sees_nothing_of_it():
    bad = [("server", error(500)), ("rate_limited", error(429)), ("broken", cut), ("connect", reset), ("broken", garbage)]
    for dialect, stream in WAYS:
        with Mirrored([[ok("ours")], [act for _, act in bad]], providers={"b": {"breaker": {"failures": 0}}}) as m:
            for i, (word, _) in enumerate(bad):
                answer = ask(m.weir, dialect, stream)
                assert answer.status == 200 and answer.text == "ours" and answer.is_whole, (word, answer)
                clients, copies = m.lines(2 * i + 2)
                client, copy = clients[i], copies[i]
                assert client["id"] == copy["id"] and "error" not in client and copy["mirror"]["status"] == 200
                assert copy["error"]["class"] in (word, "broken"), (word, copy)
                assert len(m.ups[1].requests) == i + 1 and len(copy["attempts"]) == 1, "it is asked once"
                assert m.count("failed") == i + 1 and m.count("answered") == 0


def test_a_target_that_is_down():
    with Mirrored([[ok("ours")], None]) as m:
        assert ask(m.weir, "openai", True).text == "ours"
        client, copy = m.pair()
        assert copy["error"]["class"] == "connect" and copy["status"] == 502 and "error" not in client


def test_a_silent_or_slow_copy_delays_nobody():
    for dialect, stream in WAYS:
        gate = threading.Event()
        with Mirrored([[ok("ours")], [held(gate, ok("late"))]]) as m:
            with m.weir.client() as kept:
                for _ in range(2):
                    kept.chat(stream=stream)
                    assert kept.response().content == "ours", "and the connection goes on"
            answer = ask(m.weir, dialect, stream)
            assert answer.text == "ours" and answer.is_whole
            clients, copies = m.lines(3)
            assert len(clients) == 3 and not copies, "clients' records wait for nothing"
            assert sum(d["requests_live"] + d["exchanges"] + d["body_bytes"] for d in m.weir.details()) == 0
            gate.set()
            clients, copies = m.lines(6)
            assert len(copies) == 3 and all(c["total_ms"] >= c["mirror"]["total_ms"] for c in copies)


def test_the_copy_may_be_first():
    gate = threading.Event()
    for stream in (False, True):
        gate.clear()
        with Mirrored([[held(gate, ok("ours"))], [ok("theirs")]]) as m:
            client = m.weir.client()
            client.chat(stream=stream)
            wait_until(lambda: m.count("answered") == 1, "the copy to be over")
            assert "{" not in m.weir.stdout(), "it waits for the other"
            gate.set()
            assert client.response().content == "ours"
            client.close()
            record, copy = m.pair()
            assert copy["total_ms"] <= record["total_ms"] and copy["mirror"]["status"] == 200


def test_a_client_that_leaves():
    gate = threading.Event()
    with Mirrored([[silent], [held(gate, ok("theirs"))]]) as m:
        client = m.weir.client()
        client.chat()
        m.ups[1].wait_requests(1)
        client.close()
        wait_until(lambda: len(m.lines(1)[0]) == 1, "the client's record")
        gate.set()
        record, copy = m.pair()
        assert record["status"] == copy["mirror"]["status"] == 499 and copy["mirror"]["error"]["class"] == "cancelled"
        assert copy["status"] == 200 and copy["attempts"][0]["finish"] == "stop" and "error" not in copy


def test_a_client_that_leaves_when_the_copy_is_over():
    for stream in (False, True):
        with Mirrored([[silent], [ok("theirs")]]) as m:
            client = m.weir.client()
            client.chat(stream=stream)
            wait_until(lambda: m.count("answered") == 1, "the copy to be over")
            client.close()
            record, copy = m.pair()
            assert record["status"] == copy["mirror"]["status"] == 499 and copy["status"] == 200


def test_a_share_by_chance_and_by_key():
    with Mirrored([[ok("ours")], [ok("theirs")]], {"share": 0.3}) as m:
        for _ in range(100):
            assert ask(m.weir, "openai", False).text == "ours"
        wait_until(lambda: m.count("answered") == len(m.ups[1].requests), "all to be over")
        assert 10 <= len(m.ups[1].requests) <= 55, len(m.ups[1].requests)
    for share, n in ((0, 0), (1, 5)):
        with Mirrored([[ok("ours")], [ok("theirs")]], {"share": share, "key": "k"}) as m:
            for _ in range(5):
                ask(m.weir, "openai", False)
            assert len(m.lines(5 + n)[1]) == n == len(m.ups[1].requests)


def test_more_than_there_is_room_for_are_dropped_and_counted():
    gate = threading.Event()
    caps = {"b": {"max_inflight": 5}}
    with Mirrored([[ok("ours")], [held(gate, ok("late"))]], providers=caps) as m:
        for _ in range(6):
            assert ask(m.weir, "openai", True).text == "ours", "nobody waits in a queue for a copy"
        clients, _ = m.lines(6)
        assert [notes(c)[0] for c in clients] == ["b/m"] * 2 + ["b/m: not sent: half of max_inflight is reached"] * 4, clients
        assert m.count("dropped") == 4
        gate.set()
        assert len(m.lines(8)[1]) == 2
    gate.clear()
    with Mirrored([[ok("ours")], [held(gate, ok("late"))]], mirrors={"most": 5}) as m:
        for _ in range(9):
            assert ask(m.weir, "openai", False).text == "ours"
        clients, _ = m.lines(9)
        assert [notes(c)[0] for c in clients].count("b/m: not sent: too many copies are underway") == 4
        gate.set()
        assert len(m.lines(14)[1]) == 5
        wait_until(lambda: m.weir.chat().content and m.count("answered") == 6, "room again")
    with Mirrored([[ok("ours")], [ok("theirs")]], mirrors={"most": 0}) as m:
        assert m.weir.chat().content == "ours" and not m.ups[1].requests


def test_copies_leave_places_for_those_who_wait():
    """b serves two at once: copies that hang take one of them, whoever asks b itself gets the other at once."""
    gate = threading.Event()

    def first_hangs(conn, request, script):
        return (held(gate, ok("late")) if request.json.get("stream") else ok("theirs"))(conn, request, script)
    for cap in ({"providers": {"b": {"max_inflight": 2}}}, {}):
        gate.clear()
        with Mirrored([[ok("ours")], [first_hangs]], **cap) as m:
            m.settings["models"]["b/m"]["max_inflight"] = 2
            m.weir.configure(m.settings)
            assert m.weir.reload()[0]
            for _ in range(3):
                assert m.weir.chat(stream=True).content == "ours"
            assert [notes(c)[0] for c in m.lines(3)[0]] == ["b/m"] + ["b/m: not sent: half of max_inflight is reached"] * 2
            assert m.weir.chat(model="b/m").content == "theirs"
            assert "queued" not in json.dumps(m.lines(4)[0][3])
            gate.set()
            m.lines(5)


def test_large_bodies_are_kept_once_and_only_some():
    gate, text = threading.Event(), "x" * (12 << 20)
    with Mirrored([[ok("ours")], [held(gate, ok("late"))]]) as m:
        for _ in range(4):
            assert m.weir.chat(text).content == "ours"
        clients, _ = m.lines(4)
        assert [notes(c)[0] for c in clients] == ["b/m"] * 2 + ["b/m: not sent: copies hold too many bytes"] * 2
        gate.set()
        assert len(m.lines(6)[1]) == 2
        assert m.weir.chat(text).content == "ours"
        assert notes(m.lines(8)[0][4]) == ["b/m"], "there is room again"
        assert m.ups[1].requests[0].json["messages"][0]["content"] == text


def test_an_answer_too_large_to_hold():
    with Mirrored([[ok("ours")], [ok("y" * (2 << 20))]]) as m:
        assert m.weir.chat().content == "ours"
        assert m.pair()[1]["error"]["class"] == "broken"
    with Mirrored([[ok("ours")], [ok("y" * (2 << 20))]], mirrors={"answer": "3MiB"}) as m:
        assert m.weir.chat().content == "ours"
        assert m.pair()[1]["status"] == 200


def test_a_deadline_of_its_own():
    with Mirrored([[ok("ours")], [silent]], {"timeout": {"total": 0.2}}) as m:
        assert m.weir.chat(stream=True).content == "ours"
        copy = m.pair()[1]
        assert copy["error"]["class"] == "timeout" and copy["total_ms"] >= 200 and copy["status"] == 504
        assert copy["attempts"][0]["tokens"]["estimated"] and copy["attempts"][0]["tokens"]["input"] > 0 and copy["cost_usd"] > 0, "what was sent is accounted for"
    with Mirrored([[ok("ours")], [silent]], mirrors={"total": "200ms"}) as m:
        assert m.weir.chat().content == "ours"
        assert m.pair()[1]["error"]["class"] == "timeout"


def test_it_never_answers():
    with Mirrored([[error(500)], [ok("theirs")]]) as m:
        assert ask(m.weir, "openai", False).status == 500
        client, copy = m.pair()
        assert [a["target"] for a in client["attempts"]] == ["a/m"] and copy["mirror"]["error"]["class"] == "server"
        assert copy["status"] == 200


def test_changes_of_rules_are_in_the_copy():
    redact = "return { on_request = function(req) req:redact([[\\d+]], '[n]') req.max_tokens = 7 end }"
    with Mirrored([[ok("ours")], [ok("theirs")]], {"set": {"temperature": 0.5}}, providers={"b": {"dialect": "anthropic"}}) as m:
        m.weir.write("redact.lua", redact)
        for order in (0, 1):
            stages = m.settings["routes"][0]["pipeline"]
            stages[:] = [s for s in stages if "redact" not in str(s)]
            stages.insert(order, {"policy": {"file": m.weir.path("redact.lua")}})
            m.weir.configure(m.settings)
            assert m.weir.reload()[0]
            m.weir.chat("my number is 12345")
            m.ups[1].wait_requests(order + 1)
            sent = m.ups[1].requests[order].json
            assert "12345" not in json.dumps(sent) and "[n]" in json.dumps(sent) and sent["max_tokens"] == 7, sent
            assert sent["temperature"] == 0.5 and "temperature" not in m.ups[0].requests[order].json


def test_later_rules_and_rights_hold_for_it():
    only_a = "return { on_request = function(req) return req.candidates:where{ name = 'a/m' } end }"
    with Mirrored([[ok("ours")], [ok("theirs")]]) as m:
        m.weir.write("only_a.lua", only_a)
        m.settings["routes"][0]["pipeline"].append({"policy": {"file": m.weir.path("only_a.lua")}})
        m.weir.configure(m.settings)
        assert m.weir.reload()[0]
        assert m.weir.chat().content == "ours"
        assert not m.ups[1].requests and notes(m.lines(1)[0][0]) == []
    with Mirrored([[ok("ours")], [ok("theirs")]], {"to": "b/other"}) as m:
        assert m.weir.chat().content == "ours"
        assert not m.ups[1].requests and notes(m.lines(1)[0][0]) == ["b/other is no candidate"]
    with Mirrored([[ok("ours")], [ok("theirs")]], {"to": "b/other", "beyond": True}) as m:
        assert m.weir.chat().content == "ours"
        assert m.pair()[1]["target"] == "b/other"


def test_reload_in_the_middle():
    gate = threading.Event()
    with Mirrored([[ok("ours")], [held(gate, ok("late"))]]) as m:
        for stream in (False, True):
            assert m.weir.chat(stream=stream).content == "ours"
        m.ups[1].wait_requests(2)
        assert m.weir.reload()[0]
        clients, copies = m.lines(4)
        assert [c["error"]["class"] for c in copies] == ["unavailable"] * 2, "an old generation waits for no copy"
        assert all(c["mirror"]["status"] == 200 for c in copies) and len(clients) == 2
        assert all(c["attempts"][0]["tokens"]["estimated"] for c in copies), "what was sent may be paid for"
        assert m.weir.chat().content == "ours"
        gate.set()
        assert len(m.lines(6)[1]) == 3


def test_stop_in_the_middle():
    for acts in ([[ok("ours")], [silent]], [[silent], [ok("theirs")]], [[silent], [silent]]):
        with Mirrored(acts, drain="1s") as m:
            client = m.weir.client()
            client.chat(stream=True)
            m.ups[1].wait_requests(1)
            if acts[0] != [silent]:
                assert client.response().content == "ours"
            m.weir.stop()
            client.close()
            record, copy = m.pair()
            assert record["id"] == copy["id"] and copy["mirror"]["status"] == record["status"]


# ---- stages and their memory --------------------------------------------------------------------------------------------

WATCHER = r"""
#include <weir/plugin.h>
#include <stdlib.h>

static const struct weir_host *host;
static struct weir_instance *me;
struct block { int *p; };

static int create(const struct weir_host *h, struct weir_instance *inst, const void *config, void **self)
{
    (void)config, (void)self;
    host = h;
    me = inst;
    return 0;
}
static void tell(struct weir_call *call, const char *what)
{
    const struct weir_candidate *t = host->target(call);
    host->log(me, WEIR_LOG_WARN, "SAW %s %s class=%u input=%lld", what, t && t->flags & WEIR_CANDIDATE_MIRROR ? "copy" : "own",
              (unsigned)host->outcome(call)->error_class, (long long)host->usage(call)->input);
}
static enum weir_verdict on_open(void *self, struct weir_call *call)
{
    struct block *b = host->request_block(call);
    (void)self;
    b->p = calloc(1, sizeof(*b->p));
    return WEIR_NEXT;
}
static void cancelled(void *arg)
{
    (void)arg;
    host->log(me, WEIR_LOG_WARN, "SAW cancel");
}
static enum weir_verdict on_attempt(void *self, struct weir_call *call)
{
    struct block *b = host->request_block(call);
    const struct weir_candidate *t = host->target(call);
    struct weir_str wish = host->header(call, WEIR_LIT("x-wish"));
    (void)self;
    ++*b->p;
    if (!(t->flags & WEIR_CANDIDATE_MIRROR))
        return WEIR_NEXT;
    if (weir_is(wish, "veto"))
        return WEIR_SKIP;
    if (weir_is(wish, "fail")) {
        struct weir_error e = { .size = sizeof e, .error_class = WEIR_ERROR_PERMISSION, .message = WEIR_LIT("no copies here") };
        return host->fail(call, &e);
    }
    if (weir_is(wish, "wait"))
        return host->suspend(call, "for ever", cancelled, NULL) ? WEIR_WAIT : WEIR_NEXT;
    if (weir_is(wish, "edit"))
        host->edit_field(call, WEIR_FIELD_TEMPERATURE, WEIR_LIT("0.25"));
    return WEIR_NEXT;
}
static void on_attempt_done(void *self, struct weir_call *call)
{
    struct block *b = host->request_block(call);
    (void)self;
    ++*b->p;
    tell(call, "done");
}
static void on_finish(void *self, struct weir_call *call)
{
    struct block *b = host->request_block(call);
    (void)self;
    tell(call, b->p ? "finish" : "finish without a block");
    free(b->p);
    b->p = NULL;
}
static const struct weir_stage_ops ops = { .size = sizeof ops, .flags = @FLAGS@, .request_size = sizeof(struct block), .create = create,
    .on_open = on_open, .on_attempt = on_attempt, .on_attempt_done = on_attempt_done, .on_finish = on_finish };
WEIR_PLUGIN = { WEIR_HEAD(WEIR_KIND_STAGE), .name = "watcher", .version = "1", .summary = "Tells what it sees.", .stage = &ops };
WEIR_NOTE(WEIR_KIND_STAGE);
"""


def watched(acts, flags="0", **more):
    plugin = harness.compile_plugin("watcher", WATCHER.replace("@FLAGS@", flags))
    return Mirrored(acts, before=["watcher"], plugins=[plugin], **more)


def saw(m, n):
    def find():
        lines = [line.split("SAW ")[1].strip('" ') for line in m.weir.log().splitlines() if "SAW " in line]
        return lines if len(lines) >= n else None
    return wait_until(find, f"{n} hooks")


def test_stages_see_its_beginning_and_only_that():
    for stream in (False, True):
        gate = threading.Event()
        with watched([[held(gate, ok("ours"))], [ok("theirs")]]) as m:
            client = m.weir.client()
            client.chat(stream=stream)
            wait_until(lambda: m.count("answered") == 1, "the copy to be over")
            gate.set()
            assert client.response().content == "ours"
            client.close()
            m.pair()
            done, own, finish = saw(m, 3)
            assert done.startswith("done copy class=") and not done.startswith("done copy class=0") and done.endswith("input=-1"), done
            assert own.startswith("done own class=0") and finish.startswith("finish own") and len(saw(m, 3)) == 3


def test_a_stage_that_wants_to_sees_its_end():
    with watched([[ok("ours")], [ok("theirs")]], "WEIR_STAGE_MIRRORS") as m:
        assert m.weir.chat().content == "ours"
        m.pair()
        assert sorted(s.split(" class")[0] for s in saw(m, 4)) == ["done copy", "done own", "finish own", "finish without a block own"]


def test_stages_may_veto_refuse_and_edit_it():
    with watched([[ok("ours")], [ok("theirs")]]) as m:
        assert m.weir.chat(headers={"x-wish": "veto"}).content == "ours"
        assert notes(m.lines(1)[0][0]) == ["b/m: not sent: a stage vetoed it"] and not m.ups[1].requests
        assert m.weir.chat(headers={"x-wish": "fail"}).content == "ours"
        copy = m.lines(3)[1][0]
        assert copy["error"]["class"] == "permission" and not m.ups[1].requests and "cost_usd" not in copy
        assert m.weir.chat(headers={"x-wish": "edit"}).content == "ours"
        m.lines(5)
        assert m.ups[1].requests[0].json["temperature"] == 0.25 and "temperature" not in m.ups[0].requests[2].json


def test_a_stage_that_holds_it_up_holds_up_nobody_else():
    for stream in (False, True):
        with watched([[ok("ours")], [ok("theirs")]]) as m:
            assert m.weir.chat(stream=stream, headers={"x-wish": "wait"}).content == "ours"
            record = m.lines(1)[0][0]
            assert notes(record)[0].startswith("b/m: not sent: the request was over"), record
            assert m.count("dropped") == 1 and not m.ups[1].requests
            assert saw(m, 4)[-1].startswith("finish own") and "cancel" in saw(m, 4)


def test_the_body_is_sent_when_the_client_has_long_been_answered():
    """Twelve megabytes to a target that does not read, in its own dialect (pieces of the client's bytes) and in another."""
    gate, text = threading.Event(), "x" * (12 << 20)

    def late(conn):
        gate.wait(harness.DEADLINE)
        Script(ok("late"))(conn)
    for dialect in ("openai", "anthropic"):
        gate.clear()
        with Mirrored([[ok("ours")], None]) as m, Upstream(late) as up:
            m.settings["providers"]["b"].update(dialect=dialect, base_url=up.url + ("/v1" if dialect == "openai" else ""))
            m.weir.configure(m.settings)
            assert m.weir.reload()[0]
            with m.weir.client() as client:
                client.chat(text)
                assert client.response().content == "ours"
            assert len(m.lines(1)[0]) == 1
            wait_until(lambda: not sum(d["exchanges"] for d in m.weir.details()), "the exchange to be gone")
            gate.set()
            assert m.pair()[1]["mirror"]["status"] == 200
            sent = up.requests[0].json["messages"][0]["content"]
            assert (sent if isinstance(sent, str) else sent[0]["text"]) == text


def test_the_callers_rights_hold_for_it():
    key = "wk-test-key-of-search"
    rights = {"name": "search", "hash": "sha256:" + hashlib.sha256(key.encode()).hexdigest(), "models": ["m"]}
    names = "return { on_request = function(req) return { 'a/m', { 'b/x', mirror = true, beyond = req.headers['x-beyond'] ~= nil } } end }"
    with Mirrored([[ok("ours")], [ok("theirs")]], entry=["log", "auth"], keys=[rights]) as m:
        m.weir.write("mirror.lua", names)
        m.settings["routes"][0].pop("open")
        m.settings["routes"][0]["pipeline"] = [{"policy": {"file": m.weir.path("mirror.lua")}}]
        m.weir.configure(m.settings)
        assert m.weir.reload()[0]
        bearer = {"authorization": "Bearer " + key}
        assert m.weir.chat(headers=bearer).content == "ours"
        assert notes(m.lines(1)[0][0]) == ["b/x: not sent: the key has no right to it"]
        assert m.weir.chat(headers={**bearer, "x-beyond": "1"}).content == "ours"
        clients, copies = m.lines(3)
        assert copies[0]["target"] == "b/x" and copies[0]["mirror"]["principal"] == "search" and "principal" not in copies[0]
        assert clients[1]["cost_usd"] == copies[0]["mirror"]["cost_usd"]


def test_usage_is_known_where_the_client_did_not_ask():
    with Mirrored([[ok("ours")], [ok("theirs")]]) as m:
        m.settings["routes"][0]["usage"] = "as_asked"
        m.weir.configure(m.settings)
        assert m.weir.reload()[0]
        assert m.weir.chat(stream=True).content == "ours"
        copy = m.pair()[1]
        assert m.ups[1].requests[0].json["stream_options"]["include_usage"] and copy["tokens"]["input"] > 0
        assert "stream_options" not in m.ups[0].requests[0].json


def test_an_access_token_that_comes_late():
    """The copy waits for its provider's token, is sent when the client was answered, and its stages were told once."""
    gate = threading.Event()

    def tokens(conn):
        while conn.read_request():
            gate.wait(harness.DEADLINE)
            conn.respond(200, {"access_token": "tok", "expires_in": 3600})
    with Upstream(tokens) as server:
        auth = {"oauth2": {"token_url": server.url + "/token", "client_id": "weir", "client_secret": "env:PLANTED"}}
        late = watched([[ok("ours")], [ok("theirs")]], providers={"b": {"auth": auth, "key": None}})
        late.weir.env["PLANTED"] = "secret"
        with late as m:
            assert m.weir.chat("a long word", stream=True).content == "ours"
            assert len(m.lines(1)[0]) == 1 and not m.ups[1].requests
            gate.set()
            assert m.pair()[1]["status"] == 200
            assert m.ups[1].requests[0].json["messages"][0]["content"] == "a long word"
            assert m.ups[1].requests[0].headers["authorization"] == "Bearer tok"
            assert len([s for s in saw(m, 3) if s.startswith("done copy")]) == 1


def test_an_image_that_is_fetched_for_it_alone():
    image = b"\x89PNG\r\n\x1a\n" + b"0" * 40
    gate = threading.Event()

    def pictures(conn):
        while conn.read_request():
            gate.wait(harness.DEADLINE)
            conn.respond(200, image, {"content-type": "image/png"})
    with Upstream(pictures) as server:
        with Mirrored([[ok("ours")], [ok("theirs")]], providers={"b": {"dialect": "ollama", "fetch_media": "private"}}) as m:
            parts = [{"type": "text", "text": "what is it?"}, {"type": "image_url", "image_url": {"url": server.url + "/x.png"}}]
            assert m.weir.chat(messages=[{"role": "user", "content": parts}]).content == "ours"
            assert len(m.lines(1)[0]) == 1 and not m.ups[1].requests
            gate.set()
            m.pair()
            assert m.ups[1].requests[0].json["messages"][0]["images"], m.ups[1].requests[0].json


# ---- commands ---------------------------------------------------------------------------------------------------------

def command(weir, *arguments, codes=(0,)):
    done = subprocess.run([weir.program, *arguments], capture_output=True, text=True, timeout=4 * harness.DEADLINE)
    assert done.returncode in codes, (done.returncode, done.stdout, done.stderr)
    return done.stdout


def test_explain_tells_of_it():
    with Mirrored([[ok("ours")], [ok("theirs")]]) as m:
        body = m.weir.write("body.json", json.dumps(harness.chat_body("hi")))
        told = json.loads(command(m.weir, "explain", "--json", "-c", m.weir.config_path, "--path", "/v1/chat/completions", body))
        assert [(c["target"], c.get("mirror", False)) for c in told["calls"]] == [("a/m", False), ("b/m", True)], told["calls"]
        assert [c["target"] for c in told["candidates"]] == ["a/m"] and notes(told["record"]) == ["b/m"]
        text = command(m.weir, "explain", "-c", m.weir.config_path, "--path", "/v1/chat/completions", body)
        assert "b/m" in text and "a copy" in text, text
        m.weir.chat()
        record, _ = m.pair()
        for lines in m.weir.stdout().splitlines(), m.weir.stdout().splitlines()[::-1]:
            log = m.weir.write("log.jsonl", "\n".join(lines) + "\n")
            past = json.loads(command(m.weir, "explain", "--json", "-l", log, record["id"]))
            assert past["record"]["id"] == record["id"] and "mirror" not in past["record"]
            assert [c["target"] for c in past["copies"]] == ["b/m"]
        text = command(m.weir, "explain", "-l", log, record["id"])
        assert "copies, whose answers nobody got\n  b/m: stop, first token after " in text, text


def test_recorded_and_replayed():
    with Mirrored([[ok("ours")], [ok("theirs")]], {"share": 0.5}) as m:
        path = m.weir.path("recording.jsonl")
        process = subprocess.Popen([m.weir.program, "record", "--admin", m.weir.path("admin.sock"), path], stderr=subprocess.PIPE, text=True)
        assert process.stderr.readline().startswith("recording")
        for _ in range(20):
            m.weir.chat()
        wait_until(lambda: json.loads(m.weir.admin("GET", "/record/state")[1])["requests"] == 20, "all requests in the file")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=harness.DEADLINE)
        said = command(m.weir, "replay", "--policy", m.weir.path("mirror.lua"), path)
        assert said.startswith("20 requests: 20 the same, 0 changed, 0 undecidable\n"), said
        assert said == command(m.weir, "replay", "--policy", m.weir.path("mirror.lua"), path)
        copies = len(m.ups[1].requests)
        assert 0 < copies < 20 and f"copies: {copies}, then {copies} (not in the cost)" in said and "a/m: 20, then 20" in said, said
        m.weir.write("none.lua", "return { on_request = function(req) return { 'a/m' } end }")
        said = command(m.weir, "replay", "--policy", m.weir.path("none.lua"), "--instead-of", "mirror.lua", path, codes=(3,))
        assert said.startswith(f"20 requests: {20 - copies} the same, {copies} changed") and ": a/m, a copy to b/m -> a/m\n" in said, said


def test_a_version_in_shadow_that_copies():
    """A target that answers and one that gets a copy are two things."""
    other = "return { on_request = function(req) return { 'a/m', { 'b/m', mirror = true } } end }"
    with Mirrored([[ok("ours")], [ok("theirs")]]) as m:
        m.weir.write("live.lua", "return { name = 'live', on_request = function(req) return { 'a/m', 'b/m' } end }")
        m.weir.write("other.lua", other)
        m.settings["routes"][0]["pipeline"] = [{"policy": {"file": m.weir.path("live.lua"), "shadow": m.weir.path("other.lua")}}]
        m.weir.configure(m.settings)
        assert m.weir.reload()[0]
        assert m.weir.chat().content == "ours"
        m.weir.wait_log(r"its shadow differs on .*live: a/m, b/m; shadow: a/m, b/m \(a copy\)")
        assert not m.ups[1].requests, "it sends nothing"


# ---- with everything else ------------------------------------------------------------------------------------------------

def test_beside_failover_hedge_and_rescue():
    """The pair tells who answered in the end."""
    with Mirrored([[error(500)], [ok("theirs")], [ok("the third")]]) as m:
        assert m.weir.chat(stream=True).content == "the third"
        side = m.pair()[1]["mirror"]
        assert side["target"] == "c/m" and side["attempts"] == 2 and len(m.ups[1].requests) == 1 and side["finish"] == "stop"
    gate = threading.Event()
    with Mirrored([[silent], [held(gate, ok("theirs"))], [ok("the third")]]) as m:
        m.settings["routes"][0]["hedge"] = {"after": "50ms"}
        m.weir.configure(m.settings)
        assert m.weir.reload()[0]
        assert m.weir.chat(stream=True).content == "the third"
        gate.set()
        assert m.pair()[1]["mirror"]["target"] == "c/m" and len(m.ups[1].requests) == 1, "a copy is nobody's hedge"

    def half(conn, _request, _script):
        conn.start_sse()
        conn.event(harness.openai_chunk({"role": "assistant", "content": "The quick brown fox jumps over"}))
        conn.reset()
        return False
    with Mirrored([[half], [ok("theirs")], [ok(" the lazy dog.")]]) as m:
        answer = m.weir.chat(stream=True)
        record, copy = m.pair()
        assert len(m.ups[1].requests) == 1 and copy["status"] == 200
        assert copy["mirror"]["status"] == record["status"] and copy["mirror"]["attempts"] == len(record["attempts"]) == 2, answer


def test_a_key_against_doubles_is_not_doubled():
    with Mirrored([[ok("ours")], [ok("theirs")]]) as m:
        assert m.weir.chat(headers={"idempotency-key": "once", "x-client-request-id": "r1"}).content == "ours"
        m.pair()
        ours, theirs = [u.requests[0].headers for u in m.ups]
        assert ours["idempotency-key"] == "once" and "idempotency-key" not in theirs
        assert ours["x-client-request-id"] == theirs["x-client-request-id"] == "r1"


def test_what_is_not_copied():
    tool = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}],
            "tools": [{"type": "web_search_20250305", "name": "web_search"}]}
    with Mirrored([[error(400)], [ok("theirs")]], providers={n: {"dialect": "anthropic"} for n in "ab"}) as m:
        m.weir.post("/v1/messages", tool)
        assert notes(m.lines(1)[0][0]) == ["b/m: not sent: a tool of the provider would run twice"]
    with Mirrored([[ok("ours")], [ok("theirs")]], providers={"b": {"dialect": "anthropic"}}) as m:
        m.settings["routes"][0]["n_calls"] = 4
        m.weir.configure(m.settings)
        assert m.weir.reload()[0]
        assert m.weir.chat(n=3).content == "ours"
        assert notes(m.lines(1)[0][0]) == ["b/m: not sent: its choices would take several calls"]
    with Mirrored([[ok("ours")], None]) as m:
        for _ in range(6):
            m.weir.chat()
        m.lines(11)
        assert [notes(c)[0][:33] for c in m.lines(11)[0]] == ["b/m"] * 5 + ["b/m: not sent: its breaker is ope"]


def test_vectors_are_copied_too():
    def vectors(conn, _request, _script):
        conn.respond(200, {"object": "list", "model": "m", "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}],
                           "usage": {"prompt_tokens": 3, "total_tokens": 3}})
    with Mirrored([[vectors], [vectors]]) as m:
        answer = m.weir.post("/v1/embeddings", {"model": "m", "input": "hello"})
        assert answer.json["data"][0]["embedding"] == [0.5, 0.25]
        copy = m.pair()[1]
        assert copy["operation"] == "embed" and copy["tokens"]["input"] == 3 and copy["target"] == "b/m"


def test_anything_at_once():
    """Clients that stay and clients that leave, copies that end in every way, a reload in the middle."""
    dice = random.Random(7)
    ways = [ok("theirs"), error(500), cut, reset, garbage, silent]

    def any_of(conn, request, script):
        return ways[dice.randrange(len(ways))](conn, request, script)

    def slow_or_not(conn, request, script):
        return (held_a_moment(ok("ours")) if dice.random() < 0.3 else ok("ours"))(conn, request, script)

    def held_a_moment(then):
        return held(threading.Event(), then, 0.05)
    wrong, left = [], [0]
    with Mirrored([[slow_or_not], [any_of]], {"timeout": {"total": 0.4}}, mirrors={"most": 12},
                  providers={"b": {"breaker": {"failures": 0}}}) as m:
        def client(seed):
            own = random.Random(seed)
            for i in range(25):
                dialect, stream = own.choice(WAYS)
                if own.random() < 0.15:
                    with m.weir.client() as c:
                        c.chat(stream=stream)
                    left[0] += 1
                    continue
                answer = ask(m.weir, dialect, stream)
                if answer.status != 200 or answer.text != "ours" or not answer.is_whole:
                    wrong.append(answer)
        threads = [threading.Thread(target=client, args=(seed,)) for seed in range(20)]
        for t in threads:
            t.start()
        wait_until(lambda: len(m.ups[0].requests) > 80, "half of them")
        assert m.weir.reload()[0]
        for t in threads:
            t.join(harness.DEADLINE)
        assert not wrong, wrong[:3]
        wait_until(lambda: not [c for d in m.weir.details() for c in d["calls"]], "all to end")
        clients, copies = m.lines(1)
        asked = [c for c in clients if notes(c)]
        told = {c["id"]: notes(c) for c in clients}
        assert len({c["id"] for c in copies}) == len(copies) and all(told[c["id"]] == ["b/m"] for c in copies)
        assert sum(n == ["b/m"] for n in told.values()) == len(copies), "who was sent has a line"
        assert m.count("answered") + m.count("failed") == len(copies) and m.count("dropped") == len(asked) - len(copies)
        assert len(clients) >= 200 - left[0]
