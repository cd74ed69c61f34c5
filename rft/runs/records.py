"""Small JSON files of a run, read back as what they must be: what is not is told in one line."""

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from rft.errors import RFTError
from rft.foreign_text import short


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


def read_record(path: Path, shape: type[Record], what: str, remedy: str) -> dict[str, Any] | None:
    """Read a small JSON file of ours, None where there is none; refuse what has another shape."""
    try:
        if path.exists() and not path.is_file():
            reason = "no file"
        else:
            record: dict[str, Any] = json.loads(path.read_bytes())
            shape.model_validate(record)
            return record
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        reason = short(f"{place}: {first['msg']}" if place else "no mapping")
    except RecursionError:
        reason = "nested too deeply"
    except ValueError:
        reason = "no JSON"
    raise RFTError(f"{path}: not {what} ({reason}); {remedy}")
