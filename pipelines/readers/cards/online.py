"""What the cards say of a run of online training: GRPO, its reward, and what shaped it."""

from pathlib import Path
from typing import Any

from pipelines.readers.cards.markdown import code, flow, markdown, share, short, tally
from pipelines.readers.cards.page import Kind, Manifest, Manifests, digest_of, fate
from rft.exploration import PLUGINS
from rft.runs.folder import Run

Plugins = list[tuple[str, dict[str, Any]]]  # name and parameters, in the order of acting

# The table `dynamics`, column by column.
COLUMNS = {
    "step": "the step, from 1",
    "reward": "mean reward of the answers that could be verified",
    "correct": "share of them that is right",
    "unverified": "answers that could not be verified, which were not learnt from",
    "k": "answers per problem",
    "pass_at_k": "share of the problems with a right one among them",
    "without_signal": "share of the problems whose answers all have the plain advantage 0",
    "response_length": "mean tokens of an answer, its end included",
    "cut": "share of the answers that were cut at the limit",
    "entropy": "mean entropy of the policy while it learns, in nats, at the sampling temperature",
    "entropy_correct": "the same over the tokens of right answers",
    "entropy_wrong": "the same over the tokens of wrong ones",
    "loss": "TRL's loss, a mean over the step's updates as the next five",
    "grad_norm": "norm of the gradient before it is clipped",
    "learning_rate": "the learning rate",
    "clip_low": "share of the tokens whose ratio is clipped from below",
    "clip_high": "share of them whose ratio is clipped from above",
    "kl": "mean KL divergence from the reference; null without one",
    "vllm_ratio": "mean of the trainer's probability of a token over vLLM's; null without vLLM",
    "vllm_ratio_max": "the largest of these",
    "vllm_effective": "how many tokens these are worth, as a share of them",
    "sign_flips": "tokens whose shaped advantage has the other sign",
    "revived": "tokens whose plain advantage is 0, and the shaped one is not",
    "largest_ratio": "the largest shaped advantage, divided by the plain one",
    "touched": "for each plug-in the share of the tokens that it changed",
    "tokens": "tokens of all answers of the step",
    "rollout_seconds": "seconds until they were drawn and verified",
    "seconds": "seconds of the whole step",
}

WORDS = {
    "what": """\
The record of {base} being trained online with GRPO on verified answers of its own: {taught}. \
{shaped} The answers that it learnt from were not kept; a row for every step is here, with the \
problems and every answer that a model was measured by.""",
    "opening": """\
dynamics = load_dataset({opens}, "dynamics", split="train"){place}
entropy = dynamics["entropy"]  # of every step""",
    "reading": """\
In `problems`, `gold` lists the accepted answers; the training drew from the split `train`. From a \
row of `evaluations`, `problem_id` leads to its problem; `model` is the digest of the model that \
wrote it. {statistics}

A row of `dynamics` is a step; null is what was not there to be measured. The plain advantage is \
GRPO's, or that of the plug-in which replaces it; plug-ins shape it.

{columns}""",
    "training": "",
    "origin": """\
{base}, trained online with GRPO on verified answers of its own: {taught}. {shaped}""",
    "course": """\
## Training

GRPO ([arXiv 2402.03300](https://arxiv.org/abs/2402.03300)) as TRL has it, with `loss_type` \
{loss}. {reward}

{counts}{plugins}""",
}


def facts(run: Run, made: Manifests, _folder: Path) -> dict[str, Any]:
    """Collect what is said of the training, as it was done."""
    manifest = made[1, "grpo"]
    grpo = manifest["settings"]["grpo"]
    return {
        "taught": taught(manifest),
        "shaped": shaped(grpo["plugins"]),
        "columns": markdown("column, what it is", [[code(n), t] for n, t in COLUMNS.items()]),
        "loss": code(manifest["options"].get("loss_type", grpo["loss"])),
        "reward": reward_words(grpo),
        "counts": count_table(run, made),
        "plugins": plugin_table(grpo["plugins"]),
        "lineage": lineage_table(made),
    }


def trained(made: Manifests) -> bool:
    """Say whether the model was trained."""
    return (1, "grpo") in made


def taught(manifest: Manifest) -> str:
    """Count what was drawn and verified."""
    grpo, counts = manifest["settings"]["grpo"], manifest["counts"]
    return (
        f"{manifest['steps']:,} steps of {grpo['problems']:,} problems x {grpo['n']:,} answers, "
        f"of which {share(counts['trained'], counts['in'])} could be verified"
    )


def shaped(plugins: Plugins) -> str:
    """Name the plug-ins with their papers."""
    named = ", ".join(f"{code(name)} ({paper(name)})" for name, _ in plugins)
    return f"Shaped by {named}." if named else "No exploration plug-in shaped it."


def paper(plugin: str) -> str:
    """Refer to the paper of a plug-in."""
    number = PLUGINS[plugin].arxiv
    if not number:
        return "of its author's own"
    return f"[arXiv {number}](https://arxiv.org/abs/{number})"


def reward_words(grpo: dict[str, Any]) -> str:
    """Say what an answer was worth."""
    reward, length = grpo["reward"], grpo["reward"]["length"]
    parts = [
        f"The right answer in the first box was worth {reward['right']:g}, anything else "
        f"{reward['wrong']:g}",
    ]
    if reward["format"]:
        parts.append(f"a closed box and an end {reward['format']:g} more")
    if length:
        parts.append(
            f"an answer of more than {grpo['max_tokens'] - length['buffer']:,} tokens less and "
            f"less, down by {length['factor']:g} at {grpo['max_tokens']:,}"
        )
    return "; ".join(parts) + "."


def count_table(run: Run, made: Manifests) -> str:
    """Count what became of the answers, and say what of the model."""
    manifest = made[1, "grpo"]
    counts = manifest["counts"]
    line = [
        f"{manifest['steps']:,}",
        f"{counts['in']:,} ({manifest['tokens']:,} tokens)",
        f"{counts['trained']:,}",
        tally(counts["dropped"]),
        fate(run, made, 1),
    ]
    return markdown("steps, drawn, verified, dropped, model 1", [line])


def plugin_table(plugins: Plugins) -> str:
    """List the plug-ins with what they do, their papers and their settings."""
    lines = [
        [code(name), (PLUGINS[name].__doc__ or "").splitlines()[0], paper(name), code(flow(given))]
        for name, given in plugins
    ]
    if not lines:
        return ""
    titles = "plug-in in the order of acting, what it does, paper, settings"
    return f"\n\n{markdown(titles, lines)}"


def lineage_table(made: Manifests) -> str:
    """Name by digest what the training read and made."""
    inputs = made[1, "grpo"]["inputs"]
    line = [short(inputs["model"]), short(inputs["problems"])]
    line += [digest_of(made, 1, "grpo", table) for table in ("dynamics", "model")]
    return markdown("trained from, problems, dynamics, new model", [line])


ONLINE = Kind(
    method="online training with GRPO",
    tags=("grpo",),
    configs=("dynamics", "problems", "evaluations"),
    product="trained model",
    learnt=trained,
    words=WORDS,
    untold=frozenset({"prompt", "score", "keep", "track", "sample", "filter", "select", "sft"}),
    facts=facts,
    taught=taught,
)
