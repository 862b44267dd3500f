"""OpenAI's Responses through weir: what is relayed, what a stage takes out, whose signatures go where."""
import json

from harness import Upstream, Weir, compile_plugin, config

DROPS = r'''
#include <weir/plugin.h>

static int create(const struct weir_host *host, struct weir_instance *inst, const void *config, void **self)
{
    (void)inst, (void)config;
    *self = (void *)host;
    return 0;
}

static enum weir_verdict on_event(void *self, struct weir_call *call, const struct weir_event *event)
{
    struct weir_str text = ((const struct weir_host *)self)->text(call, &event->text);
    return text.n >= 6 && memmem(text.p, text.n, "secret", 6) ? WEIR_DROP : WEIR_NEXT;
}

static const struct weir_stage_ops ops = {
    .size = sizeof(ops), .event_kinds = 1u << WEIR_EVENT_DELTA, .create = create, .on_event = on_event,
};

WEIR_PLUGIN = { WEIR_HEAD(WEIR_KIND_STAGE), .name = "drops", .version = "1.0", .summary = "Drops secrets.", .stage = &ops };
WEIR_NOTE(WEIR_KIND_STAGE);
'''


def response(output=(), status="completed", **more):
    return {"id": "resp_1", "object": "response", "created_at": 1700000000, "status": status, "model": "r", "output": list(output),
            "error": None, "incomplete_details": None,
            "usage": {"input_tokens": 5, "output_tokens": 3, "total_tokens": 8} if status == "completed" else None, **more}


def message(text):
    return {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant",
            "content": [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]}


def ladder(pieces):
    text, inside = "".join(pieces), {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "annotations": [], "logprobs": []}
    yield {"type": "response.created", "response": response(status="in_progress")}
    yield {"type": "response.in_progress", "response": response(status="in_progress")}
    yield {"type": "response.output_item.added", "output_index": 0, "item": {**message(""), "content": [], "status": "in_progress"}}
    yield {"type": "response.content_part.added", **inside, "part": {**part, "text": ""}}
    for piece in pieces:
        yield {"type": "response.output_text.delta", **inside, "delta": piece, "logprobs": [], "obfuscation": "zq"}
    yield {"type": "response.output_text.done", **inside, "text": text, "logprobs": []}
    yield {"type": "response.content_part.done", **inside, "part": {**part, "text": text}}
    yield {"type": "response.output_item.done", "output_index": 0, "item": message(text)}
    yield {"type": "response.completed", "response": response([message(text)])}


def sse(events):
    return "".join(f"event: {e['type']}\ndata: {json.dumps({**e, 'sequence_number': i})}\n\n" for i, e in enumerate(events))


def responses_answer(*pieces):
    def handler(conn):
        while True:
            request = conn.read_request()
            if request is None:
                return
            if request.path.endswith("/input_tokens"):
                conn.respond(200, {"object": "response.input_tokens", "input_tokens": 11})
            elif request.json.get("stream"):
                conn.start_sse()
                conn.chunk(sse(ladder(pieces)).encode())
                conn.end()
            else:
                conn.respond(200, response([message("".join(pieces))]))
    return handler


def claude_answer(conn):
    """Thinks and calls, whole or in a stream."""
    while True:
        request = conn.read_request()
        if request is None:
            return
        content = [{"type": "thinking", "thinking": "a thought", "signature": "c2lnbmVk"},
                   {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}}]
        conn.respond(200, {"id": "msg_1", "type": "message", "role": "assistant", "model": "c", "content": content, "stop_reason": "tool_use",
                           "stop_sequence": None, "usage": {"input_tokens": 3, "output_tokens": 2}})


def setup(up=None, claude=None, **more):
    c = config(None, **more)
    c["routes"][0]["match"] = {"path": "/*"}
    c["models"] = {}
    if up:
        c["providers"]["openai"] = {"dialect": "responses", "base_url": up.url + "/v1", "key": "k"}
        c["models"]["m"] = {"targets": ["openai/r"]}
    if claude:
        c["providers"]["claude"] = {"dialect": "anthropic", "base_url": claude.url, "key": "k"}
        c["models"]["c"] = {"targets": ["claude/c"]}
    return c


def ask(weir, input="hi", model="m", path="/v1/responses", **more):
    return weir.post(path, {"model": model, "input": input, **more})


def test_the_same_dialect_is_relayed_as_it_is():
    with Upstream(responses_answer("one ", "two")) as up, Weir(setup(up)) as weir:
        answer = ask(weir, stream=True, instructions="x", prompt_cache_key="zq", unknown={"a": [1]})
        assert answer.status == 200 and answer.text == sse(ladder(["one ", "two"])), answer.text
        sent = up.wait_requests(1)
        assert sent.path == "/v1/responses", sent.path
        assert sent.json == {"model": "r", "input": "hi", "stream": True, "instructions": "x", "prompt_cache_key": "zq", "unknown": {"a": [1]}}
        whole = ask(weir, path="/openai/v1/responses")
        assert whole.json == response([message("one two")]), whole.text


