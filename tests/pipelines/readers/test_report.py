"""The report says what the tables hold: numbers checked by hand, sums that add up."""

import json

import polars as pl
import pytest
from click.testing import CliRunner

from pipelines.readers.layout import total
from pipelines.readers.report import examples, text_report
from pipelines.readers.report_scores import answered
from rft.cli import cli
from rft.foreign_text import visible
from rft.measuring.pass_at_k import paired_difference_of, pass_interval
from rft.model_folders.content import MARK
from rft.runs import tables
from rft.runs.folder import Run, open_run, save_recipe
from rft.runs.stages import Job
from rft.seeds import derive
from tests.small_run import (
    RIGHT,
    WRONG,
    do,
    evaluate,
    grade,
    new_run,
    prepare,
    reseal,
    sample,
    solved,
    whole_round,
)

COUNTS = {0: (0, 1, 2, 4), 1: (1, 1, 3, 4)}
REPEATED = "one two three " * 9 + RIGHT
# (problem, completion, finish_reason, mean entropy)
SAMPLES = [
    ("p0", RIGHT + " and so on", "stop", 0.5),
    ("p0", RIGHT, "stop", 0.25),
    ("p0", RIGHT, "stop", 0.25),  # trimmed, the first three are the same
    ("p0", WRONG, "stop", 0.75),
    ("p1", "so \\boxed{7", "length", 2.0),
    ("p1", REPEATED, "length", 0.125),
    ("p1", "well, " + RIGHT, "stop", 1.0),
    ("p1", "well, " + WRONG, "stop", 1.5),
]


def measured(model: int) -> dict[tuple[str, str, str], list[str]]:
    return {("test", "test", f"t{i}"): solved(c, 4) for i, c in enumerate(COUNTS[model])}


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Run:
    run = new_run(tmp_path_factory.mktemp("report") / "run", "select.budget=3", "select.noise=0.34")
    prepare(run, answers=measured(0))
    evaluate(run, 0, measured(0))
    whole_round(run, 1, SAMPLES, measured(1))
    return run


def lines_of(run: Run, title: str) -> list[str]:
    """Give the lines of a section, with single spaces."""
    sections = text_report(run).split(f"\n{title}\n")
    assert len(sections) == 2, f"no section {title!r}"
    found = []
    for line in sections[1].splitlines():
        if line and not line.startswith(" "):
            break
        found.append(" ".join(line.split()))
    return found


def test_pass_at_k_is_what_a_hand_computes(done):
    lines = lines_of(done, "Did it work?")
    assert "test: 4 problems x 4 samples" in lines
    rows = {line.split("[")[0].strip(): line for line in lines if "[" in line}
    # Pass@1: 7 and 9 of 16; Pass@2 of c = 0, 1, 2, 4: 0, 1/2, 5/6, 1; Pass@4: all but the unsolved.
    assert "0 base 43.8" in rows
    assert "] 58.3 75.0 [" in rows["0 base 43.8"]
    assert "1 56.2" in rows
    assert "] 75.0 100.0 [" in rows["1 56.2"]  # 1/2, 1/2, 1, 1
    assert "(4 problems)" in rows["1 Pass@1 +12.5"]
    assert rows["1 Pass@4 +25.0"].endswith("cannot tell (4 problems)")


def test_intervals_are_the_measures_own_with_seeds_of_the_recipe(done):
    base, after = (done.read("evaluations", model) for model in (0, 1))
    seed = derive(0, "report", "test", 0, 1)
    found = pass_interval(base, k=1, seed=seed)
    change = paired_difference_of(
        base, after, k=4, seed=derive(0, "report", "change", "test", 1, 4)
    )
    text = " ".join(text_report(done).split())
    assert f"43.8 [ {100 * found.low:.1f}, {100 * found.high:.1f}]" in text
    assert f"+25.0 [ {100 * change.low:+.1f}, {100 * change.high:+.1f}]" in text


def test_whether_it_worked_is_a_sentence_with_the_numbers_of_the_table(done):
    told = answered(done)
    change = paired_difference_of(
        *(done.read("evaluations", model) for model in (0, 1)),
        k=1,
        seed=derive(0, "report", "change", "test", 1, 1),
    )
    ends = f"[{100 * change.low:+.1f}, {100 * change.high:+.1f}]"
    start = "On test, from the base to model 1: Pass@1 43.8% -> 56.2% (+12.5 "
    assert told.startswith(f"{start}{ends} points, ")
    assert "; Pass@4 75.0% -> 100.0% (+25.0 [" in told
    assert told.endswith("cannot tell).")


