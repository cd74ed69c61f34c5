"""Filter and select over tables of any size: time, peak memory and their slope: `make bench-data`.

Beside them what people do with such a table today: polars' own read and write of it, and the same
choice in DuckDB and pandas. Each is a process of its own, so that its peak is its own.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from rft.runs import tables
from rft.runs.folder import Run, open_run, versions
from rft.runs.models import model_before
from rft.runs.stages import Job
from tests import small_run

SIZES = (10_000, 100_000, 1_000_000)
# Answers to a problem, characters of an answer, rows made at a time.
EACH, LONG, AT_ONCE = 16, 400, 100_000
BUDGET_SHARE = 0.1
# Of pandas, which holds all as Python's own objects.
MOST_FOR_PANDAS = 1_000_000


def new(folder: Path, rows: int) -> Run:
    """Begin a run with a graded round of so many rollouts; a tenth of them is to be selected."""
    budget = f"select.budget={round(BUDGET_SHARE * rows)}"
    run = small_run.new_run(folder, "select.by=branching", "select.per_problem=4", budget)
    names = [f"{number:016x}" for number in range(rows // EACH)]
    small_run.prepare(run, train=names, answers={})
    small_run.do(run, "sample", 1, lambda job: write(job, "rollouts", rows))
    small_run.do(run, "grade", 1, lambda job: write(job, "graded", rows))
    return run


def write(job: Job, table: str, rows: int) -> None:
    """Write a table of drawn rows."""
    model = model_before(job.run, 1).digest
    with job.writer(table) as writer:
        for start in range(0, rows, AT_ONCE):
            drawn = some(start, min(AT_ONCE, rows - start))
            drawn = drawn.with_columns(model=pl.lit(model), sampling=pl.lit("s"))
            writer.add(tables.pad(drawn, table))
    if table == "graded":
        job.write("verdicts", tables.empty("verdicts"))
    job.counts |= {"in": rows, "rollouts": rows, "graded": rows}
    job.notes |= {"tokens": rows, "tokens_sampled_now": rows, "tokens_per_second": 1}


def some(start: int, count: int) -> pl.DataFrame:
    """Draw rows as a model's are: texts of 400 characters, some of them twice, half right."""
    source = np.random.default_rng(start)
    words = np.array([f"w{number}" for number in range(4000)])
    parts = [" ".join(source.choice(words, 20)) for _ in range(2000)]
    cut = LONG // 4
    texts = [
        "".join(f"{parts[i][:cut]} " for i in four)
        for four in source.integers(2000, size=(count, 4))
    ]
    twice = source.random(count) < 0.02
    numbers = np.arange(start, start + count)
    right = source.random(count) < 0.5
    text = pl.Series(
        [f"{text}\\boxed{{{7 if ok else 8}}}" for text, ok in zip(texts, right, strict=True)]
    )
    return pl.DataFrame(
        {
            "rollout_id": [f"{number:032x}" for number in numbers],
            "problem_id": [f"{number // EACH:016x}" for number in numbers],
            "round": np.full(count, 1, np.int32),
            "sample_index": (numbers % EACH).astype(np.int32),
            "prompt": ["?"] * count,
            "completion": [""] * count,
            "response": text.scatter(np.flatnonzero(twice), text[0]),
            "num_prompt_tokens": np.full(count, 30, np.int32),
            "num_response_tokens": source.integers(20, 100, count).astype(np.int32),
            "answer": np.where(right, "7", "8"),
            "verdict": np.where(right, "correct", "wrong"),
            "num_boxed": np.ones(count, np.int32),
            "num_placeholders": np.zeros(count, np.int32),
            "finish_reason": ["stop"] * count,
            "num_tokens": np.full(count, 60, np.int32),
            "redundancy": source.random(count).astype(np.float32) / 2,
            "mean_entropy": source.random(count).astype(np.float32),
            "mean_branching": 1 + source.random(count).astype(np.float32),
            "mean_nll": source.random(count).astype(np.float32),
            "stats_origin": ["engine"] * count,
        }
    )


# What is compared: each does its work on the run, in a process of its own -------------------------


def nothing(run: Run) -> None:
    """Import what all of them import, and do nothing."""


def filtering(run: Run) -> None:
    """Apply the rules."""
    small_run.do(run, "filter", 1)


def selecting(run: Run) -> None:
    """Choose."""
    small_run.do(run, "select", 1)


def polars_copy(run: Run) -> None:
    """Read and write the table as polars does."""
    whole = pl.read_parquet(run.folder("graded", 1) / "*.parquet")
    whole.write_parquet(run.path / "copy.parquet")


RULES = "num_boxed > 0 AND regexp_matches(response, '[0-9]') AND redundancy < 0.31"


