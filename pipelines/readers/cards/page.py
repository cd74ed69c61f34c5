"""The cards of an exported dataset and model: what it is, how it was made, what it scored.

What the kinds of runs say differently is in rounds.py and online.py beside it.
"""

import dataclasses
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from pipelines.readers.cards.markdown import code, fenced, flow, markdown, plain, short
from pipelines.readers.measured_on import MeasuredOn
from pipelines.readers.names_of_files import named, named_recipe
from pipelines.readers.sources import UNSTATED, model_licence, overlap_words, sources
from rft import licences
from rft.errors import RFTError
from rft.measuring.gain import gain_of, in_words
from rft.measuring.pass_at_k import pass_interval, solved
from rft.model_folders.content import read_mark
from rft.prompt import open_prompter
from rft.recipe.parts import Parts, brought
from rft.runs import tables
from rft.runs.folder import Run
from rft.runs.models import base_model
from rft.seeds import derive

Manifest = dict[str, Any]
Manifests = dict[tuple[int, str], Manifest]
Rows = dict[str, dict[str, int]]  # config -> split -> rows

HOLDS = {
    "sft": "the selected samples; `completion` is the trimmed response, without its end token",
    "rollouts": "every sample as it came from the model",
    "graded": "every sample, trimmed and judged; `rejected_by` is the rule, null where it was "
    "kept; `passed_over` is why it was kept and not selected",
    "dynamics": "a row for every step of the training",
    "problems": "the questions with their known answers",
    "evaluations": "every answer that a model was measured by; `round` is the model, 0 the base",
}


@dataclass(frozen=True)
class Kind:
    """A kind of run: what is exported of it, and what its cards say in their own words."""

    method: str
    """What was done, as a title says it."""
    tags: tuple[str, ...]
    configs: tuple[str, ...]
    """The configs in their order; the first one opens by default."""
    product: str
    """What there has to be one of, before anything can be exported."""
    learnt: Callable[[Manifests], bool]
    """Whether there is one."""
    words: dict[str, str]
    """Parts of the cards by name, with facts to be filled in."""
    untold: frozenset[str]
    """Sections of the recipe that changed no number, or are told elsewhere."""
    facts: Callable[[Run, Manifests, Path], dict[str, Any]]
    """What the words need, each as text that is ready to be put in."""
    taught: Callable[[Manifest], str]
    """What a model learnt from, by the manifest of its training."""


def of_stage(made: Manifests, stage: str) -> list[Manifest]:
    """List a stage's manifests by round."""
    return [each for (_, name), each in sorted(made.items()) if name == stage]


DATA_CARD = """# {title}

{what} {license}

{sources}

```python
from datasets import load_dataset

{opening}
```

{configs}

{reading}

## Prompt and end token

{prompt}

{training}{story}"""

MODEL_CARD = """# {title}, model {number}

{origin} {license}{link}

## Prompt and end token

{prompt}

Tokenizer and `generation_config` end an answer with that token.

{story}
## Limits

It learnt from answers of its own, and was measured on the benchmarks above and nothing else. \
{overlaps}
"""

STATISTICS = """\
`mean_entropy`, `mean_branching` (how many tokens make up {mass:.0%} of the probability) \
and `mean_nll` are means over the response's tokens under the model that wrote it, with its \
whole vocabulary and at temperature 1."""

STORY = """## Scores

{scores}

In percent. Pass@k is estimated without bias from all samples of a problem; in brackets, 95% \
bootstrap intervals over problems. Sampled at temperature {temperature:g}, top-p {top_p:g}, at \
most {max_tokens} tokens. {decided}

{course}

## Lineage

{lineage}

The digests are shortened. What each stage read, wrote and counted is in `run/manifest`, with its \
seeds; made with {versions}.{parts}

## Recipe

{recipe}

All of it is in `run/recipe.yaml`. The commands that make this again:

```sh
rft {verb} run/recipe.yaml --out {out}
{command}
```
"""


def page(front: dict[str, Any], text: str, kind: Kind, facts: dict[str, Any]) -> str:
    """Write a card: YAML between two lines of dashes, then the text in the words of its kind."""
    head = yaml.safe_dump(front, sort_keys=False, allow_unicode=True)
    # Words first: what a fact holds is never taken for a place to fill in.
    for name, words in {"story": STORY, **kind.words, "statistics": STATISTICS}.items():
        text = text.replace(f"{{{name}}}", words)
    return f"---\n{head}---\n\n{text.format(**facts)}"


