"""What a translation loses: told in a header and in the record, and refused where the route says so."""
import json
import os
import subprocess

from harness import BUILD, ROOT, Upstream, Weir, compile_plugin, config, openai_answer, wait_until

TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}


def anthropic_body(**more):
    return {"id": "msg_1", "type": "message", "role": "assistant", "model": "c", "content": [{"type": "text", "text": "hello"}],
            "stop_reason": "end_turn", "stop_sequence": None, "usage": {"input_tokens": 3, "output_tokens": 2}, **more}


def anthropic_answer(**more):
    """Answers every request with this message, streamed if asked for."""
    def handler(conn):
        while True:
            request = conn.read_request()
            if request is None:
                return
            body = anthropic_body(**more)
            if not request.json.get("stream"):
                conn.respond(200, body)
                continue
            conn.start_sse()
            content = body.pop("content")

            def say(kind, **data):
                conn.event(json.dumps({"type": kind, **data}), kind)
            say("message_start", message={**body, "content": []})
            for i, block in enumerate(content):
                say("content_block_start", index=i, content_block={**block, "text": ""})
                say("content_block_delta", index=i, delta={"type": "text_delta", "text": block["text"]})
                say("content_block_stop", index=i)
            say("message_delta", delta={"stop_reason": body["stop_reason"], "stop_sequence": None}, usage=body["usage"])
            say("message_stop")
            conn.end()
    return handler


def crossing(claude, openai=None, on_loss=None, rule=None, **more):
    """Model m is a provider of Anthropic's dialect, then (if there is one) of OpenAI's."""
    c = config(openai, entry=["log"], **more)
    c["providers"]["claude"] = {"dialect": "anthropic", "base_url": claude.url, "key": "k"}
    c["models"]["m"] = {"targets": ["claude/c"] + (["up/m"] if openai else [])}
    if on_loss:
        c["routes"][0]["on_loss"] = on_loss
    if rule:
        c["routes"][0]["pipeline"] = [{"policy": {"file": rule}}]
    return c


def records(weir, n=1):
    def find():
        lines = [json.loads(x) for x in weir.stdout().splitlines() if x.startswith("{")]
        return lines if len(lines) >= n else None
    return wait_until(find, f"{n} records")


def losses(record):
    return {(x["feature"], x["what"]) for x in record.get("losses", [])}


def test_a_header_and_the_record_name_what_was_lost():
    with Upstream(anthropic_answer()) as up, Weir(crossing(up)) as weir:
        answer = weir.chat(seed=1, temperature=1.5, top_p=0.9, user="me", zq={"a": 1})
        assert answer.status == 200, answer
        said = answer.headers["x-weir-loss"].split(", ")
        assert sorted(said) == ["ext=dropped", "seed=dropped", "temperature=changed", "top_p=dropped", "user=changed"], said
        record = records(weir)[0]
        assert losses(record) == {tuple(x.split("=")) for x in said}, record
        assert all(x["target"] == "claude/c" for x in record["losses"])
        assert [x["why"] for x in record["losses"] if x["feature"] == "ext"] == ["zq"]
        assert not record.get("decisions"), record


def test_what_loses_nothing_says_nothing():
    with Upstream(anthropic_answer()) as up, Upstream(openai_answer("ok")) as other:
        with Weir(crossing(up, other)) as weir:
            answer = weir.chat(n=1, logprobs=False, tool_choice="auto", tools=[TOOL], frequency_penalty=0)
            assert answer.status == 200 and "x-weir-loss" not in answer.headers, answer.headers
            same = weir.chat(model="up/m", n=2, seed=1, zq=1)
            assert same.status == 200 and "x-weir-loss" not in same.headers, same.headers
            assert not any("losses" in r for r in records(weir, 2))


