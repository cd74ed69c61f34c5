"""Worked answers to arithmetic problems, imperfect on purpose.

A pipeline that drops bad answers needs a model that gives them: slips, misread problems, guesses,
missing boxes, loops, chatter after the box, answers that never stop. `SHARES` says how often.
"""

from __future__ import annotations

from random import Random

from arithmetic_language import Expression, Problem, apply, value

# How an answer goes about it. What is solved may still hold slips, by tier.
SHARES = {
    "solved": 0.58,
    "guessed": 0.20,
    "unboxed": 0.12,
    "looping": 0.055,
    "endless": 0.025,
    "wordless": 0.02,
}
SLIP_PER_STEP = {1: 0.02, 2: 0.03, 3: 0.04, 4: 0.04, 5: 0.08}
MISREAD = {1: 0.03, 2: 0.05, 3: 0.06, 4: 0.07, 5: 0.12}
GUESSED_RIGHT = {1: 0.70, 2: 0.30, 3: 0.08, 4: 0.02, 5: 0.01}
CHATTER = 0.30
ENDLESS_WORDS = 160

OPENERS = ("", "", "Let's go step by step. ", "We work it out. ", "Let me think. ")
BOXED = (
    "So the answer is $\\boxed{{{}}}$.",
    "The answer is \\boxed{{{}}}.",
    "So the result is $\\boxed{{{}}}$.",
    "Answer: \\boxed{{{}}}",
    "That gives \\boxed{{{}}}.",
)
UNBOXED = ("So the answer is {}.", "The result is {}.", "That gives {}.")
GUESSES = (
    "I guess it is \\boxed{{{}}}.",
    "Maybe $\\boxed{{{}}}$.",
    "I think the answer is \\boxed{{{}}}.",
    "It looks like $\\boxed{{{}}}$.",
)
WORDLESS = (
    "I do not know the answer.",
    "Let me think. I am not sure.",
    "The answer is \\boxed{{\\text{{not sure}}}}.",
)
CHATTERS = (
    " I hope this helps.",
    " Let me know if you have more questions.",
    " Let me check it again. {step}. Yes, it is right.",
    " Now we are done. The result is {answer}.",
    " Wait, maybe it is \\boxed{{{near}}}.",
    " Or in short: \\boxed{{{answer}}}.",
)


def near(number: int, rng: Random) -> int:
    """Draw a wrong number that looks like the right one."""
    candidates = (number + 1, number - 1, number + 2, number + 10, number - 10, number + 9)
    return rng.choice([c for c in candidates if c >= min(number, 0)])


def misread(expression: Expression, rng: Random) -> Expression:
    """Change one number or one sign of an expression."""
    if isinstance(expression, int):
        return near(expression, rng) or 1
    op, left, right = expression
    if op in "+-" and rng.random() < 0.4:
        flipped = ("-" if op == "+" else "+", left, right)
        return flipped if value(flipped) >= 0 else expression
    if rng.random() < 0.5:
        return (op, misread(left, rng), right)
    return (op, left, misread(right, rng))


def ready(expression: Expression) -> list[Expression]:
    """List the operations whose two sides are numbers already."""
    if isinstance(expression, int):
        return []
    _, left, right = expression
    return ready(left) + ready(right) or [expression]


def replace(expression: Expression, step: Expression, number: int) -> Expression:
    """Put a number in the place of one operation."""
    if expression is step:
        return number
    if isinstance(expression, int):
        return expression
    op, left, right = expression
    return (op, replace(left, step, number), replace(right, step, number))


def work_out(op: str, left: int, right: int, result: int, rng: Random) -> str:
    """Write one step: at once, turned round, or split into tens and ones."""
    if op in "+*" and rng.random() < 0.15:
        left, right = right, left
    tens, ones = left // 10 * 10, left % 10
    if op == "*" and left > 9 and ones and rng.random() < 0.7:
        parts = f"{tens} * {right} + {ones} * {right} = {tens * right} + {ones * right}"
        return f"{left} * {right} = {parts} = {result}"
    tens, ones = right // 10 * 10, right % 10
    if op in "+-" and left > 9 and tens and ones and rng.random() < 0.3:
        middle = apply(op, left, tens)
        if middle >= ones:
            parts = f"{left} {op} {tens} {op} {ones} = {middle} {op} {ones}"
            return f"{left} {op} {right} = {parts} = {result}"
    return f"{left} {op} {right} = {result}"


def solve(problem: Problem, rng: Random) -> tuple[list[str], int]:
    """Work a problem out step by step, in one of its orders, with the slips of its tier."""
    expression = problem.expression
    if rng.random() < MISREAD[problem.tier]:
        expression = misread(expression, rng)
    steps = []
    while not isinstance(expression, int):
        step = rng.choice(ready(expression))
        assert not isinstance(step, int)
        op, left, right = step
        assert isinstance(left, int)
        assert isinstance(right, int)
        result = apply(op, left, right)
        if rng.random() < SLIP_PER_STEP[problem.tier]:
            result = near(result, rng)
        steps.append(work_out(op, left, right, result, rng))
        expression = replace(expression, step, result)
    return steps, expression


def tell(steps: list[str], rng: Random) -> str:
    """Join steps in one of several manners."""
    manner = rng.randrange(4)
    if manner == 0:
        return " ".join(f"{step}." for step in steps)
    if manner == 1:
        return "".join(f"Step {i}: {step}\n" for i, step in enumerate(steps, 1)).rstrip("\n") + "."
    if manner == 2:
        return " ".join(f"{'Then' if i else 'First'} {step}." for i, step in enumerate(steps))
    return " ".join(f"{rng.choice(('Now', 'Next', 'We get'))} {step}." for step in steps)


def chatter(answer: int, steps: list[str], rng: Random) -> str:
    """Draw what a chatty answer says after its box."""
    said = rng.choice(CHATTERS) + (rng.choice(CHATTERS) if rng.random() < 0.3 else "")
    return said.format(answer=answer, near=near(answer, rng), step=steps[-1])


def loop(sentence: str, rng: Random) -> str:
    """Say one sentence over and over."""
    return " ".join([sentence] * rng.randint(3, 8))


def demonstrate(problem: Problem, rng: Random) -> tuple[str, bool]:
    """Draw one answer to a problem, and whether it comes to an end."""
    manner = rng.choices(list(SHARES), list(SHARES.values()))[0]
    if manner == "wordless":
        return rng.choice(WORDLESS).format(), True
    steps, answer = solve(problem, rng)
    if manner == "guessed":
        right = rng.random() < GUESSED_RIGHT[problem.tier]
        answer = problem.gold if right else near(problem.gold, rng)
        text = rng.choice(GUESSES).format(answer)
        return text + (chatter(answer, steps, rng) if rng.random() < CHATTER else ""), True
    text = rng.choice(OPENERS) + tell(steps, rng)
    if manner == "unboxed":
        return f"{text} {rng.choice(UNBOXED).format(answer)}", True
    again = rng.choice((f"{steps[-1]}.", f"Let me check it again. {steps[-1]}."))
    if manner == "endless":
        return " ".join([text, *[again] * (ENDLESS_WORDS // len(again.split()))]), False
    if manner == "looping":
        text = f"{text} {loop(again, rng)}"
    elif rng.random() < 0.1:
        text = f"{text} Check: {steps[-1]}."
    text = f"{text} {rng.choice(BOXED).format(answer)}"
    return text + (chatter(answer, steps, rng) if rng.random() < CHATTER else ""), True
