"""Evaluations of a few problems, from the classes of their answers."""

from collections.abc import Mapping, Sequence

import polars as pl


def answered(
    problems: Mapping[str, Sequence[int | None]], texts: Mapping[str, Sequence[str]] | None = None
) -> pl.DataFrame:
    """Make a row of each answer: class 0 is right, None is no answer; texts are completions."""
    rows = [
        {
            "benchmark": "b",
            "problem_id": name,
            "answer": None if each is None else str(each),
            "answer_class": each,
            "verdict": "correct" if each == 0 else "no_answer" if each is None else "wrong",
            "completion": texts[name][place] if texts else str(each),
        }
        for name, classes in problems.items()
        for place, each in enumerate(classes)
    ]
    return pl.DataFrame(rows, schema_overrides={"answer_class": pl.Int32, "answer": pl.String})


def solved_of(counts: Sequence[tuple[int, int]]) -> pl.DataFrame:
    """Make problems of which so many of so many answers are right."""
    return answered(
        {f"p{index:04d}": [0] * c + [1] * (n - c) for index, (c, n) in enumerate(counts)}
    )
