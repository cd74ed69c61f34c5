"""Stages that work on a round of a run, or on a file of anyone's rows, and how to get such rows."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rft.cli.one_stage import stage_command
from rft.cli.options import (
    HERE,
    as_override,
    grace_option,
    parts_option,
    round_option,
    set_option,
    trust_option,
    with_parts,
)
from rft.cli.terminal import give, say
from rft.errors import RFTError

if TYPE_CHECKING:
    import polars as pl

    from rft.recipe import Recipe


@dataclass(frozen=True)
class Rows:
    """A file of anyone's rows, where to write what a stage makes of them, and the settings."""

    source: Path
    output: Path
    columns: tuple[str, ...]
    recipe: "Recipe"
    model: str | None
    audit: int | None

    def read(self) -> "pl.DataFrame":
        """Read the rows, renamed as asked."""
        from rft.problems.foreign_rows import read_foreign

        return read_foreign(self.source, self.columns)

    def beside(self, kind: str) -> Path:
        """Name the file beside the output for the other rows, which is not the input."""
        path = self.output.with_suffix(f".{kind}.parquet")
        words = kind.replace("_", " ")
        refuse_place(path, self.source, words)
        return path


OverRows = Callable[[Rows], None]


def rows_stage(stage: str, *more: Callable[..., Any]) -> Callable[[OverRows], click.Command]:
    """Make the command of a stage that works on a run's round or on anyone's rows."""

    def add(over_rows: OverRows) -> click.Command:
        options: list[Callable[..., Any]] = [
            click.argument("run_folder", metavar="[RUN]", type=HERE, required=False),
            round_option,
            click.option("--input", "source", type=HERE, help="Anyone's JSONL or Parquet file."),
            click.option("--output", type=HERE, help="The Parquet file to write."),
            click.option("--recipe", help="Whose settings, with --input (default: quickstart)."),
            click.option(
                "--column",
                "columns",
                multiple=True,
                metavar="OURS=THEIRS",
                help="Rename a column of the input, e.g. --column completion=response.",
            ),
            *more,
            set_option,
            parts_option,
            trust_option,
            grace_option,
        ]

        def command(run_folder: Path | None, round: int | None, grace: float, **given: Any) -> None:
            if run_folder is None:
                from rft.processes.stopping import end_on_signals

                end_on_signals(grace)
                over_rows(rows_of(round, **given))
                return
            audit = given.pop("audit", None)
            if any(given.values()):
                raise click.UsageError("give RUN, or --input with --output, not both")
            # An audit judges what was graded, by whatever settings; it grades nothing again.
            if audit is None or not has_graded(run_folder, round):
                stage_command(stage, run_folder, round, grace)
            if audit is not None:
                audit_command(run_folder, round, audit)

        for option in reversed(options):
            command = option(command)
        return click.command(stage, help=over_rows.__doc__)(command)

    return add


def has_graded(folder: Path, round: int | None) -> bool:
    """Say whether a round of a run, or any, is graded."""
    from rft.runs.folder import open_run

    run = open_run(folder)
    rounds = range(1, run.recipe.rounds + 1) if round is None else [round]
    return any(run.manifest("grade", each) for each in rounds)


def audit_command(folder: Path, round: int | None, number: int) -> None:
    """Judge some of a run's answers again, and say how many verdicts differ."""
    from pipelines.audit import audit_round
    from rft.cli.opening import refuse_others
    from rft.runs.folder import open_run

    refuse_others(folder)
    audit_round(open_run(folder), round, number, give)


def rows_of(
    round: int | None,
    source: Path | None,
    output: Path | None,
    recipe: str | None,
    columns: tuple[str, ...],
    overrides: tuple[str, ...],
    parts: tuple[str, ...] = (),
    model: str | None = None,
    audit: int | None = None,
    verdicts: str | None = None,
    where: str | None = None,
    **ranked: str | None,
) -> Rows:
    """Check the options of a stage over anyone's rows."""
    if source is None or output is None:
        raise click.UsageError("give RUN, or both --input and --output")
    if round is not None:
        raise click.UsageError("--round is about a RUN; rows of --input have no rounds")
    from pipelines.perform import check_recipe
    from rft.problems.reading import refuse_no_file
    from rft.processes.stopping import die_with_parent
    from rft.recipe.loading import load_recipe

    die_with_parent()
    refuse_other_kind(output)
    refuse_no_file(source)
    refuse_place(output, source)
    if any(ranked.values()):
        # Together they are one choice: the recipe's, or the one that the options make.
        overrides += tuple(f"select.{name}={value or 'null'}" for name, value in ranked.items())
    for key, value in {"grade.verdicts": verdicts, "select.where": where}.items():
        if value is not None:
            overrides += (as_override(key, value),)
    settings = load_recipe(recipe or "quickstart", with_parts(overrides, parts))
    check_recipe(settings, of_rows=True)
    return Rows(source, output, columns, settings, model, audit)


