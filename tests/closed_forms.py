"""Sums drawn at random, as people and models write them, and the same sums spelled otherwise."""

import random

from rft.grading.closed_forms import closed_form


def drawn(source: random.Random) -> str:
    """Draw a sum that can be read, of at most 60 letters."""
    while True:
        text = _sum(source, source.choice([0, 1, 1, 2]))
        if len(text) < 60 and closed_form(text) is not None:
            return text


def spelled(text: str) -> str:
    """Write a sum term by term, with its roots simplified."""
    terms = []
    for (root, powers), factor in closed_form(text) or ():
        above, below = abs(factor.numerator), factor.denominator
        term = str(above) if below == 1 else rf"\frac{{{above}}}{{{below}}}"
        term += rf"\cdot \sqrt{{{root}}}" if root > 1 else ""
        for name, power in powers:
            if power > 0:
                term += rf" \cdot {name}^{{{power}}}"
            else:
                term = rf"\frac{{{term}}}{{{name}^{{{-power}}}}}"
        terms.append(("-" if factor < 0 else "+") + term)
    return "".join(terms).removeprefix("+") or "0"


def _number(source: random.Random) -> str:
    return str(source.choice([source.randint(0, 12), source.randint(1, 200)]))


def _factor(source: random.Random, depth: int) -> str:
    kind = source.random()
    if depth <= 0 or kind < 0.3:
        return _number(source)
    if kind < 0.4:
        return r"\pi"
    if kind < 0.6:
        return source.choice("xyabnXABCNOSQ") + source.choice(["", "", "^2", "^{3}"])
    if kind < 0.72:
        return rf"\sqrt{{{source.choice([_number(source), _sum(source, 0)])}}}"
    if kind < 0.86:
        name = source.choice(["frac", "frac", "dfrac", "tfrac"])
        return rf"\{name}{{{_sum(source, depth - 1)}}}{{{_number(source)}}}"
    if kind < 0.93:
        return f"({_sum(source, depth - 1)})"
    base = source.choice([_number(source), f"({_sum(source, depth - 1)})"])
    return base + source.choice(["^2", "^3", "^{2}", "^{-1}", "^0"])


def _product(source: random.Random, depth: int) -> str:
    text = _factor(source, depth)
    for _ in range(source.choice([0, 0, 0, 1, 1, 2])):
        text += source.choice(["", "", " ", r" \cdot ", r"\times ", "/", "*"])
        text += _factor(source, depth)
    return text


def _sum(source: random.Random, depth: int) -> str:
    text = source.choice(["", "", "", "-"]) + _product(source, depth)
    for _ in range(source.choice([0, 0, 0, 1, 1, 2])):
        text += source.choice(["+", "-", " + ", " - "]) + _product(source, depth)
    return text
