"""The kinds of charts: curves with bands, histograms, bars, and points that may be a way."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from rft.charts.files import altair
from rft.charts.frames import Axis, Series, name_of, names_in, tidy, wrapped
from rft.charts.style import COLOURS, DASHES, HALF, HEIGHT, INK, LETTER, SHAPES, WIDTH, turns

Chart = Any  # altair's, whose types are not looked into
HAIR = 1e-9
# px between the outermost points of a way and the frame: room for a mark, and for a word beside it.
ROOM = 18
# Where the word of a point stands, px to the right of it and above.
BESIDE = (9, 8)


def curve(
    frame: pl.DataFrame,
    x: Axis,
    y: Axis,
    *,
    series: Series | None = None,
    band: tuple[str, str] | None = None,
    title: str = "",
    note: str = "",
    narrow: bool = False,
) -> Chart:
    """Draw a line for each series, with a mark at each point and, given its ends, a band around it.

    A point without a value breaks its line.
    """
    alt, rows, names = _rows(frame, {"x": x, "y": y}, series, {"low": band, "high": band})
    base = alt.Chart(alt.InlineData(values=rows))
    ways = {"x": _position(alt, alt.X, "x", x, rows), "y": _position(alt, alt.Y, "y", y, rows)}
    tinted = _tints(alt, series, names, rows, narrow)
    layers = []
    if band is not None:
        around = base.mark_area(opacity=0.16, line=False).encode(
            x=ways["x"], y=alt.Y("low:Q", title=y.title), y2="high:Q", color=tinted["color"]
        )
        layers.append(around)
    dashed = {"strokeDash": tinted["strokeDash"]} if "strokeDash" in tinted else {}
    layers.append(base.mark_line(strokeWidth=2).encode(**ways, color=tinted["color"], **dashed))
    shaped = {"shape": tinted["shape"]} if "shape" in tinted else {}
    layers.append(
        base.mark_point(filled=True, size=45, opacity=1).encode(
            **ways, color=tinted["color"], **shaped, tooltip=_tips(alt, {"x": x, "y": y}, series)
        )
    )
    return _framed(alt, alt.layer(*layers), title, note, narrow)


def histogram(
    frame: pl.DataFrame,
    x: Axis,
    *,
    series: Series | None = None,
    bins: int = 30,
    title: str = "",
    note: str = "",
    narrow: bool = False,
) -> Chart:
    """Draw how the values of each series spread: the share of its values in bins of equal width."""
    names = list(series.order) if series else []
    if series:
        names += [each for each in frame[series.column].drop_nulls().unique(maintain_order=True)]
    known = frame.filter(pl.col(x.column).cast(pl.Float64).is_finite())
    values = known[x.column].to_numpy()
    low, high = x.limits or ((values.min(), values.max()) if len(values) else (0.0, 1.0))
    edges = np.linspace(low, high if high > low else low + 1, bins + 1)
    rows: list[dict[str, Any]] = []
    for name in dict.fromkeys(names or [""]):
        here = known.filter(pl.col(series.column) == name) if series else known
        # A value at an edge is in the bin that begins there: 0.3 may lie a hair below its edge.
        places = (here[x.column].to_numpy() - edges[0]) / (edges[-1] - edges[0]) * bins + HAIR
        counts = np.bincount(np.clip(places, 0, bins - 1).astype(int), minlength=bins)
        rows += [
            {"series": name, "from": float(edges[i]), "to": float(edges[i + 1]), "share": share}
            for i, share in enumerate((counts / max(1, counts.sum())).tolist())
        ]
        if series:  # the last step goes on to its end
            rows.append({**rows[-1], "from": rows[-1]["to"]})
    alt = altair()
    shown = pl.DataFrame(rows, schema_overrides={"share": pl.Float64, "from": pl.Float64})
    data = tidy(shown, {name: name for name in shown.columns})
    base = alt.Chart(alt.InlineData(values=data))
    across = alt.X("from:Q", title=x.title, axis=_axis(alt, x, []), scale=alt.Scale(nice=False))
    up = alt.Y("share:Q", title="share of each" if series else "share", axis=alt.Axis(format="%"))
    if series is None:
        bar = base.mark_bar(color=COLOURS[0], opacity=0.75, binSpacing=1)
        chart = bar.encode(x=across.bin("binned"), x2="to:Q", y=up)
    else:
        # Steps rather than bars: those of one series would cover those of another.
        every = names_in(data, "series", series.order)
        tinted = _tints(alt, series, every, data, narrow, by_line=True)
        chart = base.mark_line(interpolate="step-after", strokeWidth=2).encode(
            x=across, y=up, color=tinted["color"], strokeDash=tinted["strokeDash"]
        )
    return _framed(alt, chart, title, note, narrow)


def bars(
    frame: pl.DataFrame,
    category: Axis,
    value: Axis,
    *,
    series: Series | None = None,
    band: tuple[str, str] | None = None,
    title: str = "",
    note: str = "",
    narrow: bool = False,
) -> Chart:
    """Draw a bar for each category (lying, its name beside it), with an interval where given.

    Several series stand one under the other in each category; each bar begins at zero.
    """
    axes = {"category": category, "value": value}
    alt, rows, names = _rows(frame, axes, series, {"low": band, "high": band})
    categories = names_in(rows, "category")
    base = alt.Chart(alt.InlineData(values=rows))
    down = alt.Y("category:N", title=category.title, sort=categories)
    across = alt.X(
        "value:Q",
        title=value.title,
        axis=_axis(alt, value, []),
        scale=_scale(alt, value, zero=True),
    )
    several = {"yOffset": alt.YOffset("series:N", sort=names)} if series else {}
    tinted = _tints(alt, series, names, rows, narrow)
    tips = _tips(alt, axes, series)
    layers = [
        base.mark_bar(opacity=0.85).encode(
            y=down, x=across, color=tinted["color"], tooltip=tips, **several
        )
    ]
    if band is not None:
        layers.append(
            base.mark_rule(color=INK, strokeWidth=1.5).encode(
                y=down, x=alt.X("low:Q", title=value.title), x2="high:Q", **several
            )
        )
    if series:
        # The shape at a bar's end, since a colour alone tells nothing to some.
        layers.append(
            base.mark_point(
                filled=True, size=35, opacity=1, stroke="white", strokeWidth=0.5
            ).encode(y=down, x=across, color=tinted["color"], shape=tinted["shape"], **several)
        )
    height = max(80, len(categories) * (14 * max(1, len(names)) + 10))
    width = beside_labels(categories, HALF if narrow else WIDTH)
    return _framed(alt, alt.layer(*layers), title, note, narrow, (width, height))


def points(
    frame: pl.DataFrame,
    x: Axis,
    y: Axis,
    *,
    series: Series | None = None,
    trail: str | None = None,
    title: str = "",
    note: str = "",
) -> Chart:
    """Draw points; along `trail`, say the round, each series is a way.

    The value of `trail` stands beside its point, where no other word or point is in its place.
    """
    alt, rows, names = _rows(frame, {"x": x, "y": y}, series, {}, trail=trail)
    if trail is not None:
        rows = _worded(rows, x, y)
    base = alt.Chart(alt.InlineData(values=rows))
    ways = {
        "x": _position(alt, alt.X, "x", x, rows, room=ROOM),
        "y": _position(alt, alt.Y, "y", y, rows, room=ROOM),
    }
    tinted = _tints(alt, series, names, rows, narrow=False)
    colour = tinted["color"]
    layers = []
    if trail is not None:
        dashed = {"strokeDash": tinted["strokeDash"]} if "strokeDash" in tinted else {}
        line = base.mark_line(strokeWidth=1.5)
        layers.append(line.encode(**ways, order="trail:Q", color=colour, **dashed))
    shaped = {"shape": tinted["shape"]} if "shape" in tinted else {}
    layers.append(
        base.mark_point(filled=True, size=70, opacity=1).encode(
            **ways, color=colour, **shaped, tooltip=_tips(alt, {"x": x, "y": y}, series)
        )
    )
    if trail is not None:
        word = base.mark_text(dx=BESIDE[0], dy=-BESIDE[1], fontSize=11, color=INK)
        layers.append(word.encode(**ways, text="word:N"))
    return _framed(alt, alt.layer(*layers), title, note, narrow=False)


def beside(charts: Sequence[Chart], *, title: str = "", note: str = "") -> Chart:
    """Put charts beside each other, two in a row, each with its own axes and legend."""
    alt = altair()
    rows = [charts[start : start + 2] for start in range(0, len(charts), 2)]
    whole = alt.vconcat(*(alt.hconcat(*row, spacing=25) for row in rows), spacing=25)
    whole = whole.resolve_scale(color="independent", shape="independent", strokeDash="independent")
    return titled(alt, whole, title, note)


# Parts of charts ----------------------------------------------------------------------------------


def _rows(
    frame: pl.DataFrame,
    axes: dict[str, Axis],
    series: Series | None,
    ends: dict[str, tuple[str, str] | None],
    trail: str | None = None,
) -> tuple[Any, list[dict[str, Any]], list[str]]:
    columns = {name: axis.column for name, axis in axes.items()}
    columns |= {
        name: pair[index % 2] for index, (name, pair) in enumerate(ends.items()) if pair is not None
    }
    columns |= {"series": series.column} if series else {}
    columns |= {"trail": trail} if trail else {}
    rows = tidy(frame, columns)
    return altair(), rows, names_in(rows, "series", series.order) if series else []


def _worded(rows: list[dict[str, Any]], x: Axis, y: Axis) -> list[dict[str, Any]]:
    """Give each point its word, or none where it would not be read; ends of ways come first."""
    across = _pixels([row["x"] for row in rows], x, WIDTH)
    up = _pixels([row["y"] for row in rows], y, HEIGHT)
    marks = [(a, b) for a, b in zip(across, up, strict=True) if a is not None and b is not None]
    ends = {row.get("series"): index for index, row in enumerate(rows)}
    words: dict[int, tuple[float, float]] = {}
    for index in dict.fromkeys([*ends.values(), *range(len(rows))]):
        right, above = across[index], up[index]
        if right is None or above is None:
            continue
        here = (right + BESIDE[0], above + BESIDE[1])
        wide = LETTER * len(str(rows[index]["trail"]))
        if all(_apart(here, other, wide + 1, 12) for other in words.values()) and all(
            _apart(here, mark, wide / 2 + 4, 8) for mark in marks
        ):
            words[index] = here
    return [{**row, "word": str(row["trail"]) * (i in words)} for i, row in enumerate(rows)]


def _apart(one: tuple[float, float], other: tuple[float, float], wide: float, high: float) -> bool:
    """Say whether two places are so far from each other."""
    return abs(one[0] - other[0]) >= wide or abs(one[1] - other[1]) >= high


def _pixels(values: list[float | None], axis: Axis, length: int) -> list[float | None]:
    """Say where values lie on a linear axis with room at its ends, near enough for words."""
    known = [each for each in values if each is not None]
    low, high = axis.limits or (min(known, default=0), max(known, default=0))
    unit = (length - 2 * ROOM) / ((high - low) or 1)
    return [None if each is None else ROOM + (each - low) * unit for each in values]


def _position(
    alt: Any, channel: Any, name: str, axis: Axis, rows: list[dict[str, Any]], room: int = 0
) -> Any:
    if axis.scale == "category":
        names = names_in(rows, name)
        return channel(f"{name}:O", title=axis.title, sort=names, axis=alt.Axis(labelAngle=0))
    values = [row[name] for row in rows if row[name] is not None]
    return channel(
        f"{name}:Q",
        title=axis.title,
        axis=_axis(alt, axis, values),
        scale=_scale(alt, axis, zero=axis.scale == "count", room=room),
    )


def _axis(alt: Any, axis: Axis, values: list[float]) -> Any:
    """Say where an axis has its ticks, and how they are written."""
    if axis.scale == "share":
        return alt.Axis(format="~%", tickCount=6)
    if axis.scale == "log2" and values:
        first, last = math.floor(math.log2(min(values))), math.ceil(math.log2(max(values)))
        return alt.Axis(values=[2.0**each for each in range(first, last + 1)], format="~r")
    whole = [*map(int, values)] if all(float(each).is_integer() for each in values) else []
    if whole and max(whole) - min(whole) <= 12:  # rounds: no ticks between two of them
        return alt.Axis(values=[*range(min(whole), max(whole) + 1)], format="d")
    return alt.Axis(format=",~r", tickCount=6)


def _scale(alt: Any, axis: Axis, *, zero: bool, room: int = 0) -> Any:
    more: dict[str, Any] = {"domain": list(axis.limits)} if axis.limits else {}
    if room and not axis.limits:
        return alt.Scale(zero=zero, nice=False, padding=room)
    if axis.scale == "log2":
        return alt.Scale(type="log", base=2, nice=False, **more)
    return alt.Scale(zero=zero, nice=axis.limits is None, **more)


def _tints(
    alt: Any,
    series: Series | None,
    names: list[str],
    rows: list[dict[str, Any]],
    narrow: bool,
    *,
    by_line: bool = False,
) -> dict[str, Any]:
    """Give the channels that tell series apart: by colour, shape and dash, in one legend."""
    if series is None:
        return {"color": alt.value(COLOURS[0])}
    there = {row["series"] for row in rows}
    drawn = [name for name in names if name in there]
    wide = max((len(name_of(name)) for name in drawn), default=1) * LETTER + 45
    columns = max(1, min(len(drawn), (HALF if narrow else WIDTH) // wide))
    # A dash around a small shape would only look ragged.
    more: dict[str, Any] = {} if by_line else {"symbolStrokeWidth": 0}
    if len(drawn) < len(names):  # what only other pictures of the set show
        more["values"] = drawn
    legend = alt.Legend(title=name_of(series.title) or None, columns=columns, **more)

    def told(channel: Any, choices: Sequence[Any], *, shown: bool = True) -> Any:
        scale = alt.Scale(domain=names, range=turns(choices, len(names)))
        return channel("series:N", scale=scale, legend=legend if shown else None)

    return {
        "color": told(alt.Color, COLOURS),
        "shape": told(alt.Shape, SHAPES),
        "strokeDash": told(alt.StrokeDash, DASHES, shown=by_line),
    }


def _tips(alt: Any, axes: dict[str, Axis], series: Series | None) -> list[Any]:
    kinds = {"category": "N"}
    tips = [
        alt.Tooltip(f"{name}:{kinds.get(axis.scale, 'Q')}", title=axis.title)
        for name, axis in axes.items()
    ]
    return tips + ([alt.Tooltip("series:N", title=series.title or "series")] if series else [])


def _framed(
    alt: Any,
    chart: Chart,
    title: str,
    note: str,
    narrow: bool,
    size: tuple[int, int] | None = None,
) -> Chart:
    width, height = size or (HALF if narrow else WIDTH, HEIGHT)
    return titled(alt, chart.properties(width=width, height=height), title, note)


def titled(alt: Any, chart: Chart, title: str, note: str) -> Chart:
    """Put a title over a chart, and under it what has to be known to read it."""
    if not title and not note:
        return chart
    under = {"subtitle": wrapped(note)} if note else {}
    return chart.properties(title=alt.TitleParams(text=name_of(title), **under))


def beside_labels(names: Sequence[str], whole: int) -> int:
    """Give the width that names on the left leave for a plot, in a picture as wide as others."""
    longest = max((len(name_of(name)) for name in names), default=0)
    return max(whole // 2, min(whole, whole + 60 - LETTER * longest))
