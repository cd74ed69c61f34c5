"""An order: first what the model was undecided about when it began to answer.

The first tokens choose the way, the later ones walk it: an answer that was undecided at its
beginning may have gone another way than its siblings. The mean entropy of the whole answer hides
that, as it is mostly about the walking.
"""

import polars as pl

from rft.grading.response_statistics import mean
from rft.recipe.selection import Order

SHARE = 0.2


def early_entropy() -> pl.Expr:
    """The mean entropy of the first 20% of the response's tokens, in nats."""
    count = (pl.col("num_response_tokens") * SHARE).ceil().cast(pl.Int32)
    return mean("entropies", upto=count)


STATISTICS = {"early_entropy": early_entropy}

ORDERS = {
    "early_entropy": Order("the most undecided in the first fifth of the answer", "early_entropy"),
    # The same, compared with the rest: an order may be an expression over columns of kept rows.
    "early_share": Order(
        "the most undecided in the first fifth, compared with the whole answer",
        expression=pl.col("early_entropy") / (pl.col("mean_entropy") + 0.01),
    ),
}
