"""Write a run as a dataset folder that `datasets.load_dataset` opens without any code of ours.

Reads every finished table; writes them by config and split, with a card and what made them.
"""

import hashlib
import json
import re
import shlex
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from rft import tables
from rft.errors import RFTError
from rft.measures import pass_interval, solved
from rft.models import MARK as MODEL_MARK
from rft.models import adopted, base_model, last_round, made_model
from rft.prompt import load_tokenizer, prompter
from rft.schemas import SPLITS
from rft.seeds import derive
from rft.store import Run, atomic_text

# Lists what an export wrote, so that the next one replaces that and nothing else.
MARK = "rft-export.json"
TOKEN_LISTS = ("token_ids", "logprobs", "entropies", "branching")
# fmt: off
SFT = [
    "prompt", "completion", "rollout_id", "problem_id", "round", "sample_index", "role", "rank",
    "verdict", "question", "gold", "answer", "mean_entropy", "mean_branching", "mean_nll",
    "difficulty", "source", "model",
]
# fmt: on
MADE_BY = {"problems": "prepare", "rollouts": "sample", "graded": "grade", "kept": "filter"}
HOLDS = {
    "sft": "the selected samples; `completion` is the trimmed response, without its end token",
    "rollouts": "every sample as it came from the model",
    "graded": "every sample, trimmed and judged; `rejected_by` is the rule, null where it was kept",
    "problems": "the questions with their known answers",
    "evaluations": "every answer that a model was measured by; `round` is the model, 0 the base",
}
# What the card tells elsewhere, or what changes no number.
UNTOLD = {"prompt", "score", "keep", "track", "notify"}
Manifests = dict[tuple[int, str], dict[str, Any]]
Rows = dict[str, dict[str, int]]  # config -> split -> rows
Say = Callable[[str], None]


def export_run(
    run: Run,
    *,
    to: Path,
    license_id: str | None = None,
    token_stats: bool = True,
    with_model: bool = False,
    say: Say,
) -> list[Path]:
    """Write the dataset folder and, where asked, the last adopted model into TO-model beside it."""
    license_id = license_id and license_id.lower()
    if license_id and not re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", license_id):
        raise RFTError(f"--license {license_id!r}: write an identifier such as apache-2.0")
    made = {(each["round"], each["stage"]): each for each in run.manifests()}
    refuse_outdated(run, made)
    number = last_adopted(run) if with_model else 0
    if with_model and number == 0:
        raise RFTError(f"{run.path}: no model was adopted yet; leave --model away")
    weights = made_model(run, number).path if with_model else None
    model_head = model_front(run) if with_model else {}
    to = to.resolve()
    refuse_foreign(to, run)
    beside = to.with_name(f"{to.name}-model")
    if weights:
        refuse_foreign(beside, run)
    with new_folder(to, run) as folder:
        rows = write_tables(run, made, folder, token_stats=token_stats, say=say)
        shutil.copytree(run.path / "manifest", folder / "run" / "manifest")
        shutil.copy(run.path / "recipe.yaml", folder / "run")
        facts = gather(run, made, folder)
        options = " --model" * with_model + " --no-token-stats" * (not token_stats)
        options += f" --license {license_id}" if license_id else ""
        facts |= {
            "configs": config_table(rows, token_stats),
            "folder": json.dumps(to.name),
            "command": f"rft export {facts['out']} --to {shlex.quote(to.name)}{options}",
            "license": license_words(license_id),
        }
        front = ({"license": license_id} if license_id else {}) | data_front(run, folder, rows)
        atomic_text(folder / "README.md", page(front, DATA_CARD, facts))
    if not license_id:
        say("warning: the card says that the licence is not stated; --license ID states it")
    if weights is None:
        return [to]
    with new_folder(beside, run) as folder:
        shutil.copytree(weights, folder, dirs_exist_ok=True)
        shutil.copytree(to / "run", folder / "run")
        roles = made[number, "sft"]["roles"]
        total = sum(roles.values())
        facts |= {
            "number": number,
            "taught": f"{total:,} of them, {share(roles.get('noise', 0), total)} wrong on purpose",
            "license": license_words(model_head.get("license")),
        }
        atomic_text(folder / "README.md", page(model_head, MODEL_CARD, facts))
    if "license" not in model_head:
        say("warning: the base states no licence, so neither does the model card; add it there")
    return [to, beside]


