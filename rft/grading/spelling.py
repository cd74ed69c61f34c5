r"""One spelling for what people write in many: `1\,000`, `–5`, `½`, `2.88×10⁻¹⁹`, `2 1/2`, `B.`.

Only what can be meant in one way is rewritten, golds and answers alike; the rest is for math-verify
to read, which reads these wrong or not at all. The input is short: see `MAX_LENGTH` of verifier.py.
"""  # noqa: RUF002

import re
from collections.abc import Callable

from rft.grading.shapes import items

_SIGNS = str.maketrans(
    {
        "\u2212": "-",
        "\u2013": "-",
        "\u2014": "-",
        "\u2010": "-",
        "\u2011": "-",
        "\u00d7": r"\times ",
        "\u00b7": r"\cdot ",
        "\u22c5": r"\cdot ",
        "\u00f7": r"\div ",
        "\u221e": r"\infty ",
        "\u03c0": r"\pi ",
        "\u00b0": r"^\circ ",
        "\u00ba": r"^\circ ",
        "\u2264": r"\le ",
        "\u2265": r"\ge ",
        "\u2260": r"\ne ",
        "\u2248": r"\approx ",
        "\u00b1": r"\pm ",
        "\u222a": r"\cup ",
        "\u2229": r"\cap ",
        "\u2208": r"\in ",
        "\u00a0": " ",
        "\u202f": " ",
        "\u2009": " ",
        "\u200b": "",
        "\ufeff": "",
    }
)
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")
_FRACTIONS = {
    "½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅖": "2/5", "⅗": "3/5",
    "⅘": "4/5", "⅙": "1/6", "⅚": "5/6", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8", "⅞": "7/8",
}  # fmt: skip
_POWERS = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}

_DECIMAL = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_GROUPED = re.compile(
    r"(?<![0-9.,])([0-9]{1,3}(?:(?:\\[,:;! ]|\{,\}|,\\!|~| )[0-9]{3})+)(?![0-9])", re.ASCII
)
_NAKED_POINT = re.compile(r"(?<=[0-9])\.(?=\s*$|/)", re.ASCII)
_ROOT = re.compile(r"√\s*(?:\(([^()]*)\)|\{([^{}]*)\}|([0-9]+(?:\.[0-9]+)?|[A-Za-z]))", re.ASCII)
_SUPERSCRIPT = re.compile("[⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_REPEATING = re.compile(
    r"(?<![0-9.])([0-9]{0,12})\.([0-9]{0,12})\\(?:overline|bar|dot)\s*\{([0-9]{1,12})\}", re.ASCII
)
_GOES_ON = re.compile(
    r"(?<![0-9.])([0-9]{0,12})\.([0-9]{0,12}?)([0-9])\3{2,12}(?:\.\.\.|…|\\[lc]?dots(?![A-Za-z]))",
    re.ASCII,
)
_UPRIGHT = re.compile(r"\\(?:mathrm|operatorname|textrm)\s*\{\s*([ei]|\\pi)\s*\}")
_DEGREE = re.compile(r"\^\s*\{\s*\\circ\s*\}|\\(?:degree|textdegree)(?![A-Za-z])")
_E_NOTATION = re.compile(rf"([+-]?{_DECIMAL})[eE]([+-]?[0-9]{{1,3}})", re.ASCII)
_SCIENTIFIC = re.compile(
    rf"([+-]?{_DECIMAL})\s*(?:\\times|\\cdot|\*|x|X)\s*10\s*(?:\^|\*\*)\s*"
    r"(?:\{\s*([+-]?[0-9]{1,3})\s*\}|\(\s*([+-]?[0-9]{1,3})\s*\)|([+-]?[0-9]{1,3}))",
    re.ASCII,
)
_MIXED = re.compile(r"(-?)([0-9]{1,9})\s+([0-9]{1,9})/([0-9]{1,9})", re.ASCII)
_COUNTED = re.compile(
    rf"((?:\\?\$)?\s*[+-]?{_DECIMAL})\s*\\?\s*({'|'.join(_POWERS)})", re.ASCII | re.IGNORECASE
)
_STYLE = (
    r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|mbox|underline|boldsymbol|bm|fbox)\s*"
)
# `\text{5 eggs}` is `5 eggs`, and `\text{5}_8` is `5_8`; `\text{B}` stays.
_STYLED = re.compile(rf"{_STYLE}\{{([^{{}}]*[0-9][^{{}}]*|[IVX]+)\}}", re.ASCII)
_WRAPPED = re.compile(r"\\(?:boxed|fbox|mathbf|boldsymbol|bm|underline)\s*\{(.*\S.*)\}", re.DOTALL)
_NO_WORDS = re.compile(rf"{_STYLE}\{{([^{{}}A-Za-z]*[0-9$%][^{{}}A-Za-z]*)\}}", re.ASCII)
_COUNT_SET_APART = re.compile(
    rf"(?<=[0-9])(?:\s|\\[,;: ]|~)*\\text\s*\{{\s*({'|'.join(_POWERS)})(?![a-z])\s*([^{{}}]*)\}}",
    re.ASCII,
)
_SET_OF_ONE_POINT = re.compile(r"(?:\\left)?\\\{\s*(\([^()]*\))\s*(?:\\right)?\\\}")
_INNER_SIGNS = re.compile(r"(?<!\\)\{[^{}]*\\pm(?![A-Za-z])")
_CHOICE = re.compile(
    r"\(?\s*(?:\\(?:text|textbf|mathrm|mathbf|textrm)\s*\{\s*)?\(?\s*([A-Za-z])\s*"
    r"(?:[.):](?:\s*\})?\s*[.):]?|\}\s*[.):])"
)
# `\text{The answer is } 5`, with or without the command.
_ANSWER_IS = (
    rf"(?:{_STYLE}\{{\s*)?(?:[Tt]he )?(?:[Ff]inal )?[Aa]nswer(?: is)?\s*[:=]?\s*"
    r"(?:\}\s*[:=]?|(?<=[\s:=]))"
)
_LEADING = re.compile(
    rf"(?:{_ANSWER_IS}|=|:|\\approx(?![A-Za-z])|\\simeq(?![A-Za-z])|\\(?:quad|,|;|:|!| ))\s*"
)
_TRAILING = re.compile(r"\s*(?:\\(?:quad|,|;|:|!| |(?=$))|(?<!\\)[,;]|(?<![\\.])\.)$")
LONGEST_MARK = len(r" \quad")
_CLOSED = [("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]")]


