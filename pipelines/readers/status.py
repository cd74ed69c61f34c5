"""Where a run stands, read from what is on disk: never needs the lock, so it works at any time."""

import re
import shlex
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.grpo import JOURNAL
from pipelines.perform import STAGES
from pipelines.readers.ahead import answers_wanted, expected, left_of_round
from pipelines.readers.current import all_steps, standing
from pipelines.readers.layout import percent, span
from rft.ending import amounts, budgets, in_words, spent_by
from rft.ending.spending import steps
from rft.foreign_text import visible
from rft.measuring.cut_answers import ALARM
from rft.runs.folder import Run
from rft.runs.leftovers import ARRAY
from rft.runs.lock import describe, owner_of
from rft.runs.stages import changed_settings
from rft.sampling.shards import key_in, receipts, receipts_in, spent

# Raised whenever a field of the JSON changes its meaning or goes away.
VERSION = 1

# Events that mend nothing and end nothing: what `rft clean` notes, and what tells of others.
ASIDE = ("cleaned", "removed", "stale", "round", "refused", "notify_failed", "track_failed")

# What of a status goes on by itself while a run is at work.
BY_TIME = ("heartbeat", "stage_eta_s", "round_eta_s", "spent", "workers")

# Stages whose tokens the run drew itself.
SAMPLING = ("sample", "blend", "evaluate", "grpo")


def status(run: Run) -> dict[str, Any]:
    """Say where a run stands.

    `state` is running (its lock is held), done or stopped. `exit_hint` is for schedulers: 0 nothing
    is to do, 75 run it (again), 2 or 1 as the stage that failed last. `over` says why not even
    `--next` would make a round more.
    """
    owner = owner_of(run.path / "lock") if run.locked() else None
    events, stands = run.events(), standing(run)
    following = stands.following
    round, stage = following or (None, None)
    since = None
    if owner and (begun := under_way(events)):
        round, stage, since = begun
    # Whoever only tells of a run that is done holds its lock as well.
    at_it = owner and (following or since)
    state = "running" if at_it else "stopped" if following else "done"
    done, total, left = progress(run, stage, round, since)
    if left is None and since is not None and stage is not None and round is not None:
        left = still_expected(run, round, stage, since)
    manifests = [
        manifest
        for number, each in all_steps(run)
        if (manifest := run.manifest(each.name, number)) is not None
    ]
    return {
        "version": VERSION,
        "run": str(run.path),
        "state": state,
        "round": round,
        "stage": stage,
        "rounds_done": stands.rounds,
        "rounds_total": run.recipe.rounds,
        "online": run.recipe.grpo is not None,
        "stage_done": done,
        "stage_total": total,
        "stage_eta_s": left,
        "round_eta_s": round_left(run, round, stage, left),
        "workers": speeds(run, stage, round) if owner else {},
        "shares": shares(run),
        "sampling": last_sampling(run),
        "tokens": sum((made.get("tokens") or 0) for made in manifests if made["stage"] in SAMPLING),
        "seconds": round_seconds(made.get("seconds") or 0 for made in manifests),
        "last_event": events[-1] if events else None,
        "heartbeat": heartbeat(run),
        "ended_by": stands.ended.text if stands.ended else None,
        "over": stands.over.text if stands.over else None,
        "spent": amounts(spent_by(run)),
        "budgets": budgets(run),
        "locked_by": describe(owner) if owner else None,
        "exit_hint": 0 if state == "done" else exit_hint(events),
        "next_command": command_on(run, following) if state == "stopped" else None,
    }


def changing(where: dict[str, Any]) -> dict[str, Any]:
    """Give what of a status changes when something happens, and not by time alone."""
    return {name: value for name, value in where.items() if name not in BY_TIME}


def command_on(run: Run, following: tuple[int, str] | None) -> str:
    """Write the command that goes on; what was made by other settings has to be asked for."""
    command = f"rft {run.command} {shlex.quote(str(run.path))}"
    if following is None:
        return command
    round, name = following
    made = run.manifest(name, round)
    changed = made and changed_settings(made["settings"], STAGES[name].settings(run, round))
    return f"{command} --update" if changed and not run.agreed_to_redo() else command


def exit_hint(events: list[dict[str, Any]]) -> int:
    """Give the exit code that the last attempt ended with, if it failed; 75 asks for another."""
    attempts = (each for each in reversed(events) if each.get("event") not in ASIDE)
    last: dict[str, Any] = next(attempts, {})
    return int(last["code"]) if last.get("event") == "failed" and last["code"] != 75 else 75


