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
import os
import random
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

from rft.engines import Feed, Finished, Request, Sampling
from rft.errors import Interrupted, RFTError
from rft.prompt import Prompter
from rft.recipe_complaints import nearest
from rft.recipe_sampling import Engine as Settings

T = TypeVar("T")

# Seconds between two looks at whether the work has to stop.
POLL = 0.25
LONGEST_WAIT = 300.0
# A known good question: what fails on it fails on everything.
QUESTION = "What is 1 + 1?"
UP_TO_V1 = "mend engine.url, which goes up to and with /v1"


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

    together = False

    def __init__(
        self,
        prompter: Prompter,
        engine: Settings,
        *,
        model: str,
        sampling: Sampling,
        longest: int,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ):
        self.args = arguments(engine.args)
        self.prompter = prompter
        self.vocabulary = len(prompter.tokenizer)
        self.probe_ids = prompter.encode(prompter.render(QUESTION))
        self.model = engine.served_model or model
        assert engine.url is not None, "the recipe refuses a server without a url"
        self.endpoint = _Endpoint(engine.url, self.args, sleep)
        self.longest = longest
        self.beyond_standard = True
        self.raw = True
        """Whether logprobs are those of temperature 1, whatever is sampled at; see _learn."""
        self.counts = dict.fromkeys(("requests", "cut_short"), 0)
        self.errors: Counter[str] = Counter()
        self.without_statistics: Counter[str] = Counter()
        with asyncio.Runner() as runner, self.endpoint.open(runner, set()) as client:
            runner.run(self._look(client))
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
            "served_model": self.model,
            **self.counts,
            "retries": dict(sorted(self.endpoint.retries.items())),
            "errors": dict(sorted(self.errors.items())),
            "without_statistics": dict(sorted(self.without_statistics.items())),
            "beyond_standard": self.beyond_standard,
        }

    async def _look(self, client: Any) -> None:
        """Find the served model, and see that it can read as much as will be asked."""
        where = self.endpoint.where
        try:
            # A typing error in the address should not take a minute to be told.
            names = await self.endpoint.persist(
                client.models.with_streaming_response.list, 2**24, _models, retries=2
            )
        except _Refused as trouble:
            raise RFTError(f"{where}: {trouble}; {UP_TO_V1}") from None
        except _Failed as trouble:
            if trouble.busy:
                raise Interrupted(f"{where}: {trouble}; run again later") from None
            raise RFTError(f"{where}: {trouble}; start the server, or {UP_TO_V1}") from None
        if self.model not in names:
            shown = ", ".join(_one_line(name) for name in list(names)[:5]) or "no model"
            raise RFTError(
                f"{where}: the server has no model {self.model}, but {shown}; "
                "set engine.served_model, or serve the model"
            )
        limit = names[self.model]
        if limit is not None and limit < self.longest:
            raise RFTError(
                f"{where}: the server takes {limit} tokens, prompt and completion together, and "
                f"up to {self.longest} are needed; lower max_tokens, or start the server with a "
                "longer context (vLLM: --max-model-len)"
            )

    async def _learn(self, client: Any, sampling: Sampling) -> None:
        """Find out what the server understands, and what its logprobs are of."""
        one = replace(sampling, max_tokens=1, temperature=1.0, top_p=1.0)
        try:
            warm = await self._probe(client, one)
        except _Refused:
            self.beyond_standard = False
            try:
                warm = await self._probe(client, one)
            except _Refused as trouble:
                raise self._refuses(trouble) from None
        try:
            cold = await self._probe(client, replace(one, temperature=0.25))
        except _Refused:
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
        except _Failed as trouble:
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
            except _Refused as refusal:
                if "context" in str(refusal).lower():
                    raise RFTError(
                        f"{self.endpoint.where}: {len(request.prompt_ids)} tokens and "
                        f"{sampling.max_tokens} more are too long ({refusal}); lower max_tokens, "
                        f"or start the server with a context of {self.longest}"
                    ) from None
                trouble: _Refused | _Failed = refusal
            except _Failed as failure:
                trouble = failure
            try:
                # After a failure there were attempts enough; a refusal came at the first.
                retries = 0 if isinstance(trouble, _Failed) else None
                await self._probe(client, replace(sampling, max_tokens=1), retries=retries)
            except _Refused as refusal:
                raise self._refuses(refusal) from None
            if isinstance(trouble, _Failed) and trouble.busy:
                continue  # others are answered, so this one's turn will come
            self.errors[trouble.kind] += 1
            return _without_tokens(request, "", "error", 0)

    def _refuses(self, trouble: "_Refused") -> RFTError:
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
            "model": self.model,
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
            raise _Failed("no choice", broken=True)
        choice: dict[str, Any] = choices[0]
        if choice.get("finish_reason") not in ("stop", "length"):
            reason = _one_line(choice.get("finish_reason"), 20)
            raise _Failed(f"finish_reason {reason}", broken=True)
        token_ids = choice.get("token_ids")
        if token_ids is None:
            if not isinstance(choice.get("text"), str):
                raise _Failed("no text", broken=True)
            number = _count(answer, "completion_tokens") or 0
        else:
            if not isinstance(token_ids, list) or not all(
                type(token) is int and 0 <= token < self.vocabulary for token in token_ids
            ):
                raise _Failed("tokens that the model does not have", broken=True)
            number = len(token_ids)
        if number > sampling.max_tokens:
            raise _Failed("more tokens than asked for", broken=True)
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
                raise _Unusable("logprobs that are not the policy's")
            return self._estimates(choice, length, sampling)
        except _Unusable as reason:
            self.without_statistics[str(reason)] += 1
            return None

    def _estimates(
        self, choice: dict[str, Any], length: int, sampling: Sampling
    ) -> tuple[list[float], list[float], list[int]]:
        record, token_ids = choice.get("logprobs"), choice["token_ids"]
        if not isinstance(record, dict):
            raise _Unusable("no logprobs")
        names = [f"token_id:{token}" for token in token_ids]
        if record.get("tokens") != names:
            # Two tokens of one text would share a key of the listing.
            raise _Unusable("tokens named by text")
        chosen, listings = record.get("token_logprobs"), record.get("top_logprobs")
        if not (isinstance(chosen, list) and isinstance(listings, list)) or not (
            len(chosen) == len(listings) == len(token_ids)
        ):
            raise _Unusable("lists of unequal length")
        if not all(map(_is_logprob, chosen)):
            raise _Unusable("no logprob of a token")
        entropies, branching = [], []
        for listing in listings[:length]:
            listed = list(listing.values()) if isinstance(listing, dict) else []
            found = topk_statistics(
                listed, top=self.args.top_logprobs, mass=sampling.mass, vocabulary=self.vocabulary
            )
            if found is None:
                raise _Unusable("listings that are no top-k logprobs")
            entropies.append(found[0])
            branching.append(found[1])
        return [float(value) for value in chosen[:length]], entropies, branching


