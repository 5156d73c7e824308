"""Trains a tiny language model to answer the judge's template from logs, so that vLLM has something to serve.

    .venv-vllm/bin/python experiments/tiny_judge.py --data path/to/steam --out models/tiny-steam

It is no LLM: less than a million weights and a tokenizer of its own, which have read the catalogue and the
histories of the offline users, nothing else. Every table it judges says so (`ialp_model.json`).

1. Catalogue: which of these texts, titles left out, belong to the titles told? Its words begin as their latent
   semantic analysis over the items' texts.
2. Histories: of a user's history a random part is told, in order; the items left out are answered "yes", items
   that are not in the history "no". These are drawn half uniformly, half by popularity, and weighted back to
   uniform, all "no" of a user together as much as all "yes". So P(yes) is at even odds: for an item i and a state
   s it tends to p(i | s) / (p(i | s) + 1 / N), one half where the user is as likely to meet the item as the
   average item of N. It is no probability of meeting the item.

Online users and held-out feedback are left out before anything else happens. What still knows of them is what
the prompts show too: a grade is a rank among all users of an item, and the k-core counts everybody.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from sklearn.metrics import roc_auc_score
from torch.nn.functional import cross_entropy
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from ialp_jax.artifacts import atomic_path, plain, write_json
from ialp_jax.data import steam
from ialp_jax.data.build import DataConfig
from ialp_jax.data.dataset import Dataset
from ialp_jax.preferences.prompting import prompts
from ialp_jax.preferences.prompting.layout import Layout, label_ids, make_layout
from ialp_jax.preferences.prompting.model_files import NOTE
from tiny_judge_questions import (
    BLOCK,
    CONTEXT,
    LABELS,
    Batch,
    Histories,
    ask,
    ask_catalogue,
    make_tokenizer,
    pack,
    word_vectors,
)

HEAD = 32  # width of an attention head, as vLLM's kernels like it


@dataclass(frozen=True)
class Settings:
    """How the model is trained; the defaults take about four minutes of one core."""

    catalogue_steps: int = 600
    """Steps on the catalogue alone."""
    epochs: int = 10
    """Then, times every user is asked about, each time with another part of the history left out."""
    negatives: int = 20
    """Items answered "no" for each user and epoch."""
    batch: int = 16
    """States in a step."""
    learning_rate: float = 3e-3
    """Of AdamW at its highest: after a tenth of either part, before a cosine to zero."""
    weight_decay: float = 0.1
    """Of AdamW."""
    hidden: int = 64
    """Width of the model; a multiple of 32."""
    layers: int = 2
    """Depth of the model."""
    vocabulary: int = 6000
    """Most tokens."""
    check_users: int = 120
    """Offline users who are not trained on, but show after every epoch how well the others' answers carry over."""
    threads: int = 1
    """Of torch. Two are faster on two idle cores, and ten times slower where others compute there too."""
    seed: int = 0
    """Of everything drawn."""


@dataclass(frozen=True)
class TinyJudge:
    """Trains a tiny language model on the histories of steam's offline users, for `ialp prefs judge OUT vllm`."""

    data: Path
    """Folder of the steam logs."""
    out: Path
    """Folder of the model; replaced if it is there."""
    settings: tyro.conf.OmitArgPrefixes[Settings] = Settings()
    """How."""


def make_model(
    tokenizer: PreTrainedTokenizerFast, settings: Settings, ids: np.ndarray, vectors: np.ndarray
) -> Qwen3ForCausalLM:
    """A Qwen3 of random weights but for the embeddings of the tokens `ids`."""
    torch.manual_seed(settings.seed)
    config = Qwen3Config(
        vocab_size=len(tokenizer), hidden_size=settings.hidden, intermediate_size=2 * settings.hidden,
        num_hidden_layers=settings.layers, head_dim=HEAD, num_attention_heads=settings.hidden // HEAD,
        num_key_value_heads=settings.hidden // HEAD, max_position_embeddings=CONTEXT, tie_word_embeddings=False,
        bos_token_id=None, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        attn_implementation="sdpa",
        initializer_range=settings.hidden**-0.5,  # the usual 0.02 is for wide models; here little would pass through
    )  # fmt: skip
    model, scale = Qwen3ForCausalLM(config).float(), 0.3
    with torch.no_grad():
        embeddings = model.model.embed_tokens.weight.normal_(0, scale)
        embeddings[torch.from_numpy(ids)] = scale * torch.from_numpy(vectors)
    return model


