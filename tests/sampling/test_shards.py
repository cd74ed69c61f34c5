"""A new plan's pool is made whole or not at all: no kill loses a rollout or wedges the stage."""

import json
from pathlib import Path

import polars as pl
import pytest

from pipelines import sample
from rft.errors import RFTError
from rft.processes.stopping import Stop
from rft.runs import atomic, tables
from rft.runs.folder import Run
from rft.runs.stages import MARK, Job
from rft.sampling import shards
from rft.sampling.plan import Plan
from rft.sampling.shards import FinishedRollouts, pools_in, read_pool, renew
from tests.small_run import RIGHT, new_run, prepare
from tests.small_run import sample as write_rollouts


class Killed(BaseException):
    """Stands for kill -9: nothing that it passes may clean up."""


@pytest.fixture
def begun(tmp_path) -> tuple[Job, Plan]:
    """Begin a round whose rollouts are there already, by an earlier plan."""
    run = new_run(tmp_path / "run")
    prepare(run, answers={})
    write_rollouts(run, 1, [("p0", f"a{index} {RIGHT}", "stop", 0.5) for index in range(4)])
    return Job(run, sample.STAGE, 1, Stop(), lambda _: None), sample.STAGE.plan(run, 1)


def pool(job: Job) -> list[str]:
    [path] = pools_in(job.work)
    return sorted(name for rows in read_pool(path) for name in rows["rollout_id"])


def put_shard(job: Job, plan: Plan) -> Path:
    """Put rollouts of the plan into the work folder, without a receipt."""
    names = sorted(each.name(index) for each in plan.asked for index in range(each.n))
    rows = job.run.read("rollouts", 1).head(len(names))
    few = pl.lit([0.5], pl.List(pl.Float32))
    renamed = rows.with_columns(
        rollout_id=pl.Series(names[: len(rows)]),
        entropies=few,
        branching=pl.lit([1], pl.List(pl.Int32)),
        stats_mass=pl.lit(plan.sampling.mass, pl.Float32),
    )
    path = job.work / "worker-0" / "00000.parquet"
    tables.write_file(path, renamed.to_arrow())
    return path


def receive(shard: Path) -> list[str]:
    """Write a shard's receipt; give the names of its rollouts."""
    names = tables.read_file(shard)["rollout_id"].to_list()
    digest = tables.file_digest(shard)
    told = {"keys": names, "digest": digest, "tokens": 1, "seconds": 1.0, "closed": {}}
    shard.with_suffix(".json").write_text(json.dumps(told | {"figures": {}}))
    return sorted(names)


def test_a_kill_between_any_two_steps_of_a_new_plan_is_gone_on_from(begun, monkeypatch):
    job, plan = begun
    wanted = receive(put_shard(job, plan))
    left = 0

    def dying(operation):
        def act(*args, **options):
            nonlocal left
            if left == 0:
                raise Killed
            left -= 1
            return operation(*args, **options)

        return act

    steps = 0
    while True:
        with monkeypatch.context() as patch:
            left = steps
            patch.setattr(atomic.Path, "rename", dying(atomic.Path.rename))
            patch.setattr(Run, "put_away", dying(Run.put_away))
            patch.setattr(shards, "atomic_text", dying(shards.atomic_text))
            patch.setattr(shards, "write_pool", dying(shards.write_pool))
            patch.setattr(shards.shutil, "rmtree", dying(shards.shutil.rmtree))
            try:
                renew(job, plan, 1)
                break
            except Killed:
                steps += 1
        # The next attempt is not killed, and finds all of it; then it begins once more.
        renew(job, plan, 1)
        assert pool(job) == wanted
        assert not (job.work / shards.NEXT).exists()
        (job.work / MARK).unlink()
    assert steps >= 4, "it was hardly killed"
    assert pool(job) == wanted


def test_a_pool_of_which_the_mark_is_missing_is_made_again(begun):
    job, plan = begun
    renew(job, plan, 1)
    (job.work / MARK).unlink()
    renew(job, plan, 1)
    assert pool(job) == []


def changed(path: Path) -> None:
    """Change the completions of a file by hand."""
    rows = tables.read_file(path).with_columns(completion=pl.lit("changed"))
    tables.write_file(path, rows.to_arrow())


def test_a_pool_that_was_changed_by_hand_is_refused(begun):
    job, plan = begun
    receive(put_shard(job, plan))
    renew(job, plan, 1)
    changed(pools_in(job.work)[0])
    with pytest.raises(RFTError, match="damaged, not what its name says; move it away"):
        FinishedRollouts(job)
    with pytest.raises(RFTError, match="damaged, not what its name says; move it away"):
        renew(job, plan, 2)


@pytest.mark.parametrize("harm", [changed, Path.unlink])
def test_a_shard_that_is_not_what_its_receipt_says_comes_into_no_pool(begun, harm):
    job, plan = begun
    shard = put_shard(job, plan)
    receive(shard)
    harm(shard)
    with pytest.raises(RFTError, match="damaged, not what its receipt says; move both away"):
        renew(job, plan, 1)


def test_a_shard_without_a_receipt_does_not_exist(begun):
    job, plan = begun
    put_shard(job, plan)
    renew(job, plan, 1)
    assert pool(job) == []
