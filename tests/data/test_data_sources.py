import numpy as np
import polars as pl
import pytest

from ialp_jax.artifacts import InputError
from ialp_jax.data import coat, lfm, steam, tabular
from ialp_jax.data.build import DataConfig

ALL = DataConfig(k_core=1)


def write(folder, files):
    for name, content in files.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


STEAM = {
    "items.tsv": "item_id\ttitle\tprice\tgenres\ttags\n"
    "1\tMoon & Co\t3\tAnimation &amp; Modeling|RPG\tRPG|Cute\n2\tSun\t\t\t\n",
    "play.tsv": "user\titem\thours\na\t1\t2.5\na\t2\t1\nb\t1\t9\nb\t2\t0.1\n",
}


def test_steam_reads_titles_genres_and_hours(tmp_path):
    write(tmp_path, STEAM)
    dataset = steam.load(tmp_path, ALL)
    assert dataset.items["title"].to_list() == ["Moon & Co", "Sun"]
    assert dataset.items["text"].to_list() == ["Animation & Modeling, RPG, Cute", ""]
    assert dataset.items["categories"].to_list() == [["Animation & Modeling", "RPG"], []]
    assert dataset.interactions.sort("user", "item")["value"].to_list() == [2.5, 1.0, 9.0, 0.1]
    assert dataset.interactions.sort("user", "item")["grade"].to_list() == [0.5, 1.0, 1.0, 0.5]
    assert (dataset.source, dataset.feedback, dataset.domain) == ("logs", "implicit", "games")


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("play.tsv", "b\t1\t9", "b\t7\t9", r"play\.tsv, row 4, column item: '7' is not listed in items\.tsv"),
        ("play.tsv", "b\t1\t9", "b\t1\t-9", r"play\.tsv, row 4, column hours: -9 is below 0"),
        ("play.tsv", "b\t1\t9", "b\t1\tlots", r"play\.tsv, row 4, column hours: 'lots' is not a number"),
        ("play.tsv", "b\t1\t9", "b\t1\tNaN", r"play\.tsv, row 4, column hours: 'NaN' is not a finite"),
        ("play.tsv", "b\t1\t9", "\t1\t9", r"play\.tsv, row 4, column user: the value is missing"),
        ("play.tsv", "hours", "time", r"play\.tsv, row 1, column hours: there is no such column"),
        ("items.tsv", "2\tSun", "1\tSun", r"items\.tsv, row 3, column item_id: '1' is listed twice"),
        ("items.tsv", "2\tSun", "2\t", r"items\.tsv, row 3, column title: the value is missing"),
    ],
)
def test_bad_steam_files_are_refused_with_the_place(tmp_path, file, old, new, message):
    write(tmp_path, {**STEAM, file: STEAM[file].replace(old, new)})
    with pytest.raises(InputError, match=message):
        steam.load(tmp_path, ALL)


def test_a_folder_without_the_files_is_refused(tmp_path):
    for source, name in ((steam, "items.tsv"), (lfm, "artists_tags.tsv"), (coat, "train.ascii")):
        with pytest.raises(InputError, match=f"{name}: the file does not exist"):
            source.load(tmp_path, ALL)
    with pytest.raises(InputError, match=r"items\.csv: the file does not exist"):
        tabular.load(tmp_path, ALL)


HETREC = {
    "artists.dat": "id\tname\turl\tpictureURL\r\n1\tJos\u00e9\thttp\tpic\r\n2\tTwo\thttp\tpic\r\n",
    "user_artists.dat": "userID\tartistID\tweight\r\n5\t1\t10\r\n5\t2\t3\r\n6\t1\t2\r\n6\t2\t40\r\n",
    "tags.dat": "tagID\ttagValue\r\n1\tbossa\r\n2\tcaf\u00e9\r\n3\tseen live\r\n".encode("latin-1"),
    "user_taggedartists.dat": "userID\tartistID\ttagID\tday\tmonth\tyear\r\n"
    "5\t1\t1\t1\t1\t2009\r\n5\t1\t2\t1\t1\t2009\r\n6\t1\t2\t1\t1\t2009\r\n6\t2\t3\t1\t1\t2009\r\n6\t99\t1\t1\t1\t2009\r\n",
}


@pytest.mark.parametrize("assignments", ["user_taggedartists.dat", "user_taggedartists-timestamps.dat"])
def test_lfm_reads_the_publishers_files(tmp_path, assignments):
    files = dict(HETREC)
    files[assignments] = files.pop("user_taggedartists.dat")
    write(tmp_path, files)
    dataset = lfm.load(tmp_path, ALL)
    assert dataset.items["title"].to_list() == ["Jos\u00e9", "Two"]
    assert dataset.items["text"].to_list() == ["caf\u00e9, bossa", "seen live"]
    assert dataset.items["categories"].to_list() == [["caf\u00e9", "bossa"], []]
    assert dataset.interactions.sort("user", "item")["value"].to_list() == [10.0, 3.0, 2.0, 40.0]
    assert any(said.startswith("1 of 5 tag assignments") for said in dataset.statements)


