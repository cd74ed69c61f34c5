"""The page in a real Chromium: it loads nothing, counts as the tables do, and runs nobody's words.

Run: python -m pytest tests/pipelines/readers/page/test_browser.py -m slow
"""

import re
from pathlib import Path

import polars as pl
import pytest
from axe_playwright_python.sync_playwright import Axe

from pipelines.readers.page.page import write_page
from rft.runs.folder import Run
from tests.pages import WIDTHS, choose, count, opened, until
from tests.small_run import RIGHT, WRONG
from tests.token_run import make_run

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("with_characters")]


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


def column(page, name: str) -> list:
    """Give a column of what is listed, in its order."""
    return page.evaluate(f"order.map((row) => value({name!r}, row))")


# What is there ------------------------------------------------------------------------------------


def test_each_section_is_there_and_seen(browser, path):
    with opened(browser, path) as page:
        wanted = ["result", "problems", "funnel", "chosen", "entropy", "tokens", "stopping", "cost"]
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
        button = page.locator("#result .terms button", has_text="Pass@k").first
        button.click()
        told = page.locator(f"#{button.get_attribute('popovertarget')}")
        assert told.is_visible()
        assert "at least one of k answers" in told.inner_text()
        page.keyboard.press("Escape")
        assert not told.is_visible()


def test_a_mark_of_a_chart_tells_its_numbers_to_a_mouse(browser, path):
    with opened(browser, path) as page:
        point = page.locator("#figure-pass-at-k-test svg [aria-roledescription=point]").last
        assert not page.locator("#tip").is_visible()
        point.hover()
        assert page.locator("#tip").inner_text() == point.get_attribute("aria-label")
        assert "; problems solved by one of k: " in page.locator("#tip").inner_text()
        page.mouse.move(5, 5)
        assert not page.locator("#tip").is_visible()


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
            page.locator("#count", has_text=f"{number} here of {number} in the run.").wait_for()
            assert page.text_content("#count") == f"{number} here of {number} in the run."
        assert page.locator("#rollouts h2").is_visible()


def test_an_address_shows_what_its_writer_saw(browser, path):
    with opened(browser, path) as page:
        choose(page, kind="round", verdict="wrong", q="so", sort="tokens", min_tokens=20)
        page.locator(".row").nth(1).click()
        page.click("text=List this problem")
        page.select_option("#tint", "none")
        until(page, "!$('completion').querySelector('[style]')")
        seen = view_of(page)
        address = page.evaluate("location.hash")
        named = set(re.findall(r"[?&](\w+)=", address))
        assert {"problem", "tint", "id", "q", "sort", "min_tokens", "verdict"} <= named
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
    with opened(browser, path, f"#rollouts?id={ids[0]}", color_scheme=scheme) as page:
        page.wait_for_selector("#detail .ticks")
        page.click("#beside")
        page.wait_for_selector(".beside > div")
        results = Axe().run(page)
        assert results.violations_count == 0, results.generate_report()


# The colours of a letter and of what it stands on, as shares of red, green and blue; a page says
# them as rgb() in 255ths, or as color(srgb ...) where it mixed them, with how far they cover.
COLOURS = """all => all.map((part) => {
  const read = (text) => {
    const [red, green, blue, cover = 1] = text.match(/[\\d.]+(?:e-\\d+)?/g).map(Number);
    const whole = text.startsWith("rgb") ? 255 : 1;
    return [red / whole, green / whole, blue / whole, cover];
  };
  const ground = read(getComputedStyle(part.parentElement).backgroundColor);
  const tint = read(getComputedStyle(part).backgroundColor);
  const seen = [0, 1, 2].map((each) => tint[each] * tint[3] + ground[each] * (1 - tint[3]));
  return [read(getComputedStyle(part).color).slice(0, 3), seen];
})"""


def luminance(colour: list[float]) -> float:
    """Compute what WCAG 2 calls the relative luminance."""
    linear = [
        each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in colour
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_tokens_can_be_read_on_any_tint(browser, path, ids, scheme):
    # axe looks at no ground that is mixed.
    with opened(browser, path, f"#rollouts?id={ids[0]}", color_scheme=scheme) as page:
        page.wait_for_selector("#detail .ticks")
        pairs = page.get_by_test_id("completion").locator("[data-i]").evaluate_all(COLOURS)
        assert len({str(ground) for _, ground in pairs}) > 5
        for pair in pairs:
            darker, lighter = sorted(map(luminance, pair))
            assert (lighter + 0.05) / (darker + 0.05) >= 4.5


def test_on_paper_there_are_the_sections_without_what_needs_a_hand(browser, path):
    with opened(browser, path) as page:
        page.emulate_media(media="print")
        for name in ("#browser", "#filters", "nav", "#count"):
            assert not page.locator(name).is_visible()
        for name in ("result", "funnel", "provenance"):
            assert page.get_by_test_id(name).is_visible()


def test_without_scripts_all_but_the_rollouts_can_be_read(browser, path):
    with opened(browser, path, waits=False, java_script_enabled=False) as page:
        for name in ("result", "funnel", "cost"):
            assert page.get_by_test_id(name).is_visible()
        assert page.locator("noscript p").is_visible()
        for name in ("#browser", "#filters", "#keys"):
            assert not page.locator(name).is_visible()
        page.locator("#result summary").first.click()
        assert page.locator("#result details table").first.is_visible()
