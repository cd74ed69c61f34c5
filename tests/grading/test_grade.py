"""Pins graded rows: one for each rollout, in order, judged and averaged over the response alone.

Run: python -m pytest tests/test_grade.py
"""

import math
from collections.abc import Iterator
from typing import Any

import polars as pl
import pytest

from rft.errors import RFTError
from rft.grading.grade import grade, verdict_rows
from rft.grading.judgement import AnswerKey, Judgement
from rft.grading.units import Unit
from rft.grading.verifier import Verifier
from rft.runs.schemas import TABLES
from rft.runs.tables import conform

KEYS = {"p": AnswerKey(["4"]), "q": AnswerKey([r"\frac{1}{2}", "50\\%"])}

# What `rollouts` looks like, but for the columns that a test is about.
TYPES: dict[str, Any] = {
    "rollout_id": pl.String,
    "problem_id": pl.String,
    "round": pl.Int32,
    "sample_index": pl.Int32,
    "prompt": pl.String,
    "completion": pl.String,
    "finish_reason": pl.String,
    "num_prompt_tokens": pl.Int32,
    "num_tokens": pl.Int32,
    "token_ids": pl.List(pl.Int32),
    "logprobs": pl.List(pl.Float32),
    "entropies": pl.List(pl.Float32),
    "branching": pl.List(pl.Int32),
    "stats_origin": pl.String,
    "stats_mass": pl.Float32,
    "model": pl.String,
    "sampling": pl.String,
    "seed": pl.Int64,
}


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    with Verifier(deadline=60, workers=1) as verifier:
        yield verifier


def rollouts(*rows: dict[str, Any]) -> pl.DataFrame:
    """Make rollouts of problem p, round 1, that differ from a plain one as the rows say."""
    plain = {
        "problem_id": "p",
        "round": 1,
        "prompt": "2 + 2?",
        "completion": r"\boxed{4}",
        "finish_reason": "stop",
        "model": "m",
        "sampling": "s",
    }
    full = [
        {**dict.fromkeys(TYPES), **plain, "rollout_id": f"r{index}", "sample_index": index, **row}
        for index, row in enumerate(rows)
    ]
    return pl.DataFrame(full, schema=TYPES)


def trim_to_three(token_ids: list[int], completion: str) -> tuple[int, str]:
    """Pretend that the response is the first three tokens, of two characters each."""
    return min(3, len(token_ids)), completion[:6]


def test_the_columns_are_those_of_the_table_for_any_rows(verifier: Verifier) -> None:
    for rows in ([], [{}], [{"token_ids": [1, 2, 3, 4], "entropies": [0.5] * 4}, {}]):
        graded = grade(rollouts(*rows), KEYS, verifier=verifier, trim=trim_to_three)
        assert graded.columns == TABLES["graded"].names
        assert conform(graded, "graded").num_rows == len(rows)


def test_a_null_column_without_a_type_will_do(verifier: Verifier) -> None:
    frame = rollouts({}).with_columns(
        pl.lit(None).alias(name) for name in ("token_ids", "logprobs", "entropies", "branching")
    )
    graded = grade(frame, KEYS, verifier=verifier, trim=None)
    assert conform(graded, "graded").num_rows == 1
    assert graded["verdict"].to_list() == ["correct"]


def test_rows_keep_their_order_and_what_they_came_with(verifier: Verifier) -> None:
    frame = rollouts(
        {"sample_index": 7, "finish_reason": "length", "num_tokens": 9, "stats_origin": "engine"},
        {"sample_index": 1, "problem_id": "q", "finish_reason": "error", "round": 3},
    )
    graded = grade(frame, KEYS, verifier=verifier, trim=None)
    kept = ["rollout_id", "problem_id", "round", "sample_index", "finish_reason", "num_tokens"]
    assert graded.select(kept).rows() == frame.select(kept).rows()
    assert graded["stats_origin"].to_list() == ["engine", None]


