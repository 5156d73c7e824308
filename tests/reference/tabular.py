"""M4: a small MDP as arrays, four states (the last absorbs and pays nothing) and three actions, starting in state 0."""

import numpy as np

DISCOUNT = 0.9
TRANSITIONS = np.array([  # [state, action, next state]
    [[0, 0.8, 0.2, 0], [0, 0.2, 0.8, 0], [0, 0, 0, 1]],
    [[0.5, 0, 0, 0.5], [0, 0, 1, 0], [0, 0, 0, 1]],
    [[0, 0.5, 0, 0.5], [0, 0, 0.5, 0.5], [0, 0, 0, 1]],
    [[0, 0, 0, 1]] * 3,
])  # fmt: skip
REWARDS = np.array([[0, 0.1, 0.5], [1, 0.2, 0.6], [0.3, 0.8, 0.4], [0, 0, 0]])
BEHAVIOUR = np.array([[0.5, 0.3, 0.2], [0.2, 0.5, 0.3], [0.4, 0.2, 0.4], [1 / 3] * 3])
PRIOR = np.array([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6], [0.1, 0.8, 0.1], [1 / 3] * 3])
"""What a table of preferences makes of it as a policy."""
