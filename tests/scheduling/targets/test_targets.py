"""What a scheduler cannot be told is refused in one line; the call is the same everywhere."""

import re
import sys
from types import ModuleType

import click
import pytest

from rft.cli import cli
from rft.errors import RFTError
from rft.scheduling.targets import TARGETS, Target, text_for
from tests.command import ROOT
from tests.errands import errand

PAGE = (ROOT / "docs/howto/schedule.md").read_text()


@pytest.mark.parametrize(
    ("name", "changes", "says"),
    [
        ("cron", {"zone": "Europe/Berlin"}, "cron has the time zone of its machine alone"),
        ("slurm", {"zone": "Europe/Berlin"}, "slurm has the time zone of its machine alone"),
        ("hf-jobs", {"zone": "Europe/Berlin", "image": "x"}, "hf-jobs has UTC alone"),
        ("cron", {"image": "x"}, "--image: not used by --emit cron; leave it out"),
        ("kubernetes", {"image": "x", "prologue": "module load"}, "--prologue: not used by --emit"),
        ("kubernetes", {}, "add --image"),
        ("hf-jobs", {}, "add --image"),
        ("hf-jobs", {"image": "x", "parts": ("mine.py",)}, "parts: mine.py: files of this machine"),
        ("kubernetes", {"image": "x", "cron": "0 2 */2 * fri"}, "both day fields to match"),
        ("slurm", {"cron": "0 2 */2 * fri"}, "both day fields to match"),
        ("cron", {"settings": ("prompt.template=a\nb",)}, "a line break"),
        ("systemd", {"folder": "/home/a\nb"}, "a line break"),
        ("slurm", {"run": "/home/a\tb"}, "another control character"),
    ],
)
def test_what_a_target_cannot_be_told_is_refused(name, changes, says):
    with pytest.raises(RFTError) as refused:
        text_for(name, errand(**changes))
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_both_day_fields_may_have_to_match_where_cron_itself_reads_them():
    assert "0 2 */2 * 5 cd" in text_for("cron", errand("0 2 */2 * fri"))
    assert "OnCalendar=Fri *-*-1,3,5" in text_for("systemd", errand("0 2 */2 * fri"))


@pytest.mark.parametrize("name", list(TARGETS))
def test_every_target_has_a_row_in_the_page_on_schedules(name):
    assert re.search(rf"^\| `{name}` \|", PAGE, re.MULTILINE)


@pytest.mark.parametrize("name", list(TARGETS))
def test_every_target_says_what_each_exit_code_does_and_asks_for_one_round_more(name):
    image = "me/rft:1" if TARGETS[name].image else None
    text = text_for(name, errand(image=image))
    comments = [line for line in text.splitlines() if line.startswith("#   ")]
    assert {line.split()[1] for line in comments} >= {"0", "75", "2", "1"}
    assert "--next" in text.replace('"', "")
    assert text.endswith("\n")
    assert max(map(len, text.splitlines()[:5])) <= 110


def comments_of(name: str, **changes: str) -> str:
    image = "me/rft:1" if TARGETS[name].image else None
    text = text_for(name, errand(image=image, **changes))
    return " ".join(line.strip("# ") for line in text.splitlines() if line.startswith("#"))


@pytest.mark.parametrize("name", list(TARGETS))
def test_every_target_says_that_the_environment_stays_behind_and_where_to_put_it(name):
    told = comments_of(name)
    assert {"HF_TOKEN", "HF_HOME"} <= set(re.findall("HF_[A-Z]+", told))
    assert "secrets of `notify`" in told
    assert re.search("passe[sd] on", told)


@pytest.mark.parametrize("name", ["kubernetes", "hf-jobs"])
def test_a_recipe_that_travels_is_called_a_copy(name):
    copied = "is a copy: later edits of its file do not reach it"
    assert copied in comments_of(name, recipe="/home/me/mine.yaml")
    assert copied not in comments_of(name)


@pytest.mark.parametrize("name", [name for name, target in TARGETS.items() if target.image])
def test_what_needs_an_image_is_shown_with_one_in_the_help_and_on_the_page(name):
    for text in (cli.commands["schedule"].help, PAGE):
        assert f"--emit {name} --image " in text


def test_a_scheduler_more_is_a_row_and_a_file(monkeypatch):
    file = ModuleType("rft.scheduling.targets.at_dawn")
    file.write = lambda errand: f"dawn: {' '.join(errand.command)}\n"
    monkeypatch.setitem(sys.modules, file.__name__, file)
    monkeypatch.setitem(TARGETS, "at-dawn", Target())
    assert text_for("at-dawn", errand()).startswith("dawn: /opt/venv/bin/rft run quickstart")
    with pytest.raises(RFTError, match="at-dawn has the time zone of its machine alone"):
        text_for("at-dawn", errand(zone="Europe/Berlin"))


def test_the_command_line_offers_exactly_the_targets():
    option = next(each for each in cli.commands["schedule"].params if each.name == "emit")
    assert isinstance(option.type, click.Choice)
    assert list(option.type.choices) == list(TARGETS)


@pytest.mark.parametrize(
    ("run", "name"),
    [
        ("/runs/quickstart", "rft-quickstart"),
        ("/runs/Qwen2.5_32B", "rft-qwen2-5-32b"),
        ("/runs/---", "rft-run"),
        ("/runs/" + "x" * 100, "rft-" + "x" * 40),
        ("/runs/$(id) é", "rft-id"),
    ],
)
def test_the_name_of_a_job_is_one_that_every_scheduler_takes(run, name):
    assert errand(run=run).name == name
