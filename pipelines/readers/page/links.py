"""Ways from a page's numbers to the rollouts behind them."""

from collections.abc import Sequence
from urllib.parse import urlencode

import polars as pl
from markupsafe import Markup

from pipelines.readers.page.markup import table_of
from pipelines.readers.report_answers import Answers, model_name
from pipelines.readers.report_scores import by_benchmark
from rft.foreign_text import one_line
from rft.measuring.pass_at_k import solved
from rft.runs.folder import Run

# Problems that a list of them names.
LISTED = 25


def link(text: str, **choice: str | int) -> Markup:
    """Lead to the rollouts of a choice."""
    return Markup('<a href="#rollouts?{}">{}</a>').format(urlencode(choice), text)


def fates(rows: pl.DataFrame) -> Markup | None:
    """List what became of each round's rollouts, of all that a run has, each with a way to them."""
    rows = rows.filter(kind="round")
    if rows.is_empty():
        return None
    lines = []
    for round in sorted(set(rows["round"])):
        counts = rows.filter(round=round)["fate"].value_counts().sort("count", descending=True)
        ways = [
            link(f"{fate} {count:,}", kind="round", round=round, fate=fate)
            for fate, count in counts.iter_rows()
        ]
        lines.append(Markup("<li>round {}: {}</li>").format(round, Markup(" &middot; ").join(ways)))
    return Markup("<h3>Look at them</h3><ul>{}</ul>").format(Markup("").join(lines))


def flips(run: Run) -> Markup | None:
    """List the problems that the last model solves and the base never did, and the reverse."""
    parts = []
    for what, answers in by_benchmark(run):
        parts += _flips(run, what.name, answers)
    return Markup("").join(parts) if parts else None


def _flips(run: Run, name: str, answers: Answers) -> list[Markup]:
    known = [model for model, frame in answers.items() if frame is not None]
    first, last = answers.get(0), answers[known[-1]]
    if first is None or last is None or known[-1] == 0:
        return []
    keys = ["benchmark", "problem_id"]
    both = solved(first).join(solved(last), on=keys, suffix="_last", validate="1:1")
    asked = dict(run.problems(["problem_id", "question"]).iter_rows())
    there = {
        "Newly solved": both.filter((pl.col("c") == 0) & (pl.col("c_last") > 0)),
        "Newly lost": both.filter((pl.col("c") > 0) & (pl.col("c_last") == 0)),
    }
    parts = []
    for title, rows in there.items():
        by = (pl.col("c_last").cast(pl.Int64) - pl.col("c")).abs()
        rows = rows.sort(by, "problem_id", descending=[True, False])
        head = ["problem", "base", f"model {model_name(run, known[-1])}", "question"]
        lines: list[Sequence[str | Markup]] = [
            [
                link(row["problem_id"][:12], problem=row["problem_id"], kind="model"),
                f"{row['c']}/{row['n']}",
                f"{row['c_last']}/{row['n_last']}",
                one_line(asked.get(row["problem_id"], ""), 90),
            ]
            for row in rows.head(LISTED).to_dicts()
        ]
        more = f", the {LISTED} surest" * (len(rows) > LISTED)
        body = table_of([head, *lines], "lrrl", f"{title} of {name}") if lines else Markup("")
        parts.append(
            Markup("<details><summary>{} of {}: {}{}</summary>{}</details>").format(
                title, name, len(rows), more, body
            )
        )
    return parts
