"""The report's sections about rounds: funnel, how answers end, exploration, selection, origin."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from pipelines.readers.blocks import Block, entry, heading, table
from pipelines.readers.composition import composition_notes, composition_rows, takes_any
from pipelines.readers.current import all_steps, measured_models, sound
from pipelines.readers.layout import NOTHING, number, percent, short_digest, total
from pipelines.readers.measured_on import NAME
from pipelines.readers.sources import UNSTATED, model_licence, source_words, sources
from pipelines.selection import rates_of, scores_of, with_scores
from rft.foreign_text import short, visible
from rft.grading.answers import Form, answer_box
from rft.grading.endings import counted
from rft.grading.verifiers import finds
from rft.prompt import prompt_form
from rft.recipe.selection import statistics as recorded_statistics
from rft.runs import tables
from rft.runs.folder import Run
from rft.runs.schemas import VERDICTS


def rounds_with(run: Run, stage: str) -> list[tuple[int, dict[str, Any]]]:
    """List the rounds in which a stage is done, with its manifest."""
    manifests = ((round, sound(run, stage, round)) for round in range(1, run.recipe.rounds + 1))
    return [(round, manifest) for round, manifest in manifests if manifest is not None]


# Funnel -------------------------------------------------------------------------------------------


def funnel(run: Run) -> list[Block]:
    """Write what became of each round's samples, as sums that are checked."""
    lines = []
    for round, sampled in rounds_with(run, "sample"):
        count = sampled["counts"]["rollouts"]
        lines += heading(f"round {round}: {sampled['counts']['in']:,} problems")
        lines += _graded(run, round, count)
        if (until := sampled["settings"].get("until")) and sound(run, "filter", round):
            rates = rates_of(run, round)
            mean = percent(sum(rates.values()) / len(rates) if rates else None)
            lines += entry(
                "note",
                f"each problem was sampled until {until['accepted']} were accepted, or "
                f"{until['max']} drawn, so shares of verdicts are no pass rates; the mean pass "
                f"rate, corrected for that, is {mean}",
                4,
            )
    if lines or run.recipe.grpo or not run.recipe.rounds:
        return lines
    return ["  Nothing sampled to learn from yet."]


# Paths to a verdict that are counted apart: what was right, or would have been, but for something.
_APART = {
    "unit_ignored": "right but for a unit that one side lacks",
    "unit": "wrong for another unit, or one that the question does not ask for",
    "shape": "wrong as a list, a point or a set, though of equal content",
    "majority": "judged by the majority of their problem's own answers: pseudo-labels, no gold",
    "no_majority": "of problems whose answers have no majority, and so no label",
    "several_boxes": "not right by the first box, but by all of them together",
}


def _readings(graded: dict[str, Any]) -> list[Block]:
    paths = graded.get("paths", {})
    told = [f"{paths[path]:,} {about}" for path, about in _APART.items() if paths.get(path)]
    if labels := graded.get("majority"):
        told.append(
            f"of {labels['problems']:,} problems {labels['labelled']:,} have such a label"
            + f", and {labels['agree']:,} of {labels['with_gold']:,} agree with a known gold"
            * bool(labels["with_gold"])
        )
    if repeats := graded.get("placeholders"):
        told.append(f"the form alone (such as `\\boxed{{}}`), passed over in {repeats:,} samples")
    return entry("note", "; ".join(told), 4) if told else []


def _graded(run: Run, round: int, sampled: int) -> list[Block]:
    if not (graded := sound(run, "grade", round)):
        return entry("sampled", f"{sampled:,}, not graded yet", 4)
    verdicts = by_verdict(run.read("graded", round, ["verdict"]))
    lines = [*entry("sampled", total(sampled, verdicts), 4), *_readings(graded)]
    if not sound(run, "filter", round):
        return lines
    kept = run.read("kept", round, ["verdict"])
    rejected = run.read("rejected", round, ["rejected_by"])["rejected_by"].value_counts()
    reasons = sorted(rejected.iter_rows(), key=lambda row: (-row[1], row[0]))
    lines += entry("sampled", total(sampled, {"kept": len(kept), **dict(reasons)}), 4)
    lines += entry("kept", total(len(kept), by_verdict(kept)), 4)
    if not (chosen := sound(run, "select", round)):
        return lines
    selected = run.read("selected", round, ["role", "ranked_by", "verdict"])
    roles = {name: len(selected.filter(pl.col("role") == name)) for name in ("positive", "noise")}
    ranked = dict(selected.select("role", "ranked_by").unique().iter_rows())
    named = {f"{role} (by {ranked[role]})": n for role, n in roles.items() if n}
    left = {f"not selected: {reason}": n for reason, n in chosen["counts"]["dropped"].items()}
    lines += entry("kept", total(len(kept), {"selected": len(selected), **left}), 4)
    lines += entry("selected", total(len(selected), named), 4)
    if takes_any(chosen):
        lines += entry("selected", total(len(selected), by_verdict(selected)), 4)
    if unranked := chosen["counts"]["unranked"]:
        lines += entry("note", f"{unranked:,} without the statistic were ranked last", 4)
    if shortfall := chosen["counts"]["shortfall"]:
        lines += entry("note", shortfall, 4)
    return lines


