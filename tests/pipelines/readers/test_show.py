"""Rollouts are shown in full, with why each was kept or dropped, and hostile text is only text."""

import json
import shutil

import polars as pl
import pytest
from click.testing import CliRunner

from pipelines.perform import STAGES
from pipelines.readers.show import (
    choose,
    fate,
    find,
    listing,
    sampled_rounds,
    sorts,
    text_list,
    text_whole,
    whole,
)
from pipelines.readers.why import why
from rft.cli import cli
from rft.errors import RFTError
from rft.foreign_text import one_line, visible
from rft.recipe.loading import load_recipe
from rft.recipe.selection import ORDERS
from rft.runs import tables
from rft.runs.folder import Run, save_recipe
from rft.runs.stages import is_current
from tests.small_run import RIGHT, WRONG, do, grade, new_run, prepare, reseal, sample, sft

HOSTILE = (
    "\x1b]0;owned\x07\x1b[31m[bold]red[/bold]\x00\u202eevil\x9b2J\r" + RIGHT + "\x1b[2Jtail\nmore"
)
REPEATED = "one two three " * 9 + RIGHT
# (problem, completion, finish_reason, mean entropy)
SAMPLES = [
    ("p0", "a1 " + RIGHT, "stop", 0.5),
    ("p0", "b2 " + RIGHT, "stop", 0.75),
    ("p0", "c3 " + RIGHT, "stop", 0.25),
    ("p0", "c3 " + RIGHT, "stop", 0.25),
    ("p0", "no box", "length", 2.0),
    ("p1", HOSTILE, "stop", 1.0),
    ("p1", REPEATED, "stop", 0.125),
    ("p1", "d4 " + WRONG, "stop", 1.5),
    ("p1", "e5 " + WRONG, "stop", 1.25),
    ("p1", "empty 1 \\boxed{}", "stop", 0.5),
]
SETTINGS = ("select.budget=4", "select.noise=0.25", "select.per_problem=2", "select.by=entropy")


def made(path, *settings: str, upto: str = "select") -> Run:
    run = new_run(path, *(settings or SETTINGS))
    prepare(run, answers={})
    sample(run, 1, SAMPLES)
    if upto != "sample":
        grade(run, 1, SAMPLES)
        do(run, "filter", 1)
        do(run, "select", 1)
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    return made(tmp_path_factory.mktemp("show") / "run")


def row_of(run: Run, problem: str, index: int) -> dict:
    rows = listing(run).filter(problem_id=problem, sample_index=index)
    return whole(run, rows.row(0, named=True))


def test_every_fate_has_its_sentence(run):
    passes = "kept: passes no_box, no_digit, redundant, duplicate"
    wanted = {
        ("p0", 0): f"{passes}; selected as positive, rank 3 of 3 by entropy (0.500)",
        ("p0", 1): f"{passes}; selected as positive, rank 2 of 3 by entropy (0.750)",
        ("p0", 2): (
            f"{passes}, but not selected: per_problem: 2 samples of its problem rank higher "
            "(place 4 by entropy (0.250))"
        ),
        ("p0", 3): "rejected by duplicate: the same response as sample 2 of this problem",
        ("p0", 4): "rejected by no_box: no box closes in the completion",
        ("p1", 0): f"{passes}; selected as positive, rank 1 of 3 by entropy (1.000)",
        ("p1", 1): "rejected by redundant: 0.81 > 0.31",
        ("p1", 4): "rejected by no_box: its boxes only repeat the form: empty, or a placeholder",
    }
    assert {place: row_of(run, *place)["why"] for place in wanted} == wanted
    noise = sorted(row_of(run, "p1", index)["why"] for index in (2, 3))
    left = "budget: place 2 in a random order, while the budget took 1 noise"
    assert noise[0] == f"{passes}, but not selected: {left}"
    assert noise[1] == f"{passes}; selected as noise, drawn at random, number 1 of 1"


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        # Two wrong answers are wanted and there, but only three right ones of eight.
        (
            ("select.budget=10", "select.noise=0.2", "select.by=entropy"),
            "while the budget took 1 noise of 2 wanted, to keep the share of noise (short of "
            "samples: only 4 positive of 8 wanted; took 5 of 10; noise is 20.0% of that, 20.0% was "
            "asked)",
        ),
        (
            ("select.budget=4", "select.noise=0.05", "select.by=entropy"),
            "while the budget took 0 noise, since 0.05 of 4 rounds to no noise",
        ),
    ],
)
def test_what_was_wanted_and_not_taken_says_what_ran_short(tmp_path, settings, told):
    run = made(tmp_path / "run", *settings)
    ends = [row_of(run, "p1", index)["why"] for index in (2, 3)]
    assert any(end.endswith(told) for end in ends), ends


