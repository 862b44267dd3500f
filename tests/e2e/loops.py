"""The two sides of an agent loop, dialect by dialect, for test_loops.py.

A client keeps its history the way the common SDKs do: what it got goes back as it was. A provider is scripted: in its first turns
it thinks, signs, and calls two tools at once; in the last it answers. It refuses what the real one refuses, in its own words:
a signature that got lost, that stands elsewhere, or that it never made. A dialect joins by an entry in CLIENTS or PROVIDERS.
"""
import base64
import copy
import itertools
import json
import re
import struct
import threading
import zlib

TURNS = 4
CITIES = ("Aix", "Bern")


class Refused(Exception):
    pass


def demand(condition, why):
    if not condition:
        raise Refused(why)


def thought(turn):
    return f"Thinking about turn {turn}: \"hm\"."


def arguments(turn, city):
    return {"city": city, "turn": turn}


def opaque(*what):
    """A signature as providers make them: base64, with every letter of that alphabet."""
    return base64.b64encode(("\x00\xfb\xef\xbe?>" + "/".join(map(str, what)) + "?>~~").encode("latin-1")).decode()


# ---- providers ----------------------------------------------------------------------------------------------------

class Provider:
    """One scripted provider. `signed`: what it signed, by the call that stands with it."""
    model, signs = "m", False

    def __init__(self):
        self.lock, self.made, self.serial, self.refusals = threading.Lock(), {}, itertools.count(1), []

    def answer(self, body):
        turn = 1 + self.check(body)
        return self.say(turn, next(self.serial))

    def __call__(self, conn):
        while True:
            request = conn.read_request()
            if request is None:
                return
            try:
                with self.lock:
                    answer = self.answer(request.json)
            except Refused as why:
                self.refusals.append(f"{why}: {json.dumps(request.json)[:3000]}")
                conn.respond(400, self.error(str(why)))
                continue
            if self.wants_stream(request):
                self.tell_stream(conn, answer)
            else:
                conn.respond(200, answer)

    def tell_stream(self, conn, answer):
        conn.start_sse()
        for event in self.events(answer):
            conn.event(event, event.get("type") if isinstance(event, dict) else None)
        conn.end()

    def wants_stream(self, request):
        return bool(request.json.get("stream"))


