"""Adopts rollouts: reads records one after the other, and writes rows in batches as they come."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from reprlib import Repr
from typing import Any

import pyarrow as pa

from rft.errors import RFTError, clipped, listed
from rft.foreign import FORMATS
from rft.foreign.chat import Adopted, Unfit
from rft.foreign.inspect_ai import graded
from rft.foreign.opening import Place, places_of
from rft.foreign.records import Found, Say, records_of
from rft.foreign.values import json_text, mapping_in, reward_in
from rft.foreign_text import masked, short
from rft.problems.foreign_rows import LONGEST_ID, SampleNames
from rft.problems.gold import read_gold
from rft.problems.reading import HALF
from rft.problems.sources import LONGEST_GOLD, LONGEST_QUESTION, problem_id
from rft.runs.leftovers import remove_left_beside
from rft.runs.schemas import TEXT
from rft.runs.tables import growing_file

# So many records are looked at to tell the format.
LOOKED_AT = 20
# Beyond what any model writes, and below what is slow to look through.
LONGEST_COMPLETION = 4_000_000
# Shows the beginnings of what a record has, however large it is.
GLIMPSE = Repr()
GLIMPSE.maxstring = GLIMPSE.maxother = 100
GLIMPSE.maxdict = LOOKED_AT
# A batch ends at whichever comes first.
BATCH_ROWS, BATCH_CHARACTERS = 1_000, 32 << 20

ROWS = pa.schema(
    [
        pa.field("rollout_id", TEXT, nullable=False),
        pa.field("problem_id", TEXT, nullable=False),
        pa.field("round", pa.int32(), nullable=False),
        pa.field("sample_index", pa.int32(), nullable=False),
        pa.field("question", TEXT, nullable=False),
        pa.field("gold", pa.large_list(TEXT)),
        pa.field("completion", TEXT, nullable=False),
        pa.field("finish_reason", TEXT, nullable=False),
        pa.field("num_tokens", pa.int32()),
        pa.field("token_ids", pa.large_list(pa.int32())),
        pa.field("logprobs", pa.large_list(pa.float32())),
        pa.field("reward", pa.float64()),
        pa.field("scores", TEXT),
        pa.field("reasoning", TEXT),
        pa.field("their_prompt", TEXT, nullable=False),
        pa.field("their_model", TEXT),
        pa.field("source", TEXT, nullable=False),
        pa.field("source_row", pa.int64(), nullable=False),
        pa.field("source_id", TEXT),
    ]
)
SET_ASIDE = pa.schema(
    [
        pa.field("reason", TEXT, nullable=False),
        pa.field("source", TEXT, nullable=False),
        pa.field("source_row", pa.int64(), nullable=False),
        pa.field("beginning", TEXT, nullable=False),
    ]
)


@dataclass(frozen=True)
class Wanted:
    """What is to be taken of records: by which format, and where golds and the reward are."""

    format: str
    gold: str | None = None
    score: str | None = None


@dataclass
class Count:
    """What became of the rollouts."""

    format: str
    kept: int = 0
    set_aside: Counter[str] = field(default_factory=Counter)
    golds: Counter[str] = field(default_factory=Counter)
    without_reward: int = 0
    unread: int = 0
    unread_reward: str | None = None
    scores: set[str] = field(default_factory=set)

    @property
    def rollouts(self) -> int:
        """Count all of them."""
        return self.kept + self.set_aside.total()

    @property
    def without_gold(self) -> int:
        """Count the kept ones that have no gold."""
        return self.kept - self.golds.total()

    @property
    def reasons(self) -> str:
        """List why rollouts were set aside, the most frequent reason first."""
        return ", ".join(f"{number} {reason}" for reason, number in self.set_aside.most_common())


def adopt(source: str, wanted: Wanted, output: Path, beside: Path, say: Say) -> Count:
    """Write the rollouts of a source as rows, and beside them those that are none."""
    places = places_of(source)
    _refuse_outputs(places, (output, beside))
    found = records_of(places, say)
    first = list(islice(found, LOOKED_AT))
    if wanted.format == "auto":
        wanted = replace(wanted, format=format_of(first))
    for path in (output, beside):
        remove_left_beside(path)
    count = Count(wanted.format)
    with ExitStack() as stack:
        keep = stack.enter_context(growing_file(output, ROWS))
        put_aside = stack.enter_context(growing_file(beside, SET_ASIDE))
        for rows, others in _batches(chain(first, found), wanted, count):
            if rows:
                keep(rows)
            if others:
                put_aside(others)
        _refuse_nothing(masked(source), wanted, count)
    return count


def remarks(count: Count, wanted: Wanted) -> Iterator[str]:
    """Say where the golds are from, and what the kept ones are without."""
    if len(count.golds) == 1:
        yield f"gold from `{next(iter(count.golds))}`"
    elif count.golds:
        columns = (f"`{name}` ({number})" for name, number in count.golds.most_common())
        yield f"gold from {', '.join(columns)}"
    if count.without_gold:
        how = "" if wanted.gold else "; --gold NAME says in which column it is"
        yield f"{count.without_gold} of {count.kept} have no gold, which `rft grade` needs{how}"
    if count.unread:
        yield (
            f"{count.unread} of {count.kept} have a reward that is no number, such as "
            f"{count.unread_reward}, and are without one"
        )
    if count.without_reward and count.scores and not wanted.score:
        named = ", ".join(sorted(count.scores)[:5])
        yield f"{count.without_reward} of {count.kept} have no reward; --score takes one of {named}"


def _refuse_outputs(places: list[Place], outputs: tuple[Path, ...]) -> None:
    """Refuse to replace a file that is read."""
    for place in places:
        for output in outputs:
            local = place.system is None and Path(place.path).exists()
            if local and output.exists() and output.samefile(place.path):
                raise RFTError(
                    f"--output {output}: {output.name} is among the files that are read; name "
                    "another file, outside their folder"
                )


def _refuse_nothing(source: str, wanted: Wanted, count: Count) -> None:
    """Refuse to end with nothing, or without what was asked for."""
    if not count.kept:
        raise RFTError(
            f"{source}: none of its {count.rollouts} rollouts can be kept, read as {wanted.format} "
            f"({clipped(count.reasons, 200)}); see whether --as is right"
        )
    if wanted.gold and count.without_gold == count.kept:
        raise RFTError(
            f"{source}: --gold {wanted.gold}: there is no gold in any record; name a column, or a "
            "place within one, e.g. --gold info.answer"
        )
    if wanted.score and count.without_reward == count.kept:
        raise RFTError(
            f"{source}: --score {wanted.score}: no rollout has a number as such a score; there are "
            f"{listed(sorted(count.scores)) or 'none'}"
        )


def format_of(first: list[Found]) -> str:
    """Tell the format by the first records, or refuse to guess."""
    for found in first:
        for name, format_ in FORMATS.items():
            if format_.fits(found.record):
                return name
    one = first[0]
    raise RFTError(
        f"{one.file}: its records look like none of {', '.join(FORMATS)} (the first has "
        f"{listed(one.record) or 'nothing'}); say which with --as, or take the rows as they are: "
        "`rft grade --input FILE --column completion=NAME`"
    )


def _batches(
    found: Iterator[Found], wanted: Wanted, count: Count
) -> Iterator[tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
    """Make rows of records, some at a time, beside those that are set aside."""
    names = SampleNames()
    rows: list[dict[str, Any]] = []
    others: list[dict[str, Any]] = []
    characters = 0
    for each in found:
        for outcome in FORMATS[wanted.format].rows(each.record):
            checked = _checked(outcome, each.record, wanted)
            if isinstance(checked, Unfit):
                count.set_aside[str(checked)] += 1
                others.append(_aside(checked, each))
                continue
            row = _row(checked, each, names)
            rows.append(row)
            characters += len(row["completion"]) + len(row["their_prompt"])
            count.kept += 1
            count.golds.update([checked.gold_name] if checked.gold_name else [])
            count.without_reward += checked.reward is None
            count.unread += checked.unread_reward is not None
            count.unread_reward = count.unread_reward or checked.unread_reward
            if len(count.scores) < LOOKED_AT:
                count.scores.update(map(str, checked.scores))
        if len(rows) + len(others) >= BATCH_ROWS or characters >= BATCH_CHARACTERS:
            yield rows, others
            rows, others, characters = [], [], 0
    yield rows, others


def _checked(outcome: Adopted | Unfit, record: dict[str, Any], wanted: Wanted) -> Adopted | Unfit:
    """Take golds and the reward from where they are said to be, and refuse what no table holds."""
    if isinstance(outcome, Unfit):
        return outcome
    if wanted.gold:
        golds = read_gold(_within(record, wanted.gold), "plain")
        outcome = replace(outcome, gold=golds, gold_name=wanted.gold if golds else None)
    if wanted.score:
        outcome = replace(outcome, **reward_in(outcome.scores.get(wanted.score), graded))
    limits = (
        ("question", LONGEST_QUESTION, [outcome.question]),
        ("gold", LONGEST_GOLD, outcome.gold),
        ("completion", LONGEST_COMPLETION, [outcome.completion, outcome.reasoning or ""]),
        ("prompt", LONGEST_COMPLETION, [outcome.prompt]),
    )
    for what, longest, texts in limits:
        if any(len(text) > longest for text in texts):
            return Unfit(f"{what} longer than {longest:,} characters")
        if any(HALF.search(text) for text in texts):
            return Unfit(f"half a character in its {what}")
    return outcome


def _within(record: Mapping[str, Any], place: str) -> Any:
    """Find what stands at a place such as `info.answer`."""
    if place in record:
        return record[place]
    name, _, rest = place.partition(".")
    return _within(mapping_in(record.get(name)), rest) if rest else None


def _row(rollout: Adopted, found: Found, names: SampleNames) -> dict[str, Any]:
    problem = problem_id(rollout.question, rollout.gold)
    rollout_id, index = names.give(problem, rollout.completion, rollout.sample_index)
    return {
        "rollout_id": rollout_id,
        "problem_id": problem,
        "round": 0,
        "sample_index": index,
        "question": rollout.question,
        "gold": rollout.gold or None,
        "completion": rollout.completion,
        "finish_reason": rollout.finish_reason,
        "num_tokens": rollout.num_tokens,
        "token_ids": rollout.token_ids,
        "logprobs": rollout.logprobs,
        "reward": rollout.reward,
        "scores": json_text(dict(rollout.scores)) if rollout.scores else None,
        "reasoning": rollout.reasoning,
        "their_prompt": rollout.prompt,
        "their_model": _name(rollout.model),
        "source": found.file,
        "source_row": found.row,
        "source_id": _name(rollout.source_id),
    }


def _name(value: str | None) -> str | None:
    """Give a name that a table can hold, and that is none too long."""
    return None if value is None else HALF.sub("?", clipped(value, LONGEST_ID))


def _aside(reason: Unfit, found: Found) -> dict[str, Any]:
    return {
        "reason": str(reason),
        "source": found.file,
        "source_row": found.row,
        "beginning": short(GLIMPSE.repr(found.record)),
    }
