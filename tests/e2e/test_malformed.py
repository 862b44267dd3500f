"""Bodies that are wrong in one place, every place of a rich request of each dialect in turn: what weir refuses it refuses with 400 in
that dialect's own words and names the place; what it lets through is for the provider to judge. Never a 5xx, never silence."""
import copy
import json

from harness import Upstream, Weir

PNG = "iVBORw0KGgo="
DATA_URL = "data:image/png;base64," + PNG
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
BODIES = {
    "openai": (
        "/openai/v1/chat/completions",
        {"model": "to-{}",
         "max_tokens": 9,
         "temperature": 0.5,
         "stop": ["x"],
         "n": 1,
         "stream": False,
         "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}},
         "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA}}],
         "tool_choice": "auto",
         "reasoning_effort": "low",
         "messages": [{"role": "system", "content": "s"},
                      {"role": "user",
                       "content": [{"type": "text", "text": "t"}, {"type": "image_url", "image_url": {"url": DATA_URL}}]},
                      {"role": "assistant",
                       "content": None,
                       "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
                      {"role": "tool", "tool_call_id": "c", "content": "r"}]},
    ),
    "responses": (
        "/openai/v1/responses",
        {"model": "to-{}",
         "instructions": "i",
         "max_output_tokens": 9,
         "temperature": 1,
         "tools": [{"type": "function", "name": "f", "parameters": SCHEMA}],
         "text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}},
         "reasoning": {"effort": "low"},
         "input": [{"role": "user", "content": [{"type": "input_text", "text": "t"}, {"type": "input_image", "image_url": DATA_URL}]},
                   {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
                   {"type": "function_call_output", "call_id": "c", "output": "r"}]},
    ),
    "anthropic": (
        "/anthropic/v1/messages",
        {"model": "to-{}",
         "max_tokens": 9,
         "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
         "temperature": 0.5,
         "stop_sequences": ["x"],
         "tools": [{"name": "f", "description": "d", "input_schema": SCHEMA}],
         "tool_choice": {"type": "auto"},
         "thinking": {"type": "enabled", "budget_tokens": 1024},
         "messages": [{"role": "user",
                       "content": [{"type": "text", "text": "t"},
                                   {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}]},
                      {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]},
                      {"role": "user",
                       "content": [{"type": "tool_result", "tool_use_id": "c", "content": [{"type": "text", "text": "r"}]}]}]},
    ),
    "gemini": (
        "/gemini/v1beta/models/to-{}:generateContent",
        {"systemInstruction": {"parts": [{"text": "s"}]},
         "generationConfig": {"maxOutputTokens": 9,
                              "temperature": 0.5,
                              "stopSequences": ["x"],
                              "thinkingConfig": {"thinkingBudget": 100}},
         "tools": [{"functionDeclarations": [{"name": "f",
                                              "description": "d",
                                              "parameters": {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}}}]}],
         "toolConfig": {"functionCallingConfig": {"mode": "AUTO"}},
         "contents": [{"role": "user", "parts": [{"text": "t"}, {"inlineData": {"mimeType": "image/png", "data": PNG}}]},
                      {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]},
                      {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"r": 1}}}]}]},
    ),
    "bedrock": (
        "/bedrock/model/to-{}/converse",
        {"system": [{"text": "s"}],
         "inferenceConfig": {"maxTokens": 9, "temperature": 0.5, "stopSequences": ["x"]},
         "toolConfig": {"tools": [{"toolSpec": {"name": "f", "description": "d", "inputSchema": {"json": SCHEMA}}}],
                        "toolChoice": {"auto": {}}},
         "messages": [{"role": "user", "content": [{"text": "t"}, {"image": {"format": "png", "source": {"bytes": PNG}}}]},
                      {"role": "assistant", "content": [{"toolUse": {"toolUseId": "c", "name": "f", "input": {}}}]},
                      {"role": "user", "content": [{"toolResult": {"toolUseId": "c", "content": [{"text": "r"}]}}]}]},
    ),
    "cohere": (
        "/cohere/v2/chat",
        {"model": "to-{}",
         "max_tokens": 9,
         "temperature": 0.5,
         "stop_sequences": ["x"],
         "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA}}],
         "response_format": {"type": "json_object", "json_schema": SCHEMA},
         "messages": [{"role": "system", "content": "s"},
                      {"role": "user",
                       "content": [{"type": "text", "text": "t"}, {"type": "image_url", "image_url": {"url": DATA_URL}}]},
                      {"role": "assistant",
                       "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
                      {"role": "tool", "tool_call_id": "c", "content": "r"}]},
    ),
    "ollama": (
        "/ollama/api/chat",
        {"model": "to-{}",
         "stream": False,
         "format": SCHEMA,
         "options": {"num_predict": 9, "temperature": 0.5, "stop": ["x"]},
         "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA}}],
         "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "t", "images": [PNG]},
                      {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]},
                      {"role": "tool", "content": "r", "tool_name": "f"}]},
    ),
}
WRONG = [None, True, -1, 1e300, "", [], {}, [[[[]]]], {"x": 1}, 0.5]
NO_JSON = [b"", b"{", b"[]", b"nul", b'{"a":1}}', b"\xff\xfe", b'{"model":"a\xff"}', b"[" * 100000, b'{"a":' * 5000, b'{"messages":1e99999}',
           b"\xef\xbb\xbf{}"]
