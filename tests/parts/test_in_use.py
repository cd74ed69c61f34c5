"""Parts among our rows: read, put, looked at, taken out, and told in one line what is wrong."""

import re
import sys

import pytest

from filters import RULES
from rft.errors import RFTError
from rft.grading.response_statistics import STATISTICS
from rft.grading.verifiers import VERIFIERS
from rft.parts import in_use
from rft.parts.kinds import KINDS
from rft.recipe.loading import dump, load_arms, load_recipe, settings_differences
from rft.recipe.selection import ORDERS
from rft.runs.columns import meaning
from rft.runs.schemas import TABLES
from tests.part_files import ORDER, RULE, VERIFIER, recipe, write


def loaded(folder, text, name="mine.py", settings=""):
    write(folder, name, text)
    return load_recipe(str(recipe(folder, f"parts: [{name}]\n{settings}")))


def test_what_a_file_brings_stands_among_our_rows_and_can_be_named(tmp_path):
    everything = RULE + ORDER + VERIFIER
    made = loaded(
        tmp_path,
        everything,
        settings="filter: {no_box: {}, shouting: {most: 1}}\nselect: {by: first_entropy}\n"
        "grade: {verifier: {near: {within: 0.5}}}\n",
    )
    assert made.select.by == "first_entropy"
    assert {"shouting", "first_entropy", "near"} <= {*RULES, *STATISTICS, *VERIFIERS}
    part = made.parts["mine.py"]
    assert {kind: list(rows) for kind, rows in part.defines.items()} == {
        "rules": ["shouting"],
        "statistics": ["first_entropy"],
        "orders": ["first_entropy", "surest"],
        "verifiers": ["near"],
    }
    told = "Find responses with more than `most` exclamation marks."
    assert part.defines["rules"]["shouting"].about == told


def test_a_statistic_has_a_column_and_an_order_that_makes_its_own_has_one_too(tmp_path):
    before = {table: list(schema.names) for table, schema in TABLES.items()}
    loaded(tmp_path, ORDER)
    added = {
        table: [name for name in schema.names if name not in before[table]]
        for table, schema in TABLES.items()
        if schema.names != before[table]
    }
    of_statistic = ["first_entropy"]
    assert added == {
        "graded": of_statistic,
        "kept": of_statistic,
        "rejected": of_statistic,
        "selected": ["first_entropy", "surest"],
        "passed_over": ["first_entropy", "surest"],
    }
    assert meaning("graded", "first_entropy") == "The entropy of the first token, in nats."
    assert ORDERS["surest"].column == "surest"
    in_use.forget()
    assert {table: list(schema.names) for table, schema in TABLES.items()} == before
    assert not {"first_entropy", "surest"} & {*ORDERS, *STATISTICS}


def test_our_own_tables_are_what_they_were_once_a_part_is_forgotten(tmp_path):
    ours = {kind: dict(each.rows()) for kind, each in KINDS.items()}
    loaded(tmp_path, RULE + ORDER + VERIFIER)
    assert ours != {kind: dict(each.rows()) for kind, each in KINDS.items()}
    in_use.forget()
    assert ours == {kind: dict(each.rows()) for kind, each in KINDS.items()}


def test_the_recipe_of_a_run_loads_back_equal(tmp_path):
    made = loaded(tmp_path, RULE + ORDER)
    path = tmp_path / "resolved.yaml"
    path.write_text(dump(made))
    in_use.forget()
    again = load_recipe(str(path))
    assert again == made
    assert dump(again) == dump(made)


def test_a_changed_file_is_one_difference_by_its_content(tmp_path):
    one = loaded(tmp_path, RULE)
    other = loaded(tmp_path, RULE.replace("Find", "Spot"))
    (key, before, after) = settings_differences(one, other)[0]
    assert len(settings_differences(one, other)) == 1
    assert (key, len(before), len(after)) == ("parts.mine.py", 12, 12)
    assert before != after


