"""What a schedule does next, told by how the last call ended and the clock; it waits for nothing.

| a call ended with      | next                                                                   |
|------------------------|------------------------------------------------------------------------|
| 0                      | the next time; at once if one passed meanwhile, once for all that did  |
| 0, and the run is over | the end, with 0                                                        |
| 2                      | the end, with 2: a person must change something                        |
| 75, or killed          | again after 1, 2, 4, ... minutes, an hour at most, or at the next time |
| 1 or another           | a bug: the same, but after four without a success the end, with 1      |

A round that was begun and not finished goes on as soon as the schedule starts: a broken round comes
before any new one, and would be finished at the next time anyway. A run that is over as it starts
is the end, with 0, at once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from rft.processes.child import fate

LONGEST_PAUSE = 60
TRIES_MORE = 3
INTERRUPTED = 75


@dataclass(frozen=True)
class Wait:
    """Call again at this moment."""

    until: datetime
    why: str = ""


@dataclass(frozen=True)
class End:
    """Call no more, and end with this code."""

    code: int
    why: str


class Nights:
    """The decisions of a schedule: when to call, and whether to."""

    def __init__(self, after: Callable[[datetime], datetime]):
        self.after = after
        """Gives the first time after a moment."""
        self.failures = 0
        self.bugs = 0

    def first(self, now: datetime, *, broken: bool, over: str | None) -> Wait | End:
        """Decide when the first call is made, if one is to be."""
        if over is not None:
            return End(0, is_over(over))
        if broken:
            return Wait(now, "a round is broken, and goes on first")
        return Wait(self.after(now))

    def ended(self, code: int, *, began: datetime, now: datetime, over: str | None) -> Wait | End:
        """Decide what follows a call."""
        if code == 0:
            self.failures = self.bugs = 0
            if over is not None:
                return End(0, is_over(over))
            due = self.after(began)
            if due > now:
                return Wait(due)
            return Wait(now, "its time passed while the last round was made")
        if code == 2:
            return End(2, "a person must change something, as the line above says")
        if code > 0 and code != INTERRUPTED:
            self.bugs += 1
            if self.bugs > TRIES_MORE:
                return End(1, f"{self.bugs} calls without a success {fate(code)}: a bug")
        self.failures += 1
        pause = timedelta(minutes=min(2 ** (self.failures - 1), LONGEST_PAUSE))
        again = "it was interrupted" if code == INTERRUPTED else f"it {was(code)}"
        return Wait(min(now + pause, self.after(now)), f"again, since {again}")


def is_over(why: str) -> str:
    """Say that a run makes no more rounds."""
    return f"the run is over: {why}"


def was(code: int) -> str:
    """Say how a call ended, as part of a sentence."""
    return fate(code) if code >= 0 else f"was {fate(code)}"


class Surroundings(Protocol):
    """What a schedule needs of the world; tests have a clock of their own."""

    def now(self) -> datetime:
        """Tell the time, in UTC."""
        ...

    def wait(self, until: datetime) -> bool:
        """Wait for a moment; False if asked to stop before."""
        ...

    def stopped(self) -> bool:
        """Say whether to stop."""
        ...

    def call(self) -> int:
        """Make a round, passing on a stop, and give the exit code; negative if it was killed."""
        ...

    def look(self) -> dict[str, Any] | None:
        """Read the run's status; None before it is begun."""
        ...

    def tell(self, what: str) -> None:
        """Say what is done."""
        ...

    def described(self, moment: datetime) -> str:
        """Write a moment to come."""
        ...


def keep(nights: Nights, world: Surroundings, command: str) -> int:
    """Make round after round until the run is over, somebody is needed, or a stop is asked for."""
    before = world.look()
    step = nights.first(
        world.now(), broken=is_broken(before), over=before["over"] if before else None
    )
    while isinstance(step, Wait):
        when = world.described(step.until) if step.until > world.now() else "now"
        world.tell(f"next: {when}{f' ({step.why})' if step.why else ''}")
        if not world.wait(step.until):
            world.tell("stopped while nothing was at work")
            return 0
        began = world.now()
        world.tell(f"round begins: {command}")
        code = world.call()
        if world.stopped():
            world.tell(f"stopped; the round {was(code)}, and what is finished is kept")
            return INTERRUPTED if code < 0 else code
        world.tell(f"round {was(code)}")
        after = world.look()
        step = nights.ended(code, began=began, now=world.now(), over=why_over(before, after))
        before = after
    world.tell(f"the schedule ends with {step.code}: {step.why}")
    return step.code


def is_broken(where: dict[str, Any] | None) -> bool:
    """Say whether a run stands within a round that was begun, and nobody is at it."""
    if where is None or where["state"] != "stopped":
        return False
    if where["stage"] != "sample" or where["stage_done"]:
        return True
    last = (where["last_event"] or {}).get("event")
    return last in ("start", "lost", "failed", "stopped")


def why_over(before: dict[str, Any] | None, after: dict[str, Any] | None) -> str | None:
    """Say why a run that was asked for one more round will make none; None if it may."""
    if after is None:
        return None
    if after["over"]:
        return str(after["over"])
    made = before is None or after["rounds_done"] > before["rounds_done"]
    return None if made or after["state"] != "done" else "nothing is left to do"
