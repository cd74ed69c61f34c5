"""Whether samples of one row see each other is found out on the model itself, by TRL's collator.

Run: python -m pytest tests/training/test_packing.py
"""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
import transformers
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from pipelines.perform import check_recipe
from rft.errors import RFTError
from rft.recipe.loading import load_recipe
from rft.training.packing import refuse_leaks

TARGETS = [{"input_ids": ids} for ids in ([5, 6, 7, 0, 9, 3], [11, 12, 13, 14, 15, 16], [2] * 30)]

SIZE = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 1,
}


def trainer_of(kind: str, **config) -> SimpleNamespace:
    """Give what `refuse_leaks` asks of a trainer, with a small model of an architecture."""
    torch.manual_seed(0)
    settings = getattr(transformers, f"{kind}Config")(**SIZE | config)
    return SimpleNamespace(
        model=getattr(transformers, f"{kind}ForCausalLM")(settings).train(),
        data_collator=DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True),
        compute_loss_context_manager=nullcontext,
        _prepare_inputs=lambda batch: batch,
    )


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("Qwen2", {}),
        ("Llama", {}),
        ("Llama", {"attn_implementation": "eager"}),
        ("Gemma2", {"head_dim": 8, "sliding_window": 4}),
        ("Mixtral", {"num_local_experts": 4}),
    ],
)
def test_masked_attention_keeps_samples_apart(kind, config):
    trainer = trainer_of(kind, **config)
    refuse_leaks(trainer, TARGETS)
    assert trainer.model.training


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("Mamba", {"state_size": 8}),
        # A short convolution in front of attention: the next sample's first tokens alone are moved.
        ("Lfm2", {"layer_types": ["conv", "full_attention"]}),
        ("OPT", {"ffn_dim": 64, "word_embed_proj_dim": 32}),
    ],
)
def test_a_model_whose_samples_see_each_other_is_refused(kind, config):
    trainer = trainer_of(kind, **config)
    with pytest.raises(RFTError, match=r"a sample sees the one before it.*sft\.packing: false"):
        refuse_leaks(trainer, TARGETS)
    assert trainer.model.training


def test_one_sample_has_nobody_to_see():
    refuse_leaks(trainer_of("Mamba", state_size=8), TARGETS[:1])


@pytest.mark.parametrize(
    "sizes", [["sft.micro_batch=1"], ["sft.max_length=16384"], ["sft.batch=1"]]
)
def test_packing_that_would_pack_nothing_is_refused_before_anything_is_spent(sizes):
    check_recipe(load_recipe("smoke", ["sft.packing=true"]))
    with pytest.raises(RFTError, match="there is nothing to put beside it"):
        check_recipe(load_recipe("smoke", ["sft.packing=true", *sizes]))


@pytest.mark.parametrize("argument", ["packing_strategy: wrapped", "padding_free: true"])
def test_trls_own_ways_of_packing_are_refused(argument):
    with pytest.raises(RFTError, match=r"set sft\.packing instead"):
        check_recipe(load_recipe("smoke", [f"sft.args={{{argument}}}"]))
