"""Conditions on rows as people write them: `0.1 < pass_rate < 0.9 and tokens > 200`.

    condition   and, or, not and brackets over tests
    test        operands with < <= > >= == != between them, chained as in mathematics;
                NAME [not] in (VALUE, ...); NAME is [not] null
    operand     the name of a column, a number, or a text in quotes

Parsed by hand into a polars expression: nothing of a condition is ever evaluated. What is null, or
no number, matches nothing but `is null`: neither a test nor its opposite.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import polars as pl

from rft.errors import RFTError, clipped, listed, shown, suggestion

LONGEST = 2_000
DEEPEST = 50
WORD = re.compile(
    r"\s*(?:(?P<number>-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)(?![\w.])"
    r"|(?P<text>'[^']*'|\"[^\"]*\")|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<sign><=|>=|==|!=|<|>|[(),]))"
)
COMPARED = ("<", "<=", ">", ">=", "==", "!=")
KEYWORDS = ("and", "or", "not", "in", "is", "null")
END = "end"


@dataclass(frozen=True)
class Word:
    """A word of a condition: what kind it is of, as it stands there, and where."""

    kind: str
    text: str
    start: int


@dataclass(frozen=True)
class Operand:
    """One side of a comparison: `number` or `text`, as an expression."""

    kind: str
    value: pl.Expr
    word: Word


def rows_where(rows: pl.DataFrame, condition: str) -> pl.DataFrame:
    """Give the rows that match the condition of --where on their columns."""
    return rows.filter(Condition(condition, rows.schema, "--where").expression())


class Condition:
    """A condition, being read from left to right."""

    def __init__(self, text: str, schema: Mapping[str, pl.DataType], option: str) -> None:
        self.text, self.option = text, option
        kinds = {name: kind_of(dtype) for name, dtype in schema.items()}
        self.kinds = {name: kind for name, kind in kinds.items() if kind}
        self.depth = 0
        if len(text) > LONGEST:
            raise RFTError(f"{option}: {len(text):,} characters, and at most {LONGEST:,} are read")
        self.words = list(self._words())
        self.place = 0

    def expression(self) -> pl.Expr:
        """Read the whole condition."""
        if self.word.kind == END:
            raise self.wrong("is empty; give one such as 0.1 < pass_rate < 0.9", self.word)
        made = self.either()
        if self.word.kind != END:
            raise self.wrong("expected `and`, `or` or the end", self.word)
        return made

    # Reading --------------------------------------------------------------------------------

    def _words(self) -> Iterable[Word]:
        place, end = 0, len(self.text.rstrip())
        while place < end:
            met = WORD.match(self.text, place, end)
            if met is None:
                at = place + len(self.text[place:end]) - len(self.text[place:end].lstrip())
                begun = Word("sign", self.text[at : at + 12], at)
                if begun.text.startswith("="):
                    raise self.wrong("equality is written ==", begun)
                if begun.text[0] in "'\"":
                    raise self.wrong("a quote that is never closed", begun)
                raise self.wrong("this is no part of a condition", begun)
            kind = str(met.lastgroup)
            text = met.group(kind)
            yield Word("keyword" if text in KEYWORDS else kind, text, met.start(kind))
            place = met.end()
        yield Word(END, "", end)

    @property
    def word(self) -> Word:
        """Give the next word."""
        return self.words[self.place]

    def take(self, *texts: str) -> Word | None:
        """Read the next word if it is one of these signs or keywords."""
        word = self.word
        if word.kind not in ("sign", "keyword") or word.text not in texts:
            return None
        self.place += 1
        return word

    def need(self, text: str) -> None:
        """Read the next word, which has to be this one."""
        if not self.take(text):
            raise self.wrong(f"expected {text}", self.word)

    def wrong(self, what: str, word: Word) -> RFTError:
        """Say what is wrong, and where."""
        if word.kind == END:
            where = "at its end" if self.text.strip() else ""
        else:
            where = f"at character {word.start + 1}, {shown(clipped(word.text, 40))}"
        return RFTError(f"{self.option}: {what} {where}".rstrip())

    # Grammar --------------------------------------------------------------------------------

    def either(self) -> pl.Expr:
        """Read tests with `or` between them."""
        parts = [self.both()]
        while self.take("or"):
            parts.append(self.both())
        return pl.any_horizontal(parts) if len(parts) > 1 else parts[0]

    def both(self) -> pl.Expr:
        """Read tests with `and` between them."""
        parts = [self.opposite()]
        while self.take("and"):
            parts.append(self.opposite())
        return pl.all_horizontal(parts) if len(parts) > 1 else parts[0]

    def opposite(self) -> pl.Expr:
        """Read a test, a condition in brackets, or the opposite of one."""
        before = self.word
        negated, bracket = self.take("not"), None
        if not negated:
            bracket = self.take("(")
        if not (negated or bracket):
            return self.test()
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.wrong(f"nested deeper than {DEEPEST}", before)
        if negated:
            made = ~self.opposite()
        else:
            made = self.either()
            self.need(")")
        self.depth -= 1
        return made

    def test(self) -> pl.Expr:
        """Read a comparison, a chain of them, or whether a value is one of several or null."""
        first = self.operand()
        if self.take("is"):
            negated = self.take("not")
            self.need("null")
            return first.value.is_not_null() if negated else first.value.is_null()
        negated = self.take("not")
        if negated or self.word.text == "in":
            self.need("in")
            one_of = pl.any_horizontal([first.value == each.value for each in self.several(first)])
            return ~one_of if negated else one_of
        parts = []
        while sign := self.take(*COMPARED):
            second = self.operand(first)
            parts.append(compared(first.value, sign.text, second.value))
            first = second
        if not parts:
            raise self.wrong(f"expected one of {' '.join(COMPARED)}, `in` or `is`", self.word)
        return pl.all_horizontal(parts) if len(parts) > 1 else parts[0]

    def several(self, first: Operand) -> list[Operand]:
        """Read values in brackets."""
        self.need("(")
        values = [self.operand(first)]
        while self.take(","):
            values.append(self.operand(first))
        self.need(")")
        return values

    def operand(self, beside: Operand | None = None) -> Operand:
        """Read a name, a number or a text, of the kind of the one that it is compared with."""
        word = self.word
        if word.kind not in ("name", "number", "text"):
            raise self.wrong("expected a name, a number or a text in quotes", word)
        self.place += 1
        if word.kind == "number":
            made = Operand("number", pl.lit(float(word.text)), word)
        elif word.kind == "text":
            made = Operand("text", pl.lit(word.text[1:-1]), word)
        elif word.text in self.kinds:
            made = Operand(self.kinds[word.text], column(word.text, self.kinds[word.text]), word)
        else:
            names = listed(sorted(self.kinds))
            advice = suggestion(word.text, self.kinds, otherwise=f"there are {names}")
            raise self.wrong(f"no such name; {advice}; it stands", word)
        if beside is not None and made.kind != beside.kind:
            other = shown(clipped(beside.word.text, 40))
            raise self.wrong(f"a {made.kind} beside {other}, which is a {beside.kind}:", word)
        return made


def kind_of(dtype: pl.DataType) -> str | None:
    """Say as what the values of a column can be compared; None is not at all."""
    if dtype.is_numeric():
        return "number"
    return "text" if dtype == pl.String else None


def column(name: str, kind: str) -> pl.Expr:
    """Read a column; what is no number sorts above all numbers, and is null here."""
    if kind == "text":
        return pl.col(name)
    return pl.col(name).cast(pl.Float64).fill_nan(None)


def compared(one: pl.Expr, sign: str, other: pl.Expr) -> pl.Expr:
    """Compare two expressions."""
    signs = {
        "<": one < other,
        "<=": one <= other,
        ">": one > other,
        ">=": one >= other,
        "==": one == other,
        "!=": one != other,
    }
    return signs[sign]
