"""The server engine against a scripted HTTP server: nothing lost, nothing twice, one line of error.

Run: python -m pytest tests/engines/test_server.py
"""

import hashlib
import json
import random
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import numpy as np
import pytest

from pipelines.perform import STAGES
from rft.bundled import bundled
from rft.engines import Fixed, Request, Sampling, engine_identity, open_engine
from rft.engines.endpoint import retry_after
from rft.engines.server import Server
from rft.errors import Interrupted, RFTError
from rft.processes.stopping import Stop
from rft.prompt import load_tokenizer, prompter
from rft.recipe import EngineSettings, Prompt
from rft.recipe.loading import load_recipe
from rft.runs import stages
from rft.runs.folder import Run
from rft.runs.models import MARK, ModelRef
from rft.runs.stages import Job
from rft.sampling.collect import collect_share
from rft.sampling.plan import Plan
from rft.seeds import derive
from tests import small_run

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


@pytest.fixture
def serve(monkeypatch) -> Iterator:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    running = []

    def start(*args, **kwargs) -> Fake:
        running.append(Fake(*args, **kwargs))
        return running[-1]

    yield start
    for fake in running:
        fake.http.shutdown()
        fake.http.server_close()


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


def test_every_request_is_answered_once_and_by_its_own_answer(serve):
    fake = serve(lambda _: time.sleep(random.random() / 20))
    asked = requests(100)
    done = run(engine(fake, args={"concurrency": 16}), asked)
    assert sorted(each.request.rollout_id for each in done) == sorted(r.rollout_id for r in asked)
    assert [each.request for each in done] != asked, "the test should see another order"
    for each in done:
        assert each.completion == str(each.request.seed)
        assert each.seed == each.request.seed
        assert each.token_ids == TOKENIZER.encode(each.completion, add_special_tokens=False)
        assert (each.finish_reason, each.stats_origin) == ("stop", "topk")
        assert len(each.logprobs) == len(each.entropies) == len(each.branching) == each.num_tokens
    assert len(fake.rollout_calls()) == 100


@pytest.mark.parametrize("concurrency", [1, 7, 64])
def test_as_many_requests_are_in_flight_as_may_be_and_never_more(serve, concurrency):
    together = threading.Barrier(concurrency)

    def behave(call):
        if not call.probe:
            together.wait(10)  # passes only when that many are in flight at once

    fake = serve(behave)
    run(engine(fake, args={"concurrency": concurrency}), requests(2 * concurrency))
    assert fake.most == concurrency


