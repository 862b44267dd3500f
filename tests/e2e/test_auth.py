"""The auth stage: who is let in, what a key may use, what reaches the provider and the record."""
import hashlib
import json

from harness import Upstream, Weir, config, openai_answer, wait_until

KEY = "wk-test-key-of-search"
OTHER = "wk-test-key-of-research"


def hash_of(key):
    return "sha256:" + hashlib.sha256(key.encode()).hexdigest()


def guarded(up, **more):
    c = config(up, entry=["log", "auth"], **more)
    c["routes"] = [{"match": {"path": "/v1/*"}, "pipeline": []}]
    c["models"] = {"m": {"targets": ["up/m"]}, "big": {"targets": ["up/big-1"]}, "gpt-*": {"targets": ["up/*"]}}
    c.setdefault("keys", [
        {"name": "search", "team": "s", "hash": hash_of(KEY), "models": ["m", "up/small-*", "gpt-5*"], "tags": {"cost": "42"}},
        {"name": "research", "hash": hash_of(OTHER)},
    ])
    return c


def bearer(key):
    return {"authorization": "Bearer " + key}


def code_of(answer):
    return answer.status, answer.headers.get("x-weir-error")


def records(weir):
    return [json.loads(line) for line in weir.stdout().splitlines() if line.startswith("{")]


def test_the_right_key_passes_and_stays_here():
    with Upstream(openai_answer("ok")) as up, Weir(guarded(up)) as weir:
        for headers in (bearer(KEY), {"api-key": KEY}):
            assert weir.chat(headers=headers).status == 200, headers
        message = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
        for headers in (bearer(KEY), {"x-api-key": KEY}):
            assert weir.post("/v1/messages", message, headers).status == 200, headers
        for request in up.requests:
            assert KEY not in str(request.header_list) and request.headers["authorization"] == "Bearer upstream-key"
        wait_until(lambda: len(records(weir)) == 4, "four records")
        assert {r["principal"] for r in records(weir)} == {"search"} and KEY not in weir.stdout() + weir.log()


def test_wrong_missing_and_conflicting_keys():
    with Upstream(openai_answer("ok")) as up, Weir(guarded(up)) as weir:
        assert code_of(weir.chat()) == (401, "missing_key")
        assert code_of(weir.chat(headers=bearer("wk-nobody"))) == (401, "invalid_key")
        assert code_of(weir.chat(headers=bearer(KEY[:-1]))) == (401, "invalid_key")
        assert code_of(weir.chat(headers={**bearer(KEY), "api-key": OTHER})) == (401, "conflicting_keys")
        assert weir.chat(headers={**bearer(KEY), "api-key": KEY}).status == 200
        answer = weir.post("/v1/messages", {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]})
        assert code_of(answer) == (401, "missing_key") and answer.json["error"]["type"] == "authentication_error", answer
        assert len(up.requests) == 1


def test_a_stranger_cannot_send_a_body():
    with Upstream(openai_answer("ok")) as up, Weir(guarded(up)) as weir, weir.client() as c:
        c.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 30000000\r\nexpect: 100-continue\r\n\r\n")
        answer = c.response()
        assert code_of(answer) == (401, "missing_key"), answer


def test_rights_on_the_model_that_was_asked_for():
    with Upstream(openai_answer("ok")) as up, Weir(guarded(up)) as weir:
        for model in ("m", "up/small-1", "gpt-5-mini"):
            assert weir.chat(model=model, headers=bearer(KEY)).status == 200, model
        for model in ("big", "up/large", "gpt-4"):
            answer = weir.chat(model=model, headers=bearer(KEY))
            assert code_of(answer) == (403, "model_not_allowed") and model in answer.text, answer
            assert weir.chat(model=model, headers=bearer(OTHER)).status == 200, model


