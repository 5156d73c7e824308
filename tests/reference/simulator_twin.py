"""The simulator's rules once more, in plain Python with float64 and lists, written from the rules' text.

A session is a Python list of what was recommended, so windows are slices (EasyRL4Rec's quirk is Python's own
slicing of negative starts) and padding exists only when states are compared.
"""

import math
from dataclasses import dataclass, field

import numpy as np


@dataclass
class TwinSession:
    """One user's session: everything recommended so far and everything that entered the history."""

    user: int
    recommended: list[int] = field(default_factory=list)
    history: list[tuple[int, float]] = field(default_factory=list)
    temper: float = 0.0


@dataclass
class TwinStep:
    """What one recommendation led to."""

    reward: float
    feedback: float
    terminated: bool
    truncated: bool
    reason: str
    appended: bool
    near_miss: bool  # some rule was decided by less than float32 rounding


class SimulatorTwin:
    """`arrays` are the NumPy leaves of a world with a dense rating table; `config` is a `SimulatorConfig`."""

    def __init__(self, config, arrays):
        self.config = config
        self.world = arrays

    def start(self, user):
        known = zip(self.world["initial_items"][user], self.world["initial_feedback"][user], strict=True)
        pairs = [(int(item), float(feedback)) for item, feedback in known if item < self.num_items]
        return TwinSession(user=user, history=pairs, temper=float(self.world["patience_start"]))

    @property
    def num_items(self):
        return len(self.world["item_vectors"])

    def recent(self, recommended):
        """The items the distance and category rules look back at."""
        turn, width = len(recommended), self.config.window
        if self.config.slice_quirk:
            return recommended[turn - width : turn]
        return recommended[max(turn - width, 0) :]

    def step(self, session, item, standard_normal):
        world, low, high = self.world, float(self.world["rating_low"]), float(self.world["rating_high"])
        rating = float(world["ratings"][session.user, item]) + float(world["rating_noise"]) * standard_normal
        rating = min(max(rating, low), high)
        liking = (rating - low) / (high - low)
        temper = session.temper - world["patience_cost"] + world["patience_gain"] * liking
        temper = min(float(temper), float(world["patience_start"]))
        reason, near_miss = self.why_leave(session, item, rating, temper)
        left = reason != "none"
        capped = len(session.recommended) + 1 == self.config.turn_cap and not left
        appended = self.config.keep_rejected or liking >= self.config.rejection_threshold
        near_miss |= not self.config.keep_rejected and abs(liking - self.config.rejection_threshold) < 1e-5
        session.recommended.append(item)
        if appended:
            session.history.append((item, liking))
        session.temper = temper
        reward = 0.0 if left and not self.config.pay_on_departure else rating
        return TwinStep(reward, liking, left, capped, "turn_cap" if capped else reason, appended, near_miss)

    def why_leave(self, session, item, rating, temper):
        """First rule in force that fires, in the order of the configuration."""
        fired, near_miss = "none", False
        for rule in self.config.rules:
            leaves, margin = getattr(self, f"leave_by_{rule}")(session, item, rating, temper)
            near_miss |= margin < 1e-5
            if leaves and fired == "none":
                fired = rule
        return fired, near_miss

    def leave_by_distance(self, session, item, rating, temper):
        vectors, threshold = self.world["item_vectors"].astype(float), float(self.world["distance_threshold"])
        distances = [math.dist(vectors[item], vectors[other]) for other in self.recent(session.recommended)]
        margins = [abs(distance - threshold) for distance in distances]
        return any(distance < threshold for distance in distances), min(margins, default=math.inf)

    def leave_by_rating(self, session, item, rating, temper):
        return rating < self.world["rating_floor"], abs(rating - float(self.world["rating_floor"]))

    def leave_by_category(self, session, item, rating, temper):
        categories = self.world["item_categories"]
        for category in np.flatnonzero(categories[item]):
            seen = sum(bool(categories[other, category]) for other in self.recent(session.recommended))
            if seen > self.world["category_limit"]:
                return True, math.inf
        return False, math.inf

    def leave_by_patience(self, session, item, rating, temper):
        return temper <= 0, abs(temper)

    def observation(self, session):
        """History as the policy sees it: fixed length, most recent last, padded on the left with item N."""
        length = self.world["initial_items"].shape[1]
        shown = session.history[-length:]
        padding = length - len(shown)
        items = [self.num_items] * padding + [item for item, _ in shown]
        return np.array(items), np.array([0.0] * padding + [feedback for _, feedback in shown])

    def forbidden(self, session):
        """Set of items that may not be recommended next."""
        known = {int(item) for item in self.world["initial_items"][session.user]} - {self.num_items}
        repeats = known | set(session.recommended) if self.config.repeats == "masked" else set()
        allowed = self.world["allowed_items"][session.user]
        beyond = set(range(self.num_items)) - {int(item) for item in allowed} if len(allowed) else set()
        return repeats | beyond