def test_what_is_sent(serve, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    fake = serve()
    asked = requests(3)
    made = engine(fake, prompt={"stop": ["\n\n"]})
    run(made, asked, sampling(temperature=0.6, top_p=0.95))
    sent = {call.body["seed"]: call.body for call in fake.rollout_calls()}
    assert sent.keys() == {request.seed for request in asked}, "one seed each"
    for request in asked:
        body = sent[request.seed]
        assert body["prompt"] == list(request.prompt_ids)
        assert (body["temperature"], body["top_p"], body["max_tokens"]) == (0.6, 0.95, 48)
        assert (body["n"], body["logprobs"], body["model"]) == (1, 20, "tiny")
        assert body["stop"] == ["\n\n", "<|im_end|>"]
        assert END in body["stop_token_ids"]
        assert (body["top_k"], body["min_p"], body["repetition_penalty"]) == (-1, 0, 1)
        assert body["skip_special_tokens"] is False
    assert {call.headers["authorization"] for call in fake.calls} == {f"Bearer {KEY}"}
    assert KEY not in repr(made.figures())


def test_nothing_is_asked_of_logprobs_without_need(serve):
    fake = serve()
    how = sampling(entropy=False, branching=False)
    done = run(engine(fake, how), requests(2), how)
    assert not any("logprobs" in call.body for call in fake.calls)
    for each in done:
        assert each.logprobs is each.entropies is each.branching is each.stats_origin is None
        assert each.token_ids


def test_only_the_statistics_that_are_asked_for_are_given(serve):
    how = sampling(branching=False)
    for each in run(engine(serve(), how), requests(2), how):
        assert each.branching is None
        assert len(each.entropies) == len(each.logprobs) == len(each.token_ids)


def test_new_work_is_taken_while_other_work_is_in_flight(serve):
    fake = serve(lambda _: time.sleep(0.05))
    asked = requests(12)

    class Later:
        """A feed that often has nothing now, and gives several requests at once."""

        def __init__(self):
            self.left, self.asked = list(asked), 0

        def take(self, *, wait):
            self.asked += 1
            if not self.left or (not wait and self.asked % 2):
                return None
            taken, self.left = self.left[:5], self.left[5:]
            return taken

    made = engine(fake, args={"concurrency": 3})
    done = [each for some in made.sample(Later(), sampling(), check=lambda: None) for each in some]
    assert sorted(each.request.sample_index for each in done) == list(range(12))
    assert fake.most == 3


def test_the_end_token_is_dropped_wherever_it_is(serve):
    own = TOKENIZER.encode("12", add_special_tokens=False)
    other = TOKENIZER.encode("7", add_special_tokens=False)[0]
    answers = {  # tokens, stop_reason, finish_reason -> what remains
        "r0": ([*own, END], None, "stop", own, "stop"),
        "r1": ([*own, END, *own], None, "length", own, "stop"),
        "r2": ([*own, other], other, "stop", own, "stop"),  # an end token of the server's own
        "r3": ([END], END, "stop", [], "stop"),
        "r4": ([], None, "stop", [], "stop"),
        "r5": ([*own, *own], None, "length", [*own, *own], "length"),
    }
    by_seed = {request.seed: answers[request.rollout_id] for request in requests(6)}

    def behave(call):
        if call.probe:
            return None
        ids, stopped_by, reason, *_ = by_seed[call.body["seed"]]
        choice = {"token_ids": ids, "stop_reason": stopped_by, "finish_reason": reason}
        return 200, completion(call.body, **choice, logprobs=None), {}

    made = engine(serve(behave))
    for each in run(made, requests(6)):
        *_, kept, reason = answers[each.request.rollout_id]
        assert (each.token_ids, each.finish_reason) == (kept, reason), each.request.rollout_id
        assert each.completion == TOKENIZER.decode(kept)
        assert each.num_tokens == len(kept)
    assert made.figures()["cut_short"] == 2, "r1 and r5 ended at a limit that is not ours"


def test_a_stop_text_of_the_recipe_cuts_tokens_and_lists_alike(serve):
    made = engine(serve(), prompt={"stop": ["5"]})
    done = run(made, requests(8))
    assert any("5" in str(each.request.seed) for each in done)
    for each in done:
        assert each.completion == str(each.request.seed).partition("5")[0]
        assert len(each.entropies) == len(each.logprobs) == len(each.token_ids)


def standard_only(call):
    """Refuse, as OpenAI's own server does, whatever the standard does not name."""
    unknown = [name for name in call.body if name in ("stop_token_ids", "return_token_ids")]
    if unknown:
        words = f"Unrecognized request arguments supplied: {unknown}"
        return 400, {"error": {"message": words}}, {}
    return None


def test_a_server_of_the_bare_standard_gives_text(serve):
    made = engine(serve(standard_only))
    done = run(made, requests(4))
    for each in done:
        assert each.completion == str(each.request.seed)
        assert each.token_ids is each.entropies is each.branching is each.stats_origin is None
        assert each.num_tokens == len(TOKENIZER.encode(each.completion)) + 1, "as the server counts"
    figures = made.figures()
    assert figures["without_statistics"] == {"no token ids": 4}
    assert figures["beyond_standard"] is False
    assert figures["errors"] == {}


def test_text_is_cut_at_stops_and_made_fit_for_a_table(serve):
    texts = {
        "r0": ("7<|im_end|>\n<|im_start|>user", "7"),
        "r1": ("a ## b", "a "),
        "r2": ("\ud800 7", "? 7"),
        "r3": ("", ""),
    }
    by_seed = {request.seed: texts[request.rollout_id][0] for request in requests(4)}

    def behave(call):
        refusal = standard_only(call)
        if refusal or call.probe:
            return refusal
        answer = completion(call.body, text=by_seed[call.body["seed"]], finish_reason="length")
        del answer["usage"]
        return 200, answer, {}

    for each in run(engine(serve(behave), prompt={"stop": ["##"]}), requests(4)):
        text, kept = texts[each.request.rollout_id]
        assert each.completion == kept
        assert each.num_tokens is None
        assert each.finish_reason == ("stop" if len(kept) < len(text) else "length")
        each.completion.encode()


def test_a_server_that_asks_for_patience_gets_it(serve):
    def behave(call):
        if not call.probe and not call.before:
            return 429, {"error": {"message": "slow down"}}, {"retry-after": "7"}
        return None

    slept = []
    made = engine(serve(behave), slept=slept)
    assert len(run(made, requests(5))) == 5
    assert len(slept) == 5
    assert all(7 <= seconds <= 7 * 1.25 for seconds in slept)
    assert made.figures()["retries"] == {"HTTP 429": 5}


def test_retry_after_is_a_number_or_a_date_and_no_trap():
    assert retry_after(None) is None
    assert retry_after("soon") is None
    assert retry_after("nan") == 0
    assert retry_after("-5") == 0
    assert retry_after("1e9") == 300
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert retry_after("Wed, 21 Oct 2115 07:28:00 GMT") == 300


@pytest.mark.parametrize(
    ("trouble", "kind"),
    [
        ((503, b"<html>starting</html>", {}), "HTTP 503"),
        ((500, {"error": "oh"}, {}), "HTTP 500"),
        ((502, b"", {}), "HTTP 502"),
        ((408, b"", {}), "HTTP 408"),
        ((200, {"choices": []}, {"x": CUT}), "connection"),
        ((200, b'{"choices": [', {}), "no JSON"),
        ((200, b"[" * 100_000, {}), "no JSON"),
    ],
)
def test_passing_trouble_is_ridden_out_with_growing_pauses(serve, trouble, kind):
    def behave(call):
        return None if call.probe or call.before >= 3 else trouble

    slept = []
    made = engine(serve(behave), slept=slept)
    done = run(made, requests(4))
    assert {each.completion for each in done} == {str(r.seed) for r in requests(4)}
    assert made.figures()["retries"] == {kind: 12}
    assert made.figures()["errors"] == {}
    assert len(slept) == 12
    assert sorted(slept)[:4] <= [1.0] * 4
    assert sum(seconds > 1 for seconds in slept) >= 4
    assert max(slept) <= 4


@pytest.mark.parametrize("trickle", [False, True])
def test_a_slow_answer_is_given_up_and_asked_for_again(serve, trickle):
    def behave(call):
        if call.probe or call.before:
            return None
        if trickle:
            return 200, completion(call.body), {"x": TRICKLE}
        return time.sleep(1)

    made = engine(serve(behave), args={"timeout": 0.3})
    assert len(run(made, requests(2))) == 2
    assert made.figures()["retries"] == {"timeout": 2}


def test_a_server_that_is_gone_interrupts_and_what_was_finished_is_there(serve):
    def behave(call):
        return (503, b"", {}) if call.number >= 2 + 10 else None

    fake = serve(behave)
    made = engine(fake, args={"concurrency": 1, "retries": 2})
    done = []
    with pytest.raises(Interrupted) as caught:
        run(made, requests(40), into=done)
    assert len(done) == 10
    assert "HTTP 503" in one_line(caught)
    assert "run again" in one_line(caught)
    assert len({each.request.rollout_id for each in done}) == 10


def test_a_server_that_closes_its_port_interrupts_too(serve):
    fake = serve()
    made = engine(fake, args={"retries": 1})
    fake.http.shutdown()
    fake.http.server_close()
    with pytest.raises(Interrupted) as caught:
        run(made, requests(3))
    assert "connection" in one_line(caught)


def test_a_busy_server_loses_no_rollout_while_it_answers_others(serve):
    unlucky = requests(1)[0].seed

    def behave(call):
        busy = call.body["seed"] == unlucky and call.before < 10
        return (429, b"", {}) if busy else None

    made = engine(serve(behave), args={"retries": 2})
    done = run(made, requests(4))
    assert {each.finish_reason for each in done} == {"stop"}
    assert made.figures()["errors"] == {}


START = {
    "no list": (200, {"models": []}, {}, r"no list of models.*with /v1"),
    "no json": (200, b"<html>hello</html>", {}, r"no JSON.*with /v1"),
    "no key": (401, {"error": {"message": "who are you?"}}, {}, r"401.*who are you.*OPENAI_API_"),
    "not yours": (403, b"", {}, r"403.*OPENAI_API_KEY"),
    "no such page": (404, {"detail": "Not Found"}, {}, r"404.*Not Found.*with /v1"),
    "a bad gateway": (502, b"\x1b[31mno\nno", {}, r"502.*no no.*start the server"),
    "refused": (400, {"message": "no"}, {}, r"400"),
    "cut": (200, {"data": []}, {"x": CUT}, r"connection"),
}


@pytest.mark.parametrize("name", START)
def test_a_wrong_endpoint_is_one_line_before_anything_is_asked(serve, name):
    *answer, wanted = START[name]
    fake = serve(look=lambda: answer)
    with pytest.raises(RFTError) as caught:
        engine(fake)
    assert re.search(wanted, one_line(caught))
    assert fake.url in one_line(caught)
    assert not fake.calls


def test_a_closed_port_is_one_line(serve):
    fake = serve()
    fake.http.shutdown()
    fake.http.server_close()
    with pytest.raises(RFTError) as caught:
        engine(fake)
    assert re.search(r"engine\.url: http://127.*start the server", one_line(caught))


def test_a_model_that_is_not_served_is_told_with_those_that_are(serve):
    fake = serve(models=[{"id": "other\x1b[2J"}, {"id": "another"}, {"no": "id"}, None])
    with pytest.raises(RFTError) as caught:
        engine(fake)
    assert "no model tiny, but other [2J, another; set engine.served_model" in one_line(caught)
    engine(fake, served_model="another")


def trained(folder, content="1") -> ModelRef:
    """Make what tells a folder to be a model of ours."""
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(content.encode()).hexdigest()
    (folder / MARK).write_text(json.dumps({"digest": digest}))
    return ModelRef(str(folder), digest)


def of(model: ModelRef) -> str:
    """Name a model after its content."""
    return f"rft-{model.digest[:12]}"


def test_a_trained_model_is_found_by_its_folder_or_digest_and_asked_for_by_that_name(
    serve, tmp_path
):
    one = trained(tmp_path / "models" / "model-0001")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "models")
    base = {"id": "tiny", "root": "/models/tiny"}
    for listed, name in [
        ({"id": "any", "root": one.path}, "any"),
        ({"id": "tiny", "root": f"{link}/../models/model-0001/"}, "tiny"),
        ({"id": of(one), "root": one.path}, of(one)),
        ({"id": of(one)}, of(one)),
        ({"id": of(one), "root": "/on/another/machine"}, of(one)),
    ]:
        others = [] if name == "tiny" else [base]
        fake = serve(models=[*others, {"id": "odd", "root": "\0"}, {"id": "x", "root": 3}, listed])
        made = engine(fake, model=one, served_model="tiny")
        assert len(run(made, requests(2))) == 2
        assert {call.body["model"] for call in fake.calls} == {name}
        assert made.figures()["served_model"] == name


