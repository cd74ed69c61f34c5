"""`rft compare` makes its runs once, goes on after a kill, and refuses what cannot be."""

import json
import os
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pytest

from pipelines import compare
from pipelines.compare import arm_runs, rooted_arms, settled
from rft.cli.compare import is_comparison, together
from rft.errors import Interrupted, RFTError
from rft.recipe.loading import dump, load_arms
from rft.runs.atomic import atomic_text
from rft.runs.lock import is_held
from rft.runs.retention import remove
from tests.command import invoke, kill_when, rft_here
from tests.compared_runs import begin, draw, make, measure, rows_of
from tests.comparing import SMALLER, write_recipe
from tests.same_run import differences
from tests.small_run import new_run

TOLD = ("comparison.csv", "comparison.md")


def seed_run(folder: Path, arm: str, seed: int) -> Path:
    return folder / "arms" / arm / f"seed-{seed}"


def inodes(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_ino for path in folder.rglob("*.parquet")}


class InPlace(Future):
    """Stands for a pool of threads; what it is given is done at once, signals and all."""

    def __init__(self, _jobs: int = 1):
        super().__init__()

    def __enter__(self) -> "InPlace":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def submit(self, work: Callable, *arguments: object) -> Future:
        done = InPlace()
        done.set_result(work(*arguments))
        return done


@pytest.fixture
def runs_here(monkeypatch) -> None:
    """Have this process do the runs of a comparison: torch is loaded once."""
    monkeypatch.setattr("pipelines.compare.ThreadPoolExecutor", InPlace)
    monkeypatch.setattr("pipelines.compare.outlast", lambda words, *_: invoke(*words[3:]).exit_code)


@pytest.mark.slow
@pytest.mark.usefixtures("stages_here", "runs_here")
def test_a_comparison_that_was_killed_and_gone_on_with_tells_the_same(tmp_path):
    recipe = write_recipe(tmp_path)
    undisturbed, killed = (tmp_path / name / "arms" for name in ("undisturbed", "killed"))
    words = ["compare", recipe, "--out", str(killed), *SMALLER]

    def training() -> bool:
        log = seed_run(killed, "entropy", 0) / "events.jsonl"
        return log.is_file() and '"start", "stage": "sft"' in log.read_text()

    assert kill_when(words, training) == -9
    locks, pause = list(killed.glob("arms/*/*/lock")), threading.Event()
    while any(is_held(lock) for lock in locks):  # what it had begun dies with it
        pause.wait(0.01)
    assert not (killed / "comparison.csv").exists()
    told = rft_here(*words)
    assert "rules, seed 0: begins" not in told
    assert "entropy, seed 1: done (4 of 4)" in told

    done = invoke("compare", recipe, "--out", undisturbed, *SMALLER)
    assert done.exit_code == 0, done.output
    for name in TOLD:
        assert (undisturbed / name).read_bytes() == (killed / name).read_bytes()
    for arm in ("rules", "entropy"):
        for seed in (0, 1):
            both = [seed_run(folder, arm, seed) for folder in (undisturbed, killed)]
            assert [what for what, same in differences(*both) if not same] == []
    for folder in (undisturbed, killed):
        for seed in (0, 1):
            ours, theirs = (seed_run(folder, arm, seed) for arm in ("rules", "entropy"))
            for table in ("problems", "evaluations/round-0000", "rollouts", "graded", "verdicts"):
                assert inodes(ours / table) == inodes(theirs / table) != {}
            assert not inodes(ours / "selected").items() & inodes(theirs / "selected").items()
            assert (theirs / "events.jsonl").read_text().count('"event": "shared"') == 5
    again = invoke("compare", undisturbed)
    assert "nothing to do, all 4 runs are done" in again.stderr
    assert again.stdout == done.stdout
    assert invoke("compare", undisturbed, "--so-far").stdout == done.stdout


# Refusals -----------------------------------------------------------------------------------------


