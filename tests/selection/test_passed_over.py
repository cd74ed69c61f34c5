"""Pins why each kept row was not selected: the reason, its place and its problem's share.

The oracle goes down sorted lists row by row, whatever the code under test does.
"""

import math
import random
from collections import Counter
from itertools import product
from typing import Any, NamedTuple

import polars as pl
import pytest

from rft.errors import RFTError
from rft.recipe import Select
from rft.recipe.selection import ORDERS
from rft.runs.schemas import TABLES
from rft.runs.tables import conform, empty
from rft.seeds import derive
from rft.selection.choice import select

SEED = 7
READS = {"entropy": "mean_entropy", "branching": "mean_branching", "perplexity": "mean_nll"}
VERDICTS = ["correct"] * 12 + ["wrong"] * 8 + ["no_answer", "timeout", "unparseable"]

WINDOW = "0.25 <= pass_rate <= 0.75"


class Fate(NamedTuple):
    """What became of a row: where it is among the selected, or why it is not."""

    role: str | None
    rank: int | None
    reason: str | None
    place: int | None
    share: int | None
    stratum: int | None = None
    turn: int | None = None


def pool(rows: int, problems: int, seed: int) -> pl.DataFrame:
    """Make kept rollouts of every verdict; statistics tie, and some are missing or not finite."""
    source = random.Random(f"{rows} {problems} {seed}")
    values = [0.0, 0.25, 0.5, 0.75, 1.0, None, float("nan")]
    table = [
        {name: 1 for name in ("round", "num_boxed")}
        | {"num_response_tokens": source.randrange(12)}
        | {"rollout_id": f"r{source.randrange(10**9)}-{index}", "sample_index": index}
        | {"problem_id": f"p{source.randrange(problems)}", "verdict": source.choice(VERDICTS)}
        | {"response": "x", "finish_reason": "stop", "redundancy": 0.0, "stats_origin": "engine"}
        | {name: source.choice(values) for name in READS.values()}
        for index in range(rows)
    ]
    return pl.DataFrame(table, schema=empty("kept").schema)


def decide(
    rows: list[dict[str, Any]],
    choice: Select,
    rates: dict[str, float],
    too_long: set[str],
) -> dict[str, Fate] | None:
    """Decide on every row, one after the other; None where nothing can be taken."""
    fates: dict[str, Fate] = {}
    ranked: dict[str, list[dict[str, Any]]] = {"positive": [], "noise": []}
    for row in rows:
        role = {"correct": "positive", "wrong": "noise"}.get(row["verdict"])
        reason = unfit(row, role, choice, rates, too_long)
        if reason:
            fates[row["rollout_id"]] = Fate(role, None, reason, None, None)
        elif role:
            ranked[role].append(row)
    by = {"positive": choice.by, "noise": choice.noise_by}
    if any(each and not any(known(row, by[role]) for row in each) for role, each in ranked.items()):
        return None
    turns: dict[str, tuple[int | None, int | None]] = {}
    for role, each in ranked.items():
        ranked[role], numbers = in_turns(in_order(each, by[role]), by[role], choice)
        turns |= numbers
    capped = {row["rollout_id"] for each in ranked.values() for row in over_the_cap(each, choice)}
    free = {
        role: [row for row in each if row["rollout_id"] not in capped]
        for role, each in ranked.items()
    }
    take = budget_of(choice, len(free["positive"]), len(free["noise"]))
    if take is None:
        return None
    share: dict[str, int] = {}
    if choice.difficulty == "proportional":
        share = shares_of({row["problem_id"] for row in free["positive"]}, rates, take["positive"])
        ranked["positive"] = shares_first(ranked["positive"], share, capped)
    for role, each in ranked.items():
        own = share if role == "positive" else {}
        fates |= go_down(role, each, take[role], own, capped)
    for name, (stratum, turn) in turns.items():
        fates[name] = fates[name]._replace(stratum=stratum, turn=turn)
    return fates


