"""What a provider of each dialect says: an answer as a stream of events with the one that ends it, or as one document; an error.

DIALECTS[name] has base (behind the address), path(path) -> is it asked to stream?, texts(body, role), is_prefill(body), events(call),
document(call), error(message) and named (events have names). A call has n (the task), body, wants_tool and pieces() (of its text).
"""
import json

import truth

USAGE = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}


def sse(data, name=None):
    return ((f"event: {name}\n" if name else "") + "data: " + (data if isinstance(data, str) else json.dumps(data)) + "\n\n").encode()


class OpenAI:
    base, named = "/v1", False

    def streams(self, path, body):
        return body.get("stream", False)

    def texts(self, body, role):
        for m in body["messages"]:
            if m["role"] == role:
                c = m.get("content")
                yield c if isinstance(c, str) else "".join(p.get("text", "") for p in c or [])

    def is_prefill(self, body):
        return body["messages"][-1]["role"] == "assistant"

    def error(self, message):
        return {"error": {"type": "api_error", "message": message, "code": None, "param": None}}

    def events(self, call):
        def chunk(delta, finish=None):
            return sse({"id": f"chatcmpl-{call.n}", "object": "chat.completion.chunk", "created": 1, "model": "m",
                        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
        out = [chunk({"role": "assistant", "content": ""})]
        if call.wants_tool:
            function = {"name": "work", "arguments": ""}
            out.append(chunk({"tool_calls": [{"index": 0, "id": f"call_{call.n}", "type": "function", "function": function}]}))
            out += [chunk({"tool_calls": [{"index": 0, "function": {"arguments": p}}]}) for p in call.chopped(truth.arguments(call.n))]
        else:
            out += [chunk({"content": p}) for p in call.pieces()]
        out.append(chunk({}, "tool_calls" if call.wants_tool else "stop"))
        if call.body.get("stream_options", {}).get("include_usage"):
            out.append(sse({"id": f"chatcmpl-{call.n}", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [],
                            "usage": USAGE}))
        return out, sse("[DONE]")

    def document(self, call):
        message = {"role": "assistant", "content": None if call.wants_tool else "".join(call.pieces())}
        if call.wants_tool:
            message["tool_calls"] = [{"id": f"call_{call.n}", "type": "function",
                                      "function": {"name": "work", "arguments": truth.arguments(call.n)}}]
        return {"id": f"chatcmpl-{call.n}", "object": "chat.completion", "created": 1, "model": "m", "usage": USAGE,
                "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls" if call.wants_tool else "stop"}]}


class Anthropic(OpenAI):
    named = True

    def error(self, message):
        return {"type": "error", "error": {"type": "api_error", "message": message}}

    def events(self, call):
        def event(name, **more):
            return sse({"type": name, **more}, name)
        block = {"type": "tool_use", "id": f"toolu_{call.n}", "name": "work", "input": {}} if call.wants_tool else {"type": "text", "text": ""}
        if call.wants_tool:
            deltas = [{"type": "input_json_delta", "partial_json": p} for p in call.chopped(truth.arguments(call.n))]
        else:
            deltas = [{"type": "text_delta", "text": p} for p in call.pieces()]
        head = {"id": f"msg_{call.n}", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None,
                "stop_sequence": None, "usage": {"input_tokens": 10, "output_tokens": 1}}
        out = [event("message_start", message=head), event("content_block_start", index=0, content_block=block)]
        out += [event("content_block_delta", index=0, delta=d) for d in deltas]
        out += [event("content_block_stop", index=0),
                event("message_delta", delta={"stop_reason": "tool_use" if call.wants_tool else "end_turn", "stop_sequence": None},
                      usage={"output_tokens": 20})]
        return out, event("message_stop")

    def document(self, call):
        if call.wants_tool:
            block = {"type": "tool_use", "id": f"toolu_{call.n}", "name": "work", "input": json.loads(truth.arguments(call.n))}
        else:
            block = {"type": "text", "text": "".join(call.pieces())}
        return {"id": f"msg_{call.n}", "type": "message", "role": "assistant", "model": "m", "content": [block],
                "stop_reason": "tool_use" if call.wants_tool else "end_turn", "stop_sequence": None,
                "usage": {"input_tokens": 10, "output_tokens": 20}}


