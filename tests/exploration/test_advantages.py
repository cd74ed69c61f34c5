"""Plug-ins that shape or replace advantages, each against its formula computed another way.

Run: python -m pytest tests/exploration/test_advantages.py
"""

import math
import random
import statistics
from itertools import combinations

import pytest
import torch

from rft.exploration import PLUGINS
from rft.exploration.entropy_advantage import EntropyAdvantage
from rft.exploration.nsr import Nsr
from rft.exploration.pass_at_k import PassAtK
from rft.exploration.perplexity_advantage import PerplexityAdvantage
from rft.exploration.position_advantage import PositionAdvantage
from rft.exploration.psr import Psr
from rft.exploration.response_entropy import ResponseEntropy
from rft.exploration.w_reinforce import WReinforce
from tests.fake_steps import UNKNOWN, batch_of, grpo_advantages, rows_of, tokens_of


def close(found, expected, tolerance=1e-6):
    assert torch.allclose(
        found, torch.tensor(expected, dtype=found.dtype), rtol=1e-5, atol=tolerance
    ), (found, expected)


# entropy_advantage -------------------------------------------------------------------------------


def shaped_by_entropy(advantages, entropies, **parameters):
    mask = torch.ones(1, len(advantages))
    tokens = tokens_of(mask, torch.zeros(mask.shape), entropies=torch.tensor([entropies]))
    return EntropyAdvantage(**parameters).shape(torch.tensor([advantages]), tokens)[0]


def test_entropy_advantage_by_hand():
    found = shaped_by_entropy([1.0, -1.0, 0.3, -0.3, 0.0], [3.0, 3.0, 0.1, 0.1, 2.0])
    close(found, [1.5, -0.5, 0.34, -0.26, 0.0])


def test_entropy_advantage_follows_its_parameters():
    found = shaped_by_entropy([1.0, -1.0, -1.0], [3.0, 3.0, 0.5], alpha=0.1, kappa=4)
    close(found, [1.25, -0.75, -0.95])


def test_an_entropy_that_rounding_made_negative_revives_nothing():
    found = shaped_by_entropy([0.0, 1.0], [-1e-7, -1e-7])
    assert found.tolist() == [0.0, 1.0]


# perplexity_advantage ----------------------------------------------------------------------------


def by_perplexity(advantages, nll, n, alpha):
    """The paper's equations 7 and 11, group by group."""
    found = []
    for first in range(0, len(nll), n):
        known = [each for each in nll[first : first + n] if not math.isnan(each)]
        mean = statistics.fmean(known) if known else 0.0
        deviation = statistics.pstdev(known) if known else 0.0
        for a, each in zip(advantages[first : first + n], nll[first : first + n], strict=True):
            w = (each - mean) / (deviation if deviation > 1e-6 else 1.0)
            found.append(a if math.isnan(each) else a * (1 - alpha * w))
    return found


@pytest.mark.parametrize("alpha", [0.01, 0.5])
def test_perplexity_advantage_equals_the_formula_in_every_group(alpha):
    draw = random.Random(1)
    nll = [draw.uniform(0.1, 3) for _ in range(24)]
    nll[3] = nll[9] = nll[10] = UNKNOWN
    nll[16:24] = [UNKNOWN] * 8
    advantages = [draw.uniform(-2, 2) for _ in nll]
    for n in (4, 8, 24):
        batch = batch_of(n, [1] * 24, nll=nll)
        found = PerplexityAdvantage(alpha=alpha).adjust(torch.tensor(advantages), batch)
        close(found, by_perplexity(advantages, nll, n, alpha))


def test_likely_answers_gain_and_unlikely_ones_lose_one_percent():
    batch = batch_of(2, [1, 1], nll=[0.5, 1.5])
    close(PerplexityAdvantage().adjust(torch.tensor([1.0, 1.0]), batch), [1.01, 0.99])


def test_equal_perplexities_change_nothing():
    batch = batch_of(2, [1, 0], nll=[0.7, 0.7 + 1e-7])
    close(PerplexityAdvantage(alpha=5).adjust(torch.tensor([1.0, -1.0]), batch), [1.0, -1.0])


def test_a_deviation_below_the_bound_counts_as_one():
    # Both are rounded to float32, but not by as much as this.
    batch = batch_of(2, [1, 0], nll=[0.0, 1e-6])
    found = PerplexityAdvantage(alpha=1e6).adjust(torch.tensor([1.0, 1.0]), batch)
    close(found, [1.5, 0.5])


def test_the_factor_is_clamped_on_request():
    batch = batch_of(2, [1, 1], nll=[0.0, 1.0])
    given = torch.tensor([1.0, -2.0])
    close(PerplexityAdvantage(alpha=3, clamp=[0.8, 1.2]).adjust(given, batch), [1.2, -1.6])
    close(PerplexityAdvantage(alpha=3).adjust(given, batch), [4.0, 4.0])


