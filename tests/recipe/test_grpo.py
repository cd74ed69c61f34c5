"""Pins what a recipe of online training may ask for: what cannot work is refused in one line.

Run: python -m pytest tests/recipe/test_grpo.py
"""

import pytest
from click.testing import CliRunner

from pipelines.perform import check_recipe
from rft.cli import cli
from rft.errors import RFTError
from rft.exploration import PLUGINS
from rft.exploration.compose import options_of, plugins_of
from rft.recipe.loading import dump, load_recipe, settings_differences
from rft.training.arguments import check_trainer_arguments


def refusal(*settings: str, plugins: str = "{}") -> str:
    """Give the line with which a recipe is refused."""
    changes = [f"grpo.plugins={plugins}", *(f"grpo.{setting}" for setting in settings)]
    with pytest.raises(RFTError) as caught:
        plugins_of(load_recipe("grpo-quickstart", changes).grpo)
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    ("plugins", "settings", "text"),
    [
        ("{entropy_advantge: {}}", [], 'did you mean "entropy_advantage"?'),
        ("{zzz: {}}", [], "`rft grpo --list` lists them"),
        ("{entropy_advantage: {alpa: 1}}", [], 'entropy_advantage.alpa: unknown; did you mean "al'),
        ("{entropy_advantage: {alpha: 0.0}}", [], "alpha: 0.0: input should be greater than 0"),
        ("{entropy_advantage: {alpha: much}}", [], 'alpha: "much": input should be a valid number'),
        ("{entropy_gate: {high: 1.0}}", [], "entropy_gate.low: missing; it has no default"),
        ("{entropy_gate: {high: 1.0, low: 2.0}}", [], "low is 2.0 and high is 1.0"),
        ("{clip_higher: {}}", ["updates=1"], "ratio is always 1, and it would do nothing"),
        ("{kl_cov: {}}", ["updates=1"], "ratio is always 1, and it would do nothing"),
        ("{reference_reset: {every: 5}}", [], "with grpo.beta: 0 there is no reference"),
        ("{reference_reset: {every: 5}}", ["beta=0.1", "lora={r: 4, alpha: 8.0}"], "adapters off"),
        ("{position_advantage: {}}", ["steps=200"], "it starts after step 200, and grpo.steps is"),
        ("{pass_at_k: {k: 9}}", [], "k is 9"),
        ("{pass_at_k: {k: 1}}", [], "k: 1: input should be greater than or equal to 2"),
        ("{token_level_loss: {}}", ["loss=dapo"], "dapo"),
        ("{clip_higher: {start: 3}}", [], "start"),
        ("{nsr: {}}", ["reward.format=0.5"], "it learns from right and wrong alone"),
        ("{w_reinforce: {}}", ["reward.length={buffer: 8}"], "it learns from right and wrong"),
        ("{nsr: {}, psr: {}}", [], "nsr and psr each replace GRPO's advantage"),
        ("{clip_cov: {}, kl_cov: {}}", [], "clip_cov and kl_cov exclude each other"),
        ("{clip_higher: {}, kl_cov: {}}", [], "exclude each other: kl_cov clips nothing"),
        ("{response_entropy: {}, entropy_advantage: {}}", [], "exclude each other"),
        ("{entropy_bonus: {}, entropy_target: {}}", [], "exclude each other"),
        ("{kl_cov: {}}", ["loss=cispo"], "its own loss goes with grpo, bnpo, dr_grpo, dapo"),
        ("{kl_cov: {}}", ["loss=sapo"], "its own loss goes with grpo, bnpo, dr_grpo, dapo"),
        ("{kl_cov: {}, steer: {}, clip_cov: {}}", [], "kl_cov and clip_cov exclude each other"),
        ("{kl_cov: {}, clip_higher: {}}", [], "exclude each other: kl_cov clips nothing"),
        ("{kl_cov: {}}", ["args={delta: 2.0}"], "cannot follow grpo.args.delta"),
        ("{kl_cov: {}}", ["args={off_policy_mask_threshold: 0.5}"], "cannot follow grpo.args.off"),
        ("{kl_cov: {}}", ["args={importance_sampling_level: sequence}"], "cannot follow grpo.args"),
    ],
)
def test_a_plugin_that_cannot_work_is_refused_by_name(plugins, settings, text):
    assert text in refusal(*settings, plugins=plugins)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("rounds=2", "online training (grpo) makes one model; set rounds: 1"),
        ("engine={kind: replay, path: x}", "was never recorded; set engine.kind: transformers"),
        ("prompt.stop=[END]", "ends answers at tokens only; set prompt.stop: []"),
        ("grpo.updates=3", "updates is 3, which does not divide the 128 answers of a step"),
        ("grpo.micro_batch=48", "micro_batch is 48, which does not divide the"),
        ("grpo.n=1", "grpo.n is 1, and should be at least 2"),
        ("grpo.reward.wrong=1.0", "a right answer has to be worth more"),
        ("grpo.reward.length={buffer: 999}", "reward.length.buffer is 999, more than max_tokens"),
        ("grpo.args={num_iterations: 2}", "args.num_iterations is set by the grpo stage itself"),
        ("grpo.args={loss_type: dapo}", "set grpo.loss instead"),
        ("grpo.args={entropy_coef: 0.1}", "set grpo.plugins.entropy_bonus instead"),
        ("grpo.args={fp16: true}", "exclude each other; set bf16: false"),
        ("grpo.stepz=1", 'did you mean "grpo.steps"'),
        ("grpo.loss=luspo", "grpo.loss"),
    ],
)
def test_a_recipe_that_cannot_work_is_refused_in_one_line(change, text):
    with pytest.raises(RFTError) as caught:
        load_recipe("grpo-quickstart", [change])
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("mode", ["colocate", "server"])
@pytest.mark.parametrize(
    ("change", "place"),
    [
        ("top_p=0.95", "top_p is 0.95"),
        ("args={top_k: 20}", "args.top_k is 20"),
        ("args={min_p: 0.05}", "args.min_p is 0.05"),
        ("args={repetition_penalty: 1.1}", "args.repetition_penalty is 1.1"),
        ("args={vllm_structured_outputs_regex: a+}", 'args.vllm_structured_outputs_regex is "a+"'),
        ("args={generation_kwargs: {top_p: 0.9}}", "args.generation_kwargs.top_p is 0.9"),
        ("args={generation_kwargs: {temperature: 0.7}}", "generation_kwargs.temperature is 0.7"),
        ("args={generation_kwargs: {bad_words: [x]}}", 'generation_kwargs.bad_words is ["x"]'),
    ],
)
def test_a_cut_distribution_is_refused_where_vllm_draws_from_it(change, place, mode):
    with pytest.raises(RFTError) as caught:
        check_recipe(load_recipe("grpo-quickstart", [f"grpo.vllm={mode}", f"grpo.{change}"]))
    assert f"{place}, and grpo.vllm is {mode}: " in str(caught.value)
    assert "\n" not in str(caught.value)
    # What transformers draws is not corrected.
    check_recipe(load_recipe("grpo-quickstart", [f"grpo.{change}"]))


