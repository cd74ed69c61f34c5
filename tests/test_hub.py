"""What the Hub refuses is one line, whatever wraps it, and says who can do something about it.

Run: python -m pytest tests/test_hub.py
"""

import httpx2
import pytest
from huggingface_hub.errors import HfHubHTTPError

from rft.errors import Interrupted, RFTError
from rft.hub import LONGEST_TOLD, pushing, reading


def answered(status, words=""):
    request = httpx2.Request("POST", "http://hub/api")
    response = httpx2.Response(status, request=request)
    return HfHubHTTPError(f"{status}\n\nfor url", response=response, server_message=words)


def upload(error):
    """Fail as the client does: it wraps what goes wrong with a file."""
    raise RuntimeError("Error while uploading 'x' to the Hub.") from error


def told(error, way=pushing):
    with pytest.raises((RFTError, Interrupted)) as raised, way("org/d"):
        upload(error)
    assert "\n" not in str(raised.value)
    return raised.type, str(raised.value)


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (answered(409), Interrupted, "was made in the meantime"),
        (answered(412), Interrupted, "pushed in the meantime"),
        (answered(429, "slowly\nmore"), Interrupted, "asks to wait (slowly)"),
        (answered(502), Interrupted, "in trouble: status 502"),
        (answered(402, "pay"), RFTError, "refused it with status 402 (pay)"),
        (answered(403, "{status} of {odd}"), RFTError, "may not do that ({status} of {odd})"),
        (httpx2.ConnectError("no route"), Interrupted, "cannot be reached (no route)"),
        (httpx2.ReadTimeout("too long"), Interrupted, "cannot be reached (too long)"),
        (ConnectionError("HTTP status server error (503 x)"), Interrupted, "cannot be reached"),
        (ConnectionError("HTTP status client error (403 x)"), RFTError, "upload was refused"),
        (ValueError("odd"), RFTError, "Error while uploading 'x' to the Hub. (odd)"),
        (ValueError("odd" * 999), RFTError, "..."),
    ],
)
def test_a_refusal_is_one_line_and_what_passes_is_told_so(error, kind, words):
    raised, line = told(error)
    assert raised is kind
    assert line.startswith("org/d: ")
    assert words in line
    assert len(line) < 2 * LONGEST_TOLD
    if kind is Interrupted:
        assert line.endswith("; nothing is half-pushed")


def test_where_something_is_only_read_a_person_decides():
    assert told(answered(503), reading)[0] is RFTError


def test_a_full_disk_and_a_bug_stay_what_they_are():
    with pytest.raises(OSError, match="No space"), pushing("org/d"):
        raise OSError(28, "No space left on device")
    with pytest.raises(AssertionError), pushing("org/d"):
        raise AssertionError("a bug")
