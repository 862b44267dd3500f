"""What a request of a million tiny values costs while it waits for its provider, in every provider's dialect: at most three times its
bytes, the body itself among them."""
import json

from harness import SLOW, Upstream, Weir, skip, wait_until
from scripted import Script, settings, silent

EACH = 3
PROVIDERS = ["openai", "responses", "anthropic", "gemini", "bedrock", "cohere", "ollama"]


def rss_bytes(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS")) * 1024


def bodies():
    """Half a million numbers in a member that nobody knows, and in a tool's schema; from two clients' dialects."""
    said = [{"role": "user", "content": "hi"}]
    schema = {"type": "object", "properties": {"a": {"type": "integer", "enum": list(range(10)) * 52000}}}
    dump = lambda body: json.dumps(body, separators=(",", ":")).encode()  # noqa: E731
    yield "/v1/chat/completions", dump({"model": "m", "messages": said, "x_many": [1] * (1 << 19)})
    yield "/v1/chat/completions", dump({"model": "m", "messages": said, "tools": [
        {"type": "function", "function": {"name": "f", "parameters": schema}}]})
    yield "/v1/messages", dump({"model": "m", "max_tokens": 9, "messages": said, "tools": [{"name": "f", "input_schema": schema}]})


def held(weir, up):
    """Sends each body EACH times and waits until all lie at the provider: (bytes sent, growth of the worker)."""
    pid, sent, clients = weir.worker_pids()[0], 0, []
    before = rss_bytes(pid)
    try:
        for path, body in bodies():
            for _ in range(EACH):
                clients.append(weir.client())
                clients[-1].request("POST", path, body, {"content-type": "application/json", "anthropic-version": "2023-06-01"})
                sent += len(body)
        up.wait_requests(len(clients))
        wait_until(lambda: sum(d["requests_live"] for d in weir.details()) == len(clients), "all to wait")
        return sent, rss_bytes(pid) - before
    finally:
        for c in clients:
            c.close()


def test_a_million_tiny_values():
    if SLOW > 1:
        skip("sanitizers have memory of their own")
    for dialect in PROVIDERS:
        key = "AKIDEXAMPLE:secret" if dialect == "bedrock" else "k"
        own = {"dialect": dialect, "key": key, **({"region": "us-east-1"} if dialect == "bedrock" else {})}
        with Upstream(Script(silent)) as up:
            c = settings([up], providers={"a": own})
            c["routes"][0]["on_loss"] = "allow"
            with Weir(c) as weir:
                sent, grown = held(weir, up)
                assert grown < 3 * sent, f"{dialect}: {sent} bytes of bodies cost {grown / sent:.2f} times as much"
                print(f"  {dialect}: {grown / sent:.2f} times the bodies")
