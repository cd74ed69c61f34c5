"""Rows of anyone's JSONL or Parquet, made into rows that the stages know."""

from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl

from rft.errors import RFTError, clipped, did_you_mean, listed, nearest, shown
from rft.grading.answers import answer_of, read
from rft.grading.grade import redundancy
from rft.grading.judgement import AnswerKey
from rft.problems.gold import read_gold
from rft.problems.reading import read_rows
from rft.problems.sources import problem_id
from rft.runs.leftovers import remove_left_beside
from rft.runs.schemas import TABLES
from rft.runs.tables import empty, write_file
from rft.seeds import digest

# For each column that may be missing, the command that makes it.
MAKERS = {
    "completion": "`--column completion=NAME` says where the text is",
    "gold": "`--column gold=NAME` says where the known answer is",
    "verdict": "`rft grade` makes it",
}
QUESTIONS = ("question", "problem")
# What is shown, sorted and joined by: ours have 16.
LONGEST_ID = 1_000
IDENTITY = ("rollout_id", "problem_id", "round", "sample_index")


def read_foreign(path: Path, renames: Sequence[str]) -> pl.DataFrame:
    """Read a file and rename its columns as `ours=theirs` asks."""
    rows = read_rows(path)
    if rows.is_empty():
        raise RFTError(f"{path}: no rows in it")
    names: dict[str, str] = {}
    for pair in renames:
        ours, _, theirs = pair.partition("=")
        if not ours or not theirs:
            raise RFTError(f"--column {pair}: write OURS=THEIRS, e.g. --column completion=response")
        if theirs not in rows.columns:
            raise RFTError(
                f"{path}: no column {theirs!r} (--column {pair}); it has {listed(rows.columns)}"
            )
        if guess := misspelled(ours):
            raise RFTError(
                f"--column {pair}: no column of ours is called {clipped(ours)!r}; "
                f"{did_you_mean(guess)} (their_{guess} is free for a column that is in the way)"
            )
        if theirs in names or ours in names.values():
            raise RFTError(f"--column {pair}: {theirs!r} or {ours!r} stands in another --column")
        names[theirs] = ours
    for theirs, ours in names.items():
        if ours in rows.columns and ours not in names:
            raise RFTError(
                f"{path}: --column {ours}={theirs}, but it has a column {ours!r} too; rename that "
                f"as well, e.g. --column their_{ours}={ours}"
            )
    return rows.rename(names)


def misspelled(ours: str) -> str | None:
    """Find the column of ours that a name of --column was to be, if it only looks like one."""
    known = {*QUESTIONS, *(name for table in TABLES.values() for name in table.names)}
    if ours in known or any(ours.endswith(f"_{name}") for name in known):
        return None
    return nearest(ours, sorted(known))


def need(rows: pl.DataFrame, columns: Sequence[str], path: Path) -> None:
    """Refuse rows without a column, naming what makes it."""
    for name in columns:
        if name not in rows.columns:
            raise RFTError(
                f"{path}: no column {name!r} (it has {listed(rows.columns)}); {MAKERS[name]}"
            )


def refuse_taken(rows: pl.DataFrame, columns: Sequence[str], stage: str, path: Path) -> None:
    """Refuse rows that have a column already which the stage would write over."""
    for name in columns:
        if name in rows.columns:
            # What others call a response is what the model wrote, whole.
            whole = name == "response" and text_column(rows) in (None, "response")
            meant = "completion" if whole else f"their_{name}"
            raise RFTError(
                f"{path}: it has a column {name!r}, which `rft {stage}` writes; rename it, e.g. "
                f"--column {meant}={name}"
            )


def explode(rows: pl.DataFrame, column: str) -> pl.DataFrame:
    """Give every sample a row of its own where a column holds a list of them."""
    kind = rows.schema[column]
    if isinstance(kind, pl.Array):
        rows = rows.with_columns(pl.col(column).cast(pl.List(kind.inner)))
    elif not isinstance(kind, pl.List):
        return rows
    # A list without elements is no sample, while a null element is a sample without a text.
    return rows.filter(pl.col(column).list.len() > 0).explode(column)


def text_column(rows: pl.DataFrame) -> str | None:
    """Say which column holds what the model wrote."""
    return next((name for name in ("completion", "response") if name in rows.columns), None)


class SampleNames:
    """The ids of samples, given one after the other: by the problem, what was said, how often."""

    def __init__(self) -> None:
        """Begin with no samples."""
        self._taken: dict[str, set[int]] = {}
        self._repeats: dict[str, int] = {}

    def give(self, problem: str, said: str, index: int | None = None) -> tuple[str, int]:
        """Give a sample's rollout_id, and its index: the one it comes with, or the next one."""
        # Not the text itself, of which there may be gigabytes.
        content = digest(problem, said)
        again = self._repeats[content] = self._repeats.get(content, -1) + 1
        taken = self._taken.setdefault(problem, set())
        if index is None or index in taken:
            index = len(taken)
            while index in taken:
                index += 1
        taken.add(index)
        return digest("adopted", problem, said, again), index


