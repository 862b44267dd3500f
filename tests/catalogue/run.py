#!/usr/bin/env python3
"""The catalogue of providers and the table of models, one test per entry: tests/catalogue/run.py [PART-OF-A-NAME …]

Each entry of providers/catalogue.yaml is called through a weir whose provider has this entry, all of it, only that the address
begins with a scripted server's: the path, the header of the key and the body are checked against what EXPECTED tells (typed from
the providers' pages, not from the catalogue). The server answers with a recorded answer of that provider where ../shared has one,
else with one of the documented shape, then with an error; the client must get the text, and the error in its own dialect.
"""
import json
import os
import re
import subprocess
import sys
from urllib.parse import urlsplit

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))
sys.path.insert(0, HERE)
from harness import BUILD, ROOT, SHARED, Skip, Upstream, Weir, skip  # noqa: E402
import models_table  # noqa: E402

PLACES = {"resource": "my-company", "region": "eu-west-1", "workspace": "dbc-1.cloud.databricks.com", "account": "acme",
          "project": "my-project", "location": "europe-west4"}
CHAT, MESSAGES = "/chat/completions", "/v1/messages"
BEARER, API_KEY, X_API_KEY, GOOG = ("authorization", "Bearer k-1"), ("api-key", "k-1"), ("x-api-key", "k-1"), ("x-goog-api-key", "k-1")
GEMINI_PATH = "/v1beta/models/a-model:generateContent"
VERTEX = "https://aiplatform.googleapis.com/v1/projects/my-project"
VERTEX_EU = "https://europe-west4-aiplatform.googleapis.com/v1/projects/my-project/locations/europe-west4"
TOKEN = ("authorization", "Bearer token-1")
MANTLE = "https://bedrock-mantle.eu-west-1.api.aws/v1"

