"""From logs to what stages read: the users' world, the LLM's imagined users', and what the table says of everyone."""

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int
from rich.console import Console

from ialp_jax.data.dataset import Dataset, offline_interactions, offline_popularity, offline_users
from ialp_jax.folders import copy_folders
from ialp_jax.learning.logged import LoggedSessions
from ialp_jax.methods.base import Data, OfflineFit, Stage, rest_on_table
from ialp_jax.methods.needs import Need
from ialp_jax.policies.config import PolicyConfig
from ialp_jax.preferences.completion.completion import CompletedPreferences, complete
from ialp_jax.preferences.content_vectors import text_vectors
from ialp_jax.preferences.states import documents, of_users, user_states
from ialp_jax.preferences.table import PreferenceTable
from ialp_jax.serving.likeness import Likeness, LikenessRule
from ialp_jax.study.calibrated import by_recorded, follows, leaving_by_recorded, reads_recorded
from ialp_jax.study.config import StudyConfig
from ialp_jax.study.decision import UNDECIDED, Decision, concrete
from ialp_jax.study.factors import said_factors, start_vectors
from ialp_jax.study.imagined import imagined, scores_of_all
from ialp_jax.study.kept_apart import likeness_rule
from ialp_jax.study.logged import history_sessions, kept, recorded_sessions
from ialp_jax.study.table import FinishedTable, content_table
from ialp_jax.study.users_world import users_world
from ialp_jax.worlds.fit.factorisation import Factors
from ialp_jax.worlds.fit.report import FitReport
from ialp_jax.worlds.fit.settled import SettledFit, may_weaken, settle
from ialp_jax.worlds.histories import sampled_histories, with_histories
from ialp_jax.worlds.logs_world import logs_world, mixed_world
from ialp_jax.worlds.near import tabulate_near
from ialp_jax.worlds.simulator import Simulator
from ialp_jax.worlds.world import World


