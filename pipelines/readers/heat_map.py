"""One answer token by token: how unsure the policy was at each, tinted in a terminal or as a table.

A model's words and a tokenizer's are hostile: a key in them would be cut into tokens that hide
nothing one by one, so the answer is looked at as a whole, and then none of its texts is shown.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from pipelines.readers.current import sound
from pipelines.readers.layout import entry, number, percent, table
from pipelines.readers.tokens import DESCRIBES, token_texts
from rft.errors import RFTError
from rft.foreign_text import MASK, masked, one_line, visible
from rft.grading.answers import answer_box
from rft.grading.verifiers import finds
from rft.prompt import prompt_form
from rft.runs import tables
from rft.runs.folder import Run
from rft.styled import HEAT, PLAIN, Styled, with_verdict


@dataclass(frozen=True)
class Measure:
    """What tokens are tinted by: its column, and from where on it is how hot."""

    column: str
    unit: str
    form: str
    steps: tuple[float, ...]
    """The least of each heat."""
    sign: int = 1
    """-1 where the least is the hottest."""


# Fixed, so that answers and runs can be compared. e^0.7 is 2: entropy as of so many even choices.
MEASURES = {
    "entropy": Measure("entropies", "nats", ".3f", (0.05, 0.2, 0.5, 1, 1.5, 2.5)),
    "branching": Measure("branching", "tokens", ".0f", (2, 3, 5, 9, 17, 33)),
    "logprob": Measure("logprobs", "nats", ".3f", (0.05, 0.2, 0.5, 1, 2, 4), sign=-1),
}
# Columns that a token's text takes in the table.
TEXT_WIDTH = 32


@dataclass(frozen=True)
class AnswerTokens:
    """The tokens of an answer, each with what was recorded of it."""

    texts: list[str]
    values: dict[str, list[float | None]]
    """By measure; nothing for measures that were not recorded."""
    response: int
    """How many are graded and trained on; the others were cut off."""
    box: range
    """Those in which the answer's box lies; empty where it has none, or nobody knows."""
    notes: dict[str, str]


def tokens_of(run: Run, row: dict[str, Any]) -> AnswerTokens:
    """Read the tokens of a rollout, as `show.whole` gives it, and what was recorded of them."""
    lists = _lists(run, row)
    ids = lists["token_ids"]
    about = f"{run.path}: rollout {row['rollout_id']}"
    if ids is None:
        raise RFTError(
            f"{about} is stored as text alone, without its tokens, as its engine gave it; "
            "`rft show RUN ID` shows it"
        )
    values = {
        name: [_finite(each) for each in (lists[measure.column] or [])][: len(ids)]
        for name, measure in MEASURES.items()
    }
    values = {name: each for name, each in values.items() if any(v is not None for v in each)}
    if not values:
        raise RFTError(
            f"{about} has no statistics of its tokens: none were recorded while it was sampled, "
            "and none computed afterwards; `rft show RUN ID` shows its text"
        )
    for each in values.values():
        each += [None] * (len(ids) - len(each))
    size = row["num_response_tokens"]
    response = len(ids) if size is None else min(max(size, 0), len(ids))
    origin = row["stats_origin"]
    notes = {"statistics": DESCRIBES.get(origin or "", f"of the origin {origin}")}
    beyond = len(row["completion"]) - len(row["response"] or "") if lists["alone"] else 0
    if beyond:
        notes["cut off"] = f"{beyond:,} characters after the box, of which nothing was computed"
    texts, box = _texts(run, ids, notes)
    if masked(row["completion"]) != row["completion"] or masked("".join(texts)) != "".join(texts):
        notes["hidden"] = "what looks like a key or a password stands in it, so no text is shown"
        texts = [MASK] * len(texts)
    return AnswerTokens(texts, values, response, box, notes)


def _lists(run: Run, row: dict[str, Any]) -> dict[str, Any]:
    """Read what was recorded of each token, or computed afterwards of the response `alone`."""
    names = ["token_ids", *(measure.column for measure in MEASURES.values())]
    scored = row["stats_origin"] == "scored" and sound(run, "score", row["round"])
    for name in ["scored", "rollouts"] if scored else ["rollouts"]:
        for path in run.parts(name, row["round"]):
            mine = pl.col("rollout_id") == row["rollout_id"]
            if len(tables.read_file(path, ["rollout_id"]).filter(mine)):
                read = tables.read_file(path, ["rollout_id", *names]).filter(mine)
                return read.row(0, named=True) | {"alone": name == "scored"}
    raise RFTError(f"{run.path}: rollout {row['rollout_id']} is gone from rollouts; run again")


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _texts(run: Run, ids: Sequence[int], notes: dict[str, str]) -> tuple[list[str], range]:
    """Give the text of each token, and in which of them the answer's box lies."""
    try:
        if min(ids, default=0) < 0:
            raise RFTError("some ids are below zero, which no tokenizer has")
        spelt = token_texts(run)
    except RFTError as error:
        notes["texts"] = f"tokens are shown by their numbers, for they have no text here: {error}"
        return [f"#{token}" for token in ids], range(0)
    texts = [text or spelt.decode([token]) for token, text in zip(ids, spelt.of(ids), strict=True)]
    form = prompt_form(run.recipe.prompt, finds(run.recipe.grade))
    box = answer_box(spelt.decode(ids), form)
    if box is None:
        notes["box"] = "none that holds an answer"
        return texts, range(0)

    def fewest(size: int) -> int:
        """Count the tokens whose text is so long at least."""
        return bisect_left(range(len(ids)), size, key=lambda n: len(spelt.decode(ids[:n])))

    first, last = fewest(box.start + 1) - 1, fewest(box.end)
    notes["box"] = f"tokens {first + 1} to {last}"
    return texts, range(first, last)


