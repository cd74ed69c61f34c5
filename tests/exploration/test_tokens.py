"""Plug-ins that treat some tokens differently, each against loops over plain numbers.

Run: python -m pytest tests/exploration/test_tokens.py
"""

import dataclasses
import math
import statistics

import pytest
import torch

from rft.exploration import PLUGINS
from rft.exploration.clip_cov import ClipCov
from rft.exploration.kl_cov import KlCov
from rft.exploration.steer import Steer
from tests.fake_steps import rows_of, tokens_of


def step_of(lengths, seed=0, step=1):
    """Draw a step: one advantage a row, logprobs and entropies; padding is full of rubbish."""
    torch.manual_seed(seed)
    mask = rows_of(lengths)
    advantages = torch.randn(len(lengths), 1).mul(2).expand(mask.shape)
    logps = -torch.rand(mask.shape).square() * 6
    logps[~mask.bool()] = -1000.0
    entropies = torch.rand(mask.shape) * 3
    entropies[~mask.bool()] = 1000.0
    return advantages, tokens_of(mask, logps, entropies=entropies, step=step)


def places(mask):
    """List where tokens are."""
    return [tuple(at) for at in mask.nonzero().tolist()]


def covariances(advantages, tokens):
    """The contribution of each token to the covariance of advantage and logprob."""
    at = places(tokens.mask)
    worth = {place: float(advantages[place]) for place in at}
    logps = {place: float(tokens.logps[place]) for place in at}
    mean, mean_logp = statistics.fmean(worth.values()), statistics.fmean(logps.values())
    return {place: (worth[place] - mean) * (logps[place] - mean_logp) for place in at}


def marked(column):
    assert set(column.unique().tolist()) <= {0.0, 1.0}
    return {tuple(at) for at in column.nonzero().tolist()}


# clip_cov ----------------------------------------------------------------------------------------


def left_out(plugin, advantages, tokens):
    columns = plugin.columns(advantages, tokens)
    weights = plugin.weight(dataclasses.replace(tokens, columns=columns))
    chosen = marked(1 - weights)
    assert chosen <= set(places(tokens.mask))
    return chosen


def test_clip_cov_leaves_out_all_candidates_when_the_share_allows():
    advantages, tokens = step_of([9, 1, 30, 30, 12])
    cov = covariances(advantages, tokens)
    expected = {place for place, value in cov.items() if 1 < value < 5}
    assert 5 < len(expected) < len(cov) / 2
    assert any(value >= 5 for value in cov.values())
    assert left_out(ClipCov(share=0.9), advantages, tokens) == expected


def test_clip_cov_follows_its_range():
    advantages, tokens = step_of([20, 20, 20])
    cov = covariances(advantages, tokens)
    expected = {place for place, value in cov.items() if -0.5 < value < 0.25}
    assert expected
    assert left_out(ClipCov(share=0.99, low=-0.5, high=0.25), advantages, tokens) == expected


@pytest.mark.parametrize(("share", "count"), [(2e-4, 1), (0.029, 2), (0.0299, 2), (0.03, 3)])
def test_clip_cov_draws_its_share_of_all_tokens_and_one_at_least(share, count):
    advantages, tokens = step_of([40, 30, 30])
    chosen = left_out(ClipCov(share=share), advantages, tokens)
    assert len(chosen) == count
    assert chosen <= {place for place, v in covariances(advantages, tokens).items() if 1 < v < 5}


def test_clip_cov_draws_the_same_again_and_others_in_another_step():
    draws = [
        left_out(ClipCov(share=0.05), *step_of([40, 30, 30], step=step)) for step in (1, 1, 2, 3)
    ]
    assert draws[0] == draws[1]
    assert draws[0] != draws[2] != draws[3]


def test_clip_cov_draws_every_candidate_some_time():
    advantages, tokens = step_of([20, 20])
    candidates = {place for place, v in covariances(advantages, tokens).items() if 1 < v < 5}
    drawn = set()
    for step in range(300):
        drawn |= left_out(ClipCov(), *step_of([20, 20], step=step))
    assert drawn == candidates


# kl_cov ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("share", "count"), [(2e-3, 1), (0.1, 10), (0.199, 19), (0.999, 99)])
def test_kl_cov_holds_the_tokens_of_largest_covariance(share, count):
    advantages, tokens = step_of([40, 1, 30, 29])
    cov = covariances(advantages, tokens)
    column = KlCov(share=share).columns(advantages, tokens)["held"]
    assert marked(column) == set(sorted(cov, key=cov.get, reverse=True)[:count])


