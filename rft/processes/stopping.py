"""How work stops: on Ctrl-C or a signal it winds down within a grace, and children die with us."""

import ctypes
import math
import os
import signal
import sys
import threading
import time
from types import FrameType

from rft.errors import Interrupted

# Set for a stage's process to the pid of the one that started it.
PARENT = "RFT_PARENT"
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


class Stop:
    """Whether a stop was asked for; asked twice, or late, the process ends at once."""

    def __init__(self, grace: float = 20.0):
        self.grace = grace
        self.since: float | None = None
        self.reason = ""

    def listen(self) -> "Stop":
        """Answer TERM, INT and USR1."""
        for number in SIGNALS:
            signal.signal(number, self._asked)
        return self

    def _asked(self, number: int, _frame: FrameType | None) -> None:
        if self.since is not None:
            os._exit(75)  # asked twice; what is on disk is whole at any moment
        self.ask(signal.Signals(number).name)

    def ask(self, reason: str) -> None:
        """Ask for a stop."""
        self.reason = reason
        self.since = time.monotonic()
        timer = threading.Timer(self.grace, os._exit, [75])
        timer.daemon = True
        timer.start()

    def asked(self) -> bool:
        """Say whether to wind down."""
        return self.since is not None

    def left(self) -> float:
        """Give the seconds until the process ends; without end where no stop was asked for."""
        if self.since is None:
            return math.inf
        return self.since + self.grace - time.monotonic()

    def check(self) -> None:
        """Raise when the work has to stop here."""
        driver = os.environ.get(PARENT)
        if driver is not None and os.getppid() != int(driver):
            os._exit(75)  # our driver is gone, and where it is not Linux nobody has told us
        if self.asked():
            raise Interrupted(f"stopped by {self.reason}; what is finished is kept")


def end_on_signals(grace: float, left: str = "nothing was written") -> None:
    """Have a signal raise Interrupted wherever we are: for work that can be left anywhere."""
    stop = Stop(grace)

    def asked(number: int, frame: FrameType | None) -> None:
        stop._asked(number, frame)
        raise Interrupted(f"stopped by {stop.reason}; {left}")

    for number in SIGNALS:
        signal.signal(number, asked)


def die_with_parent() -> None:
    """Ask Linux to kill this process when the driver that started it, if one did, is gone."""
    parent = os.environ.get(PARENT)
    if parent is None:
        return
    if sys.platform == "linux":
        kill_me_on_parents_death = 1
        ctypes.CDLL(None).prctl(kill_me_on_parents_death, signal.SIGKILL)
    if os.getppid() != int(parent):
        os._exit(75)
