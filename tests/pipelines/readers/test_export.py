"""An export opens with `datasets` alone, says what it is, and replaces nothing but an export.

Run: python -m pytest tests/pipelines/readers/test_export.py
"""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from pipelines.perform import STAGES
from pipelines.readers.export import export_run
from rft.cards.online import COLUMNS
from rft.errors import RFTError
from rft.processes.stopping import Stop
from rft.recipe.loading import load_recipe
from rft.runs import tables
from rft.runs.folder import Run, save_recipe
from rft.runs.models import new_model_folder
from rft.runs.schemas import TABLES
from rft.runs.stages import Job, Stage, perform

HOSTILE = "---\nlicense: stolen\n---\n```` </script><b>| {braces} %s \x00\x1b[31m \\boxed{4}"
SAMPLES = ("correct", "correct", "wrong", "no_answer")


def make_run(folder: Path, *, rounds: int = 2, noise: bool = True, gate: str = "null") -> Run:
    """Make a run of four problems without any model: the tables, committed by the real stages."""
    dev = "prepare.dev={source: bundled:arithmetic, split: dev}"
    recipe = load_recipe("smoke", [f"rounds={rounds}", dev, f"gate={gate}"])
    run = Run(folder, recipe)
    folder.mkdir(parents=True)
    save_recipe(run)
    commit(run, "prepare", 0, {"problems": problems()})
    commit(run, "evaluate", 0, {"evaluations": evaluations(0)})
    for round in range(1, rounds + 1):
        whole = graded(round)
        kept = whole.filter(pl.col("verdict") != "no_answer")
        rejected = whole.filter(pl.col("verdict") == "no_answer")
        commit(run, "sample", round, {"rollouts": rollouts(round)})
        commit(run, "grade", round, {"graded": whole})
        commit(
            run, "filter", round, {"kept": kept, "rejected": with_(rejected, rejected_by="no_box")}
        )
        chosen = kept if noise else kept.filter(pl.col("verdict") == "correct")
        role = pl.when(pl.col("verdict") == "wrong").then(pl.lit("noise"))
        chosen = chosen.with_columns(role=role.otherwise(pl.lit("positive")))
        chosen = with_(chosen, ranked_by="branching").with_columns(
            rank=pl.int_range(pl.len(), dtype=pl.Int32).over("role")
        )
        others = kept.join(chosen, on="rollout_id", how="anti").with_columns(
            role=pl.lit("noise"),
            reason=pl.lit("noise not wanted"),
            place=pl.lit(None, pl.Int32),
            share=pl.lit(None, pl.Int32),
        )
        commit(run, "select", round, {"selected": chosen, "passed_over": others})
        commit(run, "sft", round, {})
        commit(run, "evaluate", round, {"evaluations": evaluations(round)})
    return run


def make_online(folder: Path, *overrides: str, trained: bool = True) -> Run:
    """Make a run of online training without any model."""
    small = ["prepare.dev=null", "gate=null", "grpo.steps=3", "grpo.problems=4", "grpo.n=2"]
    run = Run(folder, load_recipe("grpo-quickstart", [*small, *overrides]))
    folder.mkdir(parents=True)
    save_recipe(run)
    commit(run, "prepare", 0, {"problems": problems()})
    commit(run, "evaluate", 0, {"evaluations": evaluations(0)})
    if trained:
        commit(run, "grpo", 1, {"dynamics": dynamics(run)})
        commit(run, "evaluate", 1, {"evaluations": evaluations(1)})
    return run


def dynamics(run: Run) -> pl.DataFrame:
    """Make the table of three steps, in the first of which no plug-in was active."""
    assert run.recipe.grpo is not None
    touched = [{"plugin": name, "share": 0.25} for name in run.recipe.grpo.plugins]
    never_null = [field.name for field in TABLES["dynamics"] if not field.nullable]
    rows = [
        {"step": step, "reward": 0.5, "touched": touched if step > 1 else []} for step in (1, 2, 3)
    ]
    return rows_of("dynamics", [dict.fromkeys(never_null, 1) | row for row in rows])


def with_(frame: pl.DataFrame, **values: str) -> pl.DataFrame:
    return frame.with_columns(**{name: pl.lit(value) for name, value in values.items()})