def test_a_trained_model_that_is_not_served_is_refused_whatever_the_recipe_names(serve, tmp_path):
    one = trained(tmp_path / "a model" / "model-0001")
    two = trained(tmp_path / "a model" / "model-0002", "2")
    for listed in [
        [],
        [{"id": "tiny"}],
        [{"id": "tiny", "root": "/models/tiny"}, {"id": "model-0001", "root": "model-0001"}],
        [{"id": "tiny", "root": two.path}],
        [{"id": of(two), "root": two.path}],
        [{"id": of(two), "root": one.path}],  # loaded before that folder's model was made anew
        [{"id": of(one), "root": two.path}],
        [{"id": "tiny\x1b[2J" * 50, "root": "/x\n" * 500}] * 9,
    ]:
        fake = serve(models=listed)
        with pytest.raises(RFTError) as caught:
            engine(fake, model=one, served_model="tiny")
        text = " ".join(str(caught.value).split())
        assert text == str(caught.value), "one line"
        assert text.isprintable()
        assert one.path in text
        assert "run again" in text
        if of(one) not in {each["id"] for each in listed}:
            port = fake.url.split(":")[2].split("/")[0]
            command = f"`vllm serve '{one.path}' --served-model-name {of(one)} --port {port}`"
            assert command in text
            assert (listed[0]["root"][:2] if listed and "root" in listed[0] else "") in text
        assert not fake.calls


