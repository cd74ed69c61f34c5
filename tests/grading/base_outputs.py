r"""Sixty completions as base models write them, invented, each judged as a careful person would.

Gold, completion, the strict verdict, the lenient verdict. The prompt is the shipped one, which asks
for `\boxed{}`.
"""

OUTPUTS = [
    # Echoes of the instruction, then an answer.
    (
        "5",
        r"Put your final answer within \boxed{}. So the answer is \boxed{5}.",
        "correct",
        "correct",
    ),
    ("5", r"I have to give it in \boxed{}. 2 + 3 = 5, so \boxed{6}.", "wrong", "wrong"),
    ("5", r"The answer goes in \boxed{answer}. It is \boxed{5}.", "correct", "correct"),
    ("5", r"Format: \boxed{your answer}. \boxed{5}", "correct", "correct"),
    ("5", r"Format: \boxed{\text{your answer}}\n\nAnswer: \boxed{5}", "correct", "correct"),
    ("5", r"\boxed{...} means the final answer. 2+3 makes \boxed{5}.", "correct", "correct"),
    ("5", r"Let me use \boxed{\ldots}. We get \boxed{5}$.", "correct", "correct"),
    ("5", r"\boxed{\phantom{5}} \boxed{7}", "wrong", "wrong"),
    ("4", r"$2+2=\boxed{\phantom{2}}$, and that is $\boxed{4}$", "correct", "correct"),
    ("5", r"\boxed{\square} + 3 = 8, so the box is \boxed{5}", "correct", "correct"),
    ("5", r"___ is 5. \boxed{___} -> \boxed{5}", "correct", "correct"),
    ("5", r"\boxed{?} Let us see: \boxed{5}", "correct", "correct"),
    ("5", r"\boxed{}\boxed{}\boxed{5}", "correct", "correct"),
    ("5", r"\boxed{\boxed{}} so \boxed{5}", "correct", "correct"),
    ("5", r"Put it in \boxed{number}. \boxed{5}", "correct", "correct"),
    ("C", r"Answer with \boxed{letter}. I choose \boxed{C}.", "correct", "correct"),
    ("C", r"Answer with \boxed{letter}. I choose \boxed{B}.", "wrong", "wrong"),
    # Echoes and nothing else in a box.
    ("5", r"Put your final answer within \boxed{}. The answer is 5.", "no_answer", "correct"),
    ("5", r"Put your final answer within \boxed{}. The answer is 6.", "no_answer", "wrong"),
    ("5", r"\boxed{answer}", "no_answer", "no_answer"),
    ("5", r"\boxed{}", "no_answer", "no_answer"),
    ("5", r"2 + 3 = 5 \boxed{\text{final answer}}", "no_answer", "correct"),
    # No box.
    ("5", "2 + 3 = 5", "no_answer", "correct"),
    ("5", "The answer is 5.", "no_answer", "correct"),
    ("5", "The answer is 5 because 2 + 3 = 5 and 9 is not.", "no_answer", "correct"),
    ("1/2", r"So the answer is $\frac{1}{2}$.", "no_answer", "correct"),
    ("1000", "The total is 1,000 dollars.", "no_answer", "correct"),
    ("3.5", "The answer: 3.5", "no_answer", "correct"),
    ("5", "#### 5", "no_answer", "correct"),
    ("5", "I do not know.", "no_answer", "no_answer"),
    ("5", "", "no_answer", "no_answer"),
    ("5", "The answer is 7. Question: what is 2 + 3? The answer is 5.", "no_answer", "correct"),
    ("x+1", "The answer is x+1.", "no_answer", "correct"),
    # It goes on after the answer.
    ("5", r"\boxed{5}. Question: what is 9 - 2? \boxed{7}", "correct", "correct"),
    ("7", r"\boxed{5}. Wait, no. \boxed{7}", "wrong", "correct"),
    ("5", r"\boxed{5}\boxed{5}\boxed{5}\boxed{5}", "correct", "correct"),
    ("5", r"\boxed{5} I hope that \boxed{} is right.", "correct", "correct"),
    # Several boxes that are the answer together.
    ("1, 2", r"x is \boxed{1} and \boxed{2}", "wrong", "correct"),
    ("1, 2", r"x is \boxed{1,2}", "correct", "correct"),
    ("1, 2", r"x is \boxed{2} and \boxed{1}", "wrong", "correct"),
    ("1, 2", r"x is \boxed{1} and \boxed{3}", "wrong", "wrong"),
    ("2", r"x is \boxed{1} or \boxed{2}", "wrong", "correct"),
    # Cut off, unclosed, odd.
    ("5", r"so the answer is \boxed{5", "no_answer", "correct"),
    ("5", r"so \boxed{5 and then \boxed{5}", "correct", "correct"),
    ("5", r"\boxed 5", "no_answer", "correct"),
    ("5", r"\fbox{5}", "no_answer", "correct"),
    ("5", r"The answer is \boxed{\text{five}}.", "wrong", "wrong"),
    # How numbers and things are written.
    ("1000", r"\boxed{1\,000}", "correct", "correct"),
    ("1000", r"\boxed{1{,}000}", "correct", "correct"),
    ("1000", r"\boxed{\$1,000}", "correct", "correct"),
    ("1000", r"\boxed{1000.}", "correct", "correct"),
    ("-5", r"\boxed{–5}", "correct", "correct"),  # noqa: RUF001
    ("2.5", r"\boxed{2 1/2}", "correct", "correct"),
    ("C", r"\boxed{C.}", "correct", "correct"),
    ("C", r"\boxed{(C)}", "correct", "correct"),
    ("36", r"\boxed{36°}", "correct", "correct"),
    ("12", r"\boxed{12\text{ dollars}}", "correct", "correct"),
    ("12", r"\boxed{x = 12}", "correct", "correct"),
    ("12", r"\boxed{12 = 13}", "wrong", "wrong"),
    (r"\frac{3}{4}", r"\boxed{0.75}", "correct", "correct"),
    (r"\frac{3}{4}", r"\boxed{\dfrac34}", "correct", "correct"),
    ("2.88e-19", r"\boxed{5.76 \times 10^{-19}}", "wrong", "wrong"),
]
