"""Pins that known verdicts save time only: the same verdicts come out, whatever the file holds.

Run: python -m pytest tests/grading/test_known_verdicts.py
"""

import os
import random
import subprocess
import sys
from itertools import product
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from rft.grading import known_verdicts
from rft.grading.at_sight import settle
from rft.grading.grade import grading_settings
from rft.grading.judgement import Judgement
from rft.grading.known_verdicts import SEAL, KnownVerdicts, name_of, read, seal_of, write
from rft.grading.verifier import MEMORY_GB, Verifier, Way, ways
from rft.grading.verifiers import open_verifier
from rft.recipe import Grade
from rft.recipe.loading import load_recipe, rooted
from tests.command import ROOT

# A generous deadline: nothing here is slow, but the machine may be.
DEADLINE = 60.0
TEXTS = [r"\frac{1}{2}", "x+1", "1+x", r"3\sqrt{2}", r"\sqrt{18}", "(1,2)", "[1,2)", "x>1", "1<x"]
TEXTS += ["A", "50\\%", "x=2", "2", r"\sin x", r"\cos(\frac{\pi}{2}-x)", r"\{1,2\}", "2,1", "4@"]
TEXTS += ["4:30", "5 cm", "5m", r"\infty", r"e^{i\pi}", r"\text{no}", "12_8", r"x^{y^{z", "\\"]
# Equal, though only math-verify sees it, and written as it is compared.
HARD = ("x+xy", "x(1+y)")


def settings(path: Path, **changed) -> Grade:
    return Grade(verdicts=str(path), deadline=changed.pop("deadline", DEADLINE), **changed)


def judged(path: Path | None, pairs, **changed):
    """Judge pairs with a file of verdicts or without; give the verdicts, and the lines told."""
    told: list[str] = []
    how = settings(path, **changed) if path else Grade(deadline=DEADLINE)
    with open_verifier(how, told.append) as verifier:
        verdicts = verifier.verdicts(pairs)
    return verdicts, told, getattr(verifier, "started", 0)


def test_the_example_is_written_as_it_is_compared():
    assert ways(*HARD) == [Way(*HARD)]
    assert settle(*HARD) is None


def row(verdict: str, path: str = "math_verify", verifier: str | None = None) -> dict[str, str]:
    name = verifier or name_of(DEADLINE, MEMORY_GB)
    return dict(zip(known_verdicts.SCHEMA.names, [name, *HARD, verdict, path], strict=True))