def by_verdict(frame: pl.DataFrame) -> dict[str, int]:
    """Count the verdicts that occur, in the order in which they are declared."""
    counts = dict(frame["verdict"].value_counts().iter_rows())
    return {name: counts[name] for name in VERDICTS if name in counts}


# Stopping -----------------------------------------------------------------------------------------


def stopping(run: Run) -> list[Block]:
    """Write how answers end: with text after the first closed box, or cut at the limit."""
    rows = [
        # What was graded before they were counted has none.
        ["rollouts of round", f"{round}", *_endings(graded.get("endings", {}))]
        for round, graded in rounds_with(run, "grade")
    ]
    splits: dict[str, list[list[str]]] = {}
    for model in measured_models(run):
        frame = evaluation_endings(run, model)
        for name in sorted(set(frame["name"])):
            numbers = _endings(counted(frame.filter(pl.col("name") == name)))
            splits.setdefault(name, []).append([f"{name}, model", f"{model}", *numbers])
    rows += [row for name in splits for row in splits[name]]
    if not rows:
        return []
    header = ["", "", "text after the box", "of boxed", "cut at the limit", "of all", "mean tokens"]
    return [*table("lrrrrrr", [header, *rows])]


def evaluation_endings(run: Run, model: int) -> pl.DataFrame:
    """Tell of each evaluated answer how it ended. Its response is not stored: text follows the box
    where tokens follow the response and the box is not the last of the text.
    """
    names = ["split", "benchmark", "answer", "completion", "finish_reason"]
    counts = ["num_tokens", "num_response_tokens"]
    form = prompt_form(run.recipe.prompt, finds(run.recipe.grade))
    parts = []
    for path in run.parts("evaluations", model):
        frame = tables.read_file(path, [*names, *counts])
        longer = pl.col("num_tokens") > pl.col("num_response_tokens")
        frame = frame.with_columns(boxed=pl.col("answer").is_not_null())
        frame = frame.with_columns(after=pl.col("boxed") & longer.fill_null(True))
        after = [
            _goes_on(text, form) if asked else False
            for text, asked in frame.select("completion", "after").iter_rows()
        ]
        parts.append(
            frame.drop("completion").with_columns(
                pl.Series("after", after, pl.Boolean),
                name=pl.when(pl.col("split") == "dev").then("split").otherwise(NAME),
            )
        )
    return pl.concat(parts)


def _goes_on(completion: str, form: Form) -> bool:
    box = answer_box(completion, form)
    return box is not None and bool(completion[box.end :].strip())


def _endings(counts: Mapping[str, int]) -> list[str]:
    """Write how answers ended, from their numbers, if there are any."""
    if not counts:
        return [NOTHING] * 5
    boxed, answers = counts["boxed"], counts["answers"]
    known = counts["known"]
    return [
        percent(counts["after"] / boxed if boxed else None),
        f"{boxed:,}",
        percent(counts["cut"] / answers if answers else None),
        f"{answers:,}",
        number(counts["tokens"] / known if known else None),
    ]


# Entropy and branching ----------------------------------------------------------------------------


def mean(frame: pl.DataFrame, column: str) -> float | None:
    """Average what is known; None where nothing is."""
    values = frame[column].drop_nulls()
    return None if values.is_empty() else float(values.cast(pl.Float64).mean())  # type: ignore[arg-type]


def exploration(run: Run) -> list[Block]:
    """Write the mean statistics of each round: by verdict, and selected against the pool."""
    groups = ["all", "correct", "wrong", "pool", "positive"]
    entropy, branching = [["entropy", *groups, "n"]], [["branching", *groups, "n"]]
    origins: dict[str, None] = {}
    for round, _ in rounds_with(run, "grade"):
        frames = dict(statistics(run, round))
        known = frames["all"]["stats_origin"].drop_nulls().unique().sort()
        origins |= dict.fromkeys(known)
        for rows, column in ((entropy, "mean_entropy"), (branching, "mean_branching")):
            cells = [
                number(mean(frames[g], column) if g in frames else None, ".3f") for g in groups
            ]
            counted = frames["all"][column].count()
            rows.append([f"  round {round}", *cells, f"{counted:,}" if counted else NOTHING])
    if len(entropy) == 1:
        return []
    lines = [
        "  Means over a response's tokens, then over samples. Entropy in nats; branching: how many",
        "  tokens hold the top of the probability mass. The selected `positive` were chosen out of",
        f"  the `pool`: {'kept' if takes_any_verdict(run) else 'kept and correct'}.",
        *table("lrrrrrr", entropy + branching, 2),
    ]
    if "topk" in origins:
        lines.append("  warning: some are estimates from the most likely tokens (origin topk)")
    return lines


