r"""Sums that are read exactly, without a computer algebra system: `\frac{3\sqrt{2}}{4}`, `2x(x-1)`.

A closed form is a sum of rational numbers times square roots times powers of pi and of variables.
It has one spelling alone once each root is of a number without a square in it, so that two of them
are equal only if they are written alike. What may be meant otherwise than it is read is not read.
"""

import re
from collections import Counter
from collections.abc import Iterator
from decimal import Context, Decimal
from fractions import Fraction
from functools import lru_cache

# Of each term the number under its root, and the powers of pi and of variables in the order of
# their names -> the rational number before them.
Powers = tuple[tuple[str, int], ...]
Sum = dict[tuple[int, Powers], Fraction]
Terms = tuple[tuple[tuple[int, Powers], Fraction], ...]

# Beyond these a number is left to who has more time.
_LONGEST, _MOST_DIGITS, _MOST_TERMS, _HIGHEST_POWER, _LARGEST_ROOT = 200, 15, 24, 12, 10**6
_TOKEN = re.compile(
    r"\s*(?:([0-9]+(?:\.[0-9]+)?|\.[0-9]+)|(\\hat\{[A-Za-z]\}|\\[A-Za-z]+|\\[,;:! ])"
    r"|([-+*/^(){}A-Za-z]))",
    re.ASCII,
)
# Neither e, i nor the d of a differential is a variable, and a word is no product.
_VARIABLE = re.compile(
    r"[a-cf-hj-zA-DF-HJ-Z]|\\hat\{[A-Za-z]\}|\\(?:alpha|beta|theta|phi|lambda|mu|rho|sigma|omega)"
)
_WORD = re.compile(r"(?<!\\)(?<![A-Za-z])[A-Za-z]{3,}")
_ONE: Powers = ()
_IGNORED = {r"\left", r"\right", r"\,", r"\;", r"\:", r"\!", r"\ "}
_EXACT = Context(prec=60)
_PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")


class _Unread(Exception):
    """Ends the reading of a text that is no closed form."""


@lru_cache(maxsize=4096)
def closed_form(text: str) -> Terms | None:
    """Read a sum exactly, as its sorted terms; None where it is none, or may be meant otherwise."""
    if len(text) > _LONGEST or _WORD.search(text) or text.strip(" (){}").isalpha():
        return None  # a letter by itself is a choice, as likely as a variable
    try:
        tokens = [*_tokens(text)]
        if any("." in token for token in tokens) and len(tokens) > 1 + (tokens[0] == "-"):
            return None  # a decimal within a formula is rounded by some, and exact to others
        reader = _Reader(tokens)
        total = reader.sum()
        reader.expect(None)
        if not total and len(tokens) > 1:
            return None  # `-(7-7)^3` is not zero to all
    except (_Unread, RecursionError):
        return None
    return tuple(sorted(total.items()))


def value(terms: Terms) -> Decimal | None:
    """Give a number's value to 50 digits and more; None of what has variables."""
    total = Decimal(0)
    for (root, powers), factor in terms:
        part = _EXACT.divide(Decimal(factor.numerator), Decimal(factor.denominator))
        part = _EXACT.multiply(part, _EXACT.sqrt(Decimal(root)))
        for name, power in powers:
            if name != r"\pi":
                return None
            for _ in range(abs(power)):
                part = (_EXACT.multiply if power > 0 else _EXACT.divide)(part, _PI)
        total = _EXACT.add(total, part)
    return total


def without_case(terms: Terms) -> Terms:
    """Take capitals for small letters: most read `X^2` as `x^2`, but not everywhere."""
    total: Sum = {}
    for (root, powers), factor in terms:
        small = Counter[str]()
        for name, power in powers:
            small[name.lower()] += power
        total = _plus(total, {(root, tuple(sorted(small.items()))): factor})
    return tuple(sorted(total.items()))


def _tokens(text: str) -> Iterator[str]:
    at, text = 0, text.strip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise _Unread
        at = match.end()
        number, command, sign = match.groups()
        if number and (len(number) > _MOST_DIGITS or re.match("0[0-9]", number)):
            raise _Unread
        if command not in _IGNORED:
            yield number or command or sign


