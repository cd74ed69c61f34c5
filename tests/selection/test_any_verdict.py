"""Pins `select.verdicts: any`: raw samples as positives, whatever their verdict, and said so."""

import pytest

from pipelines.readers.report import text_report
from pipelines.readers.show import listing
from pipelines.readers.why import why
from rft.errors import RFTError
from rft.recipe.loading import load_recipe
from rft.runs.schemas import VERDICTS
from rft.selection.choice import select
from rft.selection.composition import composition
from rft.selection.narrow import narrow
from rft.selection.ranking import may_lack, ranked_by
from tests.kept_rows import choice, chosen, ids, kept, many
from tests.small_run import RIGHT, WRONG, do, grade, new_run, prepare, sample, sft

RAW = ("select.verdicts=any", "select.noise=0", "select.by=random", "filter={}")
SAMPLES = [
    ("p0", "a1 " + RIGHT, "stop", 0.5),
    ("p0", "b2 " + WRONG, "stop", 0.75),
    ("p0", "no box, and cut in the mid", "length", 0.25),
    ("p1", "no box, but it ended", "stop", 0.25),
    ("p1", "", "error", None),
    ("p1", "c3 \\boxed{}", "stop", 2.0),
]


def test_a_sample_of_any_verdict_may_be_a_positive():
    frame = kept(*({"verdict": verdict, "mean_entropy": 1.0} for verdict in VERDICTS))
    made = chosen(frame, verdicts="any")
    assert set(made.rows["verdict"]) == set(VERDICTS)
    assert set(made.rows["role"]) == {"positive"}
    assert made.dropped == {}
    assert chosen(frame).dropped == {
        "noise not wanted": 1, **{f"verdict {name}": 1 for name in VERDICTS[2:]}
    }  # fmt: skip


def test_the_order_is_over_all_of_them_together():
    frame = many(20, 20)
    made = chosen(frame, verdicts="any", budget=15)
    assert ids(made) == frame.sort("mean_entropy", descending=True)["rollout_id"][:15].to_list()
    within = chosen(frame, verdicts="any", budget=15, within="problem", per_problem=2)
    assert set(within.rows["turn"]) <= {0, 1}


def test_chance_takes_right_and_wrong_as_often_as_they_are():
    frame = many(300, 700)
    shares = [
        (chosen(frame, seed=seed, by="random", verdicts="any", budget=200).rows["verdict"]
         == "correct").mean()
        for seed in range(20)
    ]  # fmt: skip
    # The standard error of the mean over 20 draws of 200 out of 1,000 is 0.65 points.
    assert sum(shares) / 20 == pytest.approx(0.3, abs=0.026)


def test_what_has_no_text_is_passed_over_by_name():
    rows = [{"response": text, "mean_entropy": 1.0} for text in ("", " \n", "x")]
    made = chosen(kept(*rows), verdicts="any")
    assert ids(made) == ["r0002"]
    assert made.dropped == {"empty": 2}
    assert chosen(kept(*rows)).dropped == {}
    with pytest.raises(RFTError, match="select: no sample with a text to train on"):
        select(kept(*rows[:2]), settings=choice(verdicts="any"), seed=0)
    lone = kept({"mean_entropy": 1.0}).drop("response")
    assert len(select(lone, settings=choice(verdicts="any"), seed=0).rows) == 1


def test_too_few_are_told_of_without_any_noise():
    made = chosen(many(3, 4), verdicts="any", budget=10)
    assert made.shortfall == (
        "short of samples: only 7 positive of 10 wanted; took 7 of 10; noise is 0.0% of that, 0.0% "
        "was asked"
    )


def test_noise_beside_them_means_nothing():
    with pytest.raises(RFTError, match=r"verdicts is any.*noise is 0\.05.*set noise: 0$") as told:
        load_recipe("quickstart", ["select.verdicts=any"])
    assert "\n" not in str(told.value)
    assert load_recipe("quickstart", ["select.verdicts=any", "select.noise=0"])


def test_what_ranks_needs_its_statistic_for_every_verdict():
    recipe = load_recipe("smoke", ["select.verdicts=any", "select.noise=0", "select.by=entropy"])
    assert ranked_by(recipe.select) == dict.fromkeys(VERDICTS, "mean_entropy")
    assert not may_lack(recipe)
    off = ["sample.statistics.entropy=false", "select.verdicts=any", "select.noise=0"]
    assert may_lack(load_recipe("smoke", [*off, "select.by=entropy"]))


def test_the_pool_is_all_that_was_kept():
    frame = many(5, 8)
    made = chosen(frame, verdicts="any", budget=3)
    rates = dict.fromkeys(frame["problem_id"], 0.5)
    taken = frame["rollout_id"].is_in(made.rows["rollout_id"].to_list())
    parts = composition(narrow(frame, choice()), taken, rates, choice(verdicts="any", budget=3))[
        "roles"
    ]
    assert parts["positive"]["pool"]["rows"] == 13
    assert parts["positive"]["selected"]["rows"] == 3
    assert parts["noise"]["pool"]["rows"] == 0


def raw_run(path):
    run = new_run(path, *RAW, "select.per_problem=null")
    prepare(run, answers={})
    sample(run, 1, SAMPLES)
    grade(run, 1, SAMPLES)
    do(run, "filter", 1)
    do(run, "select", 1)
    return run


def test_a_round_without_rules_and_verifier_selects_all_that_was_sampled(tmp_path):
    run = raw_run(tmp_path / "run")
    selected = run.read("selected", 1)
    assert sorted(selected["verdict"]) == [
        "correct",
        "no_answer",
        "no_answer",
        "no_answer",
        "wrong",
    ]
    told = {
        row["sample_index"]: why(run, row)
        for row in listing(run).filter(problem_id="p1").to_dicts()
    }
    assert (
        "kept: passes all of no rules; selected as positive (select.verdicts: any), drawn"
        in told[0]
    )
    assert told[1].endswith("but not selected: empty: there is no text in it to learn")
    sft(run, 1)
    report = " ".join(text_report(run).split())
    assert "5 = 1 correct + 1 wrong + 3 no_answer" in report
    assert "round 1 kept selected samples 6 5" in report
    assert "out of the `pool`: kept." in report


def test_a_run_of_before_has_the_key_that_it_had(tmp_path):
    from pipelines import selection

    plain = new_run(tmp_path / "plain")
    assert "verdicts" not in selection.settings(plain, 1)["select"]
    raw = new_run(tmp_path / "raw", *RAW)
    assert selection.settings(raw, 1)["select"]["verdicts"] == "any"


# Other controls -----------------------------------------------------------------------------------


def test_positives_without_rules_and_a_random_choice_of_what_passes_them_are_recipes(tmp_path):
    for number, settings in enumerate([("filter={}",), ()]):
        run = new_run(tmp_path / f"{number}", "select.noise=0", "select.by=random", *settings)
        prepare(run, answers={})
        sample(run, 1, SAMPLES)
        grade(run, 1, SAMPLES)
        do(run, "filter", 1)
        do(run, "select", 1)
        assert run.read("selected", 1)["verdict"].to_list() == ["correct"]
        assert len(run.read("rejected", 1)) == (0 if settings else 4)