# name: (the whole URL of a chat call, the header of the key; None: none is sent)
EXPECTED = {
    "openai": ("https://api.openai.com/v1" + CHAT, BEARER),
    "openai-responses": ("https://api.openai.com/v1/responses", BEARER),
    "azure-responses": ("https://my-company.openai.azure.com/openai/v1/responses", API_KEY),
    "xai-responses": ("https://api.x.ai/v1/responses", BEARER),
    "cohere": ("https://api.cohere.com/v2/chat", BEARER),
    "voyage": ("https://api.voyageai.com/v1/embeddings", BEARER),
    "jina": ("https://api.jina.ai/v1/embeddings", BEARER),
    "anthropic": ("https://api.anthropic.com" + MESSAGES, X_API_KEY),
    "gemini": ("https://generativelanguage.googleapis.com" + GEMINI_PATH, GOOG),
    "gemini-openai": ("https://generativelanguage.googleapis.com/v1beta/openai" + CHAT, BEARER),
    "azure": ("https://my-company.openai.azure.com/openai/v1" + CHAT, API_KEY),
    "azure-deployments": ("https://my-company.openai.azure.com/openai/deployments/a-model/chat/completions?api-version=2024-10-21", API_KEY),
    "azure-models": ("https://my-company.services.ai.azure.com/models/chat/completions?api-version=2024-05-01-preview", API_KEY),
    "azure-anthropic": ("https://my-company.services.ai.azure.com/anthropic" + MESSAGES, X_API_KEY),
    "bedrock-mantle": (MANTLE + CHAT, BEARER),
    "bedrock": ("https://bedrock-runtime.us-east-1.amazonaws.com/model/a-model/converse", BEARER),
    "vertex": (VERTEX + "/locations/global/publishers/google/models/a-model:generateContent", TOKEN),
    "vertex-region": (VERTEX_EU + "/publishers/google/models/a-model:generateContent", TOKEN),
    "vertex-anthropic": (VERTEX + "/locations/global/publishers/anthropic/models/a-model:rawPredict", TOKEN),
    "vertex-anthropic-region": (VERTEX_EU + "/publishers/anthropic/models/a-model:rawPredict", TOKEN),
    "vertex-openai": (VERTEX_EU + "/endpoints/openapi" + CHAT, TOKEN),
    "databricks": ("https://dbc-1.cloud.databricks.com/serving-endpoints" + CHAT, BEARER),
    "snowflake": ("https://acme.snowflakecomputing.com/api/v2/cortex/v1" + CHAT, BEARER),
    "cloudflare": ("https://api.cloudflare.com/client/v4/accounts/acme/ai/v1" + CHAT, BEARER),
    "github": ("https://models.github.ai/inference" + CHAT, BEARER),
    "digitalocean": ("https://inference.do-ai.run/v1" + CHAT, BEARER),
    "scaleway": ("https://api.scaleway.ai/v1" + CHAT, BEARER),
    "ovhcloud": ("https://oai.endpoints.kepler.ai.cloud.ovh.net/v1" + CHAT, BEARER),
    "mistral": ("https://api.mistral.ai/v1" + CHAT, BEARER),
    "codestral": ("https://codestral.mistral.ai/v1" + CHAT, BEARER),
    "deepseek": ("https://api.deepseek.com" + CHAT, BEARER),
    "deepseek-anthropic": ("https://api.deepseek.com/anthropic" + MESSAGES, X_API_KEY),
    "xai": ("https://api.x.ai/v1" + CHAT, BEARER),
    "cohere-openai": ("https://api.cohere.ai/compatibility/v1" + CHAT, BEARER),
    "moonshot": ("https://api.moonshot.ai/v1" + CHAT, BEARER),
    "moonshot-cn": ("https://api.moonshot.cn/v1" + CHAT, BEARER),
    "zai": ("https://api.z.ai/api/paas/v4" + CHAT, BEARER),
    "zhipu": ("https://open.bigmodel.cn/api/paas/v4" + CHAT, BEARER),
    "zai-anthropic": ("https://api.z.ai/api/anthropic" + MESSAGES, X_API_KEY),
    "alibaba": ("https://dashscope-intl.aliyuncs.com/compatible-mode/v1" + CHAT, BEARER),
    "alibaba-cn": ("https://dashscope.aliyuncs.com/compatible-mode/v1" + CHAT, BEARER),
    "minimax": ("https://api.minimax.io/v1" + CHAT, BEARER),
    "minimax-anthropic": ("https://api.minimax.io/anthropic" + MESSAGES, X_API_KEY),
    "volcengine": ("https://ark.cn-beijing.volces.com/api/v3" + CHAT, BEARER),
    "meta": ("https://api.llama.com/compat/v1" + CHAT, BEARER),
    "inception": ("https://api.inceptionlabs.ai/v1" + CHAT, BEARER),
    "upstage": ("https://api.upstage.ai/v1" + CHAT, BEARER),
    "perplexity": ("https://api.perplexity.ai" + CHAT, BEARER),
    "groq": ("https://api.groq.com/openai/v1" + CHAT, BEARER),
    "openrouter": ("https://openrouter.ai/api/v1" + CHAT, BEARER),
    "together": ("https://api.together.ai/v1" + CHAT, BEARER),
    "fireworks": ("https://api.fireworks.ai/inference/v1" + CHAT, BEARER),
    "fireworks-anthropic": ("https://api.fireworks.ai/inference" + MESSAGES, X_API_KEY),
    "cerebras": ("https://api.cerebras.ai/v1" + CHAT, BEARER),
    "huggingface": ("https://router.huggingface.co/v1" + CHAT, BEARER),
    "nvidia": ("https://integrate.api.nvidia.com/v1" + CHAT, BEARER),
    "sambanova": ("https://api.sambanova.ai/v1" + CHAT, BEARER),
    "deepinfra": ("https://api.deepinfra.com/v1/openai" + CHAT, BEARER),
    "nebius": ("https://api.tokenfactory.nebius.com/v1" + CHAT, BEARER),
    "novita": ("https://api.novita.ai/openai/v1" + CHAT, BEARER),
    "hyperbolic": ("https://api.hyperbolic.xyz/v1" + CHAT, BEARER),
    "siliconflow": ("https://api.siliconflow.com/v1" + CHAT, BEARER),
    "baseten": ("https://inference.baseten.co/v1" + CHAT, BEARER),
    "friendli": ("https://api.friendli.ai/serverless/v1" + CHAT, BEARER),
    "featherless": ("https://api.featherless.ai/v1" + CHAT, BEARER),
    "crusoe": ("https://api.inference.crusoecloud.com/v1" + CHAT, BEARER),
    "wandb": ("https://api.inference.wandb.ai/v1" + CHAT, BEARER),
    "nscale": ("https://inference.api.nscale.com/v1" + CHAT, BEARER),
    "gmi": ("https://api.gmi-serving.com/v1" + CHAT, BEARER),
    "vercel": ("https://ai-gateway.vercel.sh/v1" + CHAT, BEARER),
    "v0": ("https://api.v0.dev/v1" + CHAT, BEARER),
    "morph": ("https://api.morphllm.com/v1" + CHAT, BEARER),
    "ollama-cloud": ("https://ollama.com/v1" + CHAT, BEARER),
    "ollama-native": ("http://127.0.0.1:11434/api/chat", None),
    "ollama": ("http://127.0.0.1:11434/v1" + CHAT, None),
    "vllm": ("http://127.0.0.1:8000/v1" + CHAT, None),
    "vllm-anthropic": ("http://127.0.0.1:8000" + MESSAGES, None),
    "sglang": ("http://127.0.0.1:30000/v1" + CHAT, None),
    "llamacpp": ("http://127.0.0.1:8080/v1" + CHAT, None),
    "lmstudio": ("http://127.0.0.1:1234/v1" + CHAT, None),
    "tgi": ("http://127.0.0.1:3000/v1" + CHAT, None),
    "localai": ("http://127.0.0.1:8080/v1" + CHAT, None),
    "gpustack": ("http://127.0.0.1/v1" + CHAT, BEARER),
}

