"""The official Python SDK of Google's Gemini against weir."""
from urllib.parse import quote

from google import genai
from google.genai import errors, types
from pydantic import BaseModel

from client_test import KEY, NARROW, STOPPING, TARGETS, URL, main, test

PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c626001000000ffff03000006000557bfabd40000000049454e44ae426082")
HELLO = "How do rivers carry sediment?"


def made(key=KEY, base=URL + "/gemini"):
    return genai.Client(api_key=key, http_options=types.HttpOptions(base_url=base, timeout=20000))


client, narrow, wrong, rooted = made(), made(NARROW), made("wrong"), made(base=URL)
WEATHER = types.FunctionDeclaration(name="get_weather", description="Weather", parameters_json_schema={
    "type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}}, "required": ["city"]})
TIME = types.FunctionDeclaration(name="get_time", description="Time", parameters=types.Schema(type="OBJECT", properties={
    "zone": types.Schema(type="STRING", nullable=True)}))
TOOLS = [types.Tool(function_declarations=[WEATHER, TIME])]


def model(target, knobs=""):
    """The model stands in the path: its '?' must not."""
    return f"{target}/demo" + (quote("?" + knobs) if knobs else "")


def ask(target, knobs="", contents=HELLO, **config):
    return client.models.generate_content(model=model(target, knobs), contents=contents, config=config)


def final(target, knobs="", contents=HELLO, **config):
    return list(client.models.generate_content_stream(model=model(target, knobs), contents=contents, config=config))


def parts_of(chunks):
    return [p for c in chunks if c.candidates and c.candidates[0].content for p in c.candidates[0].content.parts or []]


def refused(code, function):
    try:
        function()
    except errors.APIError as error:
        want = errors.ServerError if code >= 500 else errors.ClientError
        assert type(error) is want and error.code == code, repr(error)
        return error
    raise AssertionError(f"nothing was raised, {code} was due")


@test(*TARGETS)
def answers_whole(target):
    answer = ask(target, system_instruction="Be brief.")
    assert "rivers carry" in answer.text, answer
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    usage = answer.usage_metadata
    assert usage.prompt_token_count > 0 and usage.candidates_token_count == 20, usage
    assert usage.total_token_count == usage.prompt_token_count + 20, usage


@test(*TARGETS)
def streams_the_same(target):
    chunks = final(target)
    assert len(chunks) > 3 and "".join(c.text or "" for c in chunks) == ask(target).text
    assert chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP
    assert chunks[-1].usage_metadata.candidates_token_count == 20, chunks[-1]


@test(*TARGETS)
def loops_with_tools(target):
    knobs = "tool=get_weather"
    answer = ask(target, knobs, tools=TOOLS)
    call = answer.function_calls[0]
    assert call.name == "get_weather" and call.args["city"] == "Paris", answer
    contents = [types.UserContent(HELLO), answer.candidates[0].content,
                types.UserContent(types.Part(function_response=types.FunctionResponse(id=call.id, name=call.name, response={"result": "18 degrees in Paris"})))]
    answer = ask(target, knobs, contents, tools=TOOLS)
    assert "18 degrees in Paris" in answer.text, answer


@test(*TARGETS)
def chats_call_functions_themselves(target):
    called = []

    def get_weather(city: str) -> str:
        """Weather of a city."""
        called.append(city)
        return "18 degrees in " + city
    for streams in (False, True):
        called.clear()
        chat = client.chats.create(model=model(target, "tool=get_weather"), config={"tools": [get_weather]})
        said = "".join(c.text or "" for c in chat.send_message_stream(HELLO)) if streams else chat.send_message(HELLO).text
        assert called == ["Paris"] and "18 degrees in Paris" in said, (called, said)
        assert [c.role for c in chat.get_history(curated=True)][:1] == ["user"]


@test(*TARGETS)
def streams_parallel_calls(target):
    calls = [p.function_call for p in parts_of(final(target, "tool=any&calls=2", tools=TOOLS)) if p.function_call]
    assert [c.name for c in calls] == ["get_weather", "get_time"], calls


@test(*TARGETS)
def forced_tools_are_called(target):
    choice = types.ToolConfig(function_calling_config=types.FunctionCallingConfig(mode="ANY", allowed_function_names=["get_time"]))
    assert [c.name for c in ask(target, tools=TOOLS, tool_config=choice).function_calls] == ["get_time"]


class City(BaseModel):
    name: str
    people: int


@test(*TARGETS)
def structured_output_is_parsed(target):
    answer = ask(target, response_mime_type="application/json", response_schema=City)
    assert isinstance(answer.parsed, City), answer.text
    answer = ask(target, response_mime_type="application/json", response_json_schema=City.model_json_schema())
    City.model_validate_json(answer.text)


@test(*TARGETS)
def thoughts_are_parts(target):
    config = types.ThinkingConfig(include_thoughts=True, thinking_budget=1024)
    parts = parts_of(final(target, "thinking=8", thinking_config=config, max_output_tokens=4000))
    assert any(p.thought and p.text for p in parts) and any(p.text and not p.thought for p in parts), parts


@test(*STOPPING)
def limits_and_stops(target):
    answer = ask(target, max_output_tokens=5)
    assert answer.candidates[0].finish_reason == types.FinishReason.MAX_TOKENS, answer
    assert ask(target, "text=one%20two%20three", stop_sequences=[" two"]).text == "one"


@test(*TARGETS)
def images_pass(target):
    assert ask(target, contents=[types.Part.from_bytes(data=PNG, mime_type="image/png"), "What is on it?"]).text


@test("simulator")
def tokens_are_counted(target):
    count = client.models.count_tokens(model=model(target), contents=HELLO)
    assert 3 < count.total_tokens < 40, count


@test()
def models_are_listed():
    names = [m.name for m in client.models.list()]
    assert "models/demo" in names, names
    assert client.models.get(model="demo").name == "models/demo"


@test(*TARGETS)
def upstream_errors_have_their_class(target):
    assert refused(429, lambda: ask(target, "status=429")).status == "RESOURCE_EXHAUSTED"
    assert refused(400, lambda: ask(target, "status=400")).status == "INVALID_ARGUMENT"
    for fault in ("status=500", "status=503", "html", "truncate=40", "status=401"):
        try:
            ask(target, fault)
        except errors.ServerError as error:
            assert error.code >= 500
            continue
        raise AssertionError(f"{fault}: nothing was raised")


@test(*TARGETS)
def broken_streams_are_never_complete(target):
    for fault in ("fin_after=700", "rst_after=700", "garble=4", "error_event=3"):
        try:
            chunks = final(target, fault)
        except Exception:
            continue
        reasons = [c.candidates[0].finish_reason for c in chunks if c.candidates]
        assert not any(reasons), f"{fault}: the stream seemed complete: {chunks[-1]}"


@test()
def own_errors_have_their_class():
    error = refused(400, lambda: client.models.generate_content(model="demo", contents=[types.Content(role="robot", parts=[types.Part(text="x")])]))
    assert "contents[0].role" in error.message, error.message
    refused(404, lambda: client.models.generate_content(model="no-such-model", contents=HELLO))
    refused(401, lambda: wrong.models.generate_content(model="demo", contents=HELLO))
    refused(403, lambda: narrow.models.generate_content(model="simulator/demo", contents=HELLO))


@test()
def works_at_the_root_and_as_vertex():
    assert rooted.models.generate_content(model="demo", contents=HELLO).text
    vertex = genai.Client(vertexai=True, api_key=KEY, http_options=types.HttpOptions(base_url=URL + "/gemini", timeout=20000))
    assert vertex.models.generate_content(model="demo", contents=HELLO).text


if __name__ == "__main__":
    main()
