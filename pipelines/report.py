"""A run in words: the funnel of every round, and what it did to Pass@1 and Pass@k."""

from rft.store import Run


def text_report(run: Run) -> str:
    """Write the report."""
    return str(run.path)
