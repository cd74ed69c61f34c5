"""Pins sets of unsolved problems, against counting by hand."""

from rft.measuring.unsolved import unsolved
from tests.answer_frames import answered


def test_unsolved_is_what_no_sample_solves_however_many_there_are() -> None:
    frame = answered({"a": [1, None, 2], "b": [0], "c": [None], "d": [1, 1, 1, 0]})
    assert unsolved(frame) == {("b", "a"), ("b", "c")}
