"""Hold two run folders against each other: keys, inputs, tables and models, stage by stage.

Made for a change that must change nothing: make the same recipe with both versions, then

    python tests/same_run.py RUN_OF_BEFORE RUN_OF_NOW

Exit code 1 where anything differs. What only one of the two has is told, and counts as a difference
only where it is the earlier run that has it: a later version may write more.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl

# Seconds and speeds; everything else in a table is the same on the same machine.
TIMES = ("seconds", "rollout_seconds")


def manifests(run: Path) -> dict[str, dict]:
    """Read every manifest by its place, `round-0001/sample.json`."""
    folder = run / "manifest"
    return {
        str(path.relative_to(folder)): json.loads(path.read_text())
        for path in sorted(folder.rglob("*.json"))
    }


def table(run: Path, files: dict[str, int]) -> pl.DataFrame:
    """Read a table without what depends on the clock."""
    whole = pl.concat(pl.read_parquet(run / name) for name in files if name.endswith(".parquet"))
    return whole.drop(name for name in TIMES if name in whole.columns)


def differences(before: Path, now: Path) -> Iterator[tuple[str, bool]]:
    """Tell of each part of the earlier run whether the later one has the same."""
    old, new = manifests(before), manifests(now)
    for place, made in old.items():
        again = new.get(place, {"outputs": {}})
        yield f"{place} key {made['key'][:12]}", made["key"] == again.get("key")
        yield f"{place} inputs", made["inputs"] == again.get("inputs")
        for name, output in made["outputs"].items():
            other = again["outputs"].get(name, {"digest": None, "files": {}})
            same = output["digest"] == other["digest"]
            if not same and name == "dynamics" and other["files"]:
                same = table(before, output["files"]).equals(table(now, other["files"]))
            yield f"{place} {name} {output['digest'][:12]}", same


def main() -> None:
    """Print a line for each part, and end with 1 if any is not the same."""
    before, now = map(Path, sys.argv[1:])
    parts = list(differences(before, now))
    for what, same in parts:
        print("same     " if same else "DIFFERENT", what)
    old, new = manifests(before), manifests(now)
    for place, made in new.items():
        more = made["outputs"].keys() - old.get(place, {"outputs": {}})["outputs"].keys()
        print(*(f"new       {place} {name}" for name in sorted(more)), sep="\n", end="")
    different = sum(not same for _, same in parts)
    print(f"\n{len(parts)} parts, {different} different")
    sys.exit(bool(different) or not parts)


if __name__ == "__main__":
    main()
