"""Tests of NAME.py. Run: python -m pytest NAME_test.py"""

import subprocess
import sys
from pathlib import Path

import polars as pl
from NAME import NAME


def test_it_finds_the_defect_and_nothing_else():
    rows = pl.DataFrame({"response": ["Seven! Seven! Seven! Seven!", "Seven!", ""]})
    assert rows.select(NAME(most=3)).to_series().to_list() == [True, False, False]


def test_it_keeps_the_contract_of_a_rule():
    file = Path(__file__).with_name("NAME.py")
    subprocess.run([sys.executable, "-m", "rft", "check", str(file)], check=True)
