"""A provider that fails at random: OpenAI's chat completions and Anthropic's messages, streamed and whole, on three ports.

    upstream.py SEED FAULTS      prints its ports as a line of JSON; ends when its standard input does; then prints what it did

FAULTS is the share of calls that go wrong. Standard library only; one process, asyncio. The request's first user message says
"task N"; truth.py says what the right answer is. A conversation that ends with a part of that answer is gone on with in one of the
ways that models have: exactly, with the last words once more, from the beginning, behind a preamble. A part that is no beginning of
the right answer is counted as `wrong_part`, which the run takes as a failure.
"""
import asyncio
import collections
import json
import random
import re
import socket
import struct
import sys

import truth

DICE = random.Random(int(sys.argv[1]))
FAULTS = float(sys.argv[2])
DID = collections.Counter()
BEFORE = ["429", "429_after", "500", "503", "529", "reset", "silent", "slow", "html", "garbage"]
WITHIN = ["fin", "rst", "stall", "garbled", "error_event", "no_done"]
USAGE = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}


class Gone(Exception):
    """The connection is to end here."""


class Call:
    def __init__(self, path, body, reader, writer):
        self.reader, self.writer, self.body = reader, writer, body
        self.is_anthropic = path.endswith("/messages")
        self.streams = body.get("stream", False)
        self.wants_tool = bool(body.get("tools"))
        self.n = int(re.search(r"task (\d+)", "\n".join(self.texts("user"))).group(1))

    def texts(self, role):
        for m in self.body["messages"]:
            if m["role"] == role:
                c = m.get("content")
                yield c if isinstance(c, str) else "".join(p.get("text", "") for p in c or [])

    def pieces(self):
        """The texts of this answer, one for each event."""
        parts = list(self.texts("assistant"))
        all_of_it = truth.text(self.n)
        if not parts or not parts[-1]:
            return truth.words(self.n)
        part = parts[-1]
        is_prefill = self.body["messages"][-1]["role"] == "assistant"
        if not all_of_it.startswith(part):
            # some providers refuse blanks at the end of a prefill, so they may be gone
            DID["wrong_part"] += 1
        rest = all_of_it[len(part):]
        if is_prefill:
            DID["prefill"] += 1
            return chopped(rest)
        way = DICE.choice(["exactly", "last_words", "from_the_top", "preamble"])
        DID["go_on_" + way] += 1
        if way == "last_words":
            rest = part[part.rfind(" ", 0, max(0, len(part) - 12)) + 1:] + rest
        elif way == "from_the_top":
            rest = all_of_it
        elif way == "preamble":
            rest = "Sure, here is the rest:\n\n" + rest
        return chopped(rest)


def chopped(text):
    out = []
    while text:
        n = DICE.randint(1, 24)
        out.append(text[:n])
        text = text[n:]
    return out


# ---- the two dialects: a list of events, or one document -----------------------------------------------------------------

def sse(data, name=None):
    return ((f"event: {name}\n" if name else "") + "data: " + (data if isinstance(data, str) else json.dumps(data)) + "\n\n").encode()


def openai_events(call):
    def chunk(delta, finish=None, **more):
        return sse({"id": f"chatcmpl-{call.n}", "object": "chat.completion.chunk", "created": 1, "model": "m",
                    "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more})
    out = [chunk({"role": "assistant", "content": ""})]
    if call.wants_tool:
        args = truth.arguments(call.n)
        out.append(chunk({"tool_calls": [{"index": 0, "id": f"call_{call.n}", "type": "function",
                                          "function": {"name": "work", "arguments": ""}}]}))
        out += [chunk({"tool_calls": [{"index": 0, "function": {"arguments": p}}]}) for p in chopped(args)]
    else:
        out += [chunk({"content": p}) for p in call.pieces()]
    out.append(chunk({}, "tool_calls" if call.wants_tool else "stop"))
    if call.body.get("stream_options", {}).get("include_usage"):
        out.append(sse({"id": f"chatcmpl-{call.n}", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [],
                        "usage": USAGE}))
    return out, sse("[DONE]")


def openai_document(call):
    message = {"role": "assistant", "content": None if call.wants_tool else "".join(call.pieces())}
    if call.wants_tool:
        message["tool_calls"] = [{"id": f"call_{call.n}", "type": "function",
                                  "function": {"name": "work", "arguments": truth.arguments(call.n)}}]
    return {"id": f"chatcmpl-{call.n}", "object": "chat.completion", "created": 1, "model": "m", "usage": USAGE,
            "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls" if call.wants_tool else "stop"}]}


