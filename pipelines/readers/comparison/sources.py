"""Where a comparison's numbers come from: the runs of a recipe's arms, or runs that are named."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from pipelines.compare import ArmRun
from pipelines.evaluate import ended_with
from pipelines.readers.comparison.side_by_side import Measured, SideBySide, Way
from pipelines.readers.current import measured_models, sound
from rft.errors import RFTError, clipped, listed, shown
from rft.recipe import Recipe
from rft.recipe.compare import BASE
from rft.runs.folder import Run, is_run, open_run
from rft.runs.models import last_round
from rft.seeds import digest

# The settings of an evaluation that decide what is answered and what is right; the seed, the number
# of samples and the splits do not.
ASKED = ("temperature", "top_p", "max_tokens", "prompt", "engine", "grade", "reading")

COLUMNS = ["split", "benchmark", "problem_id", "answer", "answer_class"]
COLUMNS += ["verdict", "verdict_lenient", "mean_entropy"]
# Runs that are there are alike in these, or they are not compared: what differs would be told of
# the models, and is the draw's. Of the others it is said that they differ.
DRAWN = ("temperature", "top_p", "max_tokens")
HOURS = (
    "the recipe limits hours, and what runs share takes those of the run alone that did it, so "
    "that others had more of them to train; limit tokens or rounds instead"
)


def of_arms(folder: Path, whole: Recipe, runs: Sequence[ArmRun]) -> SideBySide:
    """Compare what is measured of a recipe's arms, as it is now."""
    assert whole.compare is not None, "a recipe without arms"
    arms: dict[str, list[Measured]] = {}
    for name in whole.compare.arms:
        # A run that is not done may have been made by other settings.
        each = (final(one.run, one.seed) for one in runs if one.arm == name and one.done())
        if measured := [one for one in each if one is not None]:
            arms[name] = measured
    return SideBySide(
        folder.resolve().name,
        whole.compare.control,
        arms,
        whole.seed,
        [(one.arm, one.seed) for one in runs],
        whole.compare.claims,
        [*remarks_on(arms), *([HOURS] if any(map(limits_hours, runs)) else [])],
    )


def of_runs(targets: Sequence[str]) -> SideBySide:
    """Compare the models of runs that are there: RUN is its last, RUN@2 its second.

    They are called by as much of their paths as tells them apart.
    """
    names = last_parts(targets)
    arms: dict[str, list[Measured]] = {}
    seen: dict[tuple[Path, int], str] = {}
    for target in targets:
        measured = measured_of(target)
        place = (Path(measured.place).resolve(), measured.model)
        if place in seen:
            raise RFTError(
                f"{target}: that is {seen[place]} again; name another run, or another of its "
                "models, to compare it with"
            )
        seen[place] = target
        name = names[target]
        arms[f"./{name}" if name == BASE else name] = [measured]
    for line in told_unlike(arms, DRAWN):
        raise RFTError(
            f"evaluate.{line}; evaluate them in one way, by `rft evaluate --model`, to compare them"
        )
    remarks = told_unlike(arms, [name for name in ASKED if name not in DRAWN])
    control, (first, *_) = next(iter(arms.items()))
    assert first.run is not None, "a run that was read"
    comparison = SideBySide("runs", control, arms, first.run.recipe.seed, remarks=remarks)
    if not comparison.benchmarks:
        raise RFTError(
            f"{targets[0]} and the others have no test benchmark in common (there are "
            f"{listed(comparison.left_out)}); evaluate them on the same one"
        )
    return comparison


def last_parts(paths: Sequence[str]) -> dict[str, str]:
    """Give the end of each path, of as many parts as no two paths have in common."""
    parts = {path: [part for part in path.split("/") if part] for path in paths}
    for count in range(1, max(map(len, parts.values()), default=0) + 1):
        ends = {path: "/".join(each[-count:]) for path, each in parts.items()}
        if len(set(ends.values())) == len(ends) and all(ends.values()):
            return ends
    return {path: path for path in paths}


def measured_of(target: str) -> Measured:
    """Read the model that a RUN argument means, or say why it cannot be compared."""
    path, at, number = target.rpartition("@")
    if not at or is_run(Path(target)):
        path, at, number = target, "", ""
    run = open_run(Path(path))
    if at and not re.fullmatch("[0-9]{1,9}", number):
        raise RFTError(
            f"{target}: after @ comes the number of a model, and it is {shown(number)}; write it "
            f"as in {path}@1"
        )
    if at and int(number) > last_round(run):
        raise RFTError(
            f"{target}: there is no model {number}; the last one of that run is {last_round(run)}"
        )
    measured = measured_model(run, 0, int(number)) if at else final(run, 0)
    if measured is None:
        what = f"model {number}" if at else "the model that it is to end with"
        raise RFTError(
            f"{target}: {what} was not measured on test problems; `rft {run.command} {path}` goes "
            "on with it, and `rft evaluate --model` measures any model"
        )
    return measured


