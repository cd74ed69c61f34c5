"""The report's sections about what a run took: stages, engines, the limit, and the forecast."""

from collections.abc import Sequence
from typing import Any

from pipelines.readers.blocks import Block, entry, table
from pipelines.readers.current import all_steps
from pipelines.readers.layout import number, percent, span
from pipelines.readers.report_rounds import rounds_with
from pipelines.readers.status import SAMPLING
from rft.ending import amounts, budgets, in_words, rise, spent_by
from rft.errors import RFTError
from rft.estimates.forecast import amount
from rft.measuring.cut_answers import ALARM, ENOUGH
from rft.runs.folder import Run
from rft.runs.models import last_round
from rft.sampling.plan import SamplingStage
from rft.sampling.preflight import foreseen, probes_noted, speed_of


def cost(run: Run) -> list[Block]:
    """Write what each stage took, and what a selected sample cost."""
    rows = [["round", "stage", "seconds", "tokens", "tokens/s", ""]]
    seconds, tokens, notes = 0.0, 0, []
    for round, stage in all_steps(run):
        if not (made := run.manifest(stage.name, round)):
            continue
        seconds += made["seconds"]
        kind = {name: "sampled" for name in SAMPLING} | {"score": "scored"}
        kind["train"] = kind["sft"] = "to learn from, per epoch"
        tokens += made["tokens"] if kind.get(stage.name) == "sampled" else 0
        rows.append(
            [
                f"{round}" if round else "base",
                stage.name,
                number(made["seconds"]),
                number(made.get("tokens"), ",d"),
                number(made.get("tokens_per_second"), ",.0f"),
                kind.get(stage.name, ""),
            ]
        )
        if (steps := made.get("step_seconds", 0)) > made["seconds"]:
            notes += entry(
                "note",
                f"{stage.name} went on where an earlier attempt ended; seconds are those of the "
                f"last attempt, all its steps took {steps:,.1f}",
            )
        now = made.get("tokens_sampled_now", made.get("tokens"))
        if taken := made.get("taken_over"):
            notes += entry(
                "note",
                f"{stage.name} of round {round} took over {taken:,} answers that were there "
                f"already, and sampled {now:,} of the tokens",
            )
        elif now != made.get("tokens"):
            notes += entry(
                "note",
                f"{stage.name} of round {round} went on where an earlier attempt ended; seconds "
                f"are those of the last attempt, which sampled {now:,} of the tokens",
            )
    if len(rows) == 1:
        return []
    rows.append(["all", "", number(seconds), f"{tokens:,}", "", "sampled"])
    for round, chosen in rounds_with(run, "select"):
        sampled, count = run.manifest("sample", round), sum(chosen["counts"]["selected"].values())
        if sampled and sampled.get("tokens") and count:
            each = f"{sampled['tokens'] / count:,.0f} tokens sampled per selected sample"
            notes += entry(f"round {round}", f"{each} ({sampled['tokens']:,} / {count:,})")
    lead = "  Seconds are of whole stages, loading included; tokens/s is while sampling or scoring."
    return [lead, *table("llrrrl", rows), *notes, *whole_life(run)]


def whole_life(run: Run) -> list[Block]:
    """Write what the run has spent in all, of which budgets, and whether it still gains."""
    stop, spent = run.recipe.stop, in_words(amounts(spent_by(run)), budgets(run))
    lines = entry("spent", f"{spent}; killed and redone work included")
    seen = rise(run, last_round(run), stop.plateau) if stop and stop.plateau else None
    if seen is not None:
        lines += entry("plateau", seen.in_words() + ("" if seen.sure else ": a plateau"))
    return lines


def sampling(run: Run) -> list[Block]:
    """Write how each sampling stage went: its engines, what the statistics cost, who was cut."""
    rows = [["round", "stage", "engine", "tokens/s", "capture", "KV peak", "preempted", "accepted"]]
    for round, stage in all_steps(run):
        made = run.manifest(stage.name, round) if isinstance(stage, SamplingStage) else None
        if not made:
            continue
        own = made.get("engine", {})
        filtered = run.manifest("filter", round) if stage.name == "sample" else None
        each = filtered.get("tokens_per_accepted") if filtered else None
        where = [own[name] for name in ("runner", "device", "dtype") if name in own]
        rows.append(
            [
                f"{round}" if round else "base",
                stage.name,
                " ".join([made["settings"]["engine"]["kind"], *where]),
                speeds(made),
                percent(own.get("capture_share", own.get("capture_share_of_host_time"))),
                percent(own.get("kv_cache_peak")),
                number(own.get("preemptions"), ",d"),
                number(each),
            ]
        )
    if len(rows) == 1:
        return []
    return [
        "  tokens/s while sampling, over all attempts; capture: share of that time spent on the",
        "  statistics; KV peak and preempted: pressure on the engine's memory; accepted: tokens",
        "  sampled per rollout that is correct and passes the rules.",
        *table("lllrrrrr", rows),
        *cut(run),
    ]


