"""Why a rollout was kept or dropped, in a sentence: the rule and its number, or its rank."""

import inspect
import math
from typing import Any

import numpy as np
import polars as pl

from filters import RULES
from pipelines.readers.status import sound
from pipelines.selection import ROLES, rank, rates_of, settings, too_long, with_scores
from rft.recipe import Select
from rft.runs.folder import Run
from rft.token_stats.forward import STATISTIC


def left_out(run: Run, round: int) -> pl.DataFrame:
    """Give (rollout_id, left_out, place) of each kept rollout that was not selected: the reason as
    `select` counts it, and its place in the ranking of its role.

    Empty where the round was selected with other settings than the recipe's.
    """
    nothing = pl.DataFrame(
        schema={"rollout_id": pl.String, "left_out": pl.String, "place": pl.UInt32}
    )
    chosen, choice = sound(run, "select", round), run.recipe.select
    if chosen is None or chosen["settings"]["select"] != settings(run, round)["select"]:
        return nothing
    columns = ["rollout_id", "problem_id", "verdict", "num_response_tokens", "stats_origin"]
    kept = run.read("kept", round, [*columns, *STATISTIC.values()])
    if sound(run, "score", round):
        kept = with_scores(run, round, kept)
    rates = rates_of(run, round)
    lengths = run.read("rollouts", round, ["rollout_id", "num_prompt_tokens"])
    long = too_long(kept, lengths, chosen["settings"]["max_length"])
    chances = pl.DataFrame({"problem_id": list(rates), "rate": list(rates.values())})
    low, high = choice.difficulty if isinstance(choice.difficulty, tuple) else (0.0, 1.0)
    verdict = pl.col("verdict")
    early = kept.join(chances, on="problem_id", how="left").with_columns(
        left_out=pl.when(~verdict.is_in(list(ROLES.values())))
        .then(pl.lit("verdict ") + verdict)
        .when(pl.col("rollout_id").is_in(list(long)))
        .then(pl.lit("max_length"))
        .when(~pl.col("rate").is_between(low, high))
        .then(pl.lit("difficulty"))
        .when((verdict == ROLES["noise"]) & (choice.noise == 0))
        .then(pl.lit("noise not wanted"))
        .when((verdict == ROLES["positive"]) & (choice.noise == 1))
        .then(pl.lit("positive not wanted"))
    )
    unfit = pl.col("left_out").is_not_null()
    found = [
        nothing,
        early.filter(unfit).select("rollout_id", "left_out", place=pl.lit(None, pl.UInt32)),
    ]
    pool = early.filter(~unfit).select(kept.columns)
    found += [_ranked(pool, role, choice, chosen["seeds"]["select"]) for role in ROLES]
    selected = run.read("selected", round, ["rollout_id"])
    return pl.concat(found).join(selected, on="rollout_id", how="anti")


def _ranked(pool: pl.DataFrame, role: str, choice: Select, seed: int) -> pl.DataFrame:
    """Say of each of a role's rows that the cap or the budget would leave it out."""
    by = choice.by if role == "positive" else choice.noise_by
    ranked, _ = rank(pool.filter(pl.col("verdict") == ROLES[role]), by, seed)
    within = pl.int_range(pl.len()).over("problem_id")
    capped = pl.lit(False) if choice.per_problem is None else within >= choice.per_problem
    return ranked.with_row_index("place", 1).select(
        "rollout_id",
        left_out=pl.when(capped).then(pl.lit("per_problem")).otherwise(pl.lit("budget")),
        place="place",
    )


def why(run: Run, row: dict[str, Any]) -> str:
    """Say in a sentence how far a rollout came, and why no further."""
    round = row["round"]
    if row["verdict"] is None:
        return "sampled, not graded yet"
    if not (sifted := sound(run, "filter", round)):
        return "graded, not filtered yet"
    rules = dict(sifted["settings"]["filter"])
    if row["rejected_by"] is not None:
        return f"rejected by {row['rejected_by']}: {defect(run, row, rules)}"
    kept = f"kept: passes {', '.join(rules) or 'all of no rules'}"
    if not (chosen := sound(run, "select", round)):
        return f"{kept}; nothing selected yet"
    if row["role"] is not None:
        of = chosen["counts"]["selected"][row["role"]]
        how = "drawn at random, number" if row["ranked_by"] == "random" else "rank"
        by = "" if row["ranked_by"] == "random" else f" by {row['ranked_by']}{value(row)}"
        return f"{kept}; selected as {row['role']}, {how} {row['rank'] + 1} of {of}{by}"
    return f"{kept}, but not selected: {passed_over(chosen, row)}"


