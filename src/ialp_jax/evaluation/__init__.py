"""Rollouts with finished policies, metrics and intervals."""
