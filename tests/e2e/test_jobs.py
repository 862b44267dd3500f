"""Providers that want a signature, take a job and are asked for it, and tell usage in a trailer: plugins/tiny.c."""
import hashlib
import hmac
import threading

from harness import Upstream, Weir, config, wait_until
from test_doors import tiny

KEY = "id-7:the-secret"


def finished(conn, text="done", trailer="X-Tokens: 7\r\n"):
    line = '{"out":"%s"}\n' % text
    conn.send("HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n"
              "%x\r\n%s\r\n0\r\n%s\r\n" % (len(line), line, trailer))


def not_yet(conn, job="j1"):
    conn.respond(202, '{"state":"running"}', {"x-job": job, "content-type": "application/json"})


def serve(*steps):
    """Answers the n-th request of all connections with the n-th step, the last one again and again."""
    lock, n = threading.Lock(), [0]

    def handler(conn):
        while True:
            request = conn.read_request()
            if request is None:
                return
            with lock:
                step = steps[min(n[0], len(steps) - 1)]
                n[0] += 1
            step(conn)
    return handler


def with_jobs(up, **more):
    c = config(None, plugins=[tiny()], routes=[{"match": {"path": "/*"}, "open": True, "pipeline": []}])
    c["providers"]["jobs"] = {"dialect": "tiny", "base_url": up.url + "/base/", "key": KEY, **more}
    c["models"] = {"m": {"targets": ["jobs/big"]}}
    return c


def expected_mac(request, up, body):
    text = request.method + up.url + request.path + body
    return hmac.new(b"T1the-secret", text.encode(), hashlib.sha256).hexdigest()


def test_a_trailer_is_read():
    with Upstream(serve(finished)) as up, Weir(with_jobs(up)) as weir:
        answer = weir.post("/gen/m:run", {"in": "hi"})
        assert answer.json == {"out": "done", "tokens": 7}, answer
    with Upstream(serve(lambda conn: finished(conn, trailer=""))) as up, Weir(with_jobs(up)) as weir:
        assert weir.post("/gen/m:run", {"in": "hi"}).headers["x-weir-error"] == "upstream_broken"


def test_a_request_is_signed():
    with Upstream(serve(finished)) as up, Weir(with_jobs(up)) as weir:
        for path, body, sent in (("/gen/m:run", {"in": "hi"}, '{"in": "hi"}'),
                                 ("/v1/chat/completions", {"model": "m", "messages": [{"role": "user", "content": "hi"}]}, '{"in":"hi"}')):
            assert weir.post(path, body).status == 200
            request = up.requests[-1]
            assert request.text == sent and request.path == "/base/gen/big:run?tenant=7", request
            assert request.headers["x-tiny-mac"] == expected_mac(request, up, sent), request
            assert request.headers["x-tiny-key"] == "id-7" and "authorization" not in request.headers
            assert "the-secret" not in repr(request)


def test_a_key_that_cannot_sign():
    with Upstream(serve(finished)) as up, Weir(with_jobs(up, key="only-one-part", auth="sigv4")) as weir:
        answer = weir.post("/gen/m:run", {"in": "hi"})
        assert answer.status == 503 and "sign" in answer.text and not up.requests, answer


def test_another_auth_takes_the_signatures_place():
    with Upstream(serve(finished)) as up, Weir(with_jobs(up, auth="bearer")) as weir:
        assert weir.post("/gen/m:run", {"in": "hi"}).status == 200
        assert up.requests[0].headers["authorization"] == "Bearer " + KEY and "x-tiny-mac" not in up.requests[0].headers


def test_a_job_is_asked_for():
    with Upstream(serve(not_yet, not_yet, lambda c: not_yet(c, "j2"), finished)) as up, Weir(with_jobs(up)) as weir:
        answer = weir.post("/gen/m:run", {"in": "hi"})
        assert answer.json == {"out": "done", "tokens": 7} and answer.headers["x-weir-attempts"] == "1", answer
        assert [r.line.rsplit(" ", 1)[0] for r in up.requests] == \
            ["POST /base/gen/big:run?tenant=7", "GET /base/jobs/j1", "GET /base/jobs/j1", "GET /base/jobs/j2"]
        for request in up.requests[1:]:
            assert request.body == b"" and "content-type" not in request.headers, request
            assert request.headers["x-tiny-mac"] == expected_mac(request, up, ""), request
            assert request.header_list.count(("x-tiny-key", "id-7")) == 1


def test_a_job_that_fails():
    with Upstream(serve(not_yet, lambda c: c.respond(500, "{}"))) as up, Weir(with_jobs(up)) as weir:
        assert weir.post("/gen/m:run", {"in": "hi"}).status == 500  # as the provider said it
        assert len(up.requests) == 2


def test_a_job_is_asked_for_a_hundred_times():
    with Upstream(serve(not_yet)) as up, Weir(with_jobs(up)) as weir:
        answer = weir.post("/gen/m:run", {"in": "hi"})
        assert answer.headers["x-weir-error"] == "upstream_broken" and len(up.requests) == 101, (answer, len(up.requests))


def test_a_job_ends_with_the_total_timeout():
    with Upstream(serve(not_yet)) as up, Weir({**with_jobs(up), "timeouts": {"total": "300ms"}}) as weir:
        assert weir.post("/gen/m:run", {"in": "hi"}).status == 504
        assert 2 <= len(up.requests) < 20


def test_a_client_leaves_while_a_job_runs():
    with Upstream(serve(not_yet)) as up, Weir(with_jobs(up)) as weir:
        with weir.client() as c:
            c.request("POST", "/gen/m:run", {"in": "hi"})
            up.wait_requests(3)
        wait_until(lambda: all(d["requests_live"] == 0 for d in weir.details()), "the request to be over")
