"""What a request of a million tiny values costs while it waits for its provider, in every provider's dialect: at most three times its
bytes, the body itself among them."""
import json

from harness import SLOW, Upstream, Weir, skip, wait_until
from scripted import Script, settings, silent

PROVIDERS = ["openai", "responses", "anthropic", "gemini", "bedrock", "cohere", "ollama"]


def memory_bytes(pid, line="VmRSS"):
    with open(f"/proc/{pid}/status") as f:
        return next(int(text.split()[1]) for text in f if text.startswith(line)) * 1024


def forget_peak(pid):
    with open(f"/proc/{pid}/clear_refs", "w") as f:
        f.write("5")


def clients():
    """(dialect, path, body without its schema, the schema's place) of each dialect's client."""
    said, spec = [{"role": "user", "content": "hi"}], {"name": "f"}
    yield "openai", "/v1/chat/completions", lambda schema: {"model": "m", "messages": said, "tools": [
        {"type": "function", "function": {**spec, "parameters": schema}}]}
    yield "responses", "/openai/v1/responses", lambda schema: {"model": "m", "input": "hi", "store": False, "tools": [
        {"type": "function", **spec, "strict": False, "parameters": schema}]}
    yield "anthropic", "/v1/messages", lambda schema: {"model": "m", "max_tokens": 9, "messages": said, "tools": [{**spec, "input_schema": schema}]}
    yield "gemini", "/gemini/v1beta/models/m:generateContent", lambda schema: {
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}], "tools": [{"functionDeclarations": [{**spec, "parametersJsonSchema": schema}]}]}
    yield "bedrock", "/bedrock/model/m/converse", lambda schema: {
        "messages": [{"role": "user", "content": [{"text": "hi"}]}], "toolConfig": {"tools": [{"toolSpec": {**spec, "inputSchema": {"json": schema}}}]}}
    yield "cohere", "/cohere/v2/chat", lambda schema: {"model": "m", "messages": said, "tools": [
        {"type": "function", "function": {**spec, "parameters": schema}}]}
    yield "ollama", "/ollama/api/chat", lambda schema: {"model": "m", "messages": said, "tools": [
        {"type": "function", "function": {**spec, "parameters": schema}}]}


def bodies():
    """Half a million numbers in a tool's schema, from every client; and in a member that nobody knows."""
    schema = {"type": "object", "properties": {"a": {"type": "integer", "enum": list(range(10)) * 52000}}}
    dump = lambda body: json.dumps(body, separators=(",", ":")).encode()  # noqa: E731
    for dialect, path, body in clients():
        yield dialect, path, dump(body(schema))
    yield "openai, unknown", "/v1/chat/completions", dump({"model": "m", "messages": [{"role": "user", "content": "hi"}], "x_many": [1] * (1 << 19)})


def held(weir, up):
    """Sends each body and waits until it lies at the provider, from where none comes back: {client: what the worker's memory grew by at
    its peak, as a multiple of the body}."""
    pid, waiting, grown = weir.worker_pids()[0], [], {}
    try:
        for client, path, body in bodies():
            forget_peak(pid)
            before = memory_bytes(pid)
            waiting.append(weir.client())
            waiting[-1].request("POST", path, body, {"content-type": "application/json", "anthropic-version": "2023-06-01"})
            up.wait_requests(len(waiting))
            wait_until(lambda: sum(d["requests_live"] for d in weir.details()) == len(waiting), "all to wait")
            grown[client] = (memory_bytes(pid, "VmHWM") - before) / len(body)
        return grown
    finally:
        for c in waiting:
            c.close()


def test_a_million_tiny_values():
    if SLOW > 1:
        skip("sanitizers have memory of their own")
    for dialect in PROVIDERS:
        key = "AKIDEXAMPLE:secret" if dialect == "bedrock" else "k"
        own = {"dialect": dialect, "key": key, **({"region": "us-east-1"} if dialect == "bedrock" else {})}
        with Upstream(Script(silent)) as up:
            c = settings([up], providers={"a": own})
            c["routes"][0].update(on_loss="allow", match={"path": "/*"})
            with Weir(c) as weir:
                grown = held(weir, up)
                print(f"  {dialect}, times the bodies: " + ", ".join(f"{client} {times:.2f}" for client, times in grown.items()))
                worst = max(grown, key=grown.get)
                assert grown[worst] < 3, f"{dialect}: bodies of {worst} cost {grown[worst]:.2f} times their bytes"
