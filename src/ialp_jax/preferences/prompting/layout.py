"""Prompts as token ids, laid out so that a prefix cache does most of the work.

    [chat format, system, user history, padding to a whole cache block, question][item, assistant header]

The first part is the same for all candidates of a state and ends at the end of a block, so that it is computed
once; the second is all that each further candidate costs. Texts from outside are cut into tokens apart from the
chat format and never become one of its special tokens, whatever they say.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import jinja2

from ialp_jax.artifacts import InputError
from ialp_jax.preferences.prompting.spellings import bare, spellings

MARK = "IALPTEXT"  # stands for the user's message while the chat format is taken apart
DATE = "01 Jan 2026"
PADDING = ("\n", " ")  # neutral texts; the first that is one token is used


class Tokenizer(Protocol):
    """What is used of a transformers tokenizer."""

    chat_template: Any

    def apply_chat_template(self, conversation: list[dict[str, str]], **options: Any) -> str:
        """The conversation in the model's chat format."""

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
        """Names of tokens in the vocabulary."""

    def __call__(self, text: str, **options: Any) -> Any:
        """Token ids, under "input_ids"."""


@dataclass(frozen=True, eq=False)
class Layout:
    """How the prompts of one model are put together.

    Attributes:
        tokenizer: of the model.
        head: token ids before the user's message: start, system message, header.
        tail: token ids after it: end of turn, header of the assistant's answer, thinking switched off.
        tail_text: the same as text.
        padding: id of the token that fills a block.
        block: tokens in a block of the cache; 1 for no padding.
    """

    tokenizer: Tokenizer
    head: tuple[int, ...]
    tail: tuple[int, ...]
    tail_text: str
    padding: int
    block: int
    _known: dict[str, list[int]] = field(default_factory=dict, repr=False)

    def prefix(self, state_text: str, question: str) -> list[int]:
        """Token ids that all candidates of a state share; a multiple of `block` long.

        The padding stands between history and question: the question must be read next to the candidate.
        """
        history, asked = self.data(state_text + "\n"), self.data(question)
        length = len(self.head) + len(history) + len(asked)
        return [*self.head, *history, *[self.padding] * (-length % self.block), *asked]

    def suffix(self, text: str) -> list[int]:
        """Token ids of one candidate (or list of candidates), up to where the answer begins."""
        if text not in self._known:
            self._known[text] = [*self.data(text), *self.tail]
        return self._known[text]

    def data(self, text: str) -> list[int]:
        """Token ids of text from outside: no special tokens, even where the text spells one."""
        return encode(self.tokenizer, text, data=True)


def encode(tokenizer: Tokenizer, text: str, *, data: bool) -> list[int]:
    """Token ids of a piece of text; with `data`, special tokens in it are read as ordinary letters."""
    return list(tokenizer(text, add_special_tokens=False, split_special_tokens=data)["input_ids"])


def make_layout(tokenizer: Tokenizer, system: str, block: int) -> Layout:
    """Takes the model's chat format apart around the user's message, with thinking switched off.

    Raises:
        InputError: if the model has no chat template, or one that changes the message.
    """
    if not tokenizer.chat_template:
        raise InputError("the model's tokenizer has no chat template", column="model",
                         fix="use an instruction-tuned model, or add a chat_template to its tokenizer")  # fmt: skip
    text = _conversation(tokenizer, system)
    parts = text.split(MARK)
    if len(parts) != 2 or system not in text:
        raise InputError("the model's chat template does not show system and user text once and unchanged",
                         column="model", fix="use another model, or mend its chat_template")  # fmt: skip
    head, tail = (tuple(encode(tokenizer, part, data=False)) for part in parts)
    padding = next(
        (ids[0] for ids in (encode(tokenizer, text, data=True) for text in PADDING) if len(ids) == 1), None
    )
    if padding is None:
        raise InputError("neither a line break nor a space is a single token of the model", column="model",
                         fix="use another model")  # fmt: skip
    return Layout(tokenizer, head, tail, parts[1], padding, block)


def _conversation(tokenizer: Tokenizer, system: str) -> str:
    """The chat format around `MARK`; the system text leads the user's where the format knows no system."""
    # Some formats tell the model today's date: a job that goes on tomorrow must ask the same.
    options = {
        "tokenize": False, "add_generation_prompt": True, "enable_thinking": False,
        "date_string": DATE, "strftime_now": lambda _: DATE,
    }  # fmt: skip
    alone = [{"role": "user", "content": f"{system}\n\n{MARK}"}]
    apart = [{"role": "system", "content": system}, {"role": "user", "content": MARK}]
    try:
        text = tokenizer.apply_chat_template(apart, **options)
    except jinja2.TemplateError:  # some refuse a system message, others drop it
        text = ""
    return text if system in text else tokenizer.apply_chat_template(alone, **options)


def label_tokens(layout: Layout, labels: Sequence[str]) -> list[list[int]]:
    """Ids of all single tokens that spell each label right after the assistant's header (`spellings`).

    Raises:
        InputError: if no spelling of a label is a single token there, or two labels are the same word.
    """
    if len({bare(label) for label in labels}) < len(labels):
        raise InputError(f"the labels {', '.join(labels)} are not distinct words", column="labels",
                         fix="choose labels that differ")  # fmt: skip
    return [_spelled(layout, label) for label in labels]


def _spelled(layout: Layout, label: str) -> list[int]:
    tokens = [token for way in spellings(label) if (token := _single_token(layout, way)) is not None]
    if not tokens:
        raise InputError(f"the label {label!r} is not a single token after the model's chat template, however it is spelled",
                         column="labels", fix="choose labels that are, such as --labels Yes No")  # fmt: skip
    return sorted(set(tokens))


def _single_token(layout: Layout, label: str) -> int | None:
    """The token that a label is right after the assistant's header; None if it is no single one there."""
    end = encode(layout.tokenizer, layout.tail_text, data=False)
    answered = encode(layout.tokenizer, layout.tail_text + label, data=False)
    return answered[-1] if len(answered) == len(end) + 1 and answered[:-1] == end else None


def label_ids(layout: Layout, labels: Sequence[str]) -> list[int]:
    """Ids of the tokens that answer with each label as it stands, right after the assistant's header.

    Raises:
        InputError: if a label is not exactly one token there, or two labels are the same one.
    """
    ids = []
    for label in labels:
        token = _single_token(layout, label)
        if token is None:
            raise InputError(f"the label {label!r} is not a single token after the model's chat template",
                             column="labels", fix="choose labels that are, such as --labels Yes No")  # fmt: skip
        ids.append(token)
    if len(set(ids)) < len(ids):
        raise InputError(f"the labels {', '.join(labels)} are not distinct tokens", column="labels",
                         fix="choose labels that differ")  # fmt: skip
    return ids


def single_labels(layout: Layout, candidates: Sequence[str], count: int) -> list[str]:
    """The first `count` of `candidates` that are single, distinct tokens where the answer begins.

    Raises:
        InputError: if there are fewer.
    """
    found: dict[int, str] = {}
    for label in candidates:
        try:
            (token,) = label_ids(layout, [label])
        except InputError:
            continue
        found.setdefault(token, label)
        if len(found) == count:
            return list(found.values())
    raise InputError(f"only {len(found)} of the letters {''.join(candidates)} are single tokens",
                     column="list_size", fix=f"lower it to {len(found)} or less")  # fmt: skip