def test_kl_cov_holds_exactly_its_share_among_equals():
    _, tokens = step_of([10, 20])
    for advantages in (torch.ones(2, 20), torch.zeros(2, 20)):
        assert int(KlCov(share=0.2).columns(advantages, tokens)["held"].sum()) == 6


def test_kl_cov_clips_nothing():
    low, high = KlCov().clip(0.2, 0.28, step_of([3])[1])
    ratio = torch.tensor([1e-6, 1.0, 1e6])
    assert torch.equal(ratio.clamp(1 - low, 1 + high), ratio)


def test_kl_cov_has_the_gradient_of_the_direct_form():
    torch.manual_seed(3)
    mask, beta = rows_of([6, 1, 4]), 0.7
    advantages = torch.randn(3, 1).expand(3, 6)
    old = -torch.rand(3, 6) * 3
    held = ((torch.rand(3, 6) < 0.5) & mask.bool()).float()
    assert 0 < int(held.sum()) < int(mask.sum())
    given = old + torch.randn(3, 6) * 0.5

    # As the trainer uses the hooks: no advantage on the tokens, and a loss of their own.
    logps = given.clone().requires_grad_()
    tokens = tokens_of(mask, logps, old_logps=old, columns={"held": held})
    plugin = KlCov(beta=beta)
    low, high = plugin.clip(0.2, 0.2, tokens)
    chosen, own = plugin.replace(advantages, tokens)
    left = advantages.masked_fill(chosen, 0.0)
    clipped = tokens.ratio.clamp(1 - low, 1 + high)
    loss = -torch.minimum(tokens.ratio * left, clipped * left) + own.masked_fill(~chosen, 0.0)
    (found,) = torch.autograd.grad((loss * mask).sum(), logps)

    # d/dx of -A e^(x - o) + beta |x - o|, token by token.
    for row, column in places(mask):
        x, o = float(given[row, column]), float(old[row, column])
        expected = -float(advantages[row, column]) * math.exp(x - o)
        if held[row, column]:
            expected += beta * math.copysign(1, x - o)
        assert float(found[row, column]) == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_kl_cov_has_no_penalty_where_the_policy_is_the_one_that_sampled():
    logps = torch.full((1, 2), -1.0, requires_grad=True)
    tokens = tokens_of(torch.ones(1, 2), logps, columns={"held": torch.ones(1, 2)})
    _, own = KlCov().replace(torch.tensor([[2.0, -3.0]]), tokens)
    (gradient,) = torch.autograd.grad(own.sum(), logps)
    assert gradient.tolist() == [[-2.0, 3.0]]


# steer -------------------------------------------------------------------------------------------


def by_steer(advantages, tokens, form, low, high):
    """The released formula, with the current p in it, and A / p_old."""
    size = {}
    for place in places(tokens.mask):
        p, old = (math.exp(float(each[place])) for each in (tokens.logps, tokens.old_logps))
        entropy = float(tokens.entropies[place])
        omega = float(advantages[place]) / old * p * (1 - p) * (math.log(p) + entropy)
        size[place] = abs(omega)
    least, most = min(size.values()), max(size.values())
    if form == "linear":
        return {at: high - (v - least) / (most - least) * (high - low) for at, v in size.items()}
    k = -math.log(low) / max(most, 0.02)
    return {at: min(1.0, math.exp(-k * v)) for at, v in size.items()}


def weights_of(plugin, advantages, tokens):
    columns = plugin.columns(advantages, tokens)
    return plugin.weight(dataclasses.replace(tokens, columns=columns))


@pytest.mark.parametrize("form", ["linear", "exp"])
@pytest.mark.parametrize(("low", "high"), [(0.8, 1.2), (0.3, 2.0)])
@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_steer_equals_the_formula_on_every_token(form, low, high, scale):
    advantages, tokens = step_of([12, 1, 7, 30])
    advantages = advantages * scale
    found = weights_of(Steer(form=form, low=low, high=high), advantages, tokens)
    expected = by_steer(advantages, tokens, form, low, high)
    for place, weight in expected.items():
        assert float(found[place]) == pytest.approx(weight, rel=1e-4)
    if form == "linear":
        assert min(expected.values()) == pytest.approx(low)
        assert max(expected.values()) == pytest.approx(high)


