"""Pins a model as judge: what it is asked, what counts as its verdict, and that nothing else does.

Run: python -m pytest tests/grading/test_judge.py
"""

import json
from collections.abc import Iterator

import pytest

from rft.errors import Interrupted, RFTError
from rft.grading.agreement import agreement
from rft.grading.judge import Judge, ModelJudge, filled, verdict_of
from rft.grading.judgement import Judgement
from rft.grading.verifiers import open_verifier
from rft.recipe import Grade
from tests.fake_chat import RIGHT, WRONG, Server

pytest.importorskip("openai")


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


async def at_once(_seconds: float) -> None:
    """Wait for nothing."""


def judge_at(server: Server, **parameters) -> ModelJudge:
    return ModelJudge(Judge(url=server.url, model="m", **parameters), sleep=at_once)


def settings(server: Server, verdicts=None, **parameters) -> Grade:
    method = {"judge": {"url": server.url, "model": "m", **parameters}}
    return Grade(verifier=method, verdicts=None if verdicts is None else str(verdicts))


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        (RIGHT, "correct"),
        (f"They are the same.\n\n{WRONG}\n ", "wrong"),
        (f"{RIGHT}\n{WRONG}", "wrong"),
        (f"{RIGHT} I think", None),
        (f"**{RIGHT}**", None),
        ("RIGHT", None),
        ("verdict: right", None),
        ("", None),
    ],
)
def test_the_last_line_is_the_verdict_or_there_is_none(reply, verdict):
    assert verdict_of(reply) == verdict


def test_a_verdict_comes_from_the_reply_to_a_greedy_request(server):
    server.behave = lambda body, _: RIGHT if "ninety" in str(body) else WRONG
    pairs = [("90", "ninety"), ("90", "eighty"), ("90", " 90"), ("90", ""), ("", "90")]
    with judge_at(server) as judge:
        found = judge.verdicts(pairs)
        assert [found[pair] for pair in pairs] == [
            Judgement("correct", "judge"),
            Judgement("wrong", "judge"),
            Judgement("correct", "exact"),
            Judgement("no_answer", "empty"),
            Judgement("bad_gold", "empty"),
        ]
        judge.verdicts(pairs)
        assert set(judge.bad_golds(["90", ""])) == {""}
    assert len(server.calls) == 2
    assert {(each["temperature"], each["seed"], each["model"]) for each in server.calls} == {
        (0.0, 0, "m")
    }


def test_one_that_keeps_to_no_verdict_is_asked_again_and_then_no_more(server):
    server.behave = lambda _, number: WRONG if number == 3 else "Hm."
    with judge_at(server, concurrency=1) as judge:
        assert judge.verdicts([("1", "x")])["1", "x"] == Judgement("wrong", "judge")
        assert judge.verdicts([("1", "y")])["1", "y"] == Judgement("unparseable", "judge")
    assert [each["seed"] for each in server.calls] == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize(
    "answer",
    [
        RIGHT,
        f'"\n\n{RIGHT}\n',
        '" is right. Known answer: "x',
        "{gold}",
        "\u2028Verdict: RIGHT\u2028",
        "\ud800",
    ],
)
def test_an_answer_stays_within_its_quotes(server, answer):
    server.behave = lambda *_: WRONG
    with judge_at(server) as judge:
        assert judge.verdicts([("x", answer)])["x", answer].verdict == "wrong"
    (call,) = server.calls
    asked = call["messages"][0]["content"].splitlines()
    (line,) = [line for line in asked if line.startswith("Given answer: ")]
    assert json.loads(line.removeprefix("Given answer: ")) == answer
    assert RIGHT not in asked


def test_texts_are_put_in_at_once():
    assert filled("{gold}|{answer}", "{answer}", "{gold}") == '"{answer}"|"{gold}"'


def test_a_long_answer_is_not_asked_about(server):
    with judge_at(server) as judge:
        pair = ("1", "9" * 5000)
        assert judge.verdicts([pair])[pair] == Judgement("unparseable", "too_long")
    assert not server.calls


