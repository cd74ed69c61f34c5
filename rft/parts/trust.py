"""Whose code may run: what a person named, or has looked at, known again by its content."""

import contextlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from rft.errors import RFTError
from rft.parts.sources import Source

# What this process may run: its children may run it too.
INHERITED = "RFT_TRUSTED_PARTS"
ASKED = "--trust-parts"
# What says which code is trusted, once it was asked for.
_ALLOWED: list[Callable[[str], None]] = []


def store() -> Path:
    """Name the file in which this user's trust is remembered."""
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "rft" / "trusted-parts"


def is_trusted(sha256: str) -> bool:
    """Say whether this user has named or looked at this very content before."""
    if sha256 in os.environ.get(INHERITED, "").split():
        return True
    try:
        path = store()
        mine = path.stat().st_uid == os.geteuid()
        return mine and any(line.split()[:1] == [sha256] for line in path.read_text().splitlines())
    except (OSError, RuntimeError, UnicodeDecodeError):  # no home, or nothing remembered
        return False


def trust(sha256: str, name: str) -> None:
    """Remember a content; where the disk does not let us, for this command alone."""
    if is_trusted(sha256):
        return
    os.environ[INHERITED] = f"{os.environ.get(INHERITED, '')} {sha256}".strip()
    with contextlib.suppress(OSError, RuntimeError):
        path = store()
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(f"{sha256} {name}\n")


def allow(say: Callable[[str], None]) -> None:
    """Let this command run whatever it meets, and say what each is: --trust-parts was given."""
    _ALLOWED[:] = [say]


def forget() -> None:
    """Take the permission back."""
    _ALLOWED.clear()


def refuse_untrusted(waiting: Mapping[str, tuple[Source, str]]) -> None:
    """Refuse code that came with a folder, all of it at once, until its user has looked at it."""
    new = {name: each for name, each in waiting.items() if not is_trusted(each[0].sha256)}
    if new and not _ALLOWED:
        told = "; ".join(f"{source.label} (it brings {brings})" for source, brings in new.values())
        raise RFTError(
            f"{told}: Python code that came with this folder, and that you have not run before; "
            f"read it, and give {ASKED} to run it"
        )
    for name, (source, brings) in new.items():
        _ALLOWED[0](
            f"trusted from now on: {source.label} (it brings {brings}; sha256 {source.sha256})"
        )
        trust(source.sha256, name)
