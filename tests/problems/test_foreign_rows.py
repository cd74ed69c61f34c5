r"""Pins how `rft grade|filter|select --input` read anyone's rows, or refuse them in one clear line.

Nothing of theirs is lost: unknown columns pass through, and a name that we write is refused.
"""

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from rft.cli import cli
from rft.problems.sources import problem_id
from rft.seeds import digest
from tests.row_files import NONE, RANDOM, RIGHT, WRONG, refused, run

STAGES = ["grade", "filter", "select"]


# Files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "the file is empty"),
        (b" \n\n", "no rows in it"),
        (b"{}\n", "its rows have no columns"),
        (b"completion,gold\n1,2\n", "line 1 is not a JSON object"),
        (b'{"completion": "x"}\n{"completion": ', "line 2 is not a JSON object"),
        (b'["completion"]\n', "line 1 is not a JSON object"),
        (b'{"completion": "\\ud800", "gold": "1"}', "do not make one table"),
        (b"\x89PNG\r\n\x1a\n", "line 1 is not UTF-8 text (byte 0)"),
        (b"PAR1" + b"\x00" * 50, "not a readable Parquet file"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, stage, content, says):
    assert says in refused(tmp_path, stage, content)


@pytest.mark.parametrize("stage", STAGES)
def test_a_missing_file_and_a_folder_are_refused(tmp_path, stage):
    assert "none.jsonl: no such file" in refused(tmp_path, stage, tmp_path / "none.jsonl")
    (tmp_path / "folder").mkdir()
    assert "it is a folder" in refused(tmp_path, stage, tmp_path / "folder")


@pytest.mark.parametrize("stage", STAGES)
def test_parquet_without_rows_or_with_two_columns_of_a_name_is_refused(tmp_path, stage):
    empty = pl.DataFrame(schema={"completion": pl.String, "gold": pl.String})
    assert "no rows in it" in refused(tmp_path, stage, empty)
    twice = pa.Table.from_arrays([pa.array(["a"])] * 2, names=["completion", "completion"])
    pq.write_table(twice, tmp_path / "twice.parquet")
    assert "twice.parquet" in refused(tmp_path, stage, tmp_path / "twice.parquet")


@pytest.mark.parametrize("stage", STAGES)
def test_a_name_that_no_table_can_have_is_refused(tmp_path, stage):
    assert "may have a column called" in refused(tmp_path, stage, [{"a\0b": 1}])


@pytest.mark.parametrize("stage", STAGES)
def test_wrong_columns_are_named_with_those_there_are(tmp_path, stage):
    line = refused(tmp_path, stage, [{"prompt": "x", "text": "y"}])
    assert "no column" in line
    assert "prompt, text" in line
    assert "--column" in line or "`rft grade`" in line


def test_each_column_that_is_needed_says_where_it_comes_from(tmp_path):
    assert "--column gold=NAME" in refused(tmp_path, "grade", [{"completion": "x"}])
    assert "--column completion=NAME" in refused(tmp_path, "grade", [{"gold": "x"}])
    assert "`rft grade` makes it" in refused(tmp_path, "select", [{"completion": "x"}])
    rows = [{"completion": RIGHT}]
    line = refused(tmp_path, "filter", rows, "--set", "filter={too_long: {max_tokens: 9}}")
    assert "filter.too_long: the rows have no column 'num_response_tokens'" in line


def test_the_input_is_never_written_over(tmp_path):
    rows = pl.DataFrame({"completion": [RIGHT, NONE]})
    rows.write_parquet(tmp_path / "out.parquet")
    outcome = run(tmp_path, "filter", tmp_path / "out.parquet")
    assert (outcome.code, "that is the input" in outcome.told) == (2, True)
    rows.write_parquet(tmp_path / "out.rejected.parquet")
    outcome = run(tmp_path, "filter", tmp_path / "out.rejected.parquet")
    assert (outcome.code, "would replace the input" in outcome.told) == (2, True)
    assert pl.read_parquet(tmp_path / "out.rejected.parquet").equals(rows)
    graded = rows.with_columns(verdict=pl.lit("correct"))
    graded.write_parquet(tmp_path / "out.passed_over.parquet")
    outcome = run(tmp_path, "select", tmp_path / "out.passed_over.parquet", *RANDOM)
    assert outcome.code == 2
    assert "the passed over rows would replace the input" in outcome.told
    assert pl.read_parquet(tmp_path / "out.passed_over.parquet").equals(graded)