def test_random_pairs_have_the_same_verdicts_with_and_without_it(tmp_path):
    draw, file = random.Random(7), tmp_path / "verdicts.parquet"
    pairs = draw.sample(list(product(TEXTS, TEXTS)), 200)
    plain, _, started = judged(None, pairs)
    assert started
    first, told, _ = judged(file, pairs[:120])
    assert " 0 were known" in told[-1]
    # With half of it known, and with all: then no worker is started.
    second, _, _ = judged(file, pairs)
    third, told, started = judged(file, draw.sample(pairs, len(pairs)))
    assert first == {pair: plain[pair] for pair in pairs[:120]}
    assert second == third == plain
    assert started == 0
    count = len(read(file))
    assert count > 50
    assert told == [
        f"  verdicts: of {count} pairs for math-verify {count} were known, 0 are added ({file})"
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == [file.name]


def test_what_time_or_memory_decided_is_not_kept(tmp_path):
    known = KnownVerdicts(
        tmp_path / "v", verifier=name_of(1, 1), whom="math-verify", say=lambda _: None
    )
    for number, (verdict, path) in enumerate(
        [
            *(("timeout", lost) for lost in ("deadline", "memory", "crash")),
            *(("bad_gold", lost) for lost in ("deadline", "memory", "crash")),
            ("bad_gold", "math_verify"),
            ("wrong", "shape"),
        ]
    ):
        known.learn((f"gold {number}", "answer"), Judgement(verdict, path))
    known.save()
    kept = read(tmp_path / "v").select("gold", "verdict", "path").rows()
    assert kept == [("gold 6", "bad_gold", "math_verify"), ("gold 7", "wrong", "shape")]


def test_a_pair_that_is_cut_short_is_judged_again(tmp_path):
    slow = ("1", "2^{2^{2^{2^{2^{2^{2}}}}}}")
    file = tmp_path / "verdicts.parquet"
    for _ in range(2):
        verdicts, told, _ = judged(file, [slow, HARD], deadline=1.0)
        assert verdicts[slow].verdict in ("timeout", "unparseable", "wrong")
    stored = set(read(file)["answer"])
    assert (slow[1] in stored) == (verdicts[slow].verdict != "timeout")
    assert "verdicts: of 2" in told[-1]


@pytest.mark.parametrize("change", ["READING", "version", "deadline", "memory"])
def test_a_verdict_of_another_reading_version_or_limit_is_not_used(tmp_path, monkeypatch, change):
    file = tmp_path / "verdicts.parquet"
    with monkeypatch.context() as patch:
        deadline, memory = DEADLINE, MEMORY_GB
        if change == "READING":
            patch.setattr(known_verdicts, "READING", 2)
        elif change == "version":
            patch.setattr(known_verdicts, "version", lambda name: f"0 of {name}")
        elif change == "deadline":
            deadline += 1
        else:
            memory += 1
        write(file, pl.DataFrame([row("wrong", verifier=name_of(deadline, memory))]))
    verdicts, told, _ = judged(file, [HARD])
    assert verdicts[HARD].verdict == "correct"
    assert "0 were known, 1 are added" in told[-1]
    assert sorted(read(file)["verdict"]) == ["correct", "wrong"]


def test_a_verdict_of_the_same_is_used(tmp_path):
    file = tmp_path / "verdicts.parquet"
    write(file, pl.DataFrame([row("wrong")]))  # so that it shows
    verdicts, told, started = judged(file, [HARD])
    assert verdicts[HARD] == Judgement("wrong", "math_verify")
    assert "1 were known, 0 are added" in told[-1]
    assert started == 0


def test_other_verifiers_neither_read_nor_write_it(tmp_path):
    file = tmp_path / "verdicts.parquet"
    file.write_text("not theirs")
    for name in ("exact", "choice"):
        verdicts, told, _ = judged(file, [("B", "(B)"), HARD], verifier=name)
        with open_verifier(Grade(verifier=name)) as plain:
            assert verdicts == plain.verdicts([("B", "(B)"), HARD])
        assert told == []
    assert file.read_text() == "not theirs"


def text(path: Path) -> None:
    path.write_text("no table")


def cut(path: Path) -> None:
    write(path, pl.DataFrame([row("wrong")]))
    path.write_bytes(path.read_bytes()[:-30])


def foreign(path: Path) -> None:
    pl.DataFrame({"gold": ["1"], "answer": ["2"]}).write_parquet(path)


def unsealed(path: Path) -> None:
    pl.DataFrame([row("wrong")]).write_parquet(path)


def changed(path: Path) -> None:
    """Change a verdict by hand, and keep the seal of the others."""
    write(path, pl.DataFrame([row("correct")]))
    table = pq.read_table(path)
    poisoned = pl.DataFrame([row("wrong")]).to_arrow().cast(known_verdicts.SCHEMA)
    pq.write_table(poisoned.replace_schema_metadata(table.schema.metadata), path)


def unheard_of(path: Path) -> None:
    """Seal a verdict that there is not."""
    write(path, pl.DataFrame([row("splendid")]))


def timed_out(path: Path) -> None:
    write(path, pl.DataFrame([row("bad_gold", "deadline")]))


def a_link(path: Path) -> None:
    text(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def a_folder(path: Path) -> None:
    path.mkdir()


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


HARM = [text, cut, foreign, unsealed, changed, unheard_of, timed_out, a_link, a_folder, a_pipe]


@pytest.mark.parametrize("harm", HARM)
def test_a_poisoned_or_foreign_file_is_told_in_one_line_and_left_alone(tmp_path, harm):
    file = tmp_path / "verdicts.parquet"
    harm(file)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()}
    verdicts, told, _ = judged(file, [HARD])
    assert verdicts[HARD].verdict == "correct"
    assert len(told) == 2
    assert told[0].startswith(f"  grade.verdicts: {file}: ")
    assert told[0].endswith("; going on without it")
    assert "\n" not in told[0]
    assert "0 were known, 0 are added" in told[1]
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()} == before


