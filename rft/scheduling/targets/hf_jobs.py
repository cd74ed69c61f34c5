"""A scheduled job of the Hugging Face Hub, with the run in a bucket."""

import shlex

from rft.scheduling.targets import Errand

BUCKET = "/bucket"
HOURS = 8
COPIED = """\
# The recipe in here is a copy: later edits of its file do not reach it. Write this anew then, and
# call the `hf buckets cp` of it again.
"""

TEXT = """\
# Save this as {name}.sh and call it once, on a machine where you are logged in (`hf auth login`):
#   OWNER=your-name-or-organisation bash {name}.sh
# `hf jobs hardware` lists flavors and prices; times are in UTC. What it says: hf jobs logs ID
#   0   a round is made, or nothing is left to do
#   75  interrupted, or the job's {hours} hours are nearly over: the next time goes on
#   2   a person must change something: the last line of the log says what
#   1   a bug, with its traceback: the next time tries again
# Of your environment HF_TOKEN alone is passed on. What else a round needs (secrets of `notify`) is
# added below: `--secrets NAME`; `--env HF_HOME={bucket}/hf` keeps what is downloaded.
{copied}# Never two at once. `hf jobs scheduled ps` lists it, `hf jobs scheduled delete ID` ends it.
{notes}set -eu
: "${{OWNER:?say whose: OWNER=your-name-or-organisation}}"
hf buckets create "$OWNER/{name}" --private --exist-ok
{copy}hf jobs scheduled run {times} {image} \\
    --name {name} \\
    --namespace "$OWNER" \\
    --flavor l4x1 \\
    --timeout {hours}h \\
    --no-concurrency \\
    --secrets HF_TOKEN \\
    --volume "hf://buckets/$OWNER/{name}:{bucket}" \\
    -- {command}
"""


def write(errand: Errand) -> str:
    """Write a script that makes the bucket and the job."""
    there, copy = f'"hf://buckets/$OWNER/{errand.name}"', ""
    if errand.is_run:
        name = shlex.quote(errand.run.rpartition("/")[2])
        copy = f"hf buckets sync {shlex.quote(errand.run)} {there}/{name}\n"
    elif errand.of_file:
        copy = f"hf buckets cp - {there}/recipe.yaml <<'END_OF_RECIPE'\n"
        copy += f"{errand.resolved}END_OF_RECIPE\n"
    words = errand.elsewhere(BUCKET, f"{BUCKET}/recipe.yaml")
    # It winds down by itself, before the job is killed at its timeout.
    words += ["--stop-after", f"{HOURS * 60 - 10}m"]
    return TEXT.format(
        name=errand.name,
        hours=HOURS,
        copied=COPIED if errand.of_file else "",
        notes="".join(f"# The recipe reads {path}: put it there\n" for path in errand.outside),
        copy=copy,
        times=shlex.quote(errand.cron.text),
        image=shlex.quote(errand.image or ""),
        bucket=BUCKET,
        command=shlex.join(words),
    )
