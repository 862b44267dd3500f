"""A small Bedrock: checks who calls (a signature made again by botocore, or a bearer key) and replays recorded Converse exchanges.

Model "N" answers with the N-th recording, "status-N-Type" with an error of that type, any other with a text. Runs in the
venv of the clients, because it needs botocore.
"""
import base64
import http.server
import json
import re
import socketserver
import threading
import urllib.parse

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

KEYS = {"AKIDEXAMPLE": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "ASIAEXAMPLE": "a/secret+of+temporary/credentials"}
TOKENS = {"ASIAEXAMPLE": "a/session+token=="}
BEARER, REGION = "bedrock-api-key-for-tests", "eu-west-1"
TEXT = {"output": {"message": {"role": "assistant", "content": [{"text": "Signed and seen."}]}}, "stopReason": "end_turn",
        "usage": {"inputTokens": 4, "outputTokens": 3, "totalTokens": 7}, "metrics": {"latencyMs": 5}}


def signature(method, url, headers, body, key_id, names):
    """What botocore would sign this request with."""
    request = AWSRequest(method=method, url=url, data=body, headers={n: headers[n] for n in names})
    request.context["timestamp"] = headers["x-amz-date"]
    auth = SigV4Auth(Credentials(key_id, KEYS[key_id], TOKENS.get(key_id)), "bedrock", REGION)
    return auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def refuse(self, status, kind, message):
        data = json.dumps({"message": message}).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("x-amzn-errortype", kind + ":http://internal.amazon.com/coral/com.amazon.bedrock/")
        self.send_header("x-amzn-requestid", "00000000-1111-2222-3333-444444444444")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def why_not(self, body):
        value = self.headers.get("authorization", "")
        if value == "Bearer " + BEARER:
            return None
        parts = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=(\w+)/(\d{8})/([\w-]+)/bedrock/aws4_request, SignedHeaders=([\w;-]+), "
                             r"Signature=([0-9a-f]{64})", value)
        if not parts or parts[1] not in KEYS or parts[3] != REGION or self.headers["x-amz-date"][:8] != parts[2]:
            return f"no signature of ours: {value!r}"
        names = parts[4].split(";")
        if not {"host", "x-amz-date"} <= set(names) or self.headers.get("x-amz-security-token") != TOKENS.get(parts[1]):
            return f"signs {names}"
        want = signature("POST", f"http://{self.headers['host']}{self.path}", self.headers, body, parts[1], names)
        return None if want == parts[5] else f"the signature is {parts[5]}, botocore's is {want}"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path == "/api/embed":  # the neighbour that makes vectors
            inputs = json.loads(body)["input"]
            n = len(inputs) if isinstance(inputs, list) else 1
            self.answer(json.dumps({"model": "e", "embeddings": [[0.5, -1.0]] * n, "prompt_eval_count": 7}).encode(), "application/json")
            return
        model = re.fullmatch(r"/model/([^/]+)/converse(-stream)?", self.path)
        why = self.why_not(body)
        self.server.seen.append((self.path, json.loads(body)))
        if why:
            self.refuse(403, "InvalidSignatureException", why)
            return
        name = urllib.parse.unquote(model[1])
        error = re.fullmatch(r"status-(\d+)-(\w+)", name)
        if error:
            self.refuse(int(error[1]), error[2], f"This is {error[2]}.")
        elif name.isdigit():
            self.replay(self.server.recordings[int(name)])
        else:
            self.answer(json.dumps(TEXT).encode(), "application/json")

    def replay(self, recording):
        data = recording["response_body"]
        is_binary = recording["response_body_encoding"] == "base64"
        self.answer(base64.b64decode(data) if is_binary else data.encode(),
                    "application/vnd.amazon.eventstream" if is_binary else "application/json")

    def answer(self, data, kind):
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("x-amzn-requestid", "00000000-1111-2222-3333-555555555555")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for at in range(0, len(data), 61): # messages are cut anywhere
            piece = data[at:at + 61]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")


class Upstream(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    allow_reuse_address = True


def start(port, recordings):
    server = Upstream(("127.0.0.1", port), Handler)
    server.recordings, server.seen = recordings, []
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server