def data_front(run: Run, kind: Kind, folder: Path, rows: Rows) -> dict[str, Any]:
    """Make the YAML by which the Hub files a dataset, and `datasets` finds its configs."""
    sizes = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M")
    digits = len(str(sum(rows[kind.configs[0]].values())))
    questions = pl.concat(
        tables.read_file(path, ["question"]) for path in tables.parts(folder / "problems")
    )
    letters = [letter for text in questions["question"] for letter in text if letter.isalpha()]
    # Other languages than English have more letters outside ASCII than a stray name or symbol.
    english = sum(letter.isascii() for letter in letters) >= 0.995 * len(letters)
    return {
        **({"language": ["en"]} if english else {}),
        "pretty_name": f"{run.path.resolve().name}: {kind.method}",
        "size_categories": [sizes[min(max(digits - 3, 0), len(sizes) - 1)]],
        "task_categories": ["text-generation"],
        "annotations_creators": ["machine-generated"],
        "language_creators": ["machine-generated"],
        "source_datasets": on_the_hub(run) or ["original"],
        "tags": ["synthetic", "reasoning", "math", *kind.tags, "rft-rounds"],
        "configs": [
            {"config_name": config}
            | ({"default": True} if config == kind.configs[0] else {})
            | {
                "data_files": [
                    {"split": split, "path": f"{config}/{split}-*.parquet"} for split in splits
                ]
            }
            for config, splits in rows.items()
            if splits
        ],
    }


def model_front(run: Run, kind: Kind, repo: str) -> dict[str, Any]:
    """Make the YAML by which the Hub files a model; the licence is the base's, if it states one.

    `repo` is the data set of the run itself, where it is on the Hub.
    """
    base, stated = base_model(run), licences.model_front(run)
    names = ("license", "license_name", "license_link", "language")
    front = {name: stated[name] for name in names if name in stated}
    if base.digest.startswith("hub:"):
        front |= {"base_model": run.recipe.model.path, "base_model_relation": "finetune"}
    if repo or on_the_hub(run):
        front["datasets"] = [*([repo] if repo else []), *on_the_hub(run)]
    return front | {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["trl", *kind.tags, "rft-rounds", "generated_from_trainer"],
    }


def on_the_hub(run: Run) -> list[str]:
    """List the Hub data sets that the training problems come from."""
    sources = (each.source for each in run.recipe.prepare.benchmarks("train").values())
    names = (name.removeprefix("hub:") for name in sources if name.startswith("hub:"))
    return list(dict.fromkeys(names))


def gather(run: Run, kind: Kind, made: Manifests, folder: Path) -> dict[str, Any]:
    """Collect what both cards say, each as text that is ready to be put in."""
    recipe, name, end = run.recipe, run.path.resolve().name, end_token(run, made)
    packages: dict[str, set[str]] = {}
    for each in made.values():
        for package, version in each.get("versions", {}).items():
            packages.setdefault(package, set()).add(version)
    return kind.facts(run, made, folder) | {
        "title": f"{plain(name)}: {kind.method}",
        "out": shlex.quote(f"runs/{name}"),
        "verb": run.command,
        "base": code(named(recipe.model.path)),
        "sources": sources_and_licences(run),
        "end": end,
        "prompt": prompt_words(run, end),
        "mass": recipe.sample.statistics.mass,
        "scores": score_table(run, folder),
        "temperature": recipe.evaluate.temperature,
        "top_p": recipe.evaluate.top_p,
        "max_tokens": recipe.evaluate.max_tokens,
        "decided": "The gate decided on `dev`; `test` was only looked at."
        if recipe.gate
        else "Nothing was decided on these figures.",
        "versions": ", ".join(f"{each} {' and '.join(sorted(v))}" for each, v in packages.items()),
        "overlaps": overlaps_sentence(run),
        "parts": parts_words(recipe.parts),
        "recipe": markdown(
            "section, settings",
            [
                [section, code(flow(settings))]
                for section, settings in named_recipe(recipe, exclude_none=True).items()
                if section not in kind.untold and section != "parts"
            ],
        ),
    }


def end_token(run: Run, made: Manifests) -> str:
    """Name the token that ends an answer: the recipe's, else a made model's, else the base's."""
    if run.recipe.prompt.end != "auto":
        return run.recipe.prompt.end
    for each in of_stage(made, run.recipe.maker):
        mark = read_mark(run.model_folder(each["round"]))
        if mark is not None and isinstance(mark.get("end"), str):
            return str(mark["end"])
    # What only reads a run runs no code of a model, whatever the run's recipe says.
    base = dataclasses.replace(base_model(run), trust_remote_code=False)
    try:
        return open_prompter(base, run.recipe.prompt).end
    except RFTError:
        return run.recipe.prompt.end


def parts_words(parts: Parts) -> str:
    """Name the code that is not of this project, by content, with what it brought."""
    told = [
        f"{code(name)}{f' {plain(part.version)}' if part.version else ''} (sha256 "
        f"{code(part.sha256[:12])}: {', '.join(code(each) for each in brought(part))})"
        for name, part in parts.items()
    ]
    return f" Code of its own, in `run/parts`: {', '.join(told)}." if told else ""


