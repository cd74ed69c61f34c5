"""Pins the splits: a problem that stands twice, or in two splits, is set aside with a reason.

A dev split can be drawn out of the training problems.
"""

import json
import random
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipelines.perform import STAGES
from pipelines.prepare import hold_out, mark_repeated, refuse_empty
from rft.errors import RFTError
from rft.processes.stopping import Stop
from rft.recipe import Recipe
from rft.recipe.loading import load_recipe
from rft.runs import stages
from rft.runs.folder import Run, save_recipe
from rft.runs.stages import Job
from rft.runs.tables import empty

# Splits -------------------------------------------------------------------------------------------


def row(name: str, split: str, benchmark: str | None = None, reason: str | None = None) -> dict:
    return {
        "problem_id": name,
        "question": name,
        "gold": ["1"],
        "source": "s",
        "split": split,
        "benchmark": benchmark or split,
        "difficulty": None,
        "extra": None,
        "reason": reason,
    }


def reasons(*rows: dict[str, Any]) -> list[str | None]:
    mark_repeated(list(rows))
    return [each["reason"] for each in rows]


def test_a_problem_twice_in_a_split_counts_once():
    for split in ("train", "dev", "test"):
        assert reasons(row("p", split), row("q", split), row("p", split), row("p", split)) == [
            None,
            None,
            f"repeated in {split}",
            f"repeated in {split}",
        ]


def test_a_leak_leaves_the_problem_where_it_is_measured():
    given = reasons(row("p", "test"), row("p", "dev"), row("q", "dev"), row("p", "train"),
                    row("q", "train"), row("r", "train"))  # fmt: skip
    assert given == [None, "also in test", None, "also in test", "also in dev", None]


def test_two_benchmarks_may_share_a_problem_but_two_training_sources_may_not():
    assert reasons(row("p", "test", "a"), row("p", "test", "b")) == [None, None]
    assert reasons(row("p", "train", "a"), row("p", "train", "b")) == [None, "repeated in train"]


def test_a_problem_twice_in_the_second_benchmark_counts_once_there():
    given = reasons(row("p", "test", "a"), row("p", "test", "b"), row("p", "test", "b"))
    assert given == [None, None, "repeated in test"]


def test_a_reason_that_is_there_already_stays():
    assert reasons(row("", "test", reason="empty question"), row("", "test", reason="worse")) == [
        "empty question",
        "worse",
    ]


def test_what_cannot_be_used_makes_nothing_repeated():
    for split in ("train", "dev", "test"):
        given = reasons(row("p", split, reason="no gold"), row("p", split), row("p", split))
        assert given == ["no gold", None, f"repeated in {split}"]
    # Nor does a problem that is measured nowhere keep another from being learnt from.
    assert reasons(row("p", "test", reason="no gold"), row("p", "train")) == ["no gold", None]


@pytest.mark.parametrize("gold", [None, "\\frac{", "8" * 10_001])
def test_the_first_copy_that_can_be_used_is_the_problem(tmp_path: Path, gold: str | None):
    question = "How many birds sit there on the long wire?"
    given = [(question, gold), (question, "8"), (f"{question} Say.", "9"), ("x" * 4000, "1")]
    rows = [{"question": asked, "gold": known} for asked, known in given]
    source = tmp_path / "train.jsonl"
    source.write_text("".join(json.dumps(each) + "\n" for each in rows))
    settings = [f"prepare.train={{source: {source}}}", "prepare.near_duplicates=0.7"]
    run = Run(tmp_path / "run", load_recipe("smoke", settings))
    run.path.mkdir()
    save_recipe(run)
    stages.perform(Job(run, STAGES["prepare"], 0, Stop(), print))
    kept = run.read("problems", 0).filter(split="train")
    assert kept["gold"].to_list() == [["8"]]
    aside = run.read("set_aside", 0)["reason"].to_list()
    assert aside[1:] == ["nearly repeated in train", "prompt too long"]
    assert "gold" in aside[0]


