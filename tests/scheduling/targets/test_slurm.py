"""The batch script of Slurm: held by bash and shellcheck, and run with stand-ins for Slurm."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rft.scheduling.targets import text_for
from tests.errands import calls, errand, hostile_errand, recorder

SHELLCHECK = shutil.which("shellcheck", path=str(Path(sys.executable).parent))


def write(folder: Path, text: str) -> Path:
    script = folder / "job.sbatch"
    script.write_text(text)
    return script


def directives(text: str) -> list[str]:
    """List what Slurm reads: the lines before the first one that is no comment."""
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("#SBATCH "):
            lines.append(line.removeprefix("#SBATCH "))
        elif line and not line.startswith("#"):
            break
    return lines


def run(folder: Path, text: str, *, ends_with: int) -> subprocess.CompletedProcess[str]:
    """Run a script where `srun` ends with a code, and `scontrol` notes that it was called."""
    stand_ins = folder / "bin"
    stand_ins.mkdir()
    recorder(stand_ins / "srun", folder / "srun.json", ends_with)
    recorder(stand_ins / "scontrol", folder / "scontrol.json")
    env = {"PATH": f"{stand_ins}:/usr/bin:/bin", "SLURM_JOB_ID": "7", "SLURM_CPUS_PER_TASK": "4"}
    words = ["bash", write(folder, text)]
    return subprocess.run(words, env=env, capture_output=True, text=True, check=False)


def test_slurm_is_told_what_a_round_needs_to_be_interrupted():
    assert directives(text_for("slurm", errand())) == [
        "--job-name=rft-quickstart",
        "--output=rft-quickstart.log",
        "--open-mode=append",
        "--requeue",
        "--signal=TERM@120",
    ]
    assert "--signal=TERM@660" in directives(text_for("slurm", errand(grace=600)))


def test_a_prologue_comes_before_all_else_with_directives_of_its_own():
    prologue = "#SBATCH --gpus-per-node=8\nmodule load cuda"
    text = text_for("slurm", errand(prologue=prologue))
    assert directives(text)[-1] == "--gpus-per-node=8"
    assert text.index("module load cuda") < text.index("\ncd /home/me/work")


@pytest.mark.parametrize(("code", "queued_again"), [(0, False), (1, False), (2, False), (75, True)])
def test_an_interrupted_round_is_queued_again_and_no_other(tmp_path, code, queued_again):
    wanted = hostile_errand(tmp_path)
    done = run(tmp_path, text_for("slurm", wanted), ends_with=code)
    assert (done.returncode, done.stderr) == (code, "")
    (call,) = calls(tmp_path / "srun.json")
    assert call["argv"][1:] == ["--ntasks=1", *wanted.command]
    assert call["cwd"] == wanted.folder
    assert call["env"]["SRUN_CPUS_PER_TASK"] == "4"
    asked = [each["argv"][1:] for each in calls(tmp_path / "scontrol.json")]
    assert asked == ([["requeue", "7"]] if queued_again else [])


@pytest.mark.parametrize("waiting", [True, False])
def test_the_line_for_scrontab_submits_unless_a_round_waits_or_runs(tmp_path, waiting):
    wanted = hostile_errand(tmp_path)
    text = text_for("slurm", wanted)
    (line,) = [line[4:] for line in text.splitlines() if line.startswith("#   0 2 * * *")]
    stand_ins = tmp_path / "bin"
    stand_ins.mkdir()
    recorder(stand_ins / "sbatch", tmp_path / "sbatch.json")
    squeue = stand_ins / "squeue"
    squeue.write_text(f"#!/bin/sh\necho {'7' if waiting else ''} | grep .\n")
    squeue.chmod(0o755)
    command = line.removeprefix("0 2 * * * ").replace("\\%", "%")
    env = {"PATH": f"{stand_ins}:/usr/bin:/bin"}
    subprocess.run(["/bin/sh", "-c", command], env=env, check=True, capture_output=True)
    submitted = [(each["cwd"], each["argv"][1:]) for each in calls(tmp_path / "sbatch.json")]
    assert submitted == ([] if waiting else [(wanted.folder, ["rft-mine.sbatch"])])


@pytest.mark.skipif(SHELLCHECK is None, reason="no shellcheck here")
@pytest.mark.parametrize("name", ["slurm", "systemd", "hf-jobs"])
def test_shellcheck_finds_nothing_in_any_script(tmp_path, name):
    image = "me/rft:1" if name == "hf-jobs" else None
    wanted = hostile_errand(tmp_path, program=("/opt/rft",), image=image)
    text = text_for(name, wanted)
    script = write(tmp_path, text if text.startswith("#!") else f"#!/bin/bash\n{text}")
    subprocess.run(["bash", "-n", script], check=True)
    # Our names mean their $ as it stands, of which SC2016 warns.
    words = [SHELLCHECK, "--exclude=SC2016", script]
    checked = subprocess.run(words, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
