"""A model's size, read from its folder, and what weights, KV cache and training come to."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rft.errors import RFTError
from rft.foreign_text import short
from rft.model_folders.inspection import read_config, refuse_broken
from rft.model_folders.reading import read_object
from rft.recipe import Model, Recipe

# What CUDA, graphs and one batch take of a GPU: a guess.
OVERHEAD = 2e9
# float32 weights, their gradients, and two moments of Adam, or two of one byte each.
TRAINING, TRAINING_8BIT = 16, 10
# Numbers that the backward pass reads of a token in a layer, where nothing is computed twice: so
# many times the hidden size and the size between. Told from SmolLM2's peaks on a CPU.
HIDDEN_KEPT, WIDE_KEPT = 5, 4
# Where all layers' come to more than this, they are computed anew from what goes into each layer.
MOST_KEPT = 1e9
# On a CPU TRL's last layer works on tiles of so many tokens by the whole vocabulary, held so many
# times.
TILE, TILES = 4096, 4
# What reading a config that nobody foresaw may raise.
UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError)
SIZES = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class Shape:
    """A model's size."""

    weights: int
    """Bytes, as stored."""
    dtype: str
    parameters: int | None = None
    """None where weights are quantised."""
    layers: int = 0
    hidden: int = 0
    kv_values: int | None = None
    """Numbers that one token adds to the KV cache; None where the config does not tell."""
    longest: int | None = None
    """The most tokens that it reads."""
    wide: int = 0
    """The size between, of its feed-forward layers."""
    vocabulary: int = 0

    def weight_bytes(self, dtype: str) -> int:
        """Count the bytes of the weights where they are held in other numbers."""
        if self.parameters is None or dtype not in SIZES:
            return self.weights
        return self.parameters * SIZES[dtype]

    def kv_bytes(self, dtype: str, cache: str) -> int | None:
        """Count the bytes that one token takes in the KV cache."""
        size = 1 if "8" in cache else SIZES.get(dtype, 2)
        return None if self.kv_values is None else self.kv_values * size

    def recomputes(self, tokens: int) -> bool:
        """Say whether so many tokens at a time are too many to keep all that the layers made."""
        return self.layers * tokens * self._of_layer(4) > MOST_KEPT

    def _of_layer(self, size: int) -> int:
        return (HIDDEN_KEPT * self.hidden + WIDE_KEPT * self.wide) * size

    def training_bytes(self, recipe: Recipe, rows: int, size: int, *, on_gpu: bool | None) -> int:
        """Count what training needs at least, `rows` at a time; None where it runs nobody knows."""
        tokens = rows * recipe.trains.longest
        activations = self.layers * tokens * self.hidden * size
        if on_gpu is False:
            if self.recomputes(tokens):
                activations += tokens * self._of_layer(size)
            else:
                activations = self.layers * tokens * self._of_layer(size)
            activations += TILES * min(tokens, TILE) * self.vocabulary * 4
        if recipe.trains.lora is not None:  # the adapter is little next to its base
            return self.weights + activations
        parameters = self.parameters or self.weights
        return parameters * (TRAINING_8BIT if eight_bit(recipe) else TRAINING) + activations

    def disk_bytes(self, recipe: Recipe) -> int:
        """Count what models and training checkpoints take of the disk at most."""
        kept = {"all": recipe.rounds, "adopted": 2, "last": 1}[recipe.keep.models]
        # Three checkpoints for a moment, of weights and moments; the new model is beside them.
        each = 0 if recipe.trains.lora else 4 + (2 if eight_bit(recipe) else 8)
        return (kept + 1) * self.weights + 3 * each * (self.parameters or 0)


def eight_bit(recipe: Recipe) -> bool:
    """Say whether the optimizer keeps its moments in a byte each."""
    return "8bit" in str(recipe.trains.args.get("optim", ""))


@dataclass(frozen=True)
class Lookup:
    """The recipe's model on this machine, or why its size is not known."""

    shape: Shape | None = None
    trouble: str = ""
    level: Literal["warn", "error"] = "warn"


def find_model(model: Model) -> Lookup:
    """Read a model's size where it is on this machine; nothing is downloaded."""
    here = f"model.path: {model.path}"
    try:
        folder = _folder(model)
        if folder is not None:
            return Lookup(shape_of(folder))
    except RFTError as error:
        return Lookup(trouble=str(error), level="error")
    except UNREADABLE as error:
        why = short(f"{type(error).__name__}: {error}")
        return Lookup(trouble=f"{here}: its size cannot be read ({why}), so memory is not checked")
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "on", "yes", "true"):
        text = f"{here} is not on this machine, and HF_HUB_OFFLINE forbids its download"
        return Lookup(trouble=text, level="error")
    text = f"{here} is not on this machine, so memory is not checked; `hf download {model.path}` "
    return Lookup(trouble=text + "or a run starts its download")


def _folder(model: Model) -> Path | None:
    """Find the folder, as rft.runs.models does where it may download; None if that is needed."""
    from huggingface_hub import try_to_load_from_cache

    from rft.runs.models import follow

    origin = follow(model)
    if origin.folder is None:
        name, revision = origin.model.path, origin.model.revision
        config = try_to_load_from_cache(name, "config.json", revision=revision)
        return Path(config).parent if isinstance(config, str) else None
    refuse_broken(origin.folder, trusted=model.trust_remote_code, pickles=model.allow_pickle)
    return origin.folder


def shape_of(folder: Path) -> Shape:
    """Read a model's size from its config and the sizes of its weights."""
    config = read_config(folder)
    config |= config.get("text_config") or {}
    dtype = str(config.get("dtype") or config.get("torch_dtype") or "float32")
    plain = dtype in SIZES and not config.get("quantization_config")
    weights = _weights(folder)
    hidden, heads = config.get("hidden_size"), config.get("num_attention_heads")
    kv_values = None
    if hidden and heads and not config.get("kv_lora_rank"):
        kinds = config.get("layer_types") or ["attention"] * config["num_hidden_layers"]
        # A sliding window is counted whole, which is on the safe side; linear attention has none.
        caching = sum("attention" in kind and "linear" not in kind for kind in kinds)
        width = int(config.get("head_dim") or hidden // heads)
        kv_values = 2 * caching * (config.get("num_key_value_heads") or heads) * width
    return Shape(
        weights=weights,
        dtype=dtype,
        parameters=weights // SIZES[dtype] if plain else None,
        layers=int(config.get("num_hidden_layers") or 0),
        hidden=int(hidden or 0),
        kv_values=kv_values,
        longest=int(config.get("max_position_embeddings") or 0) or None,
        wide=_largest(config.get("intermediate_size")) or 4 * int(hidden or 0),
        vocabulary=int(config.get("vocab_size") or 0),
    )


def _largest(size: Any) -> int:
    """Read a size that may be given for each layer."""
    return max(map(int, size), default=0) if isinstance(size, list) else int(size or 0)


def _weights(folder: Path) -> int:
    """Sum up the weights, those of an unfinished download as its index promises them."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        return int(read_object(index)["metadata"]["total_size"])
    files = [*folder.glob("*.safetensors")] or [*folder.glob("*.bin")]
    if not files:
        raise FileNotFoundError(f"{folder} has no weights (*.safetensors)")
    return sum(file.stat().st_size for file in files)