def topk_statistics(
    listed: Sequence[Any], *, top: int, mass: float, vocabulary: int
) -> tuple[float, int] | None:
    """Estimate entropy and branching factor from the logprobs of the `top` most probable tokens.

    Both are the least that any distribution with these probabilities can have: no other token is
    likelier than the last of the top, so the rest of the mass is taken to lie on as few tokens as
    that allows. They are exact where the top holds all mass (entropy) or the mass that is asked
    for (branching), and lower bounds otherwise; lumping the rest into one token, or stopping to
    count at `top` + 1, would be lower ones. The token drawn may be listed beside the top. None:
    not a distribution's, or fewer than asked for.
    """
    if not listed or not all(map(_is_logprob, listed)):
        return None
    logs = sorted(map(float, listed), reverse=True)
    probs = [math.exp(log) for log in logs]
    known = math.fsum(probs)
    if known > 1.001 or (len(probs) < top and known < 0.999):
        return None
    largest = probs[min(top, len(probs)) - 1]
    entropy = -math.fsum(p * log for p, log in zip(probs, logs, strict=True))
    entropy += _least_entropy(max(0.0, 1.0 - known), largest)
    reached = 0.0
    for count, p in enumerate(probs[:top], 1):
        reached += p
        if reached >= mass:
            return entropy, count
    if not largest:
        return entropy, min(top, len(probs))
    more = math.ceil(min((mass - reached) / largest, vocabulary) * (1 - 1e-6))
    return entropy, min(min(top, len(probs)) + max(more, 1), vocabulary)


