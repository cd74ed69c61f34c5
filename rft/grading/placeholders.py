r"""What stands in a box and answers nothing: the form itself, echoed before it is filled in.

Base models repeat what the prompt asks of them, "put your answer within `\boxed{}`", and answer
after that. THE LIST, in the order in which a text is looked at, after its wrapping is off:

    nothing            `\boxed{}`, `\boxed{ }`, `\boxed{\,}`, `\boxed{\boxed{}}`, `\boxed{\text{}}`
    marks              dots, underscores, question marks, dashes, stars: `...`, `\ldots`, `__`, `?`
    blanks             `\square`, `\Box`, `\phantom{12}`, `\hspace{1cm}`, an empty-box sign
    words for it       answer, your answer, the final answer here, result, the number, your choice
    a kind alone       number, letter, integer, option, ...: an answer if no other box holds one
    the prompt's own   what stands in a box of the template or the system message, if it is a word
                       or a small letter (`\boxed{n}`); anything else there could be an answer
                       too (`\boxed{42}`, `\boxed{C}`), and is one unless another box follows
"""

import re

# Longer than any of these: not looked at, so that boxes within boxes cost no more than their text.
LONGEST = 80

# Commands around a text that do not change what it says, and commands that leave a gap.
_WRAPPED = re.compile(
    r"\\(?:boxed|text|textbf|textit|textrm|mathrm|mathbf|mathit|mathsf|operatorname|emph|mbox|underline)\s*"
    r"\{([^{}]*)\}"
)
_GAP = re.compile(
    r"\\(?:phantom|hphantom|vphantom|hspace|vspace)\*?\s*\{[^{}]*\}"
    r"|\\(?:quad|qquad|enspace|left|right|displaystyle)(?![A-Za-z])|\\[,;:! ]|~"
)
_BRACKETS = str.maketrans("", "", "{}[]()<>$\"'`“”")
_MARKS = re.compile(
    r"(?:[.…_?*·•\-\u2013\u2014\s\u25a1\u2610\u25fb]"
    r"|\\(?:ldots|cdots|dots|dotsc|cdot|square|Box|blacksquare|bigcirc|bullet|underscore)"
    r"(?![A-Za-z]))*"
)
_QUALIFIED = (
    r"(?:(?:insert|put|write|place|enter|fill in|type)\s+)?"
    r"(?:(?:the|your|my|our|a|an|some|this|final|correct|numeric|numerical|exact|right|simplified"
    r"|chosen)\s+)"
)
_ITSELF = r"(?:answer|answers|ans|result|response|content|todo|tbd|placeholder)"
_A_KIND = r"(?:solution|value|number|letter|option|choice|expression|integer|fraction)"
_HERE = r"(?:\s+(?:here|goes here|only|value|letter|number|in a box|expression))"
_WORDS = re.compile(
    rf"{_QUALIFIED}*{_ITSELF}{_HERE}?|{_QUALIFIED}+{_A_KIND}{_HERE}?|{_A_KIND}{_HERE}"
)
_A_KIND_ALONE = re.compile(_A_KIND)
_SMALL_LETTER_OR_WORD = re.compile(r"[a-z]|[A-Za-z]{2,}(?: [A-Za-z]+)*")


def is_placeholder(content: str) -> bool:
    """Tell whether what stands in a box answers nothing, whatever was asked."""
    if len(content) > LONGEST:
        return False
    text = bare(content)
    return bool(_MARKS.fullmatch(text)) or bool(_WORDS.fullmatch(text.casefold()))


def names_a_kind(content: str) -> bool:
    """Tell whether what stands in a box names a kind of answer, `number`, which may be one too."""
    return len(content) <= LONGEST and bool(_A_KIND_ALONE.fullmatch(bare(content).casefold()))


def never_answers(content: str) -> bool:
    """Tell whether what stands in a box of the prompt is no answer when it comes again."""
    return is_placeholder(content) or bool(_SMALL_LETTER_OR_WORD.fullmatch(bare(content)))


def bare(content: str) -> str:
    """Take wrapping, gaps and brackets off a short text."""
    text = content
    # Each pass takes the innermost wrapping off.
    while (less := _GAP.sub(" ", _WRAPPED.sub(r" \1 ", text))) != text:
        text = less
    text = text.replace(r"\_", "_").translate(_BRACKETS).strip()
    # `your_answer` is two words; `___` is a blank.
    return " ".join(re.sub(r"(?<=[A-Za-z])_(?=[A-Za-z])", " ", text).strip(" .:!").split())
