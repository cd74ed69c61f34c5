"""What happened in each step of online training: one row of the table `dynamics` a step."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rft.exploration.plugin import Batch
from rft.runs.atomic import atomic_text
from rft.runs.plain_files import open_to_append

if TYPE_CHECKING:
    from torch import Tensor

# Parts of the row that TRL logs with each optimizer step, averaged over those of a step.
LOGGED = {
    "loss": "loss",
    "grad_norm": "grad_norm",
    "learning_rate": "learning_rate",
    "clip_ratio/low_mean": "clip_low",
    "clip_ratio/high_mean": "clip_high",
    "kl": "kl",
    # Of the trainer's probability of a token to vLLM's, as TRL bounds it.
    "sampling/importance_sampling_ratio/mean": "vllm_ratio",
    "sampling/importance_sampling_ratio/max": "vllm_ratio_max",
    "completions/clipped_ratio": "cut",
}

# Parts of the row that TRL does not log, for whoever tracks the training.
TRACKED = (
    "correct",
    "unverified",
    "pass_at_k",
    "without_signal",
    "entropy_correct",
    "entropy_wrong",
    "sign_flips",
    "revived",
    "largest_ratio",
    "vllm_effective",
)


class Dynamics:
    """Collect a step as it happens; sums stay on the device until the step is over."""

    def __init__(self, accelerator: Any, journal: Path):
        self.accelerator, self.journal = accelerator, journal
        self.rows: list[dict[str, Any]] = []
        self.began = 0.0
        self._clear()

    def start(self) -> None:
        """Count the time of the first step from here."""
        self.began = time.monotonic()

    def take_over(self, rows: list[dict[str, Any]]) -> None:
        """Go on after the rows of an earlier attempt; what it did after them is done again."""
        self.rows = rows
        if self.accelerator.is_main_process:
            atomic_text(self.journal, "".join(json.dumps(row) + "\n" for row in rows))

    def _clear(self) -> None:
        self._row: dict[str, Any] = {}
        self._sums: Tensor | None = None
        self._largest: Tensor | None = None
        self._touched: dict[str, Tensor] = {}
        self._logs: list[dict[str, float]] = []

    def begin(self, batch: Batch, lengths: "Tensor", advantages: "Tensor") -> None:
        """Note the rollouts of a step, all processes together, and their plain advantages."""
        correct = batch.correct.view(-1, batch.n)
        known = ~correct.isnan().all(1)
        # A group counts as solved when any of its answers is known to be right.
        solved = (correct == 1).any(1)[known].float()
        groups = advantages.view(-1, batch.n)
        self._row = {
            "reward": number(batch.rewards.nanmean()),
            "correct": number(batch.correct.nanmean()),
            "unverified": int(batch.correct.isnan().sum()),
            "k": batch.n,
            "pass_at_k": number(solved.mean()),
            "without_signal": number((groups == 0).all(1).float().mean()),
            "response_length": number(lengths.mean()),
            "tokens": int(lengths.sum()),
            "vllm_effective": None,
            "rollout_seconds": round(time.monotonic() - self.began, 3),
        }

    def correct(self, ratios: "Tensor", mask: "Tensor") -> None:
        """Note what share of as many tokens of the policy's own drawing these are worth.

        That is (sum w)^2 / (n sum w^2) over the ratios w, of tokens or of whole answers.
        """
        import torch

        weights = ratios * mask
        sums = torch.stack([weights.sum(), weights.square().sum(), mask.sum()]).double()
        total, squares, count = self.accelerator.reduce(sums, reduction="sum").tolist()
        self._row["vllm_effective"] = ratio(total**2, count * squares)

    def touch(self, plugin: str, changed: "Tensor", mask: "Tensor") -> None:
        """Note the tokens that a plug-in changed."""
        import torch

        counts = torch.stack([(changed * mask).sum(), mask.sum()]).double()
        before = self._touched.get(plugin)
        self._touched[plugin] = counts if before is None else before + counts

    def learn(
        self,
        mask: "Tensor",
        entropies: "Tensor",
        advantages: "Tensor",
        plain: "Tensor",
        correct: "Tensor",
    ) -> None:
        """Note a micro-batch as the loss sees it: (B, T), and plain (B, 1), correct (B,)."""
        import torch

        right, wrong = (mask * (correct == value).unsqueeze(1) for value in (1, 0))
        shown = advantages * mask
        # A token without advantage has no sign to lose, and no ratio.
        has = (plain != 0) * mask
        sums = torch.stack(
            [
                mask.sum(),
                (entropies * mask).sum(),
                right.sum(),
                (entropies * right).sum(),
                wrong.sum(),
                (entropies * wrong).sum(),
                (shown * plain < 0).sum(),
                ((plain == 0) & (shown != 0)).sum(),
                has.sum(),
            ]
        ).double()
        self._sums = sums if self._sums is None else self._sums + sums
        ratios = shown.abs() / plain.abs().where(plain != 0, torch.inf)
        largest = ratios.max().double()
        self._largest = largest if self._largest is None else self._largest.maximum(largest)

    def of_the_step(self) -> dict[str, float]:
        """Finish what is summed up of the step, and give what TRL does not log itself."""
        import torch

        assert self._sums is not None, "nothing was learnt from"
        assert self._largest is not None
        names = list(self._touched)
        parts = [self._sums, *(self._touched[name] for name in names)]
        total = self.accelerator.reduce(torch.cat(parts), reduction="sum").tolist()
        largest = self.accelerator.gather(self._largest.reshape(1)).max()
        tokens, all_, right, of_right, wrong, of_wrong, flips, revived, has = total[:9]
        self._row |= {
            "entropy": ratio(all_, tokens),
            "entropy_correct": ratio(of_right, right),
            "entropy_wrong": ratio(of_wrong, wrong),
            "sign_flips": int(flips),
            "revived": int(revived),
            "largest_ratio": float(largest) if has else None,
            "touched": [
                {"plugin": name, "share": ratio(total[9 + 2 * i], total[10 + 2 * i])}
                for i, name in enumerate(names)
            ],
        }
        tracked = {f"rft/{name}": self._row[name] for name in TRACKED}
        tracked |= {f"rft/touched/{each['plugin']}": each["share"] for each in self._row["touched"]}
        return {name: float(value) for name, value in tracked.items() if value is not None}

    def update(self, logs: dict[str, float]) -> None:
        """Note what TRL logged of an optimizer step."""
        self._logs.append(logs)

    def end(self, step: int) -> dict[str, Any]:
        """Finish the row of a step."""
        row = {"step": step, **self._row}
        for name, ours in LOGGED.items():
            values = [float(each[name]) for each in self._logs if each.get(name) is not None]
            row[ours] = sum(values) / len(values) if values else None
        row["seconds"] = round(time.monotonic() - self.began, 3)
        self.rows.append(row)
        if self.accelerator.is_main_process:
            with open_to_append(self.journal) as file:
                file.write(f"{json.dumps(row)}\n".encode())
        self._clear()
        self.began = time.monotonic()
        return row


def number(value: "Tensor") -> float | None:
    """Give a mean as a number; None where it is over nothing."""
    mean = float(value)
    return None if mean != mean else mean


def ratio(part: float, whole: float) -> float | None:
    """Divide; None where there is nothing to divide by."""
    return part / whole if whole else None