def refusal(*words: object) -> str:
    """Call `rft compare`, hold it to one line and exit code 2, and give the line."""
    done = invoke("compare", *words)
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    *_, last = done.stderr.splitlines()
    assert last.startswith("Error: ")
    return last.removeprefix("Error: ")


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def begun(folder: Path) -> str:
    """Make a run folder in which nothing is done."""
    return str(new_run(folder).path)


@pytest.mark.parametrize("written", [0, 1, 2])
def test_what_was_killed_as_it_began_is_a_comparison_the_next_time(written, home, monkeypatch):
    texts = []

    def die_after(path, text):
        if len(texts) == written:
            raise KeyboardInterrupt
        texts.append(path.name)
        atomic_text(path, text)

    recipe = write_recipe(home)
    monkeypatch.setattr(compare, "atomic_text", die_after)
    assert invoke("compare", recipe, "--out", "mine").exit_code != 0
    assert len(texts) == written
    assert is_comparison(home / "mine")


def test_what_is_no_comparison_is_refused_with_what_to_do(home):
    begun(home / "one")
    (home / "mine").mkdir()
    (home / "mine" / "thesis.txt").write_text("years of work")
    (home / "file").write_text("")
    recipe = write_recipe(home)
    assert (
        refusal("smoke")
        == "smoke: it has no section `compare`; `rft recipes table3-mini` shows one"
    )
    assert "no bundled recipe" in refusal("smoek")
    assert refusal("one") == "one: a run alone; name another one to compare it with"
    assert refusal("one@1") == "one@1: a run alone; name another one to compare it with"
    assert "mine: not a file; name a recipe" in refusal("./mine")
    assert refusal(recipe, "--out", "one").startswith("one: a run folder, and no comparison")
    assert refusal(recipe, "--out", "mine").startswith("mine: not a comparison, and not empty")
    assert refusal(recipe, "--out", "file").startswith("file: not a comparison")
    assert refusal(recipe, "--out", "file/x").startswith("--out file/x/arms/rules: cannot be made")
    said = refusal(recipe, "--so-far", "--plan")
    assert "not both" in said
    for to in ("file", "file/x"):
        assert refusal(recipe, "--to", to) == f"--to {to}: not a folder; name another"
    assert "not a run folder" in refusal(recipe, "one")
    assert not (home / "runs").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--plan", "--json"], "leave --json and --to away"),
        (["--plan", "--to", "x"], "leave --json and --to away"),
        (["--jobs", "0"], "Invalid value for '--jobs'"),
        (["--stop-after", "soon"], "is not a time"),
    ],
)
def test_options_that_do_not_go_together_are_refused(home, words, told):
    assert told in refusal(write_recipe(home), *words)


@pytest.mark.parametrize(
    "words", [["--plan"], ["--update"], ["--out", "x"], ["--jobs", "2"], ["--set", "seed=1"]]
)
def test_runs_that_are_there_take_no_options_of_those_to_be_made(home, words):
    begun(home / "one")
    begun(home / "two")
    assert "what is there is only read" in refusal("one", "two", *words)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"arms": {"rules": {}, "x": {"select.bye": 1}}}, 'unknown key "select.bye"'),
        ({"arms": {"rules": {}, "x": {"select": {"by": "entropy"}}}}, "such as select.by"),
        ({"arms": {"rules": {}, "x": {"prepare.test.limit": 3}}}, "the same test problems"),
        ({"arms": {"rules": {}, "x": {"filter": {"nosuch": {}}}}}, "compare.arms.x: "),
        ({"control": "rule"}, 'did you mean "rules"?'),
        ({"claims": {"c": {"arm": "entropy", "metric": "pass@64"}}}, "evaluate.n is 4"),
    ],
)
def test_arms_that_cannot_be_made_are_refused_before_anything_is(home, changes, told):
    assert told in refusal(write_recipe(home, **changes))
    assert [path.name for path in home.iterdir()] == ["arms.yaml"]


