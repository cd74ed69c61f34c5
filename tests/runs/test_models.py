"""Where a model is, by what digest, and how far it is trusted, through the runs that it comes from.

Run: python -m pytest tests/runs/test_models.py
"""

import json
import shutil
from pathlib import Path

import pytest

from rft.bundled import bundled
from rft.errors import RFTError
from rft.estimates.model_size import find_model
from rft.licences import base_folder
from rft.model_folders.content import MARK, content_digest, read_mark
from rft.model_folders.loading import load_config
from rft.recipe import Model
from rft.recipe.loading import load_recipe
from rft.runs.folder import Run, open_run, save_recipe
from rft.runs.leftovers import remove_left_over
from rft.runs.models import base_model, made_model, new_model_folder, resolve
from tests.flushes import flushes

EVIL = "open({canary!r}, 'w').write('x')\n"


def run_with(folder, **model) -> Run:
    recipe = load_recipe("smoke")
    run = Run(folder, recipe.model_copy(update={"model": Model(**model)}))
    folder.mkdir()
    save_recipe(run)
    return open_run(folder)


@pytest.fixture
def model_with_code(tmp_path):
    """Lay out a model that cannot be loaded without code that comes with it."""
    folder = tmp_path / "model"
    shutil.copytree(bundled("data") / "tiny", folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Config"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(EVIL.format(canary=str(tmp_path / "pwned")))
    return folder


def test_a_run_that_trusts_a_model_makes_no_other_run_trust_it(tmp_path, model_with_code):
    run_with(tmp_path / "foreign", path=str(model_with_code), trust_remote_code=True)
    mine = run_with(tmp_path / "mine", path=str(tmp_path / "foreign"))
    ref = base_model(mine)
    assert ref.path == str(model_with_code.resolve())
    assert not ref.trust_remote_code
    with pytest.raises(RFTError, match=r"not run; set model\.trust_remote_code: true") as refused:
        load_config(ref)
    assert "auto_map" in str(refused.value)
    find_model(mine.recipe.model)
    assert not (tmp_path / "pwned").exists()


def test_a_recipe_that_trusts_a_model_trusts_it_through_a_run_that_does_not(
    tmp_path, model_with_code
):
    run_with(tmp_path / "foreign", path=str(model_with_code))
    ref = resolve(Model(path=str(tmp_path / "foreign"), trust_remote_code=True))
    assert ref.trust_remote_code
    assert ref.options["trust_remote_code"]


def test_pickles_that_a_run_allows_are_not_allowed_to_another(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(bundled("data") / "tiny", folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    run_with(tmp_path / "foreign", path=str(folder), allow_pickle=True)
    with pytest.raises(RFTError, match=r"pytorch_model\.bin.*model\.allow_pickle: true"):
        resolve(Model(path=str(tmp_path / "foreign")))
    assert resolve(Model(path=str(tmp_path / "foreign"), allow_pickle=True)).allow_pickle


def test_runs_that_name_each_other_are_no_model(tmp_path):
    one = run_with(tmp_path / "one", path=str(tmp_path / "two"))
    run_with(tmp_path / "two", path=str(tmp_path / "one"))
    with pytest.raises(RFTError, match="names a run that begins with its own model"):
        base_model(one)
    assert "begins with its own model" in find_model(one.recipe.model).trouble
    assert base_folder(one) is None


def test_the_digest_of_a_manifest_wins_over_the_mark_of_the_folder(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    run = open_run(tmp_path / "run")
    noted = made_model(run, 1).digest
    mark = run.model_folder(1) / MARK
    mark.write_text(json.dumps(json.loads(mark.read_text()) | {"digest": "0" * 64}))
    assert resolve(Model(path=f"{tmp_path / 'run'}@1")).digest == noted


@pytest.mark.parametrize("number", ["9" * 500, "\N{SUPERSCRIPT TWO}", "12345678901"])
def test_a_round_that_no_run_has_is_one_line(finished, number):
    with pytest.raises(RFTError, match=r"model\.path"):
        resolve(Model(path=f"{finished}@{number}"))


@pytest.mark.parametrize("content", ["null", "[]", '{"org/name@main": 7}', '{"a": "../../x"}', "{"])
def test_commits_that_are_none_are_one_line(tmp_path, content):
    run = run_with(tmp_path / "run", path="org/name")
    (tmp_path / "run/hub.json").write_text(content)
    with pytest.raises(RFTError, match=r"hub\.json: "):
        base_model(run)


def test_what_was_noted_of_a_folder_and_is_no_digest_is_found_out_again(tmp_path):
    shutil.copytree(bundled("data") / "tiny", tmp_path / "model")
    run = run_with(tmp_path / "run", path=str(tmp_path / "model"))
    with run.lock():  # without it nothing is noted
        digest = base_model(run).digest
        (noted,) = (tmp_path / "run/work/digests").iterdir()
        noted.write_bytes(b"\xff" * 64)
        assert base_model(run).digest == digest
        assert noted.read_text() == digest


def test_weights_are_on_the_disk_before_the_mark_that_stands_for_them(tmp_path, monkeypatch):
    flushed = flushes(monkeypatch)
    with new_model_folder(tmp_path / "model") as scratch:
        (scratch / "model.safetensors").write_text("weights")
        (scratch / "checkpoint").mkdir()
        (scratch / "checkpoint" / "optimizer.pt").write_text("state")
    files = ["checkpoint/optimizer.pt", "model.safetensors", MARK]
    assert flushed == [(tmp_path / "model" / name).stat().st_ino for name in files]


class Killed(BaseException):
    """Stands for kill -9: nothing that it passes may clean up."""


def test_a_kill_while_a_model_takes_the_place_of_another_leaves_no_half_under_its_name(
    tmp_path, monkeypatch
):
    folder = tmp_path / "model"

    def write(words: str) -> None:
        with new_model_folder(folder) as scratch:
            for number in range(3):
                (scratch / f"{number}.safetensors").write_text(words)

    def dying(path, **_options):
        next(Path(path).glob("*.safetensors")).unlink()
        raise Killed

    write("old")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", dying)
        with pytest.raises(Killed):
            write("new")
    mark = read_mark(folder)
    assert mark is not None
    assert content_digest(folder) == mark["digest"]
    remove_left_over(tmp_path)
    write("newer")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