def test_it_is_told_by_the_benchmarks_and_by_dev_only_where_there_are_none(tmp_path):
    def some(count, *splits):
        return {(split, split, f"{split}{i}"): solved(count, 2) for split in splits for i in (1, 2)}

    both = new_run(tmp_path / "both")
    prepare(both, answers=some(0, "dev", "test"))
    assert answered(both).startswith("Nothing to compare yet")
    evaluate(both, 0, some(0, "dev", "test"))
    assert answered(both).startswith("Nothing to compare yet")
    whole_round(both, 1, SAMPLES, some(1, "dev", "test"))
    assert [line.split(",")[0] for line in answered(both).split(". ")] == ["On test"]
    dev = new_run(tmp_path / "dev")
    prepare(dev, answers=some(0, "dev"))
    evaluate(dev, 0, some(0, "dev"))
    whole_round(dev, 1, SAMPLES, some(2, "dev"))
    assert answered(dev).startswith("On dev, from the base to model 1: Pass@1 0.0% -> 100.0% (")


def test_the_same_run_gives_the_same_report(done):
    assert text_report(done) == text_report(done)


def test_the_funnel_adds_up(done):
    lines = lines_of(done, "Funnel")
    assert "sampled 8 = 5 correct + 2 wrong + 1 no_answer" in lines
    assert "sampled 8 = 4 kept + 2 duplicate + 1 no_box + 1 redundant" in lines
    assert "kept 4 = 2 correct + 2 wrong" in lines
    assert "kept 4 = 3 selected + 1 not selected: budget" in lines
    assert "selected 3 = 2 positive (by branching) + 1 noise (by random)" in lines


def test_a_sum_that_does_not_add_up_is_never_printed():
    with pytest.raises(AssertionError, match="not the sum"):
        total(3, {"kept": 1, "no_box": 1})


def test_stopping_counts_text_after_the_box_among_boxed_ones(done):
    lines = lines_of(done, "Stopping")
    tokens = sum(len(text) for _, text, _, _ in SAMPLES) / 8
    # One of seven boxed goes on, two of eight are cut; no evaluated answer does either.
    assert f"rollouts of round 1 14.3% 7 25.0% 8 {tokens:.1f}" in lines
    assert f"test, model 1 0.0% 16 0.0% 16 {len(RIGHT):.1f}" in lines


def test_whitespace_after_the_box_is_no_text(tmp_path):
    run = new_run(tmp_path / "run")
    place = ("test", "test", "t0")
    texts = [RIGHT + " \n", RIGHT + " more", "no box", "$\\boxed{7}$."]
    prepare(run, answers={place: texts})
    evaluate(run, 0, {place: texts})
    assert any(
        line.startswith("test, model 0 66.7% 3 25.0% 4") for line in lines_of(run, "Stopping")
    )


def test_statistics_are_means_of_each_group(done):
    entropy = lines_of(done, "Entropy and branching")
    values = [0.5, 0.25, 0.25, 0.125, 1.0]
    correct, all_of = sum(values) / 5, sum(entropy for *_, entropy in SAMPLES) / 8
    # The pool is what the rules left of the correct ones, and the budget took both.
    wanted = f"round 1 {all_of:.3f} {correct:.3f} 1.125 0.750 0.750 8"
    assert wanted in entropy


def test_a_missing_statistic_is_a_dash(tmp_path):
    run = new_run(tmp_path / "run")
    prepare(run, answers={})
    samples = [("p0", RIGHT, "stop", None), ("p1", RIGHT, "stop", None)]
    sample(run, 1, samples)
    grade(run, 1, samples)
    assert "round 1 - - - - - -" in lines_of(run, "Entropy and branching")


