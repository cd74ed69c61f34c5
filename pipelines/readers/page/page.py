"""The page of a run: did it work, why, show me one. One file, which asks nothing of any network."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import polars as pl
from markupsafe import Markup

from pipelines.readers import pictures, round_pictures
from pipelines.readers.blocks import Block, lines_of
from pipelines.readers.page.draw import everything
from pipelines.readers.page.links import fates, flips
from pipelines.readers.page.markup import coded, figures_of, html_of
from pipelines.readers.page.rollouts import Remembered, rollouts_of
from pipelines.readers.report import head
from pipelines.readers.report_cost import cost, foretold, sampling
from pipelines.readers.report_online import online
from pipelines.readers.report_rounds import (
    blending,
    exploration,
    funnel,
    provenance,
    selection,
    stopping,
)
from pipelines.readers.report_scores import answered, scores
from rft.charts import refuse_missing_charts
from rft.errors import RFTError
from rft.foreign_text import visible
from rft.glossary import TERMS
from rft.runs.atomic import whole_file
from rft.runs.folder import Run

DISTRIBUTION = "rft-rounds"
MIB = 1 << 20
# What every page runs, and what only a page with rollouts does.
SCRIPTS = ("page.js", "tokens.js", "rollouts.js")
# What the form of the browser and its sentences take.
ROOM_OF_NOTES = 1 << 14
Pictures = Iterable[tuple[str, Any]]


@dataclass(frozen=True)
class Term:
    """A term of the glossary."""

    name: str
    text: str

    @property
    def told(self) -> Markup:
        """Write its text."""
        return coded(self.text)

    @property
    def id(self) -> str:
        """Name it in the page."""
        return "term-" + re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")


@dataclass(frozen=True)
class Section:
    """A section of a page."""

    name: str
    title: str
    content: Markup
    terms: list[Term]

    @property
    def short(self) -> str:
        """Name it in a row with the others."""
        return self.name.capitalize()


@dataclass(frozen=True)
class Browser:
    """The rollouts that a page holds, and what it says of them."""

    note: str
    index: str
    chunks: list[str]


def write_page(run: Run, path: Path, megabytes: float) -> int:
    """Write the page of a run; give its size in bytes."""
    refuse_no_place(path)
    text = page_of(run, megabytes).encode()
    with whole_file(path) as file:
        file.write(text)
    return len(text)


def refuse_no_place(path: Path) -> None:
    """Say at once that a page cannot be made here, or not be written there."""
    refuse_missing_charts()
    if path.is_dir() or not path.parent.is_dir():
        raise RFTError(f"--html {path}: no place for a file; name one in a folder that is there")


def page_of(run: Run, megabytes: float, served: str = "") -> str:
    """Make the page of a run, of at most so many megabytes; `served` stands for its state."""
    run = Remembered(run.path, run.recipe, run.outdated)
    rows = everything(run)
    sections = [each for each in sections_of(run, rows) if each is not None]
    title = visible(run.path.resolve().name)
    parts = {
        "title": title,
        "answer": answered(run).replace(" -> ", " \N{RIGHTWARDS ARROW} "),
        "head": html_of(head(run)),
        "served": served,
        "footer": coded(
            f"Written by rft {version(DISTRIBUTION)}, as the run stood on {as_of(run)}. "
            f"`rft report {title} --html FILE` writes it again."
        ),
    }
    bare = filled(sections, None, **parts)
    room = int(megabytes * MIB) - len(bare.encode())
    return filled(sections, browser_of(run, rows, room), **parts)


def seen(text: str) -> Any:
    """Write out what acts on a line unseen: a terminal is spared it too."""
    return Markup(visible(text)) if isinstance(text, Markup) else visible(text)


def as_of(run: Run) -> str:
    """Give the time of the last thing that happened: the same run makes the same page."""
    times = (event["time"] for event in reversed(run.events()))
    return str(next(times, "an unknown day"))


def filled(sections: list[Section], rollouts: Browser | None, **parts: str) -> str:
    """Put sections and rollouts into the page."""
    from jinja2 import Environment

    folder = files(__package__)

    def asset(name: str) -> Markup:
        return Markup((folder / name).read_text(encoding="utf-8"))

    template = Environment(autoescape=True).from_string(asset("page.html"))
    parts = {name: seen(part) for name, part in parts.items()}
    sections = [replace(each, content=seen(each.content)) for each in sections]
    used = {term.id: term for section in sections for term in section.terms}
    return template.render(
        parts,
        sections=sections,
        rollouts=rollouts,
        used=list(used.values()),
        glossary=[Term(name, text) for name, text in TERMS.items()],
        version=version(DISTRIBUTION),
        style=asset("page.css"),
        scripts=[asset(name) for name in SCRIPTS[: None if rollouts else 1]],
    )


def browser_of(run: Run, rows: pl.DataFrame, room: int) -> Browser | None:
    """Draw the rollouts that fit, and say how many of how many these are."""
    drawn = rollouts_of(run, rows, max(0, room - ROOM_OF_NOTES))
    if not drawn.all:
        return None
    note = f"All {drawn.all:,} rollouts and answers of the run."
    if drawn.held < drawn.all:
        note = (
            f"This page holds {drawn.held:,} of {drawn.all:,} rollouts and answers: some of every "
            "kind, then whole problems, drawn by the run's seed. The line under the choices says "
            "how many the run has."
        )
    return Browser(note, drawn.index, drawn.chunks)


# Sections -----------------------------------------------------------------------------------------


def sections_of(run: Run, rows: pl.DataFrame) -> list[Section | None]:
    """Make the sections that a run has anything for; `rows` are all its rollouts and answers."""
    by_step, by_round = (
        (pictures.entropy(run), ()) if run.recipe.grpo else ((), pictures.entropy(run))
    )
    return [
        section("result", "Did it work?", scores(run), test_first(pictures.scores(run))),
        section("problems", "Problems", [], round_pictures.problems(run), flips(run)),
        section("online", "Online training", online(run), by_step),
        section("funnel", "Funnel", funnel(run), last(round_pictures.funnels(run)), fates(rows)),
        section("chosen", "What was chosen", selection(run), round_pictures.chosen(run)),
        section("entropy", "Entropy and branching", exploration(run), by_round),
        section("tokens", "Where a model is unsure", [], tokens(run)),
        section("stopping", "Length and stopping", stopping(run), round_pictures.lengths(run)),
        section("blends", "Blended weights", blending(run)),
        section("cost", "Cost", [*cost(run), "", *sampling(run), "", *foretold(run)]),
        section("provenance", "Provenance", provenance(run)),
    ]


def tokens(run: Run) -> Pictures:
    """Draw the tokens of the last round, where there is one."""
    from pipelines.readers.token_pictures import token_pictures
    from pipelines.readers.tokens import rounds_to_see, view

    rounds = [] if run.recipe.grpo else list(rounds_to_see(run))
    return token_pictures(view(run, rounds[-1])) if rounds else []


def test_first(drawn: Pictures) -> Pictures:
    """Put dev last: it decides, but what is reported is test."""
    return sorted(drawn, key=lambda each: each[0].endswith("-dev"))


def last(drawn: Pictures) -> Pictures:
    """Keep the last three figures alone."""
    return [*drawn][-3:]


def section(
    name: str, title: str, blocks: list[Block], drawn: Pictures = (), more: Markup | None = None
) -> Section | None:
    """Put a section together: figures, ways to the rollouts, numbers; None where it is empty."""
    figures = figures_of(drawn)
    if not figures and not any(lines_of(blocks)):
        return None
    content = Markup("\n").join([figures, more or "", html_of(blocks)])
    text = " ".join([title, *lines_of(blocks), figures])
    return Section(name, title, content, terms_in(text))


def terms_in(text: str) -> list[Term]:
    """Find the terms of the glossary that a section uses."""
    words = re.sub(r"<[^>]*>", " ", text).lower()

    def there(name: str) -> bool:
        return bool(re.search(rf"(?<![a-z]){re.escape(name.lower())}(?![a-z])", words))

    return [Term(name, about) for name, about in TERMS.items() if there(name)]
