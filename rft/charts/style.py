"""How every chart looks: colours that the colour-blind tell apart, and never colour alone.

The colours are those of Okabe and Ito (2008), without the yellow, which a light ground swallows.
Colours, shapes and dashes go round at different lengths, so that 56 series all differ.
"""

from collections.abc import Sequence
from typing import Any

COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right"]
SHAPES += ["triangle-left"]
DASHES = [[1, 0], [7, 3], [2, 2], [9, 3, 2, 3], [12, 5]]

INK, MUTED, FAINT = "#222222", "#444444", "#DDDDDD"
WIDTH, HEIGHT = 560, 300  # of the plot; with axes and legend a picture is some 700 px wide
HALF = 265  # the width of each of two plots beside each other
# What vl-convert brings along, and what looks much the same where it is not.
FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
LETTER = 7  # px that a letter of a label takes at most, near enough

_WORDS = {
    "labelFont": FONT,
    "titleFont": FONT,
    "labelFontSize": 12,
    "titleFontSize": 13,
    "titleFontWeight": "normal",
    "labelColor": INK,
    "titleColor": INK,
    "labelLimit": 400,
    "titleLimit": 0,
}

CONFIG: dict[str, Any] = {
    "background": "#FFFFFF",
    "font": FONT,
    "padding": 10,
    "view": {"stroke": "transparent", "continuousWidth": WIDTH, "continuousHeight": HEIGHT},
    "axis": {
        **_WORDS,
        "gridColor": FAINT,
        "domainColor": INK,
        "tickColor": INK,
        "titlePadding": 8,
        "labelFlush": False,
    },
    "legend": {
        **_WORDS,
        "orient": "bottom",
        "symbolSize": 90,
        "symbolStrokeWidth": 2,
        "symbolOpacity": 1,
        "columnPadding": 16,
        "rowPadding": 4,
    },
    "header": {**_WORDS, "labelFontSize": 13},
    "title": {
        "font": FONT,
        "subtitleFont": FONT,
        "fontSize": 15,
        "fontWeight": "bold",
        "subtitleFontSize": 12,
        "subtitlePadding": 5,
        "color": INK,
        "subtitleColor": MUTED,
        "anchor": "start",
        "frame": "group",
        "offset": 12,
    },
}


def turns(choices: Sequence[Any], count: int) -> list[Any]:
    """Give `count` of the choices, going round where there are fewer."""
    return [choices[index % len(choices)] for index in range(count)]