# Whose recordings stand for an entry, where the name is another: (provider, a part of the recorded path)
RECORDED = {"gemini-openai": ("gemini", "/openai/"), "azure-deployments": ("azure", "/deployments/"), "azure-models": ("azure", "/models/"),
            "ollama-cloud": ("ollama", "/v1/chat"), "ollama": ("ollama", "/v1/chat"), "vertex": ("vertex", "/locations/"), "vertex-region": ("vertex", "/locations/"),
            "ollama-native": ("ollama", "/api/chat"), "openai-responses": ("openai", "/responses"),
            "azure-responses": ("azure", "/responses"), "xai-responses": ("xai", "/responses"), "xai": ("xai", CHAT)}

# What a client says at most; all but the model and the messages may be refused by some provider.
ASKED = {"max_completion_tokens": 50, "seed": 7, "user": "u-1", "logit_bias": {"50": 1}, "logprobs": True, "top_logprobs": 2,
         "parallel_tool_calls": False, "metadata": {"a": "b"}, "store": False, "service_tier": "flex", "verbosity": "low",
         "frequency_penalty": 0.5, "presence_penalty": 0.5,
         "messages": [{"role": "developer", "content": "Be short."},
                      {"role": "user", "name": "ann", "content": "hi"},
                      {"role": "assistant", "content": None, "tool_calls": [
                          {"id": "call_0123456789", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
                      {"role": "tool", "tool_call_id": "call_0123456789", "content": "done"}],
         "tools": [{"type": "function", "function": {"name": "f", "strict": True, "parameters": {"type": "object", "properties": {}}}}]}
SIMPLE = ("max_completion_tokens", "seed", "user", "logit_bias", "logprobs", "top_logprobs", "metadata", "store", "service_tier", "verbosity")
FEATURES = {"messages.name": "message_name", "tools.strict": "tool_strict", "parallel_tool_calls": "parallel_tools", "store": "ext"}


def weir(*args):
    done = subprocess.run([os.path.join(BUILD, "weir"), *args], capture_output=True, text=True, timeout=60, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout


def catalogue():
    return json.loads(weir("models", "--providers", "--json"))


# ---- the scripted server ----------------------------------------------------------------------------------------------

def plain_answer(dialect):
    if dialect == "anthropic":
        return {"id": "msg_1", "type": "message", "role": "assistant", "model": "a-model", "stop_reason": "end_turn", "stop_sequence": None,
                "content": [{"type": "text", "text": "documented"}], "usage": {"input_tokens": 3, "output_tokens": 2}}
    if dialect == "bedrock":
        return {"output": {"message": {"role": "assistant", "content": [{"text": "documented"}]}}, "stopReason": "end_turn",
                "usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}, "metrics": {"latencyMs": 1}}
    if dialect == "cohere":
        return {"id": "c1", "finish_reason": "COMPLETE", "message": {"role": "assistant", "content": [{"type": "text", "text": "documented"}]},
                "usage": {"tokens": {"input_tokens": 3, "output_tokens": 2}}}
    if dialect == "responses":
        return {"id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": "a-model", "output": [
            {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
             "content": [{"type": "output_text", "text": "documented", "annotations": []}]}],
            "usage": {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}}
    if dialect == "ollama":
        return {"model": "a-model", "created_at": "2026-01-01T00:00:00Z", "done": True, "done_reason": "stop",
                "message": {"role": "assistant", "content": "documented"}, "prompt_eval_count": 3, "eval_count": 2}
    if dialect == "gemini":
        return {"candidates": [{"index": 0, "finishReason": "STOP", "content": {"role": "model", "parts": [{"text": "documented"}]}}],
                "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2}, "modelVersion": "a-model", "responseId": "r1"}
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "a-model",
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "documented"}}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}


def plain_error(dialect):
    if dialect == "anthropic":
        return {"type": "error", "error": {"type": "rate_limit_error", "message": "Too many requests"}}
    if dialect in ("bedrock", "cohere"):
        return {"message": "Too many requests, please wait before trying again."}
    if dialect == "ollama":
        return {"error": "Too many requests"}
    if dialect == "gemini":
        return {"error": {"code": 429, "message": "Too many requests", "status": "RESOURCE_EXHAUSTED"}}
    return {"error": {"message": "Too many requests", "type": "rate_limit_error", "param": None, "code": "rate_limit_exceeded"}}


def recorded_rows(provider, endpoint):
    index = os.path.join(SHARED, "recordings", "index.jsonl")
    if not os.path.exists(index):
        return []
    with open(index, encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [r for r in rows if r["provider"] == provider and r["endpoint"] == endpoint and r["status"] == 200 and r["encoding"] == "utf-8"]


def recorded_answers(name, entry):
    """Whole chat answers of this provider, at most three, and their texts."""
    provider, part = RECORDED.get(name, (name, ""))
    endpoints = {"openai": "chat", "anthropic": "messages", "gemini": "generateContent", "bedrock": "converse",
                 "ollama": "ollama-chat", "cohere": "cohere-chat", "responses": "responses"}
    found = []
    for row in recorded_rows(provider, endpoints.get(entry["dialect"])):
        if "json" not in (row.get("content_type") or "") or len(found) == 3:
            continue
        with open(os.path.join(SHARED, "recordings", row["file"]), encoding="utf-8") as file:
            record = json.load(file)
        text = answer_text(record["response_body"]) if part in record["url_path"] else None
        if text:
            found.append((record["response_body"], text))
    return found


def answer_text(body):
    try:
        whole = json.loads(body)
        if "choices" in whole:
            content = whole["choices"][0]["message"].get("content")
            return content if isinstance(content, str) and len(whole["choices"]) == 1 else None
        if whole.get("object") == "response":
            texts = [c["text"] for o in whole["output"] if o["type"] == "message" for c in o["content"] if c["type"] == "output_text"]
            return texts[0] if len(texts) == 1 else None
        if "finish_reason" in whole:
            parts = whole["message"]["content"]
            return parts[0]["text"] if len(parts) == 1 and set(parts[0]) == {"type", "text"} else None
        if "output" in whole:
            parts = whole["output"]["message"]["content"]
            return parts[0]["text"] if len(parts) == 1 and set(parts[0]) == {"text"} else None
        if "done" in whole:
            return whole["message"].get("content") or None
        if "content" in whole:
            texts = [b["text"] for b in whole["content"] if b["type"] == "text"]
            return texts[0] if len(texts) == 1 == len(whole["content"]) else None
        parts = whole["candidates"][0]["content"]["parts"]
        return parts[0]["text"] if len(parts) == 1 and set(parts[0]) == {"text"} else None
    except (KeyError, IndexError, ValueError, TypeError):
        return None


def streamed_text(body):
    """The text of a recorded stream of OpenAI's dialect; None: it has more than text."""
    text = ""
    for line in re.split(r"\r\n|\n|\r", body):
        if not line.startswith("data:") or line[5:].strip() in ("", "[DONE]"):
            continue
        try:
            chunk = json.loads(line[5:])
            choices = chunk.get("choices") or []
        except ValueError:
            return None
        if "error" in chunk or len(choices) > 1 or any((c.get("delta") or {}).get("tool_calls") for c in choices):
            return None
        for c in choices:
            content = (c.get("delta") or {}).get("content") or ""
            if not isinstance(content, str):
                return None
            text += content
    return text or None


def recorded_stream(name, entry):
    """One streamed answer of this provider, and its text."""
    provider, part = RECORDED.get(name, (name, ""))
    for row in recorded_rows(provider, "chat") if entry["dialect"] == "openai" else []:
        if "event-stream" not in (row.get("content_type") or ""):
            continue
        with open(os.path.join(SHARED, "recordings", row["file"]), encoding="utf-8") as file:
            record = json.load(file)
        text = streamed_text(record["response_body"]) if part in record["url_path"] else None
        if text:
            return record["response_body"], text
    return None


STREAMED = []  # entries with a recorded stream


class Provider:
    """Answers in turn; the first path segment says whose turn."""

    def __init__(self):
        self.answers = {}

    def __call__(self, conn):
        while (request := conn.read_request()):
            name = request.path.split("/")[1]
            if name == "token":
                conn.respond(200, {"access_token": "token-1", "expires_in": 3600})
                continue
            status, body = self.answers[name].pop(0)
            is_stream = status == 200 and not body.lstrip().startswith("{")
            conn.respond(status, body.encode(), {"content-type": "text/event-stream" if is_stream else "application/json"})


# ---- the tests ----------------------------------------------------------------------------------------------------------

def check_body(name, entry, asked, body):
    if entry.get("home") == "vertex":
        assert body["anthropic_version"] == "vertex-2023-10-16" and "model" not in body, body
    if entry["dialect"] != "openai":
        return
    drops = entry.get("drop", [])
    for member in drops:
        inside = {"messages.name": any("name" in m for m in body["messages"]), "tools.strict": any("strict" in t["function"] for t in body.get("tools", []))}
        assert not inside.get(member, member in body), f"{name}: {member} was sent"
    limit = entry.get("max_tokens_field")
    if limit:
        assert body.get(limit) == 50 and len({"max_tokens", "max_completion_tokens"} & set(body)) == 1, body
    for pair in entry.get("rename", []):
        old, new = pair.split("=")
        assert old not in body and (old not in asked or body[new] == asked[old]), body
    roles = [m["role"] for m in body["messages"]]
    assert ("developer" in roles) == (entry.get("developer_role") is not False and roles[0] == "developer"), roles
    if entry.get("developer_role") is False:
        assert roles[0] == "system", roles
    if entry.get("tool_call_id") == "alnum9":
        sent = body["messages"][2]["tool_calls"][0]["id"]
        assert re.fullmatch("[a-z0-9]{9}", sent) and body["messages"][3]["tool_call_id"] == sent, body


def check_losses(name, entry, asked, answer):
    told = answer.headers.get("x-weir-loss", "")
    for member in entry.get("drop", []):
        if member in asked or member == "messages.name" or (member == "tools.strict" and "tools" in asked):
            assert f"{FEATURES.get(member, member)}=dropped" in told, f"{name}: {member} was dropped, and only this was told: {told}"


def test_entry(name, entry, w, up, provider):
    url, key = EXPECTED[name]
    path = "/" + name + url[len(urlsplit(url).scheme) + 3 + len(urlsplit(url).netloc):]
    if url.endswith("/embeddings"):
        test_embedding_entry(name, w, up, provider, path, key)
        return
    answers = recorded_answers(name, entry)
    if entry["verified"].startswith("recording") and os.path.isdir(os.path.join(SHARED, "recordings")):
        assert answers, f"{name} is said to be verified by recordings, and there are none of whole answers"
    answers = answers or [(json.dumps(plain_answer(entry["dialect"])), "documented")]
    asked = dict(ASKED)
    if entry["dialect"] != "openai" or "tools" in entry.get("lacks", []):
        asked = {**{k: v for k, v in asked.items() if k in SIMPLE}, "messages": ASKED["messages"][:2]}
    for body, text in answers:
        provider.answers[name] = [(200, body)]
        before = len(up.requests)
        answer = w.post("/v1/chat/completions", {"model": name + "/a-model", **asked})
        assert answer.status == 200, f"{name}: {answer}"
        assert answer.json["choices"][0]["message"]["content"] == text, f"{name}: {answer.text}"
        request = [r for r in up.requests[before:] if r.path != "/token"][0]
        assert request.path == path, f"{name} was called at {request.path}, not at {path}"
        sent = [(h, v) for h, v in request.header_list if h in ("authorization", "api-key", "x-api-key", "x-goog-api-key")]
        assert sent == ([key] if key else []), f"{name}: {sent}"
        check_body(name, entry, asked, request.json)
        check_losses(name, entry, asked, answer)
    stream = recorded_stream(name, entry)
    if stream:
        STREAMED.append(name)
        provider.answers[name] = [(200, stream[0])]
        answer = w.post("/v1/chat/completions", {"model": name + "/a-model", "stream": True, **asked})
        assert answer.status == 200 and streamed_text(answer.text) == stream[1], f"{name}: {answer}"
        assert ("[DONE]" in answer.text) == ("[DONE]" in stream[0]), f"{name}: {answer}"
    provider.answers[name] = [(429, json.dumps(plain_error(entry["dialect"])))] * 3
    answer = w.post("/v1/chat/completions", {"model": name + "/a-model", **asked})
    assert answer.status == 429 and "Too many requests" in answer.json["error"]["message"], f"{name}: {answer}"


def test_embedding_entry(name, w, up, provider, path, key):
    """Those that only make vectors."""
    vector = {"object": "list", "model": "a-model", "data": [{"object": "embedding", "index": 0, "embedding": [0.25, 0.5]}],
              "usage": {"prompt_tokens": 3, "total_tokens": 3}}
    provider.answers[name] = [(200, json.dumps(vector)), (429, json.dumps(plain_error("openai")))]
    before = len(up.requests)
    asked = {"model": name + "/a-model", "input": "hi", "user": "u-1", **({"dimensions": 2} if name == "voyage" else {})}
    answer = w.post("/v1/embeddings", asked)
    assert answer.status == 200 and answer.json["data"][0]["embedding"] == [0.25, 0.5], answer
    request = up.requests[before]
    assert request.path == path and request.headers[key[0]] == key[1] and "user" not in request.json, request
    assert name != "voyage" or request.json["output_dimension"] == 2
    assert "user=dropped" in answer.headers.get("x-weir-loss", ""), answer
    assert w.post("/v1/embeddings", {"model": name + "/a-model", "input": "hi"}).status == 429


def check_address(name, entry):
    """Where the catalogue itself says it is, with its places filled in."""
    if "base_url" not in entry:
        return
    url = re.sub(r"\{(\w+)\}", lambda m: PLACES[m.group(1)], entry["base_url"])
    assert EXPECTED[name][0].startswith(url), f"{name}: {url} is not the beginning of {EXPECTED[name][0]}"
    assert "{" not in entry["base_url"] or set(re.findall(r"\{(\w+)\}", entry["base_url"])) == set(entry["places"])


def provider_entry(name, entry, up):
    path = urlsplit(re.sub(r"\{(\w+)\}", lambda m: PLACES[m.group(1)], entry.get("base_url", ""))).path
    key = {} if entry.get("auth") == "none" else {"key": "k-1"}
    if "google" in entry.get("auth", ""):
        key = {"auth": {"google": {"metadata_url": up.url + "/token"}}}
    return {"base_url": f"{up.url}/{name}{path}", **key}


def test_table():
    source = os.path.join(SHARED, "data", "model_prices_and_context_window.json")
    if not os.path.exists(source):
        skip("../shared/data has no price list")
    with open(os.path.join(ROOT, "providers", "models.tsv"), encoding="utf-8") as file:
        committed = file.read()
    date = re.search(r"read (\d{4}-\d\d-\d\d)", committed).group(1)
    with open(source, encoding="utf-8") as file:
        made = models_table.table(json.load(file), date)
    assert made == committed, "providers/models.tsv is not what tests/catalogue/models_table.py makes of the price list"


def test_catalogue_is_whole():
    entries = catalogue()
    assert len(entries) >= 40 and set(entries) == set(EXPECTED), set(entries) ^ set(EXPECTED)
    for name, entry in entries.items():
        assert entry["title"] and entry["docs"].startswith("https://"), name
        assert re.fullmatch(r"(recording|documented) 20\d\d-\d\d-\d\d", entry["verified"]), name
        assert entry.get("env") or entry.get("auth"), name
        check_address(name, entry)


def test_places_and_names_of_the_environment():
    """What the catalogue gives is really taken: address, key, prices, all without a word but the name."""
    config = {"providers": {"azure": {}, "groq": {}, "mine": {"catalogue": "mistral", "key": "own"}, "ollama": None},
              "models": {"a": {"targets": ["azure/x", "groq/x", "mine/x", "ollama/x"]}},
              "routes": [{"match": {"path": "/v1/*"}, "open": True, "pipeline": []}]}
    with Weir(config, env={"AZURE_OPENAI_RESOURCE": "res", "AZURE_OPENAI_API_KEY": "k"}, workers=1) as w:
        listed = subprocess.run([w.program, "models", "-c", w.config_path], capture_output=True, text=True, cwd=w.folder,
                                env={"PATH": "/usr/bin:/bin", "AZURE_OPENAI_RESOURCE": "res", "AZURE_OPENAI_API_KEY": "k"}).stdout
        assert re.search(r"azure/x +available", listed) and re.search(r"groq/x +GROQ_API_KEY is not set", listed), listed
        assert re.search(r"mine/x +available", listed) and re.search(r"ollama/x +available", listed), listed


def test_vertex_streams_to_clients_of_anthropic():
    """The body is another there, although both sides speak the same dialect: nothing of what the client said is missing."""
    seen = []

    def answer(conn):
        while (request := conn.read_request()):
            seen.append(request)
            if request.path == "/token":
                conn.respond(200, {"access_token": "token-1", "expires_in": 3600})
                continue
            conn.start_sse()
            for event in ({"type": "message_start", "message": {**plain_answer("anthropic"), "content": []}},
                          {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
                          {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "streamed"}},
                          {"type": "content_block_stop", "index": 0},
                          {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
                          {"type": "message_stop"}):
                conn.event(event, event["type"])
            conn.end()
    with Upstream(answer) as up:
        config = {"providers": {"v": {"catalogue": "vertex-anthropic", "base_url": up.url + "/models", "with": {"project": "p"},
                                      "auth": {"google": {"metadata_url": up.url + "/token"}}}},
                  "routes": [{"match": {"path": "/v1/*"}, "open": True, "pipeline": []}]}
        with Weir(config, workers=1, clean=False) as w:
            asked = {"model": "v/claude-x@20250929", "max_tokens": 9, "stream": True, "made_up": {"a": 1},
                     "messages": [{"role": "user", "content": "hi"}]}
            reply = w.post("/v1/messages", asked, {"anthropic-version": "2023-06-01", "anthropic-beta": "x-1"})
            assert reply.status == 200 and "streamed" in reply.text, reply
    call = seen[-1]
    assert call.path == "/models/claude-x@20250929:streamRawPredict" and call.headers["anthropic-beta"] == "x-1", call
    sent = call.json
    assert sent.pop("anthropic_version") == "vertex-2023-10-16"
    assert sent == {k: v for k, v in asked.items() if k != "model"}, sent


def run(name, function, *args):
    try:
        function(*args)
        return "passed"
    except Skip as reason:
        print(f"SKIP {name}: {reason}")
        return "skipped"
    except Exception as error:  # noqa: BLE001
        print(f"FAIL {name}: {type(error).__name__}: {error}")
        return "failed"


def run_entries(wanted):
    entries = {n: e for n, e in catalogue().items() if not wanted or any(w in n for w in wanted)}
    provider = Provider()
    outcomes = []
    with Upstream(provider) as up:
        config = {"providers": {n: provider_entry(n, e, up) for n, e in entries.items()}, "on_loss": "warn",
                  "routes": [{"match": {"path": "/v1/*"}, "open": True, "pipeline": []}]}
        if not entries:
            return outcomes
        places = {"GOOGLE_CLOUD_PROJECT": "my-project", "GOOGLE_CLOUD_LOCATION": "europe-west4"}
        with Weir(config, workers=1, clean=False, env=places) as w:
            for name, entry in entries.items():
                outcomes.append(run("entry " + name, test_entry, name, entry, w, up, provider))
    return outcomes


def main(wanted):
    outcomes = [run(f.__name__, f) for f in (test_table, test_catalogue_is_whole, test_places_and_names_of_the_environment,
                                              test_vertex_streams_to_clients_of_anthropic)
                if not wanted or any(w in f.__name__ for w in wanted)]
    outcomes += run_entries(wanted)
    print(f"recorded streams replayed for {len(STREAMED)} entries: {' '.join(STREAMED)}")
    print(f"{outcomes.count('passed')} passed, {outcomes.count('failed')} failed, {outcomes.count('skipped')} skipped")
    return 1 if "failed" in outcomes else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
