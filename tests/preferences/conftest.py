"""A small world whose users like one genre each, so that text tells taste."""

import threading
from collections.abc import Callable, Iterator

import numpy as np
import polars as pl
import pytest
from fake_chat_server import Server

from ialp_jax.data.dataset import Dataset

GENRES = ("strategy", "racing", "puzzle")


def _make_dataset(
    num_users: int = 24, num_items: int = 30, seed: int = 0, online_seed: int = 0, with_text: bool = True
) -> Dataset:
    genre = [GENRES[item % len(GENRES)] for item in range(num_items)]
    split = ["offline" if user < num_users * 2 // 3 else "online" for user in range(num_users)]
    rows = []
    for user in range(num_users):
        rng = np.random.default_rng((seed if split[user] == "offline" else online_seed, user))
        own = np.flatnonzero(np.arange(num_items) % len(GENRES) == user % len(GENRES))
        likely = np.where(np.isin(np.arange(num_items), own), 8.0, 1.0)
        met = rng.choice(num_items, size=8, replace=False, p=likely / likely.sum())
        for position, item in enumerate(met):
            grade = 0.9 if item in own else 0.2
            rows.append((user, int(item), grade, grade, position, "history" if position >= 4 else "held_out"))
    schema = {"user": pl.Int32, "item": pl.Int32, "value": pl.Float64, "grade": pl.Float32,
              "position": pl.Int32, "part": pl.String}  # fmt: skip
    return Dataset(
        name="small", source="synthetic", domain="games", feedback="implicit",
        users=pl.DataFrame({"user": range(num_users), "raw_id": [f"u{user}" for user in range(num_users)],
                            "split": split}, schema_overrides={"user": pl.Int32}),
        items=pl.DataFrame({"item": range(num_items), "raw_id": [f"i{item}" for item in range(num_items)],
                            "title": [f"Title{item}" for item in range(num_items)],
                            "text": [name if with_text else "" for name in genre],
                            "categories": [[name] if with_text else [] for name in genre]},
                           schema_overrides={"item": pl.Int32, "categories": pl.List(pl.String)}),
        interactions=pl.DataFrame(rows, schema=schema, orient="row"),
        known_ratings=None, rating_range=(0.0, 1.0), statements=("made for a test",),
    )  # fmt: skip


@pytest.fixture
def make_dataset() -> Callable[..., Dataset]:
    """Builds the small world; `online_seed` changes the online users' interactions alone."""
    return _make_dataset


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A fresh chat server that answers by the known function."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()
