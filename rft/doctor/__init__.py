"""`rft doctor`: what is here, what of a recipe would run where, and what is in the way.

Looked up: facts.py (asking ask.py, a process of its own) and rft/estimates/model_size.py.
Concluded: placement.py, what runs where, and findings.py, the verdicts.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from rft.doctor.facts import SHOWN, look
from rft.doctor.findings import diagnose
from rft.doctor.placement import Placement
from rft.estimates.model_size import Lookup, find_model
from rft.recipe import Recipe


def examine(recipe: Recipe, place: Path) -> dict[str, Any]:
    """Look over this machine and judge whether a recipe runs on it, as plain data."""
    model = find_model(recipe.model)
    return told(Placement(recipe, look(recipe.engine.kind, place), model.shape), model)


def told(placement: Placement, model: Lookup) -> dict[str, Any]:
    """Tell what follows from what was seen; sound is what has no error."""
    findings = diagnose(placement, model)
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
