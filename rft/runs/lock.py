"""One writer per run folder: a lock file that names its owner, shared file systems included."""

import contextlib
import fcntl
import getpass
import json
import os
import socket
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from rft.errors import Interrupted, RFTError
from rft.foreign_text import short
from rft.runs.plain_files import open_to_append
from rft.runs.records import Owner, read_record

# A stage's process is started by the process that holds the lock and works under it.
TOKEN = "RFT_LOCK_TOKEN"


def _started(pid: int) -> str | None:
    """Tell when a process of this machine started, None if it is gone or the system does not say.

    The number tells a process from a later one that was given the same pid.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def _alive(owner: dict[str, str]) -> bool:
    """Say whether the owner may still be there; on another host it always may."""
    if owner.get("host") != socket.gethostname():
        return True
    if not owner["pid"].isdecimal():
        return False
    pid = int(owner["pid"])
    if Path("/proc/self/stat").exists():
        return _started(pid) is not None and _started(pid) == owner["started"]
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def owner_of(path: Path) -> dict[str, str] | None:
    """Read who holds the lock; None when nobody does."""
    remedy = f"if nothing works on this run, `rft unlock {path.parent}` removes it"
    owner = read_record(path, Owner, "a lock file of ours", remedy)
    return None if owner is None else dict(owner)


def describe(owner: dict[str, str]) -> str:
    """Say in words who holds a lock, and for how long."""
    who, since = short(f"{owner['user']} on {owner['host']}"), short(owner["since"])
    return f"{who}, pid {short(owner['pid'])}, since {since}{_age(owner['since'])}"


def _age(since: str) -> str:
    """Say how long ago a time was, where it is one."""
    try:
        seconds = (datetime.now(UTC) - datetime.fromisoformat(since)).total_seconds()
    except (ValueError, TypeError):  # anyone may have written it
        return ""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            number = int(seconds // length)
            return f", {number:,} {unit}{'s' if number > 1 else ''} ago"
    return ""


def is_held(path: Path) -> bool:
    """Say whether a live process owns the lock."""
    owner = owner_of(path)
    return owner is not None and _alive(owner)


@contextlib.contextmanager
def hold(path: Path) -> Iterator[bool]:
    """Hold the lock for the duration, or work under the one that our parent process holds.

    Yields whether it was taken here.
    """
    owner = owner_of(path)
    token = os.environ.get(TOKEN)
    if token and owner and owner["token"] == token:
        yield False
        return
    token = uuid.uuid4().hex
    _take(path, token)
    os.environ[TOKEN] = token
    try:
        yield True
    finally:
        os.environ.pop(TOKEN, None)
        _give_back(path, token)


def without_token(env: Mapping[str, str]) -> dict[str, str]:
    """Give an environment without the lock: for processes that are no part of the run's work."""
    return {name: value for name, value in env.items() if name != TOKEN}


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a uid without a name
        return f"uid {os.getuid()}"


def _take(path: Path, token: str) -> None:
    mine = {
        "host": socket.gethostname(),
        "pid": str(os.getpid()),
        "started": _started(os.getpid()) or "",
        "user": _user(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
        "token": token,
    }
    scratch = path.with_name(f".lock.{socket.gethostname()}.{token}")
    try:
        with _guard(path):
            # Whoever of this host left one there was killed: it would have the guard.
            for torn in path.parent.glob(f".lock.{socket.gethostname()}.*"):
                torn.unlink(missing_ok=True)
            owner = owner_of(path)
            if owner and not _alive(owner):
                path.unlink(missing_ok=True)
            try:
                scratch.write_text(json.dumps(mine))
                _publish(scratch, path)
            finally:
                scratch.unlink(missing_ok=True)
    except FileExistsError:
        owner = owner_of(path) or mine
        raise Interrupted(
            f"{path.parent}: another process works on this run ({describe(owner)}); wait for it"
            f", or `rft unlock {path.parent}` if that process is gone"
        ) from None
    except FileNotFoundError:
        raise Interrupted(
            f"{path.parent}: gone; another process that began a run there could not"
        ) from None


def _give_back(path: Path, token: str) -> None:
    """Remove the lock if it is ours yet, whatever the disk says: there may be worse to tell."""
    with contextlib.ExitStack() as turn:
        guard = None
        with contextlib.suppress(OSError, RFTError):  # a full disk has no room for it
            guard = turn.enter_context(_guard(path))
        with contextlib.suppress(OSError, RFTError):
            owner = owner_of(path)
            if owner and owner["token"] == token:
                path.unlink()
            if guard is not None:
                Path(guard.name).unlink()


@contextlib.contextmanager
def _guard(path: Path) -> Iterator[BinaryIO]:
    """Have the processes of this host take turns while they look at a lock and change it.

    Only they may break a lock by themselves: between hosts a dead owner cannot be told from a
    silent one. Whoever gives the lock back removes the guard.
    """
    with in_turn(path.with_name(".lock.guard")) as guard:
        yield guard


@contextlib.contextmanager
def in_turn(place: Path) -> Iterator[BinaryIO]:
    """Have the processes of this host take turns, by a file that whoever has the turn may remove.

    So a new one may be there once it is ours.
    """
    while True:
        with open_to_append(place) as guard:
            with contextlib.suppress(OSError):  # a file system without; a lock's name is taken once
                fcntl.flock(guard, fcntl.LOCK_EX)
            if _is_still(place, guard):
                yield guard
                return


def _is_still(place: Path, file: BinaryIO) -> bool:
    """Say whether an open file has its name yet."""
    try:
        return os.path.samestat(place.lstat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _publish(scratch: Path, path: Path) -> None:
    """Give the lock its name unless it is taken."""
    try:
        os.link(scratch, path)
    except FileExistsError:
        raise
    except OSError:  # no hard links here; the guard keeps at least this host's processes apart
        with path.open("xb") as file:
            file.write(scratch.read_bytes())


def unlock(path: Path) -> str:
    """Remove a lock whose owner is gone, and say what was done."""
    try:
        owner = owner_of(path)
    except RFTError:
        if path.is_dir():
            raise RFTError(f"{path}: a folder, and no lock; move it away") from None
        path.unlink()
        return "removed a lock file that nobody could have written"
    if owner is None:
        return "nothing to do: the run is not locked"
    if owner["host"] == socket.gethostname() and _alive(owner):
        raise RFTError(f"{path.parent}: its owner is alive ({describe(owner)}); stop it first")
    path.unlink()
    return f"removed the lock of {describe(owner)}"
