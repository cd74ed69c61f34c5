"""Judges programs by running them against given tests, in a sandbox: the verifier `code`."""

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field

from rft.grading.answers import Finds
from rft.grading.judgement import Judgement
from rft.grading.method import Judges, Method, Say
from rft.grading.programs.dialogue import BAD_TEST
from rft.grading.programs.given_tests import (
    Asserts,
    Calls,
    Streams,
    read_tests,
    same_output,
    same_result,
)
from rft.grading.programs.inside import NO_FUNCTION, NOT_COMPILED, OUT_OF_MEMORY
from rft.grading.programs.sandbox import Ended, Limits, Sandbox, version
from rft.grading.verifier import cores
from rft.recipe import Grade

# Longer ones are no answer to any task.
LONGEST = 100_000
# What may be printed beyond what is wanted, and what a program and its tests may say to each other.
MORE_OUTPUT, MOST_SAID = 1 << 20, 1 << 26
# Golds that are looked through at once.
AT_ONCE, CHARACTERS = 64, 1 << 18
MAX_WORKERS = 16
# Ways in which a program ends that decide a verdict by themselves.
ENDS = {
    NOT_COMPILED: Judgement("unparseable", "syntax"),
    NO_FUNCTION: Judgement("unparseable", "no_function"),
    OUT_OF_MEMORY: Judgement("timeout", "memory"),
    BAD_TEST: Judgement("bad_gold", "tests"),
}
BAD_GOLD = Judgement("bad_gold", "tests")


class Code(Method):
    """As programs: the gold is tests, and the last closed code block of an answer has to pass them.

    Each test runs in a sandbox of bubblewrap (`bwrap`): no network, no files but Python's own and
    a small folder that goes with it, one process. `grade.deadline` is for each test.
    """

    name = "code"
    finds: ClassVar[Finds] = "code block"

    memory_mb: Annotated[int, Field(ge=64, le=1_000_000)] = 512
    """Memory of a program, in MiB."""

    def open(self, settings: Grade, _say: Say) -> Judges:
        verifier = CodeVerifier(Limits(settings.deadline, self.memory_mb << 20))
        verifier.sandbox.try_out()
        return verifier


class CodeVerifier:
    """Judges (tests, program) pairs, as many at once as there are cores."""

    def __init__(self, limits: Limits) -> None:
        self.judged: dict[tuple[str, str], Judgement] = {}
        self.sandbox = Sandbox(limits)
        self._faults: dict[str, Judgement | None] = {}
        self._workers = min(MAX_WORKERS, cores())

    @property
    def name(self) -> str:
        """Name the verifier, and what decides beside it."""
        return f"code, {version()}, {self.sandbox.limits.memory >> 20} MiB"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self.sandbox.over.set()

    def verdicts(self, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Judgement]:
        """Judge each distinct pair."""
        wanted = list(dict.fromkeys(pairs))
        new = [pair for pair in wanted if pair not in self.judged]
        self._look_through(gold for gold, _ in new)
        with ThreadPoolExecutor(self._workers) as pool:
            try:
                self.judged.update(zip(new, pool.map(self._judge, new), strict=True))
            except BaseException:
                self.sandbox.over.set()
                pool.shutdown(cancel_futures=True)
                raise
        return {pair: self.judged[pair] for pair in wanted}

    def bad_golds(self, golds: Iterable[str]) -> dict[str, Judgement]:
        """Find the golds that are no tests."""
        distinct = list(dict.fromkeys(golds))
        self._look_through(distinct)
        faults = {gold: self._faults[gold] for gold in distinct}
        return {gold: fault for gold, fault in faults.items() if fault is not None}

    def _look_through(self, golds: Iterable[str]) -> None:
        """Find out which golds can be read; Python is read in the sandbox too."""
        sources = []
        for gold in dict.fromkeys(golds):
            if gold in self._faults:
                continue
            tests = read_tests(gold)
            self._faults[gold] = BAD_GOLD if tests is None else None
            if isinstance(tests, Asserts):
                sources.append(gold)
        for part in _parts(sources):
            for gold, good in zip(part, self._checked(part), strict=True):
                self._faults[gold] = None if good else BAD_GOLD

    def _checked(self, sources: list[str]) -> list[bool]:
        """Tell which sources test something."""
        ended = self.sandbox.run("check", {"sources": sources}, most=MORE_OUTPUT)
        if ended.code == 0:
            good: list[bool] = json.loads(ended.output)
            return good
        if len(sources) == 1:
            return [False]
        # One that ends the process takes the others with it: then each is read alone.
        return [good for source in sources for good in self._checked([source])]

    def _judge(self, pair: tuple[str, str]) -> Judgement:
        gold, program = pair
        if not program.strip():
            return Judgement("no_answer", "empty")
        if fault := self._faults[gold]:
            return fault
        if len(program) > LONGEST:
            return Judgement("unparseable", "too_long")
        tests = read_tests(gold)
        if isinstance(tests, Asserts):
            return self._asserted(program, tests)
        assert tests is not None, "a gold that cannot be read has a fault"
        for judgement in self._each(program, tests):
            if judgement.verdict != "correct":
                return judgement
        return Judgement("correct", "tests")

    def _each(self, program: str, tests: Streams | Calls) -> Iterator[Judgement]:
        """Run a program once for each test; what is wanted never gets to where it is."""
        if isinstance(tests, Streams):
            for given, wanted in tests.cases:
                most = len(wanted.encode()) + MORE_OUTPUT
                ended = self.sandbox.run("run", {"source": program}, given.encode(), most=most)
                yield _of(ended, same_output(ended.output, wanted))
        else:
            for arguments, wanted in tests.cases:
                job = {"source": program, "name": tests.name, "args": arguments}
                ended = self.sandbox.run("call", job, most=MORE_OUTPUT)
                yield _of(ended, same_result(ended.output, wanted))

    def _asserted(self, program: str, tests: Asserts) -> Judgement:
        """Let tests call a program, which is in another sandbox."""
        told, gone = self.sandbox.converse(program, tests.source, most=MOST_SAID)
        if told.code == 0:
            return Judgement("correct", "tests")
        if gone is not None:  # the tests failed since the program was gone
            return _ended(gone)
        return _ended(told, otherwise="tests")


def _of(ended: Ended, same: bool) -> Judgement:
    if ended.code != 0:
        return _ended(ended)
    return Judgement("correct" if same else "wrong", "tests")


def _ended(ended: Ended, otherwise: str = "crash") -> Judgement:
    """Say what follows from the end of a program that did not go well."""
    if ended.too_long:
        return Judgement("wrong", "too_much")
    if ended.late:
        return Judgement("timeout", "deadline")
    return ENDS.get(ended.code) or Judgement("wrong", otherwise)


def _parts(sources: list[str]) -> Iterator[list[str]]:
    """Cut texts into parts of bounded size."""
    part: list[str] = []
    for source in sources:
        if part and (len(part) == AT_ONCE or sum(map(len, part)) + len(source) > CHARACTERS):
            yield part
            part = []
        part.append(source)
    if part:
        yield part
