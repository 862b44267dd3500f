"""Cohere's and Ollama's dialects through a whole weir: the same bytes on their diagonals, streams across, embeddings, ranks."""
import json

from harness import Upstream, Weir, config, openai_body
from test_jobs import serve

ASK = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def weir_to(up, dialect, provider=None, **more):
    base = up.url + ("/v1" if dialect == "openai" else "")
    c = config(None, routes=[{"match": {"path": "/*"}, "open": True, "pipeline": []}], **more)
    c["providers"]["up"] = {"dialect": dialect, "base_url": base, "auth": "none", **(provider or {})}
    c["models"] = {"m": {"targets": ["up/big"]}}
    return Weir(c)


def said(event, **data):
    return f"event: {event}\ndata: {json.dumps({'type': event, **data})}\n\n"


def delta(**message):
    return {"delta": {"message": message}}


COHERE_STREAM = [
    said("message-start", id="c-1", **delta(role="assistant", content=[], tool_plan="", tool_calls=[], citations=[])),
    said("content-start", index=0, **delta(content={"type": "text", "text": ""})),
    said("content-delta", index=0, **delta(content={"text": "Hel"})),
    said("content-delta", index=0, **delta(content={"text": "lo"})),
    said("citation-start", index=0, **delta(citations={"start": 0, "end": 5, "text": "Hello", "sources": []})),
    said("citation-end", index=0),
    said("content-end", index=0),
    said("message-end", delta={"finish_reason": "COMPLETE", "usage": {"tokens": {"input_tokens": 9, "output_tokens": 2}}}),
    "data: [DONE]\n\n",
]
OLLAMA_LINES = [json.dumps({"model": "big", "created_at": "2026-08-07T06:08:07Z", "message": {"role": "assistant", **m}, "done": False}) + "\n"
                for m in ({"content": "", "thinking": "hm"}, {"content": "Hel"}, {"content": "lo"},
                          {"content": "", "tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": {"a": 1}}}]})]
OLLAMA_LINES.append('{"model":"big","created_at":"2026-08-07T06:08:08Z","message":{"role":"assistant","content":""},"done":true,'
                    '"done_reason":"stop","total_duration":5,"prompt_eval_count":9,"eval_count":2}\n')


