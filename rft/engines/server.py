"""Any OpenAI-compatible completions server: many requests at once, retried, finished in any order.

Prompts are sent as token ids, so the model reads exactly the tokens that SFT trains on; a server
that takes text only is refused. Beyond the standard, vLLM is asked for the token ids it drew and
for plain sampling from the whole vocabulary, whatever the model's generation_config says; a server
that refuses to hear of it is asked without. Statistics need those ids, so other servers' rollouts
have none, and `score` computes them.

A request that is refused, or fails on every attempt, is tried against a one-token request that has
to work: if that is answered, the fault is the request's own, and the rollout is recorded as
finish_reason `error`, without text; otherwise the run stops, by an RFTError or Interrupted.
"""

import asyncio
import contextlib
import json
import math
import re
import shlex
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rft.engines import Feed, Finished, Request, Sampling
from rft.engines.endpoint import (
    UP_TO_V1,
    Endpoint,
    Failed,
    Refused,
    Served,
    one_line,
    served_models,
)
from rft.errors import Interrupted, RFTError, suggestion
from rft.prompt import Prompter
from rft.recipe.sample import Engine as Settings
from rft.runs.models import MARK, ModelRef
from rft.token_stats.topk import Unusable, estimates

# Seconds between two looks at whether the work has to stop.
POLL = 0.25
# A known good question: what fails on it fails on everything.
QUESTION = "What is 1 + 1?"
# What we ask to have a trained model served as: its digest tells it from every other.
NAME = "rft-{}"


@dataclass(frozen=True)
class Arguments:
    """What engine.args may hold."""

    concurrency: int = 64
    """Requests in flight at once."""
    timeout: float = 600.0
    """Seconds for one attempt at one request, queueing in the server included."""
    retries: int = 6
    """Further attempts after a failure that may pass, over about a minute."""
    api_key_env: str | None = None
    """The environment variable with the key; OPENAI_API_KEY, if set, unless another is named."""
    top_logprobs: int = 20
    """The tokens per position that statistics are estimated from; vLLM gives no more than 20."""