def rows_of(table: str, rows: list[dict[str, Any]]) -> pl.DataFrame:
    schema = tables.empty(table).schema
    return pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema)


def problems() -> pl.DataFrame:
    splits = ["train"] * 4 + ["dev"] * 2 + ["test"] * 2
    return rows_of(
        "problems",
        [
            {"problem_id": f"p{n}", "question": f"What is {n} + 1?", "gold": [str(n + 1)]}
            | {"source": "bundled:arithmetic", "split": split, "benchmark": split}
            for n, split in enumerate(splits)
        ],
    )


def samples(round: int) -> list[dict[str, Any]]:
    return [
        {
            "rollout_id": f"{round}-p{problem}-{index}",
            "problem_id": f"p{problem}",
            "round": round,
            "sample_index": index,
            "verdict": verdict,
            "finish_reason": "stop",
            "num_tokens": 3,
            "mean_entropy": 0.5,
        }
        for problem in range(4)
        for index, verdict in enumerate(SAMPLES)
    ]


def rollouts(round: int) -> pl.DataFrame:
    about = {"prompt": "What?\n", "completion": f"{HOSTILE} and more", "sampling": "s"}
    lists = {"token_ids": [1, 2, 3], "logprobs": [-0.5] * 3, "entropies": [0.5] * 3}
    return rows_of(
        "rollouts",
        [row | about | lists | {"model": f"m{round - 1}", "seed": 7} for row in samples(round)],
    )


def graded(round: int) -> pl.DataFrame:
    about = {"response": HOSTILE, "answer": "4", "num_boxed": 1, "redundancy": 0.0}
    return rows_of("graded", [row | about for row in samples(round)])


def evaluations(round: int) -> pl.DataFrame:
    return rows_of(
        "evaluations",
        [
            {"round": round, "split": split, "benchmark": split, "problem_id": f"p{problem}"}
            | {"sample_index": index, "completion": HOSTILE, "finish_reason": "stop"}
            | {"verdict": "correct" if index < round else "wrong", "model": f"m{round}"}
            for split, some in (("dev", (4, 5)), ("test", (6, 7)))
            for problem in some
            for index in range(4)
        ],
    )


COUNTS: dict[str, dict[str, Any]] = {
    "sample": {"in": 4, "rollouts": 16},
    "grade": {"verdict": {"correct": 8, "no_answer": 4, "wrong": 4}},
    "filter": {"in": 16, "kept": 12, "rejected": {"no_box": 4}},
    "grpo": {"in": 24, "trained": 21, "dropped": {"unverified": 3}},
    "gate": {"adopted": False},
}
NOTES: dict[str, dict[str, Any]] = {
    "sample": {"tokens": 48},
    "sft": {"roles": {"positive": 8, "noise": 4}},
    "grpo": {"steps": 3, "tokens": 99, "options": {"loss_type": "dapo"}},
}


def commit(run: Run, stage: str, round: int, outputs: dict[str, pl.DataFrame]) -> None:
    """Let the code that ends every stage put tables and manifest into place."""

    def work(job: Job) -> None:
        for table, frame in outputs.items():
            job.write(table, frame)
        job.notes |= {"model": f"m{round - 1}"} | NOTES.get(stage, {})
        job.counts |= COUNTS.get(stage, {})
        if stage == "select":
            job.counts["selected"] = dict(outputs["selected"]["role"].value_counts().iter_rows())
        elif stage == run.recipe.maker:
            folder = job.work / "out" / "model"
            with new_model_folder(folder, round=round, end="<|im_end|>") as scratch:
                (scratch / "model.safetensors").write_bytes(b"weights")
                (scratch / "config.json").write_text(f'{{"round": {round}}}')
            job.outputs["model"] = folder

    settings = STAGES["grpo"].settings(run, round) if stage == "grpo" else {}
    given = inputs(run, stage, round)
    made = Stage(stage, lambda _run, _round: settings, lambda _run, _round: given, work)
    perform(Job(run, made, round, Stop(), lambda _line: None))


