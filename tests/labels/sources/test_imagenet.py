"""ImageNet's layouts."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from tests.labels.sources.writing import PHOTO, column, rejects, tags, write, write_tar
from tests.labels.tiny import CAT, DOG, ENTITY, KEYS, PUPPY, TAXONOMY

from mlimages.errors import InputError
from mlimages.images.reading import open_uri
from mlimages.labels.sources.files import files_below
from mlimages.labels.sources.imagenet import read
from mlimages.labels.streams import chunks_of, joined
from mlimages.taxonomy.categories import Taxonomy, released_taxonomy

DOGS, CATS = KEYS[DOG], KEYS[CAT]


def test_class_folders(tmp_path: Path) -> None:
    write(tmp_path / DOGS / f"{DOGS}_1.JPEG")
    write(tmp_path / CATS / "images" / f"{CATS}_7.JPEG")
    write(tmp_path / CATS / "boxes.txt", "boxes")
    write(tmp_path / CATS / ".DS_Store")
    reading = read(tmp_path, TAXONOMY, split="val")
    assert tags(reading) == {f"{DOGS}_1": {DOG}, f"{CATS}_7": {CAT}}
    assert column(reading, "uri")[0] == str(tmp_path / DOGS / f"{DOGS}_1.JPEG")
    assert set(column(reading, "split")) == {"val"}
    assert rejects(reading, tmp_path) == {f"{CATS}/boxes.txt": "not the name of an image"}
    assert reading.single_label
    assert len(reading.exhaustive) == 0


def test_a_tar_a_synset_in_folders_of_splits(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "train" / f"{DOGS}.tar", [f"{DOGS}_1.JPEG", "readme.txt"])
    write_tar(tmp_path / "val" / f"{CATS}.tar", [f"{CATS}_1.JPEG"])
    reading = read(tmp_path, TAXONOMY)
    assert tags(reading) == {f"{DOGS}_1": {DOG}, f"{CATS}_1": {CAT}}
    assert column(reading, "split") == ["train", "validation"]
    assert column(reading, "uri")[0] == f"tar://{DOGS}_1.JPEG::{archive}"
    assert list(rejects(reading, tmp_path)) == [f"tar://readme.txt::train/{DOGS}.tar"]


def test_a_tar_with_a_table_of_labels(tmp_path: Path) -> None:
    write_tar(tmp_path / "val.tar", ["a.JPEG", "b.JPEG", "unlisted.JPEG"])
    table = f"a.JPEG\t{DOGS}\nb.JPEG\t{CATS}\nno row\nb.JPEG\t{DOGS}\ngone.JPEG\t{DOGS}\n"
    write(tmp_path / "val_labels.tsv", table)
    reading = read(tmp_path, TAXONOMY)
    assert tags(reading) == {"a": {DOG}, "b": {CAT}}
    assert column(reading, "split") == ["validation", "validation"]
    found = rejects(reading, tmp_path)
    assert found["val_labels.tsv:4"] == "b.JPEG was listed before"
    assert found["val_labels.tsv:5"] == "no member gone.JPEG in val.tar"
    assert found["tar://unlisted.JPEG::val.tar"] == "no row in val_labels.tsv"
    assert "name<TAB>wnid" in found["val_labels.tsv:3"]
    assert len(found) == 4


@pytest.mark.parametrize("rest", [b"", bytes(512), bytes(1024)])
def test_a_tar_may_end_without_its_mark(tmp_path: Path, rest: bytes) -> None:
    archive = write_tar(tmp_path / f"{DOGS}.tar", ["a.JPEG"])
    archive.write_bytes(archive.read_bytes()[:1024] + rest)
    reading = read(tmp_path, TAXONOMY)
    assert (reading.images.num_rows, reading.rejects.num_rows) == (1, 0)


def test_photos_named_after_their_synset(tmp_path: Path) -> None:
    write(tmp_path / f"{DOGS}_dog.JPEG")
    write(tmp_path / "holiday.jpg")
    reading = read(tmp_path, TAXONOMY)
    assert tags(reading) == {f"{DOGS}_dog": {DOG}}
    assert rejects(reading, tmp_path) == {"holiday.jpg": "its name begins with no wnid"}


def test_a_synset_outside_the_vocabulary_goes_to_what_is_above_it(tmp_path: Path) -> None:
    write(tmp_path / PUPPY / "a.JPEG")
    reading = read(tmp_path, TAXONOMY)
    assert tags(reading) == {"a": {DOG}}
    assert [note for note in reading.notes if PUPPY in note and "dog" in note]


def test_every_photo_of_an_unknown_synset_is_a_reject(tmp_path: Path) -> None:
    for name in ("a.JPEG", "b.JPEG"):
        write(tmp_path / "n99999999" / name)
        write(tmp_path / ENTITY / name)
    write(tmp_path / DOGS / "good.JPEG")
    reading = read(tmp_path, TAXONOMY)
    assert tags(reading) == {"good": {DOG}}
    reasons = rejects(reading, tmp_path)
    assert len(reasons) == 4
    assert "WordNet 3.0" in reasons["n99999999/a.JPEG"]
    assert "entity" in reasons[f"{ENTITY}/b.JPEG"]


def test_broken_tars_are_rejects_that_name_the_tar(tmp_path: Path) -> None:
    write(tmp_path / f"{DOGS}.tar", "not a tar at all")
    cut = write_tar(tmp_path / f"{CATS}.tar", [f"{i}.JPEG" for i in range(3)])
    cut.write_bytes(cut.read_bytes()[: 512 * 4 + 100])  # two whole members and a piece
    write_tar(tmp_path / f"{PUPPY}.tar", ["a.JPEG"], mode="w:gz")
    write_tar(tmp_path / "test.tar", ["a.JPEG"])
    reading = read(tmp_path, TAXONOMY)
    found = rejects(reading, tmp_path)
    assert found.keys() == {f"{DOGS}.tar", f"{CATS}.tar", f"{PUPPY}.tar", "test.tar"}
    assert "cannot be read as a tar" in found[f"{DOGS}.tar"]
    assert "damaged after 2 photos" in found[f"{CATS}.tar"]
    assert column(reading, "id") == ["0", "1"]
    assert "no test_labels.tsv beside it" in found["test.tar"]


def nested_tar(path: Path, tars: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in tars.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


@pytest.mark.parametrize("as_folder", [True, False])
def test_a_whole_archive_of_tars(tmp_path: Path, as_folder: bool) -> None:
    dogs = write_tar(tmp_path / "d", [f"{DOGS}_1.JPEG", f"{DOGS}_2.JPEG", "x.txt"]).read_bytes()
    cats = write_tar(tmp_path / "c", [f"{CATS}_1.JPEG", f"{CATS}_2.JPEG"]).read_bytes()[:1536]
    tars = {f"{DOGS}.tar": dogs, "readme.txt": b"text", f"{CATS}.tar": cats}
    whole = nested_tar(tmp_path / "train" / "ILSVRC2012_img_train.tar", tars)
    reading = read(whole.parent if as_folder else whole, TAXONOMY)
    assert tags(reading) == {f"{DOGS}_1": {DOG}, f"{DOGS}_2": {DOG}, f"{CATS}_1": {CAT}}
    assert [open_uri(uri) for uri in column(reading, "uri")] == [PHOTO] * 3
    assert set(column(reading, "split")) == {"train"}
    inside = f"::{whole}".replace(f"{tmp_path}/", "")
    found = rejects(reading, tmp_path)
    assert found.pop(f"tar://{DOGS}.tar{inside}: x.txt") == "not a photo"
    assert found.pop(f"tar://readme.txt{inside}") == "not a tar that is called after a synset"
    assert "cut off" in found.pop(f"tar://{CATS}.tar{inside}")
    assert found == {}


def test_a_list_of_ids_with_urls_or_photos(tmp_path: Path) -> None:
    photo = write(tmp_path / "photos" / CATS / f"{CATS}_7.JPEG")
    lines = [
        f"{DOGS}_1",
        f"{DOGS}/{DOGS}_2.JPEG 17",
        f"{CATS}_7\thttp://host/7.jpg",
        f"{CATS}_8\thttp://host/8.jpg",
        f"{DOGS}_1",
        "holiday.jpg",
        "",
        "n99999999_1",
    ]
    file = write(tmp_path / "train_ids.txt", "\n".join(lines).encode() + b"\ncaf\xe9\n")
    reading = read(file, TAXONOMY, images=tmp_path / "photos")
    assert tags(reading) == {
        f"{DOGS}_1": {DOG}, f"{DOGS}_2": {DOG}, f"{CATS}_7": {CAT}, f"{CATS}_8": {CAT}
    }  # fmt: skip
    assert column(reading, "uri") == [None, None, str(photo), "http://host/8.jpg"]
    assert set(column(reading, "split")) == {"train"}
    found = rejects(reading, tmp_path)
    assert found.pop("train_ids.txt:5") == f"image {DOGS}_1 was listed before"
    assert "n########_id" in found.pop("train_ids.txt:6")
    assert found.pop("train_ids.txt:7") == "empty line"
    assert "WordNet 3.0" in found.pop("train_ids.txt:8")
    assert found == {"train_ids.txt:9": "not UTF-8 text"}
    with pytest.raises(InputError, match="n########"):
        read(write(tmp_path / "other.txt", "a\nb\n"), TAXONOMY)


@pytest.mark.parametrize("kind", ["missing", "file", "empty", "other"])
def test_nothing_to_read_is_one_clear_error(tmp_path: Path, kind: str) -> None:
    write(tmp_path / "file", "text")
    (tmp_path / "empty").mkdir()
    write(tmp_path / "other" / "photos" / "a.jpg")
    with pytest.raises(InputError, match="n########"):
        read(tmp_path / kind, TAXONOMY)


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "a.JPEG")
    (tmp_path / "data" / DOGS).mkdir(parents=True)
    (tmp_path / "data" / DOGS / "images").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / DOGS / "again").symlink_to(tmp_path / "data")
    assert tags(read(tmp_path / "data", TAXONOMY)) == {"a": {DOG}}


def test_links_to_each_other_are_followed_once(tmp_path: Path) -> None:
    for own, other in (("one", "two"), ("two", "one")):
        write(tmp_path / DOGS / own / f"{own}.JPEG")
        (tmp_path / DOGS / own / "link").symlink_to(tmp_path / DOGS / other)
    found = [str(path.relative_to(tmp_path / DOGS)) for path in files_below(tmp_path / DOGS)]
    assert found == ["one/link/two.JPEG", "one/one.JPEG", "two/two.JPEG"]


def test_a_tar_whose_path_cannot_be_told_from_its_members_is_a_reject(tmp_path: Path) -> None:
    folder = tmp_path / "odd::"
    write_tar(folder / f"{DOGS}.tar", ["a.JPEG"])
    reading = read(folder, TAXONOMY)
    assert reading.images.num_rows == 0
    assert "::/" in rejects(reading, folder)[f"{DOGS}.tar"]


def test_photos_of_one_name_in_two_classes_keep_apart(tmp_path: Path) -> None:
    write(tmp_path / DOGS / "image_0001.jpg")
    write(tmp_path / CATS / "image_0001.jpg")
    assert len(set(column(read(tmp_path, TAXONOMY), "id"))) == 2


def test_tiny_imagenet(shared_data: Path) -> None:
    taxonomy: Taxonomy = released_taxonomy()
    reading = read(shared_data / "tiny-imagenet", taxonomy)
    assert (reading.read, reading.images.num_rows, reading.rejects.num_rows) == (22000, 22000, 0)
    splits = column(reading, "split")
    assert (splits.count("train"), splits.count("validation")) == (20000, 2000)
    wnids = (shared_data / "tiny-imagenet" / "wnids.txt").read_text().split()
    categories = reading.facts["category"].to_pylist()
    assert {taxonomy.keys[index] for index in categories} == set(wnids)
    assert all(categories.count(index) == 110 for index in set(categories))


def test_the_imagenet_sample(shared_data: Path) -> None:
    reading = read(shared_data / "imagenet-sample", released_taxonomy())
    assert (reading.images.num_rows, reading.rejects.num_rows) == (1000, 0)
    assert len(set(reading.facts["category"].to_pylist())) == 1000


def test_folders_are_handed_over_in_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        write(tmp_path / DOGS / f"{DOGS}_{number}.JPEG")
        write(tmp_path / "val" / CATS / f"{CATS}_{number}.JPEG")
    write_tar(tmp_path / "train" / f"{CATS}.tar", [f"{CATS}_{n}x.JPEG" for n in range(5)])
    whole = read(tmp_path, TAXONOMY)
    monkeypatch.setattr("mlimages.labels.reading.CHUNK_IMAGES", 2)
    chunks = list(chunks_of(read(tmp_path, TAXONOMY)))
    assert max(chunk.images.num_rows for chunk in chunks) == 2
    assert joined(chunks).images.equals(joined(whole).images)
    assert joined(chunks).facts.equals(joined(whole).facts)
