"""Logs of inspect_ai: samples in an `.eval` archive or in one JSON file, a rollout each.

As in `inspect_ai` 0.3.285: an `.eval` file is a zip with header.json and a
`samples/ID_epoch_N.json` for each sample (`log/_recorders/eval.py`), packed by deflate or, in newer
ones, by zstd in several frames (`_util/zipfile.py`), which Python reads from 3.14 on. A sample
(`log/_log.py`) has id, epoch from 1 on, input, target, messages, output (choices, completion,
usage) and scores, each with a value: a number, or C, I, P and N for correct, incorrect, partial and
no answer, which count as 1, 0, 0.5 and 0 (`scorer/_metric.py`). The JSON form has all in one
object, the samples as `samples`. Long texts can be put off into `attachments`. A sample that is
stored in pieces, in a folder of its own (`log/_recorders/chunked`), is set aside.
"""

import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from rft.errors import RFTError, clipped
from rft.foreign.chat import Adopted, Unfit, adopted, attempt, of_texts
from rft.foreign.values import (
    golds_in,
    integer_in,
    list_in,
    mapping_in,
    messages_in,
    number_of,
    reward_in,
    text_in,
    usage_in,
)
from rft.problems.reading import json_object

# A sample's events can be many; beyond so much it is not looked into.
LONGEST_SAMPLE = 256 << 20
# As many levels as the library writes.
DEEPEST_SAMPLE = 254
ZSTD = 93
SAMPLE = re.compile(r"samples/[^/]+\.json")
PIECES = re.compile(r"samples/[^/]+/sample\.json")
GRADES = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0, "yes": 1.0, "no": 0.0}
ATTACHMENT = "attachment://"


def fits(record: Mapping[str, Any]) -> bool:
    """Say whether a record looks like a sample."""
    return all(name in record for name in ("input", "target", "epoch"))


def rows(record: Mapping[str, Any]) -> Iterator[Adopted | Unfit]:
    """Give the rollout that a sample is."""
    yield attempt(_rollout, record)


def samples_of(log: Mapping[str, Any]) -> list[Any] | None:
    """Give the samples of a log that is one JSON object; None where it is no log."""
    if not isinstance(log.get("eval"), dict) or "status" not in log:
        return None
    return list_in(log.get("samples"))


def _rollout(sample: Mapping[str, Any]) -> Adopted:
    if reason := text_in(sample.get("unread")):
        raise Unfit(reason)
    if sample.get("error"):
        raise Unfit("sample that failed")
    output = mapping_in(sample.get("output"))
    choice = mapping_in(next(iter(list_in(output.get("choices"))), None))
    if len(list_in(output.get("choices"))) > 1:
        raise Unfit("several answers of one sample")
    scored = mapping_in(sample.get("scores"))
    scores = {name: mapping_in(each).get("value") for name, each in scored.items()}
    tokens = list_in(mapping_in(choice.get("logprobs")).get("content"))
    epoch = integer_in(sample.get("epoch"))
    name = sample.get("id")
    kept: dict[str, Any] = {
        "ends": (choice.get("stop_reason"),),
        **golds_in(sample, names=("target",)),
        **reward_in(next(iter(scores.values())) if len(scores) == 1 else None, graded),
        "scores": scores,
        "logprobs": [mapping_in(each).get("logprob") for each in tokens],
        "num_tokens": usage_in(output.get("usage"), "output_tokens"),
        "sample_index": epoch - 1 if epoch else None,
        "source_id": None if name is None else str(name),
        "model": text_in(output.get("model")),
    }
    attached = mapping_in(sample.get("attachments"))
    said = mapping_in(choice.get("message"))
    if messages := messages_in(sample.get("messages")):
        return adopted([_whole(each, attached) for each in messages], **kept)
    given = messages_in(sample.get("input"))
    if not given and text_in(sample.get("input")):
        given = [{"role": "user", "content": sample["input"]}]
    if said:
        return adopted([_whole(each, attached) for each in (*given, said)], **kept)
    question, answer = text_in(sample.get("input")) or "", text_in(output.get("completion")) or ""
    return of_texts(question, answer, prompt=question, **kept)


def graded(value: Any) -> float | None:
    """Read what a scorer gave as a number."""
    known = GRADES.get(value, GRADES.get(value.lower())) if isinstance(value, str) else None
    return number_of(value) if known is None else known


def _whole(message: Mapping[str, Any], attached: Mapping[str, Any]) -> Mapping[str, Any]:
    """Put texts back that were put off into the sample's attachments."""

    def back(text: Any) -> Any:
        if isinstance(text, str) and text.startswith(ATTACHMENT):
            return attached.get(text.removeprefix(ATTACHMENT), text)
        return text

    content = message.get("content")
    if isinstance(content, list):
        parts = [
            {name: back(each) for name, each in part.items()} if isinstance(part, dict) else part
            for part in content
        ]
        return {**message, "content": parts}
    return {**message, "content": back(content)}


# The archive --------------------------------------------------------------------------------------


def samples_in(file: BinaryIO, name: str) -> Iterator[dict[str, Any]]:
    """Read the samples of an `.eval` archive, one after the other."""
    try:
        with zipfile.ZipFile(file) as archive:
            inside = archive.NameToInfo
            if not any(SAMPLE.fullmatch(each) or each == "header.json" for each in inside):
                raise RFTError(f"{name}: it is a zip archive, but no .eval log; unpack it first")
            for path, info in inside.items():
                if PIECES.fullmatch(path):
                    yield {"unread": "sample that is stored in pieces", "id": path}
                elif SAMPLE.fullmatch(path) and info.file_size > LONGEST_SAMPLE:
                    yield {"unread": f"sample of more than {LONGEST_SAMPLE >> 20} MiB", "id": path}
                elif SAMPLE.fullmatch(path):
                    place = f"{name}: {clipped(path)}"
                    raw = _unpacked(archive, file, info, place)
                    yield json_object(raw, place, DEEPEST_SAMPLE)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, struct.error) as error:
        reason = clipped(" ".join(str(error).split()), 200)
        raise RFTError(f"{name}: not a readable .eval log ({reason}); fetch it again") from None


def _unpacked(archive: zipfile.ZipFile, file: BinaryIO, info: zipfile.ZipInfo, place: str) -> bytes:
    """Unpack a member, of no more bytes than it says it has."""
    import pyarrow as pa

    if info.flag_bits & 1:
        raise RFTError(f"{place}: it is encrypted; decrypt it first")
    if info.compress_type != ZSTD:
        with archive.open(info) as member:
            return member.read()
    # Python before 3.14 has no zstd: the packed bytes come after the member's own header.
    file.seek(info.header_offset)
    header = file.read(30)
    if header[:4] != b"PK\x03\x04":
        raise zipfile.BadZipFile("a member is not where the directory says")
    names, extra = struct.unpack("<26xHH", header)
    file.seek(info.header_offset + 30 + names + extra)
    packed = file.read(info.compress_size)
    try:
        with pa.CompressedInputStream(pa.BufferReader(packed), "zstd") as stream:
            raw = bytes(stream.read(info.file_size + 1))
    except OSError as error:
        raise zipfile.BadZipFile(str(error)) from None
    if len(raw) != info.file_size or zlib.crc32(raw) != info.CRC:
        raise zipfile.BadZipFile(f"bad content of {clipped(info.filename)}")
    return raw
