"""One prompt, one end, one target: the only place that renders, tokenises and trims."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rft.errors import RFTError, explained
from rft.grading.answers import Finds, Form, answer_box, answer_of, form_of
from rft.model_folders.inspection import read_config
from rft.model_folders.loading import reason
from rft.model_folders.trial import try_out
from rft.recipe import Prompt

if TYPE_CHECKING:
    from rft.runs.models import ModelRef

# Stands for an assistant message while the template is asked what it puts after one.
SENTINEL = "\u241eanswer\u241e"


@dataclass(frozen=True)
class Prompter:
    """A tokenizer with the recipe's prompt section: text in, the model's tokens out, and back."""

    tokenizer: Any
    settings: Prompt
    end: str
    end_id: int
    finds: Finds = "box"
    """Where in a completion the answer is, which the verifier says."""

    @cached_property
    def form(self) -> Form:
        """Read what the prompt shows in boxes."""
        return prompt_form(self.settings, self.finds)

    def render(self, question: str) -> str:
        """Render a question as the text that the model continues."""
        # Not str.format: questions, and templates with LaTeX in them, are full of braces.
        body = _fill(self.settings.template, question)
        shots = [
            (_fill(self.settings.template, shot.question), shot.answer)
            for shot in self.settings.few_shot or ()
        ]
        if self.settings.style == "raw":
            before = "".join(f"{asked}\n{answer}\n\n" for asked, answer in shots)
            system = f"{self.settings.system}\n\n" if self.settings.system else ""
            return f"{system}{before}{body}\n"
        messages = (
            [{"role": "system", "content": self.settings.system}] if self.settings.system else []
        )
        for asked, answer in shots:
            messages += [
                {"role": "user", "content": asked},
                {"role": "assistant", "content": answer},
            ]
        messages.append({"role": "user", "content": body})
        return _apply(self.tokenizer, self.settings, messages, add_generation_prompt=True)

    def encode(self, text: str) -> list[int]:
        """Tokenise rendered text; special tokens are in the text already, none are added."""
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def decode(self, token_ids: Sequence[int]) -> str:
        """Turn tokens into text, every one of them visible."""
        text = self.tokenizer.decode(
            list(token_ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return str(text)

    def stop_ids(self, generation_eos: Sequence[int] = ()) -> frozenset[int]:
        """List the tokens that close a completion: our end, and what the model calls its own."""
        own = [self.tokenizer.eos_token_id] if self.tokenizer.eos_token_id is not None else []
        return frozenset([self.end_id, *own, *generation_eos])

    def before_stop(self, token_ids: Sequence[int]) -> int:
        """Count the tokens before the first stop string of the recipe begins."""
        stops = self.settings.stop
        text = self.decode(token_ids) if stops else ""
        if not any(stop in text for stop in stops):
            return len(token_ids)
        kept = 0
        while kept < len(token_ids):
            text = self.decode(token_ids[: kept + 1])
            if any(stop in text for stop in stops):
                break
            kept += 1
        return kept

    def trim(self, token_ids: Sequence[int], completion: str) -> tuple[int, str]:
        """Cut after the token in which the answer's box closes: (number of tokens, text).

        The brace often shares its token with punctuation, which then stays. Without a closed box
        the response is the whole completion. So too with a code block.
        """
        box = answer_box(completion, self.form)
        if box is None:
            return len(token_ids), completion
        low, high = 1, len(token_ids)  # the fewest tokens whose text has that box lies within
        while low < high:
            middle = (low + high) // 2
            closed = answer_box(self.decode(token_ids[:middle]), self.form)
            # A box inside it, or an example that the prompt gives, may close before it does.
            if closed is None or closed.start != box.start or closed.end < box.end:
                low = middle + 1
            else:
                high = middle
        text = self.decode(token_ids[:low])
        if self.finds == "code block" and answer_of(text, self.form) != box.content.strip():
            # Cut in the middle of a line, a fence may look like one that closes.
            return len(token_ids), completion
        return low, text

    def target(
        self, prompt_ids: Sequence[int], response_ids: Sequence[int], *, ended: bool = True
    ) -> dict[str, list[int]]:
        """Make the SFT row: prompt + response + end if it ended, trained on all but the prompt."""
        learnt = [*response_ids, self.end_id] if ended else list(response_ids)
        return {
            "input_ids": [*prompt_ids, *learnt],
            "completion_mask": [0] * len(prompt_ids) + [1] * len(learnt),
        }


def prompt_form(settings: Prompt, finds: Finds = "box") -> Form:
    """Read what a prompt section shows in boxes; the shots show answers, and those are answers."""
    return form_of(_braces(settings.template), settings.system or "", finds=finds)


def _fill(template: str, question: str) -> str:
    """Put the question into a template in which, as in str.format, {{ and }} stand for braces."""
    before, asked, after = template.partition("{question}")
    assert asked, "the recipe refuses a template without {question}"
    return f"{_braces(before)}{question}{_braces(after)}"


def _braces(text: str) -> str:
    return text.replace("{{", "{").replace("}}", "}")


def _apply(
    tokenizer: Any, settings: Prompt, messages: list[dict[str, str]], **options: bool
) -> str:
    """Render a chat template, which transformers does in jinja's sandbox: it reaches no code."""
    from jinja2 import TemplateError

    try:
        text = tokenizer.apply_chat_template(
            messages, tokenize=False, **options, **settings.chat_kwargs
        )
    except TemplateError as error:
        raise RFTError(
            f"the model's chat template refuses the prompt ({reason(error)}); change "
            "prompt.system, prompt.few_shot or prompt.chat_kwargs, or set prompt.style: raw"
        ) from None
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        raise RFTError(
            f"the model's chat template does not work ({type(error).__name__}: {reason(error)}); "
            "mend it, or set prompt.style: raw"
        ) from None
    return str(text)


