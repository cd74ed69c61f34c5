"""What torch sees and which packages can be imported, found out in a process of its own.

Any of it may crash or hang: drivers, and packages built for others. Each answer is a line at once.
Run: python -P rft/doctor/ask.py '{"trl": ["SFTTrainer"]}'
"""

import importlib
import json
import sys
from typing import Any

MARK = "rft-doctor "


def devices() -> dict[str, Any]:
    """Describe every accelerator, and have it add two numbers: torch may lack kernels for it."""
    import torch

    built_for, gpus = torch.version.cuda or torch.version.hip, []
    why = ""
    try:
        if built_for:
            torch.empty(1, device="cuda")  # says why there is none
        for number in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(number)
            with torch.cuda.device(number):
                bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
            name = torch.cuda.get_device_name(number)
            gpus.append({"name": name, "total": total, "free": free, "bf16": bf16})
            torch.ones(1, device=f"cuda:{number}").add(1).item()
    except Exception as error:  # noqa: BLE001  a driver's may be any
        why = str(error)
    return {"cuda": built_for, "gpus": gpus, "why": why}


def trouble(package: str, parts: list[str]) -> str:
    """Import what is needed of a package, and say why that fails, if it does."""
    try:
        for part in parts:
            getattr(importlib.import_module(package), part)
    except BaseException as error:  # noqa: BLE001  even SystemExit has been seen
        while error.__cause__ is not None:
            error = error.__cause__
        return f"{type(error).__name__}: {error}"
    return ""


if __name__ == "__main__":
    for name, wanted in [("torch", []), *json.loads(sys.argv[1]).items()]:
        answer = devices() if name == "torch" else trouble(name, wanted)
        sys.stdout.write(f"\n{MARK}{json.dumps({name: answer})}\n")
        sys.stdout.flush()
