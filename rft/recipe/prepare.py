"""The recipe's `prepare` section: where problems come from, and which benchmark they are."""

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from rft.errors import nearest, shown, suggestion
from rft.problems.benchmarks import BENCHMARKS
from rft.problems.gold import READERS
from rft.recipe.section import Count, Name, Section, a_row

# What is read beside the splits, only to be looked into.
AGAINST = "against"
BENCHMARK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
BUNDLED_NAME = re.compile(r"bundled:[\w-]+")
HUB_NAME = re.compile(r"hub:[\w.-]+(/[\w.-]+)?")
FILES = (".jsonl", ".json", ".ndjson", ".parquet")
BARE_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w.-]+")


def a_reader(name: object) -> object:
    """Refuse what is no row of the table of gold readers."""
    return a_row("gold reader", name, READERS)


NameOfReader = Annotated[str, BeforeValidator(a_reader)]


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
    """bundled:NAME, hub:org/name, a JSONL or Parquet file or URL, or a benchmark like math500."""
    config: Name | None = None
    """Configuration of a Hub data set."""
    split: Name | None = None
    """Split of a Hub or bundled data set; a file has none."""
    revision: Name | None = None
    """Commit, tag or branch of a Hub data set."""
    columns: Columns = Columns()
    """Our names -> the source's names."""
    gold_reader: NameOfReader = "plain"
    """How the gold column is read: as it is, after ####, from a solution's last box, or tests."""
    limit: Count | None = None
    """Use the first problems only."""
    license: Name | None = None
    """The licence of its rows, such as apache-2.0; the card of a Hub data set says it by itself."""

    @model_validator(mode="before")
    @classmethod
    def _benchmark_is_looked_up(cls, given: Any) -> Any:
        """Put a benchmark's row in the place of its name; keys beside it count."""
        if not isinstance(given, Mapping) or not isinstance(name := given.get("source"), str):
            return given
        if name not in BENCHMARKS:
            return given
        row, more = BENCHMARKS[name].source(), {k: v for k, v in given.items() if k != "source"}
        if isinstance(more.get("columns"), Mapping):
            more["columns"] = {**row["columns"], **more["columns"]}
        return {**row, **more}

    @field_validator("source")
    @classmethod
    def _place_is_named(cls, source: str) -> str:
        for prefix, form in (("bundled:", BUNDLED_NAME), ("hub:", HUB_NAME)):
            if source.startswith(prefix) and not form.fullmatch(source):
                wanted = "bundled:NAME" if prefix == "bundled:" else "hub:org/name"
                raise ValueError(f"{shown(source)} names no source; write {wanted}")
        # No benchmark's name is left by now; a file may well be called by a word.
        if BENCHMARK_NAME.fullmatch(source) and nearest(source.casefold(), BENCHMARKS):
            raise ValueError(refused_name(source))
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


def refused_name(word: str) -> str:
    """Say that a word is no benchmark's name, and which name or file may have been meant."""
    advice = suggestion(word.casefold(), BENCHMARKS, otherwise=f"there are {', '.join(BENCHMARKS)}")
    return f"{shown(word)} names no benchmark; {advice} (./NAME is a file)"


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


def _spelled_out(given: Any, split: str) -> Any:
    """Make sources of plain words: `math500`, `[aime24, math500]`, `{aime: aime24}`, `x.jsonl`.

    A benchmark keeps its name. To learn from one, its split has to be written down: mostly it is
    the one that is measured on.
    """
    if isinstance(given, list) and all(isinstance(each, str) for each in given):
        for name in given:
            if name not in BENCHMARKS:
                raise ValueError(refused_name(name))
            if given.count(name) > 1:
                raise ValueError(f"it lists {name} twice; list it once")
        given = {name: {"source": name} for name in given} or given
    elif isinstance(given, str) and BENCHMARK_NAME.fullmatch(given):
        return _spelled_out([given], split)
    elif isinstance(given, str):
        given = {"source": given}
    elif isinstance(given, Mapping) and not any(_is_a_key(name) for name in given):
        given = {k: {"source": v} if isinstance(v, str) else v for k, v in given.items()}
    if split == "train":
        _refuse_unwritten_split(given)
    return given


