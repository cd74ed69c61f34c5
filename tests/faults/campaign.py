"""Kill a run again and again, at operations on its folder drawn from a seed, and hold what comes of
it against an undisturbed one: nothing lost, nothing repeated, nothing wedged, no byte different.
"""

import errno
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from tests.command import command
from tests.faults.shim import FOREVER, Action, Fault
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
DEV = "prepare.dev={source: bundled:arithmetic, split: dev, limit: 4}"
GATED = (DEV, "gate={}", "rounds=2")


def small(*settings: str) -> tuple[str, ...]:
    """Give the words of a run of the smoke recipe, smaller yet."""
    words = [word for setting in (*SMALL, *settings) for word in ("--set", setting)]
    return ("run", "smoke", "--out", "{run}", *words)


def online() -> tuple[str, ...]:
    """Give the words of a run of online training, as small."""
    words = [word for setting in ONLINE for word in ("--set", setting)]
    return ("grpo", "grpo-quickstart", "--out", "{run}", *words)


def arms() -> tuple[str, ...]:
    """Give the words of a comparison of two arms, as small."""
    recipe = str(Path(__file__).with_name("arms.yaml"))
    return ("compare", recipe, "--out", "{run}", *small()[4:])


@dataclass(frozen=True)
class Scenario:
    """What is done while it is being killed: commands, one after the other."""

    name: str
    commands: tuple[tuple[str, ...], ...]
    begin: tuple[str, ...] | None = None
    """What is done before, undisturbed."""
    on_copy: bool = False
    """Whether it goes on with a copy of that, in place of reading it."""
    rivals: int = 1
    """How many processes are given each command at the same time."""


UPDATE = ("run", "{run}", "--set", "sft.learning_rate=1e-4", "--update")
FEW = ("--samples", "2", "--set", "prepare.test.limit=4", "--set", "evaluate.max_tokens=64")
GOLD = ("--column", "gold=problem_id")
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
    Scenario("blend", (small(DEV, "sft.blend={search: [0.5, 1.0], on: pass@2}"),)),
    Scenario("adaptive", (small("sample.order=adaptive", "rounds=2"),)),
    Scenario("more rounds", (("run", "{run}", "--rounds", "2"),), MADE, on_copy=True),
    Scenario("more n", (("run", "{run}", "--set", "sample.n=4", "--update"),), MADE, on_copy=True),
    Scenario("update", (UPDATE,), MADE, on_copy=True),
    Scenario(
        "changes of mind",
        (
            ("run", "{run}", "--set", "sample.temperature=0.9", "--update"),
            ("run", "{run}", "--set", "sample.temperature=1.0", "--update"),
        ),
        MADE,
        on_copy=True,
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
    Scenario(
        "evaluate",
        (("evaluate", "--model", "{begun}@1", "--recipe", "smoke", "--output", "{run}", *FEW),),
        MADE,
    ),
    Scenario("export", (("export", "{begun}", "--to", "{run}/data", "--model"),), MADE),
    Scenario(
        "rows",
        (
            ("grade", "--input", ROLLOUTS, *GOLD, "--output", "{run}/graded.parquet"),
            ("filter", "--input", "{run}/graded.parquet", "--output", "{run}/kept.parquet"),
        ),
        MADE,
    ),
    Scenario("compare", (arms(),)),
    Scenario("clean", (UPDATE, ("clean", "{run}", "--yes")), MADE, on_copy=True),
]


