"""A model folder looked over before anything of it is loaded: what is missing, broken or unsafe.

Nothing is allocated by what a config claims: its sizes are held against the tensors that are there.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rft.errors import RFTError
from rft.foreign_text import short
from rft.model_folders.reading import MEND, Described, read_object, regular_file, tensors_of

INDEX = "model.safetensors.index.json"
# Whatever transformers and vLLM read beside the weights, if it is there.
READ = (
    *("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"),
    *("tokenizer.model", "special_tokens_map.json", "added_tokens.json", "vocab.json"),
    *("merges.txt", "chat_template.jinja", "chat_template.json"),
)
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
# Weights as pickles: loading one may run what it says.
PICKLES = ("*.bin", "*.pt", "*.pth")
# What trainers leave beside weights.
NO_WEIGHTS = {"training_args.bin", "optimizer.pt", "optimizer.bin", "scheduler.pt", "rng_state.pth"}
DTYPES = {"auto", "float16", "bfloat16", "float32", "float64", "float8_e4m3fn", "float8_e5m2"}
# Sizes in a config: what a module is made of, and how many modules there are.
SIZE = re.compile(r"(?:^|_)(?:size|dim|heads?|rank|embd|inner|model|ff)$")
COUNT = re.compile(r"(?:^|_)(?:layers?|blocks|experts|labels|codebooks|stages|depth)$")
# Below these a wrong size costs little, and is told with the tensors that do not fit.
FEW, SMALL = 256, 1 << 20


def refuse_broken(folder: Path, *, trusted: bool = False, pickles: bool = False) -> None:
    """Refuse a folder that is no model, or whose files are not what they should be."""
    if not folder.is_dir():
        raise RFTError(f"{folder}: there is no model folder here; {MEND}")
    config = read_config(folder)
    for name in READ:
        regular_file(folder / name)
    if not any(regular_file(folder / name) for name in TOKENIZERS):
        raise RFTError(
            f"{folder}: not a model folder, it has no tokenizer (tokenizer.json or tokenizer.model)"
        )
    if regular_file(folder / "adapter_config.json"):
        raise RFTError(
            f"{folder}: it has an adapter_config.json: an adapter is loaded into whatever base "
            "that names; merge it into its base, and give the folder of the merged model"
        )
    if not trusted:
        refuse_kernels(folder, config)
    refuse_dtypes(folder, config)
    refuse_odd_tokens(folder / "config.json", config)
    if regular_file(folder / "generation_config.json"):
        told = read_object(folder / "generation_config.json")
        refuse_odd_tokens(folder / "generation_config.json", told)
    if regular_file(folder / "tokenizer_config.json"):
        refuse_odd_template(folder / "tokenizer_config.json")
    tensors = weights_of(folder, pickles=pickles)
    if tensors is not None:
        refuse_absurd_sizes(folder, config, tensors)
        if not quantised(config):
            refuse_whole_numbers(folder, tensors)


def read_config(folder: Path) -> dict[str, Any]:
    """Read the config of a model folder."""
    path = folder / "config.json"
    if not regular_file(path):
        raise RFTError(f"{folder}: not a model folder, it has no config.json")
    return read_object(path)


def quantised(config: dict[str, Any]) -> bool:
    """Say whether weights are stored in another form than they compute in."""
    return bool(config.get("quantization_config"))


def sections(config: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """List the keys of a config and of the configs in it, such as text_config."""
    left = [config]
    while left:
        for key, value in left.pop().items():
            yield key, value
            if isinstance(value, dict):
                left.append(value)


def refuse_kernels(folder: Path, config: dict[str, Any]) -> None:
    """Refuse kernels by name, which are code out of the Hub."""
    for key, value in sections(config):
        if key.endswith("implementation") and isinstance(value, str) and "/" in value:
            raise RFTError(
                f"{folder / 'config.json'}: {key}: {short(value)} is code from the Hub, which is "
                "not run; set model.trust_remote_code: true if you trust it, or remove the key"
            )


def refuse_dtypes(folder: Path, config: dict[str, Any]) -> None:
    """Refuse numbers that there are not: transformers takes the name for one of torch's."""
    for key, value in sections(config):
        if key in ("dtype", "torch_dtype") and value is not None:
            name = value.removeprefix("torch.") if isinstance(value, str) else None
            if name not in DTYPES:
                raise RFTError(
                    f"{folder / 'config.json'}: {key}: {short(str(value))} is no type of numbers; "
                    f"{MEND}"
                )


