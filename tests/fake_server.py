"""A scripted HTTP server in the place of one with a model, and the server engine on it.

A test file that imports this is skipped where the client library is missing.
"""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import numpy as np
import pytest

from rft.bundled import bundled
from rft.engines import Fixed, Request, Sampling
from rft.engines.server import Server
from rft.prompt import load_tokenizer, prompter
from rft.recipe import EngineSettings, Prompt
from rft.runs.models import ModelRef
from rft.seeds import derive

pytest.importorskip("openai")
TINY = bundled("data") / "tiny"
TOKENIZER = load_tokenizer(TINY)
END = TOKENIZER.convert_tokens_to_ids("<|im_end|>")
CUT = "cut the connection in the middle of the body"
TRICKLE = "send a byte now and then"
KEY = "a-secret-key"


class Fake:
    """A server with a fake model; `behave(call)` may answer in its place: (status, body, headers).

    The fake model writes its seed: so a rollout tells which request it answers.
    """

    def __init__(self, behave=lambda _: None, models=None, look=None):
        self.behave, self.look = behave, look
        self.models = models or [{"id": "tiny", "max_model_len": 4096}]
        self.lock, self.open, self.most, self.calls = threading.Lock(), 0, 0, []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_args):
                pass

            def do_GET(self):
                self.answer(*((fake.look and fake.look()) or (200, {"data": fake.models}, {})))

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                self.answer(*fake.complete(body, dict(self.headers)))

            def answer(self, status, body, headers):
                raw = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in headers.items():
                    if value not in (CUT, TRICKLE):
                        self.send_header(name, value)
                self.send_header("content-length", str(len(raw)))
                self.end_headers()
                cut = CUT in headers.values()
                for i in range(len(raw) if TRICKLE in headers.values() else 0):
                    self.wfile.write(raw[i : i + 1])
                    time.sleep(0.05)
                self.wfile.write(raw[: len(raw) // 2] if cut else raw)
                self.close_connection = self.close_connection or cut

        class Quiet(ThreadingHTTPServer):
            request_queue_size = 256
            daemon_threads = True

            def handle_error(self, *_args):
                pass  # a client that hangs up is what some tests are about

        self.http = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def complete(self, body, headers):
        with self.lock:
            self.open += 1
            self.most = max(self.most, self.open)
            call = SimpleNamespace(
                body=body,
                headers={name.lower(): value for name, value in headers.items()},
                number=len(self.calls),
                probe=body["max_tokens"] == 1,
                before=sum(each.body["seed"] == body["seed"] for each in self.calls),
            )
            self.calls.append(call)
        try:
            return self.behave(call) or (200, completion(body), {})
        finally:
            with self.lock:
                self.open -= 1

    def rollout_calls(self):
        return [call for call in self.calls if not call.probe]


def completion(body, **changes):
    """Answer as vLLM does: as many tokens as asked for, or the seed as text and the end token."""
    ids = [*TOKENIZER.encode(str(body["seed"]), add_special_tokens=False), END]
    reason = "stop" if len(ids) <= body["max_tokens"] else "length"
    ids = ids[: body["max_tokens"]]
    choice = {"index": 0, "text": str(body["seed"]), "finish_reason": reason, "logprobs": None}
    if "return_token_ids" in body:
        choice["token_ids"] = ids
        choice["stop_reason"] = END if reason == "stop" else None
    if "logprobs" in body:
        listings = [listing(token, body["logprobs"]) for token in ids]
        choice["logprobs"] = {
            "tokens": [f"token_id:{token}" for token in ids],
            "token_logprobs": [
                each[f"token_id:{token}"] for token, each in zip(ids, listings, strict=True)
            ],
            "top_logprobs": listings,
            "text_offset": [0] * len(ids),
        }
    usage = {"prompt_tokens": len(body["prompt"]), "completion_tokens": len(ids)}
    return {"choices": [choice | changes], "usage": usage}


def policy(token):
    """Give the log-probabilities of the whole vocabulary at the position where a token is drawn."""
    logits = np.random.default_rng(token).normal(0, 2, len(TOKENIZER))
    return logits - np.log(np.exp(logits).sum())


def listing(token, top):
    logp = policy(token)
    ids = [token, *(int(i) for i in np.argsort(-logp)[:top] if i != token)]
    return {f"token_id:{i}": float(logp[i]) for i in ids[: top + 1]}


def sampling(**changes) -> Sampling:
    settings = {"temperature": 1.0, "top_p": 1.0, "max_tokens": 48, "entropy": True}
    return Sampling(**(settings | {"branching": True, "mass": 0.95} | changes))


def engine(
    fake, how=None, *, model=None, args=None, longest=256, slept=None, prompt=None, **settings
):
    """Connect for the base, which goes by its name, or for a model that the run trained."""
    prompts = prompter(TOKENIZER, Prompt(**(prompt or {})))
    recipe = EngineSettings(**{"kind": "server", "url": fake.url, "args": args or {}, **settings})

    async def sleep(seconds):
        if slept is not None:
            slept.append(seconds)

    return Server(
        prompts,
        recipe,
        model or ModelRef("base", "0" * 64),
        name=None if model else recipe.served_model or "tiny",
        sampling=how or sampling(),
        longest=longest,
        sleep=sleep,
    )


def requests(count=8) -> list[Request]:
    text = "<|im_start|>user\nWhat is 3 + 4?<|im_end|>\n<|im_start|>assistant\n"
    ids = tuple(TOKENIZER.encode(text, add_special_tokens=False))
    return [Request(f"r{i}", "p", 1, i, text, ids, derive("test", i)) for i in range(count)]


def run(made, asked, how=None, check=lambda: None, into=None):
    done = [] if into is None else into
    for some in made.sample(Fixed(made.units(asked)), how or sampling(), check=check):
        done += some
    return done


def one_line(caught) -> str:
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 500
    assert all(c.isprintable() for c in text)
    return text
