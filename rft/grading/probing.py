r"""A second opinion on equality: a small reader of our own, and numbers at random points.

It shares nothing with math-verify, neither grammar nor algebra: two expressions are equal if they
come to the same numbers wherever they are tried. What it cannot read it says so of. Nothing of what
a model wrote is ever evaluated as code.
"""

import cmath
import math
import random
import re
from collections.abc import Callable, Mapping

POINTS = 5
# Six digits that count, as a rounded decimal has them.
CLOSE = 5e-6
LONGEST = 400
DEEPEST = 40

_TOKENS = re.compile(
    r"\s*(?:(?P<number>[0-9]+(?:,[0-9]{3})*(?:\.[0-9]*)?|\.[0-9]+)"
    r"|(?P<command>\\[A-Za-z]+|\\[{}%$])|(?P<letter>[A-Za-z])|(?P<sign>[-+*/^_(){}\[\]|=!%]))",
    re.ASCII,
)
_SPACED = re.compile(r"\\(?:left|right|big|Big|displaystyle|quad)(?![A-Za-z])|\\[,;:! ]|~|\$")
_FUNCTIONS: Mapping[str, Callable[[complex], complex]] = {
    r"\sin": cmath.sin,
    r"\cos": cmath.cos,
    r"\tan": cmath.tan,
    r"\cot": lambda x: 1 / cmath.tan(x),
    r"\sec": lambda x: 1 / cmath.cos(x),
    r"\csc": lambda x: 1 / cmath.sin(x),
    r"\arcsin": cmath.asin,
    r"\arccos": cmath.acos,
    r"\arctan": cmath.atan,
    r"\sinh": cmath.sinh,
    r"\cosh": cmath.cosh,
    r"\tanh": cmath.tanh,
    r"\ln": cmath.log,
    r"\exp": cmath.exp,
}
_FRACTIONS = (r"\frac", r"\dfrac", r"\tfrac")
_TIMES, _OVER = ("*", r"\times", r"\cdot"), ("/", r"\div")
_GREEK = {
    *(r"\alpha", r"\beta", r"\gamma", r"\delta", r"\epsilon", r"\theta", r"\lambda", r"\mu"),
    *(r"\nu", r"\rho", r"\sigma", r"\tau", r"\phi", r"\omega"),
}
_CONSTANTS = {r"\pi": complex(math.pi), "e": complex(math.e), "i": 1j}


class Unread(Exception):
    """What is there is not in this small grammar."""


def same(gold: str, answer: str) -> bool | None:
    """Tell whether two answers are equal; None where one of them cannot be read."""
    try:
        return _same(_plain(gold), _plain(answer))
    except (Unread, ArithmeticError, ValueError, RecursionError):
        return None


def _plain(text: str) -> str:
    text = _SPACED.sub(" ", text).strip().rstrip(".").strip()
    if len(text) > LONGEST:
        raise Unread
    return text


def _same(gold: str, answer: str) -> bool:
    inside = [_enclosed(text) for text in (gold, answer)]
    lists = [_items(text) for _, text in inside]
    if len(lists[0]) == len(lists[1]) == 1:
        return _equal(_value_side(gold, answer), _value_side(answer, gold))
    kinds = {kind for kind, _ in inside}
    if {"(", "{"} <= kinds or len(lists[0]) != len(lists[1]):
        return False
    if kinds == {"("} or "[" in kinds:
        if "[" in kinds and kinds != {"["}:
            raise Unread
        return all(_equal(one, other) for one, other in zip(*lists, strict=True))
    left = list(lists[1])
    for one in lists[0]:
        match = next((other for other in left if _equal(one, other)), None)
        if match is None:
            return False
        left.remove(match)
    return True


def _enclosed(text: str) -> tuple[str, str]:
    """Part a text from the brackets around all of it, if there are any."""
    for opened, closed, kind in (("(", ")", "("), (r"\{", r"\}", "{"), ("[", "]", "[")):
        inside = text[len(opened) : -len(closed)]
        if text.startswith(opened) and text.endswith(closed) and len(_items(inside)) > 1:
            return kind, inside
    return "", text


def _items(text: str) -> list[str]:
    """Split at the commas that are in no bracket, and stand for no thousand."""
    depth, parts, begin = 0, [], 0
    for place, sign in enumerate(text):
        depth += (sign in "([{") - (sign in ")]}")
        thousand = re.match(r"[0-9],[0-9]{3}(?![0-9])", text[max(place - 1, 0) : place + 5])
        if sign == "," and depth == 0 and not thousand:
            parts.append(text[begin:place])
            begin = place + 1
    return [*parts, text[begin:]]


def _value_side(text: str, other: str) -> str:
    """Take what `x = ...` says of x, where the other side only says what."""
    name, equals, value = text.partition("=")
    if equals and "=" not in other and re.fullmatch(r"\s*(?:\\?[A-Za-z]+)(?:_\S+)?\s*", name):
        return value
    return text


