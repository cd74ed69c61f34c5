r"""Pins `rft grade|filter|select --input`: anyone's rows, or one clear line and exit code 2.

Nothing of theirs is lost: unknown columns pass through, and a name that we write is refused.
"""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from rft.cli import cli
from rft.problems.sources import problem_id
from rft.seeds import digest

STAGES = ["grade", "filter", "select"]
RIGHT, WRONG, NONE = r"so \boxed{4}. Or \boxed{5}", r"so \boxed{5}", "no idea"
RANDOM = ("--set", "select.by=random")

HOSTILE = [
    "",
    " \n\t",
    "\x00\x1b[31m",
    "}{\\boxed{",
    "\\boxed{" * 2000,
    "{" * 5000 + r"\boxed{4}" + "}" * 5000,
    "\U0001d7dc \u202e evil \u0000 é",
    "a" * 200_000,
    "=cmd()|'\"; DROP TABLE rollouts; --",
    '{"verdict": "correct"}',
]


@dataclass
class Outcome:
    """What a command did."""

    code: int
    said: str
    told: str
    output: Path

    @property
    def rows(self) -> list[dict[str, Any]]:
        assert self.code == 0, self.told
        return pl.read_parquet(self.output).to_dicts()

    @property
    def rejected(self) -> list[dict[str, Any]]:
        return pl.read_parquet(self.output.with_suffix(".rejected.parquet")).to_dicts()

    @property
    def passed_over(self) -> list[dict[str, Any]]:
        return pl.read_parquet(self.output.with_suffix(".passed_over.parquet")).to_dicts()


def run(tmp_path: Path, stage: str, given: Any, *more: str) -> Outcome:
    """Run a stage on rows, a frame, bytes, or a path."""
    source = given if isinstance(given, Path) else tmp_path / "in.rows"
    if isinstance(given, list):
        source.write_text("".join(json.dumps(row) + "\n" for row in given))
    elif isinstance(given, pl.DataFrame):
        given.write_parquet(source)
    elif isinstance(given, bytes):
        source.write_bytes(given)
    output = tmp_path / "out.parquet"
    found = CliRunner().invoke(cli, [stage, "--input", str(source), "--output", str(output), *more])
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    return Outcome(found.exit_code, found.stdout, found.stderr, output)


def refused(tmp_path: Path, stage: str, given: Any, *more: str) -> str:
    """Run a stage that must refuse, and give its one line."""
    found = run(tmp_path, stage, given, *more)
    assert found.code == 2, found.said + found.told
    assert not found.said
    line = found.told.strip().splitlines()[-1]
    assert line.startswith("Error: ")
    assert len(line) < 500
    assert not list(tmp_path.glob("*out*")), "something was written"
    return line


# Files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "the file is empty"),
        (b" \n\n", "no rows in it"),
        (b"{}\n", "no rows in it"),
        (b"completion,gold\n1,2\n", "line 1 is not a JSON object"),
        (b'{"completion": "x"}\n{"completion": ', "line 2 is not a JSON object"),
        (b'["completion"]\n', "line 1 is not a JSON object"),
        (b'{"completion": "\\ud800", "gold": "1"}', "do not make one table"),
        (b"\x89PNG\r\n\x1a\n", "line 1 is not a JSON object"),
        (b"PAR1" + b"\x00" * 50, "not a readable Parquet file"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, stage, content, says):
    assert says in refused(tmp_path, stage, content)


@pytest.mark.parametrize("stage", STAGES)
def test_a_missing_file_and_a_folder_are_refused(tmp_path, stage):
    assert "none.jsonl: no such file" in refused(tmp_path, stage, tmp_path / "none.jsonl")
    (tmp_path / "folder").mkdir()
    assert "no such file" in refused(tmp_path, stage, tmp_path / "folder")


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
    found = run(tmp_path, "filter", tmp_path / "out.parquet")
    assert (found.code, "that is the input" in found.told) == (2, True)
    rows.write_parquet(tmp_path / "out.rejected.parquet")
    found = run(tmp_path, "filter", tmp_path / "out.rejected.parquet")
    assert (found.code, "would replace the input" in found.told) == (2, True)
    assert pl.read_parquet(tmp_path / "out.rejected.parquet").equals(rows)
    graded = rows.with_columns(verdict=pl.lit("correct"))
    graded.write_parquet(tmp_path / "out.passed_over.parquet")
    outcome = run(tmp_path, "select", tmp_path / "out.passed_over.parquet", *RANDOM)
    assert outcome.code == 2
    assert "the passed over rows would replace the input" in outcome.told
    assert pl.read_parquet(tmp_path / "out.passed_over.parquet").equals(graded)


