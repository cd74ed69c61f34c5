"""The easier bundled problems: made again byte for byte, right, and in no two splits.

Run: python -m pytest tests/data/test_sums.py
"""

import importlib
import json
import re
from collections import Counter
from itertools import combinations

import pytest

from rft.bundled import bundled

SPLITS = ("train", "dev", "test")
# By the words of a question alone: what it asks for.
DONE = {
    r"plus|sum|together|gets": lambda a, b: a + b,
    r"minus|gives away|How many more": lambda a, b: a - b,
    r"less than": lambda a, b: b - a,
    r"times|product|boxes|dollars": lambda a, b: a * b,
}


def rows(split):
    lines = (bundled("data") / "sums" / f"{split}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def calculation(question):
    """Give what a question asks for as one name, in whichever words and order."""
    (kind,) = {number for number, words in enumerate(DONE) if re.search(words, question)}
    a, b = map(int, re.findall(r"\d+", question))
    return ("-", max(a, b), min(a, b)) if kind in (1, 2) else (kind, *sorted((a, b)))


def test_the_script_makes_the_same_files_again(monkeypatch):
    monkeypatch.syspath_prepend(bundled("data"))
    made = importlib.import_module("make_sums").made()
    for split in SPLITS:
        assert (bundled("data") / "sums" / f"{split}.jsonl").read_text() == made[split]


@pytest.mark.parametrize("split", SPLITS)
def test_golds_are_right_and_prefixes_are_balanced(split):
    given = rows(split)
    assert len(given) == {"train": 900, "dev": 150, "test": 150}[split]
    assert max(Counter(row["question"] for row in given).values()) == 1
    for row in given:
        a, b = map(int, re.findall(r"\d+", row["question"]))
        (done,) = (done for words, done in DONE.items() if re.search(words, row["question"]))
        assert int(row["gold"]) == done(a, b) > 0, row
    for start in range(0, len(given), 3):
        assert sorted(row["difficulty"] for row in given[start : start + 3]) == [1, 2, 3]


def test_no_calculation_is_in_two_splits():
    asked = {split: {calculation(row["question"]) for row in rows(split)} for split in SPLITS}
    for one, other in combinations(SPLITS, 2):
        assert not asked[one] & asked[other]
