"""What a schedule does next, for every way in which a call can end, by a clock that tests drive."""

from datetime import UTC, datetime, timedelta

import pytest

from rft.scheduling.cron import parse
from rft.scheduling.nights import End, Nights, Wait, is_broken, keep, why_over
from rft.scheduling.times import Times

NIGHTLY, HOURLY = (Times(parse(text), UTC).after for text in ("0 2 * * *", "0 * * * *"))


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-11-{text}+00:00")


def where(**fields) -> dict:
    """Give a run's status: two rounds done of two, unless told otherwise."""
    done = {"state": "done", "stage": None, "stage_done": None, "rounds_done": 2, "over": None}
    return {**done, "last_event": {"event": "done"}, **fields}


def ended(nights: Nights, code: int, began: str, now: str, over: str | None = None) -> Wait | End:
    return nights.ended(code, began=at(began), now=at(now), over=over)


# Decisions ----------------------------------------------------------------------------------------


def test_a_schedule_begins_at_the_next_time_and_with_a_broken_round_at_once():
    now = at("28 12:00")
    assert Nights(NIGHTLY).first(now, broken=False, over=None) == Wait(at("29 02:00"))
    step = Nights(NIGHTLY).first(now, broken=True, over=None)
    assert (step.until, step.why) == (now, "a round is broken, and goes on first")


def test_a_run_that_is_over_as_it_starts_is_the_end_at_once():
    step = Nights(NIGHTLY).first(at("28 12:00"), broken=True, over="the budget is spent")
    assert step == End(0, "the run is over: the budget is spent")


def test_after_a_round_the_next_time_is_waited_for():
    assert ended(Nights(NIGHTLY), 0, "29 02:00", "29 05:10") == Wait(at("30 02:00"))


def test_times_that_pass_while_a_round_is_made_come_to_one():
    nights = Nights(HOURLY)
    step = ended(nights, 0, "28 02:00", "28 05:10")
    assert (step.until, step.why) == (
        at("28 05:10"),
        "its time passed while the last round was made",
    )
    assert ended(nights, 0, "28 05:10", "28 05:40") == Wait(at("28 06:00"))


def test_a_run_that_is_over_ends_the_schedule_with_0():
    step = ended(Nights(NIGHTLY), 0, "29 02:00", "29 02:01", over="the budget is spent")
    assert step == End(0, "the run is over: the budget is spent")


def test_a_mistake_of_a_person_ends_the_schedule_with_2():
    step = ended(Nights(NIGHTLY), 2, "29 02:00", "29 02:01")
    assert step == End(2, "a person must change something, as the line above says")


@pytest.mark.parametrize("code", [75, -9, -15])
def test_pauses_after_interruptions_grow_to_an_hour_and_begin_anew_after_a_success(code):
    nights, now, pauses = Nights(NIGHTLY), at("28 02:30"), []
    for _ in range(8):
        step = nights.ended(code, began=now, now=now, over=None)
        pauses.append(int((step.until - now).total_seconds() / 60))
        now = step.until
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    ended(nights, 0, "28 06:00", "28 07:00")
    assert ended(nights, code, "29 02:00", "29 02:10").until == at("29 02:11")


def test_a_pause_is_cut_short_by_the_next_time():
    nights = Nights(HOURLY)
    for _ in range(6):
        ended(nights, 75, "28 02:00", "28 02:00")
    assert ended(nights, 75, "28 02:40", "28 02:45").until == at("28 03:00")


def test_a_bug_is_tried_again_three_times():
    nights = Nights(NIGHTLY)
    for minutes in (1, 2, 4):
        step = ended(nights, 1, "28 02:00", "28 02:00")
        assert step == Wait(at(f"28 02:0{minutes}"), "again, since it ended with 1")
    assert ended(nights, 1, "28 02:00", "28 02:00").code == 1


def test_a_success_makes_earlier_bugs_forgotten():
    nights = Nights(NIGHTLY)
    for _ in range(3):
        ended(nights, 1, "28 02:00", "28 02:00")
    ended(nights, 0, "28 02:00", "28 03:00")
    assert isinstance(ended(nights, 1, "29 02:00", "29 02:00"), Wait)


# What a status says -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "broken"),
    [
        ({}, False),
        ({"state": "running", "stage": "sft"}, False),
        # The rounds of the recipe are not all made, and the next one is not begun.
        ({"state": "stopped", "stage": "sample", "stage_done": 0}, False),
        ({"state": "stopped", "stage": "sample", "stage_done": 0, "last_event": None}, False),
        ({"state": "stopped", "stage": "sample", "stage_done": 7}, True),
        ({"state": "stopped", "stage": "sft"}, True),
        ({"state": "stopped", "stage": "evaluate", "stage_done": 0}, True),
        *(
            ({"state": "stopped", "stage": "sample", "last_event": {"event": event}}, True)
            for event in ("start", "stopped", "lost", "failed")
        ),
    ],
)
def test_a_round_is_broken_where_it_was_begun_and_nobody_is_at_it(fields, broken):
    assert is_broken(where(**fields)) == broken
    assert not is_broken(None)


