"""Pins what `sft` learns of a sample: its tokens, and an end only if it ended."""

import pytest

from pipelines.sft import target
from rft.prompt import Prompter, load_tokenizer, prompter
from rft.recipe.loading import load_recipe
from tests.scored_run import TINY


@pytest.fixture(scope="module")
def prompts() -> Prompter:
    return prompter(load_tokenizer(TINY.path), load_recipe("smoke").prompt)


def learnt(prompts: Prompter, completion: str, finish: str, *, tokens: bool) -> str:
    """Trim a completion as grading does, and give what is learnt of it as text."""
    ids = prompts.encode(completion)
    count, response = prompts.trim(ids, completion)
    row = {
        "prompt": "Q",
        "response": response,
        "finish_reason": finish,
        "token_ids": ids if tokens else None,
        "num_response_tokens": count if tokens else None,
    }
    made = target(prompts, row)
    pairs = zip(made["input_ids"], made["completion_mask"], strict=True)
    return prompts.decode([token for token, mask in pairs if mask])


@pytest.mark.parametrize("tokens", [True, False])
def test_an_answer_that_was_cut_off_has_no_end_to_learn(prompts, tokens):
    cut = learnt(prompts, "1 + 1 is more than", "length", tokens=tokens)
    assert cut == "1 + 1 is more than"
    # An open box closes nothing.
    assert learnt(prompts, "so \\boxed{2", "length", tokens=tokens) == "so \\boxed{2"


@pytest.mark.parametrize("tokens", [True, False])
@pytest.mark.parametrize(
    ("completion", "finish", "text"),
    [
        ("I do not know", "stop", "I do not know"),
        ("so \\boxed{2}", "stop", "so \\boxed{2}"),
        # It was cut off, but behind its answer, where it is trimmed and ends by our choice.
        ("so \\boxed{2}", "length", "so \\boxed{2}"),
        ("so \\boxed{2} and on and", "length", "so \\boxed{2}"),
        ("", "stop", ""),
    ],
)
def test_what_ended_by_itself_or_is_trimmed_to_its_answer_has_an_end(
    prompts, completion, finish, text, tokens
):
    assert learnt(prompts, completion, finish, tokens=tokens) == text + prompts.end


def test_the_form_of_the_prompt_in_a_box_is_no_end(prompts):
    # As in grading: an echo of the form does not count as an answer, so that nothing is trimmed.
    echo = "Put your final answer within \\boxed{}. The sum of"
    assert learnt(prompts, echo, "length", tokens=True) == echo
