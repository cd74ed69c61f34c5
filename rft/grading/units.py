r"""Units after a number: `800\text{ ml}`, `12 dollars`, `7\%`, `36^\circ`, and who asked for them.

THE RULE. Where a gold has a unit and an answer has another, they differ. Where one has none, the
numbers decide. An answer's own unit is then let pass if the question asks for it: one that we know,
if the question names it, or no other of its kind; percent, only if the question has it too. A word
that we do not know passes if it is set apart as text (`12\text{ apples}`), as with math-verify, and
else (`12 apples`) if the question has it. Without a question, units that we know pass, others not.
A letter alone (`5m`) may be a variable: on either side the question has to spell its unit out.
Nothing is converted: 500 cm is not 5 m, and 5 dozen eggs are not 5 eggs.
"""

import re
from dataclasses import dataclass, replace
from functools import lru_cache

from rft.grading.shapes import items

# Kind -> its units, each by its names; the first is the one that we use.
_UNITS = {
    "length": """mm millimeter millimetre, cm centimeter centimetre, m meter metre, km kilometer
        kilometre, in inch inches, ft foot feet, yd yard, mi mile, lightyear light-year,
        nm nanometer nanometre, parsec pc, angstrom å""",
    "volume": "ml milliliter millilitre, l liter litre, gallon gal, quart, pint, cup",
    "mass": "mg milligram, g gram, kg kilogram, lb pound lbs, oz ounce, ton tonne",
    "time": """s sec second, min minute, h hr hour, day, week, month, year yr, ms millisecond,
        decade, century centuries""",
    "money": """dollar usd buck, cent penny pennies, euro eur €, £ gbp, ¥ yen yuan rmb,
        rupee inr""",
    "angle": "degree deg, rad radian",
    "temperature": "celsius °c, fahrenheit °f, kelvin k",
    "speed": """mph mile/hour mile/h mi/h, km/h kph kmh kilometer/hour kilometre/hour km/hour
        km/hr, m/s meter/second metre/second m/sec, ft/s feet/second foot/second""",
    "energy": "j joule, kj kilojoule, cal calorie, kcal, ev electronvolt, erg",
    "force": "n newton",
    "power": "w watt, kw kilowatt",
    "pressure": "pa pascal, atm atmosphere, bar",
    "frequency": "hz hertz, khz, mhz",
    "amount": "mol mole",
    "share": "percent % pct percentage",
    "count": "unit",
    "clock": "am, pm",
}
_NAMED = {
    name: (names.split()[0], kind)
    for kind, line in _UNITS.items()
    for names in line.split(",")
    for name in names.split()
}
LONGEST = 40
# Words that count by another number than one: what follows them is not what was counted.
_COUNTS = {
    *("dozen", "pair", "couple", "half", "halve", "score", "gross", "double", "triple"),
    *("hundred", "thousand", "million", "billion", "trillion"),
}
# The shortest word that we do not know and take for one: `3 xy` is a product.
SHORTEST = 3
# Words after a number that make another number of it, or none.
_NO_UNIT = {
    *("or", "and", "more", "less", "least", "most", "than", "plus", "minus", "to", "mod", "not"),
    *("no", "infinite", "infinity", "pi"),
    *("if", "for", "with", "when", "where", "is", "are", "only", "approximately", "about"),
}

