"""Which accelerators there are, and how engines share them."""

import os
from collections.abc import Sequence
from pathlib import Path

from rft.errors import RFTError
from rft.recipe import EngineSettings


def device() -> str:
    """Pick where to compute; MPS is left out, being slower than the CPU on small models."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def visible_gpus(devices: Path = Path("/dev")) -> int:
    """Count the NVIDIA GPUs that this process may use, without loading what could use them."""
    there = sum(path.name.removeprefix("nvidia").isdecimal() for path in devices.glob("nvidia*"))
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return there
    wanted = [name for name in named.split(",") if name.strip() not in ("", "-1")]
    return min(there, len(wanted))


def count(engine: EngineSettings) -> int:
    """Count the engines: one for each accelerator, or group of them, if nobody says."""
    return engines(engine, len(accelerators(engine)))


def accelerators(engine: EngineSettings) -> list[str]:
    """List groups of accelerators, one for each engine, as CUDA_VISIBLE_DEVICES names them."""
    if not engine.traits.local:
        return []
    import torch

    there = torch.cuda.device_count()  # does not start CUDA
    return grouped(engine, names(there, os.environ.get("CUDA_VISIBLE_DEVICES")))


def names(there: int, visible: str | None) -> list[str]:
    """Name the accelerators that are there as CUDA_VISIBLE_DEVICES does."""
    return visible.split(",")[:there] if visible else [str(number) for number in range(there)]


def grouped(engine: EngineSettings, devices: Sequence[str]) -> list[str]:
    """Share accelerators out in groups as large as one engine wants, leaving a rest idle."""
    size = 1
    for name in ("tensor_parallel_size", "pipeline_parallel_size"):
        asked = str(engine.args.get(name, 1))
        if not asked.isdecimal() or int(asked) < 1:
            raise RFTError(f"engine.args.{name} is {asked}; give a whole number, 1 or more")
        size *= int(asked)
    there = len(devices)
    if 0 < there < size:
        raise RFTError(
            f"engine.args.tensor_parallel_size: {size} accelerators wanted and {there} are there; "
            "lower it"
        )
    return [",".join(devices[at : at + size]) for at in range(0, there - size + 1, size)]


def engines(engine: EngineSettings, groups: int) -> int:
    """Count the engines for this many groups of accelerators; with none they share the CPU."""
    if engine.workers == "auto":
        return max(1, groups)
    if groups and engine.workers > groups:
        raise RFTError(
            f"engine.workers: {engine.workers}, but there are accelerators for {groups} "
            "(engine.args.tensor_parallel_size each); lower it, or set auto"
        )
    return engine.workers
