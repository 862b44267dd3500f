"""The official Python SDK of OpenAI against weir."""
import http.server
import json
import os
import threading

import openai
import pydantic

from client_test import KEY, NARROW, STOPPING, TARGETS, TOOL_SCHEMA, URL, main, raises, recorded, test

client = openai.OpenAI(base_url=URL + "/v1", api_key=KEY, max_retries=0, timeout=20)
HELLO = [{"role": "user", "content": "How do rivers carry sediment?"}]
TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "Weather", "parameters": TOOL_SCHEMA}},
         {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}}}]


def ask(model, **more):
    return client.chat.completions.create(**{"model": model, "messages": HELLO, **more})


def joined(stream):
    return "".join(c.choices[0].delta.content or "" for c in stream if c.choices)


@test(*TARGETS)
def answers_whole(target):
    answer = ask(target + "/demo")
    choice = answer.choices[0]
    assert "rivers carry" in choice.message.content, choice
    assert choice.finish_reason == "stop" and choice.message.role == "assistant"
    usage = answer.usage
    assert usage.prompt_tokens > 0 and usage.completion_tokens == 20, usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens, usage


@test(*TARGETS)
def streams_the_same(target):
    whole = ask(target + "/demo").choices[0].message.content
    chunks = list(ask(target + "/demo", stream=True, stream_options={"include_usage": True}))
    assert joined(chunks) == whole
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == ["stop"]
    assert chunks[-1].usage.completion_tokens == 20 and not chunks[-1].choices
    assert len({c.id for c in chunks}) == 1


@test(*TARGETS)
def usage_comes_only_when_asked(target):
    assert all(c.usage is None and c.choices for c in ask(target + "/demo", stream=True))


@test(*TARGETS)
def loops_with_tools(target):
    model = target + "/demo?tool=get_weather"
    message = ask(model, tools=TOOLS).choices[0].message
    call = message.tool_calls[0]
    assert call.function.name == "get_weather" and json.loads(call.function.arguments)["city"] == "Paris", call
    messages = HELLO + [message.model_dump(exclude_none=True),
                        {"role": "tool", "tool_call_id": call.id, "content": "18 degrees in Paris"}]
    answer = ask(model, messages=messages, tools=TOOLS).choices[0]
    assert "18 degrees in Paris" in answer.message.content and answer.finish_reason == "stop", answer


@test(*TARGETS)
def streams_parallel_calls(target):
    with client.chat.completions.stream(model=target + "/demo?tool=any&calls=2", messages=HELLO, tools=TOOLS) as stream:
        for _ in stream:
            pass
        choice = stream.get_final_completion().choices[0]
    assert [c.function.name for c in choice.message.tool_calls] == ["get_weather", "get_time"], choice
    assert choice.finish_reason == "tool_calls"
    assert len({c.id for c in choice.message.tool_calls}) == 2
    assert all(isinstance(json.loads(c.function.arguments), dict) for c in choice.message.tool_calls)


@test(*TARGETS)
def forced_tools_are_called(target):
    message = ask(target + "/demo", tools=TOOLS, tool_choice={"type": "function", "function": {"name": "get_time"}}).choices[0].message
    assert [c.function.name for c in message.tool_calls] == ["get_time"], message


class Event(pydantic.BaseModel):
    name: str
    date: str
    guests: list[str]


@test(*TARGETS)
def structured_output_parses(target):
    parsed = client.chat.completions.parse(model=target + "/demo", messages=HELLO, response_format=Event).choices[0].message.parsed
    assert isinstance(parsed, Event) and parsed.guests, parsed


@test(*STOPPING)
def limits_and_stops(target):
    answer = ask(target + "/demo", max_completion_tokens=5)
    assert answer.choices[0].finish_reason == "length" and answer.usage.completion_tokens == 5, answer
    answer = ask(target + "/demo?text=one%20two%20three", stop=" two")
    assert answer.choices[0].message.content == "one", answer


