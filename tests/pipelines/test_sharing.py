"""What a run takes over from its siblings: what is the same by key, whole, and nothing else.

Runs are small ones without a model (tests/small_run.py), whose keys are real.
"""

import errno
import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipelines.sharing import _same, keep_to_commits, take_over
from rft.ending.spending import attempts, spent_by
from rft.errors import Interrupted, RFTError
from rft.recipe.loading import load_recipe
from rft.runs.atomic import atomic_text
from rft.runs.folder import Run, open_run
from rft.runs.lock import hold
from rft.sampling.preflight import key_of_preflight
from tests import small_run
from tests.same_run import differences

SAMPLES = [
    ("p0", "first \\boxed{7}", "stop", 0.5),
    ("p0", "second one \\boxed{7}", "stop", 0.9),
    ("p1", "third \\boxed{7}", "stop", 0.1),
    ("p1", "none", "length", 0.3),
]
ANSWERS = {("test", "test", f"t{index}"): small_run.solved(index, 4) for index in range(4)}
BEGINNING = [(0, "prepare"), (0, "evaluate")]
UPTO_FILTER = [*BEGINNING, (1, "sample"), (1, "grade"), (1, "filter")]


def finish(run: Run) -> Run:
    small_run.prepare(run, answers=ANSWERS)
    small_run.evaluate(run, 0, ANSWERS)
    small_run.whole_round(run, 1, SAMPLES, ANSWERS)
    return run


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Run:
    return finish(small_run.new_run(tmp_path_factory.mktemp("original") / "seed-0"))


@pytest.fixture
def source(original, tmp_path) -> Run:
    """Give a finished sibling that the test may change."""
    shutil.copytree(original.path, tmp_path / "source")
    return Run(tmp_path / "source", original.recipe)


def new(path: Path, *overrides: str) -> Run:
    run = Run(path, load_recipe("smoke", overrides))
    path.mkdir(parents=True)
    return run


def contents(run: Run) -> dict[str, bytes]:
    files = (path for path in run.path.rglob("*") if path.is_file())
    return {str(path.relative_to(run.path)): path.read_bytes() for path in files}


@pytest.mark.parametrize(
    ("overrides", "taken"),
    [
        ((), [*UPTO_FILTER, (1, "select")]),
        (("sft.learning_rate=0.1", "keep.models=last"), [*UPTO_FILTER, (1, "select")]),
        (("select.by=entropy",), UPTO_FILTER),
        (("rounds=3",), [*UPTO_FILTER, (1, "select")]),
        (("filter={no_box: {}}",), UPTO_FILTER[:-1]),
        (("sample.n=3",), BEGINNING),
        (("evaluate.temperature=0.5",), [(0, "prepare")]),
        (("prompt.template='{question}'",), []),
        (("seed=1",), []),
    ],
)
def test_what_has_the_same_key_is_taken_over_until_one_differs(
    original, tmp_path, overrides, taken
):
    run = new(tmp_path / "run", *overrides)
    assert take_over(run, [original]) == taken
    assert open_run(run.path).recipe == run.recipe
    for round, stage in taken:
        assert run.manifest(stage, round) == original.manifest(stage, round)
    assert not list(run.path.glob("models/*")), "a model was taken"
    assert not list(run.path.glob("work/round-*"))
    assert not run.locked()
    assert take_over(run, [original]) == []


@pytest.mark.parametrize("overrides", [(), ("select.by=entropy",), ("sample.n=3",)])
def test_a_run_that_has_taken_over_is_the_one_that_did_all_by_itself(original, tmp_path, overrides):
    alone = finish(small_run.new_run(tmp_path / "alone", *overrides))
    run = new(tmp_path / "run", *overrides)
    assert take_over(run, [original])
    finish(run)
    told = list(differences(alone.path, run.path))
    assert told
    assert [what for what, same in told if not same] == []
    assert spent_by(run).tokens == spent_by(alone).tokens > 0