def test_the_output_is_parquet():
    done = CliRunner().invoke(cli, ["filter", "--input", "a.jsonl", "--output", "b.jsonl"])
    assert done.exit_code == 2
    assert "ends in .parquet" in done.stderr


@pytest.mark.parametrize("stage", STAGES)
def test_options_of_a_run_and_of_a_file_do_not_mix(tmp_path, stage):
    for words in (
        [str(tmp_path), "--column", "a=b"],
        [str(tmp_path), "--set", "seed=1"],
        ["--input", "a", "--output", "b.parquet", "--round", "1"],
        ["--input", "a"],
        [],
    ):
        done = CliRunner().invoke(cli, [stage, *words])
        assert done.exit_code == 2
        assert "Usage" in done.stderr


# Renames ------------------------------------------------------------------------------------------


def test_columns_are_renamed(tmp_path):
    rows = [{"text": RIGHT, "answer_key": "4"}]
    outcome = run(tmp_path, "grade", rows, "--column", "completion=text",
                "--column", "gold=answer_key")  # fmt: skip
    assert outcome.rows[0]["verdict"] == "correct"
    assert "1 graded: 1 correct" in outcome.said


def test_a_name_that_is_taken_can_be_made_free_in_the_same_command(tmp_path):
    rows = [{"text": RIGHT, "completion": "old", "gold": "4"}]
    line = refused(tmp_path, "grade", rows, "--column", "completion=text")
    assert "it has a column 'completion' too" in line
    advice = ["--column", "their_completion=completion"]
    assert advice[1] in line
    (row,) = run(tmp_path, "grade", rows, "--column", "completion=text", *advice).rows
    assert (row["completion"], row["their_completion"]) == (RIGHT, "old")


def test_two_columns_may_swap_their_names(tmp_path):
    rows = [{"gold": RIGHT, "completion": "4"}]
    swap = ["--column", "gold=completion", "--column", "completion=gold"]
    assert run(tmp_path, "grade", rows, *swap).rows[0]["verdict"] == "correct"


@pytest.mark.parametrize("first", ["completion=text", "gold=key"])
@pytest.mark.parametrize(
    ("renames", "says"),
    [
        (["completion"], "write OURS=THEIRS"),
        (["=text"], "write OURS=THEIRS"),
        (["completion="], "write OURS=THEIRS"),
        (["x=none"], "no column 'none'"),
        (["gold=text", "completion=key"], "stands in another --column"),
        (["x=text", "y=text"], "stands in another --column"),
        (["x=text", "x=key"], "stands in another --column"),
    ],
)
def test_renames_that_make_no_sense_are_refused(tmp_path, first, renames, says):
    words = [word for pair in (first, *renames) for word in ("--column", pair)]
    assert says in refused(tmp_path, "grade", [{"text": RIGHT, "key": "4"}], *words)


def test_two_columns_do_not_become_one(tmp_path):
    words = ["--column", "completion=text", "--column", "completion=key"]
    line = refused(tmp_path, "grade", [{"text": RIGHT, "key": "4", "gold": "4"}], *words)
    assert "'completion' stands in another --column" in line


# Names that we write ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stage", "column"),
    [
        ("grade", "verdict"),
        ("grade", "answer"),
        ("grade", "response"),
        ("grade", "num_boxed"),
        ("grade", "mean_entropy"),
        ("filter", "rejected_by"),
        ("select", "rank"),
        ("select", "role"),
        ("select", "ranked_by"),
    ],
)
def test_a_column_that_the_stage_writes_is_refused_and_kept_under_another_name(
    tmp_path, stage, column
):
    row = {"completion": RIGHT, "gold": "4", column: "mine"}
    if stage == "select":
        row["verdict"] = "correct"
    line = refused(tmp_path, stage, [row], *RANDOM)
    assert f"a column {column!r}, which `rft {stage}` writes" in line
    outcome = run(tmp_path, stage, [row], *RANDOM, "--column", f"mine={column}",
                "--set", "select.noise=0")  # fmt: skip
    assert outcome.rows[0]["mine"] == "mine"