@pytest.mark.parametrize(
    "settings",
    [
        SETTINGS,
        ("select.budget=2", "select.noise=0", "select.per_problem=1", "select.by=random"),
        ("select.budget=2", "select.where=pass_rate >= 0.5", "select.per_problem=null"),
        ("select.budget=2", "select.difficulty=proportional", "select.noise=0.5"),
        ("select.budget=9", "sft.max_length=26", "select.noise=0.1"),
    ],
)
def test_reasons_are_counted_as_select_counted_them(tmp_path, settings):
    run = made(tmp_path / "run", *settings)
    reasons = listing(run)["left_out"].drop_nulls().value_counts().iter_rows()
    assert dict(reasons) == run.manifest("select", 1)["counts"]["dropped"]


# Of 4 positives, by fail rates of 1/2, 0 and 1/4, p0 is due 3, p1 none and p2 1; p0 has only 2.
SHARED = [
    *(("p0", f"a{index} {text}", "stop", 0.1 + index / 10)
      for index, text in enumerate([RIGHT, RIGHT, WRONG, WRONG])),
    *(("p1", f"b{index} {RIGHT}", "stop", 0.6 + index / 10) for index in range(4)),
    *(("p2", f"c{index} {text}", "stop", 0.3 + index / 10)
      for index, text in enumerate([RIGHT, RIGHT, RIGHT, WRONG])),
]  # fmt: skip
PROPORTIONAL = ("select.difficulty=proportional", "select.by=entropy", "select.budget=4")


def shared(path, *settings: str) -> Run:
    run = new_run(path, *PROPORTIONAL, *settings)
    prepare(run, train=("p0", "p1", "p2"), answers={})
    sample(run, 1, SHARED)
    grade(run, 1, SHARED)
    do(run, "filter", 1)
    do(run, "select", 1)
    return run


def test_a_full_share_is_told_with_its_numbers(tmp_path):
    run = shared(tmp_path / "run", "select.noise=0", "select.per_problem=3")
    told = {
        (row["problem_id"], row["sample_index"]): why(run, row).partition("duplicate")[2][2:]
        for row in listing(run).to_dicts()
    }
    left = "what other problems could not fill of theirs went to better ones"
    none = "but not selected: budget: its problem's share of the 4 positive is 0 (difficulty: "
    none += f"proportional); {left}"
    one = none.replace("is 0", "is 1, which 1 better one fills")
    assert told == {
        ("p0", 0): "selected as positive, rank 3 of 4 by entropy (0.100)",
        ("p0", 1): "selected as positive, rank 2 of 4 by entropy (0.200)",
        ("p0", 2): "but not selected: noise not wanted: it is wrong, and select.noise is 0",
        ("p0", 3): "but not selected: noise not wanted: it is wrong, and select.noise is 0",
        ("p1", 0): (
            "but not selected: per_problem: 3 samples of its problem rank higher "
            "(place 7 by entropy (0.600), shares first)"
        ),
        ("p1", 1): f"{none} (place 6 by entropy (0.700), shares first)",
        ("p1", 2): f"{none} (place 5 by entropy (0.800), shares first)",
        ("p1", 3): "selected as positive, rank 4 of 4 by entropy (0.900)",
        ("p2", 0): f"{one} (place 9 by entropy (0.300), shares first)",
        ("p2", 1): f"{one} (place 8 by entropy (0.400), shares first)",
        ("p2", 2): "selected as positive, rank 1 of 4 by entropy (0.500)",
        ("p2", 3): "but not selected: noise not wanted: it is wrong, and select.noise is 0",
    }