def test_templates_readers_and_arms_may_be_named(tmp_path):
    text = """
    TEMPLATES = {"curt": "{question} Box it: \\\\boxed{{}}"}
    READERS = {"last_word": lambda text: text.split()[-1] if text.split() else None}
    ARMS = {"greedy_noise": {"select.noise": 0.5}}
    """
    text = re.sub("(?m)^    ", "", text)
    write(tmp_path, "mine.py", text)
    path = recipe(
        tmp_path,
        "parts: [mine.py]\nprompt: {template: curt}\n"
        "prepare: {train: {source: 'bundled:arithmetic', split: train, gold_reader: last_word}}\n"
        "compare: {control: rules, arms: {rules: {}, greedy_noise: {}}, seeds: [0]}\n",
    )
    whole, arms = load_arms(str(path))
    assert whole.prompt.template == "{question} Box it: \\boxed{{}}"
    assert arms["greedy_noise"].select.noise == 0.5 != arms["rules"].select.noise


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("RULES = {'no_box': lambda: 1}", "RULES has no_box, which is the name of one of ours"),
        ("RULES = {'Bad Name': print}", "a name of one's own is of small letters"),
        ("RULES = {3: print}", "a name of one's own is of small letters"),
        ("RULES = ['x']", "write a dict of names"),
        ("RULES = {'x': 3}", "it is no function"),
        ("def x(most=3): pass\nRULES = {'x': x}", "its parameter most has no type of int"),
        ("def x(**all): pass\nRULES = {'x': x}", r"it takes \*all; name its parameters"),
        ("ORDERS = {'x': 'mean_entropy'}", "write an Order of rft.recipe.selection"),
        (
            "from rft.recipe.selection import Order\nORDERS = {'x': Order('all alike')}",
            "it reads neither a column nor an expression",
        ),
        (
            "from rft.recipe.selection import Order\n"
            "ORDERS = {'x': Order('a', 'redundancy', 'entropy')}",
            "which `score` computes for columns of ours only",
        ),
        ("STATISTICS = {'x': lambda a: a}", "no function without parameters"),
        ("STATISTICS = {'answer': lambda: 1}", "which is the name of a column of ours"),
        ("VERIFIERS = {'x': lambda gold, answer: True}", "no name of its own in its file"),
        ("def x(gold): pass\nVERIFIERS = {'x': x}", r"it does not take \(gold, answer\)"),
        ("READERS = {'x': int.__add__}", "no function of a text"),
        ("TEMPLATES = {'x': 'no question'}", r"holds \{question\} exactly once"),
        ("ENGINES = {'x': 'fast'}", "write an EngineKind"),
        ("PLUGINS = {'x': dict}", "write a class of Plugin"),
        ("OBJECTIVES = {'x': 1}", "write a class of Objective"),
        ("ARMS = {'x': [1]}", "no mapping of dotted keys"),
        ("x = 1", "it brings nothing; write what it is to bring into one of RULES"),
    ],
)
def test_what_is_no_part_is_told_in_one_line(tmp_path, text, told):
    with pytest.raises(RFTError, match=told) as error:
        loaded(tmp_path, text)
    assert str(error.value).startswith(f"{tmp_path / 'mine.py'}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x = 1\ny = (\n", "mine.py:2: SyntaxError: '(' was never closed"),
        ("import polars as pl\nx = 1 / 0\n", "mine.py:2: ZeroDivisionError: division by zero"),
        ("x = 1\n\nimport mine_too\n", "mine.py:3: ModuleNotFoundError: No module named"),
        ("def f():\n    raise KeyError('a')\nf()\n", "mine.py:2: KeyError: 'a'"),
        ("raise SystemError('odd\\x1b[31m')\n", "mine.py:1: SystemError: odd"),
        ("x = '\\ud800'.encode()\n", "mine.py:1: UnicodeEncodeError"),
    ],
)
def test_what_a_part_raises_names_its_file_and_line(tmp_path, text, told):
    before = set(sys.modules)
    with pytest.raises(RFTError, match=re.escape(told)):
        loaded(tmp_path, text)
    assert not any(name.startswith("rft_part") for name in set(sys.modules) - before)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("parts: mine.py", 'parts is "mine.py"; write a list, as in parts: .mine.py.'),
        ("parts: [minr.py]", r"minr.py: no such file; did you mean .*mine.py\?"),
        ("parts: [3]", r"parts has 3; name a file \(mine.py\) or a package"),
        ("parts: ['../m ine.py']", "a part is named by letters, digits"),
        ("parts: [mine.txt/]", "no such file"),
        ("parts: [no_such_package]", r'no package brings "no_such_package"'),
        ("parts: [mine.py, mine.py]", "two parts are called mine.py; rename one"),
        ("parts: [mine.py, other.py]", "RULES has shouting, which mine.py brings too"),
        ("parts: {mine.py: {sha256: abc}}", r"parts.mine.py.sha256"),
        (f"parts: {{../x: {{sha256: {'0' * 64}}}}}", "a part is named by letters, digits"),
    ],
)
def test_a_recipe_that_names_parts_wrongly_is_told_in_one_line(tmp_path, settings, told):
    write(tmp_path, "mine.py", RULE)
    write(tmp_path, "other.py", RULE + "\n")
    with pytest.raises(RFTError, match=told):
        load_recipe(str(recipe(tmp_path, settings)))


def test_an_order_that_reads_what_is_not_there_is_refused_before_anything_is_done(tmp_path):
    from pipelines.perform import check_recipe

    text = """
from rft.recipe.selection import Order
ORDERS = {"x": Order("who knows", "no_such_column")}
"""
    made = loaded(tmp_path, text, settings="select: {by: x}\n")
    told = "select.by: x reads the column no_such_column, which kept samples do not have"
    with pytest.raises(RFTError, match=told):
        check_recipe(made)


