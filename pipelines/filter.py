"""Apply the recipe's rules in order, each to what the ones before it left.

Reads graded; writes kept and rejected, the latter with the name of the rule.
"""

import inspect
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from filters import RULES
from filters.grouped import Grouped, Rule, columns_of
from rft.errors import RFTError, shown, suggestion
from rft.parts.faults import fault_in, told_in_one_line
from rft.parts.in_use import is_own
from rft.recipe.parts import contents
from rft.runs import tables
from rft.runs.folder import Run
from rft.runs.schemas import TABLES
from rft.runs.stages import Job, Stage

# In the place of a rule's number: no rule rejects it.
KEPT = -1


def settings(run: Run, _round: int) -> dict[str, Any]:
    """List the rules in order: a mapping alone would lose it."""
    rules = run.recipe.filter
    return {
        "filter": [[name, parameters] for name, parameters in rules.items()],
        **contents(run.recipe.parts, "rules", rules),
    }


def inputs(run: Run, round: int) -> dict[str, str]:
    """Give the digest of the graded rollouts."""
    return {"graded": run.output_digest("grade", round, "graded")}


def work(job: Job) -> None:
    """Sift the rollouts of a round, some at a time."""
    run, made = job.run, made_of(job.run.recipe.filter)
    names = [name for name, _ in made]
    looked_at = {"rollout_id"}.union(*(columns_of(rule) for _, rule in made))
    narrow = [column for column in TABLES["graded"].names if column in looked_at]
    codes = found(run.batches("graded", job.round, narrow), made)
    reasons, accepted, tokens, place = Counter[str](), 0, 0, 0
    with job.writer("kept") as kept, job.writer("rejected") as rejected:
        for batch in run.batches("graded", job.round):
            left, gone = split(batch, codes[place : place + len(batch)], names)
            kept.add(left)
            rejected.add(gone)
            reasons.update(gone["rejected_by"])
            accepted += len(left.filter(pl.col("verdict") == "correct"))
            tokens += int(batch["num_tokens"].sum() or 0)
            place += len(batch)
    assert kept.rows + rejected.rows == len(codes) == place, "rollouts in != kept + rejected"
    job.counts |= {"in": place, "kept": kept.rows, "rejected": dict(sorted(reasons.items()))}
    job.counts["accepted"] = accepted
    job.notes["tokens_per_accepted"] = round(tokens / accepted, 1) if tokens and accepted else None
    job.say(f"  {funnel_line(job.counts)}")


def made_of(rules: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, Rule]]:
    """Make the rules of a recipe, in order."""
    check_rules(rules)
    return [(name, RULES[name](**parameters)) for name, parameters in rules.items()]


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
        try_rule(name, parameters)


def try_rule(name: str, parameters: Mapping[str, Any]) -> None:
    """Refuse parameters with which a rule cannot be made, and what is made of them if it is none.

    What it looks at is held against graded rows where these have all of it: anyone's rows, which
    have columns of their own, are there when they are sifted.
    """
    with told_in_one_line():
        try:
            rule = RULES[name](**parameters)
        except ValueError as error:  # how a rule refuses a parameter
            place = (fault_in(error) or "").partition(": ")[0]
            raise RFTError(f"filter.{name}: {error}{f' ({place})' * bool(place)}") from None
    if not isinstance(rule, Rule):
        kind = type(rule).__name__
        raise RFTError(f"filter.{name}: it gives {kind}; a rule gives a polars expression")
    if is_own("rules", name) and set(columns_of(rule)) <= set(TABLES["graded"].names):
        with told_in_one_line(f"filter.{name}"):
            given = defects(rule, tables.empty("graded")).dtype
        if given != pl.Boolean:
            raise RFTError(f"filter.{name}: it gives {given}, no true or false; see `rft check`")


def defects(rule: Rule, rows: pl.DataFrame) -> pl.Series:
    """Compute a rule over rows that are all there."""
    return rule.find(rows) if isinstance(rule, Grouped) else rows.select(defect=rule)["defect"]


