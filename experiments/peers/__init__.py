"""What a user would write today, for ratios taken in the same run; see `run.py`."""
