"""What people install holds all of the tree that runs, and runs without the checkout.

The wheel is built twice: from the tree, and as `pip install` of an sdist does, from that. Nothing
here needs the network: the packages that we depend on are those of the environment of the tests.

Run: python -m pytest tests/test_wheel.py -m slow
"""

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import polars as pl
import pytest

from tests.command import ROOT

pytestmark = pytest.mark.slow

# Folder of the tree -> its place in the wheel.
PLACES = {
    "rft": "rft",
    "pipelines": "pipelines",
    "filters": "filters",
    "configs": "rft/_bundled/configs",
    "data": "rft/_bundled/data",
}


def command(*words: object, folder: Path, seconds: int = 120) -> str:
    """Run a command in a folder with nothing of the checkout in its environment."""
    ours = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    done = subprocess.run(
        [str(word) for word in words],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name not in ours}
        | {"HF_HUB_OFFLINE": "1", "OMP_WAIT_POLICY": "passive"},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, f"{words}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> dict[str, Path]:
    """Build a wheel from the tree, and one from the sdist."""
    # Isolated, the build would download its backend.
    alone = ["--no-isolation"] if importlib.util.find_spec("hatchling") else []
    found = {}
    for origin, options in {"tree": ["--wheel"], "sdist": []}.items():
        folder = tmp_path_factory.mktemp(origin)
        build = [sys.executable, "-m", "build", *alone, *options, "--outdir", folder, ROOT]
        command(*build, folder=folder, seconds=300)
        (found[origin],) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheels, tmp_path_factory) -> Path:
    """Install the sdist's wheel into a fresh environment that borrows the dependencies."""
    home = tmp_path_factory.mktemp("installed") / "venv"
    command(sys.executable, "-m", "venv", "--without-pip", home, folder=home.parent)
    pip = [sys.executable, "-m", "pip", "--python", home / "bin" / "python", "install"]
    command(*pip, "--no-deps", "--no-index", wheels["sdist"], folder=home.parent)
    (packages,) = home.glob("lib/python*/site-packages")
    # A .pth file adds a folder, but not what the .pth files in there add: an editable install of
    # the checkout stays outside.
    borrowed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (packages / "borrowed.pth").write_text("\n".join(sorted(borrowed)) + "\n")
    return home


@pytest.mark.parametrize("origin", ["tree", "sdist"])
def test_the_wheel_holds_the_tree_file_for_file(wheels, origin):
    wanted = {
        f"{place}/{path.relative_to(ROOT / folder).as_posix()}": digest(path.read_bytes())
        for folder, place in PLACES.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheels[origin]) as wheel:
        found = {
            name: digest(wheel.read(name)) for name in wheel.namelist() if ".dist-info/" not in name
        }
    assert sorted(found) == sorted(wanted), "files are missing or too many"
    assert found == wanted, "files differ"
    assert "rft/_bundled/data/tiny/model.safetensors" in found
    assert "rft/py.typed" in found
    for name in ("page.html", "page.css", "page.js", "tokens.js", "rollouts.js"):
        assert f"pipelines/readers/page/{name}" in found


OWN = """
extends: smoke
parts: [language.py, early_entropy.py, chemistry.py, others.py]
engine: {kind: same}
prompt: {template: curt}
sft: {objective: twice}
prepare: {train: {source: "bundled:arithmetic", split: train, limit: 16, gold_reader: as_it_is}}
filter: {no_box: {}, wrong_language: {language: en}}
select: {by: early_share, noise: 0.0}
grade: {verifier: {chemistry: {within: 0.001}}}
"""
OTHERS = r"""
from rft.engines.transformers import open_for
from rft.recipe.engine import EngineKind
from rft.training.objectives.objective import Objective

class Twice(Objective):
    def loss(self, logps, entropies):
        return -2 * logps

ENGINES = {"same": EngineKind("the same again", "exact", local=True)}
OBJECTIVES = {"twice": Twice}
READERS = {"as_it_is": lambda text: text}
TEMPLATES = {"curt": "{question}\nPut your final answer within \\boxed{{}}."}
"""
ONLINE = """
extends: smoke
parts: [dr_grpo.py]
grpo:
  {steps: 2, problems: 2, n: 4, max_tokens: 32, learning_rate: 1.0e-4, micro_batch: 4,
   plugins: {dr_grpo: {longest: 32}}}
"""


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_the_wheel_says_its_licence_and_its_command(wheels):
    with zipfile.ZipFile(wheels["sdist"]) as wheel:
        about = {name.partition("/")[2]: name for name in wheel.namelist() if ".dist-info/" in name}
        assert "rft = rft.cli:main" in wheel.read(about["entry_points.txt"]).decode()
        assert "License-Expression: Apache-2.0" in wheel.read(about["METADATA"]).decode()
        assert "licenses/LICENSE" in about


def test_the_installed_command_runs_the_whole_loop_anywhere(installed, tmp_path):
    python, rft = installed / "bin" / "python", installed / "bin" / "rft"
    code = (
        "import rft, pipelines, filters; print(rft.__file__, pipelines.__file__, filters.__file__)"
    )
    for place in command(python, "-c", code, folder=tmp_path).split():
        assert Path(place).is_relative_to(installed), f"{place} is not the installed one"
    shipped = {path.stem for path in (ROOT / "configs").glob("*.yaml")}
    listed = {line.split()[0] for line in command(rft, "recipes", folder=tmp_path).splitlines()}
    assert listed == shipped
    assert command(rft, "--version", folder=tmp_path).startswith("rft, version ")
    # With parts of one's own, by a recipe beside them.
    for name in ("language", "early_entropy", "chemistry", "dr_grpo"):
        text = (ROOT / "docs" / "examples" / f"{name}.py").read_text()
        (tmp_path / f"{name}.py").write_text(text)
    (tmp_path / "others.py").write_text(OTHERS)
    (tmp_path / "own.yaml").write_text(OWN)
    report = command(rft, "run", "own.yaml", folder=tmp_path, seconds=900)
    assert report.strip()
    run = tmp_path / "runs" / "own"
    kept = pl.read_parquet(run / "kept" / "round-0001")
    assert kept["early_entropy"].null_count() == 0
    sampled = json.loads((run / "manifest" / "round-0001" / "sample.json").read_text())
    assert sampled["settings"]["engine"]["kind"] == "same"
    judged = pl.read_parquet(run / "verdicts" / "round-0001")["verifier"].unique()
    assert judged.str.starts_with("chemistry ").all()
    assert json.loads((run / "models" / "model-0001" / "rft.json").read_text())["round"] == 1
    assert (run / "manifest" / "round-0001" / "evaluate.json").exists()
    exported = command(rft, "export", run, "--to", tmp_path / "out", folder=tmp_path)
    assert exported.strip() == str(tmp_path / "out")


def test_a_plug_in_of_ones_own_trains_online_anywhere(installed, tmp_path):
    rft = installed / "bin" / "rft"
    text = (ROOT / "docs" / "examples" / "dr_grpo.py").read_text()
    (tmp_path / "dr_grpo.py").write_text(text)
    (tmp_path / "online.yaml").write_text(ONLINE)
    command(rft, "grpo", "online.yaml", folder=tmp_path, seconds=900)
    dynamics = pl.read_parquet(tmp_path / "runs" / "online" / "dynamics" / "round-0001")
    touched = [each["plugin"] for row in dynamics["touched"] for each in row]
    assert touched == ["dr_grpo", "dr_grpo"]