def test_a_change_of_meaning_goes_elsewhere_or_is_refused():
    with Upstream(anthropic_answer()) as up, Upstream(openai_answer("ok")) as other:
        with Weir(crossing(up, other)) as weir:
            answer = weir.chat(n=2)
            assert answer.status == 200 and answer.headers["x-weir-target"] == "up/m", answer.headers
            assert "it would lose n (dropped)" in json.dumps(records(weir)[0]["decisions"])
        with Weir(crossing(up)) as weir:
            answer = weir.chat(n=2)
            assert answer.status == 400 and answer.headers["x-weir-error"] == "loss_refused", answer
            error = answer.json["error"]
            assert error["param"] == "n" and error["code"] == "loss_refused", error
            assert "claude/c: it would lose n (dropped)" in error["message"] and "on_loss: warn" in error["message"], error
        assert not up.requests


def test_what_only_the_encoder_knows_is_refused_too():
    with Upstream(anthropic_answer()) as up, Weir(crossing(up)) as weir:
        answer = weir.chat(stop=["\n"])
        assert answer.status == 400 and answer.json["error"]["param"] == "stop", answer
        assert "stop (dropped: sequences of white space alone are refused)" in answer.json["error"]["message"], answer
        assert not up.requests
        attempt = records(weir)[0]["attempts"][0]
        assert losses(attempt) == {("stop", "dropped")}, attempt


def test_on_loss_of_a_route():
    with Upstream(anthropic_answer()) as up:
        with Weir(crossing(up, on_loss="warn")) as weir:
            answer = weir.chat(n=2)
            assert answer.status == 200 and answer.headers["x-weir-loss"] == "n=dropped", answer
        with Weir(crossing(up, on_loss="allow")) as weir:
            answer = weir.chat(n=2, seed=1)
            assert answer.status == 200 and "x-weir-loss" not in answer.headers, answer
            assert losses(records(weir)[0]) == {("n", "dropped"), ("seed", "dropped")}
        with Weir(crossing(up, on_loss="refuse")) as weir:
            assert weir.chat().status == 200
            assert weir.chat(response_format={"type": "json_object"}).headers["x-weir-loss"] == "response_format=emulated"
            assert weir.chat(seed=1).json["error"]["param"] == "seed"
        with Weir({**crossing(up, on_loss="default"), "on_loss": "refuse"}) as weir:
            assert weir.chat(seed=1).status == 200


def test_on_loss_of_everything_and_of_a_candidate():
    rule = """return { on_request = function(req)
      if req.headers["x-loss"] then return { { "claude/c", on_loss = req.headers["x-loss"] } } end
      if req.headers["x-one"] then return { { "claude/c", set = { n = 1 } } } end
    end }"""
    with Upstream(anthropic_answer()) as up:
        weir = Weir(config(None))
        weir.configure({**crossing(up, rule=weir.write("rule.lua", rule)), "on_loss": "refuse"})
        with weir:
            assert weir.chat(seed=1).status == 400
            assert weir.chat(seed=1, headers={"x-loss": "warn"}).headers["x-weir-loss"] == "seed=dropped"
            assert "x-weir-loss" not in weir.chat(seed=1, headers={"x-loss": "allow"}).headers
            assert weir.chat(n=2).status == 400
            assert weir.chat(n=2, headers={"x-one": "1"}).status == 200


def test_what_an_answer_loses():
    content = [{"type": "text", "text": "so"}, {"type": "server_tool_use", "id": "x", "name": "web", "input": {}}]
    with Upstream(anthropic_answer(content=content, stop_reason="pause_turn")) as up, Weir(crossing(up)) as weir:
        answer = weir.chat()
        assert sorted(answer.headers["x-weir-loss"].split(", ")) == ["answer.finish=changed", "answer.opaque=dropped"], answer.headers
    with Upstream(anthropic_answer(stop_reason="pause_turn")) as up, Weir(crossing(up)) as weir:
        answer = weir.chat(stream=True, seed=1)
        assert answer.headers["x-weir-loss"] == "seed=dropped", answer.headers  # what is known when the head leaves
        assert losses(records(weir)[0]) == {("seed", "dropped"), ("answer.finish", "changed")}


