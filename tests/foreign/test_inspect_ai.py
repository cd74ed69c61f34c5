"""Logs of inspect_ai: archives packed by deflate and by zstd, the JSON form, and damage.

Run: python -m pytest tests/foreign/test_inspect_ai.py
"""

import json
import zipfile

import pytest

from rft.foreign.chat import Unfit
from rft.foreign.inspect_ai import fits, graded, rows
from tests.saved_rollouts import (
    ASKED,
    CALLED,
    SAID,
    TOLD,
    adopted_rows,
    aside,
    eval_log,
    refusal,
    sample,
)


def one(record):
    (found,) = rows(record)
    return found


def test_a_sample_gives_question_answer_gold_score_and_epoch():
    assert fits(sample())
    found = one(sample())
    assert (found.question, found.completion) == (ASKED["content"], SAID["content"])
    assert (found.gold, found.reward, found.scores) == (["4"], 1.0, {"match": "C"})
    assert (found.sample_index, found.source_id) == (1, "q1")
    assert (found.finish_reason, found.num_tokens, found.model) == ("length", 5, "mockllm/model")


@pytest.mark.parametrize(
    ("value", "number"),
    [
        *(("C", 1.0), ("I", 0.0), ("P", 0.5), ("N", 0.0), ("Yes", 1.0), (True, 1.0), (0.3, 0.3)),
        *(("0.25", 0.25), ("maybe", None), ([1], None), (None, None), (float("nan"), None)),
    ],
)
def test_what_a_scorer_gave_is_read_as_the_library_reads_it(value, number):
    assert graded(value) == number


def test_with_several_scorers_none_is_the_reward():
    both = {"match": {"value": "C"}, "judge": {"value": 0.5}}
    found = one(sample(scores=both))
    assert found.reward is None
    assert found.scores == {"match": "C", "judge": 0.5}


def test_several_targets_are_several_golds_and_an_empty_one_is_none():
    assert one(sample(target=["4", "four"])).gold == ["4", "four"]
    assert one(sample(target="")).gold == []


def test_texts_in_attachments_are_put_back():
    put_off = {"content": "attachment://abc", "role": "user"}
    found = one(sample(messages=[put_off, SAID], attachments={"abc": "What is 3+3?"}))
    assert found.question == "What is 3+3?"


def test_reasoning_is_a_part_of_its_own_and_secret_reasoning_only_a_mark():
    parts = [{"type": "reasoning", "reasoning": "2 and 2"}, {"type": "text", "text": "4"}]
    found = one(sample(messages=[ASKED, {"role": "assistant", "content": parts}]))
    assert (found.completion, found.reasoning, found.num_tokens) == ("4", "2 and 2", None)
    parts[0] = {"type": "reasoning", "reasoning": "gAAAAB==", "redacted": True}
    found = one(sample(messages=[ASKED, {"role": "assistant", "content": parts}]))
    assert (found.completion, found.reasoning, found.num_tokens) == ("4", None, None)


def test_without_messages_input_and_output_stand_for_them():
    assert one(sample(messages=[])).completion == SAID["content"]
    bare = {"completion": "4", "choices": []}
    assert one(sample(messages=[], output=bare)).completion == "4"


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (sample(error={"message": "boom"}), "sample that failed"),
        (sample(messages=[ASKED, *CALLED, SAID]), "tool calls"),
        (sample(messages=[TOLD, ASKED, SAID, ASKED, SAID]), "several turns"),
        (sample(output={"choices": [{}, {}]}), "several answers of one sample"),
        (sample(messages=[], output={}), "no text of the model"),
        (sample(messages=[], input=[], output=7), "no question"),
        (
            sample(messages=[{"role": "user", "content": [{"type": "image"}]}, SAID]),
            "more than text",
        ),
    ],
)
def test_samples_that_are_more_or_less_are_set_aside_by_name(record, reason):
    found = one(record)
    assert isinstance(found, Unfit)
    assert str(found) == reason


@pytest.mark.parametrize("zstd", [False, True])
def test_an_archive_is_read_however_it_is_packed(tmp_path, zstd):
    log = eval_log(tmp_path / "log.eval", sample(), sample(epoch=1), sample(id="q2"), zstd=zstd)
    made = adopted_rows(tmp_path, log)
    assert [row["source_id"] for row in made] == ["q1", "q1", "q2"]
    # q1 and q2 ask the same, so that they are one problem, and an index taken is not given again.
    assert [row["sample_index"] for row in made] == [1, 0, 2]
    assert {row["reward"] for row in made} == {1.0}


def test_the_json_form_gives_the_same_rows(tmp_path):
    log = {"version": 2, "status": "success", "eval": {"task": "sums"}, "samples": [sample()]}
    path = tmp_path / "log.json"
    path.write_text(json.dumps(log, indent=2))
    (row,) = adopted_rows(tmp_path, path)
    (other,) = adopted_rows(tmp_path, eval_log(tmp_path / "log.eval", sample()))
    assert row["rollout_id"] == other["rollout_id"]


def test_a_sample_in_pieces_is_set_aside(tmp_path):
    log = eval_log(tmp_path / "log.eval", sample())
    with zipfile.ZipFile(log, "a") as archive:
        archive.writestr("samples/q3_epoch_1/sample.json", "{}")
        archive.writestr("samples/q3_epoch_1/messages/0.json", "[]")
    assert len(adopted_rows(tmp_path, log)) == 1
    assert aside(tmp_path) == ["sample that is stored in pieces"]


def damaged(path, at):
    raw = bytearray(path.read_bytes())
    place = raw.index(b"samples/q1") + at
    raw[place] ^= 0xFF
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize("zstd", [False, True])
def test_a_damaged_archive_is_refused_in_one_line(tmp_path, zstd):
    log = damaged(eval_log(tmp_path / "log.eval", sample(), zstd=zstd), 60)
    assert "log.eval: not a readable .eval log (" in refusal(tmp_path, log)


def test_archives_that_are_cut_or_are_no_logs_are_refused_in_one_line(tmp_path):
    log = eval_log(tmp_path / "log.eval", sample())
    log.write_bytes(log.read_bytes()[:-40])
    assert "not a readable .eval log (File is not a zip file)" in refusal(tmp_path, log)
    log.write_bytes(b"PK\x03\x04" + b"x" * 100)
    assert "not a readable .eval log" in refusal(tmp_path, log)
    with zipfile.ZipFile(log, "w") as archive:
        archive.writestr("holiday.jpg", "x")
    assert "it is a zip archive, but no .eval log; unpack it first" in refusal(tmp_path, log)
    assert "no records in it" in refusal(tmp_path, eval_log(log))


def test_a_member_that_says_it_is_small_is_not_unpacked_beyond_that(tmp_path):
    log = eval_log(tmp_path / "log.eval", sample(input="x" * 100_000), zstd=True)
    raw = bytearray(log.read_bytes())
    place = raw.rindex(b"samples/q1") - 46 + 24
    raw[place : place + 4] = (100).to_bytes(4, "little")
    log.write_bytes(raw)
    assert "not a readable .eval log (bad content of samples/q1" in refusal(tmp_path, log)
