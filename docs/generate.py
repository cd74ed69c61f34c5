"""The generated pages of the documentation: the reference, read from the code, and the glossary.

`make docs` writes them beside the pages that are written by hand, where a test holds them against
the code. MkDocs loads this file as a hook: it takes in pages of the top folder, turns links between
files into links of the site, and refuses a page that would load anything from elsewhere.
"""

import inspect
import posixpath
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel

import rft.errors
from docs.keys import default_of, kind_of, meanings, sections, title_of
from docs.pieces import first_paragraph, first_sentence, page, prose, table, text_of
from filters import RULES
from pipelines import notices
from pipelines.perform import STAGES
from rft.cli import cli
from rft.exploration import PLUGINS
from rft.glossary import TERMS
from rft.grading.verifiers import VERIFIERS
from rft.problems.benchmarks import BENCHMARKS
from rft.recipe.engine import ENGINES
from rft.recipe.selection import ORDERS
from rft.runs.columns import ROWS, meaning
from rft.runs.schemas import TABLES
from rft.scheduling.targets import TARGETS
from rft.training.objectives import OBJECTIVES

ROOT = Path(__file__).resolve().parents[1]

# Pages of the top folder -> their place among the others.
TOP = {
    "GPU.md": "howto/gpu.md",
    "CONTRIBUTING.md": "howto/contribute.md",
    "EVIDENCE.md": "explain/evidence.md",
    "BENCHMARKS.md": "explain/benchmarks.md",
    "SAFETY.md": "explain/safety.md",
}
# A link to a file, or a picture, not to an address or to the page itself.
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s#:]+)(#[^)\s]*)?\)")
# Tags that make a browser fetch something; a link that a person follows is none.
FETCHED = re.compile(
    r"<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href)=\"?(?:https?:)?//[^>]*"
)


# The command line ---------------------------------------------------------------------------------


def commands() -> str:
    """Write every command's help as `--help` prints it."""
    parts = ["What `rft COMMAND --help` prints, of all commands in their order."]
    for name, command in cli.commands.items():
        if not command.hidden:
            context = click.Context(
                command, info_name=f"rft {name}", max_content_width=100, terminal_width=100
            )
            parts += [f"## rft {name}", f"```text\n{command.get_help(context)}\n```"]
    return page("Commands", *parts)


# The recipe ---------------------------------------------------------------------------------------


def keys(model: type[BaseModel]) -> str:
    """Write the keys of a section: type, default and meaning of each."""
    said = meanings(model)
    return table(
        "key, may be, default, meaning",
        [
            [
                f"`{name}`",
                kind_of(field.annotation, tuple(field.metadata)),
                default_of(field),
                said[name],
            ]
            for name, field in model.model_fields.items()
        ],
    )


def recipe() -> str:
    """Write every key of a recipe."""
    parts = [
        "A recipe is one YAML file. `rft recipes quickstart` prints one with all of its keys. It "
        "is strict: an unknown key is an error that names the nearest one. `extends: NAME` at its "
        "top takes everything else from another recipe, one level deep. Any key can be set on the "
        "command line with its path, as in `--set sample.n=16`.",
    ]
    for model, places in sections().items():
        several = f" It stands at {', '.join(f'`{place}`' for place in places)}."
        about = text_of(model) + (several if len(places) > 1 else "")
        parts += [f"## {title_of(model)}", about, keys(model)]
    return page("Recipe keys", *parts)


# Tables -------------------------------------------------------------------------------------------


def tables() -> str:
    """Write every table of a run with its columns."""
    parts = [
        "Each table is Parquet, `TABLE/round-0001/part-00000.parquet` in the run folder. A column "
        "that may be null is null where nothing is known, never 0; one that an older run lacks "
        "reads as null."
    ]
    for name, schema in TABLES.items():
        rows = [
            [
                f"`{field.name}`",
                f"`{field.type}`".replace("large_", "").replace("item: ", ""),
                "yes" if field.nullable else "no",
                meaning(name, field.name),
            ]
            for field in schema
        ]
        parts += [f"## {name}", f"A row: {ROWS[name]}", table("column, type, null, holds", rows)]
    return page("Tables", *parts)


# What is chosen by name ---------------------------------------------------------------------------


