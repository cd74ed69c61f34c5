"""Runs of a comparison without any model: drawn answers, of which every number can be counted."""

from collections.abc import Mapping, Sequence
from itertools import combinations, product
from math import comb, log
from pathlib import Path

import numpy as np

from pipelines.compare import ArmRun, arm_runs, note_recipes, rooted_arms
from rft.grading.answers import answer_of
from rft.recipe import Recipe
from rft.recipe.loading import load_arms
from rft.runs.folder import Run, save_recipe
from rft.runs.stages import Job
from tests import small_run
from tests.comparing import write_recipe

RIGHT, EIGHT, NINE = (f"so \\boxed{{{number}}}" for number in (7, 8, 9))
UNBOXED, NOTHING = "it is 7", "no idea"
TEXTS = (RIGHT, EIGHT, NINE, UNBOXED, NOTHING)
SAMPLES = [("p0", "a \\boxed{7}", "stop", 0.5), ("p1", "b \\boxed{7}", "stop", 0.9)]

# (benchmark, problem) -> the texts of a model.
Texts = Mapping[tuple[str, str], Sequence[str]]


def draw(weights: Sequence[float], seed: int, *, problems: int = 6, n: int = 4) -> Texts:
    """Draw answers to the problems of two benchmarks; the second one is harder."""
    source = np.random.default_rng(seed)
    answers = {}
    for benchmark, harder in (("easy", 1.0), ("hard", 0.4)):
        for index in range(problems):
            chances = np.array(weights) * [harder * (index + 0.5) / problems, 1, 1, 1, 1]
            drawn = source.choice(len(TEXTS), n, p=chances / chances.sum())
            answers[benchmark, f"{benchmark}{index}"] = [TEXTS[each] for each in drawn]
    return answers


def rows_of(texts: Texts, round: int, split: str = "test") -> list[dict]:
    """Make the rows of an evaluation, classes, lenient verdicts and entropies too."""
    rows = []
    for (benchmark, name), given in texts.items():
        numbers: dict[str, int] = {}
        for index, text in enumerate(given):
            verdict, answer = small_run.verdict_of(text), answer_of(text)
            other = None if answer is None else numbers.setdefault(answer, len(numbers) + 1)
            rows.append(
                {
                    "round": round,
                    "split": split,
                    "benchmark": benchmark,
                    "problem_id": name,
                    "sample_index": index,
                    "completion": text,
                    "finish_reason": "stop",
                    "answer": answer,
                    "answer_class": 0 if verdict == "correct" else other,
                    "verdict": verdict,
                    "verdict_lenient": "correct" if "7" in text else "wrong",
                    "mean_entropy": entropy_of(text, round),
                    "model": small_run.digest_of_model(round),
                }
            )
    return rows


def entropy_of(text: str, round: int) -> float:
    """Give the mean entropy that an answer is said to have."""
    return (1 + TEXTS.index(text)) / (8 if round else 4)


def measure(run: Run, round: int, rows: list[dict]) -> None:
    """Write an evaluation."""
    frame = small_run.frame("evaluations", rows)
    small_run.do(run, "evaluate", round, lambda job: write(job, frame))


def write(job: Job, frame) -> None:
    job.write("evaluations", frame)


def make(run: Run, base: Texts, after: Texts, dev: Sequence[Texts] = ()) -> None:
    """Make a run of one round; `dev` has the answers of base and model to the dev problems."""
    run.path.mkdir(parents=True)
    save_recipe(run)
    answers = {("test", *place): () for place in base}
    answers |= {("dev", *place): () for place in (dev[0] if dev else ())}
    small_run.prepare(run, answers=answers)
    for round, texts in enumerate((base, after)):
        if round:
            small_run.sample(run, 1, SAMPLES)
            small_run.grade(run, 1, SAMPLES)
            small_run.do(run, "filter", 1)
            small_run.do(run, "select", 1)
            small_run.sft(run, 1)
        rows = rows_of(texts, round)
        measure(run, round, rows + (rows_of(dev[round], round, "dev") if dev else []))


def begin(folder: Path, *overrides: str, **changes: object) -> tuple[Recipe, list[ArmRun]]:
    """Give a comparison on two benchmarks and its runs, none of which is done."""
    folder.mkdir(parents=True, exist_ok=True)
    benchmarks = "{easy: {source: 'bundled:arithmetic', split: test}, "
    benchmarks += "hard: {source: 'bundled:arithmetic', split: test}}"
    recipe = write_recipe(folder, **changes)
    settings = [f"prepare.test={benchmarks}", "evaluate.k=[1, 2, 4]", *overrides]
    whole, arms = rooted_arms(*load_arms(recipe, settings))
    runs = arm_runs(folder, whole, arms)
    note_recipes(folder, whole, runs)
    return whole, runs


# By hand ------------------------------------------------------------------------------------------


def by_hand(texts: Texts, benchmark: str, metric: str, round: int) -> list[float]:
    """Compute a metric of each problem by counting."""
    here = [given for (name, _), given in sorted(texts.items()) if name == benchmark]
    return [OF[metric.partition("@")[0]](given, metric, round) for given in here]


def _passed(given: Sequence[str], metric: str, _round: int) -> float:
    drawn = list(combinations(given, int(metric.partition("@")[2])))
    return sum(RIGHT in each for each in drawn) / len(drawn)


def _voted(given: Sequence[str], metric: str, _round: int) -> float:
    drawn, won = list(combinations(given, int(metric.partition("@")[2]))), 0.0
    for each in drawn:
        votes = [text for text in each if "boxed" in text]
        best = {text for text in votes if votes.count(text) == max(map(votes.count, votes))}
        won += (RIGHT in best) / max(1, len(best))
    return won / len(drawn)


def _entropy_of_answers(given: Sequence[str], _metric: str, _round: int) -> float:
    votes = [text for text in given if "boxed" in text]
    shares = [votes.count(text) / len(votes) for text in set(votes)]
    return -sum(share * log(share) for share in shares)


OF = {
    "pass": _passed,
    "maj": _voted,
    "lenient": lambda given, *_: sum("7" in text for text in given) / len(given),
    "boxed": lambda given, *_: sum("boxed" in text for text in given) / len(given),
    "distinct": lambda given, *_: len({text for text in given if "boxed" in text}),
    "answer entropy": _entropy_of_answers,
    "entropy": lambda given, _, round: np.mean([entropy_of(text, round) for text in given]),
}


def unsolved_by_hand(texts: Sequence[Texts], benchmark: str) -> set[str]:
    """Name the problems that no answer of any seed solves."""
    names = {name for place, name in texts[0] if place == benchmark}
    return {name for name in names if not any(RIGHT in each[benchmark, name] for each in texts)}


def luck_by_hand(
    before: Sequence[Texts], after: Sequence[Texts], benchmark: str
) -> tuple[float, float]:
    """Give how many problems luck gains and loses: all right answers fall on one side."""
    gained = lost = 0.0
    for name in {name for place, name in before[0] if place == benchmark}:
        sides = [[t for each in side for t in each[benchmark, name]] for side in (before, after)]
        n, m = map(len, sides)
        right = sum(side.count(RIGHT) for side in sides)
        if right:
            gained += comb(m, right) / comb(n + m, right)
            lost += comb(n, right) / comb(n + m, right)
    return gained, lost


def everywhere(arms: Sequence[str], seeds: Sequence[int]) -> list[tuple[str, int]]:
    """List every arm with every seed."""
    return list(product(arms, seeds))
