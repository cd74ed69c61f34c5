"""What a round came to, as one tree of numbers: for who is told of it, and for the curves.

Shares, not percent; entropies in nats. What is not known is null. The numbers and their intervals
are those of the report.
"""

import math
from collections.abc import Sequence
from typing import Any

import polars as pl

from pipelines.readers.current import sound
from pipelines.readers.measured_on import measured_on
from pipelines.readers.report_rounds import mean, statistics
from pipelines.readers.report_scores import change_of, pass_of
from pipelines.readers.status import SAMPLING, round_seconds
from rft.measuring.pass_at_k import Interval, solved
from rft.runs.folder import Run

Tree = dict[str, Any]

# The groups of a round's rollouts: as the report calls them, and as they are called here.
GROUPS = {"all": "sampled", "pool": "pool", "positive": "selected"}


def closing_stage(run: Run, round: int) -> str:
    """Name the last stage of a round; round 0 is the base."""
    return "gate" if round and run.recipe.gate is not None else "evaluate"


def is_complete(run: Run, round: int) -> bool:
    """Say whether a round is through: its model measured, and judged where there is a gate."""
    return all(sound(run, name, round) for name in {"evaluate", closing_stage(run, round)})


def figures(run: Run, round: int) -> Tree:
    """Tell what a complete round came to; its model is the one of the same number."""
    made = list(run.manifests())
    spent = [each for each in made if each["round"] == round]
    tree = {
        "adopted": adopted_or_not(run, round),
        "scores": scores_of(run, round),
        "cost": {
            "tokens": tokens_of(spent),
            "tokens_of_run": tokens_of([each for each in made if each["round"] <= round]),
            "seconds": round_seconds(each.get("seconds") or 0 for each in spent),
        },
    }
    if round:
        about = _trained_online(run) if run.recipe.grpo else _rollouts(run, round)
        cost = tree["cost"] | about.pop("cost")
        tree |= {**about, "cost": cost}
    return dict(finite(tree))


def adopted_or_not(run: Run, round: int) -> bool | None:
    """Give the gate's decision on a round's model; None where there is none."""
    gate = sound(run, "gate", round) if run.recipe.gate is not None and round else None
    return bool(gate["counts"]["adopted"]) if gate else None


def scores_of(run: Run, model: int) -> Tree:
    """Give a model's Pass@1 and highest Pass@k on all that it was measured on, and the change to
    the base.
    """
    frames = {number: _answers(run, number) for number in dict.fromkeys([0, model])}
    tree: Tree = {}
    for what in measured_on({model: frames[model]}):
        name = what.name
        here = {number: what.of(frame) for number, frame in frames.items()}
        counts = [solved(frame)["n"].to_list() for frame in here.values() if not frame.is_empty()]
        least = min(min(each) for each in counts)
        tree[name] = {"problems": len(counts[-1]), "samples": least}
        for k in sorted({1, max(k for k in (1, *run.recipe.evaluate.k) if k <= least)}):
            seen = interval(pass_of(run, name, model, here[model], k))
            if model and not here[0].is_empty():
                change = change_of(run, name, model, (here[0], here[model]), k)
                seen["change"] = interval(change)
            tree[name][f"pass@{k}"] = seen
    return tree


def interval(mean: Interval) -> Tree:
    """Write an interval as numbers."""
    return {"value": mean.value, "low": mean.low, "high": mean.high}


def _answers(run: Run, model: int) -> pl.DataFrame:
    return run.read("evaluations", model, ["split", "benchmark", "problem_id", "verdict"])


def _rollouts(run: Run, round: int) -> Tree:
    """Tell what became of a round's rollouts: how many there were at each step, and their means."""
    made = {stage: run.manifest(stage, round) or {} for stage in ("sample", "filter", "sft")}
    filtered = made["filter"].get("counts", {})
    frames = {GROUPS[name]: each for name, each in statistics(run, round) if name in GROUPS}
    lengths = {
        "sampled": run.read("graded", round, ["num_response_tokens"]),
        "selected": run.read("selected", round, ["num_response_tokens"]),
    }
    return {
        "funnel": {
            "sampled": len(frames["sampled"]),
            "correct": len(frames["sampled"].filter(pl.col("verdict") == "correct")),
            "kept": filtered.get("kept"),
            "kept_share": _share(filtered.get("kept"), filtered.get("in")),
            "selected": len(lengths["selected"]),
            "trained": made["sft"].get("counts", {}).get("trained"),
            "rejected": filtered.get("rejected", {}),
        },
        "entropy": {name: mean(frame, "mean_entropy") for name, frame in frames.items()},
        "branching": {name: mean(frame, "mean_branching") for name, frame in frames.items()},
        "response_tokens": {n: mean(each, "num_response_tokens") for n, each in lengths.items()},
        "cost": {
            "tokens_per_second": made["sample"].get("tokens_per_second"),
            "tokens_per_accepted": made["filter"].get("tokens_per_accepted"),
        },
    }


def _trained_online(run: Run) -> Tree:
    """Tell what online training came to; its own curves have the steps."""
    made = run.manifest("grpo", 1) or {}
    counts = made.get("counts", {})
    steps = run.read("dynamics", 1, ["reward", "entropy", "response_length"])
    seconds, tokens = made.get("step_seconds"), made.get("tokens")
    return {
        "funnel": {"sampled": counts.get("in"), "trained": counts.get("trained")},
        "steps": len(steps),
        "reward": {"mean": mean(steps, "reward")},
        "entropy": {"sampled": mean(steps, "entropy")},
        "response_tokens": {"sampled": mean(steps, "response_length")},
        "cost": {"tokens_per_second": tokens / seconds if tokens and seconds else None},
    }


def _share(part: int | None, whole: int | None) -> float | None:
    return None if part is None or not whole else part / whole


def tokens_of(made: Sequence[Tree]) -> int:
    """Add the tokens that stages drew."""
    return sum((each.get("tokens") or 0) for each in made if each["stage"] in SAMPLING)


def finite(tree: Any) -> Any:
    """Put null in the place of numbers that JSON does not know."""
    if isinstance(tree, dict):
        return {name: finite(each) for name, each in tree.items()}
    if isinstance(tree, list):
        return [finite(each) for each in tree]
    return None if isinstance(tree, float) and not math.isfinite(tree) else tree
