"""The audit trail of an answer, or of a problem, as data: every step that led to it, and from it.

What `rft show RUN ID --json` prints, and `rft trace` puts in words (VERSION is raised whenever a
field changes its meaning or goes away). What there is not, or not yet, is null:

    run        the run folder, its recipe's digest, and the seed that all others are derived from
    parts      code of one's own that the recipe names: name, version of a package, digest, and
               what each brings
    problem    id, question, gold, split, benchmark, difficulty, and `sources`: for each its place,
               revision, the digest of the content that was read, and the licence
    rollout    id, round, sample_index, prompt, completion, finish_reason, tokens, seed; of an
               evaluated answer split and benchmark in place of the id
    model      which model of the run wrote it (0 is the base), its digest and licence
    engine     kind and figures of the engine, the sampling settings and their digest
    verdict    verdict, path to it, verifier, answer, response, statistics of the response
    rules      those it passed in order, and the one that rejected it, with the number
    selection  role and rank, or why it was passed over, with place, stratum, turn and distance
    why        the same in a sentence
    models     the models that learnt from it: digest, epochs, and whether the gate adopted them
    steps      each stage on the way: command, finished, versions, key, digests read and written
"""

import hashlib
import shlex
from typing import Any

from pipelines.readers.current import sound
from pipelines.readers.sources import model_licence, origins
from pipelines.readers.why import defect
from rft.recipe import Recipe
from rft.recipe.loading import dump
from rft.recipe.parts import brought
from rft.runs.folder import Run
from rft.runs.models import is_there

VERSION = 1
PROBLEM = ["problem_id", "question", "gold", "split", "benchmark", "difficulty", "source"]
ROLLOUT = ["rollout_id", "round", "sample_index", "split", "benchmark", "prompt", "completion"]
ROLLOUT += ["finish_reason", "num_tokens", "seed"]
VERDICT = ["verdict", "verdict_path", "verdict_last_box", "verdict_lenient", "answer", "response"]
VERDICT += ["num_response_tokens", "num_boxed", "num_placeholders", "redundancy", "mean_entropy"]
VERDICT += ["mean_branching", "mean_nll", "stats_origin", "stats_mass", "verdicts_of_problem"]
SELECTION = ["role", "rank", "ranked_by", "left_out", "place", "share"]
SELECTION += ["stratum", "turn", "distance"]
# What a text depends on besides the model: the settings whose digest is `sampling`.
SAMPLING = ["seed", "prompt", "engine", "temperature", "top_p", "max_tokens"]
Step = tuple[int, str]


def of_rollout(run: Run, row: dict[str, Any], problem: dict[str, Any]) -> dict[str, Any]:
    """Give the trail of a rollout; `row` is all that tables hold of it, `problem` its problem."""
    round = row["round"]
    taught = models_taught(run, round) if row["role"] else []
    before = [(round, stage) for stage in ("sample", "grade", "filter", "score", "select")]
    after = [(each["model"], stage) for each in taught for stage in (run.recipe.maker, "gate")]
    return (
        _begun(run, problem)
        | _answer(run, row, "sample")
        | {"rules": rules(run, row), "selection": _some(row, SELECTION), "why": row["why"]}
        | {"models": taught}
        | {
            "steps": _steps(
                run, problem, [*_to_model(run, number_of(run, row["model"])), *before, *after]
            )
        }
    )


def of_evaluation(run: Run, row: dict[str, Any], problem: dict[str, Any]) -> dict[str, Any]:
    """Give the trail of an answer by which a model was measured: nothing learns from it."""
    number = row["round"]
    decided = [
        (made["round"], "gate")
        for made in run.manifests()
        if made["stage"] == "gate" and f"evaluations {number}" in made["inputs"]
    ]
    measured = [*_to_model(run, number), (number, "evaluate")]
    return (
        _begun(run, problem)
        | _answer(run, row, "evaluate")
        | {"rules": None, "selection": None, "why": f"measures model {number}; nothing learns it"}
        | {"models": []}
        | {"steps": _steps(run, problem, measured + decided * (row["split"] == "dev"))}
    )


def of_problem(run: Run, problem: dict[str, Any]) -> dict[str, Any]:
    """Give the trail of a problem alone."""
    nothing = dict.fromkeys(["rollout", "model", "engine", "verdict", "rules", "selection"])
    return (
        _begun(run, problem)
        | nothing
        | {"why": None, "models": []}
        | {"steps": _steps(run, problem, [])}
    )


def _begun(run: Run, problem: dict[str, Any]) -> dict[str, Any]:
    recipe = hashlib.sha256(dump(run.recipe).encode()).hexdigest()
    return {
        "version": VERSION,
        "run": {"path": str(run.path), "recipe": recipe, "seed": run.recipe.seed},
        "parts": parts_of(run.recipe),
        "problem": _some(problem, PROBLEM) | {"sources": origins(run, problem)},
    }


def parts_of(recipe: Recipe) -> list[dict[str, Any]]:
    """List the code of one's own that a recipe names, by content, with what it brings."""
    return [
        {"name": name, "version": part.version, "sha256": part.sha256, "brings": brought(part)}
        for name, part in recipe.parts.items()
    ]


