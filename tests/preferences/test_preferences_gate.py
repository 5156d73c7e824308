"""The gate: what fails, in which words, and how to go on regardless."""

import re
from dataclasses import replace

import pytest
import tyro

from ialp_jax.artifacts import InputError
from ialp_jax.commands.prefs.evaluate import Evaluate
from ialp_jax.preferences.quality.answers import commonest
from ialp_jax.preferences.quality.calibration import Calibration
from ialp_jax.preferences.quality.evaluation import LabelMass, ScoreQuality, TableQuality
from ialp_jax.preferences.quality.gate import GateConfig, check_gate, require_gate
from ialp_jax.preferences.quality.per_state import StateMean

NOTHING = StateMean(None, None, None, 0)


def _mean(value):
    return StateMean(value, value - 0.01, value + 0.01, 50)


def _quality(auc=0.7, distinct=0.9, position_bias=0.0, mass=0.9, rejected=0, over=0.0, personal=None):
    found = [NOTHING if value is None else _mean(value) for value in (auc, position_bias, personal)]
    scores = ScoreQuality(found[0], NOTHING, found[2], NOTHING, _mean(-0.9), found[1], distinct)
    label_mass = None if mass is None else LabelMass(mass, 0.0, 100)
    return TableQuality("0", "test", "none", True, False, 50, 1000, rejected, {}, label_mass, scores, scores, None,
                        _mean(over), None, NOTHING, Calibration(0.0, 0.0, 0.1, 0.09, ()), None, ())  # fmt: skip


FAILURES = {
    "label-mass": ({"mass": 0.31}, "0.31, below 0.5"),
    "auc": ({"auc": 0.52}, "0.52, below 0.55"),
    "distinct": ({"distinct": 0.01}, "0.01, below 0.05"),
    "rejected": ({"rejected": 250}, "0.2, above 0.05"),
    "position-bias": ({"position_bias": -0.8}, "0.8, above 0.5"),
    "popularity-loss": (
        {"over": -0.233, "personal": 0.509},
        "-0.233 [-0.243, -0.223]: clearly worse, and its personal part is not clearly better than chance (AUC less item "
        "means 0.509 [0.499, 0.519])",
    ),
}


def test_a_good_table_passes_whatever_the_judge_does_not_tell():
    assert check_gate(_quality(), GateConfig()) == []
    # The raw correlation with the order does not count: popularity may explain it. Nor does an unknown mass.
    assert check_gate(_quality(mass=None, position_bias=None), GateConfig()) == []


@pytest.mark.parametrize("name", FAILURES)
def test_one_failure_one_sentence_with_both_numbers_and_a_flag_that_mends_it(name):
    measured, told = FAILURES[name]
    (sentence,) = check_gate(_quality(**measured), GateConfig())
    assert told in sentence and f"(--gate.{name})" in sentence and sentence.endswith(".")
    value = "1" if name in ("rejected", "position-bias", "popularity-loss") else "0"
    flag = re.search(r"\((--[\w.-]+)\)", sentence)[1]
    config = tyro.cli(Evaluate, args=["table", flag, value]).gate
    assert check_gate(_quality(**measured), config) == []


@pytest.mark.parametrize(
    ("over", "personal", "allowed", "passes"),
    [
        (-0.009, None, 0.0, True),  # the interval holds 0
        (-0.011, None, 0.0, False),
        (-0.011, 0.511, 0.0, True),  # a personal part that is clear of chance is worth more than its AUC says
        (-0.011, 0.509, 0.0, False),
        (-0.2, None, 0.19, True),
        (-0.2, None, 0.18, False),
        (0.2, None, 0.0, True),
    ],
)
def test_a_table_below_popularity_needs_a_personal_part(over, personal, allowed, passes):
    quality = _quality(over=over, personal=personal)
    assert (check_gate(quality, GateConfig(popularity_loss=allowed)) == []) == passes


def test_a_judge_that_does_not_keep_to_its_labels_is_quoted():
    mass = LabelMass(0.008, 0.004, 1920, ("yes", "no"), (("No", 0.63), ("This", 0.18)))
    (sentence,) = check_gate(replace(_quality(), label_mass=mass), GateConfig())
    assert sentence == (
        "The mean label mass is 0.008, below 0.5 (--gate.label-mass). "
        'Asked for "yes" or "no", it most often answered "No" (63%), "This" (18%).'
    )


def test_answers_are_counted_without_what_is_kept_around_them():
    raw = [
        "'The' (yes is not listed: log-probability at most -3.1)",
        "'The' (no is not listed)",
        "I'd say so",
        "No",
    ]
    assert commonest(raw) == (("The", 0.5), ("I'd say so", 0.25), ("No", 0.25))
    assert commonest(["a" * 50]) == (("a" * 20, 1.0),)


def test_thresholds_themselves_pass():
    edge = _quality(auc=0.55, distinct=0.05, position_bias=0.5, mass=0.5)
    assert check_gate(edge, GateConfig()) == []
    assert len(check_gate(edge, GateConfig(0.6, 0.6, 0.06, 0.0, 0.4))) == 4


def test_an_auc_nobody_can_measure_fails_unless_none_is_asked_for():
    (sentence,) = check_gate(_quality(auc=None), GateConfig())
    assert "cannot be measured" in sentence and "--gate.auc" in sentence
    assert check_gate(_quality(auc=None), GateConfig(auc=0)) == []


def test_one_error_lists_every_failure_and_says_how_to_go_on(tmp_path):
    bad = _quality(auc=0.5, distinct=0.0)
    with pytest.raises(InputError) as caught:
        require_gate(bad, GateConfig(), tmp_path)
    told = str(caught.value)
    assert (
        str(tmp_path) in told and "--preferences.gate.auc" in told and "--preferences.gate.distinct" in told
    )
    assert "--preferences.gate.enforce False" in told and "GATE=0" in told and ".." not in told
    require_gate(bad, GateConfig(enforce=False), tmp_path)
    require_gate(_quality(), GateConfig(), tmp_path)
    assert tyro.cli(Evaluate, args=["table", "--gate.enforce", "False"]).gate == replace(
        GateConfig(), enforce=False
    )
