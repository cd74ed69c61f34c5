"""Read a run's rollouts in a terminal: a line for each, or one in full with why it was kept or not.

Reads whatever tables the finished stages left; writes nothing. What a model wrote is hostile: it
reaches the terminal only through `visible`.
"""

import re
import shlex
from collections.abc import Collection
from typing import Any

import polars as pl

from pipelines.readers.current import sound
from pipelines.readers.layout import (
    NOTHING,
    block,
    entry,
    labelled,
    number,
    short_digest,
    table,
    width_of,
)
from pipelines.readers.sources import find_problem
from pipelines.readers.trail import of_rollout
from pipelines.readers.trail_words import path_words, sources_words, taught_words
from pipelines.readers.why import unrecorded, why
from pipelines.selection import rates_of, scores_of, with_scores
from rft.errors import RFTError, shown, suggestion
from rft.foreign_text import one_line, visible
from rft.recipe.selection import ORDERS, columns, made_columns
from rft.runs import tables
from rft.runs.folder import Run
from rft.runs.schemas import TABLES
from rft.runs.where import rows_where
from rft.selection.condition import names as names_of_statistics
from rft.styled import PLAIN, Styled, with_verdict

IDENTITY = ["rollout_id", "problem_id", "round", "sample_index", "finish_reason", "num_tokens"]
GRADED = ["rollout_id", "num_response_tokens", "answer", "verdict", "verdict_path"]
GRADED += ["num_boxed", "num_placeholders", "redundancy"]
# Where a row was ranked, in the table that it is in after `select`.
TURNS = ["stratum", "turn", "distance"]
# Later stages of the same rollout: table -> stage and columns; each is joined where it is there.
LATER = {
    "rejected": ("filter", ["rollout_id", "rejected_by"]),
    "selected": ("select", ["rollout_id", "role", "rank", "ranked_by"]),
    "passed_over": ("select", ["rollout_id", "reason", "place", "share"]),
}


def sorts() -> dict[str, str]:
    """Give the column of each name that rows can be sorted by, highest first."""
    named = {name: order.column for name, order in ORDERS.items() if order.column is not None}
    return named | {"tokens": "num_tokens"}


def graded_columns() -> list[str]:
    """List the columns of a graded row that are shown."""
    ranked = [name for name in columns() if name in TABLES["graded"].names]
    return list(dict.fromkeys((*GRADED, *ranked, "stats_origin")))


def sampled_rounds(run: Run) -> list[int]:
    """List the rounds that have rollouts."""
    folders = sorted(path for path in (run.path / "rollouts").glob("round-*") if tables.parts(path))
    numbers = [folder.name.removeprefix("round-") for folder in folders]
    return [int(number) for number in numbers if re.fullmatch("[0-9]+", number)]  # else no table's


def listing(
    run: Run, rounds: list[int] | None = None, problems: Collection[str] | None = None
) -> pl.DataFrame:
    """Gather a row for every rollout of the run, or of some rounds and problems: what it is, its
    verdict, what became of it.
    """
    rounds = sampled_rounds(run) if rounds is None else rounds
    if not rounds:
        raise RFTError(f"{run.path}: {without_rollouts(run)}")
    asked = run.problems(["problem_id", "question", "gold"]).unique("problem_id")
    rows = pl.concat([of_round(run, round, problems) for round in rounds])
    # As much of an id as no other of the run starts with.
    starts = (rows["rollout_id"].str.slice(0, digits) for digits in (8, 12, 16))
    short = next((ids for ids in starts if ids.n_unique() == len(rows)), rows["rollout_id"])
    rows = rows.with_columns(short_id=short)
    return rows.join(asked, on="problem_id", how="left", maintain_order="left")


def without_rollouts(run: Run) -> str:
    """Say why a run has no rollouts, and what to do about it."""
    where = shlex.quote(str(run.path))
    if run.recipe.rounds == 0:
        return f"a model was measured, no round sampled; `rft view {where}` has its answers"
    if run.recipe.grpo is None:
        return f"nothing sampled yet; `rft run {where}` does that"
    return (
        f"online training keeps no rollouts; read `rft report {where}`, or a row for each step in "
        f"{run.folder('dynamics', 1)}"
    )