# position_advantage ------------------------------------------------------------------------------


def by_position(advantage, length, width, *, m=15.0, n=0.5, d=1, gamma=0.1, cap=0.5):
    """The paper's equations 8 and 12 for the tokens of one rollout."""
    found = []
    for t in range(1, length + 1):
        push = gamma / (1 + math.exp(-d * m * ((t - 1) / length - n)))
        if cap is not None:
            push = min(push, cap * abs(advantage))
        sign = (advantage > 0) - (advantage < 0)
        found.append(advantage + sign * push)
    return found + [None] * (width - length)


@pytest.mark.parametrize(
    "parameters",
    [{}, {"d": -1}, {"cap": None}, {"gamma": 1.0, "cap": 0.25}, {"m": 3.0, "n": 0.2}, {"n": -0.5}],
)
def test_position_advantage_equals_the_formula_on_every_token(parameters):
    lengths, given = [7, 1, 4, 5], [1.2, -0.7, 0.05, 0.0]
    mask = rows_of(lengths)
    advantages = torch.tensor(given).unsqueeze(1).expand(4, 7)
    found = PositionAdvantage(**parameters).shape(advantages, tokens_of(mask, torch.zeros(4, 7)))
    for row, (advantage, length) in enumerate(zip(given, lengths, strict=True)):
        expected = by_position(advantage, length, 7, **parameters)
        close(found[row, :length], expected[:length])


def test_position_advantage_has_the_sigmoid_of_the_code_not_of_the_print():
    # Positions 0, .2, ..., .8 and m 15: with n = .5 the first and last differ, with -.5 none does.
    tokens = tokens_of(rows_of([5]), torch.zeros(1, 5))
    ones = torch.ones(1, 5)
    push = PositionAdvantage(gamma=1.0, cap=None).shape(ones, tokens)[0] - 1
    close(push, [0.0006, 0.0110, 0.1824, 0.8176, 0.9890], tolerance=1e-4)
    printed = PositionAdvantage(gamma=1.0, cap=None, n=-0.5).shape(ones, tokens)[0] - 1
    assert float(printed.min()) > 0.9994


def test_padding_and_empty_rows_have_finite_advantages():
    mask = torch.tensor([[1, 1, 0], [0, 0, 0]])
    found = PositionAdvantage().shape(torch.ones(2, 3), tokens_of(mask, torch.zeros(2, 3)))
    assert bool(found.isfinite().all())


# response_entropy --------------------------------------------------------------------------------


def test_response_entropy_by_hand():
    batch = batch_of(4, [1, 1, 0, 0], entropy=[0.5, 1.0, 1.0, 1.5])
    given = torch.tensor([1.0, 1.0, -1.0, -1.0])
    close(ResponseEntropy().adjust(given, batch), [1.5, 1.0, -1.0, -0.5])


def test_each_group_has_its_own_mean_entropy():
    batch = batch_of(2, [1, 0, 1, 0], entropy=[1.0, 3.0, 10.0, 30.0])
    close(ResponseEntropy().adjust(torch.ones(4), batch), [1.5, 0.5, 1.5, 0.5])


def test_more_than_twice_the_mean_entropy_turns_the_sign():
    batch = batch_of(4, [1] * 4, entropy=[9.0, 1.0, 1.0, 1.0])
    assert float(ResponseEntropy().adjust(torch.ones(4), batch)[0]) == pytest.approx(-1)
    assert not ResponseEntropy.keeps_sign


def test_an_unknown_entropy_and_a_sure_group_change_nothing():
    batch = batch_of(2, [1] * 6, entropy=[UNKNOWN, 2.0, 0.0, 0.0, UNKNOWN, UNKNOWN])
    given = torch.tensor([1.0, -1.0, 2.0, -2.0, 3.0, -3.0])
    assert torch.equal(ResponseEntropy().adjust(given, batch), given)


# nsr, psr, w_reinforce ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plugin", "right", "wrong"),
    [(Nsr(), 0, -1), (Psr(), 1, 0), (WReinforce(), 0.1, -1), (WReinforce(right=0.5), 0.5, -1)],
)
def test_reinforce_reads_the_verdict_and_nothing_else(plugin, right, wrong):
    value = {1.0: right, 0.0: wrong}
    verdicts = [1.0, 0.0, UNKNOWN, 1.0, 1.0, 1.0, 0.0, 0.0, UNKNOWN]
    batch = batch_of(3, verdicts)
    close(plugin.advantage(batch), [value.get(each, 0) for each in verdicts])


