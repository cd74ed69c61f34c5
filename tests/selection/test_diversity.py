"""Pins diversity within a problem: greedy max-min over runs of words, whatever the texts are.

The oracle splits texts by hand, keeps sets of words, and compares every pair.
"""

import random
from fractions import Fraction
from itertools import combinations

import polars as pl
import pytest

from rft.errors import RFTError
from rft.recipe.loading import load_recipe
from rft.selection import diversity
from rft.selection.choice import select
from rft.selection.diversity import Sketches, farthest_first
from tests.kept_rows import choice, chosen, ids, kept

WORDS = ["so", "then", "2", "3", "=", "+", "x", "\\frac", "7"]


def pieces(step: str) -> list[str]:
    """Split a step into words and marks."""
    spaced = "".join(c if c.isalnum() or c == "_" else f" {c} " for c in step)
    return [part for part in spaced.split() if part]


def steps(text: str) -> list[str]:
    """Split a text at the ends of lines and of sentences."""
    made, start = [], 0
    for place, character in enumerate(text):
        following = text[place + 1 : place + 2]
        if character == "\n" or (character in ".!?" and (not following or following.isspace())):
            made.append(text[start:place])
            start = place + 1
    return [*made, text[start:]]


def runs(text: str) -> set[tuple[str, ...]]:
    made = set()
    for step in steps(text.lower()):
        words = pieces(step)
        made |= {tuple(words[place : place + 3]) for place in range(len(words))}
    return made


def distance(one: str, other: str) -> Fraction:
    mine, theirs = runs(one), runs(other)
    if not mine | theirs:
        return Fraction(0)
    return 1 - Fraction(len(mine & theirs), len(mine | theirs))


def greedy(texts: list[str], known: int) -> tuple[list[int], list[Fraction | None]]:
    """Pick one after the other, looking at every pair again each time."""
    order: list[int] = []
    apart: list[Fraction | None] = []
    for _ in texts:
        left = [place for place in range(known) if place not in order]
        left = left or [place for place in range(known, len(texts)) if place not in order]
        near = {p: min((distance(texts[p], texts[q]) for q in order), default=None) for p in left}
        pick = left[0] if not order else max(left, key=lambda place: (near[place], -place))
        order.append(pick)
        apart.append(near[pick])
    return order, apart


def some_text(source: random.Random) -> str:
    ends = [" ", " ", " ", ". ", "\n", "! ", ".", "?"]
    size = source.choice([0, 1, 2, 5, 12])
    return "".join(source.choice(WORDS) + source.choice(ends) for _ in range(size))


def smallest(texts: list[str], chosen: list[int]) -> Fraction:
    return min(distance(texts[p], texts[q]) for p, q in combinations(chosen, 2))


@pytest.mark.parametrize("seed", range(40))
def test_the_order_is_that_of_greedy_picks_over_every_pair(seed):
    source = random.Random(seed)
    texts = [some_text(source) for _ in range(source.choice([1, 2, 9]))]
    known = source.randrange(len(texts) + 1)
    order, apart = farthest_first(texts, known)
    wanted, far = greedy(texts, known)
    assert order == wanted
    assert apart == [None if each is None else pytest.approx(float(each)) for each in far]


@pytest.mark.parametrize("seed", range(20))
def test_what_is_picked_is_never_closer_together_than_half_of_the_best_and_seldom_than_the_best(
    seed,
):
    source = random.Random(f"apart {seed}")
    texts = [some_text(source) for _ in range(9)]
    order, apart = farthest_first(texts, len(texts))
    for size in (2, 3, 4):
        picked = smallest(texts, order[:size])
        assert picked == pytest.approx(min(apart[1:size]))
        # Greedy max-min is a 2-approximation, and Jaccard distance a metric.
        best = max(smallest(texts, [0, *rest]) for rest in combinations(range(1, 9), size - 1))
        assert best / 2 <= picked <= best
        # A greedy pick of two is the farthest there is, and so no worse than the first two by rank.
        assert size > 2 or picked == best >= smallest(texts, [0, 1])


