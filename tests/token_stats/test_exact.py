"""Statistics equal those of a float64 softmax, whatever the logits."""

import math

import torch

from rft.token_stats.exact import PREFIXES, token_statistics


def reference(row: torch.Tensor, mass: float) -> tuple[float, int]:
    probabilities = sorted(torch.softmax(row.double(), 0).tolist(), reverse=True)
    entropy = -math.fsum(p * math.log(p) for p in probabilities if p > 0)
    total, count = 0.0, 0
    while total < mass:
        total += probabilities[count]
        count += 1
    return entropy, count


def test_statistics_equal_a_float64_reference_at_all_sharpnesses():
    torch.manual_seed(0)
    first, second = PREFIXES
    sizes = [(7, 1.0), (300, 3.0), (300, 0.1), (first, 0.0), (first + 1, 0.2), (second + 500, 4.0)]
    for width, scale in [*sizes, (5000, 0.05)]:
        logits = torch.randn(6, width) * scale
        chosen = torch.randint(width, (6,))
        entropy, logprob, branching = token_statistics(logits, chosen, mass=0.95)
        for row in range(6):
            wanted, count = reference(logits[row], 0.95)
            assert abs(float(entropy[row]) - wanted) < 1e-5
            assert int(branching[row]) == count
            exact = torch.log_softmax(logits[row].double(), 0)[chosen[row]]
            assert abs(float(logprob[row]) - float(exact)) < 1e-5


def test_a_uniform_row_needs_95_of_100_tokens():
    _, _, branching = token_statistics(torch.zeros(1, 100), torch.tensor([0]), mass=0.949)
    assert branching.tolist() == [95]


def test_banned_tokens_count_as_nothing():
    logits = torch.tensor([[0.0, 0.0, -math.inf, -math.inf]])
    entropy, logprob, branching = token_statistics(logits, torch.tensor([0]), mass=0.95)
    assert math.isclose(float(entropy), math.log(2), rel_tol=1e-6)
    assert math.isclose(float(logprob), -math.log(2), rel_tol=1e-6)
    assert branching.tolist() == [2]


def test_a_certain_token_has_no_entropy_and_one_branch():
    logits = torch.tensor([[80.0, 0.0, -20.0]])
    entropy, logprob, branching = token_statistics(logits, torch.tensor([0]), mass=0.95)
    assert float(entropy) < 1e-6
    assert abs(float(logprob)) < 1e-6
    assert branching.tolist() == [1]


def test_half_precision_logits_are_read_in_float32():
    logits = (torch.randn(4, 200) * 3).bfloat16()
    chosen = torch.zeros(4, dtype=torch.long)
    half = token_statistics(logits, chosen, mass=0.95)
    full = token_statistics(logits.float(), chosen, mass=0.95)
    assert all(torch.equal(one, other) for one, other in zip(half, full, strict=True))
