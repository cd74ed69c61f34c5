"""Scores equal those of a float64 softmax over whole logits, however the rows are cut into batches.

The oracle runs the model in float64, a row at a time without padding, and never cuts the logits.
"""

import copy
import random
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers
from torch import nn

from rft.errors import Interrupted, RFTError
from rft.recipe import Model
from rft.runs.models import resolve
from rft.token_stats import forward
from rft.token_stats.forward import Halves, Row, Scores, score, score_batches

MASS = 0.95
BIG = 151_936  # the vocabulary of Qwen2.5 and Qwen3


def oracle(model: Any, row: Row, mass: float = MASS) -> Scores:
    """Score a row by brute force."""
    prompt, response = row
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([[*prompt, *response]])).logits[0]
    assert logits.dtype == torch.float64
    found = Scores([], [], [])
    for token, place in zip(response, range(len(prompt) - 1, len(logits)), strict=False):
        logs = torch.log_softmax(logits[place], 0)
        ranked = logs.exp().sort(descending=True).values.cumsum(0)
        found.logprobs.append(float(logs[token]))
        found.entropies.append(float(-(logs.exp() * logs).sum()))
        found.branching.append(int((ranked < mass).sum()) + 1)
    return found


def check(model: Any, rows: list[Row], found: list[Scores], mass: float = MASS) -> None:
    """Compare scores with the oracle's."""
    exact = copy.deepcopy(model).double()
    if hasattr(exact, "set_experts_implementation"):
        exact.set_experts_implementation("eager")  # the others know no float64
    assert len(found) == len(rows)
    apart = total = 0
    for row, scores in zip(rows, found, strict=True):
        wanted = oracle(exact, row, mass)
        assert len(scores.logprobs) == len(scores.branching) == len(row[1])
        assert scores.entropies == pytest.approx(wanted.entropies, abs=1e-4)
        assert scores.logprobs == pytest.approx(wanted.logprobs, abs=1e-4)
        for one, other in zip(scores.branching, wanted.branching, strict=True):
            assert abs(one - other) <= 1
            apart += one != other
            total += 1
    assert apart <= 0.002 * total, f"{apart} of {total} branching factors are another's"


def rows_of(vocabulary: int, sizes: list[tuple[int, int]], seed: int = 0) -> list[Row]:
    """Draw rows of given prompt and response lengths."""
    source = random.Random(seed)
    return [
        tuple([source.randrange(vocabulary) for _ in range(size)] for size in pair)  # type: ignore[misc]
        for pair in sizes
    ]


def mixed(count: int, seed: int = 0) -> list[tuple[int, int]]:
    source = random.Random(seed)
    return [(source.randint(1, 40), source.randint(1, 60)) for _ in range(count)]


@pytest.fixture(scope="module")
def tiny() -> Any:
    return forward.load(resolve(Model(path="bundled:tiny")))


def random_model(config: Any, sharpness: float = 1.0) -> Any:
    """Make a model of random weights whose logits are spread enough to tell tokens apart."""
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(sharpness)
    return model


SMALL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": False,
    "pad_token_id": 0,
    "bos_token_id": 0,
    "eos_token_id": 0,
}


@pytest.fixture(scope="module")
def big() -> Any:
    return random_model(transformers.Qwen3Config(vocab_size=BIG, **SMALL), 40.0)


# The numbers --------------------------------------------------------------------------------------


def test_scores_of_the_bundled_model_equal_a_float64_oracle(tiny):
    rows = rows_of(512, mixed(60))
    check(tiny, rows, score(tiny, rows, mass=MASS))


def test_scores_of_its_own_words_equal_the_oracle(tiny):
    """Where the model is sure, entropies are small and differences would show."""
    with torch.no_grad():
        prompt = torch.tensor([[1, 77, 30, 8, 14]])
        texts = tiny.generate(
            prompt, do_sample=True, num_return_sequences=30, max_new_tokens=60, pad_token_id=0
        )
    rows: list[Row] = [(text[:5].tolist(), text[5:].tolist()) for text in texts]
    found = score(tiny, rows, mass=MASS)
    check(tiny, rows, found)
    assert min(min(scores.entropies) for scores in found) < 0.1


def test_scores_over_a_real_vocabulary_equal_the_oracle(big):
    rows = rows_of(BIG, [(20, 40), (3, 60), (11, 1), (1, 90), (7, 60)])
    found = score(big, rows, mass=MASS)
    check(big, rows, found)
    assert max(max(scores.branching) for scores in found) > 1024  # past the first prefixes


@pytest.mark.parametrize("mass", [0.5, 0.8, 0.999])
def test_branching_is_of_the_mass_that_is_asked_for(tiny, mass):
    rows = rows_of(512, mixed(10, seed=3))
    check(tiny, rows, score(tiny, rows, mass=mass), mass)


