"""Diversity: how many answers a model gives to a problem, how evenly, and what of them was lost.

A loss has two parts that mean opposite things: wrong answers are given no more, or the right ones
are all put alike. Both are told of equally many samples, so that neither another n nor more right
answers look like more diversity: of c samples in classes of c_i, m hold on average

    sum over classes of 1 - C(c - c_i, m) / C(c, m)

distinct ones (rarefaction, Hurlbert 1971): the sum of each class's Pass@m.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from rft.measuring.majority import by_problem
from rft.measuring.pass_at_k import Interval, Numbers, paired_interval, pass_at_k

# Problem -> the numbers of samples in each of its classes.
Classes = dict[tuple[str, str], list[int]]


@dataclass(frozen=True)
class DiversityChange:
    """What a second model gives more (or, below 0, less) of than a first, in a problem's mean."""

    wrong: Interval
    """Distinct wrong answers, of as many samples."""
    right: Interval | None
    """Distinct right responses, of as many right ones; None where no problem has two in both."""
    problems: int
    """With two right responses in both, which `right` is over."""


def distinct_answers(evaluations: pl.DataFrame) -> Numbers:
    """Count each problem's distinct answers, in the order of `solved`; all right ones are one."""
    counts = (
        evaluations.filter(pl.col("answer_class").is_not_null())
        .group_by("benchmark", "problem_id")
        .agg(count=pl.col("answer_class").n_unique())
    )
    return by_problem(evaluations, counts, "count")


def answer_entropy(evaluations: pl.DataFrame) -> Numbers:
    """Give the entropy of each problem's answers, in nats, in the order of `solved`.

    It is that of the frequencies of their classes (Invisible Leash, arXiv 2507.14843), by which all
    right answers are one; what is no answer is left out, as it is no opinion, and where there is
    nothing else it is 0. Of n samples it is too low by about (classes - 1) / 2n (Miller and Madow,
    1955). That is not added: it supposes that all classes were seen, which long tails of wrong
    answers never are. Models that are compared have the same n, and so much the same bias.
    """
    keys = ["benchmark", "problem_id"]
    share = pl.col("len") / pl.col("len").sum()
    entropies = (
        evaluations.filter(pl.col("answer_class").is_not_null())
        .group_by(*keys, "answer_class")
        .len()
        .sort(*keys, "answer_class")  # sums of floats depend on their order
        .group_by(keys)
        .agg(entropy=(share * -share.log()).sum().abs())
    )
    return by_problem(evaluations, entropies, "entropy")


def diversity_change(before: pl.DataFrame, after: pl.DataFrame, *, seed: int) -> DiversityChange:
    """Part the change of diversity between two models on the same problems.

    Right responses are as different as their texts, but for white space. Long reasoning is never
    put twice in the same words, and then nothing can be seen to narrow: read `right` for short
    responses alone.
    """
    sizes = [_sizes(frame) for frame in (before, after)]
    assert sizes[0].keys() == sizes[1].keys(), "two models are compared on the same problems"
    wrong_answers = [_classes(frame, "answer_class", of_right=False) for frame in (before, after)]
    wrong = [
        [
            distinct_of(classes.get(name, []), size[name], min(each[name] for each in sizes))
            for name in sizes[0]
        ]
        for classes, size in zip(wrong_answers, sizes, strict=True)
    ]
    texts = [_classes(frame, "text", of_right=True) for frame in (before, after)]
    right: list[list[float]] = [[], []]
    for name in sizes[0]:
        counts = [sum(each.get(name, [])) for each in texts]
        if min(counts) >= 2:
            for side in (0, 1):
                right[side].append(distinct_of(texts[side][name], counts[side], min(counts)))
    return DiversityChange(
        paired_interval(np.array(wrong[0]), np.array(wrong[1]), seed=seed),
        paired_interval(np.array(right[0]), np.array(right[1]), seed=seed) if right[0] else None,
        len(right[0]),
    )


def distinct_of(classes: Sequence[int], samples: int, drawn: int) -> float:
    """Give how many distinct classes so many drawn of all samples hold on average."""
    return float(pass_at_k([samples] * len(classes), classes, drawn).sum())


def _sizes(evaluations: pl.DataFrame) -> dict[tuple[str, str], int]:
    counts = evaluations.group_by("benchmark", "problem_id").len().sort("benchmark", "problem_id")
    return {(benchmark, name): size for benchmark, name, size in counts.iter_rows()}


def _classes(evaluations: pl.DataFrame, column: str, *, of_right: bool) -> Classes:
    right = pl.col("answer_class") == 0
    rows = evaluations.filter(right if of_right else ~right)  # null is neither
    if column == "text":
        rows = rows.with_columns(
            text=pl.col("completion").str.strip_chars().str.replace_all(r"\s+", " ")
        )
    keys = ["benchmark", "problem_id"]
    counts = rows.group_by(*keys, column).len().group_by(keys).agg(pl.col("len").sort())
    return {(benchmark, name): sizes for benchmark, name, sizes in counts.iter_rows()}
