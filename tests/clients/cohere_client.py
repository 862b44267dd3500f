"""The official Python SDK of Cohere against weir."""
import json

import cohere
from cohere.core.api_error import ApiError
from cohere.errors import BadRequestError, ForbiddenError, NotFoundError, ServiceUnavailableError, TooManyRequestsError, UnauthorizedError

from client_test import KEY, NARROW, STOPPING, TARGETS, TOOL_SCHEMA, URL, main, raises, recorded, test


def client_of(key, base="/cohere"):
    return cohere.ClientV2(api_key=key, base_url=URL + base, timeout=20, max_retries=0)


client = client_of(KEY)
HELLO = [{"role": "user", "content": "How do rivers carry sediment?"}]
TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "Weather", "parameters": TOOL_SCHEMA}},
         {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}}}]


def ask(model, frm=client, **more):
    return frm.chat(**{"model": model, "messages": HELLO, **more})


def text_of(message):
    return "".join(part.text for part in message.content or [] if part.type == "text")


class Streamed:
    def __init__(self, model, **more):
        self.text, self.thoughts, self.plan, self.calls, self.end, self.types = "", "", "", [], None, []
        for event in client.chat_stream(**{"model": model, "messages": HELLO, **more}):
            self.types.append(event.type)
            message = getattr(getattr(event, "delta", None), "message", None)
            if event.type == "content-delta":
                self.text += message.content.text or ""
                self.thoughts += message.content.thinking or ""
            elif event.type == "tool-plan-delta":
                self.plan += message.tool_plan
            elif event.type == "tool-call-start":
                self.calls.append([message.tool_calls.function.name, ""])
            elif event.type == "tool-call-delta":
                self.calls[event.index][1] += message.tool_calls.function.arguments
            elif event.type == "message-end":
                self.end = event.delta


@test(*TARGETS)
def answers_whole(target):
    answer = ask(target + "/demo")
    assert "rivers carry" in text_of(answer.message) and answer.finish_reason == "COMPLETE", answer
    assert answer.message.role == "assistant" and answer.id
    assert answer.usage.tokens.input_tokens > 0 and answer.usage.tokens.output_tokens == 20, answer.usage


@test(*TARGETS)
def streams_the_same(target):
    whole, streamed = ask(target + "/demo"), Streamed(target + "/demo")
    assert streamed.text == text_of(whole.message)
    assert streamed.end.finish_reason == "COMPLETE" and streamed.end.usage.tokens.output_tokens == 20, streamed.end
    assert streamed.types[0] == "message-start" and streamed.types[-1] == "message-end", streamed.types


@test(*TARGETS)
def loops_with_tools(target):
    model = target + "/demo?tool=get_weather"
    first = ask(model, tools=TOOLS)
    call = first.message.tool_calls[0]
    assert call.function.name == "get_weather" and json.loads(call.function.arguments)["city"] == "Paris", call
    assert first.finish_reason == "TOOL_CALL", first
    turns = HELLO + [first.message, {"role": "tool", "tool_call_id": call.id, "content": [
        {"type": "document", "document": {"data": {"weather": "18 degrees in Paris"}}}]}]
    answer = ask(model, messages=turns, tools=TOOLS)
    assert "18 degrees in Paris" in text_of(answer.message) and answer.finish_reason == "COMPLETE", answer


@test(*TARGETS)
def streams_parallel_calls(target):
    streamed = Streamed(target + "/demo?tool=any&calls=2", tools=TOOLS)
    assert [c[0] for c in streamed.calls] == ["get_weather", "get_time"], streamed.calls
    assert all(isinstance(json.loads(c[1]), dict) for c in streamed.calls), streamed.calls
    assert streamed.end.finish_reason == "TOOL_CALL"


@test(*STOPPING)
def limits_are_heard(target):
    answer = ask(target + "/demo", max_tokens=5)
    assert answer.finish_reason == "MAX_TOKENS" and answer.usage.tokens.output_tokens == 5, answer


@test(*TARGETS)
def thoughts_are_told(target):
    streamed = Streamed(target + "/demo?thinking=8", thinking={"type": "enabled", "token_budget": 1024})
    assert streamed.text and streamed.thoughts, streamed.__dict__


@test()
def characters_survive():
    text = "naïve – 東京 🙂 “quoted” \\ \n end"
    streamed = Streamed("simulator/demo", messages=[{"role": "user", "content": [{"type": "text", "text": text + "\nsimulate: split=3"}]}])
    assert "naïve – 東京 🙂 “quoted” \\" in streamed.text, streamed.text


# ---- errors ----

@test(*TARGETS)
def upstream_errors_have_their_class(target):
    raises(TooManyRequestsError, lambda: ask(target + "/demo?status=429"), status_code=429)
    raises(BadRequestError, lambda: ask(target + "/demo?status=400"), status_code=400)
    raises(ApiError, lambda: ask(target + "/demo?status=500"), status_code=502)  # no class of its own in this SDK
    raises(ServiceUnavailableError, lambda: ask(target + "/demo?status=503"))


@test(*TARGETS)
def broken_streams_are_never_complete(target):
    for fault in ("fin_after=700", "rst_after=700", "garble=4", "error_event=3"):
        try:
            streamed = Streamed(f"{target}/demo?{fault}")
        except Exception:
            continue
        assert streamed.end is None or streamed.end.finish_reason == "ERROR", f"{fault}: the stream seemed complete"


@test()
def bad_fields_are_named():
    error = raises(BadRequestError, lambda: ask("demo", temperature="hot"))
    assert "temperature" in str(error.body), error
    error = raises(BadRequestError, lambda: ask("demo", messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]))
    assert "messages[0].content[0].image_url.url: not a URL or data URI" in str(error.body), error


@test()
def keys_and_models_are_checked():
    raises(NotFoundError, lambda: ask("no-such-model"))
    raises(UnauthorizedError, lambda: ask("demo", client_of("wrong")))
    assert ask("demo", client_of(NARROW)).message.content
    raises(ForbiddenError, lambda: ask("simulator/demo", client_of(NARROW)))


@test()
def doors_at_the_root_and_models():
    assert ask("demo", client_of(KEY, "")).message.content
    assert "demo" in [m.name for m in client.models.list().models]
    assert client.models.get("demo").name == "demo"


@test(*[str(i) for i in range(len(recorded()))])
def recordings_reach_the_client(i):
    case = recorded()[int(i)]
    model = f"replay_{case['dialect']}/{case['model']}"
    if case["stream"]:
        streamed = Streamed(model)
        text, calls = streamed.plan + streamed.text, streamed.calls
    else:
        message = ask(model).message
        text = (message.tool_plan or "") + text_of(message)
        calls = [[c.function.name, c.function.arguments] for c in message.tool_calls or []]
    calls = [[name, json.loads(arguments or "{}")] for name, arguments in calls]
    assert text == case["text"], f"{case['file']}: text {text[:80]!r} instead of {case['text'][:80]!r}"
    assert calls == case["calls"], f"{case['file']}: calls {calls} instead of {case['calls']}"


if __name__ == "__main__":
    main()
