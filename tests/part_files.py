"""Files with parts, to bring to a run."""

from pathlib import Path

RULE = '''
"""A rule."""
import polars as pl

def shouting(*, most: int = 3) -> pl.Expr:
    """Find responses with more than `most` exclamation marks."""
    return pl.col("response").str.count_matches("!", literal=True) > most

RULES = {"shouting": shouting}
'''

ORDER = '''
"""A statistic, and orders by it."""
import polars as pl
from rft.grading.response_statistics import mean
from rft.recipe.selection import Order

def first_entropy() -> pl.Expr:
    """The entropy of the first token, in nats."""
    return mean("entropies", upto=pl.lit(1))

STATISTICS = {"first_entropy": first_entropy}
ORDERS = {
    "first_entropy": Order("the most undecided at first", "first_entropy"),
    "surest": Order("the surest", expression=-pl.col("mean_entropy")),
}
'''

VERIFIER = '''
"""A verifier."""

def near(gold: str, answer: str, *, within: float = 0.1) -> bool | None:
    """Numbers that are near each other."""
    try:
        return abs(float(gold) - float(answer)) <= within
    except ValueError:
        return None

VERIFIERS = {"near": near}
EXAMPLES = {"near": [("7", "7.05", True), ("7", "8", False), ("7", "x", None)]}
'''

# Leaves a trace wherever it is run.
TELLTALE = '''
"""A rule in a file that notes that it was run."""
from pathlib import Path
import polars as pl

with Path(%r).open("a") as file:
    file.write("run\\n")

def never() -> pl.Expr:
    """Find nothing."""
    return pl.lit(False) & pl.col("response").is_null()

RULES = {"never": never}
'''


def write(folder: Path, name: str, text: str) -> Path:
    """Write a file with parts."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text.lstrip())
    return path


def recipe(folder: Path, text: str, name: str = "mine.yaml") -> Path:
    """Write a recipe that extends the smoke recipe."""
    path = folder / name
    path.write_text(f"extends: smoke\n{text}")
    return path
