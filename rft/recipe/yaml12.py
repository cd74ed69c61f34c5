"""YAML as people write it: 3e-4 is a number, on and off are words, a key stands once.

A recipe may be anyone's, so that reading it is bounded: `LIMITS` says by what.
"""

import math
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from rft.errors import RFTError, clipped, shown

# What a recipe may take at most. The longest of ours has 6 kB, 200 values and 4 levels; what a
# person writes, long worked examples included, is far below, and what is refused is read in a
# second or so. Values are counted as they are when each alias has become what it stands for.
LIMITS = {"bytes": 1 << 20, "characters": 1 << 20, "values": 10_000, "levels": 32, "key": 200}
# What JSON, Parquet and the libraries below take for a whole number.
LARGEST_INT = 2**63 - 1

TEXT = "tag:yaml.org,2002:str"
INT = "tag:yaml.org,2002:int"
FLOAT = "tag:yaml.org,2002:float"
MERGE = "tag:yaml.org,2002:merge"
KINDS: dict[type[yaml.Node], str] = {
    yaml.MappingNode: "tag:yaml.org,2002:map",
    yaml.SequenceNode: "tag:yaml.org,2002:seq",
}

# The core schema of YAML 1.2, as far as recipes need it. PyYAML's own YAML 1.1 reads `on:` as True,
# 010 as 8, 1:30 as 90 and 3e-4 as a text.
SCALARS = (
    ("tag:yaml.org,2002:null", r"~|null|Null|NULL|", [*"~nN", ""]),
    ("tag:yaml.org,2002:bool", r"true|True|TRUE|false|False|FALSE", [*"tTfF"]),
    (INT, r"[-+]?(?:0|[1-9][0-9]*(?:_[0-9]+)*)", [*"-+0123456789"]),
    (
        FLOAT,
        r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+",
        [*"-+.0123456789"],
    ),
    (MERGE, r"<<", ["<"]),
)


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers = {}  # noqa: RUF012  # PyYAML's own way to begin without its resolvers
    nodes = 0
    levels = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Stop as soon as there is too much, not when all of it is in memory."""
        self.nodes += 1
        self.levels += 1
        for name, seen in (("values", self.nodes), ("levels", self.levels)):
            if seen > LIMITS[name]:
                raise _TooMuch(name, self.peek_event().start_mark.line)  # type: ignore[no-untyped-call]
        node = super().compose_node(parent, index)
        self.levels -= 1
        return node


_Size = dict[str, int]


class _TooMuch(Exception):
    """More of something than a recipe may have."""

    def __init__(self, name: str, line: int):
        self.line = line
        more = f"more than {LIMITS[name]:,} {name}"
        remedy = {
            "values": "write fewer, or put what is many into a file",
            "levels": "nest less",
            "characters": "write less, or put what is long into a file",
        }
        self.text = f"{more} here, aliases included; {remedy[name]}"
        super().__init__(self.text)


class _Dumper(yaml.SafeDumper):
    yaml_implicit_resolvers = {}  # noqa: RUF012

    def ignore_aliases(self, _: Any) -> bool:
        return True


for _tag, _pattern, _first in SCALARS:
    for _side in (_Loader, _Dumper):
        _side.add_implicit_resolver(_tag, re.compile(rf"(?:{_pattern})\Z"), _first)


def parse(text: str, label: str) -> Any:
    """Read one YAML document; whatever is wrong with it ends in one line with its place."""
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _measure(node, {}, lambda line: _place(text, label, line))
        _check(loader, node, lambda line: _place(text, label, line), set())
        return loader.construct_document(node)
    except _TooMuch as error:
        raise RFTError(f"{_place(text, label, error.line)}: {error.text}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = _place(text, label, mark.line) if mark else label
        twice = error.problem == "second occurrence"  # of an anchor, which the context names
        reason = _words(error.context if twice else error.problem or error.context)
        raise RFTError(f"{place}: not valid YAML: {reason}") from None
    except yaml.YAMLError as error:
        raise RFTError(f"{label}: not valid YAML: {_words(str(error))}") from None


def read(path: Path, label: str) -> dict[str, Any]:
    """Read a YAML file whose top level is a mapping."""
    settings = parse(_text(path, label), label)
    if not isinstance(settings, dict):
        seen = "nothing" if settings is None else f"one {type(settings).__name__}"
        raise RFTError(f"{label}: holds {seen}; a recipe is a mapping `key: value`")
    return settings


def _text(path: Path, label: str) -> str:
    """Read the text of a file, and no more of it than a recipe may have."""
    try:
        # Before it is opened, since to open a pipe may wait for ever.
        if not stat.S_ISREG(path.stat().st_mode):
            raise RFTError(f"{label}: not a file; a recipe is a YAML file")
        with path.open("rb") as file:
            content = file.read(LIMITS["bytes"] + 1)
    except OSError as error:
        raise RFTError(f"{label}: cannot be read: {error.strerror}") from None
    if len(content) > LIMITS["bytes"]:
        raise RFTError(f"{label}: more than {LIMITS['bytes']:,} bytes, so that it is no recipe")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RFTError(f"{label}: not UTF-8 text (byte {error.start}); save it as UTF-8") from None


def write(settings: dict[str, Any]) -> str:
    """Write settings as YAML that `parse` reads back as they are."""
    return yaml.dump(
        settings,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=None,
        width=100,
    )


def _words(reason: object) -> str:
    """Write PyYAML's reason, which may quote all of a text, in a line of its own."""
    return clipped(" ".join(str(reason).split()), 200)


