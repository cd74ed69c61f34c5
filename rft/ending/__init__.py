"""When a run ends by itself: what it has spent of its budgets, whether it gains, and its gate."""

from rft.ending.ending import (
    Ending,
    amounts,
    budgets,
    ending,
    ends_before,
    in_words,
    out_of_budget,
)
from rft.ending.plateau import on_dev, rise
from rft.ending.spending import spent_by

__all__ = [
    "Ending",
    "amounts",
    "budgets",
    "ending",
    "ends_before",
    "in_words",
    "on_dev",
    "out_of_budget",
    "rise",
    "spent_by",
]
