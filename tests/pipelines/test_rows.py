"""Pins what `rft grade|filter|select --input` do with rows of anyone, and what they say of it."""

from collections import Counter

import polars as pl
import pytest

from tests.row_files import NONE, RANDOM, RIGHT, WRONG, refused, run
from tests.sandboxes import needs_bwrap

HOSTILE = [
    "",
    " \n\t",
    "\x00\x1b[31m",
    "}{\\boxed{",
    "\\boxed{" * 2000,
    "{" * 5000 + r"\boxed{4}" + "}" * 5000,
    "\U0001d7dc \u202e evil \u0000 é",
    "a" * 200_000,
    "=cmd()|'\"; DROP TABLE rollouts; --",
    '{"verdict": "correct"}',
]

# What passes through ------------------------------------------------------------------------------

THEIRS = {
    "prompt": [{"role": "user", "content": "2 + 2?"}],
    "logprobs": [{"token": "a", "logprob": -0.5}],
    "token_ids": [1, 2, 3],
    "entropies": [0.123456789, 1e300],
    "model": {"name": "m"},
    "seed": "many",
    "__place": 1,
    "__draw": 2,
    "defect": 3,
    "value": 4,
    "draw": 5,
    "place": 6,
    "name with spaces, and \n": None,
    "meta": {"deep": [{"x": 1}, {"x": None}]},
}


def test_unknown_columns_pass_through_all_three_stages(tmp_path):
    rows = [{"completion": text, "gold": "4", "n": n, **THEIRS} for n, text in
            enumerate([RIGHT, WRONG, NONE])]  # fmt: skip
    graded = run(tmp_path, "grade", rows)
    assert [row["verdict"] for row in graded.rows] == ["correct", "wrong", "no_answer"]
    kept = run(tmp_path, "filter", graded.output.rename(tmp_path / "graded.parquet"))
    assert kept.said.startswith("3 graded = 2 kept + 1 rejected (1 no_box)")
    every = [*kept.rows, *kept.rejected]
    selected = run(tmp_path, "select", kept.output.rename(tmp_path / "kept.parquet"), *RANDOM,
                   "--set", "select.noise=0.5")  # fmt: skip
    assert [row["role"] for row in selected.rows] == ["positive", "noise"]
    for row in (*graded.rows, *every, *selected.rows):
        assert {name: row[name] for name in THEIRS} == THEIRS
        assert (row["gold"], row["completion"]) == ("4", [RIGHT, WRONG, NONE][row["n"]])


def test_hostile_text_is_only_text(tmp_path):
    rows = [
        {"completion": text, "gold": text, "question": text, text[:50].replace("\0", "0"): 1}
        for text in HOSTILE
    ]
    rows = [row for row in rows if row["gold"].strip()]
    graded = run(tmp_path, "grade", rows)
    for row in graded.rows:
        assert row["completion"] in HOSTILE
        assert row["response"] == row["completion"][: len(row["response"])]
    # Even where the gold is the very text: an answer stands in a box, and no gold is this long.
    assert {row["verdict"] for row in graded.rows} == {"no_answer", "bad_gold"}
    kept = run(tmp_path, "filter", graded.output.rename(tmp_path / "graded.parquet"))
    assert len(kept.rows) + len(kept.rejected) == len(rows)


# Grade --------------------------------------------------------------------------------------------


def test_a_list_of_completions_is_a_row_each_of_one_problem(tmp_path):
    rows = [{"completion": [RIGHT, None, WRONG], "gold": 4, "n": 0},
            {"completion": [], "gold": 4, "n": 1},
            {"completion": [RIGHT], "gold": 4, "n": 2}]  # fmt: skip
    made = run(tmp_path, "grade", rows).rows
    assert [row["n"] for row in made] == [0, 0, 0, 2]
    assert [row["verdict"] for row in made] == ["correct", "no_answer", "wrong", "correct"]
    assert [row["sample_index"] for row in made] == [0, 1, 2, 0]
    assert len({row["problem_id"] for row in made}) == 2
    assert len({row["rollout_id"] for row in made}) == 4


