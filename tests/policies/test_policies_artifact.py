"""A saved policy recommends what the training side would, without the training side."""

import subprocess
import sys
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
from random_worlds import random_world
from tiny_runs import observations, tiny_network, tiny_params

from ialp_jax.artifacts import InputError
from ialp_jax.commands import recommend
from ialp_jax.commands.recommend import find_item
from ialp_jax.policies import artifact
from ialp_jax.policies.actor import item_distribution
from ialp_jax.policies.actor_critic import ActorCritic, Network
from ialp_jax.policies.artifact import load_policy, save_policy
from ialp_jax.worlds.simulator import Simulator, SimulatorConfig

ITEMS, HISTORY = 14, 4


def save(folder, scale=1.0, titles=None, **config):
    """A policy saved in a folder, its parameters times `scale`: the folder, its network and its parameters."""
    network = tiny_network(ITEMS)
    network = Network(ActorCritic(ITEMS, replace(network.module.config, **config)))
    params = jax.tree.map(lambda leaf: leaf * scale, tiny_params(network, HISTORY))
    catalogue = pl.DataFrame({
        "item": pl.Series(range(ITEMS), dtype=pl.Int32), "raw_id": [f"id{i}" for i in range(ITEMS)],
        "title": titles or [f"Title {i}" for i in range(ITEMS)], "text": [""] * ITEMS,
    })  # fmt: skip
    save_policy(folder, params, network.module.config, catalogue, HISTORY, ["Said once."])
    return folder, network, params


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Folder of a saved policy, its network and its parameters."""
    return save(tmp_path_factory.mktemp("artifact") / "policy")


@pytest.mark.parametrize("matmul", ["float32", "bfloat16"])
def test_a_loaded_policy_recommends_the_training_sides_distribution(matmul, tmp_path):
    folder, network, params = save(tmp_path / "policy", matmul=matmul)
    policy = load_policy(folder)
    world, simulator = random_world(), Simulator(SimulatorConfig(turn_cap=3))
    user = int(np.argmax((world.initial_items < ITEMS).sum(axis=1)))
    _, timestep = jax.tree.map(lambda leaf: leaf[None], simulator.start(jnp.int32(user), world))
    recall = jax.jit(network.begin)(params, timestep.observation)
    expected = item_distribution(network, params, recall, timestep)
    known = world.initial_items[user] < ITEMS
    history = world.initial_items[user][known].tolist()
    found = policy.recommend(history, world.initial_feedback[user][known].tolist(), k=ITEMS - len(history))
    assert [one.item for one in found] == expected.top_k(ITEMS)[0, : len(found)].tolist()
    exact = jnp.exp(expected.log_prob(jnp.array([[one.item] for one in found])))[:, 0]
    np.testing.assert_allclose([one.probability for one in found], exact, rtol=1e-5)
    assert sum(one.probability for one in found) == pytest.approx(1.0, abs=1e-5)
    assert found[0].raw_id == f"id{found[0].item}" and found[0].title == f"Title {found[0].item}"
    assert policy.statements == ["Said once."]


def test_only_the_latest_items_are_read_but_none_is_recommended_again(saved):
    folder, network, params = saved
    policy = load_policy(folder)
    found = policy.recommend([9, 8, 1, 2, 3, 4], k=8)
    assert not {one.item for one in found} & {9, 8, 1, 2, 3, 4}
    read = observations([[1, 2, 3, 4]], np.ones((1, 4)))
    query = jax.jit(lambda p: network.query(p, network.begin(p, read).features))(params)
    logits = np.array(query @ params["items"].T + params["bias"][None])[0]
    logits[[9, 8, 1, 2, 3, 4]] = -np.inf
    assert [one.item for one in found] == np.argsort(-logits)[:8].tolist()


def test_a_user_without_history_gets_recommendations(saved):
    assert len(load_policy(saved[0]).recommend([], k=3)) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([14],), "item 14 is not in the catalogue"),
        (([-1],), "item -1 is not in the catalogue"),
        (([1, 2], [1.0]), "one number from 0 to 1 per item"),
        (([1], [1.5]), "one number from 0 to 1 per item"),
        (([1], [float("nan")]), "one number from 0 to 1 per item"),
        (([1], None, 14), "14 items cannot be recommended"),
        (([1], None, 0), "0 items cannot be recommended"),
        (([1.0],), "item 1.0 is not in the catalogue"),
        (([True],), "item True is not in the catalogue"),
        (([1], ["much"]), "one number from 0 to 1 per item"),
        (([1], None, 2.5), "2.5 items cannot be recommended"),
        ((range(ITEMS), None, 1), "the history holds every item of the catalogue"),
    ],
)
def test_what_cannot_be_asked_is_refused(saved, arguments, message):
    with pytest.raises(InputError, match=message):
        load_policy(saved[0]).recommend(*arguments)


def test_items_are_found_by_title_or_id(saved):
    policy = load_policy(saved[0])
    assert find_item(policy, "title 7") == find_item(policy, "id7") == 7
    with pytest.raises(InputError, match=r"did you mean Title 1, Title 10, Title 11\?"):
        find_item(policy, "itle 1")
    with pytest.raises(InputError, match="give a title of the catalogue"):
        find_item(policy, "nothing like it")


def batch(**changes):
    """Arguments of `log_probabilities` for two users; some of them changed."""
    given = {"items": np.array([[14, 14, 1, 2], [14, 3, 4, 5]]), "feedback": np.full((2, 4), 0.5),
             "excluded": np.array([[1, 2, 14], [3, 4, 5]])} | changes  # fmt: skip
    return given["items"], given["feedback"], given["excluded"]


def rows(*lists, dtype=int):
    return np.array(lists, dtype)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"items": rows([-1, -1, 1, 2], [14, 3, 4, 5])}, r"item -1 of row 0 is not in the catalogue.*14 where there is none"),
        ({"items": rows([14, 14, 1, 2], [14, 3, 4, 15])}, "item 15 of row 1 is not in the catalogue"),
        ({"items": rows([14, 14, 1, 2], [14, 3, 4, 5], dtype=float)}, "expected rows of whole numbers"),
        ({"items": rows([14, 14, 1, 2])[0]}, "expected rows of whole numbers"),
        ({"items": rows([14, 1, 2, 14], [14, 3, 4, 5])}, "filled after an item of its own"),
        ({"items": rows([1, 2], [3, 4])}, "expected 4 items and as much feedback"),
        ({"feedback": np.full((2, 4), np.nan)}, "feedback must be a number from 0 to 1"),
        ({"feedback": np.full((2, 4), 1.5)}, "feedback must be a number from 0 to 1"),
        ({"excluded": rows([-1], [3])}, "item -1 of row 0 is not in the catalogue"),
        ({"excluded": rows([1])}, "expected 4 items and as much feedback"),
        ({"excluded": rows([14] * ITEMS, range(ITEMS))}, "row 1 excludes every item"),
    ],
)  # fmt: skip
def test_what_would_be_answered_as_something_else_is_refused(saved, changes, message):
    with pytest.raises(InputError, match=message):
        load_policy(saved[0]).log_probabilities(*batch(**changes))


def test_excluded_items_have_no_probability_and_what_stands_where_nothing_is_is_not_read(saved):
    policy = load_policy(saved[0])
    items, feedback, excluded = batch()
    log_probs = policy.log_probabilities(items, feedback, excluded)
    assert np.isneginf(log_probs).sum() == 5 and np.isneginf(log_probs[0, [1, 2]]).all()
    np.testing.assert_allclose(np.exp(log_probs).sum(axis=1), 1.0)
    np.testing.assert_array_equal(policy.probabilities(items, feedback, excluded), np.exp(log_probs))
    noise = np.where(items == ITEMS, np.nan, feedback)
    np.testing.assert_array_equal(policy.log_probabilities(items, noise, excluded), log_probs)


def test_a_sharp_policy_is_ranked_by_its_scores_and_not_by_probabilities_that_are_all_0(tmp_path):
    folder, network, params = save(tmp_path / "policy", scale=40.0)
    history = [9, 8, 1]
    found = load_policy(folder).recommend(history, k=ITEMS - 3)
    assert sum(one.probability == 0.0 for one in found) > 3  # no order among them is left in probabilities
    read = observations([[ITEMS, *history]], [[0.0, 1.0, 1.0, 1.0]])
    query = jax.jit(lambda p: network.query(p, network.begin(p, read).features))(params)
    logits = np.array(query @ params["items"].T + params["bias"][None])[0]
    logits[history] = -np.inf
    assert [one.item for one in found] == np.argsort(-logits, kind="stable")[: ITEMS - 3].tolist()


def test_a_policy_that_diverged_is_neither_saved_nor_loaded(saved, tmp_path, monkeypatch):
    for value in (np.nan, np.inf, 1e30):
        with pytest.raises(InputError, match=r"column bias: the policy diverged"):
            save_broken(saved, tmp_path / "new", value)
    assert not (tmp_path / "new").exists()
    monkeypatch.setattr(artifact, "first_broken", lambda arrays: None)
    save_broken(saved, tmp_path / "old", np.nan)
    monkeypatch.undo()
    with pytest.raises(InputError, match=r"params.npz, column bias: the policy diverged"):
        load_policy(tmp_path / "old")


def save_broken(saved, folder, value):
    """The policy with one such number among its parameters."""
    folder_of, network, params = saved
    items = pl.read_parquet(folder_of / "items.parquet")
    broken = params | {"bias": params["bias"].at[3].set(value)}
    save_policy(folder, broken, network.module.config, items, HISTORY, [])


AMBIGUOUS = [*(f"Title {i}" for i in range(8)), "id2", "Same", "Same", "same", "[red]Odd[/red]", "[/]"]


@pytest.fixture(scope="module")
def ambiguous(tmp_path_factory):
    """Folder of a policy with a title that is another item's id, equal titles, and titles that look like markup."""
    return save(tmp_path_factory.mktemp("ambiguous") / "policy", titles=AMBIGUOUS)[0]