def test_what_a_stage_takes_out_is_never_said_again():
    with Upstream(responses_answer("one ", "secret ", "two ", "three")) as up:
        c = setup(up, entry=["log"])
        c["plugins"] = [compile_plugin("drops", DROPS)]
        c["routes"][0]["pipeline"] = ["drops"]
        with Weir(c) as weir:
            text = ask(weir, stream=True).text
            events = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]
            assert "secret" not in text, text
            assert [e["delta"] for e in events if e["type"] == "response.output_text.delta"] == ["one ", "two ", "three"]
            assert events[-1]["type"] == "response.completed", events[-1]
            assert events[-1]["response"]["output"][0]["content"][0]["text"] == "one two three", events[-1]
            assert events[-1]["response"]["id"] == "resp_1" and events[-1]["response"]["output"][0]["id"] == "msg_1"
            assert [e["sequence_number"] for e in events] == list(range(len(events))), text


def test_signatures_of_another_provider_come_home_and_go_nowhere_else():
    with Upstream(claude_answer) as claude, Upstream(responses_answer("ok")) as up, Weir(setup(up, claude)) as weir:
        tools = [{"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}, "strict": False}]
        reasoning = {"effort": "high", "summary": "auto"}
        first = ask(weir, model="c", tools=tools, reasoning=reasoning)
        output = first.json["output"]
        assert [x["type"] for x in output] == ["reasoning", "function_call"], output
        assert output[0]["summary"] == [{"type": "summary_text", "text": "a thought"}], output
        turn = [{"role": "user", "content": "hi"}, *output, {"type": "function_call_output", "call_id": "toolu_1", "output": "done"}]
        assert ask(weir, turn, "c", tools=tools, reasoning=reasoning).status == 200
        said = claude.wait_requests(2).json["messages"][1]["content"]
        assert said[0] == {"type": "thinking", "thinking": "a thought", "signature": "c2lnbmVk"}, said
        assert said[1] == {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}}, said
        other = ask(weir, turn, tools=tools, store=False)
        assert other.status == 200, other.text
        sent = up.wait_requests(1).json
        assert [x.get("type") for x in sent["input"]] == ["message", "function_call", "function_call_output"], sent
        assert "weir" not in json.dumps(sent) and sent["store"] is False and sent["tools"] == tools, sent
        assert "thinking=dropped" in other.headers["x-weir-loss"] and "signature=dropped" in other.headers["x-weir-loss"]


def test_what_is_stored_with_one_provider_is_refused_elsewhere():
    with Upstream(claude_answer) as claude, Upstream(responses_answer("ok")) as up, Weir(setup(up, claude)) as weir:
        for key, value in (("previous_response_id", "resp_0"), ("conversation", "conv_1"), ("background", True)):
            assert ask(weir, **{key: value}).status == 200
            refused = ask(weir, model="c", **{key: value})
            assert refused.status == 400, refused.text
            said = refused.json["error"]["message"]
            assert key in said and "responses" in said, said
        assert not claude.requests


def test_tokens_are_counted_by_the_provider():
    with Upstream(responses_answer("ok")) as up, Weir(setup(up)) as weir:
        answer = ask(weir, path="/v1/responses/input_tokens")
        assert answer.status == 200 and answer.json == {"object": "response.input_tokens", "input_tokens": 11}, answer.text
        assert up.wait_requests(1).path == "/v1/responses/input_tokens"


def test_mistakes_are_named_by_their_path():
    with Weir(setup(None)) as weir:
        for body, words in (
                ({"input": "hi"}, "model: is missing"),
                ({"model": "m"}, "input: is missing or empty"),
                ({"model": "m", "input": [{"role": "user", "content": 3}]}, "input[0].content: must be a string"),
                ({"model": "m", "input": [{"role": "robot", "content": "x"}]}, "input[0].role: must be one of"),
                ({"model": "m", "input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]},
                 "image_url: not a URL or data URI"),
                ({"model": "m", "input": [{"type": "function_call", "name": "f", "arguments": "{}"}]}, "input[0].call_id: is missing"),
                ({"model": "m", "input": [{"type": "function_call_output", "output": "x"}]}, "input[0].call_id: is missing"),
                ({"model": "m", "input": "x", "max_output_tokens": 0}, "max_output_tokens: must be an integer"),
                ({"model": "m", "input": "x", "text": {"format": {"type": "json_schema"}}}, "lacks schema"),
                ({"model": "m", "input": "x", "tools": [{"type": "function"}]}, "tools[0]: has no name")):
            answer = weir.post("/v1/responses", body)
            assert answer.status == 400, (body, answer.text)
            error = answer.json["error"]
            assert words in error["message"] and error["type"] == "invalid_request_error", (body, error)
