"""Pins that scoring goes on after a kill, and that nothing is scored twice or taken over wrongly.

One real run is replayed without its statistics, and ranked as before.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner

from pipelines import score as stage
from pipelines.perform import STAGES
from rft.cli import cli
from rft.errors import Interrupted
from rft.prompt import Prompter
from rft.recipe.loading import load_recipe
from rft.runs import tables
from rft.runs.folder import Run, open_run
from rft.runs.stages import is_current
from rft.seeds import digest
from rft.token_stats import forward
from tests.command import ROOT
from tests.scored_run import OFF, answers, begin, go_on, manifest, sample


def outcome(run: Run) -> pl.DataFrame:
    return run.read("scored", 1)


def prepared(path: Path, prompts: Prompter, *overrides: str) -> Run:
    run = begin(path, "select.by=entropy", "score.micro_batch=3", *overrides)
    sample(run, prompts, answers(20, 0))
    go_on(run, "grade", "filter")
    return run


@pytest.fixture
def batches(monkeypatch) -> list[int]:
    """Record the sizes of the batches that are scored."""
    real, sizes = forward._forward, []

    def count(halves: Any, rows: Any, mass: float) -> Any:
        sizes.append(len(rows))
        return real(halves, rows, mass)

    monkeypatch.setattr(forward, "_forward", count)
    return sizes


def test_a_stop_in_the_middle_keeps_what_is_finished_and_the_table_comes_out_equal(
    tmp_path, prompts, batches, monkeypatch
):
    whole_run, stopped = (prepared(tmp_path / name, prompts) for name in ("whole", "stopped"))
    go_on(whole_run, "score")
    assert batches == [3] * 6 + [2]
    batches.clear()
    asked = []

    def check(_: Any) -> None:
        asked.append(1)
        if len(asked) == 4:
            raise Interrupted("stopped")

    with monkeypatch.context() as patch:
        patch.setattr("rft.processes.stopping.Stop.check", check)
        with pytest.raises(Interrupted):
            go_on(stopped, "score")
    assert batches == [3] * 3
    assert stopped.manifest("score", 1) is None
    go_on(stopped, "score")
    assert batches == [3] * 6 + [2]
    assert outcome(stopped).equals(outcome(whole_run))
    assert manifest(stopped)["tokens_scored_now"] < manifest(stopped)["tokens"]
    assert not stopped.work("score", 1).exists()


DIE = """
import os, sys
sys.path.insert(0, {tests!r})
from tests import small_run
from pipelines import score
from rft.runs import tables
from rft.token_stats import forward
from rft.runs.folder import open_run
from pathlib import Path
real, done = forward._forward, []
def die(*given):
    if len(done) == 4:
        os._exit(9)
    done.append(1)
    return real(*given)
