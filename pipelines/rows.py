"""The stages grade, filter, score and select over a file of anyone's rows, without a run."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from filters import RULES
from filters.grouped import columns_of
from pipelines.filter import apply_rules
from pipelines.score import IDS, MEANS, score_row
from rft.errors import RFTError, listed
from rft.grading.answers import Form, answer_box
from rft.grading.grade import grade, grade_as_given
from rft.grading.verifiers import finds, judging, needs_golds, open_verifier
from rft.measuring.pass_rates import pass_rates
from rft.problems.foreign_rows import (
    IDENTITY,
    QUESTIONS,
    identify,
    need,
    refuse_taken,
    rollouts_of,
    say_if_alone,
    text_column,
    typed,
    with_features,
    with_given_verdicts,
)
from rft.processes.progress import Progress
from rft.prompt import Prompter, open_prompter
from rft.recipe import Grade, Recipe, Select
from rft.runs import tables
from rft.runs.models import ModelRef
from rft.runs.schemas import TABLES
from rft.runs.tables import pad
from rft.seeds import derive
from rft.selection.choice import Selection, select
from rft.token_stats.forward import load, longest, score_batches

# What grading takes over from foreign rows; the rest of the graded columns are its own.
GIVEN = (*IDENTITY, "completion", "finish_reason", "num_tokens", "stats_origin")


def grade_file(
    rows: pl.DataFrame, path: Path, grade_settings: Grade, say: Callable[[str], None]
) -> pl.DataFrame:
    """Grade anyone's rows; their other columns pass through."""
    given, looks_for = grade_settings.judge == "given", finds(grade_settings)
    taken = {"verdict"} if given else set()
    ours = [name for name in TABLES["graded"].names if name not in (*GIVEN, *taken)]
    refuse_taken(rows, ours, "grade", path)
    if given:
        rollouts, verdicts = with_given_verdicts(rows, path)
    else:
        if looks_for == "code block" and isinstance(rows.schema.get("gold"), pl.List):
            # Several asserts are one set of tests, not sets of which one will do.
            rows = rows.with_columns(pl.col("gold").list.join("\n"))
        needs_gold = needs_golds(grade_settings)
        rollouts, keys = rollouts_of(rows, path, needs_gold=needs_gold)
        if not needs_gold and rollouts["problem_id"].n_unique() == len(rollouts):
            raise RFTError(
                f"{path}: each row is the only answer to its problem, and by grade.verifier: "
                "majority every answer would be right; problems are told apart by a column "
                "problem_id, or by question"
            )
    # Without the tokenizer their token ids cannot be trimmed, nor statistics be averaged over them.
    plain = pad(rollouts.select(name for name in rollouts.columns if name in GIVEN), "rollouts")
    if given:
        graded = grade_as_given(plain, verdicts)
    else:
        with open_verifier(grade_settings, say) as verifier:
            form = Form(finds=looks_for)
            by = judging(grade_settings)
            graded = grade(plain, keys, verifier=verifier, trim=None, form=form, by=by)
    beside = rollouts.select(name for name in rollouts.columns if name not in graded.columns)
    return pl.concat([graded, beside], how="horizontal")


