"""Pins sets of unsolved problems and their overlaps, against counting by hand."""

import random
from itertools import chain

from rft.measuring.unsolved import newly, overlaps, unsolved
from tests.answer_frames import answered


def test_unsolved_is_what_no_sample_solves_however_many_there_are() -> None:
    frame = answered({"a": [1, None, 2], "b": [0], "c": [None], "d": [1, 1, 1, 0]})
    assert unsolved(frame) == {("b", "a"), ("b", "c")}


def test_what_is_newly_solved_and_newly_lost_has_names() -> None:
    before = unsolved(answered({"a": [1], "b": [0], "c": [1]}))
    after = unsolved(answered({"a": [0], "b": [1], "c": [1]}))
    assert newly(before, after) == ({("b", "a")}, {("b", "b")})


def test_overlaps_count_each_problem_once_by_just_those_that_leave_it() -> None:
    source = random.Random(0)
    problems = [("b", f"p{index}") for index in range(40)]
    sets = {name: frozenset(source.sample(problems, 15)) for name in ("base", "one", "two")}
    counted = overlaps(sets)
    for names, count in counted.items():
        others = [sets[name] for name in sets if name not in names]
        inside = frozenset.intersection(*(sets[name] for name in names))
        assert len(inside - frozenset(chain(*others))) == count > 0
    assert sum(counted.values()) == len(frozenset(chain(*sets.values())))
    assert list(counted.values()) == sorted(counted.values(), reverse=True)
    assert overlaps({"base": frozenset(), "one": frozenset()}) == {}