def _least_entropy(rest: float, largest: float) -> float:
    """Give what a mass adds to the entropy on the fewest tokens, none above the largest."""
    if not rest:
        return 0.0
    if rest <= largest or not largest:
        return -rest * math.log(rest)
    whole = math.floor(rest / largest)
    remains = max(0.0, rest - whole * largest)
    spread = -whole * largest * math.log(largest)
    return spread - remains * math.log(remains) if remains else spread


class _Refused(Exception):
    """The server will not have this request, however often it is asked."""

    def __init__(self, kind: str, words: str):
        super().__init__(f"{kind}: {words}")
        self.kind = kind


class _Failed(Exception):
    """No answer that can be used; another attempt may get one."""

    def __init__(
        self,
        kind: str,
        words: str = "",
        *,
        busy: bool = False,
        broken: bool = False,
        wait: float | None = None,
    ):
        super().__init__(f"{kind}: {words}" if words else kind)
        self.kind = kind
        self.busy = busy
        self.broken = broken
        self.wait = wait


class _Unusable(Exception):
    """Why a rollout has no statistics."""


class _Endpoint:
    """A server's address, its key, and the patience to ask again."""

    def __init__(self, url: str, args: Arguments, sleep: Callable[[float], Awaitable[None]]):
        self.url = address(url)
        self.where = f"engine.url: {self.url}"
        self.args = args
        self.key = key(args.api_key_env)
        self.sleep = sleep
        self.retries: Counter[str] = Counter()

    def client(self) -> Any:
        """Make a client; it belongs to the event loop that first uses it."""
        try:
            from openai import AsyncOpenAI
        except ImportError:
            raise RFTError(
                "engine.kind: server needs the openai package; pip install 'rft-rounds[server]'"
            ) from None
        # The client's own retries are neither counted nor stopped by a broken body.
        return AsyncOpenAI(
            base_url=self.url, api_key=self.key, max_retries=0, timeout=self.args.timeout
        )

    @contextlib.contextmanager
    def open(self, runner: asyncio.Runner, tasks: set[asyncio.Task[Finished]]) -> Iterator[Any]:
        """Lend a client; in the end what is still in flight is called off."""
        client = self.client()

        async def hang_up() -> None:
            for each in tasks:
                each.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await client.close()

        try:
            yield client
        finally:
            runner.run(hang_up())

    async def persist(
        self,
        call: Callable[[], Any],
        most: int,
        read: Callable[[Any], T],
        *,
        retries: int | None = None,
    ) -> T:
        """Ask, and ask again with growing pauses while a failure may pass."""
        attempt = 0
        while True:
            try:
                return read(await self._fetch(call(), most))
            except _Failed as failure:
                if attempt >= (self.args.retries if retries is None else retries):
                    raise
                self.retries[failure.kind] += 1
                wait = failure.wait
            # A little chance, lest all that failed together come back together.
            if wait is None:
                wait = min(LONGEST_WAIT, 2.0**attempt) * random.uniform(0.5, 1)
            else:
                wait *= random.uniform(1, 1.25)
            await self.sleep(wait)
            attempt += 1

    async def _fetch(self, call: Any, most: int) -> Any:
        """Make one attempt and parse the answer, of which no more than `most` bytes are read."""
        import httpx2
        import openai

        raw = bytearray()
        try:
            async with asyncio.timeout(self.args.timeout), call as response:
                async for chunk in response.iter_bytes():
                    raw += chunk
                    if len(raw) > most:
                        raise _Failed("a body too long", broken=True)
        except openai.APIStatusError as error:
            raise self._status(error) from None
        except (TimeoutError, openai.APITimeoutError, httpx2.TimeoutException):
            raise _Failed("timeout", f"{self.args.timeout:g} s") from None
        except (openai.OpenAIError, httpx2.HTTPError) as error:
            raise _Failed("connection", _one_line(error.__cause__ or error)) from None
        try:
            return json.loads(raw)
        except (ValueError, RecursionError):
            raise _Failed("no JSON", broken=True) from None

    def _status(self, error: Any) -> Exception:
        """Tell what an HTTP error means for the request and for the run."""
        code, kind = error.status_code, f"HTTP {error.status_code}"
        body = error.body if isinstance(error.body, dict) else {}
        words = _one_line(body.get("message") or body.get("detail") or error.body or "no reason")
        if code in (401, 402, 403):
            name = self.args.api_key_env or "OPENAI_API_KEY"
            return RFTError(
                f"{self.where}: {kind}: {words}; put a key that may do this into the environment "
                f"variable {name}"
            )
        if code == 404:
            return RFTError(f"{self.where}: {kind}: {words}; {UP_TO_V1}")
        if code in (408, 409, 425, 429) or code >= 500:
            wait = retry_after(error.response.headers.get("retry-after"))
            return _Failed(kind, words, busy=code in (429, 503), wait=wait)
        return _Refused(kind, words)


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
            guess = nearest(name, names)
            told = f'did you mean "{guess}"?' if guess else f"they are {', '.join(names)}"
            raise RFTError(f'engine.args: the server engine has no "{name}"; {told}')
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
            raise RFTError(f"engine.args.{name} is {_one_line(value)!r}, and should be {wanted}")
    return Arguments(**args)