# pass_at_k ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("right", "up", "down"),
    [
        (0, 0, 0),
        (1, 1.0000, -0.1429),
        (2, 0.5222, -0.1741),
        (3, 0.2773, -0.1664),
        (4, 0.1204, -0.1204),
        (5, 0, 0),
        (8, 0, 0),
    ],
)
def test_pass_at_4_of_8_by_the_published_numbers(right, up, down):
    found = PassAtK(k=4).advantage(batch_of(8, [1] * right + [0] * (8 - right)))
    close(found, [up] * right + [down] * (8 - right), tolerance=5e-5)


def by_all_sets(verdicts, k):
    """Standardise the rewards of all sets of k, and average over the sets that hold a rollout."""
    known = [at for at, each in enumerate(verdicts) if not math.isnan(each)]
    sets = list(combinations(known, k))
    worth = {each: max(verdicts[at] for at in each) for each in sets}
    if len(set(worth.values())) < 2:
        return [0.0] * len(verdicts)
    mean, deviation = statistics.fmean(worth.values()), statistics.pstdev(worth.values())
    return [
        statistics.fmean((worth[each] - mean) / deviation for each in sets if at in each)
        if at in known
        else 0.0
        for at in range(len(verdicts))
    ]


@pytest.mark.parametrize("k", [2, 3, 4, 5])
def test_pass_at_k_equals_the_mean_over_all_sets(k):
    draw = random.Random(k)
    groups = [[float(at < right) for at in range(7)] for right in range(8)]
    groups += [[draw.choice([0.0, 1.0, UNKNOWN]) for _ in range(7)] for _ in range(30)]
    found = (
        PassAtK(k=k)
        .advantage(batch_of(7, [each for group in groups for each in group]))
        .view(-1, 7)
    )
    for row, verdicts in zip(found, groups, strict=True):
        close(row, by_all_sets(verdicts, k))
        assert abs(float(row.sum())) < 1e-5


def test_a_group_with_fewer_verdicts_than_k_teaches_nothing():
    verdicts = [1.0, 0.0, UNKNOWN, UNKNOWN]
    assert PassAtK(k=3).advantage(batch_of(4, verdicts)).tolist() == [0.0] * 4
    assert PassAtK(k=2).advantage(batch_of(4, [UNKNOWN] * 4)).tolist() == [0.0] * 4


def test_large_groups_do_not_overflow():
    found = PassAtK(k=256).advantage(batch_of(2048, [1.0] + [0.0] * 2047))
    assert bool(found.isfinite().all())
    assert float(found[0]) > 0 > float(found[1])


# What holds for several --------------------------------------------------------------------------

SHAPERS = [
    EntropyAdvantage(),
    EntropyAdvantage(alpha=100, kappa=1.01),
    PositionAdvantage(),
    PositionAdvantage(d=-1, gamma=1.0, cap=None),
    PositionAdvantage(n=-0.5, gamma=10.0, cap=3.0),
]


@pytest.mark.parametrize("plugin", SHAPERS, ids=repr)
@pytest.mark.parametrize("rewards", [(1.0, -1.0), (1.0, 0.0)])
@pytest.mark.parametrize("normalised", [True, False])
def test_shapers_that_keep_the_sign_do(plugin, rewards, normalised):
    assert plugin.keeps_sign
    torch.manual_seed(0)
    n, count, width = 4, 400, 9
    drawn = torch.tensor(rewards)[torch.randint(2, (count,))]
    drawn[:8] = rewards[0]
    advantages = grpo_advantages(drawn, n) if normalised else drawn
    advantages = advantages.unsqueeze(1).expand(count, width)
    mask = rows_of([1 + at % width for at in range(count)])
    entropies = torch.rand(count, width).square() * 11
    tokens = tokens_of(mask, torch.zeros(mask.shape), entropies=entropies)
    shaped = plugin.shape(advantages, tokens)
    assert torch.equal(shaped.sign(), advantages.sign())
    assert not torch.equal(shaped, advantages)
    if normalised:
        assert bool((shaped[:8] == 0).all()), "a group without variance was revived"


def test_the_property_is_tested_for_every_shaper_that_claims_it():
    claims = {name for name, kind in PLUGINS.items() if kind.keeps_sign and kind.shape}
    assert claims == {plugin.name for plugin in SHAPERS}


@pytest.mark.parametrize("plugin", SHAPERS, ids=repr)
def test_shapers_pass_no_gradient_on(plugin):
    logps = torch.full((1, 3), -1.0, requires_grad=True)
    tokens = tokens_of(torch.ones(1, 3), logps, entropies=torch.ones(1, 3))
    assert not plugin.shape(torch.ones(1, 3), tokens).requires_grad


@pytest.mark.parametrize("name", ["perplexity_advantage", "response_entropy"])
def test_groups_without_variance_stay_zero(name):
    batch = batch_of(2, [1, 1], nll=[0.1, 2.0], entropy=[0.1, 2.0])
    assert PLUGINS[name]().adjust(torch.zeros(2), batch).tolist() == [0.0, 0.0]
