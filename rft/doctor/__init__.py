"""`rft doctor`: what is here, what of a recipe would run where, and what is in the way.

Looked up: facts.py (asking ask.py, a process of its own), rft/estimates/model_size.py, and whether
the files of problems are there.
Concluded: placement.py, what runs where, and findings.py, the verdicts.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rft.doctor.facts import SHOWN, look
from rft.doctor.findings import Finding, diagnose
from rft.doctor.placement import Placement
from rft.errors import RFTError
from rft.estimates.model_size import Lookup, find_model
from rft.problems.sources import local_file
from rft.recipe import Recipe
from rft.recipe.prepare import AGAINST
from rft.runs.folder import Run


def examine(recipe: Recipe, place: Path) -> dict[str, Any]:
    """Look over this machine and judge whether a recipe runs on it, as plain data."""
    model = find_model(recipe.model)
    placement = Placement(recipe, look(recipe.engine.kind, place), model.shape)
    return told(placement, model, missing_problems(recipe, place))


def missing_problems(recipe: Recipe, place: Path) -> list[str]:
    """Say which files of problems are not here; a run that has read them needs them no more."""
    if Run(place, recipe).manifest("prepare", 0):
        return []
    troubles = {}  # a file of two splits is missing once
    for split in (*recipe.splits, AGAINST):
        for source in recipe.prepare.benchmarks(split).values():
            try:
                local_file(source)
            except RFTError as error:
                troubles[str(error)] = f"for {split}"
    return [f"{text} ({where})" for text, where in troubles.items()]


def told(placement: Placement, model: Lookup, problems: Sequence[str] = ()) -> dict[str, Any]:
    """Tell what follows from what was seen; sound is what has no error."""
    findings = diagnose(placement, model)
    findings += [Finding("error", "problems", text) for text in problems]
    return {
        "sound": all(each.level != "error" for each in findings),
        "versions": placement.facts.versions,
        "machine": placement.machine(),
        "places": placement.places(),
        "findings": [asdict(each) for each in findings],
    }


def text_report(report: dict[str, Any]) -> str:
    """Write a report for people."""
    versions, places = report["versions"], report["places"]
    shown = ", ".join(f"{name} {versions[name]}" for name in SHOWN if name in versions)
    lines = ["versions", f"  {shown}", "machine", *(f"  {line}" for line in report["machine"])]
    lines += ["what runs where", *(f"  {stage:17} {text}" for stage, text in places.items())]
    order = ["error", "warn", "ok"]
    findings = sorted(report["findings"], key=lambda each: order.index(each["level"]))
    row = "  {level:5}  {about:9} {text}"
    return "\n".join([*lines, "verdicts", *(row.format(**each) for each in findings)])