@pytest.mark.parametrize(
    "looks",
    [
        "select.difficulty=null",
        "select.difficulty=proportional",
        "select.where=0.5 <= pass_rate <= 0.75",
    ],
)
def test_every_sentence_has_the_numbers_of_its_row(tmp_path, looks):
    settings = ("select.noise=0.3", "select.noise_by=branching", looks, "select.per_problem=2")
    run = shared(tmp_path / "run", *settings)
    selected, others = run.read("selected", 1), run.read("passed_over", 1)
    assert len(selected) + len(others) == len(SHARED)
    taken = dict(selected["role"].value_counts().iter_rows())
    rows = {row["rollout_id"]: row for row in listing(run).to_dicts()}
    for other in others.to_dicts():
        row = rows[other["rollout_id"]]
        told = why(run, row)
        assert f"not selected: {other['reason']}: " in told
        assert (row["left_out"], row["place"]) == (other["reason"], other["place"])
        if other["place"] is None:
            continue
        by, shown = ("entropy", row["mean_entropy"])
        if other["role"] == "noise":
            by, shown = "branching", row["mean_branching"]
        assert f"place {other['place'] + 1} by {by} ({shown:.3f})" in told
        of = f"{taken[other['role']]} {other['role']}"
        if other["share"] is None:
            assert ("share" in told, f"took {of}" in told) == (False, other["reason"] == "budget")
        elif other["reason"] == "budget":
            better = selected.filter(problem_id=row["problem_id"], role="positive")
            assert len(better) >= other["share"]
            assert f"share of the {of} is {other['share']}" in told


# Shortest first, right answers of four lengths; twenty make tenths of two.
LADDER = [
    *(("p0", f"a{index} " + "1" * index + RIGHT, "stop", 0.1 + index / 100) for index in range(10)),
    *(("p1", f"b{index} " + "1" * (10 + index) + RIGHT, "stop", 0.9 - index / 100)
      for index in range(10)),
]  # fmt: skip


def in_turns(path, *settings: str) -> Run:
    run = new_run(path, "select.by=entropy", "select.noise=0", "select.per_problem=null", *settings)
    prepare(run, answers={})
    sample(run, 1, LADDER)
    grade(run, 1, LADDER)
    do(run, "filter", 1)
    do(run, "select", 1)
    return run


def test_within_which_stratum_a_row_was_ranked_is_told(tmp_path):
    run = in_turns(tmp_path / "run", "select.strata=length", "select.budget=11")
    told = {row["rollout_id"]: why(run, row) for row in listing(run).to_dicts()}
    both = [run.read(name, 1).to_dicts() for name in ("selected", "passed_over")]
    for row in both[0]:
        of = f"rank {row['rank'] + 1} of 11 by entropy ({row['mean_entropy']:.3f}), number "
        of += f"{row['turn'] + 1} of length stratum {row['stratum'] + 1} of 10"
        assert told[row["rollout_id"]].endswith(f"{of} (the first has the shortest)")
    for row in both[1]:
        place = f"place {row['place'] + 1} by entropy ({row['mean_entropy']:.3f}), number 2 of "
        place += f"length stratum {row['stratum'] + 1} of 10"
        assert place in told[row["rollout_id"]]
    assert len(both[0]) == 11
    assert {row["turn"] for row in both[1]} == {1}


def test_within_which_problem_a_row_was_ranked_is_told(tmp_path):
    run = in_turns(tmp_path / "run", "select.within=problem", "select.budget=3")
    told = {
        (row["problem_id"], row["sample_index"]): why(run, row).partition("duplicate")[2][2:]
        for row in listing(run).to_dicts()
    }
    best = "selected as positive, rank 1 of 3 by entropy (0.900), number 1 of its problem"
    second = "selected as positive, rank 3 of 3 by entropy (0.890), number 2 of its problem"
    assert (told["p1", 0], told["p1", 1]) == (best, second)
    assert told["p0", 9].endswith("rank 2 of 3 by entropy (0.190), number 1 of its problem")
    assert told["p0", 8] == (
        "but not selected: budget: place 4 by entropy (0.180), number 2 of its problem, while the "
        "budget took 3 positive"
    )


