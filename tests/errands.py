"""What is written for another scheduler, with names that hurt, and programs that note calls."""

import json
import sys
from pathlib import Path
from typing import Any

from rft.scheduling.cron import parse
from rft.scheduling.targets import Errand

# Everything that a shell, cron, systemd, YAML or Python's format could take for its own.
HOSTILE = """it's 100% "mine" $HOME $(id) `id` {x} #1 \\n & ; *"""

RESOLVED = "seed: 0\nprompt:\n  template: |\n    {question}\n\n    Put it in \\boxed{}.\n"


def errand(cron: str = "0 2 * * *", **changes: Any) -> Errand:
    """Give an errand of a shipped recipe."""
    plain = {
        "cron": parse(cron),
        "program": ("/opt/venv/bin/rft",),
        "recipe": "quickstart",
        "settings": (),
        "folder": "/home/me/work",
        "run": "/home/me/work/runs/quickstart",
        "is_run": False,
        "resolved": RESOLVED,
        "outside": (),
        "grace": 20,
    }
    return Errand(**{**plain, **changes})


def hostile_errand(folder: Path, cron: str = "0 2 * * *", **changes: Any) -> Errand:
    """Make a folder with a hostile name, and an errand all of whose paths lie in it."""
    here = folder / HOSTILE
    here.mkdir(parents=True)
    recorder(here / "rft", folder / "called.json")
    places = {
        "program": (str(here / "rft"),),
        "recipe": str(here / "mine.yaml"),
        "settings": (f"prompt.template={HOSTILE}",),
        "folder": str(here),
        "run": str(here / "runs" / "mine"),
    }
    return errand(cron, **{**places, **changes})


def recorder(path: Path, note: Path, code: int = 0) -> Path:
    """Write a program that notes how and where it was called, and ends with a code."""
    path.write_text(
        f"#!{sys.executable}\n"
        "import json, os, pathlib, sys\n"
        f"note = pathlib.Path({str(note)!r})\n"
        "earlier = json.loads(note.read_text()) if note.exists() else []\n"
        "call = {'argv': sys.argv, 'cwd': os.getcwd(), 'env': dict(os.environ)}\n"
        "note.write_text(json.dumps([*earlier, call]))\n"
        "print('said')\n"
        f"sys.exit({code})\n"
    )
    path.chmod(0o755)
    return path


def calls(note: Path) -> list[dict[str, Any]]:
    """Read what a recorder noted."""
    return json.loads(note.read_text()) if note.exists() else []
