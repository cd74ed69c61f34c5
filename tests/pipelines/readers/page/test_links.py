"""Ways from numbers to rollouts: each leads to as many as it says.

Run: python -m pytest tests/pipelines/readers/page/test_links.py
"""

from html.parser import HTMLParser
from urllib.parse import parse_qs

import pytest

from pipelines.readers.page.draw import everything
from pipelines.readers.page.links import LISTED, fates, flips, link
from rft.recipe.loading import load_recipe
from rft.runs.folder import Run
from tests.small_run import RIGHT, evaluate, new_run, prepare, solved, whole_round
from tests.token_run import make_run


class Ways(HTMLParser):
    """Reads the links of a text: what each asks for, and its words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ways: list[tuple[dict[str, str], str]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "a":
            place, _, query = dict(attrs)["href"].partition("?")
            assert place == "#rollouts"
            asked = {name: values[0] for name, values in parse_qs(query).items()}
            self.ways.append((asked, ""))

    def handle_data(self, data):
        if self.ways and not self.ways[-1][1]:
            self.ways[-1] = (self.ways[-1][0], data)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    return make_run(tmp_path_factory.mktemp("links") / "run", whole=True)


def test_a_link_carries_any_words():
    text = link("a<b", fate="rejected: a&b = c", round=2)
    assert Ways(text).ways == [({"fate": "rejected: a&b = c", "round": "2"}, "a<b")]


def test_what_became_of_rollouts_leads_to_as_many_as_it_says(run):
    rows = everything(run)
    ways = Ways(fates(rows)).ways
    assert len(ways) == rows.filter(kind="round")["fate"].n_unique()
    for asked, words in ways:
        asked["round"] = int(asked["round"])
        here = rows.filter(**asked)
        assert words == f"{asked['fate']} {len(here)}"


def measured(counts):
    return {("test", "test", f"t{number}"): solved(c, 4) for number, c in enumerate(counts)}


def run_of(path, before, after) -> Run:
    run = new_run(path)
    prepare(run, answers=measured(before))
    evaluate(run, 0, measured(before))
    if after is not None:
        whole_round(
            run, 1, [("p0", RIGHT, "stop", 0.5), ("p1", RIGHT, "stop", 0.5)], measured(after)
        )
    return run


def test_newly_solved_and_lost_problems_are_those_that_a_hand_finds(tmp_path):
    text = flips(run_of(tmp_path / "run", (0, 0, 4, 2, 1, 0), (1, 3, 0, 4, 0, 0)))
    gained, _, lost = text.partition("<summary>Newly lost")
    assert "Newly solved of test: 2<" in gained
    assert "of test: 2<" in lost
    assert [words for _, words in Ways(gained).ways] == ["t1", "t0"]  # the surest first
    assert [words for _, words in Ways(lost).ways] == ["t2", "t4"]
    assert Ways(lost).ways[0][0] == {"problem": "t2", "kind": "model"}
    assert "3/4" in gained


def test_a_long_list_says_that_it_is_cut(tmp_path):
    many = LISTED + 3
    text = flips(run_of(tmp_path / "run", (0,) * many, (1,) * many))
    assert f"Newly solved of test: {many}, the {LISTED} surest" in text
    assert len(Ways(text).ways) == LISTED


def test_where_there_is_nothing_to_compare_there_are_no_flips(tmp_path):
    assert flips(run_of(tmp_path / "run", (0, 1), None)) is None
    nothing = Run(tmp_path / "none", load_recipe("smoke"))
    assert (flips(nothing), fates(everything(nothing))) == (None, None)