def address(url: str) -> str:
    """Check a server's address; a secret in it would be copied into every manifest."""
    try:
        parts = urlsplit(url)
        well = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        well = False
    if not well or parts.query or parts.fragment:
        shown = _one_line(url.rpartition("@")[2].partition("?")[0])
        raise RFTError(f"engine.url is {shown!r}, and should be like http://localhost:8000/v1")
    if parts.username is not None or parts.password is not None:
        raise RFTError(
            "engine.url holds a user or password, which would be written into the run; put a key "
            "into the environment variable OPENAI_API_KEY, or name one with engine.args.api_key_env"
        )
    return url.rstrip("/")


def key(named: str | None) -> str:
    """Take the key from the environment, which no recipe and no manifest records."""
    found = os.environ.get(named or "OPENAI_API_KEY", "").strip()
    if named and not found:
        raise RFTError(f"engine.args.api_key_env: the environment variable {named} is not set")
    if not (found.isascii() and found.isprintable()):
        raise RFTError(
            f"the environment variable {named or 'OPENAI_API_KEY'} holds no key: it has characters "
            "that no HTTP header can have"
        )
    return found or "none"  # local servers ask for none, and the client insists on one


def retry_after(header: str | None) -> float | None:
    """Read how many seconds a server wants to be left alone: a number, or a date."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            when = parsedate_to_datetime(header)
        except ValueError:
            return None
        seconds = (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return min(max(0.0, seconds), LONGEST_WAIT)


def _models(answer: Any) -> dict[str, int | None]:
    """Read the list of models: each one's name, and the tokens it takes where that is told."""
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(data, list):
        raise _Failed("no list of models", broken=True)
    found = {}
    for entry in data:
        if isinstance(entry, dict) and isinstance(entry.get("id"), str):
            limit = entry.get("max_model_len")
            found[entry["id"]] = limit if type(limit) is int else None
    return found


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


def _is_logprob(value: Any) -> bool:
    return type(value) in (int, float) and -math.inf < value < 1e-3


def _one_line(words: Any, longest: int = 200) -> str:
    """Make somebody else's words fit to be shown: one line, short, without control characters."""
    text = "".join(c if c.isprintable() else " " for c in str(words)[: 4 * longest])
    text = " ".join(text.split())
    return text if len(text) <= longest else f"{text[: longest - 3]}..."
