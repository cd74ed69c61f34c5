"""The report's lines about online training are means of the rows, and say what is missing."""

import json
from typing import Any

import polars as pl

from pipelines.readers.blocks import lines_of
from pipelines.readers.report_online import LINES, correction, online, shaping, steps
from rft.recipe import Grpo
from rft.recipe.loading import load_recipe
from rft.runs.folder import Run


def row(step: int, **values: Any) -> dict[str, Any]:
    """Make a row of dynamics."""
    return {
        "step": step,
        "reward": 0.5,
        "k": 8,
        "pass_at_k": 0.75,
        "entropy": 0.3,
        "entropy_correct": 0.2,
        "entropy_wrong": 0.4,
        "response_length": 40.0,
        "cut": 0.1,
        "without_signal": 0.25,
        "clip_low": 0.01,
        "clip_high": 0.02,
        "sign_flips": 0,
        "revived": 0,
        "largest_ratio": 1.5,
        "touched": [{"plugin": "entropy_advantage", "share": 0.5}],
    } | values


def grpo(*plugins: str) -> Grpo:
    """Make the section of a recipe with plug-ins that are not made, only named."""
    section = load_recipe("grpo-quickstart").grpo
    assert section is not None
    return section.model_copy(update={"plugins": {name: {} for name in plugins}})


def test_a_training_under_way_is_told_of(tmp_path):
    run = Run(tmp_path, load_recipe("grpo-quickstart"))
    assert online(run) == ["  Nothing trained yet."]
    work = run.work("grpo", 1)
    work.mkdir(parents=True)
    more = {"correct": 0.5, "unverified": 2, "loss": 0.0, "grad_norm": 1.0, "learning_rate": 1e-4}
    more |= {"kl": None, "tokens": 99, "rollout_seconds": 1.0, "seconds": 2.0}
    lines = [json.dumps(row(step) | more) for step in (1, 2)]
    (work / "dynamics.jsonl").write_text("\n".join(lines) + '\n{"step": 3')
    told = "\n".join(lines_of(online(run)))
    assert "256 = 252 trained on + 4 unverified (not done: 2 of 32 steps)" in told


def test_where_vllm_drew_the_answers_its_distance_from_the_trainer_is_told():
    drawn = {"vllm_ratio": 1.0, "vllm_ratio_max": 1.5, "vllm_effective": 0.875}
    rows = pl.DataFrame([row(1, **drawn), row(2, **drawn | {"vllm_ratio_max": 3.0})])
    told = " ".join(" ".join(lines_of(correction(rows))).split())
    assert "1.000 on average, at most 3.00; together worth 87.5% of as many" in told
    assert correction(rows.with_columns(pl.lit(None).alias(name) for name in drawn)) == []


def test_a_rare_touch_is_no_zero():
    touched = [{"plugin": "clip_cov", "share": 0.0003}]
    rows = pl.DataFrame([row(1, touched=touched)])
    assert "clip_cov touched 0.030% of the tokens" in lines_of(shaping(rows, grpo("clip_cov")))[0]


def test_a_line_is_the_mean_of_its_steps():
    rows = pl.DataFrame([row(step, reward=step / 10) for step in range(1, 5)])
    header, *lines = steps(rows)
    assert header[:3] == ["steps", "reward", "Pass@8"]
    assert [line[:2] for line in lines] == [[f"{n}", f"{n / 10:.3f}"] for n in range(1, 5)]
    assert lines[0][2:] == ["75.0%", "0.300", "0.200", "0.400", "40.0", "10.0%", "25.0%", "3.0%"]


def test_many_steps_share_few_lines_and_none_is_lost():
    rows = pl.DataFrame([row(step, reward=float(step)) for step in range(1, 34)])
    _, *lines = steps(rows)
    assert len(lines) <= LINES
    assert [line[0] for line in lines[:2]] == ["1 to 4", "5 to 8"]
    assert lines[-1][:2] == ["33", "33.000"]
    assert lines[0][1] == "2.500"


def test_what_was_not_measured_is_no_zero():
    missing = {"clip_low": None, "clip_high": None, "entropy_correct": None}
    rows = pl.DataFrame([row(1, **missing)], infer_schema_length=None)
    _, line = steps(rows.cast(dict.fromkeys(missing, pl.Float32)))
    assert line[4] == "-"
    assert line[-1] == "-"


def test_plugins_are_told_with_their_share_and_the_steps_that_they_acted_in():
    late = [{"plugin": "position_advantage", "share": 0.25}]
    rows = pl.DataFrame(
        [row(1), row(2, sign_flips=3, revived=2, largest_ratio=2.5), row(3)]
    ).with_columns(pl.Series("touched", [row(1)["touched"], row(1)["touched"] + late, late]))
    names = ["clip_higher", "position_advantage", "entropy_advantage", "nsr", "reference_reset"]
    told = "\n".join(lines_of(shaping(rows, grpo(*names, "steer"))))
    assert [line.split()[1] for line in told.splitlines() if "plug-in" in line] == [*names, "steer"]
    assert "clip_higher is an option of TRL's" in told
    assert "nsr is the plain advantage itself" in told
    assert "reference_reset acts between steps" in told
    assert "steer was not active" in told
    assert "entropy_advantage touched 50.0% of the tokens, in 2 of 3 steps" in told
    assert "position_advantage touched 25.0% of the tokens, in 2 of 3 steps" in told
    assert "3 tokens turned their sign, 2 got one that had none; at most 2.50 times" in told


def test_without_plugins_there_is_nothing_to_tell_of_them():
    rows = pl.DataFrame([row(1, touched=[], largest_ratio=1.0)])
    rows = rows.cast({"touched": pl.List(pl.Struct({"plugin": pl.String, "share": pl.Float32}))})
    assert lines_of(shaping(rows, grpo()))[0].lstrip().startswith("advantages  0 tokens turned")
