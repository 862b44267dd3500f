"""`list_models`: the list of models that callers get names what providers say they have, in every dialect's shape, as far as the key's
rights go. A provider that is dead, slow or talks nonsense delays nobody and leaves what was known."""
import hashlib
import threading
import time

from harness import DEADLINE, Upstream, Weir, wait_until

OFTEN = "100ms"


class Lister:
    """Answers GETs with what `pages` gives for the query, and notes the requests."""

    def __init__(self, pages):
        self.pages, self.asked = pages, []

    def __call__(self, conn):
        while (request := conn.read_request()) is not None:
            self.asked.append(request)
            path, _, query = request.path.partition("?")
            answer = self.pages(path, query)
            status, body = answer if isinstance(answer, tuple) else (200, answer)
            conn.respond(status, body)


def openai_list(*names):
    return {"object": "list", "data": [{"id": n, "object": "model", "created": 1, "owned_by": "x"} for n in names]}


def serves(answer, path="/v1/models"):
    return lambda p, q: answer if p == path else (404, b"{}")


def config(providers, models=None, **more):
    c = {"entry": ["log"], "workers": 1, "providers": providers, "models": models or {},
         "routes": [{"match": {"path": "/*"}, "open": True, "pipeline": []}]}
    c.update(more)
    return c


def provider(up, dialect="openai", base="/v1", **more):
    return {"dialect": dialect, "base_url": up.url + base, "key": "key-of-mine", "list_models": OFTEN, **more}


def ids(weir, headers=None):
    return [m["id"] for m in weir.get("/v1/models", headers).json["data"]]


def has(weir, *names):
    return wait_until(lambda: set(names) <= set(ids(weir)), f"{names} in the list")


def test_they_stand_beside_what_is_configured():
    one, two = Lister(serves(openai_list("m1", "m2"))), Lister(serves(openai_list("m1")))
    with Upstream(one) as a, Upstream(two) as b:
        models = {"fast": {"targets": ["a/m1"]}, "a/m2": {"context": 1000}}
        with Weir(config({"a": provider(a), "b": provider(b), "c": {**provider(b), "list_models": False}}, models)) as weir:
            has(weir, "a/m1", "b/m1")
            assert sorted(ids(weir)) == ["a/m1", "a/m2", "b/m1", "fast"], "each once"
            model = weir.get("/v1/models/a/m1").json
            assert model["id"] == "a/m1" and model["owned_by"] == "a"
            assert one.asked[0].headers["authorization"] == "Bearer key-of-mine"


def test_in_every_dialects_shape():
    with Upstream(Lister(serves(openai_list("m1")))) as up, Weir(config({"a": provider(up)})) as weir:
        has(weir, "a/m1")
        assert weir.get("/v1/models", {"anthropic-version": "2023-06-01"}).json["data"][0]["id"] == "a/m1"
        assert weir.get("/gemini/v1beta/models").json["models"][0]["name"] == "models/a/m1"
        assert weir.get("/cohere/v1/models").json["models"][0]["name"] == "a/m1"
        assert weir.get("/ollama/api/tags").json["models"][0]["name"] == "a/m1"


def query(text):
    return dict(x.split("=", 1) for x in text.split("&") if x)


def test_every_dialects_list_is_read_page_by_page():
    def anthropic(path, q):
        after = query(q).get("after_id")
        data = [{"type": "model", "id": n} for n in (["c2"] if after else ["c1"])]
        return {"data": data, "has_more": not after, "first_id": data[0]["id"], "last_id": data[0]["id"]}

    def gemini(path, q):
        token = query(q).get("pageToken")
        return {"models": [{"name": "models/g2"}]} if token == "a%2Bb%3D" else \
            {"models": [{"name": "models/g1", "displayName": "G"}], "nextPageToken": "a+b="}

    def cohere(path, q):
        token = query(q).get("page_token")
        return {"models": [{"name": "h2"}], "next_page_token": ""} if token else {"models": [{"name": "h1"}], "next_page_token": "2"}

    def ollama(path, q):
        return {"models": [{"name": "o1:latest", "model": "o1:latest"}]}
    listers = [Lister(f) for f in (anthropic, gemini, cohere, ollama)]
    ups = [Upstream(x) for x in listers]
    try:
        dialects, bases = ("anthropic", "gemini", "cohere", "ollama"), ("", "/v1beta", "", "")
        with Weir(config({d: provider(u, d, b) for d, b, u in zip(dialects, bases, ups)})) as weir:
            has(weir, "anthropic/c1", "anthropic/c2", "gemini/g1", "gemini/g2", "cohere/h1", "cohere/h2", "ollama/o1:latest")
        paths = [x.asked[0].path.partition("?")[0] for x in listers]
        assert paths == ["/v1/models", "/v1beta/models", "/v1/models", "/api/tags"], paths
        assert listers[0].asked[0].headers["x-api-key"] == "key-of-mine"
        assert listers[0].asked[0].headers["anthropic-version"] == "2023-06-01"
        assert listers[1].asked[0].headers["x-goog-api-key"] == "key-of-mine"
    finally:
        for u in ups:
            u.close()