def of_round(run: Run, round: int, problems: Collection[str] | None = None) -> pl.DataFrame:
    """Gather the rows of a round, or those of some of its problems."""

    def read(table: str, names: list[str]) -> pl.DataFrame:
        if problems is None:
            return run.read(table, round, names)
        return pl.concat(run.batches(table, round, names, problems))

    rows = read("rollouts", IDENTITY)
    graded = tables.empty("graded").select(graded_columns())
    if sound(run, "grade", round):
        graded = read("graded", graded_columns())
        if sound(run, "score", round):
            graded = with_scores(graded, scores_of(run, round))
    if rows["rollout_id"].equals(graded["rollout_id"]):  # as grading leaves them: no search
        rows = rows.hstack(graded.drop("rollout_id"))
    else:
        rows = rows.join(graded, on="rollout_id", how="left", validate="1:1")
    chosen = [*TURNS, *made_columns()]
    later = []
    for name, (stage, own) in LATER.items():
        names = own if stage == "filter" else [*own, *chosen]
        made = sound(run, stage, round)
        # Version 0.1 wrote no passed_over.
        there = made is not None and name in made["outputs"]
        later.append(read(name, names) if there else tables.empty(name).select(names))
    # A rollout is in one of these at most.
    became = pl.concat(later, how="diagonal")
    rows = rows.join(became, on="rollout_id", how="left", validate="1:1")
    return rows.rename({"reason": "left_out"})


# Choosing -----------------------------------------------------------------------------------------


def choose(
    run: Run,
    *,
    problem: str | None = None,
    verdict: str | None = None,
    round: int | None = None,
    role: str | None = None,
    rule: str | None = None,
    where: str | None = None,
    sort: str | None = None,
) -> pl.DataFrame:
    """Find the rollouts that match every condition; the order is selected first unless sorted."""
    rows = listing(run)
    if problem is not None:
        rows = of_problem(run, rows, problem)
    asked = {"--round": round, "--verdict": verdict, "--role": role, "--rule": rule}
    for option, wanted in asked.items():
        if wanted is None:
            continue
        column = {"--rule": "rejected_by"}.get(option, option.removeprefix("--"))
        matching = rows.filter(pl.col(column) == wanted)
        if matching.is_empty():
            counts = rows[column].drop_nulls().value_counts().sort(column).iter_rows()
            there = ", ".join(f"{name} ({count})" for name, count in counts) or "none"
            if option == "--rule" and wanted in run.recipe.filter:
                there += f" ({wanted} is a rule of this run)"
            raise RFTError(
                f"{run.path}: no rollout for {option} {wanted!r}; among the {len(rows)} that are "
                f"left there: {there}"
            )
        rows = matching
    if where is not None:
        rows = rows_where(with_names(run, rows), where).select(rows.columns)
        if rows.is_empty():
            raise RFTError(f"{run.path}: no rollout for --where {shown(where)} among those left")
    if sort is not None:
        if sort not in sorts():
            advice = suggestion(sort, sorts(), otherwise=f"there are {', '.join(sorts())}")
            raise RFTError(f"--sort {shown(sort)}: rows are not sorted by that; {advice}")
        return rows.sort(sorts()[sort], "rollout_id", descending=[True, False], nulls_last=True)
    return rows.sort(
        "round",
        pl.col("role").is_null(),
        pl.col("role") != "positive",
        "rank",
        pl.col("rejected_by").is_not_null(),
        "problem_id",
        "sample_index",
        nulls_last=True,
    )


