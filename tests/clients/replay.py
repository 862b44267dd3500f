"""A small upstream that replays recorded provider exchanges: POST …, model "N" answers with the N-th recording it was given.

The model is read from the body, or from the path of Gemini's dialect. A streamed recording is sent in pieces that cut
events and characters anywhere. Python's standard library only.
"""
import http.server
import json
import re
import socketserver
import threading

SKIPPED_HEADERS = {"content-length", "content-encoding", "transfer-encoding", "connection", "set-cookie"}


def is_lines(recording):
    return recording.get("dialect") == "ollama" and '"done":false' in recording["response_body"]


def is_stream(recording):
    return is_lines(recording) or recording["response_body"].lstrip()[:1] not in ("{", "[", "<")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"{}")
        in_path = re.search(r"/models/(\d+):", self.path)
        recording = self.server.recordings.get(int(in_path.group(1) if in_path else body.get("model", -1)))
        if recording is None:
            self.send_error(404)
            return
        self.answer(recording)

    def answer(self, recording):
        data = recording["response_body"].encode()
        self.send_response(recording["status"])
        kind = "application/x-ndjson" if is_lines(recording) else "text/event-stream" if is_stream(recording) else "application/json"
        self.send_header("content-type", kind)
        for name, value in recording["response_headers"]:
            if name.lower() in ("retry-after", "x-request-id", "request-id"):
                self.send_header(name, value)
        if is_stream(recording):
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for at in range(0, len(data), 997):
                piece = data[at:at + 997]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64


class Replay:
    """with Replay(list of recordings) as r: r.url; recording i answers to the model str(i)."""

    def __init__(self, recordings):
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.recordings = dict(enumerate(recordings))
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *args):
        self.server.shutdown()
        self.server.server_close()
