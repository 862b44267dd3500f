"""What a chat request means, read from each dialect's own words by readers that share nothing with weir's codecs.

The meaning is a dict of facts. `turns` is flat, because dialects group differently what was said: one entry for each text, image,
document, call and result, in order, texts that follow one another joined. Of what a model said only the form is kept (that it spoke,
which tools it called), since every provider's model answered in its own words."""
import hashlib
import json


def digest(data):
    return hashlib.sha256(data.replace("-", "+").replace("_", "/").rstrip("=").encode()).hexdigest()[:12]


def thought(amount):
    """{"thinking": on or off, "effort": how much}, of a word, a number of tokens or a switch; {} if nothing is said."""
    if amount is None:
        return {}
    if amount in ("none", "disabled", "off") or amount is False or amount == 0:
        return {"thinking": "off"}
    return {"thinking": "on", "effort": None if amount in ("enabled", "adaptive", "auto", -1) or amount is True else amount}


def first(*values):
    return next((v for v in values if v is not None), None)


class Turns:
    def __init__(self):
        self.list, self.system = [], []

    def say(self, role, text):
        if role in ("system", "developer"):
            self.system.append(text)
        elif role == "assistant":
            if text.strip() and (not self.list or self.list[-1][0] not in ("assistant", "call")):
                self.list.append(("assistant",))
        elif self.list and self.list[-1][0] == role:
            self.list[-1] = (role, spaced(self.list[-1][1] + " " + text))
        else:
            self.list.append((role, spaced(text)))

    def add(self, *what):
        self.list.append(what)

    def media(self, role, kind, data=None, url=None):
        if url and url.startswith("data:"):
            data, url = url.split(",", 1)[1], None
        if role == "assistant":
            self.say(role, kind)
        else:
            self.add(kind, url or digest(data or ""))

    def call(self, name):
        """What a model says beside its calls is its own affair."""
        if self.list and self.list[-1] == ("assistant",):
            self.list.pop()
        self.add("call", name)

    def result(self, text):
        self.add("result", spaced(unwrapped(text)))


def spaced(text):
    """What was two texts in one dialect may be one in another: how they are joined is not compared."""
    return " ".join(text.split())