def check_columns(rules: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse rules that look at what the graded rows of a run do not have."""
    known = TABLES["graded"].names
    for name, parameters in rules.items():
        for column in columns_of(RULES[name](**parameters)):
            if column not in known:
                advice = suggestion(column, known, otherwise="docs/reference/tables.md lists them")
                raise RFTError(
                    f"filter.{name}: it looks at the column {column!r}, which graded rows do not "
                    f"have; {advice}"
                )


def apply_rules(
    graded: pl.DataFrame, rules: Mapping[str, Mapping[str, Any]]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split graded rollouts into kept and rejected, both in the order they came in."""
    made = made_of(rules)
    return split(graded, found([graded], made), [name for name, _ in made])


def split(
    rows: pl.DataFrame, codes: pl.Series, names: Sequence[str]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split rows by what was found in them; the rejected have the name of their rule."""
    kept = codes == KEPT
    reasons = codes.filter(~kept)
    named = reasons.replace_strict(
        dict(enumerate(names)), default=None, return_dtype=pl.String
    ).alias("rejected_by")
    return rows.filter(kept), rows.filter(~kept).with_columns(named)


def found(batches: Iterable[pl.DataFrame], made: Sequence[tuple[str, Rule]]) -> pl.Series:
    """Give for each rollout the place of the rule that rejects it, or `KEPT`.

    Each rule sees the survivors of the ones before it, so a repeat of a rejected rollout survives.
    What a rule cannot tell (null) is rejected. Of all rows at once there are only numbers here:
    which rule on single rows rejects first, and what a rule that compares rows needs of each.
    """
    parts = [_looked_at(batch, made) for batch in batches]
    if not parts:
        return pl.Series(dtype=pl.Int16)
    rows = pl.concat(parts)
    codes = rows["first"].clone()
    for place, (name, rule) in enumerate(made):
        if isinstance(rule, Grouped):
            alive = (codes == KEPT) | (codes > place)
            own = {column: f"{name} {column}" for column in rule.narrow}
            left = rows.filter(alive).select(**{each: pl.col(own[each]) for each in own})
            with told_in_one_line(whose([(name, rule)])):
                defect = left.select(defect=rule.defect.fill_null(True))["defect"]
            gone = pl.int_range(len(codes), eager=True).filter(alive).filter(defect)
            codes = codes.scatter(gone, place)
    return codes


def _looked_at(batch: pl.DataFrame, made: Sequence[tuple[str, Rule]]) -> pl.DataFrame:
    """Give for each row the first rule on single rows that rejects it, and what others need."""
    first = pl.lit(KEPT, pl.Int16)
    narrow: dict[str, pl.Expr] = {}
    for place, (name, rule) in reversed([*enumerate(made)]):
        missing = [column for column in columns_of(rule) if column not in batch.columns]
        if missing:
            raise RFTError(
                f"filter.{name}: the rows have no column {missing[0]!r}, which the rule looks at; "
                "`rft grade` makes it"
            )
        if isinstance(rule, Grouped):
            narrow |= {f"{name} {column}": each for column, each in rule.narrow.items()}
        else:
            first = pl.when(rule.fill_null(True)).then(pl.lit(place, pl.Int16)).otherwise(first)
    with told_in_one_line(whose(made)):
        number = batch.select(first=first) if batch.width else pl.DataFrame()
    if number.height != batch.height:  # a literal alone has one row
        number = pl.select(first=pl.repeat(KEPT, batch.height, dtype=pl.Int16))
    return number.hstack(batch.select(**narrow)) if narrow else number


def whose(made: Sequence[tuple[str, Rule]]) -> str:
    """Name the rules of parts, which alone can be at fault where rules are computed."""
    own = [name for name, _ in made if is_own("rules", name)]
    return f"filter: {' or '.join(own)}" if own else ""


def by_rule(rejected: pl.DataFrame) -> dict[str, int]:
    """Count the rejected rows of each rule."""
    return dict(sorted(rejected["rejected_by"].value_counts().iter_rows()))


def funnel_line(counts: Mapping[str, Any]) -> str:
    """Write a stage's counts as a sum that can be checked."""
    reasons = ", ".join(f"{count} {name}" for name, count in counts["rejected"].items())
    gone = sum(counts["rejected"].values())
    return f"{counts['in']} graded = {counts['kept']} kept + {gone} rejected ({reasons or 'none'})"


STAGE = Stage("filter", settings, inputs, work)
