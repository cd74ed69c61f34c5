"""The arithmetic problems of the bundled data, in five tiers.

`make_arithmetic.py` writes some of them down, `arithmetic_answers.py` works them out.
Everything is drawn from the `random.Random` that the caller passes in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

INSTRUCTION = "\nPut your final answer within \\boxed{}."

# An expression is a number or an operation on two expressions.
Expression = int | tuple[str, "Expression", "Expression"]

NAMES = ("Tom", "Anna", "Sam", "Lily")
THINGS = ("apples", "books", "cards", "coins", "cups")


@dataclass(frozen=True)
class Problem:
    """A question with its gold answer, and the expression that it asks for."""

    question: str
    gold: int
    tier: int
    kind: str
    expression: Expression


def apply(op: str, left: int, right: int) -> int:
    """Compute one operation; divisions are exact by construction."""
    if op == "+":
        return left + right
    if op == "-":
        return left - right
    return left * right if op == "*" else left // right


def value(expression: Expression) -> int:
    """Evaluate an expression."""
    if isinstance(expression, int):
        return expression
    op, left, right = expression
    return apply(op, value(left), value(right))


def symbols(expression: Expression, nested: bool = False) -> str:
    """Write an expression with the fewest parentheses that keep its meaning."""
    if isinstance(expression, int):
        return str(expression)
    op, left, right = expression
    tight = op in "*/"
    first = symbols(left, nested=tight and not isinstance(left, int) and left[0] in "+-")
    # The right-hand side of - and / binds to that operator only.
    second = symbols(right, nested=not isinstance(right, int) and (tight or right[0] in "+-"))
    text = f"{first} {op} {second}"
    return f"({text})" if nested else text


# ---- problems -----------------------------------------------------------------------------------


def add_or_subtract(left: Expression, low: int, high: int, rng: Random) -> Expression:
    """Extend an expression by a sum or a difference that stays at zero or above."""
    number = rng.randint(low, high)
    if rng.random() < 0.5 and value(left) >= number:
        return ("-", left, number)
    return ("+", left, number)


def product(left_high: int, right_high: int, rng: Random, left_low: int = 2) -> Expression:
    """Draw a product of two numbers of at least 2."""
    return ("*", rng.randint(left_low, left_high), rng.randint(2, right_high))


def quotient(right_high: int, result_high: int, rng: Random) -> Expression:
    """Draw an exact quotient."""
    divisor = rng.randint(2, right_high)
    return ("/", divisor * rng.randint(2, result_high), divisor)


def easy(rng: Random) -> Expression:
    """Draw one small sum or difference."""
    return add_or_subtract(rng.randint(2, 19), 1, 9, rng)


def simple(rng: Random) -> Expression:
    """Draw one step on two-digit numbers, one small product, or two small steps."""
    shape = rng.randrange(4)
    if shape == 0:
        return product(9, 9, rng)
    if shape == 1:
        return add_or_subtract(easy(rng), 1, 9, rng)
    return add_or_subtract(rng.randint(10, 99), 2, 60, rng)


def middling(rng: Random) -> Expression:
    """Draw two steps on numbers of up to two digits."""
    shape = rng.randrange(4)
    if shape == 0:
        return add_or_subtract(product(9, 9, rng), 2, 60, rng)
    if shape == 1:
        return ("*", add_or_subtract(rng.randint(2, 9), 1, 9, rng), rng.randint(2, 5))
    if shape == 2:
        return add_or_subtract(quotient(9, 9, rng), 2, 60, rng)
    return add_or_subtract(add_or_subtract(rng.randint(10, 99), 5, 60, rng), 5, 60, rng)


def hard(rng: Random) -> Expression:
    """Draw three or four steps, with numbers of up to three digits on the way."""
    first: Expression
    shape = rng.randrange(4)
    if shape == 0:
        return ("+", product(19, 9, rng, left_low=11), product(9, 9, rng))
    if shape == 1:
        first = ("*", add_or_subtract(rng.randint(5, 30), 2, 20, rng), rng.randint(3, 9))
        return add_or_subtract(first, 10, 99, rng)
    if shape == 2:
        first = add_or_subtract(product(40, 9, rng, left_low=11), 10, 99, rng)
        return add_or_subtract(first, 10, 200, rng)
    first = add_or_subtract(quotient(9, 12, rng), 5, 50, rng)
    return add_or_subtract(("*", first, rng.randint(3, 9)), 5, 90, rng)


def brutal(rng: Random) -> Expression:
    """Draw several steps with products of two-digit numbers and results in the thousands."""
    first: Expression
    shape = rng.randrange(3)
    if shape == 0:
        first = ("+", product(99, 99, rng, left_low=12), product(99, 99, rng, left_low=12))
        return add_or_subtract(first, 100, 999, rng)
    if shape == 1:
        first = add_or_subtract(rng.randint(20, 99), 10, 99, rng)
        return add_or_subtract(("*", first, rng.randint(12, 49)), 100, 999, rng)
    first = add_or_subtract(product(99, 49, rng, left_low=12), 100, 999, rng)
    return add_or_subtract(("*", first, rng.randint(3, 9)), 100, 999, rng)


TIERS: dict[int, Callable[[Random], Expression]] = {
    1: easy,
    2: simple,
    3: middling,
    4: hard,
    5: brutal,
}


def spine(expression: Expression) -> tuple[Expression, list[tuple[str, Expression]]]:
    """Unroll an expression into a start and the operations done to it one after the other."""
    if isinstance(expression, int) or (expression[0] == "*" and isinstance(expression[1], int)):
        return expression, []
    op, left, right = expression
    start, operations = spine(left)
    return start, [*operations, (op, right)]


def story(expression: Expression, rng: Random) -> str:
    """Tell an expression as a story about somebody's things."""
    name, things = rng.choice(NAMES), rng.choice(THINGS)
    start, operations = spine(expression)
    if isinstance(start, int):
        told = [f"{name} has {start} {things}."]
    else:
        told = [f"{name} has {start[1]} boxes with {start[2]} {things} each."]
    for op, operand in operations:
        if not isinstance(operand, int):
            told.append(f"{name} gets {operand[1]} boxes with {operand[2]} {things} each.")
        elif op == "+":
            gets = rng.choice(("gets", "finds", "buys"))
            told.append(f"{name} {gets} {operand} more {things}.")
        elif op == "-":
            loses = rng.choice(("gives away", "loses", "sells"))
            told.append(f"{name} {loses} {operand} {things}.")
        elif op == "*":
            told.append(f"Then {name} has {operand} times as many.")
        else:
            told.append(f"{name} keeps one of {operand} equal parts.")
    return " ".join([*told, f"How many {things} does {name} have now?"])


def instructions(expression: Expression, rng: Random) -> str:
    """Tell an expression as operations to carry out in order."""
    start, operations = spine(expression)
    told = [rng.choice(("Start with", "Take")) + f" {symbols(start)}."]
    for op, operand in operations:
        number = symbols(operand)
        if op == "+":
            told.append(f"Add {number}.")
        elif op == "-":
            told.append(f"Subtract {number}.")
        else:
            told.append(f"{'Multiply' if op == '*' else 'Divide'} by {number}.")
    return " ".join([*told, rng.choice(("What is the result?", "What do you get?"))])


def draw_problem(tier: int, rng: Random) -> Problem:
    """Draw a problem of one tier, half in symbols and half in words."""
    expression = TIERS[tier](rng)
    kind = rng.choice(("symbols", "symbols", "story", "instructions"))
    if kind == "story":
        question = story(expression, rng)
    elif kind == "instructions":
        question = instructions(expression, rng)
    else:
        asks = ("What is {}?", "Compute {}.", "Calculate {}.", "Find the value of {}.", "{} = ?")
        question = rng.choice(asks).format(symbols(expression))
    return Problem(question, value(expression), tier, kind, expression)
