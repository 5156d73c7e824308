"""How a stream of users is served: the same for every method of a study, so that all are compared on one budget."""

from dataclasses import dataclass
from typing import Annotated

from ialp_jax.marks import Yardstick
from ialp_jax.ranges import Count
from ialp_jax.serving.ledger import StreamClock
from ialp_jax.values import checked


@dataclass(frozen=True)
@checked
class Stream:
    """Static sizes of serving."""

    users: Count = 64
    """Users served at once."""
    rollout: Count = 8
    """Turns between two updates."""
    updates: Count = 400
    """Updates in the whole run; simulator steps are users x rollout x updates."""
    pool: Count = 64
    """Users drawn per update whose sessions may open during the rollout; their histories are read once."""
    bins: Annotated[Count, Yardstick("it is how finely the curve is drawn")] = 100
    """Bins of the learning curve."""

    @property
    def steps(self) -> int:
        """Simulator steps of the whole run."""
        return self.users * self.rollout * self.updates

    def clock(self, turn_cap: int) -> StreamClock:
        """Clock of the ledger."""
        return StreamClock(self.rollout * self.updates, self.bins, turn_cap)
