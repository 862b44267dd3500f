"""The official Python SDK of Ollama against weir."""
import ollama

from client_test import KEY, NARROW, STOPPING, TARGETS, TOOL_SCHEMA, URL, main, raises, recorded, test


def client_of(key, base="/ollama"):
    return ollama.Client(host=URL + base, headers={"authorization": "Bearer " + key}, timeout=20)


client = client_of(KEY)
HELLO = [{"role": "user", "content": "How do rivers carry sediment?"}]
TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "Weather", "parameters": TOOL_SCHEMA}},
         {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}}}]


def ask(model, frm=client, **more):
    return frm.chat(**{"model": model, "messages": HELLO, **more})


def joined(parts, name="content"):
    return "".join(getattr(p.message, name) or "" for p in parts)


@test(*TARGETS)
def answers_whole(target):
    answer = ask(target + "/demo")
    assert "rivers carry" in answer.message.content and answer.done and answer.done_reason == "stop", answer
    assert answer.message.role == "assistant" and answer.created_at
    assert answer.prompt_eval_count > 0 and answer.eval_count == 20, answer


@test(*TARGETS)
def streams_the_same(target):
    whole, parts = ask(target + "/demo"), list(ask(target + "/demo", stream=True))
    assert joined(parts) == whole.message.content
    assert parts[-1].done and parts[-1].eval_count == 20 and not any(p.done for p in parts[:-1]), parts[-1]


@test(*TARGETS)
def loops_with_tools(target):
    model = target + "/demo?tool=get_weather"
    message = ask(model, tools=TOOLS).message
    call = message.tool_calls[0]
    assert call.function.name == "get_weather" and call.function.arguments["city"] == "Paris", call
    turns = HELLO + [message, {"role": "tool", "tool_name": "get_weather", "content": "18 degrees in Paris"}]
    answer = ask(model, messages=turns, tools=TOOLS)
    assert "18 degrees in Paris" in answer.message.content and not answer.message.tool_calls, answer


@test(*TARGETS)
def streams_parallel_calls(target):
    parts = list(ask(target + "/demo?tool=any&calls=2", tools=TOOLS, stream=True))
    calls = [c.function for p in parts for c in p.message.tool_calls or []]
    assert [c.name for c in calls] == ["get_weather", "get_time"], calls
    assert parts[-1].done_reason == "stop"


@test(*STOPPING)
def limits_are_heard(target):
    answer = ask(target + "/demo", options={"num_predict": 5})
    assert answer.done_reason == "length" and answer.eval_count == 5, answer


@test(*TARGETS)
def thoughts_are_told(target):
    parts = list(ask(target + "/demo?thinking=8", think=True, stream=True))
    assert joined(parts) and joined(parts, "thinking"), parts


# ---- errors ----

@test(*TARGETS)
def upstream_errors_have_their_status(target):
    for status in (400, 429, 500, 503):
        raises(ollama.ResponseError, lambda: ask(f"{target}/demo?status={status}"))
    raises(ollama.ResponseError, lambda: ask(target + "/demo?status=429"), status_code=429)


@test(*TARGETS)
def broken_streams_are_never_complete(target):
    for fault in ("fin_after=700", "rst_after=700", "garble=4", "error_event=3"):
        raises(ollama.ResponseError, lambda: list(ask(f"{target}/demo?{fault}", stream=True)))


@test()
def bad_fields_are_named():
    error = raises(ollama.ResponseError, lambda: ask("demo", options={"temperature": "hot"}), status_code=400)
    assert "options.temperature: must be a number" in error.error, error


@test()
def keys_and_models_are_checked():
    raises(ollama.ResponseError, lambda: ask("no-such-model"), status_code=404)
    raises(ollama.ResponseError, lambda: ask("demo", client_of("wrong")), status_code=401)
    assert ask("demo", client_of(NARROW)).message.content
    raises(ollama.ResponseError, lambda: ask("simulator/demo", client_of(NARROW)), status_code=403)


@test()
def doors_at_the_root_and_models():
    at_root = client_of(KEY, "")
    assert ask("demo", at_root).message.content
    assert "demo" in [m.model for m in at_root.list().models]
    assert [m.model for m in client_of(NARROW).list().models] == ["demo"]


@test(*[str(i) for i in range(len(recorded()))])
def recordings_reach_the_client(i):
    case = recorded()[int(i)]
    answer = ask(f"replay_{case['dialect']}/{case['model']}", stream=case["stream"])
    parts = list(answer) if case["stream"] else [answer]
    calls = [[c.function.name, c.function.arguments] for p in parts for c in p.message.tool_calls or []]
    assert joined(parts) == case["text"], f"{case['file']}: text {joined(parts)[:80]!r} instead of {case['text'][:80]!r}"
    assert calls == case["calls"], f"{case['file']}: calls {calls} instead of {case['calls']}"


if __name__ == "__main__":
    main()
