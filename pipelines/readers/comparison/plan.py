"""What a comparison could show, before it is run: its runs, and the differences they can tell."""

from collections.abc import Mapping, Sequence

import numpy as np

from pipelines.compare import ArmRun
from pipelines.readers.current import sound
from pipelines.readers.layout import table
from rft.errors import shown
from rft.measuring.detectable import assumed_counts, detectable, spread_at
from rft.measuring.pass_at_k import Numbers, solved
from rft.recipe import Recipe, Source
from rft.seeds import derive

# What is read of a source to count its problems, where that costs nothing.
AT_HAND = ("bundled:", "/", ".")


def plan_lines(whole: Recipe, runs: Sequence[ArmRun]) -> list[str]:
    """Say which runs there would be, how they differ, and which differences they could show."""
    compare = whole.compare
    assert compare is not None, "a recipe without arms"
    done = sum(each.done() for each in runs)
    lines = [
        f"{len(runs)} runs ({len(compare.arms)} arms x {len(compare.seeds)} seeds), {done} done; "
        f"those of a seed share what they have in common"
    ]
    rows = [
        [f"{name} (control)" if name == compare.control else name, changed(compare.arms[name])]
        for name in compare.arms
    ]
    lines += table("ll", rows)
    for benchmark in whole.prepare.benchmarks("test"):
        lines += shows(whole, runs, benchmark)
    for name, claim in compare.claims.items():
        against = claim.against or compare.control
        lines.append(
            f"  claim {name}: {claim.arm} {claim.direction} than {against} in {claim.metric}"
        )
    return lines


def changed(changes: Mapping[str, object]) -> str:
    """Write what an arm has otherwise than the recipe."""
    return ", ".join(f"{key}={shown(value)}" for key, value in changes.items()) or "as it is"


def shows(whole: Recipe, runs: Sequence[ArmRun], benchmark: str) -> list[str]:
    """Say which differences to the control would show in 80% of cases."""
    assert whole.compare is not None, "a recipe without arms"
    n = whole.evaluate.samples(benchmark)
    counts, how = base_counts(whole, runs, benchmark, n)
    if counts is None:
        return [f"  {benchmark}: how many problems there are is not known before they are read"]
    seeds, others = len(whole.compare.seeds), len(whole.compare.arms) - 1
    least = {}
    for k in sorted({1, whole.evaluate.k[-1]}):
        source = derive(whole.seed, "detectable", benchmark, k)
        least[k] = detectable(counts, n, k=k, seeds=seeds, comparisons=others, seed=source)
    seen = [f"{100 * size:.1f} points of Pass@{k}" for k, size in least.items() if size < 1]
    unseen = [f"Pass@{k}" for k, size in least.items() if size >= 1]
    together = f", all {others} arms judged at once" if others > 1 else ""
    lines = [f"  {benchmark}, {len(counts)} problems x {n}, {number_of(seeds)}:"]
    if seen:
        lines.append(
            f"    a difference to the control shows in 80% of cases from {' and '.join(seen)} on, "
            f"at best{together}"
        )
    if unseen:
        lines.append(f"    no difference in {' and '.join(unseen)} can be told by so little")
    vary = " and ".join(f"{100 * spread_at(k):.1f}" for k in least)
    lines.append(f"    ({how}; from seed to seed it is taken to vary by {vary} points)")
    if seeds == 1:
        lines.append("    one seed says nothing of what another would give: take three or more")
    return lines


def number_of(seeds: int) -> str:
    """Write how many seeds there are."""
    return "1 seed" if seeds == 1 else f"{seeds} seeds"


def base_counts(
    whole: Recipe, runs: Sequence[ArmRun], benchmark: str, n: int
) -> tuple[Numbers | None, str]:
    """Give the base's right answers to each problem: measured, or such as the quickstart's."""
    for each in runs:
        if sound(each.run, "evaluate", 0) is None:
            continue
        names = ["split", "benchmark", "problem_id", "verdict"]
        answers = each.run.read("evaluations", 0, names)
        counts = solved(answers.filter(split="test", benchmark=benchmark))
        if set(counts["n"]) == {n}:
            return np.asarray(counts["c"].to_numpy(), np.float64), "by the base's own answers"
    problems = problems_in(whole.prepare.benchmarks("test")[benchmark])
    if problems is None:
        return None, ""
    drawn = assumed_counts(problems, n, seed=derive(whole.seed, "assumed", benchmark))
    return drawn, "by a base like the quickstart's, since this one is not measured yet"


def problems_in(source: Source) -> int | None:
    """Count the problems of a source that is at hand; None of one that is elsewhere."""
    from rft.problems.sources import read_source

    if not source.source.startswith(AT_HAND):
        return source.limit
    return len(read_source(source))
