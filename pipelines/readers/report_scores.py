"""The report's section about scores: Pass@k, its change to the base, what the gate decided."""

import shlex
from collections.abc import Iterator

import polars as pl

from pipelines.gate import seen_by_gate
from pipelines.readers.blocks import Block, entry, heading, lines_of, table
from pipelines.readers.current import measured_models, sound
from pipelines.readers.layout import NOTHING, WIDTH, number, width_of
from pipelines.readers.measured_on import MeasuredOn, measured_on
from pipelines.readers.report_answers import (
    Answers,
    lost_variety,
    model_name,
    readings,
    solvable,
    variety,
)
from rft.measuring.adoption import noted_comparisons, told
from rft.measuring.pass_at_k import Interval, paired_difference_of, pass_interval, passes, solved
from rft.runs.folder import Run
from rft.seeds import derive

# How many points a base may differ from the published figure before the prompt is suspected.
FAR = 5


def scores(run: Run) -> list[Block]:
    """Compare the models on dev and on each benchmark, and say what the gate decided."""
    those = list(by_benchmark(run))
    if not those:
        return [f"  No evaluation yet: `rft {run.command} {shlex.quote(str(run.path))}`"]
    lines: list[Block] = [
        "  Percent of problems solved [95% interval over problems]; model 0 is the base."
    ]
    for what, answers in those:
        lines += ["", *on_benchmark(run, what, answers)]
    return [*lines, "", *decisions(run)] if run.recipe.rounds else lines


def by_benchmark(run: Run) -> Iterator[tuple[MeasuredOn, Answers]]:
    """Give what each model answered on dev and on each benchmark."""
    columns = ["split", "benchmark", "problem_id", "answer", "answer_class"]
    columns += ["verdict", "verdict_last_box", "verdict_lenient"]
    frames = {model: run.read("evaluations", model, columns) for model in measured_models(run)}
    for what in measured_on(frames):
        parts = {model: what.of(frame) for model, frame in frames.items()}
        yield what, {model: None if here.is_empty() else here for model, here in parts.items()}


def answered(run: Run) -> str:
    """Say in a sentence or two whether it worked: the last model against the base, on the
    benchmarks where both were measured, or else on dev.
    """
    told: dict[str, list[str]] = {"dev": [], "test": []}
    for what, answers in by_benchmark(run):
        known = [model for model, frame in answers.items() if frame is not None]
        base, last = answers.get(0), known[-1]
        now = answers[last]
        if base is None or now is None or not last:
            continue
        least = min(count for frame in (base, now) for count in solved(frame)["n"])
        ks = sorted({1, *(k for k in run.recipe.evaluate.k if k <= least)})
        words = []
        for k in dict.fromkeys([ks[0], ks[-1]]):
            change = change_of(run, what.name, last, (base, now), k)
            before, after = (100 * float(passes(frame, k).mean()) for frame in (base, now))
            verdict = judged(change, len(solved(now))).partition(" (")[0]
            points = f"{change.told('+.1f')} points, {verdict}"
            words.append(f"Pass@{k} {before:.1f}% -> {after:.1f}% ({points})")
        told["dev" if what.split == "dev" else "test"].append(
            f"On {what.name}, from the base to model {model_name(run, last)}: {'; '.join(words)}."
        )
    sentences = told["test"] or told["dev"]
    if not sentences:
        return "Nothing to compare yet: no model but the base is measured."
    return " ".join(sentences)


def on_benchmark(run: Run, what: MeasuredOn, answers: Answers) -> list[Block]:
    """Write a benchmark's Pass@k of each model, its change to the base, and what is suspicious."""
    name = what.name
    known = [frame for frame in answers.values() if frame is not None]
    counts = pl.concat([solved(frame) for frame in known])
    sizes = sorted(set(counts["n"]))
    problems = max(len(solved(frame)) for frame in known)
    samples = " to ".join(str(size) for size in dict.fromkeys([sizes[0], sizes[-1]]))
    ks = sorted({1, *(k for k in run.recipe.evaluate.k if k <= sizes[0])})
    return [
        *heading(f"{name}: {measured_of(run, what, problems)} x {samples} samples"),
        *pass_tables(run, name, answers, ks),
        *changes(run, name, answers, sorted({1, ks[-1]})),
        *far_from_reference(run, what, answers.get(0)),
        *readings(run, name, answers),
        *variety(run, answers),
        *lost_variety(run, what, answers),
        *solvable(run, name, answers),
    ]


def measured_of(run: Run, what: MeasuredOn, problems: int) -> str:
    """Say how many problems are measured, of how many there are, and why not the others."""
    aside = what.of(run.read("set_aside", 0, ["split", "benchmark", "reason"]))
    if aside.is_empty():
        return f"{problems} problems"
    reasons = sorted(aside["reason"].value_counts().iter_rows())
    why = ", ".join(f"{count} {reason}" for reason, count in reasons)
    return f"{problems} of {problems + len(aside)} problems ({why})"