def _place(text: str, label: str, line: int) -> str:
    """Name a line; a text of one line, such as an override, is a place by itself."""
    return f"{label}:{line + 1}" if "\n" in text else label


def _measure(
    node: yaml.Node, sizes: dict[yaml.Node, _Size | None], place: Callable[[int], str]
) -> _Size:
    """Count what a node comes to, each node looked at once."""
    if node in sizes:
        known = sizes[node]
        if known is None:
            line = node.start_mark.line
            raise RFTError(f"{place(line)}: an alias that contains itself; remove it")
        return known
    sizes[node] = None  # until all below it is known
    own = len(node.value) if isinstance(node, yaml.ScalarNode) else 0
    below = [] if isinstance(node, yaml.ScalarNode) else node.value
    parts = [part for each in below for part in (each if isinstance(each, tuple) else (each,))]
    sums = [_measure(part, sizes, place) for part in parts]
    size = {
        "values": 1 + sum(each["values"] for each in sums),
        "characters": own + sum(each["characters"] for each in sums),
        "levels": 1 + max((each["levels"] for each in sums), default=0),
    }
    for name, seen in size.items():
        if seen > LIMITS[name]:
            raise _TooMuch(name, node.start_mark.line)
    sizes[node] = size
    return size


def _check(
    loader: _Loader, node: yaml.Node, place: Callable[[int], str], known: set[yaml.Node]
) -> None:
    """Refuse what PyYAML would take in silence: a key given twice, a key that is no text."""
    if node in known:
        return
    known.add(node)
    kind = KINDS.get(type(node))
    if kind not in (None, node.tag):
        raise _foreign_tag(node, place(node.start_mark.line))
    if isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key, value in node.value:
            _check_key(loader, key, lines, place)
            _check(loader, value, place, known)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _check(loader, value, place, known)
    elif isinstance(node, yaml.ScalarNode):
        _check_scalar(loader, node, place(node.start_mark.line))


def _check_key(
    loader: _Loader, key: yaml.Node, lines: dict[str, int], place: Callable[[int], str]
) -> None:
    line = key.start_mark.line
    here = place(line)
    if not isinstance(key, yaml.ScalarNode) or key.tag not in (TEXT, MERGE):
        text = clipped(key.value) if isinstance(key, yaml.ScalarNode) else "a list or mapping"
        raise RFTError(f'{here}: key {text} is no text; write "..." around it')
    _check_scalar(loader, key, here)
    if not key.value.isprintable():
        name = clipped(ascii(key.value))
        raise RFTError(f"{here}: key {name} holds a character that cannot be seen; remove it")
    if len(key.value) > LIMITS["key"]:
        raise RFTError(
            f"{here}: a key of {len(key.value):,} characters, {shown(key.value)}; "
            f"{LIMITS['key']} are the most"
        )
    if key.value in lines:
        first = lines[key.value] + 1
        raise RFTError(
            f"{here}: key {shown(key.value)} is given twice, first in line {first}; remove one"
        )
    lines[key.value] = line


def _check_scalar(loader: _Loader, node: yaml.ScalarNode, place: str) -> None:
    implicit = (node.style is None, node.style is not None)
    meant = loader.resolve(yaml.ScalarNode, node.value, implicit)  # type: ignore[no-untyped-call]
    if node.tag not in (TEXT, meant):
        raise _foreign_tag(node, place)
    if node.tag == FLOAT and math.isinf(float(node.value)):
        raise _too_large(node.value, place)
    # By its length first: Python reads no number of more than 4,300 digits.
    if node.tag == INT and (len(node.value) > 40 or abs(int(node.value)) > LARGEST_INT):
        raise _too_large(node.value, place)
    for code, what in ((r"[\ud800-\udfff]", "half a character"), (r"\0", "the character NUL")):
        if match := re.search(code, node.value):
            raise RFTError(
                f"{place}: {clipped(ascii(node.value))} holds {what} "
                f"(\\u{ord(match[0]):04x}), which no file may hold; remove it"
            )


def _foreign_tag(node: yaml.Node, place: str) -> RFTError:
    return RFTError(f"{place}: the tag {clipped(node.tag)} is not for recipes; remove it")


def _too_large(number: str, place: str) -> RFTError:
    most = "" if "e" in number.lower() or "." in number else f" (the most is {LARGEST_INT})"
    return RFTError(f'{place}: {clipped(number)} is too large{most}; write "..." around a text')