def with_names(run: Run, rows: pl.DataFrame) -> pl.DataFrame:
    """Add what a condition may name besides the columns: as `--sort` does, and pass rates."""
    rates: dict[tuple[int, str], float] = {}
    for round in sorted(set(rows["round"])):
        # Under `until` the rules say where sampling stopped.
        stage = "grade" if run.recipe.sample.until is None else "filter"
        if sound(run, "grade", round) and sound(run, stage, round):
            rates |= {(round, name): rate for name, rate in rates_of(run, round).items()}
    keys = zip(rows["round"], rows["problem_id"], strict=True)
    pass_rate = pl.Series("pass_rate", [rates.get(key) for key in keys], pl.Float64)
    return rows.with_columns(pass_rate, tokens="num_tokens", **names_of_statistics())


def of_problem(run: Run, rows: pl.DataFrame, name: str) -> pl.DataFrame:
    """Find the rollouts of the one problem whose id starts with a name."""
    matching = rows.filter(pl.col("problem_id").str.starts_with(name))
    ids = sorted(set(matching["problem_id"]))
    if len(ids) > 1:
        raise RFTError(
            f"{run.path}: {_how_many(ids, 'problem')} start with {name!r}; give more of the id"
        )
    if not ids:
        there = sorted(set(rows["problem_id"]))
        raise RFTError(
            f"{run.path}: no problem with rollouts starts with {name!r}; there are {len(there)}, "
            f"such as {there[0]}"
        )
    return matching


def find(run: Run, name: str) -> dict[str, Any]:
    """Find a rollout by its id, or by as much of it as no other starts with."""
    rows = names_in(run)
    matching = rows.filter(pl.col("rollout_id") == name)
    if matching.is_empty() and name:
        matching = rows.filter(pl.col("rollout_id").str.starts_with(name))
    if len(matching) > 1:
        several = _how_many(sorted(matching["rollout_id"]), "rollout")
        raise RFTError(f"{run.path}: {several} start with {name!r}; give more of the id")
    if matching.is_empty():
        raise RFTError(
            f"{run.path}: no rollout {name!r}; there are {len(rows)}, such as "
            f"{rows['rollout_id'][0]} (`rft show {shlex.quote(str(run.path))}` lists them)"
        )
    found, problem, round = matching.row(0)
    rows = listing(run, [round], [problem])
    return rows.row(by_predicate=pl.col("rollout_id") == found, named=True)


def names_in(run: Run) -> pl.DataFrame:
    """Give the id, problem and round of every rollout of the run."""
    rounds = sampled_rounds(run)
    if not rounds:
        raise RFTError(f"{run.path}: {without_rollouts(run)}")
    names = ["rollout_id", "problem_id", "round"]
    return pl.concat([run.read("rollouts", round, names) for round in rounds])


def _how_many(names: list[str], what: str) -> str:
    some = ", ".join(names[:3])
    return f"{len(names)} {what}s ({some}{', ...' if len(names) > 3 else ''})"


# A line each --------------------------------------------------------------------------------------


