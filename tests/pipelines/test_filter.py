"""Pins how rules apply: in order, on survivors, nothing lost, each rejected row with its rule.

Run: python -m pytest tests/pipelines/test_filter.py
"""

import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from filters import RULES
from pipelines.filter import STAGE, apply_rules, by_rule, check_rules, found, made_of, work
from rft.errors import RFTError
from rft.processes.stopping import Stop
from rft.runs import tables
from rft.runs.folder import Run
from rft.runs.schemas import TABLES
from rft.runs.stages import Job
from rft.runs.tables import conform, empty
from tests.small_run import new_run

SCHEMA = empty("graded").schema
GOOD: dict[str, Any] = {
    "problem_id": "p",
    "round": 1,
    "response": "So 6 times 7 is \\boxed{42}",
    "num_response_tokens": 9,
    "answer": "42",
    "verdict": "correct",
    "num_boxed": 1,
    "finish_reason": "stop",
    "redundancy": 0.0,
}
ALL: dict[str, dict[str, Any]] = {
    "no_box": {},
    "no_digit": {},
    "redundant": {"threshold": 0.31},
    "truncated": {},
    "many_boxes": {"most": 1},
    "duplicate": {},
    "mixed_language": {},
    "too_long": {"max_tokens": 12},
    "too_short": {"min_tokens": 3},
}


def graded(*rows: dict[str, Any]) -> pl.DataFrame:
    made = [
        GOOD | {"rollout_id": f"r{index}", "sample_index": index} | row
        for index, row in enumerate(rows)
    ]
    return pl.DataFrame(made, schema=SCHEMA)


def reasons(rejected: pl.DataFrame) -> dict[str, str]:
    return dict(rejected.select("rollout_id", "rejected_by").iter_rows())


def test_every_rule_is_known_to_this_test() -> None:
    assert list(ALL) == list(RULES)


def test_the_first_rule_in_the_recipe_that_hits_gives_the_reason() -> None:
    rows = graded({"answer": None, "response": "no idea"})
    _, rejected = apply_rules(rows, {"no_box": {}, "no_digit": {}})
    assert reasons(rejected) == {"r0": "no_box"}
    _, rejected = apply_rules(rows, {"no_digit": {}, "no_box": {}})
    assert reasons(rejected) == {"r0": "no_digit"}


def test_a_repeat_of_a_rejected_rollout_survives() -> None:
    rows = graded({"redundancy": 0.9}, {}, {})
    kept, rejected = apply_rules(rows, {"redundant": {}, "duplicate": {}})
    assert kept["rollout_id"].to_list() == ["r1"]
    assert reasons(rejected) == {"r0": "redundant", "r2": "duplicate"}
    # In the other order the first of them is the one that the repeats are measured against.
    kept, rejected = apply_rules(rows, {"duplicate": {}, "redundant": {}})
    assert kept.is_empty()
    assert reasons(rejected) == {"r0": "redundant", "r1": "duplicate", "r2": "duplicate"}


@pytest.mark.parametrize(
    ("rule", "column"),
    [
        ("no_box", "answer"),
        ("no_digit", "response"),
        ("redundant", "redundancy"),
        ("many_boxes", "num_boxed"),
        ("mixed_language", "response"),
        ("duplicate", "response"),
        ("duplicate", "sample_index"),
        ("too_long", "num_response_tokens"),
        ("too_short", "num_response_tokens"),
    ],
)
def test_what_a_rule_cannot_tell_is_rejected_and_not_lost(rule: str, column: str) -> None:
    rows = graded({column: None}, {"response": "another 1"})
    kept, rejected = apply_rules(rows, {rule: ALL[rule]})
    assert kept["rollout_id"].to_list() == ["r1"]
    assert reasons(rejected) == {"r0": rule}


def test_without_rules_everything_is_kept() -> None:
    rows = graded({}, {"answer": None})
    kept, rejected = apply_rules(rows, {})
    assert kept.equals(rows)
    assert rejected.is_empty()
    conform(rejected, "rejected")


def test_no_rows_give_two_tables_of_no_rows() -> None:
    kept, rejected = apply_rules(empty("graded"), ALL)
    assert conform(kept, "kept").num_rows == conform(rejected, "rejected").num_rows == 0


