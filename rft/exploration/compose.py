"""Plug-ins of a recipe: made from its parameters, and refused where they cannot work together."""

from collections.abc import Sequence
from itertools import permutations
from typing import Any

from rft.errors import RFTError, suggestion
from rft.exploration import PLUGINS
from rft.exploration.plugin import Plugin
from rft.recipe import Grpo
from rft.recipe.parameters import read_parameters

# Losses whose policy term is TRL's clipped surrogate, which `replace` takes the place of.
SURROGATES = ("grpo", "bnpo", "dr_grpo", "dapo")

# Keys of GRPOConfig that multiply or clip the policy term again, where `replace` cannot follow.
NOT_FOLLOWED = ("importance_sampling_level", "off_policy_mask_threshold", "delta")


def plugins_of(grpo: Grpo) -> list[Plugin]:
    """Make the plug-ins in the order of the recipe, or say what is wrong with them."""
    made = [_made(name, parameters) for name, parameters in grpo.plugins.items()]
    for plugin in made:
        if reason := _alone(plugin, grpo):
            raise RFTError(f"grpo.plugins.{plugin.name}: {reason}")
    _refuse_together(made)
    options_of(grpo, made)
    return made


def options_of(grpo: Grpo, plugins: Sequence[Plugin]) -> dict[str, Any]:
    """Give the keys of TRL's GRPOConfig that the recipe and its plug-ins decide."""
    arguments: dict[str, Any] = {
        "loss_type": grpo.loss,
        "epsilon": grpo.clip,
        # In cispo it bounds the ratio itself, elsewhere its distance from 1.
        "epsilon_high": grpo.clip + (grpo.loss == "cispo"),
    }
    owners: dict[str, str] = {}
    for plugin in plugins:
        for key, value in plugin.options().items():
            if key in owners:
                raise RFTError(
                    f"grpo.plugins.{plugin.name}: {owners[key]} sets TRL's {key} too; remove one"
                )
            if key in grpo.args:
                raise RFTError(
                    f"grpo.args.{key}: the plug-in {plugin.name} sets it; remove one of the two"
                )
            owners[key] = plugin.name
            arguments[key] = value
    return arguments | grpo.args


def _made(name: str, parameters: dict[str, Any]) -> Plugin:
    if name not in PLUGINS:
        advice = suggestion(name, PLUGINS, otherwise="`rft grpo --list` lists them")
        raise RFTError(f'grpo.plugins: there is no "{name}"; {advice}')
    return read_parameters(PLUGINS[name], parameters, f"grpo.plugins.{name}")


def _alone(plugin: Plugin, grpo: Grpo) -> str | None:
    """Say why a plug-in would do nothing, or harm, with the recipe's other settings."""
    if plugin.start >= grpo.steps:
        return (
            f"it starts after step {plugin.start}, and grpo.steps is {grpo.steps}: it would never "
            "be active; lower start, or raise grpo.steps"
        )
    if "ratio" in plugin.needs and grpo.updates == 1:
        return (
            "with grpo.updates: 1 the policy that is trained is the one that sampled, the ratio is "
            "always 1, and it would do nothing; set grpo.updates: 2 or more"
        )
    if "reference" in plugin.needs and grpo.beta == 0:
        return "with grpo.beta: 0 there is no reference, and it would do nothing; set grpo.beta"
    if "verdicts" in plugin.needs and (grpo.reward.format or grpo.reward.length):
        return (
            "it learns from right and wrong alone, and grpo.reward.format or .length would count "
            "for nothing; remove them"
        )
    if plugin.replace or plugin.extra:
        if grpo.loss not in SURROGATES:
            return f"grpo.loss is {grpo.loss}; its own loss goes with {', '.join(SURROGATES)}"
        for key in NOT_FOLLOWED:
            if grpo.args.get(key) not in (None, "token"):
                return f"its own loss cannot follow grpo.args.{key}; remove one of the two"
    return plugin.refuse(grpo)


def _refuse_together(plugins: Sequence[Plugin]) -> None:
    for one, other in permutations(plugins, 2):
        if why := one.conflicts.get(other.name):
            raise RFTError(f"grpo.plugins: {one.name} and {other.name} exclude each other: {why}")
    owners = [plugin.name for plugin in plugins if plugin.owns_advantage]
    if len(owners) > 1:
        raise RFTError(
            f"grpo.plugins: {' and '.join(owners)} each replace GRPO's advantage; keep one"
        )
