"""The page of a run served to a browser on this machine, made anew when the run has gone on."""

import contextlib
import hashlib
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from pipelines.readers.page.page import page_of
from rft.errors import RFTError
from rft.foreign_text import visible
from rft.runs.folder import Run, open_run

HOST = "127.0.0.1"
# What a browser here calls us; under another name a page of the world's could read ours.
NAMES = (HOST, "localhost")


class Server(ThreadingHTTPServer):
    """Serves the page of one run, and nothing else."""

    daemon_threads = True

    def __init__(self, run: Run, port: int, megabytes: float) -> None:
        """Take a port of this machine, 0 for any that is free."""
        self.run, self.megabytes = run, megabytes
        self.turn, self.made = threading.Lock(), ("", "")
        try:
            super().__init__((HOST, port), Handler)
        except OSError as error:
            raise RFTError(
                f"--port {port}: cannot be had ({error.strerror}); --port 0 takes a free one"
            ) from None

    @property
    def address(self) -> str:
        """Name the page."""
        return f"http://{HOST}:{self.server_address[1]}/"

    def page(self) -> str:
        """Give the page as the run stands, made once for all who ask."""
        with self.turn:
            state = state_of(self.run)
            if self.made[0] != state:
                self.made = (state, page_of(open_run(self.run.path), self.megabytes, state))
            return self.made[1]


def state_of(run: Run) -> str:
    """Stand for what a page tells: it changes whenever a stage is done or begun."""
    told = hashlib.sha256()
    for path in sorted([*run.path.glob("manifest/round-*/*.json"), run.path / "events.jsonl"]):
        try:
            seen = path.stat()
        except OSError:  # put away just now
            continue
        told.update(f"{path.name} {seen.st_mtime_ns} {seen.st_size}\n".encode())
    return told.hexdigest()[:16]


class Handler(BaseHTTPRequestHandler):
    """Answers a browser."""

    server: Server

    def do_GET(self) -> None:
        """Give the page, or what stands for its state."""
        name = self.headers.get("Host", "").partition(":")[0]
        answers: dict[str, Callable[[], str]] = {
            "/": self.server.page,
            "/state": lambda: state_of(self.server.run),
        }
        if name not in NAMES:
            self.give(HTTPStatus.FORBIDDEN, f"This page is at {self.server.address}.\n", "plain")
        elif self.path not in answers:
            self.give(HTTPStatus.NOT_FOUND, "There is one page here: /\n", "plain")
        else:
            try:
                text = answers[self.path]()
            except RFTError as error:
                text = f"{visible(str(error))}\n"
                self.give(HTTPStatus.INTERNAL_SERVER_ERROR, text, "plain")
            else:
                self.give(HTTPStatus.OK, text, "html" if self.path == "/" else "plain")

    def give(self, status: HTTPStatus, text: str, kind: str) -> None:
        """Send a text."""
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"text/{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        with contextlib.suppress(ConnectionError):  # who asked has gone
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep quiet: who looks at a page on their own machine need not be told of it."""