def test_lfm_reads_the_joined_table(tmp_path):
    joined = "id\tname\ttags\tn_listeners\n1\tJos\u00e9\tcaf\u00e9|bossa\t2\n2\tTwo\t\t2\n"
    write(tmp_path, {"artists_tags.tsv": joined, "user_artists.dat": HETREC["user_artists.dat"]})
    assert lfm.load(tmp_path, ALL).items["text"].to_list() == ["caf\u00e9, bossa", ""]


def test_lfm_names_unknown_artists_and_missing_assignments(tmp_path):
    write(tmp_path, {**HETREC, "user_artists.dat": HETREC["user_artists.dat"].replace("6\t2", "6\t9")})
    with pytest.raises(
        InputError, match=r"user_artists\.dat, row 5, column artistID: '9' is not listed in artists"
    ):
        lfm.load(tmp_path, ALL)
    (tmp_path / "user_taggedartists.dat").unlink()
    with pytest.raises(InputError, match=r"user_taggedartists\.dat: the file does not exist"):
        lfm.load(tmp_path, ALL)


COAT = {
    "train.ascii": "0 5 1\n3 0 2\n",
    "coat_pseudoGT_ratingM.ascii": "1 2 3\n4 5 1\n",
    "item_features.ascii": "1 0 1 0 1 0\n0 1 0 1 0 1\n0 1 1 0 0 1\n",
    "item_features_map.txt": "gender:men\ngender:women\njackettype:other\n"
    "jackettype:parkas\nonfrontpage:yes\nonfrontpage:no",
    "user_features.ascii": "1 0 1\n0 1 1\n",
    "user_features_map.txt": "gender:men\ngender:women\nage:over 60",
}


def test_coat_reads_ratings_and_words(tmp_path):
    write(tmp_path, COAT)
    dataset = coat.load(tmp_path, DataConfig())
    np.testing.assert_array_equal(dataset.known_ratings, [[1, 2, 3], [4, 5, 1]])
    assert dataset.interactions.sort("user", "item").select("user", "item", "value", "grade").rows() == [
        (0, 1, 5.0, 1.0), (0, 2, 1.0, 0.0), (1, 0, 3.0, 0.5), (1, 2, 2.0, 0.25),
    ]  # fmt: skip
    assert dataset.items["text"][1] == "women's parkas, not on front page"
    assert dataset.items["title"].to_list() == [
        "men's other jacket #1",
        "women's parkas #2",
        "women's other jacket #3",
    ]
    assert dataset.users["text"].to_list() == ["men, age over 60", "women, age over 60"]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("train.ascii", "0 5 6\n3 0 2\n", "row 1, column 3: '6' is not a number from 0 to 5"),
        ("train.ascii", "0 5 0.5\n3 0 2\n", "row 1, column 3: 0.5 is not a rating"),
        ("coat_pseudoGT_ratingM.ascii", "1 2\n4 5\n", r"pseudoGT.*the matrix is \(2, 2\), that of train"),
        (
            "item_features.ascii",
            "1 1 1 0 1 0\n0 1 0 1 0 1\n0 1 1 0 0 1\n",
            "row 1, column gender: not exactly one",
        ),
        ("user_features.ascii", "1 0 1\n", r"user_features.*the matrix is \(1, 3\)"),
    ],
)
def test_bad_coat_files_are_refused(tmp_path, file, content, message):
    write(tmp_path, {**COAT, file: content})
    with pytest.raises(InputError, match=message):
        coat.load(tmp_path, DataConfig())


def test_coats_need_two_groups_of_features_for_their_names(tmp_path):
    write(tmp_path, {**COAT, "item_features.ascii": "1\n1\n1\n", "item_features_map.txt": "gender:men"})
    with pytest.raises(InputError, match=r"item_features_map\.txt: coats are named by two groups"):
        coat.load(tmp_path, DataConfig())


@pytest.mark.parametrize(
    ("source", "name", "shape"),
    [
        (steam, "steam", (2386, 1515, 53782)),
        (lfm, "lastfm", (1859, 2823, 71355)),
        (coat, "coat", (290, 300, 6960)),
    ],
)
def test_the_real_logs_have_their_known_shape(shared_data, source, name, shape):
    dataset = source.load(shared_data / name, DataConfig())
    assert (dataset.num_users, dataset.num_items, dataset.num_interactions) == shape
    assert dataset.source == "logs"
    assert "&amp;" not in " ".join(dataset.items["text"])
    assert dataset.fingerprint == source.load(shared_data / name, DataConfig()).fingerprint
    if name == "coat":
        np.testing.assert_array_equal(
            dataset.known_ratings, np.loadtxt(shared_data / "coat" / "coat_pseudoGT_ratingM.ascii")
        )


def test_a_k_core_of_coat_keeps_the_matrix_aligned(shared_data):
    dataset = coat.load(shared_data / "coat", DataConfig(k_core=10))
    assert dataset.num_items < 300
    users, items = (frame["raw_id"].cast(pl.Int64).to_numpy() - 1 for frame in (dataset.users, dataset.items))
    complete = np.loadtxt(shared_data / "coat" / "coat_pseudoGT_ratingM.ascii")
    np.testing.assert_array_equal(dataset.known_ratings, complete[users][:, items])
