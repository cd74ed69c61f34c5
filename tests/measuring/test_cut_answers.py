"""Answers cut at the limit are counted by difficulty, and too many of them are told."""

import polars as pl

from rft.measuring.cut_answers import BANDS, alarm, cut_at_limit


def table(rows: list[tuple[str, str, str]]) -> pl.DataFrame:
    names = dict.fromkeys(["problem_id", "verdict", "finish_reason"], pl.String)
    return pl.DataFrame(rows, schema=names, orient="row")


def problems(**difficulty: float | None) -> pl.DataFrame:
    return pl.DataFrame(
        {"problem_id": list(difficulty), "difficulty": list(difficulty.values())},
        schema={"problem_id": pl.String, "difficulty": pl.Float32},
    )


def test_groups_go_by_the_share_of_correct_answers_where_no_difficulty_is_given():
    rows = table(
        [
            *[("never", "wrong", "length")] * 2,
            *[("half", "wrong", "length"), ("half", "correct", "stop")],
            *[("most", "correct", "stop")] * 3 + [("most", "no_answer", "length")],
            ("always", "correct", "stop"),
        ]
    )
    found = cut_at_limit(rows, problems(never=None, half=None, most=None, always=None))
    assert [(each["group"], each["cut"], each["answers"]) for each in found] == [
        ("all", 4, 9),
        (BANDS[0], 2, 2),
        (BANDS[1], 1, 2),
        (BANDS[2], 1, 4),
        (BANDS[3], 0, 1),
    ]


def test_groups_go_by_the_difficulty_that_is_given():
    rows = table([("a", "wrong", "length"), ("b", "correct", "stop"), ("c", "wrong", "length")])
    found = cut_at_limit(rows, problems(a=5.0, b=1.0, c=None))
    assert {each["group"]: (each["cut"], each["answers"]) for each in found} == {
        "all": (2, 3),
        "difficulty 1": (0, 1),
        "difficulty 5": (1, 1),
        "no difficulty given": (1, 1),
    }


def test_many_difficulties_are_grouped_in_thirds():
    names = [f"p{number}" for number in range(30)]
    rows = table([(name, "wrong", "length" if name > "p2" else "stop") for name in names])
    found = cut_at_limit(rows, problems(**{name: float(i) for i, name in enumerate(names)}))
    assert len(found) == 4
    assert sum(each["answers"] for each in found[1:]) == 30


def test_no_answers_at_all_are_no_alarm():
    found = cut_at_limit(table([]), problems())
    assert found == [{"group": "all", "cut": 0, "answers": 0}]
    assert alarm(found, 8) is None


def test_the_alarm_is_above_five_percent_and_names_the_hard_ones():
    exactly = [{"group": "all", "cut": 5, "answers": 100}]
    assert alarm(exactly, 8) is None
    hard = {"group": "never solved", "cut": 3, "answers": 20}
    told = alarm([*exactly, hard, {"group": "always solved", "cut": 1, "answers": 1}], 8)
    assert told is not None
    assert "15.0% of the 20 answers to problems never solved were cut" in told
    assert "always" not in told
    assert "sample.max_tokens=8" in told
