"""Between a program and its tests, which never share a process: plain data, else a number.

Runs in the sandbox, with nothing of ours but this package's files.
"""

import builtins
import json
import os
from collections.abc import Callable
from typing import Any

# How a process of tests ends that asks for what cannot be: to hand over an object of its own.
BAD_TEST = 23


def pack(value: Any, refer: Callable[[Any], int]) -> Any:
    """Write a value as plain JSON; what is no plain data goes by a number that `refer` gives it."""

    def each(values: Any) -> list[Any]:
        return [pack(item, refer) for item in values]

    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, list):
        return each(value)
    for kind in (tuple, set, frozenset):
        if isinstance(value, kind):
            return {kind.__name__: each(value)}
    if isinstance(value, dict):
        return {"dict": [each(pair) for pair in value.items()]}
    if isinstance(value, (bytes, bytearray)):
        return {"bytes": value.hex()}
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    return {"object": refer(value)}


def unpack(packed: Any, find: Callable[[int], Any]) -> Any:
    """Read a packed value."""
    if isinstance(packed, list):
        return [unpack(item, find) for item in packed]
    if not isinstance(packed, dict):
        return packed
    ((kind, inside),) = packed.items()
    if kind == "object":
        return find(inside)
    if kind == "bytes":
        return bytes.fromhex(inside)
    values = [unpack(item, find) for item in inside]
    if kind == "complex":
        return complex(*values)
    return {"tuple": tuple, "set": set, "frozenset": frozenset, "dict": dict}[kind](values)


class Offered:
    """A program's side: it does what tests ask of its objects, each known by its number."""

    def __init__(self) -> None:
        self.objects: list[Any] = []

    def refer(self, value: Any) -> int:
        self.objects.append(value)
        return len(self.objects) - 1

    def offer(self, value: Any) -> Any:
        """Pack what a program defines, whatever it is."""
        try:
            return pack(value, self.refer)
        except RecursionError:  # it holds itself
            return {"object": self.refer(value)}

    def do(self, request: dict[str, Any]) -> Any:
        """Do one thing to one object; what it was given goes back too, for it may have changed."""
        args = unpack(request["args"], self.objects.__getitem__)
        named = unpack(request["named"], self.objects.__getitem__)
        value = DEEDS[request["do"]](self.objects[request["on"]], *args, **named)
        return {"value": pack(value, self.refer), "args": pack(args, self.refer)}


DEEDS: dict[str, Callable[..., Any]] = {
    "call": lambda it, *args, **named: it(*args, **named),
    "getattr": getattr,
    "iter": iter,
    "next": next,
    "len": len,
    "getitem": lambda it, key: it[key],
    "repr": repr,
}


class Foreign:
    """The tests' side of something that the program has: all that is done to it is done there."""

    def __init__(self, link: "Link", number: int) -> None:
        self._link, self._number = link, number

    def __call__(self, *args: Any, **named: Any) -> Any:
        return self._link.ask("call", self._number, *args, **named)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._link.ask("getattr", self._number, name)

    def __iter__(self) -> Any:
        return self._link.ask("iter", self._number)

    def __next__(self) -> Any:
        return self._link.ask("next", self._number)

    def __len__(self) -> int:
        return int(self._link.ask("len", self._number))

    def __bool__(self) -> bool:
        return True

    def __getitem__(self, key: Any) -> Any:
        return self._link.ask("getitem", self._number, key)

    def __repr__(self) -> str:
        return str(self._link.ask("repr", self._number))

    def __eq__(self, other: object) -> bool:
        # Never by its own word: it tells how it is written before it knows of the other.
        return repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))


class Link:
    """How tests ask a program."""

    def __init__(self, answers: Any, requests: Any) -> None:
        self.answers, self.requests = answers, requests

    def read(self) -> dict[str, Any]:
        """Read what the program says; without a program there is nothing more to test."""
        line = self.answers.readline()
        try:
            told = json.loads(line)
        except (ValueError, RecursionError):
            os._exit(1)
        return told if isinstance(told, dict) else os._exit(1)

    def ask(self, what: str, on: int, *args: Any, **named: Any) -> Any:
        """Have something done there, and take over what became of the arguments."""
        request = {"do": what, "on": on, "args": pack(list(args), number_of)}
        request["named"] = pack(named, number_of)
        self.requests.write(json.dumps(request) + "\n")
        self.requests.flush()
        told = self.read()
        if "raised" in told:
            raise exception_of(told["raised"])(str(told.get("words")))
        for ours, theirs in zip(args, self.take(told["args"]), strict=False):
            _take_over(ours, theirs)
        return self.take(told["value"])

    def take(self, packed: Any) -> Any:
        return unpack(packed, lambda number: Foreign(self, number))


def _take_over(ours: Any, theirs: Any) -> None:
    """Change an argument as the program has changed it."""
    if isinstance(ours, list) and isinstance(theirs, list):
        ours[:] = theirs
    elif (isinstance(ours, set) and isinstance(theirs, set)) or (
        isinstance(ours, dict) and isinstance(theirs, dict)
    ):
        ours.clear()
        ours.update(theirs)


def number_of(value: Any) -> int:
    """Give the number of what is the program's; a test cannot hand over anything of its own."""
    if not isinstance(value, Foreign):
        os._exit(BAD_TEST)
    return value._number


def exception_of(kinds: list[str]) -> type[Exception]:
    """Find the nearest of Python's own exceptions."""
    for name in kinds:
        kind = getattr(builtins, str(name), None)
        if isinstance(kind, type) and issubclass(kind, Exception):
            return kind
    return Exception
