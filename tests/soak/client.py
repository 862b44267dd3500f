"""Asks at a steady rate and checks every answer against truth.py. Four client dialects, streamed and whole, text and tool calls.

    client.py ADDRESS RATE SECONDS SEED      prints one line of JSON: counts, and the first of what was wrong

What a client may see is: the right answer, complete; a part from its beginning and then an error event; an error with a status.
Anything else (a hole, a word told twice, a clean end of a part, a connection that ends without a word) is `wrong`.
"""
import asyncio
import collections
import json
import random
import sys

import truth

HOST, PORT = sys.argv[1].rsplit(":", 1)
RATE, SECONDS = float(sys.argv[2]), float(sys.argv[3])
DICE = random.Random(int(sys.argv[4]))
SAW = collections.Counter()
WRONG, LATE_S = [], 60
DIALECTS = ["openai", "anthropic", "gemini", "responses"]
SCHEMA = {"type": "object", "properties": {"task": {"type": "integer"}}}


def question(n, dialect, streams, tool):
    text = f"Do task {n}"
    if dialect == "gemini":
        body = {"contents": [{"role": "user", "parts": [{"text": text}]}]}
        if tool:
            body["tools"] = [{"functionDeclarations": [{"name": "work", "description": "", "parameters": SCHEMA}]}]
        return f"/v1beta/models/m{n % 4}:" + ("streamGenerateContent?alt=sse" if streams else "generateContent"), body
    if dialect == "responses":
        body = {"model": f"m{n % 4}", "stream": streams, "input": text}
        if tool:
            body["tools"] = [{"type": "function", "name": "work", "parameters": SCHEMA}]
        return "/v1/responses", body
    body = {"model": f"m{n % 4}", "stream": streams, "messages": [{"role": "user", "content": text}]}
    if dialect == "anthropic":
        body["max_tokens"] = 1000
        if tool:
            body["tools"] = [{"name": "work", "input_schema": SCHEMA}]
        return "/v1/messages", body
    if tool:
        body["tools"] = [{"type": "function", "function": {"name": "work", "parameters": SCHEMA}}]
    return "/v1/chat/completions", body


# ---- reading ---------------------------------------------------------------------------------------------------------------

class Answer:
    """What a client of a dialect makes of the bytes: text, arguments of the tool, whether it ended and how."""

    def __init__(self, dialect):
        self.dialect, self.text, self.arguments, self.ended, self.error = dialect, "", "", False, False

    def event(self, name, data):
        if self.dialect == "openai" and data == "[DONE]":
            self.ended = True
            return
        e = json.loads(data)
        if e.get("error") or name in ("error", "response.failed"):
            self.error = True
        else:
            getattr(self, self.dialect)(e)

    def openai(self, e):
        for choice in e.get("choices", []):
            part = choice.get("delta") or choice.get("message") or {}
            self.ended |= bool(choice.get("finish_reason"))  # a missing [DONE] behind it is no error
            self.text += part.get("content") or ""
            for call in part.get("tool_calls") or []:
                self.arguments += call["function"].get("arguments") or ""

    def anthropic(self, e):
        kind = e["type"]
        if kind == "content_block_delta":
            self.text += e["delta"].get("text", "")
            self.arguments += e["delta"].get("partial_json", "")
        elif kind == "message_stop":
            self.ended = True
        elif kind == "message":
            for block in e["content"]:
                self.text += block.get("text", "")
                self.arguments += json.dumps(block["input"]) if "input" in block else ""

    def responses(self, e):
        kind = e.get("type", "")
        if kind == "response.output_text.delta":
            self.text += e["delta"]
        elif kind == "response.function_call_arguments.delta":
            self.arguments += e["delta"]
        elif kind == "response.completed":
            self.ended = True
            told = Answer("responses")
            told.responses(e["response"])  # all of it once more: as it came in pieces
            if (told.text, told.arguments) != (self.text, self.arguments):
                raise ValueError("the last event tells another answer")
        for item in e.get("output", []):
            self.text += "".join(p["text"] for p in item.get("content", []))
            self.arguments += item.get("arguments", "")

    def gemini(self, e):
        for c in e.get("candidates", []):
            for part in c.get("content", {}).get("parts", []):
                self.text += part.get("text", "")
                if "functionCall" in part:
                    self.arguments += json.dumps(part["functionCall"].get("args", {}))
            if c.get("finishReason"):
                self.ended = True