def _answer(run: Run, row: dict[str, Any], stage: str) -> dict[str, Any]:
    made = run.manifest(stage, row["round"]) or {"settings": {}}
    settings = {name: made["settings"].get(name) for name in SAMPLING}
    number, base = number_of(run, row["model"]), run.recipe.model
    judged = made if stage == "evaluate" else run.manifest("grade", row["round"]) or {}
    verifier = judged.get("settings", {}).get("grade", {}).get("verifier")
    return {
        "rollout": {name: row[name] for name in ROLLOUT if name in row},
        "model": {
            "number": number,
            "digest": row["model"],
            "base": base.path,
            "base_revision": base.revision,
            "licence": model_licence(run),
            "on_disk": None if number is None else is_there(run, number),
        },
        "engine": {
            "kind": (settings["engine"] or {}).get("kind"),
            "figures": made.get("engine"),
            "sampling": row.get("sampling", made.get("sampling")),
            "settings": settings,
        },
        "verdict": {name: row[name] for name in VERDICT if name in row} | {"verifier": verifier}
        if row["verdict"]
        else None,
    }


def _some(row: dict[str, Any], names: list[str]) -> dict[str, Any]:
    return {name: row.get(name) for name in names}


# Models -------------------------------------------------------------------------------------------


def number_of(run: Run, digest: str) -> int | None:
    """Tell which model of the run a digest is, 0 the base; None where it is none of them now."""
    made = run.manifests()
    for each in made:
        if each["stage"] == run.recipe.maker and each["outputs"]["model"]["digest"] == digest:
            return int(each["round"])
        # Both note the base's digest, the latter in every version.
        if each["round"] == 0 and digest in (each["inputs"].get("model"), each.get("model")):
            return 0
    return None


def models_taught(run: Run, round: int) -> list[dict[str, Any]]:
    """List the models that learnt from a round's selected samples."""
    taught = []
    for made in run.manifests():
        number = made["round"]
        if f"selected {round}" not in made["inputs"] or not sound(run, made["stage"], number):
            continue
        gate = run.manifest("gate", number)
        taught.append(
            {
                "model": number,
                "digest": made["outputs"]["model"]["digest"],
                "epochs": made["settings"]["sft"]["epochs"],
                "adopted": bool(gate["counts"]["adopted"])
                if gate
                else None
                if run.recipe.gate
                else True,
                # Recorded text may turn out too long; which rows that were is not written down.
                "too_long": sum(made["counts"].get("dropped", {}).values()),
            }
        )
    return taught


# Rules --------------------------------------------------------------------------------------------


def rules(run: Run, row: dict[str, Any]) -> dict[str, Any] | None:
    """Tell which rules a rollout passed, in order, and which one rejected it, and by how much."""
    sifted = sound(run, "filter", row["round"])
    if sifted is None or row["verdict"] is None:
        return None
    names = [name for name, _ in sifted["settings"]["filter"]]
    parameters = dict(sifted["settings"]["filter"])
    by = row["rejected_by"]
    passed = names[: names.index(by)] if by in names else names
    return {
        "passed": [{"rule": name, "parameters": parameters[name]} for name in passed],
        "rejected_by": None
        if by is None
        else {
            "rule": by,
            "parameters": parameters.get(by),
            "because": defect(run, row, parameters),
        },
    }


# Steps --------------------------------------------------------------------------------------------


def _to_model(run: Run, number: int | None) -> list[Step]:
    """List the trainings, and decisions, that led to a model; the base takes none."""
    steps: list[Step] = []
    while number:
        made = run.manifest(run.recipe.maker, number)
        if made is None:
            break
        steps = [(number, run.recipe.maker), (number, "gate"), *steps]
        parent = number_of(run, made["inputs"].get("model", ""))
        number = parent if parent is not None and parent < number else None
    return steps


def _steps(run: Run, problem: dict[str, Any], wanted: list[Step]) -> list[dict[str, Any]]:
    """Describe the steps that are done, of the reading of the problem and those wanted."""
    steps = []
    for round, stage in dict.fromkeys([(problem["read"], "prepare"), *wanted]):
        made = sound(run, stage, round)
        if made is None:
            continue
        steps.append(
            {
                "round": round,
                "stage": stage,
                "command": command(run, stage, round),
                "finished": made["finished"],
                "seconds": made.get("seconds"),
                "versions": made.get("versions", {}),
                "key": made["key"],
                "seeds": made.get("seeds", {}),
                "read": made["inputs"],
                "wrote": {name: output["digest"] for name, output in made["outputs"].items()},
                "removed": made.get("removed"),
            }
        )
    return steps


def command(run: Run, stage: str, round: int) -> str:
    """Write the command that does one stage of a run."""
    where = shlex.quote(str(run.path))
    if stage == "grpo" or (stage == "prepare" and not round):
        return f"rft {stage} {where}"
    return f"rft {stage} {where} --round {round}"
