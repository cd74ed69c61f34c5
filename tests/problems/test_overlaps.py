"""What questions have in common is found: every planted copy, and nothing that is none.

The oracle compares each pair of texts by the definition.

Run: python -m pytest tests/problems/test_overlaps.py
"""

import random
import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rft.problems.overlaps import (
    ALONE,
    NEAR,
    POINTS,
    Alike,
    Overlap,
    References,
    alike,
    near_duplicates,
    runs_of,
    shingles_of,
    words_of,
)

VOCABULARY = [f"{first}{second}" for first in "bcdfgklmnprst" for second in ("a", "ex", "oro")]


def drawn(source: random.Random, length: int) -> list[str]:
    return source.choices(VOCABULARY, k=length)


def disguised(source: random.Random, words: list[str]) -> str:
    """Write words with other signs, spaces and case between them."""
    marks = [" ", "  ", ", ", " $", "$ ", ". ", "\n", " (", ") ", "-", r" \\ "]
    return "".join(
        source.choice([word, word.upper(), word.title()]) + source.choice(marks) for word in words
    )


def test_words_have_no_case_and_no_signs_and_letters_without_spaces_are_words():
    assert words_of("Let $x^2+3X$ be\n 7/8, \uff21\uff22!") == [
        "let",
        "x",
        "2",
        "3x",
        "be",
        "7",
        "8",
        "ab",
    ]
    assert words_of("求方程的解") == list("求方程的解")
    assert words_of("Ärger STRASSE straße naïve") == ["ärger", "strasse", "strasse", "naïve"]
    assert words_of("$$ + _ $$") == []


MARKED = [
    ("एक किसान के पास बारह सेब हैं और वह पाँच बेचता है। क्षेत्र?", 13),
    ("রহিমের কাছে বারোটি আপেল আছে, সে পাঁচটি বিক্রি করে", 9),
    ("ஒரு விவசாயியிடம் பன்னிரண்டு ஆப்பிள்கள் உள்ளன", 5),
    ("రైతు వద్ద పన్నెండు ఆపిల్స్ ఉన్నాయి", 5),
    ("ki\u0301lo n\u0331 \u1e63e\u0301 x\u0304 İstanbul", 5),
]


@pytest.mark.parametrize(("text", "number"), MARKED)
def test_marks_are_parts_of_words(text, number):
    words = words_of(text)
    assert len(words) == number == len(text.split())
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    assert "".join(words) == re.sub(r"[\s,।?]", "", folded), "nothing but signs is left out"
    assert any(unicodedata.category(letter)[0] == "M" for letter in folded)
    assert words_of(unicodedata.normalize("NFD", text)) == words


def test_words_that_differ_by_a_vowel_sign_are_two():
    assert words_of("कि की कु") == ["कि", "की", "कु"]
    assert len(set(words_of("कि की कु"))) == 3
    assert words_of("ที่นี่") == ["ที่", "นี่"], "a letter by itself has its marks too"


def test_points_of_arabic_and_hebrew_do_not_count():
    assert words_of("كَمْ تُفَّاحَةً عِنْدَ أَحْمَـــد؟") == ["كم", "تفاحة", "عند", "أحمد"]
    assert words_of("كم تفاحة عند أحمد؟") == ["كم", "تفاحة", "عند", "أحمد"]
    assert words_of("כַּמָּה תַּפּוּחִים") == words_of("כמה תפוחים") == ["כמה", "תפוחים"]


