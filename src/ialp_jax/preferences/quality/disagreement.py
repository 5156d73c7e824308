"""Where an ensemble of reward models disagrees: the pairs whose judgement would teach most.

    score(s, a) = sd_m r_m(s, a) + c mean_m r_m(s, a)

r_1..r_M are reward models (`reward_model`), each fitted to a bootstrap of the judgements: every judged pair counts
Poisson(1) times (query by bagging: Abe and Mamitsuka 1998, "Query learning strategies using boosting and bagging";
Poisson weights: Oza and Russell 2001, "Online bagging and boosting"). The reward model's penalties pull all members
to one answer where nothing was judged; so each member also gets a made-up score for every item, drawn from the
judged ones, with the weight of `prior` judgements (proper Bayesian bootstrap: Muliere and Secchi 1996, "Bayesian
nonparametric predictive inference and bootstrap techniques"). The defaults were chosen on the steam logs:
docs/experiments.md, "Shortlists".
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float

from ialp_jax.artifacts import InputError
from ialp_jax.preferences.content_vectors import history_profiles
from ialp_jax.preferences.states import UserStates
from ialp_jax.preferences.table import PreferenceTable
from ialp_jax.ranges import Count, Weight, at_least
from ialp_jax.values import checked


@dataclass(frozen=True)
@checked
class EnsembleConfig:
    """The reward models whose disagreement is asked.

    Attributes:
        members: M, how many models.
        steps: of each fit. A third of the reward model's own number chooses as well.
        prior: judgements that an item's made-up score counts for. 0 asks where the judged scores vary, and is
            blind to items nobody was judged on; 1 and more spread the questions over such items.
        mean_weight: c. 0 asks where the models disagree; 1, an upper confidence bound, rather about what they
            take for good: with 200 judgements a state it found .02 to .05 more of a user's best items, with 40
            .02 to .04 fewer, and the order of all items suffers.
        seed: of the bootstrap and the fits.
    """

    members: Annotated[int, at_least(2)] = 5
    steps: Count = 100
    prior: Weight = 0.3
    mean_weight: Weight = 0.0
    seed: Annotated[int, at_least(0)] = 0


def disagreement(
    table: PreferenceTable,
    states: UserStates,
    item_vectors: Float[np.ndarray, "N D"],
    config: EnsembleConfig,
) -> Float[np.ndarray, "S N"]:
    """sd + c mean of the members' predictions, for every pair; at least 0.

    Args:
        table: the judgements; at least one.
        states: the table's.
        item_vectors: content vectors of the items.
        config: the ensemble.
    """
    # Imported here: this room is host only unless a model has to be fitted.
    import jax
    import jax.numpy as jnp

    from ialp_jax.preferences.completion.reward_model import RewardModelConfig, fit, predict

    if not table.num_judgements:
        raise InputError("the table holds no judgement to learn from", fix="judge a shortlist first")
    scores, judged = table.dense()
    profiles = history_profiles(sp.csr_matrix(item_vectors), states.items, states.grades).toarray()
    features = jnp.asarray(profiles, jnp.float32), jnp.asarray(item_vectors, jnp.float32)
    rng, settings = np.random.default_rng(config.seed), RewardModelConfig(steps=config.steps)
    mean, squares = np.zeros(scores.shape), np.zeros(scores.shape)
    # One after the other, with Welford's sums: all members' predictions at once would be M dense tables.
    for number, key in enumerate(jax.random.split(jax.random.key(config.seed), config.members), start=1):
        made_up = rng.choice(table.score, table.num_items)
        targets = np.where(judged, scores, made_up).astype(np.float32)
        weights = np.where(judged, rng.poisson(1.0, judged.shape), config.prior / table.num_states)
        model = fit(jnp.asarray(targets), jnp.asarray(weights, jnp.float32), *features, settings, key)
        change = np.asarray(predict(model, *features)) - mean
        mean += change / number
        squares += change**2 * (number - 1) / number
    return np.sqrt(squares / config.members) + config.mean_weight * mean