@pytest.mark.parametrize(
    ("name", "item"), [("id:id2", 2), ("title:id2", 8), ("id2", None), ("Same", None), ("same", 11), ("SAME", None),
                       ("id:id9", 9), ("title:title 3", 3), ("id:id99", None)],
)  # fmt: skip
def test_a_name_that_could_be_several_items_is_asked_about(ambiguous, name, item):
    policy = load_policy(ambiguous)
    if item is not None:
        assert find_item(policy, name) == item
        return
    with pytest.raises(InputError) as caught:
        find_item(policy, name)
    said = {
        "id2": "could be 2 items: Title 2 (id id2); id2 (id id8). Fix: write id: and the id of the one you mean, such as id:id2",
        "Same": "could be 2 items: Same (id id9); Same (id id10)",
        "SAME": "could be 3 items: Same (id id9); Same (id id10); same (id id11)",
        "id:id99": "no item is called 'id:id99'",
    }
    assert said[name] in str(caught.value)


def test_the_command_says_what_it_understood_and_prints_titles_as_they_are(ambiguous, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "100")
    recommend.run([str(ambiguous), "--history", "[/]", "title:id2", "--k", "12"])
    printed = capsys.readouterr().out
    assert "history: [/] (id id13); id2 (id id8)" in printed and "[red]Odd[/red]" in printed