def test_rows_keep_their_order_values_and_other_columns() -> None:
    rows = graded({"sample_index": 3}, {"answer": None}, {"sample_index": 1}, {"answer": " "})
    rows = rows.with_columns(theirs=pl.Series(["a", "b", "c", None]))
    kept, rejected = apply_rules(rows, {"no_box": {}})
    assert kept.equals(rows[[0, 2]])
    assert rejected.drop("rejected_by").equals(rows[[1, 3]])
    assert kept.columns == rows.columns
    assert rejected.columns == [*rows.columns, "rejected_by"]


def test_rejected_rows_of_several_rules_are_in_the_order_they_came_in() -> None:
    rows = graded({"redundancy": 0.9}, {"answer": None}, {}, {"redundancy": 0.9}, {"answer": " "})
    kept, rejected = apply_rules(rows, {"no_box": {}, "redundant": {}})
    assert kept["rollout_id"].to_list() == ["r2"]
    assert list(reasons(rejected).items()) == [
        ("r0", "redundant"),
        ("r1", "no_box"),
        ("r3", "redundant"),
        ("r4", "no_box"),
    ]


def test_columns_with_any_name_pass_through() -> None:
    rows = graded({}, {"answer": None}).with_columns(place=1, __place=2, defect=3)
    for half in apply_rules(rows, {"no_box": {}}):
        assert half.select("place", "__place", "defect").rows() == [(1, 2, 3)]


def by_hand(row: dict[str, Any], rule: str, seen: set[tuple[Any, ...]]) -> bool:
    """Say whether a row has a defect, in plain Python; unknown is a defect."""
    response, tokens = row["response"], row["num_response_tokens"]
    if rule == "no_box":
        return not (row["answer"] or "").strip()
    if rule == "no_digit":
        return response is None or not any(digit in response for digit in "0123456789")
    if rule == "redundant":
        return row["redundancy"] is None or row["redundancy"] > 0.31
    if rule == "truncated":
        return row["finish_reason"] == "length" and row["answer"] is None
    if rule == "many_boxes":
        return row["num_boxed"] is None or row["num_boxed"] > 1
    if rule == "duplicate":
        name = (row["problem_id"], row["round"], response)
        repeated = name in seen
        seen.add(name)
        return response is None or repeated
    if rule == "mixed_language":
        return response is None or "中" in response
    if rule == "too_long":
        return tokens is None or tokens > 12
    return tokens is None or tokens < 3


def test_random_tables_and_orders_of_rules_agree_with_plain_python() -> None:
    source = random.Random(11)
    for _ in range(60):
        rows = [
            {
                "rollout_id": f"r{index}",
                "sample_index": index,
                "problem_id": source.choice("pq"),
                "round": source.choice([1, 1, 2]),
                "response": source.choice([None, "", " ", "x", "x 1", "2 中", "y 2", "z 3"]),
                "num_response_tokens": source.choice([None, 0, 2, 3, 12, 13]),
                "answer": source.choice([None, "", "1", "1", "2"]),
                "num_boxed": source.choice([None, 0, 1, 1, 1, 2]),
                "finish_reason": source.choice(["stop", "length"]),
                "redundancy": source.choice([None, 0.0, 0.25, 0.5]),
                "verdict": "wrong",
            }
            for index in source.sample(range(100), 40)
        ]
        order = source.sample(list(ALL), source.randint(1, len(ALL)))
        expected: dict[str, str] = {}
        # Ascending by sample_index, so that the first of equal texts is the one to survive.
        left = sorted(rows, key=lambda row: row["sample_index"])
        for rule in order:
            seen: set[tuple[Any, ...]] = set()
            hit = [row["rollout_id"] for row in left if by_hand(row, rule, seen)]
            expected |= dict.fromkeys(hit, rule)
            left = [row for row in left if row["rollout_id"] not in expected]
        kept, rejected = apply_rules(
            pl.DataFrame(rows, schema=SCHEMA), {rule: ALL[rule] for rule in order}
        )
        assert reasons(rejected) == expected
        # Both in the order in which the rows came, whichever rule rejected them.
        places = [row["rollout_id"] for row in rows]
        assert rejected["rollout_id"].to_list() == [name for name in places if name in expected]
        assert kept["rollout_id"].to_list() == [name for name in places if name not in expected]
        assert len(kept) + len(rejected) == len(rows)
        assert sum(by_rule(rejected).values()) == len(rejected)


