"""What is told of tokens against loops over every token of the tables.

Run: python -m pytest tests/pipelines/readers/test_tokens.py
"""

import math

import numpy as np
import polars as pl
import pytest

from pipelines.readers import tokens
from pipelines.readers.report_tokens import text_tokens
from pipelines.readers.tokens import BINS, WORDS, token_texts, view
from rft.errors import RFTError
from rft.recipe.loading import load_recipe
from rft.runs.folder import Run
from rft.token_kinds.answer import NO_SENTENCE, anatomy
from rft.token_kinds.words import CLASSES
from tests import scored_run
from tests.command import invoke
from tests.token_run import CHARACTERS, make_run, rewrite, without_model

BARE, OTHER = 4, 5


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    return make_run(tmp_path_factory.mktemp("tokens") / "run", bare=BARE, other=OTHER)


@pytest.fixture
def letters(monkeypatch) -> None:
    """Have the run's tokens be characters."""
    monkeypatch.setattr(tokens, "token_texts", lambda _: CHARACTERS)


def rows_of(run: Run, origin: str = "engine") -> list[dict]:
    """Give the answers of one origin, with their lists cut to the response."""
    lists = run.read("rollouts", 1, ["rollout_id", "entropies", "token_ids"])
    both = run.read("graded", 1).join(lists, on="rollout_id")
    rows = both.filter(pl.col("stats_origin") == origin).to_dicts()
    for row in rows:
        for name in ("entropies", "token_ids"):
            row[name] = row[name][: row["num_response_tokens"]]
    return rows


@pytest.mark.usefixtures("letters")
def test_the_curve_by_position_is_what_loops_over_tokens_give(run):
    seen, rows = view(run, 1), rows_of(run)
    groups = {"all": None, "right": "correct", "wrong": "wrong"}
    for told in seen.position.to_dicts():
        place, verdict = int(told["position"] * BINS), groups[told["group"]]
        means = []
        for row in rows:
            size = len(row["entropies"])
            here = [
                value
                for token, value in enumerate(row["entropies"])
                if math.floor((token + 0.5) * BINS / size) == place
            ]
            if here and verdict in (None, row["verdict"]):
                means.append(sum(here) / len(here))
        assert told["value"] == pytest.approx(np.mean(means), abs=1e-4)
        assert told["answers"] == len(means)
        assert told["low"] < told["value"] < told["high"]


@pytest.mark.usefixtures("letters")
def test_a_u_is_told_of_and_wrong_answers_as_less_sure(run):
    seen = view(run, 1)
    for end in ("first tenth", "last tenth"):
        assert seen.zones[f"{end} less the middle"].low > 0.5
    assert seen.verdicts["wrong less right"].value == pytest.approx(0.25, abs=0.03)
    assert seen.verdicts["wrong less right"].low > 0.2
    text = text_tokens(run, None)
    assert "first tenth less the middle" in text
    assert "the policy at temperature 1 over its whole vocabulary" in text


@pytest.mark.usefixtures("letters")
def test_answers_without_statistics_and_of_another_origin_are_counted_and_in_no_number(run):
    seen = view(run, 1)
    assert seen.notes["left out"].startswith(f"{BARE + OTHER} of 72 answers")
    assert f"of {72 - BARE - OTHER} answers" in seen.notes["tokens"].replace(" the trimmed", "")
    assert len(rows_of(run)) == 72 - BARE - OTHER
    assert seen.strata.filter(pl.col("what") == "accuracy")["answers"].sum() == 72 - BARE - OTHER


