"""Where a row comes from: found by a rollout's id or in an export, followed back to its source.

What a file says is held against the run, and what the run says against the digests of its files.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from pipelines.readers import show, trail
from pipelines.readers.current import sound
from pipelines.readers.sources import find_problem
from rft.errors import RFTError
from rft.foreign_text import one_line
from rft.runs import tables
from rft.runs.folder import Run
from rft.runs.models import content_digest

# What names an evaluated answer: a model answers one problem in several benchmarks.
ANSWER = ["round", "split", "benchmark", "problem_id", "sample_index"]
# Which stage writes a column: where a row differs there, an older one may have been redone since.
COLUMNS = {
    **dict.fromkeys(["question", "gold", "source"], "prepare"),
    **dict.fromkeys(["problem_id", "round", "sample_index", "prompt", "completion"], "sample"),
    **dict.fromkeys(["finish_reason", "token_ids", "model", "sampling", "seed"], "sample"),
    **dict.fromkeys(["response", "answer", "verdict"], "grade"),
    "rejected_by": "filter",
    **dict.fromkeys(["role", "rank"], "select"),
}


def trace(run: Run, row: str) -> dict[str, Any]:
    """Give the trail of a row, whether it is as the run has it, and whether the run's files are.

    `row` is a rollout's id or the start of one, or FILE:LINE with the first line 1.
    """
    name, _, line = row.rpartition(":")
    told: dict[str, Any] = {"file": None, "line": None, "differences": []}
    if not (name and line.isdigit()):
        whole = of_rollout(run, row)
    else:
        given = read_line(Path(name), int(line))
        whole, mine = of_row(run, given)
        told = {"file": name, "line": int(line), "differences": differences(run, given, mine)}
    return whole | {"row": told, "digests": list(digests(run, whole["steps"]))}


def complaint(run: Run, traced: dict[str, Any]) -> str | None:
    """Say in one line what is not as it should be; None where all is."""
    wrong = traced["row"]["differences"]
    bad = [each for each in traced["digests"] if each["state"] in ("differs", "missing")]
    parts = []
    if wrong:
        parts.append(
            f"{traced['row']['file']}: line {traced['row']['line']} is not what the run has: "
            f"{'; '.join(wrong)}"
        )
    if bad:
        files = ", ".join(f"{each['what']} ({each['state']})" for each in bad)
        parts.append(f"{run.path}: not what the manifests say: {files}")
    return "; ".join(parts) or None


# Finding ------------------------------------------------------------------------------------------


def of_rollout(run: Run, name: str) -> dict[str, Any]:
    """Give the trail of the rollout of an id, or of the start of one."""
    return show.trail_of(run, show.whole(run, show.find(run, name)))


def problem_of(run: Run, name: str, **place: str) -> dict[str, Any]:
    """Read the problem of an id, in the split and benchmark that are named."""
    problem = find_problem(run, name, **place)
    if problem is None:
        raise RFTError(
            f"{run.path}: no problem {one_line(name, 40)!r} (another run's export?)"
            + before(run, "prepare")
        )
    return problem


def read_line(path: Path, line: int) -> dict[str, Any]:
    """Read a row of a Parquet or JSONL file by its number, the first being 1."""
    if not path.is_file():
        raise RFTError(f"{path}: no such file; write FILE:LINE, or a rollout's id")
    if line == 0:
        raise RFTError(f"{path}: the first line is 1")
    with path.open("rb") as file:
        parquet = file.read(4) == b"PAR1"
    if parquet:
        return tables.read_row(path, line - 1)
    with path.open("rb") as file:
        text = next((each for number, each in enumerate(file, 1) if number == line), None)
    if text is None:
        raise RFTError(f"{path}: it has no line {line}")
    try:
        row = json.loads(text)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict):
        raise RFTError(f"{path}: line {line} is not a JSON object; give Parquet or JSON lines")
    return row


def of_row(run: Run, given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Find what the run has for a row of an export: its trail, and its fields."""
    if isinstance(given.get("rollout_id"), str):
        refuse_absent(run, given)
        whole = of_rollout(run, given["rollout_id"])
        stored = show.read_row(
            run, "rollouts", given | {"round": whole["rollout"]["round"]}, ["token_ids"]
        )
        told = ("problem", "rollout", "selection")
        mine = {name: value for part in told for name, value in whole[part].items()}
        rejected = (whole["rules"] or {}).get("rejected_by")
        mine |= {"rejected_by": rejected and rejected["rule"], "token_ids": stored["token_ids"]}
        mine |= whole["verdict"] or dict.fromkeys(["response", "answer", "verdict"])
        mine |= {"model": whole["model"]["digest"], "sampling": whole["engine"]["sampling"]}
        return whole, mine
    if all(given.get(name) is not None for name in ANSWER):
        row = answer_of(run, given)
        problem = problem_of(run, row["problem_id"], split=row["split"], benchmark=row["benchmark"])
        return trail.of_evaluation(run, row, problem), row
    if isinstance(given.get("problem_id"), str) and "question" in given:
        place = {name: given[name] for name in ("split", "benchmark") if given.get(name)}
        problem = problem_of(run, given["problem_id"], **place)
        return trail.of_problem(run, problem), problem
    raise RFTError(
        "a row is found by its rollout_id, an evaluated answer by "
        f"{', '.join(ANSWER)}, a problem by its problem_id and question; this row has "
        f"{one_line(', '.join(map(str, given)), 80)}"
    )


