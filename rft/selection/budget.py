"""The budget of a selection: how many of each role are wanted, and taken where they run short.

Wrong samples never have a larger share of what is trained on than was asked for, but for rounding
to whole samples, since they are to unsettle and not to teach: they shrink with the positives.
Positives that are there are never thrown away for want of wrong samples.
"""

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
    """Find how many of each role to take: all positives of their part, and noise at most in ratio.

    The noise is what belongs to the most rows, up to the budget, for which there are positives.
    """

    def lacks_positives(total: int) -> bool:
        return split_budget(total, settings.noise)["positive"] > available["positive"]

    # The positives never fall as the total rises, so what lacks once lacks from there on.
    most = bisect_left(range(1, sum(wanted.values()) + 1), True, key=lacks_positives)
    split = split_budget(most, settings.noise)
    take = {role: min(split[role], available[role]) for role in split}
    if not any(take.values()):
        raise RFTError(
            f"select.noise: {settings.noise:g} of select.budget: {settings.budget} leaves nothing "
            f"to take of what there is ({available}); lower it"
        )
    return take


def shortfall(
    wanted: dict[str, int], take: dict[str, int], available: dict[str, int], noise: float
) -> str:
    """Say what there was too little of, what was taken instead, and which share of it is noise."""
    if take == wanted:
        return ""
    scarce = [
        f"{available[role]} {role} of {wanted[role]} wanted"
        for role in wanted
        if available[role] < wanted[role]
    ]
    total, budget = sum(take.values()), sum(wanted.values())
    return (
        f"short of samples: only {' and '.join(scarce)}; took {total} of {budget}; noise is "
        f"{take['noise'] / total:.1%} of that, {noise:.1%} was asked"
    )
