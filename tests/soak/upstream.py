"""Providers that fail at random, of the dialects in dialects.py, streamed and whole, each on a port of its own.

    upstream.py SEED FAULTS      prints its ports as a line of JSON; ends when its standard input does; then prints what it did

FAULTS is the share of calls that go wrong. Standard library only; one process, asyncio. The request's first user message says
"task N"; truth.py says what the right answer is. A conversation that ends with a part of that answer is gone on with in one of the
ways that models have: exactly, with the last words once more, from the beginning, behind a preamble. A part that is no beginning of
the right answer is counted as `wrong_part`, which the run takes as a failure.
"""
import asyncio
import collections
import functools
import json
import random
import re
import socket
import struct
import sys

import truth
from dialects import DIALECTS, sse

DICE = random.Random(int(sys.argv[1]))
FAULTS = float(sys.argv[2])
DID = collections.Counter()
BEFORE = ["429", "429_after", "500", "503", "529", "reset", "silent", "slow", "html", "garbage"]
WITHIN = ["fin", "rst", "stall", "garbled", "error_event", "no_done", "ping"]


class Gone(Exception):
    """The connection is to end here."""


class Call:
    def __init__(self, dialect, path, body, reader, writer):
        self.dialect, self.reader, self.writer, self.body = dialect, reader, writer, body
        self.streams = dialect.streams(path, body)
        self.wants_tool = bool(body.get("tools"))
        self.n = int(re.search(r"task (\d+)", "\n".join(dialect.texts(body, "user"))).group(1))

    def pieces(self):
        """The texts of this answer, one for each event."""
        parts = list(self.dialect.texts(self.body, "assistant"))
        all_of_it = truth.text(self.n)
        if not parts or not parts[-1]:
            return truth.words(self.n)
        part = parts[-1]
        is_prefill = self.dialect.is_prefill(self.body)
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


    @staticmethod
    def chopped(text):
        return chopped(text)


def chopped(text):
    out = []
    while text:
        n = DICE.randint(1, 24)
        out.append(text[:n])
        text = text[n:]
    return out


# ---- answering, well or not ----------------------------------------------------------------------------------------------

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
        await whole(call, int(fault), call.dialect.error(fault))
    elif fault == "429_after":
        await whole(call, 429, call.dialect.error(fault), "retry-after: 0\r\n")
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
    events, last = call.dialect.events(call)
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
            if fault == "ping":
                put(b"data: ping\n\n")
            if fault == "rst":
                await call.writer.drain()
                abort(call)
            if fault == "stall":
                await wait_for_its_end(call)
            if fault == "garbled":
                put(b"data: {\"choices\": [{]}\n\n")
                raise Gone
            if fault == "error_event":
                put(sse({**call.dialect.error("overloaded"), **({"type": "error"} if call.dialect.named else {})},
                        "error" if call.dialect.named else None))
                break
        put(event)
        if i % 4 == 0:
            await call.writer.drain()
            await asyncio.sleep(DICE.random() * 0.004)
    else:
        if fault != "no_done" and last:
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
        await whole(call, 200, call.dialect.document(call))


async def serve(dialect, reader, writer):
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            length = int(re.search(r"(?i)content-length: *(\d+)", head).group(1))
            body = json.loads(await reader.readexactly(length))
            await answer(Call(dialect, head.split(" ")[1], body, reader, writer))
    except (Gone, OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
        pass
    finally:
        writer.close()


async def main():
    servers = [await asyncio.start_server(functools.partial(serve, d), "127.0.0.1", 0, backlog=1024) for d in DIALECTS.values()]
    print(json.dumps([s.sockets[0].getsockname()[1] for s in servers]), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    print(json.dumps(DID), flush=True)


asyncio.run(main())
