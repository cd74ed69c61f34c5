"""Pins the online trainer: TRL's loss with hooks in it, on the real TRL and the bundled model.

Run: python -m pytest tests/training/test_grpo_trainer.py
"""

import dataclasses
import json
from itertools import islice
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch
from trl import GRPOTrainer

from pipelines import grpo as stage
from rft.errors import Interrupted, RFTError
from rft.exploration import PLUGINS
from rft.exploration.plugin import Plugin
from rft.problems.order import problems_of_rounds
from rft.processes.stopping import Stop
from rft.recipe.grpo import OWN_ARGUMENTS
from rft.training import policy
from rft.training.checkpoints import COMPLETE, last_checkpoint
from tests.grpo_training import PROBLEMS, Grads, Judge, learn, recipe_for, trainer_for, weights_of

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


class Longer(Plugin):
    """Reward length instead."""

    name = "longer"

    def reward(self, _rewards, batch):
        return batch.lengths


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


def test_a_reward_hook_comes_before_the_advantage(tmp_path):
    row, other = (learn(tmp_path / str(n), hooks=hooks).rows[0] for n, hooks in HOOKS)
    assert row["reward"] == other["response_length"] > 1
    assert row["correct"] == other["correct"]


HOOKS = ((1, [Longer()]), (2, []))


class Lengths(Plugin):
    """Note how many tokens a step has to learn from."""

    name = "lengths"
    seen: ClassVar[list[float]] = []

    def adjust(self, advantages, batch):
        assert (batch.lengths[batch.correct.isnan()] == 0).all()
        self.seen.append(float(batch.lengths.sum()))
        return advantages


def test_what_nobody_can_verify_is_not_trained_on_and_counted(tmp_path):
    problems = [(question, "?") for question, _ in PROBLEMS]
    Lengths.seen.clear()
    learnt = learn(tmp_path / "unknown", problems=problems, steps=2, hooks=[Lengths()])
    # A row counts what was drawn, a plug-in what is learnt from.
    for row, left in zip(learnt.rows, Lengths.seen, strict=True):
        assert row["tokens"] == pytest.approx(12 * row["response_length"])
        assert row["tokens"] > left
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
    journal = tmp_path / "parts" / "dynamics.jsonl"
    journal.write_text(journal.read_text() + '{"step": 3}\n')
    second = trainer_for(recipe, tmp_path / "parts")
    (tmp_path / "model").mkdir()
    grads = Grads()
    second.add_callback(grads)
    stage.train(second, second.prompts, tmp_path / "model", Stop(), dtype="float32")
    assert torch.equal(weights_of(second), whole.weights)
    assert timeless(second.dynamics.rows) == timeless(whole.rows)
    assert len(grads.seen) == 4, "two steps of two updates were left"
    assert [json.loads(line)["step"] for line in journal.read_text().splitlines()] == [1, 2, 3, 4]
    assert checkpoints(tmp_path / "parts") == ["checkpoint-8"]


def checkpoints(folder):
    """Name the checkpoints of a training."""
    return [path.name for path in (folder / "checkpoints").glob("checkpoint-*")]


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


class Broken(Plugin):
    """Break the loss of the second step."""

    name = "broken"

    def weight(self, tokens):
        return torch.full_like(tokens.entropies, torch.nan)


def test_a_loss_that_is_not_finite_ends_the_training_and_is_not_saved(tmp_path):
    recipe = recipe_for(steps=4, save_every=1)
    trainer = trainer_for(recipe, tmp_path, hooks=[Broken(start=1)])
    (tmp_path / "model").mkdir()
    with pytest.raises(RFTError, match="not finite after 2 optimizer steps; lower grpo"):
        stage.train(trainer, trainer.prompts, tmp_path / "model", Stop(), dtype="float32")
    assert checkpoints(tmp_path) == ["checkpoint-1"]
    assert [row["step"] for row in trainer.dynamics.rows] == [1]
    assert not any((tmp_path / "model").iterdir())


def test_the_last_checkpoint_is_the_last_whole_one(tmp_path):
    for step in (8, 10, 12):
        (tmp_path / f"checkpoint-{step}").mkdir()
    for step in (8, 10):
        (tmp_path / f"checkpoint-{step}" / COMPLETE).touch()
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-10")
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint-8", "checkpoint-10"}


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


def test_answers_end_at_the_tokens_that_end_them_in_sampling(tmp_path):
    trainer = trainer_for(recipe_for(), tmp_path)
    assert set(trainer.eos_token_ids) == trainer.answers.stop_ids
    assert trainer.prompts.end_id in trainer.eos_token_ids


def test_an_end_that_the_base_names_is_one_too(tmp_path, monkeypatch):
    load = policy.load_policy

    def named(*args):
        policy = load(*args)
        policy.generation_config.eos_token_id = 7
        return policy

    monkeypatch.setattr(policy, "load_policy", named)
    trainer = trainer_for(recipe_for(), tmp_path)
    assert trainer.answers.stop_ids >= {7, trainer.prompts.end_id}
    assert set(trainer.eos_token_ids) == trainer.answers.stop_ids
    assert set(trainer.generation_config.eos_token_id) == trainer.answers.stop_ids


