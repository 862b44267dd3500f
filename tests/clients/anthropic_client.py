"""The official Python SDK of Anthropic against weir."""
import anthropic

from client_test import KEY, NARROW, STOPPING, TARGETS, TOOL_SCHEMA, URL, main, raises, recorded, test

client = anthropic.Anthropic(base_url=URL, api_key=KEY, max_retries=0, timeout=20)
HELLO = [{"role": "user", "content": "How do rivers carry sediment?"}]
TOOLS = [{"name": "get_weather", "description": "Weather", "input_schema": TOOL_SCHEMA},
         {"name": "get_time", "input_schema": {"type": "object", "properties": {}}}]


def ask(model, **more):
    return client.messages.create(**{"model": model, "max_tokens": 200, "messages": HELLO, **more})


def text_of(message):
    return "".join(b.text for b in message.content if b.type == "text")


def final(model, **more):
    with client.messages.stream(**{"model": model, "max_tokens": 200, "messages": HELLO, **more}) as stream:
        said = "".join(stream.text_stream)
        message = stream.get_final_message()
    assert said == text_of(message)
    return message


@test(*TARGETS)
def answers_whole(target):
    message = ask(target + "/demo", system="Be brief.")
    assert "rivers carry" in text_of(message), message
    assert message.stop_reason == "end_turn" and message.role == "assistant" and message.type == "message"
    assert message.usage.input_tokens > 0 and message.usage.output_tokens == 20, message.usage


@test(*TARGETS)
def streams_the_same(target):
    whole, streamed = ask(target + "/demo"), final(target + "/demo")
    assert text_of(streamed) == text_of(whole)
    assert streamed.stop_reason == "end_turn" and streamed.usage.output_tokens == 20, streamed


@test(*TARGETS)
def loops_with_tools(target):
    model = target + "/demo?tool=get_weather"
    message = ask(model, tools=TOOLS)
    call = [b for b in message.content if b.type == "tool_use"][0]
    assert message.stop_reason == "tool_use" and call.name == "get_weather" and call.input["city"] == "Paris", message
    messages = HELLO + [{"role": "assistant", "content": message.content},
                        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "18 degrees in Paris"}]}]
    answer = ask(model, messages=messages, tools=TOOLS)
    assert "18 degrees in Paris" in text_of(answer) and answer.stop_reason == "end_turn", answer


@test(*TARGETS)
def streams_parallel_calls(target):
    message = final(target + "/demo?tool=any&calls=2", tools=TOOLS)
    calls = [b for b in message.content if b.type == "tool_use"]
    assert [c.name for c in calls] == ["get_weather", "get_time"] and message.stop_reason == "tool_use", message
    assert all(isinstance(c.input, dict) for c in calls) and len({c.id for c in calls}) == 2


@test(*TARGETS)
def forced_tools_are_called(target):
    message = ask(target + "/demo", tools=TOOLS, tool_choice={"type": "tool", "name": "get_time"})
    assert [b.name for b in message.content if b.type == "tool_use"] == ["get_time"], message


@test("sim_claude", "sim_gemini", "simulator")
def thoughts_are_blocks(target):
    message = final(target + "/demo?thinking=8")
    assert [b.type for b in message.content][:2] == ["thinking", "text"] and message.content[0].thinking, message


@test(*STOPPING)
def limits_and_stops(target):
    message = ask(target + "/demo", max_tokens=5)
    assert message.stop_reason == "max_tokens" and message.usage.output_tokens == 5, message
    message = ask(target + "/demo?text=one%20two%20three", stop_sequences=[" two"])
    assert text_of(message) == "one", message


@test(*TARGETS)
def images_pass(target):
    source = {"type": "base64", "media_type": "image/png",
              "data": "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="}
    content = [{"type": "image", "source": source}, {"type": "text", "text": "What is on it?"}]
    assert text_of(ask(target + "/demo", messages=[{"role": "user", "content": content}]))


# ---- errors ----

def overloaded():
    return getattr(anthropic, "OverloadedError", None) or anthropic._exceptions.OverloadedError


@test(*TARGETS)
def upstream_errors_have_their_class(target):
    raises(anthropic.RateLimitError, lambda: ask(target + "/demo?status=429"), status_code=429)
    raises(anthropic.BadRequestError, lambda: ask(target + "/demo?status=400"), status_code=400)
    for fault in ("status=500", "status=503", "html", "truncate=40", "status=401"):
        try:
            ask(f"{target}/demo?{fault}")
        except anthropic.APIStatusError as error:
            assert error.status_code >= 500, f"{fault}: {error}"
            continue
        raise AssertionError(f"{fault}: nothing was raised")


@test(*TARGETS)
def broken_streams_are_never_complete(target):
    for fault in ("fin_after=700", "rst_after=700", "garble=4", "error_event=3", "wrong_chunk=4"):
        try:
            final(f"{target}/demo?{fault}")
        except Exception:  # where weir cuts the connection the SDK lets its HTTP library's own error through
            continue
        raise AssertionError(f"{fault}: the stream seemed complete")


@test()
def bad_fields_are_named():
    error = raises(anthropic.BadRequestError, lambda: ask("demo", extra_body={"temperature": "hot"}))
    assert "temperature" in str(error), error
    error = raises(anthropic.BadRequestError, lambda: ask("demo", messages=[{"role": "nobody", "content": "x"}]))
    assert "messages[0].role" in str(error) or "messages.0.role" in str(error), error


@test()
def unknown_models_are_not_found():
    error = raises(anthropic.NotFoundError, lambda: ask("no-such-model"))
    assert "no-such-model" in str(error) and error.body["error"]["type"] == "not_found_error", error


@test()
def keys_are_checked():
    raises(anthropic.AuthenticationError, lambda: client.with_options(api_key="wrong").messages.create(model="demo", max_tokens=9, messages=HELLO))
    narrow = client.with_options(api_key=NARROW)
    assert narrow.messages.create(model="demo", max_tokens=9, messages=HELLO).content
    raises(anthropic.PermissionDeniedError, lambda: narrow.messages.create(model="simulator/demo", max_tokens=9, messages=HELLO))


@test(*[str(i) for i in range(len(recorded()))])
def recordings_reach_the_client(i):
    case = recorded()[int(i)]
    model = f"replay_{case['dialect']}/{case['model']}"
    message = final(model) if case["stream"] else ask(model)
    calls = [[b.name, b.input] for b in message.content if b.type == "tool_use"]
    assert text_of(message) == case["text"], f"{case['file']}: text {text_of(message)[:80]!r} instead of {case['text'][:80]!r}"
    assert calls == case["calls"], f"{case['file']}: calls {calls} instead of {case['calls']}"


if __name__ == "__main__":
    main()