def test_the_base_goes_by_its_name_unless_a_trained_model_is_served_under_it(serve, tmp_path):
    one = trained(tmp_path / "models" / "model-0001")
    for root in ["/models/tiny", "owner/tiny", "\0", None, 3, str(tmp_path)]:
        engine(serve(models=[{"id": "tiny", "root": root}]))
    with pytest.raises(RFTError) as caught:
        engine(serve(models=[{"id": "tiny", "root": one.path}]))
    assert f"the server's tiny is {one.path}" in str(caught.value)
    (tmp_path / "models" / "model-0001" / MARK).write_text("{")
    engine(serve(models=[{"id": "tiny", "root": one.path}]))


def test_the_runs_own_models_are_never_taken_for_the_base(serve, tmp_path):
    base, fake = ModelRef(str(TINY), "0" * 64), serve(models=[{"id": "tiny"}])
    how = [f"engine={{kind: server, url: '{fake.url}', served_model: tiny}}"]
    begun = Run(tmp_path / "run", load_recipe("smoke", how))
    prompts = prompter(TOKENIZER, begun.recipe.prompt)
    elsewhere = trained(tmp_path / "other" / "models" / "model-0003")
    one = trained(begun.model_folder(1))
    foreign = begun.path / "models" / "downloaded"
    foreign.mkdir()

    def opened(model):
        return open_engine(Plan(begun, "sample", 2, model, prompts, begun.recipe.sample, ()), 0)

    for model in (base, elsewhere, ModelRef(str(foreign), "0" * 64)):
        assert opened(model).figures()["served_model"] == "tiny"
    with pytest.raises(RFTError, match="vllm serve"):
        opened(one)
    fake.models.append({"id": of(one)})
    assert opened(one).figures()["served_model"] == of(one)


