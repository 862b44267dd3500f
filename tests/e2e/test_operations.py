"""Calls beside chat: embeddings between dialects, ranks, tokens that weir counts itself."""
import base64
import json
import struct

from harness import Upstream, Weir, config
from test_doors import tiny
from test_jobs import serve

VECTORS = [[0.5, -1.25, 3.0], [1e-3, 0.1, -2.0]]


def openai_vectors(base64_encoded=False):
    def one(v):
        return base64.b64encode(struct.pack(f"<{len(v)}f", *v)).decode() if base64_encoded else v
    return {"object": "list", "model": "e-large", "usage": {"prompt_tokens": 9, "total_tokens": 9}, "extra": [1],
            "data": [{"object": "embedding", "index": i, "embedding": one(v)} for i, v in enumerate(VECTORS)]}


def answers(body):
    text = body if isinstance(body, (str, bytes)) else json.dumps(body)
    return serve(lambda conn: conn.respond(200, text, {"content-type": "application/json"}))


def with_dialect(up, dialect="openai", **more):
    c = config(None, plugins=[tiny()], routes=[{"match": {"path": "/*"}, "open": True, "pipeline": []}], **more)
    c["providers"]["up"] = {"dialect": dialect, "base_url": up.url + ("/v1" if dialect == "openai" else ""), "key": "k:s"}
    c["models"] = {"m": {"targets": ["up/e-large"]}}
    return c


def near(got, wanted):
    return len(got) == len(wanted) and all(abs(a - b) < 1e-6 for a, b in zip(got, wanted))


def test_embeddings_in_the_same_dialect_are_the_same_bytes():
    sent = json.dumps(openai_vectors())
    with Upstream(answers(sent)) as up, Weir(with_dialect(up)) as weir:
        answer = weir.post("/v1/embeddings", '{ "model": "m", "input": ["a", "b"], "new_field": 1 }', {"content-type": "application/json"})
        assert answer.status == 200 and answer.text == sent, answer
        assert up.requests[0].text == '{ "model": "e-large", "input": ["a", "b"], "new_field": 1 }', up.requests[0]
        assert up.requests[0].path == "/v1/embeddings"
        assert weir.post("/openai/deployments/m/embeddings?api-version=1", {"input": [1, 2, 3]}).status == 200
        assert up.requests[1].json == {"model": "e-large", "input": [1, 2, 3]}
        assert weir.metric("weir_requests_total") == 2


def test_embeddings_across_dialects():
    ollama = {"model": "e-large", "embeddings": VECTORS, "prompt_eval_count": 9}
    with Upstream(answers(ollama)) as up, Weir(with_dialect(up, "ollama")) as weir:
        answer = weir.post("/v1/embeddings", {"model": "m", "input": ["a", "b"], "dimensions": 3, "user": "u"})
        assert [d["index"] for d in answer.json["data"]] == [0, 1] and answer.json["usage"]["prompt_tokens"] == 9, answer
        assert all(near(d["embedding"], v) for d, v in zip(answer.json["data"], VECTORS)), answer
        assert up.requests[0].json["input"] == ["a", "b"] and up.requests[0].json["dimensions"] == 3
        assert "user" in answer.headers["x-weir-loss"], answer
        answer = weir.post("/v1/embeddings", {"model": "m", "input": "a", "encoding_format": "base64"})
        got = struct.unpack("<3f", base64.b64decode(answer.json["data"][0]["embedding"]))
        assert near(got, VECTORS[0]) and "x-weir-loss" not in answer.headers, answer
    for is_base64 in (False, True):
        with Upstream(answers(openai_vectors(is_base64))) as up, Weir(with_dialect(up)) as weir:
            answer = weir.post("/ollama/api/embed", {"model": "m", "input": ["a", "b"], "dimensions": 3})
            assert up.requests[0].json == {"model": "e-large", "input": ["a", "b"], "dimensions": 3}
            if not is_base64:
                assert all(near(a, b) for a, b in zip(answer.json["embeddings"], VECTORS)), answer


def test_many_inputs():
    n = 2048
    vectors = {"model": "e", "embeddings": [[i, 0.5] for i in range(n)], "prompt_eval_count": n}
    with Upstream(answers(vectors)) as up, Weir(with_dialect(up, "ollama")) as weir:
        answer = weir.post("/v1/embeddings", {"model": "m", "input": ["x"] * n})
        assert [d["embedding"][0] for d in answer.json["data"]] == list(range(n)), answer.status


