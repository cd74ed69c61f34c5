"""The server engine against a scripted HTTP server: nothing lost, nothing twice, one line of error.

Run: python -m pytest tests/engines/test_server.py
"""

import random
import re
import threading
import time

import pytest

from rft.engines import Fixed
from rft.errors import Interrupted, RFTError
from tests.fake_server import TOKENIZER, engine, one_line, requests, run, sampling


def test_every_request_is_answered_once_and_by_its_own_answer(serve):
    fake = serve(lambda _: time.sleep(random.random() / 20))
    asked = requests(100)
    done = run(engine(fake, args={"concurrency": 16}), asked)
    assert sorted(each.request.rollout_id for each in done) == sorted(r.rollout_id for r in asked)
    assert [each.request for each in done] != asked, "the test should see another order"
    for each in done:
        assert each.completion == str(each.request.seed)
        assert each.seed == each.request.seed
        assert each.token_ids == TOKENIZER.encode(each.completion, add_special_tokens=False)
        assert (each.finish_reason, each.stats_origin) == ("stop", "topk")
        assert len(each.logprobs) == len(each.entropies) == len(each.branching) == each.num_tokens
    assert len(fake.rollout_calls()) == 100


@pytest.mark.parametrize("concurrency", [1, 7, 64])
def test_as_many_requests_are_in_flight_as_may_be_and_never_more(serve, concurrency):
    together = threading.Barrier(concurrency)

    def behave(call):
        if not call.probe:
            together.wait(10)  # passes only when that many are in flight at once

    fake = serve(behave)
    run(engine(fake, args={"concurrency": concurrency}), requests(2 * concurrency))
    assert fake.most == concurrency


def test_new_work_is_taken_while_other_work_is_in_flight(serve):
    fake = serve(lambda _: time.sleep(0.05))
    asked = requests(12)

    class Later:
        """A feed that often has nothing now, and gives several requests at once."""

        def __init__(self):
            self.left, self.asked = list(asked), 0

        def take(self, *, wait):
            self.asked += 1
            if not self.left or (not wait and self.asked % 2):
                return None
            taken, self.left = self.left[:5], self.left[5:]
            return taken

    made = engine(fake, args={"concurrency": 3})
    done = [each for some in made.sample(Later(), sampling(), check=lambda: None) for each in some]
    assert sorted(each.request.sample_index for each in done) == list(range(12))
    assert fake.most == 3


def test_a_server_that_is_gone_interrupts_and_what_was_finished_is_there(serve):
    def behave(call):
        return (503, b"", {}) if call.number >= 2 + 10 else None

    fake = serve(behave)
    made = engine(fake, args={"concurrency": 1, "retries": 2})
    done = []
    with pytest.raises(Interrupted) as caught:
        run(made, requests(40), into=done)
    assert len(done) == 10
    assert "HTTP 503" in one_line(caught)
    assert "run again" in one_line(caught)
    assert len({each.request.rollout_id for each in done}) == 10


def test_a_server_that_closes_its_port_interrupts_too(serve):
    fake = serve()
    made = engine(fake, args={"retries": 1})
    fake.http.shutdown()
    fake.http.server_close()
    with pytest.raises(Interrupted) as caught:
        run(made, requests(3))
    assert "connection" in one_line(caught)


def test_a_busy_server_loses_no_rollout_while_it_answers_others(serve):
    unlucky = requests(1)[0].seed

    def behave(call):
        busy = call.body["seed"] == unlucky and call.before < 10
        return (429, b"", {}) if busy else None

    made = engine(serve(behave), args={"retries": 2})
    done = run(made, requests(4))
    assert {each.finish_reason for each in done} == {"stop"}
    assert len(done) == 4


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("wish", [{}, {"retry-after": "0"}, {"retry-after": "30"}])
def test_a_server_that_asks_one_request_to_wait_for_ever_is_left_when_patience_ends(
    serve, status, wish
):
    unlucky = requests(1)[0].seed
    fake = serve(lambda call: (status, b"", wish) if call.body["seed"] == unlucky else None)
    slept, done = [], []
    with pytest.raises(Interrupted) as caught:
        run(engine(fake, args={"patience": 100}, slept=slept), requests(4), into=done)
    assert re.search(rf"1 of 4 answers asked for are missing .*HTTP {status}", one_line(caught))
    assert len(done) == 3
    assert sum(slept) <= 100
    assert min(slept) >= (30 if wish.get("retry-after") == "30" else 0.5)


def test_a_server_that_asks_everybody_to_wait_for_ever_interrupts_when_patience_ends(serve):
    slept = []
    fake = serve(lambda call: (429, b"", {"retry-after": "60"}) if call.number >= 2 else None)
    with pytest.raises(Interrupted, match=r"the server is lost \(HTTP 429"):
        run(engine(fake, args={"patience": 3600, "concurrency": 1}, slept=slept), requests(4))
    assert 3000 < sum(slept) <= 3600


def test_a_pause_that_outlasts_the_patience_is_not_begun(serve):
    slept = []
    fake = serve(lambda call: (429, b"", {"retry-after": "86400"}) if call.number >= 2 else None)
    with pytest.raises(Interrupted, match="429"):
        run(engine(fake, slept=slept), requests(4))
    assert slept == []