def test_a_condition_finds_rows_by_their_problems_pass_rate_and_by_what_sorts(tmp_path):
    run = made(tmp_path / "run")
    rows = listing(run)
    rate = {
        name: (rows.filter(problem_id=name)["verdict"] == "correct").mean() for name in ("p0", "p1")
    }
    assert rate["p0"] > 0.5 > rate["p1"]
    assert set(choose(run, where="pass_rate > 0.5")["problem_id"]) == {"p0"}
    few = choose(run, where="pass_rate < 0.5 and tokens < 20 and rejected_by is null")
    wanted = (pl.col("problem_id") == "p1") & (pl.col("num_tokens") < 20)
    assert sorted(few["rollout_id"]) == sorted(
        rows.filter(wanted, pl.col("rejected_by").is_null())["rollout_id"]
    )
    assert few.columns == rows.columns
    assert len(choose(run, where="perplexity > 3 and entropy >= 1.25")) == 3
    with pytest.raises(RFTError, match=r"no rollout for --where .tokens > 1e9. among those"):
        choose(run, where="tokens > 1e9")


def test_how_far_a_row_is_from_those_before_it_in_its_problem_is_told(tmp_path):
    run = in_turns(
        tmp_path / "run", "select.within=problem", "select.diverse=true", "select.budget=3"
    )
    rows = {
        row["rollout_id"]: row
        for name in ("selected", "passed_over")
        for row in run.read(name, 1).to_dicts()
    }
    for row in listing(run).to_dicts():
        known = rows[row["rollout_id"]]
        number = f", number {known['turn'] + 1} of its problem"
        if known["turn"]:
            number += f" by diversity (at least {known['distance']:.3f} from each before it)"
        assert number in why(run, row)
        assert row["distance"] == known["distance"]
    assert {row["turn"] for row in rows.values() if row["distance"] is None} == {0}


def test_a_table_without_turns_reads_as_the_plain_ranking(tmp_path):
    run = made(tmp_path / "run")
    before = {row["rollout_id"]: why(run, row) for row in listing(run).to_dicts()}
    for name in ("selected", "passed_over"):
        (path,) = tables.parts(run.folder(name, 1))
        pl.read_parquet(path).drop("stratum", "turn", "distance").write_parquet(path)
        reseal(run, name, 1)
    assert {row["rollout_id"]: why(run, row) for row in listing(run).to_dicts()} == before


def selected_by_the_first_version(run: Run) -> None:
    """Take away what version 0.1 did not write."""
    manifest = run.manifest("select", 1)
    del manifest["outputs"]["passed_over"]
    manifest["versions"]["rft-rounds"] = "0.1.0"
    run.write_manifest("select", 1, manifest)
    shutil.rmtree(run.folder("passed_over", 1))


def test_a_round_of_the_first_version_has_no_reasons_and_that_is_said(tmp_path):
    run = made(tmp_path / "run")
    before = {row["rollout_id"]: why(run, row) for row in listing(run).to_dicts()}
    selected_by_the_first_version(run)
    assert is_current(STAGES["select"], run, 1), "it would be selected again"
    clause = (
        "round 1 was selected by version 0.1.0, which recorded how many others were not, and not "
        "which"
    )
    for row in listing(run).to_dicts():
        told = why(run, row)
        if "but not selected" in before[row["rollout_id"]]:
            assert told.endswith(f"but not selected: {clause}")
        else:
            assert told == before[row["rollout_id"]]
    shown = CliRunner().invoke(cli, ["show", str(run.path)])
    assert (shown.exit_code, shown.stdout.splitlines()[-1]) == (0, clause)


def test_rows_can_be_sorted_by_every_order_and_by_their_tokens():
    (option,) = (each for each in cli.get_command(None, "show").params if each.name == "sort")
    assert all(name in option.help for name in sorts())
    assert sorts().keys() == {name for name, order in ORDERS.items() if order.column} | {"tokens"}


def test_hostile_text_cannot_act_on_the_terminal(run):
    row = row_of(run, "p1", 0)
    shown = text_whole(run, row).text + text_list(run, choose(run), 99).text
    assert all(character.isprintable() or character == "\n" for character in shown)
    for escaped in (
        "\\x1b]0;owned\\x07",
        "\\x00",
        "\\u202e",
        "\\x9b2J",
        "\\x0d",
        "[bold]red[/bold]",
    ):
        assert escaped in shown
    result = CliRunner().invoke(cli, ["show", str(run.path), row["rollout_id"], "--json"])
    assert "\x1b" not in result.stdout
    assert json.loads(result.stdout)["rollout"]["completion"] == HOSTILE


