"""Where a server is, with which key it is asked, and how often: one attempt, and then others."""

import asyncio
import contextlib
import json
import os
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

from rft.errors import RFTError

T = TypeVar("T")

LONGEST_WAIT = 300.0
UP_TO_V1 = "mend engine.url, which goes up to and with /v1"


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
        api_key_env: str | None,
        sleep: Callable[[float], Awaitable[None]],
    ):
        self.url = address(url)
        self.where = f"engine.url: {self.url}"
        self.timeout, self.most_retries = timeout, retries
        self.key, self.key_name = key(api_key_env), api_key_env or "OPENAI_API_KEY"
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
        return AsyncOpenAI(base_url=self.url, api_key=self.key, max_retries=0, timeout=self.timeout)

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
        """Ask, and ask again with growing pauses while a failure may pass."""
        attempt = 0
        while True:
            try:
                return read(await self._fetch(call(), most))
            except Failed as failure:
                if attempt >= (self.most_retries if retries is None else retries):
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
            async with asyncio.timeout(self.timeout), call as response:
                async for chunk in response.iter_bytes():
                    raw += chunk
                    if len(raw) > most:
                        raise Failed("a body too long", broken=True)
        except openai.APIStatusError as error:
            raise self._status(error) from None
        except (TimeoutError, openai.APITimeoutError, httpx2.TimeoutException):
            raise Failed("timeout", f"{self.timeout:g} s") from None
        except (openai.OpenAIError, httpx2.HTTPError) as error:
            raise Failed("connection", one_line(error.__cause__ or error)) from None
        try:
            return json.loads(raw)
        except (ValueError, RecursionError):
            raise Failed("no JSON", broken=True) from None

    def _status(self, error: Any) -> Exception:
        """Tell what an HTTP error means for the request and for the run."""
        code, kind = error.status_code, f"HTTP {error.status_code}"
        body = error.body if isinstance(error.body, dict) else {}
        words = one_line(body.get("message") or body.get("detail") or error.body or "no reason")
        if code in (401, 402, 403):
            return RFTError(
                f"{self.where}: {kind}: {words}; put a key that may do this into the environment "
                f"variable {self.key_name}"
            )
        if code == 404:
            return RFTError(f"{self.where}: {kind}: {words}; {UP_TO_V1}")
        if code in (408, 409, 425, 429) or code >= 500:
            wait = retry_after(error.response.headers.get("retry-after"))
            return Failed(kind, words, busy=code in (429, 503), wait=wait)
        return Refused(kind, words)


def address(url: str) -> str:
    """Check a server's address; a secret in it would be copied into every manifest."""
    try:
        parts = urlsplit(url)
        well = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        well = False
    if not well or parts.query or parts.fragment:
        shown = one_line(url.rpartition("@")[2].partition("?")[0])
        raise RFTError(f"engine.url is {shown!r}, and should be like http://localhost:8000/v1")
    if parts.username is not None or parts.password is not None:
        raise RFTError(
            "engine.url holds a user or password, which would be written into the run; put a key "
            "into the environment variable OPENAI_API_KEY, or name one with engine.args.api_key_env"
        )
    return url.rstrip("/")


def key(named: str | None) -> str:
    """Take the key from the environment, which no recipe and no manifest records."""
    secret = os.environ.get(named or "OPENAI_API_KEY", "").strip()
    if named and not secret:
        raise RFTError(f"engine.args.api_key_env: the environment variable {named} is not set")
    if not (secret.isascii() and secret.isprintable()):
        raise RFTError(
            f"the environment variable {named or 'OPENAI_API_KEY'} holds no key: it has characters "
            "that no HTTP header can have"
        )
    return secret or "none"  # local servers ask for none, and the client insists on one


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


def one_line(words: Any, longest: int = 200) -> str:
    """Make somebody else's words fit to be shown: one line, short, without control characters."""
    text = "".join(c if c.isprintable() else " " for c in str(words)[: 4 * longest])
    text = " ".join(text.split())
    return text if len(text) <= longest else f"{text[: longest - 3]}..."
