"""Recommenders fitted to what users did, without a simulator and without reinforcement learning; they know no method."""
