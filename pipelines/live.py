"""The live line of a run on a terminal: how far its stage is, and when stage and round are done."""

import time
from typing import Any

from pipelines.readers.ahead import expected, left_of_round
from rft.estimates.forecast import span
from rft.processes.child import Child
from rft.processes.progress import draw, live_line, pass_on, told_by_child
from rft.processes.stopping import Stop
from rft.runs.folder import Run


class LiveLine:
    """The live line while a stage's process is at work, whose words scroll by above it."""

    def __init__(self, run: Run, stage: str, round: int, stop: Stop):
        self.stage, self.round, self.stop = stage, round, stop
        self.began, self.told = time.monotonic(), dict[str, Any]()
        self.expected = expected(run, round, stage)
        # What comes after the stage does not change while it is at work.
        self.after = left_of_round(run, round, stage, 0.0)
        self.drawn = ""

    def look(self, child: Child) -> None:
        """Pass on what the process has said, and draw where it is."""
        for line in child.overheard():
            if (told := told_by_child(line)) is not None:
                self.told = told
            else:
                pass_on(line)
        # Whoever stops may be gone at any moment, and is to leave nothing behind.
        over = self.stop.asked() or child.process.returncode is not None
        line = "" if over else self.line(time.monotonic() - self.began)
        if line != self.drawn:
            self.drawn = line
            draw(line)

    def line(self, elapsed: float) -> str:
        """Write the line for a stage that has taken so many seconds."""
        if self.told:
            what, share = self.told["line"], self.told["share"]
            left = self.told["left"] if share < 1 else None  # it may go on, uncounted
        else:
            what, share, left = f"{self.stage}: {span(int(elapsed) / 3600)}", None, None
        if left is None and self.expected is not None and self.expected > elapsed:
            left = self.expected - elapsed
        beyond = ""
        if left is not None and self.after is not None:
            beyond = f"; round {self.round}: about {span((left + self.after) / 3600)}"
        return live_line(what, share, left, beyond)