_WHOLE = r"(?:[A-Za-z]\s*=\s*)?[+-]?\s*\\?\$?\s*(?:[0-9][0-9,]*(?:\.[0-9]+)?|\.[0-9]+)"
_NUMBER = (
    rf"{_WHOLE}(?:\s*/\s*[0-9]+|\\frac\s*\{{[0-9]+\}}\s*\{{[0-9]+\}}|\s*\\times\s*10\^\{{-?[0-9]+\}}"
    r"|\s+(?:hundred|thousand|million|billion|trillion)|\s+[0-9]+/[0-9]+)?"
    r"|[+-]?\\[dt]?frac\s*\{[0-9]+\}\s*\{[0-9]+\}"
)
_GAP = r"(?:\s|\\[,;:! ]|~|\\quad)*"
_POWER = r"(?:\s*\^\s*\{?\s*(?P<power>[23])\s*\}?)?"
_COMMAND = r"\\(?:text|textrm|textit|textbf|mathrm|mathit|mbox|rm|operatorname)\s*"
_WORDS = r"(?P<unit>[^{}0-9\\]*)"
# What is set apart as text may follow anything that is measured; what is not, a number alone.
_APART = re.compile(rf"(?P<rest>.*(?:[0-9}}]|\\pi)){_GAP}{_COMMAND}\{{{_WORDS}\}}{_POWER}")
_BRACED = re.compile(rf"(?P<rest>{_NUMBER}){_GAP}\{{{_WORDS}\}}{_POWER}")
_BARE = re.compile(rf"(?P<rest>{_NUMBER})(?P<gap>{_GAP}-?)(?P<unit>[A-Za-z][A-Za-z./ ]*?){_POWER}")
# After a formula without variables, a unit that we know.
_FORMULA_BARE = re.compile(
    r"(?P<rest>(?:\\[A-Za-z]+|[^A-Za-z\\]|(?<=[0-9])e(?=[-+0-9]))*(?:[0-9}]|\\pi))"
    rf"(?P<gap>(?:\s|\\[,;: ]|~)+)(?P<unit>[A-Za-z][A-Za-z./]+){_POWER}"
)
_PERCENT = re.compile(r"(?P<rest>.*[^\\\s])\s*\\?%")
_DEGREES = re.compile(
    rf"(?P<rest>.*\S)\s*\^\s*\\circ\s*(?:(?:{_COMMAND}\{{)?\s*(?P<scale>[CF])\s*\}}?)?"
)
_COIN = re.compile(rf"(?P<before>[€£¥]?){_GAP}(?P<rest>{_NUMBER}){_GAP}(?P<after>[€£¥]?)")


@dataclass(frozen=True)
class Unit:
    """A unit by the one name that we give it, and as it was written."""

    name: str
    kind: str | None
    """None for a word that we do not know, such as `apples`."""
    written: str
    bare: bool
    """Not set apart from the number by a command or braces."""
    attached: bool = False
    """Bare, and not even a space before it."""

    @property
    def is_product(self) -> bool:
        """Tell whether it is rather a product of variables: `3 xy`, `3xyz`."""
        words = self.written.split("/")[0].split()
        short = self.attached or any(len(word) < SHORTEST for word in words)
        return self.bare and self.kind is None and short

    @property
    def is_doubtful(self) -> bool:
        """Tell whether it may be a variable: one letter, and nothing that makes text of it."""
        return self.bare and len(self.written) == 1 and self.written.isalpha()


@lru_cache(maxsize=4096)
def split_unit(text: str) -> tuple[str, Unit | None]:
    """Part a canonical text into what is measured and its unit, if it ends in one.

    A list whose items all have one unit is parted into the list without it, and the unit.
    """
    parts = [split_one(part.strip()) for part in items(text)]
    names = {unit and unit.name for _, unit in parts}
    if len(parts) > 1 and len(names) == 1 and parts[-1][1]:
        return ", ".join(rest for rest, _ in parts), parts[-1][1]
    return split_one(text)


def split_one(text: str) -> tuple[str, Unit | None]:
    """Part a text that is no list into what is measured and its unit."""
    if match := _PERCENT.fullmatch(text):
        return match["rest"], named("percent", "", bare=False)
    if match := _DEGREES.fullmatch(text):
        scales = {None: "degree", "C": "celsius", "F": "fahrenheit"}
        return match["rest"].strip(), named(scales[match["scale"]], "", bare=False)
    if (match := _COIN.fullmatch(text)) and (match["before"] or match["after"]):
        return match["rest"].strip(), named(match["before"] or match["after"], "", bare=False)
    for pattern, bare in ((_APART, False), (_BRACED, False), (_BARE, True), (_FORMULA_BARE, True)):
        if match := pattern.fullmatch(text):
            unit = named(match["unit"], match["power"] or "", bare=bare)
            if unit is not None and bare and not match["gap"]:
                unit = replace(unit, attached=True)
            known = unit is not None and unit.kind is not None
            if unit is not None and not unit.is_product and (known or pattern is not _FORMULA_BARE):
                return match["rest"].strip(), unit
    return text, None


