"""A service and a timer of systemd, for the user who calls."""

import re

from rft.errors import RFTError
from rft.scheduling.cron import DAYS, Cron, ranged
from rft.scheduling.targets import Errand

TEXT = """\
# Paste this into a shell: it writes two files and starts the timer. It needs systemd 244 or later.
# To let it run while you are not logged in: loginctl enable-linger
# What it says: journalctl --user -u {name}; when it is next: systemctl --user list-timers
#   0   a round is made, or nothing is left to do: the timer starts the next one
#   75  interrupted, or killed: again after five minutes
#   2   a person must change something: not again before the next time
#   1   a bug, with its traceback: not again before the next time
# systemd passes on nothing of your shell's environment: put what a round needs of it (secrets of
# `notify`, HF_TOKEN, HF_HOME) as NAME=VALUE into a file that only you can read, and name it by
# `systemctl --user edit {name}.service`: [Service], and below it EnvironmentFile=/PATH/OF/IT
# Never two at once. Times missed while the machine was off come to one, when it is on again.
mkdir -p ~/.config/systemd/user
cat > ~/.config/systemd/user/{name}.service <<'END_OF_UNIT'
[Unit]
Description=One more round of {name}

[Service]
Type=oneshot
WorkingDirectory={folder}
ExecStart=:{command}
KillMode=mixed
KillSignal=SIGTERM
TimeoutStopSec={patience}
Restart=on-failure
RestartSec=300
RestartPreventExitStatus=1 2
END_OF_UNIT
cat > ~/.config/systemd/user/{name}.timer <<'END_OF_UNIT'
[Unit]
Description=When {name} makes one more round

[Timer]
{times}
AccuracySec=1s
Persistent=true

[Install]
WantedBy=timers.target
END_OF_UNIT
systemctl --user daemon-reload
systemctl --user enable --now {name}.timer
"""


def write(errand: Errand) -> str:
    """Write a script that sets up both units."""
    if set(errand.program[0]) & set("'\"\\"):
        raise RFTError(
            f"{errand.program[0]}: systemd starts no program with a quote or backslash in its "
            "path; install rft into another folder"
        )
    zone = f" {errand.zone}" if errand.zone else ""
    return TEXT.format(
        name=errand.name,
        folder=errand.folder.replace("%", "%%"),
        command=" ".join(map(quoted, errand.command)),
        # Longer than the grace, so that it is not killed while it winds down.
        patience=errand.grace + 15,
        times="\n".join(f"OnCalendar={line}{zone}" for line in calendar_lines(errand.cron)),
    )


def quoted(word: str) -> str:
    """Quote a word as systemd reads it; the colon before the command keeps $ as it is."""
    word = word.replace("%", "%%")
    if re.fullmatch(r"[\w./:=@%,+-]+", word, re.ASCII):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def calendar_lines(cron: Cron) -> list[str]:
    """Write an expression as systemd's calendar events, two where either day field is enough."""

    def some(values: tuple[int, ...], whole: int) -> str:
        return "*" if len(values) == whole else ",".join(ranged(values, ".."))

    names = ",".join(DAYS[day].capitalize() for day in cron.weekdays)
    weekdays = f"{names} " if len(cron.weekdays) < 7 else ""
    days, months = some(cron.days, 31), some(cron.months, 12)
    time = f"{some(cron.hours, 24)}:{some(cron.minutes, 60)}:00"
    if cron.either_day:
        return [f"*-{months}-{days} {time}", f"{weekdays}*-{months}-* {time}"]
    return [f"{weekdays}*-{months}-{days} {time}"]
