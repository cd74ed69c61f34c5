"""Pins what is refused of anyone's files before it hangs, fills the memory or ends the process."""

import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rft.errors import RFTError
from rft.problems import reading, sources
from rft.problems.gold import read_gold
from rft.problems.reading import read_rows
from rft.problems.sources import read_source
from rft.recipe import Source


def parquet(path: Path, **columns: pa.Array) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def refused(path: Path, says: str) -> None:
    with pytest.raises(RFTError) as caught:
        read_rows(path)
    line = str(caught.value)
    assert says in line
    assert "\n" not in line
    assert len(line) < 600


# Files --------------------------------------------------------------------------------------------


def test_a_pipe_is_refused_and_never_opened(tmp_path):
    os.mkfifo(tmp_path / "rows.jsonl")
    refused(tmp_path / "rows.jsonl", "it is a pipe; write what comes out of it into a file")


def test_a_file_that_may_not_be_read_says_so(tmp_path, monkeypatch):
    def forbidden(self: Path, **_: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "stat", forbidden)
    refused(tmp_path / "rows.jsonl", "no permission")


def test_a_line_beyond_the_longest_is_not_read_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "LONGEST_LINE", 1000)
    (tmp_path / "rows.jsonl").write_text('{"a": 1}\n{"a": "' + "x" * 2000 + '"}\n')
    refused(tmp_path / "rows.jsonl", "line 2 has more than 0 MiB")


@pytest.mark.parametrize("depth", [33, 500, 990, 5_000, 200_000])
def test_json_of_any_depth_is_one_line(tmp_path, depth):
    for opens, closes in (('{"a":', "}"), ('{"a":[', "]}")):
        (tmp_path / "rows.jsonl").write_text(opens * depth + "1" + closes * depth)
        refused(tmp_path / "rows.jsonl", "line 1: nested too deeply (32 levels are the most)")


def test_json_of_the_deepest_that_is_taken_makes_a_table(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"a":' * 32 + "1" + "}" * 32)
    assert len(read_rows(tmp_path / "rows.jsonl")) == 1


def test_an_object_without_keys_is_nothing(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"a": "x", "about": {}}\n{"a": "y", "about": {}}\n')
    assert read_rows(tmp_path / "rows.jsonl").rows() == [("x", None), ("y", None)]
    (tmp_path / "rows.jsonl").write_text('{"a": [{}]}\n')
    refused(tmp_path / "rows.jsonl", "column 'a' holds objects without keys in it")


# Parquet ------------------------------------------------------------------------------------------


def text_of(*texts: bytes) -> pa.Array:
    """Make a column of texts that are none."""
    ends = [sum(map(len, texts[:i])) for i in range(len(texts) + 1)]
    offsets = b"".join(end.to_bytes(4, "little") for end in ends)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(texts))]
    return pa.Array.from_buffers(pa.string(), len(texts), buffers)


def test_a_text_that_is_not_utf8_is_refused(tmp_path):
    refused(parquet(tmp_path / "a.parquet", a=text_of(b"ok", b"\xff\xfe")), "Invalid UTF8 sequence")


def test_a_column_whose_name_is_not_utf8_is_refused(tmp_path):
    path = parquet(tmp_path / "a.parquet", zzzz=pa.array([1]))
    path.write_bytes(path.read_bytes().replace(b"zzzz", b"\xff\xfe\xfdz"))
    refused(path, "not a readable Parquet file ('utf-8' codec can't decode")


def test_a_small_file_of_a_large_table_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "MOST_UNPACKED", 1 << 20)
    path = parquet(tmp_path / "a.parquet", a=pa.array(["x" * 1000] * 100_000))
    refused(path, "bytes that unpack to more than")


def test_more_columns_than_anybody_has_are_refused_before_they_are_read(tmp_path):
    columns = {f"c{i}": pa.array([1]) for i in range(1_001)}
    refused(parquet(tmp_path / "a.parquet", **columns), "more than 1,000 columns, such as c0, c1")


def test_types_that_polars_has_nothing_for_are_refused(tmp_path):
    wide = pa.array([None], pa.list_(pa.decimal256(76)))
    refused(
        parquet(tmp_path / "a.parquet", a=wide), "'a' holds decimal256(76, 0), which is too wide"
    )
    deep = pa.array([None], pa.int64())
    for _ in range(40):
        deep = pa.array([None], pa.list_(deep.type))
    refused(parquet(tmp_path / "a.parquet", a=deep), "column 'a' is nested too deeply")
    zone = pa.array([1], pa.timestamp("us", tz="Mars/Phobos"))
    refused(parquet(tmp_path / "a.parquet", a=zone), "its columns make no table")