def test_a_recipe_with_arms_is_no_run(home):
    recipe = write_recipe(home)
    for command in ("run", "grpo", "prepare"):
        done = invoke(command, recipe)
        assert done.exit_code == 2
        assert "it has arms (compare), and `rft compare" in done.stderr
    assert not (home / "runs").exists()


def test_a_comparison_is_gone_on_with_by_its_folder_alone(home, monkeypatch):
    recipe, seen = write_recipe(home), []

    def run_arms(runs, **options):
        seen.append(([each.name for each in runs], options["jobs"], options["update"]))
        raise Interrupted("not all runs are done: rules, seed 0: x")

    monkeypatch.setattr("pipelines.compare.run_arms", run_arms)
    assert invoke("compare", recipe, "--out", "mine", "--set", "compare.seeds=[3]").exit_code == 75
    for left in (".compare.yaml.999999999.tmp", "arms/rules/.arm.yaml.999999999.tmp"):
        (home / "mine" / left).write_text("half")
        os.utime(home / "mine" / left, (0, 0))
    Path(recipe).unlink()
    assert invoke("compare", "mine", "--jobs", "2", "--update").exit_code == 75
    assert seen == [
        (["rules, seed 3", "entropy, seed 3"], j, u) for j, u in ((1, False), (2, True))
    ]
    assert not list((home / "mine").rglob(".*.tmp"))
    assert "leave --out away" in refusal("mine", "--out", "other")
    invoke("compare", "mine", "--set", "compare.seeds=[3, 4]")
    invoke("compare", "mine", "--set", "compare.arms={rules: {}, other: {select.budget: 3}}")
    assert seen[-2][0] == [f"{arm}, seed {seed}" for seed in (3, 4) for arm in ("rules", "entropy")]
    done = invoke("compare", "mine")
    assert seen[-1][0] == [f"{arm}, seed {seed}" for seed in (3, 4) for arm in ("rules", "other")]
    assert "mine: no arms of the recipe, and left as they are: entropy" in done.stderr


@pytest.mark.parametrize("left", ["", ".compare.yaml.999999999.tmp"])
def test_a_folder_in_which_a_comparison_was_killed_at_once_is_no_other_folder(
    home, monkeypatch, left
):
    (home / "mine").mkdir()
    if left:
        (home / "mine" / left).write_text("half")
        os.utime(home / "mine" / left, (0, 0))
    monkeypatch.setattr("pipelines.compare.run_arms", lambda *_, **__: True)
    done = invoke("compare", write_recipe(home), "--out", "mine")
    assert done.exit_code == 0, done.output
    assert "none of 4 runs is done yet" in done.stdout
    assert [path.name for path in (home / "mine").glob(".*")] == []


def test_two_calls_by_different_settings_are_not_both_accepted(home, monkeypatch):
    recipe = write_recipe(home)
    whole, arms = rooted_arms(*load_arms(recipe))
    other = whole.model_copy(update={"seed": 5})
    folder, runs = home / "mine", arm_runs(home / "mine", whole, arms)
    folder.mkdir()
    with settled(folder, whole, runs):  # no run of it is begun yet
        written = (folder / "compare.yaml").stat()
        with settled(folder, whole, runs):
            pass
        with pytest.raises(RFTError, match="mine: another process works on it by other settings;"):
            settled(folder, other, runs).__enter__()
        assert (folder / "compare.yaml").stat() == written
    with settled(folder, other, runs):
        assert (folder / "compare.yaml").read_text() == dump(other)
    seen = []

    def run_arms(*_, **__):
        seen.append(refusal("mine", "--set", "seed=7"))
        return True

    monkeypatch.setattr("pipelines.compare.run_arms", run_arms)
    assert invoke("compare", "mine").exit_code == 0
    assert "another process works on it by other settings" in seen[0]


