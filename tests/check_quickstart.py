"""After a quickstart: what the README promises of it, checked on the run folder."""

import sys
from pathlib import Path

import polars as pl

from rft.measuring.pass_at_k import paired_difference_of, pass_interval
from rft.runs.folder import open_run


def main(folder: Path) -> None:
    """Fail unless the test Pass@1 rose by 0.10 or more, surely; the time is printed, not judged."""
    run = open_run(folder)
    base, last = (
        run.read("evaluations", number).filter(pl.col("split") == "test")
        for number in (0, run.recipe.rounds)
    )
    change = paired_difference_of(base, last, k=1, seed=0)
    wide = pass_interval(last, k=16, seed=0)
    seconds = sum(manifest.get("seconds", 0) for manifest in run.manifests())
    if run.recipe.grpo is not None:
        dynamics = run.read("dynamics", 1)
        flips, largest = dynamics["sign_flips"].sum(), dynamics["largest_ratio"].max()
        print(f"{len(dynamics)} steps, {flips} signs turned, advantages at most {largest:.3f}x")
        assert flips == 0, "the entropy advantage turned a sign"
        assert 1 < largest <= 1.5 + 1e-6, "the entropy advantage moved one by more than a half"
    print(f"Pass@1 {change.value:+.3f} [{change.low:+.3f}, {change.high:+.3f}]")
    print(f"Pass@16 {wide.value:.3f} [{wide.low:.3f}, {wide.high:.3f}]; {seconds:.0f} s in stages")
    assert change.value >= 0.10, "Pass@1 rose by less than 0.10"
    assert change.low > 0, "the interval of the rise does not exclude 0"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