class Inputs:
    """What the stages of a study read, each made when it is first asked for, and kept.

    Its files lie in a folder: the dataset, and the content judge's judgements where a table was needed and none was given.
    """

    def __init__(
        self,
        dataset: Dataset,
        config: StudyConfig,
        out: Path,
        console: Console,
        finished: FinishedTable | None = None,
    ) -> None:
        """Nothing is made yet.

        Args:
            dataset: the logs.
            config: how everything is made from them.
            out: folder for its files.
            console: where it says what it makes.
            finished: a preference table that was made beforehand; None has the content judge judge.
        """
        self.dataset, self.config, self.finished = dataset, config, finished
        self._out, self._console = out, console
        self.decision = UNDECIDED
        self._fits: dict[OfflineFit, Any] = {}

    def decided(self, decision: Decision) -> None:
        """Has the configuration hold what was decided for what it left open; nothing that is made by then depends on it."""
        self.config, self.decision = concrete(self.config, decision), decision

    def settle_in(self, out: Path) -> None:
        """Has its files lie in another folder; those there are by now are copied there, in the place of others."""
        copy_folders(self._out, out)
        self._out = out

    @property
    def made(self) -> list[str]:
        """Which inputs there are by now, for people."""
        return [words for name, words in MADE.items() if name in self.__dict__]

    @property
    def has_table(self) -> bool:
        """Whether a stage has asked for the preference table."""
        return "table" in self.__dict__

    @property
    def given_table(self) -> str | None:
        """What a table that was made beforehand holds; None without one."""
        return None if self.finished is None else self.finished.content

    def sources(self, stage: Stage) -> dict[str, str | None]:
        """What a stage reads that the configuration does not say: the logs, a table that was made beforehand, and the penalty
        of the users' world where another than the configured one is in force."""
        table = self.given_table if rest_on_table([stage]) else None
        return {"dataset": self.dataset.fingerprint, "table": table, **self._weakened}

    @property
    def _weakened(self) -> dict[str, str]:
        """The penalty of the users' world where it is not the configured one, which runs may have been made with before."""
        weaker = may_weaken(self.dataset, self.config.fit) and self._settled.weakened
        return {"regularisation": repr(self._settled.config.regularisation)} if weaker else {}

    @cached_property
    def _settled(self) -> SettledFit:
        with self._console.status("measuring what logs say of users"):
            return settle(self.dataset, self.config.fit)

    @property
    def world(self) -> World:
        """The users' world; only its simulator may be met by a policy that trains."""
        return self._users[0]

    @property
    def fit(self) -> FitReport:
        """How well that world fits."""
        return self._users[1]

    @cached_property
    def _users(self) -> tuple[World, FitReport]:
        return users_world(self.dataset, self._settled, self.config, self._out / "dataset", self._console)

    @cached_property
    def table(self) -> PreferenceTable:
        """The judgements."""
        preferences = self.config.preferences
        if self.finished is not None:
            table = self.finished.table
        else:
            table = content_table(self.dataset, preferences, self._out / "preferences", self._console)
        return table.shuffled(preferences.candidates.seed) if preferences.shuffle else table

    @cached_property
    def text_vectors(self) -> Float[np.ndarray, "N e"]:
        """What the items' texts say; how alike items are in the LLM's world."""
        return text_vectors(documents(self.dataset), self.config.policy.embedding, self.config.fit.seed)

    def item_vectors(self, policy: PolicyConfig) -> Float[np.ndarray, "N e"] | None:
        """Where item embeddings start; None for noise. Settings that share these inputs may differ in it."""
        return start_vectors(policy, lambda: self.text_vectors, lambda: self.factors)

    @cached_property
    def completed(self) -> CompletedPreferences:
        """A score for every judged state and item."""
        states = of_users(user_states(self.dataset), self.table.users)
        with self._console.status("completing the preference table"):
            return complete(
                self.table, self.config.preferences.unjudged, states=states, item_vectors=self.text_vectors
            )

    @cached_property
    def llm_world(self) -> World:
        """The preference table as a world."""
        return tabulate_near(imagined(self))

    @cached_property
    def logs_world(self) -> World:
        """The users whom the offline logs suggest."""
        return self._with_histories(self._logs_world, offline_users(self.dataset))

    def _with_histories(self, world: World, users: Int[np.ndarray, "U"]) -> World:
        """A world of these users, in which their sessions also open with other parts of their logs."""
        copies, length = self.config.logs_world.histories, self.config.data.history_length
        if not copies:
            return world
        return with_histories(
            world, *sampled_histories(self.dataset, users, length, copies, self.config.fit.seed)
        )

    @cached_property
    def _logs_world(self) -> World:
        """With the history that every user has."""
        config = self.config.logs_world
        if config.calibrated:
            config = by_recorded(self.dataset, self.config.factors, config, self.recorded)
            if config is self.config.logs_world:
                self._console.print(
                    "[yellow]Recorded sessions say nothing of tastes: the logs' world is not calibrated by their feedback"
                )
        made = logs_world(self.dataset, self.factors, config, self.config.data.history_length,
                          np.asarray(self.world.item_categories), self.world.departure)  # fmt: skip
        if config.calibrated:
            made = leaving_by_recorded(made, self.recorded, self.config.simulator.window, config.exit_rate)
            if not made.departure.distance_threshold:
                self._console.print(
                    "[yellow]Recorded sessions do not end by likeness: nobody leaves the logs' world for it"
                )
        return tabulate_near(made)

    @cached_property
    def mixed_world(self) -> World:
        """The table's imagined users with rewards partly from their logs, by how much they logged."""
        judged, offline = self.table.users, offline_users(self.dataset)
        logged = offline_interactions(self.dataset)["user"].to_numpy()
        counts = np.bincount(logged, minlength=self.dataset.num_users)
        chosen = self.config.preferences
        rows, number = np.searchsorted(offline, judged).clip(max=len(offline) - 1), counts[judged]
        # Of users without a log any row will do: it has no weight.
        share = np.where(number, chosen.logs_half / np.maximum(chosen.logs_half + number, 1e-9), 1.0)
        mixed = mixed_world(self.llm_world, self._logs_world, rows, share, chosen.alike)
        return self._with_histories(tabulate_near(mixed), judged)

    @cached_property
    def table_scores(self) -> Float[np.ndarray, "U N"]:
        """What the table says about every user of the dataset (judged or by transfer)."""
        return scores_of_all(
            self.dataset, self.completed.scores, self.table.users, self.config.prior.neighbours
        )

    @cached_property
    def popularity(self) -> Float[np.ndarray, "N"]:
        """Interactions of each item in the offline users' logs."""
        return offline_popularity(self.dataset)

    @cached_property
    def recorded(self) -> LoggedSessions:
        """Sessions of offline users under the stated logging policy."""
        config, simulator = self.config.logged, Simulator(self.config.simulator)
        with self._console.status("recording sessions of offline users"):
            return kept(
                self._out / "logged" / "recorded", [config, self.config.simulator, self.config.fit, self.config.data],
                {"dataset": self.dataset.fingerprint} | self._weakened,
                "Recorded: a stated logging policy served offline users in their own simulator; propensities are exact.",
                lambda: recorded_sessions(self.world, simulator, self.popularity, offline_users(self.dataset), config),
            )  # fmt: skip

    @cached_property
    def logs(self) -> LoggedSessions:
        """The offline users' own interactions."""
        rules, length = self.config.simulator, self.config.data.history_length
        return kept(
            self._out / "logged" / "logs", [rules, length], {"dataset": self.dataset.fingerprint},
            "From the logs: nobody recommended these items and nobody left; propensities are not known.",
            lambda: history_sessions(self.dataset, length, rules.turn_cap, rules.repeats == "masked"),
        )  # fmt: skip

    @cached_property
    def factors(self) -> Factors:
        """The offline users' logs, factorised."""
        return said_factors(self.dataset, self.config.factors, self._console)

    @cached_property
    def likeness_rule(self) -> LikenessRule:
        """How alike two items may be that the recommender shows closely after one another."""
        return likeness_rule(self, self._console)

    @cached_property
    def likeness(self) -> Likeness:
        """What the recommender keeps apart."""
        return self.likeness_rule.table()

    def logged_steps(self, stages: Iterable[Stage]) -> int:
        """Simulator steps that the recorded sessions took which these stages read, or by which was decided what they are."""
        asked = self.decision.questions
        needed = any(reads_recorded(stage, self.config) or follows(stage, asked) for stage in stages)
        return int(jnp.sum(self.recorded.length)) if needed else 0

    def fitted(self, fit: OfflineFit) -> Any:
        """What a method fits to the offline users' logs, once."""
        if fit not in self._fits:
            self._fits[fit] = jax.tree.map(jnp.asarray, fit.fit(self.dataset, fit.config))
        return self._fits[fit]

    def data(self, stage: Stage) -> Data:
        """What a stage asked for, and nothing else."""
        made = {need: getattr(self, name) for need, name in _INPUTS.items() if need in stage.needs}
        return Data(
            world=next((made[need] for need in _WORLDS if need in made), None),
            logged=made.get(Need.RECORDED, made.get(Need.LOGS)),
            prior=jnp.asarray(self.table_scores) if Need.PRIOR in stage.needs else None,
            fitted=None if stage.fitted is None else self.fitted(stage.fitted),
            likeness=made.get(Need.LIKENESS),
        )


_INPUTS = {
    Need.USERS: "world",
    Need.TABLE_WORLD: "llm_world",
    Need.LOGS_WORLD: "logs_world",
    Need.MIXED_WORLD: "mixed_world",
    Need.RECORDED: "recorded",
    Need.LOGS: "logs",
    Need.LIKENESS: "likeness",
}
_WORLDS = (Need.USERS, Need.TABLE_WORLD, Need.LOGS_WORLD, Need.MIXED_WORLD)
MADE = {"_users": "the users' world", "table": "the preference table", "completed": "its reward model",
        "llm_world": "the LLM's world", "_logs_world": "the logs' world", "mixed_world": "the world of both", "table_scores": "the table's scores of all users",
        "text_vectors": "the items' text vectors", "recorded": "recorded sessions", "logs": "the logs as sessions",
        "factors": "factors of the logs", "likeness": "what is kept apart"}  # fmt: skip
"""Inputs by attribute, in words."""
