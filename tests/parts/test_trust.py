"""A run folder of somebody else: it can be read, and nothing that it brings is run unasked."""

import shutil
from pathlib import Path

import pytest

from rft.parts import in_use, trust
from rft.recipe.loading import load_stored
from rft.recipe.parts import Part
from rft.runs.folder import Run, save_recipe
from tests.command import invoke, rft, rft_here
from tests.part_files import TELLTALE, recipe, write
from tests.small_run import RIGHT, WRONG, do, evaluate, prepare, sample, solved
from tests.small_run import grade as write_graded

ANSWERS = {("test", "test", "t0"): solved(1, 4)}
# What reads a run, in any of its ways, and what looks after one.
READERS = [
    ["status"],
    ["report"],
    ["report", "--html"],
    ["show"],
    ["show", "--rule", "never"],
    ["trace", "RUN", "0"],
    ["export", "--to", "EXPORT"],
    ["clean", "--yes"],
]
ACTING = [
    ["run"],
    ["run", "--plan"],
    ["run", "--next"],
    ["run", "--set", "sample.n=2"],
    ["prepare"],
    ["sample"],
    ["grade"],
    ["filter"],
    ["select"],
    ["sft"],
    ["evaluate"],
    ["doctor"],
    ["schedule", "--cron", "0 3 * * *", "--emit", "cron"],
]


@pytest.fixture
def theirs(tmp_path, monkeypatch) -> Path:
    """Make a run folder as it comes from somebody else: their code has never been run here."""
    from rft.recipe.loading import load_recipe

    trace = tmp_path / "was-run"
    write(tmp_path / "there", "mine.py", TELLTALE % str(trace))
    text = "parts: [mine.py]\nfilter: {no_box: {}, never: {}}\n"
    wanted = load_recipe(str(recipe(tmp_path / "there", text)))
    run = Run(tmp_path / "theirs", wanted)
    run.path.mkdir()
    save_recipe(run)
    prepare(run, answers=ANSWERS)
    evaluate(run, 0, ANSWERS)
    samples = [("p0", RIGHT, "stop", 0.5), ("p1", WRONG, "stop", 0.2)]
    sample(run, 1, samples)
    write_graded(run, 1, samples)
    do(run, "filter", 1)
    shutil.rmtree(tmp_path / "there")
    trace.unlink()
    in_use.forget()
    monkeypatch.setenv(trust.INHERITED, "")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return run.path


def was_run(folder: Path) -> bool:
    return (folder.parent / "was-run").exists()


@pytest.mark.parametrize("words", READERS, ids=" ".join)
def test_what_reads_a_run_runs_none_of_its_code(theirs, words):
    name, *more = words
    if "RUN" in more:
        more[more.index("RUN")] = str(theirs)
        told = invoke(name, *more)
    else:
        told = invoke(name, theirs, *more)
    assert told.exit_code in (0, 2), told.output
    assert "Traceback" not in told.output
    assert not was_run(theirs)
    assert not (theirs.parent / "state").exists()


@pytest.mark.parametrize("words", ACTING, ids=" ".join)
def test_what_acts_on_a_run_refuses_its_code_until_it_is_trusted(theirs, words):
    before = sorted(path for path in theirs.rglob("*") if path.is_file())
    name, *more = words
    told = invoke(name, theirs, *more)
    assert told.exit_code == 2, told.output
    assert "Python code that came with this folder, and that you have not run before" in told.stderr
    assert "it brings rule never" in told.stderr
    assert "give --trust-parts to run it" in told.stderr
    assert not was_run(theirs)
    assert sorted(path for path in theirs.rglob("*") if path.is_file()) == before


def test_a_worker_and_a_share_of_an_array_refuse_it_too(theirs):
    for words in (["sample", theirs, "--shard", "1/2"], ["preflight", theirs]):
        assert invoke(*words).exit_code == 2
        assert not was_run(theirs)


def test_the_recipe_in_a_foreign_folder_runs_nothing_either(theirs):
    told = invoke("run", theirs / "recipe.yaml", "--out", theirs.parent / "own")
    assert told.exit_code == 2
    assert "give --trust-parts" in told.stderr
    assert not was_run(theirs)
    assert not (theirs.parent / "own").exists()


def test_what_is_trusted_is_said_and_remembered_by_its_content(theirs):
    told = rft_here("filter", theirs, "--trust-parts")
    assert "trusted from now on: " in told
    assert "it brings rule never; sha256 " in told
    assert was_run(theirs)
    in_use.forget()
    trust.forget()
    assert "nothing to do" in rft_here("filter", theirs), "not asked again"
    again = theirs.parent / "again"
    shutil.copytree(theirs, again)
    assert "nothing to do" in rft_here("filter", again), "the same content in another place"


def test_trust_holds_for_a_content_and_not_for_a_name(theirs):
    rft_here("filter", theirs, "--trust-parts")
    (copy,) = (theirs / "parts").glob("*.py")
    copy.write_text(copy.read_text() + "\n# changed\n")
    in_use.forget()
    told = rft_here("filter", theirs, code=2)
    assert "not what recipe.yaml says" in told