def refuse_outdated(run: Run, made: Manifests) -> None:
    """Refuse a run without selected samples, or with tables that do not stem from each other."""
    for (round, stage), each in made.items():
        for table, digest in each["inputs"].items():
            origin = (0 if table == "problems" else round, MADE_BY.get(table, ""))
            if origin in made and made[origin]["outputs"][table]["digest"] != digest:
                raise RFTError(
                    f"{run.path}: `{stage}` of round {round} was made from other {table} than the "
                    f"run has now; `rft run {run.path}` brings it up to date"
                )
    if not sum(sum(each["counts"]["selected"].values()) for each in of_stage(made, "select")):
        raise RFTError(f"{run.path}: no selected sample to export; `rft run {run.path}` goes on")


def of_stage(made: Manifests, stage: str) -> list[dict[str, Any]]:
    """List a stage's manifests by round."""
    return [each for (_, name), each in sorted(made.items()) if name == stage]


def last_adopted(run: Run) -> int:
    """Give the last adopted model; one whose gate is still due does not count."""
    last = last_round(run)
    undecided = run.recipe.gate is not None and last and run.manifest("gate", last) is None
    return adopted(run, last - 1 if undecided else last)


# Folders ------------------------------------------------------------------------------------------


def refuse_foreign(target: Path, run: Run) -> None:
    """Refuse a folder with anything in it that no earlier export of this run wrote."""
    restore(target)
    if target.exists() and not target.is_dir():
        raise RFTError(f"{target}: not a folder; choose another one")
    found = listing(target)
    if not found:
        return
    try:
        mark = json.loads((target / MARK).read_text())
        owner, listed = mark["run"], mark["files"]
    except (OSError, ValueError, KeyError, TypeError):
        raise RFTError(
            f"{target}: not empty, and not an export of `rft export`; choose another folder"
        ) from None
    if owner != identity(run):
        raise RFTError(f"{target}: an export of another run; choose another folder, or remove it")
    changed = [name for name, content in found.items() if listed.get(name) != content]
    if changed:
        raise RFTError(
            f"{target / changed[0]}: added or changed since the export, which would be lost; move "
            "it away, or choose another folder"
        )


def listing(folder: Path) -> dict[str, str]:
    """List a folder's files, the mark aside: by content those that people edit, others by size."""
    return {
        str(path.relative_to(folder)): tables.file_digest(path)
        if path.suffix == ".md"
        else str(path.stat().st_size)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path != folder / MARK
    }


def identity(run: Run) -> str:
    """Stand for the run's place without telling it: exports are published."""
    return hashlib.sha256(str(run.path.resolve()).encode()).hexdigest()[:16]


