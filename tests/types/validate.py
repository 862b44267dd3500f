"""Run by run.py with the SDKs' python: is each translated request what the dialect's official SDK would take? Ends with
`N passed M failed`; says the first refusals of each pair."""
import base64
import collections
import json
import sys

from pydantic import TypeAdapter, ValidationError


def walk(value):
    """Validation of iterables is lazy: look at everything."""
    if isinstance(value, dict):
        return {k: walk(v) for k, v in value.items()}
    if value is None or isinstance(value, (str, int, float, bool, bytes)) or not hasattr(value, "__iter__"):
        return value
    return [walk(v) for v in value]


class Typed:
    """A dialect whose SDK describes the request as TypedDicts, one for whole answers, one for streams."""

    def __init__(self, whole, stream):
        self.whole, self.stream = TypeAdapter(whole), TypeAdapter(stream)

    def __call__(self, body):
        walk((self.stream if body.get("stream") else self.whole).validate_python(body))


def openai():
    from openai.types.chat import completion_create_params as p
    return Typed(p.CompletionCreateParamsNonStreaming, p.CompletionCreateParamsStreaming)


def responses():
    from openai.types.responses import response_create_params as p
    typed = Typed(p.ResponseCreateParamsNonStreaming, p.ResponseCreateParamsStreaming)

    # The API's reference has input_audio for audio models; this version of the SDK leaves it out of its union.
    def without_audio(item):
        content = item.get("content") if isinstance(item, dict) else None
        if not isinstance(content, list):
            return item
        return {**item, "content": [c for c in content if not (isinstance(c, dict) and c.get("type") == "input_audio")]}

    def check(body):
        typed({**body, "input": [without_audio(i) for i in body["input"]]} if isinstance(body.get("input"), list) else body)
    return check


def anthropic():
    from anthropic.types import message_create_params as p
    return Typed(p.MessageCreateParamsNonStreaming, p.MessageCreateParamsStreaming)


def ollama():
    from ollama._types import ChatRequest
    return ChatRequest.model_validate


def gemini():
    from google.genai import types

    # In the SDK these fields stand in one config; on the wire the generationConfig is a member of its own.
    def check(body):
        for content in body.get("contents", []):
            types.Content.model_validate(content)
        config = {k: v for k, v in body.get("generationConfig", {}).items()}
        for name in ("systemInstruction", "tools", "toolConfig", "safetySettings", "cachedContent", "serviceTier", "labels"):
            if name in body:
                config[name] = body[name]
        types.GenerateContentConfig.model_validate(config)
        unknown = set(body) - {"contents", "generationConfig", "systemInstruction", "tools", "toolConfig", "safetySettings", "cachedContent",
                               "serviceTier", "labels", "model", "store"}
        if unknown:
            raise ValueError(f"members that Gemini does not know: {sorted(unknown)}")
    return check


def cohere():
    import cohere as c
    messages = TypeAdapter(list[c.ChatMessageV2])
    tools = TypeAdapter(list[c.ToolV2])

    # The SDK wants a document's data as an object; the API, and its own examples, take JSON text too.
    def unpack(content):
        document = content.get("document") if isinstance(content, dict) else None
        return {**content, "document": {**document, "data": {"text": document["data"]}}} if document and isinstance(document["data"], str) else content

    def check(body):
        messages.validate_python([{**m, "content": [unpack(c) for c in m["content"]]} if isinstance(m.get("content"), list) else m
                                  for m in body["messages"]])
        tools.validate_python(body.get("tools", []))
        if "response_format" in body:
            TypeAdapter(c.ResponseFormatV2).validate_python(body["response_format"])
        if "thinking" in body:
            c.Thinking.model_validate(body["thinking"])
    return check


def bedrock():
    import botocore.session
    import botocore.validate
    model = botocore.session.Session().get_service_model("bedrock-runtime")
    shape = model.operation_model("Converse").input_shape

    # On the wire blobs are base64, and documents are any JSON.
    def unpack(value, kind):
        if kind.type_name == "blob" and isinstance(value, str):
            return base64.b64decode(value, validate=True)
        if kind.type_name == "structure" and isinstance(value, dict) and not getattr(kind, "is_document_type", False):
            strange = set(value) - set(kind.members)
            if strange:
                raise ValueError(f"{kind.name} has no {sorted(strange)}")
            return {k: unpack(v, kind.members[k]) for k, v in value.items()}
        if kind.type_name == "list" and isinstance(value, list):
            return [unpack(v, kind.member) for v in value]
        return value

    def check(body):
        report = botocore.validate.ParamValidator().validate({"modelId": "m", **unpack(body, shape)}, shape)
        if report.has_errors():
            raise ValueError(report.generate_report())
    return check


def main():
    makers = {f.__name__: f for f in (openai, responses, anthropic, ollama, gemini, cohere, bedrock)}
    checks, passed, failed, said = {}, 0, 0, collections.Counter()
    with open(sys.argv[1], encoding="utf-8") as f:
        requests = json.load(f)
    for request in requests:
        to = request["to"]
        checks.setdefault(to, makers[to]())
        try:
            checks[to](request["body"])
            passed += 1
        except (ValidationError, ValueError, KeyError, TypeError) as why:
            failed += 1
            pair = f"{request['from']} -> {to}"
            said[pair] += 1
            if said[pair] <= 3:
                print(f"FAIL {pair}, {request['file']}: {str(why)[:600]}\n     {json.dumps(request['body'])[:600]}")
    for pair, n in sorted(said.items()):
        print(f"     {pair}: {n} refused")
    print(f"{passed} passed {failed} failed")


main()
