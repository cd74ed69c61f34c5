"""Pins how problems are read: names by content, golds by reader, a reason for what cannot be."""

import hashlib
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from rft.errors import RFTError
from rft.problems.gold import read_gold
from rft.problems.reading import read_rows
from rft.problems.sources import problem_id, problems, read_source, source_digest
from rft.recipe import Columns, Source


def jsonl(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read(path: Path, **settings: Any) -> list[dict[str, Any]]:
    source = Source(source=str(path), **settings)
    return list(problems(read_source(source), source))


# Golds --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "golds"),
    [
        ("So 48 + 24 = 72.\n#### 72", ["72"]),
        ("#### 1,234,567", ["1234567"]),
        ("####-5", ["-5"]),
        ("####    18   \n\n", ["18"]),
        ("#### 1\nno, wait\n#### 2", ["2"]),
        ("#### 3.5", ["3.5"]),
        ("the answer is 72", []),
        ("####", []),
        ("#### ,", []),
        ("", []),
        ("### 72", []),
    ],
)
def test_the_gsm8k_reader_takes_what_follows_the_last_mark(text, golds):
    assert read_gold(text, "gsm8k") == golds


@pytest.mark.parametrize(
    ("text", "golds"),
    [
        (r"Thus \boxed{72}.", ["72"]),
        (r"\boxed{1}, or rather \boxed{\frac{1}{2}}", [r"\frac{1}{2}"]),
        (r"\boxed {x^{2}}", ["x^{2}"]),
        (r"\boxed{ 5 }", ["5"]),
        (r"\boxed{}", []),
        (r"\boxed{72", []),
        ("72", []),
        ("", []),
    ],
)
def test_the_boxed_reader_takes_the_last_closed_box(text, golds):
    assert read_gold(text, "boxed") == golds


@pytest.mark.parametrize(
    ("value", "golds"),
    [
        ("72", ["72"]),
        ("  72\n", ["72"]),
        (72, ["72"]),
        (-1.5, ["-1.5"]),
        (0, ["0"]),
        (["72", "72.0"], ["72", "72.0"]),
        (["72", " 72 ", "8"], ["72", "8"]),
        ([None, "", "  ", "8"], ["8"]),
        (("a", "b"), ["a", "b"]),
        ([1, 2], ["1", "2"]),
        (None, []),
        ("", []),
        ("   ", []),
        ([], []),
        (r"\boxed{1} #### 2", [r"\boxed{1} #### 2"]),
    ],
)
def test_the_plain_reader_takes_texts_numbers_and_lists_of_them(value, golds):
    assert read_gold(value, "plain") == golds


def test_every_text_of_a_list_is_read_by_the_reader():
    assert read_gold(["x #### 1", "none", "y #### 2", "z #### 1"], "gsm8k") == ["1", "2"]


# Names --------------------------------------------------------------------------------------------


def test_a_problem_is_named_by_question_and_golds():
    text = "1 + 1?\0" + "2\0" + "two"
    assert problem_id("1 + 1?", ["two", "2"]) == hashlib.sha256(text.encode()).hexdigest()[:16]


def test_spaces_around_unicode_forms_and_the_order_of_golds_do_not_matter():
    wanted = problem_id("é?", ["1", "2"])
    assert problem_id("  e\u0301?\n", ["2", "1"]) == wanted


def test_other_questions_golds_and_borders_between_them_have_other_names():
    pairs = [
        ("a", ["b"]),
        ("a", ["b", "c"]),
        ("a", ["bc"]),
        ("ab", ["c"]),
        ("a ?", ["b"]),
        ("a?", ["b"]),
        ("A", ["b"]),
        ("a", ["B"]),
        ("a", []),
        ("", ["a"]),
    ]
    assert len({problem_id(question, golds) for question, golds in pairs}) == len(pairs)


# Rows ---------------------------------------------------------------------------------------------


