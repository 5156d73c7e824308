"""Worlds as arrays, the pure simulator, and how worlds are fitted, imagined and checked."""
