"""Front doors: prefixes, stars, Azure's deployments, whose words an error is said in."""
import os

from harness import Upstream, Weir, chat_body, compile_plugin, config, openai_answer

TINY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "plugins", "tiny.c")


def tiny():
    with open(TINY) as f:
        return compile_plugin("tiny", f.read())


def with_tiny(up, **more):
    c = config(up, plugins=[tiny()], routes=[{"match": {"path": "/*"}, "open": True, "pipeline": []}], **more)
    c["models"]["other:run"] = {"targets": ["up/o"]}
    return c


def anthropic_body(model="m"):
    return {"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}


def test_every_dialect_has_a_prefix():
    with Upstream(openai_answer("hello")) as up, Weir(with_tiny(up)) as weir:
        for path, body in (("/v1/chat/completions", chat_body()), ("/openai/v1/chat/completions", chat_body()),
                           ("/v1/messages", anthropic_body()), ("/anthropic/v1/messages", anthropic_body()),
                           ("/gen/m:run", {"in": "hi"}), ("/small/gen/m:run", {"in": "hi"})):
            answer = weir.post(path, body)
            assert answer.status == 200 and "hello" in answer.text, (path, answer)
        assert weir.post("/tiny/gen/m:run", {"in": "hi"}).status == 404


def test_the_longest_claim_wins():
    with Upstream(openai_answer("hello")) as up, Weir(with_tiny(up)) as weir:
        assert weir.get("/gen").text.split() == ["m", "other:run"]
        assert weir.get("/gen/m").text.split() == ["m"]
        assert weir.get("/gen/%6d").text.split() == ["m"]
        assert weir.get("/gen/other:run").text.split() == ["other:run"]
        assert weir.post("/gen/other:run:run", {"in": "hi"}).json["out"] == "hello"
        assert up.requests[-1].json["model"] == "o"
        assert weir.post("/gen/:run", {"in": "hi"}).status == 405  # a star is at least one character
        assert weir.post("/gen/m", {"in": "hi"}).status == 405


def test_a_place_that_two_claim():
    with Upstream(openai_answer("hello")) as up, Weir(with_tiny(up)) as weir:
        assert weir.get("/v1/models").json["object"] == "list"
        assert "has_more" in weir.get("/v1/models", {"anthropic-version": "2023-06-01"}).json
        assert "has_more" in weir.get("/anthropic/v1/models", {"anthropic-version": "2023-06-01"}).json
        assert weir.get("/small/v1/models").text.split() == ["m", "other:run"]


def test_errors_are_said_in_the_words_of_the_door():
    with Weir(with_tiny(None, limits={"body": "1KiB"})) as weir:
        for path in ("/gen/m:run", "/small/gen/m:run"):
            answer = weir.post(path, {"in": "x" * 2000})
            assert answer.status == 413 and list(answer.json) == ["tiny_error"], answer
        assert "tiny_error" in weir.post("/small/none", {}).json
        assert "tiny_error" in weir.get("/gen/x:run").json
        answer = weir.post("/v1/messages", {"x": "x" * 2000})
        assert answer.json["type"] == "error" and answer.json["error"]["type"] == "request_too_large", answer
        assert weir.post("/anthropic/v2/none", {}).json["type"] == "error"
        answer = weir.post("/openai/v1/chat/completions", {"x": "x" * 2000})
        assert answer.json["error"]["code"] == "body_too_large", answer
        with weir.client() as c:
            answer = c.send("GET / HTTP/3.7\r\n\r\n").response()
            assert answer.json["error"]["code"] == answer.headers["x-weir-error"], answer


def test_azures_deployments():
    with Upstream(openai_answer("hello")) as up, Weir(with_tiny(up)) as weir:
        path = "/openai/deployments/%6D/chat/completions?api-version=2024-10-21"
        body = {"messages": [{"role": "user", "content": "hi"}]}
        for asked in (body, {**body, "model": "whatever"}, {**body, "model": "m"}):
            answer = weir.post(path, asked, {"api-key": "k"})
            assert answer.content == "hello", answer
            sent = up.requests[-1]
            assert sent.json["model"] == "m" and sent.path == "/v1/chat/completions", sent
            assert "api-key" not in sent.headers
        assert weir.get("/openai/models?api-version=2024-10-21").json["object"] == "list"
        assert weir.post("/deployments/m/chat/completions", body).status == 404
        assert weir.post("/openai/deployments/nobody/chat/completions", body).headers["x-weir-error"] == "model_not_found"


def test_routes_see_the_path_that_was_sent():
    routes = [{"match": {"path": "/openai/*"}, "open": True, "pipeline": []}]
    with Upstream(openai_answer("hello")) as up, Weir(config(up, routes=routes)) as weir:
        assert weir.post("/openai/v1/chat/completions", chat_body()).status == 200
        assert weir.chat().headers["x-weir-error"] == "no_route"