# In words and colours -----------------------------------------------------------------------------


def heat_map(row: dict[str, Any], tokens: AnswerTokens, by: str) -> Styled:
    """Write an answer whose tokens are tinted, with the scale."""
    values = _asked(tokens, by)
    notes = tokens.notes | {"box": f"{tokens.notes['box']}, underlined"} if tokens.box else {}
    pieces = [*_head(row, tokens, tokens.notes | notes, by), *_scale(by)]
    styles = [_tint(by, value) for value in values]
    response = [
        (text, " ".join(filter(None, [styles[place], "marked" if place in tokens.box else ""])))
        for place, text in enumerate(tokens.texts[: tokens.response])
    ]
    pieces += _block(f"response ({tokens.response:,} tokens)", response, "| ")
    if tail := tokens.texts[tokens.response :]:
        label = f"cut off after the box, neither graded nor trained on ({len(tail):,} tokens)"
        pieces += _block(label, [(text, "faint") for text in tail], "| x ")
    return Styled(tuple(pieces[:-1]))


def token_table(row: dict[str, Any], tokens: AnswerTokens, by: str) -> Styled:
    """Write a line for each token of an answer, with all that is known of it."""
    _asked(tokens, by)
    lines = [["token", "text", *MEASURES, ""]]
    for place, text in enumerate(tokens.texts):
        cells = [
            number(tokens.values[name][place] if name in tokens.values else None, measure.form)
            for name, measure in MEASURES.items()
        ]
        mark = "box" if place in tokens.box else ""
        mark = "cut off" if place >= tokens.response else mark
        lines.append([f"{place + 1}", one_line(f"'{text}'", TEXT_WIDTH), *cells, mark])
    below = table("rlrrrl", lines, 0)
    units = ", ".join(f"{name} in {measure.unit}" for name, measure in MEASURES.items())
    pieces = _head(row, tokens, tokens.notes, by)
    return Styled((*pieces, ("\n".join([*below, "", units]), PLAIN)))


def _asked(tokens: AnswerTokens, by: str) -> list[float | None]:
    if by not in tokens.values:
        raise RFTError(f"--tokens {by}: not recorded here; there is {', '.join(tokens.values)}")
    return tokens.values[by]


def _head(
    row: dict[str, Any], tokens: AnswerTokens, notes: dict[str, str], by: str
) -> list[tuple[str, str]]:
    """Write which answer it is, its verdict, and what is to be known of the numbers."""
    known = [value for value in tokens.values[by][: tokens.response] if value is not None]
    mean = number(sum(known) / len(known) if known else None, ".3f")
    share = percent(len(known) / tokens.response if tokens.response else None)
    about = {by: f"{mean} {MEASURES[by].unit} on average of {share} of the response's tokens"}
    place = f"round {row['round']}, sample {row['sample_index']} of problem {row['problem_id']}"
    first = entry("rollout", visible(f"{row['rollout_id']} ({place})"), 0, 12)
    verdict = entry("verdict", visible(row["verdict"] or "not graded yet"), 0, 12)[0]
    lines = [line for each in (about | notes).items() for line in entry(each[0], each[1], 0, 12)]
    return [
        ("\n".join([*first, ""]), PLAIN),
        *with_verdict(f"{verdict}\n", row["verdict"] or PLAIN, 12),
        (visible("\n".join([*lines, "", ""])), PLAIN),
    ]


def _tint(by: str, value: float | None) -> str:
    measure = MEASURES[by]
    heat = 0 if value is None else bisect_right(measure.steps, measure.sign * value)
    return HEAT[heat - 1] if heat else PLAIN


def _scale(by: str) -> list[tuple[str, str]]:
    """Write what each tint stands for."""
    measure = MEASURES[by]
    least = "from" if measure.sign > 0 else "down from"
    steps = [
        (f" {measure.sign * step:g} ", style)
        for step, style in zip(measure.steps, HEAT, strict=True)
    ]
    head = f"{by} in {measure.unit}, tinted {least}"
    return [
        (head, PLAIN),
        *(each for step in steps for each in ((" ", PLAIN), step)),
        ("\n", PLAIN),
    ]


def _block(label: str, pieces: list[tuple[str, str]], margin: str) -> list[tuple[str, str]]:
    """Write foreign pieces behind a margin that tells them from ours; a newline is seen as one."""
    written = [(f"\n{label}\n  {margin}", PLAIN)]
    for text, style in pieces:
        *whole, rest = text.split("\n")
        for line in whole:
            written += [(f"{line}↵", style), (f"\n  {margin}", PLAIN)]
        written += [(rest, style)] * bool(rest)
    return [*written, ("\n", PLAIN)]
