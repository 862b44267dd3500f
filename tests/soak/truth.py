"""What the right answer to task number N is, known to the upstream that answers and to the client that checks.

Every word carries its place and the task, so that a hole, a word told twice or a word of another request is seen at once.
"""
import random

WORDS = ["the", "größe", "of", "a", "bridge", "—", "code:", "`x`", "日本", "is", "not", "\"quoted\"", "back\\slash", "new\nline", "42,", "end."]


def words(n):
    dice = random.Random(n)
    return [f"{dice.choice(WORDS)}·{n % 997}.{i} " for i in range(dice.randint(8, 40))]


def text(n):
    return "".join(words(n))


def arguments(n):
    """Of the tool call: compact JSON."""
    return '{"task":%d,"path":"/tmp/ä %d","lines":[%s]}' % (n, n, ",".join(str(i * n % 1000) for i in range(n % 20)))
