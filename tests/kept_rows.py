"""Kept rollouts as a test wants them, and a selection of them that is checked in passing."""

import random
from typing import Any

import polars as pl

from rft.recipe import Select
from rft.runs.schemas import TABLES
from rft.runs.tables import conform, empty
from rft.selection.choice import Selection, select

PLAIN = {
    "problem_id": "p",
    "round": 1,
    "response": r"\boxed{4}",
    "num_response_tokens": 10,
    "answer": "4",
    "answer_class": 0,
    "verdict": "correct",
    "num_boxed": 1,
    "finish_reason": "stop",
    "num_tokens": 10,
    "redundancy": 0.0,
    "stats_origin": "engine",
}


def kept(*rows: dict[str, Any]) -> pl.DataFrame:
    """Make kept rollouts that differ from a plain correct one as the rows say."""
    full = [
        {**PLAIN, "rollout_id": f"r{index:04d}", "sample_index": index, **row}
        for index, row in enumerate(rows)
    ]
    return pl.DataFrame(full, schema=empty("kept").schema)


def many(correct: int, wrong: int, problems: int = 7) -> pl.DataFrame:
    """Make that many correct and wrong rollouts with statistics without pattern."""
    source = random.Random(correct * 1000 + wrong)
    return kept(
        *(
            {
                "problem_id": f"p{source.randrange(problems)}",
                "verdict": verdict,
                "mean_entropy": source.random(),
                "mean_branching": source.random(),
                "mean_nll": source.random(),
            }
            for verdict in ["correct"] * correct + ["wrong"] * wrong
        )
    )


def choice(**settings: Any) -> Select:
    return Select(**{"by": "entropy", "budget": 10, **settings})


def chosen(frame: pl.DataFrame, seed: int = 0, **more: Any) -> Selection:
    """Select, and check what holds for every selection."""
    names = {"pass_rates", "too_long"}
    given = {name: more.pop(name) for name in names & more.keys()}
    settings = choice(**more)
    made = select(frame, settings=settings, seed=seed, **given)
    rows = made.rows
    assert len(rows) + sum(made.dropped.values()) == len(frame)
    assert all(count > 0 for count in made.dropped.values())
    assert rows["rollout_id"].is_unique().all()
    assert set(rows["rollout_id"]) <= set(frame["rollout_id"])
    if settings.verdicts == "correct":
        assert set(rows.filter(role="positive")["verdict"]) <= {"correct"}
    assert set(rows.filter(role="noise")["verdict"]) <= {"wrong"}
    for role, by in (("positive", settings.by), ("noise", settings.noise_by)):
        part = rows.filter(role=role)
        assert part["rank"].to_list() == list(range(len(part)))
        assert set(part["ranked_by"]) <= {by}
    assert rows.columns == TABLES["selected"].names
    assert conform(rows, "selected").num_rows == len(rows)
    check_the_others(frame, made, settings)
    return made


def check_the_others(frame: pl.DataFrame, made: Selection, settings: Select) -> None:
    """Check that the selected and the passed over are the kept, and fill the places of a role."""
    others = made.passed_over
    assert others.columns == TABLES["passed_over"].names
    if frame["verdict"].null_count() == 0:
        assert conform(others, "passed_over").num_rows == len(others)
    assert sorted([*made.rows["rollout_id"], *others["rollout_id"]]) == sorted(frame["rollout_id"])
    reasons = dict(others["reason"].value_counts().iter_rows())
    assert reasons == made.dropped
    for role in ("positive", "noise"):
        places = others.filter(role=role)["place"].drop_nulls()
        taken = len(ids(made, role))
        ranked = len(places) + taken
        assert places.is_unique().all()
        assert set(places) <= set(range(ranked))
        beyond = others.filter(role=role, reason="budget")["place"]
        assert all(place >= taken for place in beyond)
    if settings.difficulty != "proportional":
        assert others["share"].null_count() == len(others)
    for name, asked in (("stratum", settings.strata), ("turn", settings.strata or settings.within)):
        ranked = [*made.rows[name], *others.filter(pl.col("place").is_not_null())[name]]
        assert all((value is None) != bool(asked) for value in ranked)


def ids(made: Selection, role: str = "positive") -> list[str]:
    return made.rows.filter(role=role).sort("rank")["rollout_id"].to_list()


def count(made: Selection) -> tuple[int, int]:
    return len(ids(made, "positive")), len(ids(made, "noise"))
