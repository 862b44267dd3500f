"""Bedrock's binary streams from end to end: what is relayed byte by byte, what breaks, what the client is told; and vectors."""
import json
import os
import subprocess

from harness import DEADLINE, Upstream, Weir, config, openai_answer
from loops import aws_message, aws_messages

TEXT = [("messageStart", {"role": "assistant", "p": "abcd"}), ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hel"}, "p": "a"}),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "lo"}}), ("contentBlockStop", {"contentBlockIndex": 0}),
        ("messageStop", {"stopReason": "end_turn"}),
        ("metadata", {"usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}, "metrics": {"latencyMs": 7}, "future": [1]})]
WHOLE = [aws_message(name, payload) for name, payload in TEXT]
BODY = {"messages": [{"role": "user", "content": [{"text": "hi"}]}]}
STREAM = "/bedrock/model/m/converse-stream"


def streaming(pieces, ends=True):
    def handler(conn):
        while conn.read_request() is not None:
            conn.start_sse({"content-type": "application/vnd.amazon.eventstream"})
            for piece in pieces:
                conn.chunk(piece)
            if not ends:
                return
            conn.end()
    return handler


def bedrock(up, **more):
    c = config(up, **more)
    c["routes"][0]["match"]["path"] = "/*"
    c["providers"]["up"] = {"dialect": "bedrock", "base_url": up.url, "region": "eu-west-1", "key": "a-plain-api-key"}
    return c


def told(answer):
    """The names of the messages that the client got; each has right sums."""
    return [name for name, _payload in aws_messages(answer.body)]


def test_a_stream_is_relayed_byte_by_byte_however_it_is_cut():
    data = b"".join(WHOLE)
    for size in (1, 7, 100, len(data)):
        with Upstream(streaming([data[at:at + size] for at in range(0, len(data), size)])) as up, Weir(bedrock(up)) as weir:
            answer = weir.post(STREAM, BODY)
            assert answer.status == 200 and answer.headers["content-type"] == "application/vnd.amazon.eventstream", answer
            assert answer.body == data, size
            assert up.requests[0].path == "/model/m/converse-stream" and up.requests[0].headers["authorization"] == "Bearer a-plain-api-key"
            assert up.requests[0].json == BODY


def test_another_dialects_client_gets_the_same_words():
    with Upstream(streaming(WHOLE)) as up, Weir(bedrock(up)) as weir:
        answer = weir.chat(stream=True, stream_options={"include_usage": True})
        assert answer.content == "Hello" and answer.events[-1] == "[DONE]", answer.text
        assert json.loads(answer.events[-2])["usage"]["total_tokens"] == 5, answer.text


def test_a_broken_sum_before_any_word_is_a_failed_attempt():
    spoilt = WHOLE[0] + WHOLE[1][:-1] + bytes([WHOLE[1][-1] ^ 1])
    with Upstream(streaming([spoilt])) as up, Upstream(openai_answer("saved")) as other:
        c = bedrock(up)
        c["providers"]["other"] = {"dialect": "openai", "base_url": other.url + "/v1", "key": "k"}
        c["models"] = {"m": {"targets": ["up/m", "other/m"]}}
        with Weir(c) as weir:
            assert weir.chat().content == "saved"
            answer = weir.post(STREAM, BODY)
            assert answer.status == 200 and told(answer)[0] == "messageStart" and told(answer)[-1] == "metadata", answer


def test_a_stream_that_breaks_is_never_whole():
    for pieces, ends in ((WHOLE[:2] + [WHOLE[2][:-1] + b"x"], True), (WHOLE[:3], True), (WHOLE[:3], False), (WHOLE[:2] + [WHOLE[2][:20]], True),
                         (WHOLE[:5] + [WHOLE[5][:20]], True), (WHOLE[:3] + [b"<html>"], True)):
        with Upstream(streaming(pieces, ends)) as up, Weir(bedrock(up)) as weir:
            names = told(weir.post(STREAM, BODY))
            assert names[-1] == "modelStreamErrorException", (len(pieces), names)
            assert names[0] == "messageStart" and "metadata" not in names, names
            answer = weir.chat(stream=True)
            assert "[DONE]" not in answer.events and "error" in answer.events[-1], answer.text


def test_vectors_for_a_client_of_openai():
    def titan(conn):
        while conn.read_request() is not None:
            conn.respond(200, {"embedding": [0.5, -0.25], "inputTextTokenCount": 4})
    with Upstream(titan) as up:
        c = bedrock(up, models={"m": {"targets": ["up/amazon.titan-embed-text-v2:0"]}})
        with Weir(c) as weir:
            answer = weir.post("/v1/embeddings", {"model": "m", "input": "words", "dimensions": 256})
            assert answer.status == 200, answer.text
            assert answer.json["data"][0]["embedding"] == [0.5, -0.25] and answer.json["usage"]["prompt_tokens"] == 4, answer.json
            assert up.requests[0].path == "/model/amazon.titan-embed-text-v2%3A0/invoke", up.requests[0].path
            assert up.requests[0].json == {"inputText": "words", "dimensions": 256}, up.requests[0].json
            answer = weir.post("/v1/embeddings", {"model": "m", "input": ["one", "two"]})
            assert answer.status == 400 and "one text per request" in answer.text, answer.text


def answering(body, headers=None):
    def handler(conn):
        while conn.read_request() is not None:
            conn.respond(200, json.dumps(body), {"content-type": "application/json", **(headers or {})})
    return handler


def behind_the_door(up, dialect, model="e"):
    c = bedrock(up)
    c["providers"]["up"] = {"dialect": dialect, "base_url": up.url + ("/v1" if dialect == "openai" else ""), "key": "a-plain-api-key"}
    c["models"] = {"m": {"targets": ["up/" + model]}}
    return c


VECTORS = {"object": "list", "model": "e", "usage": {"prompt_tokens": 9, "total_tokens": 9},
           "data": [{"object": "embedding", "index": 1, "embedding": [3, 4]}, {"object": "embedding", "index": 0, "embedding": [0.5, -1]}]}


def test_vectors_for_a_client_of_bedrock():
    """In Titan's, Cohere's and Nova's words, from a provider that speaks none of them."""
    with Upstream(answering(VECTORS)) as up, Weir(behind_the_door(up, "openai")) as weir:
        answer = weir.post("/bedrock/model/m/invoke", {"inputText": "a", "dimensions": 2, "normalize": True})
        assert answer.status == 200 and answer.json == {"embedding": [0.5, -1], "inputTextTokenCount": 9}, answer
        assert answer.headers["x-amzn-bedrock-input-token-count"] == "9" and answer.headers["x-weir-loss"] == "ext=dropped", answer
        assert up.requests[0].path == "/v1/embeddings" and up.requests[0].json["dimensions"] == 2, up.requests[0]
        answer = weir.post("/bedrock/model/m/invoke", {"inputText": "a", "embeddingTypes": ["float"]})
        assert answer.json["embeddingsByType"] == {"float": [0.5, -1]} and "x-weir-loss" not in answer.headers, answer
        body = {"texts": ["a", "b"], "input_type": "search_query", "truncate": "END"}
        answer = weir.post("/bedrock/model/m/invoke", body)
        assert answer.json["embeddings"] == [[0.5, -1], [3, 4]] and answer.json["texts"] == ["a", "b"], answer
        assert answer.json["response_type"] == "embeddings_floats" and answer.headers["x-weir-loss"] == "input_type=dropped, truncate=dropped"
        assert up.requests[2].json == {"model": "e", "input": ["a", "b"]}, up.requests[2]
        answer = weir.post("/bedrock/model/m/invoke", {**body, "embedding_types": ["float"]})
        assert answer.json["embeddings"] == {"float": [[0.5, -1], [3, 4]]} and answer.json["response_type"] == "embeddings_by_type", answer
        nova = {"taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": {"embeddingPurpose": "GENERIC_INDEX", "embeddingDimension": 2,
                                                                        "text": {"truncationMode": "END", "value": "a"}}}
        answer = weir.post("/bedrock/model/m/invoke", nova)
        assert answer.json["embeddings"][0] == {"embeddingType": "TEXT", "embedding": [0.5, -1]}, answer


def test_bodies_of_invoke_that_are_none_for_vectors():
    with Upstream(answering(VECTORS)) as up, Weir(behind_the_door(up, "openai")) as weir:
        for body, word in (({"anthropic_version": "x", "messages": [], "max_tokens": 9}, "Converse"), ({"texts": []}, "vectors"),
                           ({"texts": ["a", 3]}, "texts[1]"), ({"texts": ["a"], "truncate": "MIDDLE"}, "truncate"),
                           ({"inputImage": "AAAA"}, "dialect"), ({"images": ["data:image/png;base64,AAAA"]}, "dialect"),
                           ({"taskType": "SEGMENTED_EMBEDDING", "singleEmbeddingParams": {}}, "SINGLE_EMBEDDING"), ({"inputText": 7}, "inputText")):
            answer = weir.post("/bedrock/model/m/invoke", body)
            assert answer.status == 400 and answer.headers["x-amzn-errortype"] == "ValidationException", (body, answer)
            assert word in answer.json["message"], (word, answer.text)
        assert not up.requests


def test_vectors_that_stay_with_bedrock():
    sent = '{ "inputText":"a", "new": 1 }'
    said = {"embedding": [1, 2], "inputTextTokenCount": 3, "more": True}
    with Upstream(answering(said)) as up, Weir(behind_the_door(up, "bedrock", "amazon.titan-embed-text-v2:0")) as weir:
        answer = weir.post("/bedrock/model/m/invoke", sent, {"content-type": "application/json"})
        assert answer.json == said and "x-weir-loss" not in answer.headers, answer
        assert up.requests[0].text == sent and up.requests[0].path == "/model/amazon.titan-embed-text-v2%3A0/invoke", up.requests[0]
        answer = weir.post("/bedrock/model/m/invoke", {"inputImage": "AAAA"})
        assert answer.status == 200 and up.requests[1].json == {"inputImage": "AAAA"}, answer
        answer = weir.post("/bedrock/model/m/invoke", {"texts": ["a"]})
        assert answer.status == 400 and "Titan" in answer.text and len(up.requests) == 2, answer


def test_other_uses_of_invoke_are_relayed_at_the_root():
    """A raw route behind the others takes what the door leaves there: Converse is translated, InvokeModel goes as it came."""
    with Upstream(answering({"completion": "x"})) as up:
        c = behind_the_door(up, "bedrock", "amazon.titan-embed-text-v2:0")
        c["routes"].append({"match": {"path": "/model/*"}, "open": True, "raw": "up", "pipeline": []})
        with Weir(c) as weir:
            answer = weir.post("/model/anthropic.claude-x/invoke", {"prompt": "x"})
            assert answer.json == {"completion": "x"} and up.requests[0].json == {"prompt": "x"}, answer
            assert up.requests[0].path == "/model/anthropic.claude-x/invoke", up.requests[0]
            assert weir.post("/bedrock/model/m/invoke", {"prompt": "x"}).status == 400 and len(up.requests) == 1


def test_tokens_are_counted_for_a_client_of_bedrock():
    body = {"input": {"converse": {**BODY, "system": [{"text": "s"}], "toolConfig": {"tools": [
        {"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}}]}}}}
    with Upstream(answering({"input_tokens": 42})) as up, Weir(behind_the_door(up, "anthropic", "claude-haiku-4-5")) as weir:
        answer = weir.post("/bedrock/model/m/count-tokens", body)
        assert answer.status == 200 and answer.json == {"inputTokens": 42}, answer
        assert up.requests[0].path == "/v1/messages/count_tokens" and up.requests[0].json["tools"][0]["name"] == "f", up.requests[0]
        for bad, word in (({"input": {}}, "input.converse.messages"), ({"input": {"invokeModel": {"body": "e30="}}}, "input.invokeModel"),
                          ({"input": {"converse": {"messages": 3}}}, "input.converse.messages")):
            answer = weir.post("/model/m/count-tokens", bad)
            assert answer.status == 400 and word in answer.json["message"], answer
    with Upstream(answering({})) as up, Weir(behind_the_door(up, "bedrock")) as weir:
        answer = weir.post("/model/m/count-tokens", body)
        assert answer.json["inputTokens"] > 0 and answer.headers["x-weir-loss"] == "answer.usage=emulated" and not up.requests, answer


def test_a_region_is_needed_where_no_base_url_is_given():
    with Upstream(openai_answer("ok")) as up, Weir(bedrock(up)) as weir:
        for region, want in (("", "needs a region"), ("eu-west-1", "https://bedrock-runtime.eu-west-1.amazonaws.com")):
            path = weir.write("b.yaml", json.dumps({"providers": {"b": {"dialect": "bedrock", "key": "A:b", **({"region": region} if region else {})}},
                                                    "models": {"m": {"targets": ["b/m"]}},
                                                    "routes": [{"match": {"path": "/*"}, "open": True, "pipeline": []}]}))
            done = subprocess.run([weir.program, "check", "-c", path], capture_output=True, text=True, timeout=DEADLINE, env=os.environ)
            assert (done.returncode != 0) == (not region) and (region or want in done.stdout + done.stderr), done