def pass_tables(run: Run, name: str, answers: Answers, ks: list[int]) -> list[Block]:
    """Write Pass@k of each model, the first and the last k with intervals, on one page width."""

    def column(k: int) -> list[str]:
        framed = k in (ks[0], ks[-1])
        cells = [f"Pass@{k}" + (" [low, high]" if framed else "")]
        for model, frame in answers.items():
            if frame is None:
                cells.append(NOTHING)
            elif framed:
                cells.append(pass_of(run, name, model, frame, k).told("5.1f"))
            else:
                cells.append(number(100 * float(passes(frame, k).mean()), ".1f"))
        return cells

    models = ["model", *(model_name(run, model) for model in answers)]

    def drawn(wanted: list[int]) -> list[Block]:
        columns = [models, *(column(k) for k in wanted)]
        return table("l" + "r" * len(wanted), list(zip(*columns, strict=True)))

    whole = drawn(ks)
    if width_of(lines_of(whole)) <= WIDTH:
        return whole
    return [*drawn([ks[0], ks[-1]]), *drawn(ks[1:-1])]


def pass_of(run: Run, name: str, model: int, answers: pl.DataFrame, k: int) -> Interval:
    """Give a model's Pass@k on a benchmark, with the interval that it has wherever it is told."""
    return pass_interval(answers, k=k, seed=derive(run.recipe.seed, "report", name, model, k))


def change_of(
    run: Run, name: str, model: int, answers: tuple[pl.DataFrame, pl.DataFrame], k: int
) -> Interval:
    """Give its change to the base, problem by problem, of the answers of the two."""
    seed = derive(run.recipe.seed, "report", "change", name, model, k)
    return paired_difference_of(*answers, k=k, seed=seed)


def judged(change: Interval, problems: int) -> str:
    """Say in words what an interval of a change allows to say."""
    if change.low > 0:
        return f"better ({problems} problems)"
    return f"{'worse' if change.high < 0 else 'cannot tell'} ({problems} problems)"


def changes(run: Run, name: str, answers: Answers, ks: list[int]) -> list[Block]:
    """Write each model's change to the base, problem by problem."""
    base = answers.get(0)
    rows = []
    for model, frame in answers.items():
        for k in ks if model else []:
            if base is None or frame is None:
                said = [NOTHING, ""]
            else:
                change = change_of(run, name, model, (base, frame), k)
                said = [change.told("+6.1f"), judged(change, len(solved(frame)))]
            rows.append([model_name(run, model), f"Pass@{k}", *said])
    if not rows:
        return []
    header = ["model", "", "change to base, points", ""]
    return table("llrl", [header, *rows])


def far_from_reference(run: Run, what: MeasuredOn, base: pl.DataFrame | None) -> list[Block]:
    """Warn when the base is far from its published figure: mostly the prompt is to blame."""
    wanted = run.recipe.evaluate.reference.get(what.benchmark or "")
    if what.split != "test" or wanted is None or base is None:
        return []
    ours = 100 * float(passes(base, 1).mean())
    if abs(ours - wanted) <= FAR:
        return []
    return entry(
        "warning:",
        f"the base's Pass@1 is {ours:.1f}, published is {wanted:g}: {abs(ours - wanted):.1f} "
        f"points apart, mostly a matter of template or stop tokens; read some rollouts: "
        f"`rft show {shlex.quote(str(run.path))}`",
        indent=4,
    )


def decisions(run: Run) -> list[Block]:
    """Write what the gate can see, and its decisions in words."""
    if run.recipe.gate is None:
        return ["  no gate: every new model is adopted"]
    lines = [line for seen in seen_by_gate(run) for line in entry("gate sees", seen)]
    undecided = True
    for round in range(1, run.recipe.rounds + 1):
        if not (gate := sound(run, "gate", round)):
            continue
        undecided = False
        compared = noted_comparisons(gate)
        worse = [each for each in compared if each.refuses]
        floor = gate["settings"]["gate"].get("entropy_floor", 1.0)
        words = "; ".join(told(each, floor) for each in worse or compared if worse or each.roles)
        decided = "adopted: dev" if gate["counts"]["adopted"] else "refused, surely worse: dev"
        lines += entry(f"gate {round}", f"model {round} {decided} {words}")
    if undecided:
        return [*lines, "  gate: nothing to decide yet"]
    level = run.recipe.gate.level
    note = f"the gate's intervals hold all at once, on one side, at level {level:g}; those above"
    return [*lines, *entry("note", f"{note} are the 95% of each change by itself")]