class Gemini:
    base, named = "/v1beta", False

    def streams(self, path, body):
        return "streamGenerateContent" in path

    def texts(self, body, role):
        for c in body["contents"]:
            if c.get("role", "user") == {"assistant": "model"}.get(role, role):
                yield "".join(p.get("text", "") for p in c["parts"])

    def is_prefill(self, body):
        return body["contents"][-1].get("role") == "model"

    def error(self, message):
        return {"error": {"code": 500, "message": message, "status": "INTERNAL"}}

    def answer(self, call, parts, finish=None):
        candidate = {"content": {"role": "model", "parts": parts}, "index": 0, **({"finishReason": finish} if finish else {})}
        return {"candidates": [candidate], "modelVersion": "m", "responseId": f"r{call.n}",
                "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 20, "totalTokenCount": 30}}

    def parts(self, call):
        if call.wants_tool:
            return [{"functionCall": {"name": "work", "args": json.loads(truth.arguments(call.n))}}]
        return [{"text": p} for p in call.pieces()]

    def events(self, call):
        parts = self.parts(call) or [{"text": ""}]
        return [sse(self.answer(call, [p], "STOP" if i == len(parts) - 1 else None)) for i, p in enumerate(parts)], b""

    def document(self, call):
        parts = self.parts(call)
        return self.answer(call, parts if call.wants_tool else [{"text": "".join(p["text"] for p in parts)}], "STOP")


class Responses(OpenAI):
    named = True

    def texts(self, body, role):
        items = body["input"]
        for m in [{"role": "user", "content": items}] if isinstance(items, str) else items:
            if m.get("role") == role:
                c = m["content"]
                yield c if isinstance(c, str) else "".join(p.get("text", "") for p in c)

    def is_prefill(self, body):
        return not isinstance(body["input"], str) and body["input"][-1].get("role") == "assistant"

    def response(self, call, output, status="completed"):
        usage = {"input_tokens": 10, "output_tokens": 20, "total_tokens": 30}
        return {"id": f"resp_{call.n}", "object": "response", "created_at": 1, "status": status, "model": "m", "output": output,
                "error": None, "incomplete_details": None, "usage": usage if status == "completed" else None}

    def item(self, call, text):
        if call.wants_tool:
            return {"id": f"fc_{call.n}", "type": "function_call", "status": "completed", "call_id": f"call_{call.n}", "name": "work",
                    "arguments": text}
        return {"id": f"msg_{call.n}", "type": "message", "status": "completed", "role": "assistant",
                "content": [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]}

    def ladder(self, call):
        pieces = call.chopped(truth.arguments(call.n)) if call.wants_tool else call.pieces()
        text, done = "".join(pieces), None
        inside = {"item_id": self.item(call, "")["id"], "output_index": 0}
        yield {"type": "response.created", "response": self.response(call, [], "in_progress")}
        fresh = {"arguments": ""} if call.wants_tool else {"content": []}
        yield {"type": "response.output_item.added", "output_index": 0, "item": {**self.item(call, ""), **fresh, "status": "in_progress"}}
        if call.wants_tool:
            yield from ({"type": "response.function_call_arguments.delta", **inside, "delta": p} for p in pieces)
            yield {"type": "response.function_call_arguments.done", **inside, "arguments": text}
        else:
            inside["content_index"], done = 0, {"type": "output_text", "annotations": [], "logprobs": []}
            yield {"type": "response.content_part.added", **inside, "part": {**done, "text": ""}}
            yield from ({"type": "response.output_text.delta", **inside, "delta": p, "logprobs": []} for p in pieces)
            yield {"type": "response.output_text.done", **inside, "text": text, "logprobs": []}
            yield {"type": "response.content_part.done", **inside, "part": {**done, "text": text}}
        yield {"type": "response.output_item.done", "output_index": 0, "item": self.item(call, text)}
        yield {"type": "response.completed", "response": self.response(call, [self.item(call, text)])}

    def events(self, call):
        *out, last = [sse({**e, "sequence_number": i}, e["type"]) for i, e in enumerate(self.ladder(call))]
        return out, last

    def document(self, call):
        text = truth.arguments(call.n) if call.wants_tool else "".join(call.pieces())
        return self.response(call, [self.item(call, text)])


DIALECTS = {"openai": OpenAI(), "anthropic": Anthropic(), "gemini": Gemini(), "responses": Responses()}
