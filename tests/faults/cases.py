"""Hostile inputs as data: a case is an entry of `corpus/*.yaml`, laid out in a folder of its own.

case      what is wrong, in words; no two are the same
start     what lies in the folder at first: `run`, a finished run, or `model`, the bundled one
files     path -> content: a text, or how a content is made (see `content`)
damage    what is done to files then, in order: one operation each (see `DAMAGES`)
env       variables of the environment
server    replies of a server on loopback; {server} is its address, in texts and words
command   the words after `rft`, called in the folder
code      the exit code, 2 if nothing is said
says      what the line that the command ends with has in it: a text or several
leaves    what a call that ends with 2 may leave or change nevertheless, as globs
"""

import io
import json
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from rft.bundled import bundled

CORPUS = Path(__file__).parent / "corpus"
STARTS = ("run", "model")


def cases() -> Iterator[dict[str, Any]]:
    """Read all cases."""
    for path in sorted(CORPUS.glob("*.yaml")):
        yield from yaml.safe_load(path.read_text()) or ()


def lay_out(case: dict[str, Any], folder: Path, run: Path, server: str = "") -> None:
    """Make the folder in which a case's command is called."""
    folder.mkdir()
    for name in case.get("start", ()):
        shutil.copytree({"run": run, "model": bundled("data") / "tiny"}[name], folder / name)
    for name, given in case.get("files", {}).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content(given, server))
    for damage in case.get("damage", ()):
        operation = next(iter(damage))
        DAMAGES[operation](folder / damage[operation], damage)


def content(given: Any, server: str = "") -> bytes:
    """Make the content of a file: a text, or what a mapping describes."""
    if isinstance(given, str):
        return given.replace("{server}", server).encode("utf-8", "surrogatepass")
    match next(iter(given)):
        case "hex":
            return bytes.fromhex(given["hex"])
        case "json":
            return json.dumps(given["json"]).encode()
        case "repeat":
            return given["repeat"].encode() * given["times"]
        case "lines":
            return "".join(
                given["of"].replace("{i}", str(i)) + "\n" for i in range(given["lines"])
            ).encode()
        case "nested":
            depth = given["nested"]
            return (given["open"] * depth + given["close"] * depth).encode()
        case "parquet":
            file = io.BytesIO()
            pq.write_table(pa.table(given["parquet"]), file)
            return file.getvalue()
        case other:
            raise ValueError(f"no such content: {other}")


# Damage -------------------------------------------------------------------------------------------


def _truncate(path: Path, how: dict[str, Any]) -> None:
    path.write_bytes(path.read_bytes()[: how["to"]])


def _flip(path: Path, how: dict[str, Any]) -> None:
    whole = bytearray(path.read_bytes())
    whole[how["at"]] ^= 0xFF
    path.write_bytes(whole)


def _remove(path: Path, _how: dict[str, Any]) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _folder(path: Path, _how: dict[str, Any]) -> None:
    if path.exists():
        _remove(path, {})
    path.mkdir(parents=True)


def _write(path: Path, how: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content(how["content"]))


def _link(path: Path, how: dict[str, Any]) -> None:
    if path.exists():
        _remove(path, {})
    path.symlink_to(how["to"])


def _set(path: Path, how: dict[str, Any]) -> None:
    _in_json(path, how["key"], lambda above, key: above.__setitem__(key, how["value"]))


def _unset(path: Path, how: dict[str, Any]) -> None:
    _in_json(path, how["key"], lambda above, key: above.__delitem__(key))


def _in_json(path: Path, dotted: str, change: Callable[[Any, Any], None]) -> None:
    whole = above = json.loads(path.read_text())
    *way, last = [int(key) if key.isdigit() else key for key in dotted.split(".")]
    for key in way:
        above = above[key]
    change(above, last)
    path.write_text(json.dumps(whole))


def _tensor(path: Path, how: dict[str, Any]) -> None:
    """Change what the header of a safetensors file says of a tensor, and nothing else."""
    whole = path.read_bytes()
    (length,) = struct.unpack("<Q", whole[:8])
    header = json.loads(whole[8 : 8 + length])
    if "rename" in how:
        old, new = how["rename"]
        header[new] = header.pop(old)
    elif "reshape" in how:
        name, shape = how["reshape"]
        header[name]["shape"] = shape
    else:
        name, kind = how["dtype"]
        header[name]["dtype"] = kind
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + whole[8 + length :])


DAMAGES: dict[str, Callable[[Path, dict[str, Any]], None]] = {
    "truncate": _truncate,
    "flip": _flip,
    "remove": _remove,
    "folder": _folder,
    "write": _write,
    "link": _link,
    "set": _set,
    "unset": _unset,
    "tensor": _tensor,
}
