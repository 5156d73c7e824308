"""The preference room: candidates and prompts go to a judge; a table comes back and is completed.

Judges run in environments without jax, so only `completion/reward_model.py` imports it; who needs that module imports it
where it is used.
"""
