"""An invented world with the shape of the Steam logs, for when no data is given.

    genres      share of genre g: w_g ~ (g + 1)^-0.7; item i has 1 to 3 genres drawn by w, the first counted
                twice, scaled to a unit vector e_i
    text        the item's genres and 3 to 6 tags; a tag belongs to one of its genres with probability 0.85
    taste       user u: 1 to 3 genres drawn by w, weights t_u ~ Dirichlet(1)
    match       m_ui = t_u . e_i, standardised over all pairs: the part that the text explains
    latent      z_ui = p_u . q_i with K normal factors each, standardised: the part that no text explains
    popularity  b_i = -a log(rank_i), ranks random: alone, item i is drawn in proportion to rank_i^-a
    who plays   user u takes n_u ~ LogNormal (mean `mean_interactions`, sigma 0.8) items without replacement,
                in proportion to exp(b_i + c_m m_ui + c_z z_ui) (Gumbel top-n)
    how much    s_ui = (v_m m_ui + v_z z_ui + v_0 l_i) / |v|, l_i normal: how well all like item i
      implicit  log hours = h_i + 0.9 (s_ui + noise * normal), h_i ~ N(0.9, 0.8): how long the item takes
      explicit  rating = 2.3 + 0.8 s_ui + 0.5 noise * normal, rounded, cut to 1..5; known_ratings: no noise

The constants are set by hand so that some figures lie near those of the Steam logs; nothing is fitted
to people. Measured after the 5-core with the default settings (Steam logs in brackets): 1,220 x 802 x 24,134
(2,386 x 1,515 x 53,782); most played item met by 58 % (49 %) of the users; busiest tenth of the items 49 %
(51 %) of the plays; median 8.0 (4.8) hours; held-out AUC of factorisation / popularity / TF-IDF text
.89 / .80 / .74 (.88 / .85 / .77); rank correlation of held-out grades with text similarity .32 (.24).
"""

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import polars as pl
from jaxtyping import Float

from ialp_jax.artifacts import InputError
from ialp_jax.data.build import DataConfig, RawLogs, build
from ialp_jax.data.dataset import Dataset, Domain, Feedback
from ialp_jax.data.reading import ROW
from ialp_jax.data.words import ADJECTIVES, VOCABULARIES, Vocabulary
from ialp_jax.ranges import Count, at_least, within
from ialp_jax.values import checked

RATINGS = (1.0, 5.0)
LEAST_STRENGTH = 1e-6
"""Values whose weights are all smaller are noise."""
Strength = Annotated[float, within(-100, 100)]
"""Far below where a power of it overflows, far above where it decides alone."""
Matrix = Float[np.ndarray, "U N"]


@dataclass(frozen=True)
@checked
class SyntheticConfig:
    """The invented world. Sizes are before the k-core, which removes a few per cent."""

    num_users: Annotated[int, at_least(2)] = 1320
    """Users."""
    num_items: Annotated[int, at_least(2)] = 850
    """Items."""
    mean_interactions: Annotated[float, at_least(1)] = 19.0
    """Mean interactions of a user."""
    popularity: Strength = 1.2
    """a: exponent of the power law by which items are met; 0 makes all alike."""
    choice_match: Strength = 1.4
    """c_m: how strongly genres that fit the user decide which items are met."""
    choice_latent: Strength = 1.2
    """c_z: how strongly what no text tells decides which items are met."""
    value_match: Strength = 0.7
    """v_m: weight of fitting genres in how much an item is used or liked."""
    value_latent: Strength = 0.5
    """v_z: weight of what no text tells."""
    value_item: Strength = 0.5
    """v_0: weight of what all users agree on."""
    noise: Annotated[float, within(0, 100)] = 1.5
    """Noise of single values, in standard deviations of the signal."""
    num_factors: Count = 4
    """K: hidden factors of users and items."""
    feedback: Feedback = "implicit"
    """Hours or plays (implicit), or ratings from 1 to 5 together with the complete matrix (explicit)."""
    seed: Annotated[int, at_least(0)] = 0
    """Decides the whole world."""

    def __post_init__(self) -> None:
        if self.mean_interactions > self.num_items:
            raise InputError(f"{self.mean_interactions:g} are more than the {self.num_items} items", column="mean_interactions",
                             fix="use fewer, or more items")  # fmt: skip
        if math.hypot(self.value_match, self.value_latent, self.value_item) < LEAST_STRENGTH:
            raise InputError("all weights of values are 0, or as good as 0", column="value_item",
                             fix=f"make one of them {LEAST_STRENGTH:g} or more")  # fmt: skip


def generate(
    config: SyntheticConfig | None = None, data_config: DataConfig | None = None, domain: Domain = "games"
) -> Dataset:
    """Makes a dataset of the world of the module's formulas; equal arguments give equal datasets.

    Args:
        config: the world; None for the default.
        data_config: the shared pipeline; None for the default.
        domain: the words of titles, genres and tags, and whether values are hours, plays, ...

    Raises:
        InputError: if the k-core leaves nothing (world too small for it).
    """
    config, data_config = config or SyntheticConfig(), data_config or DataConfig()
    vocabulary = VOCABULARIES[domain]
    rng = np.random.default_rng(config.seed)
    genres = _item_genres(rng, config.num_items, len(vocabulary.genres))
    items = _describe(rng, genres, vocabulary)
    match = _standardise(_tastes(rng, config.num_users, genres.shape[1]) @ _unit_rows(genres).T)
    factors = [rng.normal(size=(count, config.num_factors)) for count in (config.num_users, config.num_items)]
    latent = _standardise(factors[0] @ factors[1].T)
    met = _met(rng, config, match, latent)
    values, known = _values(rng, config, match, latent)
    users, chosen = np.nonzero(met)
    explicit = config.feedback == "explicit"
    unit = "ratings" if explicit else vocabulary.unit
    return build(
        RawLogs(
            name="synthetic",
            source="synthetic",
            domain=domain,
            feedback=config.feedback,
            rating_range=RATINGS if explicit else (0.0, 1.0),
            unit=unit,
            file=None,
            interactions=pl.DataFrame(
                {
                    "user": pl.Series(users).cast(pl.String),
                    "item": pl.Series(chosen).cast(pl.String),
                    "value": values[users, chosen],
                    ROW: np.arange(len(users)),
                }
            ),
            items=items,
            users=pl.DataFrame({"raw_id": pl.Series(np.arange(config.num_users)).cast(pl.String)}),
            known_ratings=known,
            statements=(
                f"SYNTHETIC data: a generator (seed {config.seed}) made the users, items and {unit}.",
            ),
        ),
        data_config,
    )


