r"""What happens in a run, told: to its event log, and to the command of the recipe's `notify`.

`rft run` and `rft grpo` call the command once for each event, by `sh -c` in the working directory
of the call, with one line of JSON on its standard input. All events have

    version   1; raised when a field changes its meaning or goes away
    event     one of the five below
    time      UTC, to the second
    run       the run folder as it was given
    name      the last part of its path
    round     which round, 0 for the base; null where there is none
    text      the event in one sentence, to post as it is
    command   what goes on with the run; null where nothing is left to do

and, as shares from 0 to 1 with null for what is not known:

    round         a round is done: `adopted` (true, false, null where no gate decides), `scores`
                  (dev, test, and each test benchmark: `problems`, `samples`, and for `pass@1` and
                  the highest Pass@k `value`, `low`, `high` and `change` to the base), `funnel`
                  (sampled, correct, kept, kept_share, selected, trained, rejected by rule),
                  `entropy`, `branching` and `response_tokens` (of sampled, pool, selected), `cost`
                  (tokens, tokens_of_run, seconds, tokens_per_second, tokens_per_accepted)
    refused       the gate refused a model: `comparisons` that did, with `metric`, `against`,
                  `roles` and `difference` [value, low, high]; comes before its `round`
    ended         the run is through: `rule` that ended it, `model` that it leaves, its `scores`,
                  and the `cost` of the run's whole life (tokens, hours, gpu_hours)
    failed        `stage`, exit `code` (2: a person must change something, 1: a bug), and `why`
    interrupted   `stage` and `reason`; the same command goes on

The same events are in events.jsonl, where `interrupted` is `stopped`. The command has ten seconds;
while the run is being stopped, what is left of its grace less one. Whether it can be reached, fails
or hangs, the run goes on: that is one warning, and an event `notify_failed`. Whoever kills the run
while the command is called may have it called again for that event.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any

from pipelines.readers.current import sound, standing
from pipelines.readers.figures import (
    Tree,
    adopted_or_not,
    closing_stage,
    figures,
    finite,
    is_complete,
    scores_of,
)
from pipelines.readers.layout import span
from pipelines.readers.status import command_on
from rft.ending import amounts, spent_by
from rft.foreign_text import harmless, json_line, short
from rft.measuring.adoption import noted_comparisons, told
from rft.processes.hook import attempt
from rft.processes.stopping import Stop
from rft.runs.folder import Run, now
from rft.runs.lock import without_token
from rft.runs.models import adopted

VERSION = 1

# How long the command may take.
SECONDS = 10.0


class Notices:
    """Who is told what, while a driver works on a run."""

    def __init__(self, run: Run, stop: Stop, say: Callable[[str], None]):
        self.run, self.stop, self.say = run, stop, say
        self.name = short(run.path.resolve().name)
        self.before = len(run.events())

    def tell(self, event: str, text: str, fields: Mapping[str, Any]) -> None:
        """Call the recipe's command with an event."""
        if (command := self.run.recipe.notify) is None:
            return
        following = standing(self.run).following
        about = {
            "version": VERSION,
            "event": event,
            "time": now(),
            "run": str(self.run.path),
            "name": self.name,
            "round": None,
            "text": text,
            "command": command_on(self.run, following) if following else None,
            **fields,
        }
        failure = attempt(
            ["sh", "-c", command],
            json_line(harmless(about)) + "\n",
            seconds=SECONDS,
            stop=self.stop,
            env=without_token(os.environ),
        )
        if failure is not None:
            self.say(f"notify: the command failed at the event `{event}`: {failure}")
            # Not what it said, which may be an address that is a secret.
            self.run.event("notify_failed", about=event, why=failure.why)

    def untold(self) -> int | None:
        """Give the round that was done last, if the driver was killed before it was told."""
        last = None
        for event in self.run.events():
            kind, round, stage = (event.get(name) for name in ("event", "round", "stage"))
            if kind == "done" and stage == closing_stage(self.run, round or 0):
                last = round
            elif kind == "round" and round == last:
                last = None
        return last if last is not None and is_complete(self.run, last) else None

    def round(self, round: int) -> None:
        """Tell that a round is done, and before that, if its model was refused, why."""
        if adopted_or_not(self.run, round) is False:
            self._refused(round)
        fields = {"round": round, **figures(self.run, round)}
        self.tell("round", self._round_in_words(round, fields), fields)
        # Afterwards: a kill in between has it told twice, and not never.
        self.run.event("round", **fields)

    def _refused(self, round: int) -> None:
        gate, settings = sound(self.run, "gate", round), self.run.recipe.gate
        assert gate is not None
        assert settings is not None
        worse = [each for each in noted_comparisons(gate) if each.refuses]
        why = "; ".join(told(each, settings.entropy_floor) for each in worse)
        stays = adopted(self.run, round - 1)
        text = f"{self.name}: the gate refused model {round}, surely worse on {settings.on}: {why}"
        fields = finite({"round": round, "comparisons": [each.noted() for each in worse]})
        self.tell("refused", f"{text}. Model {stays} stays.", fields)
        self.run.event("refused", **fields)

    def _round_in_words(self, round: int, fields: Tree) -> str:
        scores, cost = scores_in_words(fields["scores"]), fields["cost"]
        spent = f"{cost['tokens']:,} tokens, {span(cost['seconds'])}."
        if not round:
            return f"{self.name}: the base is measured: {scores}; {spent}"
        decided = {True: ", its model adopted", False: ", its model refused", None: ""}
        what = f"round {round} of {self.run.recipe.rounds} is done"
        if self.run.recipe.grpo:
            what = f"the training is done, {fields['steps']:,} steps"
        funnel = ", ".join(
            f"{count:,} {name}"
            for name in ("sampled", "kept", "selected", "trained")
            if (count := fields["funnel"].get(name)) is not None
        )
        decision = decided[fields["adopted"]]
        return f"{self.name}: {what}{decision}: {scores}; {funnel}; {spent}"

    def ended(self, *, one_more: bool) -> None:
        """Tell that the run is through: by a rule that the loop has noted, or since all is done.

        One of which one more round was asked for is through when there will be none after it.
        """
        noted = [e for e in self.run.events()[self.before :] if e.get("event") == "ended"]
        stands = standing(self.run)
        if not noted and (stands.following or (one_more and not stands.over)):
            return
        if noted:
            rule, why = noted[-1]["rule"], noted[-1]["text"]
        else:
            rule, why = (stands.over.rule, stands.over.text) if stands.over else self._through()
            self.run.event("ended", rule=rule, text=why)
        done = [each for each in range(self.run.recipe.rounds + 1) if is_complete(self.run, each)]
        # A budget may end a run before its base is measured.
        last = done[-1] if done else None
        final, spent = 0 if last is None else adopted(self.run, last), spent_by(self.run)
        fields: Tree = {
            "round": last,
            "rule": rule,
            "model": final,
            "scores": {} if last is None else finite(scores_of(self.run, final)),
            "cost": amounts(spent),
        }
        left = f"It leaves model {final}: {scores_in_words(fields['scores'])}"
        if last is None:
            left = "Its base is not measured"
        text = f"{self.name}: the run is through ({short(why)}). {left}; "
        self.tell("ended", f"{text}{spent.tokens:,} tokens, {span(spent.seconds)}.", fields)

    def _through(self) -> tuple[str, str]:
        rounds = self.run.recipe.rounds
        if self.run.recipe.grpo or not rounds:
            return "rounds", "the training is done" if rounds else "the base is measured"
        return "rounds", "its round is done" if rounds == 1 else f"its {rounds} rounds are done"

    def failed(self, code: int, why: str | None) -> None:
        """Tell that a stage failed; why, in the words of whoever could say it."""
        round, stage = self.at()
        why = short(why) if why else None
        where = f"`{stage}` of round {round}" if stage else "the run"
        about = f": {why}" if why else ""
        text = f"{self.name}: {where} failed with exit code {code}{about}"
        fields = {"round": round, "stage": stage, "code": code, "why": why}
        self.tell("failed", text, fields)

    def interrupted(self, reason: str) -> None:
        """Tell that the run was stopped, and can go on."""
        round, stage = self.at()
        where = f" in `{stage}` of round {round}" if stage else ""
        text = f"{self.name}: interrupted{where}: {short(reason)}"
        fields = {"round": round, "stage": stage, "reason": short(reason)}
        self.tell("interrupted", text, fields)

    def at(self) -> tuple[int | None, str | None]:
        """Give round and stage of what was begun last and not done, or of what is next."""
        for event in reversed(self.run.events()[self.before :]):
            if event.get("event") == "done":
                break
            if event.get("event") == "start":
                return event["round"], event["stage"]
        return standing(self.run).following or (None, None)


def scores_in_words(scores: Tree) -> str:
    """Write Pass@1 and the highest Pass@k of each benchmark in percent, with its change."""
    return "; ".join(
        f"{short(name)} "
        + ", ".join(
            _score_in_words(metric, each) for metric, each in of.items() if metric[:5] == "pass@"
        )
        for name, of in scores.items()
    )


def _score_in_words(metric: str, each: Tree) -> str:
    text = f"{metric.replace('pass', 'Pass')} {100 * each['value']:.1f}%"
    if (change := each.get("change")) is None:
        return text
    value, low, high = (
        format(round(100 * change[part], 1) + 0.0, "+.1f") for part in ("value", "low", "high")
    )
    return f"{text} ({value} [{low}, {high}])"
