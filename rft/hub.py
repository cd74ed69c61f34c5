"""The Hugging Face Hub, asked or pushed to: what it refused, in one line that says what to do."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rft.errors import Interrupted, RFTError, explained
from rft.foreign_text import keep_secret, masked

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError

LOG_IN = "`hf auth login`, or set HF_TOKEN"
REFUSED_UPLOAD = f"the token may not write there, or there is no room: {LOG_IN}, or make room"
LONGEST_TOLD = 200
STATUSES = {
    401: f"the token is not accepted{{said}}; {LOG_IN}",
    403: f"the token may not do that{{said}}; one that may write there is needed: {LOG_IN}",
    409: "it was made in the meantime",
    412: "somebody else pushed in the meantime",
    429: "the Hub asks to wait{said}",
}


def troubles() -> tuple[type[Exception], ...]:
    """List what clients of the Hub raise where the Hub, the network or a name is the reason."""
    import httpx2
    from datasets.exceptions import DatasetsError

    return (httpx2.HTTPError, DatasetsError, OSError, RuntimeError, ValueError)


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn what goes wrong while something is read from the Hub into one line."""
    # It warns of data sets whose card has no front matter, which costs nobody anything.
    logging.getLogger("huggingface_hub.repocard").setLevel(logging.ERROR)
    try:
        yield
    except troubles() as error:
        if explained(error):
            raise
        raise RFTError(f"{what}: {reason(error)}") from None


@contextmanager
def pushing(what: str) -> Iterator[None]:
    """Turn what goes wrong while something is pushed into one line; what passes is told so."""
    try:
        yield
    except troubles() as error:
        if explained(error):
            raise
        told = f"{what}: {reason(error)}"
        if passes(error):
            raise Interrupted(f"{told}; nothing is half-pushed") from None
        raise RFTError(told) from None


def passes(error: BaseException) -> bool:
    """Say whether the same request may well be granted later, without anybody's doing."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    cause = root(error)
    if isinstance(cause, HfHubHTTPError):
        status = cause.response.status_code
        return status in (408, 409, 412, 429) or status >= 500
    if isinstance(cause, OfflineModeIsEnabled) or refused_by_xet(cause):
        return False
    return isinstance(cause, (httpx2.TransportError, ConnectionError, TimeoutError))


def refused_by_xet(error: BaseException) -> bool:
    """Say whether an error of hf_xet's, which calls all of them connection errors, is a refusal."""
    told = re.search(r"HTTP status client error \((\d+)", str(error))
    return told is not None and told[1] not in ("408", "429")


def root(error: BaseException) -> BaseException:
    """Find what an exception is about: libraries wrap what the Hub said in errors of their own."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    known = (HfHubHTTPError, httpx2.TransportError, LocalTokenNotFoundError, ConnectionError)
    each: BaseException | None = error
    while each is not None:
        if isinstance(each, known):
            return each
        each = each.__cause__ or each.__context__
    return error


def reason(error: BaseException) -> str:
    """Say why, and what to do about it, without the token that was used."""
    import httpx2
    from datasets.exceptions import DatasetNotFoundError
    from huggingface_hub import constants, get_token
    from huggingface_hub.errors import (
        HfHubHTTPError,
        LocalTokenNotFoundError,
        OfflineModeIsEnabled,
    )

    cause = root(error)
    if isinstance(cause, OfflineModeIsEnabled):
        told = "the Hub is not asked while HF_HUB_OFFLINE is set; unset it"
    elif isinstance(cause, LocalTokenNotFoundError):
        told = f"there is no token for {constants.ENDPOINT}; {LOG_IN}"
    elif isinstance(cause, HfHubHTTPError):
        told = refusal(cause)
    elif refused_by_xet(cause):
        told = f"the upload was refused ({first_line(cause)}); {REFUSED_UPLOAD}"
    elif isinstance(cause, (httpx2.TransportError, ConnectionError, TimeoutError)):
        told = f"{constants.ENDPOINT} cannot be reached ({first_line(cause)}); check the network"
    elif isinstance(cause, DatasetNotFoundError):
        told = f"{first_line(cause)} Check its name, or {LOG_IN}"
    else:
        told, below = first_line(cause), first_line(cause.__cause__ or "")
        told += f" ({below})" if below else ""
    keep_secret(get_token() or "")
    return masked(told)


def refusal(error: "HfHubHTTPError") -> str:
    """Read an answer of the Hub: its status, and its words where they say more."""
    from huggingface_hub import constants, get_token
    from huggingface_hub import errors as told

    status, words = error.response.status_code, first_line(error.server_message or "")
    said = f" ({words})" if words else ""
    if isinstance(error, told.GatedRepoError):
        page = constants.ENDPOINT
        return f"it is gated{said}; ask for access on its page at {page}, then {LOG_IN}"
    if isinstance(error, told.RevisionNotFoundError):
        return "it has no such revision; check it"
    if isinstance(error, told.RemoteEntryNotFoundError):
        return f"it lacks a file that is needed{said}"
    if isinstance(error, told.RepositoryNotFoundError):
        if get_token() is None:
            return f"it does not exist on the Hub, or is private; check the name, or {LOG_IN}"
        return "it does not exist on the Hub, or this token may not see it; check the name"
    if status == 403 and "storage" in words.lower():
        return f"no room on the Hub{said}; free some, upgrade the plan, or push with --public"
    if status >= 500:
        return f"the Hub is in trouble: status {status}{said}"
    return STATUSES.get(status, "the Hub refused it with status {status}{said}").format(
        status=status, said=said
    )


def first_line(error: object) -> str:
    """Give the first line of what a library says, and not too much of it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__ if isinstance(error, Exception) else ""
    return text if len(text) <= LONGEST_TOLD else f"{text[: LONGEST_TOLD - 3]}..."