def round_seconds(parts: Iterable[float]) -> float:
    """Add durations, to a tenth of a second."""
    return float(format(sum(parts), ".1f"))


def under_way(events: list[dict[str, Any]]) -> tuple[int, str, datetime] | None:
    """Find the stage that was started and is neither done nor lost."""
    for event in reversed(events):
        if event.get("event") in ("done", "lost", "failed", "stopped"):
            return None
        if event.get("event") == "start":
            return event["round"], event["stage"], datetime.fromisoformat(event["time"])
    return None


def progress(
    run: Run, stage: str | None, round: int | None, since: datetime | None
) -> tuple[int | None, int | None, float | None]:
    """Count the answers (or, online, steps) that a stage has and wants, and estimate the seconds
    left.
    """
    if stage == "grpo" and run.recipe.grpo is not None:
        return steps_done(run, since)
    if stage not in ("sample", "evaluate") or round is None or not run.manifest("prepare", 0):
        return None, None, None
    done = fresh = 0
    work = run.work(stage, round)
    for path in [*work.glob("*.parquet"), *work.glob("*/[0-9]*.parquet")]:
        try:
            rows, changed = pq.read_metadata(path).num_rows, path.stat().st_mtime
        except (OSError, pa.ArrowException):
            continue  # just now replaced or put away by the writer
        done += rows
        # The pool is what earlier attempts left.
        if since and not path.name.startswith("pooled-") and changed >= since.timestamp():
            fresh += rows
    total = answers_wanted(run, stage, round)
    if since is None or not fresh or total is None:
        return done, total, None
    elapsed = max((datetime.now(UTC) - since).total_seconds(), 1.0)
    return done, total, round_seconds([max(total - done, 0) * elapsed / fresh])


def still_expected(run: Run, round: int, stage: str, since: datetime) -> float | None:
    """Estimate the seconds left of a stage that counts nothing; None once it takes longer."""
    whole = expected(run, round, stage)
    left = None if whole is None else whole - (datetime.now(UTC) - since).total_seconds()
    return None if left is None or left < 0 else round_seconds([left])


def round_left(run: Run, round: int | None, stage: str | None, left: float | None) -> float | None:
    """Estimate the seconds left of the round that is under way."""
    if round is None or stage is None:
        return None
    whole = left_of_round(run, round, stage, left)
    return None if whole is None else round_seconds([whole])


def steps_done(run: Run, since: datetime | None) -> tuple[int, int, float | None]:
    """Count the steps of online training, and estimate the seconds left."""
    assert run.recipe.grpo is not None
    total = run.recipe.grpo.steps
    rows = journal(run)
    left = (total - len(rows)) * sum(row["seconds"] for row in rows) / len(rows) if rows else None
    return len(rows), total, round_seconds([left]) if since and left is not None else None


def journal(run: Run) -> list[dict[str, Any]]:
    """Read the steps of an online training that is not done."""
    try:
        return list(steps(run.work("grpo", 1) / JOURNAL))
    except FileNotFoundError:
        return []


def speeds(run: Run, stage: str | None, round: int | None) -> dict[str, int]:
    """Give the tokens per second of each worker of a sampling stage that is not done."""
    if round is None or stage not in ("sample", "evaluate"):
        return {}
    work = run.work(stage, round)
    each = spent(receipts(work, key_in(work)))
    return {name: int(one["tokens"] / max(one["seconds"], 1e-9)) for name, one in each.items()}


def shares(run: Run) -> dict[str, int]:
    """Count the rollouts of array jobs' shares that are not put together yet."""
    waiting: dict[str, int] = {}
    for folder in sorted((run.path / "work").glob(f"round-*/{ARRAY}*")):
        number = folder.parent.name.split("-")[1]
        if not re.fullmatch("[0-9]+", number):  # no work of ours
            continue
        round = int(number)
        name = f"round {round} {folder.name.removeprefix(ARRAY).replace('-of-', '/')}"
        if count := sum(len(receipt.keys) for receipt in receipts_in(folder)):
            waiting[name] = count
    return waiting


