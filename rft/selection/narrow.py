"""What choosing looks at of a kept row: numbers, so that no text of a round has to be in memory."""

from collections.abc import Mapping

import polars as pl

from rft.parts.faults import told_in_one_line
from rft.recipe import Select
from rft.recipe.selection import ORDERS, columns, made_columns
from rft.seeds import derive_each
from rft.selection.condition import holds
from rft.selection.ranking import DRAW, NUMBER, orders_in_use

NAMES = ("problem_id", "verdict", "stats_origin")
# A column of ours beside those that parts bring, which have no spaces in their names.
TOO_LONG = "too long"
# Of so few words before the box, a right answer is mostly a guess that came true.
FEW_WORDS = 5


def looked_at(
    kept: pl.DataFrame,
    settings: Select,
    seed: int,
    pass_rates: Mapping[str, float] | None = None,
    too_long: frozenset[str] = frozenset(),
) -> pl.DataFrame:
    """Take what a choice looks at of rows that are all there."""
    long = kept["rollout_id"].is_in(list(too_long)).alias(TOO_LONG)
    return narrow(kept, settings, pass_rates).hstack([*numbered(kept, settings, seed), long])


def numbered(kept: pl.DataFrame, settings: Select, seed: int) -> pl.DataFrame:
    """Put numbers in the place of all rows' ids, which sort as they do.

    What chance drew is there where it ranks, of the rows that it ranks: drawn of the id, so that
    neither the other rows nor the order of these matter.
    """
    name = kept["rollout_id"].rank("ordinal").alias(NUMBER)
    by_chance = [
        verdict for verdict, by in orders_in_use(settings).items() if ORDERS[by].column is None
    ]
    if not by_chance:
        return name.to_frame()
    drawn = kept["verdict"].is_in(by_chance).fill_null(False)
    ids = kept["rollout_id"].filter(drawn)
    draws = pl.Series(derive_each(seed, "rank", names=ids), dtype=pl.Int64)
    empty = pl.Series(DRAW, [None], pl.Int64).new_from_index(0, len(kept))
    return pl.DataFrame([name, empty.scatter(drawn.arg_true(), draws)])


def narrow(
    kept: pl.DataFrame, settings: Select, pass_rates: Mapping[str, float] | None = None
) -> pl.DataFrame:
    """Take of each row what is there of its statistics, and what its names and text come to.

    Names are categories, numbers to the machine, so that a row is some forty bytes. `characters`
    and `blank` are null without a text, `outside` (of `select.where`) is never; `text` itself is
    there only where responses are compared.
    """
    name = next((name for name in ("response", "completion") if name in kept.columns), None)
    text = pl.lit(None, pl.String) if name is None else pl.col(name).cast(pl.String)
    outside = pl.Series("outside", [False], pl.Boolean).new_from_index(0, len(kept))
    if settings.where is not None:
        outside = ~holds(kept, settings.where, pass_rates or {}).alias("outside")
    known = dict.fromkeys(("num_response_tokens", *columns()))
    own = {
        name: values.cast(pl.Float32)
        if set(values.meta.root_names()) <= set(kept.columns)
        else pl.lit(None, pl.Float32)
        for name, values in made_columns().items()
    }
    with told_in_one_line(f"select.by: {' or '.join(own)}" if own else ""):
        kept = kept.with_columns(**own)
    named = [pl.col(each).cast(pl.String) for each in NAMES if each in kept.columns]
    made = kept.select(
        *(each.cast(pl.Categorical) for each in named),
        *(each for each in known if each in kept.columns and each not in NAMES),
        characters=text.str.len_chars().cast(pl.Int32),
        blank=text.fill_null("").str.strip_chars() == "" if name else pl.lit(None, pl.Boolean),
        **({"text": text} if settings.diverse else {}),
    )
    said = kept[name].cast(pl.String) if name else pl.Series([None], dtype=pl.String)
    few = few_words(said if name else said.new_from_index(0, len(kept)))
    return made.with_columns(outside.alias("outside"), few.alias("few_words"))


def few_words(texts: pl.Series) -> pl.Series:
    """Say of each text whether few words stand before its last box, or in it all without one."""
    # Most have more before the first box already, which is soon seen.
    first = texts.str.splitn(r"\boxed", 2).struct.field("field_0")
    few = ~first.str.contains(rf"^\W*(?:\w+\W+){{{FEW_WORDS}}}\w")
    others = few.arg_true()
    rest = texts.gather(others)
    before = rest.to_frame("text").select(
        pl.col("text").str.extract(r"(?s)^(.*)\\boxed").fill_null(pl.col("text"))
    )["text"]
    return few.scatter(others, before.str.count_matches(r"\w+") <= FEW_WORDS)


def lengths(rows: pl.DataFrame) -> tuple[pl.Series, str]:
    """Give the length of each response and its unit: tokens where all are known, or characters."""
    if "num_response_tokens" in rows.columns and rows["num_response_tokens"].null_count() == 0:
        return rows["num_response_tokens"], "tokens"
    return rows["characters"], "characters"


def texts(rows: pl.DataFrame) -> pl.Series | None:
    """Give the responses; None where there is no column of them."""
    return None if rows["characters"].null_count() == len(rows) else rows["text"]
