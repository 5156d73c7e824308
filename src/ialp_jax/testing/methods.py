"""The conformance kit of methods: what every one must keep to, whoever wrote it."""

import tempfile
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ialp_jax.artifacts import Value
from ialp_jax.methods.base import Budget, Stage
from ialp_jax.methods.needs import Need
from ialp_jax.serving.sessions import Actor, PrivilegedActor
from ialp_jax.serving.stream import Stream
from ialp_jax.study.measure import fresh_sessions
from ialp_jax.testing.files import lost_in_json, lost_in_toml
from ialp_jax.testing.numbers import idle_options, recompiling, variants_of, without_effect
from ialp_jax.testing.references import located
from ialp_jax.testing.serving import forbidden, renumbered_choices
from ialp_jax.testing.tiny import CHUNK, SMALL, STREAM, paying_items
from ialp_jax.testing.trial import Trial, apart, leaves_of, row, words_of
from ialp_jax.worlds.types import Observation, Situation, limits


class MethodTests:
    """Subclass it in a test file, name the method, and run pytest: `class TestMine(MethodTests): method = "mine.py"`.

    A method is tried with its options at their defaults in small invented worlds, for a few updates of every stage that
    is its own; products of stages before, preference tables and fits to logs come from there. Messages name stage and
    option.

    Attributes:
        method: its name, or the path of its file, from the test's folder or the current one.
        learning_updates: updates after which a method that learns online must clearly beat chance in a world of a
            dozen items of which a third pays.
        learning_options: options of the study in that check, by dotted name, such as a larger step size.
        seeds: of that check, whose mean counts.
    """

    method: ClassVar[str] = ""
    learning_updates: ClassVar[int] = 120
    learning_options: ClassVar[Mapping[str, Value]] = {}
    seeds: ClassVar[int] = 3

    @cached_property
    def trial(self) -> Trial:
        """The method in the world of fifty users."""
        return Trial.small(located(self.method, type(self)))

    def test_options_survive_json(self) -> None:
        """What config.json records of the options gives the same options."""
        assert not (lost := lost_in_json(self.trial)), f"not read back from JSON as recorded: {lost}"

    def test_options_survive_toml(self) -> None:
        """A sweep's file can fix and list every option."""
        assert not (lost := lost_in_toml(self.trial)), f"not read back from a sweep's file as written: {lost}"

    def test_every_option_changes_a_stage(self) -> None:
        """An option that no stage reads has no effect."""
        assert not (idle := idle_options(self.trial)), f"options that change no stage: {idle}"

    def test_equal_seeds_give_equal_bits(self) -> None:
        """A run is a function of its seed."""
        for stage in self.trial.own_stages:
            again = self.trial.run(self.trial.program(stage, [0]))
            assert not (names := _other_bits(self.trial.alone(stage), again)), (
                f"{stage.name}: two runs of one seed differ in {names}"
            )

    def test_different_seeds_differ(self) -> None:
        """Another seed serves other users."""
        for stage in self.trial.own_stages:
            runs = [leaves_of(self.trial.alone(stage, seed).run) for seed in (0, 1)]
            assert any(not np.array_equal(runs[0][name], runs[1][name]) for name in runs[0]), (
                f"{stage.name}: runs of two seeds are the same"
            )

    def test_resuming_changes_no_bit(self) -> None:
        """Half a run, saved, loaded and gone on with, is the whole run."""
        for stage in self.trial.own_stages:
            with tempfile.TemporaryDirectory() as folder:
                self.trial.run(self.trial.program(stage, [0]), STREAM.updates // 2, Path(folder))
                resumed = self.trial.run(self.trial.program(stage, [0]), None, Path(folder))
            assert not (names := _other_bits(self.trial.alone(stage), resumed)), (
                f"{stage.name}: a run that was saved and loaded half-way differs in {names}"
            )

    def test_runs_side_by_side_equal_single_ones(self) -> None:
        """Under vmap, with numbers of its own, a run does what it does alone with the stage's."""
        for stage in self.trial.own_stages:
            width = len(variants_of(self.trial, stage)[0].stages)  # another check has that program too
            together = self.trial.together([stage] * width, range(width)[::-1], STREAM.updates // 2).run
            alone = self.trial.alone(stage, 0, STREAM.updates // 2).run
            assert not (names := apart(row(alone, 0), row(together, -1), 1e-4, 1e-5)), (
                f"{stage.name}: a run beside others, with numbers of its own, differs from the same run alone in {names}"
            )

    def test_devices_that_share_its_users_change_nothing(self) -> None:
        """Two devices, each with half of the users and of the logged turns, leave what one leaves.

        But for learners that say of themselves that they draw by row (`LaggingLoss.draws_by_row`), while they serve.
        """
        if jax.device_count() < 2:
            pytest.skip("there is one device: update JAX's jax_num_cpu_devices to 2 before it starts")
        for stage in self.trial.own_stages:
            program = self.trial.program(stage, [0])
            if stage in self._serving() and getattr(program.learner, "draws_by_row", False):
                continue
            runs = self.trial.alone(stage), self.trial.shared(stage, devices=2)
            one, two = (
                {"product": program.products(trained.run), "metrics": trained.metrics} for trained in runs
            )
            assert not (names := apart(one, two, 1e-3, 1e-4)), (
                f"{stage.name}: what two devices that share its users leave differs from what one leaves in {names}"
            )

    def test_every_swept_number_changes_something(self) -> None:
        """Another value of an option that is a number changes what its stage leaves or serves."""
        for stage in self.trial.own_stages:
            assert not (names := without_effect(self.trial, stage)), (
                f"{stage.name}: other values change nothing that it leaves or serves: {names}"
            )

    def test_no_swept_number_compiles_again(self) -> None:
        """Numbers are data of a program."""
        for stage in self.trial.own_stages:
            assert not (names := recompiling(self.trial, stage)), (
                f"{stage.name}: other values compile another program: {names}"
            )

    def test_no_excluded_item_is_served(self) -> None:
        """Neither sampled nor greedily, at the start, in the middle and at the end of a run."""
        problems = [
            problem for stage in self._serving() for until in (0, STREAM.updates // 2, STREAM.updates)
            for problem in forbidden(self.trial, stage, until)
        ]  # fmt: skip
        assert not problems, "; ".join(problems)

    def test_greedy_items_do_not_depend_on_their_numbers(self) -> None:
        """Items by other numbers are the same items."""
        compared = 0
        problems: list[str] = []
        for stage in [stage for stage in self._unprivileged() if stage in self._serving()]:
            settled, wrong = renumbered_choices(self.trial, stage)
            compared, problems = compared + settled, problems + wrong
        assert not problems, "; ".join(problems)
        if not compared:
            pytest.skip("no stage has an actor whose greedy item is more than a draw")

    def test_actors_are_traced_without_a_world(self) -> None:
        """They act on what a recommender may see of users, and on nothing else."""
        for stage in self._unprivileged():
            program = self.trial.program(stage, [0])
            run = row(self.trial.alone(stage, 0, CHUNK).run, 0)

            def turn(key, situation, run=run, program=program):  # type: ignore[no-untyped-def]
                actor = program.learner.actor(run, program.hyper, program.data.hidden())
                recall = actor.begin(situation.observation)
                return actor.act(actor.keys(key, 3), recall, situation)[0]

            items = jax.eval_shape(turn, jax.random.key(0), _seen_of_users(3, SMALL.data.history_length))
            assert items.shape == (3,) and items.dtype == np.int32, (
                f"{stage.name}: three users are recommended {items}, not three item ids (int32)"
            )

    def test_it_learns_which_items_pay(self) -> None:
        """A third of a dozen items pays, for everybody: after some updates more than a third of its items do."""
        if not self.trial.entry.card.learns_online:
            pytest.skip("its card says that it does not learn online")
        online = Stream(users=32, rollout=4, updates=self.learning_updates, pool=16, bins=4)
        trial = Trial.paying(located(self.method, type(self)), online).having(self.learning_options)
        program = trial.program(trial.stages[-1], range(self.seeds))
        played = fresh_sessions(program, trial.run(program).run, trial.config, greedy=False)
        pays = paying_items(program.learner.scene.num_items)
        shares = pays[played.items].mean(axis=(1, 2))  # nobody leaves before the cap
        chance = pays.mean()
        assert shares.mean() > chance + LEARNT, (
            f"after {self.learning_updates} updates {shares.round(2)} of the items it recommends pay, by seed; "
            f"at random {chance:.2f} do. Wanted: a mean above {chance + LEARNT:.2f}"
        )

    def _serving(self) -> list[Stage]:
        """Its stages that serve users."""
        return [stage for stage in self.trial.own_stages if stage.budget is not Budget.NONE]

    def _unprivileged(self) -> list[Stage]:
        """Its stages whose actors are not shown the truth by their type; skips the test where there is none.

        One that learns in the users' world must not be shown it.
        """
        plain = []
        for stage in self.trial.own_stages:
            program = self.trial.program(stage, [0])
            run = row(self.trial.alone(stage, 0, CHUNK).run, 0)
            actor = program.learner.actor(run, program.hyper, program.data.hidden())
            if isinstance(actor, PrivilegedActor):
                learns = self.trial.entry.card.learns_online and Need.USERS in stage.needs
                assert not learns, (
                    f"{stage.name}: it learns from users while its actor is shown the truth about them"
                )
                continue
            assert isinstance(actor, Actor), f"{stage.name}: {type(actor).__name__} is no actor"
            plain.append(stage)
        if not plain:
            pytest.skip("its actors are privileged by their type: they are shown the truth")
        return plain


LEARNT = 0.15
"""By how much the share of paying items must exceed that of a random policy."""


def _other_bits(left, right) -> list[str]:  # type: ignore[no-untyped-def]
    """Names of the arrays of two runs, keys and metrics among them, that are not the same bits."""
    pairs = [words_of({"run": one.run, "metrics": one.metrics}) for one in (left, right)]
    return [name for name, array in pairs[0].items() if array.tobytes() != pairs[1][name].tobytes()]


def _seen_of_users(users: int, history: int) -> Situation:
    """All that a recommender may see of some users, for its shapes: nobody has met anything."""
    seen = Observation(jnp.zeros((users, history), jnp.int32), jnp.zeros((users, history)))
    excluded = jnp.zeros((users, history + SMALL.simulator.turn_cap), jnp.int32)
    return Situation(jnp.zeros(users, jnp.int32), seen, limits(excluded))
