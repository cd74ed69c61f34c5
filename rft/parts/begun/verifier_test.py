"""Tests of NAME.py. Run: python -m pytest NAME_test.py"""

import subprocess
import sys
from pathlib import Path

from NAME import NAME


def test_it_says_what_is_right():
    assert NAME("100", "100.5") is True
    assert NAME("100", "102") is False
    assert NAME("100", "102", within=0.05) is True
    assert NAME("100", "a hundred") is None


def test_it_keeps_the_contract_of_a_verifier():
    file = Path(__file__).with_name("NAME.py")
    subprocess.run([sys.executable, "-m", "rft", "check", str(file)], check=True)
