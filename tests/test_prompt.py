"""One prompt, one end, one target: rendered once, ended once, trimmed at the token of the brace."""

import random
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from rft.bundled import bundled
from rft.errors import RFTError
from rft.grading.answers import answer_box, answer_of
from rft.prompt import load_tokenizer, prompter
from rft.recipe import Prompt

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def straddling() -> PreTrainedTokenizerFast:
    """Train a byte-level BPE in which `}$.` and `}}` are single tokens, as real ones have them."""
    words = ["}$.", "}}", "}}$", "\\boxed{", "\\frac{", "1", "2", " the", " answer", " is", "é"]
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator([word for word in words for _ in range(50)], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        eos_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>", "<|im_end|>"],
        chat_template=CHATML,
        clean_up_tokenization_spaces=False,
    )


@pytest.fixture(scope="module")
def bpe():
    tokenizer = straddling()
    for token in ("}$.", "}}"):
        assert len(tokenizer.encode(token)) == 1, "the tokenizer does not straddle the brace"
    return tokenizer


@pytest.fixture(scope="module")
def tiny():
    return load_tokenizer(bundled("data") / "tiny")


@pytest.mark.parametrize(
    ("completion", "response"),
    [
        ("so $\\boxed{2}$. More", "so $\\boxed{2}$."),
        ("so \\boxed{\\frac{1}{2}} more \\boxed{3}", "so \\boxed{\\frac{1}{2}}"),
        ("so \\boxed{\\frac{1}{2}}$. Wait", "so \\boxed{\\frac{1}{2}}$"),
        ("\\boxed{1}", "\\boxed{1}"),
        ("\\boxed{1 + \\boxed{2}} = 3", "\\boxed{1 + \\boxed{2}}"),
        ("\\boxed{\\boxed{2} } x", "\\boxed{\\boxed{2} }"),
        ("\\boxed{open \\boxed{2} x", "\\boxed{open \\boxed{2}"),
        ("no box at all", "no box at all"),
        ("in \\boxed{}. So \\boxed{2}. More", "in \\boxed{}. So \\boxed{2}"),
        (
            "\\boxed{\\boxed{}} \\boxed{...} \\boxed{2}$.",
            "\\boxed{\\boxed{}} \\boxed{...} \\boxed{2}$.",
        ),
        ("only \\boxed{} and \\boxed{answer}.", "only \\boxed{} and \\boxed{answer}."),
        ("\\boxed{unclosed $.", "\\boxed{unclosed $."),
        ("é é \\boxed{é} é", "é é \\boxed{é}"),
    ],
)
def test_the_response_ends_with_the_token_in_which_the_answer_box_closes(bpe, completion, response):
    prompts = prompter(bpe, Prompt())
    ids = prompts.encode(completion)
    count, text = prompts.trim(ids, completion)
    assert text == prompts.decode(ids[:count]) == response
    if answer_box(completion):
        before = answer_box(prompts.decode(ids[: count - 1]))
        assert before is None or before.start != answer_box(completion).start


@pytest.mark.parametrize(
    ("completion", "response"),
    [
        ("so:\n```python\nprint(4)\n```\nThat is it.", "so:\n```python\nprint(4)\n```"),
        ("```\na\n```\nor\n```python\nb\n```\nend", "```\na\n```\nor\n```python\nb\n```"),
        ("```python\na\n```\nso\n```python\nnever", "```python\na\n```"),
        ("\\boxed{4} and no code", "\\boxed{4} and no code"),
        ("```python\nnever closed", "```python\nnever closed"),
    ],
)
def test_a_program_is_trimmed_after_the_fence_that_closes_it(bpe, completion, response):
    prompts = prompter(bpe, Prompt(), "code block")
    ids = prompts.encode(completion)
    count, text = prompts.trim(ids, completion)
    assert text == prompts.decode(ids[:count])
    # A token may hold the line's end as well.
    assert text.rstrip() == response


def test_trimming_never_loses_the_program(tiny):
    prompts = prompter(tiny, Prompt(), "code block")
    pieces = ["```python\n", "```\n", "```", "a = 1\n", "```py\nb\n```\n", "so\n", "# c\n"]
    for number in range(400):
        completion = "".join(random.Random(number).choices(pieces, k=8))
        ids = prompts.encode(completion)
        text = prompts.trim(ids, completion)[1]
        assert completion.startswith(text)
        assert answer_of(text, prompts.form) == answer_of(completion, prompts.form)


