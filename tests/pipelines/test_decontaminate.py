"""Training problems that share words with what is measured on are told of, and dropped if asked.

Run: python -m pytest tests/pipelines/test_decontaminate.py
"""

import json
from pathlib import Path

import pytest

from pipelines.perform import STAGES
from pipelines.readers.cards.page import overlaps_sentence
from pipelines.readers.report import text_report
from pipelines.readers.sources import NOT_LOOKED, overlap_words
from rft.errors import RFTError
from rft.problems.overlaps import runs_of, words_of
from rft.processes.stopping import Stop
from rft.recipe.loading import load_recipe, rooted
from rft.runs import stages, tables
from rft.runs.folder import Run, save_recipe
from rft.runs.stages import Job

TEST = [
    "A train leaves the old station at noon and goes 60 miles an hour. How far is it at four?",
    "Three friends share 45 red marbles among them in equal parts. How many has each of them?",
]
TRAIN = {
    "copy": "A train leaves the old station at NOON and goes 60 miles an hour: how far is it at 4?",
    "part": "So three friends share 45 red marbles among them, and one eats a pear. Who is it?",
    "eleven": "Yes: leaves the old station at noon and goes 60 miles an, and no more. Or is it?",
    "fresh": "Nine birds sit on a wire, and two fly off. How many sit there still?",
    "again": "Nine birds sit on a wire and two fly off, how many sit there still!",
    "lone": "Is seven odd?",
}


def write(path: Path, texts) -> Path:
    rows = [{"question": text, "gold": "7"} for text in texts]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def prepared(folder: Path, *settings: str, train=None) -> Run:
    """Prepare a run over files of its own for real."""
    train = train or TRAIN.values()
    folder.mkdir(exist_ok=True)
    given = [
        f"prepare.train={{source: {write(folder / 'train.jsonl', train)}}}",
        f"prepare.test={{source: {write(folder / 'test.jsonl', TEST)}}}",
    ]
    run = Run(folder / "run", load_recipe("smoke", [*given, *settings]))
    run.path.mkdir()
    save_recipe(run)
    look(run, 0)
    return run


def look(run: Run, round: int) -> list[str]:
    said: list[str] = []
    stages.perform(Job(run, STAGES["prepare"], round, Stop(), said.append))
    return said


def named(run: Run, table: str, round: int = 0) -> dict[str, str]:
    """Map the names of training problems to what a table says of them."""
    names = {text: name for name, text in TRAIN.items()}
    frame = run.read(table, round).filter(split="train")
    told = frame["reason"] if table == "set_aside" else frame["split"]
    return dict(zip((names[text] for text in frame["question"]), told, strict=True))


def test_what_is_shared_is_reported_and_nothing_dropped_unless_asked(tmp_path):
    run = prepared(tmp_path)
    assert list(named(run, "problems")) == list(TRAIN)
    asked = dict(run.read("problems", 0, ["problem_id", "question"]).iter_rows())
    names = {text: name for name, text in TRAIN.items()}
    rows = {names[asked[row["problem_id"]]]: row for row in run.read("overlaps", 0).to_dicts()}
    assert {name: (row["runs_8"], row["runs_12"]) for name, row in rows.items()} == {
        "copy": (12, 8),
        "part": (1, 0),
        "eleven": (4, 0),
    }
    assert rows["part"]["example"] == "three friends share 45 red marbles among them"
    assert rows["part"]["other_question"] == TEST[1]
    assert (rows["copy"]["other_split"], rows["copy"]["other_benchmark"]) == ("test", "test")
    assert run.manifest("prepare", 0)["overlaps"] == {
        "test": {"runs_8": 3, "runs_12": 1, "near": 1, "phrases": 0}
    }
    words = (
        "3 training problems share 8 words in a row with test, 1 share 12, 1 are nearly the same"
    )
    assert overlap_words(run) == [words]
    assert words in " ".join(text_report(run).split())
    assert overlaps_sentence(run) == f"{words}."


