"""The vLLM engine on vLLM's CPU build: exact under pressure, and out of the way of sampling.

Run: make test-vllm    (its own environment; the ordinary one has no vLLM)
"""

from collections import Counter

import pytest

from rft.engines import Fixed, Request
from rft.errors import Interrupted, RFTError
from tests.broad_model import make_broad_model
from tests.vllm_engine import ALIVE, SEED, TINY, make, sampling

# vLLM's own warnings are not ours to mend.
pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("ignore")]

QUESTIONS = [
    "What is 3 + 4?",
    "Compute 3 * 3 + 15.",
    "Start with 76. Subtract 17. Multiply by 37.",
    "What is 12 * 12?",
]


@pytest.fixture(scope="module", autouse=True)
def _close():
    yield
    while ALIVE:
        ALIVE.pop().close()


def requests(engine, count=8, questions=QUESTIONS) -> list[Request]:
    made = []
    for number, question in enumerate(questions):
        text = engine.prompter.render(question)
        ids = tuple(engine.prompter.encode(text))
        made += [
            Request(f"{number}-{i}", str(number), 1, i, text, ids, seed=i) for i in range(count)
        ]
    return made


def run(engine, asked, how) -> dict:
    done = [
        each
        for batch in engine.sample(Fixed(engine.units(asked)), how, check=lambda: None)
        for each in batch
    ]
    assert sorted(each.request.rollout_id for each in done) == sorted(r.rollout_id for r in asked)
    return {each.request.rollout_id: each for each in done}


@pytest.fixture(scope="module")
def tiny():
    return make()


@pytest.fixture(scope="module")
def pressed():
    """An engine with room for about four requests, that reads prompts 40 tokens at a time."""
    return make(
        block_size=32, num_gpu_blocks_override=16, max_num_batched_tokens=40, max_num_seqs=24
    )


@pytest.fixture(scope="module")
def broad(tmp_path_factory):
    return make_broad_model(tmp_path_factory.mktemp("broad"), head=32, dtype="float32")


