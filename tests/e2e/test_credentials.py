"""Credentials that plugins get: one token per machine, refreshed ahead, the old one used until it ends; what goes over the wire."""
import base64
import json
import os
import subprocess
import tempfile
import threading
import urllib.parse

from harness import Upstream, Weir, compile_plugin, openai_answer, wait_until

SECRET = "s3cr3t/+& planted"


class TokenServer:
    """Hands out token-1, token-2 …; `answers` overrides them in turn."""

    def __init__(self, expires_in=3600):
        self.forms, self.heads, self.answers, self.expires_in, self.gate = [], [], [], expires_in, None

    def __call__(self, conn):
        while (request := conn.read_request()):
            self.forms.append(dict(urllib.parse.parse_qsl(request.text)))
            self.heads.append(request.headers)
            if self.gate:
                assert self.gate.wait(10)
            n = len(self.forms)
            status, body = self.answers.pop(0) if self.answers else (200, {"access_token": f"token-{n}", "expires_in": self.expires_in})
            conn.respond(status, body)


def configuration(up, tokens, auth=None, **more):
    auth = auth or {"oauth2": {"token_url": tokens.url + "/token", "client_id": "weir", "client_secret": "env:PLANTED", "scope": "a b"}}
    return {"providers": {"up": {"dialect": "openai", "base_url": up.url + "/v1", "auth": auth}}, "models": {"m": {"targets": ["up/m"]}},
            "routes": [{"match": {"path": "/v1/*"}, "open": True, "pipeline": []}], **more}


def test_one_token_for_all_workers():
    server = TokenServer()
    server.gate = threading.Event()
    with Upstream(server) as tokens, Upstream(openai_answer("hi")) as up:
        with Weir(configuration(up, tokens), env={"PLANTED": SECRET}) as weir:
            answers = []
            threads = [threading.Thread(target=lambda: answers.append(weir.chat())) for _ in range(8)]
            for t in threads:
                t.start()
            wait_until(lambda: sum(len(d["calls"]) for d in weir.details()) == 8, "eight requests to wait for the token")
            assert any(c.get("waits_for", {}).get("what") == "the provider's access token" for d in weir.details() for c in d["calls"])
            server.gate.set()
            for t in threads:
                t.join(10)
            assert [a.status for a in answers] == [200] * 8, answers
            assert len(server.forms) == 1, server.forms
            assert {r.headers["authorization"] for r in up.requests} == {"Bearer token-1"}
            assert server.forms[0] == {"grant_type": "client_credentials", "scope": "a b", "client_id": "weir", "client_secret": SECRET}
            assert weir.reload()[0]
            assert weir.chat().status == 200 and len(server.forms) == 1, "a new generation goes on with the token"
            log = weir.log()
            assert SECRET not in log and "token-1" not in log and "credentials.obtained" in log


def test_secret_in_a_header():
    server = TokenServer()
    with Upstream(server) as tokens, Upstream(openai_answer("hi")) as up:
        auth = {"oauth2": {"token_url": tokens.url + "/t", "client_id": "i d", "client_secret": SECRET, "send_as": "basic",
                           "params": ["resource=https://x/y"]}}
        with Weir(configuration(up, tokens, auth), workers=1) as weir:
            assert weir.chat().status == 200
        sent = base64.b64decode(server.heads[0]["authorization"].removeprefix("Basic ")).decode()
        assert [urllib.parse.unquote(p) for p in sent.split(":")] == ["i d", SECRET]
        assert server.forms[0] == {"grant_type": "client_credentials", "resource": "https://x/y"}


def test_refreshed_ahead_and_the_old_one_serves_meanwhile():
    server = TokenServer()
    server.answers = [(200, {"access_token": "first", "expires_in": "4"}), (503, {"error": "busy"})]
    with Upstream(server) as tokens, Upstream(openai_answer("hi")) as up:
        with Weir(configuration(up, tokens), env={"PLANTED": SECRET}, workers=1) as weir:
            def next_token_was_asked_for():
                assert weir.chat().status == 200
                return len(server.forms) > 1
            wait_until(next_token_was_asked_for, "a token to be asked for before the first one ends")
            assert weir.chat().status == 200
            assert up.requests[-1].headers["authorization"] == "Bearer first", "it was refused, so the old one serves"

            def the_new_one_is_used():
                assert weir.chat().status == 200
                return up.requests[-1].headers["authorization"] == "Bearer token-3"
            wait_until(the_new_one_is_used, "the next token")


