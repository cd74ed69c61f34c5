"""Pins the online trainer: TRL's loss with hooks in it, on the real TRL and the bundled model.

Run: python -m pytest tests/training/test_grpo_trainer.py
"""

import json
import math
from typing import ClassVar

import pytest
import torch
from trl import GRPOTrainer

from rft.exploration import PLUGINS
from rft.exploration.plugin import Plugin
from rft.exploration.steer import Steer
from tests.grpo_training import AT_WORK, PROBLEMS, learn, recipe_for, trainer_for, weights_of

SETTINGS = {
    # A ratio that moves; the clip range that it leaves.
    "kl_cov": {"updates": 2},
    "clip_higher": {"updates": 2, "clip": 1e-6},
    "entropy_target": {"updates": 2},
    "reference_reset": {"steps": 3, "beta": 0.1},
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Learn without plug-ins, once for all tests that compare with the same settings."""
    learnt = {}

    def learn_once(**settings):
        key = json.dumps(settings, sort_keys=True)
        if key not in learnt:
            learnt[key] = learn(tmp_path_factory.mktemp("plain"), **settings)
        return learnt[key]

    return learn_once


def test_without_plugins_the_weights_are_those_of_trl_to_the_bit(tmp_path):
    ours = learn(tmp_path / "ours", steps=2, updates=2)

    class Plain(GRPOTrainer):
        """TRL's trainer, with our prompts' tokens."""

        def _tokenize_prompts(self, prompts):
            return [self.prompts.encode(prompt) for prompt in prompts], None, {}

    like = trainer_for(recipe_for(steps=2, updates=2), tmp_path / "trl")
    reward = like.answers
    torch.manual_seed(7)
    plain = Plain(
        model=like.model,
        args=like.args,
        reward_funcs=[reward],
        train_dataset=like.train_dataset,
        processing_class=like.processing_class,
    )
    plain.prompts = like.prompts
    plain.train()
    assert torch.equal(weights_of(plain), ours.weights)


@pytest.mark.parametrize("name", PLUGINS)
def test_a_plugin_that_is_on_changes_the_gradient(name, plain, tmp_path):
    settings = SETTINGS.get(name, {})
    off = plain(**settings)
    on = learn(tmp_path, {name: AT_WORK.get(name, {})}, **settings)
    assert len(on.grads) == len(off.grads)
    assert torch.isfinite(on.weights).all()
    changed = [not torch.equal(a, b) for a, b in zip(on.grads, off.grads, strict=True)]
    assert any(changed), f"{name} did nothing"


@pytest.mark.parametrize(
    "name",
    ["perplexity_advantage", "response_entropy", "clip_cov", "kl_cov", "steer", "entropy_gate"],
)
def test_statistics_are_of_the_step_and_not_of_a_micro_batch(name, tmp_path):
    settings = {"updates": 2} | SETTINGS.get(name, {})
    small, large = (
        learn(tmp_path / str(size), {name: AT_WORK.get(name, {})}, micro_batch=size, **settings)
        for size in (1, 6)
    )
    for one, other in zip(small.grads, large.grads, strict=True):
        torch.testing.assert_close(one, other, rtol=2e-3, atol=2e-5)
    assert small.rows[0]["touched"] == large.rows[0]["touched"]


def test_entropy_shapes_advantages_by_at_most_half_and_turns_none(tmp_path):
    [row] = learn(tmp_path, {"entropy_advantage": {"alpha": 40.0}}).rows
    assert row["sign_flips"] == row["revived"] == 0
    assert row["largest_ratio"] == pytest.approx(1.5)
    assert row["touched"][0]["share"] > 0.5


class Doubled(Plugin):
    """Weigh each token's policy loss twice."""

    name = "doubled"

    def weight(self, tokens):
        return torch.full_like(tokens.entropies, 2.0)


class Surrogate(Plugin):
    """Put the unclipped surrogate in the place of TRL's, on every other token."""

    name = "surrogate"

    def replace(self, advantages, tokens):
        chosen = torch.zeros_like(tokens.mask, dtype=torch.bool)
        chosen[:, ::2] = True
        return chosen, -advantages * tokens.ratio


class Added(Plugin):
    """Add the surrogate once more."""

    name = "added"

    def extra(self, advantages, tokens):
        return -advantages * tokens.ratio


class Wide(Plugin):
    """Clip nothing."""

    name = "wide"

    def clip(self, _low, _high, tokens):
        return torch.full_like(tokens.entropies, 1e9), torch.full_like(tokens.entropies, 1e9)


class Flipped(Plugin):
    """Turn every advantage, and revive those that are zero."""

    name = "flipped"

    def shape(self, advantages, _tokens):
        return torch.where(advantages == 0, 0.5, -3 * advantages)


@pytest.mark.parametrize("loss", ["grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo"])
def test_a_weight_of_two_is_twice_the_gradient(loss, plain, tmp_path):
    doubled = learn(tmp_path, loss=loss, hooks=[Doubled()])
    torch.testing.assert_close(doubled.grads[0], 2 * plain(loss=loss).grads[0])


def test_cispo_clips_the_ratio_only_above_one(plain):
    # At a ratio of 1 nothing is clipped, and the gradient is that of the plain policy gradient.
    cispo, dapo = (plain(loss=loss) for loss in ("cispo", "dapo"))
    torch.testing.assert_close(cispo.grads[0], dapo.grads[0])


@pytest.mark.parametrize("loss", ["grpo", "bnpo", "dr_grpo", "dapo"])
def test_a_loss_in_the_place_of_trls_is_averaged_as_trls_is(loss, tmp_path):
    # Rows of different lengths, several forward passes per update and two updates per step: all
    # that the denominators of the four losses depend on. The same loss has to give the same.
    settings = {"loss": loss, "updates": 2, "hooks": [Wide()]}
    settings |= {"max_tokens": 32, "temperature": 0.5}
    plain = learn(tmp_path / "plain", **settings)
    assert plain.rows[0]["cut"] == 0, "the limit is not the length of a row"
    replaced = learn(tmp_path / "replaced", **settings | {"hooks": [Wide(), Surrogate()]})
    added = learn(tmp_path / "added", **settings | {"hooks": [Wide(), Added()]})
    for one, other in zip(plain.grads, replaced.grads, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(added.grads[0], 2 * plain.grads[0], rtol=1e-4, atol=1e-7)
    # Padding has no gradient, but it would count in the loss.
    assert replaced.rows[0]["loss"] == pytest.approx(plain.rows[0]["loss"], abs=2e-4)


def test_a_loss_of_its_own_keeps_to_the_tokens_of_high_entropy(tmp_path):
    wanted = {"high_entropy_tokens": {"share": 0.2}}
    plain = learn(tmp_path / "plain", wanted, hooks=[Wide()])
    replaced = learn(tmp_path / "replaced", wanted, hooks=[Wide(), Surrogate()])
    torch.testing.assert_close(plain.grads[0], replaced.grads[0], rtol=1e-4, atol=1e-7)


def test_a_clip_range_per_token_reaches_the_loss(tmp_path):
    narrow = learn(tmp_path / "narrow", updates=3, clip=1e-6)
    wide = learn(tmp_path / "wide", updates=3, clip=1e-6, hooks=[Wide()])
    assert torch.equal(narrow.grads[0], wide.grads[0]), "at first the ratio is 1"
    assert not torch.equal(narrow.grads[-1], wide.grads[-1])
    assert narrow.rows[0]["clip_low"] + narrow.rows[0]["clip_high"] > 0
    assert wide.rows[0]["clip_low"] + wide.rows[0]["clip_high"] == 0


class First(Plugin):
    """Check what every hook is given, and change a little of each."""

    name = "first"
    factor: ClassVar[float] = 2.0
    seen: ClassVar[dict[str, list]] = {}

    def note(self, what, value):
        self.seen.setdefault(f"{self.name}/{what}", []).append(value)

    def adjust(self, advantages, batch):
        self.note("adjust", advantages)
        self.note("means", (batch.nll, batch.entropy))
        return -advantages

    def columns(self, advantages, tokens):
        for mean, values in zip(
            self.seen["first/means"][-1], (-tokens.logps, tokens.entropies), strict=True
        ):
            wanted = (values * tokens.mask).sum(1) / tokens.mask.sum(1)
            torch.testing.assert_close(mean, wanted)
        self.note("columns", advantages[:, 0])
        self.note("seed", tokens.generator(self.name).initial_seed())
        assert torch.equal(tokens.logps, tokens.old_logps)
        return {"mark": torch.full_like(advantages, self.factor), "given": advantages}

    def shape(self, advantages, tokens):
        assert set(tokens.columns) == {"mark", "given"}
        assert (tokens.columns["mark"] == self.factor).all(), "another's column"
        assert torch.equal(advantages, tokens.columns["given"])
        assert not tokens.entropies.requires_grad
        self.note("moved", float(((tokens.ratio - 1).abs() * tokens.mask).max()))
        return advantages

    def weight(self, tokens):
        return torch.full_like(tokens.entropies, self.factor)

    def clip(self, low, high, tokens):
        self.note("clip", (low, high) if self.name == "first" else (low[0, 0], high[0, 0]))
        return torch.full_like(tokens.entropies, low / 2), torch.full_like(tokens.entropies, 0.3)

    def extra(self, advantages, tokens):
        self.note("weighed", (advantages / tokens.columns["given"])[advantages != 0])
        return torch.zeros_like(tokens.entropies)

    def on_step(self, _trainer, row):
        self.note("on_step", row["step"])


class Second(First):
    """Do the same after it, without a change of the sign."""

    name = "second"
    factor = 3.0

    def adjust(self, advantages, _batch):
        self.note("adjust", advantages)
        return advantages.clone()

    def clip(self, low, high, _tokens):
        self.note("clip", (float(low.max()), float(high.max())))
        return low, high


def test_hooks_follow_each_other_within_their_windows(tmp_path):
    seen = First.seen
    seen.clear()
    hooks = [First(), Second(start=1, steps=1)]
    rows = learn(tmp_path, hooks=hooks, steps=3, updates=2).rows
    assert (seen["first/on_step"], seen["second/on_step"]) == ([1, 2, 3], [2])
    # A step has two updates of three micro-batches; the policy moves away after the first.
    moved = seen["first/moved"]
    assert [value > 1e-4 for value in moved] == ([False] * 3 + [True] * 3) * 3
    assert len(seen["second/moved"]) == 6
    # Rewards shaped before a row is split, by one after the other, are what columns are given.
    for given, columns in zip(seen["first/adjust"], seen["first/columns"], strict=True):
        assert torch.equal(-given, columns)
    assert torch.equal(seen["second/adjust"][0], -seen["first/adjust"][1])
    # The range is the recipe's for each micro-batch, then what the one before made of it.
    assert set(seen["first/clip"]) == {(0.2, 0.2)}
    assert seen["second/clip"] == [pytest.approx((0.1, 0.3))] * 6
    weighed = [set(values.round().tolist()) - {2.0} for values in seen["first/weighed"]]
    assert [values <= {6.0} for values in weighed] == [True] * 18
    assert not any(weighed[:6] + weighed[12:])
    assert any(weighed[6:12])
    seeds = seen["first/seed"] + seen["second/seed"]
    assert len(set(seeds)) == 4, "other numbers in each step, for each name"
    # What a plug-in changed is told from what those before it had changed.
    shares = [{each["plugin"]: each["share"] for each in row["touched"]} for row in rows]
    assert [set(share) for share in shares] == [{"first"}, {"first", "second"}, {"first"}]
    # It weighs every token, and changes none in its two other hooks.
    assert shares[1]["second"] == pytest.approx(1 / 3)
    assert shares[1]["first"] > 0.4, "it turns the advantages that there are"
    assert sum(row["sign_flips"] for row in rows) > 12


def test_the_record_shows_turned_and_revived_advantages(tmp_path):
    # Golds that nothing matches: a group without right answers has no advantage.
    problems = [*PROBLEMS[:2], ("What is 5 + 5?", "no such answer")]
    [row] = learn(tmp_path, problems=problems, hooks=[Flipped()]).rows
    assert row["without_signal"] >= 1 / 3
    assert row["sign_flips"] > 0
    assert row["revived"] > 0
    assert row["largest_ratio"] == pytest.approx(3.0)


class Released(Steer):
    """Compare steer's weights with those of its authors' code, where the policy moves."""

    name = "released"
    apart: ClassVar[list[float]] = []

    def columns(self, advantages, tokens):
        largest = float(tokens.everywhere(self.size(advantages, tokens, tokens.entropies)).max())
        given = {"advantages": advantages, "entropies": tokens.entropies}
        given["largest"] = torch.full_like(advantages, largest)
        return super().columns(advantages, tokens) | given

    def size(self, advantages, tokens, entropies):
        now = tokens.logps.exp()
        change = now * (1 - now) * (tokens.logps + entropies)
        return (advantages / tokens.old_logps.exp() * change).abs()

    def weight(self, tokens):
        kept, given = super().weight(tokens), tokens.columns
        size = self.size(given["advantages"], tokens, given["entropies"])
        moving = torch.exp(math.log(self.low) * size / given["largest"].clamp(min=0.02))
        self.apart.append(float(((kept - moving) * tokens.mask).abs().max()))
        return kept


@pytest.mark.parametrize("updates", [1, 2])
def test_steers_weights_are_those_of_its_authors_until_the_policy_moves(updates, tmp_path):
    Released.apart.clear()
    learn(tmp_path, hooks=[Released(form="exp")], updates=updates, learning_rate=0.01)
    first, second = Released.apart[: 6 // updates], Released.apart[6 // updates :]
    assert len(first + second) == 6
    assert max(first) < 1e-5
    if updates == 2:
        assert max(second) > 1e-3


class Compared(Plugin):
    """Compare who is said to have sampled with the policy before its first update."""

    name = "compared"
    apart: ClassVar[list[float]] = []

    def columns(self, _advantages, tokens):
        return {"sampled": tokens.logps}

    def shape(self, advantages, tokens):
        away = (tokens.logps - tokens.columns["sampled"]).abs() * tokens.mask
        self.apart.append(float(away.max()))
        return advantages


@pytest.mark.parametrize("updates", [1, 2])
def test_who_sampled_is_the_policy_with_its_adapters_and_not_the_reference(updates, tmp_path):
    # With adapters the reference is the same model with them off, one more pass of it.
    settings = {"lora": {"r": 4, "alpha": 64.0}, "beta": 0.05, "updates": updates, "steps": 2}
    Compared.apart.clear()
    learn(tmp_path, hooks=[Compared()], learning_rate=0.01, **settings)
    assert len(Compared.apart) == 12
    after = Compared.apart[6:]
    assert max(after[: 6 // updates]) < 1e-4
    if updates == 2:
        assert min(after[3:]) > 1e-2, "the second update"
