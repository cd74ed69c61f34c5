"""What sets share: a bar for each combination of sets, over dots that say which (UpSet)."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from rft.charts.files import altair
from rft.charts.frames import name_of
from rft.charts.marks import Chart, beside_labels, titled
from rft.charts.style import COLOURS, FAINT, INK, WIDTH

MOST = 20  # combinations that are drawn


def combinations(sets: Mapping[str, Collection[str]]) -> list[tuple[tuple[str, ...], int]]:
    """Count the members by which of the sets they are in, and no others; the most common first."""
    of: dict[str, list[str]] = {}
    for name, members in sets.items():
        for member in set(members):
            of.setdefault(member, []).append(name)
    counts = Counter(tuple(names) for names in of.values())
    place = {name: index for index, name in enumerate(sets)}
    return sorted(counts.items(), key=lambda each: (-each[1], [place[name] for name in each[0]]))


def overlaps(
    sets: Mapping[str, Collection[str]], *, members: str, title: str = "", note: str = ""
) -> Chart:
    """Draw how many members (say "unsolved problems") each combination of sets has to itself."""
    alt = altair()
    all_of_them = combinations(sets)
    counted, left_out = all_of_them[:MOST], all_of_them[MOST:]
    if left_out:
        more = sum(count for _, count in left_out)
        note = f"{note}\n{len(left_out):,} rarer combinations, of {more:,} in all, are not drawn"
    labels = {name: f"{name_of(name)} ({len(set(each)):,})" for name, each in sets.items()}
    bars = [{"place": place, "count": count} for place, (_, count) in enumerate(counted)]
    dots = [
        {"place": place, "set": labels[name], "in": name in names}
        for place, (names, _) in enumerate(counted)
        for name in sets
    ]
    across = alt.X("place:O", axis=None)
    width = min(beside_labels(list(labels.values()), WIDTH), 34 * max(4, len(counted)))
    tall = alt.Chart(alt.InlineData(values=bars)).encode(
        x=across,
        y=alt.Y("count:Q", title=members, axis=alt.Axis(values=whole_ticks(counted), format=",d")),
    )
    upper = alt.layer(
        tall.mark_bar(color=COLOURS[0]),
        tall.mark_text(dy=-7, color=INK, fontSize=11).encode(text=alt.Text("count:Q", format=",d")),
    ).properties(width=width, height=180)
    down = alt.Y("set:N", title=None, sort=list(labels.values()), axis=alt.Axis(domain=False))
    grid = alt.Chart(alt.InlineData(values=dots)).encode(x=across, y=down)
    inside = alt.datum["in"]
    lower = alt.layer(
        grid.mark_point(filled=True, size=110, opacity=1, color=FAINT),
        grid.mark_line(color=INK, strokeWidth=2)
        .transform_filter(inside)
        .encode(detail="place:O", order="set:N"),
        grid.mark_point(filled=True, size=110, opacity=1, color=INK).transform_filter(inside),
    ).properties(width=width, height=24 * max(1, len(sets)))
    whole = alt.vconcat(upper, lower, spacing=8).resolve_scale(x="shared")
    return titled(alt, whole, title, note)


def whole_ticks(counted: Sequence[tuple[object, int]]) -> list[int]:
    """Give whole numbers for an axis of counts, some six of them: Vega's own may lie between."""
    most = max((count for _, count in counted), default=0)
    step = next(
        each
        for power in range(20)
        for each in (10**power, 2 * 10**power, 5 * 10**power)
        if each * 6 >= most
    )
    return list(range(0, max(most, 1) + step, step))
