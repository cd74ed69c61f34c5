"""The error model: how a command can end, who says so, and what is left behind.

| end         | exit | what it means                                                    |
|-------------|------|------------------------------------------------------------------|
| done        | 0    | all is done, or there was nothing to do                          |
| RFTError    | 2    | a person must change something: one line, no traceback           |
| Interrupted | 75   | stopped with its state saved: the same command goes on           |
| a bug       | 1    | anything else, an `assert` that fails included: a traceback      |

Who raises: whoever sees the mistake, as early as it can be seen, so that nothing is accepted that
is refused hours later. An RFTError's line says what, where, the value seen, and what to do.
Interrupted is raised where the work can be left: after a signal, --stop-after, or the loss of a
process that others depended on.

Who translates: rft/cli/terminal.py alone turns both into words on standard error and an exit code.
What is wrong with a command line itself, click words in its own way, with 2 as well.
What a full disk, missing permissions or too little memory make other libraries raise goes through
`explained` there, and ends as an RFTError does. A second signal, or the end of the grace after a
first one, ends the process at once, with 75 and no word: what is on disk is whole at any moment.

Children: a stage's process or a worker that fails says why by itself, through the same
terminal.py; whoever started it ends with its code and adds no word, so that a failure is told once.
The line is also in the run's event log (`error`), where the driver has it from for `notify`.
Where a child could not speak since it was killed, or was told to stop, its parent speaks: it raises
Interrupted, or has another worker take over.

Model output is data, never an error: a bad rollout is a row with a verdict, and what is dropped is
dropped by name.

What fails leaves nothing half-written: files are renamed into place when they are whole, the
outputs of a stage take their place when all of it is done, its manifest last. What was finished
of an unfinished stage waits in `work/` and is used again.
"""

import errno
import json
from collections.abc import Iterable
from typing import Any

LONGEST_SHOWN = 60
MOST_LISTED = 20
# What is longer is no misspelled name.
LONGEST_WORD = 200


class RFTError(Exception):
    """A mistake that a person must mend: one line saying what, where, the value seen, what to do.

    The command line prints it without a traceback and exits 2.
    """


class Interrupted(Exception):
    """Work that stopped with its state saved: the same command goes on (exit 75)."""


FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
BROKEN = {errno.EIO, errno.ESTALE}
FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
# What no path may be, whichever was given.
NO_PATH = {
    errno.ENAMETOOLONG: "a name is too long for the file system",
    errno.ELOOP: "links lead in a circle",
}


def explained(error: BaseException) -> str | None:
    """Say in one line what the disk or the memory refused, if that is what an error is about.

    Writers of weights wrap the system's error in exceptions of their own, so their words count too.
    """
    text = clipped(str(error).strip().splitlines()[0], 300) if str(error).strip() else ""
    code = error.errno if isinstance(error, OSError) else None
    full = any(words in text for words in ("No space left", "File too large", "Disk quota"))
    if code in FULL or full:
        return f"the disk is full or a size limit is reached ({text}); make room and run again"
    if "PytorchStreamWriter" in text or "inline_container" in text:
        return (
            f"torch could not write a file whole ({text}); see whether the disk is full, and run "
            "again"
        )
    if code in BROKEN or "Input/output error" in text:
        return f"the disk failed ({text}); see what is wrong with it and run again"
    if code in FORBIDDEN or "Permission denied" in text:
        return f"no permission ({text}); mend the permissions or choose another folder"
    if code in NO_PATH:
        return f"{NO_PATH[code]} ({text}); give another"
    if type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError):
        return (
            f"out of memory ({text}); lower engine.args.batch while sampling, "
            "micro_batch (of sft or grpo) or the longest row while training, or use lora"
        )
    return None


def in_one_line(error: Exception) -> tuple[int, str]:
    """Give the exit code that an error comes to, and what it says."""
    if isinstance(error, RFTError):
        return 2, str(error)
    reason = explained(error)
    return (1, f"{type(error).__name__}: {error}") if reason is None else (2, reason)


def shown(value: Any) -> str:
    """Show a value as it might be typed, and not too much of it."""
    return clipped(json.dumps(value, ensure_ascii=False, default=str))


def clipped(text: str, longest: int = LONGEST_SHOWN) -> str:
    """Give the beginning of a text, with an ellipsis where it is cut."""
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def listed(names: Iterable[object]) -> str:
    """List names, the first of them where there are many, and none of them whole if it is long."""
    every = [clipped(str(name)) for name in names]
    more = len(every) - MOST_LISTED
    return ", ".join(every[:MOST_LISTED]) + (f" and {more:,} more" if more > 0 else "")


def nearest(word: str, names: Iterable[str]) -> str | None:
    """Find the name that a misspelled word most likely stands for."""
    import difflib  # here, since most commands misspell nothing

    if len(word) > LONGEST_WORD:
        return None
    close = difflib.get_close_matches(word, list(names), n=1)
    return close[0] if close else None


def did_you_mean(*guesses: str, kind: str = "") -> str:
    """Ask whether one of these names was meant."""
    named = " or ".join(f'"{guess}"' for guess in guesses)
    return f"did you mean {kind}{named}?"


def suggestion(word: str, names: Iterable[str], *, otherwise: str, kind: str = "") -> str:
    """Ask whether the name nearest to a misspelled word was meant, or say something else."""
    guess = nearest(word, names)
    return did_you_mean(guess, kind=kind) if guess else otherwise