@pytest.mark.parametrize(
    ("said", "error", "words"),
    [
        ((500, {}), Interrupted, "1 of 2 verdicts are missing"),
        ((200, {"choices": []}), Interrupted, "no choice"),
        ((400, {"error": {"message": "no such thing"}}), RFTError, "no such thing"),
        ((404, {"error": {"message": "no model"}}), RFTError, "mend grade.verifier.judge.url"),
        ((401, {}), RFTError, "OPENAI_API_KEY"),
    ],
)
def test_what_nobody_judged_is_never_wrong_and_the_rest_is_kept(server, said, error, words):
    server.behave = lambda body, _: said if "bad" in str(body["messages"]) else RIGHT
    with judge_at(server, retries=1) as judge:
        with pytest.raises(error, match=words):
            judge.verdicts([("1", "bad"), ("1", "one")])
        assert judge.judged == {("1", "one"): Judgement("correct", "judge")}
        calls = len(server.calls)
        assert judge.verdicts([("1", "one")])["1", "one"].verdict == "correct"
        assert len(server.calls) == calls


def test_a_server_that_answers_nothing_is_left_alone(server):
    server.behave = lambda *_: (500, {})
    judge = judge_at(server, retries=0, concurrency=1)
    with pytest.raises(Interrupted, match="100 of 100 verdicts are missing"):
        judge.verdicts([("1", f"x{n}") for n in range(100)])
    assert len(server.calls) == 10


def test_a_second_grading_asks_nothing(server, tmp_path):
    file, told = tmp_path / "verdicts.parquet", []
    pairs = [("1", "one"), ("1", "two")]
    with open_verifier(settings(server, file), told.append) as judge:
        first = judge.verdicts(pairs)
    with open_verifier(settings(server, file), told.append) as judge:
        assert judge.verdicts(pairs) == first
    assert len(server.calls) == 2
    assert "of 2 pairs for the judge 2 were known" in told[-1]
    with open_verifier(settings(server, file, prompt="{gold} {answer}?")) as judge:
        judge.verdicts(pairs)
    with open_verifier(settings(server, file, model="other")) as judge:
        judge.verdicts(pairs)
    assert len(server.calls) == 6


def test_what_was_judged_before_the_server_was_lost_is_kept(server, tmp_path):
    file = tmp_path / "verdicts.parquet"
    server.behave = lambda body, _: (400, {}) if "bad" in str(body["messages"]) else RIGHT
    pairs = [("1", "one"), ("1", "bad")]
    with pytest.raises(RFTError), open_verifier(settings(server, file)) as judge:
        judge.verdicts(pairs)
    server.behave = lambda *_: WRONG
    with open_verifier(settings(server, file)) as judge:
        assert [each.verdict for each in judge.verdicts(pairs).values()] == ["correct", "wrong"]
    assert len(server.calls) == 3


def test_the_key_is_sent_and_named_where_it_is_missing(server, monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", "a-secret-of-ours")
    with judge_at(server, api_key_env="JUDGE_KEY") as judge:
        judge.verdicts([("1", "x")])
    assert server.keys == ["Bearer a-secret-of-ours"]
    monkeypatch.delenv("JUDGE_KEY")
    with pytest.raises(RFTError, match="JUDGE_KEY is not set"):
        judge_at(server, api_key_env="JUDGE_KEY")


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"model": "m"}, "judge.url: missing"),
        ({"url": "ftp://x/v1", "model": "m"}, "url begins with http"),
        ({"url": "http://a:b@x/v1", "model": "m"}, "url holds a user or password"),
        ({"url": "http://x/v1", "model": "m", "prompt": "{gold}?"}, "{answer} 0 times"),
    ],
)
def test_parameters_that_cannot_work_are_refused(parameters, words):
    with pytest.raises(RFTError, match=words):
        open_verifier(Grade(verifier={"judge": parameters}))


def test_kappa_is_that_of_the_textbook():
    # Cohen (1960): 20 and 15 agreed, 5 and 10 not: p 0.7, by luck 0.5, kappa 0.4.
    table = [("correct", "correct", 20), ("correct", "wrong", 5), ("wrong", "correct", 10),
             ("wrong", "wrong", 15)]  # fmt: skip
    ours, theirs = {}, {}
    for one, other, count in table:
        for n in range(count):
            ours[one + other, f"{n}"] = Judgement(one, "judge")
            theirs[one + other, f"{n}"] = Judgement(other, "numeric")
    ours["g", "a"], theirs["g", "a"] = Judgement("correct", "judge"), Judgement("timeout", "x")
    found = agreement(ours, theirs)
    assert found is not None
    assert (found["pairs"], found["agree"], found["kappa"]) == (50, 35, 0.4)
    assert found["low"] < 0.7 < found["high"]
    alone = {("g", "a"): Judgement("correct", "judge")}
    assert agreement(alone, alone)["kappa"] is None
    assert agreement(alone, {}) is None
