"""Pins what a completion request asks, and that an answer is read right or counted as broken.

Run: python -m pytest tests/engines/test_completions.py
"""

import gzip
import re

import pytest

from rft.errors import Interrupted, RFTError
from tests.fake_server import (
    END,
    KEY,
    TOKENIZER,
    completion,
    engine,
    one_line,
    requests,
    run,
    sampling,
)


def test_what_is_sent(serve, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    fake = serve()
    asked = requests(3)
    made = engine(fake, prompt={"stop": ["\n\n"]})
    run(made, asked, sampling(temperature=0.6, top_p=0.95))
    sent = {call.body["seed"]: call.body for call in fake.rollout_calls()}
    assert sent.keys() == {request.seed for request in asked}, "one seed each"
    for request in asked:
        body = sent[request.seed]
        assert body["prompt"] == list(request.prompt_ids)
        assert (body["temperature"], body["top_p"], body["max_tokens"]) == (0.6, 0.95, 48)
        assert (body["n"], body["logprobs"], body["model"]) == (1, 20, "tiny")
        assert body["stop"] == ["\n\n", "<|im_end|>"]
        assert END in body["stop_token_ids"]
        assert (body["top_k"], body["min_p"], body["repetition_penalty"]) == (-1, 0, 1)
        assert body["skip_special_tokens"] is False
    assert {call.headers["authorization"] for call in fake.calls} == {f"Bearer {KEY}"}
    assert KEY not in repr(made.figures())


def test_nothing_is_asked_of_logprobs_without_need(serve):
    fake = serve()
    how = sampling(entropy=False, branching=False)
    done = run(engine(fake, how), requests(2), how)
    assert not any("logprobs" in call.body for call in fake.calls)
    for each in done:
        assert each.logprobs is each.entropies is each.branching is each.stats_origin is None
        assert each.token_ids


def test_only_the_statistics_that_are_asked_for_are_given(serve):
    how = sampling(branching=False)
    for each in run(engine(serve(), how), requests(2), how):
        assert each.branching is None
        assert len(each.entropies) == len(each.logprobs) == len(each.token_ids)


def test_the_end_token_is_dropped_wherever_it_is(serve):
    own = TOKENIZER.encode("12", add_special_tokens=False)
    other = TOKENIZER.encode("7", add_special_tokens=False)[0]
    answers = {  # tokens, stop_reason, finish_reason -> what remains
        "r0": ([*own, END], None, "stop", own, "stop"),
        "r1": ([*own, END, *own], None, "length", own, "stop"),
        "r2": ([*own, other], other, "stop", own, "stop"),  # an end token of the server's own
        "r3": ([END], END, "stop", [], "stop"),
        "r4": ([], None, "stop", [], "stop"),
        "r5": ([*own, *own], None, "length", [*own, *own], "length"),
    }
    by_seed = {request.seed: answers[request.rollout_id] for request in requests(6)}

    def behave(call):
        if call.probe:
            return None
        ids, stopped_by, reason, *_ = by_seed[call.body["seed"]]
        choice = {"token_ids": ids, "stop_reason": stopped_by, "finish_reason": reason}
        return 200, completion(call.body, **choice, logprobs=None), {}

    made = engine(serve(behave))
    for each in run(made, requests(6)):
        *_, kept, reason = answers[each.request.rollout_id]
        assert (each.token_ids, each.finish_reason) == (kept, reason), each.request.rollout_id
        assert each.completion == TOKENIZER.decode(kept)
        assert each.num_tokens == len(kept)
    assert made.figures()["cut_short"] == 2, "r1 and r5 ended at a limit that is not ours"


def test_a_stop_text_of_the_recipe_cuts_tokens_and_lists_alike(serve):
    made = engine(serve(), prompt={"stop": ["5"]})
    done = run(made, requests(8))
    assert any("5" in str(each.request.seed) for each in done)
    for each in done:
        assert each.completion == str(each.request.seed).partition("5")[0]
        assert len(each.entropies) == len(each.logprobs) == len(each.token_ids)


def standard_only(call):
    """Refuse, as OpenAI's own server does, whatever the standard does not name."""
    unknown = [name for name in call.body if name in ("stop_token_ids", "return_token_ids")]
    if unknown:
        words = f"Unrecognized request arguments supplied: {unknown}"
        return 400, {"error": {"message": words}}, {}
    return None


def test_a_server_of_the_bare_standard_gives_text(serve):
    made = engine(serve(standard_only))
    done = run(made, requests(4))
    for each in done:
        assert each.completion == str(each.request.seed)
        assert each.token_ids is each.entropies is each.branching is each.stats_origin is None
        assert each.num_tokens == len(TOKENIZER.encode(each.completion)) + 1, "as the server counts"
    figures = made.figures()
    assert figures["without_statistics"] == {"no token ids": 4}
    assert figures["beyond_standard"] is False


def test_text_is_cut_at_stops_and_made_fit_for_a_table(serve):
    texts = {
        "r0": ("7<|im_end|>\n<|im_start|>user", "7"),
        "r1": ("a ## b", "a "),
        "r2": ("\ud800 7", "? 7"),
        "r3": ("", ""),
    }
    by_seed = {request.seed: texts[request.rollout_id][0] for request in requests(4)}

    def behave(call):
        refusal = standard_only(call)
        if refusal or call.probe:
            return refusal
        answer = completion(call.body, text=by_seed[call.body["seed"]], finish_reason="length")
        del answer["usage"]
        return 200, answer, {}

    for each in run(engine(serve(behave), prompt={"stop": ["##"]}), requests(4)):
        text, kept = texts[each.request.rollout_id]
        assert each.completion == kept
        assert each.num_tokens is None
        assert each.finish_reason == ("stop" if len(kept) < len(text) else "length")
        each.completion.encode()


def test_a_server_that_changes_the_prompt_is_refused(serve):
    def behave(call):
        answer = completion(call.body)
        answer["usage"]["prompt_tokens"] += 1
        return 200, answer, {}

    with pytest.raises(RFTError) as caught:
        engine(serve(behave))
    assert re.search(r"read \d+ tokens where \d+ were sent", one_line(caught))


HOSTILE = {
    "empty": b"",
    "null": b"null",
    "a list": b"[]",
    "no choices": {"usage": {}},
    "empty choices": {"choices": []},
    "two choices": {"choices": [{}, {}]},
    "choices of nothing": {"choices": [None]},
    "no reason": {"choices": [{"text": "7", "finish_reason": None}]},
    "an odd reason": {"choices": [{"text": "7", "finish_reason": {"\x1b": 1}}]},
    "aborted": {"choices": [{"text": "7", "finish_reason": "abort"}]},
    "filtered": {"choices": [{"text": "7", "finish_reason": "content_filter"}]},
    "no text": {"choices": [{"text": None, "finish_reason": "stop"}]},
    "a number": {"choices": [{"text": 7, "finish_reason": "stop"}]},
    "too many": {"choices": [{"token_ids": [5] * 49, "finish_reason": "length"}]},
    "counted too many": {
        "choices": [{"text": "7", "finish_reason": "stop"}],
        "usage": {"completion_tokens": 49},
    },
    "foreign": {"choices": [{"token_ids": [512], "finish_reason": "stop"}]},
    "negative": {"choices": [{"token_ids": [-1], "finish_reason": "stop"}]},
    "true": {"choices": [{"token_ids": [True], "finish_reason": "stop"}]},
    "no tokens": {"choices": [{"token_ids": "7", "finish_reason": "stop"}]},
    "huge": {"choices": [{"text": "x" * 4_000_000, "finish_reason": "stop"}]},
    "a long number": b'{"choices": ' + b"9" * 5000 + b"}",
    "nested": b"[" * 1_000_000,
    "nested and closed": b'{"choices": ' + b"[" * 400_000 + b"]" * 400_000 + b"}",
    "no UTF-8": b'{"choices": "\xff\xfe"}',
    "choices by name": {"choices": {"0": {"text": "7", "finish_reason": "stop"}}},
    "reasons": {"choices": [{"text": "7", "finish_reason": ["stop"]}]},
    "a reason of numbers": {"choices": [{"text": "7", "finish_reason": 1e400}]},
    "tokens in lists": {"choices": [{"token_ids": [[5]], "finish_reason": "stop"}]},
    "tokens beyond": {"choices": [{"token_ids": [10**400], "finish_reason": "stop"}]},
    "half tokens": {"choices": [{"token_ids": [5.0], "finish_reason": "stop"}]},
    "a gzip that is none": (200, b"nothing", {"content-encoding": "gzip"}),
    "a bomb": (200, gzip.compress(b" " * 50_000_000), {"content-encoding": "gzip"}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_broken_answer_to_one_request_is_asked_for_again_and_then_missing(serve, name):
    bad = requests(1)[0].seed
    answer = HOSTILE[name] if isinstance(HOSTILE[name], tuple) else (200, HOSTILE[name], {})
    fake = serve(lambda call: answer if call.body["seed"] == bad else None)
    made, done = engine(fake, args={"retries": 2}), []
    withheld = name == "filtered"
    with pytest.raises(RFTError if withheld else Interrupted) as caught:
        run(made, requests(5), into=done)
    assert "1 of 5 answers asked for are missing" in one_line(caught)
    assert {each.request.seed for each in done} == {r.seed for r in requests(5)} - {bad}
    assert sum(made.figures()["retries"].values()) == (0 if withheld else 2)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_server_of_broken_answers_is_one_line(serve, name):
    answer = HOSTILE[name] if isinstance(HOSTILE[name], tuple) else (200, HOSTILE[name], {})
    with pytest.raises((RFTError, Interrupted)) as caught:
        engine(serve(lambda _: answer), args={"retries": 1})
    assert re.search("withholds" if name == "filtered" else "does not answer as", one_line(caught))


STOPS = [[], [5], {}, {"a": 1}, "7", "", 1e400, 5.0, True, -1, 10**400, None, [[[]]]]


@pytest.mark.parametrize("stop", STOPS, ids=repr)
def test_an_odd_stop_reason_cuts_nothing(serve, stop):
    fake = serve(lambda call: (200, completion(call.body, stop_reason=stop), {}))
    for each in run(engine(fake), requests(3)):
        assert each.completion == str(each.request.seed)


def test_an_end_of_the_servers_own_is_dropped_where_it_is_the_last_token(serve):
    one, two = TOKENIZER.encode("12", add_special_tokens=False)

    def behave(call):
        ids = [one, two, one] if call.body["max_tokens"] > 1 else [one]
        return 200, completion(call.body, token_ids=ids, stop_reason=one, logprobs=None), {}

    assert {each.completion for each in run(engine(serve(behave)), requests(3))} == {"12"}


def test_an_answer_that_holds_the_key_is_none(serve, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    bad = requests(1)[0].seed

    def behave(call):
        if call.body["seed"] != bad:
            return standard_only(call)
        return 200, completion(call.body, token_ids=None, text=f"it is {KEY}"), {}

    done = []
    with pytest.raises(Interrupted, match=r"1 of 3 answers .*the key in an answer"):
        run(engine(serve(behave)), requests(3), into=done)
    assert len(done) == 2


@pytest.mark.parametrize("usage", [None, [], "5", {"completion_tokens": -1}, {"prompt_tokens": {}}])
def test_odd_usage_is_no_count(serve, usage):
    def behave(call):
        refusal = standard_only(call)
        return refusal or (200, completion(call.body) | {"usage": usage}, {})

    assert {each.num_tokens for each in run(engine(serve(behave)), requests(3))} == {None}


NAN = float("nan")
BROKEN_STATISTICS = {
    "none": lambda _: None,
    "a list": lambda _: [],
    "no tokens": lambda record: record | {"tokens": None},
    "named by text": lambda record: record | {"tokens": ["1"] * len(record["tokens"])},
    "short": lambda record: record | {"top_logprobs": record["top_logprobs"][:-1]},
    "null": lambda record: record | {"token_logprobs": [None] * len(record["tokens"])},
    "nan": lambda record: record | {"token_logprobs": [NAN] * len(record["tokens"])},
    "beyond any float": lambda record: (
        record | {"token_logprobs": [-(10**400)] * len(record["tokens"])}
    ),
    "far below": lambda record: record | {"token_logprobs": [-1e300] * len(record["tokens"])},
    "listing beyond": lambda record: (
        record
        | {"top_logprobs": [each | {"token_id:1": -(10**400)} for each in record["top_logprobs"]]}
    ),
    "positive": lambda record: record | {"token_logprobs": [0.5] * len(record["tokens"])},
    "empty": lambda record: record | {"top_logprobs": [{}] * len(record["tokens"])},
    "null listing": lambda record: record | {"top_logprobs": [None] * len(record["tokens"])},
    "nan listing": lambda record: (
        record | {"top_logprobs": [each | {"token_id:1": NAN} for each in record["top_logprobs"]]}
    ),
    "text listing": lambda record: (
        record | {"top_logprobs": [each | {"token_id:1": "x"} for each in record["top_logprobs"]]}
    ),
    "no distribution": lambda record: (
        record | {"top_logprobs": [dict.fromkeys(each, -0.1) for each in record["top_logprobs"]]}
    ),
    "fewer than asked": lambda record: (
        record | {"top_logprobs": [dict([*each.items()][:5]) for each in record["top_logprobs"]]}
    ),
}


@pytest.mark.parametrize("name", BROKEN_STATISTICS)
def test_broken_statistics_are_dropped_and_counted_and_the_text_stays(serve, name):
    bad = requests(1)[0].seed

    def behave(call):
        answer = completion(call.body)
        if call.body["seed"] == bad:
            choice = answer["choices"][0]
            choice["logprobs"] = BROKEN_STATISTICS[name](choice["logprobs"])
        return 200, answer, {}

    made = engine(serve(behave))
    for each in run(made, requests(3)):
        assert each.completion == str(each.request.seed)
        assert each.token_ids
        gone = each.logprobs is each.entropies is each.branching is each.stats_origin is None
        assert gone == (each.request.seed == bad)
    assert sum(made.figures()["without_statistics"].values()) == 1
    assert made.figures()["retries"] == {}


def test_logprobs_taken_after_temperature_are_not_recorded_as_the_policys(serve):
    def behave(call):
        answer = completion(call.body)
        record = answer["choices"][0]["logprobs"]
        if record:
            heat = call.body["temperature"]
            record["top_logprobs"] = [
                {name: value / heat for name, value in each.items()}
                for each in record["top_logprobs"]
            ]
        return 200, answer, {}

    made = engine(serve(behave))
    warm = sampling(temperature=0.6)
    assert {each.entropies for each in run(made, requests(3), warm)} == {None}
    assert made.figures()["without_statistics"] == {"logprobs that are not the policy's": 3}
    assert all(each.entropies for each in run(made, requests(3))), "at temperature 1 they are"
    assert all(each.entropies for each in run(engine(serve()), requests(3), warm))