def answer_logits(model: Qwen3ForCausalLM, batch: Batch) -> torch.Tensor:
    """Float32[A, V]: logits of the token after each of the batch's prompts."""
    hidden = model.model(
        input_ids=batch.ids, position_ids=batch.positions, attention_mask=batch.mask, use_cache=False
    ).last_hidden_state
    return model.lm_head(hidden[batch.rows, batch.columns])


def check(model: Qwen3ForCausalLM, batches: Sequence[Batch], labels: Sequence[int]) -> tuple[float, float]:
    """Weighted mean loss, and mean AUC over users, of questions that were not trained on."""
    losses, masses, aucs = 0.0, 0.0, []
    with torch.no_grad():
        for batch in batches:
            logits = answer_logits(model, batch)
            losses += float(cross_entropy(logits, batch.targets, reduction="none") @ batch.weights)
            masses += float(batch.weights.sum())
            score, liked = logits[:, labels[0]] - logits[:, labels[1]], batch.targets == labels[0]
            for row in batch.rows.unique():
                own = batch.rows == row
                aucs.append(roc_auc_score(liked[own], score[own]))
    return losses / masses, float(np.mean(aucs))


@dataclass(frozen=True, eq=False)
class Course:
    """The questions of a training."""

    users: Histories
    checked: Histories
    layout: Layout
    labels: list[int]
    settings: Settings
    rng: np.random.Generator

    @classmethod
    def of(cls, users: Histories, tokenizer: PreTrainedTokenizerFast, settings: Settings) -> "Course":
        """Keeps the users who are only checked apart."""
        rng = np.random.default_rng(settings.seed)
        layout = make_layout(tokenizer, prompts.system(users.domain), BLOCK)  # type: ignore[arg-type]
        order = rng.permutation([user for user, items in enumerate(users.items) if len(items) > 1]).tolist()
        apart = settings.check_users
        return cls(
            users.part(order[apart:]),
            users.part(order[:apart]),
            layout,
            label_ids(layout, LABELS),
            settings,
            rng,
        )

    def catalogue(self) -> Iterator[Batch]:
        """The first part."""
        for _ in range(self.settings.catalogue_steps):
            questions = [ask_catalogue(self.users, self.rng) for _ in range(self.settings.batch)]
            yield pack(questions, self.users.domain, self.layout, self.labels)

    def histories(self, users: Histories) -> Iterator[Batch]:
        """Every one of `users` once, in random order."""
        popularity, order = self.users.popularity(), self.rng.permutation(len(users.items))
        for start in range(0, order.size, self.settings.batch):
            some = order[start : start + self.settings.batch]
            asked = [ask(users, user, popularity, self.settings.negatives, self.rng) for user in some]
            yield pack(asked, users.domain, self.layout, self.labels)


class Fit:
    """A model, its optimiser for one part of the training, and a line of the progress bar."""

    def __init__(
        self, model: Qwen3ForCausalLM, steps: int, settings: Settings, bar: Progress, name: str
    ) -> None:
        self.model, self.bar, self.losses = model, bar, [float("nan")]
        self.task = bar.add_task(name, total=steps, shown="")
        rate = settings.learning_rate
        self.optimizer = torch.optim.AdamW(
            model.parameters(), rate, (0.9, 0.98), weight_decay=settings.weight_decay
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, rate, max(20, steps), pct_start=0.1, cycle_momentum=False, final_div_factor=1e4
        )

    def run(self, batches: Iterable[Batch], seen: Callable[[Batch], float]) -> float:
        """A step for every batch; returns the mean loss. `seen` counts a batch and returns pairs per second."""
        self.losses = []
        for batch in batches:
            self.losses.append(self._step(batch))
            self.schedule.step()
            shown = f"loss {np.mean(self.losses[-20:]):.3f}, {seen(batch):,.0f} pairs/s"
            self.bar.update(self.task, advance=1, shown=shown)
        return float(np.mean(self.losses)) if self.losses else float("nan")

    def _step(self, batch: Batch) -> float:
        """The labels against the whole vocabulary: the model also learns to answer with nothing else."""
        losses = cross_entropy(answer_logits(self.model, batch), batch.targets, reduction="none")
        loss = losses @ batch.weights / batch.weights.sum()
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return float(loss.detach())


