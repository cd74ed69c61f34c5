"""Records out of files of any kind that rollouts are saved in, one after the other.

JSON lines, JSON, CSV, Parquet and inspect_ai's logs, each also packed by gzip or zstd. What a file
is shows in how it begins; only CSV and JSON of several lines are known by their names. A file that
cannot be read is refused, whatever its records hold is not: that is somebody's model's word.
CSV is read strictly, since one quotation mark that does not close makes a text of all that follows.
"""

import csv
import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import pyarrow as pa

from rft.errors import RFTError, clipped
from rft.foreign.inspect_ai import DEEPEST_SAMPLE, samples_in, samples_of
from rft.foreign.opening import Place, opened, size_of, stem_of, told
from rft.problems.reading import (
    LONGEST_LINE,
    MOST_TIMES,
    MOST_UNPACKED,
    OTHERS,
    check_names,
    json_object,
    json_value,
    lines_of,
    parquet_batches,
    unpacks_to,
)
from rft.runs.tables import refuse_twice

Say = Callable[[str], None]

PACKINGS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
# A JSON file is in memory as a whole, JSON lines are not.
LONGEST_JSON = 256 << 20
BATCH = 256
# Fields of CSV with more lines are told of: hardly an answer is so long.
MANY_LINES = 1_000


@dataclass(frozen=True)
class Found:
    """A record, and where it stands: the file, and its number there from 1 on."""

    record: dict[str, Any]
    file: str
    row: int


def records_of(places: list[Place], say: Say) -> Iterator[Found]:
    """Read the records of all files, in their order, and say what is odd of them."""
    for place in places:
        with opened(place) as file:
            number = 0
            with _faults_told(place):
                for number, record in enumerate(_records(file, place.name, say), 1):
                    yield Found(record, place.name, number)
        if not number:
            raise RFTError(f"{place.name}: no records in it")


@contextmanager
def _faults_told(place: Place) -> Iterator[None]:
    """Turn what goes wrong while a file is read into one line; a local disk speaks for itself."""
    if place.system is None:
        yield
    else:
        with told(place.name):
            yield


def _records(file: BinaryIO, name: str, say: Say) -> Iterator[dict[str, Any]]:
    size = size_of(file)
    head = file.read(8)
    file.seek(0)
    if not size:
        raise RFTError(f"{name}: the file is empty")
    packing = next((kind for magic, kind in PACKINGS.items() if head.startswith(magic)), None)
    if packing is None:
        yield from _unpacked(file, head, size, name, say)
        return
    try:
        with pa.CompressedInputStream(file, packing) as packed:
            within = _Bounded(packed, max(MOST_UNPACKED, MOST_TIMES * size), size, name)
            inner = io.BufferedReader(within, 1 << 20)
            first = inner.peek(8)[:8]
            if not first:
                raise RFTError(f"{name}: the file is empty")
            if first.startswith((b"PAR1", b"PK\x03\x04")):  # read from their ends
                with tempfile.TemporaryFile() as whole:
                    while part := inner.read(1 << 20):
                        whole.write(part)
                    yield from _unpacked(whole, first, size_of(whole), name, say)
            else:
                yield from _unpacked(cast(BinaryIO, inner), first, size, name, say)
    except OSError as error:
        told_ = clipped(" ".join(str(error).split()), 200)
        raise RFTError(f"{name}: its {packing} is damaged ({told_}); fetch it again") from None


class _Bounded(io.RawIOBase):
    """What a packed file unpacks to, no more of it than anybody means."""

    def __init__(self, packed: Any, most: int, size: int, name: str) -> None:
        self.packed, self.left, self.most = packed, most, most
        self.size, self.name = size, name

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part = self.packed.read(len(buffer))
        self.left -= len(part)
        if self.left < 0:
            raise RFTError(unpacks_to(self.size, self.most, self.name))
        buffer[: len(part)] = part
        return len(part)


