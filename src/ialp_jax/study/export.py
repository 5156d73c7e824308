"""The policy that a study leaves for `ialp recommend`: which one, and what is written of it."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console

from ialp_jax.divergence import Divergence
from ialp_jax.methods.base import Stage, rest_on_table
from ialp_jax.methods.needs import Need
from ialp_jax.methods.registry import Registered
from ialp_jax.policies.artifact import save_policy
from ialp_jax.report import preference_statements
from ialp_jax.study.config import StudyConfig
from ialp_jax.study.folder import POLICY
from ialp_jax.study.inputs import Inputs
from ialp_jax.study.table import judge_record


def exported_method(config: StudyConfig) -> Registered | None:
    """The last of the methods whose product is a whole policy of one network; None if there is none."""
    return next((entry for entry in reversed(config.entries) if entry.card.exported), None)


def export_policy(
    out: Path,
    entry: Registered,
    stages: tuple[Stage, ...],
    product: Any,
    diverged: Divergence | None,
    inputs: Inputs,
    console: Console,
) -> None:
    """Writes the first seed's policy as an artefact that loads without the trainer, unless it diverged.

    Args:
        out: folder of the study.
        entry: whose policy it is.
        stages: of that method.
        product: parameters of all seeds, every leaf [R].
        diverged: what is said of the first seed's divergence; None where it did not diverge.
        inputs: of the study.
        console: told of it.
    """
    if diverged is not None:
        console.print(f"no policy is exported: that of {entry.card.title}, seed 0, diverged at {diverged}",
                      style="yellow", markup=False, highlight=False)  # fmt: skip
        return
    config = inputs.config
    params = jax.tree.map(_first, product)
    statements = [
        f"Trained by {entry.name}, seed 0, on {inputs.dataset.source}.",
        *inputs.decision.statements,
    ]
    if rest_on_table(stages):
        said = judge_record(inputs.table) | {"statements": inputs.completed.statements}
        statements = [*preference_statements(said), *statements]
    rule = inputs.likeness_rule if Need.LIKENESS in stages[-1].needs else None
    save_policy(out / POLICY, params, stages[-1].policy(config.policy), inputs.dataset.items,
                config.data.history_length, statements, rule)  # fmt: skip
    console.print(f"{out / POLICY}: the policy of {entry.card.title}, seed 0", markup=False)


def _first(leaf: Any) -> np.ndarray:
    """On the host: a slice on the device is a program per shape."""
    first: np.ndarray = np.asarray(leaf)[0]
    return first
