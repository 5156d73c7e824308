"""The kit of methods passes a sound method and names what is wrong with broken ones, by stage and option."""

import sys
import types

import pytest
from marked_blocks import marked_block

from ialp_jax.testing import MethodTests
from ialp_jax.testing.references import located
from ialp_jax.testing.trial import apart

pytestmark = pytest.mark.usefixtures("batched_keys")
SOUND = marked_block("docs/adding-a-method.md", "method")
CHECKS = [name for name in vars(MethodTests) if name.startswith("test_")]


def kit_of(folder, text=SOUND, **attributes):
    path = folder / "running_means.py"
    path.write_text(text, encoding="utf-8")
    return type("TestMine", (MethodTests,), {"method": str(path), **attributes})()


def broken(*changes):
    """The sound method's file with some of its text replaced."""
    text = SOUND
    for before, after in changes:
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    return text


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return kit_of(tmp_path_factory.mktemp("sound"))


@pytest.mark.parametrize("check", CHECKS)
def test_a_sound_method_passes(sound, check):
    getattr(sound, check)()


def test_a_trial_of_no_updates_is_the_start(sound):
    """What is asked of a method before it has learnt anything is asked then."""
    (stage,) = sound.trial.own_stages
    untouched, begun = sound.trial.alone(stage, until=0).run, sound.trial.program(stage, [0]).start()
    assert not apart(untouched, begun, 0.0, 0.0) and apart(sound.trial.alone(stage).run, begun, 0.0, 0.0)


def test_a_file_lies_beside_the_test_or_where_pytest_was_started(tmp_path, monkeypatch):
    here, away = tmp_path / "here", tmp_path / "away"
    for folder in (here, away):
        folder.mkdir()
        (folder / "mine.py").touch()
    monkeypatch.chdir(away)
    owner = type("TestMine", (), {"__module__": "test_of_somebody"})
    assert located("mine.py", owner) == str(away / "mine.py")
    module = types.ModuleType("test_of_somebody")
    module.__file__ = str(here / "test_of_somebody.py")
    monkeypatch.setitem(sys.modules, "test_of_somebody", module)
    assert located("mine.py", owner) == str(here / "mine.py") and located("a2c", owner) == "a2c"


# What is changed, the check that must fail, and what it must say.
COUNTED = (
    'CALLS = __import__("itertools").count()\n\n\n@struct.dataclass\nclass Means',
    "run.paid + paid + jax.pure_callback(lambda: jnp.float32(next(CALLS)), jax.ShapeDtypeStruct((), jnp.float32))",
)
FAULTS = {
    "shows what must not be shown": (
        [("permitted, (explore, pick) = situation.action_mask(means.size),",
          "permitted, (explore, pick) = jnp.ones(means.size, bool),")],
        "test_no_excluded_item_is_served", r"running_means, sampled, after 0 updates: \d+ excluded items",
    ),
    "a number nobody reads": (
        [("    epsilon: Share = 0.1", "    idle: Share = 0.1\n    epsilon: Share = 0.1")],
        "test_every_swept_number_changes_something", r"running_means: .*\['methods\.running_means\.idle'\]",
    ),
    "an option nobody reads": (
        [("    card: ClassVar", "    idle: int = 3\n    card: ClassVar")],
        "test_every_option_changes_a_stage", r"\['methods\.running_means\.idle'\]",
    ),
    "the lowest number among equals": (
        [("best(means, permitted)", "jnp.arange(means.size) == jnp.argmax(jnp.where(permitted, means, -1.0))")],
        "test_greedy_items_do_not_depend_on_their_numbers", r"running_means: 32 of 32 greedy items at the start of a run depend",
    ),
    "looks at the world": (
        [("self.actor(run, hyper, data.hidden()), data)", "self.actor(run, hyper, data), data)"),
         ("run.paid / jnp.maximum(run.shown, 1.0)", "run.paid + data.users_world.rating_low")],
        "test_actors_are_traced_without_a_world", "needs a world",
    ),
    "is shown the truth": (
        [("import Actor", "import Actor, PrivilegedActor"), ("def act(keys, recall, situation)",
          "def act(keys, recall, state, situation, world)"), ("return Actor(", "return PrivilegedActor(")],
        "test_actors_are_traced_without_a_world", "running_means: it learns from users while its actor is shown the truth",
    ),
    "likes what pays least": (
        [("run.paid + paid", "run.paid - paid")], "test_it_learns_which_items_pay", "of the items it recommends pay",
    ),
    "a number in the program": (
        [("MeansLearner, hyper=self.hyper)", "lambda scene, config: MeansLearner(scene, self.hyper.epsilon), hyper=self.hyper)")],
        "test_no_swept_number_compiles_again", r"running_means: .*\['methods\.running_means\.epsilon'\]",
    ),
    "an option that no file can hold": (
        [("    card: ClassVar", '    where: complex = 1j\n    card: ClassVar')],
        "test_options_survive_json", r"methods\.running_means\.where",
    ),
    "a state outside of its state": (
        [("@struct.dataclass\nclass Means", COUNTED[0]), ("run.paid + paid", COUNTED[1])],
        "test_equal_seeds_give_equal_bits", "running_means: two runs of one seed differ in .*paid",
    ),
    "the same after an interruption": (
        [("@struct.dataclass\nclass Means", COUNTED[0]), ("run.paid + paid", COUNTED[1])],
        "test_resuming_changes_no_bit", "running_means: a run that was saved and loaded half-way differs in .*paid",
    ),
    "the same beside others": (
        [("@struct.dataclass\nclass Means", COUNTED[0]), ("run.paid + paid", COUNTED[1])],
        "test_runs_side_by_side_equal_single_ones", "running_means: a run beside others, .* differs .*paid",
    ),
    "each device counts its own users": (
        [("paid = total((", "paid = ((")], "test_devices_that_share_its_users_change_nothing",
        r"running_means: what two devices that share its users leave differs .*product\.1",
    ),
    "one seed for all": (
        [("self.open(key, ", "self.open(jax.random.key(0), ")], "test_different_seeds_differ", "runs of two seeds are the same",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named(tmp_path, fault):
    changes, check, message = FAULTS[fault]
    kit = kit_of(tmp_path, broken(*changes))
    with pytest.raises(AssertionError, match=message):
        getattr(kit, check)()


def test_every_check_can_fail():
    """Every check is the one that names some fault; that of TOML reads as that of JSON does, from another file."""
    assert {check for _, check, _ in FAULTS.values()} == set(CHECKS) - {"test_options_survive_toml"}
