"""A comparison in words: as it looks, and what no name can do to it."""

import re

import pytest

from pipelines.readers.comparison.side_by_side import SideBySide
from pipelines.readers.comparison.text import markdown_of, notes, text_of
from tests.compared_runs import everywhere

HOSTILE = "a|b *x* <script> [l](u) `c`\n# head\x1b[2J, \u202e"


@pytest.fixture(scope="module")
def part(known, tmp_path_factory) -> SideBySide:
    done = everywhere(["rules", "entropy"], [0, 5])
    return known.part(tmp_path_factory.mktemp("part") / "mine", done).side_by_side()


LOOKS = """
mine: N arms, each held against the control, rules
UNFINISHED: N of N runs are done, and this is what they say so far
N% intervals over problems and seeds at once; differences at the same seed and problem

test easy: N problems x N samples, in percent
arm | seeds | Pass@N [low; high] | Pass@N [low; high] | maj@N | lenient | in a box | distinct | entropy
base | N | I | I | N | N | N | N | N
rules (control) | N | I | I | N | N | N | N | N
entropy | N | I | I | N | N | N | N | N

changes in points [N% interval]
arm | to its base | to the control | at once | p (Holm)
rules (control) | Pass@N | I | - | - | -
Pass@N | I | - | - | -
maj@N | I | - | - | -
entropy | Pass@N | I | I | I | N
Pass@N | I | I | I | N
maj@N | I | I | I | N

claims, as the recipe makes them
claim | points [all N at once]
better | entropy higher than rules in Pass@N | I | supported
worse | entropy lower than rules in Pass@N | I | contradicted
alike | same higher than rules in Pass@N | - | not measured
narrow | noise lower than base in maj@N | - | not measured

problems solved at all: gained and lost against the base, the average of seeds
arm | samples | never solved | by no seed | gained (luck) | lost (luck) | base overtakes at k [low; high]
rules (control) | N | N | N | N (N) | N (N) | >N [N; >N]
entropy | N | N | N | N (N) | N (N) | none up to N
"""  # noqa: E501


def test_it_looks_so(part):
    text = text_of(part)
    lines = text.split("\n")
    assert max(map(len, lines)) <= 116
    assert not any(line != line.rstrip() for line in lines)
    bare = [re.sub(r"(?<=\S) {2,}(?=\S)", " | ", line).strip() for line in lines]
    numbers = [re.sub(r"(?<![a-z])-?\d+(\.\d+)?", "N", line) for line in bare]
    looks = [line.replace("N [N; N]", "I") for line in numbers]
    easy = "\n".join(looks)[: "\n".join(looks).index("test hard")].strip()
    assert easy == LOOKS.strip()
    # Columns end in one place.
    assert {len(line) for line in lines if line.endswith("entropy") and "seeds" in line} == {112}


def renamed(part: SideBySide, name: str) -> SideBySide:
    arms = {name if arm == "entropy" else arm: runs for arm, runs in part.arms.items()}
    return SideBySide(name, "rules", arms, 0, remarks=[name])


def test_markdown_is_as_wide_as_its_head_whatever_a_name_is(part):
    text = markdown_of(renamed(part, HOSTILE))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e]", text)
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(blocks) == 6
    for block in blocks:
        bars = {len(re.findall(r"(?<!\\)\|", line)) for line in block}
        assert len(bars) == 1, block
    outside = re.sub(r"\\.", "", text)
    assert "<" not in outside
    assert "`" not in outside
    assert [line for line in text.splitlines() if line.startswith("#")] == [text.splitlines()[0]]


def test_a_terminal_gets_one_line_for_a_line_whatever_a_name_is(part):
    plain, hostile = text_of(renamed(part, "n")), text_of(renamed(part, HOSTILE))
    assert len(plain.splitlines()) == len(hostile.splitlines())
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e]", hostile)


def test_notes_end_with_what_intervals_are_about(part):
    assert notes(part)[-1].startswith("95% intervals over problems and seeds")