def test_lists_of_fixed_length_are_lists_too(tmp_path):
    frame = pl.DataFrame(
        {"completion": [[RIGHT, WRONG]], "gold": ["4"]},
        schema={"completion": pl.Array(pl.String, 2), "gold": pl.String},
    )
    assert [row["verdict"] for row in run(tmp_path, "grade", frame).rows] == ["correct", "wrong"]


@pytest.mark.parametrize(
    ("golds", "verdicts"),
    [
        (["4", "5"], ["correct", "wrong"]),
        ([4, 5], ["correct", "wrong"]),
        ([4.0, 5.0], ["correct", "wrong"]),
        ([["5", "4"], ["5", "6"]], ["correct", "wrong"]),
        ([[4], [6]], ["correct", "wrong"]),
    ],
)
def test_a_gold_is_a_text_a_number_or_a_list_of_them(tmp_path, golds, verdicts):
    rows = [{"completion": RIGHT, "gold": gold} for gold in golds]
    assert [row["verdict"] for row in run(tmp_path, "grade", rows).rows] == verdicts


@pytest.mark.parametrize("gold", [None, "", "  ", [], [None, ""]])
def test_a_row_without_a_gold_is_named_by_its_number(tmp_path, gold):
    golds = [["4"], gold] if isinstance(gold, list) else ["4", gold]
    rows = [{"completion": RIGHT, "gold": gold} for gold in golds]
    assert "row 2 has no gold" in refused(tmp_path, "grade", rows)


def test_each_verdict_is_counted(tmp_path):
    rows = [{"completion": text, "gold": gold} for text, gold in
            [(RIGHT, "4"), (WRONG, "4"), (NONE, "4"), (r"\boxed{}", "4"),
             (r"\boxed{" + "9" * 3000 + "}", "4")]]  # fmt: skip
    outcome = run(tmp_path, "grade", rows)
    assert outcome.said.startswith("5 graded: 1 correct, 2 no_answer, 1 unparseable, 1 wrong")


GIVEN = ("--set", "grade.verifier=given")


def test_verdicts_that_rows_bring_along_are_kept(tmp_path):
    said = ["correct", "Wrong", True, False, 1, 0, "right", "incorrect", "timeout"]
    rows = [{"completion": RIGHT, "verdict": f"{each}", "n": n} for n, each in enumerate(said)]
    outcome = run(tmp_path, "grade", rows, *GIVEN)
    right = [row["n"] for row in outcome.rows if row["verdict"] == "correct"]
    assert right == [0, 2, 4, 6]
    assert Counter(row["verdict"] for row in outcome.rows) == {
        "correct": 4,
        "wrong": 4,
        "timeout": 1,
    }
    assert {row["verdict_path"] for row in outcome.rows} == {"given"}
    assert {row["answer"] for row in outcome.rows} == {"4"}


def test_a_verdict_is_given_for_each_completion_of_a_list(tmp_path):
    rows = [{"completion": [RIGHT, WRONG], "verdict": [False, True], "gold": "4"}]
    verdicts = [row["verdict"] for row in run(tmp_path, "grade", rows, *GIVEN).rows]
    assert verdicts == ["wrong", "correct"]


@pytest.mark.parametrize("verdict", [True, [True]])
def test_a_list_of_completions_without_as_many_verdicts_is_refused(tmp_path, verdict):
    rows = [{"completion": [RIGHT, WRONG], "verdict": verdict}]
    assert "lists of equal lengths" in refused(tmp_path, "grade", rows, *GIVEN)


def test_a_verdict_of_another_kind_is_refused_by_its_number(tmp_path):
    rows = [{"completion": RIGHT, "verdict": each} for each in ("correct", "maybe")]
    assert 'sample 2 has the verdict "maybe"' in refused(tmp_path, "grade", rows, *GIVEN)
    assert "no column 'verdict'" in refused(tmp_path, "grade", [{"completion": RIGHT}], *GIVEN)


def test_a_choice_is_judged_by_its_letter(tmp_path):
    rows = [{"completion": rf"\boxed{{{text}}}", "gold": "B"} for text in ("(b)", "B. 4", "C", "4")]
    outcome = run(tmp_path, "grade", rows, "--set", "grade.verifier=choice")
    assert [row["verdict"] for row in outcome.rows] == [
        "correct",
        "correct",
        "wrong",
        "unparseable",
    ]


