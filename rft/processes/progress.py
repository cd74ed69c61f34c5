"""Progress on stderr: one live line on a terminal, a line now and then in a log."""

import sys
import time


class Progress:
    """Count finished work, with its rate and the time it will still take."""

    def __init__(self, what: str, total: int, done: int = 0):
        self.what, self.total, self.done, self.first = what, total, done, done
        self.tokens = 0
        self.parts: dict[str, int] = {}
        """Tokens of each of several workers."""
        self.began = self.shown = time.monotonic()
        self.live = sys.stderr.isatty()

    def advance(self, count: int, tokens: int = 0) -> None:
        """Note finished work; show it when it is time to."""
        self.done += count
        self.tokens += tokens
        if time.monotonic() - self.shown >= (0.2 if self.live else 30):
            self.show()

    def start_clock(self) -> None:
        """Count the time from here: loading an engine says nothing about its rate."""
        self.began = time.monotonic()

    def seconds(self) -> float:
        """Give the time since the start."""
        return max(time.monotonic() - self.began, 1e-9)

    def show(self, end: str = "") -> None:
        """Print where the work stands."""
        self.shown = time.monotonic()
        rate = (self.done - self.first) / self.seconds()
        left = f", {(self.total - self.done) / rate:.0f} s left" if rate and not end else ""
        speed = f", {self.tokens / self.seconds():.0f} tokens/s" if self.tokens else ""
        if len(self.parts) > 1:
            each = ", ".join(
                f"{name} {tokens / self.seconds():.0f}" for name, tokens in self.parts.items()
            )
            speed += f" ({each})"
        line = f"  {self.what}: {self.done}/{self.total}{speed}{left}"
        sys.stderr.write(f"\r\x1b[K{line}{end}" if self.live else f"{line}\n")
        sys.stderr.flush()

    def close(self) -> None:
        """Print the final state."""
        self.show(end="\n")
