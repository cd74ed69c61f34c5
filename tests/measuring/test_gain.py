"""Pins how a gain is parted into format and skill: by hand, exactly, and with honest intervals.

Run: python -m pytest tests/measuring/test_gain.py
"""

import numpy as np
import polars as pl
import pytest

from rft.measuring.gain import boxed_share, gain_of, in_words


def evaluated(problems: list[tuple[int, int, int]]) -> pl.DataFrame:
    """Make answers of problems: so many right, so many wrong, so many without a box."""
    rows = [
        {"benchmark": "b", "problem_id": f"p{index:04d}", "answer": answer, "verdict": verdict}
        for index, counts in enumerate(problems)
        for (answer, verdict), count in zip(
            [("7", "correct"), ("8", "wrong"), (None, "no_answer")], counts, strict=True
        )
        for _ in range(count)
    ]
    return pl.DataFrame(rows, schema_overrides={"answer": pl.String})


def test_more_boxes_of_the_same_answers_are_format_alone() -> None:
    # Half of the answers in a box are right, before and after; only the boxes become more.
    before, after = evaluated([(2, 2, 4)] * 10), evaluated([(4, 4, 0)] * 10)
    gain = gain_of(before, after, seed=0)
    assert gain is not None
    assert gain.whole.value == pytest.approx(0.25)
    assert gain.form.value == pytest.approx(0.25)
    assert gain.skill.value == pytest.approx(0)


def test_better_answers_in_as_many_boxes_are_skill_alone() -> None:
    before, after = evaluated([(2, 2, 4)] * 10), evaluated([(4, 0, 4)] * 10)
    gain = gain_of(before, after, seed=0)
    assert gain is not None
    assert gain.form.value == pytest.approx(0)
    assert gain.skill.value == pytest.approx(0.25)


def test_the_parts_add_up_and_are_those_of_the_formula() -> None:
    before = evaluated([(1, 2, 5), (4, 4, 0), (0, 1, 7)])
    after = evaluated([(3, 4, 1), (6, 1, 1), (2, 4, 2)])
    gain = gain_of(before, after, seed=0)
    assert gain is not None
    a0 = (5 / 24) / (12 / 24)
    assert gain.form.value == pytest.approx((20 / 24 - 12 / 24) * a0)
    assert gain.whole.value == pytest.approx(11 / 24 - 5 / 24)
    assert gain.form.value + gain.skill.value == pytest.approx(gain.whole.value)
    assert boxed_share(before).tolist() == pytest.approx([3 / 8, 1, 1 / 8])


def test_a_model_that_boxed_nothing_leaves_the_parts_unknown() -> None:
    assert gain_of(evaluated([(0, 0, 4)]), evaluated([(2, 2, 0)]), seed=0) is None


def test_the_intervals_cover_what_is_true() -> None:
    source = np.random.default_rng(0)
    covered = np.zeros(2)
    n, problems, runs = 8, 60, 60
    for run in range(runs):
        rate = source.beta(1, 2, size=problems)
        # In truth 50% and then 90% are boxed, whatever the problem, and nobody becomes better.
        frames = []
        for boxed in (0.5, 0.9):
            counts = [source.multinomial(n, [boxed * r, boxed * (1 - r), 1 - boxed]) for r in rate]
            frames.append(evaluated([tuple(map(int, each)) for each in counts]))
        gain = gain_of(*frames, seed=run)
        assert gain is not None
        truths = (0.4 / 3, 0.0)
        for index, (part, truth) in enumerate(zip((gain.form, gain.skill), truths, strict=True)):
            covered[index] += part.low <= truth <= part.high
    assert (covered / runs >= 0.88).all(), covered / runs


def test_a_sentence_says_it() -> None:
    gain = gain_of(evaluated([(2, 2, 4)] * 10), evaluated([(4, 4, 0)] * 10), seed=0)
    assert gain is not None
    words = in_words(gain)
    assert words.startswith("of +25.0 points of Pass@1, +25.0 [+25.0, +25.0] are format")
    assert words.endswith("+0.0 [+0.0, +0.0] are skill")
