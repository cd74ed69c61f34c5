"""The page of a comparison: its tables and figures, and answers of two models beside each other.

Run: python -m pytest tests/pipelines/readers/page/test_comparison.py
"""

import re
from html.parser import HTMLParser

import pytest

from pipelines.readers.comparison.figures import figures
from pipelines.readers.comparison.side_by_side import SideBySide
from pipelines.readers.comparison.sources import of_arms
from pipelines.readers.comparison.text import sheets_of
from pipelines.readers.page.comparison import (
    LONGEST,
    TOLD,
    comparison_page,
    one_answer,
    one_name,
    pairs,
    texts_of,
    write_comparison_page,
)
from tests.command import invoke
from tests.compared_runs import EIGHT, RIGHT, begin, draw, make

ARMS = {"rules": {}, "entropy": {"select.by": "entropy"}}


class Words(HTMLParser):
    """Reads a page: its texts, cells, ids and tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.ids: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Make two arms with two seeds, and give their answers too."""
    whole, runs = begin(
        tmp_path_factory.mktemp("compared") / "arms", "evaluate.n=4", seeds=[0, 5], arms=ARMS
    )
    base = draw((1, 2, 1, 1, 1), 0)
    after = {
        (each.arm, each.seed): draw((9 if each.arm == "entropy" else 2, 2, 1, 1, 1), place + 1)
        for place, each in enumerate(runs)
    }
    for each in runs:
        make(each.run, base, after[each.arm, each.seed])
    return whole, runs, after


@pytest.fixture(scope="module")
def compared(made) -> SideBySide:
    whole, runs, _ = made
    return of_arms(runs[0].run.path.parents[2], whole, runs)


@pytest.fixture(scope="module")
def page(compared) -> str:
    return comparison_page(compared, list(figures(compared)))


def test_it_has_every_table_and_figure_and_each_cell(compared, page):
    words = Words(page)
    assert {"numbers", "figures", "answers", "glossary"} <= set(words.ids)
    for sheet in sheets_of(compared):
        assert sheet.title in words.texts
        for row in sheet.rows:
            for cell in row:
                assert not cell or re.sub(r"\[ +", "[", cell) in words.texts
    names = {name for name, _ in figures(compared)}
    assert {f"figure-{name}" for name in names} <= set(words.ids)
    assert not {"rollouts", "index"} & set(words.ids)


def test_it_is_the_same_each_time(compared, page, tmp_path):
    drawn = list(figures(compared))
    write_comparison_page(compared, drawn, tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text() == page


def test_the_problems_told_are_those_on_which_two_models_differ_most(made, page):
    _, _, after = made
    arm, control = after["entropy", 0], after["rules", 0]
    for benchmark in ("easy", "hard"):
        gains = {
            place: arm[place].count(RIGHT) - control[place].count(RIGHT)
            for place in arm
            if place[0] == benchmark
        }
        ups = sorted((gain for gain in gains.values() if gain > 0), reverse=True)[: TOLD // 2]
        downs = sorted(gain for gain in gains.values() if gain < 0)[: TOLD // 2]
        told = page.partition(f"<summary>{benchmark}: entropy against rules, seed 0</summary>")[2]
        told = told.partition("</details>")[0]
        counts = [int(each) for each in re.findall(r"<strong>(\d) of 4 right", told)]
        said = [counts[i] - counts[i + 1] for i in range(0, len(counts), 2)]
        assert said == ups + downs
        problems = re.findall(r"What is (\w+)\?", told)
        assert [gains[benchmark, name] for name in problems] == said
        verdicts = re.findall(r"this one is (\w+)", told)
        for place, gain in enumerate(said):
            better, worse = verdicts[2 * place : 2 * place + 2][:: 1 if gain > 0 else -1]
            assert better == "correct"
            assert worse != "correct" or (gain and 4 in counts[2 * place : 2 * place + 2])


def test_each_arm_is_held_against_the_control_at_the_first_seed_that_both_have(compared):
    ((arm, control),) = pairs(compared)
    assert (arm.seed, control.seed) == (0, 0)
    assert (one_name(compared, arm), one_name(compared, control)) == ("entropy", "rules")


def test_texts_are_those_of_the_table_by_sample(made, compared):
    _, _, after = made
    ((arm, _),) = pairs(compared)
    said = texts_of(arm, "easy", ["easy1", "easy4"])
    assert {name: [text for _, text in each] for name, each in said.items()} == {
        name: list(after["entropy", 0]["easy", name]) for name in ("easy1", "easy4")
    }


def test_an_answer_is_one_that_shows_the_difference_or_any_and_words_stay_words():
    answers = [("wrong", EIGHT), ("correct", RIGHT)]
    assert "this one is correct" in one_answer("a", answers, (1, 2), wants_right=True)
    assert "this one is wrong" in one_answer("a", answers, (1, 2), wants_right=False)
    assert "this one is wrong" in one_answer("a", answers[:1], (0, 1), wants_right=True)
    assert "this one is -" in one_answer("a", [], (0, 0), wants_right=True)
    hostile = [("wrong", "<script>alert(1)</script>" * LONGEST)]
    text = one_answer("<b>", hostile, (0, 1), wants_right=False)
    assert "<script>" not in text
    assert "<b>" not in text
    assert f"{25 * LONGEST - LONGEST:,} characters more" in text


def test_the_command_sets_runs_side_by_side(made, tmp_path):
    _, runs, _ = made
    path = tmp_path / "both.html"
    done = invoke("report", runs[0].run.path, runs[2].run.path, "--html", path)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(f"{path} (")
    text = path.read_text()
    assert "connect-src 'none'" in text
    assert "Answers beside each other" in Words(text).texts
    done = invoke("report", runs[0].run.path, tmp_path / "none", "--html", tmp_path / "no.html")
    assert done.exit_code == 2
    assert not (tmp_path / "no.html").exists()


def test_of_nothing_there_is_a_page_that_says_so(made, tmp_path):
    whole, runs, _ = made
    from pipelines.compare import arm_runs

    none = arm_runs(tmp_path, whole, {each.arm: each.run.recipe for each in runs})
    nothing = of_arms(tmp_path, whole, none)
    text = comparison_page(nothing, list(figures(nothing)))
    assert "none of 4 runs is done yet" in text
