"""The rollouts of a page: an index to choose from, and their texts, tokens and fates in chunks."""

import base64
import gzip
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from pipelines.readers.current import sound
from pipelines.readers.measured_on import NAME
from pipelines.readers.page.draw import GROUP, KIND, MOST, counted, drawn
from pipelines.readers.show import listing, sampled_rounds
from pipelines.readers.tokens import token_texts
from pipelines.readers.why import why
from rft.errors import RFTError
from rft.grading.answers import Form, answer_box
from rft.grading.verifiers import finds
from rft.prompt import prompt_form
from rft.runs import tables
from rft.runs.folder import Run
from rft.runs.schemas import VERDICTS
from rft.token_kinds.answer import Texts

# A chunk is closed at so many rollouts or letters, whichever comes first: it is read as a whole.
CHUNK, LETTERS_OF_CHUNK = 100, 1 << 20
# Letters of verdicts, for the answers to a problem at a glance.
LETTERS = {name: letter for name, letter in zip(VERDICTS, "cwnutb", strict=True)}
# Columns of the index that hold few different texts: written once, and numbers in their place.
NAMED = ("kind", "benchmark", "verdict", "path", "fate", "finish", "problem_id")
NUMBERS = ("entropy", "branching", "perplexity", "redundancy")
LISTS = ["token_ids", "entropies", "branching", "logprobs"]


@dataclass(frozen=True)
class Remembered(Run):
    """A run of which each manifest and table is read once, for the many who ask."""

    known: dict[Any, Any] = field(default_factory=dict, compare=False)

    def manifest(self, stage: str, round: int) -> dict[str, Any] | None:
        """Read a stage's manifest."""
        key = (stage, round)
        if key not in self.known:
            self.known[key] = super().manifest(stage, round)
        made: dict[str, Any] | None = self.known[key]
        return made

    def read(self, table: str, round: int, columns: list[str] | None = None) -> pl.DataFrame:
        """Read a whole table of a round."""
        key = (table, round, tuple(columns or ()))
        if key not in self.known:
            self.known[key] = super().read(table, round, columns)
        rows: pl.DataFrame = self.known[key]
        return rows


@dataclass(frozen=True)
class Rollouts:
    """What a page holds of a run's rollouts."""

    index: str
    """JSON, gzipped, in base64: see `index_of`."""
    chunks: list[str]
    """The same of some rollouts each, in the order of the index: see `detail_of`."""
    held: int
    all: int


