"""Every number of a comparison is what counting by hand gives, and none is told that is not known.

Values are counted in tests/compared_runs.py; what an interval makes of them is `two_level`, which
has its own tests.
"""

import io
import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from pipelines.readers.comparison.files import as_tree, csv_of
from pipelines.readers.comparison.side_by_side import (
    OnBenchmark,
    SideBySide,
    scaled_interval,
    scaled_intervals,
)
from pipelines.readers.comparison.sources import of_arms, of_runs
from pipelines.readers.comparison.text import reach, text_of
from rft.errors import RFTError
from rft.measuring.pass_at_k import Interval
from rft.measuring.two_level import crossed_interval, crossed_intervals, estimates, holm, p_values
from rft.recipe.limits import Limits
from tests.compared_runs import (
    begin,
    by_hand,
    draw,
    everywhere,
    luck_by_hand,
    make,
    rows_of,
    unsolved_by_hand,
)

SEEDS = (0, 5)
METRICS = ("pass@1", "pass@2", "pass@4", "maj@4", "lenient", "boxed")
METRICS += ("distinct", "answer entropy", "entropy")
OTHERS = ("entropy", "noise", "same")
near = pytest.approx


@pytest.fixture(scope="module")
def compared(known) -> SideBySide:
    return known.side_by_side()


def values(known, arm, benchmark, metric):
    """Count an arm's values, a row for each seed."""
    if arm == "base":
        return np.array([by_hand(known.base[seed], benchmark, metric, 0) for seed in SEEDS])
    return np.array([by_hand(known.after[arm, seed], benchmark, metric, 1) for seed in SEEDS])


def unit(metric, rows):
    """Give what brings values within -1 to 1: nothing of shares, of others their largest."""
    return np.abs(rows).max() if metric in ("distinct", "answer entropy", "entropy") else 1.0


def spread(metric, rows, *, change):
    """Give mean and interval of values."""
    scale = unit(metric, rows)
    told = crossed_interval(rows / scale, seed=0, change=change)
    return [scale * part for part in (told.value, told.low, told.high)]


def bounds(told: Interval) -> list[float]:
    return [told.value, told.low, told.high]


@pytest.mark.parametrize("benchmark", ["easy", "hard"])
@pytest.mark.parametrize("metric", METRICS)
def test_each_number_is_that_counted_by_hand(known, compared, benchmark, metric):
    here = compared.on[benchmark]
    rows = {row.arm: row for row in here.rows(next(m for m in here.metrics if m.name == metric))}
    assert list(rows) == ["base", "rules", *OTHERS]
    control = values(known, "rules", benchmark, metric)
    differences = [values(known, arm, benchmark, metric) - control for arm in OTHERS]
    scale = unit(metric, differences)
    together = [each / scale for each in differences]
    chances, joint = holm(p_values(together)), crossed_intervals(together, seed=0)
    alone = crossed_intervals(together, seed=0, at_once=False)
    for arm, row in rows.items():
        own = values(known, arm, benchmark, metric)
        assert row.seeds == 2
        assert row.mean.value == near(own.mean())
        assert bounds(row.mean) == near(spread(metric, own, change=False), abs=1e-9)
        if arm == "base":
            assert row.change is None
        else:
            change = own - values(known, "base", benchmark, metric)
            assert bounds(row.change) == near(spread(metric, change, change=True), abs=1e-9)
        if arm in ("base", "rules"):
            assert (row.difference, row.joint, row.p) == (None, None, None)
        else:
            place = OTHERS.index(arm)
            expected = [scale * each for each in bounds(alone[place])]
            assert bounds(row.difference) == near(expected, abs=1e-9)
            assert row.joint.low <= row.difference.low <= row.difference.high <= row.joint.high
            expected = [scale * each for each in bounds(joint[place])]
            assert bounds(row.joint) == near(expected, abs=1e-9)
            assert row.p == near(chances[place])