@pytest.mark.parametrize(
    ("trouble", "ends"), [((500, b"", {}), Interrupted), ((400, b"", {}), RFTError)]
)
def test_a_server_that_answers_probes_alone_is_not_asked_for_everything(serve, trouble, ends):
    fake = serve(lambda call: None if call.probe else trouble)
    made = engine(fake, args={"concurrency": 4, "retries": 1})
    with pytest.raises(ends, match=r"(10|11|12|13) of \1 answers asked for are missing"):
        run(made, requests(500))
    assert len({call.body["seed"] for call in fake.rollout_calls()}) < 20


def test_a_context_that_shows_only_later_is_told_too(serve):
    words = "This model's maximum context length is 99 tokens"

    def behave(call):
        return None if call.probe else (400, {"error": {"message": words}}, {})

    made = engine(serve(behave))
    with pytest.raises(RFTError) as caught:
        run(made, requests(2))
    assert re.search(rf"{words}.*lower max_tokens.*256", one_line(caught))


def test_requests_that_alone_are_refused_are_missing_and_the_others_are_there(serve):
    bad = {request.seed for request in requests(20)[::5]}

    def behave(call):
        return (400, {"error": {"message": "flagged"}}, {}) if call.body["seed"] in bad else None

    made, done = engine(serve(behave)), []
    with pytest.raises(RFTError) as caught:
        run(made, requests(20), into=done)
    told = one_line(caught)
    assert re.search(r"4 of 20 answers .*refuses.*HTTP 400: flagged .4..*problem p ", told)
    assert {each.request.seed for each in done} == {r.seed for r in requests(20)} - bad
    assert made.figures()["requests"] == 16
    bad.clear()
    assert len(run(made, requests(20))) == 20, "what was missing is not held against the next call"


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("no such parameter: seed", "refuses .*no such parameter: seed"),
        ("Requested sample logprobs of 20, max allowed: 5", "engine.args.top_logprobs .20."),
        ("x" * 10_000, "xxx\\.\\.\\."),
    ],
)
def test_a_server_that_refuses_everything_is_one_line(serve, words, wanted):
    with pytest.raises(RFTError) as caught:
        engine(serve(lambda _: (400, {"error": {"message": words}}, {})))
    assert re.search(wanted, one_line(caught))


@pytest.mark.parametrize(("status", "wanted"), [(400, "refuses"), (401, "KEY"), (404, "404")])
def test_a_server_that_turns_against_us_stops_the_run_after_what_is_finished(serve, status, wanted):
    fake = serve(lambda call: (status, b"", {}) if call.number >= 2 + 6 else None)
    made = engine(fake, args={"concurrency": 1})
    done = []
    with pytest.raises(RFTError) as caught:
        run(made, requests(20), into=done)
    assert len(done) == 6
    assert wanted in one_line(caught)


def test_a_server_that_knows_one_temperature_only_is_used_at_that(serve):
    def behave(call):
        return (400, b"", {}) if call.body["temperature"] != 1 else None

    assert all(each.entropies for each in run(engine(serve(behave)), requests(3)))


def test_a_stop_calls_off_what_is_in_flight(serve):
    hold = threading.Event()
    fake = serve(lambda call: None if call.probe else hold.wait(30) and None)
    made = engine(fake)
    calls = iter(range(3))

    def check():
        if next(calls, None) is None:
            raise Interrupted("stopped by SIGTERM")

    began = time.monotonic()
    with pytest.raises(Interrupted, match="SIGTERM"):
        run(made, requests(8), check=check)
    assert time.monotonic() - began < 5
    hold.set()


def test_a_caller_that_has_enough_leaves_nothing_behind(serve):
    fake = serve()
    made = engine(fake, args={"concurrency": 4})
    batches = made.sample(Fixed(made.units(requests(50))), sampling(), check=lambda: None)
    assert next(batches)
    batches.close()
    sent = len(fake.calls)
    time.sleep(0.2)
    assert len(fake.calls) <= sent + 4
    assert len(run(made, requests(3))) == 3, "and the engine can be used again"


@pytest.mark.parametrize(
    ("args", "wanted"),
    [
        ({"concurency": 3}, 'no "concurency"; did you mean "concurrency"'),
        (
            {"gpu_memory": 3},
            "they are concurrency, timeout, retries, patience, api_key_env, top_logprobs",
        ),
        ({"concurrency": 0}, "concurrency is '0'.* from 1 to 1000"),
        ({"concurrency": True}, "concurrency"),
        ({"timeout": "10s"}, "timeout is '10s'.* seconds"),
        ({"timeout": 0}, "timeout"),
        ({"patience": -1}, "patience is '-1'.* seconds"),
        ({"retries": -1}, "retries"),
        ({"top_logprobs": 0}, "top_logprobs"),
        ({"api_key_env": ""}, "environment variable"),
        ({"api_key_env": "NOT_SET_HERE"}, "NOT_SET_HERE is not set"),
    ],
)
def test_arguments_are_checked(serve, args, wanted):
    with pytest.raises(RFTError, match=wanted) as caught:
        engine(serve(), args=args)
    one_line(caught)