def duckdb_choice(run: Run) -> None:
    """Do the same by a query: rules, duplicates, four of each problem, the budget."""
    import duckdb

    budget = run.recipe.select.budget
    duckdb.execute(
        f"""
        COPY (
            SELECT * FROM (
                SELECT * FROM read_parquet('{run.folder("graded", 1)}/*.parquet')
                WHERE {RULES}
                QUALIFY row_number() OVER (
                    PARTITION BY problem_id, response ORDER BY sample_index) = 1
            )
            WHERE verdict = 'correct'
            QUALIFY row_number() OVER (
                PARTITION BY problem_id ORDER BY mean_branching DESC, rollout_id) <= 4
            ORDER BY mean_branching DESC, rollout_id LIMIT {budget}
        ) TO '{run.path}/duckdb.parquet' (COMPRESSION zstd)
        """
    )


def pandas_choice(run: Run) -> None:
    """Do the same in pandas."""
    import pandas as pd

    paths = tables.parts(run.folder("graded", 1))
    rows = pd.concat([pd.read_parquet(path) for path in paths])
    rows = rows[
        (rows.num_boxed > 0) & rows.response.str.contains("[0-9]") & (rows.redundancy < 0.31)
    ]
    rows = rows.drop_duplicates(["problem_id", "response"])
    rows = rows[rows.verdict == "correct"]
    rows = rows.sort_values(["mean_branching", "rollout_id"], ascending=[False, True])
    rows = rows.groupby("problem_id").head(4).head(run.recipe.select.budget)
    rows.to_parquet(run.path / "pandas.parquet", compression="zstd")


ARMS: dict[str, Callable[[Run], None]] = {
    "nothing": nothing,
    "rft filter": filtering,
    "rft select": selecting,
    "polars, read and write": polars_copy,
    "DuckDB, the same choice": duckdb_choice,
    "pandas, the same choice": pandas_choice,
}


def measured(arm: str, run: Run) -> tuple[float, int]:
    """Do an arm's work in a process of its own; give its seconds and its peak in bytes."""
    command = [sys.executable, __file__, "--arm", arm, str(run.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{arm}: {done.stderr[-2000:]}")
    seconds, peak = json.loads(done.stdout.splitlines()[-1])
    return seconds, peak


def do_arm(arm: str, folder: Path) -> None:
    """Do an arm's work here, and print what it took."""
    run = open_run(folder)
    began = time.perf_counter()
    ARMS[arm](run)
    print(json.dumps([time.perf_counter() - began, peak_memory()]))


def peak_memory() -> int:
    """Give this process' peak in bytes; getrusage would tell its parent's, if that was larger."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) << 10


def compare(rows: int, place: Path) -> dict[str, int]:
    """Measure all arms at a size; give their peaks beyond that of doing nothing."""
    run = new(place / str(rows), rows)
    size = sum(path.stat().st_size for path in tables.parts(run.folder("graded", 1)))
    print(f"\n{rows:,} graded rollouts, {size / 1e6:,.0f} MB on disk")
    arms = [arm for arm in ARMS if arm[:6] != "pandas" or rows <= MOST_FOR_PANDAS]
    told = {arm: measured(arm, run) for arm in arms}
    none = told.pop("nothing")[1]
    copy = told["polars, read and write"][0]
    both = told["rft filter"][0] + told["rft select"][0]
    for arm, (seconds, peak) in told.items():
        print(
            f"  {arm:26} {seconds:8.2f} s {seconds / copy:7.2f}x   {(peak - none) / 1e6:8,.0f} MB"
        )
    print(f"  {'rft, both':26} {both:8.2f} s {both / copy:7.2f}x")
    return {arm: peak - none for arm, (_, peak) in told.items()}


def main() -> None:
    """Measure at each size, and the slope of memory between them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--arm", nargs=2)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    given = parser.parse_args()
    if given.arm:
        do_arm(given.arm[0], Path(given.arm[1]))
        return
    print(f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}; ", end="")
    print(", ".join(f"{name} {version}" for name, version in versions().items()))
    with tempfile.TemporaryDirectory() as place:
        peaks = {rows: compare(rows, Path(place)) for rows in given.sizes}
    print("\nmemory beyond that of doing nothing, bytes a rollout from one size to the next")
    for arm in ("rft filter", "rft select", "polars, read and write"):
        for less, more in zip(given.sizes, given.sizes[1:], strict=False):
            slope = (peaks[more][arm] - peaks[less][arm]) / (more - less)
            print(f"  {arm:26} {less:>10,} to {more:>10,}: {slope:8,.0f}")


if __name__ == "__main__":
    main()