def inputs(run: Run, stage: str, round: int) -> dict[str, str]:
    if stage == "grade":
        return {"rollouts": run.output_digest("sample", round, "rollouts")}
    if stage == "evaluate" and round:
        return {"model": run.output_digest(run.recipe.maker, round, "model")}
    if stage == "grpo":
        return {"problems": run.output_digest("prepare", 0, "problems"), "model": "m0"}
    return {}


def export(run: Run, to: Path, **options: Any) -> list[str]:
    said: list[str] = []
    export_run(run, to=to, say=said.append, **options)
    return said


def load(folder: Path, config: str | None, cache: Path) -> Any:
    from datasets import load_dataset

    return load_dataset(str(folder), config, cache_dir=str(cache))


def card_of(folder: Path) -> tuple[dict[str, Any], str]:
    """Read a card as the Hub does."""
    from huggingface_hub import DatasetCard

    text = (folder / "README.md").read_text()
    card = DatasetCard(text)
    assert yaml.safe_load(text.split("\n---\n")[0].removeprefix("---\n")) == card.data.to_dict()
    return card.data.to_dict(), card.text


def content(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_every_config_opens_with_datasets_and_holds_every_row(tmp_path):
    run = make_run(tmp_path / "run")
    export(run, tmp_path / "out")
    wanted = {
        "sft": {"train": 24},
        "rollouts": {"train": 32},
        "graded": {"train": 32},
        "problems": {"train": 4, "dev": 2, "test": 2},
        "evaluations": {"dev": 24, "test": 24},
    }
    for config, splits in wanted.items():
        found = load(tmp_path / "out", config, tmp_path / "cache")
        assert {split: len(rows) for split, rows in found.items()} == splits, config
    by_default = load(tmp_path / "out", None, tmp_path / "cache")["train"]
    assert len(by_default) == 24
    assert set(by_default["round"]) == {1, 2}


def test_a_selected_row_carries_its_prompt_problem_and_origin(tmp_path):
    export(make_run(tmp_path / "run"), tmp_path / "out")
    rows = load(tmp_path / "out", "sft", tmp_path / "cache")["train"]
    row = next(row for row in rows if row["rollout_id"] == "2-p3-2")
    assert row["completion"] == HOSTILE
    assert row["prompt"] == "What?\n"
    assert (row["question"], row["gold"]) == ("What is 3 + 1?", ["4"])
    assert (row["role"], row["verdict"], row["model"]) == ("noise", "wrong", "m1")
    assert row["source"] == "bundled:arithmetic"


def test_graded_rows_say_which_rule_rejected_them(tmp_path):
    export(make_run(tmp_path / "run"), tmp_path / "out")
    rows = load(tmp_path / "out", "graded", tmp_path / "cache")["train"].to_pandas()
    assert rows["rejected_by"].isna().sum() == 24
    assert set(rows[rows["verdict"] == "no_answer"]["rejected_by"]) == {"no_box"}


def test_graded_rows_say_why_they_were_kept_and_not_selected(tmp_path):
    run = make_run(tmp_path / "run", rounds=1, noise=False)
    export(run, tmp_path / "out")
    rows = pl.read_parquet(tmp_path / "out" / "graded" / "*.parquet")
    assert dict(rows["passed_over"].drop_nulls().value_counts().iter_rows()) == {
        "noise not wanted": 4
    }
    assert set(rows.filter(pl.col("passed_over").is_not_null())["verdict"]) == {"wrong"}
    # What version 0.1 selected has no such table.
    path = run.manifest_path("select", 1)
    manifest = json.loads(path.read_text())
    del manifest["outputs"]["passed_over"]
    path.write_text(json.dumps(manifest))
    shutil.rmtree(run.folder("passed_over", 1))
    export(run, tmp_path / "again")
    rows = pl.read_parquet(tmp_path / "again" / "graded" / "*.parquet")
    assert rows["passed_over"].null_count() == len(rows) == 16


def test_token_lists_stay_out_on_request(tmp_path):
    run = make_run(tmp_path / "run")
    export(run, tmp_path / "with")
    export(run, tmp_path / "without", token_stats=False)
    full = load(tmp_path / "with", "rollouts", tmp_path / "cache")["train"]
    lean = load(tmp_path / "without", "rollouts", tmp_path / "cache")["train"]
    assert full[0]["entropies"] == [0.5] * 3
    gone = set(full.column_names) - set(lean.column_names)
    assert gone == {"token_ids", "logprobs", "entropies", "branching"}
    assert len(lean) == len(full)


def test_the_card_survives_hostile_text(tmp_path):
    run = make_run(tmp_path / "a `name` | of <script>")
    export(run, tmp_path / "out", license_id="CC-BY-4.0")
    data, text = card_of(tmp_path / "out")
    assert data["license"] == "cc-by-4.0"
    assert data["configs"][0]["config_name"] == "sft"
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text)
    # The completion, fences of four backticks in it, stands whole within a longer fence.
    assert re.search(r"\n`{5}text\n---\nlicense: stolen\n---\n`{4} </script>.*\n`{5}\n", text)
    assert text.count("`````") == 2
    assert "# a \\`name\\` | of \\<script\\>: " in text