def test_what_cuts_nothing_goes_with_vllm():
    args = (
        "{top_k: 0, min_p: null, repetition_penalty: 1.0, generation_kwargs: {top_p: 1.0, seed: 3}}"
    )
    check_recipe(load_recipe("grpo-quickstart", ["grpo.vllm=colocate", f"grpo.args={args}"]))


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ("{generation_kwargs: [1]}", r"generation_kwargs is .*; write a mapping"),
        ("{vllm_importance_sampling_cap: 2.0}", "set vllm_importance_sampling_clip_max instead"),
    ],
)
def test_arguments_for_vllm_are_said_in_one_way(args, text):
    with pytest.raises(RFTError, match=text):
        check_recipe(load_recipe("grpo-quickstart", ["grpo.vllm=server", f"grpo.args={args}"]))


def test_plugins_keep_the_recipes_order_and_nothing_after_a_name_is_no_parameters():
    recipe = load_recipe("grpo-quickstart", ["grpo.plugins={steer: , clip_cov: , nsr: }"])
    assert [plugin.name for plugin in plugins_of(recipe.grpo)] == ["steer", "clip_cov", "nsr"]


def test_presets_are_options_of_trl():
    plugins = "{clip_higher: , token_level_loss: , high_entropy_tokens: , overlong_mask: }"
    grpo = load_recipe("grpo-quickstart", [f"grpo.plugins={plugins}"]).grpo
    options = options_of(grpo, plugins_of(grpo))
    assert (options["epsilon"], options["epsilon_high"]) == (0.2, 0.28)
    assert options["loss_type"] == "dapo"
    assert options["top_entropy_quantile"] == 0.2
    assert options["mask_truncated_completions"] is True


