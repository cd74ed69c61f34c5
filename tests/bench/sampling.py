"""What statistics cost while sampling with vLLM: `make bench-sampling`. For BENCHMARKS.md.

Every arm runs between two plain ones, draws the same tokens as they do, and is given as the ratio
to their mean: the median of the repetitions, with the smallest and the largest.
"""

import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from rft.bundled import bundled
from rft.engines import Finished, Fixed, Request, Sampling
from rft.engines.transformers import Transformers
from rft.engines.vllm import Vllm
from rft.prompt import load_tokenizer, prompter
from rft.recipe import EngineSettings, Model, Prompt
from rft.runs.models import resolve
from rft.token_stats.forward import score
from tests.broad_model import make_broad_model

TINY = bundled("data") / "tiny"
TURNS = int(sys.argv[1]) if len(sys.argv) > 1 else 7


class TopK(Vllm):
    """vLLM's own logprobs of the 20 most probable tokens, in its cheaper form."""

    def _params(self, sampling: Sampling) -> Any:
        params = super()._params(sampling)
        params.logprobs, params.flat_logprobs = 20, True
        return params


def compare(what: str, path: Path, count: int, max_tokens: int, rows: int) -> None:
    """Time all arms on one model."""
    prompts = prompter(load_tokenizer(TINY), Prompt())
    how = {"temperature": 1.0, "top_p": 1.0, "max_tokens": max_tokens, "mass": 0.95}
    everything = Sampling(entropy=True, branching=True, **how)
    entropy = Sampling(entropy=True, branching=False, **how)
    plain = Sampling(entropy=False, branching=False, **how)
    settings = EngineSettings(kind="vllm", args={"max_num_seqs": rows})
    engine = Vllm(path, prompts, settings, sampling=everything, longest=256, seed=1)
    engine.stops = frozenset()  # all arms draw the same number of tokens
    embedded = Transformers(resolve(Model(path=str(path))), prompts, {"batch": rows})
    embedded.stops = torch.tensor([-1])
    scorer = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    problems = [json.loads(line) for line in (bundled("data") / "arithmetic/test.jsonl").open()]
    requests = []
    for number in range(count):
        text = prompts.render(problems[number % len(problems)]["question"])
        ids = tuple(prompts.encode(text))
        requests.append(Request(str(number), str(number), 1, 0, text, ids, seed=number))

    def draw(one: Any, sampling: Sampling) -> list[Finished]:
        torch.manual_seed(0)  # vLLM draws with torch's own generator on a CPU
        units = Fixed(one.units(requests))
        return [each for done in one.sample(units, sampling, check=lambda: None) for each in done]

    def top20() -> None:
        engine.__class__ = TopK
        draw(engine, plain)
        engine.__class__ = Vllm

    drawn = draw(engine, plain)
    again = {each.request.rollout_id: each.token_ids for each in draw(engine, everything)}
    assert {each.request.rollout_id: each.token_ids for each in drawn} == again, "other tokens"
    texts = [(each.request.prompt_ids, each.token_ids) for each in drawn]
    arms: dict[str, Callable[[], Any]] = {
        "entropy, logprob": lambda: draw(engine, entropy),
        "entropy, branching factor, logprob": lambda: draw(engine, everything),
        "vLLM's logprobs=20 (flat)": top20,
        "plain + a scoring pass": lambda: (
            draw(engine, plain),
            score(scorer, texts, mass=0.95),
        ),
    }
    if rows >= 256:  # with the other model it takes twenty times as long as vLLM
        arms["transformers engine, everything"] = lambda: draw(embedded, everything)
    ratios: dict[str, list[float]] = {name: [] for name in arms}
    base: list[float] = []
    for turn in range(TURNS + 1):
        before = clock(lambda: draw(engine, plain))
        for name, arm in arms.items():
            own = clock(arm)
            after = clock(lambda: draw(engine, plain))
            if turn:  # the first warms up
                ratios[name].append(2 * own / (before + after))
                base.append(after)
            before = after
    tokens = sum(len(each.token_ids) for each in drawn)
    speed = tokens / statistics.median(base)
    numbers = [value for each in draw(engine, everything) for value in each.entropies]
    print(
        f"\n{what}: {tokens} tokens, mean entropy {statistics.mean(numbers):.2f}, "
        f"{rows} rows at once\n  {'plain vLLM':38} {speed:8,.0f} tokens/s"
    )
    for name, own in ratios.items():
        own.sort()
        print(f"  {name:38} {statistics.median(own):6.3f}x [{own[0]:.3f}, {own[-1]:.3f}]")
    print(f"  share of time by the engine's own count: {engine.figures()['capture_share']}")


def clock(arm: Callable[[], object]) -> float:
    """Time one arm."""
    began = time.perf_counter()
    arm()
    return time.perf_counter() - began


def main() -> None:
    """Print all ratios."""
    compare("bundled tiny model, vocabulary 512", TINY, 512, 64, 256)
    with tempfile.TemporaryDirectory() as folder:
        model = make_broad_model(Path(folder), head=64, dtype="bfloat16")
        compare("almost no body, vocabulary 151,936 (worst case)", model, 128, 16, 64)
    import vllm

    print(f"\n{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, ", end="")
    print(
        f"torch {torch.__version__}, vLLM {vllm.__version__}, {platform.machine()}, no GPU, ",
        end="",
    )
    print(f"{torch.get_num_threads()} threads, {TURNS} alternations")


if __name__ == "__main__":
    main()