def test_without_token_ids_the_response_ends_at_the_brace_of_the_first_box(
    verifier: Verifier,
) -> None:
    texts = [r"so \boxed{4}$. And \boxed{5}", r"\boxed{1 \boxed{4} x", "no box", r"\boxed{4"]
    frame = rollouts(*({"completion": text, "entropies": [1.0]} for text in texts))
    graded = grade(frame, KEYS, verifier=verifier, trim=None)
    assert graded["response"].to_list() == [
        r"so \boxed{4}",
        r"\boxed{1 \boxed{4}",
        "no box",
        r"\boxed{4",
    ]
    assert graded["answer"].to_list() == ["4", "4", None, None]
    # Of the whole completion.
    assert graded["num_boxed"].to_list() == [2, 1, 0, 0]
    assert graded["verdict"].to_list() == ["correct", "correct", "no_answer", "no_answer"]
    assert graded["num_response_tokens"].to_list() == [None] * 4
    assert graded["mean_entropy"].to_list() == [None] * 4


def test_token_ids_are_trimmed_by_the_caller_and_means_run_over_those_tokens(
    verifier: Verifier,
) -> None:
    frame = rollouts(
        {
            "completion": "abcdef\\boxed{4}",
            "token_ids": [5, 6, 7, 8, 9],
            "entropies": [1.0, 2.0, 6.0, 100.0, 100.0],
            "branching": [1, 1, 3, 50, 50],
            "logprobs": [-0.5, -1.0, -3.0, -70.0, -70.0],
        }
    )
    graded = grade(frame, KEYS, verifier=verifier, trim=trim_to_three)
    (row,) = graded.rows(named=True)
    assert (row["num_response_tokens"], row["response"], row["answer"]) == (3, "abcdef", None)
    assert (row["mean_entropy"], row["mean_nll"]) == (3.0, 1.5)
    assert row["mean_branching"] == pytest.approx(5 / 3)
    assert row["num_boxed"] == 1


def test_means_are_summed_in_double_precision(verifier: Verifier) -> None:
    size = 200_000
    frame = rollouts({"token_ids": [0] * size, "entropies": [0.1] * size})
    graded = grade(frame, KEYS, verifier=verifier, trim=lambda ids, text: (len(ids), text))
    # A float32 sum of this length is off in the fourth digit.
    assert graded["mean_entropy"][0] == pytest.approx(0.1, rel=1e-6)


@pytest.mark.parametrize(
    "values", [None, [1.0, None, 2.0], [1.0, math.nan, 2.0], [1.0, math.inf, 0]]
)
def test_a_mean_without_all_its_values_is_null(verifier: Verifier, values: Any) -> None:
    frame = rollouts({"token_ids": [1, 2, 3], "entropies": values, "logprobs": [-1.0] * 3})
    graded = grade(frame, KEYS, verifier=verifier, trim=trim_to_three)
    assert graded["mean_entropy"].to_list() == [None]
    assert graded["mean_nll"].to_list() == [1.0]


def test_a_hole_after_the_response_does_not_matter(verifier: Verifier) -> None:
    frame = rollouts({"token_ids": [1, 2, 3, 4], "entropies": [1.0, 1.0, 1.0, math.nan]})
    graded = grade(frame, KEYS, verifier=verifier, trim=trim_to_three)
    assert graded["mean_entropy"].to_list() == [1.0]


def test_no_tokens_have_no_mean(verifier: Verifier) -> None:
    frame = rollouts({"completion": "", "token_ids": [], "entropies": [], "logprobs": []})
    graded = grade(frame, KEYS, verifier=verifier, trim=trim_to_three)
    (row,) = graded.rows(named=True)
    assert (row["num_response_tokens"], row["mean_entropy"], row["mean_nll"]) == (0, None, None)
    assert (row["redundancy"], row["verdict"], row["answer_class"]) == (0.0, "no_answer", None)


def test_statistics_of_other_tokens_are_refused(verifier: Verifier) -> None:
    frame = rollouts({"token_ids": [1, 2, 3], "entropies": [0.5, 0.5]})
    with pytest.raises(RFTError, match="r0: 2 entropies for a response of 3 tokens"):
        grade(frame, KEYS, verifier=verifier, trim=trim_to_three)


