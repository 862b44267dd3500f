"""Agent loops of four turns, thinking on, two tools at once, through every pair of dialects, whole and streamed: what a provider
signed comes back to it and to nobody else, so no provider refuses. Clients and providers: loops.py."""
import json

from harness import Upstream, Weir
from loops import CITIES, CLIENTS, PROVIDERS, TURNS, OllamaWithoutIds, arguments


def configuration(urls, providers):
    return {"entry": [], "routes": [{"match": {"path": "/*"}, "open": True, "on_loss": "warn", "pipeline": []}],
            "providers": {d: providers[d].entry(urls[d]) for d in providers},
            "models": {d: {"targets": [f"{d}/{providers[d].model}"]} for d in providers}}


class Stage:
    """weir with a scripted provider of every dialect behind it."""
    def __init__(self):
        self.providers = {d: make() for d, make in PROVIDERS.items()}
        self.upstreams = {d: Upstream(p) for d, p in self.providers.items()}

    def __enter__(self):
        for upstream in self.upstreams.values():
            upstream.__enter__()
        self.weir = Weir(configuration({d: u.url for d, u in self.upstreams.items()}, self.providers))
        self.weir.__enter__()
        return self

    def __exit__(self, *error):
        self.weir.__exit__(*error)
        for upstream in self.upstreams.values():
            upstream.__exit__(*error)

    def loop(self, make, models, streams):
        """Each turn asks the next of `models`; a refusal by any provider fails the test."""
        client = make(streams)
        client.ask("What is up?")
        for turn, model in enumerate(models, 1):
            calls = client.turn(self.weir, model)
            for d, p in self.providers.items():
                assert not p.refusals, f"{client.dialect} -> {models}, streams {streams}, turn {turn}: {d} refuses: {p.refusals[0]}"
            wanted = [arguments(turn, c) for c in CITIES] if turn < TURNS else []
            assert [c[2] for c in calls] == wanted, f"{client.dialect} -> {models}, turn {turn}: {calls}"
            client.give([(id, name, f"{args['city']} is fine") for id, name, args in calls]) if calls else None
        return client


def test_every_pair():
    with Stage() as stage:
        for make in CLIENTS.values():
            for model in PROVIDERS:
                for streams in (False, True):
                    stage.loop(make, [model] * TURNS, streams)


def test_another_provider_goes_on():
    """After a change of target what the first one signed is left out, and the loss is told; back at the first it counts again."""
    with Stage() as stage:
        for make in CLIENTS.values():
            for first in PROVIDERS:
                for second in PROVIDERS:
                    for streams in (False, True):
                        client = stage.loop(make, [first, first, second, second], streams)
                        if first != second and PROVIDERS[first].signs:
                            assert "signature=" in client.losses[2], (client.dialect, first, second, client.losses)
                        stage.loop(make, [first, second, first, second], streams)


def test_a_client_without_ids():
    """Nothing that was signed can come back: then no provider is told that it had been."""
    with Stage() as stage:
        for model in PROVIDERS:
            for streams in (False, True):
                stage.loop(OllamaWithoutIds, [model] * TURNS, streams)


def test_providers_do_refuse():
    """The scripts are worth something only if they refuse what they should."""
    for dialect, make in PROVIDERS.items():
        provider, client = make(), CLIENTS[dialect](False)
        client.ask("What is up?")
        calls = client.take(provider.answer(client.body("m")))
        client.give([(id, name, "fine") for id, name, _args in calls])
        text = json.dumps(client.body("m"))
        provider.answer(json.loads(text))
        for mistake in spoilt(dialect, text):
            try:
                provider.answer(json.loads(mistake))
            except Exception as why:
                assert type(why).__name__ == "Refused", why
            else:
                raise AssertionError(f"{dialect} takes {mistake}")


def spoilt(dialect, text):
    if dialect == "openai":
        body = json.loads(text)
        body["messages"][1]["tool_calls"][0]["extra_content"] = {}
        return [json.dumps(body)]
    if dialect == "responses":
        foreign, moved, alone = json.loads(text), json.loads(text), json.loads(text)
        foreign["input"][1]["encrypted_content"] += "x"
        moved["input"].insert(3, moved["input"].pop(1))
        del alone["input"][2:4]
        return [json.dumps(foreign), json.dumps(moved), json.dumps(alone)]
    if dialect == "cohere":
        body = json.loads(text)
        body["messages"][2]["tool_call_id"] = "x"
        return [json.dumps(body)]
    if dialect == "ollama":
        body = json.loads(text)
        body["messages"][1]["tool_calls"][0]["function"]["arguments"] = "{}"
        return [json.dumps(body)]
    if dialect == "anthropic":
        body, without = json.loads(text), json.loads(text)
        body["messages"][1]["content"][0]["signature"] += "x"
        del without["messages"][1]["content"][0]
        return [json.dumps(body), json.dumps(without)]
    if dialect == "bedrock":
        body, without = json.loads(text), json.loads(text)
        body["messages"][1]["content"][0]["reasoningContent"]["reasoningText"]["signature"] += "x"
        del without["messages"][1]["content"][0]
        return [json.dumps(body), json.dumps(without)]
    body, moved, dummy = json.loads(text), json.loads(text), json.loads(text)
    calls = moved["contents"][1]["parts"]
    calls[2]["thoughtSignature"] = calls[1].pop("thoughtSignature")
    del body["contents"][1]["parts"][1]["thoughtSignature"]
    dummy["contents"][1]["parts"][1]["thoughtSignature"] = "skip_thought_signature_validator"
    return [json.dumps(body), json.dumps(moved), json.dumps(dummy)]