# Columns that we know -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("completion", 4, "column 'completion' holds Int64"),
        ("completion", {"text": "x"}, "column 'completion' holds Struct"),
        ("completion", [[RIGHT]], "column 'completion' holds List"),
        ("gold", {"value": "4"}, "column 'gold' holds Struct"),
        ("gold", [["4"]], "column 'gold' holds List"),
        ("question", 3, "column 'question' holds Int64"),
        ("question", ["x"], "column 'question' holds List"),
        ("problem_id", ["x"], "column 'problem_id' holds List"),
        ("problem_id", None, "column 'problem_id' is empty in 1 rows"),
        ("sample_index", "first", "column 'sample_index' holds String"),
        ("sample_index", None, "column 'sample_index' is empty"),
        ("sample_index", 2**40, "column 'sample_index' holds Int64"),
        ("round", "x", "column 'round' holds String"),
        ("rollout_id", None, "column 'rollout_id' is empty"),
        ("finish_reason", ["stop"], "column 'finish_reason' holds List"),
        ("num_tokens", "many", "column 'num_tokens' holds String"),
    ],
)
def test_a_column_of_ours_that_holds_something_else_is_refused(tmp_path, column, value, says):
    row = {"completion": RIGHT, "gold": "4", column: value}
    assert says in refused(tmp_path, "grade", [row])


def test_text_that_is_no_unicode_is_refused(tmp_path):
    frame = pl.DataFrame({"completion": [b"\xff"], "gold": ["4"]})
    assert "column 'completion' holds Binary" in refused(tmp_path, "grade", frame)


def test_a_problem_is_known_by_its_question_and_gold(tmp_path):
    rows = [
        {"question": "a", "gold": "4", "completion": RIGHT},
        {"question": " a ", "gold": "4", "completion": WRONG},
        {"question": "a", "gold": "5", "completion": RIGHT},
        {"question": None, "gold": "4", "completion": RIGHT},
        {"question": " ", "gold": "4", "completion": RIGHT},
        {"question": " ", "gold": "4", "completion": RIGHT},
    ]
    made = run(tmp_path, "grade", rows).rows
    assert [row["problem_id"] for row in made[:3]] == [
        problem_id("a", ["4"]),
        problem_id("a", ["4"]),
        problem_id("a", ["5"]),
    ]
    assert [row["sample_index"] for row in made] == [0, 1, 0, 0, 0, 0]
    assert len({row["problem_id"] for row in made}) == 5, "no question is no common question"


def test_ids_of_their_own_are_kept_as_texts(tmp_path):
    row = {"completion": RIGHT, "gold": "4", "rollout_id": 7, "problem_id": 12}
    made = run(tmp_path, "grade", [row | {"sample_index": 3.0, "round": 2}]).rows[0]
    assert (made["rollout_id"], made["problem_id"]) == ("7", "12")
    assert (made["sample_index"], made["round"]) == (3, 2)


def test_an_id_that_stands_twice_is_refused(tmp_path):
    rows = [{"completion": RIGHT, "gold": "4", "rollout_id": "x"}] * 2
    assert "rollout_id 'x' stands in several rows" in refused(tmp_path, "grade", rows)


def test_one_problem_with_two_golds_is_refused(tmp_path):
    rows = [{"completion": RIGHT, "gold": gold, "problem_id": "p"} for gold in "45"]
    assert "problem p has two different golds" in refused(tmp_path, "grade", rows)


def test_made_up_ids_follow_content_and_tell_repeats_apart(tmp_path):
    texts = [RIGHT, RIGHT, None, "", WRONG]
    rows = [{"completion": text, "gold": "4", "problem_id": "p"} for text in texts]
    made = run(tmp_path, "grade", rows).rows
    assert [row["rollout_id"] for row in made] == [
        digest("adopted", "p", RIGHT, 0),
        digest("adopted", "p", RIGHT, 1),
        digest("adopted", "p", "", 0),
        digest("adopted", "p", "", 1),
        digest("adopted", "p", WRONG, 0),
    ]
    assert [row["sample_index"] for row in made] == [0, 1, 2, 3, 4]
    assert {row["round"] for row in made} == {0}
    assert {row["finish_reason"] for row in made} == {"stop"}
