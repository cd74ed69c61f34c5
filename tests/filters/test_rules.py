"""Pins the rules: each is true for exactly its defect, on the trimmed response, at every edge.

What a rule cannot tell is null (or true), so that the stage rejects it; it is never false.
Run: python -m pytest tests/filters/test_rules.py
"""

import itertools
import random
from typing import Any

import polars as pl
import pytest

from filters import RULES
from filters.grouped import Grouped, columns_of
from rft.runs.tables import empty

SCHEMA = empty("graded").schema
GOOD: dict[str, Any] = {
    "rollout_id": "r",
    "problem_id": "p",
    "round": 1,
    "sample_index": 0,
    "response": "So 6 times 7 is \\boxed{42}",
    "num_response_tokens": 9,
    "answer": "42",
    "verdict": "correct",
    "num_boxed": 1,
    "finish_reason": "stop",
    "redundancy": 0.0,
}


def graded(*rows: dict[str, Any]) -> pl.DataFrame:
    """Make graded rows that differ from a good one as given, each with its own name and index."""
    made = [
        GOOD | {"rollout_id": f"r{index}", "sample_index": index} | row
        for index, row in enumerate(rows)
    ]
    return pl.DataFrame(made, schema=SCHEMA)


def found(rule: str, rows: pl.DataFrame, **parameters: Any) -> list[bool | None]:
    return defect(rule, rows, **parameters).to_list()


def defect(rule: str, rows: pl.DataFrame, **parameters: Any) -> pl.Series:
    made = RULES[rule](**parameters)
    return made.find(rows) if isinstance(made, Grouped) else rows.select(defect=made)["defect"]


def test_a_good_response_has_no_defect() -> None:
    parameters = {"too_long": {"max_tokens": 9}, "too_short": {"min_tokens": 9}}
    for rule in RULES:
        assert found(rule, graded({}), **parameters.get(rule, {})) == [False], rule


@pytest.mark.parametrize("rule", sorted(RULES))
def test_a_rule_of_no_rows_finds_nothing_and_says_true_or_false(rule: str) -> None:
    parameters = {"too_long": {"max_tokens": 9}, "too_short": {"min_tokens": 9}}
    seen = defect(rule, empty("graded"), **parameters.get(rule, {}))
    assert seen.dtype == pl.Boolean
    assert seen.is_empty()


@pytest.mark.parametrize(
    ("rule", "column", "parameters"),
    [
        ("no_digit", "response", {}),
        ("redundant", "redundancy", {}),
        ("truncated", "finish_reason", {}),
        ("many_boxes", "num_boxed", {}),
        ("duplicate", "response", {}),
        ("duplicate", "problem_id", {}),
        ("duplicate", "round", {}),
        ("duplicate", "sample_index", {}),
        ("mixed_language", "response", {}),
        ("too_long", "num_response_tokens", {"max_tokens": 9}),
        ("too_short", "num_response_tokens", {"min_tokens": 9}),
    ],
)
def test_what_is_unknown_never_passes(rule: str, column: str, parameters: dict[str, Any]) -> None:
    # Without a box, since a closed one is not truncated whatever the reason to finish.
    rows = graded({column: None, "answer": None}, {"response": "another 1"})
    seen = found(rule, rows, **parameters)
    assert seen[0] is not False
    assert seen[1] is False, "one unknown row must not take a good one with it"


@pytest.mark.parametrize("answer", [None, "", " ", "\t\n", "\u00a0", "\u3000"])
def test_no_box_finds_a_missing_and_an_empty_box(answer: str | None) -> None:
    assert found("no_box", graded({"answer": answer})) == [True]


@pytest.mark.parametrize("answer", ["0", "x", "\\phantom{2}", "{}"])
def test_no_box_passes_a_box_with_anything_in_it(answer: str) -> None:
    assert found("no_box", graded({"answer": answer})) == [False]


@pytest.mark.parametrize(
    "text", ["", " \n", "x", "two", "\\boxed{x}", "٣", "²", "\uff15", "Ⅳ", "½"]
)
def test_no_digit_counts_only_0_to_9(text: str) -> None:
    assert found("no_digit", graded({"response": text})) == [True]


