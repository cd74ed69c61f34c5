"""Waves: any order, engine or kill asks for the same answers, and nothing is asked twice."""

import random
from collections import Counter
from concurrent.futures import wait as wait_for

import polars as pl
import pytest

from rft.engines import Finished
from rft.errors import Interrupted
from rft.processes.stopping import Stop
from rft.recipe import Until
from rft.runs import tables
from rft.runs.models import ModelRef
from rft.runs.stages import Job, Stage
from rft.sampling.collect import collect, collect_share
from rft.sampling.plan import Asked, Plan
from rft.sampling.shards import key_in, receipts
from rft.sampling.worker import Worker, leases_of
from rft.seeds import derive, digest
from tests.small_run import new_run

PROBLEMS = [f"p{number:02}" for number in range(12)]
UNTIL = Until(accepted=3, max=10, wave=2)


def right(problem: str, index: int) -> bool:
    """Solve later problems more rarely, the first always and the last never."""
    hardness = PROBLEMS.index(problem) / (len(PROBLEMS) - 1)
    return derive("luck", problem, index) / 2**63 >= hardness


def expected(problem: str, until: Until) -> int:
    """Count the answers that a problem takes, by the rule as it is written down."""
    drawn = 0
    while drawn < until.max:
        drawn = min(drawn + until.wave, until.max)
        if sum(right(problem, index) for index in range(drawn)) >= until.accepted:
            break
    return drawn


class Fake:
    """Answer in a random order, as an engine that is always full, or in batches."""

    def __init__(self, together: bool, room: int = 5, seed: int = 0, dies_after: int | None = None):
        self.together, self.room, self.random = together, room, random.Random(seed)
        self.left = dies_after
        self.batches: list[tuple[str, ...]] = []
        self.sampled: Counter[str] = Counter()

    def units(self, requests):
        size = 7 if self.together else 1
        ordered = sorted(requests, key=lambda request: request.rollout_id)
        return [ordered[start : start + size] for start in range(0, len(ordered), size)]

    def sample(self, feed, _sampling, *, check):
        flying = []
        while True:
            while len(flying) < (1 if self.together else self.room):
                unit = feed.take(wait=not flying)
                if unit is None:
                    break
                flying.append(unit)
            if not flying:
                return
            check()
            unit = flying.pop(self.random.randrange(len(flying)))
            if self.left is not None:
                if self.left <= 0:
                    raise Interrupted("killed")
                self.left -= len(unit)
            self.batches.append(tuple(request.rollout_id for request in unit))
            self.sampled.update(request.rollout_id for request in unit)
            yield [self.finished(request) for request in unit]

    def finished(self, request):
        text = "right" if right(request.problem_id, request.sample_index) else "wrong"
        return Finished(request, text, "stop", [1, 2], None, None, None, None, request.seed)

    def figures(self):
        return {"fake": 1}


def accept(rollouts: pl.DataFrame) -> list[str]:
    return rollouts.filter(pl.col("completion") == "right")["rollout_id"].to_list()


@pytest.fixture
def begun(tmp_path, monkeypatch):
    """Give a function that samples with a fake engine and returns its rollouts."""
    monkeypatch.setattr("rft.sampling.worker.preflight", lambda *_: None)

    def sample(engine, *, until=UNTIL, n=10, key="k", name="run", share=None, problems=PROBLEMS):
        off = "sample.statistics={entropy: false, branching: false}"
        kind = "transformers" if engine.together else "vllm"
        run = new_run(tmp_path / name, off, f"engine.kind={kind}")
        asked = [
            Asked(
                problem,
                1,
                "",
                tuple(range(1 + PROBLEMS.index(problem) % 3)),
                until.max if until else n,
                lambda index, problem=problem: digest("r", problem, index),
                lambda index, problem=problem: derive("s", problem, index),
            )
            for problem in problems
        ]
        model = ModelRef("nowhere", "m")
        plan = Plan(run, "sample", 1, model, None, run.recipe.sample, asked, (), until)
        monkeypatch.setattr("rft.sampling.worker.open_engine", lambda *_: engine)
        stage = Stage("sample", lambda *_: {"key": key}, lambda *_: {}, lambda _: None)
        job = Job(run, stage, 1, Stop(), lambda _: None, accept)
        if share:
            return collect_share(job, plan, *share)
        return collect(job, plan)

    return sample


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_every_problem_is_asked_until_it_is_solved_or_its_most_is_reached(begun, together, seed):
    rows = begun(Fake(together, seed=seed))
    drawn = dict(rows["problem_id"].value_counts().iter_rows())
    assert drawn == {name: expected(name, UNTIL) for name in PROBLEMS}
    assert rows["rollout_id"].is_unique().all()
    assert len(set(drawn.values())) > 2, "the problems should differ"


@pytest.mark.parametrize("until", [UNTIL, Until(accepted=1, max=1, wave=1), None])
@pytest.mark.parametrize("together", [True, False])
def test_a_kill_at_any_point_changes_nothing(begun, together, until):
    whole = begun(Fake(together), until=until, n=4, name="whole")
    for moment in range(0, len(whole) - 7, 5):
        name, engines = f"killed{moment}", [Fake(together, seed=moment, dies_after=moment)]
        with pytest.raises(Interrupted):
            begun(engines[0], until=until, n=4, name=name)
        engines.append(Fake(together, seed=moment + 1))
        assert begun(engines[1], until=until, n=4, name=name).equals(whole)
        # What was finished before the kill is not sampled again.
        assert max((engines[0].sampled + engines[1].sampled).values()) == 1