def test_the_selected_are_set_against_the_pool(done):
    lines = lines_of(done, "Selected against the pool")[1:]
    assert lines[0] == "round 1 kept correct selected kept wrong as noise"
    assert lines[1] == "samples 2 2 2 1"
    # The kept correct: a response of p0 (3 of 4 correct), and a longer one of p1 (2 of 4).
    length = (len(RIGHT) + len("well, " + RIGHT)) / 2
    assert lines[2].startswith(f"length in tokens {length:.1f} ({length:.1f}) {length:.1f} (")
    assert "pass rate of its problem 0.625 (0.625) 0.625 (0.625) 0.625 (0.625)" in lines[3]
    assert "entropy 0.750 (0.750) 0.750 (0.750) 1.125 (1.125)" in lines[4]
    assert "branching 1.750 (1.750) 1.750 (1.750) 2.125 (2.125)" in lines[5]
    assert lines[6:8] == ["problem solved up to 50% 1 1 1 0", "problem solved up to 75% 1 1 1 1"]
    assert lines[8] == "at most 5 words before box 2 2 2 1"
    told = "note Spearman correlation of branching with length among the kept correct: +1.00"
    assert lines[9] == told


def noted(run: Run, **changed: object) -> None:
    """Change what `select` noted of the selected, or take it away: older versions had none."""
    manifest = run.manifest("select", 1)
    if changed:
        manifest["composition"]["roles"]["positive"]["selected"] |= changed
    else:
        del manifest["composition"]
    run.write_manifest("select", 1, manifest)


def test_a_selection_that_is_much_shorter_than_its_pool_is_warned_of(tmp_path):
    run = new_run(tmp_path / "run", "select.budget=3", "select.noise=0.34")
    prepare(run, answers=measured(0))
    whole_round(run, 1, SAMPLES, measured(1))
    assert "the selected are short" not in text_report(run)
    noted(run, length=[4.0, 3.0])
    text = " ".join(lines_of(run, "Selected against the pool"))
    assert "warning: the selected are short: their median is 3 tokens, below 0.75 of" in text
    noted(run, rows=10**6, length=[98765.4, 54321.0], mean_entropy=[12.3456, 1.5])
    text = text_report(run)
    assert "98,765 (54,321)" in text
    assert max(len(line) for line in text.splitlines()) <= 100
    noted(run)
    assert "Selected against the pool" not in text_report(run)
    assert "kept 4 = 3 selected" in " ".join(lines_of(run, "Funnel"))


def test_the_head_says_among_which_samples_one_is_ranked(tmp_path):
    for setting, words in (
        ("select.strata=length", "32 samples a round by branching within strata of length, noise"),
        ("select.within=problem", "32 samples a round by branching within each problem, noise"),
        ("select.within=null", "32 samples a round by branching, noise"),
    ):
        assert words in " ".join(text_report(new_run(tmp_path / setting, setting)).split())


def test_cost_and_tokens_per_selected_sample(done):
    lines = lines_of(done, "Cost")
    tokens = sum(len(text) for _, text, _, _ in SAMPLES)
    everything = tokens + 32 * len(RIGHT)
    assert any(line.startswith("1 sample") and f" {tokens} 100 sampled" in line for line in lines)
    assert any(line.startswith("all") and f" {everything} sampled" in line for line in lines)
    assert f"round 1 {tokens / 3:,.0f} tokens sampled per selected sample ({tokens} / 3)" in lines