def test_any_gold_may_match(verifier: Verifier) -> None:
    texts = [r"\boxed{0.5}", r"\boxed{50\%}", r"\boxed{1/3}", r"\boxed{#}", r"\boxed{ }"]
    frame = rollouts(*({"problem_id": "q", "completion": text} for text in texts))
    graded = grade(frame, KEYS, verifier=verifier, trim=None)
    assert graded["verdict"].to_list() == [
        "correct",
        "correct",
        "wrong",
        "unparseable",
        "no_answer",
    ]


def test_a_bad_gold_spoils_its_own_problem_only(verifier: Verifier) -> None:
    frame = rollouts({"problem_id": "odd"}, {})
    keys = {**KEYS, "odd": AnswerKey(["np.arcsin(10/13)"])}
    graded = grade(frame, keys, verifier=verifier, trim=None)
    assert graded["verdict"].to_list() == ["bad_gold", "correct"]


@pytest.mark.parametrize("keys", [{}, {"p": AnswerKey([])}])
def test_a_rollout_without_a_gold_is_an_error_that_names_the_problem(
    verifier: Verifier, keys: dict[str, AnswerKey]
) -> None:
    with pytest.raises(RFTError, match="problem p has rollouts but no gold answer"):
        grade(rollouts({}), keys, verifier=verifier, trim=None)


def test_answer_classes_number_the_wrong_answers_by_first_sample(verifier: Verifier) -> None:
    # The rows are out of order on purpose: sample_index decides, not the place in the file.
    answers = {5: "6", 0: "7", 3: "4.0", 2: None, 1: "6", 4: " 7", 6: "a  b", 7: "a b", 8: ""}
    frame = rollouts(
        *(
            {
                "sample_index": sample,
                "completion": "none" if answer is None else rf"\boxed{{{answer}}}",
            }
            for sample, answer in answers.items()
        )
    )
    graded = grade(frame, KEYS, verifier=verifier, trim=None)
    found = dict(zip(graded["sample_index"], graded["answer_class"], strict=True))
    assert found == {0: 1, 1: 2, 2: None, 3: 0, 4: 1, 5: 2, 6: 3, 7: 3, 8: None}


def test_answer_classes_start_anew_for_each_problem_and_round(verifier: Verifier) -> None:
    frame = rollouts(
        {"completion": r"\boxed{7}"},
        {"completion": r"\boxed{8}", "round": 2},
        {"completion": r"\boxed{9}", "problem_id": "q"},
        {"completion": r"\boxed{8}"},
    )
    graded = grade(frame, KEYS, verifier=verifier, trim=None)
    assert graded["answer_class"].to_list() == [1, 1, 1, 2]


def test_redundancy_is_that_of_the_response(verifier: Verifier) -> None:
    frame = rollouts({"completion": r"a b \boxed{4}" + " no" * 50})
    graded = grade(frame, KEYS, verifier=verifier, trim=None)
    assert graded["redundancy"].to_list() == [0.0]


def test_the_verdict_table_holds_every_pair_sorted() -> None:
    judged = {
        ("b", "1 ml"): Judgement("correct", "unit_ignored", Unit("ml", "volume", "ml", True)),
        ("a", "2"): Judgement("timeout", "deadline"),
        ("a", "1"): Judgement("correct", "exact"),
    }
    rows = verdict_rows(judged, verifier_name="math-verify 0.9.0")
    assert conform(rows, "verdicts").num_rows == 3
    assert rows.rows() == [
        ("a", "1", "math-verify 0.9.0", "correct", "exact", None),
        ("a", "2", "math-verify 0.9.0", "timeout", "deadline", None),
        ("b", "1 ml", "math-verify 0.9.0", "correct", "unit_ignored", "ml"),
    ]
    assert conform(verdict_rows({}, verifier_name="none"), "verdicts").num_rows == 0
