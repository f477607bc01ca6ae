"""ImageNet and its relatives: one synset a photo.

Read wherever they lie in the folder, or in its `train`, `val` and `test`:

    n02084071/...JPEG             a folder of photos a synset, at any depth below it
    n02084071.tar                 a tar of photos a synset
    ILSVRC2012_img_train.tar      a tar of such tars, as ImageNet itself is distributed
    val.tar and val_labels.tsv    a tar of photos, and a table: member<TAB>wnid, without header
    n02084071_name.JPEG           photos named after their synset

or from a list of ids: n02084071_1234, or n02084071/n02084071_1234.JPEG, a line, with or without the
photo's URL behind it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from mlimages.errors import InputError, UnknownCategoryError
from mlimages.labels.reading import Reading, ReadingBuilder
from mlimages.labels.sources.files import (
    SPLIT_FOLDERS,
    DamagedTarError,
    PhotoFinder,
    entries,
    files_below,
    has_image_name,
    lines_of,
    range_uri,
    require_folder,
    split_of_file,
    split_of_name,
    stem,
    tar_members,
    tar_uri,
)
from mlimages.labels.sources.streams import absolute, is_remote, name_of, read_lines
from mlimages.labels.streams import Readings, one_or_many
from mlimages.progress import track
from mlimages.taxonomy.categories import Taxonomy
from mlimages.taxonomy.wordnet import wordnet

EXPECTED = "n########/ folders, n########.tar files, or NAME.tar with NAME_labels.tsv"
_WNID = re.compile(r"n\d{8}", re.ASCII)
_LISTED = re.compile(r"(?:[^\0]*/)?((n\d{8})_\w{1,50})(?:\.[A-Za-z]{3,4})?", re.ASCII)
_NAMED_AFTER = re.compile(r"(n\d{8})_", re.ASCII)


def read(
    path: Path | str,
    taxonomy: Taxonomy,
    *,
    source: str = "imagenet",
    split: str | None = None,
    images: Path | str | None = None,
) -> Readings:
    """Read the photos of a folder in any of the layouts above, or those of one tar or one list.

    A synset outside the vocabulary goes to its nearest WordNet ancestors in it, with a note; where
    there is none, each of its photos is a reject.

    Args:
        path: the folder, a tar, or a list of ids.
        taxonomy: the vocabulary.
        source: name of the source.
        split: the split of all photos; by default the folder's (train, val, test) or the file's,
            else train.
        images: folder of the photos that a list names.

    Raises:
        InputError: no such folder or file, or nothing of these layouts in it.
    """
    if is_remote(path) or Path(path).is_file():
        reader, file = _Reader(taxonomy, source), absolute(path)
        return one_or_many(_chunks(reader, file, _file_photos(reader, file, split, images)))
    if images is not None:
        raise InputError("images", "a folder of ImageNet holds its photos", "leave it out")
    folder = require_folder(path, EXPECTED)
    reader = _Reader(taxonomy, source)
    return one_or_many(_chunks(reader, str(folder), _folder_photos(reader, folder, split)))


def _chunks(reader: _Reader, path: str, photos: Iterator[None]) -> Iterator[Reading]:
    """What was read so far, whenever it is enough; an error when there is nothing at all."""
    for _ in photos:
        if reader.builder.is_full:
            yield reader.builder.take()
    if not reader.found:
        raise InputError(path, "holds nothing of ImageNet's layout", f"expected: {EXPECTED}")
    yield reader.builder.build()


def _folder_photos(reader: _Reader, folder: Path, split: str | None) -> Iterator[None]:
    yield from reader.read_folder(folder, split or SPLIT_FOLDERS.get(folder.name))
    for part in entries(folder):
        if part.is_dir() and part.name in SPLIT_FOLDERS:
            yield from reader.read_folder(part, split or SPLIT_FOLDERS[part.name])


def _file_photos(
    reader: _Reader, file: str, split: str | None, images: Path | str | None
) -> Iterator[None]:
    """The photos of a tar or a list."""
    split = split or split_of_file(file)
    if file.endswith(".tar"):
        return reader.read_archive(Path(file), split)
    if images is not None and not Path(images).is_dir():
        raise InputError(images, "no such folder", "name the folder of the photos")
    finder = PhotoFinder([Path(images).absolute()] if images is not None else [])
    return reader.read_list(file, split, finder)


class _Reader:
    def __init__(self, taxonomy: Taxonomy, source: str) -> None:
        self.taxonomy = taxonomy
        self.builder = ReadingBuilder(source, "imagenet", single_label=True)
        self.found = False
        self.resolved: dict[str, tuple[int, ...] | str] = {}

    def read_folder(self, folder: Path, split: str | None) -> Iterator[None]:
        """Read all layouts that lie directly in a folder, a photo a step."""
        for entry in track(entries(folder), folder.name, unit="entries"):
            named_after = _NAMED_AFTER.match(entry.name)
            if entry.is_dir():
                if _WNID.fullmatch(entry.name):
                    yield from self._read_class_folder(entry, split)
                elif entry.name not in SPLIT_FOLDERS:
                    self.builder.note(f"{entry}: not named after a synset, not read")
            elif entry.suffix == ".tar":
                yield from self.read_archive(entry, split)
            elif named_after and has_image_name(entry):
                self._add(named_after[1], str(entry), str(entry), entry.name, split)
            elif has_image_name(entry):
                self.builder.reject(str(entry), "its name begins with no wnid")
            yield

    def read_archive(self, archive: Path, split: str | None) -> Iterator[None]:
        """Read a tar in any of the layouts, a photo a step."""
        labels = archive.with_name(f"{archive.stem}_labels.tsv")
        if _WNID.fullmatch(archive.stem):
            yield from self._read_tar(archive, split, archive.stem)
        elif labels.is_file():
            yield from self._read_labelled_tar(
                archive, labels, split or split_of_name(archive.stem)
            )
        elif _holds_tars(archive):
            yield from self._read_nested(archive, split)
        else:
            self.found = True
            self.builder.reject(
                str(archive), f"no {labels.name} beside it, nor synsets' tars in it"
            )
        yield

    def _read_nested(self, archive: Path, split: str | None) -> Iterator[None]:
        """Read a tar of tars; a photo's address is the piece of the whole that holds it."""
        try:
            for synset in tar_members(archive):
                wnid, _, suffix = synset.name.rpartition("/")[2].partition(".")
                location = tar_uri(archive, synset.name)
                if not synset.isfile() or suffix != "tar" or not _WNID.fullmatch(wnid):
                    self.builder.reject(location, "not a tar that is called after a synset")
                    continue
                start = synset.offset_data
                try:
                    for member in tar_members(archive, start, synset.size):
                        place = f"{location}: {member.name}"
                        plain = member.isfile() and member.sparse is None
                        if not plain or not has_image_name(member.name):
                            self.builder.reject(place, "not a photo")
                            continue
                        uri = range_uri(start + member.offset_data, member.size, archive)
                        self._add(wnid, place, uri, member.name, split)
                        yield
                except DamagedTarError as error:
                    self.builder.reject(location, f"cannot be read to its end ({error})")
        except DamagedTarError as error:
            self.builder.reject(str(archive), f"cannot be read to its end ({error})")

    def read_list(self, file: str, split: str | None, photos: PhotoFinder) -> Iterator[None]:
        """Read a list of ids, a line a step."""
        for location, text, wrong in track(read_lines(file), name_of(file), unit="lines"):
            listed, _, more = (text or "").strip().replace("\t", " ").partition(" ")
            found = _LISTED.fullmatch(listed)
            url = more.strip() if more.strip().startswith(("http://", "https://")) else None
            if found is None:
                shown = f"{listed[:80]!r} is not n########_id" if listed else "empty line"
                self.builder.reject(location, wrong or shown)
                continue
            wnid, name = found[2], found[1]
            place = photos.find(f"{wnid}/{name}.JPEG") or photos.find(f"{wnid}/{name}.jpg") or url
            self._add(wnid, location, place, name, split, listed=url)
            yield

    def _read_class_folder(self, folder: Path, split: str | None) -> Iterator[None]:
        self.found = True
        empty = True
        for file in files_below(folder):
            empty = False
            if has_image_name(file):
                self._add(folder.name, str(file), str(file), file.name, split)
            else:
                self.builder.reject(str(file), "not the name of an image")
            yield
        if empty:
            self.builder.note(f"{folder}: no photos")

    def _read_tar(self, archive: Path, split: str | None, wnid: str) -> Iterator[None]:
        for member in self._photos_in(archive):
            uri = tar_uri(archive, member)
            self._add(wnid, uri, uri, member, split)
            yield

    def _read_labelled_tar(self, archive: Path, labels: Path, split: str | None) -> Iterator[None]:
        wnids = self._read_labels(labels)
        for member in self._photos_in(archive):
            uri = tar_uri(archive, member)
            if member in wnids:
                self._add(wnids.pop(member)[0], uri, uri, member, split)
            else:
                self.builder.reject(uri, f"no row in {labels.name}")
            yield
        for member, (_, location) in wnids.items():
            self.builder.reject(location, f"no member {member} in {archive.name}")

    def _read_labels(self, labels: Path) -> dict[str, tuple[str, str]]:
        """Member -> (wnid, file:line); broken rows become rejects."""
        wnids: dict[str, tuple[str, str]] = {}
        for location, line in lines_of(labels):
            member, _, wnid = (line or "").partition("\t")
            if line is None:
                self.builder.reject(location, "not UTF-8 text")
            elif not member or not _WNID.fullmatch(wnid):
                self.builder.reject(location, f"{line!r} is not name<TAB>wnid")
            elif member in wnids:
                self.builder.reject(location, f"{member} was listed before")
            else:
                wnids[member] = (wnid, location)
        return wnids

    def _photos_in(self, archive: Path) -> list[str]:
        self.found = True
        names: list[str] = []
        if "::/" in str(archive):
            self.builder.reject(str(archive), "addresses of members cannot hold ::/ in its path")
            return names
        try:
            for member in tar_members(archive):
                if not member.isfile() or not has_image_name(member.name):
                    reason = "not the name of an image" if member.isfile() else "not a file"
                    self.builder.reject(tar_uri(archive, member.name), reason)
                else:
                    names.append(member.name)
        except DamagedTarError as error:
            rest = f"damaged after {len(names)} photos" if names else "cannot be read as a tar"
            self.builder.reject(str(archive), f"{rest} ({error})")
        return names

    def _add(
        self,
        wnid: str,
        location: str,
        uri: str | None,
        name: str,
        split: str | None,
        listed: str | None = None,
    ) -> None:
        self.found = True
        categories = self.resolved.get(wnid)
        if categories is None:
            categories = self.resolved[wnid] = self._resolve(wnid)
        if isinstance(categories, str):
            return self.builder.reject(location, categories)
        image = self.builder.add_image(location, uri, stem(name), place=listed, split=split)
        if image is not None:
            for category in categories:
                self.builder.add_fact(image, category)
        return None

    def _resolve(self, wnid: str) -> tuple[int, ...] | str:
        """The categories of a synset, or why there is none."""
        try:
            categories = self.taxonomy.lift(wnid)
        except UnknownCategoryError:
            return f"{wnid} is no category, nor a noun synset of WordNet 3.0"
        if not categories:
            return (
                f"{wnid} ({wordnet().name(wnid)}): neither it nor anything above it is a category"
            )
        if self.taxonomy.get(wnid) is None:
            above = " and ".join(self.taxonomy.categories[index].name for index in categories)
            name = wordnet().name(wnid)
            self.builder.note(f"{wnid} ({name}) is not in the vocabulary; taken as {above}")
        return categories


def _holds_tars(archive: Path) -> bool:
    """Whether the first member of a tar is a tar that is called after a synset."""
    try:
        first = next(tar_members(archive), None)
    except DamagedTarError:
        return False
    name = first.name.rpartition("/")[2] if first is not None else ""
    return name.endswith(".tar") and _WNID.fullmatch(name.removesuffix(".tar")) is not None
