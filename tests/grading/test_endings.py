"""How answers end is counted as a hand counts it, however the rows come."""

from collections import Counter

import polars as pl

from rft.grading.endings import endings

ANSWERS = [
    # What was written, how much of it is the response, whether it is boxed, how it ended, tokens.
    ("so \\boxed{7} and more", 12, "7", "stop", 9),
    ("so \\boxed{7} \n", 12, "7", "stop", 5),
    ("so \\boxed{7} et \u00e9t\u00e9", 12, "7", "length", 20),
    ("no box at", 9, None, "length", 20),
    ("", 0, None, "stop", None),
]


def frames(answers) -> tuple[pl.DataFrame, pl.DataFrame]:
    rows = [
        {
            "rollout_id": f"r{number}",
            "completion": text,
            "response": text[:upto],
            "answer": answer,
            "finish_reason": finish,
            "num_tokens": tokens,
        }
        for number, (text, upto, answer, finish, tokens) in enumerate(answers)
    ]
    kinds = dict.fromkeys(["rollout_id", "completion", "response", "answer"], pl.String)
    whole = pl.DataFrame(rows, {**kinds, "finish_reason": pl.String, "num_tokens": pl.Int32})
    rollouts = whole.select("rollout_id", "completion").reverse()
    return rollouts, whole.drop("completion")


def test_text_after_the_box_and_cuts_are_counted_and_add_up():
    wanted = {"answers": 5, "boxed": 3, "after": 2, "cut": 2, "tokens": 54, "known": 4}
    assert endings(*frames(ANSWERS)) == wanted
    some = [endings(*frames(part)) for part in (ANSWERS[:2], ANSWERS[2:3], ANSWERS[3:])]
    assert sum(some, Counter()) == wanted


def test_no_answers_come_to_nothing():
    assert set(endings(*frames([])).values()) == {0}
