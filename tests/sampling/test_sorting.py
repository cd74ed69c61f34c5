"""Finished rollouts come in order, each once, in parts of which one is in memory at a time."""

import json
import random
import subprocess
import sys
from itertools import pairwise

import polars as pl
import pytest

from rft.errors import RFTError
from rft.runs import tables
from rft.runs.dealing import size_of
from rft.sampling.sorting import ORDER, in_order


def rollouts(places: list[tuple[str, int]], *, tokens: int = 5, tag: str = "") -> pl.DataFrame:
    """Make rollouts of problems and indices."""
    rows = [
        {
            "rollout_id": f"{name}-{index}",
            "problem_id": name,
            "round": 1,
            "sample_index": index,
            "prompt": "?",
            "completion": f"{tag}{name} {index}",
            "finish_reason": "stop",
            "num_tokens": tokens,
            "token_ids": list(range(tokens)),
            "entropies": [index / 8] * tokens,
            "stats_origin": "engine",
            "model": "m",
            "sampling": "s",
        }
        for name, index in places
    ]
    return pl.DataFrame(rows, schema=tables.empty("rollouts").schema)


def written(folder, places: list[tuple[str, int]], files: int, seed: int = 0, **how) -> list:
    """Deal rollouts out to files as workers finish them: in any order."""
    random.Random(seed).shuffle(places)
    paths = []
    for number in range(files):
        path = folder / f"{number:03d}.parquet"
        table = tables.conform(rollouts(places[number::files], **how), "rollouts")
        tables.write_file(path, table)
        paths.append(path)
    return paths


PLACES = [(f"p{problem:03d}", index) for problem in range(40) for index in range(7)]


@pytest.mark.parametrize("part_bytes", [10**12, 20_000, 3_000, 1])
def test_parts_of_any_size_add_up_to_the_sorted_whole(tmp_path, monkeypatch, part_bytes):
    monkeypatch.setattr(tables, "ROW_GROUP_BYTES", 500)
    monkeypatch.setattr("rft.runs.dealing.WAITING_BYTES", 5_000)
    paths = written(tmp_path, [*PLACES], 9)
    wanted = {f"{name}-{index}" for name, index in PLACES if index != 3}
    parts = list(in_order(paths, wanted, tmp_path / "scratch", part_bytes))
    whole = rollouts([(name, index) for name, index in PLACES if index != 3])
    assert pl.concat(parts).equals(whole.sort(ORDER))
    assert (len(parts) > 1) == (part_bytes < sum(map(size_of, paths)))
    ends = [(part["problem_id"].min(), part["problem_id"].max()) for part in parts if len(part)]
    assert all(before[1] < after[0] for before, after in pairwise(ends))
    assert not (tmp_path / "scratch").exists()


@pytest.mark.parametrize("part_bytes", [10**12, 2_000])
def test_of_a_rollout_that_two_files_have_the_first_counts(tmp_path, part_bytes):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    paths = written(tmp_path / "one", PLACES[:20], 2, tag="first ")
    paths += written(tmp_path / "two", [*PLACES], 3, tag="second ")
    wanted = {f"{name}-{index}" for name, index in PLACES}
    rows = pl.concat(in_order(paths, wanted, tmp_path / "scratch", part_bytes))
    assert len(rows) == len(PLACES)
    assert rows["rollout_id"].is_unique().all()
    first = rows.filter(pl.col("completion").str.starts_with("first"))
    assert set(first["rollout_id"]) == {f"{name}-{index}" for name, index in PLACES[:20]}


def test_what_an_earlier_attempt_left_is_no_part(tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    (scratch / "000.arrow").write_bytes(b"half")
    paths = written(tmp_path, [*PLACES], 2)
    wanted = {f"{name}-{index}" for name, index in PLACES}
    assert sum(len(part) for part in in_order(paths, wanted, scratch, 2_000)) == len(PLACES)
    stopped = in_order(paths, wanted, scratch, 2_000)
    next(stopped)
    stopped.close()
    assert not scratch.exists()


def test_nothing_wanted_is_a_table_of_no_rows(tmp_path):
    paths = written(tmp_path, [*PLACES], 2)
    for part_bytes in (10**12, 2_000):
        rows = pl.concat(in_order(paths, set(), tmp_path / "scratch", part_bytes))
        assert rows.equals(tables.empty("rollouts"))


def test_a_damaged_file_is_one_line(tmp_path):
    paths = written(tmp_path, [*PLACES], 2)
    paths[1].write_bytes(b"PAR1 no more")
    with pytest.raises(RFTError, match=r"001\.parquet: not a readable Parquet file"):
        list(in_order(paths, {"p000-0"}, tmp_path / "scratch", 2_000))


MEASURED = """
import json, sys
from pathlib import Path
import polars as pl
from rft.runs import tables
from rft.sampling.sorting import in_order
from tests.sampling.test_sorting import rollouts

folder, files = Path(sys.argv[1]), int(sys.argv[2])
like = rollouts([("p", index) for index in range(1000)], tokens=900)
paths, wanted = [], []
for number in range(files):
    problem = (pl.int_range(pl.len()) * 7919 + number) % 5000
    index = (pl.int_range(pl.len()) + 1000 * number).cast(pl.Int32)
    rows = like.with_columns(problem_id=pl.format("p{}", problem), sample_index=index)
    rows = rows.with_columns(rollout_id=pl.format("{}-{}", "problem_id", "sample_index"))
    paths.append(folder / f"{number:03d}.parquet")
    tables.write_file(paths[-1], tables.conform(rows, "rollouts"))
    wanted += rows["rollout_id"].to_list()
table = tables.Writer(folder / "out", "rollouts", 8 << 20)
for part in in_order(paths, wanted, folder / "scratch", 8 << 20):
    table.add(part)
table.close()
status = Path("/proc/self/status").read_text().splitlines()  # getrusage may tell the parent's
peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
print(json.dumps([table.rows, peak << 10]))
"""


@pytest.mark.slow
def test_a_hundred_thousand_rollouts_need_the_memory_of_a_few_parts(tmp_path):
    """They are 0.7 GB in memory, and take less than 0.25 GB more than a thousand of them."""
    peaks = []
    for files in (1, 100):
        folder = tmp_path / str(files)
        folder.mkdir()
        command = [sys.executable, "-c", MEASURED, str(folder), str(files)]
        done = subprocess.run(command, capture_output=True, check=True, text=True)
        rows, peak = json.loads(done.stdout)
        assert rows == 1000 * files
        peaks.append(peak)
    assert peaks[1] - peaks[0] < 250 << 20
