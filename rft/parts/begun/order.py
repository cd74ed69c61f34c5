"""NAME: rank samples by (say here what comes first).

In a recipe:  parts: [NAME.py]  and  select: {by: NAME}
Checked by:   rft check NAME.py  and  python -m pytest NAME_test.py
"""

import polars as pl

from rft.grading.response_statistics import mean
from rft.recipe.selection import Order


# A statistic is computed when a rollout is graded, and stands in a column of its name from then on.
# Recorded for each token of the completion are the lists `entropies`, `branching`, `logprobs` and
# `token_ids`; the first `num_response_tokens` of them are the response. `mean` averages one of the
# lists over its first tokens, and gives null where nothing was recorded: null is not zero.
def NAME() -> pl.Expr:
    """The mean entropy of the last fifth of the tokens, in nats."""
    count = pl.col("num_response_tokens")
    before = (count * 0.8).floor().cast(pl.Int32)
    whole, first = mean("entropies"), mean("entropies", upto=before)
    return (whole * count - first.fill_null(0.0) * before) / (count - before)


STATISTICS = {"NAME": NAME}

# The highest value comes first. Instead of a column an order may have an expression over columns of
# the kept rows, and then needs no statistic: expression=-pl.col("num_response_tokens").
ORDERS = {"NAME": Order("the most undecided at the end", "NAME")}
