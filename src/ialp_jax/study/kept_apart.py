"""How near is too near: the recommender's own rule, from the offline users' logs or the texts, as a study makes it."""

from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console

from ialp_jax.marks import AUTO
from ialp_jax.serving.likeness import LikenessRule
from ialp_jax.study.calibrated import kept_apart_within
from ialp_jax.study.factors import likeness_points
from ialp_jax.worlds.fit.points import sampled_distances

if TYPE_CHECKING:
    from ialp_jax.study.inputs import Inputs


def likeness_rule(inputs: "Inputs", console: Console) -> LikenessRule:
    """The rule of a study; says so where recorded sessions leave it open."""
    rule = inputs.config.likeness
    assert rule.source != AUTO, "it is decided before anything is kept apart"
    points = inputs.text_vectors if rule.source == "text" else likeness_points(inputs.factors)
    if rule.percentile is not None:
        distances = sampled_distances(points, inputs.config.fit.seed)
        return LikenessRule(points, float(np.percentile(distances, rule.percentile)), rule.window)
    threshold, noisy = kept_apart_within(inputs.recorded, points, rule.window, rule.exit_rate, rule.at_most)
    if noisy:
        console.print(f"[yellow]Recorded sessions are too few or too noisy to say how near is too near: the nearest "
                      f"{rule.at_most:g} % of all pairs are kept apart (likeness.at_most)")  # fmt: skip
    if threshold == 0.0:
        console.print("[yellow]Recorded sessions do not end by likeness: nothing is kept apart, and the policy gradient alone "
                      "may learn more (docs/learning.md)")  # fmt: skip
    return LikenessRule(points, threshold, rule.window)
