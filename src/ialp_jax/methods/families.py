"""Families of methods: a report shows those of one family together. A method outside this package may name its own."""

FIXED = "policies that never learn"
RECOMMENDERS = "recommenders without RL"
ACTOR_CRITIC = "actor-critics"
VALUE_BASED = "value-based"
OFFLINE = "learners from logs"
PREFERENCES = "iALP and its adaptations"

ORDER = (FIXED, RECOMMENDERS, ACTOR_CRITIC, VALUE_BASED, OFFLINE, PREFERENCES)
"""In which they are listed; others come after them."""
