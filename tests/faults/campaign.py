"""Kill a run again and again, at operations on its folder drawn from a seed, and hold what comes of
it against an undisturbed one: nothing lost, nothing repeated, nothing wedged, no byte different.
"""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from tests.command import command
from tests.faults.shim import Action, Fault
from tests.same_run import TIMES

# As small as they get, with units and checkpoints to lose.
SMALL = (
    "engine.args={batch: 4}",
    "sample.problems=8",
    "sample.n=3",
    "sample.max_tokens=64",
    "prepare.train.limit=8",
    "prepare.test.limit=4",
    "evaluate.n=2",
    "evaluate.k=[1, 2]",
    "evaluate.max_tokens=64",
    "select.per_problem=3",
    "sft.epochs=2",
    "sft.batch=4",
    "sft.save_every=1",
)
ONLINE = (
    "grpo.steps=3",
    "grpo.problems=2",
    "grpo.n=4",
    "grpo.max_tokens=32",
    "grpo.save_every=1",
    "prepare.train.limit=16",
    "prepare.dev=null",
    "gate=null",
    "prepare.test.limit=4",
    "evaluate.n=2",
    "evaluate.k=[1, 2]",
    "evaluate.max_tokens=64",
)
GATED = ("prepare.dev={source: bundled:arithmetic, split: dev, limit: 4}", "gate={}", "rounds=2")


def small(*settings: str) -> tuple[str, ...]:
    """Give the words of a run of the smoke recipe, smaller yet."""
    words = [word for setting in (*SMALL, *settings) for word in ("--set", setting)]
    return ("run", "smoke", "--out", "{run}", *words)


def online() -> tuple[str, ...]:
    """Give the words of a run of online training, as small."""
    words = [word for setting in ONLINE for word in ("--set", setting)]
    return ("grpo", "grpo-quickstart", "--out", "{run}", *words)


@dataclass(frozen=True)
class Scenario:
    """What is done while it is being killed: commands, one after the other."""

    name: str
    commands: tuple[tuple[str, ...], ...]
    begin: tuple[str, ...] | None = None
    """What is done before, undisturbed."""
    rivals: int = 1
    """How many processes are given each command at the same time."""


ROLLOUTS = "{begun}/rollouts/round-0001/part-00000.parquet"
MADE = small("keep.models=all")
SCENARIOS = [
    Scenario("run", (small(),)),
    Scenario("grpo", (online(),)),
    Scenario("score", (small("select.by=perplexity"),)),
    Scenario("until", (small("sample.until={accepted: 2, max: 6, wave: 2}"),)),
    Scenario("workers", (small("engine.workers=2"),)),
    Scenario("rivals", (small(),), rivals=2),
    Scenario("gate", (small(*GATED, "keep.models=last"),)),
    Scenario("more rounds", (("run", "{run}", "--rounds", "2"),), MADE),
    Scenario("next", (("run", "{run}", "--next"),), MADE),
    Scenario("more n", (("run", "{run}", "--set", "sample.n=4", "--update"),), MADE),
    Scenario("update", (("run", "{run}", "--set", "sft.learning_rate=1e-4", "--update"),), MADE),
    Scenario(
        "changes of mind",
        (
            ("run", "{run}", "--set", "sample.temperature=0.9", "--update"),
            ("run", "{run}", "--set", "sample.temperature=1.0", "--update"),
        ),
        MADE,
    ),
    Scenario(
        "array",
        (
            ("prepare", *small()[1:]),
            ("sample", "{run}", "--worker", "0/2"),
            ("sample", "{run}", "--worker", "1/2"),
            small(),
        ),
    ),
    Scenario("evaluate", (("evaluate", "--model", "{begun}@1", "--output", "{run}"),), MADE),
    Scenario("export", (("export", "{begun}", "--to", "{run}/data", "--model"),), MADE),
    Scenario(
        "rows",
        (
            (
                "grade",
                "--input",
                "{begun}/rollouts/round-0001/part-00000.parquet",
                "--output",
                "{run}/graded.parquet",
            ),
            ("filter", "--input", "{run}/graded.parquet", "--output", "{run}/kept.parquet"),
        ),
        MADE,
    ),
    Scenario("clean", (("clean", "{run}", "--yes"),), MADE),
]


