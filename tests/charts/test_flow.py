"""A flow has bars whose parts add up, to one scale, and what goes on comes first.

Run: python -m pytest tests/charts/test_flow.py
"""

from xml.etree import ElementTree

from rft.charts import Step, flow, inline, numbers, specification

HOSTILE = "</text><script>alert(1)</script>\u202e"
STEPS = [
    Step("sampled", {"no_box": 30, "kept": 60, "redundant": 10}, frozenset({"kept"})),
    Step("kept", {"selected": 1, "budget": 59}, frozenset({"selected"})),
]


def rows_of(made):
    (plot,) = numbers(made)
    head, rows = plot
    assert head == ["step", "part", "rollouts"]
    return rows


def drawn(made):
    (rows,) = made["datasets"].values()
    return rows


def test_parts_of_a_bar_stand_side_by_side_and_add_up_to_it():
    rows = drawn(specification(flow(STEPS, of="rollouts")))
    for step in STEPS:
        name = f"{step.name} ({sum(step.parts.values())})"
        here = [row for row in rows if row["step"] == name]
        assert {row["part"]: row["count"] for row in here} == step.parts
        assert here[0]["part"] in step.on
        ends = [0, *(row["end"] for row in here)]
        assert [row["start"] for row in here] == ends[:-1]
        assert ends[-1] == sum(step.parts.values())
        assert {row["part"] for row in here if row["fate"] == "goes on"} == step.on


def test_a_part_that_is_too_small_for_its_words_has_none_but_its_number_is_in_the_table():
    made = specification(flow(STEPS, of="rollouts"))
    words = {row["part"]: row["word"] for row in drawn(made)}
    assert words["kept"] == "kept 60"
    assert words["selected"] == ""
    assert ["kept (60)", "selected", 1] in rows_of(made)


def test_all_bars_are_to_one_scale():
    made = specification(flow(STEPS, of="rollouts"))
    for layer in made["layer"]:
        scale = layer["encoding"]["x"].get("scale", {})
        assert scale.get("domain", [0, 100]) == [0, 100]


def test_foreign_names_are_words_and_nothing_can_be_drawn():
    parts = {HOSTILE: 5, "kept": 5}
    hostile, empty = Step(HOSTILE, parts, frozenset({HOSTILE})), Step("none", {}, frozenset())
    for steps in ([hostile], [], [empty]):
        svg = inline(specification(flow(steps, of="rollouts", title=HOSTILE, note=HOSTILE)), "x")
        tags = {each.tag.split("}")[-1] for each in ElementTree.fromstring(svg).iter()}
        assert "script" not in tags
