"""What runs where: the engines, devices and numbers that a recipe comes to on a machine."""

from rft.doctor.facts import Facts
from rft.errors import RFTError
from rft.estimates.model_size import Shape
from rft.processes import devices
from rft.recipe import Recipe
from rft.training.policy import micro_batch

# How a report tells what an engine's statistics are.
STATISTICS = {
    "exact": "statistics exact",
    "estimated": "statistics are estimates from the likeliest tokens",
    "recorded": "statistics as recorded",
}


class Placement:
    """A recipe on a machine."""

    def __init__(self, recipe: Recipe, facts: Facts, shape: Shape | None):
        self.recipe, self.facts, self.shape = recipe, facts, shape
        self.micro_batch = micro_batch(recipe.trains)
        engine, how = recipe.engine, recipe.trains
        self.names = devices.names(len(facts.gpus), facts.visible)
        self.gpus = dict(zip(self.names, facts.gpus, strict=False))
        self.groups: list[list[str]] = []
        self.engines, self.wrong = 1, ""
        if engine.traits.local:
            try:
                groups = devices.grouped(engine, self.names)
                self.engines = devices.engines(engine, len(groups))
                self.groups = [group.split(",") for group in groups[: self.engines]]
            except RFTError as error:
                self.wrong = str(error)
        self.used = {name: self.gpus[name] for group in self.groups for name in group}
        self.size = len(self.groups[0]) if self.groups else 1
        self.batch = self.argument("batch", 256)
        bf16 = how.bf16 if how.bf16 != "auto" else bool(facts.gpus) and facts.gpus[0].bf16
        self.training = "bfloat16" if bf16 else "float16" if how.args.get("fp16") else "float32"
        self.longest = engine.max_model_len or max(
            recipe.learns_from.max_tokens, recipe.evaluate.max_tokens
        )

    @property
    def dtype(self) -> str:
        """Name the numbers that the engine computes in; "" where nobody knows."""
        asked = str(self.recipe.engine.args.get("dtype", "auto"))
        if asked != "auto":
            return {"half": "float16", "float": "float32"}.get(asked, asked)
        stored = self.shape.dtype if self.shape else ""
        halves = self.recipe.engine.traits.halves and self.groups
        if halves and stored in ("float32", "bfloat16"):
            return "bfloat16" if all(gpu.bf16 for gpu in self.facts.gpus) else "float16"
        return stored

    def argument(self, name: str, default: float) -> float:
        """Read a number of engine.args; what is none is the engine's to refuse."""
        try:
            return float(str(self.recipe.engine.args.get(name, default)))
        except ValueError:
            return default

    def machine(self) -> list[str]:
        """Describe the machine, a line for what is shared and one for each accelerator."""
        facts = self.facts
        lines = [f"{facts.system}, {gb(facts.available)} of {gb(facts.memory)} memory free"]
        for name, gpu in self.gpus.items():
            lines.append(f"GPU {name}: {gpu.name}, {gb(gpu.free)} of {gb(gpu.total)} free")
        return lines

    def places(self) -> dict[str, str]:
        """Say where each stage works that needs an engine or a trainer, and in what numbers."""
        from rft.selection.ranking import may_lack

        recipe = self.recipe
        first = f"GPU {self.names[0]}" if self.names else "the CPU"
        places = {"sample, evaluate": self._engine_place()}
        if recipe.rounds and recipe.grpo is None and may_lack(recipe):
            places["score"] = f"{first}; exact statistics of the rows that select ranks"
        if recipe.rounds:
            lora = recipe.trains.lora
            method = f"LoRA of rank {lora.r}" if lora else "full, in float32"
            where = f"{first}; {method}, computed in {self.training}"
            places[recipe.maker] = f"{where}, micro-batch {self.micro_batch}"
        return places

    def _engine_place(self) -> str:
        engine, wanted = self.recipe.engine, self.recipe.sample.statistics
        traits, how = engine.traits, STATISTICS[engine.traits.statistics]
        if not traits.local:
            return f"{traits.place.format(**engine.model_dump())}; {how}"
        if not self.groups and self.facts.needs_gpu(traits):
            return f"nowhere: {traits.called} needs GPUs, as many as engine.args ask for"
        shares = ", ".join("+".join(group) for group in self.groups)
        if not (wanted.entropy or wanted.branching):
            how = "no statistics"
        elif engine.runner == "v2":
            how = "runner v2, statistics not shown to be exact"
        numbers = self.dtype or "numbers as the model is stored"
        where = f"GPU {shares}" if shares else "the CPU"
        count = f"{self.engines} engine{'s' if self.engines > 1 else ''}"
        return f"{engine.kind}, {numbers}; {count} on {where}; {how}"


def gb(size: float) -> str:
    """Write bytes for people."""
    return f"{size / 1e9:.2f} GB" if size < 1e9 else f"{size / 1e9:.1f} GB"