def _unpacked(
    file: BinaryIO, head: bytes, size: int, name: str, say: Say
) -> Iterator[dict[str, Any]]:
    """Read the records of a file that is not packed, by how it begins and what it is called."""
    stem = stem_of(name).lower()
    if head.startswith(b"PK\x03\x04"):
        yield from samples_in(file, name)
    elif head.startswith(b"PAR1") or stem.endswith(".parquet"):
        for _, batch in parquet_batches(file, name, size, BATCH):
            yield from [] if batch is None else batch.to_pylist()
    elif other := next((what for magic, what in OTHERS.items() if head.startswith(magic)), None):
        raise RFTError(f"{name}: it is {other}")
    elif stem.endswith(".csv"):
        yield from _of_csv(file, name, say)
    elif stem.endswith(".json") or head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
        yield from _of_json(file, name)
    else:
        for number, line in lines_of(file, name):
            yield json_object(line, f"{name}: line {number}", DEEPEST_SAMPLE)


def _of_json(file: BinaryIO, name: str) -> Iterator[dict[str, Any]]:
    """Read a JSON file: a list of records, a log of samples, one record, or lines after all."""
    raw = file.read(LONGEST_JSON + 1)
    if len(raw) > LONGEST_JSON:
        raise RFTError(
            f"{name}: more than {LONGEST_JSON >> 20} MiB of one JSON value; write JSON lines, or a "
            "log of inspect_ai as .eval (`inspect log convert --to eval`)"
        )
    value = json_value(raw.removeprefix(b"\xef\xbb\xbf"), name, DEEPEST_SAMPLE)
    if value is None:
        for number, line in lines_of(io.BytesIO(raw), name):
            yield json_object(line, f"{name}: line {number}", DEEPEST_SAMPLE)
        return
    samples = samples_of(value) if isinstance(value, dict) else None
    several = value if isinstance(value, list) else [value] if samples is None else samples
    for number, record in enumerate(several, 1):
        if not isinstance(record, dict):
            raise RFTError(
                f"{name}: its record {number} is not a JSON object ({clipped(repr(record))}); give "
                "a list of objects"
            )
        yield record


def _of_csv(file: BinaryIO, name: str, say: Say) -> Iterator[dict[str, Any]]:
    """Read a CSV file whose quotation marks close and whose rows are as long as its first line."""
    csv.field_size_limit(LONGEST_LINE)
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    begins, long = 1, list[str]()
    try:
        rows = csv.reader(text, strict=True)
        names = next(rows, [])
        refuse_twice(names)
        check_names(names, name, "")
        begins = rows.line_num + 1
        for row in rows:
            if row:  # a blank line is none
                place = f"{name}: line {begins}"
                yield _by_name(names, row, place)
                if told_ := _long_field(names, row, place):
                    long.append(told_)
            begins = rows.line_num + 1
        if long:
            more = f", and so do fields of {len(long) - 1:,} more rows" * (len(long) > 1)
            say(f"{long[0]}{more}; if that is no long text, a quotation mark is missing there")
    except UnicodeDecodeError:
        raise RFTError(f"{name}: it is not UTF-8 text; save it as UTF-8") from None
    except pa.ArrowInvalid as error:
        raise RFTError(f"{name}: line 1 has {error}; give every column a name of its own") from None
    except csv.Error as error:
        raise RFTError(
            f"{name}: the row that begins in line {begins} is no CSV ({error}); close its "
            "quotation marks, and write one within a field as two"
        ) from None
    finally:
        text.detach()


def _by_name(names: list[str], row: list[str], place: str) -> dict[str, Any]:
    """Give the fields of a row by their names, of which there are as many."""
    if len(row) != len(names):
        raise RFTError(
            f"{place} has {'more' if len(row) > len(names) else 'fewer'} fields than the first "
            f"line has names ({len(row)}, not {len(names)}); put fields with commas in quotation "
            "marks"
        )
    return dict(zip(names, row, strict=True))


def _long_field(names: list[str], row: list[str], place: str) -> str | None:
    """Tell of a field so long that it may be many rows, whose quotation mark closes far below."""
    for name, field in zip(names, row, strict=True):
        if (lines := field.count("\n") + 1) >= MANY_LINES:
            return f"{place}: {clipped(name)!r} goes on for {lines:,} lines"
    return None
