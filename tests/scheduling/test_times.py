"""The next times are cron's: cronsim is the oracle, over random expressions and changed clocks."""

import random
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim, CronSimError

from rft.errors import RFTError
from rft.scheduling.cron import DAYS, MONTHS, parse
from rft.scheduling.times import Times, in_words, length, zone_named


def random_field(draw: random.Random, low: int, high: int, names: tuple[str, ...] = ()) -> str:
    """Draw a field: a star, a step, or a list of values, names, ranges and stepped ranges."""
    kind = draw.random()
    if kind < 0.35:
        return "*"
    if kind < 0.45:
        return f"*/{draw.randint(1, high)}"

    def value() -> str:
        number = draw.randint(low, high)
        return names[(number - low) % len(names)] if names and draw.random() < 0.4 else str(number)

    def one() -> str:
        if draw.random() < 0.6:
            return value()
        first, last = sorted((draw.randint(low, high), draw.randint(low, high)))
        # cronsim reads 20-20/3 as 20/3, which no cron does.
        stepped = first < last and draw.random() < 0.5
        return f"{first}-{last}" + (f"/{draw.randint(1, 6)}" if stepped else "")

    return ",".join(one() for _ in range(draw.choice([1, 1, 1, 2, 3])))


def random_expression(draw: random.Random) -> str:
    return " ".join(
        [
            random_field(draw, 0, 59),
            random_field(draw, 0, 23),
            random_field(draw, 1, 31),
            random_field(draw, 1, 12, MONTHS),
            random_field(draw, 0, 7, DAYS),
        ]
    )


def ours(expression: str, start: datetime, count: int) -> list[datetime]:
    return list(islice(Times(parse(expression), start.tzinfo).following(start), count))


def oracle(expression: str, start: datetime, count: int) -> list[datetime]:
    """Ask cronsim; two times that the clock skips fall on one moment, which it gives twice."""
    moments = (moment.astimezone(UTC) for moment in CronSim(expression, start))
    times: list[datetime] = []
    while len(times) < count:
        moment = next(moments)
        if not times or moment > times[-1]:
            times.append(moment)
    return times


@pytest.mark.parametrize("seed", range(150))
def test_random_expressions_mean_what_cron_means(seed):
    draw = random.Random(seed)
    expression = random_expression(draw)
    start = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=draw.randrange(3 * 525_600))
    try:
        expected = oracle(expression, start, 6)
    except (CronSimError, StopIteration):
        with pytest.raises(RFTError, match="never comes"):
            ours(expression, start, 1)
        return
    assert ours(expression, start, 6) == expected, expression


CHANGES = [
    ("Europe/Berlin", datetime(2026, 3, 28, 20, 13)),
    ("Europe/Berlin", datetime(2026, 10, 24, 20, 13)),
    ("America/New_York", datetime(2026, 3, 7, 20)),
    ("America/New_York", datetime(2026, 10, 31, 20)),
    ("Asia/Kolkata", datetime(2026, 3, 28, 20)),
]
ROUND_THE_CHANGE = [
    *("30 2 * * *", "0 2 * * *", "15,45 2 * * *", "30 1-3 * * *", "0 3 * * *", "59 1 * * *"),
    *("*/20 * * * *", "* 1-3 * * *", "15 */2 * * *", "*/30 2 * * *", "0 * * * *"),
]


@pytest.mark.parametrize("expression", ROUND_THE_CHANGE)
@pytest.mark.parametrize(("zone", "wall"), CHANGES, ids=lambda value: str(value)[:16])
def test_when_clocks_change_nothing_is_lost_or_doubled_that_names_a_time(zone, wall, expression):
    start = wall.replace(tzinfo=ZoneInfo(zone))
    assert ours(expression, start, 40) == oracle(expression, start, 40)


def test_a_clock_that_changes_by_half_an_hour_is_followed_minute_by_minute():
    zone = ZoneInfo("Australia/Lord_Howe")
    start = datetime(2026, 4, 4, 12, tzinfo=UTC)
    every_minute = (start + timedelta(minutes=minute) for minute in range(1, 600))
    shown = [m for m in every_minute if m.astimezone(zone).minute % 20 == 0]
    assert ours("*/20 * * * *", start.astimezone(zone), len(shown)) == shown
    once = ours("45 1 * * *", start.astimezone(zone), 2)
    assert [f"{moment.astimezone(zone):%d %H:%M %z}" for moment in once] == [
        "05 01:45 +1100",
        "06 01:45 +1030",
    ]


def test_the_times_are_told_in_words():
    now = datetime(2026, 11, 28, 15, 48, tzinfo=UTC)
    berlin = ZoneInfo("Europe/Berlin")
    due = Times(parse("0 2 * * *"), berlin).after(now)
    assert in_words(due, now, berlin) == "Sun 29 Nov 2026, 02:00 CET, in 9 hours 12 minutes"
    assert length(timedelta(days=1, minutes=1)) == "1 day 1 minute"
    assert length(timedelta(seconds=20)) == "less than a minute"


@pytest.mark.parametrize("name", ["Europe/Berln", "Europe", "../etc/passwd", ""])
def test_a_zone_that_does_not_exist_is_refused(name):
    with pytest.raises(RFTError, match="--time-zone: there is no"):
        zone_named(name)