@dataclass
class Tally:
    """What was done to runs, and what came of it."""

    kills: int = 0
    signals: int = 0
    attempts: int = 0
    runs: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Count what another campaign has done too."""
        self.kills += other.kills
        self.signals += other.signals
        self.attempts += other.attempts
        self.runs += other.runs
        self.failures += other.failures


class Campaign:
    """Scenarios in one folder; what is undisturbed is made once."""

    def __init__(self, home: Path):
        self.home = home
        home.mkdir(parents=True, exist_ok=True)

    def torment(self, scenario: Scenario, seed: str, kills: int) -> Tally:
        """Do a scenario while killing it so many times at most, and hold it against its like."""
        draw = random.Random(f"{seed} {scenario.name}")
        tally = Tally(runs=1)
        whole, begun = self.undisturbed(scenario)
        place = self.home / f"{scenario.name} {seed}".replace(" ", "-")
        shutil.rmtree(place, ignore_errors=True)
        run = place / "run"
        run.parent.mkdir(parents=True)
        if begun is not None and "{run}" in scenario.commands[0]:
            shutil.copytree(begun, run)
        fault = Fault(place, run)
        for words in scenario.commands:
            told = filled(words, run, begun)
            while tally.kills < kills and not tally.failures:
                action, at = drawn(draw)
                fault.plan(action, at)
                codes, said = self.call(told, fault, scenario.rivals)
                tally.attempts += 1
                tally.kills += fault.struck and action is not Action.TERM_PARENT
                tally.signals += fault.struck and action is Action.TERM_PARENT
                if any(code not in (0, 75, -signal.SIGKILL) for code in codes):
                    tally.failures.append(f"{words[0]} ended with {codes} after {action.name}@{at}")
                    tally.failures += said
                if not fault.struck and 0 in codes:
                    break
            fault.plan(Action.COUNT)
            codes, said = self.call(told, fault, 1)
            if codes != [0]:
                tally.failures += [f"{words[0]} is wedged: it ends with {codes}", *said]
                break
        if not tally.failures:
            tally.failures += differences(whole, run)
        if tally.failures:
            tally.failures.insert(0, f"FAILED {scenario.name} (seed {seed}), left in {place}")
        else:
            shutil.rmtree(place)
        return tally

    def undisturbed(self, scenario: Scenario) -> tuple[Path, Path | None]:
        """Do a scenario in peace, once; give its run, and what it began with."""
        begun = None
        if scenario.begin is not None:
            begun = self.home / "undisturbed" / "begun"
            self._do_once(begun, [scenario.begin], begun, None)
        whole = self.home / "undisturbed" / scenario.name.replace(" ", "-")
        start = begun if begun is not None and "{run}" in scenario.commands[0] else None
        self._do_once(whole, scenario.commands, begun, start)
        return whole, begun

    def _do_once(self, place: Path, commands: Any, begun: Path | None, start: Path | None) -> None:
        if place.exists():
            return
        scratch = place.with_name(f"{place.name}-scratch")
        shutil.rmtree(scratch, ignore_errors=True)
        if start is not None:
            shutil.copytree(start, scratch)
        for words in commands:
            told = filled(words, scratch, begun)
            codes, said = self.call(told, None, 1)
            assert codes == [0], f"undisturbed, {told} ends with {codes}: {said}"
        scratch.rename(place)

    def call(
        self, words: list[str], fault: Fault | None, rivals: int
    ) -> tuple[list[int], list[str]]:
        """Give a command to so many processes; give their exit codes, and what they said last."""
        env = os.environ | (fault.environment() if fault else {})
        started = [
            subprocess.Popen(
                command(*words), env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            )
            for _ in range(rivals)
        ]
        said = [each.communicate()[1].decode(errors="replace")[-2000:] for each in started]
        return [each.returncode for each in started], said


def filled(words: tuple[str, ...], run: Path, begun: Path | None) -> list[str]:
    """Put folders in their places."""
    return [word.replace("{run}", str(run)).replace("{begun}", str(begun)) for word in words]


def drawn(draw: random.Random) -> tuple[Action, int]:
    """Draw what is done to a call, and at which of its operations: early ones more often."""
    actions = [Action.KILL, Action.TEAR, Action.KILL_BOTH, Action.KILL_PARENT, Action.TERM_PARENT]
    action = draw.choices(actions, [5, 3, 2, 2, 1])[0]
    return action, int(2 ** draw.uniform(0, 8)) - 1


# What came of it ----------------------------------------------------------------------------------


def differences(whole: Path, disturbed: Path) -> list[str]:
    """Say what differs between a run and its undisturbed like, but for times and what is stale."""
    before, now = dict(parts(whole)), dict(parts(disturbed))
    told = [f"differs: {name}" for name in before.keys() & now.keys() if before[name] != now[name]]
    told += [f"lost: {name}" for name in before.keys() - now.keys()]
    return sorted(told + [f"left behind: {name}" for name in now.keys() - before.keys()])


def parts(run: Path) -> Iterator[tuple[str, str]]:
    """Give what a run consists of: path -> what must be the same."""
    for path in sorted(run.rglob("*")):
        name = str(path.relative_to(run))
        top = name.partition("/")[0]
        if path.is_dir() or top in ("stale", "events.jsonl") or name.startswith("work/digests/"):
            continue
        if top == "manifest":
            yield name, said_by(path)
        elif top == "dynamics":
            rows = pl.read_parquet(path)
            kept = rows.drop(column for column in TIMES if column in rows.columns)
            yield name, kept.write_ndjson()
        else:
            yield name, hashlib.sha256(path.read_bytes()).hexdigest()


def said_by(path: Path) -> str:
    """Give what a manifest says that must be the same, what was sampled for it included."""
    manifest = json.loads(path.read_text())
    same = ("stage", "round", "key", "settings", "inputs", "outputs", "counts", "tokens", "removed")
    told = {name: manifest.get(name) for name in same}
    workers = manifest.get("workers", {}).values()
    told["sampled"] = sum(worker["rollouts"] for worker in workers)
    return json.dumps(told, sort_keys=True)
