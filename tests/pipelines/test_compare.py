"""The runs of a comparison: in which order, with which words, and how they end.

No process is started: `outlast`, which does one, is stood in for by what a test says of it.
"""

import contextlib
import errno
import os
import threading
from collections import Counter
from pathlib import Path

import pytest

from pipelines import compare
from pipelines.compare import (
    ArmRun,
    Told,
    arm_runs,
    environment,
    in_words,
    left_alone,
    log_of,
    note_recipes,
    ready,
    refuse_other_work,
    rooted_arms,
    run_arms,
    why,
)
from rft.errors import Interrupted, RFTError
from rft.processes.stopping import Stop
from rft.recipe.loading import load_arms
from rft.runs.lock import TOKEN, hold
from tests.comparing import write_recipe


class Runs:
    """Stands for the processes: says how each ends, and remembers what was done when."""

    def __init__(self, folder: Path, jobs: int = 1, **changes: object):
        whole, arms = rooted_arms(*load_arms(write_recipe(folder, **changes)))
        self.runs = arm_runs(folder / "arms", whole, arms)
        self.jobs, self.stop = jobs, Stop()
        self.done: set[str] = set()
        self.order: list[str] = []
        self.said: list[str] = []
        self.ends: dict[str, list] = {}
        self.at_work: set[str] = set()
        self.turn = threading.Lock()

    def outlast(self, words, _stop, log, env) -> int:
        assert TOKEN not in env
        assert words[-2] == "--"
        name = next(
            each.name for each in self.runs if str(each.run.path) == words[words.index("--out") + 1]
        )
        with self.turn:
            self.order.append(name)
            self.at_work.add(name)
            assert len(self.at_work) <= self.jobs
            assert name.startswith("rules") or name.replace("entropy", "rules") in self.freed
        how = self.ends[name].pop(0) if self.ends.get(name) else 0
        if callable(how):
            how = how()
        text, code = how if isinstance(how, tuple) else ("", how)
        log.write(text.encode())
        with self.turn:
            self.at_work.discard(name)
            if not code:
                self.done.add(name)
        return code

    @property
    def freed(self) -> set[str]:
        """Name the controls that hold nobody up: done, or ended in another way."""
        ended = {line.partition(":")[0] for line in self.said if "failed" in line or "stop" in line}
        return self.done | ended

    def go(self) -> bool:
        return run_arms(self.runs, jobs=self.jobs, stop=self.stop, say=self.said.append)

    def fails(self, kind: type[Exception]) -> str:
        with pytest.raises(kind) as error:
            self.go()
        assert "\n" not in str(error.value)
        return str(error.value)


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Make runs, by a recipe with what is changed of its section."""

    def made(jobs: int = 1, **changes: object) -> Runs:
        standing = Runs(tmp_path, jobs, **changes)
        monkeypatch.setattr(compare, "outlast", standing.outlast)
        monkeypatch.setattr(compare, "take_over", lambda *_: [])
        monkeypatch.setattr(ArmRun, "done", lambda each: each.name in standing.done)
        return standing

    return made


ALL = ["rules, seed 0", "entropy, seed 0", "rules, seed 1", "entropy, seed 1"]


def test_the_control_of_a_seed_comes_first_and_then_the_others_of_that_seed(runs):
    made = runs()
    assert [each.name for each in made.runs] == ALL
    assert made.go()
    assert made.order == ALL
    assert not made.go()
    assert made.order == ALL


def test_who_may_begin(runs):
    zero, one, two, three = runs().runs
    assert ready([zero, one, two, three], [], "rules") == [zero, two]
    assert ready([one, two, three], [zero], "rules") == [two]
    assert ready([one, three], [zero, two], "rules") == []
    assert ready([one, two, three], [], "rules") == [one, two]
    assert ready([three], [], "rules") == [three]


def test_several_at_a_time_are_never_more_and_wait_for_their_control(runs):
    arms = {"rules": {}, "entropy": {"select.by": "entropy"}}
    made = runs(3, seeds=[0, 1, 2, 3, 4], arms=arms)
    assert made.go()
    assert Counter(made.order) == Counter(each.name for each in made.runs)


def test_it_is_told_what_begins_and_is_done_and_how_long_the_rest_may_take(runs, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(compare.time, "monotonic", lambda: now[0])
    made = runs()
    made.done.add("rules, seed 0")

    def later(seconds):
        def end():
            now[0] += seconds
            return 0

        return [end]

    made.ends = {name: later(600) for name in ALL}
    assert made.go()
    assert made.said == [
        "entropy, seed 0: begins",
        "entropy, seed 0: done (2 of 4, about 20 min left)",
        "rules, seed 1: begins",
        "rules, seed 1: done (3 of 4, about 10 min left)",
        "entropy, seed 1: begins",
        "entropy, seed 1: done (4 of 4)",
    ]


def test_what_has_failed_is_not_waited_for_by_the_clock(runs, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(compare.time, "monotonic", lambda: now[0])
    made = runs().runs
    said: list[str] = []
    told = Told(said.append, 4, 4)
    told.ended(made[0], 2, "why")
    now[0] = 7_200.0
    told.ended(made[2], 0, "")
    assert said[-1] == "rules, seed 1: done (1 of 4, about 4.0 hours left)"
    assert [in_words(seconds) for seconds in (0, 89, 5_340, 5_400, 90_000)] == [
        *("1 min", "1 min", "89 min", "1.5 hours", "25.0 hours")
    ]


def test_a_run_that_fails_holds_up_no_other_and_is_told_once(runs):
    made = runs()
    made.ends["rules, seed 0"] = [("round 1: sample\nError: no such key\n", 2)]
    said = made.fails(RFTError)
    log = log_of(made.runs[0])
    assert said == f"rules, seed 0: no such key ({log})"
    assert made.order == ALL
    assert f"rules, seed 0: failed ({log})" in made.said
    assert sum("no such key" in line for line in made.said) == 0


def test_of_several_failures_the_first_is_told_and_how_many_more(runs):
    made = runs()
    made.ends = {name: [(f"Error: {name[-1]}\n", 2)] for name in ALL[:3]}
    assert made.fails(RFTError).endswith("(and 2 more)")


def test_a_failure_comes_before_what_was_only_stopped(runs):
    made = runs()
    made.ends["rules, seed 0"] = [("Stopped: x. Run the same command again to go on.\n", 75)]
    made.ends["rules, seed 1"] = [("Error: y\n", 2)]
    assert made.fails(RFTError).startswith("rules, seed 1: y")


@pytest.mark.parametrize(
    ("end", "told"),
    [
        (("Stopped: lost. Run the same command again to go on.\n", 75), "lost ("),
        (-9, "killed by signal 9 (out of memory?) ("),
        (75, "ended with 75 ("),
        (("last words\n", 143), "last words ("),
    ],
)
def test_a_run_that_is_lost_is_gone_on_with_by_the_next_call(runs, end, told):
    made = runs()
    made.ends["rules, seed 1"] = [end]
    assert made.fails(Interrupted).startswith(f"not all runs are done: rules, seed 1: {told}")
    assert made.go()
    assert made.order == [*ALL, "rules, seed 1"]


def test_a_bug_is_told_by_the_last_line_of_its_traceback(runs):
    made = runs()
    made.ends["rules, seed 0"] = [("Traceback (most recent call last):\nKeyError: 'x: y'\n", 1)]
    assert made.fails(RFTError).startswith("rules, seed 0: KeyError: 'x: y' (")


def test_what_an_earlier_call_has_said_is_not_told_again(tmp_path):
    log = tmp_path / "log"
    log.write_text("Error: of yesterday\n" + "x" * 30_000)
    since = log.stat().st_size
    assert why(log, since, 75) == f"ended with 75 ({log})"
    with log.open("a") as file:
        file.write("\x1b[2JError: no\nError: of today\x1b[2J\nsaid after it\n" + "y" * 5_000)
    assert why(log, since, 2) == f"of today [2J ({log})"


def test_a_stop_lets_nothing_begin_any_more_and_says_so_once(runs):
    made = runs(2)

    def stopped():
        made.stop.since, made.stop.reason = 0.0, "SIGINT"
        return 75

    made.ends["rules, seed 0"] = [stopped]
    made.ends["rules, seed 1"] = [lambda: 75 if made.stop.asked() else 0]
    said = made.fails(Interrupted)
    assert said == "stopped by SIGINT; what is finished is kept"
    assert not [name for name in made.order if name == "entropy, seed 0"]
    assert not [line for line in made.said if "sample" in line]


# Several calls ------------------------------------------------------------------------------------


@contextlib.contextmanager
def another_process(each: ArmRun, monkeypatch):
    """Hold a run's lock as another process would."""
    each.run.path.mkdir(parents=True, exist_ok=True)
    with hold(each.run.path / "lock"):
        monkeypatch.delenv(TOKEN)
        yield


