"""What is told of a comparison before it is run: its runs, and which differences could show."""

import re

from pipelines.readers.comparison.plan import base_counts, plan_lines, problems_in
from rft.measuring.detectable import detectable
from rft.recipe import Source
from rft.seeds import derive
from tests.compared_runs import RIGHT, begin


def test_before_anything_is_measured_the_base_is_taken_to_be_like_the_quickstarts(tmp_path):
    whole, runs = begin(tmp_path / "arms", "evaluate.n=4")
    lines = plan_lines(whole, runs)
    assert lines[0].startswith("4 runs (2 arms x 2 seeds), 0 done; ")
    assert lines[1].split() == ["rules", "(control)", 'select.by="random"']
    assert lines[2].split() == ["entropy", 'select.by="entropy"']
    assert "by a base like the quickstart's, since this one is not measured yet" in "\n".join(lines)
    assert problems_in(whole.prepare.benchmarks("test")["easy"]) > 50


def test_once_the_base_is_measured_its_own_answers_count(known):
    lines = plan_lines(known.whole, known.runs)
    assert lines[0].startswith("8 runs (4 arms x 2 seeds), 8 done; ")
    counts, how = base_counts(known.whole, known.runs, "hard", 4)
    by_hand = [
        given.count(RIGHT) for (name, _), given in sorted(known.base[0].items()) if name == "hard"
    ]
    assert counts.tolist() == by_hand
    assert how == "by the base's own answers"
    text = "\n".join(lines)
    for benchmark in ("easy", "hard"):
        counts, _ = base_counts(known.whole, known.runs, benchmark, 4)
        source = derive(0, "detectable", benchmark, 1)
        least = detectable(counts, 4, k=1, seeds=2, comparisons=3, seed=source)
        said = f"cases from {100 * least:.1f} points of Pass@1" if least < 1 else "no difference"
        assert re.search(rf"{benchmark}, 10 problems x 4, 2 seeds:\n.*{said}", text)
    assert "  claim narrow: noise lower than base in maj@3" in lines


def test_problems_of_a_source_elsewhere_are_not_counted():
    assert problems_in(Source(source="hub:owner/name", split="test")) is None
    assert problems_in(Source(source="hub:owner/name", split="test", limit=30)) == 30