def test_what_is_named_on_the_command_line_lies_where_one_is(tmp_path, monkeypatch):
    write(tmp_path / "here", "mine.py", RULE)
    monkeypatch.chdir(tmp_path / "here")
    made = load_recipe("smoke", ["parts=[mine.py]", "filter.shouting={}"])
    assert list(made.parts) == ["mine.py"]


def test_the_parts_of_a_recipe_that_is_extended_lie_beside_that(tmp_path):
    write(tmp_path / "base", "mine.py", RULE)
    whole = dump(load_recipe("smoke")).replace("parts: {}", "parts: [mine.py]")
    (tmp_path / "base" / "base.yaml").write_text(whole)
    (tmp_path / "own.yaml").write_text("extends: base/base.yaml\nfilter: {shouting: {}}\n")
    assert list(load_recipe(str(tmp_path / "own.yaml")).parts) == ["mine.py"]


def test_a_link_to_a_file_of_ones_own_is_followed(tmp_path):
    write(tmp_path / "elsewhere", "mine.py", RULE)
    (tmp_path / "linked.py").symlink_to(tmp_path / "elsewhere" / "mine.py")
    made = load_recipe(str(recipe(tmp_path, "parts: [linked.py]\n")))
    assert list(made.parts) == ["linked.py"]


def test_a_file_beside_it_is_not_imported_wherever_one_calls_from(tmp_path, monkeypatch):
    write(tmp_path, "beside.py", "MOST = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    told = r"mine.py:\d+: it imports beside, a file beside it, and a run keeps no copy of that"
    with pytest.raises(RFTError, match=told):
        loaded(tmp_path, RULE + "\nimport beside\n".replace("\n\n", "\n"))
    inside = "\ndef later():\n    from beside import MOST\n    return MOST\n"
    with pytest.raises(RFTError, match="it imports beside"):
        loaded(tmp_path, RULE + inside)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("RULE = {'x': lambda: 1}", "RULE is no table of parts; did you mean RULES"),
        (RULE + "STATISTIC = {'x': 1}", "STATISTIC is no table of parts; did you mean STATISTICS"),
    ],
)
def test_a_misspelt_table_is_told_also_beside_one_that_is_right(tmp_path, text, told):
    with pytest.raises(RFTError, match=told):
        loaded(tmp_path, text)


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ("mine", r"mine: no such file; did you mean mine.py\?"),
        ("folder", "folder: a folder; name a file in it, or a package"),
        ("folder.py", "folder.py: a folder; name a file in it"),
        ("mine.yaml", "mine.yaml: no part; a file with parts ends in .py"),
    ],
)
def test_what_is_no_file_with_parts_is_told_for_what_it_is(tmp_path, part, told):
    write(tmp_path, "mine.py", RULE)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder.py").mkdir()
    path = recipe(tmp_path, f"parts: [{part}]\n")
    with pytest.raises(RFTError, match=told):
        load_recipe(str(path))


def test_a_mapping_of_files_is_told_to_be_a_list(tmp_path):
    write(tmp_path, "mine.py", RULE)
    with pytest.raises(RFTError, match=r"write a list, as in parts: \[mine.py\]"):
        load_recipe(str(recipe(tmp_path, "parts: {a: mine.py}\n")))


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("pl.col('respons') == ''", "it looks at the column 'respons', which graded rows do not"),
        ("pl.col('response').str.len_chars()", "it gives UInt32, no true or false"),
        ("[][0]", r"mine.py:3: IndexError"),
        ("(_ for _ in ()).throw(ValueError('too odd'))", r"filter.odd: too odd \(.*mine.py:3\)"),
    ],
)
def test_a_rule_that_is_none_is_refused_before_anything_is_done(tmp_path, rule, told):
    from pipelines.perform import check_recipe

    text = f"import polars as pl\ndef odd():\n    return {rule}\nRULES = {{'odd': odd}}\n"
    made = loaded(tmp_path, text, settings="filter: {odd: {}}\n")
    with pytest.raises(RFTError, match=told):
        check_recipe(made)


@pytest.mark.parametrize(
    ("statistic", "told"),
    [
        ("pl.col('response').str.slice(0, 3)", "statistic odd: it gives String, no number"),
        ("pl.col('no_such')", "statistic odd: ColumnNotFoundError"),
        ("3", "statistic odd: it gives int, no expression"),
        ("1 / 0", "mine.py:3: ZeroDivisionError"),
    ],
)
def test_a_statistic_that_is_none_ends_in_one_line(tmp_path, statistic, told):
    from pipelines.checking.samples import rollouts
    from rft.grading.response_statistics import statistics

    text = f"import polars as pl\ndef odd():\n    return {statistic}\nSTATISTICS = {{'odd': odd}}\n"
    loaded(tmp_path, text)
    with pytest.raises(RFTError, match=told):
        statistics(rollouts())
