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
from rft.foreign_text import one_line, visible
from rft.model_folders.content import content_digest
from rft.runs import tables
from rft.runs.folder import Run
from rft.runs.plain_files import read_small
from rft.runs.schemas import TABLES

# What names a rollout besides its id, and an evaluated answer: a model answers one problem in
# several benchmarks.
SAMPLE = {"round": int, "problem_id": str, "sample_index": int}
ANSWER = SAMPLE | {"split": str, "benchmark": str}
# Which stage writes a column: where a row differs there, an older one may have been redone since.
WRITERS = {"selected": "select", "rejected": "filter", "problems": "prepare", "graded": "grade"}
WRITERS |= {"rollouts": "sample"}
# What fields of a row are in the run: a field of two tables may be as in either of them.
Mine = list[dict[str, Any]]


def writers() -> dict[str, str]:
    """Give the stage that writes each column."""
    named = {name: stage for table, stage in WRITERS.items() for name in TABLES[table].names}
    return named | {"passed_over": "select"}


def trace(run: Run, row: str) -> dict[str, Any]:
    """Give the trail of a row, whether it is as the run has it, and whether the run's files are.

    `row` is a rollout's id or the start of one, or FILE:LINE with the first line 1.
    """
    name, _, line = row.rpartition(":")
    told: dict[str, Any] = {"file": None, "line": None, "differences": [], "not_compared": []}
    told["only_problem"] = False
    if not (name and line.isdecimal()):
        refuse_file(name or row)
        refuse_file(row)
        whole = of_rollout(run, row)
    else:
        given = read_line(Path(name), int(line))
        whole, mine = of_row(run, given)
        told |= {"file": name, "line": int(line)}
        told["differences"] = differences(run, given, mine, measured(whole))
        told["not_compared"] = [each for each in given if not any(each in part for part in mine)]
        # A problem's row has none of the columns of answers.
        answers = writers().keys() & set(told["not_compared"])
        told["only_problem"] = whole["rollout"] is None and bool(answers)
    return whole | {"row": told, "digests": list(digests(run, whole["steps"]))}


def measured(whole: dict[str, Any]) -> bool:
    """Say whether a trail is an evaluated answer's."""
    return "split" in (whole["rollout"] or ())