def test_relayed_calls_take_the_right_to_all_of_a_provider():
    with Upstream(lambda conn: conn.read_request() and conn.respond(200, b"{}", {"content-type": "application/json"})) as up:
        c = guarded(up)
        c["routes"].insert(0, {"match": {"path": "/v1/files*"}, "raw": "up", "pipeline": []})
        c["keys"].append({"name": "files", "hash": hash_of("wk-files"), "models": ["up/*"]})
        with Weir(c) as weir:
            answer = weir.get("/v1/files", bearer(KEY))
            assert code_of(answer) == (403, "model_not_allowed") and 'the right to \\"up/*\\"' in answer.text, answer
            assert not up.requests
            for key in (OTHER, "wk-files"):
                assert weir.get("/v1/files", bearer(key)).status == 200
            assert len(up.requests) == 2


def test_models_shows_what_the_key_may_use():
    with Upstream(openai_answer("ok")) as up, Weir(guarded(up)) as weir:
        def listed(key):
            return [m["id"] for m in weir.get("/v1/models", bearer(key)).json["data"]]
        assert listed(KEY) == ["m"] and listed(OTHER) == ["m", "big"]
        assert weir.get("/v1/models/m", bearer(KEY)).status == 200
        assert weir.get("/v1/models/big", bearer(KEY)).status == 404
        assert weir.get("/v1/models").status == 401


def policy(weir_config, text):
    """The configuration with a rule in Lua behind the keys; the rule's text is written beside it."""
    weir_config["routes"][0]["pipeline"] = [{"policy": {"file": "rules/rule.lua"}}]
    return weir_config, text


def serve_rule(up, text):
    c, rule = policy(guarded(up), text)
    weir = Weir(c)
    weir.write("rules/rule.lua", rule)
    return weir


def test_a_rule_may_not_leave_the_keys_rights():
    rule = 'return { on_request = function(req) return { "up/large" } end }'
    with Upstream(openai_answer("ok")) as up, serve_rule(up, rule) as weir:
        answer = weir.chat(headers=bearer(KEY))
        assert answer.status == 503 and "no right" in answer.text, answer
        assert not up.requests
        assert weir.chat(headers=bearer(OTHER)).status == 200


def test_a_rule_may_vouch_for_a_target_and_the_record_says_so():
    rule = 'return { on_request = function(req) return { { "up/large", beyond = true } } end }'
    with Upstream(openai_answer("ok")) as up, serve_rule(up, rule) as weir:
        assert weir.chat(headers=bearer(KEY)).status == 200
        wait_until(lambda: records(weir), "the record")
        assert {"stage": "auth", "beyond": "up/large"} in records(weir)[0]["decisions"], records(weir)


def test_a_rule_may_choose_among_the_keys_targets():
    rule = 'return { on_request = function(req) return { "up/small-9" } end }'
    with Upstream(openai_answer("ok")) as up, serve_rule(up, rule) as weir:
        assert weir.chat(headers=bearer(KEY)).status == 200
        assert up.requests[0].json["model"] == "small-9"


def test_tags_of_the_key_and_of_the_request():
    with Upstream(openai_answer("ok")) as up, Weir(guarded(up)) as weir:
        tags = ", ".join(["run=7", "cost=1", "no-value", "=x", "long=" + "x" * 70] + [f"t{i}=v{i}" for i in range(9)])
        assert weir.chat(headers={**bearer(KEY), "x-weir-tags": tags}).status == 200
        wait_until(lambda: records(weir), "the record")
        record = records(weir)[0]
        assert record["tags"] == {"cost": "42", "run": "7", **{f"t{i}": f"v{i}" for i in range(7)}}, record["tags"]
        assert {"stage": "auth", "tags_dropped": "6"} in record["decisions"], record


def test_without_keys_only_this_machine():
    with Upstream(openai_answer("ok")) as up, Weir(guarded(up, keys=[])) as weir:
        assert weir.chat().status == 200
        assert weir.chat(headers=bearer("whatever")).status == 200
        wait_until(lambda: len(records(weir)) == 2, "the records")
        assert {r["principal"] for r in records(weir)} == {"local"}