def last_sampling(run: Run) -> dict[str, Any] | None:
    """Tell how the last round's sampling went: speed, cost of the statistics, limit, yield."""
    for round in range(run.recipe.rounds, 0, -1):
        if (made := run.manifest("sample", round)) is None:
            continue
        engine = made.get("engine", {})
        every, *_ = (run.manifest("grade", round) or {}).get("cut_at_limit") or [None]
        filtered = run.manifest("filter", round) or {}
        return {
            "round": round,
            "tokens_per_second": made.get("tokens_per_second"),
            "capture_share": engine.get("capture_share", engine.get("capture_share_of_host_time")),
            "kv_cache_peak": engine.get("kv_cache_peak"),
            "preemptions": engine.get("preemptions"),
            "cut_at_limit": every["cut"] / every["answers"] if every and every["answers"] else None,
            "tokens_per_accepted": filtered.get("tokens_per_accepted"),
        }
    return None


def heartbeat(run: Run) -> str | None:
    """Give the time of the last sign of life: an event, or a file of unfinished work."""
    last = [event["time"] for event in run.events()[-1:]]
    return max([*last, *filter(None, [run.last_written()])], default=None)


def early(where: dict[str, Any]) -> str:
    """Say why a run is done before its rounds are."""
    return f" ({where['ended_by']})" if where["ended_by"] else ""


def at_work(where: dict[str, Any]) -> str:
    """Name the stage that is under way or next, and how far it is."""
    model = f"round {where['round']}" if where["round"] else "the base"
    online = where["stage"] == "grpo"
    parts = [f"{where['stage']} of {model}"]
    if where["stage_done"] is not None:
        of = "" if where["stage_total"] is None else f" of {where['stage_total']:,}"
        parts.append(f"{where['stage_done']:,}{of} {'steps' if online else 'answers'}")
    if where["stage_eta_s"] is not None:
        parts.append(f"about {span(where['stage_eta_s'])} left in this stage")
    if where["round_eta_s"] is not None:
        parts.append(f"about {span(where['round_eta_s'])} in this round")
    return ", ".join(parts)


def sampling_line(last: dict[str, Any]) -> str:
    """Write how the last round's sampling went, as far as it was measured."""
    parts = [f"round {last['round']}"]
    if last["tokens_per_second"]:
        parts.append(f"{last['tokens_per_second']:,} tokens/s")
    if last["capture_share"] is not None:
        parts.append(f"{percent(last['capture_share'])} of it for statistics")
    if last["preemptions"]:
        parts.append(f"{last['preemptions']:,} preempted for lack of memory")
    if last["cut_at_limit"] is not None:
        alarm = " (!)" if last["cut_at_limit"] > ALARM else ""
        parts.append(f"{percent(last['cut_at_limit'])} cut at the limit{alarm}")
    if last["tokens_per_accepted"] is not None:
        parts.append(f"{last['tokens_per_accepted']:,.0f} tokens per accepted sample")
    return ", ".join(parts)


def text_status(where: dict[str, Any]) -> str:
    """Write a status in words."""
    rounds = f"{where['rounds_done']} of {where['rounds_total']} rounds done"
    lines = [f"{visible(where['run'])}: {where['state']}, {rounds}{early(where)}"]
    if where["stage"]:
        now = "now" if where["state"] == "running" else "next"
        lines.append(f"  {now:11}{at_work(where)}")
    if where["workers"]:
        each = ", ".join(f"{name} {speed:,}" for name, speed in where["workers"].items())
        lines.append(f"  {'speed':11}tokens/s of {each}")
    if where["shares"]:
        each = ", ".join(f"{name}: {count:,}" for name, count in where["shares"].items())
        lines.append(f"  {'shares':11}{each} rollouts; `rft run` puts them together")
    if last := where["sampling"]:
        lines.append(f"  {'sampling':11}{sampling_line(last)}")
    if where["locked_by"]:
        lines.append(f"  {'owner':11}{where['locked_by']}")
    lines.append(
        f"  {'so far':11}{where['tokens']:,} tokens sampled, "
        f"{span(where['seconds'])} in finished stages"
    )
    if where["budgets"]:
        lines.append(f"  {'spent':11}{in_words(where['spent'], where['budgets'])}")
    if event := where["last_event"]:
        about = f" {event['stage']}, round {event['round']}" if event.get("stage") else ""
        why = f" ({visible(str(event['reason']))})" if "reason" in event else ""
        lines.append(f"  {'last event':11}{event.get('event')}{about}, {event.get('time')}{why}")
    if where["next_command"]:
        lines.append(f"  {'to go on':11}{where['next_command']}")
    elif where["state"] == "done":
        run = shlex.quote(where["run"])
        # Online training keeps no rollouts.
        show = "" if where["online"] else f", rft show {run}"
        lines.append(f"  {'to read':11}rft report {run}{show}")
    return "\n".join(lines)
