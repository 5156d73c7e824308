"""Whatever lies in a policy's folder: it is that policy, or one error of input; no traceback, no pickle."""

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_policies_artifact import ITEMS, save

from ialp_jax.artifacts import MANIFEST_NAME, InputError, fingerprint, hash_file
from ialp_jax.policies.artifact import KIND, load_policy

FUZZED = settings(max_examples=60, deadline=None, derandomize=True,
                  suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])  # fmt: skip
FILES = ("manifest.json", "params.npz", "items.parquet")
NUMBERS = st.one_of(st.integers(-2, 10**30), st.floats(), st.booleans())
VALUES = st.recursive(
    st.one_of(st.none(), NUMBERS, st.text(max_size=4)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=4,
)  # fmt: skip


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return save(tmp_path_factory.mktemp("fuzzed") / "policy")[0]


@pytest.fixture(scope="module")
def answer(original):
    return answer_of(original)


def answer_of(folder):
    """What a policy says to one user: items, and their probabilities."""
    policy = load_policy(folder)
    return [
        (choice.item, choice.title, choice.probability) for choice in policy.recommend([1, 2], k=5)
    ], policy.statements


def sealed(folder, **changes):
    """Writes a manifest that fits the files as they lie there, with some fields changed: as another program would."""
    path = folder / MANIFEST_NAME
    record = json.loads(path.read_text(encoding="utf-8"))
    record["files"] = {name: hash_file(folder / name) for name in FILES[1:] if (folder / name).is_file()}
    record |= {"seal": ""} | changes
    record["fingerprint"] = fingerprint(KIND, 1, record["config"], record["parents"])
    path.write_text(json.dumps(record), encoding="utf-8")
    return record


def refused_or_same(folder, answer):
    """Whether it was refused; what was not says what it said before."""
    try:
        found = answer_of(folder)
    except InputError as error:
        assert error.fix
        return True
    assert found == answer
    return False


@pytest.fixture
def copy(original, tmp_path):
    """Makes a fresh copy for each example."""

    def made():
        shutil.rmtree(tmp_path / "policy", ignore_errors=True)
        return Path(shutil.copytree(original, tmp_path / "policy"))

    return made


@FUZZED
@given(
    name=st.sampled_from(FILES),
    place=st.floats(0, 1, exclude_max=True),
    bit=st.integers(0, 7),
    until=st.booleans(),
)
def test_a_flipped_bit_or_a_file_cut_short(copy, answer, name, place, bit, until):
    folder = copy()
    content = bytearray((folder / name).read_bytes())
    at = int(place * len(content))
    content[at] ^= 1 << bit
    (folder / name).write_bytes(content[:at] if until else content)
    # Versions and dates are only read out.
    assert refused_or_same(folder, answer) or name == MANIFEST_NAME


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("becomes", [None, b"", b"[" * 100_000, "folder"])
def test_a_file_that_is_missing_or_another(copy, answer, name, becomes):
    folder = copy()
    (folder / name).unlink()
    if becomes == "folder":
        (folder / name).mkdir()
    elif becomes is not None:
        (folder / name).write_bytes(becomes)
    assert refused_or_same(folder, answer)
    if name != MANIFEST_NAME and becomes != "folder":
        sealed(folder)
        assert refused_or_same(folder, answer)


FIELDS = ("kind", "config", "parents", "statements", "files", "versions", "schema", "unknown")


@FUZZED
@given(name=st.sampled_from(FIELDS), value=VALUES)
def test_any_field_of_the_manifest(original, copy, name, value):
    folder = copy()
    path = folder / MANIFEST_NAME
    record = json.loads(path.read_text(encoding="utf-8")) | {name: value}
    record["fingerprint"] = fingerprint(KIND, 1, record["config"], record["parents"])
    path.write_text(json.dumps(record), encoding="utf-8")
    try:
        policy = load_policy(folder)
    except InputError:
        return
    assert (
        all(isinstance(sentence, str) for sentence in policy.statements)
        and len(policy.recommend([], k=2)) == 2
    )


SIZES = (
    "encoder",
    "embedding",
    "hidden",
    "session_slots",
    "item_start",
    "sharpness",
    "head",
    "matmul",
    "block_rows",
    "odd",
)


@FUZZED
@given(name=st.sampled_from((*SIZES, "history_length")), value=st.one_of(VALUES, st.integers(1, 9)))
def test_any_setting_of_the_network(original, copy, name, value):
    folder = copy()
    config = json.loads((folder / MANIFEST_NAME).read_text(encoding="utf-8"))["config"]
    place = config if name == "history_length" else config["policy"]
    place[name] = value
    sealed(folder, config=config)
    try:
        policy = load_policy(folder)
    except InputError:
        return
    assert len(policy.recommend([1], k=3)) == 3  # settings that leave the arrays as they are


TYPES = st.sampled_from(["f8", "f2", "i4", "u1", "c8", "?", "U3", "S2", "M8[s]", "V4"])


@FUZZED
@given(data=st.data())
def test_any_arrays(original, copy, data):
    folder = copy()
    with np.load(folder / "params.npz") as stored:
        arrays = {name: stored[name] for name in stored.files}
    name = data.draw(st.sampled_from(sorted(arrays)))
    kind = data.draw(st.sampled_from(["type", "shape", "missing", "renamed", "more", "nan"]))
    array = arrays.pop(name)
    if kind == "type":
        arrays[name] = np.zeros(array.shape, data.draw(TYPES))
    elif kind == "shape":
        arrays[name] = np.zeros(data.draw(st.lists(st.integers(0, 3), max_size=4)), array.dtype)
    elif kind == "renamed":
        arrays[data.draw(st.sampled_from([f"{name}/x", "", "/", "a\nb", name.upper() + "x"]))] = array
    elif kind == "more":
        arrays |= {name: array, data.draw(st.sampled_from(["more", f"{name}/x"])): array}
    elif kind == "nan":
        arrays[name] = np.full_like(array, data.draw(st.sampled_from([np.nan, np.inf, 1e30])))
    np.savez(folder / "params.npz", **arrays)
    sealed(folder)
    with pytest.raises(InputError):
        load_policy(folder)


def test_arrays_are_not_unpickled(copy, answer):
    folder = copy()
    np.savez(folder / "params.npz", items=np.array([print], dtype=object))
    sealed(folder)
    with pytest.raises(InputError, match="allow_pickle"):
        load_policy(folder)


GOOD = {"item": pl.Series(range(ITEMS), dtype=pl.Int32), "raw_id": [f"id{i}" for i in range(ITEMS)],
        "title": [f"Title {i}" for i in range(ITEMS)]}  # fmt: skip


@pytest.mark.parametrize(
    "columns",
    [
        {name: values for name, values in GOOD.items() if name != "title"},
        GOOD | {"title": range(ITEMS)},
        GOOD | {"title": [None] * ITEMS},
        GOOD | {"title": [*GOOD["title"][:-1], None]},
        GOOD | {"item": range(ITEMS)},
        GOOD | {"item": pl.Series([*range(1, ITEMS), 0], dtype=pl.Int32)},
        GOOD | {"raw_id": [["nested"]] * ITEMS},
        {name: values[:0] for name, values in GOOD.items()},
        {name: values[: ITEMS - 1] for name, values in GOOD.items()},
    ],
)
def test_another_catalogue(copy, columns):
    folder = copy()
    pl.DataFrame(columns, strict=False).write_parquet(folder / "items.parquet")
    sealed(folder)
    with pytest.raises(InputError):
        load_policy(folder)
