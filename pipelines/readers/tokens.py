"""Tokens of a round looked at: where in an answer, and in which words, the policy is unsure.

Entropy in nats; what it describes is said by where the statistics come from. Statistics of two
origins are not mixed: those that most answers have are looked at, and the others counted. (The
mass of `stats_mass` is branching's, which is not looked at here.) A round of any size is looked at
in a seeded sample, a shard at a time.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from pipelines.readers.current import sound
from pipelines.selection import rates_of, scores_of, with_scores
from rft.errors import RFTError
from rft.measuring.clustered import (
    clustered_difference,
    clustered_levels,
    clustered_means,
    clustered_shares,
    gathered,
)
from rft.measuring.pass_at_k import Interval, Numbers
from rft.measuring.strata import FIFTHS, by_difficulty, fifths
from rft.prompt import open_prompter
from rft.runs import tables
from rft.runs.folder import Run
from rft.runs.models import base_model
from rft.seeds import derive
from rft.token_kinds.answer import NO_SENTENCE, Places, Texts, anatomy, position_means
from rft.token_kinds.words import CLASSES

ANSWERS = 2_000  # that are looked at, of a round
TOKENS = 1_000_000  # that these have, or one answer more
BINS = 20
GROUPS = ("all", "right", "wrong")
# Parts of an answer, whose differences say whether the curve is U-shaped.
ZONES = {"first tenth": (0, 2), "middle fifth": (8, 12), "last tenth": (18, 20)}
DESCRIBES = {
    "engine": "the policy at temperature 1 over its whole vocabulary, recorded while sampling",
    "scored": "the policy at temperature 1 over its whole vocabulary, by a forward pass afterwards",
    "topk": "the policy at temperature 1, of its most likely tokens alone: entropies are too low",
}


@dataclass(frozen=True)
class TokenView:
    """What was seen of a round's tokens; each frame has `value`, `low` and `high` and a count."""

    round: int
    notes: dict[str, str]
    position: pl.DataFrame
    """By `group` and relative `position`, of answers."""
    zones: dict[str, Interval]
    """How much the first and last tenth of an answer differ from its middle."""
    verdicts: dict[str, Interval]
    """Mean entropy of answers that are right and wrong, and the difference."""
    words: pl.DataFrame | None
    """By kind of word and sentence; None where the tokens have no text."""
    contrasts: dict[str, Interval]
    classes: pl.DataFrame | None
    """By class of token, with its share of all."""
    strata: pl.DataFrame
    """By fifth of perplexity: accuracy, and that less the problem's own, and entropy."""
    difficulty: pl.DataFrame
    """Problems and samples by the problem's pass rate."""


def view(run: Run, round: int) -> TokenView:
    """Look at the tokens of a round that is graded."""
    graded = _graded(run, round)
    origin, known = _of_one_origin(graded)
    chosen = sampled(run, round, known)
    answers = _answers(run, round, chosen, "scored" if origin == "scored" else "rollouts")
    notes = {
        "describes": DESCRIBES.get(origin or "", f"statistics of the origin {origin}"),
        "tokens": f"{int(answers['size'].sum() or 0):,} tokens, of the trimmed responses of "
        f"{len(answers):,} answers"
        + f" (drawn by seed from {len(known):,})"
        * (len(answers) < len(known)),
    }
    if left := len(graded) - len(known):
        notes["left out"] = f"{left:,} of {len(graded):,} answers, without such statistics"
    if lost := len(chosen) - len(answers):
        notes["lost"] = f"{lost:,} answers of the sample, whose lists per token are not there"
    problem, entropies = _codes(answers), answers["entropies"].to_list()
    position, zones, verdicts = _positions(answers, problem, entropies)
    words, contrasts, classes = _kinds(run, answers, problem, notes)
    return TokenView(
        round,
        notes,
        position,
        zones,
        verdicts,
        words,
        contrasts,
        classes,
        _strata(known),
        _difficulty(run, round),
    )


# Rows ---------------------------------------------------------------------------------------------


def _graded(run: Run, round: int) -> pl.DataFrame:
    names = ["rollout_id", "problem_id", "verdict", "num_response_tokens"]
    names += ["mean_entropy", "mean_branching", "mean_nll", "stats_origin"]
    graded = run.read("graded", round, names)
    return with_scores(graded, scores_of(run, round)) if sound(run, "score", round) else graded


def _of_one_origin(rows: pl.DataFrame) -> tuple[str | None, pl.DataFrame]:
    """Give the origin that most rows have, and those rows; the first by name of equal ones."""
    known = rows.filter(pl.col("mean_entropy").is_not_null() & (pl.col("num_response_tokens") > 0))
    counts = sorted(known["stats_origin"].value_counts().iter_rows(), key=_most_first)
    if not counts:
        return None, known
    return counts[0][0], known.filter(pl.col("stats_origin").eq_missing(counts[0][0]))


def _most_first(row: tuple[Any, ...]) -> tuple[int, str]:
    return -row[1], row[0] or ""


