"""Returns and losses: pure functions that know no method."""
