"""Pins the online trainer: TRL's loss with hooks in it, on the real TRL and the bundled model.

Run: python -m pytest tests/test_grpo.py
"""

import pytest
import torch
from trl import GRPOTrainer

from pipelines import grpo as stage
from rft.errors import Interrupted
from rft.exploration import PLUGINS
from rft.exploration.plugin import Plugin
from rft.stopping import Stop
from tests.grpo_training import PROBLEMS, Judge, learn, recipe_for, trainer_for, weights_of

# What makes each plug-in do something within a step or two of a tiny model, beside its own name.
AT_WORK = {
    "position_advantage": {"start": 0},
    "pass_at_k": {"k": 2},
    "clip_cov": {"low": 0.01, "share": 0.2},
    "kl_cov": {"share": 0.2},
    "entropy_gate": {"high": 1e-3, "low": 1e-4},
    "reference_reset": {"every": 1},
    "clip_higher": {"low": 1e-6, "high": 0.5},
    "entropy_bonus": {"coefficient": 0.5},
    "entropy_target": {"target": 5.0, "delta": 0.5},
}
SETTINGS = {
    # A ratio that moves; the clip range that it leaves.
    "kl_cov": {"updates": 2},
    "clip_higher": {"updates": 2, "clip": 1e-6},
    "entropy_target": {"updates": 2},
    "reference_reset": {"steps": 3, "beta": 0.1},
}


@pytest.fixture(autouse=True, scope="module")
def _two_threads():
    torch.set_num_threads(2)


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
def test_a_plugin_that_is_on_changes_the_gradient(name, tmp_path):
    settings = SETTINGS.get(name, {})
    off = learn(tmp_path / "off", **settings)
    on = learn(tmp_path / "on", {name: AT_WORK.get(name, {})}, **settings)
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


class Longer(Plugin):
    """Reward length instead."""

    name = "longer"

    def reward(self, _rewards, batch):
        return batch.lengths


@pytest.mark.parametrize("loss", ["grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo"])
def test_a_weight_of_two_is_twice_the_gradient(loss, tmp_path):
    plain = learn(tmp_path / "plain", loss=loss)
    doubled = learn(tmp_path / "doubled", loss=loss, hooks=[Doubled()])
    torch.testing.assert_close(doubled.grads[0], 2 * plain.grads[0])


def test_cispo_clips_the_ratio_only_above_one(tmp_path):
    # At a ratio of 1 nothing is clipped, and the gradient is that of the plain policy gradient.
    cispo, dapo = (learn(tmp_path / loss, loss=loss) for loss in ("cispo", "dapo"))
    torch.testing.assert_close(cispo.grads[0], dapo.grads[0])