def anthropic_events(call):
    def event(name, **more):
        return sse({"type": name, **more}, name)
    block = {"type": "tool_use", "id": f"toolu_{call.n}", "name": "work", "input": {}} if call.wants_tool else {"type": "text", "text": ""}
    if call.wants_tool:
        deltas = [{"type": "input_json_delta", "partial_json": p} for p in chopped(truth.arguments(call.n))]
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


def anthropic_document(call):
    if call.wants_tool:
        block = {"type": "tool_use", "id": f"toolu_{call.n}", "name": "work", "input": json.loads(truth.arguments(call.n))}
    else:
        block = {"type": "text", "text": "".join(call.pieces())}
    return {"id": f"msg_{call.n}", "type": "message", "role": "assistant", "model": "m", "content": [block],
            "stop_reason": "tool_use" if call.wants_tool else "end_turn", "stop_sequence": None,
            "usage": {"input_tokens": 10, "output_tokens": 20}}


# ---- answering, well or not ----------------------------------------------------------------------------------------------

def error_body(call, message):
    error = {"type": "api_error", "message": message}
    return {"type": "error", "error": error} if call.is_anthropic else {"error": {**error, "code": None, "param": None}}


async def whole(call, status, body, headers=""):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    kind = "text/html" if data.startswith(b"<") else "application/json"
    call.writer.write(f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {len(data)}\r\n{headers}\r\n".encode() + data)
    await call.writer.drain()


def abort(call):
    call.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise Gone


async def wait_for_its_end(call):
    """Says nothing more until the other side gives up."""
    await call.reader.read(1)
    raise Gone


async def fail_before(call, fault):
    if fault in ("429", "500", "503", "529"):
        await whole(call, int(fault), error_body(call, fault))
    elif fault == "429_after":
        await whole(call, 429, error_body(call, fault), "retry-after: 0\r\n")
    elif fault == "html":
        await whole(call, 502, b"<html>bad gateway</html>")
    elif fault == "garbage":
        await whole(call, 200, b"{\"id\": no json")
    elif fault == "reset":
        abort(call)
    elif fault == "silent":
        await wait_for_its_end(call)
    else:
        await asyncio.sleep(0.3)
        return False
    return True


async def stream(call, fault):
    events, last = (anthropic_events if call.is_anthropic else openai_events)(call)
    at = DICE.randint(2, max(2, len(events) - 2))
    call.writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")

    def put(data):
        call.writer.write(b"%x\r\n%s\r\n" % (len(data), data))
    for i, event in enumerate(events):
        if fault and i == at:
            if fault == "fin":
                put(event[:DICE.randrange(len(event))] or b":")
                await call.writer.drain()
                raise Gone
            if fault == "rst":
                await call.writer.drain()
                abort(call)
            if fault == "stall":
                await wait_for_its_end(call)
            if fault == "garbled":
                put(b"data: {\"choices\": [{]}\n\n")
                raise Gone
            if fault == "error_event":
                put(sse(error_body(call, "overloaded"), "error" if call.is_anthropic else None))
                break
        put(event)
        if i % 4 == 0:
            await call.writer.drain()
            await asyncio.sleep(DICE.random() * 0.004)
    else:
        if fault != "no_done":
            put(last)
    call.writer.write(b"0\r\n\r\n")
    await call.writer.drain()


async def answer(call):
    fault = None
    if DICE.random() < FAULTS:
        fault = DICE.choice(BEFORE + (WITHIN if call.streams else []))
    DID[fault or "well"] += 1
    if fault in BEFORE and await fail_before(call, fault):
        return
    if call.streams:
        await stream(call, fault if fault in WITHIN else None)
    else:
        await whole(call, 200, (anthropic_document if call.is_anthropic else openai_document)(call))


async def serve(reader, writer):
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            length = int(re.search(r"(?i)content-length: *(\d+)", head).group(1))
            body = json.loads(await reader.readexactly(length))
            await answer(Call(head.split(" ")[1], body, reader, writer))
    except (Gone, OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
        pass
    finally:
        writer.close()


async def main():
    servers = [await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1024) for _ in range(3)]
    print(json.dumps([s.sockets[0].getsockname()[1] for s in servers]), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    print(json.dumps(DID), flush=True)


asyncio.run(main())
