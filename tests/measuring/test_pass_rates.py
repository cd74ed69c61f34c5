"""Pass rates under a stopping rule: exact expectations over every way in which sampling can go."""

from itertools import product

import polars as pl
import pytest

from rft.measuring.pass_rates import Wave, pass_rates, pass_rates_in_waves, unbiased_rate

# Of an answer: (probability, correct, what it is accepted as; equal names are duplicates).
EASY = [(0.7, True, "own"), (0.3, False, None)]
HARD = [(0.08, True, "own"), (0.92, False, None)]
# Correct answers that a rule rejects, and two texts of which each counts once.
DUPLICATES = [(0.3, True, "a"), (0.15, True, "b"), (0.2, True, None), (0.35, False, None)]


def runs(answers, *, wave: int, target: int, most: int):
    """Enumerate every course that sampling can take, with its probability and its waves."""

    def go_on(probability, waves):
        accepted = frozenset().union(*(each.accepted for each in waves))
        drawn = sum(each.drawn for each in waves)
        if drawn >= most or (waves and len(accepted) >= target):
            yield probability, waves
            return
        size = min(wave, most - drawn)
        for outcome in product(answers, repeat=size):
            chance = probability
            names = set()
            for number, (p, _, name) in enumerate(outcome):
                chance *= p
                if name is not None:
                    names.add(f"{drawn + number}" if name == "own" else name)
            correct = sum(right for _, right, _ in outcome)
            yield from go_on(chance, [*waves, Wave(size, correct, frozenset(names))])

    yield from go_on(1.0, [])


@pytest.mark.parametrize("answers", [EASY, HARD, DUPLICATES])
@pytest.mark.parametrize(
    ("wave", "target", "most"), [(1, 1, 4), (1, 2, 5), (2, 1, 6), (2, 2, 6), (2, 2, 5), (3, 2, 6)]
)
def test_the_estimate_is_unbiased_to_the_last_bit(answers, wave, target, most):
    if len(answers) > 3 and most > 5:
        most = 4 if wave < 3 else 5
    truth = sum(p for p, right, _ in answers if right)
    total = mean = plain = square = first = 0.0
    for chance, waves in runs(answers, wave=wave, target=target, most=most):
        total += chance
        rate = unbiased_rate(waves, target)
        mean += chance * rate
        square += chance * rate**2
        first += chance * (waves[0].correct / waves[0].drawn) ** 2
        plain += chance * sum(w.correct for w in waves) / sum(w.drawn for w in waves)
    assert total == pytest.approx(1, abs=1e-12)
    assert mean == pytest.approx(truth, abs=1e-12)
    # It never varies more than the first wave alone, which is unbiased too.
    assert square <= first + 1e-12
    assert plain >= truth - 1e-12


def test_the_plain_share_is_too_high_which_is_why_it_is_corrected():
    plain = sum(
        chance * sum(w.correct for w in waves) / sum(w.drawn for w in waves)
        for chance, waves in runs(HARD, wave=1, target=1, most=5)
    )
    assert plain > 0.08 * 1.5


def test_a_problem_that_was_never_solved_has_rate_zero():
    assert unbiased_rate([Wave(4, 0, frozenset())] * 4, 4) == 0


def test_rates_of_a_table_go_by_waves():
    verdicts = ["wrong", "wrong", "correct", "wrong", "correct", "correct"]
    graded = pl.DataFrame(
        {
            "problem_id": ["p"] * 6 + ["q"] * 2,
            "sample_index": [0, 1, 2, 3, 4, 5, 0, 1],
            "rollout_id": [*"abcdefgh"],
            "verdict": [*verdicts, "correct", "correct"],
        }
    )
    names = {name: name for name in "cefgh"}
    rates = pass_rates_in_waves(graded, names, wave=2, target=3)
    # Two orders end at the same point (the last wave must reach 3): 0, 1/2 first, in either order.
    waves = [Wave(2, 0, frozenset()), Wave(2, 1, frozenset("c")), Wave(2, 2, frozenset("ef"))]
    assert rates == {"p": pytest.approx(unbiased_rate(waves, 3)), "q": 1.0}
    assert pass_rates([graded[:1], graded[1:]]) == {"p": 0.5, "q": 1.0}
