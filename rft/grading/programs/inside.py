"""What runs inside the sandbox: it puts limits on itself, then does one job, which it is sent.

The sandbox holds this package's files and Python's own library alone. A program and the tests that
call it never share a process: tests see its functions from afar (`dialogue.py`), and what comes
back is plain data. So a program can neither read what is expected of it, nor end, skip or bend a
test: the worst that it can do is to give another answer.
"""

import ast
import builtins
import contextlib
import json
import math
import os
import random
import sys
import types
from collections.abc import Callable
from typing import Any

from rft.grading.programs.dialogue import Link, Offered
from rft.grading.programs.limits import restrain

# The first byte on standard output: what comes after it is the job's.
READY = b"+"
# How a job ends that has more to say than that it is done (0) or went wrong (1).
NOT_COMPILED, NO_FUNCTION, OUT_OF_MEMORY = 20, 21, 22

# Programs -----------------------------------------------------------------------------------------


def compiled(source: str) -> types.CodeType:
    """Compile a program, or end: its author wrote no Python."""
    try:
        return compile(source, "program.py", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, OverflowError, RecursionError):
        os._exit(NOT_COMPILED)


def load(source: str, name: str) -> dict[str, Any]:
    """Run a program as a module, and give what it defines."""
    code, module = compiled(source), types.ModuleType(name)
    sys.modules[name] = module
    exec(code, module.__dict__)
    return module.__dict__


def run(job: dict[str, Any]) -> None:
    """Run a program that reads its standard input, and prints."""
    load(job["source"], "__main__")


def call(job: dict[str, Any]) -> None:
    """Call one function of a program, and print what it gives, as JSON."""
    _, answers = apart()
    function = function_of(load(job["source"], "program"), job["name"])
    answers.write(json.dumps(function(*job["args"]), default=plain) + "\n")
    answers.flush()


def function_of(defined: dict[str, Any], name: str) -> Callable[..., Any]:
    """Find a function by its name: of the program, or of its class `Solution`."""
    function: Callable[..., Any] | None = defined.get(name)
    if function is None and isinstance(defined.get("Solution"), type):
        function = getattr(defined["Solution"](), name, None)
    if not callable(function):
        os._exit(NO_FUNCTION)
    return function


def plain(value: Any) -> Any:
    """Write as JSON what it has no form for: a set or whatever may be gone through, as a list."""
    return sorted(value) if isinstance(value, (set, frozenset)) else list(value)


def apart() -> tuple[Any, Any]:
    """Take our pipes out of the way of whoever reads or prints, and give them."""
    ours = [os.fdopen(os.dup(0), "r"), os.fdopen(os.dup(1), "w")]
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    return ours[0], ours[1]


def serve(job: dict[str, Any]) -> None:
    """Run a program, tell what it defines, and do what is asked of it."""
    requests, answers = apart()
    defined = load(job["source"], "program")
    offered = Offered()

    def say(told: Any) -> None:
        answers.write(json.dumps(told) + "\n")
        answers.flush()

    names = {name: value for name, value in defined.items() if not name.startswith("__")}
    modules = {
        name: value.__name__ for name, value in names.items() if isinstance(value, types.ModuleType)
    }
    say({"modules": modules, "names": {name: offered.offer(names[name]) for name in names}})
    for line in requests:
        try:
            told = offered.do(json.loads(line))
        except MemoryError:
            raise
        except BaseException as error:  # noqa: BLE001  of whatever kind: tests may expect it
            kinds = [kind.__name__ for kind in type(error).__mro__]
            told = {"raised": kinds, "words": str(error)}
        say(told)


def test(job: dict[str, Any]) -> None:
    """Run tests against the program at the other end; how this process ends is the verdict."""
    answers, requests = apart()
    link = Link(answers, requests)
    told = link.read()
    modules = told["modules"]
    # A program's own `abs` or `math` would judge itself.
    given = {
        name: link.take(value)
        for name, value in told["names"].items()
        if name not in modules and not hasattr(builtins, name)
    }
    for name, module in modules.items():
        if module in sys.stdlib_module_names and not hasattr(builtins, name):
            with contextlib.suppress(ImportError):
                given[name] = __import__(module, fromlist=["*"])
    try:
        exec(compiled(job["source"]), {**given, "__name__": "__main__"})
    except NameError as error:
        os._exit(1 if error.name in given else NO_FUNCTION)
    except SystemExit as end:
        os._exit(1 if end.code else 0)


# Tests that can be read ---------------------------------------------------------------------------


def check(job: dict[str, Any]) -> None:
    """Tell of each source whether it is Python that tests something."""
    good = [tests_something(source) for source in job["sources"]]
    os.write(1, json.dumps(good).encode() + b"\n")


def tests_something(source: str) -> bool:
    """Say whether anything can fail: `42` is Python too, and every program would pass."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError):
        return False
    names = (
        getattr(node.func, "attr", "") for node in ast.walk(tree) if isinstance(node, ast.Call)
    )
    return any(isinstance(node, (ast.Assert, ast.Raise)) for node in ast.walk(tree)) or any(
        name.startswith("assert") for name in names
    )


ROLES = {"run": run, "call": call, "serve": serve, "test": test, "check": check}


def header() -> dict[str, Any]:
    """Read the job: its length, and so many bytes; whatever follows is the program's to read."""
    digits = b""
    while not digits.endswith(b"\n"):
        digits += os.read(0, 1)
    rest, parts = int(digits), []
    while rest:
        parts.append(os.read(0, rest))
        rest -= len(parts[-1])
    job: dict[str, Any] = json.loads(b"".join(parts))
    return job


def main(role: str, seconds: float, memory: int) -> None:
    """Do one job."""
    job = header()
    # A program's verdict is to be the same another time.
    random.seed(0)
    sys.set_int_max_str_digits(0)
    restrain(math.ceil(seconds), memory)
    os.write(1, READY)
    try:
        ROLES[role](job)
    except MemoryError:
        os._exit(OUT_OF_MEMORY)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))
