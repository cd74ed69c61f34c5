"""Seeds and names derived from what they are for: nothing is drawn in order, so order is free."""

import hashlib
import json
from collections.abc import Iterable
from json.encoder import encode_basestring_ascii

# Below 2^63, so that a seed fits a signed 64-bit column and tensor.
BITS = 63


def _hash(parts: tuple[int | str, ...]) -> bytes:
    # JSON keeps 1 apart from "1", and ["ab"] from ["a", "b"].
    return hashlib.sha256(json.dumps(parts).encode()).digest()


def derive(*parts: int | str) -> int:
    """Derive a seed from the run's seed and what it is for."""
    return int.from_bytes(_hash(parts)[:8], "big") >> (64 - BITS)


def derive_each(*parts: int | str, names: Iterable[str]) -> list[int]:
    """Derive a seed for each of many names, the last of its parts."""
    begun = hashlib.sha256((json.dumps(parts)[:-1] + ", ").encode())
    seeds = []
    for name in names:
        whole = begun.copy()
        whole.update((encode_basestring_ascii(name) + "]").encode())
        seeds.append(int.from_bytes(whole.digest()[:8], "big") >> (64 - BITS))
    return seeds


def digest(*parts: int | str) -> str:
    """Name something by what it is made of: 16 hexadecimal digits."""
    return _hash(parts)[:8].hex()