@pytest.mark.parametrize("size", [0.02, 50.0])
def test_how_wide_an_interval_is_does_not_hang_on_the_unit(known, size):
    rows = values(known, "noise", "easy", "entropy")
    one, other = (
        bounds(scaled_interval(size_of * rows, 0, share=False)) for size_of in (1.0, size)
    )
    assert other == near([size * part for part in one])
    both = [rows, values(known, "entropy", "easy", "entropy")]
    one, other = (
        scaled_intervals([size_of * each for each in both], 0, share=False)
        for size_of in (1.0, size)
    )
    for mine, theirs in zip(one, other, strict=True):
        assert bounds(theirs) == near([size * part for part in bounds(mine)])


def test_csv_and_json_have_the_same_numbers_and_all_of_them(compared):
    tree = as_tree(compared)
    table = pl.read_csv(io.StringIO(csv_of(compared)))
    lines = [
        {"benchmark": name, **row}
        for name, benchmark in tree["benchmarks"].items()
        for row in benchmark["rows"]
    ]
    assert len(lines) == 2 * len(METRICS) * 5
    # The others are of what an arm solves at all: tests/pipelines/readers/comparison/test_files.py.
    assert len(table) == len(lines) + 2 * 4 * 7
    table = table.filter(pl.col("metric").is_in([*METRICS]))
    for line, row in zip(lines, table.iter_rows(named=True), strict=True):
        assert list(row) == list(line)
        for name, value in line.items():
            assert row[name] == (near(value) if isinstance(value, float) else value), name
    rows = {(line["benchmark"], line["metric"], line["arm"]): line for line in lines}
    for name, here in compared.on.items():
        for row in (row for metric in here.metrics for row in here.rows(metric)):
            line = rows[name, row.metric.name, row.arm]
            for sort in ("mean", "change", "difference", "joint"):
                told = getattr(row, sort)
                parts = [line[f"{sort}_{part}"] for part in ("value", "low", "high")]
                assert parts == ([None] * 3 if told is None else bounds(told))
    assert tree["runs"] == {"done": 8, "wanted": 8}
    assert [(one["seed"], one["model"]) for one in tree["arms"]["noise"]] == [(0, 1), (5, 1)]
    assert json.loads(json.dumps(tree, allow_nan=False)) == tree


def test_text_has_the_numbers_too(compared):
    lines = text_of(compared).splitlines()

    def cell(part: Interval) -> str:
        return "{:.1f} [{:.1f}; {:.1f}]".format(*(100 * each + 0.0 for each in bounds(part)))

    for here in compared.on.values():
        first, last = (here.rows(here.metric(name)) for name in ("pass@1", "pass@4"))
        for one, four in zip(first, last, strict=True):
            assert any(cell(one.mean) in line and cell(four.mean) in line for line in lines)
            if one.joint is not None:
                whole = (cell(one.change), cell(one.difference), cell(one.joint), f"{one.p:.3f}")
                assert any(all(part in line for part in whole) for line in lines), one.arm


@pytest.mark.parametrize("benchmark", ["easy", "hard"])
def test_what_is_solved_at_all_is_that_counted_by_hand(known, compared, benchmark):
    head, *rows = reach(compared.on[benchmark]).rows
    assert head[:4] == ["arm", "samples", "never solved", "by no seed"]
    for arm, row in zip(("rules", *OTHERS), rows, strict=True):
        after = [known.after[arm, seed] for seed in SEEDS]
        of_seeds = []  # unsolved, gained, by luck, lost, by luck
        for seed, own in zip(SEEDS, after, strict=True):
            never, left = (unsolved_by_hand([each], benchmark) for each in (known.base[seed], own))
            gained, missed = luck_by_hand([known.base[seed]], [own], benchmark)
            of_seeds.append((len(left), len(never - left), gained, len(left - never), missed))
        assert row[:2] == ["rules (control)" if arm == "rules" else arm, "4"]
        assert row[3] == str(len(unsolved_by_hand(after, benchmark)))
        told = [float(part.strip("()")) for cell in (row[2], *row[4:6]) for part in cell.split()]
        assert told == near(np.mean(of_seeds, 0), abs=0.0501)
        ahead = values(known, "base", benchmark, "pass@1") - values(known, arm, benchmark, "pass@1")
        if arm == "noise":
            assert ahead.mean() > 0
            assert row[6].startswith("1 [1; ")
        if arm == "entropy":
            assert row[6] == "none up to 4"


