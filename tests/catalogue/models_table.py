#!/usr/bin/env python3
"""Makes providers/models.tsv: prices, context sizes and capabilities of models, from the public price list that lies
beside the project (../shared/data, or $WEIR_SHARED/data). Only facts are taken: numbers and flags, in columns of our own.

    models_table.py SOURCE.json DATE > providers/models.tsv

The file's own head tells what its columns mean. What the source doesn't say is not guessed: an empty column is "-".
"""
import json
import sys

# The list's name of a provider -> ours (providers/catalogue.yaml). Others are left out.
FAMILIES = {
    "anthropic": "anthropic", "azure": "azure", "azure_text": "azure", "azure_ai": "azure-foundry", "baseten": "baseten",
    "bedrock": "bedrock", "bedrock_converse": "bedrock", "bedrock_mantle": "bedrock-mantle", "cerebras": "cerebras",
    "codestral": "codestral", "cohere": "cohere", "cohere_chat": "cohere", "cloudflare": "cloudflare", "crusoe": "crusoe",
    "dashscope": "alibaba", "databricks": "databricks", "deepinfra": "deepinfra", "deepseek": "deepseek",
    "featherless_ai": "featherless", "fireworks_ai": "fireworks", "fireworks_ai-embedding-models": "fireworks",
    "friendliai": "friendli", "gemini": "gemini", "gmi": "gmi", "gradient_ai": "digitalocean", "groq": "groq",
    "hyperbolic": "hyperbolic", "inception": "inception", "jina_ai": "jina", "lambda_ai": "lambda", "meta_llama": "meta",
    "minimax": "minimax", "mistral": "mistral", "moonshot": "moonshot", "morph": "morph", "nebius": "nebius",
    "novita": "novita", "nscale": "nscale", "nvidia_nim": "nvidia", "openai": "openai", "text-completion-openai": "openai",
    "openrouter": "openrouter", "ovhcloud": "ovhcloud", "perplexity": "perplexity", "sambanova": "sambanova",
    "scaleway": "scaleway", "together_ai": "together", "v0": "v0", "vercel_ai_gateway": "vercel", "voyage": "voyage",
    "volcengine": "volcengine", "wandb": "wandb", "watsonx": "watsonx", "xai": "xai", "zai": "zai",
    "vertex_ai": "vertex", "vertex_ai-language-models": "vertex", "vertex_ai-embedding-models": "vertex",
    "vertex_ai-text-models": "vertex", "vertex_ai-image-models": "vertex", "vertex_ai-anthropic_models": "vertex-anthropic",
    "vertex_ai-mistral_models": "vertex-mistral", "vertex_ai-llama_models": "vertex-openai",
    "vertex_ai-deepseek_models": "vertex-openai", "vertex_ai-qwen_models": "vertex-openai",
    "vertex_ai-openai_models": "vertex-openai", "vertex_ai-zai_models": "vertex-openai",
    "vertex_ai-moonshot_models": "vertex-openai", "vertex_ai-minimax_models": "vertex-openai",
}
# Families that say a model's vendor before its name, as their own ids do.
VENDORS = {
    "vertex_ai-llama_models": "meta/", "vertex_ai-deepseek_models": "deepseek-ai/", "vertex_ai-qwen_models": "qwen/",
    "vertex_ai-openai_models": "openai/", "vertex_ai-zai_models": "zai-org/",
    "vertex_ai-moonshot_models": "moonshotai/", "vertex_ai-minimax_models": "minimaxai/",
}
PREFIXES = {"text-completion-codestral", "vertex_ai", "amazon-nova"}
KINDS = {"chat": "chat", "responses": "responses", "completion": "completion", "embedding": "embed", "rerank": "rerank",
         "image_generation": "image", "image_edit": "image", "audio_transcription": "transcribe",
         "audio_speech": "speech", "moderation": "moderate", "realtime": "realtime"}
# Per million tokens, then per piece.
MILLION = {
    "input_cost_per_token": "in", "output_cost_per_token": "out", "cache_read_input_token_cost": "cached",
    "cache_creation_input_token_cost": "write", "cache_creation_input_token_cost_above_1hr": "write_1h",
    "output_cost_per_reasoning_token": "reasoning", "input_cost_per_audio_token": "audio_in",
    "output_cost_per_audio_token": "audio_out", "input_cost_per_image_token": "image_token_in",
    "output_cost_per_image_token": "image_token_out",
}
PIECE = {"input_cost_per_image": "image_in", "output_cost_per_image": "image_out", "input_cost_per_query": "query",
         "input_cost_per_second": "second_in", "output_cost_per_second": "second_out",
         "input_cost_per_character": "character_in"}
CONDITIONS = ["_priority", "_flex", "_batches"]
CAN = {
    "supports_function_calling": "tools", "supports_parallel_function_calling": "parallel_tools",
    "supports_vision": "images", "supports_pdf_input": "files", "supports_audio_input": "audio_in",
    "supports_audio_output": "audio_out", "supports_response_schema": "json_schema", "supports_reasoning": "thinking",
    "supports_prompt_caching": "cache", "supports_web_search": "web_search", "supports_video_input": "video_in",
    "supports_native_streaming": "stream",
}
ORDER = list(MILLION.values()) + list(PIECE.values())