@test()
def limits_and_stops_of_responses():
    """A limit that the target does not take is raised, and told; stop sequences it has none of are refused."""
    raw = client.chat.completions.with_raw_response.create(model="sim_responses/demo", messages=HELLO, max_completion_tokens=5)
    answer = raw.parse()
    assert answer.choices[0].finish_reason == "length" and answer.usage.completion_tokens == 16, answer
    assert "max_tokens=changed" in raw.headers["x-weir-loss"], raw.headers
    assert ask("sim_responses/demo", max_completion_tokens=17).usage.completion_tokens == 17
    error = raises(openai.BadRequestError, lambda: ask("sim_responses/demo", stop=" two"))
    assert "would lose stop" in str(error), error


@test("simulator", "sim_gemini")
def several_choices(target):
    choices = ask(target + "/demo", n=2).choices
    assert [c.index for c in choices] == [0, 1] and choices[0].message.content != choices[1].message.content


@test("simulator", "sim_claude")
def thoughts_are_told(target):
    message = ask(target + "/demo?thinking=8").choices[0].message
    assert message.reasoning_content and message.content, message


@test(*TARGETS)
def images_pass(target):
    pixel = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    content = [{"type": "text", "text": "What is on it?"}, {"type": "image_url", "image_url": {"url": pixel}}]
    assert ask(target + "/demo", messages=[{"role": "user", "content": content}]).choices[0].message.content


@test()
def characters_survive():
    text = "naïve – 東京 🙂 “quoted” \\ \n end"
    answer = ask("simulator/demo", messages=[{"role": "user", "content": text + "\nsimulate: split=3"}], stream=True)
    assert "naïve – 東京 🙂 “quoted” \\" in joined(answer)


# ---- responses ----

FLAT_TOOLS = [{"type": "function", "strict": False, **t["function"]} for t in TOOLS]


def respond(model, **more):
    return client.responses.create(**{"model": model, "input": HELLO, **more})


@test(*TARGETS)
def responses_whole(target):
    answer = respond(target + "/demo", instructions="Be brief.")
    assert "rivers carry" in answer.output_text and answer.status == "completed", answer
    assert answer.usage.output_tokens == 20 and answer.usage.total_tokens == answer.usage.input_tokens + 20, answer.usage
    assert answer.instructions == "Be brief." and answer.store is False, answer


@test(*TARGETS)
def responses_streamed(target):
    whole = respond(target + "/demo").output_text
    events = list(respond(target + "/demo", stream=True))
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == whole
    assert [e.sequence_number for e in events] == list(range(len(events)))
    assert events[0].type == "response.created" and events[-1].type == "response.completed", events[-1]
    assert events[-1].response.output_text == whole and events[-1].response.usage.output_tokens == 20
    with client.responses.stream(model=target + "/demo", input=HELLO) as stream:
        for _ in stream:
            pass
        assert stream.get_final_response().output_text == whole


@test(*TARGETS)
def responses_loop_with_tools(target):
    model, turns = target + "/demo?tool=any&calls=2", list(HELLO)
    with client.responses.stream(model=model, input=turns, tools=FLAT_TOOLS) as stream:
        for _ in stream:
            pass
        answer = stream.get_final_response()
    calls = [x for x in answer.output if x.type == "function_call"]
    assert [c.name for c in calls] == ["get_weather", "get_time"], answer
    assert all(isinstance(json.loads(c.arguments), dict) for c in calls)
    turns += [x.model_dump(exclude_none=True) for x in answer.output]
    turns += [{"type": "function_call_output", "call_id": c.call_id, "output": "18 degrees"} for c in calls]
    assert "18 degrees" in respond(model, input=turns, tools=FLAT_TOOLS).output_text


@test(*TARGETS)
def responses_structured(target):
    parsed = client.responses.parse(model=target + "/demo", input=HELLO, text_format=Event).output_parsed
    assert isinstance(parsed, Event) and parsed.guests, parsed


@test(*TARGETS)
def responses_that_are_cut(target):
    answer = respond(target + "/demo", max_output_tokens=16)
    assert answer.status == "incomplete" and answer.incomplete_details.reason == "max_output_tokens", answer


@test("simulator", "sim_claude")
def responses_with_thoughts(target):
    answer = respond(target + "/demo?thinking=8")
    assert [x.type for x in answer.output] == ["reasoning", "message"] and answer.output[0].summary[0].text, answer
    with client.responses.stream(model=target + "/demo?thinking=8", input=HELLO) as stream:
        kinds = [e.type for e in stream]
    assert "response.reasoning_summary_text.delta" in kinds and kinds[-1] == "response.completed", kinds


