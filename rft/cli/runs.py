"""What reads a whole run, and hands it on; and the recipes and benchmarks that there are."""

from dataclasses import replace
from pathlib import Path

import click

from rft.cli.options import HERE, ROUND, megabytes_option
from rft.cli.terminal import give, give_file, give_json, say
from rft.errors import RFTError, clipped, shown, suggestion

# What `--model` without a name stands for: beside the data set. No repository is called so.
BESIDE = ""


@click.command()
@click.argument("targets", metavar="RUN [RUN...]", nargs=-1, required=True)
@click.option("--html", type=HERE, metavar="FILE", help="Write one page to look at, instead.")
@megabytes_option
@click.option("--tokens", is_flag=True, help="Entropy by position, word and perplexity, instead.")
@click.option("--figures", type=HERE, metavar="DIR", help="Write figures, as SVG and PNG, instead.")
@click.option("--round", type=ROUND, help="The round of tokens; else the last that is graded.")
def report(
    targets: tuple[str, ...],
    html: Path | None,
    max_mb: float,
    tokens: bool,
    figures: Path | None,
    round: int | None,
) -> None:
    """Say what a run did to Pass@1 and Pass@k, and why.

    With --html, write that as one page with figures and rollouts to read, their tokens tinted by
    entropy: it loads nothing, and can be sent to anybody. Of several runs (RUN@2 is a run's model
    2) the page sets their models side by side. With --tokens, say where in an answer, and in which
    words, the policy was unsure. With --figures, draw all that; each figure has its data beside
    it, as Vega-Lite JSON. Other files in DIR stay.

    \b
    Example:
      rft report runs/quickstart
      rft report runs/quickstart --html quickstart.html
      rft report runs/quickstart --tokens --round 1
      rft report runs/quickstart --figures figures
      rft report runs/one runs/two --html both.html
    """
    from rft.runs.folder import open_run

    if round is not None and not tokens and figures is None:
        raise click.UsageError("--round goes with --tokens or --figures")
    if html is not None and (tokens or figures is not None):
        raise click.UsageError("--html has the tokens and figures; leave --tokens and --figures")
    if len(targets) > 1:
        if html is None:
            raise click.UsageError(
                "several runs make a page: add --html FILE, or use `rft compare`"
            )
        from pipelines.readers.page.comparison import page_of_runs

        give(page_of_runs(targets, html))
        return
    run = open_run(Path(targets[0]))
    if html is not None:
        from pipelines.readers.page.page import write_page

        size = write_page(run, html, max_mb)
        give(f"{html} ({size / (1 << 20):.1f} MiB)")
        return
    if tokens:
        from pipelines.readers.report_tokens import text_tokens

        give(text_tokens(run, round))
    if figures is not None:
        from pipelines.readers.pictures import write_pictures

        give("\n".join(str(path) for path in write_pictures(run, figures, round)))
    if not tokens and figures is None:
        from pipelines.readers.report import text_report

        give(text_report(run))


@click.command()
@click.argument("run_folder", metavar="RUN", type=HERE)
@click.argument("row")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON, for programs.")
def trace(run_folder: Path, row: str, as_json: bool) -> None:
    """Say where a row comes from, and under which licence.

    Names every step with its command, versions and digests.

    ROW is a rollout's id, or the start of one, or FILE:LINE: a row of an export, Parquet or JSON
    lines, the first of which is 1.

    Every column that the run has is compared, and the others are named. Keep rollout_id in a copy,
    or problem_id, round and sample_index: without them a row is not found.

    Exit code 2: the row is not what the run has, or only its problem could be found, or a file of
    the run is not what its manifest says.

    \b
    Example:
      rft trace runs/quickstart 137df422
      rft trace runs/quickstart exports/quickstart/sft/train-round-0001-00000.parquet:12
    """

    from pipelines.readers import tracing as reader
    from pipelines.readers.trail_words import text_trace
    from rft.runs.folder import open_run

    run = replace(open_run(run_folder), checked=False)  # it says itself what is damaged
    traced = reader.trace(run, row)
    if as_json:
        give_json(traced)
    else:
        give(text_trace(traced))
    if wrong := reader.complaint(run, traced):
        raise RFTError(wrong)


