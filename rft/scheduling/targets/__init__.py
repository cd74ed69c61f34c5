"""What a person pastes to have rounds made by a scheduler of theirs: a row, and a file, for each.

Every text has in its comments where it goes and what an exit code does there. Paths in it are
absolute; names may be hostile.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from rft.errors import RFTError
from rft.scheduling.cron import Cron


@dataclass(frozen=True)
class Errand:
    """What is to be called, when, and where; a target takes of it what it needs."""

    cron: Cron
    program: tuple[str, ...]
    """How `rft` is called on this machine."""
    recipe: str
    """A shipped name, or the absolute path of a recipe or a run."""
    settings: tuple[str, ...]
    folder: str
    """Where it is called: relative paths of a recipe begin there."""
    run: str
    is_run: bool
    """Whether `recipe` is the run itself."""
    resolved: str
    """The recipe as it was read, settings included."""
    outside: tuple[str, ...]
    """Paths that the recipe reads."""
    grace: int
    parts: tuple[str, ...] = ()
    """Files with code of one's own, which the recipe names."""
    zone: str | None = None
    image: str | None = None
    prologue: str = ""

    @property
    def name(self) -> str:
        """Name the job after the run, by letters that every scheduler takes."""
        plain = re.sub("[^a-z0-9]+", "-", self.run.rpartition("/")[2].lower()).strip("-")
        return f"rft-{plain[:40].strip('-') or 'run'}"

    @property
    def command(self) -> list[str]:
        """Write the call for this machine, or one that shares its disk."""
        return [*self.program, *self._words(self.recipe, self.run, self.settings)]

    @property
    def of_file(self) -> bool:
        """Say whether `recipe` is a recipe's file."""
        return not self.is_run and "/" in self.recipe

    def elsewhere(self, runs: str, file: str) -> list[str]:
        """Write the call for a container: the run below `runs`, a recipe as read in `file`."""
        run = f"{runs}/{self.run.rpartition('/')[2]}"
        if self.of_file:
            return ["rft", *self._words(file, run, ())]
        return ["rft", *self._words(run if self.is_run else self.recipe, run, self.settings)]

    def _words(self, recipe: str, run: str, settings: tuple[str, ...]) -> list[str]:
        out = [] if self.is_run else ["--out", run]
        changes = [word for setting in settings for word in ("--set", setting)]
        return ["run", recipe, *out, *changes, "--next", "--grace", f"{self.grace}s"]


@dataclass(frozen=True)
class Target:
    """What a scheduler can be told; what it cannot is refused."""

    zone: bool = False
    image: bool = False
    prologue: bool = False
    stepped_star: bool = True
    """Whether `*/2` is known to count as a star, so that the other day field has to match too."""


TARGETS = {
    "cron": Target(),
    "systemd": Target(zone=True),
    "slurm": Target(prologue=True, stepped_star=False),
    "kubernetes": Target(zone=True, image=True, stepped_star=False),
    "hf-jobs": Target(image=True, stepped_star=False),
}


def text_for(name: str, errand: Errand) -> str:
    """Write what is pasted, or say what the target cannot be told."""
    target = TARGETS[name]
    if errand.zone is not None and not target.zone:
        where = "UTC" if name == "hf-jobs" else "the time zone of its machine"
        raise RFTError(
            f"--time-zone {errand.zone}: {name} has {where} alone; leave it out and write "
            "--cron for that, or take --emit systemd or kubernetes"
        )
    for given, taken, option in (
        (errand.image, target.image, "--image"),
        (errand.prologue, target.prologue, "--prologue"),
    ):
        if given and not taken:
            raise RFTError(f"{option}: not used by --emit {name}; leave it out")
    if target.image and not errand.image:
        raise RFTError(f"--emit {name}: add --image, an image in which rft is installed")
    if target.image and errand.parts:
        raise RFTError(
            f"parts: {', '.join(errand.parts)}: files of this machine, which a container of {name} "
            "has not; make a package of them that is installed in the image, or emit cron, systemd "
            "or slurm"
        )
    if errand.cron.both_days and not target.stepped_star:
        raise RFTError(
            f'--cron "{errand.cron.text}": cron wants both day fields to match here, and {name} '
            "may be content with one; narrow one of the fields alone"
        )
    if not all(word.isprintable() for word in (errand.folder, *errand.command)):
        raise RFTError(
            f"{errand.run}: a path or setting with a line break or another control character "
            f"cannot be written for {name}; rename it"
        )
    write: Callable[[Errand], str] = import_module(
        f"rft.scheduling.targets.{name.replace('-', '_')}"
    ).write
    return write(errand)
