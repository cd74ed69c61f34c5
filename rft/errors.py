"""The two ways in which a command ends on purpose: somebody must act, or run it again."""

import errno


class RFTError(Exception):
    """A mistake that a person must mend: one line saying what, where, the value seen, what to do.

    The command line prints it without a traceback and exits 2.
    """


class Interrupted(Exception):
    """Work that stopped with its state saved: the same command goes on (exit 75)."""


FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


def explained(error: BaseException) -> str | None:
    """Say in one line what the disk refused, if that is what an error is about.

    Writers of weights wrap the system's error in exceptions of their own, so their words count too.
    """
    text = str(error).strip().splitlines()[0] if str(error).strip() else ""
    code = error.errno if isinstance(error, OSError) else None
    full = any(words in text for words in ("No space left", "File too large", "Disk quota"))
    if code in FULL or full:
        return f"the disk is full or a size limit is reached ({text}); make room and run again"
    if code in FORBIDDEN:
        return f"no permission ({text}); mend the permissions or choose another folder"
    if type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError):
        return (
            f"out of memory ({text}); lower engine.args.batch while sampling, "
            "micro_batch (of sft or grpo) or the longest row while training, or use lora"
        )
    return None