def refuse_file(name: str) -> None:
    """Refuse a file whose line is not said."""
    # What is longer than any file's name cannot be asked for.
    there = len(name) < 256 and Path(name).is_file()
    if there or name.lower().endswith((".parquet", ".jsonl")):
        raise RFTError(f"{name}: which row of it? write {name}:LINE, the first line is 1")


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
    if traced["row"]["only_problem"]:
        rest = ", ".join(one_line(name, 40) for name in traced["row"]["not_compared"])
        parts.append(
            f"{traced['row']['file']}: line {traced['row']['line']}: without rollout_id (or round "
            f"and sample_index) only its problem could be found, and {rest} were not compared; "
            "keep the column rollout_id"
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
        parquet = file.read(4) == b"PAR1" or path.suffix.lower() == ".parquet"
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


def of_row(run: Run, given: dict[str, Any]) -> tuple[dict[str, Any], Mine]:
    """Find what the run has for a row of an export: its trail, and its fields."""
    if isinstance(given.get("rollout_id"), str):
        refuse_absent(run, given)
        return of_sample(run, given["rollout_id"])
    if has(given, ANSWER):
        row = answer_of(run, given)
        problem = problem_of(run, row["problem_id"], split=row["split"], benchmark=row["benchmark"])
        return trail.of_evaluation(run, row, problem), [row]
    if has(given, SAMPLE):
        return of_sample(run, id_of(run, given))
    if isinstance(given.get("problem_id"), str) and "question" in given:
        place = {name: given[name] for name in ("split", "benchmark") if given.get(name)}
        problem = problem_of(run, given["problem_id"], **place)
        whole = trail.of_problem(run, problem)
        return whole, [{name: problem[name] for name in problem if name != "read"}]
    raise RFTError(
        f"a row is found by its rollout_id, or {', '.join(SAMPLE)}; an evaluated answer by "
        f"{', '.join(ANSWER)}, a problem by its problem_id and question; this row has "
        f"{one_line(', '.join(map(str, given)), 80)}"
    )


def has(given: dict[str, Any], names: dict[str, type]) -> bool:
    """Say whether a row has columns, each of its kind."""
    return all(type(given.get(name)) is kind for name, kind in names.items())


def of_sample(run: Run, name: str) -> tuple[dict[str, Any], Mine]:
    """Give the trail of the rollout of an id, and all that the tables hold of it."""
    row = show.whole(run, show.find(run, name))
    whole = show.trail_of(run, row)
    mine = [whole["problem"], row | {"passed_over": row["left_out"]}]
    mine.append(show.read_row(run, "rollouts", row))
    # What `score` computed stands in the row, what was graded before in the table.
    mine += [show.read_row(run, "graded", row)] if row["verdict"] else []
    known = writers()
    return whole, [{name: part[name] for name in part if name in known} for part in mine]


def id_of(run: Run, given: dict[str, Any]) -> str:
    """Find the id of a rollout whose round, problem and place among its samples are known."""
    rows = show.listing(run, problems=[given["problem_id"]])
    for row in rows.select("rollout_id", *SAMPLE).iter_rows(named=True):
        if all(row[name] == given[name] for name in SAMPLE):
            return str(row["rollout_id"])
    wanted = ", ".join(f"{name} {given[name]}" for name in SAMPLE)
    raise RFTError(
        f"{run.path}: no rollout of {one_line(wanted, 120)} (another run's export?)"
        + before(run, "sample", given["round"], given.get("model"))
    )


def answer_of(run: Run, given: dict[str, Any]) -> dict[str, Any]:
    """Find an evaluated answer."""
    number = given["round"]
    place = pl.all_horizontal(pl.col(name) == given[name] for name in ANSWER)
    if sound(run, "evaluate", number):
        for path in run.parts("evaluations", number):
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
    if name in show.names_in(run)["rollout_id"]:
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
        made = json.loads(read_small(path))
        if round in (None, made["round"]) and model in (None, made.get("model")):
            told.append(f"{path.relative_to(run.path)}, done {made['finished']}")
    if not told:
        return ""
    return f"; `{stage}` was redone since, so it may be of an earlier one: {'; '.join(told)}"


# Comparing ----------------------------------------------------------------------------------------


def differences(run: Run, given: dict[str, Any], mine: Mine, evaluated: bool) -> list[str]:
    """Say in which fields a row of a file differs from what the run has."""
    told = []
    for name, value in given.items():
        allowed = [part[name] for part in mine if name in part]
        # The config `sft` calls the trimmed response, which is trained on, a completion.
        if name == "completion" and "finish_reason" not in given:
            allowed = [part["response"] for part in mine if part.get("response")] + allowed
        if not allowed or any(same(value, each) for each in allowed):
            continue
        stage = "evaluate" if evaluated else writers().get(name, "sample")
        number = next((part["round"] for part in mine if "round" in part), None)
        redone = before(run, stage, None if stage == "prepare" else number)
        told.append(f"{one_line(name, 40)} differs{difference(value, allowed[0])}{redone}")
    return told


def same(given: Any, mine: Any) -> bool:
    """Compare values; a number of 32 bits has fewer digits in JSON than as a number of 64."""
    if isinstance(given, list) and isinstance(mine, list):
        return len(given) == len(mine) and all(map(same, given, mine))
    if isinstance(mine, float) and isinstance(given, (int, float)):
        low, high = sorted((mine * (1 - 2**-23), mine * (1 + 2**-23)))
        return low <= given <= high or (mine != mine and given != given)
    return bool(given == mine)


def difference(given: Any, mine: Any) -> str:
    """Write two values, of long texts the place where they part."""
    if isinstance(given, list) or isinstance(mine, list):
        return ""
    if not (isinstance(given, str) and isinstance(mine, str)):
        return f" ({shown(given)}, not {shown(mine)})"
    if max(len(given), len(mine)) <= 30:
        return f" ({shown(given)}, not {shown(mine)})"
    shorter = min(len(given), len(mine))
    at = next((n for n in range(shorter) if given[n] != mine[n]), shorter)
    if at == shorter:
        more = "the end is missing" if len(given) < len(mine) else "more follows"
        return f" ({len(given):,} characters, not {len(mine):,}: {more})"
    return f" (at character {at + 1:,}: {around(given, at)}, not {around(mine, at)})"


def around(text: str, at: int) -> str:
    """Quote a few characters on both sides of a place."""
    start, end = max(0, at - 12), at + 13
    cut = visible(text[start:end]).replace("\n", "\\n").replace("\t", "\\t")
    return f"'{'…' if start else ''}{cut}{'…' if end < len(text) else ''}'"


def shown(value: Any) -> str:
    """Write a value in a few words."""
    return f"'{one_line(value, 120)}'" if isinstance(value, str) else one_line(f"{value}", 40)


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
