"""The page of a comparison: its tables and figures, and where arms differ, answer beside answer."""

from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl
from markupsafe import Markup

from pipelines.readers.comparison.side_by_side import Measured, OnBenchmark, SideBySide
from pipelines.readers.comparison.sources import of_runs
from pipelines.readers.comparison.text import heading, notes, sheets_of
from pipelines.readers.page.markup import figures_of, table_of
from pipelines.readers.page.page import DISTRIBUTION, Section, filled, refuse_no_place, terms_in
from rft.foreign_text import short, visible
from rft.measuring.pass_at_k import solved
from rft.runs import tables
from rft.runs.atomic import whole_file
from rft.runs.leftovers import ABANDONED, remove_left_beside

# Problems told of each arm, half of them better solved than by the control and half worse.
TOLD = 6
# What is shown of an answer.
LONGEST = 4_000


def page_of_runs(targets: Sequence[str], path: Path) -> str:
    """Write the page of runs side by side, and say where and how large it is."""
    from pipelines.readers.comparison.figures import figures

    refuse_no_place(path)
    comparison = of_runs(targets)
    write_comparison_page(comparison, list(figures(comparison)), path)
    return f"{path} ({path.stat().st_size / (1 << 20):.1f} MiB)"


def write_comparison_page(
    comparison: SideBySide, figures: Sequence[tuple[str, Any]], path: Path
) -> None:
    """Write the page of a comparison."""
    text = comparison_page(comparison, figures)
    remove_left_beside(path, idle=ABANDONED)
    with whole_file(path) as file:
        file.write(text.encode())


def comparison_page(comparison: SideBySide, figures: Sequence[tuple[str, Any]]) -> str:
    """Make the page of a comparison."""
    told = Markup("").join(
        Markup("<h3>{}</h3>{}").format(sheet.title, table_of(sheet.rows, sheet.align, sheet.title))
        for sheet in sheets_of(comparison)
    )
    parts = [("numbers", "Side by side", told), ("figures", "Figures", figures_of(figures))]
    parts.append(("answers", "Answers beside each other", answers(comparison)))
    sections = [
        Section(name, title, content, terms_in(str(content)))
        for name, title, content in parts
        if content
    ]
    about = Markup("").join(Markup("<p>{}</p>").format(note) for note in notes(comparison))
    return filled(
        sections,
        None,
        title=visible(comparison.name),
        answer=heading(comparison),
        head=about,
        served="",
        footer=f"Written by rft {version(DISTRIBUTION)}.",
    )


# Answers ------------------------------------------------------------------------------------------


def answers(comparison: SideBySide) -> Markup:
    """Show problems on which an arm and the control differ most, with an answer of each."""
    parts = []
    for name in comparison.benchmarks:
        here = comparison.on[name]
        for arm, control in pairs(comparison):
            if lines := list(flips(here, arm, control)):
                parts.append(
                    Markup(
                        '<details class="flips"><summary>{}: {} against {}, seed {}</summary>{}'
                        "</details>"
                    ).format(
                        name,
                        one_name(comparison, arm),
                        one_name(comparison, control),
                        arm.seed,
                        Markup("").join(lines),
                    )
                )
    if not parts:
        return Markup("")
    lead = (
        "Of each arm and the control, at the first seed that both have: the problems on which "
        "they differ most, with a right answer of the better and a wrong one of the other."
    )
    return Markup("<p>{}</p>{}").format(lead, Markup("").join(parts))


def pairs(comparison: SideBySide) -> Iterator[tuple[Measured, Measured]]:
    """Pair each arm with the control, at the first seed of which both have the texts."""
    controls = comparison.arms.get(comparison.control, ())
    control = {one.seed: one for one in controls if one.run is not None}
    for arm, runs in comparison.arms.items():
        both = [one for one in runs if one.run is not None and one.seed in control]
        if arm != comparison.control and both:
            yield both[0], control[both[0].seed]


def one_name(comparison: SideBySide, wanted: Measured) -> str:
    """Name the arm that a measured model is of."""
    return next(arm for arm, runs in comparison.arms.items() if any(x is wanted for x in runs))


def flips(here: OnBenchmark, arm: Measured, control: Measured) -> Iterator[Markup]:
    """Show the problems on which two models differ most."""
    frames = [one.answers.filter(pl.col("benchmark") == here.name) for one in (arm, control)]
    both = solved(frames[0]).join(
        solved(frames[1]), on=["benchmark", "problem_id"], suffix="_control", validate="1:1"
    )
    gain = pl.col("c") / pl.col("n") - pl.col("c_control") / pl.col("n_control")
    both = both.with_columns(gain=gain).filter(pl.col("gain") != 0).sort("gain", "problem_id")
    worse, better = both.head(TOLD // 2), both.tail(TOLD // 2).reverse()
    rows = pl.concat([better.filter(pl.col("gain") > 0), worse.filter(pl.col("gain") < 0)])
    wanted = rows["problem_id"].to_list()
    said = [texts_of(one, here.name, wanted) for one in (arm, control)]
    assert arm.run is not None, "a pair without texts"
    asked = {
        name: (question, gold)
        for name, question, gold in arm.run.problems(["problem_id", "question", "gold"])
        .unique("problem_id")
        .iter_rows()
    }
    names = [one_name(here.whole, one) for one in (arm, control)]
    for row in rows.to_dicts():
        question, gold = asked.get(row["problem_id"], ("", []))
        counts = (row["c"], row["n"]), (row["c_control"], row["n_control"])
        ahead = (row["gain"] > 0, row["gain"] < 0)
        cells = [
            one_answer(who, texts.get(row["problem_id"], []), count, wants_right=right)
            for who, texts, count, right in zip(names, said, counts, ahead, strict=True)
        ]
        yield Markup("<h3>{}</h3><p>gold: {}</p><div>{}</div>").format(
            short(visible(question), 600), " | ".join(gold), Markup("").join(cells)
        )


def one_answer(
    who: str, answers: Sequence[tuple[str, str]], count: tuple[int, int], *, wants_right: bool
) -> Markup:
    """Show an answer, right or wrong as is wanted where there is one, and how many are right."""
    fitting = [each for each in answers if (each[0] == "correct") == wants_right] or answers
    right, all_of_them = count
    verdict, text = fitting[0] if fitting else ("-", "")
    rest = len(text) - LONGEST
    more = f" … and {rest:,} characters more" if rest > 0 else ""
    return Markup(
        '<div><p>{}: <strong>{} of {} right</strong>; this one is {}</p><div class="text small" '
        'tabindex="0" role="group" aria-label="answer">{}</div></div>'
    ).format(who, right, all_of_them, verdict, text[:LONGEST] + more)


def texts_of(
    one: Measured, benchmark: str, problems: Sequence[str]
) -> dict[str, list[tuple[str, str]]]:
    """Read what a model answered to some problems: verdicts and texts, by sample."""
    names = ["split", "benchmark", "problem_id", "sample_index", "verdict", "completion"]
    said: dict[str, list[tuple[str, str]]] = {}
    assert one.run is not None, "a pair without texts"
    for path in one.run.parts("evaluations", one.model):
        rows = tables.read_file(path, names).filter(
            pl.col("split") == "test",
            pl.col("benchmark") == benchmark,
            pl.col("problem_id").is_in(list(problems)),
        )
        for row in rows.sort("problem_id", "sample_index").iter_rows(named=True):
            said.setdefault(row["problem_id"], []).append((row["verdict"], row["completion"]))
    return said
