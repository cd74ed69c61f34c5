"""An expression is read strictly: whatever crons read in different ways is refused, in one line."""

import pytest

from rft.errors import RFTError
from rft.scheduling.cron import parse


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("0 2 * *", "has 4 fields; write five"),
        ("0 0 2 * * *", "has 6 fields; write five"),
        ("", "has 0 fields"),
        ("@reboot", "write one of @hourly"),
        ("60 2 * * *", 'minute: "60" is not a minute; write 0 to 59'),
        ("0 24 * * *", 'hour: "24" is not an hour; write 0 to 23'),
        ("0 2 0 * *", 'day of month: "0" is not a day of month; write 1 to 31'),
        ("0 2 * foo *", 'month: "foo" is not a month; write 1 to 12 or jan to dec'),
        ("0 2 * * 8", 'day of week: "8" is not a day of week; write 0 to 6 or sun to sat'),
        ("0 2 * * monday", 'day of week: "monday" is not a day of week'),
        ("5/15 2 * * *", 'minute: "5/15" has a step but no range; write 5-59/15'),
        ("*/0 2 * * *", "has a step of 0"),
        ("0 22-3 * * *", 'hour: "22-3" runs backwards; write 22-23,0-3'),
        ("0 2 * * fri-mon", "runs backwards; write 5-6,0-1"),
        ("0 2 *,5 * *", 'day of month: "*" cannot be read'),
        ("0 2 L * *", 'day of month: "L" is not a day of month'),
        ("0 2 ? * *", 'day of month: "?" cannot be read'),
        ("0 2 * * 5#2", "cannot be read"),
        ("-5 2 * * *", "cannot be read"),
        ("0 2 30 2 *", "such a day never comes"),
        ("0 2 31 4,6 *", "more than 30 days"),
        ("0 2 30 2 */3", "such a day never comes"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_value_and_what_to_write(expression, says):
    with pytest.raises(RFTError) as refused:
        parse(expression)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("@daily", "0 0 * * *"),
        ("@Weekly", "0 0 * * 0"),
        ("0 2 * * MON-fri", "0 2 * * 1-5"),
        ("0 2 * * 7", "0 2 * * 0"),
        ("0 2 * * 5-7", "0 2 * * 0,5,6"),
        ("0 2 1 jan,jul *", "0 2 1 1,7 *"),
        ("*/15 8-18/2 * * *", "*/15 8,10,12,14,16,18 * * *"),
        ("0 2 30 2 fri", "0 2 30 2 5"),
        ("0  2\t* * *", "0 2 * * *"),
    ],
)
def test_names_and_nicknames_are_written_in_numbers_that_every_cron_takes(expression, text):
    cron = parse(expression)
    assert cron.text == text
    assert parse(text) == cron


def test_a_star_decides_whether_one_day_field_is_enough():
    assert parse("0 2 13 * fri").either_day
    assert not parse("0 2 */2 * fri").either_day
    assert parse("0 2 */2 * fri").both_days
    assert not parse("0 2 * * fri").both_days
    assert not parse("0 2 13 * *").both_days


def test_names_are_read_in_any_case():
    assert parse("0 2 * JAN Mon-FRI").text == "0 2 * 1 1-5"
    assert parse("@Daily").text == "0 0 * * *"
