"""One completion: what is asked of a server, and what its answer comes to."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from rft.engines import Finished, Request, Sampling
from rft.engines.endpoint import Failed, Refused
from rft.foreign_text import holds_secret, short
from rft.prompt import Prompter
from rft.token_stats.topk import Unusable, estimates


class Completions:
    """How completions are asked for and read, once it is known what the server understands."""

    def __init__(self, prompter: Prompter, served: str, *, top_logprobs: int):
        self.prompter, self.served, self.top_logprobs = prompter, served, top_logprobs
        self.vocabulary = len(prompter.tokenizer)
        self.beyond_standard = True
        """Whether the server hears of what vLLM has beyond the API."""
        self.raw = True
        """Whether logprobs are those of temperature 1, whatever is sampled at."""
        self.cut_short = 0
        self.without_statistics: Counter[str] = Counter()

    def _ours(self, sampling: Sampling) -> bool:
        """Say whether the server's logprobs are the policy's own, which statistics are of."""
        return self.raw or sampling.temperature == sampling.top_p == 1

    def _top(self, sampling: Sampling) -> int:
        return self.top_logprobs if _asked(sampling) and self._ours(sampling) else 0

    def body(self, prompt_ids: Sequence[int], seed: int, sampling: Sampling) -> dict[str, Any]:
        """Write a request for one completion."""
        body: dict[str, Any] = {
            "model": self.served,
            "prompt": list(prompt_ids),
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
            "n": 1,
            "seed": seed,
            "stop": [*self.prompter.settings.stop, self.prompter.end],
        }
        if top := self._top(sampling):
            body["logprobs"] = top
        if self.beyond_standard:
            body["extra_body"] = {
                "return_token_ids": True,
                "return_tokens_as_token_ids": True,
                "stop_token_ids": sorted(self.prompter.stop_ids()),
                "skip_special_tokens": False,
                "spaces_between_special_tokens": False,
                # vLLM would take these from the model's generation_config.
                "top_k": -1,
                "min_p": 0.0,
                "repetition_penalty": 1.0,
            }
        return body

    def most(self, prompt_ids: Sequence[int], sampling: Sampling) -> int:
        """Bound the bytes of an honest answer, generously."""
        each = 256 + 96 * (self._top(sampling) + 1)
        return int(2**20 + 16 * len(prompt_ids) + each * sampling.max_tokens)

    def choice(self, answer: Any, sampling: Sampling) -> dict[str, Any]:
        """Check the one choice of an answer, as far as a rollout depends on it."""
        choices = answer.get("choices") if isinstance(answer, dict) else None
        if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
            raise Failed("no choice", broken=True)
        choice: dict[str, Any] = choices[0]
        reason = choice.get("finish_reason")
        if reason == "content_filter":
            raise Refused(f"finish_reason {reason}", "the server withholds the answer")
        if reason not in ("stop", "length"):
            raise Failed("no finish_reason of the API", short(f"{reason}", 20), broken=True)
        token_ids = choice.get("token_ids")
        if token_ids is None:
            if not isinstance(choice.get("text"), str):
                raise Failed("no text", broken=True)
            number = count_of(answer, "completion_tokens") or 0
        else:
            if not isinstance(token_ids, list) or not all(
                type(token) is int and 0 <= token < self.vocabulary for token in token_ids
            ):
                raise Failed("tokens that the model does not have", broken=True)
            number = len(token_ids)
        if number > sampling.max_tokens:
            raise Failed("more tokens than asked for", broken=True)
        return choice

    def finished(self, request: Request, sampling: Sampling, answer: Any) -> Finished:
        """Read an answer as a rollout: by its tokens where they are told, else as text."""
        choice = self.choice(answer, sampling)
        token_ids = choice.get("token_ids")
        number = count_of(answer, "completion_tokens") if token_ids is None else len(token_ids)
        if choice["finish_reason"] == "length" and number is not None:
            self.cut_short += number < sampling.max_tokens  # by a limit of the server's own
        if token_ids is None:
            finished = self._of_text(request, sampling, choice, number)
        else:
            finished = self._of_tokens(request, sampling, choice)
        if holds_secret(finished.completion):  # it would be exported with all the others
            raise Failed("the key in an answer", broken=True)
        return finished

    def _of_text(
        self, request: Request, sampling: Sampling, choice: dict[str, Any], number: int | None
    ) -> Finished:
        """Cut a text at the first stop in it; statistics need tokens."""
        if _asked(sampling):
            self.without_statistics["no token ids"] += 1
        # Half a surrogate pair is JSON, and no text that a table can hold.
        text = choice["text"].encode("utf-8", "replace").decode()
        places = [text.find(stop) for stop in (*self.prompter.settings.stop, self.prompter.end)]
        cut = min((place for place in places if place >= 0), default=None)
        reason = choice["finish_reason"] if cut is None else "stop"
        return without_tokens(request, text[:cut], reason, number)

    def _of_tokens(self, request: Request, sampling: Sampling, choice: dict[str, Any]) -> Finished:
        """Cut tokens at the first end among them, and give them their statistics."""
        token_ids = choice["token_ids"]
        ends = self.prompter.stop_ids()
        length = next((i for i, token in enumerate(token_ids) if token in ends), len(token_ids))
        # A server may know an end of its own; it tells, and the token is the last.
        own = choice.get("stop_reason")
        if type(own) is int and length and length == len(token_ids) and token_ids[-1] == own:
            length -= 1
        length = self.prompter.before_stop(token_ids[:length])
        statistics = self._statistics(choice, length, sampling)
        kept = token_ids[:length]
        return Finished(
            request=request,
            completion=self.prompter.decode(kept),
            finish_reason=choice["finish_reason"] if length == len(token_ids) else "stop",
            token_ids=kept,
            logprobs=statistics and statistics[0],
            entropies=statistics[1] if statistics and sampling.entropy else None,
            branching=statistics[2] if statistics and sampling.branching else None,
            stats_origin="topk" if statistics else None,
            seed=request.seed,
            num_tokens=length,
        )

    def _statistics(
        self, choice: dict[str, Any], length: int, sampling: Sampling
    ) -> tuple[list[float], list[float], list[int]] | None:
        """Estimate the statistics of a rollout's first tokens, or count why that cannot be."""
        if not _asked(sampling):
            return None
        try:
            if not self._ours(sampling):
                raise Unusable("logprobs that are not the policy's")
            return estimates(
                choice,
                length,
                top=self.top_logprobs,
                mass=sampling.mass,
                vocabulary=self.vocabulary,
            )
        except Unusable as reason:
            self.without_statistics[str(reason)] += 1
            return None


def without_tokens(request: Request, text: str, reason: str, number: int | None) -> Finished:
    """Give a rollout of which no tokens are known."""
    nothing: dict[str, None] = dict.fromkeys(
        ("token_ids", "logprobs", "entropies", "branching", "stats_origin")
    )
    return Finished(request, text, reason, **nothing, seed=request.seed, num_tokens=number)


def _asked(sampling: Sampling) -> bool:
    return sampling.entropy or sampling.branching


def count_of(answer: Any, name: str) -> int | None:
    """Read one of the counts of tokens that a server tells."""
    usage = answer.get("usage")
    number = usage.get(name) if isinstance(usage, dict) else None
    return number if type(number) is int and 0 <= number < 2**31 else None
