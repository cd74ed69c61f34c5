"""Samples packed into one row: whether a model keeps them apart is tried, not believed."""

from collections.abc import Sequence
from typing import Any

from rft.errors import RFTError

# Of the spread of the logits. A model that keeps samples apart shows no difference at all.
NOTICEABLE = 1e-5


def refuse_leaks(trainer: Any, targets: Sequence[dict[str, list[int]]]) -> None:
    """Refuse packing where a sample changes when the one before it in its row does.

    What keeps them apart are position ids that begin anew. Attention by transformers' own masks
    minds them, and so do its flash kernels; a layer with a memory of its own, or a model with its
    own code, may not.
    """
    import torch

    # The shortest: the difference is the same, and two of them fit wherever two others do.
    shortest = sorted((target["input_ids"] for target in targets), key=len)[:2]
    if len(shortest) < 2:
        return
    first, second = shortest
    changed = [token - 1 if token else 1 for token in first]
    model, training = trainer.model, trainer.model.training
    model.eval()
    seen = []
    try:
        for before in (first, changed):
            batch = trainer.data_collator([{"input_ids": before}, {"input_ids": second}])
            del batch["labels"]
            with torch.no_grad(), trainer.compute_loss_context_manager():
                logits = model(**trainer._prepare_inputs(batch), use_cache=False).logits
            seen.append(logits[0, len(first) :].float())
    finally:
        model.train(training)
    apart = (seen[0] - seen[1]).abs().max() / seen[0].std()
    if not apart <= NOTICEABLE:
        raise RFTError(
            f"sft.packing: in {type(model).__name__} a sample sees the one before it in its row "
            f"(its logits move by {float(apart):.2g} of their spread); set sft.packing: false"
        )