def filter_file(
    rows: pl.DataFrame,
    path: Path,
    rules: Mapping[str, Mapping[str, Any]],
    say: Callable[[str], None],
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Apply the rules to anyone's rows; their other columns pass through.

    Graded rows are given their problem's pass rate, for of those that are kept it is another.
    """
    refuse_taken(rows, ["rejected_by"], "filter", path)
    rows = with_features(identify(rows, path), path)
    if rows.schema.get("verdict") == pl.String and "pass_rate" not in rows.columns:
        rate = pl.col("problem_id").replace_strict(pass_rates([rows]), return_dtype=pl.Float64)
        rows = rows.with_columns(pass_rate=rate)
    for name, parameters in rules.items():
        if "problem_id" in columns_of(RULES[name](**parameters)):
            say_if_alone(rows, f"filter.{name}", say)
    return apply_rules(rows, rules)


def score_file(
    rows: pl.DataFrame, path: Path, recipe: Recipe, model: ModelRef, say: Callable[[str], None]
) -> pl.DataFrame:
    """Score anyone's rows under a model: their columns, and the means over the response's tokens.

    As in `grade`, the text is cut after its first box, unless it was cut before.
    """
    made = ("num_response_tokens", *MEANS, "stats_origin", "stats_mass")
    # Grading leaves them empty where it had no statistics; what is filled is not ours to replace.
    filled = [name for name in rows.columns if rows[name].null_count() < len(rows)]
    refuse_taken(rows.select(filled), made, "score", path)
    if text_column(rows) is None:
        need(rows, ["completion"], path)
    rows = identify(rows, path)
    prompts = open_prompter(model, recipe.prompt, finds(recipe.grade))
    before = prompts_of(rows, path, prompts)
    after = responses_of(rows, path, prompts)
    limit = longest(model)
    places = [
        place
        for place, (prompt, response) in enumerate(zip(before, after, strict=True))
        if response is not None and len(prompt) + len(response) <= limit + 1
    ]
    if long := len(after) - after.count(None) - len(places):
        say(f"{long} of {len(rows)} rows: over the model's {limit} tokens, so without statistics")
    pairs = [(before[place], after[place] or []) for place in places]
    means: dict[int, dict[str, Any]] = {}
    if any(response for _, response in pairs):
        mass = recipe.sample.statistics.mass
        progress = Progress("score, tokens", sum(len(response) for _, response in pairs))
        for batch in score_batches(
            load(model), pairs, mass=mass, micro_batch=recipe.score.micro_batch
        ):
            for place, scores in batch.items():
                # Not the lists: they would fill the memory.
                row = score_row(scores, mass)
                means[places[place]] = {name: row[name] for name in made}
                progress.advance(len(scores.entropies), len(scores.entropies))
        progress.close()
    counts = [None if response is None else len(response) for response in after]
    schema = {name: kind for name, kind in tables.empty("scored").schema.items() if name in made}
    nothing = dict.fromkeys(made)
    table = [
        means.get(place, nothing) | {"num_response_tokens": count}
        for place, count in enumerate(counts)
    ]
    # A row without tokens has neither means nor an origin of them.
    frame = pl.DataFrame(table, schema=schema).with_columns(
        pl.when(pl.col("num_response_tokens") > 0).then(name).alias(name)
        for name in ("stats_origin", "stats_mass")
    )
    named = [] if "model" in rows.columns else [pl.lit(model.digest).alias("model")]
    return rows.with_columns(*frame.get_columns(), *named)


def prompts_of(rows: pl.DataFrame, path: Path, prompts: Prompter) -> list[list[int]]:
    """Give each row's prompt as tokens: as it is rendered, or else of the question."""
    name = next((name for name in ("prompt", *QUESTIONS) if name in rows.columns), None)
    if name is None:
        raise RFTError(
            f"{path}: no column 'prompt' (rendered) or 'question' (it has "
            f"{listed(rows.columns)}); `--column question=NAME` says where it is"
        )
    if rows.schema[name] != pl.String:
        raise RFTError(
            f"{path}: column {name!r} holds {rows.schema[name]}, not text; give the rendered text "
            "as prompt, or the bare problem as question"
        )
    encoded: dict[str | None, list[int]] = {}
    for text in rows[name].unique():
        rendered = text if name == "prompt" or not text else prompts.render(text)
        encoded[text] = prompts.encode(rendered or "")
    texts = rows[name].to_list()
    for number, text in enumerate(texts, 1):
        if not encoded[text]:
            raise RFTError(f"{path}: row {number} has an empty {name}; every row needs one")
    return [encoded[text] for text in texts]


def responses_of(rows: pl.DataFrame, path: Path, prompts: Prompter) -> list[list[int] | None]:
    """Give each row's response as tokens; None where it has no text."""
    said = "response" if "response" in rows.columns else "completion"
    # Only a grader, which cuts, writes both.
    cut = said == "response" and "num_boxed" in rows.columns
    columns = {name: pl.col(name) for name in (said, "completion") if name in rows.columns}
    frame = rows.select(
        columns[said].cast(pl.String).alias("said"),
        columns.get("completion", pl.lit(None)).cast(pl.String).alias("completion"),
        (
            typed(rows.select("token_ids"), "rollouts", path)["token_ids"]
            if "token_ids" in rows.columns
            else pl.lit(None, IDS).alias("token_ids")
        ),
    )
    return [
        None if text is None else tokens_as(prompts, text, completion, ids, cut=cut)
        for text, completion, ids in frame.iter_rows()
    ]


def tokens_as(
    prompts: Prompter,
    said: str,
    completion: str | None,
    token_ids: list[int | None] | None,
    *,
    cut: bool,
) -> list[int]:
    """Give a response's tokens: those given where they spell its text, or else its own."""
    size = len(prompts.tokenizer)
    ids = [token for token in token_ids or [] if token is not None and 0 <= token < size]
    if ids and len(ids) == len(token_ids or []):
        spelled = prompts.decode(ids)
        if spelled == said and cut:
            return ids
        if spelled in (said, completion):
            count, text = prompts.trim(ids, spelled)
            if not cut or text == said:
                return ids[:count]
    box = None if cut else answer_box(said, Form(finds=prompts.finds))
    return prompts.encode(said if box is None else said[: box.end])


def select_file(
    rows: pl.DataFrame, path: Path, choice: Select, seed: int, say: Callable[[str], None]
) -> Selection:
    """Select from anyone's graded rows; their other columns pass through."""
    need(rows, ["verdict"], path)
    both = ("reason", "place", "share", "stratum", "turn", "distance")
    renamed = [f"their_{name}" for name in both if name in rows.columns]
    refuse_taken(rows, ["role", "rank", "ranked_by", *renamed], "select", path)
    rows = identify(rows, path)
    looks_at_problems = [
        name
        for name in ("per_problem", "difficulty", "within", "where")
        if getattr(choice, name) is not None
    ]
    if "pass_rate" in rows.columns or "pass_rate" not in (choice.where or ""):
        looks_at_problems = [name for name in looks_at_problems if name != "where"]
    for name in looks_at_problems:
        say_if_alone(rows, f"select.{name}", say)
    rates = rates_of_rows(rows, path, choice, say)
    seed = derive(seed, "select", 0)
    return select(rows, settings=choice, seed=seed, pass_rates=rates)


def rates_of_rows(
    rows: pl.DataFrame, path: Path, choice: Select, say: Callable[[str], None]
) -> dict[str, float]:
    """Give each problem's pass rate, as the rows tell it, or else over them."""
    if "pass_rate" in rows.columns:  # where a condition finds it too
        return rates_told(rows, path) if choice.difficulty else {}
    if choice.difficulty or "pass_rate" in (choice.where or ""):
        say(
            f"pass rates are those of these {len(rows)} rows, which have no column pass_rate; "
            "`rft filter --input` adds it, before it leaves rows out"
        )
    return pass_rates([rows])


def rates_told(rows: pl.DataFrame, path: Path) -> dict[str, float]:
    """Read each problem's pass rate from rows that have it."""
    kind = rows.schema["pass_rate"]
    if not kind.is_numeric():
        raise RFTError(f"{path}: column 'pass_rate' holds {kind}, not numbers from 0 to 1")
    given = pl.col("pass_rate").cast(pl.Float64).unique()
    rates = {}
    for name, values in rows.group_by("problem_id").agg(given).iter_rows():
        if len(values) > 1 or values[0] is None or not 0 <= values[0] <= 1:
            told = ", ".join("null" if value is None else f"{value:g}" for value in values[:3])
            raise RFTError(
                f"{path}: problem {name} has the pass_rate {told}; one of 0 to 1 is needed for "
                "select.difficulty, or rows without that column"
            )
        rates[name] = values[0]
    return rates
