import numpy as np
import pytest

from ialp_jax.artifacts import InputError
from ialp_jax.data.build import DataConfig
from ialp_jax.data.synthetic import SyntheticConfig, generate
from ialp_jax.data.words import VOCABULARIES

SMALL = SyntheticConfig(num_users=300, num_items=200)


@pytest.fixture(scope="module")
def default():
    return generate()


def test_the_default_has_the_shape_of_the_steam_logs(default):
    assert 1100 <= default.num_users <= 1300
    assert 700 <= default.num_items <= 850
    assert 18 <= default.num_interactions / default.num_users <= 22
    counts = np.sort(default.interactions["item"].value_counts()["count"].to_numpy())[::-1]
    assert counts[: len(counts) // 10].sum() / counts.sum() > 0.4  # Steam: 0.51
    hours = default.interactions["value"]
    assert hours.min() >= 0.1
    assert hours.mean() > 3 * hours.median()  # long tail


def test_it_says_that_it_is_synthetic(default):
    assert default.source == "synthetic"
    assert default.statements[0].startswith("SYNTHETIC")


def test_it_is_decided_by_its_seeds():
    world = generate(SMALL)
    assert generate(SMALL).fingerprint == world.fingerprint
    other = SyntheticConfig(num_users=300, num_items=200, seed=1)
    assert generate(other).fingerprint != world.fingerprint


def genre_affinity(dataset):
    """Per interaction: share of the user's other items that have a genre in common with the item."""
    genres = dataset.items["categories"].to_list()
    shares = np.zeros((dataset.num_items, dataset.num_items))
    for first, own in enumerate(genres):
        shares[first] = [bool(set(own) & set(other)) for other in genres]
    np.fill_diagonal(shares, 0)
    met = np.zeros((dataset.num_users, dataset.num_items))
    met[dataset.interactions["user"], dataset.interactions["item"]] = 1
    return (met @ shares) / (met.sum(1, keepdims=True) - met), met.astype(bool)


def test_genres_explain_taste_in_part():
    affinity, met = genre_affinity(generate(SMALL))
    assert affinity[met].mean() > 1.1 * affinity[~met].mean()
    flat = SyntheticConfig(num_users=300, num_items=200, choice_match=0, choice_latent=0, popularity=0)
    affinity, met = genre_affinity(generate(flat))
    assert affinity[met].mean() == pytest.approx(affinity[~met].mean(), rel=0.05)


def test_text_names_the_genres_and_titles_are_unique(default):
    assert default.items["title"].is_unique().all()
    for text, genres in default.items.select("text", "categories").iter_rows():
        assert text.split(", ")[: len(genres)] == genres
    assert default.items["categories"].list.len().is_between(1, 3).all()


@pytest.mark.parametrize("domain", sorted(VOCABULARIES))
def test_every_domain_has_its_words(domain):
    dataset = generate(SMALL, DataConfig(k_core=3), domain)
    assert dataset.domain == domain
    used = {genre for genres in dataset.items["categories"].to_list() for genre in genres}
    assert used <= set(VOCABULARIES[domain].genres)
    assert len(used) == len(VOCABULARIES[domain].genres)


def test_titles_are_numbered_when_pairs_run_out():
    config = SyntheticConfig(num_users=60, num_items=2500, mean_interactions=50)
    titles = generate(config, DataConfig(k_core=1), "generic").items["title"]
    assert titles.is_unique().all()


def test_explicit_worlds_ship_every_rating():
    config = SyntheticConfig(num_users=120, num_items=100, feedback="explicit", noise=0)
    dataset = generate(config, DataConfig(k_core=3), "clothes")
    assert set(np.unique(dataset.known_ratings)) <= {1, 2, 3, 4, 5}
    users, items = dataset.interactions["user"], dataset.interactions["item"]
    np.testing.assert_array_equal(dataset.known_ratings[users, items], dataset.interactions["value"])
    assert dataset.interactions["value"].n_unique() >= 4


def test_a_world_too_small_for_the_core_is_refused():
    with pytest.raises(InputError, match="the 5-core leaves"):
        generate(SyntheticConfig(num_users=5, num_items=5, mean_interactions=1))


@pytest.mark.parametrize(
    "change",
    [
        {"num_users": 1},
        {"num_items": 1},
        {"mean_interactions": 0.5},
        {"num_factors": 0},
        {"noise": -1},
        {"seed": -1},
    ],
)
def test_impossible_worlds_are_refused(change):
    with pytest.raises(InputError, match=next(iter(change))):
        SyntheticConfig(**change)


@pytest.mark.parametrize(("weights", "related"), [({"value_latent": 0}, True), ({"value_match": 0}, False)])
def test_liking_follows_genres_where_the_weights_say_so(weights, related):
    config = SyntheticConfig(num_users=200, num_items=80, feedback="explicit", value_item=0, **weights)
    dataset = generate(config, DataConfig(k_core=1))
    correlation = np.corrcoef(dataset.known_ratings, rowvar=False)
    genres = dataset.items["categories"].to_list()
    shared = np.array([[bool(set(first) & set(second)) for second in genres] for first in genres])
    shared, apart = shared & ~np.eye(len(genres), dtype=bool), ~shared
    assert (correlation[shared].mean() > correlation[apart].mean() + 0.3) == related