@dataclass
class Tally:
    """What was done to runs, and what came of it."""

    kills: int = 0
    signals: int = 0
    faults: int = 0
    attempts: int = 0
    runs: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Count what another campaign has done too."""
        self.kills += other.kills
        self.signals += other.signals
        self.faults += other.faults
        self.attempts += other.attempts
        self.runs += other.runs
        self.failures += other.failures


class Campaign:
    """Scenarios in one folder; what is undisturbed is made once."""

    def __init__(self, home: Path):
        self.home = home
        home.mkdir(parents=True, exist_ok=True)
        self.turns: dict[str, threading.Lock] = defaultdict(threading.Lock)

    def torment(self, scenario: Scenario, seed: str, kills: int) -> Tally:
        """Do a scenario while killing it so many times at most, and hold it against its like."""
        draw = random.Random(f"{seed} {scenario.name}")
        # Some go through a run in small steps, and others get far in few.
        reach = draw.choice([4, 5, 6, 7])
        tally = Tally(runs=1)
        whole, begun = self.undisturbed(scenario)
        place = self.home / f"{scenario.name} {seed}".replace(" ", "-")
        shutil.rmtree(place, ignore_errors=True)
        run = place / "run"
        run.parent.mkdir(parents=True)
        if scenario.on_copy:
            shutil.copytree(begun, run)
        fault = Fault(place, run)
        for words in scenario.commands:
            told = filled(words, run, begun)
            while tally.kills < kills and not tally.failures:
                what = drawn(draw, reach)
                fault.plan(what.action, what.at, what.error, what.lasts)
                codes, said = self.call(told, fault, scenario.rivals)
                tally.attempts += 1
                if fault.struck:
                    tally.kills += what.action in KILLING
                    tally.signals += what.action is Action.TERM_PARENT
                    tally.faults += what.action is Action.FAIL
                if odd := [
                    text
                    for code, text in zip(codes, said, strict=True)
                    if not what.may_end(code, text)
                ]:
                    tally.failures += [f"{words[0]} ended with {codes} after {what}", *odd]
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
        whole = self.home / "undisturbed" / scenario.name.replace(" ", "-")
        if scenario.begin is not None:
            begun = self.home / "undisturbed" / "begun"
            with self.turns["begun"]:
                self._do_once(begun, [scenario.begin], begun, None)
        with self.turns[scenario.name]:
            self._do_once(whole, scenario.commands, begun, begun if scenario.on_copy else None)
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


KILLING = {Action.KILL: 5, Action.TEAR: 3, Action.KILL_BOTH: 2, Action.KILL_PARENT: 2}
# What the disk says, and what a person is told of it.
FAULTS = {
    errno.ENOSPC: "the disk is full",
    errno.EIO: "the disk failed",
    errno.EACCES: "no permission",
}


@dataclass(frozen=True)
class Strike:
    """What is done to a call, and at which of its operations."""

    action: Action
    at: int
    error: int = errno.ENOSPC
    lasts: int = 1

    def may_end(self, code: int, said: str) -> bool:
        """Say whether a call may end like that: as if nothing were, killed, wound down, or told."""
        if code == 2 and self.action is Action.FAIL:
            lines = [line for line in said.splitlines() if line.startswith("Error: ")]
            return len(lines) == 1 and self._told(lines[0]) and "Traceback" not in said
        return code in (0, 75, -signal.SIGKILL) and "Traceback" not in said

    def _told(self, line: str) -> bool:
        # torch does not say what was wrong with a file that it could not write.
        return FAULTS[self.error] in line or "torch could not write a file" in line


def drawn(draw: random.Random, reach: int) -> Strike:
    """Draw what is done to a call: early operations are struck more often than late ones."""
    actions = [*KILLING, Action.TERM_PARENT, Action.FAIL]
    action = draw.choices(actions, [*KILLING.values(), 1, 1])[0]
    at = int(2 ** draw.uniform(0, reach)) - 1
    return Strike(action, at, draw.choice([*FAULTS]), draw.choice([1, FOREVER]))


# What came of it ----------------------------------------------------------------------------------


def differences(whole: Path, disturbed: Path) -> list[str]:
    """Say what differs between a run and its undisturbed like, but for times and what is stale."""
    before, now = dict(parts(whole)), dict(parts(disturbed))
    told = [f"differs: {name}" for name in before.keys() & now.keys() if before[name] != now[name]]
    told += [f"lost: {name}" for name in before.keys() - now.keys()]
    return sorted(told + [f"left behind: {name}" for name in now.keys() - before.keys()])


def parts(run: Path) -> Iterator[tuple[str, str]]:
    """Give what a run, or a comparison of runs, consists of: path -> what must be the same."""
    table = run / "comparison.csv"
    if table.is_file():  # all else beside its runs tells where they are, or is written of these
        yield table.name, table.read_text()
        for seed in sorted(path for path in run.glob("arms/*/seed-*") if path.is_dir()):
            yield from ((f"{seed.relative_to(run)}/{name}", told) for name, told in parts(seed))
        return
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
    # The table itself is looked at without its times.
    told["outputs"].pop("dynamics", None)
    told["sampled"] = sum(worker["rollouts"] for worker in workers)
    return json.dumps(told, sort_keys=True)
