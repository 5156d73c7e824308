"""The conformance kit of judges: what the batch job and the preference table rely on."""

import json
from dataclasses import asdict, replace
from functools import cached_property, lru_cache
from typing import ClassVar

import numpy as np

from ialp_jax.artifacts import InputError
from ialp_jax.data.build import DataConfig
from ialp_jax.data.dataset import Dataset
from ialp_jax.data.synthetic import SyntheticConfig, generate
from ialp_jax.preferences.job.requests import Requests, make_requests
from ialp_jax.preferences.judges import build_judge
from ialp_jax.preferences.judges.base import REJECTED, Judge, Judgement, JudgeRequest
from ialp_jax.preferences.states import of_users, user_states

STATES, MOST = 6, 7


class JudgeTests:
    """Subclass it in a test file, name the judge, and run pytest: `class TestMine(JudgeTests): judge = "mine"`.

    Override `built` for a judge that needs settings or a server.

    Attributes:
        judge: its name.
        tolerance: by how much scores may differ between equal questions in other batches; 0 for equal bits.
    """

    judge: ClassVar[str] = ""
    tolerance: ClassVar[float] = 0.0

    def built(self) -> Judge:
        """The judge of the kit's logs."""
        return build_judge(self.judge, small_logs())

    @cached_property
    def subject(self) -> Judge:
        """The judge, built once per test."""
        return self.built()

    def test_every_answer_is_a_probability_or_a_rejection_with_its_reason(self) -> None:
        """Scores are float32 in [0, 1], one an item; NaN exactly where the raw answer says that it was rejected."""
        requests = _requests()
        for request, judgement in zip(requests, self._judged(requests), strict=True):
            where, items = f"state {request.state}", len(request.items)
            assert judgement.scores.shape == (items,), (
                f"{where}: {judgement.scores.shape} scores for {items} items"
            )
            assert judgement.scores.dtype == np.float32, (
                f"{where}: scores are {judgement.scores.dtype}, not float32"
            )
            assert len(judgement.raw) == items, f"{where}: {len(judgement.raw)} raw answers for {items} items"
            rejected = np.array([answer.startswith(REJECTED) for answer in judgement.raw], bool)
            np.testing.assert_array_equal(
                np.isnan(judgement.scores), rejected, err_msg=f"{where}: rejected pairs"
            )
            scores = judgement.scores[~rejected]
            assert ((scores >= 0.0) & (scores <= 1.0)).all(), f"{where}: scores outside of [0, 1]: {scores}"

    def test_labels_have_probabilities_that_add_up_to_one_at_most(self) -> None:
        """Both or neither are given, and they are known wherever the pair was judged."""
        for request, judgement in zip(_requests(), self._judged(_requests()), strict=True):
            where = f"state {request.state}"
            assert (judgement.log_yes is None) == (judgement.log_no is None), f"{where}: one label only"
            if judgement.log_yes is None or judgement.log_no is None:
                continue
            mass = np.exp(judgement.log_yes.astype(float)) + np.exp(judgement.log_no.astype(float))
            np.testing.assert_array_equal(np.isnan(mass), np.isnan(judgement.scores), err_msg=where)
            assert (mass[~np.isnan(mass)] <= 1.0 + 1e-3).all(), (
                f"{where}: the labels' probabilities add up to {mass}"
            )

    def test_answers_depend_on_the_question_and_on_nothing_else(self) -> None:
        """All at once, one by one, backwards and by a judge built anew: a resumed job rests on equal answers."""
        requests = _requests()
        together = self._judged(requests)
        backwards = self._judged(requests[::-1])[::-1]
        alone = [self._judged([request])[0] for request in requests]
        anew = self.built().judge(requests)
        for how, others in {
            "backwards": backwards,
            "one by one": alone,
            "by a judge built anew": anew,
        }.items():
            for request, one, other in zip(requests, together, others, strict=True):
                assert self._equal(one, other), f"state {request.state}: judged {how}, its answers are others"

    def test_nothing_asked_is_nothing_answered(self) -> None:
        """No requests, and a request without items."""
        assert self._judged([]) == []
        (judgement,) = self._judged([replace(_requests()[0], items=(), item_texts=())])
        assert judgement.scores.shape == (0,) and judgement.raw == []

    def test_what_answers_cost_is_counted(self) -> None:
        """Per item, never below 0; a language model is called, and nothing else calls one."""
        info = self.subject.info
        for request, judgement in zip(_requests(), self._judged(_requests()), strict=True):
            where, usage = f"state {request.state}", judgement.usage
            calls = 0
            if usage is not None:
                for name, counts in asdict(usage).items():
                    assert counts.shape == (len(request.items),), f"{where}: {name} is not counted per item"
                    assert (counts >= 0).all(), f"{where}: {name} is below 0"
                assert (usage.computed_tokens <= usage.prompt_tokens).all(), (
                    f"{where}: more computed than sent"
                )
                calls = int(usage.calls.sum())
            model = info.is_llm or info.test_double
            judged = np.isfinite(judgement.scores).any()
            assert model or calls == 0, (
                f"{where}: {calls} calls of a judge that is said to be no language model"
            )
            assert not (model and judged) or calls > 0, f"{where}: judged without a call that is counted"

    def test_items_that_nobody_knows_are_refused_by_name_or_judged_by_their_text(self) -> None:
        """An id outside of the logs is an `InputError`, or means nothing to the judge; never another item."""
        request = _requests()[0]
        for unknown in (small_logs().num_items, -1):
            stranger = replace(request, items=(unknown,), item_texts=("Nobody's",))
            namesake = replace(request, items=request.items[:1], item_texts=("Nobody's",))
            try:
                judged = self._judged([stranger])[0]
            except InputError as error:
                assert str(unknown) in str(error), f"the error does not name the item {unknown}: {error}"
            else:
                assert self._equal(judged, self._judged([namesake])[0]), f"item {unknown} is judged by its id"

    def test_who_judged_is_said_and_stays(self) -> None:
        """The name is the one it is built by, settings can be written down, and judging changes none of it."""
        before = self.subject.info
        self._judged(_requests()[:1])
        assert self.subject.info == before == self.built().info, "who judged changes"
        assert before.name == self.judge, f"it calls itself {before.name!r}"
        assert before.model and before.statement, (
            "the model or the statement for the report's reader is missing"
        )
        assert not (before.is_llm and before.test_double), (
            "a test double is no language model of general knowledge"
        )
        json.dumps(before.settings)

    def _judged(self, requests: list[JudgeRequest]) -> list[Judgement]:
        return self.subject.judge(requests)

    def _equal(self, one: Judgement, other: Judgement) -> bool:
        scores = np.allclose(one.scores, other.scores, rtol=0.0, atol=self.tolerance, equal_nan=True)
        return bool(scores) and (self.tolerance > 0.0 or one.raw == other.raw)


@lru_cache(maxsize=1)
def small_logs() -> Dataset:
    """The invented logs that the kit's questions are about."""
    return generate(
        SyntheticConfig(num_users=50, num_items=60, mean_interactions=12.0), DataConfig(k_core=2), "games"
    )


@lru_cache(maxsize=1)
def small_requests() -> Requests:
    """A few users' states, each with another number of candidates."""
    logs = small_logs()
    every = user_states(logs)
    states = of_users(every, every.users[:STATES])
    items = np.full((STATES, MOST), logs.num_items, np.int32)
    for state in range(STATES):
        number = MOST - state % MOST
        items[state, :number] = np.random.default_rng(state).choice(logs.num_items, number, replace=False)
    return make_requests(logs, states, items, {}, "Asked by a test.")


def _requests() -> list[JudgeRequest]:
    return [small_requests().make(state) for state in range(small_requests().num_states)]