def test_engines_and_the_limit_are_told_and_the_forecast_is_held_against_what_came(tmp_path):
    run = new_run(tmp_path / "run", "select.budget=3", "select.noise=0.34")
    prepare(run, answers=measured(0))
    evaluate(run, 0, measured(0))
    whole_round(run, 1, SAMPLES, measured(1))

    def change(stage: str, round: int, /, **fields: object) -> None:
        made = {name: {} for name in ("settings", "inputs", "outputs", "counts")}
        made |= {"stage": stage, "round": round, "key": "k"}
        run.write_manifest(stage, round, (run.manifest(stage, round) or made) | fields)

    workers = {
        "worker-0": {"rollouts": 4, "tokens": 300, "seconds": 2.0},
        "worker-1": {"rollouts": 4, "tokens": 500, "seconds": 2.0},
    }
    engine = {"runner": "v1", "device": "cuda", "dtype": "bfloat16", "preemptions": 7}
    engine |= {"capture_share_of_host_time": 0.021, "kv_cache_peak": 0.875}
    change("sample", 1, workers=workers, engine=engine, sampling_seconds=120.0)
    groups = [("all", 6, 100), ("never solved", 6, 40), ("always solved", 0, 60)]
    named = [{"group": name, "cut": cut, "answers": answers} for name, cut, answers in groups]
    change("grade", 1, cut_at_limit=named)
    lines = lines_of(run, "Sampling")
    tokens = sum(len(text) for _, text, _, _ in SAMPLES)
    accepted = 2  # of five correct ones two repeat another, and one repeats itself
    each = f"{tokens / accepted:,.1f}"
    assert f"1 sample transformers v1 cuda bfloat16 100 of 2 workers 2.1% 87.5% 7 {each}" in lines
    text = " ".join(lines)
    assert "round 1, cut at the limit: all 6.0% of 100; never solved 15.0% of 40" in text
    assert "always solved" not in text

    assert "Forecast and actual" not in text_report(run)  # nothing was forecast
    probes = {
        "tokens": [[20, 40], [30, 30]],
        "responses": [[20, 30], [20, 30]],
        "evaluated": [],
        "tokens_per_second": 0.05,
        "timed": 4,
        "accepted": [[True, False], [False, False]],
        "grading_seconds": 0.0,
        "prompt_tokens": 10.0,
        "matrix_speed": 1e12,
    }
    change("preflight", 0, stage="preflight", probes=probes)
    lines = lines_of(run, "Forecast and actual")
    assert "rollouts, round 1 8 8" in lines  # two problems, four samples each
    assert f"tokens, round 1 240 [0, 1,024] {tokens}" in lines  # two problems tell no interval
    (accepted_line,) = [line for line in lines if line.startswith("accepted")]
    assert accepted_line.startswith("accepted, round 1 3 [0, ")
    assert accepted_line.endswith(f"] {accepted}")
    # 240 tokens at 0.05 a second, by two workers.
    assert "sampling up to 0:40:00 0:02:00" in lines
    assert not any("later" in line for line in lines)

    # Another round is held against round 1's rates; a preflight of an older version is passed over.
    save_recipe(Run(run.path, run.recipe.model_copy(update={"rounds": 2})))
    run = open_run(run.path)
    whole_round(run, 2, SAMPLES, measured(1))
    lines = lines_of(run, "Forecast and actual")
    assert f"rollouts, later 8 {len(SAMPLES)} at round 1's rates" in lines
    del probes["timed"]
    change("preflight", 0, probes=probes)
    assert "Forecast and actual" not in text_report(run)


def test_shares_under_a_stopping_rule_are_marked_and_the_pass_rate_is_corrected(tmp_path):
    until = "sample.until={accepted: 1, max: 4, wave: 1}"
    run = new_run(tmp_path / "run", "select.budget=3", "select.noise=0.34", until)
    prepare(run, answers=measured(0))
    evaluate(run, 0, measured(0))
    # One solved at once, the other at the fourth: the plain share of correct answers is 2 of 5.
    tries = [("p1", WRONG + f" {number}", "stop", 0.5) for number in range(3)]
    whole_round(
        run, 1, [("p0", RIGHT, "stop", 0.5), *tries, ("p1", RIGHT, "stop", 0.5)], measured(1)
    )
    text = " ".join(lines_of(run, "Funnel"))
    assert "sampled until 1 were accepted, or 4 drawn" in text
    # Of waves of one that stop at the first success, the first one alone is unbiased.
    assert "corrected for that, is 50.0%" in text


def test_a_run_that_has_only_begun_says_what_to_run(tmp_path):
    run = new_run(tmp_path / "my run")
    text = text_report(run)
    assert f"No evaluation yet: `rft run '{run.path}'`" in text
    assert "Nothing sampled to learn from yet." in text
    assert "0 done of 1 planned" in " ".join(text.split())
    assert "Stopping" not in text


def test_a_half_done_round_reports_what_is_there(tmp_path):
    run = new_run(tmp_path / "run")
    prepare(run, answers=measured(0))
    evaluate(run, 0, measured(0))
    sample(run, 1, SAMPLES)
    assert "sampled 8, not graded yet" in lines_of(run, "Funnel")
    grade(run, 1, SAMPLES)
    do(run, "filter", 1)
    lines = lines_of(run, "Funnel")
    assert "kept 4 = 2 correct + 2 wrong" in lines
    assert not any("selected" in line for line in lines)
    assert "next: select of round 1" in text_report(run)


