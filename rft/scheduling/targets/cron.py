"""A line of a crontab."""

import shlex

from rft.scheduling.targets import Errand

TEXT = """\
# For `crontab -e`. Times are in the time zone of the machine. A time at which it is
# off, or at which a round is still being made, is left out. The log says how each call ended:
#   0   a round is made, or nothing is left to do
#   75  interrupted, or another call is at work: the next time goes on with it
#   2   a person must change something: the last line of the log says what
#   1   a bug, with its traceback: the next time tries again
# Cron passes on nothing of your environment: what a round needs of it (secrets of `notify`,
# HF_TOKEN, HF_HOME) goes above the line, each as NAME=VALUE on a line of its own.
{times} {command}
"""


def write(errand: Errand) -> str:
    """Write the line; cron ends a command at a bare %."""
    log = f"{errand.folder}/{errand.name}.log"
    call = f"cd {shlex.quote(errand.folder)} && {shlex.join(errand.command)}"
    command = f"{call} >> {shlex.quote(log)} 2>&1"
    return TEXT.format(times=errand.cron.text, command=command.replace("%", "\\%"))