def test_the_first_paragraph_warns_of_wrong_answers(tmp_path):
    export(make_run(tmp_path / "run"), tmp_path / "out")
    export(make_run(tmp_path / "clean", noise=False), tmp_path / "clean-out")
    first = card_of(tmp_path / "out")[1].split("\n\n")[1]
    assert "Wrong on purpose: 8 (33.3%) of them, marked `role=noise`" in first
    assert "24 answers to 4 problems" in first
    clean = card_of(tmp_path / "clean-out")[1].split("\n\n")[1]
    assert "None of them is wrong on purpose" in clean


def test_the_card_tells_funnel_scores_prompt_and_command(tmp_path):
    export(make_run(tmp_path / "run"), tmp_path / "out", token_stats=False)
    text = card_of(tmp_path / "out")[1]
    judged = "8 correct, 4 no\\_answer, 4 wrong"
    assert f"| 1 | 4 | 16 (48 tokens) | {judged} | 4 no\\_box | 12 |" in text
    assert re.search(
        r"\| test \| 2 \| 2 \| 4 \| 50\.0 \[[\d.]+, [\d.]+\] \| Pass@4 100\.0 \[", text
    )
    assert "{question}\nPut your final answer within \\boxed{{}}." in text
    assert "`<|im_end|>`" in text
    assert "no_box: {}, no_digit: {}, redundant: {threshold: 0.31}, duplicate: {}" in text
    assert "rft export runs/run --to out --no-token-stats" in text
    assert str(tmp_path) not in text


def test_a_licence_that_nobody_stated_is_said_and_not_made_up(tmp_path):
    said = export(make_run(tmp_path / "run"), tmp_path / "out")
    data, text = card_of(tmp_path / "out")
    assert "license" not in data
    assert "licence is not stated" in text
    assert any("--license" in line for line in said)
    with pytest.raises(RFTError, match="--license 'my own'"):
        export(make_run(tmp_path / "other"), tmp_path / "out2", license_id="my own")


def test_the_recipe_and_manifests_travel_along(tmp_path):
    run = make_run(tmp_path / "run")
    export(run, tmp_path / "out")
    stored = tmp_path / "out" / "run"
    assert load_recipe(str(stored / "recipe.yaml")) == run.recipe
    manifest = json.loads((stored / "manifest" / "round-0002" / "select.json").read_text())
    assert manifest == run.manifest("select", 2)


def test_a_second_export_replaces_the_first(tmp_path):
    folder = tmp_path / "run"
    export(make_run(folder, rounds=1), tmp_path / "out")
    before = content(tmp_path / "out")
    export(Run(folder, load_recipe(str(folder / "recipe.yaml"))), tmp_path / "out")
    assert content(tmp_path / "out") == before, "an export of the same run differs"
    shutil.rmtree(folder)
    export(make_run(folder, rounds=2), tmp_path / "out")
    assert (tmp_path / "out" / "sft" / "train-round-0002-00000.parquet").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "run"]


def test_what_no_export_wrote_is_not_touched(tmp_path):
    run = make_run(tmp_path / "run")
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("years of work")
    with pytest.raises(RFTError, match="not empty, and not an export"):
        export(run, foreign)
    assert content(foreign).keys() == {"thesis.txt"}
    with pytest.raises(RFTError, match="not empty"):
        export(run, run.path)
    (tmp_path / "file").write_text("")
    with pytest.raises(RFTError, match="not a folder"):
        export(run, tmp_path / "file")
    export(run, tmp_path / "out")
    with pytest.raises(RFTError, match="an export of another run"):
        export(make_run(tmp_path / "other"), tmp_path / "out")