def test_what_was_made_from_replaced_rows_is_not_reported(tmp_path):
    run = new_run(tmp_path / "run", "select.budget=3", "select.noise=0.34")
    prepare(run, answers=measured(0))
    evaluate(run, 0, measured(0))
    whole_round(run, 1, SAMPLES, measured(1))
    again = new_run(run.path, "select.budget=3", "filter={no_box: {}}")
    do(again, "filter", 1)
    lines = lines_of(again, "Funnel")
    assert "sampled 8 = 7 kept + 1 no_box" in lines
    assert not any("selected" in line for line in lines)


def test_a_base_far_from_its_reference_is_warned_about(tmp_path):
    for percent, warned in ((60, True), (48, False)):
        run = new_run(tmp_path / f"{percent}", f"evaluate.reference={{test: {percent}}}")
        prepare(run, answers=measured(0))
        evaluate(run, 0, measured(0))
        text = " ".join(text_report(run).split())
        assert ("the base's Pass@1 is 43.8, published is 60: 16.2 points apart" in text) == warned


def test_other_readings_of_the_same_answers_stand_beside_the_strict_one(tmp_path):
    run = new_run(tmp_path / "run")
    prepare(run, answers=measured(0))
    evaluate(run, 0, measured(0))
    frame = run.read("evaluations", 0)
    right = frame["verdict"].replace("wrong", "correct")
    flipped = frame.with_columns(verdict_last_box=right, verdict_lenient=right)
    do(new_run(run.path, "evaluate.max_tokens=99"), "evaluate", 0, lambda job: _put(job, flipped))
    again = new_run(run.path, "evaluate.max_tokens=99")
    lines = lines_of(again, "Did it work?")
    assert "Pass@1 by the first box the last box any, or none in a box" in lines
    assert "0 base 43.8 100.0 100.0 100.0%" in lines

    # 0.1 did not read leniently: unknown, and nothing else is.
    older = frame.with_columns(verdict_lenient=pl.lit(None, pl.String))
    do(new_run(run.path, "evaluate.max_tokens=98"), "evaluate", 0, lambda job: _put(job, older))
    lines = lines_of(new_run(run.path, "evaluate.max_tokens=98"), "Did it work?")
    assert "0 base 43.8 43.8 - 100.0%" in lines


def test_a_gain_is_parted_into_format_and_skill(tmp_path):
    run = new_run(tmp_path / "run", "select.budget=3", "select.noise=0.34")
    answers = {("test", "test", f"t{index}"): [RIGHT, WRONG, "none", "none"] for index in range(8)}
    boxed = {place: [RIGHT, WRONG, RIGHT, WRONG] for place in answers}
    prepare(run, answers=answers)
    evaluate(run, 0, answers)
    whole_round(run, 1, SAMPLES, boxed)
    text = " ".join(text_report(run).split())
    assert (
        "model 1: of +25.0 points of Pass@1, +25.0 [+25.0, +25.0] are format (more answers in a "
        "box, each as good as the base's) and +0.0 [+0.0, +0.0] are skill"
    ) in text


def test_how_many_problems_of_a_benchmark_are_measured_is_said(tmp_path):
    run = new_run(tmp_path / "run")
    prepare(run, answers=measured(0))
    evaluate(run, 0, measured(0))
    aside = run.read("set_aside", 0)
    rows = pl.DataFrame(
        [
            {"problem_id": f"a{index}", "split": "test", "benchmark": "test", "reason": reason}
            for index, reason in enumerate(["gold cannot be read", "gold cannot be read", "odd"])
        ],
    ).with_columns(question=pl.lit("?"), gold=pl.lit(["1"]), source=pl.lit("x"))
    path = run.folder("set_aside", 0)
    tables.write(path, "set_aside", tables.pad(rows, "set_aside"))
    reseal(run, "set_aside", 0)
    assert aside.is_empty()
    heads = [line for line in lines_of(run, "Did it work?") if line.startswith("test:")]
    problems = len(measured(0))
    assert heads == [
        f"test: {problems} of {problems + 3} problems (2 gold cannot be read, 1 odd) x 4 samples"
    ]


def _put(job, frame) -> None:
    job.write("evaluations", frame)
    job.notes |= {"tokens": 1, "tokens_per_second": 1, "model": "model0"}


