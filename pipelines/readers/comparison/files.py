"""A comparison as files: CSV and JSON for programs, Markdown and figures for people."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl

from pipelines.readers.comparison.published import NUMBERS, write_numbers
from pipelines.readers.comparison.side_by_side import OnBenchmark, Row, SideBySide
from pipelines.readers.comparison.text import heading, markdown_of, notes
from rft.errors import RFTError
from rft.foreign_text import harmless
from rft.measuring.pass_at_k import Interval
from rft.runs.atomic import atomic_text
from rft.runs.leftovers import ABANDONED, remove_left_beside

BOUNDS = ("value", "low", "high")
SORTS = ("mean", "change", "difference", "joint")
# Of what is told of an arm's reach, the numbers of problems.
PROBLEMS: tuple[str, ...] = ("never_solved", "by_no_seed", "newly_solved", "newly_solved_by_luck")
PROBLEMS += ("newly_lost", "newly_lost_by_luck")


def write_files(comparison: SideBySide, folder: Path) -> list[str]:
    """Write tables and figures, and say what was written."""
    texts = {
        "md": markdown_of(comparison),
        "csv": csv_of(comparison),
        "json": json.dumps(as_tree(comparison), indent=1) + "\n",
    }
    for kind, text in texts.items():
        path = folder / f"comparison.{kind}"
        remove_left_beside(path, idle=ABANDONED)
        atomic_text(path, text)
    write_numbers(comparison, folder / NUMBERS)
    written = [f"comparison.md, .csv, .json and .parquet are in {folder}"]
    return [*written, *write_pictures(comparison, folder)]


def write_pictures(comparison: SideBySide, folder: Path) -> list[str]:
    """Write the figures and the page; say what was written, or why nothing was."""
    from pipelines.readers.comparison.figures import figures
    from pipelines.readers.page.comparison import write_comparison_page
    from rft.charts import refuse_missing_charts, write

    try:
        refuse_missing_charts()
    except RFTError as error:
        return [str(error)]
    drawn = list(figures(comparison))
    for name, chart in drawn:
        write(chart, folder / "figures", name)
    write_comparison_page(comparison, drawn, folder / "comparison.html")
    names = ", ".join(name for name, _ in drawn)
    told = [f"figures ({names}) are in {folder / 'figures'}"] if drawn else []
    return [*told, f"the page is {folder / 'comparison.html'}"]


def as_tree(comparison: SideBySide) -> dict[str, Any]:
    """Give all numbers of a comparison, and what they are about."""
    tree: dict[str, Any] = harmless(
        {
            "name": comparison.name,
            "about": [heading(comparison), *notes(comparison)],
            "control": comparison.control,
            "runs": {"done": comparison.runs, "wanted": comparison.runs + comparison.missing},
            "arms": {
                arm: [{"seed": one.seed, "model": one.model, "run": one.place} for one in runs]
                for arm, runs in comparison.arms.items()
            },
            "benchmarks": {
                name: benchmark_tree(comparison.on[name]) for name in comparison.benchmarks
            },
        }
    )
    return tree


def benchmark_tree(here: OnBenchmark) -> dict[str, Any]:
    """Give the numbers of a benchmark."""
    return {
        "problems": here.problems,
        "samples": here.samples,
        "rows": [as_line(row) for row in all_rows(here)],
        "reach": [{"arm": arm, **asdict(of)} for arm, of in here.reached.items()],
        "claims": [
            {
                "claim": each.name,
                **each.claim.model_dump(),
                "against": each.against,
                "difference": bounds(each.difference),
                "verdict": each.verdict,
            }
            for each in here.judged()
        ],
    }


def all_rows(here: OnBenchmark) -> list[Row]:
    """List every arm on every metric."""
    return [row for metric in here.metrics for row in here.rows(metric)]


def as_line(row: Row) -> dict[str, Any]:
    """Give a row's numbers by name; what is a share stays one."""
    line: dict[str, Any] = {"arm": row.arm, "metric": row.metric.name, "seeds": row.seeds}
    for sort in SORTS:
        known = bounds(getattr(row, sort))
        line |= {f"{sort}_{name}": known and known[place] for place, name in enumerate(BOUNDS)}
    return line | {"p_holm": row.p}


def lines_of_reach(here: OnBenchmark) -> Iterator[dict[str, Any]]:
    """Give what arms solve at all as lines: numbers of problems and a k, each as a mean."""
    for arm, of in here.reached.items():
        told = {name: (getattr(of, name), None, None) for name in PROBLEMS}
        told["crossover"] = tuple(getattr(of.crossover, name) for name in ("k", "low", "high"))
        for metric, numbers in told.items():
            line = {"arm": arm, "metric": metric, "seeds": of.seeds}
            known = (None if each is None else float(each) for each in numbers)
            means = zip(BOUNDS, known, strict=True)
            yield line | {f"mean_{name}": each for name, each in means}


def bounds(interval: Interval | None) -> list[float] | None:
    """Give an interval as a list."""
    return None if interval is None else [interval.value, interval.low, interval.high]


def csv_of(comparison: SideBySide) -> str:
    """Write every arm on every metric, a line each, and then what it solves at all."""
    lines = [
        {"benchmark": name, **line}
        for name in comparison.benchmarks
        for here in [comparison.on[name]]
        for line in (*map(as_line, all_rows(here)), *lines_of_reach(here))
    ]
    if not lines:
        return ""
    return pl.DataFrame(lines, infer_schema_length=None).write_csv()
