"""Tests of NAME.py. Run: python -m pytest NAME_test.py"""

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from NAME import NAME


def test_it_is_what_it_says_by_hand():
    rows = pl.DataFrame(
        {"entropies": [[0.0, 0.0, 0.0, 0.0, 2.5, 9.0], None], "num_response_tokens": [5, 5]},
        schema={"entropies": pl.List(pl.Float32), "num_response_tokens": pl.Int32},
    )
    first, second = rows.select(NAME()).to_series()
    assert first == pytest.approx(2.5), "the last of five tokens; the sixth is not of the response"
    assert second is None, "nothing was recorded"


def test_it_keeps_the_contract_of_an_order():
    file = Path(__file__).with_name("NAME.py")
    subprocess.run([sys.executable, "-m", "rft", "check", str(file)], check=True)
