"""Why a rollout was kept or dropped, in a sentence: the rule and its number, or its rank."""

import inspect
from typing import Any

import numpy as np
import polars as pl

from filters import RULES
from pipelines.readers.current import sound
from rft.recipe.selection import ORDERS
from rft.runs.folder import Run
from rft.selection.choice import SETTING
from rft.selection.ranking import STRATA, roles_of


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
        drawn = ORDERS[row["ranked_by"]].column is None
        how = "drawn at random, number" if drawn else "rank"
        by = "" if drawn else f" {order_words(row, row['ranked_by'])}"
        rank = f"{how} {row['rank'] + 1} of {of}{by}{among(row)}"
        given = chosen["settings"]["select"].get("verdicts", "correct")
        free = " (select.verdicts: any)" if given == "any" else ""
        return f"{kept}; selected as {row['role']}{free}, {rank}"
    return f"{kept}, but not selected: {unrecorded(chosen) or passed_over(chosen, row)}"


def unrecorded(chosen: dict[str, Any]) -> str | None:
    """Say that nobody wrote down why rows were passed over, where the manifest is of such a run."""
    if "passed_over" in chosen["outputs"]:
        return None
    version = chosen["versions"].get("rft-rounds", "0.1")
    return (
        f"round {chosen['round']} was selected by version {version}, which recorded how "
        "many others were not, and not which"
    )


def order_words(row: dict[str, Any], by: str) -> str:
    """Write by what a row was ranked, and its value in brackets."""
    order = ORDERS[by]
    if order.column is None:
        return "in a random order"
    value = None if row[order.column] is None else order.shown(row[order.column])
    shown = "unknown" if value is None else f"{value:.3f}" if isinstance(value, float) else value
    return f"by {by} ({shown})"


def among(row: dict[str, Any]) -> str:
    """Write among which samples a row was ranked first, if not among all, and how it came out."""
    if row["turn"] is None:
        return ""
    group = "its problem"
    if row["stratum"] is not None:
        group = f"length stratum {row['stratum'] + 1} of {STRATA} (the first has the shortest)"
    by = ""
    if row["distance"] is not None:
        by = f" by diversity (at least {row['distance']:.3f} from each before it)"
    return f", number {row['turn'] + 1} of {group}{by}"


def passed_over(chosen: dict[str, Any], row: dict[str, Any]) -> str:
    """Say why a kept rollout was not selected, as `select` wrote it down."""
    reason, settings = row["left_out"], chosen["settings"]["select"]
    assert reason is not None, "kept, and neither selected nor passed over"
    sentences = {
        "max_length": (
            f"max_length: prompt, response and end are over sft.max_length="
            f"{chosen['settings']['max_length']}"
        ),
        "where": f"where: of it this does not hold: {settings.get('where')}",
        "empty": "empty: there is no text in it to learn",
        "noise not wanted": "noise not wanted: it is wrong, and select.noise is 0",
        "positive not wanted": "positive not wanted: it is correct, and select.noise is 1",
    }
    if row["place"] is not None:
        return beaten(chosen, row)
    return sentences.get(reason, f"{reason}: only correct and wrong answers have a role")


def beaten(chosen: dict[str, Any], row: dict[str, Any]) -> str:
    """Say what a ranked row was not good enough for: its problem's part, or the whole budget."""
    settings, share = chosen["settings"]["select"], row["share"]
    role = roles_of(settings.get("verdicts", "correct"))[row["verdict"]]
    order = order_words(row, settings[SETTING[role].removeprefix("select.")])
    where = f"place {row['place'] + 1} {order}{among(row)}"
    where += "" if share is None else ", shares first"
    took = f"{chosen['counts']['selected'].get(role, 0)} {role}"
    if row["left_out"] == "per_problem":
        return (
            f"per_problem: {settings['per_problem']} samples of its problem rank higher ({where})"
        )
    if share is None:
        return f"budget: {where}, while the budget took {took}{scarce(chosen, role, row['place'])}"
    full = f", which {share} better {'one fills' if share == 1 else 'ones fill'}" if share else ""
    return (
        f"budget: its problem's share of the {took} is {share}{full} "
        "(difficulty: proportional); what other problems could not fill of theirs went to better "
        f"ones ({where})"
    )


def scarce(chosen: dict[str, Any], role: str, place: int) -> str:
    """Say why fewer of a role were taken than were wanted, if the row is among the rest."""
    wanted, settings = chosen["counts"]["wanted"][role], chosen["settings"]["select"]
    if not wanted:
        return f", since {settings['noise']:g} of {settings['budget']} rounds to no {role}"
    if place >= wanted:
        return ""
    return f" of {wanted} wanted, to keep the share of noise ({chosen['counts']['shortfall']})"


def defect(run: Run, row: dict[str, Any], rules: dict[str, dict[str, Any]]) -> str:
    """Say what a rule found, with the value and the limit where it has them."""
    name = row["rejected_by"]
    known = inspect.signature(RULES[name]).parameters if name in RULES else {}
    limits = {key: parameter.default for key, parameter in known.items()} | rules.get(name, {})
    if name == "no_box":
        return (
            "its boxes only repeat the form: empty, or a placeholder"
            if row.get("num_placeholders")
            else "no box closes in the completion"
        )
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


def over(value: float, limit: float) -> str:
    """Write that a value is above its limit with as many digits as it takes to see that."""
    texts = (f"{value:.{digits}f}" for digits in range(2, 9))
    # The column is float32, and so is the comparison.
    enough = (text for text in texts if np.float32(text) > np.float32(limit))
    return f"{next(enough, value)} > {limit:g}"


def twin_of(run: Run, row: dict[str, Any], rules: list[str]) -> int | None:
    """Find the sample whose response a duplicate repeats: the first that reached the rule."""
    columns = ["rollout_id", "sample_index", "response"]
    later = rules[rules.index("duplicate") + 1 :] if "duplicate" in rules else []
    round, problem = row["round"], [row["problem_id"]]
    kept = pl.concat(run.batches("kept", round, columns, problem))
    rejected = pl.concat(run.batches("rejected", round, [*columns, "rejected_by"], problem))
    mine = rejected.filter(pl.col("rollout_id") == row["rollout_id"])["response"][0]
    reached = pl.concat([kept, rejected.filter(pl.col("rejected_by").is_in(later)).select(columns)])
    twins = reached.filter(pl.col("response") == mine).sort("sample_index")
    return None if twins.is_empty() else int(twins["sample_index"][0])
