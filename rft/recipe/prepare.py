"""The recipe's `prepare` section: where problems come from, and which benchmark they are."""

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Tag, field_validator, model_validator

from rft.errors import shown
from rft.recipe.section import Count, Name, Section

BENCHMARK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
BUNDLED_NAME = re.compile(r"bundled:[\w-]+")
HUB_NAME = re.compile(r"hub:[\w.-]+(/[\w.-]+)?")
FILES = (".jsonl", ".json", ".ndjson", ".parquet")
BARE_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w.-]+")


class Columns(Section):
    """Which of a source's columns hold what we need."""

    question: Name = "question"
    """The column with the problem's text."""
    gold: Name = "gold"
    """The column with the known answer: a text or a list of texts."""
    difficulty: Name = "difficulty"
    """The column with a number for the difficulty, if there is one."""


class Source(Section):
    """One place that problems come from."""

    source: Name
    """bundled:NAME, hub:org/name, or a JSONL or Parquet file or URL."""
    config: Name | None = None
    """Configuration of a Hub data set."""
    split: Name | None = None
    """Split of a Hub or bundled data set; a file has none."""
    revision: Name | None = None
    """Commit, tag or branch of a Hub data set."""
    columns: Columns = Columns()
    """Our names -> the source's names."""
    gold_reader: Literal["plain", "gsm8k", "boxed"] = "plain"
    """How the gold column is read: as it is, after ####, or from the last box of a solution."""
    limit: Count | None = None
    """Use the first problems only."""
    license: Name | None = None
    """The licence of its rows, such as apache-2.0; the card of a Hub data set says it by itself."""

    @field_validator("source")
    @classmethod
    def _place_is_named(cls, source: str) -> str:
        for prefix, form in (("bundled:", BUNDLED_NAME), ("hub:", HUB_NAME)):
            if source.startswith(prefix) and not form.fullmatch(source):
                wanted = "bundled:NAME" if prefix == "bundled:" else "hub:org/name"
                raise ValueError(f"{shown(source)} names no source; write {wanted}")
        if BARE_HUB_NAME.fullmatch(source) and PurePath(source).suffix not in FILES:
            raise ValueError(
                f"{source!r} has no prefix; write hub:{source}, or ./{source} for a file"
            )
        return source

    @model_validator(mode="after")
    def _split_is_named(self) -> Self:
        if self.source.startswith(("bundled:", "hub:")) and self.split is None:
            raise ValueError(f"{self.source} needs a split, such as split: train")
        return self


class Holdout(Section):
    """A dev split that is taken out of the training problems, by seed."""

    holdout: Count
    """How many problems."""

    @model_validator(mode="before")
    @classmethod
    def _stands_alone(cls, given: Any) -> Any:
        beside = [str(name) for name in given if name != "holdout"]
        if beside:
            raise ValueError(
                f"holdout stands alone, taken out of train; remove {', '.join(beside)}"
            )
        return given


def _shape(given: Any) -> str | None:
    """Tell one source from a mapping name -> source and from a holdout."""
    if isinstance(given, Source):
        return "<one>"
    if isinstance(given, Holdout):
        return "<holdout>"
    if not isinstance(given, Mapping):
        return None
    if "holdout" in given and not isinstance(given["holdout"], Mapping):
        return "<holdout>"
    many = given and all(isinstance(below, (Mapping, Source)) for below in given.values())
    return "<many>" if many else "<one>"


def _expecting(what: str) -> Discriminator:
    return Discriminator(
        _shape, custom_error_type="source_shape", custom_error_message=f"Input should be {what}"
    )


_One = Annotated[Source, Tag("<one>")]
_Many = Annotated[dict[str, Source], Tag("<many>")]
_Holdout = Annotated[Holdout, Tag("<holdout>")]


class Prepare(Section):
    """Where the problems come from."""

    train: Annotated[_One | _Many, _expecting("a source or name -> source")]
    """The problems to learn from: one source, or name -> source."""
    dev: (
        Annotated[
            _One | _Many | _Holdout, _expecting("a source, name -> source, {holdout: N} or null")
        ]
        | None
    ) = None
    """The problems that decide (gate): source(s), {holdout: N} out of train, or null."""
    test: Annotated[_One | _Many, _expecting("a source or name -> source")]
    """The benchmarks, which decide nothing: one source, or name -> source."""
    refresh: Literal["never", "round"] = "never"
    """Whether each round looks for new training problems in its sources, or the first one only."""

    @field_validator("train", "dev", "test")
    @classmethod
    def _names_are_plain(cls, given: object) -> object:
        for name in given if isinstance(given, dict) else ():
            if not BENCHMARK_NAME.fullmatch(name):
                raise ValueError(
                    f"{shown(name)} is no benchmark name; use up to 100 letters, digits, - and _"
                )
        return given

    def benchmarks(self, split: str) -> dict[str, Source]:
        """Give a split's sources by benchmark name; one without a name is called as its split."""
        given = {"train": self.train, "dev": self.dev, "test": self.test}[split]
        if isinstance(given, Source):
            return {split: given}
        return dict(given) if isinstance(given, dict) else {}

    @property
    def holdout(self) -> int | None:
        """Say how many training problems become the dev split, if that is its origin."""
        return self.dev.holdout if isinstance(self.dev, Holdout) else None
