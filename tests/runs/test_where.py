"""Pins the grammar of conditions: the oracle evaluates trees in Python, with null as unknown."""

import operator
import random
from typing import Any

import polars as pl
import pytest

from rft.errors import RFTError
from rft.runs.where import DEEPEST, LONGEST, rows_where

ROWS = pl.DataFrame(
    {
        "id": list(range(8)),
        "pass_rate": [0.0, 0.1, 0.25, 0.5, 0.9, 1.0, None, float("nan")],
        "tokens": [10, 200, 201, None, 500, 7, 8, 9],
        "verdict": ["correct", "wrong", None, "correct", "no_answer", "wrong", "it's", 'a "b"'],
        "gold": [["1"]] * 8,
    },
    schema_overrides={"tokens": pl.Int32, "pass_rate": pl.Float32},
)
SIGNS = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
    "==": operator.eq, "!=": operator.ne,
}  # fmt: skip


def ids(condition: str) -> list[int]:
    return rows_where(ROWS, condition)["id"].to_list()


def refusal(condition: str) -> str:
    with pytest.raises(RFTError) as told:
        rows_where(ROWS, condition)
    line = str(told.value)
    assert line.startswith("--where: ")
    assert "\n" not in line
    assert len(line) < 400
    return line.removeprefix("--where: ")


@pytest.mark.parametrize(
    ("condition", "wanted"),
    [
        ("0.09 < pass_rate < 0.95 and tokens > 200", [2, 4]),
        ("tokens >= 200", [1, 2, 4]),
        ("not tokens > 200", [0, 1, 5, 6, 7]),
        ("tokens is null or pass_rate is null", [3, 6, 7]),
        ("tokens is not null and tokens<9", [5, 6]),
        ("verdict == 'correct'", [0, 3]),
        ('verdict == "it\'s"', [6]),
        ("verdict == 'a \"b\"'", [7]),
        ("verdict in ('wrong', 'no_answer')", [1, 4, 5]),
        ("verdict not in ('wrong', 'no_answer')", [0, 3, 6, 7]),
        ("tokens in (7,8 , 9)", [5, 6, 7]),
        ("pass_rate<1e-3", [0]),
        ("-1 < pass_rate", [0, 1, 2, 3, 4, 5]),
        ("0 < tokens <= 10 != pass_rate", [0, 5]),
        ("(tokens < 9 or tokens == 500) and (verdict != 'wrong')", [4, 6]),
        ("tokens < 9 or tokens == 500 and verdict != 'wrong'", [4, 5, 6]),
        ("tokens < 99999999999999999999999999999999999999", [0, 1, 2, 4, 5, 6, 7]),
        ("tokens < 1e999", [0, 1, 2, 4, 5, 6, 7]),
        ("1 < 2", list(range(8))),
        ("'a' == 'b'", []),
        ("  tokens\n>\t200  ", [2, 4]),
    ],
)
def test_a_condition_means_what_it_says(condition, wanted):
    assert ids(condition) == wanted


def grown(source: random.Random, depth: int) -> Any:
    """Grow a tree at random."""
    kind = source.choice(["and", "or", "not", "test", "test"] if depth else ["test"])
    if kind == "not":
        return "not", grown(source, depth - 1)
    if kind != "test":
        return kind, *(grown(source, depth - 1) for _ in range(source.choice([2, 3])))
    name = source.choice(["pass_rate", "tokens", "verdict"])
    values = [0.0, 0.1, 0.5, 7, 200, 500, -3, 1e9] if name != "verdict" else ["wrong", "it's", "z"]
    match source.randrange(4):
        case 0:
            return "null", name, source.choice([True, False])
        case 1:
            return "in", name, source.sample(values, 2), source.choice([True, False])
        case _:
            count = source.choice([1, 1, 2])
            others = [source.choice([*values, (name,)]) for _ in range(count)]
            return "chain", [(name,), *others], [source.choice(list(SIGNS)) for _ in range(count)]


def written(tree: Any) -> str:
    def value(each: Any) -> str:
        if isinstance(each, tuple):
            return each[0]
        return f'"{each}"' if isinstance(each, str) else f"{each}"

    kind, *rest = tree
    if kind in ("and", "or"):
        return f" {kind} ".join(f"({written(each)})" for each in rest)
    if kind == "not":
        return f"not ({written(rest[0])})"
    if kind == "null":
        return f"{rest[0]} is {'not ' if rest[1] else ''}null"
    if kind == "in":
        return f"{rest[0]} {'not ' if rest[2] else ''}in ({', '.join(map(value, rest[1]))})"
    values, signs = rest
    return value(values[0]) + "".join(
        f" {sign} {value(each)}" for sign, each in zip(signs, values[1:], strict=True)
    )


