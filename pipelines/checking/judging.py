"""Checks of verifiers, gold readers and templates: on examples of theirs, and on hostile texts."""

from collections.abc import Iterator, Sequence
from typing import Any

from pipelines.checking.samples import HOSTILE, ORDINARY
from rft.grading.verifiers import open_verifier
from rft.problems.gold import READERS
from rft.recipe import Grade, Prompt
from rft.recipe.sample import TEMPLATES

Checks = Iterator[tuple[str, str | None]]
WORDS = {True: "correct", False: "wrong", None: "unparseable"}


def verifier(name: str, parameters: dict[str, Any], examples: Any, deadline: float) -> Checks:
    """Try a verifier, in the processes in which grading has it."""
    known, wrong = pairs_of(examples)
    yield "has examples", wrong
    if wrong:
        return
    golds = list(dict.fromkeys(gold for gold, _, _ in known))
    hostile = [(gold, text) for gold in golds[:3] for text in HOSTILE if text.strip()]
    with open_verifier(Grade(verifier={name: parameters}, deadline=deadline)) as judges:
        asked = [(gold, answer) for gold, answer, _ in known]
        judged = judges.verdicts([*asked, *hostile])
        bad = judges.bad_golds(golds)
        twice = judges.verdicts(reversed(asked))
    fault = None
    for gold, answer, said in known:
        verdict = judged[gold, answer].verdict
        if verdict != WORDS[said]:
            fault = f"{answer!r} for {gold!r} is {verdict}, and should be {WORDS[said]}"
            break
    yield "its examples", fault
    yield (
        "a gold is right by itself",
        f"{next(iter(bad))!r} is not right for itself" if bad else None,
    )
    late = [pair for pair, each in judged.items() if each.verdict == "timeout"]
    told = f"{late[0][1][:40]!r} takes longer than {deadline:g} s, or 4 GB" if late else None
    yield "an end in time", told
    easy = [pair for pair in hostile if judged[pair].verdict == "correct"]
    all_right = f"it takes {easy[0][1][:40]!r} for {easy[0][0]!r}" if easy else None
    yield "hostile answers are not right", all_right
    differs = [pair for pair in asked if judged[pair] != twice[pair]]
    yield "the same twice", f"{differs[0]!r} got two verdicts" if differs else None


def pairs_of(examples: Any) -> tuple[list[tuple[str, str, bool | None]], str | None]:
    """Read the examples of a verifier, or say what is wrong with them."""
    how = 'write EXAMPLES = {"NAME": [(gold, answer, True), (gold, answer, False)]} into the file'
    if not examples:
        return [], f"nobody can know what it should say; {how}"
    known = []
    for each in examples if isinstance(examples, Sequence) else [examples]:
        fits = isinstance(each, tuple | list) and len(each) == 3
        if not (fits and isinstance(each[0], str) and isinstance(each[1], str)):
            return [], f"{each!r} is no (gold, answer, verdict); {how}"
        if each[2] not in (True, False, None):
            return [], f"{each!r} says neither True, False nor None; {how}"
        known.append((each[0], each[1], each[2]))
    if {True, False} - {said for _, _, said in known}:
        return [], f"they need one that is right and one that is wrong; {how}"
    return known, None


def reader(name: str, examples: Any) -> Checks:
    """Try a gold reader."""
    fault = None
    for text in (*ORDINARY, *HOSTILE):
        said = READERS[name](text)
        if said is not None and not isinstance(said, str):
            fault = f"it gave {said!r} for {text[:40]!r}, neither a text nor None"
            break
    yield "a text or None", fault
    for text, gold in dict(examples or {}).items():
        said = READERS[name](text)
        wrong = None if said == gold else f"{text!r} is read as {said!r}, not {gold!r}"
        yield "its examples", wrong


def template(name: str) -> Checks:
    """Try a prompt template."""
    fault = None
    try:
        asked = Prompt(template=name).template.format(question="{1 + 1}")
        fault = None if "{1 + 1}" in asked else "the question is not in the prompt"
    except (IndexError, KeyError, ValueError) as error:
        fault = f"braces other than those of {{question}} are doubled ({error})"
    yield "asks the question", fault
    own = TEMPLATES[name].count("{question}")
    yield "once", None if own == 1 else f"it asks {own} times"
