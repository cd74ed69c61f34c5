"""The audit trail in words, for whoever has to answer where a row comes from."""

from typing import Any

from pipelines.readers.layout import NOTHING, entry, short_digest, table
from pipelines.readers.sources import UNSTATED, source_words
from rft.foreign_text import one_line, visible
from rft.grading.majority import MAJORITY


def text_trace(traced: dict[str, Any]) -> str:
    """Write a trail from the row back to its source, and on to the models that learnt from it."""
    about = {"row": row_words(traced), **problem_words(traced)}
    if traced["rollout"] is not None:
        about |= answer_words(traced)
    if traced["parts"]:
        about |= {"parts": "; ".join(map(part_words, traced["parts"]))}
    about |= {"digests": digest_words(traced["digests"])}
    lines = [line for label, text in about.items() for line in entry(label, visible(text), 0, 12)]
    steps = [["step", "command", "finished", "digest of what it wrote"]]
    for step in traced["steps"]:
        wrote = ", ".join(
            f"{name} {short_digest(digest)}" for name, digest in step["wrote"].items()
        )
        steps.append([f"{step['round']} {step['stage']}", step["command"]])
        steps[-1] += [step["finished"].removesuffix("+00:00") + "Z", wrote or NOTHING]
    lines += ["", *table("llll", [[visible(cell) for cell in row] for row in steps], 0), ""]
    return "\n".join([*lines, *version_lines(traced["steps"])])


def row_words(traced: dict[str, Any]) -> str:
    """Write which row it is, and whether it is the run's."""
    row = traced["row"]
    if row["file"] is None:
        return f"{traced['rollout']['rollout_id']} of {traced['run']['path']}"
    where = f"{row['file']}, line {row['line']}: "
    if row["differences"]:
        told = "NOT what the run has: " + "; ".join(row["differences"])
    elif row["only_problem"]:
        told = "only its problem could be found"
    else:
        told = f"as {traced['run']['path']} has it"
    rest = ", ".join(one_line(name, 40) for name in row["not_compared"])
    return where + told + (f"; not compared, as nothing was found for it: {rest}" if rest else "")


def problem_words(traced: dict[str, Any]) -> dict[str, str]:
    """Write the problem, and where it was read under which licence."""
    problem = traced["problem"]
    gold = " | ".join(problem["gold"])
    question = f"{problem['problem_id']}: {one_line(problem['question'], 70)} (gold {gold})"
    return {"problem": question, "source": sources_words(problem["sources"])}


def sources_words(sources: list[dict[str, Any]]) -> str:
    """Write where a problem was read, or the places where it may have been."""
    return "; or ".join(source_words(source) for source in sources) or "not recorded"


def answer_words(traced: dict[str, Any]) -> dict[str, str]:
    """Write who wrote an answer, and what became of it."""
    rollout, engine, verdict = traced["rollout"], traced["engine"], traced["verdict"]
    settings, figures = engine["settings"], engine["figures"] or {}
    place = rollout.get("split")
    measured = f"evaluation of model {rollout['round']} on {place}/{rollout.get('benchmark')}"
    own = " ".join(f"{figures[name]}" for name in ("device", "dtype") if name in figures)
    told = {
        "rollout": f"{measured if place else rollout['rollout_id']}, round {rollout['round']}, "
        f"sample {rollout['sample_index']}, seed {rollout['seed']}",
        "model": model_words(traced["model"]),
        "sampled": f"by {engine['kind'] or NOTHING}{f' on {own}' if own else ''}, "
        f"temperature {settings['temperature']:g}, top-p {settings['top_p']:g}, at most "
        f"{settings['max_tokens']} tokens; settings {engine['sampling']}",
        "verdict": NOTHING
        if verdict is None
        else verdict["verdict"]
        + path_words(verdict["verdict_path"])
        + f", by the verifier {verdict['verifier']}",
        "why": traced["why"],
    }
    if traced["selection"] is not None:
        told["learnt by"] = taught_words(traced["models"])
    return told


def part_words(part: dict[str, Any]) -> str:
    """Write which code of one's own there is, and what it brings."""
    version = f" {part['version']}" if part["version"] else ""
    return f"{part['name']}{version} (sha256 {short_digest(part['sha256'])}): " + ", ".join(
        part["brings"]
    )


def path_words(path: str | None) -> str:
    """Write how a verdict was reached."""
    if path == MAJORITY:
        return " (majority: a pseudo-label, no gold)"
    return f" ({path})" if path else ""


def model_words(model: dict[str, Any]) -> str:
    """Write which model it is, and the licence of the one that it goes back to."""
    base = model["base"] + (f" at {model['base_revision']}" if model["base_revision"] else "")
    licence = f"licence {model['licence'] or UNSTATED}"
    if model["number"] is None:
        return f"{model['digest']}, none of this run's (base {base}, {licence})"
    if model["number"] == 0:
        return f"0, the base {base}, digest {short_digest(model['digest'])}; {licence}"
    gone = "" if model["on_disk"] else ", no longer on disk"
    digest = short_digest(model["digest"])
    return f"{model['number']} of this run, digest {digest}{gone}; base {base}, {licence}"


def taught_words(models: list[dict[str, Any]]) -> str:
    """Write which models learnt from a row."""
    told = []
    for model in models:
        fate = {True: "adopted", False: "refused", None: "undecided"}[model["adopted"]]
        epochs = f"{model['epochs']:g} epoch{'' if model['epochs'] == 1 else 's'}"
        long = f", unless one of {model['too_long']} left out as too long"
        told.append(f"model {model['model']} ({fate}, {epochs}{long if model['too_long'] else ''})")
    return ", ".join(told) or "no model"


def digest_words(checked: list[dict[str, Any]]) -> str:
    """Write whether the files are what their manifests say."""
    bad = [each for each in checked if each["state"] in ("differs", "missing")]
    gone = [each["what"] for each in checked if each["state"] == "removed"]
    note = f"; {', '.join(gone)} was removed (keep.models)" if gone else ""
    good = len(checked) - len(gone) - len(bad)
    if not bad:
        return f"all {good} match their manifests{note}"
    wrong = ", ".join(f"{each['what']} {each['state'].upper()}" for each in bad)
    return f"{wrong}; {good} match their manifests{note}"


def version_lines(steps: list[dict[str, Any]]) -> list[str]:
    """Write the versions that made the steps, those of several steps once."""
    used: dict[str, list[str]] = {}
    for step in steps:
        words = ", ".join(f"{name} {version}" for name, version in step["versions"].items())
        used.setdefault(words, []).append(f"{step['round']} {step['stage']}")
    if len(used) == 1:
        return entry("versions", f"{next(iter(used))} (all steps)", 0, 12)
    return [
        line
        for words, names in used.items()
        for line in entry("versions", f"{words} ({', '.join(names)})", 0, 12)
    ]
