"""Tables open in other people's tools without code of ours: all rounds at once, `round` intact.

Run: python -m pytest tests/runs/test_open_tables.py
"""

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from rft.recipe.loading import load_recipe
from rft.runs import tables
from rft.runs.folder import BEFOREHAND, Run
from rft.runs.schemas import TABLES

ROUNDS = (1, 2, 10)
ROWS = 3  # in each shard
SHARDS = 2

HAVE_ROUND = [name for name, schema in TABLES.items() if "round" in schema.names]


def rounds_of(name: str) -> tuple[int, ...]:
    """List rounds that may have a table: of some a part is older than any round."""
    return (0, *ROUNDS[1:]) if name in BEFOREHAND else ROUNDS


def example(field: pa.Field, round: int, row: int) -> object:
    """Make a value of a column's type; every third one that may be null is."""
    if field.name == "round":
        return round
    if field.nullable and row % 3 == 2:
        return None
    if pa.types.is_large_list(field.type):
        return [example(field.type.value_field.with_nullable(False), round, row)] * row
    if pa.types.is_struct(field.type):
        return {each.name: example(each.with_nullable(False), round, row) for each in field.type}
    if pa.types.is_floating(field.type):
        return row + 0.5
    if pa.types.is_integer(field.type):
        return row
    return f"{field.name} {row} of {round}\n\\boxed{{é}}"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Write every table of a run folder, in two shards of three rows for each round."""
    made = Run(tmp_path_factory.mktemp("run"), load_recipe("smoke"))
    for name, schema in TABLES.items():
        for round in rounds_of(name):
            for shard in range(SHARDS):
                rows = [
                    {field.name: example(field, round, row) for field in schema}
                    for row in range(ROWS)
                ]
                path = made.folder(name, round) / f"part-{shard:05d}.parquet"
                tables.write_file(path, pa.Table.from_pylist(rows, schema))
    return made


def rows_in(name: str) -> int:
    return ROWS * SHARDS * len(rounds_of(name))


def glob_of(run: Run, name: str) -> str:
    return f"{run.path / name}/**/*.parquet"


def check(name: str, frame: pl.DataFrame) -> None:
    assert len(frame) == rows_in(name)
    assert frame.columns == TABLES[name].names
    if "round" in frame.columns:
        assert frame.schema["round"] == pl.Int32
        assert frame["round"].value_counts(sort=False).sort("round").rows() == [
            (round, ROWS * SHARDS) for round in ROUNDS
        ]


def test_the_layout_is_the_documented_one(run):
    names = [str(path.relative_to(run.path)) for path in sorted(run.path.rglob("*.parquet"))]
    assert "rollouts/round-0010/part-00001.parquet" in names
    assert "problems/part-00000.parquet" in names


@pytest.mark.parametrize("name", list(TABLES))
def test_polars_reads_all_rounds(run, name):
    check(name, pl.read_parquet(glob_of(run, name)))
    check(name, pl.scan_parquet(run.path / name).collect())


@pytest.mark.parametrize("name", list(TABLES))
def test_duckdb_reads_all_rounds(run, name):
    with duckdb.connect() as connection:
        found = connection.sql(f"SELECT * FROM '{glob_of(run, name)}'")
        check(name, pl.from_arrow(found.to_arrow_table()))
        if name in HAVE_ROUND:
            counts = f"SELECT count(*) FROM '{glob_of(run, name)}' WHERE round = 2"
            assert connection.sql(counts).fetchall() == [(ROWS * SHARDS,)]


@pytest.mark.parametrize("name", list(TABLES))
def test_pandas_reads_all_rounds(run, name):
    frame = pd.read_parquet(run.path / name)
    assert frame.shape == (rows_in(name), len(TABLES[name].names))
    if "round" in frame.columns:
        assert frame["round"].dtype == "int32"
        assert frame["round"].value_counts().to_dict() == dict.fromkeys(ROUNDS, ROWS * SHARDS)


@pytest.mark.parametrize("name", list(TABLES))
def test_pyarrow_reads_all_rounds(run, name):
    whole = pq.read_table(run.path / name)
    assert whole.schema.equals(TABLES[name])
    check(name, pl.from_arrow(whole))
    check(name, pl.from_arrow(pyarrow.dataset.dataset(run.path / name).to_table()))
    if name in HAVE_ROUND:
        some = pq.read_table(run.path / name, filters=[("round", "=", 10)])
        assert some.num_rows == ROWS * SHARDS


@pytest.mark.parametrize("name", list(TABLES))
def test_datasets_reads_all_rounds(run, name, tmp_path):
    from datasets import load_dataset

    # All rounds are one split, whatever words like "test" stand in the names of the files.
    found = load_dataset(
        "parquet", data_files=glob_of(run, name), split="train", cache_dir=str(tmp_path)
    )
    check(name, pl.from_arrow(found.with_format("arrow")[:]))


def test_values_come_back_as_they_were_written(run):
    first = pl.read_parquet(glob_of(run, "rollouts")).row(1, named=True)
    assert first["completion"] == "completion 1 of 1\n\\boxed{é}"
    assert first["token_ids"] == [1]
    assert first["entropies"] == [1.5]
    assert pl.read_parquet(glob_of(run, "rollouts")).row(2, named=True)["entropies"] is None
