"""The budget of a selection: how many of each role are wanted, and can be had at that ratio."""

from bisect import bisect_left
from decimal import Decimal

from rft.errors import RFTError
from rft.recipe import Select


def split_budget(total: int, noise: float) -> dict[str, int]:
    """Split a number of rows: the noise is rounded (half up), the positives are the rest."""
    # In decimals: 0.29 of 50 is 14.5, but a little less as a binary fraction.
    wrong = int(Decimal(str(noise)) * total + Decimal("0.5"))
    return {"positive": total - wrong, "noise": wrong}


def shrink(wanted: dict[str, int], available: dict[str, int], settings: Select) -> dict[str, int]:
    """Find the most rows, up to the budget, that can be had at the wanted ratio."""

    def lacking(total: int) -> bool:
        split = split_budget(total, settings.noise)
        return any(split[role] > available[role] for role in split)

    # Neither part falls as the total rises, so what lacks once lacks from there on.
    most = bisect_left(range(1, sum(wanted.values()) + 1), True, key=lacking)
    split = split_budget(most, settings.noise)
    if most and (split["positive"] or not wanted["positive"]):
        return split
    raise RFTError(f"select.noise: {settings.noise:g} cannot be had of {available}; lower it")


def shortfall(wanted: dict[str, int], take: dict[str, int], available: dict[str, int]) -> str:
    """Say what there was too little of, and what was taken in place of the budget."""
    if take == wanted:
        return ""
    scarce = [
        f"{available[role]} {role} of {wanted[role]} wanted"
        for role in wanted
        if available[role] < wanted[role]
    ]
    return (
        f"short of samples: only {' and '.join(scarce)}; took {sum(take.values())} of "
        f"{sum(wanted.values())}, the share of noise unchanged"
    )