def distributions(path, finished):
    """Give the log-probabilities of each position in float64, from a model that is not vLLM's."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(str(path), dtype=torch.float64).eval()
    for each in finished:
        prompt = list(each.request.prompt_ids)
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([prompt + each.token_ids])).logits
        yield each, torch.log_softmax(logits[0, len(prompt) - 1 : -1], -1)


def assert_exact(path, finished) -> None:
    """Hold every recorded number against the independent forward."""
    import torch

    wrong = tokens = 0
    for each, logp in distributions(path, finished):
        if not each.token_ids:
            continue
        lists = (each.token_ids, each.entropies, each.logprobs, each.branching)
        assert {len(values) for values in lists} == {len(each.token_ids)}
        entropy = -(logp.exp() * logp).sum(-1)
        chosen = logp.gather(-1, torch.tensor(each.token_ids)[:, None])[:, 0]
        assert (entropy - torch.tensor(each.entropies)).abs().max() < 1e-4
        assert (chosen - torch.tensor(each.logprobs)).abs().max() < 1e-4
        held = logp.exp().sort(-1, descending=True).values.cumsum(-1)
        wanted = ((held < 0.95).sum(-1) + 1).tolist()
        tokens += len(wanted)
        for row, (ours, theirs) in enumerate(zip(each.branching, wanted, strict=True)):
            if ours != theirs:
                wrong += 1
                assert abs(ours - theirs) == 1
                assert abs(held[row, min(ours, theirs) - 1] - 0.95) < 1e-6, "not at the border"
    assert tokens > 300
    assert wrong <= 0.002 * tokens


class Rows(Counter):
    """Counts what the workers send, by request and position."""

    def watch(self, monkeypatch):
        import numpy as np

        from rft.engines import capture

        add = capture.Ledger.add

        def counted(ledger, drained):
            keys = np.frombuffer(drained["keys"], capture.KEYS)
            places = np.frombuffer(drained["positions"], capture.POSITIONS)
            self.update(zip(keys.tolist(), places.tolist(), strict=True))
            add(ledger, drained)

        monkeypatch.setattr(capture.Ledger, "add", counted)
        return self


def test_statistics_are_those_of_an_independent_float64_forward(tiny):
    done = run(tiny, requests(tiny), sampling())
    assert_exact(TINY, done.values())
    assert {each.stats_origin for each in done.values()} == {"engine"}
    assert {each.seed for each in done.values()} == {SEED}


def test_preemption_and_prompts_read_in_pieces_change_nothing(pressed, monkeypatch):
    rows = Rows().watch(monkeypatch)
    before = pressed.figures()["preemptions"]
    done = run(pressed, requests(pressed, 12), sampling(max_tokens=100))
    assert pressed.figures()["preemptions"] > before, "nothing was preempted"
    assert pressed.figures()["kv_cache_peak"] > 0.9
    assert any(count > 1 and place == 0 for (_, place), count in rows.items()), "no prompt was cut"
    assert_exact(TINY, done.values())


@pytest.mark.parametrize("which", ["tiny", "pressed"])
def test_temperature_and_top_p_do_not_touch_the_statistics(which, request):
    engine = request.getfixturevalue(which)
    done = run(engine, requests(engine), sampling(temperature=0.7, top_p=0.9))
    assert_exact(TINY, done.values())


def test_greedy_sampling_takes_the_most_probable_token(tiny):
    done = run(tiny, requests(tiny, 3), sampling(temperature=0.0))
    for each, logp in distributions(TINY, done.values()):
        assert logp.argmax(-1).tolist() == each.token_ids
    assert_exact(TINY, run(tiny, requests(tiny, 4), sampling(temperature=0.0)).values())


def test_a_vocabulary_of_151936_tokens(broad):
    engine = make(broad, max_num_seqs=16)
    done = run(engine, requests(engine, 3), sampling(max_tokens=18, temperature=0.7, top_p=0.9))
    again = run(engine, requests(engine, 3), sampling(max_tokens=18))
    done |= {f"{name} again": each for name, each in again.items()}
    numbers = [value for each in done.values() for value in each.entropies]
    assert 1 < sum(numbers) / len(numbers) < 6, "not the entropy of a language model"
    assert max(max(each.branching) for each in done.values()) > 500
    assert_exact(broad, done.values())


def test_tokens_are_the_same_with_and_without_statistics():
    texts = []
    for statistics in (True, False):
        engine = make(statistics=statistics, seed=7)
        how = sampling(entropy=statistics, branching=statistics)
        done = run(engine, requests(engine, 12), how)
        texts.append({key: each.token_ids for key, each in done.items()})
        recorded = [(each.entropies, each.branching, each.logprobs) for each in done.values()]
        assert all((row == (None, None, None)) != statistics for row in recorded)
    assert texts[0] == texts[1]
    assert len({tuple(tokens) for tokens in texts[0].values()}) > 24


def test_draws_go_on_where_the_last_call_ended():
    engine = make(seed=8)
    first, second = (run(engine, requests(engine), sampling()) for _ in range(2))
    assert [each.token_ids for each in first.values()] != [
        each.token_ids for each in second.values()
    ]


def test_what_is_not_asked_for_is_not_recorded(tiny):
    only = run(tiny, requests(tiny, 2), sampling(branching=False))
    for each in only.values():
        assert each.branching is None
        assert len(each.entropies) == len(each.logprobs) == len(each.token_ids) > 0
    none = run(tiny, requests(tiny, 2), sampling(entropy=False, branching=False))
    assert all(each.entropies is each.branching is each.logprobs is None for each in none.values())
    for hooks in ("_forward_hooks", "_forward_pre_hooks"):
        assert not getattr(runner(tiny).sampler, hooks), "a hook was left behind"


def runner(engine):
    return engine.llm.model_executor.driver_worker.worker.model_runner


def test_ends_are_dropped_and_lengths_are_kept(tiny):
    done = run(tiny, requests(tiny, 16), sampling(max_tokens=40))
    assert {each.finish_reason for each in done.values()} == {"stop", "length"}
    for each in done.values():
        assert not set(each.token_ids) & tiny.stops
        assert (len(each.token_ids) == 40) == (each.finish_reason == "length")
        assert each.completion == tiny.prompter.decode(each.token_ids)
        lists = (each.entropies, each.branching, each.logprobs)
        assert {len(values) for values in lists} == {len(each.token_ids)}


def test_a_stop_string_ends_the_completion_before_it():
    engine = make(prompt={"stop": ["="]})
    done = run(engine, requests(engine, 16), sampling())
    assert Counter(each.finish_reason for each in done.values())["stop"] > len(done) // 2
    for each in done.values():
        assert "=" not in each.completion
        assert each.completion == engine.prompter.decode(each.token_ids)
        assert len(each.entropies) == len(each.token_ids)
    assert_exact(TINY, done.values())


def test_an_engine_that_was_stopped_in_the_middle_goes_on(pressed):
    calls = iter(range(30))

    def check():
        if next(calls, None) is None:
            raise Interrupted("stop")

    asked = requests(pressed, 12)
    with pytest.raises(Interrupted):
        list(pressed.sample(Fixed(pressed.units(asked)), sampling(), check=check))
    assert not pressed.llm.has_unfinished_requests()
    assert not pressed.ledger.pieces

    taken = pressed.sample(Fixed(pressed.units(asked)), sampling(), check=lambda: None)
    assert next(taken)
    taken.close()
    assert not pressed.llm.has_unfinished_requests()
    assert_exact(TINY, run(pressed, asked, sampling()).values())


class Late:
    """A feed whose second half appears when some of the first has come back."""

    def __init__(self, units):
        self.units = units
        self.half = len(units) // 2
        self.given = self.back = 0
        self.waited = False

    def take(self, *, wait):
        self.waited |= wait
        if self.given >= self.half and not self.back:
            assert not wait, "asked to wait while what it waits for has not been handed over"
            return None
        if self.given == len(self.units):
            return None
        self.given += 1
        return self.units[self.given - 1]


def test_work_may_appear_while_the_engine_is_at_it(tiny):
    feed = Late(tiny.units(requests(tiny)))
    for batch in tiny.sample(feed, sampling(), check=lambda: None):
        feed.back += len(batch)
    assert feed.back == feed.given == 32
    assert feed.waited


def test_the_engine_is_kept_full_and_no_fuller(tiny):
    most = 0

    class Counted(Fixed):
        given = 0

        def take(self, *, wait):
            self.given += 1
            return super().take(wait=wait)

    feed, back = Counted(tiny.units(requests(tiny, 40))), 0
    for batch in tiny.sample(feed, sampling(max_tokens=8), check=lambda: None):
        back += len(batch)
        most = max(most, feed.given - back)
    assert back == 160
    assert tiny.room == 64
    assert most <= tiny.room + 1


def test_logprobs_are_held_against_vllms_own(tiny, monkeypatch):
    monkeypatch.setattr(tiny, "checked", 64)
    before = tiny.figures()["self_checked"]
    run(tiny, requests(tiny), sampling(temperature=0.7, top_p=0.9))
    figures = tiny.figures()
    assert figures["self_checked"] == before + 32
    assert figures["self_check_worst"] < 1e-4


def test_wrong_statistics_stop_the_run(tiny, monkeypatch):
    from rft.engines import capture

    right = capture.statistics
    monkeypatch.setattr(capture, "statistics", lambda logits, mass: right(logits * 1.01, mass))
    monkeypatch.setattr(tiny, "checked", 4)
    with pytest.raises(RFTError, match=r"differ from vLLM's own by \d.*0\.001") as refused:
        run(tiny, requests(tiny), sampling())
    assert "\n" not in str(refused.value)
    monkeypatch.undo()
    assert_exact(TINY, run(tiny, requests(tiny), sampling()).values())


def test_a_missing_record_is_a_bug(tiny, monkeypatch):
    from rft.engines import capture

    monkeypatch.setattr(capture.Recorder, "add", lambda *_: None)
    with pytest.raises(AssertionError, match="tokens, of which"):
        run(tiny, requests(tiny, 1), sampling())


def test_an_engine_that_dies_is_an_interruption(monkeypatch):
    engine = make(statistics=False)
    how = sampling(entropy=False, branching=False)
    taken = engine.sample(Fixed(engine.units(requests(engine, 12))), how, check=lambda: None)
    step, calls = engine.llm.step, iter(range(20))

    def failing():
        if next(calls, None) is None:
            raise MemoryError("std::bad_alloc")
        return step()

    monkeypatch.setattr(engine.llm, "step", failing)
    with pytest.raises(Interrupted, match="finished rollouts are kept") as stopped:
        list(taken)
    assert "\n" not in str(stopped.value)
