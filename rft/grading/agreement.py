"""How far two verifiers agree on the same pairs: the share, and Cohen's kappa."""

from collections.abc import Mapping
from typing import Any

from rft.grading.judgement import Judgement
from rft.measuring.shares import share_of

DECIDED = ("correct", "wrong")


def agreement(
    ours: Mapping[tuple[str, str], Judgement], theirs: Mapping[tuple[str, str], Judgement]
) -> dict[str, Any] | None:
    """Compare verdicts on the pairs that both decide; None where there are none.

    kappa = (p - e) / (1 - e), where p is the share of equal verdicts and e what it would be if
    both gave theirs independently; null where e is 1, since neither gave but one verdict.
    """
    both = [
        (ours[pair].verdict, theirs[pair].verdict)
        for pair in ours
        if ours[pair].verdict in DECIDED and pair in theirs and theirs[pair].verdict in DECIDED
    ]
    if not both:
        return None
    n, agree = len(both), sum(one == other for one, other in both)
    share = share_of(agree, n)
    by_luck = sum(
        sum(one == word for one, _ in both) * sum(other == word for _, other in both)
        for word in DECIDED
    ) / (n * n)
    kappa = None if by_luck == 1 else (share.value - by_luck) / (1 - by_luck)
    return {
        "pairs": n,
        "agree": agree,
        "low": share.low,
        "high": share.high,
        "kappa": None if kappa is None else round(kappa, 4),
    }