def truth(tree: Any, row: dict[str, Any]) -> bool | None:
    """Evaluate a tree on a row: True, False, or None where that is not known."""
    kind, *rest = tree
    if kind in ("and", "or"):
        each = [truth(part, row) for part in rest]
        decided = kind == "or"
        return decided if decided in each else None if None in each else not decided
    if kind == "not":
        inner = truth(rest[0], row)
        return None if inner is None else not inner
    if kind == "null":
        return (row[rest[0]] is None) != rest[1]
    if kind == "in":
        value = row[rest[0]]
        return None if value is None else (value in rest[1]) != rest[2]
    values = [row[each[0]] if isinstance(each, tuple) else each for each in rest[0]]
    parts = [
        None if None in (one, other) else SIGNS[sign](one, other)
        for one, sign, other in zip(values, rest[1], values[1:], strict=False)
    ]
    return False if False in parts else None if None in parts else True


@pytest.mark.parametrize("seed", range(200))
def test_random_conditions_match_the_rows_that_they_are_true_of(seed):
    tree = grown(random.Random(seed), 3)
    exact = ROWS.with_columns(pl.col("pass_rate").cast(pl.Float64).fill_nan(None))
    wanted = [row["id"] for row in exact.to_dicts() if truth(tree, row) is True]
    assert ids(written(tree)) == wanted, written(tree)


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        ("", "is empty; give one such as 0.1 < pass_rate < 0.9"),
        ("   ", "is empty"),
        ("tokens", "expected one of < <= > >= == !=, `in` or `is` at its end"),
        ("tokens >", "expected a name, a number or a text in quotes at its end"),
        ("tokens > 3 4", 'expected `and`, `or` or the end at character 12, "4"'),
        ("tokens = 3", 'equality is written == at character 8, "= 3"'),
        ("token > 3", 'no such name; did you mean "tokens"?; it stands at character 1, "token"'),
        ("qqqq > 3", "no such name; there are id, pass_rate, tokens, verdict; it stands"),
        ("gold == '1'", "no such name"),
        ("__class__ == 'x'", "no such name"),
        ("tokens.__class__ == 1", 'this is no part of a condition at character 7, ".__class__ '),
        ("__import__('os').system('x')", "this is no part of a condition at character 17"),
        ("__import__('os')", "no such name; there are id,"),
        ("tokens('os')", "expected one of"),
        ("tokens[0] > 1", "this is no part of a condition at character 7"),
        ("tokens > 2 ** 9", "this is no part of a condition at character 12"),
        ("lambda: 1", "this is no part of a condition at character 7"),
        ("tokens > 0x10", "this is no part of a condition at character 10"),
        ("tokens > 1_000", "this is no part of a condition"),
        ("tokens > 1.2.3", "this is no part of a condition"),
        ("tokens > '3'", 'a text beside "tokens", which is a number: at character 10'),
        ("verdict == correct", "no such name"),
        ("verdict in ('a', 2)", 'a number beside "verdict", which is a text: at character 18'),
        ("verdict in ()", "expected a name, a number or a text"),
        ("verdict in 'wrong'", "expected ( at character 12"),
        ("verdict == 'open", 'a quote that is never closed at character 12, "\'open"'),
        ("tokens is 3", "expected null at character 11"),
        ("(tokens > 3", "expected ) at its end"),
        ("tokens > 3)", "expected `and`, `or` or the end at character 11"),
        ("and tokens > 3", 'expected a name, a number or a text in quotes at character 1, "and"'),
        ("tokens > \uff13", "this is no part of a condition at character 10"),
        ("\uff54okens > 3", "this is no part of a condition at character 1"),
        ("tokens > 3; import os", "this is no part of a condition at character 11"),
        ("tokens > \x00", "this is no part of a condition"),
        ("tokens > 3 \u202e", "this is no part of a condition"),
        ("null == null", "expected a name, a number or a text"),
    ],
)
def test_what_is_no_condition_is_one_line_that_points_at_the_place(condition, says):
    assert says in refusal(condition)


def test_depth_and_length_are_bounded():
    deep = "(" * DEEPEST + "tokens > 200" + ")" * DEEPEST
    assert ids(deep) == [2, 4]
    assert f"nested deeper than {DEEPEST} at character" in refusal(f"({deep})")
    assert "nested deeper" in refusal("not " * 400 + "tokens > 200")
    assert "nested deeper" in refusal("(" * (LONGEST - 1))
    assert refusal("x" * (LONGEST + 1)) == "2,001 characters, and at most 2,000 are read"
    many = " or ".join(["tokens==500"] * 130)
    assert ids(many) == [4]
    assert ids("not " * DEEPEST + "tokens > 200") == [2, 4]
    chain = " < ".join(map(str, range(280)))
    assert len(ids(chain)) == 8
    listed = ",".join(["'wrong'"] * 220)
    assert ids(f"verdict in ({listed})") == [1, 5]
