"""The kit of judges over the shipped ones that need no model here, and on judges that break what it asks."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ialp_jax.preferences.judges import Judgement, Usage, available_judges, build_judge
from ialp_jax.preferences.judges.base import JudgeInfo
from ialp_jax.preferences.judges.openai import Config
from ialp_jax.testing import JudgeTests
from ialp_jax.testing.judges import small_logs


class TestContent(JudgeTests):
    judge = "content"


class TestOpenAI(JudgeTests):
    judge = "openai"

    @pytest.fixture(autouse=True)
    def served(self, server):
        self.server = server

    def built(self):
        return build_judge("openai", small_logs(), Config(model="m", base_url=self.server.url))


def test_every_judge_has_its_kit():
    written = "".join(
        file.read_text(encoding="utf-8") for file in Path(__file__).parents[1].rglob("test_*kit*.py")
    )
    assert [name for name in available_judges() if f'judge = "{name}"' not in written] == []


class Fair:
    """Judges by the length of an item's text; its subclasses are wrong in one way each."""

    info = JudgeInfo("fair", False, "lengths", "1", "", statement="Lengths judged.")

    def judge(self, requests):
        return [self.answer(request, place) for place, request in enumerate(requests)]

    def answer(self, request, place):
        del place
        scores = np.array([len(text) / 1000 for text in request.item_texts], np.float32)
        return Judgement(scores, ["length"] * len(scores))


class Percent(Fair):
    def answer(self, request, place):
        sound = super().answer(request, place)
        return replace(sound, scores=sound.scores * 100)


class SilentRejection(Fair):
    def answer(self, request, place):
        sound = super().answer(request, place)
        return replace(sound, scores=np.full_like(sound.scores, np.nan))


class SureOfBoth(Fair):
    def answer(self, request, place):
        sound = super().answer(request, place)
        certain = np.zeros_like(sound.scores)
        return replace(sound, log_yes=certain, log_no=certain)


class ByPlace(Fair):
    def answer(self, request, place):
        sound = super().answer(request, place)
        return replace(sound, scores=sound.scores / (1 + place))


class AlwaysAnswers(Fair):
    def answer(self, request, place):
        return super().answer(request, place) if request.items else Judgement(np.zeros(1, np.float32), ["?"])


class UncountedModel(Fair):
    info = replace(Fair.info, is_llm=True)


class CachedMoreThanSent(Fair):
    def answer(self, request, place):
        items = len(request.items)
        usage = Usage(np.zeros(items, np.int32), np.zeros(items, np.int32), np.ones(items, np.int32))
        return replace(super().answer(request, place), usage=usage)


class WrapsAround(Fair):
    def answer(self, request, place):
        table = np.linspace(0.0, 1.0, small_logs().num_items, dtype=np.float32)
        scores = np.array([table[item % len(table)] for item in request.items], np.float32)
        return replace(super().answer(request, place), scores=scores)


class Nameless(Fair):
    info = replace(Fair.info, statement="")


@pytest.mark.parametrize(
    ("judge", "broken"),
    [
        (Percent, "test_every_answer_is_a_probability_or_a_rejection_with_its_reason"),
        (SilentRejection, "test_every_answer_is_a_probability_or_a_rejection_with_its_reason"),
        (SureOfBoth, "test_labels_have_probabilities_that_add_up_to_one_at_most"),
        (ByPlace, "test_answers_depend_on_the_question_and_on_nothing_else"),
        (AlwaysAnswers, "test_nothing_asked_is_nothing_answered"),
        (UncountedModel, "test_what_answers_cost_is_counted"),
        (CachedMoreThanSent, "test_what_answers_cost_is_counted"),
        (WrapsAround, "test_items_that_nobody_knows_are_refused_by_name_or_judged_by_their_text"),
        (Nameless, "test_who_judged_is_said_and_stays"),
    ],
)
def test_the_kit_finds_what_is_wrong(judge, broken):
    for subject, sound in ((Fair, True), (judge, False)):
        tests = type(
            "Tests", (JudgeTests,), {"judge": "fair", "built": lambda self, subject=subject: subject()}
        )()
        if sound:
            getattr(tests, broken)()
            continue
        with pytest.raises(AssertionError):
            getattr(tests, broken)()
