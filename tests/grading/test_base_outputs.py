"""Pins how the invented outputs of base models are read: as a careful person would."""

from collections import Counter

import polars as pl

from rft.grading.grade import grade
from rft.grading.judgement import AnswerKey
from rft.grading.lenient import lenient_verdicts
from rft.grading.verifier import Verifier
from rft.prompt import prompt_form
from rft.recipe import Prompt
from rft.runs.tables import pad
from tests.grading.base_outputs import OUTPUTS


def test_each_is_judged_as_a_careful_person_would() -> None:
    assert len(OUTPUTS) >= 60
    names = [f"p{index}" for index in range(len(OUTPUTS))]
    keys = {name: AnswerKey([gold]) for name, (gold, *_) in zip(names, OUTPUTS, strict=True)}
    rows = pl.DataFrame(
        {
            "rollout_id": names,
            "problem_id": names,
            "round": [0] * len(names),
            "sample_index": [0] * len(names),
            "completion": [text for _, text, *_ in OUTPUTS],
            "finish_reason": ["stop"] * len(names),
        }
    )
    form = prompt_form(Prompt())
    with Verifier(deadline=60, workers=1) as verifier:
        graded = grade(pad(rows, "rollouts"), keys, verifier=verifier, trim=None, form=form)
        lenient = lenient_verdicts(names, list(rows["completion"]), keys, verifier, form)
    for (gold, text, strict, kind), verdict, other in zip(
        OUTPUTS, graded["verdict"], lenient, strict=True
    ):
        assert (verdict, other) == (strict, kind), (gold, text)
    several = graded.filter(pl.col("verdict_path") == "several_boxes")
    assert Counter(several["verdict"]) == {"wrong": 2}
