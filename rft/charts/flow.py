"""What becomes of a number of things, step by step: a bar for each step, cut into named parts."""

from collections.abc import Sequence
from dataclasses import dataclass

from rft.charts.files import altair
from rft.charts.frames import name_of
from rft.charts.marks import Chart, beside_labels, titled
from rft.charts.style import COLOURS, INK, LETTER, WIDTH

ROW = 34  # px of a bar with the space around it
LEFT = "#D0D0D0"  # what leaves; black words stand on it, on a light and a dark page alike


@dataclass(frozen=True)
class Step:
    """A step: its name, and parts that are its whole; `on` names those that go on to the next."""

    name: str
    parts: dict[str, int]
    on: frozenset[str]


def flow(steps: Sequence[Step], *, of: str, title: str = "", note: str = "") -> Chart:
    """Draw steps as bars to one scale: what goes on, which comes first, and what leaves there."""
    alt = altair()
    names = [f"{name_of(step.name)} ({sum(step.parts.values()):,})" for step in steps]
    width = beside_labels(names, WIDTH)
    whole = max((sum(step.parts.values()) for step in steps), default=0) or 1
    rows = []
    for name, step in zip(names, steps, strict=True):
        start = 0
        for part in sorted(step.parts, key=lambda each: each not in step.on):
            count = step.parts[part]
            word = f"{name_of(part)} {count:,}"
            fits = (len(word) + 1) * LETTER <= width * count / whole
            rows.append(
                {
                    "step": name,
                    "part": name_of(part),
                    "count": count,
                    "start": start,
                    "end": start + count,
                    "middle": start + count / 2,
                    "fate": "goes on" if part in step.on else "leaves here",
                    "word": word if fits else "",
                }
            )
            start += count
    base = alt.Chart(alt.InlineData(values=rows))
    down = alt.Y("step:N", title="", sort=names)
    axis = alt.Axis(format=",~r", tickCount=6)
    across = alt.X("start:Q", title=of, axis=axis, scale=alt.Scale(domain=[0, whole]))
    tint = alt.Color(
        "fate:N",
        scale=alt.Scale(domain=["goes on", "leaves here"], range=[COLOURS[5], LEFT]),
        legend=alt.Legend(title=None),
    )
    tips = [
        alt.Tooltip("step:N", title="step"),
        alt.Tooltip("part:N", title="part"),
        alt.Tooltip("count:Q", title=of, format=","),
    ]
    bar = base.mark_bar(height=ROW - 10, stroke=INK, strokeWidth=0.5)
    bar = bar.encode(y=down, x=across, x2="end:Q", color=tint, tooltip=tips)
    word = base.mark_text(fontSize=12, color="black").encode(y=down, x="middle:Q", text="word:N")
    drawn = alt.layer(bar, word).properties(width=width, height=ROW * max(1, len(steps)))
    return titled(alt, drawn, title, note)