@pytest.mark.parametrize("text", ["0", "x9", "\n\n7\n", "٣ 3", "x" * 100_000 + "1"])
def test_no_digit_finds_a_digit_wherever_it_stands(text: str) -> None:
    assert found("no_digit", graded({"response": text})) == [False]


@pytest.mark.parametrize("total", [100, 200, 1000, 20_000])
def test_exactly_31_of_100_stays_and_one_more_goes(total: int) -> None:
    repeats = 31 * total // 100
    for share, defect in [
        (repeats / total, False),
        # 1 - 69/100 is 0.31000000000000005 in double precision.
        (1 - (total - repeats) / total, False),
        ((repeats + 1) / total, True),
        ((repeats - 1) / total, False),
    ]:
        single = graded({"redundancy": share})
        assert found("redundant", single) == [defect], share
        double = single.with_columns(redundancy=pl.lit(share, pl.Float64))
        assert found("redundant", double) == [defect], share


@pytest.mark.parametrize("threshold", [0.0, 0.1, 0.2, 0.3, 0.7, 1.0])
def test_a_share_equal_to_any_threshold_stays(threshold: float) -> None:
    assert found("redundant", graded({"redundancy": threshold}), threshold=threshold) == [False]


def test_a_redundancy_that_is_no_number_is_rejected() -> None:
    assert found("redundant", graded({"redundancy": float("nan")})) == [True]


@pytest.mark.parametrize("threshold", [float("nan"), -0.1, 1.1, 31])
def test_a_threshold_that_is_no_share_is_refused(threshold: float) -> None:
    # Nothing is above NaN: without this the rule would pass everything.
    with pytest.raises(ValueError, match="between 0 and 1"):
        RULES["redundant"](threshold=threshold)


@pytest.mark.parametrize(
    ("reason", "answer", "defect"),
    [
        ("length", None, True),
        ("length", "42", False),
        # An empty box did close before the limit: that is the defect of no_box.
        ("length", "", False),
        ("stop", None, False),
        ("error", None, False),
        (None, "42", False),
    ],
)
def test_truncated_means_that_the_limit_came_before_the_first_box_closed(
    reason: str | None, answer: str | None, defect: bool
) -> None:
    row = {"finish_reason": reason, "answer": answer, "num_boxed": int(answer is not None)}
    assert found("truncated", graded(row)) == [defect]


def test_many_boxes_counts_up_to_its_limit() -> None:
    rows = graded(*({"num_boxed": number} for number in range(5)))
    assert found("many_boxes", rows) == [False, False, True, True, True]
    assert found("many_boxes", rows, most=3) == [False, False, False, False, True]


def test_length_limits_are_inclusive() -> None:
    rows = graded(*({"num_response_tokens": number, "num_tokens": 1000} for number in (0, 9, 10)))
    assert found("too_long", rows, max_tokens=9) == [False, False, True]
    assert found("too_short", rows, min_tokens=10) == [True, True, False]


CJK = ["中", "々", "\u3007", "⼀", "ㄅ", "ひ", "カ", "ー", "ｱ", "한", "ㅋ", "㐀", "𠀀", "豈"]
OTHERS = [
    "",
    " ",
    "x",
    "é",
    "π",
    "привет",
    "عربي",
    "①",
    "№",
    "㎡",
    "·",
    "≤",
    "\U0001d54f",
    "🙂",
    "\uff21",
    "∀",
]


@pytest.mark.parametrize("character", CJK)
def test_any_cjk_character_is_another_language(character: str) -> None:
    assert found("mixed_language", graded({"response": f"so x{character}=1"})) == [True]


@pytest.mark.parametrize("text", OTHERS)
def test_mathematics_and_other_scripts_are_not_cjk(text: str) -> None:
    assert found("mixed_language", graded({"response": text})) == [False]


def test_the_characters_of_a_mixed_language_are_a_choice() -> None:
    rows = graded({"response": "да"}, {"response": "中"}, {"response": "a]b"})
    assert found("mixed_language", rows, characters=r"\p{Cyrillic}") == [True, False, False]
    assert found("mixed_language", rows, characters=r"\]") == [False, False, True]