def test_a_run_is_over_when_it_makes_no_round_though_asked_or_says_so_itself():
    assert why_over(where(), where()) == "nothing is left to do"
    assert why_over(where(), where(rounds_done=3)) is None
    assert why_over(None, where(rounds_done=1)) is None
    assert why_over(where(), where(state="stopped", stage="sft")) is None
    assert why_over(where(), where(rounds_done=3, over="a plateau")) == "a plateau"


# The loop -----------------------------------------------------------------------------------------


class World:
    """A world in which calls end as they are told to, and waiting costs nothing."""

    def __init__(self, *calls: tuple[int, int], broken: bool = False, stop_at: str = "30 23:00"):
        """Take the calls' codes with the minutes that each takes."""
        self.calls, self.time, self.told = list(calls), at("28 12:00"), []
        self.stop_at, self.asleep_until = at(stop_at), at("28 12:00")
        self.rounds, self.broken = 0, broken

    def now(self):
        return self.time

    def wait(self, until):
        self.time = max(self.time, min(until, self.stop_at))
        if not self.stopped():
            self.time = max(self.time, self.asleep_until)
        return not self.stopped()

    def stopped(self):
        return self.time >= self.stop_at

    def call(self):
        code, minutes = self.calls.pop(0)
        self.time += timedelta(minutes=minutes)
        self.rounds += code == 0
        self.broken = code != 0
        return code

    def look(self):
        stands = {"state": "stopped", "stage": "sft"} if self.broken else {}
        return where(rounds_done=self.rounds, **stands)

    def tell(self, what):
        self.told.append(f"{self.time:%d %H:%M} {what}")

    def described(self, moment):
        return f"{moment:%d %H:%M}"


def test_the_loop_tells_what_it_does_and_when():
    world = World((75, 30), (0, 60), (2, 1))
    assert keep(Nights(NIGHTLY), world, "rft run mine --next") == 2
    assert world.told == [
        "28 12:00 next: 29 02:00",
        "29 02:00 round begins: rft run mine --next",
        "29 02:30 round ended with 75",
        "29 02:30 next: 29 02:31 (again, since it was interrupted)",
        "29 02:31 round begins: rft run mine --next",
        "29 03:31 round ended with 0",
        "29 03:31 next: 30 02:00",
        "30 02:00 round begins: rft run mine --next",
        "30 02:01 round ended with 2",
        "30 02:01 the schedule ends with 2: a person must change something, as the line above says",
    ]


def test_a_broken_round_is_finished_before_the_first_time():
    world = World((0, 30), (2, 1), broken=True)
    keep(Nights(NIGHTLY), world, "rft")
    assert world.told[:2] == [
        "28 12:00 next: now (a round is broken, and goes on first)",
        "28 12:00 round begins: rft",
    ]
    assert world.told[3] == "28 12:30 next: 29 02:00"


def test_nights_that_a_machine_slept_through_come_to_one_round():
    world = World((0, 10), (2, 1), stop_at="30 23:59")
    world.asleep_until = at("30 09:00")
    keep(Nights(HOURLY), world, "rft")
    begun = [line for line in world.told if "begins" in line]
    assert begun == ["30 09:00 round begins: rft", "30 10:00 round begins: rft"]


def test_a_stop_between_rounds_ends_with_0():
    world = World(stop_at="28 20:00")
    assert keep(Nights(NIGHTLY), world, "rft") == 0
    assert world.told[-1] == "28 20:00 stopped while nothing was at work"


@pytest.mark.parametrize(("code", "end"), [(75, 75), (-9, 75), (0, 0), (2, 2)])
def test_a_stop_during_a_round_ends_as_the_round_does(code, end):
    world = World((code, 30), stop_at="29 02:10")
    assert keep(Nights(NIGHTLY), world, "rft") == end
    assert "stopped; the round" in world.told[-1]


def test_a_run_that_has_nothing_left_to_do_ends_the_loop():
    world = World((0, 1), (0, 1))
    world.rounds = 7
    world.look = lambda: where(rounds_done=7)
    assert keep(Nights(NIGHTLY), world, "rft") == 0
    assert world.told[-1].endswith(
        "the schedule ends with 0: the run is over: nothing is left to do"
    )
