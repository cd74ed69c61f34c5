"""Pins the pool: a worker may hang, crash, or be killed, and nothing but its pair is affected.

Run: python -m pytest tests/grading/test_verifier_pool.py
"""

import os
import select
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from rft.errors import RFTError
from rft.grading.verifier import Verifier
from rft.grading.verifier_pool import Comparison, Outcome, Pool
from tests.command import ROOT

# Speaks the worker's words, and does as it is told.
FAKE = """
import json, os, select, signal, sys
from pathlib import Path
folder = Path(__file__).parent
say = lambda word: print(word, flush=True)
say("ready")
for line in sys.stdin:
    job = json.loads(line)
    for text in [job["gold"], *job["answers"]]:
        if text == "hang":
            signal.pause()
        elif text.startswith("slow"):
            select.select([], [], [], 0.3)
        elif text == "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        elif text == "memory":
            say("memory")
            sys.exit()
        elif text == "victim" and not (folder / "hit").exists():
            (folder / "hit").touch()
            os.abort()
        is_gold = text == job["gold"]
        say("bad" if text == "bad" else "good" if is_gold else "correct")
        if text == "bad":
            break
"""


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Pool]:
    script = tmp_path / "fake_worker.py"
    script.write_text(FAKE)
    pool = Pool(deadline=1, workers=2, memory_gb=4, script=script)
    yield pool
    pool.close()


def test_every_answer_gets_exactly_one_outcome(pool: Pool) -> None:
    jobs = [Comparison(f"gold {n}", [f"{n} {m}" for m in range(n % 5)]) for n in range(300)]
    outcomes = Counter(pool.run(jobs))
    expected = [Outcome(job.gold, None, "good") for job in jobs]
    expected += [Outcome(job.gold, text, "correct") for job in jobs for text in job.answers]
    assert outcomes == Counter(expected)


@pytest.mark.parametrize("fate", ["crash", "memory"])
def test_a_pair_that_kills_its_worker_is_lost_alone_after_a_second_try(
    pool: Pool, fate: str
) -> None:
    outcomes = list(pool.run([Comparison("g", ["a", fate, "b"]), Comparison("h", ["c"])]))
    answers = {outcome.answer: outcome for outcome in outcomes if outcome.answer is not None}
    assert answers.pop(fate) == Outcome("g", fate, None, fate)
    assert {text: outcome.word for text, outcome in answers.items()} == dict.fromkeys(
        "abc", "correct"
    )
    assert len([outcome for outcome in outcomes if outcome.answer is not None]) == 4


def test_a_pair_that_hangs_is_lost_alone_and_tried_once(pool: Pool) -> None:
    outcomes = list(pool.run([Comparison("g", ["hang", "a", "hang too", "b"])]))
    assert Outcome("g", "hang", None, "deadline") in outcomes
    assert [outcome.word for outcome in outcomes if outcome.answer in ("a", "b")] == ["correct"] * 2
    assert pool.started == 2


def test_the_deadline_is_that_of_one_pair_not_of_a_job(pool: Pool) -> None:
    outcomes = list(pool.run([Comparison("g", [f"slow {number}" for number in range(5)])]))
    assert [outcome.word for outcome in outcomes] == ["good"] + ["correct"] * 5


def test_the_victim_of_somebody_else_gets_its_verdict(pool: Pool) -> None:
    outcomes = list(pool.run([Comparison("g", ["victim", "a"])]))
    assert Outcome("g", "victim", "correct") in outcomes
    assert Outcome("g", "a", "correct") in outcomes


@pytest.mark.parametrize("gold", ["crash", "hang", "memory", "bad"])
def test_a_gold_that_is_bad_or_kills_ends_its_jobs(pool: Pool, gold: str) -> None:
    jobs = [Comparison(gold, ["a"])] * 20
    outcomes = list(pool.run([*jobs, Comparison("good", ["z"])]))
    assert {outcome.answer for outcome in outcomes if outcome.gold == gold} == {None}
    # Both workers may have had one; nobody takes another.
    assert 1 <= len([outcome for outcome in outcomes if outcome.gold == gold]) <= 2
    assert Outcome("good", "z", "correct") in outcomes


def test_a_run_that_is_left_half_way_does_not_answer_the_next(pool: Pool) -> None:
    run = pool.run([Comparison("g", [str(number) for number in range(50)])])
    next(run)
    run.close()
    assert set(pool.run([Comparison("h", ["a"])])) == {
        Outcome("h", None, "good"),
        Outcome("h", "a", "correct"),
    }


def test_workers_stay_for_the_next_run(pool: Pool) -> None:
    for _ in range(3):
        assert len(list(pool.run([Comparison("g", ["a"])]))) == 2
    assert pool.started == 1


def test_an_idle_worker_that_dies_is_replaced(pool: Pool) -> None:
    for _ in range(5):
        assert Outcome("g", "a", "correct") in list(pool.run([Comparison("g", ["a"])]))
        (pid,) = pool.pids
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert pool.started >= 5


def test_closing_ends_every_worker(pool: Pool) -> None:
    list(pool.run([Comparison(str(number), ["a"]) for number in range(4)]))
    pids = pool.pids
    assert pids
    pool.close()
    assert pool.pids == []
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_worker_that_cannot_start_is_an_error_that_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "math_verify.py").write_text("raise ImportError('no parser here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with Verifier(workers=1) as verifier, pytest.raises(RFTError, match="no parser here"):
        verifier.verdicts([("x", "y")])


@pytest.mark.skipif(sys.platform != "linux", reason="macOS ignores the limit")
def test_a_memory_limit_without_room_is_an_error_not_a_verdict() -> None:
    with Verifier(workers=1, memory_gb=0.1) as verifier, pytest.raises(RFTError, match="no room"):
        verifier.verdicts([("x", "y")])


def test_ctrl_c_is_for_the_parent() -> None:
    with Verifier(deadline=60, workers=1) as verifier:
        verifier.verdicts([("x", "y")])
        (pid,) = verifier.pids
        os.kill(pid, signal.SIGINT)
        assert verifier.verdicts([("x+1", "1+x")])["x+1", "1+x"].verdict == "correct"
        assert verifier.pids == [pid]
        # The terminal sends it to the whole group, and this one is not ours.
        assert os.getpgid(pid) != os.getpgid(0)


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="waits for a process that is no child")
@pytest.mark.parametrize("answer", ["x+1", "9^{9^{9^{9}}}"])
def test_workers_do_not_outlive_a_killed_parent(answer: str) -> None:
    script = """
import os, signal, sys
from rft.grading.verifier_pool import Comparison, Pool
pool = Pool(deadline=1, workers=1, memory_gb=4)
list(pool.run([Comparison("4", ["5"])]))
# Hands out the job and listens to the first word only: the worker is at the answer now.
run = pool.run([Comparison("4", [sys.argv[1]])])
next(run)
print(*pool.pids, flush=True)
sys.stdin.readline()
os.kill(os.getpid(), signal.SIGKILL)
"""
    with subprocess.Popen(
        [sys.executable, "-c", script, answer],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        text=True,
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        worker = os.pidfd_open(int(parent.stdout.readline()))
        parent.communicate("\n")
    try:
        # Idle, it sees its pipe end; busy, the kernel ends it some CPU seconds after its deadline.
        readable, _, _ = select.select([worker], [], [], 60)
        assert readable
    finally:
        os.close(worker)