def license_words(license_id: str | None) -> str:
    """Say under which licence this is, or that nobody said."""
    return f"Licence: {license_id}." if license_id else "**Its licence is not stated.**"


def sources_and_licences(run: Run) -> str:
    """Say where problems and base come from, and under which licences."""
    told = [
        f"{each['name']} from {code(named(each['source']))} ({licence_cell(each['licence'])})"
        for each in sources(run).values()
    ]
    base = f"{code(named(run.recipe.model.path))} ({licence_cell(model_licence(run))})"
    origin = f"Problems: {', '.join(told)}. " if told else ""
    return f"{origin}The base of the model that answered: {base}. {overlaps_sentence(run)}"


def overlaps_sentence(run: Run) -> str:
    """Say what training and test problems have in common, or that nobody looked."""
    words = "; ".join(overlap_words(run))
    return f"{words[0].upper()}{words[1:]}."


def licence_cell(licence: str | None) -> str:
    """Write a licence that somebody else stated, or that nobody did."""
    return f"licence: {plain(licence or UNSTATED)}"


def config_table(rows: Rows, token_stats: bool) -> str:
    """List the configs with their splits and rows."""
    lines = []
    for config, splits in rows.items():
        holds = HOLDS[config]
        if config == "rollouts":
            holds += f", {'with' if token_stats else 'without'} statistics per token"
        counts = ", ".join(f"{split} {count:,}" for split, count in splits.items())
        lines.append([f"`{config}`", counts or "none", holds])
    return markdown("config, rows, what it holds", lines)


def prompt_words(run: Run, end: str) -> str:
    """Give the prompt section verbatim."""
    prompt = run.recipe.prompt
    shape = "in the model's chat template" if prompt.style == "chat" else "as plain text"
    shots = f", after {len(prompt.few_shot)} worked examples" if prompt.few_shot else ""
    words = (
        f"An answer ends with the token {code(end)}. A question is put {shape}{shots}, filled into "
        f"(`{{{{` stands for a brace):\n\n{fenced(prompt.template)}"
    )
    return words + (f"\n\nThe system message:\n\n{fenced(prompt.system)}" if prompt.system else "")


def score_table(run: Run, folder: Path) -> str:
    """Write every model's Pass@1 and highest Pass@k on every benchmark, as the report does."""
    paths = tables.parts(folder / "evaluations")
    if not paths:
        return "No model was measured."
    by = ["split", "benchmark", "round"]
    columns = [*by, "problem_id", "answer", "verdict"]
    answers = pl.concat(tables.read_file(path, columns) for path in paths)
    # As a whole dev decides, so as a whole it is reported.
    answers = answers.with_columns(benchmark=pl.when(pl.col("split") != "dev").then("benchmark"))
    lines, gains = [], []
    base: dict[str, pl.DataFrame] = {}
    for (split, benchmark, model), frame in answers.sort(by).group_by(by, maintain_order=True):
        name = MeasuredOn(str(split), None if benchmark is None else str(benchmark)).name
        n = min(solved(frame)["n"])
        ks = (1, max((k for k in run.recipe.evaluate.k if k <= n), default=1))
        scores = []
        for k in ks:
            seed = derive(run.recipe.seed, "report", name, int(str(model)), k)
            score = pass_interval(frame, k=k, seed=seed)
            value, low, high = (100 * part for part in (score.value, score.low, score.high))
            scores.append(f"{value:.1f} [{low:.1f}, {high:.1f}]")
        problems = frame["problem_id"].n_unique()
        lines.append([name, model, problems, n, scores[0], f"Pass@{ks[1]} {scores[1]}"])
        gains += gain_words(run, name, int(str(model)), frame, base)
    table = markdown("benchmark, model (0 is the base), problems, samples, Pass@1, Pass@k", lines)
    return "\n\n".join([table, *gains])


def gain_words(
    run: Run, name: str, model: int, frame: pl.DataFrame, base: dict[str, pl.DataFrame]
) -> list[str]:
    """Say what a model's gain over the base consists of, on a benchmark that decides nothing."""
    if model == 0:
        base[name] = frame
    if model == 0 or name == "dev" or name not in base:
        return []
    gain = gain_of(base[name], frame, seed=derive(run.recipe.seed, "report", "gain", name, model))
    return [f"On {code(name)}, model {model}: {in_words(gain)}."] if gain else []


def fate(run: Run, made: Manifests, round: int) -> str:
    """Say what became of a round's model."""
    if (round, run.recipe.maker) not in made:
        return "-"
    if run.recipe.gate is None:
        return "adopted"
    if (round, "gate") not in made:
        return "undecided"
    return "adopted" if made[round, "gate"]["counts"]["adopted"] else "refused"


def digest_of(made: Manifests, round: int, stage: str, table: str) -> str:
    """Name what a stage wrote by its digest, if it did."""
    if (round, stage) not in made:
        return "-"
    return short(made[round, stage]["outputs"][table]["digest"])
