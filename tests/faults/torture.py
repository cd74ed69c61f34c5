"""Kill runs of every kind for so long, and count what came of it: `make torture`.

    python tests/faults/torture.py --minutes 60 --seed 0

The seed decides which operations are struck; what was struck by then is in the time that there is.
Exit code 1 if anything was lost, repeated, wedged or different; it is left in the folder then.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.faults.campaign import SCENARIOS, Campaign, Tally

# A scenario is killed so often at most before it is left to end.
KILLS = 40


def main() -> None:
    """Go through all scenarios, round after round, on as many processes as are asked for."""
    words = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    words.add_argument("--minutes", type=float, default=60)
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--processes", type=int, default=2)
    words.add_argument("--only", help="one scenario, by its name")
    given = words.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    home = Path(tempfile.mkdtemp(prefix="rft-torture-"))
    campaign = Campaign(home)
    scenarios = [each for each in SCENARIOS if given.only in (None, each.name)]
    print(f"seed {given.seed}, {given.minutes:g} minutes, in {home}", flush=True)
    end = time.monotonic() + 60 * given.minutes
    by_name = {scenario.name: Tally() for scenario in scenarios}

    def keep_on(process: int) -> None:
        turn = process
        while time.monotonic() < end:
            scenario = scenarios[turn % len(scenarios)]
            tally = campaign.torment(scenario, f"{given.seed}-{turn}", KILLS)
            by_name[scenario.name].add(tally)
            print(
                f"{scenario.name:16} kills {tally.kills:3}  attempts {tally.attempts:3}  "
                f"{'as undisturbed' if not tally.failures else tally.failures[0]}",
                flush=True,
            )
            turn += given.processes

    with ThreadPoolExecutor(given.processes) as pool:
        list(pool.map(keep_on, range(given.processes)))
    total = Tally()
    for name, tally in by_name.items():
        print(
            f"{name:16} runs {tally.runs:4}  kills {tally.kills:5}  signals {tally.signals:4}  "
            f"faults {tally.faults:4}"
        )
        total.add(tally)
    print(
        f"in all: {total.runs} runs, {total.kills} kills, {total.signals} signals, "
        f"{total.faults} faults, "
        f"{len([line for line in total.failures if line.startswith('FAILED')])} failed"
    )
    print(json.dumps({"seed": given.seed, "kills": total.kills, "failures": total.failures}))
    sys.exit(bool(total.failures))


if __name__ == "__main__":
    main()
