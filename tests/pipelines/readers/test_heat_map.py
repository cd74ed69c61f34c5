"""Tokens are told with what was recorded of them, tinted or in a table, and no text can act.

A token of these answers is a character.
"""

import numpy as np
import polars as pl
import pytest

from pipelines.readers import heat_map as reader
from pipelines.readers.heat_map import MEASURES, heat_map, token_table, tokens_of
from pipelines.readers.show import find, listing, whole
from rft.errors import RFTError
from rft.foreign_text import MASK
from rft.runs.folder import Run
from rft.styled import HEAT
from tests import scored_run
from tests.small_run import RIGHT, do, grade, new_run, prepare, sample
from tests.token_run import CHARACTERS, rewrite, without_model

KEY = "hf_" + "a1B2" * 6
TAIL = " and\non"
HOSTILE = "\x1b[2J\u202e[bold]\x9b"
# (problem, completion, finish_reason, mean entropy)
SAMPLES = [
    ("p0", f"First\n, {RIGHT}{TAIL}", "stop", 0.5),
    ("p0", "no box", "length", 0.5),
    ("p1", f"{HOSTILE} {RIGHT}", "stop", 0.5),
    ("p1", f"use {KEY} {RIGHT}", "stop", 0.5),
]
PLACE = len(f"First\n, {RIGHT}")


def made(path, *, entropies: bool = True, ids: bool = True) -> Run:
    run = new_run(path, "select.by=random", "select.noise=0")
    prepare(run, answers={})
    sample(run, 1, SAMPLES)
    grade(run, 1, SAMPLES)
    do(run, "filter", 1)
    do(run, "select", 1)
    texts = run.read("rollouts", 1)["completion"].to_list()
    lists = {
        "token_ids": [[*map(ord, text)] if ids else None for text in texts],
        "entropies": [[0.1 * place for place in range(len(text))] for text in texts],
        "branching": [[1 + place for place in range(len(text))] for text in texts],
        "logprobs": [[-0.1 * place for place in range(len(text))] for text in texts],
    }
    kinds = {"token_ids": pl.Int32, "branching": pl.Int32}
    rewrite(
        run,
        "rollouts",
        *(
            pl.Series(name, each if entropies or name == "token_ids" else [None] * 4,
                      pl.List(kinds.get(name, pl.Float32)))
            for name, each in lists.items()
        ),
    )  # fmt: skip
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return made(tmp_path_factory.mktemp("heat") / "run")


@pytest.fixture(autouse=True)
def characters(monkeypatch):
    monkeypatch.setattr(reader, "token_texts", lambda _: CHARACTERS)


def row_of(run: Run, problem: str, index: int) -> dict:
    rows = listing(run).filter(problem_id=problem, sample_index=index)
    return whole(run, rows.row(0, named=True))


def test_tokens_are_those_of_the_answer_with_their_box_and_their_tail(run):
    told = tokens_of(run, row_of(run, "p0", 0))
    assert "".join(told.texts) == SAMPLES[0][1]
    assert told.response == PLACE
    assert "".join(told.texts[place] for place in told.box) == "\\boxed{7}"
    assert told.notes["box"] == f"tokens {PLACE - 8} to {PLACE}"
    assert told.values["branching"] == [1.0 + place for place in range(len(told.texts))]
    assert np.allclose(told.values["logprob"], -0.1 * np.arange(len(told.texts)), atol=1e-2)
    none = tokens_of(run, row_of(run, "p0", 1))
    assert (len(none.box), none.notes["box"]) == (0, "none that holds an answer")
    assert none.response == len("no box")


@pytest.mark.parametrize("by", MEASURES)
def test_each_token_has_the_tint_of_its_value(run, by):
    row = row_of(run, "p0", 0)
    told = tokens_of(run, row)
    styled = heat_map(row, told, by)
    labels = [place for place, (text, _) in enumerate(styled.pieces) if "response (" in text]
    tinted = [piece for piece in styled.pieces[labels[0] + 1 :] if "| " not in piece[0]]
    steps, sign = MEASURES[by].steps, MEASURES[by].sign
    for place in (0, 3, 7, PLACE - 1):
        heat = sum(sign * told.values[by][place] >= step for step in steps)
        piece, style = tinted[place]
        assert piece == told.texts[place].replace("\n", "↵")
        assert [name for name in style.split() if name in HEAT] == [HEAT[heat - 1]] * (heat > 0)
        assert ("marked" in style) == (place in told.box)
    assert [style for _, style in styled.pieces[: labels[0]] if style in HEAT] == [*HEAT]


