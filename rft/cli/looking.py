"""What one looks at: where a run stands, its rollouts, and its page in a browser."""

import contextlib
from pathlib import Path
from time import sleep as pause

import click

from rft.cli.options import HERE, ROUND, megabytes_option
from rft.cli.terminal import colours, give, give_anew, give_json, give_styled, redraws

# Seconds between two looks at a run that is watched.
WATCHED = 2


@click.command()
@click.argument("run_folder", metavar="RUN", type=HERE)
@click.option("--json", "as_json", is_flag=True, help="One line of JSON, for programs.")
@click.option("--watch", is_flag=True, help="Say it again and again, until the run is done.")
def status(run_folder: Path, as_json: bool, watch: bool) -> None:
    """Say where a run stands.

    Works while another process is at it.

    --watch writes over what it said before, every two seconds; where the output is no terminal, or
    with --json, it says it anew whenever something has changed. It ends with exit code 0 when the
    run is done, and with 75 on Ctrl-C, which ends only the watching.

    \b
    Example:
      rft status runs/quickstart
      rft status runs/quickstart --watch
      rft status runs/quickstart --json
    """

    from pipelines.readers.status import changing, text_status
    from pipelines.readers.status import status as stand
    from rft.runs.folder import open_run

    told, lines, anew = None, 0, watch and not as_json and redraws()
    while True:
        where = stand(open_run(run_folder))
        if anew:
            below = "" if where["state"] == "done" else "\n  Ctrl-C ends this, not the run"
            lines = give_anew(f"{text_status(where)}{below}", lines)
        elif (now := changing(where)) != told:
            told = now
            give_json(where) if as_json else give(text_status(where))
        if not watch or where["state"] == "done":
            return
        pause(WATCHED)


@click.command()
@click.argument("run_folder", metavar="RUN", type=HERE)
@click.argument("rollout", metavar="[ID]", required=False)
@click.option("--problem", metavar="P", help="The samples of one problem; a start of its id does.")
@click.option("--verdict", help="Only this verdict: correct, wrong, no_answer, ...")
@click.option("--round", type=ROUND, help="Only this round.")
@click.option("--role", type=click.Choice(["positive", "noise"]), help="Only selected ones.")
@click.option("--rule", help="Only those that this rule rejected, e.g. redundant.")
@click.option("--where", metavar="C", help="Only these, e.g. '0.1 < pass_rate < 0.9'; see above.")
@click.option(
    "--sort",
    metavar="ORDER",
    help="Highest first: entropy, branching, perplexity, tokens; by default selected ones are.",
)
@click.option(
    "-n", "limit", type=click.IntRange(1, 10**9), default=20, show_default=True, help="Lines."
)
@click.option("--json", "as_json", is_flag=True, help="JSON, a line for each rollout.")
@click.option(
    "--tokens",
    is_flag=False,
    flag_value="entropy",
    type=click.Choice(["entropy", "branching", "logprob"]),
    help="The tokens of ID, tinted by this; --tokens alone is by entropy.",
)
def show(
    run_folder: Path,
    rollout: str | None,
    problem: str | None,
    verdict: str | None,
    round: int | None,
    role: str | None,
    rule: str | None,
    where: str | None,
    sort: str | None,
    limit: int,
    as_json: bool,
    tokens: str | None,
) -> None:
    """Read rollouts, and why each was kept or dropped.

    A line each, or the one of ID in full; with --json, that is its whole audit trail.

    --where takes and, or, not, brackets, == != < <= > >= (chained too), in ('a', 'b') and
    is [not] null, over the columns that --json shows, and pass_rate, tokens, entropy, branching
    and perplexity. What is null matches nothing.

    ID may be the start of a rollout's id. What was cut off after the first box is marked with x.

    With --tokens each token of ID is tinted by how unsure the policy was, where the terminal has
    256 colours; elsewhere, and under NO_COLOR, they are a table.

    \b
    Example:
      rft show runs/quickstart --verdict wrong --round 1 --sort entropy -n 5
      rft show runs/quickstart --where "0.1 < pass_rate < 0.9 and tokens > 60"
      rft show runs/quickstart 137df422
      rft show runs/quickstart 137df422 --tokens branching
    """

    from pipelines.readers import show as reader
    from rft.runs.folder import open_run

    run = open_run(run_folder)
    if rollout is not None:
        if any(given is not None for given in (problem, verdict, round, role, rule, where, sort)):
            raise click.UsageError("give an ID, or options that choose rollouts, not both")
        if as_json and tokens is not None:
            raise click.UsageError("give --tokens or --json, not both")
        row = reader.whole(run, reader.find(run, rollout))
        if tokens is not None:
            from pipelines.readers.heat_map import heat_map, token_table, tokens_of

            looked_at = tokens_of(run, row)
            make = heat_map if colours() >= 256 else token_table
            give_styled(make(row, looked_at, tokens))
        elif as_json:
            give_json(reader.trail_of(run, row))
        else:
            give_styled(reader.text_whole(run, row))
        return
    if tokens is not None:
        raise click.UsageError("--tokens goes with an ID, whose tokens are shown")
    rows = reader.choose(
        run,
        problem=problem,
        verdict=verdict,
        round=round,
        role=role,
        rule=rule,
        where=where,
        sort=sort,
    )
    if as_json:
        for row in rows.head(limit).iter_rows(named=True):
            give_json(row)
    else:
        give_styled(reader.text_list(run, rows, limit, sort))


@click.command()
@click.argument("run_folder", metavar="RUN", type=HERE)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0: a free one."
)
@megabytes_option
def view(run_folder: Path, port: int, max_mb: float) -> None:
    """Serve the page of `rft report --html` to a browser here, while the run goes on.

    On this machine alone (127.0.0.1); Ctrl-C ends it. From elsewhere: `ssh -L 8765:localhost:8765
    HOST`. The page says when the run has gone on.

    \b
    Example:
      rft view runs/quickstart
    """
    from pipelines.readers.page.serving import Server
    from rft.charts import refuse_missing_charts
    from rft.runs.folder import open_run

    run = open_run(run_folder)
    refuse_missing_charts()
    with Server(run, port, max_mb) as server:
        give(f"{server.address} shows {run_folder}, after some seconds of drawing; Ctrl-C ends it")
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()
