"""Ids that providers give out carry the provider's name where several could be meant, and find their way back."""

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
