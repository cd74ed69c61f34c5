"""YAML as people write it: 3e-4 is a number, on and off are words, a key stands once."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from rft.errors import RFTError

TEXT = "tag:yaml.org,2002:str"
FLOAT = "tag:yaml.org,2002:float"
MERGE = "tag:yaml.org,2002:merge"

# The core schema of YAML 1.2, as far as recipes need it. PyYAML's own YAML 1.1 reads `on:` as True,
# 010 as 8, 1:30 as 90 and 3e-4 as a text.
SCALARS = (
    ("tag:yaml.org,2002:null", r"~|null|Null|NULL|", [*"~nN", ""]),
    ("tag:yaml.org,2002:bool", r"true|True|TRUE|false|False|FALSE", [*"tTfF"]),
    ("tag:yaml.org,2002:int", r"[-+]?(?:0|[1-9][0-9]*(?:_[0-9]+)*)", [*"-+0123456789"]),
    (
        FLOAT,
        r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+",
        [*"-+.0123456789"],
    ),
    (MERGE, r"<<", ["<"]),
)


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers = {}  # noqa: RUF012  # PyYAML's own way to begin without its resolvers


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
        _check(loader, node, lambda line: _place(text, label, line))
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = _place(text, label, mark.line) if mark else label
        raise RFTError(f"{place}: not valid YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise RFTError(f"{label}: not valid YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise RFTError(f"{label}: nested too deeply for a recipe") from None


def read(path: Path, label: str) -> dict[str, Any]:
    """Read a YAML file whose top level is a mapping."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise RFTError(f"{label}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise RFTError(f"{label}: not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    settings = parse(text, label)
    if not isinstance(settings, dict):
        seen = "nothing" if settings is None else f"one {type(settings).__name__}"
        raise RFTError(f"{label}: holds {seen}; a recipe is a mapping `key: value`")
    return settings


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


def _place(text: str, label: str, line: int) -> str:
    """Name a line; a text of one line, such as an override, is a place by itself."""
    return f"{label}:{line + 1}" if "\n" in text else label


def _check(
    loader: _Loader, node: yaml.Node, place: Callable[[int], str], above: tuple[yaml.Node, ...] = ()
) -> None:
    """Refuse what PyYAML would take in silence: a key given twice, a key that is no text."""
    if node in above:
        raise RFTError(f"{place(node.start_mark.line)}: an alias that contains itself; remove it")
    above = (*above, node)
    if isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line
            if not isinstance(key, yaml.ScalarNode) or key.tag not in (TEXT, MERGE):
                shown = key.value if isinstance(key, yaml.ScalarNode) else "a list or mapping"
                raise RFTError(f'{place(line)}: key {shown} is no text; write "..." around it')
            if key.value in lines:
                raise RFTError(
                    f'{place(line)}: key "{key.value}" is given twice, first in line '
                    f"{lines[key.value] + 1}; remove one"
                )
            lines[key.value] = line
            _check(loader, value, place, above)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _check(loader, value, place, above)
    elif isinstance(node, yaml.ScalarNode):
        _check_scalar(loader, node, place(node.start_mark.line))


def _check_scalar(loader: _Loader, node: yaml.ScalarNode, place: str) -> None:
    implicit = (node.style is None, node.style is not None)
    meant = loader.resolve(yaml.ScalarNode, node.value, implicit)  # type: ignore[no-untyped-call]
    if node.tag not in (TEXT, meant):
        raise RFTError(f"{place}: the tag {node.tag} is not for recipes; remove it")
    if node.tag == FLOAT and math.isinf(float(node.value)):
        raise RFTError(f'{place}: {node.value} is too large; write "..." around a text')
