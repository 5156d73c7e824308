"""Worlds as arrays: the pure simulator, its departure rules, and the table as a world."""
