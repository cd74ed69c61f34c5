"""Any OpenAI-compatible completions server: many requests at once, retried, finished in any order.

Prompts are sent as token ids, so the model reads exactly the tokens that SFT trains on; a server
that takes text only is refused. Beyond the standard, vLLM is asked for the token ids it drew and
for plain sampling from the whole vocabulary, whatever the model's generation_config says; a server
that refuses to hear of it is asked without. Statistics need those ids, so other servers' rollouts
have none, and `score` computes them.

A request that is refused, or fails on every attempt, is tried against a one-token request that has
to work. If that is not answered either, the run stops. If it is, the fault is the request's own:
an answer nobody gave is no answer, so it is left missing while the others are asked for, and in the
end refuses the stage, which keeps them: by Interrupted where the next run may have it, and by an
RFTError where the server has said that it will not answer.
"""

import asyncio
import contextlib
import math
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rft.engines import Demand, Feed, Finished, Request, Sampling
from rft.engines.completions import Completions, count_of
from rft.engines.endpoint import Endpoint, Failed, Refused
from rft.engines.served_model import Wanted, look
from rft.errors import Interrupted, RFTError, suggestion
from rft.foreign_text import short
from rft.model_folders.content import MARK
from rft.prompt import Prompter
from rft.recipe import EngineSettings, Recipe
from rft.runs.models import ModelRef

# Seconds between two looks at whether the work has to stop.
POLL = 0.25
# A known good question: what fails on it fails on everything.
QUESTION = "What is 1 + 1?"
# After so many requests that came to nothing, and no answer in between, no more are tried.
IN_A_ROW = 10


def open_for(demand: Demand, _seed: int) -> "Server":
    """Connect to the recipe's server, which has to have the plan's model."""
    recipe, model = demand.run.recipe, demand.model
    folder, made = Path(model.path).resolve(), (demand.run.path / "models").resolve()
    trained = folder.is_relative_to(made) and (folder / MARK).is_file()
    return Server(
        demand.prompts,
        recipe.engine,
        model,
        # The recipe's names are the base's: what the run trained is known by its folder.
        name=None if trained else name_of(recipe),
        sampling=demand.sampling,
        longest=demand.room,
    )


def identity(recipe: Recipe) -> dict[str, Any]:
    """Tell answers by the model's name, which is the server's affair, not by where it is asked."""
    return {"served_model": name_of(recipe)}


def name_of(recipe: Recipe) -> str:
    """Give the name by which the recipe's own model is asked for."""
    return recipe.engine.served_model or recipe.model.path


@dataclass(frozen=True)
class Arguments:
    """What engine.args may hold."""

    concurrency: int = 64
    """Requests in flight at once."""
    timeout: float = 600.0
    """Seconds for one attempt at one request, queueing in the server included."""
    retries: int = 6
    """Further attempts after a failure that may pass, over about a minute."""
    patience: float = 3600.0
    """Seconds for all attempts at one request, and for the pauses that the server asks for."""
    api_key_env: str | None = None
    """The environment variable with the key; OPENAI_API_KEY, if set, unless another is named."""
    top_logprobs: int = 20
    """The tokens per position that statistics are estimated from; vLLM gives no more than 20."""


