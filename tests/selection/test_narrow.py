"""What the choice looks at of a row is what its text comes to."""

import random
import re

import polars as pl

from rft.recipe import Select
from rft.selection.narrow import FEW_WORDS, few_words, narrow
from tests.kept_rows import kept

PIECES = ["one ", "two", " ", "\n", "\\boxed{7}", "\\boxed{a b}", "x=3, ", "étude ", "是", "$", ""]


def by_hand(text: str) -> bool:
    before = text.rpartition("\\boxed")[0] if "\\boxed" in text else text
    return len(re.findall(r"\w+", before)) <= FEW_WORDS


def test_few_words_are_counted_before_the_last_box():
    source = random.Random(0)
    texts = ["".join(source.choices(PIECES, k=source.randint(0, 14))) for _ in range(3000)]
    told = few_words(pl.Series(texts))
    assert told.to_list() == [by_hand(text) for text in texts]
    assert 300 < told.sum() < 2700
    assert few_words(pl.Series([], dtype=pl.String)).to_list() == []
    assert few_words(pl.Series([None, "a"], dtype=pl.String)).to_list() == [None, True]


def test_a_row_is_narrow_and_its_text_is_there_only_where_responses_are_compared():
    frame = kept({"response": "so \\boxed{7}"}, {"response": "  "})
    rows = narrow(frame, Select(by="random", budget=1))
    assert rows["characters"].to_list() == [12, 2]
    assert rows["blank"].to_list() == [False, True]
    assert rows["outside"].to_list() == [False, False]
    assert not {"text", "response", "completion"} & set(rows.columns)
    compared = Select(by="random", budget=1, within="problem", diverse=True)
    assert narrow(frame, compared)["text"].to_list() == ["so \\boxed{7}", "  "]
    seldom, often = ({name: rate for name in frame["problem_id"]} for rate in (0.2, 0.8))
    where = Select(by="random", budget=1, where="pass_rate < 0.5")
    assert narrow(frame, where, seldom)["outside"].to_list() == [False, False]
    assert narrow(frame, where, often)["outside"].to_list() == [True, True]
    assert narrow(frame, where, {})["outside"].to_list() == [True, True], "unknown is outside"
