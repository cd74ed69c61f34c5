"""The command line: thin commands over the stages; the only part of rft that looks into them.

loop.py has the whole loop, stages.py each stage of a run, rows.py the stages that take anyone's
rows as well, compare.py runs arms against each other, looking.py and runs.py read a run,
schedule.py calls the loop again and again, parts.py begins and tries what is one's own, upkeep.py
looks after a run. They know nothing of each other: below them one_stage.py does one stage, and
opening.py finds the run and settles its recipe.
"""

import click

from rft.cli import compare, looking, loop, parts, rows, runs, schedule, stages, upkeep
from rft.cli.terminal import Commands

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

# As they are met, and as help lists them: the loop, its stages, what reads a run, the rest.
COMMANDS = [
    loop.run,
    stages.prepare,
    stages.sample,
    rows.adopt,
    rows.grade,
    rows.filter_,
    rows.score,
    rows.select,
    stages.train,
    stages.blend,
    stages.sft,
    stages.evaluate,
    stages.gate,
    loop.grpo,
    schedule.schedule,
    compare.compare,
    runs.report,
    looking.status,
    looking.show,
    looking.view,
    runs.trace,
    runs.export,
    runs.recipes,
    runs.benchmarks,
    parts.new,
    parts.check,
    upkeep.doctor,
    upkeep.clean,
    upkeep.unlock,
    stages.worker,
    stages.preflight,
    stages.track,
]


@click.group(cls=Commands, commands=COMMANDS, context_settings=CONTEXT)
@click.version_option(package_name="rft-rounds", prog_name="rft")
def cli() -> None:
    """Teach a reasoning model from its own samples: rejection-sampling fine-tuning, round by round.

    \b
    Start here:
      rft run quickstart             the whole loop on a bundled model, in minutes
      rft recipes                    the shipped recipes; `rft recipes NAME > mine.yaml` copies one
      rft run mine.yaml              the whole loop on yours
    """


def main() -> None:
    """Run the command line."""
    cli()