def _is_a_key(name: Any) -> bool:
    """Say whether a key is one of a source's, or a misspelled one."""
    return not isinstance(name, str) or nearest(name, [*Source.model_fields, "holdout"]) is not None


def _refuse_unwritten_split(given: Any) -> None:
    """Refuse to learn from a benchmark by its name alone, which would be from what is measured."""
    sources = given.values() if _shape(given) == "<many>" else [given]
    for source in sources:
        name = source.get("source") if isinstance(source, Mapping) else None
        if isinstance(name, str) and name in BENCHMARKS and "split" not in source:
            row = BENCHMARKS[name]
            raise ValueError(
                f"{name} is a benchmark, measured on its split {row.split}; to learn from one, "
                f"write the split too, as in {{source: {name}, split: train}}"
            )


def _expecting(what: str) -> Discriminator:
    return Discriminator(
        _shape, custom_error_type="source_shape", custom_error_message=f"Input should be {what}"
    )


_One = Annotated[Source, Tag("<one>")]
_Many = Annotated[dict[str, Source], Tag("<many>")]
_Holdout = Annotated[Holdout, Tag("<holdout>")]


class Decontaminate(Section):
    """Training problems that have words in common with what is measured on."""

    do: Literal["report", "drop", "off"] = "report"
    """Count them, drop them as well, or do not look."""
    words: Literal[8, 12] = 8
    """How many words in a row must be in both for a problem to be dropped."""
    against: dict[str, Source] = Field(default_factory=dict)
    """Benchmarks to look into beside the recipe's own dev and test: names, or name -> source."""

    @field_validator("against", mode="before")
    @classmethod
    def _words_are_sources(cls, given: Any) -> Any:
        if not given:
            return given
        given = _spelled_out(given, AGAINST)
        if isinstance(given, Mapping) and _shape(given) == "<one>":
            raise ValueError("it is one source without a name; write {NAME: {source: ...}}")
        return given

    @field_validator("against")
    @classmethod
    def _names_are_plain(cls, given: dict[str, Source]) -> dict[str, Source]:
        return plain_names(given)

    @model_validator(mode="before")
    @classmethod
    def _a_word_says_what_to_do(cls, given: Any) -> Any:
        return {"do": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _off_is_off(self) -> Self:
        if self.do == "off" and self.against:
            raise ValueError("off looks into nothing, so `against` has no meaning; remove one")
        return self


def plain_names(given: dict[str, Source]) -> dict[str, Source]:
    """Refuse a benchmark's name that could be taken for something else."""
    for name in given:
        if not BENCHMARK_NAME.fullmatch(name):
            raise ValueError(
                f"{shown(name)} is no benchmark name; use up to 100 letters, digits, - and _"
            )
    return given


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
    """The benchmarks, which decide nothing: one source, name -> source, or names: [math500]."""
    refresh: Literal["never", "round"] = "never"
    """Whether each round looks for new training problems in its sources, or the first one only."""
    near_duplicates: Annotated[float, Field(gt=0, le=1)] | None = None
    """Drop a training problem that shares so much with an earlier one, or one measured on: 0.8."""
    decontaminate: Decontaminate = Decontaminate()
    """Look for training problems that share words with dev and test: report, drop or off."""

    @field_validator("train", "dev", "test", mode="before")
    @classmethod
    def _words_are_sources(cls, given: Any, info: ValidationInfo) -> Any:
        return _spelled_out(given, str(info.field_name))

    @field_validator("train", "dev", "test")
    @classmethod
    def _names_are_plain(cls, given: object) -> object:
        return plain_names(given) if isinstance(given, dict) else given

    def benchmarks(self, split: str) -> dict[str, Source]:
        """Give a split's sources by benchmark name; one without a name is called as its split."""
        if split == AGAINST:
            return dict(self.decontaminate.against)
        given = {"train": self.train, "dev": self.dev, "test": self.test}[split]
        if isinstance(given, Source):
            return {split: given}
        return dict(given) if isinstance(given, dict) else {}

    @property
    def holdout(self) -> int | None:
        """Say how many training problems become the dev split, if that is its origin."""
        return self.dev.holdout if isinstance(self.dev, Holdout) else None
