"""The page in a real Chromium: it loads nothing, counts as the tables do, and runs nobody's words.

Run: python -m pytest tests/pipelines/readers/page/test_browser.py -m slow
"""

import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest

from pipelines.readers import tokens
from pipelines.readers.comparison.figures import figures
from pipelines.readers.comparison.sources import of_arms
from pipelines.readers.page import rollouts
from pipelines.readers.page.comparison import comparison_page
from pipelines.readers.page.page import MIB, page_of, write_page
from rft.runs.folder import Run
from rft.seeds import digest
from tests.compared_runs import begin, draw, make
from tests.pipelines.readers.page.test_serving import serve
from tests.small_run import RIGHT, WRONG, do, evaluate, grade, new_run, prepare, sample, solved
from tests.token_run import CHARACTERS, make_run

pytestmark = pytest.mark.slow

WIDTHS = (390, 800, 1440)
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


@pytest.fixture(scope="module")
def browser():
    """Start a Chromium for all tests here: skipped without one, unless there has to be one."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        if os.environ.get("RFT_BROWSER") == "required":
            pytest.fail("RFT_BROWSER=required, and there is no chromium on the path")
        pytest.skip("no chromium on the path")
    playwright = pytest.importorskip("playwright.sync_api")
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with (
        playwright.sync_playwright() as driver,
        driver.chromium.launch(executable_path=program, args=options) as started,
    ):
        yield started


@contextmanager
def opened(browser, address: str | Path, choice: str = "", *, waits: bool = True, **options):
    """Open a page; whatever is done with it, it asks for nothing and complains of nothing."""
    url = address.as_uri() if isinstance(address, Path) else address
    asked, said = [], []
    context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}} | options)
    page = context.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(dialog.message) or dialog.dismiss())
    page.goto(f"{url}{choice}")
    if waits:
        page.wait_for_selector("body[data-ready]")
    yield page
    assert {each.partition("#")[0] for each in asked} <= {url, f"{url}state"}
    assert said == []
    context.close()


@pytest.fixture(scope="module", autouse=True)
def with_texts() -> Iterator[None]:
    """Have a character be a token, as the runs here say."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (rollouts, tokens):
            patch.setattr(module, "token_texts", lambda _run: CHARACTERS)
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    return make_run(tmp_path_factory.mktemp("browser") / "run", whole=True)


@pytest.fixture(scope="module")
def path(run) -> Path:
    path = run.path.parent / "run.html"
    write_page(run, path, 20)
    return path


@pytest.fixture(scope="module")
def ids(run) -> list[str]:
    """List rollouts that are opened: a selected one and a rejected one."""
    chosen = run.read("selected", 1, ["rollout_id", "rank"]).sort("rank")["rollout_id"][0]
    return [chosen, *run.read("rejected", 1, ["rollout_id"])["rollout_id"][:1]]


def until(page, holds: str) -> None:
    """Wait until an expression holds; the page's own policy forbids Playwright's way."""
    page.evaluate(
        "() => new Promise((done, fail) => { setTimeout(() => fail(new Error('too long')), 20000);"
        f"const look = () => ({holds}) ? done() : requestAnimationFrame(look); look(); }})"
    )


def choose(page, **fields: object) -> str:
    """Choose by fields, all others cleared, and give what the page says of it."""
    page.click("#clear")
    for name, value in fields.items():
        field = page.locator(f"#filters [name={name}]")
        if field.evaluate("field => field.tagName") == "SELECT":
            field.select_option(str(value))
        else:
            field.fill(str(value))
    until(page, "document.getElementById('count').textContent.includes('here')")
    return page.text_content("#count")


def column(page, name: str) -> list:
    """Give a column of what is listed, in its order."""
    return page.evaluate(f"order.map((row) => value({name!r}, row))")


# What is there ------------------------------------------------------------------------------------


def test_each_section_is_there_and_seen(browser, path):
    with opened(browser, path) as page:
        wanted = ["work", "problems", "funnel", "chosen", "entropy", "tokens", "stopping", "cost"]
        for name in [*wanted, "provenance", "rollouts"]:
            assert page.get_by_test_id(name).locator("h2").is_visible()
        assert "from the base to model 1" in page.get_by_test_id("answer").inner_text()
        for picture in page.locator("figure svg").all():
            box = picture.bounding_box()
            assert box["width"] > 300
            assert box["height"] > 80
        assert page.evaluate("window.pwned") is None


