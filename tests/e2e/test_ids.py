"""Ids that providers give out carry the provider's name where several could be meant, and find their way back."""

import json

from harness import Upstream, Weir, config
from test_doors import tiny
from test_jobs import serve


def files(name):
    """Gives out file-NAME, lists it, and answers what it was asked."""
    def step(conn):
        conn.respond(200, {"id": f"file-{name}", "object": "file", "filename": "id", "list": ["x", {"input_file_id": "file-2"}, None],
                           "file_ids": ["file-3", "file-4"], "output_file_id": None, "last_id": "", "usage": {"input_tokens": 3}})
    return serve(step)


def two(a, b, **more):
    c = config(None, plugins=[tiny()], **more)
    c["providers"] = {"a": {"dialect": "openai", "base_url": a.url + "/v1", "key": "k"}, "b": {"dialect": "openai", "base_url": b.url + "/v1", "key": "k"}}
    c["models"] = {}
    c["routes"] = [{"match": {"path": "/v1/*"}, "open": True, "raw": ["a", "b"], "pipeline": []}]
    return c


def test_ids_are_named_and_find_back():
    with Upstream(files("a")) as a, Upstream(files("b")) as b, Weir(two(a, b)) as weir:
        answer = weir.get("/v1/files/file-9")
        assert answer.json["id"] == "file-a~a" and len(a.requests) == 1, answer
        assert answer.json["list"] == ["x", {"input_file_id": "file-2~a"}, None] and answer.json["filename"] == "id"
        assert answer.json["file_ids"] == ["file-3~a", "file-4~a"]
        assert answer.json["output_file_id"] is None and answer.json["last_id"] == "", answer
        for path, wanted in (("/v1/files/file-b~b", "/v1/files/file-b"), ("/v1/files/file-b~b/content", "/v1/files/file-b/content"),
                             ("/v1/files?after=file-b~b&limit=2", "/v1/files?after=file-b&limit=2"), ("/v1/files/x~nobody/y?z=file~b", "/v1/files/x~nobody/y?z=file")):
            answer = weir.get(path)
            assert answer.json["id"] == "file-b~b" and b.requests[-1].path == wanted, (path, b.requests[-1])
        sent = '{"input_file_id" : "file-b~b", "custom":"file-b~b", "metadata":{"x":"~b"}, "n": [1.0]}'
        answer = weir.post("/v1/batches", sent, {"content-type": "application/json"})
        assert b.requests[-1].text == sent.replace(': "file-b~b"', ': "file-b"', 1), b.requests[-1]
        assert weir.post("/v1/batches", '{"file_ids":["f~a","g~b"]}', {"content-type": "application/json"}).status == 400
        assert len(a.requests) == 1


def test_one_provider_needs_no_names():
    with Upstream(files("a")) as a:
        c = two(a, a)
        c["routes"][0]["raw"] = ["a"]
        with Weir(c) as weir:
            assert weir.get("/v1/files/file-9~a").json["id"] == "file-a"
            assert a.requests[0].path == "/v1/files/file-9~a"


def test_streams_and_pieces():
    """An answer that comes byte by byte, as events."""
    def step(conn):
        conn.start_sse()
        for byte in b'data: {"response":{"id":"resp_1","model":"id"},"x":"\\"id\\":"}\n\nevent: "\n\ndata: {"id":"resp_2"}\n\n':
            conn.chunk(bytes([byte]))
        conn.end()
    with Upstream(serve(step)) as a, Weir(two(a, a)) as weir:
        answer = weir.post("/v1/responses", "{}", {"content-type": "application/json"})
        assert answer.text == 'data: {"response":{"id":"resp_1~a","model":"id"},"x":"\\"id\\":"}\n\nevent: "\n\ndata: {"id":"resp_2~a"}\n\n', answer