def test_what_is_shared_is_dropped_by_eight_words_or_by_twelve(tmp_path):
    run = prepared(tmp_path / "8", "prepare.decontaminate=drop")
    assert named(run, "set_aside") == dict.fromkeys(("copy", "part", "eleven"), "overlaps test")
    assert list(named(run, "problems")) == ["fresh", "again", "lone"]
    counts = run.manifest("prepare", 0)["counts"]
    assert counts["set_aside"] == {"overlaps test": 3}
    assert counts["in"] == 8 == sum(counts["problems"].values()) + 3
    assert overlap_words(run)[0].endswith(" (dropped: 8 words, or nearly the same)")
    run = prepared(tmp_path / "12", "prepare.decontaminate={do: drop, words: 12}")
    assert named(run, "set_aside") == {"copy": "overlaps test"}


def test_another_benchmark_may_be_looked_into_and_what_it_holds_is_in_the_key(tmp_path):
    tmp_path.joinpath("run-1").mkdir()
    other = write(tmp_path / "other.jsonl", ["Nine birds sit on a wire and two fly off. How many?"])
    how = f"prepare.decontaminate={{do: drop, against: {{birds: {other}}}}}"
    run = prepared(tmp_path / "run-1", how)
    assert named(run, "set_aside")["fresh"] == "overlaps birds"
    assert named(run, "set_aside")["copy"] == "overlaps test"
    assert set(run.manifest("prepare", 0)["overlaps"]) == {"birds", "test"}
    assert "birds" not in set(run.read("problems", 0)["benchmark"])
    noted = run.manifest("prepare", 0)["inputs"]
    assert noted["against/birds"] == tables.file_digest(other)


def test_a_file_that_is_looked_into_is_the_same_wherever_the_run_is_called_from(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "other.jsonl", ["What then?"])
    how = "prepare.decontaminate={against: {mine: other.jsonl}}"
    asked = rooted(load_recipe("smoke", [how])).prepare.decontaminate.against["mine"]
    assert asked.source == str(tmp_path / "other.jsonl")


def under(run: Run, *settings: str) -> Run:
    """Give the run under other settings."""
    return Run(run.path, load_recipe(str(run.path / "recipe.yaml"), list(settings)))


def is_current(run: Run) -> bool:
    return stages.is_current(STAGES["prepare"], run, 0)


def test_what_is_looked_for_is_in_the_key_and_the_default_leaves_none(tmp_path):
    run = prepared(tmp_path)
    for how, current in [("off", False), ("report", True), ("{words: 12}", True), ("drop", False)]:
        assert is_current(under(run, f"prepare.decontaminate={how}")) is current, how
    assert not is_current(under(run, "prepare.near_duplicates=0.9"))
    told = run.manifest("prepare", 0)["settings"]["prepare"]
    assert set(told) == {"train", "dev", "test"}, "the key of runs that were there before"


def against(path: Path, **source: object) -> str:
    birds = json.dumps({"source": str(path), **source})
    return f"prepare.decontaminate={{do: drop, against: {{birds: {birds}}}}}"


def test_each_setting_of_a_benchmark_that_is_looked_into_is_in_the_key_but_its_licence(tmp_path):
    (tmp_path / "x").mkdir()
    path = tmp_path / "other.jsonl"
    path.write_text(json.dumps({"a": TRAIN["fresh"], "b": "What then?", "gold": "7"}) + "\n")
    asked_b, asked_a = ({"columns": {"question": name}} for name in "ba")
    run = prepared(tmp_path / "x", against(path, **asked_b))
    assert "fresh" in named(run, "problems")
    assert is_current(under(run, against(path, **asked_b, license="mit")))
    for change in ({"limit": 1}, {"split": "x"}, {"config": "x"}, {"gold_reader": "boxed"}):
        assert not is_current(under(run, against(path, **(asked_b | change)))), change
    again = under(run, against(path, **asked_a))
    assert not is_current(again)
    look(again, 0)
    assert named(again, "set_aside")["fresh"] == "overlaps birds"