def by_letter(text: str) -> list[str]:
    """Take a text apart by going through its letters."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    words: list[str] = []
    kind = ""
    for letter in unicodedata.normalize("NFKC", folded):
        mark = unicodedata.category(letter) in ("Mn", "Mc")
        if POINTS.match(letter):
            continue
        if mark and kind:
            words[-1] += letter
        elif re.match(f"[{ALONE}]", letter):
            words.append(letter)
            kind = "alone"
        elif letter.isalnum() and kind == "word":
            words[-1] += letter
        elif letter.isalnum():
            words.append(letter)
            kind = "word"
        else:
            kind = ""
    return words


LETTERS = st.one_of(
    st.characters(max_codepoint=0x1FFFF),
    st.sampled_from(
        "ab7_ .\u0301\u0304\u093f\u0940\u094d\u0915\u0e01\u0e35\u0e48"
        "\u4e00\u0628\u064e\u05d0\u05b8\u1e9e\u0130\ufe0f\u20e3"
    ),
)


@settings(deadline=None, derandomize=True)
@given(st.text(LETTERS, max_size=30))
def test_words_are_those_of_going_through_the_letters(text):
    assert words_of(text) == by_letter(text)


@pytest.mark.parametrize("seed", range(5))
def test_every_planted_run_of_eight_words_is_found_and_no_shorter_one(seed):
    source = random.Random(seed)
    benchmark = [drawn(source, source.randint(5, 60)) for _ in range(40)]
    references = References([" ".join(each) for each in benchmark])
    found = planted = 0
    for length in [*range(5, 16)] * 12:
        own = drawn(source, source.randint(0, 40))
        owner = source.choice([each for each in benchmark if len(each) >= length] or [[]])
        at = source.randint(0, max(0, len(owner) - length))
        copied, place = owner[at : at + length], source.randint(0, len(own))
        text = disguised(source, own[:place] + copied + own[place:])
        (overlap,) = references.overlaps([text])
        counts = {
            number: tuple(len(runs_of(words_of(text), n) & runs_of(each, n)) for n in (8, 12))
            for number, each in enumerate(benchmark)
        }
        near = [
            number
            for number, each in enumerate(benchmark)
            if alike(shingles_of(words_of(text)), shingles_of(each)) >= NEAR
        ]
        planted += len(copied) >= 8
        if not near and max(count for count, _ in counts.values()) == 0:
            assert overlap is None
        else:
            found += 1
            assert overlap is not None
            assert overlap.runs == counts[overlap.other]
            if not near:
                assert overlap.runs[0] == max(count for count, _ in counts.values())
                assert overlap.example in " ".join(words_of(text))
                assert len(overlap.example.split()) == 8
    assert found >= planted > 50


def edited(source: random.Random, words: list[str], changes: int) -> list[str]:
    words = list(words)
    for _ in range(changes if len(words) > changes else 0):
        at = source.randrange(len(words))
        words[at : at + 1] = source.choice([[], [source.choice(VOCABULARY)], [words[at], "more"]])
    return words


def edits(source: random.Random) -> list[str]:
    """Draw texts of any length, and others that were made of them."""
    texts = [drawn(source, source.randint(1, 30)) for _ in range(60)]
    texts += [edited(source, source.choice(texts), source.randint(0, 4)) for _ in range(240)]
    source.shuffle(texts)
    return [" ".join(each) for each in texts]


def templates(source: random.Random, count: int = 300, most: int = 4) -> list[str]:
    """Draw texts that differ by numbers, and now and then by a sentence more."""
    return [
        f"Tom has {source.randint(1, most)} red apples and {source.randint(1, most)} green ones. "
        f"He eats {source.randint(1, most)} of them, and buys more at the market on Sunday. "
        f"How many apples are there{source.choice(['', '', ' now', ' now in his big basket'])}?"
        for _ in range(count)
    ]


@pytest.mark.parametrize("draw", [edits, templates])
@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8, 0.95, 1.0])
def test_near_duplicates_are_those_of_comparing_every_pair(threshold, draw):
    source = random.Random(7)
    asked = draw(source)
    stays = [source.random() < 0.2 for _ in asked]
    shingles = [shingles_of(words_of(each)) for each in asked]
    kept: list[int] = []
    expected = {}
    for number, mine in enumerate(shingles):
        likeness = {other: alike(mine, shingles[other]) for other in kept}
        near = [other for other in kept if likeness[other] >= threshold and mine]
        if near and not stays[number]:
            expected[number] = max(near, key=lambda other: likeness[other])
        else:
            kept.append(number)
    assert near_duplicates(asked, threshold, stays) == expected
    assert len(expected) > 40


def test_the_most_alike_is_found_for_texts_with_words_of_their_own():
    for seed in range(20):
        source = random.Random(seed)
        texts = [shingles_of(words_of(each)) for each in (*templates(source, 60, 30), "", "One.")]
        threshold = source.choice([0.2, 0.5, 0.8])
        index = Alike(texts, threshold)
        there = [number for number in range(len(texts)) if source.random() < 0.8]
        for number in there:
            index.add(number)
        for asked in [*templates(source, 40, 60), "", "Foreign words alone.", "One."]:
            mine = shingles_of(words_of(asked))
            likeness = {number: alike(mine, texts[number]) for number in there}
            near = [number for number in there if likeness[number] >= threshold]
            assert index.find(mine) == max(near, key=lambda at: likeness[at], default=None)


def test_of_texts_that_differ_by_numbers_few_pairs_are_compared():
    texts = [shingles_of(words_of(each)) for each in templates(random.Random(0), 1000, 60)]
    index, compared = Alike(texts, NEAR), 0
    for number, text in enumerate(texts):
        compared += len(index.candidates(len(text), index.firsts[number], len(text)))
        index.add(number)
    sharing = sum(len(one & other) > 5 for one in texts[:100] for other in texts)
    assert sharing == 100 * 1000, "every two have a sentence in common"
    assert compared < 5000, "of 499,500"


def overlap(text: str, *others: str) -> Overlap | None:
    return References(others).overlaps([text])[0]


def test_whole_questions_that_are_nearly_the_same_are_found_where_no_eight_words_are_left():
    short = overlap("what is the SUM of 4 and 5", "What is the sum of 4 and 5?")
    assert (short.runs, short.likeness, short.example) == ((1, 0), 1, "what is the sum of 4 and 5")
    tiny = overlap("find X", "Find x.")
    assert (tiny.runs, tiny.likeness, tiny.example, tiny.telling) == ((0, 0), 1, "", True)
    assert overlap("Find y.", "Find x.", "") is None
    assert overlap("", "", "+") is None
    assert overlap("anything at all") is None


PHRASE = "can be written as m over n where m and n are prime"
REST = "and here it is asked for on a day {0} in the year {0} by a friend of {0} from a town {0}"


def with_phrase(word: str) -> str:
    """Write a question of which a phrase is less than half."""
    return f"{PHRASE} {word} {REST.format(word)}" if word else ""


def test_what_many_texts_say_is_a_turn_of_phrase():
    benchmark = ["How far is it from the red mill to the old blue bridge?", with_phrase("one")]
    # Each of two may have it, and five others; a third, or a sixth, makes it a phrase.
    for third, others, telling in [("", 5, True), ("", 6, False), ("three", 1, False)]:
        references = References([*benchmark, with_phrase("two"), with_phrase(third)])
        found = references.overlaps([f"Number {number} {PHRASE}" for number in range(others)])
        assert {each.telling for each in found} == {telling}
        assert {each.runs for each in found} == {(6, 2) if telling else (0, 0)}
    copy = f"How far is it from the red mill to the sea, which {PHRASE}?"
    more = [with_phrase(str(number)) for number in range(9)]
    (found,) = References([*benchmark, *more]).overlaps([copy])
    assert (found.other, found.runs) == (0, (3, 0))
    assert found.example == "how far is it from the red mill"
    # The same question three times over is one question.
    thrice = [benchmark[1], f"{benchmark[1]}!", benchmark[1]]
    (found,) = References(thrice).overlaps([f"A {PHRASE}"])
    assert (found.other, found.runs) == (0, (6, 2))


def test_longer_runs_of_nothing_but_phrases_tell_of_nothing():
    more = f"{PHRASE} numbers find their sum"
    texts = [PHRASE, PHRASE + " x", "prime numbers find their sum and go home now", more]
    texts.append("n are prime numbers find their sum and go")
    longer = [f"{text} {REST.format(number)} {number}" for number, text in enumerate(texts)]
    (found,) = References(longer).overlaps([f"A {more}"])
    assert found.runs == (4, 4), "of six runs of 12 words two are of the phrase alone"


@pytest.mark.parametrize("copies", [1, 2, 5, 6, 7, 50])
@pytest.mark.parametrize("asked", [8, 9, 25, 60])
def test_a_question_is_found_however_often_it_is_copied(copies, asked):
    source = random.Random(f"{copies} {asked}")
    question = drawn(source, asked)
    benchmark = [*(" ".join(drawn(source, 30)) for _ in range(20)), " ".join(question)]
    copied = [
        disguised(source, [*drawn(source, 20), *question, *drawn(source, source.randint(0, 90))])
        for _ in range(copies)
    ]
    most = asked // 2 + 5  # words of it, which have more than half of its runs of 8
    parts = [" ".join([*drawn(source, 9), *question[-most:]]) for _ in range(7 * (asked > 9))]
    fresh = [" ".join(drawn(source, 40)) for _ in range(100)]
    # Copies of the whole make nobody's part a turn of phrase.
    lone = " ".join([*drawn(source, 9), *question[:9], *drawn(source, 9)])
    texts = [*copied, *parts, lone, *fresh]
    order = source.sample(range(len(texts)), len(texts))
    shuffled = References(benchmark).overlaps([texts[number] for number in order])
    found = dict(zip(order, shuffled, strict=True))
    for number in range(copies + len(parts) + 1):
        assert (found[number].telling, found[number].other) == (True, 20)
    for number in range(copies):
        assert found[number].runs == (asked - 7, max(0, asked - 11))
    assert not any(found[number] for number in range(len(texts) - 100, len(texts)))


def by_definition(texts: list[str], others: list[str]) -> list[dict[int, tuple[int, int, float]]]:
    """Compare every text with every other: how many telling runs of 8 and of 12, and likeness."""

    def runs(text: str, length: int) -> set[tuple[str, ...]]:
        words = words_of(text)
        return {tuple(words[at : at + length]) for at in range(len(words) - length + 1)}

    def copied(text: str, other: str) -> bool:
        return len(runs(text, 8) & runs(other, 8)) > len(runs(other, 8)) / 2

    def phrase(run: tuple[str, ...]) -> bool:
        saying = [
            text
            for text in texts
            if run in runs(text, 8)
            and not any(run in runs(other, 8) and copied(text, other) for other in others)
        ]
        return len(saying) > 5 or sum(run in runs(other, 8) for other in others) > 2

    phrases = {run for other in others for run in runs(other, 8) if phrase(run)}
    told = []
    for text in texts:
        told.append({})
        for number, other in enumerate(others):
            telling = runs(text, 8) & runs(other, 8)
            telling -= set() if copied(text, other) else phrases
            longer = [
                run
                for run in runs(text, 12) & runs(other, 12)
                if any(run[at : at + 8] in telling for at in range(5))
            ]
            mine, theirs = shingles_of(words_of(text)), shingles_of(words_of(other))
            told[-1][number] = (len(telling), len(longer), alike(mine, theirs))
    return told


def pasted(source: random.Random, benchmark: list[list[str]], most: int) -> str:
    """Write words of one's own with some of the benchmark's between them."""
    words = drawn(source, 3)
    for _ in range(source.randint(0, most)):
        owner = source.choice(benchmark)
        at, length = source.randrange(len(owner)), source.choice([8, 8, 9, 12, 14, 40])
        words += owner[at : at + length] + drawn(source, source.randint(0, 6))
    return " ".join(words)


@pytest.mark.parametrize("seed", range(30))
def test_what_is_found_is_what_comparing_every_pair_by_the_definition_finds(seed):
    source = random.Random(seed)
    phrase = drawn(source, 11)
    benchmark = [
        drawn(source, source.randint(1, 30)) + phrase[: source.choice([0, 0, 9, 11])] * (at % 2)
        for at in range(12)
    ]
    others = [" ".join(each) for each in benchmark]
    texts = [pasted(source, benchmark, 4) for _ in range(25)]
    texts += [pasted(source, benchmark[:1], 1) for _ in range(8)]
    texts += [" ".join([*drawn(source, 5), *benchmark[1]]) for _ in range(source.choice([0, 7]))]
    references = References(others)
    expected = by_definition(texts, others)
    for overlap, told in zip(references.overlaps(texts), expected, strict=True):
        some = {number: each for number, each in told.items() if each[0] or each[2] >= NEAR}
        if not some:
            assert overlap is None or not overlap.telling
            continue
        assert overlap.telling
        assert (*overlap.runs, overlap.likeness) == told[overlap.other]
        best = max((each[2] >= NEAR, each[1], each[0]) for each in some.values())
        assert (overlap.likeness >= NEAR, overlap.runs[1], overlap.runs[0]) == best


def dropped_for(overlap: Overlap | None) -> tuple[bool, ...]:
    """Say whether a problem is dropped by 8 words, and by 12."""
    if overlap is None:
        return False, False
    return tuple(count > 0 or overlap.likeness >= NEAR for count in overlap.runs)


def test_another_problem_of_the_benchmark_takes_no_finding_away():
    for seed in range(60):
        source = random.Random(seed)
        benchmark = [drawn(source, source.randint(8, 40)) for _ in range(6)]
        text = pasted(source, benchmark, 5)
        before: tuple[bool, ...] = (False, False)
        for number in range(1, len(benchmark) + 1):
            (found,) = References([" ".join(each) for each in benchmark[:number]]).overlaps([text])
            now = dropped_for(found)
            assert all(new or not old for new, old in zip(now, before, strict=True))
            before = now
    # Twelve words of one problem, beside three times eight of another.
    one, other = drawn(source, 12), drawn(source, 60)
    scattered = [word for at in (0, 20, 40) for word in ["so", *other[at : at + 8]]]
    text = " ".join([*one, *scattered])
    twelve = " ".join([*one, *drawn(source, 20)])
    (found,) = References([twelve]).overlaps([text])
    assert found.runs == (5, 1)
    (found,) = References([twelve, " ".join(other)]).overlaps([text])
    assert (found.other, found.runs) == (0, (5, 1))