def test_what_is_asked_of_whom_is_in_the_key_and_where_is_not():
    def identity(*settings):
        return engine_identity(load_recipe("smoke", settings))

    def server(url="http://a/v1", **settings):
        return identity(f"engine={json.dumps({'kind': 'server', 'url': url, **settings})}")

    plain = server()
    assert plain == {"kind": "server", "served_model": "bundled:tiny"}
    assert server("http://b/v1", args={"concurrency": 3, "api_key_env": "KEY"}) == plain
    assert server(served_model="other") == plain | {"served_model": "other"}
    assert server(args={"top_logprobs": 5}) == plain | {"top_logprobs": 5}
    assert identity() == {"kind": "transformers"}
    assert identity("engine={kind: vllm, args: {dtype: half}}") == {"kind": "vllm", "dtype": "half"}


def test_a_context_that_is_too_short_is_told_at_once(serve):
    fake = serve(models=[{"id": "tiny", "max_model_len": 255}])
    with pytest.raises(RFTError) as caught:
        engine(fake, longest=256)
    assert re.search("255.*256.*max_tokens.*--max-model-len", one_line(caught))
    engine(fake, longest=255)


def test_a_context_that_shows_only_later_is_told_too(serve):
    words = "This model's maximum context length is 99 tokens"

    def behave(call):
        return None if call.probe else (400, {"error": {"message": words}}, {})

    made = engine(serve(behave))
    with pytest.raises(RFTError) as caught:
        run(made, requests(2))
    assert re.search(rf"{words}.*lower max_tokens.*256", one_line(caught))


def test_a_request_that_alone_is_refused_is_an_error_rollout(serve):
    bad = {request.seed for request in requests(20)[::5]}

    def behave(call):
        return (400, {"error": {"message": "flagged"}}, {}) if call.body["seed"] in bad else None

    made = engine(serve(behave))
    done = run(made, requests(20))
    assert len(done) == 20
    for each in done:
        assert (each.finish_reason == "error") == (each.request.seed in bad)
        if each.finish_reason == "error":
            assert (each.completion, each.num_tokens, each.token_ids) == ("", 0, None)
    assert made.figures()["errors"] == {"HTTP 400": 4}
    assert made.figures()["requests"] == 20


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("no such parameter: seed", "refuses .*no such parameter: seed"),
        ("Requested sample logprobs of 20, max allowed: 5", "engine.args.top_logprobs .20."),
        ("x" * 10_000, "xxx\\.\\.\\."),
    ],
)
def test_a_server_that_refuses_everything_is_one_line(serve, words, wanted):
    with pytest.raises(RFTError) as caught:
        engine(serve(lambda _: (400, {"error": {"message": words}}, {})))
    assert re.search(wanted, one_line(caught))


@pytest.mark.parametrize(("status", "wanted"), [(400, "refuses"), (401, "KEY"), (404, "404")])
def test_a_server_that_turns_against_us_stops_the_run_after_what_is_finished(serve, status, wanted):
    fake = serve(lambda call: (status, b"", {}) if call.number >= 2 + 6 else None)
    made = engine(fake, args={"concurrency": 1})
    done = []
    with pytest.raises(RFTError) as caught:
        run(made, requests(20), into=done)
    assert len(done) == 6
    assert wanted in one_line(caught)


def test_a_server_that_changes_the_prompt_is_refused(serve):
    def behave(call):
        answer = completion(call.body)
        answer["usage"]["prompt_tokens"] += 1
        return 200, answer, {}

    with pytest.raises(RFTError) as caught:
        engine(serve(behave))
    assert re.search(r"read \d+ tokens where \d+ were sent", one_line(caught))


