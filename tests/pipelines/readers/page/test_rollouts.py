"""The rollouts of a page: tokens that spell the text, places as a page counts them, and its room.

Run: python -m pytest tests/pipelines/readers/page/test_rollouts.py
"""

import base64
import gzip
import json
import math
import re

import numpy as np
import pytest

from pipelines.readers.page import rollouts
from pipelines.readers.page.draw import everything
from pipelines.readers.page.rollouts import (
    CHUNK,
    Rollouts,
    detail_of,
    packed,
    pieces_of,
    rollouts_of,
    units,
    written,
)
from rft.grading.answers import NO_FORM
from rft.runs.folder import Run
from rft.token_kinds.answer import Texts
from tests.small_run import evaluate, grade, new_run, prepare, sample, solved
from tests.token_run import CHARACTERS, make_run, without_model

# A tokenizer whose tokens are the bytes of a text; 300 is its end, which is no text.
BYTES = Texts(lambda ids: bytes(ids).decode("utf-8", "replace"), ord("a"), frozenset({300}))
MANY = 1 << 30


def of_bytes(text: str) -> list[int]:
    return [*text.encode()]


def unpacked(text: str):
    return json.loads(gzip.decompress(base64.b64decode(text)))


def details_in(held: Rollouts) -> list[dict]:
    return [each for chunk in held.chunks for each in unpacked(chunk)]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    return make_run(tmp_path_factory.mktemp("rollouts") / "run", whole=True)


@pytest.fixture
def with_texts(monkeypatch):
    monkeypatch.setattr(rollouts, "token_texts", lambda _run: CHARACTERS)


# Pieces -------------------------------------------------------------------------------------------


def test_a_letter_of_several_tokens_is_one_piece_of_them():
    pieces = pieces_of([*of_bytes("é€😀x"), 300], "é€😀x", BYTES)
    assert pieces == [("é", 2), ("€", 3), ("😀", 4), ("x", 1), ("", 1)]


@pytest.mark.parametrize(
    "text", ["", "plain", "数学 is ½", "a\u0301\u0301", "👩‍👩‍👧 = 😀", "\x00\u202e\n"]
)
def test_pieces_spell_the_text_and_take_all_tokens(text):
    ids = of_bytes(text) or [300]
    pieces = pieces_of(ids, text, BYTES)
    assert "".join(piece for piece, _ in pieces) == text
    assert sum(count for _, count in pieces) == len(ids)


def test_of_the_response_alone_the_rest_has_no_tokens():
    assert pieces_of(of_bytes("ab"), "ab and on", BYTES) == [("a", 1), ("b", 1), (" and on", 0)]
    assert pieces_of(of_bytes("é"), "é, on", BYTES) == [("é", 2), (", on", 0)]


@pytest.mark.parametrize(
    "ids",
    [of_bytes("other"), [-1, 97], of_bytes("abc, and more"), [0xE2, 0x82], [0xFF] * 40],
    ids=["foreign", "negative", "more", "half a letter", "no letters"],
)
def test_tokens_that_do_not_spell_the_text_are_no_pieces(ids):
    assert pieces_of(ids, "abc", BYTES) is None


# Details ------------------------------------------------------------------------------------------


def test_places_are_in_the_units_of_a_page():
    assert [units(text) for text in ("", "a", "é", "😀", "a😀👩")] == [0, 1, 1, 2, 5]
    completion, response = "😀😀 \\boxed{7} and on", "😀😀 \\boxed{7}"
    made = detail_of({"completion": completion, "response": response}, None, NO_FORM)
    letters = completion.encode("utf-16-le")
    first, last = (2 * each for each in made["box"])
    assert letters[first:last].decode("utf-16-le") == "\\boxed{7}"
    assert letters[: 2 * made["end"]].decode("utf-16-le") == response
    assert made["t"] == completion


def test_without_a_response_the_box_says_where_it_ends_and_without_a_box_nothing_does():
    made = detail_of({"completion": "so \\boxed{7}, yes"}, None, NO_FORM)
    assert made["end"] == made["box"][1] == len("so \\boxed{7}")
    assert detail_of({"completion": "no idea"}, None, NO_FORM) == {"t": "no idea"}
    # A response that is no start of what was sampled says nothing about it.
    assert "end" not in detail_of({"completion": "no idea", "response": "yes"}, None, NO_FORM)


def test_numbers_of_tokens_are_thousandths_and_null_where_they_are_none():
    wide = {
        "completion": "abcd",
        "token_ids": of_bytes("abcd"),
        "entropies": [0.1234, None, math.nan, math.inf],
        "branching": [1, 2, None, 4],
        "logprobs": None,
    }
    made = detail_of(wide, BYTES, NO_FORM)
    assert made["t"] == ["a", "b", "c", "d"]
    assert made["e"] == [123, None, None, None]
    assert made["b"] == [1, 2, None, 4]
    assert "l" not in made
    assert "n" not in made
    assert detail_of({**wide, "token_ids": of_bytes("other")}, BYTES, NO_FORM) == {"t": "abcd"}


