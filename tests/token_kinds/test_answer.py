"""The anatomy of answers against walking through them letter by letter, however they are cut.

Run: python -m pytest tests/token_kinds/test_answer.py
"""

import numpy as np
import pytest

from rft.token_kinds.answer import NO_SENTENCE, OTHER, Texts, anatomy, position_means
from rft.token_kinds.words import class_spans, is_reflective, pivotal_starts, sentences

ANSWER = "First, I will add.\n\nSo 3 + 4 = 7,   but wait: let's check it. \n Hence \\boxed{7}. "


def cut(text: str, source: np.random.Generator) -> list[str]:
    """Cut a text anywhere, with tokens of no text between."""
    ends = sorted(source.choice(len(text) + 1, size=25).tolist())
    return [text[a:b] for a, b in zip([0, *ends], [*ends, len(text)], strict=True)]


@pytest.mark.parametrize("seed", range(20))
def test_tokens_belong_to_what_their_first_letter_lies_in(seed):
    texts = cut(ANSWER, np.random.default_rng(seed))
    seen = anatomy(texts)
    parts, start = sentences(ANSWER), 0
    for place, text in enumerate(texts):
        inside = range(start, start + len(text))
        letters = [at for at in inside if not ANSWER[at].isspace()]
        begins = any(at in inside for at in pivotal_starts(ANSWER))
        assert seen.pivotal[place] == begins
        if not letters:
            assert (seen.classes[place], seen.sentence[place]) == (OTHER, NO_SENTENCE)
        else:
            kinds = [kind for a, b, kind in class_spans(ANSWER) if a <= letters[0] < b]
            assert [seen.classes[place]] == kinds
            numbers = [n for n, (a, b) in enumerate(parts) if a <= letters[0] < b]
            assert [seen.sentence[place]] == (numbers or [NO_SENTENCE])
        start += len(text)
    assert seen.reflective.tolist() == [is_reflective(ANSWER[a:b]) for a, b in parts]
    assert seen.reflective.tolist() == [False, True, False]


@pytest.mark.parametrize("texts", [[], [""], ["", " ", "\n"], ["x"]])
def test_answers_of_nothing_have_an_anatomy(texts):
    seen = anatomy(texts)
    assert len(seen.classes) == len(seen.pivotal) == len(seen.sentence) == len(texts)


@pytest.mark.parametrize("size", [0, 1, 3, 19, 20, 21, 100, 101])
@pytest.mark.parametrize("bins", [1, 4, 20])
def test_means_by_position_agree_with_asking_each_token(size, bins):
    values = np.random.default_rng(size).normal(size=size)
    for place, mean in enumerate(position_means(values, bins)):
        here = [v for t, v in enumerate(values) if place <= (t + 0.5) / size * bins < place + 1]
        assert np.isnan(mean) if not here else mean == pytest.approx(np.mean(here))


def test_a_token_has_the_text_that_it_has_within_a_text_and_is_decoded_once():
    words = {0: "a", 1: " the", 2: "<end>", 3: "x", 4: ""}
    calls = []

    def decode(ids):
        calls.append(list(ids))
        return "".join(words[each] for each in ids).lstrip()

    texts = Texts(decode, before=0, silent=frozenset({2}))
    assert texts.of([1, 3, 1, 2]) == [" the", "x", " the", ""]
    assert calls == [[0], [0, 1], [0, 3]]
    assert "".join(texts.of([1, 2, 1])) == " the the"
