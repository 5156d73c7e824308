"""The users' world of a study: fitted once, kept beside the dataset it was fitted to, and said."""

from pathlib import Path

from rich.console import Console
from rich.markup import escape

from ialp_jax.artifacts import InputError
from ialp_jax.data.dataset import Dataset
from ialp_jax.durable import remove_abandoned
from ialp_jax.study.config import StudyConfig
from ialp_jax.worlds.fit.fit import fit_world
from ialp_jax.worlds.fit.report import FitReport
from ialp_jax.worlds.fit.settled import SettledFit
from ialp_jax.worlds.near import tabulate_near
from ialp_jax.worlds.world import World


def users_world(
    dataset: Dataset, settled: SettledFit, config: StudyConfig, directory: Path, console: Console
) -> tuple[World, FitReport]:
    """The world that all users live in, and how well it fits the logs; writes the dataset to `directory`.

    Raises:
        InputError: if the longest session would leave nothing to recommend.
    """
    _keep_dataset(dataset, directory)
    with console.status("fitting the users' world"):
        world, fit = fit_world(dataset, config.fit, config.data.history_length, settled)
    _check_room(world, config)
    _print_fit(fit, console)
    return tabulate_near(world), fit


def _keep_dataset(dataset: Dataset, directory: Path) -> None:
    """Writes the dataset unless the same one lies there already."""
    remove_abandoned(directory.parent, directory.name)
    if directory.exists() and _stored_fingerprint(directory) == dataset.fingerprint:
        return
    dataset.save(directory)


def _stored_fingerprint(directory: Path) -> str | None:
    try:
        return Dataset.load(directory).fingerprint
    except InputError:
        return None


def _check_room(world: World, config: StudyConfig) -> None:
    """Where repeats are masked, the longest session must leave something to recommend."""
    needed = world.initial_items.shape[1] + config.simulator.turn_cap
    if config.simulator.repeats == "masked" and world.num_items <= needed:
        raise InputError(
            f"a catalogue of {world.num_items} items cannot fill {config.simulator.turn_cap} turns without repeats "
            f"after a history of {world.initial_items.shape[1]}",
            column="simulator.turn_cap", fix="lower the turn cap, or set simulator.repeats to allowed",
        )  # fmt: skip


def _print_fit(fit: FitReport, console: Console) -> None:
    shown = {
        name: "not measurable" if accuracy.auc is None else f"{accuracy.auc:.3f}"
        for name, accuracy in fit.held_out.items()
    }
    others = ", ".join(f"{name} {auc}" for name, auc in shown.items() if name != "world")
    share = "none" if fit.item_mean_share is None else f"{fit.item_mean_share:.0%}"
    console.print(f"users' world: AUC of held-out interactions {shown['world']} as it is played ({others}); item means explain "
                  f"{share} of the ratings")  # fmt: skip
    for caution in fit.cautions:
        console.print(f"[yellow]{escape(caution)}[/yellow]")
