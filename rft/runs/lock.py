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

from rft.errors import Interrupted, RFTError

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
    pid = int(owner["pid"])
    if Path("/proc/self/stat").exists():
        return _started(pid) is not None and _started(pid) == owner["started"]
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def owner_of(path: Path) -> dict[str, str] | None:
    """Read who holds the lock; None when nobody does."""
    try:
        owner = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError:
        raise RFTError(
            f"{path}: not a lock file of ours; if nothing works on this run, `rft unlock` it"
        ) from None
    return dict(owner)


def describe(owner: dict[str, str]) -> str:
    """Say in words who holds a lock."""
    return f"{owner['user']} on {owner['host']}, pid {owner['pid']}, since {owner['since']}"


def is_held(path: Path) -> bool:
    """Say whether a live process owns the lock."""
    owner = owner_of(path)
    return owner is not None and _alive(owner)


@contextlib.contextmanager
def hold(path: Path) -> Iterator[None]:
    """Hold the lock for the duration, or work under the one that our parent process holds."""
    owner = owner_of(path)
    token = os.environ.get(TOKEN)
    if token and owner and owner["token"] == token:
        yield
        return
    token = uuid.uuid4().hex
    _take(path, token)
    os.environ[TOKEN] = token
    try:
        yield
    finally:
        os.environ.pop(TOKEN, None)
        owner = owner_of(path)
        if owner and owner["token"] == token:
            path.unlink(missing_ok=True)


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
    scratch = path.with_name(f".lock.{token}")
    scratch.write_text(json.dumps(mine))
    # The guard serialises processes of this host only, which are the only ones that may break
    # a lock by themselves: between hosts a dead owner cannot be told from a silent one.
    with path.with_name(".lock.guard").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        try:
            owner = owner_of(path)
            if owner and not _alive(owner):
                path.unlink(missing_ok=True)
            _publish(scratch, path)
        except FileExistsError:
            owner = owner_of(path) or mine
            raise Interrupted(
                f"{path.parent}: another process works on this run ({describe(owner)}); wait for it"
                ", or `rft unlock` the run if that process is gone"
            ) from None
        finally:
            scratch.unlink()


def _publish(scratch: Path, path: Path) -> None:
    """Give the lock its name unless it is taken."""
    try:
        os.link(scratch, path)
    except FileExistsError:
        raise
    except OSError:  # no hard links here; the guard keeps at least this host's processes apart
        if path.exists():
            raise FileExistsError(path) from None
        path.write_bytes(scratch.read_bytes())


def unlock(path: Path) -> str:
    """Remove a lock whose owner is gone, and say what was done."""
    try:
        owner = owner_of(path)
    except RFTError:
        path.unlink()
        return "removed a lock file that nobody could have written"
    if owner is None:
        return "nothing to do: the run is not locked"
    if owner["host"] == socket.gethostname() and _alive(owner):
        raise RFTError(f"{path.parent}: its owner is alive ({describe(owner)}); stop it first")
    path.unlink()
    return f"removed the lock of {describe(owner)}"
