"""Values of whatever type are what they should be, or None; nothing raises.

Run: python -m pytest tests/foreign/test_values.py
"""

import json

import pytest

from rft.foreign import values

STRANGE = [None, True, "", " ", "x", 7, -1, 1e999, float("nan"), 10**400, [], [None], {}, {"a": []}]
STRANGE += ["[" * 5000, "{", '{"a":', '[{"role":"user"}]', b"x", ("a",), 2**31, 0.5]


@pytest.mark.parametrize("name", ["text_in", "float_in", "integer_in", "mapping_in", "list_in"])
@pytest.mark.parametrize("value", STRANGE, ids=lambda value: repr(value)[:20])
def test_nothing_raises(name, value):
    getattr(values, name)(value)
    values.messages_in(value)
    values.token_ids_in(value)
    values.logprobs_in(value)
    values.golds_in({"gold": value})
    json.loads(values.json_text(value), parse_constant=pytest.fail)


@pytest.mark.parametrize(
    ("value", "number"),
    [(True, 1.0), ("0.5", 0.5), (10**400, None), ("nan", None), (float("inf"), None), ([], None)],
)
def test_a_number_is_finite(value, number):
    assert values.float_in(value) == number


@pytest.mark.parametrize("value", STRANGE, ids=lambda value: repr(value)[:20])
def test_a_reward_is_a_number_or_kept_as_what_could_not_be_read(value):
    found = values.reward_in(value)
    nothing = value is None or value in ("", " ")
    assert (found["reward"] is None) == (found["unread_reward"] is not None or nothing)


@pytest.mark.parametrize(
    ("value", "number"),
    [("True", 1.0), ("FALSE", 0.0), (" true ", 1.0), (False, 0.0), ("0.5", 0.5), (2, 2.0)],
)
def test_a_reward_may_be_true_or_false_in_any_case(value, number):
    assert values.reward_in(value) == {"reward": number, "unread_reward": None}


def test_what_is_no_reward_is_told():
    assert values.reward_in("nan") == {"reward": None, "unread_reward": "'nan'"}
    assert values.reward_in(float("nan")) == {"reward": None, "unread_reward": "nan"}
    assert len(values.reward_in("x" * 10_000)["unread_reward"]) < 100


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("true", None),
        (3, 3),
        (3.0, 3),
        ("3", 3),
        (True, None),
        (-1, None),
        (2**31, None),
        (1.5, None),
    ],
)
def test_an_integer_is_one_that_a_table_holds(value, number):
    assert values.integer_in(value) == number


def test_tokens_are_all_there_or_none_is():
    assert values.token_ids_in([1, 2]) == [1, 2]
    for broken in ([1, None], [1, 2.5], [1, True], [1, -1], [1, 2**31], [], "12"):
        assert values.token_ids_in(broken) is None
    assert values.logprobs_in([-1, 0]) == [-1, 0]
    for broken in ([-1, None], [-1, float("nan")], [0.5], [], "12"):
        assert values.logprobs_in(broken) is None


def test_golds_are_those_of_the_surest_name_in_the_first_place():
    found = values.golds_in({"answer": "a", "gold": ["b", "c"]}, {"gold": "d"})
    assert found == {"gold": ["b", "c"], "gold_name": "gold"}
    found = values.golds_in({"answer": ""}, {"target": 4})
    assert found == {"gold": ["4"], "gold_name": "target"}
    none = {"gold": [], "gold_name": None}
    assert values.golds_in({"question": "a"}) == none
    assert values.golds_in({"answer": "a", "target": "b"}, names=values.SURE_GOLDS) == none


def test_json_has_null_where_it_has_no_number():
    assert values.json_text({"a": [float("nan")]}) == '{"a": [null]}'