def speeds(made: dict[str, Any]) -> str:
    """Write the tokens per second of a stage, and of how many workers."""
    count = len(made.get("workers", {}))
    workers = f" of {count} workers" if count > 1 else ""
    return number(made.get("tokens_per_second"), ",.0f") + workers


def cut(run: Run) -> list[Block]:
    """Write which answers were cut at the limit, where that is too many."""
    lines = []
    for round, graded in rounds_with(run, "grade"):
        groups = graded.get("cut_at_limit", [])
        shares = [
            f"{each['group']} {percent(each['cut'] / each['answers'])} of {each['answers']:,}"
            for each in groups
            if over(each)
        ]
        if shares:
            lines += entry("warning:", f"round {round}, cut at the limit: {'; '.join(shares)}", 4)
    return lines


def over(group: dict[str, Any]) -> bool:
    """Say whether too many of a group's answers were cut."""
    return bool(group["answers"] >= ENOUGH and group["cut"] > ALARM * group["answers"])


def foretold(run: Run) -> list[Block]:
    """Set what the preflight's probes promise of these settings against what it has come to."""
    probes = probes_noted(run)
    steps = [(stage.name, run.manifest(stage.name, round)) for round, stage in all_steps(run)]
    if probes is None or any(made is None for _, made in steps):
        return []
    done: dict[str, list[dict[str, Any]]] = {}
    for name, made in steps:
        assert made is not None
        done.setdefault(name, []).append(made)
    engines = max((len(made.get("workers", {})) for made in done.get("sample", [])), default=1)
    try:
        ahead = foreseen(run, probes, speed_of(probes, max(engines, 1)))
    except RFTError:  # the base, whose size it takes, is not here any more
        return []

    def add(stage: str, *path: str, rounds: Sequence[int] | None = None) -> float:
        total = 0.0
        for made in done.get(stage, []):
            value: Any = made if rounds is None or made["round"] in rounds else None
            for key in path:
                value = value.get(key) if value else None
            total += value or 0
        return total

    sampled = (
        ("rollouts", ahead.rollouts, ("sample", "counts", "rollouts")),
        ("tokens", ahead.tokens, ("sample", "tokens")),
        ("accepted", ahead.accepted, ("filter", "counts", "accepted")),
    )
    later = range(2, ahead.rounds + 1)
    rows: list[Sequence[str]] = [["", "forecast [95%]", "actual", ""]]
    for what, foreseen_of, path in sampled:
        actual = f"{add(*path, rounds=[1]):,.0f}"
        rows.append([f"{what}, round 1", amount(foreseen_of), actual, ""])
    for what, foreseen_of, path in sampled if later else ():
        value, actual = len(later) * foreseen_of.value, f"{add(*path, rounds=later):,.0f}"
        rows.append([f"{what}, later", f"{value:,.0f}", actual, "at round 1's rates"])
    # What a search for a blend takes is training and evaluation to whoever waits for it.
    trained = add("train", "seconds") + add("sft", "seconds")
    measured = f"{add('evaluate', 'tokens') + add('blend', 'tokens'):,.0f}"
    drawn = add("evaluate", "sampling_seconds") + add("blend", "sampling_seconds")

    def time(hours: float) -> str:
        return span(hours * 3600)

    rows += [
        ["tokens to evaluate", f"{ahead.evaluation_tokens:,.0f}", measured, ""],
        [
            "sampling",
            f"up to {time(ahead.sampling_hours)}",
            span(add("sample", "sampling_seconds")),
            "",
        ],
        ["grading", time(ahead.grading_hours), span(add("grade", "seconds")), "whole stage"],
        ["training", time(ahead.training_hours), span(trained), "whole stage"],
        ["evaluation", f"up to {time(ahead.evaluation_hours)}", span(drawn), ""],
    ]
    return [
        f"  From {ahead.probes} probe rollouts of the base, before anything was spent; times are",
        f"  without loading, and at the speed that was {ahead.speed.source}. Answers that repeat,",
        "  and models that learn, are not foreseen.",
        *table("lrrl", rows),
    ]
