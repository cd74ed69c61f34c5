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


@contextlib.contextmanager
def serve(replies: list[Any]) -> Iterator[str]:
    """Serve replies, and give the address of the server."""
    asked, lock = iter(range(10**9)), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_args: Any) -> None:
            pass

        def do_GET(self) -> None:
            self.answer({"data": [{"id": "tiny", "max_model_len": 4096}]})

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            usage = {"prompt_tokens": len(asked["prompt"]), "completion_tokens": 1}
            choice = {"index": 0, "text": TEXT, "finish_reason": "stop", "logprobs": None}
            self.answer({"choices": [choice], "usage": usage})

        def answer(self, good: dict[str, Any]) -> None:
            with lock:
                number = next(asked)
            reply = replies[min(number, len(replies) - 1)]
            reply = {} if reply == "good" else reply
            if "raw" in reply:
                self.wfile.write(content(reply["raw"]))
                self.close_connection = True
                return
            body = self.body(reply, good)
            self.send_response(reply.get("status", 200))
            for name, value in reply.get("headers", {}).items():
                self.send_header(name, value)
            length = 10**15 if reply.get("endless") else len(body)
            self.send_header("content-length", str(length))
            self.end_headers()
            if reply.get("cut"):
                body, self.close_connection = body[: len(body) // 2], True
            self.wfile.write(b"" if reply.get("drip") else body)
            while reply.get("endless"):
                self.wfile.write(body)
            for byte in body if reply.get("drip") else b"":
                self.wfile.write(bytes([byte]))
                time.sleep(0.05)

        def body(self, reply: dict[str, Any], good: dict[str, Any]) -> bytes:
            if reply.get("echo"):
                return echo(dict(self.headers))
            if "body" in reply:
                return content(reply["body"])
            if "models" in reply and "data" in good:
                good = {"data": reply["models"]}
            if "choices" in good:
                choice = {**good["choices"][0], **reply.get("choice", {})}
                good = {**good, "choices": [choice], **reply.get("answer", {})}
            return json.dumps(good).encode()

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_args: Any) -> None:
            pass  # whoever has heard enough hangs up

    server = Quiet(("127.0.0.1", 0), Handler)
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
