"""A batch script of Slurm, and the line of a scrontab that submits it."""

import shlex

from rft.scheduling.targets import Errand

TEXT = """\
#!/bin/bash
# Save this as {folder}/{name}.sbatch, then `sbatch` it for one round.
# Add what your cluster asks for: --time, --partition, --gpus-per-node (`rft doctor` says what a
# recipe takes). For a round at each time, a line for `scrontab -e`, where there is one (else for
# `crontab -e` on a login node); it submits nothing while a round waits or runs:
#   {line}
# How a call ends, at the end of {name}.log:
#   0   a round is made, or nothing is left to do
#   75  interrupted, time is nearly up or another call is at work: the job is queued again
#   2   a person must change something: the job fails, and the last line says what
#   1   a bug, with its traceback: the job fails, and the next time tries again
# `sbatch` passes on the environment that it is called in; cron and scrontab have almost none. What
# a round needs (secrets of `notify`, HF_TOKEN, HF_HOME) is exported by a file that only you can
# read, which --prologue reads in: `. /PATH/OF/IT`
#SBATCH --job-name={name}
#SBATCH --output={name}.log
#SBATCH --open-mode=append
#SBATCH --requeue
# The signal reaches the steps of the job alone; there it winds down, and ends with 75.
#SBATCH --signal=TERM@{notice}
{prologue}
cd {quoted_folder} || exit 2
# Steps no longer take this from the job.
if [ -n "${{SLURM_CPUS_PER_TASK:-}}" ]; then
    export SRUN_CPUS_PER_TASK="$SLURM_CPUS_PER_TASK"
fi
# Where a cluster signals this shell as well, it lives on to see how the round ended.
trap : TERM
srun --ntasks=1 {command}
code=$?
if [ "$code" -eq 75 ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
"""


def write(errand: Errand) -> str:
    """Write the script."""
    folder = shlex.quote(errand.folder)
    busy = f"squeue --me --noheader --name={errand.name} | grep -q ."
    line = f"{errand.cron.text} {busy} || (cd {folder} && sbatch {errand.name}.sbatch)"
    prologue = f"{errand.prologue.rstrip()}\n" if errand.prologue else ""
    return TEXT.format(
        name=errand.name,
        folder=errand.folder,
        quoted_folder=folder,
        line=line.replace("%", "\\%"),
        # A step that ends later than the notice is killed.
        notice=max(120, errand.grace + 60),
        prologue=prologue,
        command=shlex.join(errand.command),
    )
