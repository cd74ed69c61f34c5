"""The report's lines about answers: read in other ways, their variety, and what is ever solved."""

import polars as pl

from pipelines.readers.blocks import Block, entry, table
from pipelines.readers.current import sound
from pipelines.readers.layout import NOTHING, number, percent
from pipelines.readers.measured_on import MeasuredOn
from rft.measuring.crossover import Crossover, crossover
from rft.measuring.diversity import answer_entropy, distinct_answers, diversity_change
from rft.measuring.gain import boxed_share, gain_of, in_words
from rft.measuring.majority import classes_known, majority
from rft.measuring.pass_at_k import passes, solved
from rft.measuring.support import support
from rft.measuring.unsolved import unsolved
from rft.runs.folder import Run
from rft.seeds import derive

# Model -> its answers on one benchmark, None where it was not measured there.
Answers = dict[int, pl.DataFrame | None]


def model_name(run: Run, model: int) -> str:
    """Name a model, with the gate's word if it was refused."""
    if model == 0:
        return "0 base"
    gate = sound(run, "gate", model) if run.recipe.gate else None
    return f"{model} refused" if gate and not gate["counts"]["adopted"] else f"{model}"


def readings(run: Run, name: str, answers: Answers) -> list[Block]:
    """Write Pass@1 by other readings of the same answers, and what a gain consists of."""
    known = {model: frame for model, frame in answers.items() if frame is not None}

    def percent_of(frame: pl.DataFrame, verdict: str) -> str:
        if frame[verdict].null_count():
            return NOTHING  # measured by an older version
        return number(100 * float(passes(frame.with_columns(verdict=verdict), 1).mean()), ".1f")

    rows = [
        [
            model_name(run, model),
            *(percent_of(frame, f"verdict{kind}") for kind in ("", "_last_box", "_lenient")),
            percent(float(boxed_share(frame).mean())),
        ]
        for model, frame in known.items()
    ]
    header = ["Pass@1 by", "the first box", "the last box", "any, or none", "in a box"]
    lines = table("lrrrr", [header, *rows])
    last = max(known)
    if last and 0 in known:
        seed = derive(run.recipe.seed, "report", "gain", name, last)
        if gain := gain_of(known[0], known[last], seed=seed):
            lines += entry(f"model {last}:", in_words(gain), 4, 10)
    return lines


def variety(run: Run, answers: Answers) -> list[Block]:
    """Write how a model's answers vote, and how many different ones it gives to a problem."""
    known = {model: frame for model, frame in answers.items() if frame is not None}
    sizes = sorted({size for frame in known.values() for size in solved(frame)["n"]})
    votes = f"maj@{sizes[0]}" if len(sizes) == 1 else "maj@n"
    rows = []
    for model, frame in known.items():
        told = [NOTHING] * 3
        if classes_known(frame):
            told = [
                number(100 * float(majority(frame).mean()), ".1f"),
                number(float(distinct_answers(frame).mean()), ".2f"),
                number(float(answer_entropy(frame).mean()), ".2f"),
            ]
        never = f"{len(unsolved(frame))} of {len(solved(frame))}"
        rows.append([model_name(run, model), *told, never])
    header = ["all answers", votes, "distinct", "entropy, nats", "unsolved"]
    return table("lrrrr", [header, *rows])


def solvable(run: Run, name: str, answers: Answers) -> list[Block]:
    """Write what the last model solves at all against the base: gained, lost, and from which k."""
    known = {model: frame for model, frame in answers.items() if frame is not None}
    last = max(known)
    if not last or 0 not in known:
        return []
    both = known[0], known[last]
    change = support(*both)
    most = min(size for frame in both for size in solved(frame)["n"])
    seed = derive(run.recipe.seed, "report", "crossover", name, last)
    text = (
        f"newly solved: {change.expanded}, newly lost: {change.shrunk} (were the models equal, by "
        f"luck alone {change.expanded_by_luck:.1f} and {change.shrunk_by_luck:.1f}); "
    )
    if change.retained is not None:
        text += f"{percent(change.retained)} of what the base solves at all is kept; "
    return entry(
        f"model {last}:", text + ahead_in_words(crossover([both], most=most, seed=seed)), 4, 10
    )


def lost_variety(run: Run, what: MeasuredOn, answers: Answers) -> list[Block]:
    """Write what the last model gives fewer of than the base: wrong answers, or right texts."""
    known = {model: frame for model, frame in answers.items() if frame is not None}
    last = max(known)
    if not last or 0 not in known or not all(classes_known(known[each]) for each in (0, last)):
        return []
    before, after = (texts_told_apart(run, what, model) for model in (0, last))
    seed = derive(run.recipe.seed, "report", "diversity", what.name, last)
    change = diversity_change(before, after, seed=seed)
    text = f"{change.wrong.told('+.2f', 1)} distinct wrong answers a problem"
    if change.right is not None:
        text += (
            f", {change.right.told('+.2f', 1)} distinct texts among the right ones (of "
            f"{change.problems:,} that both solve twice; long texts never repeat)"
        )
    return entry(f"model {last}:", f"against the base, of equally many samples: {text}", 4, 10)


def texts_told_apart(run: Run, what: MeasuredOn, model: int) -> pl.DataFrame:
    """Read a model's answers with something short in place of each text, which may be long."""
    columns = ["split", "benchmark", "problem_id", "answer_class", "completion"]
    text = pl.col("completion").str.strip_chars().str.replace_all(r"\s+", " ").hash()
    return pl.concat(
        what.of(batch).with_columns(completion=text.cast(pl.String))
        for batch in run.batches("evaluations", model, columns)
    )


def ahead_in_words(crossing: Crossover) -> str:
    """Say from which k on the base solves more."""
    none = f"none up to {crossing.most}"
    low, high = (none if each is None else str(each) for each in (crossing.low, crossing.high))
    if crossing.k is None:
        return (
            f"the base overtakes at no k up to {crossing.most} (it does in {crossing.share:.0%} of "
            "resamples)"
        )
    return f"the base is ahead from k = {crossing.k} [{low}, {high}]"