class Server:
    """Send requests to a server, as many at once as it may have, and hand over what finishes."""

    def __init__(
        self,
        prompter: Prompter,
        engine: EngineSettings,
        model: ModelRef,
        *,
        name: str | None,
        sampling: Sampling,
        longest: int,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ):
        self.args = arguments(engine.args)
        self.probe_ids = prompter.encode(prompter.render(QUESTION))
        assert engine.url is not None, "the recipe refuses a server without a url"
        self.endpoint = Endpoint(
            engine.url,
            timeout=self.args.timeout,
            retries=self.args.retries,
            patience=self.args.patience,
            api_key_env=self.args.api_key_env,
            sleep=sleep,
        )
        self.longest = longest
        self.requests = 0
        self.missing = _Missing()
        with asyncio.Runner() as runner, self.endpoint.open(runner, set()) as client:
            served = runner.run(look(self.endpoint, client, Wanted(model, name, longest)))
            top = self.args.top_logprobs
            self.completions = Completions(prompter, served, top_logprobs=top)
            runner.run(self._learn(client, sampling))

    def units(self, requests: Sequence[Request]) -> list[list[Request]]:
        """Take each request for itself."""
        return [[request] for request in requests]

    def sample(
        self, feed: Feed, sampling: Sampling, *, check: Callable[[], None]
    ) -> Iterator[list[Finished]]:
        """Keep the server busy and yield what has finished, in whatever order it does."""
        waiting: deque[Request] = deque()
        flying: set[asyncio.Task[Finished | None]] = set()
        self.missing = _Missing()
        before = self.requests
        with asyncio.Runner() as runner, self.endpoint.open(runner, flying) as client:
            while self.missing.in_a_row < IN_A_ROW:
                check()
                while len(flying) < self.args.concurrency:
                    if not waiting:
                        unit = feed.take(wait=not flying)
                        if unit is None:
                            break
                        waiting.extend(unit)
                        continue
                    one = self._answer(client, waiting.popleft(), sampling)
                    flying.add(runner.get_loop().create_task(one))
                if not flying:
                    break
                done = _some(runner, flying)
                flying -= done
                whole = [each.result() for each in done if each.exception() is None]
                if finished := [each for each in whole if each is not None]:
                    self.requests += len(finished)
                    yield finished
                for each in done:
                    each.result()  # raises what stops the run, now that the rest is handed over
        self.missing.refuse(self.requests - before, self.endpoint.where)

    def figures(self) -> dict[str, Any]:
        """Tell who answered, how often one had to ask again, and what no statistics were had of."""
        return {
            "url": self.endpoint.url,
            "served_model": self.completions.served,
            "requests": self.requests,
            "cut_short": self.completions.cut_short,
            "retries": dict(sorted(self.endpoint.retries.items())),
            "without_statistics": dict(sorted(self.completions.without_statistics.items())),
            "beyond_standard": self.completions.beyond_standard,
        }

    async def _learn(self, client: Any, sampling: Sampling) -> None:
        """Find out what the server understands, and what its logprobs are of."""
        one = replace(sampling, max_tokens=1, temperature=1.0, top_p=1.0)
        try:
            warm = await self._probe(client, one)
        except Refused:
            self.completions.beyond_standard = False
            try:
                warm = await self._probe(client, one)
            except Refused as trouble:
                raise self._refuses(trouble) from None
        try:
            cold = await self._probe(client, replace(one, temperature=0.25))
        except Refused:
            cold = {}  # some servers know temperature 1 only
        both = warm.keys() & cold.keys()
        apart = max((abs(warm[name] - cold[name]) for name in both), default=1.0)
        self.completions.raw = apart < 0.5

    async def _probe(
        self, client: Any, sampling: Sampling, *, retries: int | None = None
    ) -> dict[str, float]:
        """Ask for one token after a known good prompt; give the logprobs listed for it."""
        body = self.completions.body(self.probe_ids, 0, sampling)
        where = self.endpoint.where

        def read(answer: Any) -> dict[str, float]:
            choice = self.completions.choice(answer, sampling)
            counted = count_of(answer, "prompt_tokens")
            if counted not in (None, len(self.probe_ids)):
                raise RFTError(
                    f"{where}: the server read {counted} tokens where {len(self.probe_ids)} were "
                    "sent; it must take prompts as token ids, unchanged, of the same tokenizer"
                )
            with contextlib.suppress(AttributeError, IndexError, KeyError, TypeError):
                listed = choice["logprobs"]["top_logprobs"][0].items()
                return {name: value for name, value in listed if isinstance(value, float)}
            return {}

        try:
            return await self.endpoint.persist(
                lambda: client.completions.with_streaming_response.create(**body),
                self.completions.most(self.probe_ids, sampling),
                read,
                retries=retries,
            )
        except Failed as trouble:
            if trouble.broken:
                raise RFTError(
                    f"{where}: the server does not answer as the completions API does ({trouble}); "
                    "use a server that does, such as vLLM"
                ) from None
            raise Interrupted(
                f"{where}: the server is lost ({trouble}); what is finished is kept: "
                "run again when it is back"
            ) from None

    async def _answer(self, client: Any, request: Request, sampling: Sampling) -> Finished | None:
        """Get one rollout, or make sure that its request is at fault itself."""
        body = self.completions.body(request.prompt_ids, request.seed, sampling)
        try:
            finished = await self.endpoint.persist(
                lambda: client.completions.with_streaming_response.create(**body),
                self.completions.most(request.prompt_ids, sampling),
                lambda answer: self.completions.finished(request, sampling, answer),
            )
        except Refused as refusal:
            if "context" in str(refusal).lower():
                raise RFTError(
                    f"{self.endpoint.where}: {len(request.prompt_ids)} tokens and "
                    f"{sampling.max_tokens} more are too long ({refusal}); lower max_tokens, "
                    f"or start the server with a context of {self.longest}"
                ) from None
            trouble: Refused | Failed = refusal
        except Failed as failure:
            trouble = failure
        else:
            self.missing.in_a_row = 0
            return finished
        try:
            # After a failure there were attempts enough; a refusal came at the first.
            retries = 0 if isinstance(trouble, Failed) else None
            await self._probe(client, replace(sampling, max_tokens=1), retries=retries)
        except Refused as refusal:
            raise self._refuses(refusal) from None
        self.missing.add(request, trouble)
        return None

    def _refuses(self, trouble: Refused) -> RFTError:
        hint = "see what the server supports"
        if "logprobs" in str(trouble):
            hint = (
                f"lower engine.args.top_logprobs ({self.args.top_logprobs}), let the server give "
                "more (vLLM: --max-logprobs), or switch sample.statistics off"
            )
        return RFTError(f"{self.endpoint.where}: the server refuses ({trouble}); {hint}")