def sampled(run: Run, round: int, rows: pl.DataFrame) -> pl.DataFrame:
    """Draw the rows to look at by the run's seed: whichever others there are, a row comes early
    or late.
    """
    turn = [derive(run.recipe.seed, "tokens", round, name) for name in rows["rollout_id"]]
    drawn = rows.with_columns(pl.Series("turn", turn, pl.Int64)).sort("turn").head(ANSWERS)
    before = pl.col("num_response_tokens").cast(pl.Int64).cum_sum() - pl.col("num_response_tokens")
    return drawn.filter(before < TOKENS).drop("turn")


def _answers(run: Run, round: int, chosen: pl.DataFrame, table: str) -> pl.DataFrame:
    """Read the lists of the chosen answers, cut to the response; those without lists are left."""
    lists = ["token_ids", "entropies"]
    shards = [
        tables.read_file(path, ["rollout_id", *lists]).join(
            chosen.select("rollout_id"), on="rollout_id", how="semi"
        )
        for path in run.parts(table, round)
    ]
    read = pl.concat(shards) if shards else tables.empty(table).select("rollout_id", *lists)
    size = pl.col("num_response_tokens")
    rows = chosen.join(read, on="rollout_id", how="inner", validate="1:1")
    rows = rows.with_columns(pl.col(name).list.head(size) for name in lists)
    whole = pl.col("entropies").list.eval(pl.element().is_finite()).list.sum() == size
    return rows.filter(whole.fill_null(False)).with_columns(size=size.cast(pl.Int64))


def _codes(rows: pl.DataFrame) -> Places:
    """Number the problems."""
    return np.asarray(rows["problem_id"].rank("dense").cast(pl.Int64).to_numpy() - 1, np.int64)


# Positions ----------------------------------------------------------------------------------------


def _positions(
    answers: pl.DataFrame, problem: Places, entropies: list[list[float]]
) -> tuple[pl.DataFrame, dict[str, Interval], dict[str, Interval]]:
    means = np.array([position_means(np.array(each), BINS) for each in entropies])
    means = means.reshape(len(answers), BINS)
    right = (answers["verdict"] == "correct").to_numpy()
    wrong = (answers["verdict"] == "wrong").to_numpy()
    rows = []
    for group, those in zip(GROUPS, (np.ones(len(answers), bool), right, wrong), strict=True):
        sums, counts = _by_column(means[those], problem[those])
        for place, each in enumerate(clustered_levels(sums, counts)):
            middle = (place + 0.5) / BINS
            rows.append(
                {
                    "group": group,
                    "position": middle,
                    **_row(each),
                    "answers": counts[:, place].sum(),
                }
            )
    zones = np.array([[_mean(row[a:b]) for a, b in ZONES.values()] for row in means])
    sums, counts = _by_column(zones.reshape(len(answers), len(ZONES)), problem)
    named = list(ZONES)
    told = dict(zip(named, clustered_levels(sums, counts), strict=True))
    told |= {
        f"{named[each]} less the middle": clustered_difference(sums, counts, each, 1)
        for each in (0, 2)
    }
    whole = answers["mean_entropy"].cast(pl.Float64).to_numpy()
    both = np.stack([np.where(right, whole, np.nan), np.where(wrong, whole, np.nan)], 1)
    sums, counts = _by_column(both, problem)
    verdicts = dict(zip(GROUPS[1:], clustered_levels(sums, counts), strict=True))
    verdicts["wrong less right"] = clustered_difference(sums, counts, 1, 0)
    return _frame(rows), told, verdicts


def _by_column(values: Numbers, problem: Places) -> tuple[Numbers, Numbers]:
    """Gather a value of each row and column by problem; nan is no value."""
    row, column = np.nonzero(np.isfinite(values))
    return gathered(values[row, column], problem[row], column, values.shape[1])


def _mean(values: Numbers) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def _row(each: Interval) -> dict[str, float | None]:
    named = {"value": each.value, "low": each.low, "high": each.high}
    return {name: value if np.isfinite(value) else None for name, value in named.items()}


def _frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema_overrides=dict.fromkeys(("value", "low", "high"), pl.Float64))


# Words --------------------------------------------------------------------------------------------

WORDS = ("pivotal words", "other tokens", "reflective sentences", "other sentences")


