"""The numbers of a comparison make it again, without its runs; and what is none is refused."""

import json
from dataclasses import replace

import polars as pl
import pyarrow.parquet as pq
import pytest

from pipelines.readers.comparison.figures import by_round
from pipelines.readers.comparison.files import as_tree, write_files
from pipelines.readers.comparison.published import KEY, NUMBERS, read_numbers, write_numbers
from pipelines.readers.comparison.sources import HOURS
from pipelines.readers.comparison.text import text_of
from rft.errors import RFTError
from rft.runs.tables import write_file
from tests.compared_runs import everywhere

ARMS = ["rules", "entropy", "noise", "same"]


def tree(comparison) -> dict:
    """Give all its numbers, but for where its runs are."""
    whole = as_tree(comparison)
    for runs in whole["arms"].values():
        for one in runs:
            del one["run"]
    return whole


def near(one, other) -> bool:
    """Say whether two trees are the same; entropies were averaged twice."""
    if isinstance(one, float) and isinstance(other, float):
        return one == pytest.approx(other, abs=1e-9)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(near(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(near, one, other))
    return one == other


def test_the_numbers_make_the_same_comparison_again(known, tmp_path):
    whole = known.side_by_side()
    write_numbers(whole, tmp_path / NUMBERS)
    again = read_numbers([tmp_path / NUMBERS])
    assert near(tree(whole), tree(again))
    assert text_of(again) == text_of(whole)
    (split, way), (other, same) = by_round(whole), by_round(again)
    assert split == other
    assert near(way.to_dicts(), same.to_dicts())
    told = write_files(again, tmp_path / "again")
    assert "figures (pass-at-k-easy" in told[1]
    assert pq.read_schema(tmp_path / "again" / NUMBERS).metadata[KEY]


def test_they_hold_no_text_of_a_model_and_no_folder_of_the_machine(known, tmp_path):
    write_numbers(known.side_by_side(), tmp_path / NUMBERS)
    rows = pl.read_parquet(tmp_path / NUMBERS)
    assert set(rows["answer"].unique()) <= {"given", "", None}
    said = pq.read_schema(tmp_path / NUMBERS).metadata[KEY].decode()
    assert str(known.folder.parent) not in said
    assert {one["place"] for one in json.loads(said)["runs"]} == {"seed-0", "seed-5"}


def test_what_runs_share_is_there_once(known, tmp_path):
    write_numbers(known.side_by_side(), tmp_path / NUMBERS)
    runs = json.loads(pq.read_schema(tmp_path / NUMBERS).metadata[KEY])["runs"]
    assert len({one["frames"]["0"] for one in runs}) == 2  # a base for each seed, of four arms
    last = {(one["arm"], one["seed"]): one["frames"]["1"] for one in runs}
    assert last["rules", 0] == last["same", 0] != last["noise", 0]


def test_files_of_other_seeds_are_one_comparison(known, tmp_path):
    for seed in (0, 5):
        part = known.part(tmp_path / f"part-{seed}", everywhere(ARMS, [seed]))
        write_numbers(part.side_by_side(), tmp_path / f"{seed}.parquet")
    both = read_numbers([tmp_path / "0.parquet", tmp_path / "5.parquet"])
    assert tree(both)["runs"]["done"] == 8
    assert near(tree(both)["benchmarks"], tree(known.side_by_side())["benchmarks"])
    with pytest.raises(RFTError, match=r"rules, seed 0 is in .*0\.parquet too"):
        read_numbers([tmp_path / "0.parquet", tmp_path / "0.parquet"])


def test_what_is_missing_of_any_piece_is_said_of_the_whole(known, tmp_path):
    done = {0: everywhere(ARMS, [0])[1:], 5: everywhere(ARMS, [5])}
    for seed, runs in done.items():
        part = known.part(tmp_path / f"part-{seed}", runs)
        of = replace(part.side_by_side(), wanted=everywhere(ARMS, [seed]))
        write_numbers(of, tmp_path / f"{seed}.parquet")
    both = read_numbers([tmp_path / "0.parquet", tmp_path / "5.parquet"])
    assert "  UNFINISHED: 7 of 8 runs are done, and" in text_of(both)


def rewritten(path, to, change):
    """Copy a file of numbers with something else said of its runs."""
    table = pq.read_table(path)
    about = json.loads(table.schema.metadata[KEY])
    for one in about["runs"]:
        change(one)
    write_file(to, table.replace_schema_metadata({KEY: json.dumps(about)}))


def pieces(known, tmp_path, change) -> list:
    """Write the numbers of each seed, the second one's changed."""
    for seed in (0, 5):
        part = known.part(tmp_path / f"part-{seed}", everywhere(ARMS, [seed]))
        write_numbers(part.side_by_side(), tmp_path / f"{seed}.parquet")
    rewritten(tmp_path / "5.parquet", tmp_path / "changed.parquet", change)
    return [tmp_path / "0.parquet", tmp_path / "changed.parquet"]


def test_seeds_that_were_drawn_otherwise_do_not_add_up(known, tmp_path):
    def colder(one):
        one["asked"]["temperature"] = 0.2

    with pytest.raises(
        RFTError, match=r"^evaluate\.temperature differs: 1\.0 \(rules/seed-0\); 0\.2"
    ):
        read_numbers(pieces(known, tmp_path, colder))


def test_seeds_of_another_base_or_verifier_are_said_to_be_unlike(known, tmp_path):
    def other(one):
        one["began_with"] = "another"
        one["asked"]["grade"]["verifier"] = "text"

    told = text_of(read_numbers(pieces(known, tmp_path, other)))
    assert "NOT ALIKE: rules/seed-5 has begun with another model than seed 0" in told
    assert "NOT ALIKE: grade.verifier differs: " in told
    assert "(rules/seed-5, entropy/seed-5, noise/seed-5" in " ".join(told.split())


def test_what_is_said_of_hours_is_said_of_the_whole(known, tmp_path):
    for seed in (0, 5):
        part = known.part(tmp_path / f"part-{seed}", everywhere(ARMS, [seed])).side_by_side()
        write_numbers(replace(part, remarks=[HOURS]), tmp_path / f"{seed}.parquet")
    both = read_numbers([tmp_path / "0.parquet", tmp_path / "5.parquet"])
    assert both.remarks == [HOURS]


def test_numbers_of_another_recipe_are_refused(known, tmp_path):
    whole = known.side_by_side()
    write_numbers(whole, tmp_path / "one.parquet")
    table = pq.read_table(tmp_path / "one.parquet")
    about = json.loads(table.schema.metadata[KEY]) | {"control": "noise"}
    changed = table.replace_schema_metadata({KEY: json.dumps(about)})
    write_file(tmp_path / "two.parquet", changed)
    with pytest.raises(RFTError, match=r"two\.parquet: its control is not that of .*one\.parquet"):
        read_numbers([tmp_path / "one.parquet", tmp_path / "two.parquet"])


def test_where_no_run_is_done_there_are_no_numbers_and_they_can_be_read(known, tmp_path):
    write_numbers(known.part(tmp_path / "part", []).side_by_side(), tmp_path / NUMBERS)
    again = read_numbers([tmp_path / NUMBERS])
    assert again.arms == {}
    assert "none of 8 runs is done yet" in text_of(again)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda *_: (None, None), "no numbers of a comparison"),
        (lambda _, rows: ({"runs": "many"}, rows), "not what `rft compare` writes"),
        (lambda about, rows: (about | {"more": 1}, rows), "not what `rft compare` writes"),
        (lambda about, rows: (about, rows.drop("count")), "not a readable Parquet file"),
        (lambda about, rows: (about, rows.with_columns(count=-1)), "its counts are no counts"),
        (lambda about, rows: (about, rows.with_columns(count=10**15)), "its counts are no counts"),
        (
            lambda about, rows: (about, rows.with_columns(count=pl.lit("many"))),
            "not what `rft compare` writes",
        ),
        (lambda about, rows: (about, rows.filter(pl.col("frame") > 1)), "are missing"),
    ],
)
def test_what_was_not_written_by_us_is_refused_in_one_line(known, tmp_path, change, told):
    path = tmp_path / NUMBERS
    write_numbers(known.side_by_side(), path)
    about, rows = change(json.loads(pq.read_schema(path).metadata[KEY]), pl.read_parquet(path))
    table = pl.read_parquet(path).to_arrow() if rows is None else rows.to_arrow()
    write_file(path, table.replace_schema_metadata(about and {KEY: json.dumps(about)}))
    with pytest.raises(RFTError) as error:
        read_numbers([path])
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_or_no_parquet_is_refused_in_one_line(tmp_path):
    (tmp_path / "text.parquet").write_text("hello")
    for name, told in (("none", "no such file"), ("text", "not a readable Parquet file")):
        with pytest.raises(RFTError, match=told):
            read_numbers([tmp_path / f"{name}.parquet"])