def _item_genres(rng: np.random.Generator, num_items: int, num_genres: int) -> Float[np.ndarray, "N G"]:
    """Counts per item: 2 for the main genre, 1 for up to two others, 0 elsewhere."""
    share = _genre_share(num_genres)
    counts = np.zeros((num_items, num_genres))
    for row, extra in zip(counts, rng.integers(0, 3, num_items), strict=True):
        chosen = rng.choice(num_genres, size=min(1 + extra, num_genres), replace=False, p=share)
        row[chosen] = 1
        row[chosen[0]] = 2
    return counts


def _genre_share(num_genres: int) -> Float[np.ndarray, " G"]:
    weight = np.arange(1, num_genres + 1) ** -0.7
    return weight / weight.sum()


def _tastes(rng: np.random.Generator, num_users: int, num_genres: int) -> Float[np.ndarray, "U G"]:
    share = _genre_share(num_genres)
    tastes = np.zeros((num_users, num_genres))
    for row, count in zip(tastes, rng.integers(1, 4, num_users), strict=True):
        row[rng.choice(num_genres, size=count, replace=False, p=share)] = rng.dirichlet(np.ones(count))
    return tastes


def _met(rng: np.random.Generator, config: SyntheticConfig, match: Matrix, latent: Matrix) -> np.ndarray:
    """Boolean [U, N]: which items each user has met."""
    sigma = 0.8
    mean = np.log(config.mean_interactions) - sigma**2 / 2
    counts = np.clip(np.rint(rng.lognormal(mean, sigma, config.num_users)), 1, config.num_items)
    popularity = -config.popularity * np.log(rng.permutation(config.num_items) + 1.0)
    weight = popularity + config.choice_match * match + config.choice_latent * latent
    order = np.argsort(-(weight + rng.gumbel(size=weight.shape)), axis=1)
    rank = np.argsort(order, axis=1)
    return rank < counts[:, None]


def _values(
    rng: np.random.Generator, config: SyntheticConfig, match: Matrix, latent: Matrix
) -> tuple[Matrix, Matrix | None]:
    """Values of all pairs on the raw scale, and for ratings the same without noise."""
    weights = np.array([config.value_match, config.value_latent, config.value_item])
    weights /= np.linalg.norm(weights)
    liked = weights[0] * match + weights[1] * latent + weights[2] * rng.normal(size=config.num_items)
    noise = config.noise * rng.normal(size=liked.shape)
    if config.feedback == "explicit":
        exact = 2.3 + 0.8 * liked
        return np.clip(np.rint(exact + 0.5 * noise), *RATINGS), np.clip(np.rint(exact), *RATINGS)
    length = rng.normal(0.9, 0.8, config.num_items)
    return np.maximum(np.round(np.exp(length + 0.9 * (liked + noise)), 1), 0.1), None


def _describe(
    rng: np.random.Generator, genres: Float[np.ndarray, "N G"], vocabulary: Vocabulary
) -> pl.DataFrame:
    names, tags = list(vocabulary.genres), list(vocabulary.genres.values())
    every_tag = [tag for group in tags for tag in group]
    categories, texts = [], []
    for row in genres:
        own = np.flatnonzero(row)
        own = own[np.argsort(-row[own], kind="stable")]
        own_tags = [tag for genre in own for tag in tags[genre]]
        chosen = [
            str(rng.choice(own_tags if rng.random() < 0.85 else every_tag)) for _ in range(rng.integers(3, 7))
        ]
        categories.append([names[genre] for genre in own])
        texts.append(", ".join(dict.fromkeys([*categories[-1], *chosen])))
    return pl.DataFrame(
        {
            "raw_id": [str(item) for item in range(len(genres))],
            "title": _titles(rng, len(genres), vocabulary.nouns),
            "text": texts,
            "categories": pl.Series(categories, dtype=pl.List(pl.String)),
        }
    )


def _titles(rng: np.random.Generator, count: int, nouns: tuple[str, ...]) -> list[str]:
    """Two words each; numbered when the pairs run out, so that titles are unique."""
    pairs = len(ADJECTIVES) * len(nouns)
    order = rng.permutation(pairs)
    titles = []
    for number in range(count):
        adjective, noun = divmod(int(order[number % pairs]), len(nouns))
        suffix = f" {number // pairs + 1}" if number >= pairs else ""
        titles.append(f"{ADJECTIVES[adjective]} {nouns[noun]}{suffix}")
    return titles


def _unit_rows(matrix: Float[np.ndarray, "N G"]) -> Float[np.ndarray, "N G"]:
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


def _standardise(matrix: Matrix) -> Matrix:
    return (matrix - matrix.mean()) / matrix.std()