def test_the_output_is_parquet():
    found = CliRunner().invoke(cli, ["filter", "--input", "a.jsonl", "--output", "b.jsonl"])
    assert found.exit_code == 2
    assert "ends in .parquet" in found.stderr


@pytest.mark.parametrize("stage", STAGES)
def test_options_of_a_run_and_of_a_file_do_not_mix(tmp_path, stage):
    for words in (
        [str(tmp_path), "--column", "a=b"],
        [str(tmp_path), "--set", "seed=1"],
        ["--input", "a", "--output", "b.parquet", "--round", "1"],
        ["--input", "a"],
        [],
    ):
        found = CliRunner().invoke(cli, [stage, *words])
        assert found.exit_code == 2
        assert "Usage" in found.stderr


# Renames ------------------------------------------------------------------------------------------


def test_columns_are_renamed(tmp_path):
    rows = [{"text": RIGHT, "answer_key": "4"}]
    found = run(tmp_path, "grade", rows, "--column", "completion=text",
                "--column", "gold=answer_key")  # fmt: skip
    assert found.rows[0]["verdict"] == "correct"
    assert "1 graded: 1 correct" in found.said


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
    found = run(tmp_path, stage, [row], *RANDOM, "--column", f"mine={column}",
                "--set", "select.noise=0")  # fmt: skip
    assert found.rows[0]["mine"] == "mine"


# What passes through ------------------------------------------------------------------------------

THEIRS = {
    "prompt": [{"role": "user", "content": "2 + 2?"}],
    "logprobs": [{"token": "a", "logprob": -0.5}],
    "token_ids": [1, 2, 3],
    "entropies": [0.123456789, 1e300],
    "model": {"name": "m"},
    "seed": "many",
    "__place": 1,
    "__draw": 2,
    "defect": 3,
    "value": 4,
    "draw": 5,
    "place": 6,
    "name with spaces, and \n": None,
    "meta": {"deep": [{"x": 1}, {"x": None}]},
}


def test_unknown_columns_pass_through_all_three_stages(tmp_path):
    rows = [{"completion": text, "gold": "4", "n": n, **THEIRS} for n, text in
            enumerate([RIGHT, WRONG, NONE])]  # fmt: skip
    graded = run(tmp_path, "grade", rows)
    assert [row["verdict"] for row in graded.rows] == ["correct", "wrong", "no_answer"]
    kept = run(tmp_path, "filter", graded.output.rename(tmp_path / "graded.parquet"))
    assert kept.said.startswith("3 graded = 2 kept + 1 rejected (1 no_box)")
    every = [*kept.rows, *kept.rejected]
    selected = run(tmp_path, "select", kept.output.rename(tmp_path / "kept.parquet"), *RANDOM,
                   "--set", "select.noise=0.5")  # fmt: skip
    assert [row["role"] for row in selected.rows] == ["positive", "noise"]
    for row in (*graded.rows, *every, *selected.rows):
        assert {name: row[name] for name in THEIRS} == THEIRS
        assert (row["gold"], row["completion"]) == ("4", [RIGHT, WRONG, NONE][row["n"]])


def test_hostile_text_is_only_text(tmp_path):
    rows = [
        {"completion": text, "gold": text, "question": text, text[:50].replace("\0", "0"): 1}
        for text in HOSTILE
    ]
    rows = [row for row in rows if row["gold"].strip()]
    graded = run(tmp_path, "grade", rows)
    for row in graded.rows:
        assert row["completion"] in HOSTILE
        assert row["response"] == row["completion"][: len(row["response"])]
    # Even where the gold is the very text: an answer stands in a box, and no gold is this long.
    assert {row["verdict"] for row in graded.rows} == {"no_answer", "bad_gold"}
    kept = run(tmp_path, "filter", graded.output.rename(tmp_path / "graded.parquet"))
    assert len(kept.rows) + len(kept.rejected) == len(rows)


# Grade --------------------------------------------------------------------------------------------


def test_a_list_of_completions_is_a_row_each_of_one_problem(tmp_path):
    rows = [{"completion": [RIGHT, None, WRONG], "gold": 4, "n": 0},
            {"completion": [], "gold": 4, "n": 1},
            {"completion": [RIGHT], "gold": 4, "n": 2}]  # fmt: skip
    made = run(tmp_path, "grade", rows).rows
    assert [row["n"] for row in made] == [0, 0, 0, 2]
    assert [row["verdict"] for row in made] == ["correct", "no_answer", "wrong", "correct"]
    assert [row["sample_index"] for row in made] == [0, 1, 2, 0]
    assert len({row["problem_id"] for row in made}) == 2
    assert len({row["rollout_id"] for row in made}) == 4