class OpenAIProvider(Provider):
    """Signs nothing, and knows no members but its own."""
    dialect, model = "openai", "gpt-4.1"

    def entry(self, url):
        return {"dialect": "openai", "base_url": url + "/v1", "key": "k"}

    def check(self, body):
        turns, waiting = 0, set()
        for m in body["messages"]:
            if m["role"] == "tool":
                demand(m["tool_call_id"] in waiting, "messages with role 'tool' must be a response to a preceding message with 'tool_calls'")
                waiting.discard(m["tool_call_id"])
                continue
            demand(not waiting, "An assistant message with 'tool_calls' must be followed by tool messages")
            if m["role"] == "assistant":
                unknown = set(m) - {"role", "content", "tool_calls", "name", "refusal", "reasoning_content", "annotations"}
                demand(not unknown, f"Unknown parameter: {unknown}")
                for call in m.get("tool_calls") or []:
                    demand(not set(call) - {"id", "type", "function"}, f"Unknown parameter in tool_calls: {set(call)}")
                    demand(len(call["id"]) <= 64, "tool_calls.id: string too long")
                    json.loads(call["function"]["arguments"])
                    waiting.add(call["id"])
                turns += bool(m.get("tool_calls"))
        demand(not waiting, "An assistant message with 'tool_calls' must be followed by tool messages")
        return turns

    def say(self, turn, n):
        message = {"role": "assistant", "content": "Done." if turn == TURNS else None, "reasoning_content": thought(turn)}
        if turn < TURNS:
            message["tool_calls"] = [{"id": f"call_{n}_{c}", "type": "function",
                                      "function": {"name": "look_up", "arguments": json.dumps(arguments(turn, c))}} for c in CITIES]
        return {"id": f"chatcmpl-{n}", "object": "chat.completion", "created": 1, "model": self.model,
                "choices": [{"index": 0, "message": message, "finish_reason": "stop" if turn == TURNS else "tool_calls"}],
                "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}

    def events(self, answer):
        head = {k: answer[k] for k in ("id", "created", "model")}
        choice = answer["choices"][0]
        message = choice["message"]

        def chunk(delta, finish=None):
            return {**head, "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
        yield chunk({"role": "assistant", "content": ""})
        for piece in re.findall(".{1,9}", message["reasoning_content"]):
            yield chunk({"reasoning_content": piece})
        if message["content"]:
            yield chunk({"content": message["content"]})
        for i, call in enumerate(message.get("tool_calls") or []):
            yield chunk({"tool_calls": [{"index": i, **call, "function": {"name": "look_up", "arguments": ""}}]})
            for piece in re.findall(".{1,9}", call["function"]["arguments"]):
                yield chunk({"tool_calls": [{"index": i, "function": {"arguments": piece}}]})
        yield chunk({}, choice["finish_reason"])
        yield {**head, "object": "chat.completion.chunk", "choices": [], "usage": answer["usage"]}
        yield "[DONE]"

    def error(self, why):
        return {"error": {"message": why, "type": "invalid_request_error", "param": None, "code": None}}


class ResponsesProvider(Provider):
    """Encrypts its reasoning if it is asked to; what comes back must be its own, before what it led to, and not without that."""
    dialect, model, signs = "responses", "gpt-5.1", True
    members = {"reasoning": {"id", "summary", "content", "encrypted_content", "status"}, "message": {"id", "role", "content", "status", "phase"},
               "function_call": {"id", "call_id", "name", "arguments", "status"}, "function_call_output": {"id", "call_id", "output", "status"}}

    def entry(self, url):
        return {"dialect": "responses", "base_url": url + "/v1", "key": "k"}

    def check_reasoning(self, at, items):
        encrypted = items[at].get("encrypted_content")
        demand(encrypted in self.made, "The encrypted content could not be verified.")
        follower = items[at + 1] if at + 1 < len(items) else {}
        demand(follower.get("type") in ("function_call", "message") and follower.get("role", "assistant") == "assistant",
               f"Item '{items[at].get('id')}' of type 'reasoning' was provided without its required following item.")
        if follower["type"] == "function_call":
            demand(follower["call_id"] in self.made[encrypted], "The reasoning stands before a call that it did not lead to.")

    def check(self, body):
        items = [{"role": "user", "content": body["input"]}] if isinstance(body["input"], str) else body["input"]
        calls, waiting = 0, set()
        self.encrypts = "reasoning.encrypted_content" in body.get("include", [])
        for at, item in enumerate(items):
            kind = item.get("type", "message")
            unknown = set(item) - self.members.get(kind, set()) - {"type"}
            demand(not unknown, f"Unknown parameter: 'input[{at}].{unknown}'.")
            if kind == "reasoning":
                self.check_reasoning(at, items)
            elif kind == "function_call":
                demand(item.get("id", "fc_").startswith("fc"), f"Invalid 'input[{at}].id': expected an ID that begins with 'fc'.")
                demand(len(item["call_id"]) <= 64, f"Invalid 'input[{at}].call_id': string too long.")
                json.loads(item["arguments"])
                waiting.add(item["call_id"])
                calls += 1
            elif kind == "function_call_output":
                demand(item["call_id"] in waiting, f"No tool call found for function call output with call_id {item['call_id']}.")
                waiting.discard(item["call_id"])
            else:
                demand(not waiting, f"No tool output found for function call {waiting}.")
        demand(not waiting, f"No tool output found for function call {waiting}.")
        return calls // len(CITIES)

    def say(self, turn, n):
        encrypted, ids = opaque("responses", n), [f"call_{n}_{c}" for c in CITIES]
        self.made[encrypted] = ids
        reasoning = {"type": "reasoning", "id": f"rs_{n}", "summary": [{"type": "summary_text", "text": thought(turn)}]}
        if self.encrypts:
            reasoning["encrypted_content"] = encrypted
        if turn < TURNS:
            rest = [{"type": "function_call", "id": f"fc_{n}_{c}", "call_id": id, "name": "look_up", "status": "completed",
                     "arguments": json.dumps(arguments(turn, c))} for c, id in zip(CITIES, ids)]
        else:
            rest = [{"type": "message", "id": f"msg_{n}", "role": "assistant", "status": "completed",
                     "content": [{"type": "output_text", "text": "Done.", "annotations": []}]}]
        return {"id": f"resp_{n}", "object": "response", "created_at": 1, "status": "completed", "model": self.model, "error": None,
                "incomplete_details": None, "output": [reasoning, *rest],
                "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}}

    def pieces(self, at, item):
        """What a stream tells between the begin of an item and its end: (event, members)."""
        own = {"item_id": item["id"], "output_index": at}
        if item["type"] == "reasoning":
            text = {**own, "summary_index": 0}
            yield "reasoning_summary_part.added", {**text, "part": {"type": "summary_text", "text": ""}}
            for piece in re.findall(".{1,9}", item["summary"][0]["text"]):
                yield "reasoning_summary_text.delta", {**text, "delta": piece}
            yield "reasoning_summary_text.done", {**text, "text": item["summary"][0]["text"]}
            yield "reasoning_summary_part.done", {**text, "part": item["summary"][0]}
        elif item["type"] == "function_call":
            for piece in re.findall(".{1,9}", item["arguments"]):
                yield "function_call_arguments.delta", {**own, "delta": piece}
            yield "function_call_arguments.done", {**own, "arguments": item["arguments"]}
        else:
            text = {**own, "content_index": 0}
            yield "content_part.added", {**text, "part": {"type": "output_text", "text": "", "annotations": []}}
            yield "output_text.delta", {**text, "delta": item["content"][0]["text"]}
            yield "output_text.done", {**text, "text": item["content"][0]["text"]}
            yield "content_part.done", {**text, "part": item["content"][0]}

    def events(self, answer):
        begun = {**answer, "status": "in_progress", "output": [], "usage": None}
        told = [("created", {"response": begun}), ("in_progress", {"response": begun})]
        for at, item in enumerate(answer["output"]):
            empty = {"reasoning": {"summary": []}, "function_call": {"arguments": ""}, "message": {"content": []}}[item["type"]]
            first = {k: v for k, v in {**item, **empty}.items() if k != "encrypted_content"}
            told.append(("output_item.added", {"output_index": at, "item": {**first, "status": "in_progress"}}))
            told += self.pieces(at, item)
            told.append(("output_item.done", {"output_index": at, "item": item}))
        told.append(("completed", {"response": answer}))
        for number, (name, members) in enumerate(told):
            yield {"type": "response." + name, "sequence_number": number, **members}

    def error(self, why):
        return {"error": {"message": why, "type": "invalid_request_error", "param": "input", "code": None}}


class AnthropicProvider(Provider):
    """Signs thoughts; in an open loop they must come back, first in their message, to the letter."""
    dialect, model, signs = "anthropic", "claude-sonnet-4-5", True

    def entry(self, url):
        return {"dialect": "anthropic", "base_url": url, "key": "k"}

    def check_assistant(self, at, content, thinks):
        blocks = content if isinstance(content, list) else []
        uses = [b for b in blocks if b["type"] == "tool_use"]
        thoughts = [b for b in blocks if b["type"] == "thinking"]
        for b in thoughts:
            demand(b in self.made.values(), f"messages.{at}: Invalid `signature` in `thinking` block")
        for b in uses:
            demand(re.fullmatch("[a-zA-Z0-9_-]+", b["id"]), f"messages.{at}: tool_use.id: String should match pattern")
        own = [self.made[b["id"]] for b in uses if b["id"] in self.made]
        if own or (uses and thinks):
            demand(blocks[0]["type"] == "thinking", f"messages.{at}.content.0.type: Expected `thinking`, but found `{blocks[0]['type']}`")
        demand(not own or own[0] == blocks[0], f"messages.{at}: thinking blocks cannot be modified")
        return [b["id"] for b in uses]

    def check(self, body):
        turns, waiting = 0, []
        thinks = (body.get("thinking") or {}).get("type") == "enabled"
        for at, m in enumerate(body["messages"]):
            blocks = m["content"] if isinstance(m["content"], list) else []
            results = [b["tool_use_id"] for b in blocks if b["type"] == "tool_result"]
            demand(sorted(results) == sorted(waiting), f"messages.{at}: tool_use ids without tool_result blocks immediately after")
            demand(m["role"] != (body["messages"][at - 1]["role"] if at else "assistant"), f"messages.{at}: roles must alternate")
            waiting = self.check_assistant(at, m["content"], thinks) if m["role"] == "assistant" else []
            turns += bool(waiting)
        demand(not waiting, "tool_use without tool_result")
        return turns

    def say(self, turn, n):
        block = {"type": "thinking", "thinking": thought(turn), "signature": opaque("anthropic", n)}
        content = [block]
        if turn == TURNS:
            content.append({"type": "text", "text": "Done."})
        for c in CITIES if turn < TURNS else ():
            content.append({"type": "tool_use", "id": f"toolu_{n}_{c}", "name": "look_up", "input": arguments(turn, c)})
            self.made[f"toolu_{n}_{c}"] = block
        return {"id": f"msg_{n}", "type": "message", "role": "assistant", "model": self.model, "content": content,
                "stop_reason": "end_turn" if turn == TURNS else "tool_use", "stop_sequence": None,
                "usage": {"input_tokens": 1, "output_tokens": 1}}

    def events(self, answer):
        yield {"type": "message_start", "message": {**answer, "content": [], "stop_reason": None}}
        for i, block in enumerate(answer["content"]):
            kind = block["type"]
            empty = {"thinking": {"thinking": "", "signature": ""}, "text": {"text": ""}, "tool_use": {"input": {}}}[kind]
            yield {"type": "content_block_start", "index": i, "content_block": {**block, **empty}}
            whole = json.dumps(block["input"]) if kind == "tool_use" else block[kind]
            name, member = {"thinking": ("thinking_delta", "thinking"), "text": ("text_delta", "text"),
                            "tool_use": ("input_json_delta", "partial_json")}[kind]
            for piece in re.findall(".{1,9}", whole):
                yield {"type": "content_block_delta", "index": i, "delta": {"type": name, member: piece}}
            if kind == "thinking":
                yield {"type": "content_block_delta", "index": i, "delta": {"type": "signature_delta", "signature": block["signature"]}}
            yield {"type": "content_block_stop", "index": i}
        yield {"type": "message_delta", "delta": {"stop_reason": answer["stop_reason"], "stop_sequence": None}, "usage": {"output_tokens": 1}}
        yield {"type": "message_stop"}

    def error(self, why):
        return {"type": "error", "error": {"type": "invalid_request_error", "message": why}}


class GeminiProvider(Provider):
    """Signs the first call of each step, and wants the signature there; a stand-in only with calls that it did not make."""
    dialect, model, signs = "gemini", "gemini-3-pro-preview", True
    DUMMY = "skip_thought_signature_validator"

    def entry(self, url):
        return {"dialect": "gemini", "base_url": url + "/v1beta", "key": "k"}

    def wants_stream(self, request):
        return ":streamGenerateContent" in request.path

    def check_model(self, at, parts):
        calls = [p for p in parts if "functionCall" in p]
        for i, p in enumerate(calls):
            signature, want = p.get("thoughtSignature"), self.made.get(p["functionCall"].get("id"), "unknown")
            where = f"contents[{at}]: Function call `{p['functionCall']['name']}`"
            if i == 0:
                demand(signature, f"{where} is missing a thought_signature in functionCall parts")
            if want == "unknown":
                demand(signature == (self.DUMMY if i == 0 else None), f"{where}: Corrupted thought signature")
            else:
                demand(signature == want, f"{where}: Corrupted thought signature")
        for p in parts:
            if "functionCall" not in p:
                demand("thoughtSignature" not in p, f"contents[{at}]: a signature has moved")
        return [p["functionCall"]["name"] for p in calls]

    def check(self, body):
        turns, waiting, contents = 0, [], []
        for c in body["contents"]:  # neighbours of one role are one turn
            if contents and contents[-1]["role"] == c["role"]:
                contents[-1]["parts"] += c["parts"]
            else:
                contents.append({"role": c["role"], "parts": list(c["parts"])})
        for at, c in enumerate(contents):
            names = [p["functionResponse"]["name"] for p in c["parts"] if "functionResponse" in p]
            demand(len(names) == len(waiting), f"contents[{at}]: number of function response parts is equal to the number of function call parts")
            demand(at or c["role"] == "user", "contents[0]: must be the user's")
            waiting = self.check_model(at, c["parts"]) if c["role"] == "model" else []
            turns += bool(waiting)
        demand(not waiting, "calls without responses")
        return turns

    def say(self, turn, n):
        parts = [{"text": thought(turn), "thought": True}]
        if turn == TURNS:
            parts.append({"text": "Done."})
        for i, c in enumerate(CITIES if turn < TURNS else ()):
            part = {"functionCall": {"id": f"fc{n}{c}", "name": "look_up", "args": arguments(turn, c)}}
            if i == 0:
                part["thoughtSignature"] = opaque("gemini", n)
            self.made[f"fc{n}{c}"] = part.get("thoughtSignature")
            parts.append(part)
        return {"candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}],
                "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2},
                "modelVersion": self.model, "responseId": f"r{n}"}

    def events(self, answer):
        candidate = answer["candidates"][0]
        for part in candidate["content"]["parts"]:
            yield {**answer, "candidates": [{"content": {"role": "model", "parts": [part]}, "index": 0}]}
        yield {**answer, "candidates": [{"finishReason": "STOP", "index": 0}]}

    def error(self, why):
        return {"error": {"code": 400, "message": why, "status": "INVALID_ARGUMENT"}}


def aws_message(name, payload):
    headers = b""
    for key, value in ((":event-type", name), (":content-type", "application/json"), (":message-type", "event")):
        headers += bytes([len(key)]) + key.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
    data = json.dumps(payload).encode()
    prelude = struct.pack(">II", 16 + len(headers) + len(data), len(headers))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + data
    return message + struct.pack(">I", zlib.crc32(message))


def aws_messages(data):
    """(name, payload) of each message of an AWS event stream."""
    while data:
        total, headers = struct.unpack(">II", data[:8])
        assert zlib.crc32(data[:total - 4]) == struct.unpack(">I", data[total - 4:total])[0], "a message with a wrong sum"
        at = 12 + 1 + data[12] + 1
        name = data[at + 2:at + 2 + struct.unpack(">H", data[at:at + 2])[0]].decode()
        yield name, json.loads(data[12 + headers:total - 4])
        data = data[total:]


class BedrockProvider(Provider):
    """Claude as Bedrock has it: signs thoughts, which must come back first in their message, to the letter."""
    dialect, model, signs = "bedrock", "anthropic.claude-sonnet-4-5-20250929-v1:0", True

    def entry(self, url):
        return {"dialect": "bedrock", "base_url": url, "region": "eu-west-1", "key": "AKIDEXAMPLE:a-secret-of-the-test"}

    def check_assistant(self, at, blocks, thinks):
        uses = [b["toolUse"] for b in blocks if "toolUse" in b]
        for b in blocks:
            demand("reasoningContent" not in b or b in self.made.values(), f"messages.{at}: Invalid `signature` in `thinking` block")
        for use in uses:
            demand(re.fullmatch("[a-zA-Z0-9_.:-]{1,64}", use["toolUseId"]), f"messages.{at}: toolUseId failed to satisfy constraint")
            demand(isinstance(use["input"], dict), "The format of the value at toolUse.input is invalid")
        own = [self.made[use["toolUseId"]] for use in uses if use["toolUseId"] in self.made]
        if own or (uses and thinks):
            demand("reasoningContent" in blocks[0], f"messages.{at}.content.0.type: Expected `thinking`")
        demand(not own or own[0] == blocks[0], f"messages.{at}: thinking blocks cannot be modified")
        return [use["toolUseId"] for use in uses]

    def check(self, body):
        turns, waiting = 0, []
        thinks = (body.get("additionalModelRequestFields", {}).get("thinking") or {}).get("type") == "enabled"
        for at, m in enumerate(body["messages"]):
            results = [b["toolResult"]["toolUseId"] for b in m["content"] if "toolResult" in b]
            demand(sorted(results) == sorted(waiting), f"messages.{at}: Expected toolResult blocks for the following Ids: {waiting}")
            demand(m["role"] != (body["messages"][at - 1]["role"] if at else "assistant"), f"messages.{at}: roles must alternate")
            demand(m["content"] and all(b.get("text", "x").strip() for b in m["content"]), "The text field in the ContentBlock object is blank")
            waiting = self.check_assistant(at, m["content"], thinks) if m["role"] == "assistant" else []
            turns += bool(waiting)
        demand(not waiting, "toolUse without toolResult")
        return turns

    def say(self, turn, n):
        thinking = {"reasoningContent": {"reasoningText": {"text": thought(turn), "signature": opaque("bedrock", n)}}}
        content = [thinking] + ([{"text": "Done."}] if turn == TURNS else [])
        for c in CITIES if turn < TURNS else ():
            content.append({"toolUse": {"toolUseId": f"tooluse_{n}_{c}", "name": "look_up", "input": arguments(turn, c)}})
            self.made[f"tooluse_{n}_{c}"] = thinking
        self.made[n] = thinking
        return {"output": {"message": {"role": "assistant", "content": content}}, "stopReason": "end_turn" if turn == TURNS else "tool_use",
                "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}, "metrics": {"latencyMs": 1}}

    def wants_stream(self, request):
        return request.path.endswith("/converse-stream")

    def events(self, answer):
        yield "messageStart", {"role": "assistant"}
        for i, block in enumerate(answer["output"]["message"]["content"]):
            deltas = []
            if "toolUse" in block:
                use = block["toolUse"]
                yield "contentBlockStart", {"contentBlockIndex": i, "start": {"toolUse": {k: use[k] for k in ("toolUseId", "name")}}}
                deltas = [{"toolUse": {"input": piece}} for piece in re.findall(".{1,9}", json.dumps(use["input"]))]
            elif "text" in block:
                deltas = [block]
            else:
                said = block["reasoningContent"]["reasoningText"]
                deltas = [{"reasoningContent": {"text": piece}} for piece in re.findall(".{1,9}", said["text"])]
                deltas.append({"reasoningContent": {"signature": said["signature"]}})
            for delta in deltas:
                yield "contentBlockDelta", {"contentBlockIndex": i, "delta": delta, "p": "abcdefgh"[:i]}
            yield "contentBlockStop", {"contentBlockIndex": i}
        yield "messageStop", {"stopReason": answer["stopReason"]}
        yield "metadata", {"usage": answer["usage"], "metrics": answer["metrics"]}

    def tell_stream(self, conn, answer):
        conn.start_sse({"content-type": "application/vnd.amazon.eventstream"})
        for name, payload in self.events(answer):
            conn.chunk(aws_message(name, payload))
        conn.end()

    def error(self, why):
        return {"message": why}


class CohereProvider(Provider):
    """Signs nothing; what was said before a call is its plan."""
    dialect, model = "cohere", "command-a-reasoning"

    def entry(self, url):
        return {"dialect": "cohere", "base_url": url, "key": "k"}

    def check(self, body):
        turns, waiting = 0, set()
        for m in body["messages"]:
            if m["role"] == "tool":
                demand(m["tool_call_id"] in waiting, "tool_call_id not found in the previous tool calls")
                waiting.discard(m["tool_call_id"])
                continue
            demand(not waiting, "missing tool results")
            demand(not set(m) - {"role", "content", "tool_plan", "tool_calls", "citations"}, f"unknown field {set(m)}")
            for call in m.get("tool_calls") or []:
                demand("~weir" not in call["id"], "tool call id of somebody else")
                json.loads(call["function"]["arguments"])
                waiting.add(call["id"])
            turns += bool(m.get("tool_calls"))
        demand(not waiting, "missing tool results")
        return turns

    def say(self, turn, n):
        message = {"role": "assistant", "content": [{"type": "thinking", "thinking": thought(turn)}]}
        if turn == TURNS:
            message["content"].append({"type": "text", "text": "Done."})
        else:
            message["tool_plan"] = "I will look."
            message["tool_calls"] = [{"id": f"look_up_{n}{c}", "type": "function",
                                      "function": {"name": "look_up", "arguments": json.dumps(arguments(turn, c))}} for c in CITIES]
        return {"id": f"c{n}", "finish_reason": "COMPLETE" if turn == TURNS else "TOOL_CALL", "message": message,
                "usage": {"tokens": {"input_tokens": 1, "output_tokens": 1}}}

    def events(self, answer):
        def event(kind, **more):
            message = {k: more.pop(k) for k in ("content", "tool_plan", "tool_calls") if k in more}
            return {"type": kind, **more, **({"delta": {"message": message}} if message else {})}
        yield {"type": "message-start", "id": answer["id"], "delta": {"message": {"role": "assistant"}}}
        for i, part in enumerate(answer["message"]["content"]):
            kind = part["type"]
            yield event("content-start", index=i, content={"type": kind, kind: ""})
            for piece in re.findall(".{1,9}", part[kind]):
                yield event("content-delta", index=i, content={kind: piece})
            yield event("content-end", index=i)
        if "tool_plan" in answer["message"]:
            yield event("tool-plan-delta", tool_plan=answer["message"]["tool_plan"])
        for i, call in enumerate(answer["message"].get("tool_calls") or []):
            yield event("tool-call-start", index=i, tool_calls={**call, "function": {"name": "look_up", "arguments": ""}})
            for piece in re.findall(".{1,9}", call["function"]["arguments"]):
                yield event("tool-call-delta", index=i, tool_calls={"function": {"arguments": piece}})
            yield event("tool-call-end", index=i)
        yield {"type": "message-end", "delta": {"finish_reason": answer["finish_reason"], "usage": answer["usage"]}}
        yield "[DONE]"

    def error(self, why):
        return {"id": "x", "message": why}


class OllamaProvider(Provider):
    """Signs nothing; finds results by their tool's name."""
    dialect, model = "ollama", "qwen3"

    def entry(self, url):
        return {"dialect": "ollama", "base_url": url, "auth": "none"}

    def check(self, body):
        turns, waiting = 0, []
        for m in body["messages"]:
            if m["role"] == "tool":
                demand(m.get("tool_name") in waiting, "a result of no call")
                waiting.remove(m["tool_name"])
                continue
            demand(not waiting, "missing tool results")
            for call in m.get("tool_calls") or []:
                demand(isinstance(call["function"]["arguments"], dict), "json: cannot unmarshal string into arguments")
                demand("~weir" not in call.get("id", ""), "tool call id of somebody else")
                waiting.append(call["function"]["name"])
            turns += bool(m.get("tool_calls"))
        demand(not waiting, "missing tool results")
        return turns

    def say(self, turn, n):
        message = {"role": "assistant", "content": "Done." if turn == TURNS else "", "thinking": thought(turn)}
        if turn < TURNS:
            message["tool_calls"] = [{"function": {"name": "look_up", "arguments": arguments(turn, c)}} for c in CITIES]
        return {"model": self.model, "created_at": "2026-01-01T00:00:00Z", "message": message, "done": True, "done_reason": "stop",
                "prompt_eval_count": 1, "eval_count": 1}

    def wants_stream(self, request):
        return request.json.get("stream", True)

    def tell_stream(self, conn, answer):
        message = answer["message"]
        pieces = [{"content": "", "thinking": p} for p in re.findall(".{1,9}", message["thinking"])]
        pieces += [{"content": p} for p in re.findall(".{1,3}", message["content"])]
        pieces += [{"content": "", "tool_calls": [c]} for c in message.get("tool_calls") or []]
        lines = [{"model": self.model, "message": {"role": "assistant", **p}, "done": False} for p in pieces]
        lines.append({**answer, "message": {"role": "assistant", "content": ""}})
        text = "".join(json.dumps(line) + "\n" for line in lines)
        conn.respond(200, text, {"content-type": "application/x-ndjson"})

    def error(self, why):
        return {"error": why}


PROVIDERS = {p.dialect: p for p in (OpenAIProvider, ResponsesProvider, AnthropicProvider, GeminiProvider, BedrockProvider, CohereProvider, OllamaProvider)}


# ---- clients ------------------------------------------------------------------------------------------------------

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}, "turn": {"type": "integer"}}, "required": ["city"]}


def accumulate(into, delta):
    """As the SDKs of the openai dialect join the deltas of a stream, members that they don't know too."""
    for key, value in delta.items():
        if key not in into or into[key] is None:
            into[key] = [] if isinstance(value, list) else copy.deepcopy(value)
            if not isinstance(value, list):
                continue
        if key in ("index", "type", "role"):
            into[key] = value
        elif isinstance(value, str):
            into[key] += value
        elif isinstance(value, dict):
            accumulate(into[key], value)
        elif isinstance(value, list):
            for each in value:
                found = next((x for x in into[key] if x.get("index") == each.get("index")), None)
                if found is None:
                    into[key].append(copy.deepcopy(each))
                else:
                    accumulate(found, each)


class Client:
    """One conversation. turn() asks, keeps the answer, and gives the calls that came: [(id, name, arguments)]."""
    def __init__(self, streams):
        self.streams, self.history, self.losses = streams, [], []

    def turn(self, weir, model):
        answer = weir.post(self.path(model), self.body(model), {"anthropic-version": "2023-06-01"})
        self.losses.append(answer.headers.get("x-weir-loss", ""))
        assert answer.status == 200, answer.body.decode()[:3000]
        return self.take(self.join(self.events_of(answer)) if self.streams else answer.json)

    @staticmethod
    def events_of(answer):
        return answer.events


class OpenAIClient(Client):
    dialect = "openai"

    def path(self, _model):
        return "/openai/v1/chat/completions"

    def body(self, model):
        tool = {"type": "function", "function": {"name": "look_up", "description": "Looks it up", "parameters": SCHEMA}}
        return {"model": model, "messages": self.history, "tools": [tool], "reasoning_effort": "medium", "max_completion_tokens": 20000,
                "stream": self.streams}

    def ask(self, text):
        self.history.append({"role": "user", "content": text})

    def join(self, events):
        message = {}
        for event in events:
            if event != "[DONE]":
                for choice in json.loads(event)["choices"]:
                    accumulate(message, choice["delta"])
        for call in message.get("tool_calls") or []:
            call.pop("index")
        return {"choices": [{"message": message}]}

    def take(self, answer):
        message = answer["choices"][0]["message"]
        self.history.append(message)
        return [(c["id"], c["function"]["name"], json.loads(c["function"]["arguments"])) for c in message.get("tool_calls") or []]

    def give(self, results):
        self.history += [{"role": "tool", "tool_call_id": id, "content": text} for id, _name, text in results]


class ResponsesClient(Client):
    """Keeps nothing at the provider: every item of an answer goes back as it came."""
    dialect = "responses"

    def path(self, _model):
        return "/openai/v1/responses"

    def body(self, model):
        tool = {"type": "function", "name": "look_up", "description": "Looks it up", "parameters": SCHEMA, "strict": False}
        return {"model": model, "input": self.history, "tools": [tool], "reasoning": {"effort": "medium", "summary": "auto"}, "store": False,
                "include": ["reasoning.encrypted_content"], "max_output_tokens": 20000, "stream": self.streams}

    def ask(self, text):
        self.history.append({"role": "user", "content": text})

    def join(self, events):
        """The items as they were told one by one; the last event must say the same."""
        events = list(map(json.loads, events))
        items = [e["item"] for e in events if e["type"] == "response.output_item.done"]
        last = events[-1]
        assert last["type"] == "response.completed" and last["response"]["output"] == items, last
        pieces = {}
        for e in events:
            if e["type"] == "response.function_call_arguments.delta":
                pieces[e["item_id"]] = pieces.get(e["item_id"], "") + e["delta"]
        assert all(pieces.get(i["id"], "") == i["arguments"] for i in items if i["type"] == "function_call"), pieces
        return {"output": items}

    def take(self, answer):
        self.history += answer["output"]
        return [(i["call_id"], i["name"], json.loads(i["arguments"])) for i in answer["output"] if i["type"] == "function_call"]

    def give(self, results):
        self.history += [{"type": "function_call_output", "call_id": id, "output": text} for id, _name, text in results]


class AnthropicClient(Client):
    dialect = "anthropic"

    def path(self, _model):
        return "/anthropic/v1/messages"

    def body(self, model):
        return {"model": model, "max_tokens": 20000, "messages": self.history, "thinking": {"type": "enabled", "budget_tokens": 2000},
                "tools": [{"name": "look_up", "description": "Looks it up", "input_schema": SCHEMA}], "stream": self.streams}

    def ask(self, text):
        self.history.append({"role": "user", "content": text})

    def join(self, events):
        blocks, pieces = [], {}
        for event in map(json.loads, events):
            if event["type"] == "content_block_start":
                blocks.append(copy.deepcopy(event["content_block"]))
            elif event["type"] == "content_block_delta":
                delta, block = event["delta"], blocks[event["index"]]
                if delta["type"] == "input_json_delta":
                    pieces[event["index"]] = pieces.get(event["index"], "") + delta["partial_json"]
                else:
                    member = delta["type"].removesuffix("_delta")
                    block[member] = block.get(member, "") + delta[member]
        for i, text in pieces.items():
            blocks[i]["input"] = json.loads(text or "{}")
        return {"content": blocks}

    def take(self, answer):
        self.history.append({"role": "assistant", "content": answer["content"]})
        return [(b["id"], b["name"], b["input"]) for b in answer["content"] if b["type"] == "tool_use"]

    def give(self, results):
        self.history.append({"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": text} for id, _n, text in results]})