def test_hours_are_those_of_the_run_itself_and_tokens_also_those_that_it_was_spared(
    source, tmp_path
):
    day = json.dumps({"time": "2026-11-28T00:00:00+00:00", "event": "start", "stage": "sample"})
    night = json.dumps({"time": "2026-11-29T00:00:00+00:00", "event": "done", "stage": "sample"})
    log = source.path / "events.jsonl"
    log.write_text(f"{day}\n{night}\n{log.read_text()}")
    run = new(tmp_path / "run")
    take_over(run, [source])
    finish(run)
    events = run.events()
    starts = [event["stage"] for event in events if event["event"] == "start"]
    assert starts == ["sft", "evaluate"]
    shared = [(e["round"], e["stage"], e["source"]) for e in events if e["event"] == "shared"]
    assert shared == [(*each, "source") for each in [*UPTO_FILTER, (1, "select")]]
    assert attempts(source).seconds >= 24 * 3600 > attempts(run).seconds


def test_what_it_has_begun_itself_is_put_away_and_stays_paid_for(original, tmp_path):
    run = new(tmp_path / "run")
    receipt = run.work("sample", 1) / "worker-0" / "00000.json"
    atomic_text(receipt, json.dumps({"tokens": 7, "seconds": 1.0}))
    take_over(run, [original])
    assert not run.work("sample", 1).exists()
    assert spent_by(finish(run)).tokens == spent_by(original).tokens + 7


class Killed(BaseException):
    pass


OPERATIONS = [(os, "link"), (Path, "rename"), (Path, "mkdir"), (Path, "replace")]
OPERATIONS += [(Path, "unlink"), (shutil, "rmtree"), (Run, "event"), (Run, "write_manifest")]


def test_a_kill_before_any_operation_leaves_what_the_next_call_makes_whole(original, tmp_path):
    whole = new(tmp_path / "whole", "select.by=entropy")
    taken = take_over(whole, [original])
    expected = contents(whole)
    left, killed = 0, True
    while killed:
        run, killed = new(tmp_path / f"run-{left}", "select.by=entropy"), False
        with pytest.MonkeyPatch.context() as patch:
            count = iter(range(left, -1, -1))
            for home, name in OPERATIONS:
                patch.setattr(home, name, counted(getattr(home, name), count))
            try:
                again = take_over(run, [original])
            except Killed:
                killed = True
        if killed:
            (run.path / "lock").unlink(missing_ok=True)  # its owner would be gone
            again = take_over(run, [original])
            assert again == taken[len(taken) - len(again) :]
        for name, content in contents(run).items():
            assert name == "events.jsonl" or expected[name] == content
        assert contents(run).keys() == expected.keys()
        left += 1
    assert left > 30, "nothing was counted"


def counted(operation, count):
    def one(*arguments, **options):
        if not next(count, 1):
            raise Killed
        return operation(*arguments, **options)

    return one


