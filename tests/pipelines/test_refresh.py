"""New problems of a source: seen by each round under `prepare.refresh: round`, else by nobody."""

import json
from pathlib import Path

import pytest

from pipelines import sample
from pipelines.perform import STAGES
from pipelines.prepare import changed_sources
from pipelines.readers.show import listing
from pipelines.readers.status import status
from pipelines.run import looks_for_problems, walk
from rft.errors import RFTError
from rft.processes.stopping import Stop
from rft.recipe.loading import load_recipe
from rft.runs import stages
from rft.runs.folder import Run, save_recipe
from rft.runs.stages import Job
from tests import small_run
from tests.command import rft_here
from tests.small_run import RIGHT

MEASURED = {("test", "test", "t"): [RIGHT] * 4}


def write(path: Path, *numbers: int, gold: str = "7") -> None:
    rows = [{"question": f"What is number {n}?", "gold": gold} for n in numbers]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def begin(folder: Path, *settings: str, refresh: str = "round") -> Run:
    """Begin a run over a file of its own, which has three problems, and prepare it for real."""
    source = folder / "mine.jsonl"
    write(source, 1, 2, 3)
    train = f"prepare.train={{source: {source}}}"
    refreshed = f"prepare.refresh={refresh}"
    recipe = load_recipe("smoke", [train, refreshed, "rounds=3", "select.noise=0", *settings])
    run = Run(folder / "run", recipe)
    run.path.mkdir()
    save_recipe(run)
    prepare(run, 0)
    small_run.evaluate(run, 0, MEASURED)
    return run


def prepare(run: Run, round: int) -> list[str]:
    """Do the real stage, and give what it says."""
    said: list[str] = []
    stages.perform(Job(run, STAGES["prepare"], round, Stop(), said.append))
    return said


def one_round(run: Run, round: int) -> None:
    """Do a round of made-up answers to the problems that it takes."""
    ids = sorted(run.problems(["problem_id", "split"]).filter(split="train")["problem_id"])
    samples = [(name, f"{name} {RIGHT}", "stop", 0.5) for name in ids]
    small_run.whole_round(run, round, samples, MEASURED)


def questions(run: Run, upto: int | None = None) -> list[str]:
    rows = run.problems(["question", "split"], upto=upto).filter(split="train")
    return [text.removeprefix("What is number ").removesuffix("?") for text in rows["question"]]


def test_a_round_takes_what_is_new_and_the_rounds_before_stay_as_they_were(tmp_path):
    run = begin(tmp_path)
    one_round(run, 1)
    before = sample.inputs(run, 1)
    write(tmp_path / "mine.jsonl", 1, 2, 3, 4, 5)
    assert status(run)["stage"] == "prepare"
    assert prepare(run, 2) == ["problems: 2 new among 5"]
    assert (questions(run, 1), questions(run)) == (["1", "2", "3"], ["1", "2", "3", "4", "5"])
    counts = run.manifest("prepare", 2)["counts"]
    assert counts == {"problems": {"train": 2}, "set_aside": {}, "in": 5, "known": 3}
    assert sample.inputs(run, 1) == before
    assert sample.inputs(run, 2)["problems"] != before["problems"]
    assert status(run)["stage"] == "sample", "and the first round is still current"
    one_round(run, 2)
    assert len(listing(run).filter(round=2)) == 5
    assert None not in listing(run)["question"].to_list(), "whose problems are all known"


def test_a_problem_is_new_once_and_what_was_set_aside_is_no_news(tmp_path):
    run = begin(tmp_path)
    one_round(run, 1)
    path = tmp_path / "mine.jsonl"
    write(path, 1, 2, 4)
    with path.open("a") as file:
        file.write(
            '{"question": "", "gold": "7"}\n{"question": "What is number 3?", "gold": "8"}\n'
        )
    assert prepare(run, 2) == [
        "problems: 1 new among 5; set aside 1: empty question; set aside 1: repeated in train"
    ]
    one_round(run, 2)
    assert prepare(run, 3) == ["problems: 0 new among 5"]
    assert len(run.read("problems", 3)) == 0
    assert questions(run) == ["1", "2", "3", "4"], "what left the source stays in the run"


def test_a_problem_of_dev_or_test_never_becomes_one_to_learn_from(tmp_path):
    run = begin(tmp_path)
    one_round(run, 1)
    test = run.problems(["question", "gold", "split"]).filter(split="test").to_dicts()[0]
    row = {"question": test["question"], "gold": test["gold"][0]}
    (tmp_path / "mine.jsonl").write_text(json.dumps(row) + "\n")
    assert prepare(run, 2) == ["problems: 0 new among 1"], "the same problem is known"
    (tmp_path / "mine.jsonl").write_text(json.dumps(row | {"gold": "17 or so 5"}) + "\n")
    assert prepare(run, 2)[0].startswith("problems: 0 new among 1; set aside 1: also in test")


def test_a_source_that_is_gone_costs_its_news_and_not_the_round(tmp_path):
    run = begin(tmp_path)
    one_round(run, 1)
    (tmp_path / "mine.jsonl").unlink()
    warning, told = prepare(run, 2)
    assert warning.startswith("warning: prepare: ")
    assert "the round goes on" in warning
    assert told == "problems: 0 new among 0"
    assert list(run.manifest("prepare", 2)["unread"]) == ["train/train"]
    assert stages.is_current(STAGES["prepare"], run, 2)


def test_a_round_that_has_looked_never_looks_again(tmp_path):
    run = begin(tmp_path)
    one_round(run, 1)
    prepare(run, 2)
    write(tmp_path / "mine.jsonl", 1, 2, 3, 4)
    assert stages.is_current(STAGES["prepare"], run, 2)
    assert not stages.is_current(STAGES["prepare"], run, 3)


def test_rounds_that_were_sampled_before_anyone_asked_are_left_alone(tmp_path):
    run = begin(tmp_path, refresh="never")
    assert not any(looks_for_problems(run, round) for round in (1, 2, 3))
    one_round(run, 1)
    one_round(run, 2)
    asking = Run(run.path, load_recipe("smoke", ["prepare.refresh=round", "rounds=3"]))
    assert [looks_for_problems(asking, round) for round in (1, 2, 3)] == [False, False, True]
    assert [round for round, stage in walk(asking, 3) if stage.name == "prepare"] == [0, 3]


def test_without_refresh_a_changed_file_changes_nothing_and_is_told(tmp_path):
    run = begin(tmp_path, refresh="never")
    source = tmp_path / "mine.jsonl"
    assert changed_sources(run) == []
    write(source, 1, 2, 3, 4)
    assert changed_sources(run) == [str(source)]
    assert stages.is_current(STAGES["prepare"], run, 0)
    source.unlink()
    assert stages.is_current(STAGES["prepare"], run, 0)
    assert changed_sources(run) == []


def test_the_command_for_one_round_refuses_rounds_that_do_not_look(tmp_path):
    run = begin(tmp_path, refresh="never")
    assert "that round looks for no new problems" in rft_here(
        "prepare", run.path, "--round", 2, code=2
    )


def test_online_training_has_no_later_round():
    with pytest.raises(RFTError, match=r"prepare\.refresh is round, and online training"):
        load_recipe("grpo-quickstart", ["prepare.refresh=round"])
