"""The first sentences of a page: whether what a method is built on pays here, and the room this world leaves."""

import pytest
from fake_report_run import CARDS, FIXED, LEVELS, card, write_fake_run

from ialp_jax.report.headline import headline
from ialp_jax.report.inputs import read_run
from ialp_jax.report.opening import opening
from ialp_jax.report.summary import build_summary

LANDMARKS = {"random": "floor", "popular": "simple", "oracle": "ceiling"}


def summary_of(out, levels=LEVELS, planner=None, **cards):
    """A run whose iALP (about 7.8 at the start) is compared with a planner of this level, where there is one."""
    marked = {name: of | {"landmark": LANDMARKS.get(name, "")} for name, of in CARDS.items()}
    if planner is not None:
        rival = {
            "other": "planner",
            "metric": "initial_reward",
            "question": "Pays?",
            "premise": "Pre-training",
        }
        marked["ialp"] = marked["ialp"] | {"rivals": [rival, *CARDS["ialp"]["rivals"]]}
        marked["planner"] = card("a planner", "plans", FIXED, False, landmark="simple")
        levels = levels | {"planner": (planner, planner, 0)}
    write_fake_run(out, levels=levels, cards=marked | cards)
    return build_summary(read_run(out))


@pytest.mark.parametrize(
    ("planner", "verdict"),
    [(3.0, "Pre-training pays here: in the first 5 % of the online sessions iALP, frozen earned 7."),
     (11.0, "Pre-training does not pay here: in the first"),
     (7.8, "Pre-training does not clearly pay here: in the first")],
)  # fmt: skip
def test_the_first_sentence_says_whether_the_premise_pays(tmp_path, planner, verdict):
    sentences = headline(summary_of(tmp_path, planner=planner))
    assert sentences[0].startswith(verdict) and "a planner" in sentences[0]
    assert not any(sentence.startswith("In the first") and "a planner" in sentence for sentence in sentences)


def test_what_it_was_told_of_the_users_stands_beside_its_reward(tmp_path):
    summary = summary_of(tmp_path, planner=3.0)
    assert "told" not in opening(summary)[0]
    summary["methods"]["ialp"]["card"]["told"] = ["when they leave", "how often"]
    assert opening(summary)[0].endswith(" It was told of the users: when they leave; how often.")


def test_the_room_goes_from_the_least_to_what_knows_the_users(tmp_path):
    (room,) = opening(summary_of(tmp_path))
    assert room.startswith("The room this world leaves, in reward per session: random 1.")
    assert room.index("random") < room.index("popular") < room.index("oracle") and "A2C" not in room
    assert "nearly reaches" not in room


def test_a_world_that_tells_little_of_learners_is_called_so(tmp_path):
    room = opening(summary_of(tmp_path, planner=11.6))[1]
    assert room.endswith(
        "a planner, which learns nothing online, nearly reaches oracle: this world tells little of learners."
    )


def test_item_means_are_said_where_the_world_records_them(tmp_path):
    summary = summary_of(tmp_path)
    summary["world"]["item_mean_share"] = 0.265
    assert "item means explain 26% of what ratings differ by" in opening(summary)[0]


@pytest.mark.parametrize("missing", ["oracle", "popular"])
def test_without_a_ceiling_or_a_simple_policy_there_is_no_room_to_tell(tmp_path, missing):
    levels = {name: level for name, level in LEVELS.items() if name != missing}
    assert opening(summary_of(tmp_path, levels)) == []
