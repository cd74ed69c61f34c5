"""Exploration plug-ins as a list: what each says of itself, and which settings are refused.

Run: python -m pytest tests/exploration/test_exploration.py
"""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from rft.exploration import PLUGINS
from rft.exploration.preset import Preset
from tests.command import ROOT

METHODS = (ROOT / "docs/reference/methods.md").read_text()

HOOKS = (
    *("reward", "advantage", "adjust", "columns", "shape", "weight"),
    *("clip", "replace", "extra", "on_step"),
)
NEEDS = {"old_logps", "entropies", "ratio", "reference", "verdicts"}
# What has no default.
REQUIRED = {
    "pass_at_k": {"k": 4},
    "entropy_gate": {"high": 2.0, "low": 1.0},
    "reference_reset": {"every": 100},
}
PRESETS = {name: kind for name, kind in PLUGINS.items() if issubclass(kind, Preset)}


def make(name, **parameters):
    return PLUGINS[name].model_validate(REQUIRED.get(name, {}) | parameters)


def hooks_of(kind):
    return {hook for hook in HOOKS if getattr(kind, hook) is not None}


@pytest.mark.parametrize("name", PLUGINS)
def test_each_plugin_names_itself_and_its_paper(name):
    kind = PLUGINS[name]
    assert kind.name == name
    assert kind.__module__ == f"rft.exploration.{name}"
    assert f"arXiv {kind.arxiv}" in kind.__doc__
    first, blank, *_ = kind.__doc__.splitlines()
    assert len(first) <= 90
    assert first.endswith(".")
    assert not blank
    told = " ".join(kind.__doc__.lower().split())
    assert "default" in told or "it has no parameters" in told
    for part in ("needs ", "conflicts with", "undecided in the literature:"):
        assert part in told
    assert kind.needs <= NEEDS


@pytest.mark.parametrize("name", PLUGINS)
def test_each_plugin_has_a_hook_or_options(name):
    kind = PLUGINS[name]
    if name in PRESETS:
        assert not hooks_of(kind)
        assert make(name).options()
    else:
        assert hooks_of(kind)
        assert make(name).options() == {}
    assert kind.owns_advantage == ("advantage" in hooks_of(kind))


@pytest.mark.parametrize("name", PLUGINS)
def test_a_field_never_hides_a_hook(name):
    assert not set(PLUGINS[name].model_fields) & {*HOOKS, "needs", "conflicts", "name", "options"}


@pytest.mark.parametrize("name", PLUGINS)
def test_parameters_come_back_from_the_stored_recipe(name):
    plugin = make(name)
    assert type(plugin).model_validate(plugin.model_dump(mode="json")) == plugin


def test_conflicts_are_between_plugins_that_exist():
    for kind in PLUGINS.values():
        for other, why in kind.conflicts.items():
            assert other in PLUGINS
            assert other != kind.name
            assert len(why.split()) > 5


def test_the_conflicts():
    pairs = {frozenset({name, other}) for name, kind in PLUGINS.items() for other in kind.conflicts}
    assert pairs == {
        frozenset(pair)
        for pair in (
            ("entropy_advantage", "response_entropy"),
            ("clip_cov", "kl_cov"),
            ("kl_cov", "clip_higher"),
            ("entropy_bonus", "entropy_target"),
            ("entropy_gate", "nsr"),
            ("entropy_gate", "psr"),
        )
    }


def test_listing_plugins_loads_nothing_heavy():
    code = "import sys, rft.exploration; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "rft.exploration.kl_cov" in loaded
    assert not {"torch", "trl", "transformers", "numpy", "polars"} & loaded


def test_presets_are_options_of_trl():
    spec = importlib.util.find_spec("trl")
    config = (Path(spec.origin).parent / "trainer" / "grpo_config.py").read_text()
    for name in PRESETS:
        for key in make(name).options():
            assert f"\n    {key}: " in config, key