def value(row: dict[str, Any], by: str | None = None) -> str:
    """Write the statistic that a row was ranked by, in brackets."""
    name = by or row["ranked_by"]
    found = row[STATISTIC[name]]
    if found is None:
        return " (unknown)"
    return f" ({math.exp(found) if name == 'perplexity' else found:.3f})"


def passed_over(chosen: dict[str, Any], row: dict[str, Any]) -> str:
    """Say why a kept rollout was not selected."""
    settings, reason = chosen["settings"]["select"], row["left_out"]
    role = "positive" if row["verdict"] == "correct" else "noise"
    by = settings["by"] if role == "positive" else settings["noise_by"]
    took = chosen["counts"]["selected"].get(role, 0)
    order = "in a random order" if by == "random" else f"by {by}{value(row, by)}"
    where = f"place {row['place']} {order}"
    sentences = {
        None: "selected with other settings than the recipe's now",
        "max_length": (
            f"max_length: prompt, response and end are over sft.max_length="
            f"{chosen['settings']['max_length']}"
        ),
        "difficulty": f"difficulty: its problem's pass rate is outside {settings['difficulty']}",
        "noise not wanted": "noise not wanted: it is wrong, and select.noise is 0",
        "positive not wanted": "positive not wanted: it is correct, and select.noise is 1",
        "per_problem": (
            f"per_problem: {settings['per_problem']} samples of its problem rank higher ({where})"
        ),
        "budget": f"budget: {where}, while the budget took {took} {role}",
    }
    return sentences.get(reason, f"{reason}: only correct and wrong answers have a role")


def defect(run: Run, row: dict[str, Any], rules: dict[str, dict[str, Any]]) -> str:
    """Say what a rule found, with the value and the limit where it has them."""
    name = row["rejected_by"]
    known = inspect.signature(RULES[name]).parameters if name in RULES else {}
    limits = {key: parameter.default for key, parameter in known.items()} | rules.get(name, {})
    if name == "no_box":
        return "its box is empty" if row["num_boxed"] else "no box closes in the completion"
    if name == "redundant":
        return over(row["redundancy"], limits["threshold"])
    if name == "many_boxes":
        return f"{row['num_boxed']} boxes > {limits['most']}"
    if name == "too_long" and row["num_response_tokens"] is not None:
        return f"{row['num_response_tokens']} tokens > {limits['max_tokens']}"
    if name == "too_short" and row["num_response_tokens"] is not None:
        return f"{row['num_response_tokens']} tokens < {limits['min_tokens']}"
    if name == "duplicate" and (twin := twin_of(run, row, list(rules))) is not None:
        return f"the same response as sample {twin} of this problem"
    docstring = inspect.getdoc(RULES[name]) if name in RULES else None
    first = (docstring or "").partition("\n")[0].rstrip(".").removeprefix("Find ")
    return f"the rule finds {first}" if first else "a rule that is not installed here"


def over(found: float, limit: float) -> str:
    """Write that a value is above its limit with as many digits as it takes to see that."""
    texts = (f"{found:.{digits}f}" for digits in range(2, 9))
    # The column is float32, and so is the comparison.
    enough = (text for text in texts if np.float32(text) > np.float32(limit))
    return f"{next(enough, found)} > {limit:g}"


def twin_of(run: Run, row: dict[str, Any], rules: list[str]) -> int | None:
    """Find the sample whose response a duplicate repeats: the first that reached the rule."""
    same = pl.col("problem_id") == row["problem_id"]
    columns = ["rollout_id", "problem_id", "sample_index", "response"]
    later = rules[rules.index("duplicate") + 1 :] if "duplicate" in rules else []
    kept = run.read("kept", row["round"], columns).filter(same)
    rejected = run.read("rejected", row["round"], [*columns, "rejected_by"]).filter(same)
    mine = rejected.filter(pl.col("rollout_id") == row["rollout_id"])["response"][0]
    reached = pl.concat([kept, rejected.filter(pl.col("rejected_by").is_in(later)).select(columns)])
    twins = reached.filter(pl.col("response") == mine).sort("sample_index")
    return None if twins.is_empty() else int(twins["sample_index"][0])