def test_a_problem_keeps_question_golds_difficulty_and_the_rest(tmp_path):
    row = {"problem": " 1 + 1? ", "answer": "2", "level": "Level 5", "id": 7, "who": {"a": [1]}}
    path = jsonl(tmp_path / "p.jsonl", row)
    columns = Columns(question="problem", gold="answer", difficulty="level")
    (problem,) = read(path, columns=columns)
    assert problem == {
        "problem_id": problem_id("1 + 1?", ["2"]),
        "question": "1 + 1?",
        "gold": ["2"],
        "source": str(path),
        "difficulty": 5.0,
        "extra": json.dumps({"id": 7, "who": {"a": [1]}}),
        "reason": None,
    }


@pytest.mark.parametrize(
    ("given", "number"),
    [
        ("Level 5", 5.0),
        ("Level ?", None),
        ("5", 5.0),
        (" 0.25 ", 0.25),
        ("easy", None),
        ("", None),
        (3, 3.0),
        (2.5, 2.5),
        (None, None),
        ("nan", None),
        ("Level inf", None),
        ("1" * 400, None),
    ],
)
def test_a_difficulty_is_a_finite_number_or_nothing(tmp_path, given, number):
    path = jsonl(tmp_path / "p.jsonl", {"question": "q", "gold": "1", "difficulty": given})
    assert read(path)[0]["difficulty"] == number


def test_truth_is_no_difficulty(tmp_path):
    path = jsonl(tmp_path / "p.jsonl", {"question": "q", "gold": "1", "difficulty": True})
    assert read(path)[0]["difficulty"] is None


@pytest.mark.parametrize(
    ("row", "reader", "reason"),
    [
        ({"question": "", "gold": "1"}, "plain", "empty question"),
        ({"question": " \n", "gold": "1"}, "plain", "empty question"),
        ({"question": None, "gold": "1"}, "plain", "empty question"),
        ({"question": 3, "gold": "1"}, "plain", "empty question"),
        ({"question": "q", "gold": None}, "plain", "no gold that the plain reader can read"),
        ({"question": "q", "gold": "72"}, "gsm8k", "no gold that the gsm8k reader can read"),
        ({"question": "q", "gold": "#### 72"}, "boxed", "no gold that the boxed reader can read"),
    ],
)
def test_what_cannot_be_read_has_a_reason_and_is_not_dropped(tmp_path, row, reader, reason):
    (problem,) = read(jsonl(tmp_path / "p.jsonl", row), gold_reader=reader)
    assert problem["reason"] == reason


def test_a_missing_column_is_named_with_those_there_are(tmp_path):
    path = jsonl(tmp_path / "p.jsonl", {"problem": "q", "gold": "1"})
    with pytest.raises(RFTError, match=r"no column 'question'.*it has problem, gold"):
        read(path)


def test_a_limit_takes_the_first(tmp_path):
    path = jsonl(tmp_path / "p.jsonl", *({"question": f"q{i}", "gold": "1"} for i in range(5)))
    assert [row["question"] for row in read(path, limit=2)] == ["q0", "q1"]
    assert len(read(path, limit=9)) == 5


def test_bundled_problems_are_found_by_name_and_split():
    source = Source(source="bundled:arithmetic", split="dev", limit=3)
    assert [row["reason"] for row in problems(read_source(source), source)] == [None] * 3
    with pytest.raises(RFTError, match="is not bundled; there are bundled:arithmetic dev, "):
        read_source(Source(source="bundled:arithmetic", split="dve"))


def test_a_file_that_is_not_there_may_be_meant_as_a_hub_name():
    with pytest.raises(RFTError, match=r"write hub:none\.jsonl"):
        read_source(Source(source="none.jsonl"))


def test_a_misspelled_file_is_asked_for_by_its_name(tmp_path):
    jsonl(tmp_path / "own-train.jsonl", {"question": "q", "gold": "1"})
    with pytest.raises(RFTError, match=r'no such file; did you mean ".*/own-train\.jsonl"\?$'):
        read_source(Source(source=str(tmp_path / "own-trian.jsonl")))


