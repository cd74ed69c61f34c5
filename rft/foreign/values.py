"""Values out of foreign records, of whatever type they are, read as what they should be or None."""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from rft.errors import clipped
from rft.problems.gold import read_gold

# The columns in which golds are and nothing else is, the surest name first.
SURE_GOLDS = ("gold", "expected_answer", "ground_truth", "reference_answer")
# In the rows of a data set the last two are golds as well; beside a chat they may be what somebody
# read out of the model's own words.
GOLDS = (*SURE_GOLDS, "answer", "target")
# How true and false are written where they are texts, as in CSV; capitals aside.
TRUTHS = {"true": 1.0, "false": 0.0}
# What the integers of our tables hold.
MOST_INTEGER = 2**31


def text_in(value: Any) -> str | None:
    """Read a text that is there and not blank."""
    return value if isinstance(value, str) and value.strip() else None


def float_in(value: Any) -> float | None:
    """Read a finite number: true is 1, and the texts of a CSV file are read too."""
    if not isinstance(value, bool | int | float | str):
        return None
    try:
        read = float(value)
    except (ValueError, OverflowError):
        return None
    return read if math.isfinite(read) else None


def number_of(reward: Any) -> float | None:
    """Read a reward as a number: true is 1 and false is 0, also as texts."""
    written = reward.strip().lower() if isinstance(reward, str) else None
    return TRUTHS[written] if written in TRUTHS else float_in(reward)


def reward_in(value: Any, read: Callable[[Any], float | None] = number_of) -> dict[str, Any]:
    """Read a reward, and keep what stands there where it is none that can be read."""
    reward = read(value)
    nothing = value is None or (isinstance(value, str) and not value.strip())
    unread = reward is None and not nothing
    return {"reward": reward, "unread_reward": clipped(repr(value)) if unread else None}


def integer_in(value: Any) -> int | None:
    """Read an integer that is not negative and that our tables hold."""
    read = None if isinstance(value, bool) else float_in(value)
    return int(read) if read is not None and 0 <= read < MOST_INTEGER and read % 1 == 0 else None


def mapping_in(value: Any) -> Mapping[str, Any]:
    """Read an object, in a cell of a table as the text of one; an empty one where there is none."""
    value = _out_of_text(value, "{")
    return value if isinstance(value, dict) else {}


def list_in(value: Any) -> list[Any]:
    """Read a list, in a cell of a table as the text of one; an empty one where there is none."""
    value = _out_of_text(value, "[")
    return value if isinstance(value, list) else []


def _out_of_text(value: Any, opening: str) -> Any:
    if not isinstance(value, str) or not value.lstrip().startswith(opening):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def messages_in(value: Any) -> list[Mapping[str, Any]]:
    """Read a list of chat messages; an empty one where it is anything else."""
    messages = list_in(value)
    if all(isinstance(each, dict) and isinstance(each.get("role"), str) for each in messages):
        return messages
    return []


def golds_in(*places: Mapping[str, Any], names: tuple[str, ...] = GOLDS) -> dict[str, Any]:
    """Find the accepted answers in the first of these places that has any, and their column."""
    for place in places:
        for name in names:
            if golds := read_gold(place.get(name), "plain"):
                return {"gold": golds, "gold_name": name}
    return {"gold": [], "gold_name": None}


def token_ids_in(value: Any) -> list[int] | None:
    """Read token ids, all of them or none."""
    ids = value if isinstance(value, list) else []
    whole = all(type(each) is int and 0 <= each < MOST_INTEGER for each in ids)
    return ids if ids and whole else None


def logprobs_in(value: Any) -> list[float] | None:
    """Read log-probabilities, all of them or none."""
    read = [float_in(each) for each in value] if isinstance(value, list) else []
    known = [each for each in read if each is not None and each <= 0]
    return known if known and len(known) == len(read) else None


def usage_in(usage: Any, name: str) -> int | None:
    """Read how many tokens an answer has, unless some of them are reasoning that is not shown."""
    hidden = mapping_in(mapping_in(usage).get(f"{name}_details")).get("reasoning_tokens")
    return None if hidden else integer_in(mapping_in(usage).get(name))


def scores_in(record: Mapping[str, Any], beside: tuple[str, ...] = ()) -> dict[str, Any]:
    """Keep the numbers of a record, but for those columns that are no scores."""
    return {
        name: value
        for name, value in record.items()
        if name not in beside and isinstance(value, bool | int | float)
    }


def json_text(value: Any) -> str:
    """Write a value as JSON, with null for what JSON has no number for."""
    try:
        return json.dumps(value, default=str, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), default=str)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