def test_a_term_is_explained_where_it_is_used(browser, path):
    with opened(browser, path) as page:
        button = page.locator("#work .terms button", has_text="Pass@k").first
        button.click()
        told = page.locator(f"#{button.get_attribute('popovertarget')}")
        assert told.is_visible()
        assert "at least one of k answers" in told.inner_text()
        page.keyboard.press("Escape")
        assert not told.is_visible()


# Choosing -----------------------------------------------------------------------------------------


def test_what_is_chosen_is_as_many_as_the_tables_hold(browser, path, run):
    graded = run.read("graded", 1, ["verdict", "finish_reason", "num_tokens", "rollout_id"])
    measured = pl.concat([run.read("evaluations", n) for n in (0, 1)], how="vertical_relaxed")
    fates = {f"rejected: {n}": c for n, c in count(run.read("rejected", 1), "rejected_by").items()}
    fates |= {
        f"passed over: {n}": c for n, c in count(run.read("passed_over", 1), "reason").items()
    }
    fates |= {f"selected: {n}": c for n, c in count(run.read("selected", 1), "role").items()}
    with opened(browser, path) as page:

        def holds(number: int, **fields: object) -> None:
            assert choose(page, **fields) == f"{number} here of {number} in the run."
            assert len(column(page, "id")) == number

        holds(len(graded) + len(measured))
        for kind, rows in (("round", graded), ("model", measured)):
            for name, number in count(rows, "verdict").items():
                holds(number, kind=kind, verdict=name)
            for name, number in count(rows, "finish_reason").items():
                holds(number, kind=kind, finish=name)
        for name, number in fates.items():
            holds(number, fate=name)
        for number in (0, 1):
            holds(len(run.read("evaluations", number)), kind="model", round=number)
        holds(len(measured), benchmark="test")


def count(rows: pl.DataFrame, name: str) -> Counter:
    return Counter(rows[name])


def test_a_search_looks_into_texts_questions_answers_and_names(browser, path, run):
    texts = dict(run.read("rollouts", 1, ["rollout_id", "completion"]).iter_rows())
    with opened(browser, path) as page:
        for words in ("Wait, check", "hOWEVER x = 3"):
            wanted = {name for name, text in texts.items() if words.lower() in text.lower()}
            assert 0 < len(wanted) < len(texts)
            assert choose(page, kind="round", q=words) == f"{len(wanted)} here."
            assert set(column(page, "id")) == wanted
        assert choose(page, q="What is p3?") == "6 here."
        assert set(column(page, "problem_id")) == {"p3"}
        assert choose(page, q=next(iter(texts))) == "1 here."
        assert choose(page, q="nobody wrote this") == "0 here. Nothing matches; Clear shows all."
        assert page.locator(".row").count() == 0


def test_ranges_take_what_lies_within_and_nothing_unknown(browser, path, run):
    graded = run.read("graded", 1, ["rollout_id", "num_tokens", "mean_entropy"])
    low, high = (int(graded["num_tokens"].quantile(share)) for share in (0.25, 0.75))
    wanted = graded.filter(pl.col("num_tokens").is_between(low, high))
    with opened(browser, path) as page:
        told = choose(page, kind="round", min_tokens=low, max_tokens=high)
        assert told == f"{len(wanted)} here."
        assert set(column(page, "id")) == set(wanted["rollout_id"])
        wanted = graded.filter(pl.col("mean_entropy").cast(pl.Float64).round(4) >= 0.7)
        choose(page, min_entropy=0.7)
        assert set(column(page, "id")) == set(wanted["rollout_id"])


def test_orders_put_the_highest_first_and_selected_ones_before_others(browser, path, run):
    with opened(browser, path) as page:
        for name in ("entropy", "branching", "perplexity", "tokens", "redundancy"):
            choose(page, sort=name)
            values = [-1e9 if each is None else each for each in column(page, name)]
            assert values == sorted(values, reverse=True)
        choose(page, kind="round")
        fates, ranks = column(page, "fate"), column(page, "rank")
        number = len(run.read("selected", 1, ["role"]))
        assert set(fates[:number]) == {"selected: positive"}
        assert ranks[:number] == [*range(number)]
        assert not any(each.startswith("rejected") for each in fates[:-1]) or fates[-1].startswith(
            "rejected"
        )