def test_neither_prompt_nor_end_is_scored_and_the_first_token_is(tiny):
    (scores,) = score(tiny, [([5, 6, 7], [8, 9])], mass=MASS)
    with torch.no_grad():
        logits = tiny(input_ids=torch.tensor([[5, 6, 7]])).logits[0, -1]
    assert len(scores.logprobs) == 2
    assert scores.logprobs[0] == pytest.approx(float(logits.log_softmax(0)[8]), abs=1e-4)


def test_an_empty_response_has_no_statistics(tiny):
    rows: list[Row] = [([1, 2], []), ([1, 2, 3], [4]), ([], [])]
    empty, one, nothing = score(tiny, rows, mass=MASS)
    assert empty == nothing == Scores([], [], [])
    assert len(one.entropies) == 1
    assert score(tiny, [([1], [])], mass=MASS) == [empty]
    assert score(tiny, [], mass=MASS) == []


def test_a_response_to_nothing_is_a_mistake_of_ours(tiny):
    with pytest.raises(AssertionError, match="first token"):
        score(tiny, [([], [1])], mass=MASS)


# Architectures ------------------------------------------------------------------------------------

CONFIGS: dict[str, Callable[[], Any]] = {
    "gemma2, a soft cap": lambda: transformers.Gemma2Config(
        vocab_size=300, final_logit_softcapping=1.5, **SMALL
    ),
    "cohere, a scale": lambda: transformers.CohereConfig(
        vocab_size=300, logit_scale=0.3, **{k: v for k, v in SMALL.items() if k != "head_dim"}
    ),
    "granite, a divisor": lambda: transformers.GraniteConfig(
        vocab_size=300, logits_scaling=4.0, **SMALL
    ),
    "mixtral, routers": lambda: transformers.MixtralConfig(
        vocab_size=300, num_local_experts=2, output_router_logits=False, **SMALL
    ),
    "gpt2, another shape": lambda: transformers.GPT2Config(
        vocab_size=300, n_embd=32, n_layer=2, n_head=2
    ),
    "opt, a decoder within": lambda: transformers.OPTConfig(
        vocab_size=300,
        hidden_size=32,
        ffn_dim=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        word_embed_proj_dim=32,
        max_position_embeddings=256,
    ),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_what_an_architecture_does_to_its_logits_is_done(name, monkeypatch):
    model = random_model(CONFIGS[name](), 30.0)
    monkeypatch.setattr(forward, "CELLS", 300 * 7)
    rows = rows_of(300, mixed(12))
    check(model, rows, score(model, rows, mass=MASS))


class Stubborn(nn.Module):
    """A model whose logits depend on more than its last hidden states."""

    def __init__(self, model: Any):
        super().__init__()
        self.inner, self.config, self.device = model, model.config, model.device

    def get_decoder(self) -> Any:
        return self.inner.get_decoder()

    def forward(self, input_ids: torch.Tensor, **rest: Any) -> Any:
        found = self.inner(input_ids=input_ids, **rest)
        found.logits = found.logits + 0.01 * input_ids[..., None]
        return found


def test_a_model_that_does_not_come_apart_is_refused_in_one_line(tiny):
    with pytest.raises(RFTError, match=r"logits of a Stubborn are not .* 0\.04 apart") as caught:
        score(Stubborn(tiny).eval(), [([1], [2])], mass=MASS)
    assert "\n" not in str(caught.value)


def test_the_model_is_left_as_it_was(tiny):
    tokens = torch.tensor([[1, 2, 3]])
    with torch.no_grad():
        before = tiny(input_ids=tokens).logits
        score(tiny, rows_of(512, mixed(3)), mass=MASS)
        assert "forward" not in vars(tiny.get_decoder())
        assert torch.equal(tiny(input_ids=tokens).logits, before)


# Batches ------------------------------------------------------------------------------------------


def assert_alike(one: list[Scores], other: list[Scores]) -> None:
    for a, b in zip(one, other, strict=True):
        assert a.entropies == pytest.approx(b.entropies, abs=1e-4)
        assert a.logprobs == pytest.approx(b.logprobs, abs=1e-4)
        assert all(abs(x - y) <= 1 for x, y in zip(a.branching, b.branching, strict=True))


def test_neither_batches_nor_order_nor_pieces_change_what_comes_out(tiny, monkeypatch):
    rows = rows_of(512, mixed(40))
    whole = score(tiny, rows, mass=MASS)
    for micro_batch in (1, 3, 1000):
        assert_alike(score(tiny, rows, mass=MASS, micro_batch=micro_batch), whole)
    order = random.Random(1).sample(range(40), 40)
    shuffled = score(tiny, [rows[place] for place in order], mass=MASS)
    assert_alike(shuffled, [whole[place] for place in order])
    monkeypatch.setattr(forward, "CELLS", 512 * 5)
    assert_alike(score(tiny, rows, mass=MASS), whole)
    monkeypatch.setattr(forward, "CELLS", 1)
    assert_alike(score(tiny, rows[:3], mass=MASS), whole[:3])


def test_a_batch_holds_as_many_padded_tokens_as_the_budget(tiny, monkeypatch):
    monkeypatch.setattr(forward, "BUDGET", 128)
    rows = rows_of(512, [*mixed(20), (200, 250)])
    sizes = []
    for batch in score_batches(tiny, rows, mass=MASS):
        widths = [len(rows[place][0]) + len(rows[place][1]) - 1 for place in batch]
        assert len(batch) == 1 or len(batch) * max(widths) <= 128
        sizes.append(len(batch))
    assert sizes[0] == 1  # longer than the budget, and alone
    assert sum(sizes) == 21
    assert max(sizes) > 2
    rows = rows_of(512, mixed(10))
    counts = [len(batch) for batch in score_batches(tiny, rows, mass=MASS, micro_batch=4)]
    assert counts == [4, 4, 2]


def test_what_is_left_after_any_batch_is_cut_into_the_same_batches(tiny, monkeypatch):
    monkeypatch.setattr(forward, "BUDGET", 200)
    rows = rows_of(512, mixed(30))
    batches = [list(batch.items()) for batch in score_batches(tiny, rows, mass=MASS)]
    done: set[int] = set()
    for number in range(1, len(batches)):
        done |= {place for place, _ in batches[number - 1]}
        left = [place for place in range(30) if place not in done]
        again = score_batches(tiny, [rows[place] for place in left], mass=MASS)
        assert [
            [(left[place], scores) for place, scores in batch.items()] for batch in again
        ] == batches[number:]


def test_a_stop_is_asked_about_before_every_batch(tiny):
    asked = []

    def stop() -> None:
        asked.append(1)
        if len(asked) == 3:
            raise Interrupted

    batches = score_batches(tiny, rows_of(512, mixed(9)), mass=MASS, micro_batch=2, check=stop)
    assert len(next(batches)) == len(next(batches)) == 2
    with pytest.raises(Interrupted):
        next(batches)


def test_batches_are_halved_where_memory_is_short(tiny, monkeypatch):
    rows = rows_of(512, mixed(21))
    whole = score(tiny, rows, mass=MASS)
    real, tried = forward._forward, []

    def short(halves: Halves, rows: Any, mass: float) -> Any:
        tried.append(len(rows))
        if len(rows) > 6:
            raise torch.OutOfMemoryError
        return real(halves, rows, mass)

    monkeypatch.setattr(forward, "_forward", short)
    assert_alike(score(tiny, rows, mass=MASS), whole)
    assert tried[:3] == [21, 10, 5]
    # What is learnt is kept, though shorter rows go in greater numbers.
    assert sum(size > 6 for size in tried) < len(tried) / 2


def test_one_row_that_does_not_fit_is_one_line(tiny, monkeypatch):
    def never(*_: Any) -> Any:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(forward, "_forward", never)
    with pytest.raises(RFTError, match=r"one sample of 9 tokens does not fit"):
        score(tiny, [([1] * 5, [2] * 5), ([1], [2])], mass=MASS)


# Memory -------------------------------------------------------------------------------------------


def test_no_piece_of_the_logits_is_larger_than_it_may_be(big):
    sizes = []
    head = big.get_output_embeddings()
    hook = head.register_forward_hook(lambda _m, _i, logits: sizes.append(logits.numel()))
    try:
        score(big, rows_of(BIG, [(4, 60)] * 5), mass=MASS)
    finally:
        hook.remove()
    assert sum(sizes) > forward.CELLS
    assert max(sizes) <= forward.CELLS


PEAK = """
from pathlib import Path
import torch, transformers
from rft.token_stats import forward

def peak():
    status = Path("/proc/self/status").read_text().splitlines()
    (line,) = [line for line in status if line.startswith("VmHWM")]
    return 1024 * int(line.split()[1])

torch.manual_seed(0)
config = transformers.Qwen3Config(vocab_size={big}, **{small})
model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
with torch.no_grad():
    model.lm_head.weight.mul_(100)
forward.score(model, [([1] * 8, [2] * 120)], mass=0.95)
before = peak()
forward.score(model, [([1] * 8, [2] * 100)] * 4, mass=0.95)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak in /proc")
def test_a_batch_needs_less_memory_than_its_logits_would():
    """A piece of logits is a constant (the first batch fills one); more tokens add next to none.

    Not ru_maxrss: a process inherits that of the one that started it, and so grows by nothing.
    """
    code = PEAK.format(big=BIG, small=SMALL)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300
    )
    logits = 4 * 100 * BIG * 4
    assert int(done.stdout) < logits / 2
