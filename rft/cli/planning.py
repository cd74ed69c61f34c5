"""What would be done, and what it would take, told before anything is spent."""

from typing import TYPE_CHECKING

from rft.cli.opening import planned
from rft.cli.terminal import give, say
from rft.errors import RFTError

if TYPE_CHECKING:
    from rft.estimates.forecast import Forecast
    from rft.processes.stopping import Stop
    from rft.recipe import Recipe
    from rft.runs.folder import Run


def tell_plan(run: "Run", stored: "Recipe | None", stop: "Stop") -> None:
    """Say what would be done, what the gate can see, and what it will take."""
    from pipelines import run as loop
    from pipelines.children import ChildFailed
    from pipelines.gate import seen_by_gate
    from pipelines.perform import STAGES

    if stored is None:
        STAGES["prepare"].inputs(run, 0)
    give("\n".join(planned(run, stored, loop.plan(run, run.recipe.rounds))))
    for line in seen_by_gate(run):
        give(f"  gate: {line}")
    try:
        give(foreseen(run, stop)[0])
    except ChildFailed as failed:
        raise SystemExit(failed.code) from None


def foreseen(run: "Run", stop: "Stop") -> "tuple[str, Forecast | None]":
    """Write what the whole run will take: as its preflight run, else by probes made for this.

    None where nothing can be foreseen.
    """
    from pipelines.perform import probe
    from rft.engines import refuse_missing
    from rft.estimates.forecast import at_most, described
    from rft.sampling.preflight import is_current, recorded

    if (grpo := run.recipe.grpo) is not None:
        drawn = grpo.steps * grpo.problems * grpo.n
        most = f"at most {drawn:,} answers and {drawn * grpo.max_tokens:,} tokens to learn from"
        return f"  {most}; what that takes is not forecast", None
    if not run.recipe.rounds or not run.recipe.engine.traits.draws:
        return "  nothing is sampled to learn from, so there is nothing to forecast", None
    if is_current(run):
        ahead, how = recorded(run), "from its preflight"
    else:
        try:
            refuse_missing(run.recipe.engine.kind)
        except RFTError as error:
            return at_most(run.recipe, str(error)), None
        say("sampling a few probes, for a forecast")
        ahead, how = probe(run.recipe, stop), "from probes made just now"
    head = (
        f"  forecast for the whole run, what is done included, {how} ({ahead.probes} rollouts, "
        "95% intervals):"
    )
    lines = [head, *(f"    {what:11}{text}" for what, text in described(ahead))]
    return "\n".join(lines), ahead