def test_looking_again_leaves_what_hangs_on_problems_that_come_out_the_same(tmp_path):
    run = prepared(tmp_path, "prepare.decontaminate=off")
    before = run.problems_digest(0)
    for how in ("report", "off", f"{{against: {{mine: {tmp_path / 'test.jsonl'}}}}}"):
        again = under(run, f"prepare.decontaminate={how}")
        assert not is_current(again), how
        look(again, 0)
        assert is_current(again)
        assert again.problems_digest(0) == before
        assert bool(len(again.read("overlaps", 0))) is (how != "off")


def test_a_change_of_what_is_found_is_in_the_key_of_what_drops_by_it(tmp_path, monkeypatch):
    run = prepared(tmp_path)
    dropping = ["prepare.decontaminate=drop", "prepare.near_duplicates=0.9"]
    before = [STAGES["prepare"].settings(under(run, how), 0) for how in dropping]
    monkeypatch.setattr("rft.problems.contamination.FINDING", 99)
    assert is_current(run)
    for how, told in zip(dropping, before, strict=True):
        assert STAGES["prepare"].settings(under(run, how), 0) != told


def test_off_looks_at_nothing_and_bundled_problems_are_not_looked_at(tmp_path):
    run = prepared(tmp_path / "off", "prepare.decontaminate=off")
    assert run.read("overlaps", 0).is_empty()
    assert overlap_words(run) == [NOT_LOOKED]
    assert NOT_LOOKED in " ".join(text_report(run).split())
    assert (
        overlaps_sentence(run) == "Overlap between training and test problems was not looked for."
    )
    bundled = "prepare.train={source: bundled:arithmetic, split: train, limit: 30}"
    run = prepared(tmp_path / "bundled", bundled, "prepare.decontaminate=drop")
    assert run.read("overlaps", 0).is_empty()
    assert overlap_words(run) == [NOT_LOOKED]
    run = prepared(tmp_path / "clean", train=[TRAIN["fresh"]])
    assert overlap_words(run) == ["no training problem shares 8 words in a row with test"]


def test_near_duplicates_keep_the_first_and_what_is_measured(tmp_path):
    run = prepared(tmp_path, "prepare.near_duplicates=0.6", "prepare.decontaminate=off")
    assert named(run, "set_aside") == {
        "copy": "nearly in test",
        "again": "nearly repeated in train",
    }
    assert list(named(run, "problems")) == ["part", "eleven", "fresh", "lone"]
    assert len(run.read("problems", 0).filter(split="test")) == 2


def test_a_held_out_problem_is_measured_on_too(tmp_path):
    copies = [f"{TRAIN['fresh']} Say it in {word}." for word in ("French", "Latin", "verse")]
    run = prepared(
        tmp_path, "prepare.dev={holdout: 1}", "prepare.decontaminate=drop", train=[*copies, "One?"]
    )
    dev = run.read("problems", 0).filter(split="dev")
    assert len(dev) == 1
    held = dev["question"][0] in copies
    assert run.read("set_aside", 0)["reason"].to_list() == ["overlaps dev"] * (2 if held else 0)


@pytest.mark.parametrize("do", ["report", "drop"])
def test_the_figures_are_of_what_is_left_to_train_on_and_dev_is_looked_into(tmp_path, do):
    word = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    given = [f"{TEST[0]} Say {first} and {other}." for first in word for other in word[:4]]
    given += [f"Now {first} and {other}: {TRAIN['fresh']}" for first in word for other in word[:4]]
    given += [f"Is {first} {other} odd?" for first in word for other in word[:5]]
    run = prepared(
        tmp_path / "x",
        *("prepare.dev={holdout: 20}", f"prepare.decontaminate={do}"),
        train=given,
    )
    rows = run.read("problems", 0)
    train, dev = (rows.filter(split=split)["question"].to_list() for split in ("train", "dev"))
    aside = run.read("set_aside", 0)
    train += aside["question"].to_list()
    told = run.manifest("prepare", 0)["overlaps"]
    assert set(told) == {"dev", "test"}

    def sharing(others: list[str]) -> int:
        theirs = set().union(*(runs_of(words_of(each), 8) for each in others))
        return sum(not theirs.isdisjoint(runs_of(words_of(text), 8)) for text in train)

    assert len(dev) == 20
    assert len(train) == 130 - 20
    assert any(text.startswith(TEST[0]) for text in dev) is (do == "report"), "a dropped one is not"
    assert told["test"]["runs_8"] == sharing(TEST) > 0
    assert told["dev"]["runs_8"] == sharing(dev) > 0
    overlaps = run.read("overlaps", 0)
    ids = {*rows.filter(split="train")["problem_id"], *aside["problem_id"]}
    assert set(overlaps["problem_id"]) <= ids, "none of them was held out"
    counts = dict(overlaps["other_benchmark"].value_counts().iter_rows())
    assert counts == {name: shared["runs_8"] for name, shared in told.items()}
    if do == "drop":
        assert set(aside["reason"]) == {"overlaps test", "overlaps dev"}