def go_down(
    role: str, ranked: list[dict[str, Any]], take: int, share: dict[str, int], capped: set[str]
) -> dict[str, Fate]:
    fates = {}
    taken = 0
    for place, row in enumerate(ranked):
        name, own = row["rollout_id"], share.get(row["problem_id"])
        if name in capped:
            fates[name] = Fate(role, None, "per_problem", place, own)
        elif taken < take:
            fates[name], taken = Fate(role, taken, None, None, None), taken + 1
        else:
            fates[name] = Fate(role, None, "budget", place, own)
    assert taken == take
    return fates


def unfit(
    row: dict[str, Any],
    role: str | None,
    choice: Select,
    rates: dict[str, float],
    too_long: set[str],
) -> str | None:
    if role is None:
        return f"verdict {row['verdict']}"
    if row["rollout_id"] in too_long:
        return "max_length"
    if choice.where == WINDOW and not 0.25 <= rates[row["problem_id"]] <= 0.75:
        return "where"
    if choice.noise == {"positive": 1, "noise": 0}[role]:
        return f"{role} not wanted"
    return None


def known(row: dict[str, Any], by: str) -> bool:
    value = 0.0 if by == "random" else row[READS[by]]
    return value is not None and math.isfinite(value)


def in_order(rows: list[dict[str, Any]], by: str) -> list[dict[str, Any]]:
    if by == "random":
        return sorted(rows, key=lambda row: derive(SEED, "rank", row["rollout_id"]))
    value = {row["rollout_id"]: -row[READS[by]] if known(row, by) else math.inf for row in rows}
    return sorted(rows, key=lambda row: (value[row["rollout_id"]], row["rollout_id"]))


def in_turns(
    ranked: list[dict[str, Any]], by: str, choice: Select
) -> tuple[list[dict[str, Any]], dict[str, tuple[int | None, int | None]]]:
    """Count down each group by itself; also give each row's stratum and turn."""
    if choice.strata is None and choice.within is None:
        return ranked, {}
    tenths: dict[str, int] = {}
    if choice.strata:
        by_length = sorted(ranked, key=lambda row: (row["num_response_tokens"], row["rollout_id"]))
        for tenth in range(10):
            first, end = (math.ceil(part * len(ranked) / 10) for part in (tenth, tenth + 1))
            tenths |= {row["rollout_id"]: tenth for row in by_length[first:end]}
    seen: Counter[Any] = Counter()
    turns: dict[str, tuple[int | None, int | None]] = {}
    for row in ranked:
        stratum = tenths.get(row["rollout_id"])
        group = row["problem_id"] if stratum is None else stratum
        turns[row["rollout_id"]] = (stratum, seen[group])
        seen[group] += 1
    # Python sorts stably: within a turn the order stays.
    order = sorted(ranked, key=lambda row: (not known(row, by), turns[row["rollout_id"]][1]))
    return order, turns


def over_the_cap(ranked: list[dict[str, Any]], choice: Select) -> list[dict[str, Any]]:
    seen: Counter[str] = Counter()
    over = []
    for row in ranked:
        seen[row["problem_id"]] += 1
        if choice.per_problem is not None and seen[row["problem_id"]] > choice.per_problem:
            over.append(row)
    return over


def budget_of(choice: Select, positives: int, wrongs: int) -> dict[str, int] | None:
    """Take positives one after the other, then noise while its share is not above the asked."""
    if not positives and choice.noise < 1:
        return None

    def most_noise(total: int) -> int:
        return math.floor(round(choice.noise * total, 9) + 0.5)

    positive = noise = 0
    while positive < min(positives, choice.budget - most_noise(choice.budget)):
        positive += 1
    while noise < min(wrongs, most_noise(choice.budget)) and noise + 1 <= most_noise(
        positive + noise + 1
    ):
        noise += 1
    return {"positive": positive, "noise": noise} if positive + noise else None


def shares_of(problems: set[str], rates: dict[str, float], budget: int) -> dict[str, int]:
    """Give seat after seat to whoever is furthest below its exact part, the first by name."""
    fails = {name: 1 - rates[name] for name in sorted(problems)}
    total = sum(fails.values())
    exact = {n: budget * f / total if total else budget / len(fails) for n, f in fails.items()}
    share = {name: math.floor(part) for name, part in exact.items()}
    waiting = dict(exact)
    while sum(share.values()) < budget:
        next_one = max(waiting, key=lambda name: waiting[name] - math.floor(waiting[name]))
        share[next_one] += 1
        del waiting[next_one]
    return share