def refuse_other_kind(output: Path) -> None:
    """Refuse to write rows into a file that is not called as a Parquet file is."""
    if output.suffix != ".parquet":
        raise RFTError(f"--output {output}: write a Parquet file, a name that ends in .parquet")


def refuse_place(output: Path, source: Path | None, others: str = "") -> None:
    """Refuse to write where that would fail at the end, or would replace what is no output."""
    from rft.runs.folder import is_run

    place = f"--output {output}" + (f", where the {others} rows go" if others else "")
    if output.is_dir():
        raise RFTError(f"{place}: it is a folder; name a file in it")
    if output.exists() and source and source.exists() and output.samefile(source):
        what = f"the {others} rows would replace the input" if others else "that is the input"
        raise RFTError(f"{place}: {what}; name another file")
    if output.exists() and not output.is_file():
        raise RFTError(f"{place}: it is no file, and would be replaced; name another")
    for above in output.absolute().parents:
        if above.exists() and not above.is_dir():
            raise RFTError(f"{place}: {above} is not a folder; name another file")
        if is_run(above):
            raise RFTError(
                f"{place}: {above} is a run folder, whose files are its own; name another"
            )


@click.command("adopt")
@click.argument("source")
@click.option(
    "--as",
    "format_",
    type=click.Choice(["auto", "rllm", "verifiers", "inspect", "gym", "openai"]),
    default="auto",
    show_default=True,
    help="Who saved them; auto looks at the first records.",
)
@click.option("--output", type=HERE, required=True, help="The Parquet file to write.")
@click.option("--gold", metavar="NAME", help="The column with golds, or a place such as info.gold.")
@click.option("--score", metavar="NAME", help="Which of several scores is to be `reward`.")
@grace_option
def adopt(
    source: str, format_: str, output: Path, gold: str | None, score: str | None, grace: float
) -> None:
    """Make rows of anyone's rollouts, which grade, filter, score and select take with --input.

    SOURCE is a file, a folder, a glob, or an address: https://, hf://, s3:// (with
    rft-rounds[s3]), whatever fsspec opens. Files are JSON lines, JSON, CSV, Parquet or .eval, as
    they are or packed by gzip or zstd. Rollouts are episodes of rLLM, saved runs of verifiers,
    logs of inspect_ai, rollouts of NeMo Gym, or chats as in OpenAI's API.

    What is more than a question and an answer in text (tool calls, several turns, images) goes
    beside OUTPUT, into NAME.set_aside.parquet, each with the reason.

    \b
    Example:
      rft adopt logs/aime.eval --output rows.parquet
      rft adopt hf://datasets/my-org/runs --as verifiers --output rows.parquet
      rft adopt "s3://bucket/chats/*.jsonl.gz" --as openai --gold label --output rows.parquet
      rft grade --input rows.parquet --output graded.parquet
      rft grade --input rows.parquet --output graded.parquet --set grade.verifier=given \\
        --column verdict=reward
    """
    from rft.foreign.adopt import Wanted, remarks
    from rft.foreign.adopt import adopt as adopt_source
    from rft.processes.stopping import die_with_parent, end_on_signals

    end_on_signals(grace)
    die_with_parent()
    refuse_other_kind(output)
    here = None if "://" in source else Path(source)
    refuse_place(output, here)
    beside = output.with_suffix(".set_aside.parquet")
    refuse_place(beside, here, "set aside")
    wanted = Wanted(format_, gold, score)
    count = adopt_source(source, wanted, output, beside, say)
    put = f"{count.set_aside.total()} set aside" + (f" ({count.reasons})" if count.reasons else "")
    give(
        f"{count.rollouts} rollouts, read as {count.format} = {count.kept} kept + {put} -> {output}"
    )
    for line in remarks(count, wanted):
        say(line)


