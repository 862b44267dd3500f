"""Which recordings are replayed, and what a client must get from each: read here a second time, without weir's code."""
import json
import os

PER_KIND = 25  # of one provider, streamed or whole


def load(shared):
    """[(recording, expected)], at most PER_KIND for each provider, streamed and whole; [] without ../shared."""
    index = os.path.join(shared, "recordings", "index.jsonl")
    if not os.path.exists(index):
        return []
    chosen, counts = [], {}
    for line in open(index):
        entry = json.loads(line)
        dialect = dialect_of(entry)
        if dialect is None or entry["status"] != 200 or entry["response_fidelity"] == "reformatted":
            continue
        recording = json.load(open(os.path.join(shared, "recordings", entry["file"])))
        if recording["response_body_encoding"] != "utf-8" or not isinstance(recording["request_body"], dict):
            continue
        if dialect == "gemini" and "batch" in recording["url_path"]:
            continue
        kind = (dialect, is_stream(recording["response_body"], dialect))
        counts[kind] = counts.get(kind, 0) + 1
        if counts[kind] > PER_KIND * 4 or counts[kind] % 4:
            continue  # every fourth: neighbours are alike
        expected = EXPECT[dialect](documents(recording["response_body"], dialect))
        if expected is not None:
            recording["dialect"], recording["file"] = dialect, entry["file"]
            chosen.append((recording, expected))
    return chosen


def dialect_of(entry):
    if entry["provider"] == "openai" and entry["endpoint"] == "chat":
        return "openai"
    if entry["provider"] == "anthropic" and entry["endpoint"] == "messages":
        return "anthropic"
    if (entry["provider"], entry["endpoint"]) in (("cohere", "cohere-chat"), ("ollama", "ollama-chat")):
        return entry["provider"]
    return "gemini" if entry["provider"] == "gemini" and entry["endpoint"] == "generateContent" else None


def is_stream(body, dialect):
    if dialect == "ollama":
        return '"done":false' in body
    return body.lstrip()[:1] not in ("{", "[")


def documents(body, dialect):
    if dialect == "ollama":
        return [json.loads(line) for line in body.splitlines() if line.strip()]
    if not is_stream(body, dialect):
        return [json.loads(body)]
    lines = (line[5:].strip() for line in body.replace("\r\n", "\n").split("\n") if line.startswith("data:"))
    return [json.loads(line) for line in lines if line and line != "[DONE]"]


def call(name, arguments):
    return [name, json.loads(arguments or "{}") if isinstance(arguments, str) else arguments]


def expect_openai(docs):
    text, calls = "", {}
    for doc in docs:
        if "error" in doc:
            return None
        for choice in doc.get("choices", [])[:1]:
            message = choice.get("message") or choice.get("delta") or {}
            text += message.get("content") or ""
            if message.get("audio") or message.get("refusal") or message.get("function_call"):
                return None
            for i, tool in enumerate(message.get("tool_calls") or []):
                if tool.get("type", "function") != "function":
                    return None
                known = calls.setdefault(tool.get("index", i), ["", ""])
                known[0] += tool["function"].get("name") or ""
                known[1] += tool["function"].get("arguments") or ""
    return {"text": text, "calls": [call(*c) for c in calls.values()]}


def expect_anthropic(docs):
    text, calls, block = "", [], None
    for doc in docs:
        if doc.get("type") == "error":
            return None
        for part in doc.get("content") or []:
            text += part.get("text", "") if part["type"] == "text" else ""
            if part["type"] == "tool_use":
                calls.append([part["name"], part["input"]])
        if doc.get("type") == "content_block_start":
            block = doc["content_block"]
            if block["type"] == "text":
                text += block.get("text", "")
            if block["type"] == "tool_use":
                calls.append([block["name"], ""])
        if doc.get("type") == "content_block_delta":
            text += doc["delta"].get("text", "")
            if block["type"] == "tool_use":
                calls[-1][1] += doc["delta"].get("partial_json", "")
    return {"text": text, "calls": [call(*c) for c in calls]}


def expect_gemini(docs):
    text, calls = "", []
    for doc in docs:
        for candidate in doc.get("candidates", [])[:1]:
            for part in candidate.get("content", {}).get("parts", []):
                text += part.get("text", "") if not part.get("thought") else ""
                if "functionCall" in part:
                    calls.append([part["functionCall"]["name"], part["functionCall"].get("args", {})])
    return {"text": text, "calls": calls}


def expect_cohere(docs):
    text, calls = "", []
    for doc in docs:
        if "text" in doc:
            return None  # v1
        message = doc.get("message") or (doc.get("delta") or {}).get("message") or {}
        text += message.get("tool_plan") or ""
        content = message.get("content") or []
        for part in content if isinstance(content, list) else [content]:
            text += part.get("text") or ""
        if doc.get("type") == "tool-call-start":
            calls.append([message["tool_calls"]["function"]["name"], ""])
        elif doc.get("type") == "tool-call-delta":
            calls[-1][1] += message["tool_calls"]["function"]["arguments"]
        elif not doc.get("type"):
            calls += [[c["function"]["name"], c["function"]["arguments"]] for c in message.get("tool_calls") or []]
    return {"text": text, "calls": [call(*c) for c in calls]}


def expect_ollama(docs):
    calls = [c["function"] for doc in docs for c in doc["message"].get("tool_calls") or []]
    return {"text": "".join(doc["message"].get("content") or "" for doc in docs), "calls": [[c["name"], c["arguments"]] for c in calls]}


EXPECT = {"cohere": expect_cohere, "ollama": expect_ollama, "openai": expect_openai, "anthropic": expect_anthropic, "gemini": expect_gemini}
