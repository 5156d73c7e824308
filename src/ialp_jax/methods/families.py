"""Families of methods: a report shows those of one family together. A method outside this package may name its own."""

FIXED = "policies that never learn"
ACTOR_CRITIC = "actor-critics"
PREFERENCES = "iALP and its adaptations"

ORDER = (FIXED, ACTOR_CRITIC, PREFERENCES)
"""In which they are listed; others come after them."""
