"""Tests of NAME.py. Run: python -m pytest NAME_test.py"""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from NAME import Mine

from rft.exploration.plugin import Batch


def test_its_formula_by_hand():
    lengths = torch.tensor([10, 30])
    batch = Batch(n=2, rewards=torch.zeros(2), correct=torch.zeros(2), lengths=lengths)
    shaped = Mine(power=2.0).adjust(torch.tensor([1.0, -1.0]), batch)
    assert shaped.tolist() == pytest.approx([(20 / 10) ** 2, -((20 / 30) ** 2)])


def test_it_keeps_the_contract_of_a_plug_in():
    file = Path(__file__).with_name("NAME.py")
    subprocess.run([sys.executable, "-m", "rft", "check", str(file)], check=True)
