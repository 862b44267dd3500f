"""Amazon's SDK for Python against weir's Bedrock door, and weir's own signatures against botocore's."""
import json
import os

import boto3
import botocore
import botocore.config
import botocore.exceptions

import bedrock_upstream
from client_test import KEY, NARROW, STOPPING, TARGETS, TOOL_SCHEMA, URL, main, test

HELLO = [{"role": "user", "content": [{"text": "How do rivers carry sediment?"}]}]
TOOLS = {"tools": [{"toolSpec": {"name": "get_weather", "description": "Weather", "inputSchema": {"json": TOOL_SCHEMA}}},
                   {"toolSpec": {"name": "get_time", "inputSchema": {"json": {"type": "object", "properties": {}}}}}]}
LIMIT = {"maxTokens": 200}
ONE_TRY = botocore.config.Config(retries={"total_max_attempts": 1}, read_timeout=20)
UNSIGNED = ONE_TRY.merge(botocore.config.Config(signature_version=botocore.UNSIGNED))


def at(url, key):
    """A client with a bearer key. The SDK itself sends one over HTTPS only; here it is put into the finished request."""
    client = boto3.client("bedrock-runtime", endpoint_url=url, region_name="eu-west-1", config=UNSIGNED)
    client.meta.events.register("before-send.bedrock-runtime", lambda request, **_: request.headers.update(Authorization="Bearer " + key))
    return client


client, narrow, wrong = at(URL + "/bedrock", KEY), at(URL + "/bedrock", NARROW), at(URL + "/bedrock", "wrong")


def load_recordings():
    folder = os.path.join(os.environ.get("WEIR_SHARED", os.path.join(os.path.dirname(__file__), "..", "..", "..", "shared")), "recordings")
    index = os.path.join(folder, "index.jsonl")
    entries = [json.loads(line) for line in open(index)] if os.path.exists(index) else []
    chosen = [e for e in entries if e["provider"] == "bedrock" and e["endpoint"] == "converse" and e["status"] == 200]
    streams = [e for e in chosen if e["encoding"] == "base64"][:20]
    return [json.load(open(os.path.join(folder, e["file"]))) for e in streams + [e for e in chosen if e not in streams][:20]]


RECORDINGS = load_recordings()
UPSTREAM = bedrock_upstream.start(int(os.environ["WEIR_UPSTREAM_PORT"]), RECORDINGS)
DIRECT = at(f"http://127.0.0.1:{os.environ['WEIR_UPSTREAM_PORT']}", bedrock_upstream.BEARER)


def ask(model, of=client, **more):
    return of.converse(**{"modelId": model, "messages": HELLO, "inferenceConfig": LIMIT, **more})


def content(answer):
    return answer["output"]["message"]["content"]


def text_of(blocks):
    return "".join(b.get("text", "") for b in blocks)


def final(model, of=client, **more):
    """The stream as an answer: blocks by index, in the order and with the members that the stream gave them."""
    blocks, ended = {}, {}
    for event in of.converse_stream(**{"modelId": model, "messages": HELLO, "inferenceConfig": LIMIT, **more})["stream"]:
        (kind, e), = event.items()
        if kind == "messageStart":
            assert e["role"] == "assistant", e
        elif kind == "contentBlockStart" and "toolUse" in e["start"]:
            blocks[e["contentBlockIndex"]] = {"toolUse": {**e["start"]["toolUse"], "input": ""}}
        elif kind == "contentBlockDelta":
            add(blocks.setdefault(e["contentBlockIndex"], {}), e["delta"])
        elif kind in ("messageStop", "metadata"):
            assert kind not in ended and ("messageStop" in ended) == (kind == "metadata"), list(ended)
            ended[kind] = e
    assert list(ended) == ["messageStop", "metadata"], f"the stream ended after {list(ended)}"
    for b in blocks.values():
        if "toolUse" in b:
            b["toolUse"]["input"] = json.loads(b["toolUse"]["input"] or "{}")
    return [blocks[i] for i in sorted(blocks)], ended["messageStop"]["stopReason"], ended["metadata"]["usage"]


def add(block, delta):
    for key, value in delta.items():
        if isinstance(value, str):
            block[key] = block.get(key, "") + value
        elif isinstance(value, dict):
            add(block.setdefault(key, {}), value)


def raises(code, status, function):
    try:
        function()
    except botocore.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] == code, f"{error.response['Error']['Code']} instead of {code}: {error}"
        modelled = getattr(client.exceptions, code, None)
        assert modelled is None or type(error).__name__ == code, type(error)
        got = error.response["ResponseMetadata"]["HTTPStatusCode"]
        assert got == status, f"status {got} instead of {status}: {error}"
        assert error.response["Error"]["Message"] and error.response["ResponseMetadata"]["RequestId"], error.response
        return error
    raise AssertionError(f"nothing was raised, {code} was due")


