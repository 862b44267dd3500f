"""Google's dialect as a front door: its paths, bytes that stay as they are, streams without SSE, counts, vectors, models, errors."""
import json
import threading

from harness import Upstream, Weir, config, openai_answer, openai_stream

HELLO = [{"role": "user", "parts": [{"text": "hi"}]}]


def google(body="hello", finish="STOP"):
    return {"candidates": [{"content": {"role": "model", "parts": [{"text": body}]}, "finishReason": finish, "index": 0}],
            "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5}, "modelVersion": "g", "responseId": "r1"}


def answers(*bodies):
    """Each request gets the next body; the last again."""
    left = list(bodies)

    def handler(conn):
        while True:
            request = conn.read_request()
            if request is None:
                return
            body = left.pop(0) if len(left) > 1 else left[0]
            if "alt=sse" in request.path:
                conn.start_sse()
                conn.event(body)
                conn.end()
            else:
                conn.respond(200, body if isinstance(body, (str, bytes)) else json.dumps(body), {"content-type": "application/json"})
    return handler


def setup(up, dialect="gemini", **more):
    c = config(None, routes=[{"match": {"path": "/*"}, "open": True, "pipeline": []}], **more)
    base = {"gemini": "/v1beta", "openai": "/v1"}[dialect]
    c["providers"] = {"up": {"dialect": dialect, "base_url": up.url + base, "key": "k"}}
    c["models"] = {"m": {"targets": ["up/real"]}}
    return c


def post(weir, verb, body, root="/gemini/v1beta/models/m"):
    return weir.post(f"{root}:{verb}", body if isinstance(body, str) else json.dumps(body), {"content-type": "application/json"})


def test_bytes_stay_as_they_are():
    sent = json.dumps({"contents": HELLO, "generation_config": {"top_k": 5}, "new_field": {"a": [1, 2]}}, indent=2)
    got = json.dumps(google(), indent=3)
    with Upstream(answers(got)) as up, Weir(setup(up)) as weir:
        for root in ("/gemini/v1beta/models/m", "/v1beta/models/m", "/gemini/v1/models/m", "/v1/models/m",
                     "/v1beta1/projects/p/locations/l/publishers/google/models/m"):
            answer = post(weir, "generateContent", sent, root)
            assert answer.status == 200 and answer.text == got, answer
        assert {r.path for r in up.requests} == {"/v1beta/models/real:generateContent"}
        assert {r.text for r in up.requests} == {sent}
        assert {r.headers["x-goog-api-key"] for r in up.requests} == {"k"}


def test_a_stream_is_sse_or_an_array():
    with Upstream(answers(json.dumps(google()))) as up, Weir(setup(up)) as weir:
        answer = post(weir, "streamGenerateContent?alt=sse", {"contents": HELLO})
        assert answer.headers["content-type"].startswith("text/event-stream") and json.loads(answer.events[0]) == google()
    with Upstream(answers(json.dumps([google("a", None), google("b")]))) as up, Weir(setup(up)) as weir:
        answer = post(weir, "streamGenerateContent", {"contents": HELLO})
        assert up.requests[0].path == "/v1beta/models/real:streamGenerateContent"
        assert [c["candidates"][0]["content"]["parts"][0]["text"] for c in answer.json] == ["a", "b"], answer
    with Upstream(openai_answer("hello")) as up, Weir(setup(up, "openai")) as weir:
        answer = post(weir, "streamGenerateContent", {"contents": HELLO})
        assert answer.headers["content-type"] == "application/json"
        assert "".join(p["text"] for e in answer.json for p in e["candidates"][0]["content"]["parts"]) == "hello", answer
        events = post(weir, "streamGenerateContent?alt=sse", {"contents": HELLO}).events
        assert "".join(p["text"] for e in events for p in json.loads(e)["candidates"][0]["content"]["parts"]) == "hello", events


def growing(gate, *pieces):
    """An array as Google sends it without alt=sse; all but the first piece when the test says so."""
    def handler(conn):
        while conn.read_request() is not None:
            conn.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=UTF-8\r\nTransfer-Encoding: chunked\r\n\r\n")
            conn.chunk(pieces[0])
            assert gate.acquire(timeout=10)
            for piece in pieces[1:]:
                conn.chunk(piece)
            conn.end()
    return handler


def reads_until(client, what):
    got = b""
    while what not in got:
        piece = client.reader.chunk()
        assert piece, got
        got += piece
    return got


def test_an_array_comes_piece_by_piece():
    gate = threading.Semaphore(0)
    first, second = json.dumps(dict(google("a", None), new=1), indent=2).encode(), json.dumps(google("b"), indent=2).encode()
    pieces = [b"[" + first, b"\n,\r\n" + second[:40], second[40:] + b"\n]\n"]
    with Upstream(growing(gate, *pieces)) as up, Weir(setup(up)) as weir:
        with weir.client() as client:  # the bytes stay as they are
            assert client.request("POST", "/gemini/v1beta/models/m:streamGenerateContent", {"contents": HELLO}).head().status == 200
            assert client.answer.headers["content-type"] == "application/json"
            assert reads_until(client, b'"new": 1') == pieces[0]
            gate.release()
            assert client.rest().body == b"".join(pieces[1:])
        with weir.client() as client:  # events were asked for, an array came
            client.request("POST", "/gemini/v1beta/models/m:streamGenerateContent?alt=sse", {"contents": HELLO}).head()
            assert b'"a"' in reads_until(client, b"\r\n\r\n")
            gate.release()
            assert b'"b"' in client.rest().body
        with weir.client() as client:  # another dialect
            client.chat(stream=True).head()
            assert b'"a"' in reads_until(client, b'"content":"a"')
            gate.release()
            assert client.rest().body.endswith(b"data: [DONE]\n\n")


def test_an_array_that_breaks_is_not_complete():
    gate = threading.Semaphore(9)
    with Upstream(growing(gate, b"[" + json.dumps(google("a", None)).encode(), b',{"candi')) as up, Weir(setup(up)) as weir:
        answer = post(weir, "streamGenerateContent", {"contents": HELLO})
        assert "error" in json.loads(answer.text)[-1] and not answer.is_complete, answer


def test_an_array_for_a_stream_of_another_dialect():
    with Upstream(openai_stream(["hel", "lo"])) as up, Weir(setup(up, "openai")) as weir:
        answer = post(weir, "streamGenerateContent", {"contents": HELLO})
        assert answer.headers["content-type"] == "application/json"
        assert len(answer.json) >= 3
        assert "".join(p["text"] for e in answer.json for p in e["candidates"][0]["content"]["parts"]) == "hello", answer


def test_tokens_and_vectors():
    with Upstream(answers({"totalTokens": 31}, {"embedding": {"values": [1, 0.5]}}, {"embeddings": [{"values": [1]}, {"values": [2]}]})) as up, \
            Weir(setup(up)) as weir:
        assert post(weir, "countTokens", {"contents": HELLO}).json == {"totalTokens": 31}
        assert post(weir, "embedContent", {"content": {"parts": [{"text": "a"}]}}).json == {"embedding": {"values": [1, 0.5]}}
        requests = [{"model": "models/m", "content": {"parts": [{"text": t}]}} for t in "ab"]
        assert post(weir, "batchEmbedContents", {"requests": requests}).json["embeddings"] == [{"values": [1]}, {"values": [2]}]
        assert [r.path.split(":")[1] for r in up.requests] == ["countTokens", "embedContent", "batchEmbedContents"]
        assert [r["model"] for r in up.requests[2].json["requests"]] == ["models/real"] * 2
        answer = weir.post("/v1/embeddings", {"model": "m", "input": ["a", "b"], "dimensions": 8})
        assert [d["embedding"] for d in answer.json["data"]] == [[1], [2]], answer
        assert up.requests[3].json["requests"][1] == {"model": "models/real", "content": {"parts": [{"text": "b"}]}, "outputDimensionality": 8}
    vectors = {"object": "list", "model": "e", "data": [{"object": "embedding", "index": 0, "embedding": [0.25]}], "usage": {"prompt_tokens": 2, "total_tokens": 2}}
    with Upstream(answers(vectors)) as up, Weir(setup(up, "openai")) as weir:
        answer = post(weir, "embedContent", {"content": {"parts": [{"text": "a"}]}, "outputDimensionality": 1})
        assert answer.json["embedding"] == {"values": [0.25]} and up.requests[0].json["dimensions"] == 1, answer


def test_models_and_errors():
    with Upstream(answers(google())) as up, Weir(setup(up)) as weir:
        assert "models/m" in [m["name"] for m in weir.get("/v1beta/models").json["models"]]
        assert weir.get("/gemini/v1beta/models/m").json["name"] == "models/m"
        error = weir.get("/gemini/v1beta/models/none").json["error"]
        assert error["code"] == 404 and error["status"] == "NOT_FOUND", error
        error = post(weir, "generateContent", {"contents": [{"parts": [{"text": 1}]}]}).json["error"]
        assert error["status"] == "INVALID_ARGUMENT" and "contents[0].parts[0].text" in error["message"], error
        assert up.requests == []


def test_what_others_call_it():
    """A refusal, grounding, a blocked prompt: told in the client's words, or told to be lost."""
    grounded = google()
    grounded["candidates"][0]["groundingMetadata"] = {"webSearchQueries": ["x"]}
    with Upstream(answers(grounded, {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 3}})) as up, Weir(setup(up)) as weir:
        answer = weir.chat()
        assert answer.content == "hello" and "answer.citations=dropped" in answer.headers["x-weir-loss"], answer
        answer = weir.chat()
        assert answer.json["choices"][0]["finish_reason"] == "content_filter", answer
