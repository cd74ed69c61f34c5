"""Where a comparison's numbers come from: the runs of a recipe's arms, or runs that are named."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from pipelines.compare import ArmRun
from pipelines.evaluate import ended_with
from pipelines.readers.comparison.side_by_side import Measured, SideBySide
from pipelines.readers.current import sound
from rft.errors import RFTError, listed
from rft.recipe import Recipe
from rft.runs.folder import Run, open_run

COLUMNS = ["split", "benchmark", "problem_id", "sample_index", "answer", "answer_class"]
COLUMNS += ["completion", "verdict", "verdict_lenient", "mean_entropy", "finish_reason"]
# What decides how a model is asked; models that were asked otherwise are not alike.
ASKED = ("temperature", "top_p", "max_tokens")


def of_arms(folder: Path, whole: Recipe, runs: Sequence[ArmRun]) -> SideBySide:
    """Compare what is measured of a recipe's arms."""
    assert whole.compare is not None, "a recipe without arms"
    arms: dict[str, list[Measured]] = {}
    for name in whole.compare.arms:
        each = (final(one.run, one.seed) for one in runs if one.arm == name)
        if measured := [one for one in each if one is not None]:
            arms[name] = measured
    control = whole.compare.control
    return SideBySide(folder.name, control, arms, whole.seed, len(runs), whole.compare.claims)


def of_runs(targets: Sequence[str]) -> SideBySide:
    """Compare the models of runs that are there: RUN is its last, RUN@2 its second."""
    arms: dict[str, list[Measured]] = {}
    for target in targets:
        path, at, number = target.rpartition("@")
        run = open_run(Path(path if at else target))
        if at and not number.isdecimal():
            raise RFTError(f"{target}: after @ comes the number of a model, such as {path}@2")
        measured = measured_model(run, 0, int(number)) if at else final(run, 0)
        if measured is None:
            what = f"model {number}" if at else "its last model"
            raise RFTError(
                f"{target}: {what} was not measured on test problems; `rft run {path or target}` "
                "goes on with it, and `rft evaluate` measures any model"
            )
        if target in arms:
            raise RFTError(f"{target}: named twice; name another run to compare it with")
        arms[target] = [measured]
    refuse_asked_otherwise(arms)
    return SideBySide("runs", targets[0], arms, next(iter(arms.values()))[0].run.recipe.seed)


def refuse_asked_otherwise(arms: Mapping[str, Sequence[Measured]]) -> None:
    """Refuse to compare models that were asked in different ways."""
    for name in ASKED:
        seen = {arm: getattr(one.run.recipe.evaluate, name) for arm, (one, *_) in arms.items()}
        if len(set(seen.values())) > 1:
            told = listed(f"{value} ({arm})" for arm, value in seen.items())
            raise RFTError(
                f"evaluate.{name} differs: {told}; evaluate them in one way, by "
                "`rft evaluate --model`, to compare them"
            )


def final(run: Run, seed: int) -> Measured | None:
    """Read the answers of the model that a run leaves behind; None while it is not measured."""
    last = ended_with(run) if (run.path / "recipe.yaml").is_file() else None
    return None if last is None else measured_model(run, seed, last)


def measured_model(run: Run, seed: int, model: int) -> Measured | None:
    """Read a model's answers to the test problems; None where there are none."""
    frames = []
    for number in (model, 0):
        if sound(run, "evaluate", number) is None:
            return None
        frame = run.read("evaluations", number, COLUMNS).filter(pl.col("split") == "test")
        if frame.is_empty():
            return None
        frames.append(frame)
    return Measured(run, seed, model, *frames)
