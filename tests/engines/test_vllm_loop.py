"""The commands on real vLLM, on the CPU: the whole loop, kills, several workers, and bad input."""

import json
import os
import signal
import subprocess
import threading
from pathlib import Path

import polars as pl
import pytest

from tests.command import command, rft

pytest.importorskip("vllm")
pytestmark = pytest.mark.vllm

VLLM = ["--set", "engine.kind=vllm"]
# Enough rollouts that some are on disk while others are still sampled.
MANY = ["--set", "prepare.train={source: bundled:arithmetic, split: train, limit: 160}"]
MANY += ["--set", "sample.problems=160"]
UNTIL = ["--set", "sample.until={accepted: 2, max: 8, wave: 4}"]


def table(run: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(run / name / "round-0001" / "*.parquet")


def manifest(run: Path, stage: str) -> dict:
    return json.loads((run / f"manifest/round-0001/{stage}.json").read_text())


def receipts(run: Path) -> list[Path]:
    """List the receipts of the shards that are finished: a shard without one does not count."""
    return list((run / "work" / "round-0001-sample").glob("worker-*/[0-9]*.json"))


def killed(run: Path, victim: str) -> subprocess.CompletedProcess[str]:
    """Start sampling, and kill -9 a process of it once a shard is there: `driver` or `worker`."""
    process = subprocess.Popen(command("sample", run), stderr=subprocess.PIPE, text=True)
    pause = threading.Event()
    while not receipts(run):
        assert process.poll() is None, process.stderr.read()
        pause.wait(0.01)
    if victim == "driver":
        process.kill()
    else:
        slot = receipts(run)[0].parent.name.removeprefix("worker-")
        for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            if f"--slot\0{slot}\0" in Path(f"/proc/{child}/cmdline").read_text():
                os.kill(int(child), signal.SIGKILL)
    said = process.communicate()[1]
    return subprocess.CompletedProcess([], process.returncode, "", said)


def test_the_whole_loop_runs_on_vllm(tmp_path):
    run = tmp_path / "run"
    told = rft("run", "smoke", "--out", run, *VLLM)
    assert "preflight: of 8 probes" in told
    rollouts, kept, rejected = (table(run, name) for name in ("rollouts", "kept", "rejected"))
    assert len(rollouts) == 64 == len(kept) + len(rejected)
    assert rollouts["stats_origin"].unique().to_list() == ["engine"]
    for name in ("entropies", "branching", "logprobs", "token_ids"):
        assert (rollouts[name].list.len() == rollouts["num_tokens"]).all()
    engine = manifest(run, "sample")["engine"]
    assert (engine["runner"], engine["dtype"]) == ("v1", "float32")
    assert 0 < engine["capture_share"] < 0.5
    assert rollouts["seed"].unique().to_list() == [engine["seed"]]
    assert "nothing to do" in rft("run", run)


def test_waves_reach_their_target_after_a_kill_and_no_id_is_there_twice(tmp_path):
    run = tmp_path / "run"
    rft("prepare", "smoke", "--out", run, *VLLM, *MANY, *UNTIL)
    assert killed(run, "driver").returncode == -signal.SIGKILL
    shards = [path.with_suffix(".parquet") for path in receipts(run)]
    finished = pl.concat(pl.read_parquet(path) for path in shards if path.exists())
    assert len(finished), "nothing was finished before the kill"
    for stage in ("sample", "grade", "filter"):
        rft(stage, run)
    rollouts, kept = table(run, "rollouts"), table(run, "kept")
    assert rollouts["rollout_id"].is_unique().all()
    # What was finished before the kill is in the table as it was.
    both = finished.join(rollouts, on="rollout_id", suffix=" after")
    assert len(both) == len(finished)
    assert (both["completion"] == both["completion after"]).all()
    right = kept.filter(pl.col("verdict") == "correct").group_by("problem_id").len("accepted")
    drawn = rollouts.group_by("problem_id").len("drawn").join(right, on="problem_id", how="left")
    drawn = drawn.with_columns(pl.col("accepted").fill_null(0))
    assert len(drawn) == 160
    assert ((drawn["accepted"] >= 2) | (drawn["drawn"] == 8)).all()
    # Nobody was asked again who had enough after the first wave.
    early = kept.filter((pl.col("verdict") == "correct") & (pl.col("sample_index") < 4))
    enough = early.group_by("problem_id").len().filter(pl.col("len") >= 2)["problem_id"]
    assert (drawn.filter(pl.col("problem_id").is_in(enough.to_list()))["drawn"] == 4).all()


def test_a_worker_that_is_killed_is_replaced(tmp_path):
    run = tmp_path / "run"
    two = ["--set", "engine.workers=2", "--set", "sample.n=8"]
    rft("prepare", "smoke", "--out", run, *VLLM, *MANY, *two)
    found = killed(run, "worker")
    assert found.returncode == 0, found.stderr
    assert "was killed by signal 9" in found.stderr
    rollouts = table(run, "rollouts")
    assert len(rollouts) == 160 * 8
    assert rollouts["rollout_id"].is_unique().all()
    # Each engine, the replacement too, drew from a stream of its own.
    assert rollouts["seed"].n_unique() >= 2


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("engine.args={max_num_seq: 8}", "max_num_seqs"),
        ("engine.args={speculative_config: {method: ngram}}", "speculative"),
        ("engine.args={dtype: float8}", "dtype"),
    ],
)
def test_what_cannot_work_is_one_line(tmp_path, setting, says):
    run = tmp_path / "run"
    rft("prepare", "smoke", "--out", run, *VLLM, "--set", setting)
    told = rft("sample", run, code=2).strip().splitlines()
    errors = [line for line in told if line.startswith("Error: ")]
    assert len(errors) == 1, told
    assert says in errors[0]
    assert "Traceback" not in "\n".join(told)
    assert not (run / "rollouts").exists()
