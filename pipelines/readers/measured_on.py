"""What models are measured on, by name: dev as a whole, since it decides so; each benchmark."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import polars as pl

from rft.seeds import digest

# The name of a row's benchmark in its split: `dev`, `test`, `test math500`.
NAME = (
    pl.when(pl.col("split") == pl.col("benchmark"))
    .then("split")
    .otherwise(pl.col("split") + " " + pl.col("benchmark"))
)


@dataclass(frozen=True)
class MeasuredOn:
    """All of a split, where no benchmark is said, or one benchmark in it."""

    split: str
    benchmark: str | None = None

    @property
    def name(self) -> str:
        """Name it as reports do."""
        own = self.benchmark in (None, self.split)
        return self.split if own else f"{self.split} {self.benchmark}"

    def of(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Give the rows that are about it."""
        here = rows.filter(pl.col("split") == self.split)
        return (
            here if self.benchmark is None else here.filter(pl.col("benchmark") == self.benchmark)
        )


def measured_on(answers: Mapping[int, pl.DataFrame]) -> list[MeasuredOn]:
    """List what models were measured on, of the answers of each: dev first."""
    if not answers:
        return []
    names = pl.concat([frame.select("split", "benchmark") for frame in answers.values()]).unique()
    rows = sorted(names.iter_rows())
    dev = [MeasuredOn("dev")] if any(split == "dev" for split, _ in rows) else []
    return dev + [MeasuredOn(split, benchmark) for split, benchmark in rows if split != "dev"]


def slugs(names: Iterable[str]) -> dict[str, str]:
    """Make a part of a file's name of each name, no two of them the same."""
    short = {name: re.sub("[^a-z0-9]+", "-", name.lower())[:40] for name in names}
    twice = Counter(short.values())
    return {
        name: each if each.strip("-") and twice[each] == 1 else f"{each}-{digest(name)[:8]}"
        for name, each in short.items()
    }
