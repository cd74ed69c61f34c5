"""Rules on trimmed responses, each named after the defect that it finds; true means reject.

A rule takes its parameters from the recipe and gives a polars expression over the graded table, or,
where it compares rows, a `Grouped` one.
"""

from collections.abc import Callable

from filters.duplicate import duplicate
from filters.grouped import Rule
from filters.many_boxes import many_boxes
from filters.mixed_language import mixed_language
from filters.no_box import no_box
from filters.no_digit import no_digit
from filters.redundant import redundant
from filters.too_long import too_long
from filters.too_short import too_short
from filters.truncated import truncated

RULES: dict[str, Callable[..., Rule]] = {
    "no_box": no_box,
    "no_digit": no_digit,
    "redundant": redundant,
    "truncated": truncated,
    "many_boxes": many_boxes,
    "duplicate": duplicate,
    "mixed_language": mixed_language,
    "too_long": too_long,
    "too_short": too_short,
}
