"""Tables are written whole or not at all, in the declared types, and damage is seen on reading."""

import random
import subprocess
import sys
from itertools import pairwise

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rft.errors import RFTError
from rft.runs import tables
from rft.runs.schemas import TABLES
from rft.seeds import derive


def rollouts(count: int, tokens: int = 4) -> pl.DataFrame:
    rows = [
        {
            "rollout_id": f"r{index}",
            "problem_id": "p",
            "round": 1,
            "sample_index": index,
            "prompt": "1 + 1?",
            "completion": "\\boxed{2}",
            "finish_reason": "stop",
            "num_tokens": tokens,
            "token_ids": list(range(tokens)),
            "logprobs": [-0.123456789] * tokens,
            "entropies": [0.1 * index] * tokens if index % 2 else None,
            "branching": [1] * tokens,
            "stats_origin": "engine",
            "stats_mass": 0.95,
            "model": "m",
            "sampling": "s",
            "seed": 2**62 + index,
        }
        for index in range(count)
    ]
    return pl.DataFrame(rows, schema=tables.empty("rollouts").schema)


def test_a_table_reads_back_as_it_was_but_for_rounding(tmp_path):
    frame = rollouts(5)
    assert tables.write(tmp_path, "rollouts", frame) == 5
    back = tables.read(tmp_path, "rollouts")
    assert back.drop("logprobs", "entropies").equals(frame.drop("logprobs", "entropies"))
    for name in ("logprobs", "entropies"):
        for found, wanted in zip(back[name], frame[name], strict=True):
            assert (found is None) == (wanted is None)
            if wanted is not None:
                assert (found - wanted).abs().max() <= 2**-15
                assert all((value * 2**14).is_integer() for value in found)


def test_a_null_that_hides_values_is_rounded_as_a_null(tmp_path):
    lists = pl.DataFrame({"id": [1, 2, 3], "entropies": [[0.1, 0.2], [0.3], [0.5]]})
    hidden = lists.with_columns(entropies=pl.when(pl.col("id") != 2).then("entropies"))
    table = hidden.cast({"entropies": pl.List(pl.Float32)}).to_arrow()
    tables.write_file(tmp_path / "a.parquet", table)
    back = pl.read_parquet(tmp_path / "a.parquet")["entropies"].to_list()
    assert back[1] is None
    assert [len(each) for each in (back[0], back[2])] == [2, 1]
    assert abs(back[2][0] - 0.5) < 2**-14


def test_a_slice_with_nulls_is_rounded_like_the_whole(tmp_path):
    whole = tables.conform(rollouts(6), "rollouts")
    tables.write_file(tmp_path / "a.parquet", whole)
    tables.write_file(tmp_path / "b.parquet", whole.slice(2, 3))
    part = tables.read_file(tmp_path / "b.parquet")
    assert part.equals(tables.read_file(tmp_path / "a.parquet")[2:5])


