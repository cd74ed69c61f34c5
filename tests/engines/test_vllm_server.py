"""The server engine against a real vLLM server of the bundled model, and its death.

Run: python -m pytest -m vllm tests/engines/test_vllm_server.py
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from rft.bundled import bundled
from rft.engines import Fixed, Request, Sampling
from rft.engines.server import Server
from rft.errors import Interrupted, RFTError
from rft.prompt import load_tokenizer, prompter
from rft.recipe import EngineSettings, Prompt
from rft.runs.models import ModelRef
from rft.seeds import derive

pytest.importorskip("vllm")
pytestmark = pytest.mark.vllm

TINY = bundled("data") / "tiny"
TOKENIZER = load_tokenizer(TINY)
PLAIN = Sampling(temperature=1.0, top_p=1.0, max_tokens=96, entropy=True, branching=True, mass=0.95)


class Served:
    """A vLLM server in a process group of its own, so that it can be killed whole."""

    def __init__(self, log: Path):
        self.log = log
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self.start()

    def start(self) -> None:
        # The module, not `vllm serve`: the CPU build's command looks for a package named vllm.
        command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(TINY)]
        command += ["--served-model-name", "tiny", "--dtype", "float32", "--enforce-eager"]
        command += ["--max-model-len", "256", "--max-num-batched-tokens", "8192"]
        command += ["--host", "127.0.0.1", "--port", str(self.port)]
        cpu = {"VLLM_CPU_KVCACHE_SPACE": "1", "TORCH_COMPILE_DISABLE": "1"}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                env=os.environ | cpu | {"OMP_WAIT_POLICY": "passive"},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + 240
        while not self.healthy():
            assert self.process.poll() is None, self.log.read_text()[-4000:]
            assert time.monotonic() < deadline, self.log.read_text()[-4000:]
            time.sleep(0.25)

    def healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[Served]:
    server = Served(tmp_path_factory.mktemp("vllm") / "log")
    try:
        yield server
    finally:
        server.kill()


def engine(served, how=PLAIN, *, trained=None, args=None, longest=200, **prompt) -> Server:
    recipe = EngineSettings(kind="server", url=served.url, served_model="tiny", args=args or {})
    return Server(
        prompter(TOKENIZER, Prompt(**prompt)),
        recipe,
        trained or ModelRef(str(TINY), "0" * 64),
        name=None if trained else "tiny",
        sampling=how,
        longest=longest,
        sleep=lambda seconds: asyncio.sleep(seconds / 100),
    )


def requests(made, count) -> list[Request]:
    asked = []
    for i in range(count):
        text = made.completions.prompter.render(f"Start with {i}. Multiply by 7. Subtract 9.")
        ids = tuple(made.completions.prompter.encode(text))
        asked.append(Request(f"r{i}", f"p{i}", 1, 0, text, ids, derive("vllm", i)))
    return asked


def run(made, asked, how=PLAIN, check=lambda: None, into=None):
    done = [] if into is None else into
    for some in made.sample(Fixed(made.units(asked)), how, check=check):
        done += some
        check()
    return done


@pytest.mark.parametrize(
    "how",
    [PLAIN, Sampling(**(vars(PLAIN) | {"temperature": 0.6, "top_p": 0.9}))],
    ids=["plain", "tempered"],
)
def test_tokens_are_the_texts_and_estimates_bound_the_exact_statistics(served, how):
    made = engine(served, how)
    done = run(made, requests(made, 32), how)
    assert sorted(each.request.rollout_id for each in done) == sorted(
        request.rollout_id for request in requests(made, 32)
    )
    model = AutoModelForCausalLM.from_pretrained(TINY, dtype=torch.float64).eval()
    compared = covered = reached = 0
    for each in done:
        assert each.completion == TOKENIZER.decode(each.token_ids)
        assert not set(each.token_ids) & made.completions.prompter.stop_ids()
        assert (len(each.token_ids) == how.max_tokens) == (each.finish_reason == "length")
        assert each.stats_origin == "topk"
        prompt = list(each.request.prompt_ids)
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([prompt + each.token_ids])).logits
        logp = torch.log_softmax(logits[0, len(prompt) - 1 : -1], -1)
        exact = -(logp.exp() * logp).sum(-1)
        chosen = logp.gather(-1, torch.tensor(each.token_ids)[:, None])[:, 0]
        mass = logp.exp().sort(-1, descending=True).values.cumsum(-1)
        branching = (mass < how.mass).sum(-1) + 1
        within = mass[:, 19] >= how.mass + 1e-5
        clear = ((mass - how.mass).abs() > 1e-5).all(-1)
        found = torch.tensor(each.branching)
        assert (chosen - torch.tensor(each.logprobs)).abs().max() < 1e-3
        short = exact - torch.tensor(each.entropies)
        assert short.min() > -1e-3, "a lower bound"
        assert short[mass[:, 19] > 0.999].max() < 5e-3, "and close where the top holds the mass"
        assert torch.equal(found[within & clear], branching[within & clear])
        assert (found[clear] <= branching[clear]).all()
        compared += len(short)
        covered += int((mass[:, 19] > 0.999).sum())
        reached += int(within.sum())
    assert compared > 300
    assert covered > 0.5 * compared
    assert reached > 0.8 * compared
    figures = made.figures()
    assert figures["without_statistics"] == figures["retries"] == {}
    assert figures["requests"] == 32


def test_each_request_has_a_seed_of_its_own_which_is_honoured(served):
    made = engine(served)
    same = requests(made, 1)[0]
    asked = [
        Request(f"s{i}", "p", 1, i, same.prompt, same.prompt_ids, derive("seed", i))
        for i in range(16)
    ]
    first = {each.request.rollout_id: each.completion for each in run(made, asked)}
    again = {each.request.rollout_id: each.completion for each in run(made, asked)}
    assert len(set(first.values())) > 8
    assert sum(first[name] == again[name] for name in first) >= 14, "but for rounding in batches"


def test_stop_texts_and_limits_end_a_completion(served):
    made = engine(served, stop=["="])
    for each in run(made, requests(made, 8)):
        assert "=" not in each.completion
        assert each.completion == TOKENIZER.decode(each.token_ids)
        assert len(each.entropies) == len(each.branching) == len(each.token_ids)
    short = Sampling(**(vars(PLAIN) | {"max_tokens": 3}))
    made = engine(served, short)
    done = run(made, requests(made, 8), short)
    assert {(each.finish_reason, each.num_tokens) for each in done} >= {("length", 3)}


def test_what_the_server_cannot_do_is_one_line(served):
    for changes, wanted in [
        ({"args": {"top_logprobs": 30}}, r"max allowed: 20.*engine\.args\.top_logprobs \(30\)"),
        ({"longest": 257}, r"takes 256 tokens.*257.*max_tokens.*--max-model-len"),
    ]:
        with pytest.raises(RFTError, match=wanted) as caught:
            engine(served, **changes)
        assert "\n" not in str(caught.value)
    made = engine(served)
    long = Request("long", "p", 1, 0, "", tuple([20] * 300), 1)
    with pytest.raises(RFTError, match=r"too long.*256.*lower max_tokens"):
        run(made, [long])


def test_a_folder_is_known_by_its_place_whatever_it_is_served_as(served, tmp_path):
    made = engine(served, trained=ModelRef(str(TINY), "1" * 64))
    assert made.figures()["served_model"] == "tiny"
    assert len(run(made, requests(made, 2))) == 2
    with pytest.raises(RFTError, match=rf"the server has tiny \({TINY}\).*vllm serve") as caught:
        engine(served, trained=ModelRef(str(tmp_path), "1" * 64))
    assert "\n" not in str(caught.value)


def test_a_killed_server_interrupts_and_a_new_one_goes_on(served):
    made = engine(served, args={"concurrency": 8, "retries": 3})
    asked = requests(made, 200)
    done = []

    def check():
        if len(done) >= 20 and served.process.poll() is None:
            served.kill()

    with pytest.raises(Interrupted, match="the server is lost") as caught:
        run(made, asked, check=check, into=done)
    assert "\n" not in str(caught.value)
    assert 20 <= len(done) < 200
    assert made.figures()["retries"].keys() == {"connection"}
    served.start()
    had = {each.request.rollout_id for each in done}
    made = engine(served)
    run(made, [request for request in asked if request.rollout_id not in had], into=done)
    assert sorted(each.request.rollout_id for each in done) == sorted(r.rollout_id for r in asked)
    assert {each.finish_reason for each in done} <= {"stop", "length"}