def named(written: str, power: str, *, bare: bool) -> Unit | None:
    """Find which unit is written, or take it for a word that we do not know."""
    text = " ".join(written.replace(".", "").split()).casefold()
    text = re.sub(r"(?:^| )per ", "/", text).replace(" / ", "/")
    if not text or len(text) > LONGEST:
        return None
    text, power = with_power(text, power)
    known = known_unit(text)
    if known is not None:
        return Unit(known[0] + power, known[1] + power, written.strip(), bare)
    apart = [word for word in re.split(r"[ /]", text) if word]
    if any(word in _NO_UNIT or not word.isalpha() for word in apart):
        return None
    # A letter is a unit only within a rate: erg/s.
    if any(len(word) < 2 and "/" not in text for word in apart):
        return None
    # Who says `5 dozen eggs` has counted dozens.
    counted = next((word for word in map(singular, apart) if word in _COUNTS), None)
    head, slash, each = text.partition("/")
    name = counted or singular(head.split(" ")[-1]) + slash + singular(each)
    return Unit(name + power, None, written.strip(), bare)


def known_unit(text: str) -> tuple[str, str] | None:
    """Find a unit that we know, or one over another, with its kind."""
    whole = _NAMED.get(text) or _NAMED.get(singular(text))
    above, slash, below = text.partition("/")
    if whole or not slash:
        return whole
    one, other = known_unit(above), _NAMED.get(below) or _NAMED.get(singular(below))
    return (f"{one[0]}/{other[0]}", f"{one[1]}/{other[1]}") if one and other else None


def with_power(text: str, power: str) -> tuple[str, str]:
    """Read `square`, `sq` and `cubic` as the powers that they are."""
    first, _, rest = text.partition(" ")
    if rest and first in ("square", "sq", "cubic", "cu"):
        return rest, "2" if first in ("square", "sq") else "3"
    return text, power


def singular(word: str) -> str:
    """Take the plural off a unit, wherever it has one: `miles/hour`."""
    return re.sub(r"(?<=[a-z]{2})s(?=/|$)", "", word)


def asked_for(question: str | None, unit: Unit) -> bool:
    """Tell whether a question asks for a unit, or leaves it open: THE RULE above."""
    counted = unit.name.rstrip("23").split("/")[0]
    if unit.kind is None and not unit.bare and counted not in _COUNTS:
        return True
    if question is None:
        return unit.kind is not None and not unit.is_doubtful
    text = question.casefold()
    if unit.kind is None:
        # Of a rate, what is counted: `eggs/day` are eggs; `per day` leaves it open.
        if unit.name.startswith("/"):
            return True
        is_money = counted == "dollar" and "$" in text
        return is_money or mentions(text, counted) or mentions(text, unit.written.casefold())
    kind = unit.kind.rstrip("23")
    own = unit.name.rstrip("23")
    names = [name for name, (first, _) in _NAMED.items() if first == own]
    spelled_out = [name for name in names if len(name) > 1 or not name.isalpha()]
    if any(mentions(text, name) for name in spelled_out):
        return True
    if kind == "money" and own == "dollar" and "$" in text:
        return True
    if kind == "share" or unit.is_doubtful:
        return False
    others = [name for name, (first, other) in _NAMED.items() if other == kind and first != own]
    return not any(mentions(text, name) for name in others if len(name) > 1)


def mentions(text: str, name: str) -> bool:
    """Tell whether a text has a word, in the singular or the plural; signs may touch numbers."""
    if not name[:1].isalpha():
        return name in text
    plural = r"(?:e?s)?"
    return bool(re.search(rf"(?<![a-z]){re.escape(name)}{plural}(?![a-z])", text))