def flip(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 0xFF
    path.write_bytes(whole)


def test_a_damaged_source_is_passed_over_and_another_one_serves(original, source, tmp_path):
    flip(source.folder("rollouts", 1) / "part-00000.parquet")
    run = new(tmp_path / "run")
    assert take_over(run, [source]) == BEGINNING
    assert not list(run.path.glob("work/*/*/*")), "damage lies in the run"
    run = new(tmp_path / "other")
    assert take_over(run, [source, original]) == [*UPTO_FILTER, (1, "select")]
    assert (
        contents(run)["rollouts/round-0001/part-00000.parquet"]
        == (contents(original)["rollouts/round-0001/part-00000.parquet"])
    )


@pytest.mark.parametrize("damage", ["manifest", "missing", "shorter", "no run"])
def test_a_source_with_other_damage_is_passed_over_too(source, tmp_path, damage):
    part = source.folder("rollouts", 1) / "part-00000.parquet"
    match damage:
        case "manifest":
            source.manifest_path("sample", 1).write_text("{}")
        case "missing":
            part.unlink()
        case "shorter":
            part.write_bytes(part.read_bytes()[:-1])
        case "no run":
            shutil.rmtree(source.path)
    taken = take_over(new(tmp_path / "run"), [source])
    assert taken == ([] if damage == "no run" else BEGINNING)


def test_a_source_that_puts_its_files_away_meanwhile_is_passed_over(source, tmp_path, monkeypatch):
    link = os.link

    def put_away(file, other):
        if "graded" in str(file):
            Path(file).unlink()
        link(file, other)

    monkeypatch.setattr(os, "link", put_away)
    run = new(tmp_path / "run")
    assert take_over(run, [source]) == UPTO_FILTER[:3]
    assert not list(run.path.glob("work/*/*/*"))


def test_files_are_links_where_there_are_any_and_else_copies(original, tmp_path, monkeypatch):
    linked, copied = new(tmp_path / "linked"), new(tmp_path / "copied")
    take_over(linked, [original])

    def no_links(*_):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", no_links)
    monkeypatch.setattr("rft.runs.lock.os.link", no_links)
    take_over(copied, [original])
    part = "rollouts/round-0001/part-00000.parquet"
    first = (original.path / part).stat()
    assert (linked.path / part).stat().st_ino == first.st_ino
    assert (copied.path / part).stat().st_ino != first.st_ino
    assert (copied.path / part).read_bytes() == (original.path / part).read_bytes()


@pytest.mark.parametrize("name", ["../../../victim/keepme", "a/b", "/tmp/x", "lock"])
def test_an_output_that_is_no_table_names_no_folder(source, tmp_path, name):
    kept = tmp_path / "victim" / "keepme" / "thesis.txt"
    kept.parent.mkdir(parents=True)
    kept.write_text("years of work")
    made = source.manifest("prepare", 0)
    made["outputs"][name] = made["outputs"]["problems"]
    source.write_manifest("prepare", 0, made)
    with pytest.raises(RFTError, match=f'prepare.json: it has an output "{name}", no table of'):
        source.manifest("prepare", 0)
    assert take_over(new(tmp_path / "runs" / "run"), [source]) == []
    assert kept.read_text() == "years of work"


@pytest.mark.parametrize("link", ["rollouts", "rollouts/round-0001", "rollouts/round-0001/{}"])
def test_what_a_link_in_a_sibling_leads_to_is_not_taken(source, tmp_path, link):
    place = source.path / link.replace("{}", "part-00000.parquet")
    place.rename(tmp_path / "elsewhere")
    place.symlink_to(tmp_path / "elsewhere")
    assert take_over(new(tmp_path / "run"), [source]) == BEGINNING


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EEXIST])
def test_a_file_is_copied_only_where_there_are_no_links(original, tmp_path, monkeypatch, number):
    def fails(*_):
        raise OSError(number, "no")

    run = new(tmp_path / "run")
    monkeypatch.setattr("pipelines.sharing.os", SimpleNamespace(link=fails))
    with pytest.raises(OSError, match="no"):
        take_over(run, [original])


def test_a_copy_is_never_written_into_a_file_that_is_there(tmp_path, monkeypatch):
    def no_links(*_):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", no_links)
    (tmp_path / "file").write_text("new")
    (tmp_path / "other").write_text("old")
    with pytest.raises(FileExistsError):
        _same(tmp_path / "file", tmp_path / "other")
    assert (tmp_path / "other").read_text() == "old"


def test_work_done_again_on_either_side_changes_no_file_of_the_other(source, tmp_path):
    run = new(tmp_path / "run")
    take_over(run, [source])
    before = contents(run)
    changed = Run(source.path, load_recipe("smoke", ["filter={no_box: {}}", "select.budget=1"]))
    small_run.do(changed, "filter", 1)
    small_run.do(changed, "select", 1)
    assert changed.manifest("filter", 1)["key"] != run.manifest("filter", 1)["key"]
    assert contents(run) == before
    theirs = contents(source)
    other = Run(run.path, load_recipe("smoke", ["filter={redundant: {threshold: 0.9}}"]))
    small_run.do(other, "filter", 1)
    assert contents(source) == theirs