PASSED_ON = "told by the provider"


def nodes(value, path=()):
    yield path
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, v in inside:
        yield from nodes(v, path + (key,))


def put(body, path, wrong):
    if not path:
        return wrong
    body = copy.deepcopy(body)
    at = body
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = wrong
    return body


def text_of(path):
    text = ""
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else ("." if text else "") + key
    return text


def names(said, path):
    """The place itself, or what it stands in."""
    return not path or any(text_of(path[:k]) in said for k in range(max(1, len(path) - 2), len(path) + 1))


def weir_for(up):
    def entry(d):
        more = {"region": "us-east-1", "key": "AKIAIOSFODNN7EXAMPLE:x"} if d == "bedrock" else {"key": "x"}
        return {"dialect": d, "base_url": up.url, "breaker": {"failures": 0}, **more}

    return Weir({"providers": {d: entry(d) for d in BODIES}, "on_loss": "allow", "entry": [],
                 "routes": [{"match": {"path": "/*"}, "pipeline": [], "open": True}],
                 "models": {f"to-{d}": {"targets": [f"{d}/m"]} for d in BODIES}})


def refuse(conn):
    while conn.read_request():
        conn.respond(422, {"error": {"message": PASSED_ON}, "message": PASSED_ON})


def ask(client, dialect, target, place, wrong):
    """The 400 with which weir itself refused it; None: it was passed on."""
    path, body = BODIES[dialect]
    body = put(body, place, wrong)
    if isinstance(body, dict) and body.get("model") == "to-{}":
        body["model"] = "to-" + target
    answer = client.request("POST", path.format(target), json.dumps(body)).response()
    where = f"{dialect} to {target}, {text_of(place)} = {wrong!r}: {answer.status} {answer.text[:300]}"
    said = json.dumps(answer.json)
    if PASSED_ON in said or (answer.status == 404 and place == ("model",)):
        return None
    assert answer.status == 400 and "codec" not in said, where
    return where


def test_every_place_wrong_in_its_own_dialect():
    with Upstream(refuse) as up, weir_for(up) as weir, weir.client() as client:
        for dialect, (_, body) in BODIES.items():
            refusals = [(place, ask(client, dialect, dialect, place, wrong)) for place in nodes(body) for wrong in WRONG]
            refusals = [(place, said) for place, said in refusals if said]
            unnamed = [said for place, said in refusals if not names(said.split(": ", 1)[1], place)]
            assert len(refusals) > 200 and not unnamed, (dialect, len(refusals), unnamed[:3])


def test_every_place_wrong_towards_the_other_dialects():
    with Upstream(refuse) as up, weir_for(up) as weir, weir.client() as client:
        for dialect, (_, body) in BODIES.items():
            for target in (t for t in BODIES if t != dialect):
                refused = sum(ask(client, dialect, target, place, wrong) is not None
                              for place in nodes(body) for wrong in (None, True, "", [], {"x": 1}))
                assert refused > 100, (dialect, target, refused)


def test_no_json():
    with Upstream(refuse) as up, weir_for(up) as weir:
        for dialect, (path, _) in BODIES.items():
            for body in NO_JSON:
                with weir.client() as client:
                    answer = client.request("POST", path.format(dialect), body, {"content-type": "application/json"}).response()
                assert answer.status == 400 and answer.json, (dialect, body[:40], answer)


def test_a_block_that_others_do_not_know_is_named():
    body = {"model": "to-anthropic", "messages": [{"role": "user", "content": [{"type": "hologram", "data": "x"}]}]}
    with Upstream(refuse) as up, weir_for(up) as weir:
        answer = weir.post("/openai/v1/chat/completions", body)
        assert answer.status == 400 and "block hologram, which only openai knows" in answer.text, answer.text


def image(dialect, url):
    """A body whose one image lies at url, and where the body says so."""
    path, _ = BODIES[dialect]
    says = {
        "openai": ("messages", "content", {"type": "image_url", "image_url": {"url": url}}, "image_url.url"),
        "responses": ("input", "content", {"type": "input_image", "image_url": url}, "image_url"),
        "anthropic": ("messages", "content", {"type": "image", "source": {"type": "url", "url": url}}, "source.url"),
        "gemini": ("contents", "parts", {"fileData": {"mimeType": "image/png", "fileUri": url}}, "fileData.fileUri"),
        "cohere": ("messages", "content", {"type": "image_url", "image_url": {"url": url}}, "image_url.url"),
    }[dialect]
    turns, parts, part, place = says
    text = {"gemini": {"text": "t"}, "responses": {"type": "input_text", "text": "t"}}.get(dialect, {"type": "text", "text": "t"})
    body = {"model": "to-" + dialect, "max_tokens": 9, turns: [{"role": "user", parts: [text, part]}]}
    if dialect == "gemini":
        del body["model"], body["max_tokens"]
    if dialect == "responses":
        del body["max_tokens"]
    return path.format(dialect), body, f"{turns}[0].{parts}[1].{place}: not a URL or data URI"


