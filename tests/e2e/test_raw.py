"""Calls that are relayed as they are: raw routes."""
import base64
import json
import os
import threading

from harness import Upstream, Weir, compile_plugin, config, wait_until
from loops import aws_message
from scripted import records
from test_doors import tiny
from test_jobs import expected_mac, serve

MIB = 1 << 20


def relaying(up, provider=None, entry=(), **more):
    c = config(None, entry=list(entry), plugins=[tiny()], **more)
    c["providers"] = {"up": {"dialect": "openai", "base_url": up.url + "/v1", "key": "upstream-key"},
                      "sig": {"dialect": "tiny", "base_url": up.url + "/base", "key": "id-7:the-secret"}}
    c["routes"] = [{"match": {"path": p}, "open": True, "raw": provider or "up", "pipeline": []}
                   for p in ("/v1/files*", "/v1/moderations", "/openai/v1/audio/*", "/small/x/*")]
    c["routes"].append({"match": {"path": "/v1/*"}, "open": True, "pipeline": []})
    return c


def once(body, status=200, headers=None):
    return serve(lambda conn: conn.respond(status, body, headers or {"content-type": "application/json"}))


def sse(*events, named=True):
    return "".join((f"event: {e['type']}\n" if named else "") + "data: " + json.dumps(e) + "\n\n" for e in events)