@pytest.mark.parametrize("seed", range(40))
def test_damage_anywhere_is_one_line_or_the_same_table(tmp_path, seed):
    path = parquet(tmp_path / "a.parquet", a=pa.array(["x", "y"] * 20), b=pa.array([[1], [2]] * 20))
    good = read_rows(path)
    whole = bytearray(path.read_bytes())
    place = seed * len(whole) // 40
    whole[place] ^= 0xFF
    path.write_bytes(whole)
    line = ""
    try:
        read = read_rows(path)
    except RFTError as error:
        read, line = good, str(error)
    assert read.columns == good.columns
    assert "\n" not in line


# Golds --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": 1}, b"7", [[1]], [None]])
def test_what_is_no_answer_is_no_gold(value):
    assert read_gold(value, "plain") == []


def test_a_problem_that_is_too_long_is_set_aside_by_name(tmp_path):
    path = parquet(
        tmp_path / "a.parquet",
        question=pa.array(["x" * 100_001, "y", "z"]),
        gold=pa.array(["1", "2" * 10_001, "3"]),
    )
    source = Source(source=str(path))
    reasons = [row["reason"] for row in sources.problems(read_source(source), source)]
    assert reasons == [
        "question longer than 100,000 characters",
        "gold longer than 10,000 characters",
        None,
    ]


# Addresses ----------------------------------------------------------------------------------------


@contextmanager
def serving(answer) -> Iterator[str]:
    """Serve what a function writes for any request."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                answer(self)
            except OSError:  # whoever asked has gone
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/rows.jsonl"
    finally:
        server.shutdown()
        server.server_close()


def refused_from(answer, says: str) -> None:
    with serving(answer) as url:
        with pytest.raises(RFTError) as caught:
            read_source(Source(source=url))
        assert says in str(caught.value)
        assert "\n" not in str(caught.value)


def raw(content: bytes):
    return lambda handler: handler.wfile.write(content)


OK = b"HTTP/1.0 200 OK\r\n\r\n"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "cannot be read"),
        (b"garbage\r\n\r\n", "cannot be read"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\nshort", "cannot be read (IncompleteRead"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n", "cannot be read"),
        (
            b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
            "cannot be read (got more than 100",
        ),
        (b"HTTP/1.1 500 \x1b[2J\r\n\r\n", "cannot be read (HTTP Error 500"),
        (b"HTTP/1.1 302 x\r\nLocation: file:///etc/passwd\r\n\r\n", "cannot be read"),
        (b"HTTP/1.1 302 x\r\nLocation: ftp://127.0.0.1/x\r\n\r\n", "unknown url type: ftp"),
        (b"HTTP/1.1 302 x\r\nLocation: /rows.jsonl\r\n\r\n", "cannot be read"),
        (OK, "the file is empty"),
        (OK + b"<html>", "line 1 is not a JSON object"),
        (OK + b"PAR1 and no more", "not a readable Parquet file"),
        (OK + b"\x1f\x8b\x08", "it is compressed by gzip"),
        (OK + b'{"a":' * 1000 + b"}" * 1000, "nested too deeply"),
    ],
    ids=range(14),
)
def test_a_server_may_answer_anything(content, says):
    refused_from(raw(content), says)


def test_a_body_without_an_end_is_left(monkeypatch):
    monkeypatch.setattr(sources, "MOST_BYTES", (1 << 20) - 1)  # whole parts are of 1 MiB

    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(OK)
        while True:
            handler.wfile.write(b"x" * (1 << 16))

    refused_from(endless, "no end after 1 MiB")


def test_a_body_that_trickles_is_left(monkeypatch):
    monkeypatch.setattr(sources, "MOST_SECONDS", 0)

    def trickling(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(OK)
        while True:
            handler.wfile.write(b" ")

    refused_from(trickling, "no end after 0 MiB")


def test_a_table_that_is_served_is_read():
    file = io.BytesIO()
    pq.write_table(pa.table({"question": ["a"], "gold": ["1"]}), file)
    with serving(raw(OK + file.getvalue())) as url:
        assert read_source(Source(source=url)).rows() == [("a", "1")]