NO_URL = ["", "a cat", "/cat.png", "cat.png", "//host/cat.png", "http:", "https://", "http:///cat.png", "https:cat.png", "://x", "1a:b",
          "data:", "data:image/png", "data:image/png;base64", "data:image/png;base64,", "iVBORw0KGgo=", " https://host/x"]
URL = ["https://host/cat.png", "HTTP://host", "gs://bucket/cat.png", "s3://bucket/x", "file:///cat.png", "urn:x:y", DATA_URL,
       "DATA:image/png;base64," + PNG, "data:image/svg+xml,%3Csvg/%3E", "data:;base64," + PNG, "https://host/" + "x" * 3000]


def test_an_image_lies_at_a_url_or_nowhere():
    with Upstream(refuse) as up, weir_for(up) as weir, weir.client() as client:
        for dialect in ("openai", "responses", "anthropic", "gemini", "cohere"):
            for url in NO_URL:
                path, body, said = image(dialect, url)
                answer = client.request("POST", path, json.dumps(body)).response()
                assert answer.status == 400 and said in answer.text, (dialect, url, answer.status, answer.text)
            for url in URL:
                path, body, _ = image(dialect, url)
                for text in (json.dumps(body), json.dumps(body).replace("/png", "\\/png")):
                    answer = client.request("POST", path, text).response()
                    assert answer.status == 422 and PASSED_ON in answer.text, (dialect, url, answer.status, answer.text)


def test_what_was_read_from_its_own_bytes_is_named_as_deeply():
    user = {"role": "user", "content": "x"}
    call = {"id": "c", "type": "function", "function": {"name": 1, "arguments": "{}"}}
    bad_image = {"source": {"url": "x", "type": "url"}, "type": "image"}
    result = {"toolUseId": "c", "content": [{"text": "r"}, {"text": 1}]}
    parts = [{"fileData": {"mimeType": "image/png", "fileUri": "x"}}]
    cases = [
        ("openai", {"messages": [user], "stop": ["a", 1]}, "stop[1]: must be a string"),
        ("openai", {"messages": [{"role": "assistant", "tool_calls": [call]}]}, "messages[0].tool_calls[0].function.name: must be a string"),
        ("openai", {"messages": [{"role": "assistant", "tool_calls": [{"id": "c"}]}]}, "messages[0].tool_calls[0]: must be {"),
        ("anthropic", {"max_tokens": 9, "messages": [{"role": "user", "content": [bad_image]}]},
         "messages[0].content[0].source.url: not a URL"),
        ("anthropic", {"max_tokens": 9, "messages": [user], "stop_sequences": [1]}, "stop_sequences[0]: must be a string"),
        ("anthropic", {"max_tokens": 9, "messages": [user], "thinking": {"type": "enabled", "budget_tokens": "9"}},
         "thinking.budget_tokens: must be a number"),
        ("anthropic", {"max_tokens": 9, "messages": [user], "tools": [{"name": "f", "description": 1}]}, "tools[0].description: must be a string"),
        ("bedrock", {"messages": [{"role": "user", "content": [{"toolResult": result}]}]},
         "messages[0].content[0].toolResult.content[1].text: must be a string"),
        ("bedrock", {"messages": [{"role": "user", "content": [{"toolResult": 1}]}]}, "messages[0].content[0].toolResult: must be {"),
        ("gemini", {"contents": [{"parts": [{"functionResponse": {"name": "f", "response": {}, "parts": parts}}]}]},
         "contents[0].parts[0]: its functionResponse has a file"),
    ]
    with Upstream(refuse) as up, weir_for(up) as weir:
        for dialect, body, said in cases:
            path, like = BODIES[dialect]
            more = {"model": "to-" + dialect} if "model" in like else {}
            answer = weir.post(path.format(dialect), {**more, **body})
            assert answer.status == 400 and said in str(answer.json), (dialect, said, answer.text)


def test_a_file_at_a_url_is_one_for_everybody():
    """OpenRouter takes a URL in the place of a file's bytes: who knows files by URL gets it as such, its own dialect as it was."""
    file = {"type": "file", "file": {"filename": "a.pdf", "file_data": "https://host/a.pdf"}}
    body = {"messages": [{"role": "user", "content": [{"type": "text", "text": "t"}, file]}]}
    with Upstream(refuse) as up, weir_for(up) as weir:
        for dialect in ("openai", "anthropic", "responses", "cohere"):
            answer = weir.post("/openai/v1/chat/completions", {"model": "to-" + dialect, **body})
            if dialect == "cohere":
                assert answer.status == 400 and "no files by URL" in answer.text, answer.text
            else:
                assert PASSED_ON in answer.text, answer.text
        own, anthropic, responses = [json.dumps(r.json) for r in up.requests]
        assert json.dumps(file) in own
        assert '{"type": "url", "url": "https://host/a.pdf"}' in anthropic, anthropic
        assert '"file_url": "https://host/a.pdf"' in responses, responses
