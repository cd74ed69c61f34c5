"""Small JSON files of a run, read back as what they must be: what is not is told in one line."""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from rft.errors import RFTError
from rft.foreign_text import short
from rft.runs.plain_files import open_to_read

# A hash of all else that a record says. It keeps no attacker out: anyone can make one.
SEAL = "seal"
# Far above what any of ours has; what is larger is made to fill the memory.
LARGEST = 64 << 20


class Record(BaseModel):
    """What is asked of a record; more may stand in it."""

    model_config = ConfigDict(strict=True, extra="ignore")


class Output(Record):
    """What a manifest says of a table or a model: its digest, and its files with their sizes."""

    digest: str
    files: dict[str, int]


class Manifest(Record):
    """What says that a stage is done, and how; stages add notes of their own."""

    stage: str
    round: int
    key: str
    settings: dict[str, Any]
    inputs: dict[str, str]
    outputs: dict[str, Output]
    counts: dict[str, Any]
    seconds: float = 0.0
    finished: str = ""


class Owner(Record):
    """Who holds a lock."""

    host: str
    pid: str
    started: str
    user: str
    since: str
    token: str


def _aware(text: str) -> str:
    """Refuse a time that is none, or is in no time zone."""
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("no time zone")
    return text


Time = Annotated[str, AfterValidator(_aware)]


class Event(Record):
    """What every line of the event log has, and what readers take from those that have it."""

    time: Time
    event: str
    stage: str | None = None
    round: int | None = None
    alive: Time | None = None
    gpus: int = 0
    counts: dict[str, Any] = {}
    text: str = ""
    rule: str = ""


def read_event(line: bytes) -> dict[str, Any] | None:
    """Read a line of the event log; None where it is no event."""
    try:
        event: dict[str, Any] = json.loads(line)
        Event.model_validate(event)
    except (ValueError, RecursionError):
        return None
    return event


def sealed(record: Mapping[str, Any]) -> str:
    """Write a record with a hash of what it says, so that damage and changes by hand are seen."""
    told = {name: value for name, value in record.items() if name != SEAL}
    return json.dumps(told | {SEAL: _hash(told)}, indent=1) + "\n"


def _hash(told: Mapping[str, Any]) -> str:
    # As it is read back: lists for tuples, texts for the keys of a mapping.
    text = json.dumps(json.loads(json.dumps(told)), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def read_record(path: Path, shape: type[Record], what: str, remedy: str) -> dict[str, Any] | None:
    """Read a small JSON file of ours, None where there is none; refuse what has another shape."""
    try:
        with open_to_read(path) as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            reason = f"more than {LARGEST >> 20} MiB"
        else:
            record: dict[str, Any] = json.loads(content)
            shape.model_validate(record)
            seal = record.pop(SEAL, None)  # the first versions had none
            if seal is None or seal == _hash(record):
                return record
            reason = "changed since it was written"
    except (FileNotFoundError, NotADirectoryError):
        return None
    except RFTError:
        reason = "no file"
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        reason = short(f"{place}: {first['msg']}" if place else "no mapping")
    except RecursionError:
        reason = "nested too deeply"
    except ValueError:
        reason = "no JSON"
    raise RFTError(f"{path}: not {what} ({reason}); {remedy}")