HOSTILE = {
    "empty": b"",
    "null": b"null",
    "a list": b"[]",
    "no choices": {"usage": {}},
    "empty choices": {"choices": []},
    "two choices": {"choices": [{}, {}]},
    "choices of nothing": {"choices": [None]},
    "no reason": {"choices": [{"text": "7", "finish_reason": None}]},
    "an odd reason": {"choices": [{"text": "7", "finish_reason": {"\x1b": 1}}]},
    "aborted": {"choices": [{"text": "7", "finish_reason": "abort"}]},
    "filtered": {"choices": [{"text": "7", "finish_reason": "content_filter"}]},
    "no text": {"choices": [{"text": None, "finish_reason": "stop"}]},
    "a number": {"choices": [{"text": 7, "finish_reason": "stop"}]},
    "too many": {"choices": [{"token_ids": [5] * 49, "finish_reason": "length"}]},
    "counted too many": {
        "choices": [{"text": "7", "finish_reason": "stop"}],
        "usage": {"completion_tokens": 49},
    },
    "foreign": {"choices": [{"token_ids": [512], "finish_reason": "stop"}]},
    "negative": {"choices": [{"token_ids": [-1], "finish_reason": "stop"}]},
    "true": {"choices": [{"token_ids": [True], "finish_reason": "stop"}]},
    "no tokens": {"choices": [{"token_ids": "7", "finish_reason": "stop"}]},
    "huge": {"choices": [{"text": "x" * 4_000_000, "finish_reason": "stop"}]},
    "a long number": b'{"choices": ' + b"9" * 5000 + b"}",
    "a gzip that is none": (200, b"nothing", {"content-encoding": "gzip"}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_broken_answer_to_one_request_is_an_error_rollout(serve, name):
    bad = requests(1)[0].seed
    answer = HOSTILE[name] if isinstance(HOSTILE[name], tuple) else (200, HOSTILE[name], {})
    fake = serve(lambda call: answer if call.body["seed"] == bad else None)
    made = engine(fake, args={"retries": 2})
    reasons = {each.request.seed: each.finish_reason for each in run(made, requests(5))}
    assert reasons == {r.seed: "error" if r.seed == bad else "stop" for r in requests(5)}
    assert sum(made.figures()["errors"].values()) == 1
    assert sum(made.figures()["retries"].values()) == 2


@pytest.mark.parametrize("name", HOSTILE)
def test_a_server_of_broken_answers_is_one_line(serve, name):
    answer = HOSTILE[name] if isinstance(HOSTILE[name], tuple) else (200, HOSTILE[name], {})
    with pytest.raises((RFTError, Interrupted)) as caught:
        engine(serve(lambda _: answer), args={"retries": 1})
    assert "does not answer as" in one_line(caught) or name == "a gzip that is none"


@pytest.mark.parametrize("usage", [None, [], "5", {"completion_tokens": -1}, {"prompt_tokens": {}}])
def test_odd_usage_is_no_count(serve, usage):
    def behave(call):
        refusal = standard_only(call)
        return refusal or (200, completion(call.body) | {"usage": usage}, {})

    assert {each.num_tokens for each in run(engine(serve(behave)), requests(3))} == {None}


NAN = float("nan")
BROKEN_STATISTICS = {
    "none": lambda _: None,
    "a list": lambda _: [],
    "no tokens": lambda record: record | {"tokens": None},
    "named by text": lambda record: record | {"tokens": ["1"] * len(record["tokens"])},
    "short": lambda record: record | {"top_logprobs": record["top_logprobs"][:-1]},
    "null": lambda record: record | {"token_logprobs": [None] * len(record["tokens"])},
    "nan": lambda record: record | {"token_logprobs": [NAN] * len(record["tokens"])},
    "positive": lambda record: record | {"token_logprobs": [0.5] * len(record["tokens"])},
    "empty": lambda record: record | {"top_logprobs": [{}] * len(record["tokens"])},
    "null listing": lambda record: record | {"top_logprobs": [None] * len(record["tokens"])},
    "nan listing": lambda record: (
        record | {"top_logprobs": [each | {"token_id:1": NAN} for each in record["top_logprobs"]]}
    ),
    "text listing": lambda record: (
        record | {"top_logprobs": [each | {"token_id:1": "x"} for each in record["top_logprobs"]]}
    ),
    "no distribution": lambda record: (
        record | {"top_logprobs": [dict.fromkeys(each, -0.1) for each in record["top_logprobs"]]}
    ),
    "fewer than asked": lambda record: (
        record | {"top_logprobs": [dict([*each.items()][:5]) for each in record["top_logprobs"]]}
    ),
}


@pytest.mark.parametrize("name", BROKEN_STATISTICS)
def test_broken_statistics_are_dropped_and_counted_and_the_text_stays(serve, name):
    bad = requests(1)[0].seed

    def behave(call):
        answer = completion(call.body)
        if call.body["seed"] == bad:
            choice = answer["choices"][0]
            choice["logprobs"] = BROKEN_STATISTICS[name](choice["logprobs"])
        return 200, answer, {}

    made = engine(serve(behave))
    for each in run(made, requests(3)):
        assert each.completion == str(each.request.seed)
        assert each.token_ids
        gone = each.logprobs is each.entropies is each.branching is each.stats_origin is None
        assert gone == (each.request.seed == bad)
    assert sum(made.figures()["without_statistics"].values()) == 1
    assert made.figures()["retries"] == made.figures()["errors"] == {}


def test_logprobs_taken_after_temperature_are_not_recorded_as_the_policys(serve):
    def behave(call):
        answer = completion(call.body)
        record = answer["choices"][0]["logprobs"]
        if record:
            heat = call.body["temperature"]
            record["top_logprobs"] = [
                {name: value / heat for name, value in each.items()}
                for each in record["top_logprobs"]
            ]
        return 200, answer, {}

    made = engine(serve(behave))
    warm = sampling(temperature=0.6)
    assert {each.entropies for each in run(made, requests(3), warm)} == {None}
    assert made.figures()["without_statistics"] == {"logprobs that are not the policy's": 3}
    assert all(each.entropies for each in run(made, requests(3))), "at temperature 1 they are"
    assert all(each.entropies for each in run(engine(serve()), requests(3), warm))


def test_a_server_that_knows_one_temperature_only_is_used_at_that(serve):
    def behave(call):
        return (400, b"", {}) if call.body["temperature"] != 1 else None

    assert all(each.entropies for each in run(engine(serve(behave)), requests(3)))


def test_a_stop_calls_off_what_is_in_flight(serve):
    hold = threading.Event()
    fake = serve(lambda call: None if call.probe else hold.wait(30) and None)
    made = engine(fake)
    calls = iter(range(3))

    def check():
        if next(calls, None) is None:
            raise Interrupted("stopped by SIGTERM")

    began = time.monotonic()
    with pytest.raises(Interrupted, match="SIGTERM"):
        run(made, requests(8), check=check)
    assert time.monotonic() - began < 5
    hold.set()


def test_a_caller_that_has_enough_leaves_nothing_behind(serve):
    fake = serve()
    made = engine(fake, args={"concurrency": 4})
    found = made.sample(Fixed(made.units(requests(50))), sampling(), check=lambda: None)
    assert next(found)
    found.close()
    sent = len(fake.calls)
    time.sleep(0.2)
    assert len(fake.calls) <= sent + 4
    assert len(run(made, requests(3))) == 3, "and the engine can be used again"


@pytest.mark.parametrize(
    ("args", "wanted"),
    [
        ({"concurency": 3}, 'no "concurency"; did you mean "concurrency"'),
        ({"gpu_memory": 3}, "they are concurrency, timeout, retries, api_key_env, top_logprobs"),
        ({"concurrency": 0}, "concurrency is '0'.* from 1 to 1000"),
        ({"concurrency": True}, "concurrency"),
        ({"timeout": "10s"}, "timeout is '10s'.* seconds"),
        ({"timeout": 0}, "timeout"),
        ({"retries": -1}, "retries"),
        ({"top_logprobs": 0}, "top_logprobs"),
        ({"api_key_env": ""}, "environment variable"),
        ({"api_key_env": "NOT_SET_HERE"}, "NOT_SET_HERE is not set"),
    ],
)
def test_arguments_are_checked(serve, args, wanted):
    with pytest.raises(RFTError, match=wanted) as caught:
        engine(serve(), args=args)
    one_line(caught)


@pytest.mark.parametrize(
    "url",
    [
        "http:///v1",
        "http://localhost:x/v1",
        f"http://localhost/v1?key={KEY}",
        f"http://me:{KEY}@localhost/v1",
        f"http://{KEY}@localhost:x/v1",
    ],
)
def test_an_address_is_checked_and_keeps_no_secret(url):
    with pytest.raises(RFTError, match=r"engine\.url") as caught:
        engine(SimpleNamespace(url=url))
    assert KEY not in one_line(caught)


def test_a_key_that_no_header_can_hold_is_not_shown(serve, monkeypatch):
    monkeypatch.setenv("OTHER_KEY", f"{KEY}\n\u2713")
    with pytest.raises(RFTError, match="OTHER_KEY holds no key") as caught:
        engine(serve(), args={"api_key_env": "OTHER_KEY"})
    assert KEY not in one_line(caught)


def test_without_the_client_library_the_extra_is_named(serve, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "openai", None)
    with pytest.raises(RFTError, match=r"rft-rounds\[server\]") as caught:
        engine(serve())
    one_line(caught)


# What a failed request means for a stage.


@pytest.fixture
def stage(serve, tmp_path, monkeypatch):
    """Do a sampling stage with a server that refuses some requests by their seeds."""
    monkeypatch.setattr("rft.sampling.worker.preflight", lambda *_: None)
    bad: set[int] = set()
    fake = serve(lambda call: (400, b"", {}) if call.body["seed"] in bad else None)
    how = [f"engine={{kind: server, url: '{fake.url}', served_model: tiny}}", "sample.problems=5"]
    # With statistics wanted, what failed would be left out for having none.
    how += ["sample.statistics={entropy: false, branching: false}"]
    # 240 answers, and 20 of a benchmark where each counts for five times the limit.
    answers = {("test", "large", f"p{i}"): () for i in range(60)}
    answers |= {("test", "small", f"q{i}"): () for i in range(5)}
    small_run.prepare(
        small_run.new_run(tmp_path / "run", *how),
        train=[f"t{i}" for i in range(5)],
        answers=answers,
    )

    def begun(*settings):
        return Run(tmp_path / "run", load_recipe("smoke", [*how, *settings]))

    def do(name, round, *settings):
        run, said = begun(*settings), []
        first = len(fake.calls)
        try:
            job = Job(run, STAGES[name], round, Stop(), said.append)
            if not stages.is_current(job.stage, run, round):
                stages.perform(job)
        except RFTError as trouble:
            said.append(trouble)
        seeds = [call.body["seed"] for call in fake.calls[first:] if not call.probe]
        return run, said, seeds

    return SimpleNamespace(begun=begun, do=do, bad=bad)


def seed_of(benchmark, problem, index):
    return derive(0, "evaluate", "test", benchmark, problem, index)


@pytest.mark.parametrize("array", [False, True])
def test_an_evaluation_of_which_too_much_failed_is_refused_and_asked_for_again(stage, array):
    stage.bad |= {seed_of("large", "p3", i) for i in range(3)} | {seed_of("large", "p4", 0)}
    if array:
        evaluate, begun = STAGES["evaluate"], stage.begun()
        job = Job(begun, evaluate, 0, Stop(), print)
        assert collect_share(job, evaluate.plan(begun, 0), 0, 1) == 65
    begun, [trouble], seeds = stage.do("evaluate", 0)
    assert len(seeds) == (0 if array else 260)
    assert re.search(r"HTTP 400\): 4 of 240 on test/large; above 1%.*run again", str(trouble))
    assert "\n" not in str(trouble)
    assert begun.manifest("evaluate", 0) is None
    gone = stage.bad.pop()
    _, [again], seeds = stage.do("evaluate", 0)
    assert "3 of 240" in str(again)
    assert set(seeds) == stage.bad | {gone}, "what did not fail is not asked for again"
    left = set(stage.bad)
    stage.bad.clear()
    begun, said, seeds = stage.do("evaluate", 0)
    assert set(seeds) == left
    assert said == []
    rows = begun.read("evaluations", 0)
    assert len(rows) == 260
    assert set(rows["finish_reason"]) == {"stop"}


def test_the_share_that_failed_is_a_benchmarks_own(stage):
    stage.bad.add(seed_of("small", "q0", 0))
    _, [trouble], _ = stage.do("evaluate", 0)
    assert "1 of 20 on test/small" in str(trouble)


def test_few_failed_answers_are_told_and_count_as_none(stage):
    stage.bad |= {seed_of("large", "p3", 0), seed_of("large", "p4", 1)}
    begun, [said], _ = stage.do("evaluate", 0)
    assert "2 of 240 on test/large" in said
    assert "lower Pass@1" in said
    failed = begun.read("evaluations", 0).filter(finish_reason="error")
    assert set(failed["verdict"]) == {"no_answer"}
    assert len(failed) == 2


def test_a_failed_rollout_is_told_and_sampled_again_by_the_next_plan(stage):
    stage.bad |= {derive(0, "sample", 1, "t0", index) for index in range(2)}
    begun, [said], seeds = stage.do("sample", 1)
    assert said.startswith("2 of 20 answers failed at the engine")
    assert len(seeds) == 20
    assert begun.manifest("sample", 1)["counts"]["finish_reason"] == {"error": 2, "stop": 18}
    again = set(stage.bad)
    stage.bad.clear()
    new = {derive(0, "sample", 1, f"t{i}", 4) for i in range(5)}
    begun, said, seeds = stage.do("sample", 1, "sample.n=5")
    assert set(seeds) == again | new
    assert said == []
    assert set(begun.read("rollouts", 1)["finish_reason"]) == {"stop"}