class _Missing:
    """Requests that came to nothing while the server answers others, and why."""

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()
        self.words: dict[str, str] = {}
        self.refused: Request | None = None
        self.in_a_row = 0

    def add(self, request: Request, trouble: Refused | Failed) -> None:
        """Note a request."""
        self.kinds[trouble.kind] += 1
        self.words[trouble.kind] = str(trouble)
        if isinstance(trouble, Refused):
            self.refused = request
        self.in_a_row += 1

    def refuse(self, answered: int, where: str) -> None:
        """Let nobody count what was answered as the whole, if anything is missing."""
        if not self.kinds:
            return
        count = self.kinds.total()
        why = "; ".join(f"{self.words[kind]} ({n:,})" for kind, n in sorted(self.kinds.items()))
        if self.refused is None:
            raise Interrupted(
                f"{where}: {count:,} of {answered + count:,} answers asked for are missing "
                f"({short(why)}); what is finished is kept, and those alone are asked for again"
            )
        raise RFTError(
            f"{where}: {count:,} of {answered + count:,} answers asked for are missing, since the "
            f"server refuses them ({short(why)}), one to problem {self.refused.problem_id} among "
            "them; what is finished is kept. Use a server that answers them, or leave those "
            "problems out of the source"
        )


def _some(runner: asyncio.Runner, tasks: set[asyncio.Task[Any]]) -> set[asyncio.Task[Any]]:
    """Wait a moment for some of the tasks to end."""

    async def wait() -> set[asyncio.Task[Any]]:
        done, _ = await asyncio.wait(tasks, timeout=POLL, return_when=asyncio.FIRST_COMPLETED)
        return done

    return runner.run(wait())


def arguments(args: dict[str, Any]) -> Arguments:
    """Check engine.args."""
    names = list(Arguments.__dataclass_fields__)
    for name, value in args.items():
        if name not in names:
            advice = suggestion(name, names, otherwise=f"they are {', '.join(names)}")
            raise RFTError(f'engine.args: the server engine has no "{name}"; {advice}')
        if name == "api_key_env":
            good = isinstance(value, str) and value != ""
            wanted = "the name of an environment variable"
        elif name in ("timeout", "patience"):
            good = type(value) in (int, float) and 0 < value < math.inf
            wanted = "seconds, above 0"
        else:
            least, most = {"concurrency": (1, 1000), "retries": (0, 100)}.get(name, (1, 10_000))
            good = type(value) is int and least <= value <= most
            wanted = f"a whole number from {least} to {most}"
        if not good:
            raise RFTError(f"engine.args.{name} is {short(f'{value}')!r}, and should be {wanted}")
    return Arguments(**args)