def test_claims_are_judged_by_intervals_that_hold_all_at_once(known, compared):
    judged = compared.on["easy"].judged()
    claims = [("entropy", "rules", "pass@1")] * 2
    claims += [("same", "rules", "pass@4"), ("noise", "base", "maj@3")]
    each = 1 - 0.95 ** (1 / 4)
    for one, (arm, against, metric) in zip(judged, claims, strict=True):
        arms = [name for name in ("rules", *OTHERS) if name != against]
        minus = values(known, against, "easy", metric)
        differences = [values(known, name, "easy", metric) - minus for name in arms]
        own = estimates(differences)[arms.index(arm)]
        mean = differences[arms.index(arm)].mean()
        far = own.reach(each) * own.error
        low, high = max(min(own.centre - far, mean), -1), min(max(own.centre + far, mean), 1)
        assert bounds(one.difference) == near([mean, low, high])
        assert one.against == against
    narrow = judged[-1].difference
    assert [one.verdict for one in judged] == [
        "supported",
        "contradicted",
        "cannot tell",
        "supported" if narrow.high < 0 else "cannot tell",
    ]


def test_a_claim_made_twice_is_told_no_more_surely_of_it(known):
    def width(claims: dict) -> float:
        of = SideBySide("x", "rules", known.side_by_side().arms, 0, claims=claims)
        told = of.on["easy"].judged()[0].difference
        return told.high - told.low

    one = known.whole.compare.claims["alike"]
    assert width({"one": one, "two": one}) > width({"one": one})


def test_the_same_answers_under_another_name_differ_by_exactly_nothing(compared):
    for here in compared.on.values():
        for metric in here.metrics:
            rows = {row.arm: row for row in here.rows(metric)}
            assert rows["same"].difference.value == 0
            assert rows["same"].joint.value == 0
            assert rows["same"].p == 1
            assert rows["same"].mean == rows["rules"].mean


def test_an_arm_that_is_left_out_widens_nothing_and_is_named(known):
    whole = known.side_by_side()
    told = whole.without(["noise"])
    assert list(told.arms) == ["rules", "entropy", "same"]
    assert list(told.claims) == ["better", "worse", "alike"]
    assert text_of(told).startswith("arms-of-mine without noise: 3 arms, each held against")
    assert "UNFINISHED" not in text_of(told)
    fewer = replace(whole, arms={arm: whole.arms[arm] for arm in told.arms})
    one, other = (each.on["easy"].rows(told.on["easy"].metrics[0]) for each in (told, fewer))
    assert [replace(row, metric=None) for row in one] == [
        replace(row, metric=None) for row in other
    ]
    assert whole.without([]) is whole
    with pytest.raises(RFTError, match="--without nosie: no arm that is measured; those are rules"):
        whole.without(["nosie"])
    with pytest.raises(RFTError, match="--without rules: all others are held against it"):
        whole.without(["rules"])


def limited(each, stop):
    """Give an arm's run a limit."""
    recipe = each.run.recipe.model_copy(update={"stop": stop})
    return replace(each, run=replace(each.run, recipe=recipe))


# Unfinished ---------------------------------------------------------------------------------------


def test_hours_are_said_to_be_no_equal_budget(known):
    def remarks(**stop) -> str:
        runs = [limited(each, Limits(**stop)) for each in known.runs]
        return " ".join(of_arms(known.folder, known.whole, runs).remarks)

    assert "limits hours" in remarks(hours=2)
    assert "limits hours" in remarks(gpu_hours=2)
    assert remarks(tokens=2) == ""


