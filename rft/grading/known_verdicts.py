"""Verdicts that gradings before came to, in a file for all runs that name it: it saves time only.

A row is a pair of texts that math-verify (in one spelling) or a model as judge had to compare,
under the name of what compared it: versions, limits and READING, or the judge's. No other verdict
is ever taken. What a limit of time or memory decided is not kept: it may come out otherwise. A file
that is damaged, changed by hand or somebody else's is neither believed nor written to, and what it
would have told is found out again.
"""

import hashlib
import json
import os
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from rft.errors import RFTError, in_one_line
from rft.grading.answers import READING
from rft.grading.judgement import Judgement
from rft.runs.lock import in_turn
from rft.runs.plain_files import open_to_read
from rft.runs.tables import damage_told, write_file

# What decides a verdict besides ourselves, whose changes READING counts.
PACKAGES = ("math-verify", "latex2sympy2_extended", "sympy")
# What is kept; `timeout`, and paths by which a worker was lost, are not among it.
VERDICTS = ("correct", "wrong", "unparseable", "bad_gold")
PATHS = ("math_verify", "shape", "text", "judge")
SCHEMA = pa.schema(
    [(name, pa.large_string()) for name in ("verifier", "gold", "answer", "verdict", "path")]
)
PAIR = ["verifier", "gold", "answer"]
# In the file's metadata: a hash of its rows. It keeps no attacker out: anyone can make one.
SEAL = b"rft.seal"
# Far more pairs than runs of years have; above it nothing is added.
MOST = 5_000_000


class KnownVerdicts:
    """The verdicts of a file, read when the first one is asked for, and those that are new."""

    def __init__(self, path: Path, *, verifier: str, whom: str, say: Callable[[str], None]) -> None:
        self.path, self.say = path, say
        self.verifier, self.whom = verifier, whom
        self.asked = self.found = 0
        self._known: dict[tuple[str, str], Judgement] | None = None
        self._new: dict[tuple[str, str], Judgement] = {}
        self._refused = False

    def get(self, pair: tuple[str, str]) -> Judgement | None:
        """Give what is known of a pair."""
        if self._known is None:
            self._known = self._read()
        self.asked += 1
        judgement = self._known.get(pair)
        self.found += judgement is not None
        return judgement

    def learn(self, pair: tuple[str, str], judgement: Judgement) -> None:
        """Take note of a verdict, if it would be the same another time."""
        if judgement.verdict in VERDICTS and judgement.path in PATHS:
            self._new[pair] = judgement

    def save(self) -> None:
        """Add what is new to the file, and say how much was known."""
        added = 0
        if self._new and not self._refused:
            try:
                added = self._add()
            except (RFTError, OSError) as error:
                self._tell(error)
        if self.asked:
            self.say(
                f"  verdicts: of {self.asked:,} pairs for {self.whom} {self.found:,} were known, "
                f"{added:,} are added ({self.path})"
            )
        self._new = {}

    def _read(self) -> dict[tuple[str, str], Judgement]:
        try:
            there = read(self.path).filter(verifier=self.verifier).drop("verifier")
        except (RFTError, OSError) as error:
            self._tell(error)
            self._refused = True
            return {}
        kinds: dict[tuple[str, str], Judgement] = {}  # few, for many pairs
        return {
            (gold, answer): kinds.setdefault((verdict, path), Judgement(verdict, path))
            for gold, answer, verdict, path in there.iter_rows()
        }

    def _add(self) -> int:
        """Write the file anew, with what others have added meanwhile; the others wait so long."""
        rows = [
            (self.verifier, gold, answer, judgement.verdict, judgement.path)
            for (gold, answer), judgement in self._new.items()
        ]
        new = pl.DataFrame(rows, schema=dict.fromkeys(SCHEMA.names, pl.String), orient="row")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with in_turn(self.path.with_name(f".{self.path.name}.guard")) as guard:
            try:
                there = read(self.path)
                more = new.join(there, on=PAIR, how="anti").head(max(0, MOST - len(there)))
                if len(more):
                    write(self.path, pl.concat([there, more]))
            finally:  # it is our turn yet, and whoever waits looks whether the guard has its name
                Path(guard.name).unlink()
        return len(more)

    def _tell(self, error: Exception) -> None:
        self.say(f"  grade.verdicts: {in_one_line(error)[1]}; going on without it")


def name_of(deadline: float, memory_gb: float) -> str:
    """Name what compares: another version, limit or reading may come to another verdict."""
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"{packages}; {deadline:g} s, {memory_gb:g} GB; reading {READING}"


def read(path: Path) -> pl.DataFrame:
    """Read a file of verdicts, no rows where there is none; refuse what is not ours, or damaged."""
    try:
        file = open_to_read(path)
    except FileNotFoundError:
        return pl.DataFrame(schema=dict.fromkeys(SCHEMA.names, pl.String))
    with file, damage_told(path, remedy="; move it away"):
        if os.fstat(file.fileno()).st_uid not in (os.geteuid(), 0):
            raise RFTError(f"{path}: somebody else's file, which may say anything; name your own")
        with pq.ParquetFile(file, page_checksum_verification=True) as parquet:
            told = (parquet.schema_arrow.metadata or {}).get(SEAL)
            if told is None or not parquet.schema_arrow.equals(SCHEMA):
                raise RFTError(f"{path}: not a file of verdicts; name another, or move it away")
            if parquet.metadata.num_rows > MOST:
                raise RFTError(f"{path}: more than {MOST:,} verdicts; move it away")
            frame = pl.from_arrow(parquet.read())
    assert isinstance(frame, pl.DataFrame)
    ours = frame["verdict"].is_in(VERDICTS) & frame["path"].is_in(PATHS)
    if told != seal_of(frame) or not ours.all() or frame.null_count().sum_horizontal().sum():
        raise RFTError(f"{path}: changed since it was written; move it away")
    return frame


def write(path: Path, frame: pl.DataFrame) -> None:
    """Write a file of verdicts whole, sealed; the same rows make the same file."""
    frame = frame.sort(PAIR)
    table = frame.to_arrow().cast(SCHEMA)
    write_file(path, table.replace_schema_metadata({SEAL: seal_of(frame)}))


def seal_of(frame: pl.DataFrame) -> bytes:
    """Hash the rows of a file in their order."""
    whole = hashlib.sha256()
    for row in frame.iter_rows():
        whole.update(json.dumps(row).encode() + b"\n")
    return whole.hexdigest().encode()