def number(value):
    return f"{value:.10f}".rstrip("0").rstrip(".") if value else "0"


def split_key(key):
    """input_cost_per_token_above_200k_tokens_priority -> (input_cost_per_token, "priority>200k")"""
    service = next((c for c in CONDITIONS if key.endswith(c)), "")
    base = key[: len(key) - len(service)]
    above = ""
    if base.endswith("_tokens") and "_above_" in base:
        base, above = base[: -len("_tokens")].rsplit("_above_", 1)
    name = service[1:].replace("batches", "batch")
    return base, name + (">" + above if above else "")


def take(groups, condition, name, value):
    if isinstance(value, (int, float)) and value >= 0:
        groups.setdefault(condition, {})[name] = value


def prices(entry):
    groups = {}
    for key, value in entry.items():
        base, condition = split_key(key)
        if base in MILLION and isinstance(value, (int, float)):
            take(groups, condition, MILLION[base], value * 1e6)
        elif base in PIECE and not condition:
            take(groups, "", PIECE[base], value)
    for tier in entry.get("tiered_pricing", []):
        start = tier.get("range", [0])[0]
        condition = f">{int(start) // 1000}k" if start else ""
        for key, value in tier.items():
            if key in MILLION and isinstance(value, (int, float)):
                take(groups, condition, MILLION[key], value * 1e6)
    if not any(v for g in groups.values() for v in g.values()) and not entry.get("is_free"):
        return "-"  # nothing but zeroes: the source doesn't know
    texts = []
    for condition in sorted(groups):
        listed = " ".join(f"{n}={number(groups[condition][n])}" for n in ORDER if n in groups[condition])
        texts.append(f"{condition}: {listed}" if condition else listed)
    return "; ".join(texts)


def words(entry, wanted):
    found = [name for key, name in CAN.items() if entry.get(key) is wanted]
    modalities = entry.get("supported_modalities")
    if not wanted and modalities:
        found += [n for n, m in (("images", "image"), ("audio_in", "audio")) if m not in modalities and n not in found]
    has = [name for key, name in CAN.items() if entry.get(key) is True]
    return ",".join(n for n in found if wanted or n not in has) or "-"


def whole(value):
    try:
        return str(int(value)) if int(value) > 0 else "-"
    except (TypeError, ValueError):
        return "-"


def name_of(key, source):
    name = key
    if "/" in name and (name.split("/")[0] in (source, *PREFIXES) or source.startswith(name.split("/")[0])):
        name = name.split("/", 1)[1]
    vendor = VENDORS.get(source, "")
    return name if name.startswith(vendor) else vendor + name.split("/", 1)[-1]


def rows(source):
    for key, entry in source.items():
        family, kind = FAMILIES.get(entry.get("litellm_provider")), KINDS.get(entry.get("mode", "chat"))
        if not family or not kind or "commitment" in key or "\t" in key or key == "sample_spec":
            continue
        name = name_of(key, entry["litellm_provider"])
        context = whole(entry.get("max_input_tokens") or entry.get("max_tokens"))
        until = entry.get("deprecation_date") or "-"
        yield (family, name, kind, context, whole(entry.get("max_output_tokens")), prices(entry), words(entry, True),
               words(entry, False), until if len(until) == 10 else "-")


HEAD = """\
# Prices, context sizes and capabilities of models: facts, made by tests/catalogue/models_table.py; don't edit by hand.
# What is missing or wrong for you: `models: {{ "provider/model": {{ price: …, context: …, capabilities: … }} }}`.
# Source: model_prices_and_context_window.json of BerriAI/litellm (MIT), read {date}. {n} models.
# Columns, with a tab between: provider, model, kind, context (tokens), longest answer (tokens), prices, can, lacks, until.
#   A model's name may stand behind a region: "eu/gpt-4o" is gpt-4o where the provider entry says `region: eu`.
#   Prices are USD per million tokens; image_in, image_out, query, second_*, character_in per piece. After ";" a price that
#   holds under a condition: of a service tier (priority, flex, batch), or for inputs of more tokens (>200k).
#   lacks: what the source says is missing. What stands in neither column is not known, and assumed to be there.
# Sorted by the bytes of provider, tab, model: weir searches it by halves.
"""


def table(source, date):
    found = {}
    for row in rows(source):
        kept = found.get(row[:2])
        if not kept or (kept[5] == "-" and row[5] != "-"):
            found[row[:2]] = row
    lines = sorted(("\t".join(r) for r in found.values()), key=lambda line: "\t".join(line.split("\t")[:2]).encode())
    return HEAD.format(date=date, n=len(lines)) + "\n".join(lines) + "\n"


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    with open(sys.argv[1], encoding="utf-8") as file:
        sys.stdout.write(table(json.load(file), sys.argv[2]))
