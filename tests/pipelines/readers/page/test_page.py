"""The page of a run, whatever state it is in: one file that loads nothing and obeys nobody.

Run: python -m pytest tests/pipelines/readers/page/test_page.py
"""

import json
import re
import sys
from html.parser import HTMLParser

import pytest

from pipelines.readers import tokens
from pipelines.readers.page import rollouts
from pipelines.readers.page.page import MIB, page_of, terms_in, write_page
from rft.errors import RFTError
from rft.glossary import TERMS
from rft.recipe.loading import load_recipe
from rft.runs.folder import Run, open_run, save_recipe
from tests.command import invoke
from tests.small_run import RIGHT, WRONG, do, evaluate, grade, new_run, prepare, sample, solved
from tests.small_run import whole_round as whole
from tests.token_run import CHARACTERS, make_run, without_model

HOSTILE = "</script></title><script>window.pwned=1</script><img src=x onerror=alert(1)>\u202e"
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; "
    "connect-src 'none'; base-uri 'none'; form-action 'none'"
)
# What a browser loads, or goes to by itself.
LOADS = {"src", "href", "xlink:href", "srcset", "action", "data", "poster", "background", "ping"}
VOID = {"meta", "link", "img", "base", "iframe", "object", "embed"}


class Reader(HTMLParser):
    """Reads a page: its tags with their attributes, its ids, and what its scripts hold."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.scripts: list[tuple[dict, str]] = []
        self.words: list[str] = []
        self.inside: str | None = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = tag
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, _tag):
        self.inside = None

    def handle_data(self, data):
        if self.inside == "script":
            about, text = self.scripts[-1]
            self.scripts[-1] = (about, text + data)
        elif self.inside != "style":
            self.words.append(data)


def read(text: str) -> Reader:
    """Read a page, and hold it to what every page is held to."""
    page = Reader(text)
    assert ("meta", {"http-equiv": "Content-Security-Policy", "content": POLICY}) in page.tags
    assert {tag for tag, _ in page.tags} & VOID == {"meta"}
    for _, about in page.tags:
        for name, value in about.items():
            assert not name.startswith("on"), about
            assert name not in LOADS or value.startswith("#"), about
    for each in re.findall(r"url\(([^)]*)\)", text):
        assert each.startswith("#")
    assert "@import" not in text
    *data, (about, ours) = page.scripts
    assert about == {}
    assert ours.startswith('"use strict";')
    for about, held in data:
        assert about["type"] == "application/gzip+json"
        assert re.fullmatch("[A-Za-z0-9+/]+=*", held)
    ids = [about["id"] for _, about in page.tags if "id" in about]
    assert len(ids) == len(set(ids)), "two of one id"
    ways = [about["href"] for tag, about in page.tags if tag == "a"]
    assert {way.lstrip("#").partition("?")[0] for way in ways} <= set(ids)
    pops = [about["popovertarget"] for _, about in page.tags if "popovertarget" in about]
    assert set(pops) <= set(ids)
    return page


def sections(page: Reader) -> list[str]:
    return [about["id"] for tag, about in page.tags if tag == "section"]


def measured(*counts: int):
    return {("test", "test", f"t{number}"): solved(each, 4) for number, each in enumerate(counts)}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    return make_run(tmp_path_factory.mktemp("page") / "run", whole=True)


@pytest.fixture
def with_texts(monkeypatch):
    monkeypatch.setattr(rollouts, "token_texts", lambda _run: CHARACTERS)
    monkeypatch.setattr(tokens, "token_texts", lambda _run: CHARACTERS)


def test_the_page_of_a_finished_run_has_all_its_sections_and_rollouts(finished):
    page = read(page_of(open_run(finished), 20))
    wanted = ["result", "problems", "funnel", "chosen", "entropy", "tokens", "stopping", "cost"]
    assert sections(page) == [*wanted, "provenance", "rollouts", "glossary"]
    words = " ".join(page.words)
    assert "from the base to model 1: Pass@1 " in words
    assert re.search(r"All \d+ rollouts and answers of the run", words)
    assert {"index", "chunk-0"} <= {about["id"] for about, _ in page.scripts if about}
    for name in TERMS:
        assert name in page.words


@pytest.mark.usefixtures("with_texts")
def test_the_page_is_the_same_but_for_its_date(run):
    date = re.compile(r" on \d{4}-\d\d-\d\d[^.]*\. ")
    one, two = (date.sub("", page_of(run, 20)) for _ in range(2))
    assert one == two


@pytest.mark.usefixtures("with_texts")
def test_a_run_of_one_round_without_statistics_has_a_page(tmp_path):
    page = read(page_of(make_run(tmp_path / "run", bare=72, whole=True), 20))
    assert {"result", "problems", "funnel", "chosen", "rollouts"} <= set(sections(page))


def test_without_a_tokenizer_it_has_the_texts(run):
    page = read(page_of(without_model(run), 20))
    assert "rollouts" in sections(page)


def test_a_run_that_did_nothing_says_what_to_do(tmp_path):
    run = new_run(tmp_path / "run")
    page = read(page_of(run, 20))
    assert sections(page) == ["result", "funnel", "glossary"]
    words = " ".join(page.words)
    assert "Nothing to compare yet" in words
    assert f"rft run {run.path}" in words


def test_of_one_measurement_of_the_base_alone_there_is_a_page(tmp_path):
    run = new_run(tmp_path / "run", "rounds=0")
    prepare(run, answers=measured(0, 2))
    evaluate(run, 0, measured(0, 2))
    page = read(page_of(run, 20))
    assert {"result", "problems", "rollouts"} <= set(sections(page))
    assert "no model but the base is measured" in " ".join(page.words)


def test_a_run_under_way_has_a_page_at_every_stage(tmp_path):
    run = new_run(tmp_path / "run", "rounds=2", "select.budget=2", "select.noise=0.5")
    samples = [
        ("p0", RIGHT, "stop", 0.5),
        ("p0", WRONG, "length", 0.25),
        ("p1", RIGHT, "stop", 1.0),
    ]
    prepare(run, answers=measured(0, 2))
    evaluate(run, 0, measured(0, 2))
    steps = [
        lambda: sample(run, 1, samples),
        lambda: (grade(run, 1, samples), do(run, "filter", 1)),
        lambda: (whole(run, 1, samples, measured(1, 4)), sample(run, 2, samples)),
    ]
    for step in steps:
        step()
        page = read(page_of(run, 20))
        assert "rollouts" in sections(page)
    assert "1 done of 2 planned" in " ".join(page.words)


def test_where_nothing_is_right_there_is_a_page(tmp_path):
    run = new_run(tmp_path / "run", "select.budget=2", "select.noise=0")
    samples = [("p0", WRONG, "stop", 0.5), ("p1", "no idea", "length", 0.25)]
    prepare(run, answers=measured(0, 0))
    evaluate(run, 0, measured(0, 0))
    sample(run, 1, samples)
    grade(run, 1, samples)
    do(run, "filter", 1)
    assert "funnel" in sections(read(page_of(run, 20)))


def test_an_online_run_has_its_dynamics_and_no_rollouts_of_rounds(tmp_path):
    run = Run(tmp_path / "run", load_recipe("grpo-quickstart"))
    work = run.work("grpo", 1)
    work.mkdir(parents=True)
    save_recipe(run)
    assert sections(read(page_of(run, 20))) == ["result", "online", "glossary"]
    rows = [{"step": step, "k": 4, "entropy": 1.0 / step, "reward": 0.5} for step in (1, 2)]
    (work / "dynamics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    page = read(page_of(run, 20))
    assert sections(page) == ["result", "online", "glossary"]
    figures = [about["id"] for tag, about in page.tags if tag == "figure"]
    assert figures == ["figure-entropy-by-step", "figure-reward-by-step"]


def test_names_questions_and_answers_of_strangers_are_words(tmp_path):
    run = new_run(tmp_path / "run <script>alert(1)", f"prompt.system={json.dumps(HOSTILE)}")
    texts = [
        f"{HOSTILE} \\boxed{{7}} {HOSTILE}",
        f"\\boxed{{{HOSTILE}}}",
        f"{HOSTILE} \\boxed{{8}}",
    ]
    answers = {("test", f"a{HOSTILE}", f"t{HOSTILE}"): texts, ("dev", HOSTILE, "d"): texts}
    better = {key: [texts[0]] * 3 for key in answers}
    prepare(run, train=[f"p{HOSTILE}", "p1"], answers=answers)
    evaluate(run, 0, answers)
    whole(run, 1, [(f"p{HOSTILE}", text, "stop", 0.5) for text in texts], better)
    text = page_of(run, 20)
    page = read(text)
    # Nowhere but in what is packed, and escaped in what is written.
    assert "<script>window" not in text
    assert "<img" not in text
    assert "window.pwned=1" in " ".join(page.words)
    assert "\u202e" not in "".join(page.words)


def test_a_page_keeps_to_its_size_and_says_what_it_leaves_out(tmp_path):
    import numpy as np

    run = new_run(tmp_path / "run")
    prepare(run, train=[f"p{number}" for number in range(20)], answers=measured(1))
    source = np.random.default_rng(0)
    rows = [
        (f"p{number % 20}", f"{source.bytes(24_000).hex()} {RIGHT}", "stop", 0.5)
        for number in range(100)
    ]
    sample(run, 1, rows)
    grade(run, 1, rows)
    text = page_of(run, 2)
    assert len(text.encode()) <= 2 * MIB
    words = " ".join(read(text).words)
    (held,) = re.findall(r"holds (\d+) of 100 rollouts", words)
    assert 20 <= int(held) < 100


def test_terms_are_those_of_whole_words():
    terms = terms_in("Pass@1 of the rounds; a <b class=gate>box</b>")
    assert [term.name for term in terms] == ["box", "Pass@1"]
    (term,) = terms_in("a verdict path")[-1:]
    assert (term.name, term.id) == ("verdict path", "term-verdict-path")


@pytest.mark.usefixtures("with_texts")
def test_the_command_writes_it_and_says_how_large_it_is(run, tmp_path, monkeypatch):
    path = tmp_path / "run.html"
    done = invoke("report", run.path, "--html", path)
    assert done.exit_code == 0, done.output
    assert re.fullmatch(rf"{path} \(\d\.\d MiB\)\n", done.stdout)
    read(path.read_text())
    for words, line in {
        (run.path, "--html", tmp_path): "no place for a file",
        (run.path, "--html", tmp_path / "no" / "x.html"): "no place for a file",
        (run.path, "--html", path, "--tokens"): "leave --tokens",
        (run.path, "--html", path, "--max-mb", 1): "--max-mb",
        (run.path, run.path): "add --html FILE",
    }.items():
        done = invoke("report", *words)
        assert (done.exit_code, line in done.output) == (2, True), done.output
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(RFTError, match=r"pip install 'rft-rounds\[report\]'"):
        write_page(run, tmp_path / "other.html", 20)
    assert not (tmp_path / "other.html").exists()
