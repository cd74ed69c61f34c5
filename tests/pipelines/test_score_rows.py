"""Pins `rft score --input`: anyone's rows get the statistics of their text, or one clear line."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner, Result

from pipelines.rows import tokens_as
from rft.cli import cli
from rft.recipe import Model
from rft.runs.models import resolve
from tests.scored_run import answers, oracle
from tests.small_run import RIGHT, WRONG


def command(tmp_path: Path, rows: Any, *more: str, model: str | None = "bundled:tiny") -> Result:
    source = tmp_path / "in.parquet"
    (rows if isinstance(rows, pl.DataFrame) else pl.DataFrame(rows)).write_parquet(source)
    given = ["--input", str(source), "--output", str(tmp_path / "out.parquet"), *more]
    given += ["--model", model] if model else []
    return CliRunner().invoke(cli, ["score", *given])


def made(tmp_path: Path, rows: Any, *more: str) -> list[dict[str, Any]]:
    done = command(tmp_path, rows, *more)
    assert done.exit_code == 0, done.output
    return pl.read_parquet(tmp_path / "out.parquet").to_dicts()


HOSTILE = [
    "",
    None,
    "x",
    " \n\t",
    "\x00\x1b[31m",
    "\U0001d7dc \u202e evil é 数",
    "\\boxed{" * 50,
    "<|im_end|>" * 5,
    "so \\boxed{7}. And \\boxed{8}",
]


def test_anyones_rows_are_scored_whatever_they_say(tmp_path, prompts, model):
    rows = [{"question": "What is 3 + 4?", "completion": text, "theirs": 1} for text in HOSTILE]
    prompt = prompts.encode(prompts.render("What is 3 + 4?"))
    scored = made(tmp_path, rows)
    assert len(scored) == len(rows)
    for row, text in zip(scored, HOSTILE, strict=True):
        assert (row["completion"], row["theirs"]) == (text, 1)
        assert row["model"] == resolve(Model(path="bundled:tiny")).digest
        if not text:
            assert row["num_response_tokens"] == (None if text is None else 0)
            for name in ("mean_entropy", "mean_branching", "mean_nll", "stats_origin"):
                assert row[name] is None
            continue
        response = prompts.encode(text.partition(". And")[0])
        assert row["num_response_tokens"] == len(response)
        wanted = oracle(model, prompt, response)
        means = (row["mean_entropy"], row["mean_branching"], row["mean_nll"])
        assert means == pytest.approx(wanted, abs=1e-4)
        assert (row["stats_origin"], row["stats_mass"]) == ("scored", pytest.approx(0.95))


def test_a_rendered_prompt_is_read_as_it_is(tmp_path, prompts, model):
    rows = [{"prompt": "Q: 1\n", "response": "so \\boxed{7}", "question": "never asked"}]
    (row,) = made(tmp_path, rows, "--set", "sample.statistics.mass=0.5")
    wanted = oracle(model, prompts.encode("Q: 1\n"), prompts.encode("so \\boxed{7}"))
    assert row["mean_entropy"] == pytest.approx(wanted[0], abs=1e-4)
    assert row["mean_branching"] < wanted[1]
    assert row["stats_mass"] == pytest.approx(0.5)


def test_several_samples_in_a_row_become_rows(tmp_path):
    rows = [{"question": "1?", "gold": "7", "completion": [RIGHT, WRONG, RIGHT]}]
    scored = made(tmp_path, rows)
    assert [row["sample_index"] for row in scored] == [0, 1, 2]
    assert scored[0]["mean_entropy"] == pytest.approx(scored[2]["mean_entropy"], abs=1e-6)


def test_token_ids_count_where_they_spell_the_text(tmp_path, prompts):
    text = "We add so \\boxed{7} and more"
    own = prompts.encode(text)
    letters = [token for char in text for token in prompts.encode(char)]
    assert prompts.decode(letters) == text
    assert len(letters) > len(own)
    base = {"prompt": "Q\n", "completion": text}
    given = [own, letters, letters[:-1], [], [10**6, *own], [-1, *own], None]
    rows = pl.DataFrame(
        [base | {"token_ids": ids} for ids in given],
        schema_overrides={"token_ids": pl.List(pl.Int64)},
    )
    scored = made(tmp_path, rows)
    counts = [row["num_response_tokens"] for row in scored]
    ours, theirs = prompts.trim(own, text)[0], prompts.trim(letters, text)[0]
    cut = len(prompts.encode("We add so \\boxed{7}"))
    assert theirs > ours
    assert counts == [ours, theirs, cut, cut, cut, cut, cut]
    assert [row["token_ids"] for row in scored] == given


def test_a_response_that_was_cut_keeps_the_start_of_its_tokens(prompts):
    text = "so \\boxed{7} and more"
    ids = [token for char in text for token in prompts.encode(char)]
    count, cut = prompts.trim(ids, text)
    assert tokens_as(prompts, cut, text, ids, cut=True) == ids[:count]
    assert tokens_as(prompts, cut, None, ids[:count], cut=True) == ids[:count]
    # Other text than the tokens', cut elsewhere than we would.
    assert tokens_as(prompts, "so", text, ids, cut=True) == prompts.encode("so")
    twice = text + " \\boxed{8}"
    assert tokens_as(prompts, twice, None, None, cut=True) == prompts.encode(twice)


def test_grade_then_score_then_select_by_entropy(tmp_path):
    rows = [
        {"question": f"{number}?", "gold": "7", "completion": text}
        for number, text in enumerate(answers(8, 3))
    ]
    pl.DataFrame(rows).write_parquet(tmp_path / "rows.parquet")
    chain: list[list[str]] = [
        ["grade", "--input", "rows.parquet", "--output", "graded.parquet"],
        ["filter", "--input", "graded.parquet", "--output", "kept.parquet"],
        ["score", "--input", "kept.parquet", "--output", "scored.parquet", "--model"],
        ["select", "--input", "scored.parquet", "--output", "selected.parquet"],
    ]
    chain[2].append("bundled:tiny")
    chain[3] += ["--set", "select.by=entropy", "--set", "select.noise=0"]
    for words in chain:
        words = [str(tmp_path / word) if word.endswith(".parquet") else word for word in words]
        done = CliRunner().invoke(cli, words)
        assert done.exit_code == 0, done.output
    selected = pl.read_parquet(tmp_path / "selected.parquet").sort("rank")
    assert len(selected) == 8
    assert selected["mean_entropy"].is_sorted(descending=True)
    assert set(selected["stats_origin"]) == {"scored"}


ONE = {"question": "1?", "completion": "so \\boxed{7}"}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"question": "1?"}], "no column 'completion'"),
        ([{"completion": "x"}], "no column 'prompt' (rendered) or 'question'"),
        ([ONE | {"question": ""}], "row 1 has an empty question"),
        ([ONE, ONE | {"prompt": "x"}], "row 1 has an empty prompt"),
        ([ONE | {"prompt": [{"role": "user"}]}], "column 'prompt' holds List"),
        ([ONE | {"completion": 4}], "column 'completion' holds Int64, not text"),
        ([ONE | {"token_ids": "4 5"}], "column 'token_ids' holds String"),
        ([ONE | {"mean_entropy": 0.5}], "it has a column 'mean_entropy', which `rft score` writes"),
        ([ONE | {"stats_origin": "engine"}], "it has a column 'stats_origin'"),
    ],
)
def test_what_cannot_be_scored_is_one_line(tmp_path, rows, said):
    done = command(tmp_path, pl.DataFrame(rows, infer_schema_length=None))
    assert done.exit_code == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out.parquet").exists()


def test_without_a_model_is_one_line(tmp_path):
    done = command(tmp_path, [ONE], model=None)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "no --model" in done.stderr
    done = command(tmp_path, [ONE], model="./nowhere")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)


def test_a_run_takes_no_other_model(tmp_path):
    done = CliRunner().invoke(cli, ["score", str(tmp_path), "--model", "bundled:tiny"])
    assert done.exit_code == 2
    assert "give RUN, or --input with --output" in done.stderr


def test_rows_over_the_context_are_said_and_stay_empty(tmp_path):
    rows = [ONE, ONE | {"completion": "so " * 600}]
    done = command(tmp_path, rows)
    assert done.exit_code == 0, done.output
    assert "1 of 2 rows: over the model's 512 tokens" in done.stderr
    scored = pl.read_parquet(tmp_path / "out.parquet").to_dicts()
    assert scored[0]["mean_entropy"] is not None
    assert (scored[1]["mean_entropy"], scored[1]["stats_origin"]) == (None, None)
    assert scored[1]["num_response_tokens"] > 500


def test_a_model_that_was_named_stays_named(tmp_path):
    (row,) = made(tmp_path, [ONE | {"model": "theirs"}])
    assert row["model"] == "theirs"
