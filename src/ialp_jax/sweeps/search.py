"""Which settings are run: grids, random and quasi-random draws, and who survives successive halving. Host only.

Equal spaces give equal settings. Halving is that of Jamieson & Talwalkar (2016, arXiv 1502.07943) with the rungs of
a bracket of Hyperband (Li et al. 2018, arXiv 1603.06560): all settings get a small share of the updates, the best
1/eta of them go on to eta times as many, and so on up to all of the updates.
"""

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float
from scipy.stats import qmc

from ialp_jax.artifacts import InputError, Value
from ialp_jax.sweeps.space import Axis, Space, rung_shares

Setting = dict[str, Value]
"""Values by the dotted names of their fields, in the order of the axes."""
DRAWS_PER_SETTING = 256  # before a space is called too small to hold so many different settings


def initial_settings(space: Space) -> list[Setting]:
    """All settings of a grid, random, Sobol or halving search; no two are equal.

    A grid varies the last axis of the file fastest. Draws that repeat an earlier one (which happens where all axes
    are lists or whole numbers) are passed over, and the same sequence of draws goes on.

    Raises:
        InputError: if the axes hold fewer different settings than are asked for.
        ValueError: for an adaptive search, whose settings are not known beforehand.
    """
    search = space.search
    if search.kind == "adaptive":
        raise ValueError("an adaptive search has no settings before its first batch")
    if search.kind == "grid":
        names = [axis.name for axis in space.axes]
        combinations = itertools.product(*(axis_points(axis) for axis in space.axes))
        return [dict(zip(names, values, strict=True)) for values in combinations]
    rule = search.start if search.kind == "halving" else search.kind
    draw = _sobol(space) if rule == "sobol" else _random(space)
    return _distinct(space, draw)


def axis_points(axis: Axis) -> list[Value]:
    """The values of an axis in a grid: its list, or `points` values from `low` to `high`, both among them.

    Whole numbers are rounded; there are fewer than `points` where two of them fall together.
    """
    if axis.values:
        return list(axis.values)
    spread = np.geomspace if axis.log else np.linspace
    low, high = axis.bounds()
    points = np.clip(spread(low, high, num=axis.points or 2), low, high)  # rounding may leave a narrow range
    if axis.integer:
        return [int(value) for value in np.unique(np.rint(points))]
    return [float(value) for value in points]


def advice(space: Space) -> list[str]:
    """Sentences on a search that works but could be better chosen."""
    search, asked = space.search, space.search.settings
    sobol = search.kind == "sobol" or (search.kind == "halving" and search.start == "sobol")
    if not sobol or asked is None or asked & (asked - 1) == 0:
        return []
    below = 1 << (asked.bit_length() - 1)
    return [f"{asked} settings cut a Sobol sequence short: only powers of two ({below} or {2 * below}) "
            "cover the axes evenly."]  # fmt: skip


def rungs(space: Space, updates: int, chunk: int) -> list[tuple[int, int]]:
    """The rungs of a successive halving: (settings that run, updates each of them has had when the rung ends).

    The first rung has all settings, each further one floor(1/eta) of them; updates count from the start of the run,
    are rounded up to whole chunks, and reach `updates` in the last rung.

    Args:
        space: whose search is a halving.
        updates: of a whole run, a multiple of `chunk`.
        chunk: updates per compiled chunk.

    Raises:
        InputError: if a run has too few chunks for rungs of different length.
    """
    search = space.search
    shares = rung_shares(search)
    reached = [math.ceil(updates * share / chunk - 1e-9) * chunk for share in shares[:-1]] + [updates]
    if any(left >= right for left, right in itertools.pairwise(reached)):
        raise InputError(f"{updates // chunk} chunks of {chunk} updates cannot be cut into {len(shares)} rungs",
                         column="search.first_share", fix="use a larger share, more updates, or a smaller loop.chunk",
                         )  # fmt: skip
    return [((search.settings or 0) // search.eta**rung, total) for rung, total in enumerate(reached)]


def survivors(scores: Sequence[float], count: int) -> list[int]:
    """Indices of the `count` highest scores, ascending; of equal ones the lower index goes on, NaN only at last."""
    ranks = [(True, 0.0) if math.isnan(score) else (False, -score) for score in scores]
    order = sorted(range(len(scores)), key=lambda index: (ranks[index], index))
    return sorted(order[:count])


def from_unit(axis: Axis, position: float) -> Value:
    """The value of an axis at a position in [0, 1): every listed value, or whole number, has its equal part of it.

    By ratios, the whole number k has the part from log(k) to log(k + 1).
    """
    if axis.values:
        return axis.values[min(int(position * len(axis.values)), len(axis.values) - 1)]
    low, high = axis.bounds()
    end = high + 1.0 if axis.integer else high
    value = low * (end / low) ** position if axis.log else low + (end - low) * position
    value = min(max(value, low), high)
    return math.floor(value) if axis.integer else float(value)


def _random(space: Space) -> Callable[[int], Float[np.ndarray, "n axes"]]:
    generator = np.random.default_rng(space.search.seed)
    return lambda count: generator.random((count, len(space.axes)))


def _sobol(space: Space) -> Callable[[int], Float[np.ndarray, "n axes"]]:
    generator = np.random.default_rng(space.search.seed)
    sequence = qmc.Sobol(len(space.axes), scramble=True, seed=generator)
    return sequence.random


def _distinct(space: Space, draw: Callable[[int], Float[np.ndarray, "n axes"]]) -> list[Setting]:
    """The first `settings` different ones of a sequence of draws, whose blocks are powers of two."""
    asked = space.search.settings or 0
    found: dict[str, Setting] = {}
    block = 1 << max(0, (asked - 1).bit_length())
    drawn = 0
    while len(found) < asked and drawn < DRAWS_PER_SETTING * block:
        # Doubling keeps the total a power of two, as Sobol's sequence wants it.
        count = block if drawn == 0 else drawn
        for row in draw(count):
            setting = {
                axis.name: from_unit(axis, float(at)) for axis, at in zip(space.axes, row, strict=True)
            }
            found.setdefault(repr(setting), setting)
        drawn += count
    if len(found) < asked:
        raise InputError(f"{drawn:,} draws found only {len(found)} different settings of {asked}",
                         column="search.settings", fix=f"ask for {len(found)} or fewer, or use a grid")  # fmt: skip
    return list(found.values())[:asked]