def test_after_marking_no_usable_problem_is_there_twice():
    for seed in range(50):
        source = random.Random(seed)
        rows = sorted(
            (
                row(
                    source.choice("pqrst"),
                    split,
                    f"{split}{source.randrange(3)}",
                    source.choice([None, None, "no gold"]),
                )
                for split in ("test", "dev", "train")
                for _ in range(8)
            ),
            key=lambda each: ("test", "dev", "train").index(each["split"]),
        )
        usable = {each["problem_id"] for each in rows if each["reason"] is None}
        mark_repeated(rows)
        left = [each for each in rows if each["reason"] is None]
        places = [(each["split"], each["benchmark"], each["problem_id"]) for each in left]
        assert len(set(places)) == len(places)
        homes: dict[str, set[str]] = {}
        for each in left:
            homes.setdefault(each["problem_id"], set()).add(each["split"])
        assert all(len(splits) == 1 for splits in homes.values()), "a leak"
        assert set(homes) == usable, "a problem is lost altogether"
        train = [each["problem_id"] for each in left if each["split"] == "train"]
        assert len(set(train)) == len(train)


# A dev split out of train -------------------------------------------------------------------------


def with_holdout(count: int, seed: int = 0) -> Recipe:
    return load_recipe("smoke", [f"prepare.dev={{holdout: {count}}}", f"seed={seed}"])


def held_out(rows: list[dict[str, Any]], recipe: Recipe) -> set[str]:
    copies = [dict(each) for each in rows]
    hold_out(copies, recipe)
    for each in copies:
        assert (each["split"] == "dev") == (each["benchmark"] == "dev")
    return {each["problem_id"] for each in copies if each["split"] == "dev"}


TRAIN = [row(f"p{index}", "train", "mine") for index in range(20)]


def test_a_holdout_is_drawn_by_seed_whatever_the_order_of_the_rows():
    chosen = held_out(TRAIN, with_holdout(5))
    assert len(chosen) == 5
    for seed in range(5):
        shuffled = TRAIN.copy()
        random.Random(seed).shuffle(shuffled)
        assert held_out(shuffled, with_holdout(5)) == chosen
    assert held_out(TRAIN, with_holdout(5, seed=1)) != chosen


def test_a_larger_holdout_holds_the_smaller_one():
    assert held_out(TRAIN, with_holdout(3)) < held_out(TRAIN, with_holdout(9))


def test_a_holdout_takes_usable_training_problems_only():
    rows = [*(each | {"reason": "prompt too long"} for each in TRAIN[:10]), *TRAIN[10:15]]
    rows += [row("t", "test")]
    chosen = held_out(rows, with_holdout(4))
    assert len(chosen) == 4
    assert chosen < {f"p{index}" for index in range(10, 15)}


def test_a_holdout_leaves_something_to_train_on():
    assert len(held_out(TRAIN, with_holdout(19))) == 19
    for count in (20, 21):
        with pytest.raises(RFTError, match=f"{count} of 20 usable training problems"):
            hold_out([dict(each) for each in TRAIN], with_holdout(count))


def test_without_a_holdout_nothing_moves():
    rows = [dict(each) for each in TRAIN]
    hold_out(rows, load_recipe("smoke"))
    assert rows == TRAIN


def test_a_split_without_a_usable_problem_is_refused_with_the_reasons():
    frame = pl.DataFrame(
        [
            row("p", "train"),
            row("q", "test", reason="prompt too long"),
            row("", "test", reason="x"),
        ],
        schema=empty("set_aside").schema,
    )
    usable = frame.filter(pl.col("reason").is_null())
    aside = frame.filter(pl.col("reason").is_not_null())
    with pytest.raises(RFTError, match=r"prepare.test: no usable .* \(1: prompt too long; 1: x\)"):
        refuse_empty(load_recipe("smoke", ["gate=null", "prepare.dev=null"]), usable, aside)