def answer_of(run: Run, given: dict[str, Any]) -> dict[str, Any]:
    """Find an evaluated answer."""
    number = given["round"]
    place = pl.all_horizontal(pl.col(name) == given[name] for name in ANSWER)
    if isinstance(number, int) and sound(run, "evaluate", number):
        for path in tables.parts(run.folder("evaluations", number)):
            rows = tables.read_file(path).filter(place)
            if len(rows):
                return rows.row(0, named=True)
    wanted = ", ".join(f"{name} {given[name]}" for name in ANSWER)
    raise RFTError(
        f"{run.path}: no evaluated answer of {one_line(wanted, 120)} (another run's export?)"
        + before(run, "evaluate", number, given.get("model"))
    )


def refuse_absent(run: Run, given: dict[str, Any]) -> None:
    """Refuse a rollout that the run does not have (now), and say whether it had it once."""
    name = given["rollout_id"]
    if name in set(show.listing(run)["rollout_id"]):
        return
    for path in sorted((run.path / "stale").glob("*/rollouts/round-*/*.parquet")):
        if name in set(tables.read_file(path, ["rollout_id"])["rollout_id"]):
            raise RFTError(
                f"{run.path}: no rollout {name!r} any more: its stage was redone, and it is in "
                f"{path.relative_to(run.path)}"
            )
    raise RFTError(
        f"{run.path}: no rollout {one_line(name, 40)!r} (another run's export?)"
        + before(run, "sample", given.get("round"), given.get("model"))
    )


def before(run: Run, stage: str, round: Any = None, model: Any = None) -> str:
    """Name the put-away manifests of a stage that a row may be of; empty where there are none."""
    told = []
    for path in sorted((run.path / "stale").glob(f"*/manifest/round-*/{stage}.json")):
        made = json.loads(path.read_text())
        if round in (None, made["round"]) and model in (None, made.get("model")):
            told.append(f"{path.relative_to(run.path)}, done {made['finished']}")
    if not told:
        return ""
    return f"; `{stage}` was redone since, so it may be of an earlier one: {'; '.join(told)}"


# Comparing ----------------------------------------------------------------------------------------


def differences(run: Run, given: dict[str, Any], mine: dict[str, Any]) -> list[str]:
    """Say in which fields a row of a file differs from what the run has."""
    told = []
    for name, stage in COLUMNS.items():
        if name not in given or name not in mine or (name == "token_ids" and not given[name]):
            continue
        # The config `sft` calls the trimmed response, which is trained on, a completion.
        trimmed = name == "completion" and "finish_reason" not in given
        allowed = [mine[name], mine.get("response")] if trimmed else [mine[name]]
        if given[name] not in allowed:
            of_round = None if stage == "prepare" else mine.get("round")
            values = ""
            if all(not isinstance(each, list) for each in (given[name], mine[name])):
                values = f" ({shown(given[name])}, not {shown(mine[name])})"
            told.append(f"{name} differs{values}{before(run, stage, of_round)}")
    return told


def shown(value: Any) -> str:
    """Write a value in a few words."""
    return repr(one_line(value, 30)) if isinstance(value, str) else str(value)


# Digests ------------------------------------------------------------------------------------------


def digests(run: Run, steps: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Hash every table and model of the steps, and hold it against its manifest."""
    for step in steps:
        for name, wanted in step["wrote"].items():
            model = name == "model"
            round = step["round"]
            folder = run.model_folder(round) if model else run.folder(name, round)
            there = folder.is_dir() and any(folder.iterdir())
            if not there:
                state = "removed" if step["removed"] else "missing"
            else:
                is_now = content_digest(folder) if model else tables.folder_digest(folder)
                state = "matches" if is_now == wanted else "differs"
            what = f"model {round}" if model else f"{name} of round {round}"
            what = name if step["stage"] == "prepare" else what
            yield {"what": what, "stage": step["stage"], "round": round} | {
                "digest": wanted,
                "state": state,
            }
