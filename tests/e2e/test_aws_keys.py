"""Callers that sign their requests (AWS Signature Version 4): who is let in, and what a signature covers. The signer here is a third one,
beside weir's own and Amazon's."""
import datetime
import hashlib
import hmac
import json
import urllib.parse

from harness import Upstream, Weir, config, openai_answer, wait_until

ID, SECRET = "AKIDOFWEIR", "a/secret+that-signs/requests"
BODY = {"messages": [{"role": "user", "content": [{"text": "hi"}]}]}
PATH = "/bedrock/model/up%2Fm%3A1/converse"


def guarded(up):
    c = config(up, entry=["log", "auth"])
    c["routes"] = [{"match": {"path": "/*"}, "pipeline": []}]
    c["models"] = {"m": {"targets": ["up/m"]}}
    c["keys"] = [{"name": "signer", "team": "s", "aws": {"id": ID, "secret": "env:WEIR_TEST_AWS_SECRET"}, "models": ["up/m*"]},
                 {"name": "bearer", "hash": "sha256:" + hashlib.sha256(b"a-bearer-key").hexdigest()}]
    return c


def weir_for(up):
    return Weir(guarded(up), env={"WEIR_TEST_AWS_SECRET": SECRET})


def mac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def signed(weir, path=PATH, body=BODY, secret=SECRET, key_id=ID, minutes=0, names=("content-type", "host", "x-amz-date"), more=None):
    """Headers of a signed POST, and its body's bytes."""
    data = json.dumps(body).encode()
    now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=minutes)
    date = now.strftime("%Y%m%dT%H%M%SZ")
    headers = {"content-type": "application/json", "host": "weir.test", "x-amz-date": date, **(more or {})}
    lines = "".join(f"{n}:{' '.join(headers[n].split())}\n" for n in sorted(names))
    canonical = "\n".join(["POST", urllib.parse.quote(path, safe="/~"), "", lines, ";".join(sorted(names)), hashlib.sha256(data).hexdigest()])
    scope = f"{date[:8]}/eu-west-1/bedrock/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", date, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + secret).encode()
    for part in scope.split("/"):
        key = mac(key, part)
    headers["authorization"] = (f"AWS4-HMAC-SHA256 Credential={key_id}/{scope}, SignedHeaders={';'.join(sorted(names))}, "
                                f"Signature={mac(key, text).hex()}")
    return headers, data


def outcome(answer):
    return answer.status, answer.headers.get("x-amzn-errortype"), answer.headers.get("x-weir-error")


REFUSED = (403, "InvalidSignatureException", "invalid_signature")


def test_a_signed_request_passes_and_its_signature_stays_here():
    with Upstream(openai_answer("ok")) as up, weir_for(up) as weir:
        for more in ({}, {"x-amz-security-token": "t"}, {"x-amz-meta": "  two   blanks "}):
            headers, data = signed(weir, names=("content-type", "host", "x-amz-date", *more), more=more)
            answer = weir.post(PATH, data, headers)
            assert answer.status == 200, answer
            assert answer.json["output"]["message"]["content"] == [{"text": "ok"}], answer.json
        for request in up.requests:
            assert ID not in str(request.header_list) and request.headers["authorization"] == "Bearer upstream-key"
        wait_until(lambda: weir.stdout().count("{\"id\"") >= 3 or weir.stdout().count("\"principal\":\"signer\"") >= 3, "three records")
        assert SECRET not in weir.stdout() + weir.log()


def test_what_was_changed_is_refused():
    with Upstream(openai_answer("ok")) as up, weir_for(up) as weir:
        headers, data = signed(weir)
        assert outcome(weir.post(PATH, data.replace(b"hi", b"ho"), headers)) == REFUSED
        assert outcome(weir.post(PATH.replace("m%3A1", "m%3A2"), data, headers)) == REFUSED
        assert outcome(weir.post(PATH.replace("%3A", ":"), data, headers)) == REFUSED
        assert outcome(weir.post(PATH + "-stream", data, headers)) == REFUSED
        assert outcome(weir.post(PATH, data, {**headers, "content-type": "text/plain"})) == REFUSED
        assert outcome(weir.post(PATH, data, {**headers, "host": "elsewhere"})) == REFUSED
        signature = headers["authorization"]
        flipped = signature[:-1] + ("0" if signature[-1] != "0" else "1")
        assert outcome(weir.post(PATH, data, {**headers, "authorization": flipped})) == REFUSED
        hashed = {**headers, "x-amz-content-sha256": hashlib.sha256(b"other").hexdigest()}
        assert outcome(weir.post(PATH, data, hashed)) == REFUSED
        headers, data = signed(weir, secret=SECRET + "x")
        assert outcome(weir.post(PATH, data, headers)) == REFUSED
        assert not up.requests


def test_time_form_and_id_are_looked_at_before_the_body():
    with Upstream(openai_answer("ok")) as up, weir_for(up) as weir:
        for minutes, want in ((4, 200), (-4, 200), (6, 403), (-6, 403), (24 * 60, 403)):
            headers, data = signed(weir, minutes=minutes)
            assert weir.post(PATH, data, headers).status == want, minutes
        headers, data = signed(weir, key_id="AKIDOFNOBODY")
        assert outcome(weir.post(PATH, data, headers)) == (403, "UnrecognizedClientException", "invalid_key")
        for names in (("content-type", "host"), ("content-type", "x-amz-date")):
            headers, data = signed(weir, names=names)
            assert outcome(weir.post(PATH, data, headers)) == REFUSED, names
        headers, data = signed(weir)
        del headers["x-amz-date"]
        assert outcome(weir.post(PATH, data, headers)) == REFUSED
        for broken in ("Credential=", "Credential=a/b", "Credential=a/b/c/d/aws4_request", "x"):
            assert weir.post(PATH, data, {**headers, "authorization": "AWS4-HMAC-SHA256 " + broken}).status in (401, 403), broken


def test_rights_and_bearer_keys_are_as_ever():
    with Upstream(openai_answer("ok")) as up, weir_for(up) as weir:
        path = "/bedrock/model/up%2Fother/converse"
        headers, data = signed(weir, path=path)
        assert outcome(weir.post(path, data, headers)) == (403, "AccessDeniedException", "model_not_allowed")
        assert weir.post(path, data, {"authorization": "Bearer a-bearer-key"}).status == 200
        assert outcome(weir.post(path, data, {})) == (401, "UnrecognizedClientException", "missing_key")
        assert outcome(weir.post(path, data, {"authorization": "Bearer " + SECRET})) == (401, "UnrecognizedClientException", "invalid_key")
