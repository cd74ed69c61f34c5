"""Pages in a real Chromium: of strangers' words, of very many rollouts, of runs under way, served.

Run: python -m pytest tests/pipelines/readers/page/test_browser_states.py -m slow
"""

import re
from pathlib import Path

import polars as pl
import pytest
from axe_playwright_python.sync_playwright import Axe

from pipelines.readers.comparison.figures import figures
from pipelines.readers.comparison.sources import of_arms
from pipelines.readers.page.comparison import comparison_page
from pipelines.readers.page.page import MIB, page_of, write_page
from rft.runs import tables
from rft.runs.folder import Run
from rft.seeds import digest
from tests.compared_runs import begin, draw, make
from tests.pages import WIDTHS, choose, count, opened, serve, until
from tests.small_run import RIGHT, WRONG, do, evaluate, grade, new_run, prepare, sample, solved

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("with_characters")]

HOSTILE = {
    "script": "</script><script>window.pwned=1</script>",
    "image": "<img src=x onerror=\"window.pwned=1\"><svg onload='window.pwned=1'>",
    "bidi": "a\u202eb\u2066c\u200fd",
    "nul": "a\x00b\x1b[31m",
    "long": "word " * 40_000,
    "marks": "\u0301\u0301e\u0301" + "\u0489" * 300,
    "template": "${window.pwned=1} {{7*7}} javascript:window.pwned=1",
}
ANSWERS = {("test", "test", f"t{number}"): solved(number, 2) for number in range(3)}


# Strangers ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> tuple[Path, dict[str, str]]:
    """Make a run whose every word is a stranger's, and give its page and its rollouts' names."""
    run = new_run(tmp_path_factory.mktemp("hostile") / "run")
    name = HOSTILE["script"] + HOSTILE["image"] + HOSTILE["bidi"]
    answers = {("test", name, f"t{name}"): [f"{name} \\boxed{{{HOSTILE['image']}}}"] * 2}
    prepare(run, train=[name, "p1"], answers=answers)
    evaluate(run, 0, answers)
    rows = [(name, f"{text} \\boxed{{7}} {text[:99]}", "stop", 0.5) for text in HOSTILE.values()]
    rows.append(("p1", HOSTILE["image"], "length", None))
    sample(run, 1, rows)
    grade(run, 1, rows)
    do(run, "filter", 1)
    path = run.path.parent / "hostile.html"
    write_page(run, path, 20)
    names = run.read("rollouts", 1, ["rollout_id"])["rollout_id"]
    return path, dict(zip(HOSTILE, names, strict=False))


def test_hostile_words_are_words_and_run_nowhere(browser, hostile):
    path, names = hostile
    for width, kinds in ((1440, HOSTILE), (390, ("long", "bidi"))):
        size = {"width": width, "height": 900}
        with opened(browser, path, viewport=size) as page:
            for kind in kinds:
                choose(page, q=names[kind])
                page.locator(".row").first.click()
                until(page, f"columns.id[chosen] === {names[kind]!r}")
                page.wait_for_selector("#detail .ticks")
                shown = page.get_by_test_id("completion").evaluate("box => box.textContent")
                escaped = HOSTILE[kind].replace("\x00", "\\x00").replace("\x1b", "\\x1b")
                for letter in "\u202e\u2066\u200f":
                    escaped = escaped.replace(letter, f"\\u{ord(letter):04x}")
                assert shown.startswith(escaped)
                if kind != "long":
                    page.click("#beside")
                    page.wait_for_selector(".beside > div")
                seen = page.locator("main").evaluate("main => main.textContent")
                assert not set("\u202e\u2066\u200f\x00\x1b") & set(seen)
                assert page.locator("img, svg[onload], iframe").count() == 0
            wide, inner = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
            assert wide <= inner
            assert page.evaluate("window.pwned") is None


# Sizes and states ---------------------------------------------------------------------------------

PROBLEMS, SAMPLES = 1_000, 100


def many_rollouts(path: Path) -> Run:
    """Make a run of 100,000 rollouts, as its stages would have written them."""
    run = new_run(path, "sample.n=100")
    names = [f"p{number}" for number in range(PROBLEMS)]
    prepare(run, train=names, answers=ANSWERS)
    place = pl.int_range(pl.len())
    sample_index = place % SAMPLES
    words = ["Take ", place * 7919 % 1_000, " and add it. So \\boxed{", place % 11, "}"]
    text = pl.concat_str(pl.lit(each) if isinstance(each, str) else each for each in words)
    rows = pl.DataFrame({"problem_id": names * SAMPLES}).sort("problem_id")
    rows = rows.with_columns(
        rollout_id=pl.Series([digest("many", number) for number in range(len(rows))]),
        round=pl.lit(1, pl.Int32),
        sample_index=sample_index.cast(pl.Int32),
        prompt=pl.format("Q: What is {}?", "problem_id"),
        completion=text,
        response=text,
        finish_reason=pl.when(place % 50 == 3).then(pl.lit("length")).otherwise(pl.lit("stop")),
        num_prompt_tokens=pl.lit(10, pl.Int32),
        num_tokens=(20 + place % 60).cast(pl.Int32),
        num_response_tokens=(20 + place % 60).cast(pl.Int32),
        stats_origin=pl.lit("engine"),
        stats_mass=pl.lit(0.95),
        model=pl.lit("m"),
        sampling=pl.lit("s"),
        seed=place,
        answer=(place % 11).cast(pl.String),
        verdict=pl.when(place % 11 == 7).then(pl.lit("correct")).otherwise(pl.lit("wrong")),
        num_boxed=pl.lit(1, pl.Int32),
        num_placeholders=pl.lit(0, pl.Int32),
        redundancy=pl.lit(0.0),
        mean_entropy=(place % 997) / 997,
        mean_branching=1 + (place % 997) / 997,
        mean_nll=(place % 997) / 997,
    )
    write_as(run, "sample", rows, "rollouts")
    write_as(run, "grade", rows, "graded", "verdicts")
    return run