def test_somebody_elses_file_is_not_believed(tmp_path, monkeypatch):
    file = tmp_path / "verdicts.parquet"
    write(file, pl.DataFrame([row("wrong")]))
    owner = file.stat().st_uid
    real = os.fstat

    def of_another(handle):
        told = list(real(handle))
        told[4] = 12345 if told[4] == owner else told[4]
        return os.stat_result(told)

    monkeypatch.setattr(known_verdicts.os, "fstat", of_another)
    verdicts, told, _ = judged(file, [HARD])
    assert verdicts[HARD].verdict == "correct"
    assert "somebody else's file" in told[0]


def test_a_place_that_cannot_be_written_costs_nothing_but_time(tmp_path):
    (tmp_path / "file").write_text("")
    verdicts, told, _ = judged(tmp_path / "file" / "verdicts.parquet", [HARD])
    assert verdicts[HARD].verdict == "correct"
    assert told[0].endswith("; going on without it")


def test_a_file_that_cannot_be_written_whole_leaves_nothing_behind(tmp_path):
    words = [sys.executable, "-c", WRITER, str(tmp_path / "verdicts.parquet"), "one"]
    # Not one byte into any file: as on a full disk.
    small = ["sh", "-c", 'ulimit -f 0; exec "$@"', "sh", *words]
    subprocess.run(small, cwd=ROOT, check=True)
    assert list(tmp_path.iterdir()) == []


def test_above_the_limit_nothing_is_added(tmp_path, monkeypatch):
    file = tmp_path / "verdicts.parquet"
    monkeypatch.setattr(known_verdicts, "MOST", 1)
    judged(file, [HARD, HARD[::-1]])
    assert len(read(file)) == 1
    before = file.read_bytes()
    _, told, _ = judged(file, [("x>1", "1<x")])
    assert file.read_bytes() == before
    assert "0 are added" in told[-1]


WRITER = """
import sys
from pathlib import Path
from rft.grading.judgement import Judgement
from rft.grading.known_verdicts import KnownVerdicts, name_of
for number in range(10):
    path, name = Path(sys.argv[1]), name_of(1, 1)
    known = KnownVerdicts(path, verifier=name, whom="math-verify", say=lambda _: None)
    for name in (sys.argv[2], "both"):
        known.learn((f"{name} {number}", "a"), Judgement("wrong", "math_verify"))
    known.save()
"""


def test_two_writers_lose_nothing_of_each_other(tmp_path):
    file = tmp_path / "verdicts.parquet"
    words = [sys.executable, "-c", WRITER, str(file)]
    writers = [subprocess.Popen([*words, name], cwd=ROOT) for name in ("one", "other")]
    assert [writer.wait() for writer in writers] == [0, 0]
    wanted = {f"{name} {number}" for name in ("one", "other", "both") for number in range(10)}
    golds = read(file)["gold"].to_list()
    assert len(golds) == len(wanted)
    assert set(golds) == wanted
    assert pq.read_schema(file).metadata[SEAL] == seal_of(read(file))
    assert sorted(path.name for path in tmp_path.iterdir()) == [file.name]


def test_what_was_judged_before_an_error_is_kept(tmp_path):
    file = tmp_path / "verdicts.parquet"

    def dying():
        with open_verifier(settings(file)) as verifier:
            verifier.verdicts([HARD])
            raise KeyError

    with pytest.raises(KeyError):
        dying()
    assert len(read(file)) == 1


def test_it_is_in_no_key_and_its_place_does_not_depend_on_where_one_calls(tmp_path, monkeypatch):
    with_it, without = (
        load_recipe("smoke", changes) for changes in (["grade.verdicts=some/v.parquet"], [])
    )
    assert grading_settings(with_it) == grading_settings(without)
    monkeypatch.chdir(tmp_path)
    assert rooted(with_it).grade.verdicts == str(tmp_path / "some" / "v.parquet")


def test_without_a_file_a_verifier_keeps_nothing():
    with Verifier(deadline=DEADLINE) as verifier:
        assert verifier.verdicts([HARD])[HARD].verdict == "correct"