def test_a_way_from_the_funnel_leads_to_as_many_as_it_says(browser, path):
    with opened(browser, path) as page:
        for way in page.locator("#funnel ul a").all():
            words = way.inner_text()
            way.click()
            number = words.rpartition(" ")[2]
            assert page.text_content("#count") == f"{number} here of {number} in the run."
        assert page.locator("#rollouts h2").is_visible()


def test_an_address_shows_what_its_writer_saw(browser, path):
    with opened(browser, path) as page:
        choose(page, kind="round", verdict="wrong", q="so", sort="tokens", min_tokens=20)
        page.locator(".row").nth(1).click()
        page.select_option("#tint", "none")
        seen = view_of(page)
        address = page.evaluate("location.hash")
    with opened(browser, path, address) as page:
        page.wait_for_selector("#detail .ticks")
        until(page, "document.getElementById('count').textContent.includes('here')")
        assert view_of(page) == seen
        assert page.evaluate("location.hash") == address
    with opened(browser, path, "#rollouts?id=none&verdict=no-such") as page:
        assert "does not hold the rollout none" in page.text_content("#detail")
        assert page.input_value("[name=verdict]") == ""
        page.keyboard.press("h")  # nothing is open, and nothing happens


def view_of(page) -> list[str]:
    names = page.locator("#filters [name]").evaluate_all("all => all.map((each) => each.value)")
    return [*names, page.text_content("#count"), page.text_content("#detail")]


# Reading ------------------------------------------------------------------------------------------


def test_a_rollout_is_shown_with_its_box_its_tail_and_why(browser, path, run, ids):
    for name in ids:
        (row,) = run.read("rollouts", 1).filter(rollout_id=name).to_dicts()
        (graded,) = run.read("graded", 1).filter(rollout_id=name).to_dicts()
        with opened(browser, path, f"#rollouts?id={name}") as page:
            page.wait_for_selector("#detail .ticks")
            shown = page.get_by_test_id("completion")
            assert shown.evaluate("box => box.textContent") == row["completion"]
            box = shown.locator(".box").all_inner_texts()
            assert "".join(box) in (RIGHT[3:], WRONG[3:])
            tail = shown.locator(".tail").evaluate_all(
                "all => all.map(x => x.textContent).join('')"
            )
            assert graded["response"] + tail == row["completion"]
            why = page.get_by_test_id("why").inner_text()
            assert why.startswith("kept: passes" if name == ids[0] else "rejected by")
            assert f"{graded['verdict']}" in page.text_content("#detail dl")


def test_keys_go_through_rollouts_siblings_tints_and_back(browser, path, run):
    with opened(browser, path) as page:
        choose(page, kind="round")
        page.focus("#list")

        def now() -> str:
            until(page, "$('detail').querySelector('.ticks')")
            return page.evaluate("columns.id[chosen]")

        listed = column(page, "id")
        for key, place in (("j", 0), ("j", 1), ("j", 2), ("k", 1), ("ArrowDown", 2), ("End", -1)):
            page.keyboard.press(key)
            assert now() == listed[place]
        assert page.locator(".row[aria-selected=true]").is_visible()
        page.keyboard.press("Home")
        assert now() == listed[0]
        problem = page.evaluate("value('problem_id', chosen)")
        seen = set()
        for key in ["["] * 6 + ["]"] * 6:
            seen.add(now())
            page.keyboard.press(key)
        mine = run.read("rollouts", 1, ["rollout_id", "problem_id"]).filter(problem_id=problem)
        assert seen | {now()} == set(mine["rollout_id"])
        tints = []
        for _ in range(3):
            tints.append(page.wait_for_selector("#tint").evaluate("field => field.value"))
            page.keyboard.press("h")
            until(page, f"$('tint').value !== {tints[-1]!r}")
        assert tints == ["entropy", "none", "entropy"]
        page.keyboard.press("s")
        page.wait_for_selector(".beside > div")
        assert page.locator(".beside > div").count() == len(mine)
        page.keyboard.press("/")
        assert page.evaluate("document.activeElement.id") == "q"
        page.keyboard.press("Escape")
        assert page.evaluate("document.activeElement.id") == "list"