def test_what_another_call_works_on_is_left_to_it_and_the_rest_is_done(runs, monkeypatch):
    made = runs()
    with another_process(made.runs[0], monkeypatch):
        assert made.fails(Interrupted) == (
            "not all runs are done: rules, seed 0: another process works on it"
        )
    # The other arm of that seed would have to do what the control is doing.
    assert made.order == ALL[2:]
    assert made.go()
    assert made.order == [*ALL[2:], *ALL[:2]]


def test_a_run_that_another_call_was_faster_to_begin_is_looked_at_again(runs, monkeypatch):
    made, theirs = runs(), contextlib.ExitStack()

    def taken():
        theirs.enter_context(another_process(made.runs[0], monkeypatch))
        return 75

    def free():
        theirs.close()
        return 0

    made.ends = {"rules, seed 0": [taken], "rules, seed 1": [free]}
    assert made.go()
    assert made.order == [ALL[0], ALL[2], ALL[0], *ALL[1::2]] or made.order[:2] == [ALL[0], ALL[2]]
    assert Counter(made.order) == Counter([*ALL, ALL[0]])


def test_what_another_call_has_done_meanwhile_is_not_begun(runs):
    made = runs()

    def meanwhile():
        made.done.add("entropy, seed 0")
        return 0

    made.ends["rules, seed 0"] = [meanwhile]
    assert made.go()
    assert made.order == [ALL[0], *ALL[2:]]
    assert made.said[-1] == "entropy, seed 1: done (4 of 4)"


