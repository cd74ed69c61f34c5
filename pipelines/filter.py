"""Apply the recipe's rules in order, each to what the ones before it left.

Reads graded; writes kept and rejected, the latter with the name of the rule.
"""

import inspect
from collections.abc import Mapping
from typing import Any

import polars as pl

from filters import RULES
from rft.errors import RFTError, shown, suggestion
from rft.runs.folder import Run
from rft.runs.stages import Job, Stage


def settings(run: Run, _round: int) -> dict[str, Any]:
    """List the rules in order: a mapping alone would lose it."""
    return {"filter": [[name, parameters] for name, parameters in run.recipe.filter.items()]}


def inputs(run: Run, round: int) -> dict[str, str]:
    """Give the digest of the graded rollouts."""
    return {"graded": run.output_digest("grade", round, "graded")}


def work(job: Job) -> None:
    """Sift the rollouts of a round."""
    graded = job.run.read("graded", job.round)
    kept, rejected = apply_rules(graded, job.run.recipe.filter)
    job.write("kept", kept)
    job.write("rejected", rejected)
    job.counts |= {"in": len(graded), "kept": len(kept), "rejected": by_rule(rejected)}
    accepted = len(kept.filter(pl.col("verdict") == "correct"))
    tokens = graded["num_tokens"].sum() if graded["num_tokens"].count() else None
    job.counts["accepted"] = accepted
    job.notes["tokens_per_accepted"] = round(tokens / accepted, 1) if tokens and accepted else None
    job.say(f"  {funnel_line(job.counts)}")


def check_rules(rules: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse unknown rules, unknown parameters, and values that the rule does not take."""
    for name, parameters in rules.items():
        if name not in RULES:
            advice = suggestion(name, RULES, otherwise=f"the rules are {', '.join(RULES)}")
            raise RFTError(f"filter: unknown rule {shown(name)}; {advice}")
        known = inspect.signature(RULES[name]).parameters
        for given, value in parameters.items():
            if given not in known:
                takes = ", ".join(known) or "no parameters"
                raise RFTError(f"filter.{name}: unknown parameter {shown(given)}; it takes {takes}")
            kind = known[given].annotation
            # Python's True is an int and its 1 no float; in a recipe it is the other way round.
            fits = isinstance(value, (int, float) if kind is float else kind)
            if not fits or isinstance(value, bool):
                raise RFTError(
                    f"filter.{name}.{given}: {shown(value)} is not of type {kind.__name__}"
                )
        for needed, parameter in known.items():
            if parameter.default is parameter.empty and needed not in parameters:
                raise RFTError(f"filter.{name}: {needed} is missing; it has no default")
        try:
            RULES[name](**parameters)
        except ValueError as error:
            raise RFTError(f"filter.{name}: {error}") from None


def apply_rules(
    graded: pl.DataFrame, rules: Mapping[str, Mapping[str, Any]]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split graded rollouts into kept and rejected, both in the order they came in.

    Each rule sees the survivors of the ones before it, so a repeat of a rejected rollout survives.
    What a rule cannot tell (null) is rejected.
    """
    check_rules(rules)
    left, places = graded, pl.int_range(len(graded), eager=True)
    gone = [pl.DataFrame(schema={"place": pl.Int64, "rejected_by": pl.String})]
    for name, parameters in rules.items():
        defect = RULES[name](**parameters)
        missing = [column for column in defect.meta.root_names() if column not in graded.columns]
        if missing:
            raise RFTError(
                f"filter.{name}: the rows have no column {missing[0]!r}, which the rule looks at; "
                "`rft grade` makes it"
            )
        # The expression sees only the columns that it reads: group rules stay narrow.
        defective = left.select(defect.fill_null(True).alias("defect"))["defect"]
        gone.append(pl.select(place=places.filter(defective), rejected_by=pl.lit(name)))
        left, places = left.filter(~defective), places.filter(~defective)
    last = pl.concat(gone).sort("place")
    rejected = graded[last["place"]].with_columns(last["rejected_by"])
    assert len(left) + len(rejected) == len(graded), "rollouts in != kept + rejected"
    return left, rejected


def by_rule(rejected: pl.DataFrame) -> dict[str, int]:
    """Count the rejected rows of each rule."""
    return dict(sorted(rejected["rejected_by"].value_counts().iter_rows()))


def funnel_line(counts: Mapping[str, Any]) -> str:
    """Write a stage's counts as a sum that can be checked."""
    reasons = ", ".join(f"{count} {name}" for name, count in counts["rejected"].items())
    gone = sum(counts["rejected"].values())
    return f"{counts['in']} graded = {counts['kept']} kept + {gone} rejected ({reasons or 'none'})"


STAGE = Stage("filter", settings, inputs, work)
