"""Sessions of many users at once: rollouts that learn, plays that measure, users shared over devices."""
