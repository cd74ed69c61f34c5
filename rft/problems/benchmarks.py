"""Benchmarks by name: where each is on the Hub, how its answers are read, how it is sampled.

`n` is the paper's (arXiv 2508.07534) for AIME 2024, AMC 2023 and Minerva, with its temperature and
its nucleus; the other numbers are ours, and so is the longest answer, which the paper does not
name. Columns and splits are those that public code reads, since the Hub was never asked: of AIME
2024, MATH-500, AMC, Minerva and OlympiadBench in environments/math_server_zero.py of
NousResearch/atropos, of AIME 2024 and 2025 and GSM8K also on their cards, of AIME 2026 on
https://huggingface.co/docs/hub/eval-results and in MathArena's loaders. MATH-500's `level` was seen
in code only. A licence is the card's, or null where no card was seen that states one.
"""

from dataclasses import dataclass
from typing import Any

TEMPERATURE = 0.6
TOP_P = 0.95
MAX_TOKENS = 16_384


@dataclass(frozen=True)
class Benchmark:
    """A row of the table: the keys of a source, and what is known of the benchmark."""

    dataset: str
    split: str
    question: str
    gold: str
    problems: int
    n: int
    note: str
    config: str | None = None
    difficulty: str | None = None
    gold_reader: str = "plain"
    license: str | None = None
    task: str | None = None
    """The id of its leaderboard on the Hub, if it has one."""

    def source(self) -> dict[str, Any]:
        """Give the keys of a recipe's source."""
        columns = {"question": self.question, "gold": self.gold, "difficulty": self.difficulty}
        given = {
            "source": f"hub:{self.dataset}",
            "config": self.config,
            "split": self.split,
            "columns": {ours: theirs for ours, theirs in columns.items() if theirs is not None},
            "gold_reader": self.gold_reader,
        }
        return {key: value for key, value in given.items() if value is not None}


BENCHMARKS = {
    "aime24": Benchmark(
        dataset="HuggingFaceH4/aime_2024",
        split="train",
        question="problem",
        gold="answer",
        problems=30,
        n=128,
        note="AIME 2024, both papers; whole numbers from 0 to 999. Problems of before 2025 lie in "
        "the training data of newer models.",
    ),
    "aime25": Benchmark(
        dataset="math-ai/aime25",
        split="test",
        question="problem",
        gold="answer",
        problems=30,
        n=128,
        license="apache-2.0",
        note="AIME 2025, both papers; whole numbers from 0 to 999.",
    ),
    "aime26": Benchmark(
        dataset="MathArena/aime_2026",
        split="train",
        question="problem",
        gold="answer",
        problems=30,
        n=128,
        task="MathArena/aime_2026",
        note="AIME 2026, both papers; whole numbers from 0 to 999.",
    ),
    "amc23": Benchmark(
        dataset="math-ai/amc23",
        split="test",
        question="question",
        gold="answer",
        problems=40,
        n=64,
        note="AMC 12 of 2023 without its choices; golds such as 27.0 are compared as numbers.",
    ),
    "gsm8k": Benchmark(
        dataset="openai/gsm8k",
        config="main",
        split="test",
        question="question",
        gold="answer",
        gold_reader="gsm8k",
        problems=1319,
        n=4,
        license="mit",
        task="gsm8k",
        note="Word problems of grade school; the gold is the number after ####.",
    ),
    "math500": Benchmark(
        dataset="HuggingFaceH4/MATH-500",
        split="test",
        question="problem",
        gold="answer",
        difficulty="level",
        problems=500,
        n=16,
        note="500 test problems of MATH, levels 1 to 5; golds are LaTeX. The other 12,000 problems "
        "of MATH are what one may train on.",
    ),
    "minerva": Benchmark(
        dataset="math-ai/minervamath",
        split="test",
        question="question",
        gold="answer",
        problems=272,
        n=64,
        note="Undergraduate physics, chemistry and astronomy of MIT's OpenCourseWare; golds are "
        "rounded, and an answer is right as they are. The problem whose gold is the code "
        "np.arcsin(10/13) is set aside, so that 271 are measured.",
    ),
    "olympiadbench": Benchmark(
        dataset="math-ai/olympiadbench",
        split="test",
        question="question",
        gold="final_answer",
        problems=674,
        n=16,
        note="The open-ended English mathematics of OlympiadBench, texts only (OE_TO_maths_en_COMP)"
        "; a gold is a list of one text, in which several answers are separated by commas.",
    ),
}