def test_other_settings_are_refused_while_another_call_works_by_those_written_down(
    tmp_path, monkeypatch
):
    whole, arms = rooted_arms(*load_arms(write_recipe(tmp_path)))
    folder = tmp_path / "arms"
    runs = arm_runs(folder, whole, arms)
    refuse_other_work(folder, whole, runs)
    note_recipes(folder, whole, runs)
    other = whole.model_copy(update={"seed": 1})
    refuse_other_work(folder, other, runs)
    with another_process(runs[1], monkeypatch):
        refuse_other_work(folder, whole, runs)
        with pytest.raises(RFTError, match=r"works on it by other settings \(entropy, seed 0\)"):
            refuse_other_work(folder, other, runs)


# One run ------------------------------------------------------------------------------------------


def test_a_full_disk_ends_one_run_in_one_line(runs, monkeypatch):
    made = runs()

    def full(run, _siblings):
        if run.path.parent.name == "entropy" and run.path.name == "seed-0":
            raise OSError(errno.ENOSPC, "No space left on device")
        return []

    monkeypatch.setattr(compare, "take_over", full)
    assert made.fails(RFTError).startswith("entropy, seed 0: the disk is full")
    assert made.order == [ALL[0], *ALL[2:]]


def test_a_lock_that_is_none_is_told_of_by_its_run(runs):
    made = runs()
    path = made.runs[2].run.path
    path.mkdir(parents=True)
    (path / "lock").write_text("{")
    assert "rules, seed 1: " in (said := made.fails(RFTError))
    assert "not a lock file of ours" in said
    assert ALL[0] in made.order


def test_runs_at_a_time_share_the_cores_and_hand_on_no_lock(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert "OMP_NUM_THREADS" not in environment(1, {})
    assert environment(2, {})["OMP_NUM_THREADS"] == "4"
    assert environment(64, {})["OMP_NUM_THREADS"] == "1"
    assert environment(2, {"OMP_NUM_THREADS": "3"})["OMP_NUM_THREADS"] == "3"
    given = environment(1, {TOKEN: "x", "HOME": "/h"})
    assert TOKEN not in given
    assert given["HOME"] == "/h"


def test_a_damaged_run_is_not_done_and_stops_no_list(tmp_path):
    whole, arms = rooted_arms(*load_arms(write_recipe(tmp_path)))
    one, *_ = arm_runs(tmp_path / "arms", whole, arms)
    assert not one.done()
    one.run.path.mkdir(parents=True)
    (one.run.path / "recipe.yaml").write_text("seed: [")
    assert not one.done()


# What is written down -----------------------------------------------------------------------------


def test_the_folder_is_known_as_a_comparison_from_its_first_file_on(tmp_path, monkeypatch):
    whole, arms = rooted_arms(*load_arms(write_recipe(tmp_path)))
    runs = arm_runs(tmp_path / "arms", whole, arms)
    written: list[str] = []
    monkeypatch.setattr(compare, "atomic_text", lambda path, _: written.append(path.name))
    note_recipes(tmp_path / "arms", whole, runs)
    assert written == ["compare.yaml", "arm.yaml", "arm.yaml"]


def test_arms_that_the_recipe_has_no_more_are_named(tmp_path):
    whole, arms = rooted_arms(*load_arms(write_recipe(tmp_path)))
    note_recipes(tmp_path / "arms", whole, arm_runs(tmp_path / "arms", whole, arms))
    assert left_alone(tmp_path / "arms", arms) == []
    assert left_alone(tmp_path / "arms", ["rules"]) == ["entropy"]


def test_paths_mean_the_same_from_anywhere_those_of_an_arm_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m").mkdir()
    (tmp_path / "p.jsonl").write_text("{}\n")
    changes = {"model.path": "m", "select.budget": 5, "prepare.train": {"source": "p.jsonl"}}
    recipe = write_recipe(tmp_path, arms={"rules": {}, "other": changes})
    whole, arms = rooted_arms(*load_arms(recipe))
    note_recipes(tmp_path / "arms", whole, arm_runs(tmp_path / "arms", whole, arms))
    monkeypatch.chdir("/")
    again, theirs = rooted_arms(*load_arms(str(tmp_path / "arms" / "compare.yaml")))
    assert (again, theirs) == (whole, arms)
    assert theirs["other"].model.path == str(tmp_path / "m")
    assert theirs["other"].prepare.train.source == str(tmp_path / "p.jsonl")
    assert again.compare.arms["other"]["select.budget"] == 5
