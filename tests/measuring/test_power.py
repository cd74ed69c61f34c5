"""Pins what is said beforehand of a gate against models that really are worse, measured anew."""

import numpy as np
import pytest

from rft.measuring.adoption import compare
from rft.measuring.pass_at_k import pass_at_k
from rft.measuring.power import fallen, power, rates_of, told_power
from rft.recipe import Gate
from tests.gate_simulation import ANSWERS, PROBLEMS, SHAPES, measured

BOTH = Gate(metric=("pass@1", "pass@4"))


def counts(source: np.random.Generator, shape: str, n: int = ANSWERS) -> np.ndarray:
    return source.binomial(n, source.beta(*SHAPES[shape], PROBLEMS))


def by_brute_force(gate: Gate, shape: str, metric: str, loss: float, trials: int) -> float:
    """Measure a base and a worse model again and again, and let the gate decide."""
    source, k, refused = np.random.default_rng(9), gate.metrics[metric], 0
    for trial in range(trials):
        rates = source.beta(*SHAPES[shape], (1, PROBLEMS))
        worse = fallen(rates, k, loss)
        lost = (1 - (1 - rates) ** k).mean() - (1 - (1 - worse) ** k).mean()
        assert lost == pytest.approx(loss, abs=1e-3)
        base, new = measured(source, rates[0], gate), measured(source, worse[0], gate)
        refused += any(each.refuses for each in compare({0: base}, new, gate, seed=trial))
    return refused / trials


@pytest.mark.parametrize(
    ("gate", "shape", "metric", "loss"),
    [
        (Gate(), "quickstart", "pass@1", 0.05),
        (BOTH, "uniform", "pass@1", 0.05),
        (BOTH, "split", "pass@4", 0.02),
    ],
)
def test_the_power_told_beforehand_is_that_of_the_gate(gate, shape, metric, loss):
    source, trials = np.random.default_rng(2), 200
    told = [
        power(counts(source, shape), ANSWERS, gate, seed=seed, losses=(loss,))[metric][loss]
        for seed in range(4)
    ]
    share = by_brute_force(gate, shape, metric, loss, trials)
    error = (share * (1 - share) / trials) ** 0.5
    assert float(np.mean(told)) == pytest.approx(share, abs=3 * error)


def test_more_answers_and_larger_losses_are_seen_more_often():
    source = np.random.default_rng(0)
    few = power(counts(source, "quickstart"), ANSWERS, Gate(), seed=0)["pass@1"]
    many = power(counts(source, "quickstart", 16), 16, Gate(), seed=0)["pass@1"]
    assert few[0.02] < few[0.05] < few[0.10]
    assert all(many[loss] > few[loss] for loss in few)


def test_rates_are_as_undecided_as_the_problems_are():
    source = np.random.default_rng(0)
    drawn = [rates_of(counts(source, "quickstart"), ANSWERS, source) for _ in range(24)]
    undecided = np.mean([(rates * (1 - rates)).mean() for rates in drawn])
    # Beta(0.6, 1.4): a b / ((a + b) (a + b + 1)).
    assert undecided == pytest.approx(0.6 * 1.4 / (2 * 3), abs=0.01)
    one_each = rates_of(source.binomial(1, 0.3, PROBLEMS), 1, source)
    assert one_each.std() < 0.1


def test_a_base_at_the_floor_has_nothing_to_lose_and_one_at_the_ceiling_has():
    none = power(np.zeros(PROBLEMS, int), ANSWERS, Gate(), seed=0)
    assert none == {"pass@1": {}}
    (line,) = told_power(none, PROBLEMS, ANSWERS)
    assert line == "dev 100 x 4, Pass@1: no points to lose here"
    assert power(np.full(PROBLEMS, 4), ANSWERS, Gate(), seed=0)["pass@1"][0.10] > 0.9


def test_the_sentence_names_problems_answers_metric_losses_and_shares():
    (line,) = told_power({"pass@1": {0.02: 0.157, 0.05: 0.55}}, 100, 4)
    wanted = "dev 100 x 4, Pass@1: a true loss is refused: of 2 points in 16%, of 5 points in 55%"
    assert line == f"{wanted} of cases"


def test_pass_at_k_falls_by_the_loss_that_was_asked_for():
    rates = np.random.default_rng(0).beta(1, 1, (3, 50))
    worse = fallen(rates, 4, 0.1)
    chance = np.mean([1 - (1 - each) ** 4 for each in (rates, worse)], axis=(1, 2))
    assert chance[0] - chance[1] == pytest.approx(0.1, abs=1e-4)
    assert pass_at_k([4], [0], 4)[0] == 0