class GeminiClient(Client):
    dialect = "gemini"

    def path(self, model):
        return f"/gemini/v1beta/models/{model}:" + ("streamGenerateContent?alt=sse" if self.streams else "generateContent")

    def body(self, _model):
        declaration = {"name": "look_up", "description": "Looks it up", "parametersJsonSchema": SCHEMA}
        return {"contents": self.history, "tools": [{"functionDeclarations": [declaration]}],
                "generationConfig": {"thinkingConfig": {"includeThoughts": True, "thinkingLevel": "MEDIUM"}, "maxOutputTokens": 20000}}

    def ask(self, text):
        self.history.append({"role": "user", "parts": [{"text": text}]})

    def join(self, events):
        contents = [c["content"] for e in events for c in json.loads(e)["candidates"] if c.get("content")]
        return {"contents": contents}

    def take(self, answer):
        contents = answer["contents"] if self.streams else [answer["candidates"][0]["content"]]
        self.history += [self.resent(c) for c in contents]
        return [(p["functionCall"].get("id"), p["functionCall"]["name"], p["functionCall"]["args"])
                for c in contents for p in c["parts"] if "functionCall" in p]

    @staticmethod
    def resent(content):
        """Python's SDK reads bytes and writes them in the other alphabet of base64."""
        content = copy.deepcopy(content)
        for part in content["parts"]:
            if part.get("thoughtSignature", "").startswith("d2VpcjE6"):
                part["thoughtSignature"] = part["thoughtSignature"].replace("+", "-").replace("/", "_")
        return content

    def give(self, results):
        parts = [{"functionResponse": {**({"id": id} if id else {}), "name": name, "response": {"result": text}}} for id, name, text in results]
        self.history.append({"role": "user", "parts": parts})


