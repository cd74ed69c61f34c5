"""Where weights and configs are loaded: only what is whole, is what it was, and fits its config.

Weights are first laid out without memory (on torch's device `meta`), which shows every tensor that
is missing, left over or of another shape before anything is allocated.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rft.errors import RFTError, explained
from rft.foreign_text import short
from rft.model_folders.content import verify
from rft.model_folders.inspection import quantised, read_config, refuse_broken, weights_of
from rft.model_folders.reading import MEND

if TYPE_CHECKING:
    from rft.runs.models import ModelRef


def load_config(model: "ModelRef") -> Any:
    """Load a model's config, the part about text, or say in one line what is wrong with it."""
    from transformers import AutoConfig

    path = Path(model.path)
    config = read_config(path)
    try:
        return AutoConfig.from_pretrained(model.path, **model.options).get_text_config()
    except Exception as error:
        if config.get("auto_map") and not model.trust_remote_code:
            raise RFTError(
                f"{path / 'config.json'}: the model needs code that comes with it (auto_map), "
                "which is not run; set model.trust_remote_code: true if you trust it"
            ) from error
        raise RFTError(f"{path / 'config.json'}: {reason(error)}; {MEND}") from error


def longest_text(config: Any) -> int | None:
    """Give the most tokens that a model reads, by its config; None where it does not tell."""
    told = getattr(config, "max_position_embeddings", None)
    return told if isinstance(told, int) and told > 0 else None


def load_weights(model: "ModelRef", dtype: str) -> Any:
    """Load a model's weights, all of them and no others."""
    ready_to_load(model)
    loaded, told = _load(model, dtype=dtype)
    if not quantised(read_config(Path(model.path))):
        refuse_other_tensors(model.path, told)
    return loaded


def ready_to_load(model: "ModelRef") -> None:
    """Refuse a model that is not what it was, or whose tensors are not those of its config."""
    path = Path(model.path)
    refuse_broken(path, trusted=model.trust_remote_code, pickles=model.allow_pickle)
    verify(path, model.digest)
    load_config(model)
    config = read_config(path)
    # Those of a quantised model have other names, by the package that reads them; a pickle has no
    # header, and code that comes with a model need not know of such a device.
    if not quantised(config) and not config.get("auto_map") and not pickled(model):
        _, told = _load(model, device_map="meta", ignore_mismatched_sizes=True)
        refuse_other_tensors(model.path, told)


def _load(model: "ModelRef", **options: Any) -> tuple[Any, dict[str, Any]]:
    """Load weights from safetensors, or from pickles where there is nothing else."""
    from transformers import AutoModelForCausalLM

    options |= model.options | {"use_safetensors": not pickled(model)}
    try:
        with _in_silence():
            loaded, told = AutoModelForCausalLM.from_pretrained(
                model.path, output_loading_info=True, **options
            )
    except Exception as error:
        if explained(error) is not None:
            raise
        if pickled(model):  # torch's own advice would be to run what is in it
            raise RFTError(
                f"{model.path}: its weights are pickles that hold more than numbers, or are "
                "damaged; get the model as safetensors"
            ) from error
        raise RFTError(f"{model.path}: the model does not load ({reason(error)})") from error
    return loaded, told


def refuse_other_tensors(path: str, told: dict[str, Any]) -> None:
    """Refuse weights that lack a tensor, have one too many, or one of another shape."""
    wrong = sorted(told["mismatched_keys"], key=lambda each: str(each[0]))
    if wrong:
        _, there, wanted = wrong[0]
        raise RFTError(
            f"{path}: {_several([each[0] for each in wrong])}: {tuple(there)} in the weights and "
            f"{tuple(wanted)} by config.json; {MEND}"
        )
    for kind, what in (("missing_keys", "lack"), ("unexpected_keys", "have, beside all it takes,")):
        if names := sorted(told[kind]):
            raise RFTError(
                f"{path}: config.json and the weights are not of one model: the weights {what} "
                f"{_several(names)}; {MEND}"
            )


def pickled(model: "ModelRef") -> bool:
    """Say whether a model's weights are pickles, which the recipe has to allow."""
    return model.allow_pickle and weights_of(Path(model.path), pickles=True) is None


def reason(error: BaseException) -> str:
    """Give what a library said, in one line."""
    return short(str(error)) or type(error).__name__


def _several(names: list[str]) -> str:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return short(names[0])[:100] + more


@contextmanager
def _in_silence() -> Iterator[None]:
    """Keep transformers' table of what does not fit, and its progress, off the terminal."""
    from transformers.utils import logging

    level, shown = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()