@contextmanager
def new_folder(target: Path, run: Run) -> Iterator[Path]:
    """Yield a scratch folder beside the target, whose place it takes when the block ends well."""
    scratch, aside = (target.with_name(f".{target.name}.rft-{end}") for end in ("new", "old"))
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.rmtree(aside, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        yield scratch
        mark = {"run": identity(run), "files": listing(scratch)}
        atomic_text(scratch / MARK, json.dumps(mark, indent=1) + "\n")
        if target.exists():
            target.rename(aside)
        scratch.rename(target)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        restore(target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def restore(target: Path) -> None:
    """Put the earlier export back where the new one was stopped in the moment of replacing it."""
    aside = target.with_name(f".{target.name}.rft-old")
    if aside.exists() and not target.exists():
        aside.rename(target)


# Tables -------------------------------------------------------------------------------------------


def write_tables(run: Run, made: Manifests, folder: Path, *, token_stats: bool, say: Say) -> Rows:
    """Write the rows of every finished stage and count them."""
    rows: Rows = {config: {} for config in HOLDS}
    for round, stage in sorted(made):
        for config, frame in frames(run, made, round, stage, token_stats=token_stats):
            parts = {("train",): frame}
            if "split" in frame.columns:
                parts = frame.partition_by("split", as_dict=True, maintain_order=True)
            for (split,), part in parts.items():
                stem = split if config == "problems" else f"{split}-round-{round:04d}"
                for shard in tables.shards(part.to_arrow()) if len(part) else ():
                    index = len(list((folder / config).glob(f"{stem}-[0-9]*.parquet")))
                    tables.write_file(folder / config / f"{stem}-{index:05d}.parquet", shard)
                    rows[config][split] = rows[config].get(split, 0) + shard.num_rows
            say(f"export: {config} of round {round}: {len(frame):,} rows")
    return {
        config: {split: rows[config][split] for split in SPLITS if split in rows[config]}
        for config in rows
    }


def frames(
    run: Run, made: Manifests, round: int, stage: str, *, token_stats: bool
) -> Iterator[tuple[str, pl.DataFrame]]:
    """Read what a stage wrote, one shard at a time, as rows of the configs."""

    def read(table: str) -> Iterator[pl.DataFrame]:
        return map(tables.read_file, committed(run, made, stage, round, table))

    if stage == "prepare":
        yield from (("problems", frame) for frame in read("problems"))
    elif stage == "sample":
        dropped = () if token_stats else TOKEN_LISTS
        yield from (("rollouts", frame.drop(dropped)) for frame in read("rollouts"))
    elif stage == "filter":
        by_none = pl.lit(None, pl.String).alias("rejected_by")
        yield from (("graded", frame.with_columns(by_none)) for frame in read("kept"))
        yield from (("graded", frame) for frame in read("rejected"))
    elif stage == "select":
        yield "sft", sft_rows(run, round, pl.concat(read("selected")))
    elif stage == "evaluate":
        yield from (("evaluations", frame) for frame in read("evaluations"))


def committed(run: Run, made: Manifests, stage: str, round: int, table: str) -> list[Path]:
    """List the shards of a finished table, which must be what its manifest says."""
    folder = run.folder(table, round)
    if tables.folder_digest(folder) != made[round, stage]["outputs"][table]["digest"]:
        raise RFTError(
            f"{folder}: not what its manifest says (damaged, or just being redone); move it away "
            f"and `rft run {run.path}`, which makes it again"
        )
    return tables.parts(folder)


def sft_rows(run: Run, round: int, selected: pl.DataFrame) -> pl.DataFrame:
    """Join a round's selected samples with their prompts and problems."""
    ids, columns = selected.select("rollout_id"), ["rollout_id", "prompt", "model"]
    prompts = pl.concat(
        tables.read_file(path, columns).join(ids, on="rollout_id", how="semi")
        for path in tables.parts(run.folder("rollouts", round))
    )
    problems = run.read("problems", 0, ["problem_id", "question", "gold", "difficulty", "source"])
    rows = selected.rename({"response": "completion"}).join(
        prompts, on="rollout_id", validate="1:1", maintain_order="left"
    )
    rows = rows.join(problems, on="problem_id", validate="m:1", maintain_order="left")
    assert len(rows) == len(selected), "selected rows lost their rollout or problem"
    return rows.select(SFT)


# Cards --------------------------------------------------------------------------------------------

DATA_CARD = """# {title}

{rows} answers to {problems} problems, written by {author} in rejection-sampling fine-tuning \
(RFT): many were sampled, sifted by rules and checked against the known answers, and these were \
picked to fine-tune the model on. {noise} {license}

```python
from datasets import load_dataset

sft = load_dataset({folder}, "sft", split="train")  # this folder, or its name on the Hub
right = sft.filter(lambda row: row["role"] == "positive")
```

{configs}

From a row of `sft`, `rollout_id` leads to its judgement in `graded` and to the whole sample with \
its seed in `rollouts`, `problem_id` to its problem; `model` is the digest of the model that wrote \
it. `gold` lists the accepted answers. `rank` is the place within round and role by `{by}`, 0 the \
first. `mean_entropy`, `mean_branching` (how many tokens make up {mass:.0%} of the probability) \
and `mean_nll` are means over the response's tokens under the model that wrote it, with its whole \
vocabulary and at temperature 1.

## Prompt and end token

{prompt}

To train on `sft`, tokenise `prompt`, `completion` and the end token without adding special \
tokens, and learn the completion and its end only; in TRL: \
`SFTConfig(eos_token={end!r}, completion_only_loss=True, max_length={max_length})`. Here the \
sampled `token_ids` themselves were learnt, from which a tokenised text may differ now and then.

The first row, its `prompt` and its `completion`:

{example}

{story}"""

MODEL_CARD = """# {title}, model {number}

{base} after rejection-sampling fine-tuning (RFT) on answers of its own: sampled, sifted by rules \
and checked against the known answers. The training of round {number} took {taught}. {license}

## Prompt and end token

{prompt}

Tokenizer and `generation_config` end an answer with that token.

{story}
## Limits

It learnt from answers of its own, and was measured on the benchmarks above and nothing else. \
Overlap between training and test problems: `prepare.decontaminate: {decontaminate}`.
"""

STORY = """## Scores

{scores}

In percent. Pass@k is estimated without bias from all samples of a problem; in brackets, 95% \
bootstrap intervals over problems. Sampled at temperature {temperature:g}, top-p {top_p:g}, at \
most {max_tokens} tokens. {decided}

## Rounds

{rounds}

## Lineage

{lineage}

The digests are shortened. What each stage read, wrote and counted is in `run/manifest`, with its \
seeds; made with {versions}.

## Recipe

{recipe}

All of it is in `run/recipe.yaml`. The commands that make this again:

```sh
rft run run/recipe.yaml --out {out}
{command}
```
"""


def page(front: dict[str, Any], text: str, facts: dict[str, Any]) -> str:
    """Write a card: YAML between two lines of dashes, then the text."""
    head = yaml.safe_dump(front, sort_keys=False, allow_unicode=True)
    return f"---\n{head}---\n\n{text.format(**facts, story=STORY.format(**facts))}"


def data_front(run: Run, folder: Path, rows: Rows) -> dict[str, Any]:
    """Make the YAML by which the Hub files a dataset, and `datasets` finds its configs."""
    sizes = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M")
    digits = len(str(sum(rows["sft"].values())))
    questions = pl.concat(
        tables.read_file(path, ["question"]) for path in tables.parts(folder / "problems")
    )
    letters = [letter for text in questions["question"] for letter in text if letter.isalpha()]
    # Other languages than English have more letters outside ASCII than a stray name or symbol.
    english = sum(letter.isascii() for letter in letters) >= 0.995 * len(letters)
    return {
        **({"language": ["en"]} if english else {}),
        "pretty_name": f"{run.path.resolve().name}: rejection-sampling fine-tuning",
        "size_categories": [sizes[min(max(digits - 3, 0), len(sizes) - 1)]],
        "task_categories": ["text-generation"],
        "annotations_creators": ["machine-generated"],
        "language_creators": ["machine-generated"],
        "source_datasets": on_the_hub(run) or ["original"],
        "tags": ["synthetic", "reasoning", "math", "rejection-sampling", "rft-rounds"],
        "configs": [
            {"config_name": config}
            | ({"default": True} if config == "sft" else {})
            | {
                "data_files": [
                    {"split": split, "path": f"{config}/{split}-*.parquet"} for split in splits
                ]
            }
            for config, splits in rows.items()
            if splits
        ],
    }


def model_front(run: Run) -> dict[str, Any]:
    """Make the YAML by which the Hub files a model; the licence is the base's, if it states one."""
    base = base_model(run)
    readme = Path(base.path) / "README.md"
    text = readme.read_text(errors="replace") if readme.is_file() else ""
    head = re.match(r"\s*---\n(.*?)\n---", text, re.DOTALL)
    try:
        stated = dict(yaml.safe_load(head[1])) if head else {}
    except (yaml.YAMLError, TypeError, ValueError):
        stated = {}
    names = ("license", "license_name", "license_link", "language")
    front = {name: stated[name] for name in names if name in stated}
    if base.digest.startswith("hub:"):
        front |= {"base_model": run.recipe.model.path, "base_model_relation": "finetune"}
    if on_the_hub(run):
        front["datasets"] = on_the_hub(run)
    tags = ["trl", "sft", "rejection-sampling", "rft-rounds", "generated_from_trainer"]
    return front | {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": tags,
    }


def on_the_hub(run: Run) -> list[str]:
    """List the Hub data sets that the training problems come from."""
    sources = (each.source for each in run.recipe.prepare.benchmarks("train").values())
    return [name.removeprefix("hub:") for name in sources if name.startswith("hub:")]


def gather(run: Run, made: Manifests, folder: Path) -> dict[str, Any]:
    """Collect what both cards say, each as text that is ready to be put in."""
    recipe, name, end = run.recipe, run.path.resolve().name, end_token(run, made)
    sft = pl.concat(map(tables.read_file, tables.parts(folder / "sft")))
    noise, first = len(sft.filter(pl.col("role") == "noise")), sft.row(0, named=True)
    several = len({each["model"] for each in of_stage(made, "sample")}) > 1
    packages: dict[str, set[str]] = {}
    for each in made.values():
        for package, version in each.get("versions", {}).items():
            packages.setdefault(package, set()).add(version)
    return {
        "title": f"{plain(name)}: rejection-sampling fine-tuning",
        "out": shlex.quote(f"runs/{name}"),
        "base": code(recipe.model.path),
        "author": code(recipe.model.path) + " and models made from it" * several,
        "rows": f"{len(sft):,}",
        "problems": f"{sft['problem_id'].n_unique():,}",
        "noise": f"**Wrong on purpose: {share(noise, len(sft))} of them, marked `role=noise`**, to "
        "keep the model exploring; leave them out, as below, unless that is what you want."
        if noise
        else "None of them is wrong on purpose, which `role=noise` would mark.",
        "by": f"select.by: {recipe.select.by}, noise_by: {recipe.select.noise_by}",
        "mass": recipe.sample.statistics.mass,
        "end": end,
        "prompt": prompt_words(run, end),
        "max_length": recipe.sft.max_length,
        "example": f"{fenced(first['prompt'])}\n\n{fenced(first['completion'])}",
        "scores": score_table(run, folder),
        "temperature": recipe.evaluate.temperature,
        "top_p": recipe.evaluate.top_p,
        "max_tokens": recipe.evaluate.max_tokens,
        "decided": "The gate decided on `dev`; `test` was only looked at."
        if recipe.gate
        else "Nothing was decided on these figures.",
        "rounds": round_table(made),
        "lineage": lineage_table(made),
        "versions": ", ".join(f"{each} {' and '.join(sorted(v))}" for each, v in packages.items()),
        "recipe": markdown(
            "section, settings",
            [
                [section, code(flow(settings))]
                for section, settings in recipe.model_dump(
                    mode="json", exclude=UNTOLD, exclude_none=True
                ).items()
            ],
        ),
        "decontaminate": recipe.prepare.decontaminate,
    }


def end_token(run: Run, made: Manifests) -> str:
    """Name the token that ends an answer: the recipe's, else a made model's, else the base's."""
    if run.recipe.prompt.end != "auto":
        return run.recipe.prompt.end
    for each in of_stage(made, "sft"):
        mark = run.model_folder(each["round"]) / MODEL_MARK
        if mark.is_file():
            return str(json.loads(mark.read_text())["end"])
    base = base_model(run)
    return prompter(load_tokenizer(base.path, **base.options), run.recipe.prompt).end


def license_words(license_id: str | None) -> str:
    """Say under which licence this is, or that nobody said."""
    return f"Licence: {license_id}." if license_id else "**Its licence is not stated.**"


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
    answers = pl.concat(tables.read_file(path, [*by, "problem_id", "verdict"]) for path in paths)
    # As a whole dev decides, so as a whole it is reported.
    answers = answers.with_columns(benchmark=pl.when(pl.col("split") != "dev").then("benchmark"))
    lines = []
    for (split, benchmark, model), frame in answers.sort(by).group_by(by, maintain_order=True):
        name = str(split) if benchmark in (None, split) else f"{split} {benchmark}"
        n = min(solved(frame)["n"])
        ks = (1, max((k for k in run.recipe.evaluate.k if k <= n), default=1))
        found = []
        for k in ks:
            seed = derive(run.recipe.seed, "report", name, int(str(model)), k)
            score = pass_interval(frame, k=k, seed=seed)
            value, low, high = (100 * part for part in (score.value, score.low, score.high))
            found.append(f"{value:.1f} [{low:.1f}, {high:.1f}]")
        problems = frame["problem_id"].n_unique()
        lines.append([name, model, problems, n, found[0], f"Pass@{ks[1]} {found[1]}"])
    return markdown("benchmark, model (0 is the base), problems, samples, Pass@1, Pass@k", lines)


def round_table(made: Manifests) -> str:
    """Count what became of each round's samples."""
    lines = []
    for each in of_stage(made, "sample"):
        grade, sift, select, gate = (
            made.get((each["round"], stage), {}).get("counts", {})
            for stage in ("grade", "filter", "select", "gate")
        )
        trained = (each["round"], "sft") in made
        lines.append(
            [
                each["round"],
                f"{each['counts']['in']:,}",
                f"{each['counts']['rollouts']:,} ({each['tokens']:,} tokens)",
                tally(grade.get("verdict")),
                tally(sift.get("rejected")),
                f"{sift['kept']:,}" if sift else "-",
                tally(select.get("selected")),
                {True: "adopted", False: "refused"}[gate.get("adopted", True)] if trained else "-",
            ]
        )
    return markdown(
        "round, problems, sampled, judged, rejected by rules, kept, selected, model", lines
    )


def lineage_table(made: Manifests) -> str:
    """Name by digest what each round read and made."""

    def digest(round: int, stage: str, table: str) -> str:
        if (round, stage) not in made:
            return "-"
        return short(made[round, stage]["outputs"][table]["digest"])

    lines = [
        [
            each["round"],
            short(each["model"]),
            digest(each["round"], "sample", "rollouts"),
            digest(each["round"], "select", "selected"),
            digest(each["round"], "sft", "model"),
        ]
        for each in of_stage(made, "sample")
    ]
    return markdown("round, sampled from, rollouts, selected, new model", lines)


# Markdown -----------------------------------------------------------------------------------------


def markdown(titles: str, lines: Iterable[Sequence[object]]) -> str:
    """Write a table."""
    names = titles.split(", ")
    cells = ([str(cell).replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(row)} |" for row in [names, ["---"] * len(names), *cells])


def tally(counts: dict[str, int] | None) -> str:
    """Write counts by name in one cell."""
    if counts is None:
        return "-"
    return ", ".join(f"{count:,} {plain(name)}" for name, count in counts.items()) or "0"


def share(part: int, whole: int) -> str:
    """Write a count with its share."""
    return f"{part:,} ({part / whole:.1%})"


def flow(settings: object) -> str:
    """Write settings as YAML on one line, in their order: rules have one."""
    text = yaml.safe_dump(settings, default_flow_style=True, sort_keys=False, width=10**6)
    return text.removesuffix("...\n")


def short(digest: str) -> str:
    """Shorten a digest, keeping the name of a model on the Hub."""
    name, at, content = digest.rpartition("@")
    return code(f"{name}{at}{content[:12]}")


def visible(text: str) -> str:
    """Show control characters, which Markdown and terminals do not bear, as their pictures."""
    pictures = {n: 0x2400 + n for n in range(32) if chr(n) not in "\n\t"} | {127: 0x2421}
    return text.translate(pictures)


def fenced(text: str) -> str:
    """Quote a text verbatim within a fence that no backticks of its own can close."""
    longest = max(map(len, re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{visible(text)}\n{fence}"


def code(text: str) -> str:
    """Quote a text within a line or a table's cell."""
    line = " ".join(visible(text).split())
    ticks = "`" * (1 + max(map(len, re.findall(r"`+", line)), default=0))
    return f"{ticks} {line} {ticks}" if "`" in line else f"`{line}`"


def plain(text: str) -> str:
    """Write a name so that nothing in it is taken for Markdown."""
    return re.sub(r"([\\`*_\[\]<>#])", r"\\\1", " ".join(visible(text).split()))