def test_the_gate_speaks_in_words_with_numbers(tmp_path):
    dev = "prepare.dev={source: bundled:arithmetic, split: dev, limit: 40}"
    run = new_run(tmp_path / "run", dev, "gate={on: dev}", "rounds=2", "select.budget=3")
    good = {("dev", "dev", f"d{i}"): solved(4, 4) for i in range(40)}
    bad = dict.fromkeys(good, solved(0, 4))
    prepare(run, answers=good)
    evaluate(run, 0, good)
    whole_round(run, 1, SAMPLES, bad)
    lines = lines_of(run, "Did it work?")
    assert any(
        line.startswith("gate 1 model 1 refused, surely worse: dev Pass@1 -100.0") for line in lines
    )
    assert "points against model 0 (base, last, best)" in " ".join(lines)
    assert any(
        line.startswith("gate sees dev 40 x 4, Pass@1: a true loss is refused: of 2 points in")
        for line in lines
    )
    assert any(line.startswith("1 refused 0.0 [") for line in lines)
    assert any(line.endswith("worse (40 problems)") for line in lines)


def test_splits_and_benchmarks_are_reported_apart(tmp_path):
    one = "{source: bundled:arithmetic, split: test}"
    two = "{source: bundled:arithmetic, split: dev}"
    dev = "prepare.dev={source: bundled:arithmetic, split: dev}"
    run = new_run(
        tmp_path / "run",
        f"prepare.test={{one: {one}, two: {two}}}",
        dev,
        "evaluate.n={one: 4, two: 8}",
    )
    answers = {
        ("dev", "dev", "d"): solved(1, 4),
        ("test", "one", "t"): solved(2, 4),
        ("test", "two", "t"): solved(6, 8),
    }
    prepare(run, answers=answers)
    evaluate(run, 0, answers)
    lines = lines_of(run, "Did it work?")
    for title, value in (("dev: 1 problems x 4", "25.0"), ("test one: 1 problems x 4", "50.0")):
        assert value in lines[next(i for i, line in enumerate(lines) if title in line) + 2]
    assert "test two: 1 problems x 8 samples" in lines


def test_no_line_is_wider_than_a_hundred_columns(tmp_path):
    k = [1, 2, 4, 8, 16, 32, 64]
    run = new_run(tmp_path / ("long" * 40), f"evaluate.k={k}", "evaluate.n=64")
    answers = {("test", "test", f"t{i}"): solved(i, 64) for i in range(4)}
    prepare(run, answers=answers)
    evaluate(run, 0, answers)
    samples = [("p0", "漢字" * 300 + "\x1b[31m\x00" + RIGHT, "stop", 0.5), *SAMPLES]
    sample(run, 1, samples)
    grade(run, 1, samples)
    do(run, "filter", 1)
    text = text_report(run)
    assert max(len(line) for line in text.splitlines()) <= 100
    assert "Pass@32" in text
    assert visible(text) == text


def test_a_run_without_rounds_reports_the_measurement_alone(tmp_path):
    run = new_run(tmp_path / "run", "rounds=0")
    prepare(run, train=(), answers=measured(0))
    evaluate(run, 0, measured(0))
    text = text_report(run)
    assert "43.8" in text
    assert "Funnel" not in text
    assert "gate" not in text


def test_the_command_prints_the_report(done):
    result = CliRunner().invoke(cli, ["report", str(done.path)])
    assert result.exit_code == 0
    assert result.stdout == text_report(done) + "\n"


def test_seeds_and_versions_are_named(done):
    text = " ".join(lines_of(done, "Provenance"))
    assert "run 0" in text
    assert str(json.loads(done.manifest_path("select", 1).read_text())["seeds"]["select"]) in text
    assert "polars" in text


def test_a_model_of_the_hub_keeps_its_name_and_the_start_of_its_commit(tmp_path):
    run = new_run(tmp_path / "run")
    prepare(run, answers=measured(0))
    evaluate(run, 0, measured(0))
    named = {"model": f"hub:org/mine-model@{'c0ffee' * 7}"}
    run.write_manifest("evaluate", 0, run.manifest("evaluate", 0) | named)
    assert "models 0 = hub:org/mine-model@c0ffeec0ffee" in lines_of(run, "Provenance")


