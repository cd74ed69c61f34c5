"""Where a server is, with which key it is asked, and how often: one attempt, and then others."""

import asyncio
import contextlib
import json
import math
import os
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from rft.errors import RFTError
from rft.foreign_text import keep_secret, short

T = TypeVar("T")

# Seconds between two attempts: where nobody says how many, and the least that anybody's come to.
LONGEST_WAIT, SHORTEST_WAIT = 300.0, 1.0
# No honest refusal has more bytes to say; of its words these many are shown.
LONGEST_REFUSAL, SHOWN = 1 << 16, 200


class Refused(Exception):
    """The server will not have this request, however often it is asked."""

    def __init__(self, kind: str, words: str):
        super().__init__(f"{kind}: {words}")
        self.kind = kind


class Failed(Exception):
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


class Endpoint:
    """A server's address, its key, and the patience to ask again."""

    def __init__(
        self,
        url: str,
        *,
        timeout: float,
        retries: int,
        patience: float,
        api_key_env: str | None,
        sleep: Callable[[float], Awaitable[None]],
        place: str = "engine.url",
    ):
        self.url, self.place = url.rstrip("/"), place
        self.where = f"{place}: {self.url}"
        self.timeout, self.most_retries, self.patience = timeout, retries, patience
        self.key, self.key_name = key(api_key_env), api_key_env or "OPENAI_API_KEY"
        self.sleep = sleep
        self.retries: Counter[str] = Counter()

    def client(self) -> Any:
        """Make a client; it belongs to the event loop that first uses it."""
        try:
            from openai import AsyncOpenAI, DefaultAsyncHttpxClient
        except ImportError:
            raise RFTError(
                f"{self.place} needs the openai package; pip install 'rft-rounds[server]'"
            ) from None
        wire = DefaultAsyncHttpxClient(
            # It would carry the prompts, or the key, to whatever place the server names.
            follow_redirects=False,
            headers={"accept-encoding": "identity"},
            event_hooks={"response": [self._look]},
        )
        # The client's own retries are neither counted nor stopped by a broken body.
        return AsyncOpenAI(
            base_url=self.url,
            api_key=self.key,
            max_retries=0,
            timeout=self.timeout,
            http_client=wire,
        )

    @contextlib.contextmanager
    def open(self, runner: asyncio.Runner, tasks: set[asyncio.Task[Any]]) -> Iterator[Any]:
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
        """Ask, and ask again with growing pauses while a failure may pass.

        A server that asks to wait is asked for as long as patience lasts, attempts included; any
        other failure is borne so many times, unless `retries` says it of all. A pause that would
        outlast the patience is not begun.
        """
        attempt, borne, spent = 0, 0, 0.0
        while True:
            began = time.monotonic()
            try:
                return read(await self._fetch(call(), most))
            except Failed as failure:
                borne += retries is not None or not failure.busy
                wait = _pause(attempt, failure.wait)
                spent += time.monotonic() - began + wait
                enough = borne > (self.most_retries if retries is None else retries)
                if enough or spent > self.patience:
                    raise
                self.retries[failure.kind] += 1
            await self.sleep(wait)
            attempt += 1

    async def _fetch(self, call: Any, most: int) -> Any:
        """Make one attempt and parse the answer, of which no more than `most` bytes are read."""
        import httpx2
        import openai

        raw = bytearray()
        try:
            async with asyncio.timeout(self.timeout), call as response:
                async for chunk in response.iter_bytes():
                    raw += chunk
                    if len(raw) > most:
                        raise Failed("a body too long", broken=True)
        except (TimeoutError, openai.APITimeoutError, httpx2.TimeoutException):
            raise Failed("timeout", f"{self.timeout:g} s") from None
        except (openai.OpenAIError, httpx2.HTTPError) as error:
            raise Failed("connection", short(str(error.__cause__ or error), SHOWN)) from None
        try:
            return json.loads(raw)
        except (ValueError, RecursionError):
            raise Failed("no JSON", broken=True) from None

    async def _look(self, response: Any) -> None:
        """Look at the head of an answer, and read a refusal, as far as anybody would."""
        plain = response.headers.get("content-encoding", "identity").strip().lower() == "identity"
        if response.status_code < 300:
            if not plain:  # small on the way, and here of any size
                raise Failed("a compressed body", broken=True)
            return
        raw = bytearray()
        async with contextlib.aclosing(response.aiter_raw()) as chunks:
            async for chunk in chunks:
                raw += chunk
                if len(raw) >= LONGEST_REFUSAL:
                    break
        words = reason_in(bytes(raw[:LONGEST_REFUSAL])) if plain else ""
        raise self._status(response.status_code, words or "no reason", response.headers)

    def _status(self, code: int, words: str, headers: Any) -> Exception:
        """Tell what an HTTP error means for the request and for the run."""
        kind = f"HTTP {code}"
        if code < 400:
            place = short(headers.get("location", "nowhere"), SHOWN)
            return RFTError(
                f"{self.where}: {kind} leads to {place}, and is not followed, since that may be "
                f"anywhere; set {self.place} to the address that answers"
            )
        if code in (401, 402, 403):
            return RFTError(
                f"{self.where}: {kind}: {words}; put a key that may do this into the environment "
                f"variable {self.key_name}"
            )
        if code == 404:
            return RFTError(f"{self.where}: {kind}: {words}; {up_to_v1(self.place)}")
        if code in (408, 409, 425, 429) or code >= 500:
            wait = retry_after(headers.get("retry-after"))
            return Failed(kind, words, busy=code in (429, 503), wait=wait)
        return Refused(kind, words)


def up_to_v1(place: str) -> str:
    """Say how an address is written, at its place in the recipe."""
    return f"mend {place}, which goes up to and with /v1"


def key(named: str | None) -> str:
    """Take the key from the environment, which no recipe and no manifest records."""
    secret = os.environ.get(named or "OPENAI_API_KEY", "").strip()
    keep_secret(secret)
    if named and not secret:
        raise RFTError(f"engine.args.api_key_env: the environment variable {named} is not set")
    if not (secret.isascii() and secret.isprintable()):
        raise RFTError(
            f"the environment variable {named or 'OPENAI_API_KEY'} holds no key: it has characters "
            "that no HTTP header can have"
        )
    return secret or "none"  # local servers ask for none, and the client insists on one


def reason_in(body: bytes) -> str:
    """Read why a server refuses: a message in JSON, or whatever it says."""
    text = body.decode(errors="replace")
    with contextlib.suppress(ValueError, RecursionError):
        told = json.loads(text)
        error = told.get("error", told) if isinstance(told, dict) else told
        if isinstance(error, dict):
            error = error.get("message") or error.get("detail") or error
        text = str(error or "")
    return short(text, SHOWN)


def retry_after(header: str | None) -> float | None:
    """Read how many seconds a server wants to be left alone: a number, or a date."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            when = parsedate_to_datetime(header)
            there = when.replace(tzinfo=when.tzinfo or UTC)
            seconds = (there - datetime.now(UTC)).total_seconds()
        except (OverflowError, TypeError, ValueError):
            return None
    return None if math.isnan(seconds) else max(0.0, seconds)


def _pause(attempt: int, asked: float | None) -> float:
    """Choose how long to wait: as a server asks, or longer with every attempt.

    A little chance goes along, lest all that failed together come back together.
    """
    if asked is None:
        return min(LONGEST_WAIT, 2.0 ** min(attempt, 10)) * random.uniform(0.5, 1)
    return max(asked, SHORTEST_WAIT) * random.uniform(1, 1.25)