def _equal(gold: str, answer: str) -> bool:
    source = random.Random(0)
    for _ in range(POINTS):
        # Positive, apart, and no round numbers: roots and logarithms stay on one branch.
        names: dict[str, complex] = {}

        def value_of(name: str, names: dict[str, complex] = names) -> complex:
            return names.setdefault(name, complex(source.uniform(0.3, 2.7)))

        one, other = (_Reader(text, value_of).whole() for text in sorted((gold, answer)))
        if not (cmath.isfinite(one) and cmath.isfinite(other)):
            raise Unread
        if abs(one - other) > CLOSE * max(abs(one), abs(other)):
            return False
    return True


class _Reader:
    """Reads an expression by descent, and evaluates it on the way."""

    def __init__(self, text: str, value_of: Callable[[str], complex]) -> None:
        self.value_of = value_of
        self.tokens: list[str] = []
        self.depth = 0
        place = 0
        text = text.strip()
        while place < len(text):
            match = _TOKENS.match(text, place)
            if match is None:
                raise Unread
            self.tokens.append(match[0].strip())
            place = match.end()
        self.place = 0

    def whole(self) -> complex:
        value = self.sum()
        if self.place != len(self.tokens):
            raise Unread
        return value

    def next(self) -> str:
        return self.tokens[self.place] if self.place < len(self.tokens) else ""

    def take(self, wanted: str = "") -> str:
        token = self.next()
        if not token or (wanted and token != wanted):
            raise Unread
        self.place += 1
        return token

    def sum(self) -> complex:
        self.depth += 1
        if self.depth > DEEPEST:
            raise Unread
        value = self.product()
        while self.next() in ("+", "-"):
            value = value + self.product() if self.take() == "+" else value - self.product()
        self.depth -= 1
        return value

    def product(self) -> complex:
        value = self.signed()
        while True:
            if self.next() in _TIMES:
                self.take()
                value *= self.signed()
            elif self.next() in _OVER:
                self.take()
                value /= self.signed()
            elif self.begins():
                value *= self.power()
            else:
                return value

    def begins(self) -> bool:
        """Tell whether a factor without a sign in between comes next; a number never does."""
        token = self.next()
        return (
            token in ("(", "{", r"\sqrt", r"\pi")
            or token in _FRACTIONS
            or token in _FUNCTIONS
            or token in _GREEK
            or token.isalpha()
        )

    def signed(self) -> complex:
        if self.next() in ("-", "+"):
            return -self.signed() if self.take() == "-" else self.signed()
        return self.power()

    def power(self) -> complex:
        base = self.atom()
        if self.next() == "^":
            self.take()
            # Only one token without braces: x^23 is x^2 times 3.
            exponent = self.group() if self.next() == "{" else self.signed()
            if abs(exponent) > 400:
                raise Unread
            base = base**exponent
        if self.next() in ("%", r"\%"):
            self.take()
            base /= 100
        if self.next() == "!":
            self.take()
            if base.imag or not 0 <= base.real <= 100 or base.real != int(base.real):
                raise Unread
            base = complex(math.factorial(int(base.real)))
        return base

    def group(self) -> complex:
        self.take("{")
        value = self.sum()
        self.take("}")
        return value

    def argument(self) -> complex:
        """Read what a command applies to: a group, or one digit or letter."""
        if self.next() == "{":
            return self.group()
        token = self.next()
        if len(token) > 1 and token.isdigit():
            self.tokens[self.place : self.place + 1] = [token[0], token[1:]]
        return self.atom()

    def atom(self) -> complex:
        token = self.next()
        if token[:1].isdigit() or token[:1] == ".":
            return self.number()
        if token == "(":
            self.take()
            value = self.sum()
            self.take(")")
            return value
        if token == "{":
            return self.group()
        self.take()
        if token in _FRACTIONS:
            above = self.argument()
            return above / self.argument()
        if token == r"\sqrt":
            return self.root()
        if token in _FUNCTIONS:
            return self.function(token)
        if token in _CONSTANTS:
            return _CONSTANTS[token]
        if token.isalpha() or token in _GREEK:
            return self.value_of(token + self.subscript())
        raise Unread

    def number(self) -> complex:
        token = self.take()
        value = complex(float(token.replace(",", "")))
        # A whole number before a fraction is a mixed one: 2\frac{1}{2}.
        return value + self.atom() if token.isdigit() and self.next() in _FRACTIONS else value

    def root(self) -> complex:
        degree = 2 + 0j
        if self.next() == "[":
            self.take()
            degree = self.sum()
            self.take("]")
        return self.argument() ** (1 / degree)

    def function(self, token: str) -> complex:
        exponent = None
        if self.next() == "^":
            self.take()
            exponent = self.group() if self.next() == "{" else self.atom()
            if exponent == -1:
                raise Unread  # an inverse to some, a reciprocal to others
        value = _FUNCTIONS[token](self.power() if self.next() in ("(", "{") else self.product())
        return value if exponent is None else value**exponent

    def subscript(self) -> str:
        if self.next() != "_":
            return ""
        self.take()
        if self.next() != "{":
            return f"_{self.take()}"
        end = self.tokens.index("}", self.place) if "}" in self.tokens[self.place :] else -1
        if end < 0:
            raise Unread
        name = "".join(self.tokens[self.place + 1 : end])
        self.place = end + 1
        return f"_{name}"