def test_null_after_a_plugin_or_a_rule_is_refused_where_it_could_mean_off():
    for key in ("grpo.plugins.entropy_advantage", "filter.no_box"):
        with pytest.raises(RFTError, match=r"write \{\} for that, or give all of"):
            load_recipe("grpo-quickstart", [f"{key}=null"])
    assert load_recipe("grpo-quickstart", ["grpo.plugins={}"]).grpo.plugins == {}


def test_a_value_that_trl_cannot_use_is_seen_before_anything_is_spent():
    for args, text in (
        ("{weight_decay: abc}", "grpo.args.weight_decay is 'abc', which TRL cannot use"),
        ("{weight_dekay: 0.1}", 'did you mean "weight_decay"'),
    ):
        with pytest.raises(RFTError) as caught:
            check_trainer_arguments(load_recipe("grpo-quickstart", [f"grpo.args={args}"]))
        assert text in str(caught.value)
    fine = "{weight_decay: 0.1, optim: adamw_torch, log_completions: true, generation_kwargs: {}}"
    check_trainer_arguments(load_recipe("grpo-quickstart", [f"grpo.args={fine}"]))


def test_one_plugin_is_described_with_its_parameters():
    done = CliRunner().invoke(cli, ["grpo", "--list", "entropy_gate"])
    assert done.exit_code == 0
    assert "arXiv 2512.12967" in done.output
    assert "  high (required)  Above this entropy" in done.output
    wrong = CliRunner().invoke(cli, ["grpo", "--list", "entropy_gat"])
    assert wrong.exit_code == 2
    assert 'did you mean "entropy_gate"?' in wrong.output


def test_a_key_that_a_plugin_sets_cannot_be_an_argument_too():
    text = refusal("args={entropy_target: 0.5}", plugins="{entropy_target: {}}")
    assert "grpo.args.entropy_target: the plug-in entropy_target sets it" in text


def test_arguments_of_trls_reach_it_and_plugins_may_not_set_the_same_key():
    args = "grpo.args={importance_sampling_level: token, top_k: 5}"
    grpo = load_recipe("grpo-quickstart", ["grpo.plugins={kl_cov: }", args]).grpo
    assert options_of(grpo, plugins_of(grpo))["top_k"] == 5
    [one] = plugins_of(load_recipe("grpo-quickstart", ["grpo.plugins={clip_higher: }"]).grpo)
    with pytest.raises(RFTError, match="clip_higher sets TRL's epsilon too; remove one"):
        options_of(grpo, [one, one])


def test_a_micro_batch_divides_the_answers_of_an_optimizer_step():
    with pytest.raises(RFTError, match="micro_batch is 128, which does not divide the 64 answers"):
        load_recipe("grpo-quickstart", ["grpo.updates=2", "grpo.micro_batch=128"])


def test_the_list_has_a_line_for_each_plugin():
    done = CliRunner().invoke(cli, ["grpo", "--list"])
    assert done.exit_code == 0
    lines = done.output.splitlines()
    assert [line.split()[0] for line in lines] == list(PLUGINS)
    assert all(len(line) <= 120 and line.endswith(".") for line in lines)


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (["run", "grpo-quickstart"], "`rft grpo grpo-quickstart` runs it"),
        (["grpo", "quickstart"], "it has no section `grpo`"),
        (["grpo", "grpo-quikstart"], 'did you mean "grpo-quickstart"?'),
        (["grpo", "grpo-quickstart", "--model", "./nowhere"], "model.path: './nowhere' is not a"),
        (["grpo", "grpo-quickstart", "--model", "runs/none@2"], "there is no run folder runs/none"),
        (["grpo"], "give RECIPE, or --list"),
        (["grpo", "grpo-quickstart", "--set", "grpo.vllm=colocate"], "vllm is not installed here"),
    ],
)
def test_the_command_refuses_in_one_line_and_leaves_nothing(command, text, tmp_path):
    out = tmp_path / "run"
    more = ["--out", str(out)] if len(command) > 1 else []
    done = CliRunner().invoke(cli, [*command, *more])
    assert done.exit_code == 2
    assert text in done.output
    assert not out.exists()


