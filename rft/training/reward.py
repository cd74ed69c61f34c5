"""What an answer is worth: the verdict of the offline loop's grading, by the first box."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from rft.grading.grade import grade
from rft.grading.judgement import AnswerKey
from rft.grading.method import Judges
from rft.prompt import Prompter
from rft.recipe import Grpo
from rft.runs.tables import pad

# These say nothing of the answer: it is neither right nor wrong.
UNVERIFIED = ("timeout", "bad_gold")


class AnswerReward:
    """TRL's reward function; what it judged last is in `correct` and `verdicts`."""

    __name__ = "answer"

    def __init__(
        self,
        grpo: Grpo,
        keys: Mapping[str, AnswerKey],
        prompts: Prompter,
        stop_ids: frozenset[int],
        verifier: Judges,
    ):
        self.settings, self.limit = grpo.reward, grpo.max_tokens
        self.keys, self.prompts, self.stop_ids, self.verifier = keys, prompts, stop_ids, verifier
        self.correct: list[float] = []
        """1, 0, or NaN where nobody could tell."""
        self.verdicts: dict[str, int] = {}
        """How often each verdict was given."""

    def __call__(
        self, completion_ids: Sequence[Sequence[int]], problem_id: Sequence[str], **_: Any
    ) -> list[float]:
        """Judge completions; what cannot be verified gets `wrong`, which `correct` takes back.

        None would make TRL print such a completion, raw, into the log.
        """
        graded = self.graded(completion_ids, problem_id)
        penalties = self.penalties(completion_ids)
        self.correct = []
        rewards = []
        for row, penalty in zip(graded.iter_rows(named=True), penalties, strict=True):
            verdict = row["verdict"]
            self.verdicts[verdict] = self.verdicts.get(verdict, 0) + 1
            if verdict in UNVERIFIED:
                self.correct.append(float("nan"))
                rewards.append(self.settings.wrong)
                continue
            right = verdict == "correct"
            self.correct.append(float(right))
            reward = self.settings.right if right else self.settings.wrong
            if row["num_boxed"] and row["finish_reason"] == "stop":
                reward += self.settings.format
            rewards.append(reward + penalty)
        return rewards

    def graded(
        self, completion_ids: Sequence[Sequence[int]], problem_id: Sequence[str]
    ) -> pl.DataFrame:
        """Grade completions as the offline loop grades rollouts, in their order."""
        ended = [bool(ids) and ids[-1] in self.stop_ids for ids in completion_ids]
        tokens = [
            list(ids[:-1] if end else ids) for ids, end in zip(completion_ids, ended, strict=True)
        ]
        rows = pl.DataFrame(
            {
                "rollout_id": [str(index) for index in range(len(tokens))],
                "problem_id": list(problem_id),
                "round": [1] * len(tokens),
                "sample_index": range(len(tokens)),
                "completion": [self.prompts.decode(ids) for ids in tokens],
                "token_ids": tokens,
                "finish_reason": ["stop" if end else "length" for end in ended],
                "num_tokens": [len(ids) for ids in tokens],
            },
            schema_overrides={"token_ids": pl.List(pl.Int32)},
        )
        return grade(
            pad(rows, "rollouts"),
            self.keys,
            verifier=self.verifier,
            trim=self.prompts.trim,
            form=self.prompts.form,
        )

    def penalties(self, completion_ids: Sequence[Sequence[int]]) -> list[float]:
        """Give what each completion's length takes from its reward, as TRL counts it."""
        length = self.settings.length
        if length is None:
            return [0.0] * len(completion_ids)
        from trl.rewards import get_soft_overlong_punishment

        punish = get_soft_overlong_punishment(self.limit, length.buffer)
        return [length.factor * each for each in punish(completion_ids)]