def test_where_no_run_is_done_nothing_is_told(known, tmp_path):
    none = known.part(tmp_path, []).side_by_side()
    assert text_of(none).splitlines()[1:] == ["  none of 8 runs is done yet"]
    assert csv_of(none) == ""
    assert as_tree(none)["benchmarks"] == {}


def test_without_the_control_there_are_means_and_changes_but_no_differences(known, tmp_path):
    part = known.part(tmp_path, everywhere(["entropy", "noise"], SEEDS)).side_by_side()
    here = part.on["easy"]
    for name in ("pass@1", "maj@4"):
        rows = {row.arm: row for row in here.rows(here.metric(name))}
        assert list(rows) == ["base", "entropy", "noise"]
        assert rows["base"].mean.value == near(values(known, "base", "easy", name).mean())
        for arm in ("entropy", "noise"):
            row = rows[arm]
            assert (row.difference, row.joint, row.p) == (None, None, None)
            assert row.mean.value == near(values(known, arm, "easy", name).mean())
            assert row.change.value == near(
                (values(known, arm, "easy", name) - values(known, "base", "easy", name)).mean()
            )
    verdicts = {each.name: each.verdict for each in here.judged()}
    assert verdicts["better"] == verdicts["alike"] == "not measured"
    assert verdicts["narrow"] != "not measured"
    told = text_of(part)
    assert "UNFINISHED: 4 of 8 runs are done" in told
    assert "no run of the control, rules, is done" in told


def test_some_seeds_of_some_arms_are_compared_at_the_seeds_that_both_have(known, tmp_path):
    done = [("rules", 0), ("rules", 5), ("entropy", 5), ("noise", 0)]
    here = known.part(tmp_path, done).side_by_side().on["hard"]
    rows = {row.arm: row for row in here.rows(here.metric("pass@2"))}
    assert {arm: row.seeds for arm, row in rows.items()} == {
        "base": 2,
        "rules": 2,
        "entropy": 1,
        "noise": 1,
    }
    for arm, place in (("entropy", 1), ("noise", 0)):
        own = values(known, arm, "hard", "pass@2")[place]
        control = values(known, "rules", "hard", "pass@2")[place]
        assert rows[arm].mean.value == near(own.mean())
        assert rows[arm].difference.value == near((own - control).mean())
    assert "same" not in rows
    # No seed in common: a mean each, and no difference.
    other = known.part(tmp_path / "other", [("rules", 0), ("entropy", 5)]).side_by_side()
    here = other.on["hard"]
    rows = {row.arm: row for row in here.rows(here.metric("pass@1"))}
    assert rows["entropy"].difference is None
    assert rows["entropy"].change is not None
    assert text_of(other)


def test_of_one_seed_it_is_said_that_another_may_give_something_else(known, tmp_path):
    part = known.part(tmp_path, everywhere(["rules", "entropy"], [5])).side_by_side()
    assert "of one run each: another seed may give something else" in text_of(part)


def test_a_run_of_other_settings_is_not_taken_for_the_one_that_is_wanted(known, tmp_path):
    part = known.part(tmp_path, everywhere(["rules", "entropy"], SEEDS))
    path = part.run("entropy", 0).path / "recipe.yaml"
    path.write_text(path.read_text().replace("by: entropy", "by: branching"))
    assert len(part.side_by_side().arms["entropy"]) == 1


# What is not known, or not alike ------------------------------------------------------------------


def changed(known, change) -> OnBenchmark:
    """Compare two arms of which one has other answers."""
    whole = known.side_by_side()
    one, other = whole.arms["rules"][0], whole.arms["entropy"][0]
    other = replace(other, answers=change(other.answers))
    return SideBySide("x", "rules", {"rules": [one], "entropy": [other]}, 0).on["easy"]


