"""Files of a model folder, read within bounds: JSON objects, and headers of safetensors."""

import json
import math
import stat
import struct
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from rft.errors import RFTError
from rft.foreign_text import short

MEND = "mend it, or get the model again"
# Far above what models have: a config or an index of the largest takes a few MB.
LARGEST_JSON = 64 << 20
# What the safetensors library allows.
LARGEST_HEADER = 100_000_000
# Bits of a number of each type that the format has.
BITS = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 8),
    **dict.fromkeys(("F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 16),
    **dict.fromkeys(("I32", "U32", "F32"), 32),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 64),
    **{"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6},
}


@dataclass(frozen=True)
class Described:
    """What the header of a safetensors file says of one tensor."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def numbers(self) -> int:
        """Count its numbers."""
        return math.prod(self.shape)


def regular_file(path: Path) -> bool:
    """Say whether a file is there; refuse what stands in its place, such as a folder or a pipe."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if path.is_symlink():
            raise RFTError(f"{path}: a link that leads nowhere; {MEND}") from None
        return False
    except OSError as error:
        raise RFTError(f"{path}: cannot be read ({error.strerror}); {MEND}") from None
    if not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "no regular file"
        raise RFTError(f"{path}: {what}, where a file has to be; {MEND}")
    return True


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON file that has to hold an object."""
    if not regular_file(path):
        raise RFTError(f"{path}: no such file; {MEND}")
    if (size := path.stat().st_size) > LARGEST_JSON:
        raise RFTError(f"{path}: {size:,} bytes, more than any such file has; {MEND}")
    return as_object(path, path.read_bytes())


def as_object(path: Path, content: bytes) -> dict[str, Any]:
    """Read JSON that has to be an object, and say of which file it is where it is none."""
    try:
        read = json.loads(content.decode())
    except UnicodeDecodeError as error:
        raise RFTError(f"{path}: not UTF-8 (byte {error.start}); {MEND}") from None
    except RecursionError:
        raise RFTError(f"{path}: JSON nested too deep; {MEND}") from None
    except ValueError as error:
        why = "it is empty" if not content.strip() else short(str(error))
        raise RFTError(f"{path}: not JSON ({why}); {MEND}") from None
    if not isinstance(read, dict):
        kind = "null" if read is None else type(read).__name__
        raise RFTError(f"{path}: {kind}, where a JSON object has to be; {MEND}")
    return read


def tensors_of(path: Path) -> dict[str, Described]:
    """Read what a safetensors file holds by its header, which has to fit the file."""
    regular_file(path)
    there = path.stat()
    return _tensors(path, (there.st_size, there.st_mtime_ns, there.st_ino))


@cache
def _tensors(path: Path, stamp: tuple[int, int, int]) -> dict[str, Described]:
    size = stamp[0]
    with path.open("rb") as file:
        first = file.read(8)
        if len(first) < 8:
            raise RFTError(f"{path}: {size} bytes, not a safetensors file; {MEND}")
        (length,) = struct.unpack("<Q", first)
        if length > min(LARGEST_HEADER, size - 8):
            raise RFTError(
                f"{path}: its header is said to have {length:,} bytes, and the file has {size:,}: "
                f"cut short, or not safetensors; {MEND}"
            )
        header = as_object(path, file.read(length))
    header.pop("__metadata__", None)
    tensors, spans = {}, []
    for name, about in header.items():
        tensors[name], span = _described(path, name, about)
        spans.append(span)
    end = 0
    for begin, until in sorted(spans):
        if begin != end:
            raise RFTError(f"{path}: its header leaves a gap or an overlap at {end:,}; {MEND}")
        end = until
    if end != size - 8 - length:
        raise RFTError(
            f"{path}: {size - 8 - length:,} bytes of weights, and its header describes {end:,}: "
            f"an unfinished download or copy? {MEND}"
        )
    return tensors


def _described(path: Path, name: str, about: Any) -> tuple[Described, tuple[int, int]]:
    """Check what a header says of a tensor, and where in the file it lies."""
    shown = short(name)[:100]
    try:
        dtype, shape, (begin, end) = about["dtype"], about["shape"], about["data_offsets"]
        whole = [begin, end, *shape]
    except (TypeError, KeyError, ValueError):
        whole, dtype = [None], None
    if not all(type(number) is int and number >= 0 for number in whole):
        raise RFTError(f"{path}: its header does not describe the tensor {shown}; {MEND}")
    if not isinstance(dtype, str) or dtype not in BITS:
        raise RFTError(
            f"{path}: {shown} is of no known type of number ({short(str(dtype))}); {MEND}"
        )
    described = Described(dtype, tuple(shape))
    if described.numbers * BITS[dtype] != 8 * (end - begin):
        raise RFTError(
            f"{path}: {shown} has {end - begin:,} bytes, too many or too few for {dtype} of shape "
            f"{short(str(shape))[:60]}; {MEND}"
        )
    return described, (begin, end)
