"""Pins what the stage `select` leaves out since `sft` could not take it."""

import polars as pl

from pipelines.selection import too_long
from tests.kept_rows import kept


def test_length_is_prompt_and_response_and_one_token_for_the_end():
    frame = kept(
        {"num_response_tokens": 10}, {"num_response_tokens": 11}, {"num_response_tokens": None}, {}
    )
    lengths = pl.DataFrame(
        {
            "rollout_id": [f"r{index:04d}" for index in (3, 2, 1, 0, 9)],
            "num_prompt_tokens": [None, 99, 89, 89, 99],
        }
    )
    assert too_long(frame, lengths, 100) == {"r0001"}
    assert too_long(frame, lengths, 99) == {"r0000", "r0001"}