@pytest.mark.parametrize("name", ["README.md", "notes.md", "sft/more.parquet"])
def test_what_was_added_to_an_export_is_not_lost(tmp_path, name):
    run = make_run(tmp_path / "run")
    export(run, tmp_path / "out")
    with (tmp_path / "out" / name).open("a") as file:
        file.write("mine")
    before = content(tmp_path / "out")
    with pytest.raises(RFTError, match=re.escape(name)):
        export(run, tmp_path / "out")
    assert content(tmp_path / "out") == before


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "out").mkdir()
    export(make_run(tmp_path / "run"), tmp_path / "out")
    assert (tmp_path / "out" / "README.md").exists()


@pytest.mark.parametrize("earlier", [False, True])
def test_a_killed_export_leaves_no_half_folder(tmp_path, earlier):
    run = make_run(tmp_path / "run")
    if earlier:
        export(run, tmp_path / "out")
    before = content(tmp_path / "out") if earlier else None
    code = """
import os, signal, sys
from pathlib import Path
from pipelines.readers.export import export_run
from rft.runs.folder import open_run
def say(line):
    if line.startswith("export: sft of round 2"):
        os.kill(os.getpid(), signal.SIGKILL)
export_run(open_run(Path(sys.argv[1])), to=Path(sys.argv[2]), say=say)
"""
    places = [str(run.path), str(tmp_path / "out")]
    killed = subprocess.run([sys.executable, "-c", code, *places], check=False, timeout=120)
    assert killed.returncode == -9
    assert (content(tmp_path / "out") if (tmp_path / "out").exists() else None) == before
    export(run, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "run"]


def test_a_kill_between_two_renames_costs_nothing(tmp_path):
    run = make_run(tmp_path / "run")
    export(run, tmp_path / "out")
    (tmp_path / "out").rename(tmp_path / ".out.rft-old")
    (tmp_path / ".out.rft-new").mkdir()
    damaged = run.folder("selected", 2) / "part-00000.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with pytest.raises(RFTError, match="selected"):
        export(run, tmp_path / "out")
    assert (tmp_path / "out" / "README.md").exists()
    assert not (tmp_path / ".out.rft-new").exists()


