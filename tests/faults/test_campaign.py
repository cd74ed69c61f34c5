"""Kills and faults of the disk at operations drawn from a seed; `make torture` does it for an hour.

Whatever is struck, the same command goes on, and what comes of it equals an undisturbed run's.
"""

import errno
import itertools
import random

import pytest

from tests.faults import campaign
from tests.faults.campaign import FAULTS, SCENARIOS, Campaign, Strike, Tally
from tests.faults.shim import FOREVER, Action

pytestmark = pytest.mark.slow

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


@pytest.fixture(scope="module")
def struck(tmp_path_factory) -> Campaign:
    return Campaign(tmp_path_factory.mktemp("campaign"))


def test_twenty_kills_change_nothing(struck):
    total, turns = Tally(), itertools.count()
    while total.kills < 20:
        turn = next(turns)
        scenario = BY_NAME[("run", "more n")[turn % 2]]
        total.add(struck.torment(scenario, f"ci-{turn}", 20 - total.kills))
        assert total.failures == []


def test_a_disk_that_refuses_is_told_in_a_line_and_what_is_finished_is_used(struck, monkeypatch):
    errors = iter([*FAULTS] * 2)

    def drawn(draw: random.Random, _reach: int) -> Strike:
        lasts = draw.choice([1, FOREVER])
        at = int(2 ** draw.uniform(3, 8))
        return Strike(Action.FAIL, at, next(errors, errno.ENOSPC), lasts)

    monkeypatch.setattr(campaign, "drawn", drawn)
    monkeypatch.setattr(campaign, "KILLING", {Action.FAIL: 1})  # each of them counts
    tally = struck.torment(BY_NAME["run"], "disk", 6)
    assert tally.failures == []
    assert tally.faults >= 3
