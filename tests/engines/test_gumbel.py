"""Noise is a pure function of (seed, position, token), and draws follow the softmax exactly."""

import math

import pytest
import torch

from rft.engines.gumbel import choose, exponentials


def draws(logits: list[float], count: int, *, temperature: float = 1.0, top_p: float = 1.0):
    rows = torch.tensor([logits]).expand(count, -1)
    seeds = torch.arange(count) * 7919 + 3
    positions = torch.zeros(count, dtype=torch.long)
    chosen = choose(rows, seeds, positions, temperature=temperature, top_p=top_p)
    return torch.bincount(chosen, minlength=len(logits)).double() / count


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_follow_the_softmax_at_the_temperature(temperature):
    logits = [2.0, 1.0, 0.0, -1.0, -4.0]
    count = 200_000
    expected = torch.softmax(torch.tensor(logits).double() / temperature, 0)
    found = draws(logits, count, temperature=temperature)
    # Chi-square with 4 degrees of freedom: 18.5 is its 0.1% point.
    assert float((count * (found - expected) ** 2 / expected).sum()) < 18.5


def test_top_p_draws_only_from_the_smallest_set_that_holds_the_mass():
    logits = [math.log(p) for p in (0.5, 0.3, 0.15, 0.05)]
    found = draws(logits, 50_000, top_p=0.75)
    assert found[2] == found[3] == 0
    assert abs(float(found[0]) - 0.5 / 0.8) < 0.01


def test_temperature_zero_is_greedy():
    assert draws([0.0, 3.0, 1.0], 10, temperature=0.0)[1] == 1


def test_noise_does_not_depend_on_the_rows_around():
    seeds, positions = torch.tensor([11, 22, 33]), torch.tensor([0, 5, 9])
    together = exponentials(seeds, positions, 50)
    for row in range(3):
        alone = exponentials(seeds[row : row + 1], positions[row : row + 1], 50)
        assert torch.equal(alone[0], together[row])


def test_noise_is_the_same_on_every_machine():
    found = exponentials(torch.tensor([1, 2**62 - 1]), torch.tensor([0, 7]), 3)
    # Computed with Python's integers, below.
    expected = [
        [plain(seed, at, token) for token in range(3)] for seed, at in ((1, 0), (2**62 - 1, 7))
    ]
    assert torch.allclose(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-12)


def plain(seed: int, position: int, token: int) -> float:
    golden, whole = 0x9E3779B97F4A7C15, (1 << 64) - 1

    def mix(bits: int) -> int:
        bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) & whole
        bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & whole
        return bits ^ (bits >> 31)

    stream = mix((mix((seed + golden) & whole) + position * golden) & whole)
    bits = mix((stream + (token + 1) * golden) & whole)
    return -math.log(((bits >> 12) + 0.5) * 2.0**-52)


def test_neighbouring_seeds_positions_and_tokens_are_uncorrelated():
    seeds = torch.arange(2000)
    base = exponentials(seeds, torch.zeros_like(seeds), 40)
    for other in (
        exponentials(seeds + 1, torch.zeros_like(seeds), 40),
        exponentials(seeds, torch.ones_like(seeds), 40),
        base.roll(1, 1),
    ):
        correlation = torch.corrcoef(torch.stack([base.flatten(), other.flatten()]))[0, 1]
        assert abs(float(correlation)) < 0.015  # 80,000 pairs: four standard errors