def test_picks_are_further_apart_than_the_first_by_rank_on_the_whole():
    source = random.Random(5)
    better = worse = 0
    for _ in range(60):
        texts = [some_text(source) for _ in range(12)]
        order, _ = farthest_first(texts, len(texts))
        gain = smallest(texts, order[:4]) - smallest(texts, [0, 1, 2, 3])
        better, worse = better + (gain > 0), worse + (gain < 0)
    assert worse == 0
    assert better > 30


def test_long_texts_are_held_against_each_other_nearly_as_if_all_of_them_were_kept(monkeypatch):
    source = random.Random(1)
    vocabulary = [f"w{number}" for number in range(3000)]
    common = [source.choice(vocabulary) for _ in range(12_000)]
    texts = [
        " ".join(common[:share] + [source.choice(vocabulary) for _ in range(size - share)])
        for share, size in ((12_000, 12_000), (9_000, 12_000), (3_000, 4_000), (100, 300), (0, 9))
    ]
    sketches = Sketches(texts)
    for one, other in combinations(range(len(texts)), 2):
        exact = float(distance(texts[one], texts[other]))
        assert sketches.distances(one)[other] == pytest.approx(exact, abs=0.04)
        assert sketches.distances(other)[one] == sketches.distances(one)[other]
    assert [sketches.distances(place)[place] for place in range(len(texts))] == [0.0] * len(texts)
    # With room for all of them the distances are exact.
    monkeypatch.setattr(diversity, "RUNS", 20_000)
    whole = Sketches(texts)
    assert whole.distances(0)[1] == pytest.approx(float(distance(texts[0], texts[1])))


def test_hostile_texts_cost_no_more_than_their_length():
    texts = ["", "   \n\n", "x" * 200_000, "x " * 100_000, "." * 200_000, "\ud7ff\u0000\u202e" * 9]
    texts += ["".join(chr(0x4E00 + number % 20_000) + " " for number in range(100_000)), ""]
    order, apart = farthest_first(texts, len(texts))
    assert sorted(order) == list(range(len(texts)))
    assert order[0] == 0
    # The empty ones have nothing that sets them apart from the first one.
    assert apart[-2:] == [0.0, 0.0]


def test_after_the_first_places_of_a_large_problem_the_order_by_rank_goes_on(monkeypatch):
    monkeypatch.setattr(diversity, "PLACES", 3)
    texts = [f"a b {number}" for number in range(8)]
    order, apart = farthest_first(texts, 8)
    assert order[3:] == sorted(order[3:])
    assert [each is None for each in apart] == [True, False, False] + [True] * 5
    monkeypatch.setattr(diversity, "RUNS_OF_PROBLEM", 16)
    assert sorted(farthest_first(texts, 8)[0]) == list(range(8))


# In a selection -----------------------------------------------------------------------------------


def pool(seed: int, rows: int = 60) -> pl.DataFrame:
    source = random.Random(seed)
    return kept(
        *(
            {
                "problem_id": f"p{source.randrange(6)}",
                "response": some_text(source),
                "verdict": source.choice(["correct", "correct", "wrong"]),
                "mean_entropy": source.choice([None, 0.0, 0.5, source.random()]),
            }
            for _ in range(rows)
        )
    )


def by_hand(frame: pl.DataFrame, verdict: str) -> list[str]:
    """Order each problem's rows greedily, and deal them out; those without a value are last."""

    def rank(row):
        value = row["mean_entropy"]
        return (value is None, -(value or 0.0), row["rollout_id"])

    rows = sorted(frame.filter(verdict=verdict).to_dicts(), key=rank)
    numbers = {row["rollout_id"]: number for number, row in enumerate(rows)}
    turns = []
    for name in sorted({row["problem_id"] for row in rows}):
        mine = [row for row in rows if row["problem_id"] == name]
        known = sum(row["mean_entropy"] is not None for row in mine)
        order, _ = greedy([row["response"] for row in mine], known)
        turns += [(place >= known, place, numbers[mine[at]["rollout_id"]])
                  for place, at in enumerate(order)]  # fmt: skip
    return [rows[number]["rollout_id"] for _, _, number in sorted(turns)]


