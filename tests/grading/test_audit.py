"""Pins the audit: a seeded sample, judged again by other ways, and what it says of it."""

import polars as pl

from rft.grading.audit import any_of, audit, disagreeing, in_words
from rft.grading.judgement import AnswerKey

# Verdict given, gold, completion, answer; then by numbers at random points, and by math-verify.
ROWS = [
    ("correct", "1/2", r"so \boxed{0.5}", "0.5", True, True),
    ("wrong", "1/2", r"so \boxed{0.5}", "0.5", True, True),
    ("correct", "3", r"so \boxed{4}", "4", False, False),
    ("wrong", "3", r"\boxed{} then \boxed{4}", "4", False, False),
    ("no_answer", "3", "the answer is 3", None, None, True),
    ("wrong", r"\text{red}", r"\boxed{\text{blue}}", r"\text{blue}", None, False),
]


def audited(number: int, seed: int = 0) -> pl.DataFrame:
    names = [f"r{index}" for index in range(len(ROWS))]
    graded = pl.DataFrame(
        {
            "rollout_id": names,
            "problem_id": names,
            "answer": [row[3] for row in ROWS],
            "verdict": [row[0] for row in ROWS],
            "verdict_path": ["exact"] * len(ROWS),
        }
    )
    completions = {name: row[2] for name, row in zip(names, ROWS, strict=True)}
    keys = {name: AnswerKey([row[1]]) for name, row in zip(names, ROWS, strict=True)}
    return audit(graded, completions, keys, number=number, seed=seed, deadline=60)


def test_each_way_gives_its_own_verdict_and_the_words_count_where_they_differ():
    rows = audited(len(ROWS))
    assert list(rows["probed"]) == [row[4] for row in ROWS]
    assert list(rows["plain"]) == [row[5] for row in ROWS]
    assert list(disagreeing(rows, "probed")["rollout_id"]) == ["r1", "r2"]
    assert list(disagreeing(rows, "plain")["rollout_id"]) == ["r1", "r2", "r4"]
    words = in_words(rows)
    assert words[0].startswith("audit, numbers at random points: 2 of 4 differ, 50.0% [")
    assert words[0].endswith("(2 it cannot tell)")
    assert words[1] == "  r1: gold 1/2, answer 0.5: wrong (exact), by this way right"
    assert words[3].startswith("audit, plain math-verify on the whole text: 3 of 6 differ, 50.0% [")


def test_the_sample_is_drawn_by_the_seed():
    names = [set(audited(3, seed)["rollout_id"]) for seed in (0, 0, 1, 2, 3)]
    assert names[0] == names[1]
    assert all(len(each) == 3 for each in names)
    assert len({frozenset(each) for each in names}) > 1


def test_one_match_decides_and_a_doubt_leaves_it_open():
    assert any_of([False, True, None]) is True
    assert any_of([False, None]) is None
    assert any_of([False, False]) is False
