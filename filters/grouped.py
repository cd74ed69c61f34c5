"""Rules that compare rows: what they need of each by itself, and what they find among all.

A plain expression is a rule on one row, and is given some rows at a time. Whatever looks at other
rows as well (`over`, a minimum, a rank) is grouped.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True)
class Grouped:
    """A rule that compares rows, of which only numbers are held at once."""

    narrow: Mapping[str, pl.Expr]
    """Columns that each row has by itself: few bytes, since all rows' are in memory together."""
    defect: pl.Expr
    """Over these columns of all rows that are left: true means reject."""

    def find(self, rows: pl.DataFrame) -> pl.Series:
        """Find the defect among rows that are all there."""
        return rows.select(**self.narrow).select(defect=self.defect)["defect"]


Rule = pl.Expr | Grouped


def columns_of(rule: Rule) -> list[str]:
    """List the columns that a rule reads."""
    each = rule.narrow.values() if isinstance(rule, Grouped) else [rule]
    return list(dict.fromkeys(name for expression in each for name in expression.meta.root_names()))