def test_siblings_are_all_answers_to_the_problem_and_can_be_listed(browser, path, run, ids):
    (row,) = run.read("graded", 1).filter(rollout_id=ids[0]).to_dicts()
    mine = run.read("graded", 1).filter(problem_id=row["problem_id"]).sort("sample_index")
    with opened(browser, path, f"#rollouts?id={ids[0]}") as page:
        marks = page.wait_for_selector(".ticks").inner_text().split()
        assert marks == ["✓" if each == "correct" else "✗" for each in mine["verdict"]]
        other = (row["sample_index"] + 1) % len(mine)
        page.locator(".ticks button").nth(other).click()
        until(page, f"columns.sample[chosen] === {other}")
        page.wait_for_selector(f".ticks button:nth-child({other + 1})[aria-current=true]")
        # What was clicked is gone, and keys still go on from there.
        assert page.evaluate("document.activeElement.id") == "detail"
        page.click("text=List this problem")
        assert set(column(page, "problem_id")) == {row["problem_id"]}
        assert page.text_content("#count").startswith(f"{len(mine)} here. Of problem ")
        assert choose(page).endswith("in the run.")


def test_tints_and_numbers_are_those_of_the_tokens(browser, path, run, ids):
    (row,) = run.read("rollouts", 1).filter(rollout_id=ids[0]).to_dicts()
    with opened(browser, path, f"#rollouts?id={ids[0]}") as page:
        parts = page.get_by_test_id("completion").locator("[data-i]")
        assert parts.count() == len(row["token_ids"])
        tinted = parts.evaluate_all("all => all.map((part) => part.style.backgroundColor)")
        shares = [int(re.search(r"(\d+)%", each)[1]) for each in tinted]
        wanted = [round(75 * min(each / 3, 1) ** 0.5) for each in row["entropies"]]
        assert all(abs(a - b) <= 1 for a, b in zip(shares, wanted, strict=True))
        parts.nth(4).hover()
        told = f"token 5: entropy {row['entropies'][4]:.3f} nats, branching -, logprob -"
        assert told in page.text_content("#readout")
        page.focus("#completion")
        page.keyboard.press("ArrowRight")
        assert page.text_content("#readout").count("token 6: ") == 1
        page.focus("#tint")
        page.select_option("#tint", "none")
        until(page, "!$('completion').querySelector('[style]')")
        assert page.evaluate("document.activeElement.id") == "tint"


# Everyone, everywhere -----------------------------------------------------------------------------


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_window(browser, path, ids, width):
    size = {"width": width, "height": 900}
    with opened(browser, path, f"#rollouts?id={ids[0]}", viewport=size) as page:
        page.wait_for_selector("#detail .ticks")
        page.click("#beside")
        page.wait_for_selector(".beside > div")
        for each in page.locator("details > summary").all():
            each.evaluate("summary => summary.parentElement.open = true")
        wide, inner = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert wide <= inner


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_to_complain_of(browser, path, ids, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    with opened(browser, path, f"#rollouts?id={ids[0]}", color_scheme=scheme) as page:
        page.wait_for_selector("#detail .ticks")
        page.click("#beside")
        page.wait_for_selector(".beside > div")
        results = axe.run(page)
        assert results.violations_count == 0, results.generate_report()


def test_on_paper_there_are_the_sections_without_what_needs_a_hand(browser, path):
    with opened(browser, path) as page:
        page.emulate_media(media="print")
        for name in ("#browser", "#filters", "nav", "#count"):
            assert not page.locator(name).is_visible()
        for name in ("work", "funnel", "provenance"):
            assert page.get_by_test_id(name).is_visible()


def test_without_scripts_all_but_the_rollouts_can_be_read(browser, path):
    with opened(browser, path, waits=False, java_script_enabled=False) as page:
        for name in ("work", "funnel", "cost"):
            assert page.get_by_test_id(name).is_visible()
        assert page.locator("noscript p").is_visible()
        for name in ("#browser", "#filters", "#keys"):
            assert not page.locator(name).is_visible()
        page.locator("#work summary").first.click()
        assert page.locator("#work details table").first.is_visible()


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
    from rft.runs import tables

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
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
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
                results = axe.run(page)
                assert results.violations_count == 0, results.generate_report()
