"""Last.fm (HetRec 2011): plays per artist, with the tags listeners gave.

Two layouts are read: the publisher's own files (`artists.dat`, `tags.dat`, `user_taggedartists.dat` or
`user_taggedartists-timestamps.dat`), or a table with the tags already joined (`artists_tags.tsv`). Both have
`user_artists.dat`.
"""

from collections import Counter
from itertools import chain
from pathlib import Path

import polars as pl

from ialp_jax.artifacts import InputError
from ialp_jax.data.build import DataConfig, RawLogs, build
from ialp_jax.data.dataset import Dataset
from ialp_jax.data.ids import checked_ids
from ialp_jax.data.reading import ROW, numbers, read_table, require_known, require_unique, require_values

TAGS_PER_ARTIST = 8
NUM_CATEGORIES = 30
# Frequent tags that say something about the listener, not about the music.
NOT_CATEGORIES = frozenset({"seen live", "favorites", "favourites", "favorite", "love", "awesome"})


def load(directory: Path, config: DataConfig) -> Dataset:
    """Reads a folder in either layout; the publisher's files go first where both lie there.

    Text = the artist's 8 most given tags; categories = those of them that are among the 30 tags which most
    artists have.

    Raises:
        InputError: naming file, row and column of what cannot be used.
    """
    if (directory / "artists.dat").exists():
        artists_file = directory / "artists.dat"
        artists, tags, statements = _publisher_artists(directory, artists_file)
    else:
        artists_file = directory / "artists_tags.tsv"
        artists = _artists(artists_file, ["id", "name", "tags"])
        tags = {
            artist: [tag.strip() for tag in (cell or "").split("|") if tag.strip()]
            for artist, cell in artists.select("id", "tags").iter_rows()
        }
        statements = ()
    plays_file = directory / "user_artists.dat"
    plays = read_table(plays_file, ["userID", "artistID", "weight"])
    plays = checked_ids(plays, plays_file, ["userID", "artistID"])
    require_known(plays, plays_file, "artistID", artists["id"], artists_file)
    weight = numbers(plays, plays_file, "weight", low=0)
    return build(
        RawLogs(
            name="lfm",
            source="logs",
            domain="music",
            feedback="implicit",
            rating_range=(0.0, 1.0),
            unit="plays",
            file=plays_file,
            interactions=plays.select(ROW, user="userID", item="artistID", value=weight),
            items=_describe(artists, tags),
            statements=("Real logs: how often Last.fm users played each artist (HetRec 2011).", *statements),
        ),
        config,
    )


def _artists(path: Path, columns: list[str]) -> pl.DataFrame:
    artists = checked_ids(read_table(path, columns), path, ["id"])
    require_values(artists, path, ["name"])
    require_unique(artists, path, "id")
    return artists


def _publisher_artists(
    directory: Path, artists_file: Path
) -> tuple[pl.DataFrame, dict[str, list[str]], tuple[str, ...]]:
    """Artists, their most given tags (ties by name), and what had to be left out."""
    artists = _artists(artists_file, ["id", "name"])
    tags_file = directory / "tags.dat"
    names = read_table(tags_file, ["tagID", "tagValue"], encoding="latin-1")
    names = checked_ids(names, tags_file, ["tagID"])
    require_values(names, tags_file, ["tagValue"])
    require_unique(names, tags_file, "tagID")
    assignments_file = _assignments_file(directory)
    given = read_table(assignments_file, ["artistID", "tagID"])
    given = checked_ids(given, assignments_file, ["artistID", "tagID"])
    # The publisher's assignments name artists nobody listened to, which its list of artists lacks.
    usable = given.join(artists.select(artistID="id"), on="artistID", how="semi").join(names, on="tagID")
    counted = usable.group_by("artistID", "tagValue").len().sort("len", "tagValue", descending=[True, False])
    tags: dict[str, list[str]] = {}
    for artist, tag in counted.select("artistID", "tagValue").iter_rows():
        chosen = tags.setdefault(artist, [])
        if len(chosen) < TAGS_PER_ARTIST:
            chosen.append(tag)
    unused = given.height - usable.height
    statement = (
        f"{unused:,} of {given.height:,} tag assignments name an unlisted artist or tag and are unused."
    )
    return artists, tags, (statement,) if unused else ()


def _assignments_file(directory: Path) -> Path:
    choices = [directory / f"user_taggedartists{suffix}.dat" for suffix in ("", "-timestamps")]
    found = next((path for path in choices if path.exists()), None)
    if found is None:
        raise InputError("the file does not exist", file=choices[0],
                         fix=f"add it or {choices[1].name} to the folder")  # fmt: skip
    return found


def _describe(artists: pl.DataFrame, tags: dict[str, list[str]]) -> pl.DataFrame:
    counts = Counter(chain.from_iterable(tags.values()))
    ranked = sorted((tag for tag in counts if tag not in NOT_CATEGORIES), key=lambda tag: (-counts[tag], tag))
    common = set(ranked[:NUM_CATEGORIES])
    own = [tags.get(artist, []) for artist in artists["id"]]
    categories = [[tag for tag in chosen if tag in common] for chosen in own]
    return pl.DataFrame(
        {
            "raw_id": artists["id"],
            "title": artists["name"],
            "text": [", ".join(chosen) for chosen in own],
            "categories": pl.Series(categories, dtype=pl.List(pl.String)),
        }
    )