def parameters(function: Callable[..., Any]) -> str:
    """Write a rule as a recipe calls it."""
    given = [
        f"{name}: {'...' if each.default is each.empty else each.default}"
        for name, each in inspect.signature(function).parameters.items()
    ]
    return f"`{{{', '.join(given)}}}`" if given else "none"


def rules() -> str:
    """Write every rule with its parameters."""
    rows = [
        [
            f"`{name}`",
            f"{first_sentence(import_module(f'filters.{name}'))} {first_paragraph(rule)}",
            parameters(rule),
        ]
        for name, rule in RULES.items()
    ]
    return page(
        "Rules",
        "A rule is a polars expression that is true for the defect. The recipe's `filter` lists "
        "rules in order; each sees what the ones before it left, and what cannot be told is "
        "rejected. All see the response trimmed after the token in which the box of its answer "
        "closes. `no_box`, `no_digit` and `redundant`, in this order, are the paper's (arXiv "
        "2508.07534). Correctness is no rule but a [verdict](verdicts.md).",
        table("rule, what it is for and what it finds, parameters and defaults", rows),
    )


def methods(title: str, about: str, kinds: dict[str, Any]) -> str:
    """Write every method of a kind: its docstring, its parameters, its source."""
    parts = [about]
    for name, kind in kinds.items():
        parts += [f"## {name}", prose(text_of(kind))]
        if number := getattr(kind, "arxiv", ""):
            parts += [f"Source: [arXiv {number}](https://arxiv.org/abs/{number})."]
        parts += [keys(kind)] if kind.model_fields else []
    return page(title, *parts)


def orders() -> str:
    """Write every order that `select` can rank by."""
    rows = [
        [f"`{name}`", each.about, f"`{each.column}`" if each.column else "nothing"]
        for name, each in ORDERS.items()
    ]
    return page(
        "Orders",
        "What `select.by` and `select.noise_by` may be. The highest value comes first.",
        table("order, puts first, reads", rows),
    )


def engines() -> str:
    """Write every engine."""
    said = {
        "exact": "exact",
        "estimated": "lower bounds from the top logprobs, marked `topk`; `score` makes exact ones "
        "of what is kept",
        "recorded": "as recorded",
    }
    rows = [
        [
            f"`{name}`",
            first_sentence(import_module(f"rft.engines.{name}")),
            said[kind.statistics],
            f"`pip install 'rft-rounds[{kind.extra}]'`" if kind.extra else "nothing",
            ", ".join(f"`engine.{key}`" for key in kind.keys) or "none",
        ]
        for name, kind in ENGINES.items()
    ]
    return page(
        "Engines",
        "What `engine.kind` may be. How to choose: [Sample](../howto/sample.md).",
        table("engine, what it is, per-token statistics, needs, keys of its own", rows),
    )


STARTS = ("prepare", "grpo")


def stages() -> str:
    """Write every stage: what it reads and writes, and its command."""
    rows = []
    for name, stage in STAGES.items():
        said = text_of(inspect.getmodule(stage.work)).partition("\n\n")[2]
        about = f"{cli.commands[name].get_short_help_str(limit=200)} {said}"
        rows.append([f"`{name}`", about, f"`rft {name} {'RECIPE' if name in STARTS else 'RUN'}`"])
    return page(
        "Stages",
        "`rft run` walks them. Model 0 is the base; round r samples from the last adopted model "
        "and makes model r. A run's model is addressed as `RUN@2` wherever a model is asked for, "
        "while `keep.models` keeps it. `grpo` stands in place of all between prepare and "
        "evaluate.",
        table("stage, what it does, command", rows),
    )


def schedulers() -> str:
    """Write every scheduler that `rft schedule --emit` writes for."""
    rows = [
        [
            f"`{name}`",
            first_sentence(import_module(f"rft.scheduling.targets.{name.replace('-', '_')}")),
            " ".join(
                option
                for option, taken in (
                    ("`--time-zone`", target.zone),
                    ("`--image`", target.image),
                    ("`--prologue`", target.prologue),
                )
                if taken
            ),
        ]
        for name, target in TARGETS.items()
    ]
    return page(
        "Schedulers",
        "What `rft schedule --emit` may be; [Schedule](../howto/schedule.md) says what each was "
        "tried with.",
        table("target, what is written, takes", rows),
    )


