"""Every option of every command takes hostile words with one line, and leaves nothing behind."""

import json
import re
from pathlib import Path

import click
import pytest

from rft.cli import cli
from tests.command import invoke

# U+202E and the like are escaped by what prints; here it is about ends, not about looks.
WORDS = ["", "-1", "9" * 400, "x" * 100_000, "nan", "[", "{a: b}", "\udcff", "/dev/zero", "a\nb"]
# What a command cannot do without, so that the word under test is read.
NEEDED = {"schedule": ["--cron", "0 2 * * *"], "export": ["--to", "out"]}


def calls() -> list[tuple[str, ...]]:
    """List calls of every command, each with one word too many, too long or too strange."""
    made: list[tuple[str, ...]] = []
    for name, command in cli.commands.items():
        needed = NEEDED.get(name, [])
        arguments = [each for each in command.params if isinstance(each, click.Argument)]
        # No recipe and no run is called so: what is read before them is what is tested.
        others = ["nowhere.yaml" for each in arguments if each.required or name == "doctor"]
        for place in range(len(arguments)):
            for word in WORDS:
                given = [*others, *["nowhere"] * len(arguments)][: max(place + 1, len(others))]
                given[place] = word
                made.append((name, *needed, "--", *given))
        for option in command.params:
            if isinstance(option, click.Option) and not option.is_flag:
                made += [(name, *needed, option.opts[0], word, *others) for word in WORDS]
        made += [(name, f"--{'x' * 100_000}"), (name, *others, *["more"] * 9)]
    return made


@pytest.mark.parametrize("name", cli.commands)
def test_hostile_words_end_in_a_line_that_can_be_read(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    for words in calls():
        if words[0] != name:
            continue
        done = invoke(*words)
        told = json.dumps([word[:40] for word in words])
        assert done.exception is None or isinstance(done.exception, SystemExit), told
        assert done.exit_code in (0, 2), told
        assert max(map(len, done.output.splitlines()), default=0) < 2_000, told
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f]", done.output), told
        if done.exit_code == 2:
            assert "Error: " in done.stderr, told
            assert list(Path().iterdir()) == [], told


def test_the_walk_knows_all_commands():
    assert {words[0] for words in calls()} == set(cli.commands)
    assert len(calls()) > 1_000