class _Reader:
    """Reads a sum, token by token."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens, self.at = tokens, 0

    @property
    def next(self) -> str | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def take(self) -> str:
        if self.next is None:
            raise _Unread
        self.at += 1
        return self.tokens[self.at - 1]

    def expect(self, token: str | None) -> None:
        if self.next != token:
            raise _Unread
        self.at += 1

    def sum(self) -> Sum:
        total: Sum = {}
        sign = 1
        if self.next in ("-", "+"):
            sign = -1 if self.take() == "-" else 1
        while True:
            total = _plus(total, _times(self.product(), _rational(Fraction(sign))))
            if self.next not in ("-", "+"):
                return total
            sign = -1 if self.take() == "-" else 1

    def product(self) -> Sum:
        """Read factors; after a division none may follow unsaid: `1/2\\pi` is meant in two ways."""
        total, divided = self.power(), False
        while self.next not in (None, "+", "-", ")", "}"):
            if self.next in ("*", r"\cdot", r"\times"):
                if divided:
                    raise _Unread
                self.take()
                total = _times(total, self.power())
            elif self.next in ("/", r"\div"):
                if divided:
                    raise _Unread
                self.take()
                divided, total = True, _times(total, _inverse(self.power()))
            else:
                # `2\frac{1}{2}` is no product, and `2 3` is a mistake.
                follows = self.next
                if divided or follows[0].isdigit() or follows[0] == "." or follows[-4:] == "frac":
                    raise _Unread
                before = self.tokens[self.at - 1]
                factor = self.power()
                named = before[-1].isalpha() or before.startswith("\\")
                if follows == "(" and (named or not factor.keys() - {(1, _ONE)}):
                    raise _Unread  # `f(x)` is no product to some, nor is `7(12)`
                total = _times(total, factor)
        return total

    def power(self) -> Sum:
        base = self.factor()
        if self.next != "^":
            return base
        self.take()
        exponent = self.braced() if self.next == "{" else self.digit()
        if self.next == "^" or exponent.keys() - {(1, _ONE)}:
            raise _Unread
        number = exponent.get((1, _ONE), Fraction(0))
        if number.denominator != 1 or abs(number) > _HIGHEST_POWER or not (base or number > 0):
            raise _Unread
        result = _rational(Fraction(1))
        for _ in range(abs(int(number))):
            result = _times(result, base)
        return result if number >= 0 else _inverse(result)

    def factor(self) -> Sum:
        token = self.take()
        if token[0].isdigit() or token[0] == ".":
            return _rational(Fraction(token))
        if token == "(":
            inner = self.sum()
            self.expect(")")
            return inner
        if token == "{":
            self.at -= 1
            return self.braced()
        if token == r"\pi" or _VARIABLE.fullmatch(token):
            return {(1, ((token, 1),)): Fraction(1)}
        if token in (r"\frac", r"\dfrac", r"\tfrac"):
            above = self.braced()
            return _times(above, _inverse(self.braced()))
        if token == r"\sqrt":
            return _root(self.braced())
        raise _Unread

    def braced(self) -> Sum:
        self.expect("{")
        inner = self.sum()
        self.expect("}")
        return inner

    def digit(self) -> Sum:
        """Read the exponent of `3^2`: of `3^21` only the 2 is one."""
        token = self.take()
        if len(token) != 1 or not token.isdigit():
            raise _Unread
        return _rational(Fraction(token))


def _rational(number: Fraction) -> Sum:
    return {(1, _ONE): number} if number else {}


def _plus(one: Sum, other: Sum) -> Sum:
    keys = one.keys() | other.keys()
    total = {key: one.get(key, Fraction(0)) + other.get(key, Fraction(0)) for key in keys}
    return {key: number for key, number in total.items() if number}


def _times(one: Sum, other: Sum) -> Sum:
    total: Sum = {}
    for (first, mine), factor in one.items():
        for (second, theirs), more in other.items():
            outside, inside = _without_squares(first * second)
            powers = Counter(dict(mine))
            powers.update(dict(theirs))
            key = (inside, tuple(sorted((name, power) for name, power in powers.items() if power)))
            total = _plus(total, {key: factor * more * outside})
    if any(_is_large(number) for number in total.values()) or len(total) > _MOST_TERMS:
        raise _Unread
    return total


def _inverse(one: Sum) -> Sum:
    """Divide by a single term; `1/(1 + \\sqrt{2})` is left to others."""
    if len(one) != 1:
        raise _Unread
    (((root, powers), factor),) = one.items()
    return {(root, tuple((name, -power) for name, power in powers)): 1 / (factor * root)}


def _root(one: Sum) -> Sum:
    if one.keys() - {(1, _ONE)}:
        raise _Unread
    number = one.get((1, _ONE), Fraction(0))
    if number < 0:
        raise _Unread
    if not number:
        return {}
    outside, inside = _without_squares(number.numerator * number.denominator)
    return {(inside, _ONE): Fraction(outside, number.denominator)}


def _is_large(number: Fraction) -> bool:
    return bool(max(abs(number.numerator), number.denominator) > 10**_MOST_DIGITS)


@lru_cache(maxsize=4096)
def _without_squares(number: int) -> tuple[int, int]:
    """Write the root of a number as one before the root and one under it without a square in it."""
    if number > _LARGEST_ROOT:
        raise _Unread
    outside, inside, divisor = 1, number, 2
    while divisor * divisor <= inside:
        while inside % (divisor * divisor) == 0:
            inside //= divisor * divisor
            outside *= divisor
        divisor += 1
    return outside, inside
