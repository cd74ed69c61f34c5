"""Files of every kind, packed and not, give the same records; what is no file of records is a line.

Run: python -m pytest tests/foreign/test_records.py
"""

import csv
import gzip
import io
import json

import polars as pl
import pyarrow as pa
import pytest

from rft.foreign import records
from rft.foreign.opening import places_of
from rft.foreign.records import records_of
from tests.command import invoke
from tests.saved_rollouts import adopted_rows, eval_log, lines, refusal, run_row, sample

ROWS = [run_row(info={"n": number}, reward=float(number % 2)) for number in range(700)]


def as_lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def as_csv(rows):
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]))
    table.writeheader()
    for row in rows:
        cells = {k: json.dumps(v) if isinstance(v, list | dict) else v for k, v in row.items()}
        table.writerow(cells)
    return text.getvalue().encode()


def as_parquet(rows):
    file = io.BytesIO()
    pl.DataFrame(rows).write_parquet(file)
    return file.getvalue()


KINDS = {
    "jsonl": as_lines,
    "json": lambda rows: json.dumps(rows, indent=1).encode(),
    "csv": as_csv,
    "parquet": as_parquet,
}
PACKED = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": lambda raw: pa.compress(raw, codec="zstd", asbytes=True),
}


@pytest.mark.parametrize("packing", PACKED)
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_every_kind_gives_the_same_rows(tmp_path, kind, packing):
    path = tmp_path / f"runs.{kind}{packing}"
    path.write_bytes(PACKED[packing](KINDS[kind](ROWS)))
    made = adopted_rows(tmp_path, path, "--as", "verifiers")
    assert len(made) == 700
    assert [row["source_row"] for row in made] == list(range(1, 701))
    expected = adopted_rows(tmp_path, lines(tmp_path / "plain.jsonl", *ROWS))
    apart = ("source", "scores")
    for row, other in zip(made, expected, strict=True):
        assert {k: v for k, v in row.items() if k not in apart} == {
            k: v for k, v in other.items() if k not in apart
        }


def test_a_packed_archive_is_an_archive(tmp_path):
    log = eval_log(tmp_path / "log.eval", sample())
    packed = tmp_path / "log.eval.gz"
    packed.write_bytes(gzip.compress(log.read_bytes()))
    assert len(adopted_rows(tmp_path, packed)) == 1


def test_several_gzip_members_and_zstd_frames_are_one_file(tmp_path):
    half = as_lines(ROWS[:2])
    for name, pack in (("a.jsonl.gz", PACKED[".gz"]), ("a.jsonl.zst", PACKED[".zst"])):
        (tmp_path / name).write_bytes(pack(half) * 2)
        assert len(adopted_rows(tmp_path, tmp_path / name)) == 4


def test_records_are_read_one_after_the_other(tmp_path):
    path = lines(tmp_path / "rows.jsonl", *ROWS[:3])
    with path.open("a") as file:
        file.write("this is no record\n")
    found = records_of(places_of(str(path)), pytest.fail)
    assert [next(found).row for _ in range(3)] == [1, 2, 3]


def test_json_that_is_one_record_or_lines_is_read_by_what_it_is(tmp_path):
    path = tmp_path / "one.json"
    path.write_text("\ufeff" + json.dumps(run_row(), indent=2))
    assert len(adopted_rows(tmp_path, path)) == 1
    assert len(adopted_rows(tmp_path, lines(path, run_row(), run_row()))) == 2
    path = tmp_path / "list.jsonl"
    path.write_text(json.dumps([run_row(), run_row()]))
    assert len(adopted_rows(tmp_path, path)) == 2