@pytest.mark.parametrize("form", ["linear", "exp"])
def test_steer_keeps_the_weights_of_a_step_where_the_released_code_follows_the_policy(form):
    advantages, sampled = step_of([12, 1, 7, 30])
    found = weights_of(Steer(form=form), advantages, sampled)
    moved = torch.randn(sampled.mask.shape).mul(0.1).clamp(math.log(0.8), math.log(1.28))
    later = dataclasses.replace(sampled, logps=(sampled.logps + moved).clamp(max=-1e-3))
    released = by_steer(advantages, later, form, 0.8, 1.2)
    apart = [abs(float(found[place]) - weight) for place, weight in released.items()]
    # Of weights from 0.8 to 1.2, at ratios within the clip range of the paper.
    assert 0.005 < max(apart) < 0.1


def test_the_weights_of_steer_by_hand():
    # Two tokens with p = 1/2 and H = 1 - ln(1/2): Om = A / 2.
    logps = torch.full((2, 1), math.log(0.5))
    entropies = torch.full((2, 1), 1 - math.log(0.5))
    tokens = tokens_of(torch.ones(2, 1), logps, entropies=entropies)
    given = torch.tensor([[1.0], [-4.0]])
    assert weights_of(Steer(), given, tokens).flatten().tolist() == pytest.approx([1.2, 0.8])
    # k = -ln(.8) / 2, on |Om| of .5 and 2.
    assert weights_of(Steer(form="exp"), given, tokens).flatten().tolist() == pytest.approx(
        [0.8**0.25, 0.8]
    )


@pytest.mark.parametrize("form", ["linear", "exp"])
@pytest.mark.parametrize("lengths", [[1], [5, 3]])
def test_steer_without_a_difference_weighs_every_token_the_same(form, lengths):
    _, tokens = step_of(lengths)
    found = weights_of(Steer(form=form), torch.zeros(tokens.mask.shape), tokens)
    assert bool((found[tokens.mask.bool()] == 1).all())


def test_one_token_has_the_weight_in_the_middle_of_the_linear_form():
    advantages, tokens = step_of([1])
    assert weights_of(Steer(), advantages, tokens).tolist() == [[1.0]]
    assert weights_of(Steer(low=0.5, high=1.0), advantages, tokens).tolist() == [[0.75]]


# What holds for all ------------------------------------------------------------------------------

SELECTORS = [ClipCov(share=0.5), KlCov(share=0.5), Steer(), Steer(form="exp")]


@pytest.mark.parametrize("plugin", SELECTORS, ids=repr)
def test_columns_say_nothing_of_padding_and_pass_no_gradient_on(plugin):
    advantages, tokens = step_of([5, 2, 9])
    for column in plugin.columns(advantages, tokens).values():
        assert column.shape == tokens.mask.shape
        assert bool((column[~tokens.mask.bool()] == 0).all())
        assert not column.requires_grad


@pytest.mark.parametrize("plugin", SELECTORS, ids=repr)
def test_rows_without_tokens_change_nothing_for_the_others(plugin):
    advantages, tokens = step_of([5, 2, 9])
    mask = torch.cat([tokens.mask, torch.zeros(2, 9, dtype=torch.long)])

    def longer(values, filler):
        return torch.cat([values, torch.full((2, 9), filler)])

    wider = tokens_of(
        mask, longer(tokens.logps, -1000.0), entropies=longer(tokens.entropies, 1000.0)
    )
    short, long = plugin.columns(advantages, tokens), plugin.columns(longer(advantages, 9.0), wider)
    for name, column in short.items():
        assert torch.equal(long[name][:3], column)


@pytest.mark.parametrize("plugin", SELECTORS, ids=repr)
def test_a_step_without_tokens_is_no_error(plugin):
    mask = torch.zeros(2, 3, dtype=torch.long)
    tokens = tokens_of(mask, torch.zeros(2, 3), entropies=torch.zeros(2, 3))
    for column in plugin.columns(torch.ones(2, 3), tokens).values():
        assert not bool(column.any())


@pytest.mark.parametrize("plugin", SELECTORS, ids=repr)
def test_a_step_of_one_token_is_no_error(plugin):
    advantages, tokens = step_of([1])
    for column in plugin.columns(advantages, tokens).values():
        assert bool(column.isfinite().all())


def test_weights_keep_the_sign():
    claims = {name for name, kind in PLUGINS.items() if kind.keeps_sign and kind.weight}
    assert claims == {"clip_cov", "steer"}
    for plugin in (ClipCov(share=0.5), Steer(), Steer(form="exp"), Steer(low=0.01, high=9.0)):
        for seed in range(20):
            advantages, tokens = step_of([5, 1, 9], seed=seed)
            assert bool((weights_of(plugin, advantages, tokens) >= 0).all())
