"""Call `rft grade|filter|select --input` on rows of one's own, and look at what comes out."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from click.testing import CliRunner

from rft.cli import cli

RIGHT, WRONG, NONE = r"so \boxed{4}. Or \boxed{5}", r"so \boxed{5}", "no idea"
RANDOM = ("--set", "select.by=random")


@dataclass
class Outcome:
    """What a command did."""

    code: int
    said: str
    told: str
    output: Path

    @property
    def rows(self) -> list[dict[str, Any]]:
        assert self.code == 0, self.told
        return pl.read_parquet(self.output).to_dicts()

    @property
    def rejected(self) -> list[dict[str, Any]]:
        return pl.read_parquet(self.output.with_suffix(".rejected.parquet")).to_dicts()

    @property
    def passed_over(self) -> list[dict[str, Any]]:
        return pl.read_parquet(self.output.with_suffix(".passed_over.parquet")).to_dicts()


def run(tmp_path: Path, stage: str, given: Any, *more: str) -> Outcome:
    """Run a stage on rows, a frame, bytes, or a path."""
    source = given if isinstance(given, Path) else tmp_path / "in.rows"
    if isinstance(given, list):
        source.write_text("".join(json.dumps(row) + "\n" for row in given))
    elif isinstance(given, pl.DataFrame):
        given.write_parquet(source)
    elif isinstance(given, bytes):
        source.write_bytes(given)
    output = tmp_path / "out.parquet"
    done = CliRunner().invoke(cli, [stage, "--input", str(source), "--output", str(output), *more])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Outcome(done.exit_code, done.stdout, done.stderr, output)


def refused(tmp_path: Path, stage: str, given: Any, *more: str) -> str:
    """Run a stage that must refuse, and give its one line."""
    outcome = run(tmp_path, stage, given, *more)
    assert outcome.code == 2, outcome.said + outcome.told
    assert not outcome.said
    line = outcome.told.strip().splitlines()[-1]
    assert line.startswith("Error: ")
    assert len(line) < 500
    assert not list(tmp_path.glob("*out*")), "something was written"
    return line
