"""Each source with its content and licence: what the recipe says by now, else what was read."""

from pipelines.readers.sources import find_problem, model_licence, origins, source_words, sources
from pipelines.readers.trail import of_problem
from rft.recipe.loading import load_stored
from rft.runs import tables
from rft.runs.folder import Run
from rft.runs.stages import Job
from rft.runs.tables import file_digest
from tests.small_run import do, frame, new_run, prepare

ROWS = '{"question": "1 + 1?", "gold": "2"}\n'


def made(tmp_path, *settings: str, **notes: object) -> Run:
    """Make a run whose problems are read from two files, with notes in the manifest."""
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text(ROWS)
    train = f"{{a: {{source: {tmp_path}/a.jsonl}}, b: {{source: {tmp_path}/b.jsonl}}}}"
    run = new_run(tmp_path / "run", f"prepare.train={train}", *settings)
    prepare(run, answers={})
    run.write_manifest("prepare", 0, run.manifest("prepare", 0) | notes)
    return run


def test_a_licence_may_be_said_after_the_problems_were_read(tmp_path):
    run = made(tmp_path, licences={"train/a": "mit", "train/b": None})
    assert {name: each["licence"] for name, each in sources(run).items()} == {
        "train/a": "mit",
        "train/b": None,
        "test/test": "apache-2.0",
    }
    assert source_words(sources(run)["train/b"]).endswith(
        "licence not stated (say prepare.train.b.license)"
    )
    said = Run(run.path, load_stored(run.path, ["prepare.train.b.license=cc0-1.0"]))
    assert sources(said)["train/b"]["licence"] == "cc0-1.0"


def test_a_licence_of_another_source_of_that_name_does_not_count(tmp_path):
    run = made(tmp_path)
    other = f"prepare.train={{a: {{source: {tmp_path}/b.jsonl, license: mit}}}}"
    assert sources(Run(run.path, load_stored(run.path, [other])))["train/a"]["licence"] is None


def test_an_older_manifest_notes_no_licence_and_what_is_bundled_has_one(tmp_path):
    run = made(tmp_path)
    assert sources(run)["train/a"]["licence"] is None
    assert sources(run)["test/test"]["licence"] == "apache-2.0"
    assert model_licence(run) == "apache-2.0"
    assert len(sources(run)["train/a"]["content"]) == 64


def test_a_held_out_problem_names_the_training_sources_that_it_may_be_from(tmp_path):
    run = made(tmp_path, "prepare.dev={holdout: 1}")
    row = {"read": 0, "split": "dev", "benchmark": "dev", "source": f"{tmp_path}/b.jsonl"}
    assert [each["name"] for each in origins(run, row)] == ["train/b"]
    trained = {"read": 0, "split": "train", "benchmark": "a", "source": f"{tmp_path}/a.jsonl"}
    assert [each["name"] for each in origins(run, trained)] == ["train/a"]


def test_a_problem_that_a_later_round_found_names_what_that_round_read(tmp_path):
    run = made(tmp_path, "prepare.refresh=round", "rounds=2")
    (tmp_path / "b.jsonl").write_text(ROWS + '{"question": "2 + 2?", "gold": "4"}\n')
    new = {"problem_id": "new", "question": "2 + 2?", "gold": ["4"], "split": "train"}
    new |= {"source": f"{tmp_path}/b.jsonl", "benchmark": "b"}

    def work(job: Job) -> None:
        job.write("problems", frame("problems", [new]))
        job.write("set_aside", tables.empty("set_aside"))
        job.notes["licences"] = {"train/b": "mit"}

    do(run, "prepare", 2, work)
    problem = find_problem(run, "new", split="train")
    assert problem["read"] == 2
    (origin,) = origins(run, problem)
    assert origin["licence"] == "mit"
    assert origin["content"] == file_digest(tmp_path / "b.jsonl")
    assert origin["content"] != sources(run)["train/b"]["content"]
    (step,) = of_problem(run, problem)["steps"]
    assert (step["round"], step["command"]) == (2, f"rft prepare {run.path} --round 2")
    assert find_problem(run, "p0", split="train")["read"] == 0
    assert find_problem(run, "p0", split="test") is None


def test_a_run_without_problems_has_no_sources(tmp_path):
    assert sources(new_run(tmp_path / "run")) == {}
