"""A row of an export is found, held against the run, and the run against its manifests."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from pipelines.readers.contents import sft_rows
from pipelines.readers.show import choose
from pipelines.readers.tracing import difference, read_line, same
from rft.cli import cli
from rft.errors import RFTError
from rft.runs import tables
from rft.runs.folder import Run, open_run
from tests import scored_run
from tests.exported_run import export


@pytest.fixture(scope="module")
def run(tmp_path_factory, finished) -> Run:
    return open_run(Path(shutil.copytree(finished, tmp_path_factory.mktemp("trace") / "run")))


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "data"
    export(run, folder)
    return folder


def rft_trace(run: Run, row: object, *more: str, code: int = 0) -> tuple[str, str]:
    result = CliRunner().invoke(cli, ["trace", str(run.path), str(row), *more])
    assert result.exit_code == code, result.output
    return result.stdout, result.stderr


def test_a_rollout_is_traced_by_the_start_of_its_id(run):
    name = choose(run, role="positive")["rollout_id"][0]
    told, _ = rft_trace(run, name[:12])
    assert f"row         {name} of {run.path}" in told
    assert "licence apache-2.0" in told
    assert "learnt by   model 1 (adopted, 2 epochs)" in told
    assert "digests     all 11 match their manifests" in told
    assert f"rft sample {run.path} --round 1" in told
    assert "versions    rft-rounds " in told


@pytest.mark.parametrize("config", ["sft", "rollouts", "graded", "evaluations", "problems"])
def test_every_row_of_an_export_is_the_runs(run, exported, config):
    for path in sorted((exported / config).glob("*.parquet")):
        lines = len(tables.read_file(path))
        for line in {1, lines}:
            told, _ = rft_trace(run, f"{path}:{line}", "--json")
            traced = json.loads(told)
            row = tables.read_file(path).row(line - 1, named=True)
            assert traced["row"] == {
                "file": str(path),
                "line": line,
                "differences": [],
                "not_compared": [],
                "only_problem": False,
            }
            assert traced["problem"]["problem_id"] == row["problem_id"]
            assert {each["state"] for each in traced["digests"]} == {"matches"}
            rft_trace(run, f"{path}:{line}")


def test_json_lines_do_as_well(run, exported, tmp_path):
    path = tmp_path / "copy.jsonl"
    tables.read_file(next((exported / "sft").glob("*.parquet"))).write_ndjson(path)
    told, _ = rft_trace(run, f"{path}:2")
    assert f"{path}, line 2: as {run.path} has it" in " ".join(told.split())


@pytest.mark.parametrize(
    ("column", "value"),
    [("completion", "So $\\boxed{8}$."), ("prompt", "other"), ("gold", ["8"]), ("role", "noise")],
)
def test_a_row_that_was_changed_is_said_in_one_line(run, exported, tmp_path, column, value):
    rows = tables.read_file(next((exported / "sft").glob("*.parquet"))).to_dicts()
    line = next(n for n, row in enumerate(rows, 1) if row["role"] == "positive")
    rows[line - 1][column] = value
    path = tmp_path / "tampered.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    told, error = rft_trace(run, f"{path}:{line}", code=2)
    assert "NOT what the run has" in " ".join(told.split())
    assert error.startswith(f"Error: {path}: line {line} is not what the run has: {column} differs")
    assert error.count("\n") == 1


def one_row(exported: Path, config: str) -> dict:
    """Give a row of an export, of a rollout that was selected to be learnt from."""
    chosen = tables.read_file(next((exported / "sft").glob("*.parquet"))).filter(role="positive")
    name = "problem_id" if config == "problems" else "rollout_id"
    rows = pl.concat(map(tables.read_file, sorted((exported / config).glob("*.parquet"))))
    return rows.filter(pl.col(name) == chosen[name][0]).row(0, named=True)


def written(path: Path, row: dict) -> str:
    path.write_text(json.dumps(row) + "\n")
    return f"{path}:1"


@pytest.mark.parametrize("config", ["sft", "rollouts", "graded", "problems", "evaluations"])
def test_every_column_is_compared(run, exported, tmp_path, config):
    if config == "evaluations":
        row = tables.read_file(next((exported / config).glob("*.parquet"))).row(0, named=True)
    else:
        row = one_row(exported, config)
    names = [name for name in row if name not in ("rollout_id", "problem_id", "split", "benchmark")]
    if config == "evaluations":
        names = [name for name in names if name not in ("round", "sample_index")]
    changed = {name: changed_value(row[name]) for name in names}
    place = written(tmp_path / "row.jsonl", row | changed)
    differing = json.loads(rft_trace(run, place, "--json", code=2)[0])["row"]["differences"]
    assert [each.split()[0] for each in differing] == names


def test_what_score_computed_is_compared_with_what_it_computed(tmp_path, prompts):
    run = scored_run.begin(tmp_path / "run", "select.by=entropy", "select.budget=3")
    scored_run.sample(run, prompts, scored_run.answers(4, 2))
    scored_run.go_on(run, "grade", "filter", "score", "select")
    row = sft_rows(run, 1, run.read("selected", 1)).row(0, named=True)
    assert row["mean_entropy"] is not None
    rft_trace(run, written(tmp_path / "row.jsonl", row))
    graded = run.read("graded", 1).filter(rollout_id=row["rollout_id"]).row(0, named=True)
    assert graded["mean_entropy"] is None
    rft_trace(run, written(tmp_path / "row.jsonl", graded))
    other = row | {"mean_entropy": row["mean_entropy"] + 0.001}
    error = rft_trace(run, written(tmp_path / "row.jsonl", other), code=2)[1]
    assert "mean_entropy differs" in error


def changed_value(value):
    if isinstance(value, list):
        return [*value, value[0] if value else 1]
    if isinstance(value, str):
        return value + "!"
    return 7 if value is None else value + 0.001


@pytest.mark.parametrize("config", ["sft", "rollouts", "graded"])
def test_a_row_without_its_rollouts_id_is_found_by_its_place_and_compared_whole(
    run, exported, tmp_path, config
):
    row = one_row(exported, config)
    del row["rollout_id"]
    place = written(tmp_path / "row.jsonl", row)
    assert f"as {run.path} has it" in " ".join(rft_trace(run, place)[0].split())
    text = "response" if config == "graded" else "completion"
    place = written(tmp_path / "row.jsonl", row | {text: row[text] + "More."})
    many = len(row[text])
    assert f"({many + 5} characters, not {many}: more" in rft_trace(run, place, code=2)[1]
    place = written(tmp_path / "row.jsonl", row | {text: "another"})
    assert f"not what the run has: {text} differs" in rft_trace(run, place, code=2)[1]
    place = written(tmp_path / "row.jsonl", row | {"sample_index": 99})
    assert "sample_index 99 (another run's export?)" in rft_trace(run, place, code=2)[1]


def test_a_row_of_which_only_the_problem_can_be_found_is_not_certified(run, exported, tmp_path):
    row = one_row(exported, "sft")
    some = {name: row[name] for name in ("prompt", "completion", "problem_id", "question", "gold")}
    told, error = rft_trace(run, written(tmp_path / "row.jsonl", some), code=2)
    assert "has it" not in told
    assert (
        "line 1: only its problem could be found; not compared, as nothing was found for it: "
        "prompt, completion"
    ) in " ".join(told.split())
    assert error == (
        f"Error: {tmp_path}/row.jsonl: line 1: without rollout_id (or round and sample_index) only "
        "its problem could be found, and prompt, completion were not compared; keep the column "
        "rollout_id\n"
    )


@pytest.mark.parametrize("config", ["sft", "problems"])
def test_columns_that_the_run_does_not_have_are_named(run, exported, tmp_path, config):
    row = one_row(exported, config) | {"my_score": 3, "note": "ours"}
    told, _ = rft_trace(run, written(tmp_path / "row.jsonl", row))
    assert (
        f"as {run.path} has it; not compared, as nothing was found for it: my_score, note"
    ) in " ".join(told.split())
    told, _ = rft_trace(run, written(tmp_path / "row.jsonl", row | {"gold": ["0"]}), code=2)
    assert "; not compared, as nothing was found for it: my_score, note" in " ".join(told.split())


@pytest.mark.parametrize(
    ("given", "mine", "told"),
    [
        ("short", "other", " ('short', not 'other')"),
        (3, None, " (3, not None)"),
        (
            "4 - 3 = 1. That gives $\\boxed{2}$ and so on.",
            "4 - 3 = 1. That gives $\\boxed{1}$ and so on.",
            " (at character 31: '…ves $\\boxed{2}$ and so on…', "
            "not '…ves $\\boxed{1}$ and so on…')",
        ),
        ("a" * 40, "a" * 50, " (40 characters, not 50: the end is missing)"),
        ("a" * 40 + "\u202e", "a" * 40, " (41 characters, not 40: more follows)"),
        (
            "a\n" * 20 + "\u202e" + "b" * 20,
            "a\n" * 20 + "b" * 21,
            " (at character 41: '…" + "a\\n" * 6 + "\\u202e" + "b" * 12 + "…', "
            "not '…" + "a\\n" * 6 + "b" * 13 + "…')",
        ),
    ],
)
def test_a_difference_shows_the_place_where_texts_part(given, mine, told):
    assert difference(given, mine) == told


@pytest.mark.parametrize(
    ("given", "mine", "alike"),
    [
        (0.1, 0.10000000149011612, True),
        (0.1001, 0.10000000149011612, False),
        (-0.1, -0.10000000149011612, True),
        (10**400, 1.0, False),
        ([0.1, None], [0.10000000149011612, None], True),
        ([0.1], [0.1, 0.1], False),
        (None, 0.0, False),
        ("0", 0.0, False),
    ],
)
def test_a_number_of_32_bits_is_the_same_in_json(given, mine, alike):
    assert same(given, mine) == alike


def test_a_whole_sample_may_not_be_cut_to_what_was_trained_on(run, exported, tmp_path):
    rows = pl.concat(map(tables.read_file, (exported / "rollouts").glob("*.parquet"))).to_dicts()
    row = next(row for row in rows if "boxed" in row["completion"])
    path = tmp_path / "cut.jsonl"
    path.write_text(json.dumps(row | {"completion": row["completion"].split("}")[0] + "}!"}))
    assert "completion differs" in rft_trace(run, f"{path}:1", code=2)[1]


def test_a_table_or_a_model_that_was_changed_is_named(run, tmp_path):
    copy = open_run(Path(shutil.copytree(run.path, tmp_path / "run")))
    name = choose(copy, role="positive")["rollout_id"][0]
    part = tables.parts(copy.folder("rollouts", 1))[0]
    rows = tables.read_file(part)
    tables.write_file(part, rows.with_columns(seed=pl.col("seed") + 1).to_arrow())
    with (copy.model_folder(1) / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")
    shutil.rmtree(copy.folder("verdicts", 1))
    told, error = rft_trace(copy, name, code=2)
    assert "rollouts of round 1 DIFFERS" in told
    assert error == (
        f"Error: {copy.path}: not what the manifests say: rollouts of round 1 (differs), "
        "verdicts of round 1 (missing), model 1 (differs)\n"
    )
    states = {each["what"]: each["state"] for each in json.loads(
        rft_trace(copy, name, "--json", code=2)[0]
    )["digests"]}  # fmt: skip
    assert states["graded of round 1"] == "matches"


def test_a_model_that_keep_models_removed_is_no_damage(run, tmp_path):
    copy = open_run(Path(shutil.copytree(run.path, tmp_path / "run")))
    copy.write_manifest("sft", 1, copy.manifest("sft", 1) | {"removed": "keep.models: last"})
    shutil.rmtree(copy.model_folder(1))
    told, _ = rft_trace(copy, choose(copy, role="positive")["rollout_id"][0])
    assert "all 10 match their manifests; model 1 was removed (keep.models)" in told


def test_a_row_that_was_sampled_anew_since_is_looked_for_among_what_was_put_away(
    run, exported, tmp_path
):
    copy = open_run(Path(shutil.copytree(run.path, tmp_path / "run")))
    row = tables.read_file(next((exported / "sft").glob("*.parquet"))).row(0, named=True)
    others = tables.read_file(tables.parts(copy.folder("rollouts", 1))[0])
    copy.put_away([copy.folder("rollouts", 1), copy.manifest_path("sample", 1)])
    less = others.filter(pl.col("rollout_id") != row["rollout_id"])
    tables.write(copy.folder("rollouts", 1), "rollouts", less)
    path = tmp_path / "row.jsonl"
    path.write_text(json.dumps(row))
    _, error = rft_trace(copy, f"{path}:1", code=2)
    assert "its stage was redone, and it is in stale/0001/rollouts/round-0001/part" in error
    shutil.rmtree(copy.path / "stale/0001/rollouts")
    _, error = rft_trace(copy, f"{path}:1", code=2)
    assert "`sample` was redone since" in error
    assert "stale/0001/manifest/round-0001/sample.json, done 20" in error
    # A row of another model is of no sampling of this round.
    path.write_text(json.dumps(row | {"model": "f00"}))
    assert "redone" not in rft_trace(copy, f"{path}:1", code=2)[1]


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        ('{"a": 1}\n', 2, "has no line 2"),
        ('{"a": 1}\n', 0, "the first line is 1"),
        ("nonsense\n", 1, "line 1 is not a JSON object"),
        ("", 1, "has no line 1"),
    ],
)
def test_a_line_that_is_not_there_is_refused(tmp_path, content, line, message):
    path = tmp_path / "rows.jsonl"
    path.write_text(content)
    with pytest.raises(RFTError, match=message):
        read_line(path, line)


def test_what_cannot_be_found_is_one_line(run, exported, tmp_path):
    parquet = next((exported / "sft").glob("*.parquet"))
    assert "has no such row, but 16; the first is 1" in rft_trace(run, f"{parquet}:99", code=2)[1]
    assert "no such file" in rft_trace(run, "gone.parquet:1", code=2)[1]
    path = tmp_path / "other.jsonl"
    path.write_text('{"step": 1, "reward": 0.5}\n{"rollout_id": "feed"}\n')
    assert "this row has step, reward" in rft_trace(run, f"{path}:1", code=2)[1]
    assert "no rollout 'feed' (another run's export?)" in rft_trace(run, f"{path}:2", code=2)[1]
    path.write_text('{"round": "1", "problem_id": "p", "sample_index": 0}\n')
    assert "or round, problem_id, sample_index; an" in rft_trace(run, f"{path}:1", code=2)[1]
    answer = {"round": 9, "split": "test", "benchmark": "test", "problem_id": "p"}
    path.write_text(json.dumps(answer | {"sample_index": 0}))
    assert "no evaluated answer of round 9" in rft_trace(run, f"{path}:1", code=2)[1]


def test_a_damaged_file_of_ones_own_is_said_in_one_line(run, exported, tmp_path):
    path = tmp_path / "broken.parquet"
    path.write_bytes(next((exported / "sft").glob("*.parquet")).read_bytes()[:-100])
    _, error = rft_trace(run, f"{path}:1", code=2)
    assert error.startswith(f"Error: {path}: not a readable Parquet file (")
    assert error.count("\n") == 1
    assert "run again" not in error
    path.write_bytes(b"")
    assert "not a readable Parquet file" in rft_trace(run, f"{path}:1", code=2)[1]


@pytest.mark.parametrize("more", ["", ":", ":first", ":²"])
def test_a_file_without_a_line_is_asked_for_one(run, exported, tmp_path, more):
    path = next((exported / "sft").glob("*.parquet"))
    other = tmp_path / "rows"
    other.write_text("{}")
    for name in (path, other, "gone.jsonl"):
        _, error = rft_trace(run, f"{name}{more}", code=2)
        assert error == (
            f"Error: {name}: which row of it? write {name}:LINE, the first line is 1\n"
        )
    assert "no rollout" in rft_trace(run, "x" * 5000, code=2)[1]


def test_a_row_of_a_later_row_group_is_read(tmp_path):
    rows = pl.DataFrame({"rollout_id": [f"r{n}" for n in range(10)]})
    rows.write_parquet(tmp_path / "rows.parquet", row_group_size=3)
    told = [read_line(tmp_path / "rows.parquet", line)["rollout_id"] for line in (1, 3, 4, 10)]
    assert told == ["r0", "r2", "r3", "r9"]