def _kinds(
    run: Run, answers: pl.DataFrame, problem: Places, notes: dict[str, str]
) -> tuple[pl.DataFrame | None, dict[str, Interval], pl.DataFrame | None]:
    """Average the entropy of tokens by the words that they belong to."""
    there = answers["token_ids"].list.len().eq(answers["size"]).fill_null(False)
    if (answers["token_ids"].list.min() < 0).any():
        notes["words"] = "not told: some token ids are below zero, which no tokenizer has"
        return None, {}, None
    if not there.any():
        notes["words"] = "not told: no token ids are stored"
        return None, {}, None
    try:
        texts = token_texts(run)
    except RFTError as error:
        notes["words"] = f"not told, for the tokens have no text here: {error}"
        return None, {}, None
    values: dict[str, list[Numbers]] = {"words": [], "classes": []}
    places: dict[str, list[Any]] = {"words": [], "classes": []}
    owners: dict[str, list[Any]] = {"words": [], "classes": []}

    def add(name: str, value: Numbers, place: Any, owner: int) -> None:
        values[name].append(value)
        places[name].append(place)
        owners[name].append(np.full(len(value), owner))

    rows = answers.with_columns(problem=pl.Series(problem)).filter(there)
    for ids, entropies, owner in rows.select("token_ids", "entropies", "problem").iter_rows():
        entropy, parts = np.array(entropies), anatomy(texts.of(ids))
        add("classes", entropy, parts.classes, owner)
        add("words", entropy, np.where(parts.pivotal, 0, 1), owner)
        said = parts.sentence != NO_SENTENCE
        number = len(parts.reflective)
        sums = np.bincount(parts.sentence[said], weights=entropy[said], minlength=number)
        tokens = np.bincount(parts.sentence[said], minlength=number)
        full = tokens > 0  # a sentence may lie within one token together with another
        add("words", sums[full] / tokens[full], np.where(parts.reflective[full], 2, 3), owner)

    def averaged(name: str, named: tuple[str, ...]) -> tuple[pl.DataFrame, Numbers, Numbers]:
        mine, whose, what = (np.concatenate(each[name]) for each in (values, owners, places))
        sums, counts = gathered(mine, whose, what, len(named))
        number = counts.sum(0)
        told = [
            {"what": what, **_row(each), "count": int(number[place])}
            for place, (what, each) in enumerate(
                zip(named, clustered_levels(sums, counts), strict=True)
            )
        ]
        return _frame(told), sums, counts

    words, added, number_of = averaged("words", WORDS)
    contrasts = {
        f"{WORDS[first]} less {WORDS[first + 1]}": clustered_difference(
            added, number_of, first, first + 1
        )
        for first in (0, 2)
    }
    classes = averaged("classes", CLASSES)[0]
    return words, contrasts, classes.with_columns(share=pl.col("count") / pl.col("count").sum())


def token_texts(run: Run) -> Texts:
    """Open the way from a run's tokens to their text."""
    # What only reads a run runs no code of a model, whatever the run's recipe says.
    base = dataclasses.replace(base_model(run, download=False), trust_remote_code=False)
    prompts = open_prompter(base, run.recipe.prompt)
    tokenizer = prompts.tokenizer
    special = {int(each) for each, token in tokenizer.added_tokens_decoder.items() if token.special}
    silent = frozenset({*special, *map(int, tokenizer.all_special_ids)})
    before = next((each for each in prompts.encode("a") if each not in silent), prompts.end_id)
    return Texts(prompts.decode, before, silent)


# Answers ------------------------------------------------------------------------------------------

STRATA = {
    "accuracy": clustered_shares,
    "against its problem": clustered_means,
    "entropy": clustered_levels,
}
JUDGED = ("correct", "wrong", "no_answer", "unparseable")


def _strata(known: pl.DataFrame) -> pl.DataFrame:
    """Average by fifth of perplexity over all judged answers that have statistics."""
    rows = known.filter(pl.col("mean_nll").is_not_null() & pl.col("verdict").is_in(JUDGED))
    rows = rows.with_columns(correct=(pl.col("verdict") == "correct").cast(pl.Float64))
    rows = rows.with_columns(better=pl.col("correct") - pl.col("correct").mean().over("problem_id"))
    nll = rows["mean_nll"].cast(pl.Float64).to_numpy()
    place, problem = fifths(nll), _codes(rows)
    told = []
    columns = ("correct", "better", "mean_entropy")
    for (what, averaged), column in zip(STRATA.items(), columns, strict=True):
        values = rows[column].cast(pl.Float64).to_numpy()
        sums, counts = gathered(values, problem, place, FIFTHS)
        for fifth, each in enumerate(averaged(sums, counts)):
            here = np.exp(nll[place == fifth])
            told.append(
                {
                    "what": what,
                    "fifth": fifth + 1,
                    "perplexity": float(np.median(here)) if len(here) else None,
                    **_row(each),
                    "answers": int(counts[:, fifth].sum()),
                }
            )
    return _frame(told)


def _difficulty(run: Run, round: int) -> pl.DataFrame:
    """Tell how problems, right answers that were kept, and selected ones lie by pass rate."""
    samples = {}
    if sound(run, "filter", round):
        kept = run.read("kept", round, ["problem_id", "verdict"])
        samples["kept and right"] = kept.filter(pl.col("verdict") == "correct")
    if sound(run, "select", round):
        chosen = run.read("selected", round, ["problem_id", "role"])
        samples["selected"] = chosen.filter(pl.col("role") == "positive")
    return by_difficulty(rates_of(run, round) if samples else {}, samples)


def rounds_to_see(run: Run) -> Iterator[int]:
    """Give the rounds that are graded."""
    return (n for n in range(1, run.recipe.rounds + 1) if sound(run, "grade", n))
