"""Seeds and names derived from what they are for: nothing is drawn in order, so order is free."""

import hashlib
import json

# Below 2^63, so that a seed fits a signed 64-bit column and tensor.
BITS = 63


def _hash(parts: tuple[int | str, ...]) -> bytes:
    # JSON keeps 1 apart from "1", and ["ab"] from ["a", "b"].
    return hashlib.sha256(json.dumps(parts).encode()).digest()


def derive(*parts: int | str) -> int:
    """Derive a seed from the run's seed and what it is for."""
    return int.from_bytes(_hash(parts)[:8], "big") >> (64 - BITS)


def digest(*parts: int | str) -> str:
    """Name something by what it is made of: 16 hexadecimal digits."""
    return _hash(parts)[:8].hex()
