"""Files of a run opened as what they are: never through a link, nor as a pipe or device.

A run folder may be anyone's. What was put in the place of a file of ours must not lead our writing
out of the folder, nor keep a reader waiting or fill its memory.
"""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO, cast

from rft.errors import RFTError

KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
}
# What opening says of a link, a folder, and a socket or a pipe that nobody reads.
NO_FILE = (errno.ELOOP, errno.EISDIR, errno.ENXIO)
# No manifest, receipt or journal of ours comes near it.
LARGEST = 64 << 20


def open_to_append(path: Path) -> BinaryIO:
    """Open a file to append to it, or to lock it; what it holds stays."""
    return cast(BinaryIO, open(path, "a+b", opener=_plain))


def open_to_read(path: Path) -> BinaryIO:
    """Open a file to read it."""
    return cast(BinaryIO, open(path, "rb", opener=_plain))


def read_small(path: Path) -> bytes:
    """Read a file that is small where it is ours, and refuse what is not."""
    with open_to_read(path) as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise RFTError(f"{path}: more than {LARGEST >> 20} MiB, and none of ours is; move it away")
    return content


def _plain(name: str, flags: int) -> int:
    try:
        handle = os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno not in NO_FILE:
            raise
        raise _no_file(name, os.lstat(name).st_mode) from None
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        raise _no_file(name, mode)
    return handle


def _no_file(name: str, mode: int) -> RFTError:
    kind = KINDS.get(stat.S_IFMT(mode), "a device")
    return RFTError(f"{name}: {kind} where a file of ours belongs; move it away and run again")
