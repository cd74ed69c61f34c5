"""A server on loopback that answers with the replies of a case, one a request, the last for ever.

A reply is `good`, the answer of a server of the bundled model (served as `tiny`, no statistics), or
a mapping. Of the mapping, `status` (200), `headers` and `body` (a text, or as `content` of cases.py
makes one) are an answer; `choice` changes the choice of a good completion and `answer` the whole of
it, `models` the list of models. `echo: true` puts what was asked of us, headers and all, into the
body as an error, the key in three spellings. `raw` is sent as it is in place of HTTP, `cut: true`
hangs up half-way through the body, `endless: true` sends the body again and again, and `drip: true`
a byte at a time.
"""

import base64
import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote

from tests.faults.cases import content

TEXT = "So the answer is $\\boxed{7}$."


class Replies(ThreadingHTTPServer):
    """The replies of a case, one after the other."""

    daemon_threads = True

    def __init__(self, replies: list[Any]):
        super().__init__(("127.0.0.1", 0), Handler)
        self.replies, self.lock = list(replies), threading.Lock()

    def handle_error(self, *_args: Any) -> None:
        """Say nothing: whoever has heard enough hangs up."""

    def next(self) -> dict[str, Any]:
        """Give the reply to the next request."""
        with self.lock:
            reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        return {} if reply == "good" else reply


class Handler(BaseHTTPRequestHandler):
    """One request, and the reply to it."""

    protocol_version = "HTTP/1.1"
    server: Replies

    def log_message(self, *_args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """List the models."""
        reply = self.server.next()
        listed = reply.get("models", [{"id": "tiny", "max_model_len": 4096}])
        self.answer(reply, {"data": listed})

    def do_POST(self) -> None:
        """Complete a prompt."""
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        reply = self.server.next()
        usage = {"prompt_tokens": len(asked["prompt"]), "completion_tokens": 1}
        choice = {"index": 0, "text": TEXT, "finish_reason": "stop", "logprobs": None}
        choices = [{**choice, **reply.get("choice", {})}]
        self.answer(reply, {"choices": choices, "usage": usage, **reply.get("answer", {})})

    def answer(self, reply: dict[str, Any], good: dict[str, Any]) -> None:
        """Send what a reply says, or a good answer."""
        if "raw" in reply:
            self.wfile.write(content(reply["raw"]))
            self.close_connection = True
            return
        body = json.dumps(good).encode()
        if reply.get("echo"):
            body = echo(dict(self.headers))
        elif "body" in reply:
            body = content(reply["body"])
        self.send_response(reply.get("status", 200))
        for name, value in reply.get("headers", {}).items():
            self.send_header(name, value)
        self.send_header("content-length", str(10**15 if reply.get("endless") else len(body)))
        self.end_headers()
        self.send(reply, body)

    def send(self, reply: dict[str, Any], body: bytes) -> None:
        """Send a body whole, in part, without end, or a byte at a time."""
        if reply.get("drip"):
            for byte in body:
                self.wfile.write(bytes([byte]))
                time.sleep(0.05)
            return
        if reply.get("cut"):
            body, self.close_connection = body[: len(body) // 2], True
        self.wfile.write(body)
        while reply.get("endless"):
            self.wfile.write(body)


@contextlib.contextmanager
def serve(replies: list[Any]) -> Iterator[str]:
    """Serve replies, and give the address of the server."""
    server = Replies(replies)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()


def echo(headers: dict[str, str]) -> bytes:
    """Repeat the headers of a request as an error would, and the key in other spellings."""
    key = headers.get("authorization", headers.get("Authorization", "")).removeprefix("Bearer ")
    basic = base64.b64encode(f"user:{key}".encode()).decode()
    words = f"{key} {quote(key, safe='')} {basic} {key[:12]} {key[:5]}*****{key[-4:]} {headers}"
    return json.dumps({"error": {"message": words}}).encode()
