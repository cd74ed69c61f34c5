"""Progress on stderr: one live line on a terminal, a line now and then in a log.

A live line is written as `REWIND` and its text, without an end: what is written next takes its
place. A stage's process whose driver has the live line tells it where the work stands instead, by
a line of JSON behind a mark that no text of others can begin with: the outlet escapes it there.
"""

import json
import os
import sys
import time
from typing import Any, TextIO

# Goes back to the beginning of the line, and wipes it.
REWIND = "\r\x1b[K"
# Set for a stage's process of which the driver reads what it says.
LISTENED = "RFT_LISTENED"
MARK = "\x1e"
# Seconds between two looks of people, and two lines of a log.
GLIMPSE, NOW_AND_THEN = 0.2, 30
BAR = 16
# A terminal that is narrower has no room for it.
ROOM_FOR_BAR = 100


def is_live(stream: TextIO) -> bool:
    """Say whether a line can be written again and again where a stream goes."""
    return stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


def columns(stream: TextIO) -> int:
    """Give the width of a terminal."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except OSError:
        return 80


class Progress:
    """Count finished work, with its rate and the time it will still take."""

    def __init__(self, what: str, total: int, done: int = 0):
        self.what, self.total, self.done, self.first = what, total, done, done
        self.tokens = 0
        self.parts: dict[str, int] = {}
        """Tokens of each of several workers."""
        self.began = self.shown = time.monotonic()
        self.listened = LISTENED in os.environ
        self.live = is_live(sys.stderr)

    def advance(self, count: int, tokens: int = 0) -> None:
        """Note finished work; show it when it is time to."""
        self.done += count
        self.tokens += tokens
        looked_at = self.live or self.listened
        if time.monotonic() - self.shown >= (GLIMPSE if looked_at else NOW_AND_THEN):
            self.show()

    def start_clock(self) -> None:
        """Count the time from here: loading an engine says nothing about its rate."""
        self.began = time.monotonic()

    def seconds(self) -> float:
        """Give the time since the start."""
        return max(time.monotonic() - self.began, 1e-9)

    def left(self) -> float | None:
        """Estimate the seconds left; None while nothing says how long they take."""
        rate = (self.done - self.first) / self.seconds()
        return (self.total - self.done) / rate if rate else None

    def line(self) -> str:
        """Write how much is done, and how fast."""
        speed = f", {self.tokens / self.seconds():.0f} tokens/s" if self.tokens else ""
        if len(self.parts) > 1:
            each = ", ".join(
                f"{name} {tokens / self.seconds():.0f}" for name, tokens in self.parts.items()
            )
            speed += f" ({each})"
        return f"{self.what}: {self.done}/{self.total}{speed}"

    def show(self) -> None:
        """Print where the work stands, or tell the driver."""
        self.shown = time.monotonic()
        line, share, left = self.line(), self.done / max(self.total, 1), self.left()
        if self.listened:
            tell_driver({"line": line, "share": share, "left": left})
        elif self.live:
            draw(live_line(line, share, left))
        else:
            sys.stderr.write(f"  {line}{in_stage(left)}\n")
            sys.stderr.flush()

    def close(self) -> None:
        """Print the final state, which stays."""
        sys.stderr.write(f"{REWIND if self.live else ''}  {self.line()}\n")
        sys.stderr.flush()


# The live line ------------------------------------------------------------------------------------


def live_line(line: str, share: float | None, left: float | None, beyond: str = "") -> str:
    """Write a live line: what is done, a bar where there is room, and when it will be all."""
    bar = ""
    if share is not None and columns(sys.stderr) >= ROOM_FOR_BAR:
        full = round(BAR * min(max(share, 0.0), 1.0))
        bar = f"{'━' * full}{'─' * (BAR - full)} "
    return f"  {bar}{line}{in_stage(left)}{beyond}"


def in_stage(left: float | None) -> str:
    """Write the time that is left, if anything is known of it."""
    from rft.estimates.forecast import span

    return "" if left is None else f", about {span(left / 3600)} left"


def draw(line: str) -> None:
    """Put a line in the place of the live one; an empty one takes it away."""
    sys.stderr.write(f"{REWIND}{line}")
    sys.stderr.flush()


def pass_on(line: str) -> None:
    """Write a line that stays, said by a process of ours."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


# Between a stage's process and its driver ---------------------------------------------------------


def tell_driver(state: dict[str, Any]) -> None:
    """Tell the driver where the work stands: past the outlet, which would escape the mark."""
    os.write(2, f"{MARK}{json.dumps(state)}\n".encode())


def told_by_child(line: str) -> dict[str, Any] | None:
    """Read what a stage's process tells of its progress; None where a line is words for people."""
    if not line.startswith(MARK):
        return None
    try:
        state = json.loads(line[len(MARK) :])
        return {
            "line": str(state["line"]),
            "share": float(state["share"]),
            "left": None if state["left"] is None else float(state["left"]),
        }
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
