r"""Pins what foreign text comes to: nothing that acts on a terminal, and no key in any spelling.

Run: python -m pytest tests/test_foreign_text.py
"""

import base64
import json
import time
import unicodedata
from urllib.parse import quote, quote_plus

import pytest

from rft import foreign_text
from rft.foreign_text import (
    HIDDEN,
    MASK,
    harmless,
    holds_secret,
    json_line,
    keep_secret,
    masked,
    short,
    unbroken,
    visible,
)

KEY = "sk-Proj/9aB+cD=eF&42-zzyyxx"


@pytest.fixture(autouse=True)
def _one_key(monkeypatch):
    monkeypatch.setattr(foreign_text, "_kept", set())
    for name in ("HF_TOKEN", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    keep_secret(KEY)


def test_nothing_that_acts_is_left_and_all_else_is():
    every = "".join(map(chr, range(0x3000))) + "\U000e0001\ud800 end"
    left = visible(every)
    assert {unicodedata.category(c) for c in left if c not in "\n\t"} & HIDDEN == set()
    assert unbroken("a\nb\tc\r") == "a\\nb\\tc\\x0d"
    assert visible(left) == left, "twice is once"
    assert visible("größer ≥ 7 🙂\n") == "größer ≥ 7 🙂\n"


SPELLINGS = [
    KEY,
    KEY.upper(),
    quote(KEY, safe=""),
    quote_plus(KEY).lower(),
    KEY.encode().hex(),
    base64.b64encode(KEY.encode()).decode(),
    base64.b64encode(b"u:" + KEY.encode()).decode(),
    base64.b64encode(b"us:" + KEY.encode()).decode(),
    base64.urlsafe_b64encode(b"user:" + KEY.encode() + b"\n").decode(),
    KEY[:12],
    KEY[6:20],
    KEY[-9:],
    f"{KEY[:4]}**********{KEY[-4:]}",
    f"{KEY[:3]}...",
    f"…{KEY[-4:]}.",
]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_key_is_hidden_in_every_spelling_and_in_part(spelling):
    for text in (spelling, f"no such key: {spelling} (401)", f'{{"a": "{spelling}"}}'):
        told = masked(text)
        assert MASK in told
        core = spelling.strip(".…*").lower()
        assert core not in told.lower()
        rest = told.replace(MASK, " ").lower().split()
        # What base64 makes of its borders is not the key's alone.
        assert all(len(part) < 8 or part not in core for part in rest)
    assert masked("nothing of it here: sk-, Proj, 42") == "nothing of it here: sk-, Proj, 42"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("http://me:hunter2@host:80/v1?a=1", f"http://{MASK}@host:80/v1?a=1"),
        ("hf://token@host and a@b.c", f"hf://{MASK}@host and a@b.c"),
        ("https://host/@user/x@rev", "https://host/@user/x@rev"),
        (
            "?page=2&api_key=abc&X-Amz-Signature=f00",
            f"?page=2&api_key={MASK}&X-Amz-Signature={MASK}",
        ),
        ("Authorization: Basic dTpw", f"Authorization: Basic {MASK}"),
        ("{'authorization': 'Bearer abc'}", f"{{'authorization': 'Bearer {MASK}'}}"),
        ("hf_" + "a1" * 10, MASK),
        ("a plain sentence, with a bearer of news", "a plain sentence, with a bearer of news"),
    ],
)
def test_what_looks_like_a_secret_is_hidden_whosever_it_is(text, told):
    assert masked(text) == told
    assert masked(told) == told


def test_keys_come_from_the_environment_too_and_words_in_their_place_do_not(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "quietly-mine-1")
    monkeypatch.setenv("SOME_API_KEY", "EMPTY")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert masked("quietly-mine-1 EMPTY /home/somebody") == f"{MASK} EMPTY /home/somebody"
    assert holds_secret("it is quietly-mine-1!")
    assert not holds_secret("it is quietly")


def test_values_for_json_are_hidden_deep_down_and_stay_json():
    value = {"a": [KEY, 1, None, {"b": f"x {KEY}"}], "c": "\x7f\x1b\u009b\u202e"}
    line = json_line(harmless(value))
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line) == {"a": [MASK, 1, None, {"b": f"x {MASK}"}], "c": value["c"]}


def test_short_hides_before_it_cuts():
    assert KEY[:9] not in short("x" * 280 + " " + KEY)
    assert "\n" not in short("a\nb\x1b[2J")


@pytest.mark.parametrize("text", ["x", "a.", "a://", "?a", "&key=", "bearer ", "hf_", "**", "\x1b"])
def test_no_text_takes_long(text):
    began = time.process_time()
    visible(masked(text * (200_000 // len(text))))
    assert time.process_time() - began < 2
