"""Repetition and decontamination beside datatrove's filters: `make bench-cleaning`.

Start-up is excluded on both sides; ratios are of paired, alternating repetitions. What overlaps is
planted, so that beside the time it is told what each finds. datatrove wants other versions of what
we stand on, and so has an environment of its own.
"""

import json
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from string import ascii_lowercase

from rft.grading.grade import redundancy
from rft.problems.overlaps import RUNS, References
from rft.runs.folder import versions

REPEATS = 3
ANSWERS, WORDS = 2_000, 200
QUESTIONS, REFERENCES, LONG = 20_000, 5_000, 40
PLANTED = 0.01
# So many of the planted are copies of one and the same reference.
SAME = 20
# Above it a text is redundant, as in the recipes.
THRESHOLD = 0.31


def drawn(source: random.Random) -> dict[str, list[str]]:
    """Draw answers, a tenth of which repeat themselves, questions and references."""
    # Of letters alone, since datatrove takes all numbers for the same. As often as in a language:
    # the n-th word 1/n as often as the first.
    words = ["".join(source.choices(ascii_lowercase, k=6)) for _ in range(20_000)]
    often = [1 / (number + 1) for number in range(len(words))]

    def text(size: int) -> str:
        return " ".join(source.choices(words, often, k=size))

    answers = [
        " ".join([text(WORDS // 20)] * 20) if source.random() < 0.1 else text(WORDS)
        for _ in range(ANSWERS)
    ]
    references = [text(LONG) for _ in range(REFERENCES)]
    questions = [text(LONG) for _ in range(QUESTIONS)]
    for number in range(0, QUESTIONS, round(1 / PLANTED)):
        copied = references[0] if number < SAME / PLANTED else source.choice(references)
        questions[number] = f"{text(5)} {copied} {text(5)}"
    return {"answers": answers, "questions": questions, "references": references}


def repetition(given: dict[str, list[str]]) -> list[int]:
    """Find the answers that repeat themselves."""
    return [at for at, text in enumerate(given["answers"]) if redundancy(text) > THRESHOLD]


def decontamination(given: dict[str, list[str]]) -> list[int]:
    """Find the questions that have words in a row in common with a reference."""
    found = References(given["references"]).overlaps(given["questions"])
    return [at for at, overlap in enumerate(found) if overlap is not None and overlap.telling]


def main() -> None:
    """Measure both in turns."""
    print(f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}; ", end="")
    print(", ".join(f"{name} {version}" for name, version in versions().items()))
    given = drawn(random.Random(0))
    planted = set(range(0, QUESTIONS, round(1 / PLANTED)))
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "texts.json"
        path.write_text(json.dumps(given))
        script = Path(__file__).with_name("datatrove_arm.py")
        command = [sys.argv[1], str(script), str(path), str(RUNS[1])]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        ) as other:
            assert other.stdin is not None
            assert other.stdout is not None
            for name, ours in (("repetition", repetition), ("decontamination", decontamination)):
                pairs = []
                for _ in range(REPEATS):
                    began = time.perf_counter()
                    mine = ours(given)
                    seconds = time.perf_counter() - began
                    print(name, file=other.stdin, flush=True)
                    theirs_took, theirs = json.loads(other.stdout.readline())
                    pairs.append((seconds, theirs_took))
                report(name, pairs, len(given["answers" if name == "repetition" else "questions"]))
                print(f"  found: ours {len(mine):,}, datatrove {len(theirs):,}, of which both "
                      f"{len({*mine} & {*theirs}):,}")  # fmt: skip
                if name == "decontamination":
                    print(f"  planted {len(planted)}: ours finds {len(planted & {*mine})} with "
                          f"{RUNS[0]} words in a row, datatrove {len(planted & {*theirs})} with "
                          f"{RUNS[1]}")  # fmt: skip
            other.stdin.close()


def report(name: str, pairs: list[tuple[float, float]], texts: int) -> None:
    """Print both speeds, and the ratio with its range over the pairs."""
    ratios = sorted(theirs / ours for ours, theirs in pairs)
    mine, theirs = (statistics.median(times) for times in zip(*pairs, strict=True))
    print(
        f"{name}: ours {texts / mine:,.0f} texts/s, datatrove {texts / theirs:,.0f}; "
        f"ratio {statistics.median(ratios):.1f} [{ratios[0]:.1f}, {ratios[-1]:.1f}]"
    )


if __name__ == "__main__":
    main()