def test_batches_that_must_not_change_are_the_same_after_a_kill(begun):
    whole = Fake(True)
    begun(whole, name="whole")
    first, second = Fake(True, dies_after=20), Fake(True)
    with pytest.raises(Interrupted):
        begun(first, name="killed")
    begun(second, name="killed")
    assert set(first.batches) | set(second.batches) == set(whole.batches)
    assert not set(first.batches) & set(second.batches)


class Holding(Fake):
    """Keep the first request unanswered until nothing else is to be had."""

    def sample(self, feed, sampling, *, check):
        (held,) = feed.take(wait=True)
        self.before: Counter[str] = Counter()
        while (unit := self.next(feed)) is not None:
            self.before.update(request.problem_id for request in unit)
            yield [self.finished(request) for request in unit]
        self.held = held.problem_id
        yield [self.finished(held)]
        yield from super().sample(feed, sampling, check=check)

    def next(self, feed):
        """Take a unit as an engine with something in flight does: it asks again and never waits."""
        while (unit := feed.take(wait=False)) is None and feed.judging:
            wait_for([feed.judging[0]])
        return unit


@pytest.mark.parametrize("until", [UNTIL, None])
def test_one_slow_answer_holds_up_no_other_problem(begun, monkeypatch, until):
    work = Worker.work
    monkeypatch.setattr(Worker, "work", lambda self, _: work(self, iter(leases_of(self.plan, 3))))
    engine = Holding(False)
    begun(engine, until=until)
    wanted = {name: expected(name, until) if until else 10 for name in PROBLEMS}
    # Of its own problem all that is asked for at once.
    assert engine.before.pop(engine.held) == (until.wave if until else 10) - 1
    del wanted[engine.held]
    assert engine.before == wanted


def test_a_higher_target_uses_what_is_there(begun, tmp_path):
    more = Until(accepted=5, max=10, wave=2)
    first, second = Fake(False), Fake(False)
    before = begun(first)
    # As when the stage was done: its table is the pool of the next plan.
    tables.write(tmp_path / "run" / "rollouts" / "round-0001", "rollouts", before)
    after = begun(second, until=more, key="other")
    drawn = dict(after["problem_id"].value_counts().iter_rows())
    assert drawn == {name: expected(name, more) for name in PROBLEMS}
    assert not set(second.sampled) & set(before["rollout_id"])


def test_a_lower_target_takes_only_what_it_asks_for_and_loads_no_engine(begun):
    begun(Fake(False))
    less, idle = Until(accepted=1, max=10, wave=2), Fake(False)
    idle.units = None  # would fail if it were asked
    rows = begun(idle, until=less, key="other")
    drawn = dict(rows["problem_id"].value_counts().iter_rows())
    assert drawn == {name: expected(name, less) for name in PROBLEMS}


@pytest.mark.parametrize("together", [True, False])
def test_shares_of_an_array_job_are_put_together(begun, together):
    whole = begun(Fake(together), name="whole")
    engines = [Fake(together, seed=index) for index in range(3)]
    counts = [begun(engine, share=(index, 3)) for index, engine in enumerate(engines)]
    assert sum(counts) == len(PROBLEMS)
    last = Fake(together)
    assert begun(last).sort("rollout_id").equals(whole.sort("rollout_id"))
    assert not last.sampled
    assert max(sum((each.sampled for each in engines), Counter()).values()) == 1


def test_a_share_that_never_came_is_sampled_by_who_puts_them_together(begun):
    whole = begun(Fake(False), name="whole")
    with pytest.raises(Interrupted):
        begun(Fake(False, dies_after=9), share=(1, 3))
    begun(Fake(False), share=(0, 3))
    assert begun(Fake(False)).equals(whole)


def test_a_share_of_another_plan_is_put_away(begun, tmp_path):
    begun(Fake(False), share=(0, 2), key="old")
    engine = Fake(False)
    begun(engine, share=(0, 2), key="new")
    assert list((tmp_path / "run" / "stale").rglob("array-0-of-2"))


def test_a_receipt_whose_shard_is_damaged_is_one_line(begun, tmp_path):
    with pytest.raises(Interrupted):
        begun(Fake(True, dies_after=20))
    work = tmp_path / "run" / "work" / "round-0001-sample"
    (receipt, *_) = receipts(work, key_in(work))
    receipt.shard.write_bytes(b"PAR1")
    with pytest.raises(Exception, match="damaged, not what its receipt says"):
        begun(Fake(True))


def test_a_shard_without_a_receipt_does_not_exist(begun, tmp_path):
    with pytest.raises(Interrupted):
        begun(Fake(True, dies_after=20))
    work = tmp_path / "run" / "work" / "round-0001-sample"
    (receipt, *_) = receipts(work, key_in(work))
    receipt.path.unlink()
    again = Fake(True)
    begun(again)
    assert set(receipt.keys) <= set(again.sampled)


def test_an_error_of_the_judge_is_not_swallowed(begun, monkeypatch):
    def broken(_rollouts):
        raise ValueError("no verdict")

    monkeypatch.setattr(f"{__name__}.accept", broken)
    with pytest.raises(ValueError, match="no verdict"):
        begun(Fake(False))


def test_requests_carry_their_own_seed(begun):
    rows = begun(Fake(False))
    for row in rows.iter_rows(named=True):
        assert row["seed"] == derive("s", row["problem_id"], row["sample_index"])
