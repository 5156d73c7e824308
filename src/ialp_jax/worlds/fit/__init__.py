"""From logs to the users' world: factorisation, grades, thresholds, and how well it fits. Host only."""