def test_only_what_the_key_may_use():
    def key(name, models):
        digest = hashlib.sha256(name.encode()).hexdigest()
        return {"name": name, "team": "t", "hash": "sha256:" + digest, "models": models}
    with Upstream(Lister(serves(openai_list("m1", "m2")))) as up:
        c = config({"a": provider(up)}, entry=["log", "auth"], keys=[key("one", ["a/m1"]), key("all", ["*"]), key("none", ["x"])])
        c["routes"][0].pop("open")
        with Weir(c) as weir:
            wait_until(lambda: len(ids(weir, {"authorization": "Bearer all"})) == 2, "both")
            assert ids(weir, {"authorization": "Bearer one"}) == ["a/m1"]
            assert ids(weir, {"authorization": "Bearer none"}) == []
            assert weir.get("/v1/models/a/m2", {"authorization": "Bearer one"}).status == 404


def test_it_is_asked_again_and_what_was_known_stays():
    answers = [openai_list("m1")]
    lister = Lister(lambda p, q: answers[0])
    with Upstream(lister) as up, Weir(config({"a": provider(up)})) as weir:
        has(weir, "a/m1")
        for bad in ((500, b"{}"), (200, b"<html>"), (200, {"data": 5}), (200, b'{"data":[{"id":"x"}'), (200, {"other": []})):
            answers[0] = bad
            n = len(lister.asked)
            wait_until(lambda: len(lister.asked) >= n + 3, "it is asked again and again")
            weir.wait_log("event=models.list .*provider=a")
            assert ids(weir) == ["a/m1"], bad
        answers[0] = [{"id": "m2"}, {"id": ""}, {"id": "has blank"}, {"id": 7}, {}, {"id": "n" * 300}]
        wait_until(lambda: ids(weir) == ["a/m2"], "the new list, an array only, without what is no name")


def test_a_dead_or_silent_provider_delays_nobody():
    gate = threading.Event()

    def silence(path, q):
        gate.wait(DEADLINE)
        return openai_list("late")
    with Upstream(Lister(silence)) as silent, Upstream(Lister(serves(openai_list("m1")))) as up:
        dead = {"dialect": "openai", "base_url": "http://127.0.0.1:9/v1", "key": "k", "list_models": True}
        with Weir(config({"dead": dead, "silent": provider(silent), "a": provider(up)})) as weir:
            silent.wait_requests(1)
            begun = time.monotonic()
            has(weir, "a/m1")
            assert ids(weir) == ["a/m1"] and time.monotonic() - begun < 5
            gate.set()
            has(weir, "silent/late")


def test_endless_pages_end():
    turn = iter(range(10 ** 6))

    def endless(path, q):
        return {"models": [{"name": f"models/g{next(turn)}"}], "nextPageToken": "on"}
    lister = Lister(endless)
    with Upstream(lister) as up, Weir(config({"a": provider(up, "gemini", "/v1beta", list_models="1h")})) as weir:
        wait_until(lambda: len(ids(weir)) == 50, "fifty pages and no more")
        assert len(lister.asked) == 50


def test_a_page_that_is_too_large_is_let_go():
    with Upstream(Lister(lambda p, q: b'{"data":[' + b" " * (5 << 20) + b"]}")) as up, Weir(config({"a": provider(up)})) as weir:
        weir.wait_log("event=models.list .*larger than 4 MiB")
        assert ids(weir) == []


def test_more_models_than_fit_are_left_out_and_told():
    with Upstream(Lister(serves(openai_list(*(f"m{i}" for i in range(5001)))))) as up:
        with Weir(config({"a": provider(up)})) as weir:
            has(weir, "a/m0", "a/m4999")
            assert "a/m5000" not in ids(weir) and len(ids(weir)) == 5000
            weir.wait_log("more models than are listed")


def test_mistakes_in_the_configuration_are_told():
    def log_of(**more):
        weir = Weir(config({"a": {"dialect": "openai", "base_url": "http://127.0.0.1:9", "key": "k", **more}}))
        assert weir.start(wants_exit=True) != 0
        return weir.log()
    assert "list_models" in log_of(list_models="soon")
    assert "has no list of models" in log_of(dialect="voyage", list_models=True)


if __name__ == "__main__":
    import run
    run.main(["model_lists"])