# ---- the front door, other dialects behind it ----

@test(*TARGETS)
def answers_whole(target):
    answer = ask(target + "/demo", system=[{"text": "Be brief."}])
    assert "rivers carry" in text_of(content(answer)), answer
    assert answer["stopReason"] == "end_turn" and answer["output"]["message"]["role"] == "assistant", answer
    assert answer["usage"]["inputTokens"] > 0 and answer["usage"]["outputTokens"] == 20, answer["usage"]
    assert answer["metrics"]["latencyMs"] >= 0, answer


@test(*TARGETS)
def streams_the_same(target):
    whole, (blocks, reason, usage) = ask(target + "/demo"), final(target + "/demo")
    assert text_of(blocks) == text_of(content(whole)), blocks
    assert reason == "end_turn" and usage["outputTokens"] == 20, (reason, usage)


@test(*TARGETS)
def loops_with_tools(target):
    model = target + "/demo?tool=get_weather"
    answer = ask(model, toolConfig=TOOLS)
    call = [b["toolUse"] for b in content(answer) if "toolUse" in b][0]
    assert answer["stopReason"] == "tool_use" and call["name"] == "get_weather" and call["input"]["city"] == "Paris", answer
    result = {"toolUseId": call["toolUseId"], "content": [{"text": "18 degrees in Paris"}]}
    turns = HELLO + [answer["output"]["message"], {"role": "user", "content": [{"toolResult": result}]}]
    answer = ask(model, messages=turns, toolConfig=TOOLS)
    assert "18 degrees in Paris" in text_of(content(answer)) and answer["stopReason"] == "end_turn", answer


@test(*TARGETS)
def streams_parallel_calls(target):
    blocks, reason, _ = final(target + "/demo?tool=any&calls=2", toolConfig=TOOLS)
    calls = [b["toolUse"] for b in blocks if "toolUse" in b]
    assert [c["name"] for c in calls] == ["get_weather", "get_time"] and reason == "tool_use", blocks
    assert len({c["toolUseId"] for c in calls}) == 2, calls


@test(*TARGETS)
def forced_tools_are_called(target):
    answer = ask(target + "/demo", toolConfig={**TOOLS, "toolChoice": {"tool": {"name": "get_time"}}})
    assert [b["toolUse"]["name"] for b in content(answer) if "toolUse" in b] == ["get_time"], answer


@test(*TARGETS)
def thoughts_are_blocks(target):
    blocks, _, _ = final(target + "/demo?thinking=8")
    assert list(blocks[0]) == ["reasoningContent"] and blocks[0]["reasoningContent"]["text"] and "text" in blocks[1], blocks


@test(*STOPPING)
def limits_and_stops(target):
    answer = ask(target + "/demo", inferenceConfig={"maxTokens": 5})
    assert answer["stopReason"] == "max_tokens" and answer["usage"]["outputTokens"] == 5, answer
    answer = ask(target + "/demo?text=one%20two%20three", inferenceConfig={"maxTokens": 50, "stopSequences": [" two"]})
    assert text_of(content(answer)) == "one", answer


@test(*TARGETS)
def images_pass(target):
    pixel = bytes.fromhex("89504e470d0a1a0a0000000d4948445200000001000000010804000000b51c0c020000000b4944415478da63fcff1f0003030200"
                          "efa0a39b0000000049454e44ae426082")
    blocks = [{"image": {"format": "png", "source": {"bytes": pixel}}}, {"text": "What is on it?"}]
    assert text_of(content(ask(target + "/demo", messages=[{"role": "user", "content": blocks}])))


# ---- beside chat ----

def invoke(body, model="simulator/e", of=client):
    return json.loads(of.invoke_model(modelId=model, body=json.dumps(body), contentType="application/json")["body"].read())


@test()
def vectors_in_each_familys_words():
    titan = invoke({"inputText": "How do rivers carry sediment?"}, "vectors/demo")
    assert all(isinstance(x, float) for x in titan["embedding"]) and titan["inputTextTokenCount"] > 0, titan
    cohere = invoke({"texts": ["a", "b"], "input_type": "search_query"}, "vectors/demo")
    assert len(cohere["embeddings"]) == 2 and cohere["response_type"] == "embeddings_floats", cohere
    raises("ValidationException", 400, lambda: invoke({"prompt": "x", "max_tokens": 3}, "vectors/demo"))


@test()
def tokens_are_counted():
    answer = client.count_tokens(modelId="simulator/demo", input={"converse": {"messages": HELLO, "system": [{"text": "Be brief."}]}})
    assert answer["inputTokens"] > 3, answer


# ---- errors ----