def test_the_header_has_a_limit():
    more = {"seed": 1, "frequency_penalty": 1, "presence_penalty": 1, "logit_bias": {"1": 1}, "logprobs": True, "top_logprobs": 1,
            "metadata": {"a": "b"}, "verbosity": "low", "user": "x", "temperature": 2, "top_p": 0.5, "service_tier": "flex"}
    with Upstream(anthropic_answer()) as up, Weir(crossing(up)) as weir:
        answer = weir.chat(**more, **{f"zq{i}": i for i in range(2000)})
        assert answer.status == 200 and len(answer.headers["x-weir-loss"]) <= 1024, answer.headers
        assert answer.headers["x-weir-loss"].count("ext=dropped") == 1
        record = records(weir)[0]
        assert len([x for x in record["losses"] if x["feature"] == "ext"]) == 1001, len(record["losses"])
        assert "and 1000 more" in json.dumps(record["losses"])


def test_losses_stay_with_the_attempt_that_had_them():
    def broken(conn):
        while conn.read_request():
            conn.respond(503, {"type": "error", "error": {"type": "overloaded_error", "message": "no"}})
    with Upstream(broken) as up, Upstream(openai_answer("ok")) as other, Weir(crossing(up, other)) as weir:
        answer = weir.chat(seed=1)
        assert answer.status == 200 and "x-weir-loss" not in answer.headers, answer.headers
        record = records(weir)[0]
        assert "losses" not in record and losses(record["attempts"][0]) == {("seed", "dropped")}, record
        assert "losses" not in record["attempts"][-1]


def test_unknown_fields():
    with Upstream(openai_answer("ok")) as up:
        for word, status in (("pass", 200), ("drop", 200), ("refuse", 400)):
            c = config(up)
            c["routes"][0]["unknown_fields"] = word
            with Weir(c) as weir:
                answer = weir.chat(zq=1)
                assert answer.status == status, (word, answer)
                if status == 400:
                    assert answer.json["error"]["param"] == "zq", answer
                else:
                    assert ("zq" in up.requests[-1].json) == (word == "pass"), word


def test_unknown_members_at_any_depth():
    """Towards another dialect each is named with its place; to its own it goes; drop and refuse see them, too."""
    new = {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi", "zq": 1}]}, {"role": "assistant", "content": [
        {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"zq": 2}, "zr": 3}]}, {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "r", "zs": {"deep": [4]}}]}]}],
           "tools": [{"name": "f", "input_schema": {"type": "object", "properties": {}}, "zt": 5}], "tool_choice": {"type": "auto", "zu": 6},
           "model": "m", "max_tokens": 9}
    with Upstream(openai_answer("ok")) as up:
        c = config(up, entry=["log"])
        with Weir(c) as weir:
            answer = weir.post("/v1/messages", new)
            assert answer.status == 200 and answer.headers["x-weir-loss"] == "ext=dropped", answer
            named = {x["why"] for x in records(weir)[0]["losses"]}
            assert named == {"messages[0].content[0].zq", "messages[1].content[0].zr", "messages[2].content[0].content[0].zs", "tools[0].zt",
                             "tool_choice.zu"}, named
        for word in ("drop", "refuse"):
            c["routes"][0]["unknown_fields"] = word
            with Weir(c) as weir:
                answer = weir.post("/v1/messages", {**new, "messages": new["messages"][:1], "tools": []})
                assert answer.status == (200 if word == "drop" else 400), answer
                if word == "drop":
                    assert "x-weir-loss" not in answer.headers or "zu" not in str(records(weir)[0]), answer
    with Upstream(anthropic_answer()) as up:
        c = crossing(up)
        with Weir(c) as weir:
            assert weir.post("/v1/messages", new).status == 200
            assert up.requests[-1].json == {**new, "model": "c"}, up.requests[-1].text
            assert not losses(records(weir)[0])
        c["routes"][0]["unknown_fields"] = "drop"
        with Weir(c) as weir:
            assert weir.post("/v1/messages", {**new, "tool_choice": {"zu": 6, "type": "auto"}, "tools": new["tools"]}).status == 200
            sent = up.requests[-1].json
            assert sent["tool_choice"] == {"type": "auto"} and "zt" not in sent["tools"][0], sent


