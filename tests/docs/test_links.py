"""Every link from a page to another one, and to a heading in it, leads somewhere."""

import posixpath
import re

import pytest

from docs.generate import LINK
from tests.command import ROOT

TEXTS = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))
}
PICTURE = re.compile(r"!\[[^\]]+\]\(([^)\s:]+)\)")


def prose(text: str) -> str:
    """Leave out code, in which brackets are no links."""
    return re.sub(r"(?ms)^( *)```.*?^\1```|`[^`\n]*`", "", text)


def anchors(text: str) -> set[str]:
    """List the headings as links name them."""
    titles = re.findall(r"(?m)^#+ (.*)$", re.sub(r"(?ms)^```.*?^```", "", text))
    plain = (re.sub(r"[^\w\s-]", "", title).strip().lower() for title in titles)
    return {re.sub(r"[-\s]+", "-", title) for title in plain}


@pytest.mark.parametrize("place", TEXTS)
def test_each_link_leads_to_a_page_and_to_a_heading(place):
    for _, target, anchor in LINK.findall(prose(TEXTS[place])):
        there = posixpath.normpath(posixpath.join(posixpath.dirname(place), target))
        assert there in TEXTS or (ROOT / there).exists(), f"{target} is not there"
        if anchor:
            assert anchor[1:] in anchors(TEXTS[there]), f"{target} has no {anchor}"


@pytest.mark.parametrize("place", TEXTS)
def test_each_link_within_a_page_leads_to_a_heading(place):
    for anchor in re.findall(r"\]\(#([^)]+)\)", prose(TEXTS[place])):
        assert anchor in anchors(TEXTS[place]), f"it has no #{anchor}"


def test_each_picture_is_there_and_is_told_in_words():
    shown = [
        posixpath.normpath(posixpath.join(posixpath.dirname(place), path))
        for place, text in TEXTS.items()
        for path in PICTURE.findall(prose(text))
    ]
    assert shown
    for path in shown:
        assert (ROOT / path).stat().st_size < 300_000


def test_a_link_that_leads_nowhere_would_be_seen():
    assert LINK.findall("[a](b.md#c)") == [("a", "b.md", "#c")]
    assert "c" not in anchors("# A\n\n## B: c, `d` e\n")
    assert "b-c-d-e" in anchors("# A\n\n## B: c, `d` e\n")
