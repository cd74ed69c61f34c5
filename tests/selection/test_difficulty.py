"""Pins difficulty: shares of the budget in proportion to fail rates."""

import random
from fractions import Fraction

from rft.measuring.pass_rates import pass_rates
from rft.selection.difficulty import in_proportion
from tests.kept_rows import chosen, ids, kept, many


def test_pass_rates_are_over_all_verdicts():
    verdicts = ["correct", "wrong", "no_answer", "timeout"]
    frame = kept(*({"verdict": v, "problem_id": "p"} for v in verdicts), {"problem_id": "q"})
    assert pass_rates([frame]) == {"p": 0.25, "q": 1.0}


def largest_remainder(weights: dict[str, Fraction], budget: int) -> dict[str, int]:
    """Share a budget by the best of all ways to round up: the one nearest to the exact shares."""
    total = sum(weights.values())
    count = len(weights)
    exact = {
        name: budget * weight / total if total else Fraction(budget, count)
        for name, weight in weights.items()
    }
    down = {name: int(share) for name, share in exact.items()}
    spare = budget - sum(down.values())
    order = sorted(exact, key=lambda name: (down[name] - exact[name], name))
    return {name: down[name] + (name in order[:spare]) for name in exact}


def test_harder_problems_get_more_by_largest_remainder():
    for seed in range(60):
        source = random.Random(seed)
        names = [f"p{index}" for index in range(source.randint(1, 7))]
        # Fail rates of sixteenths; all distinct, so that no two remainders can tie by rounding.
        fails = dict(zip(names, source.sample(range(17), len(names)), strict=True))
        rates = {name: 1 - fail / 16 for name, fail in fails.items()}
        frame = kept(*({"problem_id": name} for name in names for _ in range(30)))
        budget = source.randint(1, 25)
        wanted = largest_remainder({n: Fraction(fail, 16) for n, fail in fails.items()}, budget)
        ranked = frame.sample(fraction=1, shuffle=True, seed=seed)
        first = in_proportion(ranked, rates, budget).head(budget)
        counts = dict(first["problem_id"].value_counts().iter_rows())
        total = sum(fails.values())
        shares = {n: Fraction(budget * f, total) if total else Fraction(budget, len(names))
                  for n, f in fails.items()}  # fmt: skip
        tied = len({share - int(share) for share in shares.values()}) < len(shares)
        if not tied:
            assert {name: counts.get(name, 0) for name in names} == wanted
        for name in names:
            assert abs(counts.get(name, 0) - shares[name]) < 1, "not a rounding of the share"


def test_proportional_takes_the_best_of_each_problem():
    frame = many(60, 0, problems=3)
    rates = {"p0": 0.0, "p1": 0.5, "p2": 1.0}
    made = chosen(frame, pass_rates=rates, difficulty="proportional", budget=9)
    shares = dict(made.rows["problem_id"].value_counts().iter_rows())
    assert shares == {"p0": 6, "p1": 3}
    for name, share in shares.items():
        own = frame.filter(problem_id=name).sort("mean_entropy", descending=True)
        assert set(own["rollout_id"][:share]) == set(
            made.rows.filter(problem_id=name)["rollout_id"]
        )


def test_what_a_problem_cannot_fill_goes_to_the_best_of_the_others():
    frame = kept(
        {"problem_id": "hard", "mean_entropy": 0.0},
        *({"problem_id": "easy", "mean_entropy": float(index)} for index in range(1, 5)),
        {"problem_id": "solved", "mean_entropy": 9.0},
    )
    rates = {"hard": 0.1, "easy": 0.9, "solved": 1.0}
    made = chosen(frame, pass_rates=rates, difficulty="proportional", budget=4)
    assert ids(made) == ["r0000", "r0005", "r0004", "r0003"]
    assert made.shortfall == ""


def test_where_every_problem_is_solved_all_share_alike():
    frame = many(60, 0, problems=4)
    rates = dict.fromkeys(frame["problem_id"], 1.0)
    made = chosen(frame, pass_rates=rates, difficulty="proportional", budget=8)
    assert set(dict(made.rows["problem_id"].value_counts().iter_rows()).values()) == {2}
