"""Verifiers of parts: a function of a gold and an answer, called in killable processes."""

import hashlib
import inspect
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

from pydantic import create_model

from rft.errors import RFTError
from rft.grading.at_sight import gold_fault
from rft.grading.judgement import Judgement
from rft.grading.method import Judges, Method, Say
from rft.grading.verifier import JOB_ANSWERS, MAX_WORKERS, MEMORY_GB
from rft.grading.verifier_pool import Comparison, Pool
from rft.parts.sources import Source
from rft.recipe import Grade

WORKER = Path(__file__).with_name("own_worker.py")
WORDS = ("correct", "wrong", "unparseable")
# What is longer is no answer, and a function that reads it takes for ever.
LONGEST = 10_000


def verifier_of(name: str, function: Any, source: Source) -> type[Method]:
    """Make a verifier of a part's function; what follows gold and answer are its parameters."""
    fields: dict[str, Any] = {}
    for parameter in [*inspect.signature(function).parameters.values()][2:]:
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (parameter.annotation, default)

    def open_own(self: Method, settings: Grade, _say: Say) -> Judges:
        return OwnVerifier(source, function.__name__, self, settings.deadline)

    about = inspect.getdoc(function)
    made: type[Method] = create_model(name, __base__=Method, __doc__=about, **fields)
    made.name = name
    made.open = open_own  # type: ignore[assignment, method-assign]
    return made


class OwnVerifier:
    """Judges pairs by a part's function, each distinct pair once, in workers."""

    def __init__(self, source: Source, function: str, method: Method, deadline: float) -> None:
        self.source, self.method = source, method
        self.judged: dict[tuple[str, str], Judgement] = {}
        self._golds: dict[str, Judgement | None] = {}
        what = {
            "path": str(source.path) if source.path else None,
            "module": source.module_name,
            "sha256": source.sha256,
            "label": source.label,
            "function": function,
            "parameters": method.model_dump(mode="json"),
        }
        self._pool = Pool(
            deadline=deadline,
            workers=min(MAX_WORKERS, os.cpu_count() or 1),
            memory_gb=MEMORY_GB,
            script=WORKER,
            words=(json.dumps(what),),
            called=f"the worker of the verifier {method.name}",
            needs=f"`rft check {source.label}`",
        )

    @property
    def name(self) -> str:
        """Name the verifier, and its content, as the table of verdicts records it."""
        told = json.dumps(self.method.model_dump(mode="json"), sort_keys=True)
        more = f" {hashlib.sha256(told.encode()).hexdigest()[:8]}" if told != "{}" else ""
        return f"{self.method.name} {self.source.sha256[:12]}{more}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self._pool.close()

    def verdicts(self, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Judgement]:
        """Judge each distinct pair."""
        wanted = list(dict.fromkeys(pairs))
        unread: dict[str, list[str]] = {}
        for gold, answer in wanted:
            if (gold, answer) in self.judged:
                continue
            if not answer.strip():
                self.judged[gold, answer] = Judgement("unparseable", self.method.name)
            elif max(len(gold), len(answer)) > LONGEST:
                self.judged[gold, answer] = Judgement("unparseable", "too_long")
            else:
                unread.setdefault(gold, []).append(answer)
        self._consult(unread)
        return {pair: self.judged[pair] for pair in wanted}

    def bad_golds(self, golds: Iterable[str]) -> dict[str, Judgement]:
        """Find the golds that the function does not take for an answer to themselves."""
        distinct = list(dict.fromkeys(golds))
        self._consult({gold: [] for gold in distinct if gold.strip() and len(gold) <= LONGEST})
        bad = Judgement("bad_gold", self.method.name)
        found = {gold: self._golds.get(gold, gold_fault(gold) or bad) for gold in distinct}
        return {gold: fault for gold, fault in found.items() if fault is not None}

    def _consult(self, unread: dict[str, list[str]]) -> None:
        """Ask the workers, and record what they say or that they died of it."""
        asked = {
            gold: answers for gold, answers in unread.items() if answers or gold not in self._golds
        }
        jobs = [
            Comparison(gold, answers[start : start + JOB_ANSWERS])
            for gold, answers in asked.items()
            for start in range(0, max(1, len(answers)), JOB_ANSWERS)
        ]
        for outcome in self._pool.run(jobs):
            if outcome.word is not None and outcome.word.startswith("fault"):
                raise RFTError(
                    f"{outcome.word.removeprefix('fault ')} (grade.verifier; give None for an "
                    "answer that cannot be read)"
                )
            if outcome.answer is None:
                bad = Judgement("bad_gold", outcome.lost or self.method.name)
                self._golds[outcome.gold] = None if outcome.word == "good" else bad
            elif outcome.lost:
                self.judged[outcome.gold, outcome.answer] = Judgement("timeout", outcome.lost)
            else:
                word = str(outcome.word)
                assert word in WORDS, word
                self.judged[outcome.gold, outcome.answer] = Judgement(word, self.method.name)
        for gold, answers in asked.items():
            for answer in answers:  # those of a gold that is bad have no other judgement
                if (gold, answer) not in self.judged:
                    fault = self._golds[gold]
                    assert fault is not None, "an answer was passed over"
                    self.judged[gold, answer] = fault