def test_the_tail_that_was_cut_off_is_marked(run):
    text = text_whole(run, row_of(run, "p1", 0)).text
    ending = text.partition("cut off after the box")[2].splitlines()
    assert ending[1:] == ["  x \\x1b[2Jtail", "  x more"]
    assert "cut off" not in text_whole(run, row_of(run, "p0", 0)).text


def test_nothing_is_shortened_in_full(tmp_path):
    run = new_run(tmp_path / "run")
    prepare(run, answers={})
    text = "long " * 50_000 + RIGHT
    sample(run, 1, [("p0", text, "stop", 0.5)])
    assert text in text_whole(run, whole(run, find(run, listing(run)["rollout_id"][0]))).text


def test_the_list_begins_with_what_was_selected(run):
    rows = choose(run)
    assert [fate(row) for row in rows.iter_rows(named=True)] == [
        "positive #1",
        "positive #2",
        "positive #3",
        "noise #1",
        "- per_problem",
        "- budget",
        "x duplicate",
        "x no_box",
        "x redundant",
        "x no_box",
    ]
    text = text_list(run, rows, 3).text.splitlines()
    assert "3 of 10 rollouts; -n 10 shows all" in text[5]
    cells = [
        "1",
        choose(run)["rollout_id"][0][:8],
        "p1",
        "0",
        "correct",
        "positive",
        "#1",
        "7",
        "7",
    ]
    assert text[1].split()[:9] == cells


def test_options_choose_and_sort(run):
    assert choose(run, verdict="wrong", round=1)["sample_index"].to_list() in ([2, 3], [3, 2])
    assert set(choose(run, rule="no_box")["rejected_by"]) == {"no_box"}
    assert choose(run, role="noise").height == 1
    assert choose(run, problem="p0").height == 5
    entropies = choose(run, sort="entropy")["mean_entropy"].to_list()
    assert entropies == sorted(entropies, reverse=True)


def test_one_problem_is_headed_by_its_question(run):
    text = text_list(run, choose(run, problem="p0"), 20).text
    assert text.startswith("question    What is p0?\ngold        7\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"verdict": "timeout"}, r"no rollout for --verdict 'timeout'.* 10 .*: correct \(6\)"),
        ({"round": 3}, r"no rollout for --round 3.*: 1 \(10\)"),
        ({"role": "noise", "rule": "no_box"}, r"--rule 'no_box'; among the 1 .*: none \(no_box is"),
        (
            {"rule": "redundnat"},
            r"the 10 .*: duplicate \(1\), no_box \(2\), redundant \(1\)$",
        ),
        ({"problem": "q"}, r"no problem with rollouts starts with 'q'; there are 2, such as p0"),
        ({"problem": "p"}, r"2 problems \(p0, p1\) start with 'p'"),
    ],
)
def test_what_matches_nothing_says_what_there_is(run, options, message):
    with pytest.raises(RFTError, match=message):
        choose(run, **options)


def test_an_id_may_be_any_start_that_is_no_other_ids(run):
    name = listing(run)["rollout_id"][0]
    assert find(run, name[:8])["rollout_id"] == name
    with pytest.raises(RFTError, match="no rollout 'zzz'; there are 10, such as"):
        find(run, "zzz")
    with pytest.raises(RFTError, match="no rollout ''"):
        find(run, "")
    first = pl.Series([each[0] for each in listing(run)["rollout_id"]]).value_counts()
    twice = first.filter(pl.col("count") > 1)[:, 0]
    with pytest.raises(RFTError, match="give more of the id"):
        find(run, twice[0])


def test_rollouts_can_be_read_before_they_are_graded(tmp_path):
    run = made(tmp_path / "run", upto="sample")
    row = row_of(run, "p0", 0)
    assert row["why"] == "sampled, not graded yet"
    assert "not graded yet" in text_whole(run, row).text
    assert "10 of 10" in text_list(run, choose(run), 20).text


def test_an_empty_run_says_what_makes_rollouts(tmp_path):
    with pytest.raises(RFTError, match="nothing sampled yet; `rft run"):
        choose(new_run(tmp_path / "run"))