def test_a_codec_pins_and_names():
    def line(conn):
        text = '{"out":"x","id":"j-1"}\n'
        conn.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\nX-Tokens: 3\r\n\r\n" % (len(text), text))
    with Upstream(serve(line)) as a, Upstream(serve(line)) as b:
        c = two(a, b)
        for name, up in (("a", a), ("b", b)):
            c["providers"][name] = {"dialect": "tiny", "base_url": up.url, "key": "i:k"}
        c["models"] = {"m": {"targets": ["a/x", "b/x"]}, "one": {"targets": ["a/x"]}}
        c["routes"] = [{"match": {"path": "/*"}, "open": True, "pipeline": []}]
        with Weir(c) as weir:
            answer = weir.post("/gen/m:run", {"in": "hi", "stream": True})
            assert answer.text == '{"out":"x","id":"j-1~a"}\n', answer
            answer = weir.post("/gen/m:run", '{"in":"hi","stream":true,"prev":"j-7~b"}')
            assert answer.text == '{"out":"x","id":"j-1~b"}\n' and b.requests[0].text == '{"in":"hi","stream":true,"prev":"j-7"}', (answer, b.requests)
            assert weir.post("/gen/one:run", {"in": "hi", "stream": True}).text == '{"out":"x","id":"j-1"}\n'
            answer = weir.post("/gen/one:run", '{"in":"hi","stream":true,"prev":"j-7~b"}')
            assert answer.status == 503 and "ids of b" in answer.text, answer
            assert len(a.requests) == 2 and len(b.requests) == 1


RESPONSE = {"id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": "x", "previous_response_id": None,
            "output": [{"id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
                        "content": [{"type": "output_text", "text": "hi", "annotations": []}]}],
            "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}}


def respond(conn):
    conn.respond(200, RESPONSE)


def stream(conn):
    conn.start_sse()
    begun = {**RESPONSE, "status": "in_progress", "output": [], "usage": None}
    item = RESPONSE["output"][0]
    part = item["content"][0]
    for n, event in enumerate((
            {"type": "response.created", "response": begun}, {"type": "response.in_progress", "response": begun},
            {"type": "response.output_item.added", "output_index": 0, "item": {**item, "status": "in_progress", "content": []}},
            {"type": "response.content_part.added", "item_id": "msg_1", "output_index": 0, "content_index": 0, "part": {**part, "text": ""}},
            {"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0, "content_index": 0, "delta": "hi"},
            {"type": "response.output_text.done", "item_id": "msg_1", "output_index": 0, "content_index": 0, "text": "hi"},
            {"type": "response.content_part.done", "item_id": "msg_1", "output_index": 0, "content_index": 0, "part": part},
            {"type": "response.output_item.done", "output_index": 0, "item": item}, {"type": "response.completed", "response": RESPONSE})):
        conn.event({**event, "sequence_number": n}, event["type"])
    conn.end()


def test_a_response_goes_on_where_it_began():
    with Upstream(serve(respond)) as a, Upstream(serve(respond, stream)) as b:
        c = two(a, b)
        for name, up in (("a", a), ("b", b)):
            c["providers"][name] = {"dialect": "responses", "base_url": up.url + "/v1", "key": "k"}
        c["models"] = {"m": {"targets": ["a/x", "b/x"]}, "one": {"targets": ["b/x"]}}
        c["routes"] = [{"match": {"path": "/*"}, "open": True, "pipeline": []}]
        with Weir(c) as weir:
            answer = weir.post("/v1/responses", {"model": "m", "input": "hi"})
            assert answer.json == {**RESPONSE, "id": "resp_1~a"}, answer
            answer = weir.post("/v1/responses", {"model": "m", "input": "hi", "previous_response_id": "resp_0~b"})
            assert answer.json["id"] == "resp_1~b" and b.requests[0].json["previous_response_id"] == "resp_0", (answer, b.requests)
            answer = weir.post("/v1/responses", {"model": "m", "input": "hi", "previous_response_id": "resp_0~b", "stream": True})
            ids = [json.loads(e).get("response", {}).get("id") for e in answer.events]
            assert [i for i in ids if i] == ["resp_1~b"] * 3, answer
            assert len(a.requests) == 1
            answer = weir.post("/v1/responses", {"model": "one", "input": "hi", "previous_response_id": "resp_0~b", "stream": True})
            assert '"id": "resp_1"' in answer.text and b.requests[-1].json["previous_response_id"] == "resp_0", answer