class Server:
    """Send requests to a server, as many at once as it may have, and hand over what finishes."""

    def __init__(
        self,
        prompter: Prompter,
        engine: Settings,
        model: ModelRef,
        *,
        name: str | None,
        sampling: Sampling,
        longest: int,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ):
        self.args = arguments(engine.args)
        self.prompter = prompter
        self.vocabulary = len(prompter.tokenizer)
        self.probe_ids = prompter.encode(prompter.render(QUESTION))
        self.model, self.name = model, name
        assert engine.url is not None, "the recipe refuses a server without a url"
        self.endpoint = Endpoint(
            engine.url,
            timeout=self.args.timeout,
            retries=self.args.retries,
            api_key_env=self.args.api_key_env,
            sleep=sleep,
        )
        self.longest = longest
        self.beyond_standard = True
        self.raw = True
        """Whether logprobs are those of temperature 1, whatever is sampled at; see _learn."""
        self.counts = dict.fromkeys(("requests", "cut_short"), 0)
        self.errors: Counter[str] = Counter()
        self.without_statistics: Counter[str] = Counter()
        with asyncio.Runner() as runner, self.endpoint.open(runner, set()) as client:
            self.served = runner.run(self._look(client))
            runner.run(self._learn(client, sampling))

    def units(self, requests: Sequence[Request]) -> list[list[Request]]:
        """Take each request for itself."""
        return [[request] for request in requests]

    def sample(
        self, feed: Feed, sampling: Sampling, *, check: Callable[[], None]
    ) -> Iterator[list[Finished]]:
        """Keep the server busy and yield what has finished, in whatever order it does."""
        waiting: deque[Request] = deque()
        flying: set[asyncio.Task[Finished]] = set()
        with asyncio.Runner() as runner, self.endpoint.open(runner, flying) as client:
            while True:
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
                    return
                done = _some(runner, flying)
                flying -= done
                if finished := [each.result() for each in done if each.exception() is None]:
                    self.counts["requests"] += len(finished)
                    yield finished
                for each in done:
                    each.result()  # raises what stops the run, now that the rest is handed over

    def figures(self) -> dict[str, Any]:
        """Tell who answered, how often one had to ask again, and what no statistics were had of."""
        return {
            "url": self.endpoint.url,
            "served_model": self.served,
            **self.counts,
            "retries": dict(sorted(self.endpoint.retries.items())),
            "errors": dict(sorted(self.errors.items())),
            "without_statistics": dict(sorted(self.without_statistics.items())),
            "beyond_standard": self.beyond_standard,
        }

    async def _look(self, client: Any) -> str:
        """Find the served model's name, and see that it can read as much as will be asked."""
        where = self.endpoint.where
        try:
            # A typing error in the address should not take a minute to be told.
            listed = await self.endpoint.persist(
                client.models.with_streaming_response.list, 2**24, served_models, retries=2
            )
        except Refused as trouble:
            raise RFTError(f"{where}: {trouble}; {UP_TO_V1}") from None
        except Failed as trouble:
            if trouble.busy:
                raise Interrupted(f"{where}: {trouble}; run again later") from None
            raise RFTError(f"{where}: {trouble}; start the server, or {UP_TO_V1}") from None
        name = self._trained(listed) if self.name is None else self._named(listed, self.name)
        self._refuse_another(name, listed[name].root)
        limit = listed[name].limit
        if limit is not None and limit < self.longest:
            raise RFTError(
                f"{where}: the server takes {limit} tokens, prompt and completion together, and "
                f"up to {self.longest} are needed; lower max_tokens, or start the server with a "
                "longer context (vLLM: --max-model-len)"
            )
        return name

    def _named(self, listed: dict[str, Served], name: str) -> str:
        """Find the recipe's own model, which goes by the name that the recipe gives."""
        if name not in listed:
            shown = ", ".join(one_line(other) for other in list(listed)[:5]) or "no model"
            raise RFTError(
                f"{self.endpoint.where}: the server has no model {name}, but {shown}; "
                "set engine.served_model, or serve the model"
            )
        return name

    def _trained(self, listed: dict[str, Served]) -> str:
        """Find a model that the run trained, by its content or its folder.

        Its name in the recipe is the base's, whose answers would pass for this model's.
        """
        own, folder = NAME.format(self.model.digest[:12]), _resolved(self.model.path)
        if own in listed:
            return own
        for name, each in listed.items():
            # Another digest in the name: loaded before the model in this folder was made anew.
            aged = re.fullmatch(NAME.format("[0-9a-f]{12}"), name)
            if each.root is not None and _resolved(each.root) == folder and not aged:
                return name
        raise RFTError(
            f"{self.endpoint.where}: {self.model.path} is to be sampled from, which this run "
            f"trained, and the server has {_shown(listed)}; stop it, start it with `vllm serve "
            f"{shlex.quote(str(folder))} --served-model-name {own}{_port(self.endpoint.where)}`, "
            "then run again"
        )

    def _refuse_another(self, name: str, root: str | None) -> None:
        """Refuse a name under which another model of ours is served."""
        if root is not None and _digest_of_ours(root) not in (None, self.model.digest):
            raise RFTError(
                f"{self.endpoint.where}: the server's {one_line(name)} is {one_line(root)}, and "
                f"{self.model.path} is to be sampled from; serve that one, then run again"
            )

    async def _learn(self, client: Any, sampling: Sampling) -> None:
        """Find out what the server understands, and what its logprobs are of."""
        one = replace(sampling, max_tokens=1, temperature=1.0, top_p=1.0)
        try:
            warm = await self._probe(client, one)
        except Refused:
            self.beyond_standard = False
            try:
                warm = await self._probe(client, one)
            except Refused as trouble:
                raise self._refuses(trouble) from None
        try:
            cold = await self._probe(client, replace(one, temperature=0.25))
        except Refused:
            cold = {}  # some servers know temperature 1 only
        both = warm.keys() & cold.keys()
        self.raw = max((abs(warm[name] - cold[name]) for name in both), default=1.0) < 0.5

    async def _probe(
        self, client: Any, sampling: Sampling, *, retries: int | None = None
    ) -> dict[str, float]:
        """Ask for one token after a known good prompt; give the logprobs listed for it."""
        body = self._body(self.probe_ids, 0, sampling)
        where = self.endpoint.where

        def read(answer: Any) -> dict[str, float]:
            choice = self._choice(answer, sampling)
            counted = _count(answer, "prompt_tokens")
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
                self._most(self.probe_ids, sampling),
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

    async def _answer(self, client: Any, request: Request, sampling: Sampling) -> Finished:
        """Get one rollout, or make sure that it is at fault itself."""
        body = self._body(request.prompt_ids, request.seed, sampling)
        while True:
            try:
                return await self.endpoint.persist(
                    lambda: client.completions.with_streaming_response.create(**body),
                    self._most(request.prompt_ids, sampling),
                    lambda answer: self._finished(request, sampling, answer),
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
            try:
                # After a failure there were attempts enough; a refusal came at the first.
                retries = 0 if isinstance(trouble, Failed) else None
                await self._probe(client, replace(sampling, max_tokens=1), retries=retries)
            except Refused as refusal:
                raise self._refuses(refusal) from None
            if isinstance(trouble, Failed) and trouble.busy:
                continue  # others are answered, so this one's turn will come
            self.errors[trouble.kind] += 1
            return _without_tokens(request, "", "error", 0)

    def _refuses(self, trouble: Refused) -> RFTError:
        hint = "see what the server supports"
        if "logprobs" in str(trouble):
            hint = (
                f"lower engine.args.top_logprobs ({self.args.top_logprobs}), let the server give "
                "more (vLLM: --max-logprobs), or switch sample.statistics off"
            )
        return RFTError(f"{self.endpoint.where}: the server refuses ({trouble}); {hint}")

    def _ours(self, sampling: Sampling) -> bool:
        """Say whether the server's logprobs are the policy's own, which statistics are of."""
        return self.raw or sampling.temperature == sampling.top_p == 1

    def _top(self, sampling: Sampling) -> int:
        return self.args.top_logprobs if _asked(sampling) and self._ours(sampling) else 0

    def _body(self, prompt_ids: Sequence[int], seed: int, sampling: Sampling) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.served,
            "prompt": list(prompt_ids),
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
            "n": 1,
            "seed": seed,
            "stop": [*self.prompter.settings.stop, self.prompter.end],
        }
        if top := self._top(sampling):
            body["logprobs"] = top
        if self.beyond_standard:
            body["extra_body"] = {
                "return_token_ids": True,
                "return_tokens_as_token_ids": True,
                "stop_token_ids": sorted(self.prompter.stop_ids()),
                "skip_special_tokens": False,
                "spaces_between_special_tokens": False,
                # vLLM would take these from the model's generation_config.
                "top_k": -1,
                "min_p": 0.0,
                "repetition_penalty": 1.0,
            }
        return body

    def _most(self, prompt_ids: Sequence[int], sampling: Sampling) -> int:
        """Bound the bytes of an honest answer, generously."""
        each = 256 + 96 * (self._top(sampling) + 1)
        return int(2**20 + 16 * len(prompt_ids) + each * sampling.max_tokens)

    def _choice(self, answer: Any, sampling: Sampling) -> dict[str, Any]:
        """Check the one choice of an answer, as far as a rollout depends on it."""
        choices = answer.get("choices") if isinstance(answer, dict) else None
        if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
            raise Failed("no choice", broken=True)
        choice: dict[str, Any] = choices[0]
        if choice.get("finish_reason") not in ("stop", "length"):
            reason = one_line(choice.get("finish_reason"), 20)
            raise Failed(f"finish_reason {reason}", broken=True)
        token_ids = choice.get("token_ids")
        if token_ids is None:
            if not isinstance(choice.get("text"), str):
                raise Failed("no text", broken=True)
            number = _count(answer, "completion_tokens") or 0
        else:
            if not isinstance(token_ids, list) or not all(
                type(token) is int and 0 <= token < self.vocabulary for token in token_ids
            ):
                raise Failed("tokens that the model does not have", broken=True)
            number = len(token_ids)
        if number > sampling.max_tokens:
            raise Failed("more tokens than asked for", broken=True)
        return choice

    def _finished(self, request: Request, sampling: Sampling, answer: Any) -> Finished:
        choice = self._choice(answer, sampling)
        reason, token_ids = choice["finish_reason"], choice.get("token_ids")
        number = _count(answer, "completion_tokens") if token_ids is None else len(token_ids)
        if reason == "length" and number is not None and number < sampling.max_tokens:
            self.counts["cut_short"] += 1  # by a limit of the server's own
        if token_ids is None:
            if _asked(sampling):
                self.without_statistics["no token ids"] += 1
            # Half a surrogate pair is JSON, and no text that a table can hold.
            text = choice["text"].encode("utf-8", "replace").decode()
            found = [text.find(stop) for stop in (*self.prompter.settings.stop, self.prompter.end)]
            cut = min((place for place in found if place >= 0), default=None)
            return _without_tokens(request, text[:cut], reason if cut is None else "stop", number)
        ends = {*self.prompter.stop_ids(), choice.get("stop_reason")}
        length = next((i for i, token in enumerate(token_ids) if token in ends), len(token_ids))
        length = self.prompter.before_stop(token_ids[:length])
        statistics = self._statistics(choice, length, sampling)
        kept = token_ids[:length]
        return Finished(
            request=request,
            completion=self.prompter.decode(kept),
            finish_reason=reason if length == len(token_ids) else "stop",
            token_ids=kept,
            logprobs=statistics and statistics[0],
            entropies=statistics[1] if statistics and sampling.entropy else None,
            branching=statistics[2] if statistics and sampling.branching else None,
            stats_origin="topk" if statistics else None,
            seed=request.seed,
            num_tokens=length,
        )

    def _statistics(
        self, choice: dict[str, Any], length: int, sampling: Sampling
    ) -> tuple[list[float], list[float], list[int]] | None:
        """Estimate the statistics of a rollout's first tokens, or count why that cannot be."""
        if not _asked(sampling):
            return None
        try:
            if not self._ours(sampling):
                raise Unusable("logprobs that are not the policy's")
            return estimates(
                choice,
                length,
                top=self.args.top_logprobs,
                mass=sampling.mass,
                vocabulary=self.vocabulary,
            )
        except Unusable as reason:
            self.without_statistics[str(reason)] += 1
            return None


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
        elif name == "timeout":
            good = type(value) in (int, float) and 0 < value < math.inf
            wanted = "seconds, above 0"
        else:
            least, most = {"concurrency": (1, 1000), "retries": (0, 100)}.get(name, (1, 10_000))
            good = type(value) is int and least <= value <= most
            wanted = f"a whole number from {least} to {most}"
        if not good:
            raise RFTError(f"engine.args.{name} is {one_line(value)!r}, and should be {wanted}")
    return Arguments(**args)


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
        one_line(name, 60) + (f" ({one_line(each.root, 80)})" if each.root else "")
        for name, each in list(listed.items())[:2]
    ]
    return ", ".join([*named, *(["others"] if len(listed) > 2 else [])]) or "no model"


def _port(where: str) -> str:
    """Give the option that has a server listen where we look."""
    port = re.search(r":(\d+)(?:/|$)", where)
    return f" --port {port[1]}" if port else ""


def _without_tokens(request: Request, text: str, reason: str, number: int | None) -> Finished:
    nothing: dict[str, None] = dict.fromkeys(
        ("token_ids", "logprobs", "entropies", "branching", "stats_origin")
    )
    return Finished(request, text, reason, **nothing, seed=request.seed, num_tokens=number)


def _asked(sampling: Sampling) -> bool:
    return sampling.entropy or sampling.branching


def _count(answer: Any, name: str) -> int | None:
    usage = answer.get("usage")
    number = usage.get(name) if isinstance(usage, dict) else None
    return number if type(number) is int and 0 <= number < 2**31 else None