def test_missing_and_altered_files_are_refused(saved, tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        load_policy(tmp_path / "nowhere")
    folder = tmp_path / "policy"
    folder.mkdir()
    for path in saved[0].iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "params.npz").write_bytes(b"other")
    with pytest.raises(InputError, match=r"params.npz.*altered"):
        load_policy(folder)


def test_a_fresh_process_recommends_without_the_trainer(saved):
    program = (
        "import sys; from pathlib import Path; from ialp_jax.policies.artifact import load_policy\n"
        "print([one.item for one in load_policy(Path(sys.argv[1])).recommend([1, 2], k=3)])\n"
        "loaded = [name for name in sys.modules if name.startswith(('ialp_jax.training', 'orbax', 'optax',"
        " 'ialp_jax.methods', 'ialp_jax.study'))]\n"
        "assert not loaded, loaded"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, saved[0]], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    here = [one.item for one in load_policy(saved[0]).recommend([1, 2], k=3)]
    assert done.stdout.strip() == str(here)


def test_a_policy_of_another_network_is_refused(saved, tmp_path):
    _, network, params = saved
    other = {**params, "encoder": {"cell": params["encoder"]["from_hidden"]}}
    catalogue = pl.read_parquet(saved[0] / "items.parquet").with_columns(text=pl.lit(""))
    save_policy(tmp_path / "policy", other, network.module.config, catalogue, HISTORY, [])
    with pytest.raises(InputError, match=r"this version's network.*train the policy again"):
        load_policy(tmp_path / "policy")