def test_bad_inputs_and_targets_that_cannot():
    with Upstream(answers({"embeddings": [[1]]})) as up, Weir(with_dialect(up, "ollama")) as weir:
        for body, param in (({"model": "m"}, "input"), ({"model": "m", "input": []}, "input"), ({"model": "m", "input": ["a", ""]}, "input[1]"),
                            ({"model": "m", "input": {"a": 1}}, "input"), ({"input": "a"}, "model"), ({"model": "m", "input": ["a", 7]}, "input[1]"),
                            ({"model": "m", "input": "a", "dimensions": 0}, "dimensions")):
            answer = weir.post("/v1/embeddings", body)
            assert answer.status == 400 and answer.json["error"]["param"] == param, (body, answer)
        answer = weir.post("/v1/embeddings", {"model": "m", "input": [[1, 2], [3]]})
        assert answer.status == 400 and answer.headers["x-weir-error"] == "no_capable_target", answer
        assert not up.requests
    with Upstream(answers({"error": {"message": "no such model", "code": "model_not_found"}})) as up, Weir(with_dialect(up)) as weir:
        assert weir.post("/v1/embeddings", {"model": "m", "input": "a"}).status >= 400
    with Upstream(answers({})) as up, Weir(with_dialect(up, "anthropic")) as weir:
        answer = weir.post("/v1/embeddings", {"model": "m", "input": "a"})
        assert answer.status == 400 and "no embed" in answer.text, answer


def test_tokens_are_estimated_where_nobody_counts():
    with Upstream(answers({})) as up, Weir(with_dialect(up, "tiny")) as weir:
        answer = weir.post("/gen/m:count", {"in": "How many tokens may this sentence have?"})
        assert answer.status == 200 and 5 <= answer.json["count"] <= 30, answer
        assert answer.headers["x-weir-loss"] == "answer.usage=emulated" and not up.requests, answer
        assert weir.post("/gen/nobody:count", {"in": "x"}).status == 404


def test_ranks():
    def rank(conn):
        lines = '{"doc":1,"score":0.75}\n{"doc":0,"score":1e-3}\n'
        conn.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\nX-Tokens: 3\r\n\r\n" % (len(lines), lines))
    with Upstream(serve(rank)) as up, Weir(with_dialect(up, "tiny")) as weir:
        answer = weir.post("/gen/m:rank", {"in": "q", "docs": ["a", "b"]})
        assert answer.status == 200 and up.requests[0].path.startswith("/gen/e-large:rank"), answer
    edit = {"match": {"path": "/*"}, "open": True, "pipeline": [{"policy": {"file": "edit.lua"}}]}
    c = with_dialect(up, "tiny")
    with Upstream(serve(rank)) as up:
        c = with_dialect(up, "tiny")
        c["routes"] = [edit]
        weir = Weir(c)
        weir.write("edit.lua", 'return { on_request = function(req) return { { "m", set = { top_n = 2 } } } end }')
        with weir:
            answer = weir.post("/gen/m:rank", {"in": "q", "docs": ["a", "b"]})
            assert answer.status == 200, answer
    with Upstream(answers({})) as up, Weir(with_dialect(up)) as weir:
        answer = weir.post("/gen/m:rank", {"in": "q", "docs": ["a", "b"]})
        assert answer.status == 400 and answer.headers["x-weir-error"] == "no_capable_target" and "no rerank" in answer.text, answer


def test_the_record_names_the_operation():
    with Upstream(answers(openai_vectors())) as up, Weir(with_dialect(up, entry=["log"])) as weir:
        assert weir.post("/v1/embeddings", {"model": "m", "input": "a"}).status == 200
        weir.client().close()
        line = [json.loads(x) for x in weir.stdout().splitlines() if x.startswith("{")][-1]
        assert line["operation"] == "embed" and line["tokens"] == {"input": 9}, line


def test_tokens_are_counted_where_a_provider_can():
    body = {"model": "m", "system": "s", "messages": [{"role": "user", "content": "hi"}], "tools": [{"name": "t", "input_schema": {"type": "object"}}]}
    with Upstream(answers('{ "input_tokens": 42 }')) as up, Weir(with_dialect(up, "anthropic")) as weir:
        answer = weir.post("/v1/messages/count_tokens", body, {"anthropic-version": "2023-06-01"})
        assert answer.text == '{ "input_tokens": 42 }' and "x-weir-loss" not in answer.headers, answer
        assert up.requests[0].path == "/v1/messages/count_tokens" and up.requests[0].json == {**body, "model": "e-large"}
        answer = weir.post("/gen/m:count", {"in": "hi"})
        assert answer.json == {"count": 42}, answer
        assert up.requests[1].json == {"model": "e-large", "messages": [{"role": "user", "content": "hi"}]}, up.requests[1]
        assert weir.post("/v1/messages/count_tokens", {"model": "m"}).json["error"]["type"] == "invalid_request_error"
    with Upstream(answers("{}")) as up, Weir(with_dialect(up)) as weir:
        answer = weir.post("/v1/messages/count_tokens", body)
        assert 5 < answer.json["input_tokens"] < 100 and answer.headers["x-weir-loss"] == "answer.usage=emulated", answer
        assert not up.requests
    with Upstream(answers('{"input_tokens":"x"}')) as up, Weir(with_dialect(up, "anthropic")) as weir:
        assert weir.post("/gen/m:count", {"in": "hi"}).status == 502
