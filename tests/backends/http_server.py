"""A server on loopback that says whatever a test wants, written on sockets alone so that it can also be rude."""

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from strop.backends.http import Server

MODEL = "tiny"


class Script:
    """What the server does: a list of models, and a function that writes the reply to each request."""

    def __init__(self, reply, models=(MODEL,), key=""):
        self.reply, self.models, self.key = reply, models, key
        self.asked = []
        """Path and body of every request but the list of models."""
        self.busy = self.most = 0
        """Requests under way, and most at once."""
        self.lock = threading.Lock()


@contextmanager
def serving(reply, **options):
    """The script and a `Server` that points to it; pauses are short."""
    script = Script(reply, **options)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 0

        def log_message(self, *_):
            pass

        def do_GET(self):
            if not self.allowed():
                return
            if script.models is None:
                send(self, 404, {"detail": "Not Found"})
            else:
                send(
                    self, 200, {"object": "list", "data": [{"id": name, "max_model_len": 64} for name in script.models]}
                )

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if not self.allowed():
                return
            with script.lock:
                script.asked.append((self.path, body))
                script.busy += 1
                script.most = max(script.most, script.busy)
            try:
                script.reply(self, body)
            except (BrokenPipeError, ConnectionResetError):
                pass
            finally:
                with script.lock:
                    script.busy -= 1

        def allowed(self):
            if script.key and self.headers.get("authorization") != f"Bearer {script.key}":
                send(self, 401, {"error": {"message": "Incorrect API key"}})
                return False
            return True

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield script, Server(url=f"http://127.0.0.1:{http.server_port}", model=MODEL, pause_s=0.01, retries=2)
    finally:
        http.shutdown()
        http.server_close()


def send(handler, status, content, **headers):
    """A whole reply."""
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    handler.send_response(status)
    handler.send_header("content-length", str(len(data)))
    for name, value in {"content-type": "application/json", **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(data)


def stream(handler, events, done=True, close=False):
    """Server-sent events, chunked; `close` cuts the connection instead of ending the stream."""
    handler.send_response(200)
    handler.send_header("content-type", "text/event-stream")
    handler.send_header("transfer-encoding", "chunked")
    handler.end_headers()
    for event in [*events, *(["[DONE]"] if done else [])]:
        line = b"data: " + (event if isinstance(event, str) else json.dumps(event)).encode() + b"\n\n"
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
    if close:
        handler.close_connection = True
        handler.connection.close()
    else:
        handler.wfile.write(b"0\r\n\r\n")


def chunks(tokens, logp=None, text=lambda token: "", finish="stop"):
    """A completion as vLLM streams it: one chunk for each token."""
    for place, token in enumerate(tokens):
        logprobs = None if logp is None else {"tokens": [f"token_id:{token}"], "token_logprobs": [logp[place]]}
        last = finish if place == len(tokens) - 1 else None
        yield {"choices": [{"index": 0, "text": text(token), "token_ids": [token], "logprobs": logprobs,
                            "finish_reason": last}]}  # fmt: skip


def chat_chunks(parts, finish="stop"):
    """A conversation's answer as text: pieces of content, or (field, piece)."""
    yield {"choices": [{"index": 0, "delta": {"role": "assistant"}, "finish_reason": None}]}
    for part in parts:
        name, piece = part if isinstance(part, tuple) else ("content", part)
        yield {"choices": [{"index": 0, "delta": {name: piece}, "finish_reason": None}]}
    yield {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}
    yield {"choices": [], "usage": {"completion_tokens": 3}}


def wait_until(condition, seconds=5.0):
    """Whether it becomes true in time."""
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.01)
    return condition()