def test_a_source_is_known_by_its_content(tmp_path):
    path = jsonl(tmp_path / "p.jsonl", {"question": "q", "gold": "1"})
    before = source_digest(Source(source=str(path)))
    moved = path.rename(tmp_path / "other.jsonl")
    assert source_digest(Source(source=str(moved))) == before
    jsonl(moved, {"question": "q", "gold": "2"})
    assert source_digest(Source(source=str(moved))) != before


# Files --------------------------------------------------------------------------------------------


def test_parquet_is_known_by_its_first_bytes_whatever_its_name(tmp_path):
    frame = pl.DataFrame({"question": ["q"], "gold": [["1", "2"]]})
    frame.write_parquet(tmp_path / "rows.bin")
    assert read_rows(tmp_path / "rows.bin").equals(frame)
    assert read(tmp_path / "rows.bin")[0]["gold"] == ["1", "2"]


def test_lines_may_be_blank_end_in_crlf_and_begin_with_a_mark(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_bytes('\ufeff{"a": "é"}\r\n\r\n  \n{"a": "\\u00e9\\n"}'.encode())
    assert read_rows(path)["a"].to_list() == ["é", "é\n"]


def test_rows_may_lack_columns_that_come_late(tmp_path):
    path = jsonl(tmp_path / "p.jsonl", *[{"a": 1}] * 300, {"b": "x"})
    frame = read_rows(path)
    assert frame["a"].null_count() == 1
    assert frame["b"].to_list() == [None] * 300 + ["x"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "the file is empty"),
        (b"\n \n", "no rows in it"),
        (b"question,gold\n1,2\n", "line 1 is not a JSON object"),
        (b'{"a": 1}\n{"a": 2', "line 2 is not a JSON object"),
        (b'[{"a": 1}]', "line 1 is not a JSON object"),
        (b"[" * 100_000, "line 1: nested too deeply"),
        (b"\xff\xfe\x00\x01", "it is UTF-16, not UTF-8"),
        (b'{"a": "\\ud800"}', "do not make one table"),
        (b'{"a": [1, "x"]}', "do not make one table"),
        (b'{"a": {"b": 1}}\n{"a": 3}', "do not make one table"),
        (b"PAR1 and then nothing", "not a readable Parquet file"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(tmp_path, content, says):
    path = tmp_path / "p.jsonl"
    path.write_bytes(content)
    with pytest.raises(RFTError, match=says) as refused:
        read_rows(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400


def test_no_value_is_lost_where_kinds_meet(tmp_path):
    path = jsonl(tmp_path / "p.jsonl", {"a": 1}, {"a": 2.5}, {"a": None})
    assert read_rows(path)["a"].to_list() == [1, 2.5, None]


@pytest.mark.parametrize(
    ("value", "golds"),
    [
        (["assert f(1)", "assert f(2)"], ["assert f(1)\nassert f(2)"]),
        ('{"inputs": ["1"], "outputs": ["2"]}', ['{"inputs": ["1"], "outputs": ["2"]}']),
        ({"inputs": ["1"], "outputs": ["2"]}, ['{"inputs": ["1"], "outputs": ["2"]}']),
        ([], []),
        (["assert f(1)", 2], []),
        (None, []),
        (4, []),
    ],
)
def test_tests_are_one_gold_however_many_there_are(value, golds):
    assert read_gold(value, "tests") == golds


def test_tests_may_be_longer_than_answers():
    long = "assert f(1) == 2  #" + "x" * 50_000
    rows = pl.DataFrame({"question": ["Double it."], "gold": [long]})
    for reader, reason in (("tests", None), ("plain", "gold longer than 10,000 characters")):
        source = Source(source="tests.jsonl", gold_reader=reader)
        (problem,) = problems(rows, source)
        assert (problem["reason"], problem["gold"]) == (reason, [long])
