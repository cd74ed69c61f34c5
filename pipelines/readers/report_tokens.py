"""The report on tokens: where in an answer, and in which words, the policy is unsure, in tables."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from pipelines.readers.blocks import Block, entry, in_sections, table
from pipelines.readers.layout import NOTHING, number, percent
from pipelines.readers.tokens import GROUPS, STRATA, TokenView, rounds_to_see, view
from rft.errors import RFTError
from rft.foreign_text import visible
from rft.measuring.clustered import FEWEST
from rft.measuring.pass_at_k import Interval
from rft.measuring.strata import TENTHS
from rft.runs.folder import Run

ONLINE = (
    "an online run keeps no rollouts, so that there are no tokens to look at; the entropy of each "
    "step is in `rft report` and in the table `dynamics`"
)


def text_tokens(run: Run, round: int | None) -> str:
    """Write what is seen of the tokens of a round, the last graded one by default."""
    seen = view(run, round_to_see(run, round))
    sections = {
        f"Tokens of round {seen.round}": head(seen),
        "Entropy by relative position": position(seen),
        "Entropy by words and sentences": words(seen),
        "Entropy by class of token": classes(seen),
        "Strata of perplexity": strata(seen),
        "Samples by difficulty": difficulty(seen),
    }
    return in_sections(sections)


def round_to_see(run: Run, round: int | None) -> int:
    """Check that a round's tokens can be looked at, or choose the last such round."""
    if run.recipe.grpo is not None:
        raise RFTError(f"{run.path}: {ONLINE}")
    rounds = list(rounds_to_see(run))
    if not rounds:
        raise RFTError(f"{run.path}: no round is graded yet; run it first")
    if round is not None and round not in rounds:
        raise RFTError(
            f"{run.path}: round {round} is not graded; graded are "
            + ", ".join(str(each) for each in rounds)
        )
    return rounds[-1] if round is None else round


def head(seen: TokenView) -> list[Block]:
    """Say what is looked at, and what the numbers describe."""
    intervals = f"[95% over problems; {NOTHING} where fewer than {FEWEST} problems have any]"
    lines = [
        line for name, text in seen.notes.items() for line in entry(name, visible(text), 2, 16)
    ]
    return [*lines, *entry("unit", f"nats, {intervals}", 2, 16)]


def position(seen: TokenView) -> list[Block]:
    """Write the curve by relative position, and whether it is U-shaped."""
    if seen.position["answers"].sum() == 0:
        return ["  No answer with statistics."]
    by = {group: seen.position.filter(pl.col("group") == group).to_dicts() for group in GROUPS}
    rows = [["of the length", *GROUPS, "answers"]]
    width = 1 / len(by["all"])
    for place, whole in enumerate(by["all"]):
        span = f"{100 * place * width:.0f}-{100 * (place + 1) * width:.0f}%"
        cells = [_framed(by[group][place]) for group in GROUPS]
        rows.append([span, *cells, f"{int(whole['answers']):,}"])
    told = [[name, _written(each)] for name, each in {**seen.zones, **seen.verdicts}.items()]
    return [
        "  Means over answers of the mean within each twentieth of an answer; a short answer has",
        "  no token in some. U-shaped: both ends lie above the middle.",
        *table("lrrrr", rows, 2),
        "",
        *table("lr", told, 2),
    ]


def words(seen: TokenView) -> list[Block]:
    """Write pivotal words and reflective sentences against the rest."""
    if seen.words is None:
        return []
    rows = [["", "mean entropy", "number"]]
    rows += [[row["what"], _framed(row), f"{row['count']:,}"] for row in seen.words.to_dicts()]
    rows += [[name, _written(each), ""] for name, each in seen.contrasts.items()]
    return [
        "  Of a word, the token in which it begins; of a sentence, the mean of its tokens. Which",
        "  words, says docs/reference/methods.md.",
        *table("lrr", rows, 2),
    ]


def classes(seen: TokenView) -> list[Block]:
    """Write the classes of tokens."""
    if seen.classes is None:
        return []
    rows = [["", "mean entropy", "tokens", "of all"]]
    rows += [
        [row["what"], _framed(row), f"{row['count']:,}", percent(row["share"])]
        for row in seen.classes.to_dicts()
    ]
    return table("lrrr", rows, 2)


def strata(seen: TokenView) -> list[Block]:
    """Write accuracy and entropy by fifth of perplexity."""
    if seen.strata["answers"].sum() == 0:
        return []
    by = {what: seen.strata.filter(pl.col("what") == what).to_dicts() for what in STRATA}
    rows = [["fifth", "perplexity", "right, %", "against its problem", "entropy", "answers"]]
    for place, first in enumerate(by["accuracy"]):
        rows.append(
            [
                f"{first['fifth']}",
                number(first["perplexity"], ".3f"),
                _framed(first, 100, ".1f"),
                _framed(by["against its problem"][place], 100, "+.1f"),
                _framed(by["entropy"][place]),
                f"{first['answers']:,}",
            ]
        )
    return [
        "  All judged answers by perplexity (its median is shown), the lowest fifth first. Against",
        "  its problem: percent right, less what is right of all answers to the same problems.",
        *table("lrrrrr", rows, 2),
    ]


def difficulty(seen: TokenView) -> list[Block]:
    """Write which share of samples is of problems that are solved so often."""
    kinds = list(dict.fromkeys(seen.difficulty["what"]))
    if len(kinds) == 1:
        return []
    by = {kind: _by_tenth(seen.difficulty, kind) for kind in kinds}
    header = ["pass rate, %", "problems"]
    rows = [[*header, *(word for kind in kinds[1:] for word in (kind, "per problem"))]]
    for tenth in TENTHS:
        problems = by["problems"][tenth]
        cells = [f"{problems['count']:,} ({percent(problems['share'])})"]
        for kind in kinds[1:]:
            row = by[kind][tenth]
            cells += [f"{row['count']:,} ({percent(row['share'])})"]
            cells += [number(row["per_problem"], ".2f")]
        rows.append([tenth, *cells])
    return [
        "  Sampling every problem alike keeps most of the easy ones (the bias that DART, arXiv",
        "  2407.13690, corrects).",
        *table("lr" + "rr" * (len(kinds) - 1), rows, 2),
    ]


def _by_tenth(rows: pl.DataFrame, kind: str) -> dict[str, dict[str, Any]]:
    return {row["tenth"]: row for row in rows.filter(pl.col("what") == kind).to_dicts()}


def _framed(row: Mapping[str, Any], scale: float = 1, form: str = ".3f") -> str:
    return _bracketed((row["value"], row["low"], row["high"]), scale, form)


def _written(each: Interval) -> str:
    parts = (each.value, each.low, each.high)
    return _bracketed([part if np.isfinite(part) else None for part in parts], 1, ".3f")


def _bracketed(parts: Sequence[float | None], scale: float, form: str) -> str:
    value, low, high = (number(None if part is None else scale * part, form) for part in parts)
    return value if value == NOTHING else f"{value} [{low}, {high}]"
