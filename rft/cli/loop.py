"""The whole loop of a recipe: `rft run` in rounds, `rft grpo` online."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rft.cli.one_stage import stage_command
from rft.cli.opening import agree, begin, listening, opened, refuse_lacking
from rft.cli.options import (
    HERE,
    ROUND,
    Duration,
    as_override,
    grace_option,
    parts_option,
    set_option,
    trust_option,
    with_parts,
)
from rft.cli.planning import tell_plan
from rft.cli.terminal import give, say
from rft.errors import RFTError, suggestion

if TYPE_CHECKING:
    from rft.processes.stopping import Stop
    from rft.recipe import Recipe
    from rft.runs.folder import Run


@click.command()
@click.argument("recipe")
@click.option("--out", type=HERE, help="The run folder; runs/NAME of the recipe by default.")
@click.option("--rounds", type=ROUND, help="Rounds in all, in place of the recipe's.")
@click.option(
    "--next", "one_more", is_flag=True, help="Finish the broken round, else make one more."
)
@set_option
@parts_option
@click.option("--update", is_flag=True, help="Redo what changed settings make out of date.")
@click.option(
    "--plan",
    "plan_only",
    is_flag=True,
    help="Only say what would be done, and what it would take, by a few probes.",
)
@click.option("--stop-after", type=Duration(), help="Wind down after this time, e.g. 3h.")
@trust_option
@grace_option
def run(
    recipe: str,
    out: Path | None,
    rounds: int | None,
    one_more: bool,
    overrides: tuple[str, ...],
    parts: tuple[str, ...],
    update: bool,
    plan_only: bool,
    stop_after: float | None,
    grace: float,
) -> None:
    """Run the whole loop of RECIPE, or go on with a run folder.

    RECIPE is a shipped name, a YAML file, or the folder of an earlier run.

    Goes on where an earlier call ended, and does nothing when all is done. Exit code 0: done;
    2: a person must change something; 75: interrupted, run it again.

    \b
    Example:
      rft run quickstart
      rft run mine.yaml --plan
      rft run mine.yaml --out runs/mine --set sample.n=16
      rft run runs/mine --rounds 3
    """
    if rounds is not None and one_more:
        raise click.UsageError("--rounds is how many in all, --next is one more: give one of them")
    if rounds is not None:
        overrides = (*overrides, f"rounds={rounds}")
    overrides = with_parts(overrides, parts)
    run, stored = begin(recipe, out, overrides)
    if run.recipe.grpo is not None:
        raise RFTError(f"{recipe}: it trains online (grpo); `rft grpo {recipe}` runs it")
    if not plan_only:
        refuse_lacking(run.recipe)
    stop = listening(stop_after, grace)
    if plan_only:
        tell_plan(run, stored, stop)
        return
    with opened(run, recipe, out, overrides) as (run, stored):
        drive(run, stored, stop, one_more=one_more, update=update)


@click.command()
@click.argument("recipe", required=False)
@click.option("--model", help="Where training starts: a folder, a Hub id, RUN or RUN@2.")
@click.option("--out", type=HERE, help="The run folder; runs/NAME of the recipe by default.")
@click.option("--list", "list_plugins", is_flag=True, help="List the plug-ins, or describe one.")
@set_option
@parts_option
@click.option("--update", is_flag=True, help="Redo what changed settings make out of date.")
@click.option("--plan", "plan_only", is_flag=True, help="Only say what would be done.")
@click.option("--stop-after", type=Duration(), help="Wind down after this time, e.g. 3h.")
@click.option("--round", type=click.IntRange(1, 1), hidden=True, help="Only the training itself.")
@trust_option
@grace_option
def grpo(
    recipe: str | None,
    model: str | None,
    out: Path | None,
    list_plugins: bool,
    overrides: tuple[str, ...],
    parts: tuple[str, ...],
    update: bool,
    plan_only: bool,
    stop_after: float | None,
    round: int | None,
    grace: float,
) -> None:
    """Train a model online, with GRPO shaped by plug-ins.

    Measures the base, trains, and measures again: model 1 of the run folder, RUN@1. Goes on where
    an earlier call ended. RECIPE has a section `grpo`; --list shows what its `plugins` may be.

    \b
    Example:
      rft grpo grpo-quickstart
      rft grpo grpo-quickstart --model runs/quickstart --out runs/online
      rft grpo --list
      rft grpo --list entropy_advantage
    """
    if list_plugins:
        from rft.exploration import PLUGINS

        if recipe is not None:
            give(described_plugin(recipe))
            return
        for name, plugin in PLUGINS.items():
            give(f"{name:22} {(plugin.__doc__ or '').splitlines()[0]}")
        return
    if recipe is None:
        raise click.UsageError("give RECIPE, or --list")
    if round is not None:
        stage_command("grpo", Path(recipe), round, grace)
        return
    if model is not None:
        overrides = (as_override("model.path", model), *overrides)
    overrides = with_parts(overrides, parts)
    run, stored = begin(recipe, out, overrides)
    if run.recipe.grpo is None:
        raise RFTError(
            f"{recipe}: it has no section `grpo`; `rft recipes grpo-quickstart` shows one "
            f"(`rft run {recipe}` runs its rounds)"
        )
    if not plan_only:
        refuse_lacking(run.recipe)
    stop = listening(stop_after, grace)
    if plan_only:
        tell_plan(run, stored, stop)
        return
    with opened(run, recipe, out, overrides) as (run, stored):
        drive(run, stored, stop, one_more=False, update=update)


def described_plugin(name: str) -> str:
    """Write what a plug-in does, and its parameters."""
    import inspect

    from rft.exploration import PLUGINS

    if name not in PLUGINS:
        advice = suggestion(name, PLUGINS, otherwise="`rft grpo --list` lists them")
        raise RFTError(f'there is no plug-in "{name}"; {advice}')
    plugin = PLUGINS[name]
    lines = [name, "", inspect.getdoc(plugin) or "", "", "Parameters:"]
    for key, field in plugin.model_fields.items():
        default = "required" if field.is_required() else f"default {json.dumps(field.default)}"
        lines.append(f"  {key} ({default})  {field.description or ''}".rstrip())
    return "\n".join(lines)


def drive(
    run: "Run", stored: "Recipe | None", stop: "Stop", *, one_more: bool, update: bool
) -> None:
    """Do what is not done yet of a run."""
    from pipelines import run as loop
    from pipelines.children import ChildFailed
    from pipelines.followed import run_followed
    from pipelines.readers.report import in_short, text_report

    run = agree(run, stored, update=update, plan_of=loop.plan)
    upto = loop.next_round(run, say) if one_more else run.recipe.rounds
    run = with_rounds(run, max(upto, run.recipe.rounds))
    try:
        anything = run_followed(run, upto, stop, say, one_more=one_more)
    except ChildFailed as failed:
        raise SystemExit(failed.code) from None
    if anything:  # a schedule's log has no use for the same report each night
        give(text_report(run) + "\n")
    else:
        say(f"{run.path}: nothing to do, {what_is_done(run, upto)}")
    give(in_short(run))


def what_is_done(run: "Run", upto: int) -> str:
    """Say how far a run is of which nothing is left to do."""
    from pipelines.readers.current import standing

    if (stands := standing(run)).ended:
        upto = stands.rounds
    rounds = "1 round is" if upto == 1 else f"{upto} rounds are"
    return "the training is done" if run.recipe.grpo else f"{rounds} done"


def with_rounds(run: "Run", rounds: int) -> "Run":
    """Raise a run's number of rounds."""
    from rft.runs.folder import Run, save_recipe

    if rounds == run.recipe.rounds:
        return run
    raised = Run(run.path, run.recipe.model_copy(update={"rounds": rounds}))
    save_recipe(raised)
    return raised