@test(*TARGETS)
def upstream_errors_have_their_class(target):
    raises("ThrottlingException", 429, lambda: ask(target + "/demo?status=429"))
    raises("ValidationException", 400, lambda: ask(target + "/demo?status=400"))
    for fault in ("status=500", "status=503", "html", "truncate=40"):
        try:
            ask(f"{target}/demo?{fault}")
        except botocore.exceptions.ClientError as error:
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500, f"{fault}: {error}"
            continue
        raise AssertionError(f"{fault}: nothing was raised")


@test(*TARGETS)
def broken_streams_are_never_complete(target):
    for fault in ("fin_after=700", "rst_after=700", "garble=4", "error_event=3", "wrong_chunk=4"):
        try:
            final(f"{target}/demo?{fault}")
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError, AssertionError):
            continue
        raise AssertionError(f"{fault}: the stream seemed complete")


@test(*TARGETS)
def an_error_in_a_stream_is_an_exception_of_the_stream(target):
    try:
        final(f"{target}/demo?error_event=9")
    except botocore.exceptions.EventStreamError as error:
        assert error.response["Error"]["Code"].endswith("Exception") and error.response["Error"]["Message"], error.response
        return
    raise AssertionError("no EventStreamError")


@test()
def bad_fields_are_named():
    error = raises("ValidationException", 400, lambda: ask("demo", messages=[{"role": "user", "content": [{"text": "a"}, {"image": {
        "format": "png", "source": {"s3Location": {"uri": "s3://bucket/key"}}}}]}]))
    assert "dialect" in str(error), error


@test()
def unknown_models_are_not_found():
    error = raises("ResourceNotFoundException", 404, lambda: ask("no-such-model"))
    assert "no-such-model" in str(error), error


@test()
def keys_are_checked():
    raises("UnrecognizedClientException", 401, lambda: ask("demo", of=wrong))
    assert content(ask("demo", of=narrow))
    raises("AccessDeniedException", 403, lambda: ask("simulator/demo", of=narrow))


def signing(key_id="AKIDSIGNER", secret="the-secret-of-the-signer", **more):
    """A client as it comes: it signs what it sends."""
    return boto3.client("bedrock-runtime", endpoint_url=URL + "/bedrock", region_name="eu-west-1", config=ONE_TRY,
                        aws_access_key_id=key_id, aws_secret_access_key=secret, **more)


@test()
def signatures_are_checked():
    for more in ({}, {"aws_session_token": "a/session+token=="}):
        client = signing(**more)
        for model in ("demo", "simulator/demo", "signed/anthropic.claude-haiku-4-5-20251001-v1:0"):
            assert content(ask(model, of=client, system=[{"text": "Über"}])), model
        assert final("demo", of=client)[1] == "end_turn"
    raises("InvalidSignatureException", 403, lambda: ask("demo", of=signing(secret="another-secret-of-somebody")))
    raises("UnrecognizedClientException", 403, lambda: ask("demo", of=signing(key_id="AKIDNOBODY")))


# ---- the provider, signed for ----

@test("signed", "temporary", "bearer")
def requests_are_signed(provider):
    arn = "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.anthropic.claude-haiku-4-5-20251001-v1:0"
    for model in ("anthropic.claude-haiku-4-5-20251001-v1:0", arn, "a model"):
        answer = ask(f"{provider}/{model}", system=[{"text": "Über"}])
        assert text_of(content(answer)) == "Signed and seen.", answer
        assert UPSTREAM.seen[-1][1]["system"] == [{"text": "Über"}], UPSTREAM.seen[-1]


@test("ThrottlingException-429", "ValidationException-400", "ResourceNotFoundException-404", "ModelTimeoutException-408",
      "ModelErrorException-424", "ServiceQuotaExceededException-400")  # the last one benches the key
def the_providers_own_errors_reach_the_client(case):
    kind, status = case.split("-")
    error = raises(kind, int(status), lambda: ask(f"failing/status-{status}-{kind}"))
    assert f"This is {kind}." in str(error), error


@test(*[str(i) for i in range(len(RECORDINGS))])
def recordings_pass_unchanged(i):
    if RECORDINGS[int(i)]["response_body_encoding"] == "base64":
        assert final("signed/" + i) == final(i, of=DIRECT), RECORDINGS[int(i)]["source_path"]
    else:
        through, straight = ask("signed/" + i), ask(i, of=DIRECT)
        for answer in (through, straight):
            del answer["ResponseMetadata"]
        assert through == straight, RECORDINGS[int(i)]["source_path"]


@test(*TARGETS)
def a_refused_key_is_the_gateways_trouble(target):
    """The last test: it benches the keys of these providers."""
    try:
        ask(f"{target}/demo?status=401")
    except botocore.exceptions.ClientError as error:
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500, error
        return
    raise AssertionError("nothing was raised")


if __name__ == "__main__":
    main()