def test_no_token_no_call_but_the_next_candidate():
    server = TokenServer()
    server.answers = [(401, {"error": "invalid_client", "error_description": "who are you"})] * 50
    with Upstream(server) as tokens, Upstream(openai_answer("other")) as up:
        c = configuration(up, tokens)
        c["providers"]["other"] = {"dialect": "openai", "base_url": up.url + "/v1", "key": "k"}
        c["models"]["both"] = {"targets": ["up/m", "other/m"]}
        with Weir(c, env={"PLANTED": SECRET}, workers=1) as weir:
            answer = weir.chat()
            assert answer.status == 502 and "answered 401: invalid_client, who are you" in answer.text, answer
            assert not up.requests
            assert weir.chat(model="both").status == 200 and up.requests[0].headers["authorization"] == "Bearer k"
            assert SECRET not in weir.log()


def openssl(*args, data=b""):
    return subprocess.run(["openssl", *args], input=data, capture_output=True, check=True).stdout


def unbase64url(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_google_signs_with_the_key_of_the_service_account():
    server = TokenServer()
    pem = openssl("genrsa", "2048").decode()
    with Upstream(server) as tokens, Upstream(openai_answer("hi")) as up, tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "key.json")
        with open(path, "w") as f:
            json.dump({"type": "service_account", "client_email": "w@p.iam", "private_key": pem, "private_key_id": "k1",
                       "token_uri": tokens.url + "/token"}, f)
        for key in ("file:" + path, path, "env:GOOGLE_APPLICATION_CREDENTIALS"):
            with Weir(configuration(up, tokens, {"google": {"key": key}}), workers=1, env={"GOOGLE_APPLICATION_CREDENTIALS": path}) as weir:
                answer = weir.chat()
                assert answer.status == 200, answer
                assert "PRIVATE KEY" not in weir.log()
        form = server.forms[0]
        assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
        header, claims, signature = form["assertion"].split(".")
        assert json.loads(unbase64url(header)) == {"alg": "RS256", "typ": "JWT", "kid": "k1"}
        said = json.loads(unbase64url(claims))
        assert said["iss"] == "w@p.iam" and said["aud"] == tokens.url + "/token" and said["exp"] - said["iat"] == 3600, said
        assert said["scope"] == "https://www.googleapis.com/auth/cloud-platform"
        for name, content in (("pub", openssl("rsa", "-pubout", data=pem.encode())), ("sig", unbase64url(signature))):
            with open(os.path.join(folder, name), "wb") as f:
                f.write(content)
        openssl("dgst", "-sha256", "-verify", os.path.join(folder, "pub"), "-signature", os.path.join(folder, "sig"),
                data=f"{header}.{claims}".encode())
        assert len(server.forms) == 3 and up.requests[-1].headers["authorization"] == "Bearer token-3"


def test_google_without_a_key_asks_the_machine():
    server = TokenServer()

    def files(conn):
        while conn.read_request():
            conn.respond(200, {"object": "list", "data": []})
    with Upstream(server) as tokens, Upstream(files) as up:
        c = configuration(up, tokens, {"google": {"metadata_url": tokens.url + "/computeMetadata/v1/token"}})
        c["routes"].insert(0, {"match": {"path": "/v1/files*"}, "raw": "up", "open": True, "pipeline": []})
        with Weir(c, workers=1) as weir:
            listed = weir.get("/v1/files")
            assert listed.status == 200, listed  # what is relayed waits for the token too
            assert weir.post("/v1/files", {"a": 1}).status == 200 and len(up.requests) == 2
        assert server.heads[0]["metadata-flavor"] == "Google" and up.requests[0].headers["authorization"] == "Bearer token-1"


def test_a_key_that_cannot_sign():
    server = TokenServer()
    with Upstream(server) as tokens, Upstream(openai_answer("hi")) as up:
        with Weir(configuration(up, tokens, {"google": {"key": '{"client_email":"a","private_key":"none"}'}}), workers=1) as weir:
            answer = weir.chat()
            assert answer.status == 502 and "no service account's" in answer.text, answer
        assert not server.forms


# ---- plugins of others ----

