"""A chat server on loopback in the place of one with a model that judges."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

RIGHT, WRONG = "Verdict: RIGHT", "Verdict: WRONG"


class Server:
    """A server whose replies a function of (body, number of the call) makes."""

    def __init__(self) -> None:
        self.calls: list[dict] = []
        self.keys: list[str | None] = []
        self.behave: Callable[[dict, int], str | tuple[int, object]] = lambda *_: RIGHT
        ours = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_args):
                pass

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                ours.calls.append(body)
                ours.keys.append(self.headers["authorization"])
                said = ours.behave(body, len(ours.calls))
                if isinstance(said, str):
                    message = {"role": "assistant", "content": said}
                    said = 200, {"choices": [{"message": message, "finish_reason": "stop"}]}
                raw = json.dumps(said[1]).encode()
                self.send_response(said[0])
                self.send_header("content-length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        """End it."""
        self.http.shutdown()
        self.http.server_close()
