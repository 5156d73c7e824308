"""The preference room: candidates and prompts go to a judge; a table comes back and is completed.

Host only, except `reward_model`, which is the one module here that imports jax.
"""
