"""A row's statistics by sorting it whole in float64: slow, and beyond doubt."""

import numpy as np
import torch


def brute(logits: torch.Tensor, mass: float) -> list[tuple[float, float, int, float]]:
    """Compute each row in float64 by sorting it whole; the last is how close the border is."""
    rows = []
    for row in logits.float().double().numpy():
        top = row.max()
        normaliser = top + np.log(np.exp(row - top).sum())
        p = np.sort(np.exp(row - normaliser))[::-1]
        held = np.cumsum(p)
        count = int((held < mass).sum()) + 1
        near = np.abs(held - mass).min()
        rows.append((-(p[p > 0] * np.log(p[p > 0])).sum(), normaliser, count, near))
    return rows