def text_list(run: Run, rows: pl.DataFrame, limit: int, sort: str | None = None) -> Styled:
    """Write rollouts in a line each, and first the question where all have the same."""
    shown = rows.head(limit)
    statistics = {"H": "mean_entropy", "B": "mean_branching", "red.": "redundancy"}
    head = ["r", "rollout", "problem", "s", "verdict", "fate", "answer", "gold", "tokens", "finish"]
    lines = [[*head, *statistics, *(["ppl"] if sort == "perplexity" else [])]]
    for row in shown.iter_rows(named=True):
        cells = [f"{row['round']}", row["short_id"]]
        cells += [row["problem_id"][:8], f"{row['sample_index']}", row["verdict"] or NOTHING]
        cells += [fate(row), shortened(row["answer"]), shortened(golds(row))]
        cells += [number(row["num_tokens"], "d"), row["finish_reason"]]
        cells += [number(row[name], ".2f") for name in statistics.values()]
        cells += [number(perplexity(row), ".2f")] if sort == "perplexity" else []
        lines.append([visible(cell) for cell in cells])
    more = "" if len(shown) == len(rows) else f"; -n {len(rows)} shows all"
    command = f"rft show {shlex.quote(str(run.path))} ID"
    note = f"{len(shown)} of {len(rows)} rollouts{more}; `{command}` shows one in full."
    legend = "r round, s sample, H mean entropy in nats, B mean branching, red. redundancy"
    align = "llllllllrl" + "r" * (len(lines[0]) - len(head))
    same = rows["problem_id"].n_unique() == 1
    first = rows.row(0, named=True)
    top = labelled("question", first["question"]) + labelled("gold", golds(first))
    pieces = [(f"{line}\n", PLAIN) for line in ([*top, ""] if same else [])]
    place = head.index("verdict")
    widths = [width_of([cells[column] for cells in lines]) for column in range(place)]
    for cells, line in zip(lines, table(align, lines, 0), strict=True):
        # Where the verdict begins, in letters: of wide ones a column of the screen has fewer.
        before = zip(widths, cells, strict=False)
        start = sum(width - width_of([cell]) + len(cell) + 2 for width, cell in before)
        verdict = PLAIN if cells is lines[0] else cells[place]
        pieces += with_verdict(f"{line}\n", verdict if verdict != NOTHING else PLAIN, start)
    below = ["", note, legend, *silent_rounds(run, shown)]
    return Styled((*pieces, ("\n".join(below), PLAIN)))


def silent_rounds(run: Run, shown: pl.DataFrame) -> list[str]:
    """Name the rounds of which nobody wrote down why rows were passed over."""
    made = (sound(run, "select", round) for round in sorted(set(shown["round"])))
    return [words for chosen in made if chosen and (words := unrecorded(chosen))]


def fate(row: dict[str, Any]) -> str:
    """Write in a word what became of a rollout."""
    if row["role"]:
        return f"{row['role']} #{row['rank'] + 1}"
    if row["rejected_by"]:
        return f"x {row['rejected_by']}"
    return f"- {row['left_out']}" if row["left_out"] else NOTHING


def golds(row: dict[str, Any]) -> str | None:
    """Write the gold answers of a row's problem."""
    return None if row["gold"] is None else " | ".join(row["gold"])


def shortened(text: str | None) -> str:
    """Write a text in a narrow column."""
    return NOTHING if text is None else one_line(text, 12)


# One in full --------------------------------------------------------------------------------------


def whole(run: Run, row: dict[str, Any]) -> dict[str, Any]:
    """Add to a row its texts, its origin, how its problem fared, and why it was kept or dropped."""
    texts = ["prompt", "completion", "model", "sampling", "seed", "stats_mass"]
    row = row | read_row(run, "rollouts", row, texts) | {"response": None}
    verdicts = None
    if row["verdict"]:
        row |= read_row(run, "graded", row, ["response"])
        problem = [row["problem_id"]]
        siblings = pl.concat(run.batches("graded", row["round"], ["verdict"], problem))["verdict"]
        verdicts = dict(siblings.value_counts().sort("verdict").iter_rows())
    return row | {"verdicts_of_problem": verdicts, "why": why(run, row)}


def trail_of(run: Run, row: dict[str, Any]) -> dict[str, Any]:
    """Give the audit trail of a whole row."""
    problem = find_problem(run, row["problem_id"], split="train")
    if problem is None:
        raise RFTError(
            f"{run.path}: problem {row['problem_id']} of {row['rollout_id']} is no problem of "
            f"training any more; `rft run {shlex.quote(str(run.path))}` samples anew"
        )
    return of_rollout(run, row, problem)


def read_row(
    run: Run, table: str, row: dict[str, Any], names: list[str] | None = None
) -> dict[str, Any]:
    """Read a rollout's wide columns, or all, out of the row group that holds it."""
    mine = pl.col("rollout_id") == row["rollout_id"]
    wanted = None if names is None else ["rollout_id", *names]
    for batch in run.batches(table, row["round"], wanted, [row["problem_id"]]):
        if len(found := batch.filter(mine)):
            return found.row(0, named=True)
    raise RFTError(f"{run.path}: rollout {row['rollout_id']} is gone from {table}; run again")


