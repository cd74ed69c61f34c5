"""Plug-ins that watch the training and act on it, with their state over a restart.

Run: python -m pytest tests/exploration/test_controllers.py
"""

import copy
import io
from types import SimpleNamespace

import pytest
import torch

from rft.exploration.entropy_gate import EntropyGate
from rft.exploration.reference_reset import ReferenceReset
from tests.fake_steps import UNKNOWN, batch_of

# entropy_gate ------------------------------------------------------------------------------------

GIVEN = [2.0, -1.0, 0.0, -0.5]


def passed(gate, entropy, lengths=None):
    """Give the advantages that a step of such entropies lets through."""
    batch = batch_of(4, [1, 0, 1, 0], entropy=entropy, lengths=lengths)
    return gate.adjust(torch.tensor(GIVEN), batch).tolist()


def muted(gate, entropy, lengths=None):
    found = passed(gate, entropy, lengths)
    assert found in (GIVEN, [2.0, 0.0, 0.0, 0.0])
    return found != GIVEN


def test_the_gate_closes_above_one_bound_and_opens_below_the_other():
    gate = EntropyGate(high=2.0, low=1.0)
    course = [0.5, 1.5, 2.0, 2.1, 1.5, 1.0, 0.9, 1.5, 2.5]
    closed = [muted(gate, [entropy] * 4) for entropy in course]
    assert closed == [False, False, False, True, True, True, False, False, True]


def test_the_entropy_of_a_step_is_the_mean_over_its_tokens():
    gate = EntropyGate(high=2.0, low=1.0)
    # By tokens (4 * 1 + 3 * 0) / 100 is low; by rollouts 1.0 would open it, 2.0 not.
    assert muted(gate, [9.0] * 4)
    assert not muted(gate, [4.0, 0.0, 0.0, 0.0], lengths=[1.0, 33.0, 33.0, 33.0])
    assert muted(gate, [9.0, 0.0, 0.0, 0.0], lengths=[97.0, 1.0, 1.0, 1.0])


def test_unknown_entropies_do_not_count():
    gate = EntropyGate(high=2.0, low=1.0)
    assert muted(gate, [UNKNOWN, 3.0, UNKNOWN, 2.0], lengths=[0.0, 5.0, 0.0, 5.0])
    assert muted(gate, [UNKNOWN] * 4, lengths=[0.0] * 4), "the state has to stay"
    assert not muted(gate, [UNKNOWN, 0.5, UNKNOWN, 0.5], lengths=[0.0, 5.0, 0.0, 5.0])
    assert not muted(gate, [UNKNOWN] * 4, lengths=[0.0] * 4)


def test_the_gate_is_where_it_was_after_a_restart():
    gate = EntropyGate(high=2.0, low=1.0)
    assert muted(gate, [3.0] * 4)
    again = EntropyGate(high=2.0, low=1.0)
    assert not muted(again, [1.5] * 4)
    again.load_state_dict(stored(gate.state_dict()), None)
    assert muted(again, [1.5] * 4)


# reference_reset ---------------------------------------------------------------------------------


class Wrapped(torch.nn.Module):
    """What accelerate makes of a model on several devices."""

    def __init__(self, module):
        super().__init__()
        self.module = module


class Training:
    """As much of a trainer as a reset touches: a policy that moves with every step."""

    def __init__(self, wrapped=False):
        torch.manual_seed(0)
        self.model = torch.nn.Linear(3, 2)
        self.reference = copy.deepcopy(self.model).requires_grad_(False)
        self.ref_model = Wrapped(self.reference) if wrapped else self.reference
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=0.1)
        self.accelerator = SimpleNamespace(unwrap_model=lambda m: getattr(m, "module", m))
        self.told = []
        self.say = self.told.append
        self.steps = 0

    def step(self, plugin, reward=0.5):
        """Make a step, and say whether it ended in a reset."""
        self.steps += 1
        self.update()
        told = len(self.told)
        plugin.on_step(self, {"step": self.steps, "reward": reward})
        return len(self.told) > told

    def update(self):
        torch.manual_seed(self.steps)
        self.optimizer.zero_grad()
        self.model(torch.randn(5, 3)).square().sum().backward()
        self.optimizer.step()


