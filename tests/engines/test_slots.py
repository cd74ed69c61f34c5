"""Slots that are refilled: each text is what it would be alone, whoever comes and goes beside."""

from types import MethodType

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    GPT2Config,
    MambaConfig,
)

from rft.engines.slots import ROWS, Slots, rows_for, suits
from rft.engines.transformers import FEW
from tests.engines.test_grouped_attention import KINDS
from tests.engines.test_transformers import make, requests, run, sampling

SUITED = {
    "qwen3": lambda: KINDS["qwen3"](num_key_value_heads=2),
    "llama": lambda: KINDS["llama"](num_key_value_heads=8),
    "gpt2": lambda: GPT2Config(vocab_size=40, n_embd=32, n_layer=2, n_head=4, n_positions=64),
    "bloom": lambda: BloomConfig(vocab_size=40, hidden_size=32, n_layer=2, n_head=4),
}
UNSUITED = {
    "gemma3": lambda: KINDS["gemma3"](num_key_value_heads=2),
    "mamba": lambda: MambaConfig(vocab_size=40, hidden_size=32, num_hidden_layers=2),
}


def model_of(config):
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config).float().eval()


@pytest.mark.parametrize("kind", SUITED)
@torch.inference_mode()
def test_texts_that_come_and_go_have_the_logits_that_they_have_alone(kind):
    model = model_of(SUITED[kind]())
    assert suits(model)
    slots = Slots(model)
    slots.resize(ROWS, slots.every)
    texts: dict[int, list[int]] = {}
    for step in range(40):
        if step in (0, 3, 9, 20, 33):  # one comes, into the slot of one that has gone
            slot, prompt = step % 4, [1 + (step * 7 + i) % 37 for i in range(2 + step % 5)]
            slots.end(torch.tensor([slot]))
            slots.begin(torch.tensor([slot]), slots.read(prompt))
            texts[slot] = prompt
        if step == 25:  # the slots become more, and stand in another order
            kept = sorted(texts, reverse=True)
            slots.resize(2 * ROWS, torch.tensor(kept))
            texts = {new: texts[old] for new, old in enumerate(kept)}
        tokens = torch.zeros(slots.rows, dtype=torch.long)
        for slot, text in texts.items():
            text.append(1 + (step * 5 + slot) % 37)
            tokens[slot] = text[-1]
        logits = slots.step(tokens)
        for slot, text in texts.items():
            alone = model(torch.tensor([text])).logits[0, -1]
            assert (logits[slot] - alone).abs().max() < 1e-4


@pytest.mark.parametrize("kind", UNSUITED)
def test_a_model_that_remembers_in_another_way_is_not_decoded_so(kind):
    assert not suits(model_of(UNSUITED[kind]()))


def test_a_model_that_counts_positions_by_columns_is_found_out():
    model = model_of(SUITED["llama"]())
    forward = model.forward

    def by_columns(_self, **more):
        del more["position_ids"]
        columns = more["past_key_values"].get_seq_length()
        length = more["input_ids"].shape[1]
        positions = torch.arange(columns, columns + length)[None]
        return forward(position_ids=positions.expand(len(more["input_ids"]), -1), **more)

    model.forward = MethodType(by_columns, model)
    assert not suits(model)


def test_whoever_stands_beside_a_text_it_is_the_same_to_the_last_bit():
    asked, how = requests(make(), 20), sampling()
    together = run(make(batch=64), asked, how)
    few = run(make(batch=16), asked[::-1], how)
    alone = {}
    engine = make(batch=64)
    for request in asked[::7]:
        alone |= run(engine, [request], how)
    assert together == few
    assert alone == {name: together[name] for name in alone}


def test_refilled_slots_give_the_texts_of_one_batch_after_the_other():
    engine = make(batch=16)
    asked = requests(engine, 30)
    refilled = run(engine, asked, sampling())
    engine.refills = False
    batched = run(engine, asked, sampling())
    assert refilled.keys() == batched.keys()
    for name, one in refilled.items():
        other = batched[name]
        assert (one.token_ids, one.finish_reason) == (other.token_ids, other.finish_reason)
        assert one.branching == other.branching
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)
        assert one.entropies == pytest.approx(other.entropies, abs=1e-4)


def test_a_slot_is_refilled_and_a_prompt_is_read_once(monkeypatch):
    read, steps = [], []
    reading, stepping = Slots.read, Slots.step

    def told(self, prompt):
        read.append(prompt)
        return reading(self, prompt)

    def counted(self, tokens):
        steps.append(int((self.lengths > 0).sum()) / self.rows)
        return stepping(self, tokens)

    monkeypatch.setattr(Slots, "read", told)
    monkeypatch.setattr(Slots, "step", counted)
    engine = make(batch=16)
    read.clear(), steps.clear()
    asked = requests(engine, 40)
    run(engine, asked, sampling())
    assert sorted(read) == sorted({request.prompt_ids for request in asked})
    # Until the last ones are at it, nearly all slots are at work.
    busy = steps[: int(0.8 * len(steps))]
    assert min(busy) > FEW
    assert sum(busy) / len(busy) > 0.9


class Slow:
    """A feed that has the next unit only when the one before is finished."""

    def __init__(self, units):
        self.units, self.waited = list(units), []

    def take(self, *, wait):
        if not wait or not self.units:
            return None
        self.waited.append(len(self.units))
        return self.units.pop(0)


def test_units_are_given_as_they_are_whole_and_more_is_asked_for_when_nothing_is_left():
    engine = make(batch=16)
    asked = requests(engine, 10)
    units = [asked[:3], asked[3:25], asked[25:]]
    feed = Slow(units)
    given = list(engine.sample(feed, sampling(), check=lambda: None))
    assert [len(unit) for unit in given] == [3, 22, 5]
    assert feed.waited == [3, 2, 1]
    every = {each.request.rollout_id: each for unit in given for each in unit}
    assert every == run(engine, asked, sampling())


def test_there_are_whole_grains_of_slots():
    assert [rows_for(wanted, 256) for wanted in (0, 1, 16, 17, 255, 256, 900)] == [
        *(16, 16, 16, 32, 256, 256, 256),
    ]
    assert rows_for(9, 5) == 5