@pytest.mark.parametrize(
    ("name", "parameters", "options"),
    [
        ("clip_higher", {}, {"epsilon": 0.2, "epsilon_high": 0.28}),
        ("clip_higher", {"low": 0.1, "high": 4}, {"epsilon": 0.1, "epsilon_high": 4}),
        ("high_entropy_tokens", {}, {"top_entropy_quantile": 0.2}),
        ("high_entropy_tokens", {"share": 0.5}, {"top_entropy_quantile": 0.5}),
        ("token_level_loss", {}, {"loss_type": "dapo"}),
        ("overlong_mask", {}, {"mask_truncated_completions": True}),
        ("entropy_bonus", {}, {"entropy_coef": 0.001}),
        ("entropy_bonus", {"coefficient": 0.1}, {"entropy_coef": 0.1}),
        (
            "entropy_target",
            {},
            {
                "use_adaptive_entropy": True,
                "entropy_target": 0.2,
                "entropy_coef_delta": 0.005,
                "entropy_coef": 0.0,
                "entropy_coef_min": 0.0,
                "entropy_coef_max": 1.0,
            },
        ),
        (
            "entropy_target",
            {"target": 0.5, "delta": 0.01, "initial": 0.02, "most": 0.3},
            {
                "use_adaptive_entropy": True,
                "entropy_target": 0.5,
                "entropy_coef_delta": 0.01,
                "entropy_coef": 0.02,
                "entropy_coef_min": 0.0,
                "entropy_coef_max": 0.3,
            },
        ),
    ],
)
def test_presets_give_what_trl_calls_it(name, parameters, options):
    assert make(name, **parameters).options() == options


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("window", [{"start": 1}, {"steps": 10}])
def test_presets_hold_for_the_whole_training(name, window):
    with pytest.raises(ValidationError, match="whole training"):
        make(name, **window)


@pytest.mark.parametrize("name", [name for name in PLUGINS if name not in PRESETS])
def test_the_others_have_a_window(name):
    plugin = make(name, start=3, steps=2)
    assert [step for step in range(1, 9) if plugin.active(step)] == [4, 5]


def test_the_defaults_are_those_of_papers_and_released_code():
    window = {"start", "steps"}
    found = {name: make(name).model_dump(exclude=window) for name in PLUGINS}
    assert {name: values for name, values in found.items() if values} == {
        "entropy_advantage": {"alpha": 0.4, "kappa": 2},
        "perplexity_advantage": {"alpha": 0.01, "clamp": None},
        "position_advantage": {"gamma": 0.1, "d": 1, "m": 15, "n": 0.5, "cap": 0.5},
        "w_reinforce": {"right": 0.1},
        "pass_at_k": REQUIRED["pass_at_k"],
        "clip_cov": {"share": 0.0002, "low": 1, "high": 5},
        "kl_cov": {"share": 0.002, "beta": 1},
        "steer": {"form": "linear", "low": 0.8, "high": 1.2},
        "entropy_gate": REQUIRED["entropy_gate"],
        "reference_reset": {"every": 100, "patience": None, "window": 10},
        "clip_higher": {"low": 0.2, "high": 0.28},
        "high_entropy_tokens": {"share": 0.2},
        "entropy_bonus": {"coefficient": 0.001},
        "entropy_target": {"target": 0.2, "delta": 0.005, "initial": 0, "most": 1},
    }


