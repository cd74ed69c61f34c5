"""TRL's GRPOTrainer with the plug-ins' hooks; the loss stays TRL's own.

Why this works (TRL 1.16): the loss asks for log-probabilities and entropies before it reads
`inputs["advantages"]` and the clip range, which may be (B, T) tensors. So the hooks act between the
two. What needs the whole step is computed once, before TRL shuffles and splits the rollouts, and
travels with its rows as a column.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from trl import GRPOTrainer

from rft.exploration.plugin import Batch, Plugin, Tokens
from rft.prompt import Prompter
from rft.seeds import derive
from rft.training.dynamics import Dynamics
from rft.training.reward import AnswerReward

# Beside the files of a checkpoint: the plug-ins' state and the rows of dynamics so far.
STATE = "rft-state.pt"

# Column names in TRL's batch, out of the way of its own.
COLUMN = "rft/{}/{}"
CORRECT = "rft/correct"
# The advantage before any plug-in changed it, to compare with what the loss gets.
PLAIN = "rft/plain"


class ShapedGRPOTrainer(GRPOTrainer):
    """GRPO whose advantages, clip range and surrogate plug-ins may change."""

    epsilon_low: Any
    epsilon_high: Any

    def __init__(
        self,
        *args: Any,
        plugins: Sequence[Plugin],
        prompts: Prompter,
        reward: AnswerReward,
        updates: int,
        seed: int,
        say: Callable[[str], None],
        journal: Path,
        **options: Any,
    ):
        super().__init__(*args, reward_funcs=[reward], **options)
        self.plugins, self.prompts, self.updates = list(plugins), prompts, updates
        self.answers, self.seed, self.say = reward, seed, say
        self.dynamics = Dynamics(self.accelerator, journal)
        self._rewards: Any = None
        self._sampled: Any = None
        self._inputs: dict[str, Any] | None = None
        self._added: Any = None

    @property
    def step(self) -> int:
        """Count the steps, the one under way included; a step has several optimizer steps."""
        return int(self.state.global_step) // self.updates + 1

    def active(self, hook: str) -> list[Plugin]:
        """List the plug-ins that have a hook and are active in this step."""
        step = self.step
        return [each for each in self.plugins if getattr(each, hook) and each.active(step)]

    @property
    def scores(self) -> bool:
        """Say whether this step's rollouts are scored by the policy that sampled them."""
        wanted = {"old_logps", "entropies"}
        return any(
            (each.columns or each.needs & wanted) and each.active(self.step)
            for each in self.plugins
        )

    # Before training on the rollouts of a step ---------------------------------------------------

    def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
        # One tokenisation everywhere: TRL's would put a second BOS before a rendered prompt.
        return [self.prompts.encode(prompt) for prompt in prompts], None, {}

    def _calculate_rewards(self, *args: Any, **kwargs: Any) -> Any:
        rewards = super()._calculate_rewards(*args, **kwargs)
        correct = self.accelerator.gather(
            torch.tensor(self.answers.correct, dtype=torch.float32, device=rewards.device)
        )
        lengths = torch.tensor(
            [len(ids) for ids in args[3]], dtype=torch.float32, device=rewards.device
        )
        batch = Batch(
            n=self.num_generations,
            # NaN is what TRL leaves out of a group's mean and gives no advantage.
            rewards=rewards[:, 0].masked_fill(correct.isnan(), torch.nan),
            correct=correct,
            lengths=self.accelerator.gather(lengths),
        )
        if self.model.training:
            for plugin in self.active("reward"):
                rewards = plugin.reward(batch.rewards, batch).masked_fill(
                    correct.isnan(), torch.nan
                )
                batch = dataclasses.replace(batch, rewards=rewards)
        self._rewards = batch
        return batch.rewards.unsqueeze(1)

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        self._sampled = None
        output: dict[str, Any] = super()._generate_and_score_completions(inputs)
        if not self.model.training:
            return output
        batch, count = self._rewards, len(inputs)
        lengths, first = batch.lengths, self.accelerator.process_index * count
        ours = slice(first, first + count)
        self._leave_out_unverified(output, batch.correct[ours])
        mask = loss_mask(output)
        if self.scores:
            logps, entropies = self._sampled or self._score(output)
            batch = dataclasses.replace(
                batch,
                nll=self._mean_of_rows(-logps, mask),
                entropy=self._mean_of_rows(entropies, mask),
            )
        learnt = self.accelerator.gather(mask.sum(1).float())
        batch = dataclasses.replace(batch, lengths=learnt)
        plain = self.accelerator.gather(output["advantages"])
        for plugin in self.active("advantage"):
            plain = plugin.advantage(batch)
        self.dynamics.begin(batch, lengths, plain)
        if "importance_sampling_ratio" in output:
            self.dynamics.correct(output["importance_sampling_ratio"], mask)
        advantages = plain
        for plugin in self.active("adjust"):
            before, advantages = advantages, plugin.adjust(advantages, batch)
            self.dynamics.touch(plugin.name, (before != advantages)[ours].unsqueeze(1), mask)
        output["advantages"], output[PLAIN] = advantages[ours], plain[ours]
        output[CORRECT] = batch.correct[ours]
        if self.scores:
            tokens = Tokens(
                mask, logps, logps, entropies, {}, *self._spread(mask), generator=self._generator
            )
            spread = output["advantages"].unsqueeze(1).expand_as(logps)
            for plugin in self.active("columns"):
                for name, values in plugin.columns(spread, tokens).items():
                    output[COLUMN.format(plugin.name, name)] = values
        return output

    def _leave_out_unverified(self, output: dict[str, Any], correct: torch.Tensor) -> None:
        """Take the tokens of answers that nobody could verify out of the loss and its counts."""
        known = ~correct.isnan()
        before = loss_mask(output).sum()
        output["completion_mask"] = output["completion_mask"] * known.unsqueeze(1).int()
        left = before - loss_mask(output).sum()
        output["num_items_in_batch"] = output["num_items_in_batch"] - self.accelerator.reduce(
            left, reduction="sum"
        )

    def _score(self, output: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute logprobs and entropies of the policy that sampled."""
        ids = torch.cat([output["prompt_ids"], output["completion_ids"]], dim=1)
        attention = torch.cat([output["prompt_mask"], output["completion_mask"]], dim=1)
        with torch.no_grad():
            logps, entropies, _ = super()._get_per_token_logps_and_entropies(
                self.model,
                ids,
                attention,
                output["completion_ids"].size(1),
                batch_size=self.args.per_device_train_batch_size,
                compute_entropy=True,
            )
        return logps, entropies

    def _mean_of_rows(self, values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Average over the tokens of each rollout of all processes; NaN without tokens."""
        means = (values.float() * mask).sum(1) / mask.sum(1)
        gathered: torch.Tensor = self.accelerator.gather(means)
        return gathered

    def _spread(self, mask: torch.Tensor) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """Make the way from this process's tokens to those of all, and back."""
        at = mask.bool()
        count = at.sum().reshape(1)
        counts = self.accelerator.gather(count)
        most = int(counts.max())
        first = int(counts[: self.accelerator.process_index].sum())

        def everywhere(values: torch.Tensor) -> torch.Tensor:
            padded = values.new_zeros(most)
            padded[: int(count)] = values[at]
            rows = self.accelerator.gather(padded).view(-1, most)
            return torch.cat([row[: int(n)] for row, n in zip(rows, counts, strict=True)])

        def here(values: torch.Tensor) -> torch.Tensor:
            placed = values.new_zeros(at.shape)
            placed[at] = values[first : first + int(count)]
            return placed

        return everywhere, here

    def _generator(self, name: str) -> torch.Generator:
        return torch.Generator().manual_seed(derive(self.seed, "plug-in", name, self.step))

    # In the loss ---------------------------------------------------------------------------------

    def _get_per_token_logps_and_entropies(
        self, model: Any, *args: Any, compute_entropy: bool = False, **options: Any
    ) -> tuple[Any, Any, Any]:
        # TRL's first pass without gradients over the rollouts is by the policy that sampled them:
        # asking it for entropies saves a pass of our own.
        first = self._inputs is None and self.scores and self._sampled is None
        old = first and model is self.model and not torch.is_grad_enabled() and self._trl_scores()
        logps, entropies, aux = super()._get_per_token_logps_and_entropies(
            model, *args, compute_entropy=compute_entropy or old, **options
        )
        if old:
            self._sampled = logps, entropies
        if self._inputs is not None:
            self._shape(logps, entropies.detach())
        return logps, entropies, aux

    def _trl_scores(self) -> bool:
        """Say whether TRL itself computes the logprobs of the policy that sampled."""
        every = self.args.steps_per_generation * self.num_iterations
        corrects = self.use_vllm and self.vllm_importance_sampling_correction
        return bool(corrects or self.args.gradient_accumulation_steps % every)

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        if not self.model.training:
            loss: torch.Tensor = super()._compute_loss(model, inputs)
            return loss
        # TRL keeps the rows and may use them again, with the advantages that they came with.
        self._inputs, self._added = dict(inputs), None
        low, high = self.epsilon_low, self.epsilon_high
        try:
            loss = super()._compute_loss(model, self._inputs)
        finally:
            self._inputs, self.epsilon_low, self.epsilon_high = None, low, high
        return loss if self._added is None else loss + self._added

    def _shape(self, logps: torch.Tensor, entropies: torch.Tensor) -> None:
        """Let the plug-ins change what the loss is about to read."""
        inputs = self._inputs
        assert inputs is not None
        mask = loss_mask(inputs)
        old = inputs.get("old_per_token_logps")
        tokens = Tokens(
            mask,
            logps,
            logps.detach() if old is None else old,
            entropies,
            {},
            _whole_step_only,
            _whole_step_only,
            generator=self._generator,
        )
        given = advantages = inputs["advantages"].unsqueeze(1).expand_as(logps)

        def seen_by(plugin: Plugin) -> Tokens:
            head = COLUMN.format(plugin.name, "")
            own = {k.removeprefix(head): v for k, v in inputs.items() if k.startswith(head)}
            return dataclasses.replace(tokens, columns=own) if own else tokens

        with torch.no_grad():
            for plugin in self.active("shape"):
                before, advantages = advantages, plugin.shape(advantages, seen_by(plugin))
                self.dynamics.touch(plugin.name, before != advantages, mask)
            for plugin in self.active("weight"):
                weights = plugin.weight(seen_by(plugin))
                advantages = advantages * weights
                self.dynamics.touch(plugin.name, weights != 1, mask)
        self.dynamics.learn(
            mask, entropies, advantages, inputs[PLAIN].unsqueeze(1), inputs[CORRECT]
        )
        for plugin in self.active("clip"):
            low, high = plugin.clip(self.epsilon_low, self.epsilon_high, seen_by(plugin))
            self.epsilon_low, self.epsilon_high = low, high
        added = None
        for plugin in self.active("replace"):
            chosen, loss = plugin.replace(advantages, seen_by(plugin))
            # Zero here, the surrogate vanishes on these tokens; what takes its place is added.
            advantages = advantages.masked_fill(chosen, 0.0)
            self.dynamics.touch(plugin.name, chosen, mask)
            term = loss.masked_fill(~chosen, 0.0)
            added = term if added is None else added + term
        for plugin in self.active("extra"):
            term = plugin.extra(advantages, seen_by(plugin))
            added = term if added is None else added + term
        if added is not None:
            self._added = self._like_the_surrogate(added, entropies, mask, inputs)
        if advantages is not given:
            inputs["advantages"] = advantages

    def _like_the_surrogate(
        self,
        losses: torch.Tensor,
        entropies: torch.Tensor,
        mask: torch.Tensor,
        inputs: dict[str, Any],
    ) -> torch.Tensor:
        """Mask, weigh and average a loss per token as TRL does with its own policy term."""
        if self.top_entropy_quantile < 1.0:
            losses = losses * self.get_high_entropy_mask(
                entropies, mask, 1 - self.top_entropy_quantile
            )
        if self.use_vllm and self.vllm_importance_sampling_correction:
            losses = losses * inputs["importance_sampling_ratio"]
        losses = losses * mask
        accumulation = int(self.current_gradient_accumulation_steps)
        if self.loss_type == "grpo":
            total = (losses.sum(-1) / mask.sum(-1).clamp(min=1.0)).mean()
        elif self.loss_type == "bnpo":
            total = losses.sum() / mask.sum().clamp(min=1.0)
        elif self.loss_type == "dr_grpo":
            total = losses.sum() / (len(losses) * self.max_completion_length)
        else:
            assert self.loss_type == "dapo", "the recipe refuses other losses with such plug-ins"
            items = inputs["num_items_in_batch"].clamp(min=1.0) / self.accelerator.num_processes
            total = losses.sum() / (items / self.args.steps_per_generation)
        return total / accumulation

    # After an optimizer step ---------------------------------------------------------------------

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Finish the step's row of dynamics when its last optimizer step is done."""
        # TRL adds its averages to the dictionary that it is given.
        updated = "loss" in logs and self.model.training
        if updated and self.state.global_step % self.updates == 0:
            logs |= self.dynamics.of_the_step()
        super().log(logs, start_time)
        if not updated:
            return
        self.dynamics.update(logs)
        if not math.isfinite(logs["loss"]):
            self.control.should_training_stop = True
            self.control.should_save = False
            return
        if self.state.global_step % self.updates == 0:
            row = self.dynamics.end(self.state.global_step // self.updates)
            for plugin in self.plugins:
                if plugin.on_step and plugin.active(row["step"]):
                    plugin.on_step(self, row)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        if self.args.should_save:
            folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
            state = {
                "rows": self.dynamics.rows,
                "plugins": {plugin.name: plugin.state_dict() for plugin in self.plugins},
            }
            torch.save(state, folder / STATE)

    def restore(self, checkpoint: str) -> None:
        """Take over the plug-ins' state and the rows of dynamics from a checkpoint."""
        state = torch.load(Path(checkpoint) / STATE, weights_only=True, map_location="cpu")
        self.dynamics.take_over(state["rows"])
        for plugin in self.plugins:
            plugin.load_state_dict(state["plugins"][plugin.name], self)


def loss_mask(rows: dict[str, Any]) -> torch.Tensor:
    """Mark the tokens that the loss is over, as TRL does."""
    mask: torch.Tensor = rows["completion_mask"]
    return mask * rows["tool_mask"] if "tool_mask" in rows else mask


def _whole_step_only(_values: torch.Tensor) -> torch.Tensor:
    raise AssertionError("a micro-batch is no sample of the step: use `columns`")
