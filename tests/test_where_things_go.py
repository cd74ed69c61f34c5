"""CONTRIBUTING.md is true: each thing is added here as the page says, in no more places, and works.

Run: python -m pytest tests/test_where_things_go.py
"""

import re
from typing import ClassVar

import polars as pl
import pyarrow as pa
import pytest

import filters
from filters import RULES
from pipelines import perform
from pipelines import run as story
from pipelines.readers import current
from pipelines.readers.show import listing
from pipelines.readers.status import status
from pipelines.readers.why import why
from rft.exploration import PLUGINS
from rft.exploration.plugin import Plugin
from rft.grading.method import Method
from rft.grading.response_statistics import STATISTICS, mean
from rft.grading.verifiers import VERIFIERS, PlainVerifier, open_verifier
from rft.processes.stopping import Stop
from rft.prompt import load_tokenizer, prompter
from rft.recipe import Grade
from rft.recipe.loading import load_recipe
from rft.recipe.selection import ORDERS, Order
from rft.runs.models import base_model
from rft.runs.schemas import TABLES
from rft.runs.stages import Stage
from tests.command import ROOT
from tests.grpo_training import learn
from tests.small_run import RIGHT, WRONG, do, evaluate, new_run, prepare, sample, solved
from tests.small_run import grade as write_graded

PAGE = (ROOT / "CONTRIBUTING.md").read_text()
ANSWERS = {("test", "test", "t0"): solved(1, 4)}


def add_column(monkeypatch, after: str, field: pa.Field, *tables: str) -> None:
    """Put a field behind another one, in each table that has that one."""
    for name in tables or [name for name, schema in TABLES.items() if after in schema.names]:
        schema = TABLES[name]
        place = schema.get_field_index(after) + 1
        monkeypatch.setitem(TABLES, name, schema.insert(place, field))


def test_a_rule_is_a_function_and_a_row(tmp_path, monkeypatch):
    def shouting(*, most: int = 3) -> pl.Expr:
        """Find responses with more than `most` exclamation marks."""
        return pl.col("response").str.count_matches("!", literal=True) > most

    monkeypatch.setitem(RULES, "shouting", shouting)
    assert filters.RULES is RULES
    wanted = "filter={no_box: {}, shouting: {most: 1}}"
    perform.check_recipe(load_recipe("smoke", [wanted]))
    run = new_run(tmp_path / "run", wanted)
    prepare(run, answers=ANSWERS)
    samples = [("p0", mark + RIGHT, "stop", 0.5) for mark in ("", "!", "!!", "!!!")]
    sample(run, 1, samples)
    write_graded(run, 1, samples)
    do(run, "filter", 1)
    assert run.manifest("filter", 1)["counts"]["rejected"] == {"shouting": 2}
    rejected = listing(run).filter(pl.col("rejected_by") == "shouting").to_dicts()
    assert {why(run, row) for row in rejected} == {
        "rejected by shouting: the rule finds responses with more than `most` exclamation marks"
    }
    with pytest.raises(Exception, match=r"shouting: unknown parameter .least.; it takes most"):
        perform.check_recipe(load_recipe("smoke", ["filter={shouting: {least: 1}}"]))


def test_a_statistic_is_a_row_and_a_column(tmp_path, monkeypatch):
    monkeypatch.setitem(STATISTICS, "mean_token_id", lambda: mean("token_ids"))
    add_column(monkeypatch, "mean_nll", pa.field("mean_token_id", pa.float32()))
    monkeypatch.setitem(ORDERS, "rare", Order("the rarest tokens", "mean_token_id"))
    run = new_run(tmp_path / "run", "select.by=rare", "select.budget=1", "select.noise=0")
    prepare(run, answers=ANSWERS)
    texts = [RIGHT, "1 + 6 = 7, " + RIGHT, RIGHT + " and 1 + 6 = 7"]
    sample(run, 1, [("p0", text, "stop", None) for text in texts])
    prompts = prompter(load_tokenizer(base_model(run).path), run.recipe.prompt)
    ids = [prompts.encode(text) for text in texts]
    told = run.read("rollouts", 1).sort("sample_index")
    told = told.with_columns(token_ids=pl.Series(ids, dtype=pl.List(pl.Int32)))
    run.put_away([run.manifest_path("sample", 1)])
    do(run, "sample", 1, lambda job: job.write("rollouts", told))
    for stage in ("grade", "filter", "select"):
        do(run, stage, 1)
    kept = [each[: prompts.trim(each, text)[0]] for each, text in zip(ids, texts, strict=True)]
    means = [sum(each) / len(each) for each in kept]
    graded = run.read("graded", 1).sort("sample_index")
    assert graded["mean_token_id"].to_list() == pytest.approx(means)
    assert means[0] == means[2] != means[1], "what follows the box does not count"
    (chosen,) = run.read("selected", 1)["sample_index"]
    assert means[chosen] == max(means)


def test_a_verifier_is_a_class_and_a_row(monkeypatch):
    class Parity(Method):
        """By whether both are even or odd."""

        name: ClassVar[str] = "parity"
        base: int = 2

        def open(self, _settings, _say):
            return PlainVerifier(self.name, lambda text: str(int(text) % self.base))

    monkeypatch.setitem(VERIFIERS, "parity", Parity)
    perform.check_recipe(load_recipe("smoke", ["grade.verifier={parity: {base: 3}}"]))
    with open_verifier(Grade(verifier={"parity": {"base": 3}})) as verifier:
        judged = verifier.verdicts([("7", "10"), ("7", "9")])
    assert [judged["7", each].verdict for each in ("10", "9")] == ["correct", "wrong"]
    with pytest.raises(Exception, match=r"grade.verifier: there is no .parities.; did you mean"):
        perform.check_recipe(load_recipe("smoke", ["grade.verifier=parities"]))