def test_where_a_model_was_measured_alone_it_says_what_shows_its_answers(tmp_path):
    run = Run(tmp_path / "run", load_recipe("smoke", ("rounds=0", "gate=null")))
    run.path.mkdir()
    save_recipe(run)
    with pytest.raises(RFTError, match=r"no round sampled; `rft view .*run` has its answers"):
        choose(run)


def test_an_online_run_says_that_it_keeps_none_and_what_to_read(tmp_path):
    run = Run(tmp_path / "a run", load_recipe("grpo-quickstart"))
    run.path.mkdir()
    save_recipe(run)
    for words in ([], ["137df422"], ["--verdict", "wrong"]):
        refused = CliRunner().invoke(cli, ["show", str(run.path), *words])
        assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
        assert "online training keeps no rollouts" in refused.stderr
        assert f"`rft report '{run.path}'`" in refused.stderr
        assert str(run.folder("dynamics", 1)) in refused.stderr


def test_a_changed_recipe_explains_nothing_wrongly(tmp_path):
    run = made(tmp_path / "run")
    again = new_run(run.path, "select.by=random", "select.budget=4")
    row = row_of(again, "p0", 2)
    assert row["why"] == row_of(run, "p0", 2)["why"]
    assert row["why"].endswith("2 samples of its problem rank higher (place 4 by entropy (0.250))")


def test_the_command_lists_shows_and_refuses(run):
    def rft(*words: str):
        return CliRunner().invoke(cli, ["show", str(run.path), *words])

    assert len(rft("-n", "2", "--json").stdout.splitlines()) == 2
    assert json.loads(rft("--role", "noise", "--json").stdout)["role"] == "noise"
    name = listing(run)["rollout_id"][0]
    assert rft(name).stdout.startswith(f"rollout     {name}")
    wrong = rft("--verdict", "nonsense")
    assert (wrong.exit_code, wrong.stderr.count("\n")) == (2, 1)
    assert rft(name, "--role", "noise").exit_code == 2


def test_lineage_names_model_and_seed(run):
    row = row_of(run, "p0", 2)
    base = f"model 0, the base ({row['model'][:12]})"
    assert f"{base}, sampling s, seed 2" in " ".join(text_whole(run, row).text.split())


def test_one_in_full_names_the_licence_and_who_learnt_from_it(tmp_path):
    run = made(tmp_path / "run")
    best = choose(run).row(0, named=True)
    assert "learnt by   no model" in text_whole(run, whole(run, best)).text
    sft(run, 1)
    text = text_whole(run, whole(run, best)).text
    assert "learnt by   model 1 (adopted, 1 epoch)" in text
    assert "source      bundled:arithmetic, split train, content " in text
    assert "licence apache-2.0" in text
    assert "learnt by" not in text_whole(run, row_of(run, "p0", 4)).text


def test_shortening_is_always_marked():
    assert one_line("a\nb\tc\x1b", 20) == "a\\nb\\tc\\x1b"
    assert one_line("x" * 13, 12) == "x" * 11 + "…"
    assert one_line("漢" * 7, 12) == "漢" * 5 + "…"
    assert (
        visible("tab\tand\nline stay, \u2028 does not") == "tab\tand\nline stay, \\u2028 does not"
    )


def test_a_short_id_in_a_list_finds_its_rollout_in_the_whole_run(tmp_path):
    run = made(tmp_path / "run", upto="sample")
    ids = [f"{'a' * 8}{index:08x}" for index in range(2)] + [f"{index:016x}" for index in range(8)]
    rollouts = run.read("rollouts", 1).with_columns(rollout_id=pl.Series(ids))
    tables.write(run.folder("rollouts", 1), "rollouts", rollouts)
    reseal(run, "rollouts", 1)
    for row in choose(run, problem="p0").iter_rows(named=True):
        assert find(run, row["short_id"])["rollout_id"] == row["rollout_id"]
    assert ids[0] in text_list(run, choose(run), 20).text


def test_a_folder_of_rollouts_of_no_round_is_left_alone(tmp_path):
    for name in ("round-x", "round-²", "round-0002"):
        (tmp_path / "rollouts" / name).mkdir(parents=True)
        (tmp_path / "rollouts" / name / "part-00000.parquet").write_text("x")
    assert sampled_rounds(Run(tmp_path, load_recipe("smoke"))) == [2]