async def read_chunks(reader):
    while True:
        n = int(await reader.readuntil(b"\r\n"), 16)
        yield await reader.readexactly(n) if n else b""
        await reader.readexactly(2)
        if not n:
            return


async def read_answer(reader, answer):
    """Returns the status and whether the message came to its proper end."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    status = int(head.split(" ")[1])
    if "transfer-encoding: chunked" not in head:
        n = int(head.split("content-length: ")[1].split("\r\n")[0])
        data = await reader.readexactly(n)
        if status == 200:
            answer.event(None, data)
            answer.ended = True
        else:
            json.loads(data)
        return status
    rest = b""
    async for piece in read_chunks(reader):
        rest += piece.replace(b"\r\n", b"\n")
        *events, rest = rest.split(b"\n\n")
        for event in events:
            lines = [x for x in event.decode().split("\n") if x and not x.startswith(":")]
            data = "\n".join(x[6:] for x in lines if x.startswith("data: "))
            name = next((x[7:] for x in lines if x.startswith("event: ")), None)
            if data:
                answer.event(name, data)
    if rest.strip():
        raise ValueError(f"an event without an end: {rest[:80]!r}")
    return status


def is_same_json(a, b):
    try:
        return json.loads(a) == json.loads(b)
    except ValueError:
        return False


# ---- judging ---------------------------------------------------------------------------------------------------------------

def judge(n, status, answer, tool):
    if status != 200:
        return f"status_{status}"
    got, right = (answer.arguments, truth.arguments(n)) if tool else (answer.text, truth.text(n))
    if tool and answer.text or not tool and answer.arguments:
        return "wrong: words of another kind"
    if answer.ended and not answer.error:
        is_right = json.loads(got or "null") == json.loads(right) if tool else got == right
        return "right" if is_right else "wrong: a clean end of something else"
    if not answer.error:
        return "wrong: neither an end nor an error"
    is_part = right.startswith(got) or tool and is_same_json(got, right)  # whole calls may be written otherwise
    return "error_event" if is_part else "wrong: no part of the answer"


async def ask(n):
    dialect, streams, tool = DICE.choice(DIALECTS), DICE.random() < 0.7, DICE.random() < 0.25
    path, body = question(n, dialect, streams, tool)
    answer, verdict = Answer(dialect), "wrong: the connection ended without a word"
    writer = None
    try:
        reader, writer = await asyncio.open_connection(HOST, int(PORT), limit=1 << 20)
        data = json.dumps(body).encode()
        writer.write(f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nanthropic-version: 2023-06-01\r\n"
                     f"content-length: {len(data)}\r\nconnection: close\r\n\r\n".encode() + data)
        status = await asyncio.wait_for(read_answer(reader, answer), LATE_S)
        verdict = judge(n, status, answer, tool)
    except asyncio.TimeoutError:
        verdict = "wrong: no end within a minute"
    except (OSError, asyncio.IncompleteReadError):
        if answer.error:  # behind an error event the connection is broken off, so that nobody takes it for an end
            verdict = judge(n, 200, answer, tool)
    except (ValueError, KeyError, TypeError) as e:
        verdict = f"wrong: not understood: {e!r}"
    finally:
        if writer:
            writer.close()
    SAW[verdict.split(":")[0]] += 1
    if verdict.startswith("wrong") and len(WRONG) < 5:
        WRONG.append({"task": n, "dialect": dialect, "stream": streams, "tool": tool, "why": verdict,
                      "got": (answer.arguments if tool else answer.text)[-300:], "right": (truth.arguments(n) if tool else truth.text(n))[-300:]})


async def main():
    loop, pending, n = asyncio.get_running_loop(), set(), 0
    begin = loop.time()
    while loop.time() - begin < SECONDS:
        due = int((loop.time() - begin) * RATE)
        while n < due:
            n += 1
            task = asyncio.create_task(ask(n))
            pending.add(task)
            task.add_done_callback(pending.discard)
        await asyncio.sleep(0.005)
    if pending:
        await asyncio.wait(pending, timeout=LATE_S + 10)
    print(json.dumps({"asked": n, "saw": SAW, "wrong": WRONG}), flush=True)


asyncio.run(main())