DIVERSE = {"within": "problem", "diverse": True}


@pytest.mark.parametrize("seed", range(4))
def test_problems_take_turns_and_each_gives_what_is_least_like_what_it_gave(seed):
    frame = pool(seed)
    given = {"noise": 0.25, "noise_by": "entropy", **DIVERSE}
    right, wrong = by_hand(frame, "correct"), by_hand(frame, "wrong")
    for budget in (1, 8, 30, 100):
        made = chosen(frame, budget=budget, **given)
        assert ids(made) == right[: len(ids(made))]
        assert ids(made, "noise") == wrong[: len(ids(made, "noise"))]
    shuffled = frame.sample(fraction=1, shuffle=True, seed=seed)
    assert chosen(shuffled, budget=30, **given).rows.equals(chosen(frame, budget=30, **given).rows)


def test_a_cap_takes_the_most_diverse_of_a_problem():
    rows = ["a b c d", "a b c d", "a b c e", "x y z"]
    frame = kept(*({"response": text, "mean_entropy": -number / 9} for number, text in
                   enumerate(rows)))  # fmt: skip
    made = chosen(frame, per_problem=2, **DIVERSE)
    assert ids(made) == ["r0000", "r0003"]
    assert made.rows["distance"].to_list() == [None, 1.0]
    others = made.passed_over.sort("place")
    assert others["rollout_id"].to_list() == ["r0002", "r0001"]
    assert others["distance"].to_list() == [pytest.approx(6 / 7), 0.0]
    assert others["reason"].to_list() == ["per_problem"] * 2


def test_shares_are_filled_by_the_most_diverse():
    frame = pool(9)
    rates = {name: 0.5 for name in frame["problem_id"]}
    made = chosen(frame, pass_rates=rates, difficulty="proportional", budget=12, **DIVERSE)
    shares = dict(made.rows["problem_id"].value_counts().iter_rows())
    for name, share in shares.items():
        own = [row for row in by_hand(frame.filter(problem_id=name), "correct")]
        assert set(made.rows.filter(problem_id=name)["rollout_id"]) == set(own[:share])


def test_random_order_is_diverse_after_a_random_first():
    frame = pool(3)
    made = chosen(frame, by="random", budget=100, **DIVERSE)
    again = chosen(frame.reverse(), by="random", budget=100, **DIVERSE)
    assert made.rows.equals(again.rows)
    firsts = made.rows.filter(turn=0)
    assert firsts["distance"].null_count() == len(firsts)


def test_rows_without_a_text_are_refused():
    frame = kept({"mean_entropy": 1.0}, {"mean_entropy": 0.5})
    refused = r"select\.diverse: true, but 2 of 2 rows to rank have no text"
    with pytest.raises(RFTError, match=refused):
        select(frame.drop("response"), settings=choice(**DIVERSE), seed=0)
    lacking = frame.with_columns(response=pl.Series(["a", None]))
    with pytest.raises(RFTError, match="but 1 of 2 rows"):
        select(lacking, settings=choice(**DIVERSE), seed=0)


@pytest.mark.parametrize("settings", [[], ["select.strata=length"]])
def test_diversity_needs_problems_to_be_within(settings):
    with pytest.raises(RFTError, match=r"diverse is true.*set within: problem") as refused:
        load_recipe("smoke", ["select.diverse=true", *settings])
    assert "\n" not in str(refused.value)
    assert ("strata: null" in str(refused.value)) == bool(settings)


def test_a_run_without_it_has_the_key_of_before(tmp_path):
    from pipelines import selection
    from tests.small_run import new_run

    plain = new_run(tmp_path / "plain")
    diverse = new_run(tmp_path / "diverse", "select.within=problem", "select.diverse=true")
    assert "diverse" not in selection.settings(plain, 1)["select"]
    assert selection.settings(diverse, 1)["select"]["diverse"] is True