def rollouts_of(run: Run, rows: pl.DataFrame, room: int, most: int = MOST) -> Rollouts:
    """Draw, of all rollouts of a run, those that fit into so many bytes, some of every kind."""
    some = drawn(rows, run.recipe.seed, most)
    chunks: list[str] = []
    ends = [0]
    for details, end in chunks_of(Details(run, some), some):
        chunk = packed(details)
        if sum(map(len, chunks)) + len(chunk) > room:
            break
        chunks.append(chunk)
        ends.append(end)
    while True:
        held = ends[len(chunks)]
        index = index_of(run, rows, some.head(held)) | {"starts": ends[: len(chunks)]}
        text = packed(index)
        if not chunks or sum(map(len, chunks)) + len(text) <= room:
            return Rollouts(text, chunks, held, len(rows))
        del chunks[len(chunks) * 3 // 4 :]  # questions need room as well


def chunks_of(details: "Details", some: pl.DataFrame) -> Iterator[tuple[list[Any], int]]:
    """Give the details of rollouts in chunks, each with the place behind its last one."""
    chunk: list[Any] = []
    letters = 0
    for place, row in enumerate(some.iter_rows(named=True), 1):
        chunk.append(details.of(row))
        letters += len(written(chunk[-1]))
        if len(chunk) == CHUNK or letters >= LETTERS_OF_CHUNK or place == len(some):
            yield chunk, place
            chunk, letters = [], 0


def written(value: Any) -> str:
    """Write data as JSON."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def packed(value: Any) -> str:
    """Write data for a page: as small as it gets, and nothing in it that a page could act on."""
    return base64.b64encode(gzip.compress(written(value).encode(), 6, mtime=0)).decode()


# The index ----------------------------------------------------------------------------------------


def index_of(run: Run, rows: pl.DataFrame, some: pl.DataFrame) -> dict[str, Any]:
    """Give columns of what a page holds, what the run has of each kind, questions and golds."""
    columns: dict[str, Any] = {name: some[name].to_list() for name in some.columns}
    names: dict[str, list[str | None]] = {}
    for name in NAMED:
        names[name] = list(dict.fromkeys(columns[name]))
        places = {text: place for place, text in enumerate(names[name])}
        columns[name] = [places[text] for text in columns[name]]
    for name in NUMBERS:
        known = (each is not None and math.isfinite(each) for each in columns[name])
        both = zip(columns[name], known, strict=True)
        columns[name] = [round(each, 4) if fine else None for each, fine in both]
    asked = _questions(run)
    return {
        "columns": columns,
        "names": names,
        "problems": [asked.get(str(name), ["", []]) for name in names["problem_id"]],
        "groups": _verdicts_of_problems(rows, some),
        "counts": counted(rows),
        "counted_by": KIND,
    }


def _questions(run: Run) -> dict[str, list[Any]]:
    if not run.manifest("prepare", 0):
        return {}
    rows = run.problems(["problem_id", "question", "gold"]).unique("problem_id")
    return {name: [question, gold] for name, question, gold in rows.iter_rows()}


def _verdicts_of_problems(rows: pl.DataFrame, some: pl.DataFrame) -> list[list[Any]]:
    """Write the verdicts of all answers to each problem that a page holds any of, by sample."""
    groups = rows.join(some.select(GROUP).unique(), on=GROUP, how="semi")
    letters = pl.col("verdict").replace_strict(LETTERS, default="-", return_dtype=pl.String)
    told = groups.sort("sample").group_by(GROUP, maintain_order=True)
    lines = told.agg(samples="sample", letters=letters.str.join(""))
    return [list(row) for row in lines.iter_rows()]


# Details ------------------------------------------------------------------------------------------


class Details:
    """What a page says of a rollout when it is opened."""

    def __init__(self, run: Run, some: pl.DataFrame) -> None:
        """Read the wide columns of the rollouts that a page holds."""
        self.run = run
        self.form = prompt_form(run.recipe.prompt, finds(run.recipe.grade))
        self.wide = _wide_of_rounds(run, some) | _wide_of_models(run, some)
        rounds = sampled_rounds(run) if run.recipe.grpo is None else []
        mine = some.filter(kind="round").select("id")
        rows = (
            listing(run, rounds).join(mine, left_on="rollout_id", right_on="id", how="semi")
            if (rounds and len(mine))
            else pl.DataFrame()
        )
        self.rows = {row["rollout_id"]: row for row in rows.iter_rows(named=True)}
        self.texts = _texts(run, self.wide)

    def of(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Give `t`, a text or its tokens, and numbers of these; where the response and its box end;
        and why the rollout came as far as it did.
        """
        wide = self.wide.get(row["id"], {"completion": ""})
        made = detail_of(wide, self.texts, self.form)
        if row["kind"] == "round" and row["id"] in self.rows:
            made |= {"why": why(self.run, self.rows[row["id"]]), "p": wide.get("prompt", "")}
        return made


def detail_of(wide: Mapping[str, Any], texts: Texts | None, form: Form) -> dict[str, Any]:
    """Give what is to be seen of a completion: its text, or that of its tokens, with numbers."""
    completion = wide["completion"]
    box = answer_box(completion, form)
    made: dict[str, Any] = {"t": completion}
    response = wide.get("response")
    if response is not None and completion.startswith(response):
        made["end"] = units(response)
    elif box is not None:
        made["end"] = units(completion[: box.end])
    if box is not None:
        made["box"] = [units(completion[: box.start]), units(completion[: box.end])]
    ids = wide.get("token_ids")
    if ids and texts is not None and (pieces := pieces_of(ids, completion, texts)) is not None:
        made["t"] = [text for text, _ in pieces]
        if any(count != 1 for _, count in pieces):
            made["n"] = [count for _, count in pieces]
        made["e"] = _thousandths(wide.get("entropies"))
        made["b"] = wide.get("branching")
        made["l"] = _thousandths(wide.get("logprobs"))
    return {name: value for name, value in made.items() if value is not None}


def units(text: str) -> int:
    """Count the units of a text as a page counts them, in UTF-16."""
    return len(text) + sum(character > "\uffff" for character in text)


def _thousandths(values: Sequence[float | None] | None) -> list[int | None] | None:
    if values is None:
        return None
    known = (value is not None and abs(value) < 1e6 for value in values)
    return [
        round(1000 * value) if fine and value is not None else None
        for value, fine in zip(values, known, strict=True)
    ]


def pieces_of(ids: Sequence[int], completion: str, texts: Texts) -> list[tuple[str, int]] | None:
    """Cut a text into the texts of its tokens, each with how many tokens it takes: a letter may
    need several, and what no token is known of has none. None where tokens do not spell it.
    """
    if min(ids) < 0:
        return None
    alone = texts.of(ids)
    if completion.startswith(spelled := "".join(alone)):
        rest = completion[len(spelled) :]
        return [*((text, 1) for text in alone), *([(rest, 0)] if rest else [])]
    pieces: list[tuple[str, int]] = []
    place, waiting = 0, list[int]()
    for token in ids:
        waiting.append(token)
        text = texts.together(waiting)
        if "\N{REPLACEMENT CHARACTER}" in text or not completion.startswith(text, place):
            if len(waiting) > 12:
                return None
            continue
        pieces.append((text, len(waiting)))
        place += len(text)
        waiting = []
    if waiting:
        return None
    rest = completion[place:]
    return [*pieces, *([(rest, 0)] if rest else [])]


def _texts(run: Run, wide: Mapping[str, Mapping[str, Any]]) -> Texts | None:
    if not any(each.get("token_ids") for each in wide.values()):
        return None
    try:
        return token_texts(run)
    except RFTError:  # the texts are there all the same, without their tokens
        return None


def _wide_of_rounds(run: Run, some: pl.DataFrame) -> dict[str, dict[str, Any]]:
    wide: dict[str, dict[str, Any]] = {}
    mine = some.filter(kind="round")
    for round in sorted(set(mine["round"])):
        names = mine.filter(round=round).select(rollout_id="id")
        for row in _picked(run, "rollouts", round, ["prompt", "completion", *LISTS], names):
            wide[row["rollout_id"]] = row
        if sound(run, "grade", round):
            for row in _picked(run, "graded", round, ["response"], names):
                wide[row["rollout_id"]]["response"] = row["response"]
        if sound(run, "score", round):
            for row in _picked(run, "scored", round, LISTS, names):
                # Of the response alone, so that its text is what its tokens spell.
                if row["token_ids"] and not wide[row["rollout_id"]]["entropies"]:
                    wide[row["rollout_id"]] |= row
    return wide


def _wide_of_models(run: Run, some: pl.DataFrame) -> dict[str, dict[str, Any]]:
    wide: dict[str, dict[str, Any]] = {}
    keys = ["split", "benchmark", "problem_id", "sample_index"]
    mine = some.filter(kind="model")
    for model in sorted(set(mine["round"])):
        here = mine.filter(round=model).select("id", "problem_id", "benchmark", "sample")
        for path in run.parts("evaluations", model):
            rows = tables.read_file(path, [*keys, "completion"])
            rows = rows.with_columns(benchmark=NAME, sample=pl.col("sample_index"))
            both = here.join(rows, on=["problem_id", "benchmark", "sample"], how="inner")
            wide |= {row["id"]: {"completion": row["completion"]} for row in both.to_dicts()}
    return wide


def _picked(
    run: Run, table: str, round: int, columns: list[str], names: pl.DataFrame
) -> Iterator[dict[str, Any]]:
    """Read wide columns of some rollouts, a shard at a time."""
    for path in run.parts(table, round):
        rows = tables.read_file(path, ["rollout_id", *columns])
        yield from rows.join(names, on="rollout_id", how="semi").iter_rows(named=True)
