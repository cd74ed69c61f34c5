"""The embedded engine: exact statistics, and text that no batch, kill or order can change."""

import pytest
import torch

from rft.bundled import bundled
from rft.engines import Fixed, Request, Sampling
from rft.engines.transformers import Transformers
from rft.errors import Interrupted, RFTError
from rft.prompt import load_tokenizer, prompter
from rft.recipe import Model, Prompt
from rft.runs.models import resolve
from rft.seeds import derive

TINY = bundled("data") / "tiny"
QUESTIONS = ["What is 3 + 4?", "Compute 3 * 3 + 15.", "Start with 76. Subtract 17. Multiply by 37."]


def make(batch: int = 64, **prompt):
    prompts = prompter(load_tokenizer(TINY), Prompt(**prompt))
    return Transformers(resolve(Model(path="bundled:tiny")), prompts, {"batch": batch})


def requests(engine, count: int = 4) -> list[Request]:
    made = []
    for number, question in enumerate(QUESTIONS):
        text = engine.prompter.render(question)
        ids = tuple(engine.prompter.encode(text))
        made += [
            Request(f"{number}-{i}", str(number), 1, i, text, ids, derive("test", number, i))
            for i in range(count)
        ]
    return made


def sampling(**changes) -> Sampling:
    settings = {"temperature": 1.0, "top_p": 1.0, "max_tokens": 48, "entropy": True}
    return Sampling(**(settings | {"branching": True, "mass": 0.95} | changes))


def run(engine, asked, how) -> dict:
    return {
        done.request.rollout_id: done
        for unit in engine.sample(Fixed(engine.units(asked)), how, check=lambda: None)
        for done in unit
    }


@pytest.fixture(scope="module")
def engine():
    return make()


def test_statistics_equal_an_independent_float64_forward(engine):
    done = run(engine, requests(engine), sampling())
    model = engine.model.double()
    try:
        for each in done.values():
            prompt = list(each.request.prompt_ids)
            ids = torch.tensor([prompt + each.token_ids])
            with torch.no_grad():
                logits = model(input_ids=ids).logits[0, len(prompt) - 1 : -1]
            logp = torch.log_softmax(logits, -1)
            entropy = -(logp.exp() * logp).sum(-1)
            below = logp.exp().sort(-1, descending=True).values.cumsum(-1) < 0.95
            chosen = logp.gather(-1, torch.tensor(each.token_ids)[:, None])[:, 0]
            assert (entropy - torch.tensor(each.entropies)).abs().max() < 1e-4
            assert (chosen - torch.tensor(each.logprobs)).abs().max() < 1e-4
            assert (below.sum(-1) + 1).tolist() == each.branching
    finally:
        engine.model.float()


def test_lists_are_as_long_as_the_tokens_and_the_end_is_not_among_them(engine):
    done = run(engine, requests(engine, 8), sampling())
    assert {each.finish_reason for each in done.values()} == {"stop", "length"}
    for each in done.values():
        assert (
            len(each.token_ids) == len(each.entropies) == len(each.logprobs) == len(each.branching)
        )
        assert not set(each.token_ids) & engine.prompter.stop_ids()
        assert (len(each.token_ids) == 48) == (each.finish_reason == "length")
        assert each.completion == engine.prompter.decode(each.token_ids)


def test_the_order_of_requests_changes_nothing(engine):
    asked = requests(engine)
    assert run(engine, asked, sampling()) == run(engine, asked[::-1], sampling())


def test_units_split_the_requests_without_loss_and_by_length():
    engine = make(batch=5)
    asked = requests(engine)
    units = engine.units(asked)
    assert sorted(r.rollout_id for unit in units for r in unit) == sorted(
        r.rollout_id for r in asked
    )
    lengths = [len(r.prompt_ids) for unit in units for r in unit]
    assert lengths == sorted(lengths)


def test_repeats_of_a_problem_are_independent(engine):
    done = run(engine, requests(engine, 16), sampling())
    assert len({each.completion for each in done.values()}) > 24


def test_temperature_zero_is_the_greedy_continuation(engine):
    asked = requests(engine, 1)
    done = run(engine, asked, sampling(temperature=0.0, entropy=False, branching=False))
    for request in asked:
        wanted = engine.model.generate(
            torch.tensor([request.prompt_ids]),
            max_new_tokens=48,
            do_sample=False,
            eos_token_id=sorted(engine.prompter.stop_ids()),
            pad_token_id=0,
        )[0, len(request.prompt_ids) :].tolist()
        wanted = [token for token in wanted if token not in engine.prompter.stop_ids()]
        found = done[request.rollout_id]
        assert found.token_ids == wanted
        assert found.entropies is found.branching is found.logprobs is None


def test_a_stop_string_ends_the_completion_before_it():
    engine = make(stop=["="])
    for each in run(engine, requests(engine), sampling()).values():
        assert "=" not in each.completion
        assert each.completion == engine.prompter.decode(each.token_ids)
        assert len(each.entropies) == len(each.token_ids)


def test_a_stop_leaves_in_the_middle_of_a_batch(engine):
    calls = iter(range(5))

    def check():
        if next(calls, None) is None:
            raise Interrupted("stop")

    with pytest.raises(Interrupted):
        list(engine.sample(Fixed([requests(engine)]), sampling(), check=check))


def test_an_unknown_argument_is_refused():
    prompts = prompter(load_tokenizer(TINY), Prompt())
    with pytest.raises(RFTError, match=r"engine\.args.*gpu_memory_utilization"):
        Transformers(resolve(Model(path="bundled:tiny")), prompts, {"gpu_memory_utilization": 0.9})
