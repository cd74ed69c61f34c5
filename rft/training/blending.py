"""Weights between those that a training began with, or the base's, and those that it came to."""

import shutil
from pathlib import Path

from rft.model_folders.content import MARK
from rft.model_folders.loading import load_weights
from rft.recipe import Blend
from rft.runs.folder import Run
from rft.runs.models import ModelRef, base_model, model_before


def parent(run: Run, round: int) -> ModelRef:
    """Refer to the model that training starts from."""
    return base_model(run) if run.recipe.sft.start == "base" else model_before(run, round)


def anchor_of(run: Run, round: int, how: Blend) -> ModelRef:
    """Refer to the model that the trained one is blended with."""
    return base_model(run) if how.anchor == "base" else parent(run, round)


def trained_at(run: Run, folder: Path, digest: str) -> ModelRef:
    """Refer to a model that a training of the run came to."""
    trust = run.recipe.model
    return ModelRef(str(folder), digest, None, trust.trust_remote_code, trust.allow_pickle)


def write_blend(folder: Path, anchor: ModelRef, trained: ModelRef, delta: float) -> None:
    """Write the model anchor + delta * (trained - anchor), which is the trained one in all else.

    WiSE-FT (arXiv 2504.10478). Each weight is computed in float32 and rounded once, to what it is
    stored in; one that training has not moved stays what it is, to the bit, and at delta 1 all are
    the trained ones. Weights that are tied are one weight. Buffers, and what is no floating-point
    number, are the trained model's.
    """
    if delta != 1:
        _write_between(folder, anchor, trained, delta)
    for path in Path(trained.path).iterdir():
        if path.is_file() and path.name != MARK and (delta == 1 or ".safetensors" not in path.name):
            shutil.copyfile(path, folder / path.name)


def _write_between(folder: Path, anchor: ModelRef, trained: ModelRef, delta: float) -> None:
    import torch

    ends, model = load_weights(anchor, "auto"), load_weights(trained, "auto")
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.is_floating_point():
                begun = ends.get_parameter(name).float()
                weight.copy_(begun + delta * (weight.float() - begun))
    model.save_pretrained(folder)