def statistics(
    run: Run, round: int, beside: Sequence[str] = ()
) -> Iterator[tuple[str, pl.DataFrame]]:
    """Give the statistics of each group of a round's rollouts that is there, with `beside`."""
    columns = ["verdict", "stats_origin", *recorded_statistics(), *beside]
    names = ["rollout_id", *columns] if sound(run, "score", round) else columns
    graded = _scored(run, round, run.read("graded", round, names))
    yield "all", graded
    for verdict in ("correct", "wrong"):
        yield verdict, graded.filter(pl.col("verdict") == verdict)
    if sound(run, "filter", round):
        kept = _scored(run, round, run.read("kept", round, names))
        yield "pool", kept if takes_any_verdict(run) else kept.filter(verdict="correct")
    if sound(run, "select", round):
        chosen = run.read("selected", round, [*columns, "role"])
        yield "positive", chosen.filter(pl.col("role") == "positive")


def takes_any_verdict(run: Run) -> bool:
    """Say whether any verdict may be a positive by the recipe in force."""
    return run.recipe.select.verdicts == "any"


def _scored(run: Run, round: int, rows: pl.DataFrame) -> pl.DataFrame:
    return with_scores(rows, scores_of(run, round)) if sound(run, "score", round) else rows


# Selected and pool --------------------------------------------------------------------------------


def selection(run: Run) -> list[Block]:
    """Write what each round selected against what it could have."""
    lines = []
    for _, chosen in rounds_with(run, "select"):
        if rows := composition_rows(chosen):
            lines += table("l" + "r" * (len(rows[0]) - 1), rows, 2)
            for label, text in composition_notes(chosen).items():
                lines += entry(label, text, 2, 12)
    if not lines:
        return []
    return ["  Mean (median) over samples; a pass rate is over all samples of the round.", *lines]


# Blends -------------------------------------------------------------------------------------------


def blending(run: Run) -> list[Block]:
    """Write how each round's weights were blended, and what its candidates solved on dev."""
    rows = [["round", "anchor", "delta", "on dev", "95% interval", ""]]
    for round, made in rounds_with(run, run.recipe.maker):
        if (blend := made.get("blend")) is None:
            continue
        first, choice = [f"{round}", blend["anchor"]], sound(run, "blend", round)
        if choice is None:
            rows.append([*first, f"{blend['delta']:g}", NOTHING, NOTHING, ""])
            continue
        for each in choice["candidates"]:
            seen = f"{choice['metric']} {percent(each['value'])}"
            interval = f"[{percent(each['low'])}, {percent(each['high'])}]"
            taken = "taken" * (each["delta"] == blend["delta"])
            rows.append([*first, f"{each['delta']:g}", seen, interval, taken])
            first = ["", ""]
    if len(rows) == 1:
        return []
    return [
        "  New weights are anchor + delta (trained - anchor). The best of several is measured too",
        "  high by its luck on dev; `evaluate` draws its answers anew.",
        *table("llrrll", rows),
    ]


# Origin -------------------------------------------------------------------------------------------


def provenance(run: Run) -> list[Block]:
    """Write seeds, models and versions: what it takes to get the numbers again, and licences."""
    seeds, models, versions = [f"run {run.recipe.seed}"], [], dict[str, list[str]]()
    for round, stage in all_steps(run):
        if not (made := run.manifest(stage.name, round)):
            continue
        own: Mapping[str, int] = made.get("seeds", {})
        seeds += [f"round {round} {name} {seed}" for name, seed in own.items() if name != "run"]
        if stage.name == "evaluate":
            models.append(f"{round} = {short_digest(made['model'])}")
        for name, version in made["versions"].items():
            known = versions.setdefault(name, [])
            known += [version] if version not in known else []
    if not versions:
        return []
    packages = ", ".join(f"{name} {' and '.join(used)}" for name, used in versions.items())
    return [
        *entry("seeds", f"{'; '.join(seeds)} (all derived from the run's)"),
        *(entry("models", ", ".join(models)) if models else []),
        *entry("versions", packages),
        *entry(
            "licence", f"of the base, {run.recipe.model.path}: {model_licence(run) or UNSTATED}"
        ),
        *(
            line
            for each in sources(run).values()
            for line in entry("source", f"{each['name']}: {source_words(each)}")
        ),
        *read_again(run),
    ]


def read_again(run: Run) -> list[Block]:
    """Write what later rounds found in the sources that they read anew (prepare.refresh)."""
    lines = []
    for round in run.refreshed():
        made = run.manifest("prepare", round) or {}
        unread = made.get("unread", {})
        told = [f"round {round}: {made['counts']['problems'].get('train', 0):,} new problems"]
        for name, each in sources(run, round).items():
            if name in unread:
                told.append(f"{name} was not read: {short(unread[name])}")
            else:
                told.append(f"{name} content {short_digest(each['content'])}")
        lines += entry("read again", visible("; ".join(told)))
    return lines
