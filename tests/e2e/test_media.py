"""fetch_media: URLs of a message are fetched only where the entry says so, only for targets that take bytes, within bounds."""
import base64
import json

from harness import Upstream, Weir, config, openai_answer

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 100
GEMINI = {"candidates": [{"index": 0, "finishReason": "STOP", "content": {"role": "model", "parts": [{"text": "seen"}]}}],
          "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2}, "modelVersion": "m"}


def media(conn):
    while (request := conn.read_request()):
        name = request.path.split("?")[0]
        if name == "/cat.png":
            conn.respond(200, PNG, {"content-type": "application/octet-stream"})
        elif name == "/moved":
            conn.respond(302, b"", {"location": "/cat.png"})
        elif name == "/round":
            conn.respond(302, b"", {"location": "/round"})
        elif name == "/page":
            conn.respond(200, b"<html>", {"content-type": "text/html"})
        elif name == "/huge":
            conn.send(b"HTTP/1.1 200 OK\r\ncontent-length: 30000000\r\n\r\n")
            try:
                for _ in range(30):
                    conn.send(b"x" * 1000000)
            except OSError:
                return
        else:
            conn.respond(404, b"")


def google(conn):
    while conn.read_request():
        conn.respond(200, GEMINI)


def asked(*urls, model="m"):
    return {"model": model, "messages": [{"role": "system", "content": "look"}, {"role": "user", "content": [
        {"type": "text", "text": "what?"}, *[{"type": "image_url", "image_url": {"url": u}} for u in urls]]}]}


def provider(up, **more):
    return {"dialect": "gemini", "base_url": up.url + "/v1beta", "key": "k", **more}


def serve(up, **more):
    return Weir(config(providers={"up": provider(up, **more)}, models={"m": {"targets": ["up/m"]}}), workers=1)


def test_not_without_the_setting():
    with Upstream(media) as files, Upstream(google) as up, serve(up) as weir:
        answer = weir.post("/v1/chat/completions", asked(files.url + "/cat.png"))
        assert answer.status == 400 and "no images by URL" in answer.text, answer
        assert answer.json["error"]["param"] == "messages[1].content[1]", answer
        assert not files.requests and not up.requests


def test_only_public_addresses():
    with Upstream(media) as files, Upstream(google) as up, serve(up, fetch_media=True) as weir:
        for url in (files.url, files.url.replace("127.0.0.1", "localhost"), files.url.replace("127.0.0.1", "[::ffff:127.0.0.1]")):
            answer = weir.post("/v1/chat/completions", asked(url + "/cat.png"))
            assert answer.status == 400 and answer.json["error"]["param"] == "messages[1].content[1]", answer
            assert "can't be fetched" in answer.text, answer
        for url in ("ftp://example.com/x", "file:///etc/passwd", "gopher://x/"):
            assert weir.post("/v1/chat/completions", asked(url)).status == 400
        assert not files.requests and not up.requests


def test_bytes_in_the_place_of_the_url():
    with Upstream(media) as files, Upstream(google) as up, serve(up, fetch_media="private") as weir:
        answer = weir.post("/v1/chat/completions", asked(files.url + "/cat.png", files.url + "/moved"))
        assert answer.status == 200 and "seen" in answer.text, answer
        assert "image_url=emulated" in answer.headers["x-weir-loss"], answer
        parts = [p["inlineData"] for c in up.requests[0].json["contents"] for p in c["parts"] if "inlineData" in p]
        assert parts == [{"mimeType": "image/png", "data": base64.b64encode(PNG).decode()}] * 2, parts
        assert len(files.requests) == 3


def test_what_cannot_be_used_names_the_field():
    with Upstream(media) as files, Upstream(google) as up, serve(up, fetch_media="private") as weir:
        for path, word in (("/none", "answered 404"), ("/page", "is no image"), ("/round", "answered 302"), ("/huge", "larger than the 20 MiB")):
            answer = weir.post("/v1/chat/completions", asked(files.url + "/cat.png", files.url + path))
            assert answer.status == 400 and word in answer.text, answer
            assert answer.json["error"]["param"] == "messages[1].content[2]", answer
        answer = weir.post("/v1/chat/completions", asked(*[files.url + "/cat.png"] * 21))
        assert answer.status == 400 and "more than 20" in answer.text, answer
        assert not up.requests


def test_for_a_server_of_the_clients_own_dialect():
    with Upstream(media) as files, Upstream(openai_answer("ok")) as up:
        c = config(providers={"up": {"catalogue": "ollama", "base_url": up.url + "/v1", "fetch_media": "private"},
                              "open": {"dialect": "openai", "base_url": up.url + "/v1", "key": "k", "fetch_media": "private"}})
        with Weir(c, workers=1) as weir:
            assert weir.post("/v1/chat/completions", asked(files.url + "/cat.png", model="up/m")).status == 200
            sent = up.requests[0].json["messages"][1]["content"][1]["image_url"]["url"]
            assert sent == "data:image/png;base64," + base64.b64encode(PNG).decode(), sent
            assert weir.post("/v1/chat/completions", asked(files.url + "/cat.png", model="open/m")).status == 200
            assert up.requests[1].json["messages"][1]["content"][1]["image_url"]["url"] == files.url + "/cat.png", "it takes URLs itself"
            assert json.loads(up.requests[1].body)["messages"][0]["content"] == "look"
