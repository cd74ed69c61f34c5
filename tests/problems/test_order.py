"""Pins which problems a round samples: none comes again until all have been used, if shuffled.

If adaptive, the oracle keeps a heap through the rounds, as AdaSTaR's authors do.
"""

import heapq
import math
import random
from fractions import Fraction
from itertools import chain

import pytest

from rft.problems.order import adaptive_problems, problems_of_round
from rft.seeds import derive


def names(count: int) -> list[str]:
    return [f"problem-{index:05d}" for index in range(count)]


def rounds(ids: list[str], per_round: int, upto: int, seed: int = 0) -> list[list[str]]:
    return [problems_of_round(ids, per_round, round, seed) for round in range(1, upto + 1)]


@pytest.mark.parametrize("count", range(1, 13))
def test_every_cycle_uses_each_problem_once_and_no_round_has_one_twice(count):
    ids = names(count)
    for per_round in range(1, count + 1):
        for seed in range(3):
            made = rounds(ids, per_round, 3 * count, seed)
            assert all(len(chosen) == per_round for chosen in made)
            assert all(len(set(chosen)) == per_round for chosen in made), "twice in one round"
            line = list(chain.from_iterable(made))
            for start in range(0, len(line) - count + 1, count):
                assert sorted(line[start : start + count]) == ids, (per_round, seed, start)


def test_the_round_after_a_border_takes_others_first():
    for seed in range(20):
        made = rounds(names(10), 4, 4, seed)
        # Round 3 has the last two of the first cycle and two of the second, which come last in it.
        assert not set(made[2]) & set(made[3])


def test_more_problems_a_round_than_there_are_means_all_of_them():
    for chosen in rounds(names(5), 99, 4):
        assert sorted(chosen) == names(5)


def test_the_order_of_the_input_does_not_matter():
    ids = names(23)
    wanted = rounds(ids, 7, 9)
    for seed in range(5):
        shuffled = ids.copy()
        random.Random(seed).shuffle(shuffled)
        assert rounds(shuffled, 7, 9) == wanted


def test_a_round_does_not_depend_on_the_rounds_after_it():
    ids = names(10)
    assert rounds(ids, 4, 2) == rounds(ids, 4, 9)[:2]


def test_seeds_and_cycles_differ_in_their_order():
    ids = names(30)
    assert problems_of_round(ids, 30, 1, 0) != problems_of_round(ids, 30, 1, 1)
    assert problems_of_round(ids, 30, 1, 0) != problems_of_round(ids, 30, 2, 0)


def test_a_larger_round_begins_with_the_smaller_one():
    ids = names(40)
    assert problems_of_round(ids, 25, 1, 0)[:10] == problems_of_round(ids, 10, 1, 0)


def test_each_problem_is_as_likely_to_come_first():
    ids = names(4)
    first = [problems_of_round(ids, 1, 1, seed)[0] for seed in range(800)]
    assert all(140 < first.count(name) < 260 for name in ids)


def test_no_problems_give_empty_rounds():
    assert rounds([], 4, 3) == [[], [], []]


def test_the_border_of_a_cycle_is_quick_with_many_problems():
    # The round of the border knows the problems it has; looking them up must not take a scan each.
    ids = names(20_000)
    (first, second) = rounds(ids, 15_000, 2)
    assert len(set(second)) == 15_000
    assert set(ids) - set(first) <= set(second)


def test_problems_that_join_later_come_before_any_comes_again():
    ids, new = names(12), ["x1", "x2", "x3"]
    for per_round in range(1, 8):
        for seed in range(5):
            arrivals = {3: new}
            made = [
                problems_of_round(ids, per_round, round, seed, arrivals) for round in range(1, 16)
            ]
            plain = [problems_of_round(ids, per_round, round, seed) for round in (1, 2)]
            assert made[:2] == plain, "rounds before the arrival are as they were"
            line = list(chain.from_iterable(made))
            assert not set(line[: 2 * per_round]) & set(new)
            # The first cycle is those of both: each of them once.
            if 2 * per_round <= 12:
                assert sorted(line[:15]) == sorted([*ids, *new]), (per_round, seed)
            assert all(len(set(chosen)) == per_round for chosen in made), "twice in one round"


def test_arrivals_are_taken_where_a_round_wants_all_there_is():
    made = [problems_of_round(names(3), 99, round, 0, {2: ["x"]}) for round in (1, 2, 3)]
    assert [len(chosen) for chosen in made] == [3, 4, 4]