@pytest.mark.usefixtures("letters")
def test_words_sentences_and_classes_are_what_loops_give(run):
    seen = view(run, 1)
    values: dict[str, list[float]] = {name: [] for name in (*WORDS, *CLASSES)}
    for row in rows_of(run):
        parts = anatomy([chr(each) for each in row["token_ids"]])
        said: dict[int, list[float]] = {}
        for place, entropy in enumerate(row["entropies"]):
            values[CLASSES[parts.classes[place]]].append(entropy)
            values[WORDS[0] if parts.pivotal[place] else WORDS[1]].append(entropy)
            if parts.sentence[place] != NO_SENTENCE:
                said.setdefault(parts.sentence[place], []).append(entropy)
        for number, each in said.items():
            values[WORDS[2] if parts.reflective[number] else WORDS[3]].append(np.mean(each))
    for told in [*seen.words.to_dicts(), *seen.classes.to_dicts()]:
        mine = values[told["what"]]
        assert told["count"] == len(mine)
        assert told["value"] == (pytest.approx(np.mean(mine), abs=1e-4) if mine else None)
    assert seen.classes["share"].sum() == pytest.approx(1)
    for first in (0, 2):
        each = seen.contrasts[f"{WORDS[first]} less {WORDS[first + 1]}"]
        gap = np.mean(values[WORDS[first]]) - np.mean(values[WORDS[first + 1]])
        assert each.value == pytest.approx(gap, abs=1e-4)


@pytest.mark.usefixtures("letters")
def test_strata_of_perplexity_are_what_sorting_gives(run):
    seen, rows = view(run, 1), rows_of(run)
    ordered = sorted(row["mean_nll"] for row in rows)
    rates = {
        name: np.mean([row["verdict"] == "correct" for row in rows if row["problem_id"] == name])
        for name in {row["problem_id"] for row in rows}
    }
    for told in seen.strata.to_dicts():
        mine = [
            row
            for row in rows
            if sum(each < row["mean_nll"] for each in ordered) * 5 // len(rows) == told["fifth"] - 1
        ]
        right = np.array([row["verdict"] == "correct" for row in mine], float)
        wanted = {
            "accuracy": right.mean(),
            "against its problem": (right - [rates[row["problem_id"]] for row in mine]).mean(),
            "entropy": np.mean([row["mean_entropy"] for row in mine]),
        }
        assert told["value"] == pytest.approx(wanted[told["what"]], abs=1e-6)
        assert told["perplexity"] == pytest.approx(np.exp(np.median([r["mean_nll"] for r in mine])))


@pytest.mark.usefixtures("letters")
def test_of_many_answers_a_sample_by_seed_is_looked_at_and_that_is_said(run, monkeypatch):
    monkeypatch.setattr(tokens, "ANSWERS", 30)
    first, again = view(run, 1), view(run, 1)
    assert first.position.equals(again.position)
    assert "30 answers (drawn by seed from 63)" in first.notes["tokens"]
    monkeypatch.setattr(tokens, "ANSWERS", 20)
    graded = run.read("graded", 1)
    few = set(tokens.sampled(run, 1, graded)["rollout_id"])
    monkeypatch.setattr(tokens, "ANSWERS", 50)
    assert few < set(tokens.sampled(run, 1, graded)["rollout_id"])
    other = run.recipe.model_copy(update={"seed": 1})
    monkeypatch.setattr(tokens, "ANSWERS", 20)
    assert few != set(tokens.sampled(Run(run.path, other), 1, graded)["rollout_id"])
    monkeypatch.setattr(tokens, "TOKENS", 500)
    chosen = tokens.sampled(run, 1, graded)["num_response_tokens"]
    assert chosen[:-1].sum() < 500 <= chosen.sum()


def test_without_the_model_the_words_are_left_out_in_one_line_and_all_else_is_told(run):
    text = text_tokens(without_model(run), None)
    assert "Entropy by relative position" in text
    assert "Entropy by class of token" not in text
    assert "not told, for the tokens have no text here: " in " ".join(text.split())


def test_tokens_of_a_tokenizer_join_to_the_text_that_they_came_from(run, prompts):
    text = "First, we add.\n\nSo 17 + 4 = 21; however \\boxed{21}."
    ids = prompts.encode(text)
    assert "".join(token_texts(run).of(ids)) == prompts.decode(ids)
    assert token_texts(run).of([prompts.end_id]) == [""]


