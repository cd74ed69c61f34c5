"""Pins where the doctor says that things run: the workers and devices that a run would have.

Run: python -m pytest tests/doctor/test_plan.py
"""

import pytest

from rft.doctor.placement import Placement
from rft.errors import RFTError
from rft.processes import devices
from rft.recipe.loading import load_recipe
from tests.machines import H100, SEVEN, facts, one, report


@pytest.mark.parametrize("gpus", [0, 1, 2, 3, 8])
@pytest.mark.parametrize("tensor", [1, 2, 4])
@pytest.mark.parametrize("asked", ["auto", "1", "2", "9"])
@pytest.mark.parametrize("visible", [None, "5,3,1,7,0,2,4,6"])
def test_workers_and_their_devices_are_those_that_a_run_would_have(
    gpus, tensor, asked, visible, monkeypatch
):
    settings = [f"engine.args.tensor_parallel_size={tensor}", f"engine.workers={asked}"]
    recipe = load_recipe("math-7b-24gb", settings)
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    ours = Placement(recipe, facts(*[H100] * gpus, visible=visible), None)
    # By hand: the first so many names, in groups, a rest left out.
    named = (visible or "0,1,2,3,4,5,6,7").split(",")[:gpus]
    groups = [named[at * tensor : (at + 1) * tensor] for at in range(gpus // tensor)]
    wanted = 1 if asked == "auto" else int(asked)
    if (gpus and not groups) or (groups and asked != "auto" and wanted > len(groups)):
        with pytest.raises(RFTError) as refused:
            devices.count(recipe.engine)
        assert ours.wrong == str(refused.value)
        return
    assert ours.wrong == ""
    wanted = max(1, len(groups)) if asked == "auto" else wanted
    assert devices.count(recipe.engine) == ours.engines == wanted
    assert devices.accelerators(recipe.engine) == [",".join(group) for group in groups]
    assert ours.groups == groups[:wanted]


@pytest.mark.parametrize("size", ["0", "-1", "two", "1.5", "null", "true"])
def test_a_group_size_that_is_none_is_one_line_and_no_traceback(size):
    settings = [f"engine.args.tensor_parallel_size={size}"]
    with pytest.raises(RFTError, match=r"engine\.args\.tensor_parallel_size is .*whole number"):
        devices.grouped(load_recipe("math-7b-24gb", settings).engine, ["0", "1"])
    told = report("math-7b-24gb", facts(H100), SEVEN, *settings)
    assert one(told, "error", "whole number")
    assert told.places["sample, evaluate"].startswith("nowhere")


def test_a_group_spans_the_pipeline_too():
    settings = ["engine.args={tensor_parallel_size: 2, pipeline_parallel_size: 2}"]
    engine = load_recipe("math-7b-24gb", settings).engine
    assert devices.grouped(engine, [*"abcdefghi"]) == ["a,b,c,d", "e,f,g,h"]
    assert devices.grouped(engine, []) == []
