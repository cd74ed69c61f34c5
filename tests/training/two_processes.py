"""Run by test_grpo_processes.py in two processes: what the hooks see must be of both."""

import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from rft.exploration.plugin import Plugin
from tests.grpo_training import learn

SEEN: dict[str, torch.Tensor] = {}


class Witness(Plugin):
    """Note what the hooks are given."""

    name = "witness"

    def adjust(self, advantages, batch):
        SEEN.setdefault("advantages", advantages)
        SEEN.setdefault("nll", batch.nll)
        SEEN.setdefault("correct", batch.correct)
        return advantages

    def columns(self, advantages, tokens):
        values = tokens.everywhere(tokens.logps)
        SEEN.setdefault("everywhere", values)
        back = tokens.here(values)
        assert torch.equal(back, tokens.logps * tokens.mask), "the way there and back"
        SEEN.setdefault("mine", tokens.logps[tokens.mask.bool()])
        chosen = torch.zeros_like(values)
        chosen[torch.randperm(len(values), generator=tokens.generator("witness"))[:5]] = 1
        return {"five": tokens.here(chosen), "rows": advantages}

    def weight(self, tokens):
        SEEN["five"] = SEEN.get("five", 0) + tokens.columns["five"].sum()
        return torch.ones_like(tokens.entropies)


def both(value: torch.Tensor) -> list[torch.Tensor]:
    """Give the values of both processes, which may differ in length."""
    found: list[torch.Tensor] = [None, None]  # type: ignore[list-item]
    dist.all_gather_object(found, value)
    return found


def main(folder: Path) -> None:
    """Train, and compare what the two processes saw."""
    rank = os.environ["RANK"]
    plugins = {"perplexity_advantage": {}, "clip_cov": {"low": 0.01, "share": 0.2}}
    learnt = learn(folder / rank, plugins, hooks=[Witness()], steps=2, updates=2, loss="dapo")
    for name in ("advantages", "nll", "correct", "everywhere"):
        one, other = both(SEEN[name])
        assert torch.equal(one, other), f"{name} is not the same in both"
    first, second = both(SEEN["mine"])
    assert not torch.equal(first, second), "the two drew the same answers"
    assert torch.equal(torch.cat([first, second]), SEEN["everywhere"])
    five = sum(both(SEEN["five"]))
    assert five == 5 * len(learnt.rows), f"{five} tokens were chosen"
    one, other = both(learnt.weights)
    assert torch.equal(one, other), "the weights went apart"
    rows = [[{k: v for k, v in row.items() if "seconds" not in k} for row in learnt.rows]]
    first, second = both(rows)  # type: ignore[arg-type]
    assert first == second, "the rows of dynamics differ"
    sys.stdout.write("both agree\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
