"""NAME: reject a response that (say here which defect it has).

In a recipe:  parts: [NAME.py]  and  filter: {no_box: {}, NAME: {most: 3}}
Checked by:   rft check NAME.py  and  python -m pytest NAME_test.py
"""

import polars as pl


# The parameters are what a recipe gives, checked by their types; the docstring is what people read
# of the rule in `rft show` and on the card. The expression is over the table `graded`
# (docs/reference/tables.md), looks at one row alone, and is true where the row has the defect; what
# it cannot tell (null) is rejected as well.
def NAME(*, most: int = 3) -> pl.Expr:
    """Find responses with more than `most` exclamation marks."""
    return pl.col("response").str.count_matches("!", literal=True) > most


RULES = {"NAME": NAME}