PLUGIN = """
#include <weir/credentials.h>
#include <stdlib.h>

struct own { const struct weir_host *host; struct weir_call *call; struct weir_instance *inst; };
static int create(const struct weir_host *host, struct weir_instance *inst, const void *config, void **self)
{
    static struct own own;
    (void)config;
    own = (struct own){ host, NULL, inst };
    *self = &own;
    return 0;
}
@OBTAIN@
static const struct weir_credentials ops = { .size = sizeof ops, .create = create, @OPS@ };
WEIR_PLUGIN = { WEIR_HEAD(WEIR_KIND_CREDENTIALS), .name = "@NAME@", .version = "1", .summary = "A test.", .credentials = &ops };
WEIR_NOTE(WEIR_KIND_CREDENTIALS);
"""
OBTAIN = "static int obtain(void *self, struct weir_call *call)\n{\n    struct own *o = self;\n    %s\n}\n"


def plugin(name, body, ops=".obtain = obtain"):
    source = PLUGIN.replace("@NAME@", name).replace("@OBTAIN@", OBTAIN % body if body else "").replace("@OPS@", ops)
    return compile_plugin(name, source)


def with_plugin(up, name, body, **more):
    return {**configuration(up, up, {name: None}, **more), "plugins": [plugin(name, body)]}


AT_ONCE = """struct weir_token t = { .size = sizeof t, .value = WEIR_LIT("fixed"), .expires_s = 60 };
    o->host->token(call, &t);
    return 0;"""
BROKEN_LINE = AT_ONCE.replace('"fixed"', '"two\\nlines"')
LATER = """(void)o; (void)call;
    return 0;"""
REFUSES = """(void)o; (void)call;
    return -1;"""
CRASHES = """(void)call;
    return *(volatile int *)(o->host ? (void *)8 : self);"""


def test_a_plugin_of_somebody_else():
    with Upstream(openai_answer("hi")) as up:
        with Weir(with_plugin(up, "fixed", AT_ONCE), workers=1) as weir:
            assert weir.chat().status == 200 and up.requests[0].headers["authorization"] == "Bearer fixed"
            assert any(p["name"] == "fixed" and p["kind"] == "credentials" for p in weir.details()[0]["plugins"])
        for name, body, word in (("lines", BROKEN_LINE, "no token that a header could carry"), ("refuses", REFUSES, "could not be asked for")):
            with Weir(with_plugin(up, name, body), workers=1) as weir:
                answer = weir.chat()
                assert answer.status == 502 and word in answer.text, answer
        assert len(up.requests) == 1


def test_a_client_that_leaves_while_the_token_is_awaited():
    with Upstream(openai_answer("hi")) as up:
        with Weir(with_plugin(up, "later", LATER), workers=1, clean=False) as weir:
            with weir.client() as c:
                c.request("POST", "/v1/chat/completions", body={"model": "m", "messages": [{"role": "user", "content": "hi"}]})
                wait_until(lambda: weir.details()[0]["calls"], "the request to wait")
            weir.assert_clean(arenas=2)  # the plugin may still answer
        assert not up.requests


def test_a_plugin_that_crashes_is_named():
    with Upstream(openai_answer("hi")) as up:
        c = with_plugin(up, "crashes", CRASHES)
        c["providers"]["other"] = {"dialect": "openai", "base_url": up.url + "/v1", "key": "k"}
        with Weir(c, workers=1, clean=False) as weir:
            try:
                weir.chat()
            except (EOFError, OSError):
                pass
            line = weir.wait_log("event=worker.crash")
            assert "plugin=crashes" in line and "hook=obtain" in line, line
            wait_until(lambda: weir.worker_pids(), "a new worker")
            assert weir.chat(model="other/m").status == 200


def test_a_plugin_without_its_ops_is_refused():
    path = plugin("lacks", None, ".destroy = free")
    with Upstream(openai_answer("hi")) as up:
        weir = Weir({**configuration(up, up, {"lacks": {}}), "plugins": [path]}, workers=1)
        try:
            assert weir.start(wants_exit=True) != 0
            assert "lacks the op 'obtain'" in weir.log(), weir.log()
        finally:
            weir.kill()


def test_a_name_that_is_no_plugin():
    with Upstream(openai_answer("hi")) as up:
        weir = Weir(configuration(up, up, {"oauth": {"token_url": "x"}}), workers=1)
        try:
            assert weir.start(wants_exit=True) != 0
            assert 'no way to authenticate called "oauth"; did you mean "oauth2"?' in weir.log(), weir.log()
        finally:
            weir.kill()