def test_what_later_rounds_read_in_the_sources_is_told(tmp_path):
    source = tmp_path / "mine.jsonl"
    source.write_text('{"question": "1 + 1?", "gold": "2"}\n')
    run = new_run(
        tmp_path / "run", f"prepare.train={{source: {source}}}", "prepare.refresh=round", "rounds=3"
    )
    prepare(run, answers=measured(0))
    evaluate(run, 0, measured(0))
    assert "read again" not in text_report(run)
    source.write_text('{"question": "2 + 2?", "gold": "4"}\n')
    digest = tables.file_digest(source)
    for round, unread in ((2, {}), (3, {"train/train": "it is\ngone\x1b"})):

        def work(job: Job, unread: dict[str, str] = unread) -> None:
            job.write("problems", tables.empty("problems"))
            job.write("set_aside", tables.empty("set_aside"))
            job.counts["problems"] = {} if unread else {"train": 5}
            job.notes |= {"unread": unread}

        do(run, "prepare", round, work)
        source.unlink(missing_ok=True)
    text = " ".join(lines_of(run, "Provenance"))
    assert f"read again round 2: 5 new problems; train/train content {digest[:12]}" in text
    assert "read again round 3: 0 new problems; train/train was not read: it is gone" in text


def test_estimates_are_named_as_such(tmp_path):
    run = new_run(tmp_path / "run")
    prepare(run, answers={})
    sample(run, 1, SAMPLES)
    grade(run, 1, SAMPLES)
    graded = run.read("graded", 1)
    assert "origin topk" not in text_report(run)
    tables.write(
        run.folder("graded", 1), "graded", graded.with_columns(stats_origin=pl.lit("topk"))
    )
    reseal(run, "graded", 1)
    assert "warning: some are estimates" in text_report(run)


def test_a_searched_blend_is_told_with_all_its_candidates(tmp_path):
    search = "sft.blend={search: [0.25, 1.0], on: pass@2, anchor: base}"
    run = new_run(tmp_path / "run", search, "prepare.dev={holdout: 4}", "select.budget=3")
    prepare(run, answers=measured(0))
    evaluate(run, 0, measured(0))
    sample(run, 1, SAMPLES)
    grade(run, 1, SAMPLES)
    do(run, "filter", 1)
    do(run, "select", 1)
    assert "\nBlended weights\n" not in text_report(run)

    def trained(job: Job) -> None:
        folder = job.work / "out" / "trained"
        folder.mkdir(parents=True)
        (folder / MARK).write_text(json.dumps({"digest": "0" * 64}))
        job.outputs["trained"] = folder

    def choice(job: Job) -> None:
        job.notes |= {"metric": "pass@2", "delta": 0.25, "tokens": 9}
        values = {0.25: 0.5, 1.0: 0.375}
        job.notes["candidates"] = [
            {"delta": delta, "model": "", "value": value, "low": value / 2, "high": value + 0.25}
            for delta, value in values.items()
        ]

    def blended(job: Job) -> None:
        job.outputs["model"] = job.work / "out" / "model"
        job.outputs["model"].mkdir(parents=True)
        (job.outputs["model"] / MARK).write_text(json.dumps({"digest": "1" * 64}))
        job.notes["blend"] = {"delta": 0.25, "anchor": "base"}

    do(run, "train", 1, trained)
    do(run, "blend", 1, choice)
    do(run, "sft", 1, blended)
    lines = lines_of(run, "Blended weights")
    assert "1 base 0.25 pass@2 50.0% [25.0%, 75.0%] taken" in lines
    assert "1 pass@2 37.5% [18.8%, 62.5%]" in lines


def test_a_report_of_rollouts_that_were_sampled_anew_shows_none_of_those_before(tmp_path):
    run = new_run(tmp_path / "run", "select.by=random", "select.noise=0")
    prepare(run, answers={})
    before = [("p0", "1" * size + RIGHT, "stop", 0.5) for size in (5, 30)]
    before += [("p1", "z" * size + " no", "stop", 0.5) for size in (5, 30)]
    sample(run, 1, before)
    grade(run, 1, before)
    do(run, "filter", 1)
    do(run, "select", 1)
    assert len(examples(run)) > 4
    run.manifest_path("sample", 1).unlink()
    sample(run, 1, [("p2", f"9 {RIGHT}", "stop", 0.5)])
    assert examples(run) == []
