"""What a server's answers have cost so far, and the cap on it."""

from dataclasses import dataclass
from typing import Any

from ialp_jax.artifacts import InputError

MOST_TOKENS = 10**8  # no prompt has more, and sums over a shard stay in an int32


def count_of(usage: Any, name: str) -> int | None:
    """A number of tokens that a server states; None where it states none, or what is no such number."""
    value = getattr(usage, name, None)
    return value if type(value) is int and 0 <= value <= MOST_TOKENS else None


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
        counts = [count_of(usage, name) for name in ("prompt_tokens", "completion_tokens")]
        if None in counts:
            if self.most is not None:
                raise InputError("the server does not say what an answer cost, so no cap can be kept",
                                 column="max_cost", fix="leave max_cost out, or use another server")  # fmt: skip
            return 0, 0
        prompt, answered = (count or 0 for count in counts)
        self.spent += (prompt * self.input_price + answered * self.output_price) / 1e6
        cached = count_of(getattr(usage, "prompt_tokens_details", None), "cached_tokens") or 0
        return prompt, prompt - min(cached, prompt)

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