def drawn(source: random.Random, number: int) -> dict[str, Any]:
    """Draw a row as a table may hold it, of few different texts."""
    return GOOD | {
        "rollout_id": f"r{number}",
        "sample_index": number,
        "problem_id": source.choice("pq"),
        "response": source.choice(["", " ", "x", "x 1", "2 中", "y 2", "z 3", "w " * 500]),
        "num_response_tokens": source.choice([None, 0, 2, 3, 12, 13]),
        "num_tokens": source.choice([None, 14, 20]),
        "answer": source.choice([None, "", "1", "1", "2"]),
        "num_boxed": source.choice([0, 1, 1, 1, 2]),
        "finish_reason": source.choice(["stop", "length"]),
        "redundancy": source.choice([0.0, 0.25, 0.5]),
        "verdict": source.choice(["wrong", "correct"]),
    }


@pytest.mark.parametrize("seed", range(6))
def test_rows_that_come_in_pieces_are_sifted_as_they_are_whole(seed: int, tmp_path: Path) -> None:
    source = random.Random(seed)
    rows = pl.DataFrame([drawn(source, number) for number in range(300)], schema=SCHEMA)
    order = source.sample(list(ALL), source.randrange(len(ALL) + 1))
    rules = {rule: ALL[rule] for rule in order}
    made = made_of(rules)
    whole = found([rows], made)
    edges = sorted(source.sample(range(301), 5))
    pieces = [rows[low:high] for low, high in pairwise([0, *edges, 300])]
    assert found(pieces, made).equals(whole)
    assert found([], made).is_empty()
    kept, rejected = apply_rules(rows, rules)
    # The stage, over shards of several row groups, writes what the rows in memory come to.
    run = new_run(tmp_path / "run")
    run = Run(run.path, run.recipe.model_copy(update={"filter": rules}))
    writer = tables.Writer(run.folder("graded", 1), "graded", limit=20_000)
    for piece in pieces:
        writer.add(piece)
    writer.close()
    assert len(run.parts("graded", 1)) > 1
    job = Job(run, STAGE, 1, Stop(), lambda _: None)
    work(job)
    for name, wanted in (("kept", kept), ("rejected", rejected)):
        assert tables.read(job.outputs[name], name).equals(wanted.select(TABLES[name].names)), name
    assert job.counts["in"] == 300 == job.counts["kept"] + sum(job.counts["rejected"].values())
    assert job.counts["rejected"] == by_rule(rejected)


def test_a_missing_column_is_named_with_the_rule_and_the_remedy() -> None:
    rows = graded({}).drop("redundancy")
    with pytest.raises(RFTError, match=r"filter\.redundant.*'redundancy'.*rft grade"):
        apply_rules(rows, {"no_box": {}, "redundant": {}})
    with pytest.raises(RFTError, match=r"filter\.duplicate.*'rollout_id'"):
        apply_rules(graded({}).drop("rollout_id"), {"duplicate": {}})


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ({"redundent": {}}, '"redundent"; did you mean "redundant"'),
        ({"zzz": {}}, '"zzz"; the rules are no_box'),
        ({"redundant": {"treshold": 0.3}}, '"treshold"; it takes threshold'),
        ({"no_box": {"threshold": 0.3}}, '"threshold"; it takes no parameters'),
        ({"redundant": {"threshold": "0.3"}}, '"0.3" is not of type float'),
        ({"redundant": {"threshold": None}}, "null is not of type float"),
        ({"redundant": {"threshold": True}}, "true is not of type float"),
        ({"redundant": {"threshold": float("nan")}}, "between 0 and 1, not nan"),
        ({"too_long": {"max_tokens": True}}, "true is not of type int"),
        ({"too_long": {"max_tokens": 4096.0}}, "4096.0 is not of type int"),
        ({"too_long": {}}, "max_tokens is missing"),
        ({"too_short": {"max_tokens": 3}}, '"max_tokens"; it takes min_tokens'),
        ({"mixed_language": {"characters": "z-a"}}, "no regular expression"),
        ({"mixed_language": {"characters": 3}}, "3 is not of type str"),
    ],
)
def test_a_mistake_in_the_rules_is_one_line_before_any_row_is_read(
    rules: dict[str, dict[str, Any]], says: str
) -> None:
    for attempt in (lambda: check_rules(rules), lambda: apply_rules(empty("graded"), rules)):
        with pytest.raises(RFTError) as refusal:
            attempt()
        message = str(refusal.value)
        assert says in message
        assert message.startswith("filter")
        assert "\n" not in message


def test_a_whole_number_will_do_for_a_share() -> None:
    check_rules({"redundant": {"threshold": 1}})
    check_rules(ALL)