def train(
    users: Histories, tokenizer: PreTrainedTokenizerFast, settings: Settings, console: Console
) -> tuple[Qwen3ForCausalLM, dict[str, Any]]:
    """The trained model, and what the training came to."""
    torch.set_num_threads(settings.threads)
    course = Course.of(users, tokenizer, settings)
    checks = list(course.histories(course.checked))
    model = make_model(
        tokenizer, settings, *word_vectors(users, course.layout, settings.hidden, settings.seed)
    )
    started, worked, totals = time.perf_counter(), time.process_time(), {"pairs": 0, "tokens": 0}

    def seen(batch: Batch) -> float:
        totals["pairs"] += batch.targets.numel()
        totals["tokens"] += batch.ids.numel()
        return totals["pairs"] / (time.perf_counter() - started)

    columns = (TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn(), TextColumn("{task.fields[shown]}"),
               TimeRemainingColumn())  # fmt: skip
    curve = []
    with Progress(*columns, console=console) as bar:
        Fit(model, settings.catalogue_steps, settings, bar, "catalogue").run(course.catalogue(), seen)
        steps = settings.epochs * -(-len(course.users.items) // settings.batch)
        fit = Fit(model, steps, settings, bar, "histories")
        for epoch in range(1, settings.epochs + 1):
            loss = fit.run(course.histories(course.users), seen)
            check_loss, auc = check(model, checks, course.labels)
            curve.append({"epoch": epoch, "loss": loss, "check_loss": check_loss, "check_auc": auc})
            bar.console.print(
                f"epoch {epoch}: loss {loss:.4f}; users not trained on: loss {check_loss:.4f}, AUC {auc:.3f}"
            )
    return model, {
        "users": len(course.users.items),
        "seconds": time.perf_counter() - started,
        "cpu_seconds": time.process_time() - worked,
        **totals,
        "curve": curve,
    }


def make(dataset: Dataset, folder: Path, settings: Settings, console: Console) -> dict[str, Any]:
    """Trains on a dataset and writes a folder that transformers and vLLM load, all or nothing; returns its note."""
    users = Histories.of(dataset)
    tokenizer = make_tokenizer(users, settings.vocabulary)
    model, measured = train(users, tokenizer, settings, console)
    size = sum(weights.numel() for weights in model.parameters())
    statement = (
        f"It has {size:,} parameters and was trained for {measured['cpu_seconds']:.0f} s of processor time on the texts "
        f"of the catalogue and on the histories of {measured['users']:,} {users.name} offline users; it is not a general LLM. Held-out "
        "feedback and online users' histories were never read. Its P(yes) is at even odds: one half for an item that the user is "
        "as likely to meet as the average item."
    )
    note = {"kind": "trained_on_logs", "statement": statement, "parameters": size, "vocabulary": len(tokenizer),
            "dataset": dataset.fingerprint, "settings": plain(asdict(settings)), **measured}  # fmt: skip
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        write_json(temporary / NOTE, note)
    return note


def main() -> None:
    """Parses the command line, trains and says what came out."""
    asked, console = tyro.cli(TinyJudge, description=__doc__), Console()
    note = make(steam.load(asked.data, DataConfig()), asked.out, asked.settings, console)
    console.print(
        f"{note['statement']}\n{note['pairs']:,} pairs, {note['tokens']:,} tokens: {asked.out}",
        highlight=False,
    )


if __name__ == "__main__":
    main()
