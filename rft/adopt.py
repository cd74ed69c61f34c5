"""Rows of anyone's JSONL or Parquet, made into rows that the stages know."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from rft.answers import answer_of, count_boxes, first_box
from rft.errors import RFTError
from rft.features import redundancy
from rft.schemas import TABLES
from rft.seeds import digest
from rft.sources import problem_id, read_gold, read_rows
from rft.tables import write_file

# For each column that may be missing, the command that makes it.
MAKERS = {
    "completion": "`--column completion=NAME` says where the text is",
    "gold": "`--column gold=NAME` says where the known answer is",
    "verdict": "`rft grade` makes it",
    "answer": "`rft grade` makes it",
}


def read_foreign(path: Path, renames: Sequence[str]) -> pl.DataFrame:
    """Read a file and rename its columns as `ours=theirs` asks."""
    rows = read_rows(path)
    if rows.is_empty():
        raise RFTError(f"{path}: no rows in it")
    names = dict(pair.partition("=")[::2] for pair in renames)
    for ours, theirs in names.items():
        if not ours or not theirs:
            raise RFTError(f"--column {ours}: write OURS=THEIRS, e.g. --column completion=response")
        if theirs not in rows.columns:
            raise RFTError(
                f"{path}: no column {theirs!r} (--column {ours}={theirs}); it has "
                f"{', '.join(rows.columns)}"
            )
        if ours in rows.columns:
            raise RFTError(
                f"{path}: --column {ours}={theirs}, but it has a column {ours!r} too; rename that "
                f"first, e.g. --column their_{ours}={ours}"
            )
    return rows.rename({theirs: ours for ours, theirs in names.items()})


def explode(rows: pl.DataFrame, column: str) -> pl.DataFrame:
    """Give every sample a row of its own where a column holds a list of them."""
    if column not in rows.columns or not isinstance(rows.schema[column], pl.List):
        return rows
    return rows.explode(column).filter(pl.col(column).is_not_null())


def need(rows: pl.DataFrame, columns: Sequence[str], path: Path) -> None:
    """Refuse rows without a column, naming what makes it."""
    for name in columns:
        if name not in rows.columns:
            raise RFTError(
                f"{path}: no column {name!r} (it has {', '.join(rows.columns)}); {MAKERS[name]}"
            )


def adopt(rows: pl.DataFrame, path: Path) -> tuple[pl.DataFrame, dict[str, list[str]], bool]:
    """Make rollouts of foreign rows: (rollouts, golds by problem, whether problems are known)."""
    need(rows, ["completion", "gold"], path)
    rows = explode(rows, "completion")
    texts = rows["completion"]
    if texts.dtype != pl.String:
        raise RFTError(f"{path}: column 'completion' holds {texts.dtype}, not text")
    if rows.is_empty():
        raise RFTError(f"{path}: no completion in it")
    golds = [read_gold(value, "plain") for value in rows["gold"]]
    names = problem_names(rows, golds)
    known = "problem_id" in rows.columns or "question" in rows.columns or "problem" in rows.columns
    seen: dict[str, int] = {}
    repeats: dict[tuple[str, str], int] = {}
    made = []
    for name, text in zip(names, texts, strict=True):
        index = seen[name] = seen.get(name, -1) + 1
        again = repeats[name, text] = repeats.get((name, text), -1) + 1
        made.append((digest("adopted", name, text or "", again), name, index))
    identity = pl.DataFrame(made, schema=["rollout_id", "problem_id", "sample_index"], orient="row")
    fixed = {"round": pl.lit(0, pl.Int32), "finish_reason": pl.lit("stop")}
    rows = rows.with_columns(
        *(identity[name] for name in identity.columns if name not in rows.columns),
        *(value.alias(name) for name, value in fixed.items() if name not in rows.columns),
    ).with_columns(pl.col("completion").fill_null(""))
    by_problem: dict[str, list[str]] = {}
    for name, gold in zip(rows["problem_id"], golds, strict=True):
        if by_problem.setdefault(name, gold) != gold:
            raise RFTError(f"{path}: problem {name} has two different golds")
    return rows, by_problem, known


def problem_names(rows: pl.DataFrame, golds: Sequence[list[str]]) -> list[str]:
    """Name each row's problem: as given, by its content, or each row for itself."""
    if "problem_id" in rows.columns:
        return [str(name) for name in rows["problem_id"]]
    for column in ("question", "problem"):
        if column in rows.columns:
            questions = rows[column]
            return [problem_id(q, gold) for q, gold in zip(questions, golds, strict=True)]
    return [f"row-{number:08d}" for number in range(len(rows))]


def with_features(rows: pl.DataFrame, path: Path) -> pl.DataFrame:
    """Add to foreign graded rows the text features that rules read, where they are absent."""
    if "response" not in rows.columns or "num_boxed" not in rows.columns:
        text = "response" if "response" in rows.columns else "completion"
        need(rows, ["completion"] if text == "completion" else [], path)
        # `response` counts as trimmed only beside `num_boxed`: only a grader writes both.
        trimmed = [trim_text(value or "") for value in rows[text]]
        rows = rows.with_columns(
            pl.Series("num_boxed", [count_boxes(value or "") for value in rows[text]], pl.Int32),
            pl.Series("response", trimmed, pl.String),
        )
    if "answer" not in rows.columns:
        answers = [answer_of(text) for text in rows["response"]]
        rows = rows.with_columns(pl.Series("answer", answers, pl.String))
    if "redundancy" not in rows.columns:
        values = [redundancy(text) for text in rows["response"]]
        rows = rows.with_columns(pl.Series("redundancy", values, pl.Float32))
    if "finish_reason" not in rows.columns:
        rows = rows.with_columns(finish_reason=pl.lit("stop"))
    return rows


def trim_text(text: str) -> str:
    """Cut a text just after the brace that closes its first balanced box."""
    box = first_box(text)
    return text if box is None else text[: box.end]


def pad(rows: pl.DataFrame, table: str) -> pl.DataFrame:
    """Give rows the table's missing optional columns, empty, with the table's types."""
    schema = pl.from_arrow(TABLES[table].empty_table()).schema  # type: ignore[union-attr]
    return rows.with_columns(
        *(
            pl.col(name).cast(kind) if name in rows.columns else pl.lit(None, kind).alias(name)
            for name, kind in schema.items()
        )
    )


def write_rows(path: Path, rows: pl.DataFrame) -> None:
    """Write rows to one Parquet file, whole or not at all."""
    write_file(path, rows.to_arrow())
