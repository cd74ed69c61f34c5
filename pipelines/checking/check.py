"""All checks of a part, each thing of it in a process of its own that has an end."""

import inspect
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filters import RULES
from pipelines.checking import judging, learning, ranking, rules
from pipelines.children import QUIET
from rft.errors import RFTError
from rft.grading.verifiers import VERIFIERS, method_of
from rft.parts.faults import fault_in
from rft.parts.in_use import noted, run, source_of
from rft.processes.hook import attempt
from rft.processes.stopping import Stop
from rft.recipe import Grade
from rft.recipe.parts import KindOfPart, Part

# What has not ended by then would hold up a run in the same way.
SECONDS = 120.0
TRAINING = 600.0
DEADLINE = 5.0
SAMPLES: dict[type, Any] = {int: 1, float: 0.5, str: "a", bool: True}


@dataclass(frozen=True)
class Finding:
    """One check of one thing, and what is wrong, if anything."""

    kind: KindOfPart
    name: str
    check: str
    fault: str | None


def things_of(part: str) -> list[tuple[KindOfPart, str]]:
    """Read a part, and list what it brings."""
    given = noted([part], None, "rft check")
    parts = {name: Part.model_validate(each) for name, each in given.items()}
    run(parts)
    return [
        (kind, name)
        for each in parts.values()
        for kind, rows in each.defines.items()
        for name in rows
    ]


def checked(part: str, stop: Stop) -> Iterator[Finding]:
    """Check each thing of a part in a child, and say what it found, or that it did not end."""
    for kind, name in things_of(part):
        seconds = TRAINING if kind == "plugins" else SECONDS
        with tempfile.TemporaryDirectory() as folder:
            told = Path(folder) / "found"
            failure = attempt(
                [sys.executable, "-P", "-m", "pipelines.checking.check"],
                json.dumps([part, kind, name, str(told)]),
                seconds=seconds,
                stop=stop,
                env={**os.environ, **QUIET},
            )
            stop.check()
            lines = told.read_text().splitlines() if told.exists() else []
        for line in lines:
            yield Finding(kind, name, *json.loads(line))
        if failure is not None:
            yield Finding(kind, name, "runs to its end", str(failure))


def checks_of(kind: KindOfPart, name: str) -> Iterator[tuple[str, str | None]]:
    """Give the checks of one thing."""
    source = source_of(kind, name)
    assert source is not None, "a thing of a part"
    examples = getattr(source.run(), "EXAMPLES", {}).get(name)
    if kind == "rules":
        yield from rules.rule(name, parameters_of(RULES[name], 0))
    elif kind == "statistics":
        yield from ranking.statistic(name)
    elif kind == "orders":
        yield from ranking.order(name)
    elif kind == "verifiers":
        needed = {
            each: SAMPLES[field.annotation]  # type: ignore[index]
            for each, field in VERIFIERS[name].model_fields.items()
            if field.is_required()
        }
        method_of(Grade(verifier={name: needed}))
        yield from judging.verifier(name, needed, examples, DEADLINE)
    elif kind == "readers":
        yield from judging.reader(name, examples)
    elif kind == "templates":
        yield from judging.template(name)
    elif kind == "plugins":
        yield from learning.plugin(name, dict(examples or {}))
    elif kind == "objectives":
        yield from learning.objective(name, dict(examples or {}))
    elif kind == "engines":
        yield from learning.engine(name)


def parameters_of(function: Any, given: int) -> dict[str, Any]:
    """Make up a value for each parameter that has no default."""
    return {
        each.name: SAMPLES[each.annotation]
        for each in [*inspect.signature(function).parameters.values()][given:]
        if each.default is each.empty
    }


def main() -> None:
    """Check one thing, for the process that asked on standard input."""
    part, kind, name, told = json.loads(sys.stdin.readline())
    with Path(told).open("w") as file:

        def tell(check: str, fault: str | None) -> None:
            file.write(json.dumps([check, fault]) + "\n")
            file.flush()

        things_of(part)
        try:
            for check, fault in checks_of(kind, name):
                tell(check, fault)
        except Exception as error:  # noqa: BLE001  whatever a part does is told
            said = fault_in(error) or f"{type(error).__name__}: {' '.join(str(error).split())}"
            tell("runs to its end", str(error) if isinstance(error, RFTError) else said)


if __name__ == "__main__":
    main()
