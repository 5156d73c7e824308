"""The host loop, checkpoints and progress, for any algorithm."""
