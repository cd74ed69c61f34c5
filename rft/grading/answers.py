r"""Finds the answer in text: the first closed `\boxed{...}` that holds one, for every stage.

Where answers are programs it is the last closed code block (fences.py) instead; whoever reads is
told by the form. One pass, linear on hostile input.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from rft.grading.fences import Block
from rft.grading.fences import blocks as code_blocks
from rft.grading.placeholders import LONGEST, bare, is_placeholder, names_a_kind, never_answers

# Part of the key of all that was read: of which box is the answer, and of what is right. Raise it
# with each change of either, so that no run holds numbers of two kinds.
READING = 3

# Where the answer is.
Finds = Literal["box", "code block"]

# More boxes than this are no list of answers.
MOST_TOGETHER = 8

# A box opens, or a backslash makes a literal of what follows it (`\{`, `\}`, `\\`), or a brace.
_TOKEN = re.compile(r"(\\boxed\s*\{)|\\.|([{}])", re.DOTALL)
_BOX, _BRACE = 1, 2
_PLAIN = -1


@dataclass(frozen=True, slots=True)
class Box:
    """Places a balanced box in its text: `text[start:end]` is all of it, braces included."""

    start: int
    end: int
    inside: int
    text: str = field(repr=False, compare=False)

    @property
    def content(self) -> str:
        """Return what stands between the braces."""
        # Sliced on demand: the contents of n nested boxes would take n^2 memory.
        return self.text[self.inside : self.end - 1]

    @property
    def is_short(self) -> bool:
        """Tell whether it is short enough to be a placeholder."""
        return self.end - 1 - self.inside <= LONGEST


@dataclass(frozen=True)
class Form:
    """Where answers stand, and what the prompt itself shows there, which is no answer again."""

    never: frozenset[str] = frozenset()
    """Never an answer: words and small letters."""
    maybe: frozenset[str] = frozenset()
    """No answer if another box holds one: an example could be the answer as well."""
    finds: Finds = "box"


NO_FORM = Form()


@dataclass(frozen=True)
class Reading:
    """The boxes or blocks of a text, each in one of two lists, by where they start."""

    answers: Sequence[Box | Block]
    placeholders: Sequence[Box | Block]
    decides: int = 0
    """Which of several is the answer."""

    @property
    def box(self) -> Box | Block | None:
        """Give the one that is the answer."""
        return self.answers[self.decides] if self.answers else None

    @property
    def answer(self) -> str | None:
        """Give the answer, stripped."""
        return self.box.content.strip() if self.box else None

    @property
    def together(self) -> str | None:
        """Give the answers of several boxes as one list; None where there is one box, or too much.

        Boxes within boxes are no several answers, nor are code blocks.
        """
        boxes = self.answers
        if any(isinstance(box, Block) for box in boxes):
            return None
        apart = all(one.end <= other.start for one, other in pairwise(boxes))
        if not 1 < len(boxes) <= MOST_TOGETHER or not apart:
            return None
        return ", ".join(dict.fromkeys(box.content.strip() for box in boxes))


def form_of(*shown: str, finds: Finds = "box") -> Form:
    """Read what a prompt shows in boxes: its template and its system message, without the shots."""
    if finds == "code block":
        codes = {block.content.strip() for text in shown for block in code_blocks(text)}
        return Form(frozenset(codes), finds=finds)
    contents = {box.content for text in shown for box in boxes(text) if box.is_short}
    never = {bare(content) for content in contents if never_answers(content)}
    return Form(frozenset(never), frozenset(bare(content) for content in contents) - never)


def read(text: str, form: Form = NO_FORM) -> Reading:
    """Part the boxes that hold an answer from those that repeat the form."""
    if form.finds == "code block":
        return _read_code(text, form)
    answers, examples, placeholders = [], [], []
    for box in boxes(text):
        if not box.is_short:
            answers.append(box)
        elif is_placeholder(box.content) or bare(box.content) in form.never:
            placeholders.append(box)
        elif names_a_kind(box.content) or bare(box.content) in form.maybe:
            examples.append(box)
        else:
            answers.append(box)
    if not answers:
        return Reading(examples, placeholders)
    return Reading(answers, sorted(examples + placeholders, key=lambda box: box.start))


def _read_code(text: str, form: Form) -> Reading:
    """Part the blocks that hold a program; the last one counts, since a draft may come first."""
    found = code_blocks(text)
    no_code = [block.is_empty or block.content.strip() in form.never for block in found]
    given = list(zip(found, no_code, strict=True))
    return Reading(
        [block for block, is_none in given if not is_none],
        [block for block, is_none in given if is_none],
        decides=-1,
    )


def boxes(text: str) -> list[Box]:
    """List every balanced box, nested ones too, by where it starts; an unclosed box is no box."""
    return sorted(_closed(text), key=lambda box: box.start)


def answer_box(text: str, form: Form = NO_FORM) -> Box | Block | None:
    """Find the box, or the code block, that holds the answer."""
    return read(text, form).box


def answer_of(text: str, form: Form = NO_FORM) -> str | None:
    """Read the answer, the stripped content of its box: None without one."""
    return read(text, form).answer


def last_answer_of(text: str, form: Form = NO_FORM) -> str | None:
    """Read the answer of the box that starts last, as most published numbers do."""
    answers = read(text, form).answers
    return answers[-1].content.strip() if answers else None


def _closed(text: str) -> Iterator[Box]:
    """Yield every balanced box, in the order in which they close."""
    if "\\boxed" not in text:
        return
    opened: list[tuple[int, int]] = []
    for token in _TOKEN.finditer(text):
        if token.lastindex == _BOX:
            opened.append((token.start(), token.end()))
        elif token.lastindex == _BRACE and token[0] == "{":
            opened.append((_PLAIN, _PLAIN))
        # A closing brace that nothing opened is text.
        elif token.lastindex == _BRACE and opened:
            start, inside = opened.pop()
            if start != _PLAIN:
                yield Box(start, token.end(), inside, text)
