"""Charts: the only place that makes pictures, from tidy frames, for reports, comparisons and pages.

`marks` makes them, `style` says how all of them look, `files` writes them. Data travel inside a
chart, under columns of our own names, and nothing is ever loaded from elsewhere.
"""

from rft.charts.files import refuse_missing_charts, specification, write
from rft.charts.flow import Step, flow
from rft.charts.frames import Axis, Series
from rft.charts.inline import inline, numbers, title_of
from rft.charts.marks import bars, beside, curve, histogram, points
from rft.charts.overlaps import overlaps

__all__ = [
    "Axis",
    "Series",
    "Step",
    "bars",
    "beside",
    "curve",
    "flow",
    "histogram",
    "inline",
    "numbers",
    "overlaps",
    "points",
    "refuse_missing_charts",
    "specification",
    "title_of",
    "write",
]