def test_a_process_of_its_own_asks_as_well(theirs):
    told = rft("filter", theirs, code=2)
    assert "give --trust-parts" in told
    assert not was_run(theirs)


def test_what_is_noted_of_a_part_is_held_against_what_it_brings(theirs):
    path = theirs / "recipe.yaml"
    path.write_text(path.read_text().replace("never:", "always:"))
    told = rft_here("filter", theirs, "--trust-parts", code=2)
    assert "does not bring what recipe.yaml says" in told


def test_a_copy_that_is_gone_is_told_of(theirs):
    (copy,) = (theirs / "parts").glob("*.py")
    copy.unlink()
    told = rft_here("filter", theirs, "--trust-parts", code=2)
    assert f"{copy.relative_to(theirs.parent)}: the copy of mine.py is not there" in told


def test_a_link_in_the_place_of_a_copy_is_not_followed(theirs):
    (copy,) = (theirs / "parts").glob("*.py")
    elsewhere = theirs.parent / "elsewhere.py"
    copy.rename(elsewhere)
    copy.symlink_to(elsewhere)
    told = rft_here("filter", theirs, "--trust-parts", code=2)
    assert "a link where a file of ours belongs" in told
    assert not was_run(theirs)


def test_what_stands_for_a_part_says_so_if_it_is_called(theirs):
    from filters import RULES
    from rft.errors import RFTError

    load_stored(theirs)
    with pytest.raises(RFTError, match="it is in a part, which is not run by what only reads"):
        RULES["never"]()
    assert RULES["never"].__doc__ == "Find nothing."


def test_a_store_of_somebody_else_is_not_believed(theirs, monkeypatch):
    part = next(iter(load_stored(theirs).parts.values()))
    assert isinstance(part, Part)
    store = trust.store()
    store.parent.mkdir(parents=True)
    store.write_text(f"{part.sha256} mine.py\n")
    assert trust.is_trusted(part.sha256)
    monkeypatch.setattr("os.geteuid", lambda: 12345)
    assert not trust.is_trusted(part.sha256)


def test_without_a_home_trust_holds_for_the_command(tmp_path, monkeypatch):
    (tmp_path / "no-folder").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "no-folder"))
    trust.trust("0" * 64, "mine.py")
    assert trust.is_trusted("0" * 64)
    monkeypatch.setenv(trust.INHERITED, "")
    assert not trust.is_trusted("0" * 64)


def test_a_run_that_is_only_read_on_the_way_leaves_nothing_among_our_rows(theirs, tmp_path):
    """As one that `model.path` names: its statistics would be columns of ours."""
    from filters import RULES
    from pipelines.perform import check_recipe
    from rft.recipe.loading import load_recipe
    from rft.runs.folder import open_run
    from rft.runs.schemas import TABLES
    from tests.part_files import ORDER

    write(tmp_path / "odd", "odd.py", ORDER)
    other = Run(tmp_path / "other", load_recipe(str(recipe(tmp_path / "odd", "parts: [odd.py]\n"))))
    other.path.mkdir()
    save_recipe(other)
    in_use.forget()
    check_recipe(load_recipe("smoke"))
    ours, before = TABLES["graded"].names, dict(RULES)
    for folder in (theirs, other.path):
        assert open_run(folder).recipe.parts
    assert TABLES["graded"].names == ours
    assert before == RULES


@pytest.mark.parametrize(
    "noted",
    [
        "engines: {odd: {about: x, traits: {keys: [zzz], identity_args: 3, local: yes}}}",
        "engines: {odd: {about: x, traits: {place: '{url.__class__}', package: antigravity}}}",
        "engines: {odd: {about: '', traits: {statistics: 7}}}",
        "rules: {no_box: {about: x}}",
        "statistics: {verdict: {about: x}}",
        "statistics: {'../x': {about: x}}",
        "orders: {random: {about: x, column: y}}",
        "orders: {odd: {about: x, column: 3}}",
        "surprises: {odd: {about: x}}",
        "templates: {odd: {about: no question}}",
        "plugins: {odd: {about: x, traits: {a: {b: {c: 1}}}}}",
        "verifiers: {__class__: {about: x}}",
    ],
)
def test_whatever_a_foreign_recipe_notes_of_its_parts_reading_it_ends_well(theirs, noted):
    path = theirs / "recipe.yaml"
    sha = "1" * 64
    text = path.read_text()
    before, _, after = text.partition("parts:\n")
    _, _, rest = after.partition("\nmodel:")
    part = f"parts:\n  odd.py: {{sha256: '{sha}', version: null, defines: {{{noted}}}}}\nmodel:"
    rules = rest.replace("never: {}", "too_short: {min_tokens: 1}")
    path.write_text(before + part + rules)
    for words in (["status", theirs], ["report", theirs], ["show", theirs], ["run", theirs]):
        told = invoke(*words)
        assert told.exit_code in ((2,) if words[0] == "run" else (0, 2))
        assert told.exception is None or isinstance(told.exception, SystemExit), told.output