def told_unlike(arms: Mapping[str, Sequence[Measured]], names: Sequence[str]) -> list[str]:
    """Say which settings of the evaluation differ between those that are compared."""
    ways: dict[str, dict[str, Any]] = {}
    for arm, runs in arms.items():
        each = [flat({name: one.asked.get(name) for name in names}) for one in runs]
        if all(way == each[0] for way in each):
            ways[arm] = each[0]
        else:
            ways |= {f"{arm}/seed-{one.seed}": way for one, way in zip(runs, each, strict=True)}
    lines = []
    for name in dict.fromkeys(name for way in ways.values() for name in way):
        seen: dict[str, list[str]] = {}
        for arm, way in ways.items():
            seen.setdefault(json.dumps(way.get(name)), []).append(arm)
        if len(seen) > 1:
            told = (f"{clipped(value)} ({listed(who)})" for value, who in seen.items())
            lines.append(f"{name} differs: {'; '.join(told)}")
    return lines


def remarks_on(arms: Mapping[str, Sequence[Measured]]) -> list[str]:
    """Say in what the runs of arms, with all their seeds, are not alike."""
    return [*told_unlike(arms, ASKED), *other_bases(arms), *other_problems(arms)]


def other_bases(arms: Mapping[str, Sequence[Measured]]) -> Iterator[str]:
    """Say which runs of an arm have begun with another model than its first."""
    for arm, (first, *others) in arms.items():
        for one in others:
            if one.began_with != first.began_with:
                yield (
                    f"{arm}/seed-{one.seed} has begun with another model than seed {first.seed}, "
                    "or has asked it otherwise"
                )


def limits_hours(each: ArmRun) -> bool:
    """Say whether a run ends by its hours, which are no equal budget."""
    stop = each.run.recipe.stop
    return stop is not None and bool(stop.hours or stop.gpu_hours)


def flat(settings: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Give settings by dotted keys."""
    values: dict[str, Any] = {}
    for name, value in settings.items():
        below = flat(value, f"{above}{name}.") if isinstance(value, dict) else {}
        values |= below or {f"{above}{name}": value}
    return values


def other_problems(arms: Mapping[str, Sequence[Measured]]) -> Iterator[str]:
    """Say which runs have read a source when it held something else than for the first run."""
    first: dict[tuple[str, str], tuple[str, str]] = {}
    for arm, runs in arms.items():
        for one in runs:
            for source, (settings, held) in one.sources.items():
                who = f"{arm}/seed-{one.seed}"
                before, other = first.setdefault((source, settings), (held, who))
                if held != before:
                    yield f"{who} has read {source} when it held something else than for {other}"


def final(run: Run, seed: int) -> Measured | None:
    """Read the answers of the model that a run leaves behind; None while it is not measured."""
    last = ended_with(run) if is_run(run.path) else None
    return None if last is None else measured_model(run, seed, last)


def measured_model(run: Run, seed: int, model: int) -> Measured | None:
    """Read a model's answers to the test problems; None where there are none."""
    answers, base = (test_answers(run, number) for number in (model, 0))
    if answers is None or base is None:
        return None
    return Measured(
        str(run.path),
        seed,
        model,
        answers,
        base,
        lambda: way_of(run),
        run.recipe.evaluate.k,
        way_of_asking(run, model),
        base_of(run),
        sources_of(run),
        run,
    )


def test_answers(run: Run, model: int) -> pl.DataFrame | None:
    """Read a model's answers to the test problems; None where there are none."""
    if sound(run, "evaluate", model) is None:
        return None
    frame = run.read("evaluations", model, COLUMNS).filter(pl.col("split") == "test")
    return None if frame.is_empty() else frame


def way_of(run: Run) -> Way:
    """Read a run's measurements by round."""
    return {model: run.read("evaluations", model, COLUMNS) for model in measured_models(run)}


def sources_of(run: Run) -> dict[str, tuple[str, str]]:
    """Give what a run's sources of problems held, and by which settings they were read."""
    made = run.manifest("prepare", 0)
    settings = digest(run.recipe.prepare.model_dump_json())
    inputs = made["inputs"] if made is not None else {}
    return {name: (settings, held) for name, held in inputs.items() if name != "model"}


def way_of_asking(run: Run, model: int) -> dict[str, Any]:
    """Give by which settings a model's answers were drawn and judged."""
    manifest = run.manifest("evaluate", model)
    assert manifest is not None, "a model that was not measured"
    return {name: manifest["settings"].get(name) for name in ASKED}


def base_of(run: Run) -> str:
    """Stand for the model that a run began with, and for how it was asked."""
    manifest = run.manifest("evaluate", 0)
    assert manifest is not None, "a base that was not measured"
    return digest(manifest["inputs"]["model"], json.dumps(way_of_asking(run, 0), sort_keys=True))