def test_what_is_packed_is_read_back_and_can_do_nothing_in_a_page():
    value = {"t": ["</script><script>alert(1)</script>", "😀\u2028\x00"], "n": None, "e": [1, -2]}
    text = packed(value)
    assert re.fullmatch("[A-Za-z0-9+/]+=*", text)
    assert unpacked(text) == value
    assert packed(value) == text
    with pytest.raises(ValueError, match="not JSON compliant"):
        written([math.nan])


def held_of(run: Run, room: int, **more: int) -> Rollouts:
    return rollouts_of(run, everything(run), room, **more)


# A whole run --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("with_texts")
def test_index_and_chunks_hold_what_the_tables_hold(run):
    held = held_of(run, MANY)
    index, details = unpacked(held.index), details_in(held)
    rows = everything(run)
    assert held.held == held.all == len(rows) == len(details)
    columns, names = index["columns"], index["names"]
    texts = dict(run.read("rollouts", 1, ["rollout_id", "completion"]).iter_rows())
    responses = dict(run.read("graded", 1, ["rollout_id", "response"]).iter_rows())
    lists = dict(run.read("rollouts", 1, ["rollout_id", "entropies"]).iter_rows())
    for place, detail in enumerate(details):
        name = columns["id"][place]
        if names["kind"][columns["kind"][place]] != "round":
            assert "why" not in detail
            continue
        assert "".join(detail["t"]) == texts[name]
        assert detail["end"] == len(responses[name])
        assert detail["e"] == [round(1000 * each) for each in lists[name]]
        assert detail["why"]
        assert detail["p"].startswith("Q: What is ")
    for name in ("verdict", "fate", "problem_id"):
        told = [names[name][code] for code in columns[name]]
        assert told == everything(run)[name].to_list()
    asked = dict(zip(names["problem_id"], index["problems"], strict=True))
    assert asked["p3"] == ["What is p3?", ["7"]]


@pytest.mark.usefixtures("with_texts")
def test_each_problem_has_the_verdicts_of_all_its_answers_though_few_are_held(run):
    index = unpacked(held_of(run, MANY, most=30).index)
    verdicts = run.read("graded", 1, ["problem_id", "sample_index", "verdict"])
    letters = {"correct": "c", "wrong": "w", "no_answer": "n"}
    seen = 0
    for kind, round, _, problem, samples, line in index["groups"]:
        if (kind, round) == ("round", 1):
            here = verdicts.filter(problem_id=problem).sort("sample_index")
            assert samples == here["sample_index"].to_list()
            assert line == "".join(letters[each] for each in here["verdict"])
            seen += 1
    assert seen > 1


def test_without_a_tokenizer_the_texts_are_there_without_tokens(run):
    held = held_of(without_model(run), MANY)
    assert held.held == held.all
    assert all(isinstance(each["t"], str) and "e" not in each for each in details_in(held))


def long_answers(path, size: int, names: list[str]) -> Run:
    """Make a run with four answers to each problem, which hardly get shorter by packing."""
    run = new_run(path)
    prepare(run, train=names, answers={("test", "test", "t0"): solved(1, 2)})
    source = np.random.default_rng(0)
    rows = [
        (name, f"{source.bytes(size // 2).hex()} \\boxed{{7}}", "stop", 0.5)
        for name in names
        for _ in range(4)
    ]
    sample(run, 1, rows)
    grade(run, 1, rows)
    return run


def test_what_is_held_keeps_to_its_room_however_long_the_answers(tmp_path):
    run = long_answers(tmp_path / "run", 60_000, [f"p{number}" for number in range(16)])
    room = 1_900_000
    held = held_of(run, room)
    assert 0 < held.held < held.all == 64
    assert len(held.index) + sum(map(len, held.chunks)) <= room
    index = unpacked(held.index)
    lengths = [len(unpacked(chunk)) for chunk in held.chunks]
    assert sum(lengths) == held.held == len(index["columns"]["id"])
    assert index["starts"] == [sum(lengths[:place]) for place in range(len(lengths))]
    assert len(lengths) > 1  # no chunk is so large that a page cannot be read piece by piece
    nothing = held_of(run, 100)
    assert (nothing.held, nothing.chunks) == (0, [])


def test_long_questions_need_room_as_well(tmp_path):
    source = np.random.default_rng(1)
    run = long_answers(tmp_path / "run", 20, [source.bytes(1_000).hex() for _ in range(CHUNK)])
    room = 400_000
    held = held_of(run, room)
    assert 0 < held.held < held.all, (len(held.index), [*map(len, held.chunks)])
    assert len(held.index) + sum(map(len, held.chunks)) <= room


def test_what_is_not_finite_is_null_in_the_index(tmp_path):
    run = new_run(tmp_path / "run")
    prepare(run, train=["p0"], answers={("test", "test", "t0"): solved(1, 2)})
    rows = [("p0", "so \\boxed{7}", "stop", each) for each in (0.25, math.inf, math.nan, 1e30)]
    sample(run, 1, rows)
    grade(run, 1, rows)
    evaluate(run, 0, {("test", "test", "t0"): solved(1, 2)})
    columns = unpacked(held_of(run, MANY).index)["columns"]
    places = [columns["id"].index(each) for each in run.read("rollouts", 1)["rollout_id"]]
    assert [columns["entropy"][each] for each in places][:3] == [0.25, None, None]
    assert [columns["perplexity"][each] for each in places] == [1.284, None, None, None]