def test_an_earlier_version_that_told_no_classes_is_not_taken_for_always_wrong(known):
    here = changed(known, lambda rows: rows.with_columns(answer_class=pl.lit(None, pl.Int32)))
    assert [metric.name for metric in here.metrics] == [
        *("pass@1", "pass@2", "pass@4", "lenient", "boxed", "entropy")
    ]
    assert "maj@" not in text_of(here.whole)
    here = changed(known, lambda rows: rows.with_columns(verdict_lenient=pl.lit(None, pl.String)))
    assert "lenient" not in [metric.name for metric in here.metrics]
    here = changed(known, lambda rows: rows.with_columns(mean_entropy=pl.lit(None, pl.Float32)))
    assert "entropy" not in [metric.name for metric in here.metrics]


def test_with_unequal_numbers_of_samples_only_what_they_do_not_bias_is_compared(known):
    texts = {place: given + given[:3] for place, given in known.after["entropy", 0].items()}
    texts["easy", "easy3"] = texts["easy", "easy3"][:5]
    here = changed(known, lambda rows: pl.DataFrame(rows_of(texts, 1)).cast(dict(rows.schema)))
    assert here.samples == 4
    assert here.ks == [1, 2, 4]
    names = [metric.name for metric in here.metrics]
    assert "maj@4" in names
    assert not {"distinct", "answer entropy"} & set(names)
    for name in ("pass@1", "pass@2", "pass@4", "maj@4"):
        row = here.rows(here.metric(name))[-1]
        assert row.arm == "entropy"
        assert row.mean.value == near(np.mean(by_hand(texts, "easy", name, 1)))


def test_other_problems_are_refused_in_one_line(known):
    with pytest.raises(Exception, match="entropy was measured on other problems of easy than rul"):
        changed(known, lambda rows: rows.filter(pl.col("problem_id") != "easy3"))


def test_a_benchmark_that_only_some_were_measured_on_is_left_out_and_named(known):
    whole = known.side_by_side()
    one, other = whole.arms["rules"][0], whole.arms["entropy"][0]
    less = other.answers.filter(pl.col("benchmark") == "easy")
    other = replace(other, answers=less)
    part = SideBySide("x", "rules", {"rules": [one], "entropy": [other]}, 0)
    assert part.benchmarks == ["easy"]
    assert "not told of hard: only some were measured on it" in text_of(part)


def test_arms_that_are_asked_in_another_way_have_no_base_in_common(tmp_path):
    arms = {"rules": {}, "cold": {"evaluate.temperature": 0.5}}
    whole, runs = begin(tmp_path / "arms", seeds=[0], arms=arms)
    base = {arm: draw((1, 1, 1, 1, 1), place) for place, arm in enumerate(arms)}
    after = {arm: draw((2, 1, 1, 1, 1), place + 7) for place, arm in enumerate(arms)}
    for each in runs:
        make(each.run, base[each.arm], after[each.arm])
    compared = of_arms(tmp_path / "arms", whole, runs)
    here = compared.on["easy"]
    rows = {row.arm: row for row in here.rows(here.metric("pass@1"))}
    assert list(rows) == ["rules", "cold"]
    for arm, row in rows.items():
        own, before = (np.mean(by_hand(texts[arm], "easy", "pass@1", 1)) for texts in (after, base))
        assert row.change.value == near(own - before)
    assert "NOT ALIKE: temperature differs: 1.0 (rules); 0.5 (cold)" in text_of(compared)


def test_runs_that_are_named_are_compared_as_arms_of_one(known):
    paths = [str(known.run(arm, 0).path) for arm in ("rules", "entropy")]
    compared = of_runs([*paths, f"{paths[0]}@0"])
    names = ["rules/seed-0", "entropy/seed-0", "rules/seed-0@0"]
    assert list(compared.arms) == names
    assert compared.control == names[0]
    here = compared.on["easy"]
    rows = {row.arm: row for row in here.rows(here.metric("pass@1"))}
    expected = np.mean(by_hand(known.after["entropy", 0], "easy", "pass@1", 1))
    assert rows[names[1]].mean.value == near(expected)
    assert rows[names[2]].change.value == 0
    assert rows["base"].mean.value == rows[names[2]].mean.value