def test_more_unknown_members_than_are_kept():
    with Upstream(openai_answer("ok")) as up:
        c = config(up, entry=["log"])
        parts = [{"type": "text", "text": "x", "cache_control": {f"z{i}": 1 for i in range(60)}} for _ in range(50)]
        body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": parts}]}
        with Weir(c) as weir:
            assert weir.post("/v1/messages", body).headers["x-weir-loss"] == "cache_mark=dropped, ext=dropped"
            named = [x["why"] for x in records(weir)[0]["losses"] if x["feature"] == "ext"]
            assert len(named) == 1001 and "and more" in named, len(named)
        c["routes"][0]["unknown_fields"] = "drop"
        with Weir(c) as weir:
            assert weir.post("/v1/messages", body).status == 400


def test_many_blocks_whose_type_comes_late():
    """A long message is read in one go, however its members are ordered."""
    late = [{"cache_control": {"zq": 1}, "text": "x", "type": "text"}] * 30000
    with Upstream(openai_answer("ok")) as up, Weir(config(up)) as weir:
        answer = weir.post("/v1/messages", {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": late}]})
        assert answer.status == 200 and answer.headers["x-weir-loss"] == "cache_mark=dropped, ext=dropped", answer
        answer = weir.post("/v1/chat/completions", {"model": "m", "messages": [{"role": "user", "content": late}]})
        assert answer.status == 200, answer


def test_long_lists_are_read_in_one_go():
    n = 30000
    cases = [("/v1/responses", {"model": "m", "input": [{"role": "assistant", "content": "x"}] * n + [{"role": "user", "content": "z"}]}),
             ("/model/m/converse", {"messages": [{"role": "user", "content": [{"text": "x"}]}], "toolConfig": {"tools": [
                 {"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}}, {"cachePoint": {"type": "default"}}] * n}})]
    with Upstream(openai_answer("ok")) as up:
        c = config(up)
        c["routes"][0]["match"]["path"] = "/*"
        with Weir(c) as weir:
            for path, body in cases:
                assert weir.post(path, body).status == 200, path


def test_many_blocks_that_each_need_a_writer():
    contents = [{"role": "user", "parts": [{"text": "x", "zq": 1}]}] * 500
    with Upstream(openai_answer("ok")) as up:
        c = config(up, entry=["log"])
        c["routes"][0]["match"]["path"] = "/*"
        with Weir(c) as weir:
            answer = weir.post("/gemini/v1beta/models/m:generateContent", {"contents": contents})
            assert answer.status == 200, answer
            assert sum(x["feature"] == "ext" for x in records(weir)[0]["losses"]) == 500


def test_how_long_a_cache_mark_holds():
    def marked(ttl):
        return {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": [
            {"type": "text", "text": "hi", "cache_control": {"type": "ephemeral", **({"ttl": ttl} if ttl else {})}}]}]}
    with Upstream(openai_answer("ok")) as up, Weir(config(up)) as weir:
        assert weir.post("/v1/messages", marked("1h")).headers["x-weir-loss"] == "cache_mark=dropped, cache_ttl=dropped"
        assert weir.post("/v1/messages", marked("5m")).headers["x-weir-loss"] == "cache_mark=dropped"
        assert weir.post("/v1/messages", marked(None)).headers["x-weir-loss"] == "cache_mark=dropped"
    converse = {"messages": [{"role": "user", "content": [{"text": "hi"}, {"cachePoint": {"type": "default", "ttl": "1h"}}]}],
                "inferenceConfig": {"maxTokens": 9}}
    with Upstream(anthropic_answer()) as up:
        c = crossing(up)
        c["routes"][0]["match"]["path"] = "/*"
        with Weir(c) as weir:
            answer = weir.post("/model/m/converse", converse)
        assert answer.status == 200 and "x-weir-loss" not in answer.headers, answer
        assert up.requests[-1].json["messages"][0]["content"][0]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}, up.requests[-1]


def foreign(*changes):
    """The SDK's provider template, changed: a codec of a third party."""
    with open(os.path.join(ROOT, "sdk/templates/provider/NAME.c")) as f:
        source = f.read().replace("@NAME@", "tiny")
    for old, new in changes:
        assert old in source, old
        source = source.replace(old, new, 1)
    return compile_plugin("tiny", source, ("-Wno-unused-variable",))


def tiny_answer(conn):
    while conn.read_request():
        conn.respond(200, {"id": "a1", "model": "m", "text": "Hello", "end": "stop", "tokens": {"in": 3, "out": 5}})


def beside(up, so):
    c = config(None, entry=["log"], plugins=[so])
    c["providers"]["tiny"] = {"dialect": "tiny", "base_url": up.url, "key": "k"}
    c["models"]["m"] = {"targets": ["tiny/m"]}
    return c


def test_a_codec_without_a_table_is_said_to_be_undeclared():
    with Upstream(tiny_answer) as up:
        with Weir(beside(up, foreign(("    .says = says,\n", "")))) as weir:
            answer = weir.chat(seed=1, temperature=0.5)
            assert answer.status == 200 and answer.headers["x-weir-loss"] == "undeclared", answer
            assert [(x["feature"], x["why"]) for x in records(weir)[0]["losses"]] == \
                [("undeclared", "the codec tiny does not tell what it can say")]
            assert "x-weir-loss" not in weir.chat().headers  # nothing that could be lost
        with Weir(beside(up, foreign())) as weir:
            answer = weir.chat(seed=1, max_tokens=5)
            assert answer.headers["x-weir-loss"] == "seed=dropped", answer


def test_what_a_codec_must_not_tell_is_its_fault():
    told = 'host->lose(call, WEIR_FEATURE_REFUSAL, WEIR_LOSS_DROPPED, "it says so");\n    encode_field(host, c, "model"'
    with Upstream(tiny_answer) as up, Weir(beside(up, foreign(('encode_field(host, c, "model"', told)))) as weir:
        answer = weir.chat()
        assert answer.status == 200 and answer.headers["x-weir-loss"] == "refusal=dropped", answer
        weir.wait_log("event=codec.loss.*plugin=tiny")
        assert "tiny lost refusal, which its table does not call PARTLY" in json.dumps(records(weir)[0]["decisions"])


def test_a_table_that_makes_no_sense_is_refused():
    so = foreign(("    { WEIR_FIELD_MAX_TOKENS, WEIR_SAYS, NULL },\n", "    { WEIR_FIELD_MAX_TOKENS, 9, NULL },\n"))
    run = subprocess.run([f"{BUILD}/weir", "explain-plugin", so], capture_output=True, text=True)
    assert run.returncode == 1 and "has a table `says` with a feature without WEIR_SAYS" in run.stderr, run


def test_the_matrix_is_the_codecs_own():
    run = subprocess.run([f"{BUILD}/weir", "matrix", "--json"], capture_output=True, text=True, check=True)
    matrix = json.loads(run.stdout)
    assert matrix["openai"]["request"]["top_k"]["says"] == "-" and matrix["openai"]["request"]["n"]["says"] == "says"
    assert matrix["anthropic"]["request"]["temperature"]["says"] == "partly" and matrix["anthropic"]["request"]["temperature"]["how"]
    assert "simulator" not in matrix
    table = subprocess.run([f"{BUILD}/weir", "matrix", "anthropic", "openai"], capture_output=True, text=True, check=True).stdout
    assert table.splitlines()[0].split() == ["REQUEST", "anthropic", "openai"], table
    assert subprocess.run([f"{BUILD}/weir", "matrix", "nobody"], capture_output=True).returncode == 1