def unwrapped(text):
    """A client of Gemini's puts results into an object of its own making, which goes to others as it is: as JSON."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return gemini_result(value) if isinstance(value, dict) else text


def tidy_schema(schema):
    """Types in lower case, without the words that providers add and that change nothing here."""
    if isinstance(schema, list):
        return [tidy_schema(s) for s in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {}
    for key, value in schema.items():
        if key in ("additionalProperties", "strict", "$schema", "title") and not isinstance(value, dict):
            continue
        if key == "type" and isinstance(value, str):
            value = value.lower()
        elif key == "nullable":
            continue
        elif key == "required":
            value = sorted(value)
            if not value:
                continue
        elif key == "properties" and isinstance(value, dict):
            value = {name: tidy_schema(s) for name, s in value.items()}
        else:
            value = tidy_schema(value)
        kept[key] = value
    if schema.get("nullable") and isinstance(kept.get("type"), str):
        kept["type"] = [kept["type"], "null"]
    if kept.get("type") == "object":
        kept.setdefault("properties", {})
    return kept


def tool(to, name, description, schema):
    to[name] = (description or "", json.dumps(tidy_schema(schema or {"type": "object"}), sort_keys=True))


def schema_text(schema):
    return json.dumps(tidy_schema(schema), sort_keys=True)


def parts_of(content):
    return [{"type": "text", "text": content}] if isinstance(content, str) else content or []


def facts(turns, **more):
    system = "\n".join(turns.system).strip()
    if more.get("top_p") == 1:
        del more["top_p"]  # all of it: as if nothing were said
    kept = {"turns": turns.list, "system": system or None, **more}
    return {k: v for k, v in kept.items() if v not in (None, {}, [], False)}


# ---- OpenAI: chat completions, Responses ------------------------------------------------------------------------------

def choice_of(choice):
    if isinstance(choice, dict):
        return "tool " + (choice.get("function") or choice).get("name", "?")
    return {"auto": None, "any": "required"}.get(choice, choice)


def format_of(f):
    if not f or f.get("type") == "text":
        return None
    if f["type"] == "json_object":
        return "json"
    return schema_text((f.get("json_schema") or f)["schema"])


def openai_part(turns, role, part):
    kind = part.get("type")
    if kind in ("text", "input_text", "output_text", "refusal"):
        turns.say(role, part.get("text") or part.get("refusal") or "")
    elif kind in ("image_url", "input_image"):
        url = part.get("image_url")
        turns.media(role, "image", url=url["url"] if isinstance(url, dict) else url)
    elif kind == "input_audio":
        turns.media(role, "audio", data=part["input_audio"]["data"])
    elif kind in ("file", "input_file"):
        f = part.get("file") or part
        turns.media(role, "document", url=f.get("file_url") or f.get("file_data") or f.get("file_id"))
    elif kind == "thinking":
        pass
    else:
        turns.add(role, json.dumps(part, sort_keys=True))


def openai(body):
    turns, tools = Turns(), {}
    for m in body["messages"]:
        if m["role"] == "tool":
            parts = parts_of(m.get("content"))
            turns.result("\n".join(p.get("text", "") for p in parts if p.get("type") == "text"))
            for p in parts:
                if p.get("type") != "text":
                    openai_part(turns, "user", p)
            continue
        for part in parts_of(m.get("content")):
            openai_part(turns, m["role"], part)
        for call in m.get("tool_calls") or []:
            turns.call(call["function"]["name"])
    for t in body.get("tools") or []:
        if "function" in t:
            f = t["function"]
            tool(tools, f["name"], f.get("description"), f.get("parameters"))
    return facts(turns, tools=tools, choice=choice_of(body.get("tool_choice")) if tools else None,
                 parallel=body.get("parallel_tool_calls") if body.get("parallel_tool_calls") is False else None,
                 format=format_of(body.get("response_format")), temperature=body.get("temperature"), top_p=body.get("top_p"),
                 max_tokens=body.get("max_completion_tokens") or body.get("max_tokens"), stop=stops(body.get("stop")), seed=body.get("seed"),
                 **thought(first(body.get("reasoning_effort"), (body.get("reasoning") or {}).get("effort"))), stream=bool(body.get("stream")))


def stops(stop):
    return [stop] if isinstance(stop, str) else stop or None


def responses(body):
    turns, tools = Turns(), {}
    if body.get("instructions"):
        turns.say("system", body["instructions"])
    items = body.get("input")
    for item in [{"role": "user", "content": items}] if isinstance(items, str) else items or []:
        kind = item.get("type", "message")
        if kind == "message":
            for part in parts_of(item.get("content")):
                openai_part(turns, item["role"], part)
        elif kind == "function_call":
            turns.call(item["name"])
        elif kind == "function_call_output":
            parts = parts_of(item["output"])
            turns.result("\n".join(p.get("text", "") for p in parts if p.get("type") in ("text", "input_text")))
            for p in parts:
                if p.get("type") not in ("text", "input_text"):
                    openai_part(turns, "user", p)
        elif kind != "reasoning":
            turns.add("user", json.dumps(item, sort_keys=True))
    for t in body.get("tools") or []:
        if t.get("type") == "function":
            tool(tools, t["name"], t.get("description"), t.get("parameters"))
    return facts(turns, tools=tools, choice=choice_of(body.get("tool_choice")) if tools else None,
                 parallel=body.get("parallel_tool_calls") if body.get("parallel_tool_calls") is False else None,
                 format=format_of((body.get("text") or {}).get("format")), temperature=body.get("temperature"), top_p=body.get("top_p"),
                 max_tokens=body.get("max_output_tokens"), **thought((body.get("reasoning") or {}).get("effort")),
                 stream=bool(body.get("stream")))


# ---- Anthropic --------------------------------------------------------------------------------------------------------

def source_of(turns, role, kind, source):
    if source["type"] == "text":
        turns.media(role, kind, data=source["data"])
    else:
        turns.media(role, kind, data=source.get("data"), url=source.get("url") or source.get("file_id"))


def anthropic_part(turns, role, part):
    kind = part["type"]
    if kind == "text":
        turns.say(role, part["text"])
    elif kind in ("image", "document"):
        source_of(turns, role, kind, part["source"])
    elif kind == "tool_use":
        turns.call(part["name"])
    elif kind == "tool_result":
        parts = parts_of(part.get("content"))
        turns.result("\n".join(p["text"] for p in parts if p["type"] == "text"))
        for p in parts:
            if p["type"] != "text":
                anthropic_part(turns, "user", p)
    elif kind not in ("thinking", "redacted_thinking"):
        turns.add(role, json.dumps(part, sort_keys=True))


def anthropic(body):
    turns, tools = Turns(), {}
    for part in parts_of(body.get("system")):
        turns.say("system", part["text"])
    for m in body["messages"]:
        for part in parts_of(m["content"]):
            anthropic_part(turns, m["role"], part)
    for t in body.get("tools") or []:
        if "input_schema" in t:
            tool(tools, t["name"], t.get("description"), t["input_schema"])
    choice = body.get("tool_choice") or {}
    said = {"any": "required", "none": "none", "tool": "tool " + choice.get("name", "")}.get(choice.get("type"))
    form = (body.get("output_config") or {}).get("format") or body.get("output_format")
    thinking = body.get("thinking") or {}
    return facts(turns, tools=tools, choice=said, parallel=False if choice.get("disable_parallel_tool_use") else None,
                 format=schema_text(form["schema"]) if form else None, temperature=body.get("temperature"), top_p=body.get("top_p"),
                 max_tokens=body.get("max_tokens"), stop=body.get("stop_sequences"),
                 **thought(first(thinking.get("budget_tokens"), (body.get("output_config") or {}).get("effort"), thinking.get("type"))), stream=bool(body.get("stream")))


# ---- Gemini -----------------------------------------------------------------------------------------------------------

def gemini_part(turns, role, part):
    if part.get("thought"):
        return
    blob, file = part.get("inlineData") or part.get("inline_data"), part.get("fileData") or part.get("file_data")
    call, result = part.get("functionCall") or part.get("function_call"), part.get("functionResponse") or part.get("function_response")
    if "text" in part:
        turns.say(role, part["text"])
    elif call:
        turns.call(call["name"])
    elif result:
        turns.result(gemini_result(result.get("response")))
        for p in result.get("parts") or []:
            gemini_part(turns, "user", p)
    elif blob or file:
        mime = (blob or file).get("mimeType") or (blob or file).get("mime_type") or ""
        kind = mime.split("/")[0] if mime.split("/")[0] in ("image", "audio", "video") else "document"
        turns.media(role, kind, data=blob and blob["data"], url=file and (file.get("fileUri") or file.get("file_uri")))
    else:
        turns.add(role, json.dumps(part, sort_keys=True))


def gemini_result(response):
    """A text may be wrapped in whatever object the caller chose; wrapped parts are its texts."""
    value = next(iter(response.values())) if isinstance(response, dict) and len(response) == 1 else response
    if isinstance(value, dict) and set(value) <= {"name", "content"}:
        value = value.get("content")
    if isinstance(value, list):
        return "\n".join(p["text"] for p in value if isinstance(p, dict) and "text" in p)
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def gemini(body, stream=False):
    turns, tools = Turns(), {}
    for part in (body.get("systemInstruction") or body.get("system_instruction") or {}).get("parts", []):
        turns.say("system", part["text"])
    for c in body["contents"]:
        for part in c["parts"]:
            gemini_part(turns, "assistant" if c.get("role") == "model" else "user", part)
    for t in body.get("tools") or []:
        for f in t.get("functionDeclarations") or t.get("function_declarations") or []:
            tool(tools, f["name"], f.get("description"), f.get("parameters") or f.get("parametersJsonSchema") or f.get("parameters_json_schema"))
    config = body.get("generationConfig") or {}
    mode = ((body.get("toolConfig") or {}).get("functionCallingConfig") or {})
    names = mode.get("allowedFunctionNames") or []
    said = {"ANY": f"tool {names[0]}" if len(names) == 1 else "required", "NONE": "none"}.get((mode.get("mode") or "").upper())
    schema = config.get("responseSchema") or config.get("responseJsonSchema")
    form = schema_text(schema) if schema else "json" if config.get("responseMimeType") == "application/json" else None
    thinking = config.get("thinkingConfig") or {}
    level = first(thinking.get("thinkingLevel"), thinking.get("thinking_level"))
    return facts(turns, tools=tools, choice=said, format=form, temperature=config.get("temperature"), top_p=config.get("topP"),
                 max_tokens=config.get("maxOutputTokens"), stop=config.get("stopSequences"), seed=config.get("seed"),
                 **thought(first(thinking.get("thinkingBudget"), thinking.get("thinking_budget"), level and level.lower())), stream=stream)


# ---- Bedrock ----------------------------------------------------------------------------------------------------------

def bedrock_part(turns, role, part):
    if "text" in part:
        turns.say(role, part["text"])
    elif "toolUse" in part:
        turns.call(part["toolUse"]["name"])
    elif "toolResult" in part:
        parts = part["toolResult"].get("content") or []
        turns.result("\n".join(p["text"] if "text" in p else json.dumps(p["json"], sort_keys=True) for p in parts if "text" in p or "json" in p))
        for p in parts:
            if "text" not in p and "json" not in p:
                bedrock_part(turns, "user", p)
    elif {"image", "document", "video", "audio"} & set(part):
        kind = next(iter({"image", "document", "video", "audio"} & set(part)))
        source = part[kind]["source"]
        turns.media(role, kind, data=source.get("bytes"), url=(source.get("s3Location") or {}).get("uri"))
    elif not {"reasoningContent", "cachePoint"} & set(part):
        turns.add(role, json.dumps(part, sort_keys=True))


def bedrock(body, stream=False):
    turns, tools = Turns(), {}
    for part in body.get("system") or []:
        if "text" in part:
            turns.say("system", part["text"])
    for m in body["messages"]:
        for part in m["content"]:
            bedrock_part(turns, m["role"], part)
    config = body.get("toolConfig") or {}
    for t in config.get("tools") or []:
        if "toolSpec" in t:
            s = t["toolSpec"]
            tool(tools, s["name"], s.get("description"), s["inputSchema"]["json"])
    choice = config.get("toolChoice") or {}
    said = "required" if "any" in choice else "tool " + choice["tool"]["name"] if "tool" in choice else None
    form = ((body.get("outputConfig") or {}).get("textFormat") or {}).get("structure", {}).get("jsonSchema", {}).get("schema")
    inference, more = body.get("inferenceConfig") or {}, body.get("additionalModelRequestFields") or {}
    asked = first(more.get("thinking"), more.get("reasoning_config"), more.get("reasoningConfig")) or {}
    return facts(turns, tools=tools, choice=said, format=schema_text(json.loads(form)) if form else None,
                 temperature=inference.get("temperature"), top_p=inference.get("topP"), max_tokens=inference.get("maxTokens"),
                 stop=inference.get("stopSequences"), **thought(first(asked.get("budget_tokens"), asked.get("type"), more.get("reasoning_effort"))),
                 stream=stream)


# ---- Cohere, Ollama ---------------------------------------------------------------------------------------------------

def cohere(body):
    turns, tools = Turns(), {}
    for m in body["messages"]:
        parts = parts_of(m.get("content"))
        if m["role"] == "tool":
            turns.result("\n".join(p["text"] if p["type"] == "text" else cohere_document(p) for p in parts))
            continue
        for part in parts:
            openai_part(turns, m["role"], part)
        for call in m.get("tool_calls") or []:
            turns.call(call["function"]["name"])
    for t in body.get("tools") or []:
        tool(tools, t["function"]["name"], t["function"].get("description"), t["function"].get("parameters"))
    form = body.get("response_format") or {}
    schema = form.get("json_schema") or form.get("schema")
    thinking = body.get("thinking") or {}
    return facts(turns, tools=tools, choice={"REQUIRED": "required", "NONE": "none"}.get(body.get("tool_choice")),
                 format=schema_text(schema) if schema else "json" if form.get("type") == "json_object" else None,
                 temperature=body.get("temperature"), top_p=body.get("p"), max_tokens=body.get("max_tokens"), stop=body.get("stop_sequences"),
                 seed=body.get("seed"), **thought(first(thinking.get("token_budget"), thinking.get("type"))), stream=bool(body.get("stream")))


def cohere_document(part):
    data = part.get("document", {}).get("data")
    return data if isinstance(data, str) else json.dumps(data, separators=(",", ":"))


def ollama(body):
    turns, tools, options = Turns(), {}, body.get("options") or {}
    for m in body["messages"]:
        if m["role"] == "tool":
            turns.result(m.get("content") or "")
        elif m.get("content"):
            turns.say(m["role"], m["content"])
        for image in m.get("images") or []:
            turns.media("user", "image", data=image)
        for call in m.get("tool_calls") or []:
            turns.call(call["function"]["name"])
    for t in body.get("tools") or []:
        tool(tools, t["function"]["name"], t["function"].get("description"), t["function"].get("parameters"))
    form = body.get("format")
    return facts(turns, tools=tools, format="json" if form == "json" else schema_text(form) if form else None,
                 temperature=options.get("temperature"), top_p=options.get("top_p"), max_tokens=options.get("num_predict"),
                 stop=stops(options.get("stop")), seed=options.get("seed"), **thought(body.get("think")), stream=body.get("stream") is not False)


READERS = {"openai": openai, "responses": responses, "anthropic": anthropic, "gemini": gemini, "bedrock": bedrock, "cohere": cohere,
           "ollama": ollama}


def read(dialect, body, path):
    if dialect in ("gemini", "bedrock"):
        return READERS[dialect](body, "stream" in path.lower())
    return READERS[dialect](body)


def differences(one, other):
    """{fact: (in one, in the other)} of two meanings; of the turns the first that differs."""
    found = {}
    for key in sorted(set(one) | set(other)):
        a, b = one.get(key), other.get(key)
        if key == "turns" and a != b:
            i = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
            found[key] = (a[i] if i < len(a) else None, b[i] if i < len(b) else None)
        elif key == "tools" and a and b and a != b:
            name = next((n for n in sorted(set(a) | set(b)) if a.get(n) != b.get(n)))
            found[key] = (a.get(name), b.get(name))
        elif a != b:
            found[key] = (a, b)
    return found
