"""The pipeline every source shares: raw logs -> combine -> k-core -> grade -> order -> split -> Dataset."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import polars as pl
from jaxtyping import Float

from ialp_jax.artifacts import InputError
from ialp_jax.data.dataset import Dataset, Domain, Feedback, Source
from ialp_jax.data.grading import combine_repeats, explicit_grade, implicit_grade
from ialp_jax.data.kcore import k_core
from ialp_jax.data.split import new_items, order_within_user, part_of_user, split_users
from ialp_jax.data.validate import DISLIKED, SCHEMAS
from ialp_jax.marks import Since
from ialp_jax.ranges import Count, Share, at_least, between
from ialp_jax.values import checked

DEFAULT_K = 5


@dataclass(frozen=True)
@checked
class DataConfig:
    """How raw logs become a dataset."""

    k_core: Count | None = None
    """Interactions every kept user and item must have. None: the source's own (5; coat keeps all)."""
    history_length: Count = 10
    """Latest interactions (at most half of a user's) that are known when a session starts."""
    offline_fraction: Annotated[float, between(0, 1)] = 0.5
    """Share of the users in (0, 1) whose logs may train policies; the others are only met online."""
    seed: Annotated[int, at_least(0)] = 0
    """Decides the offline users and, where the logs carry no times, the order within a user."""

    validation: Annotated[bool, Since(False)] = False
    """To choose settings by: half of the offline users, drawn by the seed, are met online instead of those who otherwise are."""
    logged_users: Annotated[Count | None, Since(None)] = None
    """So many offline users' logs may be read, drawn by the seed; of the others only the history that opens their sessions,
    by a judge (what they did besides only measures how good a table is). None: all of them."""
    new_items: Annotated[Share, Since(0.0)] = 0.0
    """This share of the catalogue, drawn by the seed, is new: it is in no log and no history that is read, and only its texts
    say what it is. Users like it as they do (the users' world is fitted to all logs)."""

    zeros: Annotated[Literal["ignored", "disliked"], Since("ignored")] = "ignored"
    """Implicit feedback only: what becomes of pairs of value 0, such as impressions without a click. They are ignored, or
    they are observed dislikes, which weigh as much as the least liked interaction where users are fitted to logs."""


@dataclass(frozen=True, eq=False)
@checked
class RawLogs:
    """What a source reads, before the shared pipeline.

    Attributes:
        name, source, domain, feedback, rating_range: as in `Dataset`.
        unit: what a value counts, for statements: "hours", "plays", "ratings".
        file: the interactions file, named in errors.
        interactions: user String, item String, value Float64, file_row Int64 and, where known, time.
        items: raw_id String, title String, text String, categories List(String).
        users: raw_id String and text String, where the source describes its users.
        known_ratings: [users' rows, items' rows] on the raw scale, where shipped; needs `users`.
        statements: what the source itself has to say about the data.
        default_k: the k-core where the configuration leaves it open.
    """

    name: str
    source: Source
    domain: Domain
    feedback: Feedback
    rating_range: tuple[float, float]
    unit: str
    file: Path | None
    interactions: pl.DataFrame
    items: pl.DataFrame
    users: pl.DataFrame | None = None
    known_ratings: Float[np.ndarray, "users items"] | None = None
    statements: tuple[str, ...] = ()
    default_k: int = DEFAULT_K


def build(raw: RawLogs, config: DataConfig) -> Dataset:
    """Runs the shared pipeline.

    Users and items are numbered in the order of their raw ids (as numbers where they are numbers), so that
    the result does not depend on the order of the rows in the file.

    Raises:
        InputError: if nothing was used, or the k-core leaves fewer than two users or two items.
    """
    combined = combine_repeats(raw.interactions, raw.feedback == "explicit")
    repeated = raw.interactions.height - combined.height
    combined, zeros = _without_zeros(raw, combined)
    k = raw.default_k if config.k_core is None else config.k_core
    kept = k_core(combined, k)
    _require_enough(raw, combined, zeros.height, kept, k)
    users = raw.users if raw.users is not None else combined.select(raw_id=pl.col("user").unique())
    users = _kept_entities(users, kept["user"], "user")
    items = _kept_entities(raw.items, kept["item"], "item")
    known = raw.known_ratings
    if known is not None:
        known = known[np.ix_(users["source_row"].to_numpy(), items["source_row"].to_numpy())].astype(
            np.float32
        )
    split = split_users(
        users.height, config.offline_fraction, config.seed, config.validation, config.logged_users
    )
    users = users.with_columns(split=pl.Series(split))
    text = ["text"] if "text" in users.columns else []
    return Dataset(
        name=raw.name,
        source=raw.source,
        domain=raw.domain,
        feedback=raw.feedback,
        users=users.select(*SCHEMAS["users"], *text),
        items=items.select(*SCHEMAS["items"]),
        interactions=_finish_interactions(raw, config, kept, users, items),
        known_ratings=known,
        rating_range=raw.rating_range,
        statements=(*raw.statements, *_statements(raw, config, repeated, combined, kept, k)),
        disliked=_disliked(zeros if config.zeros == "disliked" else zeros.clear(), users, items),
        cautions=_zeros_said(raw, config, zeros.height, combined.height),
    )