def identify(rows: pl.DataFrame, path: Path) -> pl.DataFrame:
    """Add the ids that rows lack, and give every sample of a list a row of its own.

    A problem is known by its id, or its question and gold; without, each row has its own.
    """
    rows = rows.with_columns(pl.Series("problem_id", problem_names(rows, path), pl.String))
    text = text_column(rows)
    if text is not None:
        rows = explode(rows, text)
        if rows.is_empty():
            raise RFTError(f"{path}: no {text} in it")
        if rows.schema[text] not in (pl.String, pl.Null):
            raise RFTError(f"{path}: column {text!r} holds {rows.schema[text]}, not text")
        rows = rows.with_columns(pl.col(text).cast(pl.String))
    elif "rollout_id" not in rows.columns:
        need(rows, ["completion"], path)
    said = rows[text].fill_null("") if text else rows["rollout_id"].cast(pl.String)
    names = SampleNames()
    made = [names.give(*each) for each in zip(rows["problem_id"], said, strict=True)]
    identity = pl.DataFrame(made, schema=["rollout_id", "sample_index"], orient="row")
    fixed = {"round": pl.lit(0, pl.Int32), "finish_reason": pl.lit("stop")}
    rows = rows.with_columns(
        *(identity[name] for name in identity.columns if name not in rows.columns),
        *(value.alias(name) for name, value in fixed.items() if name not in rows.columns),
    )
    return _checked(typed(rows, "graded", path), path)


def _checked(rows: pl.DataFrame, path: Path) -> pl.DataFrame:
    """Refuse ids that are not there, or there twice."""
    for name in IDENTITY:
        if rows[name].null_count():
            raise RFTError(f"{path}: column {name!r} is empty in {rows[name].null_count()} rows")
        if rows.schema[name] == pl.String:
            long = rows[name].filter(rows[name].str.len_chars() > LONGEST_ID)
            if len(long):
                raise RFTError(
                    f"{path}: column {name!r} has a value of {len(long[0]):,} characters, and ids "
                    f"have {LONGEST_ID:,} at most; rename it, e.g. --column their_{name}={name}"
                )
    twice = rows.filter(pl.col("rollout_id").is_duplicated())["rollout_id"]
    if len(twice):
        raise RFTError(
            f"{path}: rollout_id {twice[0]!r} stands in several rows; make them distinct, or "
            "name the column something else with --column and new ones are made"
        )
    return rows


def rollouts_of(
    rows: pl.DataFrame, path: Path, *, needs_gold: bool = True
) -> tuple[pl.DataFrame, dict[str, AnswerKey]]:
    """Make rollouts of foreign rows, and the key of each problem."""
    need(rows, ["completion", "gold"] if needs_gold else ["completion"], path)
    for number, gold in enumerate(read_golds(rows, path) if needs_gold else (), 1):
        if not gold:
            raise RFTError(f"{path}: row {number} has no gold; every row needs one")
    rows = identify(rows, path).with_columns(pl.col("completion").fill_null(""))
    asked = next((rows[name] for name in QUESTIONS if name in rows.columns), [None] * len(rows))
    by_problem: dict[str, AnswerKey] = {}
    golds = read_golds(rows, path) if "gold" in rows.columns else [[] for _ in range(len(rows))]
    for name, gold, question in zip(rows["problem_id"], golds, asked, strict=True):
        if by_problem.setdefault(name, AnswerKey(gold, question)).golds != gold:
            raise RFTError(f"{path}: problem {name} has two different golds")
    return rows, by_problem


# What others write for a verdict, in small letters, to ours.
_VERDICTS = {
    **{str(word).casefold(): "correct" for word in ("correct", "right", True, 1, 1.0)},
    **{str(word).casefold(): "wrong" for word in ("wrong", "incorrect", False, 0, 0.0)},
    **{word: word for word in ("no_answer", "unparseable", "timeout", "bad_gold")},
}