def text_whole(run: Run, row: dict[str, Any]) -> Styled:
    """Write a rollout in full: nothing is shortened, the part that was cut off is marked."""
    seed = NOTHING if row["seed"] is None else row["seed"]
    place = f"round {row['round']}, sample {row['sample_index']} of problem {row['problem_id']}"
    path = path_words(row["verdict_path"])
    verdict = f"{row['verdict']}{path}; {_siblings(row)}" if row["verdict"] else "not graded yet"
    trail = trail_of(run, row)
    about = {
        "why": row["why"],
        "statistics": _statistics(row),
        "lineage": f"model {model_of(trail)}, sampling {row['sampling']}, seed {seed}",
        "source": sources_words(trail["problem"]["sources"]),
    }
    if row["role"]:
        about["learnt by"] = taught_words(trail["models"])
    lines = entry("rollout", f"{row['rollout_id']} ({place})", 0, 12)
    lines += labelled("answer", row["answer"]) + labelled("gold", golds(row))
    first, *others = entry("verdict", visible(verdict), 0, 12)
    pieces = [("\n".join([*lines, ""]), PLAIN), *with_verdict(first, row["verdict"] or PLAIN, 12)]
    lines = others
    for label, text in about.items():
        lines += entry(label, visible(text), 0, 12)
    lines += ["", "question", *block(row["question"]), "", "prompt", *block(row["prompt"])]
    return Styled((*pieces, ("\n".join(["", *lines, *_texts(row)]), PLAIN)))


def _texts(row: dict[str, Any]) -> list[str]:
    """Write what was sampled, the part that was cut off apart."""
    response, completion = row["response"], row["completion"]
    if response is None or response == completion:
        ends = f"finish: {row['finish_reason']}, {number(row['num_tokens'], 'd')} tokens"
        return ["", f"completion ({ends})", *block(completion)]
    kept = f"response ({number(row['num_response_tokens'], 'd')} tokens, up to the answer's box)"
    lines = ["", kept, *block(response)]
    if completion.startswith(response):
        ends = f"finish: {row['finish_reason']}, {number(row['num_tokens'], 'd')} tokens in all"
        lines += ["", f"cut off after the box, neither graded nor trained on ({ends})"]
        return [*lines, *block(completion[len(response) :], "x ")]
    return [*lines, "", "completion, as sampled", *block(completion)]


def _siblings(row: dict[str, Any]) -> str:
    counts = ", ".join(f"{count} {name}" for name, count in row["verdicts_of_problem"].items())
    return f"the round's samples of its problem: {counts}"


def perplexity(row: dict[str, Any]) -> float | None:
    """Give a row's perplexity."""
    return None if row["mean_nll"] is None else ORDERS["perplexity"].shown(row["mean_nll"])


def _statistics(row: dict[str, Any]) -> str:
    mass = f" (of {row['stats_mass']:.0%} of the mass)" if row["stats_mass"] else ""
    parts = [
        f"entropy {number(row['mean_entropy'], '.4f')} nats",
        f"branching {number(row['mean_branching'], '.3f')}{mass}",
        f"perplexity {number(perplexity(row), '.4f')}",
        f"redundancy {number(row['redundancy'], '.4f')}",
        f"boxes {number(row['num_boxed'], 'd')}",
    ]
    if row["num_placeholders"]:
        parts.append(f"placeholders {row['num_placeholders']}")
    origin = f" (means over the response's tokens; origin: {row['stats_origin'] or NOTHING})"
    return ", ".join(parts) + origin


def model_of(trail: dict[str, Any]) -> str:
    """Name the model that a rollout was sampled from."""
    number, digest = trail["model"]["number"], short_digest(trail["model"]["digest"])
    if number is None:
        return str(digest)
    return f"{number}, the base ({digest})" if number == 0 else f"{number} of this run ({digest})"