def shares_first(
    ranked: list[dict[str, Any]], share: dict[str, int], capped: set[str]
) -> list[dict[str, Any]]:
    room = dict(share)
    first, rest = [], []
    for row in ranked:
        if row["rollout_id"] not in capped and room[row["problem_id"]]:
            room[row["problem_id"]] -= 1
            first.append(row)
        else:
            rest.append(row)
    return first + rest


def fates_of(kept: pl.DataFrame, choice: Select, **given: Any) -> dict[str, Fate] | None:
    """Select, and give the fate of each row; None where it is refused."""
    try:
        made = select(kept, settings=choice, seed=SEED, **given)
    except RFTError:
        return None
    assert conform(made.passed_over, "passed_over").num_rows == len(made.passed_over)
    assert len(made.rows) + len(made.passed_over) == len(kept)
    assert made.dropped == dict(Counter(made.passed_over["reason"]))
    fates = {
        row["rollout_id"]: Fate(
            row["role"], row["rank"], None, None, None, row["stratum"], row["turn"]
        )
        for row in made.rows.to_dicts()
    }
    for row in made.passed_over.to_dicts():
        assert row["rollout_id"] not in fates, "selected and passed over"
        told = (row["role"], None, row["reason"], row["place"], row["share"])
        fates[row["rollout_id"]] = Fate(*told, row["stratum"], row["turn"])
    return fates


@pytest.mark.parametrize("by", ORDERS)
@pytest.mark.parametrize("looks", [{}, {"where": WINDOW}, {"difficulty": "proportional"}], ids=str)
def test_every_kept_row_is_selected_or_passed_over_as_one_would_decide_by_hand(by, looks):
    source = random.Random(f"{by} {looks}")
    seen: Counter[str] = Counter()
    refused = 0
    sizes = [(6, 3), (40, 5), (150, 12)]
    for (rows, problems), cap, noise in product(sizes, [None, 1, 3], [0.0, 0.05, 0.3, 0.5, 1.0]):
        kept = pool(rows, problems, source.randrange(100))
        choice = Select(
            by=by,
            budget=source.choice([1, 2, 6, 17, 60, 1000]),
            noise=noise,
            noise_by=source.choice(list(ORDERS)),
            per_problem=cap,
            **looks,
            **source.choice([{}, {"strata": "length"}, {"within": "problem"}]),
        )
        names = sorted(set(kept["problem_id"]))
        rates = {name: source.randrange(9) / 8 for name in names}
        too_long = set(source.sample(kept["rollout_id"].to_list(), rows // 10))
        wanted = decide(kept.to_dicts(), choice, rates, too_long)
        given = {"pass_rates": rates, "too_long": frozenset(too_long)}
        assert fates_of(kept, choice, **given) == wanted, choice
        refused += wanted is None
        seen.update(fate.reason or fate.role for fate in (wanted or {}).values())
    assert refused < 20
    assert {"positive", "noise", "budget", "per_problem", "max_length"} <= seen.keys()
    assert {"verdict timeout", "noise not wanted", "positive not wanted"} <= seen.keys()
    assert ("where" in seen) == ("where" in looks)


def test_the_passed_over_are_listed_by_role_and_nearness():
    made = select(pool(60, 5, 1), settings=Select(by="entropy", budget=8, noise=0.25), seed=SEED)
    rows = made.passed_over.select("role", "place").rows()
    assert rows == sorted(rows, key=lambda row: (row[0] is None, row[0] == "noise", row[1] or 0))
    assert made.passed_over.columns == TABLES["passed_over"].names


def test_where_everything_is_taken_nothing_is_passed_over():
    kept = pool(30, 3, 2).filter(pl.col("verdict") == "correct")
    made = select(kept, settings=Select(by="random", budget=1000), seed=SEED)
    assert made.passed_over.is_empty()
    assert made.dropped == {}
    assert conform(made.passed_over, "passed_over").num_rows == 0
