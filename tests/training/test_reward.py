"""Pins the reward: what the judge reads, what it is worth, and that nothing unverifiable counts.

Run: python -m pytest tests/training/test_reward.py
"""

import dataclasses
from typing import ClassVar

import pytest
import torch

from rft.exploration.plugin import Plugin
from rft.grading.judgement import AnswerKey
from tests.grpo_training import PROBLEMS, Judge, learn, recipe_for, trainer_for


class Longer(Plugin):
    """Reward length instead."""

    name = "longer"

    def reward(self, _rewards, batch):
        return batch.lengths


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
    trainer.answers.keys = {r["problem_id"]: AnswerKey(["?"]) for r in rows[:2]} | {
        rows[2]["problem_id"]: AnswerKey(["6"])
    }
    output = trainer._generate_and_score_completions(rows)
    assert output["completion_mask"][:2].sum() == 0
    assert output["num_items_in_batch"] == output["completion_mask"].sum() > 0
    assert (output["advantages"][:2] == 0).all()


def named(judge, gold):
    """Find the problem whose answer is a gold."""
    return next(name for name, key in judge.keys.items() if key.golds == [gold])


def test_the_judge_reads_the_first_box_that_holds_an_answer_and_nothing_after_it(tmp_path):
    trainer = trainer_for(recipe_for(reward={"format": 0.25}), tmp_path)
    prompts, judge = trainer.prompts, trainer.answers
    texts = ["so \\boxed{5} and \\boxed{6}", "so \\boxed{6} and \\boxed{5}", "5", "\\boxed{5"]
    texts += ["in \\boxed{}: \\boxed{5}", "in \\boxed{}: 5"]
    ids = [[*prompts.encode(text), prompts.end_id] for text in texts]
    name = named(judge, "5")
    assert judge(ids, [name] * 6) == [1.25, 0.25, 0.0, 0.0, 1.25, 0.0]
    cut = [prompts.encode(texts[0])]
    assert judge(cut, [name]) == [1.0], "no end, no reward for the format"
    assert isinstance(judge.verifier, Judge)


def test_length_takes_from_the_reward_near_the_limit(tmp_path):
    length = {"buffer": 10, "factor": 2.0}
    judge = trainer_for(recipe_for(max_tokens=20, reward={"length": length}), tmp_path).answers
    # DAPO: nothing up to 10 tokens, then linear, the whole factor at the limit.
    penalties = judge.penalties([[1] * count for count in (1, 10, 15, 20)])
    assert penalties == pytest.approx([0.0, 0.0, -1.0, -2.0])
    assert judge([[1] * 15], [next(iter(judge.keys))]) == pytest.approx([-1.0])


class Lost(Judge):
    """Never come back from 7."""

    def verdicts(self, pairs):
        judged = super().verdicts(pairs)
        return {
            key: dataclasses.replace(each, verdict="timeout") if key[1] == "7" else each
            for key, each in judged.items()
        }


@pytest.mark.parametrize("longer", [False, True])
def test_an_answer_that_cannot_be_verified_has_no_reward(longer, tmp_path):
    hooks = [Longer()] if longer else []
    trainer = trainer_for(recipe_for(reward={"right": 2.0, "wrong": -1.0}), tmp_path, hooks=hooks)
    trainer.answers.verifier = Lost()
    trainer.model.train()
    name = named(trainer.answers, "5")
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