def open_prompter(model: "ModelRef", settings: Prompt, finds: Finds = "box") -> Prompter:
    """Load a model's tokenizer for the prompt section; a stranger's is tried elsewhere first."""
    try_out(model, settings)
    prompts = prompter(load_tokenizer(model.path, **model.options), settings, finds)
    refuse_unknown_tokens(model, prompts)
    return prompts


def refuse_unknown_tokens(model: "ModelRef", prompts: Prompter) -> None:
    """Refuse tokens of which the model has no embedding: looking one up would be an error."""
    config = read_config(Path(model.path))
    size = config.get("vocab_size", (config.get("text_config") or {}).get("vocab_size"))
    tokenizer = prompts.tokenizer
    used = {
        "its end token": prompts.end_id,
        "its eos_token": tokenizer.eos_token_id,
        "its pad_token": tokenizer.pad_token_id,
        "a token of the prompt": max(prompts.encode(prompts.render("?")), default=0),
    }
    for what, number in used.items():
        if isinstance(size, int) and number is not None and number >= size:
            raise RFTError(
                f"{model.path}: {what} is number {number:,} of the tokenizer, and the model has "
                f"{size:,} tokens; use the tokenizer of this model"
            )


def load_tokenizer(path: Path | str, **options: Any) -> Any:
    """Load a model folder's tokenizer, or say in one line that it has none."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(str(path), **options)
    except Exception as error:  # the library that reads tokenizer.json raises plain ones
        if explained(error) is not None:
            raise
        why = reason(error)
        if "trust_remote_code" in str(error):
            why = "it needs code of its own; set model.trust_remote_code: true if you trust it"
        raise RFTError(f"{path}: no usable tokenizer in this model folder ({why})") from error


def prompter(tokenizer: Any, settings: Prompt, finds: Finds = "box") -> Prompter:
    """Join a tokenizer and the prompt section, having found the token that ends an answer."""
    if settings.style == "chat" and not tokenizer.chat_template:
        raise RFTError(
            "prompt.style: chat, but the model's tokenizer has no chat template; "
            "set prompt.style: raw, or use a model with a template"
        )
    end = _closing_token(tokenizer, settings) if settings.end == "auto" else settings.end
    end_id = tokenizer.convert_tokens_to_ids(end)
    if end_id is None or end_id == tokenizer.unk_token_id or tokenizer.decode([end_id]) != end:
        raise RFTError(f"prompt.end: {end!r} is not one token of this model; name one that is")
    return Prompter(tokenizer, settings, end, int(end_id), finds)


def _closing_token(tokenizer: Any, settings: Prompt) -> str:
    """Find the first special token that the template puts after an assistant message."""
    if settings.style == "raw":
        if not tokenizer.eos_token:
            raise RFTError(
                "prompt.end: auto, but the tokenizer has no eos_token; name the end token"
            )
        return str(tokenizer.eos_token)
    messages = [{"role": "user", "content": "?"}, {"role": "assistant", "content": SENTINEL}]
    after = _apply(tokenizer, settings, messages).partition(SENTINEL)[2]
    special = {
        str(token.content) for token in tokenizer.added_tokens_decoder.values() if token.special
    }
    special |= {str(token) for token in tokenizer.all_special_tokens}
    closing = [(after.index(token), -len(token), token) for token in special if token in after]
    if not closing:
        raise RFTError(
            "prompt.end: auto, but the chat template puts no special token after an assistant "
            "message; name the token that ends an answer"
        )
    return min(closing)[2]
