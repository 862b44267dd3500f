"""The request bodies of the bench: the two committed ones of 1 KB and what is made of them.

Long prompts are generated, the same bytes on every machine: prose (a few letters outside ASCII, hardly an escape) and source
code, which JSON escapes heavily (line breaks, quotes, backslashes, tabs)."""

import json
import os

HERE = os.path.dirname(os.path.abspath(__file__))

WORDS = ("the delivery of our spring catalogue was late because a printer in Liège had run out of paper and nobody told the "
         "office until Thursday so we asked the driver whether he could take the older boxes along with the new café menus "
         "which he did without any fuss and arrived before noon").split()

CODE = ('static int\tread_line(char *line, size_t n)\n{\n\tif (!fgets(line, (int)n, stdin)) {\n'
        '\t\tfprintf(stderr, "line %d: \\"%s\\" isn\'t whole\\n", number, line);\n\t\treturn -1;\n\t}\n'
        '\tline[strcspn(line, "\\r\\n")] = \'\\0\'; /* C:\\temp\\input.txt */\n\treturn 0;\n}\n\n')


class Random:
    """A linear congruential generator: its numbers are the same everywhere and for ever."""

    def __init__(self, seed):
        self.state = seed

    def below(self, n):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 33) % n


def prose(size):
    random, parts, length = Random(1), [], 0
    while length < size:
        n = 8 + random.below(14)
        sentence = " ".join(WORDS[random.below(len(WORDS))] for _ in range(n)).capitalize() + ". "
        if random.below(6) == 0:
            sentence += "\n\n"
        parts.append(sentence)
        length += len(sentence)
    return "".join(parts)


def code(size):
    random, parts, length = Random(2), [], 0
    while length < size:
        part = CODE.replace("line", "line_%d" % random.below(1000))
        parts.append(part)
        length += len(part)
    return "".join(parts)


def dump(body):
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def committed(name):
    with open(os.path.join(HERE, name), encoding="utf-8") as f:
        return json.load(f)


def long_chat(kind, size):
    """A chat call whose JSON text has exactly `size` bytes, nearly all of them one user message."""
    body = committed("chat-1k.json")
    text = {"prose": prose, "code": code}[kind](size)
    low, high = 0, len(text)
    while low < high:  # the longest beginning that fits
        middle = (low + high + 1) // 2
        body["messages"][-1]["content"] = text[:middle]
        low, high = (middle, high) if len(dump(body)) <= size else (low, middle - 1)
    body["messages"][-1]["content"] = text[:low]
    missing = size - len(dump(body))
    body["messages"][-1]["content"] += "." * missing
    return dump(body)


def stream(file, model, asks_usage=False, base=None):
    """The call in `file` (or `base`, JSON text) as a stream of `model`."""
    body = json.loads(base) if base else committed(file)
    body["model"] = model
    body["stream"] = True
    if asks_usage:
        body["stream_options"] = {"include_usage": True}
    return dump(body)


if __name__ == "__main__":
    for kind in ("prose", "code"):
        for size in (65536, 262144):
            made = long_chat(kind, size)
            print(kind, size, len(made), made[-120:])


def with_images(size):
    """A conversation of four turns with three images, of exactly `size` bytes."""
    random = Random(3)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

    def body(n):
        data = "".join(alphabet[random.below(64)] for _ in range(4096)) * (n // 4096 + 1)
        image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + data[:n // 4 * 4]}}
        messages = [{"role": "system", "content": "You look closely."}]
        for i in range(3):
            messages.append({"role": "user", "content": [{"type": "text", "text": f"What is on picture {i}?"}, image]})
            messages.append({"role": "assistant", "content": prose(800)})
        return {**committed("chat-1k.json"), "messages": messages + [{"role": "user", "content": "Compare them."}]}
    n = size // 3
    while len(dump(body(n))) > size - 40:
        n -= 64
    whole = body(n)
    whole["messages"][-1]["content"] += "x" * (size - len(dump(whole)))
    return dump(whole)
