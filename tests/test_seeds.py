"""Pins derived seeds: a function of what they are for alone, the same for ever, and all distinct.

A run's tables name seeds and ids, so that the values themselves are part of the contract.
"""

import subprocess
import sys
from collections import Counter
from itertools import product

import pytest

from rft.seeds import derive, derive_each, digest

# What has one name when its parts are only put behind each other.
NEIGHBOURS = [
    (),
    ("",),
    ("", ""),
    ("a", "b"),
    ("ab",),
    ("a,b",),
    ('a", "b',),
    ("a", "b", ""),
    (1,),
    ("1",),
    (1, 2),
    (12,),
    ("1", 2),
    (-1,),
    ("null",),
    ("[]",),
    ("é",),
    ("e\u0301",),
    ("\x00",),
    ("a", "\x00b"),
]


def test_the_values_are_the_same_for_ever():
    # sha256 of `[0, "select", 1]`, its first 63 bits.
    assert derive(0, "select", 1) == 816719669826002505
    assert digest("p", 1, 0, "key") == "4ddcf5c5474af3a6"


def test_different_parts_have_different_seeds_and_names():
    assert len({derive(*parts) for parts in NEIGHBOURS}) == len(NEIGHBOURS)
    assert len({digest(*parts) for parts in NEIGHBOURS}) == len(NEIGHBOURS)


def test_the_order_of_the_parts_matters():
    assert derive("a", "b") != derive("b", "a")


def test_seeds_fit_a_signed_column_and_use_all_of_it():
    seeds = [derive(seed, "rollout", index) for seed, index in product(range(40), range(50))]
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert len(set(seeds)) == len(seeds)
    for bit in range(63):
        ones = sum(seed >> bit & 1 for seed in seeds)
        assert 0.43 < ones / len(seeds) < 0.57, f"bit {bit} is not random"


def test_neighbouring_seeds_order_things_independently():
    names = [f"p{index}" for index in range(6)]
    first = Counter(
        min(names, key=lambda name, seed=seed: derive(seed, "rank", name)) for seed in range(1200)
    )
    assert all(140 < first[name] < 260 for name in names), first


def test_names_are_sixteen_hexadecimal_digits():
    for parts in NEIGHBOURS:
        name = digest(*parts)
        assert len(name) == 16
        assert set(name) <= set("0123456789abcdef")


@pytest.mark.parametrize("text", ["\ud800", "\U0001d54f", "\u2028", "x" * 100_000])
def test_any_text_has_a_seed(text):
    assert 0 <= derive(text) < 2**63
    assert derive(text) != derive(f"{text}x")


def test_another_process_derives_the_same():
    code = "from rft.seeds import derive, digest; print(derive(7, 'a'), digest('a', 7))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == [str(derive(7, "a")), digest("a", 7)]


def test_many_names_at_once_have_the_seeds_that_each_has():
    names = [
        *(str(part) for parts in NEIGHBOURS for part in parts),
        '"',
        "\\",
        "\ud800",
        "\n",
        "是",
    ]
    for parts in ((7,), (7, "rank"), ("é",)):
        wanted = [derive(*parts, name) for name in names]
        assert derive_each(*parts, names=names) == wanted