def test_position_advantage_waits_for_the_plateau():
    plugin = make("position_advantage")
    assert [step for step in range(1, 1000) if plugin.active(step)] == list(range(201, 301))


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("entropy_advantage", {"alpha": 0}),
        ("entropy_advantage", {"alpha": -0.1}),
        ("entropy_advantage", {"kappa": 1}),
        ("entropy_advantage", {"start": -1}),
        ("entropy_advantage", {"steps": 0}),
        ("entropy_advantage", {"beta": 1}),
        ("perplexity_advantage", {"alpha": 0}),
        ("perplexity_advantage", {"clamp": [1.2, 0.8]}),
        ("perplexity_advantage", {"clamp": [1, 1]}),
        ("perplexity_advantage", {"clamp": [0, 1]}),
        ("perplexity_advantage", {"clamp": [0.8]}),
        ("position_advantage", {"d": 0}),
        ("position_advantage", {"d": 2}),
        ("position_advantage", {"gamma": 0}),
        ("position_advantage", {"m": -15}),
        ("position_advantage", {"n": float("inf")}),
        ("position_advantage", {"cap": 0}),
        ("w_reinforce", {"right": 0}),
        ("w_reinforce", {"right": -0.1}),
        ("pass_at_k", {"k": 1}),
        ("pass_at_k", {"k": None}),
        ("pass_at_k", {"k": 2.5}),
        ("clip_cov", {"share": 0}),
        ("clip_cov", {"share": 1}),
        ("clip_cov", {"low": 5, "high": 1}),
        ("clip_cov", {"low": 1, "high": 1}),
        ("kl_cov", {"share": 0}),
        ("kl_cov", {"share": 1.5}),
        ("kl_cov", {"beta": 0}),
        ("steer", {"form": "square"}),
        ("steer", {"low": 0}),
        ("steer", {"low": 1}),
        ("steer", {"low": 0.8, "high": 0.8}),
        ("steer", {"low": 0.8, "high": 0.5}),
        ("entropy_gate", {"high": 1.0, "low": 1.0}),
        ("entropy_gate", {"high": 1.0, "low": 2.0}),
        ("entropy_gate", {"high": None}),
        ("entropy_gate", {"low": 0}),
        ("reference_reset", {"every": 0}),
        ("reference_reset", {"every": None}),
        ("reference_reset", {"every": 5, "patience": 5}),
        ("reference_reset", {"every": None, "patience": 0}),
        ("reference_reset", {"every": None, "patience": 5, "window": 0}),
        ("clip_higher", {"low": 0}),
        ("clip_higher", {"low": 1}),
        ("clip_higher", {"low": 0.3}),
        ("clip_higher", {"high": 0.2}),
        ("high_entropy_tokens", {"share": 0}),
        ("high_entropy_tokens", {"share": 1}),
        ("token_level_loss", {"share": 0.5}),
        ("overlong_mask", {"buffer": 5}),
        ("entropy_bonus", {"coefficient": 0}),
        ("entropy_target", {"target": 0}),
        ("entropy_target", {"delta": 0}),
        ("entropy_target", {"initial": -1}),
        ("entropy_target", {"initial": 2}),
    ],
)
def test_a_parameter_out_of_range_is_refused(name, parameters):
    with pytest.raises(ValidationError):
        make(name, **parameters)


@pytest.mark.parametrize("name", REQUIRED)
def test_what_has_no_default_has_to_be_given(name):
    with pytest.raises(ValidationError):
        PLUGINS[name].model_validate({})


@pytest.mark.parametrize("given", [{"high": 1.0}, {"low": 1.0}])
def test_the_entropy_gate_has_no_default_bound(given):
    with pytest.raises(ValidationError, match="Field required"):
        PLUGINS["entropy_gate"].model_validate(given)


def settings(**given):
    """Make the settings of `grpo` that plug-ins look at."""
    return SimpleNamespace(**({"n": 8, "loss": "grpo", "lora": None, "args": {}} | given))


@pytest.mark.parametrize("name", PLUGINS)
def test_no_plugin_refuses_plain_settings(name):
    assert make(name).refuse(settings()) is None


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("pass_at_k", {"n": 4}, "k is 4 and grpo.n is 4"),
        ("pass_at_k", {"n": 3}, "k is 4 and grpo.n is 3"),
        ("reference_reset", {"lora": object()}, "remove grpo.lora"),
        ("reference_reset", {"args": {"sync_ref_model": True}}, "grpo.args.sync_ref_model"),
        ("clip_higher", {"loss": "cispo"}, "grpo.loss: cispo"),
        ("clip_higher", {"loss": "sapo"}, "grpo.loss: sapo"),
        ("token_level_loss", {"loss": "dapo"}, "would change nothing"),
        ("token_level_loss", {"loss": "dr_grpo"}, "grpo.loss: dr_grpo"),
    ],
)
def test_a_plugin_that_would_do_nothing_or_harm_says_why(name, given, words):
    assert words in make(name).refuse(settings(**given))


def test_pass_at_k_needs_two_sets_to_compare():
    assert make("pass_at_k").refuse(settings(n=5)) is None


def test_each_plugin_has_a_row_in_the_table_of_methods():
    online, _, _ = METHODS.partition("\n## Objectives of fine-tuning\n")
    rows = [
        [cell.strip() for cell in line.split(" | ")]
        for line in online.splitlines()
        if line.startswith("| `")
    ]
    assert [row[0].strip("| `") for row in rows] == list(PLUGINS)
    assert [row[3] for row in rows] == [plugin.arxiv for plugin in PLUGINS.values()]