@pytest.mark.parametrize("loss", ["grpo", "bnpo", "dr_grpo", "dapo"])
def test_a_loss_in_the_place_of_trls_is_averaged_as_trls_is(loss, tmp_path):
    # Rows of different lengths, several forward passes per update and two updates per step: all
    # that the denominators of the four losses depend on. The same loss has to give the same.
    settings = {"loss": loss, "updates": 2, "hooks": [Wide()]}
    plain = learn(tmp_path / "plain", **settings)
    replaced = learn(tmp_path / "replaced", **settings | {"hooks": [Wide(), Surrogate()]})
    added = learn(tmp_path / "added", **settings | {"hooks": [Wide(), Added()]})
    for one, other in zip(plain.grads, replaced.grads, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(added.grads[0], 2 * plain.grads[0], rtol=1e-4, atol=1e-7)


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


def test_the_record_shows_turned_and_revived_advantages(tmp_path):
    # Golds that nothing matches: a group without right answers has no advantage.
    problems = [*PROBLEMS[:2], ("What is 5 + 5?", "no such answer")]
    [row] = learn(tmp_path, problems=problems, hooks=[Flipped()]).rows
    assert row["without_signal"] >= 1 / 3
    assert row["sign_flips"] > 0
    assert row["revived"] > 0
    assert row["largest_ratio"] == pytest.approx(3.0)


def test_a_reward_hook_comes_before_the_advantage(tmp_path):
    row, other = (learn(tmp_path / str(n), hooks=hooks).rows[0] for n, hooks in HOOKS)
    assert row["reward"] == other["response_length"] > 1
    assert row["correct"] == other["correct"]


HOOKS = ((1, [Longer()]), (2, []))


def test_what_nobody_can_verify_is_not_trained_on_and_counted(tmp_path):
    problems = [(question, "?") for question, _ in PROBLEMS]
    learnt = learn(tmp_path / "unknown", problems=problems, steps=2)
    answered = learnt.trainer.answers.verdicts
    assert sum(answered.values()) == 24
    assert sum(row["unverified"] for row in learnt.rows) == answered["bad_gold"] > 12
    # Whoever gave no answer at all is wrong, alone in a group that is not known to differ.
    assert not any(grad.any() for grad in learnt.grads)
    assert [row["correct"] for row in learnt.rows] in ([0.0, 0.0], [0.0, None], [None, 0.0])


def test_tokens_that_nobody_can_verify_leave_the_counts_too(tmp_path):
    # With all other problems of the step alike, the gradient is that of a step without them.
    trainer = trainer_for(recipe_for(problems=2, n=2, loss="dapo"), tmp_path, problems=PROBLEMS[:2])
    trainer.create_optimizer_and_scheduler(1)
    torch.manual_seed(3)
    trainer.model.train()
    rows = [trainer.train_dataset[i // 2] for i in range(4)]
    trainer.answers.golds = {r["problem_id"]: ["?"] for r in rows[:2]} | {
        rows[2]["problem_id"]: ["6"]
    }
    output = trainer._generate_and_score_completions(rows)
    assert output["completion_mask"][:2].sum() == 0
    assert output["num_items_in_batch"] == output["completion_mask"].sum() > 0
    assert (output["advantages"][:2] == 0).all()


def test_training_goes_on_from_a_checkpoint_to_the_same_weights(tmp_path):
    plugins = {"clip_cov": AT_WORK["clip_cov"], "entropy_gate": {"high": 0.6, "low": 0.5}}
    settings = {"steps": 4, "updates": 2, "save_every": 2}
    whole = learn(tmp_path / "whole", plugins, **settings)

    recipe = recipe_for(plugins, **settings)
    stop = Stop()
    first = trainer_for(recipe, tmp_path / "parts", stop=stop)
    end_after(first, 2, stop)
    with pytest.raises(Interrupted, match="after step 2 of 4"):
        stage.train(first, first.prompts, tmp_path / "model", stop, dtype="float32")
    second = trainer_for(recipe, tmp_path / "parts")
    (tmp_path / "model").mkdir()
    stage.train(second, second.prompts, tmp_path / "model", Stop(), dtype="float32")
    assert torch.equal(weights_of(second), whole.weights)
    assert timeless(second.dynamics.rows) == timeless(whole.rows)


def end_after(trainer, step, stop):
    """Ask for a stop in the middle of the given step: it ends between two steps all the same."""
    inner = trainer.training_step

    def training_step(*args, **kwargs):
        if trainer.step == step:
            stop.since, stop.reason = 0.0, "a test"
        return inner(*args, **kwargs)

    trainer.training_step = training_step


def timeless(rows):
    """Leave out what depends on the clock."""
    return [{k: v for k, v in row.items() if not k.endswith("seconds")} for row in rows]


def test_a_reset_reference_survives_a_kill(tmp_path):
    plugins = {"reference_reset": {"every": 2}}
    settings = {"steps": 4, "beta": 0.1, "save_every": 3}
    whole = learn(tmp_path / "whole", plugins, **settings)
    recipe = recipe_for(plugins, **settings)
    stop = Stop()
    first = trainer_for(recipe, tmp_path / "parts", stop=stop)
    end_after(first, 3, stop)
    with pytest.raises(Interrupted):
        stage.train(first, first.prompts, tmp_path / "model", stop, dtype="float32")
    second = trainer_for(recipe, tmp_path / "parts")
    (tmp_path / "model").mkdir()
    stage.train(second, second.prompts, tmp_path / "model", Stop(), dtype="float32")
    assert torch.equal(weights_of(second), whole.weights)


def test_adapters_are_trained_and_merged(tmp_path):
    recipe = recipe_for({"perplexity_advantage": {}}, lora={"r": 4, "alpha": 8.0}, beta=0.05)
    trainer = trainer_for(recipe, tmp_path)
    before = weights_of(trainer)
    (tmp_path / "model").mkdir()
    stage.train(trainer, trainer.prompts, tmp_path / "model", Stop(), dtype="float32")
    assert (tmp_path / "model" / "adapter").is_dir()
    from transformers import AutoModelForCausalLM

    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    base = AutoModelForCausalLM.from_pretrained(recipe.model.path.replace("bundled:", "data/"))
    assert any(
        not torch.equal(a, b) for a, b in zip(merged.parameters(), base.parameters(), strict=True)
    )
    assert before.numel() > sum(p.numel() for p in base.parameters()), "adapters beside the base"


def test_answers_end_at_the_tokens_that_end_them_in_sampling(tmp_path):
    trainer = trainer_for(recipe_for(), tmp_path)
    assert set(trainer.eos_token_ids) == trainer.answers.stop_ids
    assert trainer.prompts.end_id in trainer.eos_token_ids


def test_prompts_get_no_special_token_of_trls(tmp_path):
    trainer = trainer_for(recipe_for(), tmp_path)
    text = trainer.train_dataset[0]["prompt"]
    [ids], _, _ = trainer._tokenize_prompts([text])
    assert trainer.prompts.decode(ids) == text


def test_the_judge_reads_the_first_box_and_nothing_after_it(tmp_path):
    trainer = trainer_for(recipe_for(reward={"format": 0.25}), tmp_path)
    prompts, judge = trainer.prompts, trainer.answers
    texts = ["so \\boxed{5} and \\boxed{6}", "so \\boxed{6} and \\boxed{5}", "5", "\\boxed{5"]
    ids = [[*prompts.encode(text), prompts.end_id] for text in texts]
    name = next(name for name, golds in judge.golds.items() if golds == ["5"])
    assert judge(ids, [name] * 4) == [1.25, 0.25, 0.0, 0.0]
    cut = [prompts.encode(texts[0])]
    assert judge(cut, [name]) == [1.0], "no end, no reward for the format"
    assert isinstance(judge.verifier, Judge)


def test_length_takes_from_the_reward_near_the_limit(tmp_path):
    length = {"buffer": 10, "factor": 2.0}
    judge = trainer_for(recipe_for(max_tokens=20, reward={"length": length}), tmp_path).answers
    # DAPO: nothing up to 10 tokens, then linear, the whole factor at the limit.
    penalties = judge.penalties([[1] * count for count in (1, 10, 15, 20)])
    assert penalties == pytest.approx([0.0, 0.0, -1.0, -2.0])
