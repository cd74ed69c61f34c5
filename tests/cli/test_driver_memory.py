"""The driver of many rounds holds no more memory than that of a few."""

import statistics
import subprocess
import sys

# Heavy stages, which are processes of their own, write made-up tables; all else is the real loop.
LOOP = """
import sys
from pathlib import Path
from pipelines import perform
from pipelines.followed import run_followed
from rft.processes.stopping import Stop
from tests import small_run

# Few but long answers, so that a round's tables stand out from what allocators do.
SAMPLES = [
    (f"p{i % 50}", f"{[*range(i, i + 600)]} \\\\boxed{{{7 if i % 3 else 8}}}", "stop", i / 500)
    for i in range(500)
]
ANSWERS = {("test", "test", f"t{i}"): small_run.solved(2, 4) for i in range(50)}

def in_child(name, run, round, stop):
    heavy = {
        "prepare": lambda: small_run.prepare(
            run, train=[f"p{i}" for i in range(50)], answers=ANSWERS
        ),
        "sample": lambda: small_run.sample(run, round, SAMPLES),
        "grade": lambda: small_run.grade(run, round, SAMPLES),
        "sft": lambda: small_run.sft(run, round),
        "evaluate": lambda: small_run.evaluate(run, round, ANSWERS),
    }
    heavy[name]()

perform.in_child = in_child
settings = ["rounds=20", "select.budget=125", "select.noise=0.1", "sft.max_length=4096"]
run = small_run.new_run(Path(sys.argv[1]), *settings)
for upto in range(1, 21):
    run_followed(run, upto, Stop(), lambda _: None)
    status = Path("/proc/self/status").read_text().splitlines()
    (line,) = [line for line in status if line.startswith("VmRSS")]
    print(int(line.split()[1]), flush=True)
"""


def test_twenty_rounds_leave_the_drivers_memory_flat(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", LOOP, str(tmp_path / "run")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    kilobytes = [int(line) for line in done.stdout.split()]
    assert len(kilobytes) == 20
    # Allocators settle in the first rounds, and keep what they please in each: what counts is the
    # trend. Without a leak it is within 400 KB a round; a table that is held, `graded` or `kept`,
    # is 1.5 MB a round.
    growth = statistics.linear_regression(range(16), kilobytes[4:]).slope
    assert growth < 750, kilobytes
