"""The next times of a cron expression in a time zone, by APScheduler, as cron keeps them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from rft.errors import RFTError, shown, suggestion
from rft.scheduling.cron import DAYS, Cron, ranged

# No clock is changed by more than this.
CHANGE = timedelta(hours=3)
MINUTE = timedelta(minutes=1)


class Times:
    """When an expression is due; moments are in UTC, since only there adding minutes is right.

    APScheduler's trigger counts weekdays from Monday, wants both day fields to match, and loses or
    doubles times when clocks change. So it is given names of days, one trigger for each of two day
    fields of which either is enough, and a calendar without changes; what the clocks do to a time
    of that calendar is decided here, as Debian's cron does.
    """

    def __init__(self, cron: Cron, zone: tzinfo | None = None):
        """Take the zone in which the expression is meant, this machine's by default."""
        self.cron, self.trigger = cron, trigger_of(cron)
        self.zone = zone or local_zone()

    def after(self, moment: datetime) -> datetime:
        """Give the first time after a moment."""
        wall = self._wall(moment) - CHANGE
        best: datetime | None = None
        while (due := self.trigger.get_next_fire_time(None, wall)) is not None:
            if best is not None and due > self._wall(best) + CHANGE:
                break
            later = [each for each in self._moments(due) if each > moment]
            best = min([*later, *([best] if best else [])], default=None)
            wall = due + MINUTE
        if best is None:
            raise RFTError(f'--cron "{self.cron.text}": such a day never comes')
        return best

    def following(self, moment: datetime) -> Iterator[datetime]:
        """Give all times after a moment."""
        while True:
            moment = self.after(moment)
            yield moment

    def _wall(self, moment: datetime) -> datetime:
        """Read the clock on the wall, in a calendar in which clocks are never changed."""
        return moment.astimezone(self.zone).replace(tzinfo=UTC, fold=0)

    def _moments(self, wall: datetime) -> list[datetime]:
        """Find when the clock on the wall shows this: once, or never or twice when it changes."""
        both = [wall.replace(tzinfo=self.zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
        shown = sorted({moment for moment in both if self._wall(moment) == wall})
        if not self.cron.by_the_clock:
            return shown
        if shown:
            return shown[:1]
        # Skipped by the clock: at once when it has changed.
        moment = min(both)
        while self._wall(moment + MINUTE) - self._wall(moment) == MINUTE:
            moment += MINUTE
        return [moment + MINUTE]


def trigger_of(cron: Cron) -> Any:
    """Build APScheduler's trigger, of a calendar without changes of the clocks."""
    try:
        from apscheduler.triggers.combining import OrTrigger
        from apscheduler.triggers.cron import CronTrigger
    except ModuleNotFoundError:
        raise RFTError(
            "`rft schedule` keeps time with APScheduler, which is not installed here; "
            "pip install 'rft-rounds[schedule]' (--emit does without)"
        ) from None
    days = {"day": ",".join(ranged(cron.days, "-"))}
    weekdays = {"day_of_week": ",".join(DAYS[day] for day in cron.weekdays)}
    # The day fields of which every one has to match.
    ways = [days, weekdays] if cron.either_day else [days | weekdays]
    triggers = [
        CronTrigger(
            minute=",".join(ranged(cron.minutes, "-")),
            hour=",".join(ranged(cron.hours, "-")),
            month=",".join(ranged(cron.months, "-")),
            timezone=UTC,
            **way,
        )
        for way in ways
    ]
    return OrTrigger(triggers)


def zone_named(name: str) -> tzinfo:
    """Find a time zone by its name."""
    from zoneinfo import ZoneInfo, available_timezones

    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        known, example = available_timezones(), "write one such as Europe/Berlin"
        advice = suggestion(name, known, otherwise=example)
        raise RFTError(f"--time-zone: there is no {shown(name)}; {advice}") from None


def local_zone() -> tzinfo:
    """Find this machine's time zone, by a package that comes with APScheduler."""
    from tzlocal import get_localzone

    return get_localzone()


def stamp(moment: datetime, zone: tzinfo) -> str:
    """Write a moment in figures."""
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M}"


def in_words(moment: datetime, now: datetime, zone: tzinfo) -> str:
    """Write a moment to come in words: day, time, zone, and how far off it is."""
    there = moment.astimezone(zone)
    return f"{there:%a} {there.day} {there:%b %Y, %H:%M %Z}, in {length(moment - now)}"


def length(span: timedelta) -> str:
    """Write a span of time in its two largest units."""
    minutes = round(span.total_seconds() / 60)
    days, minutes = divmod(minutes, 24 * 60)
    hours, minutes = divmod(minutes, 60)
    units = [(days, "day"), (hours, "hour"), (minutes, "minute")]
    words = [f"{n} {unit}{'' if n == 1 else 's'}" for n, unit in units if n][:2]
    return " ".join(words) or "less than a minute"
