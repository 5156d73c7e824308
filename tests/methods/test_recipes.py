"""What a method says beyond its stages: recipes that an environment may ask for, a sharpness of its own, what it is told."""

from dataclasses import replace

import pytest
from tiny_study import FIXED, TINY

import ialp_jax
from ialp_jax import environments
from ialp_jax.artifacts import InputError
from ialp_jax.methods import get, names
from ialp_jax.policies.artifact import load_policy
from ialp_jax.study.calibrated import told_of_users
from ialp_jax.study.config import StudyConfig, preset, recipe_changes
from ialp_jax.study.fields import apply, held
from ialp_jax.study.stages import learner_of, stages_of

NAME, ENVIRONMENT = environments.get("coat")


def stages(method, **changes):
    config = apply(StudyConfig(methods=(method,)), changes)
    return stages_of(get(method), config), config


@pytest.mark.parametrize("method", names())
def test_every_recipe_can_be_applied(method):
    for recipe in get(method).options.recipes:
        changes = recipe_changes(recipe, (method,))
        changed = apply(StudyConfig(methods=(method,)), changes)
        assert all(held(changed, name) == value for name, value in changes.items())


def test_an_environment_gets_its_recipe_in_the_methods_that_are_compared_and_those_they_build_on():
    config = preset(ENVIRONMENT, "quick", ("a_ialp_ft", "dqn"))
    assert config.options.a_ialp_ft.model.feedback_steps == config.options.ialp.model.feedback_steps == 0
    assert config.options.ialp.world == "table" and config.options.ialp.look is False
    assert config.policy.encoder == "gru" and config.options.dqn == get("dqn").options()
    plain = preset(environments.get("steam")[1], "quick", ("a_ialp_ft", "dqn"))
    assert plain.options.a_ialp_ft.model.feedback_steps > 0


def test_a_recipe_that_no_method_has_is_refused():
    with pytest.raises(InputError, match=r"no method has a recipe 'policy gradients'.*policy gradient"):
        preset(replace(ENVIRONMENT, recipe="policy gradients"), "quick")


@pytest.mark.parametrize(("steps", "expected"), [(8, 7.0), (0, 1.0)])
def test_scores_that_are_fitted_to_the_feedback_have_their_own_sharpness(steps, expected):
    given = {"methods.a2c.feedback_steps": steps} | ({"methods.a2c.sharpness": 7.0} if steps else {})
    (stage,), config = stages("a2c", **given)
    network = learner_of(stage, 9, config).scene.network
    assert network.module.config.sharpness == stage.policy(config.policy).sharpness == expected


def test_a_frozen_policy_is_as_sharp_as_it_was_pre_trained():
    (pretraining, frozen), _ = stages("ialp", **{"methods.ialp.sharpness": 7.0})
    assert pretraining.sharpness == frozen.sharpness == 7.0
    assert stages("ppo")[0][0].sharpness is None


@pytest.mark.slow
def test_an_exported_policy_is_as_sharp_as_the_one_that_was_trained(tmp_path, batched_keys):
    (tmp_path / "tiny.py").write_text(TINY, encoding="utf-8")
    ialp_jax.train(
        str(tmp_path / "tiny.py"), out=tmp_path / "out", methods=["a2c"], quiet=True,
        **{name: value for name, value in FIXED.items() if not name.startswith("pretrain")},
        **{"methods.a2c.sharpness": 7.0, "seeds": 1},
    )  # fmt: skip
    assert load_policy(tmp_path / "out" / "policy").network.module.config.sharpness == 7.0


def test_what_a_method_is_told_follows_from_what_it_reads():
    assert told_of_users(*stages("random")) == []
    (look,) = told_of_users(*stages("a2c", **{"likeness.percentile": 30.0}))
    assert "too alike" in look
    recorded, again = told_of_users(*stages("a2c"))  # what is too alike is read off recorded sessions
    assert "recorded sessions" in recorded and again == look
    imagined = set(told_of_users(*stages("a_ialp_ft"))) - {recorded, look}
    assert len(imagined) == 1 and "turn cap" in imagined.pop()
    assert told_of_users(*stages("a2c", **{"methods.a2c.look": False})) == []
