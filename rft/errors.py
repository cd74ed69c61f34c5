"""The two ways in which a command ends on purpose: somebody must act, or run it again."""


class RFTError(Exception):
    """A mistake that a person must mend: one line saying what, where, the value seen, what to do.

    The command line prints it without a traceback and exits 2.
    """


class Interrupted(Exception):
    """Work that stopped with its state saved: the same command goes on (exit 75)."""
