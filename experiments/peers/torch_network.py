"""The peer's actor-critic in PyTorch, and three ways to sample from a softmax over a catalogue."""

from collections.abc import Callable

import torch
from torch import nn

MASKED = -1e30  # finite, so that 0 * log 0 is 0 in the entropy


class ActorCritic(nn.Module):
    """Shared item embeddings, a GRU over (item, feedback), a softmax over the catalogue, and V.

    Row N of the embeddings is the padding item; it takes part in the catalogue and is always excluded, so that
    padded lists of excluded items can be scattered without a branch.
    """

    def __init__(self, num_items: int, embedding: int, hidden: int) -> None:
        super().__init__()
        self.num_items = num_items
        self.items = nn.Embedding(num_items + 1, embedding, padding_idx=num_items)
        with torch.no_grad():
            self.items.weight[:num_items].normal_(0.0, embedding**-0.5)
        self.bias = nn.Parameter(torch.zeros(num_items + 1))
        self.gru = nn.GRU(embedding + 1, hidden, batch_first=True)
        self.query = nn.Linear(hidden, embedding)
        self.value_head = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def encode(self, items: torch.Tensor, feedback: torch.Tensor) -> torch.Tensor:
        """Features of whole histories [R, H]."""
        return self.gru(self._inputs(items, feedback))[1][0]

    def advance(self, hidden: torch.Tensor, item: torch.Tensor, feedback: torch.Tensor) -> torch.Tensor:
        """Features after one more interaction [R]."""
        gru = self.gru
        return torch.gru_cell(
            self._inputs(item, feedback), hidden, gru.weight_ih_l0, gru.weight_hh_l0, gru.bias_ih_l0, gru.bias_hh_l0
        )  # fmt: skip

    def log_probs(self, features: torch.Tensor, excluded: torch.Tensor) -> torch.Tensor:
        """Log-probabilities of the catalogue [R, N + 1]."""
        logits = torch.addmm(self.bias, self.query(features), self.items.weight.t())
        return torch.log_softmax(logits.scatter_(1, excluded, MASKED), dim=1)

    def value(self, features: torch.Tensor) -> torch.Tensor:
        """V [R]."""
        return self.value_head(features)[:, 0]

    def _inputs(self, items: torch.Tensor, feedback: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.items(items), feedback[..., None]], dim=-1)


def sample_categorical(log_probs: torch.Tensor) -> torch.Tensor:
    """PyTorch's own distribution."""
    return torch.distributions.Categorical(logits=log_probs, validate_args=False).sample()


def sample_gumbel(log_probs: torch.Tensor) -> torch.Tensor:
    """Argmax of p / Exponential noise, which is the Gumbel-max trick without its two logarithms."""
    return torch.argmax(log_probs.exp() / torch.empty_like(log_probs).exponential_(), dim=1)


def sample_cdf(log_probs: torch.Tensor) -> torch.Tensor:
    """Inverse of the cumulative sum: one random number per row."""
    edges = torch.cumsum(log_probs.exp(), dim=1)
    target = torch.rand(len(edges), 1) * edges[:, -1:]
    # The last edge belongs to the padding item, whose weight is 0: a target rounded up to it must not choose it.
    target = torch.minimum(target, torch.nextafter(edges[:, -1:], torch.zeros(())))
    return torch.searchsorted(edges, target, right=True)[:, 0]


SAMPLERS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "categorical": sample_categorical,
    "gumbel": sample_gumbel,
    "cdf": sample_cdf,
}