def _without_zeros(raw: RawLogs, combined: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Pairs that were used or rated, and those of implicit feedback whose value is 0."""
    if raw.feedback == "explicit":
        if combined["value"].n_unique() == 1 and raw.known_ratings is None:
            raise InputError(f"every rating is {combined['value'][0]:g}: nothing can be learnt from them", file=raw.file,
                             fix="give ratings that differ, or implicit feedback, for which every row is a use")  # fmt: skip
        return combined, combined.clear()
    used = combined.filter(pl.col("value") > 0)
    if combined.height and not used.height:
        raise InputError(f"the {raw.unit} are 0 in every row: nobody used anything", file=raw.file,
                         fix="give logs of what was used, or name another column of values")  # fmt: skip
    return used, combined.filter(pl.col("value") <= 0)


def _zeros_said(raw: RawLogs, config: DataConfig, zeros: int, used: int) -> tuple[str, ...]:
    if not zeros:
        return ()
    choices = {"ignored": "they are ignored; data.zeros disliked counts them as observed dislikes",
               "disliked": "they count as observed dislikes; data.zeros ignored leaves them out"}  # fmt: skip
    return (f"{zeros:,} of {zeros + used:,} user-item pairs have 0 {raw.unit}: {choices[config.zeros]}.",)


def _require_enough(raw: RawLogs, combined: pl.DataFrame, zeros: int, kept: pl.DataFrame, k: int) -> None:
    if min(kept["user"].n_unique(), kept["item"].n_unique()) < 2:
        besides = f", besides {zeros:,} of 0 {raw.unit}" if zeros else ""
        problem = f"the {k}-core leaves {_count(kept)} of {_count(combined)}{besides}; two users and two items are needed"
        raise InputError(problem, file=raw.file, fix="give more data, or set a smaller k_core")


def _kept_entities(entities: pl.DataFrame, kept: pl.Series, name: str) -> pl.DataFrame:
    """The users or items that are left, in natural order, numbered by a new column `name`."""
    left = entities.with_row_index("source_row").filter(pl.col("raw_id").is_in(kept.unique().to_list()))
    number = pl.col("raw_id").cast(pl.Int64, strict=False)
    ordered = left.sort(number, "raw_id", nulls_last=True)
    return ordered.with_columns(pl.int_range(pl.len(), dtype=pl.Int32).alias(name))


def _coded(pairs: pl.DataFrame, users: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """With the numbers of users and items, all of whom are kept, for their ids."""
    return pairs.with_columns(
        pl.col(name).replace_strict(frame["raw_id"], frame[name], return_dtype=pl.Int32)
        for name, frame in (("user", users), ("item", items))
    )


def _disliked(zeros: pl.DataFrame, users: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """What kept users declined of the kept items, by number."""
    for name, frame in (("user", users), ("item", items)):
        zeros = zeros.filter(pl.col(name).is_in(frame["raw_id"].to_list()))
    return _coded(zeros, users, items).select(*DISLIKED).sort(*DISLIKED)


def _finish_interactions(
    raw: RawLogs, config: DataConfig, kept: pl.DataFrame, users: pl.DataFrame, items: pl.DataFrame
) -> pl.DataFrame:
    coded = _coded(kept, users, items)
    grade = explicit_grade(*raw.rating_range) if raw.feedback == "explicit" else implicit_grade()
    ordered = order_within_user(coded, config.seed).with_columns(grade=grade)
    unread = pl.col("item").is_in(new_items(items.height, config.new_items, config.seed).tolist())
    part = pl.when(unread).then(pl.lit("unread")).otherwise(part_of_user(config.history_length))
    return ordered.with_columns(part=part).select(*SCHEMAS["interactions"])


def _statements(
    raw: RawLogs, config: DataConfig, repeated: int, combined: pl.DataFrame, kept: pl.DataFrame, k: int
) -> list[str]:
    explicit = raw.feedback == "explicit"
    rule = "the last rating stands" if explicit else f"their {raw.unit} are summed"
    low, high = raw.rating_range
    if explicit:
        grading = f"Grade = (rating - {low:g}) / ({high:g} - {low:g})."
    else:
        grading = f"Grade = quantile of the {raw.unit} among the item's users (mid-rank / n), in (0, 1]."
    if "time" in kept.columns:
        order = "Each user's interactions are ordered by time; ties are shuffled by the seed."
    else:
        order = f"The logs carry no times: each user's order is a shuffle by seed {config.seed}."
    return [
        f"Repeated user-item pairs are combined, {rule}: {repeated:,} of {raw.interactions.height:,} rows.",
        f"The {k}-core keeps {_count(kept)} of {_count(combined)}."
        if k > 1
        else f"No k-core: {_count(kept)}.",
        grading,
        order,
        f"History = each user's latest interactions, at most {config.history_length} and at most half; the"
        f" rest is held out. {config.offline_fraction:.0%} of the users, drawn by the seed, are offline.",
        *(
            ["Validation: half of these are met online, and the other users not at all."]
            if config.validation
            else []
        ),
        *(
            [
                f"{config.new_items:.0%} of the items, drawn by the seed, are new: no log or history that is read holds them."
            ]
            if config.new_items
            else []
        ),
        *(
            []
            if config.logged_users is None
            else [
                f"Logs of at most {config.logged_users:,} offline users are read; of the others only the histories, by a judge."
            ]
        ),
    ]


def _count(frame: pl.DataFrame) -> str:
    users, items = frame["user"].n_unique(), frame["item"].n_unique()
    return f"{users:,} users x {items:,} items x {frame.height:,} interactions"
