"""What a batch has drawn so far: a row for each text, a column for each token, with statistics."""

from collections.abc import Sequence
from typing import Any

import torch

from rft.engines import Finished, Request, Sampling
from rft.engines.gumbel import choose
from rft.prompt import Prompter
from rft.token_stats.exact import token_statistics


class Drawn:
    """Rows of tokens with their statistics, drawn by the seeds of those whose rows they are."""

    def __init__(self, rows: int, sampling: Sampling, stops: torch.Tensor):
        self.sampling, self.stops = sampling, stops
        steps = sampling.max_tokens
        self.seeds = torch.zeros(rows, dtype=torch.long, device=stops.device)
        self.tokens = torch.zeros(rows, steps, dtype=torch.int32)
        self.logprobs = torch.zeros(rows, steps)
        self.entropies = torch.zeros(rows, steps)
        self.branching = torch.zeros(rows, steps, dtype=torch.int32)
        self.lengths = torch.zeros(rows, dtype=torch.long, device=stops.device)
        self.stopped = torch.zeros(rows, dtype=torch.bool, device=stops.device)

    def begin(self, rows: torch.Tensor, requests: Sequence[Request]) -> None:
        """Give rows to requests."""
        seeds = [request.seed for request in requests]
        self.seeds[rows] = torch.tensor(seeds, device=self.seeds.device)
        self.lengths[rows], self.stopped[rows] = 0, False

    def draw(self, rows: torch.Tensor, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw a token for each of the rows; give them, and which rows have come to their end.

        The end token is not recorded.
        """
        at = self.lengths[rows]
        how = self.sampling
        chosen = choose(logits, self.seeds[rows], at, temperature=how.temperature, top_p=how.top_p)
        stopped = torch.isin(chosen, self.stops)
        self.stopped[rows] = stopped
        self._record(rows, at, chosen, logits, ~stopped)
        self.lengths[rows] = at + ~stopped
        return chosen, stopped | (at + 1 >= how.max_tokens)

    def _record(
        self,
        rows: torch.Tensor,
        at: torch.Tensor,
        chosen: torch.Tensor,
        logits: torch.Tensor,
        wanted: torch.Tensor,
    ) -> None:
        if not wanted.any():
            return
        place = rows[wanted].cpu(), at[wanted].cpu()
        self.tokens[place] = chosen[wanted].int().cpu()
        if not (self.sampling.entropy or self.sampling.branching):
            return
        entropy, logprob, branching = token_statistics(
            logits[wanted],
            chosen[wanted],
            mass=self.sampling.mass if self.sampling.branching else None,
        )
        self.logprobs[place] = logprob.cpu()
        self.entropies[place] = entropy.cpu()
        if branching is not None:
            self.branching[place] = branching.cpu()

    def finished(self, row: int, request: Request, prompter: Prompter) -> Finished:
        """Give a row as a finished rollout."""
        length = int(self.lengths[row])
        token_ids = self.tokens[row, :length].tolist()
        reason = "stop" if self.stopped[row] else "length"
        cut = prompter.before_stop(token_ids)
        if cut < length:
            length, token_ids, reason = cut, token_ids[:cut], "stop"
        return Finished(
            request=request,
            completion=prompter.decode(token_ids),
            finish_reason=reason,
            token_ids=token_ids,
            stats_origin="engine",
            seed=request.seed,
            **self._statistics(row, length),
        )

    def _statistics(self, row: int, length: int) -> dict[str, Any]:
        """Give one row's statistics, as far as they were asked for."""
        how = self.sampling
        asked = how.entropy or how.branching
        return {
            "logprobs": self.logprobs[row, :length].tolist() if asked else None,
            "entropies": self.entropies[row, :length].tolist() if how.entropy else None,
            "branching": self.branching[row, :length].tolist() if how.branching else None,
        }