class BedrockClient(Client):
    dialect = "bedrock"

    def path(self, model):
        return f"/bedrock/model/{model}/converse" + ("-stream" if self.streams else "")

    def body(self, _model):
        spec = {"name": "look_up", "description": "Looks it up", "inputSchema": {"json": SCHEMA}}
        return {"messages": self.history, "inferenceConfig": {"maxTokens": 20000}, "toolConfig": {"tools": [{"toolSpec": spec}]},
                "additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 2000}}}

    def ask(self, text):
        self.history.append({"role": "user", "content": [{"text": text}]})

    @staticmethod
    def events_of(answer):
        return aws_messages(answer.body)

    def join(self, events):
        """As programs do: what a delta brings is added to the block of its number."""
        blocks = {}
        for name, event in events:
            at = event.get("contentBlockIndex")
            if name == "contentBlockStart":
                blocks[at] = {"toolUse": {**event["start"]["toolUse"], "input": ""}}
            elif name == "contentBlockDelta" and "reasoningContent" in event["delta"]:
                block = blocks.setdefault(at, {"reasoningContent": {"reasoningText": {}}})
                accumulate(block["reasoningContent"]["reasoningText"], event["delta"]["reasoningContent"])
            elif name == "contentBlockDelta":
                accumulate(blocks.setdefault(at, {}), event["delta"])
        for block in blocks.values():
            if "toolUse" in block:
                block["toolUse"]["input"] = json.loads(block["toolUse"]["input"] or "{}")
        return {"output": {"message": {"role": "assistant", "content": [blocks[at] for at in sorted(blocks)]}}}

    def take(self, answer):
        message = answer["output"]["message"]
        self.history.append(message)
        uses = [b["toolUse"] for b in message["content"] if "toolUse" in b]
        return [(use["toolUseId"], use["name"], use["input"]) for use in uses]

    def give(self, results):
        content = [{"toolResult": {"toolUseId": id, "content": [{"text": text}]}} for id, _name, text in results]
        self.history.append({"role": "user", "content": content})


class CohereClient(Client):
    dialect = "cohere"

    def path(self, _model):
        return "/cohere/v2/chat"

    def body(self, model):
        tool = {"type": "function", "function": {"name": "look_up", "description": "Looks it up", "parameters": SCHEMA}}
        return {"model": model, "messages": self.history, "tools": [tool], "thinking": {"type": "enabled", "token_budget": 2000},
                "max_tokens": 20000, "stream": self.streams}

    def ask(self, text):
        self.history.append({"role": "user", "content": text})

    def join(self, events):
        message = {"role": "assistant"}
        for event in map(json.loads, (e for e in events if e != "[DONE]")):
            kind, delta = event["type"], (event.get("delta") or {}).get("message") or {}
            if kind == "content-start":
                message.setdefault("content", []).append(dict(delta["content"]))
            elif kind == "content-delta":
                for key, text in delta["content"].items():
                    message["content"][event["index"]][key] += text
            elif kind == "tool-plan-delta":
                message["tool_plan"] = message.get("tool_plan", "") + delta["tool_plan"]
            elif kind == "tool-call-start":
                message.setdefault("tool_calls", []).append(copy.deepcopy(delta["tool_calls"]))
            elif kind == "tool-call-delta":
                message["tool_calls"][event["index"]]["function"]["arguments"] += delta["tool_calls"]["function"]["arguments"]
        return {"message": message}

    def take(self, answer):
        message = answer["message"]
        self.history.append(message)
        return [(c["id"], c["function"]["name"], json.loads(c["function"]["arguments"])) for c in message.get("tool_calls") or []]

    def give(self, results):
        self.history += [{"role": "tool", "tool_call_id": id, "content": text} for id, _name, text in results]


class OllamaClient(Client):
    dialect = "ollama"

    def path(self, _model):
        return "/ollama/api/chat"

    def body(self, model):
        tool = {"type": "function", "function": {"name": "look_up", "description": "Looks it up", "parameters": SCHEMA}}
        return {"model": model, "messages": self.history, "tools": [tool], "think": "medium", "options": {"num_predict": 20000},
                "stream": self.streams}

    def ask(self, text):
        self.history.append({"role": "user", "content": text})

    @staticmethod
    def events_of(answer):
        return answer.text.splitlines()

    def join(self, events):
        message = {"role": "assistant", "content": "", "thinking": "", "tool_calls": []}
        for line in map(json.loads, events):
            for key in ("content", "thinking", "tool_calls"):
                message[key] += line["message"].get(key) or type(message[key])()
        return {"message": message}

    def take(self, answer):
        message = answer["message"]
        self.history.append(message)
        return [(c.get("id"), c["function"]["name"], c["function"]["arguments"]) for c in message.get("tool_calls") or []]

    def give(self, results):
        self.history += [{"role": "tool", **({"tool_call_id": id} if id else {}), "tool_name": name, "content": text} for id, name, text in results]


class OllamaWithoutIds(OllamaClient):
    """As its SDKs for Python and Node do it: ids are no members of theirs, so nothing that was signed comes back."""
    def take(self, answer):
        calls = super().take(answer)
        for call in answer["message"].get("tool_calls") or []:
            call.pop("id", None)
        return calls

    def give(self, results):
        self.history += [{"role": "tool", "tool_name": name, "content": text} for _id, name, text in results]


CLIENTS = {c.dialect: c for c in (OpenAIClient, ResponsesClient, AnthropicClient, GeminiClient, BedrockClient, CohereClient, OllamaClient)}