def test_a_run_without_selected_samples_is_refused(tmp_path):
    with pytest.raises(RFTError, match="no selected sample to export"):
        export(make_run(tmp_path / "run", rounds=0), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_tables_that_do_not_stem_from_each_other_are_refused(tmp_path):
    run = make_run(tmp_path / "run")
    replace_output(run, "sample", "rollouts")
    with pytest.raises(RFTError, match=r"`grade` of round 1 was made from other inputs.*`rft run"):
        export(run, tmp_path / "out")


@pytest.mark.parametrize("make", [make_run, make_online])
def test_scores_of_a_model_that_was_made_again_are_not_published(tmp_path, make):
    run = make(tmp_path / "run")
    replace_output(run, run.recipe.maker, "model")
    wanted = f"`evaluate` of round 1 was made from other inputs.*`rft {run.command} "
    with pytest.raises(RFTError, match=wanted):
        export(run, tmp_path / "out")


def replace_output(run: Run, stage: str, table: str) -> None:
    """Let a stage of round 1 seem to have been done again, and to have come out differently."""
    path = run.manifest_path(stage, 1)
    manifest = json.loads(path.read_text())
    manifest["outputs"][table]["digest"] = "another"
    path.write_text(json.dumps(manifest))


def test_a_damaged_table_is_named_and_not_published(tmp_path):
    run = make_run(tmp_path / "run")
    path = run.folder("evaluations", 1) / "part-00000.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(RFTError, match="evaluations/round-0001: not what its manifest says"):
        export(run, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


def test_the_model_goes_beside_the_data_with_a_card_of_its_own(tmp_path):
    run = make_run(tmp_path / "run")
    export(run, tmp_path / "out", with_model=True)
    beside = tmp_path / "out-model"
    assert (beside / "model.safetensors").read_bytes() == b"weights"
    assert json.loads((beside / "config.json").read_text()) == {"round": 2}
    data, text = card_of(beside)
    # Said by the bundled base model itself.
    assert data["license"] == "apache-2.0"
    assert data["pipeline_tag"] == "text-generation"
    assert "12 of them, 4 (33.3%) wrong on purpose" in text
    assert "`<|im_end|>`" in text
    export(run, tmp_path / "out", with_model=True)
    assert len(load(tmp_path / "out", "sft", tmp_path / "cache")["train"]) == 24


def test_a_refused_model_is_not_the_one_that_is_exported(tmp_path):
    run = make_run(tmp_path / "run", rounds=1, gate="{on: dev, metric: pass@1}")
    with pytest.raises(RFTError, match="no model was adopted yet"):
        export(run, tmp_path / "out", with_model=True)
    commit(run, "gate", 1, {})
    with pytest.raises(RFTError, match="no model was adopted yet"):
        export(run, tmp_path / "out", with_model=True)
    assert not (tmp_path / "out").exists()
    export(run, tmp_path / "out")
    assert "| refused |" in card_of(tmp_path / "out")[1]


def test_the_command_prints_the_folders_and_ends_with_2_on_a_mistake(tmp_path):
    from click.testing import CliRunner

    from rft.cli import cli

    run = make_run(tmp_path / "run")
    arguments = ["export", str(run.path), "--to", str(tmp_path / "out"), "--license", "mit"]
    done = CliRunner().invoke(cli, arguments)
    assert (done.exit_code, done.stdout) == (0, f"{tmp_path / 'out'}\n")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "x").write_text("")
    arguments = ["export", str(run.path), "--to", str(tmp_path / "foreign")]
    refused = CliRunner().invoke(cli, arguments)
    assert refused.exit_code == 2
    assert len(refused.stderr.splitlines()) == 1


def test_an_online_run_opens_with_datasets_and_holds_every_step(tmp_path):
    export(make_online(tmp_path / "run"), tmp_path / "out")
    wanted = {
        "dynamics": {"train": 3},
        "problems": {"train": 4, "dev": 2, "test": 2},
        "evaluations": {"dev": 16, "test": 16},
    }
    for config, splits in wanted.items():
        found = load(tmp_path / "out", config, tmp_path / "cache")
        assert {split: len(rows) for split, rows in found.items()} == splits, config
    steps = load(tmp_path / "out", None, tmp_path / "cache")["train"]
    assert steps[0]["touched"] == []
    assert steps[2]["touched"] == [{"plugin": "entropy_advantage", "share": 0.25}]
    assert (steps[2]["step"], steps[2]["kl"]) == (3, None)


def test_no_plugin_at_all_leaves_a_table_that_opens(tmp_path):
    export(make_online(tmp_path / "run", "grpo.plugins=null"), tmp_path / "out")
    steps = load(tmp_path / "out", "dynamics", tmp_path / "cache")["train"]
    assert [row["touched"] for row in steps] == [[], [], []]
    text = card_of(tmp_path / "out")[1]
    assert "No exploration plug-in shaped it." in text
    assert "| paper |" not in text


def test_the_card_of_an_online_run_says_what_was_done(tmp_path):
    plugins = "grpo.plugins={nsr: {}, clip_higher: {high: 0.3}}"
    reward = "grpo.reward={right: 2.0, wrong: -1.0}"
    export(make_online(tmp_path / "run", plugins, reward), tmp_path / "out")
    data, text = card_of(tmp_path / "out")
    assert data["configs"][0]["config_name"] == "dynamics"
    assert data["configs"][0]["default"]
    assert "grpo" in data["tags"]
    papers = [f"[arXiv {n}](https://arxiv.org/abs/{n})" for n in ("2506.01347", "2503.14476")]
    first = text.split("\n\n")[1]
    assert "`loss_type` `dapo`" in text, "as plug-ins have it, and not the recipe alone"
    assert "online with GRPO on verified answers of its own: 3 steps of 4 problems x 2" in first
    assert "21 (87.5%) could be verified" in first
    assert f"Shaped by `nsr` ({papers[0]}), `clip_higher` ({papers[1]})." in first
    assert "The right answer in the first box was worth 2, anything else -1." in text
    assert "| 3 | 24 (99 tokens) | 21 | 3 unverified | adopted |" in text
    assert re.search(r"\| `clip_higher` \| [^|]+ \| .*2503.14476\) \| `{.*high: 0\.3.*}` \|", text)
    assert "`m0`" in text
    assert "rft grpo run/recipe.yaml --out runs/run\nrft export runs/run --to out\n" in text
    assert str(tmp_path) not in text
    for untrue in ("select", "rejection", "rollouts", "sft", "SFT", "rft run", "Rounds", "noise"):
        assert untrue not in text, untrue
    assert "{" not in re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL), "not filled in"


