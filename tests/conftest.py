"""Settings of every test: strict numerics, eight host devices, the real logs where they are present."""

import gc
import os
import sys
import time
from pathlib import Path

import jax
import pytest
from hypothesis import HealthCheck, settings

from ialp_jax.methods import names
from ialp_jax.training import device, loop

# Tests compile far more than they compute: without LLVM's optimisations XLA compiles six times as fast. What a caller
# sets comes last and wins: XLA_FLAGS=--xla_cpu_max_isa=AVX2 make test.
QUICK_COMPILER = ["--xla_backend_optimization_level=0"]
if jax.__version_info__ < (0, 11):  # later ones abort: they do not know this flag
    QUICK_COMPILER.append("--xla_cpu_use_fusion_emitters=false")
GIVEN = os.environ.get("XLA_FLAGS", "").split()  # the workers of a run are given these already
os.environ["XLA_FLAGS"] = " ".join([flag for flag in QUICK_COMPILER if flag not in GIVEN] + GIVEN)

# Tracing makes millions of objects that live on: looking through them again and again took a twelfth of the time.
gc.set_threshold(100_000, 50, 100)

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)

# Where several suites share a machine even drawing two numbers can take a second.
settings.register_profile("shared machine", suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared machine")

# Twins and builders that several rooms share.
sys.path.append(str(Path(__file__).parent / "reference"))


def pytest_addoption(parser):
    """Without it everything is tried."""
    parser.addoption("--turn", help="K/N: of the tests marked in_turn those of the K-th of N parts of the methods, "
                                    "and of the methods that follow: 2/3,a2c,ppo")  # fmt: skip


def pytest_configure(config):
    if config.getoption("--turn"):
        turn_of(config.getoption("--turn"))


def pytest_collection_modifyitems(config, items):
    if config.getoption("--turn"):
        place, parts, always = turn_of(config.getoption("--turn"))
        in_turn = {name for number, name in enumerate(names()) if number % parts == place % parts} | always
        tried = [not item.get_closest_marker("in_turn") or method_of(item) in in_turn for item in items]
        config.hook.pytest_deselected(
            items=[item for item, kept in zip(items, tried, strict=True) if not kept]
        )
        items[:] = [item for item, kept in zip(items, tried, strict=True) if kept]


def turn_of(text):
    """(K, N, methods that are tried in any case)."""
    turn, *always = text.split(",")
    place, slash, parts = turn.partition("/")
    if not (slash and place.isdigit() and parts.isdigit() and int(parts)) or not set(always) <= set(names()):
        raise pytest.UsageError(f"--turn {text}: say K/N and names of methods, such as 2/3,a2c,ppo")
    return int(place), int(parts), set(always)


def method_of(item):
    """The method that a test marked in_turn tries."""
    return item.cls.method if item.cls else item.callspec.params["method"]


SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(autouse=True, scope="session")
def no_flushes():
    """Nobody pulls the plug on tests, and waiting for the disk after every file would take a good part of their time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


SECONDS_BETWEEN = 2.0  # in which a process gets some hundreds of mappings
LOOKED = [0.0]


@pytest.fixture(autouse=True, scope="module")
def room_after_a_file():
    """Lets go of what a file has compiled before a worker has so much that programs are compiled anew."""
    yield
    make_room(0.2)


@pytest.fixture(autouse=True)
def room_for_a_test():
    """The same within a file of many tests: without room to compile a process ends (`device.crowded`).

    Not between all of them: to count tens of thousands of mappings takes longer than many a test.
    """
    if time.monotonic() - LOOKED[0] > SECONDS_BETWEEN:
        make_room(0.5)
        LOOKED[0] = time.monotonic()


@pytest.fixture
def room_to_count():
    """For tests that count programs: a process that gets crowded in their middle would compile some twice."""
    make_room(0.2)


def make_room(share):
    if device.crowded(share):
        loop._compiled.cache_clear()
        jax.clear_caches()
        gc.collect()


@pytest.fixture
def batched_keys():
    """For programs with a scan over keys under vmap, whose keys JAX's check takes for used twice (0.10.2).

    For all threads, or nothing would be compiled ahead.
    """
    jax.config.update("jax_debug_key_reuse", False)
    yield
    jax.config.update("jax_debug_key_reuse", True)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real logs beside the checkout; tests that need it are skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the real logs are not here: {SHARED_DATA} does not exist")
    return SHARED_DATA