@test(*TARGETS)
def responses_errors_have_their_class(target):
    raises(openai.RateLimitError, lambda: respond(target + "/demo?status=429"), status_code=429)
    raises(openai.BadRequestError, lambda: respond(target + "/demo?status=400"), status_code=400)
    raises(openai.InternalServerError, lambda: respond(target + "/demo?status=500"))
    raises(openai.BadRequestError, lambda: respond(target + "/demo", input=[{"role": "robot", "content": "x"}]), status_code=400)


@test(*TARGETS)
def responses_that_break_off_fail(target):
    events = []
    try:
        events.extend(respond(target + "/demo?error_event=6", stream=True))  # keeps what came before the connection ends
    except openai.APIConnectionError:
        pass
    if target == "sim_responses":  # the provider's own event, as it came
        assert events[-1].type == "error" and events[-1].message, events[-1]
        return
    assert events[-1].type == "response.failed" and events[-1].response.error.message, events[-1]
    assert events[-1].response.status == "failed"


# ---- errors ----

@test(*TARGETS)
def upstream_errors_have_their_class(target):
    raises(openai.RateLimitError, lambda: ask(target + "/demo?status=429"), status_code=429)
    raises(openai.BadRequestError, lambda: ask(target + "/demo?status=400"), status_code=400)
    raises(openai.InternalServerError, lambda: ask(target + "/demo?status=500"))
    raises(openai.InternalServerError, lambda: ask(target + "/demo?status=503"))
    raises(openai.InternalServerError, lambda: ask(target + "/demo?html"))
    raises(openai.InternalServerError, lambda: ask(target + "/demo?truncate=40"))


@test(*TARGETS)
def our_own_key_is_not_the_callers_fault(target):
    error = raises(openai.InternalServerError, lambda: ask(target + "/demo?status=401"))
    assert error.status_code in (502, 503), error.status_code


@test(*TARGETS)
def broken_streams_are_never_complete(target):
    for fault in ("fin_after=700", "rst_after=700", "garble=4", "no_done", "error_event=3", "wrong_chunk=4"):
        if fault == "no_done" and target == "simulator":
            continue  # that dialect may leave its terminator out behind a finish
        try:
            list(ask(f"{target}/demo?{fault}", stream=True))
        except openai.APIError:
            continue
        raise AssertionError(f"{fault}: the stream seemed complete")


@test()
def bad_fields_are_named():
    error = raises(openai.BadRequestError, lambda: ask("demo", temperature="hot"))
    assert error.param == "temperature" and "temperature" in error.message, error
    error = raises(openai.BadRequestError, lambda: ask("demo", messages=[{"role": "nobody", "content": "x"}]))
    assert "messages[0].role" in error.message, error
    error = raises(openai.BadRequestError, lambda: ask("demo", messages="x"))
    assert "messages" in error.message, error
    raises(openai.BadRequestError, lambda: client.post("/chat/completions", cast_to=object, content=b'{"model":'))


@test()
def unknown_models_are_not_found():
    error = raises(openai.NotFoundError, lambda: ask("no-such-model"))
    assert error.code == "model_not_found" and "no-such-model" in error.message, error


@test()
def keys_are_checked():
    raises(openai.AuthenticationError, lambda: client.with_options(api_key="wrong").chat.completions.create(model="demo", messages=HELLO))
    raises(openai.AuthenticationError, lambda: ask("demo", extra_headers={"Authorization": openai.Omit()}))
    narrow = client.with_options(api_key=NARROW)
    assert narrow.chat.completions.create(model="demo", messages=HELLO).choices
    raises(openai.PermissionDeniedError, lambda: narrow.chat.completions.create(model="simulator/demo", messages=HELLO))


@test()
def models_are_listed():
    assert "demo" in [m.id for m in client.models.list()]
    assert client.models.retrieve("demo").id == "demo"
    assert [m.id for m in client.with_options(api_key=NARROW).models.list()] == ["demo"]
    raises(openai.NotFoundError, lambda: client.models.retrieve("no-such-model"))


