"""A plateau is seen where nothing is gained, and hardly ever where something is."""

import numpy as np
import pytest

from rft.ending import ending, rise
from rft.ending.plateau import LEVEL
from rft.measuring.joint_intervals import joint_intervals
from rft.recipe.limits import Plateau
from rft.runs.folder import Run
from tests.small_run import RIGHT, evaluate, new_run, prepare, solved, whole_round

SAMPLES = [("p0", "a1 " + RIGHT, "stop", 0.5), ("p1", "b2 " + RIGHT, "stop", 0.75)]
DEV = ("prepare.dev={source: bundled:arithmetic, split: dev}", "select.noise=0", "rounds=9")
PROBLEMS = 40


def answers(right: list[int]) -> dict[tuple[str, str, str], list[str]]:
    """Give each dev problem four answers, of which so many are right."""
    return {("dev", "dev", f"d{i:02d}"): solved(count, 4) for i, count in enumerate(right)}


def measured(path, models: list[list[int]], *settings: str) -> Run:
    """Make a run whose models solve each dev problem so often."""
    run = new_run(path, *DEV, *settings)
    prepare(run, answers=answers(models[0]))
    evaluate(run, 0, answers(models[0]))
    for round, right in enumerate(models[1:], 1):
        whole_round(run, round, SAMPLES, answers(right))
    return run


def test_models_that_gain_are_no_plateau_and_models_that_do_not_are_one(tmp_path):
    low, high = [1] * PROBLEMS, [3] * PROBLEMS
    run = measured(tmp_path / "run", [low, high, high, high], "stop={plateau: {rounds: 2}}")
    wanted = run.recipe.stop.plateau
    assert rise(run, 1, wanted) is None, "two models are needed after the base"
    gained = rise(run, 2, wanted)
    assert gained.sure
    assert (gained.before, gained.models) == (0, (1, 2))
    assert gained.change.value == pytest.approx(0.5)
    assert ending(run, 3) is None
    held = rise(run, 3, wanted)
    assert not held.sure
    assert (held.before, held.models) == (1, (2, 3))
    assert ending(run, 4).rule == "plateau"
    assert ending(run, 4).text == (
        "stop.plateau: the best of models 2 to 3 is not surely above model 1, by "
        f"{held.in_words().rpartition('by ')[2]}; --set stop.plateau=null goes on"
    )


def test_a_gain_in_the_middle_of_the_window_is_one(tmp_path):
    low, high = [1] * PROBLEMS, [3] * PROBLEMS
    run = measured(tmp_path / "run", [low, high, low], "stop={plateau: {rounds: 2}}")
    assert rise(run, 2, run.recipe.stop.plateau).sure


def test_pass_at_4_can_be_flat_while_pass_at_1_rises(tmp_path):
    low, high = [1] * PROBLEMS, [3] * PROBLEMS
    run = measured(tmp_path / "run", [low, high], "stop={plateau: {metric: pass@4, rounds: 1}}")
    assert not rise(run, 1, run.recipe.stop.plateau).sure
    assert rise(run, 1, Plateau(metric="pass@1", rounds=1)).sure


def test_after_a_refusal_the_last_models_are_held_against_the_adopted_one(tmp_path):
    low, high = [1] * PROBLEMS, [4] * PROBLEMS
    settings = ("gate={on: dev}", "stop={plateau: {rounds: 1}}")
    run = measured(tmp_path / "run", [high, low, high], *settings)
    assert not run.manifest("gate", 1)["counts"]["adopted"]
    seen = rise(run, 2, run.recipe.stop.plateau)
    assert seen.before == 0
    assert not seen.sure


def test_models_that_are_alike_are_held_for_gaining_in_at_most_the_level_of_looks():
    # The whole way through folders is tested above; this is the comparison, many times.
    source = np.random.default_rng(0)
    skill = source.uniform(0.1, 0.9, PROBLEMS)
    looks, gains = 400, 0
    for look in range(looks):
        draws = source.binomial(4, np.tile(skill, (4, 1))) / 4
        intervals = joint_intervals(draws[1:] - draws[0], level=LEVEL, seed=look)
        gains += any(each.low > 0 for each in intervals)
    assert gains / looks <= LEVEL + 2 * (LEVEL * (1 - LEVEL) / looks) ** 0.5


def test_models_measured_on_other_problems_say_nothing(tmp_path):
    low = [1] * PROBLEMS
    run = measured(tmp_path / "run", [low, low[:20]], "stop={plateau: {rounds: 1}}")
    assert rise(run, 1, run.recipe.stop.plateau) is None
    assert ending(run, 2) is None