@needs_bwrap
def test_programs_are_run_against_their_tests(tmp_path):
    code = "So:\n```python\ndef f(n):\n    return {}\n```\nand \\boxed{{2}}."
    rows = [{"completion": [code.format("2 * n"), code.format(2), "None.", r"\boxed{2}"],
             "gold": ["assert f(1) == 2", "assert f(2) == 4"]}]  # fmt: skip
    graded = run(tmp_path, "grade", rows, "--set", "grade.verifier=code").rows
    assert [row["verdict"] for row in graded] == ["correct", "wrong", "no_answer", "no_answer"]
    assert graded[0]["response"] == code.format("2 * n").removesuffix("\nand \\boxed{2}.")
    assert graded[0]["answer"] == "def f(n):\n    return 2 * n"
    assert [row["num_boxed"] for row in graded] == [1, 1, 0, 0]
    words = ["--set", "grade.verifier=code", "--audit", "3"]
    audited = run(tmp_path, "grade", rows, *words)
    assert audited.code == 2
    assert "grade.verifier is code" in audited.told


def test_the_question_says_which_unit_an_answer_may_have(tmp_path):
    texts = ["12 apples", "12 pears"]
    rows = [{"completion": rf"\boxed{{{text}}}", "gold": "12", "question": "How many apples?"}
            for text in texts]  # fmt: skip
    graded = run(tmp_path, "grade", rows).rows
    assert [(row["verdict"], row["verdict_path"]) for row in graded] == [
        ("correct", "unit_ignored"),
        ("wrong", "unit"),
    ]


def test_an_audit_judges_again_and_writes_beside_the_output(tmp_path):
    rows = [{"completion": rf"\boxed{{{n}}}", "gold": "4"} for n in (4, 5, "4.0", "2+2")]
    outcome = run(tmp_path, "grade", rows, "--audit", "3")
    assert "audit, numbers at random points: 0 of 3 differ, 0.0% [0.0%, 56.1%]" in outcome.said
    assert "audit, plain math-verify on the whole text: 0 of 3 differ" in outcome.said
    audited = pl.read_parquet(outcome.output.with_suffix(".audit.parquet"))
    assert len(audited) == 3
    assert audited["probed"].to_list() == (audited["verdict"] == "correct").to_list()


def test_an_audit_without_golds_is_refused(tmp_path):
    rows = [{"completion": RIGHT, "verdict": True}]
    assert "no column 'gold'" in refused(tmp_path, "grade", rows, *GIVEN, "--audit", "3")


# Filter -------------------------------------------------------------------------------------------


def test_a_response_counts_as_trimmed_only_beside_num_boxed(tmp_path):
    (row,) = run(tmp_path, "filter", [{"response": RIGHT}]).rows
    assert (row["response"], row["answer"], row["num_boxed"]) == (r"so \boxed{4}", "4", 2)
    (row,) = run(tmp_path, "filter", [{"response": RIGHT, "num_boxed": 7}]).rows
    assert (row["response"], row["answer"], row["num_boxed"]) == (RIGHT, "4", 7)


def test_features_of_their_own_are_believed(tmp_path):
    rows = [{"response": "x1", "num_boxed": 1, "answer": "4", "redundancy": 0.9},
            {"response": "x1 y", "num_boxed": 1, "answer": "4", "redundancy": 0.31}]  # fmt: skip
    outcome = run(tmp_path, "filter", rows)
    assert [row["response"] for row in outcome.rows] == ["x1 y"]
    assert outcome.rejected[0]["rejected_by"] == "redundant"


@pytest.mark.parametrize("rule", ["no_box", "no_digit", "redundant", "duplicate", "many_boxes"])
def test_a_row_without_a_text_is_rejected_by_any_rule(tmp_path, rule):
    rows = [{"completion": None, "n": 0}, {"completion": RIGHT, "n": 1}]
    settings = {"many_boxes": "{most: 9}"}.get(rule, "{}")
    outcome = run(tmp_path, "filter", rows, "--set", f"filter={{{rule}: {settings}}}")
    assert [row["n"] for row in outcome.rows] == [1]
    assert [(row["n"], row["rejected_by"]) for row in outcome.rejected] == [(0, rule)]


