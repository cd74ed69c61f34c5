"""Judges answers by the function of a part, in a process that may be killed at any moment.

Run by path by `rft.grading.own`, with the protocol of verifier_worker.py; `fault ...` is the last
word of one whose function raised, with the file and the line.
"""

import json
import logging
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

# The package may be a checkout that only the parent's working folder made known.
sys.path.append(str(Path(__file__).resolve().parents[2]))

from rft.errors import RFTError
from rft.grading.verifier_worker import allow_seconds, has_room
from rft.parts.faults import told_in_one_line
from rft.parts.sources import Source

Judge = Callable[[str, str], str]


def judge_of(what: dict[str, Any]) -> Judge:
    """Run the part, if it is still what it was, and give its function as one that says words."""
    path = Path(what["path"]) if what["path"] else None
    text = path.read_bytes() if path else b""
    package = "" if path else what["module"]
    name = path.name if path else what["module"]
    source = Source(name, what["label"], what["sha256"], text, path, package)
    source.refuse_changed()
    function = getattr(source.run(), what["function"])

    def judge(gold: str, answer: str) -> str:
        with told_in_one_line(f"{what['label']}: {what['function']}"):
            said = function(gold, answer, **what["parameters"])
        if said is None:
            return "unparseable"
        if not isinstance(said, bool):
            raise RFTError(
                f"{what['label']}: {what['function']} gave {said!a:.60}; it has to give True, "
                "False, or None for an answer that cannot be read"
            )
        return "correct" if said else "wrong"

    return judge


def serve(jobs: Any, say: Callable[[str], None], judge: Judge, *, deadline: float) -> None:
    """Answer jobs until the parent closes the pipe; a gold is good if it is right by itself."""
    for line in jobs:
        job = json.loads(line)
        gold = job["gold"]
        start_clock(deadline)
        good = judge(gold, gold) == "correct"
        say("good" if good else "bad")
        for answer in job["answers"] if good else []:
            start_clock(deadline)
            say(judge(gold, answer))


def start_clock(deadline: float) -> None:
    """Make a task a function of its pair alone, and bound the CPU time that it can take."""
    random.seed(0)
    allow_seconds(deadline)


def main(deadline: float, memory_gb: float, what: dict[str, Any]) -> None:
    """Serve the parent on the pipes that it gave us."""
    # Whoever presses Ctrl-C means the parent, which decides what becomes of us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Nothing but our own words may reach the pipe, whatever the part prints.
    pipe = os.fdopen(os.dup(1), "w", encoding="ascii", errors="backslashreplace")
    os.dup2(2, 1)

    def say(word: str) -> None:
        pipe.write(" ".join(word.split()) + "\n")
        pipe.flush()

    logging.disable(logging.CRITICAL)
    try:
        judge = judge_of(what)
    except (RFTError, OSError, ImportError, AttributeError) as error:
        say(f"failed: {error}")
        return
    if not has_room(memory_gb):
        say(f"failed: a memory limit of {memory_gb:g} GB leaves no room to work in")
        return
    say("ready")
    try:
        serve(sys.stdin, say, judge, deadline=deadline)
    except MemoryError:
        say("memory")
    except RFTError as error:
        say(f"fault {error}")
    except BrokenPipeError:
        # The parent is gone. Leave without flushing what it will never read.
        os._exit(0)


if __name__ == "__main__":
    main(float(sys.argv[1]), float(sys.argv[2]), json.loads(sys.argv[3]))