def with_given_verdicts(rows: pl.DataFrame, path: Path) -> tuple[pl.DataFrame, list[str]]:
    """Make rollouts of foreign rows, and read the verdict that each brings along."""
    need(rows, ["completion"], path)
    if "verdict" not in rows.columns:
        raise RFTError(
            f"{path}: no column 'verdict' (it has {listed(rows.columns)}), which "
            "grade.verifier: given keeps; `--column verdict=NAME` says where it is"
        )
    both = ["completion", "verdict"]
    try:
        if any(rows.schema[name].is_nested() for name in both):
            rows = rows.explode(both)
    except pl.exceptions.PolarsError:
        raise RFTError(
            f"{path}: columns 'completion' and 'verdict' do not hold lists of equal lengths; "
            "grade.verifier: given needs a verdict for each completion"
        ) from None
    verdicts = []
    for number, value in enumerate(rows["verdict"], 1):
        verdict = _VERDICTS.get(str(value).casefold())
        if verdict is None:
            raise RFTError(
                f"{path}: sample {number} has the verdict {shown(value)}; grade.verifier: given "
                f"takes {', '.join(sorted(set(_VERDICTS.values())))}, true, false, 1 and 0"
            )
        verdicts.append(verdict)
    rows = identify(rows.drop("verdict"), path).with_columns(pl.col("completion").fill_null(""))
    return rows, verdicts


def read_golds(rows: pl.DataFrame, path: Path) -> list[list[str]]:
    """Read every row's accepted answers: a text, a number, or a list of them."""
    kind = rows.schema["gold"]
    if getattr(kind, "inner", kind).is_nested():
        raise RFTError(f"{path}: column 'gold' holds {kind}, not a text or a list of texts")
    return [read_gold(value, "plain") for value in rows["gold"].to_list()]


def problem_names(rows: pl.DataFrame, path: Path) -> list[str | None]:
    """Name each row's problem: as given, by its content, or each row for itself."""
    if "problem_id" in rows.columns:
        return list(typed(rows.select("problem_id"), "graded", path)["problem_id"])
    question = next((name for name in QUESTIONS if name in rows.columns), None)
    if question is None:
        return [f"row-{number:08d}" for number in range(len(rows))]
    if rows.schema[question] not in (pl.String, pl.Null):
        raise RFTError(f"{path}: column {question!r} holds {rows.schema[question]}, not text")
    golds = read_golds(rows, path) if "gold" in rows.columns else [[] for _ in range(len(rows))]
    return [
        problem_id(text, gold) if text and text.strip() else f"row-{number:08d}"
        for number, (text, gold) in enumerate(zip(rows[question], golds, strict=True))
    ]


def say_if_alone(rows: pl.DataFrame, setting: str, say: Callable[[str], None]) -> None:
    """Say that what works on a problem's samples did nothing, where each problem has only one."""
    if rows["problem_id"].n_unique() == len(rows):
        say(
            f"{setting} did nothing: each row is the only sample of its problem "
            "(problems are told apart by a column problem_id, or question with gold)"
        )


def with_features(rows: pl.DataFrame, path: Path) -> pl.DataFrame:
    """Add to identified rows the text features that rules read, where they are absent.

    `response` counts as trimmed only beside `num_boxed`: only a grader writes both. What has no
    text has no features either, so every rule rejects it.
    """
    if "response" not in rows.columns or "num_boxed" not in rows.columns:
        text = "response" if "response" in rows.columns else "completion"
        need(rows, ["completion"] if text == "completion" else [], path)
        texts = [(None, None) if value is None else _cut(value) for value in rows[text]]
        rows = rows.with_columns(
            pl.Series("num_boxed", [number for number, _ in texts], pl.Int32),
            pl.Series("response", [response for _, response in texts], pl.String),
        )
    responses = rows["response"].to_list()
    if "answer" not in rows.columns:
        answers = [None if text is None else answer_of(text) for text in responses]
        rows = rows.with_columns(pl.Series("answer", answers, pl.String))
    if "redundancy" not in rows.columns:
        values = [None if text is None else redundancy(text) for text in responses]
        rows = rows.with_columns(pl.Series("redundancy", values, pl.Float32))
    return rows


def _cut(text: str) -> tuple[int, str]:
    """Count a text's answers, and cut it just after the brace that closes the first."""
    reading = read(text)
    box = reading.box
    return len(reading.answers), text if box is None else text[: box.end]


def typed(rows: pl.DataFrame, table: str, path: Path) -> pl.DataFrame:
    """Give the columns that are ours the types of the named table, or refuse the rows."""
    for name, kind in empty(table).schema.items():
        if name not in rows.columns:
            continue
        try:
            if rows.schema[name].is_nested() != kind.is_nested():
                raise pl.exceptions.InvalidOperationError
            rows = rows.with_columns(pl.col(name).cast(kind))
        except pl.exceptions.PolarsError:
            raise RFTError(
                f"{path}: column {name!r} holds {rows.schema[name]}, which is no {kind}; rename "
                f"it if it means something else, e.g. --column their_{name}={name}"
            ) from None
    return rows


def write_rows(path: Path, rows: pl.DataFrame) -> None:
    """Write rows to one Parquet file, whole or not at all."""
    remove_left_beside(path)
    write_file(path, rows.to_arrow())