@click.command()
@click.argument("run_folder", metavar="RUN", type=HERE)
@click.option("--to", type=HERE, metavar="DIR", help="The folder; an earlier export gives way.")
@click.option("--repo", metavar="ORG/NAME", help="The data set on the Hugging Face Hub, instead.")
@click.option("--public", is_flag=True, help="Make what is new on the Hub public; else private.")
@click.option(
    "--license",
    "license_id",
    metavar="ID",
    help="The data's licence, e.g. cc-by-4.0; the Hub needs one.",
)
@click.option(
    "--model",
    is_flag=False,
    flag_value=BESIDE,
    metavar="[ORG/NAME]",
    help="The last adopted model too, into DIR-model; on the Hub, into ORG/NAME-model or this one.",
)
@click.option("--no-token-stats", is_flag=True, help="Leave out the rollouts' lists per token.")
def export(
    run_folder: Path,
    to: Path | None,
    repo: str | None,
    public: bool,
    license_id: str | None,
    model: str | None,
    no_token_stats: bool,
) -> None:
    """Write a dataset with a card: into a folder, or to the Hub.

    `datasets.load_dataset` opens it as it is.

    Its configs: sft (the selected samples), rollouts, graded, problems, evaluations; of an online
    run dynamics, problems, evaluations. The model goes apart: on the Hub a model and a dataset are
    two repositories.

    With --repo each repository gets one commit of what differs from it, so that a round more adds
    its files, and nothing is sent twice. Files that others put there stay. A repository that is
    not there is made, private unless --public; who pushes is said by `hf auth login` or HF_TOKEN.

    \b
    Example:
      rft export runs/quickstart --to exports/quickstart --license apache-2.0 --model
      rft export runs/quickstart --repo my-org/quickstart --license apache-2.0 --model
    """
    from rft.processes.stopping import Stop, end_on_signals
    from rft.runs.folder import open_run

    if license_id is not None and (len(license_id) > 100 or not license_id.isprintable()):
        raise RFTError(f"--license {clipped(ascii(license_id))}: no licence is called so")
    if (to is None) == (repo is None):
        raise click.UsageError("give --to DIR or --repo ORG/NAME, one of them")
    if to is not None:
        from pipelines.readers.export import export_run

        if public or model not in (None, BESIDE):
            raise click.UsageError("--public and a model's name go with --repo")
        end_on_signals(grace=3, left="an earlier export is as it was")
        made: list[Path] | list[str] = export_run(
            open_run(run_folder),
            to=to,
            license_id=license_id,
            token_stats=not no_token_stats,
            with_model=model is not None,
            say=say,
        )
    else:
        from pipelines.readers.publish import publish_run

        assert repo is not None
        made = publish_run(
            open_run(run_folder),
            repo=repo,
            public=public,
            license_id=license_id,
            token_stats=not no_token_stats,
            model_repo=f"{repo}-model" if model == BESIDE else model,
            say=say,
            # Nothing is half-pushed, so there is nothing to wind down.
            stop=Stop(grace=3).listen(),
        )
    for each in made:
        give(f"{each}")


@click.command()
@click.argument("name", required=False)
def recipes(name: str | None) -> None:
    """List the shipped recipes, or print one to start from.

    \b
    Example:
      rft recipes quickstart > mine.yaml
    """
    from rft.recipe.loading import recipe_names, recipe_text

    if name is not None:
        give_file(recipe_text(name))
        return
    for each in recipe_names():
        first = recipe_text(each).splitlines()[0].removeprefix("#").strip()
        give(f"{each:24} {first}")


@click.command()
@click.argument("name", required=False)
def benchmarks(name: str | None) -> None:
    """List the benchmarks that can be named, or say all about one.

    A recipe takes their names in place of a source, and `rft evaluate --problems` does too.

    \b
    Example:
      rft benchmarks math500
      rft evaluate --model my-model --problems math500 --output runs/math500
    """
    import json

    from rft.problems.benchmarks import BENCHMARKS, MAX_TOKENS, TEMPERATURE, TOP_P

    if name is None:
        for each, row in BENCHMARKS.items():
            give(f"{each:14} {row.problems:5,} problems x {row.n:<4} hub:{row.dataset}")
        return
    if name not in BENCHMARKS:
        advice = suggestion(
            name.casefold(), BENCHMARKS, otherwise=f"there are {', '.join(BENCHMARKS)}"
        )
        raise RFTError(f"no benchmark is called {shown(name)}; {advice}")
    row = BENCHMARKS[name]
    give(f"{name}: {row.problems:,} problems. {row.note}")
    give(f"  licence: {row.license or 'not stated, as far as is known'}")
    give(
        f"  sampling: n: {row.n}, temperature: {TEMPERATURE:g}, top_p: {TOP_P:g}, "
        f"max_tokens: {MAX_TOKENS}"
    )
    give(f"  in a recipe: prepare.test: [{name}], evaluate.n: {{{name}: {row.n}}}")
    give("  which stands for:")
    for key, value in row.source().items():
        give(f"    {key}: {value if isinstance(value, str) else json.dumps(value)}")
