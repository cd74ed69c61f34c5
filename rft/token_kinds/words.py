"""Words by what they do in a solution: our lists, for kinds that papers name and do not define.

Pivotal words and reflective sentences are arXiv 2506.14758's, which gives the first few of its
words; classes of tokens are those of arXiv 2508.07534, Table 1, which gives examples and no
classifier. English only. Where a phrase fits several classes, the first of `CLASSES` has it, but
that single letters and the names of commands are formal before they are words.
"""

import re

CLASSES = ("metacognitive", "logical", "formal", "support", "other")

# Which way a solution goes on: arXiv 2506.14758 names first, because and however.
PIVOTAL = [
    *("first", "firstly", "second", "secondly", "third", "thirdly", "next", "then", "finally"),
    *("lastly", "because", "since", "therefore", "thus", "hence", "consequently", "so", "however"),
    *("but", "although", "though", "yet", "instead", "otherwise", "moreover", "furthermore"),
    *("also", "if", "suppose", "assume", "now", "alternatively"),
]

# Besides those: what joins statements without turning anywhere.
JOINING = [
    *("and", "or", "nor", "either", "neither", "both", "else", "when", "whenever", "while"),
    *("where", "given", "implies", "unless", "until", "such", "as a result", "in order to"),
    *("on the other hand", "in addition", "for example"),
]
LOGICAL = [*PIVOTAL, *JOINING]

# Speaking of the solution rather than of its matter: plans, checks, doubts, summaries.
METACOGNITIVE = [
    r"let(?:['\u2019]s| us| me)",
    r"(?:first|next|now|then),? (?:i|we) (?:will|shall|need|have|should|must|can)",
    r"(?:i|we)(?:['\u2019](?:ll|m)| will| shall| think| guess| need to| have to| should| must)",
    r"it (?:looks|seems|appears)(?: like| that)?",
    r"wait|hmm+|oops|correction|actually|mistakes?|wrong",
    r"(?:double[- ]?|re-?)?check(?:s|ed|ing)?|verif(?:y|ies|ied|ying|ication)",
    r"in (?:summary|conclusion|short)|to (?:summari[sz]e|conclude|recap)|step[- ]by[- ]step",
]

# Sentences that look back: arXiv 2506.14758 begins its list with verify and check.
REFLECTIVE = re.compile(
    r"\b(?:(?:double[- ]?|re-?)?check(?:s|ed|ing)?|verif(?:y|ies|ied|ying|ication)"
    r"|confirm(?:s|ed|ing)?"
    r"|wait|hmm+|oops|actually|mistakes?|correction|re-?(?:consider|examine|evaluate|think|read)\w*"
    r"|look(?:ing)? back|make sure|let(?:['\u2019]s| us| me) (?:see|try again|think again)"
    r"|is (?:this|that) (?:right|correct)|alternatively|go back|sanity)\b",
    re.IGNORECASE,
)

_LETTERS = r"[^\W\d_]"
_ORDER = sorted(LOGICAL, key=len, reverse=True)
# A single letter is a variable unless it is a word of English: a, A, I.
_SINGLE = r"(?-i:[b-zB-HJ-Z]|[\u03b1-\u03c9\u0391-\u03a9])"
_VARIABLE = (
    rf"(?<!{_LETTERS}['\u2019])(?<!{_LETTERS}){_SINGLE}(?!{_LETTERS})(?!['\u2019]{_LETTERS})"
)
_SPANS = re.compile(
    rf"(?P<metacognitive>\b(?:{'|'.join(METACOGNITIVE)})\b)"
    rf"|(?P<command>\\[A-Za-z]+)|(?P<variable>{_VARIABLE})"
    rf"|(?P<logical>\b(?:{'|'.join(map(re.escape, _ORDER))})\b)"
    rf"|(?P<support>{_LETTERS}+(?:['\u2019-]{_LETTERS}+)*|[.,;:!?\u2026\"'\u2019\u2018\u201c\u201d`]+)"
    r"|(?P<other>\ufffd+)|(?P<formal>\d+(?:[.,]\d+)*|\S)",
    re.IGNORECASE,
)
_CLASS_OF = {name: name for name in CLASSES} | {"command": "formal", "variable": "formal"}
_PIVOTAL = re.compile(rf"\b(?:{'|'.join(sorted(PIVOTAL, key=len, reverse=True))})\b", re.IGNORECASE)
# 3.5 goes on after its point; a new line ends what has none.
_END = re.compile(r"[.!?]+[\"'\u201d\u2019)\]]*(?=\s|$)|\n+")


def class_spans(text: str) -> list[tuple[int, int, int]]:
    """Cut a text into spans of one class: (start, end, place in CLASSES); space is in none."""
    return [
        (each.start(), each.end(), CLASSES.index(_CLASS_OF[str(each.lastgroup)]))
        for each in _SPANS.finditer(text)
    ]


def pivotal_starts(text: str) -> list[int]:
    """Say where pivotal words begin."""
    return [each.start() for each in _PIVOTAL.finditer(text)]


def sentences(text: str) -> list[tuple[int, int]]:
    """Cut a text into sentences that hold a letter or a digit: at . ! ? before space, and lines."""
    ends = [each.end() for each in _END.finditer(text)]
    starts = [0, *ends]
    spans = zip(starts, [*ends, len(text)], strict=True)
    return [(a, b) for a, b in spans if any(c.isalnum() for c in text[a:b])]


def is_reflective(sentence: str) -> bool:
    """Say whether a sentence looks back on the solution."""
    return REFLECTIVE.search(sentence) is not None
