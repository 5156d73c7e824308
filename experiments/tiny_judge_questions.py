"""What the tiny judge is asked while it trains (`tiny_judge.py`): questions from histories, as tokens, side by side.

Of the logs, nothing but the histories of the offline users is read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl
import scipy.sparse as sp
import torch
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfTransformer
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from ialp_jax.data.dataset import Dataset, Domain, Feedback
from ialp_jax.preferences.prompting import prompts
from ialp_jax.preferences.prompting.layout import Layout

BLOCK = 32  # of the vLLM judge; prompts are padded to it
CONTEXT = 1024
LABELS = ("yes", "no")
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
# What may become one token: a line break, a remark in brackets, an attribute with its comma, a word, a number, a
# sign. The spaces between are dropped, so that a word is the same token wherever it stands.
PIECES = r"\n|\([a-z ]+\)|[^\s,.():…][^,.()\n:…]*,|[\p{L}\p{M}]+(?:['\u2019]\p{L}+)?|\p{N}+\.?|[^\s\p{L}\p{M}\p{N}]"
CHATML = """\
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}"""


@dataclass(frozen=True, eq=False)
class Histories:
    """All that is read of the logs: the catalogue, and the histories of the offline users.

    Attributes:
        items, grades: of each user's history, the most recent last.
        about: what the source says about each of them, "" if nothing.
        titles, texts: of the N items; texts are what a judge reads.
        nameless: texts without the titles.
        name, domain, feedback: of the logs.
    """

    items: list[list[int]]
    grades: list[list[float]]
    about: list[str]
    titles: list[str]
    texts: list[str]
    nameless: list[str]
    name: str
    domain: Domain
    feedback: Feedback

    @classmethod
    def of(cls, dataset: Dataset) -> Self:
        """Leaves out online users and held-out feedback before anything else happens."""
        users = dataset.users.filter(pl.col("split") == "offline")
        known = dataset.interactions.filter(pl.col("part") == "history").join(users, on="user", how="semi")
        lists = users.join(
            known.sort("user", "position").group_by("user", maintain_order=True).agg("item", "grade"),
            on="user",
        ).sort("user")
        about = lists["text"].to_list() if "text" in lists.columns else [""] * lists.height
        catalogue = dataset.items.select("title", "text").rows()
        return cls(
            lists["item"].to_list(), lists["grade"].to_list(), about, [title for title, _ in catalogue],
            [prompts.item_text(*row) for row in catalogue], [prompts.item_text("", text) for _, text in catalogue],
            dataset.name, dataset.domain, dataset.feedback,
        )  # fmt: skip

    def part(self, places: Sequence[int]) -> "Histories":
        """Some of the users."""
        kept = {
            name: [getattr(self, name)[place] for place in places] for name in ("items", "grades", "about")
        }
        return Histories(**{**vars(self), **kept})

    def popularity(self) -> np.ndarray:
        """Share of the interactions that each item has."""
        met = np.bincount([item for items in self.items for item in items], minlength=len(self.titles))
        return met / met.sum()


@dataclass(frozen=True)
class Question:
    """A state, the texts asked about, the answers, and how much each of them counts."""

    state_text: str
    texts: tuple[str, ...]
    liked: tuple[bool, ...]
    weights: tuple[float, ...]


def ask(
    users: Histories, user: int, popularity: np.ndarray, negatives: int, rng: np.random.Generator
) -> Question:
    """Leaves a random part of a user's history out (at least one item, at most half of them), and asks about it.

    Args:
        users: the histories.
        user: whose; at least two items.
        popularity: share of each item in the half of the "no" that is not uniform.
        negatives: how many "no".
        rng: draws both.
    """
    items, grades = users.items[user], users.grades[user]
    missing = rng.permutation(len(items))[: rng.integers(1, max(1, len(items) // 2) + 1)]
    told = [place for place in range(len(items)) if place not in missing]
    text = prompts.state_text(
        users.domain, users.feedback, [users.titles[items[place]] for place in told],
        [grades[place] for place in told], users.about[user],
    )  # fmt: skip
    unmet = np.setdiff1d(np.arange(popularity.size), items)
    drawn_by = 0.5 / unmet.size + 0.5 * popularity[unmet] / max(popularity[unmet].sum(), 1e-12)
    places = rng.choice(unmet.size, negatives, p=drawn_by / drawn_by.sum())
    weights = missing.size / negatives / unmet.size / drawn_by[places]
    asked = [*(items[place] for place in missing), *unmet[places]]
    return Question(
        text, tuple(users.texts[item] for item in asked),
        (True,) * missing.size + (False,) * negatives, (1.0,) * missing.size + tuple(weights.tolist()),
    )  # fmt: skip


def ask_catalogue(users: Histories, rng: np.random.Generator, told: int = 5, others: int = 10) -> Question:
    """Whether texts without a title are of the items told, which are drawn from the whole catalogue.

    No user stands behind it: it teaches what the titles stand for, and to compare.
    """
    size = len(users.titles)
    told, others = min(told, size // 2), min(others, size - size // 2)
    drawn = rng.choice(size, told + others, replace=False)
    titles, grades = [users.titles[item] for item in drawn[:told]], rng.random(told).tolist()
    text = prompts.state_text(users.domain, users.feedback, titles, grades)
    return Question(
        text, tuple(users.nameless[item] for item in drawn), (True,) * told + (False,) * others,
        (1.0,) * told + (told / others,) * others,
    )  # fmt: skip


def make_tokenizer(users: Histories, vocabulary: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE of the template's words, titles and attributes, in the ChatML format, with single-token labels."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), "removed", invert=True),
            pre_tokenizers.ByteLevel(False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=SPECIAL, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    levels = [0.0, *prompts.LEVELS]
    fixed = [
        prompts.system(users.domain), prompts.question(users.domain), "system\nuser\nassistant\nyes\nno\n",
        prompts.state_text(users.domain, users.feedback, [], []),
        prompts.state_text(users.domain, users.feedback, ["1"] * 50, [level + 0.1 for level in levels] * 10),
    ]  # fmt: skip
    # The template is in every prompt, so its words come first; a title's words come as often as titles have them.
    core.train_from_iterator([*users.texts, *fixed * 50], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=CHATML,
        model_max_length=CONTEXT,
    )  # fmt: skip


def word_vectors(users: Histories, layout: Layout, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Latent semantic analysis of the items' texts: words of like games are alike before the training begins.

    Returns:
        ids of the tokens that occur in the texts; their vectors, Float32[len(ids), size], entries of mean square 1.
    """
    tokens = [sorted(set(layout.data(text))) for text in users.texts]
    rows, columns = np.repeat(np.arange(len(tokens)), [len(some) for some in tokens]), np.concatenate(tokens)
    shape = (len(tokens), int(columns.max()) + 1)
    items = TfidfTransformer().fit_transform(sp.csr_matrix((np.ones(rows.size), (rows, columns)), shape))
    rank = min(size, min(shape) - 1)
    vectors = items.T @ TruncatedSVD(rank, random_state=seed).fit_transform(items)
    ids = np.flatnonzero(np.linalg.norm(vectors, axis=1) > 1e-9)
    found = vectors[ids] / np.linalg.norm(vectors[ids], axis=1, keepdims=True) * np.sqrt(size)
    return ids, np.pad(found, ((0, 0), (0, size - rank))).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Batch:
    """Questions side by side: B rows of T tokens, with A answers in all.

    A row is [prefix][suffix of item 1][suffix of item 2]...; every suffix sees the prefix and itself only, and
    counts its positions from the end of the prefix: to the model, as many prompts as there are items.

    Attributes:
        ids, positions: Int64[B, T].
        mask: Bool[B, 1, T, T]: what each token (row) sees.
        rows, columns: Int64[A]: where the answers are to be given.
        targets: Int64[A]: the answers' tokens.
        weights: Float32[A].
    """

    ids: torch.Tensor
    positions: torch.Tensor
    mask: torch.Tensor
    rows: torch.Tensor
    columns: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor


def pack(questions: Sequence[Question], domain: Domain, layout: Layout, labels: Sequence[int]) -> Batch:
    """Puts questions into tokens, exactly those of the vLLM judge's prompts."""
    packed, answers = [], []
    for row, question in enumerate(questions):
        prefix = layout.prefix(question.state_text, prompts.question(domain))
        parts = [prefix, *(layout.suffix(text) for text in question.texts)]
        lengths = np.array([len(part) for part in parts])
        starts = np.concatenate([[0], np.full(len(parts) - 1, len(prefix))])
        positions = np.concatenate([start + np.arange(n) for start, n in zip(starts, lengths, strict=True)])
        packed.append((np.concatenate(parts), positions, np.repeat(np.arange(len(parts)), lengths)))
        ends = np.cumsum(lengths)[1:] - 1
        targets = np.where(question.liked, labels[0], labels[1])
        answers.append((np.full(ends.size, row), ends, targets, np.array(question.weights, np.float32)))
    width = max(ids.size for ids, _, _ in packed)
    ids, positions, owner = (
        torch.from_numpy(np.stack([np.pad(each[part], (0, width - each[part].size), constant_values=fill)
                                   for each in packed]).astype(np.int64))
        for part, fill in enumerate((0, 0, -1))
    )  # fmt: skip
    seen = (owner[:, None, :] == 0) | (owner[:, None, :] == owner[:, :, None])
    mask = (seen & torch.ones(width, width, dtype=torch.bool).tril())[:, None]
    return Batch(
        ids, positions, mask, *(torch.from_numpy(np.concatenate(some)) for some in zip(*answers, strict=True))
    )
