"""Rows to try parts on: ordinary answers, hostile texts, and what may be missing."""

import math

import polars as pl

from rft.grading.response_statistics import statistics
from rft.runs.schemas import TABLES

# Texts that break what was written with well-behaved answers in mind.
HOSTILE = (
    "",
    " \n\t ",
    "\x00\x1b[31m\x7f",
    "\u202e\u200bevil\ufeff",
    "\U0001f600" * 50,
    "\\boxed{" * 40,
    "}" * 40 + "\\boxed{}{",
    "$^.*+?()[]{}|\\ (?:a+)+$ \\p{L} %s {0} {question}",
    "nan inf -inf 1e999 0x1p9 1_000 ١٢٣",
    "'; __import__('os').system('true') #",
    "a" * 20_000 + "!",
    "1 " * 10_000,
    "你好，答案是 \\boxed{7}。Ответ: семь.",  # noqa: RUF001
)
ORDINARY = (
    "So 3 + 4 = 7 and the answer is \\boxed{7}.",
    "First, 3 + 4 = 7.\nTherefore \\boxed{7}",
    "Let x = 3. Then x + 4 = 8, which gives \\boxed{8}.",
    "\\boxed{7}",
    "Wait, I should check. 7 - 4 = 3. Yes! The answer is \\boxed{7}.",
    "It is seven.",
    "THE ANSWER IS \\boxed{7}!!!",
    "We add 3 and 4. We add 3 and 4. We add 3 and 4. We add 3 and 4. \\boxed{7}",
)
TEXTS = ORDINARY + HOSTILE


def rollouts() -> pl.DataFrame:
    """Make rows as grading has them while it computes statistics, no two with the same numbers."""
    rows = []
    for number, text in enumerate(TEXTS * 2):
        # Never below two, and with tokens behind the response, which do not count.
        count = 2 + number % 9
        behind = 3
        lists = {
            "token_ids": [(7 * number + place) % 400 for place in range(count + behind)],
            "logprobs": [-0.01 - (number * place) % 7 / 3 for place in range(count + behind)],
            "entropies": [0.02 + (number + place * 3) % 11 / 5 for place in range(count + behind)],
            "branching": [1 + (number + place) % 5 for place in range(count + behind)],
        }
        if number % 10 == 9:  # what a server gives
            lists = dict.fromkeys(lists)
        rows.append(
            {
                "rollout_id": f"{number:016x}",
                "problem_id": f"{number // 4:016x}",
                "round": 1,
                "sample_index": number % 4,
                "prompt": "What is 3 + 4?",
                "completion": text + " and more",
                "response": text,
                "finish_reason": "length" if number % 6 == 5 else "stop",
                "num_prompt_tokens": 12,
                "num_tokens": None if lists["token_ids"] is None else count + behind,
                "num_response_tokens": None if lists["token_ids"] is None else count,
                **lists,
                "stats_origin": None if lists["token_ids"] is None else "sampler",
                "stats_mass": 0.95,
                "model": "checked",
                "sampling": "{}",
                "seed": number,
                "answer": "7" if "boxed{7}" in text else None,
                "answer_class": 0 if "boxed{7}" in text else None,
                "verdict": "correct" if "boxed{7}" in text else "wrong",
                "verdict_path": "exact",
                "num_boxed": text.count("\\boxed"),
                "num_placeholders": 0,
                "redundancy": 0.01 * number,
            }
        )
    types: dict[str, pl.DataType] = {}
    for table in ("rollouts", "graded"):
        empty = pl.from_arrow(TABLES[table].empty_table())
        assert isinstance(empty, pl.DataFrame)
        types |= {name: kind for name, kind in empty.schema.items() if name in rows[0]}
    return pl.DataFrame(rows, schema=types)


def graded() -> pl.DataFrame:
    """Make rows as rules and orders see them, the statistics of parts among them."""
    rows = rollouts()
    made = rows.with_columns(**{name: each.alias(name) for name, each in statistics(rows).items()})
    return made.select(TABLES["graded"].names)


def without_optional(rows: pl.DataFrame, table: str) -> pl.DataFrame:
    """Leave nothing in the columns that may be null."""
    nothing = [field.name for field in TABLES[table] if field.nullable]
    return rows.with_columns(pl.lit(None, rows.schema[name]).alias(name) for name in nothing)


def same(one: pl.Series, other: pl.Series) -> bool:
    """Say whether two columns hold the same, floats to their last bits."""
    return one.equals(other, null_equal=True) or [_plain(each) for each in one] == [
        _plain(each) for each in other
    ]


def _plain(value: object) -> object:
    return "nan" if isinstance(value, float) and math.isnan(value) else value