def test_a_rule_over_groups_works_where_problems_are_known(tmp_path):
    rows = [{"completion": RIGHT, "question": q, "gold": "4"} for q in ("a", "a", "b")]
    outcome = run(tmp_path, "filter", rows)
    assert outcome.said.startswith("3 graded = 2 kept + 1 rejected (1 duplicate)")
    assert not outcome.told


def test_a_rule_over_groups_says_that_it_did_nothing_where_each_row_is_its_own_problem(tmp_path):
    rows = [{"completion": RIGHT}] * 3
    outcome = run(tmp_path, "filter", rows)
    assert len(outcome.rows) == 3
    assert outcome.told.startswith("filter.duplicate did nothing: each row is the only sample")
    assert len(outcome.told.strip().splitlines()) == 1
    # A file that went through `rft grade` has ids, which say no more.
    graded = run(tmp_path, "grade", [{"completion": RIGHT, "gold": "4"}] * 3).output
    outcome = run(tmp_path, "filter", graded.rename(tmp_path / "graded.parquet"))
    assert "filter.duplicate did nothing" in outcome.told
    rules = ["--set", "filter={no_box: {}}"]
    assert not run(tmp_path, "filter", rows, *rules).told


def test_lists_of_completions_are_filtered_too(tmp_path):
    outcome = run(tmp_path, "filter", [{"completion": [RIGHT, RIGHT, NONE]}])
    assert outcome.said.startswith("3 graded = 1 kept + 2 rejected (1 duplicate, 1 no_box)")


def test_nothing_kept_is_an_empty_table_and_not_an_error(tmp_path):
    outcome = run(tmp_path, "filter", [{"completion": NONE}])
    assert outcome.rows == []
    assert outcome.rejected[0]["rejected_by"] == "no_box"


def test_a_feature_that_is_no_number_is_refused(tmp_path):
    row = {"response": "x", "num_boxed": "many"}
    assert "column 'num_boxed' holds String" in refused(tmp_path, "filter", [row])


# Select -------------------------------------------------------------------------------------------


def test_select_needs_a_verdict_and_a_text_or_an_id(tmp_path):
    assert "no column 'verdict'" in refused(tmp_path, "select", [{"completion": "x"}])
    assert "no column 'completion'" in refused(tmp_path, "select", [{"verdict": "correct"}])
    outcome = run(tmp_path, "select", [{"verdict": "correct", "rollout_id": 5}], *RANDOM,
                "--set", "select.noise=0", "--set", "select.strata=null")  # fmt: skip
    assert outcome.rows[0]["rollout_id"] == "5"


def test_select_says_what_it_did_not_take_and_why(tmp_path):
    rows = [{"verdict": v, "completion": str(n), "problem_id": "p"} for n, v in
            enumerate(["correct"] * 6 + ["wrong", None, "CORRECT"])]  # fmt: skip
    outcome = run(tmp_path, "select", rows, *RANDOM, "--set", "select.noise=0.5")
    assert "5 selected (1 noise, 4 positive)" in outcome.said
    assert "2 per_problem, 1 verdict CORRECT, 1 verdict None" in outcome.said
    assert "took 5 of 512; noise is 20.0% of that, 50.0% was asked" in outcome.told
    assert f"-> {outcome.output.with_suffix('.passed_over.parquet')}" in outcome.said
    others = outcome.passed_over
    counts = Counter(row["reason"] for row in others)
    assert counts == {"per_problem": 2, "verdict CORRECT": 1, "verdict None": 1}
    texts = [row["completion"] for row in (*outcome.rows, *others)]
    assert sorted(texts) == [str(n) for n in range(9)]
    assert [row["place"] for row in others] == [4, 5, None, None]


