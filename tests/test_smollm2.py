"""A real small language model, its vocabulary and its chat template, through what loads and trains.

`make smollm2` builds its folder, or SMOLLM2 says where one is; without it these tests are skipped.

Run: python -m pytest tests/test_smollm2.py -m slow
"""

import math
import os
from pathlib import Path

import pytest

from pipelines import sft
from rft.engines import Fixed, Request, Sampling
from rft.grading.answers import answer_box, answer_of
from rft.model_folders.inspection import refuse_broken
from rft.processes.stopping import Stop
from rft.prompt import open_prompter
from rft.recipe import Model
from rft.recipe.loading import load_recipe
from rft.runs.models import resolve
from tests.command import ROOT

FOLDER = Path(os.environ.get("SMOLLM2", ROOT.parent / "models" / "smollm2-135m"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FOLDER.is_dir(), reason=f"{FOLDER}: not built, see `make smollm2`"),
]

RECIPE = load_recipe("smollm2-135m")
# Texts after whose box something follows, and what may share a token with the closing brace.
TEXTS = [
    f"{before}\\boxed{{{answer}}}{after}"
    for before, answer in (
        ("4 + 9 = 13. The answer is ", "13"),
        ("Ça fait $", "\\frac{1}{2}"),
        ("所以答案是 ", "x^{2}+1"),
        ("So 😀 it is\n\n", "-3.5"),
    )
    for after in ("", ".", "}.", "$$. I hope it helps 😀", "\n\nWait, \\boxed{7}}")
]


@pytest.fixture(scope="module")
def model():
    refuse_broken(FOLDER)
    return resolve(Model(path=str(FOLDER)))


@pytest.fixture(scope="module")
def prompts(model):
    return open_prompter(model, RECIPE.prompt)


def test_its_template_and_its_end_are_found(prompts):
    assert (len(prompts.tokenizer), prompts.end) == (49_152, "<|im_end|>")
    text = prompts.render("What is 2 plus 3?")
    assert text.startswith("<|im_start|>system\nPut the answer within \\boxed{}.<|im_end|>\n")
    assert text.endswith("<|im_start|>user\nWhat is 2 plus 3?<|im_end|>\n<|im_start|>assistant\n")
    assert text.count("<|im_start|>assistant\n") == len(RECIPE.prompt.few_shot) + 1
    ids = prompts.encode(text)
    assert prompts.decode(ids) == text
    assert ids.count(prompts.end_id) == 2 + 2 * len(RECIPE.prompt.few_shot)


@pytest.mark.parametrize("text", TEXTS)
def test_a_completion_is_cut_at_the_token_that_closes_its_box(prompts, text):
    ids = prompts.encode(text)
    assert prompts.decode(ids) == text
    count, response = prompts.trim(ids, text)
    box = answer_box(text, prompts.form)
    assert response.startswith(text[: box.end])
    assert len(prompts.decode(ids[: count - 1])) < box.end <= len(response)
    assert answer_of(response, prompts.form) == answer_of(text, prompts.form)


def test_it_is_sampled_from_and_trained(model, prompts, tmp_path):
    from rft.engines.transformers import Transformers

    engine = Transformers(model, prompts, {"batch": 2})
    text = prompts.render("What is 3 plus 4?")
    asked = [
        Request(f"r{i}", "p", 1, i, text, tuple(prompts.encode(text)), 10 + i) for i in range(2)
    ]
    how = Sampling(
        temperature=1.0, top_p=1.0, max_tokens=8, entropy=True, branching=True, mass=0.95
    )
    (unit,) = engine.sample(Fixed(engine.units(asked)), how, check=lambda: None)
    for done in unit:
        assert 0 < len(done.token_ids) <= 8
        assert all(0 <= each <= math.log(49_152) for each in done.entropies)
        assert all(1 <= each <= 49_152 for each in done.branching)
    rows = [prompts.target(each.request.prompt_ids, each.token_ids) for each in unit]
    how = RECIPE.sft.model_copy(update={"batch": 2, "micro_batch": 1, "epochs": 1})
    trainer = sft.make_trainer(
        how,
        model=model,
        prompts=prompts,
        targets=rows,
        seed=1,
        checkpoints=tmp_path / "checkpoints",
        stop=Stop(),
    )
    told = sft.train(trainer, prompts, tmp_path / "model", Stop(), dtype="float32")
    assert told["steps"] == 1
    assert 0 < told["loss"] < 20
    refuse_broken(tmp_path / "model")
    assert open_prompter(resolve(Model(path=str(tmp_path / "model"))), RECIPE.prompt).end == (
        "<|im_end|>"
    )