def canonical(text: str) -> str:
    """Write a gold or an answer as math-verify reads it."""
    text = unwrapped(text.translate(_SIGNS).strip())
    for pattern, written in _REWRITTEN:
        text = pattern.sub(written, text)
    text = unwrapped(trimmed(" ".join(text.split())))
    for whole, spelled in _WHOLE:
        if match := whole.fullmatch(text):
            return spelled(match)
    return both_signs(text)


def with_names(text: str) -> str:
    """Keep names from math-verify that it takes for something else: see `_NAMES`."""
    for pattern, written in _NAMES:
        text = pattern.sub(written, text)
    # M and m are one to it. Words alone are no formula.
    letters = {match[0] for match in _LETTERS.finditer(text) if match[1]}
    both = {letter for letter in letters if letter.isupper() and letter.lower() in letters}
    if not both or text.replace(" ", "").isalpha():
        return text
    return _LETTERS.sub(
        lambda match: rf"\hat{{{match[0]}}}" if match[1] and match[0] in both else match[0], text
    )


def unwrapped(text: str) -> str:
    """Take the dollars, or the like, off a text that is one formula, and its style."""
    match = _STYLED.fullmatch(text) or _WRAPPED.fullmatch(text)
    if match and is_balanced(match[1]):
        return unwrapped(match[1].strip())
    for opened, closed in _CLOSED:
        inside = text[len(opened) : -len(closed)]
        if (
            text.startswith(opened)
            and text.endswith(closed)
            and inside.strip()
            and opened not in inside
            and not inside.endswith("\\")
        ):
            return inside.strip()
    return text


def is_balanced(text: str) -> bool:
    """Tell whether every brace that closes in a text was opened in it."""
    depth = 0
    for token in re.findall(r"\\.|[{}]", text, re.DOTALL):
        depth += (token == "{") - (token == "}")
        if depth < 0:
            return False
    return depth == 0


def trimmed(text: str) -> str:
    """Take off what leads up to an answer, and the marks that follow it."""
    while match := _LEADING.match(text):
        text = text[match.end() :]
    # `0.333...` goes on; `2 .` does not.
    # Spaces are single here, so that no mark is longer: to search all would be quadratic.
    while match := _TRAILING.search(text, max(0, len(text) - LONGEST_MARK)):
        text = text[: match.start()].rstrip()
    return text[1:] if re.match(r"\+[0-9.]", text) else text


def scientific(mantissa: str, exponent: str) -> str:
    r"""Write a number in powers of ten: `4.5e33` would be 4.5 times e times 33."""
    return rf"{mantissa.rstrip('.').lstrip('+')} \times 10^{{{int(exponent)}}}"


def repeating(match: re.Match[str]) -> str:
    r"""Write `0.1\overline{6}`, or `0.1666...`, as the fraction that it is."""
    whole, before, period = match[1] or "0", match[2], match[3]
    below = (10 ** len(period) - 1) * 10 ** len(before)
    above = int(whole + before + period) - int(whole + before)
    return rf"\frac{{{above}}}{{{below}}}"


def raised(match: re.Match[str]) -> str:
    """Write superscript digits as an exponent."""
    return f"^{{{match[0].translate(_RAISED)}}}"