def stored(state):
    """Write a state and read it as the trainer does."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True, map_location="cpu")


def same(one, other):
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def resets(plugin, rewards):
    """List the steps at which a course of rewards ends in a reset."""
    training = Training()
    return [at for at, reward in enumerate(rewards, 1) if training.step(plugin, reward)]


def test_the_reference_is_reset_every_so_many_steps():
    assert resets(ReferenceReset(every=3), [0.5] * 10) == [3, 6, 9]
    assert resets(ReferenceReset(every=1), [None] * 3) == [1, 2, 3]


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_reset_copies_the_policy_and_no_more(wrapped):
    training, plugin = Training(wrapped), ReferenceReset(every=2)
    before = copy.deepcopy(training.reference)
    assert not training.step(plugin)
    assert same(training.reference, before)
    training.update()
    policy = copy.deepcopy(training.model)
    plugin.on_step(training, {"step": 2, "reward": 0.5})
    assert not same(policy, before)
    assert same(training.model, policy)
    assert same(training.reference, policy)
    assert not any(each.requires_grad for each in training.reference.parameters())
    training.step(plugin)
    assert not same(training.reference, training.model), "it is a copy, not the same weights"
    assert training.told == [
        "step 2: reset 1, the reference is the policy as it is now, and the optimizer starts afresh"
    ]


def test_the_optimizer_goes_on_as_a_new_one_would():
    training, plugin = Training(), ReferenceReset(every=3)
    while not training.step(plugin):
        pass
    fresh = Training()
    fresh.model.load_state_dict(training.model.state_dict())
    fresh.steps = training.steps
    training.update()
    fresh.update()
    assert same(training.model, fresh.model)


def test_patience_counts_steps_without_a_new_best():
    plugin = ReferenceReset(patience=2, window=1)
    #                       best      best             reset, and a new search
    assert resets(plugin, [0.1, 0.1, 0.2, 0.2, 0.15, 0.05, 0.05, 0.05]) == [5, 8]


def test_patience_judges_the_mean_of_a_full_window():
    # Means of 2: -, .5, .5, .5 -> the second and third without a new best.
    assert resets(ReferenceReset(patience=2, window=2), [1.0, 0.0, 1.0, 0.0]) == [4]
    # Means of 2: .1, .2, .3, ...: always better, though each pair has a worse step.
    rising = [0.0, 0.2, 0.1, 0.4, 0.2, 0.6, 0.3]
    assert resets(ReferenceReset(patience=1, window=2), rising) == []
    assert resets(ReferenceReset(patience=1, window=1), rising) == [3, 5, 7]


def test_a_step_without_verdicts_does_not_count_towards_patience():
    rewards = [0.5, None, None, 0.5, None, 0.5, None]
    assert resets(ReferenceReset(patience=2, window=1), rewards) == [6]


@pytest.mark.parametrize("parameters", [{"every": 4}, {"patience": 2, "window": 2}])
def test_a_restart_changes_nothing(parameters):
    rewards = [0.1, 0.3, 0.2, 0.3, 0.1, 0.2, 0.3, 0.4, 0.1, 0.1, 0.1, 0.2, 0.1, 0.1, 0.1]
    whole, plugin = Training(), ReferenceReset(**parameters)
    expected = [(whole.step(plugin, reward), whole.reference.weight.clone()) for reward in rewards]
    assert sum(due for due, _ in expected) > 1
    for cut in range(len(rewards)):
        first, plugin = Training(), ReferenceReset(**parameters)
        for reward in rewards[:cut]:
            first.step(plugin, reward)
        # The trainer brings back the policy and its optimizer; the reference is the first again.
        second, again = Training(), ReferenceReset(**parameters)
        second.model.load_state_dict(stored(first.model.state_dict()))
        second.optimizer.load_state_dict(stored(first.optimizer.state_dict()))
        second.steps = first.steps
        again.load_state_dict(stored(plugin.state_dict()), second)
        assert same(second.reference, first.reference)
        for at in range(cut, len(rewards)):
            due, weight = expected[at]
            assert second.step(again, rewards[at]) == due
            assert torch.equal(second.reference.weight, weight)


def test_the_state_holds_the_reference_only_after_a_reset():
    training, plugin = Training(), ReferenceReset(every=2)
    training.step(plugin)
    assert "reference" not in plugin.state_dict()
    training.step(plugin)
    assert plugin.state_dict()["resets"] == 1
    assert set(plugin.state_dict()["reference"]) == {"weight", "bias"}
    again = ReferenceReset(every=2)
    again.load_state_dict(stored(plugin.state_dict()), Training())
    assert "reference" in again.state_dict(), "a second restart would lose it"
