"""NAME: say whether an answer is right (say here by what).

In a recipe:  parts: [NAME.py]  and  grade: {verifier: {NAME: {within: 0.001}}}
Checked by:   rft check NAME.py  and  python -m pytest NAME_test.py
"""


# It is called in a process of its own that is killed at `grade.deadline` and at 4 GB, once for each
# pair. What follows gold and answer are parameters, which a recipe gives. True is right, False is
# wrong, None is an answer that cannot be read. Answers are what a model wrote: never evaluate one.
# A gold has to be right for itself; problems with others are set aside.
def NAME(gold: str, answer: str, *, within: float = 0.01) -> bool | None:
    """Numbers that differ by no more than a share of the gold."""
    try:
        wanted, given = float(gold), float(answer)
    except ValueError:
        return None
    return abs(wanted - given) <= within * abs(wanted)


VERIFIERS = {"NAME": NAME}

# What it has to say: `rft check` holds it to these, and needs one of each kind at least.
EXAMPLES = {"NAME": [("2.0", "2.01", True), ("2.0", "2.1", False), ("2.0", "two", None)]}