def test_colours_are_never_alone(run):
    row = row_of(run, "p0", 0)
    text = heat_map(row, tokens_of(run, row), "entropy").text
    assert "verdict     correct\n" in text
    assert f"box         tokens {PLACE - 8} to {PLACE}, underlined\n" in text
    assert f"response ({PLACE} tokens)\n  | First↵\n  | , so \\boxed{{7}}\n" in text
    assert "trained on (7 tokens)\n  | x  and↵\n  | x on" in text
    assert "entropy in nats, tinted from  0.05   0.2   0.5   1   1.5   2.5 \n" in text
    assert "recorded while sampling" in text


def test_the_table_has_a_line_for_each_token_and_says_all(run):
    row = row_of(run, "p0", 0)
    lines = token_table(row, tokens_of(run, row), "branching").text.splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith("token"))
    body = [line.split() for line in lines[start + 1 : start + 1 + len(SAMPLES[0][1])]]
    assert body[0] == ["1", "'F'", "0.000", "1", "-0.000"]
    assert body[5] == ["6", "'\\n'", "0.500", "6", "-0.500"]
    assert body[PLACE - 1][-1] == "box"
    assert [each[-2:] for each in body[PLACE:]] == [["cut", "off"]] * len(TAIL)
    assert lines[-1] == "entropy in nats, branching in tokens, logprob in nats"
    assert "branching   10.500 tokens on average of 100.0% of the response's tokens" in "\n".join(
        lines
    )


def test_hostile_tokens_stand_in_the_table_as_text(run):
    row = row_of(run, "p1", 0)
    text = token_table(row, tokens_of(run, row), "entropy").text
    assert text.replace("\n", "").isprintable()
    assert "'\\x1b'" in text


@pytest.mark.parametrize("make", [heat_map, token_table])
def test_a_key_that_is_cut_into_tokens_hides_them_all(run, make):
    row = row_of(run, "p1", 1)
    told = tokens_of(run, row)
    assert set(told.texts) == {MASK}
    text = make(row, told, "entropy").text
    assert "looks like a key" in text
    assert "a1B2" not in text.replace("'", "").replace("\n", "")


def test_what_was_computed_afterwards_is_told_of_the_response_alone(tmp_path, monkeypatch, prompts):
    monkeypatch.undo()
    run = scored_run.begin(tmp_path, "select.by=entropy")
    scored_run.sample(run, prompts, scored_run.answers(3, 1))
    scored_run.go_on(run, "grade", "filter", "score")
    rows = listing(run).filter(stats_origin="scored")
    row = whole(run, find(run, rows["rollout_id"][0]))
    told = tokens_of(run, row)
    kept = run.read("scored", 1).filter(rollout_id=row["rollout_id"]).row(0, named=True)
    assert told.values["entropy"] == kept["entropies"]
    assert told.response == len(kept["token_ids"])
    assert "by a forward pass" in told.notes["statistics"]
    assert told.notes["cut off"].startswith(f"{len('. And then some.') - 1} characters")
    bare = whole(run, find(run, listing(run).filter(verdict="wrong")["rollout_id"][0]))
    with pytest.raises(RFTError, match="no statistics of its tokens"):
        tokens_of(run, bare)


def test_without_a_tokenizer_tokens_are_numbers(run, monkeypatch):
    monkeypatch.undo()
    told = tokens_of(without_model(run), row_of(run, "p0", 1))
    assert told.texts == [f"#{ord(letter)}" for letter in "no box"]
    assert "no text here" in told.notes["texts"]
    assert "box" not in told.notes


@pytest.mark.parametrize(
    ("more", "why"),
    [({"entropies": False}, "no statistics of its tokens"), ({"ids": False}, "text alone")],
)
def test_what_has_no_numbers_or_no_tokens_says_so_in_a_line(tmp_path, more, why):
    run = made(tmp_path / "run", **more)
    with pytest.raises(RFTError, match=why) as told:
        tokens_of(run, row_of(run, "p0", 0))
    assert "\n" not in str(told.value)


def test_lists_that_do_not_fit_are_told_as_far_as_they_go(tmp_path):
    run = made(tmp_path / "run")
    short = [[0.5, float("nan")], [0.25] * 99, [None] * 3, None]
    rewrite(
        run,
        "rollouts",
        pl.Series("entropies", short, pl.List(pl.Float32)),
        pl.Series("logprobs", [None] * 4, pl.List(pl.Float32)),
    )
    rows = run.read("rollouts", 1)
    told = tokens_of(run, whole(run, find(run, rows["rollout_id"][0])))
    assert told.values["entropy"][:3] == [0.5, None, None]
    assert len(told.values["entropy"]) == len(told.texts)
    assert "logprob" not in told.values
    row = whole(run, find(run, rows["rollout_id"][1]))
    assert set(tokens_of(run, row).values["entropy"]) == {0.25}
    with pytest.raises(RFTError, match="--tokens logprob: not recorded here; there is entropy"):
        heat_map(row, tokens_of(run, row), "logprob")
    assert "-" in token_table(row, tokens_of(run, row), "entropy").text