def benchmarks() -> str:
    """Write every benchmark that has a name."""
    rows = [
        [f"`{name}`", each.dataset, str(each.problems), str(each.n), each.note]
        for name, each in BENCHMARKS.items()
    ]
    return page(
        "Benchmarks",
        text_of(import_module("rft.problems.benchmarks")).partition("\n\n")[2],
        table("name, on the Hub, problems, samples, note", rows),
    )


def recipes() -> str:
    """Write the header of every bundled recipe."""
    parts = ["What ships, as each says of itself. `rft recipes NAME > mine.yaml` copies one."]
    for path in sorted((ROOT / "configs").glob("*.yaml")):
        head = re.match(r"(?:#.*\n)+", path.read_text())
        assert head is not None, f"{path}: a recipe begins by saying what it is"
        parts += [f"## {path.stem}", f"```text\n{re.sub('(?m)^# ?', '', head[0]).strip()}\n```"]
    return page("Bundled recipes", *parts)


def glossary() -> str:
    """Write the glossary."""
    rows = [
        [f"**{term}**", text] for term, text in sorted(TERMS.items(), key=lambda t: t[0].lower())
    ]
    return page("Glossary", table("term, what it means", rows))


def generated() -> dict[str, str]:
    """Write every generated page, by its place among the others."""
    return {
        "reference/commands.md": commands(),
        "reference/recipe.md": recipe(),
        "reference/recipes.md": recipes(),
        "reference/tables.md": tables(),
        "reference/stages.md": stages(),
        "reference/rules.md": rules(),
        "reference/orders.md": orders(),
        "reference/objectives.md": methods(
            "Objectives",
            "What `sft.objective` may be: what fine-tuning minimises, per token y. How they "
            "compare: [Methods](methods.md#objectives-of-fine-tuning).",
            OBJECTIVES,
        ),
        "reference/verifiers.md": methods(
            "Verifiers",
            "What `grade.verifier` may be: who says whether an answer is right. How an answer is "
            "found, and what a verdict means: [Verdicts](verdicts.md).",
            VERIFIERS,
        ),
        "reference/plugins.md": methods(
            "Exploration plug-ins",
            "What `grpo.plugins` may name. How they compare, and what is ambiguous in their "
            "papers: [Methods](methods.md).",
            PLUGINS,
        ),
        "reference/engines.md": engines(),
        "reference/schedulers.md": schedulers(),
        "reference/benchmarks.md": benchmarks(),
        "reference/exit-codes.md": page("Exit codes", text_of(rft.errors)),
        "reference/events.md": page("Events", text_of(notices)),
        "glossary.md": glossary(),
    }


# MkDocs calls ------------------------------------------------------------------------------------


def for_site(text: str, place: str) -> str:
    """Turn links between files of the repository into links of the site.

    What has no page there, such as code, keeps its words and loses its link.
    """
    inside = TOP.get(place) or place.removeprefix("docs/")

    def turned(link: re.Match[str]) -> str:
        words, target, anchor = link[1], link[2], link[3] or ""
        there = posixpath.normpath(posixpath.join(posixpath.dirname(place), target))
        if there not in TOP and not there.startswith("docs/"):
            return words if (ROOT / there).exists() else link[0]
        to = TOP.get(there) or there.removeprefix("docs/")
        return f"[{words}]({posixpath.relpath(to, posixpath.dirname(inside) or '.')}{anchor})"

    return LINK.sub(turned, text)


def on_files(files: Any, config: Any) -> Any:
    """Add the pages of the top folder."""
    from mkdocs.structure.files import File

    for name, place in TOP.items():
        text = for_site((ROOT / name).read_text(), name)
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn the links of a page that was written by hand."""
    written = page.file.generated_by is None
    return for_site(markdown, f"docs/{page.file.src_uri}") if written else markdown


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Refuse a page that would load something from elsewhere."""
    from mkdocs.exceptions import PluginError

    if fetched := FETCHED.search(output):
        raise PluginError(f"{page.file.src_uri}: it would load {fetched[0]}")
    return output


if __name__ == "__main__":
    for place, text in generated().items():
        (ROOT / "docs" / place).write_text(text)
