"""How answers of another sampler are corrected: TRL's own loss, with a stand-in for vLLM.

Run: python -m pytest tests/training/test_vllm_correction.py
"""

import math
from statistics import NormalDist
from typing import Any

import pytest
import torch

from pipelines.grpo import arguments
from rft.exploration.plugin import Plugin
from tests.grpo_training import Grads, Learnt, recipe_for, trainer_for, weights_of

MOST = 3.0


def away(row: int, token: int) -> float:
    """Say how much likelier a token was for the trainer than for the sampler, as a logarithm."""
    return 1.5 * math.sin(1.7 * row + 0.9 * token)


class Sampler:
    """Draw as transformers would, and tell other probabilities, as vLLM does."""

    def __init__(self, trainer: Any):
        self.trainer, self.lengths = trainer, []

    def sync_weights(self) -> None:
        """Have the trainer's weights already."""

    def generate(self, prompts: list[list[int]], **_: Any) -> tuple:
        trainer = self.trainer
        trainer.use_vllm = False
        answers, _ = trainer._generate_single_turn(prompts, None, {}, trainer.num_generations)
        trainer.use_vllm = True
        told = []
        for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
            ids = torch.tensor([[*prompt, *answer]])
            with torch.no_grad():
                logits = trainer.model(input_ids=ids).logits[0, len(prompt) - 1 : -1]
            logps = (logits.float() / trainer.temperature).log_softmax(-1)
            own = logps[range(len(answer)), answer].tolist()
            told.append([[logp - away(row, token)] for token, logp in enumerate(own)])
        self.lengths = [len(answer) for answer in answers]
        return prompts, answers, told, None


def learn(folder, *, sampler: bool, hooks=(), **settings: Any) -> tuple[Learnt, list[int]]:
    trainer = trainer_for(recipe_for(**settings), folder, hooks=hooks)
    drawn = Sampler(trainer)
    if sampler:
        trainer.use_vllm, trainer._last_loaded_step = True, -1
        trainer.vllm_generation = drawn
    grads = Grads()
    trainer.add_callback(grads)
    trainer.dynamics.take_over([])
    trainer.dynamics.start()
    trainer.train()
    return Learnt(grads.seen, trainer.dynamics.rows, weights_of(trainer), trainer), drawn.lengths


class Weighed(Plugin):
    """Weigh each token as truncated importance sampling would."""

    name = "weighed"

    def columns(self, advantages, _tokens):
        rows, tokens = advantages.shape
        ratios = [[away(row, token) for token in range(tokens)] for row in range(rows)]
        return {"weights": torch.tensor(ratios).exp().clamp(max=MOST)}

    def weight(self, tokens):
        return tokens.columns["weights"]


class Surrogate(Plugin):
    """Put the same loss in the place of TRL's, on every other token."""

    name = "surrogate"

    def replace(self, advantages, tokens):
        chosen = torch.zeros_like(tokens.mask, dtype=torch.bool)
        chosen[:, ::2] = True
        return chosen, -advantages * tokens.ratio


@pytest.mark.parametrize("loss", ["grpo", "dapo"])
def test_each_token_is_weighed_by_its_own_ratio_bounded_above(loss, tmp_path):
    corrected, lengths = learn(tmp_path / "vllm", sampler=True, loss=loss)
    weighed, _ = learn(tmp_path / "weights", sampler=False, hooks=[Weighed()], loss=loss)
    plain, _ = learn(tmp_path / "plain", sampler=False, loss=loss)
    torch.testing.assert_close(corrected.grads[0], weighed.grads[0], rtol=1e-3, atol=1e-6)
    replaced, _ = learn(tmp_path / "own", sampler=True, hooks=[Surrogate()], loss=loss)
    torch.testing.assert_close(corrected.grads[0], replaced.grads[0], rtol=1e-3, atol=1e-6)
    assert (corrected.grads[0] - plain.grads[0]).norm() > 0.1 * plain.grads[0].norm()
    ratios = [
        min(MOST, math.exp(away(row, token)))
        for row, length in enumerate(lengths)
        for token in range(length)
    ]
    assert 0 < sum(ratio == MOST for ratio in ratios) < len(ratios)
    [told] = corrected.rows
    assert told["vllm_ratio"] == pytest.approx(sum(ratios) / len(ratios), rel=1e-3)
    assert told["vllm_ratio_max"] == MOST
    worth = sum(ratios) ** 2 / sum(ratio**2 for ratio in ratios)
    assert told["vllm_effective"] == pytest.approx(worth / len(ratios), rel=1e-3)
    logs = [log for log in corrected.trainer.state.log_history if "loss" in log]
    assert logs[0]["rft/vllm_effective"] == told["vllm_effective"]
    [alone] = plain.rows
    assert alone["vllm_ratio"] is alone["vllm_ratio_max"] is alone["vllm_effective"] is None


def test_a_ratio_of_a_whole_answer_is_told_of_alike(tmp_path):
    args = {"vllm_importance_sampling_mode": "sequence_mask", "max_grad_norm": 1e9}
    learnt, lengths = learn(tmp_path, sampler=True, args=args)
    sums = [sum(away(row, token) for token in range(n)) for row, n in enumerate(lengths)]
    ratios = [0.0 if math.exp(each) > MOST else math.exp(each) for each in sums]
    total = sum(n * ratio for n, ratio in zip(lengths, ratios, strict=True))
    squares = sum(n * ratio**2 for n, ratio in zip(lengths, ratios, strict=True))
    [told] = learnt.rows
    assert told["vllm_effective"] == pytest.approx(total**2 / squares / sum(lengths), rel=1e-3)


def test_the_correction_that_reaches_trl_is_a_bounded_one_per_token(tmp_path):
    def config(**settings: Any) -> Any:
        recipe = recipe_for(**{"args": {}} | settings)
        return arguments(recipe, [], 7, tmp_path, longest=10, large=False)

    for args in (config(), config(vllm="colocate")):
        assert args.vllm_importance_sampling_correction is True
        assert args.vllm_importance_sampling_mode == "token_truncate"
        assert args.vllm_importance_sampling_clip_max == MOST
        assert args.vllm_importance_sampling_clip_min is None
    other = {"vllm_importance_sampling_clip_max": 2.0}
    assert config(args=other).vllm_importance_sampling_clip_max == 2.0


def worth_of_whole_answers(deviation: float) -> float:
    """Give the effective share of answers whose log-ratios are normal, those above 3 left out."""
    below = NormalDist().cdf
    first = below((math.log(MOST) - deviation**2 / 2) / deviation)
    second = below((math.log(MOST) - 3 * deviation**2 / 2) / deviation)
    return first**2 / (math.exp(deviation**2) * second)


def test_the_figures_of_the_methods_page_on_what_long_answers_are_worth():
    # Log-ratios of tokens spread by 0.05, and add up: over 6,400 tokens by 4.
    torch.manual_seed(0)
    spread = 0.05 * math.sqrt(6400)
    whole = (torch.randn(2_000_000, dtype=torch.float64) * spread - spread**2 / 2).exp()
    whole = whole.masked_fill(whole > MOST, 0)
    share = float(whole.sum() ** 2 / whole.square().sum() / len(whole))
    assert share == pytest.approx(worth_of_whole_answers(spread), rel=0.1)
    assert round(share, 2) == 0.04
    tokens = (torch.randn(100_000, dtype=torch.float64) * 0.05).exp().clamp(max=MOST)
    assert float(tokens.sum() ** 2 / tokens.square().sum() / len(tokens)) > 0.997