def test_a_run_without_any_statistics_says_so_and_shows_what_needs_none(tmp_path):
    bare = make_run(tmp_path / "run", bare=72)
    seen = view(bare, 1)
    assert seen.position["value"].is_null().all()
    text = text_tokens(bare, 1)
    assert "No answer with statistics." in text
    assert "pass rate, %" in text
    assert "nan" not in text


@pytest.mark.usefixtures("letters")
def test_lists_that_hold_no_number_leave_their_answer_out(tmp_path):
    holed = make_run(tmp_path / "run")
    first = pl.int_range(pl.len()) == 0
    lists = pl.col("entropies").list.eval(pl.lit(None, pl.Float32))
    rewrite(holed, "rollouts", pl.when(first).then(lists).otherwise("entropies").alias("entropies"))
    seen = view(holed, 1)
    assert seen.notes["lost"].startswith("1 answers of the sample")
    assert seen.position.filter(pl.col("group") == "all")["answers"].max() <= 71


@pytest.mark.usefixtures("letters")
def test_no_interval_of_an_entropy_ends_below_zero_and_those_of_differences_may(tmp_path):
    skewed = make_run(tmp_path / "run")
    first = pl.col("problem_id") == pl.col("problem_id").min()
    for table, column, none in (
        ("rollouts", "entropies", pl.col("entropies").list.eval(pl.element() * 0)),
        ("graded", "mean_entropy", pl.col("mean_entropy") * 0),
    ):
        rewrite(skewed, table, pl.when(first).then(column).otherwise(none).alias(column))
    seen = view(skewed, 1)
    entropies = seen.strata.filter(what="entropy")
    lows = [frame["low"] for frame in (seen.position, seen.words, seen.classes, entropies)]
    levels = [*seen.zones.values(), *seen.verdicts.values()]
    names = [*seen.zones, *seen.verdicts]
    least = [low.drop_nulls().min() for low in lows if low.count()]
    least += [each.low for name, each in zip(names, levels, strict=True) if "less" not in name]
    assert set(least) == {0.0}
    assert any(each.low < 0 for name, each in zip(names, levels, strict=True) if "less" in name)


def test_statistics_of_a_forward_pass_are_taken_where_sampling_recorded_none(tmp_path, prompts):
    run = scored_run.begin(tmp_path, "select.by=entropy")
    scored_run.sample(run, prompts, scored_run.answers(9, 5))
    scored_run.go_on(run, "grade", "filter", "score")
    seen = view(run, 1)
    assert "by a forward pass" in seen.notes["describes"]
    assert seen.notes["left out"].startswith("5 of 14")
    assert seen.classes["count"].sum() == run.read("scored", 1)["num_response_tokens"].sum()


def test_an_online_run_has_no_tokens_to_look_at(tmp_path):
    with pytest.raises(RFTError, match="an online run keeps no rollouts"):
        text_tokens(Run(tmp_path, load_recipe("grpo-quickstart")), None)


def test_a_round_that_is_not_graded_is_refused_in_one_line(run, tmp_path):
    with pytest.raises(RFTError, match=r"round 3 is not graded; graded are 1$"):
        text_tokens(run, 3)
    with pytest.raises(RFTError, match="no round is graded yet"):
        text_tokens(Run(tmp_path, run.recipe), None)
    done = invoke("report", run.path, "--round", 1)
    assert done.exit_code == 2
    assert "--round goes with --tokens or --figures" in done.output


def test_ids_below_zero_are_no_tokens_and_that_is_said(run):
    notes: dict[str, str] = {}
    answers = pl.DataFrame({"token_ids": [[5, -1], None], "size": [2, 0]})
    assert tokens._kinds(run, answers, np.zeros(2, int), notes) == (None, {}, None)
    assert "below zero" in notes["words"]