def test_columns_named_as_those_of_the_passed_over_are_theirs_there(tmp_path):
    theirs = {"reason": "mine", "place": "here", "share": None}
    rows = [{"verdict": "correct", "completion": str(n), **theirs} for n in range(3)]
    settings = [*RANDOM, "--set", "select.budget=1", "--set", "select.noise=0"]
    outcome = run(tmp_path, "select", rows, *settings)
    assert {name: outcome.rows[0][name] for name in theirs} == theirs
    for place, row in enumerate(outcome.passed_over, 1):
        assert (row["reason"], row["place"], row["share"]) == ("budget", place, None)
        assert {name: row[f"their_{name}"] for name in theirs} == theirs
    told = run(tmp_path, "select", [row | {"their_place": 1} for row in rows], *settings).told
    assert "it has a column 'their_place', which `rft select` writes" in told


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"verdict": "wrong"}, "no correct sample to train on"),
        ({"verdict": "unparseable"}, "no correct sample to train on"),
        ({"verdict": True}, "no correct sample to train on"),
        ({"verdict": ["correct"]}, "column 'verdict' holds List"),
        ({"verdict": "correct"}, "no row has a mean_branching"),
        ({"verdict": "correct", "mean_branching": None}, "no row has a mean_branching"),
        ({"verdict": "correct", "mean_branching": "high"}, "'mean_branching' holds String"),
    ],
)
def test_rows_without_anything_to_select_are_refused(tmp_path, row, says):
    assert says in refused(tmp_path, "select", [row | {"completion": "x"}])


def test_a_statistic_of_their_own_ranks_and_nan_does_not(tmp_path):
    values = [1.0, 3.0, float("nan"), 2.0, None, float("inf")]
    rows = [{"verdict": "correct", "completion": str(n), "mean_branching": value}
            for n, value in enumerate(values)]  # fmt: skip
    outcome = run(tmp_path, "select", rows, "--set", "select.noise=0")
    assert [row["completion"] for row in outcome.rows[:3]] == ["1", "3", "0"]


def test_select_says_when_what_works_on_problems_did_nothing(tmp_path):
    rows = [{"verdict": "correct", "completion": "x"}] * 2
    outcome = run(tmp_path, "select", rows, *RANDOM, "--set", "select.noise=0")
    assert outcome.told.startswith("select.per_problem did nothing")
    settings = [*RANDOM, "--set", "select.noise=0", "--set", "select.per_problem=null"]
    assert "did nothing" not in run(tmp_path, "select", rows, *settings).told


def graded_rows() -> list[dict]:
    """Make two problems: one solved once in ten and else without a box, one five times in ten."""
    verdicts = {"hard": ["correct"] + ["no_answer"] * 9, "easy": ["correct", "wrong"] * 5}
    return [
        {"problem_id": name, "verdict": verdict, "sample_index": place, "mean_entropy": 0.5}
        | {"completion": f"no {place}" if verdict == "no_answer" else rf"so {place} \boxed{{4}}"}
        for name, every in verdicts.items()
        for place, verdict in enumerate(every)
    ]


PROPORTIONAL = ("select.noise=0", "select.budget=2", "select.difficulty=proportional")


def test_pass_rates_are_over_what_was_graded_and_not_over_what_the_rules_kept(tmp_path):
    kept = run(tmp_path, "filter", graded_rows())
    assert {row["problem_id"]: row["pass_rate"] for row in kept.rows} == {"hard": 0.1, "easy": 0.5}
    assert all(row["pass_rate"] == 0.1 for row in kept.rejected)
    rows = pl.read_parquet(kept.output)
    settings = [part for each in PROPORTIONAL for part in ("--set", each)]
    chosen = run(tmp_path, "select", rows, *RANDOM, *settings)
    # Weights 0.9 and 0.5 of a budget of two; of the kept rows they would be 0 and 0.5.
    assert sorted(row["problem_id"] for row in chosen.rows) == ["easy", "hard"]
    assert "pass rates" not in chosen.told
    where = [*RANDOM, "--set", "select.noise=0", "--set", "select.where=pass_rate <= 0.3"]
    assert [row["problem_id"] for row in run(tmp_path, "select", rows, *where).rows] == ["hard"]
    alone = run(tmp_path, "select", rows.drop("pass_rate"), *RANDOM, *settings)
    assert {row["problem_id"] for row in alone.rows} == {"easy"}
    assert "pass rates are those of these 11 rows, which have no column pass_rate" in alone.told


