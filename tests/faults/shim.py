"""What `shim.c` does to a run: which operation on its folder is struck, and how."""

import errno
import os
import struct
import subprocess
import sysconfig
from enum import IntEnum
from pathlib import Path

SOURCE = Path(__file__).with_name("shim.c")
FOREVER = 2**62


class Action(IntEnum):
    """What happens at the operation; the numbers are those of `shim.c`."""

    COUNT = 0
    KILL = 1
    KILL_PARENT = 2
    KILL_BOTH = 3
    TEAR = 4
    TERM_PARENT = 5
    FAIL = 6


def compiled(folder: Path) -> Path:
    """Compile the shim; CC names another compiler than the one that Python was made with."""
    library = folder / "shim.so"
    if not library.exists():
        compiler = os.environ.get("CC") or (sysconfig.get_config_var("CC") or "cc").split()[0]
        scratch = library.with_suffix(f".{os.getpid()}")
        words = [compiler, "-O1", "-shared", "-fPIC", "-o", str(scratch), str(SOURCE), "-ldl"]
        subprocess.run(words, check=True)
        scratch.rename(library)
    return library


class Fault:
    """One fault, told to all processes of a run by a file that they map."""

    FORMAT = "<6q"

    def __init__(self, home: Path, root: Path):
        self.file, self.library, self.root = home / "fault", compiled(home), root
        self.plan(Action.COUNT)

    def plan(self, action: Action, at: int = 0, error: int = errno.ENOSPC, lasts: int = 1) -> None:
        """Have the operation with a number struck, from 0, and the `lasts - 1` after it."""
        told = struct.pack(self.FORMAT, 0, at, at + lasts - 1, action, error, 0)
        self.file.write_bytes(told)

    @property
    def count(self) -> int:
        """Give how many operations there were."""
        return int(struct.unpack(self.FORMAT, self.file.read_bytes())[0])

    @property
    def struck(self) -> bool:
        """Say whether it happened."""
        return bool(struct.unpack(self.FORMAT, self.file.read_bytes())[5])

    def environment(self) -> dict[str, str]:
        """Give the variables under which a command and its children are struck."""
        return {
            "LD_PRELOAD": str(self.library),
            "RFT_FAULT": str(self.file),
            "RFT_FAULT_ROOT": str(self.root),
        }