TABLE = as_parquet(ROWS[:3])


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("a.jsonl", b"", "the file is empty"),
        ("a.jsonl", b"\n\n", "no records in it"),
        ("a.jsonl", b"{}\n[1]\n", "line 2 is not a JSON object"),
        ("a.jsonl", b'{"a": 1}\n{"a": ', "line 2 is not a JSON object"),
        ("a.jsonl", b'{"a": 1, "a": 2}', "line 1: 'a' stands twice in an object"),
        ("a.jsonl", b'{"a": ' + b"[" * 300 + b"]" * 300 + b"}", "line 1: nested too deeply (254"),
        ("a.jsonl", b'{"a": ' + b"[" * 90000, "line 1: nested too deeply (254 levels"),
        ("a.jsonl", b'{"a": ' + b"9" * 5000 + b"}", "line 1: a number of thousands of digits"),
        ("a.jsonl", b"\xff{}\n", "line 1 is not UTF-8 text"),
        ("a.jsonl", b"\xff\xfe{\0}\0", "it is UTF-16, not UTF-8"),
        ("a.jsonl", b"BZh91AY", "it is compressed by bzip2; unpack it first"),
        ("a.json", b"[1, 2]", "its record 1 is not a JSON object (1)"),
        ("a.json", b"[]", "no records in it"),
        ("a.json", b"[" * 90000, "nested too deeply"),
        ("a.json", b'"text"', "its record 1 is not a JSON object ('text')"),
        ("a.csv", b"a,b\n1,2,3\n", "line 2 has more fields than the first line has names"),
        (
            "a.csv",
            b'a,b\n1,"2\n\n3"\n\n4\n',
            "line 6 has fewer fields than the first line has names",
        ),
        ("a.csv", b"a,b,a\n1,2,3\n", "line 1 has 2 columns 'a'; give every column a name of its"),
        ("a.csv", b'a,b\n1,2\n3,"4\n5,6\n', "begins in line 3 is no CSV (unexpected end of data)"),
        ("a.csv", b'a,b\n1,"2\n3,"4"\n', "begins in line 2 is no CSV (',' expected after '\"')"),
        ("a.csv", b"a,b\n\xff,2\n", "it is not UTF-8 text"),
        ("a.csv", b"a,b\n", "no records in it"),
        ("a.csv", b"a" * 300 + b",b\n1,2\n", "a column whose name has 300 characters"),
        ("a.parquet", TABLE[:-100], "not a readable Parquet file"),
        ("a.parquet", b"PAR1 and more", "not a readable Parquet file"),
        (
            "a.jsonl.gz",
            gzip.compress(as_lines(ROWS), mtime=0)[:-20],
            "its gzip is damaged (Truncated",
        ),
        ("a.jsonl.gz", b"\x1f\x8b" + b"x" * 50, "its gzip is damaged ("),
        ("a.jsonl.zst", b"\x28\xb5\x2f\xfd" + b"x" * 50, "its zstd is damaged ("),
        ("a.jsonl.gz", gzip.compress(b"", mtime=0), "the file is empty"),
    ],
)
def test_what_is_no_file_of_records_is_refused_in_one_line(tmp_path, name, content, line):
    path = tmp_path / name
    path.write_bytes(content)
    told = refusal(tmp_path, path, "--as", "verifiers")
    assert f"{name}: " in told
    assert line in told


def test_a_quotation_mark_that_never_closes_loses_no_row_in_silence(tmp_path):
    first, *rest = as_csv(ROWS).splitlines(keepends=True)
    rest[300] = b'"' + rest[300].replace(b'"', b"")
    path = tmp_path / "runs.csv"
    path.write_bytes(b"".join([first, *rest]))
    assert "the row that begins in line 302 is no CSV" in refusal(tmp_path, path)


def test_a_field_that_may_be_many_rows_is_told_and_an_answer_of_many_lines_is_not(tmp_path):
    path, output = tmp_path / "runs.csv", tmp_path / "out.parquet"
    path.write_bytes(as_csv([run_row(), run_row(completion="so\n" * 500)]))
    assert "lines" not in invoke("adopt", path, "--output", output).stderr
    path.write_bytes(as_csv([run_row(), *[run_row(completion="1,2\n" * 1000)] * 3]))
    told = invoke("adopt", path, "--output", output).stderr
    assert (
        "runs.csv: line 3: 'completion' goes on for 1,001 lines, and so do fields of 2 more rows; "
        "if that is no long text, a quotation mark is missing there"
    ) in told
    assert len(pl.read_parquet(output)) == 4


def test_a_small_file_that_becomes_a_large_one_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "MOST_UNPACKED", 1 << 20)
    path = tmp_path / "bomb.jsonl.gz"
    path.write_bytes(gzip.compress(b"\n" * (8 << 20)))
    assert "that unpack to more than" in refusal(tmp_path, path)


def test_a_line_without_an_end_is_not_read_into_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("rft.problems.reading.LONGEST_LINE", 1 << 20)
    path = tmp_path / "long.jsonl"
    path.write_bytes(b'{"a": "' + b"x" * (3 << 20))
    assert "line 1 has more than 1 MiB" in refusal(tmp_path, path)
    monkeypatch.setattr(records, "LONGEST_JSON", 1 << 20)
    path = tmp_path / "long.json"
    path.write_bytes(b'["' + b"x" * (3 << 20))
    assert "more than 1 MiB of one JSON value" in refusal(tmp_path, path)