def vulgar(match: re.Match[str]) -> str:
    """Write a fraction of one sign as one of two numbers."""
    above, below = _FRACTIONS[match[0]].split("/")
    return rf"\frac{{{above}}}{{{below}}}"


def mixed(match: re.Match[str]) -> str:
    """Write `2 1/2` as what is no product; `2 3/2` is none of either."""
    sign, whole, above, below = match.groups()
    if int(above) >= int(below):
        return match[0]
    return rf"{sign}{whole}\frac{{{above}}}{{{below}}}"


def set_apart(match: re.Match[str]) -> str:
    r"""Write `2\text{ million people}` with the count beside its number."""
    return f" {match[1]} " + (rf"\text{{{match[2]}}}" if match[2] else "")


def both_signs(text: str) -> str:
    r"""Write `\frac{1 \pm x}{2}` as the two that it is; `\pm x` math-verify reads itself."""
    parts = items(text)
    if not any(_INNER_SIGNS.search(part) for part in parts):
        return text
    return ",".join(
        each.strip()
        for part in parts
        for each in (
            [part.replace(r"\pm", "+"), part.replace(r"\pm", "-")]
            if part.count(r"\pm") == 1
            else [part]
        )
    )


_REWRITTEN: list[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]] = [
    (_DEGREE, r"^\\circ "),
    (_NO_WORDS, r"\1"),
    (_COUNT_SET_APART, set_apart),
    (re.compile(r"\\varnothing(?![A-Za-z])"), r"\\emptyset"),
    (_UPRIGHT, r"\1"),
    (_ROOT, lambda match: rf"\sqrt{{{match[1] or match[2] or match[3] or ''}}}"),
    (_SUPERSCRIPT, raised),
    (re.compile(f"[{''.join(_FRACTIONS)}]"), vulgar),
    (_REPEATING, repeating),
    (_GOES_ON, repeating),
    (_GROUPED, lambda match: re.sub("[^0-9]", "", match[0])),
    (_NAKED_POINT, ""),
]
_NAME = r"(\\?[A-Za-z]+?)((?:_[A-Za-z0-9]|_\{[A-Za-z0-9]+\})?)"
_NAMES: list[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]] = [
    # `d v / d t` is to it the derivative of a constant, so 0.
    (
        re.compile(
            r"\\[dtc]?frac\s*\{\s*(?:d|\\partial)((?:\^\{?[2-9]\}?)?)\s*"
            rf"{_NAME}\s*\}}\s*\{{\s*(?:d|\\partial)\s*{_NAME}\s*\1\s*\}}"
        ),
        lambda match: f"D_{{{''.join(re.findall('[A-Za-z0-9]', ''.join(match.groups())))}}}",
    ),
    # The Lorentz factor is no gamma function of what follows it.
    (re.compile(r"\\gamma(?![A-Za-z])"), r"\\varpi "),
    (re.compile(r"\\Gamma(?![A-Za-z])(?!\s*(?:\\left)?\()"), r"\\varrho "),
    (re.compile(r"_\s*\{?\s*\\(odot|oplus|star|ast|perp|parallel)(?![A-Za-z])\s*\}?"), r"_{\1}"),
    # Not e, nor i, nor what they are without their index or stroke.
    (re.compile(r"(?<![A-Za-z\\])E(?=_)"), r"\\Xi "),
    (re.compile(r"(?<![A-Za-z\\])e(?=_)"), r"\\Upsilon "),
    (re.compile(r"(?<![A-Za-z\\])I(?=_)"), r"\\varrho "),
    (re.compile(r"(?<![A-Za-z\\])([A-Za-z])''"), r"\\ddot{\1}"),
    (re.compile(r"(?<![A-Za-z\\])([A-Za-z])'"), r"\\dot{\1}"),
    # A small letter or two at the end is no unit: the `d` of `x + 5d`. i and e are numbers.
    (re.compile(r"(?<=[0-9}\s])(?<![,;]\s)([a-df-hj-z]{1,2})$"), r"{\1}"),
]
# Variables, as the only group: not what is text, a command, an index, or a function.
_LETTERS = re.compile(
    r"\\(?:text[a-z]*|mathrm|operatorname|begin|end|hat)\s*\{[^{}]*\}|\\[A-Za-z]+|_\{[^{}]*\}"
    r"|_[A-Za-z]|[A-Za-z](?=\()|([A-Za-z])"
)
_WHOLE: list[tuple[re.Pattern[str], Callable[[re.Match[str]], str]]] = [
    (_E_NOTATION, lambda match: scientific(match[1], match[2])),
    (_SCIENTIFIC, lambda match: scientific(match[1], match[2] or match[3] or match[4])),
    (_COUNTED, lambda match: scientific(match[1], str(_POWERS[match[2].lower()]))),
    (_MIXED, mixed),
    (_CHOICE, lambda match: match[1]),
    (_SET_OF_ONE_POINT, lambda match: match[1]),
]