@rows_stage(
    "grade",
    click.option(
        "--audit",
        type=click.IntRange(1, 10**9),
        metavar="N",
        help="Judge N of the answers again by two other ways, and say how many differ.",
    ),
    click.option(
        "--verdicts",
        metavar="FILE",
        help="With --input: verdicts known already, to be read and added to; sets grade.verdicts.",
    ),
)
def grade(rows: Rows) -> None:
    """Check the answers of a round, or of anyone's rows.

    Rows need `completion` (a text, or a list of texts) and `gold`; with --set grade.verifier=given
    they bring `verdict` in its place. Verdicts: correct, wrong, no_answer, unparseable, timeout,
    bad_gold.

    \b
    Example:
      rft grade --input answers.jsonl --output graded.parquet --column completion=response
      rft grade --input answers.jsonl --output graded.parquet --verdicts verdicts.parquet
    """
    from pipelines.audit import audit_rows
    from pipelines.rows import grade_file
    from rft.problems.foreign_rows import need, write_rows

    beside = rows.beside("audit") if rows.audit else None
    given = rows.read()
    if rows.audit:
        need(given, ["gold"], rows.source)
    graded = grade_file(given, rows.source, rows.recipe.grade, say)
    write_rows(rows.output, graded)
    counts = ", ".join(f"{n} {v}" for v, n in sorted(graded["verdict"].value_counts().iter_rows()))
    give(f"{len(graded)} graded: {counts} -> {rows.output}")
    if rows.audit and beside:
        audit_rows(graded, rows.source, rows.recipe, rows.audit, beside, give)


@rows_stage("filter")
def filter_(rows: Rows) -> None:
    """Apply the rules to a round, or to anyone's rows.

    The rejected rows go beside OUTPUT, into NAME.rejected.parquet, each with its rule's name.

    \b
    Example:
      rft filter --input graded.parquet --output kept.parquet --set filter.redundant.threshold=0.2
    """
    from pipelines.filter import by_rule, funnel_line
    from pipelines.rows import filter_file
    from rft.problems.foreign_rows import write_rows

    beside = rows.beside("rejected")
    kept, rejected = filter_file(rows.read(), rows.source, rows.recipe.filter, say)
    write_rows(beside, rejected)
    write_rows(rows.output, kept)
    counts = {"in": len(kept) + len(rejected), "kept": len(kept), "rejected": by_rule(rejected)}
    give(f"{funnel_line(counts)} -> {rows.output}")


@rows_stage(
    "score",
    click.option("--model", help="With --input: the policy, a folder, a Hub id, RUN or RUN@2."),
)
def score(rows: Rows) -> None:
    """Compute entropy, branching and perplexity by a forward pass.

    In a run: of the rows that `select` ranks, where sampling recorded none or only estimates.

    Anyone's rows need `completion` or `response`, and `prompt` (as the model reads it) or
    `question` (put into the recipe's prompt). The text counts up to its first box, as in grading;
    token_ids are used where they spell it. Means over its tokens are added, in nats.

    \b
    Example:
      rft score --input kept.parquet --output scored.parquet --model runs/quickstart@1
    """
    if rows.model is None:
        raise RFTError(
            "rft score --input: no --model; say whose statistics, e.g. --model runs/quickstart@1"
        )
    from pipelines.rows import score_file
    from rft.problems.foreign_rows import write_rows
    from rft.runs.models import resolve

    policy = resolve(rows.recipe.model.model_copy(update={"path": rows.model}))
    scored = score_file(rows.read(), rows.source, rows.recipe, policy, say)
    write_rows(rows.output, scored)
    known = scored["stats_origin"].count()
    without = f", {len(scored) - known} without tokens to score" if known < len(scored) else ""
    give(f"{known} scored{without} -> {rows.output}")


@rows_stage(
    "select",
    click.option(
        "--strata",
        type=click.Choice(["length"]),
        help="With --input: rank within tenths by length, in place of the recipe's strata, within.",
    ),
    click.option(
        "--within",
        type=click.Choice(["problem"]),
        help="With --input: rank within each problem, in place of the recipe's strata, within.",
    ),
    click.option(
        "--where",
        metavar="C",
        help="With --input: only these may be chosen, e.g. 'pass_rate < 0.9'; sets select.where.",
    ),
)
def select(rows: Rows) -> None:
    """Pick what to train on from a round, or from anyone's rows.

    The others go beside OUTPUT, into NAME.passed_over.parquet, each with the reason and its place.
    What --where takes is the grammar of `rft show --where`.

    \b
    Example:
      rft select --input kept.parquet --output selected.parquet --set select.by=random
      rft select --input kept.parquet --output selected.parquet --where "0.1 < pass_rate < 0.9"
    """
    from pipelines.rows import select_file
    from rft.problems.foreign_rows import write_rows

    recipe, beside = rows.recipe, rows.beside("passed_over")
    chosen = select_file(rows.read(), rows.source, recipe.select, recipe.seed, say)
    write_rows(beside, chosen.passed_over)
    write_rows(rows.output, chosen.rows)
    roles = ", ".join(f"{n} {r}" for r, n in sorted(chosen.rows["role"].value_counts().iter_rows()))
    dropped = ", ".join(f"{count} {reason}" for reason, count in chosen.dropped.items())
    give(
        f"{len(chosen.rows)} selected ({roles}) -> {rows.output}; "
        f"not selected: {dropped or 'none'} -> {beside}"
    )
    if chosen.shortfall:
        say(chosen.shortfall)
