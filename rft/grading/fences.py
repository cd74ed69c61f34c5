"""Finds code blocks in text: between a line of backticks and the next one that closes it.

One pass, linear on hostile input.
"""

import re
from dataclasses import dataclass, field

LANGUAGES = ("", "python", "python3", "py")
# A line of three or more backticks; what follows them names the language, and opens a block.
_FENCE = re.compile(r"^([ \t]*)(`{3,})([^`\n]*)$", re.MULTILINE)
_CODE = re.compile(r"^[ \t]*[^#\s]", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """Places a closed code block in its text: `text[start:end]` is all of it, fences included."""

    start: int
    end: int
    inside: int
    outside: int
    indent: int
    text: str = field(repr=False, compare=False)

    @property
    def content(self) -> str:
        """Return the code, without the indentation that its fence has."""
        code = self.text[self.inside : self.outside]
        return re.sub(rf"(?m)^[ \t]{{1,{self.indent}}}", "", code) if self.indent else code

    @property
    def is_empty(self) -> bool:
        """Tell whether it has comments at most."""
        return _CODE.search(self.text, self.inside, self.outside) is None


def blocks(text: str) -> list[Block]:
    """List every closed block of Python, or of no language that is named, in order."""
    found: list[Block] = []
    opened: re.Match[str] | None = None
    for fence in _FENCE.finditer(text):
        language = fence[3].strip()
        # A second opening says that the first block was never closed.
        if opened is None or language:
            opened = fence
        elif len(fence[2]) >= len(opened[2]):
            inside = min(opened.end() + 1, fence.start())
            place = (opened.start(), fence.end(), inside, fence.start())
            if opened[3].strip().lower() in LANGUAGES:
                found.append(Block(*place, len(opened[1]), text))
            opened = None
    return found
