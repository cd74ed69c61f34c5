"""Why a run ends before its rounds are done: its gate, or a rule of the recipe's `stop`.

Told from the run folder alone, and asked wherever something is not done yet. Rounds, plateau and
the gate look at whole rounds. Budgets also end a round that is begun, which is gone on with once
they are raised; and a round is not begun that would not be finished, were it like the last one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rft.ending.plateau import rise
from rft.ending.spending import Spent, spent_by, spent_on_round
from rft.runs.folder import Run
from rft.runs.models import adopted


@dataclass(frozen=True)
class Ending:
    """Why a run ends."""

    rule: str
    """The gate, or a key of `stop`."""
    text: str


@dataclass(frozen=True)
class Budget:
    """Something of which a run may spend a given amount."""

    unit: str
    form: str
    of: Callable[[Spent], float]

    def told(self, amount: float) -> str:
        """Write an amount of it."""
        return self.form.format(amount)


# By their keys in `stop`.
BUDGETS = {
    "tokens": Budget("tokens", "{:,.0f}", lambda spent: spent.tokens),
    "hours": Budget("hours", "{:,.3g}", lambda spent: spent.hours),
    "gpu_hours": Budget("GPU-hours", "{:,.3g}", lambda spent: spent.gpu_hours),
}


def amounts(spent: Spent) -> dict[str, float]:
    """Give what was spent, by the names of the budgets."""
    return {name: round(budget.of(spent), 6) for name, budget in BUDGETS.items()}


def in_words(spent: Mapping[str, float], limits: Mapping[str, float]) -> str:
    """Write what was spent, and of how much where that is limited."""
    return ", ".join(
        budget.told(spent[name])
        + (f" of {budget.told(limits[name])}" if name in limits else "")
        + f" {budget.unit}"
        for name, budget in BUDGETS.items()
    )


def ending(run: Run, round: int) -> Ending | None:
    """Say why a run ends rather than do what is not done of a round, if it does."""
    return (
        (ends_before(run, round) if round else None)
        or out_of_budget(run)
        or (too_much(run, round) if round > 1 and not begun(run, round) else None)
    )


def ends_before(run: Run, round: int) -> Ending | None:
    """Say why a run ends before a round, by what the rounds before have come to."""
    stop = run.recipe.stop
    if refused_twice(run, round):
        return Ending("gate", f"the gate refused rounds {round - 2} and {round - 1}")
    if stop is None:
        return None
    if stop.rounds is not None and round > stop.rounds:
        return Ending(
            "rounds", f"stop.rounds: {stop.rounds} are done; --set stop.rounds=N raises it"
        )
    seen = rise(run, round - 1, stop.plateau) if stop.plateau else None
    if seen is not None and not seen.sure:
        return Ending(
            "plateau", f"stop.plateau: {seen.in_words()}; --set stop.plateau=null goes on"
        )
    return None


def refused_twice(run: Run, round: int) -> bool:
    """Say whether the two rounds before this one were refused by the gate."""
    return run.recipe.gate is not None and round > 2 and adopted(run, round - 1) < round - 2


def budgets(run: Run) -> dict[str, float]:
    """List the budgets that a run has."""
    limits = run.recipe.stop.model_dump() if run.recipe.stop else {}
    return {name: limits[name] for name in BUDGETS if limits.get(name) is not None}


def out_of_budget(run: Run) -> Ending | None:
    """Say which budget is spent."""
    limits = budgets(run)
    spent = spent_by(run) if limits else Spent()
    for name, limit in limits.items():
        budget = BUDGETS[name]
        if budget.of(spent) >= limit:
            used = f"{budget.told(budget.of(spent))} of {budget.told(limit)}"
            return Ending(name, f"stop.{name}: {used} are spent; --set stop.{name}=N raises it")
    return None


def too_much(run: Run, round: int) -> Ending | None:
    """Say of which budget less is left than the round before took."""
    limits = budgets(run)
    if not limits:
        return None
    spent, last = spent_by(run), spent_on_round(run, round - 1)
    for name, limit in limits.items():
        budget = BUDGETS[name]
        left = limit - budget.of(spent)
        if budget.of(last) > left:
            return Ending(
                name,
                f"stop.{name}: {budget.told(left)} of {budget.told(limit)} are left, and a round "
                f"like the last takes {budget.told(budget.of(last))}; --set stop.{name}=N raises "
                "it",
            )
    return None


def begun(run: Run, round: int) -> bool:
    """Say whether anything of a round is done or half done."""
    folders = [
        run.manifest_path("", round).parent,
        *(run.path / "work").glob(f"round-{round:04d}-*"),
    ]
    return any(folder.is_dir() and any(folder.iterdir()) for folder in folders)
