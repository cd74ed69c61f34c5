"""Pins what the stage `select` leaves out since `sft` could not take it."""

import polars as pl

from pipelines.selection import too_long
from tests.kept_rows import kept


def test_length_is_prompt_and_response_and_one_token_for_the_end():
    frame = kept(
        {"problem_id": "b", "num_response_tokens": 10},
        {"problem_id": "b", "num_response_tokens": 11},
        {"problem_id": "b", "num_response_tokens": None},
        {"problem_id": "c"},
        {"problem_id": "unheard of"},
    )
    prompts = pl.DataFrame({"problem_id": [*"abc"], "num_prompt_tokens": [99, 89, None]})
    assert too_long(frame, prompts, 101).to_list() == [False] * 5
    assert too_long(frame, prompts, 100).to_list() == [False, True, False, False, False]
    assert too_long(frame, prompts, 99).to_list() == [True, True, False, False, False]