def test_what_the_prompt_shows_in_a_box_is_passed_over_in_trimming(bpe):
    prompts = prompter(bpe, Prompt(template="{question} Answer as \\boxed{{n}} or \\boxed{{42}}."))
    for completion, response in [
        ("as \\boxed{n} or \\boxed{42}: \\boxed{7} so", "as \\boxed{n} or \\boxed{42}: \\boxed{7}"),
        ("it is \\boxed{42} so", "it is \\boxed{42}"),
        ("it is \\boxed{n} so", "it is \\boxed{n} so"),
    ]:
        assert prompts.trim(prompts.encode(completion), completion)[1] == response
    shown = Prompt(few_shot=({"question": "1 + 1?", "answer": "\\boxed{2}"},))
    assert prompter(bpe, shown).form == prompter(bpe, Prompt()).form


def test_trimming_agrees_with_a_token_by_token_search(tiny):
    prompts = prompter(tiny, Prompt())
    texts = ["1 + 1 = 2. The answer is $\\boxed{2}$. Wait, \\boxed{3}.", "\\boxed{12}.\nDone", "x"]
    for text in texts:
        ids = prompts.encode(text)
        slow = next(
            (n for n in range(1, len(ids) + 1) if answer_box(prompts.decode(ids[:n]))), len(ids)
        )
        assert prompts.trim(ids, text)[0] == slow


def test_the_end_is_found_in_the_chat_template_and_in_the_tokenizer(tiny, bpe):
    for tokenizer in (tiny, bpe):
        assert prompter(tokenizer, Prompt()).end == "<|im_end|>"
        assert prompter(tokenizer, Prompt(style="raw")).end == "<|endoftext|>"
        assert prompter(tokenizer, Prompt(end="<|im_start|>")).end == "<|im_start|>"


def test_an_end_that_is_not_one_token_is_refused(tiny):
    with pytest.raises(RFTError, match=r"prompt\.end: 'STOP HERE' is not one token"):
        prompter(tiny, Prompt(end="STOP HERE"))


def test_a_chat_style_without_a_template_is_refused_with_the_way_out():
    tokenizer = straddling()
    tokenizer.chat_template = None
    with pytest.raises(RFTError, match=r"set prompt\.style: raw"):
        prompter(tokenizer, Prompt())


def test_a_template_that_ends_messages_with_plain_text_is_refused():
    tokenizer = straddling()
    tokenizer.chat_template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    with pytest.raises(RFTError, match="no special token after an assistant message"):
        prompter(tokenizer, Prompt())


@pytest.mark.parametrize("style", ["chat", "raw"])
def test_a_target_is_prompt_response_and_the_end_once_with_only_the_prompt_masked(tiny, style):
    prompts = prompter(tiny, Prompt(style=style))
    prompt = prompts.encode(prompts.render("What is 1 + 1?"))
    response = prompts.encode("1 + 1 = 2. \\boxed{2}.")
    row = prompts.target(prompt, response)
    learnt = [t for t, m in zip(row["input_ids"], row["completion_mask"], strict=True) if m]
    assert prompts.decode(learnt) == "1 + 1 = 2. \\boxed{2}." + prompts.end
    assert row["input_ids"][: len(prompt)] == prompt
    assert row["input_ids"].count(prompts.end_id) == (2 if style == "chat" else 1)


def test_rendered_text_is_tokenised_without_further_special_tokens(tiny):
    prompts = prompter(tiny, Prompt())
    text = prompts.render("2 + 2?")
    assert prompts.decode(prompts.encode(text)) == text
    assert text.endswith("<|im_start|>assistant\n")


def test_braces_in_questions_and_templates_survive(tiny):
    text = prompter(tiny, Prompt()).render("Compute \\frac{1}{2} {question} {0}")
    assert "Compute \\frac{1}{2} {question} {0}\nPut your final answer within \\boxed{}." in text


def test_a_system_message_and_examples_come_before_the_question(tiny):
    shots = [{"question": "1 + 1?", "answer": "\\boxed{2}"}]
    settings = {"system": "Be brief.", "few_shot": shots}
    chat = prompter(tiny, Prompt.model_validate(settings)).render("2 + 2?")
    assert (
        chat.index("Be brief.")
        < chat.index("1 + 1?")
        < chat.index("\\boxed{2}")
        < chat.index("2 + 2?")
    )
    raw = prompter(tiny, Prompt.model_validate(settings | {"style": "raw"})).render("2 + 2?")
    assert raw.startswith("Be brief.\n\n1 + 1?")
    assert raw.endswith("2 + 2?\nPut your final answer within \\boxed{}.\n")


def test_a_folder_without_a_tokenizer_is_one_clear_line(tmp_path: Path):
    with pytest.raises(RFTError, match="no usable tokenizer"):
        load_tokenizer(tmp_path)