def write_as(run: Run, stage: str, rows: pl.DataFrame, table: str, *others: str) -> None:
    def work(job) -> None:
        schema = tables.empty(table).schema
        lacking = [pl.lit(None, kind).alias(name) for name, kind in schema.items()]
        whole = rows.with_columns(each for each in lacking if each.meta.output_name() not in rows)
        job.write(table, whole.select(pl.col(name).cast(kind) for name, kind in schema.items()))
        for other in others:
            job.write(other, tables.empty(other))
        job.counts |= {"in": len(rows), table: len(rows)}
        job.notes |= {"tokens": 1, "tokens_sampled_now": 1, "tokens_per_second": 1}

    do(run, stage, 1, work)


def test_of_a_hundred_thousand_rollouts_some_are_held_and_all_are_counted(browser, tmp_path):
    run = many_rollouts(tmp_path / "run")
    path = tmp_path / "many.html"
    assert write_page(run, path, 20) < 20 * MIB
    graded = run.read("graded", 1, ["verdict", "finish_reason"])
    with opened(browser, path) as page:
        (told,) = re.findall(r"holds ([0-9,]+) of 100,000", page.text_content("#held"))
        held = int(told.replace(",", ""))
        assert held > 3_900
        for name, number in count(graded, "verdict").items():
            assert choose(page, verdict=name).endswith(f" here of {number:,} in the run.")
        assert choose(page, finish="length").endswith(" here of 2,000 in the run.")
        choose(page)
        # The list is as long as it says, and only what is seen of it is there.
        assert 0 < page.locator(".row").count() < 60
        page.locator("#list").evaluate("list => list.scrollTop = list.scrollHeight")
        page.wait_for_selector(f'.row[aria-posinset="{held}"]')
        assert page.locator(".row").count() < 60
        page.locator(".row").last.click()
        assert len(page.wait_for_selector(".ticks").inner_text().split()) == SAMPLES


@pytest.mark.parametrize("done", ["nothing", "sampled", "measured"])
def test_a_run_under_way_has_a_page(browser, tmp_path, done):
    run = new_run(tmp_path / "run")
    if done != "nothing":
        prepare(run, answers=ANSWERS)
        evaluate(run, 0, ANSWERS)
    if done == "sampled":
        sample(run, 1, [("p0", RIGHT, "stop", 0.5), ("p1", WRONG, "length", 0.5)])
    path = tmp_path / "run.html"
    path.write_text(page_of(run, 20))
    with opened(browser, path, waits=done != "nothing") as page:
        assert "Nothing to compare yet" in page.get_by_test_id("answer").inner_text()
        if done == "sampled":
            assert choose(page, verdict="not graded") == "2 here of 2 in the run."


def test_a_page_that_is_served_says_when_the_run_has_gone_on(browser, tmp_path):
    run = new_run(tmp_path / "run")
    prepare(run, answers=ANSWERS)
    with serve(run) as server, opened(browser, server.address, waits=False) as page:
        assert page.locator("#newer").count() == 0
        evaluate(run, 0, ANSWERS)
        page.wait_for_selector("#newer")
        page.click("#newer button")
        page.wait_for_selector("body[data-ready]")
        assert page.locator("#newer").count() == 0
        assert page.text_content("#count") == "6 here of 6 in the run."


def test_the_page_of_a_comparison_is_as_open_to_all(browser, tmp_path):
    whole, runs = begin(tmp_path / "arms", "evaluate.n=4", seeds=[0])
    for place, each in enumerate(runs):
        make(each.run, draw((1, 2, 1, 1, 1), 0), draw((1 + 3 * place, 2, 1, 1, 1), place + 1))
    compared = of_arms(tmp_path / "arms", whole, runs)
    path = tmp_path / "comparison.html"
    path.write_text(comparison_page(compared, list(figures(compared))))
    for width, scheme in zip(WIDTHS, ("light", "dark", "light"), strict=True):
        size = {"width": width, "height": 900}
        with opened(browser, path, waits=False, viewport=size, color_scheme=scheme) as page:
            for each in page.locator("details > summary").all():
                each.evaluate("summary => summary.parentElement.open = true")
            wide, inner = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
            assert wide <= inner
            assert page.locator(".flips strong").count() > 0
            if width == WIDTHS[-1]:
                results = Axe().run(page)
                assert results.violations_count == 0, results.generate_report()