# Adaptive -----------------------------------------------------------------------------------------


def from_a_heap(
    ids: list[str], per_round: int, seed: int, given: list[dict[str, tuple[int, int]]]
) -> list[str]:
    """Keep a heap through the rounds as the paper does: pop what moves on, push it back."""
    chance = {name: derive(seed, "problems", 1, name) for name in ids}
    heap = [(0, 0.0, chance[name], name) for name in ids]
    heapq.heapify(heap)
    for number, solved in enumerate(given, 1):
        top = [heapq.heappop(heap) for _ in solved]
        assert {entry[-1] for entry in top} == set(solved), "asked what was not on top"
        right, answers = (sum(column) for column in zip(*solved.values(), strict=True))
        moving = math.floor(Fraction(right, answers) ** 2 * len(solved))
        for place, entry in enumerate(top):
            name = entry[-1]
            fresh = (number, solved[name][0] / solved[name][1], chance[name], name)
            heapq.heappush(heap, fresh if place < moving else entry)
    return [heapq.heappop(heap)[-1] for _ in range(min(per_round, len(ids)))]


@pytest.mark.parametrize("seed", range(30))
def test_adaptive_rounds_are_those_of_a_heap_kept_through_all_of_them(seed):
    source = random.Random(seed)
    ids = names(source.choice([1, 5, 20]))
    per_round, n = source.choice([1, 3, 8, 99]), source.choice([1, 4])
    given: list[dict[str, tuple[int, int]]] = []
    for _ in range(7):
        chosen = adaptive_problems(ids, per_round, seed, given)
        assert chosen == from_a_heap(ids, per_round, seed, given)
        likely = source.random()
        right = {name: sum(source.random() < likely for _ in range(n)) for name in chosen}
        given.append({name: (count, n) for name, count in right.items()})
        source.shuffle(ids)


def test_the_first_adaptive_round_is_that_of_the_shuffled_order():
    for seed in range(5):
        assert adaptive_problems(names(30), 7, seed, []) == problems_of_round(names(30), 7, 1, seed)


def test_where_all_is_solved_all_move_on_and_where_nothing_is_the_same_problems_come_again():
    ids = names(9)
    first = adaptive_problems(ids, 3, 0, [])
    solved = dict.fromkeys(first, (4, 4))
    assert not set(adaptive_problems(ids, 3, 0, [solved])) & set(first)
    unsolved = dict.fromkeys(first, (0, 4))
    assert adaptive_problems(ids, 3, 0, [unsolved]) == first
    # Half of 4 * 3 answers: none of 3 problems moves on (3 / 4), of twelve three do.
    assert adaptive_problems(ids, 3, 0, [dict.fromkeys(first, (2, 4))]) == first
    twelve = names(12)
    again = adaptive_problems(twelve, 12, 0, [dict.fromkeys(twelve, (2, 4))])
    assert again == [*adaptive_problems(twelve, 12, 0, [])[3:], *again[-3:]]


def test_among_those_that_moved_on_together_the_least_solved_come_first():
    ids = names(4)
    solved = {name: (4 - place, 4) for place, name in enumerate(ids)}
    everything = dict.fromkeys(ids, (4, 4))
    order = adaptive_problems(ids, 4, 0, [everything, solved])
    moving = 4 * 10**2 // 16**2
    assert moving == 1
    assert order[-1] == adaptive_problems(ids, 4, 0, [everything])[0]
    # All of them, in a round that solves all but one answer of very many.
    most = {name: (10**6 - place, 10**6) for place, name in enumerate(ids)}
    assert adaptive_problems(ids, 4, 0, [most])[1:] != ids
    moved = 4 * sum(right for right, _ in most.values()) ** 2 // (4 * 10**6) ** 2
    first = adaptive_problems(ids, 4, 0, [])
    asked = sorted(first[:moved], key=lambda name: most[name][0])
    assert adaptive_problems(ids, 4, 0, [most]) == [*first[moved:], *asked]


def test_problems_that_join_later_come_before_those_that_moved_on():
    solved = dict.fromkeys(names(3), (1, 1))
    assert adaptive_problems([*names(3), "x"], 1, 0, [solved]) == ["x"]


def test_a_round_without_answers_moves_nothing():
    assert adaptive_problems(names(3), 3, 0, [{}]) == adaptive_problems(names(3), 3, 0, [])