def test_what_killed_calls_left_of_its_files_goes_when_they_are_written_again(home):
    _, runs = begin(home / "mine", seeds=[0])
    left = [home / "told" / f".comparison.{kind}.999999999.tmp" for kind in ("md", "csv", "json")]
    left += [home / "told" / "figures" / ".pass-at-k-easy.svg.999999999.tmp"]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("half")
        os.utime(path, (0, 0))
    just = home / "told" / ".comparison.md.999999998.tmp"
    just.write_text("another machine's, it may be")
    for each in runs:
        make(each.run, draw((1, 1, 1, 1, 1), 0), draw((1, 1, 1, 1, 1), 1))
    assert invoke("compare", *(each.run.path for each in runs), "--to", "told").exit_code == 0
    assert (home / "told" / "figures" / "pass-at-k-easy.svg").is_file()
    assert [path for path in left if path.exists()] == []
    assert just.exists()


def test_what_is_there_is_told_where_a_run_has_failed(home, monkeypatch):
    def failed(*_, **__):
        raise RFTError("rules, seed 0: broken (log)")

    monkeypatch.setattr("pipelines.compare.run_arms", failed)
    folder = home / "mine"
    _, runs = begin(folder)
    done = invoke("compare", folder)
    assert done.stdout == ""
    for each in runs[1:]:
        make(each.run, draw((1, 1, 1, 1, 1), 0), draw((1, 1, 1, 1, 1), each.seed))
    done = invoke("compare", folder, "--json")
    assert done.exit_code == 2
    assert done.stderr.splitlines()[-1] == "Error: rules, seed 0: broken (log)"
    assert json.loads(done.stdout)["runs"] == {"done": 3, "wanted": 4}
    assert "UNFINISHED: 3 of 4" in (folder / "comparison.md").read_text()


@pytest.mark.usefixtures("runs_here")
def test_a_table_that_was_moved_away_is_made_again_and_a_removed_model_is_not(home, monkeypatch):
    _, runs = begin(home / "mine", seeds=[0])
    answers = draw((1, 1, 1, 1, 1), 0)
    for each in runs:
        make(each.run, answers, answers)
        remove(each.run, 1)
    ours, made_again = runs[1].run, []
    assert [each.done() for each in runs] == [True, True]
    shutil.move(ours.folder("evaluations", 1), home / "away")
    assert [each.done() for each in runs] == [True, False]

    def outlast(words, *_):
        measure(ours, 1, rows_of(answers, 1))
        made_again.append(words[words.index("--out") + 1])
        return 0

    monkeypatch.setattr("pipelines.compare.outlast", outlast)
    done = invoke("compare", "mine")
    assert done.exit_code == 0, done.output
    assert made_again == ["mine/arms/entropy/seed-0"]
    assert "nothing to do" in invoke("compare", "mine").stderr


def test_finished_runs_are_compared_and_nothing_is_written_unless_asked_for(home):
    _, runs = begin(home / "mine", seeds=[0])
    for each in runs:
        make(each.run, draw((1, 1, 1, 1, 1), 0), draw((1, 1, 1, 1, 1), 1))
    one, two = (str(each.run.path) for each in runs)
    before = sorted(home.rglob("*"))
    done = invoke("compare", one, two, f"{two}@0")
    assert done.exit_code == 0, done.output
    assert "3 models, each held against the control" in done.stdout
    assert sorted(home.rglob("*")) == before
    done = invoke("compare", one, two, "--json", "--to", "told/here")
    assert len(done.stdout.splitlines()) == 1
    assert (home / "told" / "here" / "comparison.csv").is_file()
    assert "that is" in refusal(one, f"{one}/")
    assert "there is no model 9" in refusal(one, f"{two}@9")


def test_a_plan_adds_up_the_runs_that_are_not_done(home):
    _, runs = begin(home / "mine", seeds=[0, 1])
    assert together(2.0, runs).startswith("  4 such runs: up to 8.0 h one after the other")
    make(runs[0].run, draw((1, 1, 1, 1, 1), 0), draw((1, 1, 1, 1, 1), 1))
    assert together(2.0, runs).startswith("  3 such runs: up to 6.0 h")