def test_prompts_get_no_special_token_of_trls(tmp_path):
    trainer = trainer_for(recipe_for(), tmp_path)
    text = trainer.train_dataset[0]["prompt"]
    [ids], _, _ = trainer._tokenize_prompts([text])
    assert trainer.prompts.decode(ids) == text
    # Whatever the tokenizer would put before it.
    trainer.prompts = SimpleNamespace(encode=lambda text: [len(text)])
    assert trainer._tokenize_prompts(["four", "three"])[0] == [[4], [5]]


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
    assert judge([[1] * 15], [next(iter(judge.golds))]) == pytest.approx([-1.0])


class Lost(Judge):
    """Never come back from 7."""

    def verdicts(self, pairs):
        found = super().verdicts(pairs)
        return {
            key: dataclasses.replace(each, verdict="timeout") if key[1] == "7" else each
            for key, each in found.items()
        }


@pytest.mark.parametrize("longer", [False, True])
def test_an_answer_that_cannot_be_verified_has_no_reward(longer, tmp_path):
    hooks = [Longer()] if longer else []
    trainer = trainer_for(recipe_for(reward={"right": 2.0, "wrong": -1.0}), tmp_path, hooks=hooks)
    trainer.answers.verifier = Lost()
    trainer.model.train()
    name = next(name for name, golds in trainer.answers.golds.items() if golds == ["5"])
    ids = [[9] * n + trainer.prompts.encode(f"\\boxed{{{n}}}") for n in (5, 6, 7, 8)]
    ids = [[*each, trainer.prompts.end_id] for each in ids]
    first = trainer.train_dataset[0] | {"problem_id": name}
    rewards = trainer._calculate_rewards([first] * 4, [first["prompt"]] * 4, [""] * 4, ids)
    nan = float("nan")
    wanted = [float(len(each)) for each in ids] if longer else [2.0, -1.0, nan, -1.0]
    wanted[2] = nan
    torch.testing.assert_close(rewards, torch.tensor(wanted).unsqueeze(1), equal_nan=True)
    correct = torch.tensor([1.0, 0.0, nan, 0.0])
    torch.testing.assert_close(trainer._rewards.correct, correct, equal_nan=True)
    assert trainer.answers.verdicts == {"correct": 1, "wrong": 2, "timeout": 1}


def test_each_step_has_new_problems_until_all_were_used(tmp_path):
    recipe = recipe_for(steps=4)
    trainer = trainer_for(recipe, tmp_path)
    names = trainer.train_dataset["problem_id"]
    ids = sorted(trainer.answers.golds)
    assert sorted(names[:6]) == sorted(names[6:]) == ids
    chosen = list(islice(problems_of_rounds(ids, 3, recipe.seed), 4))
    assert list(names) == [name for step in chosen for name in step]
    assert list(names[:3]) != sorted(names[:3])
    sampler = list(trainer._get_train_sampler())
    assert sampler[:12] == [index for index in range(3) for _ in range(4)]
    assert trainer_for(recipe_for(problems=6), tmp_path / "all").train_dataset.num_rows == 6


def test_a_recipes_steps_are_several_of_trls(tmp_path, monkeypatch):
    monkeypatch.setattr("trl.GRPOConfig", dict)
    settings = {"steps": 5, "updates": 2, "save_every": 3, "warmup": 4, "beta": 0.25, "clip": 0.1}
    settings |= {"temperature": 0.7, "top_p": 0.9, "scale": "none", "args": {"delta": 4.0}}
    given = stage.arguments(recipe_for(**settings), [], 7, tmp_path, longest=100)
    assert {
        "max_steps": 10,
        "save_steps": 6,
        "warmup_steps": 8,
        "lr_scheduler_type": "constant_with_warmup",
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 3,
        "steps_per_generation": 6,
        "num_iterations": 1,
        "max_completion_length": 24,
        "vllm_max_model_length": 124,
        "seed": 7,
        "data_seed": 7,
        "temperature": 0.7,
        "top_p": 0.9,
        "scale_rewards": "none",
        "beta": 0.25,
        "epsilon": 0.1,
        "epsilon_high": 0.1,
        "delta": 4.0,
        "weight_decay": 0.0,
    }.items() <= given.items()
    # What `grpo.args` may replace; all else is refused there, with the key that decides it.
    free = set(given) - set(OWN_ARGUMENTS) - set(stage.DEFAULTS)
    assert free == {
        "fp16",
        "use_cpu",
        "gradient_checkpointing",
        "dataloader_pin_memory",
        "vllm_max_model_length",
        "logging_nan_inf_filter",
        "disable_tqdm",
    }
