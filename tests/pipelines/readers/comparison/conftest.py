"""What the tests of comparisons share: one that is done, of four arms, whose answers are known."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines.compare import ArmRun, arm_runs
from pipelines.readers.comparison.side_by_side import SideBySide
from pipelines.readers.comparison.sources import of_arms
from rft.recipe import Recipe
from rft.runs.folder import Run
from tests.compared_runs import Texts, begin, draw, make

# How often each arm draws each text: right, two wrong ones, none in a box, none at all.
WEIGHTS = {
    "rules": (3, 2, 1, 1, 1),
    "entropy": (400, 2, 1, 1, 1),
    "noise": (0, 1, 2, 1, 1),
}
ARMS = {
    "rules": {},
    "entropy": {"select.by": "entropy"},
    "noise": {"select.noise": 0.5},
    "same": {"select.budget": 7},
}
CLAIMS = {
    "better": {"arm": "entropy"},
    "worse": {"arm": "entropy", "direction": "lower"},
    "alike": {"arm": "same", "metric": "pass@4"},
    "narrow": {"arm": "noise", "against": "base", "metric": "maj@3", "direction": "lower"},
}


@dataclass(frozen=True)
class Known:
    """A comparison, and all answers of it."""

    whole: Recipe
    runs: list[ArmRun]
    base: dict[int, Texts]
    after: dict[tuple[str, int], Texts]

    @property
    def folder(self) -> Path:
        """Give the folder of the comparison."""
        return self.runs[0].run.path.parents[2]

    def side_by_side(self) -> SideBySide:
        """Read it."""
        return of_arms(self.folder, self.whole, self.runs)

    def part(self, folder: Path, done: list[tuple[str, int]]) -> "Known":
        """Make a comparison of which only some runs are done."""
        arms = {each.arm: each.run.recipe for each in self.runs}
        runs = arm_runs(folder, self.whole, arms)
        for one, copy in zip(self.runs, runs, strict=True):
            if (one.arm, one.seed) in done:
                shutil.copytree(one.run.path, copy.run.path)
        return Known(self.whole, runs, self.base, self.after)

    def run(self, arm: str, seed: int) -> Run:
        """Give an arm's run."""
        return next(each.run for each in self.runs if (each.arm, each.seed) == (arm, seed))


@pytest.fixture(scope="session")
def known(tmp_path_factory) -> Known:
    folder = tmp_path_factory.mktemp("known") / "arms-of-mine"
    whole, runs = begin(folder, "evaluate.n=4", seeds=[0, 5], arms=ARMS, claims=CLAIMS)
    base = {seed: draw((1, 2, 1, 1, 1), seed, problems=10) for seed in (0, 5)}
    after = {
        (arm, seed): draw(weights, 10 * place + seed + 1, problems=10)
        for place, (arm, weights) in enumerate(WEIGHTS.items())
        for seed in (0, 5)
    }
    after |= {("same", seed): after["rules", seed] for seed in (0, 5)}
    for each in runs:
        make(each.run, base[each.seed], after[each.arm, each.seed])
    return Known(whole, runs, base, after)