def test_shards_and_row_groups_close_by_bytes(tmp_path, monkeypatch):
    frame = rollouts(4000, tokens=50)
    size = tables.conform(frame, "rollouts").nbytes
    monkeypatch.setattr(tables, "ROW_GROUP_BYTES", size // 20)
    parts = list(tables.shards(tables.conform(frame, "rollouts"), size // 4))
    assert 4 <= len(parts) <= 5
    tables.write_file(tmp_path / "x.parquet", parts[0])
    groups = pq.ParquetFile(tmp_path / "x.parquet").metadata.num_row_groups
    assert 4 <= groups <= 6


def test_a_table_is_the_same_to_the_byte_however_its_rows_come(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "ENOUGH", 100)
    monkeypatch.setattr(tables, "ROW_GROUP_BYTES", 60_000)
    frame = rollouts(3000, tokens=20)
    source = random.Random(0)
    made = []
    for way in range(4):
        edges = sorted(source.sample(range(3000), 40)) if way else []
        with tables.Writer(tmp_path / str(way), "rollouts", 200_000) as writer:
            for low, high in pairwise([0, *edges, 3000]):
                writer.add(frame[low:high])
        assert writer.rows == 3000
        made.append([path.read_bytes() for path in tables.parts(tmp_path / str(way))])
        assert tables.read(tmp_path / str(way), "rollouts")["rollout_id"].equals(
            frame["rollout_id"]
        )
    assert len(made[0]) > 2
    assert all(other == made[0] for other in made)
    groups = pq.ParquetFile(tables.parts(tmp_path / "0")[0]).metadata.num_row_groups
    assert groups > 1


def test_a_file_of_rows_as_they_come_holds_them_in_groups_of_bounded_size(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "ROW_GROUP_BYTES", 60_000)
    frame = rollouts(3000, tokens=20)
    for rows in (3000, 7, 0):
        path = tmp_path / f"{rows}.parquet"
        tables.write_frames(path, "rollouts", (frame[at : at + 50] for at in range(0, rows, 50)))
        assert pl.concat(tables.batches(path, "rollouts"))["rollout_id"].equals(
            frame["rollout_id"][: -(-rows // 50) * 50]
        )
    groups = pq.ParquetFile(tmp_path / "3000.parquet").metadata
    assert groups.num_row_groups > 5
    assert groups.row_group(0).total_byte_size < 120_000


def test_of_some_problems_only_groups_that_may_have_them_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "ROW_GROUP_BYTES", 5_000)
    monkeypatch.setattr(tables, "ENOUGH", 10)
    names = [f"p{number // 10:03d}" for number in range(1000)]
    frame = rollouts(1000).with_columns(problem_id=pl.Series(names))
    tables.write(tmp_path, "rollouts", frame)
    (path,) = tables.parts(tmp_path)
    wanted = ["p007", "p099", "unheard of"]
    read = list(tables.batches(path, "rollouts", ["rollout_id"], wanted))
    groups = pq.ParquetFile(path).metadata.num_row_groups
    assert 2 <= len(read) <= 4 < groups
    there = frame.filter(pl.col("problem_id").is_in(wanted))["rollout_id"]
    assert pl.concat(read)["rollout_id"].equals(there)
    for absent in (["q"], ["\ud800"], []):
        assert [len(rows) for rows in tables.batches(path, "rollouts", None, absent)] == [0]
    # In any order, and without the names of the groups' first and last, they are found as well.
    mixed = frame.sample(fraction=1, shuffle=True, seed=0)
    for options in ({}, {"write_statistics": False}):
        pq.write_table(tables.conform(mixed, "rollouts"), path, row_group_size=100, **options)
        found = pl.concat(tables.batches(path, "rollouts", ["rollout_id"], wanted))
        assert sorted(found["rollout_id"]) == sorted(there)


def test_a_table_that_fails_while_it_is_written_leaves_no_half_file(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "ENOUGH", 10)
    monkeypatch.setattr(tables, "ROW_GROUP_BYTES", 1_000)

    def fail() -> None:
        with tables.Writer(tmp_path, "rollouts") as writer:
            writer.add(rollouts(100))
            raise KeyError("stop")

    with pytest.raises(KeyError):
        fail()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", list(TABLES))
def test_an_empty_table_of_every_kind_keeps_its_columns(tmp_path, name):
    tables.write(tmp_path, name, tables.empty(name))
    assert tables.read(tmp_path, name).columns == TABLES[name].names


def test_a_column_that_an_earlier_version_did_not_write_is_null(tmp_path):
    frame = rollouts(3)
    before = tables.conform(frame, "rollouts").drop_columns(["seed", "entropies"])
    tables.write_file(tmp_path / "part-00000.parquet", before)
    back = tables.read(tmp_path, "rollouts")
    assert back.schema == frame.schema
    assert back["seed"].null_count() == back["entropies"].null_count() == 3
    assert tables.read(tmp_path, "rollouts", ["seed", "rollout_id"]).columns == [
        *("seed", "rollout_id")
    ]
    without = tables.conform(frame, "rollouts").drop_columns(["completion"])
    tables.write_file(tmp_path / "part-00000.parquet", without)
    with pytest.raises(AssertionError, match="completion"):
        tables.read(tmp_path, "rollouts")


def test_a_null_in_a_required_column_is_refused(tmp_path):
    broken = rollouts(2).with_columns(completion=pl.lit(None, pl.String))
    with pytest.raises(ValueError, match="completion"):
        tables.write(tmp_path, "rollouts", broken)
    assert not tables.parts(tmp_path)


def test_a_flipped_bit_is_found_and_named(tmp_path):
    tables.write(tmp_path, "rollouts", rollouts(50))
    path = tmp_path / "part-00000.parquet"
    content = bytearray(path.read_bytes())
    content[300] ^= 0x40
    path.write_bytes(content)
    with pytest.raises(RFTError, match=r"part-00000\.parquet: not a readable Parquet file"):
        tables.read(tmp_path, "rollouts")


def test_a_torn_shard_is_found_and_named(tmp_path):
    tables.write(tmp_path, "rollouts", rollouts(50))
    path = tmp_path / "part-00000.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(RFTError, match=r"part-00000\.parquet"):
        tables.read(tmp_path, "rollouts")


def test_a_missing_table_says_which_stage_is_due(tmp_path):
    with pytest.raises(RFTError, match="run the stage"):
        tables.read(tmp_path / "rollouts", "rollouts")


def test_columns_come_as_asked_for_and_one_that_is_not_there_is_named(tmp_path):
    tables.write(tmp_path, "rollouts", rollouts(3))
    path = tmp_path / "part-00000.parquet"
    assert tables.read_file(path, ["seed", "rollout_id"]).columns == ["seed", "rollout_id"]
    with pytest.raises(RFTError, match="no columns 'nope'"):
        tables.read_file(path, ["seed", "nope"])


def test_tables_are_read_without_pandas(tmp_path):
    tables.write(tmp_path, "rollouts", rollouts(3))
    code = """
import sys
from pathlib import Path
from rft.runs import tables
assert len(tables.read(Path(sys.argv[1]), "rollouts")) == 3
assert len(tables.empty("rollouts")) == 0
assert "pandas" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)


def test_a_write_that_hits_the_size_limit_leaves_nothing_behind(tmp_path):
    # In a process of its own, since the limit holds for the whole process.
    code = """
import resource, sys
from pathlib import Path
from rft.runs import tables
from rft.errors import explained
from tests.runs.test_tables import rollouts
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
    tables.write(Path(sys.argv[1]), "rollouts", rollouts(3000))
except OSError as error:
    sys.exit(0 if explained(error) else 3)
sys.exit(4)
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=60)
    assert list(tmp_path.iterdir()) == []


def test_pages_that_end_where_the_content_says_so_are_the_same_after_an_insertion(tmp_path):
    texts = [f"line {derive(0, number)}" for number in range(150_000)]
    for name, rows in (("before", texts), ("after", ["new", *texts])):
        for chunked in (True, False):
            path = tmp_path / f"{name}-{chunked}"
            tables.write_file(path, pa.table({"text": rows}), chunked=chunked)
            assert tables.read_file(path)["text"].to_list() == rows

    def shared(chunked: bool) -> bool:
        before, after = ((tmp_path / f"{n}-{chunked}").read_bytes() for n in ("before", "after"))
        middle = len(before) // 2
        return before[middle : middle + 50_000] in after

    assert shared(chunked=True)
    assert not shared(chunked=False)
    group = pq.ParquetFile(tmp_path / "after-True").metadata.row_group(0)
    assert group.column(0).has_offset_index