def test_the_parts_of_a_reward_are_told(tmp_path):
    reward = "grpo.reward={format: 0.25, length: {buffer: 28, factor: 0.5}}"
    export(make_online(tmp_path / "run", reward), tmp_path / "out")
    assert (
        "worth 1, anything else 0; a closed box and an end 0.25 more; an answer of more than 100 "
        "tokens less and less, down by 0.5 at 128."
    ) in card_of(tmp_path / "out")[1]


def test_every_column_of_dynamics_is_explained():
    assert list(COLUMNS) == TABLES["dynamics"].names


def test_a_model_trained_online_says_so_with_its_scores(tmp_path):
    run = make_online(tmp_path / "run")
    export(run, tmp_path / "out", with_model=True)
    beside = tmp_path / "out-model"
    assert (beside / "model.safetensors").read_bytes() == b"weights"
    data, text = card_of(beside)
    assert data["license"] == "apache-2.0"
    assert data["tags"] == ["trl", "grpo", "rft-rounds", "generated_from_trainer"]
    first = text.split("\n\n")[1]
    assert "online with GRPO on verified answers of its own: 3 steps of 4 problems x 2" in first
    assert "[arXiv 2506.14758]" in first
    for model, score in ((0, "0.0"), (1, "25.0")):
        interval = rf"{score} \[[\d.]+, [\d.]+\] \| Pass@4 [\d.]+ \[[\d.]+, [\d.]+\]"
        assert re.search(rf"\| test \| {model} \| 2 \| 4 \| {interval} \|", text)
    assert "`<|im_end|>`" in text
    for untrue in ("rejection", "sifted", "sft", "rft run", "on purpose"):
        assert untrue not in text, untrue


def test_before_online_training_is_done_there_is_nothing_to_export(tmp_path):
    run = make_online(tmp_path / "run", trained=False)
    with pytest.raises(RFTError, match=r"no trained model to export; `rft grpo .*/run` goes on"):
        export(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_model_that_the_gate_has_yet_to_decide_on_is_undecided(tmp_path):
    dev = "prepare.dev={source: bundled:arithmetic, split: dev}"
    run = make_online(tmp_path / "run", dev, "gate={on: dev, metric: pass@1}")
    export(run, tmp_path / "out")
    assert "| undecided |" in card_of(tmp_path / "out")[1]
    with pytest.raises(RFTError, match="no model was adopted yet"):
        export(run, tmp_path / "out", with_model=True)
    commit(run, "gate", 1, {})
    export(run, tmp_path / "out")
    assert "| refused |" in card_of(tmp_path / "out")[1]


def test_a_damaged_table_of_an_online_run_names_its_own_command(tmp_path):
    run = make_online(tmp_path / "run")
    path = run.folder("dynamics", 1) / "part-00000.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(RFTError, match=r"dynamics/round-0001: not what .* `rft grpo "):
        export(run, tmp_path / "out")


def test_what_the_rounds_of_an_earlier_recipe_left_is_not_exported(tmp_path):
    rounds = make_run(tmp_path / "run", rounds=1)
    online = make_online(tmp_path / "online")
    for stage, table in (("sample", "rollouts"), ("select", "selected")):
        shutil.copytree(rounds.path / table, online.path / table)
        shutil.copy(rounds.manifest_path(stage, 1), online.manifest_path(stage, 1))
    export(online, tmp_path / "out")
    configs = {path.name for path in (tmp_path / "out").iterdir() if path.is_dir()}
    assert configs == {"dynamics", "problems", "evaluations", "run"}
