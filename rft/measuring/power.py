"""What a gate can see: in how many cases it refuses a model that is worse by a known amount.

Told from the base's own dev answers before anything is trained, since it follows from the number
of problems, the answers to each, and how undecided the problems are.
"""

from collections.abc import Mapping

import numpy as np

from rft.measuring.joint_intervals import reach_of, sizes
from rft.measuring.pass_at_k import Numbers, pass_at_k
from rft.recipe import Gate
from rft.seeds import derive

LOSSES = (0.02, 0.05, 0.10)
# Cases of a few problems and of many: right to a few percent, and not a second's work.
MOST_CASES, LEAST_CASES, RATES = 1000, 300, 100_000
SHORTEST = 1e-6  # nearer to 0 or 1 no rate is moved


def power(
    counts: Numbers, n: int, gate: Gate, *, seed: int, losses: tuple[float, ...] = LOSSES
) -> dict[str, dict[float, float]]:
    """Give, for each Pass@k and loss of it, the share of cases in which the first model is refused.

    `counts` are the base's correct answers of n to each problem. A case draws the problems' rates
    (from a Beta distribution fitted to the counts, given each problem's own), moves all by one
    amount in log-odds so that the metric falls by the loss, and measures both models anew. Their
    answers are independent here; in a run they share seeds, which can only help. Losses that the
    base is too weak to make are left out.
    """
    source = np.random.default_rng(seed)
    rates = rates_of(counts, n, source)
    metrics = {metric: k for metric, k in gate.metrics.items() if k is not None}
    passed = {
        metric: pass_at_k([n] * (n + 1), list(range(n + 1)), k) for metric, k in metrics.items()
    }
    before = source.binomial(n, rates)
    shares: dict[str, dict[float, float]] = {}
    for metric, k in metrics.items():
        shares[metric] = {}
        for loss in losses:
            if loss >= float((1 - (1 - rates) ** k).mean()):
                continue
            after = source.binomial(n, fallen(rates, k, loss))
            # Case x metric x problem: a gate of several metrics refuses by any.
            changes = np.stack([table[after] - table[before] for table in passed.values()], 1)
            shares[metric][loss] = refused(changes, gate.level, derive(seed, "signs"))
    return shares


def rates_of(counts: Numbers, n: int, source: np.random.Generator) -> Numbers:
    """Draw the rates at which the problems are solved, a row for each case.

    How much rates differ is told by how often the answers to one problem do; a single answer to
    each does not tell, and then they are taken as alike, which makes the gate look weaker.
    """
    mean = (counts.sum() + 0.5) / (n * len(counts) + 1)
    spread = mean * (1 - mean)
    undecided = float((counts * (n - counts)).mean()) / (n * (n - 1)) if n > 1 else spread
    # The two shapes of a Beta distribution sum to this; 0.1 is all or nothing, 100 all alike.
    total = float(np.clip(undecided / max(spread - undecided, 1e-9), 0.1, 100))
    shapes = mean * total + counts, (1 - mean) * total + n - counts
    cases = min(max(RATES // len(counts), LEAST_CASES), MOST_CASES)
    return np.asarray(source.beta(*shapes, size=(cases, len(counts))))


def fallen(rates: Numbers, k: int, loss: float) -> Numbers:
    """Lower all rates by one amount in log-odds, by which their mean Pass@k falls by the loss."""
    inside = np.clip(rates, SHORTEST, 1 - SHORTEST)
    odds = inside / (1 - inside)
    wanted = float((1 - (1 - inside) ** k).mean()) - loss
    low, high = 0.0, 50.0
    for _ in range(30):
        amount = (low + high) / 2
        left = odds * np.exp(-amount)
        moved = left / (1 + left)
        low, high = (amount, high) if (1 - (1 - moved) ** k).mean() > wanted else (low, amount)
    return np.asarray(moved)


def refused(changes: Numbers, level: float, seed: int) -> float:
    """Give the share of cases that the gate refuses, by what luck comes to in a few of them."""
    few = np.linspace(0, len(changes) - 1, 4).astype(int)
    reach = np.mean([reach_of(changes[case], level=level, seed=seed) for case in few])
    return float(((changes.sum(2) / sizes(changes)).min(1) < -reach).mean())


def told_power(shares: Mapping[str, Mapping[float, float]], problems: int, n: int) -> list[str]:
    """Write for each metric which true losses are refused how often."""
    lines = []
    for metric, seen in shares.items():
        told = ", ".join(f"of {100 * loss:g} points in {share:.0%}" for loss, share in seen.items())
        told = f"a true loss is refused: {told} of cases" if seen else "no points to lose here"
        lines.append(f"dev {problems} x {n}, {metric.replace('pass', 'Pass')}: {told}")
    return lines
