"""A comparison in words and tables: the same sheets for a terminal and for Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.readers.cards.markdown import markdown, plain
from pipelines.readers.comparison.side_by_side import UNITS, Judged, OnBenchmark, Row, SideBySide
from pipelines.readers.layout import NOTHING, table
from pipelines.readers.measured_on import MeasuredOn
from rft.foreign_text import unbroken
from rft.measuring.crossover import Crossover
from rft.measuring.pass_at_k import Interval
from rft.recipe.compare import BASE

# Told of each arm beside Pass@k, where all were measured with it: metric -> the head of a column.
BESIDE = {"lenient": "lenient", "boxed": "in a box", "distinct": "distinct", "entropy": "entropy"}


@dataclass(frozen=True)
class Sheet:
    """A table with a title: the first row is its head, each column is aligned left or right."""

    title: str
    align: str
    rows: Sequence[Sequence[str]]


def text_of(comparison: SideBySide) -> str:
    """Write a comparison for a terminal."""
    lines = [unbroken(heading(comparison))]
    lines += [f"  {unbroken(note)}" for note in notes(comparison)]
    for sheet in sheets_of(comparison):
        rows = [[unbroken(cell) for cell in row] for row in sheet.rows]
        lines += ["", f"  {unbroken(sheet.title)}", *table(sheet.align, rows)]
    return "\n".join(lines)


def markdown_of(comparison: SideBySide) -> str:
    """Write a comparison as Markdown."""
    lines = [f"# {plain(heading(comparison))}", ""]
    lines += [f"{plain(note)}  " for note in notes(comparison)]
    for sheet in sheets_of(comparison):
        head, *rows = ([plain(cell) for cell in row] for row in sheet.rows)
        # A comma ends a title there; none of ours has one.
        lines += ["", f"**{plain(sheet.title)}**", "", markdown(", ".join(head), rows)]
    return "\n".join(lines) + "\n"


def sheets_of(comparison: SideBySide) -> list[Sheet]:
    """Make the tables of all benchmarks."""
    return [sheet for name in comparison.benchmarks for sheet in on_benchmark(comparison.on[name])]


def heading(comparison: SideBySide) -> str:
    """Say what is compared."""
    what = "arms" if comparison.wanted else "models"
    many = f"{len(comparison.arms)} " * bool(comparison.arms)
    return f"{comparison.name}: {many}{what}, each held against the control, {comparison.control}"


def notes(comparison: SideBySide) -> list[str]:
    """Say how far it is, and what the intervals are about."""
    if not comparison.arms:
        return [f"none of {len(comparison.wanted)} runs is done yet"]
    lines = [f"NOT ALIKE: {remark}" for remark in comparison.remarks]
    if comparison.left_out:
        lines.append(f"not told of {', '.join(comparison.left_out)}: only some were measured on it")
    if comparison.missing:
        wanted = comparison.runs + comparison.missing
        lines.append(
            f"UNFINISHED: {comparison.runs} of {wanted} runs are done, and this is what they say "
            "so far"
        )
    if comparison.control not in comparison.arms:
        lines.append(
            f"no run of the control, {comparison.control}, is done, so there is nothing yet to "
            "hold the others against"
        )
    several = max(len(runs) for runs in comparison.arms.values()) > 1
    lines.append(
        "95% intervals over problems and seeds at once; differences at the same seed and problem"
        if several
        else "95% intervals over problems, of one run each: another seed may give something else"
    )
    return lines


def on_benchmark(here: OnBenchmark) -> list[Sheet]:
    """Make the tables of a benchmark."""
    rows = {metric.name: here.rows(metric) for metric in here.metrics}
    made = [means(here, rows), differences(here, rows)]
    if judged := here.judged():
        made.append(claims(judged))
    return [*made, reach(here)]


def framed(here: OnBenchmark) -> list[str]:
    """Name the Pass@k that are told with intervals: the first and the last."""
    return list(dict.fromkeys(f"pass@{k}" for k in (here.ks[0], here.ks[-1])))


def means(here: OnBenchmark, rows: dict[str, list[Row]]) -> Sheet:
    """Make the table of means."""
    known = framed(here)
    beside = [*here.votes, *(name for name in BESIDE if name in rows)]
    head = ["arm", "seeds", *(f"{title(name)} [low; high]" for name in known)]
    head += [BESIDE.get(name, name) for name in beside]
    lines = [
        [
            named(here, first.arm),
            str(first.seeds),
            *(interval(rows[name][place].mean, name) for name in known),
            *(number(rows[name][place].mean.value, name) for name in beside),
        ]
        for place, first in enumerate(rows[known[0]])
    ]
    name = MeasuredOn("test", here.name).name
    about = f"{name}: {here.problems} problems x {here.samples} samples, in percent"
    return Sheet(about, "l" + "r" * (len(head) - 1), [head, *lines])


def differences(here: OnBenchmark, rows: dict[str, list[Row]]) -> Sheet:
    """Make the table of changes to the base and of differences to the control."""
    known = [*framed(here), *here.votes]
    others = sum(row.difference is not None for row in rows[known[0]])
    head = ["arm", "", "to its base", "to the control", at_once(others), "p (Holm)"]
    lines = []
    for place, first in enumerate(rows[known[0]]):
        if first.arm == BASE:
            continue
        for name in known:
            row = rows[name][place]
            cells = [interval(each, name) for each in (row.change, row.difference, row.joint)]
            chance = NOTHING if row.p is None else f"{row.p:.3f}"
            label = named(here, row.arm) if name == known[0] else ""
            lines.append([label, title(name), *cells, chance])
    return Sheet("changes in points [95% interval]", "llrrrr", [head, *lines])


def reach(here: OnBenchmark) -> Sheet:
    """Make the table of what is solved at all, beside what luck would move, and of crossovers."""
    several = any(of.seeds > 1 for of in here.reached.values())
    head = ["arm", "samples", "never solved", *["by no seed"] * several]
    head += ["gained (luck)", "lost (luck)", "base overtakes at k [low; high]"]
    lines = []
    for arm, of in here.reached.items():
        digits = 1 if of.seeds > 1 else 0
        lines.append(
            [
                named(here, arm),
                " to ".join(str(n) for n in dict.fromkeys(of.samples)),
                f"{of.never_solved:.{digits}f}",
                *[str(of.by_no_seed)] * several,
                f"{of.newly_solved:.{digits}f} ({of.newly_solved_by_luck:.1f})",
                f"{of.newly_lost:.{digits}f} ({of.newly_lost_by_luck:.1f})",
                crossing(of.crossover),
            ]
        )
    title = "problems solved at all: gained and lost against the base"
    title += ", the average of seeds" * several
    return Sheet(title, "l" + "r" * (len(head) - 1), [head, *lines])


def crossing(of: Crossover) -> str:
    """Write from which k on the base is ahead."""
    if of.k is None and of.low is None:
        return f"none up to {of.most}"
    k, low, high = (
        f">{of.most}" if each is None else str(each) for each in (of.k, of.low, of.high)
    )
    return f"{k} [{low}; {high}]"


def claims(judged: Sequence[Judged]) -> Sheet:
    """Make the table of claims."""
    lines = [
        [
            each.name,
            f"{each.claim.arm} {each.claim.direction} than {each.against} in "
            f"{title(each.claim.metric)}",
            interval(each.difference, each.claim.metric),
            each.verdict,
        ]
        for each in judged
    ]
    measured = sum(each.difference is not None for each in judged)
    head = ["claim", "", f"points [{at_once(measured)}]", ""]
    return Sheet("claims, as the recipe makes them", "llrl", [head, *lines])


def at_once(number: int) -> str:
    """Say for how many differences intervals hold at once."""
    return f"all {number} at once" if number > 1 else "at once"


def named(here: OnBenchmark, arm: str) -> str:
    """Name an arm, and say which one is the control."""
    return f"{arm} (control)" if arm == here.whole.control else arm


def title(metric: str) -> str:
    """Write a metric as people do: Pass@64."""
    return metric.replace("pass@", "Pass@")


def interval(mean: Interval | None, metric: str) -> str:
    """Write a mean or a difference with its interval: in percent and points where it is a share."""
    if mean is None:
        return NOTHING
    value, low, high = (number(part, metric) for part in (mean.value, mean.low, mean.high))
    return f"{value} [{low}; {high}]"


def number(value: float, metric: str) -> str:
    """Write a value; adding 0 to a rounded number makes no zero negative."""
    scale, digits = (1, 2) if metric in UNITS else (100, 1)
    return f"{round(scale * value, digits) + 0.0:.{digits}f}"
