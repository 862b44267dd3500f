"""What is known of models, at work: costs in the record, targets that lack something, what the configuration says before the table."""
import json

from harness import Upstream, Weir, config, wait_until


def answer_with(usage):
    def handle(conn):
        while conn.read_request():
            conn.respond(200, {"id": "c", "object": "chat.completion", "created": 1, "model": "x", "usage": usage, "choices": [
                {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "ok"}}]})
    return handle


def records(weir, n):
    def enough():
        try:
            with open(weir.path("requests.log")) as f:
                lines = f.read().splitlines()
        except FileNotFoundError:
            return None
        return [json.loads(line) for line in lines] if len(lines) >= n else None
    return wait_until(enough, f"{n} records")


def configuration(up, **models):
    provider = {"catalogue": "groq", "base_url": up.url + "/openai/v1", "key": "k"}
    return config(up, entry=[{"log": {"file": "requests.log"}}], models=models,
                  providers={"groq": provider, "openai": {"dialect": "openai", "base_url": up.url + "/v1", "key": "k", "prices": "openai"}})


def test_a_call_costs_what_the_table_says():
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100, "prompt_tokens_details": {"cached_tokens": 400}}
    with Upstream(answer_with(usage)) as up:
        with Weir(configuration(up, m={"targets": ["groq/llama-3.3-70b-versatile"]}), workers=1) as weir:
            assert weir.chat().status == 200
            assert weir.chat(model="openai/gpt-4o-mini").status == 200
            assert weir.chat(model="openai/gpt-4o-mini", service_tier="priority").status == 200
            assert weir.chat(model="openai/nobody-knows-it").status == 200
            got = records(weir, 4)
        groq = (1000 * 0.59 + 100 * 0.79) / 1e6
        mini = (600 * 0.15 + 400 * 0.075 + 100 * 0.6) / 1e6
        priority = (600 * 0.25 + 400 * 0.125 + 100 * 1) / 1e6
        assert [r.get("cost_usd") for r in got] == [round(groq, 8), round(mini, 8), round(priority, 8), None], got
        assert got[0]["attempts"][0]["cost_usd"] == round(groq, 8)


def test_a_long_input_has_its_own_price():
    usage = {"input_tokens": 200001, "output_tokens": 0}

    def handle(conn):
        while conn.read_request():
            conn.respond(200, {"id": "m", "type": "message", "role": "assistant", "model": "x", "stop_reason": "end_turn", "usage": usage,
                               "content": [{"type": "text", "text": "ok"}]})
    with Upstream(handle) as up:
        c = config(up, entry=[{"log": {"file": "requests.log"}}],
                   providers={"claude": {"catalogue": "anthropic", "base_url": up.url, "key": "k"}})
        c["models"] = {"m": {"targets": ["claude/claude-sonnet-4-5"]}}
        with Weir(c, workers=1) as weir:
            assert weir.chat().status == 200
            assert records(weir, 1)[0]["cost_usd"] == round(200001 * 6 / 1e6, 8)


def test_the_configuration_goes_before_the_table():
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100, "prompt_tokens_details": {"cached_tokens": 500}}
    with Upstream(answer_with(usage)) as up:
        models = {"m": {"targets": ["openai/gpt-4o-mini"], "price": {"input": 10, "output": 20}},
                  "openai/my-tune": {"price": {"input": 1, "output": 2, "cached": 0.5}, "context": 5000}}
        with Weir(configuration(up, **models), workers=1) as weir:
            assert weir.chat().status == 200 and weir.chat(model="openai/my-tune").status == 200
            got = records(weir, 2)
        assert [r["cost_usd"] for r in got] == [0.012, 0.00095], got


def test_a_target_without_what_is_needed_is_passed_over():
    schema = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}
    with Upstream(answer_with({"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2})) as up:
        models = {"m": {"targets": ["groq/llama-3.3-70b-versatile", "openai/gpt-4o-mini"]},
                  "only": {"targets": ["groq/llama-3.3-70b-versatile"]},
                  "sure": {"targets": ["groq/llama-3.3-70b-versatile"], "can": ["json_schema"]}}
        with Weir(configuration(up, **models), workers=1) as weir:
            answer = weir.chat(response_format=schema)
            assert answer.headers["x-weir-target"] == "openai/gpt-4o-mini", answer
            answer = weir.chat(model="only", response_format=schema)
            assert answer.status == 400 and "its model has no structured output" in answer.text, answer
            assert weir.chat(model="sure", response_format=schema).status == 200
            answer = weir.chat(model="only", n=2)
            assert answer.status == 400 and "has no n > 1" in answer.text, answer
