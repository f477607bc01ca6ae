"""Images that somebody asked to remove: no reader shows them, and nothing brings them back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.images.databases import SETTINGS, write_photos
from tests.images.ledger.stores import plain_rights
from tests.labels.tiny import TAXONOMY

from mlimages.cli import run
from mlimages.database import Database
from mlimages.errors import DatabaseError, InputError
from mlimages.images.fetching.states import UrlState
from mlimages.images.ledger import Ledger
from mlimages.images.packing.rewriting import rewrite_shards
from mlimages.labels.reading import Reading, ReadingBuilder
from mlimages.labels.removals import entry, read_list, write_list
from mlimages.schemas import DUPLICATES

COUNT = 12
GONE = 4
URL = "https://photos.example.org/4.jpg?size=o"
PAGE = "https://photos.example.org/page/4"


def reading(photos: list[Path], source: str = "s", first: int = 0) -> Reading:
    """Images with a photo on this machine, a URL, a page, and one of four authors."""
    builder = ReadingBuilder(source, "table")
    for number in range(first, COUNT):
        image = builder.add_image(
            f"n{number:04d}",
            str(photos[number]),
            f"n{number:04d}",
            split=("train", "validation")[number % 2],
            author=f"Author {number % 4}",
            landing_url=f"https://photos.example.org/page/{number}",
            more_uris=[f"https://photos.example.org/{number}.jpg?size=o"],
        )
        builder.add_fact(image or 0, number % len(TAXONOMY))
    return builder.build()


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    return write_photos(tmp_path / "photos", COUNT)


@pytest.fixture
def db(tmp_path: Path, photos: list[Path]) -> Database:
    database = Database.create(tmp_path / "DB", TAXONOMY, partition_rows=5)
    database.add(reading(photos))
    database.complete()
    database.pack(SETTINGS)
    return database


REQUESTS = {
    "id": (entry("id", "n0004"), {4}),
    "url": (entry("url", URL), {4}),
    "url over http": (entry("url", "http://PHOTOS.example.org/4.jpg?size=o#top"), {4}),
    "page": (entry("url", PAGE), {4}),
    "author": (entry("author", " author 0 "), {0, 4, 8}),
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_a_request_is_honoured_at_once_by_every_reader(
    db: Database, request_: tuple[dict, set[int]], tmp_path: Path
) -> None:
    new, gone = request_
    before = db.statistics()
    report = db.remove([new])
    assert (report.images, report.in_shards, report.matched[0][2]) == (len(gone),) * 3
    left = sorted(set(range(COUNT)) - gone)

    database = Database.open(tmp_path / "DB")
    assert database.select().rows.tolist() == left
    assert database.select(packed=False).rows.tolist() == left
    reader = database.reader()
    assert reader.rows.tolist() == left
    assert GONE not in reader
    with pytest.raises(KeyError):
        reader.read(GONE)
    with pytest.raises(InputError, match="removed on request"):
        database.explain("n0004")
    after = database.statistics()
    assert (after.images, after.removed) == (COUNT - len(gone), len(gone))
    assert sum(after.images_by_split.values()) == len(left)
    assert after.tags < before.tags
    assert sum(s.present_facts for s in after.sources) == len(left)
    split = database.split(0.3)
    assert split.removed == len(gone)
    assert split.train + split.validation + split.untouched + split.duplicates == len(left)
    for format in ("tencent", "coco", "huggingface", "webdataset", "open_images", "croissant"):
        exported = database.export(format, tmp_path / format)
        assert exported.images == len(left), format
        written = b"".join(p.read_bytes() for p in (tmp_path / format).rglob("*") if p.is_file())
        assert b"n0004" not in written, format
        assert b"/4.jpg" not in written, format
        if format not in ("croissant", "huggingface"):  # no names, and compressed ones
            assert b"n0005" in written or b"/5.jpg" in written, format
    assert database.check().passed, database.check().checks


def test_undoing_before_the_shards_are_rewritten_brings_everything_back(db: Database) -> None:
    before, photo = db.statistics(), db.reader().read(GONE)
    db.remove([entry("id", "n0004"), entry("author", "Author 1")])
    assert len(db.select()) == COUNT - 4
    db.remove([entry("author", "AUTHOR 1"), entry("id", "n0004")], undo=True)
    assert db.statistics() == before
    assert db.reader().read(GONE) == photo
    with pytest.raises(InputError, match="not in the list"):
        db.remove([entry("id", "n0004")], undo=True)


def test_two_requests_for_an_image_are_undone_one_by_one(db: Database) -> None:
    db.remove([entry("id", "n0004"), entry("url", URL)])
    db.remove([entry("id", "n0004")], undo=True)
    assert GONE not in db.select().rows
    db.remove([entry("url", URL)], undo=True)
    assert GONE in db.select().rows


def test_rewriting_shards_erases_the_bytes(db: Database, photos: list[Path]) -> None:
    data = photos[GONE].read_bytes()
    stored = db.reader().read(GONE)
    db.remove([entry("id", "n0004")])
    rewrite_shards(db.store)
    shards = [Path(str(db.root)) / e.path for e in db.store.manifest.files["shards"]]
    assert not any(stored in path.read_bytes() or data in path.read_bytes() for path in shards)
    assert db.remove().in_shards == 0
    db.pack(SETTINGS)
    assert GONE not in db.store.table("shards/index")["row"].to_pylist()
    db.remove([entry("id", "n0004")], undo=True)
    with pytest.raises(KeyError):
        db.reader().read(GONE)
    db.pack(SETTINGS)
    assert db.reader().read(GONE) == stored
    assert db.check().passed, db.check().checks


def test_copies_of_a_removed_image_are_removed_with_it(db: Database) -> None:
    with db.store.commit("test") as commit:
        copies = [{"row": row, "kept": 9, "evidence": "bytes"} for row in (4, 7)]
        commit.replace("duplicates", pa.Table.from_pylist(copies, schema=DUPLICATES))
    db.remove([entry("id", "n0004")])
    assert set(range(COUNT)) - set(db.select(packed=False).rows.tolist()) == {4, 7, 9}
    counted = db.statistics()
    assert (counted.images, counted.removed, counted.duplicates) == (COUNT - 3, 3, 0)


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_importing_again_brings_nothing_back(
    db: Database, photos: list[Path], request_: tuple[dict, set[int]]
) -> None:
    new, gone = request_
    db.remove([new])
    for source in ("s", "other"):
        report = db.add(reading(photos, source))
        assert (report.read, report.merged_images) == (COUNT, COUNT - len(gone))
        assert {reason for _, reason in report.first_rejects} == {"removed on request"}
        db.add(reading(photos, source), strict=True)
    db.complete()
    assert set(range(COUNT)) - set(db.select().rows.tolist()) == gone
    assert db.store.num_rows("images") == COUNT
    assert db.check().passed, db.check().checks


def test_an_image_is_known_by_its_other_places_under_another_name(db: Database) -> None:
    db.remove([entry("id", "n0004")])
    builder = ReadingBuilder("mirror", "table")
    for number in (4, 5):
        builder.add_image(f"mirror{number}", f"http://photos.example.org/{number}.jpg?size=o", "x")
    report = db.add(builder.build())
    assert report.rejected == 1
    assert report.first_rejects[0][1] == "removed on request"


@pytest.mark.parametrize("from_file", [True, False])
def test_the_list_is_carried_to_a_database_built_anew(
    db: Database, photos: list[Path], tmp_path: Path, from_file: bool
) -> None:
    db.remove([entry("id", "n0004", "asked in May"), entry("author", "Author 1")])
    place = tmp_path / "DB"
    if from_file:
        assert run(["remove", str(place), "--export", str(tmp_path / "list.jsonl")]) == 0
        place = tmp_path / "list.jsonl"
    # The new database is built from other names: what is known of the image still tells it.
    builder = ReadingBuilder("anew", "table")
    for number in range(COUNT):
        url = f"https://photos.example.org/{number}.jpg?size=o"
        builder.add_image(f"new{number}", url, f"new{number}")
    anew = Database.create(tmp_path / "NEW", TAXONOMY)
    anew.add(builder.build())
    assert run(["remove", str(tmp_path / "NEW"), "--list", str(place)]) == 0
    anew = Database.open(tmp_path / "NEW")
    held = anew.store.table("removals").to_pylist()
    assert [(r["value"], r["note"], r["rows"]) for r in held] == [
        ("n0004", "asked in May", [4]),
        ("Author 1", None, [1, 5, 9]),
    ]
    before = {(r["value"], r["when"]) for r in db.store.table("removals").to_pylist()}
    assert {(r["value"], r["when"]) for r in held} == before
    assert anew.add(reading(photos)).rejected == 4
    assert run(["remove", str(tmp_path / "NEW"), "--list", str(place)]) == 0
    assert Database.open(tmp_path / "NEW").store.num_rows("removals") == 2


def test_urls_of_removed_images_are_not_fetched_and_counted_as_removed(db: Database) -> None:
    with db.store.writing("test"):
        ledger = Ledger.open(db.store)
        ledger.record(4, 1, UrlState.TIMEOUT)
        with db.store.commit("test") as commit:
            ledger.commit_ok(commit, [5], [1], plain_rights([5]))
        ledger.close()
    db.remove([entry("id", "n0004"), entry("id", "n0005")])
    report = db.ledger_report()
    assert {s.state: s.urls for s in report.states} == {"pending": COUNT - 2, "removed": 2}
    assert report.images.left_out == 2
    assert db.check().passed, db.check().checks
    db.remove([entry("id", "n0004")], undo=True)
    assert Ledger.open(db.store).state_of(4, 1) is UrlState.TIMEOUT
    rewrite_shards(db.store)
    assert db.check().passed, db.check().checks
    db.remove([entry("id", "n0005")], undo=True)
    assert Ledger.open(db.store).state_of(5, 1) is UrlState.PENDING  # its bytes are erased
    assert db.check().passed, db.check().checks


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("{", "not an entry"),
        ('{"kind": "url"}', "not an entry"),
        ('{"kind": "face", "value": "x"}', "not a kind of removal"),
        ('{"kind": "id", "value": " "}', "is empty"),
        ('{"kind": "id", "value": "x", "when": "soon"}', "not an entry"),
        ("[]", "not an entry"),
    ],
)
def test_a_broken_list_changes_nothing(
    db: Database, tmp_path: Path, line: str, cause: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "list.jsonl"
    path.write_text(f'{{"kind": "id", "value": "n0001"}}\n{line}\n')
    assert run(["remove", str(db.root), "--list", str(path)]) == 1
    assert cause in capsys.readouterr().err
    assert Database.open(db.root).store.num_rows("removals") == 0


def test_the_command_says_what_it_did(db: Database, capsys: pytest.CaptureFixture[str]) -> None:
    place = str(db.root)
    assert run(["remove", place, "--id", "n0004", "nobody", "--author", "Author 1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["added"], told["images"], told["entries"]) == (3, 4, 3)
    assert told["matched"] == [["id", "n0004", 1], ["id", "nobody", 0], ["author", "Author 1", 3]]
    assert run(["remove", place]) == 0
    assert "3 in the list; 4 images are left out by it" in capsys.readouterr().out
    assert run(["remove", place, "--list", place + "-nowhere"]) == 1
    assert "cannot be read" in capsys.readouterr().err


def test_a_list_written_and_read_is_the_same(db: Database, tmp_path: Path) -> None:
    db.remove([entry("url", URL, "é"), entry("id", "n0007")])
    assert write_list(db.store, tmp_path / "list.jsonl") == 2
    assert read_list(tmp_path / "list.jsonl") == read_list(db.root)


def test_nothing_is_left_when_all_is_removed(db: Database, tmp_path: Path) -> None:
    db.remove([entry("author", f"Author {number}") for number in range(4)])
    with pytest.raises(DatabaseError, match="no image"):
        db.select()
    with pytest.raises(InputError, match="no image to export"):
        db.export("tencent", tmp_path / "out")
    assert db.statistics().images == 0


def fetched_twice(db: Database) -> None:
    with db.store.writing("test"), db.store.commit("test") as commit:
        Ledger.open(db.store).commit_ok(commit, [5], [1])


def index_lost(db: Database) -> None:
    with db.store.writing("test"), db.store.commit("test") as commit:
        Ledger.open(db.store).commit_ok(commit, [5], [1], plain_rights([5]))
        index = commit.table("shards/index")
        keep = ~np.isin(index["row"].to_numpy(), [5])
        commit.replace("shards/index", index.filter(pa.array(keep)))


def local_place_lost(db: Database) -> None:
    with db.store.commit("test") as commit:
        images = commit.table("images").to_pylist()
        images[5]["uris"] = images[5]["uris"][1:]
        commit.replace("images", pa.Table.from_pylist(images, schema=commit.table("images").schema))


@pytest.mark.parametrize(
    ("damage", "check", "words"),
    [
        (fetched_twice, "fetched", "without a record of rights"),
        (index_lost, "fetched", "not in a shard"),
        (local_place_lost, "bytes", "from nowhere"),
    ],
)
def test_check_names_what_does_not_agree(
    db: Database, damage: Callable[[Database], None], check: str, words: str
) -> None:
    assert db.check().passed, db.check().checks
    damage(db)
    found = {name: (good, note) for name, good, note in db.check().checks}
    assert found[check][0] is False
    assert words in found[check][1]