def test_lists_of_fixed_length_are_lists_too(tmp_path):
    frame = pl.DataFrame(
        {"completion": [[RIGHT, WRONG]], "gold": ["4"]},
        schema={"completion": pl.Array(pl.String, 2), "gold": pl.String},
    )
    assert [row["verdict"] for row in run(tmp_path, "grade", frame).rows] == ["correct", "wrong"]


@pytest.mark.parametrize(
    ("golds", "verdicts"),
    [
        (["4", "5"], ["correct", "wrong"]),
        ([4, 5], ["correct", "wrong"]),
        ([4.0, 5.0], ["correct", "wrong"]),
        ([["5", "4"], ["5", "6"]], ["correct", "wrong"]),
        ([[4], [6]], ["correct", "wrong"]),
    ],
)
def test_a_gold_is_a_text_a_number_or_a_list_of_them(tmp_path, golds, verdicts):
    rows = [{"completion": RIGHT, "gold": gold} for gold in golds]
    assert [row["verdict"] for row in run(tmp_path, "grade", rows).rows] == verdicts


@pytest.mark.parametrize("gold", [None, "", "  ", [], [None, ""]])
def test_a_row_without_a_gold_is_named_by_its_number(tmp_path, gold):
    golds = [["4"], gold] if isinstance(gold, list) else ["4", gold]
    rows = [{"completion": RIGHT, "gold": gold} for gold in golds]
    assert "row 2 has no gold" in refused(tmp_path, "grade", rows)


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


def test_each_verdict_is_counted(tmp_path):
    rows = [{"completion": text, "gold": gold} for text, gold in
            [(RIGHT, "4"), (WRONG, "4"), (NONE, "4"), (r"\boxed{}", "4"),
             (r"\boxed{" + "9" * 3000 + "}", "4")]]  # fmt: skip
    found = run(tmp_path, "grade", rows)
    assert found.said.startswith("5 graded: 1 correct, 2 no_answer, 1 unparseable, 1 wrong")


# Filter -------------------------------------------------------------------------------------------


def test_a_response_counts_as_trimmed_only_beside_num_boxed(tmp_path):
    (row,) = run(tmp_path, "filter", [{"response": RIGHT}]).rows
    assert (row["response"], row["answer"], row["num_boxed"]) == (r"so \boxed{4}", "4", 2)
    (row,) = run(tmp_path, "filter", [{"response": RIGHT, "num_boxed": 7}]).rows
    assert (row["response"], row["answer"], row["num_boxed"]) == (RIGHT, "4", 7)


def test_features_of_their_own_are_believed(tmp_path):
    rows = [{"response": "x1", "num_boxed": 1, "answer": "4", "redundancy": 0.9},
            {"response": "x1 y", "num_boxed": 1, "answer": "4", "redundancy": 0.31}]  # fmt: skip
    found = run(tmp_path, "filter", rows)
    assert [row["response"] for row in found.rows] == ["x1 y"]
    assert found.rejected[0]["rejected_by"] == "redundant"


@pytest.mark.parametrize("rule", ["no_box", "no_digit", "redundant", "duplicate", "many_boxes"])
def test_a_row_without_a_text_is_rejected_by_any_rule(tmp_path, rule):
    rows = [{"completion": None, "n": 0}, {"completion": RIGHT, "n": 1}]
    settings = {"many_boxes": "{most: 9}"}.get(rule, "{}")
    found = run(tmp_path, "filter", rows, "--set", f"filter={{{rule}: {settings}}}")
    assert [row["n"] for row in found.rows] == [1]
    assert [(row["n"], row["rejected_by"]) for row in found.rejected] == [(0, rule)]


def test_a_rule_over_groups_works_where_problems_are_known(tmp_path):
    rows = [{"completion": RIGHT, "question": q, "gold": "4"} for q in ("a", "a", "b")]
    found = run(tmp_path, "filter", rows)
    assert found.said.startswith("3 graded = 2 kept + 1 rejected (1 duplicate)")
    assert not found.told


def test_a_rule_over_groups_says_that_it_did_nothing_where_each_row_is_its_own_problem(tmp_path):
    rows = [{"completion": RIGHT}] * 3
    found = run(tmp_path, "filter", rows)
    assert len(found.rows) == 3
    assert found.told.startswith("filter.duplicate did nothing: each row is the only sample")
    assert len(found.told.strip().splitlines()) == 1
    # A file that went through `rft grade` has ids, which say no more.
    graded = run(tmp_path, "grade", [{"completion": RIGHT, "gold": "4"}] * 3).output
    found = run(tmp_path, "filter", graded.rename(tmp_path / "graded.parquet"))
    assert "filter.duplicate did nothing" in found.told
    rules = ["--set", "filter={no_box: {}}"]
    assert not run(tmp_path, "filter", rows, *rules).told


