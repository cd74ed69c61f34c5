"""Which model a server serves: the one that is to be sampled from, or one that passes for it."""

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rft.engines.endpoint import SHOWN, Endpoint, Failed, Refused, up_to_v1
from rft.errors import Interrupted, RFTError
from rft.foreign_text import short
from rft.model_folders.content import MARK
from rft.runs.models import ModelRef

# What we ask to have a trained model served as: its digest tells it from every other.
NAME = "rft-{}"


@dataclass(frozen=True)
class Served:
    """A model in a server's list."""

    root: str | None
    """The folder or Hub id that it was loaded from; vLLM tells."""
    limit: int | None
    """The tokens that it takes, prompt and completion together."""


@dataclass(frozen=True)
class Wanted:
    """The model that a server is asked for."""

    model: ModelRef
    name: str | None
    """What the recipe says it is called there; None for a model that the run trained."""
    longest: int
    """The tokens that it has to take, prompt and completion together."""


async def look(endpoint: Endpoint, client: Any, wanted: Wanted) -> str:
    """Find the name of the wanted model, and see that it can read as much as will be asked."""
    where = endpoint.where
    listed = await models_of(endpoint, client)
    if wanted.name is None:
        name = _trained(listed, wanted.model, where)
    else:
        name = _named(listed, wanted.name, where)
    _refuse_another(name, listed[name].root, wanted.model, where)
    limit = listed[name].limit
    if limit is not None and limit < wanted.longest:
        raise RFTError(
            f"{where}: the server takes {limit} tokens, prompt and completion together, and "
            f"up to {wanted.longest} are needed; lower max_tokens, or start the server with a "
            "longer context (vLLM: --max-model-len)"
        )
    return name


async def models_of(endpoint: Endpoint, client: Any) -> dict[str, Served]:
    """Ask for the server's list of models, which also shows whether the address is right."""
    where = endpoint.where
    try:
        # A typing error in the address should not take a minute to be told.
        return await endpoint.persist(
            client.models.with_streaming_response.list,
            2**24,
            served_models,
            retries=min(2, endpoint.most_retries),
        )
    except Refused as trouble:
        raise RFTError(f"{where}: {trouble}; {up_to_v1(endpoint.place)}") from None
    except Failed as trouble:
        if trouble.busy:
            raise Interrupted(f"{where}: {trouble}; run again later") from None
        raise RFTError(
            f"{where}: {trouble}; start the server, or {up_to_v1(endpoint.place)}"
        ) from None


def served_models(answer: Any) -> dict[str, Served]:
    """Read the list of models, by name; what a server does not tell is None."""
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(data, list):
        raise Failed("no list of models", broken=True)
    listed = {}
    for entry in data:
        name = entry.get("id") if isinstance(entry, dict) else None
        if not isinstance(name, str) or name != name.encode(errors="replace").decode():
            continue  # half a surrogate pair is JSON, and nothing to ask for
        root, limit = entry.get("root"), entry.get("max_model_len")
        listed[name] = Served(
            root if isinstance(root, str) else None,
            limit if type(limit) is int and 0 < limit < 2**31 else None,
        )
    return listed


def _named(listed: dict[str, Served], name: str, where: str) -> str:
    """Find the recipe's own model, which goes by the name that the recipe gives."""
    if name not in listed:
        shown = ", ".join(short(other, SHOWN) for other in list(listed)[:5]) or "no model"
        raise RFTError(
            f"{where}: the server has no model {name}, but {shown}; "
            "set engine.served_model, or serve the model"
        )
    return name


def _trained(listed: dict[str, Served], model: ModelRef, where: str) -> str:
    """Find a model that the run trained, by its content or its folder.

    Its name in the recipe is the base's, whose answers would pass for this model's.
    """
    own, folder = NAME.format(model.digest[:12]), _resolved(model.path)
    if own in listed:
        return own
    for name, each in listed.items():
        # Another digest in the name: loaded before the model in this folder was made anew.
        aged = re.fullmatch(NAME.format("[0-9a-f]{12}"), name)
        if each.root is not None and _resolved(each.root) == folder and not aged:
            return name
    raise RFTError(
        f"{where}: {model.path} is to be sampled from, which this run "
        f"trained, and the server has {_shown(listed)}; stop it, start it with `vllm serve "
        f"{shlex.quote(str(folder))} --served-model-name {own}{_port(where)}`, "
        "then run again"
    )


def _refuse_another(name: str, root: str | None, model: ModelRef, where: str) -> None:
    """Refuse a name under which another model of ours is served."""
    if root is not None and _digest_of_ours(root) not in (None, model.digest):
        raise RFTError(
            f"{where}: the server's {short(name, SHOWN)} is {short(root, SHOWN)}, and "
            f"{model.path} is to be sampled from; serve that one, then run again"
        )


def _resolved(place: str) -> Path | None:
    """Resolve a path that a server tells, which may be no path at all."""
    try:
        return Path(place).resolve()
    except (OSError, RuntimeError, ValueError):
        return None


def _digest_of_ours(root: str) -> str | None:
    """Give the digest of a folder that we made; None for any other."""
    try:
        return str(json.loads((Path(root) / MARK).read_bytes())["digest"])
    except (OSError, RecursionError, ValueError, KeyError, TypeError):
        return None


def _shown(listed: dict[str, Served]) -> str:
    """Name a few of the models that a server has, and what they are."""
    named = [
        short(name, 60) + (f" ({short(each.root, 80)})" if each.root else "")
        for name, each in list(listed.items())[:2]
    ]
    return ", ".join([*named, *(["others"] if len(listed) > 2 else [])]) or "no model"


def _port(where: str) -> str:
    """Give the option that has a server listen where we look."""
    port = re.search(r":(\d+)(?:/|$)", where)
    return f" --port {port[1]}" if port else ""