CLAUDE = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "stop_reason": "tool_use", "stop_sequence": None,
          "content": [{"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}}], "usage": {"input_tokens": 11, "output_tokens": 5}}
GEMINI = {"candidates": [{"index": 0, "finishReason": "STOP", "content": {"role": "model", "parts": [{"text": "hi"}]}}],
          "usageMetadata": {"promptTokenCount": 11, "candidatesTokenCount": 5, "totalTokenCount": 16}, "modelVersion": "gemini-x"}
RESPONSE = {"id": "resp_1", "object": "response", "status": "completed", "model": "gpt-x", "created_at": 1, "error": None,
            "output": [{"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
                        "content": [{"type": "output_text", "text": "hi", "annotations": []}]}],
            "usage": {"input_tokens": 11, "output_tokens": 5, "total_tokens": 16}}
COHERE = {"id": "c1", "finish_reason": "COMPLETE", "message": {"role": "assistant", "content": [{"type": "text", "text": "hi"}]},
          "usage": {"billed_units": {"input_tokens": 11, "output_tokens": 5}, "tokens": {"input_tokens": 11, "output_tokens": 5}}}
OLLAMA = {"model": "l", "created_at": "2026-01-01T00:00:00Z", "message": {"role": "assistant", "content": "hi"}, "done": True,
          "done_reason": "stop", "prompt_eval_count": 11, "eval_count": 5}
COMPLETION = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "i", "choices": [{"index": 0, "text": "hi"}]}


def chunk(event):
    """A piece of a stream of Bedrock's InvokeModel."""
    return aws_message("chunk", {"bytes": base64.b64encode(json.dumps(event).encode()).decode(), "p": "abc"})


def test_usage_is_read_from_what_passes():
    """In the dialect of the provider, whole and streamed; what it makes no sense of passes all the same."""
    claude_stream = sse({"type": "message_start", "message": {**CLAUDE, "content": [], "stop_reason": None}},
                        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
                        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}},
                        {"type": "content_block_stop", "index": 0},
                        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}},
                        {"type": "message_stop"})
    lines = json.dumps({**OLLAMA, "done": False}) + "\n" + json.dumps({**OLLAMA, "message": {"role": "assistant", "content": ""}}) + "\n"
    completion_stream = sse(COMPLETION, {**COMPLETION, "choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 5}},
                            named=False) + "data: [DONE]\n\n"
    known, unknown = {"input": 11, "output": 5}, None
    stream, document, ndjson = "text/event-stream", "application/json", "application/x-ndjson"
    aws = "application/vnd.amazon.eventstream"
    converse = {"output": {"message": {"role": "assistant", "content": [{"text": "hi"}]}}, "stopReason": "end_turn"}
    cached = {"inputTokens": 4, "outputTokens": 5, "cacheReadInputTokens": 5, "cacheWriteInputTokens": 2}
    converse_stream = b"".join([aws_message("messageStart", {"role": "assistant"}), aws_message("messageStop", {"stopReason": "end_turn"}),
                                aws_message("metadata", {"usage": cached})])
    invoke_stream = b"".join(chunk(e) for e in (
        {"type": "message_start", "message": {**CLAUDE, "usage": {"input_tokens": 11, "output_tokens": 1}}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}}, {"type": "message_stop"}))
    llama_stream = chunk({"generation": "hi"}) + chunk({"generation": "", "amazon-bedrock-invocationMetrics": {"inputTokenCount": 11,
                                                                                                      "outputTokenCount": 5}})
    counted = {"x-amzn-bedrock-input-token-count": "11", "x-amzn-bedrock-output-token-count": "5"}
    bedrock = [(document, json.dumps({**converse, "usage": cached}), known), (aws, converse_stream, known), (aws, invoke_stream, known),
               (aws, llama_stream, known), (document, json.dumps(CLAUDE), known), (document, json.dumps({"generation": "hi", "prompt_token_count": 11,
                                                                                                         "generation_token_count": 5}), known),
               (document, json.dumps({"inputTextTokenCount": 11, "results": [{"tokenCount": 5, "outputText": "hi"}]}), known),
               (document, json.dumps({"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 5}}), known),
               (document, '{"outputs":[{"text":"hi"}]}', counted), (document, json.dumps({"embeddings": [[0.5] * 20000]}), counted),
               (document, '{"outputs":[]}', unknown), (aws, converse_stream[:60], unknown), ("image/png", "no words", counted)]
    cases = [("anthropic", document, json.dumps(CLAUDE), known), ("anthropic", stream, claude_stream, known),
             ("gemini", document, json.dumps(GEMINI), known), ("gemini", stream, sse(GEMINI, named=False), known),
             ("responses", document, json.dumps(RESPONSE), known), ("cohere", document, json.dumps(COHERE), known),
             ("ollama", document, json.dumps(OLLAMA), known), ("ollama", ndjson, lines, known),
             ("openai", stream, completion_stream, known), ("anthropic", document, '{"data":[]}', unknown),
             ("anthropic", stream, "data: {no json\n\n" + claude_stream, unknown), ("gemini", document, "[" * 70000, unknown),
             ("anthropic", document, json.dumps({**CLAUDE, "more": "x" * 70000}), unknown),
             ("cohere", document, "null", unknown), ("ollama", ndjson, "\n\n1\n", unknown)]
    cases += [("bedrock", kind, body, wanted) for kind, body, wanted in bedrock]
    for dialect, kind, body, wanted in cases:
        more, wanted = (counted, known) if wanted is counted else ({}, wanted)
        with Upstream(once(body, headers={"content-type": kind, **more})) as up:
            c = relaying(up, entry=["log"])
            c["providers"]["up"]["dialect"] = dialect
            with Weir(c) as weir:
                answer = weir.post("/v1/moderations", "{}", {"content-type": "application/json"})
                assert answer.status == 200 and answer.body == (body if isinstance(body, bytes) else body.encode()), (dialect, kind, answer)
                record = records(weir, 1)[0]
                told = record["attempts"][0].get("tokens")
                told = told and {k: told[k] for k in ("input", "output")}
                assert told == wanted and "error" not in record, (dialect, kind, body[:60], record)


def test_a_call_is_relayed_as_it_is():
    text = '{ "id":"modr-1", "results":[{"flagged":false}],"usage":{"input_tokens":7,"total_tokens":7} }'
    headers = {"content-type": "application/json; charset=utf-8", "x-request-id": "up-1", "openai-version": "v", "set-cookie": "a=b"}
    with Upstream(once(text, headers=headers)) as up, Weir(relaying(up, entry=["log"])) as weir:
        sent = '{"input": "x",  "odd":1e999}'
        answer = weir.post("/v1/moderations?a=b%20c&d", sent, {"content-type": "application/json", "openai-organization": "o",
                                                              "authorization": "Bearer mine", "cookie": "c=d", "x-weir-tags": "a=b"})
        assert answer.status == 200 and answer.text == text, answer
        assert answer.headers["x-weir-target"] == "up/*" and answer.headers["openai-version"] == "v"
        assert answer.headers["content-type"] == "application/json; charset=utf-8" and "set-cookie" not in answer.headers
        request = up.requests[0]
        assert request.path == "/v1/moderations?a=b%20c&d" and request.text == sent, request
        assert request.headers["authorization"] == "Bearer upstream-key" and request.headers["openai-organization"] == "o"
        assert request.headers["content-type"] == "application/json" and "cookie" not in request.headers and "x-weir-tags" not in request.headers
        line = [json.loads(x) for x in weir.stdout().splitlines() if x.startswith("{")][-1]
        assert line["operation"] == "raw" and line["tokens"] == {"input": 7} and line["target"] == "up/*", line
        assert line["bytes_in"] == len(sent) and line["bytes_out"] == len(text)


def test_methods_and_prefixes():
    with Upstream(once("abc", headers={"content-type": "audio/mpeg", "content-disposition": "attachment"})) as up, \
            Weir(relaying(up)) as weir:
        for method, path, wanted in (("GET", "/v1/files?limit=2", "/v1/files?limit=2"), ("DELETE", "/v1/files/f-1", "/v1/files/f-1"),
                                     ("GET", "/openai/v1/audio/x", "/v1/audio/x"), ("PATCH", "/v1/files/%2E%2E/x", "/v1/files/%2E%2E/x")):
            with weir.client() as c:
                answer = c.request(method, path).response()
            assert answer.status == 200 and answer.text == "abc", (method, answer)
            assert answer.headers["content-type"] == "audio/mpeg" and answer.headers["content-disposition"] == "attachment"
            assert up.requests[-1].method == method and up.requests[-1].path == wanted, up.requests[-1]
        assert weir.post("/v1/unclaimed", {}).headers["x-weir-error"] == "unknown_path"
        assert weir.post("/openai/v1/files", {}).headers["x-weir-error"] == "unknown_path"


def test_what_nobody_claims_can_be_relayed():
    """A raw route behind the others takes what no dialect claims; errors and keys are the provider's dialect's."""
    c = config(None, plugins=[tiny()])
    with Upstream(once('{"x":1}')) as up:
        c["providers"]["up"]["base_url"] = up.url + "/v1"
        c["providers"]["sig"] = {"dialect": "tiny", "base_url": up.url + "/base", "key": "id-7:the-secret"}
        c["routes"] = [{"match": {"path": "/*"}, "open": True, "pipeline": []}, {"match": {"path": "/gen/*"}, "open": True, "raw": "sig", "pipeline": []}]
        with Weir(c) as weir:
            assert weir.post("/gen/m:other", "{}").text == '{"x":1}' and up.requests[0].path == "/base/gen/m:other"
            assert "tiny_error" in weir.post("/gen/nobody:run", {"in": "x"}).json
            assert weir.post("/v1/other", {}).headers["x-weir-error"] == "unknown_path"
            assert len(up.requests) == 1


def test_errors_are_the_providers():
    body = '{"error":{"message":"No such File","type":"invalid_request_error","param":"id","code":null}}'
    for status, told in ((404, 404), (429, 429), (500, 500), (401, 502), (302, 502)):
        with Upstream(once(body, status)) as up, Weir(relaying(up)) as weir:
            answer = weir.get("/v1/files/f-1")
            assert answer.status == told and len(up.requests) == 1, answer
            assert (answer.text == body) == (told == status), answer
    c = relaying(up)
    c["providers"]["up"]["base_url"] = "http://127.0.0.1:9"
    with Weir(c) as weir:
        assert weir.get("/v1/files").status == 502


def held(weir):
    return max(d["body_bytes"] for d in weir.details())


def test_an_upload_is_streamed():
    go_on, total = threading.Event(), 12 * MIB
    got = []

    def slow(conn):
        head = conn.reader.until(b"\r\n\r\n")
        got.append(head.decode())
        assert go_on.wait(20)
        if b"chunked" in head:
            data = b""
            while True:
                chunk = conn.reader.chunk()
                if not chunk:
                    break
                data += chunk
        else:
            data = conn.reader.exactly(total)
        got.append(data)
        conn.respond(200, '{"id":"file-1"}')

    content = bytes(range(256)) * (total // 256)
    for is_chunked in (False, True):
        go_on.clear()
        got.clear()
        with Upstream(slow) as up, Weir(relaying(up, limits={"body": "1MiB"})) as weir:
            with weir.client() as c:
                framing = {"transfer-encoding": "chunked", "content-length": None} if is_chunked else {}
                head = {"content-type": "multipart/form-data; boundary=x", **framing}

                def send():
                    if is_chunked:
                        c.request("POST", "/v1/files", b"", head)
                        for at in range(0, total, 100000):
                            piece = content[at:at + 100000]
                            c.send(b"%x\r\n" % len(piece) + piece + b"\r\n")
                        c.send(b"0\r\n\r\n")
                    else:
                        c.request("POST", "/v1/files", content, head)
                sender = threading.Thread(target=send, daemon=True)
                sender.start()
                wait_until(lambda: got, "the head at the upstream")
                wait_until(lambda: held(weir) == 128 * 1024, "the window to be full")
                assert sender.is_alive()
                go_on.set()
                answer = c.response()
                sender.join()
            assert answer.json == {"id": "file-1"}, answer
            assert got[1] == content
            assert "multipart/form-data; boundary=x" in got[0]
            assert ("chunked" in got[0].lower()) == is_chunked, got[0]


def test_an_upload_that_asks_first():
    with Upstream(once("{}")) as up, Weir(relaying(up)) as weir:
        with weir.client() as c:
            c.send("POST /v1/files HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n")
            assert c.reader.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            assert c.send("abc").response().status == 200 and up.requests[0].text == "abc"
            assert c.request("GET", "/v1/files").response().status == 200  # the connection goes on


def test_an_upload_that_is_malformed_or_too_slow():
    with Upstream(once("{}")) as up, Weir(relaying(up, limits={"body_idle": "200ms"})) as weir:
        with weir.client() as c:
            c.send("POST /v1/files HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabcXX")
            assert c.response().status == 400
        with weir.client() as c:
            c.send("POST /v1/files HTTP/1.1\r\nhost: x\r\ncontent-length: 30\r\n\r\nabc")
            assert c.response().status == 408
        assert not up.requests


def test_a_download_is_streamed():
    total, sent, may_end = 24 * MIB, [0], threading.Event()

    def much(conn):
        conn.read_request()
        conn.send(f"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: {total}\r\n\r\n")
        while sent[0] < total:
            conn.send(b"y" * 65536)
            sent[0] += 65536
        may_end.wait(20)
    with Upstream(much) as up, Weir(relaying(up)) as weir:
        with weir.client() as c:
            c.request("GET", "/v1/files/f/content")
            answer = c.head()
            assert answer.headers["content-length"] == str(total)
            last = [-1]

            def stands_still():
                before, last[0] = last[0], sent[0]
                return before == sent[0] > 0
            wait_until(stands_still, "the upstream to be held back")
            assert sent[0] < total - 8 * MIB, sent
            data = c.reader.exactly(total)
            assert data == b"y" * total
            may_end.set()


def test_an_answer_that_breaks_off():
    with Upstream(serve(lambda conn: (conn.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc"), conn.close()))) as up, \
            Weir(relaying(up)) as weir:
        assert not weir.get("/v1/files/f").is_complete
    with Upstream(serve(lambda conn: (conn.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"), conn.close()))) as up, \
            Weir(relaying(up)) as weir:
        assert not weir.get("/v1/files/f").is_complete


def test_an_answer_before_the_upload_is_over():
    with Upstream(lambda conn: (conn.reader.until(b"\r\n\r\n"), conn.respond(413, '{"error":{"message":"too large"}}'), conn.is_closed(10))) as up, \
            Weir(relaying(up)) as weir:
        with weir.client() as c:
            c.send("POST /v1/files HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n" + "x" * 1000)
            assert c.response().status == 413


def test_a_client_leaves_in_the_middle_of_its_upload():
    closed = threading.Event()

    def wait_for_end(conn):
        try:
            conn.reader.until(b"\r\n\r\n")
            conn.reader.exactly(1000000)
        finally:
            closed.set()
    with Upstream(wait_for_end) as up, Weir(relaying(up)) as weir:
        with weir.client() as c:
            c.send("POST /v1/files HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n" + "x" * 1000)
            wait_until(lambda: up.n_connections, "the upstream's connection")
        assert closed.wait(10)


def test_a_signature_needs_the_whole_body():
    with Upstream(once("{}")) as up, Weir(relaying(up, "sig", limits={"body": "64KiB"})) as weir:
        assert weir.post("/small/x/y?z=1", "some bytes").status == 200
        request = up.requests[0]
        assert request.path == "/base/x/y?z=1" and request.headers["x-tiny-mac"] == expected_mac(request, up, "some bytes"), request
        answer = weir.post("/small/x/y", "x" * 70000)
        assert answer.status == 413 and "tiny_error" in answer.json and len(up.requests) == 1, answer


def test_rights_and_stages():
    import hashlib

    def key(name, models):
        return {"name": name, "hash": "sha256:" + hashlib.sha256(name.encode()).hexdigest(), "models": models}
    c = lambda up: relaying(up, entry=["auth"], keys=[key("all", ["*"]), key("up", ["up/*"]), key("one", ["up/m"])])
    with Upstream(once("{}")) as up, Weir(c(up)) as weir:
        def status(name):
            return weir.post("/v1/moderations", "{}", {"authorization": f"Bearer {name}"}).status
        assert [status(n) for n in ("all", "up", "one", "nobody")] == [200, 200, 403, 401], [status("one"), status("nobody")]
        assert weir.post("/v1/moderations", "{}").status == 401
        assert len(up.requests) == 2
    c = relaying(up)
    c["routes"][1]["pipeline"] = [{"policy": {"file": "deny.lua"}}]
    with Upstream(once("{}")) as up:
        c["providers"]["up"]["base_url"] = up.url + "/v1"
        weir = Weir(c)
        weir.write("deny.lua", "return { on_request = function(req) return deny{ message = 'no' } end }")
        with weir:
            assert weir.post("/v1/moderations", "{}").status in (200, 403)


STAGE = r"""
#include <weir/plugin.h>
static const struct weir_host *host;
static int create(const struct weir_host *h, struct weir_instance *inst, const void *config, void **self)
{
    (void)inst, (void)config, (void)self;
    host = h;
    return 0;
}
static enum weir_verdict on_head(void *self, struct weir_call *call)
{
    (void)self;
    host->set_response_header(call, WEIR_LIT("x-stage"), WEIR_LIT(NAME));
    return WEIR_NEXT;
}
static enum weir_verdict on_request(void *self, struct weir_call *call)
{
    (void)self, (void)call;
    return WEIR_NEXT;
}
static const struct weir_stage_ops ops = { .size = sizeof ops, .operations = OPERATIONS, .flags = FLAGS, .create = create,
                                           .on_request = on_request, .on_head = on_head };
WEIR_PLUGIN = { WEIR_HEAD(WEIR_KIND_STAGE), .name = NAME, .version = "1", .summary = "A stage.", .stage = &ops };
WEIR_NOTE(WEIR_KIND_STAGE);
"""


def test_guards_refuse_what_they_do_not_know():
    kinds = {"chats": ("WEIR_OP_BIT(WEIR_OP_CHAT)", "0"), "guard": ("WEIR_OP_BIT(WEIR_OP_CHAT)", "WEIR_STAGE_GUARD"),
             "all": ("0", "WEIR_STAGE_GUARD"), "raw": ("WEIR_OP_BIT(WEIR_OP_RAW)", "WEIR_STAGE_GUARD")}
    plugins = [compile_plugin(name, f'#define NAME "{name}"\n#define OPERATIONS {o}\n#define FLAGS {f}\n{STAGE}') for name, (o, f) in kinds.items()]
    for name, status, told in (("chats", 200, None), ("guard", 403, None), ("all", 200, "all"), ("raw", 200, "raw")):
        with Upstream(once("{}")) as up:
            c = relaying(up)
            c["plugins"] += plugins
            c["routes"][0]["pipeline"] = [name]
            with Weir(c) as weir:
                answer = weir.get("/v1/files")
                assert answer.status == status and answer.headers.get("x-stage") == told, (name, answer)
                assert len(up.requests) == (status == 200)
                assert status == 200 or answer.headers["x-weir-error"] == "guard_operation"


WAITING = r"""
#include <weir/plugin.h>
static const struct weir_host *host;
static struct weir_instance *me;
static weir_token token;
static int create(const struct weir_host *h, struct weir_instance *inst, const void *config, void **self)
{
    (void)config, (void)self;
    host = h;
    me = inst;
    return 0;
}
static void go_on(void *arg)
{
    (void)arg;
    host->resume(me, token, WEIR_NEXT);
}
static enum weir_verdict on_head(void *self, struct weir_call *call)
{
    (void)self;
    token = host->suspend(call, "a timer", NULL, NULL);
    host->timer(me, 50, go_on, NULL);
    return WEIR_WAIT;
}
static const struct weir_stage_ops ops = { .size = sizeof ops, .create = create, .on_head = on_head };
WEIR_PLUGIN = { WEIR_HEAD(WEIR_KIND_STAGE), .name = "waits", .version = "1", .summary = "A stage.", .stage = &ops };
WEIR_NOTE(WEIR_KIND_STAGE);
"""


def test_a_stage_waits_before_the_answer():
    for n in (0, 10, 3 * MIB):
        with Upstream(once("z" * n, headers={"content-type": "text/plain"})) as up:
            c = relaying(up)
            c["plugins"].append(compile_plugin("waits", WAITING))
            c["routes"][0]["pipeline"] = ["waits"]
            with Weir(c) as weir:
                assert weir.get("/v1/files").text == "z" * n


def test_connections_of_relayed_calls():
    """Small bodies share kept connections; uploads have one each, that is not kept."""
    def handler(conn):
        while conn.read_request():
            conn.respond(200, b"{}")

    with Upstream(handler) as up, Weir(relaying(up), workers=1) as weir:
        for _ in range(20):
            assert weir.post("/v1/moderations", {"input": "x"}).status == 200
        assert up.n_connections == 1, up.n_connections
        with weir.client() as client:
            for _ in range(20):
                client.request("POST", "/v1/files", b"x" * (65 * 1024), {"content-type": "application/octet-stream"})
                assert client.response().status == 200
        pid = weir.worker_pids()[0]
        assert up.n_connections == 21, up.n_connections
        wait_until(lambda: len(os.listdir(f"/proc/{pid}/fd")) < 30, "the uploads' connections to be closed")
