"""The report's sections about what a run took: stages, engines, the limit, and the forecast."""

from collections.abc import Sequence
from typing import Any

from pipelines.layout import entry, number, percent, span, table
from pipelines.report_rounds import rounds_with
from pipelines.status import all_steps
from rft.forecast import Range, amount
from rft.limits import ALARM, ENOUGH
from rft.store import Run


def cost(run: Run) -> list[str]:
    """Write what each stage took, and what a selected sample cost."""
    rows = [["round", "stage", "seconds", "tokens", "tokens/s", ""]]
    seconds, tokens, notes = 0.0, 0, []
    for round, stage in all_steps(run):
        if not (made := run.manifest(stage.name, round)):
            continue
        seconds += made["seconds"]
        kind = {"sample": "sampled", "evaluate": "sampled", "score": "scored"}
        kind["sft"] = "to learn from, per epoch"
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
        now = made.get("tokens_sampled_now", made.get("tokens"))
        if now != made.get("tokens"):
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
    return [lead, *table("llrrrl", rows), *notes]


def sampling(run: Run) -> list[str]:
    """Write how each sampling stage went: its engines, what the statistics cost, who was cut."""
    rows = [["round", "stage", "engine", "tokens/s", "capture", "KV peak", "preempted", "accepted"]]
    for round, stage in all_steps(run):
        made = run.manifest(stage.name, round) if stage.plan is not None else None
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
        "  tokens/s of each worker while it sampled; capture: share of that time spent on the",
        "  statistics; KV peak and preempted: pressure on the engine's memory; accepted: tokens",
        "  sampled per rollout that is correct and passes the rules.",
        *table("lllrrrrr", rows),
        *cut(run),
    ]


def speeds(made: dict[str, Any]) -> str:
    """Write the tokens per second of a stage's workers."""
    workers = made.get("workers", {})
    each = [f"{one['tokens'] / max(one['seconds'], 1e-9):,.0f}" for one in workers.values()]
    return " + ".join(each) or number(made.get("tokens_per_second"), ",.0f")


def cut(run: Run) -> list[str]:
    """Write which answers were cut at the limit, where that is too many."""
    lines = []
    for round, graded in rounds_with(run, "grade"):
        groups = graded.get("cut_at_limit", [])
        shares = [
            f"{each['group']} {percent(each['cut'] / each['answers'])} of {each['answers']:,}"
            + (" (!)" if over(each) else "")
            for each in groups
            if each["answers"]
        ]
        if any(over(each) for each in groups):
            lines += entry("warning:", f"round {round}, cut at the limit: {'; '.join(shares)}", 4)
    return lines


def over(group: dict[str, Any]) -> bool:
    """Say whether too many of a group's answers were cut."""
    return bool(group["answers"] >= ENOUGH and group["cut"] > ALARM * group["answers"])


def foretold(run: Run) -> list[str]:
    """Set what the preflight forecast against what it has come to, if all of it was done."""
    told = (run.manifest("preflight", 0) or {}).get("forecast")
    steps = [(stage.name, run.manifest(stage.name, round)) for round, stage in all_steps(run)]
    if not told or any(made is None for _, made in steps):
        return []
    done: dict[str, list[dict[str, Any]]] = {}
    for name, made in steps:
        assert made is not None
        done.setdefault(name, []).append(made)

    def add(stage: str, *path: str) -> float:
        total = 0.0
        for made in done.get(stage, []):
            value: Any = made
            for key in path:
                value = value.get(key) if value else None
            total += value or 0
        return total

    def hours(name: str) -> str:
        return span(told[name]["value"] * 3600)

    rows: list[Sequence[str]] = [
        ["", "forecast [95%]", "actual", ""],
        ["rollouts", wide(told["rollouts"]), f"{add('sample', 'counts', 'rollouts'):,.0f}", ""],
        ["tokens to learn from", wide(told["tokens"]), f"{add('sample', 'tokens'):,.0f}", ""],
        ["accepted", wide(told["accepted"]), f"{add('filter', 'counts', 'accepted'):,.0f}", ""],
        [
            "tokens to evaluate",
            wide(told["evaluation_tokens"]),
            f"{add('evaluate', 'tokens'):,.0f}",
            "",
        ],
        ["sampling", hours("sampling_hours"), span(add("sample", "sampling_seconds")), ""],
        ["grading", hours("grading_hours"), span(add("grade", "seconds")), "whole stage"],
        ["training", hours("training_hours"), span(add("sft", "seconds")), "whole stage"],
        ["evaluation", hours("evaluation_hours"), span(add("evaluate", "sampling_seconds")), ""],
    ]
    return [
        f"  From {told['probes']} probe rollouts before anything was spent; times without loading.",
        *table("lrrl", rows),
    ]


def wide(told: dict[str, float | None]) -> str:
    """Write a recorded estimate."""
    value = told["value"]
    assert value is not None
    return amount(Range(value, told["low"], told["high"]))
