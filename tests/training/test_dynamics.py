"""Pins what a row of dynamics says of a step, by hand: sums over micro-batches, and the journal.

Run: python -m pytest tests/training/test_dynamics.py
"""

import json
from types import SimpleNamespace

import pytest
import torch

from rft.exploration.plugin import Batch
from rft.training.dynamics import Dynamics

NAN = float("nan")
# Three groups of two: a right answer beside an unknown one, two wrong ones, two unknown ones.
BATCH = Batch(
    n=2,
    rewards=torch.tensor([1.0, 0.0, 0.0, NAN, NAN, NAN]),
    correct=torch.tensor([1.0, NAN, 0.0, 0.0, NAN, NAN]),
    lengths=torch.tensor([3.0, 0.0, 2.0, 1.0, 0.0, 0.0]),
)
DRAWN = torch.tensor([3.0, 5.0, 2.0, 1.0, 4.0, 9.0])
PLAIN = torch.tensor([1.0, 0.0, 0.0, 0.0, 0.0, 0.0])


def dynamics_in(folder) -> Dynamics:
    alone = SimpleNamespace(
        is_main_process=True, reduce=lambda value, **_: value, gather=lambda value: value
    )
    return Dynamics(alone, folder / "dynamics.jsonl")


def learn(dynamics: Dynamics, mask, entropies, advantages, plain, correct) -> None:
    """Note a micro-batch, given as lists."""
    dynamics.learn(
        torch.tensor(mask),
        torch.tensor(entropies),
        torch.tensor(advantages),
        torch.tensor(plain).unsqueeze(1),
        torch.tensor(correct),
    )


def a_step(dynamics: Dynamics) -> tuple[dict, dict]:
    """Go through a step of two micro-batches and two optimizer steps; its row, what is tracked."""
    dynamics.start()
    dynamics.begin(BATCH, DRAWN, PLAIN)
    changed = torch.tensor([[True, True, True]])
    dynamics.touch("steer", changed, torch.tensor([[1, 1, 0]]))
    dynamics.touch("steer", ~changed, torch.tensor([[1, 1, 1]]))
    dynamics.touch("nobody", changed, torch.tensor([[0, 0, 0]]))
    # A right answer, and one that nobody can verify; the last token of each is padding.
    learn(
        dynamics,
        mask=[[1, 1, 0], [1, 1, 0]],
        entropies=[[1.0, 2.0, 99.0], [4.0, 6.0, 99.0]],
        advantages=[[-4.0, 2.0, -99.0], [0.0, 0.5, 99.0]],
        plain=[2.0, 0.0],
        correct=[1.0, NAN],
    )
    # A wrong one, whose advantages are turned once and shrink.
    learn(
        dynamics,
        mask=[[1, 1, 1]],
        entropies=[[0.1, 0.2, 0.6]],
        advantages=[[0.25, -0.5, -1.0]],
        plain=[-1.0],
        correct=[0.0],
    )
    dynamics.update({"loss": 1.0, "kl": 0.5, "completions/clipped_ratio": 0.25})
    tracked = dynamics.of_the_step()
    clipped = {"clip_ratio/low_mean": 0.125, "clip_ratio/high_mean": 0.75}
    dynamics.update({"loss": 3.0, "grad_norm": 2.0, "learning_rate": 1e-3} | clipped)
    return dynamics.end(1), tracked


def test_a_row_says_what_was_drawn(tmp_path):
    row, _ = a_step(dynamics_in(tmp_path))
    assert row["reward"] == pytest.approx(1 / 3)
    assert row["correct"] == pytest.approx(1 / 3)
    assert (row["unverified"], row["k"]) == (3, 2)
    # Of the two groups of which anything is known, one has a right answer.
    assert row["pass_at_k"] == 0.5
    assert row["without_signal"] == pytest.approx(2 / 3)
    # All that was drawn, learnt from or not.
    assert (row["response_length"], row["tokens"]) == (4.0, 24)
    assert 0 <= row["rollout_seconds"] <= row["seconds"]


def test_a_row_says_what_was_learnt_from_without_padding(tmp_path):
    row, _ = a_step(dynamics_in(tmp_path))
    assert row["entropy"] == pytest.approx((1 + 2 + 4 + 6 + 0.1 + 0.2 + 0.6) / 7)
    assert row["entropy_correct"] == pytest.approx(1.5)
    assert row["entropy_wrong"] == pytest.approx(0.3)
    assert (row["sign_flips"], row["revived"]) == (2, 1)
    assert row["largest_ratio"] == 2.0
    assert row["touched"] == [
        {"plugin": "steer", "share": pytest.approx(2 / 5)},
        {"plugin": "nobody", "share": None},
    ]


def test_a_row_has_the_mean_of_what_trl_logs_of_each_optimizer_step(tmp_path):
    row, _ = a_step(dynamics_in(tmp_path))
    assert (row["loss"], row["kl"], row["cut"]) == (2.0, 0.5, 0.25)
    assert (row["clip_low"], row["clip_high"]) == (0.125, 0.75)
    assert (row["grad_norm"], row["learning_rate"]) == (2.0, 1e-3)


def test_whoever_tracks_the_training_gets_what_trl_does_not_log(tmp_path):
    row, tracked = a_step(dynamics_in(tmp_path))
    assert tracked == {
        "rft/correct": row["correct"],
        "rft/unverified": 3.0,
        "rft/pass_at_k": 0.5,
        "rft/without_signal": row["without_signal"],
        "rft/entropy_correct": row["entropy_correct"],
        "rft/entropy_wrong": row["entropy_wrong"],
        "rft/sign_flips": 2.0,
        "rft/revived": 1.0,
        "rft/largest_ratio": 2.0,
        "rft/touched/steer": row["touched"][0]["share"],
    }


def test_a_step_starts_from_nothing(tmp_path):
    dynamics = dynamics_in(tmp_path)
    a_step(dynamics)
    unknown = torch.full((2,), NAN)
    dynamics.begin(Batch(2, unknown, unknown, torch.zeros(2)), torch.ones(2), torch.zeros(2))
    learn(dynamics, [[1]], [[0.5]], [[0.0]], [0.0], [NAN])
    dynamics.update({"loss": 7.0})
    assert dynamics.of_the_step() == {
        "rft/unverified": 2.0,
        "rft/without_signal": 1.0,
        "rft/sign_flips": 0.0,
        "rft/revived": 0.0,
    }
    row = dynamics.end(2)
    assert (row["loss"], row["entropy"], row["touched"]) == (7.0, 0.5, [])
    nothing = ("reward", "correct", "pass_at_k", "entropy_correct", "entropy_wrong", "kl")
    assert {row[name] for name in (*nothing, "largest_ratio", "grad_norm")} == {None}


def test_the_journal_has_the_rows_that_count_and_no_others(tmp_path):
    first = dynamics_in(tmp_path)
    row, _ = a_step(first)
    lines = first.journal.read_text().splitlines()
    assert [json.loads(line) for line in lines] == [row] == first.rows
    # Killed after a step that no checkpoint holds: that step is done again.
    first.journal.write_text(first.journal.read_text() + json.dumps(row | {"step": 2}) + "\n{")
    again = dynamics_in(tmp_path)
    again.take_over([row])
    assert [json.loads(line) for line in first.journal.read_text().splitlines()] == [row]
    assert again.rows == [row]
