"""Pins the wire to a server: wrong addresses and keys are one line, passing trouble is ridden out.

Run: python -m pytest tests/engines/test_endpoint.py
"""

import gzip
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from rft.engines.endpoint import retry_after
from rft.errors import RFTError
from tests.fake_server import CUT, KEY, TRICKLE, completion, engine, one_line, requests, run


def test_a_server_that_asks_for_patience_gets_it(serve):
    def behave(call):
        if not call.probe and not call.before:
            return 429, {"error": {"message": "slow down"}}, {"retry-after": "7"}
        return None

    slept = []
    made = engine(serve(behave), slept=slept)
    assert len(run(made, requests(5))) == 5
    assert len(slept) == 5
    assert all(7 <= seconds <= 7 * 1.25 for seconds in slept)
    assert made.figures()["retries"] == {"HTTP 429": 5}


def test_retry_after_is_a_number_or_a_date_and_no_trap():
    assert retry_after(None) is None
    assert retry_after("soon") is None
    assert retry_after("nan") is None
    assert retry_after("-5") == 0
    assert retry_after("1e9") == 1e9
    assert retry_after("1" * 5000) == float("inf")
    assert retry_after("Wed, 21 Oct 99999 07:28:00 GMT") is None
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert retry_after("Wed, 21 Oct 2115 07:28:00 GMT") > 1e9


@pytest.mark.parametrize(
    ("trouble", "kind"),
    [
        ((503, b"<html>starting</html>", {}), "HTTP 503"),
        ((500, {"error": "oh"}, {}), "HTTP 500"),
        ((502, b"", {}), "HTTP 502"),
        ((408, b"", {}), "HTTP 408"),
        ((200, {"choices": []}, {"x": CUT}), "connection"),
        ((200, b'{"choices": [', {}), "no JSON"),
        ((200, b"[" * 100_000, {}), "no JSON"),
    ],
)
def test_passing_trouble_is_ridden_out_with_growing_pauses(serve, trouble, kind):
    def behave(call):
        return None if call.probe or call.before >= 3 else trouble

    slept = []
    made = engine(serve(behave), slept=slept)
    done = run(made, requests(4))
    assert {each.completion for each in done} == {str(r.seed) for r in requests(4)}
    assert made.figures()["retries"] == {kind: 12}
    assert len(slept) == 12
    assert sorted(slept)[:4] <= [1.0] * 4
    assert sum(seconds > 1 for seconds in slept) >= 4
    assert max(slept) <= 4


@pytest.mark.parametrize("trickle", [False, True])
def test_a_slow_answer_is_given_up_and_asked_for_again(serve, trickle):
    def behave(call):
        if call.probe or call.before:
            return None
        if trickle:
            return 200, completion(call.body), {"x": TRICKLE}
        return time.sleep(3)

    made = engine(serve(behave), args={"timeout": 1.0})
    assert len(run(made, requests(2))) == 2
    assert made.figures()["retries"] == {"timeout": 2}


BOMB = gzip.compress(b" " * 50_000_000)
START = {
    "no list": (200, {"models": []}, {}, r"no list of models.*with /v1"),
    "no json": (200, b"<html>hello</html>", {}, r"no JSON.*with /v1"),
    "no key": (401, {"error": {"message": "who are you?"}}, {}, r"401.*who are you.*OPENAI_API_"),
    "not yours": (403, b"", {}, r"403.*OPENAI_API_KEY"),
    "no such page": (404, {"detail": "Not Found"}, {}, r"404.*Not Found.*with /v1"),
    "elsewhere": (301, b"", {"location": "https://evil.example/v1"}, r"301 leads to https://evil"),
    "a file": (
        307,
        b"",
        {"location": "file:///etc/passwd"},
        r"307 leads to file:///etc/passwd, an",
    ),
    "nowhere": (302, b"", {}, r"302 leads to nowhere"),
    "a refusal without end": (400, b"no " * 1_000_000, {}, r"400: no no"),
    "a refusal in a bomb": (400, BOMB, {"content-encoding": "gzip"}, r"400: no reason"),
    "a refusal in lists": (400, b"[" * 30_000 + b"]" * 30_000, {}, r"400: \[\[\["),
    "a nested refusal": (400, {"error": {"message": {"a": [None]}}}, {}, r"400: {'a': \[None\]}"),
    "an odd status": (299, b"", {}, r"no JSON"),
    "a huge limit": (200, {"data": [{"id": "tiny", "max_model_len": -(10**400)}]}, {}, None),
    "odd names": (200, {"data": [None, {"id": 5}, {"id": "\ud800\x1b"}]}, {}, r"but no model"),
    "a bad gateway": (502, b"\x1b[31mno\nno", {}, r"502.*no no.*start the server"),
    "refused": (400, {"message": "no"}, {}, r"400"),
    "cut": (200, {"data": []}, {"x": CUT}, r"connection"),
}


@pytest.mark.parametrize("name", START)
def test_a_wrong_endpoint_is_one_line_before_anything_is_asked(serve, name):
    *answer, wanted = START[name]
    fake = serve(look=lambda: answer)
    if wanted is None:
        assert engine(fake)
        return
    with pytest.raises(RFTError) as caught:
        engine(fake)
    assert re.search(wanted, one_line(caught))
    assert fake.url in one_line(caught)
    assert not fake.calls


def test_a_closed_port_is_one_line(serve):
    fake = serve()
    fake.http.shutdown()
    fake.http.server_close()
    with pytest.raises(RFTError) as caught:
        engine(fake)
    assert re.search(r"engine\.url: http://127.*start the server", one_line(caught))


def test_a_key_that_no_header_can_hold_is_not_shown(serve, monkeypatch):
    monkeypatch.setenv("OTHER_KEY", f"{KEY}\n\u2713")
    with pytest.raises(RFTError, match="OTHER_KEY holds no key") as caught:
        engine(serve(), args={"api_key_env": "OTHER_KEY"})
    assert KEY not in one_line(caught)


def test_without_the_client_library_the_extra_is_named(serve, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "openai", None)
    with pytest.raises(RFTError, match=r"rft-rounds\[server\]") as caught:
        engine(serve())
    one_line(caught)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_so_that_nobody_else_hears_the_key(serve, monkeypatch, status):
    heard = []

    class Other(BaseHTTPRequestHandler):
        def log_message(self, *_args):
            pass

        def do_GET(self):
            heard.append(dict(self.headers))
            self.send_error(404)

        do_POST = do_GET

    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    other = HTTPServer(("127.0.0.1", 0), Other)
    threading.Thread(target=other.serve_forever, args=(0.02,), daemon=True).start()
    for host in ("127.0.0.1", "localhost"):
        place = {"location": f"http://{host}:{other.server_port}/v1/completions"}
        with pytest.raises(RFTError, match=f"HTTP {status} leads to http://{host}"):
            engine(serve(lambda _, place=place: (status, b"", place)))
        with pytest.raises(RFTError, match=f"HTTP {status} leads to http://{host}"):
            engine(serve(look=lambda place=place: (status, b"", place)))
    other.shutdown()
    other.server_close()
    assert heard == []
