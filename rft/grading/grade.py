"""Grade rollouts, in the `grade` stage and in evaluation alike.

Grading cuts each completion after the box that is its answer, compares the answer with the golds,
and averages the recorded statistics over exactly the tokens that stay.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl

from rft.errors import RFTError
from rft.grading.answers import NO_FORM, READING, Form, answer_of, read
from rft.grading.judgement import AnswerKey, Judgement, judgement_of
from rft.grading.method import Judges
from rft.grading.response_statistics import RECORDED, statistics
from rft.recipe import Recipe
from rft.recipe.parts import contents
from rft.runs.schemas import TABLES

# From token ids and completion to the number of tokens of the response and its text.
Trim = Callable[[list[int], str], tuple[int, str]]

# The path to the verdict of a first box that, with those after it, would have been right.
SEVERAL = "several_boxes"

# From problems, answers and keys to judgements, by asking a verifier.
Judging = Callable[
    [Sequence[str], Sequence[str | None], Mapping[str, AnswerKey], Judges], list[Judgement]
]

_TEXT = {
    "response": pl.String,
    "num_response_tokens": pl.Int32,
    "answer": pl.String,
    "num_boxed": pl.Int32,
    "num_placeholders": pl.Int32,
    "together": pl.String,
    "redundancy": pl.Float32,
}


def judge(
    problems: Sequence[str],
    answers: Sequence[str | None],
    keys: Mapping[str, AnswerKey],
    verifier: Judges,
) -> list[Judgement]:
    """Judge each answer by the key of its problem."""
    rows = list(zip(problems, answers, strict=True))
    pairs = {
        (gold, answer): None
        for name, answer in rows
        if answer is not None
        for gold in keys[name].golds
    }
    judged = verifier.verdicts(pairs)
    return [judgement_of(keys[name], answer, judged) for name, answer in rows]


def grade(
    rollouts: pl.DataFrame,
    keys: Mapping[str, AnswerKey],
    *,
    verifier: Judges,
    trim: Trim | None,
    form: Form = NO_FORM,
    by: Judging = judge,
) -> pl.DataFrame:
    """Make the graded row of every rollout, in the same order.

    `trim` cuts a rollout that has token ids (none may have any when it is None); the others are cut
    at the closing brace of the answer's box, and their number of response tokens stays unknown.
    `form` is what the prompt shows in boxes. `by` may find labels where there are no golds.
    """
    if by is judge:
        _check_keys(rollouts, keys)
    frame = _measured(rollouts, trim, form)
    problems = list(frame["problem_id"])
    judgements = by(problems, list(frame["answer"]), keys, verifier)
    if by is not judge:  # what several boxes come to is a question to a gold
        paths = [each.path for each in judgements]
        return _graded(frame, [each.verdict for each in judgements], paths)
    together = judge(problems, list(frame["together"]), keys, verifier)
    paths = [
        SEVERAL if all_of.verdict == "correct" != first.verdict else first.path
        for first, all_of in zip(judgements, together, strict=True)
    ]
    return _graded(frame, [each.verdict for each in judgements], paths)


def grade_as_given(rollouts: pl.DataFrame, verdicts: Sequence[str]) -> pl.DataFrame:
    """Make the graded rows of rollouts whose verdicts somebody else has found, in their order."""
    frame = _measured(rollouts, None, NO_FORM)
    return _graded(frame, verdicts, ["given"] * len(frame))


def _measured(rollouts: pl.DataFrame, trim: Trim | None, form: Form) -> pl.DataFrame:
    """Add to rollouts what is read out of their texts."""
    frame = pl.concat([rollouts, _texts(rollouts, trim, form)], how="horizontal")
    _check_lengths(frame)
    return frame


def _graded(frame: pl.DataFrame, verdicts: Sequence[str], paths: Sequence[str]) -> pl.DataFrame:
    """Add verdicts, and what follows from them, to measured rollouts."""
    frame = frame.with_columns(
        pl.Series("verdict", verdicts, dtype=pl.String),
        pl.Series("verdict_path", paths, dtype=pl.String),
    )
    frame = frame.with_columns(
        pl.Series("answer_class", _classes(frame), dtype=pl.Int32),
        *(each.alias(name) for name, each in statistics(frame).items()),
    )
    return frame.select(TABLES["graded"].names)


def verdict_rows(
    judged: Mapping[tuple[str, str], Judgement], *, verifier_name: str
) -> pl.DataFrame:
    """Make the table of verdicts, one row for each judged pair, sorted by gold and answer."""
    rows = [
        (
            gold,
            answer,
            verifier_name,
            judgement.verdict,
            judgement.path,
            judgement.unit and judgement.unit.name,
        )
        for (gold, answer), judgement in sorted(judged.items(), key=lambda entry: entry[0])
    ]
    names = TABLES["verdicts"].names
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")


def grading_settings(recipe: Recipe) -> dict[str, Any]:
    """List what a verdict depends on besides its rollout, for the key of whatever grades."""
    # The deadline is left in: what it cuts short is a verdict too. What is known only saves time.
    told = recipe.grade.model_dump(mode="json", exclude={"verdicts"})
    told |= contents(recipe.parts, "verifiers", [recipe.grade.judge])
    return {"grade": told, "reading": READING}


def keys_of(problems: pl.DataFrame) -> dict[str, AnswerKey]:
    """Give the key of each problem of a table."""
    columns = problems.select("problem_id", "gold", "question").iter_rows()
    return {name: AnswerKey(gold, question) for name, gold, question in columns}


def _check_keys(rollouts: pl.DataFrame, keys: Mapping[str, AnswerKey]) -> None:
    keyless = AnswerKey(())
    names = rollouts["problem_id"].unique().sort()
    missing = [name for name in names if not keys.get(name, keyless).golds]
    if missing:
        raise RFTError(
            f"problem {missing[0]} has rollouts but no gold answer ({len(missing)} such problems): "
            "give a table of problems that holds it"
        )


def _texts(rollouts: pl.DataFrame, trim: Trim | None, form: Form) -> pl.DataFrame:
    """Cut every completion and measure what is left."""
    rows = []
    for completion, token_ids in rollouts.select("completion", "token_ids").iter_rows():
        reading = read(completion, form)
        count: int | None = None
        if token_ids is None:
            response = completion[: reading.box.end] if reading.box else completion
        else:
            assert trim is not None, "rollouts with token ids need a way to trim them"
            count, response = trim(token_ids, completion)
        rows.append(
            (
                response,
                count,
                answer_of(response, form),
                len(reading.answers),
                len(reading.placeholders),
                reading.together,
                redundancy(response),
            )
        )
    return pl.DataFrame(rows, schema=_TEXT, orient="row")


def _check_lengths(frame: pl.DataFrame) -> None:
    """Refuse a statistic that is shorter than the response: its mean would be over other tokens."""
    for column in RECORDED:
        # A list column of nothing but nulls may have lost its type.
        if not isinstance(frame.schema[column], pl.List):
            continue
        short = frame.filter(pl.col(column).list.len() < pl.col("num_response_tokens"))
        if short.height:
            row = short.row(0, named=True)
            raise RFTError(
                f"rollout {row['rollout_id']}: {len(row[column])} {column} for a response of "
                f"{row['num_response_tokens']} tokens; the statistics do not belong to its tokens"
            )


def _classes(frame: pl.DataFrame) -> list[int | None]:
    """Number the distinct answers within (problem, round): 0 is correct, 1 the first other, ..."""
    columns = ("problem_id", "round", "sample_index", "rollout_id", "answer", "verdict")
    rows = frame.select(columns).rows()
    classes: list[int | None] = [None] * len(rows)
    numbers: dict[tuple[str, int], dict[str, int]] = {}
    for index in sorted(range(len(rows)), key=lambda index: rows[index][:4]):
        name, round_, _, _, answer, verdict = rows[index]
        if verdict == "correct":
            classes[index] = 0
        elif answer is not None and answer.strip():
            seen = numbers.setdefault((name, round_), {})
            classes[index] = seen.setdefault(" ".join(answer.split()), len(seen) + 1)
    return classes


def redundancy(response: str) -> float:
    """Measure repetition: 1 - distinct / total of the word 3-grams, case kept; 0 below 3 words."""
    words = response.split()
    grams = list(zip(words, words[1:], words[2:], strict=False))
    return 1 - len(set(grams)) / len(grams) if grams else 0.0