def streaming(pieces, kind):
    def step(conn):
        conn.send(f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n")
        for piece in pieces:
            conn.send("%x\r\n%s\r\n" % (len(piece.encode()), piece))
        conn.send("0\r\n\r\n")
    return serve(step)


def answering(body, status=200):
    return serve(lambda conn: conn.respond(status, json.dumps(body), {"content-type": "application/json"}))


# ---- the diagonals ----

def test_cohere_crosses_unchanged():
    with Upstream(streaming(COHERE_STREAM, "text/event-stream")) as up, weir_to(up, "cohere") as weir:
        body = '{ "model": "m", "messages": [ {"role":"user","content":"hi"} ], "stream": true, "safety_mode": "OFF", "new": [1] }'
        for path in ("/v2/chat", "/cohere/v2/chat"):
            answer = weir.post(path, body, {"content-type": "application/json"})
            assert answer.status == 200 and answer.text == "".join(COHERE_STREAM), answer
            assert "x-weir-loss" not in answer.headers
        assert up.requests[0].path == "/v2/chat"
        assert up.requests[0].text == body.replace('"m"', '"big"'), up.requests[0].text


def test_ollama_crosses_unchanged():
    with Upstream(streaming(OLLAMA_LINES, "application/x-ndjson")) as up, weir_to(up, "ollama") as weir:
        body = '{ "model": "m", "messages": [ {"role":"user","content":"hi"} ], "options": {"num_ctx": 9}, "keep_alive": "1m" }'
        for path in ("/api/chat", "/ollama/api/chat"):
            answer = weir.post(path, body, {"content-type": "application/json"})
            assert answer.status == 200 and answer.text == "".join(OLLAMA_LINES), answer
            assert answer.headers["content-type"].startswith("application/x-ndjson"), answer.headers
        assert up.requests[0].path == "/api/chat" and up.requests[0].text == body.replace('"m"', '"big"'), up.requests[0].text


def test_an_edit_is_spliced():
    edit = 'return { on_request = function(req) return { { "m", set = { max_tokens = 7, temperature = 0.5 } } } end }'
    for dialect, path, body, sent in (
            ("cohere", "/v2/chat", '{"model":"m", "max_tokens": 9, "messages":[{"role":"user","content":"hi"}]}',
             '{"temperature":0.5,"model":"big", "max_tokens": 7, "messages":[{"role":"user","content":"hi"}]}'),
            ("ollama", "/api/chat", '{"model":"m", "stream":false, "options": {"num_predict": 9}, "messages":[{"role":"user","content":"hi"}]}',
             '{"model":"big", "stream":false, "options": {"temperature":0.5,"num_predict": 7}, "messages":[{"role":"user","content":"hi"}]}')):
        with Upstream(answering({"error": "enough", "message": "enough"}, 400)) as up:
            weir = weir_to(up, dialect)
            weir.write("edit.lua", edit)
            c = config(None, routes=[{"match": {"path": "/*"}, "open": True, "pipeline": [{"policy": {"file": "edit.lua"}}]}])
            c["providers"]["up"] = {"dialect": dialect, "base_url": up.url, "auth": "none"}
            c["models"] = {"m": {"targets": ["up/big"]}}
            weir.configure(c)
            with weir:
                answer = weir.post(path, body, {"content-type": "application/json"})
                assert answer.status == 400 and "enough" in answer.text, answer
                assert up.requests[0].text == sent, up.requests[0].text


# ---- across ----

def test_streams_across():
    with Upstream(streaming(OLLAMA_LINES, "application/x-ndjson")) as up, weir_to(up, "ollama") as weir:
        answer = weir.post("/v1/chat/completions", {**ASK, "stream": True, "stream_options": {"include_usage": True}, "logit_bias": {"1": 2}})
        events = [json.loads(e) for e in answer.events if e != "[DONE]"]
        choices = [c for e in events for c in e["choices"]]
        assert "".join(c["delta"].get("content") or "" for c in choices) == "Hello", answer
        assert "".join(c["delta"].get("reasoning_content") or "" for c in choices) == "hm", answer
        assert choices[-1]["finish_reason"] == "tool_calls" and events[-1]["usage"]["prompt_tokens"] == 9, answer
        assert "logit_bias=dropped" in answer.headers["x-weir-loss"], answer.headers
        answer = weir.post("/v2/chat", {**ASK, "stream": True})
        assert '"content":{"thinking":"hm"}' in answer.text and '"finish_reason":"TOOL_CALL"' in answer.text, answer.text
        assert up.requests[0].json["stream"] is True
    with Upstream(streaming(COHERE_STREAM, "text/event-stream")) as up, weir_to(up, "cohere") as weir:
        lines = [json.loads(x) for x in weir.post("/api/chat", ASK).text.splitlines()]
        assert "".join(x["message"]["content"] for x in lines) == "Hello" and lines[-1]["eval_count"] == 2, lines
        assert up.requests[0].json == {"model": "big", "messages": [{"role": "user", "content": "hi"}], "stream": True}


def test_whole_answers_across():
    with Upstream(answering(openai_body("hello"))) as up, weir_to(up, "openai") as weir:
        answer = weir.post("/v2/chat", {**ASK, "k": 7})
        assert answer.json["message"]["content"] == [{"type": "text", "text": "hello"}] and answer.json["finish_reason"] == "COMPLETE", answer
        answer = weir.post("/api/chat", {**ASK, "stream": False, "keep_alive": 0})
        assert answer.json["message"]["content"] == "hello" and answer.json["done"] is True, answer
        assert "ext=dropped" in answer.headers["x-weir-loss"], answer.headers


def test_a_stream_that_breaks_is_an_error_in_both():
    def broken(conn):
        send = COHERE_STREAM[:3]
        conn.send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 99999\r\n\r\n" + "".join(send))
        conn.reset()
    with Upstream(serve(broken)) as up, weir_to(up, "cohere") as weir:
        lines = weir.post("/api/chat", ASK).text.splitlines()
        assert json.loads(lines[-1]).keys() == {"error"}, lines
        answer = weir.post("/v2/chat", {**ASK, "stream": True})
        assert '"finish_reason":"ERROR"' in answer.text, answer.text


def test_errors_in_each_shape():
    with Upstream(answering({"error": "model 'big' not found"}, 404)) as up, weir_to(up, "ollama") as weir:
        answer = weir.post("/v2/chat", ASK)
        assert answer.status == 404 and "not found" in answer.json["message"], answer
        answer = weir.post("/api/chat", {**ASK, "messages": "x"})
        assert answer.status == 400 and answer.json["error"].startswith("messages: "), answer
        answer = weir.post("/v2/chat", {**ASK, "documents": 5})
        assert answer.status == 400 and answer.json["message"].startswith("documents: "), answer
        assert weir.get("/api/tags").json["models"][0]["name"] == "m"
        assert weir.get("/cohere/v1/models").json["models"][0]["name"] == "m"


# ---- embeddings and ranks ----

VECTORS = [[0.5, -1.25], [3e-4, 2.0]]


def test_embeddings_across():
    cohere = {"id": "e", "embeddings": {"float": VECTORS}, "meta": {"billed_units": {"input_tokens": 4}}}
    with Upstream(answering(cohere)) as up, weir_to(up, "cohere", {"input_type": "clustering"}) as weir:
        answer = weir.post("/v1/embeddings", {"model": "m", "input": ["a", "b"], "dimensions": 2})
        assert [d["embedding"] for d in answer.json["data"]] == VECTORS and answer.json["usage"]["prompt_tokens"] == 4, answer
        assert up.requests[0].path == "/v2/embed" and up.requests[0].json == {
            "model": "big", "texts": ["a", "b"], "input_type": "clustering", "embedding_types": ["float"], "output_dimension": 2}, up.requests[0]
        assert weir.post("/api/embed", {"model": "m", "input": "a"}).json["embeddings"] == VECTORS
        sent = '{"model": "m", "texts": ["a"], "input_type": "search_query", "embedding_types": ["float", "int8"]}'
        assert weir.post("/v2/embed", sent, {"content-type": "application/json"}).json == cohere
        assert up.requests[2].text == sent.replace('"m"', '"big"')
    with Upstream(answering({"model": "big", "embeddings": VECTORS, "prompt_eval_count": 4})) as up, weir_to(up, "ollama") as weir:
        answer = weir.post("/v2/embed", {"model": "m", "texts": ["a", "b"], "input_type": "search_query", "embedding_types": ["float"]})
        assert answer.json["embeddings"] == {"float": VECTORS} and answer.json["texts"] == ["a", "b"], answer
        assert "input_type=dropped" in answer.headers["x-weir-loss"], answer.headers
    with Upstream(answering({"error": "x"})) as up, weir_to(up, "cohere") as weir:
        assert weir.post("/v2/embed", {"model": "m", "texts": []}).status == 400 and not up.requests


def test_ranks():
    cohere = {"id": "r", "results": [{"index": 1, "relevance_score": 0.75}, {"index": 0, "relevance_score": 0.001}], "meta": {"billed_units": {"search_units": 1}}}
    ask = {"model": "m", "query": "q", "documents": ["a", "b"], "top_n": 2}
    with Upstream(answering(cohere)) as up, weir_to(up, "cohere") as weir:
        assert weir.post("/v2/rerank", ask).json == cohere
        assert up.requests[0].path == "/v2/rerank" and up.requests[0].json == {**ask, "model": "big"}
        assert weir.post("/v1/rerank", {**ask, "return_documents": True}).json == cohere
        assert up.requests[1].path == "/v1/rerank" and up.requests[1].json["return_documents"] is True
    with Upstream(answering(cohere)) as up, weir_to(up, "cohere", {"rerank": "jina"}) as weir:
        assert weir.post("/v2/rerank", ask).json == cohere and up.requests[0].path == "/v1/rerank", up.requests


def test_voyage():
    ranks = {"object": "list", "data": [{"relevance_score": 0.75, "index": 1}, {"relevance_score": 0.001, "index": 0}], "model": "big",
             "usage": {"total_tokens": 26}}
    ask = {"model": "m", "query": "q", "documents": ["a", "b"], "top_n": 2, "return_documents": True}
    with Upstream(answering(ranks)) as up, weir_to(up, "voyage") as weir:
        answer = weir.post("/v2/rerank", ask)
        assert answer.json["results"] == [{"index": 1, "relevance_score": 0.75, "document": {"text": "b"}},
                                          {"index": 0, "relevance_score": 0.001, "document": {"text": "a"}}], answer
        assert up.requests[0].path == "/v1/rerank" and up.requests[0].json == {
            "model": "big", "query": "q", "documents": ["a", "b"], "top_k": 2}, up.requests[0]
        assert weir.post("/voyage/v1/rerank", {"model": "m", "query": "q", "documents": ["a", "b"], "top_k": 2}).json == ranks
    vectors = {"object": "list", "data": [{"object": "embedding", "embedding": v, "index": i} for i, v in enumerate(VECTORS)], "model": "big",
               "usage": {"total_tokens": 4}}
    with Upstream(answering(vectors)) as up, weir_to(up, "voyage") as weir:
        answer = weir.post("/v2/embed", {"model": "m", "texts": ["a", "b"], "input_type": "clustering", "embedding_types": ["float"]})
        assert answer.json["embeddings"] == {"float": VECTORS} and "input_type=dropped" in answer.headers["x-weir-loss"], answer
        answer = weir.post("/v1/embeddings", {"model": "m", "input": ["a", "b"], "dimensions": 2, "encoding_format": "float"})
        assert [d["embedding"] for d in answer.json["data"]] == VECTORS and answer.json["usage"]["prompt_tokens"] == 4, answer
        assert up.requests[1].json["output_dimension"] == 2, up.requests[1]
    with Upstream(answering({"detail": "no such model"}, 404)) as up, weir_to(up, "voyage") as weir:
        answer = weir.post("/voyage/v1/embeddings", {"model": "m", "input": "a"})
        assert answer.status == 404 and answer.json["detail"], answer
    with Upstream(answering({"id": "e", "embeddings": {"float": VECTORS}})) as up, weir_to(up, "cohere") as weir:
        answer = weir.post("/voyage/v1/embeddings", {"model": "m", "input": ["a", "b"], "input_type": "query", "encoding_format": "base64"})
        assert up.requests[0].json["input_type"] == "search_query" and up.requests[0].json["embedding_types"] == ["base64"], up.requests[0]
        assert [d["embedding"] for d in answer.json["data"]] == ["AAAAPwAAoL8=", "UkmdOQAAAEA="], answer
