"""A verifier: quantities with units of chemistry, converted before they are compared.

`math` converts nothing: 500 mL is not 0.5 L to it. Here both sides become a number in base units
and a dimension: `2.5 M`, `2500 mmol/L` and `2.5 mol dm^{-3}` are one, `2.5 mol` is another.
"""

import re

# Unit -> its size in base units, and its dimension: powers of gram, mole, metre, second, kelvin.
UNITS = {
    "g": (1.0, (1, 0, 0, 0, 0)),
    "mol": (1.0, (0, 1, 0, 0, 0)),
    "m": (1.0, (0, 0, 1, 0, 0)),
    "s": (1.0, (0, 0, 0, 1, 0)),
    "K": (1.0, (0, 0, 0, 0, 1)),
    "L": (1e-3, (0, 0, 3, 0, 0)),
    "M": (1e3, (0, 1, -3, 0, 0)),
    "J": (1e3, (1, 0, 2, -2, 0)),
    "cal": (4184.0, (1, 0, 2, -2, 0)),
    "Pa": (1e3, (1, 0, -1, -2, 0)),
    "atm": (101_325e3, (1, 0, -1, -2, 0)),
    "bar": (1e8, (1, 0, -1, -2, 0)),
    "min": (60.0, (0, 0, 0, 1, 0)),
    "h": (3600.0, (0, 0, 0, 1, 0)),
    "": (1.0, (0, 0, 0, 0, 0)),
}
PREFIXES = {"k": 1e3, "d": 1e-1, "c": 1e-2, "m": 1e-3, "u": 1e-6, "n": 1e-9}
NUMBER = re.compile(r"([+-]?\d{1,30}(?:\.\d{0,30})?)(?:(?:e|\*10\^)\{?([+-]?\d{1,3})\}?)?")
FACTOR = re.compile(r"([A-Za-z]{1,6})(?:\^?\{?([+-]?\d)\}?)?")

Quantity = tuple[float, tuple[int, ...]]


def read(text: str) -> Quantity | None:
    """Read a quantity: its value in base units, and its dimension; None if it is none."""
    text = re.sub(r"\\(?:text|mathrm|rm)\s*|[{}]|\\[,;: ]|\$|~", " ", text)
    text = text.replace("\\times", "*").replace("\\cdot", " ").replace("\u00d7", "*")
    text = text.replace("\u00b5", "u").replace("\\mu", "u").replace("\u00b7", " ")
    text = re.sub(r"\s*\^\s*", "^", text.strip())
    text = re.sub(r"\s*\*\s*10\^", "*10^", text)
    match = NUMBER.match(text)
    if match is None:
        return None
    value = float(match[1]) * 10.0 ** int(match[2] or 0)
    over, *under = re.split(r"/|\bper\b", text[match.end() :])
    whole = [(part, 1) for part in over.split()]
    whole += [(part, -1) for each in under for part in each.split()]
    dimension = [0, 0, 0, 0, 0]
    for part, sign in whole:
        factor = FACTOR.fullmatch(part)
        unit = size_of(factor[1]) if factor else None
        if factor is None or unit is None:
            return None
        power = sign * int(factor[2] or 1)
        value *= unit[0] ** power
        dimension = [old + power * new for old, new in zip(dimension, unit[1], strict=True)]
    return value, tuple(dimension)


def size_of(unit: str) -> Quantity | None:
    """Look a unit up, with or without a prefix."""
    if unit in UNITS:
        return UNITS[unit]
    if unit[0] in PREFIXES and unit[1:] in UNITS and unit[1:]:
        size, dimension = UNITS[unit[1:]]
        return PREFIXES[unit[0]] * size, dimension
    return None


def chemistry(gold: str, answer: str, *, within: float = 0.01) -> bool | None:
    """Quantities of one dimension that differ by no more than a share of the gold."""
    wanted, given = read(gold), read(answer)
    if wanted is None:
        return False  # a gold that is not right for itself is set aside
    if given is None:
        return None
    return wanted[1] == given[1] and abs(wanted[0] - given[0]) <= within * abs(wanted[0])


VERIFIERS = {"chemistry": chemistry}

EXAMPLES = {
    "chemistry": [
        ("2.5 mol/L", "2.5 M", True),
        ("2.5 mol/L", r"2500\ \text{mmol/L}", True),
        ("2.5 mol/L", r"2.5\,\mathrm{mol}\,\mathrm{dm}^{-3}", True),
        ("2.5 mol/L", "2.5 mol", False),
        ("18.0 g/mol", "0.018 kg/mol", True),
        ("18.0 g/mol", "20 g/mol", False),
        ("6.02*10^{23}", r"6.022 \times 10^{23}", True),
        ("101.3 kPa", "1 atm", True),
        ("101.3 kPa", "quite a lot", None),
        ("12", "12", True),
    ]
}