@pytest.mark.parametrize(
    ("recipe", "command", "text"),
    [
        (
            "grpo-quickstart",
            ["sample"],
            "a run of online training has no stage `sample`; `rft grpo",
        ),
        ("grpo-quickstart", ["sft"], "a run of online training has no stage `sft`"),
        ("smoke", ["grpo", "--round", "1"], "a run of rounds has no stage `grpo`; `rft run"),
    ],
)
def test_a_stage_of_the_other_kind_of_run_is_refused(recipe, command, text, tmp_path):
    (tmp_path / "recipe.yaml").write_text(dump(load_recipe(recipe)))
    done = CliRunner().invoke(cli, [command[0], str(tmp_path), *command[1:]])
    assert done.exit_code == 2
    assert text in done.output


def test_a_plan_of_online_training_says_what_it_draws():
    done = CliRunner().invoke(cli, ["grpo", "grpo-quickstart", "--plan", "--out", "/nonexistent/x"])
    assert done.exit_code == 0, done.output
    assert [line.split()[0] for line in done.output.splitlines()[-6:-1] if line.strip()] == [
        "evaluate",
        "round",
        "grpo",
        "evaluate",
        "gate",
    ]
    assert "answers and" in done.output.splitlines()[-1]


def test_an_unused_key_of_training_does_not_make_it_outdated(tmp_path):
    from pipelines import grpo as stage
    from rft.runs.folder import Run

    recipe = load_recipe("grpo-quickstart")

    def settings(*changes: str) -> dict:
        return stage.settings(Run(tmp_path, load_recipe("grpo-quickstart", changes)), 1)

    assert settings() == settings("sft.learning_rate=1.0", "select.budget=7", "grpo.save_every=1")
    assert settings() == settings("grpo.micro_batch=8")
    # Where TRL averages over a micro-batch, its size is a part of the method.
    assert settings("grpo.loss=bnpo") != settings("grpo.loss=bnpo", "grpo.micro_batch=8")
    forks = "grpo.plugins={high_entropy_tokens: }"
    assert settings(forks) != settings(forks, "grpo.micro_batch=8")
    assert settings() != settings("grpo.steps=3")
    assert settings() != settings("grpo.plugins.entropy_advantage.alpha=0.3")
    # What is TRL's default is written down too.
    assert settings()["defaults"] == stage.DEFAULTS | {"dtype": "float32"}
    for change in ("seed=5", "prompt.system=Think.", "grade.deadline=9.0"):
        assert settings() != settings(change)
    # A default that is written out is the same setting.
    assert settings() == settings("grpo.plugins={entropy_advantage: {}}")
    assert recipe.grpo is not None


def test_another_order_of_plugins_is_another_setting():
    one, other = (
        load_recipe("grpo-quickstart", [f"grpo.plugins={{{names}}}"])
        for names in ("nsr: , steer: ", "steer: , nsr: ")
    )
    assert settings_differences(one, other) == [
        ("grpo.plugins", ["nsr", "steer"], ["steer", "nsr"])
    ]


def test_too_few_problems_are_seen_before_anything_is_sampled(tmp_path):
    words = ["prepare", "grpo-quickstart", "--out", str(tmp_path / "run")]
    few = ["prepare.train.limit=8", "prepare.dev=null", "gate=null", "prepare.test.limit=2"]
    sets = [word for setting in few for word in ("--set", setting)]
    done = CliRunner().invoke(cli, [*words, *sets])
    assert done.exit_code == 2
    assert "grpo.problems is 16, and there are 8 problems to learn from" in done.output
