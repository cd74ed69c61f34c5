"""Cron expressions, read strictly: what is taken here means the same to every cron.

A day has to match both day fields if one of them begins with a star, and one of them if none does.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from rft.errors import RFTError, shown

DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
LONGEST_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


@dataclass(frozen=True)
class Unit:
    """What one of the five fields counts, and in which words."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()
    article: str = "a"

    def number(self, word: str) -> int | None:
        """Read a number or a name; None where it is neither, or out of range."""
        if word.lower() in self.names:
            return self.names.index(word.lower()) + self.low
        return int(word) if re.fullmatch("[0-9]{1,2}", word) else None

    def holds(self, number: int) -> bool:
        """Say whether a number is one of this unit; Sunday is 7 as well."""
        return self.low <= number <= (7 if self.names is DAYS else self.high)


MINUTE, HOUR = Unit("minute", 0, 59), Unit("hour", 0, 23, article="an")
DAY, MONTH = Unit("day of month", 1, 31), Unit("month", 1, 12, MONTHS)
WEEKDAY = Unit("day of week", 0, 6, DAYS)
UNITS = (MINUTE, HOUR, DAY, MONTH, WEEKDAY)


@dataclass(frozen=True)
class Cron:
    """An expression: the values of each field, and the fields in numbers that every cron takes."""

    fields: tuple[str, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]

    @property
    def text(self) -> str:
        """Write the expression without names, Sunday as 0."""
        return " ".join(self.fields)

    @property
    def either_day(self) -> bool:
        """Say whether one of the day fields is enough: neither begins with a star."""
        return not self.fields[2].startswith("*") and not self.fields[4].startswith("*")

    @property
    def both_days(self) -> bool:
        """Say whether both day fields narrow, and both have to match: `*/2` with a weekday."""
        narrow = len(self.days) < 31 and len(self.weekdays) < 7
        return narrow and not self.either_day

    @property
    def by_the_clock(self) -> bool:
        """Say whether it names times of day, which a change of the clocks must not lose or double.

        What repeats within the hour or the day, by a star, follows the clock as it goes.
        """
        return not self.fields[0].startswith("*") and not self.fields[1].startswith("*")


# All minutes, hours and days one by one have fewer characters.
LONGEST = 1_000


def parse(text: str) -> Cron:
    """Read a cron expression, or say in one line what is wrong with it and what to write."""
    if len(text) > LONGEST:
        raise RFTError(
            f"--cron {shown(text)}: has {len(text):,} characters; {LONGEST:,} are the most"
        )
    words = NICKNAMES.get(text.strip().lower(), text).split()
    if len(words) != len(UNITS):
        if words and words[0].startswith("@"):
            raise RFTError(f"--cron {shown(text)}: write one of {', '.join(NICKNAMES)}")
        raise RFTError(
            f"--cron {shown(text)}: has {len(words)} fields; write five: minute, hour, day of "
            'month, month and day of week, such as "0 2 * * *" for every night at two'
        )
    sets = [values_of(word, unit, text) for word, unit in zip(words, UNITS, strict=True)]
    fields = [
        word if word.startswith("*") else ",".join(ranged(values, "-"))
        for word, values in zip(words, sets, strict=True)
    ]
    cron = Cron(tuple(fields), *(tuple(values) for values in sets))
    longest = max(LONGEST_MONTH[month - 1] for month in cron.months)
    if not cron.either_day and min(cron.days) > longest:
        raise RFTError(
            f"--cron {shown(text)}: such a day never comes; of the months that it names none has "
            f"more than {longest} days"
        )
    return cron


def values_of(word: str, unit: Unit, text: str) -> list[int]:
    """List the values that a field allows."""

    def refuse(part: str, advice: str) -> RFTError:
        return RFTError(f"--cron {shown(text)}: {unit.name}: {shown(part)} {advice}")

    values: set[int] = set()
    for part in word.split(","):
        match = re.fullmatch(r"(\*|[a-zA-Z0-9]{1,9}(?:-[a-zA-Z0-9]{1,9})?)(?:/([0-9]{1,4}))?", part)
        example = f"write *, */2, {unit.low + 1}, {unit.low + 1}-{unit.low + 4} or a list of those"
        if match is None or (match[1] == "*" and part != word):
            raise refuse(part, f"cannot be read; {example}")
        if match[1] == "*":
            first, last = unit.low, unit.high
        else:
            ends = [unit.number(end) for end in match[1].split("-")]
            for end, number in zip(match[1].split("-"), ends, strict=True):
                if number is None or not unit.holds(number):
                    also = f" or {unit.names[0]} to {unit.names[-1]}" if unit.names else ""
                    advice = f"write {unit.low} to {unit.high}{also}"
                    raise refuse(end, f"is not {unit.article} {unit.name}; {advice}")
            first, last = ends[0] or 0, ends[-1] or 0
        step = int(match[2] or 1)
        if step == 0:
            raise refuse(part, "has a step of 0; write 1 or more after the /")
        if match[2] and match[1] != "*" and "-" not in match[1]:
            raise refuse(part, f"has a step but no range; write {first}-{unit.high}/{step}")
        if first > last:
            parts = f"{first}-{unit.high},{unit.low}-{last}"
            raise refuse(part, f"runs backwards; write {parts}")
        values |= {
            value % 7 if unit is WEEKDAY else value for value in range(first, last + 1, step)
        }
    return sorted(values)


def ranged(values: Iterable[int], dash: str) -> list[str]:
    """Write numbers, three or more in a row as a range."""
    rows: list[list[int]] = []
    for value in values:
        if rows and rows[-1][-1] == value - 1:
            rows[-1].append(value)
        else:
            rows.append([value])
    words: list[str] = []
    for row in rows:
        words += [f"{row[0]}{dash}{row[-1]}"] if len(row) > 2 else [str(value) for value in row]
    return words
