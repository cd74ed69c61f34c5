"""A run in words: what it did to Pass@1 and Pass@k, and what became of every sample.

Reads the tables and manifests of the stages that are done; writes nothing.
"""

import hashlib
import shlex
from collections.abc import Iterator

import polars as pl

from pipelines.readers.blocks import Block, entry, in_sections, lines_of
from pipelines.readers.current import sound
from pipelines.readers.layout import NOTHING
from pipelines.readers.report_cost import cost, foretold, sampling
from pipelines.readers.report_online import online
from pipelines.readers.report_rounds import (
    blending,
    exploration,
    funnel,
    provenance,
    selection,
    stopping,
)
from pipelines.readers.report_scores import answered, scores
from pipelines.readers.show import golds, listing, sampled_rounds, shortened, whole
from pipelines.readers.sources import overlap_words
from pipelines.readers.status import at_work, early, status
from pipelines.readers.trail import parts_of
from pipelines.readers.trail_words import part_words
from rft.foreign_text import ending, one_line, visible
from rft.recipe import Recipe
from rft.recipe.loading import dump
from rft.runs import tables
from rft.runs.folder import Run


def text_report(run: Run) -> str:
    """Write the report."""
    sections = {
        "": head(run),
        "Some rollouts, before any statistic": examples(run),
        "Did it work?": scores(run),
        "Online training": online(run),
        "Funnel": funnel(run),
        "Stopping": stopping(run),
        "Entropy and branching": exploration(run),
        "Selected against the pool": selection(run),
        "Blended weights": blending(run),
        "Cost": cost(run),
        "Sampling": sampling(run),
        "Forecast and actual": foretold(run),
        "Provenance": provenance(run),
    }
    return in_sections(sections)


def in_short(run: Run) -> str:
    """Say whether it worked, and how to see more of it: what a run ends with on a screen."""
    place = shlex.quote(str(run.path))
    where = f"`rft view {place}` in a browser, `rft report {place}` in words"
    lines = [*entry("In short", answered(run), 0, 10), *entry("Look", where, 0, 10)]
    return "\n".join(lines_of(lines))


def head(run: Run) -> list[Block]:
    """Say what run this is and where it stands."""
    where = status(run)
    digest = hashlib.sha256(dump(run.recipe).encode()).hexdigest()
    recipe, base, rounds = run.recipe, run.recipe.model, run.recipe.rounds
    state = where["state"] + early(where)
    if where["stage"]:
        state += f"; {'now' if where['state'] == 'running' else 'next'}: {at_work(where)}"
    if where["next_command"]:
        state += f" (`{where['next_command']}`)"
    lines = [
        *entry("run", visible(str(run.path))),
        *entry("recipe", digest[:12] + (f": {kind_of(recipe)}" if rounds else "")),
        *(line for part in parts_of(recipe) for line in entry("parts", part_words(part))),
        *entry("model", visible(base.path) + (f" at {base.revision}" if base.revision else "")),
        *entry("rounds", f"{where['rounds_done']} done of {rounds} planned"),
        *entry("state", state),
    ]
    if prepared := run.manifest("prepare", 0):
        counts = prepared["counts"]
        problems = ", ".join(f"{count:,} {split}" for split, count in counts["problems"].items())
        aside = "; ".join(f"{count:,} {reason}" for reason, count in counts["set_aside"].items())
        lines += entry("problems", f"{problems}; set aside: {aside or 'none'}")
        lines += [line for words in overlap_words(run) for line in entry("overlaps", words)]
    return lines


def kind_of(recipe: Recipe) -> str:
    """Say how a recipe trains."""
    if recipe.grpo is None:
        select = recipe.select
        among = " within strata of length" * bool(select.strata)
        among += " within each problem" * bool(select.within)
        return f"{select.budget} samples a round by {select.by}{among}, noise {select.noise:g}"
    grpo, plugins = recipe.grpo, ", ".join(recipe.grpo.plugins)
    return (
        f"online, {grpo.steps} steps of {grpo.problems} problems x {grpo.n} answers"
        + f", shaped by {plugins}" * bool(plugins)
    )


def examples(run: Run) -> list[Block]:
    """Show the ends of a selected, a wrong and a rejected rollout of the last round."""
    if not sampled_rounds(run):
        return []
    round = sampled_rounds(run)[-1]
    lines: list[Block] = []
    for problem, name in exemplary(run, round):
        rows = listing(run, [round], [problem])
        row = rows.row(by_predicate=pl.col("rollout_id") == name, named=True)
        rollout = whole(run, row)
        gold, answer = shortened(golds(row)), shortened(row["answer"])
        lines.append(f"  {row['rollout_id']}: {row['verdict']}, answer {answer}, gold {gold}")
        lines.append(f"    question  {one_line(row['question'] or NOTHING, 86)}")
        lines.append(f"    sampled   {ending(rollout['completion'], 86)}")
        lines += entry("why", visible(rollout["why"]), 4)
    return lines


def exemplary(run: Run, round: int) -> Iterator[tuple[str, str]]:
    """Find a selected, a wrong and a rejected rollout, as far as there are any: problem and id.

    They are the first of tables in the order of problems, so that little of these is read.
    """
    names, place = ["problem_id", "rollout_id"], ["problem_id", "sample_index"]

    def first(batches: Iterator[pl.DataFrame], order: list[str]) -> Iterator[tuple[str, str]]:
        rows = next((batch for batch in batches if len(batch)), None)
        if rows is not None:
            problem, name = rows.sort(order).select(names).row(0)
            # Where a stage was done anew, what the later ones made is still of those before.
            now = run.batches("rollouts", round, ["rollout_id"], [problem])
            if any(name in batch["rollout_id"] for batch in now):
                yield problem, name

    selected = tables.empty("selected")
    if sound(run, "select", round):
        selected = run.read("selected", round, [*names, "role", "rank"])
        yield from first(iter([selected.filter(role="positive")]), ["rank"])
    if sound(run, "grade", round):
        graded = run.batches("graded", round, [*names, "sample_index", "verdict"])
        wrong = (
            batch.filter(verdict="wrong").join(selected, on="rollout_id", how="anti")
            for batch in graded
        )
        yield from first(wrong, place)
    if sound(run, "filter", round):
        yield from first(run.batches("rejected", round, [*names, "sample_index"]), place)
