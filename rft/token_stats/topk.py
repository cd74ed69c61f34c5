"""Estimates of a rollout's statistics from the logprobs of the most probable tokens."""

import math
from collections.abc import Sequence
from typing import Any


class Unusable(Exception):
    """Why a rollout has no statistics."""


def estimates(
    choice: dict[str, Any], length: int, *, top: int, mass: float, vocabulary: int
) -> tuple[list[float], list[float], list[int]]:
    """Give logprobs, entropies and branching factors of the first tokens of a choice."""
    record, token_ids = choice.get("logprobs"), choice["token_ids"]
    if not isinstance(record, dict):
        raise Unusable("no logprobs")
    names = [f"token_id:{token}" for token in token_ids]
    if record.get("tokens") != names:
        # Two tokens of one text would share a key of the listing.
        raise Unusable("tokens named by text")
    chosen, listings = record.get("token_logprobs"), record.get("top_logprobs")
    if not (isinstance(chosen, list) and isinstance(listings, list)) or not (
        len(chosen) == len(listings) == len(token_ids)
    ):
        raise Unusable("lists of unequal length")
    if not all(map(_is_logprob, chosen)):
        raise Unusable("no logprob of a token")
    entropies, branching = [], []
    for listing in listings[:length]:
        listed = list(listing.values()) if isinstance(listing, dict) else []
        estimate = topk_statistics(listed, top=top, mass=mass, vocabulary=vocabulary)
        if estimate is None:
            raise Unusable("listings that are no top-k logprobs")
        entropies.append(estimate[0])
        branching.append(estimate[1])
    return [float(value) for value in chosen[:length]], entropies, branching


def topk_statistics(
    listed: Sequence[Any], *, top: int, mass: float, vocabulary: int
) -> tuple[float, int] | None:
    """Estimate entropy and branching factor from the logprobs of the `top` most probable tokens.

    Both are the least that any distribution with these probabilities can have: no other token is
    likelier than the last of the top, so the rest of the mass is taken to lie on as few tokens as
    that allows. They are exact where the top holds all mass (entropy) or the mass that is asked
    for (branching), and lower bounds otherwise; lumping the rest into one token, or stopping to
    count at `top` + 1, would be lower ones. The token drawn may be listed beside the top. None:
    not a distribution's, or fewer than asked for.
    """
    if not listed or not all(map(_is_logprob, listed)):
        return None
    logs = sorted(map(float, listed), reverse=True)
    probs = [math.exp(log) for log in logs]
    known = math.fsum(probs)
    if known > 1.001 or (len(probs) < top and known < 0.999):
        return None
    largest = probs[min(top, len(probs)) - 1]
    entropy = -math.fsum(p * log for p, log in zip(probs, logs, strict=True))
    entropy += _least_entropy(max(0.0, 1.0 - known), largest)
    reached = 0.0
    for count, p in enumerate(probs[:top], 1):
        reached += p
        if reached >= mass:
            return entropy, count
    if not largest:
        return entropy, min(top, len(probs))
    more = math.ceil(min((mass - reached) / largest, vocabulary) * (1 - 1e-6))
    return entropy, min(min(top, len(probs)) + max(more, 1), vocabulary)


def _least_entropy(rest: float, largest: float) -> float:
    """Give what a mass adds to the entropy on the fewest tokens, none above the largest."""
    if not rest:
        return 0.0
    if rest <= largest or not largest:
        return -rest * math.log(rest)
    whole = math.floor(rest / largest)
    remains = max(0.0, rest - whole * largest)
    spread = -whole * largest * math.log(largest)
    return spread - remains * math.log(remains) if remains else spread


def _is_logprob(value: Any) -> bool:
    # An engine's -inf is some -9999; a whole number of JSON may be beyond any float.
    return type(value) in (int, float) and -1e6 < value < 1e-3