forward._forward = die
score.SECONDS = 0.0
small_run.do(open_run(Path({run!r})), "score", 1)
"""


def test_a_sudden_death_costs_no_finished_batch_once_it_is_written(tmp_path, prompts, batches):
    whole_run, killed = (prepared(tmp_path / name, prompts) for name in ("whole", "killed"))
    go_on(whole_run, "score")
    batches.clear()
    code = DIE.format(tests=str(ROOT), run=str(killed.path))
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=120, env=os.environ)
    assert done.returncode == 9
    units = list(killed.work("score", 1).glob("unit-*.parquet"))
    assert len(units) == 4
    go_on(killed, "score")
    assert batches == [3, 3, 2]
    assert outcome(killed).equals(outcome(whole_run))


@pytest.mark.usefixtures("no_model")
def test_another_ranking_uses_what_is_scored_already(tmp_path, prompts, monkeypatch):
    run = begin(tmp_path, "select.by=entropy")
    sample(run, prompts, answers(6, 2))
    go_on(run, "grade", "filter")
    with monkeypatch.context() as patch:
        patch.setattr(stage, "load", forward.load)
        go_on(run, "score")
    before = outcome(run)
    other = Run(run.path, load_recipe("smoke", [OFF, "select.noise=0", "select.by=branching"]))
    assert not is_current(STAGES["score"], other, 1)
    go_on(other, "score")
    assert outcome(other).equals(before)
    assert manifest(other)["tokens_scored_now"] == 0
    # At another mass, branching is something else.
    more = [OFF, "select.noise=0", "select.by=branching", "sample.statistics.mass=0.5"]
    with pytest.raises(AssertionError, match="was loaded"):
        go_on(Run(run.path, load_recipe("smoke", more)), "score")


def test_the_same_rollout_sampled_again_with_other_tokens_is_scored_again(
    tmp_path, prompts, batches
):
    run = begin(tmp_path, "select.by=entropy", "score.micro_batch=1")
    sample(run, prompts, answers(6, 0))
    go_on(run, "grade", "filter", "score")
    assert len(batches) == 6
    before = outcome(run)
    changed = answers(6, 0)
    changed[3] = "well, " + changed[3]
    run.put_away([run.manifest_path("sample", 1)])
    sample(run, prompts, changed)
    go_on(run, "grade", "filter", "score")
    assert len(batches) == 7
    after = outcome(run)
    differ = [
        one["rollout_id"]
        for one, other in zip(before.to_dicts(), after.to_dicts(), strict=True)
        if one != other
    ]
    assert differ == [digest("r", 3)]


def test_the_unfinished_work_of_another_mass_is_put_away(tmp_path, prompts, batches):
    run = prepared(tmp_path, prompts)
    work = run.work("score", 1)
    work.mkdir(parents=True)
    (work / "key").write_text("another model")
    (work / "unit-0.parquet").write_bytes(b"not even a table")
    go_on(run, "score")
    assert sum(batches) == 20
    assert list(run.path.glob("stale/*/work/*score/unit-0.parquet"))


@pytest.mark.slow
@pytest.mark.usefixtures("stages_here")
def test_a_replay_without_statistics_is_ranked_as_the_engine_would_have(tmp_path, finished):
    """One real run records; another replays its tokens alone and has to score them."""
    first, second = tmp_path / "first", tmp_path / "second"
    by = [word for each in ("select.by=entropy", "select.noise=0") for word in ("--set", each)]
    shutil.copytree(finished, first)
    done = CliRunner().invoke(cli, ["run", str(first), *by, "--update"])
    assert done.exit_code == 0, done.output
    wanted = open_run(first).read("graded", 1)
    best = open_run(first).read("selected", 1)
    lost = ["entropies", "branching", "logprobs", "stats_origin", "stats_mass"]
    for path in tables.parts(first / "rollouts" / "round-0001"):
        frame = tables.read_file(path)
        frame = frame.with_columns(pl.lit(None, frame.schema[name]).alias(name) for name in lost)
        tables.write_file(path, tables.conform(frame, "rollouts"))
    replay = ["--set", f"engine={{kind: replay, path: {first}}}"]
    done = CliRunner().invoke(cli, ["run", "smoke", "--out", str(second), *by, *replay])
    assert done.exit_code == 0, done.output
    run = open_run(second)
    place = ["problem_id", "sample_index"]
    both = (
        run.read("scored", 1)
        .join(run.read("kept", 1).select("rollout_id", "response", *place), on="rollout_id")
        .join(wanted, on=place, suffix=" engine")
    )
    selected = run.read("selected", 1)
    assert len(both) == len(selected) == len(best) > 10
    assert set(selected["stats_origin"]) == {"scored"}
    for name in ("mean_entropy", "mean_branching", "mean_nll", "num_response_tokens"):
        assert both[name].to_list() == pytest.approx(both[f"{name} engine"].to_list(), abs=1e-3)
    assert selected.select(place).equals(best.select(place))
    assert "score" in (second / "events.jsonl").read_text()
    again = CliRunner().invoke(cli, ["run", str(second)])
    assert again.exit_code == 0
    assert "nothing to do" in again.output