def test_a_sibling_that_is_being_worked_on_gives_what_it_has_finished(tmp_path):
    sibling = small_run.new_run(tmp_path / "sibling")
    small_run.prepare(sibling, answers=ANSWERS)
    small_run.evaluate(sibling, 0, ANSWERS)
    atomic_text(sibling.work("sample", 1) / "worker-0" / "00000.json", "{}")
    with hold(sibling.path / "lock"):
        theirs = contents(sibling)
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("RFT_LOCK_TOKEN")
            assert take_over(new(tmp_path / "run"), [sibling]) == BEGINNING
        assert contents(sibling) == theirs


def test_a_run_with_other_settings_than_wanted_is_left_to_its_own_command(original, tmp_path):
    run = small_run.new_run(tmp_path / "run", "sample.n=3")
    before = contents(run)
    assert take_over(Run(run.path, original.recipe), [original]) == []
    assert contents(run) == before


def test_a_run_that_another_process_works_on_is_not_touched(original, tmp_path):
    run = new(tmp_path / "run")
    with hold(run.path / "lock"):
        before = contents(run)
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("RFT_LOCK_TOKEN")
            with pytest.raises(Interrupted, match="another process works on this run"):
                take_over(run, [original])
        after = contents(run)
        for each in (before, after):
            each.pop(".lock.guard", None)
        assert after == before


def test_probes_are_taken_over_where_they_would_come_out_the_same(source, tmp_path):
    made = {"stage": "preflight", "round": 0, "settings": {}, "inputs": {}, "outputs": {}}
    made |= {"key": key_of_preflight(source), "counts": {}, "tokens": 11}
    source.write_manifest("preflight", 0, made)
    alike, other = new(tmp_path / "alike", "sample.n=3"), new(tmp_path / "other", "sample.top_p=1")
    other = Run(other.path, load_recipe("smoke", ["sample.top_p=0.9"]))
    take_over(alike, [source])
    take_over(other, [source])
    assert alike.manifest("preflight", 0) == made
    assert other.manifest("preflight", 0) is None


def test_a_kill_leaves_no_stage_that_samples_without_the_probes_before_it(source, tmp_path):
    made = {"stage": "preflight", "round": 0, "settings": {}, "inputs": {}, "outputs": {}}
    made |= {"key": key_of_preflight(source), "counts": {}, "tokens": 11}
    source.write_manifest("preflight", 0, made)
    written = []
    write = Run.write_manifest

    def killed(run, stage, round, manifest):
        if stage == "preflight" and not written.count(stage):
            written.append(stage)
            raise Killed
        written.append(stage)
        write(run, stage, round, manifest)

    run = new(tmp_path / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "write_manifest", killed)
        with pytest.raises(Killed):
            take_over(run, [source])
        assert written == ["prepare", "preflight"]
        take_over(run, [source])
    assert written[2:4] == ["preflight", "evaluate"]
    # What the first versions have left: stages, and no probes.
    run.manifest_path("preflight", 0).unlink()
    assert take_over(run, [source]) == []
    assert run.manifest("preflight", 0) == made


def test_a_model_of_the_hub_is_the_same_commit_in_all_runs(source, tmp_path):
    run = new(tmp_path / "run")
    keep_to_commits(run, [run, source])
    assert not (run.path / "hub.json").exists()
    atomic_text(source.path / "hub.json", '{"name@main": "abc"}')
    keep_to_commits(run, [run, source])
    assert json.loads((run.path / "hub.json").read_text()) == {"name@main": "abc"}
    atomic_text(source.path / "hub.json", '{"name@main": "def"}')
    keep_to_commits(run, [source])
    assert json.loads((run.path / "hub.json").read_text()) == {"name@main": "abc"}
