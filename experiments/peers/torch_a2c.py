"""A2C in PyTorch over a vector environment: what a user would write today, in the three usual styles.

replay   the rollout runs without gradients; the loss encodes all histories and runs the head again, in one batch
         (Stable-Baselines3, tianshou)
kept     the rollout keeps its graph and the loss uses it; nothing is run twice, but every turn encodes a history
carried  as kept, and the GRU's state is carried: a turn costs one cell, as in ours
"""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch

from peers.numpy_env import Outcome
from peers.torch_network import SAMPLERS, ActorCritic
from peers.world import PeerWorld


class VectorEnv(Protocol):
    """`NumpyEnv`, `TunedEnv` or `GymVector`."""

    world: PeerWorld
    users: int

    def observation(self) -> tuple[np.ndarray, np.ndarray]: ...

    def excluded(self) -> np.ndarray: ...

    def step(self, actions: np.ndarray) -> Outcome: ...


@dataclass(frozen=True)
class A2CConfig:
    """Shapes and hyperparameters; the latter as `ActorCriticHyper`."""

    rollout: int = 16
    embedding: int = 32
    hidden: int = 64
    style: Literal["replay", "kept", "carried"] = "replay"
    sampler: Literal["categorical", "gumbel", "cdf"] = "gumbel"
    learning_rate: float = 2e-3
    discount: float = 0.95
    trace: float = 0.9
    entropy: float = 0.01
    value_weight: float = 0.5
    gradient_norm: float = 1.0


@dataclass
class Decisions:
    """Scores of the rollout's decisions, one row each."""

    log_prob: torch.Tensor
    entropy: torch.Tensor
    value: torch.Tensor


class A2C:
    """The learner: `update` serves `rollout` turns to every user and takes one step of Adam."""

    def __init__(self, env: VectorEnv, config: A2CConfig, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.env, self.config = env, config
        self.network = ActorCritic(env.world.num_items, config.embedding, config.hidden)
        self.optimiser = torch.optim.Adam(self.network.parameters(), config.learning_rate, eps=1e-5)
        self._hidden = self._encode(env.observation()) if config.style == "carried" else None

    def update(self) -> float:
        """One update; returns the mean raw reward of its rollout."""
        config, turns = self.config, []
        if self._hidden is not None:
            self._hidden = self._hidden.detach()
        with torch.set_grad_enabled(config.style != "replay"):
            for _ in range(config.rollout):
                turns.append(self._turn())
        outcomes = [turn["outcome"] for turn in turns]
        decisions = self._replayed(turns) if config.style == "replay" else self._kept(turns)
        rewards = torch.from_numpy(np.stack([outcome.reward for outcome in outcomes]))
        targets = self._advantages(outcomes, rewards, decisions.value.detach().view(rewards.shape))
        self._learn(decisions, targets.view(-1))
        return float(rewards.mean())

    def _turn(self) -> dict:
        """Recommends one item to every user."""
        items, feedback = seen = self.env.observation()
        excluded = torch.from_numpy(self._excluded())
        features = self._encode(seen) if self._hidden is None else self._hidden
        log_probs = self.network.log_probs(features, excluded)
        actions = SAMPLERS[self.config.sampler](log_probs.detach())
        turn = {"actions": actions, "items": items, "feedback": feedback, "excluded": excluded}
        if self.config.style != "replay":
            turn["decisions"] = self._scores(features, log_probs, actions)
        outcome = turn["outcome"] = self.env.step(actions.numpy())
        if self._hidden is not None:
            self._carry(actions, outcome)
        return turn

    def _carry(self, actions: torch.Tensor, outcome: Outcome) -> None:
        """Advances the GRU's state; sessions that opened start from their known history."""
        feedback = torch.from_numpy(outcome.feedback.astype(np.float32))
        hidden = self.network.advance(self._hidden, actions, feedback)
        if len(outcome.ended):
            items, feedbacks = self.env.observation()
            opened = self._encode((items[outcome.ended], feedbacks[outcome.ended]))
            hidden = hidden.index_copy(0, torch.from_numpy(outcome.ended), opened)
        self._hidden = hidden

    def _excluded(self) -> np.ndarray:
        """Excluded items and the padding item [B, E + 1]."""
        padding = np.full((self.env.users, 1), self.env.world.num_items)
        return np.concatenate([self.env.excluded(), padding], axis=1)

    def _encode(self, seen: tuple[np.ndarray, np.ndarray]) -> torch.Tensor:
        items, feedback = seen
        return self.network.encode(torch.from_numpy(items), torch.from_numpy(np.ascontiguousarray(feedback)))

    def _scores(self, features: torch.Tensor, log_probs: torch.Tensor, actions: torch.Tensor) -> Decisions:
        entropy = -(log_probs.exp() * log_probs).sum(dim=1)
        return Decisions(log_probs.gather(1, actions[:, None])[:, 0], entropy, self.network.value(features))

    def _replayed(self, turns: list[dict]) -> Decisions:
        """Scores of all decisions from one batch."""
        features = self._encode(
            tuple(np.concatenate([turn[name] for turn in turns]) for name in ("items", "feedback"))
        )
        log_probs = self.network.log_probs(features, torch.cat([turn["excluded"] for turn in turns]))
        return self._scores(features, log_probs, torch.cat([turn["actions"] for turn in turns]))

    def _kept(self, turns: list[dict]) -> Decisions:
        """Scores of all decisions, as the rollout found them."""
        kept = [turn["decisions"] for turn in turns]
        return Decisions(
            torch.cat([one.log_prob for one in kept]),
            torch.cat([one.entropy for one in kept]),
            torch.cat([one.value for one in kept]),
        )

    @torch.no_grad()
    def _advantages(
        self, outcomes: list[Outcome], rewards: torch.Tensor, values: torch.Tensor
    ) -> torch.Tensor:
        """GAE; a session cut by the turn cap is bootstrapped from its own last history."""
        config = self.config
        last = self._encode(self.env.observation()) if self._hidden is None else self._hidden
        following = torch.cat([values[1:], self.network.value(last)[None]])
        for later, outcome in zip(following, outcomes, strict=True):
            capped = outcome.truncated[outcome.ended]
            if capped.any():
                rows = torch.from_numpy(outcome.ended[capped])
                later[rows] = self.network.value(self._encode(tuple(part[capped] for part in outcome.final)))
        terminated = torch.from_numpy(np.stack([outcome.terminated for outcome in outcomes]))
        done = terminated | torch.from_numpy(np.stack([outcome.truncated for outcome in outcomes]))
        scaled = rewards / self.env.world.rating_high
        errors = scaled + config.discount * following.masked_fill(terminated, 0.0) - values
        decay = config.discount * config.trace * (~done).float()
        advantages = torch.empty_like(errors)
        correction = torch.zeros_like(errors[0])
        for turn in reversed(range(len(errors))):
            advantages[turn] = correction = errors[turn] + decay[turn] * correction
        return advantages

    def _learn(self, decisions: Decisions, advantages: torch.Tensor) -> None:
        """One step of Adam."""
        config = self.config
        targets = decisions.value.detach() + advantages
        scaled = advantages / (advantages.std() + 1e-6)
        loss = -(scaled * decisions.log_prob).mean() - config.entropy * decisions.entropy.mean()
        loss = loss + config.value_weight * 0.5 * (decisions.value - targets).square().mean()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), config.gradient_norm)
        self.optimiser.step()