def refuse_odd_tokens(path: Path, told: dict[str, Any]) -> None:
    """Refuse special tokens that are no numbers of tokens."""
    for key in ("bos_token_id", "eos_token_id", "pad_token_id"):
        value = told.get(key)
        for each in value if isinstance(value, list) else [value]:
            # -1 stands for none in some configs.
            if each is not None and (type(each) is not int or not -1 <= each < 2**31):
                raise RFTError(f"{path}: {key}: {short(str(each))} is no number of a token; {MEND}")


def refuse_odd_template(path: Path) -> None:
    """Refuse a chat template that is neither a text nor named texts."""
    template = read_object(path).get("chat_template")
    named = template if isinstance(template, list) else []
    texts = [each.get("template") if isinstance(each, dict) else None for each in named]
    if not named and template is not None:
        texts = [*template.values()] if isinstance(template, dict) else [template]
    if not all(isinstance(text, str) for text in texts):
        raise RFTError(f"{path}: chat_template is not text; {MEND}")


# Weights ------------------------------------------------------------------------------------------


def weights_of(folder: Path, *, pickles: bool = False) -> dict[str, Described] | None:
    """Read what tensors there are by the files' headers; None where they are in pickles."""
    files = [path for path in sorted(folder.glob("*.safetensors")) if regular_file(path)]
    single = folder / "model.safetensors"
    if single in files:
        return tensors_of(single)
    if regular_file(folder / INDEX):
        return _of_the_index(folder)
    if files:
        return {name: each for path in files for name, each in tensors_of(path).items()}
    there = pickles_in(folder)
    if not there:
        raise RFTError(f"{folder}: not a model folder, it has no weights (*.safetensors)")
    if not pickles:
        raise RFTError(
            f"{folder}: its weights are pickles ({there[0].name}), and loading a pickle may "
            "run code; get it as safetensors, or set model.allow_pickle: true if you trust it"
        )
    return None


def pickles_in(folder: Path) -> list[Path]:
    """List the weights of a folder that are pickles."""
    every = sorted(path for pattern in PICKLES for path in folder.glob(pattern))
    return [path for path in every if path.name not in NO_WEIGHTS and regular_file(path)]


def _of_the_index(folder: Path) -> dict[str, Described]:
    """Read the tensors of all shards, which have to be in the folder and hold what is promised."""
    index = folder / INDEX
    told = read_object(index)
    if not isinstance(told.get("metadata"), dict):
        raise RFTError(f"{index}: it has no metadata; {MEND}")
    shards = told.get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise RFTError(f"{index}: it has no weight_map (tensor -> file); {MEND}")
    tensors: dict[str, Described] = {}
    for shard in dict.fromkeys(map(str, shards.values())):
        if not shard.endswith(".safetensors") or Path(shard).name != shard:
            raise RFTError(f"{index}: {short(shard)} is no safetensors file of this folder; {MEND}")
        if not regular_file(folder / shard):
            raise RFTError(f"{index}: {short(shard)} is not there; {MEND}")
        tensors |= tensors_of(folder / shard)
    for name in shards:
        if name not in tensors:
            raise RFTError(f"{index}: no file of it holds {short(name)[:100]}; {MEND}")
    return tensors


def refuse_absurd_sizes(
    folder: Path, config: dict[str, Any], tensors: dict[str, Described]
) -> None:
    """Refuse a config that would have far more made than there are weights for."""
    numbers = sum(each.numbers for each in tensors.values())
    widest = max((size for each in tensors.values() for size in each.shape), default=0)
    for key, value in sections(config):
        if not isinstance(value, int | float):
            continue
        if COUNT.search(key):
            most = max(FEW, len(tensors), 0 if "layer" in key else widest)
        elif SIZE.search(key):
            most = max(SMALL, numbers)
        else:
            continue
        if not 0 <= value <= most and value != -1:
            raise RFTError(
                f"{folder / 'config.json'}: {key}: {short(str(value))[:40]}, but the weights are "
                f"{len(tensors):,} tensors of {numbers:,} numbers in all; {MEND}"
            )


def refuse_whole_numbers(folder: Path, tensors: dict[str, Described]) -> None:
    """Refuse weights that are whole numbers, which would be loaded as if they were not."""
    for name, each in tensors.items():
        if name.endswith(".weight") and not each.dtype.startswith(("F", "BF")):
            raise RFTError(
                f"{folder}: {short(name)[:100]} holds numbers of type {each.dtype}, and no "
                f"quantization_config in config.json explains them; {MEND}"
            )
