"""What a round selected against what it could have: the same rows for the report and the card.

The numbers are those that `select` left in its manifest; a run of before it did has none.
"""

from typing import Any

from pipelines.readers.layout import NOTHING
from rft.selection.composition import too_short

# Each column: its title, the role, and which of its rows.
COLUMNS = (
    ("kept correct", "positive", "pool"),
    ("selected", "positive", "selected"),
    ("kept wrong", "noise", "pool"),
    ("as noise", "noise", "selected"),
)
# The same where any verdict may be a positive.
ANY = (("kept", "positive", "pool"), ("selected", "positive", "selected"))
# Measure of the manifest -> what it is called.
MEASURES = {
    "length": "length in {unit}",
    "pass_rate": "pass rate of its problem",
    "mean_entropy": "entropy",
    "mean_branching": "branching",
}


def composition_rows(chosen: dict[str, Any]) -> list[list[str]]:
    """Lay out a round's composition: mean (median) of each measure; [] where nobody measured."""
    made = chosen.get("composition")
    if made is None:
        return []
    columns = ANY if takes_any(chosen) else COLUMNS
    groups = [made["roles"][role][part] for _, role, part in columns]
    rows = [[f"round {chosen['round']}", *(title for title, *_ in columns)]]
    rows.append(["samples", *(f"{group['rows']:,}" for group in groups)])
    for name, title in MEASURES.items():
        if any(group[name][0] is not None for group in groups):
            cells = [pair(group[name], name) for group in groups]
            rows.append([title.format(unit=made["unit"]), *cells])
    for name in groups[0].get("by_pass_rate", ()):  # rounds of before it was counted have none
        counts = [group["by_pass_rate"][name] for group in groups]
        if any(counts):
            rows.append([f"problem solved {name}", *(f"{count:,}" for count in counts)])
    few = [f"{group['few_words']:,}" for group in groups]
    rows.append([f"at most {made['few_words']} words before box", *few])
    return rows


def takes_any(chosen: dict[str, Any]) -> bool:
    """Say whether a round took samples of any verdict for positives."""
    made = chosen.get("composition") or {}
    return bool(made.get("verdicts") == "any")


def pair(measured: list[float | None], name: str) -> str:
    """Write a mean with its median in brackets, in few enough digits for four on a page."""
    mean, median = measured
    if mean is None:
        return NOTHING
    digits = 3 if name != "length" else 1 if mean < 100 else 0
    return f"{mean:,.{digits}f} ({median:,.{digits}f})"


def composition_notes(chosen: dict[str, Any]) -> dict[str, str]:
    """Say how the ranking's statistic goes with length, and warn where the selected are short."""
    made = chosen.get("composition")
    if made is None:
        return {}
    notes = {}
    if made["rank_correlation"] is not None:
        notes["note"] = (
            f"Spearman correlation of {made['ranked_by']} with length among the kept"
            f"{'' if takes_any(chosen) else ' correct'}: "
            f"{made['rank_correlation']:+.2f}"
        )
    if short := too_short(made):
        notes["warning:"] = short
    return notes
