"""What a server's answers have cost so far, and the cap on it."""

from dataclasses import dataclass
from typing import Any

from ialp_jax.artifacts import InputError


@dataclass
class Spending:
    """The account of one process.

    Attributes:
        input_price: of a million prompt tokens.
        output_price: of a million answered tokens.
        most: the cap; None for none.
        spent: so far, by the two prices.
    """

    input_price: float
    output_price: float
    most: float | None
    spent: float = 0.0

    def pay(self, usage: Any) -> tuple[int, int]:
        """Adds an answer's cost; returns its prompt tokens, and those of them not known to come from a cache.

        Raises:
            InputError: if there is a cap and the server does not say what the answer cost.
        """
        if usage is None:
            if self.most is not None:
                raise InputError("the server does not say what an answer cost, so no cap can be kept",
                                 column="max_cost", fix="leave max_cost out, or use another server")  # fmt: skip
            return 0, 0
        cost = usage.prompt_tokens * self.input_price + usage.completion_tokens * self.output_price
        self.spent += cost / 1e6
        details = usage.prompt_tokens_details
        cached = (details.cached_tokens or 0) if details is not None else 0
        return usage.prompt_tokens, usage.prompt_tokens - cached

    @property
    def at_cap(self) -> bool:
        """Whether nothing more may be asked."""
        return self.most is not None and self.spent >= self.most

    def refuse_over_cap(self) -> None:
        """Raises `InputError` at the cap."""
        if self.at_cap:
            raise InputError(f"{self.spent:.6g} was spent, of at most {self.most:.6g}", column="max_cost",
                             fix="finished shards are kept: start the same job again to go on after them, with a "
                             "max_cost that covers at least one shard (every process counts from zero)")  # fmt: skip