@test()
def azures_client_works():
    azure = openai.AzureOpenAI(azure_endpoint=URL, api_key=KEY, api_version="2024-10-21", max_retries=0, timeout=20)
    assert azure.chat.completions.create(model="demo", messages=HELLO).choices[0].message.content
    stream = azure.with_options(api_key=NARROW).chat.completions.create(model="demo", messages=HELLO, stream=True)
    assert "rivers carry" in joined(stream)
    raises(openai.PermissionDeniedError, lambda: azure.with_options(api_key=NARROW).chat.completions.create(model="simulator/demo", messages=HELLO))


# ---- calls beside chat: the upstream is ours ----

class Store(http.server.BaseHTTPRequestHandler):
    """Embeds as Ollama does, keeps one file as OpenAI does."""
    protocol_version = "HTTP/1.1"
    content = b""

    def log_message(self, *_):
        pass

    def answer(self, body, kind="application/json"):
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(Store.content, "application/octet-stream")

    def do_POST(self):
        if self.headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/api/embed":
            vectors = [[len(text), 0.5, -1e-3] for text in json.loads(body)["input"]]
            self.answer(json.dumps({"model": "e", "embeddings": vectors, "prompt_eval_count": 7}).encode())
            return
        Store.content = body.split(b"filename=", 1)[1].split(b"\r\n\r\n", 1)[1].split(b"\r\n--", 1)[0]
        self.answer(json.dumps({"id": "file-1", "object": "file", "bytes": len(Store.content), "created_at": 1, "filename": "f",
                                "purpose": "batch", "status": "processed"}).encode())


@test()
def inputs_are_embedded():
    for more in ({}, {"encoding_format": "float"}):
        answer = client.embeddings.create(model="vectors/e", input=["a", "bb"], **more)
        assert [round(v, 6) for v in answer.data[1].embedding] == [2, 0.5, -0.001], answer
        assert answer.usage.prompt_tokens == 7 and [d.index for d in answer.data] == [0, 1]
    raises(openai.BadRequestError, lambda: client.embeddings.create(model="vectors/e", input=[[1, 2]]))
    raises(openai.BadRequestError, lambda: client.embeddings.create(model="sim_claude/demo", input="a"))


@test()
def files_go_up_and_come_down():
    content = bytes(range(256)) * 8192
    stored = client.files.create(file=("f", content), purpose="batch")
    assert stored.id == "file-1" and stored.bytes == len(content), stored
    assert client.files.content("file-1").read() == content
    error = raises(openai.PermissionDeniedError, lambda: client.with_options(api_key=NARROW).files.content("file-1"))
    assert "takes the right to" in error.message, error


@test()
def headers_name_the_request():
    raw = client.chat.completions.with_raw_response.create(model="demo", messages=HELLO)
    assert raw.headers["x-weir-request-id"] and raw.headers["x-weir-target"] == "simulator/demo", raw.headers


@test(*[str(i) for i in range(len(recorded()))])
def recordings_reach_the_client(i):
    case = recorded()[int(i)]
    answer = ask(f"replay_{case['dialect']}/{case['model']}", stream=case["stream"])
    if case["stream"]:
        text, calls = "", {}
        for chunk in answer:
            for choice in chunk.choices[:1] if chunk.choices and chunk.choices[0].index == 0 else []:
                text += choice.delta.content or ""
                for c in choice.delta.tool_calls or []:
                    known = calls.setdefault(c.index, ["", ""])
                    known[0] += c.function.name or ""
                    known[1] += c.function.arguments or ""
        calls = [[name, json.loads(arguments or "{}")] for name, arguments in calls.values()]
    else:
        message = answer.choices[0].message
        text = message.content or ""
        calls = [[c.function.name, json.loads(c.function.arguments)] for c in message.tool_calls or []]
    assert text == case["text"], f"{case['file']}: text {text[:80]!r} instead of {case['text'][:80]!r}"
    assert calls == case["calls"], f"{case['file']}: calls {calls} instead of {case['calls']}"


if __name__ == "__main__":
    store = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["WEIR_UPSTREAM_PORT"])), Store)
    threading.Thread(target=store.serve_forever, daemon=True).start()
    main()
