"""Majority votes: how often the answer that most of k samples give is right.

maj@k is the expectation over all subsets of k samples, without replacement, as Pass@k is (the paper
of that estimator, Chen et al., arXiv 2107.03374, has none for votes). Subsets of k samples are what
independent coins for each sample come to when k of them fall on heads, so that, with b_c(j) the
binomial chance of j of a class's c samples, the chance that v votes are right and win is

    b_right(v) x sum over t of 1/(t + 1) x [x^(k-v) y^t] prod over other classes of
        (b_c(0) + b_c(1) x + ... + b_c(v-1) x^(v-1) + b_c(v) x^v y)  /  b_all(k)

where t other classes tie with the right one, and what is no answer is free to be drawn and has no
vote. The coins may have any bias; near k/n nothing overflows, however many samples there are.
"""

import math
from functools import lru_cache

import numpy as np
import polars as pl

from rft.measuring.pass_at_k import Numbers


def classes_known(evaluations: pl.DataFrame) -> bool:
    """Say whether each answer's class was recorded; what is no answer has none."""
    given = pl.col("answer").str.strip_chars().str.len_chars() > 0
    untold = pl.col("answer_class").is_null() & (given | (pl.col("verdict") == "correct"))
    return evaluations.filter(untold).is_empty()


def majority(evaluations: pl.DataFrame, k: int | None = None) -> Numbers:
    """Give each problem's maj@k, in the order of `solved`; without a k, of all its n answers.

    Answers vote by their class; what is no answer does not vote, and where nothing votes it is
    wrong. Of t answers that tie for the most votes each would be drawn in one of t cases.
    """
    keys = ["benchmark", "problem_id"]
    counts = evaluations.group_by(*keys, "answer_class").len()
    if k is not None:
        values = counts.group_by(keys).agg("answer_class", "len").sort(keys)
        return np.array(
            [
                _share_of_votes(classes, numbers, k)
                for classes, numbers in values.select("answer_class", "len").iter_rows()
            ]
        )
    votes = counts.filter(pl.col("answer_class").is_not_null())
    most = pl.col("len") == pl.col("len").max().over(keys)
    right = votes.filter(most).group_by(keys).agg(share=(pl.col("answer_class") == 0).mean())
    return by_problem(evaluations, right, "share")


def _share_of_votes(classes: list[int | None], counts: list[int], k: int) -> float:
    by_class = dict(zip(classes, counts, strict=True))
    others = sorted(count for name, count in by_class.items() if name not in (0, None))
    return share_of_votes(by_class.get(0, 0), tuple(others), by_class.get(None, 0), k)


@lru_cache(100_000)
def share_of_votes(right: int, others: tuple[int, ...], silent: int, k: int) -> float:
    """Give maj@k of a problem, from the samples of its right class, of each other, and of none."""
    n = right + sum(others) + silent
    assert 0 < k <= n, f"maj@{k} needs {k} samples of each problem"
    if k == n:  # there is one subset
        most = max(right, *others, 0)
        return (right == most > 0) / max(1, (right, *others).count(most))
    coin = (k + 0.5) / (n + 1)
    won = 0.0
    for votes in range(1, min(right, k) + 1):
        rivals = [count for count in others if count >= votes]
        drawn = k - votes
        # Row t, column j: chances that t rivals tie, and that j samples other than right are drawn.
        chances = np.zeros((len(rivals) + 1, drawn + 1))
        chances[0] = _heads(n - right - sum(rivals), drawn, coin)
        for rival in rivals:
            heads, less = _heads(rival, votes, coin), chances
            chances = np.array([np.convolve(row, heads[:-1])[: drawn + 1] for row in less])
            if votes <= drawn:
                chances[1:, votes:] += heads[-1] * less[:-1, : drawn + 1 - votes]
        shared = chances[:, drawn] @ (1 / np.arange(1, len(chances) + 1))
        won += float(_heads(right, votes, coin)[votes] * shared)
    return won / float(_heads(n, k, coin)[k])


def _heads(of: int, most: int, coin: float) -> Numbers:
    """Give the chances of 0 to `most` heads of so many coins."""
    log, past = (math.log(coin), math.log1p(-coin)), math.lgamma(of + 1)
    return np.array(
        [
            math.exp(
                past
                - math.lgamma(heads + 1)
                - math.lgamma(of - heads + 1)
                + heads * log[0]
                + (of - heads) * log[1]
            )
            if heads <= of
            else 0.0
            for heads in range(most + 1)
        ]
    )


def by_problem(evaluations: pl.DataFrame, known: pl.DataFrame, column: str) -> Numbers:
    """Give a column for every problem, 0 where nothing is known of it."""
    keys = ["benchmark", "problem_id"]
    problems = evaluations.select(keys).unique().sort(keys)
    joined = problems.join(known, on=keys, how="left", validate="1:1", maintain_order="left")
    return np.asarray(joined[column].fill_null(0).to_numpy(), np.float64)
