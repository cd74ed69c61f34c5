"""Terminals for tests: pseudo-terminals of any width, and what can be seen on them in the end."""

import contextlib
import fcntl
import os
import re
import struct
import sys
import termios
import threading
from collections.abc import Iterator

from rft.cli import cli

COLOURFUL = {"TERM": "xterm-256color", "COLORTERM": ""}
# What acts on a screen; colours only look.
ACTS = re.compile(r"\r|\n|\x1b\[(\d*)([A-Za-z])|[^\r\n\x1b]+")


class Screen:
    """A pseudo-terminal: `slave` is what programs write to, and all of that is kept."""

    def __init__(self, width: int = 80, height: int = 24):
        self.master, self.slave = os.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        self.written = b""
        self.news = threading.Condition()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # nobody writes any more
            while data := os.read(self.master, 1 << 16):
                with self.news:
                    self.written += data
                    self.news.notify()

    def wait_for(self, text: str) -> None:
        """Wait until a text was written."""
        with self.news:
            seen = self.news.wait_for(lambda: text.encode() in self.written, timeout=20)
        assert seen, self.written.decode()

    def close(self) -> str:
        """Give all that was written, once nobody writes any more."""
        os.close(self.slave)
        self.reader.join(20)
        os.close(self.master)
        return self.written.decode().replace("\r\n", "\n")


@contextlib.contextmanager
def terminal(monkeypatch, width: int = 80, **env: str) -> Iterator[Screen]:
    """Have this process speak to a terminal."""
    screen = Screen(width)
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (COLOURFUL | env).items():
        monkeypatch.setenv(name, value)
    with os.fdopen(os.dup(screen.slave), "w") as stream, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        patch.setattr(sys, "stderr", stream)
        yield screen


def rft_on(monkeypatch, *words: object, width: int = 80, **env: str) -> str:
    """Call `rft` on a terminal, and give all that it wrote there."""
    with terminal(monkeypatch, width, **env) as screen:
        cli.main([*map(str, words)], standalone_mode=False)
    return screen.close()


def seen(written: str) -> list[str]:
    """Play what was written, and give the lines that are to be seen in the end."""
    lines, row, column = [""], 0, 0
    for match in ACTS.finditer(written):
        count, act = match[1] or "1", match[2]
        if match[0] == "\r":
            column = 0
        elif match[0] == "\n":
            row, column = row + 1, 0
            lines += [""] * (row == len(lines))
        elif act == "K":
            lines[row] = lines[row][:column]
        elif act == "J":
            lines[row:] = [lines[row][:column]]
        elif act == "A":
            assert int(count) <= row, "above what was written"
            row -= int(count)
        elif act is None:
            lines[row] = (
                lines[row][:column].ljust(column) + match[0] + lines[row][column:][len(match[0]) :]
            )
            column += len(match[0])
        else:
            assert act == "m", f"{match[0]!r} acts on the terminal"
    return lines