def test_a_later_round_looks_at_what_is_new(tmp_path):
    run = prepared(
        tmp_path,
        *("prepare.refresh=round", "prepare.decontaminate=drop", "prepare.near_duplicates=0.6"),
        train=[TRAIN["fresh"]],
    )
    write(tmp_path / "train.jsonl", TRAIN.values())
    look(run, 2)
    assert named(run, "set_aside", 2) == {
        "copy": "nearly in test",
        "again": "nearly repeated in train",
        "part": "overlaps test",
        "eleven": "overlaps test",
    }
    assert list(named(run, "problems", 2)) == ["lone"]
    assert len(run.read("overlaps", 2)) == 2


def test_turns_of_phrase_are_counted_apart_and_nothing_is_dropped_for_them(tmp_path):
    phrase = "can be written as m over n where m and n are prime"
    phrases = [f"Number {n} {phrase}." for n in range(9)]
    (tmp_path / "x").mkdir()
    rest = " ".join(map(str, range(30)))
    against = write(tmp_path / "against.jsonl", [f"My number {phrase}. {rest}"])
    how = f"prepare.decontaminate={{do: drop, against: {{mine: {against}}}}}"
    run = prepared(tmp_path / "x", how, train=phrases)
    assert len(run.read("problems", 0).filter(split="train")) == 9
    assert overlap_words(run)[0].endswith("; 9 more share turns of phrase only")
    assert run.read("overlaps", 0).is_empty()


def test_a_later_round_takes_nothing_that_cannot_be_looked_into(tmp_path):
    against = write(tmp_path / "against.jsonl", ["What then?"])
    run = prepared(
        tmp_path / "x",
        *("prepare.refresh=round", f"prepare.decontaminate={{against: {{mine: {against}}}}}"),
        train=[TRAIN["fresh"]],
    )
    write(tmp_path / "x" / "train.jsonl", TRAIN.values())
    against.unlink()
    said = look(run, 2)
    assert "no new problem is taken before it can be looked into" in " ".join(said)
    assert run.read("problems", 2).is_empty()
    write(against, ["What then?"])
    look(run, 3)
    assert len(run.read("problems", 3)) > 0


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("prepare.decontaminate=yes", "should be 'report', 'drop' or 'off'"),
        ("prepare.decontaminate={words: 9}", "prepare.decontaminate.words is 9"),
        ("prepare.decontaminate={do: off, against: [math500]}", "off looks into nothing"),
        ("prepare.decontaminate={against: [math600]}", 'did you mean "math500"?'),
        ("prepare.decontaminate={against: mine.jsonl}", "it is one source without a name"),
        ("prepare.decontaminate={against: {a/b: x.jsonl}}", "is no benchmark name"),
        ("prepare.near_duplicates=0", "prepare.near_duplicates is 0"),
        ("prepare.near_duplicates=1.5", "prepare.near_duplicates is 1.5"),
    ],
)
def test_a_setting_that_means_nothing_is_refused(setting, says):
    with pytest.raises(RFTError) as refused:
        load_recipe("smoke", [setting])
    assert says in str(refused.value)
