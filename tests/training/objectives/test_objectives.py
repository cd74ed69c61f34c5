"""One real step by each objective goes where its formula, written out over all logits, points.

Run: python -m pytest tests/training/objectives
"""

import math

import pytest
import torch
from transformers import AutoModelForCausalLM

from pipelines import sft
from rft.bundled import bundled
from rft.processes.stopping import Stop
from rft.prompt import load_tokenizer, prompter
from rft.recipe import Model, Prompt, Sft
from rft.runs.models import new_model_folder, resolve
from rft.training.objectives import OBJECTIVES
from tests.command import ROOT

METHODS = (ROOT / "docs/reference/methods.md").read_text()

TINY = bundled("data") / "tiny"
# Of unequal lengths, so that micro-batches hold unequal numbers of tokens; some are unlikely.
ANSWERS = ["$\\boxed{4}$", "No idea, so 17.", "2 + 2 = 4. The answer is $\\boxed{4}$.", "x"]


def nll(logits, token):
    return -torch.log_softmax(logits, -1)[token]


def dft(logits, token):
    p = torch.softmax(logits, -1)[token]
    return -p.detach() * torch.log(p)


def gem(logits, token, beta=0.7):
    """As the released code computes it."""
    q = torch.softmax(logits / beta, -1).detach()
    log_p = torch.log_softmax(logits, -1)
    return -torch.sum(q * (log_p[token] - log_p))


def eaft(logits, token, alpha=1.0):
    p = torch.softmax(logits, -1).detach()
    entropy = -sum(float(each) * math.log(float(each)) for each in p if each > 0)
    return min(1.0, entropy / math.log(20)) ** alpha * nll(logits, token)


FORMULAS = {"nll": nll, "dft": dft, "gem": gem, "eaft": eaft}
CASES = [
    *((name, FORMULAS[name]) for name in OBJECTIVES),
    ({"gem": {"beta": 0.3}}, lambda logits, token: gem(logits, token, 0.3)),
    ({"eaft": {"alpha": 2.0}}, lambda logits, token: eaft(logits, token, 2.0)),
]


def rows(prompts) -> list[dict]:
    asked = prompts.encode(prompts.render("What is 2 + 2?"))
    return [prompts.target(asked, prompts.encode(answer)) for answer in ANSWERS]


def expected(targets, formula) -> tuple[float, dict[str, torch.Tensor]]:
    """Give the mean loss over all tokens that are learnt, and its gradient, a row at a time."""
    model = AutoModelForCausalLM.from_pretrained(TINY)
    losses = []
    for target in targets:
        logits = model(torch.tensor([target["input_ids"]])).logits[0]
        for place, learnt in enumerate(target["completion_mask"]):
            if learnt:
                losses.append(formula(logits[place - 1], target["input_ids"][place]))
    mean = torch.stack(losses).mean()
    mean.backward()
    return mean.item(), {name: value.grad for name, value in model.named_parameters()}


@pytest.mark.parametrize(("objective", "formula"), CASES)
def test_a_step_goes_down_the_gradient_of_the_formula(tmp_path, objective, formula):
    prompts = prompter(load_tokenizer(TINY), Prompt())
    targets = rows(prompts)
    loss, gradient = expected(targets, formula)
    before = AutoModelForCausalLM.from_pretrained(TINY).state_dict()
    size = max(float(each.abs().max()) for each in gradient.values())
    for packing in (False, True):
        folder = tmp_path / str(packing)
        figures, after = step(folder, prompts, targets, objective=objective, packing=packing)
        assert figures["steps"] == 1
        assert figures["loss"] == pytest.approx(loss, rel=1e-4, abs=1e-6)
        for name, wanted in gradient.items():
            moved = before[name] - after[name]
            torch.testing.assert_close(moved, wanted, rtol=1e-3, atol=1e-5 * size, msg=name)


def step(folder, prompts, targets, **changes):
    """Take one step of plain gradient descent with rate 1 on all rows, two at a time."""
    how = {"epochs": 1, "batch": 4, "micro_batch": 2, "learning_rate": 1.0, "max_length": 128}
    plain = {"optim": "sgd", "max_grad_norm": 1e9}
    trainer = sft.make_trainer(
        Sft.model_validate(how | {"args": plain} | changes),
        model=resolve(Model(path="bundled:tiny")),
        prompts=prompts,
        targets=targets,
        seed=7,
        checkpoints=folder / "checkpoints",
        stop=Stop(),
    )
    with new_model_folder(folder / "model") as scratch:
        figures = sft.train(trainer, prompts, scratch, Stop(), dtype="float32")
    return figures, AutoModelForCausalLM.from_pretrained(folder / "model").state_dict()


@pytest.mark.parametrize("name", ["gem", "eaft"])
def test_adapters_are_trained_by_the_same_formula(tmp_path, name):
    prompts = prompter(load_tokenizer(TINY), Prompt())
    targets = rows(prompts)
    loss, _ = expected(targets, FORMULAS[name])
    lora = {"r": 4, "alpha": 8}
    figures, after = step(tmp_path, prompts, targets, objective=name, lora=lora)
    # An adapter changes nothing until it is trained: the loss of the first step is the base's.
    assert figures["loss"] == pytest.approx(loss, rel=1e-4)
    before = AutoModelForCausalLM.from_pretrained(TINY).state_dict()
    assert any((before[key] != after[key]).any() for key in before)


def test_no_two_objectives_are_the_same():
    logits = torch.tensor([2.0, 1.0, -1.0, 0.5], requires_grad=True)
    seen = []
    for formula in FORMULAS.values():
        (gradient,) = torch.autograd.grad(formula(logits, 1), logits)
        seen.append(gradient)
    for index, one in enumerate(seen):
        for other in seen[:index]:
            assert not torch.allclose(one, other, rtol=1e-2)


@pytest.mark.parametrize("name", ["gem", "eaft"])
def test_what_is_padding_costs_nothing(name):
    objective = OBJECTIVES[name]()
    logps = torch.tensor([[-1.5, 0.0]], requires_grad=True)
    losses = objective.loss(logps, torch.tensor([[0.7, 0.0]]))
    assert losses[0, 0] != 0
    assert losses[0, 1] == 0


def test_an_entropy_that_rounding_made_negative_is_none():
    objective = OBJECTIVES["eaft"](alpha=0.5)
    losses = objective.loss(torch.tensor([-1.0, -1.0]), torch.tensor([-1e-7, 1e3]))
    assert losses.tolist() == [0.0, 1.0]


def test_each_says_where_it_comes_from_and_has_a_row_in_the_table_of_methods():
    _, _, page = METHODS.partition("\n## Objectives of fine-tuning\n")
    rows = [line.split("|") for line in page.splitlines() if line.startswith("| `")]
    assert [row[1].strip(" `") for row in rows] == list(OBJECTIVES)
    for row, (name, kind) in zip(rows, OBJECTIVES.items(), strict=True):
        assert kind.name == name
        assert row[3].strip() == kind.arxiv
        assert kind.arxiv in (kind.__doc__ or "")
