"""A stranger's tokenizer and chat template, tried in a process that may be killed.

A template is a program, and a tokenizer has regular expressions: either may never end, or fill the
memory. So the first prompt is rendered and tokenised in a child with an end to its time and memory;
what comes through is noted in the run folder, and not tried again.
Run: echo '{"path": ..., "options": {}, "prompt": {}}' | python -m rft.model_folders.trial
"""

import contextlib
import hashlib
import importlib.metadata
import json
import os
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rft.bundled import bundled
from rft.errors import RFTError
from rft.processes.hook import attempt
from rft.processes.stopping import Stop
from rft.runs.atomic import atomic_text

if TYPE_CHECKING:
    from rft.recipe import Prompt
    from rft.runs.models import ModelRef

# Of computing, imports aside; the largest tokenizers load in two, a prompt takes a thousandth.
CPU_SECONDS = 10
# Of waiting, for the disk or a pipe that nobody writes to.
SECONDS = 120.0
MEMORY = 4 << 30
LIBRARIES = ("transformers", "tokenizers", "jinja2")
QUESTION = "What is 1 + 1?"

_tried: set[str] = set()


def try_out(model: "ModelRef", settings: "Prompt") -> None:
    """Have a child load a foreign tokenizer and render a prompt, and refuse what fails there."""
    if not model.foreign or Path(model.path).is_relative_to(bundled("data")):
        return
    prompt = settings.model_dump(mode="json")
    key = _key(model, prompt)
    noted = None if model.notes is None else model.notes / f"tried-{key}"
    if key in _tried or (noted is not None and noted.is_file()):
        return
    job = {"path": model.path, "options": model.options, "prompt": prompt}
    failure = attempt(
        [sys.executable, "-P", "-m", "rft.model_folders.trial"],
        json.dumps(job),
        seconds=SECONDS,
        stop=Stop(),
        env={**os.environ, "TRANSFORMERS_VERBOSITY": "error", "TOKENIZERS_PARALLELISM": "false"},
    )
    if failure is not None:
        raise RFTError(told(model.path, failure.why, failure.said))
    _tried.add(key)
    if noted is not None and noted.parent.parent.parent.is_dir():
        atomic_text(noted, "")


def told(path: str, why: str, said: str) -> str:
    """Say why a trial failed: in its own words where it had some."""
    if why == "it ended with 2":
        return said
    if why == "it ended with 1":
        return f"{path}: its tokenizer or chat template does not work ({said})"
    return (
        f"{path}: its tokenizer or chat template has no end: one short prompt took more than "
        f"{CPU_SECONDS} seconds of computing or {MEMORY >> 30} GB of memory ({why}); mend it, or "
        "get the model from somebody else"
    )


def _key(model: "ModelRef", prompt: dict[str, Any]) -> str:
    versions = [importlib.metadata.version(name) for name in LIBRARIES]
    whole = json.dumps([model.path, model.digest, model.options, prompt, versions])
    return hashlib.sha256(whole.encode()).hexdigest()[:16]


def _within_limits() -> None:
    """End this process where it takes too much, once everything is imported."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + CPU_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    with contextlib.suppress(OSError, ValueError):  # macOS knows no such limit
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))


def _main() -> int:
    job = json.loads(sys.stdin.read())
    trusted = job["options"]["trust_remote_code"]
    if not trusted:
        sys.modules["torch"] = None  # type: ignore[assignment]  # seconds that no tokenizer needs
    from transformers import AutoTokenizer  # noqa: F401  its time does not count

    from rft.model_folders.loading import load_config
    from rft.prompt import load_tokenizer, prompter
    from rft.recipe import Prompt
    from rft.runs.models import ModelRef

    settings = Prompt.model_validate_json(json.dumps(job["prompt"]))
    _within_limits()
    try:
        load_config(ModelRef(job["path"], "", trust_remote_code=trusted))
        prompts = prompter(load_tokenizer(job["path"], **job["options"]), settings)
        prompts.decode(prompts.encode(prompts.render(QUESTION)))
    except RFTError as error:
        sys.stderr.write(f"\n{error}\n")
        return 2
    except BaseException as error:  # noqa: BLE001  a panic of the tokenizers library is no Exception
        why = "it fills the memory" if isinstance(error, MemoryError) else str(error).strip()
        sys.stderr.write(f"\n{type(error).__name__}: {(why.splitlines() or [''])[0]}\n")
        return 1
    return 0


if __name__ == "__main__":
    code = _main()
    sys.stderr.flush()
    os._exit(code)  # nothing of a stranger's is taken apart