def test_an_exploration_method_is_a_class_and_a_row(tmp_path, monkeypatch):
    class Halve(Plugin):
        """Halve every advantage."""

        name: ClassVar[str] = "halve"
        arxiv: ClassVar[str] = "none"

        def shape(self, advantages, tokens):  # noqa: ARG002  one protocol
            return advantages / 2

    monkeypatch.setitem(PLUGINS, "halve", Halve)
    plain, halved = learn(tmp_path / "plain"), learn(tmp_path / "halved", {"halve": {}})
    (step,) = halved.rows
    assert [each["plugin"] for each in step["touched"]] == ["halve"]
    assert step["largest_ratio"] == pytest.approx(0.5)
    assert halved.grads[0].norm().item() == pytest.approx(plain.grads[0].norm().item() / 2)


def test_a_stage_is_a_module_and_a_line_of_the_story(tmp_path, monkeypatch):
    def settings(_run, _round):
        return {"count": "words"}

    def inputs(run, round):
        return {"kept": run.output_digest("filter", round, "kept")}

    def work(job):
        kept = job.run.read("kept", job.round, ["rollout_id", "response"])
        words = pl.col("response").str.split(" ").list.len().cast(pl.Int32)
        job.write("words", kept.select("rollout_id", words=words))
        job.counts |= {"in": len(kept), "counted": len(kept)}

    tally = Stage("tally", settings, inputs, work)

    def walk(run, rounds):
        for round, stage in real_walk(run, rounds):
            yield round, stage
            if stage.name == "filter":
                yield round, tally

    real_walk = story.walk
    columns = [pa.field("rollout_id", pa.large_string()), pa.field("words", pa.int32())]
    monkeypatch.setitem(TABLES, "words", pa.schema(columns))
    monkeypatch.setitem(perform.STAGES, "tally", tally)
    monkeypatch.setattr(perform, "LIGHT", (*perform.LIGHT, "tally"))
    monkeypatch.setitem(current.WRITERS, "words", "tally")
    monkeypatch.setattr(story, "walk", walk)
    monkeypatch.setattr(current, "walk", walk)

    run = new_run(tmp_path / "run")
    prepare(run, answers=ANSWERS)
    evaluate(run, 0, ANSWERS)
    samples = [("p0", "one two " + RIGHT, "stop", 0.5), ("p0", WRONG, "stop", 0.5)]
    sample(run, 1, samples)
    write_graded(run, 1, samples)
    do(run, "filter", 1)
    assert (status(run)["round"], status(run)["stage"]) == (1, "tally")
    said = []
    perform.do(tally, run, 1, Stop(), said.append)
    assert said == ["round 1: tally"]
    assert sorted(run.read("words", 1)["words"]) == [2, 4]
    assert status(run)["stage"] == "select"
    assert [step.state for step in story.plan(run, 1) if step.stage == "tally"] == ["reuse"]
    again = new_run(run.path, "filter={no_box: {}, too_short: {min_tokens: 15}}")
    states = {step.stage: step.state for step in story.plan(again, 1) if step.round}
    assert (states["filter"], states["tally"]) == ("redo", "follow")


def test_a_table_column_is_a_field_that_older_runs_read_as_null(tmp_path, monkeypatch):
    run = new_run(tmp_path / "run")
    prepare(run, answers=ANSWERS)
    sample(run, 1, [("p0", RIGHT, "stop", 0.5)])
    add_column(monkeypatch, "num_tokens", pa.field("words", pa.int32()), "rollouts")
    old = run.read("rollouts", 1)
    assert old["words"].to_list() == [None]
    assert perform.stages.is_current(perform.STAGES["prepare"], run, 0), "nothing is redone for it"
    run.put_away([run.manifest_path("sample", 1)])
    with pytest.raises(AssertionError, match=r"missing columns .'words'"):
        do(run, "sample", 1, lambda job: job.write("rollouts", old.drop("words")))
    words = old.with_columns(words=pl.lit(2, pl.Int32))
    do(run, "sample", 1, lambda job: job.write("rollouts", words))
    assert run.read("rollouts", 1, ["words"])["words"].to_list() == [2]


@pytest.mark.parametrize("shown", re.findall(r"`(tests/\S+\.py)::(\w+)`", PAGE), ids=str)
def test_what_the_page_refers_to_is_there(shown):
    path, name = shown
    assert f"def {name}(" in (ROOT / path).read_text()


def test_the_page_has_each_of_them_with_its_proof_in_few_lines():
    sections = re.split(r"(?m)^## ", PAGE)[1:]
    assert [section.splitlines()[0] for section in sections] == [
        *("A rule", "A selection order", "An engine", "A statistic", "A verifier"),
        "An exploration method",
        *("A stage", "A table column", "A benchmark by name", "A scheduler to write for"),
        "A hostile input",
    ]
    for section in sections:
        assert len(re.findall(r"(?m)^\d\. ", section)) <= 5
        assert "Shown by `tests/" in section


def test_every_file_and_name_that_the_page_gives_is_there():
    places = set(re.findall(r"`((?:rft|pipelines|filters|tests)/[\w/]+\.py)`", PAGE))
    there = {place for place in places if not place.endswith(("NAME.py", "KIND.py"))}
    assert len(there) > 15
    assert all((ROOT / place).is_file() for place in there)
    text = "".join((ROOT / place).read_text() for place in there)
    names = set(re.findall(r"`([A-Z_]{4,})`", PAGE))
    assert names - set(re.findall(r"\w+", text)) == set()
