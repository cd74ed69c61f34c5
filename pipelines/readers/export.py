"""Write a run as a dataset folder that `datasets.load_dataset` opens without any code of ours.

The folder takes its place when it is whole, and replaces an earlier export of the run alone.
"""

import json
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.readers.contents import Say, look_over, write_data, write_model_card
from pipelines.readers.mark import MARK, identity, ids_of_folder, mark_text, read_mark
from rft.errors import RFTError
from rft.licence_ids import complaint
from rft.runs.atomic import atomic_text, flush_folder
from rft.runs.folder import Run, is_run
from rft.runs.leftovers import take_apart


def export_run(
    run: Run,
    *,
    to: Path,
    license_id: str | None = None,
    token_stats: bool = True,
    with_model: bool = False,
    say: Say,
) -> list[Path]:
    """Write the dataset folder and, where asked, the last adopted model into TO-model beside it."""
    wanted = look_over(run, license_id=license_id, token_stats=token_stats, with_model=with_model)
    to = to.resolve()
    refuse_foreign(to, run)
    beside = to.with_name(f"{to.name}-model")
    if with_model:
        refuse_foreign(beside, run)
    place = f"--to {shlex.quote(to.name)}"
    command = wanted.command(place, with_model=" --model" * with_model)
    with new_folder(to, run) as folder:
        facts = write_data(wanted, folder, opens=json.dumps(to.name), command=command, say=say)
    if wanted.license_id and (wrong := complaint(wanted.license_id)):
        say(f"warning: {wrong}")
    if not wanted.license_id:
        say("warning: the card says that the licence is not stated; --license ID states it")
    if not with_model:
        return [to]
    with new_folder(beside, run) as folder:
        shutil.copytree(wanted.weights, folder, dirs_exist_ok=True)
        licensed = write_model_card(wanted, to, folder, facts, command=command, link="", repo="")
    if not licensed:
        say("warning: the base states no licence, so neither does the model card; add it there")
    return [to, beside]


def refuse_foreign(target: Path, run: Run) -> None:
    """Refuse a folder with anything in it that no earlier export of this run wrote."""
    for above in (target, *target.parents):
        if is_run(above):
            raise RFTError(
                f"{target}: in a run folder, {above}, whose files are its own; choose another one"
            )
        if above != target and above.exists() and not above.is_dir():
            raise RFTError(f"{target}: {above} is not a folder; choose another one")
    restore(target)
    if target.exists() and not target.is_dir():
        raise RFTError(f"{target}: not a folder; choose another one")
    there = ids_of_folder(target)
    if not there:
        return
    try:
        owner, listed = read_mark((target / MARK).read_bytes())
    except (OSError, ValueError):
        raise RFTError(
            f"{target}: not empty, and not an export of `rft export`; choose another folder"
        ) from None
    if owner != identity(run):
        raise RFTError(f"{target}: an export of another run; choose another folder, or remove it")
    changed = [name for name, ids in there.items() if listed.get(name) != ids]
    if changed:
        raise RFTError(
            f"{target / changed[0]}: added or changed since the export, which would be lost; move "
            "it away, or choose another folder"
        )


@contextmanager
def new_folder(target: Path, run: Run) -> Iterator[Path]:
    """Yield a scratch folder beside the target, whose place it takes when the block ends well."""
    scratch, aside = (target.with_name(f".{target.name}.rft-{end}") for end in ("new", "old"))
    take_apart(scratch)
    take_apart(aside)
    scratch.mkdir(parents=True)
    try:
        yield scratch
        flush_folder(scratch)
        atomic_text(scratch / MARK, mark_text(run, ids_of_folder(scratch)))
        if target.exists():
            target.rename(aside)
        scratch.rename(target)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        restore(target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def restore(target: Path) -> None:
    """Put the earlier export back where the new one was stopped in the moment of replacing it."""
    aside = target.with_name(f".{target.name}.rft-old")
    if aside.exists() and not target.exists():
        aside.rename(target)
