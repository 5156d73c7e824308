"""Compiled programs, their times in turn, the machine's rates, floors and profiles."""