def test_lists_of_completions_are_filtered_too(tmp_path):
    found = run(tmp_path, "filter", [{"completion": [RIGHT, RIGHT, NONE]}])
    assert found.said.startswith("3 graded = 1 kept + 2 rejected (1 duplicate, 1 no_box)")


def test_nothing_kept_is_an_empty_table_and_not_an_error(tmp_path):
    found = run(tmp_path, "filter", [{"completion": NONE}])
    assert found.rows == []
    assert found.rejected[0]["rejected_by"] == "no_box"


def test_a_feature_that_is_no_number_is_refused(tmp_path):
    row = {"response": "x", "num_boxed": "many"}
    assert "column 'num_boxed' holds String" in refused(tmp_path, "filter", [row])


# Select -------------------------------------------------------------------------------------------


def test_select_needs_a_verdict_and_a_text_or_an_id(tmp_path):
    assert "no column 'verdict'" in refused(tmp_path, "select", [{"completion": "x"}])
    assert "no column 'completion'" in refused(tmp_path, "select", [{"verdict": "correct"}])
    found = run(tmp_path, "select", [{"verdict": "correct", "rollout_id": 5}], *RANDOM,
                "--set", "select.noise=0")  # fmt: skip
    assert found.rows[0]["rollout_id"] == "5"


def test_select_says_what_it_did_not_take_and_why(tmp_path):
    rows = [{"verdict": v, "completion": str(n), "problem_id": "p"} for n, v in
            enumerate(["correct"] * 6 + ["wrong", None, "CORRECT"])]  # fmt: skip
    found = run(tmp_path, "select", rows, *RANDOM, "--set", "select.noise=0.5")
    assert "2 selected (1 noise, 1 positive)" in found.said
    assert "3 budget, 2 per_problem, 1 verdict CORRECT, 1 verdict None" in found.said
    assert "took 2 of 512" in found.told
    assert f"-> {found.output.with_suffix('.passed_over.parquet')}" in found.said
    others = found.passed_over
    counts = Counter(row["reason"] for row in others)
    assert counts == {"budget": 3, "per_problem": 2, "verdict CORRECT": 1, "verdict None": 1}
    texts = [row["completion"] for row in (*found.rows, *others)]
    assert sorted(texts) == [str(n) for n in range(9)]
    assert [row["place"] for row in others] == [*range(1, 6), None, None]


def test_columns_named_as_those_of_the_passed_over_are_theirs_there(tmp_path):
    theirs = {"reason": "mine", "place": "here", "share": None}
    rows = [{"verdict": "correct", "completion": str(n), **theirs} for n in range(3)]
    settings = [*RANDOM, "--set", "select.budget=1", "--set", "select.noise=0"]
    outcome = run(tmp_path, "select", rows, *settings)
    assert {name: outcome.rows[0][name] for name in theirs} == theirs
    for place, row in enumerate(outcome.passed_over, 1):
        assert (row["reason"], row["place"], row["share"]) == ("budget", place, None)
        assert {name: row[f"their_{name}"] for name in theirs} == theirs
    told = run(tmp_path, "select", [row | {"their_place": 1} for row in rows], *settings).told
    assert "it has a column 'their_place', which `rft select` writes" in told


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"verdict": "wrong"}, "no correct sample to train on"),
        ({"verdict": "unparseable"}, "no correct sample to train on"),
        ({"verdict": True}, "no correct sample to train on"),
        ({"verdict": ["correct"]}, "column 'verdict' holds List"),
        ({"verdict": "correct"}, "no row has a mean_branching"),
        ({"verdict": "correct", "mean_branching": None}, "no row has a mean_branching"),
        ({"verdict": "correct", "mean_branching": "high"}, "'mean_branching' holds String"),
    ],
)
def test_rows_without_anything_to_select_are_refused(tmp_path, row, says):
    assert says in refused(tmp_path, "select", [row | {"completion": "x"}])


def test_a_statistic_of_their_own_ranks_and_nan_does_not(tmp_path):
    values = [1.0, 3.0, float("nan"), 2.0, None, float("inf")]
    rows = [{"verdict": "correct", "completion": str(n), "mean_branching": value}
            for n, value in enumerate(values)]  # fmt: skip
    found = run(tmp_path, "select", rows, "--set", "select.noise=0")
    assert [row["completion"] for row in found.rows[:3]] == ["1", "3", "0"]


def test_select_says_when_what_works_on_problems_did_nothing(tmp_path):
    rows = [{"verdict": "correct", "completion": "x"}] * 2
    found = run(tmp_path, "select", rows, *RANDOM, "--set", "select.noise=0")
    assert found.told.startswith("select.per_problem did nothing")
    settings = [*RANDOM, "--set", "select.noise=0", "--set", "select.per_problem=null"]
    assert "did nothing" not in run(tmp_path, "select", rows, *settings).told