@pytest.mark.parametrize(
    ("rates", "says"),
    [
        ([0.1, 0.2], "problem p has the pass_rate 0.1, 0.2; one of 0 to 1 is needed"),
        ([0.5, None], "null"),
        ([7, 7], "problem p has the pass_rate 7"),
        ([float("nan")] * 2, "problem p has the pass_rate nan"),
        (["a", "a"], "column 'pass_rate' holds String, not numbers from 0 to 1"),
    ],
)
def test_a_pass_rate_that_is_none_is_refused_where_shares_are_made_of_it(tmp_path, rates, says):
    rows = pl.DataFrame(
        {"problem_id": ["p"] * 2, "verdict": ["correct"] * 2, "completion": ["x", "y"]}
        | {"pass_rate": pl.Series(rates, strict=False)}
    )
    settings = [part for each in PROPORTIONAL for part in ("--set", each)]
    told = refused(tmp_path, "select", rows, *RANDOM, *settings)
    assert says in told.replace("0.2, 0.1", "0.1, 0.2")


def lengths_of(*sizes: int) -> list[dict]:
    """Make correct rows, two of each problem, whose statistic falls with their length."""
    return [
        {"verdict": "correct", "completion": "x" * size, "problem_id": f"p{place // 2}"}
        | {"mean_branching": 1 + 1 / size}
        for place, size in enumerate(sizes)
    ]


def test_select_ranks_within_strata_or_problems_when_asked_to(tmp_path):
    plain = ["--set", "select.noise=0", "--set", "select.budget=10"]
    rows = lengths_of(*range(1, 21))
    outcome = run(tmp_path, "select", rows, "--strata", "length", *plain)
    assert [len(row["completion"]) for row in outcome.rows] == list(range(1, 20, 2))
    assert [row["stratum"] for row in outcome.rows] == list(range(10))
    assert {row["turn"] for row in outcome.passed_over} == {1}
    outcome = run(tmp_path, "select", rows, "--within", "problem", *plain)
    assert [len(row["completion"]) for row in outcome.rows] == list(range(1, 20, 2))
    assert {(row["stratum"], row["turn"]) for row in outcome.rows} == {(None, 0)}
    none = [*plain, "--set", "select.strata=null", "--set", "select.within=null"]
    outcome = run(tmp_path, "select", rows, *none)
    assert [len(row["completion"]) for row in outcome.rows] == list(range(1, 11))
    assert {(row["stratum"], row["turn"]) for row in outcome.rows} == {(None, None)}


def test_an_option_stands_in_for_both_settings_of_the_recipe(tmp_path):
    rows = lengths_of(*range(1, 21))
    mine = tmp_path / "mine.yaml"
    mine.write_text("extends: quickstart\nselect: {strata: null, within: problem, noise: 0}\n")
    outcome = run(tmp_path, "select", rows, "--recipe", str(mine), "--strata", "length")
    assert {row["stratum"] for row in outcome.rows} == set(range(10))


def test_both_options_at_once_are_refused(tmp_path):
    rows = lengths_of(1, 2)
    told = refused(tmp_path, "select", rows, "--strata", "length", "--within", "problem")
    assert "strata is length and within is problem" in told


def test_select_refuses_rows_without_a_length_where_it_needs_one(tmp_path):
    row = {"verdict": "correct", "rollout_id": "a"}
    told = refused(tmp_path, "select", [row], *RANDOM, "--strata", "length")
    assert "select.strata: length, but 1 of 1 rows to rank have neither" in told


def test_within_did_nothing_where_problems_are_not_told_apart(tmp_path):
    rows = [{"verdict": "correct", "completion": "x"}] * 2
    outcome = run(tmp_path, "select", rows, *RANDOM, "--within", "problem")
    assert "select.within did nothing: each row is the only sample" in outcome.told


def test_their_columns_of_the_names_of_turns_are_theirs(tmp_path):
    rows = [row | {"stratum": "mine", "turn": 7} for row in lengths_of(3, 4)]
    outcome = run(tmp_path, "select", rows, "--strata", "length", "--set", "select.noise=0")
    assert {(row["their_stratum"], row["their_turn"]) for row in outcome.rows} == {("mine", 7)}
    told = run(tmp_path, "select", [row | {"their_turn": 1} for row in rows]).told
    assert "it has a column 'their_turn', which `rft select` writes" in told