@pytest.mark.parametrize("characters", ["", "z-a", r"\p{Klingon}", "["])
def test_characters_that_are_no_regular_expression_are_refused(characters: str) -> None:
    with pytest.raises(ValueError, match="no regular expression"):
        RULES["mixed_language"](characters=characters)


def test_the_lowest_sample_index_of_a_repeated_response_survives() -> None:
    rows = graded({"sample_index": 5}, {"sample_index": 2}, {"sample_index": 9})
    assert found("duplicate", rows) == [True, False, True]


@pytest.mark.parametrize(
    "other",
    [
        {"problem_id": "q"},
        {"round": 2},
        {"response": "So 6 times 7 is \\boxed{42} "},
        {"response": "so 6 times 7 is \\boxed{42}"},
        {"response": ""},
    ],
)
def test_only_the_same_text_for_the_same_problem_and_round_is_a_repeat(
    other: dict[str, Any],
) -> None:
    assert found("duplicate", graded({}, other)) == [False, False]


def test_swapped_columns_are_not_the_same() -> None:
    # Hashes that are put together without regard to their column would call these two equal.
    rows = graded({"problem_id": "a", "response": "b"}, {"problem_id": "b", "response": "a"})
    assert found("duplicate", rows) == [False, False]
    rows = graded({"problem_id": "a", "response": "a"}, {"problem_id": "b", "response": "b"})
    assert found("duplicate", rows) == [False, False]


@pytest.mark.parametrize("column", ["rollout_id", "sample_index"])
def test_an_unknown_twin_neither_survives_nor_takes_the_known_one_with_it(column: str) -> None:
    rows = graded({column: None}, {}, {})
    assert found("duplicate", rows) == [None, False, True]


@pytest.mark.parametrize("text", ["", " ", "\x00", "\n"])
def test_empty_responses_repeat_each_other(text: str) -> None:
    assert found("duplicate", graded({"response": text}, {"response": text})) == [False, True]


def test_of_equal_indices_one_survives_whatever_the_order_of_the_rows() -> None:
    rows = graded(*({"sample_index": 0} for _ in range(6)))
    kept = []
    for order in itertools.islice(itertools.permutations(range(6)), 0, 720, 60):
        shuffled = rows[list(order)]
        survivors = [not repeat for repeat in found("duplicate", shuffled)]
        kept.append(shuffled["rollout_id"].filter(survivors).to_list())
    assert len(kept[0]) == 1
    assert all(names == kept[0] for names in kept)


@pytest.mark.parametrize("index", [-1, -(2**31), 2**31 - 2])
def test_extreme_sample_indices_are_in_order(index: int) -> None:
    rows = graded({"sample_index": index + 1}, {"sample_index": index})
    assert found("duplicate", rows) == [True, False]


def test_duplicates_are_those_of_a_plain_loop() -> None:
    source = random.Random(3)
    for _ in range(20):
        rows = [
            {
                "problem_id": source.choice("ab"),
                "round": source.choice([1, 2]),
                "sample_index": index,
                "response": source.choice(["", "x", "y 1", "中"]),
            }
            for index in source.sample(range(1000), 40)
        ]
        seen: set[tuple[str, int, str]] = set()
        repeats = set()
        for row in sorted(rows, key=lambda row: row["sample_index"]):
            name = (row["problem_id"], row["round"], row["response"])
            if name in seen:
                repeats.add(row["sample_index"])
            seen.add(name)
        expected = [row["sample_index"] in repeats for row in rows]
        assert found("duplicate", graded(*rows)) == expected


def test_many_distinct_responses_are_all_distinct() -> None:
    number = 200_000
    rows = pl.DataFrame(
        {
            "rollout_id": [f"r{index}" for index in range(number)],
            "problem_id": "p",
            "round": 1,
            "sample_index": range(number),
            "response": [f"{index}" for index in range(number)],
        }
    )
    assert not any(found("duplicate", rows))


def test_the_group_rule_reads_only_names_numbers_and_the_text() -> None:
    columns = set(columns_of(RULES["duplicate"]()))
    assert columns == {"rollout_id", "problem_id", "round", "sample_index", "response"}
