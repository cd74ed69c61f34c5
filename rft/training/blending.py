"""Weights between those that a training began with, or the base's, and those that it came to."""

import shutil
from pathlib import Path

from rft.model_folders.content import MARK
from rft.model_folders.loading import load_weights
from rft.runs.models import ModelRef


def write_blend(folder: Path, anchor: ModelRef, trained: ModelRef, delta: float) -> None:
    """Write the model anchor + delta * (trained - anchor), which is the trained one in all else.

    WiSE-FT (arXiv 2504.10478). Each weight is computed in float32 and rounded once, to what it is
    stored in; one that training has not moved stays what it is, to the bit. Weights that are tied
    are one weight. Buffers, and what is no floating-point number, are the trained model's.
    """
    import torch

    ends, model = load_weights(anchor, "auto"), load_weights(trained, "auto")
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.is_floating_point():
                begun = ends.get_parameter(name).float()
                weight.copy_(begun + delta * (weight.float() - begun))
    model.save_pretrained(folder)
    for path in Path(trained.path).iterdir():
        if path.is_file() and path.name != MARK and ".safetensors" not in path.name:
            shutil.copyfile(path, folder / path.name)
